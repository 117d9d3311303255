//! Select: waiting on several channels at once, exactly one of which proceeds.
//!
//! *Where it sits*: layer 4, over the headers of `chan/core.rs`. Used by the `Select` builder and `select!` of
//! `zokor::channel`, and by the C and Python faces.
//!
//! Three passes, as in Go's `selectgo`:
//!
//! 1. with all channels locked, in address order, look for a case that can proceed, in random or in listed order;
//! 2. none: queue a node on every channel, release the locks and park;
//! 3. whoever claims the waiter has completed one case; the nodes of the others are removed.
//!
//! # Invariants
//!
//! * **L1** The decision that no case is ready, and the queueing of all nodes, happen under all locks at once: there is
//!   an instant at which nothing was ready (S-04, S-05), and nothing that becomes ready later is missed. Under the locks the mirrors
//!   are exact: where all of them say that nothing is possible, no case need be tried.
//! * **L2** Single tries, one channel locked at a time and in random order, may go before pass 1 (the first of them is in `first.rs`): a case that one finds
//!   ready *is* ready. It decides nothing when it finds none, and so may leave out what a look at the mirror says is not. A look
//!   without locks may go before that: where it finds an instant at which no case was ready (`mirror`), a select that does not wait
//!   is done.
//! * **L3** Nodes are queued in pass 2 only, so a select never meets itself (S-12).
//! * **L4** After pass 3 no node of this select is in any queue (S-10, S-11).

pub mod direct;
pub(crate) mod first;

use crate::chan::core::{Error, Header, Step, FOREVER, NOWAIT};
use crate::chan::policy::Ruling;
use crate::goroutine::Reason;
use crate::mirror::none_possible;
use crate::rng::Rng;
use crate::sched::worker::{self, Worker};
use crate::sched::{self, timers, MOST_POOLED};
use crate::wait::{Node, Outcome, Waiter};
use first::{first_try, First};
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ptr;

/// What a case does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sends the value at `elem`.
    Send,
    /// Receives into `elem`.
    Recv,
    /// Waits until a send could proceed, and does nothing.
    ReadySend,
    /// Waits until a receive could proceed, and does nothing.
    ReadyRecv,
}

impl Op {
    fn sends(self) -> bool {
        matches!(self, Op::Send | Op::ReadySend)
    }
    fn peeks(self) -> bool {
        matches!(self, Op::ReadySend | Op::ReadyRecv)
    }
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct SelCase {
    /// The channel; null: never ready.
    pub chan: *const Header,
    /// The value to send or room for the one received; several receives may share it.
    pub elem: *mut u8,
    /// What it does.
    pub op: Op,
}

impl SelCase {
    /// A look at the case without a lock, for [`none_possible`].
    ///
    /// # Safety
    /// As for [`select_raw`].
    #[inline(always)]
    pub(crate) unsafe fn look(&self) -> Option<u64> {
        // SAFETY: null or alive, by the caller.
        match unsafe { self.chan.as_ref() } {
            Some(h) => h.look(self.op.sends()),
            None => Some(0), // never ready
        }
    }
}

/// In which order ready cases are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Uniformly random (S-02).
    Fair,
    /// The first listed.
    Listed,
}

/// Which case ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected {
    /// Its index.
    pub index: usize,
    /// What it came to.
    pub how: How,
}

/// What the case that ran came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It met a closed channel; nothing was moved.
    Closed,
    /// The value was moved.
    Done,
    /// It was a send, and by the channel's policy a value is dropped: it lies where the sent one lay, and is the caller's to
    /// end.
    Left,
}

impl Selected {
    /// Whether a value was moved.
    #[inline(always)]
    pub fn ok(self) -> bool {
        self.how != How::Closed
    }
}

/// Cases for which everything fits on the stack.
const SMALL: usize = 16;

/// Waits until one case can proceed and performs it.
///
/// # Errors
/// `WouldBlock` (`NOWAIT`), `TimedOut`, `Cancelled`, `Interrupted`, `Deadlock`, `NoMemory` (for a send on a channel that
/// grows): no case ran, no value was moved.
///
/// # Safety
/// Each `chan` is null or a channel that lives until the call returns; each `elem` fits its channel as for
/// `Core::send` and `Core::recv`.
#[inline]
pub unsafe fn select_raw(cases: &[SelCase], deadline: i64, order: Order) -> Result<Selected, Error> {
    // SAFETY: by the caller.
    unsafe {
        if deadline == NOWAIT && none_possible(cases.len(), |i| cases[i].look()) {
            return not_now();
        }
        let first = if order == Order::Fair { first_try(cases, deadline) } else { First::Nothing };
        match first {
            First::Ran(s) => Ok(s),
            First::Nothing => select_locked(cases, deadline, order, false),
            First::InVain => select_locked(cases, deadline, order, true),
        }
    }
}

/// The answer of a select that does not wait, if no case is ready. As in `chan/core.rs`, asking is a call like others (G-11).
#[inline]
pub(crate) fn not_now() -> Result<Selected, Error> {
    sched::checkpoint(false);
    Err(Error::WouldBlock)
}

/// The three passes; before them, if `singly`, the tries of L2, which choose fairly. One function down to the switch, as in `chan/park.rs`.
///
/// # Safety
/// As for [`select_raw`].
#[inline(never)]
pub(crate) unsafe fn select_locked(
    cases: &[SelCase],
    deadline: i64,
    order: Order,
    singly: bool,
) -> Result<Selected, Error> {
    // SAFETY: by the caller, here and below.
    unsafe {
        if singly {
            if let Some(s) = try_singly(cases, deadline) {
                return Ok(s);
            }
            if deadline == NOWAIT && cases.iter().filter(|c| !c.chan.is_null()).count() == 1 {
                return not_now(); // one channel: the single look was the instant (L1)
            }
        }
        let mut small = [const { MaybeUninit::uninit() }; SMALL];
        let mut large = Vec::new();
        let chans = in_order(cases, &mut small, &mut large);
        lock(chans, worker::current());
        if any_possible(cases) {
            if let Some(done) = try_locked(cases, chans, deadline, order) {
                return done;
            }
        }
        if deadline == NOWAIT {
            unlock(chans);
            return not_now();
        }
        if deadline != FOREVER && deadline <= timers::now() {
            unlock(chans);
            return Err(sched::at_once(Error::TimedOut, deadline));
        }
        wait(cases, chans, deadline, order)
    }
}

/// Pass 1. All locks are held, and released here if it gives an answer.
#[inline(never)]
unsafe fn try_locked(
    cases: &[SelCase],
    chans: &[*const Header],
    deadline: i64,
    order: Order,
) -> Option<Result<Selected, Error>> {
    let mut perm = Perm::new(cases.len());
    let perm = perm.all(cases.len());
    if order == Order::Fair {
        Shuffle::all(perm);
    }
    // SAFETY: by the caller of `select_locked`.
    unsafe {
        for &i in &*perm {
            let c = &cases[i as usize];
            if c.chan.is_null() {
                continue;
            }
            match try_case(c) {
                Found::Ready(woken, how) => {
                    unlock(chans);
                    finish(woken, deadline);
                    return Some(Ok(Selected { index: i as usize, how }));
                }
                Found::NotReady => {}
                Found::NoMemory => {
                    unlock(chans);
                    return Some(Err(Error::NoMemory));
                }
            }
        }
        None
    }
}

/// Whether a case may be ready. Under the locks, where the mirrors are exact, "no" holds for all at once (L1); without them it is a hint.
///
/// # Safety
/// The cases' channels are alive.
#[inline(always)]
unsafe fn any_possible(cases: &[SelCase]) -> bool {
    // SAFETY: by the caller.
    cases.iter().any(|c| unsafe { c.look() }.is_none())
}

/// Room for the indices of all cases, in an order of their own.
struct Perm {
    small: [u32; SMALL],
    large: Vec<u32>,
}

impl Perm {
    /// The order in which `n` cases are listed.
    #[inline(always)]
    fn new(n: usize) -> Perm {
        let small = const {
            let mut a = [0; SMALL];
            let mut i = 0;
            while i < SMALL {
                a[i] = i as u32;
                i += 1;
            }
            a
        };
        Perm { small, large: if n > SMALL { (0..n as u32).collect() } else { Vec::new() } }
    }

    /// The `n` indices.
    #[inline(always)]
    fn all(&mut self, n: usize) -> &mut [u32] {
        if n > SMALL {
            &mut self.large
        } else {
            &mut self.small[..n]
        }
    }
}

/// A random order, made as far as it is looked at (Fisher and Yates). One random number does for the few cases there mostly are: each
/// step takes the digit it needs from the top and leaves the rest. Of 16 cases no order is more likely than another by more than one part
/// in 2^19; more are brought into an order of their own first.
struct Shuffle {
    rest: u64,
}

impl Shuffle {
    #[inline(always)]
    fn begin(perm: &mut [u32]) -> Shuffle {
        let mut rest = 0;
        with_rng(|rng| {
            if perm.len() > SMALL {
                for k in (1..perm.len()).rev() {
                    perm.swap(k, rng.below(k as u32 + 1) as usize);
                }
            }
            rest = rng.next_u64();
        });
        Shuffle { rest }
    }

    /// Puts one of those from the `k`-th on at the `k`-th place, and returns it.
    #[inline(always)]
    fn choose(&mut self, perm: &mut [u32], k: usize) -> u32 {
        let wide = u128::from(self.rest) * (perm.len() - k) as u128;
        self.rest = wide as u64;
        perm.swap(k, k + (wide >> 64) as usize);
        perm[k]
    }

    fn all(perm: &mut [u32]) {
        let mut s = Shuffle::begin(perm);
        for k in 0..perm.len() {
            s.choose(perm, k);
        }
    }
}

thread_local! {
    static RNG: RefCell<Rng> = RefCell::new(Rng::from_entropy());
    static POOL: RefCell<Vec<Vec<Node>>> = const { RefCell::new(Vec::new()) };
}

#[inline]
fn with_rng(f: impl FnOnce(&mut Rng)) {
    match worker::current() {
        // SAFETY: K1: the owning thread, and nothing in `f` uses the worker.
        Some(w) => f(unsafe { &mut *w.rng.get() }),
        None => with_thread_rng(f),
    }
}

#[inline(never)]
fn with_thread_rng(f: impl FnOnce(&mut Rng)) {
    let mut f = Some(f);
    let _ = RNG.try_with(|r| f.take().map(|f| f(&mut r.borrow_mut())));
    if let Some(f) = f {
        f(&mut Rng::from_entropy()); // the thread is ending
    }
}

enum Found {
    Ready(*const Waiter, How),
    NotReady,
    /// For a send that is ready but for that.
    NoMemory,
}

#[inline(always)]
unsafe fn try_case(c: &SelCase) -> Found {
    // SAFETY: the case's channel is alive and its lock is held.
    unsafe {
        let h = &*c.chan;
        let step = match c.op {
            Op::Send => (h.vtable().send)(h, c.elem),
            Op::Recv => (h.vtable().recv)(h, c.elem),
            Op::ReadySend => look((h.vtable().can_send)(h)),
            Op::ReadyRecv => look((h.vtable().can_recv)(h)),
        };
        match step {
            Step::Done(woken) => {
                sched::announce();
                Found::Ready(woken, How::Done)
            }
            Step::Closed => Found::Ready(core::ptr::null(), How::Closed),
            Step::Wait if c.op == Op::Send && h.has_policy() => by_policy(h, c.elem),
            Step::Wait => Found::NotReady,
        }
    }
}

/// What a channel's policy makes of a send that found no room.
#[cold]
unsafe fn by_policy(h: &Header, elem: *mut u8) -> Found {
    // SAFETY: as in `try_case`; the element is as the policy wants it, by the caller of the select.
    match unsafe { (h.vtable().overflow)(h, elem) } {
        Ruling::Sent => Found::Ready(core::ptr::null(), How::Done),
        Ruling::Left => Found::Ready(core::ptr::null(), How::Left),
        Ruling::Full => Found::NotReady,
        Ruling::NoMemory => Found::NoMemory,
    }
}

fn look(can: bool) -> Step {
    if can {
        Step::Done(core::ptr::null())
    } else {
        Step::Wait
    }
}

#[inline(always)]
unsafe fn finish(woken: *const Waiter, deadline: i64) {
    if !woken.is_null() {
        // SAFETY: claimed by the case that ran.
        unsafe { sched::ready(woken) };
    }
    sched::checkpoint(deadline != NOWAIT);
}

/// L2.
#[inline(always)]
unsafe fn try_singly(cases: &[SelCase], deadline: i64) -> Option<Selected> {
    let mut perm = Perm::new(cases.len());
    let perm = perm.all(cases.len());
    let mut order = Shuffle::begin(perm);
    for k in 0..perm.len() {
        let i = order.choose(perm, k);
        let c = &cases[i as usize];
        // SAFETY: the channel is alive; its lock is held for the try.
        unsafe {
            if c.look().is_some() {
                continue;
            }
            (*c.chan).lock();
            let found = try_case(c);
            (*c.chan).unlock();
            if let Found::Ready(woken, how) = found {
                finish(woken, deadline);
                return Some(Selected { index: i as usize, how });
            }
        }
    }
    None
}

/// The channels of a select, each once, in address order.
#[inline(always)]
fn in_order<'a>(
    cases: &[SelCase],
    small: &'a mut [MaybeUninit<*const Header>; SMALL],
    large: &'a mut Vec<*const Header>,
) -> &'a [*const Header] {
    if cases.len() > SMALL {
        large.extend(cases.iter().map(|c| c.chan).filter(|h| !h.is_null()));
        large.sort_unstable();
        large.dedup();
        return large;
    }
    let (mut n, mut last) = (0, ptr::null());
    for c in cases {
        if c.chan > last {
            // As mostly: in order already.
            last = c.chan;
            small[n].write(last);
            n += 1;
        } else if !c.chan.is_null() {
            n = insert(small, n, c.chan);
        }
    }
    // SAFETY: the first n have been written.
    unsafe { std::slice::from_raw_parts(small.as_ptr().cast(), n) }
}

/// Puts a channel among the first `n`, which are in order and of which one is not less, unless it is there; returns how many there are now.
#[inline(never)]
fn insert(small: &mut [MaybeUninit<*const Header>; SMALL], n: usize, h: *const Header) -> usize {
    // SAFETY: the first n have been written, by the caller.
    let there: &[*const Header] = unsafe { std::slice::from_raw_parts(small.as_ptr().cast(), n) };
    match there.binary_search(&h) {
        Ok(_) => n,
        Err(k) => {
            small.copy_within(k..n, k + 1);
            small[k].write(h);
            n + 1
        }
    }
}

/// Locks the channels; `w` is the current worker.
#[inline(always)]
unsafe fn lock(chans: &[*const Header], w: Option<&'static Worker>) {
    for h in chans {
        // SAFETY: the channels are alive; ascending addresses, each once.
        unsafe { (**h).lock_of(w) };
    }
}

#[inline(always)]
unsafe fn unlock(chans: &[*const Header]) {
    for h in chans.iter().rev() {
        // SAFETY: locked by `lock`.
        unsafe { (**h).unlock() };
    }
}

/// Passes 2 and 3. All locks are held on entry and released here.
#[inline(always)]
unsafe fn wait(cases: &[SelCase], chans: &[*const Header], deadline: i64, order: Order) -> Result<Selected, Error> {
    // SAFETY: the nodes stay in place until all of them are out of the queues (L4).
    unsafe {
        let wt = sched::me();
        let mut nodes = take_nodes(cases.len());
        (*wt).begin_multi();
        let base = nodes.as_mut_ptr();
        if chans.len() < cases.len() && order == Order::Fair {
            queue_shuffled(cases, wt, base);
        } else {
            for (i, c) in cases.iter().enumerate() {
                queue(c, i, wt, base);
            }
        }
        unlock(chans);
        let reason = if chans.is_empty() { Reason::SelectNone } else { Reason::Select };
        let outcome = sched::wait_here(wt, reason, deadline);
        let winner = if outcome == Outcome::Peer { (*wt).winner() } else { ptr::null_mut() };
        let w = worker::current();
        for (i, c) in cases.iter().enumerate() {
            let node = base.add(i);
            if node != winner && !c.chan.is_null() {
                (*c.chan).lock_of(w);
                (*c.chan).dequeue(node, c.op.sends());
                (*c.chan).unlock();
            }
        }
        let result = if winner.is_null() {
            Err(outcome.into())
        } else {
            // A receiver took the value, or room was made for it: nothing is left.
            let how = if (*winner).ok { How::Done } else { How::Closed };
            Ok(Selected { index: (*winner).case as usize, how })
        };
        give_nodes(w, nodes);
        result
    }
}

/// Queues the node of the `i`-th case.
#[inline(always)]
unsafe fn queue(c: &SelCase, i: usize, wt: *const Waiter, base: *mut Node) {
    if c.chan.is_null() {
        return;
    }
    // SAFETY: the lock is held; there is a node for each case.
    unsafe {
        let node = base.add(i);
        (*node).set(wt, c.elem, i as u32, true);
        (*node).peek = c.op.peeks();
        (*c.chan).enqueue(node, c.op.sends());
    }
}

/// Queues all nodes in random order, where cases may share a channel: there they stand one behind the other (S-02).
#[cold]
#[inline(never)]
unsafe fn queue_shuffled(cases: &[SelCase], wt: *const Waiter, base: *mut Node) {
    let mut perm = Perm::new(cases.len());
    let perm = perm.all(cases.len());
    Shuffle::all(perm);
    for &i in &*perm {
        // SAFETY: as in `queue`.
        unsafe { queue(&cases[i as usize], i as usize, wt, base) };
    }
}

/// Nodes for a wait, from the worker's pool or the thread's, both of which have arrays of `SMALL`: they do not lie on the goroutine's stack, so that whoever looks at
/// them does not touch the stack of a parked goroutine.
#[inline(always)]
fn take_nodes(n: usize) -> Vec<Node> {
    if n > SMALL {
        return new_nodes(n);
    }
    worker::current().and_then(Worker::take_nodes).unwrap_or_else(take_nodes_of_thread)
}

#[cold]
fn new_nodes(n: usize) -> Vec<Node> {
    (0..n).map(|_| Node::new()).collect()
}

/// From the thread's pool, or new ones. Not inlined: the goroutine may go on on another thread, and the address of a thread-local must
/// not be kept across that.
#[inline(never)]
fn take_nodes_of_thread() -> Vec<Node> {
    // A thread that is ending has no pool any more.
    POOL.try_with(|p| p.borrow_mut().pop()).ok().flatten().unwrap_or_else(|| new_nodes(SMALL))
}

/// `w` is the current worker.
#[inline(always)]
fn give_nodes(w: Option<&Worker>, v: Vec<Node>) {
    match w {
        Some(w) if v.len() == SMALL => w.give_nodes(v),
        _ => give_to_thread(v),
    }
}

#[inline(never)]
fn give_to_thread(v: Vec<Node>) {
    let _ = POOL.try_with(|p| {
        let mut p = p.borrow_mut();
        if p.len() < MOST_POOLED && v.len() == SMALL {
            p.push(v);
        }
    });
}
