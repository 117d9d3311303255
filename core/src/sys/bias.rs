//! The lock of a channel: one that a thread which has it to itself takes without a read-modify-write.
//!
//! **Where it sits.** Called by channels and select; calls `RawLock`, the asymmetric fence and the futex. A locked instruction is most of
//! what an operation on a channel costs that nobody contends for, and most channels are used by the goroutines of one worker.
//!
//! # State
//!
//! `owner`: `NOBODY`, or the thread that has the lock to itself and the number of the grant. `lock`: taken by everybody else.
//! `inside[n]`: the thread that has, or had, grant `n` is in a section by it, or about to find that it has it no more.
//! `guarded`: under the lock; who took it last and how often in a row, how many grants there were, and by which way it is held.
//!
//! A thread is told apart by a word that it alone has while it lives: a multiple of `GRANTS`, or 0 for those who never own a lock.
//!
//! # Protocol
//!
//! ```text
//! owner                                    anybody else
//!   B1  inside[n] = 1                        R1  take `lock`
//!   B2  light fence                          R2  if owner is NOBODY: in the section
//!   B3  if owner is still me and n:          R3  owner = NOBODY
//!         in the section                     R4  heavy fence
//!       else inside[n] = 0 as in B4 to       R5  sleep while inside[n] is 1; then in the section
//!         B6, and the other way
//!   B4  inside[n] = 0    (Release)
//!   B5  light fence
//!   B6  if sleepers != 0: wake
//! ```
//!
//! Whoever has taken `lock` many times in a row becomes the owner. Each grant but the first needs `MORE` times as many turns as the one
//! before, and there are `GRANTS` of them: a lock that is passed around pays for a few heavy fences in its life, and not for one per
//! turn.
//!
//! # Invariants
//!
//! - **BL1** `owner` is written under `lock`, by a thread that names itself or `NOBODY`. A number is granted once, so a value that comes back
//!   was never away, and `inside[n]` is written by one thread.
//! - **BL2** Two threads are never in the section at once. B1 to B3 and R3 to R5 are a Dekker pair (`fence.rs`): the owner sees `NOBODY` and
//!   goes the other way, or R5 sees its `inside[n]` and waits. Others meet at `lock`, which is held from R1 to the end of the section.
//! - **BL3** Who sleeps at R5 is woken: B4 to B6 are U1 to U3 of `RawLock`, with `inside[n]` for `state` (its K2).
//! - **BL4** The last access of `unlock` to the lock is B4 or that of `RawLock` (its K4): whoever is next may free it.
//! - **BL5** There is an owner only where light fences cost nothing, or where a tool has to see them.
//!
//! # Orderings
//!
//! B4 is Release and R5 Acquire: the section after it sees the owner's. An owner that enters needs no Acquire: since the grant, which it
//! made under `lock`, nobody else was in the section. `owner` is Relaxed: R2 is ordered by `lock`, and B3 by the fences.

use super::fence::{known_light_fence, light_fences_known};
use super::lock::{comes_soon, wake, RawLock};
use super::{futex_wait, heavy_fence, sleepers};
use crate::cell::{AtomicU32, AtomicUsize, Ordering, UnsafeCell};
use crate::rank::{self, Rank};
use std::array;

/// How often a lock can get an owner; a power of two.
pub(crate) const GRANTS: usize = 4;
/// So many turns in a row make the first owner: together they take longer than a heavy fence. Few in checked builds, whose tests are to meet
/// owners everywhere.
const TURNS: u32 = match (cfg!(loom), cfg!(debug_assertions)) {
    (true, _) => 1,
    (_, true) => 8,
    _ => 1024,
};
/// So many times as many the next one.
const MORE: u32 = if cfg!(loom) { 1 } else { 8 };
/// No thread, whatever the number of the grant.
const NOBODY: usize = usize::MAX;
/// `held`: by `lock`, and not by a grant.
const BY_LOCK: u8 = GRANTS as u8;

/// See the module's text. Of rank [`Rank::Chan`].
#[derive(Debug)]
pub(crate) struct BiasedLock {
    owner: AtomicUsize,
    lock: RawLock,
    guarded: UnsafeCell<Guarded>,
    inside: [AtomicU32; GRANTS],
}

/// What whoever is in the section may use.
#[derive(Debug)]
struct Guarded {
    /// Who took `lock` last.
    last: usize,
    /// Turns of `last` until it becomes the owner.
    left: u32,
    /// Turns in a row that make an owner.
    turns: u32,
    granted: u8,
    /// The grant by which the lock is held, or `BY_LOCK`.
    held: u8,
}

/// What the short way of a thread into its own section has come to: see [`BiasedLock::lock_owned`].
pub(crate) enum Owned {
    /// It holds the lock, by this grant.
    Held(usize),
    /// It is not the owner.
    Not,
    /// It has seen too late that it is the owner no more. The grant is to be given back at once.
    Lost(usize),
}

/// Somebody who may sleep at a lock that was given back, or nobody.
#[derive(Clone, Copy)]
pub(crate) struct Sleeper(usize);

impl Sleeper {
    /// Nobody.
    pub(crate) fn none() -> Sleeper {
        Sleeper(0)
    }

    /// Whether there may be one.
    #[inline(always)]
    pub(crate) fn is_there(self) -> bool {
        self.0 != 0
    }

    /// Wakes the one there may be.
    #[inline(always)]
    pub(crate) fn wake(self) {
        if self.is_there() {
            wake(self.0);
        }
    }
}

// SAFETY: `guarded` is used in the section alone, where one thread is at a time (BL2).
unsafe impl Sync for BiasedLock {}

impl BiasedLock {
    /// A free lock.
    pub(crate) fn new() -> BiasedLock {
        BiasedLock::after_grants(0)
    }

    /// A free lock that never has an owner, and so can be tried.
    pub(crate) fn unbiased() -> BiasedLock {
        BiasedLock::after_grants(GRANTS as u8)
    }

    fn after_grants(granted: u8) -> BiasedLock {
        let guarded = Guarded { last: 0, left: TURNS, turns: TURNS, granted, held: BY_LOCK };
        BiasedLock {
            owner: AtomicUsize::new(NOBODY),
            lock: RawLock::new(),
            guarded: UnsafeCell::new(guarded),
            inside: array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    /// Takes the lock; waits for it if need be. `me` is the calling thread's word. The caller holds no other lock of rank `Chan`,
    /// unless it lies at a lower address.
    #[inline(always)]
    pub(crate) fn lock(&self, me: usize) {
        debug_assert!(me % GRANTS == 0);
        let owner = self.owner.load(Ordering::Relaxed);
        let n = owner ^ me;
        if n < GRANTS {
            if self.enter(n, owner) {
                return;
            }
            self.leave(n).wake();
        }
        self.lock.lock();
        if self.owner.load(Ordering::Relaxed) != NOBODY {
            self.revoke();
        }
        // SAFETY: we are in the section.
        self.guarded.with_mut(|g| unsafe {
            (*g).held = BY_LOCK;
            if (*g).last != me {
                ((*g).last, (*g).left) = (me, (*g).turns);
                return;
            }
            (*g).left -= 1;
            if (*g).left == 0 {
                self.grant(&mut *g);
            }
        });
    }

    /// Takes a lock that never has an owner, if it is free at once, and says whether it did.
    #[inline(always)]
    pub(crate) fn try_lock(&self) -> bool {
        debug_assert!(self.owner.load(Ordering::Relaxed) == NOBODY);
        let got = self.lock.try_lock();
        if got {
            // SAFETY: we are in the section.
            self.guarded.with_mut(|g| unsafe { (*g).held = BY_LOCK });
        }
        got
    }

    /// Gives the lock back. It may be gone before this returns (BL4).
    ///
    /// # Safety
    ///
    /// The calling thread holds the lock.
    #[inline(always)]
    pub(crate) unsafe fn unlock(&self) {
        // SAFETY: by the caller we are in the section.
        let held = self.guarded.with(|g| unsafe { (*g).held });
        if held == BY_LOCK {
            // SAFETY: and are by this way.
            unsafe { self.lock.unlock() };
            return;
        }
        rank::release(Rank::Chan, self.addr());
        self.leave(usize::from(held) % GRANTS).wake();
    }

    /// The lock's place in the order of locks of one rank: that of `lock`.
    #[inline(always)]
    fn addr(&self) -> usize {
        &raw const self.lock as usize
    }

    /// Takes the lock if the calling thread owns it: the short way of [`lock`](BiasedLock::lock), for who has no room for a call. It waits for
    /// nobody.
    #[inline(always)]
    pub(crate) fn lock_owned(&self, me: usize) -> Owned {
        let owner = self.owner.load(Ordering::Relaxed);
        match owner ^ me {
            n if n >= GRANTS => Owned::Not,
            n if self.enter(n, owner) => Owned::Held(n),
            n => Owned::Lost(n),
        }
    }

    /// The same for one of several locks, in whatever order, that the calling thread holds by their grants: who waits for nobody is no part of a
    /// circle. `Not`, too, if this is one of those it holds.
    #[inline(always)]
    pub(crate) fn lock_another(&self, me: usize) -> Owned {
        let owner = self.owner.load(Ordering::Relaxed);
        let n = owner ^ me;
        // Relaxed: the owner alone writes its word (BL1).
        if n >= GRANTS || self.inside[n].load(Ordering::Relaxed) != 0 {
            return Owned::Not;
        }
        match self.enter_as(n, owner, rank::acquire_try) {
            true => Owned::Held(n),
            false => Owned::Lost(n),
        }
    }

    /// B1 to B3: false if the grant was taken back; then B4 to B6 are to follow.
    #[inline(always)]
    fn enter(&self, n: usize, owner: usize) -> bool {
        self.enter_as(n, owner, rank::acquire)
    }

    /// The same, checked by `note` in builds that check the order of locks.
    #[inline(always)]
    fn enter_as(&self, n: usize, owner: usize, note: impl Fn(Rank, usize)) -> bool {
        self.inside[n].store(1, Ordering::Relaxed);
        known_light_fence();
        if self.owner.load(Ordering::Relaxed) != owner {
            return false;
        }
        note(Rank::Chan, self.addr());
        // SAFETY: we are in the section.
        self.guarded.with_mut(|g| unsafe { (*g).held = n as u8 });
        true
    }

    /// Gives back what [`lock_owned`](BiasedLock::lock_owned) has got.
    ///
    /// # Safety
    ///
    /// The calling thread holds the lock by this grant. It may be gone before this returns (BL4).
    #[inline(always)]
    pub(crate) unsafe fn give_back(&self, n: usize) -> Sleeper {
        rank::release(Rank::Chan, self.addr());
        self.leave(n)
    }

    /// B4 to B6, but for the waking.
    #[inline(always)]
    pub(crate) fn leave(&self, n: usize) -> Sleeper {
        let addr = &raw const self.inside[n] as usize;
        // Release pairs with the Acquire in `revoke`: the section after this one sees what we did. Nothing of self is used below (BL4).
        self.inside[n].store(0, Ordering::Release);
        known_light_fence();
        Sleeper(if sleepers::nobody() { 0 } else { addr })
    }

    /// `last` becomes the owner, if there are grants left and it is one who can be.
    #[cold]
    #[inline(never)]
    fn grant(&self, g: &mut Guarded) {
        g.left = g.turns;
        if g.last != 0 && usize::from(g.granted) < GRANTS && light_fences_known() {
            self.owner.store(g.last ^ usize::from(g.granted), Ordering::Relaxed);
            g.granted += 1;
            g.turns *= MORE;
        }
    }

    /// R3 to R5.
    #[cold]
    #[inline(never)]
    fn revoke(&self) {
        let n = self.owner.load(Ordering::Relaxed) % GRANTS;
        self.owner.store(NOBODY, Ordering::Relaxed);
        heavy_fence();
        let word = &self.inside[n];
        // Acquire pairs with the Release in `leave`, here and below: we see what the owner did.
        if comes_soon(|| word.load(Ordering::Acquire) == 0) {
            return;
        }
        let addr = &raw const *word as usize;
        sleepers::enter(addr);
        heavy_fence();
        // Acquire: as above.
        while word.load(Ordering::Acquire) != 0 {
            futex_wait(word, 1, i64::MAX);
        }
        sleepers::leave(addr);
    }
}

#[cfg(test)]
mod tests;
