//! Waiting at a channel, whatever the type of its values.
//!
//! *Where it sits*: layer 4, below `chan/core.rs`, which comes here when a send or a receive finds that it has to wait. Calls the scheduler's
//! verbs.
//!
//! There is one function from here down to the switch. A return on a stack that was just switched to is one that the CPU predicts wrongly, for
//! its stack of return addresses is that of another goroutine: each frame in between costs as much as some twenty instructions.

use super::core::{Error, Header, FOREVER};
use crate::goroutine::{Reason, G};
use crate::sched::worker::Worker;
use crate::sched::{self, timers};
use crate::wait::Outcome;

impl Header {
    /// Queues the caller and parks. The lock is held on entry and released here.
    ///
    /// # Safety
    /// The caller holds the lock and has found that it has to wait; `elem` is as for a send or a receive.
    #[inline(never)]
    pub(super) unsafe fn wait_locked(&self, elem: *mut u8, deadline: i64, sends: bool) -> Result<(), Error> {
        // SAFETY: by the caller.
        unsafe {
            match sched::plain_party(deadline) {
                Some((w, g)) if self.park_locked(w, g, elem, sends) => Ok(()),
                Some(_) => Err(Error::Closed),
                None => self.wait_locked_with_others(elem, deadline, sends),
            }
        }
    }

    /// The same for a party whose wait only a peer can end. False: the channel was closed.
    ///
    /// # Safety
    /// As for [`wait_locked`](Header::wait_locked); `w` and `g` came from [`sched::plain_party`].
    #[inline(always)]
    pub(super) unsafe fn park_locked(&self, w: &Worker, g: *mut G, elem: *mut u8, sends: bool) -> bool {
        // SAFETY: the lock is held until the unlock; the node is the caller's own and not in use, since a party is in one wait at a
        // time. Afterwards it is out of the queue (W1).
        unsafe {
            let (wt, node) = (&raw const (*g).waiter, (*g).node.get());
            (*wt).begin_single();
            (*node).set(wt, elem, 0, false);
            self.enqueue(node, sends);
            self.lock.unlock_to_park(|| !w.has_more());
            sched::park_on(w, g, if sends { Reason::ChanSend } else { Reason::ChanRecv });
            (*node).ok
        }
    }

    /// The same for any party, and with a deadline or a context that may end the wait as well.
    ///
    /// # Safety
    /// As for [`wait_locked`](Header::wait_locked).
    #[inline(never)]
    unsafe fn wait_locked_with_others(&self, elem: *mut u8, deadline: i64, sends: bool) -> Result<(), Error> {
        // SAFETY: the lock is held until the unlock; the node is the caller's own and not in use, since a
        // party is in one wait at a time.
        unsafe {
            let wt = sched::me();
            let node = sched::node_of(wt);
            let multi = deadline != FOREVER || sched::is_cancelable(wt);
            if multi && deadline != FOREVER && deadline <= timers::now() {
                self.unlock();
                return Err(sched::at_once(Error::TimedOut, deadline));
            }
            if multi {
                (*wt).begin_multi();
            } else {
                (*wt).begin_single();
            }
            (*node).set(wt, elem, 0, multi);
            self.enqueue(node, sends);
            self.unlock();
            let reason = if sends { Reason::ChanSend } else { Reason::ChanRecv };
            match sched::wait_here(wt, reason, deadline) {
                Outcome::Peer if (*node).ok => Ok(()),
                Outcome::Peer => Err(Error::Closed),
                other => {
                    self.lock();
                    self.dequeue(node, sends);
                    self.unlock();
                    Err(other.into())
                }
            }
        }
    }
}
