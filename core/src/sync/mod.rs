//! Synchronisation for goroutines and threads together.
//!
//! *Where it sits*: layer 4, over the scheduler's verbs, beside the channels.

pub mod waitgroup;

pub use waitgroup::WaitGroup;

use crate::goroutine::Reason;
use crate::list::List;
use crate::sched::{self, timers};
use crate::sys::RawLock;
use crate::wait::{Node, Outcome};

/// A queue of waiters in two words, of which all zeros is a valid, empty one. Used under its owner's lock.
#[repr(C)]
pub(crate) struct WaitList([usize; 2]);

impl WaitList {
    pub(crate) const fn new() -> WaitList {
        WaitList([0; 2])
    }

    /// The list behind it.
    pub(crate) fn list(&mut self) -> &mut List<Node> {
        const { assert!(size_of::<List<Node>>() == size_of::<WaitList>()) };
        let p: *mut List<Node> = (&raw mut self.0).cast();
        // SAFETY: the words are either all zero, which is replaced by an empty list first, or a list. Size and
        // alignment are those of two words.
        unsafe {
            if self.0[0] == 0 {
                p.write(List::new());
            }
            &mut *p
        }
    }
}

/// Waits in `list` until somebody claims the caller, or the deadline.
///
/// # Safety
/// `lock` protects `list` and is held; it is released here. The caller is in no wait.
pub(crate) unsafe fn wait_in(lock: &RawLock, list: *mut WaitList, reason: Reason, deadline: i64) -> Outcome {
    // SAFETY: the lock is held until the unlock, and again for the removal.
    unsafe {
        if deadline != i64::MAX && deadline <= timers::now() {
            lock.unlock();
            return Outcome::TimedOut;
        }
        let wt = sched::me();
        let node = sched::node_of(wt);
        let multi = deadline != i64::MAX || sched::is_cancelable(wt);
        if multi {
            (*wt).begin_multi();
        } else {
            (*wt).begin_single();
        }
        (*node).set(wt, core::ptr::null_mut(), 0, multi);
        (*list).list().push_back(node);
        lock.unlock();
        let outcome = sched::wait(wt, reason, deadline);
        if outcome != Outcome::Peer {
            lock.lock();
            (*list).list().remove_if_linked(node);
            lock.unlock();
        }
        outcome
    }
}
