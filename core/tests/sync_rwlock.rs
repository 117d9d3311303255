//! The readers-writer lock: rules RW-01 to RW-10.
//!
//! Go's scenarios (`sync/rwmutex_test.go`) are written anew from what they check.

mod common;

use common::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::context::{with_cancel, Context};
use zokor::raw::{time_in, Error, RawRwMutex, FOREVER, NOWAIT};
use zokor::sync::{Mutex, RwLock};
use zokor::{go, Builder, JoinHandle};

const READ: &str = "rwmutex read";
const WRITE: &str = "rwmutex write";

fn raw() -> Arc<RawRwMutex> {
    Arc::default()
}

fn parked(l: &Arc<RawRwMutex>, on: &str, f: impl FnOnce(&RawRwMutex) + Send + 'static) -> JoinHandle<()> {
    let l = l.clone();
    go_parked(on, move || f(&l))
}

#[test]
fn rw01_many_readers_or_one_writer() {
    check(|| {
        // SAFETY: all zeros is a valid lock; that is what is tested.
        let l: RawRwMutex = unsafe { std::mem::zeroed() };
        for _ in 0..3 {
            l.rlock();
        }
        assert!(!l.try_lock() && l.try_rlock());
        for _ in 0..4 {
            l.runlock();
        }
        l.lock();
        assert!(!l.try_lock() && !l.try_rlock());
        l.unlock();
    });
}

#[test]
fn rw02_a_waiting_writer_keeps_new_readers_out() {
    check(|| {
        let l = raw();
        l.rlock();
        let writer = parked(&l, WRITE, |l| {
            l.lock();
            l.unlock();
        });
        assert!(!l.try_rlock(), "although only readers hold it");
        let reader = parked(&l, READ, |l| {
            l.rlock();
            l.runlock();
        });
        l.runlock();
        writer.join().unwrap();
        reader.join().unwrap();
        assert!(l.try_lock());
        l.unlock();
    });
}

#[test]
fn rw03_reading_twice_waits_for_ever_behind_a_writer() {
    check(|| {
        let l = raw();
        l.rlock();
        let writer = parked(&l, WRITE, |l| {
            l.lock();
            l.unlock();
        });
        assert_eq!(l.rlock_until(time_in(20_000_000)), Err(Error::TimedOut));
        l.runlock();
        writer.join().unwrap();
    });
}

#[test]
fn rw04_after_a_writer_all_waiting_readers_get_in_before_the_next() {
    check(|| {
        let l = raw();
        let order = Arc::new(Mutex::new(Vec::new()));
        l.lock();
        let mut all = Vec::new();
        for (i, reads) in [false, true, true, false, true].into_iter().enumerate() {
            let order = order.clone();
            all.push(parked(&l, if reads { READ } else { WRITE }, move |l| {
                if reads {
                    l.rlock();
                    order.lock().push('r');
                    l.runlock();
                } else {
                    l.lock();
                    order.lock().push(if i == 0 { 'w' } else { 'v' });
                    l.unlock();
                }
            }));
        }
        l.unlock();
        for h in all {
            h.join().unwrap();
        }
        assert_eq!(order.lock().iter().collect::<String>(), "rrrwv");
    });
}

#[test]
fn rw04_neither_side_starves() {
    check(|| {
        let l = raw();
        let (reads, writes) = (Counter::default(), Counter::default());
        let all: Vec<_> = (0..6)
            .map(|i| {
                let (l, mine, theirs) = match i % 2 {
                    0 => (l.clone(), reads.clone(), writes.clone()),
                    _ => (l.clone(), writes.clone(), reads.clone()),
                };
                go(move || {
                    while mine.get() < 100 || theirs.get() < 100 {
                        if i % 2 == 0 {
                            l.rlock();
                            zokor::yield_now();
                            l.runlock();
                        } else {
                            l.lock();
                            zokor::yield_now();
                            l.unlock();
                        }
                        mine.add(1);
                    }
                })
            })
            .collect();
        for h in all {
            h.join().unwrap();
        }
    });
}

#[test]
fn rw05_others_may_unlock() {
    check(|| {
        let l = raw();
        l.rlock();
        let l2 = l.clone();
        go(move || {
            l2.runlock();
            l2.lock();
        })
        .join()
        .unwrap();
        l.unlock();
        assert!(l.try_lock());
    });
}

fn runlock_of_unlocked() {
    RawRwMutex::new().runlock();
    went_on();
}

fn runlock_of_a_writers() {
    let l = RawRwMutex::new();
    l.lock();
    l.runlock();
    went_on();
}

fn unlock_of_unlocked() {
    RawRwMutex::new().unlock();
    went_on();
}

fn unlock_of_readers() {
    let l = RawRwMutex::new();
    l.rlock();
    l.unlock();
    went_on();
}

fn too_many_readers() {
    // SAFETY: the first word counts the readers; this one claims to have 2³⁰ of them.
    let l: RawRwMutex = unsafe { std::mem::transmute([1u64 << 30, 0, 0, 0]) };
    l.rlock();
    went_on();
}

#[test]
#[ignore = "what the children of the other tests run"]
fn program() {
    run_program(&[
        ("runlock_of_unlocked", runlock_of_unlocked),
        ("runlock_of_a_writers", runlock_of_a_writers),
        ("unlock_of_unlocked", unlock_of_unlocked),
        ("unlock_of_readers", unlock_of_readers),
        ("too_many_readers", too_many_readers),
    ]);
}

#[test]
fn rw06_misuse_is_fatal() {
    for program in ["runlock_of_unlocked", "runlock_of_a_writers"] {
        let end = outcome_of(program, &[]);
        end.assert_aborted().assert_did_not_go_on().assert_err_has("sync: RUnlock of unlocked RWMutex");
    }
    for program in ["unlock_of_unlocked", "unlock_of_readers"] {
        let end = outcome_of(program, &[]);
        end.assert_aborted().assert_did_not_go_on().assert_err_has("sync: Unlock of unlocked RWMutex");
    }
}

#[test]
fn rw07_a_try_waits_as_long_as_it_is_told() {
    check(|| {
        let lock = RwLock::new(7);
        let (short, soon) = (Duration::from_millis(2), || Instant::now() + Duration::from_millis(2));
        let w = lock.try_write_for(Duration::MAX).unwrap();
        assert_eq!(format!("{w}"), "7");
        assert!(lock.try_read_for(short).is_none() && lock.try_read_until(soon()).is_none());
        assert!(lock.try_write_for(Duration::ZERO).is_none() && lock.try_write_until(soon()).is_none());
        drop(w);
        let r = lock.try_read_for(Duration::ZERO).unwrap();
        assert_eq!(format!("{r}"), "7");
        assert!(lock.try_read_for(Duration::MAX).is_some() && lock.try_write_for(short).is_none());
        assert!(lock.try_read().is_some(), "the writer that gave up left no mark");
        drop(r);
        *lock.try_write_for(short).unwrap() += 1;
        assert_eq!(lock.into_inner(), 8);
    });
}

#[test]
fn rw07_a_failed_try_lock_leaves_no_mark() {
    check(|| {
        let l = raw();
        l.rlock();
        assert!(!l.try_lock());
        assert_eq!(l.lock_until(NOWAIT), Err(Error::WouldBlock));
        assert!(l.try_rlock());
        l.runlock();
        l.runlock();
    });
}

#[test]
fn rw07_a_writer_that_gives_up_lets_the_readers_in() {
    check(|| {
        let l = raw();
        l.rlock();
        let l2 = l.clone();
        let writer = go_parked(WRITE, move || l2.lock_until(time_in(30_000_000)));
        let readers: Vec<_> = (0..3).map(|_| parked(&l, READ, RawRwMutex::rlock)).collect();
        assert_eq!(writer.join().unwrap(), Err(Error::TimedOut));
        for r in readers {
            r.join().unwrap();
        }
        for _ in 0..4 {
            l.runlock();
        }
        assert!(l.try_lock());
        l.unlock();
    });
}

#[test]
fn a_cancelled_writer_lets_the_readers_in() {
    check(|| {
        let (ctx, cancel) = with_cancel(&Context::background());
        let l = raw();
        l.rlock();
        let l2 = l.clone();
        let writer = Builder::new().context(&ctx).go(move || l2.lock_until(FOREVER)).unwrap();
        until_parked(&writer, WRITE);
        let l3 = l.clone();
        let reader = Builder::new().context(&ctx).go(move || l3.rlock()).unwrap();
        until_parked(&reader, READ);
        cancel.cancel();
        assert_eq!(writer.join().unwrap(), Err(Error::Cancelled));
        reader.join().unwrap();
        l.runlock();
        l.runlock();
        assert!(l.try_lock());
        l.unlock();
    });
}

#[test]
fn rw09_more_than_2_30_readers_is_fatal() {
    let end = outcome_of("too_many_readers", &[]);
    end.assert_aborted().assert_did_not_go_on().assert_err_has("sync: too many readers of a RWMutex");
}

#[test]
fn rw10_hammer() {
    check(|| {
        let l = Arc::new(RwLock::new((0u64, 0u64)));
        let writer = |l: &RwLock<(u64, u64)>| {
            for i in 0..300 {
                let mut v = l.write();
                v.0 += 1;
                if i % 16 == 0 {
                    zokor::yield_now();
                }
                v.1 += 1;
            }
        };
        let reader = |l: &RwLock<(u64, u64)>| {
            for i in 0..300 {
                let v = l.read();
                assert_eq!(v.0, v.1);
                if i % 16 == 0 {
                    zokor::yield_now();
                }
                assert_eq!(v.0, v.1);
            }
        };
        let (l1, l2) = (l.clone(), l.clone());
        let threads = [std::thread::spawn(move || writer(&l1)), std::thread::spawn(move || reader(&l2))];
        let all: Vec<_> = (0..9)
            .map(|i| {
                let l = l.clone();
                go(move || if i % 3 == 0 { writer(&l) } else { reader(&l) })
            })
            .collect();
        for h in all {
            h.join().unwrap();
        }
        for t in threads {
            t.join().unwrap();
        }
        assert_eq!(*l.read(), (1200, 1200));
        assert!(l.try_write().is_some());
    });
}

#[test]
fn deadlines_race_with_hand_overs() {
    check(|| {
        let l = Arc::new(RwLock::new(0u64));
        let written = Counter::default();
        let all: Vec<_> = (0..8)
            .map(|i| {
                let (l, written) = (l.clone(), written.clone());
                go(move || {
                    let mut rng = Rng::new(i);
                    for _ in 0..200 {
                        let deadline = Instant::now() + Duration::from_micros(rng.below(80) as u64);
                        if rng.below(2) == 0 {
                            if let Some(mut v) = l.try_write_until(deadline) {
                                *v += 1;
                                written.add(1);
                                if rng.below(3) == 0 {
                                    zokor::yield_now();
                                }
                            }
                        } else if let Ok(v) = l.read_until(deadline) {
                            let before = *v;
                            if rng.below(3) == 0 {
                                zokor::yield_now();
                            }
                            assert_eq!(*v, before);
                        }
                    }
                })
            })
            .collect();
        for h in all {
            h.join().unwrap();
        }
        assert_eq!(*l.read() as i64, written.get());
        assert!(l.try_write().is_some(), "nothing is left behind");
    });
}
