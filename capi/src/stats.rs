//! Looking inside: counters, goroutines, dumps.
//!
//! Where it sits: above `sized` and `time`.

use std::ffi::{c_char, c_int, c_void, CString};
use std::mem::size_of;

use zokor::raw::{self, Error, GoInfo};

use crate::result::{code, status};
use crate::sized::{self, sized};
use crate::time::zk_time;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct zk_stats {
    /// = sizeof(zk_stats)
    pub size: usize,
    /// alive, main included
    pub goroutines: u64,
    /// waiting for a worker
    pub runnable: u64,
    /// parked, or blocked in a call
    pub blocked: u64,
    /// since the start
    pub created: u64,
    /// how many goroutines may run at once
    pub workers: u64,
    /// threads of zk_blocking()
    pub blocking_threads: u64,
    /// goroutines resumed
    pub switches: u64,
    /// of these, taken from another worker's queue
    pub steals: u64,
    /// times a goroutine waited
    pub parks: u64,
    /// armed
    pub timers: u64,
    /// descriptors watched
    pub fds: u64,
    /// of all goroutines, virtual
    pub stack_bytes: u64,
}

sized!(zk_stats: goroutines, runnable, blocked, created, workers, blocking_threads, switches, steals, parks, timers, fds, stack_bytes);

/// Fills what both sides know. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_stats_get(out: *mut zk_stats) -> c_int {
    let s = raw::stats();
    let report = zk_stats {
        size: size_of::<zk_stats>(),
        goroutines: s.goroutines,
        runnable: s.runnable,
        blocked: s.blocked,
        created: s.created,
        workers: s.workers,
        blocking_threads: s.blocking_threads,
        switches: s.switches,
        steals: s.steals,
        parks: s.parks,
        timers: s.timers,
        fds: s.fds,
        stack_bytes: s.stack_bytes,
    };
    // SAFETY: H2.
    status(unsafe { sized::write(out, &report) })
}

#[repr(C)]
pub struct zk_goinfo {
    /// = sizeof(zk_goinfo)
    pub size: usize,
    pub id: u64,
    /// "" without one
    pub name: *const c_char,
    /// "running", "runnable", "waiting", "blocked in call"
    pub state: *const c_char,
    /// "" unless queued: "chan send", "chan receive", "select", "select (no cases)", "sleep", "mutex", "rwmutex read",
    /// "rwmutex write", "cond", "wait group", "once", "semaphore", "group", "io", "blocking", "join", "barrier", "scope",
    /// "singleflight"
    pub wait_on: *const c_char,
    /// when it began to wait, to some 10 ms
    pub since: zk_time,
    pub stack_size: usize,
    pub stack_used: usize,
}

/// `text` as C reads it.
fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

/// Shows each goroutine to the visitor, main included; a result that is not 0 stops. `[any]`
///
/// The visitor gets a snapshot, valid for its call, and must not call this library.
///
/// # Safety
/// `visit` may be called with `user`.
#[no_mangle]
pub unsafe extern "C-unwind" fn zk_each(
    visit: Option<unsafe extern "C-unwind" fn(g: *const zk_goinfo, user: *mut c_void) -> c_int>,
    user: *mut c_void,
) -> c_int {
    let Some(visit) = visit else { return code(Error::Invalid) };
    raw::each(&mut |g: &GoInfo| {
        let (name, state, wait_on) = (c_string(&g.name), c_string(g.state), c_string(g.wait_on));
        let info = zk_goinfo {
            size: size_of::<zk_goinfo>(),
            id: g.id,
            name: name.as_ptr(),
            state: state.as_ptr(),
            wait_on: wait_on.as_ptr(),
            since: g.since,
            stack_size: g.stack_size,
            stack_used: g.stack_used,
        };
        // SAFETY: the caller's word.
        unsafe { visit(&info, user) == 0 }
    });
    0
}

/// Writes every goroutine, with its stack, to the descriptor. `[any]`
#[no_mangle]
pub extern "C" fn zk_dump(fd: c_int) -> c_int {
    match raw::dump(fd) {
        Ok(()) => 0,
        Err(e) => -e.raw_os_error().unwrap_or(libc::EIO),
    }
}
