//! A worker's own free stacks.
//!
//! *Where it sits.* Layer 1, behind `stack`. Calls `class` in batches. Owned by one worker; nobody else touches it,
//! so there is no lock and no atomic. (Builds with debug assertions count what lies in all pools, for tests.)
//!
//! Last in, first out: the stack that has just been used is the one whose pages are in the cache.
//!
//! A goroutine that ends puts its stack here while it still runs on it, and leaves it with the next switch. So whatever was put last
//! stays with this worker, which cannot run anything else on it before that switch: of the default size in `free`, of
//! another size in `leaving` until the next one comes or the worker is on its thread's own stack.

use super::{class, default_class, Error, Stack};
use crate::cell::{AtomicUsize, Ordering};
use std::mem;

/// How many stacks a pool holds.
const CAP: usize = 256;

/// How many come from and go to the global list at a time.
const HALF: usize = CAP / 2;

/// Stacks in all pools. Kept in checked builds.
static POOLED: AtomicUsize = AtomicUsize::new(0);
const CHECKED: bool = cfg!(debug_assertions);

#[inline(always)]
fn came(n: usize) {
    if CHECKED {
        POOLED.fetch_add(n, Ordering::Relaxed);
    }
}

#[inline(always)]
fn went(n: usize) {
    if CHECKED {
        POOLED.fetch_sub(n, Ordering::Relaxed);
    }
}

/// How many stacks lie in pools; `None` where nobody counts.
pub fn pooled() -> Option<usize> {
    CHECKED.then(|| POOLED.load(Ordering::Relaxed))
}

/// Free stacks of the default size.
#[derive(Debug)]
pub struct Pool {
    /// The next one is last. Without room, or with room for `CAP`.
    free: Vec<Stack>,
    /// The logarithm of the default size; zero until the first slow path.
    log2: u32,
    /// The stack of another size that was put last; its goroutine may still be on it.
    leaving: Stack,
}

impl Pool {
    /// An empty pool.
    pub const fn new() -> Pool {
        Pool { free: Vec::new(), log2: 0, leaving: Stack::none() }
    }

    /// A stack of the default size.
    ///
    /// # Errors
    /// The system's, when it gives no address space.
    #[inline(always)]
    pub fn get(&mut self) -> Result<Stack, Error> {
        match self.free.pop() {
            Some(s) => {
                went(1);
                Ok(s)
            }
            None => self.refill(),
        }
    }

    /// Takes a stack back, of any size, on which the caller may still be running: until the thread's next switch nobody else gets
    /// it. Stacks of the default size stay here. Not none.
    #[inline(always)]
    pub fn put(&mut self, s: Stack) {
        // The room is there once a stack came from here; a vector that is full or has none spills.
        if self.free.len() < self.free.capacity() && s.log2() == self.log2 {
            self.free.push(s);
            came(1);
        } else {
            self.put_slow(s);
        }
    }

    #[cold]
    #[inline(never)]
    fn refill(&mut self) -> Result<Stack, Error> {
        self.log2 = default_class();
        self.free.reserve_exact(CAP);
        class::take(self.log2, HALF, &mut self.free)?;
        let s = self.free.pop().ok_or(Error::MEMORY)?;
        came(self.free.len()); // it was empty before
        Ok(s)
    }

    #[cold]
    #[inline(never)]
    fn put_slow(&mut self, s: Stack) {
        self.log2 = default_class();
        if s.log2() != self.log2 {
            self.left();
            self.leaving = s;
            return came(1);
        }
        self.free.reserve_exact(CAP.saturating_sub(self.free.len()));
        if self.free.len() >= CAP {
            self.spill(HALF);
        }
        self.free.push(s);
        came(1);
    }

    /// Gives the `n` stacks that were used longest ago to the global list.
    fn spill(&mut self, n: usize) {
        went(n);
        class::give(self.log2, self.free.drain(..n));
    }

    /// The stack of another size that was put last goes where others find it. The caller is on its thread's own stack.
    #[inline]
    pub fn left(&mut self) {
        let s = mem::replace(&mut self.leaving, Stack::none());
        if !s.is_none() {
            went(1);
            class::put_sized(s);
        }
    }

    /// Keeps the `keep` stacks used last and gives the rest to the global list, where other
    /// workers find them and `scavenge` gives their pages back. For a worker that goes to sleep.
    pub fn trim(&mut self, keep: usize) {
        if self.free.len() > keep {
            self.spill(self.free.len() - keep);
        }
    }

    /// Gives all to the global list. The caller is on its thread's own stack.
    pub fn flush(&mut self) {
        self.left();
        self.trim(0);
    }

    /// How many stacks lie here.
    pub fn len(&self) -> usize {
        self.free.len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.flush();
    }
}
