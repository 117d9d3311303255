//! Whether a switch has more to do than to switch.
//!
//! *Where it sits*: layer 0, calls nothing. Asked at every switch, once; said by who has something to do there: `sanitize`, if a sanitizer looks on,
//! `cxx`, if there is the run-time library of C++, and `stack`, if some stacks have no guard. All of them are rare, and each would
//! cost every switch a load and a branch of its own, or two.
//!
//! # State
//!
//! One flag, which never goes back. What has to be done before *and* after a switch is known before the first one: so whoever has done the one half does
//! the other, without looking again.
//!
//! # Orderings
//!
//! Relaxed: the flag guards no data.

use std::sync::atomic::{AtomicBool, Ordering};

static NEEDED: AtomicBool = AtomicBool::new(false);

/// From now on there is something to do.
pub(crate) fn needed() {
    NEEDED.store(true, Ordering::Relaxed);
}

/// Whether there is.
#[inline(always)]
pub(crate) fn are_needed() -> bool {
    NEEDED.load(Ordering::Relaxed)
}
