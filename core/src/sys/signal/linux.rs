//! Signals, as far as Linux has them its own way.
//!
//! **Where it sits.** Behind `signal.rs`; calls libc.

#[cfg(target_arch = "aarch64")]
#[path = "linux_aarch64.rs"]
mod machine;
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
#[path = "unknown.rs"]
mod machine;
#[cfg(target_arch = "x86_64")]
#[path = "linux_x86_64.rs"]
mod machine;

pub(super) use machine::instruction;

/// How many bytes the kernel needs on a stack for the registers it saves. Larger than the constant of
/// that name where registers are wide.
pub(super) fn min_stack() -> usize {
    // SAFETY: reads a constant of the process; zero when the kernel does not say.
    let said = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    said.max(libc::MINSIGSTKSZ)
}

/// Where this thread's errno is.
pub(super) fn errno() -> *mut i32 {
    // SAFETY: takes nothing and gives an address.
    unsafe { libc::__errno_location() }
}
