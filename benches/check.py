"""Compares instructions per operation of the inner loops with benches/instructions.txt.

Each loop runs twice under callgrind, with few and with many operations; the difference leaves start and end of the program out. On a
busy machine the runtime's monitor may step in during a run, which only adds instructions: what is off is measured again, and the
least counts. More than the file says fails; clearly fewer is a reason to write the file anew. Counts depend on the compiler: with another
one than the file names nothing is compared.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

FILE = Path(__file__).with_name("instructions.txt")
ALLOWED = 0.05
FEW, MANY = 20_000, 120_000
TRIES = 6
# name: workload and its options, as in benches/common/workloads.inc
LOOPS = {
    "spawn and finish": ("w1b",),
    "yield": ("w2",),
    "ping-pong, round trip": ("w3",),
    "stream through 128 slots": ("w4s",),
    "select over 2, blocked": ("w5u", "k=2"),
    "select over 8, blocked": ("w5u", "k=8"),
    "select over 2, ready": ("w5b", "k=2"),
    "select over 8, ready": ("w5b", "k=8"),
    "select with default": ("w5d",),
    "send and receive": ("w6c",),
    "mutex": ("w6m",),
    "try_recv on empty": ("w6t",),
}
# The monitor may give the second goroutine to another thread; each then yields to itself, which is a third of the work.
UNSTEADY = {("yield", "migrating")}


def instructions(program, variant, loop, n):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind"
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        argv = [*valgrind, program, variant, loop[0], f"n={n}", *loop[1:]]
        r = subprocess.run(argv, env={"P": "1"}, capture_output=True, text=True, timeout=300)
        if r.returncode:
            sys.exit(f"{' '.join(argv)}: exit status {r.returncode}\n{r.stderr[-2000:]}")
        return int(re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.M).group(1))


def least(program, variant, loop, want=None):
    """Instructions per operation from the least of several runs of each length; no more runs as soon as it is as wanted."""
    few, many = [], []
    for _ in range(TRIES if want else 3):
        few.append(instructions(program, variant, loop, FEW))
        many.append(instructions(program, variant, loop, MANY))
        best = (min(many) - min(few)) / (MANY - FEW)
        if want and best / want - 1 <= ALLOWED:
            break
    return best


def rustc():
    return subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.split()[1]


def read():
    lines = FILE.read_text().splitlines()
    compiler = lines[0].rsplit(" ", 1)[1]
    return compiler, {name: float(count) for name, count in (l.rsplit("\t", 1) for l in lines[1:] if "\t" in l)}


def main():
    program, update = sys.argv[1], "--update" in sys.argv
    variants = [(loop, variant) for loop in LOOPS for variant in ("pinned", "migrating") if (loop, variant) not in UNSTEADY]
    names = [(f"{loop}, {variant}", variant, LOOPS[loop]) for loop, variant in variants]
    if not update:
        compiler, expected = read()
        if compiler != rustc():
            print(f"skipped: instruction counts (taken with rustc {compiler}, this is {rustc()})")
            return 0
    failed, counts = 0, {}
    for name, variant, loop in names:
        want = None if update else expected.get(name)
        counts[name] = got = least(program, variant, loop, want)
        if update:
            print(f"{name:40} {got:8.1f}")
            continue
        off = got / want - 1 if want else None
        bad = off is None or off > ALLOWED
        failed += bad
        said = "not in the file" if off is None else f"{off:+7.1%} from {want:8.1f}"
        verdict = "  FAILED" if bad else "  better: ci/bench-check.sh --update" if off < -ALLOWED else ""
        print(f"{name:40} {got:8.1f} {said}{verdict}")
    if update:
        head = f"Instructions per operation, written by ci/bench-check.sh --update with rustc {rustc()}"
        FILE.write_text("\n".join([head, *(f"{n}\t{c:.1f}" for n, c in counts.items())]) + "\n")
        return 0
    print(f"{len(names) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
