//! The standard library's atomics and cells, under the names of `crate::cell`.
//!
//! **Where it sits.** Used by `cell.rs` in every build but those of the model checker.

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::atomic::{
    fence, AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicU8, AtomicUsize, Ordering,
};
pub(crate) use std::thread::yield_now;

/// How often a short lock looks again before it sleeps: 200 to 600 ns on current x86-64, where the
/// hint takes 10 to 30 ns. Many times the length of the critical sections it guards.
pub(crate) const SPINS: u32 = 20;

/// How often a lock that goes to sleep with a process-wide barrier looks before: 6 to 19 µs in all, some times what such a sleep costs.
pub(crate) const LOOKS: u32 = 10;

/// For how many turns of the hint it waits between two looks: about a microsecond. Who finds it taken competes with somebody who uses it
/// over and over. That one gets dozens of turns done in the meantime, and so does who waits in his turn: each change of hands costs both
/// some hundred nanoseconds for the cache lines.
pub(crate) const PAUSE: u32 = 64;

/// For how many turns of the hint the owner of a lock is left undisturbed by who wants it: about two microseconds, in which it does some
/// hundred uses of it. The longer, the less the cache lines cost that go with it.
pub(crate) const TURN: u32 = 128;

/// For how many turns who has offered a lock leaves it alone: until the other one has it, and has made itself the owner.
pub(crate) const AWAY: u32 = 32;

/// How often somebody looks for the answer of the owner that it has asked: for some 10 µs in all, which is what it costs to do without.
pub(crate) const ANSWER: u32 = 150;

/// Turns of the hint between two of these looks.
pub(crate) const GLANCE: u32 = 4;

/// Plain shared memory whose exclusion is proven by the code around it.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T: ?Sized>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    /// Wraps `value`.
    #[inline(always)]
    pub(crate) const fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }
}

impl<T: ?Sized> UnsafeCell<T> {
    /// Calls `f` with the address of the value. The caller has shared access for as long as `f`
    /// reads through it.
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Calls `f` with the address of the value. The caller has sole access for as long as `f`
    /// uses it.
    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
