//! Contexts: cancellation, deadlines and values that travel down a tree of goroutines, after Go's package of that name.
//!
//! A context ends once: when it is cancelled, when its deadline passes, or when its parent ends; with it end all its
//! descendants, before [`Cancel::cancel`] returns. Code learns of it in three ways: by [`Context::done`] in a select, by
//! [`Context::err`], or by being *bound* to the context ([`Builder::context`](crate::Builder::context)): then its blocking
//! calls come back. A bound goroutine's channel operations return as if the channel were disconnected, with the value that
//! was to be sent; its sleeps end early; nothing has happened. [`Context::current`] tells why.
//!
//! ```
//! use zokor::{channel, context, Builder};
//!
//! let why = zokor::run(|| {
//!     let (ctx, cancel) = context::with_cancel(&context::Context::background());
//!     let (_tx, rx) = channel::bounded::<i32>(0);
//!     let h = Builder::new().context(&ctx).go(move || rx.recv().is_err()).unwrap();
//!     cancel.cancel();
//!     assert!(h.join().unwrap());
//!     ctx.err()
//! });
//! assert_eq!(why, Some(context::ContextError::Canceled));
//! ```

pub(crate) mod tree;

use crate::channel::{self, Receiver};
use crate::clock;
use crate::goroutine::{Binding, PINNED};
use crate::sched;
use crate::start::{spawn_or_say, Attributes};
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tree::{Cause, Ctx, End, Value};

/// How a context ended (X-06).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContextError {
    /// It was cancelled.
    Canceled,
    /// Its deadline passed.
    DeadlineExceeded,
}

impl ContextError {
    /// Whether it was the deadline.
    pub fn is_timeout(self) -> bool {
        self == ContextError::DeadlineExceeded
    }
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ContextError::Canceled => "context canceled",
            ContextError::DeadlineExceeded => "context deadline exceeded",
        })
    }
}

impl Error for ContextError {}

impl From<End> for ContextError {
    fn from(e: End) -> ContextError {
        match e {
            End::Canceled => ContextError::Canceled,
            End::DeadlineExceeded => ContextError::DeadlineExceeded,
        }
    }
}

/// A node in the tree of cancellation. Clones are the same node.
#[derive(Clone, Default)]
pub struct Context {
    /// `None`: the background, which never ends.
    node: Option<Arc<Ctx>>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("err", &self.err()).field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}

impl Context {
    /// The root: never ends, has no deadline and no values (X-01).
    pub fn background() -> Context {
        Context::default()
    }

    /// The context the running goroutine is bound to; the background if it is bound to none.
    pub fn current() -> Context {
        let g = sched::running();
        // SAFETY: the running goroutine asks itself.
        let bound = if g.is_null() { None } else { unsafe { (*g).binding() } };
        bound.and_then(|b| b.as_any().downcast::<Ctx>().ok()).map_or_else(Context::background, Context::of)
    }

    fn of(ctx: Arc<Ctx>) -> Context {
        Context { node: Some(ctx) }
    }

    pub(crate) fn ctx(&self) -> Option<Arc<Ctx>> {
        self.node.clone()
    }

    pub(crate) fn binding(&self) -> Option<Arc<dyn Binding>> {
        self.ctx().map(|c| c as Arc<dyn Binding>)
    }

    pub(crate) fn from_ctx(ctx: &Arc<Ctx>) -> Context {
        Context::of(ctx.clone())
    }

    /// How it ended; `None` while it is live. Once this is an error, `done` is closed (X-04).
    pub fn err(&self) -> Option<ContextError> {
        self.node.as_ref().and_then(|n| n.err()).map(ContextError::from)
    }

    /// When it ends at the latest (X-09).
    pub fn deadline(&self) -> Option<Instant> {
        let d = self.node.as_ref().map_or(i64::MAX, |n| n.deadline());
        (d != i64::MAX).then(|| clock::instant(d))
    }

    /// A channel that is closed when the context ends and carries nothing, the same every time (X-18). That of the background never
    /// is (X-01).
    pub fn done(&self) -> Receiver<Infallible> {
        let Some(n) = &self.node else { return channel::never() };
        let done = n.rust_face(|| {
            let (tx, rx) = channel::bounded::<Infallible>(0);
            n.close_with(Box::new(move || drop(tx)));
            rx
        });
        done.map_or_else(channel::never, Receiver::clone)
    }

    /// The value of the innermost binding of `key` (X-13).
    pub fn value<T: Send + Sync + 'static>(&self, key: &'static Key<T>) -> Option<&T> {
        self.node.as_ref()?.value(key.addr())?.downcast_ref()
    }

    /// The error given to whoever ended it first on the path; the end itself if none was given; `None` while it is live
    /// (X-07).
    pub fn cause(&self) -> Option<Arc<dyn Error + Send + Sync>> {
        let err = self.err()?;
        match self.node.as_ref().map(|n| n.cause()) {
            Some(Cause::Error(e)) => Some(e),
            Some(Cause::Code(c)) => Some(Arc::new(CodeCause(c))),
            _ => Some(Arc::new(err)),
        }
    }

    /// Its values, but not its end (X-14).
    #[must_use]
    pub fn without_cancel(&self) -> Context {
        match self.ctx() {
            Some(c) => Context::of(Ctx::detached(c)),
            None => Context::background(),
        }
    }

    /// Binds the running goroutine to this context until the guard is dropped. Nothing happens outside goroutines.
    pub fn bind(&self) -> Bound {
        let g = sched::running();
        // SAFETY: the running goroutine binds itself.
        let old = if g.is_null() { None } else { unsafe { (*g).rebind(self.binding()) } };
        Bound { old, id: sched::goid(), not_send: PhantomData }
    }
}

/// A number given by C as the cause.
#[derive(Debug)]
struct CodeCause(i32);

impl fmt::Display for CodeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "context ended with code {}", self.0)
    }
}

impl Error for CodeCause {}

/// Keeps the goroutine bound; see [`Context::bind`].
pub struct Bound {
    old: Option<Arc<dyn Binding>>,
    id: u64,
    not_send: PhantomData<*const ()>,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").finish_non_exhaustive()
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let g = sched::running();
        if !g.is_null() && sched::goid() == self.id {
            // SAFETY: the running goroutine binds itself again to what it was bound to.
            drop(unsafe { (*g).rebind(self.old.take()) });
        }
    }
}

/// A key of a context's value: two keys are the same only if they are the same static.
///
/// ```
/// use zokor::context::{with_value, Context, Key};
/// static USER: Key<String> = Key::new();
/// let ctx = with_value(&Context::background(), &USER, "ann".to_owned());
/// assert_eq!(ctx.value(&USER).map(String::as_str), Some("ann"));
/// ```
pub struct Key<T> {
    // Not zero-sized, so that every static has an address of its own.
    _one: u8,
    value: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

impl<T> Key<T> {
    /// A new key, to be kept in a `static`.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Key<T> {
        Key { _one: 0, value: PhantomData }
    }

    fn addr(&'static self) -> usize {
        (&raw const *self).addr()
    }
}

/// The right to end a context. Dropping it does not: the context then ends with its parent or at its deadline.
#[derive(Clone)]
pub struct Cancel {
    ctx: Arc<Ctx>,
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").finish_non_exhaustive()
    }
}

impl Cancel {
    /// Ends the context and everything below it before it returns. Later calls do nothing (X-05).
    pub fn cancel(&self) {
        self.ctx.cancel(Cause::None);
    }

    /// As `cancel`, with the reason.
    pub fn cancel_cause(&self, cause: impl Error + Send + Sync + 'static) {
        self.ctx.cancel(Cause::Error(Arc::new(cause)));
    }
}

fn child(parent: &Context, deadline: i64) -> (Context, Cancel) {
    let ctx = Ctx::new(parent.ctx(), deadline);
    (Context::of(ctx.clone()), Cancel { ctx })
}

/// A child of `parent` that can be cancelled.
pub fn with_cancel(parent: &Context) -> (Context, Cancel) {
    child(parent, i64::MAX)
}

/// A child of `parent` that ends at `deadline`, or with its parent if that is earlier. A past deadline: it has ended on return
/// (X-10).
pub fn with_deadline(parent: &Context, deadline: Instant) -> (Context, Cancel) {
    child(parent, clock::deadline(deadline))
}

/// A child of `parent` that ends after `timeout`.
///
/// ```
/// use zokor::context::{with_timeout, Context, ContextError};
/// let (ctx, _cancel) = with_timeout(&Context::background(), std::time::Duration::from_millis(1));
/// assert!(ctx.done().recv().is_err());
/// assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
/// ```
pub fn with_timeout(parent: &Context, timeout: Duration) -> (Context, Cancel) {
    child(parent, crate::timers::after(clock::nanos(timeout)))
}

/// As [`with_deadline`], with the cause the context has if it is the deadline that ends it (X-08); [`Cancel`] never gives it.
pub fn with_deadline_cause(
    parent: &Context,
    deadline: Instant,
    cause: impl Error + Send + Sync + 'static,
) -> (Context, Cancel) {
    let ctx = Ctx::with_deadline_cause(parent.ctx(), clock::deadline(deadline), Cause::Error(Arc::new(cause)));
    (Context::of(ctx.clone()), Cancel { ctx })
}

/// As [`with_timeout`], with the cause the context has if it is the timeout that ends it (X-08); [`Cancel`] never gives it.
pub fn with_timeout_cause(
    parent: &Context,
    timeout: Duration,
    cause: impl Error + Send + Sync + 'static,
) -> (Context, Cancel) {
    let deadline = crate::timers::after(clock::nanos(timeout));
    let ctx = Ctx::with_deadline_cause(parent.ctx(), deadline, Cause::Error(Arc::new(cause)));
    (Context::of(ctx.clone()), Cancel { ctx })
}

/// A child of `parent` that carries a value; an inner binding hides an outer one.
pub fn with_value<T: Send + Sync + 'static>(parent: &Context, key: &'static Key<T>, value: T) -> Context {
    Context::of(Ctx::with_value(parent.ctx(), Value { key: key.addr(), value: Box::new(value) }))
}

/// A context that ends when either parent does, with that one's cause; so its deadline is the earlier of theirs. Values come from
/// the first.
pub fn merge(a: &Context, b: &Context) -> (Context, Cancel) {
    let ctx = Ctx::merged(a.ctx(), b.ctx());
    (Context::of(ctx.clone()), Cancel { ctx })
}

/// Why `ctx` ended; see [`Context::cause`].
pub fn cause(ctx: &Context) -> Option<Arc<dyn Error + Send + Sync>> {
    ctx.cause()
}

/// The right to take an [`after_func`] back.
pub struct AfterFunc {
    ctx: Option<(Arc<Ctx>, u64)>,
}

impl fmt::Debug for AfterFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterFunc").field("pending", &self.ctx.is_some()).finish()
    }
}

impl AfterFunc {
    /// True: the function will not run. False: it has started, or was taken back before (X-15).
    pub fn stop(&mut self) -> bool {
        self.ctx.take().is_some_and(|(x, n)| x.take_back(n))
    }
}

/// Runs `f` in a goroutine of its own once `ctx` has ended, at once if it has. Who ends the context does not wait for it. If that goroutine
/// cannot be started (limit, memory, shutdown) a line on standard error says so.
pub fn after_func(ctx: &Context, f: impl FnOnce() + Send + 'static) -> AfterFunc {
    let Some(x) = ctx.ctx() else { return AfterFunc { ctx: None } };
    let a = || Attributes { flags: PINNED, ..Attributes::default() };
    let n = x.on_end(Box::new(move || spawn_or_say(a(), f)));
    AfterFunc { ctx: n.map(|n| (x, n)) }
}
