"""The rows of the tables and plots: workloads, workers, sizes, what is read from each run, and what we aim at."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Metric:
    """One figure of a run. `target` is the ratio to Go we aim at, `limit` a figure of our own."""

    name: str
    title: str
    unit: str = "ns"
    target: float | None = None
    limit: float | None = None
    more_is_better: bool = False


@dataclass(frozen=True)
class Row:
    workload: str
    p: int
    title: str
    metrics: tuple[Metric, ...]
    args: tuple[tuple[str, int], ...] = ()
    n: int | None = None  # fixed number of operations; None: as many as fill the time of a run
    seed: int = 10_000  # operations of the run that finds that number
    step: int = 1_000  # n is a multiple of it
    python: bool = False  # a row of the Python table
    rounds: tuple[int, int] = (5, 3)  # at the most: for ours and Go, and for the others, which are no part of some rows
    last: int | None = None  # what the programs' last figure has to be, where the work has a result that is known
    scaling: str = ""  # name of the plot this row is a point of

    @property
    def key(self):
        tail = "".join(f"-{k}{v}" for k, v in self.args)
        size = f"-n{self.n}" if self.scaling and self.n else ""
        return ("py-" if self.python else self.scaling and "scale-" or "") + f"{self.workload}{tail}{size}-p{self.p}"


def per_op(target=None, limit=None):
    return (Metric("ns", "", "ns", target, limit),)


def whole(target):
    """For workloads that are one operation: its time."""
    return (Metric("ns", "", "ms", target),)


# The memory of a parked goroutine is what the process gained: resident pages and page tables.
PARKED = (
    Metric("ns", "spawn and park", "ns", 1.0),
    Metric("wake_ns", "wake", "ns", 0.6),
    Metric("bytes", "memory", "B", None, 4505.6),
)
SLEEP = (
    Metric("ns", "wall", "ms"),
    Metric("cpu_ns", "CPU", "ms", 0.7),
    Metric("p50", "lateness p50", "µs"),
    Metric("p99", "lateness p99", "µs", 1.0),
)
FAN_OUT_ALONE = (Metric("ns", "time per task", "ns"),)
FAN_OUT = (
    Metric("ns", "time per task", "ns", 0.95),
    Metric("speedup", "speed-up", "×", None, 1.9, more_is_better=True),
)


def prime(n):
    """The n-th prime."""
    found = []
    candidate = 2
    while len(found) < n:
        if all(candidate % p for p in found if p * p <= candidate):
            found.append(candidate)
        candidate += 1
    return found[-1]


def native(parked, leaves, primes, sleepers):
    """The table beside Go. W11, the network, has its place here once there are sockets.

    An aim belongs to the number of workers that it was set for; one that was set without, to all of them."""
    k2, k8 = (("k", 2),), (("k", 8),)
    # The default sizes from C and from Rust. They are address space; what they differ in is page tables.
    s64, s256 = (("stack", 64 << 10),), (("stack", 256 << 10),)
    return [
        Row("w1a", 1, "W1a spawn+finish, all in flight", per_op()),
        Row("w1a", 2, "W1a spawn+finish, all in flight", per_op()),
        Row("w1b", 1, "W1b spawn+finish, 1,000 in flight", per_op(0.20)),
        Row("w1b", 2, "W1b spawn+finish, 1,000 in flight", per_op(0.33)),
        Row("w2", 1, "W2 yield, per switch", per_op(0.08)),
        Row("w2", 2, "W2 yield, per switch", per_op()),
        Row("w3", 1, "W3 unbuffered ping-pong, per round trip", per_op(0.20)),
        Row("w3", 2, "W3 unbuffered ping-pong, per round trip", per_op(0.30)),
        Row("w4s", 1, "W4 one sender, one receiver, 128 slots, per message", per_op(0.35)),
        Row("w4s", 2, "W4 one sender, one receiver, 128 slots, per message", per_op(0.50)),
        Row("w4m", 1, "W4 four senders, four receivers, 128 slots, per message", per_op(0.45)),
        Row("w4m", 2, "W4 four senders, four receivers, 128 slots, per message", per_op(0.50)),
        Row("w5u", 1, "W5 select over 2 unbuffered channels, per message", per_op(0.25), k2),
        Row("w5u", 1, "W5 select over 8 unbuffered channels, per message", per_op(0.20), k8),
        Row("w5u", 2, "W5 select over 2 unbuffered channels, per message", per_op(), k2),
        Row("w5u", 2, "W5 select over 8 unbuffered channels, per message", per_op(), k8),
        Row("w5b", 1, "W5 select over 2 buffered channels, per message", per_op(0.60), k2),
        Row("w5b", 1, "W5 select over 8 buffered channels, per message", per_op(0.20), k8),
        Row("w5b", 2, "W5 select over 2 buffered channels, per message", per_op(), k2),
        Row("w5b", 2, "W5 select over 8 buffered channels, per message", per_op(), k8),
        Row("w5d", 1, "W5 select with default, miss", per_op(0.33), seed=100_000),
        Row("w6c", 1, "W6 send+recv in one goroutine", per_op(0.40), seed=100_000),
        Row("w6m", 1, "W6 mutex lock+unlock", per_op(1.0), seed=100_000),
        Row("w6t", 1, "W6 try_recv on empty", per_op(0.60), seed=100_000),
        Row("w7", 1, f"W7 {parked:,} parked goroutines, stacks of 64 KiB", PARKED, s64, n=parked, rounds=(5, 2)),
        Row("w7", 2, f"W7 {parked:,} parked goroutines, stacks of 64 KiB", PARKED, s64, n=parked, rounds=(5, 2)),
        Row("w7", 1, f"W7 {parked:,} parked goroutines, stacks of 256 KiB", PARKED, s256, n=parked, rounds=(3, 0)),
        Row("w8", 1, f"W8 skynet, {leaves:,} leaves", whole(0.40), n=leaves),
        Row("w8", 2, f"W8 skynet, {leaves:,} leaves", whole(0.40), n=leaves),
        Row("w9", 1, f"W9 prime sieve, {primes:,} primes", whole(0.30), n=primes, last=prime(primes)),
        Row("w9", 2, f"W9 prime sieve, {primes:,} primes", whole(0.40), n=primes, last=prime(primes)),
        Row("w10", 1, f"W10 {sleepers:,} sleepers, 0 to 100 ms", SLEEP, n=sleepers),
        Row("w10", 2, f"W10 {sleepers:,} sleepers, 0 to 100 ms", SLEEP, n=sleepers),
        Row("w12p", 1, "W12 OS thread and goroutine, round trip", per_op(0.35), seed=2_000),
        Row("w12p", 2, "W12 OS thread and goroutine, round trip", per_op(0.35), seed=2_000),
        Row("w12s", 1, "W12 OS thread to goroutine, stream", per_op(0.40)),
        Row("w12s", 2, "W12 OS thread to goroutine, stream", per_op(0.40)),
        Row("w13", 1, "W13 fan-out of CPU tasks of some 10 µs", FAN_OUT_ALONE, n=10_000),
        Row("w13", 2, "W13 fan-out of CPU tasks of some 10 µs", FAN_OUT, n=10_000),
    ]


def python(parked, sleepers):
    """The table of the Python module. The limits were set for CPython 3.11."""
    small = dict(seed=1_000, python=True)
    memory = (Metric("ns", "spawn and park"), Metric("wake_ns", "wake"), Metric("bytes", "memory", "B"))
    sleep = tuple(Metric(m.name, m.title, m.unit) for m in SLEEP)
    return [
        Row("w1", 1, "W1 spawn+join, one at a time", per_op(limit=700), **small),
        Row("w1a", 1, "W1a spawn+join, all in flight", per_op(), **small),
        Row("w1b", 1, "W1b spawn+join, 1,000 in flight", per_op(limit=700), **small),
        Row("w2", 1, "W2 yield, per switch", per_op(), **small),
        Row("w3", 1, "W3 unbuffered ping-pong, per round trip", per_op(limit=250), **small),
        Row("w4s", 1, "W4 one sender, one receiver, 128 slots, per item", per_op(), **small),
        Row("w6c", 1, "W6 send+recv in one goroutine", per_op(), **small),
        Row("w7", 1, f"W7 {parked:,} parked", memory, n=parked, python=True),
        Row("w10", 1, f"W10 {sleepers:,} sleepers, 0 to 100 ms", sleep, n=sleepers, python=True),
    ]


# By what factor a round trip from Python has to be faster than theirs.
AHEAD = {"py-asyncio": 20, "py-gevent": 15, "py-runloom": 1}
AHEAD_ROW = "py-w3-p1"


@dataclass(frozen=True)
class Plot:
    """A scaling plot: what it shows of which rows, and along which axis."""

    rows: str  # the `scaling` of its rows
    cost: str
    more: str  # of what there is more and more
    metric: str = "ns"
    divided: bool = False  # the figure is one of all of them together


PLOTS = (
    Plot("goroutines", "yield", "goroutines"),
    Plot("parked", "spawn and park", "goroutines"),
    Plot("parked", "wake", "parked goroutines", "wake_ns"),
    Plot("timers", "set a timer anew", "pending timers"),
    Plot("sleepers", "sleep, CPU time", "sleeping goroutines", "cpu_ns", True),
    Plot("stream", "message, four senders to four receivers", "workers"),
    Plot("spawning", "spawn and finish, 1,000 in flight", "workers"),
)
WORKERS = (1, 2, 4, 8, 16, 32, 64)


def scaling():
    """How the cost of an operation moves with the number of goroutines, timers and workers."""
    sizes = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
    g = lambda n: (("g", n),)
    out = [Row("w2g", 1, "yield", per_op(), g(n), n=max(2_000_000, 10 * n), rounds=(3, 0), scaling="goroutines") for n in sizes]
    out += [Row("w10t", 1, "set a timer", per_op(), g(n), n=1_000_000, rounds=(3, 0), scaling="timers") for n in sizes]
    # Fewer than these take less than what is measured around them.
    poll = (("poll", 1), ("stack", 64 << 10))
    out += [Row("w7", 1, "park", PARKED, poll, n=n, rounds=(3, 0), scaling="parked") for n in sizes[2:]]
    out += [Row("w10", 1, "sleep", SLEEP, n=n, rounds=(3, 0), scaling="sleepers") for n in sizes[2:]]
    out += [Row("w4m", p, "stream", per_op(), n=4_000_000, rounds=(3, 0), scaling="stream") for p in WORKERS]
    out += [Row("w1b", p, "spawn", per_op(), n=2_000_000, rounds=(3, 0), scaling="spawning") for p in WORKERS]
    return out


FULL = native(1_000_000, 1_000_000, 2_000, 100_000) + python(100_000, 10_000)
QUICK = [r for r in native(50_000, 10_000, 500, 10_000) if r.rounds[1]] + python(20_000, 3_000)  # what others run, too
SCALING = scaling()
