//! The interrupted instruction on x86-64.
//!
//! **Where it sits.** Behind `signal.rs`; calls nothing.

/// # Safety
///
/// `context` is what the kernel passed to the running handler.
pub(in crate::sys) unsafe fn instruction(context: *const libc::ucontext_t) -> usize {
    // SAFETY: the caller vouches.
    unsafe { (*context).uc_mcontext.gregs[libc::REG_RIP as usize] as usize }
}
