//! Deadlock reports: rules D-01 to D-08 of Go's semantics. All of it happens in child programs: a reported main is given up for good.

mod common;

use common::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::channel::{after, bounded, never, select, tick};
use zokor::{raw, Builder, RuntimeError};

/// Runs `f` as main and ends the process with 3 if the runtime says that it is a deadlock, with 0 if main returns.
fn expect_deadlock(f: impl FnOnce()) -> ! {
    let r = zokor::try_run(|| {
        f();
        went_on();
    });
    std::process::exit(if r == Err(RuntimeError::Deadlock) { 3 } else { 0 })
}

fn wait_for_ever() {
    let (_tx, rx) = bounded::<()>(0);
    let _ = rx.recv();
}

fn receive() {
    expect_deadlock(wait_for_ever);
}

fn send() {
    expect_deadlock(|| {
        let (tx, _rx) = bounded(0);
        let _ = tx.send(1);
    });
}

fn empty_select() {
    expect_deadlock(|| {
        select! {
            recv(never::<()>()) -> _ => {}
        }
    });
}

/// Go's TestLockedDeadlock has a circle too: two that wait for each other, and main for both.
fn circle() {
    expect_deadlock(|| {
        let ((a, b), (c, d)) = (bounded::<()>(0), bounded::<()>(0));
        let (a2, c2) = (a.clone(), c.clone());
        let one = Builder::new().name("one").go(move || {
            b.recv().unwrap();
            c.send(()).unwrap();
        });
        let two = Builder::new().name("two").go(move || {
            d.recv().unwrap();
            a.send(()).unwrap();
        });
        one.unwrap().join().unwrap();
        two.unwrap().join().unwrap();
        drop((a2, c2));
    });
}

fn wait_group() {
    expect_deadlock(|| {
        let wg = zokor::WaitGroup::new();
        wg.add(1);
        wg.wait();
    });
}

fn not_caught() {
    let r = std::panic::catch_unwind(|| {
        zokor::run(|| {
            let _ = std::panic::catch_unwind(wait_for_ever);
            went_on();
        });
    });
    std::process::exit(if r.is_err() { 3 } else { 0 })
}

fn after_a_timeout() {
    expect_deadlock(|| {
        let (_tx, rx) = bounded::<()>(0);
        let _ = rx.recv_timeout(Duration::from_millis(20));
        println!("timed out");
        wait_for_ever();
    });
}

fn unread_ticker() {
    expect_deadlock(|| {
        let ticker = tick(Duration::from_millis(1));
        ticker.recv().unwrap();
        let _kept = (ticker, after(Duration::from_millis(1)));
        wait_for_ever();
    });
}

fn all_goexit() {
    expect_deadlock(|| {
        zokor::go(|| zokor::sleep(Duration::from_millis(20)));
        zokor::goexit();
    });
}

fn after_blocking() {
    expect_deadlock(|| {
        let (tx, rx) = bounded(0);
        zokor::go(move || {
            zokor::blocking(|| std::thread::sleep(Duration::from_millis(50)));
            tx.send(1).unwrap();
        });
        rx.recv().unwrap();
        println!("blocking counted as alive");
        wait_for_ever();
    });
}

fn after_the_last_thread() {
    expect_deadlock(|| {
        let (tx, rx) = bounded(0);
        let keep = tx.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            tx.send(1).unwrap(); // from here on the runtime knows this thread
            std::thread::sleep(Duration::from_millis(50));
            tx.send(2).unwrap();
        });
        // Until its first call nobody knows of the thread: a hold says that somebody will come.
        zokor::hold();
        rx.recv().unwrap();
        zokor::release();
        rx.recv().unwrap();
        println!("the thread counted as alive");
        let _ = rx.recv();
        drop(keep);
    });
}

/// A pipe, and a thread of which the runtime knows nothing that writes to it later.
fn slow_pipe() -> std::fs::File {
    let mut ends = [0; 2];
    // SAFETY: room for both descriptors, which are ours from here on.
    let (from, to) = unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        (std::os::fd::FromRawFd::from_raw_fd(ends[0]), std::os::fd::FromRawFd::from_raw_fd(ends[1]))
    };
    let mut to: std::fs::File = to;
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        std::io::Write::write_all(&mut to, b"x").unwrap();
    });
    from
}

fn reads(from: std::fs::File) {
    let mut byte = [0];
    std::io::Read::read_exact(&mut &from, &mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

/// Waiting for I/O, in the three ways there are, and then a deadlock.
fn after_io() {
    expect_deadlock(|| {
        for way in 0..3 {
            let (tx, rx) = bounded(0);
            let from = slow_pipe();
            let reader = move || {
                match way {
                    0 => zokor::blocking(|| reads(from)),
                    1 => {
                        raw::block_begin();
                        reads(from);
                        raw::block_end();
                    }
                    _ => reads(from), // the worker itself blocks
                }
                tx.send(way).unwrap();
            };
            zokor::go(reader);
            assert_eq!(rx.recv(), Ok(way));
            println!("way {way} counted as alive");
        }
        wait_for_ever();
    });
}

fn sleeper_silences() {
    zokor::run(|| {
        let (tx, rx) = bounded(0);
        zokor::go(move || {
            zokor::sleep(Duration::from_millis(50));
            tx.send(()).unwrap();
        });
        rx.recv().unwrap();
    });
}

/// Nobody is woken, but a sleep is a sleep however long it is: no report comes until the process ends.
fn endless_sleeper_silences() {
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(150));
        std::process::exit(0);
    });
    let r = zokor::try_run(|| {
        zokor::go(|| zokor::sleep(Duration::MAX));
        wait_for_ever();
    });
    panic!("not a deadlock: {r:?}");
}

unsafe extern "C-unwind" fn send_later(arg: *mut std::ffi::c_void) {
    // SAFETY: the timer passes the channel's wrapper, which is leaked.
    unsafe { (*arg.cast::<Bytes>()).send(5, raw::FOREVER).unwrap() };
}

fn function_silences() {
    zokor::run(|| {
        let c: &Bytes = Box::leak(Box::new(Bytes::new(0)));
        // SAFETY: the channel is never freed.
        let _timer = unsafe { raw::Timer::func(50_000_000, send_later, (&raw const *c).cast_mut().cast()) };
        assert_eq!(c.recv(raw::FOREVER), Ok(5));
    });
}

fn hold_silences() {
    let (tx, rx) = bounded(1);
    zokor::hold();
    let t = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        tx.send(()).unwrap();
        zokor::release();
    });
    zokor::run(|| rx.recv().unwrap());
    t.join().unwrap();
}

static PATIENT: raw::HostHooks =
    raw::HostHooks { release: || (), interrupt: || false, pending: || false, preempt: || (), stack_size: 0 };

/// A host's main that is told of a deadlock waits on, for it knows of a thread that comes; that thread's first call may fall into any
/// moment of the verdict. Main is told, or gets the value, but is never given up.
fn patient_host() {
    raw::set_host(1, &PATIENT);
    let mut told = 0_u32;
    for round in 0..500_u64 {
        let (c, go_on) = (Arc::new(Bytes::new(0)), Arc::new(AtomicBool::new(false)));
        let (c2, go_on2) = (c.clone(), go_on.clone());
        let thread = std::thread::spawn(move || {
            while !go_on2.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            (0..round % 512).for_each(|_| std::hint::spin_loop());
            c2.send(round, raw::FOREVER)
        });
        let main = || loop {
            go_on.store(true, Ordering::Release);
            match c.recv(raw::FOREVER) {
                Err(raw::Error::Deadlock) => told += 1,
                answer => return answer,
            }
        };
        assert_eq!(raw::run_class(1, main), Ok(Ok(round)), "main was given up");
        assert_eq!(thread.join().unwrap(), Ok(()));
    }
    println!("told {told} times");
}

#[test]
#[ignore = "what the children of the other tests run"]
fn program() {
    run_program(&[
        ("receive", receive),
        ("send", send),
        ("empty_select", empty_select),
        ("circle", circle),
        ("wait_group", wait_group),
        ("not_caught", not_caught),
        ("after_a_timeout", after_a_timeout),
        ("unread_ticker", unread_ticker),
        ("all_goexit", all_goexit),
        ("after_blocking", after_blocking),
        ("after_io", after_io),
        ("after_the_last_thread", after_the_last_thread),
        ("sleeper_silences", sleeper_silences),
        ("endless_sleeper_silences", endless_sleeper_silences),
        ("function_silences", function_silences),
        ("hold_silences", hold_silences),
        ("patient_host", patient_host),
    ]);
}

#[track_caller]
fn assert_reported(program: &str) -> Ended {
    assert_reported_as(program, "fatal error: all goroutines are asleep - deadlock!")
}

#[track_caller]
fn assert_reported_as(program: &str, text: &str) -> Ended {
    let end = outcome_of(program, &[]);
    assert_eq!(end.status.code(), Some(3), "{program}: {end:#?}");
    end.assert_did_not_go_on().assert_err_has(text);
    end
}

#[test]
fn d01_d08_a_deadlock_is_reported_with_what_everybody_waits_for() {
    assert_reported("receive").assert_err_has("goroutine 1 [chan receive]:");
    assert_reported("send").assert_err_has("goroutine 1 [chan send]:");
    assert_reported("empty_select").assert_err_has("goroutine 1 [select");
    assert_reported("wait_group").assert_err_has("goroutine 1 [wait group]:");
    let end = assert_reported("circle");
    end.assert_err_has("\"one\"").assert_err_has("\"two\"").assert_err_has("deadlock.rs:");
    let main = end.err.find("goroutine 1 [join]").expect("main is shown");
    assert!(main < end.err.find("\"one\"").unwrap() && main < end.err.find("\"two\"").unwrap(), "main comes first");
}

#[test]
fn d02_a_deadlock_is_reported_at_once_and_cannot_be_caught_inside() {
    let start = Instant::now();
    assert_reported("receive");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_reported("not_caught");
}

#[test]
fn d03_d04_who_sleeps_may_wake_others() {
    outcome_of("sleeper_silences", &[]).assert_ok();
    outcome_of("function_silences", &[]).assert_ok();
}

#[test]
fn d04_t02_an_endless_sleep_is_a_sleep() {
    outcome_of("endless_sleeper_silences", &[]).assert_ok();
}

#[test]
fn d04_an_unread_timer_channel_wakes_nobody() {
    assert_reported("unread_ticker");
    let end = assert_reported("after_a_timeout");
    assert!(end.out.contains("timed out"));
}

#[test]
fn d03_blocking_sections_count_as_alive() {
    let end = assert_reported("after_blocking");
    assert!(end.out.contains("blocking counted as alive"), "{end:#?}");
}

/// Go's TestNetpollDeadlock, for what reads there are here: those that block a thread.
#[test]
fn d05_waiting_for_input_counts_as_alive() {
    let end = assert_reported("after_io");
    for way in 0..3 {
        assert!(end.out.contains(&format!("way {way} counted as alive")), "{end:#?}");
    }
}

#[test]
fn d07_threads_of_the_host_count_as_alive_until_they_end() {
    let end = assert_reported("after_the_last_thread");
    assert!(end.out.contains("the thread counted as alive"), "{end:#?}");
    outcome_of("hold_silences", &[]).assert_ok();
}

/// Whoever ends main's wait has not called in before, so it does not count yet; that main is claimed says that it is there.
#[test]
fn d07_a_verdict_leaves_a_main_alone_that_a_thread_is_waking() {
    outcome_of("patient_host", &[]).assert_ok();
}

#[test]
fn p12_goexit_of_main_lets_the_others_go_on_and_then_is_a_deadlock() {
    assert_reported_as("all_goexit", "fatal error: no goroutines (main called goexit) - deadlock!");
}
