//! The timer heap: a 4-ary heap of intrusive entries that knows where each of them is.
//!
//! **Where it sits.** A shard of the timers, under the scheduler's lock of rank `Timer`; calls nothing.
//! It knows deadlines and addresses, not what happens when one is due.
//!
//! Four children per entry make the tree half as deep as two would, and the four that a step down
//! compares lie on one or two cache lines, deadlines included: the nodes themselves are looked at only
//! to tell them where they are and when deadlines are equal. The position in the node makes removal and
//! re-arming O(log n) at once, without the dead entries that lazy deletion leaves behind.
//!
//! # Invariants
//!
//! - **H1** No entry is due before its parent; entries of equal deadline are ordered by the sequence
//!   number of their last push or update, so equal deadlines come out first in, first out.
//! - **H2** `entries[i].node` is valid and does not move, its `pos` is `i` and its `when` is
//!   `entries[i].when`; a node that is in no heap has `pos == OUT`.
//! - **H3** There are fewer than `OUT` entries.

use std::ptr;

/// The position of a node that is in no heap.
const OUT: u32 = u32::MAX;

/// How many children an entry has.
const ARITY: usize = 4;

/// What a timer brings to be in a heap.
#[derive(Debug)]
pub(crate) struct HeapNode {
    /// Its place among the entries, or `OUT`.
    pos: u32,
    /// Which heap its owner put it in. Not used here; it fills a gap.
    pub(crate) owner: u32,
    /// When it is due: nanoseconds on the monotonic clock.
    when: i64,
    /// Who came first among equals.
    seq: u64,
}

impl Default for HeapNode {
    fn default() -> HeapNode {
        HeapNode::new()
    }
}

impl HeapNode {
    /// A node that is in no heap.
    pub(crate) const fn new() -> HeapNode {
        HeapNode { pos: OUT, owner: 0, when: 0, seq: 0 }
    }

    /// Whether the node is in a heap. To be asked under that heap's lock.
    #[inline(always)]
    pub(crate) fn is_in(&self) -> bool {
        self.pos != OUT
    }

    /// When the node is due, or was when it was last in a heap.
    #[inline(always)]
    #[cfg_attr(not(test), allow(dead_code))] // tested with the rest of the structure
    pub(crate) fn when(&self) -> i64 {
        self.when
    }
}

/// There is no memory for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

/// A place in the heap, with the deadline at hand.
#[derive(Clone, Copy, Debug)]
struct Entry {
    when: i64,
    node: *mut HeapNode,
}

impl Entry {
    /// Whether this one comes out before `other`.
    ///
    /// # Safety
    ///
    /// Both nodes are valid and the heap they are in is the caller's.
    #[inline(always)]
    unsafe fn before(self, other: Entry) -> bool {
        // SAFETY: the caller's promise.
        self.when < other.when || (self.when == other.when && unsafe { (*self.node).seq < (*other.node).seq })
    }
}

/// Deadlines, the earliest first.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    entries: Vec<Entry>,
    /// The next sequence number; 2^64 pushes do not happen.
    seq: u64,
}

// SAFETY: the heap is a table of addresses; whoever has it has the `HeapNode`s in it (H2).
unsafe impl Send for Heap {}

impl Heap {
    /// An empty heap.
    pub(crate) const fn new() -> Heap {
        Heap { entries: Vec::new(), seq: 0 }
    }

    /// How many nodes there are.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no node.
    #[inline(always)]
    #[cfg_attr(not(test), allow(dead_code))] // tested with the rest of the structure
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The earliest deadline, or `None`.
    #[inline(always)]
    pub(crate) fn peek(&self) -> Option<i64> {
        self.entries.first().map(|e| e.when)
    }

    /// Puts `node` in, due at `when`. On an error it is in no heap, as before.
    ///
    /// # Safety
    ///
    /// `node` is valid, in no heap, stays valid and in its place until it is out again, and is touched
    /// only by who has the heap.
    pub(crate) unsafe fn push(&mut self, node: *mut HeapNode, when: i64) -> Result<(), OutOfMemory> {
        let at = self.entries.len();
        if at >= OUT as usize || self.entries.try_reserve(1).is_err() {
            return Err(OutOfMemory);
        }
        self.seq += 1;
        // SAFETY: the caller gives a valid node that is in no heap.
        unsafe {
            debug_assert!(!(*node).is_in(), "timer is in a heap already");
            (*node).when = when;
            (*node).seq = self.seq;
        }
        let entry = Entry { when, node };
        self.entries.push(entry);
        self.up(at, entry);
        Ok(())
    }

    /// Takes the earliest node if it is due at `now`, that is, `when <= now`; null otherwise.
    pub(crate) fn pop_due(&mut self, now: i64) -> *mut HeapNode {
        match self.entries.first() {
            Some(first) if first.when <= now => {
                let node = first.node;
                self.take(0);
                node
            }
            _ => ptr::null_mut(),
        }
    }

    /// Takes `node` out and says whether it was in.
    ///
    /// # Safety
    ///
    /// `node` is valid, and in this heap or in none.
    pub(crate) unsafe fn remove(&mut self, node: *mut HeapNode) -> bool {
        // SAFETY: the caller gives a valid node.
        let pos = unsafe { (*node).pos };
        if pos == OUT {
            return false;
        }
        debug_assert_eq!(self.entries[pos as usize].node, node, "timer is in another heap");
        self.take(pos as usize);
        true
    }

    /// Gives `node` another deadline if it is in, and says whether it was. It counts as the last of those
    /// with an equal deadline. Cannot fail.
    ///
    /// # Safety
    ///
    /// `node` is valid, and in this heap or in none.
    pub(crate) unsafe fn update(&mut self, node: *mut HeapNode, when: i64) -> bool {
        self.seq += 1;
        // SAFETY: the caller gives a valid node.
        let pos = unsafe {
            if !(*node).is_in() {
                return false;
            }
            (*node).when = when;
            (*node).seq = self.seq;
            (*node).pos as usize
        };
        debug_assert_eq!(self.entries[pos].node, node, "timer is in another heap");
        self.settle(pos, Entry { when, node });
        true
    }

    /// Takes the entry at `pos` out; the last one fills the hole.
    fn take(&mut self, pos: usize) {
        let gone = self.entries[pos].node;
        // SAFETY: valid by H2.
        unsafe { (*gone).pos = OUT };
        if let Some(last) = self.entries.pop() {
            if pos < self.entries.len() {
                self.settle(pos, last);
            }
        }
        self.shrink();
    }

    /// Gives memory back when three quarters of a large table are unused. The table halves, so that
    /// it takes as many pushes as there are entries before it grows again.
    fn shrink(&mut self) {
        let cap = self.entries.capacity();
        if cap > 1024 && self.entries.len() < cap / 4 {
            self.entries.shrink_to(cap / 2);
        }
    }

    /// Puts `entry` into the hole at `pos` or where it belongs above or below.
    fn settle(&mut self, pos: usize, entry: Entry) {
        // SAFETY: all nodes are valid by H2.
        let rises = pos > 0 && unsafe { entry.before(self.entries[(pos - 1) / ARITY]) };
        if rises {
            self.up(pos, entry);
        } else {
            self.down(pos, entry);
        }
    }

    /// Puts `entry` into the hole at `pos`, after moving later parents down.
    fn up(&mut self, mut pos: usize, entry: Entry) {
        while pos > 0 {
            let parent = (pos - 1) / ARITY;
            let above = self.entries[parent];
            // SAFETY: all nodes are valid by H2.
            if !unsafe { entry.before(above) } {
                break;
            }
            self.place(pos, above);
            pos = parent;
        }
        self.place(pos, entry);
    }

    /// Puts `entry` into the hole at `pos`, after moving earlier children up.
    fn down(&mut self, mut pos: usize, entry: Entry) {
        let len = self.entries.len();
        loop {
            let first = pos * ARITY + 1;
            if first >= len {
                break;
            }
            let mut best = first;
            for child in first + 1..len.min(first + ARITY) {
                // SAFETY: all nodes are valid by H2.
                if unsafe { self.entries[child].before(self.entries[best]) } {
                    best = child;
                }
            }
            let below = self.entries[best];
            // SAFETY: all nodes are valid by H2.
            if !unsafe { below.before(entry) } {
                break;
            }
            self.place(pos, below);
            pos = best;
        }
        self.place(pos, entry);
    }

    /// Writes `entry` at `pos` and tells its node.
    #[inline(always)]
    fn place(&mut self, pos: usize, entry: Entry) {
        self.entries[pos] = entry;
        // SAFETY: valid by H2. The position fits by H3.
        unsafe { (*entry.node).pos = pos as u32 };
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
