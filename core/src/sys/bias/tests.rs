//! The channel lock: exclusion, owners that come and go, wake-ups; on threads and in a model.

use super::super::absent::Absence;
use super::{BiasedLock, Ordering, Owned, ASKED, BY_LOCK, GRANTS, NOBODY, OFFERED};
use crate::cell::UnsafeCell;

struct Counter(BiasedLock, UnsafeCell<u64>);
// SAFETY: the number is reached under the lock alone.
unsafe impl Sync for Counter {}
// SAFETY: as above.
unsafe impl Send for Counter {}

impl Counter {
    fn new() -> Counter {
        Counter(BiasedLock::new(), UnsafeCell::new(0))
    }

    /// Adds one, as the thread `me`. Says by which way it held the lock.
    fn add(&self, me: usize) -> u8 {
        self.0.lock(me);
        // SAFETY: under the lock; the model checks it.
        self.1.with_mut(|n| unsafe { *n += 1 });
        // SAFETY: as above.
        let held = self.0.guarded.with(|g| unsafe { (*g).held });
        // SAFETY: locked above.
        unsafe { self.0.unlock() };
        held
    }

    /// Adds one, as the thread `me`, which then parks and has nothing else to run if `is_last`.
    fn add_and_park(&self, me: usize, is_last: bool) {
        self.0.lock(me);
        self.count();
        // SAFETY: locked above.
        unsafe { self.0.unlock_to_park(|| is_last) };
    }

    /// The same as `add`, by the short way if that is open.
    fn add_shortly(&self, me: usize) {
        let grant = match self.0.lock_owned(me) {
            Owned::Held(grant) => grant,
            Owned::Lost(grant) => {
                self.0.leave(grant).wake();
                self.add(me);
                return;
            }
            Owned::Not => {
                self.add(me);
                return;
            }
        };
        // SAFETY: under the lock; the model checks it.
        self.1.with_mut(|n| unsafe { *n += 1 });
        // SAFETY: locked above.
        unsafe { self.0.give_back(grant) }.wake();
    }

    /// Adds one under a lock that is held.
    fn count(&self) {
        // SAFETY: by the caller; the model checks it.
        self.1.with_mut(|n| unsafe { *n += 1 });
    }

    /// The number, when all threads are done.
    fn sum(&self) -> u64 {
        // SAFETY: the threads that wrote it are joined.
        self.1.with(|n| unsafe { *n })
    }

    fn owner(&self) -> usize {
        self.0.owner.load(Ordering::Relaxed)
    }

    fn has_owner(&self) -> bool {
        self.owner() != NOBODY
    }

    /// How many owners are missing. For who has it alone.
    fn absent(&self) -> u8 {
        // SAFETY: by the caller.
        self.0.guarded.with(|g| unsafe { (*g).absent })
    }
}

/// Adds one to both at once, the second lock first, if `me` owns them and nobody takes them away. Says whether it did.
fn add_to_both([a, b]: &[Counter; 2], me: usize) -> bool {
    let second = match b.0.lock_another(me) {
        Owned::Held(grant) => grant,
        Owned::Not => return false,
        Owned::Lost(grant) => {
            b.0.leave(grant).wake();
            return false;
        }
    };
    let first = match a.0.lock_another(me) {
        Owned::Held(grant) => Some(grant),
        Owned::Not => None,
        Owned::Lost(grant) => {
            a.0.leave(grant).wake();
            None
        }
    };
    assert!(matches!(b.0.lock_another(me), Owned::Not)); // it is held already
    if let Some(grant) = first {
        a.count();
        b.count();
        // SAFETY: locked above.
        unsafe { a.0.give_back(grant) }.wake();
    }
    // SAFETY: locked above.
    unsafe { b.0.give_back(second) }.wake();
    first.is_some()
}

/// The word of the `i`-th thread.
fn word(i: usize) -> usize {
    i * 128
}

#[cfg(not(loom))]
mod threads {
    use super::*;
    use crate::sys::bias::{light_fences_known, TURNS};
    use std::sync::Arc;

    /// Takes the lock until it is owned, or until it could not be any more. Says whether it is.
    fn bias(c: &Counter, me: usize) -> bool {
        (0..TURNS << (GRANTS + 2)).any(|_| c.add(me) != BY_LOCK)
    }

    #[test]
    fn many_turns_in_a_row_make_an_owner() {
        crate::sys::init();
        let c = Counter::new();
        assert_eq!(bias(&c, word(1)), light_fences_known());
        assert_eq!(c.add(word(2)), BY_LOCK);
        assert!(!c.has_owner());
        assert_eq!(c.add(word(1)), BY_LOCK);
    }

    #[test]
    fn the_short_way_counts_as_well() {
        crate::sys::init();
        let c = Arc::new(Counter::new());
        assert_eq!(bias(&c, word(1)), light_fences_known());
        let (theirs, before) = (c.clone(), c.sum());
        let other = std::thread::spawn(move || (0..1000).for_each(|_| theirs.add_shortly(word(2))));
        (0..1000).for_each(|_| c.add_shortly(word(1)));
        other.join().unwrap();
        assert_eq!(c.sum(), before + 2000);
    }

    #[test]
    fn several_by_their_grants_in_any_order() {
        crate::sys::init();
        let two = [Counter::new(), Counter::new()];
        assert!(!add_to_both(&two, word(1)));
        let owned = two.iter().all(|c| bias(c, word(1)));
        for _ in 0..3 {
            assert_eq!(add_to_both(&two, word(1)), owned);
        }
        assert!(!add_to_both(&two, word(2)));
        assert_eq!(two[0].add(word(1)) != BY_LOCK, owned);
    }

    #[test]
    fn turns_of_several_make_none() {
        crate::sys::init();
        let c = Counter::new();
        for i in 0..4 * TURNS as usize {
            assert_eq!(c.add(word(1 + i % 2)), BY_LOCK);
        }
        assert!(!c.has_owner());
    }

    #[test]
    fn who_has_no_word_owns_nothing() {
        crate::sys::init();
        assert!(!bias(&Counter::new(), 0));
    }

    #[test]
    fn a_lock_that_is_tried_has_no_owner() {
        crate::sys::init();
        let c = Counter(BiasedLock::unbiased(), UnsafeCell::new(0));
        assert!(!bias(&c, word(1)));
        assert!(c.0.try_lock());
        assert!(!c.0.try_lock());
        // SAFETY: locked two lines above.
        unsafe { c.0.unlock() };
        assert_eq!(c.add(word(1)), BY_LOCK);
    }

    #[test]
    fn many_in_address_order() {
        crate::sys::init();
        let locks = [BiasedLock::unbiased(), BiasedLock::unbiased(), BiasedLock::unbiased()];
        locks.iter().for_each(|l| l.lock(word(1)));
        assert!(locks.iter().all(|l| !l.try_lock()));
        // SAFETY: locked above; any order will do.
        locks.iter().for_each(|l| unsafe { l.unlock() });
        assert!(locks.iter().all(|l| l.try_lock()));
        // SAFETY: locked above.
        locks.iter().for_each(|l| unsafe { l.unlock() });
    }

    #[test]
    fn owners_who_are_missed_have_to_come_back() {
        crate::sys::init();
        let c = Counter::new();
        for i in 1..=GRANTS {
            assert_eq!(bias(&c, word(i)), light_fences_known(), "owner {i}");
            assert_eq!(c.add(word(9)), BY_LOCK);
            assert_eq!(usize::from(c.absent()), if light_fences_known() { i } else { 0 });
        }
        assert!(!bias(&c, word(9)));
        assert_eq!(c.add(0), BY_LOCK); // who never owned it is not missed
        assert!(!bias(&c, word(9)));
        assert_eq!(c.add(word(1)), BY_LOCK);
        assert_eq!(bias(&c, word(9)), light_fences_known());
    }

    #[test]
    fn an_owner_that_was_asked_offers_the_lock() {
        crate::sys::init();
        let c = Counter::new();
        if !bias(&c, word(1)) {
            return;
        }
        let owner = c.owner();
        c.0.owner.fetch_or(ASKED, Ordering::Relaxed);
        c.0.offer(owner);
        assert_eq!(c.owner(), owner | ASKED | OFFERED);
        assert_eq!(c.add(word(2)), BY_LOCK);
        assert_eq!((c.has_owner(), c.absent()), (false, 0));
        assert!(bias(&c, word(1)));
        c.0.owner.fetch_or(ASKED, Ordering::Relaxed);
        assert_eq!(c.add(word(1)), BY_LOCK); // nobody has come
        assert_eq!(c.owner(), owner);
    }

    #[test]
    fn who_parks_last_offers_the_lock_where_others_use_it() {
        crate::sys::init();
        let c = Counter::new();
        bias(&c, word(1));
        c.add_and_park(word(1), true);
        assert_eq!(c.owner() & OFFERED != 0, !light_fences_known()); // nobody else was here
        c.add(word(2));
        let missed = c.absent();
        c.add(word(1));
        bias(&c, word(1));
        c.add_and_park(word(1), false);
        assert_eq!(c.owner() & OFFERED != 0, !light_fences_known());
        c.add_and_park(word(1), true);
        assert!(c.owner() & OFFERED != 0);
        c.add(word(2));
        assert!(!c.has_owner() && c.absent() < missed.max(1));
    }

    #[test]
    fn from_an_owner_that_is_away_it_is_taken_without_force() {
        crate::sys::init();
        let (c, me) = (Counter::new(), word(77));
        let owned = bias(&c, me);
        for _ in 0..2 * GRANTS {
            let away = Absence::of(me);
            assert_eq!(c.add(word(2)), BY_LOCK);
            assert_eq!((c.has_owner(), c.absent()), (false, 0));
            drop(away);
            assert_eq!(bias(&c, me), owned);
        }
        assert_eq!(c.add(word(2)), BY_LOCK); // it is back
        assert_eq!(c.absent(), u8::from(owned));
    }

    /// An owner in the section, and others who take the lock away and then sleep until it has left.
    #[test]
    fn who_takes_it_from_an_owner_waits_for_it() {
        crate::sys::init();
        let c = Arc::new(Counter::new());
        bias(&c, word(1));
        let before = c.sum();
        c.0.lock(word(1));
        let others: Vec<_> = (2..5)
            .map(|i| {
                let c = Arc::clone(&c);
                std::thread::spawn(move || c.add(word(i)))
            })
            .collect();
        while c.has_owner() {
            std::thread::yield_now();
        }
        // SAFETY: under the lock.
        c.1.with_mut(|n| unsafe { *n += 1 });
        // SAFETY: locked above.
        unsafe { c.0.unlock() };
        for t in others {
            assert_eq!(t.join().unwrap(), BY_LOCK);
        }
        assert_eq!(c.sum(), before + 4);
    }

    #[test]
    fn excludes_while_owners_change() {
        crate::sys::init();
        let rounds = if cfg!(miri) { 2 } else { 20 };
        for _ in 0..rounds {
            let shared = Arc::new(Counter::new());
            let turns = if cfg!(miri) { 50 } else { 20_000 };
            let threads: Vec<_> = (1..4)
                .map(|i| {
                    let c = Arc::clone(&shared);
                    std::thread::spawn(move || {
                        for k in 0..turns {
                            if k % 30 == 0 {
                                drop(Absence::of(word(10 + i)));
                            }
                            match k % 7 {
                                0 => c.add_and_park(word(10 + i), k % 2 == 0),
                                _ => drop(c.add(word(10 + i))),
                            }
                            if k % (1500 * i) == 0 {
                                std::thread::yield_now(); // leaves the others many turns in a row
                            }
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(shared.sum(), 3 * turns as u64);
        }
    }
}

#[cfg(loom)]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// With one turn to become the owner: every thread owns the lock now and then.
    fn check(threads: usize, rounds: u64) {
        crate::cell::check(3, move || {
            let c = Arc::new(Counter::new());
            let body = |c: Arc<Counter>, i: usize| move || (0..rounds).for_each(|_| drop(c.add(word(i))));
            let handles: Vec<_> = (2..=threads).map(|i| thread::spawn(body(c.clone(), i))).collect();
            body(c.clone(), 1)();
            handles.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(c.sum(), threads as u64 * rounds);
        });
    }

    /// The main thread owns the lock, again and again; the others take it away. It adds by `add`.
    fn owned(others: usize, rounds: u64, add: impl Fn(&Counter, usize) + Send + Sync + Copy + 'static) {
        crate::cell::check(3, move || {
            let c = Arc::new(Counter::new());
            c.add(word(1));
            c.add(word(1));
            assert!(c.has_owner());
            let body = |c: Arc<Counter>, i: usize| move || drop(c.add(word(i)));
            let handles: Vec<_> = (2..2 + others).map(|i| thread::spawn(body(c.clone(), i))).collect();
            (0..rounds).for_each(|_| add(&c, word(1)));
            handles.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(c.sum(), 2 + others as u64 + rounds);
        });
    }

    /// The main thread owns two locks and takes both, the second one first; another one takes both in their order.
    #[test]
    fn loom_biased_lock_two_at_once() {
        crate::cell::check(3, || {
            let two = Arc::new([Counter::new(), Counter::new()]);
            two.iter().for_each(|c| (0..2).for_each(|_| drop(c.add(word(1)))));
            let theirs = two.clone();
            let other = thread::spawn(move || {
                theirs.iter().for_each(|c| c.0.lock(word(2)));
                theirs.iter().for_each(Counter::count);
                // SAFETY: locked above.
                theirs.iter().for_each(|c| unsafe { c.0.unlock() });
            });
            let both = add_to_both(&two, word(1));
            other.join().unwrap();
            assert!(two.iter().all(|c| c.sum() == 3 + u64::from(both)));
        });
    }

    #[test]
    fn loom_biased_lock_two_threads() {
        check(2, 3);
    }

    #[test]
    fn loom_biased_lock_three_threads() {
        check(3, 1);
    }

    #[test]
    fn loom_biased_lock_owner_and_one() {
        owned(1, 3, |c, me| drop(c.add(me)));
    }

    #[test]
    fn loom_biased_lock_owner_and_two() {
        owned(2, 1, |c, me| drop(c.add(me)));
    }

    /// An owner that has met another one, and offers the lock when it parks.
    #[test]
    fn loom_biased_lock_offered_on_the_way_out() {
        crate::cell::check(3, || {
            let c = Arc::new(Counter::new());
            [1, 1, 2, 1, 1].iter().for_each(|i| drop(c.add(word(*i))));
            assert!(c.has_owner());
            let theirs = c.clone();
            let other = thread::spawn(move || (0..2).for_each(|_| drop(theirs.add(word(2)))));
            c.add_and_park(word(1), true);
            c.add(word(1));
            other.join().unwrap();
            assert_eq!(c.sum(), 9);
        });
    }

    /// An owner that goes away and comes back while another one uses the lock, and becomes the owner.
    #[test]
    fn loom_biased_lock_owner_away() {
        owned(1, 2, |c, me| {
            let away = Absence::of(me);
            loom::thread::yield_now();
            drop(away);
            c.add(me);
        });
    }

    /// The same, twice away, with one who stays for longer.
    #[test]
    fn loom_biased_lock_owners_away_in_turn() {
        crate::cell::check(3, || {
            let c = Arc::new(Counter::new());
            (0..2).for_each(|_| drop(c.add(word(1))));
            let theirs = c.clone();
            let other = thread::spawn(move || {
                (0..2).for_each(|_| drop(theirs.add(word(2))));
                drop(Absence::of(word(2)));
                theirs.add(word(2));
            });
            drop(Absence::of(word(1)));
            (0..2).for_each(|_| drop(c.add(word(1))));
            other.join().unwrap();
            assert_eq!(c.sum(), 7);
        });
    }

    /// Numbers of grants that were taken by force are used again.
    #[test]
    fn loom_biased_lock_numbers_again() {
        crate::cell::check(3, || {
            let c = Arc::new(Counter::new());
            [1, 1, 2, 1, 1].iter().for_each(|i| drop(c.add(word(*i))));
            assert_eq!((c.has_owner(), c.absent()), (true, 0));
            let theirs = c.clone();
            let other = thread::spawn(move || (0..3).for_each(|_| drop(theirs.add(word(2)))));
            (0..2).for_each(|_| drop(c.add(word(1))));
            other.join().unwrap();
            assert_eq!(c.sum(), 10);
        });
    }

    #[test]
    fn loom_biased_lock_short_way_and_one() {
        owned(1, 3, Counter::add_shortly);
    }

    #[test]
    fn loom_biased_lock_short_way_and_two() {
        owned(2, 1, Counter::add_shortly);
    }
}
