//! Send, receive and close: one algorithm for all channels.
//!
//! *Where it sits*: layer 4. Calls `ring` for the values, `wait` for who waits, and the scheduler's verbs. Called by
//! `Chan<T>` (Rust), `ByteChan` (C, Python) and `select`, which drives several channels through their [`Header`]s.
//!
//! # State
//!
//! Under one lock: the buffer, a queue of waiting receivers, a queue of waiting senders, and whether the channel is
//! closed. Every wait, plain or select, is a node in one of the two queues, in order of arrival.
//!
//! # Invariants
//!
//! * **C1** Values in the buffer ⇒ no receiver waits; a free slot ⇒ no sender waits (except claimed nodes that
//!   their owners have not removed yet, W4). An unbuffered channel has waiters on at most one side, except a select
//!   that waits on both.
//! * **C2** A sender that finds a receiver hands the value over directly, also on a buffered channel (C-08); a
//!   receiver that takes from a full buffer moves the first waiting sender's value into the freed slot (C-10). So values
//!   are received in the order of their sends, and nobody steals what was promised (C-09).
//! * **C3** Once closed, always closed; the queues are empty from then on.
//! * **C4** Every value has one owner: the sender until the operation succeeded, then the ring or the receiver. What a policy
//!   drops belongs to the sender that made it drop.
//! * **C5** User code (drop, clone, callbacks) never runs under the lock, and nobody parks under it.
//! * **C6** `mirror` copies the state under the lock; it is written under it. Who reads it without the lock only decides that
//!   there was an instant at which an operation was not possible (C-23); its file says why that is so.
//!
//! # Orderings
//!
//! The lock orders everything but the mirror, which has its own text.

use super::count::Counted;
use super::policy::{Policy, Stayed};
use super::ring::Ring;
use super::source::Source;
use crate::list::List;
use crate::mirror::Mirror;
use crate::sched;
use crate::sched::worker::{self, Worker};
use crate::sys::BiasedLock;
use crate::wait::Node;
use std::cell::UnsafeCell;

pub use super::step::{Step, VTable};
pub use crate::error::{Error, FOREVER, NOWAIT};

/// The part of a channel that does not depend on the type of its values.
pub struct Header {
    pub(crate) lock: BiasedLock,
    pub(super) mirror: Mirror,
    /// Slots of a buffer that can be full; `NEVER_FULL` if there is none, or no limit; `POLICY` if there is one.
    pub(super) slots: usize,
    pub(crate) recvq: UnsafeCell<List<Node>>,
    pub(super) sendq: UnsafeCell<List<Node>>,
    vtable: &'static VTable,
    source: Option<Box<Source>>,
}

/// More values than there can be.
const NEVER_FULL: usize = usize::MAX;
/// As many, where the policy has a say.
const POLICY: usize = usize::MAX - 1;

/// A channel: header and buffer.
#[repr(C)]
pub struct Core<R: Ring> {
    header: Header,
    ring: UnsafeCell<R>,
    /// The limit of the ring, for those who ask without the lock.
    limit: Option<usize>,
    /// For sends that find no room; without one they wait.
    pub(super) policy: Option<Policy>,
    _counted: Counted,
}

// SAFETY: all fields behind UnsafeCell are used under the lock only; values cross threads, hence R: Send.
unsafe impl<R: Ring + Send> Sync for Core<R> {}
// SAFETY: as above.
unsafe impl<R: Ring + Send> Send for Core<R> {}

impl Header {
    fn new(vtable: &'static VTable, slots: usize, source: Option<Box<Source>>) -> Header {
        Header {
            // A timer that fires tries the lock.
            lock: if source.is_some() { BiasedLock::unbiased() } else { BiasedLock::new() },
            mirror: Mirror::new(source.is_some()),
            slots,
            recvq: UnsafeCell::new(List::new()),
            sendq: UnsafeCell::new(List::new()),
            vtable,
            source,
        }
    }

    /// Takes the channel's lock. Rank `Chan`; select takes several in address order.
    #[inline(always)]
    pub(crate) fn lock(&self) {
        self.lock_of(worker::current());
    }

    /// The same for who has asked for the worker already.
    #[inline(always)]
    pub(crate) fn lock_of(&self, w: Option<&'static Worker>) {
        self.lock.lock(w.map_or(0, Worker::word));
    }

    /// The same if it is free at once; says whether it did.
    #[inline(always)]
    pub(crate) fn try_lock(&self) -> bool {
        debug_assert!(self.source.is_some());
        self.lock.try_lock()
    }

    /// Gives the lock back.
    ///
    /// # Safety
    /// The calling thread holds it.
    #[inline(always)]
    pub(crate) unsafe fn unlock(&self) {
        // SAFETY: by the caller.
        unsafe { self.lock.unlock() };
    }

    /// The operations of its type.
    #[inline(always)]
    pub fn vtable(&self) -> &'static VTable {
        self.vtable
    }

    /// The timer that feeds it, if it is a timer's channel.
    #[inline(always)]
    pub fn source(&self) -> Option<&Source> {
        self.source.as_deref()
    }

    /// Lets `f` at the timer that feeds it, under the lock. False if there is none.
    pub fn with_source(&self, f: impl FnOnce(&Source, &Header) -> bool) -> bool {
        self.lock();
        let r = self.source().is_some_and(|s| f(s, self));
        // SAFETY: we hold it.
        unsafe { self.unlock() };
        r
    }

    /// Whether it is closed. A snapshot.
    #[inline(always)]
    pub fn is_closed(&self) -> bool {
        self.mirror.is_closed()
    }

    /// Values in the buffer. A snapshot.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.mirror.len()
    }

    /// Whether a send that finds no room goes on by a policy.
    #[inline(always)]
    pub(crate) fn has_policy(&self) -> bool {
        self.slots == POLICY
    }

    /// Whether there was an instant, just now, at which a send was not possible (C-23). Never so without a buffer.
    #[inline(always)]
    fn surely_full(&self) -> bool {
        self.mirror.is_full(self.slots)
    }

    /// Whether there was an instant, just now, at which a receive was not possible (C-23). Never so for a timer's channel.
    #[inline(always)]
    pub(super) fn surely_empty(&self) -> bool {
        self.mirror.is_empty()
    }

    /// The same as one of several looks, for [`none_possible`](crate::mirror::none_possible).
    #[inline(always)]
    pub(crate) fn look(&self, sends: bool) -> Option<u64> {
        self.mirror.look(|_| if sends { self.surely_full() } else { self.surely_empty() })
    }

    /// Queues a node as receiver or sender.
    ///
    /// # Safety
    /// The lock is held; the node is filled in and in no queue.
    pub unsafe fn enqueue(&self, node: *mut Node, sends: bool) {
        // SAFETY: the lock is held.
        unsafe {
            if sends {
                (*self.sendq.get()).push_back(node);
                self.mirror.sender_came(); // C6
            } else {
                let q = &mut *self.recvq.get();
                if let (Some(s), true) = (self.source(), q.is_empty()) {
                    s.arm(self);
                }
                q.push_back(node);
            }
        }
    }

    /// Removes a node that may still be queued.
    ///
    /// # Safety
    /// The lock is held; the node was queued on this channel on this side.
    pub unsafe fn dequeue(&self, node: *mut Node, sends: bool) {
        // SAFETY: the lock is held.
        unsafe {
            if sends {
                if (*self.sendq.get()).remove_if_linked(node) {
                    self.mirror.sender_left(); // C6
                }
            } else {
                let q = &mut *self.recvq.get();
                if q.remove_if_linked(node) && q.is_empty() {
                    if let Some(s) = self.source() {
                        s.disarm();
                    }
                }
            }
        }
    }

    /// Takes the first receiver whose claim is won; those who only look are told and left out.
    ///
    /// # Safety
    /// The lock is held.
    #[inline(always)]
    pub(super) unsafe fn claim_receiver(&self) -> Option<*mut Node> {
        // SAFETY: the lock is held.
        unsafe {
            let q = &mut *self.recvq.get();
            while !q.is_empty() {
                let n = q.pop_front();
                if Node::claim(n) {
                    if !(*n).peek {
                        return Some(n);
                    }
                    (*n).ok = true;
                    self.mirror.tell();
                    sched::ready((*n).waiter);
                }
            }
            None
        }
    }

    #[inline(always)]
    unsafe fn claim_sender(&self) -> Option<*mut Node> {
        // SAFETY: the lock is held.
        unsafe {
            let q = &mut *self.sendq.get();
            while !q.is_empty() {
                let n = q.pop_front();
                self.mirror.sender_left(); // C6
                if Node::claim(n) {
                    if !(*n).peek {
                        return Some(n);
                    }
                    (*n).ok = true;
                    sched::ready((*n).waiter);
                }
            }
            None
        }
    }

    /// Whether anybody waits for a value.
    ///
    /// # Safety
    /// The lock is held.
    pub(super) unsafe fn receivers_wait(&self) -> bool {
        // SAFETY: by the caller.
        unsafe { !(*self.recvq.get()).is_empty() }
    }

    /// Closes the channel: every waiter of either side is told. False if it was closed before.
    pub fn close(&self) -> bool {
        self.lock();
        if self.is_closed() {
            // SAFETY: we hold it.
            unsafe { self.unlock() };
            return false;
        }
        self.mirror.close();
        // SAFETY: the lock is held; claimed nodes are ours until their waiters are readied (W3).
        let told = unsafe {
            let told = [self.recvq.get(), self.sendq.get()].map(|q| {
                let mut walk = sched::Walk::new();
                (*q).retain(|n| {
                    walk.come_to(n);
                    Node::claim(n)
                });
                core::mem::take(&mut *q)
            });
            self.mirror.no_senders(); // C6
            if let Some(s) = self.source() {
                s.disarm();
            }
            self.unlock();
            told
        };
        for nodes in told {
            // SAFETY: claimed above; nobody has said that their operations happened.
            unsafe { sched::ready_all(nodes) };
        }
        true
    }
}

impl<R: Ring> Core<R> {
    const VTABLE: VTable = VTable {
        // SAFETY: h is the header of a Core<R>, whose lock the caller holds.
        send: |h, p| unsafe { Self::of(h).try_send_locked(p) },
        // SAFETY: as above.
        overflow: |h, p| unsafe { Self::of(h).overflow_locked(p) },
        // SAFETY: as above.
        recv: |h, p| unsafe { Self::of(h).try_recv_locked(p) },
        // SAFETY: as above.
        can_send: |h| unsafe { Self::of(h).can_send_locked() },
        // SAFETY: as above.
        can_recv: |h| unsafe { Self::of(h).can_recv_locked() },
    };

    /// A channel over `ring`; fed by `source` if it is a timer's.
    pub fn new(ring: R, source: Option<Box<Source>>, policy: Option<Policy>) -> Core<R> {
        let limit = ring.cap();
        let slots = match policy {
            Some(_) => POLICY,
            None => limit.filter(|n| *n > 0).unwrap_or(NEVER_FULL),
        };
        Core {
            header: Header::new(&Self::VTABLE, slots, source),
            ring: UnsafeCell::new(ring),
            limit,
            policy,
            _counted: Counted::new(),
        }
    }

    /// The type-independent part.
    #[inline(always)]
    pub fn header(&self) -> &Header {
        &self.header
    }

    #[inline(always)]
    unsafe fn of(h: &Header) -> &Core<R> {
        // SAFETY: the header is the first field of a repr(C) Core<R>, by the caller.
        unsafe { &*(&raw const *h).cast::<Core<R>>() }
    }

    /// The buffer.
    ///
    /// # Safety
    /// The lock is held.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn ring(&self) -> &mut R {
        // SAFETY: by the caller nobody else uses it.
        unsafe { &mut *self.ring.get() }
    }

    /// What the limit of the buffer is. Fixed at creation.
    #[inline(always)]
    pub fn cap(&self) -> Option<usize> {
        self.limit
    }

    /// All buffered values were taken out: whoever waits to send comes next.
    ///
    /// # Safety
    /// The lock is held. Only on a closed channel, where no sender waits (C3).
    pub unsafe fn emptied(&self) {
        // SAFETY: by the caller.
        unsafe { self.note_len() };
    }

    #[inline(always)]
    pub(super) unsafe fn note_len(&self) {
        // SAFETY: the lock is held.
        let n = unsafe { self.ring().len() };
        self.header.mirror.set_len(n); // C6
    }

    #[inline(always)]
    unsafe fn try_send_locked(&self, src: *const u8) -> Step {
        let h = &self.header;
        // SAFETY: the lock is held; a claimed receiver's slot is ours until it is readied (W3).
        unsafe {
            if h.is_closed() {
                return Step::Closed;
            }
            if let Some(n) = h.claim_receiver() {
                self.ring().transfer(src, (*n).elem);
                (*n).ok = true;
                return Step::Done((*n).waiter);
            }
            if self.ring().has_room() {
                self.ring().push(src);
                self.note_len();
                return Step::Done(core::ptr::null());
            }
            Step::Wait
        }
    }

    #[inline(always)]
    unsafe fn try_recv_locked(&self, dst: *mut u8) -> Step {
        let h = &self.header;
        // SAFETY: the lock is held; a claimed sender's value is ours to move (C4, W3).
        unsafe {
            if self.ring().len() > 0 {
                self.ring().pop(dst);
                let mut woken = core::ptr::null();
                if let Some(n) = h.claim_sender() {
                    self.ring().push((*n).elem);
                    (*n).ok = true;
                    woken = (*n).waiter;
                }
                self.note_len();
                return Step::Done(woken);
            }
            if let Some(n) = h.claim_sender() {
                self.ring().transfer((*n).elem, dst);
                (*n).ok = true;
                return Step::Done((*n).waiter);
            }
            if let Some(s) = h.source() {
                if s.poll(dst) {
                    return Step::Done(core::ptr::null());
                }
            }
            if h.is_closed() {
                return Step::Closed;
            }
            h.mirror.untell();
            Step::Wait
        }
    }

    unsafe fn can_send_locked(&self) -> bool {
        let h = &self.header;
        // SAFETY: the lock is held.
        unsafe {
            h.is_closed()
                || self.limit.is_none_or(|limit| self.ring().len() < limit)
                || self.policy.as_ref().is_some_and(Policy::drops)
                || (*h.recvq.get()).iter().any(|n| Node::is_free(n))
        }
    }

    unsafe fn can_recv_locked(&self) -> bool {
        let h = &self.header;
        // SAFETY: the lock is held.
        unsafe {
            h.is_closed()
                || self.ring().len() > 0
                || (*h.sendq.get()).iter().any(|n| Node::is_free(n))
                || h.source().is_some_and(Source::is_due)
        }
    }

    /// Sends the value at `src`.
    ///
    /// # Errors
    /// There is a value at `src` then, and it is the caller's (C4).
    ///
    /// # Safety
    /// `src` points to a value of the ring's type that stays there until the call returns. It is written to only if the channel
    /// has a policy that hands values over.
    #[inline]
    pub unsafe fn send(&self, src: *mut u8, deadline: i64) -> Result<(), Stayed> {
        // SAFETY: by the caller.
        unsafe { self.send_here(src, deadline) }
    }

    /// The same without a frame of its own.
    ///
    /// # Errors
    /// As for [`send`](Core::send).
    ///
    /// # Safety
    /// As for [`send`](Core::send).
    #[inline(always)]
    pub unsafe fn send_here(&self, src: *mut u8, deadline: i64) -> Result<(), Stayed> {
        let h = &self.header;
        if deadline == NOWAIT && h.surely_full() {
            return Ok(self.not_now()?);
        }
        let w = worker::current();
        h.lock_of(w);
        // SAFETY: by the caller.
        unsafe { self.send_held(w, src, deadline) }
    }

    /// The same under the lock, which is given back.
    ///
    /// # Safety
    /// As for [`send`](Core::send); the lock is held, and `w` the current worker.
    #[inline(always)]
    pub(super) unsafe fn send_held(&self, w: Option<&Worker>, src: *mut u8, deadline: i64) -> Result<(), Stayed> {
        let h = &self.header;
        // SAFETY: the lock is held until the unlock.
        unsafe {
            match self.try_send_locked(src) {
                Step::Done(woken) => {
                    sched::announce_of(w);
                    h.unlock();
                    if !woken.is_null() {
                        sched::ready(woken);
                    }
                    sched::checkpoint_of(w, deadline != NOWAIT);
                    Ok(())
                }
                Step::Closed => {
                    h.unlock();
                    Err(sched::at_once(Error::Closed, deadline).into())
                }
                Step::Wait if h.has_policy() => self.send_by_policy(src, deadline),
                Step::Wait if deadline == NOWAIT => {
                    h.unlock();
                    Ok(self.not_now()?)
                }
                Step::Wait => Ok(h.wait_locked(src, deadline, true)?),
            }
        }
    }

    /// Receives a value into `dst`.
    ///
    /// # Errors
    /// Nothing was written to `dst` then.
    ///
    /// # Safety
    /// `dst` has room for a value; null only if the values need no drop.
    #[inline]
    pub unsafe fn recv(&self, dst: *mut u8, deadline: i64) -> Result<(), Error> {
        // SAFETY: by the caller.
        unsafe { self.recv_here(dst, deadline) }
    }

    /// The same without a frame of its own.
    ///
    /// # Errors
    /// As for [`recv`](Core::recv).
    ///
    /// # Safety
    /// As for [`recv`](Core::recv).
    #[inline(always)]
    pub unsafe fn recv_here(&self, dst: *mut u8, deadline: i64) -> Result<(), Error> {
        let h = &self.header;
        if deadline == NOWAIT && h.surely_empty() {
            return self.not_now();
        }
        let w = worker::current();
        h.lock_of(w);
        // SAFETY: by the caller.
        unsafe { self.recv_held(w, dst, deadline) }
    }

    /// The same under the lock, which is given back.
    ///
    /// # Safety
    /// As for [`recv`](Core::recv); the lock is held, and `w` the current worker.
    #[inline(always)]
    pub(super) unsafe fn recv_held(&self, w: Option<&Worker>, dst: *mut u8, deadline: i64) -> Result<(), Error> {
        let h = &self.header;
        // SAFETY: the lock is held until the unlock.
        unsafe {
            match self.try_recv_locked(dst) {
                Step::Done(woken) => {
                    sched::announce_of(w);
                    h.unlock();
                    if !woken.is_null() && h.len() > 1 {
                        sched::ready_soon(woken); // there is more to receive: a thread need not be woken for a single slot
                    } else if !woken.is_null() {
                        sched::ready(woken);
                    }
                    sched::checkpoint_of(w, deadline != NOWAIT);
                    Ok(())
                }
                Step::Closed => {
                    h.unlock();
                    Err(sched::at_once(Error::Closed, deadline))
                }
                Step::Wait if deadline == NOWAIT => {
                    h.unlock();
                    self.not_now()
                }
                Step::Wait => h.wait_locked(dst, deadline, false),
            }
        }
    }

    /// The answer to somebody who does not wait. Who asks again and again in a loop has a time slice like everybody else (G-11).
    #[inline(always)]
    fn not_now(&self) -> Result<(), Error> {
        sched::checkpoint(false);
        Err(Error::WouldBlock)
    }
}
