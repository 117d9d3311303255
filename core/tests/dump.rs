//! The frames that dumps and deadlock reports show: rule TB-04 of Go's semantics. Elsewhere there are headers only.
#![cfg(all(target_os = "linux", not(feature = "boost-context")))]

mod common;

use common::*;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use zokor::channel::{bounded, Receiver};
use zokor::{go, raw, yield_now, Builder};

/// Where `innermost` receives.
const CALL: u32 = line!() + 4;

#[inline(never)]
fn innermost(rx: &Receiver<u32>) -> u32 {
    black_box(rx.recv().unwrap_or(0))
}

#[inline(never)]
fn middle(rx: &Receiver<u32>) -> u32 {
    black_box(innermost(rx) + 1)
}

#[inline(never)]
fn outermost(rx: &Receiver<u32>) -> u32 {
    black_box(middle(rx) + 1)
}

#[inline(never)]
fn recursive(depth: usize, rx: &Receiver<u32>) -> u32 {
    if black_box(depth) == 0 {
        return innermost(rx);
    }
    black_box(recursive(depth - 1, rx) + 1)
}

/// The entry of goroutine `id`, from its header to the empty line.
fn entry(list: &str, id: u64) -> String {
    let all: Vec<&str> = list.split("\n\n").filter(|e| e.starts_with(&format!("goroutine {id} ["))).collect();
    assert_eq!(all.len(), 1, "goroutine {id} in:\n{list}");
    all[0].to_owned()
}

/// The functions of an entry, without the modules they are in, which are not known everywhere. Each is followed by its place, and
/// the first is the library's.
fn functions(entry: &str) -> Vec<&str> {
    let lines: Vec<&str> = entry.lines().skip(1).collect();
    let of = |i: &usize| !lines[*i].starts_with('\t') && !lines[*i].starts_with("...");
    let all: Vec<usize> = (0..lines.len()).filter(of).collect();
    for i in &all {
        let place = lines.get(i + 1).unwrap_or_else(|| panic!("a place after {} in:\n{entry}", lines[*i]));
        assert!(place.starts_with('\t') && place.contains(" +0x") | place.contains(':'), "{place} in:\n{entry}");
    }
    let first = all.first().map_or("core/src/", |i| lines[i + 1]);
    assert!(first.contains("core/src/"), "{first} in:\n{entry}");
    all.into_iter().map(|i| lines[i].rsplit("::").next().unwrap_or("")).collect()
}

#[test]
fn tb04_a_parked_goroutine_shows_its_frames_in_order() {
    check(|| {
        let (tx, rx) = bounded(0);
        let h = Builder::new().name("reader").go(move || outermost(&rx)).unwrap();
        until_parked(&h, "chan receive");
        let entry = entry(&raw::list(), h.id());
        let shown = functions(&entry);
        assert!(shown[0].starts_with("recv"), "{entry}");
        assert_eq!(shown[1..4], ["innermost", "middle", "outermost"], "{entry}");
        assert!(shown[4].contains("closure"), "{entry}");
        assert_eq!(shown.len(), 5, "{entry}");
        assert!(entry.contains(&format!("tests/dump.rs:{CALL} ")), "the line of the call in:\n{entry}");
        assert!(entry.lines().last().unwrap().starts_with("\tcreated at "), "{entry}");
        tx.send(5).unwrap();
        assert_eq!(h.join().unwrap(), 7);
    });
}

#[test]
fn tb04_who_asks_sees_its_own_frames() {
    #[inline(never)]
    fn asks() -> String {
        black_box(raw::list())
    }
    check(|| {
        let h = go(|| (asks(), zokor::goid()));
        let (list, id) = h.join().unwrap();
        let entry = entry(&list, id);
        let shown = functions(&entry);
        assert_eq!(shown[0], "list", "{entry}");
        assert!(shown[1] == "asks", "{entry}");
        assert_eq!(shown.len(), 3, "{entry}");
    });
}

#[test]
fn tb04_who_has_not_run_shows_no_frames() {
    check_on(&[1], || {
        // A dump takes a while, during which another thread may get our permit and run it.
        wait_until(|| {
            let h = go(|| ());
            let (list, id) = (raw::list(), h.id());
            h.join().unwrap();
            let waits = list.contains(&format!("goroutine {id} [runnable]"));
            assert!(!waits || functions(&entry(&list, id)).is_empty(), "{list}");
            waits
        });
    });
}

#[test]
fn tb04_who_runs_elsewhere_is_said_to() {
    check(|| {
        // This thread runs main all the while.
        let list = std::thread::spawn(raw::list).join().unwrap();
        let entry = entry(&list, zokor::goid());
        assert!(entry.contains("[running]:"), "{entry}");
        assert!(entry.contains("\tgoroutine running on other thread; stack unavailable"), "{entry}");
    });
}

#[test]
fn tb04_long_stacks_show_both_ends_and_count_the_rest() {
    check(|| {
        // innermost, 1 + depth times recursive, the closure, and the call of the library.
        for (frames, depth) in [(100, 96), (101, 97), (500, 496)] {
            let (tx, rx) = bounded(0);
            let h = go(move || recursive(depth, &rx));
            until_parked(&h, "chan receive");
            let entry = entry(&raw::list(), h.id());
            let shown = functions(&entry);
            assert_eq!(shown.len(), 100, "{entry}");
            assert_eq!(shown[1], "innermost", "{entry}");
            assert!(shown[2..99].iter().all(|f| *f == "recursive"), "{entry}");
            let elided = format!("...{} frames elided...", frames - 100);
            assert_eq!(entry.contains(&elided), frames > 100, "{elided} in:\n{entry}");
            let before = entry
                .lines()
                .take_while(|l| !l.starts_with("..."))
                .filter(|l| l.ends_with("innermost") || l.ends_with("recursive"))
                .count();
            assert_eq!(before, if frames > 100 { 49 } else { 98 }, "{entry}");
            tx.send(1).unwrap();
            assert_eq!(h.join().unwrap(), depth as u32 + 1);
        }
    });
}

#[test]
fn tb04_every_kind_of_wait_begins_with_the_call() {
    check(|| {
        let wg = Arc::new(zokor::WaitGroup::new());
        wg.add(1);
        let waits = {
            let wg = wg.clone();
            go(move || wg.wait())
        };
        let (tx, rx) = bounded::<u32>(0);
        let sends = go(move || tx.send(1).is_err());
        let m = Arc::new(zokor::sync::Mutex::new(0));
        let held = m.lock();
        let locks = {
            let m = m.clone();
            go(move || drop(m.lock()))
        };
        until_parked(&waits, "wait group");
        until_parked(&sends, "chan send");
        until_parked(&locks, "mutex");
        let list = raw::list();
        for (h, call) in [(waits.id(), "wait"), (sends.id(), "send"), (locks.id(), "lock")] {
            let entry = entry(&list, h);
            let shown = functions(&entry);
            assert!(shown.len() <= 3 && shown[0].starts_with(call), "{entry}");
            assert!(shown.last().unwrap().contains("closure"), "{entry}");
        }
        drop((held, rx));
        wg.done();
        waits.join().unwrap();
        assert!(sends.join().unwrap());
        locks.join().unwrap();
    });
}

/// Frames that are there begin with the call and end with the goroutine's function, whatever happens meanwhile.
#[test]
fn tb04_dumps_are_right_while_goroutines_run_and_park() {
    #[inline(never)]
    fn pass_on(rx: &Receiver<u32>, stop: &AtomicBool) -> u32 {
        let mut sum = 0;
        while !stop.load(Ordering::Relaxed) {
            sum += middle(rx);
        }
        black_box(sum)
    }
    check(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let mut all = Vec::new();
        for _ in 0..8 {
            let (tx, rx) = bounded(0);
            let (s1, s2) = (stop.clone(), stop.clone());
            all.push(go(move || pass_on(&rx, &s1)));
            all.push(go(move || {
                let mut n = 0;
                while !s2.load(Ordering::Relaxed) && tx.send(n).is_ok() {
                    n = n.wrapping_add(1) % 1000;
                    // Headers and stacks go from one goroutine to the next.
                    go(yield_now).join().unwrap();
                }
                n
            }));
        }
        for _ in 0..100 {
            for e in raw::list().split("\n\n").filter(|e| e.contains("pass_on\n")) {
                let shown = functions(e);
                if let Some(i) = shown.iter().position(|f| *f == "innermost") {
                    assert!(i == 1 && shown[0].starts_with("recv"), "{e}");
                    assert_eq!(shown[i + 1], "middle", "{e}");
                }
                assert!(shown.last().unwrap().contains("closure"), "{e}");
                assert!(!e.contains("further frames unknown"), "{e}");
            }
            yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        all.into_iter().for_each(|h| assert!(h.join().is_ok()));
    });
}

#[test]
fn tb04_of_many_goroutines_the_first_thousand_show_frames() {
    check_on(&[2], || {
        let (tx, rx) = bounded::<u32>(0);
        let all: Vec<_> = (0..1500)
            .map(|_| {
                let rx = rx.clone();
                go(move || outermost(&rx))
            })
            .collect();
        wait_until(|| count_parked("chan receive") == 1500);
        let list = raw::list();
        let with = list.split("\n\n").filter(|e| e.contains("outermost")).count();
        assert_eq!(with, 1000 - 1, "main is one of the thousand");
        assert!(list.ends_with("...frames of 501 more goroutines left out...\n\n"), "{}", &list[list.len() - 200..]);
        drop(tx);
        all.into_iter().for_each(|h| assert_eq!(h.join().unwrap(), 2));
    });
}

fn deadlock() {
    let (_tx, rx) = bounded(0);
    let r = zokor::try_run(|| {
        outermost(&rx);
        went_on();
    });
    std::process::exit(if r.is_err() { 3 } else { 0 })
}

#[test]
fn tb04_d01_a_deadlock_report_has_frames() {
    let end = outcome_of("deadlock", &[]);
    assert_eq!(end.status.code(), Some(3), "{end:#?}");
    end.assert_did_not_go_on();
    let entry = entry(&end.err, 1);
    let shown = functions(&entry);
    assert_eq!(shown[1..4], ["innermost", "middle", "outermost"], "{entry}");
    assert!(shown.last().unwrap().contains("closure"), "{entry}");
}

#[test]
#[ignore = "a program that other tests run"]
fn program() {
    run_program(&[("deadlock", deadlock)]);
}
