//! Sleeping, and timers.
//!
//! *Where it sits*: layer 4, over the timer heaps of `timers.rs` and the channels.

use crate::chan::core::Error;
use crate::chan::ByteChan;
use crate::clock::{deadline, nanos};
use crate::rank::Rank;
use crate::sched::{self, timers};
use crate::sys;
use crate::timers::{CFn, Due, TimerNode};
use core::ffi::c_void;
use std::cell::Cell;
use std::mem::offset_of;
use std::sync::Arc;
use std::time::{Duration, Instant};

// ---- sleep ---------------------------------------------------------------------------------------

/// Pauses the goroutine (or plain thread) for at least `d`; zero returns at once (T-01). From any thread.
///
/// ```
/// let t = std::time::Instant::now();
/// zokor::run(|| zokor::sleep(std::time::Duration::from_millis(2)));
/// assert!(t.elapsed() >= std::time::Duration::from_millis(2));
/// ```
///
/// In a goroutine that is bound to a context it ends early when the context does.
pub fn sleep(d: Duration) {
    let _ = sched::sleep_for(nanos(d));
}

/// Pauses until `t`; a past instant returns at once. From any thread.
/// Ends early as [`sleep`] does.
pub fn sleep_until(t: Instant) {
    let _ = sched::sleep_to(deadline(t));
}

// ---- timers for the faces ------------------------------------------------------------------------

/// A timer: ticks on a channel, or runs a function.
pub struct RawTimer {
    kind: Kind,
}

enum Kind {
    /// A synchronous channel (T-03).
    Chan(Arc<ByteChan>),
    /// A function in a goroutine of its own (T-11).
    Func(Box<Func>),
}

struct Func {
    node: TimerNode,
    state: sys::Mutex<FuncState>,
    f: CFn,
    arg: *mut c_void,
}

struct FuncState {
    armed: Cell<bool>,
}

// SAFETY: the node is used under its heap's lock, the function and its argument are promised to be callable from any
// thread.
unsafe impl Send for RawTimer {}
// SAFETY: as above.
unsafe impl Sync for RawTimer {}

impl RawTimer {
    /// A timer that ticks on a channel: first after `first` nanoseconds, then every `period` (0: once).
    ///
    /// # Errors
    /// `Invalid` for a negative period; `NoMemory`; `Shutdown`.
    pub fn new(first: i64, period: i64) -> Result<Arc<RawTimer>, Error> {
        if period < 0 {
            return Err(Error::Invalid);
        }
        if crate::runtime::is_down() {
            return Err(Error::Shutdown);
        }
        let chan = ByteChan::timer(timers::after(first.max(0)), period)?;
        Ok(Arc::new(RawTimer { kind: Kind::Chan(chan) }))
    }

    /// A timer that runs `f(arg)` in a goroutine after `first` nanoseconds.
    ///
    /// # Errors
    /// `Shutdown`, `Os` if the runtime cannot be started.
    ///
    /// # Safety
    /// `f(arg)` may be called from any thread until the timer was stopped.
    pub unsafe fn func(first: i64, f: CFn, arg: *mut c_void) -> Result<Arc<RawTimer>, Error> {
        crate::runtime::ensure_started().map_err(Error::from)?;
        let state = sys::Mutex::new(Rank::Context, FuncState { armed: Cell::new(true) });
        let t = Arc::new(RawTimer { kind: Kind::Func(Box::new(Func { node: TimerNode::new(), state, f, arg })) });
        if let Kind::Func(func) = &t.kind {
            crate::sanitize::release(arg.cast_const().cast());
            let _state = func.state.lock();
            // SAFETY: boxed, and disarmed before it is freed.
            unsafe { timers::arm(&func.node, timers::after(first.max(0)), fire_func) };
        }
        Ok(t)
    }

    /// The channel; `None` for a function timer.
    pub fn chan(&self) -> Option<&Arc<ByteChan>> {
        match &self.kind {
            Kind::Chan(c) => Some(c),
            Kind::Func(_) => None,
        }
    }

    /// Stops it. True: no tick will be received (it was armed, or expired but unread), or the function will not run. Never
    /// waits for a running function (T-11).
    pub fn stop(&self) -> bool {
        match &self.kind {
            Kind::Chan(c) => c.header().with_source(|s, _| {
                // SAFETY: the channel's lock is held.
                unsafe { s.stop() }
            }),
            Kind::Func(f) => {
                let state = f.state.lock();
                f.take_out(&state)
            }
        }
    }

    /// Starts it anew, due after `first` nanoseconds. The result is as of `stop`; no tick from before is received afterwards.
    pub fn reset(&self, first: i64) -> bool {
        let when = timers::after(first.max(0));
        match &self.kind {
            Kind::Chan(c) => c.header().with_source(|s, h| {
                // SAFETY: the channel's lock is held.
                unsafe { s.reset(h, when) }
            }),
            Kind::Func(f) => {
                let state = f.state.lock();
                crate::sanitize::release(f.arg.cast_const().cast());
                // SAFETY: armed before, by us.
                if state.armed.get() && unsafe { timers::rearm(&f.node, when) } {
                    return true;
                }
                let was = f.take_out(&state);
                state.armed.set(true);
                // SAFETY: in no heap now; disarmed before it is freed.
                unsafe { timers::arm(&f.node, when, fire_func) };
                was
            }
        }
    }
}

impl Func {
    /// Out of the heap: true if it was still to run.
    fn take_out(&self, state: &FuncState) -> bool {
        // SAFETY: armed before, by us.
        state.armed.replace(false) && unsafe { timers::disarm(&self.node) }
    }
}

unsafe fn fire_func(node: *mut TimerNode, _: i64, due: &mut Due) {
    // SAFETY: armed by RawTimer, so it lies in a Func, which leaves the heap before it is freed. Only constant fields are read.
    unsafe {
        let f = node.cast::<u8>().sub(offset_of!(Func, node)).cast::<Func>();
        due.calls.push(((*f).f, (*f).arg));
    }
}

impl Drop for RawTimer {
    fn drop(&mut self) {
        self.stop();
    }
}
