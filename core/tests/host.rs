//! Hosts of an interpreter: waits of goroutines of a class end from outside, those of others do not.

mod common;

use common::*;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use zokor::raw;

/// The class of these tests.
const CLASS: u8 = 3;

/// Registers a host that holds nothing.
fn host() {
    static HOOKS: raw::HostHooks =
        raw::HostHooks { release: || (), interrupt: || false, pending: || false, preempt: || (), stack_size: 0 };
    raw::set_host(CLASS, &HOOKS);
}

/// Starts `f` as a goroutine of the class; returns its number.
fn go_hosted(f: impl FnOnce() + Send + 'static) -> u64 {
    type Body = Box<dyn FnOnce() + Send>;
    unsafe extern "C-unwind" fn call(body: *mut c_void) {
        // SAFETY: made below, and called once.
        unsafe { Box::from_raw(body.cast::<Body>())() }
    }
    let body: Box<Body> = Box::new(Box::new(f));
    let opts = raw::GoOpts { class: CLASS, ..Default::default() };
    // SAFETY: the body may run on any thread.
    unsafe { raw::go_c(&opts, call, Box::into_raw(body).cast()) }.expect("memory for a goroutine")
}

#[test]
fn a_class_is_cancelled_and_nobody_else() {
    host();
    check(|| {
        let never = Arc::new(raw::RawWaitGroup::new());
        never.add(1).unwrap();
        let (tx, rx) = mpsc::channel();
        let hosted: Vec<_> = (0..3)
            .map(|_| {
                let (never, tx) = (never.clone(), tx.clone());
                go_hosted(move || tx.send(never.wait(raw::FOREVER)).unwrap())
            })
            .collect();
        let native = zokor::go({
            let never = never.clone();
            move || never.wait(raw::time_in(3_600_000_000_000))
        });
        hosted.iter().for_each(|id| wait_until(|| is_parked(*id, "wait group")));
        until_parked(&native, "wait group");
        assert_eq!(raw::cancel_class(CLASS - 1), 0);
        assert_eq!(raw::cancel_class(CLASS), 3);
        wait_until(|| hosted.iter().all(|id| !exists(*id)));
        drop(tx);
        assert!(rx.iter().eq([Err(raw::Error::Cancelled); 3]));
        assert!(is_parked(native.id(), "wait group"));
        never.done().unwrap();
        assert_eq!(native.join().unwrap(), Ok(()));
    });
}

#[test]
fn one_goroutine_is_interrupted() {
    host();
    check(|| {
        let never = Arc::new(raw::RawWaitGroup::new());
        never.add(1).unwrap();
        let (tx, rx) = mpsc::channel();
        let all: Vec<_> = (0..3)
            .map(|n| {
                let (never, tx) = (never.clone(), tx.clone());
                go_hosted(move || tx.send((n, never.wait(raw::FOREVER))).unwrap())
            })
            .collect();
        all.iter().for_each(|id| wait_until(|| is_parked(*id, "wait group")));
        assert!(raw::interrupt(all[1]));
        wait_until(|| !exists(all[1]));
        assert_eq!(rx.try_recv(), Ok((1, Err(raw::Error::Interrupted))));
        assert!(!raw::interrupt(all[1]), "it has ended");
        assert!(!raw::interrupt(zokor::goid()), "it does not wait");
        never.done().unwrap();
        wait_until(|| !exists(all[0]) && !exists(all[2]));
        drop(tx);
        assert!(rx.iter().all(|(_, r)| r == Ok(())));
    });
}

fn exists(id: u64) -> bool {
    let mut found = false;
    raw::each(&mut |g| {
        found = g.id == id;
        !found
    });
    found
}

/// Whoever ends waits finds a goroutine of the class, which ends at that moment, and another one gets its header and waits: that wait is
/// not meant.
#[test]
fn who_gets_the_header_of_a_cancelled_goroutine_waits_on() {
    host();
    const ROUNDS: usize = 3_000;
    const PAIRS: usize = 20;
    check(|| {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(AtomicUsize::new(0));
        let last = Arc::new(AtomicU64::new(0));
        let enders: Vec<_> = [false, true]
            .into_iter()
            .map(|by_number| {
                let (over, last) = (over.clone(), last.clone());
                std::thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        if by_number {
                            raw::interrupt(last.load(Ordering::Relaxed));
                        } else {
                            raw::cancel_class(CLASS);
                        }
                    }
                })
            })
            .collect();
        for _ in 0..ROUNDS / PAIRS {
            let go_on = Arc::new(raw::RawWaitGroup::new());
            go_on.add(1).unwrap();
            for _ in 0..PAIRS {
                let (go_on, ended) = (go_on.clone(), ended.clone());
                let id = go_hosted(move || {
                    let _ = go_on.wait(raw::FOREVER);
                    ended.fetch_add(1, Ordering::Relaxed);
                });
                last.store(id, Ordering::Relaxed);
            }
            let natives: Vec<_> = (0..PAIRS)
                .map(|_| {
                    let go_on = go_on.clone();
                    zokor::go(move || go_on.wait(raw::time_in(3_600_000_000_000)))
                })
                .collect();
            zokor::yield_now();
            go_on.done().unwrap();
            for h in natives {
                assert_eq!(h.join().unwrap(), Ok(()), "it belongs to no class");
            }
        }
        wait_until(|| ended.load(Ordering::Relaxed) == ROUNDS);
        over.store(true, Ordering::Relaxed);
        zokor::blocking(|| enders.into_iter().for_each(|t| t.join().unwrap()));
    });
}
