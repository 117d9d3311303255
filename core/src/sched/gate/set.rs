//! What the gate keeps under its lock: seats with a permit, asleep, or waiting for a permit.
//!
//! *Where it sits*: layer 3, a part of [`gate`](super), which has the protocol and the invariants that these methods keep.

use super::seat::{Seat, ASLEEP};
use super::MAX_THREADS;
use crate::cell::Ordering;
use std::collections::VecDeque;

/// Who holds a permit, who sleeps, and who waits for a permit.
pub(super) struct Set {
    pub(super) limit: usize,
    pub(super) active: usize,
    /// Of these, how many are not exclusive.
    pub(super) general: usize,
    /// Threads that were asked for because of I6 and have not arrived.
    pub(super) coming: usize,
    pub(super) sleepers: Vec<&'static Seat>,
    pub(super) waiting: VecDeque<&'static Seat>,
    /// Of these, how many are pressing.
    pub(super) pressing: usize,
    /// Who sleeps until the first timer, and when that is (I4).
    pub(super) keeper: Option<(&'static Seat, i64)>,
    pub(super) threads: usize,
    /// Seats whose `revoked` is set.
    pub(super) revoked: usize,
    /// Permits given so far: tells whether anybody ran between two looks.
    pub(super) grants: u64,
    pub(super) stopping: bool,
}

impl Set {
    /// No seats and no permits.
    pub(super) const fn new() -> Set {
        Set {
            limit: 0,
            active: 0,
            general: 0,
            coming: 0,
            sleepers: Vec::new(),
            waiting: VecDeque::new(),
            pressing: 0,
            keeper: None,
            threads: 0,
            revoked: 0,
            grants: 0,
            stopping: false,
        }
    }

    /// Gives a permit to `s`, which is in no list any more.
    pub(super) fn grant(&mut self, s: &'static Seat) {
        self.active += 1;
        self.general += usize::from(!s.is_exclusive());
        self.grants += 1;
        s.permitted.store(true, Ordering::Relaxed);
        self.unkeep(s);
    }

    pub(super) fn unkeep(&mut self, s: &'static Seat) {
        if self.keeper.is_some_and(|k| core::ptr::eq(k.0, s)) {
            self.keeper = None;
        }
    }

    /// Takes the permit of `s` away and hands it to the first who waits (I3).
    pub(super) fn release(&mut self, s: &'static Seat) {
        if !s.permitted.swap(false, Ordering::Relaxed) {
            return;
        }
        self.active -= 1;
        self.general -= usize::from(!s.is_exclusive());
        self.hand_on();
    }

    /// The worker has come back to the scheduler and sees whether it still has a permit.
    pub(super) fn came_back(&mut self, s: &Seat) {
        if s.revoked.swap(false, Ordering::Relaxed) {
            self.revoked -= 1;
        }
    }

    /// Serves those who wait while permits are free.
    pub(super) fn hand_on(&mut self) {
        while self.active < self.limit {
            let Some(x) = self.waiting.pop_front() else { break };
            self.pressing -= usize::from(x.pressing.load(Ordering::Relaxed));
            self.grant(x);
            x.rouse();
        }
    }

    /// Queues `s` for a permit; `pressing`: there is something that no other worker can run.
    pub(super) fn queue(&mut self, s: &'static Seat, pressing: bool) {
        s.pressing.store(pressing, Ordering::Relaxed);
        self.pressing += usize::from(pressing);
        self.waiting.push_back(s);
        // Relaxed: whoever grants holds the lock.
        s.word.store(ASLEEP, Ordering::Relaxed);
    }

    /// `s`, which is in no list of sleepers, has got something that no other worker can run.
    pub(super) fn press(&mut self, s: &Seat) {
        let waits = self.waiting.iter().any(|x| core::ptr::eq(*x, s));
        if waits && !s.pressing.swap(true, Ordering::Relaxed) {
            self.pressing += 1;
        }
    }

    /// Gives a permit to `s`, or queues it for one. True: it has one.
    pub(super) fn admit(&mut self, s: &'static Seat, pressing: bool) -> bool {
        let free = self.active < self.limit || self.stopping;
        if free {
            self.grant(s);
        } else {
            self.queue(s, pressing);
        }
        free
    }

    pub(super) fn remove_sleeper(&mut self, s: &'static Seat) -> bool {
        let at = self.sleepers.iter().position(|x| core::ptr::eq(*x, s));
        at.is_some_and(|i| {
            self.sleepers.remove(i);
            true
        })
    }

    /// The sleeper that slept last, of those that may do anybody's work.
    pub(super) fn pop_sleeper(&mut self) -> Option<&'static Seat> {
        let i = self.sleepers.iter().rposition(|s| !s.is_exclusive())?;
        Some(self.sleepers.remove(i))
    }

    /// Whether some worker runs, or is about to run, that takes anybody's work (I6).
    pub(super) fn has_general(&self) -> bool {
        self.general > 0 || self.coming > 0 || self.waiting.iter().any(|s| !s.is_exclusive())
    }

    /// Whether one more worker would be of use.
    pub(super) fn has_room(&self) -> bool {
        !self.stopping && (self.active < self.limit || !self.has_general())
    }

    pub(super) fn can_wake(&self) -> bool {
        self.has_room() && (self.threads < MAX_THREADS || self.sleepers.iter().any(|s| !s.is_exclusive()))
    }
}
