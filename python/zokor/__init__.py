"""Goroutines, channels and select for Python.

Conventions that hold for every name below:

* Seconds are floats. ``timeout=None`` waits for ever, ``timeout=0`` never waits.
* A timeout that passes raises the built-in ``TimeoutError``; ``select`` returns ``None``.
* Blocking calls work in goroutines and in plain threads (they block the thread).
* A blocking call whose context is done raises ``Cancelled`` and has not happened.
* Objects are process-local: pickling or copying one raises ``TypeError``.
"""

import sysconfig as _sysconfig

if _sysconfig.get_config_var("Py_GIL_DISABLED"):
    raise ImportError("zokor does not support free-threaded builds of Python yet; use a build with the GIL")

from ._types import (
    CLOSED,
    Cancelled,
    ChanClosed,
    Closed,
    Deadlock,
    Error,
    GoInfo,
    Misuse,
    RecvChan,
    Selectable,
    SendChan,
    Stats,
    WouldBlock,
)
from ._zokor import (
    Chan,
    SendCase,
    Timer,
    WaitGroup,
    __version__,
    after,
    blocking,
    configure,
    dump,
    go,
    goid,
    goroutines,
    now,
    run,
    select,
    sleep,
    stats,
    tick,
    yield_now,
)

__all__ = [
    "CLOSED",
    "Cancelled",
    "Chan",
    "ChanClosed",
    "Closed",
    "Deadlock",
    "Error",
    "GoInfo",
    "Misuse",
    "RecvChan",
    "Selectable",
    "SendCase",
    "SendChan",
    "Stats",
    "Timer",
    "WaitGroup",
    "WouldBlock",
    "__version__",
    "after",
    "blocking",
    "configure",
    "dump",
    "go",
    "goid",
    "goroutines",
    "now",
    "run",
    "select",
    "sleep",
    "stats",
    "tick",
    "yield_now",
]
