//! The call that can be left, where we have no assembly: it cannot.
//!
//! *Where it sits*: see `escape.rs`. `defer.rs` looks at [`SUPPORTED`] first.

use super::{Called, Escape};
use core::ffi::c_void;

/// This CPU has not.
pub const SUPPORTED: bool = false;

/// Calls `f(arg)`.
///
/// # Safety
/// `f(arg)` is sound to call.
pub unsafe fn call(_to: *mut Escape, f: Called, arg: *mut c_void) -> bool {
    // SAFETY: by the caller.
    unsafe { f(arg) };
    false
}

/// Never called: there is nowhere to go.
///
/// # Safety
/// None.
pub unsafe fn leave(_to: *const Escape) -> ! {
    std::process::abort()
}
