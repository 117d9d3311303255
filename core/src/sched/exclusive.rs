//! A goroutine with an OS thread to itself (`LockOSThread`, rules G-16 to G-18).
//!
//! *Where it sits*: layer 3. A goroutine that asks for it is pinned where it runs, and the worker becomes exclusive: what
//! others could run is handed to them, and the worker takes nothing in any more until the goroutine lets go.

use super::worker::{self, Worker};
use crate::cell::Ordering;
use crate::goroutine::{EXCLUSIVE, G, PINNED};

/// Gives the running goroutine its thread for itself; nests.
pub fn lock() {
    let Some(w) = worker::current() else { return };
    let g = w.current.get();
    if g.is_null() {
        return;
    }
    w.exclusive_depth.set(w.exclusive_depth.get() + 1);
    if w.exclusive_depth.get() == 1 {
        // SAFETY: g is the running goroutine, whose owner we are.
        unsafe { take(w, g) };
    }
}

/// Undoes one `lock`; without any it does nothing.
pub fn unlock() {
    let Some(w) = worker::current() else { return };
    let n = w.exclusive_depth.get();
    if n == 0 || w.current.get().is_null() {
        return;
    }
    w.exclusive_depth.set(n - 1);
    if n == 1 {
        // SAFETY: as above.
        unsafe { release(w, w.current.get()) };
    }
}

unsafe fn take(w: &'static Worker, g: *mut G) {
    // SAFETY: by the caller.
    unsafe {
        if !(*g).has(PINNED) {
            (*g).set_flags(PINNED);
            (*g).home.store((&raw const *w).cast_mut().cast(), Ordering::Relaxed); // G3: bound from here on
            w.homed.set(w.homed.get() + 1);
            w.exclusive_moves.set(true);
        }
        (*g).set_flags(EXCLUSIVE);
        w.exclusive.store(true, Ordering::Relaxed);
        w.share_queue();
    }
}

unsafe fn release(w: &'static Worker, g: *mut G) {
    // SAFETY: by the caller.
    unsafe {
        if w.exclusive_moves.replace(false) {
            (*g).clear_flags(PINNED);
            w.homed.set(w.homed.get() - 1);
        }
        (*g).clear_flags(EXCLUSIVE);
        w.exclusive.store(false, Ordering::Relaxed);
    }
}
