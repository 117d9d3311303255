//! A worker's inbox: what other threads make ready for it and for no other worker.
//!
//! **Where it sits.** One per worker, for pinned goroutines; calls `list`. Any thread pushes, without
//! ever waiting; the owner takes everything at once.
//!
//! # State
//!
//! `head`: the node pushed last, linked to the one pushed before it, and so on: a stack (R. K. Treiber,
//! "Systems Programming: Coping with Parallelism", 1986). Taking all turns it round.
//!
//! # Invariants
//!
//! - **B1** A node in the inbox is reachable from `head` over links that nobody changes any more.
//! - **B2** Nodes leave only all at once, by one swap. So a push that finds `head` unchanged finds the
//!   same chain behind it, and the usual danger of such stacks — a node that went and came back
//!   between the look and the exchange — is none.
//!
//! # Orderings
//!
//! A push is Release and taking all is Acquire, so the taker sees the links and what the pusher did
//! before. `is_empty` is Relaxed: a scheduler that must not miss an entry puts a fence of its own
//! between its push and its look at the sleepers.

use crate::cell::{const_new, AtomicPtr, Ordering};
use crate::list::{Fifo, Linked};
use std::ptr;

/// A queue of many producers and one consumer.
#[derive(Debug)]
pub(crate) struct Inbox<N: Linked> {
    head: AtomicPtr<N>,
}

// SAFETY: nodes go from pusher to taker, each to one of them alone (B1, B2).
unsafe impl<N: Linked> Sync for Inbox<N> {}
// SAFETY: as above.
unsafe impl<N: Linked> Send for Inbox<N> {}

impl<N: Linked> Default for Inbox<N> {
    fn default() -> Inbox<N> {
        Inbox::new()
    }
}

impl<N: Linked> Inbox<N> {
    const_new! {
        /// An empty inbox.
        pub(crate) const fn new() -> Inbox<N> {
            Inbox { head: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// Whether there is nothing in it, or was nothing a moment ago. One relaxed load.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Puts `node` in, and says whether the inbox was empty: then nobody has told the owner yet.
    ///
    /// # Safety
    ///
    /// `node` is valid, in no chain, and stays valid until it is taken.
    #[inline]
    pub(crate) unsafe fn push(&self, node: *mut N) -> bool {
        // Relaxed: the link is published by the exchange below, and the chain behind `head` is not read.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: the node is valid and ours until the exchange succeeds.
            unsafe { *N::link(node) = head };
            // Release on success pairs with the Acquire in `take_all`: the taker sees the link and the
            // node. Pushes continue each other's release, being read-modify-writes.
            let swap = self.head.compare_exchange_weak(head, node, Ordering::Release, Ordering::Relaxed);
            match swap {
                Ok(_) => return head.is_null(),
                Err(now) => head = now,
            }
        }
    }

    /// Takes everything, in the order in which it was pushed.
    #[inline]
    pub(crate) fn take_all(&self) -> Fifo<N> {
        if self.is_empty() {
            return Fifo::new();
        }
        // Acquire pairs with the Release in `push`: we see all nodes and their links.
        let mut node = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut chain = Fifo::new();
        while !node.is_null() {
            // SAFETY: by B1 the node is valid and its link leads on; by B2 it is ours now. Pushing each
            // to the front turns the stack round.
            unsafe {
                let older = *N::link(node);
                chain.push_front(node);
                node = older;
            }
        }
        chain
    }
}

#[cfg(test)]
mod tests;
