//! Send and receive as the C interface wants them: the number of the result, and for what happens nearly always no frame.
//!
//! *Where it sits*: layer 4, beside `bytes`, whose `send` and `recv` are the same operations without the short way. Called by the C face.
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
use super::ring::Ring;
use crate::error::code_of;
use crate::goroutine::{BOUND, G};
use crate::sched;
use crate::sched::worker::{self, Worker};
use crate::sys::{Owned, Sleeper};
use crate::wait::{Kind, Node, Waiter};
use crate::{runtime, sanitize};
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
            let n = (*h.recvq.get()).first();
            let ring = self.core.ring();
            if n.is_null() {
                if h.is_closed() || !ring.has_room() {
                    return match !h.is_closed() && sched::waits_plainly(w, g, deadline) {
                        true => self.send_parked(w, g, elem),
                        false => self.send_held(elem, deadline),
                    };
                }
                ring.push_small(elem);
                self.core.note_len();
                return end(w, h.lock.give_back(grant), null());
            }
            if !is_plain(n) {
                return self.send_held(elem, deadline);
            }
            (*h.recvq.get()).remove(n);
            if !Node::claim(n) {
                return self.send_held(elem, deadline);
            }
            ring.transfer_small(elem, (*n).elem);
            (*n).ok = true;
            end(w, h.lock.give_back(grant), (*n).waiter)
        }
    }

    /// [`recv`](ByteChan::recv), and the number of its result.
    ///
    /// # Safety
    /// As for `recv`.
    #[inline(always)]
    pub unsafe fn recv_code(&self, elem: *mut u8, deadline: i64) -> i32 {
        if deadline == NOWAIT {
            // SAFETY: by the caller.
            return unsafe { self.recv_now(elem) };
        }
        let h = self.header();
        let Some(w) = worker::current() else {
            // SAFETY: by the caller.
            return unsafe { self.recv_extra(elem, deadline) };
        };
        let g = w.current.get();
        if elem.is_null() || !self.is_ordinary(g) {
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
            let n = (*h.sendq.get()).first();
            let ring = self.core.ring();
            if n.is_null() {
                if ring.has_some() {
                    ring.pop_small(elem);
                    self.core.note_len();
                    return end(w, h.lock.give_back(grant), null());
                }
                return match !h.is_closed() && sched::waits_plainly(w, g, deadline) {
                    true => self.recv_parked(w, g, elem),
                    false => self.recv_held(elem, deadline),
                };
            }
            if ring.has_some() || !is_plain(n) {
                return self.recv_held(elem, deadline);
            }
            (*h.sendq.get()).remove(n);
            h.mirror.sender_left(); // C6
            if !Node::claim(n) {
                return self.recv_held(elem, deadline);
            }
            ring.transfer_small((*n).elem, elem);
            (*n).ok = true;
            end(w, h.lock.give_back(grant), (*n).waiter)
        }
    }

    /// Whether all is ordinary so far; `g` runs on the current worker, or is null.
    #[inline(always)]
    fn is_ordinary(&self, g: *const G) -> bool {
        self.is_small()
            && !runtime::is_down()
            && !sanitize::listens()
            && !g.is_null()
            // SAFETY: the running goroutine's header is valid.
            && unsafe { !(*g).has(BOUND) }
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

    /// The answer to who looks again and again.
    #[inline(never)]
    unsafe extern "C" fn recv_now(&self, elem: *mut u8) -> i32 {
        if self.finds_nothing() {
            return code_of(Error::WouldBlock);
        }
        // SAFETY: by the caller.
        unsafe { self.recv_extra(elem, NOWAIT) }
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

    /// As above; there is neither a receiver nor room.
    #[inline(never)]
    unsafe extern "C" fn send_parked(&self, w: &Worker, g: *mut G, elem: *const u8) -> i32 {
        // SAFETY: by the caller; a sender's value is only read.
        match unsafe { self.header().park_locked(w, g, elem.cast_mut(), true) } {
            true => 0,
            false => code_of(Error::Closed),
        }
    }

    /// As above; there is neither a value nor a sender.
    #[inline(never)]
    unsafe extern "C" fn recv_parked(&self, w: &Worker, g: *mut G, elem: *mut u8) -> i32 {
        self.header().mirror.untell();
        // SAFETY: by the caller.
        unsafe {
            match self.header().park_locked(w, g, elem, false) {
                true => 0,
                false => status(self.zeroed_if_closed(Err(Error::Closed), elem)),
            }
        }
    }
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

/// The operation is done and the lock given back: wakes whoever sleeps at it, readies `woken` if that is not null, and looks whether the time slice
/// is over.
///
/// # Safety
/// `w` is the current worker and `woken` a goroutine's waiter that was claimed.
#[inline(always)]
unsafe fn end(w: &Worker, sleeper: Sleeper, woken: *const Waiter) -> i32 {
    // SAFETY: by the caller.
    unsafe {
        if sleeper.is_there() || w.attention.any() {
            return end_extra(w, sleeper, woken);
        }
        if woken.is_null() {
            return 0;
        }
        end_ready(w, G::of_waiter(woken))
    }
}

#[cold]
#[inline(never)]
unsafe extern "C" fn end_extra(w: &Worker, sleeper: Sleeper, woken: *const Waiter) -> i32 {
    sleeper.wake();
    // SAFETY: by the caller.
    unsafe {
        if !woken.is_null() {
            sched::ready(woken);
        }
    }
    sched::checkpoint_of(Some(w), true);
    0
}

/// Most goroutines become ready on the worker that runs them.
#[inline(never)]
unsafe extern "C" fn end_ready(w: &Worker, g: *mut G) -> i32 {
    // SAFETY: by the caller.
    unsafe {
        match sched::ready_here(w, g) {
            Some(false) => 0,
            Some(true) => end_wake(w),
            None => end_ready_extra(w, g),
        }
    }
}

#[inline(never)]
unsafe extern "C" fn end_ready_extra(w: &Worker, g: *mut G) -> i32 {
    // SAFETY: by the caller.
    unsafe { sched::ready_goroutine_of(Some(w), g) };
    0
}

#[inline(never)]
extern "C" fn end_wake(w: &Worker) -> i32 {
    sched::wake_for_slow(w);
    0
}

/// 0 or the number of the error.
#[inline(always)]
fn status(r: Result<(), Error>) -> i32 {
    r.map_or_else(code_of, |()| 0)
}
