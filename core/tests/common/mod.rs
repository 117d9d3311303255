//! The harness of the behavioural tests.
//!
//! A test is a function that runs as the main goroutine on 1, 2 and 8 workers ([`check`]); afterwards no goroutine, no stack, no channel
//! and no armed timer may be left (stacks and channels are counted in builds with debug assertions). Tests wait
//! for conditions, mostly for "that goroutine is parked on that" ([`until_parked`]), never for time to pass. A watchdog dumps all goroutines and
//! aborts when a test takes longer than a minute. Programs that end badly on purpose run as children ([`outcome_of`]).
//!
//! Environment: `ZK_TEST_WORKERS=1,8` other worker counts, `ZK_TEST_REPEAT=200` runs each body that many times.

#![allow(dead_code, missing_docs)]

pub mod counting;

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zokor::raw;
use zokor::JoinHandle;

/// How long a test may take.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The runtime is one per process, and so are its workers: one test at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn worker_counts() -> Vec<u32> {
    match std::env::var("ZK_TEST_WORKERS") {
        Ok(list) => list.split(',').map(|n| n.trim().parse().expect("ZK_TEST_WORKERS is a list of numbers")).collect(),
        Err(_) => vec![1, 2, 8],
    }
}

fn repeats() -> usize {
    std::env::var("ZK_TEST_REPEAT").map_or(1, |n| n.parse().expect("ZK_TEST_REPEAT is a number"))
}

/// Runs `body` as main goroutine on each worker count.
pub fn check(body: impl Fn()) {
    check_on(&worker_counts(), body);
}

/// As [`check`] for rules that are only visible on certain worker counts.
pub fn check_on(counts: &[u32], body: impl Fn()) {
    check_outside_on(counts, || zokor::run(&body));
}

/// As [`check`], but the body is called on the test's own thread, outside of `run`.
pub fn check_outside(body: impl Fn()) {
    check_outside_on(&worker_counts(), body);
}

/// As [`check_outside`] on these worker counts.
pub fn check_outside_on(counts: &[u32], body: impl Fn()) {
    let _alone = alone();
    // A test that failed may have left some behind.
    let before = all_ids();
    let held = holdings();
    for &n in counts {
        for _ in 0..repeats() {
            let _watch = Watchdog::start(LIMIT);
            zokor::workers(n).expect("a worker count in range");
            body();
            nothing_left_but(&before);
            nothing_held_but(held);
        }
    }
}

/// Waits until main is the only goroutine, and then for its own end.
pub fn nothing_left() {
    nothing_left_but(&[]);
}

fn nothing_left_but(before: &[u64]) {
    zokor::run(|| {
        let me = zokor::goid();
        wait_until(|| all_ids().iter().all(|id| *id == me || before.contains(id)));
    });
    assert!(all_ids().iter().all(|id| before.contains(id)), "main itself has ended");
}

/// What goroutines and tests hold: stacks, channels, armed timers.
type Holdings = (Option<raw::Held>, u64);

fn holdings() -> Holdings {
    (raw::held(), raw::stats().timers)
}

/// Waits until everything is given back. What a thread or a worker has still in its hands comes back soon; what is lost never does.
fn nothing_held_but(before: Holdings) {
    let given_back = |now: Holdings| {
        let held = match (now.0, before.0) {
            (Some(n), Some(b)) => n.stacks <= b.stacks && n.channels <= b.channels,
            _ => true,
        };
        held && now.1 <= before.1
    };
    let limit = soon();
    while !given_back(holdings()) {
        assert!(Instant::now() < limit, "not given back: {:?}, before the test {before:?}", holdings());
        std::thread::yield_now();
    }
}

fn all_ids() -> Vec<u64> {
    let mut ids = Vec::new();
    raw::each(&mut |g| {
        ids.push(g.id);
        true
    });
    ids
}

pub fn goroutines() -> usize {
    let mut n = 0;
    raw::each(&mut |_| {
        n += 1;
        true
    });
    n
}

/// Aborts with a dump unless it is dropped in time.
pub struct Watchdog {
    alive: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watchdog {
    pub fn start(limit: Duration) -> Watchdog {
        let (alive, gone) = mpsc::channel();
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        let thread = std::thread::spawn(move || {
            if gone.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{test}: not done after {limit:?}");
                // A dump that cannot be had must not keep the test from ending.
                std::thread::spawn(|| raw::dump(2));
                std::thread::sleep(Duration::from_secs(3));
                std::process::abort();
            }
        });
        Watchdog { alive: Some(alive), thread: Some(thread) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(t) = self.thread.take() {
            t.join().expect("the watchdog does not panic");
        }
    }
}

// ---- waiting for a condition -----------------------------------------------------------------------

/// Yields until `cond` holds; the watchdog sees to it that this ends.
pub fn wait_until(mut cond: impl FnMut() -> bool) {
    while !cond() {
        if raw::on_goroutine() {
            zokor::yield_now();
        } else {
            std::thread::yield_now();
        }
    }
}

/// Whether goroutine `id` is parked, for the reason `on` ("chan receive", "select", …).
pub fn is_parked(id: u64, on: &str) -> bool {
    let mut parked = false;
    raw::each(&mut |g| {
        if g.id == id {
            parked = g.state == "waiting" && g.wait_on == on;
        }
        g.id != id
    });
    parked
}

/// Gates on "parked": returns when the goroutine waits for `on`.
pub fn until_parked<T>(h: &JoinHandle<T>, on: &str) {
    let id = h.id();
    wait_until(|| is_parked(id, on));
}

/// How many goroutines are parked for the reason `on`.
pub fn count_parked(on: &str) -> usize {
    let mut n = 0;
    raw::each(&mut |g| {
        n += usize::from(g.state == "waiting" && g.wait_on == on);
        true
    });
    n
}

/// Starts `f` and returns once it is parked on `on`.
#[track_caller]
pub fn go_parked<T: Send + 'static>(on: &str, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let h = zokor::go(f);
    until_parked(&h, on);
    h
}

/// A deadline for operations that are expected to finish at once: "does not block".
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

/// Time for things that must not happen.
pub const A_WHILE: Duration = Duration::from_millis(50);

// ---- values that are counted ------------------------------------------------------------------------

/// Counts the values it has made and those that were dropped.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

/// A value that its ledger knows of: dropping it twice or never shows.
#[derive(Debug)]
pub struct Value {
    pub n: usize,
    ledger: Ledger,
    dropped: AtomicBool,
}

impl Ledger {
    pub fn value(&self, n: usize) -> Value {
        self.0.made.fetch_add(1, Ordering::Relaxed);
        Value { n, ledger: self.clone(), dropped: AtomicBool::new(false) }
    }

    pub fn live(&self) -> usize {
        // Acquire: whoever sees a drop counted sees what happened before it.
        self.0.made.load(Ordering::Acquire) - self.0.dropped.load(Ordering::Acquire)
    }

    pub fn made(&self) -> usize {
        self.0.made.load(Ordering::Relaxed)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert!(!self.dropped.swap(true, Ordering::Relaxed), "value {} dropped twice", self.n);
        // Release: pairs with the Acquire in `live`.
        self.ledger.0.dropped.fetch_add(1, Ordering::Release);
    }
}

// ---- random numbers -----------------------------------------------------------------------------------

/// A small generator (SplitMix64, public domain): tests print its seed and can be given it again.
#[derive(Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub fn fresh() -> Rng {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Rng(NEXT.fetch_add(0x1234_5678_9abc, Ordering::Relaxed))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

// ---- byte channels, as C uses them --------------------------------------------------------------------

/// A channel of `u64` through the untyped interface.
#[derive(Clone)]
pub struct Bytes(pub Arc<raw::ByteChan>);

impl Bytes {
    pub fn new(capacity: usize) -> Bytes {
        let opts = raw::ByteChanOpts { elem_size: 8, capacity, ..Default::default() };
        Bytes(raw::ByteChan::new(opts).expect("a small channel"))
    }

    pub fn send(&self, v: u64, deadline: raw::Time) -> raw::Result<()> {
        // SAFETY: the element has the channel's size and lives across the call.
        unsafe { self.0.send((&raw const v).cast(), deadline) }
    }

    pub fn recv(&self, deadline: raw::Time) -> raw::Result<u64> {
        let mut v = u64::MAX;
        // SAFETY: the element has the channel's size and lives across the call.
        let r = unsafe { self.0.recv((&raw mut v).cast(), deadline) };
        assert!(r != Err(raw::Error::Closed) || v == 0, "a closed channel zeroes the element");
        r.map(|()| v)
    }

    pub fn close(&self) -> raw::Result<()> {
        self.0.close()
    }
}

// ---- children -----------------------------------------------------------------------------------------

/// How a child ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        std::os::unix::process::ExitStatusExt::signal(&self.status)
    }

    #[track_caller]
    pub fn assert_err_has(&self, text: &str) -> &Ended {
        assert!(self.err.contains(text), "no {text:?} on standard error: {self:#?}");
        self
    }

    #[track_caller]
    pub fn assert_aborted(&self) -> &Ended {
        assert_eq!(self.signal(), Some(libc::SIGABRT), "{self:#?}");
        self
    }

    #[track_caller]
    pub fn assert_ok(&self) -> &Ended {
        assert!(self.status.success(), "{self:#?}");
        self
    }

    #[track_caller]
    pub fn assert_did_not_go_on(&self) -> &Ended {
        assert!(!self.out.contains(MARK) && !self.err.contains(MARK), "it went on: {self:#?}");
        self
    }
}

/// Printed by programs at a place they must not reach.
pub const MARK: &str = "this must not be printed";

pub fn went_on() {
    println!("{MARK}");
}

/// A program that runs as a child of the test: its name and its main function.
pub type Program = (&'static str, fn());

/// The body of the one ignored test of each binary, `program`: it is what children run.
pub fn run_program(programs: &[Program]) {
    let Ok(name) = std::env::var("ZK_PROGRAM") else { return };
    let (_, main) = programs.iter().find(|p| p.0 == name).expect("a known program");
    let _watch = Watchdog::start(LIMIT);
    main();
}

/// Runs a program of this test binary as a child and waits for its end.
pub fn outcome_of(program: &str, env: &[(&str, &str)]) -> Ended {
    let exe = std::env::current_exe().expect("this binary has a path");
    let mut child = Command::new(exe)
        .args(["--exact", "program", "--ignored", "--nocapture", "--test-threads=1"])
        .env("ZK_PROGRAM", program)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this binary can be run");
    let out = read_all(child.stdout.take().expect("piped"));
    let err = read_all(child.stderr.take().expect("piped"));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break status;
        }
        if start.elapsed() > LIMIT {
            child.kill().expect("a child of ours");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = |t: std::thread::JoinHandle<Vec<u8>>| String::from_utf8_lossy(&t.join().expect("reads")).into_owned();
    Ended { status, out: text(out), err: text(err) }
}

fn read_all(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).expect("a pipe can be read");
        all
    })
}

/// A counter that several goroutines use.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicI64>);

impl Counter {
    pub fn add(&self, n: i64) -> i64 {
        // AcqRel, Acquire below: a test that has seen the count sees what was done before it was raised.
        self.0.fetch_add(n, Ordering::AcqRel) + n
    }

    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}
