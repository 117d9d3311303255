//! How a first frame is written for ELF.
//!
//! *Where it sits.* Layer 1, behind `arch/mod.rs`. Calls nothing.

/// Assembles the instructions of `zokor_context_entry` with everything around them: section, symbol, unwind entry.
///
/// The symbol is hidden, not local: with several codegen units the code that takes its address may sit in another
/// object file, and a shared library must not export it. A macro, because assembly text is put together before
/// there are types.
macro_rules! first_frame {
    ($($line:literal),* $(,)?) => {
        ::core::arch::global_asm!(
            ".pushsection .text.zokor_context_entry,\"ax\",@progbits",
            ".p2align 4",
            ".globl zokor_context_entry",
            ".hidden zokor_context_entry",
            ".type zokor_context_entry,@function",
            "zokor_context_entry:",
            ".cfi_startproc",
            $($line,)*
            ".cfi_endproc",
            ".size zokor_context_entry, . - zokor_context_entry",
            ".popsection",
        );
    };
}

pub(super) use first_frame;
