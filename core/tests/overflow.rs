//! Running out of stack: said with the goroutine's name; other threads and other faults as without us.

use std::alloc::{GlobalAlloc, Layout, System};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering::Relaxed};

/// Runs one of the ignored tests below in a process of its own: how it ended, and what it said.
fn child(test: &str, guard: &str) -> (ExitStatus, String) {
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env("ZK_GUARD", guard)
        .output()
        .unwrap();
    (out.status, String::from_utf8_lossy(&out.stderr).into_owned())
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 32]);
    if depth == u64::MAX {
        return 0;
    }
    recurse(depth + 1) + frame[(depth % 32) as usize]
}

#[test]
#[ignore = "dies; run by `a_goroutine_is_named`"]
fn child_goroutine() {
    zokor::run(|| {
        let deep = zokor::Builder::new().name("deep").go(|| recurse(0)).unwrap();
        println!("{:?}", deep.join().is_ok());
    });
}

#[test]
#[ignore = "dies; run by `a_goroutine_is_named`"]
fn child_own_size() {
    zokor::run(|| {
        let deep = zokor::Builder::new().stack_size(1 << 20).go(|| recurse(0)).unwrap();
        println!("{:?}", deep.join().is_ok());
    });
}

#[test]
fn a_goroutine_is_named() {
    for guard in ["", "mprotect"] {
        let (status, said) = child("child_goroutine", guard);
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{said}");
        let line = said.lines().find(|l| l.starts_with("fatal error: goroutine ")).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains("(\"deep\") overflowed its stack (256 KiB)"), "{said}");
        assert!(said.contains("recurse, ") && said.contains(" times\n"), "{said}");
        let (status, said) = child("child_own_size", guard);
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{said}");
        assert!(said.contains("overflowed its stack (1024 KiB)"), "{said}");
    }
}

#[test]
#[ignore = "dies; run by `a_thread_dies_as_it_would_without_us`"]
fn child_thread() {
    zokor::run(|| {
        let deep = std::thread::Builder::new().name("plain".into()).spawn(|| recurse(0)).unwrap();
        println!("{:?}", deep.join().is_ok());
    });
}

#[test]
fn a_thread_dies_as_it_would_without_us() {
    let (status, said) = child("child_thread", "");
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{said}");
    assert!(said.contains("thread 'plain'") && said.contains("has overflowed its stack"), "{said}");
    assert!(!said.contains("fatal error: goroutine"), "{said}");
}

#[test]
#[ignore = "dies; run by `a_wild_pointer_is_no_overflow`"]
fn child_wild_pointer() {
    zokor::run(|| {
        let wild = zokor::go(|| {
            // SAFETY: none; the process dies here, which is the purpose.
            unsafe { std::ptr::without_provenance::<u8>(std::hint::black_box(8)).read_volatile() }
        });
        println!("{:?}", wild.join().is_ok());
    });
}

#[test]
fn a_wild_pointer_is_no_overflow() {
    let (status, said) = child("child_wild_pointer", "");
    assert_eq!(status.signal(), Some(libc::SIGSEGV), "{said}");
    assert!(!said.contains("overflow"), "{said}");
}

/// What the allocator of this program does on one thread: its work, nothing for ever, or harm.
static ALLOCATOR: AtomicU8 = AtomicU8::new(WORKS);
static THREAD: AtomicI32 = AtomicI32::new(0);
const WORKS: u8 = 0;
const STUCK: u8 = 1;
const BROKEN: u8 = 2;

fn thread() -> i32 {
    // SAFETY: takes nothing, gives a number.
    unsafe { libc::gettid() }
}

struct Allocator;

// SAFETY: the system's allocator, except where a test ends in it.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match ALLOCATOR.load(Relaxed) {
            WORKS => 0,
            _ if THREAD.load(Relaxed) != thread() => 0,
            STUCK => loop {
                std::thread::park();
            },
            // SAFETY: none; a fault is the purpose.
            _ => unsafe { std::ptr::without_provenance_mut::<u8>(8).read_volatile() },
        };
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static GLOBAL: Allocator = Allocator;

fn overflow_with(allocator: u8) {
    zokor::run(move || {
        let deep = zokor::go(move || {
            THREAD.store(thread(), Relaxed);
            ALLOCATOR.store(allocator, Relaxed);
            recurse(0)
        });
        println!("{:?}", deep.join().is_ok());
    });
}

#[test]
#[ignore = "dies; run by `the_report_ends_whatever_state_the_allocator_is_in`"]
fn child_stuck_allocator() {
    overflow_with(STUCK);
}

#[test]
#[ignore = "dies; run by `the_report_ends_whatever_state_the_allocator_is_in`"]
fn child_broken_allocator() {
    overflow_with(BROKEN);
}

#[test]
fn the_report_ends_whatever_state_the_allocator_is_in() {
    for test in ["child_stuck_allocator", "child_broken_allocator"] {
        let (status, said) = child(test, "");
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{said}");
        assert!(said.contains("overflowed its stack (256 KiB)"), "{said}");
        // Addresses instead of names.
        assert!(said.contains("    0: ") && said.contains(" times\n") && !said.contains("overflow::recurse"), "{said}");
    }
}
