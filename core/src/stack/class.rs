//! Size classes: the free slots of each size, shared by all workers.
//!
//! *Where it sits.* Layer 1, behind `stack`. Calls `slab`, `guard`, `sys`. Called by `pool` in batches,
//! and directly for sizes other than the default.
//!
//! # State
//! Per class, under its lock: `warm` slots, which may hold pages, last freed at the end; `cold` slots, whose
//! pages went back; `fresh` ranges, never used and without guards.
//!
//! # Invariants
//! * SC1. A slot in `warm` or `cold` has been through `guard::install`.
//! * SC2. `low` is the smallest length `warm` had since the last scavenge, so its first `low`
//!   slots have lain there all that time. Those, and only those, give their pages back.
//!
//! No system call that can take long happens under a lock, except mapping a slab.

use super::slab::{self, Fresh};
use super::{class_of, default_class, guard, Error, Stack};
use crate::rank::Rank;
use crate::sys::{self, pages, Mutex, MutexGuard};

/// Logarithms of slot sizes run from 0 to here.
const CLASSES: usize = 32;

/// Warm slots that `scavenge` leaves alone.
const KEEP: usize = 32;

/// How many fresh slots get their guards at a time: few at first, then more.
const FIRST_BATCH: usize = 4;
const LAST_BATCH: usize = pages::BATCH;

struct Class {
    warm: Vec<Stack>,
    cold: Vec<Stack>,
    fresh: Vec<Fresh>,
    /// Slots in all slabs of this class.
    slots: usize,
    /// Slots taken and not put back.
    out: usize,
    /// See SC2.
    low: usize,
    /// How many fresh slots to guard next time.
    batch: usize,
}

impl Class {
    const fn new() -> Class {
        Class { warm: Vec::new(), cold: Vec::new(), fresh: Vec::new(), slots: 0, out: 0, low: 0, batch: FIRST_BATCH }
    }

    /// Moves up to `n` used slots to `to`, the most recently used first in line to be popped.
    fn take_used(&mut self, n: usize, to: &mut Vec<Stack>) -> usize {
        let warm = self.warm.len().min(n);
        let cold = self.cold.len().min(n - warm);
        to.extend(self.cold.drain(self.cold.len() - cold..));
        to.extend(self.warm.drain(self.warm.len() - warm..));
        self.low = self.low.min(self.warm.len());
        self.out += warm + cold;
        warm + cold
    }

    fn take_one(&mut self) -> Option<Stack> {
        let s = self.warm.pop().or_else(|| self.cold.pop())?;
        self.low = self.low.min(self.warm.len());
        self.out += 1;
        Some(s)
    }

    /// Cuts a run of fresh slots off, mapping a slab when there is none.
    fn take_fresh(&mut self, log2: u32, n: usize) -> Result<Fresh, Error> {
        if self.fresh.is_empty() {
            self.map(log2, self.slots.max(1))?;
        }
        let n = n.min(self.batch);
        self.batch = (self.batch * 2).min(LAST_BATCH);
        let Some(last) = self.fresh.last_mut() else { return Err(Error::MEMORY) };
        let run = Fresh { next: last.next, end: last.end.min(last.next + (n << log2)) };
        last.next = run.end;
        if last.next == last.end {
            self.fresh.pop();
        }
        self.out += (run.end - run.next) >> log2;
        Ok(run)
    }

    fn map(&mut self, log2: u32, wanted: usize) -> Result<(), Error> {
        let fresh = slab::map(log2, wanted)?;
        self.slots += (fresh.end - fresh.next) >> log2;
        self.fresh.push(fresh);
        Ok(())
    }
}

static CLASS: [Mutex<Class>; CLASSES] = [const { Mutex::new(Rank::Stack, Class::new()) }; CLASSES];

fn lock(log2: u32) -> MutexGuard<'static, Class> {
    CLASS[log2 as usize].lock()
}

/// Moves at least one and up to `n` slots of a class to `to`; the one to use first is last.
pub fn take(log2: u32, n: usize, to: &mut Vec<Stack>) -> Result<(), Error> {
    let run = {
        let mut class = lock(log2);
        if class.take_used(n, to) > 0 {
            return Ok(());
        }
        class.take_fresh(log2, n)?
    };
    let count = (run.end - run.next) >> log2;
    // SAFETY: the slots were fresh and are ours now (ST1), so nothing lives in them.
    unsafe { guard::install(run.next, log2, count) };
    to.extend((0..count).rev().map(|i| Stack::new(run.next + (i << log2), log2)));
    Ok(())
}

/// Takes slots back; the last one is the most recently used.
pub fn give(log2: u32, slots: impl ExactSizeIterator<Item = Stack>) {
    let mut class = lock(log2);
    class.out -= slots.len();
    class.warm.extend(slots);
}

/// Makes sure that address space for `n_total` stacks of the default size is mapped, so that
/// taking one cannot fail for lack of it.
///
/// # Errors
/// The system's, when it gives no more address space. What was mapped stays.
pub fn reserve(n_total: usize) -> Result<(), Error> {
    let log2 = default_class();
    let mut class = lock(log2);
    while class.slots < n_total {
        // Half as much again, so that growing in small steps makes few mappings.
        let wanted = (n_total - class.slots).max(class.slots / 2);
        class.map(log2, wanted)?;
    }
    Ok(())
}

/// A stack of at least `size` bytes, guard included: `size` rounded up to a power of two.
///
/// # Errors
/// `EINVAL` for a size below 16 KiB or above 1 GiB, otherwise the system's.
pub fn get_sized(size: usize) -> Result<Stack, Error> {
    let log2 = class_of(size).ok_or(Error::SIZE)?;
    let run = {
        let mut class = lock(log2);
        if let Some(s) = class.take_one() {
            return Ok(s);
        }
        class.take_fresh(log2, 1)?
    };
    // SAFETY: the slot was fresh and is ours now (ST1), so nothing lives in it.
    unsafe { guard::install(run.next, log2, 1) };
    Ok(Stack::new(run.next, log2))
}

/// Takes back a stack that [`get_sized`] gave. None is allowed and does nothing.
pub fn put_sized(s: Stack) {
    if !s.is_none() {
        give(s.log2(), std::iter::once(s));
    }
}

/// Gives the pages of stacks back that lay unused since the last call; a few stay. Returns how many stacks gave.
///
/// To be called now and then, from any thread.
pub fn scavenge() -> usize {
    (0..CLASSES as u32).map(scavenge_class).sum()
}

fn scavenge_class(log2: u32) -> usize {
    let mut idle: Vec<Stack> = {
        let mut class = lock(log2);
        let keep = KEEP.min(class.low);
        let n = class.low - keep;
        let idle = class.warm.drain(..n).collect();
        class.low = class.warm.len();
        idle
    };
    if idle.is_empty() {
        return 0;
    }
    idle.sort_unstable_by_key(|s| s.base());
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for s in &idle {
        match runs.last_mut() {
            // A run goes over guards: giving pages back leaves them in place.
            Some((at, len)) if *at + *len == s.base() => *len += s.size(),
            _ => runs.push((s.base(), s.size())),
        }
    }
    for batch in runs.chunks(pages::BATCH) {
        // SAFETY: the slots are in no list and with no owner but us (ST1), so what they hold is dead.
        unsafe { give_back(batch) };
    }
    // From the front is taken last, so low addresses are re-used first and stay dense.
    idle.reverse();
    let n = idle.len();
    lock(log2).cold.append(&mut idle);
    n
}

/// # Safety
/// Nobody needs what is in the ranges.
unsafe fn give_back(ranges: &[pages::Range]) {
    // SAFETY: the caller vouches. A refusal leaves the pages where they are, which costs memory, no more.
    unsafe {
        if ranges.len() > 1 && pages::advise_dontneed_batch(ranges) {
            return;
        }
        for &(addr, len) in ranges {
            let _ = sys::advise_dontneed(addr as *mut u8, len);
        }
    }
}

/// Numbers about all stacks, in bytes of address space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackStats {
    /// All slabs.
    pub mapped: usize,
    /// Stacks with goroutines and in the pools of workers.
    pub in_use: usize,
    /// Stacks in the global lists that may still hold pages.
    pub cached: usize,
}

/// Numbers about all stacks.
pub fn stats() -> StackStats {
    let mut s = StackStats { mapped: slab::mapped(), ..StackStats::default() };
    for log2 in 0..CLASSES as u32 {
        let class = lock(log2);
        s.in_use += class.out << log2;
        s.cached += class.warm.len() << log2;
    }
    s
}

/// How many stacks are with goroutines, in builds that count it (`pool.rs`); exact when nobody takes or gives one meanwhile.
pub fn held() -> Option<usize> {
    let out: usize = (0..CLASSES as u32).map(|log2| lock(log2).out).sum();
    super::pool::pooled().map(|n| out.saturating_sub(n))
}

/// Unmaps every slab. No mapping is left behind; the default size stays.
///
/// # Safety
/// No stack is in use, no pool holds one (all have been flushed or forgotten), and no other thread is in here.
pub unsafe fn release_all() {
    for log2 in 0..CLASSES as u32 {
        *lock(log2) = Class::new();
    }
    // SAFETY: the caller vouches that nothing is in use; the lists are empty now.
    unsafe { slab::release() };
}
