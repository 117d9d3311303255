//! The frames of a stack, by the unwinder that std links, and where an address is.
//!
//! **Where it sits.** Called by the overflow report in a signal handler, and by dumps; calls the unwinder and the
//! loader. Allocates nothing.

use std::ffi::{c_void, CStr};
use std::mem;

/// The unwinder's own state of a frame.
#[repr(C)]
struct Frame(c_void);

type Visit<'a> = &'a mut dyn FnMut(usize) -> bool;

extern "C-unwind" {
    fn _Unwind_Backtrace(f: extern "C-unwind" fn(*mut Frame, *mut c_void) -> i32, arg: *mut c_void) -> i32;
    fn _Unwind_GetIPInfo(frame: *mut Frame, exact: *mut i32) -> usize;
}

struct Walk<'a, 'b> {
    visit: &'a mut Visit<'b>,
    /// Frames before the interrupted one belong to the signal handler.
    reached: bool,
}

/// Visits the frames of the code that the running signal handler interrupted, innermost first: an address
/// inside each one's current instruction. Ends with the outermost frame or when `visit` says false.
pub(crate) fn of_interrupted(mut visit: Visit<'_>) {
    let mut walk = Walk { visit: &mut visit, reached: false };
    // SAFETY: `each` takes the pointer for what it is.
    unsafe { _Unwind_Backtrace(each, (&raw mut walk).cast()) };
}

/// Visits the frames of the calling code, innermost first, as above.
pub(crate) fn of_caller(mut visit: Visit<'_>) {
    let mut walk = Walk { visit: &mut visit, reached: true };
    // SAFETY: `each` takes the pointer for what it is.
    unsafe { _Unwind_Backtrace(each, (&raw mut walk).cast()) };
}

extern "C-unwind" fn each(frame: *mut Frame, walk: *mut c_void) -> i32 {
    const NO_REASON: i32 = 0;
    const NORMAL_STOP: i32 = 4;
    let mut exact = 0;
    // SAFETY: the unwinder passes its frame, and the pointer we gave it.
    let (walk, ip) = unsafe { (&mut *walk.cast::<Walk>(), _Unwind_GetIPInfo(frame, &mut exact)) };
    // "Exact" is said of a frame that a signal interrupted. Elsewhere the address is where a call returns to,
    // one instruction too far, perhaps in the next function.
    walk.reached |= exact != 0;
    let go_on = ip != 0 && (!walk.reached || (walk.visit)(ip - usize::from(exact == 0)));
    if go_on {
        NO_REASON
    } else {
        NORMAL_STOP
    }
}

/// Where an address is.
pub(crate) struct Place {
    /// The file it was loaded from.
    pub(crate) module: &'static CStr,
    /// The distance from that file's start in memory.
    pub(crate) offset: usize,
    /// The exported symbol at or before it, and the distance from there.
    pub(crate) symbol: Option<(&'static CStr, usize)>,
}

/// Asks the loader where `address` is. The strings live as long as their module stays loaded.
pub(crate) fn place(address: usize) -> Option<Place> {
    // SAFETY: zeroes are a valid Dl_info, which the call fills in with strings of the module.
    unsafe {
        let mut info: libc::Dl_info = mem::zeroed();
        if libc::dladdr(address as *const c_void, &mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        let symbol =
            (!info.dli_sname.is_null()).then(|| (CStr::from_ptr(info.dli_sname), address - info.dli_saddr as usize));
        Some(Place { module: CStr::from_ptr(info.dli_fname), offset: address - info.dli_fbase as usize, symbol })
    }
}
