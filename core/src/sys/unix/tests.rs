//! The system calls, on the system.

use crate::cell::{AtomicU32, Ordering};
use crate::sys::{self, Wait};
use std::sync::Arc;

#[test]
fn clock_moves_forward() {
    let first = sys::now();
    assert!(first > 0);
    let mut last = first;
    while last == first {
        last = sys::now();
        assert!(last >= first);
    }
}

#[test]
fn page_size_is_a_power_of_two() {
    assert!(sys::page_size() >= 4096 && sys::page_size().is_power_of_two());
}

#[test]
fn mapping_reads_zero_and_forgets() {
    let page = sys::page_size();
    let len = 64 * page;
    let p = sys::map_reserve(len).unwrap();
    // SAFETY: `p` is a fresh mapping of `len` bytes, used by this test alone.
    unsafe {
        assert_eq!(p.add(len - 1).read(), 0);
        p.write(7);
        sys::advise_nohugepage(p, len).unwrap();
        sys::advise_dontneed(p, page).unwrap();
        assert_eq!(p.read(), 0);
        sys::protect_none(p, page).unwrap();
        p.add(page).write(1);
        sys::unmap(p, len).unwrap();
    }
}

#[test]
fn mapping_too_large_is_an_error() {
    assert!(sys::map_reserve(usize::MAX / 2).is_err());
}

#[test]
fn futex_does_not_sleep_on_another_value() {
    assert_eq!(sys::futex_wait(&AtomicU32::new(1), 2, i64::MAX), Wait::Woken);
}

#[test]
fn futex_times_out_not_before_the_deadline() {
    let word = AtomicU32::new(1);
    for deadline in [i64::MIN, -1, 0, sys::now() - 1, sys::now() + 3_000_000] {
        // A signal or a spurious wake-up may come first; the time-out comes in the end.
        while sys::futex_wait(&word, 1, deadline) != Wait::TimedOut {}
        assert!(sys::now() >= deadline);
    }
}

#[test]
fn futex_wakes_a_sleeper() {
    let word = Arc::new(AtomicU32::new(0));
    let theirs = Arc::clone(&word);
    let body = Box::new(move || {
        while theirs.load(Ordering::Relaxed) == 0 {
            sys::futex_wait(&theirs, 0, i64::MAX);
        }
    });
    let sleeper = sys::spawn_thread("sleeper", 0, body).unwrap();
    word.store(1, Ordering::Relaxed);
    sys::futex_wake(&word, 1);
    sleeper.join().unwrap();
    assert_eq!(sys::futex_wake(&word, u32::MAX), 0);
}

#[test]
fn threads_have_their_name_and_number() {
    let here = sys::gettid();
    let body = Box::new(move || {
        assert_eq!(std::thread::current().name(), Some("zk-test"));
        assert_ne!(sys::gettid(), here);
    });
    sys::spawn_thread("zk-test", 256 * 1024, body).unwrap().join().unwrap();
    assert!(sys::spawn_thread("a\0b", 0, Box::new(|| ())).is_err());
}

#[test]
fn cpus_is_at_least_one_and_within_the_affinity() {
    let n = sys::cpus();
    assert!((1..=1 << 16).contains(&n));
}

#[test]
fn write_reports_a_bad_descriptor() {
    assert_eq!(sys::write_fd(-1, b"x").unwrap_err().raw_os_error(), Some(libc::EBADF));
    sys::write_fd(-1, b"").unwrap();
}

#[test]
fn heavy_fence_works_before_and_after_init() {
    sys::heavy_fence();
    sys::init();
    sys::init();
    sys::light_fence();
    sys::heavy_fence();
}

#[test]
fn blocked_signals_go_elsewhere() {
    let body = Box::new(|| {
        sys::block_signals();
        // SAFETY: the set is ours; a null set asks for the mask in force.
        let blocked = unsafe {
            let mut set = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
            [libc::SIGINT, libc::SIGCHLD, libc::SIGSEGV].map(|s| libc::sigismember(&set, s) == 1)
        };
        assert_eq!(blocked, [true, true, false]);
    });
    sys::spawn_thread("signals", 0, body).unwrap().join().unwrap();
}

#[test]
fn fork_calls_the_child() {
    static IN_CHILD: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C" fn child() {
        IN_CHILD.store(1, Ordering::Relaxed);
    }
    sys::at_fork(child).unwrap();
    // SAFETY: the child does nothing but leave.
    let status = unsafe {
        match libc::fork() {
            0 => libc::_exit(if IN_CHILD.load(Ordering::Relaxed) == 1 { 7 } else { 8 }),
            pid => {
                assert!(pid > 0);
                let mut status = 0;
                while libc::waitpid(pid, &mut status, 0) != pid {}
                status
            }
        }
    };
    assert_eq!(libc::WEXITSTATUS(status), 7);
    assert_eq!(IN_CHILD.load(Ordering::Relaxed), 0);
}
