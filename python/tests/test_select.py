"""`select`: readiness, fairness, switched-off cases, closed channels, timeouts."""

from collections import Counter

import pytest
from conftest import parked

import zokor


def test_takes_what_is_ready() -> None:
    a, b = zokor.Chan[int](1), zokor.Chan[str](1)
    b.send("x")
    assert zokor.select(a, b) == (1, "x")
    assert zokor.select(a.to_send(1), b) == (0, None)
    assert zokor.select(a, b) == (0, 1)


def test_default_is_a_timeout_of_zero() -> None:
    c = zokor.Chan[int]()
    assert zokor.select(c, timeout=0) is None
    assert zokor.select(c.to_send(1), timeout=-3) is None
    assert zokor.select(timeout=0) is None
    assert zokor.select(None, None, timeout=0.001) is None


def test_waits_for_the_first_that_can() -> None:
    def main() -> list[tuple[int, object]]:
        a, b, out = zokor.Chan[int](), zokor.Chan[int](), zokor.Chan[tuple[int, object]]()
        zokor.go(lambda: out.send(zokor.select(a, b.to_send(5), timeout=60) or (9, 9)))
        parked(1, "select")
        a.send(3)
        first = out.recv()
        zokor.go(lambda: out.send(zokor.select(a, b.to_send(5))))
        parked(1, "select")
        got = b.recv()
        return [first, out.recv(), (got, None)]

    assert zokor.run(main) == [(0, 3), (1, None), (5, None)]


def test_two_selects_meet() -> None:
    def main() -> set[object]:
        c, out = zokor.Chan[str](), zokor.Chan[tuple[str, object]](2)
        zokor.go(lambda: out.send(("send", zokor.select(c.to_send("v")))))
        zokor.go(lambda: out.send(("recv", zokor.select(c))))
        return {out.recv(), out.recv()}

    assert zokor.run(main) == {("send", (0, None)), ("recv", (0, "v"))}


def test_closed_receive_case_yields_closed() -> None:
    c = zokor.Chan[int](1)
    c.send(1)
    c.close()
    assert zokor.select(c) == (0, 1)
    assert zokor.select(c) == (0, zokor.CLOSED)
    match zokor.select(c):
        case 0, zokor.CLOSED:
            pass
        case other:
            pytest.fail(repr(other))
    assert repr(zokor.CLOSED) == "zokor.CLOSED"


def test_closed_send_case_raises() -> None:
    c = zokor.Chan[int](1, name="shut")
    c.close()
    with pytest.raises(zokor.ChanClosed, match="'shut'"):
        zokor.select(c.to_send(1))


def test_close_wakes_a_waiting_select() -> None:
    def main() -> object:
        c, d, out = zokor.Chan[int](), zokor.Chan[int](), zokor.Chan[object]()
        zokor.go(lambda: out.send(zokor.select(d, c)))
        parked(1, "select")
        c.close()
        return out.recv()

    assert zokor.run(main) == (1, zokor.CLOSED)


def test_none_switches_a_case_off() -> None:
    c = zokor.Chan[int](1)
    c.send(1)
    assert zokor.select(None, c, None) == (1, 1)


def test_choice_is_fair() -> None:
    channels = [zokor.Chan[int](1) for _ in range(4)]
    seen: Counter[int] = Counter()
    for _ in range(4000):
        for c in channels:
            c.try_send(0)
        seen[zokor.select(*channels)[0]] += 1
    assert len(seen) == 4 and min(seen.values()) > 700


def test_more_cases_than_fit_inline() -> None:
    def main() -> None:
        channels = [zokor.Chan[int]() for _ in range(100)]
        for i in (0, 7, 8, 9, 50, 99):
            zokor.go(channels[i].send, i)
            assert zokor.select(*channels) == (i, i)
        sends = [c.to_send(k) for k, c in enumerate(channels)]
        zokor.go(lambda: zokor.select(*sends))
        parked(1, "select")
        assert channels[42].recv() == 42

    zokor.run(main)


def test_the_same_channel_twice() -> None:
    c = zokor.Chan[int](1)
    i, v = zokor.select(c, c.to_send(4), c.to_send(5))
    assert i in (1, 2) and v is None
    assert zokor.select(c, c) in ((0, i + 3), (1, i + 3))


def test_a_send_case_can_be_used_again() -> None:
    c = zokor.Chan[int](3)
    case = c.to_send(8)
    for _ in range(3):
        assert zokor.select(case) == (0, None)
    assert zokor.select(case, timeout=0) is None
    c.close()
    assert list(c) == [8, 8, 8]


def test_timers_take_part() -> None:
    def main() -> None:
        c = zokor.Chan[int]()
        t = zokor.now()
        i, due = zokor.select(c, zokor.after(0.01))
        assert i == 1 and isinstance(due, float) and due >= t + 0.01
        assert zokor.select(c, timeout=0.005) is None

    zokor.run(main)
    main()


@pytest.mark.parametrize("case", [3, "c", zokor.Chan, [zokor.Chan()], object(), zokor.Chan[int]().sender])
def test_other_objects_are_refused(case: object) -> None:
    with pytest.raises(TypeError, match="case 1 must be a channel"):
        zokor.select(None, case)  # type: ignore[call-overload]


def test_unknown_keyword() -> None:
    with pytest.raises(TypeError, match="tiemout"):
        zokor.select(None, tiemout=1)  # type: ignore[call-overload]


def test_loser_leaves_nothing_behind() -> None:
    def main() -> None:
        a, b = zokor.Chan[int](), zokor.Chan[int]()
        for i in range(1000):
            zokor.go(a.send, i)
            assert zokor.select(a, b) == (0, i)
        assert b.try_send(1) is False, "a select that is over must not be served"

    zokor.run(main)


def test_fibonacci_with_quit() -> None:
    def main() -> list[int]:
        c, quit = zokor.Chan[int](), zokor.Chan[None]()
        got: list[int] = []

        def consume() -> None:
            got.extend(c.recv() for _ in range(10))
            quit.close()

        zokor.go(consume)
        x, y = 0, 1
        while True:
            match zokor.select(c.to_send(x), quit):
                case 0, _:
                    x, y = y, x + y
                case 1, _:
                    return got

    assert zokor.run(main) == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
