//! Once functions and values: rules O-01 to O-05.
//!
//! Go's scenarios (`sync/once_test.go`, `sync/oncefunc_test.go`) are written anew from what they check.

mod common;

use common::*;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use zokor::channel::bounded;
use zokor::go;
use zokor::raw::RawOnce;
use zokor::sync::{once_func, once_value, LazyLock, Once, OnceLock};

const ON: &str = "once";

/// What a call that panics threw, as text.
fn thrown<T>(f: impl FnOnce() -> T) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(f)).err()?;
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
}

#[test]
fn o01_hb08_one_runs_and_all_wait_for_its_end() {
    check(|| {
        let once = Arc::new(Once::new());
        let runs = Counter::default();
        let (go_on, wait) = bounded::<()>(0);
        let (o, r) = (once.clone(), runs.clone());
        let first = go_parked("chan receive", move || {
            o.call_once(|| {
                wait.recv().unwrap();
                r.add(1);
            });
        });
        let others: Vec<_> = (0..8)
            .map(|i| {
                let (o, r) = (once.clone(), runs.clone());
                go_parked(ON, move || {
                    o.call_once(|| {
                        r.add(100 + i);
                    });
                    assert_eq!(r.get(), 1, "it has run before anybody returns");
                })
            })
            .collect();
        assert!(!once.is_completed());
        go_on.send(()).unwrap();
        first.join().unwrap();
        for h in others {
            h.join().unwrap();
        }
        assert!(once.is_completed());
    });
}

#[test]
fn o01_many_race_for_the_first_call() {
    check(|| {
        for _ in 0..50 {
            let once = Arc::new(Once::new());
            let runs = Counter::default();
            let thread = {
                let (o, r) = (once.clone(), runs.clone());
                std::thread::spawn(move || {
                    o.call_once(|| {
                        r.add(1);
                    })
                })
            };
            let all: Vec<_> = (0..8)
                .map(|_| {
                    let (o, r) = (once.clone(), runs.clone());
                    go(move || {
                        o.call_once(|| {
                            r.add(1);
                        });
                        assert_eq!(r.get(), 1);
                    })
                })
                .collect();
            for h in all {
                h.join().unwrap();
            }
            thread.join().unwrap();
        }
    });
}

#[test]
fn o02_a_panic_counts_as_done() {
    check(|| {
        let once = Arc::new(Once::new());
        let (go_on, wait) = bounded::<()>(0);
        let o = once.clone();
        let first = go_parked("chan receive", move || {
            o.call_once(|| {
                wait.recv().unwrap();
                panic!("the first caller's");
            });
        });
        let o = once.clone();
        let waits = go_parked(ON, move || o.call_once(|| unreachable!("it has run")));
        go_on.send(()).unwrap();
        assert!(first.join().is_err());
        waits.join().unwrap();
        once.call_once(|| unreachable!("it has run"));
    });
}

#[test]
fn o03_goexit_counts_as_done() {
    check(|| {
        let once = Arc::new(Once::new());
        let o = once.clone();
        let ended = go(move || {
            o.call_once(|| zokor::goexit());
            unreachable!("the goroutine has ended");
        });
        assert!(ended.join().is_err());
        once.call_once(|| unreachable!("it has run"));
    });
}

fn recursive() {
    zokor::run(|| {
        let once = Once::new();
        once.call_once(|| once.call_once(went_on));
        went_on();
    });
}

#[test]
#[ignore = "what the children of the other tests run"]
fn program() {
    run_program(&[("recursive", recursive)]);
}

#[test]
fn o04_a_call_from_inside_waits_for_ever() {
    let end = outcome_of("recursive", &[]);
    end.assert_did_not_go_on().assert_err_has("deadlock!").assert_err_has("[once]");
}

#[test]
fn o05_a_once_lock_is_cloned_and_compared_by_its_value() {
    let (empty, one) = (OnceLock::new(), OnceLock::from(1));
    assert!(empty.clone() == empty && one.clone() == one && empty != one);
    let copy = one.clone();
    assert_eq!((copy.set(2), copy.get(), empty.clone().set(2), empty.get()), (Err(2), Some(&1), Ok(()), None));
}

#[test]
fn o05_a_once_value_is_made_once() {
    check(|| {
        let calls = Counter::default();
        let c = calls.clone();
        let value = Arc::new(once_value(move || c.add(1)));
        let all: Vec<_> = (0..8)
            .map(|_| {
                let value = value.clone();
                go(move || value())
            })
            .collect();
        for h in all {
            assert_eq!(h.join().unwrap(), 1);
        }
        assert_eq!((value(), calls.get()), (1, 1));
    });
}

#[test]
fn o05_every_call_panics_alike() {
    check(|| {
        let calls = Counter::default();
        let c = calls.clone();
        let f = once_func(move || {
            c.add(1);
            panic!("no value for you");
        });
        for _ in 0..3 {
            assert_eq!(thrown(&f).as_deref(), Some("no value for you"));
        }
        assert_eq!(calls.get(), 1);
    });
}

/// Who catches the panic finds the same value each time, if it is a text.
#[test]
fn o05_every_call_panics_with_the_same_value() {
    check(|| {
        let literal = once_func(|| panic!("a literal"));
        let text = once_func(|| panic!("a text with a {}", std::hint::black_box(1)));
        for _ in 0..3 {
            let payload = catch_unwind(AssertUnwindSafe(&literal)).unwrap_err();
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"a literal"));
            let payload = catch_unwind(AssertUnwindSafe(&text)).unwrap_err();
            assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("a text with a 1"));
        }
    });
}

#[test]
fn o05_every_call_exits_alike() {
    check(|| {
        let f = Arc::new(once_func(|| zokor::goexit()));
        for _ in 0..2 {
            let f = f.clone();
            let ended = go(move || {
                f();
                unreachable!("the goroutine has ended");
            });
            assert!(ended.join().is_err());
        }
    });
}

#[test]
fn o05_the_function_is_dropped_after_its_call() {
    check(|| {
        let ledger = Ledger::default();
        let held = ledger.value(1);
        let f = once_func(move || drop(held));
        assert_eq!(ledger.live(), 1);
        f();
        assert_eq!(ledger.live(), 0);
        f();
    });
}

#[test]
fn once_lock_keeps_what_was_set_first() {
    check(|| {
        let cell = OnceLock::new();
        assert_eq!(cell.get(), None);
        assert_eq!(cell.set(1), Ok(()));
        assert_eq!(cell.set(2), Err(2));
        assert_eq!(cell.get_or_init(|| 3), &1);
        let mut cell = cell;
        assert_eq!(cell.take(), Some(1));
        assert_eq!(cell.get(), None);
        assert_eq!(cell.into_inner(), None);
    });
}

#[test]
fn once_lock_tries_again_after_a_panic() {
    check(|| {
        let cell = Arc::new(OnceLock::new());
        let (go_on, wait) = bounded::<()>(0);
        let c = cell.clone();
        let fails = go_parked("chan receive", move || {
            c.get_or_init(|| {
                wait.recv().unwrap();
                panic!("not this time");
            });
        });
        let c = cell.clone();
        let next = go_parked(ON, move || *c.get_or_init(|| 5));
        go_on.send(()).unwrap();
        assert!(fails.join().is_err());
        assert_eq!(next.join().unwrap(), 5);
        assert_eq!(cell.get(), Some(&5));
    });
}

#[test]
fn lazy_lock_is_made_at_the_first_access() {
    check(|| {
        let calls = Counter::default();
        let c = calls.clone();
        let lazy = LazyLock::new(move || c.add(1));
        assert_eq!(calls.get(), 0);
        assert_eq!((*lazy, *lazy, calls.get()), (1, 1, 1));
        let fails: LazyLock<i32> = LazyLock::new(|| panic!("never made"));
        assert_eq!(thrown(|| *fails).as_deref(), Some("never made"));
        assert!(thrown(|| *fails).is_some_and(|t| t.contains("has panicked")));
    });
}

#[test]
fn raw_once_is_valid_when_zeroed_and_can_be_abandoned() {
    check(|| {
        // SAFETY: all zeros is a valid once; that is what is tested.
        let once: RawOnce = unsafe { std::mem::zeroed() };
        assert!(once.begin());
        once.abandon();
        assert!(!once.is_done() && once.begin());
        once.finish();
        assert!(once.is_done() && !once.begin());
    });
}
