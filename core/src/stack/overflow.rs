//! Stack overflow: the signal handler that tells it from other faults and says whose it was.
//!
//! *Where it sits.* Layer 1, behind `stack`. Calls `sys::signal` and `slab::find`. The scheduler
//! installs it; the monitor keeps it on top.
//!
//! A goroutine that runs into its guard gets SIGSEGV (SIGBUS on some systems). There is no
//! stack left to handle it on, so each worker has an *alternate* stack for signals ([`AltStack`]).
//! The handler looks the address up among the guards. If it is one: a line that names the goroutine, a
//! backtrace as far as it can be had, abort. If not, the fault is none of ours and goes to the
//! handler that was there before.
//!
//! # State
//! * `CHAIN`, per signal: the handlers found in place, oldest first. The newest is asked first.
//! * `DESCRIBE`: the scheduler's function that writes a goroutine's id and name.
//!
//! # Invariants
//! * SO1. An element of a chain is written before the chain's length counts it, and never changes.
//! * SO2. Everything the handler does is async-signal-safe, up to the names in the backtrace, which come last
//!   and under a watchdog.
//!
//! # Orderings
//! A chain's length is stored with Release and loaded with Acquire (SO1); so is `DESCRIBE`.
//!
//! # Being on top
//!
//! A library that installs its handler later (Python's faulthandler, a crash reporter) hides ours:
//! it would see a bare SIGSEGV. [`reinstall_if_replaced`] notices, puts ours back, and appends the
//! other to the chain. Such a handler remembers *ours* as its predecessor and ends by restoring it and
//! raising the signal again, so passing the fault to it forever would never end. Therefore a fault
//! that comes back from a handler goes to the next older one, and after the oldest to the system's
//! default. It has come back when the signal is pending again at the handler's return, or when the
//! same instruction faults at the same address a thousand times in a row.

use super::{slab, Error};
use crate::rank::Rank;
use crate::sys::signal::{self, Action, Asked, Info};
use crate::sys::{gettid, Mutex};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::{self, MaybeUninit};
use std::sync::atomic::{
    AtomicI32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

mod names;
mod report;
#[cfg(test)]
mod tests;

/// Who writes `goroutine 4242 ("name")` for a stack, given its [`Stack::base`](super::Stack::base). It runs in a
/// signal handler: no allocation, no lock that a goroutine may hold.
pub type Describe = fn(usize, &mut dyn FnMut(&[u8]));

static DESCRIBE: AtomicUsize = AtomicUsize::new(0);

/// Sets who names the goroutine on a stack. Without it the report says "a goroutine".
pub fn set_describe(f: Describe) {
    // Release: pairs with the Acquire in `describe`, so that what `f` relies on, set up before, is there.
    DESCRIBE.store(f as usize, Release);
}

fn describe() -> Option<Describe> {
    // Acquire: pairs with the Release in `set_describe`.
    let f = DESCRIBE.load(Acquire);
    // SAFETY: the word is zero or was a `Describe`; zero is its niche.
    unsafe { mem::transmute::<usize, Option<Describe>>(f) }
}

const MAX_CHAIN: usize = 8;

/// So many equal faults in a row are a loop.
const LOOP: usize = 1000;

/// The handlers that were there before ours; see the module's text.
struct Chain {
    handlers: UnsafeCell<[MaybeUninit<Action>; MAX_CHAIN]>,
    len: AtomicUsize,
    /// How many of them, from the newest on, have let a fault come back.
    spent: AtomicUsize,
    /// The last fault passed on: thread, address, instruction; and how often in a row.
    thread: AtomicI32,
    addr: AtomicUsize,
    ip: AtomicUsize,
    times: AtomicUsize,
}

// SAFETY: `handlers` is written under INSTALL only, beyond `len`, and read below `len` (SO1).
unsafe impl Sync for Chain {}

impl Chain {
    const fn new() -> Chain {
        Chain {
            handlers: UnsafeCell::new([const { MaybeUninit::uninit() }; MAX_CHAIN]),
            len: AtomicUsize::new(0),
            spent: AtomicUsize::new(0),
            thread: AtomicI32::new(0),
            addr: AtomicUsize::new(0),
            ip: AtomicUsize::new(0),
            times: AtomicUsize::new(0),
        }
    }

    /// Appends; false when there is no room. Under INSTALL.
    fn push(&self, action: Action) -> bool {
        let n = self.len.load(Relaxed);
        if n == MAX_CHAIN {
            return false;
        }
        // SAFETY: INSTALL is held, and nobody reads at `n` before the store below (SO1).
        unsafe { (*self.handlers.get())[n].write(action) };
        // Release: pairs with the Acquire in `pick`, which reads the element (SO1).
        self.len.store(n + 1, Release);
        self.spent.store(0, Relaxed);
        true
    }

    /// Whose turn it is for this fault; None when all handlers are through.
    fn pick(&self, addr: usize, ip: usize) -> Option<Action> {
        // Acquire: pairs with the Release in `push` (SO1).
        let len = self.len.load(Acquire);
        if self.repeats(addr, ip) {
            self.spend();
        }
        let i = len.checked_sub(1 + self.spent.load(Relaxed))?;
        // SAFETY: `i < len`, so the element is there and does not change (SO1).
        Some(unsafe { (*self.handlers.get())[i].assume_init() })
    }

    /// The handler whose turn it was has let the fault come back.
    fn spend(&self) {
        self.spent.fetch_add(1, Relaxed);
    }

    /// Whether this thread has had the same fault a thousand times in a row. All Relaxed: a thread
    /// compares with what it stored itself; when two threads fault in turns the count starts again, no more.
    fn repeats(&self, addr: usize, ip: usize) -> bool {
        let me = gettid();
        // Each is swapped whatever the others give.
        let same = (self.thread.swap(me, Relaxed) == me)
            & (self.addr.swap(addr, Relaxed) == addr)
            & (self.ip.swap(ip, Relaxed) == ip);
        let times = if same { self.times.load(Relaxed) + 1 } else { 0 };
        self.times.store(times % LOOP, Relaxed);
        times == LOOP
    }
}

static CHAIN: [Chain; signal::FAULTS.len()] = [const { Chain::new() }; signal::FAULTS.len()];
static INSTALL: Mutex<()> = Mutex::new(Rank::Stack, ());

/// Installs the handler for SIGSEGV and SIGBUS. Later calls do nothing while it is in place.
pub fn install_handler() {
    reinstall_if_replaced();
}

/// Puts the handler back on top where another one has taken its place, and passes to that one
/// what is not ours. For the monitor: two system calls when all is well.
pub fn reinstall_if_replaced() {
    let _guard = INSTALL.lock();
    for (chain, signal) in CHAIN.iter().zip(signal::FAULTS) {
        match Action::current(signal) {
            // SAFETY: by SO2 the handler is fit for this.
            Ok(now) if !now.is(on_fault) && chain.push(now) => unsafe { signal::install(signal, on_fault) },
            _ => {}
        }
    }
}

/// The handler.
unsafe extern "C" fn on_fault(signal: i32, info: *mut Info, context: *mut c_void) {
    signal::keep_errno(|| {
        // SAFETY: these are the kernel's arguments, all the way down.
        unsafe {
            if !signal::raised(info) {
                report::meanwhile();
                if let Some(hit) = slab::find(signal::address(info)) {
                    report::overflowed(hit, describe());
                }
            }
            pass_on(signal, info, context);
        }
    });
}

/// Does what would have happened without our handler.
///
/// # Safety
/// The arguments are what the kernel passed to the running handler.
unsafe fn pass_on(signal: i32, info: *mut Info, context: *mut c_void) {
    let Some(i) = signal::FAULTS.iter().position(|s| *s == signal) else { return };
    // SAFETY: the caller vouches for the arguments.
    unsafe {
        let asked = match CHAIN[i].pick(signal::address(info), signal::instruction(context)) {
            Some(action) => action.ask(signal, info, context),
            None => Asked::Default,
        };
        match asked {
            Asked::Default => signal::die_of(signal, info),
            Asked::Ran { again: true } => CHAIN[i].spend(),
            Asked::Ran { again: false } | Asked::Ignored => {}
        }
    }
}

/// This thread's alternate stack for signals. Dropping it, on the same thread, puts the previous one back.
pub type AltStack = signal::AltStack;

/// Room for the handler beyond what the kernel needs for the registers it saves. The line alone needs little,
/// names a lot; what is not touched costs address space only.
const HANDLER_ROOM: usize = 256 * 1024;

/// Gives this thread an alternate stack for signals, so that an overflow can be reported.
///
/// # Errors
/// The system's, when it gives no memory.
pub fn install_thread() -> Result<AltStack, Error> {
    AltStack::install(HANDLER_ROOM).map_err(Error::from)
}
