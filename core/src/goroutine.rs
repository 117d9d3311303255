//! `G`, the header of a goroutine, and the arena the headers live in.
//!
//! *Where it sits*: layer 2. The scheduler creates, runs and recycles headers; channels and
//! timers reach the wait node, the waiter and the timer node that are embedded here.
//!
//! A header is 256 bytes, four cache lines ordered by who touches them: what a switch needs, what
//! a wait needs, what the first run needs, what timers and dumps need. Headers live in chunks that
//! are never moved and never unmapped while the runtime runs, so a dump may look at any header at
//! any time; the goroutine's stack holds nothing but the goroutine's own frames.
//!
//! # State
//!
//! `Free → Runnable → Running ⇄ {Runnable, Waiting, Blocked} → Dead → Free`. The state word is for
//! dumps and statistics; who may run a goroutine is decided by the queues alone.
//!
//! # Invariants
//!
//! * **G1** A header is in at most one of: a run queue, a wait (its waiter), a worker's `current`,
//!   a free list, or a finished-but-joinable state owned by its `JoinHandle`.
//! * **G2** `on_cpu` is true from the moment a worker decides to run the goroutine until its
//!   context is completely saved; only the context that runs next on that worker clears it.
//! * **G3** `home` is set once, at the first run of a pinned goroutine, and never changes.
//! * **G4** `link` belongs to whoever holds the header in a queue; nobody else touches it.
//!
//! # Orderings
//!
//! The hand-over of the saved words and the stack to the next worker is `oncpu.rs`.

use crate::arch::Context;
use crate::cell::{AtomicI64, AtomicPtr, AtomicU64, AtomicU8, AtomicUsize, Ordering};
use crate::defer::Frames;
use crate::list::Linked;
use crate::oncpu::OnCpu;
use crate::sys;
use crate::timers::TimerNode;
use crate::wait::{Node, Outcome, Waiter};
use cells::{ClassCell, SiteCell, StackCell};
use core::any::Any;
use core::cell::Cell;
use core::ffi::c_void;
use core::mem::{offset_of, size_of};
use core::ptr::{null_mut, NonNull};
use std::cell::UnsafeCell;
use std::sync::Arc;

pub mod arena;
mod cells;
mod debugger;
pub mod labels;

/// Words of closure or result that fit into the header.
pub const INLINE_WORDS: usize = 4;

/// What a goroutine does at the moment, as dumps show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// The header is not in use.
    Free,
    /// In a run queue.
    Runnable,
    /// On a worker.
    Running,
    /// Parked; `reason` says for what.
    Waiting,
    /// In a declared blocking section.
    Blocked,
    /// Finished; the header waits for its `JoinHandle`.
    Dead,
}

impl State {
    fn from_u8(v: u8) -> State {
        match v {
            1 => State::Runnable,
            2 => State::Running,
            3 => State::Waiting,
            4 => State::Blocked,
            5 => State::Dead,
            _ => State::Free,
        }
    }
}

pub use crate::reason::Reason;

/// Stays on its OS thread once started.
pub const PINNED: u8 = 1;
/// Has run before (it owns a stack and a saved context).
pub const STARTED: u8 = 2;
/// Borrows from the frame that started it (`scope.rs`).
pub const SCOPED: u8 = 4;
/// Its waits may be ended from outside (a host interpreter or a context): they need a claim.
pub const CANCELABLE: u8 = 8;
/// Ends by leaving its frames behind, not by unwinding (C goroutines).
pub const NO_UNWIND: u8 = 16;
/// Has an OS thread to itself.
pub const EXCLUSIVE: u8 = 32;
/// `goexit` was called; whatever catches the unwinding does not bring it back.
pub const EXITING: u8 = 64;

/// Bound to a context (in `Ext`): its waits end with it.
pub const BOUND: u8 = 128;

/// In place of a class: its `run` gave up on it, and it must never be resumed, for what it borrows may be gone. No thread is set up for
/// this class, so that a worker that is to switch to it goes to its loop, which drops it.
pub const GIVEN_UP: u8 = u8::MAX;

/// What a goroutine can be bound to: a context, of which this layer knows only how it ends waits.
pub trait Binding: Send + Sync {
    /// What the waits of bound goroutines end with; `None` while it is live.
    fn ended(&self) -> Option<Outcome>;
    /// `g` begins to be bound: from now on its waits are ended by a claim.
    fn bind(&self, g: *mut G);
    /// `g` is bound no more, before its header goes to others.
    fn unbind(&self, g: *mut G);
    /// `g`, which calls and is bound, waits as `wt` from now on: its own waiter, or that of the thread which it keeps for itself.
    fn wait_as(&self, g: *mut G, wt: *const Waiter);
    /// For whoever knows what it is.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// Rarely used attributes, allocated when one of them is set.
#[derive(Default)]
pub struct Ext {
    /// Shown in dumps.
    pub name: Option<Box<str>>,
    /// What it works for; changed under the names lock.
    pub labels: Option<Arc<labels::Labels>>,
    /// Runs last, with the goroutine's argument.
    pub on_exit: Option<(unsafe extern "C-unwind" fn(*mut c_void), usize)>,
    /// Deferred functions and calls that can be left (`defer.rs`).
    pub frames: Option<Box<Frames>>,
    /// What its waits end with.
    pub binding: Option<Arc<dyn Binding>>,
    /// `lock_thread` calls that are not undone.
    pub thread_locks: u32,
    /// It was migrating before the first of them, and becomes so again after the last.
    pub migrates: bool,
    /// Its panic is being reported.
    pub reporting: bool,
    /// The worker of the thread whose `run` it is the main goroutine of; see `runs::runner_of`.
    pub main_of: Option<NonNull<c_void>>,
    /// Name of the object it is parked on, valid while it waits; used under the names lock.
    pub wait_name: Option<*const str>,
}

/// Header of a goroutine. See the module's text for the fields' owners.
#[repr(C, align(64))]
pub struct G {
    // -- line 0: the switch
    /// Saved context while not running.
    pub ctx: UnsafeCell<Context>,
    /// Next in a queue (G4).
    pub link: UnsafeCell<*mut G>,
    /// Worker a pinned goroutine belongs to once started (G3).
    pub home: AtomicPtr<c_void>,
    /// G2.
    pub on_cpu: OnCpu,
    flags: AtomicU8,
    state: AtomicU8,
    reason: AtomicU8,
    /// Host class: 0 native, else an interpreter's goroutine.
    pub class: ClassCell,
    /// The `run` it belongs to, as whoever started it; 0: none. See `sched::runs`.
    pub run: Cell<u16>,
    /// Start of the present state, coarse monotonic nanoseconds.
    pub since: AtomicI64,
    // -- line 1: waiting
    /// The goroutine as a party of a wait.
    pub waiter: Waiter,
    /// Its membership in one wait queue.
    pub node: UnsafeCell<Node>,
    /// `JoinHandle` protocol, see `go.rs`.
    pub join: AtomicUsize,
    // -- line 2: the first run
    /// Its stack; none before the first run.
    pub stack: StackCell,
    /// What a sanitizer knows it by.
    pub fiber: Cell<*mut c_void>,
    /// Runs the goroutine's function.
    pub entry: Cell<unsafe fn(*mut G)>,
    /// Closure before, result after.
    pub inline: UnsafeCell<[usize; INLINE_WORDS]>,
    /// One word for a host interpreter.
    pub local: Cell<*mut c_void>,
    // -- line 3: timers and dumps
    /// Deadline of the present wait.
    pub timer: TimerNode,
    /// Rare attributes.
    pub ext: AtomicPtr<Ext>,
    /// Unique number; 0 while free.
    pub id: AtomicU64,
    /// Creator's number.
    pub parent: AtomicU64,
    /// Where it was created, if known.
    pub site: SiteCell,
}

const _: () = assert!(size_of::<G>() == 256);

// SAFETY: `link` returns the address of a field of `*p` that is used for nothing but queues (G4).
unsafe impl Linked for G {
    #[inline(always)]
    unsafe fn link(p: *mut G) -> *mut *mut G {
        // SAFETY: p is a header of the arena, which outlives every queue; only the address is formed.
        unsafe { (*p).link.get() }
    }
}

impl G {
    /// The goroutine a waiter is embedded in.
    ///
    /// # Safety
    /// `wt` must be the `waiter` field of a `G`.
    #[inline(always)]
    pub unsafe fn of_waiter(wt: *const Waiter) -> *mut G {
        // SAFETY: by the caller, wt lies offset_of!(G, waiter) bytes into a G.
        unsafe { wt.cast::<u8>().sub(offset_of!(G, waiter)).cast::<G>().cast_mut() }
    }

    /// The goroutine a timer node is embedded in.
    ///
    /// # Safety
    /// `t` must be the `timer` field of a `G`.
    #[inline(always)]
    pub unsafe fn of_timer(t: *const TimerNode) -> *mut G {
        // SAFETY: by the caller, t lies offset_of!(G, timer) bytes into a G.
        unsafe { t.cast::<u8>().sub(offset_of!(G, timer)).cast::<G>().cast_mut() }
    }

    /// What it does, for dumps.
    pub fn state(&self) -> State {
        State::from_u8(self.state.load(Ordering::Relaxed))
    }

    /// Why it is parked, for dumps.
    pub fn reason(&self) -> Reason {
        Reason::from_u8(self.reason.load(Ordering::Relaxed))
    }

    /// Notes a new state.
    #[inline(always)]
    pub fn set_state(&self, s: State) {
        self.state.store(s as u8, Ordering::Relaxed);
    }

    /// Notes that it parks.
    #[inline(always)]
    pub fn set_waiting(&self, r: Reason) {
        self.reason.store(r as u8, Ordering::Relaxed);
        self.state.store(State::Waiting as u8, Ordering::Relaxed);
    }

    /// Whether a flag is set.
    #[inline(always)]
    pub fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    /// Whether it can only run on its home worker now.
    #[inline(always)]
    pub fn is_bound(&self) -> bool {
        const B: u8 = PINNED | STARTED;
        self.flags.load(Ordering::Relaxed) & B == B
    }

    /// Sets flags. Only the goroutine's present owner (G1) does so, hence no read-modify-write.
    #[inline(always)]
    pub fn set_flags(&self, f: u8) {
        self.flags.store(self.flags.load(Ordering::Relaxed) | f, Ordering::Relaxed);
    }

    /// Clears flags; same owner rule.
    #[inline(always)]
    pub fn clear_flags(&self, f: u8) {
        self.flags.store(self.flags.load(Ordering::Relaxed) & !f, Ordering::Relaxed);
    }

    /// Replaces all flags of a header that is being set up.
    #[inline(always)]
    pub fn reset_flags(&self, f: u8) {
        self.flags.store(f, Ordering::Relaxed);
    }

    /// The rare attributes, created on demand.
    ///
    /// # Safety
    /// By the present owner of the header only (G1), one reference at a time.
    #[allow(clippy::mut_from_ref)] // headers are shared with dumps, which read `ext` under the lock of names
    pub unsafe fn ext_mut(&self) -> &mut Ext {
        let mut p = self.ext.load(Ordering::Relaxed);
        if p.is_null() {
            p = Box::into_raw(Box::default());
            // Release: pairs with the Acquire in `name`, so that a dump sees the initialised box.
            self.ext.store(p, Ordering::Release);
        }
        // SAFETY: by G1 only the present owner of the header changes `ext`, and it is boxed.
        unsafe { &mut *p }
    }

    /// The rare attributes, if there are any.
    ///
    /// # Safety
    /// Called by the present owner, who does not change them while the reference is used.
    pub unsafe fn ext_ref(&self) -> Option<&Ext> {
        // SAFETY: by the caller.
        unsafe { self.ext.load(Ordering::Relaxed).as_ref() }
    }

    /// Binds the goroutine to `to`, or to nothing; returns what it was bound to.
    ///
    /// # Safety
    /// Called by the present owner of the header: whoever sets it up, or the running goroutine itself.
    pub unsafe fn rebind(&self, to: Option<Arc<dyn Binding>>) -> Option<Arc<dyn Binding>> {
        let g = (&raw const *self).cast_mut();
        // SAFETY: by the caller.
        let old = unsafe {
            match &to {
                Some(b) => {
                    b.bind(g);
                    self.set_flags(BOUND | CANCELABLE);
                }
                None => self.clear_flags(if self.class.get() == 0 { BOUND | CANCELABLE } else { BOUND }),
            }
            core::mem::replace(&mut self.ext_mut().binding, to)
        };
        if let Some(b) = &old {
            let same = self.binding().is_some_and(|n| core::ptr::addr_eq(Arc::as_ptr(b), Arc::as_ptr(&n)));
            if !same {
                b.unbind(g);
            }
        }
        old
    }

    /// The goroutine is about to end: it lets go of its context, while it can still run whatever that drops.
    #[inline(always)]
    pub fn let_go(&self) {
        if self.has(BOUND) {
            // SAFETY: called by the goroutine itself.
            drop(unsafe { self.rebind(None) });
        }
    }

    /// What it is bound to. Called by the present owner of the header.
    pub fn binding(&self) -> Option<Arc<dyn Binding>> {
        if !self.has(BOUND) {
            return None;
        }
        // SAFETY: the attributes of a bound goroutine exist, and only their owner, who calls, changes them.
        unsafe { (*self.ext.load(Ordering::Relaxed)).binding.clone() }
    }

    /// How the context it is bound to has ended, if it has. Called by the goroutine itself.
    #[cold]
    pub fn bound_end(&self) -> Option<Outcome> {
        // SAFETY: as in `binding`; borrowed, not cloned: this is on the way of every wait.
        unsafe { (*self.ext.load(Ordering::Relaxed)).binding.as_ref().and_then(|b| b.ended()) }
    }

    /// Its wait was ended by its context or its host: what the one who ended it did before comes before what it does now (HB-13).
    #[cold]
    pub fn look_at_end(&self) {
        if self.has(BOUND) {
            let _ = self.bound_end();
        }
    }

    /// Frees the rare attributes of a finished goroutine.
    #[inline(always)]
    pub fn drop_ext(&self) {
        if !self.ext.load(Ordering::Relaxed).is_null() {
            self.drop_ext_slow();
        }
    }

    #[cold]
    fn drop_ext_slow(&self) {
        let _names = arena::names_lock();
        let p = self.ext.swap(null_mut(), Ordering::Relaxed);
        // SAFETY: p came from Box::into_raw in `ext_mut`; the swap made us its only owner, and dumps
        // read it under the names lock only.
        drop(unsafe { Box::from_raw(p) });
    }

    /// Names it. A dump may be looking at whoever had the header before.
    ///
    /// # Safety
    /// Called by the present owner of the header.
    pub unsafe fn set_name(&self, name: Box<str>) {
        // SAFETY: by the caller; dumps read the name under the lock.
        unsafe {
            let ext = self.ext_mut();
            let _names = arena::names_lock();
            ext.name = Some(name);
        }
    }

    /// Notes the name of the object it is about to wait for, or that the wait is over.
    ///
    /// # Safety
    /// Called by the goroutine itself; `name` stays valid until it is replaced.
    pub unsafe fn set_wait_name(&self, name: Option<*const str>) {
        // SAFETY: the goroutine owns its attributes; dumps read this one under the lock.
        unsafe {
            let ext = self.ext_mut();
            let _names = arena::names_lock();
            ext.wait_name = name;
        }
    }

    /// Name of the object it waits for, empty if unknown.
    pub fn wait_name(&self) -> String {
        let _names = arena::names_lock();
        // Acquire: pairs with the Release store in `ext_mut`.
        let p = self.ext.load(Ordering::Acquire);
        // SAFETY: freed only under the names lock, which we hold; a name that is noted is valid.
        unsafe { p.as_ref().and_then(|e| e.wait_name).map_or_else(String::new, |n| (*n).to_owned()) }
    }

    /// Its name, empty if it has none.
    pub fn name(&self) -> String {
        let _names = arena::names_lock();
        // Acquire: pairs with the Release store in `ext_mut`.
        let p = self.ext.load(Ordering::Acquire);
        if p.is_null() {
            return String::new();
        }
        // SAFETY: freed only under the names lock, which we hold.
        unsafe { (*p).name.as_deref().unwrap_or("").to_owned() }
    }
}
