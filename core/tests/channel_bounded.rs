//! Channels with a buffer of a given size.

mod ground;

use std::time::Instant;

use ground::*;
use zokor::channel::{
    bounded, CloseError, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};

#[test]
fn holds_as_much_as_it_says() {
    everywhere(|_| {
        for capacity in [1, 2, 5, 64] {
            let (s, r) = bounded(capacity);
            assert_eq!((s.capacity(), r.capacity()), (Some(capacity), Some(capacity)));
            for n in 0..capacity {
                assert_eq!((s.len(), s.is_full(), r.is_full(), r.is_empty()), (n, false, false, n == 0));
                s.try_send(n).unwrap();
            }
            assert!(s.is_full() && r.is_full());
            assert_eq!(s.try_send(99), Err(TrySendError::Full(99)));
            assert_eq!(r.len(), capacity);
            assert_eq!(r.try_iter().collect::<Vec<_>>(), (0..capacity).collect::<Vec<_>>());
        }
    });
}

#[test]
fn keeps_order_around_the_end_of_the_buffer() {
    everywhere(|_| {
        let (s, r) = bounded(3);
        let (mut sent, mut got) = (0, 0);
        for round in 0..50 {
            for _ in 0..=round % 3 {
                s.try_send(sent).unwrap();
                sent += 1;
            }
            while let Ok(n) = r.try_recv() {
                assert_eq!(n, got);
                got += 1;
            }
        }
        assert_eq!(sent, got);
    });
}

#[test]
fn a_send_waits_for_room() {
    everywhere(|ground| {
        let (s, r) = bounded(2);
        let sender = ground.go(move || (0..1000).for_each(|n| s.send(n).unwrap()));
        wait_until(|| r.is_full());
        for n in 0..1000 {
            assert!(r.len() <= 2);
            assert_eq!(r.recv(), Ok(n));
        }
        sender.join();
        assert_eq!(r.recv(), Err(RecvError));
    });
}

#[test]
fn a_send_gives_up_in_time() {
    everywhere(|_| {
        let (s, _r) = bounded(1);
        s.send('a').unwrap();
        let start = Instant::now();
        assert_eq!(s.send_timeout('b', A_WHILE), Err(SendTimeoutError::Timeout('b')));
        assert!(start.elapsed() >= A_WHILE);
        let deadline = Instant::now() + A_WHILE;
        assert_eq!(s.send_deadline('c', deadline), Err(SendTimeoutError::Timeout('c')));
        assert!(Instant::now() >= deadline);
        assert_eq!(s.send_deadline('d', start), Err(SendTimeoutError::Timeout('d')));
    });
}

#[test]
fn a_timed_send_gets_the_room_that_comes_in_time() {
    everywhere(|ground| {
        let (s, r) = bounded(1);
        s.send(0).unwrap();
        let sender = ground.go(move || s.send_timeout(1, PLENTY));
        assert_eq!((r.recv(), r.recv()), (Ok(0), Ok(1)));
        assert_eq!(sender.join(), Ok(()));
    });
}

#[test]
fn the_last_receiver_gives_waiting_senders_their_messages_back() {
    everywhere(|ground| {
        let (s, r) = bounded(1);
        s.send(0).unwrap();
        let senders: Vec<_> = (1..=4)
            .map(|n| {
                let s = s.clone();
                ground.go(move || (n, s.send(n)))
            })
            .collect();
        drop(r);
        for sender in senders {
            let (n, result) = sender.join();
            assert_eq!(result, Err(SendError(n)));
        }
    });
}

#[test]
fn close_ends_sends_and_keeps_what_is_buffered() {
    everywhere(|ground| {
        let (s, r) = bounded(2);
        s.send(1).unwrap();
        s.send(2).unwrap();
        let waiting = {
            let s = s.clone();
            ground.go(move || s.send(3))
        };
        let closing = s.clone();
        assert!(!s.is_closed() && !r.is_closed());
        assert_eq!(closing.close(), Ok(()));
        assert!(s.is_closed() && r.is_closed());
        assert_eq!(waiting.join(), Err(SendError(3)));
        assert_eq!(s.try_send(4), Err(TrySendError::Disconnected(4)));
        assert_eq!(s.close(), Err(CloseError::Closed));
        assert_eq!(r.close(), Err(CloseError::Closed));
        assert_eq!((r.recv(), r.recv_timeout(PLENTY)), (Ok(1), Ok(2)));
        assert_eq!(r.recv(), Err(RecvError));
        assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn close_by_a_receiver_wakes_everybody() {
    everywhere(|ground| {
        let (s, r) = bounded::<u8>(1);
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let r = r.clone();
                ground.go(move || (r.recv(), r.recv_timeout(PLENTY)))
            })
            .collect();
        r.close().unwrap();
        for receiver in receivers {
            assert_eq!(receiver.join(), (Err(RecvError), Err(RecvTimeoutError::Disconnected)));
        }
        assert_eq!(s.send(1), Err(SendError(1)));
    });
}

#[test]
fn a_channel_is_a_semaphore() {
    everywhere(|ground| {
        let (permits, give_back) = bounded(3);
        let inside = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let tasks: Vec<_> = (0..12)
            .map(|_| {
                let (permits, give_back, inside) = (permits.clone(), give_back.clone(), inside.clone());
                ground.go(move || {
                    for _ in 0..50 {
                        permits.send(()).unwrap();
                        let n = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert!(n < 3, "{n} inside already");
                        zokor::yield_now();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        give_back.recv().unwrap();
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(Task::join);
        assert!(permits.is_empty());
    });
}

#[test]
fn many_to_many_through_a_small_buffer() {
    everywhere(|ground| {
        let (s, r) = bounded(3);
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let r = r.clone();
                ground.go(move || r.iter().sum::<usize>())
            })
            .collect();
        let senders: Vec<_> = (0..4)
            .map(|who| {
                let s = s.clone();
                ground.go(move || (0..2000).for_each(|n| s.send(who * 2000 + n).unwrap()))
            })
            .collect();
        drop((s, r));
        senders.into_iter().for_each(Task::join);
        let sum: usize = receivers.into_iter().map(Task::join).sum();
        assert_eq!(sum, (0..8000).sum());
    });
}

#[test]
fn an_impossible_capacity_panics() {
    for capacity in [usize::MAX, usize::MAX / 8, 1 << 45] {
        assert_eq!(panic_text(|| drop(bounded::<u64>(capacity))), "makechan: size out of range");
    }
}
