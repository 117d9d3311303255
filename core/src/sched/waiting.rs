//! Waiting for an event: the caller as a party, goroutine or plain thread, with a deadline and a context as further parties.
//!
//! *Where it sits*: layer 3, between the verbs and the objects of layer 4, which queue a node, call [`wait`] and look at the
//! outcome.

use super::{blocking, host, park, timers, worker};
use crate::cell::{AtomicU32, Ordering};
use crate::goroutine::{Binding, Reason, BOUND, CANCELABLE, G};
use crate::sys;
use crate::wait::{Kind, Node, Outcome, ThreadWaiter, Waiter, ASLEEP, NAPPING};
use std::sync::Arc;

/// A time that does not come (T-02). A sleep until then is still one, with a timer, and no deadlock (D-04).
const LAST: i64 = i64::MAX - 1;

/// Workers that are there do not let a timer wait for so long.
const UNSERVED: i64 = 100_000_000;

thread_local! {
    static THREAD: ThreadWaiter = const { ThreadWaiter::new() };
}

/// The party of the caller: the running goroutine, or its OS thread. A goroutine that is unwinding counts as
/// its thread: the panic count is the thread's, so it must not move or let others run.
#[inline]
pub fn me() -> *const Waiter {
    if let Some(w) = worker::current() {
        let g = w.current.get();
        if !g.is_null() && w.block_depth.get() == 0 && !std::thread::panicking() {
            // SAFETY: the running goroutine's header is valid.
            return unsafe { &raw const (*g).waiter };
        }
    }
    crate::runtime::foreign_thread();
    this_thread()
}

/// The caller's worker and goroutine if it is one whose wait only a peer can end, as most waits are: then [`begin_single`] is enough, the outcome
/// is known, and [`park_on`] is all there is to do.
///
/// [`begin_single`]: Waiter::begin_single
/// [`park_on`]: super::park_on
#[inline(always)]
pub fn plain_party(deadline: i64) -> Option<(&'static worker::Worker, *mut G)> {
    let w = worker::current()?;
    let g = w.current.get();
    // SAFETY: the running goroutine's header is valid.
    let plain = !g.is_null() && unsafe { waits_plainly(w, g, deadline) };
    plain.then_some((w, g))
}

/// The same for who has asked for both and not been switched since.
///
/// # Safety
/// `g` is the goroutine that runs on `w`, which is the current worker.
#[inline(always)]
pub unsafe fn waits_plainly(w: &worker::Worker, g: *mut G, deadline: i64) -> bool {
    deadline == i64::MAX
        && w.block_depth.get() == 0
        // SAFETY: by the caller.
        && unsafe { !(*g).has(CANCELABLE | BOUND) }
        && !std::thread::panicking()
}

/// The waiter of the OS thread. Not inlined: goroutines call `me` too, and the address of a thread-local must not be kept
/// across their switches.
#[inline(never)]
fn this_thread() -> *const Waiter {
    THREAD.with(|t| &raw const t.waiter)
}

/// The node of the caller's plain operations.
///
/// # Safety
/// `wt` came from [`me`] and no wait of the caller is in progress.
#[inline(always)]
pub unsafe fn node_of(wt: *const Waiter) -> *mut Node {
    // SAFETY: by the caller; only addresses are formed.
    unsafe {
        match (*wt).kind() {
            Kind::Goroutine => (*G::of_waiter(wt)).node.get(),
            Kind::Thread => (*ThreadWaiter::of(wt)).node.get(),
        }
    }
}

/// Whether a wait of `wt` may be ended from outside and so needs a claim even without deadline.
///
/// # Safety
/// `wt` came from [`me`].
#[inline(always)]
pub unsafe fn is_cancelable(wt: *const Waiter) -> bool {
    // SAFETY: by the caller.
    unsafe {
        match (*wt).kind() {
            Kind::Goroutine => (*G::of_waiter(wt)).has(CANCELABLE),
            Kind::Thread => host::any() || bound_here().is_some(),
        }
    }
}

/// Blocks until the wait of `wt` is ended, by a claim or by the deadline.
///
/// # Safety
/// `wt` came from [`me`], the wait was begun (with `begin_multi` if `deadline` is not `FOREVER`) and
/// published (V1). No lock is held.
pub unsafe fn wait(wt: *const Waiter, reason: Reason, deadline: i64) -> Outcome {
    // SAFETY: by the caller.
    unsafe { wait_here(wt, reason, deadline) }
}

/// The same without a frame of its own, for the busiest callers.
///
/// # Safety
/// As for [`wait`].
#[inline(always)]
pub unsafe fn wait_here(wt: *const Waiter, reason: Reason, deadline: i64) -> Outcome {
    // SAFETY: by the caller.
    unsafe {
        if (*wt).kind() == Kind::Thread {
            return wait_thread(&*ThreadWaiter::of(wt), reason, deadline);
        }
        let g = G::of_waiter(wt);
        if deadline != i64::MAX {
            timers::arm_wait(g, deadline);
        }
        if (*g).has(BOUND) && ended_by_context(wt, g) {
            if deadline != i64::MAX {
                timers::disarm(&(*g).timer);
            }
            let outcome = (*wt).outcome();
            super::checkpoint(true); // G-11: it came back at once
            return outcome;
        }
        park(reason);
        if deadline != i64::MAX {
            timers::disarm_wait(g);
        }
        let outcome = (*wt).outcome();
        if outcome == Outcome::Cancelled {
            (*g).look_at_end();
        }
        outcome
    }
}

/// A bound goroutine that has begun to wait looks whether its context has ended meanwhile. True: we have ended the wait.
#[cold]
unsafe fn ended_by_context(wt: *const Waiter, g: *mut G) -> bool {
    // SeqCst: "I wait" before the look at the context; pairs with the fence of whoever ends it.
    crate::cell::fence(Ordering::SeqCst);
    // SAFETY: g is the running goroutine and wt its waiter. If the claim fails somebody else has ended the wait.
    unsafe { (*g).bound_end().is_some_and(|o| (*wt).try_claim(o)) }
}

/// How the context of the running goroutine has ended, if it is bound to one that has.
#[inline(always)]
pub fn bound_end() -> Option<Outcome> {
    bound_end_on(worker::current()?)
}

/// The same for who has asked for the worker and not been switched since.
#[inline(always)]
pub fn bound_end_on(w: &worker::Worker) -> Option<Outcome> {
    let g = w.current.get();
    // SAFETY: the running goroutine's header is valid, and it asks itself.
    if g.is_null() || unsafe { !(*g).has(BOUND) } {
        return None;
    }
    // SAFETY: as above.
    unsafe { (*g).bound_end() }
}

/// Waits until `when`, in nanoseconds of the monotonic clock. From any thread.
///
/// # Errors
/// What else ended the wait.
pub fn sleep_to(when: i64) -> Result<(), Outcome> {
    if when <= timers::now() {
        super::checkpoint(true); // G-11, as above
        return Ok(());
    }
    sleep_out(when)
}

/// The same for `d` nanoseconds.
///
/// # Errors
/// As above.
pub fn sleep_for(d: i64) -> Result<(), Outcome> {
    if d <= 0 {
        super::checkpoint(true); // G-11, as above
        return Ok(());
    }
    sleep_out(timers::after(d))
}

fn sleep_out(when: i64) -> Result<(), Outcome> {
    let when = when.min(LAST);
    let wt = me();
    // SAFETY: our own waiter; nothing but the deadline (and cancellation) can end the wait.
    unsafe {
        (*wt).begin_multi();
        match wait(wt, Reason::Sleep, when) {
            // The deadline of the context came first.
            Outcome::TimedOut if bound_end().is_some() && timers::now() < when => Err(Outcome::TimedOut),
            Outcome::TimedOut | Outcome::Peer => Ok(()),
            other => Err(other),
        }
    }
}

/// How long a thread that waits to send may be left asleep after its value was taken, if the one who took it has more to take.
const MOMENT: i64 = 50_000;

/// The native wait of an OS thread.
#[cold]
#[inline(never)]
unsafe fn wait_thread(t: &ThreadWaiter, reason: Reason, deadline: i64) -> Outcome {
    host::thread_sleeps();
    let on_worker = worker::current().filter(|w| !w.current.get().is_null());
    let bound = binding_here();
    if let Some((g, b)) = &bound {
        b.wait_as(*g, &raw const t.waiter);
        // It ended before: else whoever ends it from now on finds us.
        if let Some(outcome) = b.ended().filter(|o| t.waiter.try_claim(*o)) {
            // SAFETY: g is the running goroutine.
            b.wait_as(*g, unsafe { &raw const (**g).waiter });
            return outcome;
        }
    }
    if on_worker.is_some() {
        blocking::begin();
    }
    // Under a host a signal may have to end the wait, and only the sleep below notices one.
    if !host::any() {
        t.watch(pause);
        if reason == Reason::ChanSend {
            t.nap(|word| {
                sys::futex_wait(word, NAPPING, deadline.min(timers::now() + MOMENT));
            });
        }
    }
    let outcome = t.sleep(deadline, nap);
    if on_worker.is_some() {
        blocking::end();
    }
    if let Some((g, b)) = bound {
        // SAFETY: g is the running goroutine.
        b.wait_as(g, unsafe { &raw const (*g).waiter });
    }
    outcome
}

/// The goroutine that keeps the calling thread for itself, in a section or because it unwinds, if it is bound. `None` for plain threads.
fn bound_here() -> Option<*mut G> {
    let g = worker::current()?.current.get();
    // SAFETY: the running goroutine's header is valid.
    unsafe { g.as_ref()?.has(BOUND) }.then_some(g)
}

/// The same with what it is bound to: that ends the waits of the thread as well.
fn binding_here() -> Option<(*mut G, Arc<dyn Binding>)> {
    let g = bound_here()?;
    // SAFETY: as above, and it asks itself.
    Some((g, unsafe { (*g).binding()? }))
}

impl worker::Worker {
    /// Wakes the thread that naps at `word` at the next switch. The word may be gone by then.
    pub fn owe(&self, word: *const AtomicU32) {
        if !word.is_null() && word != self.owed.get() {
            self.pay();
            self.owed.set(word);
        }
    }

    /// Wakes whoever is to be woken.
    #[inline(always)]
    pub fn pay(&self) {
        if !self.owed.get().is_null() {
            self.pay_slow();
        }
    }

    #[cold]
    fn pay_slow(&self) {
        sys::futex_wake_addr(self.owed.replace(core::ptr::null()), 1);
    }
}

/// A pause between two looks. Long enough for the other side to empty a buffer, or to fill it; with shorter ones the two
/// would hand each single slot to and fro.
fn pause() {
    const PAUSE: i64 = 1_500;
    let until = sys::now() + PAUSE;
    while sys::now() < until {
        for _ in 0..8 {
            std::hint::spin_loop();
        }
    }
}

/// Sleeps on the word of a waiting thread, once; says whether that ended the wait.
fn nap(word: &AtomicU32, deadline: i64) -> Option<Outcome> {
    // Without workers nobody else serves the timers, and what this thread waits for may be a timer's channel.
    // And if the workers end meanwhile, that is seen when a timer is overdue.
    let grace = if crate::runtime::is_running() { UNSERVED } else { 0 };
    let due = timers::first_deadline().saturating_add(grace);
    match sys::futex_wait(word, ASLEEP, deadline.min(due)) {
        sys::Wait::TimedOut if due < deadline => {
            timers::run_due();
            None
        }
        sys::Wait::TimedOut => Some(Outcome::TimedOut),
        sys::Wait::Interrupted if host::thread_interrupted() => Some(Outcome::Interrupted),
        _ => None,
    }
}
