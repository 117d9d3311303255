//! may: stackful coroutines for Rust. usage: P=1|2 may <workload> [k=v ...] [stack=<bytes>]
//! Its channels are unbounded (there is no rendezvous and no bounded one), so W3/W4/W9/W8 use those.
use bench_common::*;
use may::coroutine::{sleep, yield_now};
use may::go;
use may::sync::{Mutex, mpmc, mpsc, spsc};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::*};
use std::time::{Duration, Instant};

const ME: &str = "may";

fn main() {
    let o = Opts::parse(1);
    may::config().set_workers(o.p);
    may::config().set_worker_pin(false);
    let st = o.get("stack", 0);
    if st > 0 {
        may::config().set_stack_size(st / size_of::<usize>()); // which it counts in words
    }
    let o = Arc::new(o);
    go!(move || run(o)).join().unwrap();
}

fn skynet(tx: mpsc::Sender<i64>, num: i64, size: i64) {
    if size == 1 {
        tx.send(num).unwrap();
        return;
    }
    let (t, r) = mpsc::channel();
    let sub = size / 10;
    for i in 0..10 {
        let t = t.clone();
        go!(move || skynet(t, num + i * sub, sub));
    }
    let mut s = 0;
    for _ in 0..10 {
        s += r.recv().unwrap();
    }
    tx.send(s).unwrap();
}

fn run(o: Arc<Opts>) {
    let p = o.p;
    match o.w.as_str() {
        "w1a" => {
            let n = o.n(1_000_000);
            let wg = may::sync::WaitGroup::new();
            let t = Instant::now();
            for _ in 0..n {
                let g = wg.clone();
                go!(move || drop(g));
            }
            wg.wait();
            perop(ME, "w1a", p, n, t);
        }
        "w1b" => {
            let n = o.n(1_000_000);
            let t = Instant::now();
            for _ in 0..n / 1000 {
                let wg = may::sync::WaitGroup::new();
                for _ in 0..1000 {
                    let g = wg.clone();
                    go!(move || drop(g));
                }
                wg.wait();
            }
            perop(ME, "w1b", p, n, t);
        }
        "w2" => {
            let n = o.n(10_000_000);
            let t = Instant::now();
            let hs: Vec<_> = (0..2)
                .map(|_| {
                    go!(move || for _ in 0..n / 2 {
                        yield_now()
                    })
                })
                .collect();
            for h in hs {
                h.join().unwrap();
            }
            perop(ME, "w2", p, n, t);
        }
        "w3" => {
            let n = o.n(2_000_000);
            let (atx, arx) = spsc::channel::<i64>();
            let (btx, brx) = spsc::channel::<i64>();
            let t = Instant::now();
            let h = go!(move || for _ in 0..n {
                btx.send(arx.recv().unwrap()).unwrap();
            });
            let h2 = go!(move || for i in 0..n {
                atx.send(i as i64).unwrap();
                assert_eq!(brx.recv(), Ok(i as i64));
            });
            h.join().unwrap();
            h2.join().unwrap();
            perop(ME, "w3", p, n, t);
        }
        "w4s" => {
            let n = o.n(10_000_000);
            let (tx, rx) = spsc::channel::<i64>();
            let t = Instant::now();
            let h = go!(move || {
                let mut s = 0;
                while let Ok(v) = rx.recv() {
                    s += v;
                }
                s
            });
            go!(move || for i in 0..n {
                tx.send(i as i64).unwrap();
            });
            let s = h.join().unwrap();
            sum_ok(s, n);
            perop(ME, "w4s", p, n, t);
        }
        "w4m" => {
            let n = o.n(4_000_000);
            let (tx, rx) = mpmc::channel::<i64>();
            let t = Instant::now();
            let hs: Vec<_> = (0..4)
                .map(|_| {
                    let rx = rx.clone();
                    go!(move || {
                        let mut s = 0;
                        while let Ok(v) = rx.recv() {
                            s += v;
                        }
                        s
                    })
                })
                .collect();
            for _ in 0..4 {
                let tx = tx.clone();
                go!(move || for i in 0..n / 4 {
                    tx.send(i as i64).unwrap();
                });
            }
            drop(tx);
            let s: i64 = hs.into_iter().map(|h| h.join().unwrap()).sum();
            let m = (n / 4) as i64;
            assert_eq!(s, 4 * (m * (m - 1) / 2));
            perop(ME, "w4m", p, n, t);
        }
        // may's select! starts one coroutine per arm; unbounded channels
        "w5u" => {
            let n = o.n(100_000);
            let k = o.get("k", 2);
            let chans: Vec<_> = (0..8).map(|_| mpsc::channel::<i64>()).collect();
            let (txs, rxs): (Vec<_>, Vec<_>) = chans.into_iter().unzip();
            go!(move || {
                for i in 0..n {
                    txs[i % k].send(i as i64).unwrap();
                    if i % 64 == 63 {
                        yield_now();
                    }
                }
                sleep(Duration::from_secs(1000));
                drop(txs);
            });
            static GOT: AtomicUsize = AtomicUsize::new(0);
            let got = &GOT;
            // watchdog: a select arm that is cancelled after its recv loses that message, and then
            // the count never reaches n; report it rather than hang
            let w = o.w.clone();
            std::thread::spawn(move || {
                let mut last = usize::MAX;
                loop {
                    std::thread::sleep(Duration::from_secs(3));
                    let g = GOT.load(Relaxed);
                    if g == last {
                        println!(
                            "{{\"peer\":\"{ME}\",\"w\":\"{w}{k}\",\"p\":{p},\"n\":{n},\"fail\":\"stuck: {g} of {n} messages reached an arm's body\"}}"
                        );
                        std::process::exit(3);
                    }
                    last = g;
                }
            });
            let t = Instant::now();
            let rxs = &rxs;
            let mut ops = 0usize;
            while got.load(Relaxed) < n {
                ops += 1;
                macro_rules! arms { ($($i:literal)*) => { may::select!($(_v = rxs[$i].recv() => { got.fetch_add(1, Relaxed); }),*) } }
                let one = || -> usize { if k == 2 { arms!(0 1) } else { arms!(0 1 2 3 4 5 6 7) } };
                one();
            }
            let e = t.elapsed().as_nanos() as f64;
            line(ME, &format!("w5u{k}"), p, n, e / n as f64, &format!("\"selects\":{ops}"));
            std::process::exit(0);
        }
        "w6c" => {
            let n = o.n(20_000_000);
            let (tx, rx) = mpsc::channel::<i64>();
            let mut s = 0;
            let t = Instant::now();
            for i in 0..n {
                tx.send(i as i64).unwrap();
                s += rx.recv().unwrap();
            }
            sum_ok(s, n);
            perop(ME, "w6c", p, n, t);
        }
        "w6m" => {
            let n = o.n(20_000_000);
            let m = Mutex::new(0i64);
            let t = Instant::now();
            for _ in 0..n {
                *m.lock().unwrap() += 1;
            }
            perop(ME, "w6m", p, n, t);
        }
        "w6t" => {
            let n = o.n(50_000_000);
            let (_tx, rx) = mpsc::channel::<i64>();
            let t = Instant::now();
            for _ in 0..n {
                assert!(std::hint::black_box(&rx).try_recv().is_err());
            }
            perop(ME, "w6t", p, n, t);
        }
        "w7" => {
            let n = o.n(20_000);
            let m0 = memory();
            let (tx, rx) = mpmc::channel::<i64>();
            let started = Arc::new(AtomicUsize::new(0));
            let wg = may::sync::WaitGroup::new();
            let t = Instant::now();
            for _ in 0..n {
                let (rx, s, g) = (rx.clone(), started.clone(), wg.clone());
                go!(move || {
                    s.fetch_add(1, Relaxed);
                    let _ = rx.recv();
                    drop(g);
                });
            }
            while started.load(Relaxed) < n {
                sleep(Duration::from_millis(1));
            }
            let spawn = t.elapsed();
            sleep(Duration::from_millis(50));
            let m1 = memory();
            let t = Instant::now();
            drop(tx);
            wg.wait();
            let wake = t.elapsed();
            w7_line(ME, &o, n, spawn, wake, m0, m1);
        }
        "w8" => {
            let n = o.n(1_000_000);
            let (tx, rx) = mpsc::channel();
            let t = Instant::now();
            go!(move || skynet(tx, 0, n as i64));
            sum_ok(rx.recv().unwrap(), n);
            line(ME, "w8", p, n, t.elapsed().as_nanos() as f64, "");
        }
        "w9" => {
            let n = o.n(2000);
            let t = Instant::now();
            // no bounded channel: a semaphore of one slot per hop keeps it a rendezvous-like chain
            let (tx, mut rx) = spsc::channel::<i64>();
            let mut sem = Arc::new(may::sync::Semphore::new(1));
            let s0 = sem.clone();
            go!(move || for i in 2i64.. {
                s0.wait();
                if tx.send(i).is_err() {
                    break;
                }
            });
            let mut last = 0;
            for _ in 0..n {
                let prime = rx.recv().unwrap();
                sem.post();
                last = prime;
                let (t1, r1) = spsc::channel::<i64>();
                let s1 = Arc::new(may::sync::Semphore::new(1));
                let (inn, insem, outsem) = (rx, sem, s1.clone());
                go!(move || {
                    while let Ok(v) = inn.recv() {
                        insem.post();
                        if v % prime != 0 {
                            outsem.wait();
                            if t1.send(v).is_err() {
                                break;
                            }
                        }
                    }
                });
                rx = r1;
                sem = s1;
            }
            line(ME, "w9", p, n, t.elapsed().as_nanos() as f64, &format!("\"last\":{last}"));
            std::process::exit(0);
        }
        "w10" => {
            let n = o.n(100_000);
            let warm = o.get("warm", 0) > 0;
            let durs = Arc::new(durations(n));
            let late: Arc<Vec<AtomicI64>> = Arc::new((0..n).map(|_| AtomicI64::new(0)).collect());
            let wg = may::sync::WaitGroup::new();
            let c0 = cpu_ns();
            let t = Instant::now();
            for i in 0..n {
                let (d, l, g) = (durs.clone(), late.clone(), wg.clone());
                go!(move || {
                    if warm {
                        sleep(Duration::from_nanos(200_000_000 + d[n - 1 - i]));
                    }
                    let t0 = Instant::now();
                    sleep(Duration::from_nanos(d[i]));
                    l[i].store(t0.elapsed().as_nanos() as i64 - d[i] as i64, Relaxed);
                    drop(g);
                });
            }
            wg.wait();
            let wall = t.elapsed();
            w10_line(ME, p, n, wall, cpu_ns() - c0, late.iter().map(|x| x.load(Relaxed)).collect());
        }
        "w12p" => {
            let n = o.n(200_000);
            let (atx, arx) = mpsc::channel::<i64>();
            let (btx, brx) = mpsc::channel::<i64>();
            go!(move || while let Ok(v) = arx.recv() {
                btx.send(v).unwrap();
            });
            let (dtx, drx) = mpsc::channel();
            std::thread::spawn(move || {
                let t = Instant::now();
                for i in 0..n {
                    atx.send(i as i64).unwrap();
                    assert_eq!(brx.recv(), Ok(i as i64));
                }
                dtx.send(t.elapsed().as_nanos() as f64).unwrap();
            });
            line(ME, "w12p", p, n, drx.recv().unwrap() / n as f64, "");
        }
        "w12s" => {
            let n = o.n(5_000_000);
            let (tx, rx) = mpsc::channel::<i64>();
            let t = Instant::now();
            std::thread::spawn(move || {
                for i in 0..n {
                    tx.send(i as i64).unwrap();
                }
            });
            let mut s = 0;
            while let Ok(v) = rx.recv() {
                s += v;
            }
            sum_ok(s, n);
            perop(ME, "w12s", p, n, t);
        }
        "w13" => {
            let n = o.n(10_000);
            let it = o.get("iters", 12500);
            let t = Instant::now();
            let mut s = 0u64;
            for i in 0..n {
                s = s.wrapping_add(work(it, i as u64));
            }
            let ser = t.elapsed().as_nanos() as f64;
            std::hint::black_box(s);
            let wg = may::sync::WaitGroup::new();
            let t = Instant::now();
            for i in 0..n {
                let g = wg.clone();
                go!(move || {
                    std::hint::black_box(work(it, i as u64));
                    drop(g);
                });
            }
            wg.wait();
            let par = t.elapsed().as_nanos() as f64;
            line(
                ME,
                "w13",
                p,
                n,
                par / n as f64,
                &format!("\"serial_ns\":{:.1},\"speedup\":{:.4}", ser / n as f64, ser / par),
            );
        }
        w => {
            println!("{{\"peer\":\"may\",\"w\":\"{w}\",\"p\":{p},\"na\":\"not in this program\"}}");
        }
    }
}
