//! What POSIX systems share: the clock, mappings, threads, writing to a descriptor.
//!
//! **Where it sits.** Called through `sys` by every layer; calls `libc` and `std::thread`.
//!
//! Functions that look at `errno` are never inlined: it is a thread-local, and a caller that is
//! switched to another thread must not have its address at hand.

use super::faults::{self, Kind};
use std::io;
use std::thread::JoinHandle;

/// Nanoseconds on the monotonic clock since some fixed point in the past.
#[inline]
#[allow(clippy::unnecessary_cast)] // the fields are narrower on 32-bit systems
pub(crate) fn now() -> i64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is ours to write; the monotonic clock exists on every system we run on, so the
    // call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as i64 * 1_000_000_000 + t.tv_nsec as i64
}

/// The size of a page in bytes, a power of two.
pub(crate) fn page_size() -> usize {
    // SAFETY: no pointers involved.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// Turns the result of a system call that says 0 or -1 into a `Result`.
fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Fails with `errno` if a fault of that kind is ordered.
fn injected(kind: Kind, errno: i32) -> io::Result<()> {
    if faults::hit(kind) {
        Err(io::Error::from_raw_os_error(errno))
    } else {
        Ok(())
    }
}

/// Reserves `len` bytes of zeroed private memory at an address of the system's choice, page-aligned
/// and page-wise committed at first touch. No swap space is set aside for it.
///
/// Errors: `ENOMEM` when the address space, a limit or the number of mappings is exhausted.
#[inline(never)]
pub(crate) fn map_reserve(len: usize) -> io::Result<*mut u8> {
    injected(Kind::Mmap, libc::ENOMEM)?;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address nobody uses touches nobody's memory.
    let addr = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    if addr == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(addr.cast())
}

/// Gives a mapping back.
///
/// # Safety
///
/// `addr` and `len` are a whole mapping of [`map_reserve`], or page-aligned parts of one, and nobody
/// uses that memory again.
#[inline(never)]
pub(crate) unsafe fn unmap(addr: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller owns the pages and is done with them.
    check(unsafe { libc::munmap(addr.cast(), len) })
}

/// Makes pages inaccessible by changing their protection, which splits the mapping around them.
///
/// # Safety
///
/// The pages are part of a mapping of [`map_reserve`] and nobody uses them.
#[inline(never)]
pub(crate) unsafe fn protect_none(addr: *mut u8, len: usize) -> io::Result<()> {
    injected(Kind::Protect, libc::ENOMEM)?;
    // SAFETY: the caller owns the pages and nobody uses them.
    check(unsafe { libc::mprotect(addr.cast(), len, libc::PROT_NONE) })
}

/// Starts a thread of the given name and stack size in bytes (0: the system's default).
///
/// Errors: what the system says, `EAGAIN` at its limits; `InvalidInput` for a name with a NUL.
#[inline(never)]
pub(crate) fn spawn_thread(name: &str, stack: usize, f: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    injected(Kind::Thread, libc::EAGAIN)?;
    if name.contains('\0') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "thread name contains a NUL"));
    }
    let builder = std::thread::Builder::new().name(name.to_owned());
    let builder = if stack == 0 { builder } else { builder.stack_size(stack) };
    builder.spawn(f)
}

/// Lets the system run something else on this CPU.
pub(crate) fn yield_thread() {
    std::thread::yield_now();
}

/// Keeps signals that are meant for the process away from the calling thread and the threads it starts
/// later. Those that an instruction raises on its own thread still come: they cannot wait.
pub(crate) fn block_signals() {
    const OWN: [libc::c_int; 6] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT];
    // SAFETY: the set is ours, filled before use; with valid arguments none of the calls fails.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&mut set);
        for signal in OWN {
            libc::sigdelset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}

/// Has `child` called in the child of every fork from now on, before `fork` returns there.
///
/// Errors: `ENOMEM`.
pub(crate) fn at_fork(child: unsafe extern "C" fn()) -> io::Result<()> {
    // SAFETY: a function pointer lives forever.
    match unsafe { libc::pthread_atfork(None, None, Some(child)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Writes all of `bytes` to a descriptor; continues after signals and short writes. Allocates and
/// locks nothing, so signal handlers may call it.
#[inline(never)]
pub(crate) fn write_fd(fd: i32, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: the pointer and length are those of a slice.
        let n = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(n) {
            Ok(0) => return Err(io::Error::from_raw_os_error(libc::EIO)),
            Ok(n) => bytes = bytes.get(n..).unwrap_or(&[]),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
