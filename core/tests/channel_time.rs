//! Receivers on which time arrives: `after`, `at`, `tick`; and `never`.

mod ground;

use std::time::{Duration, Instant};

use ground::*;
use zokor::channel::{after, at, never, select, tick, CloseError, RecvTimeoutError, Select, TryRecvError};

#[test]
fn after_delivers_the_instant_it_was_due() {
    everywhere(|_| {
        let before = Instant::now();
        let r = after(ms(20));
        let made = Instant::now();
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        let due = r.recv().unwrap();
        assert!(before + ms(20) <= due && due <= made + ms(20));
        assert!(Instant::now() >= due);
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty), "it fires once");
    });
}

#[test]
fn at_delivers_its_instant() {
    everywhere(|_| {
        let when = Instant::now() + ms(10);
        assert_eq!(at(when).recv(), Ok(when));
        assert!(Instant::now() >= when);
        let past = Instant::now() - ms(1);
        assert_eq!(at(past).try_recv(), Ok(past));
    });
}

#[test]
fn a_due_tick_is_one_buffered_message() {
    everywhere(|_| {
        for make in [after, tick] {
            let far = make(ms(3_600_000));
            assert_eq!(far.capacity(), Some(1));
            assert_eq!((far.len(), far.is_empty(), far.is_full()), (0, true, false));
            let r = make(ms(1));
            wait_until(|| r.is_full());
            assert_eq!((r.len(), r.is_empty(), r.is_full()), (1, false, true));
            r.try_recv().unwrap();
        }
        let r = after(ms(0));
        r.recv().unwrap();
        assert_eq!((r.len(), r.is_empty(), r.is_full()), (0, true, false));
    });
}

#[test]
fn a_timed_receive_may_end_before_the_timer() {
    everywhere(|_| {
        let start = Instant::now();
        let r = after(ms(60));
        let early = r.recv_timeout(ms(10));
        assert!(start.elapsed() >= ms(10));
        // Who is kept from running for long may find the timer due the first time.
        assert!(early == Err(RecvTimeoutError::Timeout) || start.elapsed() >= ms(60));
        let due = early.or_else(|_| r.recv_timeout(PLENTY)).unwrap();
        assert!(due - start >= ms(60));
        assert_eq!(r.recv_timeout(ms(10)), Err(RecvTimeoutError::Timeout), "it has fired");
    });
}

#[test]
fn one_of_many_receivers_gets_the_tick() {
    everywhere(|ground| {
        let r = after(ms(10));
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let r = r.clone();
                ground.go(move || r.recv_timeout(ms(60)).is_ok())
            })
            .collect();
        let got = receivers.into_iter().map(Task::join).filter(|got| *got).count();
        // If all were kept from running for long, their deadlines may have come first.
        let left = r.try_recv().is_ok() || got == 0 && r.recv_timeout(PLENTY).is_ok();
        assert_eq!(got + usize::from(left), 1);
    });
}

#[test]
fn earlier_timers_fire_first() {
    everywhere(|_| {
        let (late, early) = (after(PLENTY), after(ms(10)));
        select! {
            recv(late) -> _ => panic!("the later timer came first"),
            recv(early) -> due => assert!(due.is_ok()),
        }
    });
}

#[test]
fn an_inexpressible_duration_never_passes() {
    everywhere(|_| {
        for r in [after(Duration::MAX), tick(Duration::MAX)] {
            assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(r.recv_timeout(ms(1)), Err(RecvTimeoutError::Timeout));
        }
    });
}

#[test]
fn ticks_keep_their_rhythm() {
    everywhere(|_| {
        let period = ms(20);
        let r = tick(period);
        let first = r.recv().unwrap();
        // Sleep through some ticks: one of them waits, the others are lost, the rhythm stays.
        let pause = Instant::now() + 3 * period + ms(5);
        wait_until(|| Instant::now() >= pause);
        let mut last = first;
        for _ in 0..3 {
            let due = r.recv().unwrap();
            assert!(due > last);
            assert_eq!((due - first).as_nanos() % period.as_nanos(), 0);
            assert!(Instant::now() >= due);
            last = due;
        }
    });
}

#[test]
fn ticks_come_no_faster_than_the_period() {
    everywhere(|_| {
        let start = Instant::now();
        let r = tick(ms(10));
        for n in 1..=5 {
            r.recv().unwrap();
            assert!(start.elapsed() >= ms(10) * n);
        }
    });
}

#[test]
fn a_tick_of_zero_is_always_due() {
    everywhere(|_| {
        let r = tick(ms(0));
        for _ in 0..100 {
            r.recv().unwrap();
        }
        wait_until(|| r.try_recv().is_ok());
    });
}

#[test]
fn ticks_are_shared_by_clones() {
    everywhere(|ground| {
        let r = tick(ms(1));
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let r = r.clone();
                ground.go(move || (0..10).map(|_| r.recv().unwrap()).collect::<Vec<_>>())
            })
            .collect();
        let mut all: Vec<Instant> = receivers.into_iter().flat_map(Task::join).collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "no tick comes twice");
    });
}

#[test]
fn never_waits_in_vain() {
    everywhere(|_| {
        const NEVER: zokor::channel::Receiver<u8> = never();
        let r = NEVER;
        assert_eq!((r.len(), r.is_empty(), r.is_full(), r.capacity()), (0, true, true, Some(0)));
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        let start = Instant::now();
        assert_eq!(r.recv_timeout(ms(10)), Err(RecvTimeoutError::Timeout));
        assert_eq!(r.recv_deadline(Instant::now() + ms(10)), Err(RecvTimeoutError::Timeout));
        assert!(start.elapsed() >= ms(20));
        let mut select = Select::new();
        select.recv(&r);
        assert!(select.try_select().is_err());
        assert!(select.select_timeout(ms(5)).is_err());
        assert!(select.ready_timeout(ms(5)).is_err());
        select! {
            recv(r) -> _ => unreachable!(),
            default => {}
        }
    });
}

#[test]
fn never_leaves_a_case_out() {
    everywhere(|_| {
        for wanted in [true, false] {
            let r = if wanted { after(ms(0)) } else { never() };
            let got = select! {
                recv(r) -> _ => true,
                recv(after(ms(20))) -> _ => false,
            };
            assert!(wanted || !got);
        }
    });
}

#[test]
fn timers_cannot_be_closed() {
    everywhere(|_| {
        for r in [after(ms(1)), at(Instant::now()), tick(ms(1)), never()] {
            assert_eq!(r.close(), Err(CloseError::NoSender));
            assert!(!r.is_closed());
        }
    });
}

#[test]
fn many_timers_at_once() {
    everywhere(|ground| {
        let start = Instant::now();
        let waiting: Vec<_> = (0..50)
            .map(|n| {
                let limit = ms(n % 10);
                ground.go(move || after(limit).recv().unwrap() - start >= limit)
            })
            .collect();
        assert!(waiting.into_iter().all(Task::join));
    });
}
