//! Select: rules S-01 to S-21 of Go's semantics.
//!
//! Go's own scenarios (`runtime/chan_test.go`, `test/chan/select*.go`) are written anew from what they check; the comments name them.

mod common;

use common::counting::{Counting, IN_USE};
use common::*;
use std::cell::RefCell;
use std::ptr::null;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::channel::{after, bounded, never, select, select_biased, Receiver, Select, Sender};
use zokor::raw::{self, Op, Order};

/// For the rule that a select leaves nothing behind.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Go's margins for a choice between two: ten standard deviations over 10,000 trials.
const TRIALS: usize = 10_000;
const MARGIN: isize = 500;

#[track_caller]
fn assert_share(n: usize, expected: usize) {
    assert!((n as isize - expected as isize).abs() <= MARGIN, "{n} of {TRIALS}, expected about {expected}");
}

/// One case of an untyped select: the channel (none: never ready) and the element to send or to fill.
struct Case<'a> {
    chan: Option<&'a Bytes>,
    op: Op,
    elem: u64,
}

fn send(chan: Option<&Bytes>, elem: u64) -> Case<'_> {
    Case { chan, op: Op::Send, elem }
}

fn recv(chan: Option<&Bytes>) -> Case<'_> {
    Case { chan, op: Op::Recv, elem: u64::MAX }
}

/// The index and whether it was more than "closed"; received elements are in the cases.
fn choose(cases: &mut [Case], deadline: raw::Time, order: Order) -> raw::Result<(usize, bool)> {
    let raw_cases: Vec<raw::Case> = cases
        .iter_mut()
        .map(|c| raw::Case {
            chan: c.chan.map_or(null(), |b| Arc::as_ptr(&b.0)),
            elem: (&raw mut c.elem).cast(),
            op: c.op,
        })
        .collect();
    // SAFETY: channels and elements outlive the call; all elements have the channels' size.
    unsafe { raw::select(&raw_cases, deadline, order) }.map(|s| (s.index, s.ok()))
}

// ---- evaluation ---------------------------------------------------------------------------------------------

/// Go's test/chan/select.go, select4.go and select5.go.
#[test]
fn s01_operands_are_evaluated_once_and_in_order() {
    check(|| {
        let log = RefCell::new(Vec::new());
        let note = |what: &'static str| log.borrow_mut().push(what);
        let (tx, rx) = bounded::<i32>(1);
        let (full, _keep) = bounded::<i32>(0);
        tx.send(5).unwrap();
        let sender = |name| {
            note(name);
            full.clone()
        };
        let receiver = |name| {
            note(name);
            rx.clone()
        };
        let value = |name| {
            note(name);
            1
        };
        select! {
            send(sender("chan 1"), value("value 1")) -> _ => unreachable!("nobody receives"),
            recv(receiver("chan 2")) -> v => {
                note("chosen");
                assert_eq!(v, Ok(5));
            }
            send(sender("chan 3"), value("value 3")) -> _ => unreachable!("nobody receives"),
        }
        assert_eq!(*log.borrow(), ["chan 1", "value 1", "chan 2", "chan 3", "value 3", "chosen"]);
    });
}

// ---- the choice -----------------------------------------------------------------------------------------------

/// Go's TestSelectFairness.
#[test]
fn s02_the_choice_among_ready_cases_is_uniform() {
    check(|| {
        let (tx1, c1) = bounded(TRIALS);
        let (tx2, c2) = bounded(TRIALS);
        let (c3, c4) = (never::<usize>(), never::<usize>());
        (0..TRIALS).for_each(|_| {
            tx1.send(1).unwrap();
            tx2.send(2).unwrap();
        });
        let mut ones = 0;
        for _ in 0..TRIALS {
            select! {
                recv(c3) -> _ => unreachable!("never"),
                recv(c4) -> _ => unreachable!("never"),
                recv(c1) -> v => ones += v.unwrap(),
                recv(c2) -> v => assert_eq!(v, Ok(2)),
            }
        }
        assert_share(ones, TRIALS / 2);
    });
}

/// Go's TestPseudoRandomSend: a select that sends 0 or 1 on one channel must send both.
#[test]
fn s02_the_choice_among_ready_sends_is_random() {
    check(|| {
        for cap in [0, 100] {
            let (tx, rx) = bounded(cap);
            let sender = zokor::go(move || {
                for _ in 0..100 {
                    select! {
                        send(tx, 0) -> r => r.unwrap(),
                        send(tx, 1) -> r => r.unwrap(),
                    }
                }
            });
            zokor::yield_now();
            let ones: usize = rx.iter().sum();
            sender.join().unwrap();
            assert!(ones > 10 && ones < 90, "capacity {cap}: {ones} of 100");
        }
    });
}

/// The same where every select has parked before its counterpart comes: the place in the source does not matter there either.
#[test]
fn s02_cases_on_one_channel_are_chosen_at_random_also_by_who_parked() {
    check(|| {
        for cap in [0, 1] {
            let (tx, rx) = bounded(cap);
            (0..cap).for_each(|_| tx.send(0).unwrap());
            let sender = zokor::go(move || {
                for _ in 0..200 {
                    select! {
                        send(tx, 0) -> r => r.unwrap(),
                        send(tx, 1) -> r => r.unwrap(),
                    }
                }
            });
            let mut ones = 0;
            for _ in 0..200 {
                until_parked(&sender, "select");
                ones += rx.recv().unwrap();
            }
            ones += rx.iter().sum::<i32>();
            sender.join().unwrap();
            assert!(ones > 20 && ones < 180, "capacity {cap}: {ones} of 200 sends");
        }
        let (tx, rx) = bounded(0);
        let receiver = zokor::go(move || {
            let mut first = 0;
            for _ in 0..200 {
                select! {
                    recv(rx) -> v => first += v.unwrap(),
                    recv(rx) -> v => assert_eq!(v, Ok(1)),
                    recv(never::<i32>()) -> _ => unreachable!("never"),
                }
            }
            first
        });
        for _ in 0..200 {
            until_parked(&receiver, "select");
            tx.send(1).unwrap();
        }
        let first = receiver.join().unwrap();
        assert!(first > 20 && first < 180, "the first of two receives: {first} of 200");
    });
}

/// In listed order the first of them goes first.
#[test]
fn the_ordered_form_queues_the_first_case_first() {
    check(|| {
        let (tx, rx) = bounded(0);
        let sender = zokor::go(move || {
            for _ in 0..50 {
                select_biased! {
                    send(tx, 0) -> r => r.unwrap(),
                    send(tx, 1) -> r => r.unwrap(),
                }
            }
        });
        for _ in 0..50 {
            until_parked(&sender, "select");
            assert_eq!(rx.recv(), Ok(0));
        }
        sender.join().unwrap();
    });
}

#[test]
fn s02_the_dynamic_forms_choose_uniformly_as_well() {
    check(|| {
        let (a, b) = (Bytes::new(TRIALS), Bytes::new(TRIALS));
        (0..TRIALS as u64).for_each(|i| {
            a.send(i, raw::NOWAIT).unwrap();
            b.send(i, raw::NOWAIT).unwrap();
        });
        let mut first = 0;
        for _ in 0..TRIALS {
            let mut cases = [recv(Some(&a)), recv(None), recv(Some(&b))];
            first += usize::from(choose(&mut cases, raw::FOREVER, Order::Fair).unwrap() == (0, true));
        }
        assert_share(first, TRIALS / 2);
    });
}

#[test]
fn s03_the_choice_is_per_case_not_per_channel() {
    check(|| {
        let (tx1, c1) = bounded(TRIALS);
        let (tx2, c2) = bounded(TRIALS);
        (0..TRIALS).for_each(|_| {
            tx1.send(()).unwrap();
            tx2.send(()).unwrap();
        });
        let mut thrice = 0;
        for _ in 0..TRIALS {
            select! {
                recv(c1) -> _ => thrice += 1,
                recv(c2) -> _ => {}
                recv(c1) -> _ => thrice += 1,
                recv(c1) -> _ => thrice += 1,
            }
        }
        assert_share(thrice, TRIALS * 3 / 4);
    });
}

#[test]
fn the_ordered_form_takes_the_first_ready_case() {
    check(|| {
        let (tx1, c1) = bounded(1000);
        let (tx2, c2) = bounded(1000);
        (0..1000).for_each(|i| {
            tx1.send(i).unwrap();
            tx2.send(i).unwrap();
        });
        for _ in 0..1000 {
            select_biased! {
                recv(never::<i32>()) -> _ => unreachable!("never"),
                recv(c1) -> _ => {}
                recv(c2) -> _ => unreachable!("the one before is ready"),
            }
        }
        let (a, b) = (Bytes::new(1), Bytes::new(100));
        for i in 0..100 {
            b.send(i, raw::NOWAIT).unwrap();
            let mut cases = [recv(Some(&a)), recv(Some(&b)), send(Some(&a), 1)];
            assert_eq!(choose(&mut cases, raw::FOREVER, Order::Listed), Ok((1, true)));
            assert_eq!(cases[1].elem, i);
        }
    });
}

// ---- default -----------------------------------------------------------------------------------------------------

/// Go's TestNonblockSelectRace: at every instant one of the two channels is ready.
#[test]
fn s04_default_only_when_none_ready() {
    check(|| {
        for _ in 0..3000 {
            let (tx1, c1) = bounded(1);
            let (tx2, c2) = bounded(1);
            tx1.send(1).unwrap();
            let other = zokor::go({
                let (c1, c2) = (c1.clone(), c2.clone());
                move || {
                    select! {
                        recv(c1) -> _ => true,
                        recv(c2) -> _ => true,
                        default => false,
                    }
                }
            });
            tx2.send(1).unwrap();
            select! {
                recv(c1) -> _ => {}
                default => {}
            }
            assert!(other.join().unwrap(), "one of them was ready all the time");
        }
    });
}

/// Go's TestNonblockSelectRace2: the second channel is closed instead.
#[test]
fn s04_s05_default_is_not_taken_while_a_close_makes_one_ready() {
    check(|| {
        for _ in 0..3000 {
            let (tx1, c1) = bounded(1);
            let (tx2, c2) = bounded::<i32>(0);
            tx1.send(1).unwrap();
            let other = zokor::go({
                let c1 = c1.clone();
                move || {
                    select! {
                        recv(c1) -> _ => true,
                        recv(c2) -> _ => true,
                        default => false,
                    }
                }
            });
            // An error if the other one was faster: with its receiver the channel has closed already.
            let _ = tx2.close();
            select! {
                recv(c1) -> _ => {}
                default => {}
            }
            assert!(other.join().unwrap());
        }
    });
}

/// The same on three OS threads at once, where the instants really overlap, with one token that moves between two channels.
#[test]
fn s05_the_check_is_atomic_over_all_channels() {
    check_on(&[4], || {
        let (tx1, c1) = bounded(1);
        let (tx2, c2) = bounded(1);
        let (stop, stopped) = bounded::<()>(0);
        tx1.send(()).unwrap();
        tx2.send(()).unwrap();
        // There are two tokens, and the mover holds one at most: so one channel is never empty.
        let mover = zokor::go(move || {
            while stopped.try_recv() == Err(zokor::channel::TryRecvError::Empty) {
                let (from, to) = (&c1, &tx1);
                from.recv().unwrap();
                to.send(()).unwrap();
                let (from, to) = (&c2, &tx2);
                from.recv().unwrap();
                to.send(()).unwrap();
            }
            (c1, c2)
        });
        drop(stop);
        mover.join().unwrap();
    });
    let ready = |a: &Receiver<()>, b: &Receiver<()>| {
        let mut s = Select::new();
        s.recv(a);
        s.recv(b);
        s.try_ready().is_ok()
    };
    check_on(&[4], || {
        let (tx1, c1) = bounded(1);
        let (tx2, c2) = bounded(1);
        tx1.send(()).unwrap();
        tx2.send(()).unwrap();
        let (d1, d2) = (c1.clone(), c2.clone());
        let mover = zokor::go(move || {
            for _ in 0..20_000 {
                d1.recv().unwrap();
                tx1.send(()).unwrap();
                d2.recv().unwrap();
                tx2.send(()).unwrap();
            }
        });
        while !mover.is_finished() {
            assert!(ready(&c1, &c2), "one of the two always holds a token");
        }
        mover.join().unwrap();
    });
}

// ---- nil, closed -------------------------------------------------------------------------------------------------

/// Go's test/chan/select3.go.
#[test]
fn s06_c02_absent_channels_are_never_ready() {
    check(|| {
        let c = Bytes::new(1);
        let mut none = [recv(None), send(None, 1)];
        assert_eq!(choose(&mut none, raw::NOWAIT, Order::Fair), Err(raw::Error::WouldBlock));
        assert_eq!(choose(&mut none, raw::time_in(20_000_000), Order::Fair), Err(raw::Error::TimedOut));
        assert_eq!(choose(&mut [], raw::time_in(20_000_000), Order::Fair), Err(raw::Error::TimedOut));
        for _ in 0..100 {
            let mut cases = [recv(None), send(None, 1), send(Some(&c), 7)];
            assert_eq!(choose(&mut cases, raw::FOREVER, Order::Fair), Ok((2, true)));
            let mut cases = [send(None, 1), recv(Some(&c)), recv(None)];
            assert_eq!(choose(&mut cases, raw::FOREVER, Order::Fair), Ok((1, true)));
            assert_eq!(cases[1].elem, 7);
        }
    });
}

#[test]
fn s06_a_case_can_be_switched_off() {
    check(|| {
        let (tx1, c1) = bounded(0);
        let (tx2, c2) = bounded(0);
        let a = zokor::go(move || (0..100).for_each(|i| tx1.send(i).unwrap()));
        let b = zokor::go(move || (100..200).for_each(|i| tx2.send(i).unwrap()));
        let (mut c1, mut c2) = (c1, c2);
        let (mut got, mut open) = (Vec::new(), 2);
        while open > 0 {
            select! {
                recv(c1) -> v => match v {
                    Ok(v) => got.push(v),
                    Err(_) => (c1, open) = (never(), open - 1),
                },
                recv(c2) -> v => match v {
                    Ok(v) => got.push(v),
                    Err(_) => (c2, open) = (never(), open - 1),
                },
            }
        }
        got.sort_unstable();
        assert_eq!(got, (0..200).collect::<Vec<_>>());
        a.join().unwrap();
        b.join().unwrap();
    });
}

#[test]
fn s07_a_closed_channel_is_always_ready() {
    check(|| {
        let (tx, rx) = bounded::<i32>(0);
        tx.close().unwrap();
        for _ in 0..10 {
            select! {
                recv(rx) -> v => assert!(v.is_err()),
                recv(never::<i32>()) -> _ => unreachable!("never"),
            }
            select! {
                send(tx, 1) -> r => assert_eq!(r.unwrap_err().into_inner(), 1),
                recv(never::<i32>()) -> _ => unreachable!("never"),
            }
        }
    });
}

#[test]
fn s07_a_closed_send_case_is_one_choice_among_the_ready() {
    check(|| {
        let (closed, data) = (Bytes::new(0), Bytes::new(TRIALS));
        closed.close().unwrap();
        (0..TRIALS as u64).for_each(|i| data.send(i, raw::NOWAIT).unwrap());
        let mut refused = 0;
        for _ in 0..TRIALS {
            let before = data.0.len();
            let mut cases = [send(Some(&closed), 1), recv(Some(&data))];
            match choose(&mut cases, raw::FOREVER, Order::Fair) {
                Ok((0, false)) => {
                    refused += 1;
                    assert_eq!(data.0.len(), before, "the other value was not consumed");
                }
                Ok((1, true)) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_share(refused, TRIALS / 2);
    });
}

#[test]
fn s08_a_closed_send_case_never_falls_to_default() {
    check(|| {
        let (tx, _rx) = bounded(0);
        tx.close().unwrap();
        for _ in 0..100 {
            select! {
                send(tx, 1) -> r => assert!(r.is_err()),
                default => unreachable!("a closed channel is ready"),
            }
        }
        let c = Bytes::new(0);
        c.close().unwrap();
        assert_eq!(choose(&mut [send(Some(&c), 1)], raw::NOWAIT, Order::Fair), Ok((0, false)));
        assert_eq!(choose(&mut [recv(Some(&c))], raw::NOWAIT, Order::Fair), Ok((0, false)));
    });
}

// ---- blocking --------------------------------------------------------------------------------------------------------

/// Go's test/chan/doubleselect.go: of two selects that meet on several channels exactly one case of each fires.
#[test]
fn s09_exactly_one_case_fires() {
    check(|| {
        const N: u64 = 5000;
        let (out, numbers) = bounded::<u64>(0);
        let pairs: Vec<_> = (0..4).map(|_| bounded::<u64>(0)).collect();
        let txs: Vec<_> = pairs.iter().map(|p| p.0.clone()).collect();
        let sender = zokor::go(move || {
            for i in 0..N {
                select! {
                    send(txs[0], i) -> r => r.unwrap(),
                    send(txs[1], i) -> r => r.unwrap(),
                    send(txs[2], i) -> r => r.unwrap(),
                    send(txs[3], i) -> r => r.unwrap(),
                }
            }
        });
        let forwarders: Vec<_> = pairs
            .into_iter()
            .map(|(_, rx)| {
                let out = out.clone();
                zokor::go(move || rx.iter().for_each(|v| out.send(v).unwrap()))
            })
            .collect();
        drop(out);
        let mut got: Vec<u64> = numbers.iter().collect();
        got.sort_unstable();
        assert_eq!(got, (0..N).collect::<Vec<_>>(), "a value twice or not at all");
        sender.join().unwrap();
        forwarders.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn s09_two_selects_that_meet_on_two_channels_exchange_one_value() {
    check(|| {
        for _ in 0..500 {
            let ((tx1, c1), (tx2, c2)) = (bounded(0), bounded(0));
            let sender = zokor::go(move || {
                select! {
                    send(tx1, 1) -> r => r.map(|()| 1).unwrap_or(0),
                    send(tx2, 2) -> r => r.map(|()| 2).unwrap_or(0),
                }
            });
            let got = select! {
                recv(c2) -> v => v.unwrap(),
                recv(c1) -> v => v.unwrap(),
            };
            assert_eq!(sender.join().unwrap(), got);
            assert!(c1.try_recv().is_err() && c2.try_recv().is_err());
        }
    });
}

/// Go's test/chan/select6.go: a select that leaves from the middle of a queue.
#[test]
fn s10_losers_are_withdrawn_from_the_middle_of_a_queue() {
    check(|| {
        let (tx1, c1) = bounded(0);
        let (tx2, c2) = bounded(0);
        let first = go_parked("chan receive", {
            let c1 = c1.clone();
            move || c1.recv().unwrap()
        });
        let middle = go_parked("select", {
            let c1 = c1.clone();
            move || {
                select! {
                    recv(c1) -> v => (1, v.unwrap()),
                    recv(c2) -> v => (2, v.unwrap()),
                }
            }
        });
        let last = go_parked("chan receive", move || c1.recv().unwrap());
        tx2.send(20).unwrap();
        assert_eq!(middle.join().unwrap(), (2, 20));
        tx1.try_send(1).unwrap();
        tx1.try_send(2).unwrap();
        assert_eq!((first.join().unwrap(), last.join().unwrap()), (1, 2));
        assert!(tx1.try_send(3).is_err());
    });
}

/// Go's TestSelectDuplicateChannel.
#[test]
fn s10_a_channel_may_be_listed_twice() {
    check(|| {
        let (tx, c) = bounded(0);
        let (done, d) = bounded(0);
        let (other, e) = bounded(0);
        // First in c's queue, with two entries, and first to leave.
        let twice = go_parked("select", {
            let c = c.clone();
            move || {
                select! {
                    recv(c) -> _ => 1,
                    recv(c) -> _ => 2,
                    recv(d) -> _ => 3,
                }
            }
        });
        let behind = go_parked("chan receive", move || {
            c.recv().unwrap();
            other.send(9).unwrap();
        });
        done.send(()).unwrap();
        assert_eq!(twice.join().unwrap(), 3);
        tx.send(7).unwrap();
        assert_eq!(e.recv(), Ok(9));
        behind.join().unwrap();
    });
}

#[test]
fn s10_no_ghost_is_left_on_any_channel() {
    check(|| {
        let ((tx1, c1), (tx2, c2)) = (bounded(0), bounded::<i32>(0));
        for i in 0..200 {
            let h = go_parked("select", {
                let (c1, c2, tx2) = (c1.clone(), c2.clone(), tx2.clone());
                move || {
                    select! {
                        recv(c1) -> v => v.unwrap(),
                        recv(c2) -> v => v.unwrap(),
                        send(tx2, 1) -> _ => -1,
                    }
                }
            });
            tx1.send(i).unwrap();
            assert_eq!(h.join().unwrap(), i);
            assert!(tx1.try_send(0).is_err() && tx2.try_send(0).is_err());
            assert!(c1.try_recv().is_err() && c2.try_recv().is_err());
        }
    });
}

/// Go's test/chan/select2.go, with its bound.
#[test]
fn s11_a_quiet_channel_in_a_select_costs_no_memory() {
    check(|| {
        let (tx, rx) = bounded::<usize>(0);
        let (quiet_tx, quiet) = bounded::<usize>(0);
        let sender = zokor::go(move || {
            for i in 0..50_000 {
                select! {
                    send(tx, i) -> r => r.unwrap(),
                    recv(quiet) -> _ => unreachable!("nobody sends"),
                }
            }
        });
        let warm = |n: usize| (0..n).for_each(|_| assert!(rx.recv().is_ok()));
        warm(1000);
        let before = IN_USE.load(Ordering::Relaxed);
        warm(49_000);
        let grown = IN_USE.load(Ordering::Relaxed) - before;
        assert!(grown < 110_000, "grew by {grown} bytes");
        sender.join().unwrap();
        drop(quiet_tx);
    });
}

#[test]
fn s12_a_select_never_meets_itself() {
    check(|| {
        let (tx, rx) = bounded(0);
        select! {
            send(tx, 1) -> _ => unreachable!("nobody else is there"),
            recv(rx) -> _ => unreachable!("nobody else is there"),
            default => {}
        }
        let lone = go_parked("select", {
            let (tx, rx) = (tx.clone(), rx.clone());
            move || {
                select! {
                    send(tx, 1) -> r => r.map(|()| 0).unwrap(),
                    recv(rx) -> v => v.unwrap(),
                }
            }
        });
        // Anybody else may meet either side.
        assert_eq!(rx.try_recv(), Ok(1));
        assert_eq!(lone.join().unwrap(), 0);
        let lone = go_parked("select", {
            let (tx, rx) = (tx.clone(), rx.clone());
            move || {
                select! {
                    send(tx, 1) -> r => r.map(|()| 0).unwrap(),
                    recv(rx) -> v => v.unwrap(),
                }
            }
        });
        tx.try_send(5).unwrap();
        assert_eq!(lone.join().unwrap(), 5);
    });
}

/// Go's TestSelfSelect.
#[test]
fn s12_selects_that_send_and_receive_on_one_channel_meet_each_other() {
    fn both_ways(me: usize, tx: Sender<usize>, rx: Receiver<usize>, unbuffered: bool) {
        for i in 0..1000 {
            if me == 0 || i % 2 == 0 {
                select! {
                    send(tx, me) -> r => r.unwrap(),
                    recv(rx) -> v => assert!(!unbuffered || v != Ok(me), "met itself"),
                }
            } else {
                select! {
                    recv(rx) -> v => assert!(!unbuffered || v != Ok(me), "met itself"),
                    send(tx, me) -> r => r.unwrap(),
                }
            }
        }
    }
    check(|| {
        for cap in [0, 10] {
            let (tx, rx) = bounded(cap);
            let all: Vec<_> = (0..2)
                .map(|me| {
                    let (tx, rx) = (tx.clone(), rx.clone());
                    zokor::go(move || both_ways(me, tx, rx, cap == 0))
                })
                .collect();
            all.into_iter().for_each(|h| h.join().unwrap());
        }
    });
}

#[test]
fn s13_both_directions_of_a_half_full_channel_are_ready() {
    check(|| {
        let (tx, rx) = bounded(2);
        let mut sent = 0;
        for _ in 0..TRIALS {
            tx.send(0).unwrap();
            select! {
                send(tx, 1) -> r => {
                    r.unwrap();
                    sent += 1;
                    rx.recv().unwrap();
                    rx.recv().unwrap();
                }
                recv(rx) -> v => assert_eq!(v, Ok(0)),
            }
        }
        assert_share(sent, TRIALS / 2);
    });
}

#[test]
fn s14_a_losing_send_sends_nothing() {
    check(|| {
        let ledger = Ledger::default();
        let (tx, rx) = bounded::<Value>(0);
        let (go_on, ready) = bounded::<()>(1);
        for i in 0..100 {
            go_on.send(()).unwrap();
            select! {
                send(tx, ledger.value(i)) -> _ => unreachable!("nobody receives"),
                recv(ready) -> v => v.unwrap(),
            }
            assert_eq!(ledger.live(), 0, "the value that was not sent is dropped once");
        }
        let parked = go_parked("select", {
            let (tx, ledger) = (tx.clone(), ledger.clone());
            move || {
                select! {
                    send(tx, ledger.value(1)) -> r => r.is_ok(),
                    recv(ready) -> _ => false,
                }
            }
        });
        go_on.send(()).unwrap();
        assert!(!parked.join().unwrap());
        assert!(rx.try_recv().is_err());
        assert_eq!((ledger.made(), ledger.live()), (101, 0));
    });
}

#[test]
fn s15_a_parked_select_takes_who_comes_first() {
    check(|| {
        for first in 0..3 {
            let pairs: Vec<_> = (0..3).map(|_| bounded(1)).collect();
            let rxs: Vec<_> = pairs.iter().map(|p| p.1.clone()).collect();
            let h = go_parked("select", move || {
                select! {
                    recv(rxs[0]) -> v => v.unwrap(),
                    recv(rxs[1]) -> v => v.unwrap(),
                    recv(rxs[2]) -> v => v.unwrap(),
                }
            });
            for i in 0..3 {
                let i = (first + i) % 3;
                pairs[i].0.send(i).unwrap();
            }
            assert_eq!(h.join().unwrap(), first);
            assert_eq!(pairs.iter().map(|p| p.1.len()).sum::<usize>(), 2);
        }
    });
}

#[test]
fn s16_close_completes_a_parked_select() {
    check(|| {
        let (tx, rx) = bounded::<i32>(0);
        let receives = go_parked("select", {
            let rx = rx.clone();
            move || {
                select! {
                    recv(rx) -> v => v.is_err(),
                    recv(never::<i32>()) -> _ => false,
                }
            }
        });
        tx.close().unwrap();
        assert!(receives.join().unwrap());

        let (tx, rx) = bounded(0);
        let sends = go_parked("select", move || {
            select! {
                send(tx, 42) -> r => r.unwrap_err().into_inner(),
                recv(never::<i32>()) -> _ => 0,
            }
        });
        rx.close().unwrap();
        assert_eq!(sends.join().unwrap(), 42);
    });
}

#[test]
fn s17_a_done_channel_has_no_precedence() {
    check(|| {
        let (tx, data) = bounded(TRIALS);
        let (done_tx, done) = bounded::<()>(0);
        (0..TRIALS).for_each(|i| tx.send(i).unwrap());
        drop(done_tx);
        let mut taken = 0;
        for _ in 0..TRIALS {
            select! {
                recv(done) -> _ => {}
                recv(data) -> _ => taken += 1,
            }
        }
        assert_share(taken, TRIALS / 2);
    });
}

// ---- many cases, deadlines ------------------------------------------------------------------------------------------------

#[test]
fn s19_a_select_may_have_65536_cases() {
    check(|| {
        let quiet: Vec<Bytes> = (0..64).map(|_| Bytes::new(0)).collect();
        let c = Bytes::new(1);
        c.send(3, raw::NOWAIT).unwrap();
        let mut cases: Vec<Case> = (0..65_536).map(|i| recv(quiet.get(i % 1000))).collect();
        cases[40_000] = recv(Some(&c));
        assert_eq!(choose(&mut cases, raw::FOREVER, Order::Fair), Ok((40_000, true)));
        assert_eq!(cases[40_000].elem, 3);
        assert_eq!(choose(&mut cases, raw::NOWAIT, Order::Fair), Err(raw::Error::WouldBlock));
        assert_eq!(choose(&mut cases, raw::time_in(10_000_000), Order::Fair), Err(raw::Error::TimedOut));
        for q in &quiet {
            assert_eq!(q.send(1, raw::NOWAIT), Err(raw::Error::WouldBlock), "no ghost waits");
        }
        cases.push(recv(Some(&c)));
        c.send(4, raw::NOWAIT).unwrap();
        assert_eq!(choose(&mut cases, raw::NOWAIT, Order::Fair), Err(raw::Error::Invalid));
    });
}

#[test]
fn s19_the_builder_selects_over_a_list() {
    check(|| {
        let pairs: Vec<_> = (0..20).map(|_| bounded::<usize>(0)).collect();
        let txs: Vec<_> = pairs.iter().map(|p| p.0.clone()).collect();
        let senders: Vec<_> =
            txs.into_iter().enumerate().map(|(i, tx)| zokor::go(move || tx.send(i).unwrap())).collect();
        let mut seen = vec![0; 20];
        for _ in 0..20 {
            let mut s = Select::new();
            pairs.iter().for_each(|p| {
                s.recv(&p.1);
            });
            let op = s.select();
            let i = op.index();
            assert_eq!(op.recv(&pairs[i].1), Ok(i));
            seen[i] += 1;
        }
        assert_eq!(seen, [1; 20]);
        senders.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn a_select_whose_deadline_passes_did_nothing() {
    check(|| {
        let ledger = Ledger::default();
        let ((tx, rx), (tx2, rx2)) = (bounded::<Value>(0), bounded::<Value>(0));
        let start = Instant::now();
        let timed_out = select! {
            recv(rx) -> _ => false,
            send(tx2, ledger.value(1)) -> _ => false,
            default(A_WHILE) => true,
        };
        assert!(timed_out && start.elapsed() >= A_WHILE);
        assert_eq!(ledger.live(), 0);
        assert!(tx.try_send(ledger.value(2)).is_err() && rx2.try_recv().is_err(), "no ghosts");
    });
}

#[test]
fn a_select_deadline_races_with_a_peer_and_exactly_one_wins() {
    check(|| {
        let (tx, rx) = bounded(0);
        let sender =
            zokor::go(move || (0..300).filter(|&i| tx.send_timeout(i, Duration::from_micros(30)).is_ok()).count());
        let mut received = 0;
        loop {
            select! {
                recv(rx) -> v => match v {
                    Ok(_) => received += 1,
                    Err(_) => break,
                },
                recv(never::<i32>()) -> _ => unreachable!("never"),
                default(Duration::from_micros(40)) => {}
            }
        }
        assert_eq!(sender.join().unwrap(), received);
    });
}

// ---- stress, timers ----------------------------------------------------------------------------------------------------------

/// Go's TestSelectStress: plain and select senders and receivers on four channels of capacities 0, 0, 2 and 3.
#[test]
fn s20_mixed_selects_end() {
    const N: u64 = 4000;
    check(|| {
        let chans: Vec<Bytes> = [0, 0, 2, 3].map(Bytes::new).to_vec();
        let mut all = Vec::new();
        for c in &chans {
            let tx = c.clone();
            all.push(zokor::go(move || (0..N).for_each(|i| tx.send(i, raw::FOREVER).unwrap())));
            let rx = c.clone();
            all.push(zokor::go(move || (0..N).for_each(|_| assert!(rx.recv(raw::FOREVER).is_ok()))));
        }
        for op in [Op::Send, Op::Recv] {
            let chans = chans.clone();
            all.push(zokor::go(move || {
                let mut left = [N; 4];
                while left != [0; 4] {
                    let mut cases: Vec<Case> = (0..4)
                        .map(|i| Case { chan: chans.get(i).filter(|_| left[i] > 0), op, elem: left[i] })
                        .collect();
                    let (i, ok) = choose(&mut cases, raw::FOREVER, Order::Fair).unwrap();
                    assert!(ok && left[i] > 0);
                    left[i] -= 1;
                }
            }));
        }
        all.into_iter().for_each(|h| h.join().unwrap());
        assert!(chans.iter().all(|c| c.0.is_empty()));
    });
}

#[test]
fn s21_an_expired_timer_is_ready_in_a_nonblocking_select() {
    check(|| {
        let timer = after(Duration::from_millis(5));
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(6) {
            std::hint::spin_loop(); // no call into the runtime: nobody else can have run the timer on one worker
        }
        select! {
            recv(timer) -> at => assert!(at.unwrap() <= Instant::now()),
            default => unreachable!("it has expired"),
        }
        select! {
            recv(timer) -> _ => unreachable!("it fires once"),
            default => {}
        }
    });
}
