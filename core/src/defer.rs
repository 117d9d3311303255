//! Defer, panic and recover for languages that do not unwind (C).
//!
//! *Where it sits*: layer 3, beside `panic.rs`. Rules P-01 to P-11. A panic runs the deferred functions on the stack it was raised
//! on, last first, then leaves for the innermost `zk_try`, or ends the goroutine through the panic policy.
//!
//! What ends many values, the hook of each of which may panic or exit, runs them in a [`drain`]: it is a try that goes on after each of that. It keeps the
//! first text, or that one has exited, and who has begun all that goes on with it ([`raise_kept`]) when whatever held the values is gone: a jump leaves nothing
//! behind then.
//!
//! # Invariants
//!
//! - **D1** `tries` is the chain of calls of [`try_call`] in progress on this goroutine (or thread), innermost first; each knows how many
//!   deferred functions there were when it began, and these are not its business. It leaves the chain however it ends: by return, by a jump, or
//!   because an exception passes through.
//! - **D2** A deferred function is taken out of the list before it runs: it runs once, also if it panics.
//! - **D3** A goroutine that exits (`goexit`) does not come back to a try that was in progress then, so they leave the chain (P-10).
//!   A panic in a deferred function that one of them was responsible for is over, as if it had been caught, and the exit goes on;
//!   what deferred functions try while the goroutine exits is theirs, and caught as ever. Only a drain is come back to, and the exit goes on after it.
//! - **D4** `kept` is set at the end of a drain and taken by the `raise_kept` of whoever let go of the values; no user code of this goroutine runs in between.

use crate::arch::escape::{self, Escape};
use crate::goroutine::G;
use crate::sched::{self, blocking};
use crate::timers::CFn;
use core::ffi::c_void;
use core::ptr::null_mut;
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Deferred functions and calls that can be left, of one goroutine or thread.
pub struct Frames {
    defers: Vec<(CFn, *mut c_void)>,
    scopes: usize,
    tries: *mut Try,
    /// Panics in progress, oldest first.
    panics: Vec<String>,
    /// The goroutine exits: deferred functions from this one on were the business of a try (`usize::MAX`: none was).
    exit: Option<usize>,
    /// What a drain has kept (D4).
    kept: Option<Kept>,
}

/// What goes on after a drain.
enum Kept {
    /// A panic, with this text.
    Panic(String),
    /// The goroutine's exit, which any panic gives way to (P-11).
    Exit,
}

struct Try {
    f: CFn,
    arg: *mut c_void,
    escape: Escape,
    outer: *mut Try,
    defers: usize,
    scopes: usize,
    panics: usize,
    /// If it is a drain's, whether something has exited in it.
    exited: Option<bool>,
}

impl Default for Frames {
    fn default() -> Frames {
        Frames { defers: Vec::new(), scopes: 0, tries: null_mut(), panics: Vec::new(), exit: None, kept: None }
    }
}

impl Frames {
    /// Takes `t` off the chain, with the panics below it. The last of these.
    fn leave(&mut self, t: &Try) -> Option<String> {
        self.tries = t.outer;
        self.scopes = t.scopes;
        self.panics.drain(t.panics..).next_back()
    }

    /// If the caller is in a drain, the innermost one's try becomes the innermost of all, without the panics below it. How many functions had been
    /// deferred when it began.
    fn exit_to_drain(&mut self) -> Option<usize> {
        let mut t = self.tries;
        // SAFETY: the tries of the chain are in progress (D1), and this goroutine's.
        unsafe {
            while !t.is_null() && (*t).exited.is_none() {
                t = (*t).outer;
            }
            let t = t.as_mut()?;
            t.exited = Some(true);
            self.panics.truncate(t.panics);
            self.tries = t;
            Some(t.defers)
        }
    }
}

thread_local! {
    static THREAD: RefCell<Box<Frames>> = RefCell::default();
}

/// The frames of the caller. Not inlined and not kept across user code: that may go on on another thread.
#[inline(never)]
fn with<R>(f: impl FnOnce(&mut Frames) -> R) -> R {
    let g = sched::running();
    if g.is_null() {
        return THREAD.with(|t| f(&mut t.borrow_mut()));
    }
    // SAFETY: the running goroutine owns its attributes; `f` runs no user code.
    unsafe { f((*g).ext_mut().frames.get_or_insert_with(Box::default)) }
}

/// Whether there is anything to run at the end of a goroutine.
fn has_any(g: &G) -> bool {
    // SAFETY: asked by the goroutine itself.
    unsafe { g.ext_ref().is_some_and(|e| e.frames.is_some()) }
}

/// There is no scope, try or goroutine at whose end a deferred function could run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nowhere;

/// Runs `f(arg)` at the end of the innermost scope, try or goroutine.
///
/// # Errors
/// On a plain thread outside any scope and try: nothing would run it.
pub fn defer(f: CFn, arg: *mut c_void) -> Result<(), Nowhere> {
    let on_goroutine = !sched::running().is_null();
    with(|s| {
        if !on_goroutine && s.scopes == 0 && s.tries.is_null() {
            return Err(Nowhere);
        }
        s.defers.push((f, arg));
        Ok(())
    })
}

/// Begins a scope; the result goes to [`scope_end`].
pub fn scope_begin() -> [u64; 2] {
    with(|s| {
        s.scopes += 1;
        [s.defers.len() as u64, s.scopes as u64]
    })
}

/// Ends a scope: runs what was deferred since it began. A scope that ended before, or that a panic has left behind, is not
/// touched.
pub fn scope_end(scope: &mut [u64; 2]) {
    let [defers, number] = std::mem::take(scope);
    let ours = with(|s| {
        let ours = number != 0 && s.scopes as u64 >= number;
        if ours {
            s.scopes = number as usize - 1;
        }
        ours
    });
    if ours {
        run_down_to(defers as usize);
    }
}

/// Runs deferred functions, last first, until `n` are left (D2).
fn run_down_to(n: usize) {
    while let Some((f, arg)) = with(|s| if s.defers.len() > n { s.defers.pop() } else { None }) {
        // SAFETY: whoever deferred it promised that it may be called here.
        unsafe { f(arg) };
    }
}

impl Try {
    fn of(f: CFn, arg: *mut c_void) -> Try {
        Try { f, arg, escape: Escape::new(), outer: null_mut(), defers: 0, scopes: 0, panics: 0, exited: None }
    }
}

/// Runs `f(arg)`; a panic in it ends here.
///
/// # Errors
/// The text of the panic; `None` where this CPU cannot do it.
///
/// # Safety
/// `f(arg)` is sound to call; a panic in it passes no frame that has something to clean up.
pub unsafe fn try_call(f: CFn, arg: *mut c_void) -> Result<(), Option<String>> {
    if !escape::SUPPORTED {
        return Err(None);
    }
    let mut t = Try::of(f, arg);
    // SAFETY: by the caller.
    unsafe { run_try(&mut t) }.map_err(Some)
}

/// Runs what `t` is to try, which has not been tried before.
///
/// # Safety
/// As for `try_call`.
unsafe fn run_try(t: &mut Try) -> Result<(), String> {
    let p = &raw mut *t;
    let sections = blocking::depth();
    // SAFETY: `t` stays where it is, in a frame that the call is above of; only this goroutine uses it. It is the innermost from
    // here until it is taken out, on either way out.
    unsafe {
        with(|s| {
            (*p).outer = s.tries;
            (*p).defers = s.defers.len();
            (*p).scopes = s.scopes;
            (*p).panics = s.panics.len();
            s.tries = p;
        });
        let passed = Passed { t: p, sections };
        if escape::call(&raw mut (*p).escape, tried, p.cast()) {
            blocking::end_down_to(sections);
        }
        std::mem::forget(passed);
        // What panicked below this call is caught here: the last of them speaks. Those that were in progress before, whose
        // deferred functions we may be in, go on.
        match with(|s| s.leave(&*p)) {
            Some(msg) => Err(msg),
            None => Ok(()),
        }
    }
}

/// A try through which an exception passes, of C++ or of Rust, to somebody who catches it further up: dropped then only. What the try was
/// responsible for runs, as at its other ends.
struct Passed {
    t: *mut Try,
    sections: u32,
}

impl Drop for Passed {
    fn drop(&mut self) {
        blocking::end_down_to(self.sections);
        let down_to = with(|s| {
            if !std::ptr::eq(s.tries, self.t) {
                return usize::MAX; // the goroutine exits, and this try has left the chain (D3)
            }
            // SAFETY: the try is the innermost in progress until here (D1).
            let t = unsafe { &*self.t };
            s.leave(t);
            t.defers
        });
        run_down_to(down_to);
    }
}

/// What a try does. Its deferred functions run inside the call that can be left, because they may panic as well.
unsafe extern "C-unwind" fn tried(t: *mut c_void) {
    // SAFETY: by `try_call`, which is in progress: `t` is its `Try`, and `f(arg)` is sound to call. Nothing here is to be cleaned up.
    unsafe {
        let t: *const Try = t.cast();
        ((*t).f)((*t).arg);
        run_down_to((*t).defers);
    }
}

/// How many drains have kept something, of all goroutines. Relaxed: a goroutine asks about what it has counted itself.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Calls `step` until it returns false. A panic in one of the calls keeps none of the others from being made, nor does the exit of a goroutine that does not
/// unwind; the text of the first panic, or the exit, is kept for [`raise_kept`] (D4). What a call defers runs when it returns, panics or exits.
///
/// # Safety
/// `step` is sound to leave by a jump: it has nothing to clean up then, and does not come back to the same value. Whoever calls comes
/// to `raise_kept` before user code runs again.
pub unsafe fn drain<F: FnMut() -> bool>(mut step: F) {
    struct Steps<F> {
        step: F,
        done: bool,
    }
    unsafe extern "C-unwind" fn all<F: FnMut() -> bool>(steps: *mut c_void) {
        let steps: *mut Steps<F> = steps.cast();
        let before = with(|s| s.defers.len());
        // SAFETY: by `drain`, which is in progress.
        unsafe {
            while ((*steps).step)() {
                run_down_to(before);
            }
            (*steps).done = true;
        }
    }
    if !escape::SUPPORTED || !has_frames() {
        while step() {}
        return;
    }
    let mut steps = Steps { step, done: false };
    let steps = &raw mut steps;
    let (mut first, mut exited) = (None, false);
    // SAFETY: `steps` outlives the calls, and may be left, by the caller.
    unsafe {
        loop {
            let mut t = Try::of(all::<F>, steps.cast());
            t.exited = Some(false);
            let caught = run_try(&mut t).err();
            first = first.or(caught);
            exited |= t.exited == Some(true);
            if (*steps).done {
                break;
            }
        }
    }
    let kept = if exited { Some(Kept::Exit) } else { first.map(Kept::Panic) };
    if kept.is_some() {
        KEPT.fetch_add(1, Ordering::Relaxed);
        with(|s| s.kept = kept);
    }
}

/// The same of a single value.
///
/// # Safety
/// As for [`drain`].
pub unsafe fn drain_one(end: impl Fn()) {
    let mut there = true;
    // SAFETY: by the caller; there is nothing left after the first call.
    unsafe {
        drain(|| {
            let now = core::mem::take(&mut there);
            if now {
                end();
            }
            now
        });
    }
}

/// Whether the caller has frames: a thread that is about to end has none.
fn has_frames() -> bool {
    !sched::running().is_null() || THREAD.try_with(|_| ()).is_ok()
}

/// Goes on with what a [`drain`] of the caller's has kept, if it has kept anything.
///
/// # Safety
/// As for `raw::panic`.
#[inline]
pub unsafe fn raise_kept() {
    if KEPT.load(Ordering::Relaxed) != 0 {
        // SAFETY: by the caller.
        unsafe { raise_ours() };
    }
}

#[cold]
#[inline(never)]
unsafe fn raise_ours() {
    if !has_frames() {
        return;
    }
    let Some(kept) = with(|s| s.kept.take()) else { return };
    KEPT.fetch_sub(1, Ordering::Relaxed);
    match kept {
        // SAFETY: by the caller.
        Kept::Panic(text) => unsafe { raise(text) },
        Kept::Exit => crate::panic::goexit(),
    }
}

/// Raises a panic: runs the deferred functions of the innermost try (or of the goroutine), then leaves for it, or reports.
///
/// # Safety
/// No frame between here and the innermost try, or the goroutine's end, has anything to clean up.
pub unsafe fn panic(msg: &str) -> ! {
    // SAFETY: by the caller.
    unsafe { raise(msg.to_owned()) }
}

/// As `panic`. The text belongs to the panics in progress when the jump is made, and not to a frame.
unsafe fn raise(text: String) -> ! {
    let (mark, over) = with(|s| {
        if s.tries.is_null() && s.exit.is_some_and(|from| s.defers.len() >= from) {
            s.panics.clear();
            return (0, true);
        }
        s.panics.push(text);
        // SAFETY: a try in the chain is in progress (D1).
        (unsafe { s.tries.as_ref() }.map_or(0, |t| t.defers), false)
    });
    run_down_to(mark);
    if over {
        // SAFETY: the running goroutine exits (D3), which threads do not; by the caller nothing on its stack is to be cleaned up.
        unsafe { crate::start::end_c(sched::running()) };
    }
    let to = with(|s| s.tries);
    if !to.is_null() {
        // SAFETY: the try is in progress further up this stack (D1).
        unsafe { escape::leave(&raw const (*to).escape) };
    }
    let text = with(|s| std::mem::take(&mut s.panics)).join("\n\tpanic: ");
    // SAFETY: by the caller.
    unsafe { uncaught(text) }
}

unsafe fn uncaught(text: String) -> ! {
    let g = sched::running();
    if g.is_null() {
        crate::dump::panic_outside(&text);
    }
    // SAFETY: g is the running goroutine; the policy has let the rest go on.
    unsafe {
        crate::panic::report(&*g, &text);
        drop(text); // nothing of this frame is cleaned up any more
        crate::sched::runs::main_panicked(g);
        crate::start::end_c(g)
    }
}

/// The goroutine, which does not unwind, ends: everything that is still deferred runs (D3, P-09 to P-11). Within a drain this does not return, for that goes on
/// first; what has been deferred in it runs before.
///
/// # Safety
/// As for [`panic()`].
pub unsafe fn goexit() {
    if let Some(mark) = with(|s| s.exit_to_drain()) {
        run_down_to(mark);
        // SAFETY: the drain's try is in progress further up this stack (D1).
        unsafe { escape::leave(&raw const (*with(|s| s.tries)).escape) };
    }
    with(|s| {
        let from = outermost(std::mem::replace(&mut s.tries, null_mut()));
        s.exit = Some(from.min(s.exit.unwrap_or(usize::MAX)));
        s.panics.clear(); // P-11: a panic in progress is discarded
    });
    run_down_to(0);
}

/// How many deferred functions there were when the first try of the chain began; `usize::MAX` for an empty one.
fn outermost(mut tries: *mut Try) -> usize {
    let mut defers = usize::MAX;
    // SAFETY: the tries of the chain are in progress (D1).
    while let Some(t) = unsafe { tries.as_ref() } {
        defers = t.defers;
        tries = t.outer;
    }
    defers
}

/// The function of a goroutine has returned: what it deferred runs.
pub fn finish() {
    let g = sched::running();
    // SAFETY: the running goroutine's header is valid.
    if !g.is_null() && has_any(unsafe { &*g }) {
        run_down_to(0);
    }
}
