//! Waiting for a condition that a mutex protects.
//!
//! *Where it sits*: layer 4, over `mutex`. Rules CV-01 to CV-06, after Go's `sync.Cond`.
//!
//! # State
//!
//! A queue of waiters in the order of their calls, under a short lock.
//!
//! # Invariants
//!
//! * **V1** A waiter is queued before it gives the mutex up, so whoever changes the condition under the mutex and then
//!   notifies finds it.
//! * **V2** A waiter goes on only because it was claimed by a notification, or with an error: no spurious wake-ups (CV-02). A
//!   notification that claims a waiter is its; one that ended in another way has taken none away from others.
//! * **V3** Notifications go to those who were queued when they came, the first first (CV-03, CV-04). They are not kept.
//!
//! # Orderings
//!
//! The lock orders notifications and waits (HB-09); what the condition depends on is ordered by the mutex.

use super::{may_queue, may_wait, wait_way, MutexGuard, RawMutex, WaitError, WaitList, Way};
use crate::cell::const_new;
use crate::error::{Error, FOREVER};
use crate::list::List;
use crate::reason::Reason;
use crate::sched;
use crate::sys::RawLock;
use crate::wait::{Node, Outcome};
use std::cell::UnsafeCell;
use std::time::{Duration, Instant};

/// A condition variable for a [`RawMutex`]: 32 bytes, all zeros is one without waiters.
#[repr(C)]
pub struct RawCond {
    lock: RawLock,
    spare: u64,
    queue: UnsafeCell<WaitList>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<RawCond>() == 32);

// SAFETY: the queue is used under the lock.
unsafe impl Sync for RawCond {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for RawCond {}

impl Default for RawCond {
    fn default() -> RawCond {
        RawCond::new()
    }
}

impl RawCond {
    const_new! {
        /// Without waiters.
        pub const fn new() -> RawCond {
            RawCond { lock: RawLock::new(), spare: 0, queue: UnsafeCell::new(WaitList::new()) }
        }
    }

    /// Gives `mutex` up, waits for a notification, and takes `mutex` again, which is not cancelable: it is locked before
    /// and after, whatever the result. A deadline that has passed ends the wait, but others can get at the mutex meanwhile. From any
    /// goroutine or thread.
    ///
    /// The process ends if `mutex` is not locked (CV-01).
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `Interrupted`; `WouldBlock` with `NOWAIT`. No notification was consumed then.
    pub fn wait(&self, mutex: &RawMutex, deadline: i64) -> Result<(), Error> {
        may_wait(deadline)?;
        self.wait_way(mutex, Way::until(Reason::Cond, deadline))
    }

    /// As [`wait`](RawCond::wait) without deadline, and not cancelable.
    pub fn wait_forever(&self, mutex: &RawMutex) {
        // It ends with a notification only.
        let _ = self.wait_way(mutex, Way::plain(Reason::Cond));
    }

    fn wait_way(&self, mutex: &RawMutex, way: Way) -> Result<(), Error> {
        if let Err(e) = may_queue(way.deadline) {
            // As POSIX does it: or the condition could not change while somebody asks for it in a loop.
            mutex.unlock();
            mutex.lock();
            return Err(e);
        }
        self.lock.lock();
        // SAFETY: the lock is held and protects the queue; unlocking the mutex does not wait.
        let (outcome, _) = unsafe { wait_way(&self.lock, self.queue.get(), way, || mutex.unlock()) };
        mutex.lock();
        match outcome {
            Outcome::Peer => Ok(()),
            other => Err(other.into()),
        }
    }

    /// Lets the one go on that has waited longest, if anybody waits. True if so. The mutex need not be held.
    pub fn signal(&self) -> bool {
        self.lock.lock();
        // SAFETY: the lock is held; the claimed node is ours until it is readied. Nothing of self is used after the unlock.
        unsafe {
            let node = (*self.queue.get()).claim_first();
            self.lock.unlock();
            if !node.is_null() {
                sched::ready((*node).waiter);
            }
            !node.is_null()
        }
    }

    /// Lets all go on that wait now; says how many. The mutex need not be held.
    pub fn broadcast(&self) -> usize {
        self.lock.lock();
        let mut claimed: List<Node> = List::new();
        let mut n = 0;
        // SAFETY: as in `signal`.
        unsafe {
            loop {
                let node = (*self.queue.get()).claim_first();
                if node.is_null() {
                    break;
                }
                claimed.push_back(node);
                n += 1;
            }
            self.lock.unlock();
            sched::ready_all(claimed);
        }
        n
    }
}

/// A condition variable: waits under a [`Mutex`](super::Mutex) for what others change under it.
///
/// As `std::sync::Condvar` and `parking_lot::Condvar`, but without spurious wake-ups, and the waiters go on in the order in
/// which they came. A condition may still have changed again before a waiter gets the mutex, so wait in a loop, or with
/// [`wait_while`](Condvar::wait_while).
///
/// ```
/// use zokor::sync::{Condvar, Mutex};
/// let (ready, cond) = (Mutex::new(false), Condvar::new());
/// zokor::run(|| zokor::scope(|s| {
///     s.go(|| {
///         *ready.lock() = true;
///         cond.notify_one();
///     });
///     let mut guard = ready.lock();
///     while !*guard {
///         cond.wait(&mut guard);
///     }
///     assert!(*guard);
/// }));
/// ```
#[derive(Default)]
pub struct Condvar {
    raw: RawCond,
}

impl std::fmt::Debug for Condvar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

impl Condvar {
    const_new! {
        /// Without waiters.
        pub const fn new() -> Condvar {
            Condvar { raw: RawCond::new() }
        }
    }

    /// Unlocks, waits for a notification, and locks again. Not cancelable.
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        self.raw.wait_forever(guard.raw());
    }

    /// Waits while `condition` holds. Not cancelable.
    pub fn wait_while<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, mut condition: impl FnMut(&mut T) -> bool) {
        while condition(&mut **guard) {
            self.wait(guard);
        }
    }

    /// As [`wait_while`](Condvar::wait_while), until `deadline` at most. The mutex is locked again in any case.
    ///
    /// # Errors
    /// Which of deadline and cancellation came first, with the condition still true.
    pub fn wait_while_until<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        condition: impl FnMut(&mut T) -> bool,
        deadline: Instant,
    ) -> Result<(), WaitError> {
        self.wait_while_by(guard, condition, super::deadline(deadline))
    }

    /// As [`wait_while_until`](Condvar::wait_while_until), for a time from now.
    ///
    /// # Errors
    /// As [`wait_while_until`](Condvar::wait_while_until).
    pub fn wait_while_for<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        condition: impl FnMut(&mut T) -> bool,
        time: Duration,
    ) -> Result<(), WaitError> {
        self.wait_while_by(guard, condition, super::after(time))
    }

    fn wait_while_by<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        deadline: i64,
    ) -> Result<(), WaitError> {
        while condition(&mut **guard) {
            if let Err(e) = self.raw.wait(guard.raw(), deadline) {
                // A change that came with the deadline counts.
                return if condition(&mut **guard) { Err(e.into()) } else { Ok(()) };
            }
        }
        Ok(())
    }

    /// As [`wait`](Condvar::wait), until `deadline` at most. The mutex is locked again in any case.
    ///
    /// # Errors
    /// Which of deadline and cancellation came first; no notification was consumed.
    pub fn wait_until<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, deadline: Instant) -> Result<(), WaitError> {
        Ok(self.raw.wait(guard.raw(), super::deadline(deadline))?)
    }

    /// As [`wait_until`](Condvar::wait_until), for a time from now.
    ///
    /// # Errors
    /// As [`wait_until`](Condvar::wait_until).
    pub fn wait_for<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, time: Duration) -> Result<(), WaitError> {
        Ok(self.raw.wait(guard.raw(), super::after(time))?)
    }

    /// As [`wait`](Condvar::wait), but ends when the goroutine's context does.
    ///
    /// # Errors
    /// `Cancelled`; no notification was consumed.
    pub fn wait_cancelable<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) -> Result<(), WaitError> {
        Ok(self.raw.wait(guard.raw(), FOREVER)?)
    }

    /// Lets the one go on that has waited longest. False if nobody waits: the notification is not kept.
    pub fn notify_one(&self) -> bool {
        self.raw.signal()
    }

    /// Lets all go on that wait now; says how many.
    pub fn notify_all(&self) -> usize {
        self.raw.broadcast()
    }
}

#[cfg(all(test, loom))]
mod tests;
