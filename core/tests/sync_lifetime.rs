//! Whoever learns through a sync object that nobody needs it any more may free it, although the call of the other side has not
//! returned: as C programs do it that keep the object inside what it protects, or on the waiter's stack.
//!
//! What is freed here is overwritten and kept: a late write shows, and a late look at a lock waits for ever.

mod common;

use common::*;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use zokor::raw::{self, Error, RawMutex, RawOnce, RawRwMutex, RawSem, RawWaitGroup};

const GONE: u8 = 0xa5;

/// Memory for a `T` that can be given up.
struct Room<T>(UnsafeCell<T>);
// SAFETY: the tests use what is in it as its own rules say.
unsafe impl<T: Sync> Sync for Room<T> {}

/// Rooms that were given up.
struct Graves<T>(Mutex<Vec<Arc<Room<T>>>>);

impl<T> Graves<T> {
    fn new() -> Arc<Graves<T>> {
        Arc::new(Graves(Mutex::new(Vec::new())))
    }

    /// Nobody uses what is in `room` any more; the memory stays, so that the test itself does no harm.
    fn bury(&self, room: &Arc<Room<T>>) {
        // SAFETY: the rule under test: nobody looks at it from now on.
        unsafe { room.0.get().cast::<u8>().write_bytes(GONE, size_of::<T>()) };
        self.0.lock().unwrap().push(room.clone());
    }

    fn check(&self, n: usize) {
        let all = self.0.lock().unwrap();
        assert_eq!(all.len(), n);
        for room in all.iter() {
            // SAFETY: overwritten by `bury`; read as bytes.
            let bytes = unsafe { std::slice::from_raw_parts(room.0.get().cast::<u8>(), size_of::<T>()) };
            assert!(bytes.iter().all(|b| *b == GONE), "written after it was freed: {bytes:x?}");
        }
    }
}

impl<T> Room<T> {
    fn new(t: T) -> Arc<Room<T>> {
        Arc::new(Room(UnsafeCell::new(t)))
    }

    fn get(&self) -> &T {
        // SAFETY: the tests do not use it after it was buried.
        unsafe { &*self.0.get() }
    }
}

/// Runs `part` as goroutines and as threads, `n` of each kind.
fn parties(n: usize, part: impl Fn() + Clone + Send + 'static) {
    let goroutines: Vec<_> = (0..n).map(|_| zokor::go(part.clone())).collect();
    let threads: Vec<_> = (0..n).map(|_| std::thread::spawn(part.clone())).collect();
    for h in goroutines {
        h.join().unwrap();
    }
    zokor::blocking(|| threads.into_iter().for_each(|t| t.join().unwrap()));
}

#[test]
fn m01_the_last_one_frees_what_the_mutex_is_in() {
    struct Counted {
        mutex: RawMutex,
        users: UnsafeCell<usize>,
    }
    // SAFETY: the number is used under the mutex.
    unsafe impl Sync for Counted {}
    // SAFETY: as above.
    unsafe impl Send for Counted {}
    check(|| {
        let graves = Graves::new();
        for _ in 0..40 {
            let room = Room::new(Counted { mutex: RawMutex::new(), users: UnsafeCell::new(6) });
            let g = graves.clone();
            parties(3, move || {
                let c = room.get();
                c.mutex.lock();
                zokor::yield_now(); // the others queue
                                    // SAFETY: under the mutex.
                let left = unsafe {
                    *c.users.get() -= 1;
                    *c.users.get()
                };
                c.mutex.unlock();
                if left == 0 {
                    g.bury(&room);
                }
            });
        }
        graves.check(40);
    });
}

#[test]
fn rw05_the_last_one_frees_what_the_rwmutex_is_in() {
    check(|| {
        let graves = Graves::new();
        for _ in 0..40 {
            let room = Room::new((RawRwMutex::new(), AtomicUsize::new(6)));
            let (g, turn) = (graves.clone(), Arc::new(AtomicUsize::new(0)));
            parties(3, move || {
                let (lock, users) = room.get();
                let reads = turn.fetch_add(1, Ordering::Relaxed) % 2 == 0;
                if reads {
                    lock.rlock();
                } else {
                    while lock.lock_until(raw::time_in(1000)).is_err() {}
                }
                zokor::yield_now();
                // Counted under the lock; what the number says holds once it is given back.
                let last = users.fetch_sub(1, Ordering::AcqRel) == 1;
                if reads {
                    lock.runlock();
                } else {
                    lock.unlock();
                }
                if last {
                    while lock.lock_until(raw::FOREVER).is_err() {} // readers before us have given theirs back
                    g.bury(&room);
                }
            });
        }
        graves.check(40);
    });
}

#[test]
fn wg01_whoever_waited_frees_the_group() {
    check(|| {
        let graves = Graves::new();
        for round in 0..60 {
            let room = Room::new(RawWaitGroup::new());
            room.get().add(6).unwrap();
            let r = room.clone();
            let members = zokor::go(move || parties(3, move || r.get().done().unwrap()));
            if round % 3 == 0 {
                // One who gave up leaves a mark behind, and comes again.
                while room.get().wait(raw::time_in(1000)) == Err(Error::TimedOut) {}
            } else if round % 3 == 1 {
                while room.get().wait(raw::NOWAIT) == Err(Error::WouldBlock) {
                    zokor::yield_now();
                }
            } else {
                room.get().wait(raw::FOREVER).unwrap();
            }
            graves.bury(&room);
            members.join().unwrap();
        }
        graves.check(60);
    });
}

#[test]
fn sem02_whoever_got_the_tokens_frees_the_semaphore() {
    check(|| {
        let graves = Graves::new();
        for round in 0..60 {
            let room = Room::new(RawSem::new(0));
            let r = room.clone();
            let givers = zokor::go(move || parties(3, move || r.get().release(1).unwrap()));
            let mut left = 6;
            while left > 0 {
                let n = if round % 2 == 0 { left } else { 1 };
                let deadline = if round % 3 == 0 { raw::time_in(1000) } else { raw::FOREVER };
                if room.get().acquire(n, deadline).is_ok() {
                    left -= n;
                }
            }
            graves.bury(&room);
            givers.join().unwrap();
        }
        graves.check(60);
    });
}

#[test]
fn o01_whoever_finds_it_done_frees_the_once() {
    check(|| {
        let graves = Graves::new();
        for _ in 0..60 {
            let room = Room::new((RawOnce::new(), AtomicUsize::new(0)));
            let r = room.clone();
            let runner = zokor::go(move || {
                r.get().0.call(|| {
                    r.get().1.store(1, Ordering::Relaxed);
                    zokor::yield_now();
                });
            });
            wait_until(|| room.get().1.load(Ordering::Relaxed) == 1);
            room.get().0.call(|| unreachable!("it has begun"));
            graves.bury(&room);
            runner.join().unwrap();
        }
        graves.check(60);
    });
}
