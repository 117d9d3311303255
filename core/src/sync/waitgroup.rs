//! Waiting for a number of goroutines to finish.
//!
//! *Where it sits*: layer 4. Rules WG-01 to WG-07, after Go's `sync.WaitGroup`. This is the group of the faces, of scopes and of
//! groups; `waitgroup/face.rs` is what Rust programs see.
//!
//! # State
//!
//! One word: the counter in the high half; in the low half the bit `QUEUED`, somebody may be in the queue, and above it how many
//! calls are releasing waiters. The counter changes without the lock, but for the step to zero while somebody may be queued.
//!
//! # Invariants
//!
//! * **A1** The step to zero with `QUEUED` set is taken under the lock; it clears the mark and counts the caller as releasing, and under
//!   the same lock all who are queued are claimed. So exactly those are released who waited when the counter became zero.
//! * **A2** A waiter queues under the lock, and sets `QUEUED` in a step that saw the word above zero.
//! * **A3** The step that makes the word zero is its maker's last use of the memory: nobody is releasing any more. A wait that finds
//!   it zero returns at once; its caller may free the group, although the `done` that let it go has not returned. Those who
//!   were released are readied after that step.
//!
//! # Orderings
//!
//! `add` is AcqRel: what a member did before `done` is visible to whoever the group releases (HB-07). The word only changes by
//! read-modify-writes, so this holds for whoever reads any later value with Acquire.

use super::{wait_way, WaitList, Way};
use crate::cell::{const_new, AtomicU64, Ordering};
use crate::error::{Error, FOREVER, NOWAIT};
use crate::list::List;
use crate::reason::Reason;
use crate::sched;
use crate::sys::RawLock;
use crate::wait::{Node, Outcome};
use std::cell::UnsafeCell;

#[cfg(not(loom))]
mod face;
#[cfg(not(loom))]
pub use face::WaitGroup;

const ONE: u64 = 1 << 32;
const LOW: u64 = ONE - 1;
const QUEUED: u64 = 1;
const RELEASING: u64 = 2;

/// The group as C sees it: 32 bytes, all zeros is a valid one with counter 0.
#[repr(C)]
pub struct RawWaitGroup {
    state: AtomicU64,
    lock: RawLock,
    waiters: UnsafeCell<WaitList>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<RawWaitGroup>() == 32);

// SAFETY: the list is used under the lock.
unsafe impl Sync for RawWaitGroup {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for RawWaitGroup {}

impl Default for RawWaitGroup {
    fn default() -> RawWaitGroup {
        RawWaitGroup::new()
    }
}

/// The word after `delta` was added to the counter of `s`.
fn plus(s: u64, delta: i64) -> Result<u64, Error> {
    let n = ((s >> 32) as i64).checked_add(delta).filter(|n| (0..=i64::from(i32::MAX)).contains(n));
    n.map(|n| ((n as u64) << 32) | (s & LOW)).ok_or(Error::Invalid)
}

impl RawWaitGroup {
    const_new! {
        /// Counter 0.
        pub const fn new() -> RawWaitGroup {
            RawWaitGroup { state: AtomicU64::new(0), lock: RawLock::new(), waiters: UnsafeCell::new(WaitList::new()) }
        }
    }

    /// Adds `delta` to the counter. From any thread. If that makes it zero the group may be gone before this returns (A3).
    ///
    /// # Errors
    /// `Invalid` if the counter would become negative or exceed 2³¹−1; it is unchanged then.
    pub fn add(&self, delta: i64) -> Result<(), Error> {
        let mut s = self.state.load(Ordering::Relaxed);
        loop {
            let new = plus(s, delta)?;
            if new < ONE && s >= ONE && s & QUEUED != 0 {
                return self.release(delta);
            }
            // AcqRel: Release orders the member's work before the release of the waiters; Acquire the work of the
            // other members before it.
            match self.state.compare_exchange_weak(s, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => s = now,
            }
        }
    }

    /// Takes one from the counter. From any thread.
    ///
    /// # Errors
    /// `Invalid` if it is zero.
    #[inline]
    pub fn done(&self) -> Result<(), Error> {
        let mut s = self.state.load(Ordering::Relaxed);
        loop {
            if s < ONE {
                return Err(Error::Invalid);
            }
            let new = s - ONE;
            if new < ONE && s & QUEUED != 0 {
                return self.release(-1);
            }
            // AcqRel: as in `add`.
            match self.state.compare_exchange_weak(s, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => s = now,
            }
        }
    }

    /// The counter. A snapshot.
    pub fn count(&self) -> u64 {
        self.state.load(Ordering::Relaxed) >> 32
    }

    /// A1: adds `delta`, which makes the counter zero unless others add meanwhile.
    #[cold]
    #[inline(never)]
    fn release(&self, delta: i64) -> Result<(), Error> {
        let mut free: List<Node> = List::new();
        self.lock.lock();
        let r = self.add_locked(delta, &mut free);
        // SAFETY: we hold it.
        unsafe { self.lock.unlock() };
        if r? {
            self.let_go(&mut free);
        }
        // SAFETY: claimed under the lock, which is released.
        unsafe { sched::ready_all(free) };
        Ok(())
    }

    /// Under the lock. True: the counter is zero now, all who waited are claimed, and we count as releasing.
    fn add_locked(&self, delta: i64, free: &mut List<Node>) -> Result<bool, Error> {
        let mut s = self.state.load(Ordering::Relaxed);
        loop {
            let mut new = plus(s, delta)?;
            let last = new < ONE;
            if last {
                new = (new & !QUEUED) + RELEASING;
            }
            // AcqRel: as in `add`.
            match self.state.compare_exchange_weak(s, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if last => {
                    self.claim_all(free);
                    return Ok(true);
                }
                Ok(_) => return Ok(false),
                Err(now) => s = now,
            }
        }
    }

    /// Under the lock: claims all who are queued.
    fn claim_all(&self, free: &mut List<Node>) {
        // SAFETY: the lock is held; claimed nodes are ours until their waiters are readied.
        unsafe {
            loop {
                let node = (*self.waiters.get()).claim_first();
                if node.is_null() {
                    return;
                }
                free.push_back(node);
            }
        }
    }

    /// A3: we are not releasing any more. Those who have queued meanwhile, with the counter still at zero, are claimed first.
    fn let_go(&self, free: &mut List<Node>) {
        let mut s = self.state.load(Ordering::Relaxed);
        loop {
            if s < ONE && s & QUEUED != 0 {
                self.lock.lock();
                // AcqRel: as in `add`. Under the lock, where others queue.
                let cleared = self.state.compare_exchange(s, s & !QUEUED, Ordering::AcqRel, Ordering::Relaxed).is_ok();
                if cleared {
                    self.claim_all(free);
                }
                // SAFETY: we hold it.
                unsafe { self.lock.unlock() };
                s = self.state.load(Ordering::Relaxed);
                continue;
            }
            // Release: pairs with the Acquire of a wait that finds zero, after which the group may be freed.
            match self.state.compare_exchange_weak(s, s - RELEASING, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => s = now,
            }
        }
    }

    /// Waits until the counter is zero. From any thread.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `Interrupted`; `WouldBlock` with `NOWAIT`.
    pub fn wait(&self, deadline: i64) -> Result<(), Error> {
        self.wait_as(Reason::WaitGroup, deadline)
    }

    /// As [`wait`](RawWaitGroup::wait); `reason` is what dumps show.
    ///
    /// # Errors
    /// As [`wait`](RawWaitGroup::wait).
    pub fn wait_as(&self, reason: Reason, deadline: i64) -> Result<(), Error> {
        if deadline == NOWAIT {
            return if self.is_over() { Ok(()) } else { Err(Error::WouldBlock) };
        }
        super::may_wait(deadline)?;
        self.wait_way(Way::until(reason, deadline))
    }

    /// As [`wait`](RawWaitGroup::wait) without deadline, and not cancelable; `reason` is what dumps show.
    pub fn wait_forever(&self, reason: Reason) {
        // It ends with the last member only.
        let _ = self.wait_way(Way::plain(reason));
    }

    /// Whether the counter is zero and nobody uses the group any more.
    #[inline]
    fn is_over(&self) -> bool {
        // Acquire: pairs with the Release in `add` and `let_go`.
        self.state.load(Ordering::Acquire) == 0
    }

    fn wait_way(&self, way: Way) -> Result<(), Error> {
        if self.is_over() {
            return Ok(());
        }
        super::sched::checkpoint(true);
        if way.deadline != FOREVER {
            super::may_queue(way.deadline)?;
        }
        self.lock.lock();
        // A2. Acquire: pairs with the Release in `add`, for the case that it is over now.
        let queued =
            self.state.fetch_update(Ordering::Relaxed, Ordering::Acquire, |s| (s != 0).then_some(s | QUEUED)).is_ok();
        if !queued {
            // SAFETY: we hold it.
            unsafe { self.lock.unlock() };
            return Ok(());
        }
        // SAFETY: the lock is held and protects the list.
        match unsafe { wait_way(&self.lock, self.waiters.get(), way, || ()) }.0 {
            Outcome::Peer => Ok(()),
            other => Err(other.into()),
        }
    }
}

#[cfg(all(test, loom))]
mod tests;
