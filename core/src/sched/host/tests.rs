//! Whose wait is ended from outside, if the goroutine that was found ends at that moment.

use super::*;
use crate::goroutine::State;
use crate::raw::{self, GoOpts, RawWaitGroup, FOREVER};
use core::ffi::c_void;
use std::process::Command;
use std::sync::Arc;

const CLASS: u8 = 3;
const HOUR: i64 = 3_600_000_000_000;
const GO_ON: usize = 1;
const GOES_ON: usize = 2;

fn passes_in_child(test: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("sched::host::tests::{test}"), "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

unsafe extern "C-unwind" fn wait_for(group: *mut c_void) {
    // SAFETY: made by `into_raw` below, for this call.
    let group = unsafe { Arc::from_raw(group.cast::<RawWaitGroup>()) };
    assert_eq!(group.wait(FOREVER), Ok(()), "its wait has ended before");
}

fn group() -> Arc<RawWaitGroup> {
    let group = Arc::new(RawWaitGroup::new());
    group.add(1).unwrap();
    group
}

/// Goroutine `id` is looked for and found, and at look number `at` it goes on and ends; another one gets its header, if it can, and waits.
fn looked_for(at: u32) {
    let (first, second) = (group(), group());
    let opts = GoOpts { class: CLASS, ..GoOpts::default() };
    // SAFETY: the function may run anywhere.
    let id = unsafe { raw::go_c(&opts, wait_for, Arc::into_raw(first.clone()).cast_mut().cast()) }.unwrap();
    let number = |g: &G| g.id.load(Ordering::Relaxed);
    let (looks, step) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let which = |g: &G| {
        let found = number(g) == id;
        if found && looks.fetch_add(1, Ordering::Relaxed) + 1 == at as usize {
            step.store(GO_ON, Ordering::Relaxed);
            while step.load(Ordering::Relaxed) != GOES_ON {
                std::thread::yield_now();
            }
            // Under the lock it cannot end, and without it another worker may have put the header aside: more would be in vain.
            let mut left = 2000;
            while left > 0 && (number(g) == id || g.state() != State::Waiting) {
                left -= 1;
                std::thread::yield_now();
            }
        }
        found
    };
    let exists = || {
        let mut found = false;
        arena::for_each(|g| {
            found |= number(g) == id;
            !found
        });
        found
    };
    let parked = || {
        let mut parked = false;
        arena::for_each(|g| {
            parked |= number(g) == id && g.state() == State::Waiting;
            !parked
        });
        parked
    };
    while !parked() {
        crate::yield_now();
    }
    std::thread::scope(|s| {
        let ended = s.spawn(|| end_waits(Outcome::Interrupted, which));
        while exists() {
            if step.load(Ordering::Relaxed) == GO_ON {
                first.done().unwrap();
                step.store(GOES_ON, Ordering::Relaxed);
            }
            crate::yield_now();
        }
        let waits = second.clone();
        let other = crate::go(move || waits.wait(raw::time_in(HOUR)));
        while !ended.is_finished() {
            crate::yield_now();
        }
        assert_eq!(ended.join().unwrap(), 0);
        assert!(looks.load(Ordering::Relaxed) >= at as usize);
        second.done().unwrap();
        assert_eq!(other.join().unwrap(), Ok(()), "this one was not meant");
    });
}

#[test]
#[ignore = "the child process of the next one"]
fn child_ends_when_it_is_found() {
    static HOOKS: HostHooks =
        HostHooks { release: || (), interrupt: || false, pending: || false, preempt: || (), stack_size: 0 };
    set(CLASS, &HOOKS);
    crate::workers(1).unwrap();
    for at in [1, 2] {
        crate::run(|| looked_for(at));
    }
}

#[test]
fn who_gets_the_header_of_a_goroutine_that_is_looked_for_waits_on() {
    passes_in_child("child_ends_when_it_is_found");
}
