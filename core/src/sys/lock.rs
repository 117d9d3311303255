//! The lock inside channels and sync objects: eight bytes, one atomic read-modify-write per lock and unlock pair.
//!
//! **Where it sits.** Called by channels, select and sync objects; calls the futex and the asymmetric
//! fence. It protects critical sections of a few instructions, so whoever meets it locked looks a
//! few hundred nanoseconds more before it sleeps, and sleeping happens practically only when the
//! holder lost its CPU.
//!
//! # State
//!
//! `state`: 0 free, 1 locked. How many threads are in the sleeping part of `lock` is counted in `sleepers.rs`, outside the lock.
//!
//! # Protocol
//!
//! ```text
//! unlock                               lock, sleeping part
//!   U1  state = 0        (Release)       S1  sleepers += 1
//!   U2  light fence                      S2  heavy fence
//!   U3  if sleepers != 0: wake one       S3  until state 0 → 1 succeeds (Acquire):
//!                                        S4      sleep while state is 1
//!                                        S5  sleepers -= 1
//! ```
//!
//! # Invariants
//!
//! - **K1** Only the thread that changed `state` from 0 to 1 unlocks; between the two it alone is in
//!   the critical section.
//! - **K2** While a thread is between S2 and S5, the unlock of any lock that S3 or S4 can find taken
//!   does its U3 with `sleepers != 0`, so a sleeper is always woken. Proof sketch: the fences of U2 and
//!   S2 are a Dekker pair. Either U3 sees S1 — then it wakes — or S3 sees U1, that is, a value of
//!   `state` at or after U1 in its modification order. So if S3 finds `state` locked, it was locked
//!   by a holder whose unlock had not passed its fence before S2, and U3 of that one sees S1. The
//!   kernel compares `state` with 1 under the lock that a wake takes as well, so a U1 between S3 and
//!   S4 keeps the thread from sleeping, and a wake after it finds the thread asleep.
//! - **K3** A wake is not lost on the way either: one that was woken and finds `state` taken again
//!   sleeps again, and K2 holds for the lock that overtook it; those still asleep count as `sleepers`,
//!   so the unlock of whoever got the lock wakes the next.
//! - **K4** U1 is the last access of `unlock` to the lock: U3 looks elsewhere, and a wake uses the address only. So whoever takes the
//!   lock next may free the object around it at once. A wake for an address that is something else by then ends
//!   nobody's wait: whoever sleeps at a futex looks again.
//!
//! A rejected alternative is the usual three-state futex lock, where the sleeper marks `state` and
//! unlock swaps: its unlock is a read-modify-write too, which doubles the cost of the uncontended
//! pair. It would not wake in vain when the first waiter is already on its way; with sections this
//! short that hardly occurs. Another is a count of waiters beside `state`, which U3 would read after it has given the lock away:
//! then nobody may free the object before `unlock` has returned, which its users cannot know.
//!
//! # Orderings
//!
//! U1 is Release and S3 (as the fast path) Acquire: what was done in one critical section happens
//! before the next. The counts are Relaxed, since the fences order them. The pair of fences is explained
//! in `fence.rs`.

use super::fence::lightest_fence;
use super::{futex_wait, futex_wake_addr, heavy_fence, light_fence, sleepers};
use crate::cell::{const_new, spin_loop, AtomicU32, Ordering, ANSWER, GLANCE, LOOKS, PAUSE};
use crate::rank::{self, Rank};

/// A lock without data, of rank [`Rank::Chan`].
#[derive(Debug)]
#[repr(C)]
pub(crate) struct RawLock {
    state: AtomicU32,
    spare: u32,
}

impl Default for RawLock {
    fn default() -> RawLock {
        RawLock::new()
    }
}

impl RawLock {
    const_new! {
        /// A free lock. All zeros.
        pub(crate) const fn new() -> RawLock {
            RawLock { state: AtomicU32::new(0), spare: 0 }
        }
    }

    /// The lock's place in the order of locks of one rank.
    #[inline(always)]
    fn addr(&self) -> usize {
        self as *const RawLock as usize
    }

    /// Changes `state` from free to locked, if it is free.
    #[inline(always)]
    fn try_acquire(&self) -> bool {
        // Acquire on success pairs with the Release store in `unlock`: we see what the last holder did.
        self.state.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the lock; waits for it if need be. The caller holds no other lock of rank `Chan`, unless
    /// it lies at a lower address.
    #[inline(always)]
    pub(crate) fn lock(&self) {
        if !self.lock_at_once() {
            self.lock_slow();
        }
    }

    /// Takes the lock if it is free at once, and says whether it did; if not, [`lock_slow`](RawLock::lock_slow) is to follow. The caller is as for `lock`.
    #[inline(always)]
    pub(super) fn lock_at_once(&self) -> bool {
        rank::acquire(Rank::Chan, self.addr());
        self.try_acquire()
    }

    /// Takes the lock if it is free at once, and says whether it did.
    #[inline(always)]
    pub(crate) fn try_lock(&self) -> bool {
        let got = self.try_acquire();
        if got {
            rank::acquire_try(Rank::Chan, self.addr());
        }
        got
    }

    /// Gives the lock back. It may be gone before this returns (K4).
    ///
    /// # Safety
    ///
    /// The calling thread holds the lock.
    #[inline(always)]
    pub(crate) unsafe fn unlock(&self) {
        let addr = self.addr();
        rank::release(Rank::Chan, addr);
        // Release pairs with the Acquire in `try_acquire`: the next holder sees what we did. U1: nothing of self is used below.
        self.state.store(0, Ordering::Release);
        lightest_fence();
        if !sleepers::nobody() {
            wake(addr);
        }
    }

    /// Looks a few times more, then sleeps. The looks are far apart: whoever uses the lock over and over gets on
    /// faster than with a competitor that asks for its cache line all the time, and so does the competitor in its turn.
    #[cold]
    #[inline(never)]
    pub(super) fn lock_slow(&self) {
        // Relaxed: only a hint whether the read-modify-write is worth it.
        if comes_soon(|| self.state.load(Ordering::Relaxed) == 0 && self.try_acquire()) {
            return;
        }
        sleepers::enter(self.addr()); // ordered before the look at `state` by the fence, S2
        heavy_fence();
        while !self.try_acquire() {
            futex_wait(&self.state, 1, i64::MAX);
        }
        sleepers::leave(self.addr()); // a late unlock that still sees us wakes in vain, no more
    }
}

/// Looks a few times, far apart, before its caller sleeps: whether `it` came true.
#[inline(always)]
pub(super) fn comes_soon(it: impl Fn() -> bool) -> bool {
    looks(LOOKS, PAUSE, it)
}

/// The same where the answer comes with the next use that the other side makes of the lock, or not for long.
#[inline(always)]
pub(super) fn answers_soon(it: impl Fn() -> bool) -> bool {
    looks(ANSWER, GLANCE, it)
}

#[inline(always)]
fn looks(times: u32, apart: u32, it: impl Fn() -> bool) -> bool {
    for _ in 0..times {
        if it() {
            return true;
        }
        pause(apart);
    }
    false
}

/// Waits for so many turns of the hint.
#[inline(always)]
pub(super) fn pause(turns: u32) {
    for _ in 0..turns {
        spin_loop();
    }
}

/// U2 and U3 for the lock, or another word to sleep at, that is or was at `addr`, where they are not as short as usual.
#[cold]
#[inline(never)]
pub(super) fn wake(addr: usize) {
    const { assert!(core::mem::offset_of!(RawLock, state) == 0) };
    light_fence();
    if sleepers::any_at(addr) {
        futex_wake_addr(core::ptr::without_provenance(addr), 1);
    }
}

#[cfg(test)]
mod tests;
