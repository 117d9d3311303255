//! Many ranges in one call: macOS has none, so these refuse and ranges are done one by one.
//!
//! **Where it sits.** Behind `pages.rs`; calls nothing.

use super::Range;

/// Refuses.
///
/// # Safety
///
/// None is needed.
pub(crate) unsafe fn guard_install_batch(_ranges: &[Range]) -> bool {
    false
}

/// Refuses.
///
/// # Safety
///
/// None is needed.
pub(crate) unsafe fn advise_dontneed_batch(_ranges: &[Range]) -> bool {
    false
}

/// How many mappings a process may have. macOS has no such limit; this many are as good as none.
pub(crate) fn max_map_count() -> usize {
    1 << 24
}
