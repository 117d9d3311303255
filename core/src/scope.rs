//! Goroutines that may borrow from the frame that starts them, as `std::thread::scope`.
//!
//! *Where it sits*: layer 4, over `go` and the wait group.
//!
//! # Invariants
//!
//! * **O1** [`scope`] does not return, normally or by a panic, before every goroutine of the scope has dropped its closure
//!   and stored or dropped its result. So what they borrow outlives them.

use crate::chan::core::FOREVER;
use crate::goroutine::PINNED;
use crate::panic::{self, Payload};
use crate::sched;
use crate::start::{self, Attributes};
use crate::sync::waitgroup::RawWaitGroup;
use std::cell::UnsafeCell;
use std::io;
use std::marker::PhantomData;
use std::panic::{resume_unwind, AssertUnwindSafe, Location};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// What the goroutines of a scope share with its owner.
struct Shared {
    running: RawWaitGroup,
    panicked: AtomicBool,
}

/// A scope to start goroutines in. See [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    shared: Arc<Shared>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl std::fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").field("running", &self.shared.running.count()).finish_non_exhaustive()
    }
}

/// One goroutine's result.
struct Packet<T> {
    shared: Arc<Shared>,
    done: RawWaitGroup,
    result: UnsafeCell<Option<Result<T, Payload>>>,
}

impl<T> Drop for Packet<T> {
    /// The last of goroutine and handle drops the result, inside the scope (O1). The scope hears of a panic that nobody took.
    fn drop(&mut self) {
        let result = self.result.get_mut().take();
        let unjoined = matches!(result, Some(Err(_)));
        let dropped = panic::contain(move || drop(result));
        if unjoined || dropped.is_err() {
            self.shared.panicked.store(true, Ordering::Relaxed);
        }
    }
}

// SAFETY: the goroutine writes the result before `done`, the handle reads it after.
unsafe impl<T: Send> Sync for Packet<T> {}

/// The right to wait for one goroutine of a scope and to take its result.
pub struct ScopedJoinHandle<'scope, T> {
    packet: Arc<Packet<T>>,
    id: u64,
    scope: PhantomData<&'scope ()>,
}

impl<T> std::fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
/// # Panics
/// With what `f` panicked with; with a text of its own if a goroutine panicked that was not joined. Always after all have
/// ended.
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let shared = Arc::new(Shared { running: RawWaitGroup::new(), panicked: AtomicBool::new(false) });
    let s = Scope { shared, scope: PhantomData, env: PhantomData };
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| f(&s)));
    // O1: whatever happens.
    let all_ended = sched::shielded(|| s.shared.running.wait(FOREVER));
    debug_assert!(all_ended.is_ok(), "a shielded wait without deadline ends in one way only");
    match result {
        Err(p) => resume_unwind(p),
        Ok(_) if s.shared.panicked.load(Ordering::Relaxed) => panic!("a scoped goroutine panicked"),
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
        match self.start(f, Location::caller()) {
            Ok(h) => h,
            Err(e) => panic!("cannot start a goroutine: {e}"),
        }
    }

    fn start<F, T>(&'scope self, f: F, site: &'static Location<'static>) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let packet =
            Arc::new(Packet { shared: self.shared.clone(), done: RawWaitGroup::new(), result: UnsafeCell::new(None) });
        let shared = self.shared.clone();
        let ours = packet.clone();
        let full = || io::Error::other("too many goroutines in a scope");
        packet.done.add(1).map_err(|_| full())?;
        shared.running.add(1).map_err(|_| full())?;
        let body = move || {
            let end = End { shared, packet: Some(ours) };
            let r = panic::contain(f);
            end.store(r);
        };
        let a = Attributes { flags: PINNED, site: Some(site), ..Attributes::default() };
        match start::start(a, body) {
            Ok((g, id)) => {
                // SAFETY: the handle is given up: the packet has the result.
                unsafe { start::detach::<()>(g) };
                Ok(ScopedJoinHandle { packet, id, scope: PhantomData })
            }
            Err((e, body)) => {
                drop(body);
                let _ = self.shared.running.done();
                Err(e.into())
            }
        }
    }
}

/// Tells the scope that one goroutine has let go of everything it borrowed.
struct End<T> {
    shared: Arc<Shared>,
    packet: Option<Arc<Packet<T>>>,
}

impl<T> End<T> {
    fn store(mut self, r: Result<T, Payload>) {
        let Some(packet) = self.packet.take() else { return };
        // SAFETY: nobody reads the result before `done`.
        unsafe { *packet.result.get() = Some(r) };
        let _ = packet.done.done();
        drop(packet);
        let _ = self.shared.running.done();
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Number of the goroutine.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.packet.done.count() == 0
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What it panicked with.
    ///
    /// # Panics
    /// Never in practice: a finished goroutine has stored its result.
    pub fn join(self) -> Result<T, Payload> {
        let ended = sched::shielded(|| self.packet.done.wait(FOREVER));
        debug_assert!(ended.is_ok(), "a shielded wait without deadline ends in one way only");
        // SAFETY: done: the goroutine does not touch the result any more, and the handle is the only one.
        let r = unsafe { (*self.packet.result.get()).take() };
        match r {
            Some(r) => r,
            None => unreachable!("a finished goroutine has stored its result"),
        }
    }
}
