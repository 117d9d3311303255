//! million - parks a million goroutines on one channel, then wakes them all.
//!
//!     million [N]
//!
//! With stacks of 64 KiB, as the C library has them: 32 share one page of the page table, where only 8 of the default size do.

use std::process::exit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;

use zokor::channel::{bounded, Receiver, Sender};

/// Kilobytes of this process in memory, and of the page tables that describe them.
fn memory() -> [f64; 2] {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ["VmRSS:", "VmPTE:"].map(|key| {
        let line = status.lines().find_map(|l| l.strip_prefix(key));
        line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0.0)
    })
}

/// What the goroutines share: one word in each of them.
struct All {
    closed: Receiver<()>,
    last: Sender<()>,
    started: AtomicUsize,
    left: AtomicUsize,
}

fn million(n: usize) {
    let before = memory();
    let (gate, closed) = bounded::<()>(0);
    let (last, ended) = bounded::<()>(1);
    let all = Arc::new(All { closed, last, started: AtomicUsize::new(0), left: AtomicUsize::new(n) });

    let start = Instant::now();
    for _ in 0..n {
        let all = all.clone();
        zokor::go(move || {
            all.started.fetch_add(1, Ordering::Relaxed);
            let _ = all.closed.recv(); // an error, once the gate is dropped
            if all.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                let _ = all.last.send(()); // room for one: never blocks
            }
        });
    }
    while all.started.load(Ordering::Relaxed) < n {
        zokor::yield_now();
    }
    let parked = start.elapsed();
    let after = memory();

    let start = Instant::now();
    drop(gate);
    if n > 0 {
        ended.recv().expect("main holds a sender as well");
    }
    let woken = start.elapsed();

    let per = |kb: f64| kb * 1024.0 / n.max(1) as f64;
    println!("goroutines      {n}");
    println!("spawn and park  {:.3} s", parked.as_secs_f64());
    println!("wake and end    {:.3} s", woken.as_secs_f64());
    println!("resident        {:.0} B each", per(after[0] - before[0]));
    println!("page tables     {:.0} B each", per(after[1] - before[1]));
}

fn main() {
    let n = match std::env::args().nth(1).map(|n| n.parse()) {
        None => 1_000_000,
        Some(Ok(n)) => n,
        Some(Err(_)) => {
            println!("usage: million [N]");
            exit(2)
        }
    };
    let config = zokor::Config { stack_size: 64 * 1024, ..zokor::Config::default() };
    if let Err(e) = zokor::init(config) {
        println!("million: {e}");
        exit(1);
    }
    zokor::run(|| million(n));
}
