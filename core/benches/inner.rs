//! The inner loops of the runtime: `cargo bench -p zokor --bench inner`.
//!
//! Each bench runs in a goroutine of a runtime with one worker. What depends on several workers, or on other runtimes for comparison, is
//! measured by the suite in `benches/`.

#![allow(missing_docs)] // what criterion's macros define has none

use criterion::{criterion_group, criterion_main, Bencher, Criterion};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::channel::{after, bounded, select};
use zokor::{go, run, workers, yield_now, WaitGroup};

/// Measures `f(n)`, which does `n` operations, in a main goroutine on one worker.
fn within(b: &mut Bencher, f: impl Fn(u64) + Copy + Send + 'static) {
    workers(1).expect("one worker");
    b.iter_custom(|n| {
        run(move || {
            let t = Instant::now();
            f(n);
            t.elapsed()
        })
    });
}

fn goroutines(c: &mut Criterion) {
    c.bench_function("spawn and finish, 1,000 in flight", |b| {
        within(b, |n| {
            let wg = Arc::new(WaitGroup::new());
            let mut left = n;
            while left > 0 {
                let wave = left.min(1000);
                wg.add(wave as i64);
                for _ in 0..wave {
                    let wg = wg.clone();
                    drop(go(move || wg.done()));
                }
                wg.wait();
                left -= wave;
            }
        });
    });
    c.bench_function("spawn and join", |b| {
        within(b, |n| {
            for i in 0..n {
                assert_eq!(go(move || i).join().ok(), Some(i));
            }
        });
    });
    c.bench_function("yield between two goroutines", |b| {
        within(b, |n| {
            let other = go(move || (0..n / 2).for_each(|_| yield_now()));
            (0..n / 2).for_each(|_| yield_now());
            assert!(other.join().is_ok());
        });
    });
}

fn channels(c: &mut Criterion) {
    c.bench_function("ping-pong, unbuffered, round trip", |b| {
        within(b, |n| {
            let (a_tx, a_rx) = bounded::<u64>(0);
            let (b_tx, b_rx) = bounded::<u64>(0);
            drop(go(move || {
                for v in a_rx {
                    b_tx.send(v).expect("main receives");
                }
            }));
            for i in 0..n {
                a_tx.send(i).expect("the other side receives");
                assert_eq!(b_rx.recv(), Ok(i));
            }
        });
    });
    c.bench_function("send and receive in one goroutine", |b| {
        within(b, |n| {
            let (tx, rx) = bounded::<u64>(16);
            for i in 0..n {
                tx.send(i).expect("open");
                assert_eq!(rx.recv(), Ok(i));
            }
        });
    });
    c.bench_function("try_recv on empty", |b| {
        within(b, |n| {
            let (_tx, rx) = bounded::<u64>(16);
            for _ in 0..n {
                assert!(black_box(&rx).try_recv().is_err());
            }
        });
    });
    c.bench_function("stream through 128 slots", |b| {
        within(b, |n| {
            let (tx, rx) = bounded::<u64>(128);
            let feed = go(move || (0..n).all(|i| tx.send(i).is_ok()));
            assert_eq!(rx.iter().count() as u64, n);
            assert_eq!(feed.join().ok(), Some(true));
        });
    });
}

fn selects(c: &mut Criterion) {
    c.bench_function("select over two empty channels with default", |b| {
        within(b, |n| {
            let (_a_tx, a_rx) = bounded::<u64>(1);
            let (_b_tx, b_rx) = bounded::<u64>(1);
            for _ in 0..n {
                select! {
                    recv(a_rx) -> _ => unreachable!(),
                    recv(b_rx) -> _ => unreachable!(),
                    default => {},
                }
            }
        });
    });
    c.bench_function("select over two unbuffered channels, blocked", |b| {
        within(b, |n| {
            let (a_tx, a_rx) = bounded::<u64>(0);
            let (b_tx, b_rx) = bounded::<u64>(0);
            let feed = go(move || (0..n).all(|i| if i % 2 == 0 { a_tx.send(i) } else { b_tx.send(i) }.is_ok()));
            for _ in 0..n {
                select! {
                    recv(a_rx) -> v => assert!(v.is_ok()),
                    recv(b_rx) -> v => assert!(v.is_ok()),
                }
            }
            assert_eq!(feed.join().ok(), Some(true));
        });
    });
}

fn timers(c: &mut Criterion) {
    c.bench_function("arm and drop a timer", |b| {
        within(b, |n| {
            for _ in 0..n {
                drop(black_box(after(Duration::from_secs(3600))));
            }
        });
    });
    c.bench_function("receive with a deadline that does not pass", |b| {
        within(b, |n| {
            let (tx, rx) = bounded::<u64>(0);
            let feed = go(move || (0..n).all(|i| tx.send(i).is_ok()));
            for i in 0..n {
                assert_eq!(rx.recv_timeout(Duration::from_secs(3600)), Ok(i));
            }
            assert_eq!(feed.join().ok(), Some(true));
        });
    });
}

criterion_group!(benches, goroutines, channels, selects, timers);
criterion_main!(benches);
