//! Handlers for the signals of a fault, the handlers that were there before, and stacks to run them on.
//!
//! **Where it sits.** Called by `stack::overflow`, mostly from a signal handler; calls `libc`. Everything here
//! but [`AltStack::install`] is async-signal-safe.

use std::ffi::c_void;
use std::io;
use std::mem;
use std::ptr;

#[cfg(target_os = "linux")]
#[path = "signal/linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "signal/macos.rs"]
mod system;

/// What the kernel says about a signal.
pub(crate) type Info = libc::siginfo_t;

/// The signals of a fault in memory.
pub(crate) const FAULTS: [i32; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// A handler as the kernel calls it.
pub(crate) type Handler = unsafe extern "C" fn(i32, *mut Info, *mut c_void);

/// What a process does on a signal.
#[derive(Clone, Copy)]
pub(crate) struct Action(libc::sigaction);

/// What came of asking a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// There was none: the default is wanted.
    Default,
    /// The signal was sent and is to be ignored.
    Ignored,
    /// It ran and returned.
    Ran {
        /// The signal is pending again: the handler raised it and expects whoever comes next to see it.
        again: bool,
    },
}

impl Action {
    /// What happens on `signal` now.
    pub(crate) fn current(signal: i32) -> io::Result<Action> {
        // SAFETY: zeroes are a valid sigaction, which the call fills in.
        unsafe {
            let mut now: libc::sigaction = mem::zeroed();
            match libc::sigaction(signal, ptr::null(), &mut now) {
                0 => Ok(Action(now)),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }

    /// Whether this is `handler`.
    pub(crate) fn is(&self, handler: Handler) -> bool {
        self.0.sa_sigaction == handler as *const () as usize
    }

    /// Does what this action asks for on a signal with these arguments of a running handler.
    ///
    /// # Safety
    ///
    /// `info` and `context` are what the kernel passed to the running handler.
    pub(crate) unsafe fn ask(&self, signal: i32, info: *mut Info, context: *mut c_void) -> Asked {
        match self.0.sa_sigaction {
            libc::SIG_DFL => return Asked::Default,
            // The kernel lets nobody ignore a fault.
            // SAFETY: the caller vouches for `info`.
            libc::SIG_IGN if unsafe { raised(info) } => return Asked::Ignored,
            libc::SIG_IGN => return Asked::Default,
            _ => {}
        }
        let handler = self.0.sa_sigaction;
        // SAFETY: the address is that of a function of the form that the flag says; the sets are
        // initialised by the calls, of which zeroes are valid values.
        unsafe {
            let mut before: libc::sigset_t = mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, &self.0.sa_mask, &mut before);
            if self.0.sa_flags & libc::SA_SIGINFO != 0 {
                mem::transmute::<usize, Handler>(handler)(signal, info, context);
            } else {
                mem::transmute::<usize, unsafe extern "C" fn(i32)>(handler)(signal);
            }
            let mut pending: libc::sigset_t = mem::zeroed();
            libc::sigpending(&mut pending);
            libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
            Asked::Ran { again: libc::sigismember(&pending, signal) == 1 }
        }
    }
}

/// Makes `handler` run on `signal`, on the alternate stack of threads that have one.
///
/// # Safety
///
/// `handler` is async-signal-safe.
pub(crate) unsafe fn install(signal: i32, handler: Handler) {
    // SAFETY: zeroes are a valid sigaction; the call cannot fail for these signals.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

/// Lets the running handler be interrupted: by faults of its own, and by `handler` in so many seconds.
///
/// # Safety
///
/// `handler` is async-signal-safe. The program gives up its own use of the alarm.
pub(crate) unsafe fn watchdog(seconds: u32, handler: Handler) {
    // SAFETY: the caller vouches for the handler; zeroes are a valid set, which the calls change.
    unsafe {
        install(libc::SIGALRM, handler);
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in FAULTS.into_iter().chain([libc::SIGALRM]) {
            libc::sigaddset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, ptr::null_mut());
        libc::alarm(seconds);
    }
}

/// Sets the default action for `signal`.
fn set_default(signal: i32) {
    // SAFETY: zeroes are a valid sigaction, whose handler is the default.
    unsafe {
        let default: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, &default, ptr::null_mut());
    }
}

/// Lets the process die of `signal` when the running handler returns: a fault by itself, when its
/// instruction runs again; one that was sent by being sent again.
///
/// # Safety
///
/// `info` is what the kernel passed to the running handler.
pub(crate) unsafe fn die_of(signal: i32, info: *const Info) {
    set_default(signal);
    // SAFETY: the caller vouches for `info`; raising is always allowed.
    unsafe {
        if raised(info) {
            libc::raise(signal);
        }
    }
}

/// Whether a signal was sent by a call, not caused by a fault.
///
/// # Safety
///
/// `info` is what the kernel passed to the running handler.
pub(crate) unsafe fn raised(info: *const Info) -> bool {
    // SAFETY: the caller vouches.
    unsafe { (*info).si_code <= 0 }
}

/// The address that was touched, for a signal that is not [`raised`].
///
/// # Safety
///
/// `info` is what the kernel passed to the running handler.
pub(crate) unsafe fn address(info: *const Info) -> usize {
    // SAFETY: the caller vouches. For signals without an address the word has no meaning, but is there.
    unsafe { (*info).si_addr() as usize }
}

/// The instruction that was interrupted, or zero where it is not known how to tell.
///
/// # Safety
///
/// `context` is what the kernel passed to the running handler.
pub(crate) unsafe fn instruction(context: *const c_void) -> usize {
    // SAFETY: the caller vouches.
    unsafe { system::instruction(context.cast()) }
}

/// Runs `f` and leaves errno as it was: it belongs to the code that a signal interrupted, or to the program that called us.
/// `f` does not switch to another goroutine.
pub(crate) fn keep_errno<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: the address is this thread's, and `f` stays on its thread.
    unsafe {
        let errno = system::errno();
        let before = *errno;
        let result = f();
        *errno = before;
        result
    }
}

/// Sleeps for good.
pub(crate) fn sleep_for_good() -> ! {
    loop {
        // SAFETY: takes nothing, waits for a signal.
        unsafe { libc::pause() };
    }
}

/// A stack for this thread's signal handlers, since a goroutine's own may be what has run out. Dropped on the
/// thread that made it, it puts the previous one back.
#[derive(Debug)]
pub(crate) struct AltStack {
    base: *mut u8,
    len: usize,
    previous: libc::stack_t,
}

impl AltStack {
    /// Gives this thread an alternate stack with `room` bytes beyond what the kernel needs to save registers.
    ///
    /// Errors: the system's, when it gives no memory.
    pub(crate) fn install(room: usize) -> io::Result<AltStack> {
        let page = super::page_size();
        let size = (system::min_stack() + room).next_multiple_of(page);
        let base = super::map_reserve(page + size)?;
        let mut stack = AltStack { base, len: page + size, previous: no_stack() };
        let ours = libc::stack_t { ss_sp: base.wrapping_add(page).cast(), ss_flags: 0, ss_size: size };
        // SAFETY: the mapping is new; its lowest page becomes the guard of the rest, which is handed to
        // the kernel until `drop`. Without the guard the stack still works.
        unsafe {
            let _ = super::protect_none(base, page);
            match libc::sigaltstack(&ours, &mut stack.previous) {
                0 => Ok(stack),
                // Dropping it turns off what is not on, and unmaps.
                _ => Err(io::Error::last_os_error()),
            }
        }
    }
}

fn no_stack() -> libc::stack_t {
    libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 }
}

impl Drop for AltStack {
    fn drop(&mut self) {
        // SAFETY: the previous stack is as valid as when it was found. No handler runs on ours, since this does;
        // the raw pointer keeps the type on its thread.
        unsafe {
            libc::sigaltstack(&self.previous, ptr::null_mut());
            let _ = super::unmap(self.base, self.len);
        }
    }
}
