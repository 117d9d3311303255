//! The public way to start goroutines and to wait for their end, as `std::thread` does it for threads.
//!
//! *Where it sits*: layer 4, over `start`.

use crate::context::Context;
use crate::error::{Error, FOREVER};
use crate::goroutine::labels::Labels;
use crate::goroutine::{G, PINNED};
use crate::panic::Payload;
use crate::start::{self, start, start_plain, Attributes, StartError};
use crate::{clock, sched, stack};
use core::marker::PhantomData;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::time::Instant;

/// Whether a goroutine may change its OS thread once it has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mobility {
    /// Any worker may start it; from then on it stays on that thread. What safe Rust needs: thread-locals,
    /// `Rc` and guards that belong to a thread stay valid across a park.
    #[default]
    Pinned,
    /// Any worker may take it whenever it is runnable, as in Go.
    Migrating,
}

/// Starts a goroutine that runs `f`; the handle waits for its end. Dropping the handle detaches it.
///
/// The goroutine is [pinned](Mobility::Pinned): any worker may start it, from then on it stays on that OS thread. Works
/// from every thread; without [`run`](crate::run) the first call starts the workers in the background.
///
/// ```
/// let n = zokor::run(|| zokor::go(|| 6 * 7).join().unwrap());
/// assert_eq!(n, 42);
/// ```
///
/// # Panics
/// If the goroutine cannot be started (no memory, runtime shut down, limit reached);
/// [`Builder::go`] returns the error instead.
#[track_caller]
pub fn go<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match start_plain(PINNED, Location::caller(), f) {
        Ok((g, id)) => JoinHandle { g, id, result: PhantomData },
        Err(e) => cannot_start(e),
    }
}

/// Starts a goroutine that may go on on another OS thread after each blocking call, as in Go.
///
/// # Safety
/// Nothing that belongs to a thread may be used across a blocking call of this goroutine: references from
/// `thread_local!` variables, `std` lock guards, values that are not `Send`, and whatever called code keeps
/// of that kind.
///
/// # Panics
/// As [`go`].
#[track_caller]
pub unsafe fn go_migrating<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match start_plain(0, Location::caller(), f) {
        Ok((g, id)) => JoinHandle { g, id, result: PhantomData },
        Err(e) => cannot_start(e),
    }
}

#[cold]
#[track_caller]
fn cannot_start(e: StartError) -> ! {
    panic!("cannot start a goroutine: {}", io::Error::from(e))
}

/// Attributes of a goroutine, chosen before it starts.
///
/// ```
/// let h = zokor::Builder::new().name("counter").stack_size(128 * 1024).go(|| 1 + 1).unwrap();
/// assert_eq!(h.join().unwrap(), 2);
/// ```
#[derive(Debug, Default)]
pub struct Builder {
    name: Option<String>,
    stack_size: usize,
    mobility: Mobility,
    context: Context,
    labels: Vec<(String, String)>,
}

impl Builder {
    /// The defaults: no name, the runtime's stack size, pinned.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Shown in dumps, panic reports and traces.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Size of the stack in bytes, the guard included, rounded up to a power of two; committed on touch.
    /// 16 KiB at least. 0: the runtime's default.
    #[must_use]
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = bytes;
        self
    }

    /// Pinned or migrating; [`Builder::go`] accepts only pinned.
    #[must_use]
    pub fn mobility(mut self, m: Mobility) -> Builder {
        self.mobility = m;
        self
    }

    /// Binds the goroutine to a context: its blocking calls come back when that ends. See [`crate::context`].
    #[must_use]
    pub fn context(mut self, ctx: &Context) -> Builder {
        self.context = ctx.clone();
        self
    }

    /// Gives it a label, beside those of the goroutine that starts it. See [`set_label`].
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Builder {
        self.labels.push((key.into(), value.into()));
        self
    }

    /// Starts `f` as a pinned goroutine.
    ///
    /// # Errors
    /// What the system says when there is no memory or no thread; `InvalidInput` for a stack size out of range or
    /// for [`Mobility::Migrating`], which needs [`Builder::go_migrating`].
    #[track_caller]
    pub fn go<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.pinned()?.start(PINNED, f, Location::caller())
    }

    /// Refuses what safe code must not ask for.
    pub(crate) fn pinned(self) -> io::Result<Builder> {
        match self.mobility {
            Mobility::Pinned => Ok(self),
            Mobility::Migrating => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "a migrating goroutine needs go_migrating"))
            }
        }
    }

    /// The context that was asked for.
    pub(crate) fn own_context(&self) -> Option<&Context> {
        Some(&self.context).filter(|c| c.ctx().is_some())
    }

    /// Starts `f` as a migrating goroutine.
    ///
    /// # Safety
    /// As for [`go_migrating`].
    ///
    /// # Errors
    /// As for [`Builder::go`].
    #[track_caller]
    pub unsafe fn go_migrating<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.start(0, f, Location::caller())
    }

    pub(crate) fn start<F, T>(self, flags: u8, f: F, site: &'static Location<'static>) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T,
    {
        if self.stack_size != 0 && !(stack::MIN_SIZE..=stack::MAX_SIZE).contains(&self.stack_size) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "stack size out of range"));
        }
        let a = Attributes {
            name: self.name.map(String::into_boxed_str),
            stack_size: self.stack_size,
            flags,
            class: 0,
            site: Some(site),
            binding: self.context.binding(),
            labels: self.labels,
        };
        match start(a, f) {
            Ok((g, id)) => {
                sched::checkpoint_of_starter(sched::worker::current());
                Ok(JoinHandle { g, id, result: PhantomData })
            }
            Err((e, _)) => Err(e.into()),
        }
    }
}

/// The right to wait for a goroutine's end and to take its result. Dropping it detaches the goroutine.
pub struct JoinHandle<T> {
    g: *mut G,
    id: u64,
    result: PhantomData<T>,
}

// SAFETY: the handle owns the result only after Done; T crossed threads by the bounds of `go`. As in std.
unsafe impl<T> Send for JoinHandle<T> {}
// SAFETY: through a shared reference only atomics are read.
unsafe impl<T> Sync for JoinHandle<T> {}

impl<T> std::fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<T> JoinHandle<T> {
    /// Number of the goroutine.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        // SAFETY: the header is valid as long as the handle exists (J1).
        unsafe { start::is_done(self.g) }
    }

    /// Waits for its end. From any thread. Not cancelable.
    ///
    /// # Errors
    /// What it panicked with; [`Goexit`](crate::Goexit) if it ended by `goexit`.
    pub fn join(self) -> Result<T, Payload> {
        let g = self.g;
        core::mem::forget(self);
        // SAFETY: the handle's header, for the last time.
        unsafe { start::take_result(g) }
    }

    /// As [`join`](JoinHandle::join), until `deadline` at most. Whoever gives up gets the handle back.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// zokor::run(|| {
    ///     let (gate, opened) = zokor::channel::bounded::<()>(0);
    ///     let h = zokor::go(move || opened.recv().is_err());
    ///     let late = h.join_until(Instant::now() + Duration::from_millis(2)).unwrap_err();
    ///     assert!(late.is_timeout());
    ///     drop(gate);
    ///     assert!(late.into_handle().join().unwrap());
    /// });
    /// ```
    ///
    /// # Errors
    /// Which of deadline and end of the caller's context came first, with the handle. The inner result is that of
    /// [`join`](JoinHandle::join).
    pub fn join_until(self, deadline: Instant) -> Result<Result<T, Payload>, JoinUntilError<Self>> {
        self.join_by(clock::deadline(deadline))
    }

    /// As [`join`](JoinHandle::join), but ends when the caller's context does.
    ///
    /// # Errors
    /// As [`join_until`](JoinHandle::join_until); a deadline is the context's.
    pub fn join_cancelable(self) -> Result<Result<T, Payload>, JoinUntilError<Self>> {
        self.join_by(FOREVER)
    }

    fn join_by(self, deadline: i64) -> Result<Result<T, Payload>, JoinUntilError<Self>> {
        if let Err(why) = self.wait_by(deadline) {
            return Err(JoinUntilError::new(why, self));
        }
        Ok(self.join())
    }

    fn wait_by(&self, deadline: i64) -> Result<(), Error> {
        if let Some(ended) = sched::bound_end() {
            return Err(sched::at_once(ended.into(), deadline));
        }
        if !self.is_finished() && deadline <= sched::timers::now() {
            return Err(sched::at_once(Error::TimedOut, deadline));
        }
        // SAFETY: the handle's header; there is one handle, and its owner is here.
        unsafe { start::joiners::wait_until_done(self.g, deadline) }.map_err(Error::from)
    }
}

/// Why a wait for the end of a goroutine came back before it, with the handle `H`, so that the goroutine is still the caller's.
#[non_exhaustive]
pub enum JoinUntilError<H> {
    /// The deadline passed: the call's, or that of the caller's context.
    TimedOut(H),
    /// The caller's context was cancelled, or its host cancelled the wait.
    Cancelled(H),
}

impl<H> JoinUntilError<H> {
    pub(crate) fn new(why: Error, handle: H) -> JoinUntilError<H> {
        match why {
            Error::TimedOut | Error::WouldBlock => JoinUntilError::TimedOut(handle),
            _ => JoinUntilError::Cancelled(handle),
        }
    }

    /// The handle, to wait again or to give it up.
    pub fn into_handle(self) -> H {
        match self {
            JoinUntilError::TimedOut(h) | JoinUntilError::Cancelled(h) => h,
        }
    }

    /// Whether it was a deadline.
    pub fn is_timeout(&self) -> bool {
        matches!(self, JoinUntilError::TimedOut(_))
    }
}

impl<H> std::fmt::Debug for JoinUntilError<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_timeout() { "TimedOut(..)" } else { "Cancelled(..)" })
    }
}

impl<H> std::fmt::Display for JoinUntilError<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_timeout() { "the deadline passed" } else { "the wait was cancelled" })
    }
}

impl<H> std::error::Error for JoinUntilError<H> {}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // SAFETY: the handle's header, for the last time.
        unsafe { start::detach::<T>(self.g) };
    }
}

/// A goroutine as [`current`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goroutine {
    id: u64,
    name: Option<String>,
    labels: Option<Arc<Labels>>,
}

impl Goroutine {
    /// Its number; 0 for a plain thread.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The value of one of its labels.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.as_ref()?.get(key)
    }

    /// All its labels, in the order of their keys.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().flat_map(|l| l.iter())
    }
}

/// The running goroutine.
///
/// ```
/// let h = zokor::Builder::new().name("worker").go(|| zokor::current().name().map(str::to_owned)).unwrap();
/// assert_eq!(h.join().unwrap().as_deref(), Some("worker"));
/// assert_eq!(zokor::current().id(), 0);
/// ```
pub fn current() -> Goroutine {
    let g = sched::running();
    if g.is_null() {
        return Goroutine { id: 0, name: None, labels: None };
    }
    // SAFETY: the running goroutine's header is valid.
    let (name, labels) = unsafe { ((*g).name(), (*g).labels()) };
    Goroutine { id: sched::goid(), name: (!name.is_empty()).then_some(name), labels }
}

/// Sets a label of the running goroutine, or takes it away with `None`: a note of what it works for, such as the number of a request.
///
/// Goroutines that it starts from then on begin with the same labels (G-23); what they set is theirs. Dumps, panic reports and
/// deadlock reports show them: `goroutine 7 [chan receive] {request: 42}:`. Outside a goroutine nothing happens, and the result is
/// false.
///
/// ```
/// let of_child = zokor::run(|| {
///     zokor::set_label("request", Some("42"));
///     zokor::go(|| zokor::current().label("request").map(str::to_owned)).join().unwrap()
/// });
/// assert_eq!(of_child.as_deref(), Some("42"));
/// ```
pub fn set_label(key: &str, value: Option<&str>) -> bool {
    let g = sched::running();
    if g.is_null() {
        return false;
    }
    // SAFETY: the running goroutine asks and changes its own attributes.
    unsafe {
        let mut all = (*g).labels().map_or_else(Labels::default, |l| (*l).clone());
        all.set(key, value);
        (*g).set_labels((!all.is_empty()).then(|| Arc::new(all)));
    }
    true
}

/// The value of a label of the running goroutine.
pub fn label(key: &str) -> Option<String> {
    let g = sched::running();
    if g.is_null() {
        return None;
    }
    // SAFETY: the running goroutine's header is valid.
    unsafe { (*g).labels() }.and_then(|l| l.get(key).map(str::to_owned))
}
