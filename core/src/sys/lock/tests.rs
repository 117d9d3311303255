//! The channel lock: exclusion and wake-ups, on threads and in a model.

use super::RawLock;

#[cfg(not(loom))]
mod threads {
    use super::RawLock;
    use crate::cell::UnsafeCell;
    use std::sync::Arc;

    struct Counter(RawLock, UnsafeCell<u64>);
    // SAFETY: the tests reach the number under the lock alone.
    unsafe impl Sync for Counter {}
    // SAFETY: as above.
    unsafe impl Send for Counter {}

    #[test]
    fn is_small_and_zero() {
        assert_eq!(std::mem::size_of::<RawLock>(), 8);
        // SAFETY: two integers.
        let lock: RawLock = unsafe { std::mem::zeroed() };
        assert!(lock.try_lock());
        assert!(!lock.try_lock());
        // SAFETY: locked two lines above.
        unsafe { lock.unlock() };
    }

    #[test]
    fn excludes_and_wakes() {
        crate::sys::init();
        let shared = Arc::new(Counter(RawLock::new(), UnsafeCell::new(0)));
        let rounds = if cfg!(miri) { 100 } else { 50_000 };
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let c = Arc::clone(&shared);
                std::thread::spawn(move || {
                    for i in 0..rounds {
                        c.0.lock();
                        // SAFETY: under the lock.
                        c.1.with_mut(|n| unsafe { *n += 1 });
                        if i % 1024 == 0 {
                            // Lets the others run into the lock and fall asleep.
                            std::thread::yield_now();
                        }
                        // SAFETY: locked above.
                        unsafe { c.0.unlock() };
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(shared.1.with(unsafe_read), 4 * rounds);
    }

    fn unsafe_read(p: *const u64) -> u64 {
        // SAFETY: the threads that wrote it are joined.
        unsafe { *p }
    }
}

#[cfg(loom)]
mod model {
    use super::RawLock;
    use crate::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    struct Counter(RawLock, UnsafeCell<u64>);
    // SAFETY: reached under the lock alone.
    unsafe impl Sync for Counter {}
    // SAFETY: as above.
    unsafe impl Send for Counter {}

    fn add(c: &Counter) {
        c.0.lock();
        // SAFETY: under the lock; the model checks it.
        c.1.with_mut(|p| unsafe { *p += 1 });
        // SAFETY: locked above.
        unsafe { c.0.unlock() };
    }

    fn check(threads: u64, rounds: u64) {
        crate::cell::check(3, move || {
            let c = Arc::new(Counter(RawLock::new(), UnsafeCell::new(0)));
            let body = |c: Arc<Counter>| move || (0..rounds).for_each(|_| add(&c));
            let handles: Vec<_> = (1..threads).map(|_| thread::spawn(body(c.clone()))).collect();
            body(c.clone())();
            handles.into_iter().for_each(|t| t.join().unwrap());
            // SAFETY: the others are joined.
            assert_eq!(c.1.with(|p| unsafe { *p }), threads * rounds);
        });
    }

    #[test]
    fn loom_raw_lock_two_threads() {
        check(2, 2);
    }

    #[test]
    fn loom_raw_lock_three_threads() {
        check(3, 1);
    }
}
