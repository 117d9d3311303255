//! The word per thread on x86-64 ELF. Why it is assembly: `arch/tls.rs`.
//!
//! *Where it sits.* Layer 1, behind `arch/tls.rs`. Calls nothing.

use core::arch::{asm, global_asm};

global_asm!(
    ".pushsection .tbss.zokor_tls_word,\"awT\",@nobits",
    ".p2align 3",
    ".globl zokor_tls_word",
    ".hidden zokor_tls_word",
    ".type zokor_tls_word,@object",
    ".size zokor_tls_word, 8",
    "zokor_tls_word:",
    ".zero 8",
    ".popsection",
);

/// The word of this OS thread; null until it is set.
#[inline(always)]
pub fn tls_get() -> *mut u8 {
    let p: *mut u8;
    // SAFETY: reads eight bytes of this thread's own storage, which exists as long as the thread.
    unsafe {
        asm!(
            "mov {p}, [rip + zokor_tls_word@GOTTPOFF]",
            "mov {p}, fs:[{p}]",
            p = out(reg) p,
            options(nostack, preserves_flags, readonly),
        );
    }
    p
}

/// Sets the word of this OS thread.
#[inline(always)]
pub fn tls_set(p: *mut u8) {
    // SAFETY: writes eight bytes of this thread's own storage, which nothing else refers to.
    unsafe {
        asm!(
            "mov {t}, [rip + zokor_tls_word@GOTTPOFF]",
            "mov fs:[{t}], {p}",
            t = out(reg) _,
            p = in(reg) p,
            options(nostack, preserves_flags),
        );
    }
}
