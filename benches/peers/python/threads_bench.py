"""OS threads with queue.Queue. 100,000 at once do not fit under pid_max: W1 runs in waves only."""

import queue
import threading
import time

from bench import Program, count, cpu_ns, memory, naps, now, total

p = Program("py-threads")
threading.stack_size(64 * 1024)


def together(*fns):
    threads = [threading.Thread(target=f) for f in fns]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def waves(n, size):
    def f():
        pass

    t = now()
    for _ in range(n // size):
        together(*[f] * size)
    p.per_op(n, t)


@p.workload("w1")
def w1():
    waves(count(20_000), 1)


@p.workload("w1b")
def w1b():
    waves(count(20_000), 1000)


@p.workload("w3")
def w3():
    n = count(30_000)
    a, b = queue.Queue(1), queue.Queue(1)

    def pong():
        for _ in range(n):
            b.put(a.get())

    def ping():
        for i in range(n):
            a.put(i)
            b.get()

    t = now()
    together(pong, ping)
    p.per_op(n, t)


@p.workload("w4s")
def w4s():
    n = count(300_000)
    q, got = queue.Queue(128), []

    def feed():
        for i in range(n):
            q.put(i)

    t = now()
    together(feed, lambda: got.append(sum(q.get() for _ in range(n))))
    assert got == [total(n)]
    p.per_op(n, t)


@p.workload("w6c")
def w6c():
    n = count(300_000)
    q = queue.Queue(16)
    t = now()
    for i in range(n):
        q.put(i)
        q.get()
    p.per_op(n, t)


@p.workload("w7")
def w7():
    n = count(10_000)
    before = memory()
    event, started, lock = threading.Event(), [0], threading.Lock()

    def f():
        with lock:
            started[0] += 1
        event.wait()

    t = now()
    threads = [threading.Thread(target=f) for _ in range(n)]
    for x in threads:
        x.start()
    while started[0] < n:
        time.sleep(0.001)
    spawn = now() - t
    time.sleep(0.05)
    after = memory()
    t = now()
    event.set()
    for x in threads:
        x.join()
    p.parked(n, spawn, now() - t, before, after)


@p.workload("w10")
def w10():
    n = count(10_000)
    length, late = naps(n), [0] * n

    def nap(i):
        t = now()
        time.sleep(length[i] / 1e9)
        late[i] = now() - t - length[i]

    cpu, t = cpu_ns(), now()
    together(*[lambda i=i: nap(i) for i in range(n)])
    p.slept(n, now() - t, cpu_ns() - cpu, late)


p.main()
