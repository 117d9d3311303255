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
use zokor::sync::{Mutex, Once, RwLock};
use zokor::time::after_func;
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
    c.bench_function("park and wake, 1,000 at a time", |b| {
        within(b, |n| {
            let mut left = n;
            while left > 0 {
                let wave = left.min(1000);
                let (tx, rx) = bounded::<u64>(0);
                let (parked, woken) = (Arc::new(WaitGroup::new()), Arc::new(WaitGroup::new()));
                parked.add(wave as i64);
                woken.add(wave as i64);
                for _ in 0..wave {
                    let (rx, parked, woken) = (rx.clone(), parked.clone(), woken.clone());
                    drop(go(move || {
                        parked.done();
                        assert!(rx.recv().is_err());
                        woken.done();
                    }));
                }
                parked.wait();
                drop(tx);
                woken.wait();
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
    c.bench_function("select over two buffered channels, ready", |b| {
        within(b, |n| {
            let (a_tx, a_rx) = bounded::<u64>(1);
            let (b_tx, b_rx) = bounded::<u64>(1);
            a_tx.send(0).expect("a slot is free");
            b_tx.send(0).expect("a slot is free");
            for i in 0..n {
                select! {
                    recv(a_rx) -> v => assert!(v.is_ok() && a_tx.send(i).is_ok()),
                    recv(b_rx) -> v => assert!(v.is_ok() && b_tx.send(i).is_ok()),
                }
            }
        });
    });
}

fn timers(c: &mut Criterion) {
    c.bench_function("set one of 1,000 timers anew", |b| {
        within(b, |n| {
            let hour = Duration::from_secs(3600);
            let timers: Vec<_> = (0..1000).map(|i| after_func(hour + Duration::from_micros(i), || {})).collect();
            for i in 0..n {
                assert!(timers[(i * 617 % 1000) as usize].reset(hour + Duration::from_micros(i * 389 % 1000)));
            }
        });
    });
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

/// Uncontended locks, beside those of std: lock and unlock, and a look at what was made once.
fn locks(c: &mut Criterion) {
    static OURS: Mutex<u64> = Mutex::new(0);
    static THEIRS: std::sync::Mutex<u64> = std::sync::Mutex::new(0);
    static OUR_RW: RwLock<u64> = RwLock::new(0);
    static THEIR_RW: std::sync::RwLock<u64> = std::sync::RwLock::new(0);
    static OUR_ONCE: Once = Once::new();
    static THEIR_ONCE: std::sync::Once = std::sync::Once::new();
    c.bench_function("mutex, uncontended", |b| within(b, |n| (0..n).for_each(|_| *black_box(&OURS).lock() += 1)));
    c.bench_function("mutex, uncontended, std", |b| {
        within(b, |n| (0..n).for_each(|_| *black_box(&THEIRS).lock().unwrap_or_else(|e| e.into_inner()) += 1));
    });
    c.bench_function("read lock, uncontended", |b| {
        within(b, |n| assert_eq!((0..n).map(|_| *black_box(&OUR_RW).read()).sum::<u64>(), 0));
    });
    c.bench_function("read lock, uncontended, std", |b| {
        within(b, |n| assert_eq!((0..n).filter_map(|_| black_box(&THEIR_RW).read().ok().map(|v| *v)).sum::<u64>(), 0));
    });
    c.bench_function("once, done", |b| within(b, |n| (0..n).for_each(|_| black_box(&OUR_ONCE).call_once(|| ()))));
    c.bench_function("once, done, std", |b| {
        within(b, |n| (0..n).for_each(|_| black_box(&THEIR_ONCE).call_once(|| ())))
    });
}

/// Locks that several want: a hand-over through a park and a wake-up each time.
fn contended(c: &mut Criterion) {
    c.bench_function("mutex, two goroutines that yield while they hold it", |b| {
        within(b, |n| {
            let m = Arc::new(Mutex::new(0u64));
            let m2 = m.clone();
            let work = move |m: &Mutex<u64>| {
                for _ in 0..n / 2 {
                    let mut v = m.lock();
                    yield_now();
                    *v += 1;
                }
            };
            let other = go(move || work(&m2));
            work(&m);
            assert!(other.join().is_ok());
        });
    });
}

criterion_group!(benches, goroutines, channels, selects, timers, locks, contended);
criterion_main!(benches);
