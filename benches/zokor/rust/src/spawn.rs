//! W1 spawn and finish, W2 yield.

use crate::go::Go;
use bench_common::{perop, Opts};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use zokor::WaitGroup;

/// W1a: `n` goroutines, none of which needs to have finished before the last is started.
pub fn all_in_flight<M: Go>(o: &Opts) {
    let n = o.n(1_000_000);
    let wg = Arc::new(WaitGroup::new());
    let t = Instant::now();
    wg.add(n as i64);
    for _ in 0..n {
        let wg = wg.clone();
        M::go(move || wg.done());
    }
    wg.wait();
    perop(M::NAME, "w1a", o.p, n, t);
}

/// W1b: the same in waves of 1,000.
pub fn thousand_in_flight<M: Go>(o: &Opts) {
    let n = o.n(1_000_000);
    let wg = Arc::new(WaitGroup::new());
    let t = Instant::now();
    for _ in 0..n / 1000 {
        wg.add(1000);
        for _ in 0..1000 {
            let wg = wg.clone();
            M::go(move || wg.done());
        }
        wg.wait();
    }
    perop(M::NAME, "w1b", o.p, n, t);
}

/// W2: `g` goroutines (two unless given) that do nothing but yield.
pub fn yielding<M: Go>(o: &Opts) {
    let n = o.n(10_000_000);
    let g = o.get("g", 2);
    let wg = Arc::new(WaitGroup::new());
    wg.add(g as i64);
    let t = Instant::now();
    for _ in 0..g {
        let wg = wg.clone();
        M::go(move || {
            for _ in 0..n / g {
                zokor::yield_now();
            }
            wg.done();
        });
    }
    wg.wait();
    perop(M::NAME, "w2", o.p, n, t);
}

/// W2 for the scaling plots: yields among `g` goroutines, timed from when all have begun, so that what it costs to start
/// them is left out.
pub fn many_yielding<M: Go>(o: &Opts) {
    let g = o.get("g", 1000);
    let each = o.n(10_000_000) / g;
    let wg = Arc::new(WaitGroup::new());
    let (begun, gate) = (Arc::new((AtomicUsize::new(0), OnceLock::new())), Arc::new(WaitGroup::new()));
    wg.add(g as i64);
    gate.add(1);
    for _ in 0..g {
        let (wg, gate, begun) = (wg.clone(), gate.clone(), begun.clone());
        M::go(move || {
            if begun.0.fetch_add(1, Relaxed) + 1 == g {
                gate.done();
                begun.1.set(Instant::now()).expect("one is the last");
            } else {
                gate.wait();
            }
            for _ in 0..each {
                zokor::yield_now();
            }
            wg.done();
        });
    }
    wg.wait();
    // The switches by which all went on from the gate count as well.
    perop(M::NAME, "w2g", o.p, (each + 1) * g, *begun.1.get().expect("all have begun"));
}
