//! W5 select.

use crate::go::Go;
use bench_common::{line, perop, sum_ok, Opts};
use std::time::Instant;
use zokor::channel::{bounded, select, Receiver, Sender};

/// W5u, W5b: one goroutine feeds `k` channels in turn, another selects over them.
pub fn blocked<M: Go>(o: &Opts, cap: usize, n: usize) {
    let n = o.n(n);
    let k = o.get("k", 2);
    let (txs, rxs): (Vec<Sender<i64>>, Vec<Receiver<i64>>) = (0..8).map(|_| bounded(cap)).unzip();
    let t = Instant::now();
    let keep = txs.clone();
    M::go(move || {
        for i in 0..n {
            txs[i % k].send(i as i64).expect("the receivers stay");
        }
    });
    let sum = if k == 2 { sum_of_2(&rxs, n) } else { sum_of_8(&rxs, n) };
    let ns = t.elapsed().as_nanos() as f64 / n as f64;
    sum_ok(sum, n);
    drop(keep);
    line(M::NAME, &format!("{}{k}", o.w), o.p, n, ns, "");
}

fn sum_of_2(r: &[Receiver<i64>], n: usize) -> i64 {
    let mut sum = 0;
    for _ in 0..n {
        sum += select! {
            recv(r[0]) -> v => v.expect("open"),
            recv(r[1]) -> v => v.expect("open"),
        };
    }
    sum
}

fn sum_of_8(r: &[Receiver<i64>], n: usize) -> i64 {
    let mut sum = 0;
    for _ in 0..n {
        sum += select! {
            recv(r[0]) -> v => v.expect("open"),
            recv(r[1]) -> v => v.expect("open"),
            recv(r[2]) -> v => v.expect("open"),
            recv(r[3]) -> v => v.expect("open"),
            recv(r[4]) -> v => v.expect("open"),
            recv(r[5]) -> v => v.expect("open"),
            recv(r[6]) -> v => v.expect("open"),
            recv(r[7]) -> v => v.expect("open"),
        };
    }
    sum
}

/// W5d: a select with default over two channels that stay empty.
pub fn miss<M: Go>(o: &Opts) {
    let n = o.n(20_000_000);
    let (_a_tx, a) = bounded::<i64>(1);
    let (_b_tx, b) = bounded::<i64>(1);
    let mut misses = 0;
    let t = Instant::now();
    for _ in 0..n {
        select! {
            recv(a) -> _ => {},
            recv(b) -> _ => {},
            default => misses += 1,
        }
    }
    assert_eq!(misses, n);
    perop(M::NAME, "w5d", o.p, n, t);
}
