//! What the C and Python faces are built on: raw pointers, absolute deadlines, error values.
//!
//! *Where it sits*: layer 5, nothing but names of what lies below. Not part of the Rust interface.

pub use crate::chan::bytes::{ByteChan, ByteChanOpts};
pub use crate::chan::core::{Error, FOREVER, NOWAIT};
pub use crate::chan::direct::{AtOnce, Caller};
pub use crate::chan::policy::{Overflow, Policy};
pub use crate::context::tree::{Cause, Ctx, End, Value};
pub use crate::dump::{dump, each, each_brief, held, last_wait, list, stats, GoInfo, Held, Stats};
pub use crate::error::code_of as code;
pub use crate::go::{label, set_label, Mobility};
pub use crate::group::RawGroup;
pub use crate::panic::{goexit, PanicHook, PanicPolicy};
pub use crate::rawtime::RawTimer as Timer;
pub use crate::runtime::{hold, init, is_down, Config, RuntimeError};
pub use crate::sanitize::{acquire as happens_after, release as happens_before};
pub use crate::sched::blocking::{begin as block_begin, end as block_end};
pub use crate::sched::deadlock::stands as deadlock_stands;
pub use crate::sched::host::{cancel_class, interrupt, turn, HostHooks};
pub use crate::sched::{goid, in_helper, yield_now};
pub use crate::select::direct::{select_plainly, Listed, Plain};
pub use crate::select::{How, Order, Selected};
pub use crate::sync::waitgroup::RawWaitGroup;
pub use crate::sync::{RawCond, RawMutex, RawOnce, RawRwMutex, RawSem};
pub use crate::timers::{after as time_in, now, CFn};

use crate::chan::bytes::may_block;
use crate::errno::Errno;
use crate::goroutine::{Binding, EXCLUSIVE, NO_UNWIND, PINNED};
use crate::mirror::none_possible;
use crate::select::{not_now, select_raw, Op as SelOp, SelCase};
use crate::start::{self, Attributes, StartError};
use crate::{runtime, sanitize, sched};
use core::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::Arc;

/// Monotonic nanoseconds.
pub type Time = i64;
/// A value or why there is none.
pub type Result<T> = core::result::Result<T, Error>;

impl From<StartError> for Error {
    fn from(e: StartError) -> Error {
        match e {
            StartError::Os(Errno(libc::ENOMEM)) => Error::NoMemory,
            StartError::Os(e) => Error::Os(e),
            StartError::Shutdown => Error::Shutdown,
            StartError::Limit => Error::Limit,
        }
    }
}

impl From<RuntimeError> for Error {
    fn from(e: RuntimeError) -> Error {
        match e {
            RuntimeError::Busy => Error::Busy,
            RuntimeError::Invalid => Error::Invalid,
            RuntimeError::NotFromHere => Error::Perm,
            RuntimeError::Deadlock => Error::Deadlock,
            RuntimeError::Shutdown => Error::Shutdown,
            RuntimeError::TimedOut => Error::TimedOut,
            RuntimeError::Limit => Error::Limit,
            RuntimeError::Os(libc::ENOMEM) => Error::NoMemory,
            RuntimeError::Os(e) => Error::Os(Errno(e)),
        }
    }
}

// ---- select --------------------------------------------------------------------------------------

/// What a case does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sends the value at `elem`.
    Send,
    /// Receives into `elem`; null discards.
    Recv,
}

/// One case of a select.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The channel; null: never ready.
    pub chan: *const ByteChan,
    /// The value's place.
    pub elem: *mut u8,
    /// What it does.
    pub op: Op,
}

impl Case {
    /// A look without a lock, for [`none_possible`].
    #[inline(always)]
    unsafe fn look(&self) -> Option<u64> {
        // SAFETY: null or alive, by the caller of `select`.
        match unsafe { self.chan.as_ref() } {
            Some(c) => c.header().look(self.op == Op::Send),
            None => Some(0), // never ready
        }
    }
}

/// Cases without allocation.
const SMALL: usize = 16;

/// Waits until one case can proceed and performs it. A receive from a closed channel zeroes its `elem` and is not `ok`; a
/// send to a closed one is not `ok` and nothing was sent. A value that a channel drops is ended before the call returns; if its function
/// panics, [`raise_kept`] goes on with that.
///
/// # Errors
/// `WouldBlock`, `TimedOut`, `Cancelled`, `Interrupted`, `Deadlock`: no case ran. `Invalid` for more than 65536 cases,
/// `Perm` for a send on a timer's channel or a wait on a helper thread, `Shutdown`, `NoMemory` for a send to a channel whose
/// buffer cannot grow.
///
/// # Safety
/// Channels live until the call returns; `elem` is as for `send` and `recv`.
#[inline(always)]
pub unsafe fn select(cases: &[Case], deadline: Time, order: Order) -> Result<Selected> {
    if cases.len() > 65536 {
        return Err(Error::Invalid);
    }
    if is_down() {
        return Err(Error::Shutdown);
    }
    if deadline != NOWAIT {
        may_block()?;
    }
    // SAFETY: by the caller; the room is for all cases.
    unsafe {
        if deadline == NOWAIT && none_possible(cases.len(), |i| cases[i].look()) {
            return not_now();
        }
        if cases.len() <= SMALL {
            let mut room = [const { MaybeUninit::<SelCase>::uninit() }; SMALL];
            select_in(&mut room[..cases.len()], cases, deadline, order)
        } else {
            select_many(cases, deadline, order)
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn select_many(cases: &[Case], deadline: Time, order: Order) -> Result<Selected> {
    let mut room = Vec::new();
    room.resize_with(cases.len(), MaybeUninit::uninit);
    // SAFETY: by the caller; the room is for all cases.
    unsafe { select_in(&mut room, cases, deadline, order) }
}

/// In `room` for as many cases as there are. No frame of its own on the way to the switch, as in `chan/park.rs`.
#[inline(always)]
unsafe fn select_in(
    room: &mut [MaybeUninit<SelCase>],
    cases: &[Case],
    deadline: Time,
    order: Order,
) -> Result<Selected> {
    // SAFETY: by the caller of `select`; all of the room has been written before it is read.
    unsafe {
        let mut special = false;
        for (s, c) in room.iter_mut().zip(cases) {
            let Some(chan) = c.chan.as_ref() else {
                s.write(SelCase { chan: core::ptr::null(), elem: core::ptr::null_mut(), op: SelOp::Recv });
                continue;
            };
            if c.op == Op::Send && chan.is_sealed() {
                return Err(Error::Perm);
            }
            let op = if c.op == Op::Send { SelOp::Send } else { SelOp::Recv };
            s.write(SelCase { chan: chan.header(), elem: c.elem, op });
            special |= discards(c, chan) || keeps(c, chan);
        }
        let sel = core::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<SelCase>(), cases.len());
        let _scratch = if special { Scratch::lent_to(sel, cases) } else { Scratch::default() };
        if sanitize::listens() {
            for c in cases {
                c.chan.as_ref().inspect(|c| sanitize::release((&raw const **c).cast()));
            }
        }
        let r = select_raw(sel, deadline, order)?;
        sanitize::acquire(cases[r.index].chan.cast());
        settle(&cases[r.index], r, sel[r.index].elem);
        Ok(r)
    }
}

/// Values that are nobody else's: what is received into nothing, and what is sent where another value may come back.
#[derive(Default)]
struct Scratch {
    words: Vec<u128>,
    /// All receives share the first words, because one case runs at most.
    shared: usize,
    own: usize,
}

impl Scratch {
    /// Gives the cases that need it a place, with the value if it is a send.
    ///
    /// # Safety
    /// As for `select`.
    #[cold]
    #[inline(never)]
    unsafe fn lent_to(sel: &mut [SelCase], cases: &[Case]) -> Scratch {
        let mut scratch = Scratch::default();
        // SAFETY: by the caller the channels are alive.
        for (c, chan) in cases.iter().filter_map(|c| unsafe { c.chan.as_ref() }.map(|chan| (c, chan))) {
            scratch.reserve(c, chan);
        }
        // SAFETY: by the caller.
        unsafe { scratch.lend(sel, cases) };
        scratch
    }

    fn reserve(&mut self, c: &Case, chan: &ByteChan) {
        let words = words(chan);
        if discards(c, chan) {
            self.shared = self.shared.max(words);
        } else if keeps(c, chan) {
            self.own += words;
        }
    }

    unsafe fn lend(&mut self, sel: &mut [SelCase], cases: &[Case]) {
        self.words.resize(self.shared + self.own, 0);
        let mut next = self.shared;
        for (s, c) in sel.iter_mut().zip(cases) {
            // SAFETY: by the caller the channel is alive and a send has a value; `reserve` has counted the words.
            unsafe {
                let Some(chan) = c.chan.as_ref() else { continue };
                if discards(c, chan) {
                    s.elem = self.words.as_mut_ptr().cast();
                } else if keeps(c, chan) {
                    s.elem = self.words.as_mut_ptr().add(next).cast();
                    s.elem.copy_from_nonoverlapping(c.elem, chan.elem_size());
                    next += words(chan);
                }
            }
        }
    }
}

/// What a value takes of the scratch.
fn words(chan: &ByteChan) -> usize {
    chan.elem_size().div_ceil(16).max(1)
}

/// Whether a value is received into nothing and has to be dropped.
#[inline(always)]
fn discards(c: &Case, chan: &ByteChan) -> bool {
    c.op == Op::Recv && c.elem.is_null() && chan.has_drop()
}

/// Whether a send may find another value in the place of its own.
#[inline(always)]
fn keeps(c: &Case, chan: &ByteChan) -> bool {
    c.op == Op::Send && chan.leaves_values()
}

/// Ends the value that nobody wants, and zeroes what a closed channel did not fill.
///
/// # Safety
/// As for `select`; `elem` is the place that the case `c`, which ran as `r` says, had.
#[inline(always)]
unsafe fn settle(c: &Case, r: Selected, elem: *mut u8) {
    // SAFETY: by the caller: the case that ran has a channel and room for its value.
    unsafe {
        let chan = &*c.chan;
        if r.how == How::Left || r.ok() && discards(c, chan) {
            crate::defer::drain_one(|| chan.drop_value(elem)); // what a panic would pass by here owns memory
        } else if c.op == Op::Recv && !r.ok() && !c.elem.is_null() {
            c.elem.write_bytes(0, chan.elem_size());
        }
    }
}

/// Sleeps until `when`; a past one returns at once.
///
/// # Errors
/// `Cancelled`, `Interrupted`, `Deadlock`; `Shutdown` in a forked child or after shutdown; `Perm` on a helper thread.
pub fn sleep_until(when: Time) -> Result<()> {
    may_sleep()?;
    sched::sleep_to(when).map_err(Error::from)
}

/// Waits for at least `d`, which is above zero. Errors as of [`sleep_until`].
pub fn sleep_for(d: i64) -> Result<()> {
    may_sleep()?;
    sched::sleep_for(d).map_err(Error::from)
}

fn may_sleep() -> Result<()> {
    if is_down() {
        return Err(Error::Shutdown);
    }
    may_block()
}

// ---- defer, panic, recover -----------------------------------------------------------------------

pub use crate::defer::{defer, drain, raise_kept, scope_begin, scope_end, try_call};

/// Raises a panic: runs the deferred functions on this stack, then leaves for the innermost `try_call`, or ends the
/// goroutine through the hook or the policy. On a plain thread outside any try the process ends.
///
/// # Safety
/// No frame between here and there has anything to clean up.
pub unsafe fn panic(msg: &str) -> ! {
    // SAFETY: by the caller.
    unsafe { crate::defer::panic(msg) }
}

// ---- goroutines ----------------------------------------------------------------------------------

/// Attributes of a goroutine.
#[derive(Clone, Copy, Default)]
pub struct GoOpts<'a> {
    /// Shown in dumps.
    pub name: Option<&'a str>,
    /// In bytes; 0: the default of its class or of the runtime.
    pub stack_size: usize,
    /// Whether it may change threads.
    pub mobility: Mobility,
    /// 0 native, else a host's class (which pins).
    pub class: u8,
    /// Has an OS thread to itself.
    pub exclusive: bool,
    /// Runs last, with the argument.
    pub on_exit: Option<CFn>,
    /// Its waits end with this context; referenced until it ends.
    pub ctx: Option<&'a Arc<Ctx>>,
}

fn flags(o: &GoOpts<'_>) -> u8 {
    let pinned = o.mobility == Mobility::Pinned || o.class != 0 || o.exclusive;
    (if pinned { PINNED } else { 0 }) | (if o.exclusive { EXCLUSIVE } else { 0 })
}

/// Starts `f(arg)`, detached; returns its number.
///
/// # Errors
/// `NoMemory`, `Os`, `Limit`, `Shutdown`; `Invalid` for a stack size out of range.
///
/// # Safety
/// `f(arg)` may run on another thread, now or later.
pub unsafe fn go_c(o: &GoOpts<'_>, f: CFn, arg: *mut c_void) -> Result<u64> {
    if o.stack_size != 0 && !(crate::stack::MIN_SIZE..=crate::stack::MAX_SIZE).contains(&o.stack_size) {
        return Err(Error::Invalid);
    }
    let a = Attributes {
        name: o.name.map(Into::into),
        stack_size: o.stack_size,
        flags: flags(o),
        class: o.class,
        site: None,
        binding: o.ctx.map(|x| x.clone() as Arc<dyn Binding>),
        labels: Vec::new(),
    };
    // SAFETY: by the caller.
    let id = unsafe { start::start_c(a, f, arg, o.on_exit) }?;
    sched::checkpoint_of_starter(sched::worker::current());
    Ok(id)
}

/// Starts `f(arg)`, migrating and detached, with nothing else asked for; returns its number.
///
/// # Errors
/// As `go_c`.
///
/// # Safety
/// As `go_c`.
#[inline]
pub unsafe fn go_c_plain(f: CFn, arg: *mut c_void) -> Result<u64> {
    // SAFETY: by the caller.
    Ok(unsafe { start::start_c_plain(f, arg) }?)
}

/// Starts `f` with a copy of `size` bytes at `args`, migrating and detached.
///
/// # Errors
/// As `go_c`.
///
/// # Safety
/// As `go_c`; `args` points to `size` readable bytes.
pub unsafe fn go_c_copy(f: CFn, args: *const u8, size: usize) -> Result<u64> {
    // SAFETY: by the caller.
    let id = unsafe { start::start_c_copy(f, args, size, 0) }?;
    sched::checkpoint_of_starter(sched::worker::current());
    Ok(id)
}

/// The context the running goroutine is bound to.
pub fn goctx() -> Option<Arc<Ctx>> {
    let g = sched::running();
    if g.is_null() {
        return None;
    }
    // SAFETY: the running goroutine asks itself.
    unsafe { (*g).binding() }.and_then(|b| b.as_any().downcast::<Ctx>().ok())
}

/// Binds the running goroutine to another context, or to none; returns what it was bound to. Nothing happens outside
/// goroutines.
pub fn rebind(to: Option<Arc<Ctx>>) -> Option<Arc<Ctx>> {
    let g = sched::running();
    if g.is_null() {
        return None;
    }
    // SAFETY: the running goroutine binds itself.
    let old = unsafe { (*g).rebind(to.map(|x| x as Arc<dyn Binding>)) };
    old.and_then(|b| b.as_any().downcast::<Ctx>().ok())
}

/// Whether a call has nothing to do but its own work: it comes from a worker whose time slice goes on, and no sanitizer listens.
#[inline(always)]
pub fn undisturbed() -> bool {
    sched::undisturbed() && !sanitize::listens()
}

/// Lets others run if the time slice is over: what a call that may block ends with.
pub fn checkpoint() {
    sched::checkpoint(true);
}

/// Whether a sanitizer wants to hear of the edges of the memory model.
pub use crate::sanitize::listens as sanitizer_listens;

/// Whether the running goroutine is ending by `goexit`.
pub fn exiting() -> bool {
    sched::running_has(crate::goroutine::EXITING)
}

/// Whether the caller is a goroutine.
pub fn on_goroutine() -> bool {
    !sched::running().is_null()
}

/// The running goroutine's word for its host; null outside.
pub fn local_get() -> *mut c_void {
    let g = sched::running();
    if g.is_null() {
        core::ptr::null_mut()
    } else {
        // SAFETY: the running goroutine's header is valid.
        unsafe { (*g).local.get() }
    }
}

/// The memory above the running goroutine's stack that belongs to it and that nobody uses, and its size in bytes: 16-aligned, on a page that is in
/// use, good until the goroutine ends. Less than a page, often nothing. Null outside.
#[inline]
pub fn above_stack() -> (*mut u8, usize) {
    let g = sched::running();
    if g.is_null() {
        return (core::ptr::null_mut(), 0);
    }
    // SAFETY: the running goroutine's header is valid, and it has a stack.
    unsafe { (*g).stack.get().above() }
}

/// Sets it. Nothing happens outside goroutines.
pub fn local_set(p: *mut c_void) {
    let g = sched::running();
    if !g.is_null() {
        // SAFETY: as above.
        unsafe { (*g).local.set(p) };
    }
}

// ---- runtime -------------------------------------------------------------------------------------

/// Runs `f(arg)` as a main goroutine on the calling thread.
///
/// # Errors
/// `Deadlock`, `Perm` from a goroutine, `Shutdown`, `NoMemory`, `Os`; `Panic` if `f` panicked and the panic hook let the
/// rest go on.
///
/// # Safety
/// `f(arg)` is sound to call on this thread.
pub unsafe fn run_c(f: unsafe extern "C-unwind" fn(*mut c_void) -> c_int, arg: *mut c_void) -> Result<c_int> {
    // SAFETY: by the caller.
    let main = || {
        // SAFETY: by the caller.
        let code = unsafe { f(arg) };
        crate::defer::finish();
        code
    };
    match runtime::run_main(0, NO_UNWIND, main)? {
        Ok(code) => Ok(code),
        Err(_) => Err(Error::Panic), // reported already
    }
}

/// Runs `f` as a main goroutine of a class on the calling thread. A panic goes on in the caller.
///
/// # Errors
/// As `run_c`.
pub fn run_class<R>(class: u8, f: impl FnOnce() -> R) -> Result<R> {
    match runtime::run_main(class, 0, f)? {
        Ok(r) => Ok(r),
        Err(p) => std::panic::resume_unwind(p),
    }
}

/// Ends the process with a line that says what is wrong. Rule P-15: nothing catches it.
pub fn fatal(what: &str) -> ! {
    crate::sys::fatal(what)
}

/// Undoes one `hold`. False: there was none.
pub fn release() -> bool {
    runtime::release()
}

/// Sets how many goroutines run at once; 0 only asks. Returns the former number.
///
/// # Errors
/// `Invalid` above 4096, `Shutdown`.
pub fn workers(n: u32) -> Result<u32> {
    Ok(runtime::workers(n)?)
}

/// Waits for all goroutines until `deadline`, then stops the workers for good.
///
/// # Errors
/// `TimedOut` if goroutines were left, with `NOWAIT` `WouldBlock`; `Perm` from a goroutine, `Shutdown` if it was done before.
pub fn shutdown(deadline: Time) -> Result<()> {
    match runtime::shutdown_by(deadline) {
        Err(RuntimeError::TimedOut) if deadline == NOWAIT => Err(Error::WouldBlock),
        done => Ok(done?),
    }
}

/// Runs `f(arg)` on a helper thread while the caller waits.
///
/// # Errors
/// `Os` if no helper thread could be started; `Perm` on a helper thread; `Shutdown`.
///
/// # Safety
/// `f(arg)` is sound to call on another thread.
pub unsafe fn blocking_c(f: CFn, arg: *mut c_void) -> Result<()> {
    struct Arg(*mut c_void);
    // SAFETY: by the caller.
    unsafe impl Send for Arg {}
    if sched::in_helper() {
        return Err(Error::Perm);
    }
    runtime::ensure_started()?;
    let edge = 0_u8; // an address of this call's own, for both edges
    let job = Arg(arg);
    let addr = Arg((&raw const edge).cast_mut().cast());
    sanitize::release(addr.0.cast_const().cast());
    let done = sched::blocking::call(move || {
        let (job, addr) = (job, addr);
        sanitize::acquire(addr.0.cast_const().cast());
        // SAFETY: by the caller.
        unsafe { f(job.0) };
        sanitize::release(addr.0.cast_const().cast());
    });
    sanitize::acquire((&raw const edge).cast());
    done.map_err(Error::Os)
}

/// Registers the hooks of a host class (1 to 3).
pub fn set_host(class: u8, hooks: &'static HostHooks) {
    sched::host::set(class, hooks);
}

/// Gives the goroutine its OS thread for itself; nests. Nothing happens outside goroutines.
pub fn lock_thread() {
    sched::exclusive::lock();
}

/// Undoes one `lock_thread`.
pub fn unlock_thread() {
    sched::exclusive::unlock();
}
