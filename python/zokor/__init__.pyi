"""Goroutines, channels and select for Python.

Conventions that hold for every name below:

* Seconds are floats. ``timeout=None`` waits for ever, ``timeout=0`` never waits.
* A timeout that passes raises the built-in ``TimeoutError``; ``select`` returns ``None``.
* Blocking calls work in goroutines and in plain threads (they block the thread).
* A blocking call whose context is done raises ``Cancelled`` and has not happened.
* Objects are process-local: pickling or copying one raises ``TypeError``.
"""

from collections.abc import Callable, Iterator
from enum import Enum
from types import TracebackType
from typing import (
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    Never,
    ParamSpec,
    Protocol,
    Self,
    TextIO,
    TypeAlias,
    TypeVar,
    final,
    overload,
)

__version__: Final[str]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_T_contra = TypeVar("_T_contra", contravariant=True)
_A = TypeVar("_A")
_B = TypeVar("_B")
_C = TypeVar("_C")
_D = TypeVar("_D")
_E = TypeVar("_E")

# ---- errors ---------------------------------------------------------------

class Error(Exception):
    """Base class of everything this module raises on its own behalf."""

class ChanClosed(Error):
    """send on a closed channel, or recv on a closed and drained one."""

class WouldBlock(Error):
    """A ``try_`` call could not finish at once."""

class Deadlock(Error):
    """Every goroutine is blocked and nothing can wake one."""

    dump: str

class Misuse(Error, RuntimeError):
    """A rule was broken: unlock of an unlocked lock, negative WaitGroup, over-release."""

class Cancelled(BaseException):
    """The context of this goroutine is done. Let it pass; ``cause`` says why."""

    cause: BaseException | None
    def __init__(self, cause: BaseException | None = None, /) -> None: ...

class Closed(Enum):
    """Type of ``CLOSED``, what ``select`` yields for a closed channel."""

    CLOSED = 0

CLOSED: Final = Closed.CLOSED
_Closed: TypeAlias = Literal[Closed.CLOSED]

# ---- goroutines -------------------------------------------------------------

def run(main: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run ``main`` as the first goroutine and return its result.

    Raises ``Deadlock`` when nothing can go on, and the first exception that no
    goroutine caught. Cancels what is still running before it returns."""

def go(fn: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs) -> None:
    """Start ``fn(*args, **kwargs)`` in a goroutine of its own.

    It runs in a copy of the current ``contextvars`` context. An exception that
    leaves ``fn`` ends the surrounding ``run`` (without one it goes to
    ``threading.excepthook``)."""

def blocking(fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run ``fn`` on a helper thread while only this goroutine waits."""

def sleep(seconds: float, /) -> None: ...
def yield_now() -> None: ...
def goid() -> int:
    """Number of this goroutine; 0 in a plain thread."""

def now() -> float:
    """``time.monotonic()``; virtual inside ``testing.run``."""
def configure(
    *, workers: int | None = None, stack_size: int | None = None, max_blocking: int | None = None
) -> None:
    """Set limits before first use; ``Error`` once the runtime runs."""

# ---- channels ---------------------------------------------------------------

class SendChan(Protocol[_T_contra]):
    """The sending side. ``Chan[T]`` is one; accept this in functions that only send."""

    def send(self, value: _T_contra, /, *, timeout: float | None = None) -> None: ...
    def try_send(self, value: _T_contra, /) -> bool: ...
    def to_send(self, value: _T_contra, /) -> SendCase: ...
    def close(self) -> None: ...

class RecvChan(Protocol[_T_co]):
    """The receiving side. ``Chan[T]`` is one; accept this in functions that only receive."""

    def recv(self, *, timeout: float | None = None) -> _T_co: ...
    def try_recv(self) -> _T_co: ...
    def __iter__(self) -> Iterator[_T_co]: ...
    def _case(self) -> _T_co | _Closed: ...

@final
class Chan(Generic[_T]):
    """A channel of capacity ``cap``; 0 makes sender and receiver meet.

    >>> c = Chan[int](2)
    >>> c.send(1); c.send(2); c.close()
    >>> list(c)
    [1, 2]
    """

    def __init__(self, cap: int = 0, /, *, name: str | None = None) -> None: ...
    @property
    def cap(self) -> int: ...
    @property
    def buffered(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def name(self) -> str | None: ...
    def send(self, value: _T, /, *, timeout: float | None = None) -> None:
        """Hand ``value`` over. ``ChanClosed`` if the channel is or gets closed."""
    def recv(self, *, timeout: float | None = None) -> _T:
        """Take the next value. ``ChanClosed`` once closed and drained."""
    def try_send(self, value: _T, /) -> bool:
        """True if it was taken at once, False if it would have blocked."""
    def try_recv(self) -> _T:
        """A value that is there now, else ``WouldBlock`` (or ``ChanClosed``)."""
    def to_send(self, value: _T, /) -> SendCase:
        """A send case for ``select``. Nothing is sent by itself."""
    def close(self) -> None:
        """No more sends; receivers drain the buffer. Closing twice is harmless."""
    @property
    def sender(self) -> SendChan[_T]:
        """A view that can only send."""
    @property
    def receiver(self) -> RecvChan[_T]:
        """A view that can only receive."""
    def __iter__(self) -> Iterator[_T]:
        """Receive until the channel is closed and drained."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self, et: type[BaseException] | None, ev: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        """Closes."""
    __contains__: None  # type: ignore[assignment]
    def __class_getitem__(cls, item: Any, /) -> Any: ...
    def __reduce__(self) -> Never: ...
    def _case(self) -> _T | _Closed: ...

@final
class SendCase:
    def _case(self) -> None: ...

# ---- select -----------------------------------------------------------------

class Selectable(Protocol[_T_co]):
    """A channel (receive from it), ``chan.to_send(v)`` or a ``Timer``."""

    def _case(self) -> _T_co: ...

@overload
def select(a: Selectable[_A] | None, /) -> tuple[Literal[0], _A]: ...
@overload
def select(
    a: Selectable[_A] | None, b: Selectable[_B] | None, /
) -> tuple[Literal[0], _A] | tuple[Literal[1], _B]: ...
@overload
def select(
    a: Selectable[_A] | None, b: Selectable[_B] | None, c: Selectable[_C] | None, /
) -> tuple[Literal[0], _A] | tuple[Literal[1], _B] | tuple[Literal[2], _C]: ...
@overload
def select(
    a: Selectable[_A] | None,
    b: Selectable[_B] | None,
    c: Selectable[_C] | None,
    d: Selectable[_D] | None,
    /,
) -> (
    tuple[Literal[0], _A] | tuple[Literal[1], _B] | tuple[Literal[2], _C] | tuple[Literal[3], _D]
): ...
@overload
def select(
    a: Selectable[_A] | None,
    b: Selectable[_B] | None,
    c: Selectable[_C] | None,
    d: Selectable[_D] | None,
    e: Selectable[_E] | None,
    /,
) -> (
    tuple[Literal[0], _A]
    | tuple[Literal[1], _B]
    | tuple[Literal[2], _C]
    | tuple[Literal[3], _D]
    | tuple[Literal[4], _E]
): ...
@overload
def select(*cases: Selectable[_A] | None) -> tuple[int, _A]: ...
@overload
def select(
    a: Selectable[_A] | None, /, *, timeout: float | None
) -> tuple[Literal[0], _A] | None: ...
@overload
def select(
    a: Selectable[_A] | None, b: Selectable[_B] | None, /, *, timeout: float | None
) -> tuple[Literal[0], _A] | tuple[Literal[1], _B] | None: ...
@overload
def select(
    a: Selectable[_A] | None,
    b: Selectable[_B] | None,
    c: Selectable[_C] | None,
    /,
    *,
    timeout: float | None,
) -> tuple[Literal[0], _A] | tuple[Literal[1], _B] | tuple[Literal[2], _C] | None: ...
@overload
def select(
    a: Selectable[_A] | None,
    b: Selectable[_B] | None,
    c: Selectable[_C] | None,
    d: Selectable[_D] | None,
    /,
    *,
    timeout: float | None,
) -> (
    tuple[Literal[0], _A]
    | tuple[Literal[1], _B]
    | tuple[Literal[2], _C]
    | tuple[Literal[3], _D]
    | None
): ...
@overload
def select(*cases: Selectable[_A] | None, timeout: float | None) -> tuple[int, _A] | None:
    """Wait until one case can proceed, do it, return ``(index, value)``.

    A receive yields the value, or ``CLOSED``; a send yields ``None``, or raises
    ``ChanClosed``. Among several ready cases the choice is random. ``None`` cases are
    skipped, so a variable can switch a case off. ``timeout=0`` is Go's ``default``.

        match select(jobs, quit, timeout=1.0):
            case 0, zokor.CLOSED: return
            case 0, job:       work(job)
            case 1, _:         return
            case None:         print("idle")
    """

# ---- time -------------------------------------------------------------------

def after(seconds: float, /) -> RecvChan[float]:
    """A channel that delivers the monotonic time once."""

def tick(seconds: float, /) -> Timer:
    """A repeating timer; late ticks are dropped."""

@final
class Timer:
    """Fires once after ``seconds``, or every ``period``. Iterate or select on it."""

    def __init__(self, seconds: float, /, *, period: float | None = None) -> None: ...
    def stop(self) -> bool: ...
    def reset(self, seconds: float, /) -> bool: ...
    def recv(self, *, timeout: float | None = None) -> float: ...
    def try_recv(self) -> float: ...
    def __iter__(self) -> Iterator[float]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, et: type[BaseException] | None, ev: BaseException | None, tb: TracebackType | None, /
    ) -> None: ...
    def _case(self) -> float | _Closed: ...

# ---- sync -------------------------------------------------------------------

@final
class WaitGroup:
    def __init__(self, n: int = 0, /) -> None: ...
    def add(self, n: int = 1, /) -> None: ...
    def done(self) -> None: ...
    def wait(self, *, timeout: float | None = None) -> None: ...
    def go(self, fn: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs) -> None: ...

# ---- looking inside -----------------------------------------------------------

class Stats(NamedTuple):
    goroutines: int
    runnable: int
    blocked: int
    created: int
    workers: int
    switches: int
    steals: int
    timers: int
    stack_bytes: int

class GoInfo(NamedTuple):
    id: int
    name: str
    state: Literal["running", "runnable", "blocked"]
    wait_on: str  # "" unless blocked: "chan receive 'jobs'", "select", "sleep", ...
    since: float

def stats() -> Stats: ...
def goroutines() -> list[GoInfo]: ...
def dump(file: TextIO | None = None, /) -> None:
    """Every goroutine with its Python stack; to stderr by default."""
