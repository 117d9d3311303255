//! `select!` and `select_biased!`: grammar, evaluation, choice, control flow.

#![forbid(unsafe_code)] // what the macro expands to does not count as ours
#![deny(warnings)]
// The odd corners of the grammar are the point.
#![allow(
    clippy::diverging_sub_expression,
    clippy::unnecessary_literal_unwrap,
    clippy::unused_unit,
    clippy::let_and_return
)]
#![allow(clippy::redundant_closure_call, clippy::option_map_unit_fn, clippy::result_map_unit_fn)]

mod ground;

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ground::*;
use zokor::channel::{
    self, after, bounded, never, select, select_biased, tick, unbounded, Receiver, RecvError, SendError, Sender,
    TryRecvError,
};

#[test]
fn the_ready_case_runs() {
    everywhere(|_| {
        let (s1, r1) = unbounded();
        let (s2, r2) = bounded(1);
        s1.send("one").unwrap();
        select! {
            recv(r1) -> message => assert_eq!(message, Ok("one")),
            recv(r2) -> _ => unreachable!(),
        }
        select! {
            recv(r1) -> _ => unreachable!(),
            send(s2, "two") -> res => assert_eq!(res, Ok(())),
        }
        assert_eq!(r2.try_recv(), Ok("two"));
        assert_eq!(r1.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn a_disconnected_case_is_ready() {
    everywhere(|_| {
        let (s, r) = unbounded::<u8>();
        drop(s);
        select! {
            recv(r) -> message => assert_eq!(message, Err(RecvError)),
            default => unreachable!(),
        }
        let (s, r) = bounded(0);
        drop(r);
        select! {
            send(s, 'x') -> res => assert_eq!(res, Err(SendError('x'))),
            default(PLENTY) => unreachable!(),
        }
        let value = String::from("y");
        let (s, r) = bounded(0);
        drop(r);
        select! {
            send(s, value) -> res => assert_eq!(res.unwrap_err().into_inner(), "y"),
        }
    });
}

#[test]
fn default_runs_at_once_or_in_time() {
    everywhere(|_| {
        let (s, r) = bounded::<u8>(0);
        let start = Instant::now();
        let which = select! {
            recv(r) -> _ => 1,
            send(s, 1) -> _ => 2,
            default => 3,
        };
        assert_eq!(which, 3);
        let which = select! {
            recv(r) -> _ => 1,
            send(s, 1) -> _ => 2,
            default(ms(10)) => 3,
        };
        assert_eq!(which, 3);
        assert!(start.elapsed() >= ms(10));
        let deadline = Instant::now() + ms(10);
        select! {
            recv(r) -> _ => unreachable!(),
            default(deadline) => assert!(Instant::now() >= deadline),
        }
        select! {
            recv(r) -> _ => unreachable!(),
            default(deadline) => {} // has passed: one try
        }
        select! { default(ms(5)) => {} }
        select! { default => {} }
        assert!(start.elapsed() >= ms(25));
    });
}

#[test]
fn a_waiting_select_is_woken_by_either_side() {
    everywhere(|ground| {
        let (s1, r1) = bounded(0);
        let (s2, r2) = bounded(0);
        let partner = ground.go(move || {
            assert_eq!(r1.recv(), Ok(1));
            s2.send(2).unwrap();
            // The first receiver stays alive until both are served.
            drop(r1);
        });
        select! {
            send(s1, 1) -> res => res.unwrap(),
            recv(r2) -> _ => unreachable!(),
            default(PLENTY) => unreachable!(),
        }
        select! {
            send(never_sender(), 1) -> _ => unreachable!(),
            recv(r2) -> message => assert_eq!(message, Ok(2)),
            default(PLENTY) => unreachable!(),
        }
        partner.join();
    });
}

/// A sender whose receiver is never there, and never gone.
fn never_sender() -> Sender<i32> {
    static KEPT: Mutex<Vec<Receiver<i32>>> = Mutex::new(Vec::new());
    let (s, r) = bounded(0);
    KEPT.lock().expect("nobody panics under it").push(r);
    s
}

#[test]
fn selects_pair_up() {
    const TASKS: usize = 30;
    everywhere(|ground| {
        let (s, r) = bounded(0);
        let tasks: Vec<_> = (0..TASKS)
            .map(|me| {
                let (s, r) = (s.clone(), r.clone());
                ground.go(move || {
                    select! {
                        send(s, me) -> res => { res.unwrap(); 0 }
                        recv(r) -> message => { assert_ne!(message.unwrap(), me); 1 }
                    }
                })
            })
            .collect();
        assert_eq!(tasks.into_iter().map(Task::join).sum::<i32>(), TASKS as i32 / 2);
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn a_select_does_not_meet_itself() {
    everywhere(|_| {
        let (s, r) = bounded(0);
        select! {
            send(s, 1) -> _ => unreachable!(),
            recv(r) -> _ => unreachable!(),
            default(ms(10)) => {}
        }
    });
}

#[test]
fn ready_cases_are_chosen_fairly() {
    const ROUNDS: usize = 4_000;
    everywhere(|_| {
        let (s1, r1) = unbounded();
        let (s2, _r2) = bounded(ROUNDS);
        for _ in 0..ROUNDS {
            s1.send(()).unwrap();
        }
        let mut hits = [0; 5];
        for _ in 0..ROUNDS {
            select! {
                recv(r1) -> _ => hits[0] += 1,
                recv(r1) -> _ => hits[1] += 1,
                send(s2, ()) -> _ => hits[2] += 1,
                recv(after(ms(0))) -> _ => hits[3] += 1,
                recv(tick(ms(0))) -> _ => hits[4] += 1,
            }
        }
        assert!(hits.iter().all(|n| *n > ROUNDS / 10), "{hits:?}");
    });
}

#[test]
fn a_biased_select_takes_the_first() {
    everywhere(|_| {
        let (s1, r1) = unbounded();
        let (s2, r2) = unbounded();
        for n in 0..20 {
            s1.send(n).unwrap();
            s2.send(n).unwrap();
        }
        let mut order = Vec::new();
        loop {
            select_biased! {
                recv(r2) -> _ => order.push(2),
                recv(r1) -> _ => order.push(1),
                default => break,
            }
        }
        assert_eq!(order, [[2; 20], [1; 20]].concat());
        select_biased! {
            recv(r1) -> _ => unreachable!(),
            default(ms(1)) => {}
        }
    });
}

#[test]
fn operands_are_evaluated_once_in_order() {
    everywhere(|_| {
        let (s, _r) = bounded::<u8>(0);
        let (_s2, r2) = bounded::<u8>(0);
        let seen = RefCell::new(Vec::new());
        let note = |what: &'static str| seen.borrow_mut().push(what);
        select! {
            send({ note("sender"); &s }, { note("message"); 1 }) -> _ => unreachable!(),
            recv({ note("receiver"); &r2 }) -> _ => unreachable!(),
            send({ note("sender 2"); s.clone() }, [note("message 2")].len() as u8) -> _ => unreachable!(),
            default({ note("limit"); ms(1) }) => note("body"),
        }
        assert_eq!(*seen.borrow(), ["sender", "message", "receiver", "sender 2", "message 2", "limit", "body"]);
    });
}

#[test]
#[allow(unreachable_code)] // which is the point
fn a_message_without_value_is_evaluated_only_if_chosen() {
    everywhere(|_| {
        let (full, _r) = bounded::<u8>(0);
        select! {
            send(full, panic!("not sent")) -> _ => unreachable!(),
            send(full, unreachable!()) -> _ => unreachable!(),
            default => {}
        }
        let (s, r) = bounded::<u8>(1);
        let text = panic_text(|| {
            select! {
                send(s, panic!("chosen {}", 1)) -> _ => {}
            }
        });
        assert_eq!((text.as_str(), r.len()), ("chosen 1", 0));
    });
}

#[test]
fn bodies_take_part_in_control_flow() {
    fn until_closed(r: &Receiver<i32>) -> Result<i32, RecvError> {
        let mut sum = 0;
        'all: loop {
            for _ in 0..3 {
                select! {
                    recv(r) -> message => match message? {
                        n if n < 0 => break 'all,
                        0 => continue 'all,
                        n => sum += n,
                    },
                    default => return Ok(sum * 1000),
                }
            }
        }
        Ok(sum)
    }
    everywhere(|_| {
        let (s, r) = unbounded();
        for n in [1, 0, 2, 3, 4, 5, -1, 6] {
            s.send(n).unwrap();
        }
        assert_eq!(until_closed(&r), Ok(15));
        assert_eq!(until_closed(&r), Ok(6000));
        drop(s);
        assert_eq!(until_closed(&r), Err(RecvError));
    });
}

#[test]
fn the_value_of_the_body_is_the_value_of_the_select() {
    everywhere(|_| {
        let (s, r) = unbounded();
        s.send(3).unwrap();
        let text: String = select! {
            recv(r) -> message => message.unwrap().to_string(),
            default => "none".into(),
        };
        assert_eq!(text, "3");
        let boxed: Box<dyn Fn() -> i32> = select! {
            recv(r) -> _ => unreachable!(),
            default => Box::new(|| 7),
        };
        assert_eq!(boxed(), 7);
        assert_eq!(1 + select! { default => 1 }, 2);
    });
}

#[test]
fn grammar_of_bodies_and_commas() {
    everywhere(|_| {
        let (s, r) = unbounded::<i32>();
        let (full, _full) = bounded::<i32>(0);
        // Blocks need no comma.
        select! {
            recv(r) -> _ => {}
            send(full, 1) -> _ => {}
            default => {}
        }
        // A block may have one, and so may the last case.
        select! {
            recv(r) -> _ => {},
            default() => {},
        }
        // Default may come anywhere.
        select! {
            default => {}
            recv(r) -> _ => unreachable!()
        }
        // Block-like expressions, operators, literals, patterns, trailing commas in the operands.
        let n = 5;
        let got = select! {
            recv(r,) -> message => message.unwrap_or(0),
            send(full, n,) -> _ => if n > 3 { 1 } else { 2 },
            default(ms(0),) => match n { 5 => 10, _ => 20 } + 1,
        };
        assert_eq!(got, 11);
        select! {
            recv(r) -> mut message => { message = message.map(|n| n + 1); assert!(message.is_ok()) }
            send(s, -1) -> _res => ()
        }
        let got = select! {
            recv(r) -> message => { message }.unwrap(),
            default => 0,
        };
        assert_eq!(got, -1);
    });
}

#[test]
fn operands_may_be_any_expression() {
    struct Wrapped<T>(T);
    impl<T> Deref for Wrapped<T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.0
        }
    }
    struct Pair {
        s: Sender<i32>,
        r: Receiver<i32>,
    }
    everywhere(|_| {
        let (s, r) = unbounded::<i32>();
        let pair = Pair { s: s.clone(), r: r.clone() };
        let (boxed, wrapped) = (Box::new(s.clone()), Wrapped(r.clone()));
        let list = [s.clone()];
        let optional = Some(&r);
        select! { send(pair.s, 1) -> res => res.unwrap() }
        select! { recv(pair.r) -> n => assert_eq!(n, Ok(1)) }
        select! { send(&&&s, 1 + 1) -> res => res.unwrap() }
        select! { recv(wrapped) -> n => assert_eq!(n, Ok(2)) }
        select! { send(*boxed, i32::from(3u8)) -> res => res.unwrap() }
        select! { recv(optional.unwrap_or(&never())) -> n => assert_eq!(n, Ok(3)) }
        select! { send(boxed, [4][0]) -> res => res.unwrap() }
        select! { recv(if list.is_empty() { &r } else { &pair.r }) -> n => assert_eq!(n, Ok(4)) }
        select! { send(list[0], { let five = 5; five }) -> res => res.unwrap() }
        select! { recv((move || r)()) -> n => assert_eq!(n, Ok(5)) }
        select! { recv(after(ms(0))) -> due => assert!(due.is_ok()) }
    });
}

#[test]
fn a_body_may_move_the_handles_of_its_case() {
    everywhere(|_| {
        let (s, r) = unbounded::<String>();
        s.send(String::from("a")).unwrap();
        select! {
            recv(r) -> message => { drop(r); message.unwrap() }
            send(s, String::from("b")) -> _ => { drop(s); String::new() }
        };
        let once = Box::new(1);
        let (s, r) = bounded::<i32>(1);
        select! {
            send(s, 1) -> _ => drop((s, once)),
            recv(r) -> _ => drop((r, once)),
        }
    });
}

#[test]
fn names_do_not_clash() {
    everywhere(|_| {
        let (op, r) = unbounded();
        let result = 8;
        op.send(result).unwrap();
        select! {
            recv(r) -> r => assert_eq!((r, result), (Ok(8), 8)),
        }
        let (s, r) = unbounded();
        select! {
            send(s, op) -> _ => {}
            recv(r) -> op => { let _: Result<Sender<i32>, RecvError> = op; }
        }
        // A user's `run`, `Recv` or `Result` does not get in the way.
        #[allow(dead_code)]
        fn run() {}
        #[allow(dead_code)]
        struct Recv;
        let (s, _r) = unbounded::<u8>();
        channel::select! { send(s, 1) -> _ => {} }
        zokor::channel::select_biased! { send(s, 1) -> _ => {} }
    });
}

#[test]
fn types_are_inferred_both_ways() {
    everywhere(|_| {
        let (s, r) = unbounded();
        select! {
            recv(r) -> message => { let _: Result<u64, RecvError> = message; }
            default => {}
        }
        let (s2, r2) = unbounded();
        let number = 7;
        select! { send(s2, number) -> _ => {} }
        s.send(r2.recv().unwrap()).unwrap();
        assert_eq!(r.recv(), Ok(7));
        let (s, r) = unbounded::<Box<dyn Fn() -> i32>>();
        select! { send(s, Box::new(|| 9)) -> _ => {} }
        assert_eq!(r.recv().unwrap()(), 9);
    });
}

#[test]
fn variables_of_all_kinds_can_be_sent() {
    const CONSTANT: &str = "constant";
    static STATIC: u8 = 4;
    #[derive(Debug, PartialEq)]
    struct Unit;
    everywhere(|_| {
        let (s, r) = unbounded();
        select! { send(s, CONSTANT) -> _ => {} }
        assert_eq!(r.recv(), Ok("constant"));
        let (s, r) = unbounded();
        select! { send(s, STATIC) -> _ => {} }
        assert_eq!(r.recv(), Ok(4));
        let (s, r) = unbounded();
        select! { send(s, Unit) -> _ => {} }
        assert_eq!(r.recv(), Ok(Unit));
        let (s, r) = unbounded();
        select! { send(s, None) -> _ => {} }
        assert_eq!(r.recv(), Ok(None::<String>));
        let (s, r) = unbounded();
        select! { send(s, true) -> _ => {} }
        assert_eq!(r.recv(), Ok(true));
        let text = String::from("lent");
        let (s, r) = unbounded::<&String>();
        let reference = &text;
        select! { send(s, reference) -> _ => {} }
        assert_eq!(r.recv(), Ok(&text));
        let mut number = 5;
        let (s, r) = unbounded();
        select! { send(s, number) -> _ => number += 1 }
        assert_eq!((number, r.recv()), (6, Ok(5)));
    });
}

#[test]
fn a_variable_of_a_case_that_lost_can_be_used() {
    fn send_to_either(s1: &Sender<Vec<u8>>, s2: &Sender<Vec<u8>>, message: Vec<u8>) -> Option<Vec<u8>> {
        select! {
            send(s1, message) -> res => res.err().map(SendError::into_inner),
            send(s2, message) -> res => res.err().map(SendError::into_inner),
            default => Some(message),
        }
    }
    everywhere(|_| {
        let (s1, r1) = bounded(1);
        let (s2, r2) = bounded(1);
        assert_eq!(send_to_either(&s1, &s2, vec![1]), None);
        assert_eq!(send_to_either(&s1, &s2, vec![2]), None);
        assert_eq!(send_to_either(&s1, &s2, vec![3]), Some(vec![3]));
        let mut got = [r1.recv().unwrap(), r2.recv().unwrap()];
        got.sort();
        assert_eq!(got, [[1], [2]]);
    });
}

#[test]
fn selects_nest() {
    everywhere(|_| {
        let (s, r) = unbounded();
        select! {
            send(s, 0) -> _ => select! {
                recv(r) -> message => select! {
                    send(s, message.unwrap() + 1) -> _ => select! {
                        recv(r) -> message => assert_eq!(message, Ok(1)),
                    },
                },
            },
        }
        // Also in the operands.
        select! {
            recv(select! { default => &r }) -> _ => unreachable!(),
            default(select! { default => Duration::ZERO }) => {}
        }
    });
}

#[test]
fn many_cases() {
    everywhere(|_| {
        let (s, r) = unbounded();
        s.send(()).unwrap();
        let n = never::<()>;
        let got = select! {
            recv(n()) -> _ => 0, recv(n()) -> _ => 1, recv(n()) -> _ => 2, recv(n()) -> _ => 3, recv(n()) -> _ => 4,
            recv(n()) -> _ => 5, recv(n()) -> _ => 6, recv(n()) -> _ => 7, recv(n()) -> _ => 8, recv(n()) -> _ => 9,
            recv(n()) -> _ => 10, recv(n()) -> _ => 11, recv(n()) -> _ => 12, recv(n()) -> _ => 13, recv(n()) -> _ => 14,
            recv(n()) -> _ => 15, recv(n()) -> _ => 16, recv(r) -> _ => 17, recv(n()) -> _ => 18, recv(n()) -> _ => 19,
            recv(n()) -> _ => 20, recv(n()) -> _ => 21, recv(n()) -> _ => 22, recv(n()) -> _ => 23, recv(n()) -> _ => 24,
            recv(n()) -> _ => 25, recv(n()) -> _ => 26, recv(n()) -> _ => 27, recv(n()) -> _ => 28, recv(n()) -> _ => 29,
            recv(n()) -> _ => 30, recv(n()) -> _ => 31,
        };
        assert_eq!(got, 17);
    });
}

#[test]
fn generic_code_can_select() {
    fn either<T: Send>(a: &Receiver<T>, b: &Receiver<T>, out: &Sender<T>, spare: T) -> Option<T> {
        select! {
            recv(a) -> message => message.ok(),
            recv(b) -> message => message.ok(),
            send(out, spare) -> res => res.err().map(|e| e.0),
        }
    }
    everywhere(|_| {
        let (s, r) = bounded(1);
        s.send(vec![1]).unwrap();
        assert_eq!(either(&r, &never(), &s, vec![2]), Some(vec![1]));
        assert_eq!(either(&never(), &never(), &s, vec![3]), None);
        assert_eq!(r.recv(), Ok(vec![3]));
    });
}

#[test]
fn select_in_a_loop_leaves_nothing_behind() {
    everywhere(|ground| {
        let (s, r) = bounded(0);
        let (_quiet, never_comes) = bounded::<()>(0);
        let sender = ground.go(move || (0..2_000).for_each(|n| s.send(n).unwrap()));
        let seen = Cell::new(0);
        loop {
            select! {
                recv(r) -> message => match message {
                    Ok(n) => { assert_eq!(n, seen.get()); seen.set(n + 1) }
                    Err(RecvError) => break,
                },
                recv(never_comes) -> _ => unreachable!(),
            }
        }
        assert_eq!(seen.get(), 2_000);
        sender.join();
    });
}
