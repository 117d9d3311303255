//! macOS: the kernel's compare-and-wait, and what there is in place of Linux's extras.
//!
//! **Where it sits.** The platform half of `sys`; `linux.rs` offers the same names.

use super::faults::{self, Kind};
use super::Wait;
use crate::cell::AtomicU32;
use std::io;
use std::ptr;

/// Compare 32 bits and wait; errors come as negative results and leave `errno` alone.
const COMPARE_AND_WAIT: u32 = 1 | 0x0100_0000;
/// Wake all sleepers instead of one.
const WAKE_ALL: u32 = 0x100;

extern "C" {
    /// Sleeps while the word at `addr` is `value`, at most `timeout` nanoseconds (0: no limit). Since
    /// macOS 11; what libc++ and Rust's own locks stand on where the public call of macOS 14.4 is missing.
    fn __ulock_wait2(op: u32, addr: *mut libc::c_void, value: u64, timeout: u64, value2: u64) -> libc::c_int;
    /// Wakes one sleeper on `addr`, or all.
    fn __ulock_wake(op: u32, addr: *mut libc::c_void, value: u64) -> libc::c_int;
}

/// Sleeps while `*word == expected`, until a [`futex_wake`] on the same word, a signal, or `deadline`
/// (monotonic nanoseconds; `i64::MAX`: none). May also return [`Wait::Woken`] for no reason. A deadline that has passed is told
/// however many signals come.
#[inline(never)]
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, deadline: i64) -> Wait {
    if faults::hit(Kind::Futex) && deadline > super::now() {
        return Wait::Interrupted;
    }
    let timeout = match deadline {
        i64::MAX => 0,
        _ => match deadline.saturating_sub(super::now()) {
            ..=0 => return Wait::TimedOut,
            ns => ns.unsigned_abs(),
        },
    };
    let addr = ptr::from_ref(word).cast_mut().cast();
    // SAFETY: `word` is a valid word of 32 bits for the call.
    match unsafe { __ulock_wait2(COMPARE_AND_WAIT, addr, u64::from(expected), timeout, 0) } {
        0.. => Wait::Woken,
        error if error == -libc::ETIMEDOUT => Wait::TimedOut,
        error if error == -libc::EINTR => Wait::Interrupted,
        // The page was not resident for a moment: looking again brings it in.
        error if error == -libc::EFAULT => Wait::Woken,
        error => super::fatal(&format!("wait refused: error {}", -error)),
    }
}

/// Wakes up to `n` threads that sleep on `word`, and says how many it woke; if `n` is `u32::MAX`, at
/// least how many.
#[inline(never)]
pub(crate) fn futex_wake(word: &AtomicU32, n: u32) -> u32 {
    let addr = ptr::from_ref(word).cast_mut().cast();
    if n == u32::MAX {
        // SAFETY: the kernel uses the address of the word only to find the sleepers.
        let result = unsafe { __ulock_wake(COMPARE_AND_WAIT | WAKE_ALL, addr, 0) };
        return u32::from(result >= 0);
    }
    // SAFETY: as above.
    let wake_one = || unsafe { __ulock_wake(COMPARE_AND_WAIT, addr, 0) } >= 0;
    (0..n).take_while(|_| wake_one()).count() as u32
}

/// Wakes up to `n` sleepers of a word that may not exist any more: only its address is used.
#[inline(never)]
pub(crate) fn futex_wake_addr(word: *const AtomicU32, n: i32) {
    for _ in 0..n {
        // SAFETY: the kernel uses the address of the word only to find the sleepers.
        if unsafe { __ulock_wake(COMPARE_AND_WAIT, word.cast_mut().cast(), 0) } < 0 {
            return;
        }
    }
}

/// There is no process-wide barrier.
pub(super) fn barrier_register() -> bool {
    false
}

/// Never called, since `barrier_register` says no.
pub(super) fn barrier() {
    super::fatal("no process-wide barrier on this system")
}

/// Gives the memory behind pages back; they read as zeros when touched next. The advice of that name
/// keeps the content here, a new mapping in the same place does not.
///
/// # Safety
///
/// The pages are part of a mapping of `map_reserve` and nobody needs what is in them.
#[inline(never)]
pub(crate) unsafe fn advise_dontneed(addr: *mut u8, len: usize) -> io::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE | libc::MAP_FIXED;
    // SAFETY: the caller owns the pages that the new mapping replaces and gives their content up.
    match unsafe { libc::mmap(addr.cast(), len, protection, flags, -1, 0) } {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Huge pages are never used unasked here.
///
/// # Safety
///
/// None; the signature is that of the other systems.
pub(crate) unsafe fn advise_nohugepage(_addr: *mut u8, _len: usize) -> io::Result<()> {
    Ok(())
}

/// There is nothing to ask for here.
///
/// # Safety
///
/// None; the signature is that of the other systems.
pub(crate) unsafe fn advise_hugepage(_addr: *mut u8, _len: usize) {}

/// Guards without a mapping of their own do not exist here: always an error (`EINVAL`), as on a Linux
/// that is too old.
///
/// # Safety
///
/// None; the signature is that of the other systems.
pub(crate) unsafe fn guard_install(_addr: *mut u8, _len: usize) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::EINVAL))
}

/// The system's number of the calling thread, as tools show it, cut to 32 bits.
pub(crate) fn gettid() -> i32 {
    let mut id = 0_u64;
    // SAFETY: thread 0 means the caller; `id` is ours to write.
    unsafe { libc::pthread_threadid_np(0, &mut id) };
    id as i32
}

/// How many CPUs this process may use at once, at least 1. There are neither affinity masks nor quotas.
pub(crate) fn cpus() -> usize {
    // SAFETY: no pointers involved.
    let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(online).unwrap_or(1).max(1)
}
