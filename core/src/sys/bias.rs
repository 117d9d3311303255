//! The lock of a channel: one that a thread which has it to itself takes without a read-modify-write.
//!
//! **Where it sits.** Called by channels and select; calls `RawLock`, `absent.rs`, the asymmetric fence and the futex. A locked instruction is most of
//! what an operation on a channel costs that nobody contends for, and most channels are used by the goroutines of one worker.
//!
//! # State
//!
//! `owner`: `NOBODY`, or the thread that has the lock to itself and the number of the grant, with the marks `ASKED`, somebody waits for it, and
//! `OFFERED`, the owner does not enter by it any more. `lock`: taken by everybody else.
//! `inside[n]`: the thread that has, or had, grant `n` is in a section by it, or about to find that it has it no more.
//! `guarded`: under the lock; who took it last and how often in a row, from whom grants were taken by force, and by which way it is held.
//!
//! A thread is told apart by a word that it alone has while it lives: a multiple of `OURS`, or 0 for those who never own a lock.
//!
//! # Protocol
//!
//! ```text
//! owner                                    anybody else
//!   B1  inside[n] = 1                        R1  take `lock`
//!   B2  light fence                          R2  if owner is NOBODY: in the section
//!   B3  if owner is still me and n:          R3  owner |= ASKED, look some times for OFFERED
//!         in the section                          unless its thread is away
//!       else inside[n] = 0 as in B4 to       R4  owner = NOBODY
//!         B6, and the other way              R5  heavy fence, unless OFFERED or its thread is away
//!   B4  inside[n] = 0    (Release)           R6  sleep while inside[n] is 1; then in the section
//!   B5  light fence                        owner, the other way
//!   B6  if sleepers != 0: wake               A1  if owner is me, n and ASKED: owner |= OFFERED
//!                                            A2  R1, and if owner is still me: take the marks back,
//!                                                in the section; else R2
//! ```
//!
//! Whoever has taken `lock` many times in a row becomes the owner. Two threads that both use the lock all the time take turns: each
//! leaves the other undisturbed for a moment, asks, and is offered the lock with the next use that the other would have made of it. That costs a few
//! cache lines per turn, and no fence. Who parks its goroutine in the section, has nothing else to run and has met others here offers the lock on its way out.
//!
//! An owner that looks for work or sleeps is *away* (`absent.rs`): it is not asked, and no barrier is needed. When all goroutines of a worker move to
//! another one, the first use of each of their channels would cost 20 µs otherwise.
//!
//! From an owner that is there and does not answer the lock is taken by force, with a heavy fence. Nobody knows then when that one will find out, so the number of its
//! grant goes to nobody else before it has taken `lock`; there are `GRANTS` numbers. And after each owner that did not answer it takes
//! twice as many turns in a row to make one, until those who meet here have done so often: a lock does not pay for many heavy fences.
//!
//! # Invariants
//!
//! - **BL1** `owner` is written under `lock`, by a thread that names itself or `NOBODY`, but for the marks; `OFFERED` is set by the owner alone. A number is
//!   granted again only when its last owner will not write `inside[n]` any more. It does so only after having seen itself, unmarked, in `owner`. If it has offered the lock,
//!   its mark was the last it wrote there, and was taken back by itself alone; if it was away, its next look sees somebody else; if the lock was taken by force, it has taken
//!   `lock` since and seen somebody else in `owner`. So one thread at a time writes `inside[n]`.
//! - **BL2** Two threads are never in the section at once. B1 to B3 and R4 to R6 are a Dekker pair (`fence.rs`): the owner sees `NOBODY` and
//!   goes the other way, or R6 sees its `inside[n]` and waits. Of an owner that is away `absent.rs` promises the same. With `OFFERED` no fence is needed: the owner enters by
//!   `lock` from then on, and who sees the mark sees the `inside[n]` of the section in which it was made. Others meet at `lock`, which is held from R1 to the end of the section.
//! - **BL3** Who sleeps at R6 is woken: B4 to B6 are U1 to U3 of `RawLock`, with `inside[n]` for `state` (its K2).
//! - **BL4** The last access of `unlock` to the lock is B4 or that of `RawLock` (its K4): whoever is next may free it.
//! - **BL5** There is an owner only where light fences cost nothing, or where a tool has to see them.
//!
//! # Orderings
//!
//! B4 is Release and R6 Acquire: the section after it sees the owner's. An owner that enters needs no Acquire: since the grant, which it
//! made under `lock`, nobody else was in the section. `OFFERED` is set with Release, and R4 is an exchange with Acquire, for BL2; it tells as well whether the mark was there. Otherwise `owner` is
//! Relaxed: R2 is ordered by `lock`, and B3 by the fences.

use super::absent;
use super::fence::{known_light_fence, light_fences_known};
use super::lock::{answers_soon, comes_soon, pause, wake, RawLock};
use super::{futex_wait, heavy_fence, sleepers};
use crate::cell::{AtomicU32, AtomicUsize, Ordering, UnsafeCell, AWAY, TURN};
use crate::rank::{self, Rank};
use std::array;

/// How many owners may be missing, their grants taken by force; a power of two.
pub(crate) const GRANTS: usize = 4;
/// So many turns in a row make an owner: together they take longer than a heavy fence. Few in checked builds, whose tests are to meet
/// owners everywhere.
const TURNS: u32 = match (cfg!(loom), cfg!(debug_assertions)) {
    (true, _) => 1,
    (_, true) => 8,
    _ => 1024,
};
/// And so many where owners have answered: more than one that meets the others at every turn ever has.
const SHORT: u32 = match (cfg!(loom), cfg!(debug_assertions)) {
    (true, _) => 1,
    (_, true) => 4,
    _ => 32,
};
/// `TURNS` are doubled so often at the most, where one owner after the other does not answer.
const DOUBLED: u8 = if cfg!(loom) { 0 } else { 10 };
/// An owner that has offered the lock so often in vain has it to itself again.
const ALONE: u32 = 1 << 16;

/// In `owner`: somebody waits for the lock.
const ASKED: usize = GRANTS;
/// In `owner`: the owner enters by `lock` alone until it has taken this back, under `lock`.
const OFFERED: usize = 2 * GRANTS;
/// What tells an owner apart is a multiple of this.
const OURS: usize = 4 * GRANTS;
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
    /// Owners in a row that did not answer.
    forced: u8,
    /// How many of `missing` there are.
    absent: u8,
    /// The grant by which the lock is held, or `BY_LOCK`.
    held: u8,
    /// Several threads use the lock. Who parks offers it.
    shared: bool,
    /// How often that was in vain, in a row.
    alone: u32,
    /// By number of the grant, whom it was taken from by force and who has not been here since; 0: nobody.
    missing: [usize; GRANTS],
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
        BiasedLock::after([0; GRANTS])
    }

    /// A free lock that never has an owner, and so can be tried.
    pub(crate) fn unbiased() -> BiasedLock {
        BiasedLock::after([NOBODY; GRANTS])
    }

    fn after(missing: [usize; GRANTS]) -> BiasedLock {
        let guarded = Guarded {
            last: 0,
            left: TURNS,
            turns: TURNS,
            forced: 0,
            absent: 0,
            held: BY_LOCK,
            shared: false,
            alone: 0,
            missing,
        };
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
        debug_assert!(me % OURS == 0 && !absent::seems_away(me));
        let owner = self.owner.load(Ordering::Relaxed);
        let n = owner ^ me;
        if n < OURS && self.enter_or_offer(n, owner) {
            return;
        }
        if !self.lock.lock_at_once() {
            self.lock_contended();
        }
        if self.owner.load(Ordering::Relaxed) != NOBODY {
            self.take_over(me);
        }
        // SAFETY: we are in the section.
        self.guarded.with_mut(|g| unsafe {
            (*g).held = BY_LOCK;
            if (*g).last != me {
                (*g).changes_hands(me);
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

    /// The owner's way in: false if it is the other way.
    #[inline(always)]
    fn enter_or_offer(&self, n: usize, owner: usize) -> bool {
        if n < GRANTS {
            if self.enter(n, owner) {
                return true;
            }
            self.leave(n).wake();
        }
        self.offer(owner);
        false
    }

    /// A1. Whoever has asked is left undisturbed for a while then.
    #[cold]
    #[inline(never)]
    fn offer(&self, owner: usize) {
        let asked = owner | ASKED;
        // Release pairs with the Acquire in `take_over`: whoever takes the lock sees what we did.
        let offered = self.owner.compare_exchange(asked, asked | OFFERED, Ordering::Release, Ordering::Relaxed);
        if offered.is_ok() {
            pause(AWAY);
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
        // Release pairs with the Acquire in `wait_until_out`: the section after this one sees what we did. Nothing of self is used below (BL4).
        self.inside[n].store(0, Ordering::Release);
        known_light_fence();
        Sleeper(if sleepers::nobody() { 0 } else { addr })
    }

    /// Gives the lock back on the way to park. Where others use it as well it is offered to them.
    ///
    /// # Safety
    ///
    /// As for [`unlock`](BiasedLock::unlock).
    #[inline(always)]
    pub(crate) unsafe fn unlock_to_park(&self, is_last: impl FnOnce() -> bool) {
        // SAFETY: by the caller we are in the section.
        if self.guarded.with(|g| unsafe { (*g).shared && (*g).held != BY_LOCK }) && is_last() {
            // Release pairs with the Acquire in `take_over`: who sees the mark sees that we are inside. By then we are the owner,
            // or nobody is, whose word has all bits set already.
            self.owner.fetch_or(OFFERED, Ordering::Release);
        }
        // SAFETY: by the caller.
        unsafe { self.unlock() };
    }

    /// Takes `lock` from others who use it.
    #[cold]
    #[inline(never)]
    fn lock_contended(&self) {
        self.lock.lock_slow();
        if self.owner.load(Ordering::Relaxed) == NOBODY {
            // SAFETY: we are in the section.
            self.guarded.with_mut(|g| unsafe { (*g).is_shared() });
        }
    }

    /// `last` becomes the owner, if there are grants left and it is one who can be.
    #[cold]
    #[inline(never)]
    fn grant(&self, g: &mut Guarded) {
        g.left = g.turns;
        let free = g.missing.iter().position(|m| *m == 0);
        if let (Some(n), true) = (free, g.last != 0 && light_fences_known()) {
            self.owner.store(g.last ^ n, Ordering::Relaxed);
        }
    }

    /// R3 to R6, and A2.
    #[cold]
    #[inline(never)]
    fn take_over(&self, me: usize) {
        let owner = self.owner.load(Ordering::Relaxed);
        if owner ^ me < OURS {
            self.owner.store(owner & !(ASKED | OFFERED), Ordering::Relaxed);
            // SAFETY: we hold `lock` and are the owner.
            self.guarded.with_mut(|g| unsafe { (*g).came_back() });
            return;
        }
        let word = owner / OURS * OURS;
        let asked = !absent::seems_away(word);
        if asked {
            self.ask();
        }
        // Acquire pairs with the Release in `offer` and `unlock_to_park`: see BL2.
        let offered = self.owner.swap(NOBODY, Ordering::Acquire) & OFFERED != 0;
        let by_force = !offered && !absent::is_away(word);
        if by_force {
            heavy_fence();
        }
        self.wait_until_out(owner % GRANTS);
        // SAFETY: we are in the section.
        self.guarded.with_mut(|g| unsafe {
            if by_force {
                (*g).misses(owner, asked);
            } else if offered {
                (*g).forced = 0;
            }
            (*g).is_shared();
        });
    }

    /// R3. The owner has its turn first.
    fn ask(&self) {
        // Relaxed: what it sees is looked at again when the lock is taken.
        let is_offered = || self.owner.load(Ordering::Relaxed) & OFFERED != 0;
        if is_offered() {
            return;
        }
        pause(TURN);
        if self.owner.fetch_or(ASKED, Ordering::Relaxed) & OFFERED == 0 {
            answers_soon(is_offered);
        }
    }

    /// R6.
    fn wait_until_out(&self, n: usize) {
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

impl Guarded {
    /// `me` takes the lock after somebody else.
    #[inline(always)]
    fn changes_hands(&mut self, me: usize) {
        self.turns -= self.turns.saturating_sub(SHORT) / 32; // those who meet here all the time are worth another try
        (self.last, self.left) = (me, self.turns);
        if self.absent != 0 {
            self.is_here(me);
        }
    }

    /// If `me` was missing, it is not any more: BL1.
    #[cold]
    #[inline(never)]
    fn is_here(&mut self, me: usize) {
        for m in self.missing.iter_mut().filter(|m| **m == me && me != 0) {
            (*m, self.absent) = (0, self.absent - 1);
        }
    }

    /// The lock was taken from `owner` by force. One that was not `asked` had only just come back.
    fn misses(&mut self, owner: usize, asked: bool) {
        self.missing[owner % GRANTS] = owner / OURS * OURS;
        self.absent += 1;
        if asked {
            self.turns = TURNS << self.forced;
            self.forced = (self.forced + 1).min(DOUBLED);
        }
    }

    /// Another one than the owner wants the lock, or several do at the same time.
    fn is_shared(&mut self) {
        (self.shared, self.alone) = (true, 0);
        if self.forced == 0 {
            self.turns = SHORT;
        }
        self.left = self.turns;
    }

    /// The owner was offered the lock by itself.
    fn came_back(&mut self) {
        self.alone += 1;
        self.shared = self.alone < ALONE;
    }
}

#[cfg(test)]
mod tests;
