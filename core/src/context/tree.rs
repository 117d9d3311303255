//! The tree of contexts: cancellation, deadlines, values, and the goroutines that are bound to them.
//!
//! *Where it sits*: layer 4, over timers, channels and the scheduler's verbs. The Rust face is `context/mod.rs`; the C face
//! holds [`Ctx`] pointers. Rules.
//!
//! # State
//!
//! A node is live or ended, once and for all. `err` says how it ended and is read without a lock; all else is under the node's
//! lock.
//!
//! # Invariants
//!
//! - **X1** The first end wins: `err` and the cause are written once, under the lock.
//! - **X2** The done channels are closed before `err` is stored: whoever sees an error finds them closed. Before they are
//!   closed `err` says that an end is under way, and who asks then waits for it: whoever sees them closed finds the error.
//! - **X3** A live node is registered with its parents, if they can end; it leaves when everything below it has ended. Then it
//!   holds no children, no bound goroutines, no timer and no second parent.
//! - **X4** A bound goroutine's wait is ended by a claim under the node's lock. The goroutine leaves the list under the same
//!   lock when it ends, so its header is its own while it is claimed. One that keeps its thread, in a section, waits as the
//!   thread, and says so under this lock before it sleeps and after; whoever is claimed does not leave before it is told.
//! - **X5** Locks are never nested: a parent tells its children after it has released its own.
//! - **X6** Whoever ends a node that others are ending already helps: it ends all that is still registered below it. So when
//!   `cancel` returns, to whomever, everything below has ended.
//!
//! A merged node has two parents: the tree is one for values only, and a node may be reached on several ways. Trees may be deep:
//! ending one and dropping one walk a list and do not recurse, and visit a node once.
//!
//! # Orderings
//!
//! A bound goroutine stores "I wait" (the claim word) and then looks at `err`; who ends the context stores `err` and then tries
//! the claim. Full fences on both sides: one of them sees the other, so no cancellation is missed.

use crate::cell::{fence, AtomicU8, Ordering};
use crate::chan::{ByteChan, Error};
use crate::rank::Rank;
use crate::sys;
use crate::timers::{self, CFn, Due, TimerNode};
use crate::wait::{Outcome, Waiter};
use core::ffi::c_void;
use std::collections::{HashMap, HashSet};
use std::mem::offset_of;
use std::sync::{Arc, OnceLock, Weak};

mod bound;

use bound::Woken;

/// How a context ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was cancelled.
    Canceled,
    /// Its deadline passed.
    DeadlineExceeded,
}

impl End {
    fn from_u8(v: u8) -> Option<End> {
        match v {
            1 => Some(End::Canceled),
            2 => Some(End::DeadlineExceeded),
            _ => None,
        }
    }

    /// What a blocking call of a bound goroutine returns.
    pub fn outcome(self) -> Outcome {
        match self {
            End::Canceled => Outcome::Cancelled,
            End::DeadlineExceeded => Outcome::TimedOut,
        }
    }
}

/// In place of an end while it is under way, under the node's lock.
const ENDING: u8 = 3;

/// Why a context ended, as given by who ended it.
#[derive(Clone, Debug)]
pub enum Cause {
    /// No more than the end itself.
    None,
    /// A number, as C gives it.
    Code(i32),
    /// An error, as Rust gives it.
    Error(Arc<dyn std::error::Error + Send + Sync>),
}

/// Called when a context ends.
pub type Hook = Box<dyn FnOnce() + Send>;

/// A value of a context: found by its key.
pub struct Value {
    /// Compared by identity.
    pub key: usize,
    /// Who looks casts it back.
    pub value: Box<dyn std::any::Any + Send + Sync>,
}

/// When a context ends at the latest, and with which cause.
struct Limit {
    deadline: i64,
    cause: Cause,
}

impl Limit {
    fn none() -> Limit {
        Limit { deadline: i64::MAX, cause: Cause::None }
    }
}

/// With whom a context ends, and where its values come from.
#[derive(Default)]
struct Parents {
    first: Option<Arc<Ctx>>,
    /// It gives values, and no end.
    values_only: bool,
    second: Option<Arc<Ctx>>,
}

impl Parents {
    fn one(first: Option<Arc<Ctx>>) -> Parents {
        Parents { first, ..Parents::default() }
    }
}

/// A node of the tree, and the way up.
pub struct Ctx {
    /// Where values are looked up next.
    parent: Option<Arc<Ctx>>,
    /// In a box: it has an address of its own, also while a chain of parents is taken apart.
    node: Box<Node>,
}

/// All of a node but the way up.
pub struct Node {
    me: Weak<Ctx>,
    /// Ends with its parent.
    attached: bool,
    /// Was made with two parents.
    merged: bool,
    deadline: i64,
    /// Its cause if its own deadline ends it.
    late: Cause,
    value: Option<Value>,
    err: AtomicU8,
    timer: TimerNode,
    state: sys::Mutex<State>,
    /// What the C face keeps with the node, and what the Rust face does.
    faces: [OnceLock<Box<dyn std::any::Any + Send + Sync>>; 2],
}

struct State {
    cause: Cause,
    done: Option<Arc<ByteChan>>,
    children: HashMap<usize, Weak<Ctx>>,
    /// The other parent of a merged node, until that ends (X3).
    second: Option<Arc<Ctx>>,
    /// Goroutines, and as whom they wait.
    bound: HashMap<usize, *const Waiter>,
    closers: Vec<Hook>,
    hooks: HashMap<u64, Hook>,
    next_hook: u64,
    armed: bool,
}

// SAFETY: the timer node is used under its shard's lock; everything else synchronises itself.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

impl std::ops::Deref for Ctx {
    type Target = Node;

    #[inline(always)]
    fn deref(&self) -> &Node {
        &self.node
    }
}

impl std::fmt::Debug for Ctx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("err", &self.err()).field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}

impl Ctx {
    /// A child of `parent` (or a root) that ends with it, by `cancel`, or at `deadline` (`i64::MAX`: none).
    pub fn new(parent: Option<Arc<Ctx>>, deadline: i64) -> Arc<Ctx> {
        Self::build(Parents::one(parent), Limit { deadline, cause: Cause::None }, None)
    }

    /// As `new`, with the cause it has if the deadline ends it.
    pub fn with_deadline_cause(parent: Option<Arc<Ctx>>, deadline: i64, cause: Cause) -> Arc<Ctx> {
        Self::build(Parents::one(parent), Limit { deadline, cause }, None)
    }

    /// A child of both, or of the one there is: it ends with whichever ends first. Values come from `first`.
    pub fn merged(first: Option<Arc<Ctx>>, second: Option<Arc<Ctx>>) -> Arc<Ctx> {
        Self::build(Parents { first, values_only: false, second }, Limit::none(), None)
    }

    /// A child that carries a value.
    pub fn with_value(parent: Option<Arc<Ctx>>, value: Value) -> Arc<Ctx> {
        Self::build(Parents::one(parent), Limit::none(), Some(value))
    }

    /// Its parent's values, not its end.
    pub fn detached(parent: Arc<Ctx>) -> Arc<Ctx> {
        Self::build(Parents { first: Some(parent), values_only: true, second: None }, Limit::none(), None)
    }

    fn build(parents: Parents, limit: Limit, value: Option<Value>) -> Arc<Ctx> {
        let (parent, attached, second) = (parents.first, !parents.values_only, parents.second);
        let deadline = limit.deadline;
        let of = |p: &Option<Arc<Ctx>>| p.as_ref().map_or(i64::MAX, |p| p.deadline);
        let inherited = if attached { of(&parent).min(of(&second)) } else { i64::MAX };
        let own = deadline < inherited; // an earlier parent needs no timer of ours
        let state = State {
            cause: Cause::None,
            done: None,
            children: HashMap::new(),
            second: second.clone(),
            bound: HashMap::new(),
            closers: Vec::new(),
            hooks: HashMap::new(),
            next_hook: 0,
            armed: false,
        };
        let x = Arc::new_cyclic(|me| Ctx {
            parent: parent.clone(),
            node: Box::new(Node {
                me: me.clone(),
                attached,
                merged: second.is_some(),
                deadline: deadline.min(inherited),
                late: limit.cause,
                value,
                err: AtomicU8::new(0),
                timer: TimerNode::new(),
                state: sys::Mutex::new(Rank::Context, state),
                faces: [const { OnceLock::new() }; 2],
            }),
        });
        for p in parent.filter(|_| attached).into_iter().chain(second) {
            x.join_parent(&p);
        }
        if own && x.err().is_none() {
            x.arm(deadline);
        }
        x
    }

    /// a child of an ended parent has ended.
    fn join_parent(&self, p: &Ctx) {
        let ended = {
            let mut s = p.state.lock();
            match p.err() {
                None => {
                    s.children.insert(self.addr(), self.me.clone());
                    None
                }
                Some(end) => Some((end, s.cause.clone())),
            }
        };
        if let Some((end, cause)) = ended {
            self.end(end, cause);
        } else if self.merged && self.err().is_some() {
            p.forget(self); // the other parent has ended it, perhaps before it was registered here
        }
    }

    fn arm(&self, deadline: i64) {
        if deadline <= timers::now() {
            self.end(End::DeadlineExceeded, self.late.clone());
            return;
        }
        let mut s = self.state.lock();
        if self.err().is_none() {
            s.armed = true;
            // SAFETY: in no heap; disarmed when the node ends or goes away.
            unsafe { timers::arm(&self.timer, deadline, fire) };
        }
    }

    fn addr(&self) -> usize {
        (&raw const *self.node).addr()
    }

    /// How it ended; `None` while it is live. Whoever has seen a channel closed by the end sees the end here.
    #[inline]
    pub fn err(&self) -> Option<End> {
        // Acquire: pairs with the Release in `end`: the closed channels and the cause are visible.
        let end = match self.err.load(Ordering::Acquire) {
            ENDING => self.err_of_ending(),
            n => End::from_u8(n),
        };
        self.seen(end)
    }

    /// HB-13 for ThreadSanitizer: whoever sees the end comes after it.
    #[inline(always)]
    fn seen(&self, end: Option<End>) -> Option<End> {
        if end.is_some() {
            crate::sanitize::acquire((&raw const *self.node).cast());
        }
        end
    }

    /// Waits for the end that is under way.
    #[cold]
    fn err_of_ending(&self) -> Option<End> {
        drop(self.state.lock());
        // Acquire: as in `err`; the lock orders it as well.
        End::from_u8(self.err.load(Ordering::Acquire))
    }

    /// Why it ended.
    pub fn cause(&self) -> Cause {
        self.state.lock().cause.clone()
    }

    /// When it ends at the latest; `i64::MAX`: no deadline.
    pub fn deadline(&self) -> i64 {
        self.deadline
    }

    /// The value of the innermost binding of `key`.
    pub fn value(&self, key: usize) -> Option<&(dyn std::any::Any + Send + Sync)> {
        let mut x = self;
        loop {
            if let Some(v) = x.value.as_ref().filter(|v| v.key == key) {
                return Some(&*v.value);
            }
            x = x.parent.as_deref()?;
        }
    }

    /// What a foreign face keeps with the node, for as long as the node lives; made when first asked for. There is room for one type:
    /// `None` if another one is there.
    pub fn face<T: std::any::Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.faces[0].get_or_init(|| Box::new(make())).downcast_ref()
    }

    /// The same for the Rust face.
    pub(super) fn rust_face<T: std::any::Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.faces[1].get_or_init(|| Box::new(make())).downcast_ref()
    }

    /// The channel that is closed when the context ends. Made when first asked for, the same every time.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn done(&self) -> Result<Arc<ByteChan>, Error> {
        let mut s = self.state.lock();
        if let Some(c) = &s.done {
            return Ok(c.clone());
        }
        let c = ByteChan::signal()?;
        if self.err().is_some() {
            c.header().close();
        }
        s.done = Some(c.clone());
        Ok(c)
    }

    /// Ends it and all below it before it returns. False if it had ended before.
    pub fn cancel(&self, cause: Cause) -> bool {
        self.end(End::Canceled, cause)
    }

    /// As `cancel`, with the way it ends.
    pub fn end(&self, end: End, cause: Cause) -> bool {
        let mut below = Vec::new();
        let mut hooks = Vec::new();
        let mut seen = HashSet::new();
        let won = self.end_one(end, cause, &mut below, &mut hooks);
        // Parents before children, and all have ended before any leaves (X3).
        let mut i = 0;
        while i < below.len() {
            let (child, end, cause): (Arc<Ctx>, End, Cause) = below[i].clone();
            i += 1;
            if !child.merged || seen.insert(child.addr()) {
                child.end_one(end, cause, &mut below, &mut hooks);
            }
        }
        while let Some((child, ..)) = below.pop() {
            child.leave_parents();
        }
        for hook in hooks {
            hook();
        }
        self.leave_parents();
        won
    }

    /// Ends this node, if it is live, and tells who is registered below it (X6) and how they are to end: as this one has. The
    /// hooks are for the one who ended it.
    fn end_one(&self, end: End, cause: Cause, below: &mut Vec<(Arc<Ctx>, End, Cause)>, hooks: &mut Vec<Hook>) -> bool {
        let mut woken = Woken::nobody();
        let won = {
            let mut s = self.state.lock();
            let before = self.err();
            if before.is_none() {
                woken = self.end_locked(&mut s, end, cause); // X1
                hooks.extend(std::mem::take(&mut s.hooks).into_values());
            }
            let end = before.unwrap_or(end);
            below.extend(s.children.values().filter_map(|c| Some((c.upgrade()?, end, s.cause.clone()))));
            before.is_none()
        };
        woken.ready();
        won
    }

    /// The end itself, under the node's lock; gives the goroutines whose waits it ends.
    fn end_locked(&self, s: &mut State, end: End, cause: Cause) -> Woken {
        s.cause = cause;
        crate::sanitize::release((&raw const *self.node).cast());
        // Before the channels are closed; their locks order it for those who see them closed.
        self.err.store(ENDING, Ordering::Relaxed);
        if let Some(c) = &s.done {
            crate::sanitize::release(Arc::as_ptr(c).cast());
            c.header().close(); // X2
        }
        for close in s.closers.drain(..) {
            close(); // X2
        }
        // Release: pairs with the Acquire in `err`.
        self.err.store(end as u8 + 1, Ordering::Release);
        // SeqCst: our end before the claims; pairs with the fence in `sched::wait`, where a bound goroutine looks at us
        // after it has begun to wait.
        fence(Ordering::SeqCst);
        let woken = self.claim_bound(s, end);
        if std::mem::take(&mut s.armed) {
            // SAFETY: armed by `arm`.
            unsafe { timers::disarm(&self.timer) };
        }
        woken
    }

    fn leave_parents(&self) {
        drop(self.leave());
    }

    /// Leaves its parents. Gives the second one, which goes if nobody else refers to it.
    fn leave(&self) -> Option<Arc<Ctx>> {
        if let Some(p) = self.parent.as_ref().filter(|_| self.attached) {
            p.forget(self);
        }
        if !self.merged {
            return None;
        }
        let second = self.state.lock().second.take();
        if let Some(p) = &second {
            p.forget(self);
        }
        second
    }

    /// A child is not registered any more.
    fn forget(&self, child: &Ctx) {
        self.state.lock().children.remove(&child.addr());
    }

    /// Has `close` close a channel when the context ends, before its error shows (X2); at once if it has ended. It runs under the
    /// node's lock and does nothing else.
    pub fn close_with(&self, close: Hook) {
        let mut s = self.state.lock();
        if self.err().is_some() {
            drop(s);
            close();
        } else {
            s.closers.push(close);
        }
    }

    /// Runs `hook` when the context ends, on whatever thread ends it: at once if it has ended. Returns a number to take it
    /// back with; `None` if it ran.
    pub fn on_end(&self, hook: Hook) -> Option<u64> {
        let mut s = self.state.lock();
        if self.err().is_some() {
            drop(s);
            hook();
            return None;
        }
        let n = s.next_hook;
        s.next_hook += 1;
        s.hooks.insert(n, hook);
        Some(n)
    }

    /// Takes a hook back. True: it will not run.
    pub fn take_back(&self, n: u64) -> bool {
        let hook = self.state.lock().hooks.remove(&n);
        hook.is_some()
    }

    /// Runs `f(arg)` in a goroutine of its own when the context ends.
    ///
    /// # Safety
    /// `f(arg)` may be called from any thread until it was taken back.
    pub unsafe fn after(&self, f: CFn, arg: *mut c_void) -> Option<u64> {
        struct Call(CFn, *mut c_void);
        // SAFETY: by the caller.
        unsafe impl Send for Call {}
        let call = Call(f, arg);
        crate::sanitize::release(arg.cast_const().cast());
        self.on_end(Box::new(move || {
            let call = call;
            // SAFETY: by the caller.
            unsafe { crate::start::spawn_call(call.0, call.1) };
        }))
    }
}

impl Ctx {
    /// Nobody refers to it any more: nothing of it stays behind (X3). Its second parent is the caller's to let go of.
    fn let_go(&self) -> Option<Arc<Ctx>> {
        let armed = std::mem::take(&mut self.state.lock().armed);
        if armed {
            // SAFETY: armed by `arm`.
            unsafe { timers::disarm(&self.timer) };
        }
        self.leave()
    }
}

impl Drop for Ctx {
    fn drop(&mut self) {
        // Of a long chain one after the other goes, not each inside the next.
        let mut seconds = Vec::new();
        seconds.extend(self.let_go());
        let mut up = self.parent.take();
        loop {
            while let Some(mut p) = up.and_then(Arc::into_inner) {
                seconds.extend(p.let_go());
                up = p.parent.take();
            }
            match seconds.pop() {
                Some(p) => up = Some(p),
                None => return,
            }
        }
    }
}

/// The deadline has come.
unsafe fn fire(node: *mut TimerNode, _: i64, due: &mut Due) {
    unsafe fn end(p: *mut c_void) {
        // SAFETY: made by `into_raw` below.
        let x = unsafe { Weak::from_raw(p.cast::<Ctx>()) };
        if let Some(x) = x.upgrade() {
            x.state.lock().armed = false;
            x.end(End::DeadlineExceeded, x.late.clone());
        }
    }
    // SAFETY: armed by `Ctx::arm`, so it lies in a Node, whose memory is there: before it goes away the timer leaves the
    // heap, under the lock we are under. Whether the context is still there is seen by `end`.
    unsafe {
        let x = node.cast::<u8>().sub(offset_of!(Node, timer)).cast::<Node>();
        due.tells.push((end, Weak::into_raw((*x).me.clone()).cast_mut().cast()));
    }
}
