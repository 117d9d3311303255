//! The mutex: rules M-01 to M-09, between goroutines and plain threads.
//!
//! Go's scenarios (`sync/mutex_test.go`, `runtime/sema_test.go`) are written anew from what they check.

mod common;

use common::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::context::{with_cancel, Context};
use zokor::raw::{Error, RawMutex, FOREVER, NOWAIT};
use zokor::sync::{Mutex, WaitError};
use zokor::{go, Builder, Mobility};

const ON: &str = "mutex";

fn raw() -> Arc<RawMutex> {
    Arc::default()
}

#[test]
fn m01_all_zeros_is_unlocked_and_anybody_may_unlock() {
    check(|| {
        // SAFETY: all zeros is a valid mutex; that is what is tested.
        let m: RawMutex = unsafe { std::mem::zeroed() };
        let m = Arc::new(m);
        m.lock();
        assert!(m.is_locked() && !m.try_lock());
        let waits = {
            let m = m.clone();
            go_parked(ON, move || m.lock())
        };
        let unlocks = {
            let m = m.clone();
            go(move || m.unlock())
        };
        unlocks.join().unwrap();
        waits.join().unwrap();
        assert!(m.is_locked());
        let t = {
            let m = m.clone();
            std::thread::spawn(move || m.unlock())
        };
        t.join().unwrap();
        assert!(!m.is_locked());
    });
}

#[test]
fn m02_a_second_lock_by_the_holder_waits() {
    check(|| {
        let m = raw();
        let twice = {
            let m = m.clone();
            go_parked(ON, move || {
                m.lock();
                m.lock();
            })
        };
        m.unlock();
        twice.join().unwrap();
        m.unlock();
    });
}

fn unlock_of_unlocked() {
    zokor::run(|| {
        let caught = std::panic::catch_unwind(|| RawMutex::new().unlock());
        went_on();
        drop(caught);
    });
}

fn unlock_twice_with_waiter() {
    zokor::run(|| {
        let m = raw();
        m.lock();
        let m2 = m.clone();
        let _waits = go_parked(ON, move || {
            m2.lock();
            m2.unlock();
            m2.unlock();
            went_on();
        });
        m.unlock();
        drop(_waits.join());
        went_on();
    });
}

#[test]
#[ignore = "what the children of the other tests run"]
fn program() {
    run_program(&[("unlock_of_unlocked", unlock_of_unlocked), ("unlock_twice_with_waiter", unlock_twice_with_waiter)]);
}

#[test]
fn m03_unlock_of_an_unlocked_mutex_is_fatal() {
    for program in ["unlock_of_unlocked", "unlock_twice_with_waiter"] {
        let end = outcome_of(program, &[]);
        end.assert_aborted().assert_did_not_go_on().assert_err_has("sync: unlock of unlocked mutex");
    }
}

#[test]
fn m04_sem01_waiters_are_served_in_order_and_who_runs_may_barge() {
    check_on(&[1], || {
        let m = raw();
        let order = Arc::new(Mutex::new(Vec::new()));
        m.lock();
        let waiters: Vec<_> = (0..5)
            .map(|i| {
                let (m, order) = (m.clone(), order.clone());
                go_parked(ON, move || {
                    m.lock();
                    order.lock().push(i);
                    m.unlock();
                })
            })
            .collect();
        m.unlock();
        // With one worker nobody else has run since: the woken waiter competes with us, and we are here.
        assert!(m.try_lock());
        m.unlock();
        for w in waiters {
            w.join().unwrap();
        }
        assert_eq!(*order.lock(), [0, 1, 2, 3, 4]);
    });
}

/// Holds the mutex for `busy` of every round, until the other has had it ten times.
fn hog(m: &RawMutex, busy: Duration, others: &Counter) -> u64 {
    let mut rounds = 0;
    while others.get() < 10 {
        m.lock();
        let t = Instant::now();
        while t.elapsed() < busy {
            std::hint::spin_loop();
        }
        m.unlock();
        rounds += 1;
        zokor::yield_now();
    }
    rounds
}

#[test]
fn m05_starvation_hands_over() {
    check_on(&[1], || {
        let m = raw();
        m.lock();
        let m2 = m.clone();
        let starved = go_parked(ON, move || {
            m2.lock();
            m2.unlock();
        });
        // More than the patience of a millisecond: when it is woken and loses, it starves.
        let t = Instant::now();
        while t.elapsed() < Duration::from_millis(3) {
            std::hint::spin_loop();
        }
        m.unlock();
        assert!(m.try_lock(), "not starving yet: who runs may barge");
        until_parked(&starved, ON); // it has run, and lost
                                    // Now unlocking hands over: nobody else gets it in between.
        m.unlock();
        assert!(m.is_locked() && !m.try_lock());
        starved.join().unwrap();
        assert!(m.try_lock(), "with the last waiter the mode is over");
        m.unlock();
    });
}

#[test]
fn m06_a_hog_lets_others_in() {
    // Go's TestMutexFairness: held for 100 µs out of every 100 µs, and somebody else wants it ten times.
    check(|| {
        let m = raw();
        let others = Counter::default();
        let (m2, o2) = (m.clone(), others.clone());
        let hog = go(move || hog(&m2, Duration::from_micros(100), &o2));
        let start = Instant::now();
        for _ in 0..10 {
            m.lock();
            others.add(1);
            m.unlock();
            zokor::yield_now();
        }
        hog.join().unwrap();
        assert!(start.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn m06_a_hogging_thread_lets_goroutines_in() {
    check(|| {
        let m = raw();
        let others = Counter::default();
        let (m2, o2) = (m.clone(), others.clone());
        let hog = std::thread::spawn(move || hog(&m2, Duration::from_micros(100), &o2));
        for _ in 0..10 {
            m.lock();
            others.add(1);
            m.unlock();
        }
        hog.join().unwrap();
    });
}

#[test]
fn m07_try_lock_takes_what_is_free() {
    check(|| {
        let m = Mutex::new(1);
        {
            let guard = m.try_lock().expect("free");
            assert!(m.try_lock().is_none() && m.is_locked());
            assert_eq!(*guard, 1);
        }
        assert!(m.try_lock().is_some());
    });
}

#[test]
fn m08_a_panic_unlocks_and_poisons_nothing() {
    check(|| {
        let m = Arc::new(Mutex::new(0));
        let m2 = m.clone();
        let failed = go(move || {
            let mut guard = m2.lock();
            *guard = 7;
            panic!("with the mutex held");
        });
        assert!(failed.join().is_err());
        assert_eq!(*m.lock(), 7);
    });
}

#[test]
fn hb06_sections_of_goroutines_and_threads_exclude_each_other() {
    check(|| {
        let m = Arc::new(Mutex::new((0u64, 0u64)));
        let work = |m: &Mutex<(u64, u64)>, n| {
            for i in 0..n {
                let mut v = m.lock();
                assert_eq!(v.0, v.1);
                v.0 += 1;
                if i % 64 == 0 {
                    zokor::yield_now(); // with the mutex held
                }
                v.1 += 1;
            }
        };
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let m = m.clone();
                std::thread::spawn(move || work(&m, 500))
            })
            .collect();
        let goroutines: Vec<_> = (0..8)
            .map(|i| {
                let m = m.clone();
                if i % 2 == 0 {
                    go(move || work(&m, 500))
                } else {
                    // SAFETY: nothing in it belongs to a thread; the guard may be dropped on another.
                    unsafe { zokor::go_migrating(move || work(&m, 500)) }
                }
            })
            .collect();
        for g in goroutines {
            g.join().unwrap();
        }
        for t in threads {
            t.join().unwrap();
        }
        assert_eq!(*m.lock(), (5000, 5000));
    });
}

#[test]
fn a_deadline_ends_the_wait_without_the_mutex() {
    check(|| {
        let m = raw();
        m.lock();
        assert_eq!(m.lock_until(NOWAIT), Err(Error::WouldBlock));
        assert_eq!(m.lock_until(1), Err(Error::TimedOut));
        let start = Instant::now();
        assert_eq!(m.lock_until(zokor::raw::time_in(20_000_000)), Err(Error::TimedOut));
        assert!(start.elapsed() >= Duration::from_millis(20));
        // Those behind one that gave up are served all the same.
        let (m2, m3) = (m.clone(), m.clone());
        let gives_up = go_parked(ON, move || m2.lock_until(zokor::raw::time_in(30_000_000)));
        let stays = go_parked(ON, move || m3.lock());
        assert_eq!(gives_up.join().unwrap(), Err(Error::TimedOut));
        m.unlock();
        stays.join().unwrap();
        m.unlock();
        assert_eq!(m.lock_until(1), Ok(()), "a deadline in the past tries once");
        m.unlock();

        let m = Mutex::new(0);
        let guard = m.lock();
        assert!(m.try_lock_for(Duration::from_millis(1)).is_none());
        assert_eq!(m.lock_until(Instant::now()).err(), Some(WaitError::TimedOut));
        drop(guard);
        assert!(m.try_lock_until(soon()).is_some());
    });
}

#[test]
fn a_cancelled_goroutine_does_not_wait_for_a_mutex_but_lock_does() {
    check(|| {
        let (ctx, cancel) = with_cancel(&Context::background());
        let m = raw();
        m.lock();
        let (m2, m3) = (m.clone(), m.clone());
        let ends = Builder::new().context(&ctx).go(move || m2.lock_until(FOREVER)).unwrap();
        let stays = Builder::new()
            .context(&ctx)
            .go(move || {
                m3.lock();
                let free = m3.lock_until(FOREVER);
                m3.unlock();
                (free, m3.lock_until(FOREVER), m3.lock_until(NOWAIT))
            })
            .unwrap();
        until_parked(&ends, ON);
        until_parked(&stays, ON);
        cancel.cancel();
        assert_eq!(ends.join().unwrap(), Err(Error::Cancelled));
        assert!(is_parked(stays.id(), ON), "lock is not cancelable");
        m.unlock();
        let after = stays.join().unwrap();
        assert_eq!(after, (Err(Error::Cancelled), Err(Error::Cancelled), Ok(())), "never without waiting");
        m.unlock();
    });
}

#[test]
fn deadlines_race_with_hand_overs() {
    check(|| {
        let m = Arc::new(Mutex::new(0u64));
        let got = Counter::default();
        let all: Vec<_> = (0..8)
            .map(|i| {
                let (m, got) = (m.clone(), got.clone());
                go(move || {
                    let mut rng = Rng::new(i);
                    for _ in 0..200 {
                        if let Some(mut v) = m.try_lock_for(Duration::from_micros(rng.below(60) as u64)) {
                            *v += 1;
                            got.add(1);
                            if rng.below(4) == 0 {
                                zokor::yield_now();
                            }
                        }
                    }
                })
            })
            .collect();
        for h in all {
            h.join().unwrap();
        }
        assert_eq!(*m.lock() as i64, got.get());
        assert!(m.try_lock().is_some(), "nothing is left behind");
    });
}

#[test]
fn a_guard_may_be_dropped_by_another_goroutine() {
    static M: Mutex<i32> = Mutex::new(0);
    check(|| {
        let guard = M.lock();
        Builder::new().mobility(Mobility::Pinned).go(move || drop(guard)).unwrap().join().unwrap();
        assert!(M.try_lock().is_some());
    });
}
