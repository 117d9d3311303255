//! The verb [`ready`], in all its forms.
//!
//! *Where it sits*: layer 3, a part of `sched`, whose README says how it meets `park`.

use super::worker::{self, Worker};
use super::{idle, inject, inject_all, wake_for, wake_for_woken};
use crate::arch::prefetch;
use crate::cell::Ordering;
use crate::goroutine::{State, G};
use crate::inject::TOGETHER;
use crate::list::{Fifo, List};
use crate::wait::{Kind, Node, ThreadWaiter, Waiter};
use core::mem::take;
use core::ptr::null_mut;

/// Makes the party behind a claimed waiter go on.
///
/// # Safety
/// The caller has claimed `wt` (W1) and completed its operation.
#[inline(always)]
pub unsafe fn ready(wt: *const Waiter) {
    // SAFETY: a claimed waiter stays valid until it is readied.
    unsafe {
        match (*wt).kind() {
            Kind::Goroutine => ready_goroutine(G::of_waiter(wt)),
            Kind::Thread => ThreadWaiter::tell(ThreadWaiter::of(wt)),
        }
    }
}

/// Who walks along a long queue waits for the memory of each node in turn, for only a node tells where the next one is. Those of goroutines that were
/// started one after the other lie at equal distances, so those ahead are asked for as if all did.
pub struct Walk {
    before: *mut Node,
}

/// So many nodes ahead; half as many hide less of the time that memory takes.
const AHEAD: isize = 16;

impl Walk {
    /// At the beginning.
    pub fn new() -> Walk {
        Walk { before: null_mut() }
    }

    /// Comes to `node`. Where a guess is wrong a line is fetched in vain; to ask for what is no memory does nothing.
    #[inline(always)]
    pub fn come_to(&mut self, node: *mut Node) {
        let step = node.addr().wrapping_sub(self.before.addr()) as isize;
        self.before = node;
        let ahead: *const u8 = node.wrapping_byte_offset(step.wrapping_mul(AHEAD)).cast();
        prefetch(ahead);
        prefetch(ahead.wrapping_sub(64)); // a goroutine's header begins there
    }
}

/// Readies whoever is behind claimed nodes, in their order.
///
/// A few are queued here. Of more than that, those that anybody may run go to the injector in batches if there are workers to share them: all take them from
/// there without a theft for each, and nobody walks along what is in no cache. Go's ring is full at some point as well, and the rest goes
/// to its global queue.
///
/// # Safety
/// The caller has claimed their waiters, completed the operations, and holds no lock.
pub unsafe fn ready_all(mut claimed: List<Node>) {
    // SAFETY: by the caller.
    unsafe {
        ready_first(&mut claimed, TOGETHER);
        if claimed.is_empty() {
            return;
        }
        if worker::current().is_some() && idle::limit() == 1 {
            ready_first(&mut claimed, usize::MAX);
        } else {
            ready_in_batches(claimed);
        }
    }
}

/// Readies up to `max` of them one by one.
///
/// # Safety
/// As for [`ready_all`].
unsafe fn ready_first(claimed: &mut List<Node>, max: usize) {
    let mut walk = Walk::new();
    for _ in 0..max {
        let node = claimed.pop_front();
        if node.is_null() {
            break;
        }
        walk.come_to(node);
        // SAFETY: by the caller; the node is not used after its waiter was readied.
        unsafe { ready((*node).waiter) };
    }
}

/// Readies all of them, those that anybody may run by way of the injector.
///
/// # Safety
/// As for [`ready_all`].
#[inline(never)]
unsafe fn ready_in_batches(mut claimed: List<Node>) {
    let mut batch = Fifo::new();
    let mut walk = Walk::new();
    while !claimed.is_empty() {
        let node = claimed.pop_front();
        walk.come_to(node);
        // SAFETY: by the caller; the node is not used after its waiter was readied. What is claimed and not bound is ours (G1).
        unsafe {
            let wt = (*node).waiter;
            let g = G::of_waiter(wt);
            if (*wt).kind() == Kind::Thread || (*g).is_bound() {
                ready(wt);
                continue;
            }
            (*g).set_state(State::Runnable);
            batch.push_back(g);
        }
        if batch.len() == TOGETHER {
            inject_all(take(&mut batch));
        }
    }
    if !batch.is_empty() {
        inject_all(batch);
    }
}

/// The same from a receiver that finds more to receive. An OS thread that has just begun to wait for room is not woken for
/// each slot that becomes free, but when the worker turns to another goroutine or has nothing to run. It does not depend on
/// that: its own first sleep is short (`waiting`), and a deeper sleeper is woken at once.
///
/// # Safety
/// As for [`ready`].
#[inline(always)]
pub unsafe fn ready_soon(wt: *const Waiter) {
    // SAFETY: by the caller.
    unsafe {
        match (*wt).kind() {
            Kind::Goroutine => ready_goroutine(G::of_waiter(wt)),
            Kind::Thread => tell_soon(ThreadWaiter::of(wt)),
        }
    }
}

#[cold]
unsafe fn tell_soon(t: *const ThreadWaiter) {
    // SAFETY: by the caller of `ready_soon`.
    unsafe {
        match worker::current() {
            Some(w) => w.owe(ThreadWaiter::tell_later(t)),
            None => ThreadWaiter::tell(t),
        }
    }
}

/// Queues a parked goroutine.
///
/// # Safety
/// The caller has claimed it (V1).
#[inline]
pub unsafe fn ready_goroutine(g: *mut G) {
    // SAFETY: by the caller.
    unsafe { ready_goroutine_of(worker::current(), g) }
}

/// The same for who has asked for the worker and not been switched since, and without a frame of its own.
///
/// # Safety
/// As for `ready_goroutine`.
#[inline(always)]
pub unsafe fn ready_goroutine_of(cur: Option<&Worker>, g: *mut G) {
    // SAFETY: claimed, hence owned by us until it is in a queue (G1).
    unsafe {
        (*g).set_state(State::Runnable);
        if (*g).is_bound() {
            let home = (*g).home.load(Ordering::Relaxed).cast::<Worker>(); // G3; ordered by the claim
            match cur {
                Some(w) if core::ptr::eq(w, home) => w.push_next(g),
                Some(_) => send_home(g, &*home),
                None => {
                    crate::runtime::foreign_thread();
                    send_home(g, &*home);
                }
            }
        } else if let Some(w) = cur {
            w.push_next(g);
            wake_for(w);
        } else {
            crate::runtime::foreign_thread();
            inject(g);
        }
    }
}

/// The usual case of `ready_goroutine_of`, without a call. True: [`wake_for_slow`](super::wake_for_slow) is to be called; `None`: it is another case.
///
/// # Safety
/// As for `ready_goroutine`.
#[inline(always)]
pub unsafe fn ready_here(w: &Worker, g: *mut G) -> Option<bool> {
    // SAFETY: claimed, hence owned by us until it is in a queue (G1).
    unsafe {
        (*g).set_state(State::Runnable);
        if (*g).is_bound() {
            let here = core::ptr::eq(w, (*g).home.load(Ordering::Relaxed).cast()); // G3; ordered by the claim
            if here {
                w.push_next_bound(g);
            }
            return here.then_some(false);
        }
        w.push_next_now(g).then(|| idle::GATE.pushed_here())
    }
}

/// Queues a batch of goroutines whose timers have fired, with one wake-up for those that anybody may run, and with one for each row of those
/// that one worker alone may run: see [`Worker::push_woken`].
///
/// # Safety
/// As for `ready_goroutine`, for each of them; they are linked by `link`.
pub unsafe fn ready_chain(mut head: *mut G) {
    let cur = worker::current();
    let mut woke = false;
    let mut told: Option<&'static Worker> = None;
    while !head.is_null() {
        let g = head;
        // SAFETY: claimed by the caller, hence ours until it is in a queue (G1); K1 for our own queue.
        unsafe {
            head = (*g).link.get().replace(null_mut());
            let Some(w) = cur else {
                ready_goroutine(g);
                continue;
            };
            (*g).set_state(State::Runnable);
            let home = (*g).home.load(Ordering::Relaxed).cast::<Worker>(); // G3; ordered by the claim
            if !(*g).is_bound() || core::ptr::eq(w, home) {
                woke |= !(*g).is_bound();
                w.push_woken(g);
                continue;
            }
            let home = &*home;
            if let Some(other) = told.filter(|other| !core::ptr::eq(*other, home)) {
                call_home(other);
            }
            home.inbox.push(g);
            told = Some(home);
        }
    }
    if let Some(home) = told {
        call_home(home);
    }
    if let (true, Some(w)) = (woke, cur) {
        wake_for_woken(w);
    }
}

/// Queues a parked goroutine on behalf of a worker that is about to sleep or asleep: not in its own queue, which it would
/// not look at any more.
///
/// # Safety
/// As for `ready_goroutine`.
pub unsafe fn ready_from_sleep(g: *mut G) {
    // SAFETY: claimed by the caller.
    unsafe {
        (*g).set_state(State::Runnable);
        if (*g).is_bound() {
            send_home(g, &*(*g).home.load(Ordering::Relaxed).cast::<Worker>()); // G3; ordered by the claim
        } else {
            inject(g);
        }
    }
}

#[cold]
unsafe fn send_home(g: *mut G, home: &'static Worker) {
    // SAFETY: g is ours until it is in the inbox.
    unsafe { home.inbox.push(g) };
    call_home(home);
}

/// Something was pushed into the inbox of `home`.
fn call_home(home: &'static Worker) {
    if idle::GATE.pushed_home(&home.seat) {
        idle::wake_worker(home);
    }
}
