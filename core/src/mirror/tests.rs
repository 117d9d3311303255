//! Looks at one and at several channels under the model checker.

use super::*;
use crate::cell::check;
use crate::rank::Rank;
use crate::sys::Mutex;
use loom::sync::Arc;
use loom::thread;

/// A channel of two slots as far as this protocol goes.
struct Toy {
    lock: Mutex<usize>,
    mirror: Mirror,
}

impl Toy {
    fn with(n: usize) -> Toy {
        let mirror = Mirror::new(false);
        mirror.set_len(n);
        Toy { lock: Mutex::new(Rank::Chan, n), mirror }
    }

    fn send(&self) {
        let mut n = self.lock.lock();
        *n += 1;
        self.mirror.set_len(*n);
    }

    fn take(&self) -> bool {
        let mut n = self.lock.lock();
        let some = *n > 0;
        if some {
            *n -= 1;
            self.mirror.set_len(*n);
        }
        some
    }

    fn close(&self) {
        let _n = self.lock.lock();
        self.mirror.close();
    }

    fn empty(&self) -> Option<u64> {
        self.mirror.look(Mirror::is_empty)
    }

    fn full(&self) -> Option<u64> {
        self.mirror.look(|m| m.is_full(2))
    }
}

/// Runs `moves` beside a look at two channels of which one is ready at any time.
fn never_none(a: usize, b: usize, moves: impl Fn(&Toy, &Toy) + Send + Sync + 'static) {
    let moves = std::sync::Arc::new(moves);
    check(3, move || {
        let toys = Arc::new((Toy::with(a), Toy::with(b)));
        let other = {
            let (toys, moves) = (toys.clone(), moves.clone());
            thread::spawn(move || moves(&toys.0, &toys.1))
        };
        assert!(!none_possible(2, |i| if i == 0 { toys.0.empty() } else { toys.1.empty() }));
        other.join().unwrap();
    });
}

/// The value goes from the one that is looked at last to the first, and back.
#[test]
fn loom_mirror_a_value_that_moves_is_seen_in_either_place() {
    never_none(0, 1, |a, b| {
        a.send();
        assert!(b.take());
        b.send();
        assert!(a.take());
    });
}

#[test]
fn loom_mirror_a_value_that_moves_on_is_seen() {
    never_none(1, 0, |a, b| {
        b.send();
        assert!(a.take());
        a.send();
        assert!(b.take());
    });
}

#[test]
fn loom_mirror_a_close_is_seen_before_the_other_one_is_emptied() {
    never_none(0, 1, |a, b| {
        a.close();
        assert!(b.take());
    });
    never_none(1, 0, |a, b| {
        b.close();
        assert!(a.take());
    });
}

/// Three parties: one makes the first ready, another sees that and empties the second.
#[test]
fn loom_mirror_what_another_thread_did_before_is_seen() {
    check(3, || {
        let toys = Arc::new((Toy::with(0), Toy::with(1)));
        let sender = {
            let toys = toys.clone();
            thread::spawn(move || toys.0.send())
        };
        let taker = {
            let toys = toys.clone();
            thread::spawn(move || {
                let there = *toys.0.lock.lock() > 0;
                there && toys.1.take()
            })
        };
        assert!(!none_possible(2, |i| if i == 0 { toys.0.empty() } else { toys.1.empty() }));
        sender.join().unwrap();
        taker.join().unwrap();
    });
}

/// A send and a receive: the buffer is full at the one while nothing can be received from the other.
#[test]
fn loom_mirror_full_and_empty_are_looked_at_alike() {
    check(3, || {
        let toys = Arc::new((Toy::with(2), Toy::with(1)));
        let other = {
            let toys = toys.clone();
            thread::spawn(move || {
                assert!(toys.0.take()); // now there is room
                assert!(toys.1.take());
                toys.1.send();
                toys.0.send();
            })
        };
        assert!(!none_possible(2, |i| if i == 0 { toys.0.full() } else { toys.1.empty() }));
        other.join().unwrap();
    });
}

/// One channel that is closed while it still holds a value is never empty and open.
#[test]
fn loom_mirror_closed_with_a_value_is_never_empty() {
    check(3, || {
        let toy = Arc::new(Toy::with(1));
        let other = {
            let toy = toy.clone();
            thread::spawn(move || {
                toy.close();
                assert!(toy.take());
            })
        };
        assert!(!toy.mirror.is_empty());
        other.join().unwrap();
    });
}

/// What is not possible all the time is found so.
#[test]
fn loom_mirror_nothing_is_found_where_nothing_happens() {
    check(3, || {
        let (a, b) = (Toy::with(0), Toy::with(2));
        assert!(none_possible(0, |_| None));
        assert!(none_possible(2, |i| if i == 0 { a.empty() } else { b.full() }));
        a.send();
        assert!(!none_possible(2, |i| if i == 0 { a.empty() } else { b.full() }));
    });
}
