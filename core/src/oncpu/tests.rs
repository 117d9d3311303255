//! The hand-over under the model checker.

use super::*;
use crate::cell::UnsafeCell;
use crate::rank::Rank;
use crate::sys::Mutex;
use crate::wait::{Outcome, Waiter};
use loom::sync::Arc;
use loom::thread;

/// A goroutine as far as this protocol goes.
struct Toy {
    waiter: Waiter,
    on_cpu: OnCpu,
    /// Stands for the saved words and the stack.
    frames: UnsafeCell<u32>,
    /// The object's queue: whether the goroutine is in it.
    queue: Mutex<bool>,
    /// The run queue of the other worker.
    ready: Mutex<bool>,
}
// SAFETY: what is in the cells is handed over by the protocol under test.
unsafe impl Sync for Toy {}
// SAFETY: as above.
unsafe impl Send for Toy {}

fn toy() -> Arc<Toy> {
    Arc::new(Toy {
        waiter: Waiter::goroutine(),
        on_cpu: OnCpu::new(),
        frames: UnsafeCell::new(0),
        queue: Mutex::new(Rank::Chan, false),
        ready: Mutex::new(Rank::Inject, false),
    })
}

/// The worker that runs the goroutine parks it: publish, go on using the stack, switch, complete.
fn park(t: &Toy) {
    t.waiter.begin_single();
    *t.queue.lock() = true;
    // SAFETY: not saved yet, so the stack is still ours.
    t.frames.with_mut(|p| unsafe { *p += 1 });
    t.on_cpu.saved();
}

/// Somebody claims it and makes it ready.
fn ready(t: &Toy) -> bool {
    let claimed = std::mem::take(&mut *t.queue.lock());
    if claimed {
        *t.ready.lock() = true;
    }
    claimed
}

/// A worker resumes it.
fn resume(t: &Toy) -> bool {
    let mine = std::mem::take(&mut *t.ready.lock());
    if mine {
        t.on_cpu.wait_until_saved();
        t.on_cpu.take();
        assert_eq!(t.waiter.outcome(), Outcome::Peer);
        // SAFETY: saved, and we took it out of the queue.
        t.frames.with_mut(|p| unsafe { *p += 10 });
    }
    mine
}

#[test]
fn loom_oncpu_resumed_only_when_saved() {
    crate::cell::check(3, || {
        let t = toy();
        t.on_cpu.take();
        let (a, b) = (t.clone(), t.clone());
        let parker = thread::spawn(move || {
            park(&a);
            // The same worker may be the one that resumes it.
            resume(&a)
        });
        let readier = thread::spawn(move || ready(&b) && resume(&b));
        let by_parker = parker.join().unwrap();
        let by_readier = readier.join().unwrap();
        let left = *t.ready.lock();
        let still = *t.queue.lock();
        let all = [by_parker, by_readier, left, still];
        assert_eq!(all.iter().filter(|x| **x).count(), 1, "in one place, once: {all:?}");
        let frames = if by_parker || by_readier { 11 } else { 1 };
        // SAFETY: both threads have ended.
        assert_eq!(t.frames.with(|p| unsafe { *p }), frames);
    });
}

#[test]
fn loom_oncpu_goes_round() {
    crate::cell::check(3, || {
        let t = toy();
        t.on_cpu.take();
        let a = t.clone();
        // Parks on one worker; the other makes it ready, resumes it, and parks it again for the first.
        let first = thread::spawn(move || {
            park(&a);
            while !resume(&a) {
                thread::yield_now();
            }
        });
        while !ready(&t) {
            thread::yield_now();
        }
        let here = resume(&t);
        if here {
            park(&t);
            assert!(ready(&t));
        }
        first.join().unwrap();
        // SAFETY: the other thread has ended.
        let frames = t.frames.with(|p| unsafe { *p });
        assert_eq!(frames, if here { 22 } else { 11 });
    });
}
