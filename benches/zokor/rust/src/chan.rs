//! W3 unbuffered ping-pong, W4 buffered streams, W6 operations nobody contends for.

use crate::go::Go;
use bench_common::{perop, sum_ok, Opts};
use std::hint::black_box;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Instant;
use zokor::channel::bounded;
use zokor::sync::Mutex;
use zokor::WaitGroup;

/// W3: two goroutines hand a number to and fro.
pub fn ping_pong<M: Go>(o: &Opts) {
    let n = o.n(2_000_000);
    let (a_tx, a_rx) = bounded::<i64>(0);
    let (b_tx, b_rx) = bounded::<i64>(0);
    let (done_tx, done) = bounded::<()>(0);
    let t = Instant::now();
    M::go(move || {
        for _ in 0..n {
            let v = a_rx.recv().expect("ping");
            b_tx.send(v).expect("pong");
        }
        drop(done_tx);
    });
    M::go(move || {
        for i in 0..n as i64 {
            a_tx.send(i).expect("ping");
            assert_eq!(b_rx.recv(), Ok(i));
        }
    });
    let _closed = done.recv();
    perop(M::NAME, "w3", o.p, n, t);
}

/// W4: `pairs` senders and as many receivers on one channel of 128.
pub fn buffered<M: Go>(o: &Opts, pairs: usize) {
    let n = o.n(10_000_000);
    let (tx, rx) = bounded::<i64>(128);
    let total = Arc::new(AtomicI64::new(0));
    let wg = Arc::new(WaitGroup::new());
    wg.add(pairs as i64);
    let t = Instant::now();
    for _ in 0..pairs {
        let tx = tx.clone();
        M::go(move || {
            for i in 0..n / pairs {
                tx.send(i as i64).expect("receivers stay");
            }
        });
        let (rx, total, wg) = (rx.clone(), total.clone(), wg.clone());
        M::go(move || {
            let mut sum = 0;
            while let Ok(v) = rx.recv() {
                sum += v;
            }
            total.fetch_add(sum, Relaxed);
            wg.done();
        });
    }
    drop((tx, rx));
    wg.wait();
    let each = (n / pairs) as i64;
    assert_eq!(total.load(Relaxed), pairs as i64 * (each * (each - 1) / 2), "bad sum");
    perop(M::NAME, &o.w, o.p, n, t);
}

/// W6c: send and receive in one goroutine.
pub fn uncontended<M: Go>(o: &Opts) {
    let n = o.n(20_000_000);
    let (tx, rx) = bounded::<i64>(16);
    let mut sum = 0;
    let t = Instant::now();
    for i in 0..n {
        tx.send(i as i64).expect("open");
        sum += rx.recv().expect("open");
    }
    sum_ok(sum, n);
    perop(M::NAME, "w6c", o.p, n, t);
}

/// W6m: lock and unlock of a mutex that nobody else wants.
pub fn mutex<M: Go>(o: &Opts) {
    let n = o.n(50_000_000);
    let counter = Mutex::new(0i64);
    let t = Instant::now();
    for _ in 0..n {
        *black_box(&counter).lock() += 1;
    }
    perop(M::NAME, "w6m", o.p, n, t);
    assert_eq!(counter.into_inner(), n as i64);
}

/// W6t: `try_recv` on a channel that stays empty.
pub fn try_recv_empty<M: Go>(o: &Opts) {
    let n = o.n(50_000_000);
    let (_tx, rx) = bounded::<i64>(16);
    let t = Instant::now();
    for _ in 0..n {
        assert!(black_box(&rx).try_recv().is_err());
    }
    perop(M::NAME, "w6t", o.p, n, t);
}
