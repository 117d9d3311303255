//! The interrupted instruction where it is not known how to tell: zero, so that faults are told
//! apart by their addresses alone.
//!
//! **Where it sits.** Behind `signal/linux.rs`; calls nothing.

/// # Safety
///
/// None is needed here; the twins of this function read the context.
pub(in crate::sys) unsafe fn instruction(_context: *const libc::ucontext_t) -> usize {
    0
}
