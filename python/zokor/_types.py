"""Exceptions, records and protocols of ``zokor``: what is most natural to write in Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, NoReturn, Protocol, TypeVar

_T_co = TypeVar("_T_co", covariant=True)
_T_contra = TypeVar("_T_contra", contravariant=True)


class Error(Exception):
    """Base class of everything this module raises on its own behalf."""


class ChanClosed(Error):
    """send on a closed channel, or recv on a closed and drained one."""


class WouldBlock(Error):
    """A ``try_`` call could not finish at once."""


class Deadlock(Error):
    """Every goroutine is blocked and nothing can wake one."""

    dump: str = ""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n\n{self.dump}".rstrip() if self.dump else text


class Misuse(Error, RuntimeError):
    """A rule was broken: unlock of an unlocked lock, negative WaitGroup, over-release."""


class Cancelled(BaseException):
    """The context of this goroutine is done. Let it pass; ``cause`` says why."""

    cause: BaseException | None

    def __init__(self, cause: BaseException | None = None, /) -> None:
        super().__init__(*(() if cause is None else (cause,)))
        self.cause = cause


class Closed(Enum):
    """Type of ``CLOSED``, what ``select`` yields for a closed channel."""

    CLOSED = 0

    def __repr__(self) -> str:
        return "zokor.CLOSED"


CLOSED: Final = Closed.CLOSED


class SendChan(Protocol[_T_contra]):
    """The sending side. ``Chan[T]`` is one; accept this in functions that only send."""

    def send(self, value: _T_contra, /, *, timeout: float | None = None) -> None: ...
    def try_send(self, value: _T_contra, /) -> bool: ...
    def to_send(self, value: _T_contra, /) -> Any: ...
    def close(self) -> None: ...


class RecvChan(Protocol[_T_co]):
    """The receiving side. ``Chan[T]`` is one; accept this in functions that only receive."""

    def recv(self, *, timeout: float | None = None) -> _T_co: ...
    def try_recv(self) -> _T_co: ...
    def __iter__(self) -> Iterator[_T_co]: ...
    def _case(self) -> Any: ...


class Selectable(Protocol[_T_co]):
    """A channel (receive from it), ``chan.to_send(v)`` or a ``Timer``."""

    def _case(self) -> _T_co: ...


class Stats(NamedTuple):
    """Counts of the whole runtime."""

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
    """What ``goroutines`` tells of one."""

    id: int
    name: str
    state: Literal["running", "runnable", "blocked"]
    wait_on: str
    since: float


def _end_child(error: BaseException | None) -> NoReturn:
    """Ends a forked process with the goroutine that forked, as if it had been its main program."""
    status = 0
    if isinstance(error, SystemExit):
        if isinstance(error.code, int):
            status = error.code
        elif error.code is not None:
            print(error.code, file=sys.stderr)
            status = 1
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            status = status or 120
    os._exit(status & 0xFF)


for _class in list(globals().values()):
    if isinstance(_class, type) and _class.__module__ == __name__:
        _class.__module__ = "zokor"
del _class
