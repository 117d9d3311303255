//! Going idle and coming back: the one gate of the runtime, and what it needs of threads, timers and the monitor.
//!
//! *Where it sits*: layer 3, over [`gate`](super::gate), which has the protocol and its proof. `find` calls [`sleep`] when
//! there is nothing to do, `ready` and `spawn` call [`wake_one`] and [`wake_worker`], the monitor calls [`revoke`] and
//! [`ask_for_permit`].

use super::gate::{Gate, Looks, Rest, Woken};
use super::monitor;
use super::worker::Worker;
use super::{table, timers, INJECTOR};
use crate::cell::{fence, AtomicI64, AtomicU32, Ordering};
use crate::sys;

pub use super::gate::MAX_THREADS;

/// A surplus thread ends after sleeping for this long.
const SURPLUS_SLEEP: i64 = 5_000_000_000;

/// So many timers fired at once are many.
const DENSE: usize = 4;
/// From one time that many timers fired to the next wake-up for timers it takes as long as this. The kernel's own slack for threads of
/// ordinary priority is half as long.
const PACE: i64 = 200_000;

/// Before this moment nobody wakes up for timers; those who are awake fire them.
static PACED: AtomicI64 = AtomicI64::new(0);

/// A worker has fired `n` timers. If they come so fast that sleeping and waking for each would take longer than what they start, they
/// are waited for together: the next wake-up is for all that are due by then.
pub fn fired(n: usize) {
    if n >= DENSE {
        PACED.store(timers::now() + PACE, Ordering::Relaxed); // a hint about time
    }
}

/// Whether timers are so dense at present that nobody wakes up for each.
pub fn is_paced() -> bool {
    PACED.load(Ordering::Relaxed) > timers::now()
}

/// When a timer that is due at `due` is fired by another worker than its own: with all that are due when the next wake-up for timers comes, but at most
/// one pace late, however often others put that off.
pub fn paced(due: i64) -> i64 {
    due.max(PACED.load(Ordering::Relaxed).min(due.saturating_add(PACE)))
}

/// Who may run and who sleeps.
pub static GATE: Gate = Gate::new(monitor::work_began);

/// Flags that make a worker look up from what it is doing.
pub struct Attention(AtomicU32);

const PREEMPT: u32 = 1;
const REVOKED: u32 = 2;
const SHARE: u32 = 4;
const STOP: u32 = 8;
/// With `PREEMPT`.
const USED_UP: u32 = 16;

impl Attention {
    /// Nothing wanted.
    pub const fn new() -> Attention {
        Attention(AtomicU32::new(0))
    }

    /// Whether anything is wanted: one load, on every fast path.
    #[inline(always)]
    pub fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Whether the worker's own loop has to deal with it.
    pub fn needs_loop(&self) -> bool {
        self.0.load(Ordering::Relaxed) & (REVOKED | SHARE | STOP) != 0
    }

    /// Whether the time slice is to end, and other sources to be looked at.
    pub fn wants_preempt(&self) -> bool {
        self.has(PREEMPT)
    }

    /// Whether the slice is used up: one of the reasons to end it.
    pub fn is_used_up(&self) -> bool {
        self.has(USED_UP)
    }

    /// Consumes the request to end the time slice.
    pub fn take_preempt(&self) -> bool {
        self.take(PREEMPT | USED_UP)
    }

    /// Something waits for this worker to look around: the goroutine should yield at its next call.
    pub fn preempt(&self) {
        self.set(PREEMPT);
    }

    /// The same because the slice is used up.
    pub fn use_up(&self) {
        self.set(PREEMPT | USED_UP);
    }

    /// The worker should give its permit to somebody who waits for one.
    pub fn share(&self) {
        self.set(SHARE);
    }

    /// The loop should return.
    pub fn stop(&self) {
        self.0.fetch_or(STOP, Ordering::Relaxed);
    }

    /// Whether `stop` was asked for; consumes it.
    pub fn take_stop(&self) -> bool {
        self.take(STOP)
    }

    fn has(&self, bits: u32) -> bool {
        self.0.load(Ordering::Relaxed) & bits != 0
    }

    fn take(&self, bits: u32) -> bool {
        // Relaxed: a flag is a hint; what it hints at is read under the idle lock.
        self.any() && self.0.fetch_and(!bits, Ordering::Relaxed) & bits != 0
    }

    fn set(&self, bits: u32) {
        self.0.fetch_or(bits, Ordering::Relaxed);
    }
}

/// Wakes one worker to look for work, starting a thread if all are busy and a permit is free.
#[cold]
pub fn wake_one() {
    match GATE.wake_one() {
        Woken::Thread if table::start_thread(true).is_err() => GATE.no_thread(),
        Woken::Reserve if table::start_thread(false).is_err() => GATE.nobody_comes(),
        _ => (),
    }
}

/// A permit has become free in the hands of somebody who does not look for work any more (an exclusive worker, a section, a
/// thread that leaves). While it was out, pushers saw that no permit was free and woke nobody.
pub fn pass_on() {
    // SeqCst: the permit is free before the look at the queues; pairs with the fence of the pushers.
    fence(Ordering::SeqCst);
    if !GATE.may_wake() {
        return;
    }
    // The last one who was active looked after the timers without being their keeper.
    let timers_alone = || GATE.active() == 0 && GATE.is_unkept(timers::first_deadline());
    if !INJECTOR.is_empty() || table::any(|x| x.queue.has_work_hint()) || timers_alone() {
        wake_one();
    }
}

/// Something was put into the inbox of `w`: it must run, with a permit as soon as there is one.
#[cold]
pub fn wake_worker(w: &'static Worker) {
    GATE.wake(&w.seat);
}

/// What became of a worker that went to sleep.
#[derive(PartialEq, Eq, Debug, Clone, Copy)]
pub enum Slept {
    /// It has a permit and should look for work.
    Awake,
    /// It was surplus: its thread should end.
    Retire,
}

impl Looks for Worker {
    fn work(&self) -> bool {
        debug_assert!(!self.has_bound_work() || !self.inbox.is_empty(), "a worker sleeps on its own work");
        if self.own_work() || timers_want(self) {
            return true;
        }
        !self.seat.is_exclusive() && (!INJECTOR.is_empty() || table::any(Worker::is_worth_a_visit))
    }

    fn own_work(&self) -> bool {
        !self.inbox.is_empty() || self.main_done.is_over()
    }

    fn first_deadline(&self) -> i64 {
        match timers::first_deadline_for(self.index) {
            i64::MAX => i64::MAX,
            // Whoever is awake fires them as well, and need not be disturbed.
            due if is_paced() && table::any(|w| w.seat.is_permitted()) => {
                due.max(PACED.load(Ordering::Relaxed)).saturating_add(timers::LEFT)
            }
            due => due.max(PACED.load(Ordering::Relaxed)),
        }
    }
}

/// Whether `w` is to fire timers now, though it would have to get up for them.
fn timers_want(w: &Worker) -> bool {
    timers::due_for(w.index) && !is_paced()
}

/// Sleeps until there may be work. The caller holds a permit, found nothing and is not searching.
pub fn sleep(w: &'static Worker) -> Slept {
    let Some(rest) = GATE.lie_down(&w.seat, w) else { return Slept::Awake };
    if w.seat.is_exclusive() {
        pass_on();
    }
    if rest.all_idle {
        super::deadlock::check();
    }
    let Rest { mut deadline, surplus, .. } = rest;
    let mut surplus = surplus && !w.is_runner && w.homed.get() == 0 && deadline == i64::MAX;
    if surplus {
        deadline = sys::now().saturating_add(SURPLUS_SLEEP);
    }
    while !w.seat.is_awake() {
        if doze(w, deadline) != sys::Wait::TimedOut {
            continue;
        }
        if GATE.deadline_passed(&w.seat, timers_want(w)) {
            break;
        }
        if surplus && GATE.retire(&w.seat) {
            return Slept::Retire;
        }
        // The timer it slept for was served or stopped: it keeps the next one, unless somebody keeps an earlier one.
        deadline = GATE.keep_on(&w.seat, w);
        surplus = false; // who keeps timers stays
    }
    Slept::Awake
}

fn doze(w: &'static Worker, deadline: i64) -> sys::Wait {
    if w.is_runner {
        super::host::about_to_sleep(w);
    }
    let away = sys::Absence::of(w.word());
    let how = w.seat.doze(deadline);
    drop(away);
    if how == sys::Wait::Interrupted && w.is_runner {
        super::host::interrupted(w);
    }
    how
}

/// Gives the permit up at a moment when the thread blocks by declaration.
pub fn leave(w: &'static Worker) {
    GATE.leave(&w.seat);
    pass_on();
}

/// Returns with a permit; waits for one if none is free. Back from a blocking section, or revoked. `pressing`: a goroutine of this
/// thread waits for it.
pub fn enter(w: &'static Worker, pressing: bool) {
    w.attention.take(REVOKED);
    if !GATE.enter(&w.seat, pressing) {
        await_permit(w);
    }
}

/// The thread of `w` is there. With `permit` it has one and begins by searching; else it takes one, or waits for one.
pub fn arrive(w: &'static Worker, permit: bool) {
    w.served.store(true, Ordering::Relaxed);
    if permit {
        w.seat.adopt();
    } else if !GATE.arrive(&w.seat) {
        await_permit(w);
    }
}

/// Gives the permit to somebody who waits for one, if so, and queues up for it again.
fn share(w: &'static Worker) {
    w.attention.take(SHARE);
    if !GATE.share(&w.seat, w.has_own_work()) {
        await_permit(w);
    }
}

fn await_permit(w: &'static Worker) {
    while !w.seat.is_awake() {
        doze(w, i64::MAX);
    }
}

/// The loop's answer to `Attention`: has a permit afterwards.
pub fn attend(w: &'static Worker) {
    if !w.seat.is_permitted() || w.attention.has(REVOKED) {
        enter(w, w.has_own_work());
    }
    if w.attention.has(SHARE) {
        share(w);
    }
}

/// Monitor: takes the permit of a worker that neither yields nor returns. True if it had one.
pub fn revoke(w: &'static Worker) -> bool {
    GATE.revoke(&w.seat, || w.attention.set(REVOKED))
}

/// Monitor: if somebody waits for a permit, asks one of the holders to share.
pub fn ask_for_permit() -> bool {
    if !GATE.is_contended() {
        return false;
    }
    table::any(|w| {
        if w.seat.is_permitted() {
            w.attention.share();
        }
        false
    });
    true
}

/// Sets how many may run at once; returns the former number. 0 only asks.
pub fn set_limit(n: usize) -> usize {
    let (old, mut surplus) = GATE.set_limit(n);
    if surplus == 0 && n != 0 && n != old {
        wake_one();
    }
    table::any(|w| {
        if surplus > 0 && w.seat.is_permitted() && revoke(w) {
            surplus -= 1;
        }
        surplus == 0
    });
    old
}

/// The limit in force.
pub fn limit() -> usize {
    GATE.set_limit(0).0
}

/// Accounts for a thread that is to become a worker with its own permit (the caller of `run`).
pub fn join_set(w: &'static Worker) {
    GATE.join();
    w.served.store(true, Ordering::Relaxed);
    enter(w, true);
}

/// A worker thread ends or leaves; its permit goes to others.
pub fn leave_set(w: &'static Worker) {
    w.served.store(false, Ordering::Relaxed);
    w.attention.take(REVOKED);
    GATE.leave(&w.seat);
    pass_on();
    GATE.quit(&w.seat); // last: a shutdown that sees no thread any more takes the workers away
}

/// Shutdown: nobody sleeps any more, all loops return. Returns the number of threads left.
pub fn stop_all() -> usize {
    let n = GATE.stop();
    table::any(|w| {
        w.attention.stop();
        false
    });
    n
}
