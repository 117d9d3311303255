//! The switch of Boost.Context, through the crate `context`: for CPUs that have no assembly of
//! ours, and for the feature `boost-context`.
//!
//! *Where it sits.* Layer 1, behind `arch/mod.rs`, whose contract it fulfils with two
//! differences. It has no unwind table, so backtraces end at the switch or at the entry, wherever
//! the unwinder gives up. And `init` writes a few words to the stack, which commits its top page.
//!
//! Boost's primitive is `resume(context, data) -> (context of the resumer, data)`: the *resumed*
//! side learns where the other one stopped. So `switch` leaves a note in the target, "you were
//! continued by this one", and the first thing the target does is to store what it was given into
//! the resumer's `Context`. The target finds its own `Context` through `data`.

use super::Entry;
use ::context::{stack::Stack, Context as Fiber, Transfer};
use core::{mem, ptr};

/// Whether the four words are the stack pointer, the frame pointer, one more register and the address to go on
/// at, from which a debugger can unwind.
pub const PLAIN: bool = false;

/// Of no use, see `PLAIN`.
pub const REGISTERS: [u16; 3] = [0; 3];

/// Where a suspended context stands: four words.
#[repr(C)]
#[derive(Debug)]
pub struct Context {
    /// Boost's own handle. `None` while it runs.
    fiber: Option<Fiber>,
    /// Who continued this context and waits to be stored; null when it jumped.
    resumer: *mut Context,
    /// What to call at the first run.
    entry: Option<Entry>,
    /// Its argument.
    arg: *mut u8,
}

impl Context {
    /// A context that stands nowhere. Continuing it aborts.
    pub const fn empty() -> Context {
        Context { fiber: None, resumer: ptr::null_mut(), entry: None, arg: ptr::null_mut() }
    }

    /// Makes this a context that calls `entry(arg)` on the stack that ends at `stack_top`.
    ///
    /// # Safety
    /// `stack_top` is 16-aligned and the exclusive upper end of memory that stays valid for as long as the
    /// context runs, large enough for whatever `entry` does.
    pub unsafe fn init(&mut self, stack_top: *mut u8, entry: Entry, arg: *mut u8) {
        // Boost wants to know the lower end only to compute a length that it does not use.
        // SAFETY: the caller vouches for the memory below `stack_top`.
        let fiber = unsafe {
            let stack = Stack::new(stack_top.cast(), stack_top.wrapping_sub(4096).cast());
            Fiber::new(&stack, first_frame)
        };
        *self = Context { fiber: Some(fiber), resumer: ptr::null_mut(), entry: Some(entry), arg };
    }
}

extern "C" fn first_frame(t: Transfer) -> ! {
    let me = t.data as *mut Context;
    arrive(t);
    // SAFETY: `data` is the context that was continued, `init` has filled it in, and its owner
    // keeps it where it is while it runs.
    match unsafe { ((*me).entry, (*me).arg) } {
        (Some(entry), arg) => entry(arg),
        (None, _) => std::process::abort(),
    }
}

/// Stores where the resumer stopped. `t.data` is the context that has just been continued.
fn arrive(t: Transfer) {
    let me = t.data as *mut Context;
    // SAFETY: `me` is running, so nobody else touches it; its resumer set `resumer` to a context
    // that nobody continues before this store, by the contract of `switch`.
    unsafe {
        let resumer = mem::replace(&mut (*me).resumer, ptr::null_mut());
        if !resumer.is_null() {
            (*resumer).fiber = Some(t.context);
        }
    }
}

/// Boost keeps its first frame to itself.
pub fn first_code() -> usize {
    0
}

/// The address in a word that a call has saved.
pub fn code_address(saved: usize) -> usize {
    saved
}

/// Continues `to` and says on whose behalf.
///
/// # Safety
/// As for [`switch`].
unsafe fn resume(resumer: *mut Context, to: *mut Context) -> Transfer {
    // SAFETY: nobody else uses `to` until it runs, by the contract of `switch`.
    unsafe {
        (*to).resumer = resumer;
        match (*to).fiber.take() {
            Some(fiber) => fiber.resume(to as usize),
            None => std::process::abort(),
        }
    }
}

/// Saves the running context in `from` and continues `to`. Returns when somebody continues `from`.
///
/// # Safety
/// `to` was stored by `init` or by a switch, has not been continued since, is writable, and its stack is
/// intact. `from` is writable and not being read by anyone until `to` runs. Both stay where they
/// are meanwhile. A caller that may return on another OS thread keeps no address of a thread-local
/// across the call.
#[inline(always)]
pub unsafe fn switch(from: *mut Context, to: *const Context) {
    // SAFETY: the caller's contract is that of `resume`.
    let t = unsafe { resume(from, to.cast_mut()) };
    arrive(t);
}

/// Continues `to` without saving the running context, which is over.
///
/// # Safety
/// As for [`switch`]; moreover nothing on the running stack is needed any more, and that stack stays
/// mapped until `to` runs.
#[inline(always)]
pub unsafe fn jump(to: *const Context) -> ! {
    // SAFETY: the caller's contract is that of `resume`. Nobody has the handle of this context, so
    // nobody continues it and the call does not come back.
    unsafe { resume(ptr::null_mut(), to.cast_mut()) };
    std::process::abort()
}

impl Context {
    /// Boost keeps to itself where the stack stands: nothing is asked for.
    #[inline(always)]
    pub fn prefetch(&self) {}
}

/// There is no portable way to ask for a cache line.
#[inline(always)]
pub fn prefetch(_: *const u8) {}
