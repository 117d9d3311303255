//! The worker's loop, and where it looks for work when its own queue is empty.
//!
//! *Where it sits*: layer 3, on the worker's own stack. Goroutines switch to each other directly and
//! come here only when there is nothing local to switch to, or when somebody wants something of the worker.

use super::idle::{self, Slept};
use super::next::LOOK_AROUND;
use super::worker::{bump, Worker};
use super::{host, runs, table, timers, INJECTOR};
use crate::arch;
use crate::cell::{AtomicI64, AtomicU32, AtomicUsize, Ordering};
use crate::goroutine::{G, GIVEN_UP};
use crate::list::Fifo;
use crate::queue::Inner;
use crate::sys;
use core::ptr::null_mut;

/// Goroutines taken from a victim or the injector at once.
const BATCH: usize = crate::inject::TOGETHER;
/// As many from a queue of more than [`LONG`]: the barrier is paid once for all of them.
const LARGE_BATCH: usize = 512;
const LONG: usize = 4096;
/// Passes over all victims before the worker gives up, and pauses between them.
const PASSES: u32 = 8;
/// Turns of the spin loop between two passes.
const PAUSE: u32 = 60;
/// Passes for which a single goroutine is left to a worker that does not switch: some 40 µs, in which whoever has just started
/// two goroutines that talk to each other gets as far as parking.
const PATIENCE: u32 = 48;
/// Passes at the most, when somebody does not get on because it wakes others.
const MAX_PASSES: u32 = 4 * PATIENCE;
/// Most wake-ups left out after fruitless ones: what two goroutines that wake each other do in a millisecond. Then a wake-up is a small part of it,
/// with a search that runs into the queue's owner all the time and a barrier before the thread sleeps again.
const MAX_SKIP: u32 = 32767;

/// A queue that anybody may steal from at once holds so many goroutines.
pub const LEAST: usize = 2;
/// The most that is asked for, after thefts that did not pay.
const MOST: usize = 1 << 24;
/// So many times as many are asked for when more would not have paid either.
const RAISE: usize = 16;
/// Ticks after which a queue of `MANY` is tried again at the latest: 80 ms.
const RETRY: u32 = 16;
/// A queue that is tried again. A shorter one may be that of a few goroutines that talk to each other: they are left together.
const MANY: usize = 64;
/// While no queue is long enough, a worker that does not switch is left alone for so long after a theft that did not pay.
const PAUSE_AFTER_BAD: i64 = 1_000_000;
/// And a worker that may not run what it has, for so long: less than a search takes.
const PAUSE_AT_STARTER: i64 = 50_000;
/// What a theft takes from both sides together, in nanoseconds: the barrier it needs, for which the owner waits.
const THEFT: i64 = 20_000;
/// And for each goroutine: its header, and often what it works on, has to come from the owner's cache, line by line.
const CARRY: i64 = 120;

/// How many goroutines a queue must hold to be worth a theft, or a wake-up. Raised by a theft whose goroutines were done sooner than
/// they had been stolen, back to `LEAST` by one that paid, and after some ticks: what lies in the queues then may be something else ([`Retry`]).
static WORTH: AtomicUsize = AtomicUsize::new(LEAST);

/// The same for goroutines whose timers have fired together, for which a worker would have to be woken: see [`judge_wake`].
static WORTH_WAKING: AtomicUsize = AtomicUsize::new(LEAST);
/// What waking a worker takes, in nanoseconds: from the one that wakes it, from itself until it runs, a theft, and lying down again with
/// another barrier. Half of [`idle::fired`]'s pace: one worker alone that took this longer would still not be late.
const WAKE: i64 = 100_000;

/// Instead of a number of switches.
pub const NOT_WOKEN: u64 = u64::MAX;

/// When the last theft did not pay.
static BAD_AT: AtomicI64 = AtomicI64::new(0);

/// When what did not pay may be tried again: kept by the monitor.
pub struct Retry {
    /// How many goroutines it takes at present.
    worth: &'static AtomicUsize,
    /// Ticks until then.
    left: u32,
    /// How many they will be the next time: more and more, as long as it never pays.
    next: u32,
}

impl Retry {
    /// Of thefts; at the next tick.
    pub const fn of_thefts() -> Retry {
        Retry { worth: &WORTH, left: 0, next: 1 }
    }

    /// Of wake-ups for goroutines whose timers have fired; at the next tick.
    pub const fn of_wakes() -> Retry {
        Retry { worth: &WORTH_WAKING, left: 0, next: 1 }
    }

    /// A tick has passed.
    pub fn tick(&mut self) {
        if self.worth.load(Ordering::Relaxed) <= MANY {
            (self.left, self.next) = (0, 1);
        } else if self.left == 0 {
            self.worth.store(MANY, Ordering::Relaxed);
            self.left = self.next;
            self.next = (2 * self.next).min(RETRY);
        } else {
            self.left -= 1;
        }
    }
}

/// How many goroutines a queue must hold for a thief to take some while its owner runs them.
pub fn worth() -> usize {
    WORTH.load(Ordering::Relaxed)
}

/// How many goroutines whose timers have fired must lie in a queue for another worker to be woken.
pub fn worth_waking() -> usize {
    WORTH_WAKING.load(Ordering::Relaxed)
}

/// What a worker that was woken came for took so many nanoseconds: was it enough for two? Whether it was woken for timers is not
/// asked; what others make ready is worth a wake-up in any case.
fn judge_wake(took: i64) {
    let worth = if took < WAKE { (2 * worth_waking()).min(MOST) } else { LEAST };
    WORTH_WAKING.store(worth, Ordering::Relaxed);
}

/// Wake-ups in a row that found nothing, as the number of attempts to leave out.
static FRUITLESS: AtomicU32 = AtomicU32::new(0);

/// How many wake-ups a worker should leave out now.
pub fn fruitless_wakes() -> u32 {
    FRUITLESS.load(Ordering::Relaxed)
}

impl Worker {
    /// Runs goroutines until told to stop. Returns true if the thread retires as surplus.
    pub fn run_loop(&'static self) -> bool {
        if self.seat.take_woken_to_search() {
            self.searching.set(true);
        }
        loop {
            if self.attention.any() || !self.seat.is_permitted() || self.main_done.is_over() {
                self.stop_searching(); // it may have to wait for a permit now
                let stop = self.attention.take_stop();
                if (stop && (!self.is_runner || crate::runtime::is_stopping())) || self.main_done.is_over() {
                    self.hand_over();
                    return false;
                }
                self.release_host(); // attending may mean to wait for a permit
                idle::attend(self);
                if self.attention.take_preempt() {
                    self.end_slice();
                }
            }
            let mut g = self.pending.replace(null_mut());
            if g.is_null() {
                g = self.find();
            }
            if !g.is_null() {
                // SAFETY: g was taken out of a queue (G1).
                unsafe { self.run(g) };
                continue;
            }
            if self.attention.any() || self.main_done.is_over() {
                self.stop_searching();
                continue;
            }
            self.release_host();
            self.trim_stacks();
            if idle::sleep(self) == Slept::Retire {
                self.hand_over();
                return true;
            }
            if self.seat.take_woken_to_search() {
                self.searching.set(true);
            }
        }
    }

    /// Runs `g` and whoever it switches to, until somebody switches back here.
    unsafe fn run(&self, g: *mut G) {
        // SAFETY: g is ours (G1); its context is saved once on_cpu is false (G2).
        unsafe {
            if (*g).class.get() == GIVEN_UP {
                return; // it stays as it is for ever
            }
            (*g).on_cpu.wait_until_saved();
            if !self.make_runnable(g) {
                runs::keep_apart(self, g);
                return;
            }
            if (*g).class.get() != self.held_class.get() {
                self.release_host();
                self.held_class.set((*g).class.get());
                self.hosts.store((*g).class.get() != 0, Ordering::Relaxed);
            }
            self.prev.set(&raw const self.nobody);
            self.set_running(g);
            let globals = crate::cxx::save();
            crate::sanitize::before_switch(null_mut(), g);
            arch::switch(self.thread_ctx.get(), (*g).ctx.get());
            crate::sanitize::after_switch();
            self.finish_switch();
            crate::cxx::restore(globals);
        }
    }

    /// Lets the host interpreter's lock go before the thread sleeps or does something else.
    fn release_host(&self) {
        let class = self.held_class.replace(0);
        if class != 0 {
            host::release(class);
        }
    }

    /// Looks everywhere, in the order of cost. Null: there is nothing to do.
    fn find(&'static self) -> *mut G {
        if timers::due_for(self.index) {
            idle::fired(timers::run_due_for(self.index));
        }
        self.drain_inbox();
        let g = self.pick_local();
        if !g.is_null() {
            self.queue_injected();
            self.found();
            return g;
        }
        if self.seat.is_exclusive() {
            self.stop_searching();
            return null_mut();
        }
        let g = self.run_first(self.injected_share());
        if !g.is_null() {
            self.found();
            return g;
        }
        self.search()
    }

    fn start_searching(&self) -> bool {
        if !self.searching.get() {
            self.searching.set(idle::GATE.start_searching());
        }
        self.searching.get()
    }

    /// True if it was the last one searching.
    fn stop_searching(&self) -> bool {
        self.searching.replace(false) && idle::GATE.stop_searching()
    }

    /// Something was found: if we were the last one searching, there may be more for others.
    fn found(&self) {
        if self.stop_searching() {
            wake_for_the_rest();
        }
    }

    /// Gives the injector its turn behind what is here: where timers are due at every look around, this is the only look at it.
    fn queue_injected(&self) {
        if !self.seat.is_exclusive() {
            let chain = self.injected_turn();
            // SAFETY: the chain's goroutines are ours now (G1), none is bound; K1.
            unsafe { self.queue.owner(|q| q.append_all(chain)) };
        }
    }

    /// Takes what the injector has a turn for at a look around: a batch at every fourth, else one. So what lies there gets as many turns as what lies here,
    /// also where that never ends because it yields.
    fn injected_turn(&self) -> Fifo<G> {
        match self.look.get() % (BATCH as u32 / LOOK_AROUND) {
            0 => self.injected_share(),
            _ => INJECTOR.pop_many(1),
        }
    }

    /// Takes a fair share of the injector.
    fn injected_share(&self) -> Fifo<G> {
        if INJECTOR.is_empty() {
            return Fifo::new();
        }
        self.came_from_far();
        let share = INJECTOR.len() / idle::GATE.active().max(1) + 1;
        INJECTOR.pop_many(share.min(BATCH))
    }

    /// Takes the first for who queues the others.
    fn run_first(&self, mut chain: Fifo<G>) -> *mut G {
        let g = chain.pop_front();
        if !chain.is_empty() {
            // SAFETY: as in `queue_injected`.
            unsafe { self.queue.owner(|q| q.append_all(chain)) };
        }
        g
    }

    /// The goroutine that runs at a look around because it has come from elsewhere; null: there is none.
    pub(super) fn take_injected_turn(&self) -> *mut G {
        self.run_first(self.injected_turn())
    }

    /// Tries to steal, for a bounded time.
    fn search(&'static self) -> *mut G {
        self.judge_theft();
        let woken = self.searching.get();
        if !woken && !self.start_searching() {
            // Enough others search. It may be our CPU that one of them waits for, and lying down would see the work it has not fetched yet.
            sys::yield_thread();
            return null_mut();
        }
        let g = self.search_passes();
        if !g.is_null() {
            FRUITLESS.store(0, Ordering::Relaxed);
            bump(&self.stats.steals);
            self.stole_woken.set(if woken { self.stats.switches.load(Ordering::Relaxed) } else { NOT_WOKEN });
        } else if woken {
            judge_wake(0);
            let f = FRUITLESS.load(Ordering::Relaxed);
            FRUITLESS.store((2 * f + 1).min(MAX_SKIP), Ordering::Relaxed);
        }
        let last = self.stop_searching();
        if last && !g.is_null() {
            wake_for_the_rest();
        }
        g
    }

    /// The worker has run dry: did its last theft pay?
    fn judge_theft(&self) {
        let at = self.stole_at.replace(0);
        if at != 0 {
            let now = timers::now();
            let took = now - at;
            let loot = self.stole.get() as i64;
            let woken = self.stole_woken.replace(NOT_WOKEN);
            if woken != NOT_WOKEN {
                // It may have found more to run meanwhile, what its own timers started, for one.
                let ran = (self.stats.switches.load(Ordering::Relaxed) - woken) as i64;
                judge_wake(if ran > loot { took * loot / ran } else { took });
            }
            let worth = if took < CARRY * loot {
                (RAISE * worth()).min(MOST)
            } else if took < THEFT {
                (2 * worth()).min(MOST)
            } else {
                LEAST
            };
            WORTH.store(worth, Ordering::Relaxed);
            BAD_AT.store(if worth == LEAST { 0 } else { now }, Ordering::Relaxed);
        }
    }

    fn search_passes(&'static self) -> *mut G {
        let _away = sys::Absence::of(self.word());
        let mut seen = Seen::default();
        // Where timers follow each other closely it is back soon.
        let passes = if idle::is_paced() { 1 } else { PASSES };
        for pass in 0..MAX_PASSES {
            self.new_slice(); // to the monitor a searching worker is not stuck, however slowly it comes round on a busy machine
            seen.waits = false;
            let g = self.steal(pass, &mut seen);
            if !g.is_null() {
                return g;
            }
            if pass + 1 >= passes && !seen.waits {
                break;
            }
            if !INJECTOR.is_empty() {
                let g = self.run_first(self.injected_share());
                if !g.is_null() {
                    return g;
                }
            }
            if !self.inbox.is_empty() {
                self.drain_inbox();
                return self.pick_local();
            }
            if self.attention.needs_loop() {
                return null_mut();
            }
            if pass >= PASSES {
                sys::yield_thread(); // perhaps we are on the CPU of the one we wait for
                continue;
            }
            for _ in 0..PAUSE {
                core::hint::spin_loop();
            }
        }
        null_mut()
    }

    /// One pass over all other workers, from a random one on.
    fn steal(&'static self, pass: u32, seen: &mut Seen) -> *mut G {
        let n = table::len();
        // SAFETY: K1.
        let start = unsafe { (*self.rng.get()).below(n as u32) } as usize;
        for i in 0..n {
            let at = (start + i) % n;
            let Some(v) = table::get(at) else { continue };
            if core::ptr::eq(v, self) {
                continue;
            }
            let worth = worth();
            if v.queue.len_hint() < worth && !(v.queue.has_work_hint() && seen.leaves_it(at, v, pass, worth)) {
                continue;
            }
            let g = self.steal_from(v);
            if !g.is_null() {
                return g;
            }
        }
        null_mut()
    }

    /// Takes half of what `v` has, the slot in front only if nothing else is there. A single goroutine is taken only if `v` has
    /// not switched during a long search: else `v` is about to run it itself, with its data still in the cache, and a
    /// pinned one would be torn from the goroutine it talks to for good. Not more, also if `v` may not run it now: what the thief runs first may
    /// block its thread, and those who could free it would be gone with it.
    fn steal_from(&self, v: &'static Worker) -> *mut G {
        let most = if v.queue.len_hint() > LONG { LARGE_BATCH } else { BATCH };
        let taken = v.queue.try_steal(|q| {
            let mut chain = q.take_half(most);
            let g = if chain.is_empty() { q.take_next() } else { chain.pop_front() };
            (g, chain)
        });
        let Some((g, rest)) = taken else { return null_mut() };
        if !g.is_null() {
            self.stole_at.set(timers::now());
            self.stole.set(1 + rest.len());
            self.came_from_far();
            // SAFETY: the chain's goroutines are ours now (G1); K1 for our queue.
            unsafe { self.queue.owner(|q| q.append_all(rest)) };
        }
        g
    }

    /// Before the thread leaves the loop: what others can run goes to them.
    fn hand_over(&self) {
        self.stop_searching();
        self.release_host();
        let g = self.pending.replace(null_mut());
        if !g.is_null() {
            // SAFETY: it was taken out of a queue by us (G1).
            unsafe { self.push_back(g) };
        }
        self.share_queue();
        self.flush_pools();
    }

    /// Puts all that others can run where they find it.
    pub fn share_queue(&self) {
        // SAFETY: K1.
        unsafe { self.queue.owner(to_injector) };
        if !INJECTOR.is_empty() {
            idle::wake_one();
        }
    }

    /// Monitor: the same for a worker without a permit that nobody robs, because those who have one never run dry. Go hands over all that a
    /// blocked thread had, too. It can be all, as there is no thief who could block with it.
    pub fn offer_queue(&self) {
        self.queue.try_steal(to_injector);
        // With a full fence: whoever lies down may have looked at the injector before this, and at the queue after; pairs with S2.
        if idle::GATE.pushed_outside() {
            idle::wake_one();
        }
    }
}

/// Empties a queue into the injector. In one step, so that at any moment what is there is seen in one or the other.
fn to_injector(q: &mut Inner<G>) {
    let next = q.take_next();
    if !next.is_null() {
        // SAFETY: it was taken out of the queue (G1).
        unsafe { INJECTOR.push(next) };
    }
    INJECTOR.push_all(q.take_all());
}

/// The last searching worker has found something: if there is more, anywhere, somebody else should look. While it
/// searched, others relied on it and woke nobody.
fn wake_for_the_rest() {
    // With a full fence: "nobody searches" before the look at the queues; pairs with that of whoever relied on us.
    if idle::GATE.pushed_outside() && (!INJECTOR.is_empty() || table::any(Worker::is_worth_a_visit)) {
        idle::wake_one();
    }
}

/// What a search has seen so far.
#[derive(Default)]
struct Seen {
    /// Of the first workers: how many switches they had made, how far they were with waking others, and in which pass.
    marks: [(u64, u64, u32); 16],
    /// Somebody has a single goroutine and does not switch: worth some more passes.
    waits: bool,
}

impl Seen {
    /// Whether `v` has had its single goroutine for long without switching, or may not run it. The time it spends on waking others, the thread that
    /// searches here perhaps, does not count.
    fn leaves_it(&mut self, at: usize, v: &Worker, pass: u32, worth: usize) -> bool {
        if !v.seat.is_permitted() {
            // It cannot run anything now. But it may be starting more, and each theft holds it up: what it starts meanwhile comes with the next one.
            let wait = timers::now() - BAD_AT.load(Ordering::Relaxed) < PAUSE_AT_STARTER;
            self.waits |= wait;
            return !wait;
        }
        if worth == MOST && timers::now() - BAD_AT.load(Ordering::Relaxed) < PAUSE_AFTER_BAD {
            return false;
        }
        let (switches, wakes) = (v.stats.switches.load(Ordering::Relaxed), v.wakes.load(Ordering::Relaxed));
        let Some(mark) = self.marks.get_mut(at) else { return pass + 1 >= PASSES };
        if mark.2 == 0 {
            *mark = (switches, wakes, pass + 1);
        }
        if mark.0 != switches {
            return false;
        }
        if mark.1 != wakes || wakes % 2 == 1 {
            *mark = (switches, wakes, pass + 1);
        }
        self.waits = true;
        pass + 1 - mark.2 >= PATIENCE
    }
}
