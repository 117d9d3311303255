//! A worker's own free stacks.
//!
//! *Where it sits.* Layer 1, behind `stack`. Calls `class` in batches. Owned by one worker; nobody else touches it,
//! so there is no lock and no atomic.
//!
//! Last in, first out: the stack that has just been used is the one whose pages are in the cache.

use super::{class, default_class, Error, Stack};

/// How many stacks a pool holds.
const CAP: usize = 256;

/// How many come from and go to the global list at a time.
const HALF: usize = CAP / 2;

/// Free stacks of the default size.
#[derive(Debug)]
pub struct Pool {
    /// The next one is last. Without room, or with room for `CAP`.
    free: Vec<Stack>,
    /// The logarithm of the default size; zero until the first slow path.
    log2: u32,
}

impl Pool {
    /// An empty pool.
    pub const fn new() -> Pool {
        Pool { free: Vec::new(), log2: 0 }
    }

    /// A stack of the default size.
    ///
    /// # Errors
    /// The system's, when it gives no address space.
    #[inline(always)]
    pub fn get(&mut self) -> Result<Stack, Error> {
        match self.free.pop() {
            Some(s) => Ok(s),
            None => self.refill(),
        }
    }

    /// Takes a stack back: of any size, though only the default size stays here. Not none.
    #[inline(always)]
    pub fn put(&mut self, s: Stack) {
        // The room is there once a stack came from here; a vector that is full or has none spills.
        if self.free.len() < self.free.capacity() && s.log2() == self.log2 {
            self.free.push(s);
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
        self.free.pop().ok_or(Error::MEMORY)
    }

    #[cold]
    #[inline(never)]
    fn put_slow(&mut self, s: Stack) {
        self.log2 = default_class();
        if s.log2() != self.log2 {
            return class::put_sized(s);
        }
        self.free.reserve_exact(CAP.saturating_sub(self.free.len()));
        if self.free.len() >= CAP {
            self.spill(HALF);
        }
        self.free.push(s);
    }

    /// Gives the `n` stacks that were used longest ago to the global list.
    fn spill(&mut self, n: usize) {
        class::give(self.log2, self.free.drain(..n));
    }

    /// Keeps the `keep` stacks used last and gives the rest to the global list, where other
    /// workers find them and `scavenge` gives their pages back. For a worker that goes to sleep.
    pub fn trim(&mut self, keep: usize) {
        if self.free.len() > keep {
            self.spill(self.free.len() - keep);
        }
    }

    /// Gives all to the global list.
    pub fn flush(&mut self) {
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
