//! The hand-over of a goroutine from the worker that parks it to the worker that resumes it.
//!
//! *Where it sits*: layer 2, a field of `G`. The switch sets and clears it, whoever resumes the goroutine looks at it.
//!
//! A goroutine publishes itself and then leaves its stack, so whoever readies it may be faster than the switch: the next
//! worker can hold a goroutine whose registers are still in another CPU. One flag tells it when the context is complete.
//! No read-modify-write: the two never write at the same time.
//!
//! # State
//!
//! True from the decision to run the goroutine until its context is saved.
//!
//! # Invariants
//!
//! - **H1** [`take`](OnCpu::take) is called by the one who owns the goroutine (took it out of a queue) and found it saved.
//! - **H2** [`saved`](OnCpu::saved) is called once for each `take`, by the context that runs next on that worker, when
//!   nothing uses the old stack any more.
//!
//! # Orderings
//!
//! `saved` is Release and the looks are Acquire: the saved words and the stack are visible to the next worker. `take` is
//! Relaxed: the next to look has got the goroutine through a queue or a claim, which order it.

use crate::cell::{const_new, spin_loop, AtomicBool, Ordering, SPINS};

/// See the module's text.
pub struct OnCpu(AtomicBool);

impl OnCpu {
    const_new! {
        /// Not running.
        pub const fn new() -> OnCpu {
            OnCpu(AtomicBool::new(false))
        }
    }

    /// It is about to run (H1).
    #[inline(always)]
    pub fn take(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Its context is complete and its stack is left (H2).
    #[inline(always)]
    pub fn saved(&self) {
        // Release: pairs with the Acquire in `is_saved`; all that was done on the stack, and the saved words, come before.
        self.0.store(false, Ordering::Release);
    }

    /// It has ended: its header is its own again, nobody resumes it.
    #[inline(always)]
    pub fn ended(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether it can be resumed.
    #[inline(always)]
    pub fn is_saved(&self) -> bool {
        // Acquire: pairs with the Release in `saved`.
        !self.0.load(Ordering::Acquire)
    }

    /// Waits until it can be resumed: a few instructions, unless the kernel took that worker's CPU away. The caller is on
    /// its thread's own stack: on a goroutine's, two workers could wait for each other's.
    #[inline]
    pub fn wait_until_saved(&self) {
        let mut spins = 0;
        while !self.is_saved() {
            spins += 1;
            if spins < 10 * SPINS {
                spin_loop();
            } else {
                crate::cell::yield_now();
            }
        }
    }
}

#[cfg(all(test, loom))]
mod tests;
