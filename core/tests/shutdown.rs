//! Shutdown, fork, and the settings of the runtime. Each case is a program of its own: a shutdown is final.

mod common;

use common::*;
use std::time::{Duration, Instant};
use zokor::channel::{bounded, unbounded};
use zokor::{raw, Builder, Config, RuntimeError};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Mappings of a megabyte and more: slabs of stacks, chunks of headers, stacks of threads.
fn large_mappings() -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let large = |line: &&str| {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let size = u64::from_str_radix(to, 16).unwrap() - u64::from_str_radix(from, 16).unwrap();
        size >= 1 << 20 && !line.contains('/') && !line.contains("[heap]") && !line.contains("[stack]")
    };
    maps.lines().filter(large).map(str::to_owned).collect()
}

fn work() {
    let (tx, rx) = bounded(0);
    let all: Vec<_> = (0..500)
        .map(|i| {
            let tx = tx.clone();
            Builder::new().stack_size(64 * 1024).go(move || tx.send(i).unwrap()).unwrap()
        })
        .collect();
    drop(tx);
    assert_eq!(rx.iter().count(), 500);
    all.into_iter().for_each(|h| h.join().unwrap());
    zokor::sleep(Duration::from_millis(2));
    zokor::blocking(|| ());
}

fn leaves_nothing() {
    let (threads_before, maps_before) = (threads(), large_mappings());
    zokor::workers(4).unwrap();
    zokor::run(work);
    assert!(threads() > threads_before);
    zokor::shutdown(None).unwrap();
    // A thread that was joined may be seen by the kernel for a moment longer.
    let start = Instant::now();
    while threads() > threads_before && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(threads(), threads_before, "a thread is left");
    let left: Vec<_> = large_mappings().into_iter().filter(|m| !maps_before.contains(m)).collect();
    // The allocator of the C library keeps an arena for each thread that there was.
    let arenas = |m: &&String| !(m.contains("---p") || m.starts_with("7") && m.contains("rw-p"));
    assert_eq!(left.iter().filter(arenas).count(), 0, "a mapping is left: {left:#?}");
}

fn waits_for_goroutines() {
    let (tx, rx) = unbounded();
    for i in 0..100_u64 {
        let tx = tx.clone();
        zokor::go(move || {
            zokor::sleep(Duration::from_millis(i % 20));
            tx.send(i).unwrap();
        });
    }
    zokor::shutdown(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(rx.try_iter().sum::<u64>(), (0..100).sum::<u64>());
}

fn gives_up_at_the_deadline() {
    let (_tx, rx) = bounded::<()>(0);
    let parked = zokor::run(|| go_parked("chan receive", move || rx.recv().is_ok()));
    let start = Instant::now();
    assert_eq!(zokor::shutdown(Some(Duration::from_millis(50))), Err(RuntimeError::TimedOut));
    assert!(start.elapsed() >= Duration::from_millis(50) && start.elapsed() < Duration::from_secs(20));
    std::mem::forget(parked);
}

fn calls_afterwards() {
    let (tx, rx) = bounded::<u8>(1);
    let c = Bytes::new(1);
    c.send(3, raw::NOWAIT).unwrap();
    zokor::run(|| zokor::go(|| ()).join().unwrap());
    assert_eq!(zokor::run(|| zokor::shutdown(None)), Err(RuntimeError::NotFromHere));
    zokor::shutdown(None).unwrap();

    assert_eq!(zokor::shutdown(None), Err(RuntimeError::Shutdown));
    assert_eq!(zokor::try_run(|| ()), Err(RuntimeError::Shutdown));
    assert_eq!(zokor::init(Config::default()), Err(RuntimeError::Shutdown));
    assert_eq!(zokor::workers(2), Err(RuntimeError::Shutdown));
    assert!(Builder::new().go(|| ()).unwrap_err().to_string().contains("shut down"));
    assert!(std::panic::catch_unwind(|| zokor::go(|| ())).is_err());
    for deadline in [raw::NOWAIT, raw::FOREVER, raw::time_in(1000)] {
        assert_eq!(c.send(1, deadline), Err(raw::Error::Shutdown));
        assert_eq!(c.recv(deadline), Err(raw::Error::Shutdown));
    }
    assert!(matches!(raw::ByteChan::new(Default::default()).map(|_| ()), Ok(()) | Err(raw::Error::Shutdown)));
    assert!(matches!(raw::Timer::new(1, 0).map(|_| ()), Err(raw::Error::Shutdown)));
    // Typed ones have no such result; between plain threads they need no runtime and go on.
    assert_eq!((tx.send(1), rx.recv()), (Ok(()), Ok(1)));
    assert_eq!(raw::stats().goroutines, 0);
    raw::dump(2).unwrap();
    assert_eq!(zokor::current().id(), 0);
    zokor::yield_now();
}

fn never_started() {
    zokor::shutdown(None).unwrap();
    assert_eq!(zokor::try_run(|| ()), Err(RuntimeError::Shutdown));
}

fn settings() {
    let invalid = Err(RuntimeError::Invalid);
    assert_eq!(zokor::init(Config { workers: 5000, ..Config::default() }), invalid);
    zokor::init(Config { workers: 3, stack_size: 128 * 1024, max_goroutines: 10, ..Config::default() }).unwrap();
    assert_eq!(zokor::init(Config::default()), Err(RuntimeError::Busy));
    assert_eq!(zokor::workers(0), Ok(3));
    zokor::run(|| {
        raw::each(&mut |g| {
            assert_eq!(g.stack_size, 128 * 1024);
            true
        });
        let (gate, opened) = bounded::<()>(0);
        let start = || {
            let opened = opened.clone();
            Builder::new().go(move || opened.recv().is_err())
        };
        let all: Vec<_> = (0..9).map(|_| start().unwrap()).collect();
        assert!(start().unwrap_err().to_string().contains("number of goroutines"));
        drop(gate);
        all.into_iter().for_each(|h| assert!(h.join().unwrap()));
        assert!(start().unwrap().join().unwrap());
    });
}

fn bad_stack_size() {
    let e = zokor::init(Config { stack_size: 100, ..Config::default() }).unwrap_err();
    assert!(matches!(e, RuntimeError::Invalid | RuntimeError::Os(libc::EINVAL)), "{e:?}");
}

/// Runs in the child of a fork. Only calls that are refused, then the end, without destructors.
fn in_the_child(c: &Bytes) -> bool {
    zokor::try_run(|| ()) == Err(RuntimeError::Shutdown)
        && zokor::workers(1) == Err(RuntimeError::Shutdown)
        && c.send(1, raw::FOREVER) == Err(raw::Error::Shutdown)
        && c.recv(raw::FOREVER) == Err(raw::Error::Shutdown)
        && Builder::new().go(|| ()).is_err()
        && zokor::goid() == 0
}

fn fork_and_check(c: &Bytes) {
    // SAFETY: the child uses nothing but calls that are refused, and leaves by _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let ok = in_the_child(c);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!ok)) };
    }
    let mut status = 0;
    // SAFETY: our child, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0, "the child's calls were not refused");
}

fn fork_from_a_thread() {
    let c = Bytes::new(1);
    zokor::run(work);
    fork_and_check(&c);
    zokor::run(work);
    assert_eq!(c.send(1, raw::NOWAIT), Ok(()));
}

fn fork_from_a_goroutine() {
    zokor::workers(4).unwrap();
    zokor::run(|| {
        let stop = Counter::default();
        let churn: Vec<_> = (0..4)
            .map(|_| {
                let stop = stop.clone();
                zokor::go(move || {
                    while stop.get() == 0 {
                        zokor::go(|| ()).join().unwrap();
                    }
                })
            })
            .collect();
        let c = Bytes::new(0);
        for _ in 0..20 {
            fork_and_check(&c);
            zokor::yield_now();
        }
        stop.add(1);
        churn.into_iter().for_each(|h| h.join().unwrap());
        work();
    });
}

fn fork_and_exec() {
    zokor::run(|| {
        let out = zokor::blocking(|| std::process::Command::new("echo").arg("from a child").output().unwrap());
        assert_eq!(out.stdout, b"from a child\n");
        work();
    });
}

fn one_cpu() {
    // SAFETY: a set of CPUs of this size may be all zeros; the calls get its size.
    unsafe {
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        let mut all: libc::cpu_set_t = std::mem::zeroed();
        let size = std::mem::size_of::<libc::cpu_set_t>();
        assert_eq!(libc::sched_getaffinity(0, size, &mut all), 0);
        let first = (0..1024).find(|&cpu| libc::CPU_ISSET(cpu, &all)).unwrap();
        libc::CPU_SET(first, &mut one);
        assert_eq!(libc::sched_setaffinity(0, size, &one), 0);
    }
    assert_eq!(zokor::workers(0), Ok(1));
}

#[test]
#[ignore = "what the children of the other tests run"]
fn program() {
    run_program(&[
        ("leaves_nothing", leaves_nothing),
        ("waits_for_goroutines", waits_for_goroutines),
        ("gives_up_at_the_deadline", gives_up_at_the_deadline),
        ("calls_afterwards", calls_afterwards),
        ("never_started", never_started),
        ("settings", settings),
        ("bad_stack_size", bad_stack_size),
        ("fork_from_a_thread", fork_from_a_thread),
        ("fork_from_a_goroutine", fork_from_a_goroutine),
        ("fork_and_exec", fork_and_exec),
        ("one_cpu", one_cpu),
    ]);
}

#[test]
fn shutdown_leaves_no_thread_and_no_mapping() {
    outcome_of("leaves_nothing", &[]).assert_ok();
}

#[test]
fn shutdown_waits_for_goroutines_until_its_deadline() {
    outcome_of("waits_for_goroutines", &[]).assert_ok();
    outcome_of("gives_up_at_the_deadline", &[]).assert_ok();
}

#[test]
fn calls_after_shutdown_are_refused() {
    outcome_of("calls_afterwards", &[]).assert_ok();
    outcome_of("never_started", &[]).assert_ok();
}

#[test]
fn settings_are_checked_and_kept() {
    outcome_of("settings", &[]).assert_ok();
    outcome_of("bad_stack_size", &[]).assert_ok();
}

#[test]
fn g05_the_default_worker_count_honours_the_affinity_mask() {
    outcome_of("one_cpu", &[]).assert_ok();
}

#[test]
fn sg04_calls_in_a_forked_child_are_refused_and_the_parent_goes_on() {
    outcome_of("fork_from_a_thread", &[]).assert_ok();
    outcome_of("fork_from_a_goroutine", &[]).assert_ok();
    outcome_of("fork_and_exec", &[]).assert_ok();
}
