//! Waiting for a number of goroutines to finish.
//!
//! *Where it sits*: layer 4. Rules WG-01 to WG-07, after Go's `sync.WaitGroup`.
//!
//! # State
//!
//! One word: the counter in the high half, the number of waiters in the low half. Waiters are counted and queued
//! under the lock; the counter changes without it.
//!
//! # Invariants
//!
//! * **A1** Whoever brings the counter to zero while waiters are counted releases all who are queued then.
//! * **A2** A waiter is counted only while the counter is above zero, in one step with that look.
//!
//! # Orderings
//!
//! `add` is AcqRel: what a member did before `done` is visible to whoever the group releases (HB-07).

use super::{wait_in, WaitList};
use crate::cell::{AtomicU64, Ordering};
use crate::chan::core::{Error, FOREVER};
use crate::goroutine::Reason;
use crate::list::List;
use crate::sys::RawLock;
use crate::wait::{Node, Outcome};
use crate::{sanitize, sched};
use std::cell::UnsafeCell;

const ONE: u64 = 1 << 32;
const WAITERS: u64 = ONE - 1;

/// The group as C sees it: 32 bytes, all zeros is a valid one with counter 0.
#[repr(C)]
pub struct RawWaitGroup {
    state: AtomicU64,
    lock: RawLock,
    waiters: UnsafeCell<WaitList>,
}

const _: () = assert!(size_of::<RawWaitGroup>() == 32);

// SAFETY: the list is used under the lock.
unsafe impl Sync for RawWaitGroup {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for RawWaitGroup {}

impl Default for RawWaitGroup {
    fn default() -> RawWaitGroup {
        RawWaitGroup::new()
    }
}

impl RawWaitGroup {
    /// Counter 0.
    pub const fn new() -> RawWaitGroup {
        RawWaitGroup { state: AtomicU64::new(0), lock: RawLock::new(), waiters: UnsafeCell::new(WaitList::new()) }
    }

    /// Adds `delta` to the counter. From any thread.
    ///
    /// # Errors
    /// `Invalid` if the counter would become negative or exceed 2³¹−1; it is unchanged then.
    pub fn add(&self, delta: i64) -> Result<(), Error> {
        sanitize::release((&raw const *self).cast());
        let mut s = self.state.load(Ordering::Relaxed);
        loop {
            let n = (s >> 32) as i64;
            let m = n.checked_add(delta).filter(|m| (0..=i64::from(i32::MAX)).contains(m)).ok_or(Error::Invalid)?;
            let new = ((m as u64) << 32) | (s & WAITERS);
            // AcqRel: Release orders the member's work before the release of the waiters; Acquire the work of the
            // other members before it.
            match self.state.compare_exchange_weak(s, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if m == 0 && s & WAITERS != 0 => {
                    self.release();
                    return Ok(());
                }
                Ok(_) => return Ok(()),
                Err(now) => s = now,
            }
        }
    }

    /// Takes one from the counter. From any thread.
    ///
    /// # Errors
    /// `Invalid` if it is zero.
    pub fn done(&self) -> Result<(), Error> {
        self.add(-1)
    }

    /// The counter. A snapshot.
    pub fn count(&self) -> u64 {
        self.state.load(Ordering::Relaxed) >> 32
    }

    /// A1.
    #[cold]
    fn release(&self) {
        self.lock.lock();
        let mut free: List<Node> = List::new();
        let mut n = 0;
        // SAFETY: the lock is held; claimed nodes are ours until their waiters are readied. The group may be gone
        // once the last of them was readied, so nothing of it is used after the unlock.
        unsafe {
            let list = (*self.waiters.get()).list();
            while !list.is_empty() {
                let node = list.pop_front();
                n += 1;
                if Node::claim(node) {
                    free.push_back(node);
                }
            }
            self.state.fetch_sub(n, Ordering::Relaxed); // under the lock: waiters are counted there
            self.lock.unlock();
            while !free.is_empty() {
                let node = free.pop_front();
                sched::ready((*node).waiter);
            }
        }
    }

    /// Waits until the counter is zero. From any thread.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `Interrupted`; `WouldBlock` with `NOWAIT`.
    pub fn wait(&self, deadline: i64) -> Result<(), Error> {
        let r = self.wait_for_zero(deadline);
        sanitize::acquire((&raw const *self).cast());
        r
    }

    fn wait_for_zero(&self, deadline: i64) -> Result<(), Error> {
        // Acquire: pairs with the Release in `add`.
        if self.state.load(Ordering::Acquire) >> 32 == 0 {
            return Ok(());
        }
        if deadline == crate::chan::core::NOWAIT {
            return Err(Error::WouldBlock);
        }
        self.lock.lock();
        // A2. Acquire: pairs with the Release in `add`, for the case that the counter is zero now.
        let counted =
            self.state.fetch_update(Ordering::Relaxed, Ordering::Acquire, |s| (s >> 32 != 0).then_some(s + 1));
        if counted.is_err() {
            // SAFETY: we hold it.
            unsafe { self.lock.unlock() };
            return Ok(());
        }
        // SAFETY: the lock is held and protects the list.
        match unsafe { wait_in(&self.lock, self.waiters.get(), Reason::WaitGroup, deadline) } {
            Outcome::Peer => Ok(()),
            other => {
                self.uncount();
                Err(other.into())
            }
        }
    }

    /// A waiter gave up, unless `release` has already counted it off.
    fn uncount(&self) {
        self.lock.lock();
        // SAFETY: the lock is held.
        unsafe {
            let queued = (*self.waiters.get()).list().iter().count() as u64;
            let s = self.state.load(Ordering::Relaxed);
            if s & WAITERS > queued {
                self.state.fetch_sub((s & WAITERS) - queued, Ordering::Relaxed);
            }
            self.lock.unlock();
        }
    }
}

/// Waits for a collection of goroutines: add before they start, `done` at their ends, `wait` for all. Shared by reference;
/// usable from goroutines and plain threads together.
///
/// ```
/// use std::sync::{atomic::{AtomicU32, Ordering}, Arc};
/// let n = zokor::run(|| {
///     let wg = Arc::new(zokor::WaitGroup::new());
///     let n = Arc::new(AtomicU32::new(0));
///     for _ in 0..10 {
///         let n = n.clone();
///         wg.go(move || { n.fetch_add(1, Ordering::Relaxed); });
///     }
///     wg.wait();
///     n.load(Ordering::Relaxed)
/// });
/// assert_eq!(n, 10);
/// ```
#[derive(Default)]
pub struct WaitGroup {
    raw: RawWaitGroup,
}

impl std::fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitGroup").field("count", &self.raw.count()).finish_non_exhaustive()
    }
}

impl WaitGroup {
    /// Counter 0.
    pub const fn new() -> WaitGroup {
        WaitGroup { raw: RawWaitGroup::new() }
    }

    /// Adds to the counter; negative numbers take away. Add before the goroutine starts, not inside it.
    ///
    /// # Panics
    /// `negative WaitGroup counter` if it would become negative (WG-02).
    pub fn add(&self, delta: i64) {
        assert!(self.raw.add(delta).is_ok(), "negative WaitGroup counter");
    }

    /// Takes one from the counter.
    ///
    /// # Panics
    /// As [`add`](WaitGroup::add).
    pub fn done(&self) {
        self.add(-1);
    }

    /// Waits until the counter is zero. Returns at once if it is.
    /// Not cancelable; [`wait_until`](WaitGroup::wait_until) is.
    pub fn wait(&self) {
        let ended = sched::shielded(|| self.raw.wait(FOREVER));
        debug_assert!(ended.is_ok(), "a shielded wait without deadline ends in one way only");
    }

    /// As [`wait`](WaitGroup::wait), until `deadline` at most. False if it passed first.
    pub fn wait_until(&self, deadline: std::time::Instant) -> bool {
        self.raw.wait(crate::clock::deadline(deadline)).is_ok()
    }

    /// The counter. A snapshot.
    pub fn count(&self) -> u64 {
        self.raw.count()
    }

    /// Adds one, starts `f` in a goroutine, and takes one when it has ended, also by `goexit`. A panic of `f` is not contained: it
    /// follows the panic policy of the runtime, and where that lets the rest go on, takes one after its report (WG-07).
    ///
    /// # Panics
    /// As [`go`](fn@crate::go).
    #[track_caller]
    pub fn go<F>(self: &std::sync::Arc<Self>, f: F)
    where
        F: FnOnce() + Send + 'static,
    {
        self.add(1);
        let wg = self.clone();
        drop(crate::go(move || {
            crate::panic::body_reported(f);
            wg.done();
        }));
    }
}
