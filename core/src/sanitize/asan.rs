//! AddressSanitizer: which stack the thread is on, and that a stack is clean for its next owner.
//!
//! *Where it sits*: layer 2, behind `sanitize.rs`. Called right before and right after each switch when the program is instrumented.
//!
//! The sanitizer keeps the bounds of the stack in use, and for programs that look for uses after return a *fake stack* per
//! context; a switch is announced by a call before it and one after it, on either side.
//!
//! An instrumented function marks the gaps between its variables as forbidden and clears them when it returns. The last
//! functions of a goroutine never return. What they leave is cleared by whoever runs next on the thread, before anything else runs
//! on that stack: they go on marking up to the last instruction, so that they cannot do it themselves.

use super::{hook, leaks};
use crate::goroutine::G;
use crate::stack::Stack;
use core::ffi::c_void;
use core::ptr::{null, null_mut};
use std::cell::Cell;

type Start = extern "C" fn(*mut *mut c_void, *const c_void, usize);
type Finish = extern "C" fn(*mut c_void, *mut *const c_void, *mut usize);
type Unpoison = extern "C" fn(*const c_void, usize);

/// What is known of a thread's own stack.
#[derive(Clone, Copy)]
struct Own {
    /// Its fake stack, while the thread is on a goroutine's.
    fake: *mut c_void,
    bottom: *const c_void,
    size: usize,
}

thread_local! {
    static OWN: Cell<Own> = const { Cell::new(Own { fake: null_mut(), bottom: null(), size: 0 }) };
    /// Whose switch is to be finished; null is the thread's own stack.
    static TARGET: Cell<*mut G> = const { Cell::new(null_mut()) };
    /// What the goroutine that ended has used of its stack at the end: from where, and how many bytes.
    static LEFT: Cell<(*const c_void, usize)> = const { Cell::new((null(), 0)) };
}

/// The own stack of a thread that has run goroutines: where it is and how many bytes long. Null for other threads.
pub(super) fn own_stack() -> (*const c_void, usize) {
    let own = OWN.with(Cell::get);
    (own.bottom, own.size)
}

/// From `left` we go `to`; null is the thread's own stack. `ended` is the stack of a goroutine that does not come back.
///
/// # Safety
/// Called right before the switch, on the stack that is left.
#[inline(never)]
pub(super) unsafe fn before(left: *mut G, to: *mut G, ended: Option<Stack>) {
    let mut fake: *mut c_void = null_mut();
    if let Some(stack) = ended {
        LEFT.with(|l| l.set(used(stack, (&raw const fake).cast())));
    }
    // Without a place to save it, the fake stack of the context that is left is given up.
    let save = if ended.is_none() { &raw mut fake } else { null_mut() };
    // SAFETY: the hook was found under its name, so it has this type; `to` is about to run and has a stack.
    unsafe {
        let start: Start = core::mem::transmute(hook(0));
        if to.is_null() {
            let own = OWN.with(Cell::get);
            start(save, own.bottom, own.size);
        } else {
            let s = (*to).stack.get();
            start(save, s.bottom().cast(), s.top() as usize - s.bottom() as usize);
        }
        if ended.is_none() && !left.is_null() {
            (*left).fiber.set(fake);
        }
    }
    if left.is_null() {
        OWN.with(|o| o.set(Own { fake, ..o.get() }));
    }
    TARGET.with(|t| t.set(to));
}

/// From `here` up to the top; all of it, should `here` lie on a fake stack.
fn used(stack: Stack, here: *const c_void) -> (*const c_void, usize) {
    let from = if stack.contains(here.addr()) { here } else { stack.bottom().cast_const().cast() };
    (from, stack.top().addr() - from.addr())
}

/// The switch is done; we are on the stack that was switched to.
#[cold]
#[inline(never)]
pub(super) fn after() {
    // SAFETY: the hooks were found under their names, so they have these types; the fake stack is the one saved for this context; what
    // is cleared belongs to a goroutine that has ended, or to us, who only lose some checks in the frames there are now.
    unsafe {
        let finish: Finish = core::mem::transmute(hook(1));
        let unpoison: Unpoison = core::mem::transmute(hook(2));
        let to = TARGET.with(Cell::get);
        let fake = if to.is_null() { OWN.with(Cell::get).fake } else { (*to).fiber.replace(null_mut()) };
        let (mut bottom, mut size) = (null(), 0usize);
        finish(fake, &raw mut bottom, &raw mut size);
        let (from, bytes) = LEFT.with(|l| l.replace((null(), 0)));
        if bytes != 0 {
            unpoison(from, bytes);
        }
        if !to.is_null() && OWN.with(Cell::get).bottom.is_null() {
            // The first switch of this thread came from its own stack.
            OWN.with(|o| o.set(Own { bottom, size, ..o.get() }));
            leaks::thread_stack(bottom, size);
        }
    }
}
