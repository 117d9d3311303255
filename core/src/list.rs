//! Intrusive lists: the nodes bring their own links, so nothing here allocates or fails.
//!
//! **Where it sits.** Calls nothing. [`List`] (doubly linked) holds the waiters of a channel, where a
//! loser leaves from the middle; [`Fifo`] (singly linked) is the run queue's, injector's and inbox's
//! chain of goroutines.
//!
//! # Invariants
//!
//! - **L1** A node is in at most one list per set of links, and whoever has the list to themselves
//!   (its lock) is the only one to touch the links of the nodes in it.
//! - **L2** A node stays valid and does not move while it is in a list.
//! - **L3** In a [`List`], `prev` is null exactly when the node is in no list: the first node's
//!   `prev` and the last node's `next` hold [`end`], a non-null address at which no node can be.
//!   All-zero links are thus "not in a list".
//! - **L4** In a [`Fifo`], `head` and `tail` are both null exactly when `len` is 0; the tail's link
//!   is null.

use std::ptr;

/// The links of a node of a [`List`]. Zeroed memory is a valid value: in no list.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Links<N> {
    prev: *mut N,
    next: *mut N,
}

impl<N> Links<N> {
    /// Links of a node that is in no list.
    pub(crate) const fn new() -> Links<N> {
        Links { prev: ptr::null_mut(), next: ptr::null_mut() }
    }

    /// Whether the node is in a list. To be asked under the lock of the list it may be in.
    #[inline(always)]
    pub(crate) fn is_linked(&self) -> bool {
        !self.prev.is_null()
    }
}

impl<N> Default for Links<N> {
    fn default() -> Links<N> {
        Links::new()
    }
}

/// A type that can be a node of a [`List`].
///
/// # Safety
///
/// `links` returns the address of the same [`Links`] for the same node at every call, inside the
/// node, and nobody else changes them.
pub(crate) unsafe trait Link: Sized {
    /// The address of the links inside `node`.
    ///
    /// # Safety
    ///
    /// `node` points to a valid node.
    unsafe fn links(node: *mut Self) -> *mut Links<Self>;
}

/// The end marker of L3. Nodes hold pointers and are therefore aligned to more than one byte: none
/// can be at this address.
#[inline(always)]
const fn end<N>() -> *mut N {
    ptr::without_provenance_mut(1)
}

/// A doubly linked list of nodes that it does not own. First in, first out, with removal from the
/// middle in constant time.
#[derive(Debug)]
pub(crate) struct List<N: Link> {
    head: *mut N,
    tail: *mut N,
}

// SAFETY: a list is two addresses; whoever sends it promises by L1 to send the right to its nodes.
unsafe impl<N: Link> Send for List<N> {}

impl<N: Link> Default for List<N> {
    fn default() -> List<N> {
        List::new()
    }
}

impl<N: Link> List<N> {
    /// An empty list.
    pub(crate) const fn new() -> List<N> {
        List { head: end(), tail: end() }
    }

    /// Whether there is no node in the list.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.head == end()
    }

    /// The first node, which stays in the list; null if there is none.
    #[inline(always)]
    pub(crate) fn first(&self) -> *mut N {
        if self.is_empty() {
            ptr::null_mut()
        } else {
            self.head
        }
    }

    /// Appends `node`.
    ///
    /// # Safety
    ///
    /// `node` is valid, in no list, and L1 and L2 hold from now until it is out again.
    #[inline]
    pub(crate) unsafe fn push_back(&mut self, node: *mut N) {
        // SAFETY: the caller gives us a valid node; the tail is valid by L2.
        unsafe {
            let links = N::links(node);
            debug_assert!(!(*links).is_linked(), "node is in a list already");
            (*links).prev = self.tail;
            (*links).next = end();
            if self.tail == end() {
                self.head = node;
            } else {
                (*N::links(self.tail)).next = node;
            }
        }
        self.tail = node;
    }

    /// Puts `node` before all others.
    ///
    /// # Safety
    ///
    /// As [`push_back`](List::push_back).
    #[inline]
    pub(crate) unsafe fn push_front(&mut self, node: *mut N) {
        // SAFETY: the caller gives us a valid node; the head is valid by L2.
        unsafe {
            let links = N::links(node);
            debug_assert!(!(*links).is_linked(), "node is in a list already");
            (*links).prev = end();
            (*links).next = self.head;
            if self.head == end() {
                self.tail = node;
            } else {
                (*N::links(self.head)).prev = node;
            }
        }
        self.head = node;
    }

    /// Takes the first node out; null if there is none.
    #[inline]
    pub(crate) fn pop_front(&mut self) -> *mut N {
        if self.is_empty() {
            return ptr::null_mut();
        }
        let node = self.head;
        // SAFETY: the head is valid and in this list by L2.
        unsafe { self.remove(node) };
        node
    }

    /// Takes `node` out, wherever it is.
    ///
    /// # Safety
    ///
    /// `node` is in this list.
    #[inline]
    pub(crate) unsafe fn remove(&mut self, node: *mut N) {
        // SAFETY: `node` is in this list, so it and its neighbours are valid by L2, and their links
        // are ours to change by L1.
        unsafe {
            let links = N::links(node);
            debug_assert!((*links).is_linked(), "node is in no list");
            let (prev, next) = ((*links).prev, (*links).next);
            if prev == end() {
                self.head = next;
            } else {
                (*N::links(prev)).next = next;
            }
            if next == end() {
                self.tail = prev;
            } else {
                (*N::links(next)).prev = prev;
            }
            *links = Links::new();
        }
    }

    /// Takes `node` out if it is in this list, and says whether it was.
    ///
    /// # Safety
    ///
    /// `node` is valid, and in this list or in none.
    #[inline]
    pub(crate) unsafe fn remove_if_linked(&mut self, node: *mut N) -> bool {
        // SAFETY: the caller promises a valid node that is in no other list.
        unsafe {
            let linked = (*N::links(node)).is_linked();
            if linked {
                self.remove(node);
            }
            linked
        }
    }

    /// Takes those nodes out that `keep` refuses. The others are not written to.
    ///
    /// # Safety
    ///
    /// `keep` changes neither the list nor the links of the nodes in it.
    pub(crate) unsafe fn retain(&mut self, mut keep: impl FnMut(*mut N) -> bool) {
        let mut at = self.head;
        while at != end() {
            // SAFETY: the node is in this list, valid by L2.
            unsafe {
                let next = (*N::links(at)).next;
                if !keep(at) {
                    self.remove(at);
                }
                at = next;
            }
        }
    }

    /// The nodes from first to last.
    pub(crate) fn iter(&self) -> Iter<'_, N> {
        Iter { at: self.head, list: std::marker::PhantomData }
    }
}

/// The nodes of a [`List`], in order.
#[derive(Debug)]
pub(crate) struct Iter<'a, N: Link> {
    at: *mut N,
    list: std::marker::PhantomData<&'a List<N>>,
}

impl<N: Link> Iterator for Iter<'_, N> {
    type Item = *mut N;

    fn next(&mut self) -> Option<*mut N> {
        if self.at == end() {
            return None;
        }
        let node = self.at;
        // SAFETY: the list is borrowed, so its nodes stay in it, valid by L2.
        self.at = unsafe { (*N::links(node)).next };
        Some(node)
    }
}

/// A type that can be a node of a [`Fifo`].
///
/// # Safety
///
/// `link` returns the address of the same pointer-sized field for the same node at every call,
/// inside the node, and nobody else changes it while the node is in a chain.
pub(crate) unsafe trait Linked: Sized {
    /// The address of the link inside `node`.
    ///
    /// # Safety
    ///
    /// `node` points to a valid node.
    unsafe fn link(node: *mut Self) -> *mut *mut Self;
}

/// A singly linked chain of nodes that it does not own, with its length: a queue, or a batch on its
/// way from one queue to another.
#[derive(Debug)]
pub(crate) struct Fifo<N: Linked> {
    /// The node that leaves next, or null.
    pub(crate) head: *mut N,
    /// The node that came last, or null.
    pub(crate) tail: *mut N,
    /// How many nodes there are.
    pub(crate) len: usize,
}

// SAFETY: a chain is two addresses; whoever sends it promises by L1 to send the right to its nodes.
unsafe impl<N: Linked> Send for Fifo<N> {}

impl<N: Linked> Default for Fifo<N> {
    fn default() -> Fifo<N> {
        Fifo::new()
    }
}

impl<N: Linked> Fifo<N> {
    /// An empty chain.
    pub(crate) const fn new() -> Fifo<N> {
        Fifo { head: ptr::null_mut(), tail: ptr::null_mut(), len: 0 }
    }

    /// Whether there is no node.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// How many nodes there are.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends `node`.
    ///
    /// # Safety
    ///
    /// `node` is valid, in no chain, and L1 and L2 hold from now until it is out again.
    #[inline(always)]
    pub(crate) unsafe fn push_back(&mut self, node: *mut N) {
        // SAFETY: the caller gives us a valid node; the tail is valid by L2.
        unsafe {
            *N::link(node) = ptr::null_mut();
            if self.tail.is_null() {
                self.head = node;
            } else {
                *N::link(self.tail) = node;
            }
        }
        self.tail = node;
        self.len += 1;
    }

    /// Puts `node` before all others.
    ///
    /// # Safety
    ///
    /// As [`push_back`](Fifo::push_back).
    #[inline(always)]
    pub(crate) unsafe fn push_front(&mut self, node: *mut N) {
        // SAFETY: the caller gives us a valid node.
        unsafe { *N::link(node) = self.head };
        if self.tail.is_null() {
            self.tail = node;
        }
        self.head = node;
        self.len += 1;
    }

    /// Takes the first node out; null if there is none.
    #[inline(always)]
    pub(crate) fn pop_front(&mut self) -> *mut N {
        let node = self.head;
        if node.is_null() {
            return node;
        }
        // SAFETY: the head is valid by L2 and its link ours by L1.
        self.head = unsafe { *N::link(node) };
        if self.head.is_null() {
            self.tail = ptr::null_mut();
        }
        self.len -= 1;
        node
    }

    /// Puts `node` behind all others and takes the first out; that is `node` itself, in no chain, if there is no other.
    ///
    /// # Safety
    ///
    /// As for [`push_back`](Fifo::push_back).
    #[inline(always)]
    pub(crate) unsafe fn exchange(&mut self, node: *mut N) -> *mut N {
        let first = self.head;
        if first.is_null() {
            return node;
        }
        // SAFETY: the caller gives us a valid node; first and last are valid by L2, and their links ours by L1. The last is `node` now, so the
        // first has a next.
        unsafe {
            *N::link(node) = ptr::null_mut();
            *N::link(self.tail) = node;
            self.head = *N::link(first);
        }
        self.tail = node;
        first
    }

    /// Appends the chain from `head` to `tail`, `n` nodes long.
    ///
    /// # Safety
    ///
    /// `head`, following the links, reaches `tail` in exactly `n` valid nodes that are in no other chain; L1 and L2 hold for each of
    /// them from now until it is out again.
    #[inline]
    pub(crate) unsafe fn append(&mut self, head: *mut N, tail: *mut N, n: usize) {
        if n == 0 {
            return;
        }
        // SAFETY: the caller promises a chain of valid nodes; our tail is valid by L2.
        unsafe {
            *N::link(tail) = ptr::null_mut();
            if self.tail.is_null() {
                self.head = head;
            } else {
                *N::link(self.tail) = head;
            }
        }
        self.tail = tail;
        self.len += n;
    }

    /// Appends all of `chain`.
    #[inline]
    pub(crate) fn append_all(&mut self, chain: Fifo<N>) {
        // SAFETY: a `Fifo` is such a chain by L4, and giving it away gives us the nodes.
        unsafe { self.append(chain.head, chain.tail, chain.len) }
    }

    /// Takes the first `max` nodes out, or all if there are fewer. Walks over the nodes it takes.
    pub(crate) fn split_front(&mut self, max: usize) -> Fifo<N> {
        if max >= self.len {
            return std::mem::take(self);
        }
        if max == 0 {
            return Fifo::new();
        }
        let (head, mut last) = (self.head, self.head);
        for _ in 1..max {
            // SAFETY: fewer than `len` steps from the head lead to valid nodes by L2 and L4.
            last = unsafe { *N::link(last) };
        }
        // SAFETY: `last` is in this chain and not its tail; its link is ours to cut by L1.
        unsafe {
            self.head = *N::link(last);
            *N::link(last) = ptr::null_mut();
        }
        self.len -= max;
        Fifo { head, tail: last, len: max }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
