//! Waiting for the end of a goroutine with a deadline, and as long as the caller's context lasts.

mod common;

use common::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::channel::bounded;
use zokor::context::{with_cancel, with_timeout, Context};
use zokor::{Builder, JoinHandle, JoinUntilError};

fn in_ms(n: u64) -> Instant {
    Instant::now() + Duration::from_millis(n)
}

fn in_an_hour() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Starts a goroutine that ends with `Ok(n)` when the sender is dropped.
fn waits(n: usize) -> (zokor::channel::Sender<()>, JoinHandle<usize>) {
    let (gate, opened) = bounded::<()>(0);
    let h = zokor::go(move || {
        assert!(opened.recv().is_err());
        n
    });
    (gate, h)
}

#[test]
fn a_join_may_have_a_deadline() {
    check(|| {
        let (gate, h) = waits(7);
        let until = in_ms(2);
        let late = h.join_until(until).unwrap_err();
        assert!(Instant::now() >= until && late.is_timeout());
        assert_eq!((late.to_string(), format!("{late:?}")), ("the deadline passed".into(), "TimedOut(..)".into()));
        let late = late.into_handle().join_until(Instant::now() - Duration::from_secs(1)).unwrap_err();
        drop(gate);
        assert_eq!(late.into_handle().join_until(in_an_hour()).unwrap().unwrap(), 7);

        let (gate, h) = waits(8);
        drop(h.join_until(in_ms(1)).unwrap_err()); // gives it up
        drop(gate);
        let (gate, h) = waits(9);
        let h = h.join_until(in_ms(1)).unwrap_err().into_handle();
        drop(gate);
        assert_eq!(h.join().unwrap(), 9, "the plain form afterwards");
    });
}

#[test]
fn a_join_with_a_deadline_comes_back_at_the_end() {
    check(|| {
        let (gate, h) = waits(1);
        let joiner = zokor::go(move || h.join_until(in_an_hour()).unwrap().unwrap());
        until_parked(&joiner, "join");
        drop(gate);
        assert_eq!(joiner.join().unwrap(), 1);
        let h = zokor::go(|| panic!("boom"));
        assert_eq!(h.join_until(in_an_hour()).unwrap().unwrap_err().downcast_ref(), Some(&"boom"));
        let h = zokor::go(|| 3);
        wait_until(|| h.is_finished());
        assert_eq!(h.join_until(Instant::now() - Duration::from_secs(1)).unwrap().unwrap(), 3, "it has ended before");
    });
}

#[test]
fn a_thread_joins_with_a_deadline() {
    check(|| {
        let (gate, h) = waits(5);
        let (tx, rx) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let late = h.join_until(in_ms(2)).unwrap_err();
            tx.send(()).unwrap();
            late.into_handle().join_until(in_an_hour()).unwrap().unwrap()
        });
        zokor::blocking(move || rx.recv().unwrap());
        drop(gate);
        assert_eq!(zokor::blocking(|| thread.join().unwrap()), 5);
    });
}

#[test]
fn x19_a_join_that_is_cancelable_ends_with_the_context() {
    check(|| {
        let (ctx, cancel) = with_cancel(&Context::background());
        let (gate, h) = waits(1);
        let joiner = Builder::new().context(&ctx).go(move || h.join_cancelable().unwrap_err()).unwrap();
        until_parked(&joiner, "join");
        cancel.cancel();
        let why = joiner.join().unwrap();
        assert!(matches!(why, JoinUntilError::Cancelled(_)));
        assert_eq!((why.to_string(), format!("{why:?}")), ("the wait was cancelled".into(), "Cancelled(..)".into()));
        // An ended context ends the wait before it begins, but not that of the form that is not cancelable.
        let h = why.into_handle();
        let again = Builder::new().context(&ctx).go(move || h.join_until(in_an_hour()).unwrap_err()).unwrap();
        let h = again.join().unwrap().into_handle();
        let last = Builder::new().context(&ctx).go(move || h.join().unwrap()).unwrap();
        until_parked(&last, "join");
        drop(gate);
        assert_eq!(last.join().unwrap(), 1);
    });
}

#[test]
fn x06_a_deadline_of_the_context_is_a_timeout_for_a_join() {
    check(|| {
        let (ctx, _cancel) = with_timeout(&Context::background(), Duration::from_millis(2));
        let (gate, h) = waits(1);
        let joiner = Builder::new().context(&ctx).go(move || h.join_cancelable().unwrap_err()).unwrap();
        let why = joiner.join().unwrap();
        assert!(why.is_timeout());
        drop(gate);
        assert_eq!(why.into_handle().join_cancelable().unwrap().unwrap(), 1);
    });
}

/// The deadline comes about when the goroutine ends: each result is there once, and nobody waits in vain.
#[test]
fn an_end_and_a_deadline_at_the_same_time() {
    check(|| {
        let late = Arc::new(AtomicUsize::new(0));
        let joiners: Vec<_> = (0..200_usize)
            .map(|i| {
                let late = late.clone();
                zokor::go(move || {
                    let mut sum = 0;
                    for k in 0..5 {
                        let time = Duration::from_micros(((i * 7 + k * 13) % 50) as u64);
                        let mut h = zokor::go(move || {
                            zokor::sleep(time);
                            i
                        });
                        sum += loop {
                            match h.join_until(Instant::now() + Duration::from_micros(20)) {
                                Ok(r) => break r.unwrap(),
                                Err(e) => h = e.into_handle(),
                            }
                            late.fetch_add(1, Ordering::Relaxed);
                        };
                    }
                    assert_eq!(sum, 5 * i);
                })
            })
            .collect();
        for h in joiners {
            h.join_until(in_an_hour()).unwrap().unwrap();
        }
    });
}

#[test]
fn the_handles_of_scopes_have_deadlines_too() {
    check(|| {
        let (gate, opened) = bounded::<()>(0);
        let n = zokor::scope(|s| {
            let h = s.go(|| opened.recv().is_err());
            let late = h.join_until(in_ms(1)).unwrap_err();
            assert!(late.is_timeout());
            drop(gate);
            assert!(late.into_handle().join_until(in_an_hour()).unwrap().unwrap());
            let h = s.go(|| panic!("taken"));
            assert!(h.join_cancelable().unwrap().is_err());
            1
        });
        assert_eq!(n, 1);

        let (gate, opened) = bounded::<()>(0);
        let sum = zokor::try_scope(|s| -> Result<i32, &str> {
            let h = s.go(|| Ok(i32::from(opened.recv().is_err())));
            let late = h.join_until(in_ms(1)).unwrap_err();
            drop(gate);
            let one = late.into_handle().join_until(in_an_hour()).unwrap().unwrap_or(0);
            Ok(one + s.go(|| Ok(2)).join_cancelable().unwrap().unwrap_or(0))
        });
        assert_eq!(sum.unwrap(), 3);
    });
}
