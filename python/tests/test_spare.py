"""Thread states that serve one goroutine after another: what one leaves behind does not reach the next."""

import asyncio
import contextvars
import ctypes
import decimal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import parked

import zokor

api = ctypes.pythonapi
for name in ("PyThreadState_Get", "PyThreadState_Next", "PyInterpreterState_Get", "PyInterpreterState_ThreadHead"):
    getattr(api, name).restype = ctypes.c_void_p
api.PyThreadState_GetID.restype = ctypes.c_uint64
for name in ("PyThreadState_Next", "PyThreadState_GetID", "PyInterpreterState_ThreadHead"):
    getattr(api, name).argtypes = [ctypes.c_void_p]

known = pytest.mark.skipif(sys.version_info >= (3, 14), reason="the layout of thread states is not known")


def number() -> int:
    """The number of the thread state."""
    return int(api.PyThreadState_GetID(api.PyThreadState_Get()))


def address() -> int:
    return int(api.PyThreadState_Get())


def states() -> int:
    """How many thread states there are."""
    n, state = 0, api.PyInterpreterState_ThreadHead(api.PyInterpreterState_Get())
    while state:
        n, state = n + 1, api.PyThreadState_Next(state)
    return n


def one_by_one(*functions: Callable[[], Any]) -> list[Any]:
    """Runs each in a goroutine of its own when the one before has ended; what they return."""

    def main() -> list[Any]:
        wg, results = zokor.WaitGroup(), list[Any]()
        for function in functions:
            wg.go(lambda: results.append(function()))
            wg.wait()
        return results

    return zokor.run(main)


@known
def test_a_state_serves_the_next_one() -> None:
    assert len(set(one_by_one(*[address] * 100))) == 1


def test_each_goroutine_has_a_number_of_its_own() -> None:
    """By which caches tell whose thread state they are for."""
    assert len({number(), *one_by_one(*[number] * 100)}) == 101


def catch() -> None:
    try:
        raise ValueError
    except ValueError:
        pass


def catch_within() -> None:
    try:
        catch()
        raise KeyError
    except KeyError:
        try:
            catch()
        finally:
            catch()


def catch_what_yields() -> None:
    try:
        raise ValueError
    except ValueError:
        zokor.yield_now()
        catch()


def catch_in_destructor() -> None:
    class Token:
        def __del__(self) -> None:
            catch()

    local.token = Token()


def raise_in_context() -> None:
    contextvars.copy_context().run(catch_within)


@known
@pytest.mark.parametrize("fails", [catch, catch_within, catch_what_yields, catch_in_destructor, raise_in_context])
def test_who_has_caught_an_exception_leaves_a_state(fails: Callable[[], None]) -> None:
    def work() -> tuple[bool, tuple[object, ...]]:
        # CPython counts states from 1.
        first = number() >= sys.maxsize, sys.exc_info()
        fails()
        return first

    one_by_one(number)
    assert one_by_one(*[work] * 20) == [(True, (None, None, None))] * 20


@known
def test_goroutines_at_the_same_time_have_states_of_their_own() -> None:
    def main() -> None:
        c, addresses = zokor.Chan[None](), list[int]()

        def work() -> None:
            addresses.append(address())
            c.recv()

        for _ in range(3):
            for _ in range(200):
                zokor.go(work)
            parked(200, "chan receive")
            for _ in range(200):
                c.send(None)
            assert len(set(addresses)) == 200
            addresses.clear()

    zokor.run(main)
    assert states() < 100, "those that are kept"


v: contextvars.ContextVar[int] = contextvars.ContextVar("v")
local = threading.local()


def deep(n: int) -> int:
    a = b = c = d = e = n
    return a if n == 0 else deep(n - 1) + b - c + d - e


def set_trace() -> None:
    sys.settrace(lambda *_: None)


def set_profile() -> None:
    sys.setprofile(lambda *_: None)


def set_decimal() -> None:
    decimal.setcontext(decimal.Context(prec=3))


def set_hooks() -> None:
    sys.set_asyncgen_hooks(firstiter=lambda _: None, finalizer=lambda _: None)


def raise_in_generator() -> None:
    def values() -> Iterator[int]:
        try:
            yield 1
        finally:
            sys.exc_info()

    try:
        next(values())
        raise ValueError
    except ValueError:
        assert sys.exc_info()[0] is ValueError


def running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


LEAVES: list[tuple[Callable[[], Any], Callable[[], Any], Any]] = [
    (lambda: setattr(local, "n", 1), lambda: hasattr(local, "n"), False),
    (lambda: v.set(1), lambda: v.get(0), 0),
    (lambda: (v.get(0), v.set(2), v.get()), lambda: v.get(0), 0),
    (set_decimal, lambda: decimal.getcontext().prec, decimal.getcontext().prec),
    (set_trace, sys.gettrace, None),
    (set_profile, sys.getprofile, None),
    (set_hooks, lambda: sys.get_asyncgen_hooks()[:], (None, None)),
    (lambda: sys.set_coroutine_origin_tracking_depth(5), sys.get_coroutine_origin_tracking_depth, 0),
    (raise_in_generator, sys.exc_info, (None, None, None)),
    (lambda: asyncio.run(asyncio.sleep(0)), running_loop, None),
    (lambda: deep(800), lambda: deep(800), 0),
    (lambda: repr([[]]), lambda: repr([[]]), "[[]]"),
]


@pytest.mark.parametrize("leave, look, expected", LEAVES)
def test_what_is_left_does_not_reach_the_next(
    leave: Callable[[], Any], look: Callable[[], Any], expected: object
) -> None:
    for _ in range(3):
        assert one_by_one(look, leave, look, leave, leave, look)[::5] == [expected, expected]
        assert one_by_one(leave, look)[1] == expected


def test_a_context_is_that_of_whoever_started_it() -> None:
    """Whether or not anything is in it, and whoever had the thread state before."""

    def main() -> list[int]:
        wg, got = zokor.WaitGroup(), list[int]()

        def look() -> None:
            got.append(v.get(0))
            v.set(100)

        for n in range(6):
            context = contextvars.copy_context()
            if n % 2:
                context.run(v.set, n)
            context.run(wg.go, look)
            wg.wait()
        return got

    assert contextvars.copy_context().run(zokor.run, main) == [0, 1, 0, 3, 0, 5]


def test_values_die_with_the_goroutine_in_its_context() -> None:
    class Token:
        def __del__(self) -> None:
            seen.append(zokor.goid())

    seen: list[int] = []
    held: contextvars.ContextVar[Token] = contextvars.ContextVar("held")

    def leave() -> int:
        held.set(Token())
        local.token = Token()
        return zokor.goid()

    for _ in range(3):
        seen.clear()
        [me] = one_by_one(leave)
        assert seen == [me, me]


def test_a_destructor_that_leaves_something_in_turn() -> None:
    class Stubborn:
        def __del__(self) -> None:
            local.n = 1
            v.set(7)
            zokor.yield_now()

    def leave() -> None:
        local.o = Stubborn()

    assert one_by_one(leave, lambda: (hasattr(local, "n"), v.get(0)))[1] == (False, 0)


def test_a_new_recursion_limit_holds_for_spare_states() -> None:
    before = sys.getrecursionlimit()

    def depth() -> int:
        n = 0

        def down() -> None:
            nonlocal n
            n += 1
            down()

        try:
            down()
        except RecursionError:
            pass
        return n

    try:
        for limit in (before + 500, before, before + 200):
            sys.setrecursionlimit(limit)
            assert all(limit - 50 < n < limit + 50 for n in one_by_one(depth, depth, depth))
    finally:
        sys.setrecursionlimit(before)
    assert len(one_by_one(*[number] * 3)) == 3


def test_an_exception_from_outside_reaches_whoever_runs() -> None:
    class Outside(Exception):
        pass

    def main() -> str:
        wg = zokor.WaitGroup()
        for _ in range(10):
            wg.go(lambda: None)
        wg.wait()
        try:
            thread = ctypes.c_ulong(threading.get_ident())
            assert api.PyThreadState_SetAsyncExc(thread, ctypes.py_object(Outside)) == 1
            for _ in range(1000):
                pass
        except Outside:
            return "main"
        return "nobody"

    assert zokor.run(main) == "main"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no way to do that")
@pytest.mark.parametrize("what", ["trace", "profile"])
def test_hooks_set_in_all_threads_do_not_stay_in_spare_states(what: str) -> None:
    set_all, set_new = getattr(threading, f"set{what}_all_threads"), getattr(threading, f"set{what}")
    get, set_here = getattr(sys, f"get{what}"), getattr(sys, f"set{what}")
    before = get()

    def set_and_take_back() -> None:
        set_all(lambda *_: None)
        set_new(None)
        set_here(None)

    try:
        one_by_one(number, number)
        set_and_take_back()
        assert one_by_one(get, set_and_take_back, get, get) == [None] * 4
    finally:
        set_all(None)
        set_here(before)


def test_the_states_of_a_thread_end_with_it() -> None:
    def thread() -> None:
        one_by_one(number, number)

        def main() -> None:
            c = zokor.Chan[None]()
            for _ in range(20):
                zokor.go(c.recv)
            parked(20, "chan receive")
            for _ in range(20):
                c.send(None)

        zokor.run(main)

    before = states()
    for _ in range(20):
        t = threading.Thread(target=thread)
        t.start()
        t.join()
    # A thread that has been joined may still be on its way out.
    while states() > before + 2:
        time.sleep(0.001)


SUBINTERPRETER = """
import sys, time
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    sys.exit()
me = interpreters.create() if sys.version_info < (3, 12) else interpreters.create(isolated=False)
interpreters.run_string(me, '''
import sys, time, zokor
c = zokor.Chan(5)
for _ in range(5):
    zokor.go(c.send, None)
for _ in range(5):
    c.recv()
while len(sys._current_exceptions()) > 1:
    time.sleep(0.001)
''')
interpreters.destroy(me)
"""


def test_a_subinterpreter_can_end() -> None:
    """CPython ends the process if thread states are left in it."""
    done = subprocess.run([sys.executable, "-c", SUBINTERPRETER], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_frames_beyond_the_first_chunk_live_and_go() -> None:
    class Token:
        pass

    def main() -> None:
        c, wg = zokor.Chan[None](), zokor.WaitGroup()
        refs: list[weakref.ref[Token]] = []

        def down(n: int) -> None:
            token = Token()
            refs.append(weakref.ref(token))
            if n == 0:
                c.recv()
            else:
                down(n - 1)
            assert refs and token is not None

        for n in (1, 3, 5, 7, 20, 300):
            wg.go(down, n)
        parked(6, "chan receive")
        for _ in range(6):
            c.send(None)
        wg.wait()
        assert len(refs) == 342 and all(r() is None for r in refs)

    for _ in range(3):
        zokor.run(main)
