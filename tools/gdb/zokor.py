"""Goroutines in gdb, in a live process or a core file, with or without debug information.

    (gdb) source tools/gdb/zokor.py
    (gdb) zokor goroutines          # number, state, what it waits for, name, where it stands
    (gdb) zokor bt 42               # the stack of goroutine 42
    (gdb) zokor bt                  # of all that are parked

A parked goroutine is four words in its header: stack pointer, frame pointer, one more register and
the address to go on at. `zokor bt` gives these to gdb as the caller of the frame that is selected by the
thread, prints what gdb unwinds from there, and takes them away again. No register is written, so nothing can go
wrong in the process, and core files work. (Those the kernel writes. gdb's `generate-core-file` leaves out what lies
beside the guards of stacks, so start the program with ZK_GUARD=mprotect if such a file is wanted.)

The offsets come from the program itself (core/src/goroutine/debugger.rs), so it must not be stripped.
"""

import gdb
import gdb.unwinder

LAYOUT = "zokor::goroutine::debugger::LAYOUT"
VERSION = 1
WORDS = (
    "version", "table", "used", "chunk", "size", "plain", "ctx", "id", "state", "reason", "on_cpu", "since", "ext", "name",
    "states", "reasons",
)
# The four words of a context, as registers.
REGISTERS = {"i386:x86-64": ("rsp", "rbp", "rbx", "rip"), "aarch64": ("sp", "x29", "x19", "pc")}


def read(address, size):
    """Bytes of the program."""
    return bytes(gdb.selected_inferior().read_memory(address, size))


def word(address):
    return int.from_bytes(read(address, 8), "little")


def text(address):
    """A pair of pointer and length."""
    start, length = word(address), word(address + 8)
    return read(start, length).decode("utf-8", "replace") if start and length else ""


def find_layout():
    """The address of the layout. Without debug information its name ends in a hash."""
    try:
        return int(gdb.parse_and_eval(f"(unsigned long)&'{LAYOUT}'"))
    except gdb.error:
        listed = gdb.execute(f"info variables ^{LAYOUT}::h", to_string=True)
    found = [int(line.split()[0], 16) for line in listed.splitlines() if line.startswith("0x")]
    # A process may hold several copies of the runtime; one of them has goroutines.
    found.sort(key=lambda at: word(word(at + 8 * WORDS.index("used"))), reverse=True)
    if not found:
        raise gdb.GdbError("this program has no goroutines, or its symbols are stripped")
    return found[0]


class Runtime:
    """The runtime in the program that is being looked at."""

    def __init__(self):
        at = find_layout()
        for i, name in enumerate(WORDS):
            setattr(self, name, word(at + 8 * i))
        if self.version != VERSION:
            raise gdb.GdbError(f"this script knows layout {VERSION}, the program has {self.version}")
        at += 8 * len(WORDS)
        self.state_texts = [text(at + 16 * i) for i in range(self.states)]
        at += 16 * self.states
        self.reason_texts = [text(at + 16 * i) for i in range(self.reasons)]

    def goroutines(self):
        """All that are alive, by number."""
        found = []
        for i in range(word(self.used)):
            chunk = word(self.table + 8 * (i // self.chunk))
            if chunk == 0:
                break
            g = Goroutine(self, chunk + self.size * (i % self.chunk))
            if g.id and g.state not in ("free", "finished"):
                found.append(g)
        return sorted(found, key=lambda g: g.id)


class Goroutine:
    """One header."""

    def __init__(self, runtime, at):
        header = read(at, runtime.size)

        def number(offset, size=8):
            return int.from_bytes(header[offset : offset + size], "little")

        self.id = number(runtime.id)
        self.state = runtime.state_texts[number(runtime.state, 1)]
        self.reason = runtime.reason_texts[number(runtime.reason, 1)]
        self.on_cpu = number(runtime.on_cpu, 1) != 0
        self.context = [number(runtime.ctx + 8 * i) for i in range(4)]
        ext = number(runtime.ext)
        self.name = text(ext + runtime.name) if ext else ""

    def started(self):
        """Whether the four words say where it stands."""
        return self.context[3] != 0 and not self.on_cpu

    def describe(self):
        said = f"goroutine {self.id}"
        if self.name:
            said += f' "{self.name}"'
        said += f" [{self.state}"
        if self.state == "waiting" and self.reason:
            said += f": {self.reason}"
        return said + "]"


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class Parked(gdb.unwinder.Unwinder):
    """While it is given a goroutine, that is what called the innermost frame."""

    def __init__(self):
        super().__init__("zokor")
        self.goroutine = None
        self.taken = False

    def __call__(self, pending):
        if self.goroutine is None or self.taken:
            return None
        self.taken = True
        names = REGISTERS[pending.architecture().name()]
        sp, *_, pc = self.goroutine.context
        # gdb wants stacks to grow in one direction: the frame that is claimed lies below the goroutine's.
        info = pending.create_unwind_info(FrameId(gdb.Value(sp - 128), gdb.Value(pc)))
        for name, value in zip(names, self.goroutine.context):
            like = pending.read_register(name)
            info.add_saved_register(name, gdb.Value(value).cast(like.type))
        return info

    def frames(self, goroutine):
        """What gdb's backtrace says, without the frame that was claimed."""
        self.goroutine, self.taken = goroutine, False
        gdb.invalidate_cached_frames()
        try:
            lines = gdb.execute("backtrace", to_string=True).splitlines()
        finally:
            self.goroutine = None
            gdb.invalidate_cached_frames()
        return lines[1:]


PARKED = Parked()
gdb.unwinder.register_unwinder(None, PARKED, replace=True)


class Zokor(gdb.Command):
    """Goroutines of the Zokor runtime."""

    def __init__(self):
        super().__init__("zokor", gdb.COMMAND_STACK, prefix=True)


class ListGoroutines(gdb.Command):
    """List goroutines: number, state, what they wait for, name, and the place where parked ones go on."""

    def __init__(self):
        super().__init__("zokor goroutines", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        runtime = Runtime()
        for g in runtime.goroutines():
            place = ""
            if runtime.plain and g.started():
                place = gdb.execute(f"info symbol {g.context[3]:#x}", to_string=True).split(" in section")[0].strip()
            print(f"{g.describe()}  {place}".rstrip())


class Backtrace(gdb.Command):
    """Show the stack of the goroutine whose number is given, or of all that are parked."""

    def __init__(self):
        super().__init__("zokor bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        wanted = int(argument) if argument else None
        runtime = Runtime()
        if not runtime.plain:
            raise gdb.GdbError("built with the portable context switch, whose stacks cannot be unwound from outside")
        alive = runtime.goroutines()
        chosen = alive if wanted is None else [g for g in alive if g.id == wanted]
        if not chosen:
            raise gdb.GdbError(f"there is no goroutine {wanted}" if wanted else "there are no goroutines")
        for g in chosen:
            print(g.describe())
            if g.on_cpu:
                print("  it is on a thread: see `thread apply all backtrace`")
            elif not g.started():
                print("  it has not run yet")
            else:
                print("\n".join(PARKED.frames(g)))


Zokor()
ListGoroutines()
Backtrace()
