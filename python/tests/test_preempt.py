"""Goroutines that compute without a call into the runtime let those go on that share the main thread with them."""

import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import zokor

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 14), reason="not preempted there")

SLICES = 0.05
"""Several time slices, in seconds: for so long a goroutine computes that is not to be preempted."""


def compute() -> None:
    end = time.monotonic() + SLICES
    while time.monotonic() < end:
        pass


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


class Hog:
    """Computes in one way or another until it is told to stop."""

    def __init__(self) -> None:
        self.stop = False

    def loops(self) -> None:
        while not self.stop:
            pass

    def counts(self) -> None:
        n = 0
        while True:
            n += 1
            if self.stop:
                return

    def iterates(self) -> None:
        for _ in range(1 << 62):
            if self.stop:
                return

    def recurses(self) -> None:
        while not self.stop:
            fib(8)

    def guards(self) -> None:
        try:
            while not self.stop:
                try:
                    int("x")
                except ValueError:
                    pass
        finally:
            self.stop = True

    def generates(self) -> None:
        def numbers() -> Any:
            while not self.stop:
                yield 1

        for _ in numbers():
            pass

    def locks(self) -> None:
        lock = threading.Lock()
        while not self.stop:
            with lock:
                pass

    def sorts(self) -> None:
        while not self.stop:
            sorted(range(20), key=lambda n: -n)

    def sleeps_first(self) -> None:
        time.sleep(0.3)  # the thread's, so that the runtime gives its turn to others
        self.loops()


WAYS = ["loops", "counts", "iterates", "recurses", "guards", "generates", "locks", "sorts", "sleeps_first"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("many", [1, 2, 5])
def test_main_goes_on(way: str, many: int) -> None:
    def main() -> None:
        hog = Hog()
        for _ in range(many):
            zokor.go(getattr(hog, way))
        for _ in range(3):
            zokor.sleep(0.001)
        hog.stop = True

    zokor.run(main)


def test_goroutines_go_on_while_main_computes() -> None:
    def main() -> None:
        hog = Hog()

        def ticks() -> None:
            for _ in range(3):
                zokor.sleep(0.001)
            hog.stop = True

        zokor.go(ticks)
        hog.loops()

    zokor.run(main)
    zokor.run(main)


def test_goroutines_go_on_that_were_parked_on_the_thread() -> None:
    def main() -> int:
        hog, ticks, c = Hog(), 0, zokor.Chan[int]()

        def answers() -> None:
            for n in c:
                zokor.sleep(0.001)
                hog.stop = n == 3

        def asks() -> None:
            nonlocal ticks
            for n in range(4):
                c.send(n)
                ticks += 1
            c.close()

        zokor.go(answers)
        zokor.go(asks)
        zokor.yield_now()
        zokor.go(hog.loops)
        hog.counts()
        return ticks

    assert zokor.run(main) >= 3


def in_with(lock: Any) -> None:
    with lock:
        compute()


def in_try_in_with(lock: Any) -> None:
    with lock:
        try:
            for _ in range(3):
                compute()
        finally:
            pass


def by_hand(lock: Any) -> None:
    lock.acquire()
    end = time.monotonic() + SLICES
    while time.monotonic() < end:
        pass
    lock.release()


def through_exit(lock: Any) -> None:
    class Held:
        def __enter__(self) -> None:
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    end = time.monotonic() + SLICES
    while time.monotonic() < end:
        with Held():
            fib(5)


@pytest.mark.parametrize("hold", [in_with, in_try_in_with, by_hand, through_exit])
@pytest.mark.parametrize("kind", [threading.Lock, threading.RLock, threading.Condition])
def test_nobody_is_preempted_who_holds_a_lock(kind: Callable[[], Any], hold: Callable[[Any], None]) -> None:
    """An `RLock` would let the next goroutine of the thread in, and a `Lock` would never let the thread go on."""
    inside = 0

    class Watched:
        """A lock that knows how many are inside."""

        def __init__(self) -> None:
            self.lock = kind()

        def acquire(self) -> None:
            nonlocal inside
            self.lock.acquire()
            inside += 1
            assert inside == 1

        def release(self) -> None:
            nonlocal inside
            inside -= 1
            self.lock.release()

        def __enter__(self) -> None:
            self.acquire()

        def __exit__(self, *_: object) -> None:
            self.release()

    def main() -> None:
        hog, lock, group = Hog(), Watched(), zokor.WaitGroup()
        for _ in range(3):
            group.go(hold, lock)
        zokor.go(hog.loops)
        group.wait()
        hog.stop = True

    zokor.run(main)
    assert inside == 0


def test_nobody_is_preempted_below_code_that_is_not_pythons() -> None:
    inside = dict[int, int]()

    def key(n: int) -> int:
        thread = threading.get_ident()  # goroutines that have not begun may do so on another one
        inside[thread] = inside.get(thread, 0) + 1
        assert inside[thread] == 1
        end = time.monotonic() + SLICES
        while time.monotonic() < end:
            pass
        inside[thread] -= 1
        return n

    def main() -> None:
        group = zokor.WaitGroup()
        for _ in range(2):
            group.go(sorted, [1, 2], key=key)
        group.wait()

    zokor.run(main)
    assert not any(inside.values())


def test_the_programs_handler_is_left_alone() -> None:
    calls = 0

    def handler(number: int, frame: object) -> None:
        nonlocal calls
        calls += 1

    assert signal.getsignal(signal.SIGURG) == signal.SIG_DFL
    assert callable(zokor.run(signal.getsignal, signal.SIGURG))
    assert signal.getsignal(signal.SIGURG) == signal.SIG_DFL
    signal.signal(signal.SIGURG, handler)
    try:
        assert zokor.run(signal.getsignal, signal.SIGURG) is handler
        zokor.run(compute)
        assert signal.getsignal(signal.SIGURG) is handler and calls == 0
    finally:
        signal.signal(signal.SIGURG, signal.SIG_DFL)


def test_an_interrupt_reaches_main_while_goroutines_compute() -> None:
    def main() -> None:
        hog = Hog()
        zokor.go(hog.loops)
        zokor.go(hog.counts)
        try:
            zokor.sleep(0.001)
            signal.raise_signal(signal.SIGINT)
            zokor.Chan[int]().recv()
        finally:
            hog.stop = True

    with pytest.raises(KeyboardInterrupt):
        zokor.run(main)
