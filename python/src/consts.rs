//! The objects the module needs all the time, found or made once at import.
//!
//! Where it sits: above `py`; read by every file above. The objects live as long as the process.

use crate::ffi::{self as f, PyObject, PyTypeObject};
use crate::py::{self, Obj, Res};
use core::ffi::CStr;
use std::sync::OnceLock;

/// Classes and functions of ours and of the standard library. All pointers are owned references that are never given up.
pub struct Consts {
    pub error: *mut PyObject,
    pub chan_closed: *mut PyObject,
    pub would_block: *mut PyObject,
    pub deadlock: *mut PyObject,
    pub misuse: *mut PyObject,
    pub cancelled: *mut PyObject,
    pub closed: *mut PyObject,
    pub stats: *mut PyObject,
    pub go_info: *mut PyObject,
    /// The dictionary of the module `threading`, and the two names looked up in it whenever a goroutine starts.
    pub threading: *mut PyObject,
    pub trace_hook: *mut PyObject,
    pub profile_hook: *mut PyObject,
    /// What `WouldBlock` of `try_recv` says.
    pub nothing_now: *mut PyObject,
    pub types: Types,
}

/// The types of the module.
pub struct Types {
    pub chan: *mut PyTypeObject,
    pub sender: *mut PyTypeObject,
    pub receiver: *mut PyTypeObject,
    pub send_case: *mut PyTypeObject,
    pub timer: *mut PyTypeObject,
    pub wait_group: *mut PyTypeObject,
}

// SAFETY: the pointers are constant; what they point to is used attached only (P1).
unsafe impl Send for Consts {}
// SAFETY: as above.
unsafe impl Sync for Consts {}

static CONSTS: OnceLock<Consts> = OnceLock::new();

/// The constants; they exist before any function of the module can be called.
#[inline]
pub fn consts() -> &'static Consts {
    match CONSTS.get() {
        Some(c) => c,
        None => std::process::abort(),
    }
}

/// Fills the constants in, once per process.
pub fn init(types: Types) -> Res<()> {
    let own = py::import(c"zokor._types")?;
    let get = |name: &CStr| -> Res<*mut PyObject> { Ok(own.attr(name)?.into_ptr()) };
    let consts = Consts {
        error: get(c"Error")?,
        chan_closed: get(c"ChanClosed")?,
        would_block: get(c"WouldBlock")?,
        deadlock: get(c"Deadlock")?,
        misuse: get(c"Misuse")?,
        cancelled: get(c"Cancelled")?,
        closed: get(c"CLOSED")?,
        stats: get(c"Stats")?,
        go_info: get(c"GoInfo")?,
        threading: py::import(c"threading")?.attr(c"__dict__")?.into_ptr(),
        trace_hook: py::interned(c"_trace_hook")?.into_ptr(),
        profile_hook: py::interned(c"_profile_hook")?.into_ptr(),
        nothing_now: py::string("nothing to receive now")?.into_ptr(),
        types,
    };
    let _ = CONSTS.set(consts);
    Ok(())
}

/// `CLOSED`.
pub fn closed() -> Obj {
    // SAFETY: the constants are alive.
    unsafe { Obj::share(consts().closed) }
}

/// Whether `o` is exactly of this type (all of ours are final).
#[inline]
pub fn is_exactly(o: *mut PyObject, t: *mut PyTypeObject) -> bool {
    // SAFETY: o is live, so its type can be read.
    core::ptr::eq(unsafe { f::Py_TYPE(o) }, t)
}
