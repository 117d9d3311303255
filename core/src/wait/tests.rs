//! The claim under the model checker: who ends a wait, and what the waiter sees of it.

use super::*;
use crate::cell::check;
use crate::list::List;
use crate::rank::Rank;
use loom::sync::Arc;
use loom::thread;

/// An object with a queue, and one thread that waits on it.
struct Toy {
    queue: sys::Mutex<List<Node>>,
    thread: ThreadWaiter,
    /// A second membership, as a select has.
    second: core::cell::UnsafeCell<Node>,
    /// What the claimer completes before it lets the waiter go on.
    slot: UnsafeCell<u32>,
}
// SAFETY: nodes are used under the lock or by the claimer (W3), the slot by the claimer and then the waiter (W2).
unsafe impl Sync for Toy {}
// SAFETY: as above.
unsafe impl Send for Toy {}

fn toy() -> Arc<Toy> {
    Arc::new(Toy {
        queue: sys::Mutex::new(Rank::Chan, List::new()),
        thread: ThreadWaiter::new(),
        second: core::cell::UnsafeCell::new(Node::new()),
        slot: UnsafeCell::new(0),
    })
}

/// A counterpart takes the first node it can claim. True: it found one.
fn peer(t: &Toy, value: u32) -> bool {
    let mut queue = t.queue.lock();
    while !queue.is_empty() {
        // SAFETY: the queue is not empty and we hold its lock.
        unsafe {
            let node = queue.pop_front();
            if Node::claim(node) {
                (*node).ok = true;
                drop(queue);
                t.slot.with_mut(|p| *p += value);
                ThreadWaiter::tell(ThreadWaiter::of((*node).waiter));
                return true;
            }
        }
    }
    false
}

/// A timer or a cancellation, which knows the waiter and no queue.
fn other(t: &Toy, outcome: Outcome, value: u32) -> bool {
    let won = t.thread.waiter.try_claim(outcome);
    if won {
        // SAFETY: we have claimed the waiter.
        unsafe {
            t.slot.with_mut(|p| *p += value);
            ThreadWaiter::tell(&t.thread);
        }
    }
    won
}

/// Queues `n` nodes of one wait with several parties.
fn begin(t: &Toy, n: usize) {
    t.thread.waiter.begin_multi();
    let mut queue = t.queue.lock();
    for node in [t.thread.node.get(), t.second.get()].into_iter().take(n) {
        // SAFETY: the nodes are ours and in no queue.
        unsafe {
            (*node).set(&t.thread.waiter, null_mut(), 0, true);
            queue.push_back(node);
        }
    }
}

/// Waits, and takes the nodes that did not win out of the queue (W4).
fn finish(t: &Toy) -> Outcome {
    let outcome = t.thread.sleep(i64::MAX, |word, deadline| {
        sys::futex_wait(word, ASLEEP, deadline);
        None
    });
    let mut queue = t.queue.lock();
    for node in [t.thread.node.get(), t.second.get()] {
        // SAFETY: the nodes are ours, and in this queue if in any, whose lock we hold.
        unsafe { queue.remove_if_linked(node) };
    }
    outcome
}

#[test]
fn loom_wait_peer_timer_and_cancel_race() {
    check(2, || {
        let t = toy();
        let (a, b, c) = (t.clone(), t.clone(), t.clone());
        begin(&t, 1);
        let peer = thread::spawn(move || peer(&a, 1));
        let timer = thread::spawn(move || other(&b, Outcome::TimedOut, 10));
        let cancel = thread::spawn(move || other(&c, Outcome::Cancelled, 100));
        let outcome = finish(&t);
        // What the winner did before it readied us is visible, and nobody else did anything.
        // SAFETY: the claimer was done with it before it told us.
        let slot = t.slot.with(|p| unsafe { *p });
        let expected = match outcome {
            Outcome::Peer => 1,
            Outcome::TimedOut => 10,
            _ => 100,
        };
        assert_eq!(slot, expected, "{outcome:?}");
        assert!(t.queue.lock().is_empty());
        let won = [peer.join().unwrap(), timer.join().unwrap(), cancel.join().unwrap()];
        assert_eq!(won.iter().filter(|w| **w).count(), 1, "exactly one wins: {won:?}");
    });
}

#[test]
fn loom_wait_two_peers_take_one_of_two_nodes() {
    check(2, || {
        let t = toy();
        let (a, b) = (t.clone(), t.clone());
        begin(&t, 2);
        let first = thread::spawn(move || peer(&a, 1));
        let second = thread::spawn(move || peer(&b, 10));
        assert_eq!(finish(&t), Outcome::Peer);
        let winner = t.thread.waiter.winner();
        // SAFETY: both nodes are ours again.
        let ok = unsafe { [(*t.thread.node.get()).ok, (*t.second.get()).ok] };
        assert_eq!(ok, [winner == t.thread.node.get(), winner == t.second.get()]);
        let won = [first.join().unwrap(), second.join().unwrap()];
        assert_eq!(won.iter().filter(|w| **w).count(), 1, "a node that lost is skipped: {won:?}");
        // SAFETY: everybody is done.
        assert_eq!(t.slot.with(|p| unsafe { *p }), if won[0] { 1 } else { 10 });
    });
}

#[test]
fn loom_wait_late_parties_of_one_wait_spare_the_next() {
    check(2, || {
        let t = toy();
        let a = t.clone();
        begin(&t, 1);
        let peers = thread::spawn(move || peer(&a, 1));
        // The waiter is the timer itself here: whoever claims first has the wait.
        let timed_out = t.thread.waiter.try_claim(Outcome::TimedOut);
        if timed_out {
            let mut queue = t.queue.lock();
            // SAFETY: our node, under the lock.
            unsafe { queue.remove_if_linked(t.thread.node.get()) };
        } else {
            assert_eq!(finish(&t), Outcome::Peer);
        }
        // The next wait, with one party: finding its node is the claim.
        t.thread.waiter.begin_single();
        let mut queue = t.queue.lock();
        // SAFETY: our node, in no queue.
        unsafe {
            (*t.thread.node.get()).set(&t.thread.waiter, null_mut(), 0, false);
            queue.push_back(t.thread.node.get());
        }
        drop(queue);
        let first = peers.join().unwrap();
        assert!(first || timed_out);
        if !timed_out {
            assert!(peer(&t, 10));
        }
        while timed_out && !first && !t.queue.lock().is_empty() {
            assert!(peer(&t, 10));
        }
        assert_eq!(finish(&t), Outcome::Peer);
        // SAFETY: everybody is done.
        let slot = t.slot.with(|p| unsafe { *p });
        assert_eq!(slot, u32::from(first) + if timed_out && first { 0 } else { 10 });
    });
}

/// A wait with one party that begins with a nap: taking the node is the claim, and whoever took it wakes the thread later, or never.
fn nap(wakes: bool, sleeps: bool) {
    check(3, move || {
        let t = toy();
        let a = t.clone();
        t.thread.waiter.begin_single();
        // SAFETY: our node, in no queue.
        unsafe {
            (*t.thread.node.get()).set(&t.thread.waiter, null_mut(), 0, false);
            t.queue.lock().push_back(t.thread.node.get());
        }
        let peer = thread::spawn(move || {
            a.queue.lock().pop_front();
            // SAFETY: taking the node was the claim.
            unsafe {
                a.slot.with_mut(|p| *p = 1);
                let word = ThreadWaiter::tell_later(&a.thread);
                if wakes && !word.is_null() {
                    sys::futex_wake_addr(word, 1);
                }
            }
        });
        t.thread.nap(|word| {
            if sleeps {
                sys::futex_wait(word, NAPPING, i64::MAX);
            }
        });
        assert_eq!(finish(&t), Outcome::Peer);
        // SAFETY: the claimer was done with it before it told us.
        assert_eq!(t.slot.with(|p| unsafe { *p }), 1);
        peer.join().unwrap();
        assert_eq!(t.thread.word.load(Ordering::Relaxed), UP, "ready for the next wait");
    });
}

#[test]
fn loom_wait_a_nap_that_ends_by_itself_needs_nobody() {
    nap(false, false);
}

#[test]
fn loom_wait_a_napper_is_woken_later() {
    nap(true, true);
}

#[test]
fn loom_wait_a_wake_up_after_the_nap_is_harmless() {
    nap(true, false);
}
