//! Hosting an interpreter: goroutines of a class whose threads hold a lock of their own (CPython's).
//!
//! *Where it sits*: layer 3. A face registers hooks for its class; the worker calls `release` before it sleeps or
//! runs a goroutine of another class, so that the interpreter's lock is kept over switches within the class and
//! never while nothing of the class runs. A face also ends the waits of its goroutines from outside, all of a class or one by its
//! number.
//!
//! # State
//!
//! A goroutine's class, in its header, and the lock `MEMBERS`.
//!
//! # Invariants
//!
//! * **M1** A goroutine joins its class and leaves it under `MEMBERS`, and a header that is in no class, or free, has class 0. So whoever
//!   finds a class in a header under the lock has that goroutine before them until they release it: they claim its wait or none, never that
//!   of another one that has got the header meanwhile.

use super::worker::{self, Worker};
use crate::cell::{AtomicPtr, AtomicUsize, Ordering};
use crate::goroutine::{arena, CANCELABLE, G, GIVEN_UP};
use crate::rank::Rank;
use crate::sys;
use crate::wait::Outcome;
use core::ptr::null_mut;

/// What a host provides.
pub struct HostHooks {
    /// This OS thread is about to sleep, or to run a goroutine of another class.
    pub release: fn(),
    /// The thread in `run` was interrupted by a signal: whether main's wait should end with `Interrupted`.
    pub interrupt: fn() -> bool,
    /// The thread in `run` is about to sleep: whether a signal came before, which would not end that sleep. Called often.
    pub pending: fn() -> bool,
    /// A goroutine of this class has kept the thread in `run` for longer than its slice while there are others. Called by the
    /// monitor, at each tick until it gives way: a host that can interrupt its code does so.
    pub preempt: fn(),
    /// Size of the stacks of this class, main's included, in bytes; 0: the default.
    pub stack_size: usize,
}

const CLASSES: usize = 4;
static HOOKS: [AtomicPtr<HostHooks>; CLASSES] = [const { AtomicPtr::new(null_mut()) }; CLASSES];
static ANY: AtomicUsize = AtomicUsize::new(0);
/// M1. A lock per goroutine of a host at its start and its end; others never see it.
static MEMBERS: sys::Mutex<()> = sys::Mutex::new(Rank::Leaf, ());

/// Counts a call of a host's on this worker and says whether it is one in 256: for what has to be done now and then whoever calls. Never on
/// a thread that is no worker.
#[inline]
pub fn turn() -> bool {
    worker::current().is_some_and(|w| {
        let calls = w.calls.get().wrapping_add(1);
        w.calls.set(calls);
        calls == 0
    })
}

/// Registers the hooks of a class (1 to 3).
pub fn set(class: u8, hooks: &'static HostHooks) {
    if let Some(slot) = HOOKS.get(class as usize) {
        // Release: pairs with the Acquire in `get`.
        slot.store((&raw const *hooks).cast_mut(), Ordering::Release);
        ANY.store(1, Ordering::Relaxed);
    }
}

/// The hooks of a class.
pub fn get(class: u8) -> Option<&'static HostHooks> {
    // Acquire: pairs with the Release in `set`.
    // SAFETY: `set` stored a 'static reference.
    HOOKS.get(class as usize).and_then(|s| unsafe { s.load(Ordering::Acquire).as_ref() })
}

/// Whether there is any host: then even a plain thread's wait may be interrupted.
#[inline]
pub fn any() -> bool {
    ANY.load(Ordering::Relaxed) != 0
}

/// Calls `release` of a class.
pub fn release(class: u8) {
    if let Some(h) = get(class) {
        (h.release)();
    }
}

/// A plain thread is about to sleep natively: its host's lock, if any host is there, is not kept.
pub fn thread_sleeps() {
    if !any() {
        return;
    }
    for class in 1..CLASSES as u8 {
        release(class);
    }
}

/// A plain thread's native wait was interrupted by a signal. True: the wait should end.
pub fn thread_interrupted() -> bool {
    any() && (1..CLASSES as u8).any(|c| get(c).is_some_and(|h| (h.interrupt)()))
}

/// A host's goroutine on the thread in `run` has used up its slice and makes no call that would end it.
pub fn preempt() {
    for class in 1..CLASSES as u8 {
        if let Some(h) = get(class) {
            (h.preempt)();
        }
    }
}

/// The thread in `run` is about to sleep.
pub fn about_to_sleep(w: &'static Worker) {
    let main = w.main_goroutine.load(Ordering::Relaxed);
    // SAFETY: as in `interrupted`.
    let hooks = unsafe { main.as_ref() }.and_then(|g| get(g.class.get()));
    if hooks.is_some_and(|h| (h.pending)()) {
        interrupted(w);
    }
}

/// The thread in `run` was interrupted while it slept.
pub fn interrupted(w: &'static Worker) {
    let main = w.main_goroutine.load(Ordering::Relaxed);
    if main.is_null() {
        return;
    }
    // SAFETY: main has not ended while its run sleeps in its loop; the claim decides who resumes it.
    unsafe {
        let Some(h) = get((*main).class.get()) else { return };
        if (h.interrupt)() && (*main).waiter.try_claim(Outcome::Interrupted) {
            super::ready_from_sleep(main);
        }
    }
}

/// Ends the waits of all goroutines of a class with `Cancelled`. Those that do not wait notice nothing.
/// Returns how many waited.
pub fn cancel_class(class: u8) -> usize {
    end_waits(Outcome::Cancelled, |g| g.class.get() == class)
}

/// Ends the wait of one goroutine of a host with `Interrupted`. False if it does not wait.
pub fn interrupt(id: u64) -> bool {
    end_waits(Outcome::Interrupted, |g| g.id.load(Ordering::Relaxed) == id) > 0
}

/// The goroutine of a fresh header, which has its number, joins a class.
pub fn join(g: &G, class: u8) {
    let _members = MEMBERS.lock();
    g.set_flags(CANCELABLE);
    g.class.set(class);
}

/// A goroutine of a class has ended, or never began: its header goes to others.
pub fn leave(g: &G) {
    let _members = MEMBERS.lock();
    g.class.set(0);
}

fn end_waits(outcome: Outcome, which: impl Fn(&G) -> bool) -> usize {
    let Some(_look) = crate::runtime::look() else { return 0 };
    let is_meant = |g: &G| !matches!(g.class.get(), 0 | GIVEN_UP) && which(g);
    let mut n = 0;
    arena::for_each(|g| {
        if is_meant(g) && claim_member(g, outcome, is_meant) {
            n += 1;
            // SAFETY: claimed by us just now.
            unsafe { super::ready_goroutine((&raw const *g).cast_mut()) };
        }
        true
    });
    n
}

/// Claims the wait of `g` if the goroutine that has this header is meant (M1), and waits.
fn claim_member(g: &G, outcome: Outcome, is_meant: impl Fn(&G) -> bool) -> bool {
    let _members = MEMBERS.lock();
    is_meant(g) && g.waiter.try_claim(outcome)
}

#[cfg(all(test, not(loom)))]
mod tests;
