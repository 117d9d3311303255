//! `stats`, `goroutines`, `dump`: looking inside.
//!
//! Where it sits: above `goroutine`; the engine knows the goroutines, Python their stacks.

use crate::consts::consts;
use crate::ffi::{self as f, PyObject, PyThreadState};
use crate::py::{self, Args, Obj, Res};
use crate::{goroutine, raw, wait};
use core::fmt::Write;
use std::collections::HashMap;

py::plain!(stats_slot, |_, _| {
    let s = raw::stats();
    let values =
        [s.goroutines, s.runnable, s.blocked, s.created, s.workers, s.switches, s.steals, s.timers, s.stack_bytes];
    let values = values.iter().map(|&v| py::int(v as i64)).collect::<Res<Vec<Obj>>>()?;
    // SAFETY: the class is alive.
    unsafe { Obj::share(consts().stats) }.call(&values.iter().collect::<Vec<_>>())
});

/// What we know of a goroutine beside the engine.
struct Ours {
    func: Option<Obj>,
    state: *mut PyThreadState,
    waits_for: Option<String>,
}

/// Our goroutines by number.
fn ours() -> HashMap<u64, Ours> {
    let mut map = HashMap::new();
    goroutine::each(|g| {
        // SAFETY: whoever waits on a channel holds it, and goes on only when we let go of the GIL.
        let waits_for = unsafe { g.waits_for.get().as_ref() }.and_then(|c| c.name()).map(String::from);
        map.insert(g.id.get(), Ours { func: g.func.borrow().clone(), state: g.state.get(), waits_for });
    });
    map
}

/// The engine's goroutines, oldest first.
fn all() -> Vec<raw::GoInfo> {
    let mut all = Vec::new();
    raw::each(&mut |g| {
        all.push(g.clone());
        true
    });
    all.sort_by_key(|g| g.id);
    all
}

/// The name it was given, else that of the function it runs.
fn name(g: &raw::GoInfo, ours: Option<&Ours>) -> String {
    match ours.and_then(|o| o.func.as_ref()) {
        Some(func) if g.name.is_empty() => match func.attr(c"__qualname__") {
            Ok(name) => name.text(),
            Err(_) => {
                py::clear();
                py::class_name(func.as_ptr())
            }
        },
        _ => g.name.clone(),
    }
}

/// "running", "runnable" or "blocked".
fn state(g: &raw::GoInfo) -> &'static str {
    match g.state {
        s @ ("running" | "runnable") => s,
        _ => "blocked",
    }
}

/// "chan receive 'jobs'"; empty for one that is not blocked.
fn wait_on(g: &raw::GoInfo, ours: Option<&Ours>) -> String {
    let name = match ours.and_then(|o| o.waits_for.as_deref()) {
        Some(name) if g.wait_on.starts_with("chan") => name,
        _ => g.wait_obj_name.as_str(),
    };
    match (state(g), name) {
        ("blocked", "") if g.wait_on.is_empty() => g.state.to_string(),
        ("blocked", "") => g.wait_on.to_string(),
        ("blocked", name) => format!("{} '{name}'", g.wait_on),
        _ => String::new(),
    }
}

py::plain!(goroutines_slot, |_, _| {
    let ours = ours();
    // SAFETY: P1; a new reference or an exception.
    let list = unsafe { Obj::own(f::PyList_New(0))? };
    for g in all() {
        let fields = [
            py::int(g.id as i64)?,
            py::string(&name(&g, ours.get(&g.id)))?,
            py::string(state(&g))?,
            py::string(&wait_on(&g, ours.get(&g.id)))?,
            py::float(wait::seconds(g.since))?,
        ];
        // SAFETY: the class is alive.
        let info = unsafe { Obj::share(consts().go_info) }.call(&fields.iter().collect::<Vec<_>>())?;
        // SAFETY: P1; both are live; the list takes a reference of its own.
        py::status(unsafe { f::PyList_Append(list.as_ptr(), info.as_ptr()) })?;
    }
    Ok(list)
});

/// Every goroutine with its Python stack, as text. In a `deadlock` the one that asks is shown by what it waited for: it runs only to
/// tell of it.
pub fn report(deadlock: bool) -> Res<String> {
    let ours = ours();
    let asks = if deadlock { raw::goid() } else { 0 };
    let traceback = py::import(c"traceback")?;
    let now = raw::now();
    let mut text = String::new();
    for mut g in all() {
        let mine = ours.get(&g.id);
        if g.id == asks {
            (g.state, g.wait_on) = ("waiting", raw::last_wait());
        }
        let what = match wait_on(&g, mine) {
            on if on.is_empty() => state(&g).to_string(),
            on => on,
        };
        let age = wait::seconds(now.saturating_sub(g.since));
        let _ = writeln!(text, "goroutine {} \"{}\" [{what}, {age:.1} s]:", g.id, name(&g, mine));
        match mine.and_then(|o| frame(o.state)) {
            Some(frame) => {
                for line in py::items(&traceback.call_method(c"format_stack", &[&frame])?)? {
                    text.push_str(&line.text());
                }
            }
            None if mine.is_some() => text.push_str("  (not started)\n"),
            None => text.push_str("  (no Python stack)\n"),
        }
        text.push('\n');
    }
    Ok(text)
}

/// The innermost Python frame of a goroutine. It does not run while we hold the GIL, unless it is the one that asks.
fn frame(state: *mut PyThreadState) -> Option<Obj> {
    if state.is_null() {
        return None;
    }
    // SAFETY: a goroutine in the list has not deleted its thread state; P1. A new reference or null, no exception.
    unsafe {
        let frame = f::PyThreadState_GetFrame(state);
        (!frame.is_null()).then(|| Obj::own(frame.cast()).ok()).flatten()
    }
}

py::fast!(dump_slot, "dump", dump);

fn dump(_: *mut PyObject, args: Args<'_>) -> Res<Obj> {
    let [] = args.named([])?;
    let file = match args.optional()? {
        // SAFETY: borrowed from the caller.
        Some(file) if !py::is_none(file) => unsafe { Obj::share(file) },
        _ => py::import(c"sys")?.attr(c"stderr")?,
    };
    file.call_method(c"write", &[&py::string(&report(false)?)?])?;
    Ok(py::none())
}

/// The functions of this file.
pub const FUNCTIONS: [f::PyMethodDef; 3] = [
    f::noargs(c"stats", stats_slot, c"stats($module, /)\n--\n\nCounts of the whole runtime."),
    f::noargs(c"goroutines", goroutines_slot, c"goroutines($module, /)\n--\n\nEvery goroutine there is, oldest first."),
    f::fastcall(
        c"dump",
        dump_slot,
        c"dump($module, file=None, /)\n--\n\nEvery goroutine with its Python stack; to stderr by default.",
    ),
];
