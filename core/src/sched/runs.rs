//! The beginning and the end of a `run`, and which goroutines begin on the thread that is lent to it.
//!
//! *Where it sits*: layer 3, beside `find`. Called at the beginning and the end of a `run`, and before a goroutine runs for the first time.
//!
//! A pinned goroutine stays for ever on the thread where it began. The thread of a `run` leaves when main has returned, and those pinned to it
//! wait until it comes back: right for those that main started, directly or through others, as they have their end with main in Go; a trap for
//! those of another `run`, or of a plain thread, that just happened to be found here. So each goroutine has the number of the `run` it
//! descends from, and a runner refuses to begin a pinned one of another number.
//!
//! What is refused has to find another worker, and must not come back. So the runner becomes exclusive for the rest of its
//! `run`, as for a goroutine with a thread to itself (`exclusive`): what others could run is handed to them, and it takes
//! nothing in any more but those that began here before. A worker without a `run` refuses nobody, so the way ends there; if none has a permit
//! or a thread, waking one for what lies in the injector gets it both. A program with one `run`, in which goroutines start all
//! others, never comes here.
//!
//! Goroutines of a host interpreter are left out: they run where the interpreter's lock is.

use super::worker::Worker;
use super::{deadlock, exclusive, idle, inject, table};
use crate::cell::{AtomicU32, Ordering};
use crate::goroutine::{G, PINNED};

/// Numbers given so far; those that are given have 16 bits.
static GIVEN: AtomicU32 = AtomicU32::new(0);

/// A `run` begins on the runner `w`.
pub fn begin(w: &Worker) {
    loop {
        let n = GIVEN.fetch_add(1, Ordering::Relaxed).wrapping_add(1) & u32::from(u16::MAX);
        // After 65,535 others a number comes again, unless it is still in use.
        if n != 0 && !table::any(|v| v.run.load(Ordering::Relaxed) == n) {
            w.run.store(n, Ordering::Relaxed);
            return;
        }
    }
}

/// It has ended.
pub fn end(w: &Worker) {
    w.run.store(0, Ordering::Relaxed);
    if w.apart.replace(false) {
        idle::GATE.set_exclusive(&w.seat, exclusive::stays_exclusive(w));
    }
}

/// The worker of the thread whose `run` waits for `g`, if it is a main goroutine.
///
/// # Safety
/// `g` is the caller's own header (G1).
#[inline(always)]
pub unsafe fn runner_of(g: &G) -> Option<&'static Worker> {
    // SAFETY: by the caller; `set_main` has put a worker there, which lives until shutdown.
    unsafe { g.ext_ref()?.main_of.map(|w| w.cast::<Worker>().as_ref()) }
}

/// `g` is the main goroutine of the `run` that `w` serves.
///
/// # Safety
/// As above.
pub unsafe fn set_main(w: &'static Worker, g: *mut G) {
    w.main_goroutine.store(g, Ordering::Relaxed);
    // SAFETY: by the caller.
    unsafe { (*g).ext_mut().main_of = Some(core::ptr::NonNull::from(w).cast()) };
}

/// The panic of the running goroutine `g` has been reported, and nothing unwinds. If it is the main goroutine of a `run`, that is
/// over when it has ended, as with a panic that unwinds.
///
/// # Safety
/// `g` is the running goroutine.
pub unsafe fn main_panicked(g: *mut G) {
    // SAFETY: by the caller.
    if let Some(runner) = unsafe { runner_of(&*g) } {
        if deadlock::waits_for(g) {
            runner.main_done.set_returned();
        }
    }
}

/// Whether `g`, which has not run yet, may begin on `w`.
#[inline(always)]
pub fn may_begin(w: &Worker, g: &G) -> bool {
    !w.is_runner || u32::from(g.run.get()) == w.run.load(Ordering::Relaxed) || !g.has(PINNED) || g.class.get() != 0
}

/// `w` may not begin `g`, nor any of its kind: both go apart.
///
/// # Safety
/// `w` is the current worker, in its loop, and owns `g` (G1).
#[cold]
pub unsafe fn keep_apart(w: &Worker, g: *mut G) {
    w.apart.set(true);
    idle::GATE.set_exclusive(&w.seat, true);
    w.share_queue();
    // SAFETY: by the caller; g is in no queue.
    unsafe { inject(g) };
}
