"""Read by type checkers, not run: what the stubs must infer, and (marked `expected`) what they must refuse."""

from typing import Literal, assert_type

import zokor

c = zokor.Chan[int](3)
q = zokor.Chan[None]()
s = zokor.Chan[str]()

match zokor.select(c, s.to_send("a"), q):
    case 0, zokor.CLOSED:
        pass
    case 0, v:
        assert_type(v, int)
    case 1, n:
        assert_type(n, None)
    case 2, _:
        pass

r = zokor.select(c, s, timeout=1)
if r is not None:
    assert_type(r[0], Literal[0, 1])

assert_type(zokor.select(zokor.tick(1))[0], Literal[0])
several = [c, zokor.Chan[int]()]
i, value = zokor.select(*several)
assert_type(i, int)


def off(maybe: zokor.Chan[int] | None) -> None:
    """A case that a variable switches off."""
    match zokor.select(maybe, s):
        case 0, zokor.CLOSED:
            pass
        case 0, mv:
            assert_type(mv, int)
        case 1, _:
            pass


def reads_floats(ch: zokor.RecvChan[float]) -> None: ...
def sends_bools(ch: zokor.SendChan[bool]) -> None: ...


reads_floats(c)  # an int is a float: receiving is covariant
sends_bools(c)  # a bool is an int: sending is contravariant
reads_floats(c.receiver)
sends_bools(c.sender)
reads_floats(zokor.after(1))
reads_floats(zokor.Timer(1))

zokor.go(reads_floats, c)
zokor.go(reads_floats, s)  # type: ignore[arg-type]  # expected: Chan[str] is no RecvChan[float]
c.send("x")  # type: ignore[arg-type]  # expected: not an int

assert_type(zokor.run(lambda: 3), int)
assert_type(zokor.run(len, "abc"), int)
assert_type(zokor.blocking(open, "f").fileno(), int)
assert_type([x for x in c], list[int])
assert_type(zokor.stats().goroutines, int)
assert_type(zokor.goroutines()[0].wait_on, str)
with zokor.Chan[bytes]() as b:
    assert_type(b.recv(timeout=1), bytes)
