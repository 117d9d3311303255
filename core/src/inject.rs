//! The global run queue: what comes from outside the workers or overflows from one of them.
//!
//! **Where it sits.** One per runtime, used by the scheduler; calls `list` and `sys::Mutex`. First in,
//! first out over all who push.
//!
//! # State
//!
//! The chain, under a mutex of rank `Inject`, and `len`, its length when somebody last held the mutex.
//!
//! # Invariants
//!
//! - **J1** `len` is written under the mutex only, and is the chain's length whenever the mutex is free.
//!
//! # Orderings
//!
//! `len` is Relaxed. It tells whether the mutex is worth taking; a scheduler that must not miss an
//! entry puts a fence of its own between its push and its look at the sleepers.

use crate::cell::{const_new, AtomicUsize, Ordering};
use crate::list::{Fifo, Linked};
use crate::rank::Rank;
use crate::sys::Mutex;
use std::ptr;

/// A queue that every thread may push to and pop from.
#[derive(Debug)]
pub(crate) struct Injector<N: Linked> {
    len: AtomicUsize,
    chain: Mutex<Fifo<N>>,
}

impl<N: Linked> Default for Injector<N> {
    fn default() -> Injector<N> {
        Injector::new()
    }
}

impl<N: Linked> Injector<N> {
    const_new! {
        /// An empty queue.
        pub(crate) const fn new() -> Injector<N> {
            Injector { len: AtomicUsize::new(0), chain: Mutex::new(Rank::Inject, Fifo::new()) }
        }
    }

    /// How many nodes there are, or were a moment ago.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        // Relaxed: a hint.
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is no node, or was none a moment ago. One relaxed load.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `f` on the chain under the mutex and publishes the length it leaves (J1).
    fn with<R>(&self, f: impl FnOnce(&mut Fifo<N>) -> R) -> R {
        let mut chain = self.chain.lock();
        let result = f(&mut chain);
        // Relaxed: a hint.
        self.len.store(chain.len(), Ordering::Relaxed);
        result
    }

    /// Appends `node`.
    ///
    /// # Safety
    ///
    /// `node` is valid, in no chain, and stays valid until it is popped.
    pub(crate) unsafe fn push(&self, node: *mut N) {
        // SAFETY: the caller's promise is what `push_back` asks for.
        self.with(|chain| unsafe { chain.push_back(node) });
    }

    /// Appends a whole chain in one go.
    pub(crate) fn push_all(&self, nodes: Fifo<N>) {
        self.with(|chain| chain.append_all(nodes));
    }

    /// Takes the oldest node, or null.
    pub(crate) fn pop(&self) -> *mut N {
        if self.is_empty() {
            return ptr::null_mut();
        }
        self.with(Fifo::pop_front)
    }

    /// Takes the `max` oldest nodes, or all if there are fewer.
    pub(crate) fn pop_many(&self, max: usize) -> Fifo<N> {
        if self.is_empty() {
            return Fifo::new();
        }
        self.with(|chain| chain.split_front(max))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
