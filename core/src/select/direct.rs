//! Select as the C interface wants it: over the cases where they lie, and the number of the result.
//!
//! *Where it sits*: layer 4, beside the three passes of `select`, for what happens nearly always; whatever is out of the ordinary, or wrong, goes the
//! long way, which begins from the beginning. Called by the C face; calls `chan/direct.rs`.
//!
//! From C nothing is inlined into the caller, so the cases lie in memory, and to convert them, twice, and to copy what came of it would be most of the
//! work. Here they are read in place: once to see that all is ordinary, with the look at the mirror of each channel, and then only the one that runs.
//!
//! Ordinary is: at most [`MOST`] cases, each with another small channel and a place for its value; a goroutine that is bound to no context, on a worker
//! that owns the locks of the channels (`sys/bias.rs`).
//!
//! # Invariants
//!
//! * **LD1** Before anything happens all cases have been checked.
//! * **LD2** A case that was found ready without lock is chosen with the same chance as each other one that was (S-02), and run if it is ready under its
//!   lock, whatever it takes. The long way, which chooses anew, goes on only where it is not.
//! * **LD3** A select that waits has looked at all channels and queued all nodes under all locks at once (L1). The locks are taken in the order of the
//!   cases: none of them is waited for.

#![allow(improper_ctypes_definitions)] // C calls none of these

use super::{finish, give_nodes, take_nodes, try_case, Found, How, Op, SelCase};
use crate::chan::core::{Error, Header, FOREVER, NOWAIT};
use crate::chan::direct::is_ordinary;
use crate::chan::ByteChan;
use crate::error::code_of;
use crate::goroutine::Reason;
use crate::sched;
use crate::sched::worker::{self, Worker};
use crate::sys::{Owned, Sleeper};
use crate::wait::{Node, Waiter};
use core::mem::MaybeUninit;

/// Cases that can be ordinary: the nodes of a pool's array.
const MOST: usize = super::SMALL;

/// A case that nothing is out of the ordinary about.
pub struct Plain<'a> {
    /// A small channel.
    pub chan: &'a ByteChan,
    /// The value's place, not null.
    pub elem: *mut u8,
    /// It sends.
    pub sends: bool,
}

/// A case as a face lists it.
///
/// # Safety
/// What it tells is a channel that lives as long as the case is borrowed, and a place that fits its values.
pub unsafe trait Listed {
    /// The case, if nothing about it is out of the ordinary, or wrong.
    ///
    /// # Safety
    /// The case is as the face's callers promise.
    unsafe fn plain(&self) -> Option<Plain<'_>>;
    /// The same once more.
    ///
    /// # Safety
    /// `plain` has found something in this call.
    unsafe fn plain_again(&self) -> Plain<'_>;
    /// It ran, and whether a value was moved.
    ///
    /// # Safety
    /// As for `plain_again`.
    unsafe fn note(&self, ok: bool);
}

/// A select by the three passes.
pub type LongWay<C> = unsafe extern "C" fn(*const C, usize, i64) -> i32;

/// Waits until one of the cases can proceed, performs it and returns its index, or the number of an error. What is not ordinary is
/// left to `long`.
///
/// # Safety
/// As for `long`; each of the `n` cases at `cases`, if that is aligned and not null, is as its face's callers promise.
#[inline(always)]
pub unsafe fn select_plainly<C: Listed>(cases: *const C, n: usize, deadline: i64, long: LongWay<C>) -> i32 {
    // SAFETY: by the caller, here and below.
    unsafe {
        let Some(w) = worker::current() else { return long(cases, n, deadline) };
        let g = w.current.get();
        if n.wrapping_sub(1) >= MOST || cases.is_null() || !cases.is_aligned() || !is_ordinary(g) {
            return long(cases, n, deadline);
        }
        let mut ready = [const { MaybeUninit::<u8>::uninit() }; MOST];
        let (mut found, mut before, mut last) = (0, 0u64, 0);
        for i in 0..n {
            let Some(p) = (*cases.add(i)).plain() else { return long(cases, n, deadline) };
            match p.chan.select_look(p.sends) {
                Some(moves) => (before, last) = (before.wrapping_add(last), moves),
                None => {
                    ready[found].write(i as u8);
                    found += 1;
                }
            }
        }
        if found > 0 {
            let i = if found == 1 { 0 } else { w.random_below(found) };
            return run(w, cases, n, deadline, usize::from(ready[i].assume_init()), long);
        }
        if deadline == FOREVER {
            return park(w, cases, n, long);
        }
        if deadline == NOWAIT && !w.attention.any() && look_again(cases, n - 1) == Some(before) {
            return code_of(Error::WouldBlock);
        }
        long(cases, n, deadline)
    }
}

/// The second round of looks of `mirror`, at all but the last: with the sum of the first there was an instant at which no case was ready.
#[inline(always)]
unsafe fn look_again<C: Listed>(cases: *const C, n: usize) -> Option<u64> {
    let mut sum = 0u64;
    for i in 0..n {
        // SAFETY: the first round has been at all of them.
        let p = unsafe { (*cases.add(i)).plain_again() };
        sum = sum.wrapping_add(p.chan.select_look(p.sends)?);
    }
    Some(sum)
}

/// Tries the `i`-th case.
#[inline(always)]
unsafe fn run<C: Listed>(
    w: &'static Worker,
    cases: *const C,
    n: usize,
    deadline: i64,
    i: usize,
    long: LongWay<C>,
) -> i32 {
    // SAFETY: by the caller of `select_plainly`.
    unsafe {
        let c = &*cases.add(i);
        let p = c.plain_again();
        let answer = || {
            c.note(true);
            i as i32
        };
        p.chan.select_try(w, p.elem, p.sends, answer, |sleeper| run_anyway(cases, n, deadline, i, long, sleeper))
    }
}

/// The same where something is out of the ordinary: the lock is another's, the channel closed, somebody waits at a full buffer.
#[inline(never)]
unsafe extern "C" fn run_anyway<C: Listed>(
    cases: *const C,
    n: usize,
    deadline: i64,
    i: usize,
    long: LongWay<C>,
    sleeper: Sleeper,
) -> i32 {
    sleeper.wake();
    // SAFETY: by the caller of `select_plainly`; the lock is held for the try.
    unsafe {
        let p = (*cases.add(i)).plain_again();
        let op = if p.sends { Op::Send } else { Op::Recv };
        p.chan.header().lock();
        let found = try_case(&SelCase { chan: p.chan.header(), elem: p.elem, op });
        p.chan.header().unlock();
        match found {
            Found::Ready(woken, how) => {
                finish(woken, deadline);
                chosen(cases, i, how != How::Closed)
            }
            Found::NotReady | Found::NoMemory => long(cases, n, deadline),
        }
    }
}

/// Waits, unless something is ready after all or a lock is another's.
#[inline(never)]
unsafe extern "C" fn park<C: Listed>(w: &'static Worker, cases: *const C, n: usize, long: LongWay<C>) -> i32 {
    // SAFETY: the nodes stay in place until all of them are out of the queues (L4).
    unsafe {
        let g = w.current.get();
        if !sched::waits_plainly(w, g, FOREVER) {
            return long(cases, n, FOREVER); // to ask takes a call
        }
        let wt = &raw const (*g).waiter;
        let mut nodes = take_nodes(n);
        let base = nodes.as_mut_ptr();
        let mut grants = [const { MaybeUninit::<u8>::uninit() }; MOST];
        (*wt).begin_multi();
        for i in 0..n {
            let p = (*cases.add(i)).plain_again();
            match queue(w, &p, wt, base, i) {
                Some(grant) => grants[i].write(grant as u8),
                None => {
                    take_back(cases, base, &grants[..i]);
                    (*wt).end();
                    give_nodes(Some(w), nodes);
                    return long(cases, n, FOREVER);
                }
            };
        }
        for (i, grant) in grants.iter().enumerate().take(n) {
            let h = (*cases.add(i)).plain_again().chan.header();
            h.lock.give_back(usize::from(grant.assume_init())).wake();
        }
        sched::park_on(w, g, Reason::Select);
        let w = worker::current();
        let winner = (*wt).winner();
        for i in 0..n {
            let node = base.add(i);
            if node != winner {
                let p = (*cases.add(i)).plain_again();
                leave(w, p.chan.header(), node, p.sends);
            }
        }
        let answer = match winner.as_ref() {
            Some(node) => chosen(cases, node.case as usize, node.ok),
            None => code_of((*wt).outcome().into()),
        };
        give_nodes(w, nodes);
        answer
    }
}

/// Locks the channel of the `i`-th case and queues its node there. `None`, and nothing has happened: the case may be ready, or the lock cannot be had
/// at once.
#[inline(always)]
unsafe fn queue(w: &Worker, p: &Plain<'_>, wt: *const Waiter, base: *mut Node, i: usize) -> Option<usize> {
    let h = p.chan.header();
    // SAFETY: the lock is held; there is a node for each case.
    unsafe {
        let grant = match h.lock.lock_another(w.word()) {
            Owned::Held(grant) => grant,
            Owned::Not => return None,
            Owned::Lost(grant) => {
                h.lock.leave(grant).wake();
                return None;
            }
        };
        if p.chan.select_look(p.sends).is_none() {
            h.lock.give_back(grant).wake();
            return None;
        }
        let node = base.add(i);
        (*node).set(wt, p.elem, i as u32, true);
        match p.sends {
            true => h.enqueue(node, true),
            false => (*h.recvq.get()).push_back(node), // there is no timer to arm
        }
        Some(grant)
    }
}

/// Takes the first nodes out again, under the locks that have been held since they were queued.
#[cold]
unsafe fn take_back<C: Listed>(cases: *const C, base: *mut Node, grants: &[MaybeUninit<u8>]) {
    for (i, grant) in grants.iter().enumerate() {
        // SAFETY: `queue` has queued the node and got the lock by this grant.
        unsafe {
            let p = (*cases.add(i)).plain_again();
            p.chan.header().dequeue(base.add(i), p.sends);
            p.chan.header().lock.give_back(usize::from(grant.assume_init())).wake();
        }
    }
}

/// Takes a node out that was not chosen.
#[inline(always)]
unsafe fn leave(w: Option<&'static Worker>, h: &Header, node: *mut Node, sends: bool) {
    h.lock_of(w);
    // SAFETY: the lock is held; the node was queued here.
    unsafe {
        h.dequeue(node, sends);
        h.unlock();
    }
}

/// The answer: the `i`-th case ran.
#[inline(always)]
unsafe fn chosen<C: Listed>(cases: *const C, i: usize, ok: bool) -> i32 {
    // SAFETY: by the caller there is such a case, and it is plain.
    unsafe {
        let c = &*cases.add(i);
        c.note(ok);
        if !ok {
            let p = c.plain_again();
            if p.sends {
                return code_of(Error::Closed);
            }
            p.elem.write_bytes(0, p.chan.elem_size());
        }
        i as i32
    }
}
