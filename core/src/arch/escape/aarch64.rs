//! The call that can be left, on aarch64.
//!
//! *Where it sits*: see `escape.rs`.

use super::super::object::function;
use super::{Called, Escape};
use core::arch::asm;
use core::ffi::c_void;

/// This CPU has it.
pub const SUPPORTED: bool = true;

// It saves what a callee keeps, notes where it stands, and calls: x0 has the Escape, x1 the function, x2 the argument. Whoever leaves comes to
// label 2 with sp as it was there and 1 in x0. The stack pointer does not move between the saves and the end, so one rule serves
// the unwinder throughout.
function!(
    "zokor_call_to_leave":
    "hint #34", // bti c: the place may be called
    "stp x29, x30, [sp, #-160]!",
    ".cfi_def_cfa_offset 160",
    ".cfi_offset x29, -160",
    ".cfi_offset x30, -152",
    "mov x29, sp", // the chain of frame pointers goes on
    "stp x19, x20, [sp, #16]",
    ".cfi_offset x19, -144",
    ".cfi_offset x20, -136",
    "stp x21, x22, [sp, #32]",
    ".cfi_offset x21, -128",
    ".cfi_offset x22, -120",
    "stp x23, x24, [sp, #48]",
    ".cfi_offset x23, -112",
    ".cfi_offset x24, -104",
    "stp x25, x26, [sp, #64]",
    ".cfi_offset x25, -96",
    ".cfi_offset x26, -88",
    "stp x27, x28, [sp, #80]",
    ".cfi_offset x27, -80",
    ".cfi_offset x28, -72",
    "stp d8, d9, [sp, #96]",
    ".cfi_offset d8, -64",
    ".cfi_offset d9, -56",
    "stp d10, d11, [sp, #112]",
    ".cfi_offset d10, -48",
    ".cfi_offset d11, -40",
    "stp d12, d13, [sp, #128]",
    ".cfi_offset d12, -32",
    ".cfi_offset d13, -24",
    "stp d14, d15, [sp, #144]",
    ".cfi_offset d14, -16",
    ".cfi_offset d15, -8",
    "adr x9, 2f",
    "mov x10, sp",
    "stp x10, x9, [x0]",
    "mov x0, x2",
    "blr x1",
    "mov x0, #0",
    "2:",
    "hint #38", // bti jc: the place may be jumped to
    "ldp x19, x20, [sp, #16]",
    "ldp x21, x22, [sp, #32]",
    "ldp x23, x24, [sp, #48]",
    "ldp x25, x26, [sp, #64]",
    "ldp x27, x28, [sp, #80]",
    "ldp d8, d9, [sp, #96]",
    "ldp d10, d11, [sp, #112]",
    "ldp d12, d13, [sp, #128]",
    "ldp d14, d15, [sp, #144]",
    "ldp x29, x30, [sp], #160",
    ".cfi_def_cfa_offset 0",
    "ret",
);

extern "C-unwind" {
    fn zokor_call_to_leave(to: *mut Escape, f: Called, arg: *mut c_void) -> u32;
}

/// Calls `f(arg)`. True: it was left by [`leave`]. An exception passes through.
///
/// # Safety
/// `f(arg)` is sound to call; `to` is used by nobody else until this returns.
pub unsafe fn call(to: *mut Escape, f: Called, arg: *mut c_void) -> bool {
    // SAFETY: by the caller.
    unsafe { zokor_call_to_leave(to, f, arg) != 0 }
}

/// Continues after the [`call`] that filled `to`, on this very stack.
///
/// # Safety
/// That call is in progress further up this stack; no frame in between has anything to clean up.
pub unsafe fn leave(to: *const Escape) -> ! {
    // SAFETY: the caller vouches for `to`; nothing of this frame is used afterwards.
    unsafe {
        asm!(
            "ldp x10, x16, [x0]",
            "mov sp, x10",
            "mov x0, #1",
            "br x16",
            in("x0") to,
            options(noreturn),
        );
    }
}
