//! Calls that come back at once end a used-up slice like all others (G-11): whoever asks again and again does not keep those waiting
//! who are pinned to the same thread.

mod common;

use common::*;
use std::time::{Duration, Instant};
use zokor::channel::{bounded, select, Select};
use zokor::context::{self, Context};
use zokor::sync::{Barrier, Condvar, Mutex, Semaphore};
use zokor::{raw, Builder, WaitGroup};

/// On one worker `ask` is called until main, which is pinned to the same thread, has slept. The caller is alone.
fn main_gets_its_turn(ask: impl Fn() + Send + 'static) {
    let _watch = Watchdog::start(LIMIT);
    zokor::workers(1).unwrap();
    zokor::run(|| {
        let stop = Counter::default();
        let seen = stop.clone();
        let asks = zokor::go(move || {
            while seen.get() == 0 {
                ask();
            }
        });
        zokor::sleep(Duration::from_millis(20));
        stop.add(1);
        asks.join().unwrap();
    });
}

#[test]
fn g11_zero_timeouts_on_a_channel() {
    let _alone = alone();
    let (tx, rx) = bounded::<()>(0);
    main_gets_its_turn(move || {
        assert!(rx.recv_timeout(Duration::ZERO).is_err() && tx.send_timeout((), Duration::ZERO).is_err());
    });
}

#[test]
fn g11_closed_channels() {
    let _alone = alone();
    let (tx, rx) = bounded::<()>(0);
    tx.close().unwrap();
    main_gets_its_turn(move || assert!(rx.recv().is_err()));
    main_gets_its_turn(move || assert!(tx.send(()).is_err()));
    let c = Bytes::new(0);
    c.close().unwrap();
    main_gets_its_turn(move || assert_eq!(c.recv(raw::FOREVER), Err(raw::Error::Closed)));
}

#[test]
fn g11_selects_with_a_zero_timeout() {
    let _alone = alone();
    let (_tx, rx) = bounded::<()>(0);
    let (_tx2, rx2) = bounded::<()>(0);
    main_gets_its_turn(move || {
        select! {
            recv(rx) -> _ => unreachable!(),
            recv(rx2) -> _ => unreachable!(),
            default(Duration::ZERO) => {}
        }
        let mut s = Select::new();
        s.recv(&rx);
        assert!(s.select_timeout(Duration::ZERO).is_err());
    });
}

/// To start a goroutine is a call like any other.
#[test]
fn g11_starts_of_goroutines() {
    extern "C-unwind" fn nothing(_: *mut core::ffi::c_void) {}
    let _alone = alone();
    main_gets_its_turn(|| drop(zokor::go(|| {})));
    main_gets_its_turn(|| drop(Builder::new().name("named").go(|| {}).unwrap()));
    // SAFETY: the function does nothing.
    main_gets_its_turn(|| assert!(unsafe { raw::go_c_plain(nothing, core::ptr::null_mut()) }.is_ok()));
    // SAFETY: as above, and a word to copy.
    main_gets_its_turn(|| assert!(unsafe { raw::go_c_copy(nothing, [7; 8].as_ptr(), 8) }.is_ok()));
}

#[test]
fn g11_waits_of_no_length() {
    let _alone = alone();
    let wg = WaitGroup::new();
    wg.add(1);
    main_gets_its_turn(move || assert!(!wg.wait_until(Instant::now())));
    let barrier = Barrier::new(2);
    main_gets_its_turn(move || assert!(barrier.wait_until(Instant::now()).is_err()));
    let (mutex, cond) = (Mutex::new(()), Condvar::new());
    main_gets_its_turn(move || assert!(cond.wait_for(&mut mutex.lock(), Duration::ZERO).is_err()));
    let sem = Semaphore::new(0);
    main_gets_its_turn(move || assert!(sem.acquire_for(0, Duration::ZERO).is_ok() && sem.try_acquire(1).is_none()));
}

/// A wait on a condition whose time is over gives the mutex up all the same, as that of POSIX does: else the condition could not change.
#[test]
fn cv01_a_wait_of_no_length_lets_others_at_the_mutex() {
    check(|| {
        let (done, cond) = (Mutex::new(false), Condvar::new());
        let (has_it, taken) = bounded(1);
        zokor::scope(|s| {
            s.go(|| {
                let mut done = done.lock();
                has_it.send(()).unwrap();
                while !*done {
                    assert!(cond.wait_for(&mut done, Duration::ZERO).is_err());
                }
            });
            s.go(|| {
                taken.recv().unwrap();
                *done.lock() = true;
            });
        });
    });
}

#[test]
fn g11_sleeps_of_no_length() {
    let _alone = alone();
    main_gets_its_turn(|| zokor::sleep(Duration::ZERO));
    main_gets_its_turn(|| zokor::sleep_until(Instant::now()));
}

#[test]
fn g11_a_context_that_has_ended() {
    let _watch = Watchdog::start(LIMIT);
    let _alone = alone();
    zokor::workers(1).unwrap();
    let calls: [fn(&zokor::channel::Receiver<()>, &Bytes); 4] = [
        |rx, _| assert!(rx.recv().is_err()),
        |rx, _| assert!(rx.recv_timeout(Duration::from_secs(10)).is_err()),
        |_, c| assert!(c.recv(raw::FOREVER).is_err()),
        |_, _| zokor::sleep(Duration::from_secs(10)),
    ];
    for call in calls {
        zokor::run(|| {
            let (ctx, cancel) = context::with_cancel(&Context::background());
            cancel.cancel();
            let stop = Counter::default();
            let seen = stop.clone();
            let asks = Builder::new().context(&ctx).go(move || {
                let (_tx, rx) = bounded::<()>(0);
                let c = Bytes::new(0);
                while seen.get() == 0 {
                    call(&rx, &c);
                }
            });
            zokor::sleep(Duration::from_millis(20));
            stop.add(1);
            asks.unwrap().join().unwrap();
        });
    }
}

/// A pinned goroutine that only starts others goes behind them when its slice is used up, as one that may move does: it does not have every
/// other turn.
#[test]
fn g10_those_whom_a_pinned_one_has_started_run_before_it_goes_on() {
    let _watch = Watchdog::start(LIMIT);
    let _alone = alone();
    zokor::workers(1).unwrap();
    zokor::run(|| {
        let begun = Counter::default();
        let (mut many, mut few) = (0, 0);
        while many < 10 {
            let before = begun.get();
            let it = begun.clone();
            drop(zokor::go(move || it.add(1)));
            match begun.get() - before {
                0 => {}
                1..=10 => few += 1,
                _ => many += 1, // thousands, if the system lets us run
            }
        }
        assert!(few <= many, "{few} times a few went first, {many} times many");
    });
}

/// On one worker 64 goroutines that may move `work` and yield, a pinned one uses up one slice after the other, and main, which is bound as well, sleeps:
/// each nap ends with its turn. How many turns the others have had by then.
fn naps_beside_a_hog(work: fn(), naps: u32, nap: Duration) -> i64 {
    let _watch = Watchdog::start(LIMIT);
    let _alone = alone();
    zokor::workers(1).unwrap();
    zokor::run(|| {
        let (stop, turns) = (Counter::default(), Counter::default());
        let others = || {
            let (stop, turns) = (stop.clone(), turns.clone());
            move || {
                while stop.get() == 0 {
                    work();
                    turns.add(1);
                    zokor::yield_now();
                }
            }
        };
        // SAFETY: nothing of a thread is kept across a yield.
        let moving: Vec<_> = (0..64).map(|_| unsafe { zokor::go_migrating(others()) }).collect();
        let seen = stop.clone();
        let (_tx, rx) = bounded::<()>(0);
        let hog = zokor::go(move || {
            while seen.get() == 0 {
                assert!(rx.recv_timeout(Duration::ZERO).is_err());
            }
        });
        (0..naps).for_each(|_| zokor::sleep(nap));
        let turns = turns.get();
        stop.add(1);
        moving.into_iter().chain([hog]).for_each(|h| h.join().unwrap());
        turns
    })
}

/// Those who are bound do not wait for ever.
#[test]
fn g11_bound_ones_get_their_turn_beside_others_that_yield() {
    naps_beside_a_hog(|| (), 20, Duration::from_millis(5));
}

/// Nor do they wait for many turns of others, when these are long.
#[test]
fn g11_bound_ones_wait_for_few_long_turns() {
    fn works() {
        let until = Instant::now() + Duration::from_millis(2);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
    let turns = naps_beside_a_hog(works, 10, Duration::from_millis(1));
    assert!(turns < 250, "{turns} turns of others in ten short sleeps"); // some ten each time: the timer is overdue, and seen at the next tick
}
