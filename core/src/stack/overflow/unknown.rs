//! Where the interrupted instruction's address is not known how to read: zero, so that faults are
//! told apart by their addresses alone.
//!
//! *Where it sits.* Layer 1, behind `overflow`. Calls nothing.

/// # Safety
/// None is needed; the twins of this function need a valid context.
pub unsafe fn ip(_context: *const libc::ucontext_t) -> usize {
    0
}
