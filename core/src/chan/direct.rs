//! Send and receive as the faces want them: for C the number of the result, and for what happens nearly always no frame; for a host
//! interpreter whatever can be done without switching.
//!
//! *Where it sits*: layer 4, beside `bytes`, whose `send` and `recv` are the same operations without the short way. Called by the faces.
//!
//! From C nothing is inlined into the caller, and a function that calls others saves six registers first. So here is no call except as the last
//! thing, a jump: whatever is out of the ordinary goes on in a function of its own, which starts from the beginning, or, once the lock is held,
//! from there. These are functions of the C ABI, as the callers are: another kind could unwind, which is for the caller to catch.
//!
//! Ordinary is: a channel of small values without name, policy or timer ([`ByteChan::is_small`]); a goroutine on a worker that owns the
//! channel's lock (`sys/bias.rs`), bound to no context, which may wait; a partner that is a goroutine; no end of a time slice.

#![allow(improper_ctypes_definitions)] // C calls none of these

use super::bytes::sent;
use super::bytes::ByteChan;
use super::core::{Error, NOWAIT};
use super::finds_nothing;
use super::ring::Ring;
use crate::error::code_of;
use crate::goroutine::{BOUND, G};
use crate::sched;
use crate::sched::worker::{self, Worker};
use crate::sys::{Owned, Sleeper};
use crate::wait::{Kind, Node, Waiter};
use crate::{runtime, sanitize};
use core::ffi::c_void;
use core::ptr::null;

impl ByteChan {
    /// [`send`](ByteChan::send), and the number of its result.
    ///
    /// # Safety
    /// As for `send`.
    #[inline(always)]
    pub unsafe fn send_code(&self, elem: *const u8, deadline: i64) -> i32 {
        let h = self.header();
        let Some(w) = worker::current() else {
            // SAFETY: by the caller.
            return unsafe { self.send_extra(elem, deadline) };
        };
        let g = w.current.get();
        if deadline == NOWAIT || !self.is_ordinary(g) {
            // SAFETY: by the caller.
            return unsafe { self.send_extra(elem, deadline) };
        }
        // SAFETY: by the caller; the lock is held until it is given back or somebody goes on with it.
        unsafe {
            let grant = match h.lock.lock_owned(w.word()) {
                Owned::Held(grant) => grant,
                Owned::Not => return self.send_extra(elem, deadline),
                Owned::Lost(grant) => return self.send_without(grant, elem, deadline),
            };
            match self.send_held_plainly(elem) {
                Tried::Done(woken) => end(w, h.lock.give_back(grant), woken, 0),
                Tried::Wait => self.send_waits(w, g, elem, deadline),
                Tried::Other => self.send_held(elem, deadline),
            }
        }
    }

    /// [`recv`](ByteChan::recv), and the number of its result.
    ///
    /// # Safety
    /// As for `recv`.
    #[inline(always)]
    pub unsafe fn recv_code(&self, elem: *mut u8, deadline: i64) -> i32 {
        let h = self.header();
        let Some(w) = worker::current() else {
            // SAFETY: by the caller.
            return unsafe { self.recv_extra(elem, deadline) };
        };
        let g = w.current.get();
        if deadline == NOWAIT || elem.is_null() || !self.is_ordinary(g) {
            // SAFETY: by the caller.
            return unsafe { self.recv_extra(elem, deadline) };
        }
        // SAFETY: by the caller; the lock is held until it is given back or somebody goes on with it.
        unsafe {
            let grant = match h.lock.lock_owned(w.word()) {
                Owned::Held(grant) => grant,
                Owned::Not => return self.recv_extra(elem, deadline),
                Owned::Lost(grant) => return self.recv_without(grant, elem, deadline),
            };
            match self.recv_held_plainly(elem) {
                Tried::Done(woken) => end(w, h.lock.give_back(grant), woken, 0),
                Tried::Wait => self.recv_waits(w, g, elem, deadline),
                Tried::Other => self.recv_held(elem, deadline),
            }
        }
    }

    /// Sends if that is done at once and nothing about it is out of the ordinary. For a host that has something to do before its goroutine may
    /// be switched away: here it is not.
    ///
    /// # Safety
    /// As for `send`.
    #[inline(always)]
    pub unsafe fn send_at_once(&self, caller: Caller<'_>, elem: *const u8) -> AtOnce {
        // SAFETY: by the caller; the lock is held while that runs.
        unsafe { self.at_once(caller, || self.send_held_plainly(elem)) }
    }

    /// The same of a receive.
    ///
    /// # Safety
    /// As for `recv`; `elem` is not null.
    #[inline(always)]
    pub unsafe fn recv_at_once(&self, caller: Caller<'_>, elem: *mut u8) -> AtOnce {
        // SAFETY: by the caller; the lock is held while that runs.
        unsafe { self.at_once(caller, || self.recv_held_plainly(elem)) }
    }

    /// Tries an operation under the lock.
    ///
    /// # Safety
    /// `operation` is sound to call on a small channel with the lock held.
    #[inline(always)]
    unsafe fn at_once(&self, caller: Caller<'_>, operation: impl FnOnce() -> Tried) -> AtOnce {
        let (w, lock) = (caller.worker, &self.header().lock);
        if !self.is_small() {
            return AtOnce::No;
        }
        // SAFETY: by the caller; the lock is held until it is given back, and a claimed goroutine's waiter is to be readied.
        unsafe {
            let grant = match lock.lock_owned(w.word()) {
                Owned::Held(grant) => grant,
                Owned::Not => return AtOnce::No,
                Owned::Lost(grant) => {
                    lock.leave(grant).wake();
                    return AtOnce::No;
                }
            };
            let tried = operation();
            lock.give_back(grant).wake();
            let Tried::Done(woken) = tried else { return AtOnce::No };
            if !woken.is_null() {
                end_ready(w, G::of_waiter(woken), 0);
            }
            match w.attention.any() {
                false => AtOnce::Done,
                true => AtOnce::Due,
            }
        }
    }

    /// What is ordinary of a send under the lock.
    ///
    /// # Safety
    /// As for [`send`](ByteChan::send), of a small channel whose lock is held.
    #[inline(always)]
    unsafe fn send_held_plainly(&self, elem: *const u8) -> Tried {
        let h = self.header();
        // SAFETY: by the caller; a claimed receiver's slot is ours until it is readied (W3).
        unsafe {
            let ring = self.core.ring();
            let n = loop {
                let n = (*h.recvq.get()).first();
                if n.is_null() {
                    if h.is_closed() {
                        return Tried::Other;
                    }
                    if !ring.has_room() {
                        return Tried::Wait;
                    }
                    ring.push_small(elem);
                    self.core.note_len();
                    return Tried::Done(null());
                }
                if !is_plain(n) {
                    return Tried::Other;
                }
                (*h.recvq.get()).remove(n);
                if Node::claim(n) {
                    break n;
                }
            };
            ring.transfer_small(elem, (*n).elem);
            (*n).ok = true;
            Tried::Done((*n).waiter)
        }
    }

    /// What is ordinary of a receive under the lock.
    ///
    /// # Safety
    /// As for [`recv`](ByteChan::recv), of a small channel whose lock is held; `elem` is not null.
    #[inline(always)]
    unsafe fn recv_held_plainly(&self, elem: *mut u8) -> Tried {
        let h = self.header();
        // SAFETY: by the caller; a claimed sender's value is ours to move (C4, W3).
        unsafe {
            let ring = self.core.ring();
            let n = loop {
                let n = (*h.sendq.get()).first();
                if n.is_null() {
                    if ring.has_some() {
                        ring.pop_small(elem);
                        self.core.note_len();
                        return Tried::Done(null());
                    }
                    return if h.is_closed() { Tried::Other } else { Tried::Wait };
                }
                if ring.has_some() || !is_plain(n) {
                    return Tried::Other;
                }
                (*h.sendq.get()).remove(n);
                h.mirror.sender_left(); // C6
                if Node::claim(n) {
                    break n;
                }
            };
            ring.transfer_small((*n).elem, elem);
            (*n).ok = true;
            Tried::Done((*n).waiter)
        }
    }

    /// A select's try at this channel: what was to be done is done, and the answer is what `answer` returns. If that is out of the ordinary nothing
    /// was moved, and the answer is that of `other`, which is to wake whoever sleeps at the lock.
    ///
    /// # Safety
    /// As for [`send`](ByteChan::send) or [`recv`](ByteChan::recv), of a small channel; `elem` is not null and `w` the current worker.
    #[inline(always)]
    pub(crate) unsafe fn select_try(
        &self,
        w: &Worker,
        elem: *mut u8,
        sends: bool,
        answer: impl FnOnce() -> i32,
        other: impl FnOnce(Sleeper) -> i32,
    ) -> i32 {
        let lock = &self.header().lock;
        // SAFETY: by the caller; the lock is held until it is given back.
        unsafe {
            let grant = match lock.lock_owned(w.word()) {
                Owned::Held(grant) => grant,
                Owned::Not => return other(Sleeper::none()),
                Owned::Lost(grant) => return other(lock.leave(grant)),
            };
            match if sends { self.send_held_plainly(elem) } else { self.recv_held_plainly(elem) } {
                Tried::Done(woken) => end(w, lock.give_back(grant), woken, answer()),
                Tried::Wait | Tried::Other => other(lock.give_back(grant)),
            }
        }
    }

    /// [`Header::look`](super::core::Header::look) of a small channel, which is no timer's. Under the lock it is exact, but for a send without a buffer.
    #[inline(always)]
    pub(crate) fn select_look(&self, sends: bool) -> Option<u64> {
        debug_assert!(self.is_small());
        let h = self.header();
        h.mirror.look(|m| if sends { m.is_full(h.slots) } else { m.is_empty() })
    }

    /// All of a receive that does not wait where there was an instant, just now, at which the channel was empty and open: its answer is `WouldBlock`. False
    /// says nothing, and nothing has happened.
    #[inline(always)]
    pub fn finds_nothing(&self) -> bool {
        finds_nothing(self.header())
    }

    /// The same about channel and caller; see [`is_ordinary`].
    #[inline(always)]
    fn is_ordinary(&self, g: *const G) -> bool {
        self.is_small() && is_ordinary(g)
    }

    // ---- what is out of the ordinary ---------------------------------------------------------------

    #[inline(never)]
    unsafe extern "C" fn send_extra(&self, elem: *const u8, deadline: i64) -> i32 {
        // SAFETY: by the caller.
        status(unsafe { self.send(elem, deadline) })
    }

    #[inline(never)]
    unsafe extern "C" fn recv_extra(&self, elem: *mut u8, deadline: i64) -> i32 {
        // SAFETY: by the caller.
        status(unsafe { self.recv(elem, deadline) })
    }

    /// The lock's owner is so no more.
    #[cold]
    #[inline(never)]
    unsafe extern "C" fn send_without(&self, grant: usize, elem: *const u8, deadline: i64) -> i32 {
        self.header().lock.leave(grant).wake();
        // SAFETY: by the caller.
        unsafe { self.send_extra(elem, deadline) }
    }

    /// As above.
    #[cold]
    #[inline(never)]
    unsafe extern "C" fn recv_without(&self, grant: usize, elem: *mut u8, deadline: i64) -> i32 {
        self.header().lock.leave(grant).wake();
        // SAFETY: by the caller.
        unsafe { self.recv_extra(elem, deadline) }
    }

    /// Under the lock, which is given back.
    #[inline(never)]
    unsafe extern "C" fn send_held(&self, elem: *const u8, deadline: i64) -> i32 {
        // SAFETY: by the caller; without a policy nothing is written to `elem`.
        status(unsafe { self.core.send_held(worker::current(), elem.cast_mut(), deadline).or_else(sent) })
    }

    /// As above.
    #[inline(never)]
    unsafe extern "C" fn recv_held(&self, elem: *mut u8, deadline: i64) -> i32 {
        // SAFETY: by the caller.
        unsafe {
            let r = self.core.recv_held(worker::current(), elem, deadline);
            status(self.zeroed_if_closed(r, elem))
        }
    }

    /// As above; there is neither a receiver nor room. That the wait is ordinary is seen here: to ask takes a call.
    #[inline(never)]
    unsafe extern "C" fn send_waits(&self, w: &Worker, g: *mut G, elem: *const u8, deadline: i64) -> i32 {
        // SAFETY: by the caller; a sender's value is only read.
        unsafe {
            if !sched::waits_plainly(w, g, deadline) {
                return self.send_held(elem, deadline);
            }
            match self.header().park_locked(w, g, elem.cast_mut(), true) {
                true => 0,
                false => code_of(Error::Closed),
            }
        }
    }

    /// As above; there is neither a value nor a sender.
    #[inline(never)]
    unsafe extern "C" fn recv_waits(&self, w: &Worker, g: *mut G, elem: *mut u8, deadline: i64) -> i32 {
        // SAFETY: by the caller.
        unsafe {
            if !sched::waits_plainly(w, g, deadline) {
                return self.recv_held(elem, deadline);
            }
            self.header().mirror.untell();
            match self.header().park_locked(w, g, elem, false) {
                true => 0,
                false => status(self.zeroed_if_closed(Err(Error::Closed), elem)),
            }
        }
    }
}

/// Who calls: a goroutine on a worker, and nothing about that is out of the ordinary. Good until it may be switched away.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    worker: &'a Worker,
    goroutine: &'a G,
}

impl Caller<'_> {
    /// None for a thread, and for whoever has to go the long way.
    #[inline(always)]
    pub fn now() -> Option<Caller<'static>> {
        let worker = worker::current()?;
        let g = worker.current.get();
        // SAFETY: the running goroutine's header is valid.
        is_ordinary(g).then(|| Caller { worker, goroutine: unsafe { &*g } })
    }

    /// The goroutine's word for its host.
    #[inline(always)]
    pub fn local(self) -> *mut c_void {
        self.goroutine.local.get()
    }

    /// Counts a call of the host's on this worker; false, and not counted, once [`turn`](crate::sched::host::turn) is due.
    #[inline(always)]
    pub fn count(self) -> bool {
        let calls = self.worker.calls.get();
        if calls == u8::MAX {
            return false;
        }
        self.worker.calls.set(calls + 1);
        true
    }
}

/// What has come of an operation that was tried at once.
#[must_use]
pub enum AtOnce {
    /// Nothing: it has to wait, or goes another way.
    No,
    /// It is done.
    Done,
    /// It is done, and a checkpoint is to follow.
    Due,
}

/// What the ordinary part of an operation has come to.
enum Tried {
    /// It is done, and so is the lock's section; whoever this is, if it is not null, is to be readied.
    Done(*const Waiter),
    /// It has to wait.
    Wait,
    /// It is out of the ordinary.
    Other,
}

/// Whether the caller is: `g` runs on the current worker, or is null.
#[inline(always)]
pub(crate) fn is_ordinary(g: *const G) -> bool {
    !runtime::is_down()
        && !sanitize::listens()
        && !g.is_null()
        // SAFETY: the running goroutine's header is valid.
        && unsafe { !(*g).has(BOUND) }
}

/// Whether a node is a goroutine's that wants its operation done.
///
/// # Safety
/// It is queued, and the lock of its channel held.
#[inline(always)]
unsafe fn is_plain(n: *mut Node) -> bool {
    // SAFETY: a queued node's waiter is alive (W3).
    unsafe { !(*n).peek && (*(*n).waiter).kind() == Kind::Goroutine }
}

/// The operation is done and the lock given back: wakes whoever sleeps at it, readies `woken` if that is not null, looks whether the time slice
/// is over, and returns `answer`.
///
/// # Safety
/// `w` is the current worker and `woken` a goroutine's waiter that was claimed.
#[inline(always)]
unsafe fn end(w: &Worker, sleeper: Sleeper, woken: *const Waiter, answer: i32) -> i32 {
    // SAFETY: by the caller.
    unsafe {
        if sleeper.is_there() || w.attention.any() {
            return end_extra(w, sleeper, woken, answer);
        }
        if woken.is_null() {
            return answer;
        }
        end_ready(w, G::of_waiter(woken), answer)
    }
}

#[cold]
#[inline(never)]
unsafe extern "C" fn end_extra(w: &Worker, sleeper: Sleeper, woken: *const Waiter, answer: i32) -> i32 {
    sleeper.wake();
    // SAFETY: by the caller.
    unsafe {
        if !woken.is_null() {
            sched::ready(woken);
        }
    }
    sched::checkpoint_of(Some(w), true);
    answer
}

/// Most goroutines become ready on the worker that runs them.
#[inline(never)]
unsafe extern "C" fn end_ready(w: &Worker, g: *mut G, answer: i32) -> i32 {
    // SAFETY: by the caller.
    unsafe {
        match sched::ready_here(w, g) {
            Some(false) => answer,
            Some(true) => end_wake(w, answer),
            None => end_ready_extra(w, g, answer),
        }
    }
}

#[inline(never)]
unsafe extern "C" fn end_ready_extra(w: &Worker, g: *mut G, answer: i32) -> i32 {
    // SAFETY: by the caller.
    unsafe { sched::ready_goroutine_of(Some(w), g) };
    answer
}

#[inline(never)]
extern "C" fn end_wake(w: &Worker, answer: i32) -> i32 {
    sched::wake_for_slow(w);
    answer
}

/// 0 or the number of the error.
#[inline(always)]
fn status(r: Result<(), Error>) -> i32 {
    r.map_or_else(code_of, |()| 0)
}
