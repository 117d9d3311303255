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
use crate::context::Context;
use crate::goroutine::Reason;
use crate::rank::Rank;
use crate::sync::waitgroup::RawWaitGroup;
use crate::sync::{wait_in, WaitList};
use crate::sys::{self, RawLock};
use crate::wait::{Node, Outcome};
use crate::{sanitize, sched};
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
        sanitize::release((&raw const self.members).cast());
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
        sanitize::acquire((&raw const self.members).cast());
        self.ctx.cancel(Cause::None);
        Ok(self.first.lock().clone())
    }

    /// Members that have not ended.
    pub fn count(&self) -> u64 {
        self.members.count()
    }
}

/// What a group's members fail with, as the context's cause and in lists.
type Failure<E> = Arc<E>;

/// Goroutines that end together: the first error cancels the group's context, to which all members are bound, and is what
/// [`wait`](Group::wait) returns; all errors are available.
///
/// ```
/// use zokor::group::Group;
/// let r = zokor::run(|| {
///     let g = Group::<std::num::ParseIntError>::new();
///     for text in ["1", "x", "3"] {
///         g.go(move || text.parse::<i32>().map(drop));
///     }
///     g.wait().map_err(|e| e.to_string())
/// });
/// assert_eq!(r, Err("invalid digit found in string".to_owned()));
/// ```
pub struct Group<E> {
    raw: Arc<RawGroup>,
    errors: Arc<sys::Mutex<Vec<Failure<E>>>>,
}

impl<E> std::fmt::Debug for Group<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.raw.fmt(f)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> Default for Group<E> {
    fn default() -> Group<E> {
        Group::new()
    }
}

impl<E: std::error::Error + Send + Sync + 'static> Group<E> {
    /// A group under the context the caller is bound to.
    pub fn new() -> Group<E> {
        Group::with_context(&Context::current())
    }

    /// A group under `parent`.
    pub fn with_context(parent: &Context) -> Group<E> {
        let raw = RawGroup::new(parent.ctx(), 0);
        Group { raw, errors: Arc::new(sys::Mutex::new(Rank::Leaf, Vec::new())) }
    }

    /// The group's context. It ends with the first error (the cause), or when `wait` returns.
    pub fn context(&self) -> Context {
        Context::from_ctx(self.raw.ctx())
    }

    /// At most `n` members run at once (0: nobody starts); `None`: no limit (E-03).
    ///
    /// # Panics
    /// If members are running.
    pub fn set_limit(&self, n: Option<usize>) {
        let set = self.raw.set_limit(n.map(|n| n as u64));
        assert!(set.is_ok(), "Group::set_limit while members are running");
    }

    /// Starts a member; waits while the limit is reached. False: the caller's own context ended first, nothing was started.
    ///
    /// # Panics
    /// As [`go`](fn@crate::go).
    #[track_caller]
    pub fn go(&self, f: impl FnOnce() -> Result<(), E> + Send + 'static) -> bool {
        if self.raw.enter(FOREVER).is_err() {
            return false;
        }
        self.start(f);
        true
    }

    /// Starts a member if the limit allows it now.
    ///
    /// # Panics
    /// As [`go`](fn@crate::go).
    #[track_caller]
    pub fn try_go(&self, f: impl FnOnce() -> Result<(), E> + Send + 'static) -> bool {
        if self.raw.enter(NOWAIT).is_err() {
            return false;
        }
        self.start(f);
        true
    }

    #[track_caller]
    fn start(&self, f: impl FnOnce() -> Result<(), E> + Send + 'static) {
        let member = Member { raw: self.raw.clone(), error: None };
        let errors = self.errors.clone();
        let body = move || {
            let mut member = member;
            crate::panic::body_reported(|| {
                if let Err(e) = f() {
                    let e = Arc::new(e);
                    errors.lock().push(e.clone());
                    member.error = Some(Cause::Error(e));
                }
            });
            drop(errors);
            drop(member);
        };
        let started = crate::go::Builder::new().context(&self.context()).go(body);
        if let Err(e) = started {
            panic!("cannot start a goroutine: {e}"); // the member's place went back with its closure
        }
    }

    /// Waits for all members and returns the first error (E-01). May be called again.
    ///
    /// # Errors
    /// The first error of a member.
    pub fn wait(&self) -> Result<(), Failure<E>> {
        if self.raw.wait(FOREVER).is_err() {
            self.raw.ctx().cancel(Cause::None); // the caller's context has ended: so do the members
            let ended = sched::shielded(|| self.raw.wait(FOREVER));
            debug_assert!(ended.is_ok(), "a shielded wait without deadline ends in one way only");
        }
        self.errors.lock().first().map_or(Ok(()), |e| Err(e.clone()))
    }

    /// As `wait`, until `deadline` at most; `None`: it passed first.
    pub fn wait_until(&self, deadline: std::time::Instant) -> Option<Result<(), Failure<E>>> {
        self.raw.wait(crate::clock::deadline(deadline)).ok()?;
        Some(self.errors.lock().first().map_or(Ok(()), |e| Err(e.clone())))
    }

    /// All errors so far, in the order in which they came.
    pub fn errors(&self) -> Vec<Failure<E>> {
        self.errors.lock().clone()
    }
}

/// A member's place: given back when it has ended, also by a panic or an exit. (A panic follows the panic policy first, E-06.)
struct Member {
    raw: Arc<RawGroup>,
    error: Option<Cause>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.raw.leave(self.error.take());
    }
}
