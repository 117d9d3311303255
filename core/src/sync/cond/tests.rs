//! The condition variable under the model checker: a notification after a change is not lost.

use super::*;
use crate::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

struct Toy {
    mutex: RawMutex,
    cond: RawCond,
    value: UnsafeCell<bool>,
}
// SAFETY: the value is used under the mutex.
unsafe impl Sync for Toy {}
// SAFETY: as above.
unsafe impl Send for Toy {}

fn check(all: bool, waiters: usize) {
    crate::cell::check(2, move || {
        let t = Arc::new(Toy { mutex: RawMutex::new(), cond: RawCond::new(), value: UnsafeCell::new(false) });
        let others: Vec<_> = (0..waiters)
            .map(|_| {
                let t = t.clone();
                thread::spawn(move || {
                    t.mutex.lock();
                    let mut waits = 0;
                    // SAFETY: we have the mutex.
                    while !t.value.with(|p| unsafe { *p }) {
                        t.cond.wait_forever(&t.mutex);
                        waits += 1;
                    }
                    t.mutex.unlock();
                    assert!(waits <= 1, "nothing but the notification wakes");
                })
            })
            .collect();
        t.mutex.lock();
        // SAFETY: we have the mutex.
        t.value.with_mut(|p| unsafe { *p = true });
        t.mutex.unlock();
        if all {
            t.cond.broadcast();
        } else {
            t.cond.signal();
        }
        for h in others {
            h.join().unwrap();
        }
    });
}

#[test]
fn loom_cond_signal_is_not_lost() {
    check(false, 1);
}

#[test]
fn loom_cond_broadcast_wakes_both() {
    check(true, 2);
}
