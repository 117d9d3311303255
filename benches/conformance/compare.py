#!/usr/bin/env python3
"""Runs the conformance figures of Zokor and of Go side by side, and writes the table in docs/conformance.md.

usage: compare.py ZOKOR GO [--rounds N] [--write]    ZOKOR, GO: the two programs; GO_VERSION in the environment is named in the table
Without --write the table goes to standard output. The programs run by turns, and each figure is the middle one of N rounds (5).
Ends with 1 if a figure of Zokor's is outside its bound.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

DOC = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
BEGIN, END = "<!-- begin go -->", "<!-- end go -->"

# What Zokor's figure has to lie in: Go's own margins where it has some (rule H-5: ten sigma; TestPingPongHog: a factor of 20).
# Times have no bound here: a loaded machine must not make a table red.
BOUNDS = {
    "S-02": (45, 55),
    "S-03": (70, 80),
    "S-17": (45, 55),
    "G-09": (90, 100),
    "G-13": (1 / 20, 20),
    "G-14": (0, 100),
}


def run(program):
    out = subprocess.run([program], capture_output=True, text=True, timeout=300)
    if out.returncode:
        sys.exit(f"{program} ended with {out.returncode}:\n{out.stderr[-2000:]}")
    rows = {}
    for line in out.stdout.splitlines():
        rule, what, unit, figure = line.split("\t")
        rows[rule, what, unit] = float(figure)
    return rows


def show(figure, unit):
    digits = 0 if unit == "%" or figure >= 100 else 1 if figure >= 10 else 2
    return f"{figure:.{digits}f} {unit}"


def table(ours, theirs, version):
    lines = [f"| rule | what is measured | bound | Zokor | Go {version} | |".replace("  ", " "), "|---|---|---|---|---|---|"]
    broken = []
    for key, figures in ours.items():
        rule, what, unit = key
        figure = statistics.median(figures)
        low, high = BOUNDS.get(rule, (None, None))
        bound = "" if low is None else f"{show(low, unit)} – {show(high, unit)}"
        holds = low is None or low <= figure <= high
        if not holds:
            broken.append(f"{rule}: {what}: {show(figure, unit)}")
        go = show(statistics.median(theirs[key]), unit) if key in theirs else "–"
        lines.append(f"| {rule} | {what} | {bound} | {show(figure, unit)} | {go} | {'' if holds else 'outside'} |")
    return "\n".join(lines), broken


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("zokor")
    p.add_argument("go")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--write", action="store_true")
    args = p.parse_args()
    ours, theirs = {}, {}
    for n in range(args.rounds):
        for program, figures in ((args.zokor, ours), (args.go, theirs)):
            for key, figure in run(program).items():
                figures.setdefault(key, []).append(figure)
        print(f"round {n + 1} of {args.rounds}", file=sys.stderr)
    text, broken = table(ours, theirs, os.environ.get("GO_VERSION", ""))
    if args.write:
        doc = DOC.read_text()
        new = re.sub(f"({BEGIN}\n).*?({END})", lambda m: f"{m[1]}\n{text}\n\n{m[2]}", doc, flags=re.S)
        if BEGIN not in doc:
            sys.exit(f"{DOC} has no place for the table")
        DOC.write_text(new)
    else:
        print(text)
    for line in broken:
        print("outside its bound:", line, file=sys.stderr)
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
