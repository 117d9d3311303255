//! A worker: one OS thread that runs goroutines, and everything that is private to it.
//!
//! *Where it sits*: layer 3. `sched::{park, ready, spawn}` act on the current worker; `find` fills it
//! with work when it has none; `idle` decides whether it may run at all.
//!
//! # State
//!
//! The run queue is in three places: `next`, the goroutine that was readied last and continues the
//! time slice of the one that readied it; `bound`, the started pinned goroutines of this thread, seen by
//! nobody else; `queue`, all others, which thieves may take, with those whose timers have fired in a chain of
//! their own. `inbox` is where other threads put pinned goroutines of this worker.
//!
//! # Invariants
//!
//! * **K1** All `Cell`s and `UnsafeCell`s are touched by the owning thread only.
//! * **K2** `current` is the goroutine whose stack the thread is on; null on the thread's own stack.
//! * **K3** `prev` is the `on_cpu` of the goroutine that was switched away from, which the context that
//!   runs now has still to clear; `nobody`'s when there is none. It is set before each switch.
//! * **K4** A worker runs goroutines only while it holds a permit (`gate`).

use super::gate::Seat;
use super::idle::Attention;
use super::next::LOOK_AROUND;
use super::pools::Pools;
use super::runs;
use crate::arch::{self, Context};
use crate::cell::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicU8, Ordering};
use crate::errno::Errno;
use crate::goroutine::{State, G, PINNED, STARTED};
use crate::inbox::Inbox;
use crate::list::Fifo;
use crate::oncpu::OnCpu;
use crate::queue::LocalQueue;
use crate::rng::Rng;

use crate::dump;
use core::ptr::{null, null_mut};
use std::cell::{Cell, UnsafeCell};

/// See the module's text.
#[repr(C, align(128))]
pub struct Worker {
    // -- the switch: owner only
    /// K2.
    pub current: Cell<*mut G>,
    /// K3.
    pub(super) prev: Cell<*const OnCpu>,
    /// In `prev`, if there is none.
    pub(super) nobody: OnCpu,
    /// A goroutine chosen on a goroutine's stack for the loop to run.
    pub pending: Cell<*mut G>,
    /// The thread's own context while it runs a goroutine.
    pub thread_ctx: UnsafeCell<Context>,
    pub(super) next_bound: Cell<*mut G>,
    pub(super) bound: UnsafeCell<Fifo<G>>,
    /// Of a chain that is longer than this the next ones are asked for: see `next`.
    pub(super) near: Cell<usize>,
    /// For how many more turns also of a shorter one.
    pub(super) far_left: Cell<usize>,
    /// There are others in the queue than those in its chain, unless thieves have taken all.
    pub(super) by_turns: Cell<bool>,
    /// Decisions until it looks around.
    pub(super) tick: Cell<u32>,
    /// 0: the slice has just begun; `MAX_HOPS`: it is used up.
    pub(super) hops: Cell<u32>,
    pub(super) chain_began: Cell<i64>,
    /// The one in `bound` has used up its slice, and those in the queue go first, up to this slice or this moment (0: it does not wait).
    pub(super) waits_for: Cell<u32>,
    pub(super) waits_until: Cell<i64>,
    pub(super) look: Cell<u32>,
    /// When it first saw that somebody waits for a permit for what only they can run; 0: nobody does.
    pub(super) pressed_since: Cell<i64>,
    /// Class of the host interpreter whose lock this thread may hold; 0: none.
    pub held_class: Cell<u8>,
    /// Copy of it for the monitor.
    pub hosts: AtomicBool,
    /// Calls that a host has counted: see [`turn`](super::host::turn).
    pub calls: Cell<u8>,
    pub(super) pools: UnsafeCell<Pools>,
    /// Random choices of this worker.
    pub rng: UnsafeCell<Rng>,
    /// Wake-ups to leave out before the next attempt, see `sched::wake_for`.
    pub wake_skip: Cell<u32>,
    /// When it stole what it runs now; 0: it did not.
    pub stole_at: Cell<i64>,
    /// And how many goroutines that were.
    pub stole: Cell<usize>,
    /// How many switches it had made then, if it had been woken for it.
    pub stole_woken: Cell<u64>,
    /// Counted as searching by the gate.
    pub searching: Cell<bool>,
    /// Started pinned goroutines that belong to this thread.
    pub homed: Cell<usize>,
    /// The thread is fit for those who are pinned to it alone: see `exclusive`.
    pub spoilt: Cell<bool>,
    /// It keeps to its own `run`: see `runs`.
    pub apart: Cell<bool>,
    /// Declared blocking sections nest.
    pub block_depth: Cell<u32>,
    /// Where an OS thread naps that was told to go on and is to be woken at the next switch; null: nobody.
    pub(super) owed: Cell<*const AtomicU32>,
    // -- shared
    /// Stealable goroutines.
    pub queue: LocalQueue<G>,
    /// Pinned goroutines readied by other threads.
    pub inbox: Inbox<G>,
    /// Things the monitor or the idle set want of this worker; polled at every scheduling decision.
    pub attention: Attention,
    /// How often it began and ended waking another worker: odd while it does so. Who searches does not hold that time against it.
    pub wakes: AtomicU64,
    /// Number of the present time slice; the monitor sees whether it goes on for long.
    pub slice: AtomicU32,
    /// Whether it may run, or sleeps: see `gate`.
    pub seat: Seat,
    /// The goroutine `run` waits for, on a runner; null before and after.
    pub main_goroutine: AtomicPtr<G>,
    /// Number of the `run` this worker serves; 0: none.
    pub run: AtomicU32,
    /// How it stands.
    pub main_done: MainState,
    /// Its thread serves it now: what is in its inbox will run.
    pub served: AtomicBool,
    /// In a declared blocking section.
    pub in_block: AtomicBool,
    /// Position in the table of workers, and timer shard.
    pub index: usize,
    /// Statistics, written by the owner.
    pub stats: Counters,
    /// Serves the thread that called `run`.
    pub is_runner: bool,
}

/// Whether the main goroutine of a `run` still goes on.
pub struct MainState(AtomicU8);

const GOES_ON: u8 = 0;
const DONE: u8 = 1;
const DEADLOCKED: u8 = 2;
const RETURNED: u8 = 3;

impl MainState {
    const fn new() -> MainState {
        MainState(AtomicU8::new(GOES_ON))
    }
    /// A new `run` begins.
    pub fn reset(&self) {
        self.0.store(GOES_ON, Ordering::Relaxed);
    }
    /// Main returned, or its panic was reported and the rest goes on: all but its end, which makes it known.
    pub fn set_returned(&self) {
        self.0.store(RETURNED, Ordering::Relaxed);
    }
    /// Main has ended, on whatever thread. True: by itself, so that its `run` is over.
    pub fn end(&self) -> bool {
        // Release: pairs with the Acquire in `state`; the result, and all that main did, come before.
        self.0.compare_exchange(RETURNED, DONE, Ordering::Release, Ordering::Relaxed).is_ok()
    }
    /// Nothing could ever run again, unless main has returned meanwhile. Published by waking the worker.
    pub fn set_deadlocked(&self) {
        let _ = self.0.compare_exchange(GOES_ON, DEADLOCKED, Ordering::Relaxed, Ordering::Relaxed);
    }
    /// Main has ended by itself.
    pub fn is_done(&self) -> bool {
        self.state() == DONE
    }
    /// Either of them.
    pub fn is_over(&self) -> bool {
        matches!(self.state(), DONE | DEADLOCKED)
    }
    fn state(&self) -> u8 {
        // Acquire: pairs with the Release in `end`.
        self.0.load(Ordering::Acquire)
    }
}

/// What a worker counts. Read by anybody, a little late.
#[derive(Default)]
pub struct Counters {
    /// Goroutines it started.
    pub created: AtomicU64,
    /// Goroutines it saw end.
    pub finished: AtomicU64,
    /// Switches into a goroutine.
    pub switches: AtomicU64,
    /// Successful thefts.
    pub steals: AtomicU64,
    /// Goroutines parked.
    pub parks: AtomicU64,
}

/// Adds one to a counter of which the caller is the only writer.
#[inline(always)]
pub fn bump(c: &AtomicU64) {
    c.store(c.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

// SAFETY: by K1 the unsynchronised fields are used by the owning thread only; all others are atomics
// or types that synchronise themselves.
unsafe impl Sync for Worker {}
// SAFETY: a worker is created by one thread and then owned by another, before it runs.
unsafe impl Send for Worker {}

/// The worker of the calling OS thread, if it is one. Never kept across a switch.
#[inline(always)]
pub fn current() -> Option<&'static Worker> {
    let p: *const Worker = arch::tls_get().cast();
    // SAFETY: only `bind` and `unbind` set the word, to a worker that lives until shutdown has joined
    // its thread.
    unsafe { p.as_ref() }
}

/// The same for a goroutine, which is always on one.
///
/// # Safety
/// The calling code runs on a goroutine's stack.
#[inline(always)]
pub unsafe fn here() -> &'static Worker {
    let p: *const Worker = arch::tls_get().cast();
    // SAFETY: as above; goroutines run on threads of workers alone, between `bind` and `unbind`.
    unsafe { &*p }
}

impl Worker {
    /// A worker that owns nothing yet.
    pub fn new(index: usize, is_runner: bool) -> Worker {
        Worker {
            current: Cell::new(null_mut()),
            prev: Cell::new(null()),
            nobody: OnCpu::new(),
            pending: Cell::new(null_mut()),
            thread_ctx: UnsafeCell::new(Context::empty()),
            next_bound: Cell::new(null_mut()),
            bound: UnsafeCell::new(Fifo::new()),
            near: Cell::new(super::next::FAR),
            far_left: Cell::new(0),
            by_turns: Cell::new(false),
            tick: Cell::new(LOOK_AROUND),
            hops: Cell::new(0),
            chain_began: Cell::new(0),
            waits_for: Cell::new(0),
            waits_until: Cell::new(0),
            look: Cell::new(0),
            pressed_since: Cell::new(0),
            held_class: Cell::new(0),
            hosts: AtomicBool::new(false),
            calls: Cell::new(0),
            pools: UnsafeCell::new(Pools::new()),
            rng: UnsafeCell::new(Rng::new(super::seed(index))),
            wake_skip: Cell::new(0),
            stole_at: Cell::new(0),
            stole: Cell::new(0),
            stole_woken: Cell::new(super::find::NOT_WOKEN),
            searching: Cell::new(false),
            homed: Cell::new(0),
            spoilt: Cell::new(false),
            apart: Cell::new(false),
            block_depth: Cell::new(0),
            owed: Cell::new(core::ptr::null()),
            run: AtomicU32::new(0),
            main_goroutine: AtomicPtr::new(null_mut()),
            main_done: MainState::new(),
            queue: LocalQueue::new(),
            inbox: Inbox::new(),
            attention: Attention::new(),
            wakes: AtomicU64::new(0),
            slice: AtomicU32::new(0),
            seat: Seat::new(),
            served: AtomicBool::new(false),
            in_block: AtomicBool::new(false),
            index,
            stats: Counters::default(),
            is_runner,
        }
    }

    /// A word that no other thread has, not 0.
    #[inline(always)]
    pub fn word(&self) -> usize {
        (&raw const *self).addr()
    }

    /// A random number below `n`, at most 2^32, for its own goroutines.
    #[inline(always)]
    pub fn random_below(&self, n: usize) -> usize {
        // SAFETY: K1, and nobody else uses it meanwhile.
        unsafe { (*self.rng.get()).below(n as u32) as usize }
    }

    /// Makes the calling thread this worker's thread.
    pub fn bind(&'static self) {
        arch::tls_set((&raw const *self).cast_mut().cast());
    }

    /// The calling thread is no worker any more.
    pub fn unbind(&self) {
        arch::tls_set(null_mut());
    }

    // ---- running a goroutine ----------------------------------------------------------------

    /// Gives `g` a stack and a first frame if it has not run before. False, and nothing happens: it must begin elsewhere.
    #[inline(always)]
    pub unsafe fn make_runnable(&self, g: *mut G) -> bool {
        // SAFETY: the caller took g out of a queue, so it owns it (G1); K1 for the pool.
        unsafe {
            if !(*g).has(STARTED) {
                if !runs::may_begin(self, &*g) {
                    return false;
                }
                self.first_run(g);
            }
        }
        true
    }

    /// Notes that `g`, which was made runnable, runs here from now on.
    #[inline(always)]
    pub unsafe fn set_running(&self, g: *mut G) {
        // SAFETY: as above.
        unsafe {
            (*g).on_cpu.take();
            (*g).set_state(State::Running);
        }
        self.current.set(g);
        bump(&self.stats.switches);
    }

    /// Gives a goroutine that has not run its stack and first frame, so that it can only run on this thread.
    ///
    /// # Safety
    /// The caller owns the fresh pinned header (G1), and the calling thread is this worker's.
    pub unsafe fn make_bound(&self, g: *mut G) {
        // SAFETY: by the caller.
        unsafe { self.first_run(g) };
    }

    #[inline(always)]
    unsafe fn first_run(&self, g: *mut G) {
        // SAFETY: as above; the new stack is exclusively ours and its top is aligned by `Stack::top`.
        unsafe {
            if (*g).stack.get().is_none() {
                match (*self.pools.get()).stacks.get() {
                    Ok(s) => (*g).stack.set(s),
                    Err(e) => dump::fatal_errno("cannot map a goroutine's stack", Errno(e.0)),
                }
            }
            let top = (*g).stack.get().top();
            (*(*g).ctx.get()).init(top, super::first_frame, g.cast());
            (*g).set_flags(STARTED);
            if (*g).has(PINNED) {
                // Relaxed: `home` travels with g through the queue that hands it on (G3).
                (*g).home.store((&raw const *self).cast_mut().cast(), Ordering::Relaxed);
                self.homed.set(self.homed.get() + 1);
            }
        }
    }

    /// Completes the switch that led to the context running now (K3).
    #[inline(always)]
    pub fn finish_switch(&self) {
        // SAFETY: headers stay mapped, and so does `nobody`; until on_cpu is false nobody recycles the header.
        unsafe { (*self.prev.get()).saved() };
    }

    // ---- the queues -------------------------------------------------------------------------

    /// Queues a goroutine that became ready, in front of all others.
    #[inline(always)]
    pub unsafe fn push_next(&self, g: *mut G) {
        // SAFETY: the caller owns g (G1) and hands it to the queue; K1.
        unsafe {
            if (*g).is_bound() {
                self.push_next_bound(g);
            } else if self.seat.is_exclusive() {
                super::inject(g);
            } else {
                self.queue.put_next(g);
            }
        }
    }

    /// The same for a new goroutine.
    #[inline(always)]
    pub unsafe fn push_new(&self, g: *mut G) {
        // SAFETY: the caller owns g (G1) and hands it to the queue; K1.
        unsafe {
            if self.seat.is_exclusive() {
                super::inject(g);
            } else if self.queue.owner(|q| q.put_new(g)) {
                self.by_turns.set(true);
            }
        }
    }

    /// The same for one that is bound to this thread.
    #[inline(always)]
    pub unsafe fn push_next_bound(&self, g: *mut G) {
        // SAFETY: the caller owns g (G1) and hands it to the queue; K1.
        unsafe {
            let old = self.next_bound.replace(g);
            if !old.is_null() {
                (*self.bound.get()).push_back(old);
            }
        }
    }

    /// The same for one that is not bound, without a call. False: it cannot be done at once, and nothing has happened.
    #[inline(always)]
    pub unsafe fn push_next_now(&self, g: *mut G) -> bool {
        // SAFETY: the caller owns g (G1) and hands it to the queue; K1.
        !self.seat.is_exclusive() && unsafe { self.queue.put_next_now(g) }
    }

    /// Queues a goroutine behind all others.
    #[inline(always)]
    pub unsafe fn push_back(&self, g: *mut G) {
        // SAFETY: the caller owns g (G1) and hands it to the queue; K1.
        unsafe {
            if (*g).is_bound() {
                (*self.bound.get()).push_back(g);
            } else if self.seat.is_exclusive() {
                super::inject(g);
            } else {
                self.queue.owner(|q| q.push_behind(g));
            }
        }
    }

    /// Queues a goroutine whose timer has fired; one that is bound is bound to this thread.
    ///
    /// It does not go behind those that have not begun: it takes turns with them. A hundred thousand new goroutines may lie
    /// there, and whoever ends first leaves its stack to one of them, while its pages are in the cache.
    #[inline(always)]
    pub unsafe fn push_woken(&self, g: *mut G) {
        // SAFETY: the caller owns g (G1) and hands it to the queue; K1.
        unsafe {
            if (*g).is_bound() || self.seat.is_exclusive() {
                self.push_back(g);
            } else {
                self.queue.owner(|q| q.woken.push_back(g));
                self.by_turns.set(true);
            }
        }
    }

    /// Takes what other threads have put into the inbox.
    pub fn drain_inbox(&self) {
        if self.inbox.is_empty() {
            return;
        }
        // SAFETY: K1; the inbox's goroutines are pinned to this worker.
        unsafe {
            let chain = self.inbox.take_all();
            (*self.bound.get()).append_all(chain);
        }
    }

    /// Whether a worker that has nothing to do should come and take something: there is more than what this worker is about
    /// to run itself, or it cannot run anything now.
    pub fn is_worth_a_visit(&self) -> bool {
        self.queue.len_hint() >= super::find::worth() || (self.queue.has_work_hint() && !self.seat.is_permitted())
    }

    /// Whether it has something to run after the goroutine that runs now, so far as can be seen at once.
    pub fn has_more(&self) -> bool {
        // SAFETY: K1.
        let bound = unsafe { &*self.bound.get() };
        !self.next_bound.get().is_null() || !bound.is_empty() || self.queue.has_work_hint()
    }

    /// Whether started pinned goroutines wait to run on this thread.
    pub fn has_bound_work(&self) -> bool {
        // SAFETY: K1.
        let bound = unsafe { &*self.bound.get() };
        !self.next_bound.get().is_null() || !bound.is_empty() || !self.inbox.is_empty()
    }

    /// Whether something waits that no other worker can run or take.
    pub fn has_own_work(&self) -> bool {
        self.has_bound_work() || !self.pending.get().is_null() || self.seat.is_exclusive()
    }
}
