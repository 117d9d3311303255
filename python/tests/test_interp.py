"""Goroutines and the interpreter: what belongs to each of them, foreign callbacks, tracing, recursion."""

import asyncio
import contextvars
import ctypes
import decimal
import gc
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from conftest import parked, until

import zokor


def test_exc_info_belongs_to_the_goroutine() -> None:
    def main() -> list[bool]:
        step, out = zokor.Chan[None](), zokor.Chan[bool](200)

        def handler(n: int) -> None:
            try:
                raise ValueError(n)
            except ValueError as e:
                step.recv()
                out.send(sys.exc_info()[1] is e and e.args == (n,))
                try:
                    raise KeyError(n)
                except KeyError as k:
                    step.recv()
                    out.send(sys.exc_info()[1] is k and k.__context__ is e)

        for n in range(100):
            zokor.go(handler, n)
        try:
            raise IndexError
        except IndexError as mine:
            for _ in range(200):
                step.send(None)
            got = [out.recv() for _ in range(200)]
            assert sys.exc_info()[1] is mine
        assert sys.exc_info() == (None, None, None)
        return got

    assert all(zokor.run(main))


def test_generators_park_inside() -> None:
    def main() -> list[list[int]]:
        c, out = zokor.Chan[int](), zokor.Chan[list[int]](10)

        def values() -> Iterator[int]:
            for _ in range(10):
                try:
                    yield c.recv()
                except GeneratorExit:
                    raise AssertionError("closed while suspended") from None

        for _ in range(10):
            zokor.go(lambda: out.send(list(values())))
        for i in range(100):
            c.send(i)
        return [out.recv() for _ in range(10)]

    parts = zokor.run(main)
    assert sorted(v for p in parts for v in p) == list(range(100))


def test_a_generator_may_go_from_goroutine_to_goroutine() -> None:
    def main() -> list[int]:
        gate = zokor.Chan[None]()

        def numbers() -> Iterator[int]:
            n = 0
            while True:
                gate.recv()
                yield n
                n += 1

        g = numbers()
        got: list[int] = []
        for _ in range(20):
            wg = zokor.WaitGroup()
            wg.go(lambda: got.append(next(g)))
            gate.send(None)
            wg.wait()
        return got

    assert zokor.run(main) == list(range(20))


def test_contextvars_are_copied_and_apart() -> None:
    v: contextvars.ContextVar[int] = contextvars.ContextVar("v")

    def main() -> list[int]:
        step, out = zokor.Chan[None](), zokor.Chan[int](50)

        def worker(n: int) -> None:
            assert v.get() == n
            v.set(n * 10)
            step.recv()
            assert v.get() == n * 10
            decimal.setcontext(decimal.Context(prec=n + 1))
            step.recv()
            out.send(v.get() + decimal.getcontext().prec)

        for n in range(50):
            v.set(n)
            zokor.go(worker, n)
        for _ in range(100):
            step.send(None)
        return sorted(out.recv() for _ in range(50))

    assert zokor.run(main) == [n * 11 + 1 for n in range(50)]


def test_threading_local_belongs_to_the_goroutine() -> None:
    def main() -> bool:
        local, step, out = threading.local(), zokor.Chan[None](), zokor.Chan[bool](20)

        def worker(n: int) -> None:
            assert not hasattr(local, "n")
            local.n = n
            step.recv()
            out.send(local.n == n)

        for n in range(20):
            zokor.go(worker, n)
        for _ in range(20):
            step.send(None)
        return all([out.recv() for _ in range(20)])

    assert zokor.run(main)


def test_values_of_threading_local_die_with_the_goroutine() -> None:
    class Token:
        pass

    def main() -> None:
        local = threading.local()
        refs: list[weakref.ref[Token]] = []

        def worker() -> None:
            local.token = Token()
            refs.append(weakref.ref(local.token))

        zokor.go(worker)
        until(lambda: bool(refs) and refs[0]() is None)

    zokor.run(main)


def test_destructors_may_park() -> None:
    def main() -> list[int]:
        c = zokor.Chan[int]()

        class Sends:
            def __del__(self) -> None:
                c.send(1)

        def worker() -> None:
            o = Sends()
            local.o = Sends()
            del o

        local = threading.local()
        zokor.go(worker)
        return [c.recv(), c.recv()]

    assert zokor.run(main) == [1, 1]


def test_foreign_callbacks_may_park() -> None:
    """C calls back into Python through PyGILState_Ensure while the goroutine has let go of the GIL."""
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    libc = ctypes.CDLL(None)

    def main() -> None:
        tick, out = zokor.Chan[None](), zokor.Chan[list[int]](30)

        def sort(values: list[int]) -> None:
            array = (ctypes.c_int * len(values))(*values)

            def order(a: Any, b: Any) -> int:
                tick.recv()
                return int(a[0] - b[0])

            libc.qsort(array, len(values), ctypes.sizeof(ctypes.c_int), compare(order))
            out.send(list(array))

        for n in range(30):
            zokor.go(sort, [(i * 7 + n) % 11 for i in range(11)])

        def drive() -> None:
            while True:
                tick.send(None)

        zokor.go(drive)
        for _ in range(30):
            assert out.recv() == list(range(11))

    zokor.run(main)


def test_gilstate_is_that_of_the_goroutine() -> None:
    ensure, release = ctypes.pythonapi.PyGILState_Ensure, ctypes.pythonapi.PyGILState_Release
    this = ctypes.pythonapi.PyGILState_GetThisThreadState
    this.restype = ctypes.c_void_p
    current = ctypes.pythonapi.PyThreadState_Get
    current.restype = ctypes.c_void_p

    def main() -> None:
        c, out = zokor.Chan[None](), zokor.Chan[int](10)

        def worker() -> None:
            mine = current()
            for _ in range(5):
                c.recv()
                assert current() == this() == mine
                state = ensure()
                assert current() == mine
                release(state)
            out.send(mine)

        for _ in range(10):
            zokor.go(worker)
        parked(10, "chan receive")
        for _ in range(50):
            c.send(None)
        assert len({out.recv() for _ in range(10)}) == 10

    zokor.run(main)


def test_trace_function_of_threads_reaches_goroutines() -> None:
    seen: list[str] = []

    def tracer(frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            seen.append(frame.f_code.co_name)

    def traced() -> None:
        c.recv()

    c = zokor.Chan[None]()

    def main() -> None:
        zokor.go(traced)
        c.send(None)
        zokor.yield_now()

    threading.settrace(tracer)
    try:
        zokor.run(main)
    finally:
        threading.settrace(None)
    assert "traced" in seen
    assert sys.gettrace() is None or "main" in seen


def test_trace_functions_do_not_leak() -> None:
    def main() -> None:
        c = zokor.Chan[object]()

        def traced() -> None:
            sys.settrace(lambda *a: None)
            c.send(sys.gettrace())

        before = sys.gettrace()
        zokor.go(traced)
        assert c.recv() is not None
        assert sys.gettrace() is before
        wg = zokor.WaitGroup()
        seen: list[object] = []
        wg.go(lambda: seen.append(sys.gettrace()))
        wg.wait()
        assert seen == [None]

    zokor.run(main)


def test_profile_function_of_threads_reaches_goroutines() -> None:
    seen: list[str] = []

    def main() -> None:
        wg = zokor.WaitGroup()

        def profiled() -> None:
            pass

        wg.go(profiled)
        wg.wait()

    threading.setprofile(lambda frame, event, arg: seen.append(frame.f_code.co_name))
    try:
        zokor.run(main)
    finally:
        threading.setprofile(None)
    assert "profiled" in seen


def test_recursion_limit_holds_in_goroutines() -> None:
    class Nested:
        def __repr__(self) -> str:
            return repr([self])

    def main() -> list[str]:
        out = zokor.Chan[str](3)

        def deep(n: int) -> int:
            return 0 if n == 0 else 1 + deep(n - 1)

        def endless() -> None:
            endless()

        def python() -> None:
            assert deep(800) == 800
            try:
                endless()
            except RecursionError:
                out.send("python")

        def c() -> None:
            try:
                repr(Nested())
            except RecursionError:
                out.send("c")

        def sort() -> None:
            nested: list[Any] = []
            for _ in range(100_000):
                nested = [nested]
            try:
                repr(nested)
            except RecursionError:
                out.send("list")
            while nested:
                nested = nested.pop()

        zokor.go(python)
        zokor.go(c)
        zokor.go(sort)
        return sorted(out.recv() for _ in range(3))

    assert zokor.run(main) == ["c", "list", "python"]


def test_asyncio_runs_inside_a_goroutine() -> None:
    async def coro() -> int:
        await asyncio.sleep(0)
        return 5

    def main() -> int:
        c = zokor.Chan[int]()
        zokor.go(lambda: c.send(asyncio.run(coro())))
        return c.recv()

    assert zokor.run(main) == 5


def test_imports_and_warnings_in_goroutines() -> None:
    def main() -> int:
        wg = zokor.WaitGroup()

        def work() -> None:
            import xml.dom.minidom  # noqa: F401

            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with pytest.raises(UserWarning):
                    warnings.warn("x", stacklevel=1)

        for _ in range(5):
            wg.go(work)
        wg.wait()
        return 1

    assert zokor.run(main) == 1


def test_the_collector_sees_through_parked_goroutines() -> None:
    class Token:
        pass

    def main() -> None:
        c = zokor.Chan[None]()
        alive: list[weakref.ref[Token]] = []

        def hold() -> None:
            t = Token()
            t.me = t  # type: ignore[attr-defined]
            alive.append(weakref.ref(t))
            c.recv()

        for _ in range(100):
            zokor.go(hold)
        parked(100, "chan receive")
        gc.collect()
        assert all(w() is not None for w in alive)
        for _ in range(100):
            c.send(None)

        def gone() -> bool:
            gc.collect()
            return all(w() is None for w in alive)

        until(gone)

    zokor.run(main)


def test_ten_thousand_parked() -> None:
    def main() -> int:
        c, out = zokor.Chan[int](), zokor.Chan[int](100)

        def work() -> None:
            out.send(c.recv() + 1)

        for _ in range(10_000):
            zokor.go(work)
        until(lambda: zokor.stats().blocked == 10_000)
        assert zokor.stats().goroutines == 10_001

        def feed() -> None:
            for i in range(10_000):
                c.send(i)

        zokor.go(feed)
        return sum(out.recv() for _ in range(10_000))

    assert zokor.run(main) == sum(range(1, 10_001))


def test_spawning_many_leaves_no_memory() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1])

    def main() -> int:
        wg = zokor.WaitGroup()

        def nothing() -> None:
            pass

        def wave() -> None:
            for _ in range(20):
                for _ in range(1000):
                    wg.go(nothing)
                wg.wait()

        wave()
        before = resident()
        wave()
        wave()
        return resident() - before

    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    assert zokor.run(main) < 1024, "pages grown over 40,000 goroutines"


def test_blocking_runs_elsewhere_and_gives_back_what_happened() -> None:
    v: contextvars.ContextVar[str] = contextvars.ContextVar("v")

    def main() -> None:
        v.set("seen")
        here = threading.get_ident()
        there = zokor.blocking(threading.get_ident)
        assert there != here
        assert zokor.blocking(v.get) == "seen"
        assert zokor.blocking(int, "11", base=2) == 3
        with pytest.raises(ZeroDivisionError) as e:
            zokor.blocking(lambda: 1 // 0)
        assert e.traceback[-1].name == "<lambda>"
        with pytest.raises(TypeError):
            zokor.blocking(3)  # type: ignore[arg-type]

    zokor.run(main)
    assert zokor.blocking(int, "7") == 7


def test_others_run_while_one_blocks() -> None:
    def main() -> None:
        event, c = threading.Event(), zokor.Chan[bool]()
        zokor.go(lambda: c.send(zokor.blocking(event.wait)))
        zokor.go(event.set)
        assert c.recv() is True

    zokor.run(main)


def test_a_helper_thread_uses_channels_but_does_not_wait_on_them() -> None:
    def main() -> list[int]:
        c = zokor.Chan[int](50)

        def helper() -> None:
            for i in range(50):
                assert c.try_send(i)
            for wait in (lambda: c.send(50), lambda: zokor.sleep(1), lambda: zokor.select(c.to_send(1))):
                with pytest.raises(zokor.Error, match="inside blocking"):
                    wait()
            assert zokor.blocking(int, "3") == 3
            c.close()

        zokor.go(zokor.blocking, helper)
        return list(c)

    assert zokor.run(main) == list(range(50))
