//! Frames as text: functions and lines.
//!
//! *Where it sits*: layer 5, behind `dump`. Calls `backtrace` for names. Needs some 100 KiB of stack.
//!
//! The frames within the library say little: of those that lead into it the outermost is shown, which is the call that the program
//! made, and those that lead from the goroutine's entry to the program's function are left out. At most 50 innermost and 50 outermost
//! frames are shown (rule TB-04).

use super::frames::{End, Frame, Frames, Trace};
use crate::sys;
use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt::Write;
use std::rc::Rc;

/// Frames that are shown of either end.
const SHOWN: usize = 50;

/// Whose function it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Library,
    Language,
    Program,
}

/// What a line of source shows of a frame; inlined functions have one each.
#[derive(Debug)]
struct Place {
    function: String,
    /// File and line, or module.
    at: String,
    owner: Owner,
}

/// Names that have been looked up.
pub struct Names {
    known: HashMap<usize, Rc<[Place]>>,
    /// Folders of the library's own sources. Where there are lines but no types, as in release builds, the names of inlined
    /// functions do not say whose they are.
    own: Vec<String>,
}

impl Names {
    /// None yet.
    pub fn new() -> Names {
        Names { known: HashMap::new(), own: own_folders() }
    }

    /// Writes what there is to show of a stack.
    pub fn write(&mut self, s: &mut String, trace: &Trace) {
        match trace {
            Trace::Walked(frames) => self.write_frames(s, frames),
            Trace::Running => s.push_str("\tgoroutine running on other thread; stack unavailable\n"),
            Trace::Nothing => {}
        }
    }

    fn write_frames(&mut self, s: &mut String, walked: &Frames) {
        let places: Vec<Rc<[Place]>> = walked.frames.iter().map(|f| self.of(f)).collect();
        let lines: Vec<&Place> = places.iter().flat_map(|p| p.iter()).collect();
        let lines = of_interest(&lines, walked.end);
        for (i, line) in lines.iter().enumerate() {
            if i >= SHOWN && i + SHOWN < lines.len() {
                if i == SHOWN {
                    let _ = writeln!(s, "...{} frames elided...", lines.len() - 2 * SHOWN);
                }
                continue;
            }
            let _ = writeln!(s, "{}\n\t{}", line.function, line.at);
        }
        if walked.end == End::Lost {
            s.push_str("...further frames unknown...\n");
        }
    }

    fn of(&mut self, frame: &Frame) -> Rc<[Place]> {
        self.known.entry(frame.pc).or_insert_with(|| look_up(frame, &self.own).into()).clone()
    }
}

/// The folders in which the library's sources were when it was built: those of this crate, and of the faces beside it.
#[inline(never)]
fn own_folders() -> Vec<String> {
    const ROOT: &str = "core/src/";
    let mut own = Vec::new();
    backtrace::resolve((own_folders as *const () as usize + 1) as *mut c_void, |symbol| {
        let file = symbol.filename().map_or_else(String::new, |f| f.display().to_string());
        if let Some(folder) = file.strip_suffix("dump/names.rs") {
            let faces = folder.strip_suffix(ROOT).into_iter();
            own.extend(faces.flat_map(|tree| [format!("{tree}capi/src/"), format!("{tree}python/src/")]));
            own.push(folder.to_owned());
        }
    });
    own
}

/// The functions that an address is in, the innermost of those inlined there first.
fn look_up(frame: &Frame, own: &[String]) -> Vec<Place> {
    let mut found = Vec::new();
    // The address of a return; what is looked up is the call before it.
    backtrace::resolve(frame.pc as *mut c_void, |symbol| {
        let function = symbol.name().map_or_else(String::new, |n| format!("{n:#}"));
        let at = symbol.filename().zip(symbol.lineno()).map(|(f, l)| format!("{}:{l}", f.display()));
        found.push((function, at));
    });
    if found.is_empty() {
        found.push((String::new(), None));
    }
    let last = found.len() - 1;
    let lined: Vec<bool> = found.iter().map(|f| f.1.is_some()).collect();
    let place = |(i, (function, at)): (usize, (String, Option<String>))| {
        let loaded = sys::frames::place(frame.pc - 1);
        // What the loader knows is the next exported symbol before the address: often another function's.
        let exported = loaded.as_ref().and_then(|p| p.symbol).filter(|s| frame.offset == Some(s.1 + 1));
        let function = match (function.is_empty(), exported) {
            (false, _) => function,
            (true, Some((name, _))) => name.to_string_lossy().into_owned(),
            (true, None) => String::from("<unknown>"),
        };
        let mut owner = owner(&function);
        if at.as_ref().is_some_and(|file| own.iter().any(|folder| file.starts_with(folder))) {
            owner = Owner::Library;
        } else if at.as_ref().is_some_and(|file| file.starts_with("/rustc/")) {
            owner = Owner::Language;
        }
        let mut at = at.unwrap_or_else(|| match &loaded {
            Some(p) => format!("{} at {:#x}", p.module.to_string_lossy(), p.offset + 1),
            None => format!("{:#x}", frame.pc),
        });
        if let (true, Some(offset)) = (i == last, frame.offset) {
            let _ = write!(at, " +{offset:#x}");
        }
        Place { owner, function, at }
    };
    let mut places: Vec<Place> = found.into_iter().enumerate().map(place).collect();
    // Some instructions belong to no line: such a function counts as its caller's, into which it is inlined.
    for i in (0..last).rev().filter(|i| !lined[*i]) {
        places[i].owner = places[i + 1].owner;
    }
    places
}

/// Whose function it is, by its name.
fn owner(function: &str) -> Owner {
    let path = function.trim_start_matches(['<', '&', '*', '(']);
    let path = ["dyn ", "mut ", "const "].iter().find_map(|p| path.strip_prefix(p)).unwrap_or(path);
    let one_of = |names: &[&str]| names.iter().any(|n| path.starts_with(n));
    if one_of(&["zokor::", "zk_", "zokor_context_entry"]) {
        Owner::Library
    } else if one_of(&["core::", "std::", "alloc::", "__rust_", "_Unwind_"]) {
        Owner::Language
    } else {
        Owner::Program
    }
}

/// What is shown of a stack: from the call into the library outwards, and not what leads from the goroutine's entry to the
/// program's function.
fn of_interest<'a, 'b>(lines: &'b [&'a Place], end: End) -> &'b [&'a Place] {
    let ours = |p: &&&Place| p.owner != Owner::Program;
    let inner = lines.iter().take_while(ours).count();
    if inner == lines.len() {
        return lines;
    }
    let call = lines[..inner].iter().rposition(|p| p.owner == Owner::Library).unwrap_or(0);
    let outer = if end == End::Entry { lines.iter().rev().take_while(ours).count() } else { 0 };
    &lines[call..lines.len() - outer]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(functions: &[&str]) -> Vec<Place> {
        let place = |f: &&str| Place { function: f.to_string(), at: String::from("f.rs:1"), owner: owner(f) };
        functions.iter().map(place).collect()
    }

    fn shown(functions: &[&str], end: End) -> Vec<String> {
        let all = places(functions);
        let all: Vec<&Place> = all.iter().collect();
        of_interest(&all, end).iter().map(|p| p.function.clone()).collect()
    }

    #[test]
    fn the_library_is_one_call_and_the_entry_nothing() {
        let all = [
            "zokor::sched::switch_away",
            "core::option::Option<T>::map",
            "<zokor::channel::Receiver<T> as Iterator>::next",
            "core::iter::fold",
            "app::read",
            "zokor::scope::scope",
            "app::main",
            "core::ops::function::FnOnce::call_once",
            "zokor::start::first",
        ];
        assert_eq!(shown(&all, End::Entry), &all[2..7]);
        assert_eq!(shown(&all, End::Lost), &all[2..]);
        assert_eq!(shown(&["zk_chan_recv", "reader"], End::Entry), ["zk_chan_recv", "reader"]);
    }

    #[test]
    fn without_a_function_of_the_program_all_is_shown() {
        let all = ["zokor::sched::park", "core::hint::black_box"];
        assert_eq!(shown(&all, End::Entry), all);
        assert!(shown(&[], End::Entry).is_empty());
    }

    #[test]
    fn functions_belong_to_somebody() {
        assert_eq!(owner("<&mut zokor::X as core::fmt::Debug>::fmt"), Owner::Library);
        assert_eq!(owner("zk_sleep"), Owner::Library);
        assert_eq!(owner("<alloc::boxed::Box<F> as FnOnce>::call_once"), Owner::Language);
        assert_eq!(owner("zokoro::f"), Owner::Program);
        assert_eq!(owner("<unknown>"), Owner::Program);
    }
}
