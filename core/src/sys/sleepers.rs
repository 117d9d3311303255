//! Who sleeps at a channel's lock: counted beside the locks, in memory that stays.
//!
//! **Where it sits.** Called by `RawLock` alone. A lock may be freed as soon as it is given away, so whoever gives it away looks
//! here, and not into the lock, for somebody to wake.
//!
//! # State
//!
//! `ALL`: how many threads sleep at any lock, or are about to, and the bit `FENCED` unless light fences are nothing but barriers for
//! the compiler. So zero says both things an unlock wants to know: it has issued its fence, and there is nobody to wake.
//! `AT`: the same number by the lock's address, several addresses to a place. A place that counts somebody else's sleeper costs a
//! wake-up in vain, no more.
//!
//! # Orderings
//!
//! All Relaxed: the fences of `RawLock`'s protocol order the counts. `FENCED` goes away once, after the kernel has agreed to issue
//! the barriers of the other side.

use crate::cell::Ordering;

#[cfg(not(loom))]
use std::sync::atomic::AtomicU32;

#[cfg(loom)]
use crate::cell::AtomicU32;

/// Places by address; a power of two. One for the model checker: all locks meet there, and no run depends on addresses.
const PLACES: usize = if cfg!(loom) { 1 } else { 256 };

/// In `ALL`: a light fence has to be a full one.
const FENCED: u32 = 1 << 31;

/// A count on a cache line of its own: it is read at every unlock.
#[repr(align(64))]
struct Line(AtomicU32);

#[cfg(not(loom))]
static ALL: Line = Line(AtomicU32::new(FENCED));
#[cfg(not(loom))]
static AT: [AtomicU32; PLACES] = [const { AtomicU32::new(0) }; PLACES];

#[cfg(loom)]
loom::lazy_static! {
    static ref ALL: Line = Line(AtomicU32::new(FENCED));
    static ref AT: [AtomicU32; PLACES] = std::array::from_fn(|_| AtomicU32::new(0));
}

/// The place of a lock. Locks lie on multiples of eight and mostly on different cache lines.
#[inline(always)]
fn at(addr: usize) -> &'static AtomicU32 {
    &AT[((addr >> 3) ^ (addr >> 9) ^ (addr >> 15)) & (PLACES - 1)]
}

/// Whether a barrier for the compiler was fence enough, and nobody sleeps at any lock.
#[inline(always)]
pub(super) fn nobody() -> bool {
    ALL.0.load(Ordering::Relaxed) == 0
}

/// From now on light fences are barriers for the compiler.
pub(super) fn fences_are_light() {
    ALL.0.fetch_and(!FENCED, Ordering::Relaxed);
}

/// Whether somebody may sleep at the lock at `addr`.
pub(super) fn any_at(addr: usize) -> bool {
    at(addr).load(Ordering::Relaxed) != 0
}

/// The caller is about to sleep at the lock at `addr`.
pub(super) fn enter(addr: usize) {
    at(addr).fetch_add(1, Ordering::Relaxed);
    ALL.0.fetch_add(1, Ordering::Relaxed);
}

/// The caller has got the lock.
pub(super) fn leave(addr: usize) {
    ALL.0.fetch_sub(1, Ordering::Relaxed);
    at(addr).fetch_sub(1, Ordering::Relaxed);
}
