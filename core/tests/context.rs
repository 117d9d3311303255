//! Contexts: rules of Go's semantics. (X-16 is about user-written contexts, which do not exist here.)
//!
//! Go's own scenarios (`context/x_test.go`, `context_test.go`, `afterfunc_test.go`) are written anew from what they check.

mod common;

use common::*;
use std::fmt;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use zokor::channel::{bounded, select, TryRecvError};
use zokor::context::{
    after_func, cause, merge, with_cancel, with_deadline, with_deadline_cause, with_timeout, with_timeout_cause,
    with_value, Context, ContextError, Key,
};
use zokor::{raw, Builder};

/// A cause that can be told from others.
#[derive(Debug, PartialEq)]
struct Why(&'static str);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Why {}

/// The text of a context's cause.
fn why(ctx: &Context) -> Option<String> {
    cause(ctx).map(|e| e.to_string())
}

fn is_done(ctx: &Context) -> bool {
    ctx.done().try_recv() == Err(TryRecvError::Disconnected)
}

const HOUR: Duration = Duration::from_secs(3600);

// ---- ends ---------------------------------------------------------------------------------------------------

/// Go's TestBackground.
#[test]
fn x01_the_background_never_ends() {
    check(|| {
        let root = Context::background();
        assert_eq!((root.err(), root.deadline(), why(&root)), (None, None, None));
        assert_eq!(root.done().try_recv(), Err(TryRecvError::Empty));
        assert!(root.done().recv_timeout(A_WHILE).is_err(), "nothing comes from it");
        assert!(!is_done(&root));
        static KEY: Key<i32> = Key::new();
        assert_eq!(root.value(&KEY), None);
        assert_eq!(Context::current().deadline(), None);
        let mut never = after_func(&root, || unreachable!("the background has not ended"));
        assert!(!never.stop(), "there is nothing to take back");
    });
}

/// Go's TestWithCancel and TestParentFinishesChild: values and deadlines in between change nothing.
#[test]
fn x02_cancel_has_reached_every_descendant_when_it_returns() {
    static KEY: Key<usize> = Key::new();
    check(|| {
        let (root, cancel) = with_cancel(&Context::background());
        let mut all = vec![root.clone()];
        let mut cancels = Vec::new();
        for i in 0..200 {
            let parent = &all[i / 2];
            let (ctx, c) = match i % 3 {
                0 => with_cancel(parent),
                1 => with_deadline(parent, Instant::now() + HOUR),
                _ => with_cancel(&with_value(parent, &KEY, i)),
            };
            all.push(ctx);
            cancels.push(c);
        }
        let (aside, _keep) = with_cancel(&Context::background());
        assert!(all.iter().all(|x| x.err().is_none() && x.done().try_recv() == Err(TryRecvError::Empty)));
        cancel.cancel();
        for (i, x) in all.iter().enumerate() {
            assert_eq!((x.err(), is_done(x)), (Some(ContextError::Canceled), true), "number {i}");
        }
        assert_eq!(aside.err(), None);
    });
}

#[test]
fn x02_cancel_reaches_a_deep_tree() {
    check(|| {
        let (root, cancel) = with_cancel(&Context::background());
        let mut chain = vec![root];
        for _ in 0..10_000 {
            let (next, _) = with_cancel(chain.last().unwrap());
            chain.push(next);
        }
        cancel.cancel();
        assert!(chain.iter().all(|x| x.err().is_some()) && is_done(&chain[10_000]));
        let deepest = chain.pop();
        drop(chain);
        drop(deepest); // with it goes the whole chain
    });
}

/// Also for whoever comes second: when its call returns, the first one's work is done as well.
#[test]
fn x02_whoever_cancels_second_finds_all_ended() {
    check_on(&[2, 8], || {
        for _ in 0..100 {
            let (root, cancel) = with_cancel(&Context::background());
            let (middle, cancel_middle) = with_cancel(&root);
            let leaves: Vec<_> = (0..30).map(|_| with_cancel(&with_cancel(&middle).0).0).collect();
            let start = Arc::new(Barrier::new(3));
            let threads: Vec<_> = [cancel_middle, cancel.clone(), cancel]
                .into_iter()
                .map(|c| {
                    let (leaves, start) = (leaves.clone(), start.clone());
                    std::thread::spawn(move || {
                        start.wait();
                        c.cancel();
                        assert!(leaves.iter().all(|x| x.err().is_some()), "it returned too early");
                    })
                })
                .collect();
            zokor::blocking(|| threads.into_iter().for_each(|t| t.join().unwrap()));
        }
    });
}

/// Whoever sees a child ended finds the parent ended.
#[test]
fn x03_a_context_is_done_before_its_children_are() {
    check(|| {
        for _ in 0..50 {
            let (root, cancel) = with_cancel(&Context::background());
            let watchers: Vec<_> = (0..4)
                .map(|_| {
                    let ((child, _), root) = (with_cancel(&root), root.clone());
                    let done = child.done();
                    let h = go_parked("chan receive", move || {
                        assert!(done.recv().is_err());
                        assert!(root.err().is_some() && is_done(&root), "the child was first");
                    });
                    (h, child)
                })
                .collect();
            let deep = watchers.last().map(|(_, x)| with_cancel(x).0).unwrap();
            let spin = std::thread::spawn({
                let (root, deep) = (root.clone(), deep.clone());
                move || {
                    while deep.err().is_none() {
                        std::hint::spin_loop();
                    }
                    assert!(root.err().is_some());
                }
            });
            cancel.cancel();
            for (h, _) in watchers {
                h.join().unwrap();
            }
            zokor::blocking(|| spin.join().unwrap());
        }
    });
}

/// Go's TestContextErrDoneRace.
#[test]
fn x04_an_error_means_that_done_is_closed() {
    check(|| {
        for i in 0..300 {
            let (ctx, cancel) = if i % 2 == 0 {
                with_cancel(&Context::background())
            } else {
                with_timeout(&Context::background(), Duration::from_micros(50))
            };
            let done = ctx.done();
            let other = std::thread::spawn(move || cancel.cancel());
            while ctx.err().is_none() {
                zokor::yield_now();
            }
            assert_eq!(done.try_recv(), Err(TryRecvError::Disconnected));
            zokor::blocking(|| other.join().unwrap());
        }
    });
}

/// Go's TestSimultaneousCancels, and TestCause for what is given later.
#[test]
fn x05_the_first_cancellation_wins() {
    check(|| {
        let (ctx, cancel) = with_cancel(&Context::background());
        cancel.cancel_cause(Why("first"));
        cancel.cancel_cause(Why("second"));
        cancel.cancel();
        assert_eq!((ctx.err(), why(&ctx).as_deref()), (Some(ContextError::Canceled), Some("first")));

        let (root, cancel_root) = with_cancel(&Context::background());
        let (seen, see) = bounded(100);
        let all: Vec<_> = (0..20)
            .map(|_| {
                let (ctx, cancel) = with_cancel(&root);
                let (again, seen, cancel_root) = (cancel.clone(), seen.clone(), cancel_root.clone());
                let done = ctx.done();
                zokor::go(move || {
                    cancel.cancel_cause(Why("own"));
                    cancel_root.cancel_cause(Why("root"));
                    again.cancel();
                    assert!(done.recv().is_err());
                    seen.send(why(&ctx).unwrap()).unwrap();
                })
            })
            .collect();
        for h in all {
            h.join().unwrap();
        }
        drop(seen);
        let causes: Vec<String> = see.iter().collect();
        assert_eq!(causes.len(), 20);
        assert!(causes.iter().all(|c| c == "own" || c == "root"));
        assert_eq!(why(&root).as_deref(), Some("root"));
    });
}

/// Ten thousand races of two causes: all who look afterwards agree on one of them.
#[test]
fn x05_causes_that_race_leave_one() {
    check_on(&[2, 8], || {
        for _ in 0..300 {
            let (ctx, cancel) = with_cancel(&Context::background());
            let (child, _) = with_cancel(&ctx);
            let both: Vec<_> = ["a", "b"]
                .map(|name| {
                    let (cancel, ctx, child) = (cancel.clone(), ctx.clone(), child.clone());
                    zokor::go(move || {
                        cancel.cancel_cause(Why(name));
                        (why(&ctx), child.err().is_some())
                    })
                })
                .into_iter()
                .map(|h| h.join().unwrap().0.unwrap())
                .collect();
            assert_eq!(both[0], both[1]);
            assert_eq!(why(&child).as_deref(), Some(both[0].as_str()));
        }
    });
}

#[test]
fn x06_the_error_is_one_of_two_and_the_cause_is_separate() {
    check(|| {
        let (ctx, cancel) = with_cancel(&Context::background());
        cancel.cancel_cause(Why("a reason"));
        let err = ctx.err().unwrap();
        assert_eq!(
            (err, err.is_timeout(), err.to_string().as_str()),
            (ContextError::Canceled, false, "context canceled")
        );
        assert_eq!(cause(&ctx).unwrap().downcast_ref::<Why>(), Some(&Why("a reason")));

        let (ctx, _cancel) = with_timeout(&Context::background(), Duration::ZERO);
        let err = ctx.err().unwrap();
        assert!(err.is_timeout() && err == ContextError::DeadlineExceeded);
        assert_eq!(err.to_string(), "context deadline exceeded");
    });
}

/// Go's TestCause.
#[test]
fn x07_the_cause_of_the_first_cancellation_on_the_path_is_kept() {
    check(|| {
        let (root, cancel_root) = with_cancel(&Context::background());
        let (first, cancel_first) = with_cancel(&root);
        let (below, _) = with_cancel(&first);
        let (second, _) = with_cancel(&root);
        assert_eq!(why(&first), None, "nothing before the end");
        cancel_first.cancel_cause(Why("the child's"));
        assert_eq!((root.err(), why(&root)), (None, None), "the parent is untouched");
        cancel_root.cancel_cause(Why("the parent's"));
        assert_eq!(why(&first).as_deref(), Some("the child's"));
        assert_eq!(why(&below).as_deref(), Some("the child's"));
        assert_eq!(why(&second).as_deref(), Some("the parent's"));
        assert_eq!(why(&root).as_deref(), Some("the parent's"));

        let (plain, cancel) = with_cancel(&Context::background());
        cancel.cancel();
        assert_eq!(cause(&plain).unwrap().downcast_ref(), Some(&ContextError::Canceled), "no cause: the error itself");
    });
}

/// Go's TestCause, the part about deadlines: their cause counts only if they fired.
#[test]
fn x08_a_timeouts_cause_counts_only_if_the_deadline_fired() {
    check(|| {
        let (ctx, cancel) = with_timeout_cause(&Context::background(), HOUR, Why("too slow"));
        let (other, cancel_other) = with_deadline_cause(&Context::background(), Instant::now() + HOUR, Why("too slow"));
        cancel.cancel();
        cancel_other.cancel_cause(Why("enough"));
        assert_eq!(ctx.err(), Some(ContextError::Canceled), "the deadline did not fire");
        assert_eq!(cause(&ctx).unwrap().downcast_ref(), Some(&ContextError::Canceled));
        assert_eq!(why(&other).as_deref(), Some("enough"));

        let (ctx, cancel) = with_timeout_cause(&Context::background(), Duration::from_millis(2), Why("too slow"));
        let (child, _c) = with_cancel(&ctx);
        assert!(child.done().recv().is_err());
        cancel.cancel_cause(Why("too late"));
        for x in [&ctx, &child] {
            assert_eq!((x.err(), why(x).as_deref()), (Some(ContextError::DeadlineExceeded), Some("too slow")));
        }
        let (past, _p) = with_deadline_cause(&Context::background(), Instant::now(), Why("past"));
        assert_eq!(why(&past).as_deref(), Some("past"));
        let (plain, _p) = with_timeout(&Context::background(), Duration::ZERO);
        assert_eq!(cause(&plain).unwrap().downcast_ref(), Some(&ContextError::DeadlineExceeded));

        // An earlier parent's deadline is the one that fires: its cause, not the child's.
        let (parent, _p) = with_timeout(&Context::background(), Duration::from_millis(2));
        let (child, _c) = with_timeout_cause(&parent, HOUR, Why("never"));
        assert!(child.done().recv().is_err());
        assert_eq!(cause(&child).unwrap().downcast_ref(), Some(&ContextError::DeadlineExceeded));
    });
}

#[test]
fn x09_the_earlier_deadline_holds() {
    check(|| {
        let (early, late) = (Instant::now() + HOUR, Instant::now() + 2 * HOUR);
        let armed = raw::stats().timers;
        let (parent, _p) = with_deadline(&Context::background(), early);
        assert_eq!(raw::stats().timers, armed + 1);
        let (longer, _l) = with_deadline(&parent, late);
        let (shorter, _s) = with_deadline(&longer, early - Duration::from_secs(1));
        let (none, _n) = with_cancel(&parent);
        assert_eq!((parent.deadline(), longer.deadline(), none.deadline()), (Some(early), Some(early), Some(early)));
        assert_eq!(shorter.deadline(), Some(early - Duration::from_secs(1)));
        assert_eq!(raw::stats().timers, armed + 2, "an earlier parent needs no timer of the child's");
    });
}

/// The earlier one of both parents, and without a timer of its own.
#[test]
fn x09_a_merged_context_has_the_earlier_deadline() {
    check(|| {
        let (root, early, late) = (Context::background(), Instant::now() + HOUR, Instant::now() + 2 * HOUR);
        let ((a, _a), (b, end_b)) = (with_deadline(&root, late), with_deadline(&root, early));
        let armed = raw::stats().timers;
        for (first, second) in [(&a, &b), (&b, &a), (&root, &b), (&b, &root), (&b, &b)] {
            let (m, _) = merge(first, second);
            assert_eq!(m.deadline(), Some(early));
            assert_eq!(with_timeout(&m, 3 * HOUR).0.deadline(), Some(early));
            assert_eq!(m.err(), None);
        }
        assert_eq!(merge(&root, &root).0.deadline(), None);
        assert_eq!(raw::stats().timers, armed);

        // What its parents' deadlines and causes are is theirs, and it keeps them as long as it waits for their ends.
        let (m, _) = {
            let (soon, _) = with_timeout_cause(&root, Duration::from_millis(2), Why("too late"));
            merge(&a, &soon)
        };
        assert!(m.done().recv().is_err());
        assert_eq!((m.err(), why(&m).as_deref()), (Some(ContextError::DeadlineExceeded), Some("too late")));
        let (m, _) = merge(&a, &with_cancel(&b).0);
        end_b.cancel_cause(Why("b's"));
        assert_eq!((m.err(), why(&m).as_deref()), (Some(ContextError::Canceled), Some("b's")));
    });
}

/// Go's TestDeadline.
#[test]
fn x10_a_deadline_in_the_past_is_done_on_return() {
    check(|| {
        for past in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(100)] {
            let (ctx, _cancel) = with_deadline(&Context::background(), Instant::now() - past);
            assert_eq!((ctx.err(), is_done(&ctx)), (Some(ContextError::DeadlineExceeded), true));
        }
        let (ctx, _cancel) = with_timeout(&Context::background(), Duration::from_millis(3));
        let until = ctx.deadline().unwrap();
        assert!(ctx.err().is_none() || Instant::now() >= until);
        assert!(ctx.done().recv().is_err());
        assert!(Instant::now() >= until, "not before its time");
        assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    });
}

#[test]
fn x11_a_childs_end_leaves_the_parent_alone() {
    check(|| {
        let (parent, _keep) = with_timeout(&Context::background(), HOUR);
        let (child, _c) = with_timeout(&parent, Duration::from_millis(2));
        let (sibling, _s) = with_cancel(&parent);
        assert!(child.done().recv().is_err());
        assert_eq!((parent.err(), sibling.err()), (None, None));
        assert_eq!(parent.done().try_recv(), Err(TryRecvError::Empty));
    });
}

/// Go's TestWithCancelCanceledParent.
#[test]
fn x12_a_child_of_an_ended_parent_is_born_ended() {
    check(|| {
        let (parent, cancel) = with_cancel(&Context::background());
        cancel.cancel_cause(Why("before"));
        let (child, _c) = with_cancel(&parent);
        let (timed, _t) = with_deadline(&parent, Instant::now() + HOUR);
        for x in [child, timed] {
            assert_eq!(
                (x.err(), is_done(&x), why(&x).as_deref()),
                (Some(ContextError::Canceled), true, Some("before"))
            );
        }
    });
}

/// Go's TestWithCancelSimultaneouslyCanceledParent: wherever the cancellation comes in, the child ends.
#[test]
fn x12_a_child_made_while_its_parent_ends_has_ended() {
    check(|| {
        for _ in 0..300 {
            let (parent, cancel) = with_cancel(&Context::background());
            let start = Arc::new(Barrier::new(2));
            let maker = std::thread::spawn({
                let (parent, start) = (parent.clone(), start.clone());
                move || {
                    start.wait();
                    with_cancel(&parent).0
                }
            });
            let child = zokor::blocking(|| {
                start.wait();
                cancel.cancel();
                maker.join().unwrap()
            });
            assert_eq!((child.err(), is_done(&child)), (Some(ContextError::Canceled), true));
        }
    });
}

// ---- values -------------------------------------------------------------------------------------------------

/// Go's TestValues. Keys are compared by identity, and a binding of nothing hides an outer one.
#[test]
fn x13_the_innermost_value_wins() {
    static ONE: Key<&str> = Key::new();
    static TWO: Key<&str> = Key::new();
    static MAYBE: Key<Option<u8>> = Key::new();
    check(|| {
        let c0 = Context::background();
        let c1 = with_value(&c0, &ONE, "one");
        let c2 = with_value(&c1, &TWO, "two");
        let c3 = with_value(&c2, &ONE, "inner");
        let (c4, _keep) = with_cancel(&c3);
        assert_eq!((c0.value(&ONE), c1.value(&ONE), c1.value(&TWO)), (None, Some(&"one"), None));
        assert_eq!((c2.value(&ONE), c2.value(&TWO)), (Some(&"one"), Some(&"two")));
        assert_eq!((c4.value(&ONE), c4.value(&TWO)), (Some(&"inner"), Some(&"two")));
        let some = with_value(&c4, &MAYBE, Some(1));
        let none = with_value(&some, &MAYBE, None);
        assert_eq!((some.value(&MAYBE), none.value(&MAYBE)), (Some(&Some(1)), Some(&None)));

        let ledger = Ledger::default();
        static OWNED: Key<Value> = Key::new();
        let owner = with_value(&c4, &OWNED, ledger.value(7));
        let (below, _b) = with_cancel(&owner);
        drop(owner);
        assert_eq!((below.value(&OWNED).unwrap().n, ledger.live()), (7, 1));
        drop((below, _b));
        assert_eq!(ledger.live(), 0, "a value goes with the last context that sees it");
    });
}

/// Go's TestWithoutCancel.
#[test]
fn x14_without_cancel_passes_values_only() {
    static KEY: Key<i32> = Key::new();
    check(|| {
        let (parent, cancel) = with_timeout(&with_value(&Context::background(), &KEY, 5), HOUR);
        let free = parent.without_cancel();
        assert_eq!((free.value(&KEY), free.deadline()), (Some(&5), None));
        cancel.cancel_cause(Why("not for everybody"));
        assert_eq!((free.err(), why(&free)), (None, None));
        assert_eq!(free.done().try_recv(), Err(TryRecvError::Empty));
        let (child, cancel_child) = with_cancel(&free);
        assert_eq!(child.err(), None);
        cancel_child.cancel();
        assert_eq!((child.err(), free.err()), (Some(ContextError::Canceled), None));
    });
}

// ---- functions ----------------------------------------------------------------------------------------------

/// Go's TestAfterFuncNotCalledAfterStop and its kin.
#[test]
fn x15_callbacks_run_in_goroutines_of_their_own() {
    check(|| {
        let (ctx, cancel) = with_cancel(&Context::background());
        let (tx, rx) = bounded(10);
        let me = zokor::goid();
        let mut all: Vec<_> = (0..3)
            .map(|i| {
                let tx = tx.clone();
                after_func(&ctx, move || {
                    assert!(zokor::goid() != 0 && zokor::goid() != me);
                    tx.send(i).unwrap();
                })
            })
            .collect();
        assert!(rx.recv_timeout(A_WHILE).is_err(), "not before the end");
        assert!(all[1].stop(), "taken back in time: it will not run");
        assert!(!all[1].stop(), "and no second time");
        cancel.cancel();
        let mut ran = vec![rx.recv().unwrap(), rx.recv().unwrap()];
        ran.sort_unstable();
        assert_eq!(ran, [0, 2]);
        assert!(!all[0].stop(), "it has started");
        let mut late = after_func(&ctx, move || tx.send(9).unwrap());
        assert_eq!(rx.recv(), Ok(9), "at once on a context that has ended");
        assert!(!late.stop());
        assert!(rx.recv().is_err(), "nobody is left who could send");
    });
}

#[test]
fn x15_cancel_does_not_wait_for_callbacks() {
    check(|| {
        let (ctx, cancel) = with_cancel(&Context::background());
        let (gate, opened) = bounded::<()>(0);
        let ended = Counter::default();
        let _f = after_func(&ctx, {
            let ended = ended.clone();
            move || {
                let _ = opened.recv();
                ended.add(1);
            }
        });
        cancel.cancel();
        assert_eq!(ended.get(), 0);
        wait_until(|| count_parked("chan receive") == 1);
        drop(gate);
        wait_until(|| ended.get() == 1);
    });
}

/// A callback that races with its stop runs if and only if stop said so.
#[test]
fn x15_stop_tells_whether_it_prevented_the_callback() {
    check_on(&[2, 8], || {
        let ran = Counter::default();
        let mut prevented = 0;
        const N: i64 = 300;
        for _ in 0..N {
            let (ctx, cancel) = with_cancel(&Context::background());
            let mut f = after_func(&ctx, {
                let ran = ran.clone();
                move || {
                    ran.add(1);
                }
            });
            let other = zokor::go(move || cancel.cancel());
            prevented += i64::from(f.stop());
            other.join().unwrap();
        }
        wait_until(|| ran.get() + prevented == N);
        assert!(raw::stats().goroutines >= 1);
    });
}

// ---- memory -------------------------------------------------------------------------------------------------

/// Go's XTestCancelRemoves: what ended is held by nobody, and its timer is gone.
#[test]
fn x17_cancelling_detaches_from_the_parent() {
    static KEY: Key<Value> = Key::new();
    check(|| {
        let ledger = Ledger::default();
        let (root, _keep) = with_cancel(&Context::background());
        let armed = raw::stats().timers;
        for i in 0..2000 {
            let (ctx, cancel) = with_timeout(&with_value(&root, &KEY, ledger.value(i)), HOUR);
            assert_eq!(raw::stats().timers, armed + 1);
            cancel.cancel();
            assert_eq!(raw::stats().timers, armed, "its timer is stopped");
            drop((ctx, cancel));
            assert_eq!(ledger.live(), 0, "the parent holds nothing of an ended child");
        }
        let hooks: Vec<_> = (0..100)
            .map(|_| {
                let held = ledger.value(0);
                let mut f = after_func(&root, move || drop(held));
                assert!(f.stop());
                f
            })
            .collect();
        assert_eq!(ledger.live(), 0, "a function that was taken back is dropped");
        drop(hooks);
    });
}

#[test]
fn x17_a_merged_context_lets_go_of_both() {
    check(|| {
        let ((a, cancel_a), (b, cancel_b)) = (with_cancel(&Context::background()), with_cancel(&Context::background()));
        let (m, _) = merge(&a, &b);
        cancel_b.cancel_cause(Why("b's"));
        assert_eq!((m.err(), why(&m).as_deref()), (Some(ContextError::Canceled), Some("b's")));
        assert_eq!(a.err(), None);
        let (c, cancel_c) = with_cancel(&Context::background());
        let (m, _) = merge(&a, &c);
        cancel_a.cancel();
        assert_eq!((m.err(), c.err()), (Some(ContextError::Canceled), None));
        cancel_c.cancel();
    });
}

/// Neither of the parents keeps anything of it, and it keeps nothing of them, once it has ended or gone.
#[test]
fn x17_a_merged_context_is_kept_by_nobody() {
    static KEY: Key<Value> = Key::new();
    check(|| {
        let ledger = Ledger::default();
        let (root, _keep) = with_cancel(&Context::background());
        for i in 0..1000 {
            let (a, b) = (with_value(&root, &KEY, ledger.value(i)), with_value(&root, &KEY, ledger.value(i)));
            let ((m, cancel), (gone, _)) = (merge(&a, &b), merge(&b, &a));
            drop(gone);
            drop(b);
            assert_eq!(ledger.live(), 2, "the second parent lives while the merged one may end with it");
            cancel.cancel();
            assert_eq!(ledger.live(), 1, "then it goes");
            drop((a, m, cancel));
            assert_eq!(ledger.live(), 0);
        }
    });
}

/// A long chain in which each ends with the one before, whichever parent that is, ends and goes without a long stack.
#[test]
fn x02_x17_long_chains_of_merged_contexts_end_and_go() {
    for (second, cancels) in [(true, true), (false, true), (true, false), (false, false)] {
        check(move || {
            let none = Context::background();
            let (root, cancel) = with_cancel(&none);
            let mut last = root.clone();
            for _ in 0..100_000 {
                last = if second { merge(&none, &last).0 } else { merge(&last, &none).0 };
            }
            if cancels {
                cancel.cancel_cause(Why("the root's"));
                assert_eq!(why(&last).as_deref(), Some("the root's"));
                assert!(is_done(&last));
            }
            drop(last);
            assert_eq!(root.err().is_some(), cancels);
        });
    }
}

/// Where many ways lead to a context, ending it does not take all of them.
#[test]
fn x02_x05_a_lattice_of_merged_contexts_ends_once() {
    check(|| {
        let (root, cancel) = with_cancel(&Context::background());
        let mut row = [root.clone(), root.clone()];
        for _ in 0..200 {
            row = [merge(&row[0], &row[1]).0, merge(&row[1], &row[0]).0];
        }
        let (kept, _keep) = with_cancel(&row[0]);
        let (tx, rx) = bounded(0);
        let waits = Builder::new().context(&kept).go(move || rx.recv()).unwrap();
        cancel.cancel_cause(Why("the root's"));
        assert_eq!((why(&row[1]).as_deref(), why(&kept).as_deref()), (Some("the root's"), Some("the root's")));
        assert!(waits.join().unwrap().is_err());
        drop::<zokor::channel::Sender<()>>(tx);
    });
}

/// Both parents end at once, while children are made: each ends once, and none is missed.
#[test]
fn x05_x12_both_parents_of_a_merged_context_end_at_once() {
    check(|| {
        for _ in 0..200 {
            let ((a, cancel_a), (b, cancel_b)) =
                (with_cancel(&Context::background()), with_cancel(&Context::background()));
            let makes = zokor::go(move || {
                let made: Vec<_> = (0..8).map(|_| merge(&a, &b).0).collect();
                (made, a, b)
            });
            let ends = zokor::go(move || cancel_a.cancel_cause(Why("a")));
            cancel_b.cancel_cause(Why("b"));
            ends.join().unwrap();
            let (made, a, b) = makes.join().unwrap();
            for m in made {
                assert!(m.err().is_some() && is_done(&m));
                assert!(["a", "b"].contains(&why(&m).unwrap().as_str()));
            }
            assert_eq!((why(&a).as_deref(), why(&b).as_deref()), (Some("a"), Some("b")));
        }
    });
}

#[test]
fn x18_done_is_one_channel_made_on_demand() {
    check(|| {
        let (ctx, cancel) = with_cancel(&Context::background());
        let (first, second, of_a_clone) = (ctx.done(), ctx.done(), ctx.clone().done());
        assert!(first.same_channel(&second) && first.same_channel(&of_a_clone));
        let (late, cancel_late) = with_cancel(&Context::background());
        cancel_late.cancel();
        assert!(is_done(&late), "also when it is first asked for after the end");
        assert!(late.done().same_channel(&late.done()));
        let (bound_to, first_of_all) = (ctx.clone(), ctx.done());
        let bound = Builder::new().context(&bound_to).go(move || {
            let again = Context::current().done();
            again.same_channel(&first_of_all) && again.same_channel(&Context::current().done())
        });
        assert!(bound.unwrap().join().unwrap(), "whatever way one comes to it");
        let both = zokor::go(move || {
            select! {
                recv(first) -> r => r.is_err(),
                default(Duration::from_secs(5)) => false,
            }
        });
        until_parked(&both, "select");
        cancel.cancel();
        assert!(both.join().unwrap());
    });
}

/// Nobody is interrupted: code that does not look goes on. What is bound to the context comes back from its waits, and has
/// done nothing.
/// In a section, and while it unwinds, a goroutine waits as its thread: the context ends those waits too.
#[test]
fn x19_cancellation_ends_waits_of_goroutines_that_keep_their_thread() {
    struct Waits<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Waits<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    // Outside of `run`, whose main would be held up by who keeps its thread.
    check_outside(|| {
        for round in 0..20 {
            let (ctx, cancel) = with_cancel(&Context::background());
            let (tx, rx) = bounded::<i32>(0);
            let (begun, begins) = bounded::<()>(2);
            let section = Builder::new().context(&ctx).go({
                let (rx, begun) = (rx.clone(), begun.clone());
                move || {
                    raw::block_begin();
                    begun.send(()).unwrap();
                    let received = rx.recv();
                    raw::block_end();
                    received.is_err() && rx.recv().is_err()
                }
            });
            let unwinds = Builder::new().context(&ctx).go(move || {
                let mut ended = false;
                let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let _waits = Waits(|| {
                        begun.send(()).unwrap();
                        ended = rx.recv_timeout(HOUR).is_err();
                    });
                    std::panic::resume_unwind(Box::new("on the way"));
                }));
                unwound.is_err() && ended
            });
            if round % 2 == 0 {
                for _ in 0..2 {
                    begins.recv().unwrap();
                }
            }
            cancel.cancel();
            if round % 2 == 0 {
                assert!(section.unwrap().join().unwrap() && unwinds.unwrap().join().unwrap());
            } else {
                // Cancelled before they said that they begin, they may not get to it.
                let _ = (section.unwrap().join(), unwinds.unwrap().join());
            }
            assert!(tx.try_send(1).is_err(), "nobody is left in the queue");
        }
    });
}

#[test]
fn x19_cancellation_ends_waits_of_bound_goroutines_and_nothing_else() {
    check(|| {
        let (ctx, cancel) = with_cancel(&Context::background());
        let (tx, rx) = bounded::<i32>(0);
        let unbound = go_parked("chan receive", {
            let (rx, _ctx) = (rx.clone(), ctx.clone());
            move || rx.recv()
        });
        let bound = Builder::new()
            .context(&ctx)
            .go({
                let rx = rx.clone();
                move || (rx.recv().is_err(), Context::current().err(), (0..1000).sum::<i32>())
            })
            .unwrap();
        until_parked(&bound, "chan receive");
        cancel.cancel();
        assert_eq!(bound.join().unwrap(), (true, Some(ContextError::Canceled), 499_500));
        assert!(is_parked(unbound.id(), "chan receive"), "only knows the context, is not bound to it");
        tx.send(4).unwrap();
        assert_eq!(unbound.join().unwrap(), Ok(4));
        let not_inherited = Builder::new().context(&ctx).go(|| zokor::go(|| Context::current().err()).join()).unwrap();
        assert!(not_inherited.join().is_ok());
    });
}
