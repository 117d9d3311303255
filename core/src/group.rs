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
use crate::goroutine::{Reason, EXITING};
use crate::list::List;
use crate::rank::Rank;
use crate::sync::waitgroup::RawWaitGroup;
use crate::sync::{may_wait, wait_in, WaitError, WaitList};
use crate::sys::{self, RawLock};
use crate::wait::{Node, Outcome};
use crate::{clock, panic, sanitize, sched};
use std::cell::UnsafeCell;
use std::sync::Arc;
use std::time::Instant;

/// A limit that lets everybody in.
const UNLIMITED: u64 = u64::MAX;

/// The group as the faces use it.
pub struct RawGroup {
    ctx: Arc<Ctx>,
    members: RawWaitGroup,
    limit: AtomicU64,
    lock: RawLock,
    gate: UnsafeCell<Gate>,
    /// What members failed with, in the order in which they ended.
    failures: sys::Mutex<Vec<Cause>>,
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
            failures: sys::Mutex::new(Rank::Leaf, Vec::new()),
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
        self.let_in();
        Ok(())
    }

    /// Those who wait get the places that a new limit gives.
    fn let_in(&self) {
        self.lock.lock();
        let mut claimed = List::new();
        // SAFETY: the lock is held; claimed nodes are ours until their waiters are readied.
        unsafe {
            let gate = &mut *self.gate.get();
            while gate.inside < self.limit.load(Ordering::Relaxed) {
                let n = gate.waiting.claim_first();
                if n.is_null() {
                    break;
                }
                gate.inside += 1;
                claimed.push_back(n);
            }
            self.lock.unlock();
            sched::ready_all(claimed);
        }
    }

    /// Takes a place for a new member; waits for one at the limit (Y2).
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`, `Cancelled`.
    pub fn enter(&self, deadline: i64) -> Result<(), Error> {
        may_wait(deadline)?;
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
            let is_first = {
                let mut failures = self.failures.lock();
                failures.push(e.clone());
                failures.len() == 1
            };
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
        self.members.wait_as(Reason::Group, deadline)?;
        Ok(self.ended())
    }

    /// As [`wait`](RawGroup::wait) without deadline, and not cancelable.
    pub fn wait_forever(&self) -> Option<Cause> {
        self.members.wait_forever(Reason::Group);
        self.ended()
    }

    fn ended(&self) -> Option<Cause> {
        sanitize::acquire((&raw const self.members).cast());
        self.ctx.cancel(Cause::None);
        self.failures.lock().first().cloned()
    }

    /// Looks at what members have failed with so far, in the order in which they ended. `look` does not wait.
    pub fn failures<R>(&self, look: impl FnOnce(&[Cause]) -> R) -> R {
        look(&self.failures.lock())
    }

    /// Members that have not ended.
    pub fn count(&self) -> u64 {
        self.members.count()
    }
}

/// What a group's members fail with, as the context's cause and in lists.
type Failure<E> = Arc<E>;

/// What members returned, by the number of their start.
type Results<T> = sys::Mutex<Vec<(u64, T)>>;

/// Goroutines that end together: the first error cancels the group's context, to which all members are bound, and is what
/// [`wait`](Group::wait) returns; all errors are available, and in a [collecting](Group::collecting) group all results.
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
///
/// A panic of a member follows the panic policy of the runtime. Where that lets the rest go on the others are cancelled, and
/// [`panicked`](Group::panicked) counts it.
pub struct Group<E, T = ()> {
    raw: Arc<RawGroup>,
    shared: Arc<Shared<E, T>>,
    started: AtomicU64,
}

/// What the members of a group leave behind.
struct Shared<E, T> {
    errors: sys::Mutex<Vec<Failure<E>>>,
    /// `None`: nobody asks for results.
    results: Option<Results<T>>,
    panicked: AtomicU64,
}

impl<E, T> std::fmt::Debug for Group<E, T> {
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
        Group::build(parent, None)
    }
}

impl<E: std::error::Error + Send + Sync + 'static, T: Send + 'static> Group<E, T> {
    /// A group that keeps what its members return, under the context the caller is bound to.
    ///
    /// ```
    /// use zokor::group::Group;
    /// let squares = zokor::run(|| {
    ///     let g = Group::<std::io::Error, _>::collecting();
    ///     for n in 1..=4 {
    ///         g.go(move || Ok(n * n));
    ///     }
    ///     g.wait_results()
    /// });
    /// assert_eq!(squares.unwrap(), [1, 4, 9, 16]);
    /// ```
    pub fn collecting() -> Group<E, T> {
        Group::collecting_with_context(&Context::current())
    }

    /// A group that keeps what its members return, under `parent`.
    pub fn collecting_with_context(parent: &Context) -> Group<E, T> {
        Group::build(parent, Some(sys::Mutex::new(Rank::Leaf, Vec::new())))
    }

    fn build(parent: &Context, results: Option<Results<T>>) -> Group<E, T> {
        let errors = sys::Mutex::new(Rank::Leaf, Vec::new());
        let shared = Arc::new(Shared { errors, results, panicked: AtomicU64::new(0) });
        Group { raw: RawGroup::new(parent.ctx(), 0), shared, started: AtomicU64::new(0) }
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
    pub fn go(&self, f: impl FnOnce() -> Result<T, E> + Send + 'static) -> bool {
        self.enter_and_start(FOREVER, f).is_ok()
    }

    /// As [`go`](Group::go), waits until `deadline` at most.
    ///
    /// # Errors
    /// Which of deadline and cancellation came first; nothing was started.
    ///
    /// # Panics
    /// As [`go`](fn@crate::go).
    #[track_caller]
    pub fn go_until(
        &self,
        deadline: Instant,
        f: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<(), WaitError> {
        Ok(self.enter_and_start(clock::deadline(deadline), f)?)
    }

    /// Starts a member if the limit allows it now.
    ///
    /// # Panics
    /// As [`go`](fn@crate::go).
    #[track_caller]
    pub fn try_go(&self, f: impl FnOnce() -> Result<T, E> + Send + 'static) -> bool {
        self.enter_and_start(NOWAIT, f).is_ok()
    }

    #[track_caller]
    fn enter_and_start(&self, deadline: i64, f: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<(), Error> {
        self.raw.enter(deadline)?;
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let member = Member { raw: self.raw.clone(), error: None };
        let shared = self.shared.clone();
        let body = move || {
            let mut member = member;
            member.error = shared.run(number, f);
            drop(shared);
            drop(member);
        };
        let started = crate::go::Builder::new().context(&self.context()).go(body);
        if let Err(e) = started {
            panic!("cannot start a goroutine: {e}"); // the member's place went back with its closure
        }
        Ok(())
    }

    /// Waits for all members and returns the first error (E-01). May be called again. When the caller's context ends, that of the
    /// group does, and the wait goes on.
    ///
    /// # Errors
    /// The first error of a member.
    pub fn wait(&self) -> Result<(), Failure<E>> {
        if self.raw.wait(FOREVER).is_err() {
            self.raw.ctx().cancel(Cause::None); // the caller's context has ended: so do the members
            self.raw.wait_forever();
        }
        self.outcome()
    }

    /// As `wait`, until `deadline` at most; `None`: it passed first, or the caller's context ended. Members go on then.
    pub fn wait_until(&self, deadline: Instant) -> Option<Result<(), Failure<E>>> {
        self.raw.wait(clock::deadline(deadline)).ok()?;
        Some(self.outcome())
    }

    fn outcome(&self) -> Result<(), Failure<E>> {
        self.shared.errors.lock().first().map_or(Ok(()), |e| Err(e.clone()))
    }

    /// As [`wait`](Group::wait), and takes what the members returned, as [`results`](Group::results).
    ///
    /// # Errors
    /// The first error of a member. The results of the others can be taken all the same.
    pub fn wait_results(&self) -> Result<Vec<T>, Failure<E>> {
        self.wait()?;
        Ok(self.results())
    }

    /// Takes what members have returned so far, in the order in which they were started. Empty in a group that does not
    /// collect.
    pub fn results(&self) -> Vec<T> {
        let mut all = self.shared.results.as_ref().map_or_else(Vec::new, |r| std::mem::take(&mut *r.lock()));
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, result)| result).collect()
    }

    /// All errors so far, in the order in which they came.
    pub fn errors(&self) -> Vec<Failure<E>> {
        self.shared.errors.lock().clone()
    }

    /// How many members have panicked so far, under a policy that lets the rest go on.
    pub fn panicked(&self) -> usize {
        usize::try_from(self.shared.panicked.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }
}

impl<E: std::error::Error + Send + Sync + 'static, T> Shared<E, T> {
    /// Runs a member's function and keeps what it returns. Its failure is the result; a panic follows the policy first (E-06).
    fn run(&self, number: u64, f: impl FnOnce() -> Result<T, E>) -> Option<Cause> {
        let mut error = None;
        let mut returned = false;
        panic::body_reported(|| {
            match f() {
                Ok(v) => {
                    if let Some(results) = &self.results {
                        results.lock().push((number, v));
                    }
                }
                Err(e) => {
                    let e = Arc::new(e);
                    self.errors.lock().push(e.clone());
                    error = Some(Cause::Error(e));
                }
            }
            returned = true;
        });
        if !returned && !sched::running_has(EXITING) {
            self.panicked.fetch_add(1, Ordering::Relaxed);
            error = Some(Cause::Error(Arc::new(Panicked)));
        }
        error
    }
}

/// The cause with which a group's context ends when a member panics.
#[derive(Debug)]
struct Panicked;

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a member of the group panicked")
    }
}

impl std::error::Error for Panicked {}

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
