"""Whole programs: signals, fork, exit with goroutines left, imports that must fail."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import PACKAGE, Child


def start(code: str) -> "subprocess.Popen[str]":
    """A program that prints a line when it is ready for a signal."""
    env = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    pipe = subprocess.PIPE
    p = subprocess.Popen([sys.executable, "-u", "-c", code], env=env, stdout=pipe, stderr=pipe, text=True)
    assert p.stdout is not None
    assert p.stdout.readline() == "ready\n"
    return p


def interrupted(code: str) -> tuple[int, str, str]:
    p = start(code)
    p.send_signal(signal.SIGINT)
    try:
        out, err = p.communicate(timeout=60)
    finally:
        p.kill()
    return p.returncode, out, err


def test_sigint_reaches_a_waiting_main() -> None:
    status, out, err = interrupted(
        """
import zokor
def main():
    c = zokor.Chan()
    def waits():
        try:
            c.recv()
        finally:
            print("goroutine cleaned")
    zokor.go(waits)
    def ready():
        while zokor.stats().blocked < 2: zokor.yield_now()
        print("ready")
        zokor.sleep(3600)
    zokor.go(ready)
    try:
        c.recv()
    except KeyboardInterrupt:
        print("main interrupted")
        raise
    finally:
        print("main cleaned")
zokor.run(main)
"""
    )
    assert out.splitlines() == ["main interrupted", "main cleaned", "goroutine cleaned"]
    assert "KeyboardInterrupt" in err and status != 0


def test_sigint_reaches_main_while_others_keep_the_thread_busy() -> None:
    status, out, err = interrupted(
        """
import zokor
def main():
    a, b = zokor.Chan(), zokor.Chan()
    def left():
        for v in a: b.send(v)
    def right():
        print("ready")
        while True:
            try:
                a.send(1)
                b.recv()
            except KeyboardInterrupt:
                print("wrong goroutine")
    zokor.go(left)
    zokor.go(right)
    try:
        zokor.Chan().recv()
    except KeyboardInterrupt:
        print("main interrupted")
zokor.run(main)
"""
    )
    assert out.splitlines() == ["main interrupted"], err
    assert status == 0


@pytest.mark.parametrize("where", ["main", "goroutine"])
def test_sigint_reaches_main_while_nobody_waits(where: str) -> None:
    """What is done at once looks for signals as well."""
    status, out, err = interrupted(
        f"""
import contextlib, zokor
def work():
    c = zokor.Chan(1)
    print("ready")
    with contextlib.nullcontext():
        while True:
            c.send(1)
            c.recv()
def main():
    try:
        if {where == "main"}:
            work()
        zokor.go(work)
        zokor.Chan().recv()
    except KeyboardInterrupt:
        print("main interrupted")
zokor.run(main)
"""
    )
    assert (status, out) == (0, "main interrupted\n"), err


def test_sigint_reaches_a_main_that_computes() -> None:
    status, out, err = interrupted(
        """
import zokor
def main():
    try:
        print("ready")
        while True: pass
    except KeyboardInterrupt:
        print("main interrupted")
zokor.run(main)
"""
    )
    assert (status, out) == (0, "main interrupted\n"), err


def test_sigint_reaches_a_plain_thread_that_waits() -> None:
    status, out, err = interrupted(
        """
import zokor
c = zokor.Chan()
def ready():
    print("ready")
    zokor.sleep(3600)
zokor.go(ready)
try:
    c.recv()
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert (status, out) == (0, "interrupted\n"), err


def test_a_handler_of_the_program_is_kept() -> None:
    status, out, err = interrupted(
        """
import signal, zokor
def main():
    c = zokor.Chan(1)
    signal.signal(signal.SIGINT, lambda *a: c.send("handled"))
    print("ready")
    print(c.recv())
zokor.run(main)
import signal
assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
"""
    )
    assert (status, out) == (0, "handled\n"), err


def test_the_handler_of_python_is_put_back(child: type[Child]) -> None:
    child(
        """
import signal, zokor
zokor.run(lambda: None)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
try:
    zokor.run(lambda: 1 // 0)
except ZeroDivisionError:
    pass
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
    )


PARKED = """
import threading, zokor
c = zokor.Chan(name="never")
def waits(n):
    local.x = [n]
    try:
        if n % 3 == 0: c.recv()
        elif n % 3 == 1: zokor.sleep(3600)
        else: zokor.select(c, zokor.after(3600))
    finally:
        print("must not run")
local = threading.local()
for n in range(300):
    zokor.go(waits, n)
while zokor.stats().blocked < 300:
    pass
"""


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "import os; os._exit(0)", "import gc; gc.collect()"])
def test_exit_with_parked_goroutines_is_quick_and_silent(child: type[Child], end: str) -> None:
    for _ in range(8):
        done = child(PARKED + end)
        assert (done.out, done.err) == ("", "")


def test_exit_with_running_goroutines(child: type[Child]) -> None:
    for _ in range(10):
        done = child(
            """
import zokor
started = zokor.Chan()
def busy():
    started.send(1)
    n = 0
    while True: n += 1
def switches():
    started.send(1)
    while True: zokor.yield_now()
zokor.go(switches)
started.recv()
zokor.go(busy)
started.recv()
"""
        )
        assert (done.out, done.err) == ("", "")


def test_exit_with_goroutines_on_several_threads(child: type[Child]) -> None:
    for _ in range(10):
        done = child(
            """
import zokor
zokor.configure(workers=4)
c = zokor.Chan()
def work(n):
    while True:
        if n % 2: c.send(n)
        else: c.recv()
for n in range(40):
    zokor.go(work, n)
while zokor.stats().switches < 2000:
    pass
"""
        )
        assert (done.out, done.err) == ("", "")


def test_exit_with_helpers_that_block(child: type[Child]) -> None:
    for _ in range(5):
        done = child(
            """
import time, zokor
started = zokor.Chan(1)
def helper():
    started.try_send(1)
    time.sleep(3600)
zokor.go(zokor.blocking, helper)
started.recv()
"""
        )
        assert (done.out, done.err) == ("", "")


def test_exit_after_an_exception_of_run(child: type[Child]) -> None:
    done = child("import zokor\nzokor.run(lambda: 1 // 0)", check=False)
    assert done.status == 1 and "ZeroDivisionError" in done.err


def test_exit_status_of_a_goroutine(child: type[Child]) -> None:
    done = child(
        """
import sys, zokor
def main():
    zokor.go(sys.exit, 7)
    zokor.Chan().recv()
zokor.run(main)
""",
        check=False,
    )
    assert (done.status, done.err) == (7, "")


def test_atexit_functions_may_use_channels(child: type[Child]) -> None:
    done = child(
        """
import atexit
c = None
atexit.register(lambda: (c.send(1), print(c.recv(), c.try_send(2))))
import zokor
c = zokor.Chan(1)
zokor.go(print, end="")
zokor.run(zokor.yield_now)
"""
    )
    assert done.out == "1 True\n"


def test_a_forked_child_gets_an_error_and_never_hangs(child: type[Child]) -> None:
    done = child(
        """
import os, sys, zokor
def attempt(call):
    try:
        call()
    except zokor.Error as e:
        return "Error"
    return "worked"
def main():
    c = zokor.Chan(1)
    zokor.go(c.recv)
    zokor.go(zokor.sleep, 3600)
    while zokor.stats().blocked < 2: zokor.yield_now()
    pid = os.fork()
    if pid == 0:
        calls = [lambda: zokor.go(print), lambda: zokor.sleep(1), lambda: zokor.run(print)]
        text = " ".join(attempt(c) for c in calls)
        os.write(1, text.encode() + b"\\n")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    c.send(1)
    return "parent goes on"
print(zokor.run(main))
pid = os.fork()
if pid == 0:
    os.write(1, attempt(lambda: zokor.run(print)).encode() + b"\\n")
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
""",
        "-W",
        "ignore",
    )
    assert done.out.splitlines() == ["Error Error Error", "parent goes on", "Error"]


@pytest.mark.parametrize(
    ("end", "status"), [("sys.exit()", 0), ("raise ValueError('child')", 1), ("sys.exit(5)", 5), ("sys.exit('no')", 1)]
)
@pytest.mark.parametrize("where", ["main", "goroutine"])
def test_a_forked_child_ends_with_its_goroutine(child: type[Child], where: str, end: str, status: int) -> None:
    done = child(
        f"""
import os, sys, zokor
def forks():
    zokor.go(zokor.sleep, 3600)
    zokor.yield_now()
    pid = os.fork()
    if pid == 0:
        print("child")
        {end}
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def main():
    if "{where}" == "main":
        return forks()
    c = zokor.Chan()
    zokor.go(lambda: c.send(forks()))
    return c.recv()
print(zokor.run(main))
""",
        "-W",
        "ignore",
    )
    assert done.out == f"child\n{status}\n"
    assert ("ValueError: child" in done.err) == ("ValueError" in end)


def test_a_forked_child_does_not_return_from_run(child: type[Child]) -> None:
    done = child(
        """
import os, zokor
def main():
    pid = os.fork()
    return pid and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print("status", zokor.run(main))
""",
        "-W",
        "ignore",
    )
    assert done.out == "status 0\n"


def test_multiprocessing_by_fork_from_a_goroutine(child: type[Child]) -> None:
    done = child(
        """
import multiprocessing, zokor
def task(q): q.put(6 * 7)
def main():
    m = multiprocessing.get_context("fork")
    q = m.Queue()
    p = m.Process(target=task, args=(q,))
    p.start()
    v = zokor.blocking(q.get)
    p.join()
    return v, p.exitcode
print(zokor.run(main))
""",
        "-W",
        "ignore",
    )
    assert done.out == "(42, 0)\n"


def test_free_threaded_builds_are_refused(child: type[Child]) -> None:
    done = child(
        """
import sysconfig
sysconfig.get_config_vars()["Py_GIL_DISABLED"] = 1
try:
    import zokor
except ImportError as e:
    print(e)
"""
    )
    assert "free-threaded" in done.out


def test_debug_mode_is_quiet(child: type[Child]) -> None:
    done = child(
        """
import zokor
def main():
    c = zokor.Chan()
    zokor.go(c.send, 1)
    return c.recv()
print(zokor.run(main))
""",
        "-X",
        "dev",
        "-W",
        "error",
    )
    assert (done.out, done.err) == ("1\n", "")
