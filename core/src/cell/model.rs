//! The model checker's atomics and cells, under the names of `crate::cell`.
//!
//! **Where it sits.** Used by `cell.rs` under `cfg(loom)` alone.

pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::atomic::{
    fence, AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicU8, AtomicUsize, Ordering,
};
pub(crate) use loom::thread::yield_now;

/// One look is enough to model a spin; more only multiply the executions.
pub(crate) const SPINS: u32 = 1;

/// As above.
pub(crate) const LOOKS: u32 = 1;

/// As above.
pub(crate) const PAUSE: u32 = 1;

/// As above.
pub(crate) const TURN: u32 = 1;

/// As above.
pub(crate) const AWAY: u32 = 1;

/// As above.
pub(crate) const ANSWER: u32 = 1;

/// As above.
pub(crate) const GLANCE: u32 = 1;

/// Runs a model with every interleaving of its threads that has at most `bound` preemptions, or as many as the environment says.
#[cfg(test)]
pub(crate) fn check(bound: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound.get_or_insert(bound);
    model.check(f);
}
