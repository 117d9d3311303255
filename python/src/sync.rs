//! `WaitGroup`.
//!
//! Where it sits: above `wait`, `class` and `goroutine`; the counting is the engine's.

use crate::class::{self, Kind};
use crate::consts::consts;
use crate::ffi::{self as f, PyObject, PyTypeObject, Table};
use crate::py::{self, Args, Obj, Res};
use crate::{goroutine, raw, wait};
use core::ffi::c_void;
use core::ptr;

/// An instance of `WaitGroup`; zero is a group that waits for nothing.
#[repr(C)]
struct WaitGroup {
    base: PyObject,
    group: raw::RawWaitGroup,
    weak: *mut PyObject,
}

fn group<'a>(slf: *mut PyObject) -> &'a raw::RawWaitGroup {
    // SAFETY: slf is a WaitGroup, alive for the call; zeroed memory is a valid group.
    unsafe { &(*slf.cast::<WaitGroup>()).group }
}

fn count(slf: *mut PyObject, delta: i64, what: &str) -> Res<Obj> {
    match group(slf).add(delta) {
        Ok(()) => Ok(py::none()),
        Err(raw::Error::Invalid) => Err(py::raise(consts().misuse, "sync: negative WaitGroup counter")),
        Err(e) => Err(wait::error(e, what)),
    }
}

/// A goroutine started by `WaitGroup.go` has ended.
pub fn group_done(slf: &Obj) {
    if let Err(e) = count(slf.as_ptr(), -1, "done") {
        py::unraisable(e, slf.as_ptr());
    }
}

fn add(slf: *mut PyObject, args: Args<'_>) -> Res<Obj> {
    let [] = args.named([])?;
    let n = args.optional()?.map_or(Ok(1), py::to_i64)?;
    count(slf, n, "add")
}

fn wait_for(slf: *mut PyObject, args: Args<'_>) -> Res<Obj> {
    let [] = args.exactly()?;
    let [timeout] = args.named([c"timeout"])?;
    let deadline = wait::deadline(timeout)?;
    match wait::blocking(deadline, |d| group(slf).wait(d))? {
        Ok(()) => Ok(py::none()),
        Err(e) => Err(wait::error(e, "wait")),
    }
}

fn go(slf: *mut PyObject, args: Args<'_>) -> Res<Obj> {
    let Some((&func, rest)) = args.positional().split_first() else {
        return Err(py::type_error("go() needs something to call"));
    };
    count(slf, 1, "go")?;
    // SAFETY: borrowed from the caller.
    let me = unsafe { Obj::share(slf) };
    match goroutine::spawn(func, rest, &args, Some(me)) {
        Ok(()) => Ok(py::none()),
        Err(e) => {
            let e = py::fetch(e);
            count(slf, -1, "go")?;
            Err(py::restore(e))
        }
    }
}

py::fast!(add_slot, "add", add);
py::fast!(wait_slot, "wait", wait_for);
py::fast!(go_slot, "go", go);
py::plain!(done_slot, |slf, _| count(slf, -1, "done"));
py::plain!(reduce_slot, |slf, _| class::no_pickle(slf));

unsafe extern "C" fn new(t: *mut PyTypeObject, args: *mut PyObject, kwargs: *mut PyObject) -> *mut PyObject {
    let make = || -> Res<Obj> {
        let (mut n, mut unused): (*mut PyObject, *mut PyObject) = (ptr::null_mut(), ptr::null_mut());
        let mut names = [c"".as_ptr(), ptr::null(), ptr::null()];
        // SAFETY: O fills an object pointer, borrowed from the caller; the second one is not asked for.
        unsafe { py::parse_new(args, kwargs, c"|O:WaitGroup", &mut names, &mut n, &mut unused)? };
        let n = if n.is_null() { 0 } else { py::to_i64(n)? };
        let slf = class::allocate(t)?;
        count(slf.as_ptr(), n, "WaitGroup")?;
        Ok(slf)
    };
    py::give(make())
}

unsafe extern "C" fn dealloc(slf: *mut PyObject) {
    // SAFETY: called once, with the last reference gone: nobody waits, who waits holds one.
    unsafe {
        if !(*slf.cast::<WaitGroup>()).weak.is_null() {
            f::PyObject_ClearWeakRefs(slf);
        }
        class::free(slf);
    }
}

static METHODS: Table<f::PyMethodDef, 6> = Table::new([
    f::fastcall(c"add", add_slot, c"add($self, n=1, /)\n--\n\nWait for ``n`` more. ``Misuse`` below zero."),
    f::noargs(c"done", done_slot, c"done($self, /)\n--\n\nWait for one less. ``Misuse`` below zero."),
    f::fastcall(c"wait", wait_slot, c"wait($self, *, timeout=None)\n--\n\nWait until the count is zero."),
    f::fastcall(
        c"go",
        go_slot,
        c"go($self, fn, /, *args, **kwargs)\n--\n\nStart ``fn(*args, **kwargs)`` in a goroutine and wait for its end too.",
    ),
    f::noargs(c"__reduce__", reduce_slot, class::REDUCE_DOC),
    f::END,
]);
static MEMBERS: Table<f::PyMemberDef, 2> = Table::new(f::weaklist_member(core::mem::offset_of!(WaitGroup, weak)));
static SLOTS: Table<f::PyType_Slot, 6> = Table::new([
    f::slot(
        f::Py_tp_doc,
        c"WaitGroup(n=0, /)\n--\n\nWaits until as many goroutines are done as were added.".as_ptr() as *mut c_void,
    ),
    f::slot(f::Py_tp_new, new as *mut c_void),
    f::slot(f::Py_tp_dealloc, dealloc as *mut c_void),
    f::slot(f::Py_tp_methods, METHODS.get().cast()),
    f::slot(f::Py_tp_members, MEMBERS.get().cast()),
    f::slot(0, ptr::null_mut()),
]);

/// `WaitGroup`.
pub fn wait_group_type() -> Res<*mut PyTypeObject> {
    class::make(c"zokor.WaitGroup", size_of::<WaitGroup>(), Kind::Plain, SLOTS.get())
}
