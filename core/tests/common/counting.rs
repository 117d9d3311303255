//! An allocator that counts, for the rules that something leaves no memory behind or gives it back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

/// Counts the bytes in use. A test that wants it makes it the global allocator.
pub struct Counting;

/// Bytes that were allocated and not given back.
pub static IN_USE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: hands over to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: by the caller.
        unsafe { System.dealloc(p, layout) }
    }
}
