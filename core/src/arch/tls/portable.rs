//! The word per thread without assembly. Why that needs care: `arch/tls.rs`.
//!
//! *Where it sits.* Layer 1, behind `arch/tls.rs`. Calls std.
//!
//! The functions are never inlined and hand out the *value*, so the address of the
//! thread-local lives only between their first and last instruction, where no switch can happen.

use std::cell::Cell;

std::thread_local! {
    static WORD: Cell<*mut u8> = const { Cell::new(std::ptr::null_mut()) };
}

/// The word of this OS thread; null until it is set.
#[inline(never)]
pub fn tls_get() -> *mut u8 {
    WORD.with(Cell::get)
}

/// Sets the word of this OS thread.
#[inline(never)]
pub fn tls_set(p: *mut u8) {
    WORD.with(|w| w.set(p));
}
