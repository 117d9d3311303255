//! Goroutines that finish together.
//!
//! Where it sits: above `ctx` and `go`.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::Arc;

use zokor::raw::{self, Cause, End, Error, GoOpts, RawGroup};

use crate::ctx;
use crate::go;
use crate::handle::{self, zk_ctx, zk_group};
use crate::result::{code, waiting};
use crate::runtime::{self, zk_int_fn};
use crate::time::zk_time;

/// A group whose context is a child of `parent` (NULL: a root); at most `limit` members run at once (0: any number). `[any]`
///
/// The first non-zero result cancels the group's context with that cause (the rest see ZK_ECANCELED) and is what wait
/// returns. NULL: `parent` is no context.
///
/// cbindgen:postfix=ZK_OWNED
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_group_new(parent: *mut zk_ctx, limit: u32) -> *mut zk_group {
    // SAFETY: H1.
    match unsafe { ctx::optional(parent) } {
        Ok(parent) => handle::into_c(RawGroup::new(parent, limit.into())),
        Err(_) => ptr::null_mut(),
    }
}

/// The context its members are bound to, borrowed. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_group_ctx(g: *mut zk_group) -> *mut zk_ctx {
    // SAFETY: H1.
    unsafe { handle::borrow(g) }.map_or(ptr::null_mut(), |group| ctx::lend(group.ctx()))
}

/// What a goroutine of a group carries.
struct Member {
    group: Arc<RawGroup>,
    f: unsafe extern "C-unwind" fn(*mut c_void) -> c_int,
    arg: *mut c_void,
    /// Written by the member before its last act, which reads it: what `f` returned. Until then what counts if it does not return.
    result: AtomicI32,
}

/// The result of a member whose function does not return: by a panic that the hook let pass, unless it is by zk_goexit. A
/// function that returns this number has failed as well.
const PANICKED: c_int = -5011;

unsafe extern "C-unwind" fn member_main(member: *mut c_void) {
    // SAFETY: `zk_group_go_until` passes a `Member`, which `member_exit` frees after this has ended.
    let member = unsafe { &*member.cast::<Member>() };
    // SAFETY: the word of the caller of `zk_group_go_until`.
    let result = unsafe { (member.f)(member.arg) };
    member.result.store(result, Ordering::Relaxed);
}

/// Runs last in the goroutine, also after a panic or goexit.
unsafe extern "C-unwind" fn member_exit(member: *mut c_void) {
    // SAFETY: the box that `zk_group_go_until` gave up; nobody uses it after this.
    let member = unsafe { Box::from_raw(member.cast::<Member>()) };
    let result = match member.result.load(Ordering::Relaxed) {
        PANICKED if raw::exiting() => 0,
        result => result,
    };
    member.group.leave((result != 0).then_some(Cause::Code(result)));
}

/// Starts fn(arg) as a member, bound to the group's context; waits while the group is at its limit. `[any]`
///
/// # Safety
/// H1; `fn` may be called with `arg` from any thread.
#[no_mangle]
pub unsafe extern "C" fn zk_group_go(g: *mut zk_group, r#fn: zk_int_fn, arg: *mut c_void) -> c_int {
    // SAFETY: the caller's word.
    unsafe { zk_group_go_until(g, r#fn, arg, raw::FOREVER) }
}

/// The same with a deadline for that wait. On an error fn does not run. `[any]`
///
/// # Safety
/// As for `zk_group_go`.
#[no_mangle]
pub unsafe extern "C" fn zk_group_go_until(
    g: *mut zk_group,
    r#fn: zk_int_fn,
    arg: *mut c_void,
    deadline: zk_time,
) -> c_int {
    // SAFETY: H1.
    let (Some(group), Some(f)) = (unsafe { handle::borrow(g) }, r#fn) else { return code(Error::Invalid) };
    runtime::ready();
    let group = Arc::clone(group);
    if let Err(e) = waiting(deadline, |d| group.enter(d)) {
        return code(e);
    }
    let member = Box::new(Member { group: Arc::clone(&group), f, arg, result: AtomicI32::new(PANICKED) });
    let member = Box::into_raw(member).cast();
    let opts = GoOpts { on_exit: Some(member_exit), ctx: Some(group.ctx()), ..go::plain() };
    // SAFETY: the two functions are made for this pointer.
    let rc = unsafe { go::start(&opts, member_main, member) };
    if rc < 0 {
        // SAFETY: no goroutine has it: the box and the place are still ours.
        let member = unsafe { Box::from_raw(member.cast::<Member>()) };
        member.group.leave(None);
    }
    rc
}

/// Waits for all members, then ends the group's context. The first non-zero result of a member, else 0. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_group_wait(g: *mut zk_group) -> c_int {
    // SAFETY: H1.
    unsafe { zk_group_wait_until(g, raw::FOREVER) }
}

/// The same with a deadline: ZK_ETIMEDOUT or ZK_EAGAIN when members are left. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_group_wait_until(g: *mut zk_group, deadline: zk_time) -> c_int {
    // SAFETY: H1.
    let Some(group) = (unsafe { handle::borrow(g) }) else { return code(Error::Invalid) };
    let mut first = None;
    let waited = waiting(deadline, |d| {
        first = group.wait(d)?;
        Ok(())
    });
    match (waited, first) {
        (Ok(()), None) => 0,
        (Ok(()), Some(cause)) => ctx::number(&cause, End::Canceled),
        (Err(e), _) => code(e),
    }
}

/// All non-zero results so far, in the order in which the members ended: copies the first n to results (NULL: none). Returns
/// how many there are. `[any]`
///
/// A member whose function panicked, where zk_config.on_panic let the rest go on, counts as ZK_EPANIC; one that called
/// zk_goexit as 0. Complete once wait has returned a member's result or 0.
///
/// # Safety
/// H1; `results` is null or has room for `n` numbers.
#[no_mangle]
pub unsafe extern "C" fn zk_group_errors(g: *mut zk_group, results: *mut c_int, n: usize) -> usize {
    // SAFETY: H1.
    let Some(group) = (unsafe { handle::borrow(g) }) else { return 0 };
    group.failures(|all| {
        if !results.is_null() {
            for (i, cause) in all.iter().take(n).enumerate() {
                // SAFETY: the caller's word.
                unsafe { results.add(i).write(ctx::number(cause, End::Canceled)) };
            }
        }
        all.len()
    })
}

/// Cancels the group's context, waits for its members whatever the caller is bound to, and gives the group back. `[any]`
///
/// # Safety
/// H1; the reference is not used again.
#[no_mangle]
pub unsafe extern "C" fn zk_group_unref(g: *mut zk_group) {
    // SAFETY: H1.
    if let Some(group) = unsafe { handle::borrow(g) } {
        group.ctx().cancel(Cause::None);
        // After a shutdown, and in a forked child, no member runs any more.
        if !raw::is_down() {
            group.wait_forever();
        }
    }
    // SAFETY: H1 and the caller's word.
    unsafe { handle::release(g) };
}
