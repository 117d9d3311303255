//! Many readers or one writer, in alternating phases.
//!
//! *Where it sits*: layer 4. Rules RW-01 to RW-10, after Go's `sync.RWMutex`.
//!
//! # State
//!
//! One word: the number of readers in the low half, and three bits; and a queue of waiters under a short lock of its own, in
//! which `case` tells readers from writers.
//!
//! * `WRITER`: a writer holds the lock.
//! * `PENDING`: a writer waits, so new readers do (RW-02).
//! * `QUEUED`: somebody may be in the queue, so unlocking looks there.
//!
//! Who waits does not compete: unlocking hands the lock over. A writer hands it to all readers that wait at that moment, or
//! else to the next writer; the last reader to the next writer (RW-04). So phases alternate, and nobody starves.
//!
//! # Invariants
//!
//! * **R1** `WRITER` is set ⇒ no readers are counted. Holders are those who set the bit or counted themselves, and those it
//!   was done for by whoever handed the lock over.
//! * **R2** Whoever queues has set `QUEUED`, and `PENDING` if a writer, under the queue's lock, in a step that saw the lock
//!   taken (or about to be handed over). So the unlock that frees it comes to the queue, after the waiter.
//! * **R3** While `WRITER` or `PENDING` is set only holders of the queue's lock take the lock or hand it over.
//! * **R4** `PENDING` is set while a writer is in the queue. A writer that leaves it on its own and was the last clears it and lets
//!   in the readers that waited because of it; so without `WRITER` and `PENDING` nobody who can still be claimed is queued.
//! * **R5** The step that gives the lock back is the last use that unlocking makes of its memory; with somebody to hand it to the step
//!   is taken under the queue's lock, and the new holders are readied after that is released. So a holder may free the
//!   lock, although the call by which another one gave it back has not returned.
//!
//! # Orderings
//!
//! Taking is Acquire, giving back Release (HB-06). Readers give back with a read-modify-write, so a writer that sees the last one
//! gone is ordered after all of them. In a hand-over the waiter's wake-up carries the order.

use super::{may_queue, may_wait, wait_way, WaitError, WaitList, Way};
use crate::cell::{const_new, AtomicU64, Ordering};
use crate::error::{Error, FOREVER};
use crate::list::List;
use crate::reason::Reason;
use crate::sched;
use crate::sys::{self, RawLock};
use crate::wait::{Node, Outcome};
use std::cell::UnsafeCell;
use std::time::{Duration, Instant};

mod guard;
pub use guard::{RwLockReadGuard, RwLockWriteGuard};

const READER: u64 = 1;
const READERS: u64 = u32::MAX as u64;
const WRITER: u64 = 1 << 32;
const PENDING: u64 = 1 << 33;
const QUEUED: u64 = 1 << 34;

/// More readers than this hold the lock only by mistake (RW-09).
const LIMIT: u64 = 1 << 30;

/// `case` of the nodes in the queue.
const READS: u32 = 0;
const WRITES: u32 = 1;

/// A readers-writer lock without data: 32 bytes, all zeros is an unlocked one. Any goroutine or thread may unlock it.
#[repr(C)]
pub struct RawRwMutex {
    state: AtomicU64,
    lock: RawLock,
    queue: UnsafeCell<WaitList>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<RawRwMutex>() == 32);

// SAFETY: the queue is used under the lock.
unsafe impl Sync for RawRwMutex {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for RawRwMutex {}

impl Default for RawRwMutex {
    fn default() -> RawRwMutex {
        RawRwMutex::new()
    }
}

impl RawRwMutex {
    const_new! {
        /// Unlocked.
        pub const fn new() -> RawRwMutex {
            RawRwMutex { state: AtomicU64::new(0), lock: RawLock::new(), queue: UnsafeCell::new(WaitList::new()) }
        }
    }

    // ---- readers ----------------------------------------------------------------------------

    /// Takes the lock for reading; waits while a writer has it or waits for it. Not cancelable. From any goroutine or thread.
    #[inline]
    pub fn rlock(&self) {
        if !self.try_rlock() {
            // Without deadline and not cancelable it ends with the lock only.
            let _ = self.wait_for(READS, FOREVER, false);
        }
    }

    /// As [`rlock`](RawRwMutex::rlock), until `deadline` at most; cancelable.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `Interrupted`; `WouldBlock` with `NOWAIT`. The lock is not taken then.
    pub fn rlock_until(&self, deadline: i64) -> Result<(), Error> {
        may_wait(deadline)?;
        if self.try_rlock() {
            return Ok(());
        }
        self.wait_for(READS, deadline, true)
    }

    /// Takes the lock for reading if no writer has it or waits for it.
    #[inline]
    pub fn try_rlock(&self) -> bool {
        sched::checkpoint(false);
        let mut s = self.state.load(Ordering::Relaxed);
        while s & (WRITER | PENDING) == 0 {
            // Acquire: pairs with the Release of a writer's `unlock`.
            match self.state.compare_exchange_weak(s, s + READER, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if s & READERS >= LIMIT => sys::fatal("sync: too many readers of a RWMutex"),
                Ok(_) => return true,
                Err(now) => s = now,
            }
        }
        false
    }

    /// Gives the lock back for one reader. The process ends if there is none (RW-06). As soon as somebody else has it the lock may
    /// go away, also before this returns (R5).
    #[inline]
    pub fn runlock(&self) {
        let mut s = self.state.load(Ordering::Relaxed);
        while s & READERS != 0 && (s & READERS != READER || s & QUEUED == 0) {
            // Release: pairs with the Acquire of the next writer, which comes after all readers.
            match self.state.compare_exchange_weak(s, s - READER, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => s = now,
            }
        }
        if s & READERS == 0 {
            sys::fatal("sync: RUnlock of unlocked RWMutex");
        }
        self.hand_over(READER);
    }

    // ---- writers ----------------------------------------------------------------------------

    /// Takes the lock for writing; waits for it if need be. Not cancelable. From any goroutine or thread.
    #[inline]
    pub fn lock(&self) {
        if !self.try_lock() {
            // Without deadline and not cancelable it ends with the lock only.
            let _ = self.wait_for(WRITES, FOREVER, false);
        }
    }

    /// As [`lock`](RawRwMutex::lock), until `deadline` at most; cancelable.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `Interrupted`; `WouldBlock` with `NOWAIT`. The lock is not taken then, and readers that waited
    /// because of this writer get in.
    pub fn lock_until(&self, deadline: i64) -> Result<(), Error> {
        may_wait(deadline)?;
        if self.try_lock() {
            return Ok(());
        }
        self.wait_for(WRITES, deadline, true)
    }

    /// Takes the lock for writing if nobody has it. Leaves no mark if not (RW-07).
    #[inline]
    pub fn try_lock(&self) -> bool {
        sched::checkpoint(false);
        let mut s = self.state.load(Ordering::Relaxed);
        while s & (WRITER | PENDING | READERS) == 0 {
            // Acquire: pairs with the Release in `runlock` and `unlock`.
            match self.state.compare_exchange_weak(s, s | WRITER, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => s = now,
            }
        }
        false
    }

    /// Gives the lock back for the writer. The process ends if there is none (RW-06). As soon as somebody else has it the lock may
    /// go away, also before this returns (R5).
    #[inline]
    pub fn unlock(&self) {
        // Release: pairs with the Acquire of the next holder, which sees what we did.
        if let Err(s) = self.state.compare_exchange(WRITER, 0, Ordering::Release, Ordering::Relaxed) {
            if s & WRITER == 0 {
                sys::fatal("sync: Unlock of unlocked RWMutex");
            }
            self.hand_over(WRITER);
        }
    }

    // ---- waiting ----------------------------------------------------------------------------

    #[cold]
    #[inline(never)]
    fn wait_for(&self, kind: u32, deadline: i64, cancelable: bool) -> Result<(), Error> {
        may_queue(deadline)?;
        self.lock.lock();
        if self.take_or_mark(kind) {
            // SAFETY: we hold it.
            unsafe { self.lock.unlock() };
            return Ok(());
        }
        let reason = if kind == WRITES { Reason::RwWrite } else { Reason::RwRead };
        let way = Way { reason, deadline, cancelable, front: false, tag: kind };
        // SAFETY: the lock is held and protects the queue; the unlock that frees the lock sees QUEUED (R2).
        match unsafe { wait_way(&self.lock, self.queue.get(), way, || ()) }.0 {
            Outcome::Peer => Ok(()),
            other => {
                self.gave_up();
                Err(other.into())
            }
        }
    }

    /// Under the queue's lock: takes the lock if it is free, or sets the marks of a waiter (R2). True: taken.
    fn take_or_mark(&self, kind: u32) -> bool {
        let (busy, held, marks) = match kind {
            WRITES => (WRITER | PENDING | READERS, WRITER, QUEUED | PENDING),
            _ => (WRITER | PENDING, READER, QUEUED),
        };
        let mut s = self.state.load(Ordering::Relaxed);
        loop {
            let free = s & busy == 0;
            let new = if free { s + held } else { s | marks };
            // Acquire: pairs with the Release of whoever gave the lock back, in case it is free.
            match self.state.compare_exchange_weak(s, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return free,
                Err(now) => s = now,
            }
        }
    }

    /// The writer or the last reader gives the lock back, `mine` of the state, while somebody may be in the queue.
    #[cold]
    #[inline(never)]
    fn hand_over(&self, mine: u64) {
        loop {
            self.lock.lock();
            let claimed = if self.is_last(mine) { self.next_phase(mine) } else { List::new() };
            if !claimed.is_empty() {
                self.grant_and_unlock(claimed, mine);
                return;
            }
            if self.is_last(mine) {
                self.state.fetch_and(!(PENDING | QUEUED), Ordering::Relaxed); // nobody is there any more (R4)
            }
            // SAFETY: we hold it.
            unsafe { self.lock.unlock() };
            if self.give_back(mine) {
                return;
            }
        }
    }

    /// Whether the lock is free once `mine` is given back.
    fn is_last(&self, mine: u64) -> bool {
        self.state.load(Ordering::Relaxed) & (WRITER | READERS) == mine
    }

    /// Gives `mine` back, unless somebody has queued who is to get it.
    fn give_back(&self, mine: u64) -> bool {
        let mut s = self.state.load(Ordering::Relaxed);
        while s & QUEUED == 0 || s & (WRITER | READERS) != mine {
            // Release: pairs with the Acquire of the next holder, which sees what we did.
            match self.state.compare_exchange_weak(s, s - mine, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => s = now,
            }
        }
        false
    }

    /// Under the queue's lock: claims those who come after `mine` (RW-04).
    fn next_phase(&self, mine: u64) -> List<Node> {
        // SAFETY: the lock is held; claimed nodes are ours until their waiters are readied.
        unsafe {
            let mut claimed = if mine == WRITER { self.claim_readers() } else { List::new() };
            if claimed.is_empty() {
                let writer = self.claim_writer();
                if !writer.is_null() {
                    claimed.push_back(writer);
                }
            }
            if claimed.is_empty() {
                claimed = self.claim_readers();
            }
            claimed
        }
    }

    /// A waiter left: if it was the last writer, the readers that waited because of it get in.
    fn gave_up(&self) {
        self.lock.lock();
        let s = self.state.load(Ordering::Relaxed);
        // SAFETY: the lock is held.
        let writers = unsafe { (*self.queue.get()).list().iter().any(|n| (*n).case == WRITES) };
        if s & WRITER != 0 || s & PENDING == 0 || writers {
            // SAFETY: we hold it.
            unsafe { self.lock.unlock() };
            return;
        }
        // SAFETY: as above.
        let readers = unsafe { self.claim_readers() };
        self.grant_and_unlock(readers, 0);
    }

    /// Accounts for those who were claimed, in one step with taking `mine` out of the state and setting the marks right
    /// (R4); releases the queue's lock; readies them.
    fn grant_and_unlock(&self, claimed: List<Node>, mine: u64) {
        // SAFETY: the lock is held; claimed nodes are ours.
        let (granted, marks) = unsafe {
            let granted = claimed.iter().map(|n| if (*n).case == WRITES { WRITER } else { READER }).sum::<u64>();
            let mut marks = 0;
            for n in (*self.queue.get()).list().iter() {
                marks |= if (*n).case == WRITES { QUEUED | PENDING } else { QUEUED };
            }
            (granted, marks)
        };
        let mut s = self.state.load(Ordering::Relaxed);
        loop {
            let new = (((s - mine) & !(PENDING | QUEUED)) + granted) | marks;
            // AcqRel: Release if nobody waited and the lock is free now, for who takes it next; Acquire for those we
            // hand it to, who come after all readers that gave it back.
            match self.state.compare_exchange_weak(s, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => s = now,
            }
        }
        // SAFETY: we hold the lock. Whoever could free this was claimed, and is readied after the unlock (R5).
        unsafe {
            self.lock.unlock();
            sched::ready_all(claimed);
        }
    }

    /// Takes all readers that wait out of the queue, in their order.
    ///
    /// # Safety
    /// The queue's lock is held; whoever is claimed gets the lock and is readied.
    unsafe fn claim_readers(&self) -> List<Node> {
        // SAFETY: by the caller.
        unsafe {
            let list = (*self.queue.get()).list();
            let (mut claimed, mut rest) = (List::new(), List::new());
            while !list.is_empty() {
                let node = list.pop_front();
                if (*node).case == WRITES {
                    rest.push_back(node);
                } else if Node::claim(node) {
                    claimed.push_back(node);
                }
            }
            *list = rest;
            claimed
        }
    }

    /// Takes the first writer that waits out of the queue; null if there is none.
    ///
    /// # Safety
    /// As for `claim_readers`.
    unsafe fn claim_writer(&self) -> *mut Node {
        // SAFETY: by the caller.
        unsafe {
            let list = (*self.queue.get()).list();
            loop {
                let first = list.iter().find(|n| (**n).case == WRITES);
                let Some(node) = first else { return core::ptr::null_mut() };
                list.remove(node);
                if Node::claim(node) {
                    return node;
                }
            }
        }
    }
}

/// A value that many can read at once, or one can change.
///
/// As `std::sync::RwLock` and `parking_lot::RwLock`, with these differences. A goroutine that waits lets others run. A writer that waits
/// keeps new readers out, and when it is done all readers that wait get in before the next writer: neither side
/// starves. Hence reading twice in one goroutine waits for ever if a writer comes in between. Panics poison nothing.
/// There is no upgrade and no downgrade.
///
/// ```
/// use zokor::sync::RwLock;
/// let l = RwLock::new(5);
/// {
///     let (a, b) = (l.read(), l.read());
///     assert_eq!(*a + *b, 10);
///     assert!(l.try_write().is_none());
/// }
/// *l.write() += 1;
/// assert_eq!(l.into_inner(), 6);
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwMutex,
    value: UnsafeCell<T>,
}

// SAFETY: by R1 readers share the value and a writer has it alone.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
// SAFETY: the lock owns its value.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}

impl<T> RwLock<T> {
    const_new! {
        /// Unlocked, around `value`.
        pub const fn new(value: T) -> RwLock<T> {
            RwLock { raw: RawRwMutex::new(), value: UnsafeCell::new(value) }
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until no writer has the value or waits for it; returns a guard that shares it. Not cancelable.
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.raw.rlock();
        RwLockReadGuard::new(self)
    }

    /// Waits until nobody has the value; returns a guard that has it alone. Not cancelable.
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.raw.lock();
        RwLockWriteGuard::new(self)
    }

    /// A shared guard if no writer has the value or waits for it.
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.raw.try_rlock().then(|| RwLockReadGuard::new(self))
    }

    /// A sole guard if nobody has the value.
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.raw.try_lock().then(|| RwLockWriteGuard::new(self))
    }

    /// As [`read`](RwLock::read), until `deadline` at most.
    ///
    /// # Errors
    /// Which of deadline and cancellation came first.
    pub fn read_until(&self, deadline: Instant) -> Result<RwLockReadGuard<'_, T>, WaitError> {
        self.raw.rlock_until(super::deadline(deadline))?;
        Ok(RwLockReadGuard::new(self))
    }

    /// As [`write`](RwLock::write), until `deadline` at most. A writer that gives up lets in the readers that waited for it.
    ///
    /// # Errors
    /// Which of deadline and cancellation came first.
    pub fn write_until(&self, deadline: Instant) -> Result<RwLockWriteGuard<'_, T>, WaitError> {
        self.raw.lock_until(super::deadline(deadline))?;
        Ok(RwLockWriteGuard::new(self))
    }

    /// As [`read`](RwLock::read), but ends when the goroutine's context does.
    ///
    /// # Errors
    /// `Cancelled`, or `TimedOut` by the context's deadline.
    pub fn read_cancelable(&self) -> Result<RwLockReadGuard<'_, T>, WaitError> {
        self.raw.rlock_until(FOREVER)?;
        Ok(RwLockReadGuard::new(self))
    }

    /// As [`write`](RwLock::write), but ends when the goroutine's context does.
    ///
    /// # Errors
    /// `Cancelled`, or `TimedOut` by the context's deadline.
    pub fn write_cancelable(&self) -> Result<RwLockWriteGuard<'_, T>, WaitError> {
        self.raw.lock_until(FOREVER)?;
        Ok(RwLockWriteGuard::new(self))
    }

    /// As [`read_until`](RwLock::read_until), without the reason.
    pub fn try_read_until(&self, deadline: Instant) -> Option<RwLockReadGuard<'_, T>> {
        self.read_until(deadline).ok()
    }

    /// As [`write_until`](RwLock::write_until), without the reason.
    pub fn try_write_until(&self, deadline: Instant) -> Option<RwLockWriteGuard<'_, T>> {
        self.write_until(deadline).ok()
    }

    /// As [`try_read_until`](RwLock::try_read_until), for a time from now.
    pub fn try_read_for(&self, time: Duration) -> Option<RwLockReadGuard<'_, T>> {
        self.raw.rlock_until(super::after(time)).is_ok().then(|| RwLockReadGuard::new(self))
    }

    /// As [`try_write_until`](RwLock::try_write_until), for a time from now.
    pub fn try_write_for(&self, time: Duration) -> Option<RwLockWriteGuard<'_, T>> {
        self.raw.lock_until(super::after(time)).is_ok().then(|| RwLockWriteGuard::new(self))
    }

    /// The value, which by the borrow nobody else can have.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: ?Sized + std::fmt::Debug> std::fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut d = f.debug_struct("RwLock");
        match self.try_read() {
            Some(v) => d.field("data", &&*v),
            None => d.field("data", &format_args!("<locked>")),
        };
        d.finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod tests;
