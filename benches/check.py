"""Compares instructions per operation of the inner loops with benches/instructions.txt.

Each loop runs twice under callgrind, with few and with many operations; the difference leaves start and end of the program out. On a
busy machine the runtime's monitor may step in during a run: it ends time slices, and may give the second goroutine to another
thread, which makes a run dearer or cheaper. So what is off is measured again, up to TRIES times, and counts as off only if it is off
each time. More than the file says fails, and so does less: then the file no longer tells what the code does, and a later loss
would hide behind it. Counts depend on the compilers: with another rustc than the file names nothing is compared, with another gcc
nothing that is called from C.
"""

import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from suite import build

FILE = Path(__file__).with_name("instructions.txt")
ALLOWED = 0.03
# Few enough for a run to be over before the monitor, which looks every 5 ms, has seen much of it.
FEW, MANY = 2_000, 22_000
TRIES = 5
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


def programs():
    """How the loops are run: {kind: its program}."""
    rust, migrating = (p.argv for p in build.zokor_rust())
    [c] = (p.argv for p in build.zokor_c())
    return {"pinned": rust, "migrating": migrating, "C": c}


def instructions(program, loop, n):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind"
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        argv = [*valgrind, *program, loop[0], f"n={n}", *loop[1:]]
        r = subprocess.run(argv, env={"P": "1"}, capture_output=True, text=True, timeout=300)
        if r.returncode:
            sys.exit(f"{' '.join(argv)}: exit status {r.returncode}\n{r.stderr[-2000:]}")
        return int(re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.M).group(1))


def per_operation(program, loop, want=None):
    """Instructions per operation: the first count that is as wanted, or the median of all tries."""
    counts = []
    while len(counts) < TRIES:
        few, many = (instructions(program, loop, n) for n in (FEW, MANY))
        counts.append((many - few) / (MANY - FEW))
        if want and abs(counts[-1] / want - 1) <= ALLOWED:
            return counts[-1]
    return statistics.median(counts)


def compilers():
    """The versions of rustc and of gcc."""
    out = [subprocess.run(argv, capture_output=True, text=True).stdout for argv in (["rustc", "--version"], ["gcc", "-dumpfullversion"])]
    return out[0].split()[1], out[1].strip()


def read():
    """The compilers that the file was written with, and its counts."""
    lines = FILE.read_text().splitlines()
    with_these = re.search(r"rustc (\S+) and gcc (\S+)", lines[0]).groups()
    return with_these, {name: float(count) for name, count in (l.rsplit("\t", 1) for l in lines[1:] if "\t" in l)}


def update(loops):
    counts = {}
    for name, program, loop in loops:
        counts[name] = per_operation(program, loop)
        print(f"{name:40} {counts[name]:8.1f}", flush=True)
    head = "Instructions per operation, written by ci/bench-check.sh --update with rustc {} and gcc {}".format(*compilers())
    FILE.write_text("\n".join([head, *(f"{n}\t{c:.1f}" for n, c in counts.items())]) + "\n")
    return 0


def compare(loops):
    (rustc, gcc), expected = read()
    here = compilers()
    if rustc != here[0]:
        print(f"skipped: instruction counts (taken with rustc {rustc}, this is {here[0]})")
        return 0
    if gcc != here[1]:
        print(f"skipped: instruction counts from C (taken with gcc {gcc}, this is {here[1]})")
        loops = [l for l in loops if not l[0].endswith(", C")]
        expected = {name: count for name, count in expected.items() if not name.endswith(", C")}
    failed = []
    for name, program, loop in loops:
        want = expected.pop(name, None)
        got = per_operation(program, loop, want)
        off = got / want - 1 if want else None
        if off is None or abs(off) > ALLOWED:
            failed.append(name)
        said = "not in the file" if off is None else f"{off:+7.1%} from {want:8.1f}"
        print(f"{name:40} {got:8.1f} {said}{'  FAILED' if name in failed else ''}", flush=True)
    for name in expected:
        failed.append(name)
        print(f"{name:40} in the file, but no longer counted  FAILED")
    if failed:
        print(f"more than {ALLOWED:.0%} off; if that is meant to be, write the file anew: ci/bench-check.sh --update")
    print(f"{len(loops) + len(expected) - len(failed)} passed, {len(failed)} failed")
    return bool(failed)


def main():
    run = programs()
    rust = [(f"{name}, {kind}", run[kind], loop) for name, loop in LOOPS.items() for kind in ("pinned", "migrating")]
    loops = rust + [(f"{name}, C", run["C"], loop) for name, loop in LOOPS.items()]
    return (update if "--update" in sys.argv else compare)(loops)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except build.Unavailable as e:
        sys.exit(f"cannot build what is counted: {e}")
