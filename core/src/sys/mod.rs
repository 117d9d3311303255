//! The only door to the operating system.
//!
//! **Where it sits.** Layer 0: calls `libc`, `cell` and `rank`; called by everything. No other module
//! names `libc` or knows the platform.
//!
//! | file | what |
//! |---|---|
//! | `mutex.rs` | [`Mutex`]: data behind a lock with a rank |
//! | `lock.rs` | [`RawLock`]: the eight-byte lock in channels and sync objects |
//! | `bias.rs` | [`BiasedLock`]: the lock in every channel, nearly free for a thread that has it to itself |
//! | `absent.rs` | who uses no channel for a while, so that its locks can be had for less |
//! | `sleepers.rs` | who sleeps at a `RawLock`, counted outside of it |
//! | `fence.rs` | [`light_fence`] and [`heavy_fence`]: the two sides of an asymmetric barrier |
//! | `unix.rs` | what POSIX systems share: clock, mappings, threads, writing to a descriptor |
//! | `pages.rs` | many ranges of pages in one call, what is in memory |
//! | `image.rs` | memory read without a fault, unwind tables of the loaded modules |
//! | `signal.rs`, `frames.rs` | fault handlers, alternate stacks, frames of interrupted code |
//! | `linux.rs`, `macos.rs` | futex, process-wide barrier, stack guards, CPU count |
//! | `cgroup.rs` | the CPU quota of the control groups around us |
//! | `faults.rs` | test builds: make the n-th call into the system fail |
//! | `model.rs` | the futex under the model checker |

mod absent;
mod bias;
pub(crate) mod faults;
mod fence;
mod lock;
mod mutex;
mod sleepers;

#[cfg(all(target_os = "linux", not(loom)))]
mod cgroup;
#[cfg(not(loom))]
pub(crate) mod frames;
#[cfg(not(loom))]
pub(crate) mod image;
#[cfg(all(target_os = "linux", not(loom)))]
#[path = "linux.rs"]
mod os;
#[cfg(all(target_os = "macos", not(loom)))]
#[path = "macos.rs"]
mod os;
#[cfg(not(loom))]
pub(crate) mod pages;
#[cfg(not(loom))]
pub(crate) mod signal;
#[cfg(not(loom))]
mod unix;

#[cfg(loom)]
#[path = "model.rs"]
mod os;

pub(crate) use absent::Absence;
pub(crate) use bias::{BiasedLock, Owned, Sleeper};
pub(crate) use fence::{are_fences_light, heavy_fence, light_fence, lightest_fence};
pub(crate) use lock::RawLock;
pub(crate) use mutex::{Mutex, MutexGuard};
pub(crate) use os::*;
#[cfg(not(loom))]
pub(crate) use unix::*;

/// How a [`futex_wait`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Somebody called [`futex_wake`], or the word was not as expected, or nothing at all happened:
    /// the caller looks at the word again.
    Woken,
    /// The deadline has passed.
    TimedOut,
    /// A signal handler ran on this thread.
    Interrupted,
}

/// Prepares this module: reads the faults to inject, learns which barrier the kernel offers. Cheap
/// when done already; every entry to the runtime may call it.
pub(crate) fn init() {
    faults::init();
    fence::init();
}

/// Writes `fatal error: ` and `what` to standard error and aborts: an invariant is broken and nothing that
/// happens from here on could be trusted.
#[cold]
pub(crate) fn fatal(what: &str) -> ! {
    // Three writes and no buffer: this may run with the heap in any state.
    for part in ["fatal error: ", what, "\n"] {
        // The process ends whether or not anybody reads it.
        let _ = write_fd(2, part.as_bytes());
    }
    std::process::abort()
}
