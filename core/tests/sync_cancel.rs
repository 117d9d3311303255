//! Every wait of `zokor::sync` that is not marked "not cancelable" ends with the goroutine's context and at its deadline (X-19 with
//! what Go leaves out; WG-08, CV-06, E-04), with nothing taken.

mod common;

use common::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zokor::context::{with_cancel, with_deadline, Context};
use zokor::group::Group;
use zokor::sync::singleflight;
use zokor::sync::{Barrier, Condvar, Mutex, Once, OnceLock, RwLock, Semaphore, WaitError};
use zokor::{Builder, WaitGroup};

/// Objects in a state in which everybody has to wait, or in which nobody has to.
struct Objects {
    mutex: Mutex<i32>,
    reads: RwLock<i32>,
    writes: RwLock<i32>,
    monitor: (Mutex<i32>, Condvar),
    wg: WaitGroup,
    once: Once,
    value: OnceLock<i32>,
    barrier: Barrier,
    sem: Semaphore,
    flight: singleflight::Group<&'static str, i32>,
    group: Group<std::fmt::Error>,
}

impl Objects {
    /// `parties` of the barrier: 1 lets everybody pass.
    fn new(parties: usize) -> Arc<Objects> {
        Arc::new(Objects {
            mutex: Mutex::new(0),
            reads: RwLock::new(0),
            writes: RwLock::new(0),
            monitor: (Mutex::new(0), Condvar::new()),
            wg: WaitGroup::new(),
            once: Once::new(),
            value: OnceLock::new(),
            barrier: Barrier::new(parties),
            sem: Semaphore::new(1),
            flight: singleflight::Group::new(),
            group: Group::with_context(&Context::background()),
        })
    }

    /// Takes everything, calls `f`, and gives everything back.
    fn occupied(self: &Arc<Objects>, f: impl FnOnce()) {
        let (gate, opened) = zokor::channel::bounded::<()>(0);
        let _guards = (self.mutex.lock(), self.reads.write(), self.writes.read());
        let _token = self.sem.acquire(1).unwrap();
        self.wg.add(1);
        self.group.set_limit(Some(1));
        let runs = |run: fn(&Objects, &dyn Fn())| {
            let (o, opened) = (self.clone(), opened.clone());
            go_parked("chan receive", move || run(&o, &|| assert!(opened.recv().is_err())))
        };
        let runners = [
            runs(|o, wait| o.once.call_once(wait)),
            runs(|o, wait| {
                o.value.get_or_init(|| {
                    wait();
                    7
                });
            }),
            runs(|o, wait| {
                o.flight.call("k", || {
                    wait();
                    7
                });
            }),
        ];
        let o = opened.clone();
        self.group.go(move || {
            assert!(o.recv().is_err());
            Ok(())
        });
        f();
        drop(gate);
        runners.into_iter().for_each(|h| h.join().unwrap());
        self.wg.done();
    }
}

/// What to wait for: its name, what dumps show, the form with a deadline, the form without.
type Wait = (
    &'static str,
    &'static str,
    fn(&Objects, Instant) -> Result<(), WaitError>,
    Option<fn(&Objects) -> Result<(), WaitError>>,
);

fn forms() -> Vec<Wait> {
    let all: [Wait; 12] = [
        ("mutex", "mutex", |o, d| o.mutex.lock_until(d).map(drop), Some(|o| o.mutex.lock_cancelable().map(drop))),
        ("read", "rwmutex read", |o, d| o.reads.read_until(d).map(drop), Some(|o| o.reads.read_cancelable().map(drop))),
        (
            "write",
            "rwmutex write",
            |o, d| o.writes.write_until(d).map(drop),
            Some(|o| o.writes.write_cancelable().map(drop)),
        ),
        (
            "cond",
            "cond",
            |o, d| o.monitor.1.wait_until(&mut o.monitor.0.lock(), d),
            Some(|o| o.monitor.1.wait_cancelable(&mut o.monitor.0.lock())),
        ),
        ("cond while", "cond", |o, d| o.monitor.1.wait_while_until(&mut o.monitor.0.lock(), |n| *n == 0, d), None),
        (
            "wait group",
            "wait group",
            |o, d| if o.wg.wait_until(d) { Ok(()) } else { Err(of_bool()) },
            Some(|o| o.wg.wait_cancelable()),
        ),
        (
            "once",
            "once",
            |o, d| o.once.call_once_until(d, || unreachable!("it has begun")),
            Some(|o| o.once.call_once_cancelable(|| unreachable!("it has begun"))),
        ),
        ("value", "once", |o, d| o.value.get_or_init_until(d, || unreachable!("it has begun")).map(drop), None),
        (
            "barrier",
            "barrier",
            |o, d| o.barrier.wait_until(d).map(drop),
            Some(|o| o.barrier.wait_cancelable().map(drop)),
        ),
        ("semaphore", "semaphore", |o, d| o.sem.acquire_until(1, d).map(drop), Some(|o| o.sem.acquire(1).map(drop))),
        (
            "singleflight",
            "singleflight",
            |o, d| o.flight.call_until("k", d, || 1).map(drop),
            Some(|o| o.flight.call_cancelable("k", || 1).map(drop)),
        ),
        ("place", "group", |o, d| o.group.go_until(d, || Ok(())), None),
    ];
    all.to_vec()
}

/// A form that says no more than "no": what it was is to be seen in the context.
fn of_bool() -> WaitError {
    match Context::current().err() {
        Some(zokor::context::ContextError::Canceled) => WaitError::Cancelled,
        _ => WaitError::TimedOut,
    }
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

#[test]
fn x19_wg08_cv06_cancellation_ends_every_wait() {
    check(|| {
        let o = Objects::new(2);
        o.occupied(|| {
            for (name, on, until, cancelable) in forms() {
                for with_deadline in [true, false] {
                    let (ctx, cancel) = with_cancel(&Context::background());
                    let objects = o.clone();
                    let body = move || match cancelable {
                        Some(wait) if !with_deadline => wait(&objects),
                        _ => until(&objects, later()),
                    };
                    let h = Builder::new().context(&ctx).go(body).unwrap();
                    until_parked(&h, on);
                    cancel.cancel();
                    assert_eq!(h.join().unwrap(), Err(WaitError::Cancelled), "{name}");
                }
            }
        });
        nothing_was_taken(&o);
    });
}

#[test]
fn x06_x19_a_deadline_of_the_context_ends_every_wait() {
    check(|| {
        let o = Objects::new(2);
        o.occupied(|| {
            for (name, _, until, cancelable) in forms() {
                let soon = Instant::now() + Duration::from_millis(2);
                let (ctx, _keep) = with_deadline(&Context::background(), soon);
                let objects = o.clone();
                let body = move || cancelable.map_or_else(|| until(&objects, later()), |wait| wait(&objects));
                let h = Builder::new().context(&ctx).go(body).unwrap();
                assert_eq!(h.join().unwrap(), Err(WaitError::TimedOut), "{name}");
                assert!(Instant::now() >= soon, "{name}");
            }
        });
        nothing_was_taken(&o);
    });
}

#[test]
fn wg08_deadlines_end_every_wait_of_goroutines_and_threads() {
    check(|| {
        let o = Objects::new(3);
        o.occupied(|| {
            for (name, _, until, _) in forms() {
                let objects = o.clone();
                let wait = move || {
                    let soon = Instant::now() + Duration::from_millis(2);
                    assert_eq!(until(&objects, soon), Err(WaitError::TimedOut), "{name}");
                    assert!(Instant::now() >= soon, "{name}");
                    assert_eq!(until(&objects, soon), Err(WaitError::TimedOut), "{name}: a past one");
                };
                let thread = std::thread::spawn(wait.clone());
                wait();
                zokor::blocking(|| thread.join()).unwrap();
            }
        });
        nothing_was_taken(&o);
    });
}

/// With an ended context also what is ready is refused.
#[test]
fn x19_a_goroutine_whose_context_has_ended_gets_nothing() {
    check(|| {
        let o = Objects::new(1);
        o.once.call_once(|| ());
        o.value.get_or_init(|| 7);
        let (ctx, cancel) = with_cancel(&Context::background());
        cancel.cancel();
        for (name, _, until, cancelable) in forms() {
            let objects = o.clone();
            let body = move || {
                let r = until(&objects, later());
                (r, cancelable.map_or(r, |wait| wait(&objects)))
            };
            let h = Builder::new().context(&ctx).go(body).unwrap();
            assert_eq!(h.join().unwrap(), (Err(WaitError::Cancelled), Err(WaitError::Cancelled)), "{name}");
        }
        // Tries do not wait, and the plain forms are not cancelable.
        let h = Builder::new().context(&ctx).go({
            let o = o.clone();
            move || {
                assert!(o.mutex.try_lock().is_some() && o.reads.try_read().is_some() && o.writes.try_write().is_some());
                assert!(o.sem.try_acquire(1).is_some() && o.group.try_go(|| Ok(())));
                drop((o.mutex.lock(), o.reads.read(), o.writes.write()));
                o.wg.wait();
                o.barrier.wait();
                o.once.call_once(|| ());
                *o.value.get_or_init(|| 8) + o.flight.call("k", || 1).0
            }
        });
        assert_eq!(h.unwrap().join().unwrap(), 8);
        nothing_was_taken(&o);
    });
}

fn nothing_was_taken(o: &Objects) {
    assert!(o.mutex.try_lock().is_some() && o.reads.try_write().is_some() && o.writes.try_write().is_some());
    assert!(o.monitor.0.try_lock().is_some() && !o.monitor.1.notify_one(), "nobody waits any more");
    assert_eq!(o.sem.available(), 1);
    assert!(o.wg.wait_until(soon()) && o.once.is_completed());
    assert_eq!(o.value.get(), Some(&7));
    assert_eq!(o.group.wait(), Ok(()));
}
