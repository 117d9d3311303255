//! Goroutines.
//!
//! Where it sits: above `runtime`; `sync` and `blocking` use [`start`].

use std::borrow::Cow;
use std::ffi::{c_char, c_int, c_void, CStr};
use std::mem::size_of;
use std::ptr;

use zokor::raw::{self, Error, GoOpts, Mobility};

use crate::ctx;
use crate::defer::copy;
use crate::handle::zk_ctx;
use crate::result::{code, misuse};
use crate::runtime::{self, zk_fn};
use crate::sized::{self, sized};

/// The most that zk_go_copy copies.
const MAX_COPY: usize = 4096;

const PINNED: u32 = 1;
const EXCLUSIVE: u32 = 2;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct zk_go_opts {
    /// = sizeof(zk_go_opts)
    pub size: usize,
    /// copied; shown in dumps and traces
    pub name: *const c_char,
    /// 0: the runtime's default
    pub stack_size: usize,
    /// ZK_GO_*
    pub flags: u32,
    /// NULL: unbound; else referenced until the end
    pub ctx: *mut zk_ctx,
    /// runs last, also after a panic; gets arg
    pub on_exit: zk_fn,
}

sized!(zk_go_opts: name, stack_size, flags, ctx, on_exit);

const DEFAULTS: zk_go_opts = zk_go_opts {
    size: size_of::<zk_go_opts>(),
    name: ptr::null(),
    stack_size: 0,
    flags: 0,
    ctx: ptr::null_mut(),
    on_exit: None,
};

/// Starts a goroutine of a C program: migrating unless `opts` says otherwise.
///
/// # Safety
/// `f` and `opts.on_exit` may be called with `arg`, once, from any thread.
pub(crate) unsafe fn start(opts: &GoOpts<'_>, f: raw::CFn, arg: *mut c_void) -> c_int {
    runtime::ready();
    // SAFETY: the caller's word.
    unsafe { raw::go_c(opts, f, arg) }.map_or_else(code, |_id| 0)
}

/// What a goroutine gets when nobody asks for anything else.
pub(crate) fn plain() -> GoOpts<'static> {
    GoOpts { mobility: Mobility::Migrating, ..GoOpts::default() }
}

/// Starts fn(arg). `arg` is not copied and must stay valid for fn. `[any]`
///
/// # Safety
/// `fn` may be called with `arg` from any thread.
#[no_mangle]
pub unsafe extern "C" fn zk_go(r#fn: zk_fn, arg: *mut c_void) -> c_int {
    let Some(f) = r#fn else { return code(Error::Invalid) };
    runtime::ready();
    // SAFETY: the caller's word.
    unsafe { raw::go_c_plain(f, arg) }.map_or_else(code, |_id| 0)
}

/// Starts fn(copy): `size` bytes at `args` are copied first, so `args` may be a temporary. size <= 4096. `[any]`
///
/// # Safety
/// H2; `fn` may be called with a copy of `*args` from any thread.
#[no_mangle]
pub unsafe extern "C" fn zk_go_copy(r#fn: zk_fn, args: *const c_void, size: usize) -> c_int {
    let Some(f) = r#fn else { return code(Error::Invalid) };
    if size > MAX_COPY || (args.is_null() && size > 0) {
        return code(Error::Invalid);
    }
    runtime::ready();
    let args = if size == 0 { ptr::NonNull::dangling().as_ptr() } else { args.cast::<u8>() };
    // SAFETY: the caller's word; a dangling pointer is read for no byte.
    unsafe { raw::go_c_copy(f, args, size) }.map_or_else(code, |_id| 0)
}

/// Starts fn(arg) with options. `[any]`
///
/// ZK_EINVAL: unknown flags, a stack size below 16 KiB or above the largest slot.
///
/// # Safety
/// H2; `fn` and `on_exit` may be called with `arg` from any thread.
#[no_mangle]
pub unsafe extern "C" fn zk_go_with(opts: *const zk_go_opts, r#fn: zk_fn, arg: *mut c_void) -> c_int {
    // SAFETY: H2.
    let opts = match unsafe { sized::read(opts, DEFAULTS) } {
        Ok(opts) => opts,
        Err(e) => return code(e),
    };
    let Some(f) = r#fn else { return code(Error::Invalid) };
    if opts.flags & !(PINNED | EXCLUSIVE) != 0 {
        return code(Error::Invalid);
    }
    // SAFETY: H1.
    let Ok(ctx) = (unsafe { ctx::optional(opts.ctx) }) else { return code(Error::Invalid) };
    // SAFETY: H2: a string for the length of the call.
    let name = (!opts.name.is_null()).then(|| unsafe { CStr::from_ptr(opts.name) }.to_string_lossy());
    let opts = GoOpts {
        name: name.as_ref().map(Cow::as_ref),
        stack_size: opts.stack_size,
        mobility: if opts.flags & PINNED == 0 { Mobility::Migrating } else { Mobility::Pinned },
        exclusive: opts.flags & EXCLUSIVE != 0,
        on_exit: opts.on_exit,
        ctx: ctx.as_ref(),
        ..GoOpts::default()
    };
    // SAFETY: the caller's word.
    unsafe { start(&opts, f, arg) }
}

/// Lets others run; outside a goroutine the OS thread yields. `[any]`
#[no_mangle]
pub extern "C" fn zk_yield() {
    raw::yield_now();
}

/// Gives this goroutine an OS thread to itself from here on; nests. `[go]`
#[no_mangle]
pub extern "C" fn zk_lock_thread() {
    if !raw::on_goroutine() {
        misuse("zk_lock_thread outside a goroutine");
    }
    raw::lock_thread();
}

/// Takes one zk_lock_thread back. A goroutine that ends while locked ends the thread. `[go]`
#[no_mangle]
pub extern "C" fn zk_unlock_thread() {
    if !raw::on_goroutine() {
        misuse("zk_unlock_thread outside a goroutine");
    }
    raw::unlock_thread();
}

/// Sets a label of the goroutine that calls, a note of what it works for; value NULL takes it away. Both are copied. `[go]`
///
/// Goroutines it starts from then on begin with its labels; dumps and reports show them. ZK_EINVAL: no key. ZK_EPERM: outside a
/// goroutine.
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_label_set(key: *const c_char, value: *const c_char) -> c_int {
    if key.is_null() {
        return code(Error::Invalid);
    }
    // SAFETY: H2: strings for the length of the call.
    let set = unsafe {
        let value = (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy());
        raw::set_label(&CStr::from_ptr(key).to_string_lossy(), value.as_deref())
    };
    if set {
        0
    } else {
        code(Error::Perm)
    }
}

/// 1: the goroutine that calls has the label, and `value` (may be NULL) gets its text, cut off to `size` bytes with the NUL.
/// 0: it has not. `[any]`
///
/// ZK_EINVAL: no key.
///
/// # Safety
/// H2; `value` is NULL or has room for `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn zk_label_get(key: *const c_char, value: *mut c_char, size: usize) -> c_int {
    if key.is_null() {
        return code(Error::Invalid);
    }
    // SAFETY: H2: a string for the length of the call.
    let found = raw::label(&unsafe { CStr::from_ptr(key) }.to_string_lossy());
    // SAFETY: by the caller.
    unsafe { copy(found.as_deref().unwrap_or(""), value, size) };
    c_int::from(found.is_some())
}

/// The number of the goroutine that calls; 0 outside goroutines. `[any]`
#[no_mangle]
pub extern "C" fn zk_goid() -> u64 {
    raw::goid()
}

/// Ends the goroutine that calls. `[go]`
///
/// cbindgen:postfix=ZK_NORETURN
#[no_mangle]
pub extern "C-unwind" fn zk_goexit() {
    if !raw::on_goroutine() {
        misuse("zk_goexit outside a goroutine");
    }
    raw::goexit()
}
