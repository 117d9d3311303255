//! `Chan`, its two views and its iterator.
//!
//! Where it sits: above `wait` and `class`; `select` reaches into it for the engine's channel.
//!
//! An element is one owned reference, 8 bytes to the engine. It is counted once when it goes in and handed on as it is;
//! the engine drops what nobody receives through [`drop_element`].

use crate::class::{self, Kind};
use crate::consts::{consts, is_exactly};
use crate::ffi::{self as f, PyObject, PyTypeObject, Table};
use crate::py::{self, Args, Obj, Res};
use crate::raw::{self, ByteChan, Error};
use crate::{state, time, wait};
use core::ffi::{c_char, c_int, c_void, CStr};
use core::ptr;
use std::sync::Arc;

/// An instance of `Chan`.
#[repr(C)]
struct Chan {
    base: PyObject,
    /// `Arc::into_raw`; null only before `__new__` has finished.
    chan: *const ByteChan,
    weak: *mut PyObject,
}

/// An instance of a view, of the iterator: anything that holds one other object.
#[repr(C)]
struct Holder {
    base: PyObject,
    /// A `Chan`; for the iterator a `Chan` or a `Timer`.
    of: *mut PyObject,
}

/// The engine's channel of a `Chan` or of a view of one.
#[inline]
fn channel<'a>(slf: *mut PyObject) -> &'a ByteChan {
    let of = if is_exactly(slf, consts().types.chan) { slf } else { held(slf) };
    // SAFETY: `of` is a Chan, alive for the call, and so is what it owns.
    unsafe { &*(*of.cast::<Chan>()).chan }
}

/// The same of what is known to be a `Chan`.
///
/// # Safety
/// It is.
#[inline]
unsafe fn own_channel<'a>(slf: *mut PyObject) -> &'a ByteChan {
    // SAFETY: by the caller; it is alive for the call, and so is what it owns.
    unsafe { &*(*slf.cast::<Chan>()).chan }
}

/// What a view or an iterator holds.
#[inline]
fn held(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: slf is one of the types made of a Holder.
    unsafe { (*slf.cast::<Holder>()).of }
}

/// The channel to receive from in a select case: a `Chan` or its receiving view.
pub fn receiver_of(o: *mut PyObject) -> Option<*const ByteChan> {
    let t = &consts().types;
    (is_exactly(o, t.chan) || is_exactly(o, t.receiver)).then(|| ptr::from_ref(channel(o)))
}

/// The channel of a `Chan` or of its sending view.
pub fn sender_of(o: *mut PyObject) -> *const ByteChan {
    ptr::from_ref(channel(o))
}

// ---- operations ----------------------------------------------------------------------------------------------

fn send(slf: *mut PyObject, args: Args<'_>) -> Res<Obj> {
    let [value] = args.exactly()?;
    let [timeout] = args.named([c"timeout"])?;
    put(slf, value, wait::deadline(timeout)?)?;
    Ok(py::none())
}

/// Sends, and lets the reference go again where that failed.
#[inline]
fn put(slf: *mut PyObject, value: *mut PyObject, deadline: raw::Time) -> Res<()> {
    let c = channel(slf);
    // SAFETY: the value is borrowed from the caller; the channel takes this reference over if it takes the value.
    let sent = unsafe { Obj::share(value) };
    let elem = sent.as_ptr();
    // SAFETY: the element is one pointer, alive until the call is back.
    match wait::on_channel(c, deadline, |d| unsafe { c.send(ptr::from_ref(&elem).cast(), d) })? {
        Ok(()) => {
            let _ = sent.into_ptr();
            Ok(())
        }
        Err(e) => Err(failed(slf, e, "send")),
    }
}

fn recv(slf: *mut PyObject, args: Args<'_>) -> Res<Obj> {
    let [] = args.exactly()?;
    let [timeout] = args.named([c"timeout"])?;
    match take(slf, wait::deadline(timeout)?)? {
        Ok(value) => Ok(value),
        Err(e) => Err(failed(slf, e, "recv")),
    }
}

/// Receives.
#[inline]
fn take(slf: *mut PyObject, deadline: raw::Time) -> Res<raw::Result<Obj>> {
    let c = channel(slf);
    let mut elem: *mut PyObject = ptr::null_mut();
    // SAFETY: the element is one pointer, alive until the call is back.
    let answer = wait::on_channel(c, deadline, |d| unsafe { c.recv(ptr::from_mut(&mut elem).cast(), d) })?;
    Ok(match answer {
        // SAFETY: on success the channel has handed its reference over.
        Ok(()) => Ok(unsafe { Obj::own(elem)? }),
        Err(e) => Err(e),
    })
}

/// Sends on a `Chan`, if that is done at once: see [`wait::unhindered`].
#[inline]
fn put_at_once(slf: *mut PyObject, value: *mut PyObject) -> bool {
    let Some(caller) = wait::unhindered() else { return false };
    // SAFETY: the value is borrowed from the caller; see `put`.
    let sent = unsafe { Obj::share(value) };
    let elem = sent.as_ptr();
    // SAFETY: slf is a Chan, alive for the call; the element is one pointer.
    let done = wait::is_done(unsafe { own_channel(slf).send_at_once(caller, ptr::from_ref(&elem).cast()) });
    if done {
        let _ = sent.into_ptr();
    }
    done
}

/// Receives from a `Chan`, if that is done at once.
#[inline]
fn take_at_once(slf: *mut PyObject) -> Option<Obj> {
    let caller = wait::unhindered()?;
    let mut elem: *mut PyObject = ptr::null_mut();
    // SAFETY: slf is a Chan, alive for the call; the element is one pointer.
    let operation = unsafe { own_channel(slf).recv_at_once(caller, ptr::from_mut(&mut elem).cast()) };
    // SAFETY: the channel has handed its reference over.
    wait::is_done(operation).then(|| unsafe { Obj::maybe(elem) }).flatten()
}

fn try_send(slf: *mut PyObject, value: *mut PyObject) -> Res<Obj> {
    // SAFETY: the value is borrowed from the caller; see `put`.
    let sent = unsafe { Obj::share(value) };
    let elem = sent.as_ptr();
    // SAFETY: the element is one pointer; with NOWAIT nothing parks.
    match unsafe { channel(slf).send(ptr::from_ref(&elem).cast(), raw::NOWAIT) } {
        Ok(()) => {
            let _ = sent.into_ptr();
            Ok(py::boolean(true))
        }
        Err(Error::WouldBlock | Error::TimedOut) => Ok(py::boolean(false)),
        Err(e) => Err(failed(slf, e, "try_send")),
    }
}

fn try_recv(slf: *mut PyObject, _: *mut PyObject) -> Res<Obj> {
    let mut elem: *mut PyObject = ptr::null_mut();
    // SAFETY: the element is one pointer; with NOWAIT nothing parks.
    match unsafe { channel(slf).recv(ptr::from_mut(&mut elem).cast(), raw::NOWAIT) } {
        // SAFETY: the channel has handed its reference over.
        Ok(()) => unsafe { Obj::own(elem) },
        Err(Error::WouldBlock | Error::TimedOut) => {
            // SAFETY: the constants are alive.
            Err(unsafe { py::raise_text(consts().would_block, consts().nothing_now) })
        }
        Err(e) => Err(failed(slf, e, "try_recv")),
    }
}

/// The exception for a failed operation; a closed channel is called by its name.
#[cold]
fn failed(slf: *mut PyObject, e: Error, what: &str) -> py::Raised {
    if e != Error::Closed {
        return wait::error(e, what);
    }
    let name = match channel(slf).name() {
        Some(name) => format!(" '{name}'"),
        None => String::new(),
    };
    let message = match what {
        "send" | "try_send" => format!("send on closed channel{name}"),
        _ => format!("channel{name} is closed and drained"),
    };
    py::raise(consts().chan_closed, &message)
}

/// "send on closed channel", for select.
pub fn send_closed(chan: *const ByteChan) -> py::Raised {
    // SAFETY: the case that named it holds the channel.
    let name = unsafe { (*chan).name() };
    let name = name.map_or(String::new(), |n| format!(" '{n}'"));
    py::raise(consts().chan_closed, &format!("send on closed channel{name}"))
}

fn close(slf: *mut PyObject, _: *mut PyObject) -> Res<Obj> {
    // Closing twice is harmless here.
    match channel(slf).close() {
        Ok(()) | Err(Error::Closed) => Ok(py::none()),
        Err(e) => Err(wait::error(e, "close")),
    }
}

fn to_send(slf: *mut PyObject, value: *mut PyObject) -> Res<Obj> {
    let of = if is_exactly(slf, consts().types.chan) { slf } else { held(slf) };
    crate::select::send_case(of, value)
}

fn enter(slf: *mut PyObject, _: *mut PyObject) -> Res<Obj> {
    // SAFETY: borrowed from the caller.
    Ok(unsafe { Obj::share(slf) })
}

fn exit(slf: *mut PyObject, args: Args<'_>) -> Res<Obj> {
    let [_, _, _] = args.exactly()?;
    close(slf, ptr::null_mut())
}

py::fast!(send_long, "send", send);
py::fast!(recv_long, "recv", recv);

/// The C entries of `send` and `recv`: of a `Chan`, and of a view, which says by `$of` whose it is. What is done at once is done here; the long way is a
/// jump.
macro_rules! entries {
    ($send:ident, $recv:ident, $of:expr) => {
        unsafe extern "C" fn $send(
            slf: *mut PyObject,
            args: *const *mut PyObject,
            n: f::Py_ssize_t,
            names: *mut PyObject,
        ) -> *mut PyObject {
            // SAFETY: CPython calls a method with an object of its type, and a METH_FASTCALL | METH_KEYWORDS one with n arguments; P1.
            unsafe {
                if n == 1 && names.is_null() && put_at_once($of(slf), *args) {
                    return py::none().into_ptr();
                }
                send_long(slf, args, n, names)
            }
        }

        unsafe extern "C" fn $recv(
            slf: *mut PyObject,
            args: *const *mut PyObject,
            n: f::Py_ssize_t,
            names: *mut PyObject,
        ) -> *mut PyObject {
            if n == 0 && names.is_null() {
                if let Some(value) = take_at_once($of(slf)) {
                    return value.into_ptr();
                }
            }
            // SAFETY: as above.
            unsafe { recv_long(slf, args, n, names) }
        }
    };
}

entries!(send_slot, recv_slot, |slf| slf);
entries!(send_view_slot, recv_view_slot, held);

py::fast!(exit_slot, "__exit__", exit);
py::plain!(try_send_slot, try_send);
py::plain!(try_recv_slot, try_recv);
py::plain!(close_slot, close);
py::plain!(to_send_slot, to_send);
py::plain!(enter_slot, enter);
py::plain!(reduce_slot, |slf, _| class::no_pickle(slf));
py::plain!(case_slot, |slf, _| class::no_call(slf));
py::plain!(generic_slot, |class: *mut PyObject, item: *mut PyObject| {
    // SAFETY: P1; a new reference or an exception.
    unsafe { Obj::own(f::Py_GenericAlias(class, item)) }
});

// ---- looking -------------------------------------------------------------------------------------------------

py::property!(cap_slot, |slf| py::int(channel(slf).cap() as i64));
py::property!(buffered_slot, |slf| py::int(channel(slf).len() as i64));
py::property!(closed_slot, |slf| Ok(py::boolean(channel(slf).is_closed())));
py::property!(name_slot, |slf| channel(slf).name().map_or_else(|| Ok(py::none()), py::string));
py::property!(sender_slot, |slf| hold(consts().types.sender, slf));
py::property!(receiver_slot, |slf| hold(consts().types.receiver, slf));
py::unary!(repr_slot, |slf: *mut PyObject| {
    let c = channel(slf);
    let name = c.name().map_or(String::new(), |n| format!(" '{n}'"));
    let closed = if c.is_closed() { " closed" } else { "" };
    py::string(&format!("<zokor.{}{name} {}/{}{closed} at {slf:p}>", py::class_name(slf), c.len(), c.cap()))
});

/// A new view or iterator of `of`.
fn hold(t: *mut PyTypeObject, of: *mut PyObject) -> Res<Obj> {
    let view = class::allocate(t)?;
    // SAFETY: a new instance of a type made of a Holder; `of` is borrowed from the caller.
    unsafe { (*view.as_ptr().cast::<Holder>()).of = Obj::share(of).into_ptr() };
    Ok(view)
}

py::unary!(iter_slot, |slf: *mut PyObject| {
    let of = if is_exactly(slf, consts().types.receiver) { held(slf) } else { slf };
    iterate(of)
});

/// An iterator over what a `Chan` or a `Timer` delivers.
pub fn iterate(of: *mut PyObject) -> Res<Obj> {
    hold(ITER.get(), of)
}

py::unary!(iter_self_slot, |slf| enter(slf, ptr::null_mut()));
py::unary!(next_slot, |slf| {
    let of = held(slf);
    if !is_exactly(of, consts().types.chan) {
        return time::receive(of, raw::FOREVER);
    }
    if let Some(value) = take_at_once(of) {
        return Ok(value);
    }
    match take(of, raw::FOREVER)? {
        Ok(value) => Ok(value),
        // SAFETY: a class of the interpreter's own.
        Err(Error::Closed) => Err(unsafe { wait::raise_plain(f::PyExc_StopIteration) }),
        Err(e) => Err(wait::error(e, "recv")),
    }
});

// ---- making and freeing --------------------------------------------------------------------------------------

unsafe extern "C" fn new(t: *mut PyTypeObject, args: *mut PyObject, kwargs: *mut PyObject) -> *mut PyObject {
    py::give(make(t, args, kwargs))
}

fn make(t: *mut PyTypeObject, args: *mut PyObject, kwargs: *mut PyObject) -> Res<Obj> {
    let (mut cap, mut name): (f::Py_ssize_t, *const c_char) = (0, ptr::null());
    let mut names = [c"".as_ptr(), c"name".as_ptr(), ptr::null()];
    // SAFETY: n fills a Py_ssize_t, z a char pointer.
    unsafe { py::parse_new(args, kwargs, c"|n$z:Chan", &mut names, &mut cap, &mut name)? };
    let capacity = usize::try_from(cap).map_err(|_| py::value_error("channel capacity must not be negative"))?;
    // SAFETY: z gives UTF-8 that ends with a zero byte and lives as long as the argument.
    let name = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned());
    let opts = raw::ByteChanOpts {
        elem_size: size_of::<*mut PyObject>(),
        capacity,
        drop: Some(drop_element),
        name,
        ..Default::default()
    };
    let chan = ByteChan::new(opts).map_err(|e| match e {
        Error::Invalid => py::value_error(&format!("channel capacity {cap} is too large")),
        e => wait::error(e, "Chan"),
    })?;
    let slf = class::allocate(t)?;
    // SAFETY: a new instance of Chan.
    unsafe { (*slf.as_ptr().cast::<Chan>()).chan = Arc::into_raw(chan) };
    Ok(slf)
}

/// Drops an element that nobody received. The last reference to a channel goes with an object of ours, so this thread
/// is attached as a rule.
unsafe extern "C-unwind" fn drop_element(elem: *mut u8, _: *mut c_void) {
    // SAFETY: the channel owned this reference.
    let value = unsafe { elem.cast::<*mut PyObject>().read_unaligned() };
    if state::attached() {
        // SAFETY: as above, and attached.
        unsafe { f::Py_DECREF(value) };
    } else if !state::is_closing() {
        // SAFETY: not attached, so a thread state may be borrowed for a moment.
        unsafe {
            let gil = f::PyGILState_Ensure();
            f::Py_DECREF(value);
            f::PyGILState_Release(gil);
        }
    }
}

unsafe extern "C" fn dealloc(slf: *mut PyObject) {
    // SAFETY: called once, with the last reference gone; a null channel is one whose `__new__` failed.
    unsafe {
        f::PyObject_GC_UnTrack(slf.cast());
        let this = slf.cast::<Chan>();
        if !(*this).weak.is_null() {
            f::PyObject_ClearWeakRefs(slf);
        }
        if !(*this).chan.is_null() {
            drop(Arc::from_raw((*this).chan));
        }
        class::free(slf);
    }
}

/// The collector sees what is buffered. A value on its way to a parked receiver or held by a parked sender is counted
/// by that goroutine's stack, which the collector takes for a reference from outside: never freed too early.
unsafe extern "C" fn traverse(slf: *mut PyObject, visit: f::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: tp_traverse's arguments; a Chan owns its buffered elements. `visit` of the collector calls nothing back.
    unsafe {
        let mut code = class::visit(slf, &[], visit, arg);
        let this = slf.cast::<Chan>();
        if code == 0 && !(*this).chan.is_null() {
            (*(*this).chan).each_buffered(&mut |elem| {
                if code == 0 {
                    code = visit(elem.cast::<*mut PyObject>().read_unaligned(), arg);
                }
            });
        }
        code
    }
}

/// Empties a channel that only a cycle keeps alive; nobody can be parked on it.
unsafe extern "C" fn clear(slf: *mut PyObject) -> c_int {
    // SAFETY: a Chan, alive for the call; a received element is an owned reference.
    unsafe {
        let this = slf.cast::<Chan>();
        let mut elem: *mut PyObject = ptr::null_mut();
        while !(*this).chan.is_null() && (*(*this).chan).recv(ptr::from_mut(&mut elem).cast(), raw::NOWAIT).is_ok() {
            class::clear(&mut elem);
        }
    }
    0
}

unsafe extern "C" fn holder_dealloc(slf: *mut PyObject) {
    // SAFETY: called once, with the last reference gone.
    unsafe {
        f::PyObject_GC_UnTrack(slf.cast());
        class::clear(&mut (*slf.cast::<Holder>()).of);
        class::free(slf);
    }
}

unsafe extern "C" fn holder_traverse(slf: *mut PyObject, visit: f::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: tp_traverse's arguments.
    unsafe { class::visit(slf, &[(*slf.cast::<Holder>()).of], visit, arg) }
}

// ---- tables --------------------------------------------------------------------------------------------------

const SEND_DOC: &CStr =
    c"send($self, value, /, *, timeout=None)\n--\n\nHand ``value`` over. ``ChanClosed`` if the channel is or gets closed.";
const RECV_DOC: &CStr =
    c"recv($self, *, timeout=None)\n--\n\nTake the next value. ``ChanClosed`` once closed and drained.";
const SEND: f::PyMethodDef = f::fastcall(c"send", send_slot, SEND_DOC);
const RECV: f::PyMethodDef = f::fastcall(c"recv", recv_slot, RECV_DOC);
const SEND_VIEW: f::PyMethodDef = f::fastcall(c"send", send_view_slot, SEND_DOC);
const RECV_VIEW: f::PyMethodDef = f::fastcall(c"recv", recv_view_slot, RECV_DOC);
const TRY_SEND: f::PyMethodDef = f::onearg(
    c"try_send",
    try_send_slot,
    c"try_send($self, value, /)\n--\n\nTrue if it was taken at once, False if it would have blocked.",
);
const TRY_RECV: f::PyMethodDef = f::noargs(
    c"try_recv",
    try_recv_slot,
    c"try_recv($self, /)\n--\n\nA value that is there now, else ``WouldBlock`` (or ``ChanClosed``).",
);
const TO_SEND: f::PyMethodDef = f::onearg(
    c"to_send",
    to_send_slot,
    c"to_send($self, value, /)\n--\n\nA send case for ``select``. Nothing is sent by itself.",
);
const CLOSE: f::PyMethodDef = f::noargs(
    c"close",
    close_slot,
    c"close($self, /)\n--\n\nNo more sends; receivers drain the buffer. Closing twice is harmless.",
);
const REDUCE: f::PyMethodDef = f::noargs(c"__reduce__", reduce_slot, class::REDUCE_DOC);
const CASE: f::PyMethodDef = f::noargs(c"_case", case_slot, class::CASE_DOC);
const ENTER: f::PyMethodDef = f::noargs(c"__enter__", enter_slot, c"__enter__($self, /)\n--\n\nReturns self.");
const EXIT: f::PyMethodDef = f::fastcall(c"__exit__", exit_slot, c"__exit__($self, et, ev, tb, /)\n--\n\nCloses.");
const GENERIC: f::PyMethodDef =
    f::classarg(c"__class_getitem__", generic_slot, c"__class_getitem__($type, item, /)\n--\n\nChan[T].");

static METHODS: Table<f::PyMethodDef, 12> =
    Table::new([SEND, RECV, TRY_SEND, TRY_RECV, TO_SEND, CLOSE, REDUCE, CASE, ENTER, EXIT, GENERIC, f::END]);
static SENDER_METHODS: Table<f::PyMethodDef, 6> = Table::new([SEND_VIEW, TRY_SEND, TO_SEND, CLOSE, REDUCE, f::END]);
static RECEIVER_METHODS: Table<f::PyMethodDef, 5> = Table::new([RECV_VIEW, TRY_RECV, REDUCE, CASE, f::END]);

static GETTERS: Table<f::PyGetSetDef, 7> = Table::new([
    f::getter(c"cap", cap_slot, c"How many values it buffers."),
    f::getter(c"buffered", buffered_slot, c"How many values are in it."),
    f::getter(c"closed", closed_slot, c"Whether it has been closed."),
    f::getter(c"name", name_slot, c"The name it was given."),
    f::getter(c"sender", sender_slot, c"A view that can only send."),
    f::getter(c"receiver", receiver_slot, c"A view that can only receive."),
    f::END_GETTERS,
]);
static MEMBERS: Table<f::PyMemberDef, 2> = Table::new(f::weaklist_member(core::mem::offset_of!(Chan, weak)));

static SLOTS: Table<f::PyType_Slot, 11> = Table::new([
    f::slot(f::Py_tp_doc, c"Chan(cap=0, /, *, name=None)\n--\n\nA channel of capacity ``cap``; 0 makes sender and receiver meet.\n\n>>> c = Chan[int](2)\n>>> c.send(1); c.send(2); c.close()\n>>> list(c)\n[1, 2]".as_ptr() as *mut c_void),
    f::slot(f::Py_tp_new, new as *mut c_void),
    f::slot(f::Py_tp_dealloc, dealloc as *mut c_void),
    f::slot(f::Py_tp_traverse, traverse as *mut c_void),
    f::slot(f::Py_tp_clear, clear as *mut c_void),
    f::slot(f::Py_tp_repr, repr_slot as *mut c_void),
    f::slot(f::Py_tp_iter, iter_slot as *mut c_void),
    f::slot(f::Py_tp_methods, METHODS.get().cast()),
    f::slot(f::Py_tp_getset, GETTERS.get().cast()),
    f::slot(f::Py_tp_members, MEMBERS.get().cast()),
    f::slot(0, ptr::null_mut()),
]);
static SENDER_SLOTS: Table<f::PyType_Slot, 6> = Table::new([
    f::slot(f::Py_tp_doc, c"The sending side of a channel.".as_ptr() as *mut c_void),
    f::slot(f::Py_tp_dealloc, holder_dealloc as *mut c_void),
    f::slot(f::Py_tp_traverse, holder_traverse as *mut c_void),
    f::slot(f::Py_tp_repr, repr_slot as *mut c_void),
    f::slot(f::Py_tp_methods, SENDER_METHODS.get().cast()),
    f::slot(0, ptr::null_mut()),
]);
static RECEIVER_SLOTS: Table<f::PyType_Slot, 7> = Table::new([
    f::slot(f::Py_tp_doc, c"The receiving side of a channel.".as_ptr() as *mut c_void),
    f::slot(f::Py_tp_dealloc, holder_dealloc as *mut c_void),
    f::slot(f::Py_tp_traverse, holder_traverse as *mut c_void),
    f::slot(f::Py_tp_repr, repr_slot as *mut c_void),
    f::slot(f::Py_tp_iter, iter_slot as *mut c_void),
    f::slot(f::Py_tp_methods, RECEIVER_METHODS.get().cast()),
    f::slot(0, ptr::null_mut()),
]);
static ITER_SLOTS: Table<f::PyType_Slot, 5> = Table::new([
    f::slot(f::Py_tp_dealloc, holder_dealloc as *mut c_void),
    f::slot(f::Py_tp_traverse, holder_traverse as *mut c_void),
    f::slot(f::Py_tp_iter, iter_self_slot as *mut c_void),
    f::slot(f::Py_tp_iternext, next_slot as *mut c_void),
    f::slot(0, ptr::null_mut()),
]);

/// The type of iterators, set once at import.
struct IterType(core::sync::atomic::AtomicPtr<PyTypeObject>);
static ITER: IterType = IterType(core::sync::atomic::AtomicPtr::new(ptr::null_mut()));
impl IterType {
    fn get(&self) -> *mut PyTypeObject {
        // Relaxed: written at import, under the GIL.
        self.0.load(core::sync::atomic::Ordering::Relaxed)
    }
}

/// The types of this file: `Chan`, the sending and the receiving view.
pub fn types() -> Res<[*mut PyTypeObject; 3]> {
    let chan = class::make(c"zokor.Chan", size_of::<Chan>(), Kind::Holder, SLOTS.get())?;
    // SAFETY: the type is alive for ever. None makes `x in chan` a TypeError instead of a loop that receives.
    unsafe { Obj::share(chan.cast()) }.set_attr(c"__contains__", &py::none())?;
    let size = size_of::<Holder>();
    let sender = class::make(c"zokor._SendView", size, Kind::Internal, SENDER_SLOTS.get())?;
    let receiver = class::make(c"zokor._RecvView", size, Kind::Internal, RECEIVER_SLOTS.get())?;
    // SAFETY: as above.
    unsafe { Obj::share(receiver.cast()) }.set_attr(c"__contains__", &py::none())?;
    let iter = class::make(c"zokor._RecvIterator", size, Kind::Internal, ITER_SLOTS.get())?;
    ITER.0.store(iter, core::sync::atomic::Ordering::Relaxed);
    Ok([chan, sender, receiver])
}
