"""trio, with memory channels."""

import trio

from bench import Program, count, cpu_ns, memory, naps, now, total

p = Program("py-trio")


async def waves(n, size):
    async def f():
        pass

    t = now()
    for _ in range(n // size):
        async with trio.open_nursery() as g:
            for _ in range(size):
                g.start_soon(f)
    p.per_op(n, t)


@p.workload("w1")
async def w1():
    await waves(count(100_000), 1)


@p.workload("w1a")
async def w1a():
    n = count(100_000)
    await waves(n, n)


@p.workload("w1b")
async def w1b():
    await waves(count(100_000), 1000)


@p.workload("w2")
async def w2():
    n = count(200_000)

    async def f():
        for _ in range(n // 2):
            await trio.sleep(0)

    t = now()
    async with trio.open_nursery() as g:
        g.start_soon(f)
        g.start_soon(f)
    p.per_op(n, t)


@p.workload("w3")
async def w3():
    n = count(50_000)
    (a_tx, a_rx), (b_tx, b_rx) = trio.open_memory_channel(0), trio.open_memory_channel(0)

    async def pong():
        for _ in range(n):
            await b_tx.send(await a_rx.receive())

    async def ping():
        for i in range(n):
            await a_tx.send(i)
            await b_rx.receive()

    t = now()
    async with trio.open_nursery() as g:
        g.start_soon(pong)
        g.start_soon(ping)
    p.per_op(n, t)


@p.workload("w4s")
async def w4s():
    n = count(200_000)
    tx, rx = trio.open_memory_channel(128)

    async def feed():
        async with tx:
            for i in range(n):
                await tx.send(i)

    async def drain():
        got = 0
        async for v in rx:
            got += v
        assert got == total(n)

    t = now()
    async with trio.open_nursery() as g:
        g.start_soon(feed)
        g.start_soon(drain)
    p.per_op(n, t)


@p.workload("w6c")
async def w6c():
    n = count(100_000)
    tx, rx = trio.open_memory_channel(16)
    t = now()
    for i in range(n):
        await tx.send(i)
        await rx.receive()
    p.per_op(n, t)


@p.workload("w7")
async def w7():
    n = count(100_000)
    before = memory()
    tx, rx = trio.open_memory_channel(0)
    started = [0]

    async def f():
        started[0] += 1
        try:
            await rx.receive()
        except trio.EndOfChannel:
            pass

    t = now()
    async with trio.open_nursery() as g:
        for _ in range(n):
            g.start_soon(f)
        while started[0] < n:
            await trio.sleep(0.001)
        spawn = now() - t
        await trio.sleep(0.05)
        after = memory()
        t = now()
        tx.close()
    p.parked(n, spawn, now() - t, before, after)


@p.workload("w10")
async def w10():
    n = count(10_000)
    length, late = naps(n), [0] * n

    async def f(i):
        t = now()
        await trio.sleep(length[i] / 1e9)
        late[i] = now() - t - length[i]

    cpu, t = cpu_ns(), now()
    async with trio.open_nursery() as g:
        for i in range(n):
            g.start_soon(f, i)
    p.slept(n, now() - t, cpu_ns() - cpu, late)


p.main(trio.run)
