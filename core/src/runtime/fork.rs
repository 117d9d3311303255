//! What a fork means to the runtime.
//!
//! *Where it sits*: layer 3, a part of `runtime`, which has [`watch`] called once at its start.

use super::{look, FORKED, STATE};
use crate::cell::Ordering;
use crate::{dump, sys};

/// From now on the child of a fork knows that it has no runtime (SG-04).
pub(super) fn watch() {
    extern "C" fn child() {
        // Only the forking thread lives on: locks may be held for ever, workers are gone.
        STATE.store(FORKED, Ordering::Relaxed);
        look::nothing_to_see();
        crate::arch::tls_set(core::ptr::null_mut());
    }
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        if let Err(e) = sys::at_fork(child) {
            dump::notice(&format!("forks cannot be watched: {e}"));
        }
    });
}
