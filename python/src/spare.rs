//! Thread states for goroutines to come: one that a goroutine has left as it found it serves the next on that thread.
//!
//! Where it sits: above `ffi` and `chunks`; `state` takes them from here and puts them back.
//!
//! Making a thread state, clearing and deleting it costs more than all the rest of a goroutine: memory for it and for its first chunk
//! of frames, a system call for the thread's number, and the interpreter's lock twice. So what a goroutine leaves in its state is
//! looked at: its `threading.local` values and its context are taken away, as clearing would, and if then every word says the
//! same as when a state was new, nobody can tell it from a new one. It gets a number that no other one has had, for that is how
//! caches know whether what they have is a state's: those of context variables, and asyncio's of the running loop. If any word differs (a trace function, an exception set from
//! outside, whatever comes to be there), the state is cleared and deleted.
//!
//! For that one has to know where a few things are ([`Layout`]). They are in the headers of each version and do not change within one;
//! [`learn`] makes sure of them, and where one is not found, or in a version that is not known, each goroutine has a state of its own,
//! as CPython makes them.
//!
//! # State
//!
//! * `LAYOUT`: written at import.
//! * `NEW`: the words of the state that was made last, when it was new. Attached only.
//! * `SPARES`: per OS thread, touched by that thread alone.
//!
//! # Invariants
//!
//! * **S1** A spare state belongs to the thread in whose list it is (T1), is in no other place, and nothing is left in it. It may be current still.
//! * **S2** In a forked child, and once the interpreter is going down, the states in the lists may be gone: nobody takes one any more.

use crate::chunks::{Place, Room};
use crate::ffi::{self as f, PyObject, PyThreadState};
use crate::py::{self, Obj};
use crate::{preempt, raw, state};
use core::cell::{Cell, RefCell};
use core::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::OnceLock;

/// Spare states of a thread at most. Reports of all threads, such as faulthandler's, which shows a hundred, have a line for each.
const MOST: usize = 32;
/// The most words a state has.
const WORDS: usize = 48;

/// What is where in a thread state, in words.
struct Layout {
    words: usize,
    interpreter: usize,
    /// The number of its thread: `threading.get_ident()`.
    thread: usize,
    dict: usize,
    context: usize,
    id: usize,
    /// The functions of `sys.setprofile` and, in the next word, `sys.settrace`.
    hooks: usize,
    /// The three words of [`Place`].
    chunk: usize,
    /// Objects that are taken away, in CPython's order; then what was left by the last exception that was caught, `None` up to 3.12, for
    /// the destructors of the others may catch one.
    owned: &'static [usize],
    /// Words with the address of a part of the state itself.
    own: &'static [usize],
    /// All bits of the words that are compared as they are. The others are those above and those that differ between new states, or say nothing
    /// of what was left.
    compared: [usize; WORDS],
}

impl Layout {
    /// Fills `compared` in. Not compared are `prev` and `next`, the thread's two numbers, the version of the context and the number of the state, the chunk,
    /// the addresses of own parts, and `also`.
    const fn all_but(mut self, also: &[usize]) -> Layout {
        let mut i = 2;
        while i < self.words {
            self.compared[i] = usize::MAX;
            i += 1;
        }
        let left_out = [
            &[self.thread, self.thread + 1, self.id - 1, self.id],
            &[self.chunk, self.chunk + 1, self.chunk + 2] as &[usize],
            self.own,
            also,
        ];
        i = 0;
        while i < left_out.len() {
            let mut j = 0;
            while j < left_out[i].len() {
                self.compared[left_out[i][j]] = 0;
                j += 1;
            }
            i += 1;
        }
        self
    }
}

/// `own` are `cframe` and `exc_info`.
const V3_11: Layout = Layout {
    words: 45,
    interpreter: 2,
    thread: 19,
    dict: 16,
    context: 28,
    id: 30,
    hooks: 8,
    chunk: 37,
    owned: &[16, 28, 40],
    own: &[7, 15],
    compared: [0; WORDS],
}
.all_but(&[]);
const V3_12: Layout = Layout {
    words: 36,
    interpreter: 2,
    thread: 17,
    dict: 14,
    context: 26,
    id: 28,
    hooks: 8,
    chunk: 29,
    owned: &[14, 26, 32],
    own: &[7, 13],
    compared: [0; WORDS],
}
.all_but(&[]);
/// Not compared either: the word that tells to look up, in the place of `cframe`. With one word of what follows the public part, asyncio's running loop.
const V3_13: Layout = Layout {
    words: 39,
    interpreter: 2,
    thread: 19,
    dict: 16,
    context: 26,
    id: 28,
    hooks: 10,
    chunk: 29,
    owned: &[36, 37, 16, 26, 32],
    own: &[15],
    compared: [0; WORDS],
}
.all_but(&[3]);

static LAYOUT: OnceLock<&'static Layout> = OnceLock::new();

/// The words of a new state.
struct New(RefCell<[usize; WORDS]>);

// SAFETY: attached code only (P1): the GIL is its lock.
unsafe impl Sync for New {}

static NEW: New = New(RefCell::new([0; WORDS]));

/// The numbers that spare states get; CPython's own begin at 1. Relaxed: only that each is given once matters.
static NUMBERS: AtomicUsize = AtomicUsize::new(usize::MAX / 2);

struct Spares(RefCell<Vec<*mut PyThreadState>>);

thread_local! {
    static SPARES: Spares = const { Spares(RefCell::new(Vec::new())) };
}

/// The thread ends: so do its spare states.
impl Drop for Spares {
    fn drop(&mut self) {
        let all = self.0.take();
        if !all.is_empty() {
            state::unless_closing(|| {
                for state in all {
                    preempt::forget(state);
                    // SAFETY: S1; it is not current, for this thread has let go of the GIL. Nothing is left in it that would have to be cleared.
                    unsafe { f::PyThreadState_Delete(state) };
                }
            });
        }
    }
}

/// Finds out whether the layout is as expected. Called at import, attached.
pub fn learn() -> py::Res<()> {
    // SAFETY: a constant of the running interpreter.
    let layout = match unsafe { f::Py_Version } >> 16 {
        0x030b => &V3_11,
        0x030c => &V3_12,
        0x030d => &V3_13,
        _ => return Ok(()),
    };
    // Free-threaded and debug builds lay their objects out in another way.
    if !py::import(c"sys")?.attr(c"abiflags")?.text().is_empty() {
        return Ok(());
    }
    // A subinterpreter must not end before all but one of its thread states are gone: it keeps none.
    // SAFETY: attached (P1), so there is an interpreter.
    if unsafe { f::PyInterpreterState_GetID(f::PyInterpreterState_Get()) } != 0 {
        return Ok(());
    }
    // Makes sure that there is a context.
    // SAFETY: P1; a new reference or an exception.
    let copy = unsafe { Obj::own((f::extra().context_copy)())? };
    // SAFETY: attached; the pointers are borrowed, and used at once. All layouts are shorter than the state they are for.
    unsafe {
        let me = f::PyThreadState_Get();
        let dict = f::PyThreadState_GetDict() as usize; // makes one if there is none
        let word = |i: usize| *me.cast::<usize>().add(i);
        let numbers = word(layout.interpreter) == f::PyThreadState_GetInterpreter(me) as usize
            && word(layout.id) == f::PyThreadState_GetID(me) as usize
            && word(layout.thread) == libc::pthread_self() as usize
            && word(layout.dict) == dict;
        let context = word(layout.context) as *mut PyObject;
        let right = numbers
            && !context.is_null()
            && ptr::eq(f::Py_TYPE(context), f::Py_TYPE(copy.as_ptr()))
            && layout.place(me).read().makes_sense();
        if right {
            let _ = LAYOUT.set(layout);
        }
    }
    Ok(())
}

impl Layout {
    /// Where the chunk is noted.
    fn place(&self, state: *mut PyThreadState) -> *mut Place {
        // The state is longer than that.
        state.cast::<usize>().wrapping_add(self.chunk).cast()
    }

    fn all<'a>(&self, state: *mut PyThreadState) -> &'a [Cell<usize>] {
        // SAFETY: the state is alive and is as long as that; whoever has it here is the only one to use it just now (P1, S1).
        unsafe { core::slice::from_raw_parts(state.cast(), self.words) }
    }

    fn word<'a>(&self, state: *mut PyThreadState, i: usize) -> &'a Cell<usize> {
        &self.all(state)[i]
    }

    /// How far a word's address is from the state's.
    fn distance(&self, state: *mut PyThreadState, i: usize) -> usize {
        self.word(state, i).get().wrapping_sub(state as usize)
    }
}

/// The context of the current thread state, if there is one by now, borrowed; `Err` where that cannot be told.
pub fn context() -> Result<Option<*mut PyObject>, ()> {
    let layout = LAYOUT.get().ok_or(())?;
    // SAFETY: attached (P1).
    let me = unsafe { f::PyThreadState_Get() };
    let context = layout.word(me, layout.context).get() as *mut PyObject;
    Ok((!context.is_null()).then_some(context))
}

/// Whether the current thread state has a trace or profile function. `threading.settrace_all_threads` gives them to spare ones, too.
pub fn has_hooks() -> bool {
    let Some(layout) = LAYOUT.get() else { return false };
    // SAFETY: attached (P1).
    let words = layout.all(unsafe { f::PyThreadState_Get() });
    words[layout.hooks].get() | words[layout.hooks + 1].get() != 0
}

/// A spare state of this thread, as good as new. Needs no GIL.
pub fn take() -> Option<*mut PyThreadState> {
    let layout = LAYOUT.get()?;
    if state::is_closing() {
        return None; // S2; in a forked child no goroutine starts
    }
    let state = SPARES.try_with(|s| s.0.borrow_mut().pop()).ok().flatten()?;
    // SAFETY: has no preconditions.
    layout.word(state, layout.thread).set(unsafe { libc::pthread_self() } as usize);
    layout.word(state, layout.id).set(NUMBERS.fetch_add(1, Relaxed));
    Some(state)
}

/// A goroutine that begins has got this state, and has this room for its first chunk.
///
/// # Safety
/// The state is not current, and the room is left alone until [`take_back`].
pub unsafe fn lend(state: *mut PyThreadState, room: *mut Room) {
    let Some(layout) = LAYOUT.get() else { return };
    // SAFETY: by the caller; the place is the state's, and that nobody else's just now (S1).
    unsafe { (*layout.place(state)).lend(room) };
}

/// The goroutine of this state runs no more Python code: the room is its own again, whatever becomes of the state.
///
/// # Safety
/// The room was lent to the state, which is current.
pub unsafe fn take_back(state: *mut PyThreadState, room: *mut Room) {
    let Some(layout) = LAYOUT.get() else { return };
    // SAFETY: by the caller; frames come and go in order, and none runs that could touch the place.
    unsafe { (*layout.place(state)).take_back(room) };
}

/// The state is attached for the first time.
pub fn remember(state: *mut PyThreadState) {
    let Some(layout) = LAYOUT.get() else { return };
    let mut new = NEW.0.borrow_mut();
    for (new, word) in new.iter_mut().zip(layout.all(state)) {
        *new = word.get();
    }
    for &i in layout.own {
        new[i] = layout.distance(state, i);
    }
}

/// The goroutine of this state, which is current, has nothing to do any more: whether the state is like new, after what it
/// held has been given up. That may run code and park.
pub fn is_as_new(state: *mut PyThreadState, room: *mut Room) -> bool {
    let Some(layout) = LAYOUT.get() else { return false };
    for &i in layout.owned {
        let held = layout.word(state, i).replace(0) as *mut PyObject;
        if !held.is_null() {
            // SAFETY: the reference was the state's; P1.
            unsafe { f::Py_DECREF(held) };
        }
    }
    let new = NEW.0.borrow();
    let words = layout.all(state).iter().zip(new.iter()).zip(&layout.compared);
    let same = words.fold(0, |different, ((word, new), mask)| different | (word.get() ^ new) & mask) == 0
        && layout.own.iter().all(|&i| layout.distance(state, i) == new[i]);
    // SAFETY: the place is the state's.
    same && unsafe { &*layout.place(state) }.is_empty_first(room)
}

/// Keeps a state that is as new. False: there are enough.
pub fn put(state: *mut PyThreadState) -> bool {
    let Some(layout) = LAYOUT.get() else { return false };
    if state::is_closing() || raw::is_down() {
        return false;
    }
    let kept = SPARES.try_with(|s| {
        let mut all = s.0.borrow_mut();
        let room = all.len() < MOST;
        if room {
            all.push(state);
        }
        room
    });
    let kept = kept.unwrap_or(false);
    if kept {
        // What looks for the states of this thread, to raise something in one or to show its frames, is to find those in use.
        layout.word(state, layout.thread).set(0);
    }
    kept
}
