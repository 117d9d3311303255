//! Goroutines that end together: the first failure cancels the others, and one wait is for all of them.
//!
//! *Where it sits*: layer 4, over contexts and the wait group. [`RawGroup`] is what C and Python use; [`Group`] is its Rust
//! face. Rules E-01 to E-06, after Go's `errgroup`, with what that leaves out: all errors, deadlines, cancellation of a
//! blocked `go`.
//!
//! # Invariants
//!
//! - **Y1** A member counts from before it starts until it has let go of its closure and its error is recorded.
//! - **Y2** With a limit at most that many members run at once; whoever starts another one waits in order of arrival.
//! - **Y3** The first error is recorded before the group's context ends with it as the cause.

use crate::cell::{AtomicU64, Ordering};
use crate::chan::core::{Error, FOREVER, NOWAIT};
use crate::context::tree::{Cause, Ctx};
use crate::goroutine::Reason;
use crate::rank::Rank;
use crate::sched;
use crate::sync::waitgroup::RawWaitGroup;
use crate::sync::{wait_in, WaitList};
use crate::sys::{self, RawLock};
use crate::wait::{Node, Outcome};
use std::cell::UnsafeCell;
use std::sync::Arc;

/// A limit that lets everybody in.
const UNLIMITED: u64 = u64::MAX;

/// The group as the faces use it.
pub struct RawGroup {
    ctx: Arc<Ctx>,
    members: RawWaitGroup,
    limit: AtomicU64,
    lock: RawLock,
    gate: UnsafeCell<Gate>,
    first: sys::Mutex<Option<Cause>>,
}

struct Gate {
    inside: u64,
    waiting: WaitList,
}

// SAFETY: the gate is used under the lock.
unsafe impl Sync for RawGroup {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for RawGroup {}

impl std::fmt::Debug for RawGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("members", &self.members.count()).finish_non_exhaustive()
    }
}

impl RawGroup {
    /// A group whose context is a child of `parent`; at most `limit` members run at once (0: any number).
    pub fn new(parent: Option<Arc<Ctx>>, limit: u64) -> Arc<RawGroup> {
        Arc::new(RawGroup {
            ctx: Ctx::new(parent, FOREVER),
            members: RawWaitGroup::new(),
            limit: AtomicU64::new(if limit == 0 { UNLIMITED } else { limit }),
            lock: RawLock::new(),
            gate: UnsafeCell::new(Gate { inside: 0, waiting: WaitList::new() }),
            first: sys::Mutex::new(Rank::Leaf, None),
        })
    }

    /// Its context.
    pub fn ctx(&self) -> &Arc<Ctx> {
        &self.ctx
    }

    /// Changes the limit (`None`: none; 0: nobody starts).
    ///
    /// # Errors
    /// `Busy` while members run (E-03).
    pub fn set_limit(&self, limit: Option<u64>) -> Result<(), Error> {
        if self.members.count() > 0 {
            return Err(Error::Busy);
        }
        self.limit.store(limit.unwrap_or(UNLIMITED), Ordering::Relaxed);
        Ok(())
    }

    /// Takes a place for a new member; waits for one at the limit (Y2).
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`, `Cancelled`.
    pub fn enter(&self, deadline: i64) -> Result<(), Error> {
        self.lock.lock();
        // SAFETY: the lock is held until it is released here or in `wait_in`.
        unsafe {
            let gate = &mut *self.gate.get();
            if gate.inside < self.limit.load(Ordering::Relaxed) && gate.waiting.list().is_empty() {
                gate.inside += 1;
                self.lock.unlock();
            } else if deadline == NOWAIT {
                self.lock.unlock();
                return Err(Error::WouldBlock);
            } else {
                match wait_in(&self.lock, &raw mut (*self.gate.get()).waiting, Reason::Group, deadline) {
                    Outcome::Peer => {} // the place was handed over
                    other => return Err(other.into()),
                }
            }
        }
        if let Err(e) = self.members.add(1) {
            self.give_place();
            return Err(e);
        }
        Ok(())
    }

    /// A member has ended, with an error or without (Y1, Y3).
    pub fn leave(&self, error: Option<Cause>) {
        if let Some(e) = error {
            let mut first = self.first.lock();
            let is_first = first.is_none();
            if is_first {
                *first = Some(e.clone());
            }
            drop(first);
            if is_first {
                self.ctx.cancel(e);
            }
        }
        self.give_place();
        let _ = self.members.done();
    }

    /// A place is free: it goes to the first who waits.
    fn give_place(&self) {
        self.lock.lock();
        // SAFETY: the lock is held; a claimed node is ours until its waiter is readied.
        unsafe {
            let gate = &mut *self.gate.get();
            let list = gate.waiting.list();
            let mut next = core::ptr::null();
            while !list.is_empty() {
                let n = list.pop_front();
                if Node::claim(n) {
                    next = (*n).waiter;
                    break;
                }
            }
            if next.is_null() {
                gate.inside -= 1;
            }
            self.lock.unlock();
            if !next.is_null() {
                sched::ready(next);
            }
        }
    }

    /// Waits for all members; then the context ends (E-02). The first error is the result.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `WouldBlock`: members are left.
    pub fn wait(&self, deadline: i64) -> Result<Option<Cause>, Error> {
        self.members.wait(deadline)?;
        self.ctx.cancel(Cause::None);
        Ok(self.first.lock().clone())
    }

    /// Members that have not ended.
    pub fn count(&self) -> u64 {
        self.members.count()
    }
}
