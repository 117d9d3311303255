//! When everybody waits for everybody.
//!
//! *Where it sits*: layer 3, called by the last worker that goes to sleep and by foreign threads when they
//! end. Rules D-01 to D-08: it is reported to `run` when nothing is runnable, running, in a blocking section or
//! waiting for I/O, no timer is armed that somebody reads or that has a callback, no foreign thread that ever called
//! in is alive, and no hold is out.

use super::idle;
use super::worker::Worker;
use super::{blocking, table, timers, INJECTOR};
use crate::cell::{AtomicUsize, Ordering};
use crate::goroutine::{ABANDONED, G};
use crate::rank::Rank;
use crate::sys;
use crate::wait::Outcome;

/// Foreign threads alive that have called in, and holds.
pub static OUTSIDE: AtomicUsize = AtomicUsize::new(0);

/// A `run` in progress.
pub struct Run {
    /// Its worker.
    pub worker: &'static Worker,
    /// Its main goroutine.
    pub main: *mut G,
    /// The main goroutine's waits end with an error instead of being given up.
    pub hosted: bool,
}

// SAFETY: `main` is used under the lock below, and only while its `run` is registered.
unsafe impl Send for Run {}

static RUNS: sys::Mutex<Vec<Run>> = sys::Mutex::new(Rank::Runtime, Vec::new());

/// Registers a `run`.
pub fn enter(run: Run) {
    RUNS.lock().push(run);
}

/// Removes a `run`; false if a deadlock was reported to it.
pub fn leave(w: &'static Worker) -> bool {
    let mut runs = RUNS.lock();
    match runs.iter().position(|r| core::ptr::eq(r.worker, w)) {
        Some(i) => {
            runs.swap_remove(i);
            true
        }
        None => false,
    }
}

/// Nothing could ever run again? The looks are made one after the other, so they count only if nobody ran between the
/// first and the last. Whoever else could make work (a helper thread, a section, a foreign thread) is counted until it
/// has handed its work over.
fn all_asleep() -> bool {
    let Some(before) = idle::GATE.quiet() else { return false };
    blocking::outstanding() == 0
        && OUTSIDE.load(Ordering::Relaxed) == 0
        && timers::armed() == 0
        && INJECTOR.is_empty()
        && !table::any(|w| w.queue.has_work_hint() || (!w.inbox.is_empty() && w.served.load(Ordering::Relaxed)))
        && idle::GATE.quiet() == Some(before)
}

/// Something that kept the report back has ended, on a thread that is no worker.
pub fn check_from_outside() {
    if idle::GATE.active() == 0 {
        check();
    }
}

/// Looks, and reports to all runs if it is so. Whoever calls has just gone idle or away.
pub fn check() {
    if !all_asleep() {
        return;
    }
    let mut runs = RUNS.lock();
    if runs.is_empty() || !all_asleep() {
        return;
    }
    let all: Vec<Run> = runs.drain(..).collect();
    drop(runs);
    if !all.iter().all(|r| r.hosted) {
        crate::dump::deadlock();
    }
    for r in all {
        // SAFETY: main goroutines of registered runs have not ended: their headers are theirs. Everybody is
        // parked, so nobody else is about to resume them.
        unsafe {
            if r.hosted && (*r.main).waiter.try_claim(Outcome::Deadlock) {
                let main = r.main;
                enter(r); // it goes on, and may come to a deadlock again
                super::ready_from_sleep(main);
                continue;
            }
            (*r.main).set_flags(ABANDONED);
        }
        r.worker.main_done.set_deadlocked();
        r.worker.attention.stop();
        idle::wake_worker(r.worker);
    }
}
