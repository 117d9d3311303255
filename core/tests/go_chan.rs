//! Channels: rules C-01 to C-28 of Go's semantics, as far as a library can show them.
//!
//! Go's own scenarios (`runtime/chan_test.go`, `test/chan`) are written anew from what they check; the comments name them.

mod common;

use common::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::channel::{
    bounded, never, select, unbounded, CloseError, Receiver, RecvTimeoutError, SendTimeoutError, Sender, TryRecvError,
    TrySendError,
};
use zokor::raw;

// ---- capacity ----------------------------------------------------------------------------------------

#[test]
fn c01_capacity_is_fixed_at_creation() {
    check(|| {
        for cap in [0, 1, 2, 10, 1000] {
            let (tx, rx) = bounded::<u8>(cap);
            assert_eq!((tx.capacity(), rx.capacity()), (Some(cap), Some(cap)));
            for _ in 0..cap {
                tx.try_send(1).unwrap();
            }
            assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
        }
        assert_eq!(unbounded::<u8>().0.capacity(), None);
    });
}

#[test]
fn c01_absurd_capacity_is_refused() {
    check(|| {
        for (elem_size, capacity) in [(8, usize::MAX), (usize::MAX, 2), (1 << 40, 1 << 40), (1, usize::MAX / 2 + 1)] {
            let opts = raw::ByteChanOpts { elem_size, capacity, ..Default::default() };
            let made = raw::ByteChan::new(opts).map(|_| ());
            assert!(matches!(made, Err(raw::Error::Invalid | raw::Error::NoMemory)), "{elem_size} {capacity} {made:?}");
        }
    });
}

// ---- a channel that is never ready ----------------------------------------------------------------------

#[test]
fn c02_never_blocks_for_ever() {
    check(|| {
        let rx = never::<u8>();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(rx.recv_timeout(A_WHILE), Err(RecvTimeoutError::Timeout));
        assert_eq!((rx.len(), rx.capacity()), (0, Some(0)));
    });
}

// ---- blocking -----------------------------------------------------------------------------------------

#[test]
fn c03_unbuffered_send_returns_after_the_receive() {
    check(|| {
        let (tx, rx) = bounded(0);
        let sent = Counter::default();
        let sender = {
            let sent = sent.clone();
            go_parked("chan send", move || {
                tx.send(7).unwrap();
                sent.add(1);
            })
        };
        assert_eq!(sent.get(), 0);
        assert_eq!(rx.recv(), Ok(7));
        sender.join().unwrap();
        assert_eq!(sent.get(), 1);
    });
}

#[test]
fn c04_send_blocks_only_when_full_and_receive_only_when_empty() {
    check(|| {
        for cap in 1..10 {
            let (tx, rx) = bounded(cap);
            let receiver = go_parked("chan receive", {
                let rx = rx.clone();
                move || rx.recv().unwrap()
            });
            tx.send(100).unwrap();
            assert_eq!(receiver.join().unwrap(), 100);

            for i in 0..cap {
                tx.send_deadline(i, soon()).unwrap();
            }
            assert_eq!(tx.try_send(99), Err(TrySendError::Full(99)));
            let sender = go_parked("chan send", move || tx.send(cap).unwrap());
            for i in 0..=cap {
                assert_eq!(rx.recv_deadline(soon()), Ok(i));
            }
            sender.join().unwrap();
            assert!(matches!(rx.try_recv(), Err(TryRecvError::Disconnected)));
        }
    });
}

// ---- order ----------------------------------------------------------------------------------------------

#[test]
fn c05_values_are_fifo_through_the_buffer() {
    check(|| {
        for cap in 0..5 {
            let (tx, rx) = bounded(cap);
            let sender = zokor::go(move || (0..1000).for_each(|i| tx.send(i).unwrap()));
            let got: Vec<i32> = rx.iter().collect();
            assert_eq!(got, (0..1000).collect::<Vec<_>>());
            sender.join().unwrap();
        }
    });
}

#[test]
fn c05_values_are_fifo_across_buffer_and_blocked_senders() {
    check(|| {
        let (tx, rx) = bounded(3);
        (0..3).for_each(|i| tx.send(i).unwrap());
        let blocked: Vec<_> = (3..10)
            .map(|i| {
                let tx = tx.clone();
                go_parked("chan send", move || tx.send(i).unwrap())
            })
            .collect();
        for i in 0..10 {
            assert_eq!(rx.recv(), Ok(i));
        }
        blocked.into_iter().for_each(|h| h.join().unwrap());
        assert_eq!(rx.len(), 0);
    });
}

/// Go's test/chan/fifo.go: a chain in which each goroutine may go on only after the one before it.
#[test]
fn c05_unbuffered_chain_keeps_the_order() {
    check(|| {
        let (tx, rx) = bounded::<usize>(0);
        let (first, mut turn) = bounded::<()>(1);
        first.send(()).unwrap();
        let mut all = Vec::new();
        for i in 0..50 {
            let (rx, before) = (rx.clone(), turn);
            let (done, next) = bounded::<()>(1);
            turn = next;
            all.push(zokor::go(move || {
                before.recv().unwrap();
                assert_eq!(rx.recv(), Ok(i));
                done.send(()).unwrap();
            }));
        }
        (0..50).for_each(|i| tx.send(i).unwrap());
        turn.recv().unwrap();
        all.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn c06_receivers_are_served_in_order_of_arrival() {
    check(|| {
        for cap in [0, 4] {
            let (tx, rx) = bounded(cap);
            let parked: Vec<_> = (0..8)
                .map(|_| {
                    let rx = rx.clone();
                    go_parked("chan receive", move || rx.recv().unwrap())
                })
                .collect();
            (0..8).for_each(|i| tx.send(i).unwrap());
            let got: Vec<i32> = parked.into_iter().map(|h| h.join().unwrap()).collect();
            assert_eq!(got, (0..8).collect::<Vec<_>>(), "capacity {cap}");
        }
    });
}

#[test]
fn c06_senders_are_served_in_order_of_arrival() {
    check(|| {
        let (tx, rx) = bounded(0);
        let parked: Vec<_> = (0..8)
            .map(|i| {
                let tx = tx.clone();
                go_parked("chan send", move || tx.send(i).unwrap())
            })
            .collect();
        let got: Vec<i32> = (0..8).map(|_| rx.recv().unwrap()).collect();
        assert_eq!(got, (0..8).collect::<Vec<_>>());
        parked.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn c07_select_waiters_share_the_queue_with_plain_ones() {
    check(|| {
        let (tx, rx) = bounded(0);
        let (_quiet_tx, quiet) = bounded::<i32>(0);
        let parked: Vec<_> = (0..9)
            .map(|i| {
                let (rx, quiet) = (rx.clone(), quiet.clone());
                if i % 3 == 1 {
                    go_parked("select", move || {
                        select! {
                            recv(quiet) -> _ => unreachable!("nobody sends on quiet"),
                            recv(rx) -> v => v.unwrap(),
                        }
                    })
                } else {
                    go_parked("chan receive", move || rx.recv().unwrap())
                }
            })
            .collect();
        (0..9).for_each(|i| tx.send(i).unwrap());
        let got: Vec<i32> = parked.into_iter().map(|h| h.join().unwrap()).collect();
        assert_eq!(got, (0..9).collect::<Vec<_>>());
    });
}

#[test]
fn c07_a_withdrawn_waiter_leaves_the_order_of_the_rest() {
    check(|| {
        for withdrawn in 0..5 {
            let (tx, rx) = bounded(0);
            let (leave, left) = bounded::<()>(0);
            let parked: Vec<_> = (0..5)
                .map(|i| {
                    let (rx, left) = (rx.clone(), left.clone());
                    if i == withdrawn {
                        go_parked("select", move || {
                            select! {
                                recv(left) -> _ => None,
                                recv(rx) -> v => Some(v.unwrap()),
                            }
                        })
                    } else {
                        go_parked("chan receive", move || Some(rx.recv().unwrap()))
                    }
                })
                .collect();
            leave.send(()).unwrap();
            (0..4).for_each(|i| tx.send(i).unwrap());
            let mut next = 0..4;
            for (i, h) in parked.into_iter().enumerate() {
                let expected = if i == withdrawn { None } else { next.next() };
                assert_eq!(h.join().unwrap(), expected, "withdrawn {withdrawn}, waiter {i}");
            }
            assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)), "no ghost waits");
        }
    });
}

// ---- hand-off -------------------------------------------------------------------------------------------

#[test]
fn c08_handoff_bypasses_the_buffer() {
    check(|| {
        let (tx, rx) = bounded(10);
        let receiver = go_parked("chan receive", {
            let rx = rx.clone();
            move || rx.recv().unwrap()
        });
        tx.send(1).unwrap();
        assert_eq!(tx.len(), 0, "the value went to the receiver");
        assert_eq!(receiver.join().unwrap(), 1);
    });
}

#[test]
fn c09_nobody_steals_a_value_that_was_handed_over() {
    check(|| {
        for cap in [0, 1, 10] {
            for _ in 0..50 {
                let (tx, rx) = bounded(cap);
                let receiver = go_parked("chan receive", {
                    let rx = rx.clone();
                    move || rx.recv().unwrap()
                });
                tx.try_send(5).unwrap();
                assert_eq!(rx.try_recv(), Err(TryRecvError::Empty), "capacity {cap}");
                assert_eq!(receiver.join().unwrap(), 5);
            }
        }
    });
}

#[test]
fn c10_a_freed_slot_belongs_to_the_blocked_sender() {
    check(|| {
        for _ in 0..50 {
            let (tx, rx) = bounded(2);
            tx.send(0).unwrap();
            tx.send(1).unwrap();
            let blocked = go_parked("chan send", {
                let tx = tx.clone();
                move || tx.send(2).unwrap()
            });
            assert_eq!(rx.recv(), Ok(0));
            assert_eq!(rx.len(), 2, "the blocked value moved into the slot");
            assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)), "nobody may overtake");
            assert_eq!((rx.recv(), rx.recv()), (Ok(1), Ok(2)));
            blocked.join().unwrap();
        }
    });
}

#[test]
fn c11_nonblocking_operations_on_an_unbuffered_channel_need_a_parked_peer() {
    check(|| {
        let (tx, rx) = bounded(0);
        assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));

        let receiver = go_parked("chan receive", {
            let rx = rx.clone();
            move || rx.recv().unwrap()
        });
        tx.try_send(2).unwrap();
        assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)), "one receiver takes one value");
        assert_eq!(receiver.join().unwrap(), 2);

        let sender = go_parked("chan send", move || tx.send(4).unwrap());
        assert_eq!(rx.try_recv(), Ok(4));
        sender.join().unwrap();
    });
}

#[test]
fn c12_len_counts_queued_values_and_not_blocked_senders() {
    check(|| {
        for cap in [0, 1, 3] {
            let (tx, rx) = bounded(cap);
            for i in 0..cap {
                assert_eq!(tx.len(), i);
                tx.send(i).unwrap();
            }
            let blocked: Vec<_> = (0..3)
                .map(|_| {
                    let tx = tx.clone();
                    go_parked("chan send", move || tx.send(0).unwrap())
                })
                .collect();
            assert_eq!((tx.len(), rx.len(), tx.capacity()), (cap, cap, Some(cap)));
            assert_eq!((tx.is_full(), rx.is_empty()), (true, cap == 0));
            (0..cap + 3).for_each(|_| assert!(rx.recv().is_ok()));
            blocked.into_iter().for_each(|h| h.join().unwrap());
        }
    });
}

// ---- closing ----------------------------------------------------------------------------------------------

#[test]
fn c13_received_values_and_the_end_are_told_apart() {
    check(|| {
        let (tx, rx) = bounded(3);
        tx.send(0).unwrap();
        tx.send(0).unwrap();
        tx.close().unwrap();
        assert_eq!((rx.recv(), rx.recv()), (Ok(0), Ok(0)));
        assert!(rx.recv().is_err());

        let c = Bytes::new(3);
        c.send(0, raw::NOWAIT).unwrap();
        c.close().unwrap();
        assert_eq!(c.recv(raw::FOREVER), Ok(0), "a zero that was sent is a value");
        assert_eq!(c.recv(raw::FOREVER), Err(raw::Error::Closed));
    });
}

#[test]
fn c14_buffered_values_are_delivered_after_close() {
    check(|| {
        for cap in 1..10 {
            let (tx, rx) = bounded(cap);
            (0..cap).for_each(|i| tx.send(i).unwrap());
            tx.close().unwrap();
            for i in 0..cap {
                assert_eq!(rx.recv(), Ok(i));
            }
            for _ in 0..3 {
                assert!(rx.recv().is_err());
                assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
            }
        }
    });
}

#[test]
fn c15_close_wakes_every_receiver() {
    check(|| {
        let (tx, rx) = bounded::<i32>(0);
        let parked: Vec<_> = (0..10)
            .map(|i| {
                let rx = rx.clone();
                if i % 2 == 0 {
                    go_parked("chan receive", move || rx.recv().is_err())
                } else {
                    go_parked("select", move || {
                        select! {
                            recv(rx) -> v => v.is_err(),
                            recv(never::<i32>()) -> _ => false,
                        }
                    })
                }
            })
            .collect();
        tx.close().unwrap();
        for h in parked {
            assert!(h.join().unwrap());
        }
    });
}

#[test]
fn c15_close_wakes_very_many_of_all_kinds() {
    const EACH: usize = 400;
    check(|| {
        let (tx, rx) = bounded::<i32>(0);
        let (woken, hour) = (Arc::new(AtomicUsize::new(0)), Duration::from_secs(3600));
        let mut all = Vec::new();
        for i in 0..4 * EACH {
            let (rx, woken) = (rx.clone(), woken.clone());
            let wait = move || {
                let ended = match i % 4 {
                    0 | 1 => rx.recv().is_err(),
                    2 => rx.recv_timeout(hour) == Err(RecvTimeoutError::Disconnected),
                    _ => select! {
                        recv(rx) -> v => v.is_err(),
                        recv(never::<i32>()) -> _ => false,
                    },
                };
                assert!(ended);
                woken.fetch_add(1, Ordering::Relaxed);
                zokor::yield_now();
            };
            // SAFETY: it keeps nothing of its thread's while it waits.
            all.push(if i % 3 == 0 { zokor::go(wait) } else { unsafe { zokor::go_migrating(wait) } });
        }
        let outside = {
            let rx = rx.clone();
            std::thread::spawn(move || rx.recv().is_err())
        };
        wait_until(|| count_parked("chan receive") == 3 * EACH && count_parked("select") == EACH);
        tx.close().unwrap();
        assert!(all.into_iter().all(|h| h.join().is_ok()));
        assert_eq!(woken.load(Ordering::Relaxed), 4 * EACH);
        assert!(zokor::blocking(|| outside.join().unwrap()));
    });
}

#[test]
fn c15_dropping_the_last_sender_wakes_every_receiver() {
    check(|| {
        let (tx, rx) = bounded::<i32>(0);
        let other = tx.clone();
        let parked: Vec<_> = (0..4)
            .map(|_| {
                let rx = rx.clone();
                go_parked("chan receive", move || rx.recv().is_err())
            })
            .collect();
        drop(tx);
        assert_eq!(count_parked("chan receive"), 4, "one sender is left");
        drop(other);
        for h in parked {
            assert!(h.join().unwrap());
        }
    });
}

#[test]
fn c16_p17_close_gives_blocked_senders_their_values_back() {
    check(|| {
        let ledger = Ledger::default();
        let (tx, rx) = bounded(2);
        tx.send(ledger.value(0)).unwrap();
        tx.send(ledger.value(1)).unwrap();
        let parked: Vec<_> = (2..6)
            .map(|i| {
                let (tx, v) = (tx.clone(), ledger.value(i));
                go_parked("chan send", move || tx.send(v).unwrap_err().into_inner().n)
            })
            .collect();
        rx.close().unwrap();
        for (i, h) in parked.into_iter().enumerate() {
            assert_eq!(h.join().unwrap(), i + 2, "its own value");
        }
        assert_eq!(ledger.live(), 2);
        let left: Vec<usize> = rx.iter().map(|v| v.n).collect();
        assert_eq!(left, [0, 1], "what was buffered survives");
        assert_eq!(ledger.live(), 0);
    });
}

#[test]
fn c17_p06_send_on_closed_fails_at_once() {
    check(|| {
        for cap in [0, 1] {
            let (tx, _rx) = bounded(cap);
            tx.close().unwrap();
            assert_eq!(tx.send(1).unwrap_err().into_inner(), 1);
            assert_eq!(tx.try_send(2), Err(TrySendError::Disconnected(2)), "never `full`");
            assert!(matches!(tx.send_timeout(3, A_WHILE), Err(SendTimeoutError::Disconnected(3))));

            let c = Bytes::new(cap);
            c.close().unwrap();
            for deadline in [raw::FOREVER, raw::NOWAIT, raw::time_in(1_000_000), raw::now() - 1] {
                assert_eq!(c.send(1, deadline), Err(raw::Error::Closed));
            }
        }
    });
}

#[test]
fn c18_a_second_close_says_so() {
    check(|| {
        let c = Bytes::new(1);
        assert_eq!(c.close(), Ok(()));
        assert_eq!(c.close(), Err(raw::Error::Closed));
        assert!(c.0.is_closed());

        let (tx, rx) = bounded::<u8>(0);
        assert_eq!(tx.close(), Ok(()));
        assert_eq!(rx.close(), Err(CloseError::Closed));
        assert!(tx.is_closed() && rx.is_closed());
    });
}

#[test]
fn c20_iteration_ends_when_closed_and_drained() {
    check(|| {
        let (tx, rx) = bounded(0);
        let sender = zokor::go(move || (0..100).try_for_each(|i| tx.send(i)).is_err());
        for (i, v) in rx.iter().take(10).enumerate() {
            assert_eq!(v, i);
        }
        assert_eq!(rx.recv(), Ok(10), "leaving early consumed no more than was yielded");
        let rest: Vec<usize> = rx.into_iter().collect();
        assert_eq!(rest, (11..100).collect::<Vec<_>>());
        assert!(!sender.join().unwrap());
    });
}

// ---- values -------------------------------------------------------------------------------------------------

#[test]
fn c21_values_without_size_are_counted_and_bounded() {
    check(|| {
        let (tx, rx) = bounded(3);
        (0..3).for_each(|_| tx.send(()).unwrap());
        assert_eq!(tx.try_send(()), Err(TrySendError::Full(())));
        assert_eq!(rx.len(), 3);
        assert_eq!(rx.recv(), Ok(()));
        let (tx2, sent) = (tx.clone(), Counter::default());
        drop(tx);
        let n = sent.clone();
        let sender = zokor::go(move || {
            for _ in 0..1000 {
                tx2.send(()).unwrap();
                n.add(1);
            }
        });
        assert_eq!(rx.iter().count(), 1002);
        sender.join().unwrap();
        assert_eq!(sent.get(), 1000);

        let opts = raw::ByteChanOpts { elem_size: 0, capacity: 1, ..Default::default() };
        let c = raw::ByteChan::new(opts).unwrap();
        let nothing = std::ptr::null_mut();
        // SAFETY: elements without size are not touched.
        unsafe {
            assert_eq!(c.send(nothing, raw::NOWAIT), Ok(()));
            assert_eq!(c.send(nothing, raw::NOWAIT), Err(raw::Error::WouldBlock));
            assert_eq!(c.recv(nothing, raw::NOWAIT), Ok(()));
            assert_eq!(c.recv(nothing, raw::NOWAIT), Err(raw::Error::WouldBlock));
        }
    });
}

#[test]
fn c22_the_value_is_fixed_when_the_send_starts() {
    check(|| {
        let shared = Counter::default();
        let (tx, rx) = bounded(0);
        let sender = go_parked("chan send", {
            let shared = shared.clone();
            move || tx.send(shared.get()).unwrap()
        });
        shared.add(1);
        assert_eq!(rx.recv(), Ok(0));
        sender.join().unwrap();
    });
}

/// Go's TestNonblockRecvRace: the channel always holds a value or is closed when the receive is tried.
#[test]
fn c23_a_nonblocking_receive_fails_only_if_it_had_to() {
    check(|| {
        for _ in 0..2000 {
            let (tx, rx) = bounded(1);
            tx.send(1).unwrap();
            let other = zokor::go({
                let rx = rx.clone();
                move || !matches!(rx.try_recv(), Err(TryRecvError::Empty))
            });
            tx.close().unwrap();
            let _ = rx.recv();
            assert!(other.join().unwrap(), "neither closed nor a value: impossible");
        }
    });
}

/// Go's TestMultiConsumer: what several workers pass on is complete.
#[test]
fn c24_many_consumers_get_each_value_once() {
    check(|| {
        const WORKERS: usize = 23;
        const ITEMS: usize = 271_828 / 4;
        let (tx, to_do) = bounded(WORKERS);
        let (done, results) = bounded(WORKERS * 4);
        for w in 0..WORKERS {
            let (to_do, done) = (to_do.clone(), done.clone());
            zokor::go(move || {
                for v in to_do {
                    if v % (w + 3) == 0 {
                        zokor::yield_now();
                    }
                    done.send(v).unwrap();
                }
            });
        }
        drop((done, to_do));
        let feeder = zokor::go(move || (0..ITEMS).for_each(|i| tx.send(i * i % 65_521).unwrap()));
        let (n, sum) = results.iter().fold((0, 0), |(n, sum), v| (n + 1, sum + v));
        feeder.join().unwrap();
        assert_eq!((n, sum), (ITEMS, (0..ITEMS).map(|i| i * i % 65_521).sum::<usize>()));
    });
}

/// Go's TestChan, last part: what a consumer sees from one producer is increasing.
#[test]
fn c24_each_consumer_sees_each_producer_in_order() {
    check(|| {
        const P: usize = 4;
        const L: usize = 2000;
        for cap in [0, 1, 10, 200] {
            let (tx, rx) = bounded(cap);
            let producers: Vec<_> = (0..P)
                .map(|p| {
                    let tx = tx.clone();
                    zokor::go(move || (0..L).for_each(|i| tx.send((p, i)).unwrap()))
                })
                .collect();
            drop(tx);
            let consumers: Vec<_> = (0..P)
                .map(|_| {
                    let rx = rx.clone();
                    zokor::go(move || {
                        let mut last = [None; P];
                        let mut seen = Vec::new();
                        for (p, i) in rx {
                            assert!(last[p] < Some(i), "producer {p}: {i} after {:?}", last[p]);
                            last[p] = Some(i);
                            seen.push((p, i));
                        }
                        seen
                    })
                })
                .collect();
            producers.into_iter().for_each(|h| h.join().unwrap());
            let mut all: Vec<_> = consumers.into_iter().flat_map(|h| h.join().unwrap()).collect();
            all.sort_unstable();
            assert_eq!(all, (0..P).flat_map(|p| (0..L).map(move |i| (p, i))).collect::<Vec<_>>());
        }
    });
}

unsafe extern "C-unwind" fn count_drop(elem: *mut u8, user: *mut std::ffi::c_void) {
    // SAFETY: the channel passes one of its elements, a u64, and the user word given to it, a Counter.
    unsafe { (*user.cast::<Counter>()).add(elem.cast::<u64>().read_unaligned() as i64) };
}

#[test]
fn c25_a_receive_can_discard() {
    check(|| {
        let dropped = Counter::default();
        let opts = raw::ByteChanOpts {
            elem_size: 8,
            capacity: 2,
            drop: Some(count_drop),
            user: (&raw const dropped).cast_mut().cast(),
            ..Default::default()
        };
        let c = Bytes(raw::ByteChan::new(opts).unwrap());
        c.send(1, raw::NOWAIT).unwrap();
        c.send(10, raw::NOWAIT).unwrap();
        // SAFETY: null discards.
        let discard = |deadline| unsafe { c.0.recv(std::ptr::null_mut(), deadline) };
        assert_eq!(discard(raw::NOWAIT), Ok(()));
        assert_eq!(dropped.get(), 1, "the hook took the discarded element");
        assert_eq!(c.recv(raw::NOWAIT), Ok(10));
        assert_eq!(discard(raw::NOWAIT), Err(raw::Error::WouldBlock));
        assert_eq!(dropped.get(), 1, "a received element is the receiver's");
        c.send(100, raw::NOWAIT).unwrap();
        c.close().unwrap();
        drop(c);
        assert_eq!(dropped.get(), 101, "the hook took what nobody received");
    });
}

#[test]
fn c26_a_channel_keeps_nothing_of_a_delivered_value() {
    check(|| {
        let (tx, rx) = bounded(4);
        for round in 0..10 {
            let value = Arc::new(round);
            tx.send(value.clone()).unwrap();
            assert_eq!(Arc::strong_count(&value), 2);
            drop(rx.recv().unwrap());
            assert_eq!(Arc::strong_count(&value), 1, "the slot is cleared");
        }
    });
}

#[test]
fn c27_an_unreferenced_channel_is_freed_with_its_values() {
    check(|| {
        let ledger = Ledger::default();
        for i in 0..10_000 {
            let (tx, rx) = bounded(3);
            tx.send(ledger.value(i)).unwrap();
            tx.send(ledger.value(i)).unwrap();
            if i % 2 == 0 {
                drop(rx.recv().unwrap());
            }
        }
        assert_eq!(ledger.live(), 0);
    });
}

#[test]
fn c27_the_last_receiver_takes_the_buffered_values_with_it() {
    check(|| {
        let ledger = Ledger::default();
        let (tx, rx) = bounded(3);
        tx.send(ledger.value(0)).unwrap();
        drop(rx);
        assert_eq!(ledger.live(), 0, "nobody can receive it any more");
        let back = tx.send(ledger.value(1)).unwrap_err().into_inner();
        assert_eq!((back.n, ledger.live()), (1, 1));
    });
}

#[test]
fn c27_dropping_the_last_receiver_wakes_senders() {
    check(|| {
        let ledger = Ledger::default();
        let (tx, rx) = bounded(0);
        let parked: Vec<_> = (0..4)
            .map(|i| {
                let (tx, v) = (tx.clone(), ledger.value(i));
                go_parked("chan send", move || tx.send(v).is_err())
            })
            .collect();
        drop(rx);
        for h in parked {
            assert!(h.join().unwrap());
        }
        assert_eq!(ledger.live(), 0);
    });
}

#[test]
fn c28_a_channel_is_a_counting_semaphore() {
    check(|| {
        let (acquire, release) = bounded(3);
        let inside = Counter::default();
        let all: Vec<_> = (0..30)
            .map(|_| {
                let (acquire, release, inside) = (acquire.clone(), release.clone(), inside.clone());
                zokor::go(move || {
                    acquire.send(()).unwrap();
                    let n = inside.add(1);
                    (0..5).for_each(|_| zokor::yield_now());
                    inside.add(-1);
                    release.recv().unwrap();
                    n
                })
            })
            .collect();
        let most = all.into_iter().map(|h| h.join().unwrap()).max();
        assert!(most <= Some(3), "{most:?} inside at once");
    });
}

// ---- deadlines -------------------------------------------------------------------------------------------------

#[test]
fn a_deadline_that_passes_consumes_nothing() {
    check(|| {
        let ledger = Ledger::default();
        let (tx, rx) = bounded(1);
        let start = Instant::now();
        assert_eq!(rx.recv_timeout(A_WHILE).map(|v: Value| v.n), Err(RecvTimeoutError::Timeout));
        assert!(start.elapsed() >= A_WHILE);
        tx.send(ledger.value(0)).unwrap();
        match tx.send_timeout(ledger.value(1), A_WHILE) {
            Err(SendTimeoutError::Timeout(v)) => assert_eq!(v.n, 1),
            other => panic!("{other:?}"),
        }
        assert_eq!((rx.len(), ledger.live()), (1, 1));
        drop(rx.recv());
        assert_eq!(tx.try_send(ledger.value(2)).map_err(|e| e.into_inner().n), Ok(()), "no ghost sender");
    });
}

#[test]
fn a_deadline_in_the_past_tries_once() {
    check(|| {
        let (tx, rx) = bounded(1);
        let past = Instant::now() - Duration::from_secs(1);
        assert_eq!(rx.recv_deadline(past), Err(RecvTimeoutError::Timeout));
        assert_eq!(tx.send_deadline(1, past), Ok(()));
        assert_eq!(tx.send_deadline(2, past), Err(SendTimeoutError::Timeout(2)));
        assert_eq!(rx.recv_deadline(past), Ok(1));

        let c = Bytes::new(1);
        assert_eq!(c.recv(raw::now() - 1), Err(raw::Error::TimedOut));
        assert_eq!(c.recv(raw::NOWAIT), Err(raw::Error::WouldBlock));
        assert_eq!(c.recv(-5), Err(raw::Error::TimedOut));
    });
}

#[test]
fn a_deadline_races_with_a_peer_and_exactly_one_wins() {
    check(|| {
        let ledger = Ledger::default();
        let (tx, rx) = bounded(0);
        let sender = zokor::go({
            let ledger = ledger.clone();
            move || {
                let mut sent = 0;
                for i in 0..400 {
                    match tx.send_timeout(ledger.value(i), Duration::from_micros(50)) {
                        Ok(()) => sent += 1,
                        Err(e) => assert_eq!(e.into_inner().n, i),
                    }
                }
                sent
            }
        });
        let mut received = 0;
        loop {
            match rx.recv_timeout(Duration::from_micros(50)) {
                Ok(_) => received += 1,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        assert_eq!(sender.join().unwrap(), received);
        assert_eq!(ledger.live(), 0);
    });
}

// ---- plain threads ------------------------------------------------------------------------------------------------

#[test]
fn threads_and_goroutines_share_channels() {
    check(|| {
        for cap in [0, 3] {
            let (tx, rx) = bounded(cap);
            let (back_tx, back) = bounded(cap);
            zokor::hold(); // the runtime knows a thread from its first call on
            let thread = std::thread::spawn(move || {
                for v in rx {
                    back_tx.send(v * 2).unwrap();
                }
            });
            let sender = zokor::go(move || (0..500_u64).for_each(|i| tx.send(i).unwrap()));
            assert_eq!(back.iter().sum::<u64>(), 2 * (0..500).sum::<u64>());
            sender.join().unwrap();
            zokor::blocking(move || thread.join().unwrap());
            zokor::release();
        }
    });
}

#[test]
fn threads_block_until_a_goroutine_comes() {
    let _alone = alone();
    let _watch = Watchdog::start(LIMIT);
    let (tx, rx) = bounded(0);
    let h = zokor::go(move || (0..100).for_each(|i| tx.send(i).unwrap()));
    assert_eq!(rx.iter().collect::<Vec<i32>>(), (0..100).collect::<Vec<_>>());
    h.join().unwrap();
    let (tx, rx) = bounded::<()>(0);
    assert_eq!(rx.recv_timeout(A_WHILE), Err(RecvTimeoutError::Timeout));
    assert!(matches!(tx.send_timeout((), A_WHILE), Err(SendTimeoutError::Timeout(()))));
    nothing_left();
}

// ---- small programs --------------------------------------------------------------------------------------------------

/// The prime sieve, each prime a goroutine (Go's test/chan/sieve1.go).
#[test]
fn the_prime_sieve_finds_the_first_primes() {
    fn filter(from: Receiver<u32>, prime: u32) -> Receiver<u32> {
        let (tx, rx) = bounded(0);
        zokor::go(move || from.iter().filter(|n| n % prime != 0).try_for_each(|n| tx.send(n)));
        rx
    }
    check(|| {
        let (tx, mut numbers) = bounded(0);
        zokor::go(move || (2..).try_for_each(|n| tx.send(n)));
        let mut primes = Vec::new();
        while primes.len() < 50 {
            let p = numbers.recv().unwrap();
            primes.push(p);
            numbers = filter(numbers, p);
        }
        assert_eq!((primes[0], primes[49]), (2, 229));
    });
}

#[test]
fn ping_pong_ends() {
    fn pass(from: Receiver<u32>, to: Sender<u32>) {
        for n in from {
            if n == 0 || to.send(n - 1).is_err() {
                return;
            }
        }
    }
    check(|| {
        for cap in [0, 1] {
            let ((a, b), (c, d)) = (bounded(cap), bounded(cap));
            let tx = a.clone();
            let one = zokor::go(move || pass(b, c));
            let two = zokor::go(move || pass(d, a));
            tx.send(2000).unwrap();
            drop(tx);
            one.join().unwrap();
            two.join().unwrap();
        }
    });
}
