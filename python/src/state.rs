//! Thread states: who holds the GIL on this thread, and how that changes across a park.
//!
//! Where it sits: above `ffi`; everything that parks goes through [`park`]; the engine calls [`HOOKS`].
//!
//! Each goroutine has a `PyThreadState` of its own, made at its first run on the thread it stays on, or left there by one that has ended
//! (`spare`). Going from one
//! Python goroutine to another on the same thread exchanges the thread state and keeps the GIL; the GIL is let go only
//! when the thread is about to sleep or to run something that is not Python, and is taken again by whoever comes next.
//! All of this happens lazily, in the goroutine that resumes.
//!
//! # State
//!
//! Two words per OS thread, touched by that thread alone:
//!
//! * `held`, while the engine runs below [`park`]: the thread state with which this thread holds the GIL, or null when
//!   it does not hold it. While Python code runs it is null, because then it is CPython that knows.
//! * `dead`: the cleared thread state of a goroutine that has ended, unless it is kept as a spare one. It is still the current one (`held`), and is
//!   deleted as soon as it is not.
//!
//! # Invariants
//!
//! * **T1** A thread state is current only on the thread it was made on, which is where its goroutine is pinned.
//! * **T2** Outside the engine `held` is null; on entry it is the current thread state; who resumes makes its own
//!   current ([`attach`]) before it touches an object.
//! * **T3** Up to CPython 3.11 the slot that `PyGILState_Ensure` reads names the thread state that is current, or was
//!   current last, on this thread. Later versions see to that themselves.

use crate::chunks::Room;
use crate::ffi::{self as f, HangGuard, PyInterpreterState, PyThreadState};
use crate::{chunks, preempt, raw, spare};
use core::cell::Cell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

/// The two words of a thread. A goroutine of ours stays on its thread, and so may keep the address across its switches.
struct Here {
    held: Cell<*mut PyThreadState>,
    dead: Cell<*mut PyThreadState>,
}

thread_local! {
    static HERE: Here = const { Here { held: Cell::new(ptr::null_mut()), dead: Cell::new(ptr::null_mut()) } };
}

/// The interpreter that imported the module. Relaxed: written before the first goroutine can exist.
static INTERPRETER: AtomicPtr<PyInterpreterState> = AtomicPtr::new(ptr::null_mut());
/// The thread-specific key of `PyGILState_Ensure` plus one; 0 where CPython keeps it up by itself (T3). Relaxed: as above.
static GILSTATE_KEY: AtomicU32 = AtomicU32::new(0);
/// The main thread, as `threading.get_ident` numbers it. Relaxed: as above.
static MAIN: AtomicUsize = AtomicUsize::new(0);
/// The interpreter is going down. Relaxed: a thread that misses it is stopped by CPython when it asks for the GIL.
static CLOSING: AtomicBool = AtomicBool::new(false);

/// Threads that exchange thread states just now. From 3.12 on the GIL is given up in between, and the states must not be freed then. Relaxed,
/// and counted by loads and stores: that is done under the GIL, as before and after an exchange.
static SWAPPING: AtomicUsize = AtomicUsize::new(0);
/// Threads that use the interpreter just now without having the GIL.
static VISITING: AtomicUsize = AtomicUsize::new(0);

/// What the engine calls.
pub static HOOKS: raw::HostHooks = raw::HostHooks {
    release,
    interrupt: || true,
    pending: crate::signals::pending,
    preempt: preempt::ask,
    stack_size: STACK_SIZE,
};

/// Stacks of Python goroutines. The recursion counters of CPython up to 3.13 take a stack of 8 MiB for granted; pages
/// that are never touched cost nothing.
pub const STACK_SIZE: usize = 8 << 20;

/// Why the module cannot be used here.
pub type Refusal = String;

/// Finds out what this interpreter needs; `main_thread` is the identifier of its main thread. Called at import, attached.
pub fn init(main_thread: usize) -> Result<(), Refusal> {
    // SAFETY: attached, so there is a current thread state, and it has an interpreter.
    let interp = unsafe { f::PyThreadState_GetInterpreter(f::PyThreadState_Get()) };
    if !INTERPRETER.load(Relaxed).is_null() {
        return Err("zokor works in one interpreter of a process".into());
    }
    INTERPRETER.store(interp, Relaxed);
    // SAFETY: a constant of the running interpreter.
    let version = unsafe { f::Py_Version };
    if version >= 0x030e_0000 && f::extra().protect_stack.is_none() {
        return Err(
            "zokor needs CPython 3.14.1 or later in the 3.14 series: 3.14.0 cannot be told about other C stacks".into(),
        );
    }
    if version < 0x030c_0000 {
        let key = gilstate_key().ok_or("zokor cannot find the thread-specific key of PyGILState_Ensure")?;
        GILSTATE_KEY.store(key + 1, Relaxed);
    }
    MAIN.store(main_thread, Relaxed);
    chunks::install();
    raw::set_host(PYTHON, &HOOKS);
    Ok(())
}

/// The class of Python goroutines, for the engine.
pub const PYTHON: u8 = 1;

/// The key under which CPython keeps the thread state that `PyGILState_Ensure` uses: the one whose value, when it is
/// taken away, takes `PyGILState_GetThisThreadState` along.
fn gilstate_key() -> Option<u32> {
    // SAFETY: reads this thread's slot.
    let mine: *mut c_void = unsafe { f::PyGILState_GetThisThreadState() }.cast();
    if mine.is_null() {
        return None;
    }
    (0..1024u32).find(|&key| {
        // SAFETY: keys below PTHREAD_KEYS_MAX may be read, in use or not; the value is put back before anybody else
        // on this thread can look.
        unsafe {
            if libc::pthread_getspecific(key) != mine {
                return false;
            }
            libc::pthread_setspecific(key, ptr::null());
            let gone = f::PyGILState_GetThisThreadState().is_null();
            libc::pthread_setspecific(key, mine);
            gone
        }
    })
}

/// Whether the caller is in the interpreter that imported the module first: goroutines belong to that one.
pub fn in_home_interpreter() -> bool {
    // SAFETY: attached (P1).
    ptr::eq(INTERPRETER.load(Relaxed), unsafe { f::PyInterpreterState_Get() })
}

/// Runs `op`, an engine call that may park the goroutine or block the thread, and comes back attached as before.
/// `op` touches no object.
#[inline]
pub fn park<R>(op: impl FnOnce() -> R) -> R {
    // SAFETY: P1: attached; T2.
    unsafe {
        let me = f::PyThreadState_Get();
        HERE.with(|here| {
            here.held.set(me);
            let r = op();
            attach(here, me);
            here.held.set(ptr::null_mut());
            r
        })
    }
}

/// Makes `me` the current thread state and holds the GIL.
///
/// # Safety
/// Called below [`park`] or at the start of a goroutine, on the thread `me` belongs to (T1).
#[inline]
unsafe fn attach(here: &Here, me: *mut PyThreadState) {
    if here.held.get() != me {
        // SAFETY: the caller's.
        unsafe { change(here, me) }
    }
}

/// The slow part of [`attach`].
///
/// # Safety
/// As [`attach`]; another one is current, or none.
unsafe fn change(here: &Here, me: *mut PyThreadState) {
    let held = here.held.get();
    let key = GILSTATE_KEY.load(Relaxed);
    if key != 0 {
        // SAFETY: the key was found in use at import and is never deleted while Python runs; T3.
        unsafe { libc::pthread_setspecific(key - 1, me.cast()) };
    }
    if held.is_null() {
        if CLOSING.load(Relaxed) && !on_main_thread() {
            f::hang();
        }
        // SAFETY: this thread does not hold the GIL and me is not current anywhere (T1, T2). pyo3-ffi's form hangs
        // the thread if Python has been finalized meanwhile.
        unsafe { f::PyEval_RestoreThread(me) };
    } else {
        if CLOSING.load(Relaxed) && !on_main_thread() {
            release();
            f::hang();
        }
        if key == 0 {
            SWAPPING.store(SWAPPING.load(Relaxed) + 1, Relaxed);
        }
        // SAFETY: this thread holds the GIL with `held` (T2).
        unsafe { f::swap(me) };
        if key == 0 {
            SWAPPING.store(SWAPPING.load(Relaxed) - 1, Relaxed);
        }
    }
    here.held.set(me);
    if on_main_thread() {
        preempt::now_runs(me);
    }
    if !here.dead.get().is_null() {
        bury(here);
    }
}

/// Deletes the thread state of a goroutine that ended here, now that it is no longer current.
#[inline(never)]
fn bury(here: &Here) {
    let dead = here.dead.replace(ptr::null_mut());
    if !dead.is_null() {
        preempt::forget(dead);
        // SAFETY: it was cleared by its goroutine, is not current, and nobody else knows it.
        unsafe { f::PyThreadState_Delete(dead) };
    }
}

/// This thread is about to sleep or to run something else than Python: lets go of the GIL if it is held.
fn release() {
    HERE.with(|here| {
        if here.held.replace(ptr::null_mut()).is_null() {
            return;
        }
        // SAFETY: this thread holds the GIL (T2).
        unsafe { f::PyEval_SaveThread() };
        if !CLOSING.load(Relaxed) {
            bury(here);
        }
    });
}

/// Runs `body` as the first code of a goroutine with a thread state of its own, and `end` when that has been cleared:
/// still attached, but with nothing that could run Python code.
///
/// # Safety
/// Called by the engine on a goroutine of class [`PYTHON`] that has never run.
pub unsafe fn with_new_state(body: impl FnOnce(*mut PyThreadState), end: impl FnOnce()) {
    let (above, size) = raw::above_stack();
    // SAFETY: the caller's; the room is this goroutine's until it ends, and aligned as a room is.
    unsafe {
        if size >= size_of::<Room>() {
            with_room(above.cast(), body, end);
        } else {
            with_room_here(body, end);
        }
    }
}

/// The same with the room on the stack itself, where it begins so near to the end of its page that there is none above.
#[inline(never)]
unsafe fn with_room_here(body: impl FnOnce(*mut PyThreadState), end: impl FnOnce()) {
    let mut room = MaybeUninit::<Room>::uninit();
    // SAFETY: the caller's.
    unsafe { with_room(room.as_mut_ptr(), body, end) }
}

/// The same with `room` for the first of Python's frames.
#[inline(never)]
unsafe fn with_room(room: *mut Room, body: impl FnOnce(*mut PyThreadState), end: impl FnOnce()) {
    if CLOSING.load(Relaxed) && !on_main_thread() {
        // A goroutine that starts now would never get the GIL.
        release();
        f::hang();
    }
    let spare = spare::take();
    let me = spare.unwrap_or_else(new_state);
    protect_stack(me, crate::runtime::stack_size());
    // SAFETY: me was made on this thread (T1), and is a spare one of this thread or known to nobody. The room is taken back below.
    unsafe {
        spare::lend(me, room);
        become_current(me);
    }
    if spare.is_none() {
        spare::remember(me);
    }
    body(me);
    // In both cases destructors run, which may park and come back; after that nothing of Python is used with me, which
    // stays current until the next goroutine replaces it.
    let kept = spare::is_as_new(me, room);
    // SAFETY: attached with me, which has no frames any more.
    unsafe {
        if !kept {
            f::PyThreadState_Clear(me);
        }
        spare::take_back(me, room);
    }
    end();
    if !(kept && spare::put(me)) {
        HERE.with(|here| here.dead.set(me));
    }
    HERE.with(|here| here.held.set(me));
}

/// The first code of a goroutine makes `me` current, and the engine is left.
///
/// # Safety
/// As [`attach`].
unsafe fn become_current(me: *mut PyThreadState) {
    HERE.with(|here| {
        // SAFETY: the caller's.
        unsafe { attach(here, me) };
        here.held.set(ptr::null_mut());
    });
}

/// A thread state of its own for a goroutine that starts here.
fn new_state() -> *mut PyThreadState {
    // SAFETY: needs no GIL; the interpreter outlives its goroutines.
    let me = unsafe { f::PyThreadState_New(INTERPRETER.load(Relaxed)) };
    if me.is_null() {
        // Without a thread state not even an exception can be raised.
        std::process::abort();
    }
    me
}

/// Runs `body` as the main goroutine, with the thread state of the thread that called `run`.
///
/// # Safety
/// Called on the main goroutine of a run that began under [`park`] on this thread with `me` current.
pub unsafe fn with_state_of_thread<R>(me: *mut PyThreadState, body: impl FnOnce() -> R) -> R {
    protect_stack(me, STACK_SIZE);
    // SAFETY: the caller's; main is pinned to the calling thread.
    unsafe { become_current(me) };
    let r = body();
    if let Some(reset) = f::extra().unprotect_stack {
        // SAFETY: attached; the goroutine's stack is left for that of the thread right after this.
        unsafe { reset(me) };
    }
    HERE.with(|here| here.held.set(me));
    r
}

/// From 3.14 on CPython compares the stack pointer with the bounds it knows.
fn protect_stack(me: *mut PyThreadState, stack: usize) {
    if let Some(protect) = f::extra().protect_stack {
        let here = ptr::from_ref(&me) as usize;
        // What lies above `here` on this stack, and the guard page below, are left out.
        let size = stack - (64 << 10);
        // SAFETY: the range lies on the stack of the goroutine that runs.
        unsafe { protect(me, (here - size) as *mut c_void, size) };
    }
}

/// Runs Python code under a guard against the end of the interpreter.
///
/// # Safety
/// The arguments are those of `PyObject_Vectorcall`; attached.
#[inline]
pub unsafe fn vectorcall(
    func: *mut f::PyObject,
    args: *const *mut f::PyObject,
    nargs: usize,
    names: *mut f::PyObject,
) -> *mut f::PyObject {
    let guard = HangGuard;
    // SAFETY: the caller's.
    let r = unsafe { (f::extra().vectorcall)(func, args, nargs, names) };
    core::mem::forget(guard);
    r
}

/// Whether this is the thread that signals go to.
pub fn on_main_thread() -> bool {
    // SAFETY: has no preconditions.
    MAIN.load(Relaxed) == unsafe { libc::pthread_self() } as usize
}

/// Attached to the interpreter by whatever way?
pub fn attached() -> bool {
    // SAFETY: callable from every thread.
    HERE.with(|here| !here.held.get().is_null()) || unsafe { (f::extra().gil_check)() != 0 }
}

/// From now on no thread but the main one gets into Python through us: each that tries sleeps until the process ends.
/// Waits, for a second at most, for those that are on their way in.
pub fn close() {
    // SeqCst, both: pairs with `unless_closing`, where the two stand in the other order: one side at least sees the other.
    CLOSING.store(true, SeqCst);
    for _ in 0..1000 {
        if SWAPPING.load(Relaxed) == 0 && VISITING.load(SeqCst) == 0 {
            return;
        }
        // SAFETY: attached (P1), and attached again right after.
        unsafe {
            let me = f::PyEval_SaveThread();
            std::thread::sleep(std::time::Duration::from_millis(1));
            f::PyEval_RestoreThread(me);
        }
    }
}

/// Runs `f`, which needs the interpreter but not the GIL, unless that is going down or this is a forked child; it does not go down
/// meanwhile.
pub fn unless_closing(f: impl FnOnce()) {
    // SeqCst, all: pairs with `close`, and what `f` did comes before the end.
    VISITING.fetch_add(1, SeqCst);
    if !CLOSING.load(SeqCst) && !raw::is_down() {
        f();
    }
    VISITING.fetch_sub(1, SeqCst);
}

#[inline]
pub fn is_closing() -> bool {
    CLOSING.load(Relaxed)
}
