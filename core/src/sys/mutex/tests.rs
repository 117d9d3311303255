//! The mutex: exclusion, wake-ups and the order of ranks.

#[cfg(not(loom))]
mod threads {
    use crate::rank::Rank;
    use crate::sys::Mutex;
    use std::sync::Arc;

    #[test]
    fn excludes_and_wakes() {
        let shared = Arc::new(Mutex::new(Rank::Leaf, 0_u64));
        let rounds = if cfg!(miri) { 100 } else { 50_000 };
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let m = Arc::clone(&shared);
                std::thread::spawn(move || {
                    for i in 0..rounds {
                        let mut value = m.lock();
                        *value += 1;
                        if i % 1024 == 0 {
                            // Lets the others run into the lock and fall asleep.
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(*shared.lock(), 4 * rounds);
    }

    #[test]
    fn try_lock_takes_what_is_free_and_waits_for_nothing() {
        let m = Mutex::new(Rank::Leaf, 1);
        let held = m.try_lock().expect("nobody has it");
        std::thread::scope(|s| assert!(s.spawn(|| m.try_lock().is_none()).join().unwrap()));
        drop(held);
        *m.try_lock().expect("it was given back") += 1;
        assert_eq!(*m.lock(), 2);
    }

    #[test]
    fn a_panic_under_the_lock_gives_it_back() {
        let m = Mutex::new(Rank::Leaf, 1);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = m.lock();
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(caught.is_err());
        assert_eq!(*m.lock(), 1);
    }
}

#[cfg(loom)]
mod model {
    use crate::rank::Rank;
    use crate::sys::Mutex;
    use loom::sync::Arc;
    use loom::thread;

    fn check(threads: u64, rounds: u64) {
        crate::cell::check(3, move || {
            let m = Arc::new(Mutex::new(Rank::Leaf, 0));
            let body = |m: Arc<Mutex<u64>>| move || (0..rounds).for_each(|_| *m.lock() += 1);
            let handles: Vec<_> = (1..threads).map(|_| thread::spawn(body(m.clone()))).collect();
            body(m.clone())();
            handles.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(*m.lock(), threads * rounds);
        });
    }

    #[test]
    fn loom_mutex_two_threads() {
        check(2, 2);
    }

    #[test]
    fn loom_mutex_three_threads() {
        check(3, 1);
    }
}
