//! What is left when a run, a thread, a section or the runtime ends: timers still fire, handles stay valid, and what was given up never
//! runs again. Most cases are programs of their own: they end a run badly, or the runtime for good.

mod common;

use common::*;
use std::ffi::c_void;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use zokor::channel::{after, bounded, unbounded, Sender};
use zokor::context::{self, Context};
use zokor::{raw, Builder, Config, PanicPolicy, RuntimeError};

const DEADLOCK: RuntimeError = RuntimeError::Deadlock;

// ---- after a deadlock ------------------------------------------------------------------------------

/// Those who waited to receive were told, and do not run in a later run of the same thread.
fn nobody_goes_on(tx: &Sender<i32>, went: &Counter) {
    zokor::run(|| {
        for _ in 0..100 {
            zokor::yield_now();
        }
        assert!(tx.try_send(1).is_err());
        zokor::sleep(Duration::from_millis(5));
    });
    assert_eq!(went.get(), 0);
}

/// Main is given up while it borrows from the caller of `try_run`: it must not go on in a later run of the same thread.
fn given_up_main_stays_parked() {
    let (tx, rx) = bounded::<i32>(0);
    let went = Counter::default();
    let main = || {
        let _ = rx.recv();
        went.add(1);
        went_on();
    };
    assert_eq!(zokor::try_run(main), Err(DEADLOCK));
    drop(rx); // tells whoever waits
    nobody_goes_on(&tx, &went);
}

/// The goroutines of a scope borrow from beyond the main that was given up: they must not go on either.
fn given_up_scope_stays_parked() {
    let (tx, rx) = bounded::<i32>(0);
    let went = Counter::default();
    let main = || {
        zokor::scope(|s| {
            s.go(|| {
                s.go(|| {
                    let _ = rx.recv();
                    went.add(1);
                });
                let _ = rx.recv();
                went.add(1);
            });
        });
    };
    assert_eq!(zokor::try_run(main), Err(DEADLOCK));
    drop(rx); // tells whoever waits
    nobody_goes_on(&tx, &went);
}

/// Others than main and its scopes are not given up: they go on when somebody wakes them later.
fn others_go_on_after_a_deadlock() {
    let (tx, rx) = bounded::<i32>(0);
    let (back, answers) = unbounded();
    let inner = rx.clone();
    let main = move || {
        zokor::go(move || {
            let (back, rx) = (back, rx);
            zokor::scope(|s| {
                s.go(|| {
                    let n = inner.recv().unwrap();
                    back.send(n).unwrap();
                });
                let n = rx.recv().unwrap();
                back.send(n).unwrap();
            });
        });
        zokor::sleep(Duration::from_millis(1));
        let (_tx, rx) = bounded::<()>(0);
        let _ = rx.recv();
    };
    assert_eq!(zokor::try_run(main), Err(DEADLOCK));
    let sum = zokor::run(move || {
        tx.send(1).unwrap();
        tx.send(2).unwrap();
        answers.recv().unwrap() + answers.recv().unwrap()
    });
    assert_eq!(sum, 3);
}

/// Main has ended by `goexit`; whoever has its header now is not to be given up in its place.
fn header_of_a_main_that_exited() {
    zokor::workers(1).unwrap();
    let (tx, rx) = bounded::<i32>(0);
    let (back, answers) = unbounded();
    let main = move || {
        zokor::go(move || {
            for _ in 0..200 {
                let (rx, back) = (rx.clone(), back.clone());
                zokor::go(move || back.send(rx.recv().unwrap()).unwrap());
            }
        });
        zokor::goexit();
    };
    assert_eq!(zokor::try_run::<()>(main), Err(DEADLOCK));
    let n = zokor::run(move || {
        for i in 0..200 {
            tx.send(i).unwrap();
        }
        (0..200).filter(|_| answers.recv_timeout(Duration::from_secs(5)).is_ok()).count()
    });
    assert_eq!(n, 200);
}

// ---- shutdown --------------------------------------------------------------------------------------

fn handles_after_shutdown() {
    let ledger = Ledger::default();
    let value = |n| {
        let ledger = ledger.clone();
        move || ledger.value(n)
    };
    let (joined, dropped) = (zokor::go(value(1)), zokor::go(value(2)));
    zokor::shutdown(None).unwrap();
    assert!(joined.is_finished());
    assert_eq!(joined.join().unwrap().n, 1);
    drop(dropped);
    assert_eq!((ledger.made(), ledger.live()), (2, 0));
}

fn looking_while_it_goes_down() {
    let stop = Counter::default();
    let looks: Vec<_> = (0..2)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                while stop.get() == 0 {
                    raw::stats();
                    raw::list();
                }
            })
        })
        .collect();
    zokor::workers(4).unwrap();
    zokor::run(|| zokor::scope(|s| (0..500).for_each(|_| drop(s.go(|| zokor::sleep(Duration::from_micros(50)))))));
    zokor::shutdown(None).unwrap();
    stop.add(1);
    looks.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(raw::stats().goroutines, 0);
}

fn shutdown_by_two() {
    zokor::run(|| zokor::go(|| ()).join().unwrap());
    let all: Vec<_> = (0..4).map(|_| std::thread::spawn(|| zokor::shutdown(None))).collect();
    let ends: Vec<_> = all.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(ends.iter().filter(|r| r.is_ok()).count(), 1, "{ends:?}");
    assert!(ends.iter().all(|r| matches!(r, Ok(()) | Err(RuntimeError::Shutdown))), "{ends:?}");
}

fn shutdown_ends_other_runs() {
    let (_tx, rx) = bounded::<()>(0);
    let (parked, is_parked) = mpsc::channel();
    zokor::hold();
    let other = std::thread::spawn(move || {
        zokor::try_run(|| {
            parked.send(()).unwrap();
            let _ = rx.recv();
            went_on();
        })
    });
    is_parked.recv().unwrap();
    assert_eq!(zokor::shutdown(Some(Duration::from_millis(20))), Err(RuntimeError::TimedOut));
    assert_eq!(other.join().unwrap(), Err(RuntimeError::Shutdown));
}

fn timers_of_threads_after_shutdown() {
    zokor::run(|| ());
    let (tx, made) = mpsc::channel();
    let waits = std::thread::spawn(move || {
        let timer = after(Duration::from_millis(300));
        tx.send(()).unwrap();
        timer.recv().is_ok()
    });
    made.recv().unwrap();
    std::thread::sleep(Duration::from_millis(50)); // most likely it waits by now
    zokor::shutdown(None).unwrap();
    assert!(waits.join().unwrap());
}

// ---- timers without anybody awake ---------------------------------------------------------------

fn timer_of_a_run_that_ended() {
    zokor::workers(1).unwrap();
    let (tx, rx) = mpsc::channel();
    let later = zokor::run(|| zokor::time::after_func(Duration::from_millis(20), move || tx.send(()).unwrap()));
    rx.recv_timeout(Duration::from_secs(10)).unwrap();
    drop(later);
}

fn timer_of_a_section() {
    zokor::workers(1).unwrap();
    zokor::run(|| {
        let (tx, rx) = mpsc::channel();
        let _later = zokor::time::after_func(Duration::from_millis(20), move || tx.send(()).unwrap());
        raw::block_begin();
        let fired = rx.recv_timeout(Duration::from_secs(10));
        raw::block_end();
        fired.unwrap();
    });
}

fn timer_armed_in_a_section() {
    zokor::workers(1).unwrap();
    zokor::run(|| {
        raw::block_begin();
        std::thread::sleep(Duration::from_millis(20));
        let (tx, rx) = mpsc::channel();
        let _later = zokor::time::after_func(Duration::from_millis(20), move || tx.send(()).unwrap());
        let fired = rx.recv_timeout(Duration::from_secs(10));
        let due = after(Duration::from_millis(20)).recv();
        raw::block_end();
        fired.unwrap();
        due.unwrap();
    });
}

/// A pair that talks makes wake-ups fruitless, and then they are left out; not for a worker that is in a section, though.
fn wakes_from_a_section() {
    zokor::workers(2).unwrap();
    zokor::run(|| {
        let (a, b) = (bounded::<()>(0), bounded::<()>(0));
        let (a_tx, b_rx) = (a.0, b.1);
        let (a_rx, b_tx) = (a.1, b.0);
        zokor::go(move || a_rx.iter().for_each(|()| b_tx.send(()).unwrap()));
        for _ in 0..100_000 {
            a_tx.send(()).unwrap();
            b_rx.recv().unwrap();
        }
        for _ in 0..50 {
            let (tx, rx) = mpsc::channel();
            raw::block_begin();
            std::thread::sleep(Duration::from_millis(2));
            zokor::go(move || tx.send(()).unwrap());
            let ran = rx.recv_timeout(Duration::from_secs(5));
            raw::block_end();
            ran.unwrap();
            for _ in 0..1000 {
                a_tx.send(()).unwrap();
                b_rx.recv().unwrap();
            }
        }
    });
}

fn section_left_open() {
    zokor::workers(1).unwrap();
    zokor::run(|| {
        zokor::go(raw::block_begin).join().unwrap();
        let (tx, rx) = bounded(0);
        let h = zokor::go(move || tx.send(1).unwrap());
        assert_eq!(rx.recv(), Ok(1));
        h.join().unwrap();
    });
    let main = || {
        let (_tx, rx) = bounded::<()>(0);
        rx.recv().is_ok()
    };
    assert_eq!(zokor::try_run(main), Err(DEADLOCK), "the section does not count any more");
}

/// A panic of C leaves the section behind, and the `try` around it ends the section.
fn section_left_by_a_panic() {
    unsafe extern "C-unwind" fn fails(_: *mut c_void) {
        raw::block_begin();
        raw::block_begin();
        // SAFETY: no frame up to the `try` has anything to clean up.
        unsafe { raw::panic("on purpose") }
    }
    zokor::workers(1).unwrap();
    let main = || {
        // SAFETY: as above.
        let caught = unsafe { raw::try_call(fails, std::ptr::null_mut()) };
        assert_eq!(caught, Err(Some("on purpose".to_owned())));
        let (_tx, rx) = bounded::<()>(0);
        rx.recv().is_ok()
    };
    assert_eq!(zokor::try_run(main), Err(DEADLOCK), "the section does not count any more");
}

// ---- what others wait for -----------------------------------------------------------------------

/// Two goroutines that yield after 10 ms each; whatever comes from outside and from timers is not to wait for many of their turns.
fn hogs_and_others() {
    zokor::workers(1).unwrap();
    let (tx, rx) = mpsc::channel();
    let (stop, turns) = (Counter::default(), Counter::default());
    let (end, seen) = (stop.clone(), turns.clone());
    let runs = std::thread::spawn(move || {
        zokor::run(|| {
            let hog = |stop: Counter, turns: Counter| {
                move || {
                    while stop.get() == 0 {
                        let start = Instant::now();
                        while start.elapsed() < Duration::from_millis(10) {}
                        turns.add(1);
                        zokor::yield_now();
                    }
                }
            };
            let hogs = [0; 2].map(|_| zokor::go(hog(stop.clone(), turns.clone())));
            let slept = (0..9).map(|_| turns_of(&turns, || zokor::sleep(Duration::from_millis(1)))).collect();
            tx.send(slept).unwrap();
            hogs.into_iter().for_each(|h| h.join().unwrap());
        });
    });
    let typical = |mut all: Vec<i64>| {
        println!("turns {all:?}");
        all.sort();
        all[all.len() / 2]
    };
    assert!(typical(rx.recv().unwrap()) < 10);
    let start = || zokor::go(|| ()).join().unwrap();
    assert!(typical((0..9).map(|_| turns_of(&seen, start)).collect()) < 10);
    end.add(1);
    runs.join().unwrap();
}

/// How often `counter` is raised while `f` runs.
fn turns_of(counter: &Counter, f: impl FnOnce()) -> i64 {
    let before = counter.get();
    f();
    counter.get() - before
}

/// One worker on which a pair never lets the queue run empty and some timer is due at every look around.
fn started_from_outside_among_timers() {
    zokor::workers(1).unwrap();
    let stop = Counter::default();
    let end = stop.clone();
    let (up, is_up) = mpsc::channel();
    let runs = std::thread::spawn(move || {
        zokor::run(|| {
            let (a, b) = (bounded::<()>(0), bounded::<()>(0));
            let mut all = vec![zokor::go(move || a.1.iter().for_each(|()| b.0.send(()).unwrap()))];
            for _ in 0..3000 {
                let stop = stop.clone();
                all.push(zokor::go(move || {
                    while stop.get() == 0 {
                        zokor::sleep(Duration::from_millis(1));
                    }
                }));
            }
            up.send(()).unwrap();
            while stop.get() == 0 {
                a.0.send(()).unwrap();
                b.1.recv().unwrap();
            }
            drop(a.0);
            all.into_iter().for_each(|h| h.join().unwrap());
        });
    });
    is_up.recv().unwrap();
    (0..20).for_each(|_| zokor::go(|| ()).join().unwrap());
    end.add(1);
    runs.join().unwrap();
}

/// The last reference to a context goes with the goroutine that is bound to it, and its value panics when it is dropped.
fn value_that_panics() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    static KEY: context::Key<Bad> = context::Key::new();
    zokor::init(Config { panic_policy: PanicPolicy::Report, ..Config::default() }).unwrap();
    let n = zokor::run(|| {
        let ctx = context::with_value(&Context::background(), &KEY, Bad);
        let (tx, rx) = bounded::<i32>(0);
        let h = Builder::new().context(&ctx).go(move || rx.recv().unwrap()).unwrap();
        drop(ctx);
        tx.send(7).unwrap();
        h.join().unwrap()
    });
    assert_eq!(n, 7);
}

fn limit_when_a_context_ends() {
    zokor::init(Config { workers: 1, max_goroutines: 2, ..Config::default() }).unwrap();
    let r = zokor::try_run(|| {
        let (ctx, _cancel) = context::with_timeout(&Context::background(), Duration::from_millis(20));
        let _f = context::after_func(&ctx, || ());
        let h = zokor::go(|| zokor::sleep(Duration::from_millis(100)));
        h.join().unwrap();
        1
    });
    assert_eq!(r, Ok(1));
}

fn yield_in_unwinding() {
    struct Yields(Counter);
    impl Drop for Yields {
        fn drop(&mut self) {
            self.0.add(1);
            zokor::yield_now();
        }
    }
    zokor::workers(1).unwrap();
    zokor::run(|| {
        let seen = Counter::default();
        let (a, b) = (seen.clone(), seen.clone());
        let panics = zokor::go(move || {
            let _y = Yields(a);
            panic!("on purpose");
        });
        let looks = zokor::go(move || {
            while b.get() == 0 {
                zokor::yield_now();
            }
            std::thread::panicking()
        });
        assert!(panics.join().is_err());
        assert!(!looks.join().unwrap());
    });
}

fn group_limit() {
    zokor::run(|| {
        let g = std::sync::Arc::new(zokor::group::Group::<std::fmt::Error>::new());
        g.set_limit(Some(0));
        let g2 = g.clone();
        let h = go_parked("group", move || g2.go(|| Ok(())));
        g.set_limit(Some(1));
        assert!(h.join().unwrap());
        g.wait().unwrap();
    });
}

#[test]
#[ignore = "what the children of the other tests run"]
fn program() {
    run_program(&[
        ("given_up_main_stays_parked", given_up_main_stays_parked),
        ("given_up_scope_stays_parked", given_up_scope_stays_parked),
        ("others_go_on_after_a_deadlock", others_go_on_after_a_deadlock),
        ("header_of_a_main_that_exited", header_of_a_main_that_exited),
        ("handles_after_shutdown", handles_after_shutdown),
        ("shutdown_by_two", shutdown_by_two),
        ("shutdown_ends_other_runs", shutdown_ends_other_runs),
        ("timers_of_threads_after_shutdown", timers_of_threads_after_shutdown),
        ("timer_of_a_run_that_ended", timer_of_a_run_that_ended),
        ("timer_of_a_section", timer_of_a_section),
        ("timer_armed_in_a_section", timer_armed_in_a_section),
        ("wakes_from_a_section", wakes_from_a_section),
        ("section_left_open", section_left_open),
        ("section_left_by_a_panic", section_left_by_a_panic),
        ("hogs_and_others", hogs_and_others),
        ("started_from_outside_among_timers", started_from_outside_among_timers),
        ("value_that_panics", value_that_panics),
        ("looking_while_it_goes_down", looking_while_it_goes_down),
        ("limit_when_a_context_ends", limit_when_a_context_ends),
        ("yield_in_unwinding", yield_in_unwinding),
        ("group_limit", group_limit),
    ]);
}

#[test]
fn d01_a_main_that_was_given_up_never_goes_on_nor_do_its_scopes() {
    outcome_of("given_up_main_stays_parked", &[]).assert_ok().assert_did_not_go_on();
    outcome_of("given_up_scope_stays_parked", &[]).assert_ok();
}

#[test]
fn d01_others_go_on_when_they_are_woken_after_a_deadlock() {
    outcome_of("others_go_on_after_a_deadlock", &[]).assert_ok();
    outcome_of("header_of_a_main_that_exited", &[]).assert_ok();
}

#[test]
fn handles_outlive_the_runtime() {
    outcome_of("handles_after_shutdown", &[]).assert_ok();
}

#[test]
fn shutdown_ends_all_runs_and_is_done_once() {
    outcome_of("shutdown_by_two", &[]).assert_ok();
    outcome_of("shutdown_ends_other_runs", &[]).assert_ok().assert_did_not_go_on();
}

#[test]
fn threads_that_wait_for_a_timer_get_it_when_the_workers_have_ended() {
    outcome_of("timers_of_threads_after_shutdown", &[]).assert_ok();
}

#[test]
fn timers_fire_when_the_last_worker_has_left() {
    outcome_of("timer_of_a_run_that_ended", &[]).assert_ok();
    outcome_of("timer_of_a_section", &[]).assert_ok();
    outcome_of("timer_armed_in_a_section", &[]).assert_ok();
}

#[test]
fn sections_do_not_hold_up_others() {
    outcome_of("wakes_from_a_section", &[]).assert_ok();
    outcome_of("section_left_open", &[]).assert_ok();
    outcome_of("section_left_by_a_panic", &[]).assert_ok();
}

#[test]
fn g12_sleepers_and_starters_do_not_wait_for_many_turns_of_others() {
    outcome_of("hogs_and_others", &[]).assert_ok();
    outcome_of("started_from_outside_among_timers", &[]).assert_ok();
}

#[test]
fn x15_a_function_that_cannot_be_started_takes_no_worker_along() {
    outcome_of("limit_when_a_context_ends", &[]).assert_ok().assert_err_has("could not be started");
}

#[test]
fn who_unwinds_does_not_yield() {
    outcome_of("yield_in_unwinding", &[]).assert_ok();
}

#[test]
fn e03_a_new_limit_lets_those_in_who_wait() {
    outcome_of("group_limit", &[]).assert_ok();
}

#[test]
fn what_panics_when_a_context_goes_is_reported() {
    outcome_of("value_that_panics", &[]).assert_ok().assert_err_has("on purpose");
}

#[test]
fn whoever_looks_at_a_runtime_that_goes_down_sees_it_or_nothing() {
    outcome_of("looking_while_it_goes_down", &[]).assert_ok();
}
