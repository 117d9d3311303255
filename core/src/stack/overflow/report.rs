//! What is said about an overflow: a line, a backtrace, the end.
//!
//! *Where it sits.* Layer 1, behind `overflow`, in a signal handler on the alternate stack. Calls `names`, `sys`,
//! `sys::frames`, `sys::signal`. Writes to file descriptor 2 only.
//!
//! Three steps, each needing more than the one before:
//!
//! 1. The line needs nothing but `write`.
//! 2. A trace of addresses needs the unwinder and the loader, which allocate nothing and take at most the loader's
//!    lock. It goes to [`ADDRESSES`] and is not shown yet.
//! 3. A trace with names allocates, and the goroutine may have run out of its stack within the allocator, holding
//!    its lock. So a watchdog runs meanwhile. When that barks, or a fault shows that the process is beyond
//!    repair, or names are not to be had, the addresses of step 2 are shown instead.
//!
//! # State
//! `REPORTER`: the thread that reports, 0 before. `ADDRESSES`: written by that thread before the watchdog is
//! set, constant from then on.

use super::{names, Describe};
use crate::stack::GuardHit;
use crate::sys::{self, frames, signal};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// How many lines are shown of either end of the stack. An overflow has thousands of frames.
const SHOWN: usize = 20;

/// How long a trace with names may take, in seconds.
const PATIENCE: u32 = 5;

/// A buffer for text; what does not fit is left out.
pub(super) struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    const fn new() -> Text<N> {
        Text { bytes: [0; N], len: 0 }
    }

    fn push(&mut self, text: &[u8]) {
        let n = text.len().min(N - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&text[..n]);
        self.len += n;
    }

    /// Writes it to standard error. A failed write cannot be reported anywhere.
    fn show(&self) {
        let _ = sys::write_fd(2, &self.bytes[..self.len]);
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push(s.as_bytes());
        Ok(())
    }
}

static REPORTER: AtomicI32 = AtomicI32::new(0);

struct Addresses(UnsafeCell<Text<16384>>);

// SAFETY: written by the reporter before the watchdog is set, and only read afterwards.
unsafe impl Sync for Addresses {}

static ADDRESSES: Addresses = Addresses(UnsafeCell::new(Text::new()));

/// Reports the overflow of the stack that was hit and aborts.
pub fn overflowed(hit: GuardHit, describe: Option<Describe>) -> ! {
    // Relaxed: the number is all there is.
    if REPORTER.compare_exchange(0, sys::gettid(), Relaxed, Relaxed).is_err() {
        meanwhile();
        // Another thread is at it and will abort.
        signal::sleep_for_good();
    }
    headline(hit, describe);
    // SAFETY: this is the reporter, and the watchdog is not set.
    let addresses = unsafe { &mut *ADDRESSES.0.get() };
    Trace::of_interrupted(addresses);
    // SAFETY: `bark` calls `write` and `abort`.
    unsafe { signal::watchdog(PATIENCE, bark) };
    if !names::show(SHOWN) {
        addresses.show();
    }
    std::process::abort()
}

/// A fault on this thread while it reports: the end, without names.
pub fn meanwhile() {
    // Relaxed: a thread compares with what it stored itself.
    if REPORTER.load(Relaxed) == sys::gettid() {
        give_up();
    }
}

unsafe extern "C" fn bark(_signal: i32, _info: *mut signal::Info, _context: *mut c_void) {
    give_up();
}

/// Shows what there is and aborts.
fn give_up() -> ! {
    // SAFETY: the watchdog is set or the reporter itself is here, so nobody writes any more.
    unsafe { (*ADDRESSES.0.get()).show() };
    std::process::abort()
}

fn headline(hit: GuardHit, describe: Option<Describe>) {
    let mut line = Text::<512>::new();
    line.push(b"fatal error: ");
    match describe {
        Some(f) => f(hit.base, &mut |text| line.push(text)),
        None => line.push(b"a goroutine"),
    }
    let _ = writeln!(line, " overflowed its stack ({} KiB)", hit.size / 1024);
    line.show();
}

/// A backtrace that shows both ends of a long stack, and a frame that repeats itself once.
struct Trace<'a> {
    to: &'a mut Text<16384>,
    /// The frame not shown yet, and how often it came in a row.
    last: (usize, usize),
    frames: usize,
    lines: usize,
    /// The latest lines beyond the first ones: number of the frame, address, repetitions.
    tail: [(usize, usize, usize); SHOWN],
}

impl Trace<'_> {
    /// Writes the trace of the code that the running signal handler interrupted.
    fn of_interrupted(to: &mut Text<16384>) {
        let mut trace = Trace { to, last: (0, 0), frames: 0, lines: 0, tail: [(0, 0, 0); SHOWN] };
        frames::of_interrupted(&mut |address| {
            trace.add(address);
            true
        });
        trace.flush();
        let rest = trace.lines.saturating_sub(SHOWN);
        if rest > SHOWN {
            let _ = writeln!(trace.to, "       ... {} lines", rest - SHOWN);
        }
        for i in trace.lines.max(2 * SHOWN) - SHOWN..trace.lines {
            line(trace.to, trace.tail[i % SHOWN]);
        }
    }

    fn add(&mut self, address: usize) {
        if self.last.0 == address {
            self.last.1 += 1;
        } else {
            self.flush();
            self.last = (address, 1);
        }
        self.frames += 1;
    }

    fn flush(&mut self) {
        let (address, times) = self.last;
        if times == 0 {
            return;
        }
        let entry = (self.frames - times, address, times);
        if self.lines < SHOWN {
            line(self.to, entry);
        } else {
            self.tail[self.lines % SHOWN] = entry;
        }
        self.lines += 1;
    }
}

/// Writes `number: symbol+offset (module+offset)`, as far as the loader knows. Debuggers and addr2line take the latter.
fn line(to: &mut Text<16384>, (number, address, times): (usize, usize, usize)) {
    let _ = write!(to, "  {number:>3}: ");
    match frames::place(address) {
        Some(place) => {
            if let Some((symbol, offset)) = place.symbol {
                to.push(symbol.to_bytes());
                let _ = write!(to, "+{offset:#x} ");
            }
            to.push(b"(");
            to.push(place.module.to_bytes());
            let _ = write!(to, "+{:#x})", place.offset);
        }
        None => {
            let _ = write!(to, "{address:#x}");
        }
    }
    if times > 1 {
        let _ = write!(to, ", {times} times");
    }
    to.push(b"\n");
}
