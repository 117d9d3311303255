//! The call that can be left, on x86-64 (System V).
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
    let left: u32;
    // SAFETY: rsp is aligned for a call on entry (no `nostack`) and is the same at both labels. All registers are declared
    // as clobbered but rbp and rbx: a callee keeps them, and who leaves restores them from the four words.
    unsafe {
        asm!(
            "mov [rdi], rsp",
            "mov [rdi + 8], rbp",
            "mov [rdi + 16], rbx",
            "lea rax, [rip + 2f]",
            "mov [rdi + 24], rax",
            "mov rdi, rsi",
            "call rdx",
            "xor eax, eax",
            "jmp 3f",
            "2:",
            "mov eax, 1",
            "3:",
            inout("rdi") to => _,
            inout("rsi") arg => _,
            inout("rdx") f => _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            lateout("eax") left,
            clobber_abi("sysv64"),
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
            "mov rsp, [rdi]",
            "mov rbp, [rdi + 8]",
            "mov rbx, [rdi + 16]",
            "jmp [rdi + 24]",
            in("rdi") to,
            options(noreturn),
        );
    }
}
