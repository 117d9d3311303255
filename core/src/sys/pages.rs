//! Pages of memory, many at a time, and what the system knows about them.
//!
//! **Where it sits.** Called by `stack` through `sys`; calls `libc` and `faults`. Linux. Single ranges
//! are in `unix.rs` and `linux.rs`.

use super::faults::{self, Kind};
use super::page_size;
use std::io;

/// A range of pages: address and length in bytes, both multiples of the page size.
pub(crate) type Range = (usize, usize);

/// The most ranges that one call takes.
pub(crate) const BATCH: usize = 64;

/// [`guard_install`](super::guard_install) for up to [`BATCH`] ranges in one system call. False when the kernel
/// refuses, after which any of the ranges may or may not have been done; doing one again does no harm.
///
/// # Safety
///
/// The pages are part of mappings of `map_reserve` and nobody needs what is in them.
pub(crate) unsafe fn guard_install_batch(ranges: &[Range]) -> bool {
    // SAFETY: the caller owns the pages and gives their content up.
    !faults::hit(Kind::Guard) && unsafe { advise_batch(ranges, super::os::MADV_GUARD_INSTALL) }
}

/// [`advise_dontneed`](super::advise_dontneed) for up to [`BATCH`] ranges in one system call. False as for
/// [`guard_install_batch`].
///
/// # Safety
///
/// The pages are part of mappings of `map_reserve` and nobody needs what is in them.
pub(crate) unsafe fn advise_dontneed_batch(ranges: &[Range]) -> bool {
    // SAFETY: the caller owns the pages and gives their content up.
    unsafe { advise_batch(ranges, libc::MADV_DONTNEED) }
}

/// Advice about this process's own memory by the call that takes many ranges. Kernels before 6.13 give
/// such advice about others only, and refuse these kinds.
#[inline(never)]
unsafe fn advise_batch(ranges: &[Range], advice: libc::c_int) -> bool {
    debug_assert!(ranges.len() <= BATCH);
    let mut list = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
    let mut total = 0;
    for (item, &(addr, len)) in list.iter_mut().zip(ranges) {
        *item = libc::iovec { iov_base: addr as *mut libc::c_void, iov_len: len };
        total += len;
    }
    // The descriptor is not kept: after a fork it would mean the parent.
    // SAFETY: the list has as many items as said; the caller vouches for what the advice does.
    unsafe {
        let me = libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) as libc::c_int;
        if me < 0 {
            return false;
        }
        let done = libc::syscall(libc::SYS_process_madvise, me, list.as_ptr(), ranges.len(), advice, 0);
        libc::close(me);
        done == total as libc::c_long
    }
}

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
        if unsafe { libc::mincore(at as *mut libc::c_void, len, map.as_mut_ptr()) } == 0 {
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

/// How many mappings a process may have: `vm.max_map_count`, or its usual value if that cannot be read.
pub(crate) fn max_map_count() -> usize {
    std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(65_530)
}
