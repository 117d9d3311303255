//! Several threads in `run` at once, and plain threads beside them: whose goroutines begin where, and that nobody is left behind.

mod common;

use common::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;
use zokor::channel::bounded;

fn here() -> ThreadId {
    thread::current().id()
}

/// Eight goroutines that sleep and send, not always in the same order; their sum.
fn eight_that_send(seed: u64) -> u64 {
    let (tx, rx) = bounded(0);
    let members: Vec<_> = (0..8)
        .map(|i| {
            let tx = tx.clone();
            zokor::go(move || {
                for _ in 0..5 {
                    zokor::sleep(Duration::from_micros(50 * ((i + seed) % 4)));
                    tx.send(i).unwrap();
                }
            })
        })
        .collect();
    drop(tx);
    let sum = rx.iter().sum();
    members.into_iter().for_each(|m| m.join().unwrap());
    sum
}

/// What a test suite looks like whose tests run at once.
#[test]
fn runs_at_once_leave_nobody_behind() {
    check_outside(|| {
        thread::scope(|threads| {
            for t in 0..4 {
                threads.spawn(move || {
                    for round in 0..60 {
                        assert_eq!(zokor::run(|| eight_that_send(t + round)), 5 * 28);
                    }
                });
            }
            threads.spawn(|| (0..60).for_each(|round| assert_eq!(eight_that_send(round), 5 * 28)));
        });
    });
}

/// The thread of a `run` does not begin what a plain thread has started: it leaves with its own main.
#[test]
fn a_goroutine_of_a_plain_thread_begins_elsewhere() {
    check_outside(|| {
        let (tx, rx) = bounded::<()>(0);
        let begun = Arc::new(AtomicBool::new(false));
        let plain = {
            let begun = begun.clone();
            move || {
                zokor::go(move || {
                    begun.store(true, Ordering::Relaxed);
                    rx.recv().unwrap();
                    here()
                })
            }
        };
        let (handle, runner) = zokor::run(|| {
            let handle = thread::spawn(plain).join().unwrap();
            while !begun.load(Ordering::Relaxed) {
                zokor::yield_now();
            }
            (handle, here())
        });
        tx.send(()).unwrap();
        assert_ne!(handle.join().unwrap(), runner);
    });
}

/// What descends from a plain thread's goroutine belongs to no `run` either, wherever it is started.
#[test]
fn descendants_begin_where_their_ancestor_may() {
    check_outside(|| {
        let (tx, rx) = bounded::<()>(0);
        let (out, handles) = bounded(1);
        let plain = move || {
            // SAFETY: what it holds may move between threads.
            unsafe {
                zokor::go_migrating(move || {
                    let child = zokor::go(move || {
                        rx.recv().unwrap();
                        here()
                    });
                    out.send(child).unwrap();
                })
            };
        };
        let (child, runner) = zokor::run(|| {
            thread::spawn(plain).join().unwrap();
            (handles.recv().unwrap(), here())
        });
        tx.send(()).unwrap();
        assert_ne!(child.join().unwrap(), runner);
    });
}

/// With one worker main and those it starts share a thread; a `run` that had to keep apart leaves nothing of that behind.
#[test]
fn what_main_starts_begins_on_its_thread() {
    check_outside_on(&[1], || {
        let together = || zokor::run(|| zokor::go(|| zokor::go(here).join().unwrap()).join().unwrap() == here());
        assert!(together());
        zokor::run(|| thread::spawn(|| zokor::go(|| ()).join().unwrap()).join().unwrap());
        assert!(together());
    });
}
