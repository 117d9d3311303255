//! Tells ThreadSanitizer, AddressSanitizer (`asan.rs`) and LeakSanitizer (`leaks.rs`) about our stacks.
//!
//! *Where it sits*: layer 2, called around every switch. The hooks are looked up once, when the runtime starts: a plain
//! release build of this library works inside a program that is instrumented. Without a sanitizer each call is one
//! load and one branch.
//!
//! The hooks are those of the sanitizers' public interface headers: `tsan_interface.h` (fibers; a switch with
//! flag 1 does not synchronise, the channels do) and `common_interface_defs.h` (start and finish of a fiber switch).
//!
//! From the announcement of a switch on, ThreadSanitizer counts the returns of instrumented functions on the other fiber's
//! stack of calls. So the announcement is inlined into the function that switches, and the last thing it does before.

use crate::cell::{AtomicPtr, AtomicU8, Ordering};
use crate::goroutine::G;
use crate::hooks;
use crate::stack::Stack;
use core::ffi::{c_uint, c_void};
use core::ptr::null_mut;
use std::cell::Cell;

mod asan;
mod leaks;

const OFF: u8 = 0;
const TSAN: u8 = 1;
const ASAN: u8 = 2;

/// Whether a switch of fibers is *no* edge of the memory model. In a program that uses this library it is none: the channels and locks are. Where
/// the library itself is instrumented, what is private to a worker goes from fiber to fiber with the thread, so that a switch has to be one.
const NO_EDGE: c_uint = if cfg!(zk_tsan) { 0 } else { 1 };

static MODE: AtomicU8 = AtomicU8::new(OFF);
static HOOKS: [AtomicPtr<c_void>; 6] = [const { AtomicPtr::new(null_mut()) }; 6];

thread_local! {
    /// TSan: the thread's own fiber.
    static THREAD: Cell<*mut c_void> = const { Cell::new(null_mut()) };
}

fn find(name: &core::ffi::CStr) -> *mut c_void {
    // SAFETY: dlsym with a NUL-terminated name.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

/// Looks for a sanitizer's run-time library. Called when the runtime starts.
pub fn init() {
    leaks::init();
    let tsan = [
        c"__tsan_create_fiber",
        c"__tsan_switch_to_fiber",
        c"__tsan_destroy_fiber",
        c"__tsan_get_current_fiber",
        c"__tsan_acquire",
        c"__tsan_release",
    ];
    let asan =
        [c"__sanitizer_start_switch_fiber", c"__sanitizer_finish_switch_fiber", c"__asan_unpoison_memory_region"];
    for (mode, names) in [(TSAN, &tsan[..]), (ASAN, &asan[..])] {
        let found: Vec<*mut c_void> = names.iter().map(|n| find(n)).collect();
        if found.iter().all(|p| !p.is_null()) {
            for (slot, p) in HOOKS.iter().zip(found) {
                slot.store(p, Ordering::Relaxed);
            }
            // Release: pairs with the Acquire in the cold paths.
            MODE.store(mode, Ordering::Release);
            hooks::needed();
            return;
        }
    }
}

/// What the caller did so far happens before whatever follows an [`acquire`] of the same address: the edges of the memory
/// model, told to a ThreadSanitizer that sees the program but not the inside of this library.
#[inline(always)]
pub fn release(addr: *const ()) {
    if MODE.load(Ordering::Relaxed) == TSAN {
        edge(RELEASE, addr);
    }
}

/// Whether edges are to be told.
#[inline(always)]
pub fn listens() -> bool {
    MODE.load(Ordering::Relaxed) == TSAN
}

/// The counterpart of [`release`].
#[inline(always)]
pub fn acquire(addr: *const ()) {
    if MODE.load(Ordering::Relaxed) == TSAN {
        edge(ACQUIRE, addr);
    }
}

const ACQUIRE: usize = 4;
const RELEASE: usize = 5;

#[cold]
#[inline(never)]
fn edge(which: usize, addr: *const ()) {
    let p = hook(which);
    if !p.is_null() {
        // SAFETY: found under its name, so it has this type.
        unsafe { core::mem::transmute::<*mut c_void, extern "C" fn(*const ())>(p)(addr) };
    }
}

/// From `left` we go `to`; null is the thread's own stack.
///
/// # Safety
/// Called right before the switch, on the stack that is left.
#[inline(always)]
pub unsafe fn before_switch(left: *mut G, to: *mut G) {
    if MODE.load(Ordering::Relaxed) != OFF {
        // SAFETY: by the caller.
        let (switch, fiber) = unsafe { before_slow(left, to) };
        if let Some(switch) = switch {
            switch(fiber, NO_EDGE);
        }
    }
}

/// First thing after a switch, on the stack that was switched to.
#[inline(always)]
pub fn after_switch() {
    if MODE.load(Ordering::Relaxed) == ASAN {
        asan::after();
    }
}

/// The address of the edge from the end of every goroutine to whoever looks at all of them.
static ENDS: u8 = 0;

/// Whoever sees that a goroutine is not there any more has everything it did behind it.
#[inline(always)]
pub fn looks_at_all() {
    acquire((&raw const ENDS).cast());
}

/// `g` runs for the first time, on a stack that others have used before.
#[inline(always)]
pub unsafe fn goroutine_starts(g: *mut G) {
    if MODE.load(Ordering::Relaxed) == TSAN {
        acquire(g.cast());
        // SAFETY: the running goroutine has a stack.
        acquire(unsafe { (*g).stack.get() }.top().cast());
    }
}

/// `g` runs for the last time: the next switch leaves its stack for ever.
#[inline(always)]
pub unsafe fn goroutine_ends(g: *mut G) {
    if MODE.load(Ordering::Relaxed) != OFF {
        // SAFETY: by the caller.
        unsafe { ends_slow(g) };
    }
}

#[cold]
unsafe fn ends_slow(g: *mut G) {
    if MODE.load(Ordering::Relaxed) == TSAN {
        release((&raw const ENDS).cast());
        // SAFETY: the running goroutine has a stack; the next one that gets it begins after this.
        release(unsafe { (*g).stack.get() }.top().cast());
    }
    // SAFETY: g is the running goroutine; its header is still its own.
    ENDING.with(|e| e.set(Some(unsafe { ((*g).fiber.replace(null_mut()), (*g).stack.get()) })));
}

thread_local! {
    /// The goroutine that is left ends; what the sanitizer knew it by, and its stack.
    static ENDING: Cell<Option<(*mut c_void, Stack)>> = const { Cell::new(None) };
    /// A fiber that ended and is destroyed once another runs.
    static CORPSE: Cell<*mut c_void> = const { Cell::new(null_mut()) };
}

type Create = extern "C" fn(c_uint) -> *mut c_void;
type Switch = extern "C" fn(*mut c_void, c_uint);
type Destroy = extern "C" fn(*mut c_void);
type Current = extern "C" fn() -> *mut c_void;

fn hook(i: usize) -> *mut c_void {
    HOOKS[i].load(Ordering::Relaxed)
}

/// What is left to do inside the function that switches: ThreadSanitizer's function, and the fiber to announce to it.
type Announce = (Option<Switch>, *mut c_void);

#[cold]
#[inline(never)]
unsafe fn before_slow(left: *mut G, to: *mut G) -> Announce {
    let ended = ENDING.with(|e| e.take());
    // Acquire: pairs with the Release in `init`: the hooks are there.
    match MODE.load(Ordering::Acquire) {
        // SAFETY: by the caller; the hooks have these types by the interface header.
        TSAN => unsafe { tsan_before(to, ended.map(|e| e.0)) },
        ASAN => {
            // SAFETY: as above.
            unsafe { asan::before(left, to, ended.map(|e| e.1)) };
            (None, null_mut())
        }
        _ => (None, null_mut()),
    }
}

unsafe fn tsan_before(to: *mut G, ended: Option<*mut c_void>) -> Announce {
    // SAFETY: the hooks were found under these names, so they have these types.
    unsafe {
        let create: Create = core::mem::transmute(hook(0));
        let switch: Switch = core::mem::transmute(hook(1));
        let destroy: Destroy = core::mem::transmute(hook(2));
        let current: Current = core::mem::transmute(hook(3));
        if THREAD.with(Cell::get).is_null() {
            THREAD.with(|t| t.set(current()));
        }
        let corpse = CORPSE.with(|c| c.replace(null_mut()));
        if !corpse.is_null() {
            destroy(corpse);
        }
        if let Some(fiber) = ended {
            CORPSE.with(|c| c.set(fiber));
        }
        let fiber = if to.is_null() {
            THREAD.with(Cell::get)
        } else {
            if (*to).fiber.get().is_null() {
                (*to).fiber.set(create(0));
            }
            (*to).fiber.get()
        };
        (Some(switch), fiber)
    }
}
