//! What a worker keeps for goroutines to come: headers, numbers and stacks, and nodes for those that select.
//!
//! *Where it sits*: layer 3, a part of [`Worker`], over the arena of headers and the pool of stacks. Touched by the owning
//! thread only (K1).

use super::worker::Worker;
use crate::errno::Errno;
use crate::goroutine::arena::{self, BATCH};
use crate::goroutine::G;
use crate::stack::{Pool, Stack};
use crate::wait::Node;
use core::mem::replace;
use core::ptr::null_mut;

/// Stacks a sleeping worker keeps.
const KEPT_STACKS: usize = 16;

/// Arrays of nodes that a worker keeps.
pub const MOST_POOLED: usize = 64;

/// See the module's text.
pub struct Pools {
    pub(super) stacks: Pool,
    /// Up to `BATCH` free headers, and how many.
    free: *mut G,
    free_len: usize,
    /// Another `BATCH` of them; null if there are none.
    spare: *mut G,
    next_id: u64,
    last_id: u64,
    nodes: Vec<Vec<Node>>,
}

impl Pools {
    pub(super) fn new() -> Pools {
        Pools {
            stacks: Pool::new(),
            free: null_mut(),
            free_len: 0,
            spare: null_mut(),
            next_id: 0,
            last_id: 0,
            nodes: Vec::new(),
        }
    }
}

/// Headers go to the arena and come from it in whole batches, so nobody walks along a chain.
impl Pools {
    #[cold]
    fn refill_headers(&mut self) -> Result<(), Errno> {
        if self.spare.is_null() {
            (self.free, self.free_len) = arena::take_batch()?;
        } else {
            self.free = replace(&mut self.spare, null_mut());
            self.free_len = BATCH;
        }
        Ok(())
    }

    /// There are `BATCH` headers in `free`: they become the spare ones.
    #[cold]
    fn stow_headers(&mut self) {
        self.free_len = 0;
        let full = replace(&mut self.spare, replace(&mut self.free, null_mut()));
        if !full.is_null() {
            // SAFETY: a batch of free headers of ours (G1).
            unsafe { arena::give_batch(full) };
        }
    }

    fn flush_headers(&mut self) {
        let full = replace(&mut self.spare, null_mut());
        if !full.is_null() {
            // SAFETY: as above.
            unsafe { arena::give_batch(full) };
        }
        let n = replace(&mut self.free_len, 0);
        if n > 0 {
            // SAFETY: the chain is n free headers of ours (G1).
            unsafe { arena::give(replace(&mut self.free, null_mut()), n) };
        }
    }
}

impl Worker {
    /// Nodes for a wait at several places.
    #[inline(always)]
    pub fn take_nodes(&self) -> Option<Vec<Node>> {
        // SAFETY: K1; no reference into the pools is alive here.
        unsafe { (*self.pools.get()).nodes.pop() }
    }

    /// Takes nodes back, which are in no queue.
    #[inline(always)]
    pub fn give_nodes(&self, v: Vec<Node>) {
        // SAFETY: as above.
        let nodes = unsafe { &mut (*self.pools.get()).nodes };
        if nodes.len() < MOST_POOLED {
            nodes.push(v);
        }
    }

    /// A header to start a goroutine with.
    #[inline(always)]
    pub fn take_g(&self) -> Result<*mut G, Errno> {
        // SAFETY: K1; no reference into the pools is alive here.
        let p = unsafe { &mut *self.pools.get() };
        if p.free.is_null() {
            p.refill_headers()?;
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
            if p.free_len == BATCH {
                p.stow_headers();
            }
            *(*g).link.get() = p.free;
            p.free = g;
            p.free_len += 1;
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
        p.flush_headers();
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
