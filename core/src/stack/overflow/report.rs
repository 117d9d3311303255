//! What is said about an overflow: a line, a backtrace, the end.
//!
//! *Where it sits.* Layer 1, behind `overflow`, in a signal handler on the alternate stack.
//! Calls `sys` and `sys::frames`. Writes to file descriptor 2 only.
//!
//! The line comes first and needs nothing but `write`. The backtrace needs the unwinder, which walks tables and takes at
//! most the loader's lock; it prints addresses as `module+offset`, which addr2line and debuggers take, with the symbol
//! where the loader knows one. Should even that fault, the process dies by the default action.

use super::Describe;
use crate::stack::GuardHit;
use crate::sys::{self, frames, signal};
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// How many lines are shown of either end of the stack. An overflow has thousands of frames.
const SHOWN: usize = 20;

/// Collects a line and writes it in one call.
struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Line {
    fn new() -> Line {
        Line { bytes: [0; 512], len: 0 }
    }

    /// Adds what has room; an end of line always has.
    fn push(&mut self, text: &[u8]) {
        let n = text.len().min(self.bytes.len() - 1 - self.len);
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
        self.bytes[self.len] = b'\n';
        // A failed write cannot be reported anywhere.
        let _ = sys::write_fd(2, &self.bytes[..=self.len]);
    }
}

/// Reports the overflow of the stack that was hit and aborts.
pub fn overflowed(hit: GuardHit, describe: Option<Describe>) -> ! {
    static REPORTING: AtomicBool = AtomicBool::new(false);
    // Relaxed: the flag is all there is.
    if REPORTING.swap(true, Relaxed) {
        // Another thread is at it and will abort.
        signal::sleep_for_good();
    }
    headline(hit, describe);
    Trace::of_interrupted();
    std::process::abort()
}

fn headline(hit: GuardHit, describe: Option<Describe>) {
    let mut line = Line::new();
    line.push(b"fatal: ");
    match describe {
        Some(f) => f(hit.base, &mut |text| line.push(text)),
        None => line.push(b"a goroutine"),
    }
    let _ = write!(line, " overflowed its stack ({} KiB)", hit.size / 1024);
}

/// A backtrace that shows both ends of a long stack, and a frame that repeats itself once.
struct Trace {
    /// The frame not shown yet, and how often it came in a row.
    last: (usize, usize),
    frames: usize,
    lines: usize,
    /// The latest lines beyond the first ones: number of the frame, address, repetitions.
    tail: [(usize, usize, usize); SHOWN],
}

impl Trace {
    /// Writes the trace of the code that the running signal handler interrupted.
    fn of_interrupted() {
        let mut trace = Trace { last: (0, 0), frames: 0, lines: 0, tail: [(0, 0, 0); SHOWN] };
        frames::of_interrupted(&mut |address| {
            trace.add(address);
            true
        });
        trace.flush();
        let rest = trace.lines.saturating_sub(SHOWN);
        if rest > SHOWN {
            let _ = write!(Line::new(), "       … {} lines", rest - SHOWN);
        }
        for i in trace.lines.max(2 * SHOWN) - SHOWN..trace.lines {
            show(trace.tail[i % SHOWN]);
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
        let line = (self.frames - times, address, times);
        if self.lines < SHOWN {
            show(line);
        } else {
            self.tail[self.lines % SHOWN] = line;
        }
        self.lines += 1;
    }
}

fn show((number, address, times): (usize, usize, usize)) {
    let mut line = Line::new();
    let _ = write!(line, "  {number:>3}: ");
    name(address, &mut line);
    if times > 1 {
        let _ = write!(line, ", {times} times");
    }
}

/// Writes `symbol+offset (module+offset)` as far as the loader knows.
fn name(address: usize, line: &mut Line) {
    let Some(place) = frames::place(address) else {
        let _ = write!(line, "{address:#x}");
        return;
    };
    if let Some((symbol, offset)) = place.symbol {
        line.push(symbol.to_bytes());
        let _ = write!(line, "+{offset:#x} ");
    }
    line.push(b"(");
    line.push(place.module.to_bytes());
    let _ = write!(line, "+{:#x})", place.offset);
}
