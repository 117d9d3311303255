//! Signals, as far as macOS has them its own way.
//!
//! **Where it sits.** Behind `signal.rs`; calls libc.

#[cfg(target_arch = "aarch64")]
#[path = "macos_aarch64.rs"]
mod machine;
#[cfg(target_arch = "x86_64")]
#[path = "macos_x86_64.rs"]
mod machine;

pub(super) use machine::instruction;

/// How many bytes the kernel needs on a stack for the registers it saves.
pub(super) fn min_stack() -> usize {
    libc::MINSIGSTKSZ
}

/// Where this thread's errno is.
pub(super) fn errno() -> *mut i32 {
    // SAFETY: takes nothing and gives an address.
    unsafe { libc::__error() }
}
