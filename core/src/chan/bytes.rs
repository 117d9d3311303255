//! Channels of values whose size is known at run time: what `zk_chan` is, and what Python's `Chan` holds.
//!
//! *Where it sits*: layer 4, a thin dress over `core`. The checks a C caller needs are here, not in the algorithm.
//!
//! # State
//!
//! Beside the core's channel, how many *producers* it has: handles of senders, the last of which closes it.
//!
//! # Invariants
//!
//! * **BP1** A channel has had no producer yet ([`NEW`]), or has some, or its last one is gone ([`OVER`]) and it is closed or
//!   just being closed by that one's owner. It never comes back from there.
//!
//! # Orderings
//!
//! Those of `std::sync::Arc`: relaxed up, release-acquire down.

use super::core::{Core, Error, Header, FOREVER, NOWAIT};
use super::policy::{Overflow, Policy, Stayed};
use super::ring::{ByteRing, NoRing, Ring};
use super::source::Source;
use crate::cell::{AtomicUsize, Ordering};
use crate::{defer, runtime, sanitize};
use core::ffi::c_void;
use std::ptr;
use std::sync::Arc;

/// Called with each value that was sent and that nobody received, or that the channel dropped, and the user's word.
pub type DropFn = unsafe extern "C-unwind" fn(*mut u8, *mut c_void);

/// How a byte channel is made.
pub struct ByteChanOpts {
    /// Bytes of a value.
    pub elem_size: usize,
    /// Values the buffer holds; 0: sender and receiver meet. If it refuses values: how many until then, 0 for no limit.
    pub capacity: usize,
    /// What becomes of a value for which there is no room; `None`: its sender waits. A channel that refuses makes its buffer as
    /// it is needed.
    pub overflow: Option<Overflow>,
    /// For values whose send succeeded and that nobody received, or that were received into nothing.
    pub drop: Option<DropFn>,
    /// Passed to `drop`.
    pub user: *mut c_void,
    /// Shown in dumps.
    pub name: Option<String>,
}

impl Default for ByteChanOpts {
    fn default() -> ByteChanOpts {
        ByteChanOpts { elem_size: 0, capacity: 0, overflow: None, drop: None, user: core::ptr::null_mut(), name: None }
    }
}

/// A channel of byte values.
pub struct ByteChan {
    pub(super) core: Core<ByteRing>,
    /// No timer, no policy, not sealed: a send needs no second look.
    plain: bool,
    /// Plain, without a name, and of values of 1, 2, 4, 8 or 16 bytes: what the short ways of `direct` can do.
    small: bool,
    /// Nobody sends, and only the maker closes it.
    sealed: bool,
    producers: AtomicUsize,
    elem_size: usize,
    drop: Option<DropFn>,
    user: *mut c_void,
    name: Option<String>,
}

// SAFETY: the core synchronises itself; `drop` and `user` are promised to be usable from any thread.
unsafe impl Send for ByteChan {}
// SAFETY: as above.
unsafe impl Sync for ByteChan {}

/// Refuses a blocking call on a helper thread, and in a goroutine whose context has ended.
#[inline(always)]
pub fn may_block() -> Result<(), Error> {
    let Some(w) = crate::sched::worker::current() else {
        return if crate::sched::in_helper() { Err(Error::Perm) } else { Ok(()) };
    };
    match crate::sched::bound_end_on(w) {
        None => Ok(()),
        Some(o) => Err(crate::sched::at_once(o.into(), FOREVER)),
    }
}

/// An operation on a channel comes after those before it and before those after it (HB-02 to HB-05, and a little more: one
/// address stands for all values).
pub struct Edges(*const ());

impl Edges {
    /// Before the operation.
    #[inline(always)]
    pub fn of(c: &ByteChan) -> Edges {
        let addr = (&raw const *c).cast();
        sanitize::release(addr);
        Edges(addr)
    }
}

impl Drop for Edges {
    #[inline(always)]
    fn drop(&mut self) {
        sanitize::acquire(self.0);
    }
}

/// `producers`: there was none yet.
const NEW: usize = 0;
/// `producers`: the last one is gone.
const OVER: usize = usize::MAX;

/// What a send that moved nothing out came to, seen by its caller.
pub(super) fn sent(stayed: Stayed) -> Result<(), Error> {
    match stayed {
        Stayed::Unsent(e) => Err(e),
        Stayed::Left => Ok(()),
    }
}

/// Room for one value: for receiving into nothing, and for sending where another value may come back. Small ones lie on the
/// stack.
struct Scratch {
    small: [u128; 16],
    large: Vec<u128>,
}

impl Scratch {
    fn new(size: usize) -> Scratch {
        let mut large = Vec::new();
        if size > size_of::<[u128; 16]>() {
            large.resize(size.div_ceil(16), 0);
        }
        Scratch { small: [0; 16], large }
    }

    fn as_mut_ptr(&mut self) -> *mut u8 {
        if self.large.is_empty() {
            self.small.as_mut_ptr().cast()
        } else {
            self.large.as_mut_ptr().cast()
        }
    }
}

impl ByteChan {
    /// A new channel.
    ///
    /// # Errors
    /// `Invalid` for a size beyond what memory can hold, `NoMemory`.
    pub fn new(o: ByteChanOpts) -> Result<Arc<ByteChan>, Error> {
        Self::build(o, None, false)
    }

    /// A channel that says something by being closed: its maker does that through the [`header`](ByteChan::header), nobody else may.
    pub fn signal() -> Result<Arc<ByteChan>, Error> {
        Self::build(ByteChanOpts::default(), None, true)
    }

    /// The channel of a timer: its values are the due times, as `i64`.
    pub fn timer(when: i64, period: i64) -> Result<Arc<ByteChan>, Error> {
        unsafe fn emit(when: i64, dst: *mut u8) {
            // SAFETY: dst has room for the 8 bytes of the channel's value.
            unsafe { dst.cast::<i64>().write_unaligned(when) };
        }
        let o = ByteChanOpts { elem_size: 8, ..ByteChanOpts::default() };
        Self::build(o, Some(Box::new(Source::new(when, period, emit))), true)
    }

    fn build(o: ByteChanOpts, source: Option<Box<Source>>, sealed: bool) -> Result<Arc<ByteChan>, Error> {
        let ring = match o.overflow {
            Some(Overflow::Refuse) => ByteRing::growing(o.elem_size, (o.capacity != 0).then_some(o.capacity)),
            _ => ByteRing::new(o.elem_size, o.capacity),
        };
        let ring = ring.map_err(|e| match e {
            NoRing::Absurd => Error::Invalid,
            NoRing::OutOfMemory => Error::NoMemory,
        })?;
        Ok(Arc::new(ByteChan {
            plain: !sealed && o.overflow.is_none(),
            small: !sealed && o.overflow.is_none() && o.name.is_none() && ByteRing::is_small(o.elem_size),
            sealed,
            core: Core::new(ring, source, o.overflow.map(|f| Policy::new(f, o.drop.is_some()))),
            producers: AtomicUsize::new(NEW),
            elem_size: o.elem_size,
            drop: o.drop,
            user: o.user,
            name: o.name,
        }))
    }

    /// What select works on.
    #[inline(always)]
    pub fn header(&self) -> &Header {
        self.core.header()
    }

    /// Whether the short ways of `direct` are open to it.
    #[inline(always)]
    pub fn is_small(&self) -> bool {
        self.small
    }

    /// Bytes of a value.
    #[inline(always)]
    pub fn elem_size(&self) -> usize {
        self.elem_size
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Values in the buffer. A snapshot.
    pub fn len(&self) -> usize {
        self.core.header().len()
    }

    /// Whether the buffer is empty. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of the buffer; `usize::MAX` if it has no limit.
    pub fn cap(&self) -> usize {
        self.core.cap().unwrap_or(usize::MAX)
    }

    /// Whether it is closed. A snapshot.
    pub fn is_closed(&self) -> bool {
        self.core.header().is_closed()
    }

    /// Whether it is the runtime's, of a timer or for the end of a context: then it can be neither sent to nor closed.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// What it does with values for which there is no room, unless their senders wait.
    pub fn policy(&self) -> Option<&Policy> {
        self.core.policy()
    }

    /// Refuses what cannot work: in a forked child or after shutdown, and waiting on a helper thread.
    #[inline(always)]
    fn check(&self, deadline: i64) -> Result<(), Error> {
        if runtime::is_down() {
            return Err(Error::Shutdown);
        }
        if deadline == NOWAIT {
            return Ok(());
        }
        may_block()
    }

    /// Copies a value in.
    ///
    /// # Errors
    /// `Closed`, `TimedOut`, `WouldBlock`, `Cancelled`, `Shutdown`; `Perm` on a channel of the runtime's or on a helper thread. On a
    /// channel that refuses values: `Limit` when it is full, `WouldBlock` if the send was not to wait anyway; `NoMemory`.
    ///
    /// # Safety
    /// `elem` points to `elem_size` readable bytes that stay unchanged until the call returns.
    #[inline(always)]
    pub unsafe fn send(&self, elem: *const u8, deadline: i64) -> Result<(), Error> {
        self.check(deadline)?;
        if !self.plain {
            // SAFETY: by the caller.
            return unsafe { self.send_by_policy(elem, deadline) };
        }
        let _edges = Edges::of(self);
        // SAFETY: by the caller; without a policy nothing is written to `elem`.
        unsafe {
            if self.shows_name(deadline) {
                self.under_name(deadline, &|d| self.core.send(elem.cast_mut(), d).or_else(sent))
            } else {
                self.core.send_here(elem.cast_mut(), deadline).or_else(sent)
            }
        }
    }

    /// A send that does not wait, whatever the deadline. The bytes at `elem` are the caller's to keep, so what may come back does
    /// not come there.
    #[cold]
    unsafe fn send_by_policy(&self, elem: *const u8, deadline: i64) -> Result<(), Error> {
        if self.is_sealed() {
            return Err(Error::Perm);
        }
        let edges = Edges::of(self);
        if !self.leaves_values() {
            // SAFETY: by the caller; a policy that hands nothing over writes nothing.
            return unsafe { self.core.send(elem.cast_mut(), deadline).or_else(sent) };
        }
        let mut scratch = Scratch::new(self.elem_size);
        let p = scratch.as_mut_ptr();
        // SAFETY: by the caller there is a value at `elem`, and `p` has room for one; what is left there is ours.
        unsafe {
            p.copy_from_nonoverlapping(elem, self.elem_size);
            let r = self.core.send(p, deadline);
            drop(edges);
            if r == Err(Stayed::Left) {
                self.drop_in(scratch);
            }
            r.or_else(sent)
        }
    }

    /// Whether a send may leave another value in the place of the sent one: then that must not be the caller's own.
    pub fn leaves_values(&self) -> bool {
        self.core.policy().is_some_and(|p| p.drops() && p.hands_over())
    }

    /// Whether an operation has a name to show in dumps if it has to wait.
    #[inline(always)]
    fn shows_name(&self, deadline: i64) -> bool {
        self.name.is_some() && deadline != NOWAIT
    }

    /// Runs an operation; if it has to wait, dumps show the channel's name meanwhile.
    #[cold]
    #[inline(never)]
    fn under_name(&self, deadline: i64, op: &dyn Fn(i64) -> Result<(), Error>) -> Result<(), Error> {
        match op(NOWAIT) {
            Err(Error::WouldBlock) => {}
            other => return other,
        }
        let g = crate::sched::running();
        if g.is_null() {
            return op(deadline);
        }
        // SAFETY: g is the running goroutine, before and after; the channel and its name outlive the wait.
        unsafe {
            (*g).set_wait_name(self.name.as_deref().map(ptr::from_ref));
            let r = op(deadline);
            (*g).set_wait_name(None);
            r
        }
    }

    /// Copies a value out; null `elem` discards it. Closed and drained: zeroes `elem`.
    ///
    /// # Errors
    /// `Closed`, `TimedOut`, `WouldBlock`, `Cancelled`, `Shutdown`; `Perm` on a helper thread.
    ///
    /// # Safety
    /// `elem` is null or points to `elem_size` writable bytes that are not used until the call returns.
    #[inline(always)]
    pub unsafe fn recv(&self, elem: *mut u8, deadline: i64) -> Result<(), Error> {
        self.check(deadline)?;
        let _edges = Edges::of(self);
        if elem.is_null() && self.drop.is_some() {
            // SAFETY: by the caller.
            return unsafe { self.recv_and_drop(deadline) };
        }
        // SAFETY: by the caller; a null elem takes nothing, and there is nothing to drop.
        let r = unsafe {
            if self.shows_name(deadline) {
                self.under_name(deadline, &|d| self.core.recv(elem, d))
            } else {
                self.core.recv_here(elem, deadline)
            }
        };
        // SAFETY: by the caller.
        unsafe { self.zeroed_if_closed(r, elem) }
    }

    /// What a receive has come to, with zeroes in `elem` if the channel was closed.
    ///
    /// # Safety
    /// As for [`recv`](ByteChan::recv).
    #[inline(always)]
    pub(super) unsafe fn zeroed_if_closed(&self, r: Result<(), Error>, elem: *mut u8) -> Result<(), Error> {
        if r == Err(Error::Closed) && !elem.is_null() {
            // SAFETY: by the caller.
            unsafe { elem.write_bytes(0, self.elem_size) };
        }
        r
    }

    #[cold]
    unsafe fn recv_and_drop(&self, deadline: i64) -> Result<(), Error> {
        let mut scratch = Scratch::new(self.elem_size);
        let p = scratch.as_mut_ptr();
        // SAFETY: p has room for a value.
        unsafe {
            self.under_name(deadline, &|d| self.core.recv(p, d))?;
            self.drop_in(scratch);
        }
        Ok(())
    }

    /// As [`drop_value`](ByteChan::drop_value) for the value in `scratch`, of which nothing is left when the function panics.
    unsafe fn drop_in(&self, mut scratch: Scratch) {
        let p = scratch.as_mut_ptr();
        // SAFETY: by the caller there is a value; the closure holds nothing.
        unsafe {
            if scratch.large.is_empty() {
                return self.drop_value(p);
            }
            defer::drain_one(|| self.drop_value(p));
            drop(scratch);
            defer::raise_kept();
        }
    }

    /// Calls the drop function on a value that is not needed.
    ///
    /// # Safety
    /// `p` points to a value that is the caller's.
    pub unsafe fn drop_value(&self, p: *mut u8) {
        if let Some(f) = self.drop {
            // SAFETY: by the caller, and whoever made the channel vouches for the function.
            unsafe { f(p, self.user) };
        }
    }

    /// Whether values received into nothing have to be dropped.
    pub fn has_drop(&self) -> bool {
        self.drop.is_some()
    }

    /// Closes the channel.
    ///
    /// # Errors
    /// `Closed` if it was before; `Perm` on a channel of the runtime's; `Shutdown`.
    pub fn close(&self) -> Result<(), Error> {
        if runtime::is_down() {
            return Err(Error::Shutdown);
        }
        if self.is_sealed() {
            return Err(Error::Perm);
        }
        let _edges = Edges::of(self);
        if self.core.header().close() {
            Ok(())
        } else {
            Err(Error::Closed)
        }
    }

    /// Counts a new producer. False if the channel is closed or the runtime's.
    pub fn add_producer(&self) -> bool {
        !self.is_sealed() && !self.is_closed() && self.more_producers()
    }

    /// Counts one more on the strength of a producer there is, also on a closed channel. False if they are too many.
    pub fn more_producers(&self) -> bool {
        // Relaxed: nothing is read on the strength of the new value; whoever closes by the old one has left `OVER` (BP1).
        self.producers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < OVER - 1).then_some(n + 1)).is_ok()
    }

    /// Takes back one that was counted; the last one closes the channel.
    pub fn drop_producer(&self) {
        let last = |n| Some(if n == 1 { OVER } else { n - 1 });
        // AcqRel pairs with the same operation of the other producers: what they sent happens before the close.
        let before = self.producers.fetch_update(Ordering::AcqRel, Ordering::Relaxed, last);
        if before == Ok(1) {
            // Closed already, or shut down: there is nothing left to tell anybody.
            let _ = self.close();
        }
    }

    /// Shows each buffered value, oldest first, under the channel's lock: `f` must not call back.
    pub fn each_buffered(&self, f: &mut dyn FnMut(*const u8)) {
        let h = self.core.header();
        h.lock();
        // SAFETY: the lock is held.
        unsafe {
            let ring = self.core.ring();
            for i in 0..ring.len() {
                f(ring.peek(i));
            }
            h.unlock();
        }
    }
}

impl Drop for ByteChan {
    /// When the function panics, all values go nevertheless: whoever lets go of a channel asks [`raise_kept`](defer::raise_kept) then.
    fn drop(&mut self) {
        // SAFETY: nobody else refers to the channel.
        if self.drop.is_none() || unsafe { self.core.ring().len() } == 0 {
            return;
        }
        let mut scratch = Scratch::new(self.elem_size);
        let p = scratch.as_mut_ptr();
        // SAFETY: as above; p has room for a value, which has left the ring when the function is called. The closure holds nothing.
        unsafe {
            defer::drain(|| {
                let there = self.core.ring().len() > 0;
                if there {
                    self.core.ring().pop(p);
                    self.drop_value(p);
                }
                there
            });
        }
    }
}
