//! W7 many parked goroutines, W8 skynet, W9 the prime sieve.

use crate::go::Go;
use bench_common::{line, memory, sum_ok, w7_line, Opts};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::channel::{bounded, Sender};
use zokor::WaitGroup;

/// W7: `n` goroutines park on one channel; its close wakes them all.
pub fn parked<M: Go>(o: &Opts) {
    let n = o.n(1_000_000);
    let before = memory();
    let (tx, rx) = bounded::<i64>(0);
    let started = Arc::new(AtomicUsize::new(0));
    let wg = Arc::new(WaitGroup::new());
    wg.add(n as i64);
    let t = Instant::now();
    for _ in 0..n {
        let (rx, started, wg) = (rx.clone(), started.clone(), wg.clone());
        M::go(move || {
            started.fetch_add(1, Relaxed);
            assert!(rx.recv().is_err());
            wg.done();
        });
    }
    // A sleep would be most of what a few goroutines take.
    let look: fn() = if o.get("poll", 0) > 0 { zokor::yield_now } else { || zokor::sleep(Duration::from_millis(1)) };
    while started.load(Relaxed) < n {
        look();
    }
    let spawn = t.elapsed();
    zokor::sleep(Duration::from_millis(50));
    let after = memory();
    let t = Instant::now();
    drop(tx);
    wg.wait();
    w7_line(M::NAME, o, n, spawn, t.elapsed(), before, after);
}

fn skynet<M: Go>(tx: &Sender<i64>, num: i64, size: i64) {
    if size == 1 {
        tx.send(num).expect("the parent waits");
        return;
    }
    let (child_tx, rx) = bounded(0);
    let sub = size / 10;
    for i in 0..10 {
        let tx = child_tx.clone();
        M::go(move || skynet::<M>(&tx, num + i * sub, sub));
    }
    let sum = (0..10).map(|_| rx.recv().expect("ten children")).sum();
    tx.send(sum).expect("the parent waits");
}

/// W8: a tree of goroutines, ten children each, with `n` leaves that are summed up.
pub fn skynet_row<M: Go>(o: &Opts) {
    let n = o.n(1_000_000);
    let (tx, rx) = bounded(0);
    let t = Instant::now();
    M::go(move || skynet::<M>(&tx, 0, n as i64));
    sum_ok(rx.recv().expect("the root"), n);
    line(M::NAME, "w8", o.p, n, t.elapsed().as_nanos() as f64, "");
}

/// W9: a chain of filters, one goroutine per prime, until the `n`-th prime.
pub fn sieve<M: Go>(o: &Opts) {
    let n = o.n(2000);
    let t = Instant::now();
    let (tx, mut rx) = bounded::<i64>(0);
    M::go(move || {
        let mut i = 2;
        while tx.send(i).is_ok() {
            i += 1;
        }
    });
    let mut last = 0;
    for _ in 0..n {
        let prime = rx.recv().expect("primes do not end");
        last = prime;
        let (next_tx, next_rx) = bounded(0);
        let numbers = std::mem::replace(&mut rx, next_rx);
        M::go(move || {
            for v in numbers {
                if v % prime != 0 && next_tx.send(v).is_err() {
                    break;
                }
            }
        });
    }
    line(M::NAME, "w9", o.p, n, t.elapsed().as_nanos() as f64, &format!("\"last\":{last}"));
}
