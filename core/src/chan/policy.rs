//! What a channel does with a value for which it has no room.
//!
//! *Where it sits*: layer 4, a field of a channel; used by `chan/core.rs` alone, under the channel's lock. A channel without a policy
//! lets its senders wait, and never asks here: only a send that finds neither a receiver nor a free slot does.
//!
//! The policy decides nothing else. A waiting receiver gets every value directly, order, close and drain are those of all
//! channels, and so is select: a send case on a channel that drops is always ready, one on a channel that refuses is
//! ready while there is room.

use super::core::{Core, Step};
use super::ring::{Grown, Ring};
use crate::cell::{AtomicU64, Ordering};
use crate::error::{Error, NOWAIT};
use crate::sched;
use core::ptr::null_mut;

/// What becomes of a value for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It stays with the sender: a send fails, a select waits for room.
    Refuse,
    /// It is dropped.
    DropNewest,
    /// It takes the place of the oldest one, which is dropped. Without a buffer it is the oldest one itself.
    DropOldest,
}

/// Why there is still a value at the place that was sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stayed {
    /// The send failed; the value is the caller's as before.
    Unsent(Error),
    /// It was sent, and by the channel's policy a value is dropped: this one, which is the caller's to end.
    Left,
}

impl From<Error> for Stayed {
    fn from(e: Error) -> Stayed {
        Stayed::Unsent(e)
    }
}

/// An [`Overflow`] and how often it came to that.
pub struct Policy {
    overflow: Overflow,
    /// A value that is dropped has to be handed to the sender, who ends it after the lock was released.
    hand_over: bool,
    count: AtomicU64,
}

impl Policy {
    /// `hand_over`: values cannot just be forgotten.
    pub fn new(overflow: Overflow, hand_over: bool) -> Policy {
        Policy { overflow, hand_over, count: AtomicU64::new(0) }
    }

    /// No receiver waits, and the ring has no free slot: lets it grow if it may, and else does as the policy says.
    ///
    /// # Safety
    /// The channel's lock is held; `src` is as for a push, and is written to only if values are handed over.
    pub(super) unsafe fn overflow<R: Ring>(&self, ring: &mut R, src: *mut u8) -> Step {
        // SAFETY: by the caller. Only a ring that could not grow is full, so that it may rotate.
        unsafe {
            match ring.grow_within_limit() {
                Grown::Room => {
                    ring.push(src);
                    return Step::Done(null_mut());
                }
                Grown::AtLimit => {}
                Grown::NoMemory => return Step::NoMemory,
            }
            if self.overflow == Overflow::Refuse {
                return Step::Full;
            }
            self.note();
            let evicts = self.overflow == Overflow::DropOldest && ring.len() > 0;
            if self.hand_over {
                if evicts {
                    ring.rotate(src);
                }
                return Step::Left;
            }
            if evicts {
                ring.pop(null_mut());
                ring.push(src);
            }
            Step::Done(null_mut())
        }
    }

    /// Whether a send always succeeds.
    pub fn drops(&self) -> bool {
        self.overflow != Overflow::Refuse
    }

    /// Whether a dropped value is left to its sender.
    pub fn hands_over(&self) -> bool {
        self.hand_over
    }

    /// What a step of [`overflow`](Policy::overflow) is to a plain send. Under the channel's lock.
    pub(super) fn outcome(&self, step: Step, deadline: i64) -> Stayed {
        match step {
            Step::Full => {
                self.note();
                if deadline == NOWAIT { Error::WouldBlock } else { Error::Limit }.into()
            }
            Step::NoMemory => Error::NoMemory.into(),
            _ => Stayed::Left,
        }
    }

    /// Under the channel's lock, which makes the two steps one.
    fn note(&self) {
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Values dropped so far. A snapshot.
    pub fn dropped(&self) -> u64 {
        if self.drops() {
            self.count.load(Ordering::Relaxed)
        } else {
            0
        }
    }

    /// Sends refused so far. A snapshot.
    pub fn refused(&self) -> u64 {
        if self.drops() {
            0
        } else {
            self.count.load(Ordering::Relaxed)
        }
    }
}

impl<R: Ring> Core<R> {
    /// What it does with values for which there is no room, unless their senders wait.
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// A send that has found neither a receiver nor a free slot.
    ///
    /// # Safety
    /// The lock is held; `src` is as for a send.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn overflow_locked(&self, policy: &Policy, src: *mut u8) -> Step {
        // SAFETY: by the caller; whoever sends on a channel whose policy hands values over lets us write to `src`.
        unsafe {
            let step = policy.overflow(self.ring(), src);
            if matches!(step, Step::Done(_) | Step::Left) {
                self.note_len();
            }
            step
        }
    }

    /// Ends a plain send for which `overflow_locked` has not made room.
    ///
    /// # Safety
    /// The lock is held; it is released here.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn overflowed(&self, step: Step, deadline: i64) -> Result<(), Stayed> {
        let stayed = self.policy.as_ref().map_or(Error::WouldBlock.into(), |p| p.outcome(step, deadline));
        if stayed == Stayed::Left {
            sched::announce();
        }
        // SAFETY: by the caller.
        unsafe { self.header().lock().unlock() };
        // A send that fails is a call like others: who repeats it gives way (G-11).
        sched::checkpoint(deadline != NOWAIT);
        Err(stayed)
    }
}
