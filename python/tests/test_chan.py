"""Channels: sending, receiving, closing, views, and what bad arguments get."""

import contextlib
import copy
import gc
import pickle
import sys
import threading
import weakref
from collections.abc import Callable

import pytest
from conftest import parked, until

import zokor


def test_buffered_values_come_in_order() -> None:
    c = zokor.Chan[int](3)
    for i in range(3):
        c.send(i)
    assert (c.cap, c.buffered, c.closed, c.name) == (3, 3, False, None)
    assert [c.recv() for _ in range(3)] == [0, 1, 2]


def test_unbuffered_sender_meets_receiver() -> None:
    def main() -> list[object]:
        c = zokor.Chan[object]()
        got: list[object] = []
        wg = zokor.WaitGroup()
        wg.go(lambda: got.append(c.recv()))
        parked(1, "chan receive")
        c.send("x")
        wg.wait()
        return got

    assert zokor.run(main) == ["x"]


def test_blocked_senders_are_served_in_order() -> None:
    def main() -> list[int]:
        c = zokor.Chan[int]()
        for i in range(10):
            zokor.go(c.send, i)
            parked(i + 1, "chan send")
        return [c.recv() for _ in range(10)]

    assert zokor.run(main) == list(range(10))


def test_close_drains_then_ends() -> None:
    c = zokor.Chan[int](2)
    c.send(1)
    c.send(2)
    c.close()
    c.close()
    assert c.closed
    assert list(c) == [1, 2]
    with pytest.raises(zokor.ChanClosed):
        c.recv()
    with pytest.raises(zokor.ChanClosed):
        c.try_recv()
    with pytest.raises(zokor.ChanClosed):
        c.send(3)
    with pytest.raises(zokor.ChanClosed):
        c.try_send(3)


def test_close_wakes_blocked_receivers_and_senders() -> None:
    def main() -> tuple[int, int]:
        c, d = zokor.Chan[int](), zokor.Chan[int]()
        ended = zokor.Chan[str](20)

        def receiver() -> None:
            assert list(c) == []
            ended.send("r")

        def sender() -> None:
            with pytest.raises(zokor.ChanClosed, match="send on closed channel"):
                d.send(1)
            ended.send("s")

        for _ in range(10):
            zokor.go(receiver)
            zokor.go(sender)
        parked(10, "chan receive")
        parked(10, "chan send")
        c.close()
        d.close()
        got = [ended.recv() for _ in range(20)]
        return got.count("r"), got.count("s")

    assert zokor.run(main) == (10, 10)


def test_errors_name_the_channel() -> None:
    c = zokor.Chan[int](name="jobs")
    c.close()
    with pytest.raises(zokor.ChanClosed, match="'jobs'"):
        c.recv()
    with pytest.raises(zokor.ChanClosed, match="'jobs'"):
        c.send(1)


def test_context_manager_closes() -> None:
    with zokor.Chan[int](1) as c:
        c.send(1)
        assert not c.closed
    assert c.closed
    assert list(c) == [1]


def test_try_forms_never_wait() -> None:
    c = zokor.Chan[int](1)
    assert c.try_send(1) is True
    assert c.try_send(2) is False
    assert c.try_recv() == 1
    with pytest.raises(zokor.WouldBlock):
        c.try_recv()
    u = zokor.Chan[int]()
    assert u.try_send(1) is False
    with pytest.raises(zokor.WouldBlock):
        u.try_recv()


@pytest.mark.parametrize("timeout", [0, 0.0, -1, 0.001])
def test_timeouts_pass(timeout: float) -> None:
    def main() -> None:
        c = zokor.Chan[int]()
        with pytest.raises(TimeoutError):
            c.recv(timeout=timeout)
        with pytest.raises(TimeoutError):
            c.send(1, timeout=timeout)
        with pytest.raises(zokor.WouldBlock):
            c.try_recv()

    zokor.run(main)
    main()


def test_a_timeout_is_not_used_up_when_the_other_side_comes() -> None:
    def main() -> int:
        c = zokor.Chan[int]()
        zokor.go(c.send, 7)
        return c.recv(timeout=60)

    assert zokor.run(main) == 7


@pytest.mark.parametrize("call", ["recv", "send", "select", "wait"])
def test_nan_is_no_timeout(call: str) -> None:
    c = zokor.Chan[int](1)
    nan = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        match call:
            case "recv":
                c.recv(timeout=nan)
            case "send":
                c.send(1, timeout=nan)
            case "select":
                zokor.select(c, timeout=nan)
            case _:
                zokor.WaitGroup().wait(timeout=nan)
    assert c.buffered == 0


@pytest.mark.parametrize("timeout", [None, float("inf"), 1e300, 10**30])
def test_for_ever_has_several_names(timeout: float | None) -> None:
    def main() -> int:
        c = zokor.Chan[int]()

        def feed() -> None:
            parked(1, "chan receive")
            c.send(1)

        zokor.go(feed)
        return c.recv(timeout=timeout)

    assert zokor.run(main) == 1


def test_bad_arguments() -> None:
    c = zokor.Chan[int](1)
    bad: list[tuple[type[BaseException], object]] = [
        (TypeError, lambda: zokor.Chan("3")),  # type: ignore[arg-type]
        (TypeError, lambda: zokor.Chan(1.5)),  # type: ignore[arg-type]
        (TypeError, lambda: zokor.Chan(1, 2)),  # type: ignore[call-arg, arg-type]
        (TypeError, lambda: zokor.Chan(cap=1)),  # type: ignore[call-arg]
        (TypeError, lambda: zokor.Chan(1, name=3)),  # type: ignore[arg-type]
        (ValueError, lambda: zokor.Chan(-1)),
        ((ValueError, OverflowError, MemoryError), lambda: zokor.Chan(2**62)),  # type: ignore[list-item]
        (OverflowError, lambda: zokor.Chan(2**70)),
        (TypeError, lambda: c.send()),  # type: ignore[call-arg]
        (TypeError, lambda: c.send(1, 2)),  # type: ignore[call-arg]
        (TypeError, lambda: c.send(value=1)),  # type: ignore[call-arg]
        (TypeError, lambda: c.send(1, timeuot=1)),  # type: ignore[call-arg]
        (TypeError, lambda: c.recv(1)),  # type: ignore[call-arg]
        (TypeError, lambda: c.recv(timeout="1")),  # type: ignore[arg-type]
        (TypeError, lambda: 1 in c),
        (TypeError, lambda: len(c)),  # type: ignore[arg-type]
        (TypeError, lambda: zokor.SendCase()),
    ]
    for error, call in bad:
        with pytest.raises(error):
            call()  # type: ignore[operator]
    assert c.buffered == 0
    assert bool(zokor.Chan[int]()) is True


def test_unknown_keyword_is_named() -> None:
    with pytest.raises(TypeError, match="send.*'timeuot'"):
        zokor.Chan[int](1).send(1, timeuot=1)  # type: ignore[call-arg]


def busy(cap: int = 4) -> zokor.Chan[int]:
    """A channel that this thread has used so often that its operations go the short way."""
    c = zokor.Chan[int](cap)
    for n in range(5000):
        c.send(n)
        assert c.recv() == n
    return c


def test_bad_arguments_of_a_busy_channel() -> None:
    def main() -> None:
        c = busy()
        bad: list[Callable[[], object]] = [
            lambda: c.send(),  # type: ignore[call-arg]
            lambda: c.send(1, 2),  # type: ignore[call-arg]
            lambda: c.send(value=1),  # type: ignore[call-arg]
            lambda: c.send(1, timeuot=1),  # type: ignore[call-arg]
            lambda: c.send(1, timeout="1"),  # type: ignore[arg-type]
            lambda: c.recv(1),  # type: ignore[call-arg]
            lambda: c.recv(timeuot=1),  # type: ignore[call-arg]
            lambda: c.recv(timeout="1"),  # type: ignore[arg-type]
            lambda: zokor.Chan.send(None, 1),  # type: ignore[arg-type]
            lambda: zokor.Chan.recv(c.receiver),  # type: ignore[arg-type]
        ]
        for call in bad:
            with pytest.raises(TypeError):
                call()
        assert c.buffered == 0
        with pytest.raises(ValueError):
            c.send(1, timeout=float("nan"))
        with pytest.raises(TimeoutError):
            c.recv(timeout=0)

    zokor.run(main)


def test_a_busy_channel_closes() -> None:
    def main() -> None:
        c = busy()
        c.sender.send(1)
        c.send(2)
        c.send(3)
        c.close()
        with pytest.raises(zokor.ChanClosed, match="send on closed channel"):
            c.send(4)
        assert c.receiver.recv() == 1 and list(c) == [2, 3]
        with pytest.raises(zokor.ChanClosed, match="closed and drained"):
            c.recv()

    zokor.run(main)


def test_a_busy_channel_meets_threads_and_parked_goroutines() -> None:
    def main() -> None:
        c, back = busy(), zokor.Chan[int]()
        for _ in range(3):
            zokor.go(lambda: back.send(c.recv()))
        parked(3, "chan receive")
        for n in range(3):
            c.send(n)
        assert sorted(back.recv() for _ in range(3)) == [0, 1, 2]

        def echo() -> None:
            for n in c:
                back.send(n)

        thread = threading.Thread(target=echo)
        thread.start()
        for n in range(100):
            c.send(n)
            assert back.recv() == n
        c.close()
        zokor.blocking(thread.join)

    zokor.run(main)


def test_who_never_waits_lets_others_run() -> None:
    """Also where no signal may preempt: inside a with block."""

    def main() -> None:
        c, over = busy(), list[int]()
        zokor.go(over.append, 1)
        with contextlib.nullcontext():
            while not over:
                c.send(1)
                c.recv()

    zokor.run(main)


def test_who_never_waits_is_cancelled_when_main_returns() -> None:
    ends: list[str] = []

    def work() -> None:
        c = busy()
        try:
            with contextlib.nullcontext():
                while True:
                    c.send(1)
                    c.recv()
        except zokor.Cancelled:
            ends.append("cancelled")
            # Once for all.
            with pytest.raises(zokor.Cancelled):
                c.recv()
            with pytest.raises(zokor.Cancelled):
                c.send(1)

    def main() -> None:
        zokor.go(work)
        zokor.yield_now()

    zokor.run(main)
    assert ends == ["cancelled"]


def test_repr_counts_and_never_shows_contents() -> None:
    c = zokor.Chan[str](3, name="jobs")
    c.send("secret")
    assert repr(c).startswith("<zokor.Chan 'jobs' 1/3 at 0x")
    c.close()
    assert repr(c).startswith("<zokor.Chan 'jobs' 1/3 closed at 0x")
    assert repr(zokor.Chan[int]()).startswith("<zokor.Chan 0/0 at 0x")


@pytest.mark.parametrize("make", [zokor.Chan, lambda: zokor.Timer(9), zokor.WaitGroup])
def test_neither_pickled_nor_copied(make: object) -> None:
    o = make()  # type: ignore[operator]
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot pickle 'zokor"):
            attempt(o)


def test_generic_at_run_time() -> None:
    assert isinstance(zokor.Chan[int](3), zokor.Chan)
    assert zokor.Chan[int].__origin__ is zokor.Chan  # type: ignore[attr-defined]
    assert zokor.Chan.__module__ == "zokor"
    with pytest.raises(TypeError):
        type("Sub", (zokor.Chan,), {})


def test_views_show_one_side() -> None:
    def main() -> None:
        c = zokor.Chan[int](2, name="v")
        s, r = c.sender, c.receiver
        s.send(1)
        assert s.try_send(2) is True
        assert not hasattr(s, "recv") and not hasattr(r, "send") and not hasattr(r, "close")
        assert r.recv() == 1 and r.try_recv() == 2
        assert zokor.select(r, timeout=0) is None
        assert zokor.select(s.to_send(3)) == (0, None)
        assert zokor.select(r) == (0, 3)
        s.close()
        assert list(r) == []
        assert "'v'" in repr(s) and "'v'" in repr(r)

    zokor.run(main)


def test_view_keeps_its_channel_alive() -> None:
    c = zokor.Chan[int](1)
    w = weakref.ref(c)
    r = c.receiver
    del c
    gc.collect()
    assert w() is not None
    del r
    gc.collect()
    assert w() is None


def test_plain_threads_and_goroutines_share_channels() -> None:
    there, back = zokor.Chan[int](), zokor.Chan[int](4)

    def thread() -> None:
        for v in there:
            back.send(v * 2)
        back.close()

    t = threading.Thread(target=thread)
    t.start()

    def feed() -> None:
        for i in range(500):
            there.send(i)
        there.close()

    def main() -> list[int]:
        zokor.go(feed)
        return list(back)

    assert zokor.run(main) == [2 * i for i in range(500)]
    t.join()


def test_plain_threads_alone() -> None:
    c = zokor.Chan[int]()
    got: list[int] = []
    t = threading.Thread(target=lambda: got.extend(c))
    t.start()
    for i in range(500):
        c.send(i)
    c.close()
    t.join()
    assert got == list(range(500))


def test_many_to_many() -> None:
    def main() -> tuple[int, int]:
        c = zokor.Chan[int](7)
        sums = zokor.Chan[tuple[int, int]]()
        producers = zokor.WaitGroup()

        def produce(k: int) -> None:
            for i in range(1000):
                c.send(k * 1000 + i)

        def consume() -> None:
            n = total = 0
            for v in c:
                n, total = n + 1, total + v
            sums.send((n, total))

        for k in range(8):
            producers.go(produce, k)
        for _ in range(5):
            zokor.go(consume)
        producers.wait()
        c.close()
        parts = [sums.recv() for _ in range(5)]
        return sum(p[0] for p in parts), sum(p[1] for p in parts)

    assert zokor.run(main) == (8000, sum(range(8000)))


def test_counts_under_load_are_plausible() -> None:
    def main() -> None:
        c = zokor.Chan[int](2)

        def feed() -> None:
            for i in range(100):
                c.send(i)

        zokor.go(feed)
        until(lambda: c.buffered == 2)
        for _ in range(100):
            assert 0 <= c.buffered <= c.cap
            c.recv()

    zokor.run(main)


def test_references_balance() -> None:
    token = object()
    before = sys.getrefcount(token)

    def main() -> None:
        u, b = zokor.Chan[object](), zokor.Chan[object](16)

        def echo() -> None:
            for v in u:
                b.send(v)

        zokor.go(echo)
        for _ in range(25_000):
            u.send(token)
            b.recv()
            b.sender.send(token)
            b.receiver.recv()
            b.try_send(token)
            zokor.select(b)
            zokor.select(b.to_send(token), timeout=0)
            b.try_recv()
            while b.buffered:
                b.recv()
        u.close()

    zokor.run(main)
    assert sys.getrefcount(token) == before


def test_dropping_a_channel_drops_what_it_holds() -> None:
    class Token:
        pass

    tokens = [Token() for _ in range(100)]
    weak = [weakref.ref(t) for t in tokens]
    c = zokor.Chan[Token](100)
    for t in tokens:
        c.send(t)
    tokens.clear()
    del t
    assert all(w() is not None for w in weak)
    del c
    assert all(w() is None for w in weak)


def test_closed_channel_in_a_cycle_is_collected() -> None:
    c = zokor.Chan[object](4)
    w = weakref.ref(c)
    c.send(c)
    c.send([c, c.receiver, c.to_send(c)])
    del c
    gc.collect()
    assert w() is None


def test_a_send_that_fails_keeps_nothing() -> None:
    class Token:
        pass

    def main() -> None:
        c = zokor.Chan[Token]()
        t = Token()
        w = weakref.ref(t)
        with pytest.raises(TimeoutError):
            c.send(t, timeout=0)
        assert c.try_send(t) is False
        assert zokor.select(c.to_send(t), timeout=0) is None
        c.close()
        with pytest.raises(zokor.ChanClosed):
            c.send(t)
        with pytest.raises(zokor.ChanClosed):
            c.try_send(t)
        with pytest.raises(zokor.ChanClosed):
            zokor.select(c.to_send(t))
        del t
        gc.collect()
        assert w() is None

    zokor.run(main)
