"""The workloads through the Python module."""

import os
import sys

import zokor

from bench import Program, count, cpu_ns, memory, naps, now, total

p = Program("zokor-python")


def waves(n, size):
    wg = zokor.WaitGroup()

    def f():
        pass

    t = now()
    for _ in range(n // size):
        for _ in range(size):
            wg.go(f)
        wg.wait()
    p.per_op(n, t)


@p.workload("w1")
def w1():
    waves(count(100_000), 1)


@p.workload("w1a")
def w1a():
    n = count(100_000)
    waves(n, n)


@p.workload("w1b")
def w1b():
    waves(count(100_000), 1000)


def both(*fns):
    """Runs the functions as goroutines and waits for them."""
    done = zokor.Chan(len(fns))

    def run(fn):
        done.send(fn())

    for fn in fns:
        zokor.go(run, fn)
    return [done.recv() for _ in fns]


@p.workload("w2")
def w2():
    n = count(1_000_000)

    def f():
        for _ in range(n // 2):
            zokor.yield_now()

    t = now()
    both(f, f)
    p.per_op(n, t)


@p.workload("w3")
def w3():
    n = count(500_000)
    a, b = zokor.Chan(), zokor.Chan()

    def pong():
        for _ in range(n):
            b.send(a.recv())

    def ping():
        for i in range(n):
            a.send(i)
            b.recv()

    t = now()
    both(pong, ping)
    p.per_op(n, t)


@p.workload("w4s")
def w4s():
    n = count(1_000_000)
    c = zokor.Chan(128)

    def feed():
        for i in range(n):
            c.send(i)
        c.close()

    t = now()
    _, got = both(feed, lambda: sum(c))
    assert got == total(n)
    p.per_op(n, t)


@p.workload("w6c")
def w6c():
    n = count(1_000_000)
    c = zokor.Chan(16)
    t = now()
    for i in range(n):
        c.send(i)
        c.recv()
    p.per_op(n, t)


@p.workload("w7")
def w7():
    n = count(100_000)
    before = memory()
    c, wg, started = zokor.Chan(), zokor.WaitGroup(), [0]

    def f():
        started[0] += 1
        try:
            c.recv()
        except zokor.ChanClosed:
            pass
        wg.done()

    wg.add(n)
    t = now()
    for _ in range(n):
        zokor.go(f)
    while started[0] < n:
        zokor.sleep(0.001)
    spawn = now() - t
    zokor.sleep(0.05)
    after = memory()
    t = now()
    c.close()
    wg.wait()
    p.parked(n, spawn, now() - t, before, after)


@p.workload("w10")
def w10():
    n = count(10_000)
    length, late, wg = naps(n), [0] * n, zokor.WaitGroup()

    def f(i):
        t = now()
        zokor.sleep(length[i] / 1e9)
        late[i] = now() - t - length[i]
        wg.done()

    cpu, t = cpu_ns(), now()
    wg.add(n)
    for i in range(n):
        zokor.go(f, i)
    wg.wait()
    p.slept(n, now() - t, cpu_ns() - cpu, late)


if __name__ == "__main__":
    zokor.configure(workers=int(os.environ.get("P", "1")))
    p.main(zokor.run)
    sys.exit(0)
