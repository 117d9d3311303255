//! The first and the last moments of a goroutine: its header, its function, its result.
//!
//! *Where it sits*: layer 3, over `sched::spawn` and `sched::wait`; below the public faces of `go`, `scope` and `raw`.
//!
//! A closure of up to 32 bytes travels in the goroutine's header, as does its result; larger ones are boxed. So a
//! goroutine costs no allocation beyond its pooled header and stack.
//!
//! # State
//!
//! The header's `join` word: `Running → Done`, with `Detached` (no handle is left) or the address of the joiner's
//! waiter in between. A joiner that may leave before is queued elsewhere, see `joiners.rs`.
//!
//! # Invariants
//!
//! * **J1** The header belongs to the goroutine until it stores Done, then to the handle. If the handle was
//!   dropped before, the goroutine frees the header; else the handle does.
//! * **J2** The result is in the header from before Done until the handle takes or drops it.
//! * **J5** A goroutine in the slot in front of a queue does not run, so whoever has that queue may store
//!   Detached without an exchange: neither Done nor a joiner can come in between. Nearly every handle that is dropped is dropped right
//!   after the start, by the worker whose slot it is.
//!
//! # Orderings
//!
//! Done is stored with Release (in an AcqRel swap) and read with Acquire: the result is visible to the joiner.

use crate::cell::Ordering;
use crate::errno::Errno;
use crate::goroutine::{arena, Binding, Reason, State, BOUND, EXCLUSIVE, G, INLINE_WORDS, NO_UNWIND, PINNED};
use crate::panic::{self, Payload};
use crate::sched::worker::Worker;
use crate::sched::{self, worker};
use crate::stack::{self, Stack};
use crate::timers::CFn;
use crate::wait::Waiter;
use crate::{defer, dump, runtime};
use core::ffi::c_void;
use core::mem::{align_of, size_of};
use core::ptr::null_mut;
use std::io;
use std::panic::Location;
use std::sync::Arc;

pub(crate) mod joiners;

const RUNNING: usize = 0;
const DETACHED: usize = 1;
const DONE: usize = 2;
/// A joiner that may leave is queued for the goroutine (`joiners.rs`).
const WATCHED: usize = 3;

/// What a new goroutine is given besides its function.
#[derive(Default)]
pub(crate) struct Attributes {
    pub name: Option<Box<str>>,
    pub stack_size: usize,
    pub flags: u8,
    pub class: u8,
    pub site: Option<&'static Location<'static>>,
    pub binding: Option<Arc<dyn Binding>>,
    pub labels: Vec<(String, String)>,
}

/// A header for a new goroutine, set up except for its entry.
pub(crate) fn new_g(a: Attributes) -> Result<*mut G, StartError> {
    runtime::ensure_started()?; // before anybody asks for the default size, which fixes it
    let size = if a.stack_size == 0 && a.class != 0 { host_stack(a.class) } else { a.stack_size };
    let own = if size != 0 && size != stack::default_size() {
        stack::get_sized(size).map_err(|e| StartError::Os(Errno(e.0)))?
    } else {
        Stack::none()
    };
    let g = plain_g(worker::current(), a.flags, a.site).inspect_err(|_| {
        if !own.is_none() {
            stack::put_sized(own);
        }
    })?;
    // SAFETY: a fresh header is ours alone (G1).
    unsafe {
        (*g).stack.set(own);
        if a.class != 0 {
            sched::host::join(&*g, a.class);
        }
        if let Some(name) = a.name {
            (*g).set_name(name);
        }
        if !a.labels.is_empty() {
            (*g).add_labels(a.labels);
        }
        if a.binding.is_some() {
            drop((*g).rebind(a.binding));
        }
    }
    Ok(g)
}

/// The same for a goroutine with nothing but flags: what nearly all are. `w` is the caller's worker.
#[inline]
fn plain_g(w: Option<&Worker>, flags: u8, site: Option<&'static Location<'static>>) -> Result<*mut G, StartError> {
    runtime::ensure_started()?;
    runtime::count_start()?;
    let (taken, creator) = match w {
        Some(w) => (w.take_g(), w.current.get()),
        None => (arena::take_one(), null_mut()),
    };
    let g = taken.inspect_err(|_| runtime::count_end())?;
    // SAFETY: a free header is ours alone (G1); the creator is the running goroutine, whose header is valid.
    unsafe {
        (*g).id.store(w.map_or_else(|| sched::take_ids(1), Worker::next_id), Ordering::Relaxed);
        (*g).reset_flags(flags);
        (*g).join.store(RUNNING, Ordering::Relaxed);
        (*g).local.set(null_mut());
        (*g).site.set(site);
        (*g).since.store(sched::monitor::coarse_now(), Ordering::Relaxed);
        let (parent, run) =
            if creator.is_null() { (0, 0) } else { ((*creator).id.load(Ordering::Relaxed), (*creator).run.get()) };
        (*g).parent.store(parent, Ordering::Relaxed);
        (*g).run.set(run);
        (*g).inherit_labels(creator);
    }
    Ok(g)
}

fn host_stack(class: u8) -> usize {
    sched::host::get(class).map_or(0, |h| h.stack_size)
}

fn give_back(g: *mut G) {
    // SAFETY: ours, and used by nobody.
    unsafe { (*g).id.store(0, Ordering::Relaxed) };
    match worker::current() {
        Some(w) => w.give_g(g),
        // SAFETY: as above.
        None => unsafe { arena::give(g, 1) },
    }
}

/// Why a goroutine could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartError {
    /// The system gave no memory or no thread.
    Os(Errno),
    /// The runtime was shut down, or this is a forked child.
    Shutdown,
    /// The configured number of goroutines is reached.
    Limit,
}

impl From<Errno> for StartError {
    fn from(e: Errno) -> StartError {
        StartError::Os(e)
    }
}

impl From<StartError> for io::Error {
    fn from(e: StartError) -> io::Error {
        match e {
            StartError::Os(e) => io::Error::from_raw_os_error(e.0),
            StartError::Shutdown => io::Error::other("the runtime is shut down"),
            StartError::Limit => io::Error::other("the configured number of goroutines is reached"),
        }
    }
}

// ---- values in the header ------------------------------------------------------------------------

const fn fits<V>() -> bool {
    size_of::<V>() <= INLINE_WORDS * size_of::<usize>() && align_of::<V>() <= align_of::<usize>()
}

/// Moves `v` into the header.
///
/// # Safety
/// The header's inline words hold nothing, and belong to the caller.
unsafe fn put<V>(g: *mut G, v: V) {
    // SAFETY: by the caller; `fits` guarantees size and alignment.
    unsafe {
        let p = (*g).inline.get();
        if fits::<V>() {
            p.cast::<V>().write(v);
        } else {
            p.cast::<*mut V>().write(Box::into_raw(Box::new(v)));
        }
    }
}

/// Moves the value out of the header.
///
/// # Safety
/// `put::<V>` was the last one to use the inline words, and the caller owns them.
unsafe fn take<V>(g: *mut G) -> V {
    // SAFETY: by the caller.
    unsafe {
        let p = (*g).inline.get();
        if fits::<V>() {
            p.cast::<V>().read()
        } else {
            *Box::from_raw(p.cast::<*mut V>().read())
        }
    }
}

/// Entry of a goroutine that runs `F` and keeps what it returns for its handle.
unsafe fn entry<F: FnOnce() -> T, T>(g: *mut G) {
    // SAFETY: `start` put an F there; the goroutine owns its header (J1).
    unsafe {
        let f: F = take(g);
        let result = panic::body_of(&*g, f);
        if (*g).join.load(Ordering::Relaxed) == DETACHED {
            drop_result(g, result);
            return;
        }
        put::<Result<T, Payload>>(g, result);
        (*g).entry.set(entry_drop::<T>);
    }
}

/// Entry of the goroutine that drops the result of another whose handle went away at the last moment.
unsafe fn entry_drop<T>(g: *mut G) {
    // SAFETY: the header holds that result (J2), and is detached.
    unsafe {
        let result: Result<T, Payload> = take(g);
        drop_result(g, result);
    }
}

unsafe fn drop_result<T>(g: *mut G, result: Result<T, Payload>) {
    let end = match result {
        Ok(v) => panic::contain(move || drop(v)),
        Err(p) => Err(p),
    };
    if let Err(p) = end {
        // SAFETY: g is the running goroutine.
        panic::unhandled(unsafe { &*g }, p);
    }
}

/// The goroutine `g` has left its function: hands the header to its handle or frees it (J1).
///
/// # Safety
/// Called by `sched::end` as the last use of the header.
#[inline(always)]
pub(crate) unsafe fn retire(w: &Worker, g: *mut G) {
    // SAFETY: ours until Done is stored.
    unsafe {
        (*g).set_state(State::Dead);
        runtime::count_end();
        if (*g).join.load(Ordering::Relaxed) == DETACHED {
            (*g).set_state(State::Free);
            w.give_g(g);
            return;
        }
        // AcqRel: Release publishes the result (J2); Acquire pairs with the joiner's or the dropper's swap.
        match (*g).join.swap(DONE, Ordering::AcqRel) {
            RUNNING => {}
            DETACHED => respawn_dropper(w, g),
            WATCHED => joiners::tell(g),
            wt => {
                let wt = wt as *const Waiter;
                // A registered joiner waits for us alone: finding it is the claim (W1).
                sched::ready(wt);
            }
        }
    }
}

/// The handle went away after the goroutine had stored its result: user code must drop it, so a goroutine does.
#[cold]
unsafe fn respawn_dropper(w: &Worker, g: *mut G) {
    // SAFETY: the header is ours again: the handle is gone and the goroutine has ended.
    unsafe {
        (*g).join.store(DETACHED, Ordering::Relaxed);
        (*g).id.store(w.next_id(), Ordering::Relaxed);
        (*g).reset_flags(PINNED);
        runtime::count_again();
        sched::spawn(g);
    }
}

/// Starts `f`; the header belongs to the caller as a handle, which ends with `take_result` or `detach` (J1). Returns the number as well.
#[inline]
pub(crate) fn start<F, T>(a: Attributes, f: F) -> Result<(*mut G, u64), (StartError, F)>
where
    F: FnOnce() -> T,
{
    match new_g(a) {
        // SAFETY: a fresh header.
        Ok(g) => Ok(unsafe { launch(worker::current(), g, f) }),
        Err(e) => Err((e, f)),
    }
}

/// The same with nothing but flags.
#[inline]
pub(crate) fn start_plain<F, T>(flags: u8, site: &'static Location<'static>, f: F) -> Result<(*mut G, u64), StartError>
where
    F: FnOnce() -> T,
{
    let w = worker::current();
    let g = plain_g(w, flags, Some(site))?;
    // SAFETY: a fresh header.
    let started = unsafe { launch(w, g, f) };
    sched::checkpoint_of_starter(w);
    Ok(started)
}

/// Makes `g` run `f`, with a handle.
///
/// # Safety
/// `g` is fresh and the caller's; `w` is the caller's worker.
#[inline(always)]
unsafe fn launch<F: FnOnce() -> T, T>(w: Option<&Worker>, g: *mut G, f: F) -> (*mut G, u64) {
    // SAFETY: by the caller, until spawned.
    unsafe {
        let id = (*g).id.load(Ordering::Relaxed);
        put(g, f);
        (*g).entry.set(entry::<F, T>);
        sched::spawn_on(w, g);
        (g, id)
    }
}

/// Whether the goroutine of a handle has ended.
///
/// # Safety
/// `g` is a handle's header.
pub(crate) unsafe fn is_done(g: *mut G) -> bool {
    // Acquire: pairs with the Release in `retire`, so that whoever sees true sees what it did.
    // SAFETY: by the caller.
    unsafe { (*g).join.load(Ordering::Acquire) == DONE }
}

/// Waits for the end of a handle's goroutine; takes its result and frees the header.
///
/// # Safety
/// `g` is a handle's header, of a goroutine started with this `T`, and is not used afterwards.
pub(crate) unsafe fn take_result<T>(g: *mut G) -> Result<T, Payload> {
    // SAFETY: by the caller.
    unsafe {
        wait_done(g);
        let result: Result<T, Payload> = take(g);
        (*g).set_state(State::Free);
        give_back(g);
        result
    }
}

/// Gives a handle up: the goroutine's result is dropped, now or when it ends.
///
/// # Safety
/// As for `take_result`.
pub(crate) unsafe fn detach<T>(g: *mut G) {
    // SAFETY: by the caller.
    unsafe {
        if sched::while_next(g, || (*g).join.store(DETACHED, Ordering::Relaxed)) {
            return; // J5
        }
        // AcqRel: Acquire pairs with the Release in `retire` (we drop the result); Release for the reverse.
        if (*g).join.swap(DETACHED, Ordering::AcqRel) == DONE {
            let result: Result<T, Payload> = take(g);
            (*g).set_state(State::Free);
            give_back(g);
            drop(result);
        }
    }
}

/// Starts `f`, detached; says so on standard error if it cannot. For functions that nobody waits for.
pub(crate) fn spawn_or_say(a: Attributes, f: impl FnOnce()) {
    match start(a, f) {
        // SAFETY: the handle is given up.
        Ok((g, _)) => unsafe { detach::<()>(g) },
        Err((e, _)) => could_not(e),
    }
}

fn could_not(e: StartError) {
    dump::notice(&format!("a function that was to run later could not be started: {}", io::Error::from(e)));
}

/// Makes a fresh header run `f`, detached.
///
/// # Safety
/// `g` is fresh and the caller's; what `f` borrows outlives the goroutine or is never touched again.
pub(crate) unsafe fn prepare_detached<F: FnOnce()>(g: *mut G, f: F) {
    // SAFETY: by the caller.
    unsafe {
        put(g, f);
        (*g).join.store(DETACHED, Ordering::Relaxed);
        (*g).entry.set(entry::<F, ()>);
    }
}

/// Starts a C function, detached.
///
/// # Safety
/// `f(arg)` may be called on another thread; it does not unwind unless through frames that allow it.
pub(crate) unsafe fn start_c(
    a: Attributes,
    f: unsafe extern "C-unwind" fn(*mut c_void),
    arg: *mut c_void,
    on_exit: Option<unsafe extern "C-unwind" fn(*mut c_void)>,
) -> Result<u64, StartError> {
    let a = Attributes { flags: a.flags | NO_UNWIND, ..a };
    let g = new_g(a)?;
    // SAFETY: a fresh header, ours until spawned.
    unsafe {
        if let Some(h) = on_exit {
            (*g).ext_mut().on_exit = Some((h, arg as usize));
        }
        Ok(launch_c(worker::current(), g, f, arg))
    }
}

/// The same with nothing asked for: a migrating goroutine.
///
/// # Safety
/// As for `start_c`.
#[inline]
pub(crate) unsafe fn start_c_plain(
    f: unsafe extern "C-unwind" fn(*mut c_void),
    arg: *mut c_void,
) -> Result<u64, StartError> {
    let w = worker::current();
    let g = plain_g(w, NO_UNWIND, None)?;
    // SAFETY: a fresh header.
    let id = unsafe { launch_c(w, g, f, arg) };
    sched::checkpoint_of_starter(w);
    Ok(id)
}

/// Makes `g` run `f`, detached; returns its number.
///
/// # Safety
/// As for `launch`, and for `start_c`.
#[inline(always)]
unsafe fn launch_c(
    w: Option<&Worker>,
    g: *mut G,
    f: unsafe extern "C-unwind" fn(*mut c_void),
    arg: *mut c_void,
) -> u64 {
    // SAFETY: by the caller, until spawned.
    unsafe {
        let id = (*g).id.load(Ordering::Relaxed);
        put(g, (f, arg));
        (*g).join.store(DETACHED, Ordering::Relaxed);
        (*g).entry.set(entry_c);
        sched::spawn_on(w, g);
        id
    }
}

/// As `start_c` with a copy of `size` bytes at `args`, which lie at the base of the new goroutine's own stack.
///
/// # Safety
/// As for `start_c`; `args` points to `size` readable bytes.
pub(crate) unsafe fn start_c_copy(
    f: unsafe extern "C-unwind" fn(*mut c_void),
    args: *const u8,
    size: usize,
    flags: u8,
) -> Result<u64, StartError> {
    type Fun = unsafe extern "C-unwind" fn(*mut c_void);
    type Copy = Vec<u128>;
    unsafe fn entry_inline(g: *mut G) {
        // SAFETY: the words were put there below. The copy lives in this frame, at the base of the stack.
        unsafe {
            let (f, mut words): (Fun, [usize; INLINE_WORDS - 1]) = take(g);
            f((&raw mut words).cast());
            defer::finish();
        }
    }
    // Frees the copy as the goroutine's last act, however it ends.
    unsafe extern "C-unwind" fn free_copy(copy: *mut c_void) {
        // SAFETY: made below, and this is called once.
        drop(unsafe { Box::from_raw(copy.cast::<Copy>()) });
    }
    let g = new_g(Attributes { flags: flags | NO_UNWIND, ..Attributes::default() })?;
    // SAFETY: a fresh header, ours until spawned; the sizes are checked by the branches.
    unsafe {
        let id = (*g).id.load(Ordering::Relaxed);
        if size <= (INLINE_WORDS - 1) * size_of::<usize>() {
            let mut words = [0usize; INLINE_WORDS - 1];
            core::ptr::copy_nonoverlapping(args, words.as_mut_ptr().cast(), size);
            put(g, (f, words));
            (*g).entry.set(entry_inline);
        } else {
            let mut bytes: Copy = vec![0u128; size.div_ceil(size_of::<u128>())];
            core::ptr::copy_nonoverlapping(args, bytes.as_mut_ptr().cast(), size);
            let first = bytes.as_mut_ptr().cast::<c_void>();
            (*g).ext_mut().on_exit = Some((free_copy, Box::into_raw(Box::new(bytes)) as usize));
            put(g, (f, first));
            (*g).entry.set(entry_c);
        }
        (*g).join.store(DETACHED, Ordering::Relaxed);
        sched::spawn(g);
        Ok(id)
    }
}

unsafe fn entry_c(g: *mut G) {
    // SAFETY: `start_c` put function and argument there.
    unsafe {
        let (f, arg): (unsafe extern "C-unwind" fn(*mut c_void), *mut c_void) = take(g);
        if (*g).has(EXCLUSIVE) {
            sched::exclusive::lock();
        }
        f(arg);
        if !(*g).ext.load(Ordering::Relaxed).is_null() {
            defer::finish();
            call_on_exit(g);
        }
    }
}

unsafe fn call_on_exit(g: *mut G) {
    // SAFETY: the running goroutine owns its attributes.
    unsafe {
        if (*g).ext.load(Ordering::Relaxed).is_null() {
            return;
        }
        if let Some((h, arg)) = (*g).ext_mut().on_exit.take() {
            h(arg as *mut c_void);
        }
    }
}

/// Ends a C goroutine from anywhere on its stack.
///
/// # Safety
/// `g` is the running goroutine and was started by `start_c`; its frames are left behind.
pub(crate) unsafe fn end_c(g: *mut G) -> ! {
    // SAFETY: by the caller.
    unsafe {
        call_on_exit(g);
        let_go(g);
        sched::end(g)
    }
}

/// The running goroutine `g` ends and lets go of its context. With that may go values of users, whose drop may panic.
///
/// # Safety
/// `g` is the running goroutine.
#[inline(always)]
pub(crate) unsafe fn let_go(g: *mut G) {
    // SAFETY: by the caller.
    let g = unsafe { &*g };
    if g.has(BOUND) {
        if let Err(p) = panic::contain(|| g.let_go()) {
            panic::unhandled(g, p);
        }
    }
}

/// Waits until `g` is done. Not cancelable: there is one party.
unsafe fn wait_done(g: *mut G) {
    // SAFETY: the header is valid until the handle gives it back.
    unsafe {
        if is_done(g) {
            return;
        }
        let wt = sched::me();
        (*wt).begin_single();
        // AcqRel: Release publishes the begun wait to `retire`; Acquire on failure sees the result.
        if (*g).join.compare_exchange(RUNNING, wt as usize, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            sched::wait(wt, Reason::Join, i64::MAX);
        }
    }
}

/// Runs a timer's function in a goroutine of its own.
///
/// # Safety
/// Whoever made the timer vouches for function and argument.
pub(crate) unsafe fn spawn_call(f: CFn, arg: *mut c_void) {
    crate::sanitize::acquire(arg.cast_const().cast()); // HB-12: who armed it has told what came before
    let a = Attributes::default();
    // SAFETY: by the caller.
    if let Err(e) = unsafe { start_c(a, f, arg, None) } {
        could_not(e);
    }
}
