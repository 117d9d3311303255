//! Goroutines and the scheduler: rules G-01 to G-22 of Go's semantics, mobility, `run`, handles, scopes, wait groups.
//!
//! Go's own scenarios (`runtime/proc_test.go`, `test/chan/goroutines.go`) are written anew from what they check.

mod common;

use common::*;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};
use zokor::channel::{bounded, select, Receiver, Sender};
use zokor::context::{with_cancel, Context};
use zokor::{raw, Builder, Mobility, RuntimeError};

/// The OS thread this runs on.
fn thread() -> i32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::gettid() }
}

/// The harness itself: what a test leaves behind is seen.
#[test]
fn what_is_held_is_counted() {
    let _alone = alone();
    let Some(before) = raw::held() else { return }; // not counted in this build
    let (tx, rx) = bounded::<()>(0);
    zokor::run(|| {
        let h = go_parked("chan receive", move || rx.recv().is_err());
        let held = raw::held().unwrap();
        assert_eq!((held.stacks, held.channels), (before.stacks + 2, before.channels + 1));
        drop(tx);
        assert!(h.join().unwrap());
    });
    nothing_left();
    wait_until(|| raw::held() == Some(before));
}

// ---- starting and ending ---------------------------------------------------------------------------------

#[test]
fn g01_arguments_belong_to_the_launcher_and_a_launch_never_blocks() {
    check(|| {
        let (gate, opened) = bounded::<()>(0);
        let mut n = 0;
        let all: Vec<_> = (0..20_000)
            .map(|_| {
                let opened = opened.clone();
                n += 1;
                zokor::go(move || {
                    let _ = opened.recv();
                    n
                })
            })
            .collect();
        drop(gate);
        assert!(all.into_iter().map(|h| h.join().unwrap()).eq(1..=20_000));
    });
}

#[test]
fn g03_a_handle_tells_the_end_and_dropping_it_detaches() {
    check(|| {
        let (gate, opened) = bounded::<()>(0);
        let ended = Counter::default();
        let h = go_parked("chan receive", {
            let (opened, ended) = (opened.clone(), ended.clone());
            move || {
                let _ = opened.recv();
                ended.add(1);
            }
        });
        let detached = zokor::go({
            let ended = ended.clone();
            move || {
                let _ = opened.recv();
                ended.add(1)
            }
        });
        assert!(!h.is_finished());
        drop(detached);
        drop(gate);
        h.join().unwrap();
        wait_until(|| ended.get() == 2);
    });
}

#[test]
fn g03_the_result_is_dropped_once_with_or_without_a_handle() {
    check(|| {
        let ledger = Ledger::default();
        for i in 0..500 {
            let value = ledger.value(i);
            let big = [i; 20]; // more than fits into the header
            let h = zokor::go(move || (value, big));
            match i % 3 {
                0 => assert_eq!(h.join().unwrap().1, [i; 20]),
                1 => drop(h),
                _ => {
                    wait_until(|| h.is_finished());
                    drop(h);
                }
            }
        }
        wait_until(|| ledger.live() == 0);
        assert_eq!(ledger.made(), 500);
    });
}

/// A handle may go while its goroutine is the next to run, queued behind others, parked, woken again, on another worker, or done.
#[test]
fn g03_a_handle_may_go_at_any_moment() {
    check(|| {
        let ledger = Ledger::default();
        let (ended, woken) = (Counter::default(), Counter::default());
        let start = |i: usize, parks: bool, moves: bool| {
            let (value, ended, woken) = (ledger.value(i), ended.clone(), woken.clone());
            let (gate, opened) = bounded::<()>(0);
            let body = move || {
                if parks {
                    let _ = opened.recv();
                    woken.add(1);
                }
                ended.add(1);
                value
            };
            // SAFETY: the body keeps nothing that belongs to a thread.
            (gate, if moves { unsafe { zokor::go_migrating(body) } } else { zokor::go(body) })
        };
        for i in 0..600 {
            let (gate, h) = start(i, i % 2 == 1, i % 4 > 1);
            match i % 12 / 4 {
                0 => {}
                1 => drop(zokor::go(|| ())), // takes its place in front
                _ => zokor::yield_now(),
            }
            drop(gate); // from now on it is queued again, if it was parked
            drop(h);
            if i % 5 == 0 {
                zokor::yield_now();
            }
        }
        wait_until(|| ledger.live() == 0);
        assert_eq!((ledger.made(), ended.get(), woken.get()), (600, 600, 300));
    });
}

/// More headers in use at once than a worker keeps, freed by another one than took them.
#[test]
fn g03_headers_come_back_in_any_number() {
    check(|| {
        for n in [1, 127, 128, 129, 400, 1000] {
            let group = std::sync::Arc::new(zokor::WaitGroup::new());
            let handles: Vec<_> = (0..n).map(|i| zokor::go(move || i)).collect();
            for _ in 0..n {
                group.go(|| ());
            }
            group.wait();
            let joiner = zokor::go(move || handles.into_iter().map(|h| h.join().unwrap()).sum::<u64>());
            assert_eq!(joiner.join().unwrap(), n * (n - 1) / 2);
        }
    });
}

#[test]
fn g03_numbers_and_names() {
    check(|| {
        let me = zokor::current();
        assert!(me.id() > 0 && me.name() == Some("main"));
        let h = Builder::new().name("näme").go(zokor::current).unwrap();
        let (id, g) = (h.id(), h.join().unwrap());
        assert_eq!((g.id(), g.name()), (id, Some("näme")));
        let ids: HashSet<u64> = (0..1000).map(|_| zokor::go(zokor::goid).join().unwrap()).collect();
        assert_eq!(ids.len(), 1000, "numbers are not used again");
        std::thread::spawn(|| assert_eq!((zokor::goid(), zokor::current().name()), (0, None))).join().unwrap();
    });
}

#[test]
fn a_stack_size_out_of_range_is_refused() {
    check(|| {
        for size in [1, 4096, 16 * 1024 - 1, (1 << 30) + 1, usize::MAX] {
            let r = Builder::new().stack_size(size).go(|| ());
            assert_eq!(r.unwrap_err().kind(), std::io::ErrorKind::InvalidInput, "{size}");
        }
        let r = Builder::new().mobility(Mobility::Migrating).go(|| ());
        assert_eq!(r.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    });
}

#[test]
fn joins_meet_from_everywhere() {
    check(|| {
        let (gate, opened) = bounded::<()>(0);
        let target = go_parked("chan receive", move || {
            let _ = opened.recv();
            7
        });
        let joiner = go_parked("join", move || target.join().unwrap());
        let thread = std::thread::spawn(move || joiner.join().unwrap());
        drop(gate);
        assert_eq!(zokor::blocking(move || thread.join().unwrap()), 7);
    });
}

// ---- run ----------------------------------------------------------------------------------------------------

#[test]
fn run_returns_what_main_returns() {
    check(|| {
        assert_eq!(zokor::try_run(|| 1), Err(RuntimeError::NotFromHere), "not from a goroutine");
    });
    let _alone = alone();
    let not_send = Rc::new(5);
    assert_eq!(*zokor::run(|| not_send.clone()), 5);
    let caught = std::panic::catch_unwind(|| zokor::run(|| std::panic::panic_any("thrown by main")));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"thrown by main"));
    assert_eq!(zokor::run(|| 2), 2, "and again");
    nothing_left();
}

#[test]
fn run_in_several_threads_at_once() {
    let _alone = alone();
    let _watch = Watchdog::start(LIMIT);
    for n in [1, 4] {
        zokor::workers(n).unwrap();
        let (tx, rx) = bounded(0);
        zokor::hold(); // the first run must not report a deadlock before the others have begun
        let threads: Vec<_> = (0..4)
            .map(|i| {
                let (tx, rx) = (tx.clone(), rx.clone());
                std::thread::spawn(move || {
                    zokor::run(|| {
                        if i % 2 == 0 {
                            (0..500).map(|k| tx.send(k).map(|()| 0).unwrap()).sum::<usize>()
                        } else {
                            (0..500).map(|_| rx.recv().unwrap()).sum()
                        }
                    })
                })
            })
            .collect();
        let sum: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(sum, 2 * (0..500).sum::<usize>());
        zokor::release();
    }
    nothing_left();
}

#[test]
fn p13_run_does_not_wait_for_other_goroutines() {
    let _alone = alone();
    let _watch = Watchdog::start(LIMIT);
    let (gate, opened) = bounded::<()>(0);
    let h = zokor::run(|| go_parked("chan receive", move || opened.recv().is_err()));
    assert!(!h.is_finished());
    drop(gate);
    assert!(zokor::run(|| h.join().unwrap()), "it goes on in the next run");
    nothing_left();
}

// ---- workers --------------------------------------------------------------------------------------------------

#[test]
fn g04_workers_returns_the_former_number() {
    let _alone = alone();
    zokor::workers(3).unwrap();
    assert_eq!(zokor::workers(0), Ok(3), "zero only asks");
    assert_eq!(zokor::workers(2), Ok(3));
    assert_eq!(zokor::workers(2), Ok(2));
    assert_eq!(zokor::workers(1_000_000), Err(RuntimeError::Invalid));
    assert_eq!(zokor::workers(0), Ok(2));
}

/// A thread that the system takes off its CPU for 10 ms looks like a hog, and its place goes to another. So a round in which somebody took
/// long proves nothing, and there is another one.
#[test]
fn g04_the_number_bounds_who_runs_at_once() {
    let spin = |inside: &AtomicUsize| {
        let most = inside.fetch_add(1, Ordering::SeqCst) + 1;
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(100) {
            std::hint::spin_loop();
        }
        inside.fetch_sub(1, Ordering::SeqCst);
        (most, start.elapsed())
    };
    check_on(&[1, 2], || {
        let limit = zokor::workers(0).unwrap() as usize;
        let round = || {
            let inside = AtomicUsize::new(0);
            zokor::scope(|s| {
                let all: Vec<_> = (0..20).map(|_| s.go(|| spin(&inside))).collect();
                let all: Vec<_> = all.into_iter().map(|h| h.join().unwrap()).collect();
                let undisturbed = all.iter().all(|r| r.1 < Duration::from_millis(3));
                undisturbed.then(|| all.iter().map(|r| r.0).max().unwrap())
            })
        };
        let most = std::iter::repeat_with(round).flatten().next().unwrap();
        assert!(most <= limit, "{most} ran at once, {limit} may");
    });
}

/// Go's TestGoroutineParallelism: P goroutines that spin and hand a number round need P threads.
#[test]
fn g06_goroutines_run_truly_in_parallel() {
    check_on(&[2, 4], || {
        let p = zokor::workers(0).unwrap() as usize;
        for _ in 0..5 {
            let turn = Arc::new(AtomicUsize::new(0));
            let all: Vec<_> = (0..p)
                .map(|me| {
                    let turn = turn.clone();
                    zokor::go(move || {
                        for lap in 0..3 {
                            while turn.load(Ordering::SeqCst) != lap * p + me {
                                std::hint::spin_loop();
                            }
                            turn.fetch_add(1, Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            all.into_iter().for_each(|h| h.join().unwrap());
        }
    });
}

/// Thieves leave alone what is done faster than it can be stolen. When longer work follows they come back.
#[test]
fn g10_work_that_is_worth_it_is_taken_after_much_that_was_not() {
    check_on(&[2, 8], || {
        let wg = Arc::new(zokor::WaitGroup::new());
        for _ in 0..100 {
            for _ in 0..1000 {
                wg.go(|| ());
            }
            wg.wait();
        }
        let threads = Arc::new(Mutex::new(HashSet::new()));
        while threads.lock().unwrap().len() < 2 {
            for _ in 0..200 {
                let threads = threads.clone();
                wg.go(move || {
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_micros(20) {
                        std::hint::spin_loop();
                    }
                    threads.lock().unwrap().insert(thread());
                });
            }
            wg.wait();
        }
    });
}

#[test]
fn g10_idle_workers_take_work_from_busy_ones() {
    check_on(&[4], || {
        for _ in 0..20 {
            let all_here = Arc::new(Barrier::new(4));
            let starter = zokor::go(move || {
                let all: Vec<_> = (0..4)
                    .map(|_| {
                        let all_here = all_here.clone();
                        zokor::go(move || {
                            all_here.wait(); // blocks the thread until four threads are here
                            thread()
                        })
                    })
                    .collect();
                all.into_iter().map(|h| h.join().unwrap()).collect::<HashSet<_>>().len()
            });
            assert_eq!(starter.join().unwrap(), 4);
        }
    });
}

/// Go's TestPreemptionAfterSyscall, as far as a library can: the place of a blocked thread goes to another.
#[test]
fn g07_a_blocked_thread_holds_up_nobody() {
    check_on(&[1, 2], || {
        let release = Arc::new(AtomicBool::new(false));
        let hogs: Vec<_> = (0..zokor::workers(0).unwrap())
            .map(|_| {
                let release = release.clone();
                zokor::go(move || {
                    while !release.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(1)); // blocks the thread, not the goroutine
                    }
                })
            })
            .collect();
        let helper = zokor::go(move || release.store(true, Ordering::SeqCst));
        hogs.into_iter().for_each(|h| h.join().unwrap());
        helper.join().unwrap();
    });
}

#[test]
fn g07_a_declared_blocking_section_holds_up_nobody() {
    check_on(&[1, 2], || {
        for _ in 0..20 {
            let (tx, rx) = std::sync::mpsc::channel();
            let waits = zokor::go(move || {
                raw::block_begin();
                let v = rx.recv().unwrap();
                raw::block_end();
                v
            });
            let helper = zokor::go(move || tx.send(5).unwrap());
            assert_eq!(waits.join().unwrap(), 5);
            helper.join().unwrap();
        }
    });
}

/// Go hands the whole queue of a blocked thread over. Here thieves leave half of it, and those who got the permits only yield: they never run dry.
#[test]
fn g07_what_is_queued_behind_a_section_is_not_left_to_it() {
    check(|| {
        for behind in [1, 2, 5, 300] {
            let done = Arc::new(AtomicBool::new(false));
            let sent = Counter::default();
            let (tx, rx) = std::sync::mpsc::channel();
            let blocks = zokor::go({
                let (done, sent) = (done.clone(), sent.clone());
                move || {
                    for _ in 0..2 * zokor::workers(0).unwrap() {
                        let done = done.clone();
                        zokor::go(move || {
                            while !done.load(Ordering::SeqCst) {
                                zokor::yield_now();
                            }
                        });
                    }
                    for _ in 0..behind {
                        let (tx, sent) = (tx.clone(), sent.clone());
                        zokor::go(move || {
                            sent.add(1);
                            let _ = tx.send(());
                        });
                    }
                    raw::block_begin();
                    (0..behind).for_each(|_| rx.recv().unwrap());
                    raw::block_end();
                }
            });
            blocks.join().unwrap();
            done.store(true, Ordering::SeqCst);
            assert_eq!(sent.get(), behind);
        }
    });
}

#[test]
fn g07_blocking_keeps_only_the_caller_waiting() {
    check(|| {
        let (tx, rx) = std::sync::mpsc::channel();
        let waits: Vec<_> = (0..10)
            .map(|i| {
                let (tx, text) = (tx.clone(), format!("{i}"));
                zokor::go(move || {
                    zokor::blocking(|| {
                        tx.send(text.clone()).unwrap();
                        text.len() // a helper may borrow: the caller waits
                    })
                })
            })
            .collect();
        drop(tx);
        assert_eq!(zokor::blocking(move || rx.iter().count()), 10);
        assert_eq!(waits.into_iter().map(|h| h.join().unwrap()).sum::<usize>(), 10);
        let thrown = zokor::go(|| zokor::blocking(|| std::panic::resume_unwind(Box::new(3)))).join();
        assert_eq!(thrown.map(|()| 0).unwrap_err().downcast_ref(), Some(&3));
    });
}

#[test]
fn g07_calls_from_a_blocking_helper() {
    check(|| {
        let (tx, rx) = bounded(1);
        let c = Bytes::new(0);
        let r = zokor::blocking(|| {
            tx.try_send(1).unwrap();
            assert_eq!(zokor::goid(), 0);
            c.recv(raw::time_in(1_000_000))
        });
        assert_eq!(r, Err(raw::Error::Perm), "a helper must not block in the runtime");
        assert_eq!(rx.recv(), Ok(1));
    });
}

// ---- fairness -----------------------------------------------------------------------------------------------------

/// Go's TestYieldProgress.
#[test]
fn g08_a_yield_lets_others_run() {
    check(|| {
        let done = Counter::default();
        let h = zokor::go({
            let done = done.clone();
            move || {
                (0..100).for_each(|_| zokor::yield_now());
                done.add(1);
            }
        });
        while done.get() == 0 {
            zokor::yield_now();
        }
        h.join().unwrap();
    });
}

/// A goroutine that never waits, but calls, gives way when its time slice is used up.
#[test]
fn g11_a_hog_that_makes_calls_gives_way() {
    check_on(&[1], || {
        let seen = Counter::default();
        let (tx, rx) = bounded::<()>(1);
        let hog = zokor::go({
            let seen = seen.clone();
            move || {
                let mut calls = 0_u64;
                while seen.get() == 0 {
                    let _ = rx.try_recv();
                    calls += 1;
                }
                calls
            }
        });
        let other = zokor::go(move || {
            seen.add(1);
            drop(tx);
        });
        hog.join().unwrap();
        other.join().unwrap();
    });
}

/// Asking whether something has come is a call as well: who asks in a loop gives way even to a pinned goroutine of its own thread, which
/// nobody else can run.
#[test]
fn g11_a_hog_that_only_asks_gives_way() {
    fn ask(how: usize, (full, empty): (&Sender<()>, &Receiver<()>), bytes: &raw::ByteChan) {
        match how {
            0 => assert!(empty.try_recv().is_err()),
            1 => assert!(full.try_send(()).is_err()),
            2 => select! {
                recv(empty) -> _ => unreachable!(),
                send(full, ()) -> _ => unreachable!(),
                default => {}
            },
            3 => select! { recv(empty) -> _ => unreachable!(), default => {} },
            _ => {
                let mut none = 0u8;
                let case = raw::Case { chan: bytes, elem: &raw mut none, op: raw::Op::Recv };
                // SAFETY: the channel is borrowed, and its values are bytes.
                assert!(unsafe { raw::select(&[case; 2], raw::NOWAIT, raw::Order::Fair) }.is_err());
            }
        }
    }
    check_on(&[1], || {
        for how in 0..5 {
            let (go_on, waits) = bounded::<()>(0);
            let told = Counter::default();
            let other = go_parked("chan receive", {
                let told = told.clone();
                move || {
                    let _ = waits.recv();
                    told.add(1);
                }
            });
            let (full, empty) = (bounded(1), bounded(0));
            full.0.send(()).unwrap();
            let bytes = raw::ByteChan::new(raw::ByteChanOpts { elem_size: 1, ..Default::default() }).unwrap();
            drop(go_on); // runnable now, on the thread that we do not leave
            while told.get() == 0 {
                ask(how, (&full.0, &empty.1), &bytes);
            }
            other.join().unwrap();
        }
    });
}

/// A goroutine that makes no call at all loses its place to another thread.
#[test]
fn g11_a_hog_without_calls_holds_up_nobody_that_can_move() {
    check_on(&[1, 2], || {
        let seen = Counter::default();
        let hogs: Vec<_> = (0..zokor::workers(0).unwrap())
            .map(|_| {
                let seen = seen.clone();
                zokor::go(move || {
                    while seen.get() == 0 {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        let other = zokor::go(move || seen.add(1));
        hogs.into_iter().for_each(|h| h.join().unwrap());
        other.join().unwrap();
    });
}

fn ping_pong(stop: Counter, work: u64) -> (zokor::JoinHandle<u64>, zokor::JoinHandle<()>) {
    fn spin(work: u64) {
        for i in 0..work {
            std::hint::black_box(i);
        }
    }
    let ((a, b), (c, d)) = (bounded(0), bounded(0));
    let echo = zokor::go(move || {
        for n in b {
            spin(work);
            if c.send(n).is_err() {
                return;
            }
        }
    });
    let lead = zokor::go(move || {
        let mut hops = 0;
        while stop.get() == 0 {
            a.send(hops).unwrap();
            spin(work);
            hops = d.recv().unwrap() + 1;
        }
        hops
    });
    (lead, echo)
}

/// Go's TestTimerFairness and the like: the two only wake each other, and each time one of them is made ready it is next.
#[test]
fn g12_a_pair_that_wakes_each_other_starves_nobody() {
    check(|| {
        let stop = Counter::default();
        let (lead, echo) = ping_pong(stop.clone(), 0);
        for _ in 0..20 {
            zokor::yield_now();
            zokor::sleep(Duration::from_micros(100));
            zokor::go(|| ()).join().unwrap();
        }
        stop.add(1);
        lead.join().unwrap();
        echo.join().unwrap();
    });
}

/// Go's TestPingPongHog. Rates alone are measured first: what counts is the share of time each pair gets beside the other.
#[test]
fn g13_a_heavy_pair_and_a_light_pair_share_the_worker() {
    const WORK: u64 = 1000;
    let rate = |pairs: &[u64], time: Duration| -> Vec<f64> {
        let stop = Counter::default();
        let all: Vec<_> = pairs.iter().map(|&w| ping_pong(stop.clone(), w)).collect();
        zokor::sleep(time);
        stop.add(1);
        let hops = |(lead, echo): (zokor::JoinHandle<u64>, zokor::JoinHandle<()>)| {
            let n = lead.join().unwrap();
            echo.join().unwrap();
            n as f64 / time.as_secs_f64()
        };
        all.into_iter().map(hops).collect()
    };
    check_on(&[1], || {
        let mut last = String::new();
        let fair = (0..5).any(|_| {
            let t = Duration::from_millis(100);
            let (light, heavy) = (rate(&[0], t)[0], rate(&[WORK], t)[0]);
            let both = rate(&[0, WORK], 2 * t);
            let (l, h) = (both[0] / light, both[1] / heavy);
            last = format!("light pair {l:.3}, heavy pair {h:.3} of what each does alone");
            l / h < 20.0 && h / l < 20.0
        });
        assert!(fair, "{last}");
    });
}

/// golang/go#52934: a function that only launches itself must not starve the others. Our bound is 100 ms; the assertion leaves
/// room for a loaded machine.
#[test]
fn g14_a_respawn_chain_starves_nobody() {
    fn respawn(stop: Counter, left: Sender<()>) {
        if stop.get() == 0 {
            zokor::go(move || respawn(stop, left));
        } else {
            drop(left); // the end of the chain
        }
    }
    check_on(&[1, 2], || {
        let stop = Counter::default();
        let (left, ended) = bounded::<()>(0);
        let first = stop.clone();
        zokor::go(move || respawn(first, left));
        let start = Instant::now();
        for _ in 0..20 {
            zokor::yield_now();
        }
        let each = start.elapsed() / 20;
        stop.add(1);
        assert!(ended.recv().is_err());
        assert!(each < Duration::from_secs(1), "{each:?} for a yield");
    });
}

/// What another thread makes ready lies in the global queue, and the worker's own never runs dry: they share the turns. One in 32 would be
/// 32 yields for each.
#[test]
fn g11_who_yields_for_ever_shares_with_what_comes_from_outside() {
    const MANY: i64 = 2_000;
    check_on(&[1], || {
        let (sender, receiver) = bounded::<()>(0);
        let (ended, is_closed) = (Counter::default(), Arc::new(AtomicBool::new(false)));
        for _ in 0..MANY {
            let (receiver, ended) = (receiver.clone(), ended.clone());
            // SAFETY: what it holds may go to any thread, and it uses no thread-local.
            let _ = unsafe {
                zokor::go_migrating(move || {
                    assert!(receiver.recv().is_err());
                    ended.add(1);
                })
            };
        }
        wait_until(|| count_parked("chan receive") as i64 == MANY);
        let closer = std::thread::spawn({
            let is_closed = is_closed.clone();
            move || {
                drop(sender);
                is_closed.store(true, Ordering::Release); // pairs with the Acquire below
            }
        });
        while !is_closed.load(Ordering::Acquire) {
            zokor::yield_now();
        }
        let (left, mut yields) = (MANY - ended.get(), 0);
        while ended.get() < MANY {
            zokor::yield_now();
            yields += 1;
        }
        assert!(yields < 4 * left + 500, "{yields} yields until the last {left} had their turn");
        closer.join().unwrap();
    });
}

// ---- counting ---------------------------------------------------------------------------------------------------------

/// Go's TestNumGoroutine.
#[test]
fn g15_ob04_the_number_of_goroutines_is_exact_when_things_are_quiet() {
    check(|| {
        assert_eq!((raw::stats().goroutines, goroutines()), (1, 1));
        let (gate, opened) = bounded::<()>(0);
        let all: Vec<_> = (0..100)
            .map(|_| {
                let opened = opened.clone();
                zokor::go(move || opened.recv().is_err())
            })
            .collect();
        wait_until(|| count_parked("chan receive") == 100);
        let stats = raw::stats();
        assert_eq!((stats.goroutines, goroutines()), (101, 101));
        assert_eq!(stats.blocked, 100);
        drop(gate);
        all.into_iter().for_each(|h| assert!(h.join().unwrap()));
        wait_until(|| raw::stats().goroutines == 1);
        assert_eq!(goroutines(), 1);
    });
}

#[test]
fn tb02_tb03_each_goroutine_says_what_it_waits_for() {
    check(|| {
        let (tx, rx) = bounded::<()>(0);
        let (tx2, rx2) = bounded::<()>(0);
        let wg = Arc::new(zokor::WaitGroup::new());
        wg.add(1);
        let (ctx, wake) = with_cancel(&Context::background());
        let sleeper = Builder::new().context(&ctx).go(|| zokor::sleep(Duration::from_secs(3600))).unwrap();
        until_parked(&sleeper, "sleep");
        let parked = [
            go_parked("chan receive", {
                let rx = rx.clone();
                move || rx.recv().is_err()
            }),
            go_parked("chan send", move || tx2.send(()).is_err()),
            go_parked("select", move || {
                zokor::channel::select! {
                    recv(rx) -> v => v.is_err(),
                    recv(zokor::channel::never::<()>()) -> _ => false,
                }
            }),
            go_parked("wait group", {
                let wg = wg.clone();
                move || {
                    wg.wait();
                    true
                }
            }),
        ];
        for h in &parked {
            raw::each(&mut |g| {
                if g.id == h.id() {
                    assert!(g.stack_size >= 16 * 1024 && g.stack_used > 0 && g.stack_used <= g.stack_size);
                    assert!(g.since <= raw::now());
                }
                true
            });
        }
        let list = raw::list();
        for what in ["[running]", "[chan receive]", "[chan send]", "[select]", "[wait group]", "[sleep]", "sched.rs:"] {
            assert!(list.contains(what), "no {what} in:\n{list}");
        }
        drop(tx);
        drop(rx2);
        wg.done();
        wake.cancel();
        sleeper.join().unwrap();
        parked.into_iter().for_each(|h| assert!(h.join().unwrap()));
    });
}

// ---- threads ---------------------------------------------------------------------------------------------------------------

#[test]
fn a_pinned_goroutine_stays_on_its_thread() {
    check(|| {
        let all: Vec<_> = (0..20)
            .map(|_| {
                zokor::go(|| {
                    let shared = Rc::new(Cell::new(0)); // neither Send nor Sync, and held across every park
                    let home = thread();
                    for i in 0..50 {
                        shared.set(shared.get() + i);
                        if i % 10 == 0 {
                            zokor::sleep(Duration::from_micros(50));
                        } else {
                            zokor::yield_now();
                        }
                        assert_eq!(thread(), home);
                    }
                    shared.get()
                })
            })
            .collect();
        all.into_iter().for_each(|h| assert_eq!(h.join().unwrap(), 49 * 25));
    });
}

#[test]
fn thread_locals_of_a_pinned_goroutine_stay_valid() {
    thread_local!(static LOG: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) });
    check(|| {
        let all: Vec<_> = (0..20)
            .map(|i| {
                zokor::go(move || {
                    LOG.with(|log| {
                        log.borrow_mut().push(i);
                        zokor::yield_now();
                        assert!(log.borrow().contains(&i));
                        log.borrow_mut().retain(|&n| n != i);
                    });
                })
            })
            .collect();
        all.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn migrating_goroutines_do_their_work_wherever_they_are() {
    check(|| {
        let (tx, rx) = bounded(0);
        let all: Vec<_> = (0..20)
            .map(|_| {
                let tx = tx.clone();
                // SAFETY: nothing in it belongs to a thread.
                unsafe {
                    zokor::go_migrating(move || {
                        for i in 0..200 {
                            if i % 7 == 0 {
                                zokor::yield_now();
                            }
                            tx.send(i).unwrap();
                        }
                    })
                }
            })
            .collect();
        drop(tx);
        assert_eq!(rx.iter().sum::<i32>(), 20 * (0..200).sum::<i32>());
        all.into_iter().for_each(|h| h.join().unwrap());
    });
}

/// Go's TestLockOSThreadNesting, TestYieldLocked and TestBlockLocked. Those that were pinned to the thread before stay there, so
/// the others of this test are such as can go elsewhere.
#[test]
fn g16_a_locked_goroutine_has_its_thread_for_itself() {
    check(|| {
        let (tx, rx) = bounded(0);
        let locked = Counter::default();
        let others: Vec<_> = (0..8)
            .map(|_| {
                let (tx, locked) = (tx.clone(), locked.clone());
                // SAFETY: nothing in it belongs to a thread.
                unsafe {
                    zokor::go_migrating(move || {
                        wait_until(|| locked.get() == 1);
                        for _ in 0..20 {
                            zokor::yield_now();
                            tx.send(thread()).unwrap();
                        }
                    })
                }
            })
            .collect();
        drop(tx);
        let h = zokor::go(move || {
            raw::lock_thread();
            raw::lock_thread();
            raw::unlock_thread();
            let home = thread();
            locked.add(1);
            for t in rx {
                assert_eq!(thread(), home, "the goroutine left its thread");
                assert_ne!(t, home, "another one ran on it");
                zokor::yield_now();
            }
            raw::unlock_thread();
        });
        h.join().unwrap();
        others.into_iter().for_each(|h| h.join().unwrap());
    });
}

/// Go's TestLockOSThreadExit: the altered state of the thread must not leak to others.
/// With one permit, a main that never parks, and locked goroutines that leave work to others: all get their turns.
#[test]
fn g16_locked_goroutines_and_others_share_one_permit() {
    check(|| {
        let done = Counter::default();
        for _ in 0..4 {
            let (tx, rx) = bounded(0);
            let ended = done.clone();
            zokor::go(move || {
                raw::lock_thread();
                for i in 0..100 {
                    zokor::yield_now();
                    assert_eq!(rx.recv(), Ok(i));
                }
                ended.add(1);
            });
            zokor::go(move || (0..100).for_each(|i| tx.send(i).unwrap()));
        }
        wait_until(|| done.get() == 4);
    });
}

#[test]
fn g17_the_thread_of_a_goroutine_that_ends_locked_is_not_used_again() {
    check_on(&[2, 8], || {
        let h = zokor::go(|| {
            raw::lock_thread();
            thread()
        });
        // Main does not give way, so it runs on another worker; the thread of `run` is not the runtime's to end.
        while !h.is_finished() {
            std::hint::spin_loop();
        }
        let gone = h.join().unwrap();
        for _ in 0..200 {
            assert_ne!(zokor::go(thread).join().unwrap(), gone);
        }
        wait_until(|| !std::path::Path::new(&format!("/proc/self/task/{gone}")).exists());
    });
}

// ---- many -----------------------------------------------------------------------------------------------------------------------

/// Go's test/chan/goroutines.go.
#[test]
fn g20_a_chain_of_ten_thousand_completes() {
    fn link(left: Sender<u32>, right: Receiver<u32>) {
        left.send(right.recv().unwrap() + 1).unwrap();
    }
    check(|| {
        let (leftmost, result) = bounded(0);
        let mut left = leftmost;
        for _ in 0..10_000 {
            let (next, right) = bounded(0);
            let l = std::mem::replace(&mut left, next);
            zokor::go(move || link(l, right));
        }
        left.send(0).unwrap();
        assert_eq!(result.recv(), Ok(10_000));
    });
}

/// Go's TestStopTheWorldDeadlock, for what stops here: the worker count changes under churn.
#[test]
fn g21_the_worker_count_changes_under_churn() {
    let _alone = alone();
    for _ in 0..3 {
        let _watch = Watchdog::start(LIMIT);
        zokor::workers(2).unwrap();
        zokor::run(|| {
            let stop = Counter::default();
            let churn: Vec<_> = (0..4)
                .map(|_| {
                    let stop = stop.clone();
                    zokor::go(move || {
                        let mut n = 0;
                        while stop.get() == 0 {
                            let (tx, rx) = bounded(0);
                            let h = zokor::go(move || tx.send(1).unwrap());
                            n += rx.recv().unwrap();
                            h.join().unwrap();
                        }
                        n
                    })
                })
                .collect();
            let mut rng = Rng::fresh();
            for _ in 0..200 {
                zokor::workers(1 + rng.below(8) as u32).unwrap();
                zokor::yield_now();
            }
            stop.add(1);
            churn.into_iter().for_each(|h| assert!(h.join().unwrap() >= 0));
        });
        nothing_left();
    }
}

/// ThreadSanitizer keeps mappings of its own for each goroutine, and the kernel allows a process 65,530.
const MANY: usize = if cfg!(zk_tsan) { 5_000 } else { 100_000 };

#[test]
fn g19_a_hundred_thousand_goroutines_park_and_wake() {
    let _alone = alone();
    let _watch = Watchdog::start(LIMIT);
    zokor::workers(2).unwrap();
    zokor::run(|| {
        let (gate, opened) = bounded::<()>(0);
        let ended = Counter::default();
        for _ in 0..MANY {
            let (opened, ended) = (opened.clone(), ended.clone());
            zokor::go(move || {
                let _ = opened.recv();
                ended.add(1);
            });
        }
        wait_until(|| raw::stats().blocked as usize == MANY);
        drop(gate);
        wait_until(|| ended.get() as usize == MANY);
    });
    nothing_left();
}

// ---- scopes -----------------------------------------------------------------------------------------------------------------------

#[test]
fn a_scope_waits_for_goroutines_that_borrow() {
    check(|| {
        let mut numbers: Vec<u64> = (0..1000).collect();
        let total = zokor::scope(|s| {
            let halves = numbers.split_at_mut(500);
            let sum = |part: &mut [u64]| {
                part.iter_mut().for_each(|n| *n *= 2);
                zokor::yield_now();
                part.iter().sum::<u64>()
            };
            let a = s.go(move || sum(halves.0));
            let b = s.go(move || sum(halves.1));
            a.join().unwrap() + b.join().unwrap()
        });
        assert_eq!(total, numbers.iter().sum::<u64>());
        let n = AtomicUsize::new(0);
        zokor::scope(|s| {
            for _ in 0..50 {
                s.go(|| {
                    zokor::yield_now();
                    n.fetch_add(1, Ordering::Relaxed)
                });
            }
        });
        assert_eq!(n.into_inner(), 50);
    });
}

#[test]
fn a_panic_in_a_scope_reaches_its_owner_after_all_have_ended() {
    check(|| {
        let ended = AtomicUsize::new(0);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            zokor::scope(|s| {
                s.go(|| std::panic::resume_unwind(Box::new("one failed")));
                for _ in 0..5 {
                    s.go(|| {
                        zokor::yield_now();
                        ended.fetch_add(1, Ordering::SeqCst)
                    });
                }
            });
        }));
        assert!(caught.is_err());
        assert_eq!(ended.into_inner(), 5);
        let joined = zokor::scope(|s| s.go(|| std::panic::resume_unwind(Box::new(4))).join().map(|()| 0));
        assert_eq!(joined.unwrap_err().downcast_ref(), Some(&4));
    });
}

// ---- wait groups --------------------------------------------------------------------------------------------------------------------

#[test]
fn wg01_all_waiters_are_released_at_zero() {
    check(|| {
        let wg = Arc::new(zokor::WaitGroup::new());
        wg.wait();
        wg.add(3);
        let waiters: Vec<_> = (0..5)
            .map(|_| {
                let wg = wg.clone();
                go_parked("wait group", move || wg.wait())
            })
            .collect();
        wg.done();
        wg.done();
        assert_eq!(count_parked("wait group"), 5, "one is missing");
        wg.done();
        waiters.into_iter().for_each(|h| h.join().unwrap());
        assert_eq!(wg.count(), 0);
    });
}

#[test]
fn wg02_below_zero_is_refused() {
    check(|| {
        let wg = raw::RawWaitGroup::default();
        assert_eq!(wg.done(), Err(raw::Error::Invalid));
        wg.add(2).unwrap();
        assert_eq!(wg.add(-3), Err(raw::Error::Invalid));
        wg.add(-2).unwrap();
        assert_eq!(wg.wait(raw::FOREVER), Ok(()), "refused, and nothing was changed");

        let wg = zokor::WaitGroup::new();
        wg.add(1);
        for below in [i64::MIN, -2] {
            let e = std::panic::catch_unwind(|| wg.add(below)).unwrap_err();
            assert_eq!(e.downcast_ref::<&str>(), Some(&"sync: negative WaitGroup counter"));
        }
        wg.done();
        let e = std::panic::catch_unwind(|| wg.done()).unwrap_err();
        assert_eq!(e.downcast_ref::<&str>(), Some(&"sync: negative WaitGroup counter"));
        wg.wait();
    });
}

/// An add that came before is waited for. One that comes at the same time is waited for or not, but nothing is lost or upset.
#[test]
fn wg03_adding_from_zero_comes_before_waiting() {
    check(|| {
        for _ in 0..300 {
            let (wg, n) = (Arc::new(zokor::WaitGroup::new()), Counter::default());
            wg.add(1); // before: seen by every wait below
            let waiter = zokor::go({
                let (wg, n) = (wg.clone(), n.clone());
                move || {
                    wg.wait();
                    assert!(n.get() >= 1);
                }
            });
            n.add(1);
            wg.done();
            waiter.join().unwrap();
            let adder = zokor::go({
                let wg = wg.clone();
                move || {
                    wg.add(1);
                    zokor::yield_now();
                    wg.done();
                }
            });
            wg.wait(); // at the same time as the add: either answer will do
            adder.join().unwrap();
            wg.wait();
            assert_eq!(wg.count(), 0);
        }
    });
}

/// Go's TestWaitGroup runs two rounds; here there are many, with several that wait.
#[test]
fn wg04_a_wait_group_is_used_again_after_all_waits_have_returned() {
    check(|| {
        let (wg, n) = (Arc::new(zokor::WaitGroup::new()), Counter::default());
        for round in 1..=200 {
            for _ in 0..3 {
                let n = n.clone();
                wg.go(move || {
                    n.add(1);
                });
            }
            let waiters: Vec<_> = (0..3)
                .map(|_| {
                    let (wg, n) = (wg.clone(), n.clone());
                    zokor::go(move || {
                        wg.wait();
                        assert_eq!(n.get(), 3 * round);
                    })
                })
                .collect();
            waiters.into_iter().for_each(|h| h.join().unwrap());
        }
    });
}

#[test]
fn wg07_go_counts_before_it_starts_and_until_the_member_has_ended() {
    check(|| {
        let wg = Arc::new(zokor::WaitGroup::new());
        let (gate, opened) = bounded::<()>(0);
        for _ in 0..5 {
            let opened = opened.clone();
            wg.go(move || {
                let _ = opened.recv();
                zokor::goexit();
            });
        }
        assert_eq!(wg.count(), 5, "counted, whether they have begun or not");
        drop(gate);
        wg.wait();
        assert_eq!(wg.count(), 0, "goexit counts as done");
    });
}

#[test]
fn wg05_members_may_add_while_the_count_is_above_zero() {
    fn spread(wg: Arc<zokor::WaitGroup>, n: Counter, depth: u32) {
        if depth > 0 {
            for _ in 0..2 {
                let (group, n) = (wg.clone(), n.clone());
                wg.go(move || spread(group, n, depth - 1));
            }
        }
        n.add(1);
    }
    check(|| {
        let (wg, n) = (Arc::new(zokor::WaitGroup::new()), Counter::default());
        let (group, count) = (wg.clone(), n.clone());
        wg.go(move || spread(group, count, 8));
        wg.wait();
        assert_eq!(n.get(), (1 << 9) - 1);
    });
}

/// Go's TestWaitGroupRace: Wait must not return early, nor miss the last Done.
#[test]
fn wg06_no_early_and_no_missed_wake_up() {
    check(|| {
        for _ in 0..1000 {
            let (wg, n) = (Arc::new(zokor::WaitGroup::new()), Counter::default());
            for _ in 0..2 {
                let (group, n) = (wg.clone(), n.clone());
                wg.add(1);
                zokor::go(move || {
                    n.add(1);
                    group.done();
                });
            }
            wg.wait();
            assert_eq!(n.get(), 2);
        }
    });
}

#[test]
fn wg08_a_wait_may_have_a_deadline() {
    check(|| {
        let wg = zokor::WaitGroup::new();
        wg.add(1);
        assert!(!wg.wait_until(Instant::now() + A_WHILE));
        wg.done();
        assert!(wg.wait_until(Instant::now() + A_WHILE));
    });
}
