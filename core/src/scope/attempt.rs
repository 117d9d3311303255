//! Scopes whose goroutines may fail: the first failure cancels the others, and none is lost.
//!
//! *Where it sits*: over the parts of `scope.rs`, whose invariants O1 to O3 hold here too.

use super::{Packet, Shared};
use crate::clock;
use crate::context::Context;
use crate::error::FOREVER;
use crate::go::{Builder, JoinUntilError};
use crate::panic::{self, Goexit, Payload};
use crate::rank::Rank;
use crate::sys;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{resume_unwind, AssertUnwindSafe, Location};
use std::sync::Arc;
use std::time::Instant;

/// How a goroutine failed.
pub enum Failure<E> {
    /// It returned this error.
    Error(E),
    /// It panicked with this.
    Panic(Payload),
}

impl<E> Failure<E> {
    /// The error it returned; `None` if it panicked.
    pub fn error(&self) -> Option<&E> {
        match self {
            Failure::Error(e) => Some(e),
            Failure::Panic(_) => None,
        }
    }

    /// The error it returned.
    ///
    /// # Panics
    /// If it panicked: with the same payload.
    pub fn into_error(self) -> E {
        match self {
            Failure::Error(e) => e,
            Failure::Panic(p) => resume_unwind(p),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Error(e) => f.debug_tuple("Error").field(e).finish(),
            Failure::Panic(p) => f.debug_tuple("Panic").field(&panic::text(p)).finish(),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Error(e) => e.fmt(f),
            Failure::Panic(p) => write!(f, "panicked: {}", panic::text(p)),
        }
    }
}

/// All failures of a scope, at least one, in the order in which they happened: the first is the one that cancelled the others.
pub struct ScopeError<E> {
    failures: Vec<Failure<E>>,
}

impl<E> ScopeError<E> {
    /// All of them.
    pub fn failures(&self) -> &[Failure<E>] {
        &self.failures
    }

    /// All of them.
    pub fn into_failures(self) -> Vec<Failure<E>> {
        self.failures
    }

    /// The first one.
    pub fn first(&self) -> &Failure<E> {
        &self.failures[0]
    }

    /// The error of the first one.
    ///
    /// # Panics
    /// If that was a panic: with the same payload.
    pub fn into_first(self) -> E {
        match self.failures.into_iter().next() {
            Some(first) => first.into_error(),
            None => unreachable!("there is at least one"),
        }
    }
}

impl<E> IntoIterator for ScopeError<E> {
    type Item = Failure<E>;
    type IntoIter = std::vec::IntoIter<Failure<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.failures.into_iter()
    }
}

impl<E: fmt::Debug> fmt::Debug for ScopeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScopeError").field(&self.failures).finish()
    }
}

impl<E: fmt::Display> fmt::Display for ScopeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failures.len() {
            1 => write!(f, "a goroutine of the scope failed: {}", self.first()),
            n => write!(f, "{n} goroutines of the scope failed, first: {}", self.first()),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for ScopeError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.first().error().map(|e| e as _)
    }
}

/// Where the failures of a scope are kept.
type Failures<E> = Arc<sys::Mutex<Vec<Failure<E>>>>;

/// A scope whose goroutines return results. See [`try_scope`].
pub struct TryScope<'scope, 'env: 'scope, E> {
    shared: Arc<Shared>,
    failures: Failures<E>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl<E> fmt::Debug for TryScope<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryScope").field("running", &self.shared.running.count()).finish_non_exhaustive()
    }
}

/// Notes a failure, and then tells the others: whoever finds the context ended finds the failure.
fn note<E>(shared: &Shared, failures: &Failures<E>, failure: Failure<E>) {
    let why = match &failure {
        Failure::Error(_) => "it returned an error".to_owned(),
        Failure::Panic(p) => panic::text(p).to_owned(),
    };
    failures.lock().push(failure);
    shared.fail(&why);
}

/// As [`scope`](crate::scope()), for goroutines that may fail. The first one that returns an error or panics ends the scope's context, to
/// which its siblings and `f` itself are bound: their blocking calls come back. All failures are kept, also those that come after
/// the first and because of it.
///
/// ```
/// let texts = ["1", "2", "3"];
/// let parse = |texts: &[&str]| {
///     zokor::try_scope(|s| {
///         let all: Vec<_> = texts.iter().map(|t| s.go(|| t.parse::<u32>())).collect();
///         Ok(all.into_iter().filter_map(|h| h.join()).sum::<u32>())
///     })
/// };
/// assert_eq!(parse(&texts).unwrap(), 6);
/// let failed = parse(&["1", "x", "y"]).unwrap_err();
/// assert_eq!(failed.failures().len(), 2);
/// ```
///
/// It returns when all have ended, whatever happens: that wait is not cancelable. When the context ends to which the caller is bound, so
/// does the scope's.
///
/// # Errors
/// All failures, that of `f` among them, in the order in which they happened.
///
/// # Panics
/// With what `f` panicked with, which cancels the others too; after all have ended.
#[track_caller]
pub fn try_scope<'env, F, T, E>(f: F) -> Result<T, ScopeError<E>>
where
    F: for<'scope> FnOnce(&'scope TryScope<'scope, 'env, E>) -> Result<T, E>,
    E: 'env,
{
    run(Shared::new(i64::MAX), f)
}

/// As [`try_scope`], and the context of the scope ends at `deadline` if the scope has not ended before: the blocking calls of its goroutines
/// come back then. That is no failure by itself: it is one if it makes them return errors.
///
/// ```
/// use std::time::{Duration, Instant};
/// let soon = Instant::now() + Duration::from_millis(5);
/// let r = zokor::run(|| {
///     let (_tx, rx) = zokor::channel::bounded::<()>(0);
///     zokor::try_scope_until(soon, |s| {
///         s.go(|| rx.recv());
///         Ok(())
///     })
/// });
/// assert!(r.is_err());
/// ```
///
/// # Errors
/// As [`try_scope`].
///
/// # Panics
/// As [`try_scope`].
#[track_caller]
pub fn try_scope_until<'env, F, T, E>(deadline: Instant, f: F) -> Result<T, ScopeError<E>>
where
    F: for<'scope> FnOnce(&'scope TryScope<'scope, 'env, E>) -> Result<T, E>,
    E: 'env,
{
    run(Shared::new(clock::deadline(deadline)), f)
}

fn run<'env, F, T, E>(shared: Arc<Shared>, f: F) -> Result<T, ScopeError<E>>
where
    F: for<'scope> FnOnce(&'scope TryScope<'scope, 'env, E>) -> Result<T, E>,
    E: 'env,
{
    let failures = Arc::new(sys::Mutex::new(Rank::Leaf, Vec::new()));
    let s = TryScope { shared, failures, scope: PhantomData, env: PhantomData };
    let result = panic::contain(AssertUnwindSafe(|| {
        let _bound = s.shared.context().bind();
        f(&s)
    }));
    let result = match result {
        Ok(Ok(v)) => Ok(Some(v)),
        Ok(Err(e)) => {
            note(&s.shared, &s.failures, Failure::Error(e));
            Ok(None)
        }
        Err(p) => {
            s.shared.cancel();
            Err(p)
        }
    };
    s.shared.wait(); // O1: whatever has happened
    let failures = std::mem::take(&mut *s.failures.lock());
    match result {
        Err(p) => resume_unwind(p),
        Ok(Some(v)) if failures.is_empty() => Ok(v),
        Ok(_) => Err(ScopeError { failures }),
    }
}

impl<'scope, 'env, E> TryScope<'scope, 'env, E> {
    /// Starts a goroutine in the scope; the handle is optional to use.
    ///
    /// # Panics
    /// As [`go`](fn@crate::go).
    #[track_caller]
    pub fn go<F, T>(&'scope self, f: F) -> TryHandle<'scope, T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
        E: Send + 'scope,
    {
        match self.start(Builder::new(), f, Location::caller()) {
            Ok(h) => h,
            Err(e) => panic!("cannot start a goroutine: {e}"),
        }
    }

    /// As [`go`](TryScope::go), with a name, a stack size or a context besides that of the scope.
    ///
    /// # Errors
    /// As [`Builder::go`].
    #[track_caller]
    pub fn go_with<F, T>(&'scope self, how: Builder, f: F) -> io::Result<TryHandle<'scope, T>>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
        E: Send + 'scope,
    {
        self.start(how, f, Location::caller())
    }

    /// The context of the scope. It ends with the first failure, with the scope, and with the caller's context.
    pub fn context(&self) -> Context {
        self.shared.context()
    }

    /// Ends the context of the scope without a failure. It waits for nobody.
    pub fn cancel(&self) {
        self.shared.cancel();
    }

    /// How many failures there are so far.
    pub fn failed(&self) -> usize {
        self.failures.lock().len()
    }

    fn start<F, T>(
        &'scope self,
        how: Builder,
        f: F,
        site: &'static Location<'static>,
    ) -> io::Result<TryHandle<'scope, T>>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
        E: Send + 'scope,
    {
        let packet = Packet::new(&self.shared);
        let (ours, shared, failures) = (packet.clone(), self.shared.clone(), self.failures.clone());
        let run = move || {
            let result = match panic::body(f) {
                Ok(Ok(v)) => Some(v),
                Ok(Err(e)) => {
                    note(&shared, &failures, Failure::Error(e));
                    None
                }
                Err(p) if p.is::<Goexit>() => None,
                Err(p) => {
                    note(&shared, &failures, Failure::Panic(p));
                    None
                }
            };
            drop(failures);
            ours.store(result);
        };
        // SAFETY: the closure, its result and its error live for 'scope, which ends after the wait in `run` (O1).
        let id = unsafe { self.shared.start(how, site, run)? };
        Ok(TryHandle { packet, id, scope: PhantomData })
    }
}

/// The right to wait for one goroutine of a [`TryScope`] and to take its result.
pub struct TryHandle<'scope, T> {
    packet: Arc<Packet<Option<T>>>,
    id: u64,
    scope: PhantomData<&'scope ()>,
}

impl<T> fmt::Debug for TryHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<T> TryHandle<'_, T> {
    /// Number of the goroutine.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.packet.is_stored()
    }

    /// Waits for its end and takes its result. `None`: it failed, and the scope has its failure; or it ended by `goexit`.
    /// Not cancelable; but a failure in the scope lets the goroutine come back from its own blocking calls.
    pub fn join(self) -> Option<T> {
        self.packet.take()
    }

    /// As [`join`](TryHandle::join), until `deadline` at most. Whoever gives up gets the handle back; the scope waits in any case.
    ///
    /// # Errors
    /// As [`JoinHandle::join_until`](crate::JoinHandle::join_until).
    pub fn join_until(self, deadline: Instant) -> Result<Option<T>, JoinUntilError<Self>> {
        self.join_by(clock::deadline(deadline))
    }

    /// As [`join`](TryHandle::join), but ends when the caller's context does.
    ///
    /// # Errors
    /// As [`JoinHandle::join_cancelable`](crate::JoinHandle::join_cancelable).
    pub fn join_cancelable(self) -> Result<Option<T>, JoinUntilError<Self>> {
        self.join_by(FOREVER)
    }

    fn join_by(self, deadline: i64) -> Result<Option<T>, JoinUntilError<Self>> {
        match self.packet.wait(deadline) {
            Ok(()) => Ok(self.join()),
            Err(why) => Err(JoinUntilError::new(why, self)),
        }
    }
}
