//! The gate under the model checker: no wake-up is lost, nobody is woken for nothing, no two hold one permit.
//!
//! Queues are one relaxed counter: less than the real ones order, so what holds here holds there. A wake-up that is lost
//! leaves a worker asleep for ever, which the checker reports as a deadlock.

use super::*;
use crate::cell::check;
use crate::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

struct Toy {
    gate: Gate,
    seats: Vec<&'static Seat>,
    /// Goroutines that any worker may run.
    queued: AtomicUsize,
    /// Goroutines that only the worker of seat 0 may run.
    inbox: AtomicUsize,
    /// The first timer.
    timer: AtomicI64,
    woken: AtomicUsize,
}

/// What the worker behind a seat sees.
struct View<'a>(&'a Toy, usize);

impl Looks for View<'_> {
    fn work(&self) -> bool {
        self.own_work() || self.0.queued.load(Ordering::Relaxed) > 0
    }
    fn own_work(&self) -> bool {
        self.1 == 0 && self.0.inbox.load(Ordering::Relaxed) > 0
    }
    fn first_deadline(&self) -> i64 {
        self.0.timer.load(Ordering::Relaxed)
    }
}

/// Everything a worker can come back with.
#[derive(PartialEq, Debug)]
enum Found {
    Queued,
    Own,
    Timer,
    Stopped,
}

fn toy(limit: usize, seats: usize, active: usize) -> Arc<Toy> {
    let t = Toy {
        gate: Gate::new(|| ()),
        seats: (0..seats).map(|_| &*Box::leak(Box::new(Seat::new()))).collect(),
        queued: AtomicUsize::new(0),
        inbox: AtomicUsize::new(0),
        timer: AtomicI64::new(i64::MAX),
        woken: AtomicUsize::new(0),
    };
    t.gate.set_limit(limit);
    for s in &t.seats[..active] {
        t.gate.join();
        assert!(t.gate.enter(s, true));
    }
    Arc::new(t)
}

impl Toy {
    fn wake_one(&self) {
        match self.gate.wake_one() {
            Woken::One => {
                self.woken.fetch_add(1, Ordering::Relaxed);
            }
            // No thread can be had here: those that are there must do.
            Woken::Thread => self.gate.no_thread(),
            Woken::Reserve => self.gate.nobody_comes(),
            Woken::Nobody => (),
        }
    }

    /// A worker pushes to its own queue.
    fn push_here(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        if self.gate.pushed_here() {
            self.wake_one();
        }
    }

    /// Somebody pushes to the injector.
    fn push_outside(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        if self.gate.pushed_outside() {
            self.wake_one();
        }
    }

    fn take(queue: &AtomicUsize) -> bool {
        queue.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    /// The loop of the worker behind seat `i`, as `run_loop` and `find` do it, until it has found something.
    fn work(&self, i: usize) -> Found {
        let s = self.seats[i];
        let mut searching = s.take_woken_to_search();
        loop {
            assert!(s.is_permitted());
            if i == 0 && Toy::take(&self.inbox) {
                return Found::Own;
            }
            let found = Toy::take(&self.queued);
            if std::mem::take(&mut searching) && self.gate.stop_searching() && found {
                // The last one that searched: what others left out because of us.
                if self.gate.pushed_here() && self.queued.load(Ordering::Relaxed) > 0 {
                    self.wake_one();
                }
            }
            if found {
                return Found::Queued;
            }
            match self.gate.lie_down(s, &View(self, i)) {
                None if self.stopped() => return Found::Stopped,
                None => continue,
                Some(rest) if rest.deadline != i64::MAX => return Found::Timer,
                Some(_) => (),
            }
            while !s.is_awake() {
                s.doze(i64::MAX);
            }
            searching = s.take_woken_to_search();
            if self.stopped() {
                return Found::Stopped;
            }
        }
    }

    fn stopped(&self) -> bool {
        self.gate.set.lock().stopping
    }
}

#[test]
fn loom_gate_push_by_a_worker_meets_a_sleeper() {
    check(3, || {
        // The pusher is busy for ever after: only the other one can run it.
        let t = toy(2, 2, 2);
        let a = t.clone();
        let sleeper = thread::spawn(move || a.work(1));
        t.push_here();
        assert_eq!(sleeper.join().unwrap(), Found::Queued);
        assert!(t.woken.load(Ordering::Relaxed) <= 1);
    });
}

#[test]
fn loom_gate_push_without_a_permit_meets_the_last_sleeper() {
    check(3, || {
        // The pusher's permit was revoked: nobody is active when the other one sleeps (I5).
        let t = toy(1, 2, 1);
        t.gate.revoke(t.seats[0], || ());
        assert!(t.gate.enter(t.seats[1], true));
        let a = t.clone();
        let sleeper = thread::spawn(move || a.work(1));
        t.push_here();
        assert_eq!(sleeper.join().unwrap(), Found::Queued);
        assert_eq!(t.gate.quiet(), None);
    });
}

#[test]
fn loom_gate_push_from_outside_wakes_one_of_two() {
    check(2, || {
        let t = toy(2, 2, 2);
        let (a, b) = (t.clone(), t.clone());
        let both = [thread::spawn(move || a.work(0)), thread::spawn(move || b.work(1))];
        t.push_outside();
        // Whoever finds it does not come back; the other sleeps until all is over.
        while t.queued.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        t.gate.stop();
        let mut found: Vec<bool> = both.into_iter().map(|h| h.join().unwrap() == Found::Queued).collect();
        found.sort();
        assert_eq!(found, [false, true]);
        assert!(t.woken.load(Ordering::Relaxed) <= 1, "one push, one wake-up");
    });
}

#[test]
fn loom_gate_wake_left_out_for_a_searcher_is_made_up_for() {
    check(2, || {
        // Two pieces of work, two sleepers, one of which the pusher may find searching.
        let t = toy(3, 2, 2);
        let (a, b) = (t.clone(), t.clone());
        let both = [thread::spawn(move || a.work(0)), thread::spawn(move || b.work(1))];
        t.push_outside();
        t.push_outside();
        for h in both {
            assert_eq!(h.join().unwrap(), Found::Queued);
        }
        assert_eq!(t.gate.searching.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn loom_gate_push_home_meets_the_sleeper() {
    check(3, || {
        let t = toy(1, 1, 1);
        let a = t.clone();
        let sleeper = thread::spawn(move || a.work(0));
        t.inbox.fetch_add(1, Ordering::Relaxed);
        if t.gate.pushed_home(t.seats[0]) {
            t.gate.wake(t.seats[0]);
        }
        assert_eq!(sleeper.join().unwrap(), Found::Own);
    });
}

#[test]
fn loom_gate_push_home_waits_for_a_permit() {
    check(2, || {
        // The one permit is out while the other has something that only it can run.
        let t = toy(1, 2, 1);
        t.gate.join();
        let a = t.clone();
        let sleeper = thread::spawn(move || {
            let found = a.work(0);
            a.gate.leave(a.seats[0]);
            found
        });
        let b = t.clone();
        let other = thread::spawn(move || {
            if !b.gate.enter(b.seats[1], true) {
                while !b.seats[1].is_awake() {
                    b.seats[1].doze(i64::MAX);
                }
            }
            assert!(b.gate.active() <= 1);
            b.gate.leave(b.seats[1]);
        });
        t.inbox.fetch_add(1, Ordering::Relaxed);
        if t.gate.pushed_home(t.seats[0]) {
            t.gate.wake(t.seats[0]);
        }
        assert_eq!(sleeper.join().unwrap(), Found::Own);
        other.join().unwrap();
        assert!(t.gate.quiet().is_some());
    });
}

#[test]
fn loom_gate_timer_from_outside_is_kept() {
    check(3, || {
        let t = toy(1, 1, 1);
        let a = t.clone();
        let sleeper = thread::spawn(move || loop {
            let found = a.work(0);
            // Woken for the timer and nothing else: lie down again, as its keeper.
            if found == Found::Timer {
                return found;
            }
        });
        t.timer.store(5, Ordering::Relaxed);
        if t.gate.armed_outside(5) {
            t.wake_one();
        }
        assert_eq!(sleeper.join().unwrap(), Found::Timer);
    });
}

#[test]
fn loom_gate_one_permit_is_held_by_one() {
    check(2, || {
        let t = toy(1, 2, 0);
        let data = Arc::new(UnsafeCell::new(0));
        let run = |i: usize| {
            let (t, data) = (t.clone(), data.clone());
            move || {
                let s = t.seats[i];
                let await_permit = |has: bool| {
                    while !has && !s.is_awake() {
                        s.doze(i64::MAX);
                    }
                };
                await_permit(t.gate.enter(s, true));
                // SAFETY: the permit is the right to it.
                data.with_mut(|p| unsafe { *p += 1 });
                await_permit(t.gate.share(s, true));
                // SAFETY: as above.
                data.with_mut(|p| unsafe { *p += 1 });
                t.gate.leave(s);
            }
        };
        let other = thread::spawn(run(0));
        run(1)();
        other.join().unwrap();
        // SAFETY: everybody is done.
        assert_eq!(data.with(|p| unsafe { *p }), 4);
    });
}

#[test]
fn loom_gate_a_hogs_permit_goes_to_who_waits() {
    check(3, || {
        let t = toy(1, 2, 1);
        let a = t.clone();
        let waiter = thread::spawn(move || {
            let s = a.seats[1];
            if !a.gate.enter(s, true) {
                while !s.is_awake() {
                    s.doze(i64::MAX);
                }
            }
            assert!(s.is_permitted());
            a.gate.leave(s);
        });
        // The monitor, while the hog does not react.
        t.gate.revoke(t.seats[0], || ());
        waiter.join().unwrap();
        assert_eq!(t.gate.quiet(), None, "the hog still runs");
        assert!(t.gate.enter(t.seats[0], true));
        t.gate.leave(t.seats[0]);
        assert!(t.gate.quiet().is_some());
    });
}

#[test]
fn loom_gate_says_who_waits_with_what_nobody_else_can_run() {
    check(1, || {
        let t = toy(1, 3, 1);
        let [holder, general, bound] = [t.seats[0], t.seats[1], t.seats[2]];
        t.gate.join();
        t.gate.join();
        assert!(!t.gate.enter(general, false));
        assert!(t.gate.is_contended() && !t.gate.is_pressed());
        assert!(!t.gate.enter(bound, true));
        assert!(t.gate.is_pressed());
        // By turns: the general one, then the one that presses, and nobody presses any more.
        assert!(!t.gate.share(holder, false) && general.is_permitted() && t.gate.is_pressed());
        assert!(!t.gate.share(general, false) && bound.is_permitted() && !t.gate.is_pressed());
        // Something for its thread alone comes to one that waits, twice: it presses, once.
        t.gate.wake(general);
        t.gate.wake(general);
        assert!(t.gate.is_pressed());
        t.gate.leave(bound);
        assert!(holder.is_permitted() && t.gate.is_pressed());
        t.gate.leave(holder);
        assert!(general.is_permitted() && !t.gate.is_pressed());
        t.gate.leave(general);
        assert!(t.gate.quiet().is_some());
    });
}

#[test]
fn loom_gate_work_made_beside_exclusive_workers_is_taken() {
    check(2, || {
        // The one permit is with a worker that runs its own goroutine alone and never sleeps; the other lies down meanwhile.
        let t = toy(1, 2, 1);
        t.gate.leave(t.seats[0]);
        t.gate.join();
        assert!(t.gate.enter(t.seats[1], true));
        let a = t.clone();
        let general = thread::spawn(move || {
            let found = a.work(1);
            a.gate.leave(a.seats[1]);
            found
        });
        let s = t.seats[0];
        t.gate.set_exclusive(s, true);
        let mut permitted = t.gate.enter(s, true);
        while !permitted && !s.is_awake() {
            s.doze(i64::MAX);
        }
        t.push_outside();
        // As a goroutine that yields and is alone does it, again and again.
        while t.queued.load(Ordering::Relaxed) > 0 {
            permitted = t.gate.share(s, true);
            while !permitted && !s.is_awake() {
                s.doze(i64::MAX);
            }
            thread::yield_now();
        }
        assert_eq!(general.join().unwrap(), Found::Queued);
        t.gate.set_exclusive(s, false);
        t.gate.leave(s);
        assert!(t.gate.quiet().is_some());
    });
}
