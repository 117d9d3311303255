//! Values that are made once, when they are first needed.
//!
//! *Where it sits*: layer 4, over `once`. [`OnceLock`] and [`LazyLock`] have the shapes of `std::sync`, [`once_func`] and
//! [`once_value`] those of Go's `sync.OnceFunc` and `OnceValue` (rule O-05).
//!
//! # Invariants
//!
//! * **L1** The slot is written by the one whom the once told to run, and read by those whom it told that it is done.

use super::{Mutex, RawOnce, WaitError};
use crate::panic::{text, Goexit, Payload};
use std::cell::UnsafeCell;
use std::ops::Deref;
use std::panic::{catch_unwind, panic_any, resume_unwind, AssertUnwindSafe, RefUnwindSafe, UnwindSafe};
use std::time::Instant;

/// A place for a value that is set once.
///
/// As `std::sync::OnceLock`; a goroutine that waits for the value lets others run.
///
/// ```
/// use zokor::sync::OnceLock;
/// static CONFIG: OnceLock<String> = OnceLock::new();
/// assert_eq!(CONFIG.get(), None);
/// assert_eq!(CONFIG.get_or_init(|| "made".to_owned()), "made");
/// assert_eq!(CONFIG.set("late".to_owned()), Err("late".to_owned()));
/// ```
pub struct OnceLock<T> {
    once: RawOnce,
    slot: UnsafeCell<Option<T>>,
}

// SAFETY: by L1 the value is written by one and then shared; whoever sets it may be another than whoever drops it.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}
// SAFETY: the lock owns its value.
unsafe impl<T: Send> Send for OnceLock<T> {}
impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

/// A run that has not ended well: the next caller tries again.
struct Abandon<'a>(&'a RawOnce);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl<T> OnceLock<T> {
    /// Empty.
    pub const fn new() -> OnceLock<T> {
        OnceLock { once: RawOnce::new(), slot: UnsafeCell::new(None) }
    }

    /// The value, if it has been set.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if !self.once.is_done() {
            return None;
        }
        // SAFETY: done, so by L1 nobody writes any more.
        unsafe { (*self.slot.get()).as_ref() }
    }

    /// Sets the value. Waits if somebody is just making one; not cancelable.
    ///
    /// # Errors
    /// The value comes back if there is one already.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init_with(&mut || value.take());
        value.map_or(Ok(()), Err)
    }

    /// The value; makes it with `f` if there is none. Others wait for it meanwhile; not cancelable. If `f` panics the place stays
    /// empty, and the next caller tries. Calling it from inside `f` waits for ever.
    #[inline]
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        if let Some(v) = self.get() {
            return v;
        }
        let mut f = Some(f);
        self.get_or_init_with(&mut || f.take().map(|f| f()));
        match self.get() {
            Some(v) => v,
            None => unreachable!("a place that is done has a value"),
        }
    }

    /// As [`get_or_init`](OnceLock::get_or_init), waits for a value that somebody is making until `deadline` at most, and ends when
    /// the goroutine's context does.
    ///
    /// # Errors
    /// Which of deadline and cancellation came first; `f` is not called then.
    pub fn get_or_init_until(&self, deadline: Instant, f: impl FnOnce() -> T) -> Result<&T, WaitError> {
        if self.once.begin_until(super::deadline(deadline))? {
            let mut f = Some(f);
            self.make(&mut || f.take().map(|f| f()));
        }
        match self.get() {
            Some(v) => Ok(v),
            None => unreachable!("a place that is done has a value"),
        }
    }

    #[cold]
    fn get_or_init_with(&self, f: &mut dyn FnMut() -> Option<T>) {
        if self.once.begin() {
            self.make(f);
        }
    }

    /// Makes the value, as the one whom the once told to.
    fn make(&self, f: &mut dyn FnMut() -> Option<T>) {
        let abandon = Abandon(&self.once);
        let value = f();
        // SAFETY: by L1 the slot is ours.
        unsafe { *self.slot.get() = value };
        std::mem::forget(abandon);
        self.once.finish();
    }

    /// The value, which by the borrow nobody else can have.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.slot.get_mut().as_mut()
    }

    /// Takes the value out; the place is empty again.
    pub fn take(&mut self) -> Option<T> {
        self.once = RawOnce::new();
        self.slot.get_mut().take()
    }

    /// The value.
    pub fn into_inner(self) -> Option<T> {
        self.slot.into_inner()
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    /// A place with a clone of the value, or an empty one.
    fn clone(&self) -> OnceLock<T> {
        self.get().map_or_else(OnceLock::new, |v| OnceLock::from(v.clone()))
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        let cell = OnceLock::new();
        cell.get_or_init(|| value);
        cell
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OnceLock").field(&self.get()).finish()
    }
}

/// A value made by a function at the first access.
///
/// As `std::sync::LazyLock`. If the function panics, so does this and every later access.
///
/// ```
/// use zokor::sync::LazyLock;
/// static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| "a b c".split(' ').collect());
/// assert_eq!(WORDS.len(), 3);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    once: RawOnce,
    state: UnsafeCell<Lazy<T, F>>,
}

enum Lazy<T, F> {
    Unmade(F),
    Made(T),
    Failed,
}

// SAFETY: by L1 the state is written by one and then shared; the function is called by one.
unsafe impl<T: Send + Sync, F: Send> Sync for LazyLock<T, F> {}
impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// To be made by `f`.
    pub const fn new(f: F) -> LazyLock<T, F> {
        LazyLock { once: RawOnce::new(), state: UnsafeCell::new(Lazy::Unmade(f)) }
    }

    /// Makes the value if that has not been done, and returns it. Others wait meanwhile; not cancelable.
    ///
    /// # Panics
    /// With what the function panics with; later because it did.
    pub fn force(this: &LazyLock<T, F>) -> &T {
        this.once.call(|| {
            // SAFETY: by L1 the state is ours.
            let state = unsafe { &mut *this.state.get() };
            if let Lazy::Unmade(f) = std::mem::replace(state, Lazy::Failed) {
                *state = Lazy::Made(f());
            }
        });
        // SAFETY: done, so by L1 nobody writes any more.
        match unsafe { &*this.state.get() } {
            Lazy::Made(v) => v,
            _ => panic!("LazyLock: the function that makes the value has panicked"),
        }
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: std::fmt::Debug, F> std::fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut d = f.debug_tuple("LazyLock");
        if self.once.is_done() {
            // SAFETY: done, so by L1 nobody writes any more.
            if let Lazy::Made(v) = unsafe { &*self.state.get() } {
                return d.field(v).finish();
            }
        }
        d.field(&format_args!("<unmade>")).finish()
    }
}

/// How the one call of a once-function ended, for those who come later.
enum Ended<T> {
    Well(T),
    Panicked(Why),
    Exited,
}

/// What can be thrown again: a panic's text, as what it was thrown.
enum Why {
    Literal(&'static str),
    Text(String),
}

impl Why {
    fn of(p: &Payload) -> Why {
        p.downcast_ref::<&'static str>().map_or_else(|| Why::Text(text(p).to_owned()), |s| Why::Literal(s))
    }

    fn throw(&self) -> ! {
        match self {
            Why::Literal(s) => panic_any(*s),
            Why::Text(s) => panic_any(s.clone()),
        }
    }
}

/// A function that calls `f` when it is first called, and returns that result each time. Others wait for it meanwhile; not
/// cancelable. If `f` panics, every call panics: the first with what `f` threw, later ones with its text, of the same type if that was one; if it calls
/// `goexit`, every call ends its goroutine.
///
/// ```
/// let value = zokor::sync::once_value(|| 6 * 7);
/// assert_eq!((value(), value()), (42, 42));
/// ```
pub fn once_value<T, F>(f: F) -> impl Fn() -> T + Send + Sync
where
    T: Clone + Send + Sync,
    F: FnOnce() -> T + Send,
{
    let result: OnceLock<Ended<T>> = OnceLock::new();
    let f = Mutex::new(Some(f));
    move || {
        let mut thrown: Option<Payload> = None;
        let ended = result.get_or_init(|| {
            let f = f.lock().take();
            match catch_unwind(AssertUnwindSafe(|| f.map(|f| f()))) {
                Ok(Some(v)) => Ended::Well(v),
                Ok(None) => unreachable!("the function is called once"),
                Err(p) => {
                    let ended = if p.is::<Goexit>() { Ended::Exited } else { Ended::Panicked(Why::of(&p)) };
                    thrown = Some(p);
                    ended
                }
            }
        });
        if let Some(p) = thrown {
            resume_unwind(p);
        }
        match ended {
            Ended::Well(v) => v.clone(),
            Ended::Panicked(why) => why.throw(),
            Ended::Exited => crate::panic::goexit(),
        }
    }
}

/// As [`once_value`], without a result.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// static CALLS: AtomicU32 = AtomicU32::new(0);
/// let f = zokor::sync::once_func(|| { CALLS.fetch_add(1, Ordering::Relaxed); });
/// f();
/// f();
/// assert_eq!(CALLS.load(Ordering::Relaxed), 1);
/// ```
pub fn once_func(f: impl FnOnce() + Send) -> impl Fn() + Send + Sync {
    once_value(f)
}
