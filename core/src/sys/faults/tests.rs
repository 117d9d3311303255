//! Faults on demand, in processes of their own: the counters belong to the whole process, and other
//! tests must not meet them.

use super::*;
use crate::cell::AtomicU32;
use crate::sys::{self, Wait};
use std::process::{Command, Output};

/// Runs one of the ignored tests of this module with `ZK_FAULT` set.
fn child(test: &str, faults: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("sys::faults::imp::tests::{test}"), "--ignored", "--nocapture"])
        .env("ZK_FAULT", faults)
        .output()
        .unwrap()
}

fn passes(test: &str, faults: &str) {
    let output = child(test, faults);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

#[test]
#[ignore = "the child process of counting_works"]
fn child_counts() {
    let calls = || (0..5).map(|_| hit(Kind::Epoll)).collect::<Vec<bool>>();
    assert_eq!(calls(), [false; 5]);
    fail_nth(Kind::Epoll, 3);
    assert_eq!(calls(), [false, false, true, false, false]);
    fail_from(Kind::Epoll, 2);
    assert_eq!(calls(), [false, true, true, true, true]);
    fail_nth(Kind::Epoll, 0);
    assert_eq!(calls(), [false; 5]);
    assert!(parse("epoll:1,") && hit(Kind::Epoll) && !hit(Kind::Epoll));
    assert!(parse("epoll:1+") && hit(Kind::Epoll) && hit(Kind::Epoll));
    assert!(parse("epoll:0") && !hit(Kind::Epoll));
    assert!(!parse("epoll") && !parse("epol:1") && !parse("epoll:x"));
}

#[test]
fn counting_works() {
    passes("child_counts", "");
}

#[test]
#[ignore = "the child process of every_wrapper_asks"]
fn child_wrappers() {
    sys::init();
    let errno = |result: std::io::Result<()>| result.err().and_then(|e| e.raw_os_error());
    let page = sys::page_size();
    let map = sys::map_reserve(page).unwrap();
    assert_eq!(errno(sys::map_reserve(page).map(drop)), Some(libc::ENOMEM));
    let third = sys::map_reserve(page).unwrap();
    // SAFETY: a fresh page that nobody uses.
    unsafe { sys::unmap(third, page).unwrap() };
    // SAFETY: a fresh page that nobody uses.
    unsafe {
        assert_eq!(errno(sys::protect_none(map, page)), Some(libc::ENOMEM));
        assert_eq!(errno(sys::guard_install(map, page)), Some(libc::EINVAL));
        assert_eq!(errno(sys::guard_install(map, page)), Some(libc::EINVAL));
        sys::protect_none(map, page).unwrap();
        sys::unmap(map, page).unwrap();
    }
    assert_eq!(errno(sys::spawn_thread("t", 0, Box::new(|| ())).map(drop)), Some(libc::EAGAIN));
    sys::spawn_thread("t", 0, Box::new(|| ())).unwrap().join().unwrap();
    assert_eq!(sys::futex_wait(&AtomicU32::new(0), 0, i64::MAX), Wait::Interrupted);
    assert_eq!(sys::futex_wait(&AtomicU32::new(0), 0, 0), Wait::TimedOut);
}

#[test]
fn every_wrapper_asks() {
    passes("child_wrappers", "mmap:2,protect:1,guard:1+,thread:1,futex:1");
}

#[test]
#[ignore = "the child process of a_deadline_is_told_among_signals"]
fn child_interrupted() {
    sys::init();
    let word = AtomicU32::new(0);
    assert_eq!(sys::futex_wait(&word, 0, i64::MAX), Wait::Interrupted);
    let until = sys::now() + 1_000_000;
    while sys::futex_wait(&word, 0, until) == Wait::Interrupted {}
    assert!(sys::now() >= until);
    assert_eq!(sys::futex_wait(&word, 0, until), Wait::TimedOut);
}

#[test]
fn a_deadline_is_told_among_signals() {
    passes("child_interrupted", "futex:1+");
}

#[test]
fn locks_work_without_the_kernels_barrier() {
    for test in ["lock::tests::threads::excludes_and_wakes", "unix::tests::heavy_fence_works_before_and_after_init"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("sys::{test}")])
            .env("ZK_FAULT", "membarrier:1,futex:3")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
    }
}

#[test]
fn a_text_that_makes_no_sense_ends_the_process() {
    let output = child("child_wrappers", "mmap:two");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("fatal error: ZK_FAULT=mmap:two"), "{output:?}");
}
