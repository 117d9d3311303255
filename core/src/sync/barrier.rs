//! Waiting for each other.
//!
//! *Where it sits*: layer 4. The shape of `std::sync::Barrier`.
//!
//! # State
//!
//! Under a short lock: how many have come, and how often the barrier was passed (the generation).
//!
//! # Invariants
//!
//! * **B1** The one that makes the number full ends the generation and claims all who wait. A waiter whose wait ended in
//!   another way looks at the generation: if it has ended the waiter has passed, else it takes itself off the number. So exactly
//!   `n` pass together, whatever races with a deadline.

use super::{may_queue, may_wait, wait_way, WaitError, WaitList, Way};
use crate::error::{Error, FOREVER};
use crate::list::List;
use crate::reason::Reason;
use crate::sched;
use crate::sys::RawLock;
use crate::wait::{Node, Outcome};
use std::cell::UnsafeCell;
use std::time::Instant;

/// A point that `n` goroutines or threads pass together, again and again.
///
/// ```
/// use zokor::sync::Barrier;
/// let barrier = Barrier::new(3);
/// let leaders = zokor::run(|| zokor::scope(|s| {
///     let all: Vec<_> = (0..3).map(|_| s.go(|| barrier.wait().is_leader())).collect();
///     all.into_iter().filter_map(|h| h.join().ok()).filter(|leads| *leads).count()
/// }));
/// assert_eq!(leaders, 1);
/// ```
pub struct Barrier {
    lock: RawLock,
    queue: UnsafeCell<WaitList>,
    passed: UnsafeCell<Passed>,
    n: usize,
}

struct Passed {
    here: usize,
    generation: u64,
}

// SAFETY: queue and numbers are used under the lock.
unsafe impl Sync for Barrier {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Barrier {}

/// Says who led: one of those who passed together.
#[derive(Debug)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether the caller was the last to come.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// For `n` at a time; 0 is 1.
    pub const fn new(n: usize) -> Barrier {
        Barrier {
            lock: RawLock::new(),
            queue: UnsafeCell::new(WaitList::new()),
            passed: UnsafeCell::new(Passed { here: 0, generation: 0 }),
            n,
        }
    }

    /// Waits until `n` have called it. Not cancelable.
    pub fn wait(&self) -> BarrierWaitResult {
        match self.pass(Way::plain(Reason::Barrier)) {
            Ok(leads) => BarrierWaitResult(leads),
            Err(_) => unreachable!("a wait without deadline that is not cancelable ends with its peers"),
        }
    }

    /// As [`wait`](Barrier::wait), until `deadline` at most. Who gives up is not counted any more.
    ///
    /// # Errors
    /// Which of deadline and cancellation came first.
    pub fn wait_until(&self, deadline: Instant) -> Result<BarrierWaitResult, WaitError> {
        self.pass_until(super::deadline(deadline))
    }

    /// As [`wait`](Barrier::wait), but ends when the goroutine's context does. Who gives up is not counted any more.
    ///
    /// # Errors
    /// `Cancelled`, or `TimedOut` by the context's deadline.
    pub fn wait_cancelable(&self) -> Result<BarrierWaitResult, WaitError> {
        self.pass_until(FOREVER)
    }

    fn pass_until(&self, deadline: i64) -> Result<BarrierWaitResult, WaitError> {
        may_wait(deadline)?;
        Ok(BarrierWaitResult(self.pass(Way::until(Reason::Barrier, deadline))?))
    }

    fn pass(&self, way: Way) -> Result<bool, Error> {
        super::sched::checkpoint(true);
        self.lock.lock();
        // SAFETY: the lock is held; claimed nodes are ours until their waiters are readied.
        unsafe {
            let now = self.passed.get();
            if (*now).here + 1 >= self.n {
                (*now).here = 0;
                (*now).generation += 1;
                let mut claimed: List<Node> = List::new();
                loop {
                    let node = (*self.queue.get()).claim_first();
                    if node.is_null() {
                        break;
                    }
                    claimed.push_back(node);
                }
                self.lock.unlock();
                sched::ready_all(claimed);
                return Ok(true);
            }
            if let Err(e) = may_queue(way.deadline) {
                self.lock.unlock();
                return Err(e);
            }
            (*now).here += 1;
            let generation = (*now).generation;
            match wait_way(&self.lock, self.queue.get(), way, || ()).0 {
                Outcome::Peer => Ok(false),
                other => self.gave_up(generation, other),
            }
        }
    }

    /// B1: whether a waiter that was not claimed has passed all the same.
    fn gave_up(&self, generation: u64, how: Outcome) -> Result<bool, Error> {
        self.lock.lock();
        // SAFETY: the lock is held.
        unsafe {
            let now = self.passed.get();
            let passed = (*now).generation != generation;
            if !passed {
                (*now).here -= 1;
            }
            self.lock.unlock();
            if passed {
                Ok(false)
            } else {
                Err(how.into())
            }
        }
    }
}

impl std::fmt::Debug for Barrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Barrier").field("n", &self.n).finish_non_exhaustive()
    }
}
