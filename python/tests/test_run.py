"""`run`: results, exceptions, the end of what is still running, deadlock."""

import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from conftest import parked, until

import zokor


def test_returns_what_main_returns() -> None:
    def main(a: int, *rest: int, k: int = 0) -> tuple[int, tuple[int, ...], int]:
        assert zokor.goid() > 0
        return a, rest, k

    assert zokor.goid() == 0
    assert zokor.run(main, 1, 2, 3, k=4) == (1, (2, 3), 4)
    assert zokor.goid() == 0


def test_raises_what_main_raises() -> None:
    def main() -> None:
        raise KeyError("main")

    with pytest.raises(KeyError, match="main") as e:
        zokor.run(main)
    assert "main" in [f.name for f in e.traceback]


def test_main_stays_on_its_thread_and_in_its_context() -> None:
    assert zokor.run(threading.get_ident) == threading.get_ident()
    answers: list[bool] = []

    def elsewhere() -> None:
        answers.append(zokor.run(threading.get_ident) == threading.get_ident())

    t = threading.Thread(target=elsewhere)
    t.start()
    t.join()
    assert answers == [True]


def test_an_uncaught_exception_ends_the_run() -> None:
    cleaned: list[str] = []

    def fails() -> None:
        raise ZeroDivisionError("in a goroutine")

    def main() -> None:
        c = zokor.Chan[int]()

        def waits() -> None:
            try:
                c.recv()
            finally:
                cleaned.append("goroutine")

        zokor.go(waits)
        parked(1, "chan receive")
        zokor.go(fails)
        try:
            c.recv()
        finally:
            cleaned.append("main")

    with pytest.raises(ZeroDivisionError) as e:
        zokor.run(main)
    assert sorted(cleaned) == ["goroutine", "main"]
    assert "fails" in [f.name for f in e.traceback]


def test_an_exception_of_main_goes_first_and_the_other_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda a: reported.append(a.exc_value))

    def fails() -> None:
        raise ZeroDivisionError

    def main() -> None:
        zokor.go(fails)
        try:
            zokor.Chan[int]().recv()
        except zokor.Cancelled:
            raise KeyError("main's own") from None

    with pytest.raises(KeyError):
        zokor.run(main)
    assert [type(e) for e in reported] == [ZeroDivisionError]


def test_exceptions_without_a_run_go_to_the_hook_of_threads(child) -> None:  # type: ignore[no-untyped-def]
    done = child(
        """
import threading, zokor
seen = zokor.Chan(1)
threading.excepthook = lambda a: seen.send((a.exc_type.__name__, str(a.exc_value), a.exc_traceback is not None))
def fails(): raise ValueError("background")
zokor.go(fails)
print(seen.recv())
"""
    )
    assert done.out == "('ValueError', 'background', True)\n"


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, RecursionError])
def test_every_exception_ends_the_run(error: type[BaseException]) -> None:
    def fails() -> None:
        raise error("x")

    def main() -> None:
        zokor.go(fails)
        zokor.Chan[int]().recv()

    with pytest.raises(error):
        zokor.run(main)


def test_what_is_parked_when_main_returns_is_cancelled_and_awaited() -> None:
    log: list[str] = []

    def waits(how: str) -> None:
        c = zokor.Chan[int]()
        try:
            match how:
                case "recv":
                    c.recv()
                case "send":
                    c.send(1)
                case "select":
                    zokor.select(c, c.to_send(1))
                case "iterate":
                    list(c)
                case "sleep":
                    zokor.sleep(3600)
                case "timer":
                    zokor.Timer(3600).recv()
                case "wait":
                    zokor.WaitGroup(1).wait()
                case "timeout":
                    c.recv(timeout=3600)
        except zokor.Cancelled as e:
            assert e.cause is None
            log.append(how)
            raise
        finally:
            log.append("finally")

    ways = ["recv", "send", "select", "iterate", "sleep", "timer", "wait", "timeout"]

    def main() -> str:
        for how in ways:
            zokor.go(waits, how)
        parked(len(ways))
        return "over"

    assert zokor.run(main) == "over"
    assert sorted(log) == sorted(ways + ["finally"] * len(ways))


def test_a_cancelled_goroutine_cannot_block_again() -> None:
    log: list[str] = []

    def stubborn() -> None:
        c = zokor.Chan[int](1)
        for call in (c.recv, lambda: c.send(1), lambda: zokor.sleep(1), zokor.yield_now, lambda: zokor.select(c)):
            try:
                call()
            except zokor.Cancelled:
                log.append("cancelled")
        # What never waits still works.
        assert c.try_send(1) is True and c.try_recv() == 1
        c.close()
        with pytest.raises(zokor.Cancelled):
            zokor.go(print)
        log.append("end")

    def main() -> None:
        zokor.go(stubborn)
        parked(1, "chan receive")

    zokor.run(main)
    assert log == ["cancelled"] * 5 + ["end"]


def test_a_goroutine_that_runs_on_is_awaited() -> None:
    log: list[int] = []

    def main() -> None:
        started = zokor.Chan[None]()

        def busy() -> None:
            started.send(None)
            for i in range(200_000):
                pass
            log.append(i)

        zokor.go(busy)
        started.recv()

    zokor.run(main)
    assert log == [199_999]


def test_what_never_started_never_does() -> None:
    ran: list[int] = []

    def main() -> None:
        for i in range(100):
            zokor.go(ran.append, i)

    zokor.run(main)
    assert ran == [] or len(ran) <= 100
    zokor.run(lambda: None)


def test_cancelled_carries_its_cause() -> None:
    cause = ValueError("why")
    assert zokor.Cancelled(cause).cause is cause
    assert zokor.Cancelled().cause is None
    assert not issubclass(zokor.Cancelled, Exception)


def test_run_in_a_goroutine_is_an_error() -> None:
    def main() -> None:
        with pytest.raises(zokor.Error, match="goroutine"):
            zokor.run(print)

    zokor.run(main)


def test_one_run_at_a_time() -> None:
    refused: list[BaseException] = []

    def second() -> None:
        try:
            zokor.run(print)
        except zokor.Error as e:
            refused.append(e)

    def main() -> None:
        zokor.blocking(second)
        t = threading.Thread(target=second)
        t.start()
        t.join()

    zokor.run(main)
    assert len(refused) == 2


def test_many_runs_one_after_another() -> None:
    def main(i: int) -> int:
        c = zokor.Chan[int]()
        zokor.go(c.send, i)
        return c.recv()

    assert [zokor.run(main, i) for i in range(300)] == list(range(300))


@pytest.mark.parametrize("bad", [None, 3, "main"])
def test_something_to_call_is_needed(bad: object) -> None:
    calls: list[Any] = [zokor.run, zokor.go, zokor.blocking, zokor.WaitGroup().go]
    for call in calls:
        with pytest.raises(TypeError):
            call(bad)
        with pytest.raises(TypeError):
            call()


def test_deadlock_is_raised_where_main_waits() -> None:
    cleaned: list[str] = []

    def main() -> None:
        c = zokor.Chan[int](name="never")

        def waits() -> None:
            try:
                c.recv()
            finally:
                cleaned.append("goroutine")

        zokor.go(waits)
        try:
            c.recv()
        finally:
            cleaned.append("main")

    with pytest.raises(zokor.Deadlock) as e:
        zokor.run(main)
    assert sorted(cleaned) == ["goroutine", "main"]
    assert "main" in [f.name for f in e.traceback]
    dump = e.value.dump
    assert "never" in dump and "chan receive" in dump and "in waits" in dump and "c.recv()" in dump
    assert dump.rstrip() in str(e.value)


@pytest.mark.parametrize(
    "wait, shown",
    [
        (lambda: zokor.Chan[int](name="a").recv(), "[chan receive 'a', "),
        (lambda: zokor.Chan[int](name="b").send(1), "[chan send 'b', "),
        (lambda: zokor.select(zokor.Chan[int](), zokor.Chan[str]()), "[select, "),
        (lambda: zokor.select(), "[select (no cases), "),
        (lambda: zokor.WaitGroup(1).wait(), "[wait group, "),
    ],
)
def test_d08_the_report_of_a_deadlock_says_what_main_waits_for(wait: Callable[[], object], shown: str) -> None:
    with pytest.raises(zokor.Deadlock) as e:
        zokor.run(wait)
    first = e.value.dump.splitlines()[0]
    assert '"main"' in first and shown in first


@pytest.mark.parametrize("way", ["select nothing", "select off", "send", "wait", "stopped timer"])
def test_other_deadlocks(way: str) -> None:
    def main() -> None:
        match way:
            case "select nothing":
                zokor.select()
            case "select off":
                zokor.select(None, None)
            case "send":
                zokor.Chan[int]().send(1)
            case "wait":
                zokor.WaitGroup(1).wait()
            case _:
                t = zokor.Timer(3600)
                t.stop()
                t.recv()

    with pytest.raises(zokor.Deadlock):
        zokor.run(main)


def test_a_caught_deadlock_is_over() -> None:
    def main() -> int:
        c = zokor.Chan[int]()
        try:
            c.recv()
        except zokor.Deadlock:
            zokor.go(c.send, 5)
        return c.recv()

    assert zokor.run(main) == 5


def test_no_deadlock_while_a_thread_may_come() -> None:
    c = zokor.Chan[int]()
    go_on = threading.Event()

    def thread() -> None:
        go_on.wait()
        try:
            c.send(1)
        except zokor.ChanClosed:
            pass

    t = threading.Thread(target=thread)
    t.start()

    def main() -> int:
        zokor.go(go_on.set)
        return c.recv()

    try:
        assert zokor.run(main) == 1
    finally:
        go_on.set()
        c.close()
        t.join()


def test_no_deadlock_while_threads_come_at_the_moment_of_the_verdict() -> None:
    """Each is new to the runtime and sends while main's thread, going to sleep, looks whether anybody could come."""

    def one() -> None:
        c = zokor.Chan[int]()
        go_on = threading.Event()

        def thread() -> None:
            go_on.wait()
            c.send(1)

        t = threading.Thread(target=thread)
        t.start()

        def main() -> int:
            zokor.go(go_on.set)
            return c.recv()

        assert zokor.run(main) == 1
        t.join()

    for _ in range(300):
        one()


def test_no_deadlock_because_of_a_thread_that_came_and_went(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends between the verdict and main's look at the threads, and has ended by then."""
    c = zokor.Chan[int](1)
    came: list[threading.Thread] = []
    threads = threading.enumerate

    def look() -> list[threading.Thread]:
        if not came:
            came.append(threading.Thread(target=c.send, args=(1,)))
            came[0].start()
            came[0].join()
        return threads()

    monkeypatch.setattr(threading, "enumerate", look)
    assert zokor.run(c.recv) == 1
    assert came


def test_no_deadlock_because_of_a_thread_that_was_started_since(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first thread wakes a goroutine, which starts a second one; that one has ended when main looks again."""
    c, wake = zokor.Chan[int](1), zokor.Chan[int]()
    threads = threading.enumerate
    second: list[threading.Thread] = []
    looks = 0

    def look() -> list[threading.Thread]:
        nonlocal looks
        looks += 1
        if looks == 1:
            first = threading.Thread(target=wake.send, args=(1,))
            first.start()
            first.join()
        elif looks == 2:
            go_on.set()
            second[0].join()
        return threads()

    go_on = threading.Event()

    def sends() -> None:
        go_on.wait()
        c.send(1)

    def starts() -> None:
        wake.recv()
        second.append(threading.Thread(target=sends))
        second[0].start()

    def main() -> int:
        zokor.go(starts)
        return c.recv()

    monkeypatch.setattr(threading, "enumerate", look)
    assert zokor.run(main) == 1
    assert looks == 2


def test_deadlock_is_reported_once_the_last_thread_has_ended() -> None:
    ended = threading.Event()
    t = threading.Thread(target=ended.wait)
    t.start()

    def main() -> None:
        c = zokor.Chan[int]()
        zokor.go(ended.set)
        c.recv()

    with pytest.raises(zokor.Deadlock):
        zokor.run(main)
    t.join()


def test_a_second_deadlock_is_reported_too() -> None:
    def main() -> int:
        n = 0
        for _ in range(3):
            try:
                zokor.Chan[int]().recv()
            except zokor.Deadlock:
                n += 1
        return n

    assert zokor.run(main) == 3


def test_go_passes_arguments_and_context() -> None:
    import contextvars

    v: contextvars.ContextVar[str] = contextvars.ContextVar("v", default="unset")

    def main() -> list[tuple[object, ...]]:
        out = zokor.Chan[tuple[object, ...]](3)

        def show(*a: object, **k: object) -> None:
            out.send((v.get(), a, tuple(k.items())))
            v.set("changed in the goroutine")

        v.set("first")
        zokor.go(show, 1, 2, x=3)
        v.set("second")
        zokor.go(show)
        zokor.go(show, *range(20))
        got = [out.recv() for _ in range(3)]
        assert v.get() == "second"
        return got

    assert sorted(zokor.run(main), key=str) == [
        ("first", (1, 2), (("x", 3),)),
        ("second", (), ()),
        ("second", tuple(range(20)), ()),
    ]
    assert v.get() == "second"


def test_the_arguments_live_as_long_as_the_call() -> None:
    import weakref

    class Token:
        pass

    def main() -> None:
        t = Token()
        w = weakref.ref(t)
        c = zokor.Chan[None]()

        def hold(token: Token) -> None:
            c.recv()

        zokor.go(hold, t)
        del t
        parked(1, "chan receive")
        assert w() is not None
        c.send(None)
        until(lambda: w() is None)

    zokor.run(main)


def test_background_goroutines_without_a_run(child) -> None:  # type: ignore[no-untyped-def]
    done = child(
        """
import zokor
c = zokor.Chan()
def work(n):
    for i in range(n):
        c.send(i)
    c.close()
zokor.go(work, 5)
print(list(c), zokor.goid())
"""
    )
    assert done.out == "[0, 1, 2, 3, 4] 0\n"


def test_configure(child) -> None:  # type: ignore[no-untyped-def]
    done = child(
        """
import zokor
for bad in ({"workers": 0}, {"workers": -1}, {"workers": 10**6}, {"stack_size": 4096}, {"max_blocking": 0}):
    try:
        zokor.configure(**bad)
    except ValueError as e:
        print(e)
for bad in ({"workers": "2"}, {"worker": 2}, {"workers": 1.5}):
    try:
        zokor.configure(**bad)
    except TypeError:
        print("TypeError")
zokor.configure(workers=2)
zokor.configure(stack_size=1 << 20, max_blocking=4)
zokor.run(lambda: None)
print(zokor.stats().workers)
try:
    zokor.configure(workers=3)
except zokor.Error as e:
    print(e)
"""
    )
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["workers", "workers", "workers", "stack_size", "max_blocking"]
    assert lines[5:8] == ["TypeError"] * 3
    assert lines[8] == "2"
    assert "first goroutine" in lines[9]


@pytest.mark.parametrize("workers", [2, 8])
def test_with_several_workers(child, workers: int) -> None:  # type: ignore[no-untyped-def]
    done = child(
        f"""
import threading, zokor
zokor.configure(workers={workers})
def main():
    jobs, results = zokor.Chan(16), zokor.Chan()
    def work():
        me = threading.get_ident()
        for j in jobs:
            assert threading.get_ident() == me, "a goroutine stays on its thread"
            results.send(j * j)
    wg = zokor.WaitGroup()
    for _ in range(20):
        wg.go(work)
    def feed():
        for i in range(5000):
            jobs.send(i)
        jobs.close()
        wg.wait()
        results.close()
    zokor.go(feed)
    return sum(results)
for _ in range(5):
    assert zokor.run(main) == sum(i * i for i in range(5000))
print("ok", zokor.goroutines())
"""
    )
    assert done.out == "ok []\n"


def test_traceback_of_a_parked_main_is_whole() -> None:
    def inner() -> None:
        zokor.sleep(0)
        raise LookupError

    def main() -> None:
        inner()

    try:
        zokor.run(main)
    except LookupError as e:
        names = [f.name for f in traceback.extract_tb(e.__traceback__)]
    assert names[-2:] == ["main", "inner"]
    assert sys.exc_info() == (None, None, None)
