//! Python goroutines: what `go` keeps of a call, and the life of one.
//!
//! Where it sits: above `state`; `run`, `wait` and the types use it.
//!
//! # State
//!
//! A [`Gor`] per goroutine, from `go` until its end, in one list of all. Its address is the goroutine's local word in the
//! engine.
//!
//! # Invariants
//!
//! * **R1** Every field of a `Gor`, the list and the [`Run`]s are read and written attached only; the GIL is their lock.
//! * **R2** A `Gor` is in the list from before its goroutine can run until that goroutine takes it out; main's is in the frame of
//!   `run`, which takes it out, for main may not come to its end.

use crate::consts::consts;
use crate::ffi::{self as f, PyObject, PyThreadState};
use crate::py::{self, Args, Obj, Raised, Res};
use crate::run::Run;
use crate::{raw, runtime, spare, state, sync, wait};
use core::cell::{Cell, RefCell};
use core::ffi::c_void;
use core::ptr;
use std::rc::Rc;

/// A goroutine of ours.
pub struct Gor {
    prev: Cell<*mut Gor>,
    next: Cell<*mut Gor>,
    /// Its number; 0 until the spawner has heard of it.
    pub id: Cell<u64>,
    /// Null until it first runs.
    pub state: Cell<*mut PyThreadState>,
    /// The run that waits for it, if it was started below one.
    pub run: Option<Rc<Run>>,
    /// What it runs; none once that is over. Reports take names from it.
    pub func: RefCell<Option<Obj>>,
    pub is_main: bool,
    /// The Python frame that called `run`, below main's; null elsewhere.
    pub below: Cell<*mut PyObject>,
    /// The channel it sends to or receives from just now, for reports; null otherwise.
    pub waits_for: Cell<*const raw::ByteChan>,
}

/// The call a goroutine makes, owned until it has been made.
struct Call {
    gor: Gor,
    call: Option<Arguments>,
    group: Option<Obj>,
}

/// What the function is called with.
struct Arguments {
    /// A copy of the spawner's; none if nothing is in it, which is what a goroutine without one finds, too.
    context: Option<Obj>,
    names: Option<Obj>,
    values: Values,
    positional: usize,
}

/// Values that most calls have no more of.
const FEW: usize = 3;

/// Positional and keyword values behind a word that belongs to PyObject_Vectorcall.
enum Values {
    Few([*mut PyObject; 1 + FEW]),
    Many(Vec<*mut PyObject>),
}

impl Values {
    fn new(positional: &[*mut PyObject], named: &[*mut PyObject]) -> Values {
        let both = positional.iter().chain(named).inspect(|&&value| {
            // SAFETY: P1; the arguments are borrowed for the call.
            unsafe { f::Py_INCREF(value) }
        });
        if positional.len() + named.len() > FEW {
            return Values::Many(core::iter::once(&ptr::null_mut()).chain(both).copied().collect());
        }
        let mut few = [ptr::null_mut(); 1 + FEW];
        for (slot, value) in few[1..].iter_mut().zip(both) {
            *slot = *value;
        }
        Values::Few(few)
    }

    fn all(&mut self) -> &mut [*mut PyObject] {
        match self {
            Values::Few(few) => few,
            Values::Many(many) => many,
        }
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        for &mut value in &mut self.all()[1..] {
            // SAFETY: the references are ours since `go`, null where there is none; P1.
            unsafe { f::Py_XDECREF(value) };
        }
    }
}

// ---- the list ------------------------------------------------------------------------------------------------

struct List(Cell<*mut Gor>);

// SAFETY: by R1 the GIL is its lock.
unsafe impl Sync for List {}

static ALL: List = List(Cell::new(ptr::null_mut()));

impl Gor {
    pub fn new(func: Obj, run: Option<Rc<Run>>, is_main: bool) -> Gor {
        Gor {
            prev: Cell::new(ptr::null_mut()),
            next: Cell::new(ptr::null_mut()),
            id: Cell::new(0),
            state: Cell::new(ptr::null_mut()),
            run,
            func: RefCell::new(Some(func)),
            is_main,
            below: Cell::new(ptr::null_mut()),
            waits_for: Cell::new(ptr::null()),
        }
    }

    /// Puts it in the list; it must not move from here to `unlink`.
    pub fn link(&self) {
        let me = ptr::from_ref(self).cast_mut();
        let first = ALL.0.replace(me);
        self.next.set(first);
        // SAFETY: by R2 members of the list are alive.
        if let Some(first) = unsafe { first.as_ref() } {
            first.prev.set(me);
        }
    }

    pub fn unlink(&self) {
        let (prev, next) = (self.prev.get(), self.next.get());
        // SAFETY: by R2 members of the list are alive.
        match unsafe { prev.as_ref() } {
            Some(p) => p.next.set(next),
            None => ALL.0.set(next),
        }
        // SAFETY: as above.
        if let Some(n) = unsafe { next.as_ref() } {
            n.prev.set(prev);
        }
    }
}

/// Calls `visit` with every goroutine of ours.
pub fn each(mut visit: impl FnMut(&Gor)) {
    let mut at = ALL.0.get();
    // SAFETY: by R1 and R2 the list does not change under us and its members are alive.
    while let Some(g) = unsafe { at.as_ref() } {
        visit(g);
        at = g.next.get();
    }
}

/// The goroutine that runs; none in a plain thread.
#[inline]
pub fn current<'a>() -> Option<&'a Gor> {
    // SAFETY: the local word of a goroutine of ours is its Gor, which lives as long as it runs.
    unsafe { raw::local_get().cast::<Gor>().as_ref() }
}

// ---- starting ------------------------------------------------------------------------------------------------

/// Starts `func` with `values` (and `names` for the last of them) in a goroutine; `group` is told when it ends.
pub fn spawn(func: *mut PyObject, args: &[*mut PyObject], call: &Args<'_>, group: Option<Obj>) -> Res<()> {
    // SAFETY: P1; func is borrowed from the caller.
    if unsafe { f::PyCallable_Check(func) } == 0 {
        let class = py::class_name(func);
        return Err(py::type_error(&format!("go() needs something to call, not '{class}'")));
    }
    runtime::start()?;
    let run = match current() {
        Some(g) => g.run.clone(),
        None => Run::active(),
    };
    if run.as_ref().is_some_and(|r| r.draining()) {
        return Err(wait::cancelled());
    }
    let (kw, names) = call.keywords();
    let (context, values) = (context()?, Values::new(args, kw));
    // SAFETY: P1; func and names are borrowed for the call.
    let call = unsafe {
        let names = (!names.is_null()).then(|| Obj::share(names));
        let arguments = Arguments { context, names, values, positional: args.len() };
        Box::new(Call { gor: Gor::new(Obj::share(func), run, false), call: Some(arguments), group })
    };
    start(call)
}

/// A copy of the current context, if there is anything in it.
fn context() -> Res<Option<Obj>> {
    // SAFETY: P1; a context has a length; a new reference or an exception.
    unsafe {
        let is_empty = |context| f::PyObject_Size(context) == 0;
        if spare::context().is_ok_and(|known| known.is_none_or(is_empty)) {
            return Ok(None);
        }
        let copy = Obj::own((f::extra().context_copy)())?;
        Ok((!is_empty(copy.as_ptr())).then_some(copy))
    }
}

fn start(call: Box<Call>) -> Res<()> {
    if let Some(run) = &call.gor.run {
        run.enter();
    }
    let call = Box::into_raw(call);
    // SAFETY: just made; R2.
    let gor = unsafe { &(*call).gor };
    gor.link();
    let opts = raw::GoOpts { class: state::PYTHON, stack_size: runtime::stack_size(), ..Default::default() };
    // SAFETY: `entry` takes the call over. It cannot get attached, and so cannot free it, before we let go of the GIL.
    match unsafe { raw::go_c(&opts, entry, call.cast()) } {
        Ok(id) => {
            gor.id.set(id);
            Ok(())
        }
        Err(e) => {
            gor.unlink();
            if let Some(run) = &gor.run {
                run.leave();
            }
            // SAFETY: the goroutine was not started, so the call is ours still.
            drop(unsafe { Box::from_raw(call) });
            Err(wait::error(e, "go"))
        }
    }
}

/// The first code of a goroutine.
unsafe extern "C-unwind" fn entry(call: *mut c_void) {
    let call = call.cast::<Call>();
    let body = |me: *mut PyThreadState| {
        // SAFETY: `start` left the call to us; nobody else touches it but for the cells of `gor`.
        let Call { gor, call, group } = unsafe { &mut *call };
        gor.state.set(me);
        raw::local_set(ptr::from_ref(gor).cast_mut().cast());
        if let Some(mut arguments) = call.take() {
            let result = make_call(gor, &mut arguments);
            if raw::is_down() {
                end_child(result.err());
            }
            if let Err(e) = result {
                uncaught(gor, e);
            }
        }
        let func = gor.func.take();
        drop(func);
        if let Some(group) = group.take() {
            sync::group_done(&group);
        }
    };
    let end = || {
        raw::local_set(ptr::null_mut());
        // SAFETY: out of the list nobody knows it any more. No object is left in it whose end could run code.
        unsafe {
            (*call).gor.unlink();
            let mut call = Box::from_raw(call);
            if let Some(run) = call.gor.run.take() {
                run.leave();
            }
        }
    };
    // SAFETY: the engine starts a goroutine of our class here.
    unsafe { state::with_new_state(body, end) }
}

/// Makes the call, in the context it was started from and with the trace functions threads get.
fn make_call(gor: &Gor, call: &mut Arguments) -> Res<()> {
    if gor.run.as_ref().is_some_and(|r| r.draining()) {
        return Ok(());
    }
    trace_hooks()?;
    let func = gor.func.borrow().as_ref().map_or(ptr::null_mut(), Obj::as_ptr);
    let names = call.names.as_ref().map_or(ptr::null_mut(), Obj::as_ptr);
    // SAFETY: P1; `gor` keeps the function until this is over; the context is a fresh copy that only we enter; values
    // has room in front of the first argument.
    unsafe {
        if let Some(context) = &call.context {
            py::status((f::extra().context_enter)(context.as_ptr()))?;
        }
        let args = call.values.all().as_mut_ptr().add(1);
        let nargs = call.positional | f::VECTORCALL_OFFSET;
        let result = Obj::own(state::vectorcall(func, args, nargs, names));
        if let Some(context) = &call.context {
            (f::extra().context_exit)(context.as_ptr());
        }
        result.map(drop)
    }
}

/// `threading.settrace` and `threading.setprofile` reach goroutines as they reach threads; other hooks, set in a spare thread state,
/// do not.
fn trace_hooks() -> Res<()> {
    let c = consts();
    for (name, set) in [(c.trace_hook, c"settrace"), (c.profile_hook, c"setprofile")] {
        // SAFETY: P1; a borrowed reference from a dictionary, or null, perhaps with an exception.
        let hook = unsafe { f::PyDict_GetItemWithError(c.threading, name) };
        if hook.is_null() {
            py::clear();
            continue;
        }
        if py::is_none(hook) && !spare::has_hooks() {
            continue;
        }
        // SAFETY: the dictionary keeps it alive.
        let hook = unsafe { Obj::share(hook) };
        py::import(c"sys")?.call_method(set, &[&hook])?;
    }
    Ok(())
}

/// An exception left a goroutine: it ends the surrounding run, or is reported as a thread's would be.
fn uncaught(gor: &Gor, e: Raised) {
    let e = py::fetch(e);
    if py::is_a(&e, consts().cancelled) {
        return;
    }
    match &gor.run {
        Some(run) if run.fail(&e) => {}
        _ => report(&e),
    }
}

/// The end of the goroutine that forked, in the child: there is no thread to go on with and no run to return to, so the
/// process ends.
pub fn end_child(error: Option<Raised>) -> ! {
    let error = error.map_or_else(py::none, py::fetch);
    if let Err(e) = py::import(c"zokor._types").and_then(|m| m.call_method(c"_end_child", &[&error])) {
        py::unraisable(e, ptr::null_mut());
    }
    // SAFETY: ends the process.
    unsafe { libc::_exit(1) }
}

/// Hands an exception to `threading.excepthook`.
pub fn report(e: &Obj) {
    let hand_over = || -> Res<()> {
        let threading = py::import(c"threading")?;
        // SAFETY: e is live, and so is its class.
        let class = unsafe { Obj::share(f::Py_TYPE(e.as_ptr()).cast()) };
        let traceback = e.attr(c"__traceback__")?;
        let four = py::tuple(&[&class, e, &traceback, &py::none()])?;
        let args = threading.call_method(c"ExceptHookArgs", &[&four])?;
        threading.call_method(c"excepthook", &[&args]).map(drop)
    };
    if let Err(e) = hand_over() {
        py::unraisable(e, ptr::null_mut());
    }
}
