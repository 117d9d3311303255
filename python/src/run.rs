//! `run`: the main goroutine, and the end of all that it started.
//!
//! Where it sits: above `goroutine`'s bookkeeping and `state`; called from Python only.
//!
//! When main returns, or an exception leaves a goroutine, the run *drains*: whoever is parked below it wakes with
//! `Cancelled`, whoever blocks later gets it at once, and goroutines that never ran never will. `run` comes back when
//! the last of them has ended, so that their `finally` blocks have run.

use crate::consts::consts;
use crate::ffi::{self as f, PyObject};
use crate::goroutine::{self, Gor};
use crate::py::{self, Args, Obj, Res};
use crate::signals::Signals;
use crate::{raw, runtime, state, wait};
use core::cell::{Cell, RefCell};
use core::ptr;
use std::rc::Rc;

/// One call of `run`. Attached code only (R1); `live` is the engine's and may be touched by anybody.
pub struct Run {
    draining: Cell<bool>,
    /// SIGINT came while another goroutine than main was running on the main thread.
    interrupted: Cell<bool>,
    main: Cell<u64>,
    /// The first exception that no goroutine caught.
    error: RefCell<Option<Obj>>,
    live: raw::RawWaitGroup,
}

struct Active(RefCell<Option<Rc<Run>>>);

// SAFETY: by R1 the GIL is its lock.
unsafe impl Sync for Active {}

/// The run that is under way: there is one at a time.
static ACTIVE: Active = Active(RefCell::new(None));

impl Run {
    /// The run under way, to which goroutines started by plain threads belong.
    pub fn active() -> Option<Rc<Run>> {
        ACTIVE.0.borrow().clone()
    }

    #[inline]
    pub fn draining(&self) -> bool {
        self.draining.get()
    }

    /// Neither draining nor with an interrupt for main.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        !self.draining.get() && !self.interrupted.get()
    }

    /// Whether main is to be interrupted; asking takes it back.
    #[inline]
    pub fn take_interrupt(&self) -> bool {
        self.interrupted.replace(false)
    }

    /// SIGINT came while another goroutine than main was running: main's wait ends with `KeyboardInterrupt`.
    pub fn interrupt(&self) {
        self.interrupted.set(true);
        raw::interrupt(self.main.get());
    }

    /// One more goroutine to wait for.
    pub fn enter(&self) {
        // The count cannot overflow before memory does.
        let _ = self.live.add(1);
    }

    /// One less.
    pub fn leave(&self) {
        let _ = self.live.done();
    }

    /// Keeps the first exception and ends the run; false if there is one already.
    pub fn fail(&self, e: &Obj) -> bool {
        let first = self.error.borrow().is_none();
        if first {
            *self.error.borrow_mut() = Some(e.clone());
            self.drain();
        }
        first
    }

    fn drain(&self) {
        if !self.draining.replace(true) {
            // Under the GIL, as parking is: who does not see the flag is parked by now.
            raw::cancel_class(state::PYTHON);
        }
    }
}

py::fast!(run, "run", start);
/// The functions of this file.
pub const FUNCTIONS: [f::PyMethodDef; 1] = [f::fastcall(
    c"run",
    run,
    c"run($module, main, /, *args, **kwargs)\n--\n\nRun ``main`` as the first goroutine and return its result.\n\nRaises ``Deadlock`` when nothing can go on, and the first exception that no\ngoroutine caught. Cancels what is still running before it returns.",
)];

fn start(_: *mut PyObject, args: Args<'_>) -> Res<Obj> {
    let Some((&main, rest)) = args.positional().split_first() else {
        return Err(py::type_error("run() needs something to call"));
    };
    // SAFETY: P1; main is borrowed for the call.
    if unsafe { f::PyCallable_Check(main) } == 0 {
        let class = py::class_name(main);
        return Err(py::type_error(&format!("run() needs something to call, not '{class}'")));
    }
    if raw::on_goroutine() {
        return Err(py::raise(consts().error, "run() cannot be called in a goroutine"));
    }
    if ACTIVE.0.borrow().is_some() {
        return Err(py::raise(consts().error, "another thread is in run()"));
    }
    runtime::start()?;
    let run = Rc::new(Run {
        draining: Cell::new(false),
        interrupted: Cell::new(false),
        main: Cell::new(0),
        error: RefCell::new(None),
        live: raw::RawWaitGroup::new(),
    });
    let signals = Signals::install()?;
    *ACTIVE.0.borrow_mut() = Some(run.clone());
    // SAFETY: P1; main is borrowed for the call.
    let gor = Gor::new(unsafe { Obj::share(main) }, Some(run.clone()), true);
    let (kw, names) = args.keywords();
    let _ = kw;
    // SAFETY: attached.
    let me = unsafe { f::PyThreadState_Get() };
    gor.state.set(me);
    // SAFETY: attached with `me`; a new reference, or null without an exception.
    let below = unsafe { Obj::maybe(f::PyThreadState_GetFrame(me).cast()) };
    gor.below.set(below.as_ref().map_or(ptr::null_mut(), Obj::as_ptr));
    gor.link();
    let result = state::park(|| {
        raw::run_class(state::PYTHON, || {
            // SAFETY: this is the main goroutine of the run that began in this park.
            unsafe { state::with_state_of_thread(me, || body(&gor, &run, main, rest, names)) }
        })
    });
    // Here, where `gor` ends: main itself may have been given up, and then does nothing any more.
    gor.unlink();
    *ACTIVE.0.borrow_mut() = None;
    signals.restore();
    match result {
        Ok(result) => result,
        Err(e) => Err(wait::error(e, "run")),
    }
}

/// The main goroutine.
fn body(gor: &Gor, run: &Run, func: *mut PyObject, args: &[*mut PyObject], names: *mut PyObject) -> Res<Obj> {
    gor.id.set(raw::goid());
    run.main.set(raw::goid());
    raw::local_set(ptr::from_ref(gor).cast_mut().cast());
    // SAFETY: P1; the arguments are those `run` was called with, keyword values following the positional ones.
    let result = unsafe { Obj::own(state::vectorcall(func, args.as_ptr(), args.len(), names)) };
    if raw::is_down() {
        goroutine::end_child(result.err());
    }
    let result = result.map_err(py::fetch);
    run.drain();
    let waited = wait_for_all(run);
    raw::local_set(ptr::null_mut());
    waited?;
    let first = run.error.borrow_mut().take();
    match (result, first) {
        (Ok(value), None) => Ok(value),
        (Ok(_), Some(e)) => Err(py::restore(e)),
        (Err(e), None) => Err(py::restore(e)),
        // Main was cancelled because of the other one.
        (Err(main), Some(e)) if py::is_a(&main, consts().cancelled) => Err(py::restore(e)),
        (Err(main), Some(e)) => {
            if main.as_ptr() != e.as_ptr() {
                goroutine::report(&e);
            }
            Err(py::restore(main))
        }
    }
}

/// Waits for the goroutines of a run that drains.
fn wait_for_all(run: &Run) -> Res<()> {
    let (mut until, mut verdict) = (raw::FOREVER, wait::Verdict::default());
    loop {
        match state::park(|| run.live.wait(until)) {
            Ok(()) => return Ok(()),
            Err(raw::Error::Interrupted) => {
                py::check_signals()?;
                if run.take_interrupt() {
                    // SAFETY: a class of the interpreter's own.
                    return Err(unsafe { wait::raise_plain(f::PyExc_KeyboardInterrupt) });
                }
            }
            Err(raw::Error::Cancelled) => {}
            Err(raw::Error::Deadlock) if !verdict.stands()? => until = verdict.wait_again(raw::FOREVER),
            Err(raw::Error::TimedOut) => until = raw::FOREVER,
            Err(e) => return Err(wait::error(e, "run")),
        }
    }
}
