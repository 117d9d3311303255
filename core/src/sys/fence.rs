//! An asymmetric barrier: free for the side that runs often, expensive for the rare one.
//!
//! **Where it sits.** Called by `RawLock`, by `BiasedLock` and by the run queue's owner-biased lock; calls the
//! platform's process-wide barrier (`membarrier` on Linux).
//!
//! Two threads that each write one variable and then read the other's (Dekker's pattern) need a full
//! barrier between the write and the read, or both may read the old values. [`light_fence`] and
//! [`heavy_fence`] are a pair of such barriers: when one thread runs the light and another the heavy
//! one, at least one of the two sees what the other wrote before its fence. Two light fences promise
//! nothing to each other.
//!
//! With the kernel's help the light side is nothing but a barrier for the compiler: the heavy side asks
//! the kernel to make every running thread of the process execute a full barrier, and a thread that
//! is not running did so when it was switched out. Whatever point of the light side's program the
//! barrier hits, it falls before the read (which then sees the heavy side's write) or after the
//! write (which the heavy side then sees). Without the kernel's help, both are full barriers.
//!
//! # State
//!
//! `MODE`: `UNKNOWN` → `ASYMMETRIC` or `SYMMETRIC`, once, under `ONCE`.
//!
//! # Invariants
//!
//! - **F1** A light fence leaves the full barrier out only if it read `ASYMMETRIC`, or in `sleepers.rs` or `bias.rs` what follows from it.
//! - **F2** A heavy fence never runs while the mode is `UNKNOWN`: it decides it first. So a heavy
//!   fence that does without the kernel read `SYMMETRIC`, and since the mode changes only once, no
//!   light fence ever read `ASYMMETRIC`. A light fence that read `UNKNOWN` is a full barrier, which
//!   fits both.
//!
//! # Orderings
//!
//! `MODE` is read Relaxed: it guards no data, F1 and F2 need only that it changes once.

use super::faults::{self, Kind};
use crate::cell::fence;
use std::sync::atomic::{compiler_fence, AtomicU8, Ordering};
use std::sync::Once;

const UNKNOWN: u8 = 0;
const ASYMMETRIC: u8 = 1;
const SYMMETRIC: u8 = 2;

/// Which barriers are in use. Not of `crate::cell`: it outlives the executions of a model, under which
/// it is always `SYMMETRIC`.
static MODE: AtomicU8 = AtomicU8::new(UNKNOWN);
static ONCE: Once = Once::new();

/// Whether light fences may be light at all: not when a tool has to see the barriers.
const ALLOWED: bool = cfg!(not(any(loom, zk_tsan, miri)));

/// Decides between the two modes, once.
pub(super) fn init() {
    ONCE.call_once(|| {
        let kernel_helps = ALLOWED && !faults::hit(Kind::Membarrier) && super::os::barrier_register();
        MODE.store(if kernel_helps { ASYMMETRIC } else { SYMMETRIC }, Ordering::Relaxed);
        if kernel_helps {
            super::sleepers::fences_are_light();
        }
    });
}

/// The barrier of the frequent side.
#[inline(always)]
pub(crate) fn light_fence() {
    if MODE.load(Ordering::Relaxed) == ASYMMETRIC {
        // SeqCst: the compiler keeps every access on its side; pairs with the kernel's barrier in
        // `heavy_fence`. Anything weaker lets a load move above an earlier store.
        compiler_fence(Ordering::SeqCst);
    } else {
        // SeqCst: pairs with the fence in `heavy_fence`; store-then-load order exists in no weaker one.
        fence(Ordering::SeqCst);
    }
}

/// A light fence where it is known to be light, and the first half of one otherwise: whoever then finds that it was not calls
/// [`light_fence`].
#[inline(always)]
pub(crate) fn lightest_fence() {
    // SeqCst: as in `light_fence`.
    compiler_fence(Ordering::SeqCst);
}

/// Whether [`lightest_fence`] is a whole one from now on. Where it is not, it may become one.
pub(crate) fn are_fences_light() -> bool {
    ALLOWED && MODE.load(Ordering::Relaxed) == ASYMMETRIC
}

/// Whether [`known_light_fence`] is one.
pub(super) fn light_fences_known() -> bool {
    !ALLOWED || MODE.load(Ordering::Relaxed) == ASYMMETRIC
}

/// A light fence for who has seen [`light_fences_known`], or has it from somebody who has.
#[inline(always)]
pub(super) fn known_light_fence() {
    if ALLOWED {
        // SeqCst: as in `light_fence`.
        compiler_fence(Ordering::SeqCst);
    } else {
        // SeqCst: as in `light_fence`.
        fence(Ordering::SeqCst);
    }
}

/// The barrier of the rare side. Costs about a microsecond where the light one is free.
#[cold]
#[inline(never)]
pub(crate) fn heavy_fence() {
    if MODE.load(Ordering::Relaxed) == UNKNOWN {
        init();
    }
    if MODE.load(Ordering::Relaxed) == ASYMMETRIC {
        super::os::barrier();
    } else {
        // SeqCst: pairs with the fence in `light_fence`, and is as strong for the same reason.
        fence(Ordering::SeqCst);
    }
}
