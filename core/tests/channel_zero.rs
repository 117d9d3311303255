//! Channels without a buffer.

mod ground;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use ground::*;
use zokor::channel::{bounded, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};

#[test]
fn is_empty_and_full_at_once() {
    everywhere(|ground| {
        let (s, r) = bounded::<u8>(0);
        assert_eq!((s.capacity(), r.capacity()), (Some(0), Some(0)));
        let look = || {
            assert_eq!((s.len(), r.len()), (0, 0));
            assert!(s.is_empty() && s.is_full() && r.is_empty() && r.is_full());
        };
        look();
        let sender = {
            let s = s.clone();
            ground.go(move || s.send(1))
        };
        until_sender_waits(&r);
        look();
        r.recv().unwrap();
        sender.join().unwrap();
        look();
    });
}

#[test]
fn trying_needs_a_partner_that_waits() {
    everywhere(|ground| {
        let (s, r) = bounded(0);
        assert_eq!(s.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        let receiver = {
            let r = r.clone();
            ground.go(move || r.recv())
        };
        until_receiver_waits(&s);
        assert_eq!(s.try_send(2), Ok(()));
        assert_eq!(s.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!(receiver.join(), Ok(2));
        let sender = ground.go(move || s.send(4));
        until_sender_waits(&r);
        assert_eq!(r.try_recv(), Ok(4));
        assert_eq!(sender.join(), Ok(()));
    });
}

#[test]
fn a_send_returns_only_after_the_receive() {
    everywhere(|ground| {
        let (s, r) = bounded(0);
        let received = Arc::new(AtomicBool::new(false));
        let returned = Arc::new(AtomicBool::new(false));
        let sender = {
            let (received, returned) = (received.clone(), returned.clone());
            ground.go(move || {
                s.send(()).unwrap();
                returned.store(true, Ordering::SeqCst);
                assert!(received.load(Ordering::SeqCst));
            })
        };
        until_sender_waits(&r);
        assert!(!returned.load(Ordering::SeqCst));
        received.store(true, Ordering::SeqCst);
        r.recv().unwrap();
        sender.join();
    });
}

#[test]
fn both_sides_give_up_in_time() {
    everywhere(|_| {
        let (s, r) = bounded(0);
        let start = Instant::now();
        assert_eq!(s.send_timeout(1, A_WHILE), Err(SendTimeoutError::Timeout(1)));
        assert!(start.elapsed() >= A_WHILE);
        assert_eq!(r.recv_timeout(A_WHILE), Err(RecvTimeoutError::Timeout));
        assert!(start.elapsed() >= 2 * A_WHILE);
        // Who gave up has left nothing behind.
        assert_eq!(s.try_send(2), Err(TrySendError::Full(2)));
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn timed_operations_meet() {
    everywhere(|ground| {
        let (s, r) = bounded(0);
        let sender = ground.go(move || (s.send_timeout(1, PLENTY), s.send_deadline(2, Instant::now() + PLENTY)));
        assert_eq!(r.recv_timeout(PLENTY), Ok(1));
        assert_eq!(r.recv_deadline(Instant::now() + PLENTY), Ok(2));
        assert_eq!(sender.join(), (Ok(()), Ok(())));
    });
}

#[test]
fn disconnecting_wakes_the_other_side() {
    everywhere(|ground| {
        let (s, r) = bounded(0);
        let sender = ground.go(move || s.send(5));
        until_sender_waits(&r);
        drop(r);
        assert_eq!(sender.join(), Err(SendError(5)));

        let (s, r) = bounded::<u8>(0);
        let receiver = ground.go(move || r.recv());
        until_receiver_waits(&s);
        drop(s);
        assert_eq!(receiver.join(), Err(RecvError));
    });
}

#[test]
fn ping_pong() {
    everywhere(|ground| {
        let (ping, pinged) = bounded(0);
        let (pong, ponged) = bounded(0);
        let partner = ground.go(move || {
            for n in pinged {
                pong.send(n + 1).unwrap();
            }
        });
        let mut n = 0;
        while n < 2000 {
            ping.send(n).unwrap();
            n = ponged.recv().unwrap();
        }
        drop(ping);
        partner.join();
        assert_eq!(ponged.recv(), Err(RecvError));
    });
}

#[test]
fn many_to_many_hand_over_everything() {
    everywhere(|ground| {
        let (s, r) = bounded(0);
        let mint = Mint::default();
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let r = r.clone();
                ground.go(move || r.iter().map(|token: Token| *token.n).sum::<usize>())
            })
            .collect();
        let senders: Vec<_> = (0..4)
            .map(|who| {
                let (s, mint) = (s.clone(), mint.clone());
                ground.go(move || (0..500).for_each(|n| s.send(mint.token(who * 500 + n)).unwrap()))
            })
            .collect();
        drop((s, r));
        senders.into_iter().for_each(Task::join);
        let sum: usize = receivers.into_iter().map(Task::join).sum();
        assert_eq!((sum, mint.live()), ((0..2000).sum(), 0));
    });
}
