//! The interrupted instruction on aarch64 macOS.
//!
//! **Where it sits.** Behind `signal/macos.rs`; calls nothing.

/// # Safety
///
/// `context` is what the kernel passed to the running handler.
pub(in crate::sys) unsafe fn instruction(context: *const libc::ucontext_t) -> usize {
    // SAFETY: the caller vouches.
    unsafe { (*(*context).uc_mcontext).__ss.__pc as usize }
}
