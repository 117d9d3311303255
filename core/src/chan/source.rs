//! The timer behind a timer's channel.
//!
//! *Where it sits*: layer 4, owned by a channel's header. Rules T-03 to T-15: such a channel has no buffer; a tick is
//! made when somebody asks for it. So nothing stale can be in it after `stop` or `reset`, and a timer that nobody reads
//! costs nothing: it is in the heap only while somebody waits on the channel (D-04).
//!
//! # Invariants
//!
//! * **S1** All of it is used under the channel's lock.
//! * **S2** The heap holds the node exactly while a receiver waits and the timer is armed (or is just being fired).
//! * **S3** `when` stays on the phase: start + k · period (T-13).
//!
//! The lock order is channel, then heap shard. A timer fires under its shard's lock, so it only *tries* the channel's
//! lock, and is looked at again a moment later if that is taken.

use super::core::Header;
use crate::timers::{self, Due, TimerNode};
use std::cell::Cell;
use std::mem::offset_of;

/// Not armed.
const NEVER: i64 = i64::MAX;
/// Armed, for a time that does not come (T-02).
const LAST: i64 = NEVER - 1;

/// The heap sees timers of channels in steps of 16 µs, late by one at most, which is less than the kernel's own slack. Timers of one
/// step fire in the order in which they were armed, and a select arms in random order: so of several that were made one after
/// the other for the same duration, each has its chance (S-02).
const GRAIN: i64 = 1 << 14;

fn grain(when: i64) -> i64 {
    when.saturating_add(GRAIN - 1) & !(GRAIN - 1)
}

/// A one-shot or periodic timer that makes a channel's values.
pub struct Source {
    node: TimerNode,
    in_heap: Cell<bool>,
    when: Cell<i64>,
    period: Cell<i64>,
    header: Cell<*const Header>,
    /// Writes the value for a scheduled instant.
    emit: unsafe fn(i64, *mut u8),
}

impl Source {
    /// First due at `when`, then every `period` nanoseconds (0: once).
    pub fn new(when: i64, period: i64, emit: unsafe fn(i64, *mut u8)) -> Source {
        Source {
            node: TimerNode::new(),
            in_heap: Cell::new(false),
            when: Cell::new(when.min(LAST)),
            period: Cell::new(period),
            header: Cell::new(core::ptr::null()),
            emit,
        }
    }

    /// Whether a tick could be received now.
    pub fn is_due(&self) -> bool {
        self.when.get() != NEVER && self.when.get() <= timers::now()
    }

    /// Makes a tick into `dst` if one is due.
    ///
    /// # Safety
    /// The channel's lock is held; `dst` is null or has room for the value.
    pub unsafe fn poll(&self, dst: *mut u8) -> bool {
        if self.when.get() == NEVER {
            return false;
        }
        let now = timers::now();
        if self.when.get() > now {
            return false;
        }
        // SAFETY: by the caller.
        unsafe { self.tick(dst, now) };
        true
    }

    /// The scheduled instant is delivered (T-07); late ones are dropped, the phase is kept.
    unsafe fn tick(&self, dst: *mut u8, now: i64) {
        let when = self.when.get();
        if !dst.is_null() {
            // SAFETY: dst has room for the channel's value, which is what `emit` writes.
            unsafe { (self.emit)(when, dst) };
        }
        let p = self.period.get();
        if p <= 0 {
            self.when.set(NEVER);
        } else {
            let missed = (now - when) / p;
            self.when.set(when.saturating_add(p.saturating_mul(missed + 1)).min(LAST));
        }
    }

    /// Somebody begins to wait on the channel.
    ///
    /// # Safety
    /// The lock of `h`, whose source this is, is held.
    pub unsafe fn arm(&self, h: &Header) {
        self.header.set(h);
        if self.when.get() != NEVER && !self.in_heap.replace(true) {
            // SAFETY: in no heap (S2); disarmed before the channel goes away.
            unsafe { timers::arm(&self.node, grain(self.when.get()), fire) };
        }
    }

    /// Nobody waits any more.
    ///
    /// # Safety
    /// The channel's lock is held.
    pub unsafe fn disarm(&self) {
        if self.in_heap.replace(false) {
            // SAFETY: armed before. If it is being fired it finds the channel locked and tries again: `disarm`
            // waits for the shard's lock and takes it out then.
            unsafe { timers::disarm(&self.node) };
        }
    }

    /// Changes the period from the next `reset` on. Under the channel's lock.
    pub fn set_period(&self, period: i64) {
        self.period.set(period);
    }

    /// Stops it. True if a tick was to come, or was due and unread (T-05).
    ///
    /// # Safety
    /// The channel's lock is held.
    pub unsafe fn stop(&self) -> bool {
        let was = self.when.replace(NEVER) != NEVER;
        // SAFETY: by the caller.
        unsafe { self.disarm() };
        was
    }

    /// Starts it anew, first due at `when`; the period is kept, its phase begins here. The result is as of `stop`.
    ///
    /// # Safety
    /// The lock of `h`, whose source this is, is held.
    pub unsafe fn reset(&self, h: &Header, when: i64) -> bool {
        // SAFETY: by the caller.
        unsafe {
            let was = self.stop();
            self.when.set(when.min(LAST));
            if h.receivers_wait() {
                self.arm(h);
            }
            was
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // SAFETY: the channel is going away: nobody holds its lock.
        unsafe { self.disarm() };
    }
}

/// The timer is due while somebody waits: hands the tick to the first receiver.
unsafe fn fire(node: *mut TimerNode, _: i64, due: &mut Due) {
    // SAFETY: armed by `Source::arm`, so the node lies in a Source whose channel is alive: before it goes away the
    // node leaves the heap, under the lock we are under.
    unsafe {
        let s = &*node.cast::<u8>().sub(offset_of!(Source, node)).cast::<Source>();
        let h = &*s.header.get();
        if !h.try_lock() {
            due.again.push(node);
            return;
        }
        s.in_heap.set(false);
        if s.when.get() <= due.now {
            if let Some(n) = h.claim_receiver() {
                s.tick((*n).elem, due.now);
                (*n).ok = true;
                due.waiters.push((*n).waiter);
            }
        }
        if s.when.get() != NEVER && h.receivers_wait() {
            s.in_heap.set(true);
            due.rearm.push((node, grain(s.when.get())));
        }
        h.unlock();
    }
}
