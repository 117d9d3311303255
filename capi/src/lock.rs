//! Mutexes, conditions, once and semaphores, in the caller's memory.
//!
//! Where it sits: above `result` and `zokor::raw`'s objects, which have the same 32 bytes; `sync` has the wait group.

use std::ffi::{c_int, c_void};
use std::mem::{align_of, size_of};

use zokor::raw::{self, Error, RawCond, RawMutex, RawOnce, RawRwMutex, RawSem};

use crate::result::{code, misuse, status, waiting};
use crate::runtime::zk_fn;
use crate::time::zk_time;

/// Zeroed memory that holds an object of the engine.
///
/// # Safety
/// The type has room for `Raw`, whose every bit pattern is valid.
pub(crate) unsafe trait Storage<Raw> {}

#[repr(C)]
pub struct zk_mutex {
    pub zk_priv: [u64; 4],
}

const _: () =
    assert!(size_of::<RawMutex>() <= size_of::<zk_mutex>() && align_of::<RawMutex>() <= align_of::<zk_mutex>());
// SAFETY: as asserted; the engine's objects are valid in zeroed memory, and only the engine changes them.
unsafe impl Storage<RawMutex> for zk_mutex {}

#[repr(C)]
pub struct zk_rwmutex {
    pub zk_priv: [u64; 4],
}

const _: () =
    assert!(size_of::<RawRwMutex>() <= size_of::<zk_rwmutex>() && align_of::<RawRwMutex>() <= align_of::<zk_rwmutex>());
// SAFETY: as asserted; the engine's objects are valid in zeroed memory, and only the engine changes them.
unsafe impl Storage<RawRwMutex> for zk_rwmutex {}

#[repr(C)]
pub struct zk_cond {
    pub zk_priv: [u64; 4],
}

const _: () = assert!(size_of::<RawCond>() <= size_of::<zk_cond>() && align_of::<RawCond>() <= align_of::<zk_cond>());
// SAFETY: as asserted; the engine's objects are valid in zeroed memory, and only the engine changes them.
unsafe impl Storage<RawCond> for zk_cond {}

#[repr(C)]
pub struct zk_once {
    pub zk_priv: [u64; 4],
}

const _: () = assert!(size_of::<RawOnce>() <= size_of::<zk_once>() && align_of::<RawOnce>() <= align_of::<zk_once>());
// SAFETY: as asserted; the engine's objects are valid in zeroed memory, and only the engine changes them.
unsafe impl Storage<RawOnce> for zk_once {}

#[repr(C)]
pub struct zk_sem {
    pub zk_priv: [u64; 4],
}

const _: () = assert!(size_of::<RawSem>() <= size_of::<zk_sem>() && align_of::<RawSem>() <= align_of::<zk_sem>());
// SAFETY: as asserted; the engine's objects are valid in zeroed memory, and only the engine changes them.
unsafe impl Storage<RawSem> for zk_sem {}

/// The engine's object in the caller's storage; `None`: there is visibly none.
///
/// # Safety
/// H2: null, or zeroed once and since then only used through this library.
pub(crate) unsafe fn find<'a, S: Storage<Raw>, Raw>(storage: *mut S) -> Option<&'a Raw> {
    let raw: *const Raw = storage.cast();
    // SAFETY: the caller's word, and `Storage`'s.
    (!raw.is_null() && raw.is_aligned()).then(|| unsafe { &*raw })
}

/// Tells a sanitizer that a wait on the object at `addr` has succeeded, and passes its result on.
fn tell(addr: *const (), rc: c_int) -> c_int {
    if rc == 0 {
        raw::happens_after(addr);
    }
    rc
}

/// The same for a function that has no result to say so in: without an object the process ends.
///
/// # Safety
/// As for `find`.
pub(crate) unsafe fn at<'a, S: Storage<Raw>, Raw>(storage: *mut S, who: &'static str) -> &'a Raw {
    // SAFETY: the caller's word.
    unsafe { find(storage) }.unwrap_or_else(|| misuse(who))
}

/// Waits for the mutex and takes it; not cancelable. Not reentrant. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_mutex_lock(m: *mut zk_mutex) {
    // SAFETY: H2.
    match unsafe { find::<_, RawMutex>(m) } {
        Some(mutex) if raw::undisturbed() => {
            if !mutex.take_free() {
                mutex_wait(mutex);
            }
        }
        // SAFETY: H2.
        _ => unsafe { mutex_lock(m) },
    }
}

/// What is not the usual case is away from it. As it does not unwind, that needs no frame and ends in a jump.
#[cold]
#[inline(never)]
extern "C" fn mutex_wait(mutex: &RawMutex) {
    mutex.lock_contended();
}

#[cold]
#[inline(never)]
unsafe extern "C" fn mutex_lock(m: *mut zk_mutex) {
    // SAFETY: by the caller.
    unsafe { at::<_, RawMutex>(m, "zk_mutex_lock: no lock") }.lock();
    raw::happens_after(m.cast_const().cast());
}

/// The same with a deadline. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_mutex_lock_until(m: *mut zk_mutex, deadline: zk_time) -> c_int {
    // SAFETY: H2.
    unsafe { find::<_, RawMutex>(m) }.map_or_else(
        || code(Error::Invalid),
        |object| tell(m.cast_const().cast(), status(waiting(deadline, |d| object.lock_until(d)))),
    )
}

/// Gives the mutex back; whoever holds it may. Of an unlocked one: fatal, not catchable; so for rwmutex and cond_wait as
/// well. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_mutex_unlock(m: *mut zk_mutex) {
    // SAFETY: H2.
    match unsafe { find::<_, RawMutex>(m) } {
        Some(mutex) if !raw::sanitizer_listens() => {
            if !mutex.give_free() {
                mutex_pass(mutex);
            }
        }
        // SAFETY: H2.
        _ => unsafe { mutex_unlock(m) },
    }
}

#[cold]
#[inline(never)]
extern "C" fn mutex_pass(mutex: &RawMutex) {
    mutex.unlock_slow();
}

#[cold]
#[inline(never)]
unsafe extern "C" fn mutex_unlock(m: *mut zk_mutex) {
    raw::happens_before(m.cast_const().cast());
    // SAFETY: by the caller.
    unsafe { at::<_, RawMutex>(m, "zk_mutex_unlock: no lock") }.unlock();
}

/// Waits until nobody reads or writes, and takes it for writing; not cancelable. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_rwmutex_lock(m: *mut zk_rwmutex) {
    // SAFETY: H2.
    unsafe { at::<_, RawRwMutex>(m, "zk_rwmutex_lock: no lock") }.lock();
    raw::happens_after(m.cast_const().cast());
}

/// The same with a deadline. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_rwmutex_lock_until(m: *mut zk_rwmutex, deadline: zk_time) -> c_int {
    // SAFETY: H2.
    unsafe { find::<_, RawRwMutex>(m) }.map_or_else(
        || code(Error::Invalid),
        |object| tell(m.cast_const().cast(), status(waiting(deadline, |d| object.lock_until(d)))),
    )
}

/// Ends writing: every reader that waits gets in before the next writer. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_rwmutex_unlock(m: *mut zk_rwmutex) {
    raw::happens_before(m.cast_const().cast());
    // SAFETY: H2.
    unsafe { at::<_, RawRwMutex>(m, "zk_rwmutex_unlock: no lock") }.unlock();
}

/// Waits until nobody writes or waits to write, and reads; not cancelable. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_rwmutex_rlock(m: *mut zk_rwmutex) {
    // SAFETY: H2.
    unsafe { at::<_, RawRwMutex>(m, "zk_rwmutex_rlock: no lock") }.rlock();
    raw::happens_after(m.cast_const().cast());
}

/// The same with a deadline. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_rwmutex_rlock_until(m: *mut zk_rwmutex, deadline: zk_time) -> c_int {
    // SAFETY: H2.
    unsafe { find::<_, RawRwMutex>(m) }.map_or_else(
        || code(Error::Invalid),
        |object| tell(m.cast_const().cast(), status(waiting(deadline, |d| object.rlock_until(d)))),
    )
}

/// Ends reading. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_rwmutex_runlock(m: *mut zk_rwmutex) {
    raw::happens_before(m.cast_const().cast());
    // SAFETY: H2.
    unsafe { at::<_, RawRwMutex>(m, "zk_rwmutex_runlock: no lock") }.runlock();
}

/// Unlocks m, waits for a signal in the order of arrival, and locks m again, whatever the result. `[any]`
///
/// Never wakes up without a signal. On ZK_ETIMEDOUT and ZK_ECANCELED no signal was used up.
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_cond_wait(c: *mut zk_cond, m: *mut zk_mutex, deadline: zk_time) -> c_int {
    // SAFETY: H2.
    let (cond, mutex) = unsafe { (find::<_, RawCond>(c), find::<_, RawMutex>(m)) };
    let (Some(cond), Some(mutex)) = (cond, mutex) else { return code(Error::Invalid) };
    raw::happens_before(m.cast_const().cast());
    let rc = status(waiting(deadline, |d| cond.wait(mutex, d)));
    raw::happens_after(m.cast_const().cast()); // the mutex is locked again, whatever the result
    tell(c.cast_const().cast(), rc)
}

/// Wakes the one that has waited longest, if anybody waits; m need not be held. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_cond_signal(c: *mut zk_cond) {
    raw::happens_before(c.cast_const().cast());
    // SAFETY: H2.
    unsafe { at::<_, RawCond>(c, "zk_cond_signal: no condition") }.signal();
}

/// Wakes all that wait now; m need not be held. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_cond_broadcast(c: *mut zk_cond) {
    raw::happens_before(c.cast_const().cast());
    // SAFETY: H2.
    unsafe { at::<_, RawCond>(c, "zk_cond_broadcast: no condition") }.broadcast();
}

unsafe extern "C-unwind" fn once_end(once: *mut c_void) {
    raw::happens_before(once.cast_const().cast());
    // SAFETY: `zk_once_do` passes the once it has found.
    unsafe { &*once.cast::<RawOnce>() }.finish();
}

/// Runs fn(arg) the first time; others wait, without deadline, for fn to end. `[any]`
///
/// A panic or zk_goexit in fn counts as its end. NULL ends the process.
///
/// # Safety
/// H2; `fn` may be called with `arg`.
#[no_mangle]
pub unsafe extern "C-unwind" fn zk_once_do(o: *mut zk_once, r#fn: zk_fn, arg: *mut c_void) {
    let Some(f) = r#fn else { misuse("zk_once_do: no function") };
    // SAFETY: H2.
    let once = unsafe { at::<_, RawOnce>(o, "zk_once_do: no once") };
    if !once.begin() {
        raw::happens_after(o.cast_const().cast());
        return;
    }
    // The end is deferred: it is due however `f` ends. A scope takes it on a plain thread as well; it is closed here, or by the
    // exception of C++ that passes through.
    struct Scope([u64; 2]);
    impl Drop for Scope {
        fn drop(&mut self) {
            raw::scope_end(&mut self.0);
        }
    }
    let _scope = Scope(raw::scope_begin());
    if raw::defer(once_end, o.cast()).is_err() {
        misuse("zk_once_do: nothing can be deferred inside a scope");
    }
    // SAFETY: the caller's word.
    unsafe { f(arg) }
}

/// Takes n of the semaphore's tokens, all at once, in order of arrival. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_sem_acquire(s: *mut zk_sem, n: u32, deadline: zk_time) -> c_int {
    // SAFETY: H2.
    let Some(sem) = (unsafe { find::<_, RawSem>(s) }) else { return code(Error::Invalid) };
    tell(s.cast_const().cast(), status(waiting(deadline, |d| sem.acquire(n, d))))
}

/// Puts n tokens back. More than 2^63 - 1 end the process. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_sem_release(s: *mut zk_sem, n: u32) {
    raw::happens_before(s.cast_const().cast());
    // SAFETY: H2.
    if unsafe { at::<_, RawSem>(s, "zk_sem_release: no semaphore") }.release(n).is_err() {
        misuse("zk_sem_release: too many tokens");
    }
}
