//! Defer, panic, recover.
//!
//! Where it sits: above `result` and the engine's list of deferred functions.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::ptr;
use std::str;

use zokor::raw::{self, Error};

use crate::result::code;
use crate::runtime::zk_fn;

#[repr(C)]
pub struct zk_scope {
    pub zk_priv: [u64; 2],
}

/// Opens a scope for zk_defer. `[any]`
#[no_mangle]
pub extern "C" fn zk_scope_begin() -> zk_scope {
    zk_scope { zk_priv: raw::scope_begin() }
}

/// Closes it: runs what was deferred in it, last first. NULL, or a scope that is closed already, is left alone. `[any]`
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C-unwind" fn zk_scope_end(s: *mut zk_scope) {
    // SAFETY: H2.
    if let Some(scope) = unsafe { s.as_mut() } {
        raw::scope_end(&mut scope.zk_priv);
    }
}

/// Runs fn(arg) at the end of the innermost scope, zk_try or goroutine, in reverse order; also when a panic passes through.
/// `[any]`
///
/// ZK_EPERM: on a plain thread outside any scope and zk_try, where nothing would run it.
///
/// # Safety
/// `fn` may be called with `arg` in this goroutine or thread.
#[no_mangle]
pub unsafe extern "C" fn zk_defer(r#fn: zk_fn, arg: *mut c_void) -> c_int {
    let Some(f) = r#fn else { return code(Error::Invalid) };
    raw::defer(f, arg).map_or_else(|_nowhere| code(Error::Perm), |()| 0)
}

/// Runs the pending defers on this stack, then jumps (like longjmp: C++ and Rust frames must not lie between) to the
/// innermost zk_try, or ends in on_panic. On a plain thread outside zk_try the process ends. `[any]`
///
/// cbindgen:postfix=ZK_NORETURN
///
/// # Safety
/// H2; no frame that is jumped over has anything to clean up.
#[no_mangle]
pub unsafe extern "C-unwind" fn zk_panic(msg: *const c_char) {
    if msg.is_null() {
        // SAFETY: the caller's word.
        unsafe { raw::panic("(no message)") }
    }
    // SAFETY: H2: a string.
    let bytes = unsafe { CStr::from_ptr(msg) }.to_bytes();
    // Nothing here may own memory: the frame is left behind.
    let mut room = [0; MANGLED];
    let text = str::from_utf8(bytes).unwrap_or_else(|_| ascii(bytes, &mut room));
    // SAFETY: the caller's word.
    unsafe { raw::panic(text) }
}

/// So much of a message that is not UTF-8 is shown.
const MANGLED: usize = 256;

/// What can be read of `bytes` without knowing their encoding.
fn ascii<'a>(bytes: &[u8], room: &'a mut [u8; MANGLED]) -> &'a str {
    let n = bytes.len().min(MANGLED);
    for (to, &from) in room.iter_mut().zip(bytes) {
        *to = if from.is_ascii() { from } else { b'?' };
    }
    str::from_utf8(&room[..n]).unwrap_or_default()
}

/// Copies as much of `text` as fits, with a NUL.
///
/// # Safety
/// `to` is null or has room for `size` bytes.
pub(crate) unsafe fn copy(text: &str, to: *mut c_char, size: usize) {
    if to.is_null() || size == 0 {
        return;
    }
    let mut n = text.len().min(size - 1);
    while !text.is_char_boundary(n) {
        n -= 1;
    }
    // SAFETY: n bytes and the NUL fit.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), to.cast::<u8>(), n);
        to.add(n).write(0);
    }
}

/// Runs fn(arg). ZK_EPANIC if it panicked; msg (may be NULL) gets the text, cut off to msg_size bytes with the NUL. `[any]`
///
/// ZK_ENOTSUP: not on this CPU; fn was not run.
///
/// An exception of C++ is not stopped; what was deferred runs when it passes.
///
/// # Safety
/// H2; `fn` may be called with `arg`, and left by a jump.
#[no_mangle]
pub unsafe extern "C-unwind" fn zk_try(r#fn: zk_fn, arg: *mut c_void, msg: *mut c_char, msg_size: usize) -> c_int {
    let Some(f) = r#fn else { return code(Error::Invalid) };
    // SAFETY: the caller's word.
    match unsafe { raw::try_call(f, arg) } {
        Ok(()) => 0,
        Err(None) => code(Error::NotSup),
        Err(Some(text)) => {
            // SAFETY: H2.
            unsafe { copy(&text, msg, msg_size) };
            code(Error::Panic)
        }
    }
}
