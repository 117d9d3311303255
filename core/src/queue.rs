//! A worker's run queue: a chain that costs its owner no atomic read-modify-write and no barrier,
//! and that idle workers can still steal from.
//!
//! **Where it sits.** One per worker, used by the scheduler; calls `list` and the asymmetric fence of
//! `sys`. Knows nothing of goroutines, only that they have a link.
//!
//! The owner takes its queue tens of millions of times a second, a thief a few thousand times at
//! most. So the lock between them is biased: the owner announces itself with plain stores, and the
//! thief pays for the barrier that makes this safe.
//!
//! # State
//!
//! `in_use`: the owner is at the chain, or about to be. `stealing`: the bit `THIEF` while a thief has the chain or asks for it, also the try-lock
//! among thieves; and the bit `FENCED` unless light fences are nothing but barriers for the compiler, so that zero says both things the owner
//! wants to know. `hint`: twice the chain's length, those of `woken` and `aside` included, plus one if the `next` slot is filled, when
//! somebody last left it.
//!
//! # Protocol
//!
//! ```text
//! owner                                    thief
//!   O1  in_use = true                        T1  stealing: no thief → thief, or give up
//!   O2  light fence                          T2  heavy fence
//!   O3  if stealing has a thief:             T3  if in_use: look again for a short while,
//!         in_use = false, wait until               then T5 and give up
//!         there is none, go to O1            T4  use the chain
//!   O4  use the chain                        T5  stealing: no thief
//!   O5  in_use = false
//! ```
//!
//! # Order
//!
//! First in, first out, but for those whose moment has come (`woken`) and where there are many. A goroutine that starts others and waits for them
//! keeps its stack until all of them have ended. In one long chain they would lie behind everybody who came before, so that of a tree of
//! goroutines nearly all that wait for children would wait at the same time. So when somebody new comes and `MANY` are in the chain, those are *set
//! aside*, and those who come next run before them. The chain begins with those set aside when it is empty, and they have one turn in `ASIDE`
//! before that: none of them waits for more than `ASIDE` times as many turns as there are in front of it. It is what Go does with what its
//! ring of 256 has no room for, and with the 61st turn (rule G-10).
//!
//! # Invariants
//!
//! - **Q1** O4 and T4 never overlap. O1, O2, O3 and T1, T2, T3 are a Dekker pair, so the owner sees
//!   `stealing` or the thief sees `in_use` (`fence.rs`). A thief that saw `in_use` keeps looking and may
//!   see O5, or the `in_use = false` of O3: an owner that comes back after that passes O3 with
//!   `stealing` set since T1, sees it and stays out until T5.
//! - **Q2** At most one thief is past T1.
//! - **Q3** A thief is never in the owner's way for longer than T2 to T5: T3 is bounded and `f` of
//!   [`try_steal`](LocalQueue::try_steal) short. An owner waits for no thief that waits for it.
//! - **Q4** `hint` is written by whoever has the chain, before it leaves.
//!
//! # Orderings
//!
//! O5 is Release and T3 Acquire, T5 is Release and O3 Acquire: who gets the chain sees what the last
//! one did. O1 and T1's store need no more than the fences behind them. `hint` is Relaxed: it may
//! be old, and a scheduler that must not miss an entry puts a fence of its own between its push and
//! its look at the sleepers.

use crate::cell::{spin_loop, yield_now, AtomicBool, AtomicU8, AtomicUsize, Ordering, UnsafeCell, SPINS};
pub(crate) use crate::list::{Fifo, Linked};
use crate::sys::{are_fences_light, heavy_fence, light_fence, lightest_fence};
use std::ops::{Deref, DerefMut};
use std::ptr;

/// So many are in the chain when one more comes that is new: all of them are set aside. Few in checked builds, whose tests are to meet
/// it everywhere.
pub(crate) const MANY: usize = match (cfg!(loom), cfg!(debug_assertions)) {
    (true, _) => 1,
    (_, true) => 32,
    _ => 1024,
};
/// One turn in so many belongs to those set aside.
pub(crate) const ASIDE: u32 = 64;

/// In `stealing`: there is a thief.
const THIEF: u8 = 1;
/// In `stealing`: a light fence has to be a full one.
const FENCED: u8 = 2;

/// What the lock of a [`LocalQueue`] protects: the chain (to which it dereferences), the one of those whose moment has
/// come, the one of those set aside, and the slot for the goroutine that runs before all of them.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Inner<N: Linked> {
    /// The one that runs next, in no chain; null if there is none. Not counted in `len`.
    pub(crate) next: *mut N,
    chain: Fifo<N>,
    /// A second chain, which takes turns with the first: see [`turn`](Inner::turn).
    pub(crate) woken: Fifo<N>,
    /// Those who were in front when the chain became too long, in order of arrival: see [`put_new`](Inner::put_new).
    aside: Fifo<N>,
}

impl<N: Linked> Deref for Inner<N> {
    type Target = Fifo<N>;

    #[inline(always)]
    fn deref(&self) -> &Fifo<N> {
        &self.chain
    }
}

impl<N: Linked> DerefMut for Inner<N> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Fifo<N> {
        &mut self.chain
    }
}

impl<N: Linked> Inner<N> {
    /// The chain to take from at the `n`th turn. Every other turn is that of `woken`, one in `ASIDE` that of `aside`, all others the
    /// chain's. An empty chain is replaced by `aside`.
    #[inline(always)]
    pub(crate) fn turn(&mut self, n: u32) -> &mut Fifo<N> {
        if self.chain.is_empty() {
            std::mem::swap(&mut self.chain, &mut self.aside);
        }
        if !self.woken.is_empty() && (n % 2 == 0 || self.chain.is_empty()) {
            &mut self.woken
        } else if !self.aside.is_empty() && n % ASIDE == 1 {
            &mut self.aside
        } else {
            &mut self.chain
        }
    }

    /// Whether there are others than those in the chain, so that they have to take turns.
    #[inline(always)]
    pub(crate) fn takes_turns(&self) -> bool {
        !self.woken.is_empty() || !self.aside.is_empty()
    }

    /// How many nodes there are, `next` not counted.
    #[inline(always)]
    fn total(&self) -> usize {
        self.chain.len + self.woken.len + self.aside.len
    }

    /// Takes half of all chains, rounded up, and `max` nodes at most: the oldest. For thieves.
    pub(crate) fn take_half(&mut self, max: usize) -> Fifo<N> {
        let n = self.total().div_ceil(2).min(max);
        let mut part = self.woken.split_front(n.min(self.woken.len.div_ceil(2)));
        part.append_all(self.aside.split_front(n - part.len));
        part.append_all(self.chain.split_front(n - part.len));
        part
    }

    /// Takes everything but `next`.
    pub(crate) fn take_all(&mut self) -> Fifo<N> {
        let mut all = std::mem::take(&mut self.woken);
        all.append_all(std::mem::take(&mut self.aside));
        all.append_all(std::mem::take(&mut self.chain));
        all
    }

    /// Puts `node` behind all others.
    ///
    /// # Safety
    ///
    /// As for [`Fifo::push_back`].
    #[inline(always)]
    pub(crate) unsafe fn push_behind(&mut self, node: *mut N) {
        let last = if self.aside.is_empty() { &mut self.chain } else { &mut self.aside };
        // SAFETY: by the caller.
        unsafe { last.push_back(node) };
    }

    /// Puts `node` into the slot and returns the one that was there, or null.
    #[inline(always)]
    pub(crate) fn set_next(&mut self, node: *mut N) -> *mut N {
        std::mem::replace(&mut self.next, node)
    }

    /// Puts `node` into the slot, and what was there behind all others.
    ///
    /// # Safety
    ///
    /// As for [`Fifo::push_back`].
    #[inline(always)]
    pub(crate) unsafe fn put_next(&mut self, node: *mut N) {
        let old = self.set_next(node);
        if !old.is_null() {
            // SAFETY: by the caller, and the slot's node is in no chain.
            unsafe { self.chain.push_back(old) };
        }
    }

    /// The same for a node that is new. Before the chain becomes too long for it, all in it are set aside, behind those who are there, and the
    /// answer is true.
    ///
    /// # Safety
    ///
    /// As for [`Fifo::push_back`].
    #[inline(always)]
    pub(crate) unsafe fn put_new(&mut self, node: *mut N) -> bool {
        let many = self.chain.len >= MANY;
        if many {
            self.set_aside();
        }
        // SAFETY: by the caller.
        unsafe { self.put_next(node) };
        many
    }

    #[cold]
    #[inline(never)]
    fn set_aside(&mut self) {
        self.aside.append_all(std::mem::take(&mut self.chain));
    }

    /// Empties the slot and returns what was in it, or null.
    #[inline(always)]
    pub(crate) fn take_next(&mut self) -> *mut N {
        self.set_next(ptr::null_mut())
    }
}

/// What only the owner writes while nobody steals, on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct OwnerSide<N: Linked> {
    in_use: AtomicBool,
    stealing: AtomicU8,
    inner: UnsafeCell<Inner<N>>,
}

/// What idle workers look at from afar, on a cache line that changes only when the length does.
#[derive(Debug)]
#[repr(align(64))]
struct ThiefSide {
    hint: AtomicUsize,
}

/// A run queue with one owner and any number of thieves.
#[derive(Debug)]
pub(crate) struct LocalQueue<N: Linked> {
    owner: OwnerSide<N>,
    thief: ThiefSide,
}

// SAFETY: by Q1 and Q2 one thread at a time reaches the chain, and the nodes go with it (L1).
unsafe impl<N: Linked> Sync for LocalQueue<N> {}
// SAFETY: as above.
unsafe impl<N: Linked> Send for LocalQueue<N> {}

impl<N: Linked> Default for LocalQueue<N> {
    fn default() -> LocalQueue<N> {
        LocalQueue::new()
    }
}

impl<N: Linked> LocalQueue<N> {
    /// An empty queue.
    pub(crate) fn new() -> LocalQueue<N> {
        let inner = Inner { chain: Fifo::new(), woken: Fifo::new(), aside: Fifo::new(), next: ptr::null_mut() };
        LocalQueue {
            owner: OwnerSide {
                in_use: AtomicBool::new(false),
                stealing: AtomicU8::new(if are_fences_light() { 0 } else { FENCED }),
                inner: UnsafeCell::new(inner),
            },
            thief: ThiefSide { hint: AtomicUsize::new(0) },
        }
    }

    /// How many nodes were in the chains when somebody last left them, `next` not counted. For everybody,
    /// without a lock.
    #[inline(always)]
    pub(crate) fn len_hint(&self) -> usize {
        // Relaxed: a hint.
        self.thief.hint.load(Ordering::Relaxed) >> 1
    }

    /// Whether there was anything at all, in the chain or in the slot.
    #[inline(always)]
    pub(crate) fn has_work_hint(&self) -> bool {
        // Relaxed: a hint.
        self.thief.hint.load(Ordering::Relaxed) != 0
    }

    /// Whether the slot may be filled. For the owner, who alone fills it: it sees the hint it left itself then, or a later one, so "no" is
    /// certain (Q4). So it is of [`has_work_hint`](LocalQueue::has_work_hint), for who alone puts anything into the chains.
    #[inline(always)]
    pub(crate) fn may_have_next(&self) -> bool {
        // Relaxed: see above.
        self.thief.hint.load(Ordering::Relaxed) & 1 != 0
    }

    /// Lets the owner at the chain. `f` is short and neither switches nor calls `owner` again.
    ///
    /// # Safety
    ///
    /// The calling thread is the owner: no other call of `owner` on this queue runs at the same time,
    /// and the last one by another thread happened before this one.
    #[inline(always)]
    pub(crate) unsafe fn owner<R>(&self, f: impl FnOnce(&mut Inner<N>) -> R) -> R {
        self.enter();
        // SAFETY: by the caller and Q1.
        unsafe { self.as_owner(|q| self.visit(q, f)) }
    }

    /// The same for an `f` that leaves as many in the chains as it finds there, and the slot as it is: nothing is to be published (Q4).
    ///
    /// # Safety
    ///
    /// As for [`owner`](LocalQueue::owner).
    #[inline(always)]
    pub(crate) unsafe fn owner_exchanges<R>(&self, f: impl FnOnce(&mut Inner<N>) -> R) -> R {
        self.enter();
        // SAFETY: by the caller and Q1.
        unsafe { self.as_owner(f) }
    }

    /// Lets the owner look at the chain without changing it.
    ///
    /// # Safety
    ///
    /// As for [`owner`](LocalQueue::owner).
    #[inline(always)]
    pub(crate) unsafe fn owner_looks<R>(&self, f: impl FnOnce(&Inner<N>) -> R) -> R {
        // SAFETY: by the caller.
        unsafe { self.owner_exchanges(|q| f(q)) }
    }

    /// Puts `node` into the slot, and what was there behind all others: [`Inner::put_next`] by the owner.
    ///
    /// # Safety
    ///
    /// As for [`owner`](LocalQueue::owner) and [`Fifo::push_back`].
    #[inline(always)]
    pub(crate) unsafe fn put_next(&self, node: *mut N) {
        self.enter();
        // SAFETY: by the caller and Q1.
        unsafe { self.as_owner(|q| self.fill(q, node)) };
    }

    /// The same, but waits for no thief. False: there is one, and nothing has happened.
    ///
    /// # Safety
    ///
    /// As for [`put_next`](LocalQueue::put_next).
    #[inline(always)]
    pub(crate) unsafe fn put_next_now(&self, node: *mut N) -> bool {
        if self.thief_is_there() {
            // Release pairs with the thief's Acquire: it sees what we did in earlier rounds.
            self.owner.in_use.store(false, Ordering::Release);
            return false;
        }
        // SAFETY: by the caller and Q1.
        unsafe { self.as_owner(|q| self.fill(q, node)) };
        true
    }

    /// Empties the slot and returns what was in it, or null: [`Inner::take_next`] by the owner.
    ///
    /// # Safety
    ///
    /// As for [`owner`](LocalQueue::owner).
    #[inline(always)]
    pub(crate) unsafe fn take_next(&self) -> *mut N {
        self.enter();
        // SAFETY: by the caller and Q1.
        unsafe {
            self.as_owner(|q| {
                let node = q.take_next();
                self.thief.hint.store(self.thief.hint.load(Ordering::Relaxed) & !1, Ordering::Relaxed);
                node
            })
        }
    }

    /// O1 to O3.
    #[inline(always)]
    fn enter(&self) {
        if self.thief_is_there() {
            self.wait_for_thief();
        }
    }

    /// O1 and O2, and the look of O3.
    #[inline(always)]
    fn thief_is_there(&self) -> bool {
        // Relaxed: ordered before the load by the fence, O2 of the protocol.
        self.owner.in_use.store(true, Ordering::Relaxed);
        lightest_fence();
        // Acquire pairs with the Release store at the end of `try_steal`: we see what the thief left.
        self.owner.stealing.load(Ordering::Acquire) != 0 && self.thief_is_there_indeed()
    }

    /// The same where light fences have to be full ones.
    #[cold]
    #[inline(never)]
    fn thief_is_there_indeed(&self) -> bool {
        light_fence();
        // Acquire: as above.
        self.owner.stealing.load(Ordering::Acquire) & THIEF != 0
    }

    /// O4 and O5.
    #[inline(always)]
    unsafe fn as_owner<R>(&self, f: impl FnOnce(&mut Inner<N>) -> R) -> R {
        // SAFETY: by Q1 the chain is the owner's until `in_use` is false again, and the caller is the
        // only owner.
        let result = self.owner.inner.with_mut(|inner| f(unsafe { &mut *inner }));
        // Release pairs with the Acquire loads in `try_steal`: the thief sees what we did.
        self.owner.in_use.store(false, Ordering::Release);
        result
    }

    /// Fills the slot. Whoever has the chain finds the hint as it was left last (Q4), so that of the slot can be changed by itself.
    #[inline(always)]
    unsafe fn fill(&self, inner: &mut Inner<N>, node: *mut N) {
        if inner.next.is_null() {
            inner.next = node;
            self.thief.hint.store(self.thief.hint.load(Ordering::Relaxed) | 1, Ordering::Relaxed);
        } else {
            // SAFETY: by the caller.
            self.visit(inner, |q| unsafe { q.put_next(node) });
        }
    }

    /// Calls `f` on the chain, which is this queue's, and publishes the length it leaves (Q4).
    #[inline(always)]
    fn visit<R>(&self, inner: &mut Inner<N>, f: impl FnOnce(&mut Inner<N>) -> R) -> R {
        let result = f(inner);
        // Left out when nothing changes, which keeps the line with those who watch it.
        let hint = inner.total() << 1 | usize::from(!inner.next.is_null());
        if self.thief.hint.load(Ordering::Relaxed) != hint {
            self.thief.hint.store(hint, Ordering::Relaxed);
        }
        result
    }

    /// O3: lets the thief finish, and comes back with `in_use` set and no thief.
    #[cold]
    #[inline(never)]
    fn wait_for_thief(&self) {
        loop {
            // Release pairs with the thief's Acquire: it sees what we did in earlier rounds.
            self.owner.in_use.store(false, Ordering::Release);
            let mut spins = 0;
            // Acquire pairs with the Release store at the end of `try_steal`.
            while self.owner.stealing.load(Ordering::Acquire) & THIEF != 0 {
                spins += 1;
                if spins < 16 * SPINS {
                    spin_loop();
                } else {
                    // The thief has lost its CPU; it may need ours.
                    yield_now();
                }
            }
            if !self.thief_is_there() {
                return;
            }
        }
    }

    /// Lets a thief at the chain, unless another thief has it or the owner does not leave it for a few
    /// hundred nanoseconds. `f` is short. Any thread may call this, the owner too.
    ///
    /// A thief should find `len_hint` worth it first: the barrier costs it, and every worker that
    /// runs, about a microsecond.
    pub(crate) fn try_steal<R>(&self, f: impl FnOnce(&mut Inner<N>) -> R) -> Option<R> {
        // Acquire on success pairs with the Release store below of the thief before us. The store half
        // is Relaxed: ordered before the load of `in_use` by the fence, T2 of the protocol.
        let flag = &self.owner.stealing;
        let before = flag.load(Ordering::Relaxed) & !THIEF; // the other bit does not change
        if flag.compare_exchange(before, before | THIEF, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return None;
        }
        heavy_fence();
        let mut result = None;
        if self.owner_is_out() {
            // SAFETY: by Q1 and Q2 the chain is ours until `stealing` is false again.
            result = Some(self.owner.inner.with_mut(|inner| self.visit(unsafe { &mut *inner }, f)));
        }
        // Release pairs with the Acquire of the owner and of the next thief: they see what we did.
        flag.store(before, Ordering::Release);
        result
    }

    /// T3: whether the owner is not at the chain, or leaves it soon.
    fn owner_is_out(&self) -> bool {
        for _ in 0..SPINS {
            // Acquire pairs with the Release store at the end of `owner`: we see what the owner did.
            if !self.owner.in_use.load(Ordering::Acquire) {
                return true;
            }
            spin_loop();
        }
        false
    }
}

#[cfg(test)]
mod tests;
