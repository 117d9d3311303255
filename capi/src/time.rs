//! The clock.
//!
//! Where it sits: above `result` and `zokor::raw`'s clock; every call with a deadline speaks these types.

use std::ffi::c_int;

use zokor::raw;

use crate::result::status;

/// Absolute, monotonic nanoseconds.
pub type zk_time = i64;
/// Nanoseconds.
pub type zk_duration = i64;

/// The present instant. `[any]`
#[no_mangle]
pub extern "C" fn zk_now() -> zk_time {
    raw::now()
}

/// now + d, saturating: ZK_FOREVER when it is too far off. `[any]`
#[no_mangle]
pub extern "C" fn zk_in(d: zk_duration) -> zk_time {
    // An instant before the clock's start is still a deadline in the past, never ZK_NOWAIT.
    raw::time_in(d).max(1)
}

/// Waits for at least d; d <= 0 returns at once. `[any]`
#[no_mangle]
pub extern "C" fn zk_sleep(d: zk_duration) -> c_int {
    if d <= 0 {
        return 0;
    }
    status(raw::sleep_for(d))
}
