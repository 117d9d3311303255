//! The memory model: rules HB-01 to HB-16 of Go's semantics, as litmus loops.
//!
//! Each test passes plain words over one edge of docs/memory-model.md, between goroutines that stay, goroutines that move and plain
//! threads, and nothing else orders the two sides. A reader that comes too early, or sees half of a write, finds words that differ. In a
//! build with ThreadSanitizer a missing edge is a report even where the hardware would not show it.
//!
//! The scenarios are those of Go's `runtime/race/testdata/*_test.go` named TestNoRace…, written anew.

mod common;

use common::*;
use std::cell::UnsafeCell;
use std::sync::Arc;
use std::time::Duration;
use zokor::channel::{bounded, select, Receiver, Sender, TryRecvError, TrySendError};
use zokor::context::{with_cancel, with_timeout, Context};
use zokor::sync::{Condvar, Map, Mutex, Once, Pool, RwLock};
use zokor::time::{after_func, Timer};
use zokor::WaitGroup;

/// Some words that nothing protects but the edge under test.
#[derive(Default)]
struct Plain(UnsafeCell<[u64; 4]>);

// SAFETY: each test has one edge that orders its writes before its reads: that is what it tests.
unsafe impl Sync for Plain {}

impl Plain {
    fn write(&self, n: u64) {
        // SAFETY: as above; volatile, so that the words are written one by one.
        unsafe { (0..4).for_each(|i| self.0.get().cast::<u64>().add(i).write_volatile(n)) }
    }

    fn read(&self) -> u64 {
        // SAFETY: as above.
        let w: [u64; 4] = std::array::from_fn(|i| unsafe { self.0.get().cast::<u64>().add(i).read_volatile() });
        assert!(w.iter().all(|n| *n == w[0]), "a write was seen in part: {w:?}");
        w[0]
    }

    fn add(&self, n: u64) {
        self.write(self.read() + n);
    }
}

fn plain() -> Arc<Plain> {
    Arc::default()
}

/// The party on the other side: a goroutine that stays on its thread, one that may move, or a thread.
#[derive(Clone, Copy, Debug)]
enum Party {
    Pinned,
    Migrating,
    Thread,
}

enum Started<T> {
    Goroutine(zokor::JoinHandle<T>),
    Thread(std::thread::JoinHandle<T>),
}

impl Party {
    fn start<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> Started<T> {
        match self {
            Party::Pinned => Started::Goroutine(zokor::go(f)),
            // SAFETY: the bodies below keep nothing that belongs to a thread.
            Party::Migrating => Started::Goroutine(unsafe { zokor::go_migrating(f) }),
            Party::Thread => {
                zokor::hold(); // until its first call the runtime does not know that it may wake somebody
                Started::Thread(std::thread::spawn(|| {
                    let r = f();
                    zokor::release();
                    r
                }))
            }
        }
    }
}

impl<T: Send> Started<T> {
    fn end(self) -> T {
        match self {
            Started::Goroutine(h) => h.join().unwrap(),
            Started::Thread(t) => zokor::blocking(|| t.join().unwrap()),
        }
    }
}

/// Runs `body` with each kind of party, as main on each worker count.
fn with_parties(body: impl Fn(Party)) {
    check(|| [Party::Pinned, Party::Migrating, Party::Thread].into_iter().for_each(&body));
}

const ROUNDS: u64 = 300;

// ---- goroutines -----------------------------------------------------------------------------------------------

/// Started from goroutines and from a thread. The end is ordered before a join and nothing else.
#[test]
fn hb01_the_launch_comes_before_the_first_instruction() {
    with_parties(|launcher| {
        let word = plain();
        let w = word.clone();
        launcher
            .start(move || {
                for k in 1..=ROUNDS {
                    w.write(2 * k);
                    let seen = w.clone();
                    let child = move || {
                        assert_eq!(seen.read(), 2 * k);
                        seen.write(2 * k + 1);
                    };
                    if k % 2 == 0 {
                        zokor::go(child).join().unwrap();
                    } else {
                        // SAFETY: the body keeps nothing that belongs to a thread.
                        unsafe { zokor::go_migrating(child) }.join().unwrap();
                    }
                    assert_eq!(w.read(), 2 * k + 1, "what it did is seen by who joined it");
                }
            })
            .end();
        assert_eq!(word.read(), 2 * ROUNDS + 1);
    });
}

// ---- channels -------------------------------------------------------------------------------------------------

/// TestNoRaceChanSync, TestNoRaceChanAsync and the like.
#[test]
fn hb02_a_send_comes_before_the_end_of_its_receive() {
    with_parties(|sender| {
        for cap in [0, 1, 3] {
            let (tx, rx) = bounded::<u64>(cap);
            let words: Arc<Vec<Plain>> = Arc::new((0..=ROUNDS).map(|_| Plain::default()).collect());
            let w = words.clone();
            let s = sender.start(move || {
                for k in 1..=ROUNDS {
                    w[k as usize].write(k);
                    tx.send(k).unwrap();
                }
            });
            for k in rx.iter() {
                assert_eq!(words[k as usize].read(), k);
            }
            s.end();
        }
    });
}

/// The same over every way to receive.
#[test]
fn hb02_a_send_comes_before_a_select_or_a_try_that_gets_its_value() {
    with_parties(|sender| {
        let (tx, rx) = bounded::<Arc<Plain>>(1);
        let (_quiet, never) = bounded::<()>(0);
        let s = sender.start(move || {
            for k in 1..=ROUNDS {
                let w = plain();
                w.write(k);
                if k % 2 == 0 {
                    tx.send(w).unwrap();
                } else {
                    select! { send(tx, w) -> r => r.unwrap() }
                }
            }
        });
        for k in 1..=ROUNDS {
            let w = match k % 3 {
                0 => select! { recv(rx) -> w => w.unwrap(), recv(never) -> _ => unreachable!() },
                1 => rx.recv().unwrap(),
                _ => loop {
                    match rx.try_recv() {
                        Ok(w) => break w,
                        Err(TryRecvError::Empty) => zokor::yield_now(),
                        Err(e) => panic!("{e}"),
                    }
                },
            };
            assert_eq!(w.read(), k);
        }
        s.end();
    });
}

/// TestNoRaceChanSyncRev; and TestRaceChanAsyncRev has no counterpart here: on a buffered channel a send ends before anybody has
/// received.
#[test]
fn hb03_an_unbuffered_receive_comes_before_the_end_of_its_send() {
    with_parties(|receiver| {
        let (tx, rx) = bounded::<()>(0);
        let word = plain();
        let w = word.clone();
        let r = receiver.start(move || {
            for k in 1..=ROUNDS {
                w.write(k);
                rx.recv().unwrap();
                rx.recv().unwrap(); // main has read it
            }
        });
        for k in 1..=ROUNDS {
            tx.send(()).unwrap();
            assert_eq!(word.read(), k);
            tx.send(()).unwrap();
        }
        r.end();
        let (tx, _rx) = bounded(1);
        tx.send_timeout((), Duration::from_secs(5))
            .expect("nobody received, so nothing of a receiver is ordered before");
    });
}

/// TestNoRaceCloseHappensBeforeRead.
#[test]
fn hb04_closing_comes_before_the_receive_that_reports_it() {
    with_parties(|closer| {
        for k in 1..=ROUNDS {
            let (tx, rx) = bounded::<()>((k % 2) as usize);
            let word = plain();
            let w = word.clone();
            let c = closer.start(move || {
                w.write(k);
                if k % 3 == 0 {
                    drop(tx);
                } else {
                    tx.close().unwrap();
                }
            });
            match k % 4 {
                0 => assert!(rx.recv().is_err()),
                1 => wait_until(|| rx.try_recv() == Err(TryRecvError::Disconnected)),
                2 => select! { recv(rx) -> r => assert!(r.is_err()) },
                _ => wait_until(|| rx.is_closed()),
            }
            assert_eq!(word.read(), k);
            c.end();
        }
    });
}

/// TestNoRaceChanMutex: with capacity 1 a channel is a mutex.
#[test]
fn hb05_with_capacity_one_a_channel_is_a_mutex() {
    check(|| {
        let (tx, rx) = bounded::<()>(1);
        let word = plain();
        let all: Vec<_> = [Party::Pinned, Party::Pinned, Party::Migrating, Party::Migrating, Party::Thread]
            .map(|p| {
                let (tx, rx, w) = (tx.clone(), rx.clone(), word.clone());
                p.start(move || {
                    for _ in 0..ROUNDS {
                        tx.send(()).unwrap();
                        w.add(1);
                        rx.recv().unwrap();
                    }
                })
            })
            .into();
        all.into_iter().for_each(Started::end);
        assert_eq!(word.read(), 5 * ROUNDS);
    });
}

/// TestNoRaceProducerConsumerUnbuffered's kin with a buffer: what was done before receive k is seen after send k + C.
#[test]
fn hb05_receive_k_comes_before_the_end_of_send_k_plus_c() {
    with_parties(|receiver| {
        for cap in [1, 2, 5] {
            let (tx, rx) = bounded::<usize>(cap);
            let marks: Arc<Vec<Plain>> = Arc::new((0..ROUNDS).map(|_| Plain::default()).collect());
            let m = marks.clone();
            let r = receiver.start(move || {
                for k in 0..ROUNDS as usize {
                    m[k].write(k as u64 + 1);
                    assert_eq!(rx.recv(), Ok(k));
                }
            });
            for k in 0..ROUNDS as usize {
                tx.send(k).unwrap();
                if k >= cap {
                    assert_eq!(marks[k - cap].read(), (k - cap) as u64 + 1);
                }
            }
            r.end();
        }
    });
}

// ---- locks ----------------------------------------------------------------------------------------------------

/// TestNoRaceMutex and its kin.
#[test]
fn hb06_an_unlock_comes_before_the_next_lock() {
    check(|| {
        let both = Arc::new((Mutex::new(()), Plain::default()));
        let all: Vec<_> = [Party::Pinned, Party::Pinned, Party::Migrating, Party::Thread, Party::Thread]
            .map(|p| {
                let both = both.clone();
                p.start(move || {
                    for i in 0..ROUNDS {
                        let guard = if i % 3 == 0 {
                            loop {
                                match both.0.try_lock() {
                                    Some(g) => break g,
                                    None => zokor::yield_now(),
                                }
                            }
                        } else {
                            both.0.lock()
                        };
                        both.1.add(1);
                        drop(guard);
                    }
                })
            })
            .into();
        all.into_iter().for_each(Started::end);
        let _guard = both.0.lock();
        assert_eq!(both.1.read(), 5 * ROUNDS);
    });
}

/// TestNoRaceRWMutex and its kin: readers see the writer before them, and the next writer sees what readers did.
#[test]
fn hb06_a_writers_unlock_comes_before_readers_and_theirs_before_the_next_writer() {
    check(|| {
        // One word for the writers, and one for each reader, which it writes while it reads the other.
        let state = Arc::new((RwLock::new(()), Plain::default(), [const { Plain(UnsafeCell::new([0; 4])) }; 3]));
        let readers = [Party::Pinned, Party::Migrating, Party::Thread].into_iter().enumerate().map(|(i, p)| {
            let state = state.clone();
            p.start(move || {
                for _ in 0..ROUNDS {
                    let guard = state.0.read();
                    state.2[i].write(state.1.read());
                    drop(guard);
                    zokor::yield_now();
                }
            })
        });
        let readers: Vec<_> = readers.collect();
        let writers = [Party::Pinned, Party::Migrating].map(|p| {
            let state = state.clone();
            p.start(move || {
                for _ in 0..ROUNDS {
                    let guard = state.0.write();
                    let now = state.1.read();
                    assert!(state.2.iter().all(|seen| seen.read() <= now));
                    state.1.write(now + 1);
                    drop(guard);
                    zokor::yield_now();
                }
            })
        });
        writers.into_iter().for_each(Started::end);
        readers.into_iter().for_each(Started::end);
        let _guard = state.0.write();
        assert_eq!(state.1.read(), 2 * ROUNDS);
    });
}

// ---- wait group, once, cond, pool, map ------------------------------------------------------------------------

/// TestNoRaceWaitGroup and its kin.
#[test]
fn hb07_done_comes_before_the_wait_it_releases() {
    with_parties(|member| {
        for k in 1..=ROUNDS / 3 {
            let wg = Arc::new(WaitGroup::new());
            let words: Vec<_> = (0..3).map(|_| plain()).collect();
            wg.add(1);
            let (w, g) = (words[0].clone(), wg.clone());
            let by_hand = member.start(move || {
                w.write(k);
                g.done();
            });
            for w in &words[1..] {
                let w = w.clone();
                wg.go(move || w.write(k)); // its return is the edge
            }
            wg.wait();
            assert!(words.iter().all(|w| w.read() == k));
            by_hand.end();
        }
    });
}

/// TestNoRaceOnce.
#[test]
fn hb08_the_once_functions_return_comes_before_every_return_of_once() {
    with_parties(|other| {
        for k in 1..=ROUNDS / 3 {
            let all = Arc::new((Once::new(), Plain::default()));
            let call = move |all: &(Once, Plain)| {
                all.0.call_once(|| all.1.write(k));
                assert_eq!(all.1.read(), k);
            };
            let parties: Vec<_> = (0..3)
                .map(|_| {
                    let all = all.clone();
                    other.start(move || call(&all))
                })
                .collect();
            call(&all);
            parties.into_iter().for_each(Started::end);
        }
    });
}

/// The word is written without the lock: the signal alone orders it.
#[test]
fn hb09_a_signal_comes_before_the_wait_it_ends() {
    with_parties(|waiter| {
        for k in 1..=ROUNDS / 6 {
            let all = Arc::new((Mutex::new(0), Condvar::new(), Plain::default()));
            let waiters: Vec<_> = (0..2)
                .map(|_| {
                    let all = all.clone();
                    waiter.start(move || {
                        let mut guard = all.0.lock();
                        *guard += 1;
                        all.1.wait(&mut guard);
                        drop(guard);
                        assert_eq!(all.2.read(), k);
                    })
                })
                .collect();
            wait_until(|| *all.0.lock() == 2); // both wait, or are about to with the lock given up
            all.2.write(k);
            if k % 2 == 0 {
                assert_eq!(all.1.notify_all(), 2);
            } else {
                assert!(all.1.notify_one() && all.1.notify_one());
            }
            waiters.into_iter().for_each(Started::end);
        }
    });
}

#[test]
fn hb10_putting_comes_before_getting_the_same_object() {
    with_parties(|other| {
        let pool = Arc::new(Pool::new(|| Box::new(Plain::default())));
        let all: Vec<_> = (0..3)
            .map(|_| {
                let pool = pool.clone();
                other.start(move || {
                    for k in 0..ROUNDS {
                        let object = pool.get();
                        object.add(k);
                        pool.put(object);
                    }
                })
            })
            .collect();
        all.into_iter().for_each(Started::end);
        let total: u64 = std::iter::from_fn(|| pool.pooled()).map(|p| p.read()).sum();
        assert_eq!(total, 3 * (0..ROUNDS).sum::<u64>(), "no addition was lost");
    });
}

#[test]
fn hb10_storing_in_a_map_comes_before_the_load_that_sees_it() {
    with_parties(|writer| {
        let map: Arc<Map<u64, Arc<Plain>>> = Arc::new(Map::new());
        let m = map.clone();
        let w = writer.start(move || {
            for k in 1..=ROUNDS {
                let word = plain();
                word.write(k);
                m.store(k, word);
            }
        });
        for k in 1..=ROUNDS {
            wait_until(|| map.contains_key(&k));
            assert_eq!(map.load(&k).unwrap().read(), k);
        }
        w.end();
    });
}

// ---- time and contexts ----------------------------------------------------------------------------------------

/// TestNoRaceTimer and its kin (`race/testdata/time_test.go`): armed or reset, then the callback or the tick.
#[test]
fn hb12_arming_a_timer_comes_before_its_tick() {
    with_parties(|armer| {
        let word = plain();
        let (tx, rx) = bounded::<u64>(1);
        let (back, again) = bounded::<()>(1);
        let a = armer.start({
            let word = word.clone();
            move || {
                let timer = Timer::new(Duration::from_secs(3600));
                for k in 1..=30 {
                    let (w, tx) = (word.clone(), tx.clone());
                    word.write(2 * k);
                    let f = after_func(Duration::from_micros(20), move || tx.send(w.read()).unwrap());
                    again.recv().unwrap();
                    word.write(2 * k + 1);
                    f.reset(Duration::ZERO); // the second run
                    again.recv().unwrap();
                    word.write(7 * k);
                    timer.reset(Duration::from_micros(20));
                    timer.receiver().recv().unwrap();
                    assert_eq!(word.read(), 7 * k);
                }
            }
        });
        for k in 1..=30 {
            assert_eq!(rx.recv(), Ok(2 * k));
            back.send(()).unwrap();
            assert_eq!(rx.recv(), Ok(2 * k + 1));
            back.send(()).unwrap();
        }
        a.end();
    });
}

#[test]
fn hb13_cancelling_comes_before_the_receive_from_done() {
    with_parties(|canceller| {
        let (_tx, quiet) = bounded::<()>(0);
        for k in 1..=ROUNDS {
            let word = plain();
            let (ctx, cancel) = with_cancel(&Context::background());
            let (child, _c) = with_timeout(&ctx, Duration::from_secs(3600));
            let bound = (k % 4 == 2).then(|| {
                let (w, rx) = (word.clone(), quiet.clone());
                zokor::Builder::new().context(&child).go(move || rx.recv().is_err().then(|| w.read())).unwrap()
            });
            let w = word.clone();
            let c = canceller.start(move || {
                w.write(k);
                cancel.cancel();
            });
            match k % 4 {
                0 => assert!(child.done().recv().is_err()),
                1 => wait_until(|| child.err().is_some()),
                2 => drop(ctx.done().recv()),
                _ => {
                    let (tx, rx) = bounded(1);
                    let w = word.clone();
                    let _f = zokor::context::after_func(&child, move || tx.send(w.read()).unwrap());
                    assert_eq!(rx.recv(), Ok(k));
                }
            }
            assert_eq!(word.read(), k);
            bound.into_iter().for_each(|h| assert_eq!(h.join().unwrap(), Some(k)));
            c.end();
        }
    });
}

// ---- what orders nothing ----------------------------------------------------------------------------------------

/// There is no edge to show: what can be shown is that a try that failed has left nothing behind.
#[test]
fn hb14_a_failed_try_leaves_no_trace() {
    check(|| {
        let (full, _rx): (Sender<u8>, Receiver<u8>) = bounded(1);
        let (_tx, empty) = bounded::<u8>(1);
        full.send(1).unwrap();
        let locks = Arc::new((Mutex::new(0), RwLock::new(0), zokor::sync::Semaphore::new(0)));
        let (held, written) = (locks.0.lock(), locks.1.write());
        let all: Vec<_> = [Party::Pinned, Party::Migrating, Party::Thread]
            .map(|p| {
                let (full, empty, locks) = (full.clone(), empty.clone(), locks.clone());
                p.start(move || {
                    for _ in 0..ROUNDS {
                        assert!(matches!(full.try_send(2), Err(TrySendError::Full(2))));
                        assert_eq!(empty.try_recv(), Err(TryRecvError::Empty));
                        assert!(locks.0.try_lock().is_none() && locks.1.try_read().is_none());
                        assert!(locks.1.try_write().is_none() && locks.2.try_acquire(1).is_none());
                        select! { recv(empty) -> _ => unreachable!(), send(full, 3) -> _ => unreachable!(), default => {} }
                    }
                })
            })
            .into();
        all.into_iter().for_each(Started::end);
        assert_eq!((full.len(), empty.len(), locks.2.available()), (1, 0, 0));
        drop((held, written));
        assert!(locks.0.try_lock().is_some() && locks.1.try_write().is_some());
    });
}

/// TestNoRaceChanCloseLen, and the opposite of TestRaceChanSendLen: they may be asked at any time, and are no synchronisation.
#[test]
fn hb16_len_and_capacity_may_be_asked_while_others_send_and_close() {
    with_parties(|other| {
        for _ in 0..20 {
            let (tx, rx) = bounded::<u64>(3);
            let asked = rx.clone();
            let o = other.start(move || {
                while !asked.is_closed() {
                    assert!(asked.len() <= 3 && asked.capacity() == Some(3));
                    let _ = (asked.is_empty(), asked.is_full());
                    zokor::yield_now();
                }
            });
            for k in 0..ROUNDS / 3 {
                tx.send(k).unwrap();
                if k % 3 == 2 {
                    rx.try_iter().for_each(drop);
                }
            }
            tx.close().unwrap();
            o.end();
        }
    });
}
