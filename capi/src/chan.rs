//! Channels of bytes.
//!
//! Where it sits: above `handle`; `select` and `timer` share its handles.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::mem::{self, size_of};
use std::ptr::{self, NonNull};

use zokor::raw::{self, ByteChan, ByteChanOpts, Error, Overflow, Policy, NOWAIT};

use crate::handle::{self, zk_chan};
use crate::result::{code, status};
use crate::sized::{self, sized};
use crate::time::zk_time;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct zk_chan_opts {
    /// = sizeof(zk_chan_opts)
    pub size: usize,
    pub elem_size: usize,
    /// 0: rendezvous
    pub capacity: usize,
    /// for elements whose send returned ZK_OK and that nobody received, or received as NULL, or that the policy dropped
    pub drop: Option<unsafe extern "C-unwind" fn(elem: *mut c_void, user: *mut c_void)>,
    pub user: *mut c_void,
    /// copied; shown in dumps
    pub name: *const c_char,
    /// ZK_CHAN_BLOCK or another: what becomes of an element for which there is no room
    pub policy: u32,
    /// 0
    pub reserved: u32,
}

sized!(zk_chan_opts: elem_size, capacity, drop, user, name, policy);

const DEFAULTS: zk_chan_opts = zk_chan_opts {
    size: size_of::<zk_chan_opts>(),
    elem_size: 0,
    capacity: 0,
    drop: None,
    user: ptr::null_mut(),
    name: ptr::null(),
    policy: BLOCK,
    reserved: 0,
};

const BLOCK: u32 = 0;
const UNBOUNDED: u32 = 1;
const DROP_OLDEST: u32 = 2;
const DROP_NEWEST: u32 = 3;
const LATEST: u32 = 4;

/// The engine's form of a policy, with the capacity it means. `None`: there is no such policy, or not with this capacity.
fn convert(policy: u32, capacity: usize) -> Option<(Option<Overflow>, usize)> {
    match policy {
        BLOCK => Some((None, capacity)),
        UNBOUNDED => Some((Some(Overflow::Refuse), capacity)),
        DROP_OLDEST => Some((Some(Overflow::DropOldest), capacity)),
        DROP_NEWEST => Some((Some(Overflow::DropNewest), capacity)),
        LATEST if capacity <= 1 => Some((Some(Overflow::DropOldest), 1)),
        _ => None,
    }
}

/// The element pointer for the engine: one that is never null for a send.
///
/// `MsgSize`: not the channel's size. `Invalid`: no element although it has bytes.
pub(crate) fn to_send(chan: &ByteChan, elem: *const c_void, size: usize) -> Result<*const u8, Error> {
    match size {
        _ if size != chan.elem_size() => Err(Error::MsgSize),
        0 => Ok(NonNull::dangling().as_ptr()),
        _ if elem.is_null() => Err(Error::Invalid),
        _ => Ok(elem.cast()),
    }
}

/// The slot for the engine: null discards, whatever `size` says.
pub(crate) fn to_fill(chan: &ByteChan, elem: *mut c_void, size: usize) -> Result<*mut u8, Error> {
    if !elem.is_null() && size != chan.elem_size() {
        return Err(Error::MsgSize);
    }
    Ok(elem.cast())
}

/// A channel of elements of `elem_size` bytes; capacity 0 is a rendezvous. NULL: no memory, or a size beyond reason.
/// `[any]`
///
/// cbindgen:postfix=ZK_OWNED
#[no_mangle]
pub extern "C" fn zk_chan_new(elem_size: usize, capacity: usize) -> *mut zk_chan {
    let opts = zk_chan_opts { elem_size, capacity, ..DEFAULTS };
    // SAFETY: a whole struct of ours.
    unsafe { zk_chan_new_with(&opts) }
}

/// A channel with options. NULL: as above, or the options are not understood. `[any]`
///
/// `drop` runs in whichever goroutine or thread gives the element up, and never while the channel is locked. An element that the
/// policy drops is given up by the one who sends, before the call that sends returns.
///
/// cbindgen:postfix=ZK_OWNED
///
/// # Safety
/// H2; `drop` may be called with each element that was sent, from any thread.
#[no_mangle]
pub unsafe extern "C" fn zk_chan_new_with(opts: *const zk_chan_opts) -> *mut zk_chan {
    // SAFETY: H2.
    let Ok(opts) = (unsafe { sized::read(opts, DEFAULTS) }) else { return ptr::null_mut() };
    let Some((overflow, capacity)) = convert(opts.policy, opts.capacity).filter(|_| opts.reserved == 0) else {
        return ptr::null_mut();
    };
    type CDrop = unsafe extern "C-unwind" fn(*mut c_void, *mut c_void);
    type RawDrop = unsafe extern "C-unwind" fn(*mut u8, *mut c_void);
    let made = ByteChan::new(ByteChanOpts {
        elem_size: opts.elem_size,
        capacity,
        overflow,
        // SAFETY: the two differ in what a thin data pointer points to, which no ABI sees.
        drop: opts.drop.map(|hook| unsafe { mem::transmute::<CDrop, RawDrop>(hook) }),
        user: opts.user,
        // SAFETY: H2: a string for the length of the call.
        name: (!opts.name.is_null()).then(|| unsafe { CStr::from_ptr(opts.name) }.to_string_lossy().into_owned()),
    });
    made.map_or(ptr::null_mut(), handle::into_c)
}

/// One more reference; returns c. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_chan_ref(c: *mut zk_chan) -> *mut zk_chan {
    // SAFETY: H1.
    if unsafe { handle::retain(c) } {
        c
    } else {
        ptr::null_mut()
    }
}

/// Gives a reference back; does not close. With the last one, elements that wait in the buffer go to `drop`. `[any]`
///
/// If `drop` panics, or calls zk_goexit, all the same each element gets its turn; then the channel is freed, and the first panic, or the exit, goes on from
/// here. What a call of `drop` defers runs when it returns.
///
/// # Safety
/// H1; the reference is not used again.
#[no_mangle]
pub unsafe extern "C" fn zk_chan_unref(c: *mut zk_chan) {
    // SAFETY: H1 and the caller's word. Nothing of this frame is left when a panic goes on.
    unsafe {
        handle::release(c);
        raw::raise_kept();
    }
}

/// Copies *elem in. `size` must equal the element size (ZK_EMSGSIZE). `[any]`
///
/// ZK_ECLOSED: the channel was closed, before or while waiting. ZK_ELIMIT: it is ZK_CHAN_UNBOUNDED and at its high-water mark
/// (ZK_EAGAIN with ZK_NOWAIT, as from every full channel). ZK_ENOMEM: its buffer cannot grow. On any error nothing was sent.
///
/// cbindgen:postfix=ZK_DIRECT
///
/// # Safety
/// H1, H2.
#[no_mangle]
pub unsafe extern "C" fn zk_chan_send(c: *mut zk_chan, elem: *const c_void, size: usize, deadline: zk_time) -> c_int {
    // SAFETY: H1.
    let Some(chan) = (unsafe { handle::borrow(c) }) else { return code(Error::Invalid) };
    match to_send(chan, elem, size) {
        // SAFETY: H2; `to_send` has compared the sizes.
        Ok(elem) => unsafe { chan.send_code(elem, deadline) },
        Err(e) => code(e),
    }
}

/// Copies an element out; elem = NULL (any size) discards it. `[any]`
///
/// Closed: drains the buffer first, then zeroes *elem and fails with ZK_ECLOSED. On any other error *elem is as before.
///
/// cbindgen:postfix=ZK_DIRECT
///
/// # Safety
/// H1, H2.
#[no_mangle]
pub unsafe extern "C" fn zk_chan_recv(c: *mut zk_chan, elem: *mut c_void, size: usize, deadline: zk_time) -> c_int {
    // SAFETY: H1, H2; `look` has compared the sizes when it has found something.
    unsafe {
        if deadline != NOWAIT {
            return recv_waiting(c, elem, size, deadline);
        }
        match look(c, elem, size) {
            Look::Nothing => code(Error::WouldBlock),
            Look::Something => recv_found(c, elem),
            Look::Refused => recv_refused(c, elem, size),
        }
    }
}

/// What a receive that does not wait sees first.
enum Look {
    Nothing,
    Something,
    Refused,
}

/// # Safety
/// H1.
#[inline(always)]
unsafe fn look(c: *mut zk_chan, elem: *mut c_void, size: usize) -> Look {
    // SAFETY: H1.
    match unsafe { handle::borrow(c) } {
        Some(chan) if to_fill(chan, elem, size).is_ok() => match chan.finds_nothing() {
            true => Look::Nothing,
            false => Look::Something,
        },
        _ => Look::Refused,
    }
}

// What is not a look at an empty channel is jumped to, with the arguments as they came: it needs registers, and to save them costs as much as the look.

/// What may wait.
///
/// # Safety
/// H1, H2.
#[inline(never)]
unsafe extern "C" fn recv_waiting(c: *mut zk_chan, elem: *mut c_void, size: usize, deadline: zk_time) -> c_int {
    // SAFETY: H1.
    let Some(chan) = (unsafe { handle::borrow(c) }) else { return code(Error::Invalid) };
    match to_fill(chan, elem, size) {
        // SAFETY: H2; the sizes have been compared.
        Ok(elem) => unsafe { chan.recv_code(elem, deadline) },
        Err(e) => code(e),
    }
}

/// There may be something, and it is to be had now.
///
/// # Safety
/// H1, H2; `look` has found a channel of this size.
#[cold]
#[inline(never)]
unsafe extern "C" fn recv_found(c: *mut zk_chan, elem: *mut c_void) -> c_int {
    // SAFETY: by the caller.
    unsafe { handle::borrow_again(c).recv_code(elem.cast(), NOWAIT) }
}

/// There is no channel, or it is of another size: says which.
///
/// # Safety
/// H1.
#[cold]
#[inline(never)]
unsafe extern "C" fn recv_refused(c: *mut zk_chan, elem: *mut c_void, size: usize) -> c_int {
    // SAFETY: H1.
    let chan = unsafe { handle::borrow(c) }.ok_or(Error::Invalid);
    status(chan.and_then(|chan| to_fill(chan, elem, size)).map(|_| ()))
}

/// Wakes every sender and receiver that waits. ZK_ECLOSED if it was closed already. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_chan_close(c: *mut zk_chan) -> c_int {
    // SAFETY: H1.
    let Some(chan) = (unsafe { handle::borrow(c) }) else { return code(Error::Invalid) };
    status(chan.close())
}

/// Elements in the buffer, a snapshot. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_chan_len(c: *const zk_chan) -> usize {
    // SAFETY: H1.
    unsafe { handle::borrow(c) }.map_or(0, |chan| chan.len())
}

/// Size of the buffer; of ZK_CHAN_UNBOUNDED the high-water mark, SIZE_MAX if there is none. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_chan_cap(c: *const zk_chan) -> usize {
    // SAFETY: H1.
    unsafe { handle::borrow(c) }.map_or(0, |chan| chan.cap())
}

/// Elements that the channel's policy has dropped: sent = received + dropped + in the buffer. A snapshot. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_chan_dropped(c: *const zk_chan) -> u64 {
    // SAFETY: H1.
    unsafe { handle::borrow(c) }.and_then(|chan| chan.policy()).map_or(0, Policy::dropped)
}

/// Calls of zk_chan_send that failed at the high-water mark. A select waits there, and is not counted. A snapshot. `[any]`
///
/// # Safety
/// H1.
#[no_mangle]
pub unsafe extern "C" fn zk_chan_refused(c: *const zk_chan) -> u64 {
    // SAFETY: H1.
    unsafe { handle::borrow(c) }.and_then(|chan| chan.policy()).map_or(0, Policy::refused)
}
