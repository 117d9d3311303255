//! Timers for Rust programs: one-shot, periodic, and functions that run later.
//!
//! *Where it sits*: layer 4, over the timer channels of `chan` and the heaps of `timers`; the public `zokor::time`. Rules T-03 to T-17.

use crate::chan::Chan;
use crate::channel::Receiver;
use crate::clock;
use crate::goroutine::PINNED;
use crate::rank::Rank;
use crate::runtime;
use crate::start::{spawn_or_say, Attributes};
use crate::sys;
use crate::timers::{self, Due, TimerNode};
use core::ffi::c_void;
use std::cell::Cell;
use std::fmt;
use std::mem::offset_of;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A timer that ticks once, on a channel without buffer: the tick is made when it is received, so after [`stop`](Timer::stop) or
/// [`reset`](Timer::reset) no old one can come, and a timer nobody reads costs nothing and keeps nothing alive.
///
/// ```
/// use std::time::{Duration, Instant};
/// let timer = zokor::time::Timer::new(Duration::from_millis(1));
/// let due: Instant = timer.receiver().recv().unwrap();
/// assert!(due <= Instant::now());
/// assert!(!timer.stop(), "its tick was received");
/// ```
pub struct Timer {
    chan: Arc<Chan<Instant>>,
    receiver: Receiver<Instant>,
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}

impl Timer {
    /// Due after `d`; zero is due at once.
    pub fn new(d: Duration) -> Timer {
        Self::build(d, None)
    }

    fn build(first: Duration, period: Option<Duration>) -> Timer {
        let chan = Chan::timer(clock::instant(timers::after(clock::nanos(first))), period);
        Timer { receiver: Receiver::of_timer(chan.clone()), chan }
    }

    /// Where the tick comes from, with the instant it was due at (T-07). For `recv` and for `select!`. Its length and capacity are 0,
    /// also with a tick to take (T-03).
    pub fn receiver(&self) -> &Receiver<Instant> {
        &self.receiver
    }

    /// Stops it. True: no tick will be received, it was armed or due and unread. False: the tick was received, or it was
    /// stopped before (T-05). Whoever waits on the receiver goes on waiting (T-15).
    pub fn stop(&self) -> bool {
        self.chan.with_source(|s, _| {
            // SAFETY: the channel's lock is held.
            unsafe { s.stop() }
        })
    }

    /// Starts it anew, due after `d`. The result is as of [`stop`](Timer::stop) (T-06).
    pub fn reset(&self, d: Duration) -> bool {
        let when = timers::after(clock::nanos(d));
        self.chan.with_source(|s, h| {
            // SAFETY: the channel's lock is held.
            unsafe { s.reset(h, when) }
        })
    }
}

/// A timer that ticks again and again. Ticks that nobody took are dropped, the phase is kept (T-13).
///
/// ```
/// use std::time::Duration;
/// let ticker = zokor::time::Ticker::new(Duration::from_millis(1));
/// let first = ticker.receiver().recv().unwrap();
/// let second = ticker.receiver().recv().unwrap();
/// assert!(second - first >= Duration::from_millis(1));
/// ```
pub struct Ticker(Timer);

impl fmt::Debug for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticker").finish_non_exhaustive()
    }
}

impl Ticker {
    /// First due after one `period`.
    ///
    /// # Panics
    /// If the period is zero (T-14).
    pub fn new(period: Duration) -> Ticker {
        assert!(!period.is_zero(), "non-positive interval for Ticker::new");
        Ticker(Timer::build(period, Some(period)))
    }

    /// Where the ticks come from.
    pub fn receiver(&self) -> &Receiver<Instant> {
        self.0.receiver()
    }

    /// No more ticks. Does not close the channel (T-15).
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Drops a pending tick and begins a new phase now, with a new period (T-14).
    ///
    /// # Panics
    /// If the period is zero.
    pub fn reset(&self, period: Duration) {
        assert!(!period.is_zero(), "non-positive interval for Ticker::reset");
        let when = timers::after(clock::nanos(period));
        self.0.chan.with_source(|s, h| {
            s.set_period(clock::nanos(period));
            // SAFETY: the channel's lock is held.
            unsafe { s.reset(h, when) }
        });
    }
}

/// A function that runs later; see [`after_func`]. Dropping the handle lets it run.
pub struct AfterFunc {
    later: Arc<Later>,
}

struct Later {
    node: TimerNode,
    /// The heap's reference while the node is in it: the handle may go before. Whoever takes the node out takes it: `fire` under the
    /// shard's lock, and who holds `armed` after `disarm`.
    held: Cell<Option<Arc<Later>>>,
    armed: sys::Mutex<bool>,
    call: Box<dyn Fn() + Send + Sync>,
}

// SAFETY: the node and the heap's reference are used under the shard's lock, or when the node is in no heap under that of `armed`.
unsafe impl Send for Later {}
// SAFETY: as above.
unsafe impl Sync for Later {}

impl fmt::Debug for AfterFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterFunc").finish_non_exhaustive()
    }
}

/// Runs `f` in a goroutine of its own after `d` (T-11). A panic of `f` follows the panic policy (P-16). The handle is for who wants to
/// stop it or to start it anew; without one it runs all the same.
///
/// ```
/// use std::time::Duration;
/// let (tx, rx) = zokor::channel::bounded(1);
/// let later = zokor::time::after_func(Duration::from_millis(1), move || tx.send("now").unwrap());
/// assert_eq!(rx.recv(), Ok("now"));
/// assert!(!later.stop());
/// ```
///
/// # Panics
/// If the runtime is shut down or cannot be started.
pub fn after_func(d: Duration, f: impl Fn() + Send + Sync + 'static) -> AfterFunc {
    if let Err(e) = runtime::ensure_started() {
        panic!("cannot start a timer: {}", std::io::Error::from(e));
    }
    let timer = AfterFunc {
        later: Arc::new(Later {
            node: TimerNode::new(),
            held: Cell::new(None),
            armed: sys::Mutex::new(Rank::Context, false),
            call: Box::new(f),
        }),
    };
    timer.reset(d);
    timer
}

impl Later {
    /// Out of the heap: the heap's reference, if it was still to run. Not the last one: the caller has its own.
    fn take_out(&self, armed: &mut bool) -> Option<Arc<Later>> {
        // SAFETY: armed before, by us.
        let pending = std::mem::take(armed) && unsafe { timers::disarm(&self.node) };
        if pending {
            self.held.take()
        } else {
            None
        }
    }
}

impl AfterFunc {
    /// True: it will not run. False: it has started, or was stopped before. Never waits for it (T-11).
    pub fn stop(&self) -> bool {
        self.later.take_out(&mut self.later.armed.lock()).is_some()
    }

    /// Starts it anew, also after it has run; a second run may overlap the first (T-12). The result is as of
    /// [`stop`](AfterFunc::stop).
    pub fn reset(&self, d: Duration) -> bool {
        let when = timers::after(clock::nanos(d));
        let mut armed = self.later.armed.lock();
        // SAFETY: armed before, by us. In the heap it keeps the heap's reference.
        if *armed && unsafe { timers::rearm(&self.later.node, when) } {
            return true;
        }
        let was = self.later.take_out(&mut armed).is_some();
        *armed = true;
        self.later.held.set(Some(self.later.clone()));
        // SAFETY: in no heap now; the heap's reference keeps it until it is taken out.
        unsafe { timers::arm(&self.later.node, when, fire) };
        was
    }
}

/// It is due. Under the shard's lock: the heap's reference is passed on.
unsafe fn fire(node: *mut TimerNode, _: i64, due: &mut Due) {
    unsafe fn run(p: *mut c_void) {
        // SAFETY: made by `into_raw` below.
        let later = unsafe { Arc::from_raw(p.cast::<Later>()) };
        let a = Attributes { flags: PINNED, ..Attributes::default() };
        spawn_or_say(a, move || (later.call)());
    }
    // SAFETY: armed by `AfterFunc::reset`, so it lies in a Later, which the heap's reference keeps alive.
    unsafe {
        let later = node.cast::<u8>().sub(offset_of!(Later, node)).cast::<Later>();
        if let Some(held) = (*later).held.take() {
            due.tells.push((run, Arc::into_raw(held).cast_mut().cast()));
        }
    }
}
