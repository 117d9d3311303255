//! The safe vocabulary over CPython's C API: owned objects, errors, arguments.
//!
//! Where it sits: used by every file above `ffi`; calls `ffi` only.
//!
//! # Invariants
//!
//! * **P1** Code of this crate runs attached: this thread holds the GIL with the thread state of the goroutine (or plain
//!   thread) that called. The exceptions are named where they are: the closures given to `state::park`, the hooks
//!   the engine calls, and the first and last lines of a goroutine. None of them touches an object.
//! * **P2** An [`Obj`] owns one reference. It never leaves the thread it is on (`!Send`), and a goroutine never leaves
//!   its thread, so P1 holds when it is dropped.
//! * **P3** A [`Raised`] exists only while CPython's error indicator of the current thread state is set.

use crate::ffi::{self as f, PyObject, Py_ssize_t};
use core::ffi::{c_char, c_int, c_void, CStr};
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

/// An owned reference (P2).
pub struct Obj(NonNull<PyObject>);

/// "An exception is set" (P3).
pub struct Raised(PhantomData<*mut ()>);

pub type Res<T> = Result<T, Raised>;

impl Obj {
    /// Takes over a new reference; null means that an exception is set.
    ///
    /// # Safety
    /// `p` is null with an exception set, or a reference that is now ours.
    #[inline]
    pub unsafe fn own(p: *mut PyObject) -> Res<Obj> {
        match NonNull::new(p) {
            Some(p) => Ok(Obj(p)),
            None => Err(Raised(PhantomData)),
        }
    }

    /// Takes over a new reference, or null where there is nothing and no exception either.
    ///
    /// # Safety
    /// `p` is null, or a reference that is now ours.
    pub unsafe fn maybe(p: *mut PyObject) -> Option<Obj> {
        NonNull::new(p).map(Obj)
    }

    /// A reference of our own to a borrowed object.
    ///
    /// # Safety
    /// `p` points to a live object.
    #[inline]
    pub unsafe fn share(p: *mut PyObject) -> Obj {
        // SAFETY: by the contract p is live; P1.
        unsafe {
            f::Py_INCREF(p);
            Obj(NonNull::new_unchecked(p))
        }
    }

    #[inline]
    pub fn as_ptr(&self) -> *mut PyObject {
        self.0.as_ptr()
    }

    /// Gives the reference away.
    #[inline]
    pub fn into_ptr(self) -> *mut PyObject {
        let p = self.0.as_ptr();
        core::mem::forget(self);
        p
    }

    pub fn attr(&self, name: &CStr) -> Res<Obj> {
        // SAFETY: P1, P2; a new reference or an exception.
        unsafe { Obj::own(f::PyObject_GetAttrString(self.as_ptr(), name.as_ptr())) }
    }

    pub fn set_attr(&self, name: &CStr, value: &Obj) -> Res<()> {
        // SAFETY: P1, P2.
        status(unsafe { f::PyObject_SetAttrString(self.as_ptr(), name.as_ptr(), value.as_ptr()) })
    }

    /// Calls the object with positional arguments.
    pub fn call(&self, args: &[&Obj]) -> Res<Obj> {
        let tuple = tuple(args)?;
        // SAFETY: P1, P2; a new reference or an exception.
        unsafe { Obj::own(f::PyObject_Call(self.as_ptr(), tuple.as_ptr(), ptr::null_mut())) }
    }

    /// Calls the object with positional arguments and a dictionary of the others.
    pub fn call_with(&self, args: &[&Obj], kwargs: &Obj) -> Res<Obj> {
        let tuple = tuple(args)?;
        // SAFETY: P1, P2; a new reference or an exception.
        unsafe { Obj::own(f::PyObject_Call(self.as_ptr(), tuple.as_ptr(), kwargs.as_ptr())) }
    }

    pub fn call_method(&self, name: &CStr, args: &[&Obj]) -> Res<Obj> {
        self.attr(name)?.call(args)
    }

    /// The text of a `str`, or of `str(self)`; never fails: an object that has no text gives an empty one.
    pub fn text(&self) -> String {
        // SAFETY: P1, P2; a new reference or an exception, which is cleared.
        let s = unsafe { Obj::own(f::PyObject_Str(self.as_ptr())) };
        let Ok(s) = s else {
            clear();
            return String::new();
        };
        let mut len: Py_ssize_t = 0;
        // SAFETY: s is a str; the buffer lives as long as s and is len bytes long.
        unsafe {
            let p = f::PyUnicode_AsUTF8AndSize(s.as_ptr(), &mut len);
            if p.is_null() {
                clear();
                return String::new();
            }
            String::from_utf8_lossy(core::slice::from_raw_parts(p.cast(), len as usize)).into_owned()
        }
    }
}

impl Clone for Obj {
    #[inline]
    fn clone(&self) -> Obj {
        // SAFETY: by P2 the object is live.
        unsafe { Obj::share(self.as_ptr()) }
    }
}

impl Drop for Obj {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: P1, and by P2 the reference is ours.
        unsafe { f::Py_DECREF(self.0.as_ptr()) }
    }
}

/// A result as CPython wants it: an owned reference, or null with an exception set.
#[inline]
pub fn give(r: Res<Obj>) -> *mut PyObject {
    match r {
        Ok(o) => o.into_ptr(),
        Err(Raised(_)) => ptr::null_mut(),
    }
}

/// The convention "-1 and an exception set".
#[inline]
pub fn status(code: c_int) -> Res<()> {
    if code == -1 {
        Err(Raised(PhantomData))
    } else {
        Ok(())
    }
}

// ---- objects -------------------------------------------------------------------------------------------------

#[inline]
pub fn none() -> Obj {
    // SAFETY: None is always alive.
    unsafe { Obj::share(f::Py_None()) }
}

#[inline]
pub fn is_none(p: *mut PyObject) -> bool {
    // SAFETY: only the address of None is taken.
    ptr::eq(p, unsafe { f::Py_None() })
}

pub fn boolean(v: bool) -> Obj {
    // SAFETY: P1; always a new reference.
    unsafe { Obj::share(if v { f::Py_True() } else { f::Py_False() }) }
}

pub fn int(v: i64) -> Res<Obj> {
    // SAFETY: P1; a new reference or an exception.
    unsafe { Obj::own(f::PyLong_FromLongLong(v)) }
}

pub fn float(v: f64) -> Res<Obj> {
    // SAFETY: P1; a new reference or an exception.
    unsafe { Obj::own(f::PyFloat_FromDouble(v)) }
}

pub fn string(s: &str) -> Res<Obj> {
    // SAFETY: P1; the text is UTF-8 of that length; a new reference or an exception.
    unsafe { Obj::own(f::PyUnicode_FromStringAndSize(s.as_ptr().cast(), s.len() as Py_ssize_t)) }
}

/// A string that is looked up in dictionaries.
pub fn interned(s: &CStr) -> Res<Obj> {
    // SAFETY: P1; a new reference or an exception.
    unsafe { Obj::own(f::PyUnicode_InternFromString(s.as_ptr())) }
}

pub fn tuple(items: &[&Obj]) -> Res<Obj> {
    // SAFETY: P1; a new reference or an exception.
    let t = unsafe { Obj::own(f::PyTuple_New(items.len() as Py_ssize_t))? };
    for (i, item) in items.iter().enumerate() {
        // SAFETY: t is a new tuple of that length, not seen by others yet; it takes the reference over.
        unsafe { f::PyTuple_SetItem(t.as_ptr(), i as Py_ssize_t, (*item).clone().into_ptr()) };
    }
    Ok(t)
}

/// A new dictionary.
pub fn dict(items: &[(&CStr, &Obj)]) -> Res<Obj> {
    // SAFETY: P1; a new reference or an exception.
    let d = unsafe { Obj::own(f::PyDict_New())? };
    for (key, value) in items {
        // SAFETY: P1, P2; d is a dictionary.
        status(unsafe { f::PyDict_SetItemString(d.as_ptr(), key.as_ptr(), value.as_ptr()) })?;
    }
    Ok(d)
}

/// The items of a list.
pub fn items(list: &Obj) -> Res<Vec<Obj>> {
    // SAFETY: P1, P2; the size of an object that is no list is -1 and an exception; items are borrowed and shared at once.
    unsafe {
        let n = f::PyList_Size(list.as_ptr());
        if n < 0 {
            return Err(Raised(PhantomData));
        }
        Ok((0..n).map(|i| Obj::share(f::PyList_GetItem(list.as_ptr(), i))).collect())
    }
}

pub fn import(module: &CStr) -> Res<Obj> {
    // SAFETY: P1; a new reference or an exception.
    unsafe { Obj::own(f::PyImport_ImportModule(module.as_ptr())) }
}

// ---- errors --------------------------------------------------------------------------------------------------

/// Sets an exception of class `kind`.
pub fn raise(kind: *mut PyObject, message: &str) -> Raised {
    if let Ok(text) = string(message) {
        // SAFETY: P1; kind is an exception class, which lives as long as the module.
        unsafe { f::PyErr_SetObject(kind, text.as_ptr()) };
    }
    Raised(PhantomData)
}

/// The same with a text that is there already.
///
/// # Safety
/// Both are live, and `kind` is an exception class.
pub unsafe fn raise_text(kind: *mut PyObject, text: *mut PyObject) -> Raised {
    // SAFETY: P1, and the caller's.
    unsafe { f::PyErr_SetObject(kind, text) };
    Raised(PhantomData)
}

pub fn type_error(message: &str) -> Raised {
    // SAFETY: a class of the interpreter's own.
    raise(unsafe { f::PyExc_TypeError }, message)
}

pub fn value_error(message: &str) -> Raised {
    // SAFETY: a class of the interpreter's own.
    raise(unsafe { f::PyExc_ValueError }, message)
}

/// Sets the exception `value`.
pub fn raise_value(value: &Obj) -> Raised {
    // SAFETY: P1; the class of an object lives as long as the object.
    unsafe { f::PyErr_SetObject(f::Py_TYPE(value.as_ptr()).cast(), value.as_ptr()) };
    Raised(PhantomData)
}

/// Drops the exception that is set.
pub fn clear() {
    // SAFETY: P1.
    unsafe { f::PyErr_Clear() }
}

/// Takes the exception that is set, with its traceback attached.
pub fn fetch(_: Raised) -> Obj {
    let (mut t, mut v, mut tb) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: P1; the three out-parameters take references over, and normalizing makes v an instance of t.
    unsafe {
        f::PyErr_Fetch(&mut t, &mut v, &mut tb);
        f::PyErr_NormalizeException(&mut t, &mut v, &mut tb);
        if !tb.is_null() {
            f::PyException_SetTraceback(v, tb);
            f::Py_DECREF(tb);
        }
        f::Py_XDECREF(t);
        match NonNull::new(v) {
            Some(v) => Obj(v),
            None => none(),
        }
    }
}

/// Sets a fetched exception again.
pub fn restore(e: Obj) -> Raised {
    // SAFETY: P1; e is an exception instance; PyErr_Restore takes the three references over.
    unsafe {
        let t: *mut PyObject = f::Py_TYPE(e.as_ptr()).cast();
        f::Py_INCREF(t);
        let tb = f::PyException_GetTraceback(e.as_ptr());
        f::PyErr_Restore(t, e.into_ptr(), tb);
    }
    Raised(PhantomData)
}

/// Whether `e` is an instance of the class `kind`.
pub fn is_a(e: &Obj, kind: *mut PyObject) -> bool {
    // SAFETY: P1; both are live.
    unsafe { f::PyErr_GivenExceptionMatches(e.as_ptr(), kind) != 0 }
}

/// Whether `o` is an instance of `class`; an exception of a strange class counts as no.
pub fn is_instance(o: &Obj, class: &Obj) -> bool {
    // SAFETY: P1, P2.
    match unsafe { f::PyObject_IsInstance(o.as_ptr(), class.as_ptr()) } {
        -1 => {
            clear();
            false
        }
        n => n != 0,
    }
}

/// Whether `a == b`; an exception counts as no.
pub fn equal(a: &Obj, b: &Obj) -> bool {
    // SAFETY: P1, P2.
    match unsafe { f::PyObject_RichCompareBool(a.as_ptr(), b.as_ptr(), f::Py_EQ) } {
        -1 => {
            clear();
            false
        }
        n => n != 0,
    }
}

/// Polls for signals: runs the Python handlers of those that came, on the main thread.
pub fn check_signals() -> Res<()> {
    // SAFETY: P1.
    status(unsafe { f::PyErr_CheckSignals() })
}

/// Reports an exception that nobody can catch, through `sys.unraisablehook`.
pub fn unraisable(e: Raised, context: *mut PyObject) {
    let _ = e;
    // SAFETY: P1, P3; the context is null or live.
    unsafe { f::PyErr_WriteUnraisable(context) }
}

// ---- arguments -----------------------------------------------------------------------------------------------

/// The arguments of a `METH_FASTCALL | METH_KEYWORDS` function, borrowed from the caller for the call.
pub struct Args<'a> {
    name: &'static str,
    pos: &'a [*mut PyObject],
    kw: &'a [*mut PyObject],
    names: *mut PyObject,
}

impl<'a> Args<'a> {
    /// # Safety
    /// The pointers are those CPython passes to such a function, and 'a ends with the call.
    #[inline]
    pub unsafe fn new(name: &'static str, args: *const *mut PyObject, n: Py_ssize_t, names: *mut PyObject) -> Args<'a> {
        // SAFETY: CPython passes n positional values followed by one value per name.
        unsafe {
            let slice = |p: *const *mut PyObject, n: usize| -> &'a [*mut PyObject] {
                if n == 0 {
                    &[]
                } else {
                    core::slice::from_raw_parts(p, n)
                }
            };
            let nkw = if names.is_null() { 0 } else { f::PyTuple_Size(names) as usize };
            Args {
                name,
                pos: slice(args, n as usize),
                kw: slice(args.add(n as usize * usize::from(nkw > 0)), nkw),
                names,
            }
        }
    }

    #[inline]
    pub fn positional(&self) -> &'a [*mut PyObject] {
        self.pos
    }

    #[inline]
    pub fn keywords(&self) -> (&'a [*mut PyObject], *mut PyObject) {
        (self.kw, self.names)
    }

    /// Exactly N positional arguments.
    #[inline]
    pub fn exactly<const N: usize>(&self) -> Res<[*mut PyObject; N]> {
        match self.pos.try_into() {
            Ok(a) => Ok(a),
            Err(_) => Err(type_error(&format!(
                "{}() takes exactly {N} positional argument{} ({} given)",
                self.name,
                if N == 1 { "" } else { "s" },
                self.pos.len()
            ))),
        }
    }

    /// At most one positional argument.
    pub fn optional(&self) -> Res<Option<*mut PyObject>> {
        match self.pos {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            more => {
                Err(type_error(&format!("{}() takes at most 1 positional argument ({} given)", self.name, more.len())))
            }
        }
    }

    /// The values of these keywords and no others; null where one is not given.
    #[inline(always)]
    pub fn named<const N: usize>(&self, known: [&CStr; N]) -> Res<[*mut PyObject; N]> {
        if self.kw.is_empty() {
            return Ok([ptr::null_mut(); N]);
        }
        self.find(known)
    }

    #[inline(never)]
    fn find<const N: usize>(&self, known: [&CStr; N]) -> Res<[*mut PyObject; N]> {
        let mut values = [ptr::null_mut(); N];
        for (i, value) in self.kw.iter().enumerate() {
            // SAFETY: P1; names is a tuple of as many str as there are keyword values.
            let name = unsafe { f::PyTuple_GetItem(self.names, i as Py_ssize_t) };
            // SAFETY: P1; name is a str.
            let is = |k: &CStr| unsafe { f::PyUnicode_CompareWithASCIIString(name, k.as_ptr()) == 0 };
            match known.iter().position(|k| is(k)) {
                Some(k) => values[k] = *value,
                None => {
                    // SAFETY: name is live.
                    let name = unsafe { Obj::share(name) }.text();
                    let message = format!("{}() got an unexpected keyword argument '{name}'", self.name);
                    return Err(type_error(&message));
                }
            }
        }
        Ok(values)
    }
}

/// The class name of an object, for messages.
pub fn class_name(o: *mut PyObject) -> String {
    // SAFETY: P1; o is live, and so is its type.
    let class = unsafe { Obj::share(f::Py_TYPE(o).cast()) };
    match class.attr(c"__name__") {
        Ok(n) => n.text(),
        Err(_) => {
            clear();
            String::from("object")
        }
    }
}

/// An integer argument that fits an `i64`.
pub fn to_i64(o: *mut PyObject) -> Res<i64> {
    // SAFETY: P1; o is live. PyNumber_Index refuses floats and strings.
    unsafe {
        let n = Obj::own(f::PyNumber_Index(o))?;
        let v = f::PyLong_AsLongLong(n.as_ptr());
        if v == -1 && !f::PyErr_Occurred().is_null() {
            return Err(Raised(PhantomData));
        }
        Ok(v)
    }
}

/// A number of seconds: finite or infinite, never NaN.
#[inline]
pub fn to_seconds(o: *mut PyObject, what: &str) -> Res<f64> {
    // SAFETY: P1; o is live.
    let s = unsafe { f::PyFloat_AsDouble(o) };
    // SAFETY: P1.
    if s == -1.0 && !unsafe { f::PyErr_Occurred() }.is_null() {
        return Err(Raised(PhantomData));
    }
    if s.is_nan() {
        return Err(value_error(&format!("{what} must not be NaN")));
    }
    Ok(s)
}

// ---- slots ---------------------------------------------------------------------------------------------------

/// The C entry of a function of any arguments: `fast!(send, "send", Chan::send)`.
macro_rules! fast {
    ($slot:ident, $name:literal, $body:expr) => {
        unsafe extern "C" fn $slot(
            slf: *mut $crate::ffi::PyObject,
            args: *const *mut $crate::ffi::PyObject,
            n: $crate::ffi::Py_ssize_t,
            names: *mut $crate::ffi::PyObject,
        ) -> *mut $crate::ffi::PyObject {
            // SAFETY: CPython calls a METH_FASTCALL | METH_KEYWORDS function with these, attached (P1).
            let args = unsafe { $crate::py::Args::new($name, args, n, names) };
            $crate::py::give($body(slf, args))
        }
    };
}

/// The C entry of a function of one argument or none.
macro_rules! plain {
    ($slot:ident, $body:expr) => {
        unsafe extern "C" fn $slot(
            slf: *mut $crate::ffi::PyObject,
            arg: *mut $crate::ffi::PyObject,
        ) -> *mut $crate::ffi::PyObject {
            $crate::py::give($body(slf, arg))
        }
    };
}

/// The C entry of a property or of a slot with one object: repr, iter, next.
macro_rules! unary {
    ($slot:ident, $body:expr) => {
        unsafe extern "C" fn $slot(slf: *mut $crate::ffi::PyObject) -> *mut $crate::ffi::PyObject {
            $crate::py::give($body(slf))
        }
    };
}

macro_rules! property {
    ($slot:ident, $body:expr) => {
        unsafe extern "C" fn $slot(
            slf: *mut $crate::ffi::PyObject,
            _: *mut core::ffi::c_void,
        ) -> *mut $crate::ffi::PyObject {
            $crate::py::give($body(slf))
        }
    };
}

pub(crate) use {fast, plain, property, unary};

/// Reads `tp_new`'s arguments by a `PyArg_ParseTupleAndKeywords` format of at most two values.
///
/// # Safety
/// `format` and `names` (ended by null) describe exactly `a` and `b`.
pub unsafe fn parse_new<A, B>(
    args: *mut PyObject,
    kwargs: *mut PyObject,
    format: &CStr,
    names: &mut [*const c_char; 3],
    a: &mut A,
    b: &mut B,
) -> Res<()> {
    let (a, b): (*mut A, *mut B) = (a, b);
    // SAFETY: by the contract the format writes to a and b; P1.
    let ok = unsafe {
        f::PyArg_ParseTupleAndKeywords(
            args,
            kwargs,
            format.as_ptr(),
            names.as_mut_ptr().cast(),
            a.cast::<c_void>(),
            b.cast::<c_void>(),
        )
    };
    if ok == 0 {
        Err(Raised(PhantomData))
    } else {
        Ok(())
    }
}
