//! Channels without a limit.

mod ground;

use std::time::Instant;

use ground::*;
use zokor::channel::{unbounded, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};

#[test]
fn sends_and_receives() {
    everywhere(|_| {
        let (s, r) = unbounded();
        s.send(1).unwrap();
        s.try_send(2).unwrap();
        s.send_timeout(3, PLENTY).unwrap();
        s.send_deadline(4, Instant::now()).unwrap();
        assert_eq!(r.recv(), Ok(1));
        assert_eq!(r.try_recv(), Ok(2));
        assert_eq!(r.recv_timeout(PLENTY), Ok(3));
        assert_eq!(r.recv_deadline(Instant::now()), Ok(4));
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn has_no_capacity_and_is_never_full() {
    everywhere(|_| {
        let (s, r) = unbounded();
        assert_eq!((s.capacity(), r.capacity()), (None, None));
        for n in 0..1000 {
            assert_eq!((s.len(), r.len()), (n, n));
            assert_eq!((s.is_empty(), r.is_empty()), (n == 0, n == 0));
            assert!(!s.is_full() && !r.is_full());
            s.send(n).unwrap();
        }
        for n in (0..1000).rev() {
            r.recv().unwrap();
            assert_eq!((s.len(), r.len()), (n, n));
        }
    });
}

#[test]
fn receive_waits_for_a_send() {
    everywhere(|ground| {
        let (s, r) = unbounded();
        let (about_to, goes) = unbounded();
        let receiver = ground.go(move || {
            about_to.send(()).unwrap();
            r.recv()
        });
        goes.recv().unwrap();
        s.send(7).unwrap();
        assert_eq!(receiver.join(), Ok(7));
    });
}

#[test]
fn receive_gives_up_in_time() {
    everywhere(|_| {
        let (_s, r) = unbounded::<u8>();
        let start = Instant::now();
        assert_eq!(r.recv_timeout(A_WHILE), Err(RecvTimeoutError::Timeout));
        assert!(start.elapsed() >= A_WHILE);
        let deadline = Instant::now() + A_WHILE;
        assert_eq!(r.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
        assert!(Instant::now() >= deadline);
        // A deadline that has passed allows one try.
        assert_eq!(r.recv_deadline(start), Err(RecvTimeoutError::Timeout));
        assert_eq!(r.recv_timeout(ms(0)), Err(RecvTimeoutError::Timeout));
    });
}

#[test]
fn a_timed_receive_gets_what_comes_in_time() {
    everywhere(|ground| {
        let (s, r) = unbounded();
        let receiver = ground.go(move || [r.recv_timeout(PLENTY), r.recv_timeout(std::time::Duration::MAX)]);
        s.send('a').unwrap();
        s.send('b').unwrap();
        assert_eq!(receiver.join(), [Ok('a'), Ok('b')]);
    });
}

#[test]
fn without_senders_the_rest_is_received_and_then_nothing() {
    everywhere(|_| {
        let (s, r) = unbounded();
        s.send(1).unwrap();
        s.clone().send(2).unwrap();
        drop(s);
        assert!(r.is_closed());
        assert_eq!((r.recv(), r.try_recv()), (Ok(1), Ok(2)));
        assert_eq!(r.recv(), Err(RecvError));
        assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(r.recv_timeout(PLENTY), Err(RecvTimeoutError::Disconnected));
        assert_eq!(r.recv_deadline(Instant::now()), Err(RecvTimeoutError::Disconnected));
    });
}

#[test]
fn without_receivers_messages_come_back() {
    everywhere(|_| {
        let (s, r) = unbounded();
        drop(r.clone());
        s.send(0).unwrap();
        assert!(!s.is_closed());
        drop(r);
        assert!(s.is_closed());
        assert_eq!(s.send(1), Err(SendError(1)));
        assert_eq!(s.try_send(2), Err(TrySendError::Disconnected(2)));
        assert_eq!(s.send_timeout(3, PLENTY), Err(SendTimeoutError::Disconnected(3)));
        assert_eq!(s.send_deadline(4, Instant::now()), Err(SendTimeoutError::Disconnected(4)));
        assert_eq!(s.len(), 0);
    });
}

#[test]
fn the_last_sender_wakes_waiting_receivers() {
    everywhere(|ground| {
        let (s, r) = unbounded::<u8>();
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let r = r.clone();
                ground.go(move || r.recv())
            })
            .collect();
        drop(s);
        for receiver in receivers {
            assert_eq!(receiver.join(), Err(RecvError));
        }
    });
}

#[test]
fn messages_of_one_sender_stay_in_order() {
    const COUNT: usize = 20_000;
    everywhere(|ground| {
        let (s, r) = unbounded();
        let sender = ground.go(move || (0..COUNT).for_each(|n| s.send(n).unwrap()));
        for n in 0..COUNT {
            assert_eq!(r.recv(), Ok(n));
        }
        assert_eq!(r.recv(), Err(RecvError));
        sender.join();
    });
}

#[test]
fn many_to_many_loses_and_doubles_nothing() {
    const SENDERS: usize = 4;
    const EACH: usize = 2_000;
    everywhere(|ground| {
        let (s, r) = unbounded();
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let r = r.clone();
                ground.go(move || r.iter().collect::<Vec<(usize, usize)>>())
            })
            .collect();
        let senders: Vec<_> = (0..SENDERS)
            .map(|who| {
                let s = s.clone();
                ground.go(move || (0..EACH).for_each(|n| s.send((who, n)).unwrap()))
            })
            .collect();
        drop((s, r));
        senders.into_iter().for_each(Task::join);
        let mut all = Vec::new();
        for receiver in receivers {
            let got = receiver.join();
            for who in 0..SENDERS {
                assert!(got.iter().filter(|m| m.0 == who).is_sorted(), "each receiver sees each sender in order");
            }
            all.extend(got);
        }
        all.sort_unstable();
        let expected: Vec<_> = (0..SENDERS).flat_map(|who| (0..EACH).map(move |n| (who, n))).collect();
        assert_eq!(all, expected);
    });
}

#[test]
fn values_without_size_are_counted() {
    everywhere(|_| {
        let (s, r) = unbounded();
        for _ in 0..100 {
            s.send(()).unwrap();
        }
        assert_eq!(r.len(), 100);
        assert_eq!(r.try_iter().count(), 100);
    });
}

#[test]
fn channels_travel_through_channels() {
    everywhere(|ground| {
        let (s, r) = unbounded();
        let answering = ground.go(move || {
            for (question, answer) in r {
                let answer: zokor::channel::Sender<i32> = answer;
                answer.send(question * 2).unwrap();
            }
        });
        for question in 0..100 {
            let (answer, answered) = unbounded();
            s.send((question, answer)).unwrap();
            assert_eq!(answered.recv(), Ok(question * 2));
            assert_eq!(answered.recv(), Err(RecvError));
        }
        drop(s);
        answering.join();
    });
}

#[test]
fn a_long_queue_keeps_its_order_while_it_grows_and_shrinks() {
    everywhere(|_| {
        let (s, r) = unbounded();
        let (mut sent, mut got) = (0, 0);
        for (sends, receives) in [(3000, 100), (5000, 7000), (20_000, 20_900), (10, 10), (9000, 9000)] {
            for _ in 0..sends {
                s.send(sent).unwrap();
                sent += 1;
            }
            for _ in 0..receives {
                assert_eq!(r.try_recv(), Ok(got));
                got += 1;
            }
            assert_eq!(r.len(), sent - got);
        }
        assert_eq!((sent, r.try_recv()), (got, Err(TryRecvError::Empty)));
    });
}
