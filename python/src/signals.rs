//! Signals during `run`: SIGINT goes to the main goroutine, and none is slept through.
//!
//! Where it sits: above `goroutine` and `wait`; `run` uses it, the engine calls [`pending`].
//!
//! Python notes a signal in its C handler and runs the program's handler when the main thread gets to it. A signal that
//! comes while the main thread sleeps ends that sleep (EINTR), and main looks. One that comes shortly before would be
//! slept through: so Python is told to write a byte into a pipe for every signal (`signal.set_wakeup_fd`), and the
//! engine asks for it as the last thing before the thread sleeps.

use crate::ffi::{self as f, PyObject};
use crate::goroutine;
use crate::py::{self, Args, Obj, Res};
use crate::run::Run;
use crate::{preempt, state, wait};
use core::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

/// The reading end of the pipe; -1 before the first run. Relaxed: written once, under the GIL, by the thread that reads it.
static READ: AtomicI32 = AtomicI32::new(-1);
/// The writing end.
static WRITE: AtomicI32 = AtomicI32::new(-1);

/// `drain` has found a signal. Relaxed: the thread in `run` alone reads and writes it.
static FOUND: AtomicBool = AtomicBool::new(false);

/// Whether a signal has come that nobody has looked at: empties the pipe.
pub fn pending() -> bool {
    drain();
    FOUND.load(Relaxed) && FOUND.swap(false, Relaxed)
}

/// Empties the pipe and notes for [`pending`] what it finds: all but what `preempt` has made Python write.
pub fn drain() {
    let fd = READ.load(Relaxed);
    if fd < 0 {
        return;
    }
    let mut bytes = [0u8; 64];
    // SAFETY: the buffer is as long as it says; the descriptor does not block.
    let n = unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) };
    let n = usize::try_from(n).unwrap_or(0);
    if bytes[..n].iter().any(|&number| i32::from(number) != preempt::SIGNAL) {
        FOUND.store(true, Relaxed);
    }
}

/// Makes the pipe, once per process. None: there are no descriptors left; signals are then seen by EINTR alone.
fn pipe() -> Option<i32> {
    if READ.load(Relaxed) < 0 {
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors.
        if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
            return None;
        }
        for end in ends {
            // SAFETY: descriptors of our own.
            unsafe {
                libc::fcntl(end, libc::F_SETFL, libc::O_NONBLOCK);
                libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
        WRITE.store(ends[1], Relaxed);
        READ.store(ends[0], Relaxed);
    }
    Some(WRITE.load(Relaxed))
}

py::fast!(on_sigint, "_on_sigint", |_: *mut PyObject, _: Args<'_>| {
    match (goroutine::current(), Run::active()) {
        (Some(g), Some(run)) if !g.is_main => {
            run.interrupt();
            Ok(py::none())
        }
        // SAFETY: a class of the interpreter's own.
        _ => Err(unsafe { wait::raise_plain(f::PyExc_KeyboardInterrupt) }),
    }
});

/// The functions of this file.
pub const FUNCTIONS: [f::PyMethodDef; 1] = [f::fastcall(
    c"_on_sigint",
    on_sigint,
    c"_on_sigint($module, signum, frame, /)\n--\n\nInterrupt the main goroutine.",
)];

/// Whether the program has a Python handler of its own for some signal.
pub fn handled() -> Res<bool> {
    let signal = py::import(c"signal")?;
    let default = signal.attr(c"default_int_handler")?;
    let module = py::import(c"zokor._zokor")?;
    let ours = [module.attr(c"_on_sigint")?, module.attr(c"_on_preempt")?];
    let numbers = py::import(c"builtins")?.call_method(c"list", &[&signal.call_method(c"valid_signals", &[])?])?;
    for number in py::items(&numbers)? {
        let handler = signal.call_method(c"getsignal", &[&number])?;
        // SAFETY: P1; live.
        let callable = unsafe { f::PyCallable_Check(handler.as_ptr()) } != 0;
        if callable && handler.as_ptr() != default.as_ptr() && !ours.iter().any(|o| py::equal(&handler, o)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a run on the main thread changes of Python's signal handling, to be put back.
pub struct Signals {
    /// Our handler of SIGINT. Python's own would raise `KeyboardInterrupt` in whatever goroutine is running; ours
    /// raises it in main. A handler the program has set itself is left alone.
    handler: Option<Obj>,
    /// The handler through which goroutines are preempted, where the program has none for that signal.
    preempt: Option<Obj>,
    /// Whether the pipe is Python's wakeup descriptor. One that is there already is left alone.
    wakeup: bool,
}

impl Signals {
    pub fn install() -> Res<Signals> {
        let mut changed = Signals { handler: None, preempt: None, wakeup: false };
        if !state::on_main_thread() {
            return Ok(changed);
        }
        let signal = py::import(c"signal")?;
        if let Some(fd) = pipe() {
            let before = set_wakeup(&signal, i64::from(fd))?;
            if before == -1 {
                changed.wakeup = true;
            } else {
                set_wakeup(&signal, before)?;
            }
        }
        let (number, default) = (signal.attr(c"SIGINT")?, signal.attr(c"default_int_handler")?);
        let now = signal.call_method(c"getsignal", &[&number])?;
        if now.as_ptr() == default.as_ptr() {
            let ours = py::import(c"zokor._zokor")?.attr(c"_on_sigint")?;
            signal.call_method(c"signal", &[&number, &ours])?;
            changed.handler = Some(ours);
        }
        match preempt::install() {
            Ok(ours) => changed.preempt = ours,
            Err(e) => {
                changed.restore(); // keeps the exception
                return Err(e);
            }
        }
        Ok(changed)
    }

    /// Puts things back, unless the program has changed them meanwhile. Keeps an exception that is set.
    pub fn restore(self) {
        // SAFETY: P1.
        let set = (!unsafe { f::PyErr_Occurred() }.is_null()).then(wait::take_pending);
        if let Err(e) = self.put_back() {
            py::unraisable(e, ptr::null_mut());
        }
        if let Some(e) = set {
            let _ = py::restore(e);
        }
    }

    fn put_back(self) -> Res<()> {
        preempt::uninstall(self.preempt)?;
        if !self.wakeup && self.handler.is_none() {
            return Ok(());
        }
        let signal = py::import(c"signal")?;
        if self.wakeup {
            let now = set_wakeup(&signal, -1)?;
            if now != i64::from(WRITE.load(Relaxed)) {
                set_wakeup(&signal, now)?;
            }
        }
        if let Some(ours) = self.handler {
            let (number, default) = (signal.attr(c"SIGINT")?, signal.attr(c"default_int_handler")?);
            if py::equal(&signal.call_method(c"getsignal", &[&number])?, &ours) {
                signal.call_method(c"signal", &[&number, &default])?;
            }
        }
        Ok(())
    }
}

/// `signal.set_wakeup_fd(fd, warn_on_full_buffer=False)`: returns the descriptor that was set before. A full pipe says
/// all there is to say.
fn set_wakeup(signal: &Obj, fd: i64) -> Res<i64> {
    let set = signal.attr(c"set_wakeup_fd")?;
    let quiet = py::dict(&[(c"warn_on_full_buffer", &py::boolean(false))])?;
    let before = set.call_with(&[&py::int(fd)?], &quiet)?;
    py::to_i64(before.as_ptr())
}
