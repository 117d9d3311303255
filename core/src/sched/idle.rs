//! Who may run, who sleeps, who waits for a place: permits and the set of idle workers.
//!
//! *Where it sits*: layer 3. `find` calls [`sleep`] when there is nothing to do, `ready` and `spawn` call
//! [`wake_one`] and [`wake_worker`], the monitor calls [`revoke`] and [`ask_for_permit`].
//!
//! # State
//!
//! At most `limit` workers hold a *permit*; only they run goroutines. A worker is
//! *active* (has a permit), *asleep* (in `sleepers`, has nothing to do), or *waiting* (in `waiting`: it has
//! goroutines that only it can run, or comes back from a blocking section, and no permit is free).
//! The last two sleep on their `word`. A waker takes the worker out of its list, gives it a
//! permit and clears the word, all under the lock: awake and permitted are one thing.
//!
//! # Invariants
//!
//! * **I1** `active ≤ limit`, except that lowering `limit` lets the surplus run until its next decision.
//! * **I2** A worker's `word` is `ASLEEP` exactly while it is in `sleepers` or `waiting`.
//! * **I3** While `waiting` is not empty no permit is free: whoever gives one up hands it to the first.
//! * **I4** A sleeping set that has timers to serve has a keeper that sleeps until the first of them.
//!
//! # Orderings
//!
//! Going to sleep is a store (the list entry, under the lock) followed by a look at the queues; making
//! work is a store (the queue) followed by a look at `hint`. Neither look may miss the other's store. The
//! sleeper, who is slow anyway, pays with `heavy_fence`; the owner of a run queue, whose pushes are the
//! fast path, pays with `light_fence` (a compiler barrier where the kernel offers membarrier). Other
//! threads push into the injector or an inbox, and use a full fence of their own. See README.md.

use super::monitor;
use super::worker::Worker;
use super::{table, timers, INJECTOR};
use crate::cell::{fence, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use crate::rank::Rank;
use crate::sys;
use std::collections::VecDeque;

/// `word`: the worker has a permit.
pub const AWAKE: u32 = 0;
/// `word`: the worker sleeps until somebody gives it a permit (I2).
pub const ASLEEP: u32 = 1;
/// Worker threads there may be at most, as in Go (G-07).
pub const MAX_THREADS: usize = 10_000;
/// A surplus thread ends after sleeping for this long.
const SURPLUS_SLEEP: i64 = 5_000_000_000;

/// Flags that make a worker look up from what it is doing.
pub struct Attention(AtomicU32);

const PREEMPT: u32 = 1;
const REVOKED: u32 = 2;
const SHARE: u32 = 4;
const STOP: u32 = 8;

impl Attention {
    /// Nothing wanted.
    pub const fn new() -> Attention {
        Attention(AtomicU32::new(0))
    }

    /// Whether anything is wanted: one load, on every fast path.
    #[inline(always)]
    pub fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Whether the worker's own loop has to deal with it.
    pub fn needs_loop(&self) -> bool {
        self.0.load(Ordering::Relaxed) & (REVOKED | SHARE | STOP) != 0
    }

    /// Consumes the request to end the time slice.
    pub fn take_preempt(&self) -> bool {
        self.take(PREEMPT)
    }

    /// The slice is used up: the goroutine should yield at its next call.
    pub fn preempt(&self) {
        self.0.fetch_or(PREEMPT, Ordering::Relaxed);
    }

    /// The loop should return.
    pub fn stop(&self) {
        self.0.fetch_or(STOP, Ordering::Relaxed);
    }

    /// Whether `stop` was asked for; consumes it.
    pub fn take_stop(&self) -> bool {
        self.take(STOP)
    }

    fn take(&self, bit: u32) -> bool {
        // Relaxed: a flag is a hint; what it hints at is read under the idle lock.
        self.any() && self.0.fetch_and(!bit, Ordering::Relaxed) & bit != 0
    }

    fn set(&self, bit: u32) {
        self.0.fetch_or(bit, Ordering::Relaxed);
    }
}

struct Set {
    limit: usize,
    active: usize,
    sleepers: Vec<&'static Worker>,
    waiting: VecDeque<&'static Worker>,
    /// Deadline the keeper sleeps until (I4).
    keeper: Option<(usize, i64)>,
    threads: usize,
    /// Workers whose permit was taken while they run a goroutine, and that have not noticed yet.
    revoked: usize,
    /// Permits given so far: tells whether anybody ran between two looks.
    grants: u64,
    stopping: bool,
}

static SET: sys::Mutex<Set> = sys::Mutex::new(
    Rank::Idle,
    Set {
        limit: 0,
        active: 0,
        sleepers: Vec::new(),
        waiting: VecDeque::new(),
        keeper: None,
        threads: 0,
        revoked: 0,
        grants: 0,
        stopping: false,
    },
);

/// 1 while a permit is free and somebody could take it: what pushers look at.
static HINT: AtomicU32 = AtomicU32::new(0);
/// Workers that look for work; while there is one, nobody else is woken.
pub static SEARCHING: AtomicUsize = AtomicUsize::new(0);
/// Copy of the keeper's deadline, for those who arm timers from outside.
pub static KEEPER_DEADLINE: AtomicI64 = AtomicI64::new(i64::MAX);
/// Copy of `active`.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);

impl Set {
    fn publish(&mut self) {
        let can =
            self.active < self.limit && !self.stopping && (!self.sleepers.is_empty() || self.threads < MAX_THREADS);
        // Relaxed stores: the fences around the looks order them, see the module's text.
        HINT.store(u32::from(can), Ordering::Relaxed);
        ACTIVE.store(self.active, Ordering::Relaxed);
        KEEPER_DEADLINE.store(self.keeper.map_or(i64::MAX, |k| k.1), Ordering::Relaxed);
    }

    /// Gives a permit to `w`, which is in no list any more.
    fn grant(&mut self, w: &'static Worker) {
        self.active += 1;
        self.grants += 1;
        w.permitted.store(true, Ordering::Relaxed);
        if self.keeper.is_some_and(|k| k.0 == w.index) {
            self.keeper = None;
        }
        monitor::work_began();
    }

    /// Takes the permit of `w` away and hands it to the first who waits (I3).
    fn release(&mut self, w: &'static Worker) {
        if !w.permitted.swap(false, Ordering::Relaxed) {
            return;
        }
        self.active -= 1;
        self.hand_on();
    }

    /// A worker whose permit was revoked has come to the scheduler.
    fn noticed(&mut self, w: &Worker) {
        if w.attention.take(REVOKED) {
            self.revoked -= 1;
        }
    }

    /// Serves those who wait while permits are free.
    fn hand_on(&mut self) {
        while self.active < self.limit {
            let Some(x) = self.waiting.pop_front() else { break };
            self.grant(x);
            rouse(x);
        }
    }

    /// Makes `w`, which sleeps, the keeper if nobody watches for a timer due at `due` (I4). True if it is.
    fn keep(&mut self, w: &Worker, due: i64) -> bool {
        let needed = due != i64::MAX && self.keeper.is_none_or(|k| due < k.1);
        if needed {
            self.keeper = Some((w.index, due));
        }
        needed
    }

    fn remove_sleeper(&mut self, w: &'static Worker) -> bool {
        match self.sleepers.iter().position(|s| core::ptr::eq(*s, w)) {
            Some(i) => {
                self.sleepers.remove(i);
                true
            }
            None => false,
        }
    }
}

/// Lets a worker that was given a permit go on.
fn rouse(w: &'static Worker) {
    // Release: pairs with the Acquire in `sleep_on_word`; what was prepared for w is visible to it.
    w.word.store(AWAKE, Ordering::Release);
    sys::futex_wake(&w.word, 1);
}

/// Whether waking somebody could help; looked at after a push and a light fence.
#[inline(always)]
pub fn may_wake() -> bool {
    HINT.load(Ordering::Relaxed) != 0 && SEARCHING.load(Ordering::Relaxed) == 0
}

/// Number of permits that are out.
pub fn active() -> usize {
    ACTIVE.load(Ordering::Relaxed)
}

/// Wakes one worker to look for work, starting a thread if all are busy and a permit is free.
#[cold]
pub fn wake_one() {
    let mut set = SET.lock();
    if set.stopping || set.active >= set.limit || SEARCHING.load(Ordering::Relaxed) != 0 {
        return;
    }
    if let Some(w) = set.sleepers.pop() {
        SEARCHING.fetch_add(1, Ordering::Relaxed);
        set.grant(w);
        set.publish();
        w.woken_to_search.store(true, Ordering::Relaxed);
        rouse(w);
        return;
    }
    if set.threads >= MAX_THREADS {
        return;
    }
    // A new thread: its permit is accounted for before it exists.
    set.threads += 1;
    set.active += 1;
    set.grants += 1;
    SEARCHING.fetch_add(1, Ordering::Relaxed);
    set.publish();
    drop(set);
    if table::start_thread().is_err() {
        let mut set = SET.lock();
        set.threads -= 1;
        set.active -= 1;
        SEARCHING.fetch_sub(1, Ordering::Relaxed);
        set.hand_on();
        set.publish();
    }
}

/// Something was put into the inbox of `w`: it must run, with a permit as soon as there is one.
#[cold]
pub fn wake_worker(w: &'static Worker) {
    let mut set = SET.lock();
    if !set.remove_sleeper(w) {
        return;
    }
    if set.keeper.is_some_and(|k| k.0 == w.index) {
        set.keeper = None;
    }
    if set.active < set.limit {
        set.grant(w);
        set.publish();
        rouse(w);
    } else {
        set.waiting.push_back(w);
        set.publish();
    }
}

/// What became of a worker that went to sleep.
#[derive(PartialEq, Eq, Debug, Clone, Copy)]
pub enum Slept {
    /// It has a permit and should look for work.
    Awake,
    /// It was surplus: its thread should end.
    Retire,
}

/// Sleeps until there may be work. The caller holds a permit, found nothing and is not searching.
pub fn sleep(w: &'static Worker) -> Slept {
    let mut set = SET.lock();
    if set.stopping {
        return Slept::Awake;
    }
    set.noticed(w);
    set.release(w);
    set.sleepers.push(w);
    // Relaxed: the lock and the fence below order it for those who put something into the inbox.
    w.word.store(ASLEEP, Ordering::Relaxed);
    let due = timers::first_deadline();
    let mut deadline = if set.keep(w, due) { due } else { i64::MAX };
    let surplus = set.threads > set.limit + 1 && !w.is_runner && w.homed.get() == 0;
    if surplus && deadline == i64::MAX {
        deadline = sys::now().saturating_add(SURPLUS_SLEEP);
    }
    set.publish();
    let all_idle = set.active == 0;
    drop(set);
    if all_idle {
        // Nobody is left who could push without a full fence of his own.
        // SeqCst: our list entry before our look at the queues; pairs with the fence of foreign pushers.
        fence(Ordering::SeqCst);
    } else {
        sys::heavy_fence();
    }
    if work_for(w) && take_back(w) {
        return Slept::Awake;
    }
    if all_idle {
        super::deadlock::check();
    }
    sleep_on_word(w, deadline, surplus)
}

/// Whether anything could be run by `w` now: the second look of a worker that goes to sleep. A timer counts if nobody
/// sleeps until it (I4): it was armed by another thread between our first look and the fence.
fn work_for(w: &Worker) -> bool {
    debug_assert!(!w.has_bound_work() || !w.inbox.is_empty(), "a worker sleeps on its own work");
    !w.inbox.is_empty()
        || !INJECTOR.is_empty()
        || timers::first_deadline() < KEEPER_DEADLINE.load(Ordering::Relaxed)
        || table::any(Worker::is_worth_a_visit)
}

/// Leaves the sleepers again, if nobody was faster. True: the worker has a permit.
fn take_back(w: &'static Worker) -> bool {
    let mut set = SET.lock();
    if set.active >= set.limit && w.inbox.is_empty() {
        return false; // others are at it
    }
    if !set.remove_sleeper(w) {
        return false; // a waker was faster, the word will tell
    }
    if set.keeper.is_some_and(|k| k.0 == w.index) {
        set.keeper = None;
    }
    if set.active < set.limit {
        set.grant(w);
        set.publish();
        w.word.store(AWAKE, Ordering::Relaxed);
        return true;
    }
    set.waiting.push_back(w);
    set.publish();
    false
}

fn sleep_on_word(w: &'static Worker, mut deadline: i64, surplus: bool) -> Slept {
    loop {
        // Acquire: pairs with the Release in `rouse`.
        if w.word.load(Ordering::Acquire) == AWAKE {
            return Slept::Awake;
        }
        match sys::futex_wait(&w.word, ASLEEP, deadline) {
            sys::Wait::TimedOut => match deadline_passed(w, surplus) {
                Ok(s) => return s,
                Err(next) => deadline = next,
            },
            sys::Wait::Interrupted if w.is_runner => super::host::interrupted(w),
            _ => {}
        }
    }
}

/// The keeper's deadline has come, or a surplus thread has slept long enough. `Err`: sleep on, until then.
fn deadline_passed(w: &'static Worker, surplus: bool) -> Result<Slept, i64> {
    let due = timers::first_deadline();
    let over = due <= sys::now();
    let mut set = SET.lock();
    if w.word.load(Ordering::Relaxed) == AWAKE {
        return Ok(Slept::Awake);
    }
    if set.keeper.is_some_and(|k| k.0 == w.index) {
        set.keeper = None;
    }
    let mut next = i64::MAX;
    if over && set.active < set.limit && set.remove_sleeper(w) {
        set.grant(w);
        set.publish();
        w.word.store(AWAKE, Ordering::Relaxed);
        return Ok(Slept::Awake);
    }
    // While others are active, they look at the timers before they sleep. Else somebody else has served the one we slept
    // for, and the next is later.
    if !over && set.keep(w, due) {
        next = due;
    } else if !over && surplus && set.threads > set.limit + 1 && set.remove_sleeper(w) {
        set.threads -= 1;
        set.publish();
        return Ok(Slept::Retire);
    }
    set.publish();
    Err(next)
}

/// Gives the permit up at a moment when the thread blocks by declaration.
pub fn leave(w: &'static Worker) {
    let mut set = SET.lock();
    set.release(w);
    set.publish();
}

/// Returns with a permit; waits for one if none is free. Back from a blocking section, or revoked.
pub fn enter(w: &'static Worker) {
    let mut set = SET.lock();
    set.noticed(w);
    if w.permitted.load(Ordering::Relaxed) {
        return;
    }
    if set.active < set.limit || set.stopping {
        set.grant(w);
        set.publish();
        return;
    }
    set.waiting.push_back(w);
    w.word.store(ASLEEP, Ordering::Relaxed);
    set.publish();
    drop(set);
    while sleep_on_word(w, i64::MAX, false) != Slept::Awake {}
}

/// Gives the permit to somebody who waits for one, if so, and queues up for it again.
pub fn share(w: &'static Worker) {
    w.attention.take(SHARE);
    let mut set = SET.lock();
    if set.waiting.is_empty() || !w.permitted.load(Ordering::Relaxed) {
        return;
    }
    set.release(w);
    set.waiting.push_back(w);
    w.word.store(ASLEEP, Ordering::Relaxed);
    set.publish();
    drop(set);
    while sleep_on_word(w, i64::MAX, false) != Slept::Awake {}
}

/// The loop's answer to `Attention`: has a permit afterwards.
pub fn attend(w: &'static Worker) {
    if !w.permitted.load(Ordering::Relaxed) || w.attention.0.load(Ordering::Relaxed) & REVOKED != 0 {
        enter(w);
    }
    if w.attention.0.load(Ordering::Relaxed) & SHARE != 0 {
        share(w);
    }
}

/// Monitor: takes the permit of a worker that neither yields nor returns. True if it had one.
pub fn revoke(w: &'static Worker) -> bool {
    let mut set = SET.lock();
    if !w.permitted.load(Ordering::Relaxed) || set.stopping {
        return false;
    }
    w.attention.set(REVOKED);
    set.revoked += 1;
    set.release(w);
    set.publish();
    true
}

/// Monitor: if somebody waits for a permit, asks one of the holders to share.
pub fn ask_for_permit() -> bool {
    let set = SET.lock();
    if set.waiting.is_empty() {
        return false;
    }
    drop(set);
    table::any(|w| {
        if w.permitted.load(Ordering::Relaxed) {
            w.attention.set(SHARE);
        }
        false
    });
    true
}

/// If nobody runs, with or without a permit, and nobody waits for one: the number of permits given so far. Two equal answers mean that nobody
/// ran in between.
pub fn quiet() -> Option<u64> {
    let set = SET.lock();
    (set.active == 0 && set.revoked == 0 && set.waiting.is_empty()).then_some(set.grants)
}

/// Sets how many may run at once; returns the former number. 0 only asks.
pub fn set_limit(n: usize) -> usize {
    let mut set = SET.lock();
    let old = set.limit;
    if n == 0 || n == old {
        return old;
    }
    set.limit = n;
    set.hand_on();
    let surplus = set.active.saturating_sub(n);
    set.publish();
    drop(set);
    if surplus > 0 {
        let mut left = surplus;
        table::any(|w| {
            if left > 0 && w.permitted.load(Ordering::Relaxed) && revoke(w) {
                left -= 1;
            }
            false
        });
    } else {
        wake_one();
    }
    old
}

/// The limit in force.
pub fn limit() -> usize {
    SET.lock().limit
}

/// A worker thread that `wake_one` or `start` accounted for takes its permit.
pub fn adopt(w: &'static Worker) {
    w.served.store(true, Ordering::Relaxed);
    w.permitted.store(true, Ordering::Relaxed);
    monitor::work_began();
}

/// Accounts for a thread that is to become a worker with its own permit (the caller of `run`).
pub fn join_set(w: &'static Worker) {
    let mut set = SET.lock();
    set.threads += 1;
    drop(set);
    w.served.store(true, Ordering::Relaxed);
    enter(w);
}

/// A worker thread ends or leaves; its permit goes to others.
pub fn leave_set(w: &'static Worker) {
    w.served.store(false, Ordering::Relaxed);
    let mut set = SET.lock();
    set.noticed(w);
    set.release(w);
    set.threads -= 1;
    set.publish();
}

/// Shutdown: nobody sleeps any more, all loops return. Returns the number of threads left.
pub fn stop_all() -> usize {
    let mut set = SET.lock();
    set.stopping = true;
    let mut all: Vec<&'static Worker> = set.sleepers.drain(..).collect();
    all.extend(set.waiting.drain(..));
    for w in all {
        set.grant(w);
        rouse(w);
    }
    set.publish();
    let n = set.threads;
    drop(set);
    table::any(|w| {
        w.attention.stop();
        false
    });
    n
}

/// Worker threads alive.
pub fn threads() -> usize {
    SET.lock().threads
}

/// Allows sleeping again after a completed shutdown.
pub fn restart() {
    SET.lock().stopping = false;
}

/// A searching worker found something or gives up. True if it was the last one searching.
#[inline]
pub fn stop_searching(w: &Worker) -> bool {
    if !w.searching.replace(false) {
        return false;
    }
    // Relaxed: the caller looks at the queues again after its own fence.
    SEARCHING.fetch_sub(1, Ordering::Relaxed) == 1
}

/// Begins to search unless enough others do: at most half as many as are busy (G-10).
pub fn start_searching(w: &Worker) -> bool {
    if w.searching.get() {
        return true;
    }
    if 2 * SEARCHING.load(Ordering::Relaxed) >= active() {
        return false;
    }
    SEARCHING.fetch_add(1, Ordering::Relaxed);
    w.searching.set(true);
    true
}
