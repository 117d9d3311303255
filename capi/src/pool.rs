//! Caches of equal objects.
//!
//! Where it sits: above `handle` and the engine's pool.

use std::ffi::c_void;
use std::ptr;

use zokor::raw;
use zokor::sync::Pool;

use crate::handle::{self, zk_pool};
use crate::result::misuse;

type Make = Option<unsafe extern "C-unwind" fn(user: *mut c_void) -> *mut c_void>;
type Drop_ = Option<unsafe extern "C-unwind" fn(obj: *mut c_void, user: *mut c_void)>;

/// An object that lies in a pool.
struct Idle {
    object: *mut c_void,
    drop: Drop_,
    user: *mut c_void,
}

// SAFETY: the header says that objects may be dropped, and got again, anywhere.
unsafe impl Send for Idle {}

impl Drop for Idle {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            raw::happens_after(self.object.cast());
            // SAFETY: the word of `zk_pool_new`'s caller.
            unsafe { drop(self.object, self.user) };
        }
    }
}

/// What a handle of a pool stands for.
pub(crate) struct PoolObject {
    idle: Pool<Idle>,
    make: Make,
    drop: Drop_,
    user: *mut c_void,
}

impl Drop for PoolObject {
    /// When the hook panics, all objects go to it nevertheless: what the first panic says is raised by who gives the pool back.
    fn drop(&mut self) {
        // SAFETY: each object has left the pool when it is dropped, and owns nothing but what its hook was to end.
        unsafe { raw::drain(|| self.idle.pooled().is_some()) };
    }
}

// SAFETY: the functions may be called anywhere with `user`, as the header asks.
unsafe impl Send for PoolObject {}
// SAFETY: as above.
unsafe impl Sync for PoolObject {}

/// A cache of equal objects; the library may drop idle ones at any time. `[any]`
///
/// make (may be NULL) makes one when there is none, and may return NULL; drop (may be NULL) gets those that are not needed.
///
/// cbindgen:postfix=ZK_OWNED
///
/// # Safety
/// Both functions may be called with `user` from any thread.
#[no_mangle]
pub unsafe extern "C" fn zk_pool_new(
    make: Option<unsafe extern "C-unwind" fn(user: *mut c_void) -> *mut c_void>,
    drop: Option<unsafe extern "C-unwind" fn(obj: *mut c_void, user: *mut c_void)>,
    user: *mut c_void,
) -> *mut zk_pool {
    // Objects are made by `zk_pool_get`, for whoever asks: the engine's pool holds idle ones only.
    let idle = Pool::new(|| Idle { object: ptr::null_mut(), drop: None, user: ptr::null_mut() });
    handle::into_c(PoolObject { idle, make, drop, user })
}

/// An object that was put back, else a new one; never waits. NULL: no pool, or make gave none. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C-unwind" fn zk_pool_get(p: *mut zk_pool) -> *mut c_void {
    // SAFETY: H1.
    let Some(pool) = (unsafe { handle::borrow(p) }) else { return ptr::null_mut() };
    if let Some(mut idle) = pool.idle.pooled() {
        idle.drop = None; // it is the caller's now
        raw::happens_after(idle.object.cast()); // HB-10
        return idle.object;
    }
    // SAFETY: the word of `zk_pool_new`'s caller.
    pool.make.map_or(ptr::null_mut(), |make| unsafe { make(pool.user) })
}

/// Gives an object to whoever gets the next one; NULL does nothing. Without a pool the process ends: the object would be
/// lost. `[any]`
///
/// # Safety
/// H1; `obj` is not used again.
#[no_mangle]
pub unsafe extern "C" fn zk_pool_put(p: *mut zk_pool, obj: *mut c_void) {
    if obj.is_null() {
        return;
    }
    // SAFETY: H1.
    let Some(pool) = (unsafe { handle::borrow(p) }) else { misuse("zk_pool_put: no pool") };
    raw::happens_before(obj.cast()); // HB-10
    pool.idle.put(Idle { object: obj, drop: pool.drop, user: pool.user });
}

/// Gives the pool back; its idle objects go to drop. `[any]`
///
/// If drop panics, or calls zk_goexit, all the same each object gets its turn; then the pool is freed, and the first panic, or the exit, goes on from here.
/// What a call of drop defers runs when it returns.
///
/// # Safety
/// H1; the reference is not used again.
#[no_mangle]
pub unsafe extern "C" fn zk_pool_unref(p: *mut zk_pool) {
    // SAFETY: H1 and the caller's word. Nothing of this frame is left when a panic goes on.
    unsafe {
        handle::release(p);
        raw::raise_kept();
    }
}
