"""`WaitGroup`."""

import pytest
from conftest import parked

import zokor


def test_waits_for_all() -> None:
    def main() -> int:
        wg = zokor.WaitGroup(100)
        done = 0

        def work() -> None:
            nonlocal done
            zokor.yield_now()
            done += 1
            wg.done()

        for _ in range(100):
            zokor.go(work)
        wg.wait()
        return done

    assert zokor.run(main) == 100


def test_go_counts_by_itself_also_when_it_fails() -> None:
    def main() -> list[int]:
        wg = zokor.WaitGroup()
        seen: list[int] = []

        def work(i: int, *, twice: bool = False) -> None:
            seen.append(i * (2 if twice else 1))
            if i == 3:
                raise zokor.Cancelled

        for i in range(5):
            wg.go(work, i, twice=True)
        wg.wait()
        return sorted(seen)

    assert zokor.run(main) == [0, 2, 4, 6, 8]


def test_many_waiters_wake() -> None:
    def main() -> int:
        wg, over, n = zokor.WaitGroup(1), zokor.WaitGroup(), 0

        def waiter() -> None:
            nonlocal n
            wg.wait()
            n += 1

        for _ in range(10):
            over.go(waiter)
        parked(10)
        wg.done()
        over.wait()
        return n

    assert zokor.run(main) == 10


def test_timeout_and_reuse() -> None:
    def main() -> None:
        wg = zokor.WaitGroup(1)
        for timeout in (0, -1, 0.001):
            with pytest.raises(TimeoutError):
                wg.wait(timeout=timeout)
        wg.done()
        wg.wait(timeout=0)
        wg.add(2)
        with pytest.raises(TimeoutError):
            wg.wait(timeout=0)
        wg.add(-2)
        wg.wait()

    zokor.run(main)
    main()


def test_below_zero_is_misuse() -> None:
    wg = zokor.WaitGroup()
    with pytest.raises(zokor.Misuse):
        wg.done()
    with pytest.raises(zokor.Misuse):
        wg.add(-1)
    with pytest.raises(zokor.Misuse):
        zokor.WaitGroup(-1)
    assert issubclass(zokor.Misuse, zokor.Error) and issubclass(zokor.Misuse, RuntimeError)
    wg.wait()


def test_bad_arguments() -> None:
    wg = zokor.WaitGroup()
    for call in (
        lambda: zokor.WaitGroup("1"),  # type: ignore[arg-type]
        lambda: zokor.WaitGroup(1.0),  # type: ignore[arg-type]
        lambda: wg.add("1"),  # type: ignore[arg-type]
        lambda: wg.add(1, 2),  # type: ignore[call-arg]
        lambda: wg.go(),  # type: ignore[call-arg]
        lambda: wg.go(3),  # type: ignore[arg-type]
        lambda: wg.wait(1),  # type: ignore[call-arg]
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(OverflowError):
        wg.add(2**70)
    wg.wait()
