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
//! * **S1** While `QUEUED` is set the word changes under the queue's lock only.
//! * **S2** Whoever leaves the queue's lock leaves at its head nobody whose wish could be granted. So the head of the queue, however much
//!   it wants, is served before all others (SEM-02).
//! * **S3** A waiter whose wait ended in another way than by a grant was given nothing (SEM-03).
//! * **S4** The step by which tokens become free for all is the last use that giving them back makes of the memory, and those they are
//!   granted to are readied after it. So whoever got a token may free the semaphore, although the call that gave the
//!   token has not returned.
//!
//! # Orderings
//!
//! Taking is Acquire and giving back Release: with one token the semaphore is a mutex.

use super::{may_queue, may_wait, wait_way, WaitError, WaitList, Way};
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
            self.left_and_unlock(); // perhaps nobody waits and the mark was ours
            return Err(e);
        }
        // SAFETY: the lock is held and protects the queue; whoever gives tokens back sees QUEUED (S1).
        match unsafe { wait_way(&self.lock, self.queue.get(), way, || ()) }.0 {
            Outcome::Peer => Ok(()),
            other => {
                // SEM-05: those behind us may have what they want now.
                self.lock.lock();
                self.left_and_unlock();
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

    /// Gives `n` back unless more than `max` would be free. The semaphore may be gone before this returns (S4).
    #[inline]
    fn give(&self, n: u64, max: u64) -> Result<(), Error> {
        let mut s = self.state.load(Ordering::Relaxed);
        while s & QUEUED == 0 {
            if s + n > max {
                return Err(Error::Invalid);
            }
            // Release: pairs with the Acquire of whoever takes them.
            match self.state.compare_exchange_weak(s, s + n, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => s = now,
            }
        }
        self.give_slow(n, max)
    }

    /// Somebody may wait for the tokens.
    #[cold]
    #[inline(never)]
    fn give_slow(&self, n: u64, max: u64) -> Result<(), Error> {
        let mut granted: List<Node> = List::new();
        self.lock.lock();
        let s = self.state.load(Ordering::Relaxed);
        let (fits, queued) = ((s & !QUEUED) + n <= max, s & QUEUED != 0);
        let left = if fits && queued { self.serve(n, &mut granted) } else { n };
        // SAFETY: we hold it; claimed nodes are ours until their waiters are readied.
        unsafe {
            self.lock.unlock();
            sched::ready_all(granted);
        }
        match left {
            0 => Ok(()),
            _ if !fits => Err(Error::Invalid),
            _ => self.give(left, max), // nobody waits any more
        }
    }

    /// Under the lock, for one who leaves the queue: S2.
    fn left_and_unlock(&self) {
        let mut granted: List<Node> = List::new();
        if self.state.load(Ordering::Relaxed) & QUEUED != 0 {
            self.serve(0, &mut granted);
        }
        // SAFETY: the caller holds it; claimed nodes are ours until their waiters are readied.
        unsafe {
            self.lock.unlock();
            sched::ready_all(granted);
        }
    }

    /// Under the lock, with `QUEUED` set: grants what can be granted, in order, out of the free tokens and `more` (S2). Returns how
    /// many are still to be added when nobody waits any more.
    fn serve(&self, more: u64, granted: &mut List<Node>) -> u64 {
        // Acquire: pairs with the Release in `give`; those we grant to come after it through us.
        let free = self.state.load(Ordering::Acquire) & !QUEUED;
        let mut all = free + more;
        // SAFETY: the lock is held.
        let nobody = unsafe {
            let list = (*self.queue.get()).list();
            while !list.is_empty() && u64::from((*list.first()).case) <= all {
                let node = list.pop_front();
                if Node::claim(node) {
                    all -= u64::from((*node).case); // else it has given up: S3
                    granted.push_back(node);
                }
            }
            list.is_empty()
        };
        let (word, rest) = if nobody { (all.min(free), all - all.min(free)) } else { (all | QUEUED, 0) };
        // Release: pairs with the Acquire of whoever takes them; with the Acquire above it hands on what others released.
        self.state.store(word, Ordering::Release);
        rest
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
