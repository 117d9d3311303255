//! LeakSanitizer, by itself or inside AddressSanitizer: where pointers lie that it does not find.
//!
//! *Where it sits*: layer 2, behind `sanitize.rs`. Called when the runtime starts, and for each thread that works for it.
//!
//! When the process ends it looks for pointers to live memory in globals, in registers and on the stacks that threads are on. Memory that it
//! finds no pointer to is reported. It does not know the headers of goroutines (which hold small closures), nor the stacks of goroutines
//! that do not run, nor the own stack of a thread that is on a goroutine's. A program may end while goroutines are parked (P-14), and what
//! they hold is not lost.
//!
//! Headers and stacks are told at the end of the process, before the look: `atexit` runs the last registration first, and the
//! sanitizer's was made before `main`. What a goroutine that starts in between allocates can still be reported.

use crate::cell::{AtomicPtr, Ordering};
use crate::goroutine::arena;
use core::ffi::c_void;
use core::ptr::{null, null_mut};
use std::cell::Cell;

type Region = extern "C" fn(*const c_void, usize);

/// `__lsan_register_root_region`: look for pointers here, too.
static REGISTER: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// `__lsan_unregister_root_region`.
static UNREGISTER: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

pub(super) fn init() {
    let (add, remove) = (super::find(c"__lsan_register_root_region"), super::find(c"__lsan_unregister_root_region"));
    if add.is_null() || remove.is_null() {
        return;
    }
    REGISTER.store(add, Ordering::Relaxed);
    UNREGISTER.store(remove, Ordering::Relaxed);
    // SAFETY: the function is there until the process ends, or this library is unloaded, when it runs and is forgotten.
    unsafe { libc::atexit(at_exit) };
}

fn call(which: &AtomicPtr<c_void>, from: *const c_void, bytes: usize) {
    let f = which.load(Ordering::Relaxed);
    if !f.is_null() {
        // SAFETY: found under its name, so it has this type; a region that is not mapped is passed over.
        unsafe { core::mem::transmute::<*mut c_void, Region>(f)(from, bytes) };
    }
}

extern "C" fn at_exit() {
    // `exit` has run the destructors of the calling thread's thread-locals, so its stack is not told any more.
    let (bottom, size) = super::asan::own_stack();
    if !bottom.is_null() {
        call(&REGISTER, bottom, size);
    }
    arena::for_each_chunk(|from, bytes| call(&REGISTER, from.cast(), bytes));
    arena::for_each(|g| {
        let stack = g.stack.get();
        if !stack.is_none() {
            // From above the guard, which may not be touched.
            call(&REGISTER, stack.bottom().cast_const().cast(), stack.top().addr() - stack.bottom().addr());
        }
        true
    });
}

/// The own stack of a thread, told to the sanitizer until the thread ends.
struct Told(Cell<(*const c_void, usize)>);

impl Drop for Told {
    fn drop(&mut self) {
        let (from, bytes) = self.0.get();
        call(&UNREGISTER, from, bytes);
    }
}

thread_local! {
    static TOLD: Told = const { Told(Cell::new((null(), 0))) };
}

/// The calling thread's own stack, from which it goes to those of goroutines.
pub(super) fn thread_stack(bottom: *const c_void, size: usize) {
    // A thread that is ending has no thread-locals left; it does not run goroutines any more either.
    let kept = TOLD.try_with(|t| t.0.set((bottom, size)));
    if kept.is_ok() {
        call(&REGISTER, bottom, size);
    }
}
