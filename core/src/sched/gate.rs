//! The gate between making work and going to sleep: permits, the set of idle workers, and the proof that no
//! wake-up gets lost between the two.
//!
//! *Where it sits*: layer 3. `idle` keeps the one gate of the runtime and adds what needs threads; everybody who queues a
//! goroutine asks the gate whether somebody has to be woken. It knows neither workers nor queues: a worker is
//! a [`Seat`], and what there is to do is asked through [`Looks`].
//!
//! # State
//!
//! At most `limit` seats hold a *permit*; only their workers run goroutines. A seat is *active* (has a permit), *asleep*
//! (in `sleepers`: nothing to do), or *waiting* (in `waiting`: has something to run and no permit is free). The last two
//! sleep on their `word`. A waker takes the seat out of its list, gives it a permit and clears the word, all under the
//! lock: awake and permitted are one thing.
//!
//! # Protocol
//!
//! ```text
//! making work                              going to sleep
//!   P1  put it into a queue                  S1  under the lock: give the permit up, enter `sleepers`,
//!   P2  fence                                    word = ASLEEP, publish `hint` and `keeper_deadline`
//!   P3  look at `hint` and `searching`,      S2  heavy fence
//!       at the word of a bound one's home,   S3  look at all queues, the inbox and the timers; if there
//!       or at `keeper_deadline`                  is something, leave the list again (or find that
//!   P4  wake one, under the lock                 somebody did it for us)
//!                                            S4  sleep on the word
//! ```
//!
//! P2 and S2 are a Dekker pair: P3 sees what S1 wrote, or S3 sees P1. In the first case the waker finds the sleeper in
//! its list; in the second the sleeper does not sleep. The fast path, a push to the worker's own queue, has the light
//! fence and S2 is the heavy one; pushes to the injector, to an inbox and timers armed by threads that are no workers have
//! a full fence of their own, which pairs with either.
//!
//! P3 leaves the wake-up out while somebody searches. A searcher that gives up has taken itself off `searching` before S1,
//! and S2 and S3 are its last look; one that finds something and was the last makes the look of P3 once more, for what
//! others may have left out because of it.
//!
//! # Invariants
//!
//! * **I1** `active ≤ limit`, except that lowering `limit` lets the surplus run until its next decision.
//! * **I2** A seat's word is `ASLEEP` exactly while it is in `sleepers` or `waiting`.
//! * **I3** While `waiting` is not empty no permit is free: whoever gives one up hands it to the first.
//! * **I4** While all sleep and timers are armed, a keeper sleeps until the first of them.
//! * **I5** A worker without a permit may still be on a goroutine (revoked, or in a blocking section) and push with a
//!   light fence. So S2 is the heavy fence even when nobody is active.
//! * **I6** While only exclusive seats have permits and there is work for anybody, a general seat waits for a permit, or its
//!   thread is on its way (`coming`): nobody of those who run would take that work.
//!
//! # Orderings
//!
//! `hint`, `contended`, `pressed`, `searching` and `keeper_deadline` are Relaxed: the fences order them. A word is cleared with Release and read
//! with Acquire, so that what was prepared for the woken worker is visible to it.

mod seat;
mod set;

pub use seat::Seat;

use crate::cell::{const_new, fence, AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use crate::rank::Rank;
use crate::sys;
use seat::{ASLEEP, AWAKE};
use set::Set;

/// Worker threads there may be at most, as in Go (G-07).
pub const MAX_THREADS: usize = 10_000;

/// In `hint`.
const CAN_WAKE: u32 = 1;
/// In `hint`.
const FENCED: u32 = 2;

/// What a worker that goes to sleep looks at.
pub trait Looks {
    /// Whether anything could be run now.
    fn work(&self) -> bool;
    /// Whether something lies ready that only this worker can run.
    fn own_work(&self) -> bool;
    /// Deadline of the first timer of all; `i64::MAX`: none.
    fn first_deadline(&self) -> i64;
}

/// What became of an attempt to wake somebody.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Woken {
    /// It was not needed any more.
    Nobody,
    /// A sleeper.
    One,
    /// All are busy and a permit is free: the caller starts a thread, or gives back with [`Gate::no_thread`] what was
    /// accounted for it.
    Thread,
    /// All permits are with exclusive workers (I6): the caller starts a thread that takes one by [`Gate::arrive`], or
    /// says with [`Gate::nobody_comes`] that it could not.
    Reserve,
}

/// How a worker lies down.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Rest {
    /// It keeps the timers and sleeps until then at most (I4).
    pub deadline: i64,
    /// Nobody is active.
    pub all_idle: bool,
    /// There are more threads than permits and one in reserve.
    pub surplus: bool,
}

/// See the module's text.
pub struct Gate {
    set: sys::Mutex<Set>,
    /// What pushers look at: the bit `CAN_WAKE` while a permit is free and somebody could take it, and the bit `FENCED` unless light fences are
    /// nothing but barriers for the compiler. So zero says both that P2 was one and that nobody is to be woken.
    hint: AtomicU32,
    /// Whether somebody waits for a permit.
    contended: AtomicBool,
    /// Whether somebody waits for a permit for what no other worker can run.
    pressed: AtomicBool,
    /// Workers that look for work; while there is one, nobody else is woken.
    searching: AtomicUsize,
    /// Copy of the keeper's deadline, for those who arm timers from outside.
    keeper_deadline: AtomicI64,
    /// Copy of `active`.
    active: AtomicUsize,
    /// Copy of `active` and `revoked` together: workers that may be on a goroutine.
    running: AtomicUsize,
    /// Called under the lock when somebody may be on a goroutine again.
    work_began: fn(),
}

impl Gate {
    const_new! {
        /// A gate with no permits. `work_began` is called, under its lock, whenever somebody may be on a goroutine again.
        pub const fn new(work_began: fn()) -> Gate {
            Gate {
                set: sys::Mutex::new(Rank::Idle, Set::new()),
                hint: AtomicU32::new(FENCED),
                contended: AtomicBool::new(false),
                pressed: AtomicBool::new(false),
                searching: AtomicUsize::new(0),
                keeper_deadline: AtomicI64::new(i64::MAX),
                active: AtomicUsize::new(0),
                running: AtomicUsize::new(0),
                work_began,
            }
        }
    }

    fn publish(&self, set: &Set) {
        // Relaxed stores: the fences around the looks order them, see the module's text.
        let fenced = if sys::are_fences_light() { 0 } else { FENCED };
        let hint = if set.can_wake() { CAN_WAKE } else { 0 };
        self.hint.store(hint | fenced, Ordering::Relaxed);
        self.contended.store(!set.waiting.is_empty(), Ordering::Relaxed);
        self.pressed.store(set.pressing > 0, Ordering::Relaxed);
        self.keeper_deadline.store(set.keeper.map_or(i64::MAX, |k| k.1), Ordering::Relaxed);
        self.active.store(set.active, Ordering::Relaxed);
        let before = self.running.load(Ordering::Relaxed);
        let now = set.active + set.revoked;
        self.running.store(now, Ordering::Relaxed);
        if before == 0 && now != 0 {
            (self.work_began)();
        }
    }

    // ---- the side that makes work -----------------------------------------------------------

    /// P3: whether waking somebody could help.
    #[inline(always)]
    pub fn may_wake(&self) -> bool {
        self.hint.load(Ordering::Relaxed) & CAN_WAKE != 0 && self.searching.load(Ordering::Relaxed) == 0
    }

    /// P2 and P3 of a worker that pushed to its own queue.
    #[inline(always)]
    pub fn pushed_here(&self) -> bool {
        sys::lightest_fence();
        match self.hint.load(Ordering::Relaxed) {
            0 => false,
            CAN_WAKE => self.searching.load(Ordering::Relaxed) == 0,
            _ => self.pushed_fenced(),
        }
    }

    /// The same where light fences have to be full ones.
    #[cold]
    #[inline(never)]
    fn pushed_fenced(&self) -> bool {
        sys::light_fence();
        self.may_wake()
    }

    /// P2 and P3 of somebody who pushed to the injector.
    pub fn pushed_outside(&self) -> bool {
        // SeqCst: our push before our look at the hint; pairs with S2. A store and a load are ordered by nothing less.
        fence(Ordering::SeqCst);
        self.may_wake()
    }

    /// P2 and P3 of somebody who pushed into the inbox of the worker behind `s`.
    pub fn pushed_home(&self, s: &Seat) -> bool {
        // SeqCst: our push before our look at the word; pairs with S2, as above.
        fence(Ordering::SeqCst);
        s.word.load(Ordering::Relaxed) == ASLEEP
    }

    /// P2 and P3 of a thread without a permit that armed a timer due at `when`.
    pub fn armed_outside(&self, when: i64) -> bool {
        // SeqCst: our timer before our look at the keeper; pairs with S2, as above.
        fence(Ordering::SeqCst);
        self.is_unkept(when) && self.may_wake()
    }

    /// P4: wakes one worker to look for work.
    pub fn wake_one(&self) -> Woken {
        let mut set = self.set.lock();
        if !set.has_room() || self.searching.load(Ordering::Relaxed) != 0 {
            return Woken::Nobody;
        }
        if set.active >= set.limit {
            return self.call_reserve(&mut set);
        }
        if let Some(s) = set.pop_sleeper() {
            self.searching.fetch_add(1, Ordering::Relaxed);
            set.grant(s);
            self.publish(&set);
            s.woken_to_search.store(true, Ordering::Relaxed);
            s.rouse();
            return Woken::One;
        }
        if set.threads >= MAX_THREADS {
            return Woken::Nobody;
        }
        // Its permit is accounted for before the thread exists.
        set.threads += 1;
        set.active += 1;
        set.general += 1;
        set.grants += 1;
        self.searching.fetch_add(1, Ordering::Relaxed);
        self.publish(&set);
        Woken::Thread
    }

    /// The thread that [`wake_one`](Gate::wake_one) asked for could not be started.
    pub fn no_thread(&self) {
        let mut set = self.set.lock();
        set.threads -= 1;
        set.active -= 1;
        set.general -= 1;
        self.searching.fetch_sub(1, Ordering::Relaxed);
        set.hand_on();
        self.publish(&set);
    }

    /// I6: somebody who takes anybody's work queues for a permit.
    fn call_reserve(&self, set: &mut Set) -> Woken {
        let woken = if let Some(s) = set.pop_sleeper() {
            set.unkeep(s);
            set.queue(s, true);
            Woken::One
        } else if set.threads < MAX_THREADS {
            set.threads += 1;
            set.coming += 1;
            Woken::Reserve
        } else {
            Woken::Nobody
        };
        self.publish(set);
        woken
    }

    /// The thread that [`Woken::Reserve`] asked for is there and takes a permit as by [`enter`](Gate::enter).
    pub fn arrive(&self, s: &'static Seat) -> bool {
        let mut set = self.set.lock();
        set.coming -= 1;
        let free = set.admit(s, true);
        self.publish(&set);
        free
    }

    /// The thread that [`Woken::Reserve`] asked for could not be started.
    pub fn nobody_comes(&self) {
        let mut set = self.set.lock();
        set.threads -= 1;
        set.coming -= 1;
        self.publish(&set);
    }

    /// Says whether the worker behind `s`, the caller's, serves one goroutine alone from now on. What lies in its queue has to
    /// be offered to others afterwards.
    pub fn set_exclusive(&self, s: &Seat, yes: bool) {
        let mut set = self.set.lock();
        if s.exclusive.swap(yes, Ordering::Relaxed) != yes && s.is_permitted() {
            if yes {
                set.general -= 1;
            } else {
                set.general += 1;
            }
        }
        self.publish(&set);
    }

    /// P4 for an inbox: the worker behind `s` must run, with a permit as soon as there is one.
    pub fn wake(&self, s: &'static Seat) {
        let mut set = self.set.lock();
        if !set.remove_sleeper(s) {
            set.press(s); // it is on its way, or waits for a permit already
            self.publish(&set);
            return;
        }
        set.unkeep(s);
        if set.active < set.limit {
            set.grant(s);
            self.publish(&set);
            s.rouse();
        } else {
            set.queue(s, true);
            self.publish(&set);
        }
    }

    // ---- searching --------------------------------------------------------------------------

    /// Begins to search unless enough others do: at most half as many as are busy (G-10).
    pub fn start_searching(&self) -> bool {
        if 2 * self.searching.load(Ordering::Relaxed) >= self.active() {
            return false;
        }
        self.searching.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// A searcher found something or gives up. True if it was the last.
    pub fn stop_searching(&self) -> bool {
        // Relaxed: whoever found something makes the look of P3 again, whoever gives up that of S3, each after a fence.
        self.searching.fetch_sub(1, Ordering::Relaxed) == 1
    }

    // ---- the side that goes to sleep --------------------------------------------------------

    /// S1 to S3. `None`: there is something to do, and the worker has a permit. Else it sleeps on its word until it
    /// [`is_awake`](Seat::is_awake). The caller holds a permit, found nothing, and does not search.
    pub fn lie_down(&self, s: &'static Seat, looks: &impl Looks) -> Option<Rest> {
        let mut set = self.set.lock();
        if set.stopping {
            return None;
        }
        set.came_back(s);
        set.release(s);
        set.sleepers.push(s);
        // Relaxed: ordered before our looks by the fence below.
        s.word.store(ASLEEP, Ordering::Relaxed);
        let mut rest = Rest { deadline: i64::MAX, all_idle: set.active == 0, surplus: set.threads > set.limit + 1 };
        let due = looks.first_deadline();
        if set.keeper.map_or(i64::MAX, |k| k.1) > due {
            set.keeper = Some((s, due));
            rest.deadline = due;
        }
        self.publish(&set);
        drop(set);
        sys::heavy_fence(); // S2
        if looks.work() && self.get_up(s, looks) {
            return None;
        }
        // A timer that was armed between our look and S2, when nobody could be woken for it.
        let due = looks.first_deadline();
        if due < self.keeper_deadline.load(Ordering::Relaxed) {
            self.keep(s, due, &mut rest);
        }
        Some(rest)
    }

    /// S3: leaves the sleepers again, if nobody was faster. True: the worker has a permit.
    fn get_up(&self, s: &'static Seat, looks: &impl Looks) -> bool {
        let mut set = self.set.lock();
        let free = set.active < set.limit;
        if !free && !looks.own_work() && set.has_general() {
            return false; // as many as may are at it
        }
        if !set.remove_sleeper(s) {
            return false; // a waker was faster, the word tells
        }
        set.unkeep(s);
        if free {
            set.grant(s);
            s.word.store(AWAKE, Ordering::Relaxed);
        } else {
            set.queue(s, true);
        }
        self.publish(&set);
        free
    }

    /// Becomes the keeper of a deadline before all that are kept.
    fn keep(&self, s: &'static Seat, due: i64, rest: &mut Rest) {
        let mut set = self.set.lock();
        let earlier = set.keeper.is_none_or(|k| due < k.1);
        if earlier && set.sleepers.iter().any(|x| core::ptr::eq(*x, s)) {
            set.keeper = Some((s, due));
            rest.deadline = due;
            self.publish(&set);
        }
    }

    /// A sleeper that keeps no timer any more, but goes on sleeping: becomes the keeper of what is armed, unless an earlier
    /// deadline is kept (I4). Until when it sleeps.
    pub fn keep_on(&self, s: &'static Seat, looks: &impl Looks) -> i64 {
        let mut rest = Rest { deadline: i64::MAX, all_idle: false, surplus: false };
        let due = looks.first_deadline();
        if due < self.keeper_deadline.load(Ordering::Relaxed) {
            self.keep(s, due, &mut rest);
        }
        rest.deadline
    }

    /// A sleeper's deadline has come: keeps no timers any more. If one is `due`, it gets up, or queues for a permit if none
    /// is free. True: it is awake.
    pub fn deadline_passed(&self, s: &'static Seat, due: bool) -> bool {
        let mut set = self.set.lock();
        if s.word.load(Ordering::Relaxed) == AWAKE {
            return true;
        }
        set.unkeep(s);
        let mut up = false;
        if due && set.remove_sleeper(s) {
            up = set.active < set.limit;
            if up {
                set.grant(s);
                s.word.store(AWAKE, Ordering::Relaxed);
            } else {
                set.queue(s, true);
            }
        }
        self.publish(&set);
        up
    }

    /// A sleeper's thread wants to end: true if it is surplus and nobody was faster.
    pub fn retire(&self, s: &'static Seat) -> bool {
        let mut set = self.set.lock();
        let yes = set.threads > set.limit + 1 && set.remove_sleeper(s);
        if yes {
            set.unkeep(s);
            set.threads -= 1;
            self.publish(&set);
        }
        yes
    }

    // ---- permits ----------------------------------------------------------------------------

    /// Gives the permit up: the thread is about to block, or goes on without.
    pub fn leave(&self, s: &'static Seat) {
        let mut set = self.set.lock();
        set.release(s);
        self.publish(&set);
    }

    /// Takes a permit if one is free, or queues for it. True: it has one; else it sleeps on its word. `pressing`: it has something
    /// that no other worker can run.
    pub fn enter(&self, s: &'static Seat, pressing: bool) -> bool {
        let mut set = self.set.lock();
        set.came_back(s);
        if s.is_permitted() {
            return true;
        }
        let free = set.admit(s, pressing);
        self.publish(&set);
        free
    }

    /// Gives the permit to the first who waits for one and queues behind them all. True: nobody waits, or `s` has no permit;
    /// else it sleeps on its word. `pressing`: as for [`enter`](Gate::enter).
    pub fn share(&self, s: &'static Seat, pressing: bool) -> bool {
        let mut set = self.set.lock();
        if set.waiting.is_empty() || !s.is_permitted() {
            return true;
        }
        set.queue(s, pressing);
        set.release(s);
        self.publish(&set);
        false
    }

    /// Takes the permit of a worker that neither yields nor returns, after having called `tell`. False if it had none.
    pub fn revoke(&self, s: &'static Seat, tell: impl FnOnce()) -> bool {
        let mut set = self.set.lock();
        if !s.is_permitted() || set.stopping {
            return false;
        }
        tell();
        if !s.revoked.swap(true, Ordering::Relaxed) {
            set.revoked += 1;
        }
        set.release(s);
        self.publish(&set);
        true
    }

    /// Sets how many permits there are; returns the former number and by how many more are out. 0 only asks.
    pub fn set_limit(&self, n: usize) -> (usize, usize) {
        let mut set = self.set.lock();
        let old = set.limit;
        if n == 0 || n == old {
            return (old, 0);
        }
        set.limit = n;
        set.hand_on();
        self.publish(&set);
        (old, set.active.saturating_sub(n))
    }

    /// Counts a thread that is about to become a worker and takes its permit by [`enter`](Gate::enter).
    pub fn join(&self) {
        self.set.lock().threads += 1;
    }

    /// A worker's thread ends or leaves; its permit goes to others.
    pub fn quit(&self, s: &'static Seat) {
        let mut set = self.set.lock();
        set.came_back(s);
        set.release(s);
        set.threads -= 1;
        self.publish(&set);
    }

    // ---- looks ------------------------------------------------------------------------------

    /// Whether nobody who sleeps keeps a timer that is due at `when`; a look that needs a fence before it.
    pub fn is_unkept(&self, when: i64) -> bool {
        when < self.keeper_deadline.load(Ordering::Relaxed)
    }

    /// Number of permits that are out; a copy that may lag behind.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Number of workers that may be on a goroutine, with a permit or without; a copy that may lag behind.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Whether anybody waits for a permit; a copy that may lag behind.
    #[inline(always)]
    pub fn is_contended(&self) -> bool {
        self.contended.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for a permit for what no other worker can run; a copy that may lag behind.
    #[inline(always)]
    pub fn is_pressed(&self) -> bool {
        self.pressed.load(Ordering::Relaxed)
    }

    /// If nobody runs, with a permit or without, and nobody waits for one: the number of permits given so far. Two equal answers mean that
    /// nobody ran in between.
    pub fn quiet(&self) -> Option<u64> {
        let set = self.set.lock();
        (set.active == 0 && set.revoked == 0 && set.waiting.is_empty()).then_some(set.grants)
    }

    /// Shutdown: nobody sleeps any more. Returns the number of threads.
    pub fn stop(&self) -> usize {
        let mut set = self.set.lock();
        set.stopping = true;
        let mut all = std::mem::take(&mut set.sleepers);
        all.extend(set.waiting.drain(..));
        set.pressing = 0;
        for s in all {
            set.grant(s);
            s.rouse();
        }
        self.publish(&set);
        set.threads
    }
}

#[cfg(all(test, loom))]
mod tests;
