//! `blocking`: a call on a helper thread.
//!
//! Where it sits: above `wait`; the threads are the engine's.

use crate::ffi::{self as f, PyObject};
use crate::py::{self, Args, Obj, Res};
use crate::{raw, runtime, state, wait};
use core::ffi::c_void;
use core::ptr;

/// The call and its outcome, on the stack of the goroutine that waits.
struct Job<'a> {
    func: *mut PyObject,
    args: &'a [*mut PyObject],
    names: *mut PyObject,
    context: Obj,
    /// An object or an exception.
    outcome: Option<Result<Obj, Obj>>,
}

py::fast!(blocking_slot, "blocking", blocking);

fn blocking(_: *mut PyObject, args: Args<'_>) -> Res<Obj> {
    let Some((&func, rest)) = args.positional().split_first() else {
        return Err(py::type_error("blocking() needs something to call"));
    };
    // SAFETY: P1; the context is a new reference or an exception.
    let context = unsafe { Obj::own((f::extra().context_copy)())? };
    let (_, names) = args.keywords();
    let mut job = Job { func, args: rest, names, context, outcome: None };
    if raw::on_goroutine() {
        runtime::start()?;
        let arg: *mut c_void = ptr::from_mut(&mut job).cast();
        // SAFETY: the job outlives the call, which returns when `entry` has.
        if let Err(e) = wait::blocking(raw::FOREVER, |_| unsafe { raw::blocking_c(entry, arg) })? {
            return Err(wait::error(e, "blocking"));
        }
    } else {
        // A plain thread, or a helper already, may block as it is.
        job.make();
    }
    match job.outcome {
        Some(Ok(value)) => Ok(value),
        Some(Err(e)) => Err(py::restore(e)),
        None => Err(wait::error(raw::Error::Cancelled, "blocking")),
    }
}

impl Job<'_> {
    /// Makes the call; attached.
    fn make(&mut self) {
        // SAFETY: P1; the arguments are borrowed from the caller, who waits; keyword values follow the positional ones.
        let result = unsafe {
            py::status((f::extra().context_enter)(self.context.as_ptr())).and_then(|()| {
                let r = Obj::own(state::vectorcall(self.func, self.args.as_ptr(), self.args.len(), self.names));
                (f::extra().context_exit)(self.context.as_ptr());
                r
            })
        };
        self.outcome = Some(result.map_err(py::fetch));
    }
}

/// On the helper thread.
unsafe extern "C-unwind" fn entry(arg: *mut c_void) {
    if state::is_closing() {
        f::hang();
    }
    // SAFETY: the job is alive until we return; the thread is not attached, and gets a thread state for the call.
    unsafe {
        let gil = f::PyGILState_Ensure();
        (*arg.cast::<Job<'_>>()).make();
        f::PyGILState_Release(gil);
    }
}

/// The functions of this file.
pub const FUNCTIONS: [f::PyMethodDef; 1] = [f::fastcall(
    c"blocking",
    blocking_slot,
    c"blocking($module, fn, /, *args, **kwargs)\n--\n\nRun ``fn`` on a helper thread while only this goroutine waits.",
)];
