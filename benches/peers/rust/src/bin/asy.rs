//! Async peers. usage: `P=1|2 asy <tokio|tokio-ct|flume|kanal|smol> <workload> [name=value ...]`
//!   tokio    tokio multi_thread(P) + tokio::sync::mpsc (no rendezvous: capacity 1; single consumer)
//!   tokio-ct the same on the current_thread runtime (P=1 only)
//!   flume    tokio multi_thread(P) + flume's async side
//!   kanal    tokio multi_thread(P) + kanal's async side
//!   smol     smol's global executor (SMOL_THREADS=P) + async-channel (no rendezvous: capacity 1)
use bench_common::*;
use futures_lite::future::{or, poll_once, race, yield_now};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::*};
use std::time::{Duration, Instant};

// ---------------------------------------------------------------- runtimes
trait Rt: 'static {
    fn spawn<F: Future<Output = ()> + Send + 'static>(f: F);
    fn sleep(d: Duration) -> impl Future<Output = ()> + Send;
    fn yield_now() -> impl Future<Output = ()> + Send;
    fn mutex(n: usize) -> impl Future<Output = ()> + Send;
}
struct Tokio;
impl Rt for Tokio {
    fn spawn<F: Future<Output = ()> + Send + 'static>(f: F) {
        tokio::spawn(f);
    }
    async fn sleep(d: Duration) {
        tokio::time::sleep(d).await
    }
    async fn yield_now() {
        tokio::task::yield_now().await
    }
    async fn mutex(n: usize) {
        let m = tokio::sync::Mutex::new(0i64);
        for _ in 0..n {
            *m.lock().await += 1;
        }
    }
}
struct Smol;
impl Rt for Smol {
    fn spawn<F: Future<Output = ()> + Send + 'static>(f: F) {
        smol::spawn(f).detach();
    }
    async fn sleep(d: Duration) {
        smol::Timer::after(d).await;
    }
    async fn yield_now() {
        yield_now().await
    }
    async fn mutex(n: usize) {
        let m = async_lock::Mutex::new(0i64);
        for _ in 0..n {
            *m.lock().await += 1;
        }
    }
}

// ---------------------------------------------------------------- channels
trait Ch: 'static {
    const MULTI: bool; // several receivers allowed
    type Tx: Clone + Send + Sync + 'static;
    type Rx: Send + Sync + 'static;
    fn make(cap: usize) -> (Self::Tx, Self::Rx);
    fn clone_rx(r: &Self::Rx) -> Self::Rx;
    fn send(t: &Self::Tx, v: i64) -> impl Future<Output = bool> + Send;
    fn recv(r: &mut Self::Rx) -> impl Future<Output = Option<i64>> + Send;
    fn try_miss(r: &mut Self::Rx) -> bool;
    fn send_block(t: &Self::Tx, v: i64) -> bool;
    fn recv_block(r: &mut Self::Rx) -> Option<i64>;
    /// close so that all parked receivers wake (W7)
    fn close(t: Self::Tx);
}
struct TokioCh;
impl Ch for TokioCh {
    const MULTI: bool = false;
    type Tx = tokio::sync::mpsc::Sender<i64>;
    type Rx = tokio::sync::mpsc::Receiver<i64>;
    fn make(cap: usize) -> (Self::Tx, Self::Rx) {
        tokio::sync::mpsc::channel(cap.max(1))
    }
    fn clone_rx(_: &Self::Rx) -> Self::Rx {
        unimplemented!()
    }
    async fn send(t: &Self::Tx, v: i64) -> bool {
        t.send(v).await.is_ok()
    }
    async fn recv(r: &mut Self::Rx) -> Option<i64> {
        r.recv().await
    }
    fn try_miss(r: &mut Self::Rx) -> bool {
        r.try_recv().is_err()
    }
    fn send_block(t: &Self::Tx, v: i64) -> bool {
        t.blocking_send(v).is_ok()
    }
    fn recv_block(r: &mut Self::Rx) -> Option<i64> {
        r.blocking_recv()
    }
    fn close(t: Self::Tx) {
        drop(t)
    }
}
struct FlumeCh;
impl Ch for FlumeCh {
    const MULTI: bool = true;
    type Tx = flume::Sender<i64>;
    type Rx = flume::Receiver<i64>;
    fn make(cap: usize) -> (Self::Tx, Self::Rx) {
        flume::bounded(cap)
    }
    fn clone_rx(r: &Self::Rx) -> Self::Rx {
        r.clone()
    }
    async fn send(t: &Self::Tx, v: i64) -> bool {
        t.send_async(v).await.is_ok()
    }
    async fn recv(r: &mut Self::Rx) -> Option<i64> {
        r.recv_async().await.ok()
    }
    fn try_miss(r: &mut Self::Rx) -> bool {
        r.try_recv().is_err()
    }
    fn send_block(t: &Self::Tx, v: i64) -> bool {
        t.send(v).is_ok()
    }
    fn recv_block(r: &mut Self::Rx) -> Option<i64> {
        r.recv().ok()
    }
    fn close(t: Self::Tx) {
        drop(t)
    }
}
struct KanalCh;
impl Ch for KanalCh {
    const MULTI: bool = true;
    type Tx = kanal::AsyncSender<i64>;
    type Rx = kanal::AsyncReceiver<i64>;
    fn make(cap: usize) -> (Self::Tx, Self::Rx) {
        kanal::bounded_async(cap)
    }
    fn clone_rx(r: &Self::Rx) -> Self::Rx {
        r.clone()
    }
    async fn send(t: &Self::Tx, v: i64) -> bool {
        t.send(v).await.is_ok()
    }
    async fn recv(r: &mut Self::Rx) -> Option<i64> {
        r.recv().await.ok()
    }
    fn try_miss(r: &mut Self::Rx) -> bool {
        matches!(r.try_recv(), Ok(None))
    }
    fn send_block(t: &Self::Tx, v: i64) -> bool {
        t.as_sync().send(v).is_ok()
    }
    fn recv_block(r: &mut Self::Rx) -> Option<i64> {
        r.as_sync().recv().ok()
    }
    fn close(t: Self::Tx) {
        t.close().unwrap();
    }
}
struct AsyncCh;
impl Ch for AsyncCh {
    const MULTI: bool = true;
    type Tx = async_channel::Sender<i64>;
    type Rx = async_channel::Receiver<i64>;
    fn make(cap: usize) -> (Self::Tx, Self::Rx) {
        async_channel::bounded(cap.max(1))
    }
    fn clone_rx(r: &Self::Rx) -> Self::Rx {
        r.clone()
    }
    async fn send(t: &Self::Tx, v: i64) -> bool {
        t.send(v).await.is_ok()
    }
    async fn recv(r: &mut Self::Rx) -> Option<i64> {
        r.recv().await.ok()
    }
    fn try_miss(r: &mut Self::Rx) -> bool {
        r.try_recv().is_err()
    }
    fn send_block(t: &Self::Tx, v: i64) -> bool {
        t.send_blocking(v).is_ok()
    }
    fn recv_block(r: &mut Self::Rx) -> Option<i64> {
        r.recv_blocking().ok()
    }
    fn close(t: Self::Tx) {
        t.close();
    }
}

// ---------------------------------------------------------------- a counter the main task waits on
#[derive(Clone)]
struct Wg(Arc<(AtomicUsize, async_lock::Semaphore)>);
impl Wg {
    fn new(n: usize) -> Wg {
        Wg(Arc::new((AtomicUsize::new(n), async_lock::Semaphore::new(0))))
    }
    fn done(&self) {
        if self.0.0.fetch_sub(1, AcqRel) == 1 {
            self.0.1.add_permits(1);
        }
    }
    async fn wait(&self) {
        self.0.1.acquire().await.forget();
    }
}

fn skynet<R: Rt, C: Ch>(tx: C::Tx, num: i64, size: i64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if size == 1 {
            C::send(&tx, num).await;
            return;
        }
        let (t, mut r) = C::make(0);
        let sub = size / 10;
        for i in 0..10 {
            R::spawn(skynet::<R, C>(t.clone(), num + i * sub, sub));
        }
        let mut s = 0;
        for _ in 0..10 {
            s += C::recv(&mut r).await.unwrap();
        }
        C::send(&tx, s).await;
    })
}

async fn select2<R: Rt, C: Ch>(tok: bool, a: &mut C::Rx, b: &mut C::Rx) -> i64 {
    if tok {
        tokio::select! { v = C::recv(a) => v.unwrap(), v = C::recv(b) => v.unwrap() }
    } else {
        race(C::recv(a), C::recv(b)).await.unwrap()
    }
}

async fn run<R: Rt, C: Ch>(me: &'static str, tok: bool, o: Arc<Opts>) {
    let p = o.p;
    let na = |why: &str| println!("{{\"peer\":\"{me}\",\"w\":\"{}\",\"p\":{p},\"na\":\"{why}\"}}", o.w);
    match o.w.as_str() {
        "w1a" => {
            let n = o.n(1_000_000);
            let wg = Wg::new(n);
            let t = Instant::now();
            for _ in 0..n {
                let g = wg.clone();
                R::spawn(async move { g.done() });
            }
            wg.wait().await;
            perop(me, "w1a", p, n, t);
        }
        "w1b" => {
            let n = o.n(1_000_000);
            let t = Instant::now();
            for _ in 0..n / 1000 {
                let wg = Wg::new(1000);
                for _ in 0..1000 {
                    let g = wg.clone();
                    R::spawn(async move { g.done() });
                }
                wg.wait().await;
            }
            perop(me, "w1b", p, n, t);
        }
        "w2" => {
            let n = o.n(10_000_000);
            let wg = Wg::new(2);
            let t = Instant::now();
            for _ in 0..2 {
                let g = wg.clone();
                R::spawn(async move {
                    for _ in 0..n / 2 {
                        R::yield_now().await;
                    }
                    g.done();
                });
            }
            wg.wait().await;
            perop(me, "w2", p, n, t);
        }
        "w3" => {
            let n = o.n(2_000_000);
            let (atx, mut arx) = C::make(0);
            let (btx, mut brx) = C::make(0);
            let wg = Wg::new(2);
            let t = Instant::now();
            let g = wg.clone();
            R::spawn(async move {
                for _ in 0..n {
                    let v = C::recv(&mut arx).await.unwrap();
                    C::send(&btx, v).await;
                }
                g.done();
            });
            let g = wg.clone();
            R::spawn(async move {
                for i in 0..n {
                    C::send(&atx, i as i64).await;
                    assert_eq!(C::recv(&mut brx).await, Some(i as i64));
                }
                g.done();
            });
            wg.wait().await;
            perop(me, "w3", p, n, t);
        }
        "w4s" | "w4m" => {
            let np = if o.w == "w4s" { 1 } else { 4 };
            if np > 1 && !C::MULTI {
                return na("single consumer");
            }
            let n = o.n(10_000_000);
            let (tx, rx) = C::make(128);
            let total = Arc::new(AtomicI64::new(0));
            let wg = Wg::new(np);
            let mut rxs = vec![];
            for _ in 1..np {
                rxs.push(C::clone_rx(&rx));
            }
            rxs.push(rx);
            let t = Instant::now();
            for mut rx in rxs {
                let (tx, g, tot) = (tx.clone(), wg.clone(), total.clone());
                R::spawn(async move {
                    for i in 0..n / np {
                        C::send(&tx, i as i64).await;
                    }
                });
                R::spawn(async move {
                    let mut s = 0;
                    while let Some(v) = C::recv(&mut rx).await {
                        s += v;
                    }
                    tot.fetch_add(s, SeqCst);
                    g.done();
                });
            }
            drop(tx);
            wg.wait().await;
            let m = (n / np) as i64;
            assert_eq!(total.load(SeqCst), np as i64 * (m * (m - 1) / 2));
            perop(me, &o.w, p, n, t);
        }
        "w5u" | "w5b" => {
            let (cap, n) = if o.w == "w5u" { (0, o.n(2_000_000)) } else { (128, o.n(4_000_000)) };
            let k = o.get("k", 2);
            let (mut txs, mut rxs) = (vec![], vec![]);
            for _ in 0..8 {
                let (t, r) = C::make(cap);
                txs.push(t);
                rxs.push(r);
            }
            R::spawn(async move {
                for i in 0..n {
                    C::send(&txs[i % k], i as i64).await;
                }
                R::sleep(Duration::from_secs(1000)).await;
                drop(txs);
            });
            // watchdog: report a select that stops making progress rather than hang
            static GOT: AtomicUsize = AtomicUsize::new(0);
            let w = o.w.clone();
            std::thread::spawn(move || {
                let mut last = usize::MAX;
                loop {
                    std::thread::sleep(Duration::from_secs(3));
                    let g = GOT.load(Relaxed);
                    if g == last {
                        println!(
                            "{{\"peer\":\"{me}\",\"w\":\"{w}{k}\",\"p\":{p},\"n\":{n},\"fail\":\"stuck after {g} of {n} messages\"}}"
                        );
                        std::process::exit(3);
                    }
                    last = g;
                }
            });
            let wg = Wg::new(1);
            let g = wg.clone();
            let w = o.w.clone();
            R::spawn(async move {
                let mut s = 0i64;
                let [a, b, c, d, e, f, h, i] = &mut rxs[..] else { unreachable!() };
                let t = Instant::now();
                for got in 0..n {
                    GOT.store(got, Relaxed);
                    s += if k == 2 {
                        select2::<R, C>(tok, a, b).await
                    } else if tok {
                        tokio::select! {
                            v = C::recv(a) => v.unwrap(), v = C::recv(b) => v.unwrap(),
                            v = C::recv(c) => v.unwrap(), v = C::recv(d) => v.unwrap(),
                            v = C::recv(e) => v.unwrap(), v = C::recv(f) => v.unwrap(),
                            v = C::recv(h) => v.unwrap(), v = C::recv(i) => v.unwrap(),
                        }
                    } else {
                        let x = race(race(C::recv(a), C::recv(b)), race(C::recv(c), C::recv(d)));
                        let y = race(race(C::recv(e), C::recv(f)), race(C::recv(h), C::recv(i)));
                        race(x, y).await.unwrap()
                    };
                }
                let ns = t.elapsed().as_nanos() as f64 / n as f64;
                sum_ok(s, n);
                line(me, &format!("{w}{k}"), p, n, ns, "");
                g.done();
            });
            wg.wait().await;
            std::process::exit(0);
        }
        "w5d" => {
            let n = o.n(20_000_000);
            let (_at, mut a) = C::make(1);
            let (_bt, mut b) = C::make(1);
            let mut miss = 0;
            let t = Instant::now();
            for _ in 0..n {
                if tok {
                    tokio::select! { biased;
                    _ = C::recv(&mut a) => (), _ = C::recv(&mut b) => (), _ = async {} => miss += 1 }
                } else if poll_once(or(C::recv(&mut a), C::recv(&mut b))).await.is_none() {
                    miss += 1;
                }
            }
            assert_eq!(miss, n);
            perop(me, "w5d", p, n, t);
        }
        "w6c" => {
            let n = o.n(20_000_000);
            let (tx, mut rx) = C::make(16);
            let mut s = 0;
            let t = Instant::now();
            for i in 0..n {
                C::send(&tx, i as i64).await;
                s += C::recv(&mut rx).await.unwrap();
            }
            sum_ok(s, n);
            perop(me, "w6c", p, n, t);
        }
        "w6m" => {
            let n = o.n(20_000_000);
            let t = Instant::now();
            R::mutex(n).await;
            perop(me, "w6m", p, n, t);
        }
        "w6t" => {
            let n = o.n(50_000_000);
            let (_tx, mut rx) = C::make(16);
            let t = Instant::now();
            for _ in 0..n {
                assert!(C::try_miss(std::hint::black_box(&mut rx)));
            }
            perop(me, "w6t", p, n, t);
        }
        "w7" => {
            let n = o.n(1_000_000);
            let m0 = memory();
            let started = Arc::new(AtomicUsize::new(0));
            let wg = Wg::new(n);
            if C::MULTI {
                let (tx, rx) = C::make(0);
                let t = Instant::now();
                for _ in 0..n {
                    let (mut rx, s, g) = (C::clone_rx(&rx), started.clone(), wg.clone());
                    R::spawn(async move {
                        s.fetch_add(1, Relaxed);
                        C::recv(&mut rx).await;
                        g.done();
                    });
                }
                w7_rest::<R>(me, &o, n, m0, t, started, wg, move || C::close(tx)).await;
            } else {
                // single-consumer channel: park on a watch, whose sender's drop wakes everyone
                let (tx, rx) = tokio::sync::watch::channel(0i64);
                let t = Instant::now();
                for _ in 0..n {
                    let (mut rx, s, g) = (rx.clone(), started.clone(), wg.clone());
                    R::spawn(async move {
                        s.fetch_add(1, Relaxed);
                        let _ = rx.changed().await;
                        g.done();
                    });
                }
                w7_rest::<R>(me, &o, n, m0, t, started, wg, move || drop(tx)).await;
            }
        }
        "w8" => {
            let n = o.n(1_000_000);
            let (tx, mut rx) = C::make(0);
            let t = Instant::now();
            R::spawn(skynet::<R, C>(tx, 0, n as i64));
            sum_ok(C::recv(&mut rx).await.unwrap(), n);
            line(me, "w8", p, n, t.elapsed().as_nanos() as f64, "");
        }
        "w9" => {
            let n = o.n(2000);
            let t = Instant::now();
            let (tx, mut rx) = C::make(0);
            R::spawn(async move {
                for i in 2i64.. {
                    if !C::send(&tx, i).await {
                        break;
                    }
                }
            });
            let mut last = 0;
            for _ in 0..n {
                let prime = C::recv(&mut rx).await.unwrap();
                last = prime;
                let (t1, r1) = C::make(0);
                let mut inn = rx;
                rx = r1;
                R::spawn(async move {
                    while let Some(v) = C::recv(&mut inn).await {
                        if v % prime != 0 && !C::send(&t1, v).await {
                            break;
                        }
                    }
                });
            }
            line(me, "w9", p, n, t.elapsed().as_nanos() as f64, &format!("\"last\":{last}"));
            std::process::exit(0);
        }
        "w10" => {
            let n = o.n(100_000);
            let warm = o.get("warm", 0) > 0;
            let durs = Arc::new(durations(n));
            let late: Arc<Vec<AtomicI64>> = Arc::new((0..n).map(|_| AtomicI64::new(0)).collect());
            let wg = Wg::new(n);
            let c0 = cpu_ns();
            let t = Instant::now();
            for i in 0..n {
                let (d, l, g) = (durs.clone(), late.clone(), wg.clone());
                R::spawn(async move {
                    if warm {
                        R::sleep(Duration::from_nanos(200_000_000 + d[n - 1 - i])).await;
                    }
                    let t0 = Instant::now();
                    R::sleep(Duration::from_nanos(d[i])).await;
                    l[i].store(t0.elapsed().as_nanos() as i64 - d[i] as i64, Relaxed);
                    g.done();
                });
            }
            wg.wait().await;
            let wall = t.elapsed();
            w10_line(me, p, n, wall, cpu_ns() - c0, late.iter().map(|x| x.load(Relaxed)).collect());
        }
        "w12p" => {
            let n = o.n(200_000);
            let (atx, mut arx) = C::make(1);
            let (btx, mut brx) = C::make(1);
            R::spawn(async move {
                while let Some(v) = C::recv(&mut arx).await {
                    C::send(&btx, v).await;
                }
            });
            let w = Wg::new(1);
            let g = w.clone();
            std::thread::spawn(move || {
                let t = Instant::now();
                for i in 0..n {
                    C::send_block(&atx, i as i64);
                    assert_eq!(C::recv_block(&mut brx), Some(i as i64));
                }
                perop(me, "w12p", p, n, t);
                g.done();
            });
            w.wait().await;
        }
        "w12s" => {
            let n = o.n(5_000_000);
            let (tx, mut rx) = C::make(128);
            let t = Instant::now();
            std::thread::spawn(move || {
                for i in 0..n {
                    C::send_block(&tx, i as i64);
                }
            });
            let w = Wg::new(1);
            let g = w.clone();
            R::spawn(async move {
                let mut s = 0;
                while let Some(v) = C::recv(&mut rx).await {
                    s += v;
                }
                sum_ok(s, n);
                g.done();
            });
            w.wait().await;
            perop(me, "w12s", p, n, t);
        }
        "w13" => {
            let n = o.n(10_000);
            let it = o.get("iters", 12500);
            let t = Instant::now();
            for i in 0..n {
                std::hint::black_box(work(it, i as u64));
            }
            let ser = t.elapsed().as_nanos() as f64;
            let wg = Wg::new(n);
            let t = Instant::now();
            for i in 0..n {
                let g = wg.clone();
                R::spawn(async move {
                    std::hint::black_box(work(it, i as u64));
                    g.done();
                });
            }
            wg.wait().await;
            let par = t.elapsed().as_nanos() as f64;
            line(
                me,
                "w13",
                p,
                n,
                par / n as f64,
                &format!("\"serial_ns\":{:.1},\"speedup\":{:.4}", ser / n as f64, ser / par),
            );
        }
        _ => na("unknown workload"),
    }
}

async fn w7_rest<R: Rt>(
    me: &str,
    o: &Opts,
    n: usize,
    m0: (usize, usize),
    t: Instant,
    started: Arc<AtomicUsize>,
    wg: Wg,
    close: impl FnOnce(),
) {
    while started.load(Relaxed) < n {
        R::sleep(Duration::from_millis(1)).await;
    }
    let spawn = t.elapsed();
    R::sleep(Duration::from_millis(50)).await;
    let m1 = memory();
    let t = Instant::now();
    close();
    wg.wait().await;
    let wake = t.elapsed();
    w7_line(me, o, n, spawn, wake, m0, m1);
}

fn main() {
    let me = std::env::args().nth(1).unwrap();
    let o = Arc::new(Opts::parse(2));
    let p = o.p;
    let mt = || tokio::runtime::Builder::new_multi_thread().worker_threads(p).enable_all().build().unwrap();
    // the workload's main task itself runs as a spawned task, as in the other peers
    match me.as_str() {
        "tokio" => mt().block_on(async { tokio::spawn(run::<Tokio, TokioCh>("tokio", true, o)).await.unwrap() }),
        "tokio-ct" => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async { tokio::spawn(run::<Tokio, TokioCh>("tokio-ct", true, o)).await.unwrap() }),
        "flume" => mt().block_on(async { tokio::spawn(run::<Tokio, FlumeCh>("flume", true, o)).await.unwrap() }),
        "kanal" => mt().block_on(async { tokio::spawn(run::<Tokio, KanalCh>("kanal", true, o)).await.unwrap() }),
        "smol" => {
            unsafe { std::env::set_var("SMOL_THREADS", p.to_string()) };
            smol::block_on(smol::spawn(run::<Smol, AsyncCh>("smol", false, o)))
        }
        m => panic!("unknown peer {m}"),
    }
}
