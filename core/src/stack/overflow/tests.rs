use super::*;
use crate::arch::{jump, switch, Context};
use crate::stack::tests::{in_child, passes_in_child};
use crate::stack::{get_sized, Stack};
use std::os::unix::process::ExitStatusExt;
use std::ptr;
use std::sync::atomic::AtomicBool;

/// Runs `f` on the stack `s` and comes back.
fn run_on(s: Stack, f: fn()) {
    struct Run {
        back: Context,
        f: fn(),
    }
    extern "C-unwind" fn enter(run: *mut u8) -> ! {
        let run = run.cast::<Run>();
        // SAFETY: `run_on` waits in its switch until the jump.
        unsafe {
            ((*run).f)();
            jump(&raw const (*run).back)
        }
    }
    let mut run = Run { back: Context::empty(), f };
    let mut context = Context::empty();
    let run: *mut Run = &mut run;
    // SAFETY: the stack is ours and both contexts live until the jump back.
    unsafe {
        context.init(s.top(), enter, run.cast());
        switch(&raw mut (*run).back, &context);
    }
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let big = std::hint::black_box([depth; 64]);
    if depth == u64::MAX {
        return 0;
    }
    recurse(depth + 1) + big[(depth % 64) as usize]
}

fn overflow() {
    std::hint::black_box(recurse(0));
}

fn segv(test: &str, signal: i32) -> String {
    let (status, err) = in_child(test, &[]);
    assert_eq!(status.signal(), Some(signal), "{status}\n{err}");
    err
}

#[test]
fn an_overflow_is_reported_with_name_and_backtrace() {
    for env in [&[][..], &[("ZK_GUARD", "mprotect")]] {
        let (status, err) = in_child("overflow::tests::child_overflows", env);
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{status}\n{err}");
        assert!(err.contains("fatal error: goroutine 4242 (\"deep\") overflowed its stack (256 KiB)\n"), "{err}");
        let frames = err.lines().filter(|l| l.trim_start().starts_with(|c: char| c.is_ascii_digit())).count();
        assert!(frames >= 2, "{err}");
        assert!(err.contains(" times\n"), "{err}");
    }
}

#[test]
#[ignore = "dies; run by `an_overflow_is_reported_with_name_and_backtrace`"]
fn child_overflows() {
    static BASE: AtomicUsize = AtomicUsize::new(0);
    let s = get_sized(256 * 1024).unwrap();
    BASE.store(s.base(), Relaxed);
    set_describe(|base, out| {
        if base == BASE.load(Relaxed) {
            out(b"goroutine 4242");
            out(b" (\"deep\")");
        }
    });
    install_handler();
    let _alt = install_thread().unwrap();
    run_on(s, overflow);
}

#[test]
fn other_faults_die_of_their_signal() {
    let err = segv("overflow::tests::child_reads_null", libc::SIGSEGV);
    assert!(!err.contains("overflowed"), "{err}");
    segv("overflow::tests::child_raises", libc::SIGSEGV);
}

fn read_null() {
    // SAFETY: none; the test dies here.
    unsafe { ptr::without_provenance::<u8>(std::hint::black_box(8)).read_volatile() };
}

#[test]
#[ignore = "dies; run by `other_faults_die_of_their_signal`"]
fn child_reads_null() {
    install_handler();
    let _alt = install_thread().unwrap();
    run_on(get_sized(256 * 1024).unwrap(), read_null);
}

#[test]
#[ignore = "dies; run by `other_faults_die_of_their_signal`"]
fn child_raises() {
    // Rust's own handler lets a signal that was sent pass once.
    set_handler(libc::SIG_DFL);
    install_handler();
    // SAFETY: raising is always allowed.
    unsafe { libc::raise(libc::SIGSEGV) };
}

/// Where `mend` lets a read go on.
static PAGE: AtomicUsize = AtomicUsize::new(0);

fn set_handler(handler: usize) {
    // SAFETY: the handlers of these tests are of the plain form or ignore what else they get.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigaction(libc::SIGSEGV, &action, ptr::null_mut());
    }
}

/// A handler that mends the fault, as a collector or an emulator has: makes the page readable.
extern "C" fn mend(_signal: i32) {
    // SAFETY: the page is the test's.
    unsafe { libc::mprotect(PAGE.load(Relaxed) as *mut _, 4096, libc::PROT_READ | libc::PROT_WRITE) };
}

fn protected_page() -> *mut u8 {
    let page = crate::sys::map_reserve(crate::sys::page_size()).unwrap();
    // SAFETY: the mapping is ours.
    unsafe { crate::sys::protect_none(page, crate::sys::page_size()).unwrap() };
    PAGE.store(page as usize, Relaxed);
    page
}

#[test]
fn handlers_that_mend_faults_keep_working() {
    passes_in_child("overflow::tests::child_mends", &[]);
}

#[test]
#[ignore = "needs a process of its own; run by `handlers_that_mend_faults_keep_working`"]
fn child_mends() {
    set_handler(mend as *const () as usize);
    install_handler();
    let page = protected_page();
    for _ in 0..3000 {
        // SAFETY: the page is ours, and what the handler is for.
        unsafe {
            page.write_volatile(1);
            crate::sys::protect_none(page, crate::sys::page_size()).unwrap();
            // A fault elsewhere in between: the same one again and again would be a loop.
            page.add(64).write_volatile(1);
            crate::sys::protect_none(page, crate::sys::page_size()).unwrap();
        }
    }
}

#[test]
fn a_handler_that_comes_later_is_put_below_and_still_asked() {
    let err = segv("overflow::tests::child_is_replaced_then_faults", libc::SIGSEGV);
    assert_eq!(err.matches("the later handler\n").count(), 1, "{err}");
    assert_eq!(err.matches("the first handler\n").count(), 1, "{err}");
    let err = segv("overflow::tests::child_is_replaced_then_overflows", libc::SIGABRT);
    assert!(err.contains("fatal error: a goroutine overflowed its stack (64 KiB)\n"), "{err}");
    assert!(!err.contains("the later handler"), "{err}");
}

/// The handler that was there before ours: says so and lets the process die.
extern "C" fn first(_signal: i32) {
    let _ = crate::sys::write_fd(2, b"the first handler\n");
    set_handler(libc::SIG_DFL);
}

static OURS: AtomicUsize = AtomicUsize::new(0);

/// A handler as Python's faulthandler has: says something, restores the one it found and raises again.
extern "C" fn later(signal: i32) {
    let _ = crate::sys::write_fd(2, b"the later handler\n");
    // SAFETY: restores a handler of this process.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = OURS.load(Relaxed);
        action.sa_flags = libc::SA_ONSTACK | libc::SA_SIGINFO;
        libc::sigaction(signal, &action, ptr::null_mut());
        libc::raise(signal);
    }
}

fn be_replaced() {
    set_handler(first as *const () as usize);
    install_handler();
    OURS.store(on_fault as *const () as usize, Relaxed);
    set_handler(later as *const () as usize);
    reinstall_if_replaced();
    assert!(Action::current(libc::SIGSEGV).unwrap().is(on_fault));
    reinstall_if_replaced();
    // Acquire is not needed: nobody else is here.
    assert_eq!(CHAIN[0].len.load(Relaxed), 2);
}

#[test]
#[ignore = "dies; run by `a_handler_that_comes_later_is_put_below_and_still_asked`"]
fn child_is_replaced_then_faults() {
    be_replaced();
    read_null();
}

#[test]
#[ignore = "dies; run by `a_handler_that_comes_later_is_put_below_and_still_asked`"]
fn child_is_replaced_then_overflows() {
    be_replaced();
    let _alt = install_thread().unwrap();
    run_on(get_sized(64 * 1024).unwrap(), overflow);
}

#[test]
fn a_handler_that_does_nothing_is_no_endless_loop() {
    segv("overflow::tests::child_has_an_idle_handler", libc::SIGSEGV);
}

extern "C" fn idle(_signal: i32) {}

#[test]
#[ignore = "dies; run by `a_handler_that_does_nothing_is_no_endless_loop`"]
fn child_has_an_idle_handler() {
    install_handler();
    set_handler(idle as *const () as usize);
    reinstall_if_replaced();
    read_null();
}

#[test]
fn errno_survives_a_handled_fault() {
    passes_in_child("overflow::tests::child_keeps_errno", &[]);
}

#[test]
#[ignore = "needs a process of its own; run by `errno_survives_a_handled_fault`"]
fn child_keeps_errno() {
    extern "C" fn mend_and_fail(signal: i32) {
        mend(signal);
        // SAFETY: fails, which is the purpose.
        unsafe { libc::close(-1) };
    }
    set_handler(mend_and_fail as *const () as usize);
    install_handler();
    let page = protected_page();
    // SAFETY: errno is this thread's; the page is mended by the handler.
    unsafe {
        *libc::__errno_location() = 77;
        page.write_volatile(1);
        assert_eq!(*libc::__errno_location(), 77);
    }
}

#[test]
fn an_alternate_stack_is_put_back() {
    // A thread of its own: the alternate stack belongs to the thread.
    std::thread::spawn(|| {
        let current = || {
            // SAFETY: the call fills in the structure.
            unsafe {
                let mut s: libc::stack_t = mem::zeroed();
                assert_eq!(libc::sigaltstack(ptr::null(), &mut s), 0);
                (s.ss_sp as usize, s.ss_flags, s.ss_size)
            }
        };
        let before = current();
        let alt = install_thread().unwrap();
        let during = current();
        assert_ne!(during.0, before.0);
        assert_eq!(during.1, 0);
        assert!(during.2 >= HANDLER_ROOM + libc::MINSIGSTKSZ);
        drop(alt);
        assert_eq!(current(), before);
    })
    .join()
    .unwrap();
}

#[test]
fn two_threads_overflow_and_one_reports() {
    let err = segv("overflow::tests::child_overflows_twice", libc::SIGABRT);
    assert_eq!(err.matches("overflowed its stack").count(), 1, "{err}");
}

#[test]
#[ignore = "dies; run by `two_threads_overflow_and_one_reports`"]
fn child_overflows_twice() {
    static GO: AtomicBool = AtomicBool::new(false);
    install_handler();
    let threads = [(); 2].map(|()| {
        std::thread::spawn(|| {
            let _alt = install_thread().unwrap();
            while !GO.load(Relaxed) {
                std::thread::yield_now();
            }
            run_on(get_sized(64 * 1024).unwrap(), overflow);
        })
    });
    GO.store(true, Relaxed);
    threads.into_iter().for_each(|t| t.join().unwrap());
}
