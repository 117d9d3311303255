//! The runtime's life: configuration, start, `run`, shutdown, fork, and the threads around it.
//!
//! *Where it sits*: layer 3. Everything that starts goroutines calls [`ensure_started`]; `run` lends the calling
//! thread to the scheduler.
//!
//! # State
//!
//! `New → Running → Stopping → Down`, and `Forked` in the child of a fork, where nothing works any more. Except for
//! the first step all of them are final.

use crate::cell::{AtomicI64, AtomicU64, AtomicU8, AtomicUsize, Ordering};
use crate::errno::Errno;
use crate::goroutine::{arena, G, NO_UNWIND, PINNED};
use crate::panic::{self, PanicHook, PanicPolicy, Payload};
use crate::rank::Rank;
use crate::sched::worker::{self, Worker};
use crate::sched::{self, blocking, deadlock, idle, monitor, runs, table};
use crate::start::{self, StartError};
use crate::{clock, cxx, dump, sanitize, stack, sys, timers};
use std::cell::Cell;
use std::thread::JoinHandle;

mod fork;
mod look;

pub(crate) use look::look;

const NEW: u8 = 0;
const RUNNING: u8 = 1;
const STOPPING: u8 = 2;
const DOWN: u8 = 3;
const FORKED: u8 = 4;

static STATE: AtomicU8 = AtomicU8::new(NEW);
static START: sys::Mutex<Threads> = sys::Mutex::new(Rank::Runtime, Threads { monitor: None });
static HANDLES: sys::Mutex<Vec<JoinHandle<()>>> = sys::Mutex::new(Rank::Leaf, Vec::new());
static MAX_GOROUTINES: AtomicU64 = AtomicU64::new(0);
static COUNTED: AtomicI64 = AtomicI64::new(0);
static MAINS: AtomicUsize = AtomicUsize::new(0);
/// Calls of `shutdown` that wait, or have waited: each is a goroutine that no other one waits for.
static ENDERS: AtomicU64 = AtomicU64::new(0);

struct Threads {
    monitor: Option<JoinHandle<()>>,
}

/// Settings of the runtime, fixed when it starts. Zeros and `None` are the defaults.
#[derive(Clone, Copy, Default)]
pub struct Config {
    /// Goroutines that run at once; 0: the CPUs allowed by affinity and cgroup quota.
    pub workers: u32,
    /// Threads for `blocking`; 0: 512.
    pub max_blocking: u32,
    /// Default stack size in bytes, the guard included; 0: 256 KiB.
    pub stack_size: usize,
    /// Goroutines alive at once; 0: no limit.
    pub max_goroutines: u64,
    /// Panics that nobody joins.
    pub panic_policy: PanicPolicy,
    /// Told about such panics instead of the policy.
    pub on_panic: Option<PanicHook>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("workers", &self.workers)
            .field("stack_size", &self.stack_size)
            .field("max_goroutines", &self.max_goroutines)
            .finish_non_exhaustive()
    }
}

/// Why the runtime did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeError {
    /// It runs already.
    Busy,
    /// A setting is out of range.
    Invalid,
    /// Not from a goroutine.
    NotFromHere,
    /// Nothing could ever run again.
    Deadlock,
    /// It was shut down, or this is a forked child.
    Shutdown,
    /// The deadline passed first.
    TimedOut,
    /// There are as many goroutines as the configuration permits.
    Limit,
    /// The system gave no memory or no thread.
    Os(i32),
}

impl std::fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RuntimeError::Busy => f.write_str("the runtime is running already"),
            RuntimeError::Invalid => f.write_str("invalid setting"),
            RuntimeError::NotFromHere => f.write_str("not allowed from a goroutine"),
            RuntimeError::Deadlock => f.write_str("all goroutines are asleep - deadlock!"),
            RuntimeError::Shutdown => f.write_str("the runtime is shut down"),
            RuntimeError::TimedOut => f.write_str("deadline has passed"),
            RuntimeError::Limit => f.write_str("limit of goroutines reached"),
            RuntimeError::Os(e) => Errno(*e).fmt(f),
        }
    }
}

impl std::error::Error for RuntimeError {}

impl From<StartError> for RuntimeError {
    fn from(e: StartError) -> RuntimeError {
        match e {
            StartError::Os(e) => RuntimeError::Os(e.0),
            StartError::Shutdown => RuntimeError::Shutdown,
            StartError::Limit => RuntimeError::Limit,
        }
    }
}

/// Most workers that may be asked for.
pub const MAX_WORKERS: u32 = 4096;

/// Starts the runtime with `config`; it starts by itself with the defaults on first use.
///
/// # Errors
/// `Busy` once it runs, `Invalid` for values out of range, `Shutdown` after a shutdown or in a forked child, `Os` if a thread
/// cannot be started.
pub fn init(config: Config) -> Result<(), RuntimeError> {
    let threads = START.lock();
    match STATE.load(Ordering::Relaxed) {
        NEW => {}
        RUNNING => return Err(RuntimeError::Busy),
        _ => return Err(RuntimeError::Shutdown),
    }
    if config.workers > MAX_WORKERS {
        return Err(RuntimeError::Invalid);
    }
    if config.stack_size != 0 && stack::configure(config.stack_size).is_err() {
        return Err(RuntimeError::Invalid);
    }
    start(threads, &config).map_err(RuntimeError::from)
}

fn start(mut threads: sys::MutexGuard<'_, Threads>, config: &Config) -> Result<(), StartError> {
    sys::init();
    cxx::init();
    sanitize::init();
    stack::set_notice(dump::notice);
    stack::overflow::set_describe(dump::describe_stack);
    stack::overflow::install_handler();
    blocking::set_max(config.max_blocking as usize);
    MAX_GOROUTINES.store(config.max_goroutines, Ordering::Relaxed);
    panic::set_policy(config.panic_policy);
    if let Some(h) = config.on_panic {
        panic::set_hook(h);
    }
    let workers = match config.workers {
        0 => sys::cpus(),
        n => n as usize,
    };
    threads.monitor = Some(monitor::start()?);
    fork::watch();
    idle::set_limit(workers.clamp(1, MAX_WORKERS as usize));
    // Release: pairs with the Acquire in `ensure_started`: everything above is set up.
    STATE.store(RUNNING, Ordering::Release);
    Ok(())
}

/// Starts the runtime with the defaults unless it runs.
#[inline]
pub(crate) fn ensure_started() -> Result<(), StartError> {
    // Acquire: pairs with the Release in `start`.
    if STATE.load(Ordering::Acquire) == RUNNING {
        return Ok(());
    }
    start_now()
}

#[cold]
fn start_now() -> Result<(), StartError> {
    let threads = START.lock();
    match STATE.load(Ordering::Relaxed) {
        NEW => start(threads, &Config::default()),
        RUNNING => Ok(()),
        _ => Err(StartError::Shutdown),
    }
}

/// Whether calls are to be refused: after shutdown, or in a forked child.
#[inline(always)]
pub fn is_down() -> bool {
    STATE.load(Ordering::Relaxed) > STOPPING
}

/// Whether shutdown ends the workers, or has done so.
pub(crate) fn is_stopping() -> bool {
    STATE.load(Ordering::Relaxed) >= STOPPING
}

/// Whether there are workers that serve the timers.
#[inline(always)]
pub(crate) fn is_running() -> bool {
    STATE.load(Ordering::Relaxed) == RUNNING
}

/// Keeps the handle of a worker thread for shutdown.
pub(crate) fn keep_thread(h: JoinHandle<()>) {
    let mut handles = HANDLES.lock();
    handles.retain(|h| !h.is_finished());
    handles.push(h);
}

/// Counts a new goroutine if there is a limit.
#[inline]
pub(crate) fn count_start() -> Result<(), StartError> {
    let max = MAX_GOROUTINES.load(Ordering::Relaxed);
    if max == 0 {
        return Ok(());
    }
    if COUNTED.fetch_add(1, Ordering::Relaxed) as u64 >= max {
        COUNTED.fetch_sub(1, Ordering::Relaxed);
        return Err(StartError::Limit);
    }
    Ok(())
}

/// Counts a goroutine that goes on after its end, at the limit, too.
pub(crate) fn count_again() {
    if MAX_GOROUTINES.load(Ordering::Relaxed) != 0 {
        COUNTED.fetch_add(1, Ordering::Relaxed);
    }
}

/// A goroutine has ended.
#[inline]
pub(crate) fn count_end() {
    if MAX_GOROUTINES.load(Ordering::Relaxed) != 0 {
        COUNTED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sets how many goroutines may run at once and returns the former number; 0 only asks. From any thread.
///
/// # Errors
/// `Invalid` above 4096; `Shutdown`.
pub fn workers(n: u32) -> Result<u32, RuntimeError> {
    if n > MAX_WORKERS {
        return Err(RuntimeError::Invalid);
    }
    ensure_started()?;
    let _look = look().ok_or(RuntimeError::Shutdown)?;
    Ok(idle::set_limit(n as usize) as u32)
}

// ---- foreign threads ---------------------------------------------------------------------------

/// Kept by a thread that has called `run`.
struct Mine(Cell<Option<&'static Worker>>);

impl Drop for Mine {
    fn drop(&mut self) {
        if let (Some(w), false) = (self.0.take(), is_down()) {
            table::give_runner(w);
        }
    }
}

struct Guest;

impl Drop for Guest {
    fn drop(&mut self) {
        deadlock::OUTSIDE.fetch_sub(1, Ordering::Relaxed);
        deadlock::check_from_outside();
    }
}

thread_local! {
    static GUEST: Cell<Option<Guest>> = const { Cell::new(None) };
    static IS_GUEST: Cell<bool> = const { Cell::new(false) };
    /// The worker of a thread that has called `run` before.
    static MINE: Mine = const { Mine(Cell::new(None)) };
}

/// The calling thread is no goroutine and uses the runtime: while it lives it could wake anybody.
///
/// Not inlined: goroutines pass by, and the address of a thread-local must not be kept across their switches.
#[inline(never)]
pub(crate) fn foreign_thread() {
    if worker::current().is_none() && !IS_GUEST.with(Cell::get) && !sched::IN_HELPER.with(Cell::get) {
        become_guest();
    }
}

#[cold]
fn become_guest() {
    // A thread that is ending has no thread-locals left; it is not counted then.
    let counted = GUEST.try_with(|g| {
        deadlock::OUTSIDE.fetch_add(1, Ordering::Relaxed);
        g.set(Some(Guest));
    });
    if counted.is_ok() {
        IS_GUEST.with(|g| g.set(true));
    }
}

/// Something the runtime cannot see may still wake goroutines, such as a thread that will call in later: no deadlock is
/// reported until [`release`]. Each `hold` needs a `release`. From any thread.
///
/// ```
/// zokor::hold();
/// let n = zokor::run(|| {
///     let (tx, rx) = zokor::channel::bounded(0);
///     std::thread::spawn(move || tx.send(1).unwrap());
///     rx.recv().unwrap()
/// });
/// zokor::release();
/// assert_eq!(n, 1);
/// ```
pub fn hold() {
    deadlock::OUTSIDE.fetch_add(1, Ordering::Relaxed);
}

/// The counterpart of [`hold`]. False, and nothing happens, if there was none. From any thread.
pub fn release() -> bool {
    let taken = deadlock::OUTSIDE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    deadlock::check_from_outside();
    taken.is_ok()
}

// ---- run ---------------------------------------------------------------------------------------

/// Runs `f` as a main goroutine on the calling thread, which works for the runtime until `f` returns.
pub(crate) fn run_main<R>(class: u8, flags: u8, f: impl FnOnce() -> R) -> Result<Result<R, Payload>, RuntimeError> {
    if worker::current().is_some() {
        return Err(RuntimeError::NotFromHere);
    }
    ensure_started()?;
    let w = my_worker().ok_or(RuntimeError::Os(libc::EAGAIN))?;
    let guest = IS_GUEST.with(|g| g.replace(true));
    if guest {
        deadlock::OUTSIDE.fetch_sub(1, Ordering::Relaxed);
    }
    let result = run_on(w, class, flags, f);
    if guest {
        deadlock::OUTSIDE.fetch_add(1, Ordering::Relaxed);
    }
    IS_GUEST.with(|g| g.set(guest));
    result
}

fn my_worker() -> Option<&'static Worker> {
    MINE.with(|m| {
        if m.0.get().is_none() {
            m.0.set(table::add(true));
        }
        m.0.get()
    })
}

fn run_on<R>(
    w: &'static Worker,
    class: u8,
    flags: u8,
    f: impl FnOnce() -> R,
) -> Result<Result<R, Payload>, RuntimeError> {
    let alt = stack::overflow::install_thread();
    w.main_done.reset();
    w.bind();
    idle::join_set(w);
    runs::begin(w);
    let mut slot: Option<Result<R, Payload>> = None;
    let out = SendPtr(&raw mut slot);
    let main = move || {
        let out = out;
        if flags & NO_UNWIND != 0 {
            sched::exclusive::unpin(); // a goroutine of C, which goes on where there is room
        }
        let r = panic::body(f);
        let exited = matches!(&r, Err(p) if p.is::<panic::Goexit>());
        if exited {
            return; // P-12: main is gone, the others go on
        }
        if let (Err(p), true) = (&r, flags & NO_UNWIND != 0) {
            // A C caller cannot catch it: as in any other goroutine of C.
            // SAFETY: this is the running goroutine.
            panic::report(unsafe { &*sched::running() }, panic::text(p));
        }
        if deadlock::waits_for(sched::running()) {
            // SAFETY: the frame of `run_on` waits for this goroutine's end.
            unsafe { *out.0 = Some(r) };
            sanitize::release(out.0.cast_const().cast());
            w.main_done.set_returned();
        }
    };
    let started = start_main(w, class, flags, main);
    if let Ok(g) = started {
        deadlock::enter(deadlock::Run { worker: w, main: g, hosted: class != 0 });
        w.run_loop();
        deadlock::leave(w);
        let main = w.main_goroutine.swap(core::ptr::null_mut(), Ordering::Relaxed);
        if !main.is_null() {
            deadlock::give_up(main);
        }
    }
    runs::end(w);
    idle::leave_set(w);
    w.unbind();
    drop(alt);
    started?;
    sanitize::acquire((&raw const slot).cast());
    match slot {
        Some(r) => Ok(r),
        None if w.main_done.is_done() => Ok(Err(Box::new("main panicked"))), // reported, in `runs::main_panicked`
        None if is_stopping() => Err(RuntimeError::Shutdown),
        None => Err(RuntimeError::Deadlock),
    }
}

struct SendPtr<T>(*mut T);

/// A goroutine that can only run on `w`, which the calling thread is bound to.
fn start_main<F: FnOnce()>(w: &'static Worker, class: u8, flags: u8, f: F) -> Result<*mut G, RuntimeError> {
    let a =
        start::Attributes { flags: PINNED | flags, class, name: Some("main".into()), ..start::Attributes::default() };
    let g = start::new_g(a)?;
    // SAFETY: a fresh header, ours until it is queued; queueing it as bound keeps it on this thread.
    unsafe {
        if MAINS.fetch_add(1, Ordering::Relaxed) == 0 {
            (*g).id.store(1, Ordering::Relaxed);
        }
        start::prepare_detached(g, f);
        (*g).run.set(w.run.load(Ordering::Relaxed) as u16); // it has 16 bits
        runs::set_main(w, g);
        w.make_bound(g);
        worker::bump(&w.stats.created);
        sanitize::release(g.cast_const().cast());
        w.push_next(g);
    }
    Ok(g)
}

/// Runs `f` as the main goroutine and returns its result. The calling thread works for the runtime meanwhile; other
/// goroutines go on when `f` has returned, except that those pinned to this thread pause until it calls `run` again: of pinned goroutines
/// only such as were started by `f`, by those that it started, and so on. Several threads may be in `run` at once.
///
/// `f` stays on the calling thread, as do goroutines that begin there. One of them that blocks the thread, or computes without a call of this
/// library, holds up those of this thread, nobody else; see [`blocking`](crate::blocking) and [`yield_now`](crate::yield_now).
///
/// ```
/// let sum = zokor::run(|| {
///     let (tx, rx) = zokor::channel::bounded(0);
///     zokor::go(move || (1..=4).for_each(|i| tx.send(i).unwrap()));
///     rx.iter().sum::<i32>()
/// });
/// assert_eq!(sum, 10);
/// ```
///
/// # Panics
/// With what `f` panicked with; when called from a goroutine; on a deadlock (see [`try_run`]); after shutdown.
pub fn run<R>(f: impl FnOnce() -> R) -> R {
    match try_run(f) {
        Ok(r) => r,
        Err(e) => panic!("zokor::run: {e}"),
    }
}

/// As [`run`], but a deadlock is an error: when nothing is runnable, no timer that matters is armed and no foreign
/// thread could wake anybody, a dump of all goroutines goes to standard error and main is given up, parked as it is, with the goroutines
/// of its scopes. The others go on if somebody wakes them later.
///
/// ```
/// let r = zokor::try_run(|| {
///     let (_tx, rx) = zokor::channel::bounded::<()>(0);
///     rx.recv().is_ok()
/// });
/// assert_eq!(r, Err(zokor::RuntimeError::Deadlock));
/// ```
///
/// # Errors
/// `Deadlock`; `NotFromHere` from a goroutine; `Shutdown`, also if the runtime is shut down before `f` returns; `Os`.
///
/// # Panics
/// With what `f` panicked with.
pub fn try_run<R>(f: impl FnOnce() -> R) -> Result<R, RuntimeError> {
    match run_main(0, 0, f)? {
        Ok(r) => Ok(r),
        Err(p) => std::panic::resume_unwind(p),
    }
}

// ---- shutdown and fork -------------------------------------------------------------------------

/// How long shutdown waits for threads that are inside user code, after the deadline.
const GRACE: i64 = 50_000_000;

/// Waits for all goroutines until `deadline`, then stops the workers. Final: later calls are refused.
///
/// With all goroutines gone no thread and no mapping of the runtime is left. Otherwise the parked ones are given up and
/// their memory stays.
///
/// # Errors
/// `TimedOut` if goroutines were left; `NotFromHere` from a goroutine; `Shutdown` if it was done before.
pub(crate) fn shutdown_by(deadline: i64) -> Result<(), RuntimeError> {
    if worker::current().is_some() {
        return Err(RuntimeError::NotFromHere);
    }
    {
        let _nobody_starts_it = START.lock();
        match STATE.load(Ordering::Relaxed) {
            NEW => {
                STATE.store(DOWN, Ordering::Relaxed);
                return Ok(());
            }
            RUNNING => {}
            _ => return Err(RuntimeError::Shutdown),
        }
    }
    // The caller's own pinned goroutines can only end on this thread: so it runs.
    let waited = run_main(0, 0, || wait_for_others(deadline));
    let all_gone = matches!(waited, Ok(Ok(true)));
    if all_gone {
        wait_for_enders();
    }
    if STATE.compare_exchange(RUNNING, STOPPING, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return Err(RuntimeError::Shutdown);
    }
    let ended = stop_threads(all_gone);
    STATE.store(DOWN, Ordering::Relaxed);
    if all_gone && ended && sched::live() == 0 && look::nobody_looks() {
        // SAFETY: no goroutine and no worker thread is left, and new ones are refused. Headers stay while handles refer to them.
        unsafe {
            table::clear();
            if arena::all_free() {
                arena::release_all();
            }
            stack::release_all();
        }
    }
    MINE.with(|m| m.0.set(None));
    if all_gone {
        Ok(())
    } else {
        Err(RuntimeError::TimedOut)
    }
}

/// Waits for all goroutines, for `timeout` at most (`None`: as long as it takes), then stops the workers for good.
///
/// Starting a goroutine, `run` and `blocking` are refused afterwards, each in its way. Channels go on between plain threads, which
/// need no runtime for them. A `run` in progress on another thread returns with `Shutdown` when the time is over.
///
/// # Errors
/// `TimedOut` if goroutines were left, `NotFromHere` from a goroutine, `Shutdown` if it was done before.
pub fn shutdown(timeout: Option<std::time::Duration>) -> Result<(), RuntimeError> {
    shutdown_by(timeout.map_or(i64::MAX, |t| timers::after(clock::nanos(t))))
}

fn wait_for_others(deadline: i64) -> bool {
    ENDERS.fetch_add(1, Ordering::Relaxed);
    let mut pause = 20_000;
    while sched::live() > ENDERS.load(Ordering::Relaxed) {
        if deadline != i64::MAX && timers::now() >= deadline {
            return false;
        }
        let until = timers::after(pause).min(deadline.max(1));
        let _ = sched::sleep_to(until);
        pause = (pause * 2).min(5_000_000);
    }
    true
}

/// Others that wait in `shutdown` see within a pause of theirs that nobody else is left.
fn wait_for_enders() {
    let until = timers::now() + 1_000_000_000;
    while sched::live() > 0 && timers::now() < until {
        sys::yield_thread();
    }
}

fn stop_threads(all_gone: bool) -> bool {
    let until = timers::now() + if all_gone { 10_000_000_000 } else { GRACE };
    let mut left = idle::stop_all();
    while left > 0 && timers::now() < until {
        sys::yield_thread();
        left = idle::stop_all();
    }
    if left == 0 {
        for h in HANDLES.lock().drain(..) {
            let _ = h.join();
        }
    }
    blocking::end_helpers();
    monitor::stop();
    if let Some(h) = START.lock().monitor.take() {
        let _ = h.join();
    }
    left == 0
}
