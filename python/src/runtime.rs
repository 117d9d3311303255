//! `go`, `goid`, `configure`: starting the engine and putting work into it.
//!
//! Where it sits: above `goroutine`; `run` and `blocking` are beside it.

use crate::consts::consts;
use crate::ffi::{self as f, PyObject};
use crate::py::{self, Args, Raised, Res};
use crate::{goroutine, raw, state, wait};
use core::cell::Cell;
use core::ptr;

/// What `configure` has set. Attached code only.
struct Limits {
    started: Cell<bool>,
    workers: Cell<u32>,
    stack_size: Cell<usize>,
    max_blocking: Cell<u32>,
}

// SAFETY: the GIL is its lock (P1).
unsafe impl Sync for Limits {}

/// One worker by default: under the GIL a second one adds switches between threads and no speed.
static LIMITS: Limits = Limits {
    started: Cell::new(false),
    workers: Cell::new(1),
    stack_size: Cell::new(state::STACK_SIZE),
    max_blocking: Cell::new(0),
};

/// The stack of a Python goroutine in bytes.
pub fn stack_size() -> usize {
    LIMITS.stack_size.get()
}

/// Sets the limits in force at first use.
#[inline]
pub fn start() -> Res<()> {
    if !state::in_home_interpreter() {
        return Err(py::raise(consts().error, "goroutines belong to the interpreter that imported zokor first"));
    }
    if LIMITS.started.get() {
        return Ok(());
    }
    first_use()
}

#[cold]
fn first_use() -> Res<()> {
    if state::is_closing() {
        return Err(py::raise(consts().error, "the interpreter is shutting down"));
    }
    let config = raw::Config {
        workers: LIMITS.workers.get(),
        max_blocking: LIMITS.max_blocking.get(),
        // Only stacks of the engine's default size are taken at the first run, last in, first out, from the worker's pool.
        stack_size: LIMITS.stack_size.get(),
        ..Default::default()
    };
    match raw::init(config).map_err(raw::Error::from) {
        // Busy: somebody else in this process uses the engine already, with limits of their own.
        Ok(()) | Err(raw::Error::Busy) => {
            LIMITS.started.set(true);
            Ok(())
        }
        Err(e) => Err(wait::error(e, "configure")),
    }
}

py::fast!(go_slot, "go", go);
py::fast!(configure_slot, "configure", configure);
py::plain!(goid_slot, |_, _| py::int(raw::goid() as i64));
py::plain!(quiesce_slot, |_, _| {
    state::close();
    Ok(py::none())
});

fn go(_: *mut PyObject, args: Args<'_>) -> Res<py::Obj> {
    let Some((&func, rest)) = args.positional().split_first() else {
        return Err(py::type_error("go() needs something to call"));
    };
    goroutine::spawn(func, rest, &args, None)?;
    Ok(py::none())
}

fn configure(_: *mut PyObject, args: Args<'_>) -> Res<py::Obj> {
    let [] = args.exactly()?;
    let [workers, stack_size, max_blocking] = args.named([c"workers", c"stack_size", c"max_blocking"])?;
    if LIMITS.started.get() {
        return Err(py::raise(consts().error, "configure() must come before the first goroutine"));
    }
    let workers = limit(workers, "workers", 1, 1024)?;
    let stack_size = limit(stack_size, "stack_size", 256 << 10, 64 << 20)?;
    let max_blocking = limit(max_blocking, "max_blocking", 1, 1 << 16)?;
    // All three are good: none is set otherwise.
    if let Some(n) = workers {
        LIMITS.workers.set(n as u32);
    }
    if let Some(n) = stack_size {
        LIMITS.stack_size.set(n as usize);
    }
    if let Some(n) = max_blocking {
        LIMITS.max_blocking.set(n as u32);
    }
    Ok(py::none())
}

/// A whole number in a range, or none.
fn limit(value: *mut PyObject, name: &str, least: i64, most: i64) -> Result<Option<i64>, Raised> {
    if ptr::eq(value, ptr::null()) || py::is_none(value) {
        return Ok(None);
    }
    let n = py::to_i64(value)?;
    if (least..=most).contains(&n) {
        Ok(Some(n))
    } else {
        Err(py::value_error(&format!("{name} must be between {least} and {most}, not {n}")))
    }
}

/// The functions of this file.
pub const FUNCTIONS: [f::PyMethodDef; 4] = [
    f::fastcall(
        c"go",
        go_slot,
        c"go($module, fn, /, *args, **kwargs)\n--\n\nStart ``fn(*args, **kwargs)`` in a goroutine of its own.\n\nIt runs in a copy of the current ``contextvars`` context. An exception that\nleaves ``fn`` ends the surrounding ``run`` (without one it goes to\n``threading.excepthook``).",
    ),
    f::noargs(c"goid", goid_slot, c"goid($module, /)\n--\n\nNumber of this goroutine; 0 in a plain thread."),
    f::fastcall(
        c"configure",
        configure_slot,
        c"configure($module, /, *, workers=None, stack_size=None, max_blocking=None)\n--\n\nSet limits before first use; ``Error`` once the runtime runs.",
    ),
    f::noargs(c"_quiesce", quiesce_slot, c"_quiesce($module, /)\n--\n\nThe interpreter is about to end."),
];
