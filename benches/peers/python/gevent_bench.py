"""gevent. W7 parks on an event, for its queue cannot be closed as a channel can."""

import gevent
from gevent import queue
from gevent.event import Event

from bench import Program, count, cpu_ns, memory, naps, now, total

p = Program("py-gevent")


def waves(n, size):
    def f():
        pass

    t = now()
    for _ in range(n // size):
        gevent.joinall([gevent.spawn(f) for _ in range(size)])
    p.per_op(n, t)


@p.workload("w1")
def w1():
    n = count(100_000)

    def f():
        pass

    t = now()
    for _ in range(n):
        gevent.spawn(f).join()
    p.per_op(n, t)


@p.workload("w1a")
def w1a():
    n = count(100_000)
    waves(n, n)


@p.workload("w1b")
def w1b():
    waves(count(100_000), 1000)


@p.workload("w2")
def w2():
    n = count(500_000)

    def f():
        for _ in range(n // 2):
            gevent.sleep(0)

    t = now()
    gevent.joinall([gevent.spawn(f), gevent.spawn(f)])
    p.per_op(n, t)


@p.workload("w3")
def w3():
    n = count(100_000)
    a, b = queue.Channel(), queue.Channel()

    def pong():
        for _ in range(n):
            b.put(a.get())

    def ping():
        for i in range(n):
            a.put(i)
            b.get()

    t = now()
    gevent.joinall([gevent.spawn(pong), gevent.spawn(ping)])
    p.per_op(n, t)


@p.workload("w4s")
def w4s():
    n = count(500_000)
    q = queue.Queue(128)

    def feed():
        for i in range(n):
            q.put(i)

    t = now()
    drain = gevent.spawn(lambda: sum(q.get() for _ in range(n)))
    gevent.joinall([gevent.spawn(feed), drain])
    assert drain.value == total(n)
    p.per_op(n, t)


@p.workload("w6c")
def w6c():
    n = count(500_000)
    q = queue.Queue(16)
    t = now()
    for i in range(n):
        q.put(i)
        q.get()
    p.per_op(n, t)


@p.workload("w7")
def w7():
    n = count(100_000)
    before = memory()
    event, started = Event(), [0]

    def f():
        started[0] += 1
        event.wait()

    t = now()
    greenlets = [gevent.spawn(f) for _ in range(n)]
    while started[0] < n:
        gevent.sleep(0.001)
    spawn = now() - t
    gevent.sleep(0.05)
    after = memory()
    t = now()
    event.set()
    gevent.joinall(greenlets)
    p.parked(n, spawn, now() - t, before, after)


@p.workload("w10")
def w10():
    n = count(10_000)
    length, late = naps(n), [0] * n

    def f(i):
        t = now()
        gevent.sleep(length[i] / 1e9)
        late[i] = now() - t - length[i]

    cpu, t = cpu_ns(), now()
    gevent.joinall([gevent.spawn(f, i) for i in range(n)])
    p.slept(n, now() - t, cpu_ns() - cpu, late)


p.main()
