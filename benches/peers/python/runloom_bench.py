"""runloom: goroutines and channels for CPython 3.13."""

import runloom

from bench import Program, count, cpu_ns, memory, naps, now, total

p = Program("py-runloom")


def waves(n, size):
    done = runloom.Chan(size)

    def f():
        done.send(None)

    t = now()
    for _ in range(n // size):
        for _ in range(size):
            runloom.fiber(f)
        for _ in range(size):
            done.recv()
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


@p.workload("w2")
def w2():
    n = count(1_000_000)
    done = runloom.Chan(2)

    def f():
        for _ in range(n // 2):
            runloom.yield_()
        done.send(None)

    t = now()
    runloom.fiber(f)
    runloom.fiber(f)
    done.recv()
    done.recv()
    p.per_op(n, t)


def value(received):
    """What a receive yields: the value and whether the channel was open."""
    return received[0] if isinstance(received, tuple) else received


@p.workload("w3")
def w3():
    n = count(200_000)
    a, b, done = runloom.Chan(0), runloom.Chan(0), runloom.Chan(1)

    def pong():
        for _ in range(n):
            b.send(value(a.recv()))

    def ping():
        for i in range(n):
            a.send(i)
            b.recv()
        done.send(None)

    t = now()
    runloom.fiber(pong)
    runloom.fiber(ping)
    done.recv()
    p.per_op(n, t)


@p.workload("w4s")
def w4s():
    n = count(500_000)
    c, done = runloom.Chan(128), runloom.Chan(1)

    def feed():
        for i in range(n):
            c.send(i)

    def drain():
        got = 0
        for _ in range(n):
            got += value(c.recv())
        done.send(got)

    t = now()
    runloom.fiber(feed)
    runloom.fiber(drain)
    assert value(done.recv()) == total(n)
    p.per_op(n, t)


@p.workload("w6c")
def w6c():
    n = count(500_000)
    c = runloom.Chan(16)
    t = now()
    for i in range(n):
        c.send(i)
        c.recv()
    p.per_op(n, t)


@p.workload("w7")
def w7():
    n = count(100_000)
    before = memory()
    c, done, started = runloom.Chan(0), runloom.Chan(n), [0]

    def f():
        started[0] += 1
        c.recv()
        done.send(None)

    t = now()
    for _ in range(n):
        runloom.fiber(f)
    while started[0] < n:
        runloom.sleep(0.001)
    spawn = now() - t
    runloom.sleep(0.05)
    after = memory()
    t = now()
    c.close()
    for _ in range(n):
        done.recv()
    p.parked(n, spawn, now() - t, before, after)


@p.workload("w10")
def w10():
    n = count(10_000)
    length, late, done = naps(n), [0] * n, runloom.Chan(n)

    def f(i):
        t = now()
        runloom.sleep(length[i] / 1e9)
        late[i] = now() - t - length[i]
        done.send(None)

    cpu, t = cpu_ns(), now()
    for i in range(n):
        runloom.fiber(lambda i=i: f(i))
    for _ in range(n):
        done.recv()
    p.slept(n, now() - t, cpu_ns() - cpu, late)


p.main(lambda fn: runloom.run(1, fn))
