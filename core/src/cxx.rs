//! The exception state of C++, which belongs to a goroutine and not to its thread.
//!
//! *Where it sits*: layer 1, called at every switch if there is one (`hooks`). libstdc++ and libc++abi keep the stack of caught exceptions and the
//! number of uncaught ones in 16 bytes per thread (`__cxa_get_globals`, Itanium C++ ABI, §2.2.2). A goroutine
//! that parks inside a `catch` block leaves them behind for the next one, so they are swapped with the stack. In a
//! process without C++ nothing of this is called.

use crate::cell::{AtomicPtr, Ordering};
use crate::hooks;
use core::ffi::c_void;
use core::ptr::null_mut;

static GET: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Looks for the C++ run-time library. Called when the runtime starts.
pub fn init() {
    // SAFETY: dlsym with a NUL-terminated name; null if the symbol is in no loaded object.
    let p = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__cxa_get_globals".as_ptr()) };
    GET.store(p, Ordering::Relaxed);
    if !p.is_null() {
        hooks::needed();
    }
}

/// The state of the running thread.
#[inline(always)]
pub fn save() -> [usize; 2] {
    if GET.load(Ordering::Relaxed).is_null() {
        return [0; 2];
    }
    // SAFETY: `globals` is the address of two words of this thread.
    unsafe { *globals() }
}

/// Makes `state` the running thread's.
#[inline(always)]
pub fn restore(state: [usize; 2]) {
    if GET.load(Ordering::Relaxed).is_null() {
        return;
    }
    // SAFETY: as above; the address is asked for anew, the thread may be another one.
    unsafe { *globals() = state };
}

#[cold]
unsafe fn globals() -> *mut [usize; 2] {
    let p = GET.load(Ordering::Relaxed);
    // SAFETY: p is `__cxa_get_globals`, of this type by the C++ ABI.
    unsafe { core::mem::transmute::<*mut c_void, extern "C" fn() -> *mut [usize; 2]>(p)() }
}
