"""`sleep`, `now`, `Timer`, `after`, `tick`."""

import signal
import time

import pytest
from conftest import parked

import zokor


def test_now_is_the_monotonic_clock() -> None:
    a = time.monotonic()
    b = zokor.now()
    c = time.monotonic()
    assert a <= b <= c


def test_sleep_takes_at_least_that_long() -> None:
    def main() -> None:
        t = zokor.now()
        zokor.sleep(0.02)
        assert zokor.now() - t >= 0.02

    zokor.run(main)
    main()


def test_t01_a_plain_main_thread_sleeps_on_after_looking_for_signals() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: came.append(number))
    try:
        t = zokor.now()
        signal.setitimer(signal.ITIMER_REAL, 0.09)
        zokor.sleep(0.15)
        assert zokor.now() - t >= 0.15
        assert came == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("seconds", [0, -1, -float("inf")])
def test_sleep_of_nothing(seconds: float) -> None:
    zokor.run(zokor.sleep, seconds)


def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    def main() -> list[int]:
        order: list[int] = []
        wg = zokor.WaitGroup()

        def nap(i: int) -> None:
            zokor.sleep(0.02 * (i + 1))
            order.append(i)

        for i in (3, 0, 2, 1):
            wg.go(nap, i)
        wg.wait()
        return order

    assert zokor.run(main) == [0, 1, 2, 3]


def test_others_run_while_one_sleeps() -> None:
    def main() -> int:
        n = 0

        def count() -> None:
            nonlocal n
            while True:
                n += 1
                zokor.yield_now()

        zokor.go(count)
        zokor.sleep(0.02)
        return n

    assert zokor.run(main) > 10


def test_after_fires_once() -> None:
    def main() -> None:
        t = zokor.now()
        c = zokor.after(0.01)
        assert c.recv() >= t + 0.01
        with pytest.raises(TimeoutError):
            c.recv(timeout=0.02)
        with pytest.raises(zokor.WouldBlock):
            c.try_recv()

    zokor.run(main)


def test_tick_keeps_its_phase_and_drops_late_ticks() -> None:
    def main() -> None:
        with zokor.tick(0.01) as t:
            first = t.recv()
            zokor.sleep(0.055)
            late = t.recv()
            following = t.recv()
        phase = round((following - first) / 0.01, 3)
        assert phase == int(phase)
        assert late < following
        with pytest.raises(TimeoutError):
            t.recv(timeout=0.03)

    zokor.run(main)


def test_timer_iterates() -> None:
    def main() -> None:
        due = []
        with zokor.Timer(0.005, period=0.01) as t:
            for when in t:
                due.append(when)
                if len(due) == 3:
                    break
        assert due == sorted(due)

    zokor.run(main)


def test_stop_and_reset() -> None:
    def main() -> None:
        t = zokor.Timer(3600)
        assert t.stop() is True
        assert t.stop() is False
        assert t.reset(0) is False
        t.recv(timeout=10)
        assert t.reset(3600) is False
        assert t.reset(0.001) is True
        t.recv(timeout=10)
        # Fired but not received: stopping takes the tick back.
        t.reset(0)
        zokor.sleep(0.005)
        t.stop()
        with pytest.raises(zokor.WouldBlock):
            t.try_recv()

    zokor.run(main)


@pytest.mark.parametrize("seconds", [0, -5])
def test_timer_of_nothing_fires_at_once(seconds: float) -> None:
    def main() -> None:
        zokor.Timer(seconds).recv(timeout=10)
        zokor.after(seconds).recv(timeout=10)

    zokor.run(main)


@pytest.mark.parametrize("seconds", [float("inf"), 1e200])
def test_timer_beyond_the_clock_never_fires(seconds: float) -> None:
    t = zokor.Timer(seconds)
    assert zokor.select(t, timeout=0.001) is None
    assert t.stop() is True


@pytest.mark.parametrize("nan", [float("nan")])
def test_nan_is_no_time(nan: float) -> None:
    for call in (zokor.sleep, zokor.after, zokor.tick, zokor.Timer, zokor.Timer(9).reset):
        with pytest.raises(ValueError, match="NaN"):
            call(nan)
    with pytest.raises(ValueError, match="NaN"):
        zokor.Timer(1, period=nan)


@pytest.mark.parametrize("period", [0, -1, 0.0])
def test_a_period_is_positive(period: float) -> None:
    with pytest.raises(ValueError, match="period"):
        zokor.tick(period)
    with pytest.raises(ValueError, match="period"):
        zokor.Timer(1, period=period)


@pytest.mark.parametrize("what", ["1", None, [1]])
def test_other_objects_are_no_time(what: object) -> None:
    for call in (zokor.sleep, zokor.after, zokor.tick, zokor.Timer):
        with pytest.raises(TypeError):
            call(what)  # type: ignore[arg-type]


def test_dropped_timers_leave_nothing() -> None:
    def main() -> None:
        before = zokor.stats().timers
        for _ in range(1000):
            zokor.Timer(3600, period=1)
            zokor.after(3600)
        assert zokor.stats().timers <= before + 1

    zokor.run(main)


def test_wait_on_names_the_sleep() -> None:
    def main() -> None:
        zokor.go(zokor.sleep, 3600)
        parked(1, "sleep")

    zokor.run(main)
