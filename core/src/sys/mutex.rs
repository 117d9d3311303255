//! Data behind a lock: a futex mutex that knows its place in the lock order.
//!
//! **Where it sits.** Used by every layer for what is not on the hot path of a channel; calls the
//! futex and `rank`. Not poisoned by a panic: the guard unlocks, and what our critical sections do is
//! whole after every statement that can panic.
//!
//! # State
//!
//! `state`: 0 free, 1 locked, 2 locked and somebody may sleep. The algorithm is the third mutex of
//! Ulrich Drepper, "Futexes Are Tricky" (2011).
//!
//! # Invariants
//!
//! - **M1** The thread that changed `state` from 0 to something else, and no other, reaches the data
//!   until it changes it back.
//! - **M2** Whoever sleeps has set `state` to 2 before, and whoever gets the lock after having wanted
//!   to sleep sets it to 2 as well. So `state` is 2 for as long as anybody sleeps, and the unlock that
//!   finds a 2 wakes one.
//!
//! # Orderings
//!
//! Each acquisition is Acquire and the unlock Release: one critical section happens before the next.

use super::{futex_wait, futex_wake};
use crate::cell::{const_new, spin_loop, AtomicU32, Ordering, UnsafeCell, SPINS};
use crate::rank::{self, Rank};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

const FREE: u32 = 0;
const LOCKED: u32 = 1;
const CONTENDED: u32 = 2;

/// A value that one thread at a time can reach.
pub(crate) struct Mutex<T> {
    state: AtomicU32,
    rank: Rank,
    value: UnsafeCell<T>,
}

// SAFETY: by M1 one thread at a time reaches the value, which is as good as sending it there.
unsafe impl<T: Send> Sync for Mutex<T> {}
// SAFETY: the mutex owns its value; sending one sends the other.
unsafe impl<T: Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    const_new! {
        /// A free mutex of the given rank around `value`.
        pub(crate) const fn new(rank: Rank, value: T) -> Mutex<T> {
            Mutex { state: AtomicU32::new(FREE), rank, value: UnsafeCell::new(value) }
        }
    }

    /// The lock's name in the check of ranks.
    #[inline(always)]
    fn addr(&self) -> usize {
        &raw const self.state as usize
    }

    /// Changes `state` from free to locked, if it is free.
    #[inline(always)]
    fn try_acquire(&self) -> bool {
        // Acquire on success pairs with the Release in the guard's drop: we see what the last holder did.
        self.state.compare_exchange(FREE, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Waits until the value is free and takes it.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        rank::acquire(self.rank, self.addr());
        if !self.try_acquire() {
            self.lock_slow();
        }
        MutexGuard::new(self)
    }

    /// Takes the value if it is free at once.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let got = self.try_acquire();
        got.then(|| {
            rank::acquire_try(self.rank, self.addr());
            MutexGuard::new(self)
        })
    }

    /// Looks a few times more, then sleeps.
    #[cold]
    #[inline(never)]
    fn lock_slow(&self) {
        for _ in 0..SPINS {
            // Relaxed: only a hint whether the read-modify-write is worth it.
            match self.state.load(Ordering::Relaxed) {
                FREE if self.try_acquire() => return,
                CONTENDED => break,
                _ => spin_loop(),
            }
        }
        // Acquire pairs with the Release in the guard's drop, as in `try_acquire`; when it meets
        // anything but a free lock it only leaves the mark of M2.
        while self.state.swap(CONTENDED, Ordering::Acquire) != FREE {
            futex_wait(&self.state, CONTENDED, i64::MAX);
        }
    }

    /// Wakes one of the sleepers.
    #[cold]
    #[inline(never)]
    fn wake(&self) {
        futex_wake(&self.state, 1);
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("rank", &self.rank).finish_non_exhaustive()
    }
}

/// The right to the value of a [`Mutex`], given back on drop by the thread that took it.
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// Stays on its thread, which is where the rank check has noted it.
    here: PhantomData<*mut T>,
}

// SAFETY: a shared guard gives shared access to the value and nothing else.
unsafe impl<T: Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T> MutexGuard<'a, T> {
    fn new(mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        MutexGuard { mutex, here: PhantomData }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: by M1 the guard's holder alone reaches the value, and the borrow of the guard
        // keeps it from handing out a mutable one meanwhile.
        self.mutex.value.with(|p| unsafe { &*p })
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by M1 the guard's holder alone reaches the value, and the guard is borrowed mutably.
        self.mutex.value.with_mut(|p| unsafe { &mut *p })
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        rank::release(self.mutex.rank, self.mutex.addr());
        // Release pairs with the Acquire of the next holder, which sees what we did.
        if self.mutex.state.swap(FREE, Ordering::Release) == CONTENDED {
            self.mutex.wake();
        }
    }
}

#[cfg(test)]
mod tests;
