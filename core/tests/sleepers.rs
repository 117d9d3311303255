//! Many sleepers at once, and what else wants to run beside them: rules G-12, T-17 and T-19.

mod common;

use common::*;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::{raw, WaitGroup};

const FEW: Duration = Duration::from_micros(500);

/// Starts `f` as the one or the other kind.
fn start(migrating: bool, f: impl FnOnce() + Send + 'static) {
    if migrating {
        // SAFETY: the functions of these tests use nothing that belongs to a thread.
        drop(unsafe { zokor::go_migrating(f) });
    } else {
        drop(zokor::go(f));
    }
}

/// Holds its worker for some microseconds, without a call.
fn work() {
    (0..2_000).for_each(|n| {
        std::hint::black_box(n);
    });
}

/// Whoever has slept does not go behind all that have not begun: how many of those have run when it is its turn?
#[test]
fn g12_who_has_slept_takes_turns_with_who_has_not_begun() {
    const FRESH: usize = 2_000;
    check_on(&[1], || {
        for migrating in [false, true] {
            let (wg, ran, seen) =
                (Arc::new(WaitGroup::new()), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(usize::MAX)));
            wg.add(1);
            let sleepers = raw::stats().timers;
            start(migrating, {
                let (wg, ran, seen) = (wg.clone(), ran.clone(), seen.clone());
                move || {
                    zokor::sleep(FEW);
                    seen.store(ran.load(Relaxed), Relaxed);
                    wg.done();
                }
            });
            wait_until(|| raw::stats().timers > sleepers || seen.load(Relaxed) != usize::MAX);
            wg.add(FRESH as i64);
            for _ in 0..FRESH {
                let (wg, ran) = (wg.clone(), ran.clone());
                start(true, move || {
                    work();
                    ran.fetch_add(1, Relaxed);
                    wg.done();
                });
            }
            wg.wait();
            let seen = seen.load(Relaxed);
            assert!(seen < FRESH / 2, "{seen} of {FRESH} ran before it, migrating: {migrating}");
        }
    });
}

/// The other way round: timers that are always due keep nobody from beginning.
#[test]
fn g12_who_sleeps_again_and_again_lets_others_begin() {
    check(|| {
        let (wg, stop) = (Arc::new(WaitGroup::new()), Counter::default());
        for i in 0..200 {
            wg.add(1);
            let (wg, stop) = (wg.clone(), stop.clone());
            start(i % 2 == 0, move || {
                while stop.get() == 0 {
                    zokor::sleep(Duration::from_micros(20));
                    work();
                }
                wg.done();
            });
        }
        let begun = Arc::new(WaitGroup::new());
        begun.add(2_000);
        for i in 0..2_000 {
            let begun = begun.clone();
            start(i % 2 == 0, move || begun.done());
        }
        begun.wait();
        stop.add(1);
        wg.wait();
    });
}

/// Deadlines that follow each other more closely than it takes to wake a thread: each sleeps long enough, none is forgotten, also if
/// threads that are no workers and waits with a deadline are among them.
#[test]
fn t19_dense_deadlines_are_all_kept() {
    const N: u64 = 3_000;
    check(|| {
        let wg = Arc::new(WaitGroup::new());
        let (tx, rx) = zokor::channel::bounded::<()>(1);
        let mut rng = Rng::fresh();
        for i in 0..N {
            let d = Duration::from_nanos(1_000_000 + rng.below(5_000_000) as u64);
            let (wg, rx) = (wg.clone(), rx.clone());
            wg.add(1);
            start(i % 2 == 0, move || {
                let begin = Instant::now();
                match i % 3 {
                    0 => assert!(rx.recv_timeout(d).is_err()),
                    _ => zokor::sleep(d),
                }
                assert!(begin.elapsed() >= d);
                wg.done();
            });
        }
        let threads: Vec<_> = (0..2)
            .map(|_| {
                std::thread::spawn(|| {
                    for _ in 0..20 {
                        let begin = Instant::now();
                        zokor::sleep(FEW);
                        assert!(begin.elapsed() >= FEW);
                    }
                })
            })
            .collect();
        wg.wait();
        let joined = zokor::blocking(move || threads.into_iter().all(|t| t.join().is_ok()));
        assert!(joined, "the threads slept long enough");
        drop(tx);
    });
}

/// A wait that its timer may end at the very moment at which somebody else does: whoever it was, the timer is out of the way, and the
/// next wait lasts as long as it is to.
#[test]
fn t18_a_timer_that_came_too_late_ends_no_later_wait() {
    check(|| {
        for migrating in [false, true] {
            let wg = Arc::new(WaitGroup::new());
            let mut rng = Rng::fresh();
            for _ in 0..50 {
                let (tx, rx) = zokor::channel::bounded::<u32>(0);
                let (wait, send) = (rng.below(60) as u64, rng.below(60) as u64);
                wg.add(2);
                let (a, b) = (wg.clone(), wg.clone());
                start(migrating, move || {
                    for n in 0..20 {
                        let _ = rx.recv_timeout(Duration::from_micros(wait + n));
                        let begin = Instant::now();
                        zokor::sleep(Duration::from_micros(30));
                        assert!(begin.elapsed() >= Duration::from_micros(30));
                    }
                    drop(rx);
                    a.done();
                });
                start(migrating, move || {
                    let mut open = true;
                    while open {
                        zokor::sleep(Duration::from_micros(send));
                        open = tx.send(1).is_ok();
                    }
                    b.done();
                });
            }
            wg.wait();
        }
    });
}
