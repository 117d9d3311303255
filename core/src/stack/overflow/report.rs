//! What is said about an overflow: a line, a backtrace, the end.
//!
//! *Where it sits.* Layer 1, behind `overflow`, in a signal handler on the alternate stack.
//! Calls libc and the unwinder. Writes to file descriptor 2 only.
//!
//! The line comes first and needs nothing but `write`. The backtrace needs the unwinder, which walks tables and takes at
//! most the loader's lock; it prints addresses as `module+offset`, which addr2line and debuggers take, with the symbol
//! where the loader knows one. Should even that fault, the process dies by the default action.

use super::{Describe, REPORTING, SIGNALS};
use crate::stack::GuardHit;
use std::ffi::CStr;
use std::fmt::{self, Write};
use std::mem;
use std::sync::atomic::Ordering::Relaxed;

/// How many frames are shown: the innermost ones. An overflow has thousands.
const FRAMES: usize = 40;

/// Collects a line and writes it in one call.
struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Line {
    fn new() -> Line {
        Line { bytes: [0; 512], len: 0 }
    }

    fn push(&mut self, text: &[u8]) {
        let n = text.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&text[..n]);
        self.len += n;
    }
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push(s.as_bytes());
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // SAFETY: the bytes are initialised. A failed write cannot be reported anywhere.
        unsafe { libc::write(2, self.bytes.as_ptr().cast(), self.len) };
    }
}

/// Reports the overflow of the stack that was hit and aborts.
pub fn overflowed(hit: GuardHit, describe: Option<Describe>) -> ! {
    if REPORTING.swap(true, Relaxed) {
        // Another thread is reporting and will abort.
        loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        }
    }
    // From here on a fault of our own ends the process.
    for signal in SIGNALS {
        // SAFETY: zeroes are a valid sigaction: the default.
        unsafe {
            let mut default: libc::sigaction = mem::zeroed();
            default.sa_flags = libc::SA_NODEFER;
            libc::sigaction(signal, &default, std::ptr::null_mut());
            let mut set: libc::sigset_t = mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, signal);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        }
    }
    headline(hit, describe);
    backtrace();
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}

fn headline(hit: GuardHit, describe: Option<Describe>) {
    let mut line = Line::new();
    line.push(b"\nfatal: ");
    match describe {
        Some(f) => f(hit.base, &mut |text| line.push(text)),
        None => line.push(b"a goroutine"),
    }
    let _ = writeln!(line, " overflowed its stack ({} KiB)", hit.size / 1024);
}

extern "C-unwind" {
    fn _Unwind_Backtrace(
        f: extern "C-unwind" fn(*mut libc::c_void, *mut libc::c_void) -> i32,
        arg: *mut libc::c_void,
    ) -> i32;
    fn _Unwind_GetIPInfo(frame: *mut libc::c_void, before: *mut i32) -> usize;
}

struct Walk {
    /// Frames above the one that faulted belong to the handler.
    seen_fault: bool,
    shown: usize,
}

fn backtrace() {
    let mut walk = Walk { seen_fault: false, shown: 0 };
    // SAFETY: the callback takes the pointer as what it is here.
    unsafe { _Unwind_Backtrace(frame, (&mut walk as *mut Walk).cast()) };
}

extern "C-unwind" fn frame(at: *mut libc::c_void, walk: *mut libc::c_void) -> i32 {
    const GO_ON: i32 = 0;
    const STOP: i32 = 5;
    let mut before = 0;
    // SAFETY: the unwinder passes its own frame and our pointer.
    let (walk, ip) = unsafe { (&mut *walk.cast::<Walk>(), _Unwind_GetIPInfo(at, &mut before)) };
    // `before` says that the address is that of the instruction itself: the frame that a signal
    // interrupted. Elsewhere it is a return address, one beyond the call.
    walk.seen_fault |= before != 0;
    if !walk.seen_fault {
        return GO_ON;
    }
    if ip == 0 || walk.shown == FRAMES {
        return STOP;
    }
    let address = ip - usize::from(before == 0);
    let mut line = Line::new();
    let _ = write!(line, "  {:>3}: ", walk.shown);
    name(address, &mut line);
    line.push(b"\n");
    walk.shown += 1;
    GO_ON
}

/// Writes `symbol+offset (module+offset)` as far as the loader knows.
fn name(address: usize, line: &mut Line) {
    // SAFETY: zeroes are a valid Dl_info; the call fills in strings that live as long as their module.
    unsafe {
        let mut info: libc::Dl_info = mem::zeroed();
        if libc::dladdr(address as *const _, &mut info) == 0 || info.dli_fname.is_null() {
            let _ = write!(line, "{address:#x}");
            return;
        }
        if !info.dli_sname.is_null() {
            line.push(CStr::from_ptr(info.dli_sname).to_bytes());
            let _ = write!(line, "+{:#x} ", address - info.dli_saddr as usize);
        }
        line.push(b"(");
        line.push(CStr::from_ptr(info.dli_fname).to_bytes());
        let _ = write!(line, "+{:#x})", address - info.dli_fbase as usize);
    }
}
