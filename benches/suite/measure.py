"""Runs the programs of a row in turn, several rounds, and keeps every figure of every round."""

import json
import mmap
import os
import re
import subprocess
import time
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Plan:
    """How long and how often. Our programs and Go run in every round, the others in `others` of them, spread evenly; a row
    may want fewer of both."""

    rounds: int
    others: int
    seconds: float  # of one run, where the number of operations is free
    timeout: int
    patience: float = 8.0  # seconds: another program that takes longer runs once

    def of(self, peer, row):
        """The rounds in which this program runs."""
        n = min(self.rounds, row.rounds[0] if peer.reference else min(self.others, row.rounds[1]))
        return {i * (self.rounds - 1) // max(n - 1, 1) for i in range(n)}

    def named(self):
        return asdict(self)


class Failed(Exception):
    """The program did not give a figure; the text says why."""


class NotThere(Exception):
    """The program does not do this workload; the text says why."""


# Bytes that a goroutine takes at the most, of ours and of Go's, in the workloads that have many at the same time; Python's take twice as much.
BYTES_EACH = {"w1a": 512, "w7": 5 * 1024, "w8": 512, "w10": 5 * 1024}
MADV_POPULATE_WRITE = 23


def warm_memory(size):
    """Touches so much memory and gives it back. On a virtual machine the first touch of a page after a while is the
    host's time and can take ten times as long as the guest's; who runs first, and who needs more, would pay for it."""
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        try:
            memory.madvise(MADV_POPULATE_WRITE)
        except OSError:  # a kernel before 5.14
            for page in range(0, size, 4096):
                memory[page] = 1


def last_words(stderr):
    """What a program said as it ended, in one line and without the directories of this machine."""
    return re.sub(r"(^|\s)/\S*/", r"\1", " ".join(stderr.split()) or "no output")[:120]


def once(peer, row, n, timeout):
    """One run of one program: its line of JSON."""
    argv = [*peer.argv, row.workload, f"n={n}", *(f"{k}={v}" for k, v in row.args), *peer.options]
    env = {**os.environ, **peer.env, "P": str(row.p), "GOMAXPROCS": str(row.p)}
    if row.workload in BYTES_EACH:
        warm_memory(n * BYTES_EACH[row.workload] * (2 if peer.python else 1))
    try:
        r = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"not done after {timeout} s") from None
    lines = [l for l in r.stdout.splitlines() if l.startswith("{")]
    if not lines:
        raise Failed(f"exit status {r.returncode}: {last_words(r.stderr)}")
    line = json.loads(lines[-1])
    if "na" in line:
        raise NotThere(line["na"])
    if "fail" in line:
        raise Failed(line["fail"])
    if row.last is not None and line["last"] != row.last:
        raise Failed(f"wrong: ends with {line['last']:,} instead of {row.last:,}")
    if "rss" in line:
        line["bytes"] = line["rss"] + line["tables"]
    return line


def size(peer, row, plan):
    """How many operations fill the time of one run; for rows with a fixed number, that or what the peer can bear."""
    if row.n is not None:
        return min(row.n, peer.most.get(row.workload, row.n))
    n = row.seed
    while True:
        ns = once(peer, row, n, plan.timeout)["ns"]
        if n * ns >= plan.seconds * 5e7 or n >= 1 << 34:
            return max(row.step, int(plan.seconds * 1e9 / max(ns, 0.1)) // row.step * row.step)
        n *= 10


def row(row, peers, plan):
    """The figures of a row, {peer: {"n": operations, metric: [one per round, None where it did not run]}}; why others have
    none, having failed; and why others do not do it at all."""
    here = [p for p in peers if p.runs(row)]
    absent = {p.name: why for p in peers if p.might_run(row) and (why := p.skip.get(row.workload))}
    sizes, figures, failed, due = {}, {}, {}, {}
    for p in here:
        try:
            sizes[p.name] = size(p, row, plan)
            if row.n is not None and row.workload in ("w8", "w9", "w10") and sizes[p.name] != row.n:
                raise Failed(f"cannot do {row.n:,}")
            figures[p.name] = {"n": sizes[p.name], **{m.name: [None] * plan.rounds for m in row.metrics}}
            due[p.name] = plan.of(p, row)
        except (Failed, NotThere) as e:
            (failed if isinstance(e, Failed) else absent)[p.name] = str(e)
    for r in range(plan.rounds):
        for p in here[r % len(here) :] + here[: r % len(here)]:
            if p.name not in figures or r not in due[p.name]:
                continue
            started = time.monotonic()
            try:
                line = once(p, row, sizes[p.name], plan.timeout)
            except (Failed, NotThere) as e:
                (failed if isinstance(e, Failed) else absent)[p.name] = str(e)
                figures.pop(p.name)
                continue
            for m in row.metrics:
                figures[p.name][m.name][r] = line[m.name]
            if not p.reference and time.monotonic() - started > plan.patience:
                due[p.name] = set()
    return {"figures": {k: figures[k] for k in sorted(figures)}, "failed": failed, "absent": absent}
