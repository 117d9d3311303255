//! Contexts: when to stop, and values that go along.
//!
//! Where it sits: above `handle` and `time`; `go` and `group` bind goroutines to what is made here.
//!
//! # State
//! A node keeps this face's part in its own memory ([`Face`]): the block that C's pointer shows to, and the handle of its
//! `done` channel once somebody has asked for it. So a node has one handle, and a borrowed one lives as long as the node.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::{Arc, OnceLock};

use zokor::raw::{self, Cause, Ctx, End, Error, Value};

use crate::handle::{self, zk_chan, zk_ctx, zk_timer, Block, Lent, Node, TimerObject};
use crate::result::code;
use crate::runtime::{self, zk_fn};
use crate::time::zk_time;

/// What a node keeps for C.
struct Face {
    block: Block<Node>,
    done: OnceLock<Lent>,
}

fn face(ctx: &Ctx) -> Option<&Face> {
    ctx.face(|| Face { block: Block::new::<zk_ctx>(Node(ctx)), done: OnceLock::new() })
}

/// The handle of a node, borrowed from it.
pub(crate) fn lend(ctx: &Ctx) -> *mut zk_ctx {
    face(ctx).map_or(ptr::null_mut(), |face| ptr::from_ref(&face.block).cast_mut().cast())
}

/// The handle of a node, with the reference.
fn give(ctx: Arc<Ctx>) -> *mut zk_ctx {
    let handle = lend(&ctx);
    if !handle.is_null() {
        // The reference is C's now; `zk_ctx_unref` takes it back.
        let _ = Arc::into_raw(ctx);
    }
    handle
}

/// The node behind a handle.
///
/// # Safety
/// H1; the reference is not given back during `'a`.
unsafe fn borrow<'a>(x: *const zk_ctx) -> Option<&'a Ctx> {
    // SAFETY: H1; the block is part of its node, so the node lives.
    unsafe { handle::borrow(x) }.map(|node| unsafe { &*node.0 })
}

/// A reference to the node behind a handle; NULL is no node.
///
/// # Safety
/// H1.
pub(crate) unsafe fn optional(x: *const zk_ctx) -> Result<Option<Arc<Ctx>>, Error> {
    if x.is_null() {
        return Ok(None);
    }
    // SAFETY: H1.
    let ctx = unsafe { borrow(x) }.ok_or(Error::Invalid)?;
    // SAFETY: every node is the inside of an `Arc` that C's reference keeps alive.
    Ok(Some(unsafe {
        Arc::increment_strong_count(ctx);
        Arc::from_raw(ctx)
    }))
}

/// A value that C has put into a context.
struct Carried {
    value: *mut c_void,
    drop: zk_fn,
}

// SAFETY: the header says that `drop` may run anywhere; the value is the caller's to share.
unsafe impl Send for Carried {}
// SAFETY: as above.
unsafe impl Sync for Carried {}

impl Drop for Carried {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: the word of `zk_ctx_with_value`'s caller.
            unsafe { drop(self.value) };
        }
    }
}

/// A context that ends with its parent, by zk_ctx_cancel, or at `deadline`, whichever comes first. parent NULL: a root.
/// `[any]`
///
/// A deadline in the past: it has ended, with ZK_ETIMEDOUT. NULL: no memory, or `parent` is none.
///
/// cbindgen:postfix=ZK_OWNED
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_ctx_new(parent: *mut zk_ctx, deadline: zk_time) -> *mut zk_ctx {
    // SAFETY: H1.
    let Ok(parent) = (unsafe { optional(parent) }) else { return ptr::null_mut() };
    if deadline != raw::FOREVER {
        runtime::ready();
    }
    give(Ctx::new(parent, deadline))
}

/// The same without a deadline of its own, and with a value for `key`, which is compared as an address. `[any]`
///
/// `drop` (may be NULL) gets the value when the context goes, in whichever goroutine or thread lets go of it last. On NULL
/// the value is still the caller's.
///
/// cbindgen:postfix=ZK_OWNED
///
/// # Safety
/// H1; `drop` may be called with `value` from any thread.
#[no_mangle]
pub unsafe extern "C" fn zk_ctx_with_value(
    parent: *mut zk_ctx,
    key: *const c_void,
    value: *mut c_void,
    drop: zk_fn,
) -> *mut zk_ctx {
    // SAFETY: H1.
    let Ok(parent) = (unsafe { optional(parent) }) else { return ptr::null_mut() };
    if key.is_null() {
        return ptr::null_mut();
    }
    let value = Value { key: key.addr(), value: Box::new(Carried { value, drop }) };
    give(Ctx::with_value(parent, value))
}

/// One more reference; returns x. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_ctx_ref(x: *mut zk_ctx) -> *mut zk_ctx {
    // SAFETY: H1.
    match unsafe { borrow(x) } {
        Some(ctx) => {
            // SAFETY: every node is the inside of an `Arc` that C's reference keeps alive.
            unsafe { Arc::increment_strong_count(ctx) };
            x
        }
        None => ptr::null_mut(),
    }
}

/// Gives a reference back; does not cancel. `[any]`
///
/// # Safety
/// H1; the reference is not used again.
#[no_mangle]
pub unsafe extern "C" fn zk_ctx_unref(x: *mut zk_ctx) {
    // SAFETY: H1.
    if let Some(node) = unsafe { handle::borrow(x) } {
        let ctx = node.0;
        // SAFETY: the reference is the caller's to give; the block goes with the node, and is not used any more.
        unsafe { Arc::decrement_strong_count(ctx) };
    }
}

/// Its parent's values, not its end: a context for what has to go on. NULL: `parent` is none. `[any]`
///
/// cbindgen:postfix=ZK_OWNED
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_ctx_detach(parent: *mut zk_ctx) -> *mut zk_ctx {
    // SAFETY: H1.
    match unsafe { optional(parent) } {
        Ok(Some(parent)) => give(Ctx::detached(parent)),
        _ => ptr::null_mut(),
    }
}

/// Ends x and all below it, before it returns; idempotent. cause 0: ZK_ECANCELED. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_ctx_cancel(x: *mut zk_ctx, cause: c_int) {
    // SAFETY: H1.
    if let Some(ctx) = unsafe { borrow(x) } {
        raw::happens_before(ptr::from_ref(ctx).cast());
        ctx.cancel(if cause == 0 { Cause::None } else { Cause::Code(cause) });
    }
}

/// The number that a cause is to C.
pub(crate) fn number(cause: &Cause, end: End) -> c_int {
    match (cause, end) {
        (Cause::Code(n), _) => *n,
        (_, End::Canceled) => code(Error::Cancelled),
        (_, End::DeadlineExceeded) => code(Error::TimedOut),
    }
}

/// 0 while live, else the cause; what a bound call returns is ZK_ECANCELED or ZK_ETIMEDOUT whatever the cause. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_ctx_err(x: *const zk_ctx) -> c_int {
    // SAFETY: H1.
    let Some(ctx) = (unsafe { borrow(x) }) else { return code(Error::Invalid) };
    ctx.err().map_or(0, |end| {
        raw::happens_after(ptr::from_ref(ctx).cast());
        number(&ctx.cause(), end)
    })
}

/// A channel that is closed when x ends, borrowed; nobody else closes it or sends on it (ZK_EPERM). NULL: no memory. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_ctx_done(x: *mut zk_ctx) -> *mut zk_chan {
    // SAFETY: H1.
    let Some(ctx) = (unsafe { borrow(x) }) else { return ptr::null_mut() };
    let (Some(face), Ok(done)) = (face(ctx), ctx.done()) else { return ptr::null_mut() };
    face.done.get_or_init(|| Lent::new(Some(&done))).get()
}

/// When x ends at the latest; ZK_FOREVER: no deadline. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_ctx_deadline(x: *const zk_ctx) -> zk_time {
    // SAFETY: H1.
    unsafe { borrow(x) }.map_or(raw::FOREVER, Ctx::deadline)
}

/// The innermost value for `key`; NULL without one. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_ctx_value(x: *const zk_ctx, key: *const c_void) -> *mut c_void {
    // SAFETY: H1.
    let found = unsafe { borrow(x) }.and_then(|ctx| ctx.value(key.addr()));
    found.and_then(|value| value.downcast_ref::<Carried>()).map_or(ptr::null_mut(), |carried| carried.value)
}

/// Runs fn(arg) in a new goroutine once x is done; returns a handle for zk_timer_stop and zk_timer_unref, which take it back.
/// `[any]`
///
/// cbindgen:postfix=ZK_OWNED
///
/// # Safety
/// H1; `fn` may be called with `arg` from any thread until it was taken back.
#[no_mangle]
pub unsafe extern "C" fn zk_ctx_after(x: *mut zk_ctx, r#fn: zk_fn, arg: *mut c_void) -> *mut zk_timer {
    // SAFETY: H1.
    let (Ok(Some(ctx)), Some(f)) = (unsafe { optional(x) }, r#fn) else { return ptr::null_mut() };
    runtime::ready();
    // SAFETY: the caller's word.
    let hook = unsafe { ctx.after(f, arg) };
    handle::into_c(TimerObject::After(ctx, hook))
}

/// The context that the goroutine which calls was started with, borrowed; NULL when unbound. `[any]`
#[no_mangle]
pub extern "C" fn zk_goctx() -> *mut zk_ctx {
    // The goroutine keeps its own reference until it ends.
    raw::goctx().map_or(ptr::null_mut(), |ctx| lend(&ctx))
}
