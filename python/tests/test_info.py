"""`goroutines`, `dump`, `stats`."""

import io
import sys

import pytest
from conftest import parked

import zokor


def test_goroutines_say_what_they_wait_for() -> None:
    def receives(c: zokor.Chan[int]) -> None:
        c.recv()

    def main() -> None:
        c, d = zokor.Chan[int](name="jobs"), zokor.Chan[int]()
        zokor.go(receives, c)
        zokor.go(d.send, 1)
        zokor.go(zokor.select, c, d.to_send(1))
        zokor.go(zokor.sleep, 3600)
        parked(4)
        infos = {g.name: g for g in zokor.goroutines()}
        assert len(infos) == 5
        me = next(g for g in infos.values() if g.id == zokor.goid())
        assert me.state == "running" and me.wait_on == "" and me.name.endswith("main")
        named = next(g for g in infos.values() if g.name.endswith("receives"))
        assert (named.state, named.wait_on) == ("blocked", "chan receive 'jobs'")
        assert {g.wait_on.split(" ")[0] for g in infos.values() if g.state == "blocked"} >= {"chan", "select", "sleep"}
        now = zokor.now()
        assert all(0 <= g.since <= now for g in infos.values())
        assert isinstance(me, zokor.GoInfo) and [g.id for g in zokor.goroutines()] == sorted(g.id for g in infos.values())

    zokor.run(main)


def test_dump_shows_python_stacks() -> None:
    def inner(c: zokor.Chan[int]) -> None:
        c.recv()

    def outer(c: zokor.Chan[int]) -> None:
        inner(c)

    def main() -> str:
        c = zokor.Chan[int](name="jobs")
        zokor.go(outer, c)
        parked(1, "chan receive")
        zokor.go(print)
        text = io.StringIO()
        zokor.dump(text)
        return text.getvalue()

    text = zokor.run(main)
    assert "outer" in text and "[chan receive 'jobs', " in text
    assert "in outer\n    inner(c)" in text and "in inner\n    c.recv()" in text
    assert "(not started)" in text
    assert "in main\n    zokor.dump(text)" in text


def test_dump_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    zokor.run(zokor.dump)
    assert "goroutine" in capsys.readouterr().err
    with pytest.raises(TypeError):
        zokor.dump(1, 2)  # type: ignore[call-arg, arg-type]
    with pytest.raises(AttributeError):
        zokor.dump(3)  # type: ignore[arg-type]


def test_stats_count() -> None:
    def main() -> tuple[zokor.Stats, zokor.Stats]:
        before = zokor.stats()
        for _ in range(10):
            zokor.go(zokor.sleep, 3600)
        parked(10, "sleep")
        return before, zokor.stats()

    a, b = zokor.run(main)
    assert isinstance(a, zokor.Stats)
    assert (b.created - a.created, b.goroutines - a.goroutines, b.blocked - a.blocked) == (10, 10, 10)
    assert b.switches > a.switches and b.stack_bytes > 0 and b.workers >= 1


def test_faulthandler_sees_parked_goroutines(child) -> None:  # type: ignore[no-untyped-def]
    done = child(
        """
import faulthandler, sys, zokor
def waits(c): c.recv()
def main():
    c = zokor.Chan()
    for _ in range(20):
        zokor.go(waits, c)
    while zokor.stats().blocked < 20:
        zokor.yield_now()
    faulthandler.dump_traceback(all_threads=True)
    frames = sys._current_frames()
    assert len(frames) >= 1
zokor.run(main)
""",
        "-X",
        "faulthandler",
    )
    assert "in waits" in done.err and "most recent call first" in done.err


def test_everything_public_has_a_docstring_and_a_home() -> None:
    for name in zokor.__dict__["__all__"]:
        o = getattr(zokor, name)
        if name in ("CLOSED", "__version__"):
            continue
        assert o.__doc__, name
        assert o.__module__ in ("zokor", "zokor._zokor"), name
    assert sys.modules["zokor"].__version__ == zokor.__version__
