//! Wait groups, in the caller's memory.
//!
//! Where it sits: above `go` and `lock`, which has the other objects of 32 bytes.

use std::ffi::{c_int, c_void};
use std::mem::{align_of, size_of};

use zokor::raw::{self, Error, GoOpts, RawWaitGroup};

use crate::go;
use crate::result::{code, misuse, status, waiting};
use crate::runtime::zk_fn;
use crate::time::zk_time;

#[repr(C)]
pub struct zk_wg {
    pub zk_priv: [u64; 4],
}

const _: () = assert!(size_of::<RawWaitGroup>() <= size_of::<zk_wg>());
const _: () = assert!(align_of::<RawWaitGroup>() <= align_of::<zk_wg>());

/// The engine's object in the caller's storage.
///
/// # Safety
/// H2: `wg` is null, or zeroed once and since then only used through this library.
unsafe fn borrow<'a>(wg: *mut zk_wg) -> Option<&'a RawWaitGroup> {
    let wg: *mut RawWaitGroup = wg.cast();
    // SAFETY: the caller's word; any bits make a valid object, size and alignment are asserted above.
    (!wg.is_null() && wg.is_aligned()).then(|| unsafe { &*wg })
}

/// Adds `delta`, which may be negative, to the counter. `[any]`
///
/// Panics below zero (see zk_panic). NULL ends the process.
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C-unwind" fn zk_wg_add(wg: *mut zk_wg, delta: c_int) {
    // SAFETY: H2.
    let Some(group) = (unsafe { borrow(wg) }) else { misuse("zk_wg_add: no wait group") };
    raw::happens_before(wg.cast_const().cast());
    if group.add(delta.into()).is_err() {
        negative();
    }
}

/// Takes one from the counter. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C-unwind" fn zk_wg_done(wg: *mut zk_wg) {
    // SAFETY: H2.
    let Some(group) = (unsafe { borrow(wg) }) else { misuse("zk_wg_done: no wait group") };
    raw::happens_before(wg.cast_const().cast());
    if group.done().is_err() {
        negative();
    }
}

/// The panic of Go's WaitGroup: to the innermost zk_try, or through the panic policy.
fn negative() -> ! {
    // SAFETY: the frames from here to C's are left without anything to clean up; C's own, as for zk_panic.
    unsafe { raw::panic("sync: negative WaitGroup counter") }
}

/// Waits until the counter is zero. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_wg_wait(wg: *mut zk_wg, deadline: zk_time) -> c_int {
    // SAFETY: H2.
    let Some(group) = (unsafe { borrow(wg) }) else { return code(Error::Invalid) };
    let rc = status(waiting(deadline, |d| group.wait(d)));
    if rc == 0 {
        raw::happens_after(wg.cast_const().cast());
    }
    rc
}

/// What a goroutine of a wait group carries.
struct Member {
    group: *mut zk_wg,
    f: raw::CFn,
    arg: *mut c_void,
}

unsafe extern "C-unwind" fn member_main(member: *mut c_void) {
    // SAFETY: `zk_wg_go` passes a `Member`, which `member_exit` frees after this has ended.
    let member = unsafe { &*member.cast::<Member>() };
    // SAFETY: the word of `zk_wg_go`'s caller.
    unsafe { (member.f)(member.arg) }
}

/// Runs last in the goroutine, also after a panic or goexit: a waiter never returns before the report is out (WG-07).
unsafe extern "C-unwind" fn member_exit(member: *mut c_void) {
    // SAFETY: the box that `zk_wg_go` gave up; nobody uses it after this.
    let member = unsafe { Box::from_raw(member.cast::<Member>()) };
    // SAFETY: the word of `zk_wg_go`'s caller.
    unsafe { zk_wg_done(member.group) };
}

/// Adds one, starts fn(arg) (arg is not copied), and takes one when that has ended, however it ends. `[any]`
///
/// On an error the counter is as before.
///
/// # Safety
/// H2; `fn` may be called with `arg` from any thread; `wg` outlives the goroutine.
#[no_mangle]
pub unsafe extern "C" fn zk_wg_go(wg: *mut zk_wg, r#fn: zk_fn, arg: *mut c_void) -> c_int {
    // SAFETY: H2.
    let (Some(group), Some(f)) = (unsafe { borrow(wg) }, r#fn) else { return code(Error::Invalid) };
    if let Err(e) = group.add(1) {
        return code(e);
    }
    let member = Box::into_raw(Box::new(Member { group: wg, f, arg })).cast();
    let opts = GoOpts { on_exit: Some(member_exit), ..go::plain() };
    // SAFETY: the two functions are made for this pointer.
    let rc = unsafe { go::start(&opts, member_main, member) };
    if rc < 0 {
        // SAFETY: no goroutine has it: the box and the count are still ours.
        unsafe { member_exit(member) };
    }
    rc
}
