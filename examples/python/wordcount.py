"""wordcount - counts the words in all files below some directories.

    wordcount [--deadline SECONDS] [--readers N] [--top N] [PATH...]

One goroutine walks the trees and sends file names. A bounded pool of readers counts
one file at a time and sends a tally for it. Main adds the tallies up:

    walker --paths--> reader x N --tallies--> main

A word is a maximal run of ASCII letters, in lower case. Every file that is found ends
up in exactly one line of the summary: read, unreadable, or unfinished when the deadline
came first. Symbolic links below a root and special files are skipped and counted.
"""

import argparse
import errno
import os
import stat
import string
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import zokor

CHUNK = 256 * 1024
ROOTS = [b"/usr/share/common-licenses", b"/usr/share/doc"]

# Every byte that is no letter becomes a space, every letter its lower case.
LETTERS = bytes(b | 32 if chr(b) in string.ascii_letters else 32 for b in range(256))


@dataclass
class Tally:
    words: Counter[bytes] = field(default_factory=Counter)
    files: int = 0
    size: int = 0
    unreadable: int = 0
    unfinished: int = 0
    skipped: int = 0
    stopped: bool = False  # the walk ended before its end

    def add(self, t: "Tally") -> None:
        self.words.update(t.words)
        self.files += t.files
        self.size += t.size
        self.unreadable += t.unreadable
        self.unfinished += t.unfinished
        self.skipped += t.skipped
        self.stopped |= t.stopped or t.unfinished > 0


class Late(Exception):
    """The deadline has passed."""


class Deadline:
    def __init__(self, seconds: float | None) -> None:
        self.at = None if seconds is None else zokor.now() + seconds

    def left(self) -> float | None:
        """The timeout for one call; raises Late when there is nothing left."""
        if self.at is None:
            return None
        left = self.at - zokor.now()
        if left <= 0:
            raise Late
        return left


def unreadable(path: bytes, e: OSError) -> Tally:
    shown = b"".join(b"\\x%02x" % b if b < 32 or b in b"\x7f\\" else bytes([b]) for b in path)
    text = os.strerror(e.errno) if e.errno else str(e)
    sys.stderr.buffer.write(b"wordcount: %s: %s\n" % (shown, text.encode()))
    sys.stderr.buffer.flush()
    return Tally(unreadable=1)


# ---- counting one file ------------------------------------------------------------


def chunks(path: bytes, deadline: Deadline) -> Iterator[bytes]:
    # O_NONBLOCK: a FIFO that took the place of a file must not block us.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        while True:
            deadline.left()
            chunk = os.read(fd, CHUNK)
            if not chunk:
                return
            yield chunk
    finally:
        os.close(fd)


def count(path: bytes, deadline: Deadline) -> Tally:
    t = Tally(files=1)
    held: list[bytes] = []  # the pieces of a word that reaches the chunk's end
    for chunk in chunks(path, deadline):
        t.size += len(chunk)
        head, space, tail = chunk.translate(LETTERS).rpartition(b" ")
        if space:
            t.words.update(b"".join([*held, head]).split())
            held.clear()
        held.append(tail)
    t.words.update(b"".join(held).split())
    return t


def read_files(
    paths: zokor.RecvChan[bytes], tallies: zokor.SendChan[Tally], deadline: Deadline
) -> None:
    for path in paths:
        try:
            tallies.send(count(path, deadline))
        except Late:
            tallies.send(Tally(unfinished=1))
        except OSError as e:
            tallies.send(unreadable(path, e))


# ---- walking --------------------------------------------------------------------------


class Walker:
    def __init__(
        self, paths: zokor.SendChan[bytes], tallies: zokor.SendChan[Tally], deadline: Deadline
    ) -> None:
        self.paths, self.tallies, self.deadline = paths, tallies, deadline
        self.dirs: list[bytes] = []

    def visit(self, path: bytes, mode: int) -> None:
        if stat.S_ISDIR(mode):
            self.dirs.append(path)
        elif not stat.S_ISREG(mode):
            self.tallies.send(Tally(skipped=1))
        else:
            try:
                self.paths.send(path, timeout=self.deadline.left())
            except (TimeoutError, Late):
                self.tallies.send(Tally(unfinished=1))
                raise Late from None

    def walk_dir(self, path: bytes) -> None:
        self.deadline.left()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    self.visit_entry(entry)
        except OSError as e:
            self.tallies.send(unreadable(path, e))

    def visit_entry(self, entry: os.DirEntry[bytes]) -> None:
        try:
            mode = entry.stat(follow_symlinks=False).st_mode
        except OSError as e:
            self.tallies.send(unreadable(entry.path, e))
        else:
            self.visit(entry.path, mode)

    def walk(self, roots: list[bytes]) -> None:
        try:
            for root in roots:
                self.deadline.left()
                try:
                    mode = os.stat(root).st_mode
                except OSError as e:
                    self.tallies.send(unreadable(root, e))
                    continue
                self.visit(root, mode)
                while self.dirs:
                    self.walk_dir(self.dirs.pop())
        except Late:
            self.tallies.send(Tally(stopped=True))
        finally:
            self.paths.close()


# ---- main --------------------------------------------------------------------------------


def print_summary(total: Tally, top: int, seconds: float) -> None:
    words = sorted(total.words.items(), key=lambda w: (-w[1], w[0]))
    lines = [f"{n:7} {word.decode()}" for word, n in words[: top or None]]
    lines += [
        f"files      {total.files}",
        f"bytes      {total.size}",
        f"words      {sum(n for _, n in words)}",
        f"distinct   {len(words)}",
        f"unreadable {total.unreadable}",
        f"unfinished {total.unfinished}",
        f"skipped    {total.skipped}",
        f"seconds    {seconds:.3f}",
    ]
    print("\n".join(lines), flush=True)


def count_words(options: argparse.Namespace) -> int:
    start = zokor.now()
    deadline = Deadline(options.deadline)
    paths, tallies = zokor.Chan[bytes](256), zokor.Chan[Tally](64)
    pool = zokor.WaitGroup()

    pool.go(Walker(paths, tallies, deadline).walk, options.roots)
    for _ in range(options.readers):
        pool.go(read_files, paths, tallies, deadline)

    def close_when_done() -> None:
        pool.wait()
        tallies.close()

    zokor.go(close_when_done)
    total = Tally()
    for tally in tallies:
        total.add(tally)

    print_summary(total, options.top, zokor.now() - start)
    if total.stopped:
        print("wordcount: stopped by the deadline, the counts are partial", file=sys.stderr)
        return 3
    return 1 if total.unreadable else 0


def number(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if least <= (v := float(text)) <= most:
            return v
        raise ValueError

    return parse


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="wordcount",
        usage="wordcount [--deadline SECONDS] [--readers N] [--top N] [PATH...]",
    )
    parser.add_argument("--deadline", type=number(0, 1e9))
    parser.add_argument("--readers", type=number(1, 1e6), default=16)
    parser.add_argument("--top", type=number(0, 1e15), default=20)
    parser.add_argument("roots", nargs="*", type=os.fsencode)
    options = parser.parse_args()
    options.readers, options.top = int(options.readers), int(options.top)
    options.roots = options.roots or ROOTS
    return zokor.run(count_words, options)


if __name__ == "__main__":
    sys.exit(main())
