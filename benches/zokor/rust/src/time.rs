//! W10 sleepers.

use crate::go::Go;
use bench_common::{cpu_ns, durations, w10_line, Opts};
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
