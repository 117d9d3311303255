//! Stacks: sizes, depth, reuse, and what an overflow says (rule G-19).

mod common;

use common::*;
use std::hint::black_box;
use zokor::channel::bounded;
use zokor::{raw, Builder};

const KIB: usize = 1024;

/// Uses about `bytes` of stack: says how many. A frame's size depends on how the test is built, so it looks at addresses.
fn dig(bytes: usize) -> usize {
    #[inline(never)]
    fn deeper(top: usize, bytes: usize) -> usize {
        let mut frame = [0_u8; 1024];
        let used = top - black_box(&mut frame).as_ptr().addr();
        if used + 4 * KIB < bytes {
            deeper(top, bytes).max(used)
        } else {
            used
        }
    }
    let here = 0_u8;
    deeper((&raw const here).addr(), bytes)
}

#[test]
fn the_whole_stack_can_be_used() {
    check(|| {
        for (size, use_up) in [(64 * KIB, 32 * KIB), (256 * KIB, 200 * KIB), (8192 * KIB, 8000 * KIB)] {
            let h = Builder::new().stack_size(size).go(move || dig(use_up)).unwrap();
            assert!(h.join().unwrap() > use_up / 2);
        }
        assert!(zokor::go(|| dig(200 * KIB)).join().unwrap() > 0, "the default is 256 KiB");
    });
}

#[test]
fn a_stack_keeps_its_contents_across_parks() {
    fn deep(depth: u64, rx: &zokor::channel::Receiver<u64>) -> u64 {
        let mine = black_box([depth; 16]);
        let below = if depth > 0 { deep(depth - 1, rx) } else { rx.recv().unwrap() };
        zokor::yield_now();
        assert_eq!(mine, [depth; 16]);
        below + mine[7]
    }
    check(|| {
        let (tx, rx) = bounded(0);
        let all: Vec<_> = (0..50)
            .map(|_| {
                let rx = rx.clone();
                zokor::go(move || deep(100, &rx))
            })
            .collect();
        (0..50).for_each(|_| tx.send(1).unwrap());
        all.into_iter().for_each(|h| assert_eq!(h.join().unwrap(), 1 + 100 * 101 / 2));
    });
}

#[test]
fn stacks_are_used_again() {
    check(|| {
        let round = || {
            let all: Vec<_> = (0..500).map(|_| zokor::go(|| dig(2 * KIB))).collect();
            all.into_iter().for_each(|h| assert!(h.join().unwrap() > KIB));
            wait_until(|| raw::stats().goroutines == 1);
            raw::stats().stack_bytes
        };
        (0..5).for_each(|_| assert!(round() > 0));
        let (before, after) = (round(), (0..20).map(|_| round()).max().unwrap());
        assert!(after < before + (256 << 20), "{before} bytes of stacks grew to {after}");
    });
}

/// A goroutine that ends gives its stack away while it is still on it; on another worker the next owner may come at once.
#[test]
fn a_stack_of_any_size_has_one_owner_at_a_time() {
    check(|| {
        let makers: Vec<_> = (0..4)
            .map(|_| {
                zokor::go(|| {
                    for n in 0..2000_usize {
                        let all: Vec<_> = (0..4)
                            .map(|i| {
                                let body = move || {
                                    let mine = black_box([n + i; 64]);
                                    zokor::yield_now();
                                    mine.iter().all(|v| *v == n + i)
                                };
                                Builder::new().stack_size(64 * KIB).go(body).unwrap()
                            })
                            .collect();
                        all.into_iter().for_each(|h| assert!(h.join().unwrap()));
                    }
                })
            })
            .collect();
        makers.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn floating_point_and_backtraces_work_on_goroutines() {
    check(|| {
        let h = zokor::go(|| {
            let x = black_box(2.0_f64);
            zokor::yield_now();
            let trace = std::backtrace::Backtrace::force_capture();
            (x.sqrt(), trace.to_string().contains("floating_point_and_backtraces"))
        });
        assert_eq!(h.join().unwrap(), (std::f64::consts::SQRT_2, true));
    });
}

// ---- overflow --------------------------------------------------------------------------------------------

#[expect(unconditional_recursion, reason = "the point")]
#[inline(never)]
fn endless(n: usize) -> usize {
    let frame = black_box([n; 8]);
    endless(n + 1) + frame[3]
}

fn overflow_named() {
    zokor::run(|| {
        Builder::new().name("digger").go(|| endless(0)).unwrap().join().unwrap();
        went_on();
    });
}

fn overflow_small() {
    zokor::run(|| {
        Builder::new().stack_size(64 * KIB).go(|| endless(0)).unwrap().join().unwrap();
        went_on();
    });
}

fn overflow_main() {
    zokor::run(|| {
        endless(0);
        went_on();
    });
}

fn overflow_cannot_be_caught() {
    zokor::run(|| {
        let _ = std::panic::catch_unwind(|| endless(0));
        went_on();
    });
}

fn overflow_of_a_plain_thread() {
    zokor::run(|| zokor::go(|| ()).join().unwrap());
    std::thread::spawn(|| endless(0)).join().unwrap();
    went_on();
}

fn null_is_no_overflow() {
    zokor::run(|| {
        zokor::go(|| {
            // SAFETY: none; the access is to fault.
            unsafe { black_box(std::ptr::null::<u8>()).cast::<u64>().read_volatile() }
        })
        .join()
        .unwrap();
        went_on();
    });
}

#[test]
#[ignore = "what the children of the other tests run"]
fn program() {
    run_program(&[
        ("overflow_named", overflow_named),
        ("overflow_small", overflow_small),
        ("overflow_main", overflow_main),
        ("overflow_cannot_be_caught", overflow_cannot_be_caught),
        ("overflow_of_a_plain_thread", overflow_of_a_plain_thread),
        ("null_is_no_overflow", null_is_no_overflow),
    ]);
}

#[test]
fn g19_overflow_names_the_goroutine_and_its_size() {
    let end = outcome_of("overflow_named", &[]);
    end.assert_aborted().assert_did_not_go_on();
    end.assert_err_has("goroutine ").assert_err_has("(\"digger\")").assert_err_has("overflowed its stack (256 KiB)");
    let end = outcome_of("overflow_small", &[]);
    end.assert_aborted().assert_did_not_go_on().assert_err_has("overflowed its stack (64 KiB)");
    let end = outcome_of("overflow_main", &[]);
    end.assert_aborted().assert_did_not_go_on().assert_err_has("goroutine 1 (\"main\") overflowed its stack");
}

#[test]
fn g19_p15_overflow_cannot_be_caught() {
    outcome_of("overflow_cannot_be_caught", &[]).assert_aborted().assert_did_not_go_on();
}

#[test]
fn g19_other_faults_go_to_the_handler_that_was_there_before() {
    let end = outcome_of("overflow_of_a_plain_thread", &[]);
    end.assert_aborted().assert_did_not_go_on().assert_err_has("has overflowed its stack");
    assert!(!end.err.contains("goroutine"), "{end:#?}");
    let end = outcome_of("null_is_no_overflow", &[]);
    end.assert_did_not_go_on();
    assert_eq!(end.signal(), Some(libc::SIGSEGV), "{end:#?}");
    assert!(!end.err.contains("overflow"), "{end:#?}");
}
