//! W13 fan-out of work that only computes.

use crate::go::Go;
use bench_common::{line, work, Opts};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use zokor::WaitGroup;

/// W13: `n` tasks one after the other, then as goroutines; the speed-up is the quotient.
pub fn fan_out<M: Go>(o: &Opts) {
    let n = o.n(10_000);
    let iters = o.get("iters", 12_500);
    let t = Instant::now();
    for i in 0..n {
        black_box(work(iters, i as u64));
    }
    let serial = t.elapsed().as_nanos() as f64;
    let wg = Arc::new(WaitGroup::new());
    wg.add(n as i64);
    let t = Instant::now();
    for i in 0..n {
        let wg = wg.clone();
        M::go(move || {
            black_box(work(iters, i as u64));
            wg.done();
        });
    }
    wg.wait();
    let parallel = t.elapsed().as_nanos() as f64;
    let extra = format!("\"serial_ns\":{:.1},\"speedup\":{:.4}", serial / n as f64, serial / parallel);
    line(M::NAME, "w13", o.p, n, parallel / n as f64, &extra);
}
