//! The readers-writer lock under the model checker.

use super::*;
use crate::cell::check;
use crate::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

struct Toy {
    lock: RawRwMutex,
    value: UnsafeCell<u32>,
}
// SAFETY: the value is used under the lock.
unsafe impl Sync for Toy {}
// SAFETY: as above.
unsafe impl Send for Toy {}

fn toy() -> Arc<Toy> {
    Arc::new(Toy { lock: RawRwMutex::new(), value: UnsafeCell::new(0) })
}

impl Toy {
    fn write(&self) {
        self.lock.lock();
        // SAFETY: we have the lock alone.
        self.value.with_mut(|p| unsafe { *p += 1 });
        self.lock.unlock();
    }

    fn read(&self) -> u32 {
        self.lock.rlock();
        // SAFETY: we share the lock.
        let v = self.value.with(|p| unsafe { *p });
        self.lock.runlock();
        v
    }
}

#[test]
fn loom_rwlock_two_writers_and_a_reader() {
    check(2, || {
        let t = toy();
        let (a, b) = (t.clone(), t.clone());
        let writers = [thread::spawn(move || a.write()), thread::spawn(move || b.write())];
        assert!(t.read() <= 2);
        for h in writers {
            h.join().unwrap();
        }
        assert_eq!(t.read(), 2);
        assert_eq!(t.lock.state.load(Ordering::Relaxed) & !QUEUED, 0);
    });
}

#[test]
fn loom_rwlock_two_readers_and_a_writer() {
    check(2, || {
        let t = toy();
        let (a, b) = (t.clone(), t.clone());
        let readers = [thread::spawn(move || a.read()), thread::spawn(move || b.read())];
        t.write();
        for h in readers {
            assert!(h.join().unwrap() <= 1);
        }
        assert_eq!(t.lock.state.load(Ordering::Relaxed) & !QUEUED, 0);
    });
}

#[test]
fn loom_rwlock_a_writer_that_gives_up_lets_readers_in() {
    check(2, || {
        let t = toy();
        t.lock.rlock();
        let a = t.clone();
        // A writer whose deadline passes at once: it marks, and leaves again.
        let writer = thread::spawn(move || {
            a.lock.lock.lock();
            let taken = a.lock.take_or_mark(WRITES);
            // SAFETY: we hold it.
            unsafe { a.lock.lock.unlock() };
            if taken {
                a.lock.unlock();
            } else {
                a.lock.gave_up();
            }
        });
        let b = t.clone();
        let reader = thread::spawn(move || b.read());
        t.lock.runlock();
        writer.join().unwrap();
        reader.join().unwrap();
        t.write();
        assert_eq!(t.lock.state.load(Ordering::Relaxed), 0);
    });
}
