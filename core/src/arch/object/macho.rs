//! How a function in assembly is written for Mach-O, where C names start with an underscore.
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
            ".pushsection __TEXT,__text,regular,pure_instructions",
            ".p2align 4",
            ::core::concat!(".globl _", $name),
            ::core::concat!(".private_extern _", $name),
            ::core::concat!("_", $name, ":"),
            ".cfi_startproc",
            $($line,)*
            ".cfi_endproc",
            ".popsection",
        );
    };
}

pub(super) use function;
