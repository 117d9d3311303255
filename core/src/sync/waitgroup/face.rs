//! The wait group of Rust programs.
//!
//! *Where it sits*: over the raw group beside it.

use super::super::WaitError;
use super::RawWaitGroup;
use crate::error::FOREVER;
use crate::reason::Reason;

/// Waits for a collection of goroutines: add before they start, `done` at their ends, `wait` for all. Shared by reference;
/// usable from goroutines and plain threads together.
///
/// ```
/// use std::sync::{atomic::{AtomicU32, Ordering}, Arc};
/// let n = zokor::run(|| {
///     let wg = Arc::new(zokor::WaitGroup::new());
///     let n = Arc::new(AtomicU32::new(0));
///     for _ in 0..10 {
///         let n = n.clone();
///         wg.go(move || { n.fetch_add(1, Ordering::Relaxed); });
///     }
///     wg.wait();
///     n.load(Ordering::Relaxed)
/// });
/// assert_eq!(n, 10);
/// ```
#[derive(Default)]
pub struct WaitGroup {
    raw: RawWaitGroup,
}

impl std::fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitGroup").field("count", &self.raw.count()).finish_non_exhaustive()
    }
}

impl WaitGroup {
    /// Counter 0.
    pub const fn new() -> WaitGroup {
        WaitGroup { raw: RawWaitGroup::new() }
    }

    /// Adds to the counter; negative numbers take away. Add before the goroutine starts, not inside it.
    ///
    /// # Panics
    /// `sync: negative WaitGroup counter` if it would become negative (WG-02).
    pub fn add(&self, delta: i64) {
        assert!(self.raw.add(delta).is_ok(), "sync: negative WaitGroup counter");
    }

    /// Takes one from the counter.
    ///
    /// # Panics
    /// As [`add`](WaitGroup::add).
    pub fn done(&self) {
        assert!(self.raw.done().is_ok(), "sync: negative WaitGroup counter");
    }

    /// Waits until the counter is zero. Returns at once if it is.
    /// Not cancelable; [`wait_until`](WaitGroup::wait_until) is.
    pub fn wait(&self) {
        self.raw.wait_forever(Reason::WaitGroup);
    }

    /// As [`wait`](WaitGroup::wait), until `deadline` at most; ends when the goroutine's context does. False if either came first.
    pub fn wait_until(&self, deadline: std::time::Instant) -> bool {
        self.raw.wait(crate::clock::deadline(deadline)).is_ok()
    }

    /// As [`wait`](WaitGroup::wait), but ends when the goroutine's context does.
    ///
    /// # Errors
    /// `Cancelled`; members are left.
    pub fn wait_cancelable(&self) -> Result<(), WaitError> {
        Ok(self.raw.wait(FOREVER)?)
    }

    /// The counter. A snapshot.
    pub fn count(&self) -> u64 {
        self.raw.count()
    }

    /// Adds one, starts `f` in a goroutine, and takes one when it has ended, also by `goexit`. A panic of `f` is not contained: it
    /// follows the panic policy of the runtime, and where that lets the rest go on, takes one after its report (WG-07).
    ///
    /// # Panics
    /// As [`go`](fn@crate::go).
    #[track_caller]
    pub fn go<F>(self: &std::sync::Arc<Self>, f: F)
    where
        F: FnOnce() + Send + 'static,
    {
        self.add(1);
        let wg = self.clone();
        drop(crate::go(move || {
            crate::panic::body_reported(f);
            wg.done();
        }));
    }
}
