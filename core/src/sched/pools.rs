//! What a worker keeps for goroutines to come: headers, numbers and stacks.
//!
//! *Where it sits*: layer 3, a part of [`Worker`], over the arena of headers and the pool of stacks. Touched by the owning
//! thread only (K1).

use super::worker::Worker;
use crate::errno::Errno;
use crate::goroutine::{arena, G};
use crate::stack::{Pool, Stack};
use core::ptr::null_mut;

/// Headers a worker takes from the arena, and keeps at most twice.
const G_BATCH: usize = 128;

/// Stacks a sleeping worker keeps.
const KEPT_STACKS: usize = 16;

/// See the module's text.
pub struct Pools {
    pub(super) stacks: Pool,
    free: *mut G,
    free_len: usize,
    next_id: u64,
    last_id: u64,
}

impl Pools {
    pub(super) fn new() -> Pools {
        Pools { stacks: Pool::new(), free: null_mut(), free_len: 0, next_id: 0, last_id: 0 }
    }
}

impl Worker {
    /// A header to start a goroutine with.
    #[inline(always)]
    pub fn take_g(&self) -> Result<*mut G, Errno> {
        // SAFETY: K1; no reference into the pools is alive here.
        let p = unsafe { &mut *self.pools.get() };
        if p.free.is_null() {
            let (head, n) = arena::take(G_BATCH)?;
            p.free = head;
            p.free_len = n;
        }
        let g = p.free;
        // SAFETY: free headers are ours (G1).
        p.free = unsafe { *(*g).link.get() };
        p.free_len -= 1;
        Ok(g)
    }

    /// Puts a header nobody refers to any more back.
    #[inline(always)]
    pub fn give_g(&self, g: *mut G) {
        // SAFETY: K1; the caller owns g (G1).
        unsafe {
            let p = &mut *self.pools.get();
            *(*g).link.get() = p.free;
            p.free = g;
            p.free_len += 1;
            if p.free_len >= 2 * G_BATCH {
                self.spill_headers(G_BATCH);
            }
        }
    }

    #[cold]
    fn spill_headers(&self, n: usize) {
        // SAFETY: K1; the chain below is free headers of ours (G1), n of them at least.
        unsafe {
            let p = &mut *self.pools.get();
            let head = p.free;
            let mut tail = head;
            for _ in 1..n {
                tail = *(*tail).link.get();
            }
            p.free = *(*tail).link.get();
            p.free_len -= n;
            arena::give(head, tail, n);
        }
    }

    /// Gives stacks beyond a few back before the worker sleeps, so that idle memory can be returned.
    pub fn trim_stacks(&self) {
        // SAFETY: K1.
        let p = unsafe { &mut *self.pools.get() };
        p.stacks.left();
        if p.stacks.len() > 4 * KEPT_STACKS {
            p.stacks.trim(KEPT_STACKS);
        }
    }

    /// Gives pooled headers and stacks back; the worker is about to sleep for long or to end.
    pub fn flush_pools(&self) {
        // SAFETY: K1.
        let p = unsafe { &mut *self.pools.get() };
        p.stacks.flush();
        let n = p.free_len;
        if n > 0 {
            self.spill_headers(n);
        }
    }

    /// The next goroutine number.
    #[inline(always)]
    pub fn next_id(&self) -> u64 {
        // SAFETY: K1.
        let p = unsafe { &mut *self.pools.get() };
        if p.next_id == p.last_id {
            p.next_id = super::take_ids(super::ID_BATCH);
            p.last_id = p.next_id + super::ID_BATCH;
        }
        let id = p.next_id;
        p.next_id += 1;
        id
    }

    /// Takes the stack of a finished goroutine back. The thread may still be on it: the pool gives what it got last to this worker
    /// only, and the next owner's frames are not written before the switch.
    #[inline(always)]
    pub fn give_stack(&self, g: *mut G) {
        // SAFETY: K1; g has ended, so nobody else refers to its stack.
        unsafe {
            let s = (*g).stack.replace(Stack::none());
            (*self.pools.get()).stacks.put(s);
        }
    }
}
