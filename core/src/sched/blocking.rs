//! Code that blocks its OS thread: declared sections, and helper threads.
//!
//! *Where it sits*: layer 3. A section (`begin` … `end`) gives the worker's permit to others while the goroutine keeps
//! its thread. [`call`] runs a function on a helper thread while the goroutine parks; the helpers are an elastic
//! pool behind a queue of jobs (crossbeam-channel) that shrinks when idle.

use super::worker::{self, Worker};
use super::{idle, sys, IN_HELPER};
use crate::cell::{AtomicUsize, Ordering};
use crate::errno::Errno;
use crate::goroutine::{Reason, State};
use crate::rank::Rank;
use crate::wait::Waiter;
use crossbeam_channel::{Receiver, Sender};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Helper threads at most, unless configured.
pub const DEFAULT_MAX: usize = 512;
/// An idle helper ends after this time.
const IDLE_END: Duration = Duration::from_secs(10);

static MAX: AtomicUsize = AtomicUsize::new(DEFAULT_MAX);
static SECTIONS: AtomicUsize = AtomicUsize::new(0);
static JOBS: AtomicUsize = AtomicUsize::new(0);
static POOL: sys::Mutex<Pool> =
    sys::Mutex::new(Rank::Blocking, Pool { threads: 0, idle: 0, handles: Vec::new(), ending: false });

struct Pool {
    threads: usize,
    idle: usize,
    handles: Vec<JoinHandle<()>>,
    /// Shutdown: a helper that has nothing more to do ends.
    ending: bool,
}

impl Pool {
    /// The calling helper ends. Its handle, if it is known.
    fn leave(&mut self) -> Option<JoinHandle<()>> {
        self.threads -= 1;
        let me = thread::current().id();
        let at = self.handles.iter().position(|h| h.thread().id() == me);
        at.map(|i| self.handles.swap_remove(i))
    }
}

/// What helpers take out of their queue.
enum Order {
    Run(Job),
    /// To end, and to say so with one's own handle.
    End(Sender<Option<JoinHandle<()>>>),
}

struct Job {
    run: unsafe fn(*mut ()),
    data: *mut (),
    waiter: *const Waiter,
}
// SAFETY: the caller of `call` waits until the job is done; its data is used by one thread at a time.
unsafe impl Send for Job {}

static QUEUE: OnceLock<(Sender<Order>, Receiver<Order>)> = OnceLock::new();

/// Limits the helper threads; 0: the default.
pub fn set_max(n: usize) {
    MAX.store(if n == 0 { DEFAULT_MAX } else { n }, Ordering::Relaxed);
}

/// Sections and jobs in progress.
pub fn outstanding() -> usize {
    SECTIONS.load(Ordering::Relaxed) + JOBS.load(Ordering::Relaxed)
}

/// Helper threads alive.
pub fn threads() -> usize {
    POOL.lock().threads
}

/// The goroutine is about to block its thread: others may have the permit. Sections nest. From a goroutine.
pub fn begin() {
    let Some(w) = worker::current() else { return };
    let g = w.current.get();
    if g.is_null() {
        return;
    }
    w.block_depth.set(w.block_depth.get() + 1);
    if w.block_depth.get() > 1 {
        return;
    }
    SECTIONS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the running goroutine's header is valid.
    unsafe { (*g).set_state(State::Blocked) };
    w.in_block.store(true, Ordering::Relaxed);
    w.pay();
    idle::leave(w);
}

/// The goroutine does not block any more: waits for a permit. From a goroutine.
pub fn end() {
    let Some(w) = worker::current() else { return };
    let depth = w.block_depth.get();
    if depth == 0 {
        return;
    }
    w.block_depth.set(depth - 1);
    if depth > 1 {
        return;
    }
    idle::enter(w, true);
    leave_section(w);
}

/// How many sections the running goroutine is in.
pub fn depth() -> u32 {
    worker::current().map_or(0, |w| w.block_depth.get())
}

/// Ends all sections but the outermost `depth`: whoever began the others has been left behind.
#[cold]
pub fn end_down_to(depth: u32) {
    while self::depth() > depth {
        end();
    }
}

fn leave_section(w: &'static Worker) {
    w.in_block.store(false, Ordering::Relaxed);
    SECTIONS.fetch_sub(1, Ordering::Relaxed);
    let g = w.current.get();
    if !g.is_null() {
        // SAFETY: the running goroutine's header is valid.
        unsafe { (*g).set_state(State::Running) };
    }
}

/// Runs `f` on a helper thread and returns when it is done; only the caller waits. Not cancelable.
///
/// # Errors
/// The system's, if no helper thread could be started and there is none.
pub fn call<F: FnOnce() + Send>(f: F) -> Result<(), Errno> {
    unsafe fn run<F: FnOnce()>(p: *mut ()) {
        // SAFETY: p is the Option in the frame of `call`, which waits for us.
        if let Some(f) = unsafe { (*p.cast::<Option<F>>()).take() } {
            f();
        }
    }
    let mut slot = Some(f);
    let wt = super::me();
    // SAFETY: the waiter is ours; the job claims it by finishing (single party, W1).
    unsafe {
        (*wt).begin_single();
        let job = Job { run: run::<F>, data: (&raw mut slot).cast(), waiter: wt };
        submit(job)?;
        super::wait(wt, Reason::Blocking, i64::MAX);
    }
    Ok(())
}

/// Runs `f` on a helper thread while only the calling goroutine waits: for code that blocks its OS thread.
///
/// ```
/// let n = zokor::run(|| zokor::blocking(|| std::fs::read_dir("/").unwrap().count()));
/// assert!(n > 0);
/// ```
///
/// # Panics
/// With what `f` panicked with; if no helper thread could be started and there is none.
pub fn blocking<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    let mut result = None;
    let out = &mut result;
    if let Err(e) = call(move || *out = Some(crate::panic::contain(f))) {
        panic!("zokor::blocking: {e}");
    }
    match result {
        Some(Ok(v)) => v,
        Some(Err(p)) => std::panic::resume_unwind(p),
        None => unreachable!("the helper thread has run the function"),
    }
}

fn submit(job: Job) -> Result<(), Errno> {
    let (tx, _) = QUEUE.get_or_init(crossbeam_channel::unbounded);
    let mut pool = POOL.lock();
    let start = pool.idle == 0 && pool.threads < MAX.load(Ordering::Relaxed);
    if start {
        pool.threads += 1;
    } else if pool.idle > 0 {
        pool.idle -= 1; // spoken for
    }
    drop(pool);
    if start {
        let started = sys::spawn_thread("zokor-blocking", 0, Box::new(helper));
        let mut pool = POOL.lock();
        match started {
            Ok(handle) => pool.handles.push(handle),
            Err(e) => {
                pool.threads -= 1;
                // Threads that others are about to start may fail to, too: only one that has been there before counts.
                if pool.handles.is_empty() {
                    return Err(Errno::from(&e));
                }
            }
        }
    }
    JOBS.fetch_add(1, Ordering::Relaxed);
    // The queue is never disconnected: its receiver lives in a static.
    let _ = tx.send(Order::Run(job));
    Ok(())
}

/// A helper has run its function. True: it is to end.
fn back_from_a_job() -> bool {
    let mut pool = POOL.lock();
    if pool.ending {
        let _ = pool.leave();
        return true;
    }
    pool.idle += 1;
    false
}

/// Shutdown: idle helpers end, and have ended when this returns. One that is still in a function ends after it.
pub fn end_helpers() {
    let mut pool = POOL.lock();
    pool.ending = true;
    let n = std::mem::take(&mut pool.idle); // spoken for
    drop(pool);
    let Some((orders, _)) = QUEUE.get() else { return };
    let (tx, replies) = crossbeam_channel::unbounded();
    for _ in 0..n {
        let _ = orders.send(Order::End(tx.clone())); // never disconnected, as above
    }
    for handle in replies.iter().take(n).flatten() {
        let _ = handle.join();
    }
}

fn helper() {
    sys::block_signals();
    IN_HELPER.with(|h| h.set(true));
    let Some((_, rx)) = QUEUE.get() else { return };
    loop {
        match rx.recv_timeout(IDLE_END) {
            Ok(Order::Run(job)) => {
                // SAFETY: the submitter waits; run and data belong together.
                unsafe { (job.run)(job.data) };
                let ends = back_from_a_job();
                // SAFETY: finishing the job is the claim of its single-party wait.
                unsafe { super::ready(job.waiter) };
                JOBS.fetch_sub(1, Ordering::Relaxed);
                super::deadlock::check_from_outside();
                if ends {
                    return;
                }
            }
            Ok(Order::End(reply)) => {
                let handle = POOL.lock().leave();
                let _ = reply.send(handle); // whoever gave the order waits for the answer
                return;
            }
            Err(_) => {
                let mut pool = POOL.lock();
                // Somebody may have counted on us a moment ago: then idle is short of one, stay.
                if pool.idle > 0 {
                    pool.idle -= 1;
                    let _ = pool.leave();
                    return;
                }
            }
        }
    }
}
