//! The semaphore under the model checker: no token is lost, none is made.

use super::*;
use crate::cell::check;
use loom::sync::Arc;
use loom::thread;

#[test]
fn loom_semaphore_two_want_what_there_is_once() {
    check(2, || {
        let s = Arc::new(RawSem::new(2));
        let others: Vec<_> = [1, 2]
            .into_iter()
            .map(|n| {
                let s = s.clone();
                thread::spawn(move || {
                    s.acquire_forever(n);
                    s.release(n).unwrap();
                })
            })
            .collect();
        s.acquire_forever(2);
        s.release(2).unwrap();
        for h in others {
            h.join().unwrap();
        }
        assert_eq!(s.state.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn loom_semaphore_tokens_come_one_by_one() {
    check(2, || {
        let s = Arc::new(RawSem::new(0));
        let a = s.clone();
        let taker = thread::spawn(move || a.acquire_forever(2));
        let b = s.clone();
        let giver = thread::spawn(move || b.release(1).unwrap());
        s.release(1).unwrap();
        taker.join().unwrap();
        giver.join().unwrap();
        assert_eq!(s.state.load(Ordering::Relaxed), 0);
    });
}
