//! Groups: rules E-01 to E-06 of Go's `errgroup`, and P-18.
//!
//! Go's own scenarios (`errgroup/errgroup_test.go`) are written anew from what they check.

mod common;

use common::*;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::channel::bounded;
use zokor::context::{with_cancel, Context, ContextError};
use zokor::group::Group;
use zokor::{Builder, Config, PanicPolicy, WaitGroup};

#[derive(Debug, PartialEq)]
struct Failed(usize);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {} failed", self.0)
    }
}

impl std::error::Error for Failed {}

/// Go's TestZeroGroup: the first error in order of time is the result; here the others can be asked for.
#[test]
fn e01_wait_returns_the_first_error_after_all_have_ended() {
    check(|| {
        assert_eq!(Group::<Failed>::new().wait(), Ok(()), "a group without members has ended");
        let g = Group::<Failed>::new();
        let ended = Counter::default();
        let (gates, members): (Vec<_>, Vec<_>) = (0..4).map(|_| bounded::<()>(0)).unzip();
        for (i, gate) in members.into_iter().enumerate() {
            let ended = ended.clone();
            assert!(g.go(move || {
                let open = gate.recv();
                ended.add(1);
                if i == 2 || open.is_err() {
                    Err(Failed(i))
                } else {
                    Ok(())
                }
            }));
        }
        gates[0].send(()).unwrap();
        gates[2].send(()).unwrap(); // fails, and so ends the waits of the other two
        let r = g.wait();
        assert_eq!(r, Err(Arc::new(Failed(2))));
        assert_eq!(ended.get(), 4, "wait is for all of them");
        let mut others: Vec<usize> = g.errors().iter().map(|e| e.0).collect();
        assert_eq!(others.remove(0), 2, "the first comes first");
        others.sort_unstable();
        assert_eq!(others, [1, 3]);
        assert_eq!(g.wait(), Err(Arc::new(Failed(2))), "and again");
    });
}

/// Go's TestWithContext and TestCancelCause.
#[test]
fn e02_the_first_error_cancels_the_others() {
    check(|| {
        let (parent, _keep) = with_cancel(&Context::background());
        let g = Group::<Failed>::with_context(&parent);
        let ctx = g.context();
        let (_tx, rx) = bounded::<()>(0);
        for _ in 0..5 {
            let rx = rx.clone();
            g.go(move || {
                assert!(rx.recv().is_err(), "ends with the context");
                assert_eq!(Context::current().err(), Some(ContextError::Canceled));
                Ok(())
            });
        }
        wait_until(|| count_parked("chan receive") == 5);
        assert_eq!(ctx.err(), None);
        g.go(|| Err(Failed(9)));
        assert_eq!(g.wait(), Err(Arc::new(Failed(9))));
        assert_eq!(ctx.cause().unwrap().downcast_ref(), Some(&Failed(9)));
        assert_eq!(parent.err(), None, "the parent is left alone");

        let g = Group::<Failed>::new();
        let ctx = g.context();
        g.go(|| Ok(()));
        assert_eq!(ctx.err(), None);
        assert_eq!(g.wait(), Ok(()));
        assert_eq!(ctx.err(), Some(ContextError::Canceled), "the context ends when wait returns");
        assert_eq!(ctx.cause().unwrap().downcast_ref(), Some(&ContextError::Canceled));
    });
}

/// Go's TestGoLimit: never more than the limit, for each limit.
#[test]
fn e03_the_limit_bounds_the_members() {
    check(|| {
        for limit in [1, 3, 10] {
            let g = Group::<Failed>::new();
            g.set_limit(Some(limit));
            let (inside, most) = (Counter::default(), Counter::default());
            for _ in 0..200 {
                let (inside, most) = (inside.clone(), most.clone());
                assert!(g.go(move || {
                    let n = inside.add(1);
                    assert!(n <= limit as i64, "{n} of {limit}");
                    if n > most.get() {
                        most.add(n - most.get());
                    }
                    zokor::yield_now();
                    inside.add(-1);
                    Ok(())
                }));
            }
            assert_eq!(g.wait(), Ok(()));
            assert!(most.get() >= 1);
        }
    });
}

/// Go's TestTryGo.
#[test]
fn e03_a_try_is_refused_at_the_limit() {
    check(|| {
        let g = Group::<Failed>::new();
        g.set_limit(Some(3));
        let (gate, opened) = bounded::<()>(0);
        for _ in 0..3 {
            let opened = opened.clone();
            assert!(g.try_go(move || {
                let _ = opened.recv();
                Ok(())
            }));
        }
        assert!(!g.try_go(|| unreachable!("there is no place")));
        let next = go_parked("group", {
            let g = Arc::new(g);
            let again = g.clone();
            move || {
                assert!(g.go(|| Ok(())), "a place came free");
                again.wait()
            }
        });
        drop(gate);
        assert_eq!(next.join().unwrap(), Ok(()));

        let none = Group::<Failed>::new();
        none.set_limit(Some(0));
        assert!(!none.try_go(|| unreachable!("nobody starts")));
        none.set_limit(None);
        for _ in 0..50 {
            assert!(none.try_go(|| Ok(())));
        }
        assert_eq!(none.wait(), Ok(()));
    });
}

#[test]
fn e03_the_limit_cannot_change_while_members_run() {
    check(|| {
        let g = Group::<Failed>::new();
        let (gate, opened) = bounded::<()>(0);
        g.go(move || {
            let _ = opened.recv();
            Ok(())
        });
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| g.set_limit(Some(2))));
        let text = *changed.unwrap_err().downcast::<&str>().unwrap();
        assert!(text.contains("while members are running"), "{text}");
        drop(gate);
        assert_eq!(g.wait(), Ok(()));
        g.set_limit(Some(2));
    });
}

/// Whoever waits for a place waits also while the group's context has ended; only its own context ends its wait.
#[test]
fn e04_a_launch_blocked_on_the_limit_ignores_the_groups_cancellation() {
    check(|| {
        let (parent, cancel) = with_cancel(&Context::background());
        let g = Arc::new(Group::<Failed>::with_context(&parent));
        g.set_limit(Some(1));
        let (release, held) = bounded::<()>(0);
        g.go(move || {
            // Not through a wait that the context would end.
            while held.try_recv() != Err(zokor::channel::TryRecvError::Disconnected) {
                zokor::yield_now();
            }
            Ok(())
        });
        let launch = go_parked("group", {
            let g = g.clone();
            move || g.go(|| Ok(()))
        });
        let (own, cancel_own) = with_cancel(&Context::background());
        let bound = Builder::new()
            .context(&own)
            .go({
                let g = g.clone();
                move || g.go(|| unreachable!("its launcher gave up"))
            })
            .unwrap();
        until_parked(&bound, "group");
        cancel.cancel();
        assert!(g.context().err().is_some());
        assert!(is_parked(launch.id(), "group") && is_parked(bound.id(), "group"), "they wait on");
        cancel_own.cancel();
        assert!(!bound.join().unwrap(), "extended: the launcher's own context ends its wait, and nothing starts");
        drop(release);
        assert!(launch.join().unwrap());
        assert_eq!(g.wait(), Ok(()));
    });
}

/// Extended: all errors are kept, in the order in which they came, and a wait may have a deadline.
#[test]
fn e05_all_errors_are_kept() {
    check(|| {
        let g = Group::<Failed>::new();
        g.set_limit(Some(1)); // one after the other
        for i in 0..20 {
            g.go(move || if i % 2 == 0 { Err(Failed(i)) } else { Ok(()) });
        }
        assert_eq!(g.wait(), Err(Arc::new(Failed(0))));
        let all: Vec<usize> = g.errors().iter().map(|e| e.0).collect();
        assert_eq!(all, (0..20).step_by(2).collect::<Vec<_>>());

        let g = Group::<Failed>::new();
        let (gate, opened) = bounded::<()>(0);
        g.go(move || {
            let _ = opened.recv();
            Err(Failed(3))
        });
        let until = Instant::now() + Duration::from_millis(5);
        assert_eq!(g.wait_until(until), None, "members are left");
        assert!(Instant::now() >= until);
        drop(gate);
        assert_eq!(g.wait_until(soon()), Some(Err(Arc::new(Failed(3)))));
    });
}

/// Extended: results are collected, in the order of the starts.
#[test]
fn e05_results_are_collected() {
    check(|| {
        let g = Group::<Failed, String>::collecting();
        g.set_limit(Some(3));
        let (gate, opened) = bounded::<()>(0);
        g.go(move || {
            let _ = opened.recv();
            Ok("late".to_owned())
        });
        for i in 1..20 {
            g.go(move || {
                if i % 3 == 0 {
                    zokor::yield_now();
                }
                Ok(i.to_string())
            });
        }
        drop(gate);
        let all = g.wait_results().unwrap();
        assert_eq!(all[0], "late", "it was started first");
        assert_eq!(all[1..], (1..20).map(|i: i32| i.to_string()).collect::<Vec<_>>());
        assert!(g.results().is_empty(), "they were taken");

        let g = Group::<Failed, usize>::collecting();
        g.set_limit(Some(1));
        for i in 0..6 {
            g.go(move || if i == 3 { Err(Failed(i)) } else { Ok(i) });
        }
        assert_eq!(g.wait_results(), Err(Arc::new(Failed(3))));
        assert_eq!(g.results(), [0, 1, 2, 4, 5], "those of the others are there all the same");
    });
}

#[test]
fn e04_a_launch_may_have_a_deadline() {
    check(|| {
        let g = Group::<Failed>::new();
        g.set_limit(Some(1));
        let (gate, opened) = bounded::<()>(0);
        g.go(move || {
            let _ = opened.recv();
            Ok(())
        });
        let until = Instant::now() + Duration::from_millis(5);
        let late = g.go_until(until, || unreachable!("there was no place"));
        assert_eq!(late, Err(zokor::sync::WaitError::TimedOut));
        assert!(Instant::now() >= until);
        drop(gate);
        assert_eq!(g.go_until(soon(), || Ok(())), Ok(()));
        assert_eq!(g.wait(), Ok(()));
    });
}

#[test]
fn x02_a_wait_ends_the_group_with_its_callers_context() {
    check(|| {
        let (own, cancel) = with_cancel(&Context::background());
        let (_tx, rx) = bounded::<()>(0);
        let h = Builder::new()
            .context(&own)
            .go(move || {
                let g = Group::<Failed>::with_context(&Context::background());
                g.go(move || rx.recv().map_err(|_| Failed(1)));
                let until = g.wait_until(soon());
                (until, g.wait())
            })
            .unwrap();
        until_parked(&h, "group");
        cancel.cancel();
        assert_eq!(h.join().unwrap(), (None, Err(Arc::new(Failed(1)))));
    });
}

#[test]
fn a_member_that_exits_has_no_error_and_gives_its_place_back() {
    check(|| {
        let g = Group::<Failed>::new();
        g.set_limit(Some(1));
        for _ in 0..10 {
            g.go(|| zokor::goexit());
        }
        assert_eq!(g.wait(), Ok(()));
    });
}

// ---- panics -------------------------------------------------------------------------------------------------

fn group_panics() {
    zokor::workers(8).unwrap();
    zokor::run(|| {
        let g = Group::<Failed>::new();
        g.go(|| panic!("in a member of a group"));
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| g.wait()));
        went_on();
    });
}

fn wait_group_panics() {
    zokor::workers(8).unwrap();
    zokor::run(|| {
        let wg = Arc::new(WaitGroup::new());
        wg.go(|| panic!("in a member of a wait group"));
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wg.wait()));
        went_on();
    });
}

fn reported_and_released() {
    zokor::init(Config { panic_policy: PanicPolicy::Report, ..Config::default() }).unwrap();
    zokor::run(|| {
        let wg = Arc::new(WaitGroup::new());
        wg.go(|| panic!("one"));
        wg.wait();
        let g = Group::<Failed>::new();
        g.set_limit(Some(1));
        let (_tx, rx) = bounded::<()>(0);
        g.go(|| panic!("two"));
        g.go(move || {
            assert!(rx.recv().is_err(), "a panic cancels like an error");
            Ok(())
        });
        assert_eq!((g.wait(), g.panicked()), (Ok(()), 1));
        assert_eq!(g.context().cause().unwrap().to_string(), "a member of the group panicked");
        println!("both came back");
    });
}

#[test]
#[ignore = "what the children of the other tests run"]
fn program() {
    run_program(&[
        ("group_panics", group_panics),
        ("wait_group_panics", wait_group_panics),
        ("reported_and_released", reported_and_released),
    ]);
}

/// The process dies with the panic, and wait has not returned before. Several times: it is a race for whoever gets it wrong.
#[test]
fn e06_p18_a_group_does_not_contain_panics() {
    for _ in 0..10 {
        let end = outcome_of("group_panics", &[]);
        end.assert_aborted().assert_did_not_go_on().assert_err_has("panic: in a member of a group");
    }
}

/// Go's TestIssue76126.
#[test]
fn p18_wg07_a_wait_group_does_not_contain_panics() {
    for _ in 0..10 {
        let end = outcome_of("wait_group_panics", &[]);
        end.assert_aborted().assert_did_not_go_on().assert_err_has("panic: in a member of a wait group");
    }
}

/// Where the policy lets the rest go on, the member counts as ended after its report.
#[test]
fn e06_a_reported_panic_ends_the_member() {
    let end = outcome_of("reported_and_released", &[]);
    end.assert_ok().assert_err_has("panic: one").assert_err_has("panic: two");
    assert!(end.out.contains("both came back"), "{end:#?}");
}
