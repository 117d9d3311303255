//! What a channel does with a value for which it has no room: rules QP-01 to QP-10 of docs/conformance.md.

mod common;

use common::counting::{Counting, IN_USE};
use common::*;
use std::ffi::c_void;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::channel::{
    bounded, select, select_biased, with_policy, Policy, Receiver, RecvError, Select, SendError, SendTimeoutError,
    Sender, TryRecvError, TrySendError,
};
use zokor::raw::{self, ByteChan, ByteChanOpts, Op, Order, Overflow};

/// For the rule that a queue that was long once gives memory back.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ALL: [Policy; 9] = [
    Policy::Block(3),
    Policy::Unbounded { high_water: None },
    Policy::Unbounded { high_water: Some(4) },
    Policy::DropOldest(0),
    Policy::DropOldest(1),
    Policy::DropOldest(5),
    Policy::DropNewest(0),
    Policy::DropNewest(3),
    Policy::Latest,
];

fn drops(policy: Policy) -> bool {
    matches!(policy, Policy::DropOldest(_) | Policy::DropNewest(_) | Policy::Latest)
}

// ---- one after the other ------------------------------------------------------------------------------

#[test]
fn qp01_the_oldest_value_gives_way() {
    check(|| {
        for cap in [1, 2, 3, 7] {
            let ledger = Ledger::default();
            let (s, r) = with_policy(Policy::DropOldest(cap));
            assert_eq!((s.capacity(), s.len(), s.dropped()), (Some(cap), 0, 0));
            for n in 0..20 {
                s.send(ledger.value(n)).unwrap();
                assert_eq!(s.len(), cap.min(n + 1));
                assert_eq!(ledger.live(), s.len(), "a dropped value is gone when its send returns");
                assert_eq!(r.dropped(), (n + 1).saturating_sub(cap) as u64);
            }
            assert!(s.is_full());
            let left: Vec<usize> = r.try_iter().map(|v| v.n).collect();
            assert_eq!(left, (20 - cap..20).collect::<Vec<_>>());
            assert_eq!((ledger.live(), s.refused()), (0, 0));
        }
    });
}

#[test]
fn qp01_the_oldest_value_gives_way_wherever_the_ring_begins() {
    check(|| {
        let (s, r) = with_policy(Policy::DropOldest(3));
        let mut expected = std::collections::VecDeque::new();
        let mut rng = Rng::fresh();
        for n in 0..500 {
            if rng.below(3) > 0 {
                s.try_send(n).unwrap();
                expected.push_back(n);
                expected.drain(..expected.len().saturating_sub(3));
            } else {
                assert_eq!(r.try_recv().ok(), expected.pop_front());
            }
            assert_eq!(r.len(), expected.len());
        }
    });
}

#[test]
fn qp02_the_newest_value_is_dropped() {
    check(|| {
        for cap in [1, 2, 3, 7] {
            let ledger = Ledger::default();
            let (s, r) = with_policy(Policy::DropNewest(cap));
            for n in 0..20 {
                s.send_timeout(ledger.value(n), Duration::ZERO).unwrap();
                assert_eq!(ledger.live(), cap.min(n + 1));
            }
            assert_eq!(r.try_iter().map(|v| v.n).collect::<Vec<_>>(), (0..cap).collect::<Vec<_>>());
            assert_eq!((s.dropped(), s.refused(), ledger.live()), (20 - cap as u64, 0, 0));
        }
    });
}

#[test]
fn qp03_the_latest_value_is_the_one_received() {
    check(|| {
        let ledger = Ledger::default();
        let (s, r) = with_policy(Policy::Latest);
        assert_eq!(s.capacity(), Some(1));
        for n in 0..10 {
            s.send(ledger.value(n)).unwrap();
        }
        assert_eq!((r.recv().map(|v| v.n), r.dropped(), ledger.live()), (Ok(9), 9, 0));
        assert!(matches!(r.try_recv(), Err(TryRecvError::Empty)));
    });
}

#[test]
fn qp04_at_the_mark_a_send_fails_and_gives_the_value_back() {
    check(|| {
        for mark in [0, 1, 5, 16, 100] {
            let ledger = Ledger::default();
            let (s, r) = with_policy(Policy::Unbounded { high_water: Some(mark) });
            for round in 1..4 {
                (s.len()..mark).for_each(|n| s.send(ledger.value(n)).unwrap());
                assert_eq!((s.len(), s.capacity(), s.is_full()), (mark, Some(mark), true));
                let start = Instant::now();
                assert!(matches!(s.send(ledger.value(1)), Err(SendError(v)) if v.n == 1));
                assert!(matches!(s.try_send(ledger.value(2)), Err(TrySendError::Full(v)) if v.n == 2));
                let late = s.send_deadline(ledger.value(3), start + LIMIT);
                assert!(matches!(late, Err(SendTimeoutError::Timeout(v)) if v.n == 3));
                assert!(start.elapsed() < LIMIT, "no send waits");
                assert_eq!((s.refused(), s.dropped(), s.is_closed()), (3 * round, 0, false));
                assert_eq!(ledger.live(), mark);
                r.try_iter().take(mark / 2 + 1).for_each(drop);
            }
        }
    });
}

#[test]
fn qp04_without_a_mark_there_is_no_limit() {
    check(|| {
        let (s, r) = with_policy(Policy::Unbounded { high_water: None });
        (0..10_000).for_each(|n| s.send(n).unwrap());
        assert_eq!((s.len(), s.capacity(), s.is_full()), (10_000, None, false));
        drop(s);
        assert!(r.iter().eq(0..10_000));
    });
}

#[test]
fn qp04_a_select_waits_at_the_mark() {
    check(|| {
        let (s, r) = with_policy(Policy::Unbounded { high_water: Some(1) });
        s.send(1).unwrap();
        select! {
            send(s, 9) -> _ => panic!("there is no room"),
            default => {}
        }
        let mut list = Select::new();
        list.send(&s);
        assert!(list.try_ready().is_err());
        let s2 = s.clone();
        let waiting = go_parked("select", move || {
            let (_never, never) = bounded::<()>(0);
            select! {
                send(s2, 2) -> sent => sent.unwrap(),
                recv(never) -> _ => unreachable!(),
            }
        });
        assert!(s.try_send(3).is_err(), "it does not overtake the one that waits");
        assert_eq!(r.recv(), Ok(1));
        waiting.join().unwrap();
        assert_eq!((r.recv(), s.refused()), (Ok(2), 1));
    });
}

#[test]
fn qp05_a_waiting_receiver_gets_the_value_whatever_the_policy() {
    check(|| {
        for policy in ALL {
            let (s, r) = with_policy(policy);
            let r2 = r.clone();
            let receiver = go_parked("chan receive", move || r2.recv());
            s.send(1).unwrap();
            assert_eq!(receiver.join().unwrap(), Ok(1), "{policy:?}");
            let r2 = r.clone();
            let selecting =
                go_parked("select", move || select! { recv(r2) -> v => v, recv(zokor::channel::never()) -> v => v });
            select! { send(s, 2) -> sent => sent.unwrap() }
            assert_eq!(selecting.join().unwrap(), Ok(2), "{policy:?}");
            assert_eq!((s.dropped(), s.refused(), s.len()), (0, 0, 0));
        }
    });
}

#[test]
fn qp05_without_a_buffer_a_value_is_received_or_dropped() {
    check(|| {
        for policy in [Policy::DropOldest(0), Policy::DropNewest(0)] {
            let ledger = Ledger::default();
            let (s, r) = with_policy(policy);
            (0..3).for_each(|n| s.send(ledger.value(n)).unwrap());
            assert_eq!((s.dropped(), s.len(), ledger.live()), (3, 0, 0));
            assert!(r.try_recv().is_err());
        }
    });
}

// ---- who ends a dropped value -------------------------------------------------------------------------

/// Sends another one when it is dropped, as often as it says.
struct Echo(usize, Option<Sender<Echo>>);

impl Drop for Echo {
    fn drop(&mut self) {
        if let (1.., Some(s)) = (self.0, self.1.take()) {
            let again = s.clone();
            assert!(s.len() <= 1);
            let _ = s.send(Echo(self.0 - 1, Some(again)));
        }
    }
}

#[test]
fn qp06_a_destructor_may_use_the_channel() {
    check(|| {
        for policy in [Policy::Latest, Policy::DropOldest(1), Policy::DropNewest(1), Policy::DropNewest(0)] {
            let (s, r) = with_policy(policy);
            s.send(Echo(0, None)).unwrap();
            s.send(Echo(5, Some(s.clone()))).unwrap();
            s.send(Echo(5, Some(s.clone()))).unwrap();
            assert!(s.dropped() >= 2, "{policy:?}");
            // Echoes that are left end here, and find the channel closed.
            s.close().unwrap();
            r.iter().for_each(drop);
        }
    });
}

/// Panics when it is dropped, without a report, if it was told to; counted either way.
struct Bomb(Value, bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.1 {
            resume_unwind(Box::new(format!("the bomb {}", self.0.n)));
        }
    }
}

#[test]
fn qp06_a_destructor_that_panics_loses_nothing_else() {
    type Send1 = fn(&Sender<Bomb>, Bomb);
    let ways: [Send1; 4] = [
        |s, bomb| drop(s.send(bomb)),
        |s, bomb| select! { send(s, bomb) -> sent => drop(sent) },
        |s, bomb| select! { send(s, std::convert::identity(bomb)) -> sent => drop(sent) },
        |s, bomb| {
            let mut list = Select::new();
            list.send(s);
            drop(list.select().send(s, bomb));
        },
    ];
    check(|| {
        for way in ways {
            let ledger = Ledger::default();
            let (s, r) = with_policy(Policy::Latest);
            s.send(Bomb(ledger.value(1), true)).unwrap();
            let out = catch_unwind(AssertUnwindSafe(|| way(&s, Bomb(ledger.value(2), false))));
            assert_eq!(*out.unwrap_err().downcast::<String>().unwrap(), "the bomb 1");
            assert_eq!((s.dropped(), s.len()), (1, 1));
            // The builder's send did not come to its message: the promise is broken, and the message went with the panic.
            if let Ok(Bomb(v, _)) = &r.try_recv() {
                assert_eq!(v.n, 2);
            }
            s.send(Bomb(ledger.value(3), false)).unwrap();
            assert_eq!(r.recv().map(|b| b.0.n), Ok(3));
            assert_eq!(ledger.live(), 0);
        }
    });
}

#[test]
fn qp06_a_promise_that_is_dropped_takes_its_value_along() {
    check(|| {
        for policy in [Policy::Latest, Policy::DropNewest(1), Policy::DropNewest(0)] {
            let ledger = Ledger::default();
            let (s, r) = with_policy(policy);
            if policy == Policy::DropNewest(1) {
                s.send(ledger.value(0)).unwrap();
            }
            let mut list = Select::new();
            list.send(&s);
            let chosen = list.select();
            s.send(ledger.value(1)).unwrap(); // drops the promise, which lies in the channel, if it is there
            chosen.send(&s, ledger.value(2)).expect("the channel is open");
            assert!(ledger.live() <= 1);
            assert_eq!(s.dropped() as usize + s.len(), ledger.made());
            let expected = match policy {
                Policy::Latest => Some(1),
                Policy::DropNewest(1) => Some(0),
                _ => None,
            };
            assert_eq!(r.try_recv().ok().map(|v| v.n), expected);
            assert_eq!(ledger.live(), 0);
        }
    });
}

// ---- select -------------------------------------------------------------------------------------------

#[test]
fn qp07_a_send_to_a_channel_that_drops_is_always_ready() {
    check(|| {
        for policy in ALL.into_iter().filter(|p| drops(*p)) {
            let (s, _r) = with_policy(policy);
            for n in 0..10 {
                select! {
                    send(s, n) -> sent => sent.unwrap(),
                    default => panic!("{policy:?}"),
                }
                let mut list = Select::new();
                let index = list.send(&s);
                assert_eq!(list.try_ready(), Ok(index));
                list.try_select().unwrap().send(&s, n).unwrap();
            }
            assert_eq!(s.dropped() as usize, 20 - s.len());
        }
    });
}

/// Ten standard deviations over 10,000 trials, as Go's own tests.
const TRIALS: usize = 10_000;
const MARGIN: usize = 500;

#[test]
fn qp07_the_choice_is_fair_with_any_policy() {
    check(|| {
        for policy in [Policy::Latest, Policy::DropOldest(3), Policy::DropNewest(1), Policy::DropNewest(0)] {
            let (s, _r) = with_policy(policy);
            let (s2, _r2) = with_policy(Policy::DropOldest(7));
            let (full, ready) = bounded(TRIALS);
            (0..TRIALS).for_each(|n| full.send(n).unwrap());
            let mut ran = [0_usize; 3];
            for n in 0..TRIALS {
                select! {
                    send(s, n) -> sent => { sent.unwrap(); ran[0] += 1 },
                    send(s2, n) -> sent => { sent.unwrap(); ran[1] += 1 },
                    recv(ready) -> v => { v.unwrap(); ran[2] += 1 },
                }
            }
            for n in ran {
                assert!(n.abs_diff(TRIALS / 3) <= MARGIN, "{policy:?}: {ran:?}");
            }
            select_biased! {
                recv(ready) -> _ => {},
                send(s, 0) -> _ => panic!("the first ready case is chosen"),
            }
        }
    });
}

// ---- many at once -------------------------------------------------------------------------------------

/// What became of the sends and receives of a crowd.
#[derive(Clone, Default)]
struct Tally {
    sent: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    received: Arc<AtomicUsize>,
}

fn one_more(n: &AtomicUsize) {
    n.fetch_add(1, Ordering::Relaxed);
}

/// Sends `value` in one of the ways there are; true if it was sent.
fn send_somehow(s: &Sender<Value>, value: Value, way: usize, tally: &Tally) -> bool {
    let sent = match way {
        0 => s.send(value).is_ok(),
        1 => s.try_send(value).is_ok(),
        2 => s.send_timeout(value, LIMIT).is_ok(),
        3 => select! { send(s, value) -> sent => sent.is_ok() },
        4 => select! { send(s, std::convert::identity(value)) -> sent => sent.is_ok(), default => false },
        _ => {
            let mut list = Select::new();
            list.send(s);
            list.select().send(s, value).is_ok()
        }
    };
    if !sent && way <= 2 {
        one_more(&tally.failed);
    }
    sent
}

fn receive_somehow(r: &Receiver<Value>, way: usize) -> Option<Value> {
    match way {
        0 => r.recv().ok(),
        1 => r.recv_timeout(LIMIT).ok(),
        2 => select! { recv(r) -> v => v.ok() },
        _ => {
            let mut list = Select::new();
            list.recv(r);
            list.select().recv(r).ok()
        }
    }
}

const SENDERS: usize = 4;
const RECEIVERS: usize = 3;
const EACH: usize = 150;

fn crowd(policy: Policy, close_early: bool) {
    let (ledger, tally) = (Ledger::default(), Tally::default());
    let (s, r) = with_policy(policy);
    let mut all = Vec::new();
    for i in 0..SENDERS {
        let (s, ledger, tally, mut rng) = (s.clone(), ledger.clone(), tally.clone(), Rng::fresh());
        all.push(zokor::go(move || {
            for n in 0..EACH {
                if send_somehow(&s, ledger.value(i * EACH + n), rng.below(6), &tally) {
                    one_more(&tally.sent);
                }
                if close_early && i == 0 && n == EACH / 2 {
                    s.close().unwrap();
                }
                if rng.below(8) == 0 {
                    zokor::yield_now();
                }
            }
        }));
    }
    for _ in 0..RECEIVERS {
        let (r, tally, mut rng) = (r.clone(), tally.clone(), Rng::fresh());
        all.push(zokor::go(move || {
            while receive_somehow(&r, rng.below(4)).is_some() {
                one_more(&tally.received);
                if rng.below(4) == 0 {
                    zokor::yield_now();
                }
            }
        }));
    }
    drop(s);
    all.into_iter().for_each(|h| h.join().unwrap());
    let (sent, failed, received) = (tally.sent, tally.failed, tally.received);
    let (sent, failed, received) = (sent.into_inner_now(), failed.into_inner_now(), received.into_inner_now());
    assert!(r.is_empty() && r.is_closed());
    assert_eq!(sent, received + r.dropped() as usize, "{policy:?}: sent = received + dropped");
    assert_eq!(ledger.live(), 0, "{policy:?}: every value ends once");
    if !close_early && matches!(policy, Policy::Unbounded { high_water: Some(_) }) {
        assert_eq!(r.refused() as usize, failed, "{policy:?}: what failed was refused");
    }
    if !drops(policy) {
        assert_eq!(r.dropped(), 0);
    }
}

trait IntoInnerNow {
    fn into_inner_now(self) -> usize;
}

impl IntoInnerNow for Arc<AtomicUsize> {
    /// The joins have ordered everything before.
    fn into_inner_now(self) -> usize {
        self.load(Ordering::Relaxed)
    }
}

#[test]
fn qp08_sent_is_received_plus_dropped() {
    check(|| ALL.into_iter().for_each(|policy| crowd(policy, false)));
}

#[test]
fn qp08_qp09_sent_is_received_plus_dropped_when_it_is_closed_meanwhile() {
    check(|| ALL.into_iter().for_each(|policy| crowd(policy, true)));
}

#[test]
fn qp08_each_sender_is_received_in_order() {
    check(|| {
        for policy in ALL {
            let (s, r) = with_policy(policy);
            let senders: Vec<_> = (0..SENDERS)
                .map(|i| {
                    let s = s.clone();
                    zokor::go(move || {
                        for n in 0..EACH {
                            let _ = s.try_send((i, n));
                            zokor::yield_now();
                        }
                    })
                })
                .collect();
            drop(s);
            let mut last = [None; SENDERS];
            for (i, n) in r {
                assert!(last[i] < Some(n), "{policy:?}: {n} after {:?}", last[i]);
                last[i] = Some(n);
            }
            senders.into_iter().for_each(|h| h.join().unwrap());
        }
    });
}

#[test]
fn qp09_close_drain_and_disconnect_are_those_of_other_channels() {
    check(|| {
        for policy in ALL {
            let ledger = Ledger::default();
            let (s, r) = with_policy(policy);
            (0..3).for_each(|n| drop(s.try_send(ledger.value(n))));
            let (dropped, left) = (s.dropped(), s.len());
            s.close().unwrap();
            assert!(matches!(s.send(ledger.value(7)), Err(SendError(v)) if v.n == 7));
            assert!(matches!(s.try_send(ledger.value(8)), Err(TrySendError::Disconnected(v)) if v.n == 8));
            let value = ledger.value(9);
            select! { send(s, value) -> sent => assert_eq!(sent.unwrap_err().0.n, 9) }
            assert_eq!((s.dropped(), s.refused(), s.len()), (dropped, 0, left), "{policy:?}");
            assert_eq!(r.iter().count(), left);
            assert!(matches!(r.recv(), Err(RecvError)));
            assert_eq!(ledger.live(), 0);

            let (s, r) = with_policy(policy);
            (0..3).for_each(|n| drop(s.try_send(ledger.value(n))));
            drop(r);
            assert_eq!((ledger.live(), s.len()), (0, 0), "the last receiver takes them along");
            assert!(s.send(ledger.value(1)).is_err());
        }
    });
}

#[test]
fn qp09_plain_threads_send_without_waiting_too() {
    let _alone = alone();
    let (s, r) = with_policy(Policy::DropOldest(8));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let s = s.clone();
            std::thread::spawn(move || (0..1000).for_each(|n| s.send(n).unwrap()))
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!((s.len(), s.dropped()), (8, 4 * 1000 - 8));
    drop(s);
    assert_eq!(r.iter().count(), 8);
}

// ---- bytes --------------------------------------------------------------------------------------------

/// How often each element went to the drop function.
struct Ended(Vec<AtomicU32>);

impl Ended {
    fn new(n: usize) -> Arc<Ended> {
        Arc::new(Ended((0..n).map(|_| AtomicU32::new(0)).collect()))
    }

    fn of(&self, n: usize) -> u32 {
        self.0[n].load(Ordering::Relaxed)
    }
}

unsafe extern "C-unwind" fn note_end(elem: *mut u8, user: *mut c_void) {
    // SAFETY: elements begin with their number, and the user's word is an `Ended` that outlives the channel.
    unsafe {
        (&(*user.cast::<Ended>()).0)[elem.cast::<u64>().read_unaligned() as usize].fetch_add(1, Ordering::Relaxed)
    };
}

fn bytes(words: usize, capacity: usize, overflow: Option<Overflow>, ended: Option<&Arc<Ended>>) -> Arc<ByteChan> {
    let opts = ByteChanOpts {
        elem_size: words * 8,
        capacity,
        overflow,
        drop: ended.map(|_| note_end as _),
        user: ended.map_or(std::ptr::null_mut(), |e| Arc::as_ptr(e).cast_mut().cast()),
        name: Some("bytes".into()),
    };
    ByteChan::new(opts).expect("a small channel")
}

/// An element whose words all say `n`.
fn send_words(c: &ByteChan, n: u64, deadline: i64) -> raw::Result<()> {
    let elem = vec![n; c.elem_size() / 8];
    // SAFETY: the element has the channel's size and lives across the call.
    let sent = unsafe { c.send(elem.as_ptr().cast(), deadline) };
    assert!(elem.iter().all(|w| *w == n), "the caller's element stays as it is");
    sent
}

fn recv_words(c: &ByteChan) -> raw::Result<u64> {
    let mut elem = vec![u64::MAX; c.elem_size() / 8];
    // SAFETY: as above.
    unsafe { c.recv(elem.as_mut_ptr().cast(), raw::NOWAIT) }?;
    assert!(elem.iter().all(|w| *w == elem[0]), "an element is whole");
    Ok(elem[0])
}

#[test]
fn qp06_dropped_elements_go_to_the_drop_function_once() {
    check(|| {
        for words in [1, 2, 3, 32, 33, 100] {
            for (overflow, cap) in
                [(Overflow::DropOldest, 3_usize), (Overflow::DropNewest, 3), (Overflow::DropOldest, 0)]
            {
                let ended = Ended::new(20);
                let c = bytes(words, cap, Some(overflow), Some(&ended));
                for n in 0..10 {
                    send_words(&c, n, raw::FOREVER).unwrap();
                }
                for n in 10..20_u64 {
                    let elem = vec![n; words];
                    let case = raw::Case { chan: &*c, elem: elem.as_ptr().cast_mut().cast(), op: Op::Send };
                    // SAFETY: the element has the channel's size; it is not written to.
                    let chosen = unsafe { raw::select(&[case, case], raw::FOREVER, Order::Fair) }.unwrap();
                    assert!(chosen.ok() && elem.iter().all(|w| *w == n));
                }
                let dropped = c.policy().unwrap().dropped();
                assert_eq!(dropped as usize, 20 - cap);
                let kept = if overflow == Overflow::DropOldest { 20 - cap..20 } else { 0..cap };
                (0..20).for_each(|n| assert_eq!(ended.of(n), u32::from(!kept.contains(&n)), "{overflow:?} {n}"));
                assert_eq!(recv_words(&c).ok(), kept.clone().next().map(|n| n as u64));
                drop(c);
                (0..20)
                    .for_each(|n| assert_eq!(ended.of(n), u32::from(kept.start != n || cap == 0), "{overflow:?} {n}"));
            }
        }
    });
}

#[test]
fn qp01_elements_without_a_drop_function_are_overwritten() {
    check(|| {
        for words in [0, 1, 40] {
            let c = bytes(words, 2, Some(Overflow::DropOldest), None);
            for n in 0..5 {
                send_words(&c, n, raw::NOWAIT).unwrap();
            }
            assert_eq!((c.len(), c.policy().unwrap().dropped()), (2, 3));
            if words > 0 {
                assert_eq!((recv_words(&c), recv_words(&c)), (Ok(3), Ok(4)));
            }
        }
    });
}

#[test]
fn qp04_elements_at_the_mark_are_refused() {
    check(|| {
        for mark in [1, 16, 17, 100] {
            let c = bytes(1, mark, Some(Overflow::Refuse), None);
            for n in 0..mark as u64 {
                send_words(&c, n, raw::NOWAIT).unwrap();
            }
            assert_eq!(send_words(&c, 0, raw::NOWAIT), Err(raw::Error::WouldBlock));
            assert_eq!(send_words(&c, 0, raw::FOREVER), Err(raw::Error::Limit));
            assert_eq!((c.policy().unwrap().refused(), c.len(), c.cap()), (2, mark, mark));
            for n in 0..mark as u64 {
                assert_eq!(recv_words(&c), Ok(n));
                send_words(&c, mark as u64 + n, raw::FOREVER).unwrap();
            }
            (0..mark).for_each(|n| assert_eq!(recv_words(&c), Ok((mark + n) as u64)));
        }
    });
}

#[test]
fn qp10_a_byte_queue_grows_and_shrinks_and_keeps_the_order() {
    check(|| {
        for mark in [0, 20_000] {
            let ended = Ended::new(1);
            let c = bytes(3, mark, Some(Overflow::Refuse), Some(&ended));
            let (mut next, mut first) = (0, 0);
            let mut rng = Rng::fresh();
            for most in [10, 20_000, 3, 5000, 0] {
                while next - first < most {
                    send_words(&c, next, raw::NOWAIT).unwrap();
                    next += 1;
                    if rng.below(4) == 0 {
                        assert_eq!(recv_words(&c), Ok(first));
                        first += 1;
                    }
                }
                while next - first > most / 2 {
                    assert_eq!(recv_words(&c), Ok(first));
                    first += 1;
                }
            }
            // Round after round with little in it: the ring comes down step by step.
            for _ in 0..60_000 {
                send_words(&c, next, raw::NOWAIT).unwrap();
                assert_eq!(recv_words(&c), Ok(next));
                next += 1;
            }
            assert!(c.is_empty());
        }
    });
}

/// Bytes that 20,000 values of three words take at least.
const MANY: isize = 20_000 * 24;

#[test]
fn qp10_a_byte_queue_that_was_long_gives_its_memory_back() {
    check(|| {
        for mark in [0, 20_000] {
            let before = IN_USE.load(Ordering::Relaxed);
            let c = bytes(3, mark, Some(Overflow::Refuse), None);
            (0..20_000).for_each(|n| send_words(&c, n, raw::NOWAIT).unwrap());
            assert!(IN_USE.load(Ordering::Relaxed) - before >= MANY);
            (0..20_000).for_each(|n| assert_eq!(recv_words(&c), Ok(n)));
            // Half of the slots in each round.
            for n in 0..70_000 {
                send_words(&c, n, raw::NOWAIT).unwrap();
                assert_eq!(recv_words(&c), Ok(n));
            }
            assert!(IN_USE.load(Ordering::Relaxed) - before < MANY / 8);
        }
    });
}

#[test]
fn qp10_a_queue_of_values_that_was_long_gives_its_memory_back() {
    check(|| {
        let before = IN_USE.load(Ordering::Relaxed);
        let (s, r) = with_policy(Policy::Unbounded { high_water: Some(20_000) });
        (0..20_000_u64).for_each(|n| s.send([n; 3]).unwrap());
        assert!(s.try_send([0; 3]).is_err());
        assert!(IN_USE.load(Ordering::Relaxed) - before >= MANY);
        (0..20_000).for_each(|n| assert_eq!(r.recv(), Ok([n; 3])));
        assert!(IN_USE.load(Ordering::Relaxed) - before < MANY / 8);
    });
}

#[test]
fn qp08_bytes_sent_are_received_or_dropped() {
    check(|| {
        for (overflow, cap) in [
            (None, 4),
            (Some(Overflow::Refuse), 0),
            (Some(Overflow::Refuse), 4),
            (Some(Overflow::DropOldest), 4),
            (Some(Overflow::DropNewest), 4),
        ] {
            let ended = Ended::new(SENDERS * EACH);
            let c = bytes(2, cap, overflow, Some(&ended));
            let sent = Counter::default();
            let senders: Vec<_> = (0..SENDERS)
                .map(|i| {
                    let (c, sent) = (c.clone(), sent.clone());
                    zokor::go(move || {
                        for n in 0..EACH {
                            let n = (i * EACH + n) as u64;
                            sent.add(i64::from(send_words(&c, n, raw::FOREVER).is_ok()));
                            zokor::yield_now();
                        }
                    })
                })
                .collect();
            let receivers: Vec<_> = (0..RECEIVERS)
                .map(|_| {
                    let c = c.clone();
                    zokor::go(move || {
                        let mut received = 0;
                        // Into nothing: the elements go to the drop function as well.
                        // SAFETY: nothing is written.
                        while unsafe { c.recv(std::ptr::null_mut(), raw::FOREVER) }.is_ok() {
                            received += 1;
                        }
                        received
                    })
                })
                .collect();
            senders.into_iter().for_each(|h| h.join().unwrap());
            c.close().unwrap();
            let received: i64 = receivers.into_iter().map(|h| h.join().unwrap()).sum();
            let (dropped, refused) = c.policy().map_or((0, 0), |p| (p.dropped() as i64, p.refused() as i64));
            assert_eq!(sent.get(), received + dropped, "{overflow:?}");
            assert_eq!(sent.get() + refused, (SENDERS * EACH) as i64, "{overflow:?}");
            let ends: i64 = (0..SENDERS * EACH).map(|n| i64::from(ended.of(n))).sum();
            assert_eq!(ends, sent.get(), "{overflow:?}: what was sent ends, once");
            (0..SENDERS * EACH).for_each(|n| assert!(ended.of(n) <= 1, "{overflow:?}: {n} ends twice"));
        }
    });
}

// ---- producers ----------------------------------------------------------------------------------------

#[test]
fn pr01_the_last_producer_closes_the_channel() {
    check(|| {
        for overflow in [None, Some(Overflow::DropOldest), Some(Overflow::Refuse)] {
            let c = bytes(1, 4, overflow, None);
            assert!(c.add_producer() && c.more_producers());
            c.drop_producer();
            assert!(!c.is_closed());
            send_words(&c, 5, raw::NOWAIT).unwrap();
            c.drop_producer();
            assert!(c.is_closed() && !c.add_producer(), "it does not come back");
            assert_eq!(recv_words(&c), Ok(5));
            assert_eq!(recv_words(&c), Err(raw::Error::Closed));
        }
        let closed = bytes(1, 4, None, None);
        assert!(closed.add_producer());
        closed.close().unwrap();
        assert!(!closed.add_producer());
        closed.drop_producer();
    });
}

#[test]
fn pr01_of_several_producers_the_last_closes_whoever_that_is() {
    check(|| {
        let c = bytes(1, 2, None, None);
        assert!(c.add_producer());
        let mut all = Vec::new();
        for i in 0..8 {
            assert!(c.add_producer());
            let c = c.clone();
            all.push(zokor::go(move || {
                for n in 0..10 {
                    send_words(&c, i * 10 + n, raw::FOREVER).unwrap();
                }
                c.drop_producer();
            }));
        }
        c.drop_producer();
        let mut seen = Vec::new();
        let mut elem = 0_u64;
        // SAFETY: the element has the channel's size.
        while unsafe { c.recv((&raw mut elem).cast(), raw::FOREVER) }.is_ok() {
            seen.push(elem);
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..80));
        all.into_iter().for_each(|h| h.join().unwrap());
    });
}
