//! The scheduler under the model checker: its verbs for threads, and the gate.
//!
//! *Where it sits*: takes the place of `mod.rs` under `cfg(loom)`, so that what is built on the verbs is modelled as it
//! ships. Everybody who waits is a thread of the model; time stands still.

pub mod gate;

use crate::error::Error;
use crate::list::List;
use crate::reason::Reason;
use crate::sys;
use crate::wait::{Node, Outcome, ThreadWaiter, Waiter, ASLEEP};

loom::thread_local! {
    static THREAD: ThreadWaiter = ThreadWaiter::new();
}

/// The clock of the model.
pub mod timers {
    /// It stands still.
    pub fn now() -> i64 {
        1
    }

    /// Deadlines lie ahead for ever.
    pub fn after(_d: i64) -> i64 {
        i64::MAX
    }
}

/// The party of the calling thread.
pub fn me() -> *const Waiter {
    THREAD.with(|t| &raw const t.waiter)
}

/// The node of the caller's plain operations.
///
/// # Safety
/// `wt` came from [`me`].
pub unsafe fn node_of(wt: *const Waiter) -> *mut Node {
    // SAFETY: by the caller; only addresses are formed.
    unsafe { (*ThreadWaiter::of(wt)).node.get() }
}

/// Waits with one party need no claim.
///
/// # Safety
/// `wt` came from [`me`].
pub unsafe fn is_cancelable(_wt: *const Waiter) -> bool {
    false
}

/// How the context of the caller has ended: it has none.
pub fn bound_end() -> Option<Outcome> {
    None
}

/// Makes the calling thread known; the model knows its threads.
pub fn announce() {}

/// An answer without waiting ends no time slice; the model has none.
pub fn at_once(answer: Error, _deadline: i64) -> Error {
    answer
}

/// Ends a time slice; the model has none.
pub fn checkpoint(_blocks: bool) {}

/// Lets others run; the model runs whom it likes.
pub fn yield_now() {}

/// Whether spinning may help: the model gains nothing by it.
pub fn may_spin() -> bool {
    false
}

/// Blocks until the wait is ended.
///
/// # Safety
/// As for the scheduler's own.
pub unsafe fn wait(wt: *const Waiter, _reason: Reason, deadline: i64) -> Outcome {
    // SAFETY: by the caller.
    let t = unsafe { &*ThreadWaiter::of(wt) };
    t.sleep(deadline, |word, deadline| {
        sys::futex_wait(word, ASLEEP, deadline);
        None
    })
}

/// Makes the party behind a claimed waiter go on.
///
/// # Safety
/// As for the scheduler's own.
pub unsafe fn ready(wt: *const Waiter) {
    // SAFETY: by the caller.
    unsafe { ThreadWaiter::tell(ThreadWaiter::of(wt)) };
}

/// Readies whoever is behind claimed nodes, in their order.
///
/// # Safety
/// As for the scheduler's own.
pub unsafe fn ready_all(mut claimed: List<Node>) {
    while !claimed.is_empty() {
        let node = claimed.pop_front();
        // SAFETY: by the caller; the node is not used afterwards.
        unsafe { ready((*node).waiter) };
    }
}
