//! Pointers that C holds: how an object becomes one, how it is recognised, and who owns it.
//!
//! Where it sits: below every module here that deals in handles.
//!
//! # State
//! A handle is the address of a [`Block`], which an [`Arc`] keeps: each `zk_X_new` and `zk_X_ref` gives C one
//! strong reference, each `zk_X_unref` takes one back.
//!
//! # Invariants
//! - **B1** `tag` is the tag of the block's type from creation until its last reference goes; then it is [`DEAD`].
//!   A pointer that is null, misaligned or shows another tag is refused. That finds zeroed memory, handles of
//!   another kind and many stale ones; a pointer into unmapped memory cannot be told from a good one.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use crate::pool::PoolObject;
use crate::producer::Producer;
use zokor::raw::{ByteChan, Ctx, RawGroup, Timer};

/// What the tag of a freed block reads as, until the memory is used again.
const DEAD: u64 = u64::from_le_bytes(*b"zk-freed");

/// Memory behind a handle: the tag that recognises it, then the object.
#[repr(C)]
pub(crate) struct Block<T> {
    tag: u64,
    object: T,
}

impl<T> Block<T> {
    /// A block for a handle of type `H` that is kept elsewhere than in an `Arc` of its own.
    pub(crate) fn new<H: Handle<Object = T>>(object: T) -> Block<T> {
        Block { tag: H::TAG, object }
    }
}

impl<T> Drop for Block<T> {
    fn drop(&mut self) {
        // A plain store to memory that is freed next would be removed by the compiler.
        // SAFETY: `self` is valid and exclusively ours here.
        unsafe { ptr::write_volatile(&mut self.tag, DEAD) };
    }
}

/// A type that C knows as an opaque struct.
///
/// # Safety
/// `TAG` must differ from the tag of every other implementation and from [`DEAD`].
pub(crate) unsafe trait Handle {
    /// What the handle stands for on this side.
    type Object: Send + Sync;
    /// Marks blocks of this type.
    const TAG: u64;
}

/// A channel.
pub struct zk_chan;
/// One of those who send on a channel.
pub struct zk_producer;
/// A context: a deadline, a way to cancel, values; a tree of them.
pub struct zk_ctx;
/// Goroutines that finish together.
pub struct zk_group;
/// A timer.
pub struct zk_timer;
/// A cache of equal objects.
pub struct zk_pool;

// SAFETY: the tags of this file are pairwise different.
unsafe impl Handle for zk_chan {
    type Object = Arc<ByteChan>;
    const TAG: u64 = u64::from_le_bytes(*b"zk-chan.");
}

// SAFETY: the tags of this file are pairwise different.
unsafe impl Handle for zk_producer {
    type Object = Producer;
    const TAG: u64 = u64::from_le_bytes(*b"zk-prod.");
}

/// A reference to a channel's handle that an object holds for C to borrow. Null inside: there is none.
pub(crate) struct Lent(*mut zk_chan);

// SAFETY: the pointer is a counted reference to a block whose object is Send and Sync (B1).
unsafe impl Send for Lent {}
// SAFETY: as above.
unsafe impl Sync for Lent {}

impl Lent {
    pub(crate) fn new(chan: Option<&Arc<ByteChan>>) -> Lent {
        Lent(chan.map_or(ptr::null_mut(), |chan| into_c(Arc::clone(chan))))
    }

    /// One more reference to a handle that C made.
    ///
    /// # Safety
    /// As for [`borrow`].
    pub(crate) unsafe fn share(handle: *mut zk_chan) -> Lent {
        // SAFETY: by the caller.
        Lent(if unsafe { retain(handle) } { handle } else { ptr::null_mut() })
    }

    pub(crate) fn get(&self) -> *mut zk_chan {
        self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: the reference this object has held since it was made.
        unsafe { release(self.0) };
    }
}

/// What `zk_timer_stop` can stop.
pub(crate) enum TimerObject {
    /// A timer and its channel, if it has one.
    Timer(Arc<Timer>, Lent),
    /// A function that runs when a context ends; the number takes it back, and there is none once it runs.
    After(Arc<Ctx>, Option<u64>),
}

/// The node a handle of a context stands for. The handle is part of what the node keeps for this face, so it lives as long as
/// the node; C's references are references to the node.
pub(crate) struct Node(pub(crate) *const Ctx);

// SAFETY: the node is Send and Sync, and lives as long as this (see above).
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

// SAFETY: the tags of this file are pairwise different.
unsafe impl Handle for zk_ctx {
    type Object = Node;
    const TAG: u64 = u64::from_le_bytes(*b"zk-ctx..");
}

// SAFETY: the tags of this file are pairwise different.
unsafe impl Handle for zk_pool {
    type Object = PoolObject;
    const TAG: u64 = u64::from_le_bytes(*b"zk-pool.");
}

// SAFETY: the tags of this file are pairwise different.
unsafe impl Handle for zk_group {
    type Object = Arc<RawGroup>;
    const TAG: u64 = u64::from_le_bytes(*b"zk-group");
}

// SAFETY: the tags of this file are pairwise different.
unsafe impl Handle for zk_timer {
    type Object = TimerObject;
    const TAG: u64 = u64::from_le_bytes(*b"zk-timer");
}

/// Hands `object` to C with one reference.
pub(crate) fn into_c<H: Handle>(object: H::Object) -> *mut H {
    Arc::into_raw(Arc::new(Block { tag: H::TAG, object })).cast_mut().cast()
}

/// The block behind `handle`, or `None` if there is visibly none.
fn block<H: Handle>(handle: *const H) -> Option<*const Block<H::Object>> {
    let block: *const Block<H::Object> = handle.cast();
    if block.is_null() {
        return None;
    }
    // SAFETY: H1; a foreign pointer is the caller's fault, which this read finds where it can be found (B1).
    let tag = unsafe { ptr::addr_of!((*block).tag).read_unaligned() };
    if tag != H::TAG {
        return None;
    }
    block.is_aligned().then_some(block) // asked last, or the compiler makes one value of both questions
}

/// What `handle` stands for, for the length of a call.
///
/// # Safety
/// `handle` is null or was made by [`into_c`], and its reference is not given back during `'a`.
pub(crate) unsafe fn borrow<'a, H: Handle>(handle: *const H) -> Option<&'a H::Object> {
    // SAFETY: `block` has seen the tag, so by H1 and the caller's word the block lives for 'a.
    block(handle).map(|b| unsafe { &(*b).object })
}

/// The same for who has seen in this call that there is a block.
///
/// # Safety
/// As for [`borrow`], which has found something.
#[inline(always)]
pub(crate) unsafe fn borrow_again<'a, H: Handle>(handle: *const H) -> &'a H::Object {
    // SAFETY: by the caller the block lives for 'a.
    unsafe { &(*handle.cast::<Block<H::Object>>()).object }
}

/// One more reference to `handle`. False if it is visibly no handle of this type.
///
/// # Safety
/// As for [`borrow`].
pub(crate) unsafe fn retain<H: Handle>(handle: *const H) -> bool {
    match block(handle) {
        // SAFETY: the block is the inside of an `Arc` (H1) that the caller's reference keeps alive.
        Some(b) => unsafe { Arc::increment_strong_count(b) },
        None => return false,
    }
    true
}

/// Takes one reference back from C. Null is fine. If that ends values of the program's, the caller asks `raw::raise_kept` what their hooks
/// panicked with, when nothing of its frame is left to clean up.
///
/// # Safety
/// `handle` is null, or the caller owns one reference and does not use it again.
pub(crate) unsafe fn release<H: Handle>(handle: *mut H) {
    if let Some(b) = block(handle) {
        // SAFETY: the reference is the caller's to give (H1).
        drop(unsafe { Arc::from_raw(b) });
    }
}

/// As [`release`] for a handle that has one reference only: of several callers who give it back, one at most succeeds. False if
/// `handle` is visibly none.
///
/// # Safety
/// As for [`release`].
pub(crate) unsafe fn surrender<H: Handle>(handle: *mut H) -> bool {
    let Some(b) = block(handle) else { return false };
    // SAFETY: the block lives (H1), and its tag is aligned; whoever else looks at it now breaks the caller's promise.
    let tag = unsafe { AtomicU64::from_ptr(ptr::addr_of!((*b).tag).cast_mut()) };
    // Relaxed: it only decides between callers of whom all but one are in error.
    if tag.compare_exchange(H::TAG, DEAD, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return false;
    }
    // SAFETY: the reference is the caller's to give (H1).
    drop(unsafe { Arc::from_raw(b) });
    true
}
