//! The wait group under the model checker: nobody is left waiting, and nobody uses a group that was freed (A3).

use super::*;
use crate::cell::check;
use crate::cell::UnsafeCell as Tracked;
use loom::sync::Arc;
use loom::thread;

/// What a waiter frees: the model notes a use that is not ordered before it.
struct Toy {
    group: RawWaitGroup,
    alive: Tracked<bool>,
}
// SAFETY: as the invariants under test say.
unsafe impl Sync for Toy {}
// SAFETY: as above.
unsafe impl Send for Toy {}

fn toy(n: i64) -> Arc<Toy> {
    let t = Arc::new(Toy { group: RawWaitGroup::new(), alive: Tracked::new(true) });
    t.group.add(n).unwrap();
    t
}

impl Toy {
    /// A member's last act: its look at the memory must be over before anybody frees it.
    fn done(&self) {
        // SAFETY: the waiters free it after all members.
        assert!(self.alive.with(|p| unsafe { *p }));
        self.group.done().unwrap();
    }

    fn free(&self) {
        // SAFETY: everybody is done with it, as the model checks.
        self.alive.with_mut(|p| unsafe { *p = false });
        assert_eq!(self.group.state.load(Ordering::Relaxed), 0, "the word is zero for good");
    }
}

#[test]
fn loom_waitgroup_two_members_one_waiter() {
    check(2, || {
        let t = toy(2);
        let others: Vec<_> = (0..2)
            .map(|_| {
                let t = t.clone();
                thread::spawn(move || t.done())
            })
            .collect();
        t.group.wait_forever(Reason::WaitGroup);
        t.free();
        others.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn loom_waitgroup_whoever_finds_it_zero_comes_after_the_release() {
    check(2, || {
        let t = toy(1);
        let (a, b) = (t.clone(), t.clone());
        let member = thread::spawn(move || a.done());
        let waiter = thread::spawn(move || b.group.wait_forever(Reason::WaitGroup));
        t.group.wait_forever(Reason::WaitGroup);
        waiter.join().unwrap();
        t.free();
        member.join().unwrap();
    });
}

#[test]
fn loom_waitgroup_a_mark_that_was_left_behind() {
    check(2, || {
        let t = toy(1);
        // Somebody waited here and gave up.
        t.group.state.fetch_or(QUEUED, Ordering::Relaxed);
        let a = t.clone();
        let member = thread::spawn(move || a.done());
        t.group.wait_forever(Reason::WaitGroup);
        t.free();
        member.join().unwrap();
    });
}
