//! Lock ranks: the one table of the order in which locks are taken.
//!
//! **Where it sits.** Called by `sys::Mutex`, `sys::RawLock` and `sys::BiasedLock` at every acquire and release;
//! calls nothing. In debug builds each thread keeps the list of the ranks it holds and the process
//! aborts at the first acquire that breaks the order; release builds compile all of it to nothing.
//!
//! # Invariants
//!
//! - **R1** A thread blocks on a lock only while every lock it holds has a *lower* rank. The held
//!   ranks of a thread therefore grow strictly, no cycle of waiting threads can form, and no
//!   deadlock of our own locks exists.
//! - **R2** Locks of one rank may be held together only if the rank is [`Rank::ordered`], and then
//!   they are taken in ascending address order. Select needs this.
//! - **R3** A `try_lock` cannot block and so may break R1, but what it took counts as held.
//! - **R4** No lock is held across a context switch: the list is empty whenever a goroutine is
//!   switched away, and it can be kept per thread although goroutines move between threads.

#[cfg(all(debug_assertions, not(loom)))]
#[path = "rank/checked.rs"]
mod check;
#[cfg(any(not(debug_assertions), loom))]
#[path = "rank/unchecked.rs"]
mod check;

pub(crate) use check::{acquire, acquire_try, assert_none_held, release};

/// The rank of a lock. Declared from the outermost to the innermost: a thread that holds a rank may
/// take any rank further down and none above. To add one, put it where it belongs in this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Rank {
    /// Start, shutdown and configuration of the runtime.
    Runtime,
    /// The table of goroutines: chunks, names, looking at all of them.
    Arena,
    /// The tree of contexts: parents before children, by address.
    Context,
    /// A channel or another object programs share; several at once in address order (select).
    Chan,
    /// A shard of the timer heap.
    Timer,
    /// Who sleeps and who holds a permit.
    Idle,
    /// The pool of threads for blocking calls.
    Blocking,
    /// The global run queue.
    Inject,
    /// Slabs and shared pools of stacks.
    Stack,
    /// Counters, names, traces: takes nothing while held.
    Leaf,
}

impl Rank {
    /// Whether several locks of this rank may be held at once, in ascending address order.
    #[cfg_attr(not(debug_assertions), allow(dead_code))] // only checked builds ask
    pub(crate) const fn ordered(self) -> bool {
        matches!(self, Rank::Chan | Rank::Context)
    }
}

#[cfg(all(test, debug_assertions, not(loom)))]
mod tests;
