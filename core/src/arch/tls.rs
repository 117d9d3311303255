//! One pointer per OS thread, read and written without anything that could be kept across a switch.
//!
//! *Where it sits.* Layer 1, behind `arch/mod.rs`. Calls nothing; called wherever the running
//! worker is needed.
//!
//! A compiler may compute the address of a thread-local once and use it again later in the same
//! function: for it a function runs on one thread. A goroutine breaks that. gcc and clang are seen
//! to keep `&errno`, rustc the address inside `LocalKey::with`, and a function that returns the
//! address is no better when it is marked `#[inline(never)]`. So the access is an `asm!` block that
//! goes from the thread register to the *value* in one piece. It is not `pure`: the compiler
//! neither merges two of them nor moves one across a switch.
//!
//! The storage is a symbol of our own in `.tbss`, in the initial-exec model: the offset from the
//! thread register is a load from the GOT, fixed when the object is loaded. That is two loads, no
//! call, and it works in an executable, in a static library and in a shared library that is
//! opened with `dlopen`: glibc keeps some room for this, and eight bytes fit. (musl refuses to
//! open a library that uses this model; link it at start instead.)
//!
//! The symbol is defined once, in this crate, hidden: every copy of the inlined accessors in
//! other codegen units and crates of the same link refers to it, and a shared library
//! does not export it.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "tls/x86_64.rs"]
mod imp;

#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
#[path = "tls/aarch64.rs"]
mod imp;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "tls/portable.rs"]
mod imp;

pub use imp::{tls_get, tls_set};
