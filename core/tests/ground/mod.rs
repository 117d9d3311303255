//! Where the tests of `zokor::channel` run: each body first on plain threads, then in goroutines on 1, 2 and 8 workers, then
//! with tasks of both kinds.

#![allow(dead_code)]

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use zokor::channel::{Receiver, Select, Sender};

/// Plain threads, or goroutines, or each in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    Threads,
    Goroutines,
    Both,
}

/// Something started on a ground.
#[must_use]
pub enum Task<T> {
    Thread(std::thread::JoinHandle<T>),
    Goroutine(zokor::JoinHandle<T>),
}

impl Ground {
    pub fn go<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> Task<T> {
        match self {
            Ground::Threads => Task::Thread(std::thread::spawn(f)),
            Ground::Goroutines => Task::Goroutine(zokor::go(f)),
            Ground::Both => {
                static TURN: AtomicIsize = AtomicIsize::new(0);
                let next = TURN.fetch_add(1, Ordering::Relaxed) % 2 == 0;
                (if next { Ground::Threads } else { Ground::Goroutines }).go(f)
            }
        }
    }
}

impl<T: Send> Task<T> {
    #[track_caller]
    pub fn join(self) -> T {
        match self {
            // The goroutine waits, its worker does not.
            Task::Thread(handle) => zokor::blocking(|| handle.join()).expect("the thread does not panic"),
            Task::Goroutine(handle) => handle.join().expect("the goroutine does not panic"),
        }
    }
}

/// Runs `body` on all grounds. The number of workers belongs to the process, so one test runs at a time.
pub fn everywhere(body: impl Fn(Ground)) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    body(Ground::Threads);
    for workers in [1, 2, 8] {
        zokor::workers(workers).expect("a worker count in range");
        zokor::run(|| body(Ground::Goroutines));
    }
    zokor::workers(2).expect("a worker count in range");
    // A thread that has not called in yet does not count; without the hold, main could wait for it in what looks like a deadlock.
    zokor::hold();
    zokor::run(|| body(Ground::Both));
    zokor::release();
}

/// Yields until `condition` holds, for a minute at most.
#[track_caller]
pub fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain");
        // Yields the goroutine, or the thread if there is none.
        zokor::yield_now();
        std::thread::yield_now();
    }
}

/// Returns once a sender waits on the channel, which has no buffer.
#[track_caller]
pub fn until_sender_waits<T>(r: &Receiver<T>) {
    assert_eq!(r.capacity(), Some(0));
    wait_until(|| {
        let mut select = Select::new();
        select.recv(r);
        select.try_ready().is_ok()
    });
}

/// Returns once a receiver waits on the channel, which has no buffer.
#[track_caller]
pub fn until_receiver_waits<T>(s: &Sender<T>) {
    assert_eq!(s.capacity(), Some(0));
    wait_until(|| {
        let mut select = Select::new();
        select.send(s);
        select.try_ready().is_ok()
    });
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Time for what must not happen.
pub const A_WHILE: Duration = Duration::from_millis(30);

/// Time for what must happen: a minute stands for "for ever".
pub const PLENTY: Duration = Duration::from_secs(60);

/// The text a closure panics with.
#[track_caller]
pub fn panic_text(f: impl FnOnce()) -> String {
    let payload: Box<dyn Any + Send> = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => (*other.downcast::<&str>().expect("the panic has a text")).to_owned(),
    }
}

/// Knows how many of its tokens are alive.
#[derive(Clone, Default)]
pub struct Mint {
    live: Arc<AtomicIsize>,
}

/// A value with heap memory of its own; dropping it twice shows in its mint, and to the allocator.
#[derive(Debug)]
pub struct Token {
    pub n: Box<usize>,
    live: Arc<AtomicIsize>,
}

impl Mint {
    pub fn token(&self, n: usize) -> Token {
        self.live.fetch_add(1, Ordering::SeqCst);
        Token { n: Box::new(n), live: self.live.clone() }
    }

    pub fn live(&self) -> isize {
        self.live.load(Ordering::SeqCst)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }
}
