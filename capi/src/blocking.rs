//! Code that blocks its OS thread.
//!
//! Where it sits: above `runtime`.

use std::ffi::{c_int, c_void};

use zokor::raw::{self, Error};

use crate::result::{code, misuse, status};
use crate::runtime::{self, zk_fn};

/// Runs fn(arg) on a helper thread while this goroutine waits. `[any]`
///
/// fn must not call blocking zokor functions: those that have a result give ZK_EPERM, unless with ZK_NOWAIT. Not
/// cancelable: it returns when fn does.
///
/// # Safety
/// `fn` may be called with `arg` from another thread.
#[no_mangle]
pub unsafe extern "C" fn zk_blocking(r#fn: zk_fn, arg: *mut c_void) -> c_int {
    let Some(f) = r#fn else { return code(Error::Invalid) };
    runtime::ready();
    // SAFETY: the caller's word.
    status(unsafe { raw::blocking_c(f, arg) })
}

/// Opens a bracket around code that blocks the OS thread: the worker's place is handed to others. `[go]`
#[no_mangle]
pub extern "C" fn zk_block_begin() {
    if !raw::on_goroutine() {
        misuse("zk_block_begin outside a goroutine");
    }
    raw::block_begin();
}

/// Closes the bracket; may wait for a place to run. `[go]`
#[no_mangle]
pub extern "C" fn zk_block_end() {
    if !raw::on_goroutine() {
        misuse("zk_block_end outside a goroutine");
    }
    raw::block_end();
}
