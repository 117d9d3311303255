//! Linux: futex, membarrier, lightweight stack guards, CPU affinity.
//!
//! **Where it sits.** The platform half of `sys`; `macos.rs` offers the same names.

use super::faults::{self, Kind};
use super::signal::keep_errno;
use super::{cgroup, Wait};
use crate::cell::AtomicU32;
use std::io;
use std::ptr;

/// `madvise` advice of Linux 6.13: pages fault on access without a mapping of their own.
pub(super) const MADV_GUARD_INSTALL: libc::c_int = 102;

/// Sleeps while `*word == expected`, until a [`futex_wake`] on the same word, a signal, or `deadline`
/// (monotonic nanoseconds; `i64::MAX`: none). May also return [`Wait::Woken`] for no reason. A deadline that has passed is told
/// however many signals come.
#[inline(never)]
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, deadline: i64) -> Wait {
    if faults::hit(Kind::Futex) && deadline > super::now() {
        return Wait::Interrupted;
    }
    // A deadline before the clock's origin is as past as one at it, and the kernel refuses it.
    let ns = deadline.max(0);
    let limit = libc::timespec { tv_sec: ns / 1_000_000_000, tv_nsec: ns % 1_000_000_000 };
    let limit = if deadline == i64::MAX { ptr::null() } else { &raw const limit };
    let error = keep_errno(|| {
        // SAFETY: `word` is a valid futex word for the call, `limit` null or valid. The bit set variant
        // takes absolute time on the monotonic clock.
        let result = unsafe {
            libc::syscall(
                libc::SYS_futex,
                ptr::from_ref(word),
                libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
                expected,
                limit,
                ptr::null::<u32>(),
                libc::FUTEX_BITSET_MATCH_ANY,
            )
        };
        if result == 0 {
            return None;
        }
        io::Error::last_os_error().raw_os_error()
    });
    match error {
        None | Some(libc::EAGAIN) => Wait::Woken,
        Some(libc::ETIMEDOUT) => Wait::TimedOut,
        Some(libc::EINTR) => Wait::Interrupted,
        other => super::fatal(&format!("futex wait refused: error {other:?}")),
    }
}

/// Wakes up to `n` threads that sleep on `word`, and says how many it woke.
#[inline(never)]
pub(crate) fn futex_wake(word: &AtomicU32, n: u32) -> u32 {
    let n = i32::try_from(n).unwrap_or(i32::MAX);
    // SAFETY: the kernel uses the address of the word only to find the sleepers.
    let woken =
        unsafe { libc::syscall(libc::SYS_futex, ptr::from_ref(word), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, n) };
    u32::try_from(woken).unwrap_or(0)
}

/// As [`futex_wake`], for a word that may be gone by now: only its address is used. Waking an address
/// at which nobody sleeps does nothing, and who sleeps there for another reason looks at its word again.
#[inline(never)]
pub(crate) fn futex_wake_addr(word: *const AtomicU32, n: i32) {
    let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel checks the address itself.
    unsafe { libc::syscall(libc::SYS_futex, word, op, n) };
}

/// Registers this process for [`barrier`]; says whether the kernel has it and lets us.
#[inline(never)]
pub(super) fn barrier_register() -> bool {
    // SAFETY: no pointers involved.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) };
    result == 0
}

/// Makes every thread of this process that is running now execute a full memory barrier, before it
/// returns.
#[inline(never)]
pub(super) fn barrier() {
    // SAFETY: no pointers involved.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) };
    // After a successful registration it can only fail when the kernel is out of memory for a
    // moment, or when a sandbox came later. The first passes, the second must not go unnoticed.
    if result != 0 {
        barrier_again();
    }
}

/// Tries a barrier that failed again, for a while.
#[cold]
fn barrier_again() {
    for _ in 0..1000 {
        std::thread::yield_now();
        // SAFETY: no pointers involved.
        let result = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) };
        if result == 0 {
            return;
        }
    }
    super::fatal("membarrier was registered and is now refused")
}

/// Gives the memory behind pages back; they read as zeros when touched next.
///
/// # Safety
///
/// The pages are part of a mapping of `map_reserve` and nobody needs what is in them.
#[inline(never)]
pub(crate) unsafe fn advise_dontneed(addr: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller owns the pages and gives their content up.
    match unsafe { libc::madvise(addr.cast(), len, libc::MADV_DONTNEED) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Keeps a mapping free of huge pages, which would commit 2 MiB at the first touch of any stack in it.
///
/// # Safety
///
/// The pages are part of a mapping of `map_reserve`.
#[inline(never)]
pub(crate) unsafe fn advise_nohugepage(addr: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the advice changes no content; the caller owns the pages.
    match unsafe { libc::madvise(addr.cast(), len, libc::MADV_NOHUGEPAGE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Asks for huge pages in a mapping that will be filled from end to end: one fault where there would be 512.
///
/// # Safety
///
/// The pages are part of a mapping of `map_reserve`.
#[inline(never)]
pub(crate) unsafe fn advise_hugepage(addr: *mut u8, len: usize) {
    // SAFETY: the advice changes no content; the caller owns the pages. A refusal leaves small pages, which serve as well.
    let _ = unsafe { libc::madvise(addr.cast(), len, libc::MADV_HUGEPAGE) };
}

/// Makes pages fault on access without splitting the mapping they are in.
///
/// Errors: `EINVAL` on kernels before 6.13 and in locked memory.
///
/// # Safety
///
/// The pages are part of a mapping of `map_reserve` and nobody needs what is in them.
#[inline(never)]
pub(crate) unsafe fn guard_install(addr: *mut u8, len: usize) -> io::Result<()> {
    if faults::hit(Kind::Guard) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: the caller owns the pages and gives their content up.
    match unsafe { libc::madvise(addr.cast(), len, MADV_GUARD_INSTALL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The system's number of the calling thread, as tools show it.
#[inline]
pub(crate) fn gettid() -> i32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::gettid() }
}

/// How many CPUs this process may use at once: those of its affinity mask, but no more than the quota
/// of its control groups rounded up, the tightest of all that can be seen (rule G-05). A quota counts
/// as two at least, so that one goroutine that spins does not stop all others. At least 1.
pub(crate) fn cpus() -> usize {
    let allowed = affinity().max(1);
    match cgroup::quota() {
        Some(quota) => allowed.min(quota.max(2)),
        None => allowed,
    }
}

/// The number of CPUs in the calling thread's affinity mask.
fn affinity() -> usize {
    // 1024 CPUs at first; the kernel refuses a mask that is shorter than its own.
    for words in [16_usize, 128, 1024] {
        let mut mask = vec![0_u64; words];
        // SAFETY: the kernel writes at most the given number of bytes.
        let result = unsafe { libc::sched_getaffinity(0, words * 8, mask.as_mut_ptr().cast()) };
        if result == 0 {
            return mask.iter().map(|word| word.count_ones() as usize).sum();
        }
    }
    // SAFETY: no pointers involved.
    let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(online).unwrap_or(1)
}
