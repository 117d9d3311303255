"""What the other programs leave out of the work, or do another way, and in which rows that saves them something.

The report names these where a program is faster than one of ours. A program for which nothing is listed does the same work
under the same rules; what it is ahead by is a gap of ours.
"""

from dataclasses import dataclass

SPAWN = ("w1", "w1a", "w1b", "w7", "w8")
COMPUTING = ("w13",)  # the tasks take a hundred times as long as all that is done to start one
QUIET = ("w5d", "w6c", "w6m", "w6t")  # nobody waits in these
RENDEZVOUS = ("w3", "w5u", "w8", "w9")
ONE_TO_ONE = ("w3", "w4s", "w5u", "w5b", "w6c", "w6t", "w8", "w9", "w12p", "w12s")
STREAMS = ("w4s", "w4m", "w5b", "w6c", "w12p", "w12s")


@dataclass(frozen=True)
class Difference:
    text: str
    rows: tuple[str, ...] = ()  # where it matters; none named: wherever somebody waits or is started

    def matters(self, workload):
        return workload in self.rows if self.rows else workload not in (*QUIET, *COMPUTING)


KINDS = {
    "futures": Difference("tasks are futures: no stack to make, guard, switch to or keep; only async functions can wait"),
    "threads": Difference("OS threads alone: no goroutine is scheduled, none takes part"),
    "one thread": Difference("runs on one OS thread: no atomics, no thieves, no second core", (*SPAWN, *QUIET, *STREAMS, *RENDEZVOUS, "w2", "w10")),
    "no guards": Difference("stacks have no guard pages", (*SPAWN, "w10")),
    "small stacks": Difference("stacks of 2 KiB that move when they grow: no page fault, guard and page table for each", ("w7", "w8", "w10")),
    "no collector": Difference("the garbage collector is switched off", SPAWN),
    "no time slice": Difference("a call that need not wait never gives way: no fairness to others on the same thread", QUIET),
    "spinning": Difference("who finds a lock taken spins until it is free", (*STREAMS, *RENDEZVOUS, "w6t")),
    "looking": Difference("who has to wait keeps its CPU for a while and looks again, before it sleeps", (*STREAMS, *RENDEZVOUS)),
    "unbounded": Difference("channels have no capacity: no send waits, none hands over", (*STREAMS, *RENDEZVOUS)),
    "one receiver": Difference("a channel has one receiver: no queue of them, no order among them", ONE_TO_ONE),
    "one sender": Difference("a channel has one sender as well", ("w3", "w4s", "w9")),
    "no rendezvous": Difference("no unbuffered channel: one slot stands in, a sender goes on at once", RENDEZVOUS),
    "no hand-off": Difference("a value is not handed to the first who waits: whoever comes first takes it", (*STREAMS, *RENDEZVOUS)),
    "listed order": Difference("the select asks in listed order, not in a fair one", ("w5d",)),
    "switch by hand": Difference("switches to a coroutine by name: no scheduler, no channel, no wait that could be ended"),
    "thread's lock": Difference("who waits blocks its thread, and has no place in a queue", ("w6m",)),
    "newer Python": Difference("runs on CPython 3.13", (*SPAWN, *STREAMS, *RENDEZVOUS, *QUIET, "w2", "w10")),
}

PROGRAMS = {
    "go": ("small stacks",),
    "go-gcoff": ("small stacks", "no collector"),
    "tokio": ("futures", "one receiver", "no rendezvous", "listed order"),
    "tokio-ct": ("futures", "one thread", "one receiver", "no rendezvous", "listed order"),
    "flume": ("futures", "no time slice"),
    "kanal": ("futures", "spinning", "no time slice"),
    "smol": ("futures", "no rendezvous", "no hand-off", "no time slice"),
    "may": ("unbounded", "one receiver", "one sender", "no hand-off", "no time slice"),
    "boost.fiber": ("no guards", "no hand-off", "spinning", "no time slice"),
    "boost.fiber-pooled": ("one thread", "no guards", "no hand-off", "spinning", "no time slice"),
    "pth": ("one thread", "no guards", "no rendezvous", "no hand-off", "no time slice"),
    "thr-xbeam": ("threads", "looking", "no hand-off", "no time slice", "thread's lock"),
    "thr-flume": ("threads", "no time slice", "thread's lock"),
    "thr-kanal": ("threads", "looking", "spinning", "no time slice", "thread's lock"),
    "py-asyncio": ("futures", "one thread", "no rendezvous", "no hand-off", "no time slice"),
    "py-uvloop": ("futures", "one thread", "no rendezvous", "no hand-off", "no time slice"),
    "py-trio": ("futures", "one thread"),
    "py-gevent": ("one thread", "no time slice"),
    "py-greenlet": ("one thread", "no guards", "switch by hand"),
    "py-threads": ("threads", "no hand-off"),
    "py-runloom": ("newer Python",),
}


def of(program, workload):
    """The names of the differences that save this program something in this workload."""
    return [k for k in PROGRAMS.get(program, ()) if KINDS[k].matters(workload)]
