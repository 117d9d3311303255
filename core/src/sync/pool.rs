//! A cache of objects that are expensive to make and equal to each other.
//!
//! *Where it sits*: layer 4. Rule PL-01, after Go's `sync.Pool`.
//!
//! # State
//!
//! A few shards, each a stack under a lock. Every OS thread has its own first choice, so workers meet rarely; who finds its
//! shard empty looks at the others before it makes a new object.
//!
//! # Invariants
//!
//! * **P1** Making, dropping and using objects happens outside the locks: user code may wait.

use crate::panic;
use crate::rank::Rank;
use crate::sys;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};

const SHARDS: usize = 8;
/// Objects a shard keeps at most; what is put beyond is dropped.
const KEEP: usize = 1024;

/// A shard on a cache line of its own.
#[repr(align(64))]
struct Shard<T>(sys::Mutex<Vec<T>>);

/// A pool of objects of one kind.
///
/// [`get`](Pool::get) returns one that was put back, in no particular order, or a new one. The pool may drop idle objects at any time, so it is
/// for what can be made again, not for what there is a number of (use a channel or a [`Semaphore`](super::Semaphore) for that).
///
/// ```
/// use zokor::sync::Pool;
/// let pool = Pool::new(|| Vec::with_capacity(4096));
/// {
///     let mut buffer = pool.take();
///     buffer.push(1u8);
/// } // goes back
/// assert_eq!(pool.get(), [1]);
/// assert!(pool.get().is_empty());
/// ```
pub struct Pool<T> {
    shards: [Shard<T>; SHARDS],
    make: Box<dyn Fn() -> T + Send + Sync>,
}

impl<T> Pool<T> {
    /// An empty pool; `make` makes new objects. It may be called by several at a time.
    pub fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Pool<T> {
        let shards = std::array::from_fn(|_| Shard(sys::Mutex::new(Rank::Leaf, Vec::new())));
        Pool { shards, make: Box::new(make) }
    }

    /// An object; never waits for one.
    pub fn get(&self) -> T {
        self.pooled().unwrap_or_else(&self.make)
    }

    /// An object that was put back, if there is one.
    pub fn pooled(&self) -> Option<T> {
        let first = home();
        (0..SHARDS).find_map(|i| self.shards[(first + i) % SHARDS].0.lock().pop())
    }

    /// Puts an object into the pool, for somebody else to get.
    pub fn put(&self, object: T) {
        let mut rest = Some(object);
        {
            let mut shard = self.shards[home()].0.lock();
            if shard.len() < KEEP {
                shard.extend(rest.take());
            }
        }
        drop(rest);
    }

    /// An object that goes back by itself when it is dropped.
    pub fn take(&self) -> Pooled<'_, T> {
        Pooled { object: Some(self.get()), pool: self }
    }

    /// Drops all idle objects. If destructors panic the others run nevertheless, and then the first panic goes on.
    pub fn clear(&self) {
        let mut shards = self.shards.iter();
        let mut idle = Vec::new();
        panic::drop_each(|| loop {
            if let Some(object) = idle.pop() {
                return Some(object);
            }
            idle = std::mem::take(&mut *shards.next()?.0.lock());
        });
    }
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The shard of the calling thread. Not inlined: goroutines call it, and the address of a thread-local must not be kept across
/// their switches.
#[inline(never)]
fn home() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static HOME: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    HOME.try_with(|h| *h).unwrap_or(0)
}

impl<T> std::fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let idle: usize = self.shards.iter().map(|s| s.0.lock().len()).sum();
        f.debug_struct("Pool").field("idle", &idle).finish_non_exhaustive()
    }
}

/// An object of a [`Pool`], on loan.
pub struct Pooled<'a, T> {
    /// None only while it is being dropped.
    object: Option<T>,
    pool: &'a Pool<T>,
}

impl<T> Pooled<'_, T> {
    /// Keeps the object for good.
    pub fn keep(mut self) -> T {
        match self.object.take() {
            Some(object) => object,
            None => unreachable!("an object on loan is there"),
        }
    }
}

impl<T> Deref for Pooled<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.object {
            Some(object) => object,
            None => unreachable!("an object on loan is there"),
        }
    }
}

impl<T> DerefMut for Pooled<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.object {
            Some(object) => object,
            None => unreachable!("an object on loan is there"),
        }
    }
}

impl<T> Drop for Pooled<'_, T> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            self.pool.put(object);
        }
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Pooled<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.object.fmt(f)
    }
}
