//! Reading the interrupted instruction's address on x86-64 Linux.
//!
//! *Where it sits.* Layer 1, behind `overflow`. Calls nothing.

/// # Safety
/// `context` is what the kernel passed to a handler.
pub unsafe fn ip(context: *const libc::ucontext_t) -> usize {
    // SAFETY: the caller vouches.
    unsafe { (*context).uc_mcontext.gregs[libc::REG_RIP as usize] as usize }
}
