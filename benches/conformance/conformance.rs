//! The rules that are about shares and times, as figures: what `go/main.go` beside it measures in Go. `compare.py` runs both and writes the
//! table in docs/conformance.md.
//!
//! Each line of the output is `rule TAB what TAB unit TAB figure`. All but the last few run on one worker, where fairness shows; locks and times on two.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, Instant};
use zokor::channel::{bounded, select, Receiver, Sender};
use zokor::sync::Mutex;
use zokor::time::Ticker;
use zokor::WaitGroup;

const TRIALS: u32 = 10_000;

fn row(rule: &str, what: &str, unit: &str, figure: f64) {
    println!("{rule}\t{what}\t{unit}\t{figure:.4}");
}

fn percent(part: u32, of: u32) -> f64 {
    100.0 * f64::from(part) / f64::from(of)
}

fn middle(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}

fn micros(d: Duration) -> f64 {
    d.as_secs_f64() * 1e6
}

fn spin(n: u64) {
    (0..n).for_each(|i| {
        black_box(i);
    });
}

fn busy(d: Duration) {
    let start = Instant::now();
    while start.elapsed() < d {
        spin_loop();
    }
}

// ---- select -----------------------------------------------------------------------------------------------------

fn choices() {
    let c: Vec<(Sender<()>, Receiver<()>)> = (0..4).map(|_| bounded(1)).collect();
    let mut first = 0;
    for _ in 0..TRIALS {
        let _ = (c[0].0.try_send(()), c[1].0.try_send(()));
        select! {
            recv(c[0].1) -> _ => first += 1,
            recv(c[1].1) -> _ => {}
            recv(c[2].1) -> _ => unreachable!(),
            recv(c[3].1) -> _ => unreachable!(),
        }
    }
    row("S-02", "two of four cases are ready: share of the first", "%", percent(first, TRIALS));

    let ((_, a), (_, b)) = (bounded::<()>(0), bounded::<()>(0));
    let mut of_a = 0;
    for _ in 0..TRIALS {
        select! {
            recv(a) -> _ => of_a += 1,
            recv(b) -> _ => {}
            recv(a) -> _ => of_a += 1,
            recv(a) -> _ => of_a += 1,
        }
    }
    row("S-03", "a channel listed three times against one: its share", "%", percent(of_a, TRIALS));

    let ((_, done), (tx, data)) = (bounded::<()>(0), bounded::<()>(1));
    let mut ended = 0;
    for _ in 0..TRIALS {
        let _ = tx.try_send(());
        select! {
            recv(done) -> _ => ended += 1,
            recv(data) -> _ => {}
        }
    }
    row("S-17", "a closed channel against one with data: its share", "%", percent(ended, TRIALS));
}

// ---- the scheduler ----------------------------------------------------------------------------------------------

fn launch_order() {
    let expected = [9, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let as_expected = (0..100).filter(|_| {
        let (wg, log) = (Arc::new(WaitGroup::new()), Arc::new(StdMutex::new(Vec::new())));
        for i in 0..10 {
            let log = log.clone();
            wg.go(move || log.lock().unwrap().push(i));
        }
        wg.wait();
        let order = log.lock().unwrap();
        *order == expected
    });
    row("G-09", "launch 0 to 9, then block: runs in the order 9, 0, 1, … 8", "%", as_expected.count() as f64);
}

struct Pair {
    stop: Arc<AtomicBool>,
    turns: Arc<AtomicU64>,
    wg: Arc<WaitGroup>,
}

/// Two goroutines that wake each other, with `work` at each turn.
fn pair(work: u64) -> Pair {
    let ((there, here), (back, again)) = (bounded::<()>(0), bounded::<()>(0));
    let p = Pair { stop: Arc::default(), turns: Arc::default(), wg: Arc::new(WaitGroup::new()) };
    let (stop, turns) = (p.stop.clone(), p.turns.clone());
    p.wg.go(move || {
        while !stop.load(Ordering::Relaxed) {
            let _ = there.send(());
            spin(work);
            let _ = again.recv();
            turns.fetch_add(1, Ordering::Relaxed);
        }
    });
    p.wg.go(move || {
        while here.recv().is_ok() {
            spin(work);
            let _ = back.send(());
        }
    });
    p
}

impl Pair {
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.wg.wait();
        self.turns.load(Ordering::Relaxed)
    }
}

fn beside_a_pair() {
    let p = pair(0);
    let late = |_| {
        let start = Instant::now();
        zokor::sleep(Duration::from_micros(100));
        micros(start.elapsed()) - 100.0
    };
    row("G-12", "a sleep beside a pair that wakes each other: late by", "µs", middle((0..100).map(late).collect()));
    let start = Instant::now();
    (0..50).for_each(|_| zokor::yield_now());
    row("G-12", "a yield beside the same pair", "µs", micros(start.elapsed()) / 50.0);
    p.end();
}

/// Go's TestPingPongHog allows a factor of 20.
fn heavy_and_light() {
    let time = Duration::from_millis(300);
    let alone = |work| {
        let (p, start) = (pair(work), Instant::now());
        zokor::sleep(time);
        let turns = p.end() + 1;
        start.elapsed().as_secs_f64() / turns as f64
    };
    let (light, heavy) = (alone(10), alone(10_000));
    let (a, b) = (pair(10), pair(10_000));
    zokor::sleep(time);
    a.stop.store(true, Ordering::Relaxed);
    b.stop.store(true, Ordering::Relaxed);
    let (a, b) = (a.end() as f64 * light, b.end() as f64 * heavy);
    row("G-13", "time of a pair with 1000 times the work, over that of the light pair", "×", b / a);
}

fn respawn_chain() {
    fn respawn(stop: Arc<AtomicBool>) {
        if !stop.load(Ordering::Relaxed) {
            zokor::go(move || respawn(stop));
        }
    }
    let stop = Arc::<AtomicBool>::default();
    let first = stop.clone();
    zokor::go(move || respawn(first));
    let start = Instant::now();
    let mut yields = 0;
    while yields < 20 && start.elapsed() < Duration::from_secs(5) {
        zokor::yield_now();
        yields += 1;
    }
    row(
        "G-14",
        "a yield beside a function that only launches itself",
        "ms",
        micros(start.elapsed()) / 1e3 / f64::from(yields),
    );
    stop.store(true, Ordering::Relaxed);
}

fn beside_a_hog() {
    let late = |_| {
        let (tx, rx) = bounded(2);
        let (there, back) = (tx.clone(), tx);
        zokor::go(move || {
            busy(Duration::from_millis(200));
            there.send(0.0).unwrap();
        });
        // SAFETY: the body keeps nothing that belongs to a thread.
        drop(unsafe {
            zokor::go_migrating(move || {
                let start = Instant::now();
                zokor::sleep(Duration::from_millis(1));
                back.send(micros(start.elapsed()) / 1e3 - 1.0).unwrap();
            })
        });
        rx.recv().unwrap() + rx.recv().unwrap()
    };
    row("G-11", "a sleep beside a loop that makes no call: late by", "ms", middle((0..5).map(late).collect()));
}

// ---- locks, channels, time --------------------------------------------------------------------------------------

/// Starts a goroutine that may move to another thread, as all do in Go, or one that stays on its own, as is the default in Rust.
fn start(moves: bool, f: impl FnOnce() + Send + 'static) -> zokor::JoinHandle<()> {
    if moves {
        // SAFETY: the bodies below keep nothing that belongs to a thread.
        unsafe { zokor::go_migrating(f) }
    } else {
        zokor::go(f)
    }
}

fn mutex_against_hogs(moves: bool) {
    let (m, stop) = (Arc::new(Mutex::new(())), Arc::<AtomicBool>::default());
    let hogs = (0..4).map(|_| {
        let (m, stop) = (m.clone(), stop.clone());
        start(moves, move || {
            while !stop.load(Ordering::Relaxed) {
                let guard = m.lock();
                busy(Duration::from_micros(100));
                drop(guard);
            }
        })
    });
    let hogs: Vec<_> = hogs.collect();
    let other = start(moves, move || {
        zokor::sleep(Duration::from_millis(5));
        let (start, mut longest) = (Instant::now(), Duration::ZERO);
        for _ in 0..10 {
            let t = Instant::now();
            drop(m.lock());
            longest = longest.max(t.elapsed());
            zokor::sleep(Duration::from_micros(100));
        }
        let who = if moves { "" } else { ", by goroutines that stay on their threads" };
        let what = "ten locks against four that hold it 100 µs of every 100 µs";
        row("M-06", &format!("{what}{who}"), "ms", micros(start.elapsed()) / 1e3);
        row("M-05", &format!("the longest of these waits{who}"), "ms", micros(longest) / 1e3);
    });
    other.join().unwrap();
    stop.store(true, Ordering::Relaxed);
    hogs.into_iter().for_each(|h| h.join().unwrap());
}

fn ticker_phase() {
    let start = Instant::now();
    let t = Ticker::new(Duration::from_millis(20));
    std::thread::sleep(Duration::from_millis(110));
    for what in ["first", "second", "third"] {
        let at = t.receiver().recv().unwrap();
        row(
            "T-13",
            &format!("20 ms ticker, first read after 110 ms: stamp of the {what} tick"),
            "ms",
            micros(at - start) / 1e3,
        );
    }
}

fn lateness() {
    let mut late: Vec<f64> = (0..300)
        .map(|_| {
            let start = Instant::now();
            zokor::sleep(Duration::from_millis(1));
            micros(start.elapsed()) - 1000.0
        })
        .collect();
    late.sort_by(f64::total_cmp);
    row("T-01", "a sleep of 1 ms with nothing else to do: late by, median", "µs", late[150]);
    row("T-01", "the same, 99 of 100", "µs", late[297]);
}

fn main() {
    zokor::workers(1).unwrap();
    zokor::run(|| {
        choices();
        launch_order();
        beside_a_hog();
        beside_a_pair();
        heavy_and_light();
        respawn_chain();
    });
    zokor::workers(2).unwrap();
    zokor::run(|| {
        mutex_against_hogs(true);
        mutex_against_hogs(false);
        ticker_phase();
        lateness();
    });
}
