//! What stacks ask of the system.
//!
//! *Where it sits.* Layer 1, behind `stack`. Calls libc. Ranges are `(address, length)`, page-aligned.

use std::io;

const MADV_GUARD_INSTALL: i32 = 102;

/// The most ranges one call takes.
pub const BATCH: usize = 64;

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

pub fn page_size() -> usize {
    // SAFETY: reads a constant of the system.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Address space that costs nothing until it is touched.
pub fn map(len: usize) -> Result<usize, i32> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: a new mapping at a place the system chooses touches nothing that exists.
    let p = unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if p == libc::MAP_FAILED {
        return Err(errno());
    }
    // A huge page would commit 2 MiB at the first touch. A kernel without huge pages refuses the advice, rightly.
    // SAFETY: the range has just been mapped.
    unsafe { libc::madvise(p, len, libc::MADV_NOHUGEPAGE) };
    Ok(p as usize)
}

/// # Safety
/// Nothing in the range is used any more.
pub unsafe fn unmap(addr: usize, len: usize) {
    // SAFETY: the caller vouches.
    unsafe { libc::munmap(addr as *mut _, len) };
}

/// # Safety
/// Nothing lives in the range.
pub unsafe fn guard_one((addr, len): (usize, usize)) -> Result<(), i32> {
    // SAFETY: the caller vouches.
    match unsafe { libc::madvise(addr as *mut _, len, MADV_GUARD_INSTALL) } {
        0 => Ok(()),
        _ => Err(errno()),
    }
}

/// # Safety
/// Nothing lives in the ranges.
pub unsafe fn guard_batch(ranges: &[(usize, usize)]) -> bool {
    // SAFETY: the caller vouches.
    unsafe { advise_batch(ranges, MADV_GUARD_INSTALL) }
}

/// # Safety
/// Nothing lives in the range.
pub unsafe fn protect_none((addr, len): (usize, usize)) -> Result<(), i32> {
    // SAFETY: the caller vouches.
    match unsafe { libc::mprotect(addr as *mut _, len, libc::PROT_NONE) } {
        0 => Ok(()),
        _ => Err(errno()),
    }
}

/// Gives the pages of the ranges back; they read as zero from now on.
///
/// # Safety
/// Nobody needs what is in the ranges.
pub unsafe fn give_back(ranges: &[(usize, usize)]) {
    // SAFETY: the caller vouches.
    unsafe {
        if ranges.len() > 1 && advise_batch(ranges, libc::MADV_DONTNEED) {
            return;
        }
        for &(addr, len) in ranges {
            libc::madvise(addr as *mut _, len, libc::MADV_DONTNEED);
        }
    }
}

/// One call for many ranges, where the kernel takes this advice for the caller's own memory.
unsafe fn advise_batch(ranges: &[(usize, usize)], advice: i32) -> bool {
    debug_assert!(ranges.len() <= BATCH);
    let mut iov = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
    let mut total = 0;
    for (v, &(addr, len)) in iov.iter_mut().zip(ranges) {
        *v = libc::iovec { iov_base: addr as *mut _, iov_len: len };
        total += len;
    }
    // The descriptor is not kept: after a fork it would mean the parent.
    // SAFETY: plain system calls; the caller vouches for what the advice does to the ranges.
    unsafe {
        let me = libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) as i32;
        if me < 0 {
            return false;
        }
        let done = libc::syscall(libc::SYS_process_madvise, me, iov.as_ptr(), ranges.len(), advice, 0);
        libc::close(me);
        done == total as libc::c_long
    }
}

/// Bytes of the range that are in memory.
pub fn resident(from: usize, to: usize) -> usize {
    const STEP: usize = 256;
    let page = page_size();
    let mut at = from;
    let mut bytes = 0;
    while at < to {
        let len = (to - at).min(STEP * page);
        let mut map = [0_u8; STEP];
        // SAFETY: `map` has a byte per page of the range; the call reads nothing else.
        if unsafe { libc::mincore(at as *mut _, len, map.as_mut_ptr().cast()) } == 0 {
            bytes += map.iter().filter(|b| **b & 1 != 0).count() * page;
        }
        at += len;
    }
    bytes
}

/// How many mappings a process may have.
pub fn max_map_count() -> usize {
    std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|s| s.trim().parse().ok()).unwrap_or(65530)
}
