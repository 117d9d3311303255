//! What every benchmark program in Rust shares: options, clocks, memory, output, W10's durations, W13's work.
//!
//! A program is called as `<program> [variant] <workload> [name=value ...]`; the environment variable `P` sets its workers.
//! It prints one line of JSON: peer, w (workload), p (workers), n (operations), ns (per operation) and extra figures.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The command line: a workload, the number of workers and options.
pub struct Opts {
    /// The workload.
    pub w: String,
    /// Workers.
    pub p: usize,
    kv: HashMap<String, String>,
}

impl Opts {
    /// Reads the command line: `argv[skip]` is the workload, the rest are options.
    ///
    /// # Panics
    /// When the workload is missing or an option has no `=`.
    pub fn parse(skip: usize) -> Opts {
        let a: Vec<String> = std::env::args().collect();
        let kv = a[skip + 1..]
            .iter()
            .map(|s| {
                let (k, v) = s.split_once('=').expect("k=v");
                (k.to_string(), v.to_string())
            })
            .collect();
        let p = std::env::var("P").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
        Opts { w: a[skip].clone(), p, kv }
    }
    /// The number of operations, `d` unless given.
    pub fn n(&self, d: usize) -> usize {
        self.get("n", d)
    }
    /// The option `k`, `d` unless given.
    ///
    /// # Panics
    /// When its value is not a number.
    pub fn get(&self, k: &str, d: usize) -> usize {
        self.kv.get(k).map(|s| s.parse().unwrap()).unwrap_or(d)
    }
}

/// Prints one result.
pub fn line(peer: &str, w: &str, p: usize, n: usize, ns: f64, extra: &str) {
    let sep = if extra.is_empty() { "" } else { "," };
    println!("{{\"peer\":\"{peer}\",\"w\":\"{w}\",\"p\":{p},\"n\":{n},\"ns\":{ns:.2}{sep}{extra}}}");
}

/// Prints the time per operation since `t`.
pub fn perop(peer: &str, w: &str, p: usize, n: usize, t: Instant) {
    line(peer, w, p, n, t.elapsed().as_nanos() as f64 / n as f64, "");
}

/// Prints that this program does not run the workload, and why.
pub fn na(peer: &str, o: &Opts, why: &str) {
    println!("{{\"peer\":\"{peer}\",\"w\":\"{}\",\"p\":{},\"na\":\"{why}\"}}", o.w, o.p);
}

/// Resident bytes and bytes of page tables; a parked goroutine costs both.
///
/// # Panics
/// When the system does not say.
pub fn memory() -> (usize, usize) {
    let s = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let kib = |k: &str| {
        let l = s.lines().find(|l| l.starts_with(k)).expect(k);
        l.split_whitespace().nth(1).and_then(|v| v.parse::<usize>().ok()).expect(k)
    };
    (kib("VmRSS:") * 1024, kib("VmPTE:") * 1024)
}

/// Prints W7: `before` and `after` are what [`memory`] said around the parking.
pub fn w7_line(
    me: &str,
    o: &Opts,
    n: usize,
    spawn: Duration,
    wake: Duration,
    before: (usize, usize),
    after: (usize, usize),
) {
    let per = |b: usize, a: usize| (a as f64 - b as f64) / n as f64;
    let extra = format!(
        "\"rss\":{:.1},\"tables\":{:.1},\"wake_ns\":{:.2}",
        per(before.0, after.0),
        per(before.1, after.1),
        wake.as_nanos() as f64 / n as f64
    );
    line(me, "w7", o.p, n, spawn.as_nanos() as f64 / n as f64, &extra);
}

/// CPU time of this process in nanoseconds, user and system.
pub fn cpu_ns() -> u64 {
    // SAFETY: rusage is plain data, for which zeroes are a value.
    let mut ru: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `ru` is a rusage to write to.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut ru) };
    let f = |t: libc::timeval| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1000;
    f(ru.ru_utime) + f(ru.ru_stime)
}

/// The naps of W10: the same pseudo-random 0 to 100 ms, in nanoseconds, in every language.
pub fn durations(n: usize) -> Vec<u64> {
    let mut x: u64 = 88_172_645_463_325_252;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x % 100_000_000
        })
        .collect()
}

/// Prints W10; `late` is by how much each nap was too long.
pub fn w10_line(peer: &str, p: usize, n: usize, wall: Duration, cpu: u64, mut late: Vec<i64>) {
    late.sort_unstable();
    line(
        peer,
        "w10",
        p,
        n,
        wall.as_nanos() as f64,
        &format!(
            "\"cpu_ns\":{cpu},\"min\":{},\"p50\":{},\"p99\":{},\"max\":{}",
            late[0],
            late[n / 2],
            late[n * 99 / 100],
            late[n - 1]
        ),
    );
}

/// W13's work: a chain of `iters` multiplications.
#[inline(never)]
pub fn work(iters: usize, seed: u64) -> u64 {
    let mut x = seed;
    for _ in 0..iters {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // SAFETY: an empty asm. It keeps LLVM from folding several steps of the chain into one.
        unsafe { std::arch::asm!("/* {0} */", inout(reg) x, options(nomem, nostack, preserves_flags)) };
    }
    x
}

/// Keeps this process on the first CPU.
pub fn pin_one_cpu() {
    // SAFETY: cpu_set_t is plain data, for which zeroes are a value.
    let mut s: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: 0 is below the set's size.
    unsafe { libc::CPU_SET(0, &mut s) };
    // SAFETY: `s` is a set of the given size.
    unsafe { libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &s) };
}

/// Checks that 0 to n-1 all arrived.
///
/// # Panics
/// When they did not.
pub fn sum_ok(s: i64, n: usize) {
    assert_eq!(s, n as i64 * (n as i64 - 1) / 2, "bad sum");
}
