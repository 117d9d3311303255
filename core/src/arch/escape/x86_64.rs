//! The call that can be left, on x86-64 (System V).
//!
//! *Where it sits*: see `escape.rs`.

use super::super::object::function;
use super::{Called, Escape};
use core::arch::asm;
use core::ffi::c_void;

/// This CPU has it.
pub const SUPPORTED: bool = true;

// It saves what a callee keeps, notes where it stands, and calls: rdi has the Escape, rsi the function, rdx the argument. Whoever leaves comes to
// label 2 with rsp as it was there and 1 in eax. The stack pointer does not move between the saves and the end, so one rule serves
// the unwinder throughout.
function!(
    "zokor_call_to_leave":
    "sub rsp, 56",
    ".cfi_def_cfa_offset 64",
    "mov [rsp + 48], rbp",
    ".cfi_offset rbp, -16",
    "mov [rsp + 40], rbx",
    ".cfi_offset rbx, -24",
    "mov [rsp + 32], r12",
    ".cfi_offset r12, -32",
    "mov [rsp + 24], r13",
    ".cfi_offset r13, -40",
    "mov [rsp + 16], r14",
    ".cfi_offset r14, -48",
    "mov [rsp + 8], r15",
    ".cfi_offset r15, -56",
    "lea rbp, [rsp + 48]", // the chain of frame pointers goes on
    "lea rax, [rip + 2f]",
    "mov [rdi], rsp",
    "mov [rdi + 8], rax",
    "mov rdi, rdx",
    "call rsi",
    "xor eax, eax",
    "2:",
    "mov r15, [rsp + 8]",
    "mov r14, [rsp + 16]",
    "mov r13, [rsp + 24]",
    "mov r12, [rsp + 32]",
    "mov rbx, [rsp + 40]",
    "mov rbp, [rsp + 48]",
    "add rsp, 56",
    ".cfi_def_cfa_offset 8",
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
            "mov rsp, [rdi]",
            "mov eax, 1",
            "jmp [rdi + 8]",
            in("rdi") to,
            options(noreturn),
        );
    }
}
