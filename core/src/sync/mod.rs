//! Synchronisation for goroutines and threads together: [`Mutex`], [`RwLock`], [`Condvar`], [`Once`], [`OnceLock`],
//! [`LazyLock`], [`Barrier`], [`WaitGroup`], [`Semaphore`], [`Pool`], [`Map`] and [`singleflight`].
//!
//! Names and shapes are those of `std::sync` and `parking_lot`; behaviour is Go's `sync`: waiters are served in the order in
//! which they came, nobody starves, nothing wakes up for no reason, and a panic poisons nothing. Everything works between
//! goroutines and plain threads: a goroutine that waits lets others run, a thread that waits sleeps.
//!
//! ```
//! use zokor::sync::Mutex;
//! let total = Mutex::new(0);
//! zokor::run(|| {
//!     zokor::scope(|s| {
//!         for i in 1..=10 {
//!             let total = &total;
//!             s.go(move || *total.lock() += i);
//!         }
//!     });
//! });
//! assert_eq!(total.into_inner(), 55);
//! ```
//!
//! Each type has a raw form of 32 bytes of which all zeros is a valid, unused one: what C programs put into their structs.
//!
//! # Which waits can be ended
//!
//! Every call that may wait has a form with a deadline, which also ends with [`WaitError::Cancelled`] when the
//! context a goroutine is bound to ends; with an ended context it does nothing, also if it would not have had to wait. Nothing has happened
//! then: nothing was taken, no notification was used up. The plain forms are not cancelable: they return with what they wait
//! for, or not at all.
//!
//! | waits for | not cancelable | until a deadline, or the context ends | in C, with a deadline | in C, not cancelable |
//! |---|---|---|---|---|
//! | mutex | [`lock`](Mutex::lock) | [`lock_until`](Mutex::lock_until), [`lock_cancelable`](Mutex::lock_cancelable), [`try_lock_for`](Mutex::try_lock_for) | `zk_mutex_lock_until` | `zk_mutex_lock` |
//! | read lock | [`read`](RwLock::read) | [`read_until`](RwLock::read_until), [`read_cancelable`](RwLock::read_cancelable) | `zk_rwmutex_rlock_until` | `zk_rwmutex_rlock` |
//! | write lock | [`write`](RwLock::write) | [`write_until`](RwLock::write_until), [`write_cancelable`](RwLock::write_cancelable) | `zk_rwmutex_lock_until` | `zk_rwmutex_lock` |
//! | notification | [`wait`](Condvar::wait), [`wait_while`](Condvar::wait_while) | [`wait_until`](Condvar::wait_until), [`wait_cancelable`](Condvar::wait_cancelable), [`wait_while_until`](Condvar::wait_while_until) | `zk_cond_wait`; taking the mutex again is not cancelable | |
//! | wait group | [`wait`](WaitGroup::wait) | [`wait_until`](WaitGroup::wait_until), [`wait_cancelable`](WaitGroup::wait_cancelable) | `zk_wg_wait` | |
//! | once | [`call_once`](Once::call_once) | [`call_once_until`](Once::call_once_until), [`call_once_cancelable`](Once::call_once_cancelable) | | `zk_once_do` |
//! | value | [`get_or_init`](OnceLock::get_or_init), [`set`](OnceLock::set), [`LazyLock`], [`once_value`] | [`get_or_init_until`](OnceLock::get_or_init_until) | | |
//! | barrier | [`wait`](Barrier::wait) | [`wait_until`](Barrier::wait_until), [`wait_cancelable`](Barrier::wait_cancelable) | | |
//! | tokens | | [`acquire`](Semaphore::acquire), [`acquire_until`](Semaphore::acquire_until) | `zk_sem_acquire` | |
//! | another's call | [`call`](singleflight::Group::call) | [`call_until`](singleflight::Group::call_until), [`call_cancelable`](singleflight::Group::call_cancelable) | | |
//! | a place in a group | | [`go`](crate::group::Group::go), [`go_until`](crate::group::Group::go_until) | `zk_group_go`, `zk_group_go_until` | |
//! | a group | [`wait`](crate::group::Group::wait), which cancels the group when the caller's context ends | [`wait_until`](crate::group::Group::wait_until) | `zk_group_wait`, `zk_group_wait_until` | `zk_group_unref` |
//! | a scope | the end of [`scope`](crate::scope()) and [`try_scope`](crate::try_scope), whose context ends with the caller's | [`try_scope_until`](crate::try_scope_until) ends its goroutines' waits | | |
//! | a goroutine | [`join`](crate::JoinHandle::join) | | | |
//!
//! [`Pool`] and [`Map`] never wait.
//!
//! Every call that takes something is also a point at which a time slice that is used up ends, and from which on a plain
//! thread counts as alive for the detection of deadlocks, like calls on channels.
//!
//! *Where it sits*: layer 4, over the scheduler's verbs and the waiter's claim, beside the channels.

mod cond;
mod mutex;
mod once;
mod rwlock;
mod semaphore;

#[cfg(not(loom))]
mod barrier;
#[cfg(not(loom))]
mod lazy;
#[cfg(not(loom))]
mod map;
#[cfg(not(loom))]
mod pool;
#[cfg(not(loom))]
pub mod singleflight;
#[cfg(not(loom))]
pub mod waitgroup;

pub use cond::{Condvar, RawCond};
pub use mutex::{Mutex, MutexGuard, RawMutex};
pub use once::{Once, RawOnce};
pub use rwlock::{RawRwMutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{RawSem, Semaphore, SemaphorePermit};

#[cfg(not(loom))]
pub use barrier::{Barrier, BarrierWaitResult};
#[cfg(not(loom))]
pub use lazy::{once_func, once_value, LazyLock, OnceLock};
#[cfg(not(loom))]
pub use map::Map;
#[cfg(not(loom))]
pub use pool::{Pool, Pooled};
#[cfg(not(loom))]
pub use waitgroup::WaitGroup;

use crate::clock;
use crate::error::{Error, FOREVER, NOWAIT};
use crate::list::List;
use crate::reason::Reason;
use crate::sched::{self, timers};
use crate::sys::RawLock;
use crate::wait::{Node, Outcome};

pub(crate) use crate::clock::deadline;

/// Why a wait with a deadline ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The deadline passed.
    TimedOut,
    /// The goroutine's context was cancelled, or its host cancelled the wait.
    Cancelled,
}

impl std::fmt::Display for WaitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            WaitError::TimedOut => "the deadline passed",
            WaitError::Cancelled => "the wait was cancelled",
        })
    }
}

impl std::error::Error for WaitError {}

impl From<Error> for WaitError {
    fn from(e: Error) -> WaitError {
        match e {
            Error::TimedOut | Error::WouldBlock => WaitError::TimedOut,
            _ => WaitError::Cancelled,
        }
    }
}

/// A queue of waiters in two words, of which all zeros is a valid, empty one. Used under its owner's lock.
#[repr(C)]
pub(crate) struct WaitList([usize; 2]);

impl WaitList {
    pub(crate) const fn new() -> WaitList {
        WaitList([0; 2])
    }

    /// The list behind it.
    pub(crate) fn list(&mut self) -> &mut List<Node> {
        const { assert!(size_of::<List<Node>>() == size_of::<WaitList>()) };
        let p: *mut List<Node> = (&raw mut self.0).cast();
        // SAFETY: the words are either all zero, which is replaced by an empty list first, or a list. Size and
        // alignment are those of two words.
        unsafe {
            if self.0[0] == 0 {
                p.write(List::new());
            }
            &mut *p
        }
    }

    /// Takes the first node whose waiter could be claimed out of the list; null if there is none.
    ///
    /// # Safety
    /// The lock of the list is held. The caller readies the waiter.
    pub(crate) unsafe fn claim_first(&mut self) -> *mut Node {
        let list = self.list();
        while !list.is_empty() {
            let node = list.pop_front();
            // SAFETY: just dequeued under the lock.
            if unsafe { Node::claim(node) } {
                return node;
            }
        }
        core::ptr::null_mut()
    }
}

/// The deadline for a time from now.
pub(crate) fn after(time: std::time::Duration) -> i64 {
    timers::after(clock::nanos(time))
}

/// How a wait in a queue is done.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// What dumps show.
    pub(crate) reason: Reason,
    /// When to give up.
    pub(crate) deadline: i64,
    /// Whether cancellation ends it.
    pub(crate) cancelable: bool,
    /// In front of all others, not behind.
    pub(crate) front: bool,
    /// What the one who claims the node should know.
    pub(crate) tag: u32,
}

impl Way {
    /// Behind all others, until claimed.
    pub(crate) fn plain(reason: Reason) -> Way {
        Way { reason, deadline: FOREVER, cancelable: false, front: false, tag: 0 }
    }

    /// Behind all others, until claimed, the deadline or cancellation.
    pub(crate) fn until(reason: Reason, deadline: i64) -> Way {
        Way { reason, deadline, cancelable: true, front: false, tag: 0 }
    }
}

/// What a call with a deadline looks at before anything else: a goroutine whose context has ended does nothing that could
/// wait, also if it would not have to.
#[inline]
pub(crate) fn may_wait(deadline: i64) -> Result<(), Error> {
    if deadline == NOWAIT {
        return Ok(());
    }
    sched::bound_end().map_or(Ok(()), |o| Err(sched::at_once(o.into(), deadline)))
}

/// Whether a call with this deadline may wait now: `WouldBlock` without one, `TimedOut` if it is over.
#[inline]
pub(crate) fn may_queue(deadline: i64) -> Result<(), Error> {
    match deadline {
        FOREVER => Ok(()),
        NOWAIT => Err(Error::WouldBlock),
        d if d <= timers::now() => Err(Error::TimedOut),
        _ => Ok(()),
    }
}

/// Waits in `list` until somebody claims the caller, or the deadline.
///
/// # Safety
/// As for [`wait_way`].
#[cfg_attr(loom, allow(dead_code))]
pub(crate) unsafe fn wait_in(lock: &RawLock, list: *mut WaitList, reason: Reason, deadline: i64) -> Outcome {
    // SAFETY: by the caller.
    unsafe {
        if deadline != FOREVER && deadline <= timers::now() {
            lock.unlock();
            return Outcome::TimedOut;
        }
        wait_way(lock, list, Way::until(reason, deadline), || ()).0
    }
}

/// Queues the caller in `list`, releases the lock, calls `then`, and waits until somebody claims it or the wait ends in
/// another way. Returns how it ended, and `ok` as the claimer has set it in the node.
///
/// # Safety
/// `lock` protects `list` and is held; it is released here. The caller is in no wait; `then` does not wait either.
/// Whoever claims the node readies its waiter. Both stay valid until the wait is over.
pub(crate) unsafe fn wait_way(lock: &RawLock, list: *mut WaitList, way: Way, then: impl FnOnce()) -> (Outcome, bool) {
    // SAFETY: the lock is held until the unlock, and again for the removal.
    unsafe {
        let wt = sched::me();
        let node = sched::node_of(wt);
        let multi = way.deadline != FOREVER || (way.cancelable && sched::is_cancelable(wt));
        if multi {
            (*wt).begin_multi();
        } else {
            (*wt).begin_single();
        }
        (*node).set(wt, core::ptr::null_mut(), way.tag, multi);
        if way.front {
            (*list).list().push_front(node);
        } else {
            (*list).list().push_back(node);
        }
        lock.unlock();
        then();
        let outcome = sched::wait(wt, way.reason, way.deadline);
        if outcome != Outcome::Peer {
            lock.lock();
            (*list).list().remove_if_linked(node);
            lock.unlock();
        }
        (outcome, (*node).ok)
    }
}
