//! Signals belong to the host: its handlers run while goroutines do, its dispositions are left alone, and waits go on. Rules D-06 and SG-*
//! of Go's semantics are about a delivery of signals to channels, for which there is a recipe here: a handler that writes to a pipe.
//!
//! Workers block all signals, so handlers run on the host's threads; a thread in `run` is one of them.

mod common;

use common::*;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use zokor::channel::bounded;
use zokor::context::{with_cancel, Context, ContextError};
use zokor::{raw, Builder};

static CAUGHT: AtomicUsize = AtomicUsize::new(0);
static PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn count(_: libc::c_int) {
    CAUGHT.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn pass_on(signal: libc::c_int) {
    let byte = signal as u8;
    // SAFETY: write is async-signal-safe, and the byte lives across the call.
    unsafe { libc::write(PIPE.load(Ordering::Relaxed), (&raw const byte).cast(), 1) };
}

fn install(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: zeroes are a valid sigaction; the handlers above are async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

fn send(signal: libc::c_int) {
    // SAFETY: a signal to ourselves.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal) }, 0);
}

/// One signal, and wait until its handler has run: two of a kind that are pending at once are one.
fn send_and_wait() {
    let before = CAUGHT.load(Ordering::SeqCst);
    send(libc::SIGUSR1);
    while CAUGHT.load(Ordering::SeqCst) == before {
        std::thread::yield_now();
    }
}

// ---- programs ---------------------------------------------------------------------------------------------------

/// Handlers run while goroutines work, exchange values, sleep and wait.
fn handler_runs() {
    install(libc::SIGUSR1, count);
    for workers in [1, 2, 8] {
        zokor::workers(workers).unwrap();
        zokor::run(|| {
            let stop = Counter::default();
            let ((tx, rx), stopped) = (bounded::<u64>(0), stop.clone());
            let sender = zokor::go(move || (0..).take_while(|_| stopped.get() == 0).all(|n| tx.send(n).is_ok()));
            let receiver = zokor::go(move || rx.iter().enumerate().all(|(i, n)| i as u64 == n));
            let stopped = stop.clone();
            let sleeper = zokor::go(move || {
                while stopped.get() == 0 {
                    zokor::sleep(Duration::from_micros(300));
                }
            });
            zokor::hold();
            let host = std::thread::spawn(|| {
                (0..200).for_each(|_| send_and_wait());
                zokor::release();
            });
            zokor::blocking(|| host.join().unwrap());
            stop.add(1);
            assert!(sender.join().unwrap() && receiver.join().unwrap());
            sleeper.join().unwrap();
        });
        nothing_left();
    }
    assert!(CAUGHT.load(Ordering::SeqCst) >= 600);
}

/// A signal ends no wait: neither main's nor another goroutine's, neither a thread's.
fn waits_go_on() {
    install(libc::SIGUSR1, count); // without SA_RESTART: system calls of the thread are interrupted
    zokor::workers(2).unwrap();
    let (tx, rx) = bounded::<u8>(0);
    let done = Counter::default();
    let on_thread = std::thread::spawn({
        let rx = rx.clone();
        move || {
            let start = Instant::now();
            assert!(rx.recv_timeout(Duration::from_millis(60)).is_err());
            assert!(start.elapsed() >= Duration::from_millis(60), "a thread's wait ended early");
        }
    });
    // SAFETY: no arguments. Both threads live until `pelt` has ended: it is joined before them.
    let targets = unsafe { [libc::pthread_self(), std::os::unix::thread::JoinHandleExt::as_pthread_t(&on_thread)] };
    let pelt = std::thread::spawn({
        let done = done.clone();
        move || {
            while done.get() == 0 {
                for t in targets {
                    // SAFETY: as above.
                    let e = unsafe { libc::pthread_kill(t, libc::SIGUSR1) };
                    assert!(e == 0 || e == libc::ESRCH, "{e}");
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    });
    zokor::run(|| {
        let sleeper = zokor::go(|| {
            let start = Instant::now();
            zokor::sleep(Duration::from_millis(60));
            assert!(start.elapsed() >= Duration::from_millis(60), "a sleep ended early");
        });
        let start = Instant::now();
        assert!(rx.recv_timeout(Duration::from_millis(60)).is_err());
        assert!(start.elapsed() >= Duration::from_millis(60), "main's wait ended early");
        sleeper.join().unwrap();
    });
    while CAUGHT.load(Ordering::SeqCst) < 10 {
        std::thread::yield_now(); // a loaded machine has its own time
    }
    done.add(1);
    pelt.join().unwrap();
    on_thread.join().unwrap();
    drop(tx);
}

/// Nothing but the faults that a stack overflow is recognised by has a handler of the runtime's; and the mask of the thread in
/// `run` is as it was.
fn dispositions_stay() {
    let look = || -> Vec<usize> {
        (1..32)
            .filter(|s| ![libc::SIGSEGV, libc::SIGBUS, libc::SIGKILL, libc::SIGSTOP].contains(s))
            .map(|s| {
                // SAFETY: zeroes are a valid sigaction, which the call fills in.
                unsafe {
                    let mut now: libc::sigaction = std::mem::zeroed();
                    assert_eq!(libc::sigaction(s, std::ptr::null(), &mut now), 0);
                    now.sa_sigaction
                }
            })
            .collect()
    };
    let mask = || {
        // SAFETY: an empty set is filled in.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
            (1..32).map(|s| libc::sigismember(&set, s)).collect::<Vec<_>>()
        }
    };
    let (before, open) = (look(), mask());
    zokor::run(|| {
        assert_eq!(mask(), open, "main runs on the caller's thread");
        zokor::go(|| zokor::sleep(Duration::from_millis(1))).join().unwrap();
        zokor::blocking(|| ());
        assert_eq!(look(), before);
    });
    assert_eq!((look(), mask()), (before, open));
}

/// Nobody has said anything about SIGINT: it ends the process, whatever the goroutines do.
fn interrupted_by_default() {
    // A shell that runs us in the background has said otherwise.
    // SAFETY: the default disposition; no handler runs.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
    zokor::run(|| {
        let (_tx, rx) = bounded::<()>(0);
        let _spins = zokor::go(|| loop {
            zokor::yield_now();
        });
        let waits = rx.clone();
        let _waits = go_parked("chan receive", move || waits.recv().is_ok());
        send(libc::SIGINT);
        let _ = rx.recv();
        went_on();
    });
}

/// The recipe: the handler writes a byte, a goroutine reads it and cancels a context, and with it end the waits of those that are bound to it.
fn interrupted_in_a_defined_way() {
    let mut ends = [0; 2];
    // SAFETY: room for both descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    PIPE.store(ends[1], Ordering::SeqCst);
    install(libc::SIGINT, pass_on);
    let (why, ended) = zokor::run(|| {
        let (root, cancel) = with_cancel(&Context::background());
        let (_tx, rx) = bounded::<()>(0);
        let ended = Counter::default();
        let bound: Vec<_> = (0..20)
            .map(|i| {
                let (rx, ended) = (rx.clone(), ended.clone());
                let body = move || {
                    if i % 2 == 0 {
                        assert!(rx.recv().is_err());
                    } else {
                        zokor::sleep(Duration::from_secs(3600));
                    }
                    assert_eq!(Context::current().err(), Some(ContextError::Canceled));
                    ended.add(1);
                };
                Builder::new().context(&root).go(body).unwrap()
            })
            .collect();
        let watcher = zokor::go(move || {
            let mut byte = 0u8;
            // SAFETY: room for the byte. A signal may interrupt the call, whose handler then has written.
            while zokor::blocking(|| unsafe { libc::read(ends[0], (&raw mut byte).cast(), 1) }) != 1 {}
            cancel.cancel();
            byte
        });
        wait_until(|| count_parked("chan receive") == 10 && count_parked("sleep") == 10);
        send(libc::SIGINT);
        bound.into_iter().for_each(|h| h.join().unwrap());
        assert_eq!(watcher.join().unwrap(), libc::SIGINT as u8);
        (root.err(), ended.get())
    });
    assert_eq!((why, ended), (Some(ContextError::Canceled), 20));
    nothing_left();
    println!("ended as it was asked to");
}

/// D-06, as far as it goes here: the runtime does not see that a handler may wake somebody, so a hold says it.
fn handler_under_a_hold() {
    install(libc::SIGUSR1, count);
    zokor::hold();
    let (tx, rx) = bounded::<()>(0);
    std::thread::spawn(move || {
        while CAUGHT.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        tx.send(()).unwrap();
        zokor::release();
    });
    zokor::run(|| {
        let h = zokor::go(move || rx.recv());
        until_parked(&h, "chan receive");
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(50)); // long enough for a deadlock to be reported
            send(libc::SIGUSR1);
        });
        assert_eq!(h.join().unwrap(), Ok(()));
    });
    assert_eq!(raw::stats().goroutines, 0);
}

#[test]
#[ignore = "what the children of the other tests run"]
fn program() {
    run_program(&[
        ("handler_runs", handler_runs),
        ("waits_go_on", waits_go_on),
        ("dispositions_stay", dispositions_stay),
        ("interrupted_by_default", interrupted_by_default),
        ("interrupted_in_a_defined_way", interrupted_in_a_defined_way),
        ("handler_under_a_hold", handler_under_a_hold),
    ]);
}

#[test]
fn a_handler_of_the_host_runs_while_goroutines_run() {
    outcome_of("handler_runs", &[]).assert_ok();
}

#[test]
fn a_signal_ends_no_wait() {
    outcome_of("waits_go_on", &[]).assert_ok();
}

#[test]
fn sg03_dispositions_and_masks_are_the_hosts() {
    outcome_of("dispositions_stay", &[]).assert_ok();
}

#[test]
fn sigint_ends_the_process_if_nobody_has_said_otherwise() {
    let end = outcome_of("interrupted_by_default", &[]);
    assert_eq!(end.signal(), Some(libc::SIGINT), "{end:#?}");
    end.assert_did_not_go_on();
}

#[test]
fn sg02_a_handler_ends_run_through_a_context() {
    let end = outcome_of("interrupted_in_a_defined_way", &[]);
    end.assert_ok();
    assert!(end.out.contains("ended as it was asked to"), "{end:#?}");
}

#[test]
fn d06_a_signal_handler_counts_as_alive_under_a_hold() {
    outcome_of("handler_under_a_hold", &[]).assert_ok();
}
