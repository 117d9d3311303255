//! OS-thread peers. usage: P=1|2 thr <xbeam|flume|kanal> <workload> [k=v ...]
//! P=1 pins the whole process to CPU 0. xbeam = crossbeam-channel.
use bench_common::*;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

fn small() -> thread::Builder {
    thread::Builder::new().stack_size(16 * 1024)
}

trait Ch: 'static {
    type Tx: Clone + Send + 'static;
    type Rx: Clone + Send + 'static;
    fn make(cap: usize) -> (Self::Tx, Self::Rx);
    fn send(t: &Self::Tx, v: i64) -> bool;
    fn recv(r: &Self::Rx) -> Option<i64>;
    fn miss(r: &Self::Rx) -> bool;
    fn close(t: Self::Tx);
    fn select(r: &[Self::Rx]) -> Option<i64>;
    fn select_miss(_a: &Self::Rx, _b: &Self::Rx) -> Option<bool> {
        None
    }
}
struct X;
impl Ch for X {
    type Tx = crossbeam_channel::Sender<i64>;
    type Rx = crossbeam_channel::Receiver<i64>;
    fn make(cap: usize) -> (Self::Tx, Self::Rx) {
        crossbeam_channel::bounded(cap)
    }
    fn send(t: &Self::Tx, v: i64) -> bool {
        t.send(v).is_ok()
    }
    fn recv(r: &Self::Rx) -> Option<i64> {
        r.recv().ok()
    }
    fn miss(r: &Self::Rx) -> bool {
        r.try_recv().is_err()
    }
    fn close(t: Self::Tx) {
        drop(t)
    }
    fn select(r: &[Self::Rx]) -> Option<i64> {
        use crossbeam_channel::select;
        Some(if r.len() == 2 {
            select! { recv(r[0]) -> v => v.unwrap(), recv(r[1]) -> v => v.unwrap() }
        } else {
            select! {
                recv(r[0]) -> v => v.unwrap(), recv(r[1]) -> v => v.unwrap(), recv(r[2]) -> v => v.unwrap(), recv(r[3]) -> v => v.unwrap(),
                recv(r[4]) -> v => v.unwrap(), recv(r[5]) -> v => v.unwrap(), recv(r[6]) -> v => v.unwrap(), recv(r[7]) -> v => v.unwrap()
            }
        })
    }
    fn select_miss(a: &Self::Rx, b: &Self::Rx) -> Option<bool> {
        Some(crossbeam_channel::select! { recv(a) -> _ => false, recv(b) -> _ => false, default => true })
    }
}
struct F;
impl Ch for F {
    type Tx = flume::Sender<i64>;
    type Rx = flume::Receiver<i64>;
    fn make(cap: usize) -> (Self::Tx, Self::Rx) {
        flume::bounded(cap)
    }
    fn send(t: &Self::Tx, v: i64) -> bool {
        t.send(v).is_ok()
    }
    fn recv(r: &Self::Rx) -> Option<i64> {
        r.recv().ok()
    }
    fn miss(r: &Self::Rx) -> bool {
        r.try_recv().is_err()
    }
    fn close(t: Self::Tx) {
        drop(t)
    }
    fn select(r: &[Self::Rx]) -> Option<i64> {
        let mut s = flume::Selector::new();
        for x in r {
            s = s.recv(x, |v| v.unwrap());
        }
        Some(s.wait())
    }
}
struct K;
impl Ch for K {
    type Tx = kanal::Sender<i64>;
    type Rx = kanal::Receiver<i64>;
    fn make(cap: usize) -> (Self::Tx, Self::Rx) {
        kanal::bounded(cap)
    }
    fn send(t: &Self::Tx, v: i64) -> bool {
        t.send(v).is_ok()
    }
    fn recv(r: &Self::Rx) -> Option<i64> {
        r.recv().ok()
    }
    fn miss(r: &Self::Rx) -> bool {
        matches!(r.try_recv(), Ok(None))
    }
    fn close(t: Self::Tx) {
        t.close().unwrap();
    }
    fn select(_: &[Self::Rx]) -> Option<i64> {
        None
    }
}

fn run<C: Ch>(me: &'static str, o: Opts) {
    let p = o.p;
    let na = |why: &str| println!("{{\"peer\":\"{me}\",\"w\":\"{}\",\"p\":{p},\"na\":\"{why}\"}}", o.w);
    match o.w.as_str() {
        // threads: waves of 1000 (w1b); 1M at once is impossible (pid_max 32768), so w1a uses 20k
        "w1a" => {
            let n = o.n(20_000);
            let t = Instant::now();
            let hs: Vec<_> = (0..n).map(|_| small().spawn(|| {}).unwrap()).collect();
            for h in hs {
                h.join().unwrap();
            }
            perop(me, "w1a", p, n, t);
        }
        "w1b" => {
            let n = o.n(50_000);
            let t = Instant::now();
            for _ in 0..n / 1000 {
                let hs: Vec<_> = (0..1000).map(|_| small().spawn(|| {}).unwrap()).collect();
                for h in hs {
                    h.join().unwrap();
                }
            }
            perop(me, "w1b", p, n, t);
        }
        "w2" => {
            let n = o.n(2_000_000);
            let t = Instant::now();
            let hs: Vec<_> = (0..2)
                .map(|_| {
                    thread::spawn(move || {
                        for _ in 0..n / 2 {
                            thread::yield_now()
                        }
                    })
                })
                .collect();
            for h in hs {
                h.join().unwrap();
            }
            perop(me, "w2", p, n, t);
        }
        "w3" | "w12p" => {
            let n = o.n(200_000);
            let cap = if o.w == "w3" { 0 } else { 1 };
            let (atx, arx) = C::make(cap);
            let (btx, brx) = C::make(cap);
            let t = Instant::now();
            let h = thread::spawn(move || {
                for _ in 0..n {
                    let v = C::recv(&arx).unwrap();
                    C::send(&btx, v);
                }
            });
            for i in 0..n {
                C::send(&atx, i as i64);
                assert_eq!(C::recv(&brx), Some(i as i64));
            }
            h.join().unwrap();
            perop(me, &o.w, p, n, t);
        }
        "w4s" | "w4m" | "w12s" => {
            let np = if o.w == "w4m" { 4 } else { 1 };
            let n = o.n(5_000_000);
            let (tx, rx) = C::make(128);
            let total = Arc::new(AtomicI64::new(0));
            let t = Instant::now();
            let mut hs = vec![];
            for _ in 0..np {
                let tx = tx.clone();
                thread::spawn(move || {
                    for i in 0..n / np {
                        C::send(&tx, i as i64);
                    }
                });
                let (rx, tot) = (rx.clone(), total.clone());
                hs.push(thread::spawn(move || {
                    let mut s = 0;
                    while let Some(v) = C::recv(&rx) {
                        s += v;
                    }
                    tot.fetch_add(s, SeqCst);
                }));
            }
            drop(tx);
            for h in hs {
                h.join().unwrap();
            }
            let m = (n / np) as i64;
            assert_eq!(total.load(SeqCst), np as i64 * (m * (m - 1) / 2));
            perop(me, &o.w, p, n, t);
        }
        "w5u" | "w5b" => {
            let (cap, n) = if o.w == "w5u" { (0, o.n(200_000)) } else { (128, o.n(1_000_000)) };
            let k = o.get("k", 2);
            let (mut txs, mut rxs) = (vec![], vec![]);
            for _ in 0..k {
                let (t, r) = C::make(cap);
                txs.push(t);
                rxs.push(r);
            }
            thread::spawn(move || {
                for i in 0..n {
                    C::send(&txs[i % k], i as i64);
                }
                thread::sleep(Duration::from_secs(1000));
            });
            let mut s = 0;
            let t = Instant::now();
            for _ in 0..n {
                match C::select(&rxs) {
                    Some(v) => s += v,
                    None => return na("no blocking select"),
                }
            }
            let ns = t.elapsed().as_nanos() as f64 / n as f64;
            sum_ok(s, n);
            line(me, &format!("{}{k}", o.w), p, n, ns, "");
            std::process::exit(0);
        }
        "w5d" => {
            let n = o.n(50_000_000);
            let (_a, a) = C::make(1);
            let (_b, b) = C::make(1);
            let t = Instant::now();
            for _ in 0..n {
                match C::select_miss(&a, &b) {
                    Some(m) => assert!(m),
                    None => return na("no select with default"),
                }
            }
            perop(me, "w5d", p, n, t);
        }
        "w6c" => {
            let n = o.n(20_000_000);
            let (tx, rx) = C::make(16);
            let mut s = 0;
            let t = Instant::now();
            for i in 0..n {
                C::send(&tx, i as i64);
                s += C::recv(&rx).unwrap();
            }
            sum_ok(s, n);
            perop(me, "w6c", p, n, t);
        }
        "w6m" => {
            let n = o.n(50_000_000);
            let m = Mutex::new(0i64);
            let t = Instant::now();
            for _ in 0..n {
                *std::hint::black_box(&m).lock().unwrap() += 1;
            }
            perop(me, "w6m", p, n, t);
        }
        "w6t" => {
            let n = o.n(50_000_000);
            let (_tx, rx) = C::make(16);
            let t = Instant::now();
            for _ in 0..n {
                assert!(C::miss(std::hint::black_box(&rx)));
            }
            perop(me, "w6t", p, n, t);
        }
        "w7" => {
            let n = o.n(10_000);
            let m0 = memory();
            let (tx, rx) = C::make(0);
            let started = Arc::new(AtomicUsize::new(0));
            let t = Instant::now();
            let hs: Vec<_> = (0..n)
                .map(|_| {
                    let (rx, s) = (rx.clone(), started.clone());
                    small()
                        .spawn(move || {
                            s.fetch_add(1, Relaxed);
                            C::recv(&rx);
                        })
                        .unwrap()
                })
                .collect();
            while started.load(Relaxed) < n {
                thread::sleep(Duration::from_millis(1));
            }
            let spawn = t.elapsed();
            thread::sleep(Duration::from_millis(50));
            let m1 = memory();
            let t = Instant::now();
            C::close(tx);
            for h in hs {
                h.join().unwrap();
            }
            let wake = t.elapsed();
            w7_line(me, &o, n, spawn, wake, m0, m1);
        }
        "w9" => {
            let n = o.n(2000);
            let t = Instant::now();
            let (tx, mut rx) = C::make(0);
            thread::spawn(move || {
                for i in 2i64.. {
                    if !C::send(&tx, i) {
                        break;
                    }
                }
            });
            let mut last = 0;
            for _ in 0..n {
                let prime = C::recv(&rx).unwrap();
                last = prime;
                let (t1, r1) = C::make(0);
                let inn = rx;
                rx = r1;
                small()
                    .spawn(move || {
                        while let Some(v) = C::recv(&inn) {
                            if v % prime != 0 && !C::send(&t1, v) {
                                break;
                            }
                        }
                    })
                    .unwrap();
            }
            line(me, "w9", p, n, t.elapsed().as_nanos() as f64, &format!("\"last\":{last}"));
            std::process::exit(0);
        }
        "w10" => {
            let n = o.n(10_000);
            let warm = o.get("warm", 0) > 0;
            let durs = Arc::new(durations(n));
            let late: Arc<Vec<AtomicI64>> = Arc::new((0..n).map(|_| AtomicI64::new(0)).collect());
            let c0 = cpu_ns();
            let t = Instant::now();
            let hs: Vec<_> = (0..n)
                .map(|i| {
                    let (d, l) = (durs.clone(), late.clone());
                    small()
                        .spawn(move || {
                            if warm {
                                thread::sleep(Duration::from_nanos(200_000_000 + d[n - 1 - i]));
                            }
                            let t0 = Instant::now();
                            thread::sleep(Duration::from_nanos(d[i]));
                            l[i].store(t0.elapsed().as_nanos() as i64 - d[i] as i64, Relaxed);
                        })
                        .unwrap()
                })
                .collect();
            for h in hs {
                h.join().unwrap();
            }
            let wall = t.elapsed();
            w10_line(me, p, n, wall, cpu_ns() - c0, late.iter().map(|x| x.load(Relaxed)).collect());
        }
        "w13" => {
            let n = o.n(10_000);
            let it = o.get("iters", 12500);
            let t = Instant::now();
            for i in 0..n {
                std::hint::black_box(work(it, i as u64));
            }
            let ser = t.elapsed().as_nanos() as f64;
            let t = Instant::now();
            let hs: Vec<_> = (0..n)
                .map(|i| {
                    small()
                        .spawn(move || {
                            std::hint::black_box(work(it, i as u64));
                        })
                        .unwrap()
                })
                .collect();
            for h in hs {
                h.join().unwrap();
            }
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
        _ => na("not run with OS threads"),
    }
}

fn main() {
    let me = std::env::args().nth(1).unwrap();
    let o = Opts::parse(2);
    if o.p == 1 {
        pin_one_cpu();
    }
    match me.as_str() {
        "xbeam" => run::<X>("thr-xbeam", o),
        "flume" => run::<F>("thr-flume", o),
        "kanal" => run::<K>("thr-kanal", o),
        m => panic!("unknown peer {m}"),
    }
}
