//! When everybody waits for everybody.
//!
//! *Where it sits*: layer 3, called by the last worker that goes to sleep and by foreign threads when they
//! end. Rules D-01 to D-08: it is reported to `run` when nothing is runnable, running, in a blocking section or
//! waiting for I/O, no timer is armed that somebody reads or that has a callback, no foreign thread that ever called
//! in is alive, and no hold is out.

use super::idle;
use super::worker::{self, Worker};
use super::{blocking, table, timers, INJECTOR};
use crate::cell::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::goroutine::{arena, Reason, State, G, GIVEN_UP, SCOPED};
use crate::rank::Rank;
use crate::sys;
use crate::wait::Outcome;
use core::ptr::null_mut;
use std::collections::HashSet;

/// Foreign threads alive that have called in, and holds.
pub static OUTSIDE: AtomicUsize = AtomicUsize::new(0);

/// A `run` in progress.
pub struct Run {
    /// Its worker.
    pub worker: &'static Worker,
    /// Its main goroutine; null once that has ended.
    pub main: *mut G,
    /// The main goroutine's waits end with an error instead of being given up.
    pub hosted: bool,
}

// SAFETY: `main` is used under the lock below, and only while its `run` is registered.
unsafe impl Send for Run {}

impl Run {
    /// The end of main's wait has been claimed: whoever has claimed it is about to ready it. That may be a thread which calls in for the
    /// first time and is not counted in [`OUTSIDE`] yet, or another verdict.
    fn is_being_woken(&self) -> bool {
        // SAFETY: a main goroutine that has not ended owns its header. A word that a former wait left behind is not taken for this
        // one's: each wait begins by writing it, and a main that does not wait is not asleep.
        !self.main.is_null() && unsafe { (*self.main).waiter.is_claimed() }
    }

    /// Claims a host's main, to tell it of the deadlock.
    fn claim(&self) -> bool {
        // SAFETY: as above; the claim decides who resumes it.
        self.hosted && !self.main.is_null() && unsafe { (*self.main).waiter.try_claim(Outcome::Deadlock) }
    }
}

static RUNS: sys::Mutex<Vec<Run>> = sys::Mutex::new(Rank::Runtime, Vec::new());

/// Reports that are being written. A `run` that is over may see so before it has gone to sleep, and must not return before the report is there.
/// Counted up under the lock above.
static REPORTS: AtomicUsize = AtomicUsize::new(0);

/// How many switches there will have been if, after the last verdict, nobody ran but those who were told. Changed under the lock above.
static EXPECTED: AtomicU64 = AtomicU64::new(u64::MAX);
static STANDS: AtomicBool = AtomicBool::new(false);

/// A host's main asks that was told of a deadlock: whether no other goroutine has run since the time before that it was told. What the
/// host saw in between, of its threads say, then still holds.
pub fn stands() -> bool {
    // Relaxed: who is told is readied after the store, and until it waits again there is no other verdict.
    STANDS.load(Ordering::Relaxed)
}

/// Registers a `run`.
pub fn enter(run: Run) {
    RUNS.lock().push(run);
}

/// Removes the `run` that `w` serves, the caller's worker; not while a report is written, which may be about it. At a shutdown main may still be
/// running, on another thread: not before it has left that.
pub fn leave(w: &'static Worker) {
    loop {
        let mut runs = RUNS.lock();
        // Acquire: pairs with the Release in `check`: what the report reads is ours to take away after that.
        if REPORTS.load(Ordering::Acquire) == 0 {
            let Some(i) = runs.iter().position(|r| core::ptr::eq(r.worker, w)) else { return };
            // SAFETY: main does not end without the lock, so its header is its own.
            if unsafe { runs[i].main.as_ref() }.is_none_or(|main| main.on_cpu.is_saved()) {
                runs.swap_remove(i);
                return;
            }
        }
        drop(runs);
        sys::yield_thread();
    }
}

/// Whether a `run` waits for the running goroutine `main`: it has not returned without it.
pub fn waits_for(main: *mut G) -> bool {
    RUNS.lock().iter().any(|r| core::ptr::eq(r.main, main))
}

/// The main goroutine `main` ends, on whatever thread it is by now, and its header goes to others. If it has returned, so does the `run` that
/// `runner` serves.
pub fn main_ended(main: *mut G, runner: &'static Worker) {
    let mut runs = RUNS.lock();
    let Some(r) = runs.iter_mut().find(|r| core::ptr::eq(r.main, main)) else { return };
    r.main = null_mut();
    runner.main_goroutine.store(null_mut(), Ordering::Relaxed);
    drop(runs);
    if runner.main_done.end() {
        runner.attention.stop();
        if !worker::current().is_some_and(|w| core::ptr::eq(w, runner)) {
            idle::wake_worker(runner);
        }
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
    if runs.is_empty() || !all_asleep() || runs.iter().any(Run::is_being_woken) {
        return;
    }
    let (mut told, mut over, mut loud) = (Vec::new(), Vec::new(), false);
    // Under the lock: a `run` leaves the list before its worker serves another one.
    runs.retain(|r| {
        if r.claim() {
            told.push(r.main);
            return true; // it goes on, and may come to a deadlock again
        }
        if r.is_being_woken() {
            return true; // somebody was faster
        }
        r.worker.main_done.set_deadlocked();
        over.push(r.worker);
        loud |= !r.hosted;
        false
    });
    // All are asleep, so the count is exact, and whoever runs from now on is counted.
    let switches = table::switches();
    REPORTS.fetch_add(1, Ordering::Relaxed);
    STANDS.store(switches == EXPECTED.load(Ordering::Relaxed), Ordering::Relaxed);
    EXPECTED.store(switches + told.len() as u64, Ordering::Relaxed);
    drop(runs);
    if loud {
        crate::dump::deadlock();
    }
    for main in told {
        // SAFETY: claimed by us.
        unsafe { super::ready_from_sleep(main) };
    }
    for w in over {
        w.attention.stop();
        idle::wake_worker(w);
    }
    // Release: pairs with the Acquire in `leave`.
    REPORTS.fetch_sub(1, Ordering::Release);
}

/// The `run` of `main` returns without it: neither main nor the goroutines of its scopes may ever go on, for what they borrow from
/// the caller may be gone. Called by main's worker on its thread's own stack, so that main itself does not run.
///
/// A scope belongs to the goroutine whose frame it is in, and members may start members. So whoever is scoped goes the way of who
/// started it; and if that one has ended, whose scope it is cannot be told.
pub fn give_up(main: *mut G) {
    let mut live: Vec<*const G> = Vec::new();
    let mut ids = HashSet::from([0]); // a plain thread, which waits for its scope
    arena::for_each(|g| {
        if !matches!(g.state(), State::Free | State::Dead) {
            live.push(g);
            ids.insert(g.id.load(Ordering::Relaxed));
        }
        true
    });
    let mut gone = HashSet::new();
    let mut next: Vec<*const G> = vec![main];
    while !next.is_empty() {
        for &g in &next {
            // SAFETY: headers stay mapped.
            let g = unsafe { &*g };
            g.class.set(GIVEN_UP);
            gone.insert(g.id.load(Ordering::Relaxed));
            wait_until_left(g);
        }
        next = live.iter().copied().filter(|&g| goes_with(g, &ids, &gone)).collect();
    }
}

/// Whether `g` is scoped, not given up, and who started it is or has ended.
fn goes_with(g: *const G, live: &HashSet<u64>, gone: &HashSet<u64>) -> bool {
    // SAFETY: headers stay mapped.
    let g = unsafe { &*g };
    let parent = g.parent.load(Ordering::Relaxed);
    g.has(SCOPED) && g.class.get() != GIVEN_UP && (gone.contains(&parent) || !live.contains(&parent))
}

/// Waits until nobody runs on the stack of `g`, or for it: after a deadlock that is so, at a shutdown it may take a while.
fn wait_until_left(g: &G) {
    g.on_cpu.wait_until_saved();
    while g.state() == State::Waiting && g.reason() == Reason::Blocking {
        sys::yield_thread();
    }
}
