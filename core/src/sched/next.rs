//! Which goroutine runs next on a worker, and when it is somebody else's turn.
//!
//! *Where it sits*: layer 3, a part of [`Worker`]. Called at every switch, and by `find`, which looks further when there is nothing here. README.md
//! beside this file says whose turn it is and why.

use super::worker::Worker;
use crate::arch;
use crate::cell::Ordering;
use crate::goroutine::{G, STARTED};
use crate::list::Fifo;
use crate::queue::Inner;
use core::ptr::null_mut;

/// A chain of goroutines that wake each other takes the slot in front of the queue for this long at a stretch, to be looked
/// at every `LOOK_AROUND` decisions.
const CHAIN: i64 = 1_000_000;
/// The chain's time is used up.
const MAX_HOPS: u32 = u32::MAX;
/// A worker that has goroutines to run shares its permit after this long with those who wait for one for what only they can run: some
/// twenty times what it costs to wake the other's thread. Who waits for a permit with nothing but what this worker could come for gets it
/// when the monitor asks.
const SHARE_AFTER: i64 = 200_000;
/// Every so many decisions the worker looks at the sources it does not see on the fast path.
const LOOK_AROUND: u32 = 32;

/// Chains shorter than this are in the cache anyway.
const FAR: usize = 32;

/// Takes the first out of a chain, and asks for what the next ones will touch. A goroutine that has been parked for long is in no
/// cache, and every return on its stack would wait for memory: the stack of the next one is asked for now, and the
/// header of the one after it, from which we shall learn where its stack is.
///
/// # Safety
/// The chain's goroutines are the caller's (G1).
#[inline(always)]
unsafe fn pop_ahead(chain: &mut Fifo<G>) -> *mut G {
    // SAFETY: by the caller; the chain has a second and a third node if it is as long as that.
    unsafe {
        let g = chain.pop_front();
        if chain.len > FAR {
            let next = chain.head;
            if (*next).has(STARTED) {
                (*(*next).ctx.get()).prefetch();
            } else {
                arch::prefetch(next.cast::<u8>().wrapping_add(128));
                arch::prefetch(next.cast::<u8>().wrapping_add(192));
            }
            let after: *const u8 = (*(*next).link.get()).cast();
            arch::prefetch(after);
            arch::prefetch(after.wrapping_add(64));
        }
        g
    }
}

impl Worker {
    /// The next goroutine to run; null: the loop has to look further.
    ///
    /// The slot in front continues the slice of whoever filled it, so it is honoured only for the time of a slice: a pair that
    /// wakes only each other cannot keep the queue waiting. Time, not a number of turns: a pair that works a lot between
    /// two turns must not get more than one that works little (G-13).
    #[inline(always)]
    pub fn pick(&self) -> *mut G {
        if self.is_time_to_look_around() {
            return self.pick_slow();
        }
        self.pick_local()
    }

    /// The same without a frame of its own, for who has just gone behind all others.
    #[inline(always)]
    pub fn pick_another(&self) -> *mut G {
        if self.is_time_to_look_around() {
            return self.pick_slow();
        }
        match self.take_slot() {
            g if g.is_null() => self.pick_queued_here(),
            g => g,
        }
    }

    #[inline(always)]
    fn is_time_to_look_around(&self) -> bool {
        let t = self.tick.get().wrapping_add(1);
        self.tick.set(t);
        t % LOOK_AROUND == 0 || self.attention.any()
    }

    /// The same without a look around: null means that no queue of this worker holds anything.
    #[inline(always)]
    pub fn pick_local(&self) -> *mut G {
        match self.take_slot() {
            g if g.is_null() => self.pick_queued(),
            g => g,
        }
    }

    /// Takes what is in the slot in front; null: nothing. If its chain's slice is used up, what is there goes behind all others.
    #[inline(always)]
    fn take_slot(&self) -> *mut G {
        let hops = self.hops.get();
        if hops == MAX_HOPS {
            self.put_slot_behind();
            return null_mut();
        }
        let mut g = self.next_bound.get();
        if !g.is_null() {
            self.next_bound.set(null_mut());
        } else if self.queue.may_have_next() {
            // SAFETY: K1: only the owner picks.
            g = unsafe { self.queue.owner(|q| q.take_next()) };
        }
        if !g.is_null() {
            self.hops.set((hops + 1).min(MAX_HOPS - 1));
        }
        g
    }

    #[cold]
    fn put_slot_behind(&self) {
        // SAFETY: K1: only the owner picks; what it takes out is ours (G1).
        unsafe {
            let g = self.next_bound.replace(null_mut());
            if !g.is_null() {
                (*self.bound.get()).push_back(g);
            }
            self.queue.owner(|q| {
                let g = q.take_next();
                if !g.is_null() {
                    q.push_behind(g);
                }
            });
        }
    }

    /// Begins a slice with what is queued; nothing is in the slot in front.
    #[inline(never)]
    fn pick_queued(&self) -> *mut G {
        self.pick_queued_here()
    }

    /// The same without a frame of its own.
    #[inline(always)]
    fn pick_queued_here(&self) -> *mut G {
        // SAFETY: K1: only the owner calls pick; what it takes out is ours (G1).
        unsafe {
            let bound = &mut *self.bound.get();
            // By turns, or one of the two queues could keep the other waiting.
            let slice = self.slice.load(Ordering::Relaxed);
            let bound_first = (slice & 1 == 0) & !bound.is_empty(); // both are looked at: half of the time a branch would be wrong
            let g = self.queue.owner(|q| match bound_first {
                true => null_mut(),
                false if self.by_turns.get() => self.pop_by_turns(q, slice >> 1),
                false => pop_ahead(q),
            });
            self.new_slice();
            if !g.is_null() {
                return g;
            }
            pop_ahead(bound)
        }
    }

    /// Takes from the queue while there is more than its chain.
    #[cold]
    unsafe fn pop_by_turns(&self, q: &mut Inner<G>, turn: u32) -> *mut G {
        // SAFETY: the caller is at the queue, whose goroutines are ours as long as it is.
        let g = unsafe { pop_ahead(q.turn(turn)) };
        self.by_turns.set(q.takes_turns());
        g
    }

    /// A new time slice begins.
    #[inline(always)]
    pub fn new_slice(&self) {
        self.hops.set(0);
        self.chain_began.set(0);
        self.slice.store(self.slice.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The look around: other sources get their turn, so that none starves.
    #[cold]
    fn pick_slow(&self) -> *mut G {
        let turn = self.look.get();
        self.look.set(turn.wrapping_add(1));
        let asked = self.attention.wants_preempt();
        let due =
            if asked { super::timers::due_for(self.index) } else { super::timers::due_somewhere(self.index, turn) };
        if self.attention.needs_loop() || due || self.has_to_share() {
            return null_mut();
        }
        if self.attention.take_preempt() || self.chain_is_long() {
            self.hops.set(MAX_HOPS);
        }
        self.drain_inbox();
        if !self.seat.is_exclusive() {
            let g = super::INJECTOR.pop();
            if !g.is_null() {
                self.new_slice();
                return g;
            }
        }
        self.pick_local()
    }

    /// Whether others have waited for so long with what only they can run that this worker gives its permit: its loop does it.
    fn has_to_share(&self) -> bool {
        if !super::idle::GATE.is_pressed() {
            self.pressed_since.set(0);
            return false;
        }
        let now = super::timers::now();
        if self.pressed_since.get() == 0 {
            self.pressed_since.set(now);
        }
        let long = now - self.pressed_since.get() > SHARE_AFTER;
        if long {
            self.pressed_since.set(0);
            self.attention.share();
        }
        long
    }

    /// Whether the slot in front has been honoured for a whole slice. The clock is read on the look around only, and the
    /// first look is the beginning.
    fn chain_is_long(&self) -> bool {
        if self.hops.get() == 0 {
            return false;
        }
        let now = super::timers::now();
        if self.chain_began.get() == 0 {
            self.chain_began.set(now);
        }
        now - self.chain_began.get() > CHAIN
    }

    /// Begins a new slice with whatever is queued, not with the slot in front.
    pub fn end_slice(&self) {
        self.hops.set(MAX_HOPS);
    }
}
