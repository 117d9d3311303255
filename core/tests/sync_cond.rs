//! The condition variable (CV-01 to CV-05) and the barrier.
//!
//! Go's scenarios (`sync/cond_test.go`) are written anew from what they check.

mod common;

use common::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::context::{with_cancel, Context};
use zokor::raw::{time_in, Error, RawCond, RawMutex, FOREVER, NOWAIT};
use zokor::sync::{Barrier, Condvar, Mutex, WaitError};
use zokor::{go, Builder, JoinHandle};

const ON: &str = "cond";

/// A queue of numbers behind a condition variable.
#[derive(Default)]
struct Shared {
    mutex: Mutex<Vec<usize>>,
    cond: Condvar,
}

fn waiter(s: &Arc<Shared>, i: usize) -> JoinHandle<()> {
    let s = s.clone();
    go_parked(ON, move || {
        let mut guard = s.mutex.lock();
        s.cond.wait(&mut guard);
        guard.push(i);
    })
}

#[test]
fn cv01_wait_unlocks_while_it_waits_and_locks_again() {
    check(|| {
        let s = Arc::new(Shared::default());
        let w = waiter(&s, 1);
        let guard = s.mutex.try_lock().expect("the waiter has given it up");
        assert!(s.cond.notify_one());
        until_parked(&w, "mutex");
        drop(guard);
        w.join().unwrap();
        assert_eq!(*s.mutex.lock(), [1]);
    });
}

fn wait_without_lock() {
    zokor::run(|| {
        drop(std::panic::catch_unwind(|| RawCond::new().wait_forever(&RawMutex::new())));
        went_on();
    });
}

#[test]
#[ignore = "what the children of the other tests run"]
fn program() {
    run_program(&[("wait_without_lock", wait_without_lock)]);
}

#[test]
fn cv01_wait_without_the_lock_is_fatal() {
    let end = outcome_of("wait_without_lock", &[]);
    end.assert_aborted().assert_did_not_go_on().assert_err_has("sync: unlock of unlocked mutex");
}

#[test]
fn cv02_nothing_but_a_notification_wakes() {
    check(|| {
        let s = Arc::new(Shared::default());
        let all: Vec<_> = (0..10).map(|i| waiter(&s, i)).collect();
        for woken in 0..10 {
            assert_eq!(s.mutex.lock().len(), woken);
            assert_eq!(count_parked(ON), 10 - woken);
            assert!(s.cond.notify_one());
            wait_until(|| s.mutex.lock().len() == woken + 1);
        }
        for h in all {
            h.join().unwrap();
        }
    });
}

#[test]
fn cv03_notifications_go_to_the_first_and_are_not_kept() {
    check(|| {
        let s = Arc::new(Shared::default());
        assert!(!s.cond.notify_one(), "nobody waits");
        assert_eq!(s.cond.notify_all(), 0);
        let all: Vec<_> = (0..20).map(|i| waiter(&s, i)).collect();
        for i in 0..20 {
            s.cond.notify_one();
            wait_until(|| s.mutex.lock().last() == Some(&i));
        }
        for h in all {
            h.join().unwrap();
        }
        assert_eq!(*s.mutex.lock(), (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn cv04_a_broadcast_wakes_those_who_wait_and_nobody_later() {
    check(|| {
        let s = Arc::new(Shared::default());
        let early: Vec<_> = (0..8).map(|i| waiter(&s, i)).collect();
        let guard = s.mutex.lock();
        assert_eq!(s.cond.notify_all(), 8);
        drop(guard);
        let late = waiter(&s, 99);
        for h in early {
            h.join().unwrap();
        }
        assert!(is_parked(late.id(), ON));
        assert_eq!(s.mutex.lock().len(), 8);
        s.cond.notify_one();
        late.join().unwrap();
    });
}

#[test]
fn cv04_a_later_waiter_does_not_steal_a_notification() {
    // Go's TestCondSignalStealing: what was sent to the first is not taken by one who comes in between.
    check(|| {
        for _ in 0..50 {
            let s = Arc::new(Shared::default());
            let first = waiter(&s, 1);
            assert!(s.cond.notify_one());
            let s2 = s.clone();
            let second = go(move || {
                let mut guard = s2.mutex.lock();
                s2.cond.wait(&mut guard);
                guard.push(2);
            });
            first.join().unwrap();
            assert_eq!(*s.mutex.lock(), [1]);
            until_parked(&second, ON);
            s.cond.notify_one();
            second.join().unwrap();
        }
    });
}

#[test]
fn hb09_what_happens_before_a_notification_is_seen() {
    check(|| {
        let s = Arc::new(Shared::default());
        let s2 = s.clone();
        let consumer = go(move || {
            let mut seen = 0;
            let mut guard = s2.mutex.lock();
            while seen < 500 {
                s2.cond.wait_while(&mut guard, |queue| queue.is_empty());
                seen += guard.drain(..).count();
            }
            seen
        });
        let s3 = s.clone();
        zokor::raw::hold(); // a thread counts as alive from its first call on
        let thread = std::thread::spawn(move || {
            for i in 0..250 {
                s3.mutex.lock().push(i);
                s3.cond.notify_one();
            }
            zokor::raw::release();
        });
        for i in 0..250 {
            s.mutex.lock().push(i);
            s.cond.notify_one();
        }
        assert_eq!(consumer.join().unwrap(), 500);
        thread.join().unwrap();
    });
}

#[test]
fn a_deadline_ends_the_wait_with_the_mutex_locked() {
    check(|| {
        let (m, c) = (RawMutex::new(), RawCond::new());
        m.lock();
        assert_eq!(c.wait(&m, NOWAIT), Err(Error::WouldBlock));
        assert_eq!(c.wait(&m, 1), Err(Error::TimedOut));
        assert_eq!(c.wait(&m, time_in(5_000_000)), Err(Error::TimedOut));
        assert!(m.is_locked());
        m.unlock();
        assert!(!c.signal(), "who gave up takes no notification");

        let s = Shared::default();
        let mut guard = s.mutex.lock();
        let start = Instant::now();
        assert_eq!(s.cond.wait_for(&mut guard, Duration::from_millis(5)), Err(WaitError::TimedOut));
        assert!(start.elapsed() >= Duration::from_millis(5));
    });
}

#[test]
fn a_cancelled_goroutine_stops_waiting() {
    check(|| {
        let (ctx, cancel) = with_cancel(&Context::background());
        let both = Arc::new((RawMutex::new(), RawCond::new()));
        let b = both.clone();
        let w = Builder::new()
            .context(&ctx)
            .go(move || {
                b.0.lock();
                let r = b.1.wait(&b.0, FOREVER);
                b.0.unlock();
                r
            })
            .unwrap();
        until_parked(&w, ON);
        cancel.cancel();
        assert_eq!(w.join().unwrap(), Err(Error::Cancelled));
        assert_eq!(both.1.broadcast(), 0);
    });
}

#[test]
fn notifications_race_with_deadlines_and_none_is_lost() {
    check(|| {
        let s = Arc::new(Shared::default());
        let got = Counter::default();
        let waiters: Vec<_> = (0..6)
            .map(|i| {
                let (s, got) = (s.clone(), got.clone());
                go(move || {
                    let mut rng = Rng::new(i);
                    for _ in 0..150 {
                        let mut guard = s.mutex.lock();
                        let time = Duration::from_micros(rng.below(100) as u64);
                        if s.cond.wait_for(&mut guard, time).is_ok() {
                            got.add(1);
                        }
                    }
                })
            })
            .collect();
        let mut sent = 0;
        while waiters.iter().any(|h| !h.is_finished()) {
            sent += i64::from(s.cond.notify_one());
            zokor::yield_now();
        }
        for h in waiters {
            h.join().unwrap();
        }
        assert_eq!(got.get(), sent, "each notification that found somebody was his");
    });
}

// ---- barrier ------------------------------------------------------------------------------------------

#[test]
fn barrier_passes_n_together_with_one_leader() {
    check(|| {
        let b = Arc::new(Barrier::new(4));
        let (before, leaders) = (Counter::default(), Counter::default());
        let all: Vec<_> = (0..4)
            .map(|_| {
                let (b, before, leaders) = (b.clone(), before.clone(), leaders.clone());
                go(move || {
                    for round in 1..=20 {
                        before.add(1);
                        leaders.add(i64::from(b.wait().is_leader()));
                        assert!(before.get() >= 4 * round);
                        b.wait();
                    }
                })
            })
            .collect();
        for h in all {
            h.join().unwrap();
        }
        assert_eq!((before.get(), leaders.get()), (80, 20));
    });
}

#[test]
fn barrier_does_not_count_who_gave_up() {
    check(|| {
        let b = Arc::new(Barrier::new(2));
        let err = b.wait_until(Instant::now() + Duration::from_millis(5)).err();
        assert_eq!(err, Some(WaitError::TimedOut));
        let b2 = b.clone();
        let first = go_parked("barrier", move || b2.wait().is_leader());
        assert!(b.wait().is_leader());
        assert!(!first.join().unwrap());
    });
}
