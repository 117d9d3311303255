"""asyncio, and uvloop as its event loop (loop=uvloop). Its queue has no rendezvous: capacity 1 stands in for it."""

import asyncio

from bench import OPTIONS, Program, count, cpu_ns, memory, naps, now, total

LOOP = OPTIONS.get("loop", "asyncio")
p = Program("py-" + LOOP)


async def waves(n, size):
    async def f():
        pass

    t = now()
    for _ in range(n // size):
        await asyncio.gather(*[asyncio.create_task(f()) for _ in range(size)])
    p.per_op(n, t)


@p.workload("w1")
async def w1():
    n = count(100_000)

    async def f():
        pass

    t = now()
    for _ in range(n):
        await asyncio.create_task(f())
    p.per_op(n, t)


@p.workload("w1a")
async def w1a():
    n = count(100_000)
    await waves(n, n)


@p.workload("w1b")
async def w1b():
    await waves(count(100_000), 1000)


@p.workload("w2")
async def w2():
    n = count(500_000)

    async def f():
        for _ in range(n // 2):
            await asyncio.sleep(0)

    t = now()
    await asyncio.gather(f(), f())
    p.per_op(n, t)


@p.workload("w3")
async def w3():
    n = count(100_000)
    a, b = asyncio.Queue(1), asyncio.Queue(1)

    async def pong():
        for _ in range(n):
            await b.put(await a.get())

    async def ping():
        for i in range(n):
            await a.put(i)
            await b.get()

    t = now()
    await asyncio.gather(pong(), ping())
    p.per_op(n, t)


@p.workload("w4s")
async def w4s():
    n = count(500_000)
    q = asyncio.Queue(128)

    async def feed():
        for i in range(n):
            await q.put(i)

    async def drain():
        return sum([await q.get() for _ in range(n)])

    t = now()
    _, got = await asyncio.gather(feed(), drain())
    assert got == total(n)
    p.per_op(n, t)


@p.workload("w6c")
async def w6c():
    n = count(500_000)
    q = asyncio.Queue(16)
    t = now()
    for i in range(n):
        await q.put(i)
        await q.get()
    p.per_op(n, t)


@p.workload("w7")
async def w7():
    n = count(100_000)
    before = memory()
    event, started = asyncio.Event(), [0]

    async def f():
        started[0] += 1
        await event.wait()

    t = now()
    tasks = [asyncio.create_task(f()) for _ in range(n)]
    while started[0] < n:
        await asyncio.sleep(0.001)
    spawn = now() - t
    await asyncio.sleep(0.05)
    after = memory()
    t = now()
    event.set()
    await asyncio.gather(*tasks)
    p.parked(n, spawn, now() - t, before, after)


@p.workload("w10")
async def w10():
    n = count(10_000)
    length, late = naps(n), [0] * n

    async def f(i):
        t = now()
        await asyncio.sleep(length[i] / 1e9)
        late[i] = now() - t - length[i]

    cpu, t = cpu_ns(), now()
    await asyncio.gather(*[asyncio.create_task(f(i)) for i in range(n)])
    p.slept(n, now() - t, cpu_ns() - cpu, late)


def run(fn):
    if LOOP == "uvloop":
        import uvloop

        uvloop.run(fn())
    else:
        asyncio.run(fn())


p.main(run)
