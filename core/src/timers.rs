//! Timers: sharded heaps that any worker serves.
//!
//! *Where it sits*: layer 3, beside the scheduler. Waits with a deadline, sleeps, channel timers and timer
//! functions put their [`TimerNode`] here; idle workers sleep until the first deadline and busy ones look
//! every so often.
//!
//! There are as many shards as workers, up to 64. A goroutine arms in the shard of the worker it runs
//! on, so arming does not contend, and that worker serves it while it runs goroutines. Of one that sleeps or waits for a permit
//! *whoever* has time serves the shard as soon as it is due; one that has a permit and is stuck in a long computation is given
//! [`LEFT`] to come by first, for two workers at one shard are in each other's way.
//!
//! # Invariants
//!
//! * **T1** A node is in at most one heap; `owner` says in which shard's, and changes only while it is in none.
//! * **T2** `fire` runs under the shard's lock, after the node has left the heap. It claims or takes a
//!   reference, nothing else; what it found is completed after the lock is released. So once `disarm`
//!   returns, nobody uses the node any more.
//! * **T3** `next` of a shard is the deadline of its first timer, `i64::MAX` when it has none, stored under its lock.
//! * **T4** A timer that has ended a goroutine's wait says so in `owner`, before the goroutine is woken. One that reads [`CLAIMED`]
//!   there knows without the lock that its node is in no heap and used by nobody; else `owner` is as it armed it (T1).
//!
//! # Orderings
//!
//! `next` is Relaxed: whoever goes to sleep reads it after the barrier of `Gate::lie_down`, whoever arms from
//! outside the workers compares it with the keeper's deadline after a full fence.

use crate::arch;
use crate::cell::{AtomicI64, AtomicUsize, Ordering};
use crate::goroutine::G;
use crate::heap::{Heap, HeapNode};
use crate::list::Fifo;
use crate::rank::Rank;
use crate::sched::{self, idle, worker};
use crate::sys;
use crate::wait::{Outcome, Waiter};
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr::null_mut;
use std::cell::{Cell, UnsafeCell};

/// Shards at most.
const SHARDS: usize = 64;
/// Timers fired before the shard's lock is released for others.
const BATCH: usize = 64;
/// For so long due timers are left to their worker if it runs: it looks at them every few microseconds unless it is stuck.
pub const LEFT: i64 = 100_000;
/// What `owner` says after T4.
const CLAIMED: u32 = u32::MAX;

/// What a timer does when it is due: called under the shard's lock (T2) with the scheduled time.
pub type Fire = unsafe fn(*mut TimerNode, i64, &mut Due);

/// Membership in a timer heap.
pub struct TimerNode {
    heap: UnsafeCell<HeapNode>,
    fire: Cell<Fire>,
}

unsafe fn fire_nothing(_: *mut TimerNode, _: i64, _: &mut Due) {}

impl TimerNode {
    /// In no heap.
    pub const fn new() -> TimerNode {
        TimerNode { heap: UnsafeCell::new(HeapNode::new()), fire: Cell::new(fire_nothing) }
    }
}

/// Tells an object that its moment has come.
pub type Tell = unsafe fn(*mut c_void);

/// What fired and is to be completed outside the lock.
#[derive(Default)]
pub struct Due {
    /// Goroutines whose wait timed out.
    pub goroutines: Fifo<G>,
    /// Claimed parties of channel timers.
    pub waiters: Vec<*const Waiter>,
    /// Functions to be run in goroutines of their own.
    pub calls: Vec<(CFn, *mut c_void)>,
    /// Objects to be told, on the worker's own stack.
    pub tells: Vec<(Tell, *mut c_void)>,
    /// Timers whose object was busy: they are looked at again soon.
    pub again: Vec<*mut TimerNode>,
    /// Timers that are to fire once more, and when.
    pub rearm: Vec<(*mut TimerNode, i64)>,
    /// The time now.
    pub now: i64,
}

/// A function that a timer runs.
pub type CFn = unsafe extern "C-unwind" fn(*mut c_void);

/// How soon a timer whose object was busy is looked at again.
const RETRY: i64 = 20_000;

#[repr(align(64))]
struct Shard {
    heap: sys::Mutex<Heap>,
    next: AtomicI64,
    len: AtomicUsize,
}

static TABLE: [Shard; SHARDS] = [const {
    Shard { heap: sys::Mutex::new(Rank::Timer, Heap::new()), next: AtomicI64::new(i64::MAX), len: AtomicUsize::new(0) }
}; SHARDS];
/// Shards that were ever used: those beyond need no look.
static USED: AtomicUsize = AtomicUsize::new(0);

impl Shard {
    fn publish(&self, heap: &Heap) {
        self.next.store(heap.peek().unwrap_or(i64::MAX), Ordering::Relaxed); // T3
        self.len.store(heap.len(), Ordering::Relaxed);
    }
}

/// Monotonic nanoseconds: the one clock. The deterministic mode replaces it here.
#[inline(always)]
pub fn now() -> i64 {
    sys::now()
}

/// `now() + d`, saturating (T-02); never one of the two special values by accident.
#[inline]
pub fn after(d: i64) -> i64 {
    if d == i64::MAX {
        return i64::MAX;
    }
    now().saturating_add(d).max(1)
}

/// Puts `node` into a heap, due at `when`.
///
/// # Safety
/// The node is in no heap, stays valid until it has fired or `disarm` returned, and belongs to what `fire` expects.
pub unsafe fn arm(node: *const TimerNode, when: i64, fire: Fire) {
    let w = worker::current();
    let i = w.map_or(0, |w| w.index % SHARDS);
    if i >= USED.load(Ordering::Relaxed) {
        USED.fetch_max(i + 1, Ordering::Relaxed);
    }
    let shard = &TABLE[i];
    // SAFETY: the node is ours until it is in the heap (T1), then the shard's lock guards it.
    unsafe {
        (*(*node).heap.get()).owner = i as u32;
        (*node).fire.set(fire);
        let mut heap = shard.heap.lock();
        push(&mut heap, node, when);
        shard.publish(&heap);
    }
    tell_if_outside(w, when);
}

/// Gives `node` another deadline where it is. False, and nothing has happened: it is in no heap, or not in that of the calling thread, or the thread holds no
/// permit; then [`disarm`] and [`arm`] are to do it.
///
/// # Safety
/// As for `disarm`.
pub unsafe fn rearm(node: *const TimerNode, when: i64) -> bool {
    let Some(w) = worker::current().filter(|w| w.seat.is_permitted()) else { return false };
    // SAFETY: `owner` does not change while others may use the node (T1).
    let i = unsafe { (*(*node).heap.get()).owner as usize };
    if i != w.index % SHARDS {
        return false;
    }
    let shard = &TABLE[i];
    let mut heap = shard.heap.lock();
    // SAFETY: the node is in this heap or in none (T1).
    let was_in = unsafe { heap.update((*node).heap.get(), when) };
    if was_in {
        shard.publish(&heap);
        drop(heap);
        tell_if_outside(Some(w), when);
    }
    was_in
}

/// Who holds no permit (a plain thread, a worker in a blocking section) does not come by to serve what it has armed.
fn tell_if_outside(w: Option<&worker::Worker>, when: i64) {
    if w.is_none_or(|w| !w.seat.is_permitted()) && idle::GATE.armed_outside(when) {
        idle::wake_one();
    }
}

/// Takes `node` out of its heap. True if it was in; afterwards nobody uses it (T2).
///
/// # Safety
/// The node was armed before, and its owner is the caller.
pub unsafe fn disarm(node: *const TimerNode) -> bool {
    // SAFETY: `owner` does not change while others may use the node (T1).
    unsafe {
        let shard = &TABLE[(*(*node).heap.get()).owner as usize];
        let mut heap = shard.heap.lock();
        let was_in = heap.remove((*node).heap.get());
        if was_in {
            shard.publish(&heap);
        }
        was_in
    }
}

/// The deadline of a goroutine's wait.
///
/// # Safety
/// `g` is the running goroutine and has begun a multi-party wait.
pub unsafe fn arm_wait(g: *mut G, deadline: i64) {
    // SAFETY: `sched::wait` disarms before the goroutine uses the node again.
    unsafe { arm(&raw const (*g).timer, deadline, fire_wait) };
}

unsafe fn fire_wait(node: *mut TimerNode, _: i64, due: &mut Due) {
    // SAFETY: armed by `arm_wait`, so it lies in a G; a won claim makes the goroutine ours (G1).
    unsafe {
        let g = G::of_timer(node);
        if (*g).waiter.try_claim(Outcome::TimedOut) {
            (*(*node).heap.get()).owner = CLAIMED; // T4; read by the goroutine, which is woken after this
            due.goroutines.push_back(g);
        }
    }
}

/// Takes the timer of [`arm_wait`] back after the wait, however it ended.
///
/// # Safety
/// `g` is the running goroutine, which has parked since it armed.
#[inline]
pub unsafe fn disarm_wait(g: *mut G) {
    // SAFETY: `owner` is written by `fire_wait` only if that ended the wait, hence before we were woken (T4).
    unsafe {
        if (*(*g).timer.heap.get()).owner != CLAIMED {
            disarm(&raw const (*g).timer);
        }
    }
}

/// From when on worker `index` serves shard `i`, whose first timer is due at `next`. To fire those of a worker that sleeps may mean to wake it: they
/// are waited for like those of all who sleep ([`idle::paced`]).
fn served_from(index: usize, i: usize, next: i64) -> i64 {
    if i == index % SHARDS {
        next
    } else if sched::table::get(i).is_some_and(|w| w.seat.is_permitted()) {
        next.saturating_add(LEFT)
    } else {
        idle::paced(next)
    }
}

/// Whether worker `index` is to fire timers of its shard, or of another one, which changes with `turn`: a busy worker also
/// serves those of workers that sleep or are stuck, a little later than its own.
#[inline]
pub fn due_somewhere(index: usize, turn: u32) -> bool {
    let used = USED.load(Ordering::Relaxed).clamp(1, SHARDS);
    let other = turn as usize % used;
    let own = TABLE[index % SHARDS].next.load(Ordering::Relaxed);
    let next = TABLE[other].next.load(Ordering::Relaxed);
    if own.min(next) == i64::MAX {
        return false;
    }
    let t = now();
    own <= t || (next <= t && served_from(index, other, next) <= t)
}

/// Whether worker `index` is to fire timers of any shard.
pub fn due_for(index: usize) -> bool {
    let next = first_deadline();
    next != i64::MAX && next <= now() && first_deadline_for(index) <= now()
}

/// When worker `index` is to serve timers next, `i64::MAX` if there is none.
pub fn first_deadline_for(index: usize) -> i64 {
    let used = USED.load(Ordering::Relaxed).min(SHARDS);
    let all = TABLE[..used].iter().enumerate();
    all.map(|(i, s)| served_from(index, i, s.next.load(Ordering::Relaxed))).min().unwrap_or(i64::MAX)
}

/// Deadline of the first timer of all, `i64::MAX` if there is none.
pub fn first_deadline() -> i64 {
    let used = USED.load(Ordering::Relaxed).min(SHARDS);
    TABLE[..used].iter().map(|s| s.next.load(Ordering::Relaxed)).min().unwrap_or(i64::MAX)
}

/// How many timers are armed.
pub fn armed() -> usize {
    TABLE.iter().map(|s| s.len.load(Ordering::Relaxed)).sum()
}

/// Fires what is due in all shards. On a thread's own stack: it may drop references.
pub fn run_due() {
    for shard in &TABLE[..USED.load(Ordering::Relaxed).min(SHARDS)] {
        while shard.next.load(Ordering::Relaxed) <= now() {
            fire(shard, shard.heap.lock(), now());
        }
    }
}

/// Fires what worker `index` is to fire; says how many. On its own stack, as above. A shard at which another one is just now is left out: most
/// probably that fires what is due there, and to wait for it would take longer.
pub fn run_due_for(index: usize) -> usize {
    let used = USED.load(Ordering::Relaxed).min(SHARDS);
    TABLE[..used].iter().enumerate().map(|(i, shard)| run_while(shard, |next| served_from(index, i, next))).sum()
}

/// Fires what is due in a shard that is served from `from(deadline of its first)` on.
fn run_while(shard: &Shard, from: impl Fn(i64) -> i64) -> usize {
    let mut fired = 0;
    let mut t = now();
    while from(shard.next.load(Ordering::Relaxed)) <= t {
        let Some(heap) = shard.heap.try_lock() else { break };
        fired += fire(shard, heap, t);
        t = now();
    }
    fired
}

/// Fires a batch of what is due at `t`; says how many.
///
/// A timer that has been armed for long is in no cache, nor is the goroutine around it or that one's stack, and the page tables of the stack are not
/// either. So the batch goes from one step to the next together: all that is asked for in one is on its way at the same time.
fn fire(shard: &Shard, mut heap: sys::MutexGuard<'_, Heap>, t: i64) -> usize {
    let mut due = Due { now: t, ..Due::default() };
    let mut batch = [(null_mut(), 0); BATCH];
    let mut fired = 0;
    while fired < BATCH {
        let when = heap.peek().unwrap_or(i64::MAX);
        let node = heap.pop_due(t);
        if node.is_null() {
            break;
        }
        prefetch(node.cast());
        batch[fired] = (node.cast::<TimerNode>(), when);
        fired += 1;
    }
    for &(timer, when) in &batch[..fired] {
        // SAFETY: heap nodes are the first field of their TimerNode (checked below); T2.
        unsafe { ((*timer).fire.get())(timer, when, &mut due) };
    }
    for node in due.again.drain(..) {
        // SAFETY: fired under this lock, so still valid and in no heap.
        unsafe { push(&mut heap, node, t + RETRY) };
    }
    for (node, when) in due.rearm.drain(..) {
        // SAFETY: as above.
        unsafe { push(&mut heap, node, when) };
    }
    shard.publish(&heap);
    drop(heap);
    prefetch_stacks(&due.goroutines);
    // SAFETY: claimed by `fire_wait`.
    unsafe { sched::ready_chain(due.goroutines.head) };
    for wt in due.waiters {
        // SAFETY: claimed by the object's `fire`.
        unsafe { sched::ready(wt) };
    }
    for (tell, object) in due.tells {
        // It may drop what users made.
        // SAFETY: `fire` of the object's kind put a matching pair here.
        if let Err(p) = crate::panic::contain(|| unsafe { tell(object) }) {
            crate::panic::unhandled_outside(&p);
        }
    }
    for (f, arg) in due.calls {
        // SAFETY: whoever made the timer vouches for function and argument.
        unsafe { crate::start::spawn_call(f, arg) };
    }
    fired
}

/// Asks for what `fire_wait` will touch if `node` lies in a G; harmless if it lies elsewhere or is null.
#[inline(always)]
fn prefetch(node: *const TimerNode) {
    let g: *const u8 = node.cast::<u8>().wrapping_sub(offset_of!(G, timer));
    arch::prefetch(g);
    arch::prefetch(g.wrapping_add(offset_of!(G, waiter)));
}

/// Asks for the stacks of goroutines, for when their turns come.
fn prefetch_stacks(chain: &Fifo<G>) {
    let mut g = chain.head;
    while !g.is_null() {
        // SAFETY: claimed by `fire_wait`, hence ours until it is in a queue (G1); a goroutine that waits has a context.
        unsafe {
            (*(*g).ctx.get()).prefetch();
            g = *(*g).link.get();
        }
    }
}

unsafe fn push(heap: &mut Heap, node: *const TimerNode, when: i64) {
    // SAFETY: by the caller: the node is in no heap, and the shard's lock is held.
    if unsafe { heap.push((*node).heap.get(), when) }.is_err() {
        sys::fatal("out of memory: no room for another timer");
    }
}

const _: () = assert!(core::mem::offset_of!(TimerNode, heap) == 0);
