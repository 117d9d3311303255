//! Joiners that may leave before the goroutine has ended: with a deadline, or when their own context ends.
//!
//! *Where it sits*: layer 3, a part of `start`; the handles wait here, the end of a goroutine looks here if its `join` word says so.
//!
//! The `join` word can name one waiter, who then must stay: the goroutine's end takes the name out and uses it. A joiner that may leave
//! has its node in a list instead, under a lock, and takes it out when it leaves (W4). The word only says that there is one.
//!
//! # State
//!
//! `join`: `Running ⇄ Watched → Done`. Some lists of nodes, for all headers; which one is chosen by the header's address, and a node
//! has the header's address in `elem`.
//!
//! # Invariants
//!
//! * **J3** `join` becomes Watched, and Running again, under the list's lock, while the joiner is in the list and when it leaves it. So
//!   whoever finds Watched when it stores Done, and then takes the lock, finds the joiner or one that has left.
//! * **J4** After Done the header may go to another goroutine at any time: its end uses the address only. A joiner of that other
//!   goroutine may be woken by it for nothing, and looks again.
//!
//! # Orderings
//!
//! As in `start`: Done is stored with Release and read with Acquire. All else is under the lock.

use super::{is_done, DONE, RUNNING, WATCHED};
use crate::cell::Ordering;
use crate::goroutine::{Reason, G};
use crate::list::List;
use crate::rank::Rank;
use crate::sched;
use crate::sys;
use crate::wait::{Node, Outcome, Waiter};
use core::mem::size_of;
use core::ptr::null;

/// A power of two.
const LISTS: usize = 16;

struct Joiners(List<Node>);

// SAFETY: the nodes are used under the lock that the list is in (W3).
unsafe impl Send for Joiners {}

static ALL: [sys::Mutex<Joiners>; LISTS] = [const { sys::Mutex::new(Rank::Leaf, Joiners(List::new())) }; LISTS];

/// The list for a header. Headers lie 256 bytes apart.
fn of(g: *mut G) -> &'static sys::Mutex<Joiners> {
    &ALL[(g.addr() / size_of::<G>()) % LISTS]
}

/// Waits until the goroutine of a handle has ended, or the wait ends otherwise; then it says how.
///
/// # Safety
/// `g` is a handle's header, and the handle is the caller's.
pub(crate) unsafe fn wait_until_done(g: *mut G, deadline: i64) -> Result<(), Outcome> {
    // SAFETY: by the caller the header is valid; our own waiter and node, of which no wait is in progress.
    unsafe {
        while !is_done(g) {
            let wt = sched::me();
            if !enlist(g, wt) {
                break;
            }
            let outcome = sched::wait(wt, Reason::Join, deadline);
            if outcome != Outcome::Peer && !leave(g, wt) {
                return Err(outcome);
            }
        }
    }
    Ok(())
}

/// Begins the wait of `wt` for `g`; false if that has ended.
///
/// # Safety
/// As for [`wait_until_done`]; `wt` came from `sched::me`.
unsafe fn enlist(g: *mut G, wt: *const Waiter) -> bool {
    let mut list = of(g).lock();
    // SAFETY: by the caller.
    unsafe {
        // Acquire on failure: pairs with the Release in `retire`; it has ended. Else it is Watched already, for J4.
        if (*g).join.compare_exchange(RUNNING, WATCHED, Ordering::Relaxed, Ordering::Acquire) == Err(DONE) {
            return false;
        }
        (*wt).begin_multi();
        let node = sched::node_of(wt);
        (*node).set(wt, g.cast(), 0, true);
        list.0.push_back(node);
    }
    true
}

/// Ends the wait of `wt` for `g` that was not ended by that; true if it has ended all the same.
///
/// # Safety
/// As for [`enlist`].
unsafe fn leave(g: *mut G, wt: *const Waiter) -> bool {
    let mut list = of(g).lock();
    // SAFETY: by the caller; the node is in this list if in any.
    unsafe {
        list.0.remove_if_linked(sched::node_of(wt));
        // Acquire on failure: pairs with the Release in `retire`.
        (*g).join.compare_exchange(WATCHED, RUNNING, Ordering::Relaxed, Ordering::Acquire) == Err(DONE)
    }
}

/// The goroutine that had the header `g` has ended, and its `join` word said Watched.
#[cold]
pub(super) fn tell(g: *mut G) {
    let mut woken = null();
    {
        let mut list = of(g).lock();
        let found = list.0.iter().find(|n| {
            // SAFETY: nodes in the list are valid under its lock (W3).
            unsafe { (**n).elem == g.cast() }
        });
        if let Some(node) = found {
            // SAFETY: as above; taken out under the lock, then claimed.
            unsafe {
                list.0.remove(node);
                if Node::claim(node) {
                    woken = (*node).waiter;
                }
            }
        }
    }
    if !woken.is_null() {
        // SAFETY: claimed by us just now.
        unsafe { sched::ready(woken) };
    }
}
