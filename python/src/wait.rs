//! Waiting: what every blocking call does around the engine's, and what the engine's errors become.
//!
//! Where it sits: above `state` and `goroutine`; the types call it.

use crate::consts::consts;
use crate::ffi::{self as f, PyObject};
use crate::goroutine::{self, Gor};
use crate::py::{self, Obj, Raised, Res};
use crate::{info, raw, signals, state};

/// Calls `op` with a deadline until it has an answer that is not a mere interruption: signals are looked at, a wake-up
/// meant for the goroutines of another run is ignored, and a deadlock is none while another thread of Python's lives. `Err`
/// is an answer of the engine for the caller to translate.
#[inline]
pub fn blocking<R>(deadline: raw::Time, mut op: impl FnMut(raw::Time) -> raw::Result<R>) -> Res<raw::Result<R>> {
    let mut until = first_look(deadline);
    let mut verdict = Verdict::default();
    loop {
        gate()?;
        match state::park(|| op(until)) {
            Err(raw::Error::Interrupted) => py::check_signals()?,
            Err(raw::Error::Cancelled) => {}
            Err(raw::Error::Deadlock) if !verdict.stands()? => until = verdict.wait_again(deadline),
            // Here, while the channel is noted that is waited for.
            Err(raw::Error::Deadlock) => return Err(deadlock()),
            Err(raw::Error::TimedOut) if until < deadline => {
                py::check_signals()?;
                until = deadline;
            }
            answer => return Ok(answer),
        }
    }
}

/// How long a main that nobody could wake waits before it asks again whether the threads that might are alive, and a
/// plain main thread before it looks again for signals that came just before it slept: 50 ms.
const LOOK_AGAIN: raw::Time = 50_000_000;

/// What main, told that nobody can go on, knows of those the engine does not: threads that have not called in yet.
///
/// A thread may come and be gone again between the verdict and the look at the threads. So a look that finds nobody is followed by
/// another wait, and only a second verdict counts, with no goroutine having run since the first: nobody has started a
/// thread since that look, and what the last one left behind the second wait has found.
#[derive(Default)]
pub struct Verdict {
    alone: bool,
}

impl Verdict {
    /// Main was told: whether it is so.
    pub fn stands(&mut self) -> Res<bool> {
        if self.alone && raw::deadlock_stands() {
            return Ok(true);
        }
        self.alone = !somebody_may_come()?;
        Ok(false)
    }

    /// How long to wait if it is not, or not yet.
    pub fn wait_again(&self, deadline: raw::Time) -> raw::Time {
        if self.alone {
            deadline
        } else {
            deadline.min(raw::now() + LOOK_AGAIN)
        }
    }
}

/// The deadline of the first wait. `signals` sees to it that `run` sleeps through no signal; outside of it the main
/// thread looks once more after a moment, and from then on a signal ends its sleep.
#[inline]
fn first_look(deadline: raw::Time) -> raw::Time {
    if deadline == raw::NOWAIT || raw::on_goroutine() || !state::on_main_thread() {
        return deadline;
    }
    deadline.min(raw::now() + LOOK_AGAIN)
}

/// Whether somebody outside may wake a goroutine: a thread that is neither this one nor the engine's, or a signal for
/// which the program has a handler of its own.
#[cold]
fn somebody_may_come() -> Res<bool> {
    Ok(a_thread_lives()? || signals::handled()?)
}

fn a_thread_lives() -> Res<bool> {
    let threading = py::import(c"threading")?;
    let me = threading.call_method(c"current_thread", &[])?;
    let engines = threading.attr(c"_DummyThread")?;
    let all = py::items(&threading.call_method(c"enumerate", &[])?)?;
    Ok(all.iter().any(|t| t.as_ptr() != me.as_ptr() && !py::is_instance(t, &engines)))
}

/// The same for a wait on one channel, whose name reports then show.
#[inline]
pub fn on_channel<R>(
    c: &raw::ByteChan,
    deadline: raw::Time,
    op: impl FnMut(raw::Time) -> raw::Result<R>,
) -> Res<raw::Result<R>> {
    let Some(g) = goroutine::current() else { return blocking(deadline, op) };
    g.waits_for.set(c);
    let answer = blocking(deadline, op);
    g.waits_for.set(core::ptr::null());
    answer
}

/// What can keep a blocking call from starting: the end of its run, an interrupt, a signal handler that raises.
#[inline]
fn gate() -> Res<()> {
    // CPython 3.13 tells only the thread state of the main thread of a signal. Goroutines that keep the main thread
    // busy look for themselves, now and then; the poll is cheap where there is nothing to do.
    if raw::turn() {
        py::check_signals()?;
    }
    let Some(g) = goroutine::current() else { return Ok(()) };
    let Some(run) = &g.run else { return Ok(()) };
    if g.is_main && run.take_interrupt() {
        // SAFETY: a class of the interpreter's own.
        return Err(unsafe { raise_plain(f::PyExc_KeyboardInterrupt) });
    }
    if run.draining() {
        return Err(cancelled());
    }
    Ok(())
}

/// The caller, if nothing can keep a blocking call of its from starting and it is not its turn to look for signals: who has it may do at once
/// what can be done without waiting. Others go the long way.
#[inline]
pub fn unhindered() -> Option<raw::Caller<'static>> {
    let caller = raw::Caller::now()?;
    // SAFETY: see `goroutine::current`.
    let g = unsafe { caller.local().cast::<Gor>().as_ref()? };
    let quiet = g.run.as_ref().is_none_or(|run| run.is_quiet());
    (quiet && caller.count()).then_some(caller)
}

/// The end of an operation that was tried at once: whether it is done.
#[inline]
pub fn is_done(operation: raw::AtOnce) -> bool {
    match operation {
        raw::AtOnce::No => false,
        raw::AtOnce::Done => true,
        raw::AtOnce::Due => {
            state::park(raw::checkpoint);
            true
        }
    }
}

/// Sets an exception without arguments.
///
/// # Safety
/// `kind` is an exception class.
pub unsafe fn raise_plain(kind: *mut PyObject) -> Raised {
    // SAFETY: the caller's.
    unsafe { f::PyErr_SetNone(kind) };
    pending()
}

/// The witness of an exception that a C function has just set.
fn pending() -> Raised {
    match py::status(-1) {
        Err(e) => e,
        Ok(()) => std::process::abort(),
    }
}

/// Takes the exception that is set.
pub fn take_pending() -> Obj {
    py::fetch(pending())
}

/// `Cancelled`, because the run of this goroutine is ending.
pub fn cancelled() -> Raised {
    // SAFETY: the class is alive.
    unsafe { raise_plain(consts().cancelled) }
}

/// The exception for an error of the engine in the function `what`.
#[cold]
pub fn error(e: raw::Error, what: &str) -> Raised {
    use raw::Error as E;
    let c = consts();
    // SAFETY: classes of the interpreter's own.
    let (timeout, memory, os) = unsafe { (f::PyExc_TimeoutError, f::PyExc_MemoryError, f::PyExc_OSError) };
    match e {
        E::Closed => py::raise(c.chan_closed, "channel is closed"),
        E::TimedOut | E::WouldBlock => py::raise(timeout, &format!("{what}() timed out")),
        E::Cancelled | E::Interrupted => cancelled(),
        E::Deadlock => deadlock(),
        E::NoMemory => py::raise(memory, "no memory for a goroutine or a channel"),
        E::Limit => py::raise(c.error, "too many goroutines"),
        E::Shutdown => py::raise(c.error, "the runtime of this process has ended (is this a forked child?)"),
        E::Perm => py::raise(c.error, &format!("{what}() cannot wait inside blocking()")),
        E::Invalid => py::value_error(&format!("{what}(): argument out of range")),
        E::Os(code) => os_error(os, code.0),
        other => py::raise(c.error, &format!("{what}(): {other:?}")),
    }
}

fn os_error(class: *mut PyObject, code: i32) -> Raised {
    let make = || -> Res<Raised> {
        let number = py::int(i64::from(code))?;
        let text = py::import(c"os")?.call_method(c"strerror", &[&number])?;
        // SAFETY: the class is alive.
        let error = unsafe { Obj::share(class) }.call(&[&number, &text])?;
        Ok(py::raise_value(&error))
    };
    match make() {
        Ok(e) | Err(e) => e,
    }
}

/// `Deadlock` with a report of every goroutine.
fn deadlock() -> Raised {
    let make = || -> Res<Raised> {
        let report = py::string(&info::report(true)?)?;
        let text = py::string("all goroutines are asleep")?;
        // SAFETY: the class is alive.
        let error = unsafe { Obj::share(consts().deadlock) }.call(&[&text])?;
        error.set_attr(c"dump", &report)?;
        Ok(py::raise_value(&error))
    };
    match make() {
        Ok(e) | Err(e) => e,
    }
}

/// The deadline of a `timeout=` argument (null: not given).
#[inline]
pub fn deadline(timeout: *mut PyObject) -> Res<raw::Time> {
    if timeout.is_null() || py::is_none(timeout) {
        return Ok(raw::FOREVER);
    }
    let seconds = py::to_seconds(timeout, "timeout")?;
    Ok(if seconds <= 0.0 { raw::NOWAIT } else { after(seconds) })
}

/// The time `seconds` from now; FOREVER where that is beyond the clock.
#[inline]
pub fn after(seconds: f64) -> raw::Time {
    raw::now().saturating_add(nanoseconds(seconds))
}

/// Seconds as nanoseconds, rounded up so that a wait is never too short; nothing below 0.
#[inline]
pub fn nanoseconds(seconds: f64) -> i64 {
    // A float too large for an i64 becomes the largest one, which is FOREVER.
    (seconds.max(0.0) * 1e9).ceil() as i64
}

/// A time of the engine in seconds of `time.monotonic()`.
#[inline]
pub fn seconds(t: raw::Time) -> f64 {
    t as f64 / 1e9
}
