//! Stack overflow: the signal handler that tells it from other faults and says whose it was.
//!
//! *Where it sits.* Layer 1, behind `stack`. Calls `slab::find`. The scheduler installs it; the
//! monitor keeps it on top.
//!
//! A goroutine that runs into its guard gets SIGSEGV (SIGBUS on some systems). There is no
//! stack left to handle it on, so each worker has an *alternate* stack for signals ([`AltStack`]).
//! The handler looks the address up among the guards. If it is one: a line that names the goroutine, a
//! backtrace as far as it can be had, abort. If not, the fault is none of ours and goes to the handler that was there before.
//!
//! # State
//! * `CHAIN`, per signal: the handlers found in place, oldest first. The newest is asked first.
//! * `DESCRIBE`: the scheduler's function that writes a goroutine's id and name.
//!
//! # Invariants
//! * O1. An element of a chain is written before the chain's length counts it, and never changes.
//! * O2. Everything the handler does is async-signal-safe, up to the backtrace, which comes last.
//!
//! # Being on top
//!
//! A library that installs its handler later (Python's faulthandler, a crash reporter) hides ours:
//! it would see a bare SIGSEGV. [`reinstall_if_replaced`] notices, puts ours back, and appends the
//! other to the chain. Such a handler remembers *ours* as its predecessor and ends by restoring it and
//! raising the signal again, so passing the fault to it forever would never end. Therefore a fault
//! that comes back from a handler goes to the next older one, and after the oldest to the system's
//! default. It has come back when the signal is pending again at the handler's return, or when the same
//! instruction faults at the same address a thousand times in a row.

use super::slab;
use std::cell::UnsafeCell;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::Mutex;

mod report;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "overflow/x86_64.rs"]
mod machine;
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
#[path = "overflow/aarch64.rs"]
mod machine;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "overflow/unknown.rs"]
mod machine;

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

const SIGNALS: [i32; 2] = [libc::SIGSEGV, libc::SIGBUS];
const MAX_CHAIN: usize = 8;

/// The handlers that were there before ours; see the module's text.
struct Chain {
    handlers: UnsafeCell<[MaybeUninit<libc::sigaction>; MAX_CHAIN]>,
    len: AtomicUsize,
    /// How many of them, from the newest on, have let a fault come back.
    spent: AtomicUsize,
    /// The last fault passed on: thread, address, instruction; and how often in a row.
    thread: AtomicI32,
    addr: AtomicUsize,
    ip: AtomicUsize,
    times: AtomicUsize,
}

// SAFETY: `handlers` is written under INSTALL only, beyond `len`, and read below `len` (O1).
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
    fn push(&self, action: libc::sigaction) -> bool {
        let n = self.len.load(Relaxed);
        if n == MAX_CHAIN {
            return false;
        }
        // SAFETY: INSTALL is held, and nobody reads at `n` before the store below (O1).
        unsafe { (*self.handlers.get())[n].write(action) };
        // Release: pairs with the Acquire in `pick`, which reads the element (O1).
        self.len.store(n + 1, Release);
        self.spent.store(0, Relaxed);
        true
    }

    /// Whose turn it is for this fault; None when all handlers are through.
    fn pick(&self, addr: usize, ip: usize) -> Option<libc::sigaction> {
        // Acquire: pairs with the Release in `push` (O1).
        let len = self.len.load(Acquire);
        if self.repeats(addr, ip) {
            self.spend();
        }
        let i = len.checked_sub(1 + self.spent.load(Relaxed))?;
        // SAFETY: `i < len`, so the element is there and does not change (O1).
        Some(unsafe { (*self.handlers.get())[i].assume_init() })
    }

    /// The handler whose turn it was has let the fault come back.
    fn spend(&self) {
        self.spent.fetch_add(1, Relaxed);
    }

    /// Whether this thread has had the same fault a thousand times in a row. All Relaxed: a thread
    /// compares with what it stored itself; when two threads fault in turns the count starts again, no more.
    fn repeats(&self, addr: usize, ip: usize) -> bool {
        let me = thread_id();
        let same = self.thread.swap(me, Relaxed) == me
            && self.addr.swap(addr, Relaxed) == addr
            && self.ip.swap(ip, Relaxed) == ip;
        let times = if same { self.times.load(Relaxed) + 1 } else { 0 };
        self.times.store(times % LOOP, Relaxed);
        times == LOOP
    }
}

/// So many equal faults in a row are a loop.
const LOOP: usize = 1000;

static CHAIN: [Chain; SIGNALS.len()] = [const { Chain::new() }; SIGNALS.len()];
static INSTALL: Mutex<()> = Mutex::new(());

/// Installs the handler for SIGSEGV and SIGBUS, once; later calls do nothing.
pub fn install_handler() {
    reinstall_if_replaced();
}

/// Puts the handler back on top where another one has taken its place, and passes to that one
/// what is not ours. For the monitor.
pub fn reinstall_if_replaced() {
    let _guard = INSTALL.lock().unwrap_or_else(|e| e.into_inner());
    for (chain, signal) in CHAIN.iter().zip(SIGNALS) {
        // SAFETY: zeroes are a valid sigaction; the calls read and write the structures given.
        unsafe {
            let mut now: libc::sigaction = mem::zeroed();
            let failed = libc::sigaction(signal, ptr::null(), &mut now) != 0;
            if failed || now.sa_sigaction == handler_address() || !chain.push(now) {
                continue;
            }
            let mut ours: libc::sigaction = mem::zeroed();
            ours.sa_sigaction = handler_address();
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&mut ours.sa_mask);
            libc::sigaction(signal, &ours, ptr::null_mut());
        }
    }
}

fn handler_address() -> usize {
    on_fault as *const () as usize
}

fn thread_id() -> i32 {
    // SAFETY: takes nothing, gives a number.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// Sent by a call, not by a fault.
fn raised(info: &libc::siginfo_t) -> bool {
    info.si_code <= 0
}

fn fault_address(info: &libc::siginfo_t) -> usize {
    // SAFETY: the kernel fills in the union for faults; for others the word is just not used.
    unsafe { info.si_addr() as usize }
}

/// The handler. Restores errno, which belongs to the interrupted code.
unsafe extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid `info`; errno's address is this thread's.
    let (info_ref, errno) = unsafe { (&*info, *libc::__errno_location()) };
    if !raised(info_ref) {
        if let Some(hit) = slab::find(fault_address(info_ref)) {
            report::overflowed(hit, describe());
        }
    }
    // SAFETY: what the kernel passed goes on unchanged.
    unsafe {
        pass_on(signal, info, context);
        *libc::__errno_location() = errno;
    }
}

/// Does what would have happened without our handler.
unsafe fn pass_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(i) = SIGNALS.iter().position(|s| *s == signal) else { return };
    // SAFETY: the kernel passes valid pointers.
    let (info_ref, ip) = unsafe { (&*info, machine::ip(context.cast())) };
    let chain = &CHAIN[i];
    let Some(action) = chain.pick(fault_address(info_ref), ip) else { return default_action(signal, info_ref) };
    match action.sa_sigaction {
        libc::SIG_DFL => default_action(signal, info_ref),
        // A fault cannot be ignored, the kernel kills; a signal that was sent can.
        libc::SIG_IGN if raised(info_ref) => {}
        libc::SIG_IGN => default_action(signal, info_ref),
        // SAFETY: the address is a handler of the form that the flag says.
        f => unsafe {
            let mut mask: libc::sigset_t = mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, &action.sa_mask, &mut mask);
            if action.sa_flags & libc::SA_SIGINFO != 0 {
                type Full = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);
                mem::transmute::<usize, Full>(f)(signal, info, context);
            } else {
                mem::transmute::<usize, extern "C" fn(i32)>(f)(signal);
            }
            // Raised again from within, and waiting until we return: this one is through.
            let mut pending: libc::sigset_t = mem::zeroed();
            libc::sigpending(&mut pending);
            if libc::sigismember(&pending, signal) == 1 {
                chain.spend();
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &mask, ptr::null_mut());
        },
    }
}

/// The default for these signals: the process dies of the signal, with a core where wanted. A fault does so
/// by itself when the instruction runs again; a signal that was sent has to be sent again.
fn default_action(signal: i32, info: &libc::siginfo_t) {
    // SAFETY: zeroes are a valid sigaction whose handler is the default.
    unsafe {
        let default: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, &default, ptr::null_mut());
        if raised(info) {
            libc::raise(signal);
        }
    }
}

/// This thread's alternate stack for signals. Dropping it, on the same thread, puts the previous one back.
#[derive(Debug)]
pub struct AltStack {
    base: *mut libc::c_void,
    len: usize,
    previous: libc::stack_t,
}

/// Room for the handler beyond what the kernel needs for the registers it saves.
const HANDLER_ROOM: usize = 32 * 1024;

/// Gives this thread an alternate stack for signals, so that an overflow can be reported.
///
/// # Errors
/// The system's, when there is no memory.
pub fn install_thread() -> Result<AltStack, super::Error> {
    let page = super::os::page_size();
    // SAFETY: reads a constant of the process. Zero when the kernel does not say.
    let needed = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    let room = needed.max(libc::MINSIGSTKSZ) + HANDLER_ROOM;
    let len = room.next_multiple_of(page) + page;
    let base = super::os::map(len).map_err(super::Error)?;
    // SAFETY: the mapping is new and ours; its lowest page is its own guard. The kernel reads
    // `new` and fills in `previous`.
    unsafe {
        let _ = super::os::protect_none((base, page));
        let new = libc::stack_t { ss_sp: (base + page) as *mut _, ss_flags: 0, ss_size: len - page };
        let mut previous: libc::stack_t = mem::zeroed();
        if libc::sigaltstack(&new, &mut previous) != 0 {
            let e = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
            super::os::unmap(base, len);
            return Err(super::Error(e));
        }
        Ok(AltStack { base: base as *mut _, len, previous })
    }
}

impl Drop for AltStack {
    fn drop(&mut self) {
        // SAFETY: the previous stack is whoever's it was, valid as it was when we found it; ours is not in use, since
        // no handler runs while this does. (The pointer makes the type neither Send nor Sync.)
        unsafe {
            libc::sigaltstack(&self.previous, ptr::null_mut());
            super::os::unmap(self.base as usize, self.len);
        }
    }
}

static REPORTING: AtomicBool = AtomicBool::new(false);
