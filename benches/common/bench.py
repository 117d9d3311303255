"""What every benchmark program in Python shares: options, clocks, memory, output, W10's naps.

A program is called as ``program.py <workload> [name=value ...]`` and prints one line of JSON: peer, w (workload), p (workers),
n (operations), ns (per operation) and extra figures.
"""

import gc
import json
import resource
import sys
import time

OPTIONS = dict(a.split("=") for a in sys.argv[2:])
now = time.perf_counter_ns


class Program:
    """Collects a peer's workloads and runs the one the command line names."""

    def __init__(self, peer):
        self.peer = peer
        self.workloads = {}

    def workload(self, *names):
        def add(fn):
            for name in names:
                self.workloads[name] = fn
            return fn

        return add

    def main(self, run=lambda fn: fn()):
        w = sys.argv[1]
        if w in self.workloads:
            run(self.workloads[w])
        else:
            print(json.dumps({"peer": self.peer, "w": w, "p": 1, "na": "not in this program"}))

    def out(self, n, ns, **extra):
        print(json.dumps({"peer": self.peer, "w": sys.argv[1], "p": 1, "n": n, "ns": round(ns, 2), **extra}), flush=True)

    def per_op(self, n, start):
        self.out(n, (now() - start) / n)

    def parked(self, n, spawn, wake, before, after):
        rss, tables = ((a - b) / n for a, b in zip(after, before))
        self.out(n, spawn / n, rss=round(rss, 1), tables=round(tables, 1), wake_ns=round(wake / n, 2))

    def slept(self, n, wall, cpu, late):
        late.sort()
        self.out(n, wall, cpu_ns=cpu, min=late[0], p50=late[n // 2], p99=late[n * 99 // 100], max=late[-1])


def count(default):
    return int(OPTIONS.get("n", default))


def memory():
    """Resident bytes and bytes of page tables."""
    gc.collect()
    with open("/proc/self/status") as f:
        kib = {k: int(v.split()[0]) for k, v in (line.split(":", 1) for line in f) if k in ("VmRSS", "VmPTE")}
    return kib["VmRSS"] * 1024, kib["VmPTE"] * 1024


def cpu_ns():
    r = resource.getrusage(resource.RUSAGE_SELF)
    return int((r.ru_utime + r.ru_stime) * 1e9)


def naps(n):
    """The same pseudo-random 0 to 100 ms, in nanoseconds, in every language."""
    x, mask, out = 88172645463325252, (1 << 64) - 1, []
    for _ in range(n):
        x ^= (x << 13) & mask
        x ^= x >> 7
        x ^= (x << 17) & mask
        out.append(x % 100_000_000)
    return out


def total(n):
    return n * (n - 1) // 2
