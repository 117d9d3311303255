//! Who runs next, who gets what, and what goroutines are known by: rules G-09, G-10, G-22 and G-23.

mod common;

use common::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex as StdMutex};
use zokor::channel::{bounded, Sender};
use zokor::sync::{Condvar, Mutex};
use zokor::{raw, Builder, WaitGroup};

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<StdMutex<Vec<usize>>>);

impl Log {
    fn note(&self, n: usize) {
        self.0.lock().unwrap().push(n);
    }

    fn take(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// The best of five rounds of a hundred runs: on a loaded machine time slices end often.
fn best_of_five(run: impl Fn() -> bool) -> usize {
    let mut best = 0;
    for _ in 0..5 {
        best = best.max((0..100).filter(|_| run()).count());
        if best >= MOST {
            break;
        }
    }
    best
}

/// How many of a hundred runs go as they do when no time slice ends in between. Instrumented builds are so slow that many do.
const MOST: usize = if cfg!(any(zk_tsan, zk_asan)) { 10 } else { 90 };

// ---- G-09 -------------------------------------------------------------------------------------------------------

/// Launch 0 to 9 on one worker, then block: 9 runs first, then 0 to 8. This is how it is, not a promise: a time slice may end in
/// between, so one run in ten may differ.
#[test]
fn g09_the_goroutine_made_last_runs_next() {
    check_on(&[1], || {
        let expected = [9, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let n = best_of_five(|| {
            let (wg, log) = (Arc::new(WaitGroup::new()), Log::default());
            for i in 0..10 {
                let log = log.clone();
                wg.go(move || log.note(i));
            }
            wg.wait();
            let order = log.take();
            let mut all = order.clone();
            all.sort_unstable();
            assert_eq!(all, (0..10).collect::<Vec<_>>(), "each ran once");
            order == expected
        });
        assert!(n >= MOST, "{n} of 100");
    });
}

/// The same for one that is made ready: it runs before those that were in the queue when it was.
#[test]
fn g09_the_goroutine_made_ready_runs_next_on_the_same_worker() {
    check_on(&[1], || {
        let n = best_of_five(|| {
            let (tx, rx) = bounded(0);
            let log = Log::default();
            let receiver = go_parked("chan receive", {
                let log = log.clone();
                move || {
                    rx.recv().unwrap();
                    log.note(100);
                }
            });
            let others: Vec<_> = (0..5)
                .map(|i| {
                    let log = log.clone();
                    zokor::go(move || log.note(i))
                })
                .collect();
            tx.send(()).unwrap(); // hands over, and makes it ready
            let nobody_ran = log.take().is_empty(); // else the time slice ended just then
            receiver.join().unwrap();
            others.into_iter().for_each(|h| h.join().unwrap());
            nobody_ran && log.take()[0] == 100
        });
        assert!(n >= MOST, "{n} of 100");
    });
}

/// And it inherits the rest of the time slice: two that make each other ready over and over are one slice long, not two turns each.
#[test]
fn g09_a_chain_of_wake_ups_shares_one_time_slice() {
    check_on(&[1], || {
        let ((a, b), (c, d)) = (bounded::<u32>(0), bounded::<u32>(0));
        let stop = Counter::default();
        let echo = zokor::go(move || b.iter().all(|n| c.send(n).is_ok()));
        let lead = zokor::go({
            let stop = stop.clone();
            move || {
                let mut n = 0;
                while stop.get() == 0 {
                    a.send(n).unwrap();
                    n = d.recv().unwrap() + 1;
                }
                n
            }
        });
        // Between two turns of this goroutine the pair has the worker: many hand-overs, and then it gives way.
        for _ in 0..20 {
            zokor::yield_now();
        }
        stop.add(1);
        let exchanges = lead.join().unwrap();
        assert!(echo.join().unwrap());
        assert!(exchanges >= 40, "{exchanges} exchanges in 20 turns: the pair was sent to the back each time");
    });
}

// ---- G-10 -------------------------------------------------------------------------------------------------------

/// Goroutines of a tree that wait for their children, and the most that did so at once.
#[derive(Default)]
struct Waiting {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A node with ten children, down to those of no size; the sum of what has no children.
fn tree(waiting: &Arc<Waiting>, up: &Sender<usize>, size: usize) {
    if size == 1 {
        return up.send(1).unwrap();
    }
    waiting.most.fetch_max(waiting.now.fetch_add(1, Relaxed) + 1, Relaxed);
    let (tx, rx) = bounded(0);
    for _ in 0..10 {
        let (waiting, tx) = (waiting.clone(), tx.clone());
        drop(zokor::go(move || tree(&waiting, &tx, size / 10)));
    }
    let sum = (0..10).map(|_| rx.recv().unwrap()).sum();
    waiting.now.fetch_sub(1, Relaxed);
    up.send(sum).unwrap();
}

/// Children do not wait behind all who came before their parent: of 11,111 goroutines with children not most wait for them at once.
#[test]
fn g10_in_a_tree_of_goroutines_few_wait_for_their_children_at_once() {
    check_on(&[1], || {
        let waiting = Arc::new(Waiting::default());
        let (tx, rx) = bounded(0);
        let root = waiting.clone();
        drop(zokor::go(move || tree(&root, &tx, 100_000)));
        assert_eq!(rx.recv(), Ok(100_000));
        let most = waiting.most.load(Relaxed);
        assert!(most < 4_000, "{most} at once; in order of arrival it would be more than 5,000");
    });
}

/// Starts its own like, and ends, until told to stop. Another one takes its place in front, so that it does not use up the time slice.
fn goes_on(stop: &Arc<AtomicBool>, turns: &Arc<AtomicUsize>) {
    if !stop.load(Relaxed) {
        turns.fetch_add(1, Relaxed);
        let (stop, turns) = (stop.clone(), turns.clone());
        drop(zokor::go(move || goes_on(&stop, &turns)));
        drop(zokor::go(|| {}));
    }
}

/// Who came before many others is passed by them, but not for ever, though there is always somebody newer.
#[test]
fn g10_who_is_passed_by_newer_ones_has_turns_as_well() {
    check(|| {
        let (wg, stop, turns) = (WaitGroup::new(), Arc::new(AtomicBool::new(false)), Arc::default());
        zokor::scope(|s| {
            wg.add(3_000);
            for _ in 0..3_000 {
                s.go(|| wg.done());
            }
            for _ in 0..8 {
                s.go(|| goes_on(&stop, &turns));
            }
            wg.wait();
            stop.store(true, Relaxed);
        });
        // With one worker each of them waits for 64 turns of newer ones.
        let turns = turns.load(Relaxed);
        assert!(turns < 250_000, "{turns} turns of newer ones before 3,000 older ones had theirs");
    });
}

// ---- G-22 -------------------------------------------------------------------------------------------------------

const WAITERS: usize = 10;

/// Receivers that wait in order get the values in order, whichever of them runs first.
#[test]
fn g22_values_follow_the_order_of_waiting_whatever_the_order_of_execution() {
    check(|| {
        for _ in 0..20 {
            let (tx, rx) = bounded(0);
            let receivers: Vec<_> = (0..WAITERS)
                .map(|_| {
                    let rx = rx.clone();
                    go_parked("chan receive", move || rx.recv().unwrap())
                })
                .collect();
            for i in 0..WAITERS {
                tx.send(i).unwrap();
            }
            let got: Vec<usize> = receivers.into_iter().map(|h| h.join().unwrap()).collect();
            assert_eq!(got, (0..WAITERS).collect::<Vec<_>>());
        }
    });
}

/// Senders that wait in order are received from in order.
#[test]
fn g22_blocked_senders_are_served_in_order_whatever_the_order_of_execution() {
    check(|| {
        for cap in [0, 3] {
            let (tx, rx) = bounded(cap);
            for i in 0..cap {
                tx.send(i).unwrap();
            }
            let log = Log::default();
            let senders: Vec<_> = (cap..cap + WAITERS)
                .map(|i| {
                    let (tx, log) = (tx.clone(), log.clone());
                    go_parked("chan send", move || {
                        tx.send(i).unwrap();
                        log.note(i);
                    })
                })
                .collect();
            let got: Vec<usize> = (0..cap + WAITERS).map(|_| rx.recv().unwrap()).collect();
            assert_eq!(got, (0..cap + WAITERS).collect::<Vec<_>>());
            senders.into_iter().for_each(|h| h.join().unwrap());
            let mut ran = log.take();
            ran.sort_unstable();
            assert_eq!(ran, (cap..cap + WAITERS).collect::<Vec<_>>(), "each went on once");
        }
    });
}

/// Close, broadcast and the end of a wait group wake all that wait, each once. In which order they then run is nobody's business.
#[test]
fn g22_a_mass_wake_up_wakes_each_waiter_once() {
    check(|| {
        for _ in 0..20 {
            let (tx, rx) = bounded::<()>(0);
            let (wg, lock) = (Arc::new(WaitGroup::new()), Arc::new((Mutex::new(false), Condvar::new())));
            wg.add(1);
            let log = Log::default();
            let all: Vec<_> = (0..3 * WAITERS)
                .map(|i| {
                    let (rx, wg, lock, log) = (rx.clone(), wg.clone(), lock.clone(), log.clone());
                    match i % 3 {
                        0 => go_parked("chan receive", move || {
                            assert!(rx.recv().is_err());
                            log.note(i);
                        }),
                        1 => go_parked("wait group", move || {
                            wg.wait();
                            log.note(i);
                        }),
                        _ => go_parked("cond", move || {
                            let mut open = lock.0.lock();
                            lock.1.wait(&mut open);
                            assert!(*open);
                            log.note(i);
                        }),
                    }
                })
                .collect();
            assert!(log.take().is_empty());
            tx.close().unwrap();
            wg.done();
            *lock.0.lock() = true;
            assert_eq!(lock.1.notify_all(), WAITERS);
            all.into_iter().for_each(|h| h.join().unwrap());
            let mut ran = log.take();
            ran.sort_unstable();
            assert_eq!(ran, (0..3 * WAITERS).collect::<Vec<_>>());
        }
    });
}

// ---- G-23 -------------------------------------------------------------------------------------------------------

#[test]
fn g23_labels_are_inherited() {
    check(|| {
        assert_eq!(zokor::current().labels().count(), 0);
        assert!(zokor::set_label("request", Some("42")) && zokor::set_label("user", Some("ann")));
        let h = Builder::new().label("part", "upload").label("user", "bob").go(|| {
            let me = zokor::current();
            let grandchild = zokor::go(|| zokor::current().label("part").map(str::to_owned));
            assert!(zokor::set_label("part", None) && zokor::set_label("own", Some("1")));
            (me, grandchild.join().unwrap(), zokor::current())
        });
        let (before, grandchild, after) = h.unwrap().join().unwrap();
        assert_eq!(before.labels().collect::<Vec<_>>(), [("part", "upload"), ("request", "42"), ("user", "bob")]);
        assert_eq!(grandchild.as_deref(), Some("upload"));
        assert_eq!(after.labels().collect::<Vec<_>>(), [("own", "1"), ("request", "42"), ("user", "bob")]);
        // What a child sets is its own, and what a parent sets later is not the child's.
        assert_eq!(zokor::current().label("user"), Some("ann"));
        let (gate, opened) = bounded::<()>(0);
        let waits = go_parked("chan receive", move || {
            let _ = opened.recv();
            zokor::current().label("request").map(str::to_owned)
        });
        zokor::set_label("request", Some("43"));
        drop(gate);
        assert_eq!(waits.join().unwrap().as_deref(), Some("42"));
        // SAFETY: the body keeps nothing that belongs to a thread.
        let moves = unsafe { zokor::go_migrating(|| zokor::current().label("request").map(str::to_owned)) };
        assert_eq!(moves.join().unwrap().as_deref(), Some("43"));
        zokor::set_label("request", None);
        zokor::set_label("user", None);
        assert_eq!(zokor::go(zokor::current).join().unwrap().labels().count(), 0);
        std::thread::spawn(|| {
            assert!(!zokor::set_label("thread", Some("has none")), "outside a goroutine");
            assert_eq!(zokor::current().labels().count(), 0);
        })
        .join()
        .unwrap();
    });
}

/// Go's TestTracebackGoroutineLabels.
#[test]
fn g23_tb02_labels_and_names_are_printed_in_dumps() {
    check(|| {
        zokor::set_label("request", Some("42"));
        let (_gate, opened) = bounded::<()>(0);
        let h = Builder::new().name("reader").label("user", "ann").go(move || opened.recv().is_err()).unwrap();
        until_parked(&h, "chan receive");
        let dump = raw::list();
        let header = format!("goroutine {} [chan receive] {{request: 42, user: ann}}:\n\tname \"reader\"\n", h.id());
        assert!(dump.contains(&header), "{dump}");
        assert!(dump.contains(&format!("goroutine {} [running] {{request: 42}}:", zokor::goid())), "{dump}");
        zokor::set_label("request", None);
        assert!(raw::list().contains(&format!("goroutine {} [running]:", zokor::goid())));
        drop(_gate);
        assert!(h.join().unwrap());
    });
}

/// Dumps read labels while their owners change them.
#[test]
fn g23_labels_change_while_others_look() {
    check_on(&[2, 8], || {
        let stop = Counter::default();
        let all: Vec<_> = (0..4)
            .map(|i| {
                let stop = stop.clone();
                zokor::go(move || {
                    let mut n = 0;
                    while stop.get() == 0 {
                        n += 1;
                        zokor::set_label("n", Some(&format!("{i}-{n}")));
                        let (key, child) =
                            (n.to_string(), zokor::go(|| zokor::current().label("n").map(str::to_owned)));
                        assert_eq!(child.join().unwrap(), Some(format!("{i}-{key}")));
                    }
                })
            })
            .collect();
        for _ in 0..15 {
            assert!(raw::list().contains("goroutine"));
            zokor::yield_now();
        }
        stop.add(1);
        all.into_iter().for_each(|h| h.join().unwrap());
    });
}
