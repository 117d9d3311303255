//! Preemption: a goroutine that computes for longer than its slice lets those go on that share the main thread with it.
//!
//! Where it sits: above `goroutine` and `state`; `signals` installs it for the time of a run, the engine calls [`ask`].
//!
//! Goroutines that have run on a thread stay on it, so a loop without calls into the engine would keep all others there
//! from running, main first. The interpreter itself looks up from Python code in one way that lets C code of our choice run
//! and may be nested: for signals. So the monitor has the interpreter believe that [`SIGNAL`] has come; no signal is
//! sent, and no system call of the program interrupted. The handler runs between two bytecodes in whatever goroutine the
//! main thread is on, and yields there if it may ([`may_yield`]).
//!
//! # Where a goroutine may be preempted
//!
//! All goroutines of a thread are one to the locks of Python and of C libraries: the next one would walk into an `RLock` that
//! the preempted one holds, and wait for ever for a `Lock`. Nobody can tell which locks a goroutine holds, but one can tell
//! where it holds none if locks are taken in the usual ways. It yields
//!
//! * at a jump backwards, which only a loop has, and nowhere else: functions that leave a lock (`__exit__`) begin before
//!   they have left it;
//! * where no frame stands inside a `with` block, by the tables with which the interpreter finds handlers, and the code of no
//!   frame has a name with which one takes a lock otherwise;
//! * where no C code has called Python: such code may hold what is not to be seen, and most of it expects to be gone on with on the
//!   same thread before anybody else calls it.
//!
//! Elsewhere it goes on, and is asked again at the next tick.
//!
//! # Invariants
//!
//! * **Y1** What `OWNER` names is alive while the lock `ON` is held: the interpreter, up to CPython 3.12; later the thread state with which
//!   the main thread runs, which is forgotten under that lock before it is deleted.
//! * **Y2** The monitor calls the interpreter only while a run is installed, hence before it is finalized: `ON` says so.

use crate::ffi::{self as f, PyObject, PyThreadState};
use crate::goroutine::{self, Gor};
use crate::py::{self, Args, Obj, Res};
use crate::{raw, signals, state};
use core::ffi::c_char;
use core::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Whose handler Python runs. Nothing happens by default when it comes, and hardly any program waits for it.
pub const SIGNAL: i32 = libc::SIGURG;
/// Places that are looked at after each tick of the monitor, until one is found where the goroutine may yield.
const TRIES: u32 = 64;

/// Whether our handler is there.
static ON: Mutex<bool> = Mutex::new(false);
/// Asked, and the handler has not run yet. Relaxed, as all here: what matters is ordered by the lock or the GIL.
static ASKED: AtomicBool = AtomicBool::new(false);
static LEFT: AtomicU32 = AtomicU32::new(0);
/// Python code looks up when a bit is set in a word of the interpreter's or of the thread state's. CPython sets it itself only if the
/// main thread has asked, and from 3.13 on in the first thread state alone. Null: nothing to tell.
static OWNER: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
/// The bit, and where the word is in its owner; 0: not found out yet.
static BIT: AtomicU32 = AtomicU32::new(0);
static OFFSET: AtomicUsize = AtomicUsize::new(0);
/// Whether thread states have words of their own.
static PER_STATE: AtomicBool = AtomicBool::new(false);

extern "C" {
    /// In the stable ABI since 3.10; callable from every thread, without the GIL.
    fn PyErr_SetInterruptEx(number: i32) -> i32;
}

fn on() -> MutexGuard<'static, bool> {
    ON.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The engine: a goroutine on the main thread has used up its slice. Called again and again while it does not give way.
pub fn ask() {
    let on = on();
    if *on {
        LEFT.store(TRIES, Relaxed);
        knock();
    }
}

/// Makes Python call the handler soon. The lock is held (Y1), or the GIL on the main thread.
fn knock() {
    if !ASKED.swap(true, Relaxed) {
        // SAFETY: has no preconditions while the interpreter is there (Y2).
        unsafe { PyErr_SetInterruptEx(SIGNAL) };
    }
    // SAFETY: alive (Y1), and `learn` has found the word there.
    if let Some(word) = unsafe { word(OWNER.load(Relaxed)) } {
        word.fetch_or(BIT.load(Relaxed), Relaxed);
    }
}

/// The word with which an owner is told to look up; none for null.
///
/// # Safety
/// `owner` is null, or of the kind that has the word at `OFFSET`, and alive.
unsafe fn word<'a>(owner: *mut u8) -> Option<&'a AtomicU32> {
    // SAFETY: by the caller; the word is aligned, and CPython uses it as an atomic too.
    (!owner.is_null()).then(|| unsafe { &*owner.add(OFFSET.load(Relaxed)).cast::<AtomicU32>() })
}

/// The main thread goes on with this thread state.
#[inline]
pub fn now_runs(state: *mut PyThreadState) {
    if PER_STATE.load(Relaxed) {
        OWNER.store(state.cast(), Relaxed);
    }
}

/// This thread state is about to be deleted.
pub fn forget(state: *mut PyThreadState) {
    if PER_STATE.load(Relaxed) && !raw::is_down() {
        let _on = on();
        let _ = OWNER.compare_exchange(state.cast(), ptr::null_mut(), Relaxed, Relaxed);
    }
}

// ---- for the time of a run -----------------------------------------------------------------------------------

/// Where things are in the interpreter that runs us, and the instructions that matter. The layouts are those of the headers; within
/// one minor version they do not change.
struct Inside {
    /// Of an interpreter's frame: the code, the frame below, the byte that marks where C code called Python, and its value.
    code: usize,
    below: usize,
    mark: usize,
    entered: u8,
    /// The mark is on a frame of its own below the one that was called.
    apart: bool,
    /// Jumps backwards.
    jumps: Vec<u8>,
    /// With these two begins the handler of a `with` block.
    handler: [u8; 2],
    /// The classes of Python's functions and methods.
    classes: [usize; 2],
    /// What stands in front of an instruction whose operand takes more than a byte.
    extended: u8,
}

static INSIDE: OnceLock<Option<Inside>> = OnceLock::new();

impl Inside {
    fn find() -> Res<Option<Inside>> {
        // Free-threaded and debug builds lay their objects out in another way.
        if !py::import(c"sys")?.attr(c"abiflags")?.text().is_empty() {
            return Ok(None);
        }
        // SAFETY: a constant of the running interpreter.
        let (code, below, mark, entered, apart) = match unsafe { f::Py_Version } >> 16 {
            0x030b => (32, 48, 68, 1, false),
            0x030c | 0x030d => (0, 8, 70, 3, true),
            _ => return Ok(None),
        };
        let numbers = py::import(c"opcode")?.attr(c"opmap")?;
        let mut jumps = Vec::new();
        for name in py::items(&py::import(c"builtins")?.call_method(c"list", &[&numbers])?)? {
            let text = name.text();
            if text == "JUMP_BACKWARD" || text.starts_with("POP_JUMP_BACKWARD") {
                jumps.push(number(&numbers, &name)?);
            }
        }
        let handler =
            [number(&numbers, &py::string("PUSH_EXC_INFO")?)?, number(&numbers, &py::string("WITH_EXCEPT_START")?)?];
        let extended = number(&numbers, &py::string("EXTENDED_ARG")?)?;
        let types = py::import(c"types")?;
        let classes = [types.attr(c"FunctionType")?, types.attr(c"MethodType")?].map(|c| c.as_ptr() as usize);
        Ok(Some(Inside { code, below, mark, entered, apart, jumps, handler, extended, classes }))
    }
}

fn number(numbers: &Obj, name: &Obj) -> Res<u8> {
    let number = py::to_i64(numbers.call_method(c"__getitem__", &[name])?.as_ptr())?;
    u8::try_from(number).map_err(|_| py::value_error("an instruction's number is a byte"))
}

/// Installs the handler unless the program has one. Called on the main thread.
pub fn install() -> Res<Option<Obj>> {
    if raw::is_down() {
        return Ok(None); // the child of a fork, where nobody may be left to unlock `ON`
    }
    if INSIDE.get().is_none() {
        let inside = Inside::find()?;
        let _ = INSIDE.set(inside);
    }
    // Without the enumerations that `signal` makes of all numbers.
    let signal = py::import(c"_signal")?;
    let (number, default) = (py::int(SIGNAL.into())?, signal.attr(c"SIG_DFL")?);
    let free = py::equal(&signal.call_method(c"getsignal", &[&number])?, &default);
    if !free || INSIDE.get().is_none_or(Option::is_none) {
        return Ok(None);
    }
    let ours = py::import(c"zokor._zokor")?.attr(c"_on_preempt")?;
    signal.call_method(c"signal", &[&number, &ours])?;
    // An earlier run may have ended before the handler was called.
    ASKED.store(false, Relaxed);
    *on() = BIT.load(Relaxed) != 0 || learn();
    Ok(Some(ours))
}

/// How often `learn` tries, if other threads want the GIL just then.
const LESSONS: usize = 8;

/// Makes sure that the word is where it should be: it changes as expected when the main thread, which calls, asks. False: it does not.
fn learn() -> bool {
    // SAFETY: a constant of the running interpreter; attached.
    let (version, state) = unsafe { (f::Py_Version >> 16, f::PyThreadState_Get()) };
    // SAFETY: as above.
    let interpreter = unsafe { f::PyThreadState_GetInterpreter(state) };
    let (owner, offset, bit): (*mut u8, usize, u32) = match version {
        0x030b => (interpreter.cast(), 100, 1),
        0x030c => (interpreter.cast(), 368, 1),
        _ => (state.cast(), 24, 2),
    };
    OFFSET.store(offset, Relaxed);
    for _ in 0..LESSONS {
        // SAFETY: both are larger than that, in all versions `Inside::find` knows.
        let Some(word) = (unsafe { word(owner) }) else { return false };
        let before = word.load(Relaxed) & 0xff;
        // SAFETY: has no preconditions.
        unsafe { PyErr_SetInterruptEx(SIGNAL) };
        let after = word.load(Relaxed) & 0xff;
        if before & bit == 0 && after == before | bit {
            PER_STATE.store(version > 0x030c, Relaxed);
            OWNER.store(owner, Relaxed);
            BIT.store(bit, Relaxed);
            return true;
        }
        // SAFETY: attached, and again right after.
        unsafe { f::PyEval_RestoreThread(f::PyEval_SaveThread()) };
    }
    false
}

/// The run is over: the engine's calls have no effect any more, and the handler goes, unless the program has put another in its place.
pub fn uninstall(ours: Option<Obj>) -> Res<()> {
    let Some(ours) = ours else { return Ok(()) };
    if !raw::is_down() {
        *on() = false;
    }
    let signal = py::import(c"_signal")?;
    let (number, default) = (py::int(SIGNAL.into())?, signal.attr(c"SIG_DFL")?);
    if py::equal(&signal.call_method(c"getsignal", &[&number])?, &ours) {
        signal.call_method(c"signal", &[&number, &default])?;
    }
    Ok(())
}

// ---- the handler ---------------------------------------------------------------------------------------------

py::fast!(on_preempt, "_on_preempt", |_: *mut PyObject, args: Args<'_>| {
    ASKED.store(false, Relaxed);
    signals::drain();
    let (&[_, frame], Some(g)) = (args.positional(), goroutine::current()) else { return Ok(py::none()) };
    // An answer that cannot be had, for want of memory, is a no; the program sees nothing of it.
    let answer = may_yield(frame, g).unwrap_or_else(|_raised| {
        py::clear();
        Answer::Later
    });
    match answer {
        Answer::Yes => state::park(raw::yield_now),
        Answer::Later => {}
        Answer::Elsewhere => {
            let left = LEFT.load(Relaxed);
            if left > 0 {
                LEFT.store(left - 1, Relaxed);
                knock();
            }
        }
    }
    Ok(py::none())
});

/// The functions of this file.
pub const FUNCTIONS: [f::PyMethodDef; 1] =
    [f::fastcall(c"_on_preempt", on_preempt, c"_on_preempt($module, signum, frame, /)\n--\n\nLet others run.")];

enum Answer {
    Yes,
    /// Not at this instruction; perhaps a few later.
    Elsewhere,
    /// Not while things are as they are.
    Later,
}

/// Whether the goroutine that runs, and stands at `frame`, may let others run: see the module's text.
fn may_yield(frame: *mut PyObject, g: &Gor) -> Res<Answer> {
    let Some(Some(inside)) = INSIDE.get() else { return Ok(Answer::Later) };
    if py::is_none(frame) {
        return Ok(Answer::Elsewhere);
    }
    // SAFETY: borrowed from the handler's caller.
    let mut at = unsafe { Obj::share(frame) };
    if !Place::of(&at)?.is_jump(inside)? {
        return Ok(Answer::Elsewhere);
    }
    if !g.func.borrow().as_ref().map_or(Ok(false), |func| inside.is_pythons(func))? {
        return Ok(Answer::Later);
    }
    // SAFETY: `frame` is running, and so is the frame below main's.
    if !unsafe { inside.is_called_from_python(frame, at.attr(c"f_code")?.as_ptr(), g.below.get()) } {
        return Ok(Answer::Elsewhere);
    }
    loop {
        if Place::of(&at)?.may_hold_a_lock(inside)? {
            return Ok(Answer::Later);
        }
        at = at.attr(c"f_back")?;
        if py::is_none(at.as_ptr()) || at.as_ptr() == g.below.get() {
            return Ok(Answer::Yes);
        }
    }
}

impl Inside {
    /// Whether what a goroutine calls is Python code itself.
    fn is_pythons(&self, func: &Obj) -> Res<bool> {
        // SAFETY: P1; live.
        let class = |o: &Obj| unsafe { f::Py_TYPE(o.as_ptr()) } as usize;
        let [function, method] = self.classes;
        Ok(class(func) == function || class(func) == method && class(&func.attr(c"__func__")?) == function)
    }

    /// Whether nothing but Python code lies between a frame and the call with which its goroutine began.
    ///
    /// # Safety
    /// `frame` is a running frame with code `code`; `below` is null or a running frame.
    unsafe fn is_called_from_python(&self, frame: *mut PyObject, code: *mut PyObject, below: *mut PyObject) -> bool {
        // SAFETY: a frame object's second field after its head is the interpreter's frame, in all versions `find` knows; the frames of
        // a running goroutine are alive and linked down to a null or to the frame that C code was called from.
        unsafe {
            let frame_of = |object: *mut PyObject| -> *const u8 {
                if object.is_null() {
                    return ptr::null();
                }
                *object.cast::<*const u8>().add(3)
            };
            let field = |frame: *const u8, offset: usize| *frame.add(offset).cast::<*const u8>();
            let mut at = frame_of(frame);
            if field(at, self.code) != code.cast::<u8>().cast_const() {
                return false; // not the layout we know
            }
            loop {
                let next = field(at, self.below);
                if self.apart && next.is_null() {
                    return false;
                }
                let marked = if self.apart { next } else { at };
                if *marked.add(self.mark) == self.entered {
                    return field(marked, self.below) == frame_of(below);
                }
                if next.is_null() {
                    return false;
                }
                at = next;
            }
        }
    }
}

/// Where a frame stands.
struct Place {
    code: Obj,
    bytes: Obj,
    /// In instructions, which are two bytes each.
    at: usize,
}

impl Place {
    fn of(frame: &Obj) -> Res<Place> {
        let code = frame.attr(c"f_code")?;
        let bytes = code.attr(c"co_code")?;
        let at = py::to_i64(frame.attr(c"f_lasti")?.as_ptr())?;
        Ok(Place { code, bytes, at: usize::try_from(at).unwrap_or(0) / 2 })
    }

    fn instruction(&self, at: usize) -> Res<Option<u8>> {
        Ok(bytes(&self.bytes)?.get(2 * at).copied())
    }

    fn is_jump(&self, inside: &Inside) -> Res<bool> {
        Ok(self.instruction(self.at)?.is_some_and(|i| inside.jumps.contains(&i)))
    }

    /// Whether it is inside a `with` block, or its code names what takes a lock.
    fn may_hold_a_lock(&self, inside: &Inside) -> Res<bool> {
        let list = py::import(c"builtins")?.call_method(c"list", &[&self.code.attr(c"co_names")?])?;
        let takes = |name: &str| name.contains("acquire") || name == "__enter__" || name == "enter_context";
        if py::items(&list)?.iter().any(|name| takes(&name.text())) {
            return Ok(true);
        }
        let table = self.code.attr(c"co_exceptiontable")?;
        let table = Handlers::all(bytes(&table)?);
        // A jump that the compiler has added, and what extends it, has no entry of its own; the condition in front of it has.
        let mut before = self.at;
        while before > 0 && self.instruction(before - 1)? == Some(inside.extended) {
            before -= 1;
        }
        Ok(self.is_in_with(inside, &table, self.at)? || self.is_in_with(inside, &table, before.saturating_sub(1))?)
    }

    /// Whether an instruction is inside a `with` block: from its innermost handler outwards, for a handler has the one around it.
    fn is_in_with(&self, inside: &Inside, table: &[Handlers], mut at: usize) -> Res<bool> {
        for _ in 0..table.len() {
            let Some(handler) = table.iter().find(|h| h.begin <= at && at < h.end) else { return Ok(false) };
            at = handler.target;
            let begins = [self.instruction(at)?, self.instruction(at + 1)?];
            if begins == inside.handler.map(Some) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// An entry of a code object's table of handlers: instructions `begin..end` have the one at `target`.
struct Handlers {
    begin: usize,
    end: usize,
    target: usize,
}

impl Handlers {
    /// Decodes a table (CPython's Objects/exception_handling_notes.txt): four numbers per entry, the first of which says so; of each
    /// number 6 bits per byte, the highest ones first.
    fn all(table: &[u8]) -> Vec<Handlers> {
        let mut numbers = Vec::new();
        let mut rest = table.iter();
        while let Some(&first) = rest.next() {
            let (mut byte, mut n) = (first, usize::from(first & 63));
            while byte & 64 != 0 {
                let Some(&next) = rest.next() else { break };
                byte = next;
                n = n << 6 | usize::from(byte & 63);
            }
            numbers.push(n);
        }
        let entry = |e: &[usize]| Handlers { begin: e[0], end: e[0] + e[1], target: e[2] };
        numbers.chunks_exact(4).map(entry).collect()
    }
}

/// What is in a bytes object; empty for another one.
fn bytes(object: &Obj) -> Res<&[u8]> {
    let (mut data, mut n): (*mut c_char, f::Py_ssize_t) = (ptr::null_mut(), 0);
    // SAFETY: P1; the object is live, and so is what it holds for as long as it is borrowed.
    unsafe {
        py::status(f::PyBytes_AsStringAndSize(object.as_ptr(), &raw mut data, &raw mut n))?;
        Ok(core::slice::from_raw_parts(data.cast(), n as usize))
    }
}
