//! One call for all who ask for the same thing at the same time.
//!
//! *Where it sits*: layer 4, over `mutex` and `lazy`. Rules SF-01 to SF-04, after Go's `x/sync/singleflight`.
//!
//! # Invariants
//!
//! * **S1** A key is in the table while its call is in flight, unless it was forgotten. Whoever ends a call removes the key only if
//!   the entry is still that call's.

use super::{Mutex, OnceLock};
use crate::panic::{goexit, text, Goexit, Payload};
use std::collections::HashMap;
use std::hash::Hash;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Calls in flight, by key.
///
/// ```
/// use zokor::sync::singleflight::Group;
/// let pages = Group::new();
/// let (page, shared) = pages.call("/index", || "hello".to_owned());
/// assert_eq!((page.as_str(), shared), ("hello", false));
/// ```
pub struct Group<K, T> {
    calls: Mutex<HashMap<K, Arc<Call<T>>>>,
}

struct Call<T> {
    result: OnceLock<Ended<T>>,
    shared: AtomicBool,
}

/// How a call ended, for those who share it.
enum Ended<T> {
    Well(T),
    Panicked(String),
    Exited,
}

impl<K, T> Default for Group<K, T> {
    fn default() -> Group<K, T> {
        Group::new()
    }
}

impl<K, T> Group<K, T> {
    /// Nothing in flight.
    pub fn new() -> Group<K, T> {
        Group { calls: Mutex::new(HashMap::new()) }
    }
}

impl<K: Hash + Eq + Clone, T: Clone> Group<K, T> {
    /// Calls `f`, unless a call for the same key is in flight: then waits for that one. Returns its result, and whether anybody
    /// shared it. Not cancelable. The next call after it has ended runs again.
    ///
    /// # Panics
    /// If `f` panics: the one that ran it with what it threw, all others with its text (SF-03). If it calls
    /// [`goexit`], the goroutines of all of them end (SF-04).
    pub fn call(&self, key: K, f: impl FnOnce() -> T) -> (T, bool) {
        let call = self.join(&key);
        let mut thrown: Option<Payload> = None;
        let ended = call.result.get_or_init(|| {
            let ended = match catch_unwind(AssertUnwindSafe(f)) {
                Ok(v) => Ended::Well(v),
                Err(p) => {
                    let ended = if p.is::<Goexit>() { Ended::Exited } else { Ended::Panicked(text(&p).to_owned()) };
                    thrown = Some(p);
                    ended
                }
            };
            self.leave(&key, &call);
            ended
        });
        if let Some(p) = thrown {
            resume_unwind(p);
        }
        match ended {
            // Relaxed: set under the table's lock, which the end of the call has taken since.
            Ended::Well(v) => (v.clone(), call.shared.load(Ordering::Relaxed)),
            Ended::Panicked(why) => panic!("{why}"),
            Ended::Exited => goexit(),
        }
    }

    /// Lets the next call for `key` run, whether or not one is in flight. Those who share that one still get its result.
    pub fn forget(&self, key: &K) {
        let forgotten = self.calls.lock().remove(key);
        drop(forgotten);
    }

    /// The call in flight for `key`, which is then shared, or a new one.
    fn join(&self, key: &K) -> Arc<Call<T>> {
        let mut calls = self.calls.lock();
        if let Some(call) = calls.get(key) {
            call.shared.store(true, Ordering::Relaxed);
            return call.clone();
        }
        let call = Arc::new(Call { result: OnceLock::new(), shared: AtomicBool::new(false) });
        calls.insert(key.clone(), call.clone());
        call
    }

    /// S1.
    fn leave(&self, key: &K, call: &Arc<Call<T>>) {
        let mut calls = self.calls.lock();
        if calls.get(key).is_some_and(|c| Arc::ptr_eq(c, call)) {
            calls.remove(key);
        }
    }
}

impl<K, T> std::fmt::Debug for Group<K, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}
