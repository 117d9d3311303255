//! The scheduler's four verbs: [`spawn`], [`park`], [`ready`], [`yield_now`].
//!
//! *Where it sits*: layer 3. Everything above (channels, locks, timers, I/O) blocks and wakes through
//! this file alone; below it are the run queues, the stacks and the context switch. README.md beside
//! this file has the protocols in prose: parking, waking, going idle, permits, time slices.
//!
//! # Invariants
//!
//! * **V1** `park` is called by a goroutine after it has published itself to whoever will ready it; the one
//!   who claims it calls `ready` exactly once. `ready` may come before the parker has left its stack.
//! * **V2** No lock is held and no user code runs inside a verb.
//! * **V3** After any verb that may switch, everything that was read from the worker is stale.

pub mod blocking;
pub mod deadlock;
pub mod exclusive;
mod find;
pub mod gate;
pub mod host;
pub mod idle;
pub mod monitor;
mod next;
mod pools;
pub mod runs;
pub mod table;
mod waiting;
mod waking;
pub mod worker;

use crate::arch;
use crate::cell::{AtomicU64, Ordering};
use crate::error::{Error, NOWAIT};
use crate::goroutine::{Reason, State, CANCELABLE, EXCLUSIVE, G};
use crate::inject::Injector;
use crate::list::Fifo;
pub use pools::MOST_POOLED;
pub use waiting::{
    bound_end, bound_end_on, is_cancelable, me, node_of, plain_party, sleep_for, sleep_to, wait, wait_here,
    waits_plainly,
};
pub use waking::{
    ready, ready_all, ready_chain, ready_from_sleep, ready_goroutine, ready_goroutine_of, ready_here, ready_soon, Walk,
};

pub(crate) use crate::timers;
use crate::{hooks, rank, stack, sys};
use core::cell::Cell;
use core::ptr::null_mut;
use worker::{bump, Worker};

/// Goroutines from outside, and what workers cannot keep.
pub static INJECTOR: Injector<G> = Injector::new();
/// Numbers a worker takes at once.
pub const ID_BATCH: u64 = 64;
/// 1 is the first `run`'s main goroutine.
static NEXT_ID: AtomicU64 = AtomicU64::new(2);
/// Started and finished by threads that are not workers.
pub static FOREIGN_CREATED: AtomicU64 = AtomicU64::new(0);

/// Seed of a worker's random choices; the deterministic mode replaces it.
pub fn seed(index: usize) -> u64 {
    (sys::now() as u64) ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// A range of fresh goroutine numbers.
pub fn take_ids(n: u64) -> u64 {
    NEXT_ID.fetch_add(n, Ordering::Relaxed)
}

// ---- spawn --------------------------------------------------------------------------------------

/// Makes a new goroutine runnable. The caller filled in its entry and attributes.
///
/// # Safety
/// `g` is a fresh header owned by the caller (G1).
#[inline]
pub unsafe fn spawn(g: *mut G) {
    // SAFETY: by the caller.
    unsafe { spawn_on(worker::current(), g) };
}

/// The same for who has asked for the worker and not been switched since.
///
/// # Safety
/// As for [`spawn`]; `w` is the caller's worker.
#[inline(always)]
pub unsafe fn spawn_on(w: Option<&Worker>, g: *mut G) {
    // SAFETY: ours by the caller; the queue takes it over.
    unsafe {
        crate::sanitize::release(g.cast());
        (*g).set_state(State::Runnable);
        match w {
            Some(w) => {
                bump(&w.stats.created);
                w.push_new(g);
                wake_for(w);
            }
            None => {
                FOREIGN_CREATED.fetch_add(1, Ordering::Relaxed);
                inject(g);
            }
        }
    }
}

/// Calls `f` if `g` lies in the slot in front of the caller's own queue: so long it neither runs nor ends, and nobody takes it from
/// there before `f` has returned. False: it is somewhere else.
///
/// # Safety
/// `g` is a valid header; `f` is short and calls no verb.
#[inline(always)]
pub unsafe fn while_next(g: *mut G, f: impl FnOnce()) -> bool {
    let Some(w) = worker::current() else { return false };
    // SAFETY: K1: the calling thread is the queue's owner.
    unsafe {
        w.queue.owner_looks(|q| {
            let here = q.next == g;
            if here {
                f();
            }
            here
        })
    }
}

/// Puts a goroutine where every worker finds it, and wakes one.
pub(super) unsafe fn inject(g: *mut G) {
    // SAFETY: the caller owns g (G1).
    unsafe { INJECTOR.push(g) };
    pushed_outside();
}

/// The same for a chain.
fn inject_all(chain: Fifo<G>) {
    INJECTOR.push_all(chain);
    pushed_outside();
}

fn pushed_outside() {
    if idle::GATE.pushed_outside() {
        idle::wake_one();
    }
}

/// Wakes an idle worker for work in the queue of `w`, unless that was fruitless of late.
///
/// A pair of goroutines that wake each other leaves nothing to steal: the woken worker finds the slot in
/// front already taken, over and over. So each fruitless wake-up doubles the number of attempts that
/// are left out after it, and a successful theft, whoever's, ends all of this. So it is with one goroutine behind the slot, which thieves
/// leave to an owner that switches. As many as they take are always worth a wake-up; and the monitor looks at the queues of busy workers
/// in any case.
#[inline(always)]
pub fn wake_for(w: &Worker) {
    if idle::GATE.pushed_here() {
        wake_for_slow(w);
    }
}

/// The rest of [`wake_for`], if the gate says so.
#[cold]
pub fn wake_for_slow(w: &Worker) {
    let skip = w.wake_skip.get().min(find::fruitless_wakes());
    let behind = w.queue.len_hint();
    // In a blocking section, or revoked, it does not come to run its queue itself.
    let runs_it = w.seat.is_permitted();
    if skip > 0 && behind < find::LEAST && runs_it {
        w.wake_skip.set(skip - 1);
        return;
    }
    if behind > 0 && behind + 1 < find::worth() && runs_it {
        return; // thefts of so few did not pay of late
    }
    w.wake_skip.set(find::fruitless_wakes());
    wake_somebody(w);
}

/// Wakes an idle worker for goroutines in the queue of `w` whose timers have fired. It has fired them itself, in its loop, and runs the first of them
/// right away: what lies there beyond that one must be worth the wake-up.
fn wake_for_woken(w: &Worker) {
    if idle::GATE.pushed_here() && (w.queue.len_hint() >= find::worth_waking() || !w.seat.is_permitted()) {
        wake_somebody(w);
    }
}

fn wake_somebody(w: &Worker) {
    bump(&w.wakes);
    idle::wake_one();
    bump(&w.wakes);
}

// ---- park ---------------------------------------------------------------------------------------

/// Switches away from the running goroutine until it is readied.
///
/// # Safety
/// Called on a goroutine that has published itself (V1).
#[inline(always)]
pub unsafe fn park(reason: Reason) {
    let Some(w) = worker::current() else { unreachable!("park outside a goroutine") };
    // SAFETY: by the caller; K2.
    unsafe { park_on(w, w.current.get(), reason) }
}

/// The same for who has asked for the worker and the goroutine and not been switched since.
///
/// # Safety
/// As for [`park`]; `g` is the goroutine that runs on `w`, which is the current worker.
#[inline(always)]
pub unsafe fn park_on(w: &Worker, g: *mut G, reason: Reason) {
    // SAFETY: by the caller.
    unsafe {
        (*g).set_waiting(reason);
        (*g).since.store(monitor::coarse_now(), Ordering::Relaxed);
        bump(&w.stats.parks);
        switch_away(w, g, w.pick());
    }
}

/// Where not every stack has a guard of its own, an overflow is noticed here at the latest.
#[cold]
unsafe fn check_stack(g: *mut G) {
    let here = 0u8;
    // SAFETY: g is the running goroutine.
    let s = unsafe { (*g).stack.get() };
    if !s.contains((&raw const here).addr()) {
        crate::dump::overflow(s);
    }
}

/// Lets others run; the caller goes behind everybody else on its worker. From any thread.
#[inline]
pub fn yield_now() {
    match worker::current() {
        // Who unwinds stays: the count of panics is the thread's.
        Some(w) if !w.current.get().is_null() && w.block_depth.get() == 0 && !std::thread::panicking() => {
            let g = w.current.get();
            // SAFETY: g is running on this worker and goes into its queue; on_cpu keeps others off it
            // until it is saved (G2).
            unsafe {
                (*g).set_state(State::Runnable);
                switch_away(w, g, w.pick_behind(g));
            }
        }
        _ => sys::yield_thread(),
    }
}

/// A call is about to show what it did: a thread that is no worker is known to the runtime from before then on, or a deadlock could be
/// reported to those who go on with its work and then wait for more of it (rule D-07).
#[inline(always)]
pub fn announce() {
    announce_of(worker::current());
}

/// The same for who has asked for the worker and not been switched since.
#[inline(always)]
pub fn announce_of(w: Option<&Worker>) {
    if w.is_none() {
        crate::runtime::foreign_thread();
    }
}

/// Ends a call into the library: yields if the time slice is used up. A host's goroutine yields only in calls that may
/// block (`blocks`), where its host expects to find another one's state on return.
#[inline(always)]
pub fn checkpoint(blocks: bool) {
    checkpoint_of(worker::current(), blocks);
}

/// The same for who has asked for the worker and not been switched since.
#[inline(always)]
pub fn checkpoint_of(w: Option<&Worker>, blocks: bool) {
    match w {
        Some(w) if w.attention.any() => checkpoint_slow(w, blocks),
        Some(_) => {}
        None => crate::runtime::foreign_thread(),
    }
}

/// The same for who has just started a goroutine. One that starts many without a break would lose its permit, and those that it
/// has started would begin on a thread more than there are permits.
#[inline(always)]
pub fn checkpoint_of_starter(w: Option<&Worker>) {
    if let Some(w) = w.filter(|w| w.attention.any()) {
        checkpoint_slow(w, false);
    }
}

/// Whether a checkpoint would have nothing to do.
#[inline(always)]
pub fn undisturbed() -> bool {
    worker::current().is_some_and(|w| !w.attention.any())
}

/// The answer of a call that comes back at once although it may wait. Who asks again and again has a time slice like everybody
/// else (G-11).
#[inline]
pub fn at_once(answer: Error, deadline: i64) -> Error {
    checkpoint(deadline != NOWAIT);
    answer
}

#[cold]
fn checkpoint_slow(w: &Worker, blocks: bool) {
    let g = w.current.get();
    // SAFETY: the running goroutine's header is valid.
    if g.is_null() || (!blocks && unsafe { (*g).class.get() != 0 }) {
        return;
    }
    if w.block_depth.get() > 0 || std::thread::panicking() {
        return;
    }
    // SAFETY: as above.
    if w.attention.is_used_up() && unsafe { (*g).is_bound() } {
        w.bound_used_up();
    }
    yield_now(); // `pick` ends the slice and looks around
}

/// Leaves `g`, which is in a queue or known to its waker, for `n`, which the worker has picked; null: for the worker's loop.
#[inline(always)]
unsafe fn switch_away(w: &Worker, g: *mut G, mut n: *mut G) {
    // SAFETY: w is the current worker and g its running goroutine. `prev` tells the next context to
    // clear g's on_cpu once we are off its stack (K3).
    unsafe {
        rank::assert_none_held();
        w.pay();
        if n == g {
            if !idle::GATE.is_contended() {
                (*g).set_state(State::Running);
                return;
            }
            let_others_run(w, g);
            n = null_mut();
        }
        w.prev.set(&raw const (*g).on_cpu);
        if hooks::are_needed() {
            return switch_with_hooks(w, g, n);
        }
        let to = prepare(w, n);
        arch::switch((*g).ctx.get(), to);
        worker::here().finish_switch(); // V3: perhaps another worker
    }
}

/// The rest of it where the switch is not all there is to do.
#[cold]
#[inline(never)]
unsafe fn switch_with_hooks(w: &Worker, g: *mut G, n: *mut G) {
    // SAFETY: as above.
    unsafe {
        if stack::sp_check_needed() {
            check_stack(g);
        }
        let globals = crate::cxx::save();
        let to = prepare(w, n);
        crate::sanitize::before_switch(g, w.current.get());
        arch::switch((*g).ctx.get(), to);
        arrived(); // V3, as above
        crate::cxx::restore(globals);
    }
}

/// The context to go on with, which is noted as the running one: that of `n`, if it can be continued at once, or the worker's own, whose loop then sees
/// to `n`.
#[inline(always)]
unsafe fn prepare(w: &Worker, n: *mut G) -> *const arch::Context {
    // SAFETY: n was taken out of a queue by us (G1).
    unsafe {
        if can_switch_to(w, n) {
            w.set_running(n);
            return (*n).ctx.get();
        }
        w.pending.set(n);
        w.current.set(null_mut());
        w.thread_ctx.get()
    }
}

/// `g` is all that `w` has to run while others wait for a permit: they have theirs first, and the loop finds it afterwards.
#[cold]
unsafe fn let_others_run(w: &Worker, g: *mut G) {
    w.attention.share();
    // SAFETY: the running goroutine, which was taken out of our queue (G1); on_cpu keeps others off it until it is saved (G2).
    unsafe { w.push_back(g) };
}

/// First thing after every switch to a goroutine.
#[inline(always)]
unsafe fn arrived() {
    crate::sanitize::after_switch();
    // SAFETY: by the caller this is a goroutine.
    unsafe { worker::here() }.finish_switch();
}

/// Whether `n` can be continued directly: it is there, completely saved, of the class this thread is
/// set up for, and if it has not begun it may begin here, which is prepared then. Waiting for `on_cpu` here could close a circle of two workers that wait for each
/// other; the loop waits on its own stack, after our own on_cpu is cleared.
#[inline(always)]
unsafe fn can_switch_to(w: &Worker, n: *mut G) -> bool {
    // SAFETY: n was taken out of a queue by us (G1).
    unsafe { !n.is_null() && (*n).on_cpu.is_saved() && (*n).class.get() == w.held_class.get() && w.make_runnable(n) }
}

// ---- the life of a goroutine --------------------------------------------------------------------

/// The first frame of every goroutine.
pub extern "C-unwind" fn first_frame(arg: *mut u8) -> ! {
    let g: *mut G = arg.cast();
    // SAFETY: `init` passed the goroutine that runs here for the first time; its entry contains panics.
    unsafe {
        arrived();
        crate::sanitize::goroutine_starts(g);
        crate::cxx::restore([0; 2]);
        ((*g).entry.get())(g);
        crate::start::let_go(g);
        end(g)
    }
}

/// Ends the running goroutine without returning through its frames.
///
/// # Safety
/// `g` is the running goroutine; nothing on its stack is needed any more.
pub unsafe fn end(g: *mut G) -> ! {
    let Some(w) = worker::current() else { unreachable!("a goroutine ended outside a worker") };
    // SAFETY: g has ended: its stack goes to the pool of this worker, which nobody else takes from, and the
    // frames below are not written by others before we have jumped off it (the contexts of others
    // live in their headers).
    unsafe {
        if w.block_depth.get() > 0 {
            blocking::end_down_to(0);
        }
        crate::sanitize::goroutine_ends(g);
        w.give_stack(g);
        if (*g).has(EXCLUSIVE | CANCELABLE) {
            end_special(w, &*g);
        }
        if let Some(runner) = runs::runner_of(&*g) {
            deadlock::main_ended(g, runner);
        }
        if (*g).is_bound() {
            w.homed.set(w.homed.get() - 1);
            if w.spoilt.get() {
                exclusive::left(w);
            }
        }
        bump(&w.stats.finished);
        (*g).drop_ext();
        (*g).id.store(0, Ordering::Relaxed);
        (*g).on_cpu.ended();
        crate::start::retire(w, g);
        w.prev.set(&raw const w.nobody);
        w.pay();
        let to = prepare(w, w.pick_another());
        crate::sanitize::before_switch(g, w.current.get());
        arch::jump(to)
    }
}

/// The end of a goroutine with a thread to itself, or of a host's.
#[cold]
fn end_special(w: &Worker, g: &G) {
    if g.has(EXCLUSIVE) {
        exclusive::ended(w);
    }
    if g.class.get() != 0 {
        host::leave(g);
    }
}

// ---- who runs, and how many -----------------------------------------------------------------------

/// Whether whoever holds a lock may be running at this moment, so that looking again is better than parking.
#[inline]
pub fn may_spin() -> bool {
    idle::GATE.active() > 1 || worker::current().is_none()
}

/// The running goroutine; null outside.
#[inline(always)]
pub fn running() -> *mut G {
    worker::current().map_or(null_mut(), |w| w.current.get())
}

/// Number of the running goroutine; 0 outside goroutines.
#[inline]
pub fn goid() -> u64 {
    let g = running();
    if g.is_null() {
        return 0;
    }
    // SAFETY: the running goroutine's header is valid.
    unsafe { (*g).id.load(Ordering::Relaxed) }
}

/// Whether the caller is a goroutine that must not be resumed any more, or one that may end by a jump.
pub fn running_has(flag: u8) -> bool {
    let g = running();
    // SAFETY: the running goroutine's header is valid.
    !g.is_null() && unsafe { (*g).has(flag) }
}

/// How many live goroutines there are, from counters that may lag behind each other.
pub fn live() -> u64 {
    let mut made = FOREIGN_CREATED.load(Ordering::Relaxed);
    let mut gone = 0;
    table::any(|w| {
        gone += w.stats.finished.load(Ordering::Relaxed);
        false
    });
    table::any(|w| {
        made += w.stats.created.load(Ordering::Relaxed);
        false
    });
    made.saturating_sub(gone)
}

/// Whether the caller is a helper thread of `blocking`, whose function must not block in the C interface. Not
/// inlined: goroutines call it too, and the address of a thread-local must not be kept.
#[inline(never)]
pub fn in_helper() -> bool {
    worker::current().is_none() && IN_HELPER.with(Cell::get)
}

thread_local! {
    /// Depth of `blocking` helpers on this thread: their functions must not call blocking operations.
    pub static IN_HELPER: Cell<bool> = const { Cell::new(false) };
}
