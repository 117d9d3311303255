//! Ownership: every message is dropped exactly once, whatever becomes of it.

mod ground;

use std::panic::{catch_unwind, AssertUnwindSafe};

use ground::*;
use zokor::channel::{bounded, never, select, unbounded, Receiver, Select, Sender};

#[test]
fn the_last_receiver_takes_buffered_messages_along() {
    everywhere(|_| {
        for capacity in [None, Some(7)] {
            let mint = Mint::default();
            let (s, r) = capacity.map_or_else(unbounded, bounded);
            for n in 0..7 {
                s.send(mint.token(n)).unwrap();
            }
            drop(r.recv());
            drop(r.clone());
            assert_eq!(mint.live(), 6);
            drop(r);
            assert_eq!(mint.live(), 0, "at once, not when the senders go");
            assert_eq!(*s.send(mint.token(9)).unwrap_err().0.n, 9);
            assert_eq!(mint.live(), 0);
        }
    });
}

#[test]
fn messages_without_receivers_to_come_live_until_then() {
    everywhere(|_| {
        let mint = Mint::default();
        let (s, r) = unbounded();
        (0..5).for_each(|n| s.send(mint.token(n)).unwrap());
        s.close().unwrap();
        drop(s);
        assert_eq!(mint.live(), 5);
        drop(r.recv());
        assert_eq!(mint.live(), 4);
        drop(r);
        assert_eq!(mint.live(), 0);
    });
}

#[test]
fn failed_sends_give_back_what_they_got() {
    everywhere(|_| {
        let mint = Mint::default();
        let (s, r) = bounded(0);
        assert_eq!(*s.try_send(mint.token(1)).unwrap_err().into_inner().n, 1);
        assert_eq!(*s.send_timeout(mint.token(2), ms(1)).unwrap_err().into_inner().n, 2);
        drop(r);
        assert_eq!(*s.send(mint.token(3)).unwrap_err().into_inner().n, 3);
        assert_eq!(mint.live(), 0);
    });
}

#[test]
fn a_drop_may_use_the_channel() {
    struct Reporter(Option<Sender<Reporter>>);
    impl Drop for Reporter {
        fn drop(&mut self) {
            if let Some(s) = self.0.take() {
                // Nobody receives any more; the message comes back and is dropped here in turn.
                assert!(s.send(Reporter(None)).is_err());
                assert_eq!(s.len(), 0);
            }
        }
    }
    everywhere(|_| {
        let (s, r) = unbounded();
        for _ in 0..3 {
            s.send(Reporter(Some(s.clone()))).unwrap();
        }
        drop(s);
        drop(r);
    });
}

#[test]
fn c27_a_panicking_drop_keeps_no_other_value_from_its_own() {
    struct Bomb(#[allow(dead_code)] Token, bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.1, "bang");
        }
    }
    everywhere(|_| {
        let mint = Mint::default();
        let (s, r) = unbounded();
        for n in 0..5 {
            s.send(Bomb(mint.token(n), n == 1 || n == 2)).unwrap();
        }
        assert_eq!(panic_text(|| drop(r)), "bang");
        assert_eq!(mint.live(), 0, "those behind it, one of which panics as well, have gone too");
        assert!(s.send(Bomb(mint.token(5), false)).is_err());
        drop(s);
        assert_eq!(mint.live(), 0);
    });
}

#[test]
fn select_drops_what_it_did_not_send() {
    everywhere(|_| {
        let mint = Mint::default();
        let (s1, r1) = bounded(1);
        let (s2, _r2) = bounded(0);
        let (s3, r3) = bounded::<Token>(0);
        drop(r3);
        for _ in 0..20 {
            select! {
                send(s1, mint.token(1)) -> res => {
                    res.unwrap();
                    assert_eq!(mint.live(), 1, "the other messages are gone before the body runs");
                }
                send(s2, mint.token(2)) -> _ => unreachable!(),
                recv(never::<Token>()) -> _ => unreachable!(),
            }
            drop(r1.recv());
            assert_eq!(mint.live(), 0);
            select! {
                send(s2, mint.token(3)) -> _ => unreachable!(),
                default => assert_eq!(mint.live(), 0),
            }
            select! {
                send(s2, mint.token(4)) -> _ => unreachable!(),
                send(s3, mint.token(5)) -> res => assert_eq!(*res.unwrap_err().0.n, 5),
                default(ms(1)) => unreachable!(),
            }
            assert_eq!(mint.live(), 0);
        }
    });
}

#[test]
fn select_leaves_variables_alone_unless_they_are_sent() {
    everywhere(|_| {
        let mint = Mint::default();
        let (s, r) = bounded(1);
        let (full, _full) = bounded::<Token>(0);
        let (gone, _) = bounded::<Token>(0);

        let token = mint.token(1);
        select! {
            send(full, token) -> _ => unreachable!(),
            default => assert_eq!(*token.n, 1),
        }
        drop(token);
        let token = mint.token(2);
        select! {
            send(full, token) -> _ => unreachable!(),
            send(s, token) -> res => res.unwrap(),
        }
        assert_eq!(*r.recv().unwrap().n, 2);
        let token = mint.token(3);
        select! {
            send(gone, token) -> res => assert_eq!(*res.unwrap_err().0.n, 3),
            send(full, token) -> _ => unreachable!(),
        }
        let token = mint.token(4);
        let mut rounds = 0;
        s.send(mint.token(5)).unwrap();
        loop {
            select! {
                send(s, token) -> res => break res.unwrap(),
                default(ms(1)) => {
                    rounds += 1;
                    assert_eq!(*r.recv().unwrap().n, 5);
                }
            }
        }
        assert_eq!((rounds, *r.recv().unwrap().n), (1, 4));
        assert_eq!(mint.live(), 0);
    });
}

/// The limit is the last operand to be evaluated, and a lent message is what it is after that.
#[test]
fn a_lent_message_is_read_last() {
    everywhere(|_| {
        let (s, r) = bounded(1);
        let message = std::cell::RefCell::new(vec![1]);
        select! {
            send(s, message) -> res => res.unwrap(),
            default({ message.borrow_mut().extend(2..1000); ms(1) }) => unreachable!(),
        }
        assert_eq!(r.recv().unwrap().into_inner().len(), 999);
    });
}

#[test]
fn a_panicking_operand_loses_nothing() {
    fn receiver_fails() -> Receiver<Token> {
        panic!("no receiver")
    }
    everywhere(|_| {
        let mint = Mint::default();
        let (s, r) = unbounded();
        let (s2, r2) = unbounded();
        s2.send(mint.token(0)).unwrap();
        let lent = mint.token(1);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            select! {
                send(s, mint.token(2)) -> _ => unreachable!(),
                send(s, lent) -> _ => unreachable!(),
                recv(r2) -> _ => unreachable!(),
                recv(receiver_fails()) -> _ => unreachable!(),
            }
        }));
        assert!(panicked.is_err());
        assert_eq!((r.len(), r2.len(), mint.live()), (0, 1, 1), "nothing was sent or received");
    });
}

#[test]
fn a_panicking_body_loses_nothing() {
    everywhere(|_| {
        let mint = Mint::default();
        let (s, r) = unbounded();
        let (full, _full) = bounded(0);
        s.send(mint.token(1)).unwrap();
        let variable = mint.token(2);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            select! {
                recv(r) -> message => {
                    assert_eq!(*message.as_ref().unwrap().n, 1);
                    panic!("body");
                }
                send(full, mint.token(3)) -> _ => unreachable!(),
                send(full, variable) -> _ => unreachable!(),
            }
        }));
        assert!(panicked.is_err());
        assert_eq!(mint.live(), 0);
    });
}

#[test]
fn leaving_a_body_early_loses_nothing() {
    everywhere(|_| {
        let mint = Mint::default();
        let (s, r) = unbounded();
        let (full, _full) = bounded(0);
        for n in 0..3 {
            s.send(mint.token(n)).unwrap();
        }
        fn leave(r: &Receiver<Token>, full: &Sender<Token>, mint: &Mint) -> Option<usize> {
            loop {
                select! {
                    recv(r) -> message => match *message.ok()?.n {
                        0 => continue,
                        n => return Some(n),
                    },
                    send(full, mint.token(9)) -> _ => unreachable!(),
                }
            }
        }
        assert_eq!(leave(&r, &full, &mint), Some(1));
        assert_eq!(leave(&r, &full, &mint), Some(2));
        drop(s);
        assert_eq!(leave(&r, &full, &mint), None);
        assert_eq!(mint.live(), 0);
    });
}

#[test]
fn builders_count_right() {
    everywhere(|ground| {
        let mint = Mint::default();
        for capacity in [0, 1, 3] {
            let (s, r) = bounded(capacity);
            let receiver = ground.go(move || {
                let mut count = 0;
                loop {
                    let mut select = Select::new();
                    select.recv(&r);
                    match select.select().recv(&r) {
                        Ok(_) => count += 1,
                        Err(_) => return count,
                    }
                }
            });
            let mut select = Select::new();
            select.send(&s);
            let mut sent = 0;
            for n in 0..300 {
                match n % 3 {
                    0 => select.select().send(&s, mint.token(n)).unwrap(),
                    1 => match select.try_select() {
                        Ok(operation) => operation.send(&s, mint.token(n)).unwrap(),
                        Err(_) => continue,
                    },
                    _ => {
                        // Begun, then given up: must count as not sent.
                        drop(catch_unwind(AssertUnwindSafe(|| drop(select.select()))));
                        continue;
                    }
                }
                sent += 1;
            }
            drop(s);
            assert_eq!(receiver.join(), sent);
            assert_eq!(mint.live(), 0);
        }
    });
}

#[test]
fn churn_with_everything_at_once() {
    everywhere(|ground| {
        let mint = Mint::default();
        for round in 0..20 {
            let (s, r) = bounded(round % 3);
            let mut tasks = Vec::new();
            for n in 0..3 {
                let (s, mint) = (s.clone(), mint.clone());
                tasks.push(ground.go(move || {
                    for k in 0..40 {
                        let result = match (n + k) % 4 {
                            0 => s.send(mint.token(k)).is_ok(),
                            1 => s.send_timeout(mint.token(k), ms(1)).is_ok(),
                            2 => s.try_send(mint.token(k)).is_ok(),
                            _ => select! {
                                send(s, mint.token(k)) -> res => res.is_ok(),
                                default(ms(1)) => false,
                            },
                        };
                        if !result && s.is_closed() {
                            return;
                        }
                    }
                }));
            }
            for n in 0..2 {
                let r = r.clone();
                tasks.push(ground.go(move || {
                    for k in 0..30 {
                        match (n + k) % 3 {
                            0 => drop(r.recv()),
                            1 => drop(r.recv_timeout(ms(1))),
                            _ => drop(r.try_recv()),
                        }
                    }
                }));
            }
            if round % 2 == 0 {
                zokor::yield_now();
                r.close().unwrap();
            }
            drop((s, r));
            tasks.into_iter().for_each(Task::join);
            assert_eq!(mint.live(), 0);
        }
    });
}
