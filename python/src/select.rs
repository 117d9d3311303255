//! `select` and `SendCase`.
//!
//! Where it sits: above `chan` and `time`; the choice itself is the engine's.

use crate::class::{self, Kind};
use crate::consts::{closed, consts, is_exactly};
use crate::ffi::{self as f, PyObject, PyTypeObject, Table};
use crate::py::{self, Args, Obj, Res};
use crate::raw::{self, Case, Error, Op};
use crate::{chan, time, wait};
use core::ffi::{c_int, c_void};
use core::ptr;

/// An instance of `SendCase`: send `value` on the `Chan`.
#[repr(C)]
struct SendCase {
    base: PyObject,
    chan: *mut PyObject,
    value: *mut PyObject,
}

/// `chan.to_send(value)`.
pub fn send_case(chan: *mut PyObject, value: *mut PyObject) -> Res<Obj> {
    let case = class::allocate(consts().types.send_case)?;
    let this = case.as_ptr().cast::<SendCase>();
    // SAFETY: a new instance; both objects are borrowed from the caller.
    unsafe {
        (*this).chan = Obj::share(chan).into_ptr();
        (*this).value = Obj::share(value).into_ptr();
    }
    Ok(case)
}

/// What a case does with its cell.
#[derive(Clone, Copy, PartialEq)]
enum What {
    /// Switched off by `None`.
    Nothing,
    /// The cell holds a reference that the channel takes over.
    Send,
    /// The channel hands a reference over into the cell.
    Recv,
    /// A timer's channel writes a time into the cell.
    Tick,
}

/// A case as `select` keeps it while the engine works on the cells.
struct Row {
    what: What,
    cell: u64,
}

/// So many cases need no allocation.
const FEW: usize = 8;

py::fast!(select_slot, "select", select);

fn select(_: *mut PyObject, args: Args<'_>) -> Res<Obj> {
    let [timeout] = args.named([c"timeout"])?;
    let deadline = wait::deadline(timeout)?;
    let given = args.positional();
    if given.len() <= FEW {
        let mut rows: [Row; FEW] = core::array::from_fn(|_| Row { what: What::Nothing, cell: 0 });
        let mut cases: [Case; FEW] = core::array::from_fn(|_| nothing());
        choose(given, &mut rows[..given.len()], &mut cases[..given.len()], deadline)
    } else {
        let mut rows: Vec<Row> = given.iter().map(|_| Row { what: What::Nothing, cell: 0 }).collect();
        let mut cases: Vec<Case> = given.iter().map(|_| nothing()).collect();
        choose(given, &mut rows, &mut cases, deadline)
    }
}

/// A case that is never ready.
fn nothing() -> Case {
    Case { chan: ptr::null(), elem: ptr::null_mut(), op: Op::Recv }
}

/// Selects among `given`; `rows` and `cases` have as many entries and do not move.
fn choose(given: &[*mut PyObject], rows: &mut [Row], cases: &mut [Case], deadline: raw::Time) -> Res<Obj> {
    for (i, &o) in given.iter().enumerate() {
        prepare(i, o, &mut rows[i], &mut cases[i])?;
    }
    for row in rows.iter().filter(|r| r.what == What::Send) {
        // SAFETY: the SendCase holds the value; from here on the cell does too.
        unsafe { f::Py_INCREF(row.cell as *mut PyObject) };
    }
    // SAFETY: the cells are 8 bytes, as the elements of our channels and of timers are, and alive until the call is back.
    let answer = wait::blocking(deadline, |d| unsafe { raw::select(cases, d, raw::Order::Fair) });
    let sent = match &answer {
        Ok(Ok(s)) if s.ok() => Some(s.index),
        _ => None,
    };
    for (i, row) in rows.iter().enumerate() {
        if row.what == What::Send && sent != Some(i) {
            // SAFETY: the channel has not taken it.
            unsafe { f::Py_DECREF(row.cell as *mut PyObject) };
        }
    }
    match answer? {
        Ok(s) => result(&s, &rows[s.index], cases[s.index].chan),
        Err(Error::TimedOut | Error::WouldBlock) => Ok(py::none()),
        Err(e) => Err(wait::error(e, "select")),
    }
}

/// Fills one case in.
#[inline]
fn prepare(i: usize, o: *mut PyObject, row: &mut Row, case: &mut Case) -> Res<()> {
    if py::is_none(o) {
        return Ok(());
    }
    case.elem = ptr::from_mut(&mut row.cell).cast();
    if let Some(c) = chan::receiver_of(o) {
        row.what = What::Recv;
        case.chan = c;
    } else if is_exactly(o, consts().types.send_case) {
        // SAFETY: checked just now; it lives as long as the caller's argument.
        let send = unsafe { &*o.cast::<SendCase>() };
        row.what = What::Send;
        row.cell = send.value as u64;
        case.chan = chan::sender_of(send.chan);
        case.op = Op::Send;
    } else if is_exactly(o, consts().types.timer) {
        row.what = What::Tick;
        case.chan = time::channel_of(o);
    } else {
        return Err(py::type_error(&format!(
            "select() case {i} must be a channel, chan.to_send(value), a Timer or None, not '{}'",
            py::class_name(o)
        )));
    }
    Ok(())
}

/// `(index, value)` of the case that was chosen.
fn result(s: &raw::Selected, row: &Row, chan: *const raw::ByteChan) -> Res<Obj> {
    let value = match (row.what, s.ok()) {
        (What::Send, false) => return Err(chan::send_closed(chan)),
        (What::Send | What::Nothing, _) => py::none(),
        (_, false) => closed(),
        // SAFETY: the channel has handed its reference over.
        (What::Recv, true) => unsafe { Obj::own(row.cell as *mut PyObject)? },
        (What::Tick, true) => py::float(wait::seconds(row.cell as raw::Time))?,
    };
    let index = py::int(s.index as i64)?;
    // SAFETY: P1; the new tuple takes both references over.
    unsafe {
        let pair = Obj::own(f::PyTuple_New(2))?;
        f::PyTuple_SetItem(pair.as_ptr(), 0, index.into_ptr());
        f::PyTuple_SetItem(pair.as_ptr(), 1, value.into_ptr());
        Ok(pair)
    }
}

// ---- tables --------------------------------------------------------------------------------------------------

unsafe extern "C" fn dealloc(slf: *mut PyObject) {
    // SAFETY: called once, with the last reference gone.
    unsafe {
        f::PyObject_GC_UnTrack(slf.cast());
        let this = slf.cast::<SendCase>();
        class::clear(&mut (*this).chan);
        class::clear(&mut (*this).value);
        class::free(slf);
    }
}

unsafe extern "C" fn traverse(slf: *mut PyObject, visit: f::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: tp_traverse's arguments.
    unsafe {
        let this = slf.cast::<SendCase>();
        class::visit(slf, &[(*this).chan, (*this).value], visit, arg)
    }
}

py::plain!(reduce_slot, |slf, _| class::no_pickle(slf));
py::plain!(case_slot, |slf, _| class::no_call(slf));
py::unary!(repr_slot, |slf: *mut PyObject| {
    // SAFETY: slf is a SendCase, alive for the call.
    let of = unsafe { Obj::share((*slf.cast::<SendCase>()).chan) };
    py::string(&format!("<zokor.SendCase on {}>", of.text()))
});

static METHODS: Table<f::PyMethodDef, 3> = Table::new([
    f::noargs(c"_case", case_slot, class::CASE_DOC),
    f::noargs(c"__reduce__", reduce_slot, class::REDUCE_DOC),
    f::END,
]);
static SLOTS: Table<f::PyType_Slot, 6> = Table::new([
    f::slot(f::Py_tp_doc, c"A send for ``select``, made by ``chan.to_send(value)``.".as_ptr() as *mut c_void),
    f::slot(f::Py_tp_dealloc, dealloc as *mut c_void),
    f::slot(f::Py_tp_traverse, traverse as *mut c_void),
    f::slot(f::Py_tp_repr, repr_slot as *mut c_void),
    f::slot(f::Py_tp_methods, METHODS.get().cast()),
    f::slot(0, ptr::null_mut()),
]);

/// `SendCase`.
pub fn send_case_type() -> Res<*mut PyTypeObject> {
    class::make(c"zokor.SendCase", size_of::<SendCase>(), Kind::Internal, SLOTS.get())
}

/// The functions of this file.
pub const FUNCTIONS: [f::PyMethodDef; 1] = [f::fastcall(
    c"select",
    select_slot,
    c"select($module, /, *cases, timeout=None)\n--\n\nWait until one case can proceed, do it, return ``(index, value)``.\n\nA receive yields the value, or ``CLOSED``; a send yields ``None``, or raises\n``ChanClosed``. Among several ready cases the choice is random. ``None`` cases are\nskipped, so a variable can switch a case off. ``timeout=0`` is Go's ``default``.",
)];
