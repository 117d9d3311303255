//! Faults: with the feature `faults` the n-th call of a kind into the system fails (`ZK_FAULT=mmap:3`). Whatever n is, the outcome is a result or
//! a clear error, never a hang, a crash without words, or a lost value.
#![cfg(feature = "faults")]

mod common;

use common::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use zokor::channel::bounded;
use zokor::{raw, Builder};

/// A bit of everything. The error is what a user would see.
fn try_work() -> Result<(), Box<dyn std::error::Error>> {
    zokor::workers(3)?;
    zokor::try_run(|| -> Result<(), Box<dyn std::error::Error>> {
        let (tx, rx) = bounded(2);
        let (mut started, mut refused) = (Vec::new(), None);
        for i in 0..300_u64 {
            let tx = tx.clone();
            let size = if i % 10 == 0 { 64 * 1024 } else { 0 };
            let body = move || {
                if i % 50 == 0 {
                    zokor::sleep(Duration::from_micros(i));
                }
                tx.send(i).is_ok()
            };
            match Builder::new().stack_size(size).go(body) {
                Ok(h) => started.push((i, h)),
                Err(e) => refused = Some(e),
            }
        }
        drop(tx);
        let sum: u64 = rx.iter().sum();
        let mut expected = 0;
        for (i, h) in started {
            assert!(h.join().unwrap(), "a send that nobody refused");
            expected += i;
        }
        assert_eq!(sum, expected, "a value was lost");
        let helped = AtomicUsize::new(0);
        zokor::blocking(|| helped.fetch_add(1, Ordering::Relaxed));
        assert_eq!(helped.into_inner(), 1);
        raw::ByteChan::new(raw::ByteChanOpts { elem_size: 8, capacity: 1000, ..Default::default() })
            .map_err(|e| format!("a channel: {e:?}"))?;
        refused.map_or(Ok(()), |e| Err(e.into()))
    })?
}

fn work() {
    match try_work() {
        Ok(()) => println!("all well"),
        Err(e) => {
            println!("refused: {e}");
            std::process::exit(4);
        }
    }
}

#[test]
#[ignore = "what the children of the other tests run"]
fn program() {
    run_program(&[("work", work)]);
}

/// Lets the 1st, 2nd, 3rd … call of a kind fail, alone and with all after it, until it makes no difference any more.
#[track_caller]
fn every_call(kind: &str, most: usize) {
    let mut told = 0;
    for plus in ["", "+"] {
        for n in 1..=most {
            let fault = format!("{kind}:{n}{plus}");
            let end = outcome_of("work", &[("ZK_FAULT", &fault)]);
            let clear = match end.status.code() {
                Some(0) => end.out.contains("all well"),
                Some(4) => end.out.contains("refused: "),
                // A goroutine that has no stack, a runtime without a thread: the process cannot go on, and says why.
                Some(101) => end.err.contains("zokor::") || end.err.contains("cannot start"),
                _ => end.signal() == Some(libc::SIGABRT) && end.err.contains("fatal error: "),
            };
            assert!(clear, "{fault}: {end:#?}");
            told += usize::from(end.status.code() != Some(0));
        }
    }
    println!("{kind}: {told} of {} ended with an error", 2 * most);
}

#[test]
fn every_mmap_may_fail() {
    every_call("mmap", 12);
}

#[test]
fn every_thread_may_fail_to_start() {
    every_call("thread", 8);
}

#[test]
fn every_guard_may_fail() {
    every_call("guard", 8);
    every_call("protect", 8);
}

#[test]
fn every_futex_call_may_fail() {
    every_call("futex", 10);
}

#[test]
fn membarrier_may_be_missing() {
    every_call("membarrier", 2);
}

#[test]
fn an_order_that_is_not_understood_is_refused() {
    outcome_of("work", &[("ZK_FAULT", "mmap:often")]).assert_aborted().assert_err_has("ZK_FAULT=mmap:often");
}
