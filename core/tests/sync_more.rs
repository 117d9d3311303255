//! Pool (PL-01), Map (MP-01, MP-02) and singleflight (SF-01 to SF-04).

mod common;

use common::*;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::channel::bounded;
use zokor::context::{with_cancel, with_value, Context};
use zokor::sync::singleflight::Group;
use zokor::sync::{Map, Pool, WaitError};
use zokor::{go, Builder};

// ---- pool ---------------------------------------------------------------------------------------------

#[test]
fn pl01_get_returns_what_was_put_or_a_new_one() {
    check(|| {
        let made = Arc::new(AtomicUsize::new(0));
        let m = made.clone();
        let pool = Pool::new(move || m.fetch_add(1, Ordering::Relaxed));
        assert_eq!(pool.pooled(), None);
        assert_eq!((pool.get(), pool.get()), (0, 1));
        pool.put(7);
        pool.put(8);
        let mut two = [pool.get(), pool.get()];
        two.sort();
        assert_eq!(two, [7, 8]);
        assert_eq!((pool.get(), made.load(Ordering::Relaxed)), (2, 3));
    });
}

#[test]
fn pl01_what_is_on_loan_goes_back() {
    check(|| {
        let pool = Pool::new(|| vec![0u8; 4]);
        pool.take()[0] = 9;
        assert_eq!(pool.pooled(), Some(vec![9, 0, 0, 0]));
        let kept = pool.take().keep();
        assert_eq!((kept, pool.pooled()), (vec![0; 4], None));
    });
}

/// A destructor that panics keeps no other object from its own.
#[test]
fn pl01_idle_objects_go_also_if_destructors_panic() {
    struct Bomb(Counter);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.add(1);
            panic!("bang");
        }
    }
    check(|| {
        let gone = Counter::default();
        for dropped in [false, true] {
            let made = gone.clone();
            let pool = Pool::new(move || Bomb(made.clone()));
            for _ in 0..5 {
                pool.put(Bomb(gone.clone()));
            }
            let bang = catch_unwind(AssertUnwindSafe(|| if dropped { drop(pool) } else { pool.clear() }));
            assert_eq!(bang.unwrap_err().downcast_ref::<&str>(), Some(&"bang"));
        }
        assert_eq!(gone.get(), 10);
    });
}

#[test]
fn pl01_hb10_every_object_has_one_owner() {
    check(|| {
        let ledger = Ledger::default();
        let l = ledger.clone();
        let pool = Arc::new(Pool::new(move || (l.value(0), 0u32)));
        let all: Vec<_> = (0..8)
            .map(|_| {
                let pool = pool.clone();
                go(move || {
                    for _ in 0..200 {
                        let mut object = pool.take();
                        object.1 += 1;
                        let before = object.1;
                        zokor::yield_now();
                        assert_eq!(object.1, before, "nobody else has it");
                    }
                })
            })
            .collect();
        for h in all {
            h.join().unwrap();
        }
        assert!(ledger.made() <= 8, "{} for eight users", ledger.made());
        assert_eq!(ledger.live(), ledger.made());
        pool.clear();
        assert_eq!(ledger.live(), 0);
    });
}

// ---- map ----------------------------------------------------------------------------------------------

#[test]
fn mp01_the_operations_agree_with_a_locked_map() {
    check(|| {
        let map = Map::new();
        let mut model = std::collections::HashMap::new();
        let mut rng = Rng::fresh();
        for _ in 0..2000 {
            let (k, v, w) = (rng.below(20), rng.below(5), rng.below(5));
            match rng.below(8) {
                0 => assert_eq!(map.load(&k), model.get(&k).copied()),
                1 => {
                    map.store(k, v);
                    model.insert(k, v);
                }
                2 => {
                    let there = model.get(&k).copied();
                    model.entry(k).or_insert(v);
                    assert_eq!(map.load_or_store(k, v), (there.unwrap_or(v), there.is_some()));
                }
                3 => assert_eq!(map.load_and_delete(&k), model.remove(&k)),
                4 => assert_eq!(map.swap(k, v), model.insert(k, v)),
                5 => {
                    let swaps = model.get(&k) == Some(&v);
                    if swaps {
                        model.insert(k, w);
                    }
                    assert_eq!(map.compare_and_swap(k, &v, w), swaps);
                }
                6 => {
                    let deletes = model.get(&k) == Some(&v);
                    if deletes {
                        model.remove(&k);
                    }
                    assert_eq!(map.compare_and_delete(&k, &v), deletes);
                }
                _ => {
                    assert_eq!((map.len(), map.contains_key(&k)), (model.len(), model.contains_key(&k)));
                }
            }
        }
        map.clear();
        assert!(map.is_empty());
    });
}

#[test]
fn mp01_one_of_many_stores_wins() {
    check(|| {
        let map = Arc::new(Map::new());
        let all: Vec<_> = (0..8)
            .map(|i| {
                let map = map.clone();
                go(move || (0..100).map(|k| map.load_or_store(k, i)).collect::<Vec<_>>())
            })
            .collect();
        let all: Vec<_> = all.into_iter().map(|h| h.join().unwrap()).collect();
        for k in 0..100 {
            let winner = map.load(&k).unwrap();
            assert!(all.iter().all(|r| r[k].0 == winner));
            assert_eq!(all.iter().filter(|r| !r[k].1).count(), 1);
        }
    });
}

#[test]
fn mp02_range_visits_no_key_twice_and_lets_the_map_be_changed() {
    check(|| {
        let map = Arc::new(Map::new());
        for k in 0..200 {
            map.store(k, k);
        }
        let m = map.clone();
        let changes = go(move || {
            for k in 0..400 {
                m.store(k, 1000 + k);
                if k % 8 == 0 {
                    zokor::yield_now();
                }
            }
        });
        let mut seen = vec![0; 400];
        map.range(|k, v| {
            seen[*k] += 1;
            assert!(v == k || *v == 1000 + k);
            map.store(*k, 1000 + k);
            map.delete(&(k + 1000));
            zokor::yield_now();
            true
        });
        assert!(seen.iter().all(|n| *n <= 1));
        assert!(seen[..200].iter().all(|n| *n == 1), "what is there all the time comes");
        changes.join().unwrap();
        let mut n = 0;
        map.range(|_, _| {
            n += 1;
            n < 10
        });
        assert_eq!(n, 10, "false stops");
    });
}

// ---- singleflight -------------------------------------------------------------------------------------

#[test]
fn sf01_one_call_for_all_who_ask_meanwhile() {
    check(|| {
        let group = Arc::new(Group::new());
        let calls = Counter::default();
        let (go_on, wait) = bounded::<()>(0);
        let (g, c) = (group.clone(), calls.clone());
        let first = go_parked("chan receive", move || {
            g.call("k", || {
                wait.recv().unwrap();
                c.add(1)
            })
        });
        let others: Vec<_> = (0..5)
            .map(|_| {
                let (g, c) = (group.clone(), calls.clone());
                go_parked("singleflight", move || g.call("k", || c.add(100)))
            })
            .collect();
        assert_eq!(group.call("other", || 0), (0, false), "another key is in nobody's way");
        go_on.send(()).unwrap();
        assert_eq!(first.join().unwrap(), (1, true));
        for h in others {
            assert_eq!(h.join().unwrap(), (1, true));
        }
        assert_eq!(group.call("k", || calls.add(1)), (2, false), "the next one runs again");
    });
}

#[test]
fn sf02_forget_lets_the_next_call_run_and_is_not_undone() {
    check(|| {
        let group = Arc::new(Group::new());
        let (go_on, wait) = bounded::<()>(0);
        let (go_on2, wait2) = bounded::<()>(0);
        let g = group.clone();
        let first = go_parked("chan receive", move || g.call("k", || wait.recv().map_or(0, |()| 1)));
        group.forget(&"k");
        let g = group.clone();
        let second = go_parked("chan receive", move || g.call("k", || wait2.recv().map_or(0, |()| 2)));
        go_on.send(()).unwrap();
        assert_eq!(first.join().unwrap(), (1, false));
        // The end of the first has not removed the entry of the second.
        let g = group.clone();
        let third = go_parked("singleflight", move || g.call("k", || 3));
        go_on2.send(()).unwrap();
        assert_eq!(second.join().unwrap(), (2, true));
        assert_eq!(third.join().unwrap(), (2, true));
    });
}

#[test]
fn sf03_a_panic_reaches_every_caller() {
    check(|| {
        let group = Arc::new(Group::<&str, ()>::new());
        let (go_on, wait) = bounded::<()>(0);
        let g = group.clone();
        let first = go_parked("chan receive", move || {
            g.call("k", || {
                wait.recv().unwrap();
                panic!("shared by all");
            })
        });
        let g = group.clone();
        let other = go_parked("singleflight", move || {
            let thrown = catch_unwind(AssertUnwindSafe(|| g.call("k", || ()))).unwrap_err();
            thrown.downcast_ref::<String>().cloned()
        });
        go_on.send(()).unwrap();
        assert!(first.join().is_err());
        assert_eq!(other.join().unwrap().as_deref(), Some("shared by all"));
        assert_eq!(group.call("k", || ()), ((), false));
    });
}

#[test]
fn sf04_goexit_ends_every_caller() {
    check(|| {
        let group = Arc::new(Group::<&str, ()>::new());
        let (go_on, wait) = bounded::<()>(0);
        let g = group.clone();
        let first = go_parked("chan receive", move || {
            g.call("k", || {
                wait.recv().unwrap();
                zokor::goexit();
            });
            unreachable!("the goroutine has ended");
        });
        let g = group.clone();
        let other = go_parked("singleflight", move || {
            g.call("k", || ());
            unreachable!("the goroutine has ended");
        });
        go_on.send(()).unwrap();
        assert!(first.join().is_err());
        assert!(other.join().is_err());
    });
}

#[test]
fn sf01_a_channel_brings_the_shared_result() {
    check(|| {
        let group = Arc::new(Group::new());
        let calls = Counter::default();
        let (go_on, wait) = bounded::<()>(0);
        let c = calls.clone();
        let first = group.call_chan("k", move || {
            wait.recv().unwrap();
            c.add(1)
        });
        wait_until(|| count_parked("chan receive") == 1);
        let second = group.call_chan("k", || unreachable!("one is in flight"));
        let g = group.clone();
        let third = go_parked("singleflight", move || g.call("k", || unreachable!("one is in flight")));
        drop(group.call_chan("k", || unreachable!("one is in flight"))); // wants nothing
        assert!(first.try_recv().is_err());
        go_on.send(()).unwrap();
        assert_eq!((first.recv(), second.recv()), (Ok((1, true)), Ok((1, true))));
        assert_eq!(third.join().unwrap(), (1, true));
        assert!(first.recv().is_err(), "one value, and closed");
        let c = calls.clone();
        assert_eq!(group.call_chan("k", move || c.add(1)).recv(), Ok((2, false)), "the next one runs again");
    });
}

#[test]
fn sf01_who_gives_up_leaves_the_run_alone() {
    check(|| {
        let group = Arc::new(Group::new());
        let (go_on, wait) = bounded::<()>(0);
        let until = Instant::now() + Duration::from_millis(5);
        let late = group.call_until("k", until, move || wait.recv().is_ok());
        assert_eq!(late, Err(WaitError::TimedOut));
        assert!(Instant::now() >= until);
        // The run goes on, for those who come later; also for those who give up in their turn.
        let (ctx, cancel) = with_cancel(&Context::background());
        let g = group.clone();
        let bound = Builder::new().context(&ctx).go(move || {
            let gave_up = g.call_cancelable("k", || unreachable!("one is in flight"));
            (gave_up, g.call_cancelable("k", || unreachable!("the context has ended")))
        });
        let bound = bound.unwrap();
        until_parked(&bound, "singleflight");
        let g = group.clone();
        let patient = go_parked("singleflight", move || g.call_until("k", soon(), || unreachable!("one is in flight")));
        cancel.cancel();
        assert_eq!(bound.join().unwrap(), (Err(WaitError::Cancelled), Err(WaitError::Cancelled)));
        go_on.send(()).unwrap();
        assert_eq!(patient.join().unwrap(), Ok((true, true)));
        assert_eq!(group.call("k", || false), (false, false));
    });
}

#[test]
fn sf01_a_run_is_not_bound_to_the_context_of_the_one_who_asked() {
    static WHO: zokor::context::Key<&str> = zokor::context::Key::new();
    check(|| {
        let group = Arc::new(Group::new());
        let (ctx, cancel) = with_cancel(&with_value(&Context::background(), &WHO, "ann"));
        let (go_on, wait) = bounded::<()>(0);
        let g = group.clone();
        let asks = Builder::new()
            .context(&ctx)
            .go(move || g.call_cancelable("k", move || (wait.recv().is_ok(), Context::current().value(&WHO).copied())));
        let asks = asks.unwrap();
        until_parked(&asks, "singleflight");
        cancel.cancel();
        assert_eq!(asks.join().unwrap(), Err(WaitError::Cancelled));
        let later = group.call_chan("k", || unreachable!("one is in flight"));
        go_on.send(()).unwrap();
        assert_eq!(later.recv(), Ok(((true, Some("ann")), true)), "it has the values and not the end");
    });
}

#[test]
fn sf02_a_forgotten_run_answers_those_who_share_it() {
    check(|| {
        let group = Arc::new(Group::new());
        let (go_on, wait) = bounded::<()>(0);
        let first = group.call_chan("k", move || wait.recv().map_or(0, |()| 1));
        group.forget(&"k");
        assert_eq!(group.call_until("k", soon(), || 2), Ok((2, false)));
        go_on.send(()).unwrap();
        assert_eq!(first.recv(), Ok((1, false)));
    });
}

#[test]
fn sf03_a_panic_reaches_those_who_wait_with_a_deadline() {
    check(|| {
        let group = Arc::new(Group::<&str, ()>::new());
        let (go_on, wait) = bounded::<()>(0);
        let others: Vec<_> = (0..3)
            .map(|i| {
                let (g, wait) = (group.clone(), wait.clone());
                go_parked("singleflight", move || {
                    let fail = move || {
                        wait.recv().unwrap();
                        std::panic::resume_unwind(Box::new("shared by all"))
                    };
                    let thrown = catch_unwind(AssertUnwindSafe(|| {
                        if i == 0 {
                            g.call_cancelable("k", fail)
                        } else {
                            g.call_until("k", soon(), fail)
                        }
                    }));
                    thrown.unwrap_err().downcast_ref::<String>().cloned()
                })
            })
            .collect();
        go_on.send(()).unwrap();
        for h in others {
            assert_eq!(h.join().unwrap().as_deref(), Some("shared by all"));
        }
    });
}

#[test]
fn sf04_goexit_closes_the_channels() {
    check(|| {
        let group = Arc::new(Group::<&str, ()>::new());
        let (go_on, wait) = bounded::<()>(0);
        let rx = group.call_chan("k", move || {
            wait.recv().unwrap();
            zokor::goexit()
        });
        let g = group.clone();
        let other = go_parked("singleflight", move || {
            let _ = g.call_until("k", soon(), || ());
            unreachable!("the goroutine has ended");
        });
        go_on.send(()).unwrap();
        assert!(rx.recv().is_err());
        assert!(other.join().unwrap_err().is::<zokor::Goexit>());
    });
}

/// A caller runs it, and somebody has left a channel.
fn panics_with_a_channel() {
    zokor::run(|| {
        let group = Arc::new(Group::<&str, ()>::new());
        let (go_on, wait) = bounded::<()>(0);
        let g = group.clone();
        let first = go_parked("chan receive", move || {
            let _ = catch_unwind(AssertUnwindSafe(|| {
                g.call("k", || {
                    wait.recv().unwrap();
                    panic!("nobody listens")
                })
            }));
        });
        let rx = group.call_chan("k", || ());
        go_on.send(()).unwrap();
        let _ = first.join();
        let _ = rx.recv();
        let _ = zokor::channel::never::<()>().recv();
        went_on();
    });
}

/// Everybody has given up by the time it panics.
fn panics_alone() {
    zokor::init(zokor::Config { panic_policy: zokor::PanicPolicy::Report, ..Default::default() }).unwrap();
    zokor::run(|| {
        let group = Group::<&str, ()>::new();
        let (go_on, wait) = bounded::<()>(0);
        let until = Instant::now() + Duration::from_millis(1);
        let late = group.call_until("k", until, move || {
            wait.recv().unwrap();
            panic!("everybody has left")
        });
        assert_eq!(late, Err(WaitError::TimedOut));
        go_on.send(()).unwrap();
        wait_until(|| goroutines() == 1);
        let rx = group.call_chan("k", || panic!("into a channel"));
        assert!(rx.recv().is_err());
        wait_until(|| goroutines() == 1);
        println!("went on as the policy says");
    });
}

#[test]
#[ignore = "what the children of the other tests run"]
fn program() {
    run_program(&[("panics_with_a_channel", panics_with_a_channel), ("panics_alone", panics_alone)]);
}

#[test]
fn sf03_a_panic_that_a_channel_cannot_carry_is_not_recoverable() {
    for _ in 0..5 {
        outcome_of("panics_with_a_channel", &[])
            .assert_aborted()
            .assert_did_not_go_on()
            .assert_err_has("nobody listens");
    }
}

#[test]
fn sf03_a_panic_is_never_lost() {
    let end = outcome_of("panics_alone", &[]);
    end.assert_ok().assert_err_has("panic: everybody has left").assert_err_has("panic: into a channel");
    assert!(end.out.contains("went on as the policy says"), "{end:#?}");
}
