//! Timers.
//!
//! Where it sits: above `handle` and `time`.

use std::ffi::{c_int, c_void};
use std::ptr;

use zokor::raw::{Error, Timer};

use crate::handle::{self, zk_chan, zk_timer, Lent, TimerObject};
use crate::result::code;
use crate::runtime::{self, zk_fn};
use crate::time::zk_duration;

/// A timer that sends on a channel. `[any]`
///
/// period 0: fires once; negative: NULL. first <= 0: at once. The channel carries the due time (zk_time), has len and
/// cap 0, and keeps at most one tick; a periodic timer drops the ticks nobody took and keeps its phase.
///
/// cbindgen:postfix=ZK_OWNED
#[no_mangle]
pub extern "C" fn zk_timer_new(first: zk_duration, period: zk_duration) -> *mut zk_timer {
    if period < 0 {
        return ptr::null_mut();
    }
    let Ok(timer) = Timer::new(first, period) else { return ptr::null_mut() };
    let chan = Lent::new(timer.chan());
    handle::into_c(TimerObject::Timer(timer, chan))
}

/// A timer that runs fn(arg) in a new goroutine. NULL: no fn, or no memory. `[any]`
///
/// cbindgen:postfix=ZK_OWNED
///
/// # Safety
/// `fn` may be called with `arg`, from any thread, for as long as the timer can fire.
#[no_mangle]
pub unsafe extern "C" fn zk_timer_func(first: zk_duration, r#fn: zk_fn, arg: *mut c_void) -> *mut zk_timer {
    let Some(f) = r#fn else { return ptr::null_mut() };
    runtime::ready();
    // SAFETY: the caller's word.
    let Ok(timer) = (unsafe { Timer::func(first, f, arg) }) else { return ptr::null_mut() };
    handle::into_c(TimerObject::Timer(timer, Lent::new(None)))
}

/// The timer's channel, borrowed; NULL for zk_timer_func. `[any]`
///
/// ZK_EPERM: what sending on it, or closing it, gives.
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_timer_chan(t: *mut zk_timer) -> *mut zk_chan {
    // SAFETY: H1.
    match unsafe { handle::borrow(t) } {
        Some(TimerObject::Timer(_, chan)) => chan.get(),
        _ => ptr::null_mut(),
    }
}

fn stop(object: &TimerObject) -> bool {
    match object {
        TimerObject::Timer(timer, _) => timer.stop(),
        TimerObject::After(ctx, hook) => hook.is_some_and(|n| ctx.take_back(n)),
    }
}

/// 1: no tick will be received (it was armed, or expired but unread). 0: the tick was received, the callback started,
/// or it was stopped before. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_timer_stop(t: *mut zk_timer) -> c_int {
    // SAFETY: H1.
    unsafe { handle::borrow(t) }.map_or_else(|| code(Error::Invalid), |object| stop(object).into())
}

/// Same result; keeps the period; no tick from before is received afterwards. `[any]`
///
/// ZK_EINVAL for a handle of zk_ctx_after, which has no time.
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_timer_reset(t: *mut zk_timer, first: zk_duration) -> c_int {
    // SAFETY: H1.
    match unsafe { handle::borrow(t) } {
        Some(TimerObject::Timer(timer, _)) => timer.reset(first).into(),
        _ => code(Error::Invalid),
    }
}

/// Gives the timer back and stops it. A channel taken with zk_chan_ref stays valid. `[any]`
///
/// # Safety
/// H1; the reference is not used again.
#[no_mangle]
pub unsafe extern "C" fn zk_timer_unref(t: *mut zk_timer) {
    // SAFETY: H1.
    if let Some(object) = unsafe { handle::borrow(t) } {
        stop(object);
    }
    // SAFETY: H1 and the caller's word.
    unsafe { handle::release(t) };
}
