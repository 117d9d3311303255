//! Mutual exclusion: Go's mutex, with its starvation mode.
//!
//! *Where it sits*: layer 4. Rules M-01 to M-09, after Go's `internal/sync/mutex.go`. Called by `cond` too.
//!
//! # State
//!
//! One word of four bits, and a queue of waiters under a short lock of its own.
//!
//! * `LOCKED`: somebody holds the mutex.
//! * `QUEUED`: somebody may be in the queue, so unlocking looks there.
//! * `WOKEN`: a waiter was taken out of the queue and is on its way to compete; nobody else is woken until it
//!   has got the mutex, queued again, or given up.
//! * `STARVING`: the mutex is handed from holder to holder, nobody else takes it.
//!
//! In *normal* mode a woken waiter competes with those who come by, which run already and often win; that keeps the
//! mutex busy. If it loses it goes to the front of the queue. A waiter that has lost and waited for more than a
//! millisecond switches to *starvation* mode: unlocking gives the mutex to the head of the queue, and who comes by queues at
//! the tail. The mode ends with an owner that was the last in the queue or waited for less than a millisecond.
//!
//! A woken waiter has to run before it can lose, and it is queued behind whoever woke it. So a goroutine that comes by again and again
//! without ever parking lets others run first if a waiter was woken a millisecond ago and has not come yet.
//!
//! # Invariants
//!
//! * **M1** Between setting and clearing `LOCKED` there is one holder. It is cleared by the holder alone; in starvation mode it is
//!   set again, for the one who is handed the mutex, by the holder that clears it.
//! * **M2** Whoever queues has set `QUEUED` under the queue's lock while `LOCKED` was set. So the unlock that clears `LOCKED`
//!   afterwards sees it, and comes to the queue after the waiter is in it.
//! * **M3** `WOKEN` belongs to one waiter, the one that was taken out of the queue in normal mode. While it is set the duty to
//!   wake lies with that waiter: it clears the bit in the step that takes the mutex or that queues while it is taken,
//!   and if it gives up it wakes the next.
//! * **M4** `STARVING` is set only while `LOCKED` is, and cleared by an unlock that finds nobody or by the owner it was handed to.
//! * **M5** The step that gives the mutex away is the last use that unlocking makes of its memory: clearing `LOCKED`, or in starvation
//!   mode releasing the queue's lock. So whoever takes it next may free it, although the call that unlocked it has not
//!   returned. (Who was taken out of the queue is readied after that, so a queue of which nothing is left but claimed
//!   waiters keeps nobody from freeing it either: those have not returned from their calls.)
//!
//! # Orderings
//!
//! Taking the mutex is Acquire, unlocking Release: one holder's section happens before the next one's (HB-06). In a
//! hand-over the waiter's wake-up carries the order. All else is Relaxed: the bits are decided by the word alone,
//! and the queue by its lock.

use super::{may_queue, may_wait, wait_way, WaitError, WaitList, Way};
use crate::cell::{const_new, spin_loop, AtomicU32, Ordering, SPINS};
use crate::error::{Error, FOREVER, NOWAIT};
use crate::reason::Reason;
use crate::sched::{self, timers};
use crate::sys::{self, RawLock};
use crate::wait::{Node, Outcome};
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

const LOCKED: u32 = 1;
const QUEUED: u32 = 2;
const WOKEN: u32 = 4;
const STARVING: u32 = 8;

/// Waiting longer than this, and having lost, is starving (M-05).
const PATIENCE: i64 = 1_000_000;

/// Nanoseconds in the units of `woken_at`, of which differences up to half an hour count.
fn coarse(t: i64) -> u32 {
    (t >> 10) as u32
}

/// A mutex without data: 32 bytes, all zeros is an unlocked one. Any goroutine or thread may unlock it.
#[repr(C)]
pub struct RawMutex {
    state: AtomicU32,
    /// When the one with `WOKEN` was woken, in units of 1,024 ns; written by the holder.
    woken_at: AtomicU32,
    lock: RawLock,
    queue: UnsafeCell<WaitList>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<RawMutex>() == 32);

// SAFETY: the queue is used under the lock.
unsafe impl Sync for RawMutex {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for RawMutex {}

impl Default for RawMutex {
    fn default() -> RawMutex {
        RawMutex::new()
    }
}

impl RawMutex {
    const_new! {
        /// Unlocked.
        pub const fn new() -> RawMutex {
            RawMutex {
                state: AtomicU32::new(0),
                woken_at: AtomicU32::new(0),
                lock: RawLock::new(),
                queue: UnsafeCell::new(WaitList::new()),
            }
        }
    }

    /// Takes the mutex; waits for it if need be. Not cancelable. From any goroutine or thread.
    #[inline(always)]
    pub fn lock(&self) {
        sched::checkpoint(true);
        if !self.take_free() {
            self.lock_contended();
        }
    }

    /// The first step of `lock` alone: takes a mutex that is free and at which nobody waits. No checkpoint.
    #[inline(always)]
    pub fn take_free(&self) -> bool {
        // Acquire: pairs with the Release of the last holder; we see what it did.
        self.state.compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// The first step of `unlock` alone: gives a mutex back at which nobody waits. As for `unlock`, it may go away then. If it fails `unlock_slow` does it.
    #[inline(always)]
    pub fn give_free(&self) -> bool {
        // Looks first, because under contention a compare-and-swap that fails costs as much as one that does not.
        // Release: pairs with the Acquire of the next holder, which sees what we did.
        self.state.load(Ordering::Relaxed) == LOCKED
            && self.state.compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// As [`lock`](RawMutex::lock), until `deadline` at most; cancelable.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `Interrupted`; `WouldBlock` with `NOWAIT`. The mutex is not taken then.
    #[inline]
    pub fn lock_until(&self, deadline: i64) -> Result<(), Error> {
        may_wait(deadline)?;
        if self.try_lock() {
            return Ok(());
        }
        self.lock_slow(deadline, true)
    }

    /// Takes the mutex if it is free and not in starvation mode (M-07).
    #[inline]
    pub fn try_lock(&self) -> bool {
        sched::checkpoint(false);
        let mut s = self.state.load(Ordering::Relaxed);
        while s & (LOCKED | STARVING) == 0 {
            // Acquire: pairs with the Release in `unlock`.
            match self.state.compare_exchange_weak(s, s | LOCKED, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => s = now,
            }
        }
        false
    }

    /// Whether somebody holds it. A snapshot.
    #[inline]
    pub fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) & LOCKED != 0
    }

    /// Gives the mutex back. Its holder need not be the caller. The process ends if it is not locked (M-03). As soon as somebody
    /// else has it the mutex may go away, also before this returns (M5).
    #[inline(always)]
    pub fn unlock(&self) {
        if !self.give_free() {
            self.unlock_slow();
        }
    }

    /// As `unlock`, after `give_free` has not done it: somebody is or was in the queue.
    #[cold]
    #[inline(never)]
    pub fn unlock_slow(&self) {
        let mut s = self.state.load(Ordering::Relaxed);
        // M3: nobody is queued, or one of them is on its way.
        while s & (LOCKED | STARVING) == LOCKED && s & (QUEUED | WOKEN) != QUEUED {
            // Release: pairs with the Acquire of the next holder.
            match self.state.compare_exchange_weak(s, s & !LOCKED, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => s = now,
            }
        }
        self.unlock_to_next(s);
    }

    /// Wakes the next, or hands it the mutex, and gives the mutex back.
    #[inline(never)]
    fn unlock_to_next(&self, s: u32) {
        if s & LOCKED == 0 {
            sys::fatal("sync: unlock of unlocked mutex");
        }
        if !self.pass_on() {
            self.unlock(); // what made us come here has changed
        }
    }

    /// Called by the holder: wakes the head of the queue and gives the mutex back, or hands it the mutex in starvation mode. False:
    /// the mutex is still ours, because there is nobody to wake or somebody has just begun to starve.
    fn pass_on(&self) -> bool {
        self.lock.lock();
        // SAFETY: the lock is held until it is given back below; a claimed node is ours until its waiter is readied.
        unsafe {
            let s = self.state.load(Ordering::Relaxed);
            let hand_over = s & STARVING != 0;
            let node = if hand_over || s & WOKEN == 0 { self.dequeue() } else { core::ptr::null_mut() };
            if node.is_null() {
                self.lock.unlock();
                return false;
            }
            (*node).ok = hand_over; // then the waiter's wake-up carries the order
            if !hand_over {
                self.woken_at.store(coarse(timers::now()), Ordering::Relaxed);
            }
            self.lock.unlock();
            let gone = hand_over || self.release_to_woken(); // M5
            sched::ready((*node).waiter);
            gone
        }
    }

    /// Clears `LOCKED` and sets `WOKEN` for the one who is about to be. False: somebody has begun to starve meanwhile, and the mutex
    /// is to be handed over (M4).
    fn release_to_woken(&self) -> bool {
        let mut s = self.state.load(Ordering::Relaxed);
        loop {
            let gone = s & STARVING == 0;
            let new = if gone { s & !LOCKED } else { s } | WOKEN;
            // Release: pairs with the Acquire of the next holder.
            match self.state.compare_exchange_weak(s, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return gone,
                Err(now) => s = now,
            }
        }
    }

    /// Takes the first one that can be claimed out of the queue, and clears the marks of a queue that is empty (M4). Null if
    /// there is nobody.
    ///
    /// # Safety
    /// The queue's lock is held. Whoever calls readies the waiter.
    unsafe fn dequeue(&self) -> *mut Node {
        // SAFETY: by the caller.
        let (node, empty) = unsafe {
            let queue = &mut *self.queue.get();
            (queue.claim_first(), queue.list().is_empty())
        };
        let mut clear = if empty { QUEUED } else { 0 };
        if node.is_null() {
            clear |= STARVING;
        }
        if clear != 0 {
            self.state.fetch_and(!clear, Ordering::Relaxed);
        }
        node
    }

    /// Wakes the head of the queue of a mutex that nobody holds: for a waiter that gives up when it should have competed.
    fn wake_next(&self) {
        self.lock.lock();
        // SAFETY: the lock is held; a claimed node is ours until its waiter is readied.
        unsafe {
            // Whoever holds it meanwhile, or is on its way to it, has seen QUEUED and looks at the queue.
            let busy = self.state.load(Ordering::Relaxed) & (LOCKED | WOKEN) != 0;
            let node = if busy { core::ptr::null_mut() } else { self.dequeue() };
            if !node.is_null() {
                (*node).ok = false;
                self.woken_at.store(coarse(timers::now()), Ordering::Relaxed);
                self.state.fetch_or(WOKEN, Ordering::Relaxed);
            }
            self.lock.unlock();
            if !node.is_null() {
                sched::ready((*node).waiter);
            }
        }
    }

    /// As [`lock`](RawMutex::lock), after [`take_free`](RawMutex::take_free) has not done it. No checkpoint.
    #[inline]
    pub fn lock_contended(&self) {
        // Without deadline and not cancelable it ends with the lock only.
        let _ = self.lock_slow(FOREVER, false);
    }

    #[cold]
    #[inline(never)]
    fn lock_slow(&self, deadline: i64, cancelable: bool) -> Result<(), Error> {
        let mut turn = Turn { since: 0, woken: false, starving: false };
        self.spin();
        if deadline != NOWAIT && self.has_waited_to_run() {
            sched::yield_now();
        }
        loop {
            if self.take(&turn) {
                return Ok(());
            }
            if let Err(e) = may_queue(deadline) {
                return self.give_up(&turn, e);
            }
            self.lock.lock();
            if !self.queue_up(&turn) {
                // SAFETY: we hold it.
                unsafe { self.lock.unlock() };
                continue;
            }
            let again = turn.since != 0;
            if !again {
                turn.since = timers::now();
            }
            let way = Way { reason: Reason::Mutex, deadline, cancelable, front: again, tag: 0 };
            // SAFETY: the lock is held and protects the queue; whoever holds the mutex sees QUEUED (M2).
            let (outcome, handed) = unsafe { wait_way(&self.lock, self.queue.get(), way, || ()) };
            if outcome != Outcome::Peer {
                return Err(outcome.into());
            }
            let long = timers::now() - turn.since > PATIENCE;
            if handed {
                self.handed_over(long);
                return Ok(());
            }
            turn.woken = true;
            turn.starving |= long;
        }
    }

    /// Whether a waiter was woken long ago and has not run yet. Relaxed, both: whoever is wrong yields once for nothing, or not this time.
    fn has_waited_to_run(&self) -> bool {
        self.state.load(Ordering::Relaxed) & WOKEN != 0
            && coarse(timers::now()).wrapping_sub(self.woken_at.load(Ordering::Relaxed)) as i32
                > coarse(PATIENCE) as i32
    }

    /// Looks a few times more if the holder may be about to unlock: parking and waking cost more.
    fn spin(&self) {
        if !sched::may_spin() {
            return;
        }
        for _ in 0..SPINS {
            if self.state.load(Ordering::Relaxed) & (LOCKED | QUEUED | STARVING) != LOCKED {
                return;
            }
            spin_loop();
        }
    }

    /// Takes the mutex if it is free; ends `WOKEN` if it was ours (M3).
    fn take(&self, turn: &Turn) -> bool {
        let mut s = self.state.load(Ordering::Relaxed);
        while s & (LOCKED | STARVING) == 0 {
            let new = turn.without_woken(s) | LOCKED;
            // Acquire: pairs with the Release in `unlock`.
            match self.state.compare_exchange_weak(s, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => s = now,
            }
        }
        false
    }

    /// Under the queue's lock: marks that we are about to be in it, if the mutex is still taken (M2).
    fn queue_up(&self, turn: &Turn) -> bool {
        let mut s = self.state.load(Ordering::Relaxed);
        while s & (LOCKED | STARVING) != 0 {
            let mut new = turn.without_woken(s) | QUEUED;
            if turn.starving && s & LOCKED != 0 {
                new |= STARVING;
            }
            match self.state.compare_exchange_weak(s, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => s = now,
            }
        }
        false
    }

    /// The mutex is ours by hand-over: ends starvation mode if nobody else suffers.
    fn handed_over(&self, long: bool) {
        if !long || self.state.load(Ordering::Relaxed) & QUEUED == 0 {
            self.state.fetch_and(!STARVING, Ordering::Relaxed);
        }
    }

    /// Leaves without the mutex; the duty to wake goes to the next (M3).
    fn give_up(&self, turn: &Turn, why: Error) -> Result<(), Error> {
        if turn.woken {
            let s = self.state.fetch_and(!WOKEN, Ordering::Relaxed);
            if s & LOCKED == 0 {
                self.wake_next();
            }
        }
        Err(why)
    }
}

/// How far a waiter has come.
struct Turn {
    /// When it queued first; 0: not yet.
    since: i64,
    /// It was woken: `WOKEN` is its bit.
    woken: bool,
    /// It has waited for too long, and lost.
    starving: bool,
}

impl Turn {
    fn without_woken(&self, s: u32) -> u32 {
        if self.woken {
            s & !WOKEN
        } else {
            s
        }
    }
}

/// A value that one goroutine or thread at a time can reach.
///
/// As `std::sync::Mutex` and `parking_lot::Mutex`, with these differences. A goroutine that waits lets others run. Waiters are served
/// first come, first served, except that somebody who comes by may be faster than a waiter that is just waking up; nobody
/// waits for more than a few milliseconds because of that. A panic while the mutex is held unlocks it and poisons
/// nothing: the value is as the panicking code left it. It is not reentrant: locking it twice waits for ever.
///
/// Locking and unlocking an uncontended mutex is one atomic operation each.
///
/// ```
/// use zokor::sync::Mutex;
/// let m = Mutex::new(vec![1]);
/// m.lock().push(2);
/// assert!(m.try_lock().is_some_and(|v| v.len() == 2));
/// assert_eq!(m.into_inner(), [1, 2]);
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    value: UnsafeCell<T>,
}

// SAFETY: by M1 one at a time reaches the value, which is as good as sending it there.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: the mutex owns its value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    const_new! {
        /// Unlocked, around `value`.
        pub const fn new(value: T) -> Mutex<T> {
            Mutex { raw: RawMutex::new(), value: UnsafeCell::new(value) }
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody else has the value and returns a guard; dropping it unlocks. Not cancelable.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.raw.lock();
        MutexGuard::new(self)
    }

    /// A guard if nobody else has the value and nobody starves for it (M-07).
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.raw.try_lock().then(|| MutexGuard::new(self))
    }

    /// As [`lock`](Mutex::lock), until `deadline` at most.
    ///
    /// # Errors
    /// Which of deadline and cancellation came first. The value is not locked then.
    pub fn lock_until(&self, deadline: Instant) -> Result<MutexGuard<'_, T>, WaitError> {
        self.raw.lock_until(super::deadline(deadline))?;
        Ok(MutexGuard::new(self))
    }

    /// As [`lock`](Mutex::lock), but ends when the goroutine's context does.
    ///
    /// # Errors
    /// `Cancelled`, or `TimedOut` by the context's deadline. The value is not locked then.
    pub fn lock_cancelable(&self) -> Result<MutexGuard<'_, T>, WaitError> {
        self.raw.lock_until(FOREVER)?;
        Ok(MutexGuard::new(self))
    }

    /// As [`lock_until`](Mutex::lock_until), without the reason.
    pub fn try_lock_until(&self, deadline: Instant) -> Option<MutexGuard<'_, T>> {
        self.lock_until(deadline).ok()
    }

    /// As [`try_lock_until`](Mutex::try_lock_until), for a time from now.
    pub fn try_lock_for(&self, time: Duration) -> Option<MutexGuard<'_, T>> {
        self.raw.lock_until(super::after(time)).is_ok().then(|| MutexGuard::new(self))
    }

    /// Whether somebody has the value. A snapshot.
    pub fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }

    /// The value, which by the borrow nobody else can have.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: ?Sized + std::fmt::Debug> std::fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut d = f.debug_struct("Mutex");
        match self.try_lock() {
            Some(v) => d.field("data", &&*v),
            None => d.field("data", &format_args!("<locked>")),
        };
        d.finish_non_exhaustive()
    }
}

/// The right to the value of a [`Mutex`]. Dropping it unlocks, also when a panic unwinds. It may be sent to another goroutine
/// or thread and dropped there.
#[must_use = "the mutex is unlocked when the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    value: PhantomData<&'a mut T>,
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    #[inline(always)]
    fn new(mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        MutexGuard { mutex, value: PhantomData }
    }

    /// The raw mutex it holds.
    pub(super) fn raw(&self) -> &RawMutex {
        &self.mutex.raw
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: by M1 the guard's holder alone reaches the value.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by M1 the guard's holder alone reaches the value, and the guard is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.mutex.raw.unlock();
    }
}

impl<T: ?Sized + std::fmt::Debug> std::fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + std::fmt::Display> std::fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(all(test, loom))]
mod tests;
