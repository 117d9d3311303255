//! How a function in assembly is written for ELF.
//!
//! *Where it sits.* Layer 1, behind `arch/mod.rs`. Calls nothing.

/// Assembles the instructions of a function with everything around them: section, symbol, unwind entry.
///
/// The symbol is hidden, not local: with several codegen units the code that takes its address may sit in another
/// object file, and a shared library must not export it. A macro, because assembly text is put together before
/// there are types.
macro_rules! function {
    ($name:literal: $($line:literal),* $(,)?) => {
        ::core::arch::global_asm!(
            ::core::concat!(".pushsection .text.", $name, ",\"ax\",@progbits"),
            ".p2align 4",
            ::core::concat!(".globl ", $name),
            ::core::concat!(".hidden ", $name),
            ::core::concat!(".type ", $name, ",@function"),
            ::core::concat!($name, ":"),
            ".cfi_startproc",
            $($line,)*
            ".cfi_endproc",
            ::core::concat!(".size ", $name, ", . - ", $name),
            ".popsection",
        );
    };
}

pub(super) use function;
