//! Goroutines that may borrow from the frame that starts them, as `std::thread::scope`, and that end together.
//!
//! *Where it sits*: layer 4, over `start`, contexts and the wait group. [`scope`] is here, [`try_scope`] with its errors in
//! `scope/attempt.rs`.
//!
//! # State
//!
//! What a scope and its goroutines share: how many run, and the context they are bound to.
//!
//! # Invariants
//!
//! * **O1** A scope does not return, normally or by a panic, before every goroutine of the scope has dropped its closure
//!   and stored or dropped its result. So what they borrow outlives them. A main that is given up never returns from its scopes; their
//!   goroutines are given up with it (`sched/deadlock.rs`), for what they borrow may lie beyond its frames.
//! * **O2** Nothing but the last goroutine's end ends that wait: not a context, not a signal, not a deadline.
//! * **O3** Whatever of a goroutine may borrow from the frame is gone before its `Member` is dropped; what it holds after that
//!   borrows nothing.

mod attempt;

pub use attempt::{try_scope, try_scope_until, Failure, ScopeError, TryHandle, TryScope};

use crate::clock;
use crate::context::tree::{Cause, Ctx};
use crate::context::{self, Context};
use crate::error::{Error, FOREVER};
use crate::go::{Builder, JoinUntilError};
use crate::goroutine::{PINNED, SCOPED};
use crate::panic::{self, Goexit, Payload};
use crate::rank::Rank;
use crate::reason::Reason;
use crate::sync::waitgroup::RawWaitGroup;
use crate::sys;
use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{resume_unwind, AssertUnwindSafe, Location};
use std::sync::Arc;
use std::time::Instant;

/// What the goroutines of a scope share with its owner. Borrows nothing (O3).
struct Shared {
    running: RawWaitGroup,
    /// The owner's context.
    parent: Option<Arc<Ctx>>,
    bond: sys::Mutex<Bond>,
}

/// What new goroutines of a scope are bound to.
struct Bond {
    ctx: Arc<Ctx>,
    /// Failures that nobody has taken note of.
    open: usize,
    /// The owner has ended it: for good.
    cancelled: bool,
}

impl Shared {
    /// For a scope of the caller that ends at `deadline` at the latest.
    fn new(deadline: i64) -> Arc<Shared> {
        let parent = Context::current().ctx();
        let ctx = Ctx::new(parent.clone(), deadline);
        let bond = Bond { ctx, open: 0, cancelled: false };
        Arc::new(Shared { running: RawWaitGroup::new(), parent, bond: sys::Mutex::new(Rank::Leaf, bond) })
    }

    fn ctx(&self) -> Arc<Ctx> {
        self.bond.lock().ctx.clone()
    }

    fn context(&self) -> Context {
        Context::from_ctx(&self.ctx())
    }

    /// A goroutine has failed: the others are told.
    fn fail(&self, why: &str) {
        let ctx = {
            let mut bond = self.bond.lock();
            bond.open += 1;
            bond.ctx.clone()
        };
        ctx.cancel(Cause::Error(Arc::new(Failed(why.to_owned()))));
    }

    /// Somebody has taken note of a failure, which has ended the context. When none is open any more, goroutines may be started
    /// as if nothing had been.
    fn forgive(&self) {
        let fresh = Ctx::new(self.parent.clone(), i64::MAX);
        let old = {
            let mut bond = self.bond.lock();
            bond.open -= 1;
            if bond.open == 0 && !bond.cancelled {
                std::mem::replace(&mut bond.ctx, fresh)
            } else {
                fresh
            }
        };
        drop(old); // outside the lock: it leaves its parent
    }

    fn cancel(&self) {
        let ctx = {
            let mut bond = self.bond.lock();
            bond.cancelled = true;
            bond.ctx.clone()
        };
        ctx.cancel(Cause::None);
    }

    /// Starts `run` in a goroutine of the scope.
    ///
    /// # Safety
    /// What `run` borrows lives until the scope has waited (O1).
    unsafe fn start(
        self: &Arc<Shared>,
        how: Builder,
        site: &'static Location<'static>,
        run: impl FnOnce(),
    ) -> io::Result<u64> {
        self.running.add(1).map_err(|_| io::Error::other("too many goroutines in a scope"))?;
        let member = Member(self.clone());
        let body = move || {
            let member = member;
            run(); // gone with all it borrows when this returns (O3)
            drop(member);
        };
        // A body that could not be started is dropped with its closure, and then the member.
        how.start_in(&self.context(), body, site)
    }

    /// O1, O2: waits for all goroutines; whatever is started in between, they have started.
    fn wait(&self) {
        self.running.wait_forever(Reason::Scope);
        self.ctx().cancel(Cause::None); // nothing of it is left in its parent
    }
}

/// One goroutine of a scope, counted until it has let go of everything it borrowed.
struct Member(Arc<Shared>);

impl Drop for Member {
    fn drop(&mut self) {
        let counted = self.0.running.done();
        debug_assert!(counted.is_ok(), "it was added before the goroutine started");
    }
}

/// The cause with which a scope's context ends after a failure.
#[derive(Debug)]
struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a goroutine of the scope failed: {}", self.0)
    }
}

impl std::error::Error for Failed {}

/// A scope to start goroutines in. See [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    shared: Arc<Shared>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("running", &self.shared.running.count()).finish_non_exhaustive()
    }
}

/// Where a goroutine's result waits for its handle.
struct Packet<T> {
    shared: Arc<Shared>,
    done: RawWaitGroup,
    result: UnsafeCell<Option<T>>,
}

// SAFETY: the goroutine writes the result before `done`, the one handle reads it after.
unsafe impl<T: Send> Sync for Packet<T> {}

impl<T> Packet<T> {
    fn new(shared: &Arc<Shared>) -> Arc<Packet<T>> {
        let done = RawWaitGroup::new();
        let counted = done.add(1);
        debug_assert!(counted.is_ok(), "one is not too many");
        Arc::new(Packet { shared: shared.clone(), done, result: UnsafeCell::new(None) })
    }

    /// The goroutine's last word; its share of the packet goes with it.
    fn store(self: Arc<Packet<T>>, result: T) {
        // SAFETY: nobody reads the result before `done`.
        unsafe { *self.result.get() = Some(result) };
        let counted = self.done.done();
        debug_assert!(counted.is_ok(), "counted by `new`");
    }

    fn is_stored(&self) -> bool {
        self.done.count() == 0
    }

    /// Waits for the goroutine, with a deadline and cancelable.
    fn wait(&self, deadline: i64) -> Result<(), Error> {
        self.done.wait_as(Reason::Join, deadline)
    }

    /// Waits for the goroutine and takes its result. By the handle alone, once.
    fn take(&self) -> T {
        self.done.wait_forever(Reason::Join);
        // SAFETY: done: the goroutine does not touch the result any more, and the handle is the only one.
        match unsafe { (*self.result.get()).take() } {
            Some(r) => r,
            None => unreachable!("a finished goroutine has stored its result"),
        }
    }
}

impl<T> Drop for Packet<T> {
    /// The last of goroutine and handle drops a result that nobody took, inside the scope (O1).
    fn drop(&mut self) {
        let result = self.result.get_mut().take();
        if panic::contain(move || drop(result)).is_err() {
            self.shared.fail("its result panicked when it was dropped");
        }
    }
}

/// The right to wait for one goroutine of a scope and to take its result.
pub struct ScopedJoinHandle<'scope, T> {
    packet: Arc<Packet<Result<T, Payload>>>,
    id: u64,
    scope: PhantomData<&'scope ()>,
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Runs `f`, which may start goroutines that borrow from the enclosing frame, and waits for all of them.
///
/// ```
/// let mut words = vec!["a", "b"];
/// let n = std::sync::atomic::AtomicUsize::new(0);
/// zokor::scope(|s| {
///     for w in &words {
///         let n = &n;
///         s.go(move || n.fetch_add(w.len(), std::sync::atomic::Ordering::Relaxed));
///     }
/// });
/// words.push("c");
/// assert_eq!(n.into_inner(), 2);
/// ```
///
/// What is borrowed must outlive the scope:
///
/// ```compile_fail
/// zokor::scope(|s| {
///     let local = 1;
///     s.go(|| println!("{local}"));
/// });
/// ```
///
/// # Failure
/// The goroutines are bound to a [context](Scope::context) of the scope, a child of the caller's. When one of them panics the context
/// ends: the blocking calls of its siblings come back, and they can end as well. So do they when the caller's context ends, or
/// `f` panics. `f` itself is not bound: what it waits for it waits for. A panic that somebody
/// [takes](ScopedJoinHandle::join) is dealt with: it is not the scope's, and goroutines started later are bound to a new context.
///
/// The scope waits for its goroutines whatever happens to its caller; that wait is not cancelable. [`try_scope`] is for goroutines
/// that return errors, and keeps all of them.
///
/// # Panics
/// With what `f` panicked with; with a text of its own if a goroutine panicked that was not joined. Always after all have
/// ended.
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let s = Scope { shared: Shared::new(i64::MAX), scope: PhantomData, env: PhantomData };
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| f(&s)));
    if result.is_err() {
        s.shared.cancel();
    }
    s.shared.wait(); // O1: whatever has happened
    let failed = s.shared.bond.lock().open > 0;
    match result {
        Err(p) => resume_unwind(p),
        Ok(_) if failed => panic!("a scoped goroutine panicked"),
        Ok(v) => v,
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Starts a goroutine in the scope; the handle is optional to use.
    ///
    /// # Panics
    /// As [`go`](fn@crate::go).
    #[track_caller]
    pub fn go<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match self.start(Builder::new(), f, Location::caller()) {
            Ok(h) => h,
            Err(e) => panic!("cannot start a goroutine: {e}"),
        }
    }

    /// The context the goroutines are bound to that are started now. It ends when one of them panics, with the scope, and with the
    /// caller's context.
    pub fn context(&self) -> Context {
        self.shared.context()
    }

    /// Ends the context of the scope: the blocking calls of its goroutines come back, and go on doing so. It waits for nobody.
    pub fn cancel(&self) {
        self.shared.cancel();
    }

    fn start<F, T>(
        &'scope self,
        how: Builder,
        f: F,
        site: &'static Location<'static>,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let packet = Packet::new(&self.shared);
        let (ours, shared) = (packet.clone(), self.shared.clone());
        let run = move || {
            let r = panic::body(f);
            if let Some(p) = r.as_ref().err().filter(|p| !p.is::<Goexit>()) {
                shared.fail(panic::text(p));
            }
            ours.store(r);
        };
        // SAFETY: the closure and its result live for 'scope, which ends after the wait of `scope` (O1).
        let id = unsafe { self.shared.start(how, site, run)? };
        Ok(ScopedJoinHandle { packet, id, scope: PhantomData })
    }
}

impl Builder {
    /// Starts `f` in a scope, as [`Scope::go`]. A [context](Builder::context) of its own ends the goroutine's waits besides that of
    /// the scope, and is where it finds values.
    ///
    /// ```
    /// let n = 20;
    /// let name = zokor::scope(|s| {
    ///     let h = zokor::Builder::new().name("adder").go_scoped(s, || (zokor::current().name().map(str::to_owned), n + 1));
    ///     h.unwrap().join().unwrap()
    /// });
    /// assert_eq!(name, (Some("adder".to_owned()), 21));
    /// ```
    ///
    /// # Errors
    /// As [`Builder::go`].
    #[track_caller]
    pub fn go_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        scope.start(self, f, Location::caller())
    }

    /// Starts `body`, detached, bound to `ctx` or to what ends with it. Returns its number.
    fn start_in(self, ctx: &Context, body: impl FnOnce(), site: &'static Location<'static>) -> io::Result<u64> {
        let both = self.own_context().map(|own| context::merge(own, ctx).0);
        let handle = self.pinned()?.context(both.as_ref().unwrap_or(ctx)).start(PINNED | SCOPED, body, site)?;
        Ok(handle.id()) // the handle is given up: what the goroutine returns is stored elsewhere
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Number of the goroutine.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.packet.is_stored()
    }

    /// Waits for its end. Not cancelable.
    ///
    /// # Errors
    /// What it panicked with, which then is not the scope's failure any more; [`Goexit`] if it ended by `goexit`.
    pub fn join(self) -> Result<T, Payload> {
        let r = self.packet.take();
        if r.as_ref().is_err_and(|p| !p.is::<Goexit>()) {
            self.packet.shared.forgive();
        }
        r
    }

    /// As [`join`](ScopedJoinHandle::join), until `deadline` at most. Whoever gives up gets the handle back; the scope waits in any case.
    ///
    /// # Errors
    /// As [`JoinHandle::join_until`](crate::JoinHandle::join_until).
    pub fn join_until(self, deadline: Instant) -> Result<Result<T, Payload>, JoinUntilError<Self>> {
        self.join_by(clock::deadline(deadline))
    }

    /// As [`join`](ScopedJoinHandle::join), but ends when the caller's context does.
    ///
    /// # Errors
    /// As [`JoinHandle::join_cancelable`](crate::JoinHandle::join_cancelable).
    pub fn join_cancelable(self) -> Result<Result<T, Payload>, JoinUntilError<Self>> {
        self.join_by(FOREVER)
    }

    fn join_by(self, deadline: i64) -> Result<Result<T, Payload>, JoinUntilError<Self>> {
        match self.packet.wait(deadline) {
            Ok(()) => Ok(self.join()),
            Err(why) => Err(JoinUntilError::new(why, self)),
        }
    }
}
