//! W12: an OS thread on one side, a goroutine on the other.

use crate::go::Go;
use bench_common::{line, perop, sum_ok, Opts};
use std::time::Instant;
use zokor::channel::bounded;

/// W12p: round trips.
pub fn ping_pong<M: Go>(o: &Opts) {
    let n = o.n(200_000);
    let (a_tx, a_rx) = bounded::<i64>(1);
    let (b_tx, b_rx) = bounded::<i64>(1);
    M::go(move || {
        for v in a_rx {
            b_tx.send(v).expect("the thread waits");
        }
    });
    let thread = std::thread::spawn(move || {
        let t = Instant::now();
        for i in 0..n as i64 {
            a_tx.send(i).expect("the goroutine waits");
            assert_eq!(b_rx.recv(), Ok(i));
        }
        t.elapsed()
    });
    // Not `thread.join()` by itself: main would keep its worker.
    let d = zokor::blocking(move || thread.join()).expect("the thread ends well");
    line(M::NAME, "w12p", o.p, n, d.as_nanos() as f64 / n as f64, "");
}

/// W12s: a stream from the thread to the goroutine.
pub fn stream<M: Go>(o: &Opts) {
    let n = o.n(5_000_000);
    let (tx, rx) = bounded::<i64>(128);
    let (done_tx, done) = bounded(1);
    let t = Instant::now();
    let thread = std::thread::spawn(move || {
        for i in 0..n as i64 {
            tx.send(i).expect("the goroutine waits");
        }
    });
    M::go(move || done_tx.send(rx.iter().sum::<i64>()).expect("main waits"));
    zokor::blocking(move || thread.join()).expect("the thread ends well");
    sum_ok(done.recv().expect("the goroutine ends well"), n);
    perop(M::NAME, "w12s", o.p, n, t);
}
