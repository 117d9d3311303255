//! Selection over a list built at run time.

mod ground;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;

use ground::*;
use zokor::channel::{
    after, bounded, never, unbounded, Receiver, RecvError, Select, SendError, SendTimeoutError, Sender, TryRecvError,
};

#[test]
fn the_ready_operation_is_chosen() {
    everywhere(|_| {
        let channels: Vec<_> = (0..5).map(|_| unbounded()).collect();
        for (ready, (s, r)) in channels.iter().enumerate() {
            let mut select = Select::new();
            for (n, (_, r)) in channels.iter().enumerate() {
                assert_eq!(select.recv(r), n);
            }
            assert!(select.try_select().is_err());
            assert!(select.try_ready().is_err());
            s.send(ready).unwrap();
            assert_eq!(select.try_ready(), Ok(ready));
            let operation = select.select();
            assert_eq!(operation.index(), ready);
            assert_eq!(operation.recv(r), Ok(ready));
        }
    });
}

#[test]
fn a_disconnected_operation_is_ready() {
    everywhere(|_| {
        let (s, r) = unbounded::<u8>();
        let (full, _full) = bounded::<u8>(0);
        drop(s);
        let mut select = Select::new();
        select.send(&full);
        let gone = select.recv(&r);
        let operation = select.select();
        assert_eq!(operation.index(), gone);
        assert_eq!(operation.recv(&r), Err(RecvError));

        let (s, r) = bounded(0);
        drop(r);
        let mut select = Select::new();
        select.send(&s);
        assert_eq!(select.try_ready(), Ok(0));
        assert_eq!(select.try_select().unwrap().send(&s, 'x'), Err(SendError('x')));
        assert_eq!(select.select_timeout(PLENTY).unwrap().send(&s, 'y'), Err(SendError('y')));
    });
}

#[test]
fn gives_up_in_time() {
    everywhere(|_| {
        let (s, r) = bounded::<u8>(0);
        let mut select = Select::new();
        select.recv(&r);
        select.send(&s);
        let start = Instant::now();
        assert!(select.select_timeout(ms(10)).is_err());
        assert!(select.select_deadline(start + ms(20)).is_err());
        assert!(select.ready_timeout(ms(10)).is_err());
        assert!(select.ready_deadline(start + ms(40)).is_err());
        assert!(start.elapsed() >= ms(40));
        assert!(select.select_deadline(start).is_err(), "a deadline that has passed allows one try");
    });
}

#[test]
fn an_empty_list_times_out_or_panics() {
    everywhere(|_| {
        assert!(Select::new().try_select().is_err());
        assert!(Select::new().try_ready().is_err());
        assert!(Select::new().select_timeout(ms(1)).is_err());
        assert!(Select::new().ready_timeout(ms(1)).is_err());
        let text = "no operations have been added to `Select`";
        assert_eq!(panic_text(|| drop(Select::new().select())), text);
        assert_eq!(
            panic_text(|| {
                Select::new().ready();
            }),
            text
        );
    });
}

#[test]
fn a_waiting_selection_is_woken_by_either_side() {
    everywhere(|ground| {
        let (s1, r1) = bounded(0);
        let (s2, r2) = bounded(0);
        let selecting = {
            let (s1, r2) = (s1.clone(), r2.clone());
            ground.go(move || {
                let mut select = Select::new();
                let sends = select.send(&s1);
                let receives = select.recv(&r2);
                let mut got = Vec::new();
                for _ in 0..2 {
                    let operation = select.select();
                    match operation.index() {
                        i if i == sends => operation.send(&s1, 10).unwrap(),
                        i if i == receives => got.push(operation.recv(&r2).unwrap()),
                        _ => unreachable!(),
                    }
                }
                got
            })
        };
        assert_eq!(r1.recv(), Ok(10));
        s2.send(20).unwrap();
        assert_eq!(selecting.join(), [20]);
    });
}

#[test]
fn indices_are_not_used_again() {
    everywhere(|_| {
        let (s, r) = unbounded::<u8>();
        let mut select = Select::new();
        assert_eq!((select.recv(&r), select.send(&s), select.recv(&r)), (0, 1, 2));
        select.remove(1);
        assert_eq!(select.send(&s), 3);
        select.remove(3);
        assert_eq!(panic_text(|| select.remove(3)), "no operation with this index");
        assert_eq!(panic_text(|| select.remove(4)), "index out of bounds; 4 >= 4");
        s.send(1).unwrap();
        let operation = select.select();
        assert!([0, 2].contains(&operation.index()));
        operation.recv(&r).unwrap();
    });
}

#[test]
fn a_biased_selection_takes_the_first() {
    everywhere(|_| {
        let (s1, r1) = unbounded();
        let (s2, r2) = unbounded();
        for n in 0..50 {
            s1.send(n).unwrap();
            s2.send(n).unwrap();
        }
        let mut select = Select::new_biased();
        select.recv(&r1);
        select.recv(&r2);
        let order: Vec<_> = (0..100)
            .map(|_| {
                let operation = select.select();
                let index = operation.index();
                operation.recv(if index == 0 { &r1 } else { &r2 }).unwrap();
                index
            })
            .collect();
        assert_eq!(order, [[0; 50], [1; 50]].concat());
    });
}

#[test]
fn a_fair_selection_takes_each() {
    everywhere(|_| {
        const ROUNDS: usize = 4_000;
        let (s, r) = bounded(ROUNDS);
        let (s2, _r2) = unbounded();
        for n in 0..ROUNDS {
            s.send(n).unwrap();
        }
        let mut hits = [0; 3];
        let mut select = Select::new();
        select.recv(&r);
        select.recv(&r);
        select.send(&s2);
        for _ in 0..ROUNDS {
            let operation = select.select();
            let index = operation.index();
            hits[index] += 1;
            match index {
                2 => operation.send(&s2, ()).unwrap(),
                _ => drop(operation.recv(&r).unwrap()),
            }
        }
        assert!(hits.iter().all(|n| *n > ROUNDS / 6), "{hits:?}");
    });
}

#[test]
fn partners_that_both_select_pair_up() {
    const TASKS: usize = 30;
    everywhere(|ground| {
        let (s, r) = bounded(0);
        let tasks: Vec<_> = (0..TASKS)
            .map(|me| {
                let (s, r) = (s.clone(), r.clone());
                ground.go(move || {
                    let mut select = Select::new();
                    let receives = select.recv(&r);
                    select.send(&s);
                    let operation = select.select();
                    if operation.index() == receives {
                        assert_ne!(operation.recv(&r), Ok(me), "nobody pairs with itself");
                        1
                    } else {
                        operation.send(&s, me).unwrap();
                        0
                    }
                })
            })
            .collect();
        let received: usize = tasks.into_iter().map(Task::join).sum();
        assert_eq!(received, TASKS / 2);
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn a_chosen_send_keeps_its_partner_waiting_until_it_is_completed() {
    everywhere(|ground| {
        let (s, r) = bounded(0);
        let receiver = ground.go(move || r.recv());
        let mut select = Select::new();
        select.send(&s);
        let operation = select.select();
        // The receiver is promised a message: nobody else can send to it, and its time cannot run out.
        assert_eq!(s.send_timeout("late", ms(10)), Err(SendTimeoutError::Timeout("late")));
        operation.send(&s, "chosen").unwrap();
        assert_eq!(receiver.join(), Ok("chosen"));
    });
}

#[test]
fn a_chosen_send_has_its_place_in_the_buffer() {
    everywhere(|ground| {
        let (s, r) = bounded(2);
        let mut select = Select::new();
        select.send(&s);
        let operation = select.select();
        s.send(2).unwrap();
        assert!(s.is_full());
        let receiver = ground.go(move || (r.recv(), r.recv()));
        operation.send(&s, 1).unwrap();
        assert_eq!(receiver.join(), (Ok(1), Ok(2)));
    });
}

#[test]
fn a_chosen_send_without_receivers_gives_the_message_back() {
    everywhere(|_| {
        let (s, r) = bounded(1);
        let mut select = Select::new();
        select.send(&s);
        let operation = select.select();
        drop(r);
        assert_eq!(operation.send(&s, 'm'), Err(SendError('m')));
    });
}

#[test]
fn an_operation_must_be_completed() {
    const TEXT: &str = "dropped `SelectedOperation` without completing the operation";
    everywhere(|ground| {
        let mint = Mint::default();
        let (s, r) = unbounded();
        s.send(mint.token(1)).unwrap();
        s.send(mint.token(2)).unwrap();
        let mut select = Select::new();
        select.recv(&r);
        assert_eq!(panic_text(|| drop(select.select())), TEXT);
        assert_eq!(mint.live(), 1, "the message went down with the operation");
        assert_eq!(*r.recv().unwrap().n, 2);

        // A send that was chosen and not completed was never made; the receiver goes on waiting.
        let (s, r) = bounded(0);
        let receiver = ground.go(move || r.recv());
        let mut select = Select::new();
        select.send(&s);
        assert_eq!(panic_text(|| drop(select.select())), TEXT);
        s.send(3).unwrap();
        assert_eq!(receiver.join(), Ok(3));
    });
}

#[test]
fn a_broken_promise_does_not_disturb_a_selecting_receiver() {
    everywhere(|ground| {
        let (s, r) = bounded::<u8>(0);
        let (s2, r2) = bounded(0);
        let receiver = ground.go(move || {
            let mut select = Select::new();
            select.recv(&r);
            let two = select.recv(&r2);
            let operation = select.select();
            assert_eq!(operation.index(), two);
            operation.recv(&r2)
        });
        let mut select = Select::new();
        select.send(&s);
        panic_text(|| drop(select.select()));
        s2.send(2).unwrap();
        assert_eq!(receiver.join(), Ok(2));
        drop(s);
    });
}

#[test]
fn completing_with_another_handle_panics() {
    everywhere(|_| {
        let (s, r) = unbounded();
        let (other_s, other_r) = unbounded::<i32>();
        s.send(1).unwrap();
        s.send(2).unwrap();
        let mut select = Select::new();
        select.recv(&r);
        let wrong = "passed a receiver that wasn't selected";
        assert_eq!(
            panic_text(|| {
                let _ = select.select().recv(&other_r);
            }),
            wrong
        );
        assert_eq!(r.len(), 1);
        assert_eq!(
            panic_text(|| {
                let _ = select.select().send(&s, 3);
            }),
            "passed a sender that wasn't selected"
        );

        let mut select = Select::new();
        select.send(&s);
        let wrong = "passed a sender that wasn't selected";
        assert_eq!(
            panic_text(|| {
                let _ = select.select().send(&other_s, 3);
            }),
            wrong
        );
        // Another handle of the same channel is as good.
        select.select().send(&s.clone(), 4).unwrap();
        assert_eq!(r.recv(), Ok(4));
    });
}

#[test]
fn messages_of_all_sizes_and_alignments() {
    #[derive(Debug, PartialEq, Clone)]
    #[repr(align(128))]
    struct Aligned(u8);

    fn round_trip<T: Clone + PartialEq + std::fmt::Debug + Send + 'static>(ground: Ground, message: T) {
        for capacity in [0, 1] {
            let (s, r) = bounded(capacity);
            let sent = message.clone();
            let sender = ground.go(move || {
                let mut select = Select::new();
                select.send(&s);
                select.select().send(&s, sent).unwrap();
            });
            let ticks = never::<Instant>();
            let mut select = Select::new();
            select.recv(&ticks);
            select.recv(&r);
            assert_eq!(select.select().recv(&r), Ok(message.clone()));
            sender.join();
        }
    }
    everywhere(|ground| {
        round_trip(ground, ());
        round_trip(ground, 1u8);
        round_trip(ground, [7u64; 6]);
        round_trip(ground, [9u8; 5000]);
        round_trip(ground, Aligned(3));
        round_trip(ground, String::from("text"));
    });
}

#[test]
fn timers_can_be_selected() {
    everywhere(|_| {
        let (soon, late) = (after(ms(10)), after(PLENTY));
        let (_s, r) = unbounded::<String>();
        let mut select = Select::new();
        select.recv(&late);
        select.recv(&r);
        let expected = select.recv(&soon);
        let operation = select.select();
        assert_eq!(operation.index(), expected);
        assert!(operation.recv(&soon).unwrap() <= Instant::now());
    });
}

#[test]
fn ready_does_nothing_to_the_channel() {
    everywhere(|ground| {
        let (s, r) = bounded(0);
        let receiver = ground.go(move || r.recv());
        let mut select = Select::new();
        let index = select.send(&s);
        for _ in 0..10 {
            assert_eq!(select.ready(), index);
        }
        assert_eq!(s.try_send(1), Ok(()));
        assert_eq!(receiver.join(), Ok(1));
    });
}

#[test]
fn ready_wakes_all_who_look() {
    everywhere(|ground| {
        let (s, r) = bounded(4);
        let taken = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (r, taken) = (r.clone(), taken.clone());
                ground.go(move || loop {
                    let mut select = Select::new();
                    select.recv(&r);
                    select.ready();
                    match r.try_recv() {
                        Ok(()) => drop(taken.fetch_add(1, Ordering::SeqCst)),
                        Err(TryRecvError::Empty) => {}
                        Err(TryRecvError::Disconnected) => return,
                    }
                })
            })
            .collect();
        for _ in 0..200 {
            s.send(()).unwrap();
        }
        drop(s);
        tasks.into_iter().for_each(Task::join);
        assert_eq!(taken.load(Ordering::SeqCst), 200);
    });
}

#[test]
fn lists_are_cloned_shared_and_recycled() {
    everywhere(|_| {
        let (s, r) = unbounded();
        let mut select = Select::new();
        select.recv(&r);
        let shared = &select;
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut own = shared.clone();
                    assert!(own.try_select().is_err());
                });
            }
        });
        let mut copy = select.clone();
        assert_eq!(copy.recv(&r), 1);
        s.send(5).unwrap();
        assert_eq!(select.select().recv(&r), Ok(5));
        assert_eq!(format!("{select:?}"), "Select { .. }");
        let mut select = select.recycle();
        drop(r);
        assert_eq!(select.send(&s), 0);
        assert!(select.select().send(&s, 6).is_err());
        assert!(Select::default().try_ready().is_err());
    });
}

#[test]
fn lists_longer_than_usual() {
    everywhere(|_| {
        let channels: Vec<(Sender<usize>, Receiver<usize>)> = (0..100).map(|_| unbounded()).collect();
        for pick in [0, 15, 16, 17, 99] {
            let mut select = Select::new();
            for (_, r) in &channels {
                select.recv(r);
            }
            assert!(select.select_timeout(ms(1)).is_err());
            channels[pick].0.send(pick).unwrap();
            let operation = select.select();
            assert_eq!(operation.index(), pick);
            assert_eq!(operation.recv(&channels[pick].1), Ok(pick));
        }
    });
}
