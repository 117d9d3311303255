//! Panics, goexit and ends: rules P-01 to P-18 of Go's semantics, for what has a counterpart in Rust.

mod common;

use common::*;
use std::panic::{catch_unwind, panic_any, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use zokor::channel::bounded;
use zokor::{raw, Builder, Config, Goexit, PanicPolicy};

/// Says when it is dropped.
struct Defer(&'static str);

impl Drop for Defer {
    fn drop(&mut self) {
        println!("{}", self.0);
    }
}

// ---- inside one process -----------------------------------------------------------------------------------

/// A panic whose message is not wanted on standard error.
fn throw<T: std::any::Any + Send>(payload: T) -> ! {
    resume_unwind(Box::new(payload))
}

#[test]
fn p01_a_joined_panic_is_the_joiners() {
    check(|| {
        let h = zokor::go(|| -> () { throw("boom") });
        assert_eq!(h.join().unwrap_err().downcast_ref(), Some(&"boom"));
        let h = zokor::go(|| -> i32 { throw(42_i32) });
        assert_eq!(h.join().unwrap_err().downcast_ref(), Some(&42));
    });
}

#[test]
fn p02_only_its_own_destructors_run_last_first() {
    check(|| {
        let (tx, rx) = bounded(10);
        struct Tell(zokor::channel::Sender<u8>, u8);
        impl Drop for Tell {
            fn drop(&mut self) {
                self.0.send(self.1).unwrap();
            }
        }
        let (gate, opened) = bounded::<()>(0);
        let bystander = go_parked("chan receive", {
            let tx = tx.clone();
            move || {
                let _tell = Tell(tx, 9);
                let _ = opened.recv();
            }
        });
        let h = zokor::go({
            let tx = tx.clone();
            move || -> () {
                let _one = Tell(tx.clone(), 1);
                let _two = Tell(tx.clone(), 2);
                let _three = Tell(tx, 3);
                throw(())
            }
        });
        assert!(h.join().is_err());
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), [3, 2, 1]);
        drop(gate);
        bystander.join().unwrap();
        assert_eq!(rx.try_recv(), Ok(9));
    });
}

#[test]
fn p04_a_caught_panic_leaves_the_goroutine_alive() {
    check(|| {
        let h = zokor::go(|| {
            let mut caught = 0;
            for i in 0..10 {
                caught += usize::from(catch_unwind(|| -> () { throw(i) }).is_err());
                zokor::yield_now();
            }
            caught
        });
        assert_eq!(h.join().unwrap(), 10);
    });
}

/// A destructor that runs because of a panic may still use channels, even wait.
#[test]
fn p02_destructors_may_block_during_a_panic() {
    struct Farewell(zokor::channel::Sender<bool>);
    impl Drop for Farewell {
        fn drop(&mut self) {
            self.0.send(std::thread::panicking()).unwrap();
        }
    }
    check(|| {
        for cap in [0, 1] {
            let (tx, rx) = bounded(cap);
            let h = zokor::go(move || -> () {
                let _farewell = Farewell(tx);
                throw(())
            });
            assert_eq!(rx.recv(), Ok(true));
            assert!(h.join().is_err());
            assert!(!std::thread::panicking());
            assert!(!zokor::go(std::thread::panicking).join().unwrap(), "the state of a panic leaks to others");
        }
    });
}

#[test]
fn p09_goexit_ends_only_the_caller_and_runs_its_destructors() {
    check(|| {
        let ledger = Ledger::default();
        let value = ledger.value(1);
        let h = zokor::go(move || -> u8 {
            let _value = value;
            zokor::goexit()
        });
        assert!(h.join().unwrap_err().is::<Goexit>());
        assert_eq!(ledger.live(), 0);
        let detached = Counter::default();
        for _ in 0..10 {
            let n = detached.clone();
            zokor::go(move || {
                n.add(1);
                zokor::goexit()
            });
        }
        wait_until(|| detached.get() == 10 && raw::stats().goroutines == 1);
    });
}

/// A destructor is Rust's deferred function. What it catches is what it ran itself: the panic that runs it goes on (P-03).
#[test]
fn p03_a_destructor_does_not_recover_the_panic_that_runs_it() {
    struct Helper(Counter);
    impl Drop for Helper {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            let quiet = catch_unwind(|| self.0.add(1));
            let own = catch_unwind(AssertUnwindSafe(|| -> () {
                self.0.add(10);
                throw("caught where it was thrown")
            }));
            assert!(quiet.is_ok() && own.is_err());
        }
    }
    check(|| {
        let steps = Counter::default();
        let h = zokor::go({
            let steps = steps.clone();
            move || -> u8 {
                let _helper = Helper(steps);
                throw("goes on")
            }
        });
        assert_eq!(h.join().unwrap_err().downcast_ref(), Some(&"goes on"));
        assert_eq!(steps.get(), 11);
    });
}

/// Go's TestPanicNil: a panic without a value is still a panic.
#[test]
fn p05_a_panic_without_a_value_is_still_a_panic() {
    check(|| {
        let h = zokor::go(|| -> () { throw(()) });
        assert!(h.join().unwrap_err().is::<()>());
        let h = zokor::go(|| -> () { throw(None::<u8>) });
        assert_eq!(h.join().unwrap_err().downcast_ref(), Some(&None::<u8>));
        assert!(catch_unwind(|| -> () { throw(()) }).is_err());
    });
}

/// Go's TestRecoverBeforePanicAfterGoexit, TestRecoverBeforePanicAfterGoexit2 and TestRecoveredPanicAfterGoexit.
#[test]
fn p10_goexit_cannot_be_recovered_away() {
    struct PanicsAndRecovers;
    impl Drop for PanicsAndRecovers {
        fn drop(&mut self) {
            assert!(catch_unwind(|| -> () { throw("during goexit") }).is_err());
        }
    }
    check(|| {
        let h = zokor::go(|| {
            let _d = PanicsAndRecovers;
            zokor::goexit()
        });
        assert!(h.join().unwrap_err().is::<Goexit>());
        // What stops the unwinding does not bring the goroutine back: what it returns is dropped.
        let ledger = Ledger::default();
        let h = zokor::go({
            let ledger = ledger.clone();
            move || {
                let r = catch_unwind(|| zokor::goexit());
                assert!(r.unwrap_err().is::<Goexit>());
                zokor::yield_now();
                ledger.value(1)
            }
        });
        assert!(h.join().unwrap_err().is::<Goexit>());
        assert_eq!((ledger.made(), ledger.live()), (1, 0));
        // And a panic after it is discarded.
        let h = zokor::go(|| -> () {
            drop(catch_unwind(|| zokor::goexit()));
            throw("afterwards")
        });
        assert!(h.join().unwrap_err().is::<Goexit>());
    });
}

/// Go's TestGoexitInPanic. Rust does not let a second unwinding leave a destructor during the first one, so it is caught in there.
#[test]
fn p11_goexit_in_a_destructor_discards_the_panic() {
    struct Exit;
    impl Drop for Exit {
        fn drop(&mut self) {
            let e = catch_unwind(|| zokor::goexit());
            assert!(e.unwrap_err().is::<Goexit>());
        }
    }
    check(|| {
        let h = zokor::go(|| -> u8 {
            let _exit = Exit;
            throw("discarded")
        });
        assert!(h.join().unwrap_err().is::<Goexit>());
        // Detached: nothing is reported, the process lives on.
        drop(zokor::go(|| -> u8 {
            let _exit = Exit;
            throw("discarded")
        }));
        wait_until(|| raw::stats().goroutines == 1);
    });
}

// ---- programs ----------------------------------------------------------------------------------------------

fn detached_panic() {
    zokor::run(|| {
        let (_tx, rx) = bounded::<()>(0);
        let _bystander = go_parked("chan receive", {
            let rx = rx.clone();
            move || {
                let _defer = Defer(MARK);
                let _ = rx.recv();
            }
        });
        let _ = Builder::new().name("unlucky").go(|| {
            let _defer = Defer("its own destructor");
            zokor::yield_now();
            panic!("nobody joins {}", "me");
        });
        let _ = rx.recv();
        went_on();
    });
}

fn detached_panic_cannot_be_caught_elsewhere() {
    zokor::run(|| {
        let r = catch_unwind(|| {
            drop(zokor::go(|| panic!("escapes")));
            zokor::sleep(Duration::from_secs(20));
        });
        drop(r);
        went_on();
    });
}

fn handle_dropped_after_the_panic() {
    zokor::run(|| {
        let h = zokor::go(|| throw("never joined"));
        wait_until(|| h.is_finished());
        drop(h);
        println!("dropped");
    });
}

fn report_and_go_on() {
    zokor::init(Config { panic_policy: PanicPolicy::Report, ..Config::default() }).unwrap();
    zokor::run(|| {
        for i in 0..3 {
            drop(zokor::go(move || panic!("number {i}")));
        }
        wait_until(|| raw::stats().goroutines == 1);
        println!("all the same");
    });
}

static TOLD: AtomicU64 = AtomicU64::new(0);

unsafe extern "C-unwind" fn told(id: u64, text: *const std::ffi::c_char, user: *mut std::ffi::c_void) {
    // SAFETY: the runtime passes a C string, and the word it was given.
    let text = unsafe { std::ffi::CStr::from_ptr(text) };
    assert_eq!((text.to_str(), user as usize), (Ok("for the hook"), 77));
    TOLD.store(id, Ordering::SeqCst);
}

fn hook() {
    let on_panic = Some(raw::PanicHook { call: told, user: 77 as *mut _ });
    zokor::init(Config { on_panic, ..Config::default() }).unwrap();
    zokor::run(|| {
        let h = zokor::go(|| panic_any("for the hook"));
        let id = h.id();
        drop(h);
        wait_until(|| TOLD.load(Ordering::SeqCst) == id);
        println!("the hook was told");
    });
}

unsafe extern "C-unwind" fn bad_callback(_: *mut std::ffi::c_void) {
    panic!("in a callback");
}

fn callback() {
    zokor::run(|| {
        let r = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the function ignores its argument.
            let _t = unsafe { raw::Timer::func(1000, bad_callback, std::ptr::null_mut()) };
            zokor::sleep(Duration::from_secs(20));
        }));
        drop(r);
        went_on();
    });
}

/// A panic of a destructor during a panic: Rust ends the process. What happened first is reported first.
fn nested() {
    struct Worse;
    impl Drop for Worse {
        fn drop(&mut self) {
            panic!("the second");
        }
    }
    zokor::run(|| {
        drop(zokor::go(|| {
            let _worse = Worse;
            panic!("the first");
        }));
        zokor::sleep(Duration::from_secs(20));
        went_on();
    });
}

/// Panics when it is shown.
struct Unshowable;

impl std::fmt::Display for Unshowable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("while it is shown");
    }
}

fn unshowable() {
    zokor::run(|| {
        drop(zokor::go(|| panic!("{}", Unshowable)));
        zokor::sleep(Duration::from_secs(20));
        went_on();
    });
}

unsafe extern "C-unwind" fn bad_hook(_: u64, _: *const std::ffi::c_char, _: *mut std::ffi::c_void) {
    panic!("in the hook");
}

fn hook_panics() {
    let on_panic = Some(raw::PanicHook { call: bad_hook, user: std::ptr::null_mut() });
    zokor::init(Config { on_panic, ..Config::default() }).unwrap();
    zokor::run(|| {
        drop(zokor::go(|| panic_any("for the hook")));
        zokor::sleep(Duration::from_secs(20));
        went_on();
    });
}

/// Dropping what was thrown throws again.
fn payload_panics() {
    struct Evil;
    impl Drop for Evil {
        fn drop(&mut self) {
            panic!("in the payload");
        }
    }
    zokor::init(Config { panic_policy: PanicPolicy::Report, ..Config::default() }).unwrap();
    zokor::run(|| {
        drop(zokor::go(|| panic_any(Evil)));
        zokor::sleep(Duration::from_secs(20));
        went_on();
    });
}

fn main_panics() {
    zokor::run(|| panic!("main itself"));
    went_on();
}

fn exit_with_parked() {
    zokor::run(|| {
        let (_tx, rx) = bounded::<()>(0);
        for _ in 0..1000 {
            let rx = rx.clone();
            zokor::go(move || {
                let _defer = Defer(MARK);
                let _ = rx.recv();
            });
        }
        wait_until(|| count_parked("chan receive") == 1000);
        std::process::exit(7);
    });
}

fn return_with_parked() {
    let (tx, rx) = bounded::<()>(0);
    zokor::run(|| {
        for _ in 0..100 {
            let rx = rx.clone();
            zokor::go(move || {
                let _defer = Defer(MARK);
                let _ = rx.recv();
            });
        }
        wait_until(|| count_parked("chan receive") == 100);
        zokor::go(|| loop {
            zokor::yield_now();
        });
    });
    std::mem::forget(tx);
}

#[test]
#[ignore = "what the children of the other tests run"]
fn program() {
    run_program(&[
        ("detached_panic", detached_panic),
        ("detached_panic_cannot_be_caught_elsewhere", detached_panic_cannot_be_caught_elsewhere),
        ("handle_dropped_after_the_panic", handle_dropped_after_the_panic),
        ("report_and_go_on", report_and_go_on),
        ("hook", hook),
        ("callback", callback),
        ("nested", nested),
        ("unshowable", unshowable),
        ("hook_panics", hook_panics),
        ("payload_panics", payload_panics),
        ("main_panics", main_panics),
        ("exit_with_parked", exit_with_parked),
        ("return_with_parked", return_with_parked),
    ]);
}

#[test]
fn p01_p02_an_uncaught_panic_ends_the_process_with_a_report() {
    let end = outcome_of("detached_panic", &[]);
    end.assert_aborted().assert_did_not_go_on();
    end.assert_err_has("panic: nobody joins me").assert_err_has("goroutine ").assert_err_has("\"unlucky\"");
    end.assert_err_has("panic.rs:");
    assert!(end.out.contains("its own destructor"), "{end:#?}");
    outcome_of("detached_panic_cannot_be_caught_elsewhere", &[]).assert_aborted().assert_did_not_go_on();
}

#[test]
fn p01_a_panic_whose_handle_was_kept_until_it_was_over_is_the_holders() {
    let end = outcome_of("handle_dropped_after_the_panic", &[]);
    end.assert_ok();
    assert!(end.out.contains("dropped"));
}

#[test]
fn p01_the_policy_may_be_to_report_and_go_on() {
    let end = outcome_of("report_and_go_on", &[]);
    end.assert_ok();
    assert!(end.out.contains("all the same"));
    for i in 0..3 {
        end.assert_err_has(&format!("panic: number {i}"));
    }
    let end = outcome_of("hook", &[]);
    end.assert_ok();
    assert!(end.out.contains("the hook was told"), "{end:#?}");
}

/// Go's TestRecursivePanic4 and its kin, as far as Rust lets panics nest.
#[test]
fn p07_nested_panics_are_reported_oldest_first() {
    let end = outcome_of("nested", &[]);
    end.assert_aborted().assert_did_not_go_on();
    let at = |text: &str| end.err.find(text).unwrap_or_else(|| panic!("no {text:?}: {end:#?}"));
    assert!(at("the first") < at("the second"), "{end:#?}");
}

/// Go's TestPanicLoop and TestPanicWhilePanicking.
#[test]
fn p08_a_panic_while_a_panic_is_reported_does_not_loop() {
    outcome_of("unshowable", &[]).assert_aborted().assert_did_not_go_on().assert_err_has("while it is shown");
    for (program, text) in [("hook_panics", "in the hook"), ("payload_panics", "in the payload")] {
        let end = outcome_of(program, &[]);
        end.assert_aborted().assert_did_not_go_on();
        end.assert_err_has(&format!("panic while printing panic value: {text}"));
    }
}

#[test]
fn p16_a_panic_in_a_callback_ends_the_process() {
    outcome_of("callback", &[]).assert_aborted().assert_did_not_go_on().assert_err_has("in a callback");
}

#[test]
fn p01_a_panic_of_main_goes_on_in_the_caller_of_run() {
    let end = outcome_of("main_panics", &[]);
    end.assert_did_not_go_on().assert_err_has("main itself");
    assert_eq!(end.status.code(), Some(101), "{end:#?}");
}

#[test]
fn p13_p14_the_end_of_the_process_waits_for_nobody() {
    let end = outcome_of("exit_with_parked", &[]);
    assert_eq!(end.status.code(), Some(7), "{end:#?}");
    end.assert_did_not_go_on();
    outcome_of("return_with_parked", &[]).assert_ok().assert_did_not_go_on();
}
