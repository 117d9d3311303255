//! How many channels there are, for tests that want to see everything given back.
//!
//! *Where it sits*: layer 4, called by `core` when a channel is made and when it goes. Builds without debug assertions do not count.

use crate::cell::{AtomicUsize, Ordering};

static LIVE: AtomicUsize = AtomicUsize::new(0);
const CHECKED: bool = cfg!(debug_assertions);

/// How many channels there are; `None` where nobody counts.
pub fn live() -> Option<usize> {
    CHECKED.then(|| LIVE.load(Ordering::Relaxed))
}

/// One channel, for as long as it lives: a part of it.
pub struct Counted(());

impl Counted {
    /// A channel is made.
    #[inline]
    pub fn new() -> Counted {
        if CHECKED {
            LIVE.fetch_add(1, Ordering::Relaxed);
        }
        Counted(())
    }
}

impl Drop for Counted {
    #[inline]
    fn drop(&mut self) {
        if CHECKED {
            LIVE.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
