//! The mutex under the model checker: exclusion, no lost wake-up, and the hand-over of starvation mode.

use super::*;
use crate::cell::check;
use crate::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

struct Toy {
    mutex: RawMutex,
    value: UnsafeCell<u32>,
}
// SAFETY: the value is used under the mutex.
unsafe impl Sync for Toy {}
// SAFETY: as above.
unsafe impl Send for Toy {}

fn toy() -> Arc<Toy> {
    Arc::new(Toy { mutex: RawMutex::new(), value: UnsafeCell::new(0) })
}

impl Toy {
    fn add(&self) {
        self.mutex.lock();
        // SAFETY: we have the mutex.
        self.value.with_mut(|p| unsafe { *p += 1 });
        self.mutex.unlock();
    }

    fn check(&self, n: u32) {
        // SAFETY: everybody is done.
        assert_eq!(self.value.with(|p| unsafe { *p }), n);
        assert_eq!(self.mutex.state.load(Ordering::Relaxed), 0, "nobody is left");
    }
}

#[test]
fn loom_mutex_slow_path_two_threads() {
    check(3, || {
        let t = toy();
        let a = t.clone();
        let other = thread::spawn(move || {
            a.add();
            a.add();
        });
        t.add();
        other.join().unwrap();
        t.check(3);
    });
}

#[test]
fn loom_mutex_slow_path_three_threads() {
    check(2, || {
        let t = toy();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let t = t.clone();
                thread::spawn(move || t.add())
            })
            .collect();
        t.add();
        for h in others {
            h.join().unwrap();
        }
        t.check(3);
    });
}

#[test]
fn loom_mutex_try_lock_barges_past_a_woken_waiter() {
    check(2, || {
        let t = toy();
        let (a, b) = (t.clone(), t.clone());
        let waiter = thread::spawn(move || a.add());
        let barger = thread::spawn(move || {
            let got = b.mutex.try_lock();
            if got {
                // SAFETY: we have the mutex.
                b.value.with_mut(|p| unsafe { *p += 1 });
                b.mutex.unlock();
            }
            u32::from(got)
        });
        t.add();
        waiter.join().unwrap();
        let barged = barger.join().unwrap();
        t.check(2 + barged);
    });
}

#[test]
fn loom_mutex_starvation_hands_over() {
    check(2, || {
        let t = toy();
        t.mutex.lock();
        let (a, b) = (t.clone(), t.clone());
        // One that has waited for too long and lost, as the clock of the model cannot say.
        let starved = thread::spawn(move || {
            let turn = Turn { since: 1, woken: false, starving: true };
            a.mutex.lock.lock();
            if a.mutex.queue_up(&turn) {
                let way = Way { front: true, ..Way::plain(Reason::Mutex) };
                // SAFETY: the lock is held and protects the queue.
                let (_, handed) = unsafe { wait_way(&a.mutex.lock, a.mutex.queue.get(), way, || ()) };
                assert!(handed, "nobody else gets it in between");
                a.mutex.handed_over(true);
            } else {
                // SAFETY: we hold it.
                unsafe { a.mutex.lock.unlock() };
                a.mutex.lock();
            }
            // SAFETY: we have the mutex.
            a.value.with_mut(|p| unsafe { *p += 1 });
            a.mutex.unlock();
        });
        let other = thread::spawn(move || b.add());
        // SAFETY: we have the mutex.
        t.value.with_mut(|p| unsafe { *p += 1 });
        t.mutex.unlock();
        starved.join().unwrap();
        other.join().unwrap();
        t.check(3);
    });
}
