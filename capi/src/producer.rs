//! Handles of those who send: the last one that is dropped closes the channel.
//!
//! Where it sits: above `chan`. The count is the channel's own; a handle is one of those counted, and a reference to the channel.

use std::ffi::{c_int, c_void};
use std::ptr;

use crate::chan::zk_chan_send;
use crate::handle::{self, zk_chan, zk_producer, Lent};
use crate::result::code;
use crate::time::zk_time;
use zokor::raw::{self, Error};

/// One of the counted producers of a channel.
pub(crate) struct Producer {
    /// Counted since this was made.
    chan: Lent,
}

impl Drop for Producer {
    fn drop(&mut self) {
        // SAFETY: the reference that `chan` holds.
        if let Some(chan) = unsafe { handle::borrow(self.chan.get()) } {
            chan.drop_producer();
        }
    }
}

/// A handle for somebody who sends on `c`; holds a reference to it. `[any]`
///
/// A channel that has had producers is closed when the last of them is dropped: receivers drain it and get ZK_ECLOSED. Each
/// goroutine that sends has a handle of its own, made here or with zk_producer_dup, before the one it was made from is dropped.
/// NULL: no memory, no such channel, the channel of a timer, or it is closed (also by its last producer).
///
/// cbindgen:postfix=ZK_OWNED
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_producer_new(c: *mut zk_chan) -> *mut zk_producer {
    // SAFETY: H1.
    match unsafe { handle::borrow(c) } {
        // SAFETY: H1; just recognised.
        Some(chan) if chan.add_producer() => handle::into_c(Producer { chan: unsafe { Lent::share(c) } }),
        _ => ptr::null_mut(),
    }
}

/// Another handle to the same channel, also to a closed one. NULL: no memory, or p is visibly no handle. `[any]`
///
/// cbindgen:postfix=ZK_OWNED
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_producer_dup(p: *const zk_producer) -> *mut zk_producer {
    // SAFETY: H1, for both.
    unsafe {
        let Some(producer) = handle::borrow(p) else { return ptr::null_mut() };
        let c = producer.chan.get();
        match handle::borrow(c) {
            Some(chan) if chan.more_producers() => handle::into_c(Producer { chan: Lent::share(c) }),
            _ => ptr::null_mut(),
        }
    }
}

/// Drops a handle; the last one of a channel closes it. NULL is fine. `[any]`
///
/// ZK_EINVAL: p is visibly no handle, for one because it was dropped before. That is found as long as its memory is not used again;
/// nothing has happened then. It may hold the last reference to the channel: see zk_chan_unref.
///
/// # Safety
/// H1; p is not used again.
#[no_mangle]
pub unsafe extern "C" fn zk_producer_drop(p: *mut zk_producer) -> c_int {
    // SAFETY: H1 and the caller's word.
    if !p.is_null() && !unsafe { handle::surrender(p) } {
        return code(Error::Invalid);
    }
    // SAFETY: nothing of this frame is left when a panic goes on.
    unsafe { raw::raise_kept() };
    0
}

/// As zk_chan_send on the channel of p. `[any]`
///
/// # Safety
/// H1, H2.
#[no_mangle]
pub unsafe extern "C" fn zk_producer_send(
    p: *const zk_producer,
    elem: *const c_void,
    size: usize,
    deadline: zk_time,
) -> c_int {
    // SAFETY: H1, H2.
    unsafe { zk_chan_send(zk_producer_chan(p), elem, size, deadline) }
}

/// The channel of p, for a select; borrowed: valid until p is dropped. NULL: p is visibly no handle. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_producer_chan(p: *const zk_producer) -> *mut zk_chan {
    // SAFETY: H1.
    unsafe { handle::borrow(p) }.map_or(ptr::null_mut(), |producer| producer.chan.get())
}
