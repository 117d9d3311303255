//! The weighted semaphore: rules SEM-02 to SEM-06.
//!
//! Go's scenarios (`x/sync/semaphore/semaphore_test.go`) are written anew from what they check.

mod common;

use common::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::context::{with_cancel, Context};
use zokor::raw::{time_in, Error, RawSem, FOREVER, NOWAIT};
use zokor::sync::{Semaphore, WaitError};
use zokor::{go, Builder};

const ON: &str = "semaphore";

#[test]
fn tokens_are_taken_and_given_back() {
    check(|| {
        let s = Semaphore::new(2);
        let one = s.acquire(1).unwrap();
        let two = s.try_acquire(1).unwrap();
        assert!(s.try_acquire(1).is_none());
        assert_eq!((s.available(), s.size(), one.tokens()), (0, 2, 1));
        drop((one, two));
        assert_eq!(s.available(), 2);
        s.acquire(2).unwrap().forget();
        s.release(2);
        assert_eq!(s.available(), 2);
    });
}

#[test]
fn sem02_a_large_wish_is_not_overtaken() {
    check(|| {
        let s = Arc::new(Semaphore::new(10));
        let held = s.acquire(3).unwrap();
        let s2 = s.clone();
        let large = go_parked(ON, move || s2.acquire(10).unwrap().tokens());
        assert!(s.try_acquire(1).is_none(), "although seven are free");
        let s2 = s.clone();
        let small = go_parked(ON, move || s2.acquire(1).unwrap().tokens());
        assert_eq!(s.available(), 7);
        drop(held);
        assert_eq!((large.join().unwrap(), small.join().unwrap()), (10, 1));
        assert_eq!(s.available(), 10);
    });
}

#[test]
fn sem02_waiters_are_served_in_order() {
    check_on(&[1], || {
        let s = Arc::new(RawSem::new(0));
        let order = Arc::new(zokor::sync::Mutex::new(Vec::new()));
        let all: Vec<_> = (1..=5)
            .map(|i| {
                let (s, order) = (s.clone(), order.clone());
                go_parked(ON, move || {
                    s.acquire_forever(i);
                    order.lock().push(i);
                })
            })
            .collect();
        for i in 1..=5 {
            for _ in 0..i {
                assert_eq!(order.lock().len(), i - 1, "all that it wants, or nothing");
                s.release(1).unwrap();
            }
            wait_until(|| order.lock().len() == i);
        }
        for h in all {
            h.join().unwrap();
        }
        assert_eq!(*order.lock(), [1, 2, 3, 4, 5]);
        assert_eq!(s.available(), 0);
    });
}

#[test]
fn sem03_an_ended_context_never_acquires() {
    check(|| {
        let (ctx, cancel) = with_cancel(&Context::background());
        let s = Arc::new(RawSem::new(1));
        let s2 = s.clone();
        let c2 = cancel.clone();
        let r = Builder::new()
            .context(&ctx)
            .go(move || {
                c2.cancel();
                (s2.acquire(1, FOREVER), s2.acquire(1, NOWAIT))
            })
            .unwrap();
        assert_eq!(r.join().unwrap(), (Err(Error::Cancelled), Ok(())));
        cancel.cancel();
    });
}

#[test]
fn sem03_a_cancellation_that_races_with_a_grant_loses_no_token() {
    check(|| {
        let s = Arc::new(RawSem::new(0));
        for _ in 0..100 {
            let (ctx, cancel) = with_cancel(&Context::background());
            let s2 = s.clone();
            let taker = Builder::new().context(&ctx).go(move || s2.acquire(1, FOREVER)).unwrap();
            until_parked(&taker, ON);
            let c = go(move || cancel.cancel());
            s.release(1).unwrap();
            c.join().unwrap();
            let left = u64::from(taker.join().unwrap().is_err());
            assert_eq!(s.available(), left);
            assert_eq!(s.acquire(1, NOWAIT).is_ok(), left == 1);
        }
    });
}

#[test]
fn sem04_a_wish_that_is_too_large_is_in_nobodys_way() {
    check(|| {
        let s = Arc::new(Semaphore::new(2));
        assert!(s.try_acquire(3).is_none());
        let (ctx, cancel) = with_cancel(&Context::background());
        let s2 = s.clone();
        let hopeless = Builder::new().context(&ctx).go(move || s2.acquire(3).err()).unwrap();
        until_parked(&hopeless, ON);
        drop(s.acquire_for(2, Duration::from_secs(5)).unwrap());
        cancel.cancel();
        assert_eq!(hopeless.join().unwrap(), Some(WaitError::Cancelled));
    });
}

#[test]
fn sem05_a_head_that_gives_up_lets_those_behind_it_go_on() {
    check(|| {
        let s = Arc::new(Semaphore::new(2));
        let held = s.acquire(1).unwrap();
        let s2 = s.clone();
        let head = go_parked(ON, move || s2.acquire_for(2, Duration::from_millis(30)).err());
        let s2 = s.clone();
        let behind = go_parked(ON, move || s2.acquire(1).is_ok());
        assert!(behind.join().unwrap());
        assert_eq!(head.join().unwrap(), Some(WaitError::TimedOut));
        drop(held);
        assert_eq!(s.available(), 2);
    });
}

#[test]
fn sem06_releasing_more_than_was_held_panics_and_changes_nothing() {
    check(|| {
        let s = Semaphore::new(2);
        let held = s.acquire(1).unwrap();
        let over = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| s.release(2)));
        assert!(over.is_err());
        assert_eq!(s.available(), 1);
        drop(held);
        assert_eq!(RawSem::new(u32::MAX).release(1), Ok(()), "a raw one has no size");
    });
}

#[test]
fn deadlines() {
    check(|| {
        let s = RawSem::new(1);
        assert_eq!(s.acquire(2, NOWAIT), Err(Error::WouldBlock));
        assert_eq!(s.acquire(2, 1), Err(Error::TimedOut));
        assert_eq!(s.acquire(2, time_in(5_000_000)), Err(Error::TimedOut));
        assert_eq!(s.acquire(1, 1), Ok(()), "a deadline in the past tries once");
        assert_eq!(s.available(), 0);
        let s = Semaphore::new(0);
        assert_eq!(s.acquire_until(1, Instant::now()).err(), Some(WaitError::TimedOut));
    });
}

#[test]
fn tokens_are_conserved_under_load() {
    check(|| {
        let s = Arc::new(Semaphore::new(5));
        let inside = Counter::default();
        let work = |s: &Semaphore, inside: &Counter, seed: u64| {
            let mut rng = Rng::new(seed);
            for _ in 0..150 {
                let n = 1 + rng.below(5) as u32;
                let permit = match rng.below(3) {
                    0 => s.try_acquire(n),
                    1 => s.acquire_for(n, Duration::from_micros(rng.below(80) as u64)).ok(),
                    _ => s.acquire(n).ok(),
                };
                if permit.is_some() {
                    assert!(inside.add(i64::from(n)) <= 5);
                    zokor::yield_now();
                    inside.add(-i64::from(n));
                }
            }
        };
        let (s2, i2) = (s.clone(), inside.clone());
        let thread = std::thread::spawn(move || work(&s2, &i2, 99));
        let all: Vec<_> = (0..6)
            .map(|seed| {
                let (s, inside) = (s.clone(), inside.clone());
                go(move || work(&s, &inside, seed))
            })
            .collect();
        for h in all {
            h.join().unwrap();
        }
        thread.join().unwrap();
        assert_eq!(s.available(), 5);
        assert!(s.try_acquire(5).is_some());
    });
}
