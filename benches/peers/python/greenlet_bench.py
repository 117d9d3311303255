"""greenlet: switches by hand, neither channels nor a scheduler. W3 is its bare round trip."""

from greenlet import getcurrent, greenlet

from bench import Program, count, memory, now

p = Program("py-greenlet")


def waves(n, size):
    def f():
        pass

    t = now()
    for _ in range(n // size):
        for g in [greenlet(f) for _ in range(size)]:
            g.switch()
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


@p.workload("w3")
def w3():
    n = count(500_000)
    main = getcurrent()

    def pong():
        v = None
        while True:
            v = main.switch(v)

    g = greenlet(pong)
    g.switch()
    t = now()
    for i in range(n):
        g.switch(i)
    p.per_op(n, t)


@p.workload("w7")
def w7():
    n = count(100_000)
    before = memory()
    main = getcurrent()

    def f():
        main.switch()

    t = now()
    parked = [greenlet(f) for _ in range(n)]
    for g in parked:
        g.switch()
    spawn = now() - t
    after = memory()
    t = now()
    for g in parked:
        g.switch()
    p.parked(n, spawn, now() - t, before, after)


p.main()
