//! How goroutines are started: pinned to the worker that first runs them, or free to move.

/// One of the two mobilities.
pub trait Go: 'static {
    /// The name in the results.
    const NAME: &'static str;
    /// Starts a goroutine and lets go of it.
    fn go(f: impl FnOnce() + Send + 'static);
}

/// `zokor::go`.
pub struct Pinned;

impl Go for Pinned {
    const NAME: &'static str = "zokor-rust";
    #[inline]
    fn go(f: impl FnOnce() + Send + 'static) {
        drop(zokor::go(f));
    }
}

/// `zokor::go_migrating`.
pub struct Migrating;

impl Go for Migrating {
    const NAME: &'static str = "zokor-rust-migrating";
    #[inline]
    fn go(f: impl FnOnce() + Send + 'static) {
        // SAFETY: no workload keeps a thread-local, or a guard that knows its thread, across a call that parks.
        drop(unsafe { zokor::go_migrating(f) });
    }
}
