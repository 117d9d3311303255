//! W10 sleepers, and timers for the scaling plots.

use crate::go::Go;
use bench_common::{cpu_ns, durations, perop, w10_line, Opts};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::WaitGroup;

struct Naps {
    lengths: Vec<u64>,
    late: Vec<AtomicI64>,
    wg: WaitGroup,
}

/// W10: `n` goroutines sleep once each, 0 to 100 ms; by how much too long, and at what CPU time. With `warm=1` they are staggered
/// first, so that the storm of spawns is over before anything is measured.
pub fn sleepers<M: Go>(o: &Opts) {
    let n = o.n(100_000);
    let warm = o.get("warm", 0) > 0;
    let naps = Arc::new(Naps {
        lengths: durations(n),
        late: (0..n).map(|_| AtomicI64::new(0)).collect(),
        wg: WaitGroup::new(),
    });
    naps.wg.add(n as i64);
    let cpu = cpu_ns();
    let t = Instant::now();
    for i in 0..n {
        let naps = naps.clone();
        M::go(move || {
            if warm {
                zokor::sleep(Duration::from_nanos(200_000_000 + naps.lengths[n - 1 - i]));
            }
            let length = naps.lengths[i];
            let t = Instant::now();
            zokor::sleep(Duration::from_nanos(length));
            naps.late[i].store(t.elapsed().as_nanos() as i64 - length as i64, Relaxed);
            naps.wg.done();
        });
    }
    naps.wg.wait();
    let wall = t.elapsed();
    w10_line(M::NAME, o.p, n, wall, cpu_ns() - cpu, naps.late.iter().map(|l| l.load(Relaxed)).collect());
}

/// W10 for the scaling plots: one of `g` pending timers after the other is set anew, in an order without a pattern.
pub fn pending<M: Go>(o: &Opts) {
    let (n, g) = (o.n(1_000_000), o.get("g", 1000));
    let hour = Duration::from_secs(3600);
    let naps = durations(g.max(1 << 16));
    let timers: Vec<_> = (0..g).map(|i| zokor::time::after_func(hour + Duration::from_nanos(naps[i]), || {})).collect();
    let t = Instant::now();
    for i in 0..n {
        let nap = naps[i % naps.len()];
        assert!(timers[nap as usize % g].reset(hour + Duration::from_nanos(nap)), "an hour has not passed");
    }
    perop(M::NAME, "w10t", o.p, n, t);
}
