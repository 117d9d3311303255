//! The call that can be left, on aarch64.
//!
//! *Where it sits*: see `escape.rs`.

use super::{Called, Escape};
use core::arch::asm;
use core::ffi::c_void;

/// This CPU has it.
pub const SUPPORTED: bool = true;

/// Calls `f(arg)`. True: it was left by [`leave`].
///
/// # Safety
/// `f(arg)` is sound to call; `to` is used by nobody else until this returns.
#[inline(never)]
pub unsafe fn call(to: *mut Escape, f: Called, arg: *mut c_void) -> bool {
    let left: u64;
    // SAFETY: sp is aligned for a call and the same at both labels. All registers are declared as clobbered but x19 and x29:
    // a callee keeps them, and who leaves restores them from the four words. v8 to v15 are declared whole.
    unsafe {
        asm!(
            "adr x9, 2f",
            "mov x10, sp",
            "stp x10, x29, [x0]",
            "stp x19, x9, [x0, #16]",
            "mov x0, x1",
            "blr x2",
            "mov x0, #0",
            "b 3f",
            "2:",
            "hint #38", // bti jc: the place may be jumped to
            "mov x0, #1",
            "3:",
            inout("x0") to => left,
            inout("x1") arg => _,
            inout("x2") f => _,
            out("x20") _, out("x21") _, out("x22") _, out("x23") _, out("x24") _,
            out("x25") _, out("x26") _, out("x27") _, out("x28") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            clobber_abi("C"),
        );
    }
    left != 0
}

/// Continues after the [`call`] that filled `to`, on this very stack.
///
/// # Safety
/// That call is in progress further up this stack; no frame in between has anything to clean up.
pub unsafe fn leave(to: *const Escape) -> ! {
    // SAFETY: the caller vouches for `to`; nothing of this frame is used afterwards.
    unsafe {
        asm!(
            "ldp x10, x29, [x0]",
            "ldp x19, x16, [x0, #16]",
            "mov sp, x10",
            "br x16",
            in("x0") to,
            options(noreturn),
        );
    }
}
