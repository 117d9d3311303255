//! Which goroutine runs next on a worker, and when it is somebody else's turn.
//!
//! *Where it sits*: layer 3, a part of [`Worker`]. Called at every switch, and by `find`, which looks further when there is nothing here. README.md
//! beside this file says whose turn it is and why.

use super::monitor::coarse_now;
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
/// `hops`: the chain goes on.
const SOME_HOPS: u32 = 1;
/// `hops`: its time is used up.
const MAX_HOPS: u32 = u32::MAX;
/// A worker that has goroutines to run shares its permit after this long with those who wait for one for what only they can run: some
/// twenty times what it costs to wake the other's thread. Who waits for a permit with nothing but what this worker could come for gets it
/// when the monitor asks.
const SHARE_AFTER: i64 = 200_000;
/// How long those in the queue go first at the most, after a bound goroutine has used up its slice: as long as that was, by the monitor's clock.
const TURN_OF_OTHERS: i64 = 10_000_000;
/// Every so many decisions the worker looks at the sources it does not see on the fast path.
pub(super) const LOOK_AROUND: u32 = 32;

/// Chains shorter than this are in the cache anyway, unless they have come from elsewhere: see [`Worker::came_from_far`].
pub(super) const FAR: usize = 32;

/// Asks for the lines of a header that tell where its stack is and what it waits for.
#[inline(always)]
fn ask_head(g: *mut G) {
    ask(g, 0);
}

/// Asks for the others: it is about to begin, or perhaps to end.
#[inline(always)]
fn ask_rest(g: *mut G) {
    ask(g, 128);
}

#[inline(always)]
fn ask(g: *mut G, from: usize) {
    arch::prefetch(g.cast::<u8>().wrapping_add(from));
    arch::prefetch(g.cast::<u8>().wrapping_add(from + 64));
}

/// Takes the first for who puts `behind` behind all others first, and asks for what the next ones will touch. It comes back if there is no other.
///
/// # Safety
/// The chain's goroutines are the caller's (G1), and so is `behind`.
#[inline(always)]
unsafe fn exchange_ahead(chain: &mut Fifo<G>, behind: *mut G) -> *mut G {
    // SAFETY: by the caller.
    unsafe {
        let g = chain.exchange(behind);
        ask_ahead(chain);
        g
    }
}

/// Those who yield to each other have run not long ago: the stack of the next one is asked for, and the header of the one after it, from which we shall
/// learn where its stack is.
#[inline(always)]
unsafe fn ask_ahead(chain: &Fifo<G>) {
    if chain.len > FAR {
        // SAFETY: by the caller; the chain has a first and a second node if it is as long as that.
        unsafe {
            let next = chain.head;
            if (*next).has(STARTED) {
                (*(*next).ctx.get()).prefetch();
            } else {
                ask_rest(next);
            }
            ask_head(*(*next).link.get());
        }
    }
}

impl Worker {
    /// Takes the first out of a chain, and asks for what the next ones will touch.
    ///
    /// # Safety
    /// The chain's goroutines are the caller's (G1).
    #[inline(always)]
    unsafe fn pop_ahead(&self, chain: &mut Fifo<G>) -> *mut G {
        let g = chain.pop_front();
        if chain.len > self.near.get() {
            let next = chain.head;
            ask_rest(next);
            // SAFETY: by the caller; there is a first one.
            unsafe {
                if (*next).has(STARTED) {
                    self.ask_far_ahead(chain);
                } else {
                    ask_head(*(*next).link.get());
                }
            }
        }
        g
    }

    /// A goroutine that has been parked for long is in no cache, and every return on its stack would wait for memory, behind a walk through
    /// page tables that are in no cache either. That takes longer than one turn. So the stack of the second one is asked for
    /// now, and the header of the third, from which we shall learn where its stack is.
    ///
    /// # Safety
    /// As for `pop_ahead`; the chain is not empty.
    #[inline(never)]
    unsafe fn ask_far_ahead(&self, chain: &Fifo<G>) {
        // SAFETY: by the caller; the last one's link is null.
        unsafe {
            let second = *(*chain.head).link.get();
            if !second.is_null() {
                (*(*second).ctx.get()).prefetch();
                ask_head(*(*second).link.get());
            }
        }
        if chain.len <= FAR {
            self.comes_near();
        }
    }

    /// What lies in the queue comes from another worker or has been parked for long: the next ones are asked for down to the last.
    pub fn came_from_far(&self) {
        self.near.set(0);
        self.far_left.set(FAR);
    }

    /// But not for ever: others may come in their place.
    fn comes_near(&self) {
        self.far_left.set(self.far_left.get() - 1);
        if self.far_left.get() == 0 {
            self.near.set(FAR);
        }
    }

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

    /// The same without a frame of its own.
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

    /// Queues `g` behind all others and takes who is next, `g` itself if there is nobody else. Where only one of the queues holds anything, which is
    /// nearly always so, the two are one step, and nobody else has to see that.
    ///
    /// # Safety
    /// The caller owns `g` (G1).
    #[inline(always)]
    pub unsafe fn pick_behind(&self, g: *mut G) -> *mut G {
        if self.is_time_to_look_around() {
            // SAFETY: by the caller.
            return unsafe { self.push_back_and_look(g) };
        }
        // SAFETY: K1: only the owner calls this; what it takes out is ours (G1).
        unsafe {
            let bound = &mut *self.bound.get();
            let next = if (*g).is_bound() {
                if !self.next_bound.get().is_null() || self.queue.has_work_hint() {
                    return self.push_back_and_pick(g);
                }
                exchange_ahead(bound, g)
            } else {
                let others = !bound.is_empty() || !self.next_bound.get().is_null() || self.by_turns.get();
                if others || self.queue.may_have_next() || self.seat.is_exclusive() {
                    return self.push_back_and_pick(g);
                }
                self.queue.owner_exchanges(|q| exchange_ahead(q, g))
            };
            self.new_slice();
            next
        }
    }

    /// The two steps of `pick_behind` one after the other.
    #[inline(never)]
    unsafe fn push_back_and_pick(&self, g: *mut G) -> *mut G {
        // SAFETY: by the caller.
        unsafe { self.push_back(g) };
        self.pick_local()
    }

    /// The same where it is time to look around.
    #[cold]
    unsafe fn push_back_and_look(&self, g: *mut G) -> *mut G {
        // SAFETY: by the caller.
        unsafe { self.push_back(g) };
        self.pick_slow()
    }

    #[inline(always)]
    fn is_time_to_look_around(&self) -> bool {
        let left = self.tick.get().wrapping_sub(1);
        self.tick.set(left);
        left == 0 || self.attention.any()
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
        let bound = self.next_bound.get();
        if bound.is_null() && !self.queue.may_have_next() {
            return null_mut();
        }
        if self.hops.get() == MAX_HOPS {
            self.put_slot_behind();
            return null_mut();
        }
        self.hops.set(SOME_HOPS);
        if bound.is_null() {
            // SAFETY: K1: only the owner picks.
            return unsafe { self.queue.take_next() };
        }
        self.next_bound.set(null_mut());
        bound
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
            let bound_first = (slice & 1 == 0) & !bound.is_empty() & !self.bound_waits(slice, bound.len); // without a branch, half of the time it would be wrong
            let g = match self.queue.has_work_hint() {
                true => self.queue.owner(|q| self.pop_queued(q, bound_first, slice >> 1)),
                false => null_mut(),
            };
            self.new_slice();
            if !g.is_null() {
                return g;
            }
            self.waits_until.set(0);
            self.pop_ahead(bound)
        }
    }

    /// The running goroutine is bound and has used up its slice: those in the queue now go before it, as they go before one that may move. Its own turns
    /// would be every other one, ten milliseconds against one goroutine.
    pub fn bound_used_up(&self) {
        let here = u32::try_from(self.queue.len_hint()).unwrap_or(u32::MAX);
        self.waits_for.set(self.slice.load(Ordering::Relaxed).wrapping_add(here.min(i32::MAX as u32)));
        self.waits_until.set(coarse_now() + TURN_OF_OTHERS);
    }

    /// Whether those who are bound let the others go first in this slice: so long as the one that has used up its slice is alone.
    #[inline(always)]
    fn bound_waits(&self, slice: u32, bound: usize) -> bool {
        self.waits_until.get() != 0 && self.one_still_waits(slice, bound)
    }

    #[inline(never)]
    fn one_still_waits(&self, slice: u32, bound: usize) -> bool {
        let turns = self.waits_for.get().wrapping_sub(slice) as i32;
        let waits = bound == 1 && turns > 0 && coarse_now() < self.waits_until.get();
        if !waits {
            self.waits_until.set(0);
        }
        waits
    }

    /// Takes from the queue, unless it is the turn of those who are bound.
    #[inline(always)]
    unsafe fn pop_queued(&self, q: &mut Inner<G>, bound_first: bool, turn: u32) -> *mut G {
        // SAFETY: the caller is at the queue, whose goroutines are ours as long as it is.
        unsafe {
            match bound_first {
                true => null_mut(),
                false if self.by_turns.get() => self.pop_by_turns(q, turn),
                false => self.pop_ahead(q),
            }
        }
    }

    /// Takes from the queue while there is more than its chain.
    #[cold]
    unsafe fn pop_by_turns(&self, q: &mut Inner<G>, turn: u32) -> *mut G {
        // SAFETY: the caller is at the queue, whose goroutines are ours as long as it is.
        let g = unsafe { self.pop_ahead(q.turn(turn)) };
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
        self.tick.set(LOOK_AROUND);
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
            let g = self.take_injected_turn();
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
