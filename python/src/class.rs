//! What all types of the module share: making one, freeing an instance, refusing to be pickled.
//!
//! Where it sits: above `py`; the types use it.

use crate::ffi::{self as f, visitproc, PyObject, PyTypeObject, PyType_Slot, PyType_Spec};
use crate::py::{self, Obj, Res};
use core::ffi::{c_int, c_uint, c_void, CStr};
use core::mem::transmute;

/// How instances come about and what the collector knows of them.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Made by calling the type; holds no object.
    Plain,
    /// Made by calling the type; holds objects.
    Holder,
    /// Made by a method only; holds objects.
    Internal,
}

/// Makes a final heap type, which lives as long as the process. `slots` ends with a zero entry.
pub fn make(name: &'static CStr, size: usize, kind: Kind, slots: *mut PyType_Slot) -> Res<*mut PyTypeObject> {
    let flags = match kind {
        Kind::Plain => 0,
        Kind::Holder => f::Py_TPFLAGS_HAVE_GC,
        Kind::Internal => f::Py_TPFLAGS_HAVE_GC | f::Py_TPFLAGS_DISALLOW_INSTANTIATION,
    };
    let mut spec = PyType_Spec {
        name: name.as_ptr(),
        basicsize: size as c_int,
        itemsize: 0,
        flags: (f::Py_TPFLAGS_DEFAULT | flags) as c_uint,
        slots,
    };
    // SAFETY: P1; the tables are static; a new reference or an exception.
    let t = unsafe { Obj::own(f::PyType_FromSpec(&mut spec))? };
    Ok(t.into_ptr().cast())
}

/// A new instance, all its fields zero.
pub fn allocate(t: *mut PyTypeObject) -> Res<Obj> {
    // SAFETY: P1; one of our types; a new reference or an exception.
    unsafe { Obj::own(f::PyType_GenericAlloc(t, 0)) }
}

/// Gives an instance's memory back; what it held has been dropped.
///
/// # Safety
/// Called last in `tp_dealloc` of one of our types.
pub unsafe fn free(slf: *mut PyObject) {
    // SAFETY: a heap type's instance owns a reference to it; the slot is the one its allocation is matched with.
    unsafe {
        let t = f::Py_TYPE(slf);
        let free = f::PyType_GetSlot(t, f::Py_tp_free);
        transmute::<*mut c_void, f::freefunc>(free)(slf.cast());
        f::Py_DECREF(t.cast());
    }
}

/// Visits the type, which an instance of a heap type owns, and one field.
///
/// # Safety
/// The arguments are those of `tp_traverse`; `held` is null or owned by `slf`.
pub unsafe fn visit(slf: *mut PyObject, held: &[*mut PyObject], visit: visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: the caller's.
    unsafe {
        let code = visit(f::Py_TYPE(slf).cast(), arg);
        if code != 0 {
            return code;
        }
        for &o in held.iter().filter(|o| !o.is_null()) {
            let code = visit(o, arg);
            if code != 0 {
                return code;
            }
        }
    }
    0
}

/// Takes a field's reference away.
///
/// # Safety
/// The field is null or an owned reference.
pub unsafe fn clear(field: &mut *mut PyObject) {
    let o = core::mem::replace(field, core::ptr::null_mut());
    // SAFETY: the caller's; P1.
    unsafe { f::Py_XDECREF(o) };
}

/// `__reduce__`: what lives in one process cannot be pickled or copied.
pub fn no_pickle(slf: *mut PyObject) -> Res<Obj> {
    let class = py::class_name(slf);
    let what = match class.as_str() {
        "Chan" | "_SendView" | "_RecvView" => "channels live",
        "Timer" => "timers live",
        _ => "it lives",
    };
    Err(py::type_error(&format!("cannot pickle 'zokor.{class}': {what} in one process")))
}

/// `_case`, which is there for type checkers.
pub fn no_call(_: *mut PyObject) -> Res<Obj> {
    Err(py::type_error("a case is handed to select(), not called"))
}

pub const REDUCE_DOC: &CStr = c"__reduce__($self, /)\n--\n\nRaises TypeError: the object lives in one process.";
pub const CASE_DOC: &CStr = c"_case($self, /)\n--\n\nTells type checkers what select yields.";
