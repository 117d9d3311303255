//! `sleep`, `now`, `Timer`, `after` and `tick`.
//!
//! Where it sits: above `wait` and `class`; the timers are the engine's.

use crate::class::{self, Kind};
use crate::consts::consts;
use crate::ffi::{self as f, PyObject, PyTypeObject, Table};
use crate::py::{self, Args, Obj, Res};
use crate::raw::{self, ByteChan, Error};
use crate::{chan, wait};
use core::ffi::c_void;
use core::ptr;
use std::sync::Arc;

/// An instance of `Timer`.
#[repr(C)]
struct Timer {
    base: PyObject,
    /// `Arc::into_raw`; null only before `__new__` has finished.
    timer: *const raw::Timer,
    weak: *mut PyObject,
}

fn timer<'a>(slf: *mut PyObject) -> &'a raw::Timer {
    // SAFETY: slf is a Timer, alive for the call, and so is what it owns.
    unsafe { &*(*slf.cast::<Timer>()).timer }
}

/// The engine's channel of a `Timer`: its elements are times.
pub fn channel_of(slf: *mut PyObject) -> *const ByteChan {
    timer(slf).chan().map_or(ptr::null(), Arc::as_ptr)
}

/// The next tick in seconds.
pub fn receive(slf: *mut PyObject, deadline: raw::Time) -> Res<Obj> {
    let c = channel_of(slf);
    let mut due: raw::Time = 0;
    // SAFETY: the timer owns the channel; its element is a time, alive until the call is back.
    match wait::blocking(deadline, |d| unsafe { (*c).recv(ptr::from_mut(&mut due).cast(), d) })? {
        Ok(()) => py::float(wait::seconds(due)),
        Err(e) => Err(wait::error(e, "recv")),
    }
}

fn recv(slf: *mut PyObject, args: Args<'_>) -> Res<Obj> {
    let [] = args.exactly()?;
    let [timeout] = args.named([c"timeout"])?;
    receive(slf, wait::deadline(timeout)?)
}

fn try_recv(slf: *mut PyObject, _: *mut PyObject) -> Res<Obj> {
    let mut due: raw::Time = 0;
    // SAFETY: as in `receive`; with NOWAIT nothing parks.
    match unsafe { (*channel_of(slf)).recv(ptr::from_mut(&mut due).cast(), raw::NOWAIT) } {
        Ok(()) => py::float(wait::seconds(due)),
        Err(Error::WouldBlock | Error::TimedOut) => Err(py::raise(consts().would_block, "the timer has not fired")),
        Err(e) => Err(wait::error(e, "try_recv")),
    }
}

fn stop(slf: *mut PyObject, _: *mut PyObject) -> Res<Obj> {
    Ok(py::boolean(timer(slf).stop()))
}

fn reset(slf: *mut PyObject, seconds: *mut PyObject) -> Res<Obj> {
    let first = wait::nanoseconds(py::to_seconds(seconds, "seconds")?);
    Ok(py::boolean(timer(slf).reset(first.min(FAR))))
}

fn exit(slf: *mut PyObject, args: Args<'_>) -> Res<Obj> {
    let [_, _, _] = args.exactly()?;
    timer(slf).stop();
    Ok(py::none())
}

py::fast!(recv_slot, "recv", recv);
py::fast!(exit_slot, "__exit__", exit);
py::plain!(try_recv_slot, try_recv);
py::plain!(stop_slot, stop);
py::plain!(reset_slot, reset);
py::plain!(enter_slot, |slf, _| {
    // SAFETY: borrowed from the caller.
    Ok(unsafe { Obj::share(slf) })
});
py::plain!(reduce_slot, |slf, _| class::no_pickle(slf));
py::plain!(case_slot, |slf, _| class::no_call(slf));
py::unary!(iter_slot, chan::iterate);

/// 146 years in nanoseconds.
const FAR: i64 = i64::MAX >> 1;

/// A new `Timer`, `first` and `period` in nanoseconds; a period of 0 fires once.
fn make(first: i64, period: i64) -> Res<Obj> {
    // A timer beyond the clock is one that fires in a century, not one that was never set.
    let timer = raw::Timer::new(first.min(FAR), period.min(FAR)).map_err(|e| wait::error(e, "Timer"))?;
    let slf = class::allocate(consts().types.timer)?;
    // SAFETY: a new instance of Timer.
    unsafe { (*slf.as_ptr().cast::<Timer>()).timer = Arc::into_raw(timer) };
    Ok(slf)
}

/// A period in nanoseconds: more than 0.
fn period(seconds: *mut PyObject) -> Res<i64> {
    let seconds = py::to_seconds(seconds, "period")?;
    if seconds <= 0.0 {
        return Err(py::value_error("a period must be more than 0 seconds"));
    }
    Ok(wait::nanoseconds(seconds))
}

unsafe extern "C" fn new(_: *mut PyTypeObject, args: *mut PyObject, kwargs: *mut PyObject) -> *mut PyObject {
    let make = || -> Res<Obj> {
        let (mut seconds, mut every): (*mut PyObject, *mut PyObject) = (ptr::null_mut(), ptr::null_mut());
        let mut names = [c"".as_ptr(), c"period".as_ptr(), ptr::null()];
        // SAFETY: O fills an object pointer, borrowed from the caller.
        unsafe { py::parse_new(args, kwargs, c"O|$O:Timer", &mut names, &mut seconds, &mut every)? };
        let first = wait::nanoseconds(py::to_seconds(seconds, "seconds")?);
        let every = if every.is_null() || py::is_none(every) { 0 } else { period(every)? };
        make(first, every)
    };
    py::give(make())
}

unsafe extern "C" fn dealloc(slf: *mut PyObject) {
    // SAFETY: called once, with the last reference gone; a null timer is one whose `__new__` failed.
    unsafe {
        let this = slf.cast::<Timer>();
        if !(*this).weak.is_null() {
            f::PyObject_ClearWeakRefs(slf);
        }
        if !(*this).timer.is_null() {
            let timer = Arc::from_raw((*this).timer);
            timer.stop();
            drop(timer);
        }
        class::free(slf);
    }
}

// ---- functions -----------------------------------------------------------------------------------------------

py::plain!(sleep, |_, seconds: *mut PyObject| {
    let until = wait::after(py::to_seconds(seconds, "seconds")?);
    // A sleep that ends at its time has succeeded; one that `wait` has made end earlier, to look around, has not.
    let op = |end| raw::sleep_until(end).and(if end < until { Err(Error::TimedOut) } else { Ok(()) });
    match wait::blocking(until, op)? {
        Ok(()) | Err(Error::TimedOut) => Ok(py::none()),
        Err(e) => Err(wait::error(e, "sleep")),
    }
});
py::plain!(yield_now, |_, _| {
    match wait::blocking(raw::NOWAIT, |_| {
        raw::yield_now();
        Ok(())
    })? {
        Ok(()) => Ok(py::none()),
        Err(e) => Err(wait::error(e, "yield_now")),
    }
});
py::plain!(now, |_, _| py::float(wait::seconds(raw::now())));
py::plain!(after, |_, seconds: *mut PyObject| { make(wait::nanoseconds(py::to_seconds(seconds, "seconds")?), 0) });
py::plain!(tick, |_, seconds: *mut PyObject| {
    let every = period(seconds)?;
    make(every, every)
});

/// The functions of this file.
pub const FUNCTIONS: [f::PyMethodDef; 5] = [
    f::onearg(
        c"sleep",
        sleep,
        c"sleep($module, seconds, /)\n--\n\nLet others run for that long; negative counts as 0.",
    ),
    f::noargs(c"yield_now", yield_now, c"yield_now($module, /)\n--\n\nLet others run that are ready."),
    f::noargs(c"now", now, c"now($module, /)\n--\n\n``time.monotonic()``; virtual inside ``testing.run``."),
    f::onearg(c"after", after, c"after($module, seconds, /)\n--\n\nA channel that delivers the monotonic time once."),
    f::onearg(c"tick", tick, c"tick($module, seconds, /)\n--\n\nA repeating timer; late ticks are dropped."),
];

static METHODS: Table<f::PyMethodDef, 9> = Table::new([
    f::noargs(c"stop", stop_slot, c"stop($self, /)\n--\n\nTrue if it was still to fire. Afterwards it does not."),
    f::onearg(
        c"reset",
        reset_slot,
        c"reset($self, seconds, /)\n--\n\nFire after ``seconds`` from now, and every period from then on.",
    ),
    f::fastcall(
        c"recv",
        recv_slot,
        c"recv($self, *, timeout=None)\n--\n\nWait for it to fire; the monotonic time it was due.",
    ),
    f::noargs(
        c"try_recv",
        try_recv_slot,
        c"try_recv($self, /)\n--\n\nThe time it was due, if it has fired, else ``WouldBlock``.",
    ),
    f::noargs(c"__enter__", enter_slot, c"__enter__($self, /)\n--\n\nReturns self."),
    f::fastcall(c"__exit__", exit_slot, c"__exit__($self, et, ev, tb, /)\n--\n\nStops."),
    f::noargs(c"_case", case_slot, class::CASE_DOC),
    f::noargs(c"__reduce__", reduce_slot, class::REDUCE_DOC),
    f::END,
]);
static MEMBERS: Table<f::PyMemberDef, 2> = Table::new(f::weaklist_member(core::mem::offset_of!(Timer, weak)));
static SLOTS: Table<f::PyType_Slot, 7> = Table::new([
    f::slot(f::Py_tp_doc, c"Timer(seconds, /, *, period=None)\n--\n\nFires once after ``seconds``, or every ``period``. Iterate or select on it.".as_ptr() as *mut c_void),
    f::slot(f::Py_tp_new, new as *mut c_void),
    f::slot(f::Py_tp_dealloc, dealloc as *mut c_void),
    f::slot(f::Py_tp_iter, iter_slot as *mut c_void),
    f::slot(f::Py_tp_methods, METHODS.get().cast()),
    f::slot(f::Py_tp_members, MEMBERS.get().cast()),
    f::slot(0, ptr::null_mut()),
]);

/// `Timer`.
pub fn timer_type() -> Res<*mut PyTypeObject> {
    let t = class::make(c"zokor.Timer", size_of::<Timer>(), Kind::Plain, SLOTS.get())?;
    // SAFETY: the type is alive for ever. As for channels, `x in timer` must not receive.
    unsafe { Obj::share(t.cast()) }.set_attr(c"__contains__", &py::none())?;
    Ok(t)
}
