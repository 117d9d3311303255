//! A goroutine with an OS thread to itself (`LockOSThread`, rules G-16 to G-18).
//!
//! *Where it sits*: layer 3. A goroutine that asks for it is pinned where it runs, and the worker becomes exclusive: what
//! others could run is handed to them, and the worker takes nothing in any more until the goroutine lets go. Pinned
//! goroutines that started on the thread before still run there, when the exclusive one waits: nobody else can run them.
//! If the exclusive one ends without having let go, its thread ends with it. A thread that has to stay, because it is lent to a
//! `run` or others are pinned to it, is *spoilt*: its worker stays exclusive, and runs those that are pinned to it, and nobody else.

use super::idle;
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
    // SAFETY: g is the running goroutine, whose owner we are.
    unsafe {
        let ext = (*g).ext_mut();
        ext.thread_locks += 1;
        if ext.thread_locks > 1 {
            return;
        }
        if !(*g).has(PINNED) {
            ext.migrates = true;
            (*g).set_flags(PINNED);
            (*g).home.store((&raw const *w).cast_mut().cast(), Ordering::Relaxed); // G3: bound from here on
            w.homed.set(w.homed.get() + 1);
        }
        (*g).set_flags(EXCLUSIVE);
        idle::GATE.set_exclusive(&w.seat, true);
        w.share_queue();
    }
}

/// Undoes one `lock`; without any it does nothing.
pub fn unlock() {
    let Some(w) = worker::current() else { return };
    let g = w.current.get();
    // SAFETY: as above.
    unsafe {
        if g.is_null() || !(*g).has(EXCLUSIVE) {
            return;
        }
        let ext = (*g).ext_mut();
        ext.thread_locks = ext.thread_locks.saturating_sub(1);
        if ext.thread_locks == 0 {
            let migrates = core::mem::take(&mut ext.migrates);
            release(w, g, migrates);
        }
    }
}

/// The running goroutine, which began pinned, may go on elsewhere from now on.
pub fn unpin() {
    if let Some(w) = worker::current() {
        // SAFETY: the running goroutine's header is ours (G1).
        unsafe { (*w.current.get()).clear_flags(PINNED) };
        w.homed.set(w.homed.get() - 1);
    }
}

unsafe fn release(w: &Worker, g: *mut G, migrates: bool) {
    if migrates {
        unpin();
    }
    // SAFETY: by the caller.
    unsafe {
        (*g).clear_flags(EXCLUSIVE);
        idle::GATE.set_exclusive(&w.seat, stays_exclusive(w));
    }
}

/// Whether the worker is exclusive without such a goroutine.
pub(super) fn stays_exclusive(w: &Worker) -> bool {
    w.spoilt.get() || w.apart.get()
}

/// An exclusive goroutine ends without having let go. G-17: what it did to the thread is not for others. Main alone may do to the
/// thread of its `run` what it likes: that is the caller's own.
pub fn ended(w: &Worker) {
    w.spoilt.set(w.spoilt.get() || w.main_goroutine.load(Ordering::Relaxed) != w.current.get());
    idle::GATE.set_exclusive(&w.seat, stays_exclusive(w));
}

/// The worker `w` gets another thread, or none.
pub fn clear(w: &Worker) {
    if w.spoilt.replace(false) {
        idle::GATE.set_exclusive(&w.seat, stays_exclusive(w));
    }
}

/// A goroutine that was pinned to the spoilt worker `w` has ended.
#[cold]
pub fn left(w: &Worker) {
    if !w.is_runner && w.homed.get() == 0 {
        clear(w);
        w.attention.stop();
    }
}
