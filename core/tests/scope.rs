//! Scopes: they end after their goroutines, a failure cancels the siblings, nothing is lost (with E-01, E-02, E-05, P-09, X-02).

mod common;

use common::*;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::channel::{bounded, RecvError};
use zokor::context::{self, Context, ContextError};
use zokor::{go, scope, try_scope, try_scope_until, Builder, Failure, Goexit, WaitGroup};

/// Panics without a word on standard error.
fn fail_with(what: &'static str) -> ! {
    resume_unwind(Box::new(what))
}

fn caught<R>(f: impl FnOnce() -> R) -> Option<String> {
    let p = catch_unwind(AssertUnwindSafe(f)).err()?;
    let text = p.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| p.downcast_ref::<String>().cloned())
}

// ---- scope ------------------------------------------------------------------------------------------------

#[test]
fn e02_x02_a_panic_cancels_the_siblings_of_a_scope() {
    check(|| {
        let (_tx, rx) = bounded::<()>(0);
        let came_back = AtomicUsize::new(0);
        let why = caught(|| {
            scope(|s| {
                for _ in 0..4 {
                    s.go(|| {
                        assert_eq!(rx.recv(), Err(RecvError));
                        assert_eq!(Context::current().err(), Some(ContextError::Canceled));
                        let cause = Context::current().cause().unwrap().to_string();
                        assert_eq!(cause, "a goroutine of the scope failed: boom");
                        came_back.fetch_add(1, Ordering::Relaxed);
                    });
                }
                s.go(|| {
                    wait_until(|| count_parked("chan receive") == 4);
                    fail_with("boom")
                });
            });
        });
        assert_eq!(why.as_deref(), Some("a scoped goroutine panicked"));
        assert_eq!(came_back.into_inner(), 4);
    });
}

#[test]
fn e02_siblings_come_back_while_the_handle_of_the_failed_one_is_alive() {
    check(|| {
        let (_tx, rx) = bounded::<()>(0);
        scope(|s| {
            let failing = s.go(|| fail_with("boom"));
            let waiting = s.go(|| rx.recv().is_err());
            assert!(waiting.join().unwrap());
            let thrown: Result<(), _> = failing.join();
            assert_eq!(thrown.unwrap_err().downcast_ref(), Some(&"boom"));
        });
    });
}

#[test]
fn a_panic_that_was_taken_is_dealt_with() {
    check(|| {
        let sum = scope(|s| {
            for round in 0..3 {
                assert!(s.go(|| fail_with("taken")).join().is_err());
                let (tx, rx) = bounded(0);
                let h = s.go(move || tx.send(round).is_ok());
                assert_eq!(rx.recv(), Ok(round), "what is started now is not bound to what has ended");
                assert!(h.join().unwrap());
            }
            assert_eq!(s.context().err(), None);
            42
        });
        assert_eq!(sum, 42);
    });
}

#[test]
fn x02_a_scope_that_was_cancelled_stays_so() {
    check(|| {
        let (_tx, rx) = bounded::<()>(0);
        scope(|s| {
            let a = s.go(|| rx.recv().is_err());
            wait_until(|| is_parked(a.id(), "chan receive"));
            s.cancel();
            assert!(a.join().unwrap());
            assert!(s.go(|| fail_with("taken")).join().is_err());
            assert!(s.go(|| rx.recv().is_err()).join().unwrap());
        });
    });
}

#[test]
fn x02_a_scope_ends_with_its_callers_context_but_not_before_its_goroutines() {
    check(|| {
        let (ctx, cancel) = context::with_cancel(&Context::background());
        let gate = Arc::new(WaitGroup::new());
        gate.add(1);
        let g = gate.clone();
        let owner = Builder::new()
            .context(&ctx)
            .go(move || {
                let (_tx, rx) = bounded::<()>(0);
                let (came_back, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
                scope(|s| {
                    s.go(|| came_back.fetch_add(usize::from(rx.recv().is_err()), Ordering::Relaxed));
                    s.go(|| {
                        g.wait(); // not cancelable
                        passed.fetch_add(1, Ordering::Relaxed)
                    });
                });
                (came_back.into_inner(), passed.into_inner())
            })
            .unwrap();
        until_parked(&owner, "scope");
        wait_until(|| count_parked("chan receive") == 1 && count_parked("wait group") == 1);
        cancel.cancel();
        wait_until(|| count_parked("chan receive") == 0);
        for _ in 0..20 {
            zokor::yield_now();
        }
        assert!(is_parked(owner.id(), "scope"), "it waits for the other one");
        gate.done();
        assert_eq!(owner.join().unwrap(), (1, 1));
    });
}

#[test]
fn what_a_panicking_owner_lent_outlives_its_borrowers() {
    check(|| {
        let (_tx, rx) = bounded::<()>(0);
        let ended = AtomicUsize::new(0);
        let why = caught(|| {
            let lent = vec![7; 100];
            scope(|s| {
                for _ in 0..5 {
                    s.go(|| {
                        assert!(rx.recv().is_err(), "the owner's panic cancels");
                        for _ in 0..10 {
                            zokor::yield_now();
                        }
                        ended.fetch_add(usize::from(lent.iter().sum::<i32>() == 700), Ordering::Relaxed);
                    });
                }
                wait_until(|| count_parked("chan receive") == 5);
                fail_with("the owner")
            })
        });
        assert_eq!(why.as_deref(), Some("the owner"));
        assert_eq!(ended.into_inner(), 5);
    });
}

#[test]
fn p09_an_owner_that_exits_waits_for_its_goroutines() {
    check(|| {
        let ended = Counter::default();
        let e = ended.clone();
        let owner = go(move || {
            let (_tx, rx) = bounded::<()>(0);
            scope(|s| {
                s.go(|| {
                    assert!(rx.recv().is_err());
                    zokor::yield_now();
                    e.add(1)
                });
                zokor::goexit()
            })
        });
        let thrown: Result<(), _> = owner.join();
        assert!(thrown.unwrap_err().is::<Goexit>());
        assert_eq!(ended.get(), 1);
    });
}

#[test]
fn p09_a_goroutine_that_exits_has_not_failed() {
    check(|| {
        let (tx, rx) = bounded::<i32>(0);
        scope(|s| {
            s.go(|| zokor::goexit());
            let h = s.go(|| {
                if rx.capacity() == Some(0) {
                    zokor::goexit();
                }
            });
            wait_until(|| h.is_finished());
            assert!(h.join().unwrap_err().is::<Goexit>());
            s.go(|| tx.send(5));
            assert_eq!(rx.recv(), Ok(5), "nobody was cancelled");
        });
    });
}

#[test]
fn a_result_that_panics_when_dropped_is_the_scopes_failure() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                fail_with("in drop");
            }
        }
    }
    check(|| {
        let why = caught(|| {
            scope(|s| {
                s.go(|| Bad);
                let kept = s.go(|| Bad);
                wait_until(|| kept.is_finished());
            });
        });
        assert_eq!(why.as_deref(), Some("a scoped goroutine panicked"));
    });
}

#[test]
fn scopes_nest_and_a_failure_ends_the_inner_one() {
    check(|| {
        let (tx, rx) = bounded::<i32>(0);
        let total = AtomicUsize::new(0);
        scope(|outer| {
            outer.go(|| {
                let why = caught(|| {
                    scope(|inner| {
                        inner.go(|| fail_with("inner"));
                        inner.go(|| total.fetch_add(usize::from(rx.recv().is_err()), Ordering::Relaxed));
                    });
                });
                assert!(why.is_some());
                assert_eq!(Context::current().err(), None, "the outer one goes on");
                tx.send(1).unwrap();
            });
            outer.go(|| {
                wait_until(|| total.load(Ordering::Relaxed) == 1);
                rx.recv().unwrap();
                // Goroutines of a scope start others in it.
                for _ in 0..10 {
                    outer.go(|| total.fetch_add(10, Ordering::Relaxed));
                }
            });
        });
        assert_eq!(total.into_inner(), 101);
    });
}

#[test]
fn scopes_belong_to_threads_and_to_migrating_goroutines_too() {
    check(|| {
        let run = || {
            let n = AtomicUsize::new(0);
            scope(|s| {
                for _ in 0..10 {
                    s.go(|| {
                        zokor::yield_now();
                        n.fetch_add(1, Ordering::Relaxed)
                    });
                }
            });
            n.into_inner()
        };
        let thread = std::thread::spawn(run);
        // SAFETY: nothing in it belongs to a thread.
        let migrating = unsafe { zokor::go_migrating(run) };
        assert_eq!(migrating.join().unwrap(), 10);
        assert_eq!(zokor::blocking(|| thread.join()).unwrap(), 10);
    });
}

#[test]
fn a_builder_gives_scoped_goroutines_names_and_values() {
    static WHO: context::Key<&str> = context::Key::new();
    check(|| {
        let own = context::with_value(&Context::background(), &WHO, "ann");
        let (_tx, rx) = bounded::<()>(0);
        scope(|s| {
            let h = Builder::new().name("borrower").context(&own).go_scoped(s, || {
                let who = Context::current().value(&WHO).copied();
                assert!(rx.recv().is_err());
                (zokor::current().name().map(str::to_owned), who)
            });
            let h = h.unwrap();
            wait_until(|| is_parked(h.id(), "chan receive"));
            s.cancel();
            assert_eq!(h.join().unwrap(), (Some("borrower".to_owned()), Some("ann")));
            let migrating = Builder::new().mobility(zokor::Mobility::Migrating).go_scoped(s, || ());
            assert_eq!(migrating.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
            assert!(Builder::new().stack_size(1).go_scoped(s, || ()).is_err());
        });
    });
}

// ---- scopes whose goroutines return results ---------------------------------------------------------------

#[test]
fn e05_the_results_of_a_scope_are_collected() {
    check(|| {
        let words = ["a", "bb", "ccc"];
        let sizes = try_scope(|s| {
            let all: Vec<_> = words.iter().map(|w| s.go(|| if w.is_empty() { Err(()) } else { Ok(w.len()) })).collect();
            Ok(all.into_iter().filter_map(|h| h.join()).collect::<Vec<_>>())
        });
        assert_eq!(sizes.unwrap(), [1, 2, 3]);
    });
}

#[test]
fn e01_e02_the_first_error_cancels_and_all_are_kept() {
    check(|| {
        let (_tx, rx) = bounded::<()>(0);
        let failed = try_scope(|s| {
            for i in 0..3 {
                let rx = &rx;
                s.go(move || rx.recv().map_err(|_| format!("cancelled {i}")));
            }
            wait_until(|| count_parked("chan receive") == 3);
            s.go::<_, ()>(|| Err("first".to_owned()));
            // The owner is bound as well: what it waits for comes back.
            rx.recv().map_err(|_| "owner".to_owned())
        })
        .unwrap_err();
        assert_eq!(failed.first().error().map(String::as_str), Some("first"));
        assert_eq!(failed.to_string(), "5 goroutines of the scope failed, first: first");
        let mut all: Vec<_> = failed.into_iter().map(Failure::into_error).collect();
        all.sort();
        assert_eq!(all, ["cancelled 0", "cancelled 1", "cancelled 2", "first", "owner"]);
        assert_eq!(Context::current().err(), None, "the owner is bound to what it was bound to before");
        assert!(zokor::go(|| ()).join().is_ok());
    });
}

#[test]
fn e02_a_panic_is_a_failure_like_an_error() {
    check(|| {
        let (_tx, rx) = bounded::<()>(0);
        let failed = try_scope(|s| {
            let waits = s.go(|| rx.recv());
            s.go::<_, ()>(|| fail_with("thrown"));
            assert_eq!(waits.join(), None, "it failed too");
            Ok(())
        })
        .unwrap_err();
        let [Failure::Panic(p), Failure::Error(RecvError)] = failed.failures() else { panic!("{failed:?}") };
        assert_eq!(p.downcast_ref(), Some(&"thrown"));
        assert_eq!(caught(|| failed.into_first()).as_deref(), Some("thrown"));
    });
}

#[test]
fn a_panicking_owner_of_fallible_goroutines_waits_and_keeps_its_panic() {
    check(|| {
        let (_tx, rx) = bounded::<()>(0);
        let lent = AtomicUsize::new(0);
        let why = caught(|| {
            try_scope::<_, (), RecvError>(|s| {
                s.go(|| {
                    let r = rx.recv();
                    lent.fetch_add(1, Ordering::Relaxed);
                    r
                });
                fail_with("the owner")
            })
        });
        assert_eq!(why.as_deref(), Some("the owner"));
        assert_eq!(lent.into_inner(), 1);
    });
}

#[test]
fn x09_a_scope_may_have_a_deadline() {
    check(|| {
        let (_tx, rx) = bounded::<()>(0);
        let soon = Instant::now() + Duration::from_millis(5);
        let failed = try_scope_until(soon, |s| {
            assert!(s.context().deadline().is_some());
            s.go(|| rx.recv());
            s.go(|| {
                while Context::current().err().is_none() {
                    zokor::yield_now();
                }
                Ok(())
            });
            Ok(())
        });
        assert_eq!(failed.unwrap_err().failures().len(), 1);
        assert!(Instant::now() >= soon);
        assert!(try_scope_until::<_, _, ()>(soon, |s| Ok(s.context().err())).unwrap().is_some(), "it has passed");
    });
}

#[test]
fn errors_and_results_may_borrow_and_are_dropped_before_the_scope_ends() {
    check(|| {
        let ledger = Ledger::default();
        let texts = [String::from("x"), String::from("y")];
        let failed = try_scope(|s| {
            for (i, t) in texts.iter().enumerate() {
                let l = &ledger;
                s.go(move || if i == 0 { Ok(l.value(0)) } else { Err((t.as_str(), l.value(1))) });
            }
            Ok(())
        });
        let failed = failed.unwrap_err();
        assert_eq!(failed.first().error().unwrap().0, "y");
        assert_eq!(ledger.live(), 1, "the error is ours, the result nobody took is gone");
        drop(failed);
        assert_eq!(ledger.live(), 0);
        caught(|| {
            try_scope::<_, (), Value>(|s| {
                s.go::<_, ()>(|| Err(ledger.value(2)));
                wait_until(|| s.failed() == 1);
                fail_with("owner")
            })
        });
        assert_eq!(ledger.live(), 0);
    });
}

#[test]
fn e02_no_failure_is_lost_among_many() {
    check(|| {
        let mut rng = Rng::fresh();
        let (_tx, rx) = bounded::<()>(0);
        let lots: Vec<usize> = (0..60).map(|_| rng.below(4)).collect();
        let ended = AtomicUsize::new(0);
        let result = try_scope(|s| {
            for (i, lot) in lots.iter().enumerate() {
                let (rx, ended) = (&rx, &ended);
                s.go(move || {
                    if lot % 2 == 0 {
                        zokor::yield_now();
                    }
                    ended.fetch_add(1, Ordering::Relaxed);
                    match lot {
                        0 | 1 => Ok(i),
                        2 => rx.recv().map(|()| i).map_err(|_| i),
                        _ => Err(i),
                    }
                });
            }
            s.go::<_, ()>(|| Err(1000));
            Ok(())
        });
        let failed = result.map(|()| 0).unwrap_err();
        let mut who: Vec<_> = failed.into_iter().map(Failure::into_error).collect();
        who.sort();
        let mut expected: Vec<_> = (0..60).filter(|i| lots[*i] >= 2).collect();
        expected.push(1000);
        assert_eq!(who, expected);
        assert_eq!(ended.into_inner(), 60);
    });
}
