//! A number of tokens, taken and given back in any amount, first come, first served.
//!
//! *Where it sits*: layer 4. Rules SEM-02 to SEM-06, after Go's `x/sync/semaphore`.
//!
//! # State
//!
//! One word: the free tokens, and the bit `QUEUED`: somebody may wait. A waiter's node has in `case` how many it wants.
//!
//! # Invariants
//!
//! * **S1** While `QUEUED` is set tokens are taken under the queue's lock only, and whoever adds some goes to the queue.
//! * **S2** Whoever leaves the queue's lock leaves at its head nobody whose wish could be granted. So the head of the queue, however much
//!   it wants, is served before all others (SEM-02).
//! * **S3** A waiter whose wait ended in another way than by a grant was given nothing (SEM-03).
//!
//! # Orderings
//!
//! Taking is Acquire and giving back Release: with one token the semaphore is a mutex.

use super::{may_queue, may_wait, ready_all, wait_way, WaitError, WaitList, Way};
use crate::cell::{const_new, AtomicU64, Ordering};
use crate::error::{Error, FOREVER, NOWAIT};
use crate::list::List;
use crate::reason::Reason;
use crate::sched;
use crate::sys::RawLock;
use crate::wait::{Node, Outcome};
use std::cell::UnsafeCell;
use std::time::{Duration, Instant};

const QUEUED: u64 = 1 << 63;
/// Tokens there may be at most.
const MAX: u64 = i64::MAX as u64;

/// A semaphore: 32 bytes, of which the first eight are the number of free tokens while nobody has used it, and all others
/// zero. All zeros is a valid one without tokens.
#[repr(C)]
pub struct RawSem {
    state: AtomicU64,
    lock: RawLock,
    queue: UnsafeCell<WaitList>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<RawSem>() == 32);

// SAFETY: the queue is used under the lock.
unsafe impl Sync for RawSem {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for RawSem {}

impl RawSem {
    const_new! {
        /// With `n` free tokens.
        pub const fn new(n: u32) -> RawSem {
            RawSem { state: AtomicU64::new(n as u64), lock: RawLock::new(), queue: UnsafeCell::new(WaitList::new()) }
        }
    }

    /// Free tokens. A snapshot.
    pub fn available(&self) -> u64 {
        self.state.load(Ordering::Relaxed) & !QUEUED
    }

    /// Takes `n` tokens if there are that many and nobody waits.
    #[inline]
    fn take(&self, n: u64) -> bool {
        sched::checkpoint(false);
        let mut s = self.state.load(Ordering::Relaxed);
        while s & QUEUED == 0 && s >= n {
            // Acquire: pairs with the Release in `give`.
            match self.state.compare_exchange_weak(s, s - n, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => s = now,
            }
        }
        false
    }

    /// Takes `n` tokens; waits behind all who came before until there are that many. From any goroutine or thread.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `Interrupted`; `WouldBlock` with `NOWAIT`. No token was taken then.
    #[inline]
    pub fn acquire(&self, n: u32, deadline: i64) -> Result<(), Error> {
        may_wait(deadline)?;
        if self.take(u64::from(n)) {
            return Ok(());
        }
        self.acquire_slow(n, Way { tag: n, ..Way::until(Reason::Semaphore, deadline) })
    }

    /// As [`acquire`](RawSem::acquire) without deadline, and not cancelable.
    pub fn acquire_forever(&self, n: u32) {
        if !self.take(u64::from(n)) {
            // It ends with the tokens only.
            let _ = self.acquire_slow(n, Way { tag: n, ..Way::plain(Reason::Semaphore) });
        }
    }

    #[cold]
    #[inline(never)]
    fn acquire_slow(&self, n: u32, way: Way) -> Result<(), Error> {
        self.lock.lock();
        if self.take_or_mark(u64::from(n)) {
            // SAFETY: we hold it.
            unsafe { self.lock.unlock() };
            return Ok(());
        }
        if let Err(e) = may_queue(way.deadline) {
            self.serve_and_unlock(); // perhaps nobody waits and the mark was ours
            return Err(e);
        }
        // SAFETY: the lock is held and protects the queue; whoever gives tokens back sees QUEUED (S1).
        match unsafe { wait_way(&self.lock, self.queue.get(), way, || ()) }.0 {
            Outcome::Peer => Ok(()),
            other => {
                // SEM-05: those behind us may have what they want now.
                self.lock.lock();
                self.serve_and_unlock();
                Err(other.into())
            }
        }
    }

    /// Under the lock: takes `n` tokens if nobody waits and there are that many, or sets `QUEUED`. True: taken.
    fn take_or_mark(&self, n: u64) -> bool {
        // SAFETY: the lock is held.
        let nobody = unsafe { (*self.queue.get()).list().is_empty() };
        let mut s = self.state.load(Ordering::Relaxed);
        loop {
            let free = s & !QUEUED;
            let taken = nobody && free >= n;
            let new = if taken { free - n } else { s | QUEUED };
            // Acquire: pairs with the Release in `give`, in case we take.
            match self.state.compare_exchange_weak(s, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return taken,
                Err(now) => s = now,
            }
        }
    }

    /// Gives `n` tokens back, or adds new ones.
    ///
    /// # Errors
    /// `Invalid` if there would be more than 2⁶³−1; nothing is added.
    #[inline]
    pub fn release(&self, n: u32) -> Result<(), Error> {
        self.give(u64::from(n), MAX)
    }

    /// Gives `n` back unless more than `max` would be free.
    #[inline]
    fn give(&self, n: u64, max: u64) -> Result<(), Error> {
        let mut s = self.state.load(Ordering::Relaxed);
        loop {
            let more = (s & !QUEUED) + n;
            if more > max {
                return Err(Error::Invalid);
            }
            // Release: pairs with the Acquire of whoever takes them.
            match self.state.compare_exchange_weak(s, more | (s & QUEUED), Ordering::Release, Ordering::Relaxed) {
                Ok(_) if s & QUEUED != 0 => break,
                Ok(_) => return Ok(()),
                Err(now) => s = now,
            }
        }
        self.lock.lock();
        self.serve_and_unlock();
        Ok(())
    }

    /// S2: grants what can be granted, in order; releases the lock; readies them.
    #[cold]
    #[inline(never)]
    fn serve_and_unlock(&self) {
        let mut granted: List<Node> = List::new();
        // SAFETY: the lock is held; claimed nodes are ours until their waiters are readied. Nothing of self is used after
        // the unlock.
        unsafe {
            let list = (*self.queue.get()).list();
            while !list.is_empty() {
                let node = list.first();
                let wish = u64::from((*node).case);
                if !self.take_marked(wish) {
                    break;
                }
                list.remove(node);
                if Node::claim(node) {
                    granted.push_back(node);
                } else {
                    self.state.fetch_add(wish, Ordering::Relaxed); // S3: it has given up
                }
            }
            if list.is_empty() {
                self.state.fetch_and(!QUEUED, Ordering::Relaxed);
            }
            self.lock.unlock();
            ready_all(granted);
        }
    }

    /// Takes `n` tokens for the head of the queue, if there are that many.
    fn take_marked(&self, n: u64) -> bool {
        let mut s = self.state.load(Ordering::Relaxed);
        while s & !QUEUED >= n {
            // Acquire: pairs with the Release in `give`; the one we take for comes after it through us.
            match self.state.compare_exchange_weak(s, s - n, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => s = now,
            }
        }
        false
    }
}

/// A weighted semaphore: `size` tokens, of which each caller takes as many as it needs.
///
/// Strictly first come, first served: while somebody waits for many tokens, nobody overtakes it with a wish for a few. Shared by
/// reference; usable from goroutines and plain threads together.
///
/// ```
/// use zokor::sync::Semaphore;
/// let s = Semaphore::new(3);
/// let two = s.acquire(2).unwrap();
/// assert!(s.try_acquire(2).is_none());
/// drop(two);
/// assert_eq!(s.available(), 3);
/// ```
pub struct Semaphore {
    raw: RawSem,
    size: u32,
    /// Those who want more than there will ever be.
    hopeless: RawSem,
}

impl Semaphore {
    const_new! {
        /// With `size` free tokens.
        pub const fn new(size: u32) -> Semaphore {
            Semaphore { raw: RawSem::new(size), size, hopeless: RawSem::new(0) }
        }
    }

    /// Takes `n` tokens and returns a guard that gives them back; waits behind all who came before until there are that many. A
    /// wish for more than `size` waits for cancellation, in nobody's way (SEM-04).
    ///
    /// # Errors
    /// `Cancelled`; no token was taken.
    pub fn acquire(&self, n: u32) -> Result<SemaphorePermit<'_>, WaitError> {
        self.take(n, FOREVER)
    }

    /// As [`acquire`](Semaphore::acquire), until `deadline` at most.
    ///
    /// # Errors
    /// Which of deadline and cancellation came first; no token was taken.
    pub fn acquire_until(&self, n: u32, deadline: Instant) -> Result<SemaphorePermit<'_>, WaitError> {
        self.take(n, super::deadline(deadline))
    }

    /// As [`acquire_until`](Semaphore::acquire_until), for a time from now.
    ///
    /// # Errors
    /// As [`acquire_until`](Semaphore::acquire_until).
    pub fn acquire_for(&self, n: u32, time: Duration) -> Result<SemaphorePermit<'_>, WaitError> {
        self.take(n, super::after(time))
    }

    /// Takes `n` tokens if there are that many and nobody waits.
    pub fn try_acquire(&self, n: u32) -> Option<SemaphorePermit<'_>> {
        self.take(n, NOWAIT).ok()
    }

    fn take(&self, n: u32, deadline: i64) -> Result<SemaphorePermit<'_>, WaitError> {
        let from = if n > self.size { &self.hopeless } else { &self.raw };
        from.acquire(n, deadline)?;
        Ok(SemaphorePermit { of: self, n })
    }

    /// Gives `n` tokens back whose guards were [forgotten](SemaphorePermit::forget).
    ///
    /// # Panics
    /// `released more than held` if more than `size` tokens would be free (SEM-06); nothing is given back.
    pub fn release(&self, n: u32) {
        let given = self.raw.give(u64::from(n), u64::from(self.size));
        assert!(given.is_ok(), "semaphore: released more than held");
    }

    /// Free tokens. A snapshot.
    pub fn available(&self) -> u32 {
        u32::try_from(self.raw.available()).unwrap_or(u32::MAX)
    }

    /// All tokens.
    pub fn size(&self) -> u32 {
        self.size
    }
}

impl std::fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Semaphore").field("available", &self.available()).field("size", &self.size).finish()
    }
}

/// Tokens of a [`Semaphore`], given back when it is dropped, by whoever drops it.
#[must_use = "the tokens are given back when the guard is dropped"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    of: &'a Semaphore,
    n: u32,
}

impl SemaphorePermit<'_> {
    /// How many.
    pub fn tokens(&self) -> u32 {
        self.n
    }

    /// Keeps the tokens; [`Semaphore::release`] gives them back.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        self.of.release(self.n);
    }
}

#[cfg(all(test, loom))]
mod tests;
