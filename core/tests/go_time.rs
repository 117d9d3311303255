//! Sleep and timers: rules T-01 to T-20 of Go's semantics.
//!
//! Go's own scenarios (`time/sleep_test.go`, `time/tick_test.go`) are written anew from what they check. Times are compared from below; above there
//! is only the harness's limit, or a bound so wide that a loaded machine keeps it.

mod common;

use common::*;
use std::ffi::c_void;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use zokor::channel::{after, at, bounded, never, select, tick, RecvTimeoutError, TryRecvError};
use zokor::raw::{self, Timer};

const MS: i64 = 1_000_000;
const HOUR: Duration = Duration::from_secs(3600);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A channel timer through the untyped interface.
#[derive(Clone)]
struct T(Arc<Timer>);

impl T {
    fn new(first: i64, period: i64) -> T {
        T(Timer::new(first, period).expect("a timer"))
    }

    fn chan(&self) -> Bytes {
        Bytes(self.0.chan().expect("a timer with a channel").clone())
    }

    fn recv(&self) -> i64 {
        self.chan().recv(raw::FOREVER).expect("timers are never closed") as i64
    }

    /// What a receive that does not wait finds.
    fn ready(&self) -> Option<i64> {
        self.chan().recv(raw::NOWAIT).ok().map(|t| t as i64)
    }
}

/// Lets time pass without a call into the runtime, so that nobody can have looked at timers because of us.
fn pass(d: Duration) {
    let start = Instant::now();
    while start.elapsed() < d {
        std::hint::spin_loop();
    }
}

// ---- sleep ---------------------------------------------------------------------------------------------

#[test]
fn t01_sleep_lasts_at_least_as_long() {
    check(|| {
        for d in [1, 5, 20] {
            let start = Instant::now();
            zokor::sleep(ms(d));
            assert!(start.elapsed() >= ms(d));
            let until = Instant::now() + ms(d);
            zokor::sleep_until(until);
            assert!(Instant::now() >= until);
        }
    });
}

#[test]
fn t01_no_time_is_no_sleep() {
    check(|| {
        let parks = raw::stats().parks;
        for _ in 0..1000 {
            zokor::sleep(Duration::ZERO);
            zokor::sleep_until(Instant::now() - ms(1));
            raw::sleep_until(raw::now() - 1).unwrap();
        }
        assert!(raw::stats().parks < parks + 500, "it did not park");
    });
}

#[test]
fn t01_sleepers_wake_each_other_in_no_other_order_than_time() {
    check(|| {
        let (tx, rx) = bounded(10);
        let all: Vec<_> = [5, 1, 4, 2, 3]
            .map(|i| {
                let tx = tx.clone();
                zokor::go(move || {
                    zokor::sleep(ms(i * 40));
                    tx.send(i).unwrap();
                })
            })
            .into();
        drop(tx);
        assert_eq!(rx.iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        all.into_iter().for_each(|h| h.join().unwrap());
    });
}

/// Go's TestOverflowSleep.
#[test]
fn t02_an_endless_time_never_fires_and_disturbs_nobody() {
    check(|| {
        assert_eq!(raw::time_in(i64::MAX), raw::FOREVER);
        let (endless, huge) = (T::new(i64::MAX, 0), after(Duration::MAX));
        select! {
            recv(huge) -> _ => unreachable!("584 years"),
            recv(after(ms(20))) -> _ => {}
        }
        assert_eq!(endless.ready(), None);
        assert!(endless.0.stop());
        let past = T::new(i64::MIN, 0);
        past.recv();
        assert!(T::new(-5, 0).ready().is_some(), "a negative time is now");
    });
}

// ---- channel timers are synchronous -----------------------------------------------------------------------

#[test]
fn t03_len_and_cap_are_zero_even_with_a_tick_to_take() {
    check(|| {
        for period in [0, MS] {
            let t = T::new(MS, period);
            pass(ms(3));
            assert_eq!((t.chan().0.len(), t.chan().0.cap()), (0, 0));
            assert!(t.ready().is_some());
            t.0.stop();
        }
        // `after` looks like crossbeam's: room for one, which is there when it is due.
        let rx = after(ms(1));
        pass(ms(3));
        assert_eq!((rx.len(), rx.capacity(), rx.is_empty(), rx.is_full()), (1, Some(1), false, true));
        assert!(rx.try_recv().is_ok());
        assert_eq!((rx.len(), rx.capacity(), rx.is_empty(), rx.is_full()), (0, Some(1), true, false));
    });
}

#[test]
fn t03_timers_and_tickers_look_unbuffered() {
    check(|| {
        let (timer, ticker) = (zokor::time::Timer::new(ms(1)), zokor::time::Ticker::new(ms(1)));
        pass(ms(3));
        for rx in [timer.receiver(), ticker.receiver(), &timer.receiver().clone()] {
            assert_eq!((rx.len(), rx.capacity(), rx.is_empty(), rx.is_full()), (0, Some(0), true, true));
        }
        assert!(timer.receiver().try_recv().is_ok() && ticker.receiver().try_recv().is_ok());
    });
}

#[test]
fn t04_nothing_stale_is_received_after_stop() {
    check(|| {
        for _ in 0..50 {
            let t = T::new(0, 0);
            assert!(t.0.stop());
            assert_eq!(t.ready(), None);
            let t = T::new(100_000, 0);
            pass(Duration::from_micros(120));
            t.0.stop();
            assert_eq!(t.ready(), None);
        }
    });
}

#[test]
fn t04_nothing_stale_is_received_after_reset() {
    check(|| {
        for period in [0, 3600 * 1000 * MS] {
            let t = T::new(0, period);
            pass(ms(1));
            assert!(t.0.reset(3600 * 1000 * MS));
            assert_eq!(t.ready(), None);
            let before = raw::now();
            t.0.reset(2 * MS);
            assert!(t.recv() >= before + 2 * MS, "the tick is from after the reset");
            t.0.stop();
        }
    });
}

#[test]
fn t05_stop_tells_whether_it_prevented_the_delivery() {
    check(|| {
        let t = T::new(3600 * 1000 * MS, 0);
        assert!(t.0.stop(), "it was armed");
        assert!(!t.0.stop(), "it was stopped before");
        let t = T::new(0, 0);
        pass(ms(1));
        assert!(t.0.stop(), "expired, but not received");
        assert!(!t.0.stop());
        let t = T::new(0, 0);
        t.recv();
        assert!(!t.0.stop(), "received");
    });
}

#[test]
fn t06_reset_tells_the_same_and_arms_again() {
    check(|| {
        let t = T::new(0, 0);
        pass(ms(1));
        assert!(t.0.reset(MS), "expired, but not received");
        t.recv();
        assert!(!t.0.reset(MS), "received");
        t.recv();
        assert!(!t.0.reset(3600 * 1000 * MS));
        assert!(t.0.reset(3600 * 1000 * MS), "armed");
        assert!(t.0.stop());
        assert!(!t.0.reset(0), "stopped");
        t.recv();
        assert_eq!(t.ready(), None);
    });
}

#[test]
fn t07_the_tick_is_the_scheduled_instant() {
    check(|| {
        let before = Instant::now();
        let rx = after(ms(10));
        let made = Instant::now();
        pass(ms(40));
        let tick = rx.recv().unwrap();
        assert!(tick >= before + ms(10) && tick <= made + ms(10), "{:?} after the start", tick - before);
        let when = Instant::now() + ms(5);
        let got = at(when).recv().unwrap();
        let off = if got > when { got - when } else { when - got };
        assert!(off < Duration::from_micros(5), "off by {off:?}");
        let (before, t) = (raw::now(), T::new(5 * MS, 0));
        let made = raw::now();
        let tick = t.recv();
        assert!(tick >= before + 5 * MS && tick <= made + 5 * MS);
    });
}

#[test]
fn t08_one_tick_wakes_one_waiter() {
    check(|| {
        let t = T::new(3600 * 1000 * MS, 0);
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let t = t.clone();
                go_parked("chan receive", move || t.recv())
            })
            .collect();
        t.0.reset(MS);
        wait_until(|| waiters.iter().any(zokor::JoinHandle::is_finished));
        zokor::sleep(ms(5));
        assert_eq!(waiters.iter().filter(|w| w.is_finished()).count(), 1);
        assert_eq!(count_parked("chan receive"), 1);
        t.0.reset(0);
        waiters.into_iter().for_each(|h| assert!(h.join().unwrap() > 0));
        assert_eq!(t.ready(), None);
    });
}

#[test]
fn t09_reset_moves_the_wake_up_of_a_parked_receiver() {
    check(|| {
        let t = T::new(3600 * 1000 * MS, 0);
        let h = go_parked("chan receive", {
            let t = t.clone();
            move || t.recv()
        });
        assert!(t.0.reset(5 * MS), "earlier");
        h.join().unwrap();

        let start = raw::now();
        t.0.reset(30 * MS);
        let h = zokor::go({
            let t = t.clone();
            move || t.recv()
        });
        t.0.reset(60 * MS);
        assert!(h.join().unwrap() >= start + 60 * MS, "later");
    });
}

#[test]
fn t10_unreferenced_timers_are_freed_unstopped() {
    check(|| {
        for i in 0..20_000 {
            match i % 4 {
                0 => drop(after(ms(3_600_000))),
                1 => drop(tick(ms(3_600_000))),
                2 => drop(T::new(3600 * 1000 * MS, 0)),
                _ => drop(T::new(MS, MS)),
            }
        }
        assert_eq!(raw::stats().timers, 0);
    });
}

#[test]
fn t10_a_timer_is_dropped_while_armed_for_a_select() {
    check(|| {
        for _ in 0..200 {
            let (tx, rx) = bounded(1);
            let h = go_parked("select", move || {
                select! {
                    recv(after(ms(3_600_000))) -> _ => 0,
                    recv(rx) -> v => v.unwrap(),
                }
            });
            tx.send(1).unwrap();
            assert_eq!(h.join().unwrap(), 1);
        }
        assert_eq!(raw::stats().timers, 0);
    });
}

// ---- functions ----------------------------------------------------------------------------------------------

unsafe extern "C-unwind" fn count(arg: *mut c_void) {
    // SAFETY: the tests pass a Counter that outlives the timer.
    unsafe { (*arg.cast::<Counter>()).add(1) };
}

/// The counter lives as long as the process: a callback may run when the test has ended.
fn after_func(first: i64) -> (T, &'static Counter) {
    static KEPT: Mutex<Vec<&'static Counter>> = Mutex::new(Vec::new());
    let runs: &'static Counter = Box::leak(Box::default());
    KEPT.lock().unwrap().push(runs);
    // SAFETY: `count` may run anywhere, and the counter is never freed.
    let t = unsafe { Timer::func(first, count, (&raw const *runs).cast_mut().cast()) };
    (T(t.expect("a timer")), runs)
}

/// Go's TestAfterFunc and TestAfterStop.
#[test]
fn t11_a_function_runs_once_in_a_goroutine() {
    check(|| {
        let (t, runs) = after_func(MS);
        assert!(t.0.chan().is_none());
        wait_until(|| runs.get() == 1);
        assert!(!t.0.stop(), "it has started");
        zokor::sleep(ms(5));
        assert_eq!(runs.get(), 1);
    });
}

#[test]
fn t11_a_stopped_function_never_runs() {
    check(|| {
        let (t, runs) = after_func(3600 * 1000 * MS);
        assert!(t.0.stop());
        for i in 0..200 {
            let (t, runs) = after_func(i * 500);
            if t.0.stop() {
                zokor::sleep(Duration::from_micros(300));
                assert_eq!(runs.get(), 0, "stop said that it would not run");
            } else {
                wait_until(|| runs.get() == 1);
            }
        }
        assert_eq!(runs.get(), 0);
    });
}

/// The handle stops it and starts it anew, and is not needed for it to run.
#[test]
fn t11_a_function_runs_when_its_handle_is_gone() {
    check(|| {
        let (runs, ledger) = (Arc::new(Counter::default()), Ledger::default());
        let counts = |n| {
            let (runs, held) = (runs.clone(), ledger.value(n));
            move || {
                let _held = &held;
                runs.add(1);
            }
        };
        drop(zokor::time::after_func(ms(1), counts(0)));
        wait_until(|| runs.get() == 1 && ledger.live() == 0);

        // Each arming that is not taken back is one run, wherever the handle has gone meanwhile.
        let mut due = 1;
        for i in 0..300 {
            let later = zokor::time::after_func(Duration::from_micros(i % 7 * 10), counts(1));
            due += 1;
            if i % 2 == 0 {
                due += 1 - i64::from(later.reset(Duration::from_micros(i % 5 * 10)));
            }
            if i % 3 == 0 {
                due -= i64::from(later.stop());
            }
        }
        wait_until(|| runs.get() == due && ledger.live() == 0);
        let stopped = zokor::time::after_func(Duration::MAX, counts(2));
        assert!(stopped.stop() && !stopped.stop());
        drop(stopped);
        assert_eq!((runs.get(), ledger.live()), (due, 0), "what was stopped goes with its handle");
    });
}

#[test]
fn t11_a_function_starts_itself_anew() {
    check(|| {
        let (runs, me) = (Arc::new(Counter::default()), Arc::new(Mutex::new(None::<zokor::time::AfterFunc>)));
        let again = zokor::time::after_func(Duration::MAX, {
            let (runs, me) = (runs.clone(), me.clone());
            move || match runs.add(1) {
                5 => drop(me.lock().unwrap().take()),
                _ => assert!(!me.lock().unwrap().as_ref().unwrap().reset(Duration::ZERO)),
            }
        });
        let mut place = me.lock().unwrap();
        assert!(again.reset(Duration::ZERO));
        *place = Some(again);
        drop(place);
        wait_until(|| runs.get() == 5 && me.lock().unwrap().is_none());
    });
}

#[test]
fn t12_a_reset_function_runs_again() {
    check(|| {
        let (t, runs) = after_func(0);
        for n in 1..20 {
            wait_until(|| runs.get() == n);
            assert!(!t.0.reset(n * 10_000));
        }
        wait_until(|| runs.get() == 20);
    });
}

/// Set anew before they have run, earlier and later, by the worker that set them, by another one and by a thread that is no worker.
#[test]
fn t12_pending_functions_are_moved() {
    check(|| {
        let hour = Duration::from_secs(3600);
        let runs: Vec<_> = (0..128).map(|_| Arc::new(Counter::default())).collect();
        let timers: Arc<Vec<_>> = Arc::new(
            runs.iter()
                .map(|r| {
                    let r = r.clone();
                    zokor::time::after_func(hour, move || _ = r.add(1))
                })
                .collect(),
        );
        let due = Arc::new(Mutex::new(vec![0; runs.len()]));
        let moves = |from: usize| {
            let (timers, due) = (timers.clone(), due.clone());
            move || {
                for i in (from..timers.len()).step_by(4) {
                    let t = &timers[i];
                    assert!(t.reset(2 * hour));
                    assert!(t.reset(hour / 2));
                    let mut runs = 0;
                    match i / 4 % 3 {
                        0 => {
                            assert!(t.reset(Duration::ZERO));
                            runs = 1;
                        }
                        1 => {
                            assert!(t.reset(ms(1)));
                            runs = i64::from(!t.reset(hour)); // it was fast
                        }
                        _ => {}
                    }
                    due.lock().unwrap()[i] = runs;
                }
            }
        };
        let thread = std::thread::spawn(moves(0));
        let others = [1, 2].map(|from| zokor::go(moves(from)));
        moves(3)();
        others.into_iter().for_each(|g| g.join().unwrap());
        zokor::blocking(|| thread.join().unwrap());
        let due = due.lock().unwrap().clone();
        wait_until(|| runs.iter().zip(&due).all(|(r, n)| r.get() == *n));
        let ran = Arc::new(Counter::default());
        let last = ran.clone();
        let _last = zokor::time::after_func(ms(5), move || _ = last.add(1));
        wait_until(|| ran.get() == 1);
        for (i, t) in timers.iter().enumerate() {
            assert_eq!(t.stop(), i / 4 % 3 != 0);
            assert_eq!(runs[i].get(), due[i]);
        }
    });
}

#[test]
fn g12_two_goroutines_that_wake_each_other_do_not_starve_functions() {
    check(|| {
        let ((_timer, runs), stop) = (after_func(5 * MS), Counter::default());
        let ((a, b), (c, d)) = (bounded(0), bounded(0));
        let one = zokor::go(move || b.iter().try_for_each(|n: u64| c.send(n + 1)).is_err());
        let other = zokor::go({
            let stop = stop.clone();
            move || {
                let mut n = 0;
                while stop.get() == 0 {
                    a.send(n).unwrap();
                    n = d.recv().unwrap();
                }
            }
        });
        wait_until(|| runs.get() == 1);
        stop.add(1);
        other.join().unwrap();
        one.join().unwrap();
    });
}

// ---- tickers ----------------------------------------------------------------------------------------------------

#[test]
fn t13_a_slow_reader_misses_ticks_and_the_phase_stays() {
    check(|| {
        let before = Instant::now();
        let t = tick(ms(10));
        let made = Instant::now();
        pass(ms(55));
        let first = t.recv().unwrap();
        assert!(first >= before + ms(10) && first <= made + ms(10), "the oldest pending tick");
        let mut last = first;
        for _ in 0..3 {
            let next = t.recv().unwrap();
            let off = (next - first).as_nanos() % 10_000_000;
            assert!(!(10_000..=9_990_000).contains(&off), "out of phase by {off} ns");
            assert!(next > last);
            last = next;
        }
        assert!(last - first >= ms(50), "ticks nobody took are gone: {:?}", last - first);
    });
}

#[test]
fn t13_a_ticker_keeps_at_most_one_tick() {
    check(|| {
        let t = T::new(2 * MS, 2 * MS);
        pass(ms(21));
        let start = raw::now();
        let mut ticks = 0;
        while t.ready().is_some() {
            ticks += 1;
        }
        // One was there, and others may have come meanwhile, but not the backlog.
        let came = (raw::now() - start) / (2 * MS) + 1;
        assert!((1..=1 + came).contains(&ticks), "{ticks} ticks, {came} came meanwhile");
        t.0.stop();
    });
}

#[test]
fn t14_reset_of_a_ticker_restarts_the_phase() {
    check(|| {
        let t = T::new(MS, 5 * MS);
        pass(ms(2));
        let before = raw::now();
        t.0.reset(20 * MS);
        let after = raw::now();
        // The pending tick is gone; what is there by now, if we were kept from running, is the next one.
        let first = t.ready().unwrap_or_else(|| t.recv());
        assert!(first >= before + 20 * MS && first <= after + 20 * MS);
        let next = t.recv();
        assert_eq!((next - first) % (5 * MS), 0, "the period is kept");
        t.0.stop();
    });
}

#[test]
fn t14_a_negative_period_is_refused() {
    check(|| {
        assert!(matches!(Timer::new(MS, -1), Err(raw::Error::Invalid)));
        assert!(matches!(Timer::new(MS, i64::MIN), Err(raw::Error::Invalid)));
    });
}

/// T-05, T-06 and T-14 on the public types.
#[test]
fn t14_timers_and_tickers_are_stopped_and_reset() {
    use zokor::time::{Ticker, Timer};
    check(|| {
        let t = Timer::new(Duration::MAX);
        assert!(t.stop() && !t.stop() && !t.reset(Duration::ZERO));
        assert!(t.reset(ms(1)) && t.receiver().recv().is_ok());
        assert!(!t.reset(Duration::ZERO) && t.stop());
        assert_eq!(t.receiver().try_recv(), Err(TryRecvError::Empty), "nothing stale");

        let t = Ticker::new(ms(1));
        let first = t.receiver().recv().unwrap();
        pass(ms(3));
        t.reset(Duration::MAX);
        assert_eq!(t.receiver().try_recv(), Err(TryRecvError::Empty), "the pending tick is dropped");
        let anew = Instant::now();
        t.reset(ms(2));
        let (second, third) = (t.receiver().recv().unwrap(), t.receiver().recv().unwrap());
        assert!(second >= anew + ms(2) && first < second);
        assert_eq!((third - second).as_nanos() % 2_000_000, 0, "whole periods");
        t.stop();
        assert!(t.receiver().recv_timeout(ms(5)).is_err());
        for zero in [|| drop(Ticker::new(Duration::ZERO)), || Ticker::new(HOUR).reset(Duration::ZERO)] {
            let e = std::panic::catch_unwind(zero).unwrap_err();
            assert!(e.downcast_ref::<&str>().is_some_and(|m| m.starts_with("non-positive interval")));
        }
    });
}

#[test]
fn t15_stop_does_not_close_the_channel() {
    check(|| {
        let t = T::new(3600 * 1000 * MS, 0);
        let h = go_parked("chan receive", {
            let t = t.clone();
            move || t.recv()
        });
        assert!(t.0.stop());
        zokor::sleep(ms(5));
        assert!(!h.is_finished() && is_parked(h.id(), "chan receive"));
        assert!(!t.chan().0.is_closed());
        t.0.reset(0);
        h.join().unwrap();
    });
}

/// Time is the system's monotonic clock, which no setting of the wall clock moves, and never goes backwards from one goroutine or
/// thread to the next.
#[test]
fn t20_time_is_monotonic() {
    fn system() -> i64 {
        // SAFETY: zeroes are a valid timespec, which the call fills in.
        let mut t: libc::timespec = unsafe { std::mem::zeroed() };
        // SAFETY: `t` is ours to write.
        assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) }, 0);
        t.tv_sec * 1_000_000_000 + t.tv_nsec
    }
    check(|| {
        let (tx, rx) = bounded::<i64>(0);
        let (back, again) = bounded::<i64>(0);
        let (thread_tx, thread_rx) = (tx.clone(), again.clone());
        // The hand-overs order the looks at the clock.
        let chain = |tx: zokor::channel::Sender<i64>, again: zokor::channel::Receiver<i64>| {
            move || {
                for _ in 0..200 {
                    tx.send(raw::now()).unwrap();
                    let seen = again.recv().unwrap();
                    assert!(raw::now() >= seen);
                }
            }
        };
        let h = zokor::go(chain(tx, again));
        zokor::hold();
        let t = std::thread::spawn(chain(thread_tx, thread_rx));
        for _ in 0..400 {
            let seen = rx.recv().unwrap();
            let before = system();
            let now = raw::now();
            assert!(now >= seen && before <= now && now <= system(), "it is the monotonic clock");
            back.send(now).unwrap();
        }
        h.join().unwrap();
        zokor::blocking(|| t.join().unwrap());
        zokor::release();
        let until = raw::now() + 5 * MS;
        raw::sleep_until(until).unwrap();
        assert!(system() >= until);
    });
}

// ---- order and load ------------------------------------------------------------------------------------------------

/// Go's TestAfterQueuing, with its five attempts. A machine that lets the process wait for longer than what lies between two deadlines makes
/// both due at once, and who runs first then is not said: each attempt leaves twice as much.
#[test]
fn t17_distinct_deadlines_fire_in_order() {
    check(|| {
        const SLOTS: [u64; 13] = [5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0];
        let attempt = |gap: u64| {
            let (tx, rx) = bounded(SLOTS.len());
            for slot in SLOTS {
                let tx = tx.clone();
                zokor::go(move || {
                    let at = after(ms(slot * gap)).recv().unwrap();
                    tx.send((slot, at)).unwrap();
                });
            }
            drop(tx);
            let got: Vec<_> = rx.iter().collect();
            got.windows(2).all(|w| w[0].0 <= w[1].0)
        };
        assert!((0..5).any(|n| attempt(10 << n)), "out of order five times");
    });
}

/// Go's TestTimerModifiedEarlier.
#[test]
fn t18_arming_earlier_loses_nothing() {
    check(|| {
        let t = T::new(3600 * 1000 * MS, 0);
        for _ in 0..100 {
            t.0.reset(3600 * 1000 * MS);
            t.0.reset(100_000);
            assert!(t.chan().recv(raw::time_in(10_000 * MS)).is_ok(), "lost");
        }
    });
}

/// Go's TestZeroTimer.
#[test]
fn t18_timers_without_time_are_not_missed() {
    check(|| {
        for _ in 0..5000 {
            T::new(0, 0).recv();
        }
        let t = T::new(0, 0);
        for _ in 0..5000 {
            t.recv();
            t.0.reset(0);
        }
        for _ in 0..2000 {
            let t = T::new(3600 * 1000 * MS, 0);
            t.0.reset(0);
            t.recv();
        }
    });
}

/// Go's TestLongAdjustTimers.
#[test]
fn t19_thousands_of_sleepers_and_a_ping_pong() {
    check(|| {
        let sleepers: Vec<_> = (0..5000u64).map(|i| zokor::go(move || zokor::sleep(ms(i % 50)))).collect();
        let ((a, b), (c, d)) = (bounded(0), bounded(0));
        let echo = zokor::go(move || b.iter().try_for_each(|n: u32| c.send(n)).is_err());
        for n in 0..5000 {
            a.send(n).unwrap();
            assert_eq!(d.recv(), Ok(n));
        }
        drop(a);
        echo.join().unwrap();
        sleepers.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn a_timer_channel_is_a_channel_like_others() {
    check(|| {
        let far = after(ms(3_600_000));
        assert_eq!(far.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(far.recv_timeout(ms(1)), Err(RecvTimeoutError::Timeout));
        select! {
            recv(far) -> _ => unreachable!("too early"),
            recv(never::<()>()) -> _ => unreachable!("never"),
            default(ms(1)) => {}
        }
        let rx = after(ms(2));
        let other = rx.clone();
        let h = zokor::go(move || other.recv().is_ok());
        assert!(h.join().unwrap());
        assert_eq!(rx.recv_timeout(ms(5)), Err(RecvTimeoutError::Timeout), "it fires once, for one");

        let t = T::new(MS, 0).chan();
        assert_eq!(t.send(1, raw::FOREVER), Err(raw::Error::Perm), "the runtime sends on it, nobody else");
    });
}

#[test]
fn plain_threads_sleep_and_wait_for_timers() {
    let _alone = alone();
    let _watch = Watchdog::start(LIMIT);
    let start = Instant::now();
    zokor::sleep(ms(5));
    let tick = after(ms(5)).recv().unwrap();
    assert!(tick >= start + ms(10));
    assert_eq!(T::new(3600 * 1000 * MS, MS).chan().recv(raw::NOWAIT), Err(raw::Error::WouldBlock));
    let t = tick_times(3);
    assert!(t.windows(2).all(|w| w[0] < w[1]));
}

fn tick_times(n: usize) -> Vec<Instant> {
    tick(ms(2)).iter().take(n).collect()
}
