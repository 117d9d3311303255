//! A worker as the gate knows it.
//!
//! *Where it sits*: layer 3, a field of `Worker`. Changed by the gate under its lock, looked at by everybody.
//!
//! # Orderings
//!
//! The word is cleared with Release and read with Acquire: what was prepared for the woken worker is visible to it. The
//! flags are Relaxed: they change under the gate's lock, or are read by the one who was woken after they were set.

use crate::cell::{const_new, AtomicBool, AtomicU32, Ordering};
use crate::sys;

/// A seat's word: it has a permit.
pub(super) const AWAKE: u32 = 0;
/// A seat's word: it sleeps until it gets one.
pub(super) const ASLEEP: u32 = 1;

/// A worker as the gate knows it.
pub struct Seat {
    /// Futex word (I2).
    pub(super) word: AtomicU32,
    /// Holds a permit. Changed under the lock.
    pub(super) permitted: AtomicBool,
    /// Whoever woke it has counted it as searching.
    pub(super) woken_to_search: AtomicBool,
    /// Serves one exclusive goroutine: not to be woken for the work of others. Changed under the lock.
    pub(super) exclusive: AtomicBool,
    /// The permit was taken while its worker was on a goroutine, and it has not noticed yet. Changed under the lock.
    pub(super) revoked: AtomicBool,
    /// While it waits for a permit: there is something that no other worker can run. Set by its worker before it queues, or under
    /// the lock.
    pub(super) pressing: AtomicBool,
}

impl Seat {
    const_new! {
        /// A seat without a permit.
        pub const fn new() -> Seat {
            Seat {
                word: AtomicU32::new(AWAKE),
                permitted: AtomicBool::new(false),
                woken_to_search: AtomicBool::new(false),
                exclusive: AtomicBool::new(false),
                revoked: AtomicBool::new(false),
                pressing: AtomicBool::new(false),
            }
        }
    }

    /// Whether its worker may run goroutines.
    #[inline(always)]
    pub fn is_permitted(&self) -> bool {
        self.permitted.load(Ordering::Relaxed)
    }

    /// Whether its worker may be on a goroutine: with a permit, or without because that was taken meanwhile.
    pub fn is_on_goroutine(&self) -> bool {
        self.is_permitted() || self.revoked.load(Ordering::Relaxed)
    }

    /// Takes over a permit that `Gate::wake_one` accounted for, on a new thread that begins by searching.
    pub fn adopt(&self) {
        self.permitted.store(true, Ordering::Relaxed);
        self.woken_to_search.store(true, Ordering::Relaxed);
    }

    /// Whether whoever woke this worker has counted it as searching; asked once after each wake-up.
    pub fn take_woken_to_search(&self) -> bool {
        self.woken_to_search.swap(false, Ordering::Relaxed)
    }

    /// Whether the worker serves one goroutine alone.
    pub fn is_exclusive(&self) -> bool {
        self.exclusive.load(Ordering::Relaxed)
    }

    /// Whether it was given a permit since it went to sleep.
    pub fn is_awake(&self) -> bool {
        // Acquire: pairs with the Release in `rouse`.
        self.word.load(Ordering::Acquire) == AWAKE
    }

    /// S4: sleeps until the word changes, the deadline, or a signal. Look again afterwards.
    pub fn doze(&self, deadline: i64) -> sys::Wait {
        sys::futex_wait(&self.word, ASLEEP, deadline)
    }

    /// Wakes its worker, which has been given a permit.
    pub(super) fn rouse(&self) {
        // Release: pairs with the Acquire in `is_awake`; what was prepared for the worker is visible to it.
        self.word.store(AWAKE, Ordering::Release);
        sys::futex_wake(&self.word, 1);
    }
}
