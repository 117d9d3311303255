//! Running something once, with everybody waiting until it has been.
//!
//! *Where it sits*: layer 4, called by `lazy`. Rules O-01 to O-04, after Go's `sync.Once`.
//!
//! # State
//!
//! `state`: new → running → done, or back to new when the run is abandoned. Those who come while it runs wait in a queue, and set
//! `QUEUED` beside running.
//!
//! # Invariants
//!
//! * **O1** One caller at a time is told to run: the one that moved the state from new to running, under the lock.
//! * **O2** Who is told that it is done comes after the end of the run.
//! * **O3** Who waits was queued under the lock and set `QUEUED` there in a step that saw the state running; the end of the run finds no
//!   mark, or claims all of them.
//! * **O4** The step that ends the run is its last use of the memory: whoever sees it done may free it.
//!
//! # Orderings
//!
//! Done is stored with Release and read with Acquire: what the run did is visible to whoever it is done for (HB-08).

use super::{may_queue, may_wait, wait_way, WaitError, WaitList, Way};
use crate::cell::{const_new, AtomicU32, Ordering};
use crate::error::{Error, FOREVER};
use crate::list::List;
use crate::reason::Reason;
use crate::sched;
use crate::sys::RawLock;
use crate::wait::{Node, Outcome};
use std::cell::UnsafeCell;
use std::time::Instant;

const NEW: u32 = 0;
const RUNNING: u32 = 1;
const DONE: u32 = 2;
/// Beside `RUNNING`: somebody may be in the queue.
const QUEUED: u32 = 4;

/// A once without function: 32 bytes, all zeros is one that has not run.
#[repr(C)]
pub struct RawOnce {
    state: AtomicU32,
    spare: u32,
    lock: RawLock,
    queue: UnsafeCell<WaitList>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<RawOnce>() == 32);

// SAFETY: the queue is used under the lock.
unsafe impl Sync for RawOnce {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for RawOnce {}

impl Default for RawOnce {
    fn default() -> RawOnce {
        RawOnce::new()
    }
}

impl RawOnce {
    const_new! {
        /// Has not run.
        pub const fn new() -> RawOnce {
            RawOnce {
                state: AtomicU32::new(NEW),
                spare: 0,
                lock: RawLock::new(),
                queue: UnsafeCell::new(WaitList::new()),
            }
        }
    }

    /// Whether the run has ended.
    #[inline(always)]
    pub fn is_done(&self) -> bool {
        // Acquire: pairs with the Release in `end`.
        self.state.load(Ordering::Acquire) == DONE
    }

    /// True: the caller runs it now, and calls [`finish`](RawOnce::finish) or [`abandon`](RawOnce::abandon) afterwards.
    /// False: it has been run; waits while somebody else is at it, for ever if that is the caller itself (O-04). Not cancelable.
    #[inline]
    pub fn begin(&self) -> bool {
        // Without deadline and not cancelable it ends with an answer only.
        !self.is_done() && self.begin_slow(Way::plain(Reason::Once)).unwrap_or(false)
    }

    /// As [`begin`](RawOnce::begin), waits until `deadline` at most; cancelable.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `Interrupted`; `WouldBlock` with `NOWAIT`. The caller does not run it then.
    pub fn begin_until(&self, deadline: i64) -> Result<bool, Error> {
        may_wait(deadline)?;
        if self.is_done() {
            return Ok(false);
        }
        self.begin_slow(Way::until(Reason::Once, deadline))
    }

    #[cold]
    #[inline(never)]
    fn begin_slow(&self, way: Way) -> Result<bool, Error> {
        sched::checkpoint(true);
        while !self.is_done() {
            self.lock.lock();
            let s = self.state.load(Ordering::Relaxed);
            let late = if s & RUNNING == 0 { Ok(()) } else { may_queue(way.deadline) };
            let next = if s == NEW { RUNNING } else { s | QUEUED };
            // Acquire: pairs with the Release in `end`, for a run that was abandoned. It fails when a run ends meanwhile, which needs
            // no lock.
            let stepped = s != DONE
                && late.is_ok()
                && self.state.compare_exchange(s, next, Ordering::Acquire, Ordering::Relaxed).is_ok();
            if !stepped || s == NEW {
                // SAFETY: we hold it.
                unsafe { self.lock.unlock() };
                late?;
                if stepped {
                    return Ok(true);
                }
                continue;
            }
            // SAFETY: the lock is held and protects the queue; the end of the run claims the node (O3).
            match unsafe { wait_way(&self.lock, self.queue.get(), way, || ()) }.0 {
                Outcome::Peer => {}
                other => return Err(other.into()),
            }
        }
        Ok(false)
    }

    /// The run has ended: everybody goes on.
    pub fn finish(&self) {
        self.end(DONE);
    }

    /// The run has come to nothing: the next caller runs, or one of those who wait.
    pub fn abandon(&self) {
        self.end(NEW);
    }

    fn end(&self, state: u32) {
        let mut claimed: List<Node> = List::new();
        // Release: pairs with the Acquire in `is_done` and in `begin`. O4: nothing of self is used after it.
        while self.state.compare_exchange(RUNNING, state, Ordering::Release, Ordering::Relaxed).is_err() {
            self.lock.lock();
            // SAFETY: the lock is held; claimed nodes are ours until their waiters are readied.
            unsafe {
                loop {
                    let node = (*self.queue.get()).claim_first();
                    if node.is_null() {
                        break;
                    }
                    claimed.push_back(node);
                }
                self.state.store(RUNNING, Ordering::Relaxed); // set by those who queue, under the lock
                self.lock.unlock();
            }
        }
        // SAFETY: claimed above, and no lock is held.
        unsafe { sched::ready_all(claimed) };
    }

    /// Calls `f` if nobody has done so before, and returns when the one call has ended. If `f` panics or calls `goexit`, that
    /// counts as done (O-02, O-03). Not cancelable.
    #[inline]
    pub fn call(&self, f: impl FnOnce()) {
        if self.begin() {
            let finish = Finish(self);
            f();
            drop(finish);
        }
    }

    /// As [`call`](RawOnce::call), waits for another's run until `deadline` at most; cancelable.
    ///
    /// # Errors
    /// As [`begin_until`](RawOnce::begin_until); `f` is not called then.
    pub fn call_until(&self, deadline: i64, f: impl FnOnce()) -> Result<(), Error> {
        if self.begin_until(deadline)? {
            let finish = Finish(self);
            f();
            drop(finish);
        }
        Ok(())
    }
}

struct Finish<'a>(&'a RawOnce);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Runs a function once.
///
/// As `std::sync::Once`, but a panic poisons nothing: it goes to the caller whose function ran, counts as having run, and
/// everybody else goes on (O-02).
///
/// ```
/// use zokor::sync::Once;
/// static START: Once = Once::new();
/// let mut n = 0;
/// for _ in 0..3 {
///     START.call_once(|| n += 1);
/// }
/// assert_eq!(n, 1);
/// assert!(START.is_completed());
/// ```
#[derive(Default)]
pub struct Once {
    raw: RawOnce,
}

impl Once {
    const_new! {
        /// Has not run.
        pub const fn new() -> Once {
            Once { raw: RawOnce::new() }
        }
    }

    /// Runs `f` if nothing has run before, else waits until that has ended. Calling it from inside `f` waits for ever.
    /// Not cancelable.
    ///
    /// # Panics
    /// With what `f` panics with.
    #[inline]
    pub fn call_once(&self, f: impl FnOnce()) {
        self.raw.call(f);
    }

    /// As [`call_once`](Once::call_once), waits for another's run until `deadline` at most, and ends when the goroutine's context does.
    ///
    /// # Errors
    /// Which of deadline and cancellation came first; `f` is not called then.
    ///
    /// # Panics
    /// With what `f` panics with.
    pub fn call_once_until(&self, deadline: Instant, f: impl FnOnce()) -> Result<(), WaitError> {
        Ok(self.raw.call_until(super::deadline(deadline), f)?)
    }

    /// As [`call_once_until`](Once::call_once_until) without deadline.
    ///
    /// # Errors
    /// `Cancelled`, or `TimedOut` by the context's deadline; `f` is not called then.
    ///
    /// # Panics
    /// With what `f` panics with.
    pub fn call_once_cancelable(&self, f: impl FnOnce()) -> Result<(), WaitError> {
        Ok(self.raw.call_until(FOREVER, f)?)
    }

    /// Whether something has run to its end.
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.raw.is_done()
    }
}

impl std::fmt::Debug for Once {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Once").field("completed", &self.is_completed()).finish()
    }
}

#[cfg(all(test, loom))]
mod tests;
