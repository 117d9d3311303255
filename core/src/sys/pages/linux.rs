//! Many ranges in one call, on Linux.
//!
//! **Where it sits.** Behind `pages.rs`; calls libc.

use super::{Range, BATCH};
use crate::sys::faults::{self, Kind};

/// [`guard_install`](crate::sys::guard_install) for up to [`BATCH`] ranges in one system call. False when the
/// kernel refuses, after which any of the ranges may or may not have been done; doing one again does no harm.
///
/// # Safety
///
/// The pages are part of mappings of `map_reserve` and nobody needs what is in them.
pub(crate) unsafe fn guard_install_batch(ranges: &[Range]) -> bool {
    // SAFETY: the caller owns the pages and gives their content up.
    !faults::hit(Kind::Guard) && unsafe { advise_batch(ranges, crate::sys::os::MADV_GUARD_INSTALL) }
}

/// [`advise_dontneed`](crate::sys::advise_dontneed) for up to [`BATCH`] ranges in one system call. False as for
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
    // SAFETY: the list has as many items as said; the caller vouches for what the advice does.
    let call = |process: libc::c_int| unsafe {
        libc::syscall(libc::SYS_process_madvise, process, list.as_ptr(), ranges.len(), advice, 0)
            == total as libc::c_long
    };
    if call(PIDFD_SELF) {
        return true;
    }
    // The descriptor is not kept: after a fork it would mean the parent.
    // SAFETY: a descriptor of our own is opened, used and closed; no memory is involved.
    unsafe {
        let me = libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) as libc::c_int;
        if me < 0 {
            return false;
        }
        let done = call(me);
        libc::close(me);
        done
    }
}

/// Stands for the calling thread's process where a descriptor is expected, since Linux 6.14 (`linux/pidfd.h`); older kernels say `EBADF`.
const PIDFD_SELF: libc::c_int = -10_000;

/// How many mappings a process may have: `vm.max_map_count`, or its usual value if that cannot be read.
pub(crate) fn max_map_count() -> usize {
    std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(65_530)
}
