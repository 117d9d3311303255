//! The once under the model checker: one run, seen by all who are told that it is done.

use super::*;
use crate::cell::check;
use crate::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

struct Toy {
    once: RawOnce,
    value: UnsafeCell<u32>,
}
// SAFETY: the value is written by the one who runs and then only read.
unsafe impl Sync for Toy {}
// SAFETY: as above.
unsafe impl Send for Toy {}

fn toy() -> Arc<Toy> {
    Arc::new(Toy { once: RawOnce::new(), value: UnsafeCell::new(0) })
}

/// SAFETY in the callers' stead: the once says whose turn it is.
fn value(t: &Toy) -> u32 {
    // SAFETY: done, so nobody writes.
    t.value.with(|p| unsafe { *p })
}

#[test]
fn loom_once_three_callers_one_run() {
    check(2, || {
        let t = toy();
        let call = |t: &Toy| {
            // SAFETY: the one run.
            t.once.call(|| t.value.with_mut(|p| unsafe { *p += 1 }));
            assert_eq!(value(t), 1);
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let t = t.clone();
                thread::spawn(move || call(&t))
            })
            .collect();
        call(&t);
        for h in others {
            h.join().unwrap();
        }
    });
}

#[test]
fn loom_once_abandoned_run_is_taken_over() {
    check(2, || {
        let t = toy();
        let a = t.clone();
        let other = thread::spawn(move || {
            let run = a.once.begin();
            if run {
                // SAFETY: it is our run.
                a.value.with_mut(|p| unsafe { *p += 1 });
                a.once.finish();
            }
            assert_eq!(value(&a), 1);
            run
        });
        let first = t.once.begin();
        if first {
            t.once.abandon();
            if t.once.begin() {
                // SAFETY: it is our run.
                t.value.with_mut(|p| unsafe { *p += 1 });
                t.once.finish();
            }
        }
        assert_eq!(value(&t), 1);
        assert!(other.join().unwrap() || first);
    });
}
