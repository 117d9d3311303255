//! The monitor: a thread that notices what workers cannot notice themselves.
//!
//! *Where it sits*: layer 3, the counterpart of Go's sysmon. It runs while any worker is active and sleeps
//! without a timeout when all are idle, so that an idle machine has no wake-ups.
//!
//! Every tick it ends time slices that are used up (a request the goroutine follows at its next call), takes
//! the permit of a worker that follows no request while others could run (G-07), puts what was left to a worker without
//! one where others look, wakes an idle worker for work that lies in a busy worker's queue or for timers that are
//! overdue, lets thieves try again what did not pay (`find::Retry`), and now and then gives memory of idle stacks back.

use super::worker::Worker;
use super::{find, idle, table, timers, INJECTOR};
use crate::cell::{fence, AtomicBool, AtomicI64, AtomicU32, Ordering};
use crate::errno::Errno;
use crate::{stack, sys};
use std::thread::JoinHandle;

/// Between two looks. A slice is 10 ms: it is seen to be over after two to three ticks.
const TICK: i64 = 5_000_000;
/// Ticks after which a slice is used up.
const SLICE_TICKS: u32 = 2;
/// Ticks after which a worker that does not react loses its permit.
const PATIENCE: u32 = 3;
/// The same for a worker that runs a host interpreter's goroutines.
const HOST_PATIENCE: u32 = 30;
/// Timers that are this late are everybody's business.
const OVERDUE: i64 = 1_000_000;
/// Ticks between two scavenges.
const SCAVENGE: u32 = 200;
/// How long the monitor waits, once all is idle, before it gives memory back and sleeps for good.
const LAST_LOOK: i64 = 1_000_000_000;

const RUNNING: u32 = 0;
const RESTING: u32 = 1;

static WORD: AtomicU32 = AtomicU32::new(RUNNING);
static COARSE: AtomicI64 = AtomicI64::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

/// The time of the last tick: good enough for dumps, and free.
#[inline(always)]
pub fn coarse_now() -> i64 {
    COARSE.load(Ordering::Relaxed)
}

/// A worker became active: the monitor has to watch again. Called under the gate's lock.
pub fn work_began() {
    // SeqCst: the number of active workers before our look at WORD; pairs with the fence in `rest`.
    fence(Ordering::SeqCst);
    if WORD.load(Ordering::Relaxed) == RESTING {
        COARSE.store(timers::now(), Ordering::Relaxed);
        // Release: pairs with the Acquire in `rest`.
        WORD.store(RUNNING, Ordering::Release);
        sys::futex_wake(&WORD, 1);
    }
}

/// Starts the monitor's thread.
pub fn start() -> Result<JoinHandle<()>, Errno> {
    STOP.store(false, Ordering::Relaxed);
    COARSE.store(timers::now(), Ordering::Relaxed);
    sys::spawn_thread("zokor-monitor", 256 * 1024, Box::new(run)).map_err(|e| Errno::from(&e))
}

/// Ends the monitor's thread; the caller joins it.
pub fn stop() {
    STOP.store(true, Ordering::Relaxed);
    // Release: pairs with the Acquire in `rest`, which then sees STOP.
    WORD.store(2, Ordering::Release);
    sys::futex_wake(&WORD, 1);
}

/// What the monitor remembers of a worker.
#[derive(Clone, Copy, Default)]
struct Seen {
    slice: u32,
    same: u32,
    /// It had goroutines that it may not run, and nobody came for them.
    left: bool,
}

fn run() {
    sys::block_signals();
    let mut seen: Vec<Seen> = Vec::new();
    let mut retries = [find::Retry::of_thefts(), find::Retry::of_wakes()];
    let mut ticks = 0u32;
    while !STOP.load(Ordering::Relaxed) {
        if all_quiet() {
            rest(&mut seen);
            continue;
        }
        sys::futex_wait(&WORD, RUNNING, timers::now() + TICK);
        COARSE.store(timers::now(), Ordering::Relaxed);
        retries.iter_mut().for_each(find::Retry::tick);
        tick(&mut seen);
        ticks = ticks.wrapping_add(1);
        if ticks % SCAVENGE == 0 {
            stack::scavenge();
            stack::overflow::reinstall_if_replaced();
        }
    }
}

/// Nobody runs with a permit and nothing lies in a queue, not even in that of a worker that blocks its thread.
fn all_quiet() -> bool {
    idle::GATE.running() == 0 && INJECTOR.is_empty() && !table::any(|w| w.queue.has_work_hint())
}

/// All is idle: sleeps until a worker becomes active.
fn rest(seen: &mut Vec<Seen>) {
    if WORD.swap(RESTING, Ordering::Relaxed) == 2 {
        return;
    }
    // SeqCst: RESTING before the look at the number of active workers; pairs with the fence in `work_began`.
    fence(Ordering::SeqCst);
    if !all_quiet() {
        WORD.store(RUNNING, Ordering::Relaxed);
        return;
    }
    let mut until = timers::now() + LAST_LOOK;
    // Acquire: pairs with the Release in `work_began` and `stop`.
    while WORD.load(Ordering::Acquire) == RESTING {
        if sys::futex_wait(&WORD, RESTING, until) == sys::Wait::TimedOut {
            stack::scavenge();
            until = i64::MAX;
        }
    }
    seen.clear();
}

fn tick(seen: &mut Vec<Seen>) {
    seen.resize(table::len().max(seen.len()), Seen::default());
    let asked = idle::ask_for_permit();
    let overdue = timers::first_deadline() < coarse_now().saturating_sub(OVERDUE);
    let mut wanted = asked || overdue || !INJECTOR.is_empty();
    table::any(|w| {
        wanted |= w.queue.has_work_hint();
        false
    });
    offer_what_is_left(seen);
    let mut stuck: Option<&'static Worker> = None;
    // Turns may be long: what nobody idle can come for does not wait for as many as there are between two looks around.
    let unseen = (overdue || !INJECTOR.is_empty()) && !idle::GATE.may_wake();
    let mut overstays = false;
    table::any(|w| {
        if w.seat.is_permitted() && (unseen || !w.inbox.is_empty()) {
            w.attention.preempt();
        }
        if let Some(s) = seen.get_mut(w.index) {
            // A host's goroutines cannot leave the thread they start on, and handing its lock over is slow: others start
            // them elsewhere only if it takes long.
            let patience = if w.hosts.load(Ordering::Relaxed) { HOST_PATIENCE } else { PATIENCE };
            let same = watch(w, s);
            if same >= patience && w.seat.is_permitted() {
                stuck = Some(w);
            }
            // With a permit or without: those that are parked on this thread cannot go on elsewhere.
            overstays |= same >= SLICE_TICKS && w.is_runner && w.hosts.load(Ordering::Relaxed);
        }
        false
    });
    if overstays && super::live() > 1 {
        super::host::preempt();
    }
    if !wanted {
        return;
    }
    if idle::GATE.may_wake() {
        idle::wake_one();
    } else if let Some(w) = stuck {
        if idle::revoke(w) && !asked {
            idle::wake_one();
        }
    }
}

/// What lies with a worker that had no permit at the last look either is put where those look who have one (G-07). Thieves do not come
/// for it while all of them have something to run, be it a single goroutine that only yields.
fn offer_what_is_left(seen: &mut [Seen]) {
    let reachable = idle::GATE.may_wake();
    table::any(|w| {
        let left = !reachable && !w.seat.is_permitted() && w.queue.has_work_hint();
        if let Some(s) = seen.get_mut(w.index) {
            if left && s.left {
                w.offer_queue();
            }
            s.left = left;
        }
        false
    });
}

/// Notes how long a worker has been in the same slice; asks it to end one that is used up.
fn watch(w: &'static Worker, s: &mut Seen) -> u32 {
    let slice = w.slice.load(Ordering::Relaxed);
    if !w.seat.is_on_goroutine() || slice != s.slice {
        (s.slice, s.same) = (slice, 0);
        return 0;
    }
    s.same += 1;
    if s.same >= SLICE_TICKS {
        w.attention.use_up();
    }
    s.same
}
