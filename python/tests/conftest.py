"""What the tests share. They wait on conditions, which `zokor.goroutines` shows, and never for a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import zokor

# A shell that runs the tests in the background lets them ignore SIGINT, and their children after them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PACKAGE = Path(zokor.__file__).parent.parent


def until(condition: Callable[[], bool]) -> None:
    """Lets others run until the condition holds."""
    while not condition():
        zokor.yield_now()


def waiting(on: str) -> int:
    """How many goroutines wait for something whose description starts so."""
    return sum(g.state == "blocked" and g.wait_on.startswith(on) for g in zokor.goroutines())


def parked(n: int, on: str = "") -> None:
    """Lets others run until `n` goroutines wait for something whose description starts so."""
    until(lambda: waiting(on) >= n)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No goroutine outlives its run."""
    yield
    assert zokor.goroutines() == []


class Child:
    """A Python program that has run to its end."""

    def __init__(self, code: str, *options: str, timeout: float = 60, check: bool = True) -> None:
        env = {**os.environ, "PYTHONPATH": f"{PACKAGE}:{Path(__file__).parent}"}
        done = subprocess.run(
            [sys.executable, *options, "-c", code], env=env, capture_output=True, text=True, timeout=timeout
        )
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        if check:
            assert self.status == 0, f"status {self.status}\n{self.out}\n{self.err}"


@pytest.fixture
def child() -> type[Child]:
    return Child
