//! One call for all who ask for the same thing at the same time.
//!
//! *Where it sits*: layer 4, over the mutex, the wait group and channels. Rules SF-01 to SF-04, after Go's
//! `x/sync/singleflight`.
//!
//! # State
//!
//! A table of the calls in flight. Whoever puts one there sees to its run, on the spot or in a goroutine of its own; all others
//! wait for its end, or leave a channel for its result.
//!
//! # Invariants
//!
//! * **S1** A key is in the table while its call is in flight, unless it was forgotten. Whoever ends a call removes the key only if
//!   the entry is still that call's.
//! * **S2** Who joins a call does so under the table's lock, and so before the call's end takes it out of the table: the end finds
//!   all who wait and all channels.
//! * **S3** A panic is heard of: those who wait for the call panic as well; if there is nobody, or somebody has left a channel, which
//!   carries no panics, it follows the panic policy of the runtime.

use super::waitgroup::RawWaitGroup;
use super::{Mutex, WaitError};
use crate::channel::{bounded, Receiver, Sender};
use crate::context::Context;
use crate::error::FOREVER;
use crate::go::Builder;
use crate::panic::{contain, goexit, text, Goexit, Payload};
use crate::reason::Reason;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::Hash;
use std::panic::resume_unwind;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Calls in flight, by key.
///
/// ```
/// use zokor::sync::singleflight::Group;
/// let pages = Group::new();
/// let (page, shared) = pages.call("/index", || "hello".to_owned());
/// assert_eq!((page.as_str(), shared), ("hello", false));
/// ```
pub struct Group<K, T> {
    calls: Arc<Table<K, T>>,
}

type Table<K, T> = Mutex<HashMap<K, Arc<Call<T>>>>;

struct Call<T> {
    /// One until it has ended.
    running: RawWaitGroup,
    ended: OnceLock<Ended<T>>,
    joined: Mutex<Joined<T>>,
}

/// Who shares a call.
struct Joined<T> {
    /// Anybody beside the one who began it.
    shared: bool,
    /// Callers who wait for its end.
    waiting: usize,
    channels: Vec<Sender<(T, bool)>>,
}

/// How a call ended, for those who share it.
enum Ended<T> {
    Well(T),
    Panicked(String),
    Exited,
}

impl<T> Call<T> {
    fn new() -> Arc<Call<T>> {
        let running = RawWaitGroup::new();
        let counted = running.add(1);
        debug_assert!(counted.is_ok(), "one is not too many");
        let joined = Mutex::new(Joined { shared: false, waiting: 0, channels: Vec::new() });
        Arc::new(Call { running, ended: OnceLock::new(), joined })
    }
}

/// What somebody who asks wants of the call.
enum Ask<T> {
    /// To wait for it.
    Wait,
    /// To have its result sent.
    Send(Sender<(T, bool)>),
}

impl<K, T> Default for Group<K, T> {
    fn default() -> Group<K, T> {
        Group::new()
    }
}

impl<K, T> Group<K, T> {
    /// Nothing in flight.
    pub fn new() -> Group<K, T> {
        Group { calls: Arc::new(Mutex::new(HashMap::new())) }
    }
}

impl<K: Hash + Eq + Clone, T: Clone> Group<K, T> {
    /// Calls `f`, unless a call for the same key is in flight: then waits for that one. Returns its result, and whether anybody
    /// shared it. Not cancelable: [`call_until`](Group::call_until) is. The next call after it has ended runs again.
    ///
    /// # Panics
    /// If `f` panics: the one that ran it with what it threw, all others with its text (SF-03). If it calls
    /// [`goexit`], the goroutines of all of them end (SF-04).
    pub fn call(&self, key: K, f: impl FnOnce() -> T) -> (T, bool) {
        let (call, first) = self.join(&key, Ask::Wait);
        if !first {
            call.running.wait_forever(Reason::Singleflight);
        } else if let Some(p) = run(&self.calls, &key, &call, f) {
            let carries_none = call.joined.lock().channels.drain(..).count() > 0;
            if carries_none && !p.is::<Goexit>() {
                tell_policy(text(&p).to_owned()); // S3
            }
            resume_unwind(p);
        }
        call.result()
    }

    /// Lets the next call for `key` run, whether or not one is in flight. Those who share that one still get its result.
    pub fn forget(&self, key: &K) {
        let forgotten = self.calls.lock().remove(key);
        drop(forgotten);
    }

    /// The call in flight for `key`, which is then shared, or a new one, which the caller has to run: true.
    fn join(&self, key: &K, ask: Ask<T>) -> (Arc<Call<T>>, bool) {
        let mut calls = self.calls.lock();
        let (call, first) = match calls.entry(key.clone()) {
            Entry::Occupied(e) => (e.get().clone(), false),
            Entry::Vacant(e) => (e.insert(Call::new()).clone(), true),
        };
        let mut joined = call.joined.lock(); // S2
        joined.shared |= !first;
        match ask {
            Ask::Wait => joined.waiting += 1,
            Ask::Send(channel) => joined.channels.push(channel),
        }
        drop(joined);
        (call, first)
    }
}

impl<K, T> Group<K, T>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// As [`call`](Group::call), but runs `f` in a goroutine of its own and waits until `deadline` at most. Who gives up leaves the
    /// run alone: it goes on for the others, and for those who come later.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use zokor::sync::{singleflight::Group, WaitError};
    /// let r = zokor::run(|| {
    ///     let pages = Group::new();
    ///     let (gate, opened) = zokor::channel::bounded::<()>(0);
    ///     let soon = Instant::now() + Duration::from_millis(2);
    ///     let late = pages.call_until("/slow", soon, move || opened.recv().is_ok());
    ///     assert_eq!(late, Err(WaitError::TimedOut));
    ///     gate.send(()).unwrap();
    ///     pages.call("/slow", || true).0
    /// });
    /// assert!(r);
    /// ```
    ///
    /// # Errors
    /// Which of deadline and cancellation of the caller's context came first.
    ///
    /// # Panics
    /// As [`call`](Group::call), with the text of a panic; if the goroutine cannot be started.
    #[track_caller]
    pub fn call_until(
        &self,
        key: K,
        deadline: Instant,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, bool), WaitError> {
        self.call_by(key, super::deadline(deadline), f)
    }

    /// As [`call_until`](Group::call_until) without deadline: ends when the caller's context does.
    ///
    /// # Errors
    /// `Cancelled`, or `TimedOut` by the context's deadline.
    ///
    /// # Panics
    /// As [`call_until`](Group::call_until).
    #[track_caller]
    pub fn call_cancelable(&self, key: K, f: impl FnOnce() -> T + Send + 'static) -> Result<(T, bool), WaitError> {
        self.call_by(key, FOREVER, f)
    }

    /// As [`call`](Group::call), but does not wait: `f` runs in a goroutine of its own, and the result comes on a channel, for a select for
    /// example. Go's `DoChan`.
    ///
    /// The channel has room for the one value and is closed without it if the run ended without a result: by `goexit`, or by a
    /// panic where the panic policy lets the rest go on.
    ///
    /// ```
    /// use zokor::sync::singleflight::Group;
    /// let r = zokor::run(|| Group::new().call_chan("answer", || 42).recv());
    /// assert_eq!(r, Ok((42, false)));
    /// ```
    ///
    /// # Panics
    /// If the goroutine cannot be started. A panic of `f` follows the panic policy of the runtime (SF-03).
    #[track_caller]
    pub fn call_chan(&self, key: K, f: impl FnOnce() -> T + Send + 'static) -> Receiver<(T, bool)> {
        let (tx, rx) = bounded(1);
        let (call, first) = self.join(&key, Ask::Send(tx));
        if first {
            self.start(key, call, f);
        }
        rx
    }

    #[track_caller]
    fn call_by(&self, key: K, deadline: i64, f: impl FnOnce() -> T + Send + 'static) -> Result<(T, bool), WaitError> {
        super::may_wait(deadline)?;
        let (call, first) = self.join(&key, Ask::Wait);
        if first {
            self.start(key, call.clone(), f);
        }
        match call.running.wait_as(Reason::Singleflight, deadline) {
            Err(e) if call.leave() => Err(e.into()),
            _ => Ok(call.result()),
        }
    }

    /// Runs a call in a goroutine of its own, which has the caller's values and not its end.
    #[track_caller]
    fn start(&self, key: K, call: Arc<Call<T>>, f: impl FnOnce() -> T + Send + 'static) {
        let (calls, ours) = (self.calls.clone(), call.clone());
        let again = key.clone();
        let started = Builder::new().context(&Context::current().without_cancel()).go(move || {
            let Some(p) = run(&calls, &key, &ours, f) else { return };
            let unheard = {
                let mut joined = ours.joined.lock();
                joined.channels.drain(..).count() > 0 || joined.waiting == 0
            };
            if unheard && !p.is::<Goexit>() {
                tell_policy(text(&p).to_owned()); // S3
            }
        });
        if let Err(e) = started {
            let why = format!("cannot start a goroutine: {e}");
            end(&self.calls, &again, &call, Ended::Panicked(why.clone()));
            panic!("{why}");
        }
    }
}

impl<T: Clone> Call<T> {
    /// What it came to, for one who has waited.
    fn result(&self) -> (T, bool) {
        match self.ended.get() {
            Some(Ended::Well(v)) => (v.clone(), self.joined.lock().shared),
            Some(Ended::Panicked(why)) => panic!("{why}"),
            Some(Ended::Exited) => goexit(),
            None => unreachable!("it has ended"),
        }
    }
}

impl<T> Call<T> {
    /// Somebody who waited gives up. False: it has ended all the same, and counts on being heard of (S3).
    fn leave(&self) -> bool {
        let mut joined = self.joined.lock();
        let ended = self.ended.get().is_some();
        if !ended {
            joined.waiting -= 1;
        }
        !ended
    }
}

/// Runs a call to its end, whatever that is. What it threw, if it did.
fn run<K: Hash + Eq, T: Clone>(
    calls: &Table<K, T>,
    key: &K,
    call: &Arc<Call<T>>,
    f: impl FnOnce() -> T,
) -> Option<Payload> {
    let (ended, thrown) = match contain(f) {
        Ok(v) => (Ended::Well(v), None),
        Err(p) if p.is::<Goexit>() => (Ended::Exited, Some(p)),
        Err(p) => (Ended::Panicked(text(&p).to_owned()), Some(p)),
    };
    end(calls, key, call, ended);
    thrown
}

/// Takes the call out of the table (S1) and lets everybody go on who shares it.
fn end<K: Hash + Eq, T: Clone>(calls: &Table<K, T>, key: &K, call: &Arc<Call<T>>, ended: Ended<T>) {
    /// Also when a clone of the result panics.
    struct Over<'a>(&'a RawWaitGroup);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            let counted = self.0.done();
            debug_assert!(counted.is_ok(), "it has run once");
        }
    }
    let over = Over(&call.running);
    let removed = {
        let mut calls = calls.lock();
        let ours = calls.get(key).is_some_and(|c| Arc::ptr_eq(c, call));
        if ours {
            calls.remove_entry(key)
        } else {
            None
        }
    };
    drop(removed); // outside the lock: a key may have something to drop
    let (channels, shared) = {
        let mut joined = call.joined.lock();
        let set = call.ended.set(ended);
        debug_assert!(set.is_ok(), "it ends once");
        let well = matches!(call.ended.get(), Some(Ended::Well(_)));
        // Of a run that came to nothing the channels stay until somebody has seen that they are there (S3).
        (if well { std::mem::take(&mut joined.channels) } else { Vec::new() }, joined.shared)
    };
    if let Some(Ended::Well(v)) = call.ended.get() {
        for channel in channels {
            let _ = channel.try_send((v.clone(), shared)); // there is room; who has dropped the receiver wants nothing
        }
    }
    drop(over);
}

/// A panic that nobody hears of otherwise: a goroutine ends by it, and the policy says what becomes of the rest.
#[cold]
fn tell_policy(why: String) {
    drop(crate::go(move || panic!("{why}")));
}

impl<K, T> std::fmt::Debug for Group<K, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}
