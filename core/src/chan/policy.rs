//! What a channel does with a value for which it has no room.
//!
//! *Where it sits*: layer 4, a field of a channel; used by `chan/core.rs` alone, under the channel's lock. A channel without a policy
//! lets its senders wait, and never asks here: only a send that finds neither a receiver nor a free slot does.
//!
//! The policy decides nothing else. A waiting receiver gets every value directly, order, close and drain are those of all
//! channels, and so is select: a send case on a channel that drops is always ready, one on a channel that refuses is
//! ready while there is room.

use super::core::Core;
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

/// What a policy has made of a send that found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Sent after all; nothing is left of it.
    Sent,
    /// Sent, and a value is dropped: it lies where the sent one lay, and the caller ends it after the lock is released (C5).
    Left,
    /// Not possible: a plain send fails, a select waits.
    Full,
    /// There is no memory for the value.
    NoMemory,
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
    pub(super) unsafe fn overflow<R: Ring>(&self, ring: &mut R, src: *mut u8) -> Ruling {
        // SAFETY: by the caller. Channels that drop have rings with all their slots, which are in use where it rotates.
        unsafe {
            match ring.grow_within_limit() {
                Grown::Room => {
                    ring.push(src);
                    return Ruling::Sent;
                }
                Grown::AtLimit => {}
                Grown::NoMemory => return Ruling::NoMemory,
            }
            if self.overflow == Overflow::Refuse {
                return Ruling::Full;
            }
            self.note();
            let evicts = self.overflow == Overflow::DropOldest && ring.len() > 0;
            if self.hand_over {
                if evicts {
                    ring.rotate(src);
                }
                return Ruling::Left;
            }
            if evicts {
                ring.pop(null_mut());
                ring.push(src);
            }
            Ruling::Sent
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
    pub(super) unsafe fn overflow_locked(&self, src: *mut u8) -> Ruling {
        let Some(policy) = &self.policy else { return Ruling::Full };
        // SAFETY: by the caller; whoever sends on a channel whose policy hands values over lets us write to `src`.
        unsafe {
            let ruling = policy.overflow(self.ring(), src);
            if matches!(ruling, Ruling::Sent | Ruling::Left) {
                self.note_len();
                sched::announce();
            }
            ruling
        }
    }

    /// The same for a plain send, to its end.
    ///
    /// # Safety
    /// As above; the lock is released here.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn send_by_policy(&self, src: *mut u8, deadline: i64) -> Result<(), Stayed> {
        // SAFETY: by the caller.
        let ruling = unsafe { self.overflow_locked(src) };
        if let (Ruling::Full, Some(policy)) = (ruling, &self.policy) {
            policy.note();
        }
        // SAFETY: by the caller.
        unsafe { self.header().unlock() };
        // A send that fails is a call like others: who repeats it gives way (G-11).
        sched::checkpoint(deadline != NOWAIT);
        match ruling {
            Ruling::Sent => Ok(()),
            Ruling::Left => Err(Stayed::Left),
            Ruling::Full if deadline == NOWAIT => Err(Error::WouldBlock.into()),
            Ruling::Full => Err(Error::Limit.into()),
            Ruling::NoMemory => Err(Error::NoMemory.into()),
        }
    }
}
