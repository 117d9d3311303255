//! The Python module.
//!
//! Thin: arguments are checked, the engine (`zokor::raw`) is called, its answer becomes an object or an exception. What is
//! Python's own is how goroutines and the interpreter go together; `state` is the file to start with, then `goroutine`,
//! `run` and `wait`; the rest are types.
//!
//! Only the C API is used, no binding layer above it: a goroutine that parks leaves its C frames where they are, and
//! whatever such a layer keeps per thread would be wrong for the goroutine that comes next.

mod blocking;
mod chan;
mod chunks;
mod class;
mod consts;
mod ffi;
mod goroutine;
mod info;
mod preempt;
mod py;
mod run;
mod runtime;
mod select;
mod signals;
mod spare;
mod state;
mod sync;
mod time;
mod wait;

use zokor::raw;

use consts::{consts, Types};
use ffi::{self as f, PyMethodDef, PyModuleDef, PyObject, Table};
use py::{Obj, Res};

const COUNT: usize = 18;

/// All functions, in one table.
const fn functions() -> [PyMethodDef; COUNT] {
    let mut all = [f::END; COUNT];
    let parts: [&[PyMethodDef]; 8] = [
        &run::FUNCTIONS,
        &signals::FUNCTIONS,
        &preempt::FUNCTIONS,
        &runtime::FUNCTIONS,
        &blocking::FUNCTIONS,
        &select::FUNCTIONS,
        &time::FUNCTIONS,
        &info::FUNCTIONS,
    ];
    let (mut part, mut n) = (0, 0);
    while part < parts.len() {
        let mut i = 0;
        while i < parts[part].len() {
            all[n] = parts[part][i];
            n += 1;
            i += 1;
        }
        part += 1;
    }
    // The last entry stays the end mark.
    assert!(n == COUNT - 1);
    all
}

static METHODS: Table<PyMethodDef, COUNT> = Table::new(functions());

static MODULE: Table<PyModuleDef, 1> = Table::new([PyModuleDef {
    m_base: f::PyModuleDef_HEAD_INIT,
    m_name: c"zokor._zokor".as_ptr(),
    m_doc: c"The engine of zokor; import zokor instead.".as_ptr(),
    m_size: -1,
    m_methods: METHODS.get(),
    m_slots: core::ptr::null_mut(),
    m_traverse: None,
    m_clear: None,
    m_free: None,
}]);

/// What `import zokor._zokor` calls.
///
/// # Safety
/// Called by the interpreter.
#[no_mangle]
pub unsafe extern "C" fn PyInit__zokor() -> *mut PyObject {
    py::give(module())
}

fn module() -> Res<Obj> {
    // SAFETY: the class is alive.
    let refuse = |why: &str| py::raise(unsafe { f::PyExc_ImportError }, why);
    if let Err(name) = f::load() {
        return Err(refuse(&format!("zokor needs {} of CPython", name.to_string_lossy())));
    }
    let main_thread = py::import(c"threading")?.call_method(c"main_thread", &[])?.attr(c"ident")?;
    state::init(py::to_i64(main_thread.as_ptr())? as usize).map_err(|why| refuse(&why))?;
    spare::learn()?;
    let [chan, sender, receiver] = chan::types()?;
    let types = Types {
        chan,
        sender,
        receiver,
        send_case: select::send_case_type()?,
        timer: time::timer_type()?,
        wait_group: sync::wait_group_type()?,
    };
    consts::init(types)?;
    // SAFETY: P1; the definition is static; a new reference or an exception.
    let m = unsafe { Obj::own(f::PyModule_Create2(MODULE.get(), f::PYTHON_API_VERSION))? };
    let t = &consts().types;
    let public = [(c"Chan", t.chan), (c"SendCase", t.send_case), (c"Timer", t.timer), (c"WaitGroup", t.wait_group)];
    for (name, class) in public {
        // SAFETY: types live as long as the process.
        m.set_attr(name, &unsafe { Obj::share(class.cast()) })?;
    }
    m.set_attr(c"__version__", &py::string(env!("CARGO_PKG_VERSION"))?)?;
    let quiesce = m.attr(c"_quiesce")?;
    py::import(c"atexit")?.call_method(c"register", &[&quiesce])?;
    Ok(m)
}
