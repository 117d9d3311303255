//! What CPython offers beyond the stable ABI of 3.11, and the tables that types and functions are made of.
//!
//! Where it sits: used by every other file of the crate; calls nothing of it.
//!
//! One binary serves every supported version, so a function outside the stable ABI is never linked: it is looked up by
//! name at import ([`Extra`]). All of them have been exported by every CPython since 3.9.
//!
//! A CPython before 3.14 ends a thread that asks for the GIL during finalization by unwinding its stack. Calls that run
//! Python code are therefore declared `C-unwind` and made under a [`HangGuard`], which stops that walk.

use core::ffi::{c_char, c_int, c_void, CStr};
use std::cell::UnsafeCell;
use std::sync::OnceLock;

pub use pyo3_ffi::*;

/// `PyObject_SetArenaAllocator`'s argument.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ArenaAllocator {
    pub ctx: *mut c_void,
    pub alloc: Option<unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void>,
    pub free: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, usize)>,
}

// SAFETY: the pointers are to functions and to state that CPython itself shares between threads.
unsafe impl Send for ArenaAllocator {}
// SAFETY: as above.
unsafe impl Sync for ArenaAllocator {}

/// Functions of CPython outside the stable ABI.
pub struct Extra {
    pub vectorcall:
        unsafe extern "C-unwind" fn(*mut PyObject, *const *mut PyObject, usize, *mut PyObject) -> *mut PyObject,
    pub context_copy: unsafe extern "C-unwind" fn() -> *mut PyObject,
    pub context_enter: unsafe extern "C-unwind" fn(*mut PyObject) -> c_int,
    pub context_exit: unsafe extern "C-unwind" fn(*mut PyObject) -> c_int,
    pub gil_check: unsafe extern "C" fn() -> c_int,
    pub arena_get: unsafe extern "C" fn(*mut ArenaAllocator),
    pub arena_set: unsafe extern "C" fn(*mut ArenaAllocator),
    /// 3.14.1 and later: tells a thread state where its C stack lies.
    pub protect_stack: Option<unsafe extern "C" fn(*mut PyThreadState, *mut c_void, usize) -> c_int>,
    /// 3.14.1 and later: back to the stack of the thread.
    pub unprotect_stack: Option<unsafe extern "C" fn(*mut PyThreadState)>,
}

/// Room for one of PyObject_Vectorcall's arguments in front of the first is at the callee's disposal.
pub const VECTORCALL_OFFSET: usize = 1 << (usize::BITS - 1);

static EXTRA: OnceLock<Extra> = OnceLock::new();

/// The functions found at import.
#[inline]
pub fn extra() -> &'static Extra {
    match EXTRA.get() {
        Some(e) => e,
        // The module is not importable before `load` has succeeded.
        None => std::process::abort(),
    }
}

/// The function of that name, as a value of the function type `F`.
///
/// # Safety
/// `F` is the type of a pointer to that function.
unsafe fn symbol<F>(name: &'static CStr) -> Result<F, &'static CStr> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the name is a C string; RTLD_DEFAULT searches the running program.
    let p = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if p.is_null() {
        return Err(name);
    }
    // SAFETY: by the caller F is a function pointer, and p points to a function of that type.
    Ok(unsafe { core::mem::transmute_copy::<*mut c_void, F>(&p) })
}

/// Looks the functions up; the error is the name of the first that is missing.
#[allow(clippy::missing_transmute_annotations)] // the types stand in `Extra`, once
pub fn load() -> Result<(), &'static CStr> {
    // SAFETY: each symbol is the function of that name in CPython's headers, with the type written in `Extra`.
    let extra = unsafe {
        Extra {
            vectorcall: symbol(c"PyObject_Vectorcall")?,
            context_copy: symbol(c"PyContext_CopyCurrent")?,
            context_enter: symbol(c"PyContext_Enter")?,
            context_exit: symbol(c"PyContext_Exit")?,
            gil_check: symbol(c"PyGILState_Check")?,
            arena_get: symbol(c"PyObject_GetArenaAllocator")?,
            arena_set: symbol(c"PyObject_SetArenaAllocator")?,
            protect_stack: symbol(c"PyUnstable_ThreadState_SetStackProtection").ok(),
            unprotect_stack: symbol(c"PyUnstable_ThreadState_ResetStackProtection").ok(),
        }
    };
    let _ = EXTRA.set(extra);
    Ok(())
}

extern "C-unwind" {
    /// From 3.12 on this gives the GIL up for a moment, and so may be where a thread is ended.
    #[link_name = "PyThreadState_Swap"]
    fn swap_unwinding(new: *mut PyThreadState) -> *mut PyThreadState;
}

/// `PyThreadState_Swap` that never comes back once the interpreter is ending.
///
/// # Safety
/// The GIL is held with another thread state than `new`.
pub unsafe fn swap(new: *mut PyThreadState) {
    let guard = HangGuard;
    // SAFETY: the caller's.
    unsafe { swap_unwinding(new) };
    core::mem::forget(guard);
}

/// Stops a forced unwind: while one is alive in a frame, a thread that CPython ends during finalization sleeps for
/// ever instead (what CPython itself does from 3.14 on). Forget it when the call came back.
pub struct HangGuard;

impl Drop for HangGuard {
    fn drop(&mut self) {
        hang()
    }
}

/// Sleeps until the process ends.
pub fn hang() -> ! {
    loop {
        // SAFETY: pause has no preconditions.
        unsafe { libc::pause() };
    }
}

// ---- tables --------------------------------------------------------------------------------------------------

/// A table that CPython reads (and whose entries it may write to) while it holds the GIL.
#[repr(transparent)]
pub struct Table<T, const N: usize>(UnsafeCell<[T; N]>);

// SAFETY: only CPython looks inside, and it does so under the GIL.
unsafe impl<T, const N: usize> Sync for Table<T, N> {}

impl<T, const N: usize> Table<T, N> {
    pub const fn new(entries: [T; N]) -> Self {
        Table(UnsafeCell::new(entries))
    }
    pub const fn get(&'static self) -> *mut T {
        self.0.get().cast()
    }
}

const fn method(name: &'static CStr, meth: PyMethodDefPointer, flags: c_int, doc: &'static CStr) -> PyMethodDef {
    PyMethodDef { ml_name: name.as_ptr(), ml_meth: meth, ml_flags: flags, ml_doc: doc.as_ptr() }
}

/// A function without arguments.
pub const fn noargs(name: &'static CStr, f: PyCFunction, doc: &'static CStr) -> PyMethodDef {
    method(name, PyMethodDefPointer { PyCFunction: f }, METH_NOARGS, doc)
}

/// A function of one positional argument.
pub const fn onearg(name: &'static CStr, f: PyCFunction, doc: &'static CStr) -> PyMethodDef {
    method(name, PyMethodDefPointer { PyCFunction: f }, METH_O, doc)
}

/// A class method of one positional argument.
pub const fn classarg(name: &'static CStr, f: PyCFunction, doc: &'static CStr) -> PyMethodDef {
    method(name, PyMethodDefPointer { PyCFunction: f }, METH_O | METH_CLASS, doc)
}

/// A function of any arguments.
pub const fn fastcall(name: &'static CStr, f: PyCFunctionFastWithKeywords, doc: &'static CStr) -> PyMethodDef {
    let f = PyMethodDefPointer { PyCFunctionFastWithKeywords: f };
    method(name, f, METH_FASTCALL | METH_KEYWORDS, doc)
}

/// The end of a method table.
pub const END: PyMethodDef = PyMethodDef::zeroed();

/// A read-only property.
pub const fn getter(
    name: &'static CStr,
    get: unsafe extern "C" fn(*mut PyObject, *mut c_void) -> *mut PyObject,
    doc: &'static CStr,
) -> PyGetSetDef {
    PyGetSetDef { name: name.as_ptr(), get: Some(get), set: None, doc: doc.as_ptr(), closure: core::ptr::null_mut() }
}

/// The end of a property table.
pub const END_GETTERS: PyGetSetDef = PyGetSetDef {
    name: core::ptr::null(),
    get: None,
    set: None,
    doc: core::ptr::null(),
    closure: core::ptr::null_mut(),
};

/// The members of a type whose instances can be weakly referenced through the pointer at `offset`.
pub const fn weaklist_member(offset: usize) -> [PyMemberDef; 2] {
    const NONE: PyMemberDef =
        PyMemberDef { name: core::ptr::null(), type_code: 0, offset: 0, flags: 0, doc: core::ptr::null() };
    let list = PyMemberDef {
        name: c"__weaklistoffset__".as_ptr() as *const c_char,
        type_code: Py_T_PYSSIZET,
        offset: offset as Py_ssize_t,
        flags: Py_READONLY,
        doc: core::ptr::null(),
    };
    [list, NONE]
}

/// One slot of a type.
pub const fn slot(which: c_int, p: *mut c_void) -> PyType_Slot {
    PyType_Slot { slot: which, pfunc: p }
}
