//! Pages of memory, many at a time, and what the system knows about them.
//!
//! **Where it sits.** Called by `stack` through `sys`; calls `libc`. Single ranges are in
//! `unix.rs`, `linux.rs` and `macos.rs`.

use super::page_size;
use std::io;

#[cfg(target_os = "linux")]
#[path = "pages/linux.rs"]
mod batch;
#[cfg(target_os = "macos")]
#[path = "pages/macos.rs"]
mod batch;

pub(crate) use batch::*;

/// The error numbers for memory that is not to be had, and for a size that makes no sense.
pub(crate) const NO_MEMORY: i32 = libc::ENOMEM;
pub(crate) const INVALID: i32 = libc::EINVAL;

/// A range of pages: address and length in bytes, both multiples of the page size.
pub(crate) type Range = (usize, usize);

/// The most ranges that one call takes. Their lists lie on the stack of the goroutine that happens to need a new stack: more of them,
/// and one goroutine in so many would commit a second page for good.
pub(crate) const BATCH: usize = 32;

/// How many bytes of the pages from `from` up to `to` are in memory.
#[inline(never)]
pub(crate) fn resident(from: usize, to: usize) -> usize {
    const STEP: usize = 256;
    let page = page_size();
    let mut bytes = 0;
    for at in (from..to).step_by(STEP * page) {
        let mut map = [0_u8; STEP];
        let len = (to - at).min(STEP * page);
        // SAFETY: `map` has a byte for each page of the range; the call reads nothing else.
        if unsafe { libc::mincore(at as *mut libc::c_void, len, map.as_mut_ptr().cast()) } == 0 {
            bytes += map.iter().filter(|b| **b & 1 != 0).count() * page;
        }
    }
    bytes
}

/// Whether the byte at `addr` can be read. The kernel is asked to, so nothing faults.
#[inline(never)]
pub(crate) fn readable(addr: usize) -> bool {
    // SAFETY: the kernel reads a path there or says that it cannot; what comes of the path is of no interest.
    let refused = unsafe { libc::access(addr as *const libc::c_char, libc::F_OK) } != 0;
    !(refused && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT))
}
