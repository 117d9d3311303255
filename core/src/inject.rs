//! The global run queue: what comes from outside the workers or overflows from one of them.
//!
//! **Where it sits.** One per runtime, used by the scheduler; calls `list` and `sys::Mutex`. First in,
//! first out over all who push.
//!
//! Goroutines that have been parked for long are in no cache: to walk along a chain of them, only to cut it, takes a miss for each. So what
//! came together leaves together, as far as whoever takes it wants as many.
//!
//! # State
//!
//! A row of chains under a mutex of rank `Inject`, and `len`, the number of nodes when somebody last held the mutex.
//!
//! # Invariants
//!
//! - **J1** `len` is written under the mutex only, and is the number of nodes whenever the mutex is free.
//! - **J2** No chain of the row is empty, but for the last, `open`, behind which single nodes queue.
//!
//! # Orderings
//!
//! `len` is Relaxed. It tells whether the mutex is worth taking; a scheduler that must not miss an
//! entry puts a fence of its own between its push and its look at the sleepers.

use crate::cell::{const_new, AtomicUsize, Ordering};
use crate::list::{Fifo, Linked};
use crate::rank::Rank;
use crate::sys::Mutex;
use std::collections::VecDeque;
use std::mem::take;

/// Nodes that came one by one leave together up to this number.
pub(crate) const TOGETHER: usize = 128;

/// What the mutex protects: see the module's text.
#[derive(Debug)]
struct Row<N: Linked> {
    closed: VecDeque<Fifo<N>>,
    open: Fifo<N>,
    len: usize,
}

impl<N: Linked> Row<N> {
    const fn new() -> Row<N> {
        Row { closed: VecDeque::new(), open: Fifo::new(), len: 0 }
    }

    /// Makes room behind the open chain for `n` more that stay together. Without memory for that they join it, however long it is.
    fn close_before(&mut self, n: usize) {
        if !self.open.is_empty() && self.open.len() + n > TOGETHER && self.closed.try_reserve(1).is_ok() {
            self.closed.push_back(take(&mut self.open));
        }
    }

    /// The chain in front.
    fn first(&mut self) -> &mut Fifo<N> {
        self.closed.front_mut().unwrap_or(&mut self.open)
    }

    /// Takes up to `max` nodes from the chain in front.
    fn take_first(&mut self, max: usize) -> Fifo<N> {
        let part = self.first().split_front(max);
        self.len -= part.len();
        if self.first().is_empty() {
            self.closed.pop_front(); // J2
        }
        part
    }
}

/// A queue that every thread may push to and pop from.
#[derive(Debug)]
pub(crate) struct Injector<N: Linked> {
    len: AtomicUsize,
    row: Mutex<Row<N>>,
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
            Injector { len: AtomicUsize::new(0), row: Mutex::new(Rank::Inject, Row::new()) }
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

    /// Calls `f` on the row under the mutex and publishes the length it leaves (J1).
    fn with<R>(&self, f: impl FnOnce(&mut Row<N>) -> R) -> R {
        let mut row = self.row.lock();
        let result = f(&mut row);
        // Relaxed: a hint.
        self.len.store(row.len, Ordering::Relaxed);
        result
    }

    /// Appends `node`.
    ///
    /// # Safety
    ///
    /// `node` is valid, in no chain, and stays valid until it is popped.
    pub(crate) unsafe fn push(&self, node: *mut N) {
        self.with(|row| {
            row.close_before(1);
            row.len += 1;
            // SAFETY: the caller's promise is what `push_back` asks for.
            unsafe { row.open.push_back(node) };
        });
    }

    /// Appends a whole chain in one go.
    pub(crate) fn push_all(&self, nodes: Fifo<N>) {
        self.with(|row| {
            row.close_before(nodes.len());
            row.len += nodes.len();
            row.open.append_all(nodes);
        });
    }

    /// Takes the `max` oldest nodes, or all if there are fewer; fewer also where the next ones came together and are more than that.
    pub(crate) fn pop_many(&self, max: usize) -> Fifo<N> {
        if self.is_empty() {
            return Fifo::new();
        }
        self.with(|row| {
            let mut part = row.take_first(max);
            while row.len > 0 && part.len() + row.first().len() <= max {
                part.append_all(row.take_first(max));
            }
            part
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
