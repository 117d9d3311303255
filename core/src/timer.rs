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
use std::fmt;
use std::mem::offset_of;
use std::sync::{Arc, Weak};
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

    /// Where the tick comes from, with the instant it was due at (T-07). For `recv` and for `select!`.
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

/// A function that runs later; see [`after_func`]. Dropping the handle stops it.
pub struct AfterFunc {
    later: Arc<Later>,
}

struct Later {
    me: Weak<Later>,
    node: TimerNode,
    armed: sys::Mutex<bool>,
    call: Box<dyn Fn() + Send + Sync>,
}

// SAFETY: the node is used under its shard's lock.
unsafe impl Send for Later {}
// SAFETY: as above.
unsafe impl Sync for Later {}

impl fmt::Debug for AfterFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterFunc").finish_non_exhaustive()
    }
}

/// Runs `f` in a goroutine of its own after `d` (T-11). A panic of `f` follows the panic policy (P-16).
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
    let later = Arc::new_cyclic(|me| Later {
        me: me.clone(),
        node: TimerNode::new(),
        armed: sys::Mutex::new(Rank::Context, false),
        call: Box::new(f),
    });
    let timer = AfterFunc { later };
    timer.reset(d);
    timer
}

impl Later {
    /// Out of the heap: true if it was still to run.
    fn take_out(&self, armed: &mut bool) -> bool {
        // SAFETY: armed before, by us.
        std::mem::take(armed) && unsafe { timers::disarm(&self.node) }
    }
}

impl AfterFunc {
    /// True: it will not run. False: it has started, or was stopped before. Never waits for it (T-11).
    pub fn stop(&self) -> bool {
        self.later.take_out(&mut self.later.armed.lock())
    }

    /// Starts it anew, also after it has run; a second run may overlap the first (T-12). The result is as of
    /// [`stop`](AfterFunc::stop).
    pub fn reset(&self, d: Duration) -> bool {
        let mut armed = self.later.armed.lock();
        let was = self.later.take_out(&mut armed);
        *armed = true;
        // SAFETY: in no heap now; taken out before it is freed.
        unsafe { timers::arm(&self.later.node, timers::after(clock::nanos(d)), fire) };
        was
    }
}

impl Drop for AfterFunc {
    fn drop(&mut self) {
        self.stop();
    }
}

/// It is due. Under the shard's lock: only a weak reference is taken along.
unsafe fn fire(node: *mut TimerNode, _: i64, due: &mut Due) {
    unsafe fn run(p: *mut c_void) {
        // SAFETY: made by `into_raw` below.
        let Some(later) = unsafe { Weak::from_raw(p.cast::<Later>()) }.upgrade() else { return };
        let a = Attributes { flags: PINNED, ..Attributes::default() };
        spawn_or_say(a, move || (later.call)());
    }
    // SAFETY: armed by `AfterFunc::reset`, so it lies in a Later, whose memory is there: before it goes away the node leaves
    // the heap, under the lock we are under.
    unsafe {
        let later = node.cast::<u8>().sub(offset_of!(Later, node)).cast::<Later>();
        due.tells.push((run, Weak::into_raw((*later).me.clone()).cast_mut().cast()));
    }
}
