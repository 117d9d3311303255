//! Who waits, and who may end the wait.
//!
//! *Where it sits*: layer 2. Channels, select, timers and the sync types queue [`Node`]s and claim
//! [`Waiter`]s; the scheduler parks and readies what is behind a waiter.
//!
//! A *waiter* is a goroutine or an OS thread, in the role of somebody who waits for one event out
//! of many. A *node* is its membership in one wait queue: a plain operation uses the node embedded
//! in the goroutine's header, a select takes an array of nodes from a pool.
//!
//! # State
//!
//! The claim word: `Idle → Waiting → Claimed`. Whoever moves it from Waiting to Claimed has won:
//! the winner, and nobody else, completes the operation, notes the outcome and readies the waiter.
//! The losers find the word Claimed and look for somebody else.
//!
//! # Invariants
//!
//! * **W1** A wait is ended by exactly one claim. With one party only (a plain operation without
//!   deadline) taking the node out of its queue under the object's lock *is* the claim, and the word is
//!   not touched; such nodes have `multi == false`.
//! * **W2** `outcome`, `winner` and the winning node's `ok` are written by the claimer before it readies
//!   the waiter, and read by the waiter after it was resumed.
//! * **W3** A node is touched by others only while it is queued (under the object's lock), or by the
//!   claimer of its waiter until it readies it.
//! * **W4** The woken waiter itself removes the nodes that did not win; until then others skip them,
//!   because their claim fails.
//!
//! # Orderings
//!
//! The claim is Acquire/Release: Release so that what the claimer wrote before is ordered for the
//! next claimer's failure, Acquire so that the claimer sees the waiter's published nodes even when it
//! found the waiter without a lock (timers, cancellation). The hand-over of `outcome` to the waiter is ordered
//! by the run queue or the futex word that resumes it.

use crate::cell::{const_new, AtomicU32, Ordering, UnsafeCell};
use crate::hope::Hope;
use crate::list::{Link, Links};
use crate::sys;
use core::ptr::null_mut;

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A counterpart: the operation has happened, or the object was closed (`node.ok`).
    Peer,
    /// The deadline passed; nothing has happened.
    TimedOut,
    /// The goroutine was cancelled; nothing has happened.
    Cancelled,
    /// A signal woke the host's main goroutine; nothing has happened.
    Interrupted,
    /// Nothing could ever run again, and the host's main goroutine is told so; nothing has happened.
    Deadlock,
}

/// What stands behind a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Embedded in a `G`.
    Goroutine,
    /// Embedded in a `ThreadWaiter`.
    Thread,
}

const IDLE: u32 = 0;
const WAITING: u32 = 1;
const CLAIMED: u32 = 2;

/// `ThreadWaiter::word`: nobody has to be woken.
const UP: u32 = 0;
/// `ThreadWaiter::word`: go on.
const TOLD: u32 = 1;
/// `ThreadWaiter::word`: the thread sleeps on it, or is about to, until it is woken.
pub const ASLEEP: u32 = 2;
/// `ThreadWaiter::word`: the thread sleeps on it, or is about to, but not for long: whoever tells it may wake it a little later.
pub const NAPPING: u32 = 3;

/// Looks of a thread before it sleeps.
const LOOKS: u32 = 4;

/// Somebody who waits. See the module's text.
pub struct Waiter {
    claim: AtomicU32,
    kind: Kind,
    outcome: UnsafeCell<Outcome>,
    winner: UnsafeCell<*mut Node>,
}

impl Waiter {
    const_new! {
        /// The waiter of a goroutine's header.
        pub const fn goroutine() -> Waiter {
            Waiter::new(Kind::Goroutine)
        }
    }

    const_new! {
        const fn new(kind: Kind) -> Waiter {
            let (outcome, winner) = (UnsafeCell::new(Outcome::Peer), UnsafeCell::new(null_mut()));
            Waiter { claim: AtomicU32::new(IDLE), kind, outcome, winner }
        }
    }

    /// W2: only the party itself before it publishes, or the claimer.
    #[inline(always)]
    fn set_outcome(&self, outcome: Outcome) {
        // SAFETY: by W2 nobody else uses the field now.
        self.outcome.with_mut(|p| unsafe { *p = outcome });
    }

    /// W2, as above.
    #[inline(always)]
    fn set_winner(&self, node: *mut Node) {
        // SAFETY: by W2 nobody else uses the field now.
        self.winner.with_mut(|p| unsafe { *p = node });
    }

    /// What stands behind it.
    #[inline(always)]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Begins a wait with one party (W1).
    #[inline(always)]
    pub fn begin_single(&self) {
        self.claim.store(IDLE, Ordering::Relaxed); // ours alone: nobody can claim it
        self.set_outcome(Outcome::Peer);
    }

    /// Begins a wait that several parties may end. Nodes published afterwards under a lock carry it.
    #[inline(always)]
    pub fn begin_multi(&self) {
        self.set_outcome(Outcome::Peer);
        self.set_winner(null_mut());
        // Release: pairs with the Acquire in `try_claim` of a party that found the waiter without a
        // lock (timer, cancellation); parties that come through a queue are ordered by its lock.
        self.claim.store(WAITING, Ordering::Release);
    }

    /// Tries to be the one who ends the wait.
    #[inline(always)]
    pub fn try_claim(&self, outcome: Outcome) -> bool {
        // AcqRel: Acquire pairs with the Release in `begin_multi`; Release makes this claim's
        // predecessors visible to whoever sees CLAIMED. Failure needs no order: the loser only leaves.
        let won = self.claim.compare_exchange(WAITING, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if won {
            self.set_outcome(outcome);
        }
        won
    }

    /// Ends a multi-party wait that turned out not to be needed, before anything was published.
    #[inline(always)]
    pub fn end(&self) {
        self.claim.store(IDLE, Ordering::Relaxed);
    }

    /// Whether somebody has ended the wait already.
    #[inline(always)]
    pub fn is_claimed(&self) -> bool {
        // Acquire: pairs with the Release half of `try_claim`.
        self.claim.load(Ordering::Acquire) == CLAIMED
    }

    /// W2.
    #[inline(always)]
    pub fn outcome(&self) -> Outcome {
        // SAFETY: by W2 the claimer is done with it.
        self.outcome.with(|p| unsafe { *p })
    }

    /// The node through which a multi-party wait ended; null if not through a queue.
    #[inline(always)]
    pub fn winner(&self) -> *mut Node {
        // SAFETY: by W2 the claimer is done with it.
        self.winner.with(|p| unsafe { *p })
    }
}

/// Membership of a waiter in one wait queue.
pub struct Node {
    /// Links of the queue (W3).
    pub(crate) links: Links<Node>,
    /// Whose membership.
    pub waiter: *const Waiter,
    /// Where the value is sent from or received into; null: no value wanted.
    pub elem: *mut u8,
    /// Index of a select's case.
    pub case: u32,
    /// Several parties may end this wait (W1).
    pub multi: bool,
    /// Set by the claimer: the operation happened (false: the channel was closed).
    pub ok: bool,
    /// Wants to know that it could proceed, not to proceed (`Select::ready`).
    pub peek: bool,
}

// SAFETY: `links` is a field of the node and nobody but the lists changes it.
unsafe impl Link for Node {
    #[inline(always)]
    unsafe fn links(node: *mut Node) -> *mut Links<Node> {
        // SAFETY: the caller passes a valid node; only the field's address is formed.
        unsafe { &raw mut (*node).links }
    }
}

impl Node {
    /// A node in no queue.
    pub const fn new() -> Node {
        Node {
            links: Links::new(),
            waiter: null_mut(),
            elem: null_mut(),
            case: 0,
            multi: false,
            ok: false,
            peek: false,
        }
    }

    /// Fills in a membership; the caller queues it.
    #[inline(always)]
    pub fn set(&mut self, waiter: *const Waiter, elem: *mut u8, case: u32, multi: bool) {
        self.waiter = waiter;
        self.elem = elem;
        self.case = case;
        self.multi = multi;
        self.ok = false;
        self.peek = false;
    }

    /// Whether a queued node's operation could still be done, and is more than a look.
    ///
    /// # Safety
    /// The caller holds the lock of the queue `node` is in.
    pub unsafe fn is_free(node: *mut Node) -> bool {
        // SAFETY: a queued node's waiter is alive (W3).
        unsafe { !((*node).peek || (*node).multi && (*(*node).waiter).is_claimed()) }
    }

    /// Claims the waiter of a node that was just taken out of its queue under the object's lock.
    ///
    /// # Safety
    /// The caller holds the object's lock and has dequeued `node`.
    #[inline(always)]
    pub unsafe fn claim(node: *mut Node) -> bool {
        // SAFETY: a queued node's waiter is alive (W3); we hold the lock it was queued under.
        unsafe {
            if !(*node).multi {
                return true;
            }
            let wt = (*node).waiter;
            // A select's other nodes are met more often than not by whoever has just claimed one of them: a look costs less than an exchange.
            if !(*wt).is_claimed() && (*wt).try_claim(Outcome::Peer) {
                (*wt).set_winner(node);
                return true;
            }
            false
        }
    }
}

/// An OS thread as a waiter: it sleeps on `word`.
pub struct ThreadWaiter {
    /// The party. First field: `of` relies on it.
    pub waiter: Waiter,
    /// `UP → NAPPING → ASLEEP`, of which the first two may be left out, and from each of them `→ TOLD`. Only a thread that said that it
    /// sleeps costs its waker a system call.
    word: AtomicU32,
    /// Its membership for plain operations.
    pub node: core::cell::UnsafeCell<Node>,
    /// Whether it looks before it sleeps; the thread's own.
    hope: Hope,
}

impl ThreadWaiter {
    const_new! {
        /// One per thread.
        pub const fn new() -> ThreadWaiter {
            ThreadWaiter {
                waiter: Waiter::new(Kind::Thread),
                word: AtomicU32::new(UP),
                node: core::cell::UnsafeCell::new(Node::new()),
                hope: Hope::new(),
            }
        }
    }

    /// Lets the thread go on. It may be gone before this returns: after the swap only the word's address is used, and
    /// waking an address nobody sleeps on is harmless.
    ///
    /// # Safety
    /// `t` is valid and the caller has claimed its waiter.
    pub unsafe fn tell(t: *const ThreadWaiter) {
        // SAFETY: by the caller.
        let word = unsafe { Self::tell_later(t) };
        if !word.is_null() {
            sys::futex_wake_addr(word, 1);
        }
    }

    /// The same, but leaves a thread that naps to the caller, who wakes it at the address that is returned: soon, or never, for the nap
    /// ends by itself. Null: there is nobody to wake any more.
    ///
    /// # Safety
    /// As for `tell`.
    pub unsafe fn tell_later(t: *const ThreadWaiter) -> *const AtomicU32 {
        // SAFETY: the thread does not leave its wait before the swap.
        unsafe {
            let word = &raw const (*t).word;
            // Release: pairs with the Acquire in `sleep` and `is_told`; the outcome is visible to the thread. Either this finds that
            // the thread sleeps, or the thread's own exchange finds TOLD and it does not.
            match (*word).swap(TOLD, Ordering::Release) {
                NAPPING => word,
                ASLEEP => {
                    sys::futex_wake_addr(word, 1);
                    core::ptr::null()
                }
                _ => core::ptr::null(),
            }
        }
    }

    /// Whether it was told to go on. By the thread itself.
    #[inline(always)]
    fn is_told(&self) -> bool {
        // Acquire: pairs with the Release in `tell_later`.
        self.word.load(Ordering::Acquire) == TOLD
    }

    /// Looks for a moment whether it is told to go on, unless that was in vain of late: it pays while the partner runs on another CPU.
    /// `pause` is what lies between two looks: the time of many operations of the partner, which gets them done undisturbed.
    pub fn watch(&self, pause: impl Fn()) {
        if !self.hope.is_there() {
            return;
        }
        for _ in 0..LOOKS {
            pause();
            if self.is_told() {
                self.hope.came_true();
                return;
            }
        }
        self.hope.was_in_vain();
    }

    /// Takes one step from `UP` towards deeper sleep. False: it was told to go on.
    #[inline(always)]
    fn lie_down(&self, from: u32, to: u32) -> bool {
        // Acquire on failure: pairs with the Release in `tell_later`. Nobody else leaves another value.
        self.word.compare_exchange(from, to, Ordering::Relaxed, Ordering::Acquire).is_ok()
    }

    /// Sleeps for a moment, from which whoever tells it may leave it to wake up by itself: `nap` sleeps once while the word it is given
    /// is [`NAPPING`], not long. To be followed by [`sleep`](ThreadWaiter::sleep) in any case.
    pub fn nap(&self, nap: impl FnOnce(&AtomicU32)) {
        if self.lie_down(UP, NAPPING) {
            nap(&self.word);
            self.lie_down(NAPPING, UP);
        }
    }

    /// Sleeps until the wait is ended, by whoever claims it and then `tell`s, or by what `nap` says. `nap` sleeps while the
    /// word it is given is [`ASLEEP`], until the deadline at most, and may come back for any reason. The caller has begun
    /// and published a wait, with several parties if anything but a peer may end it.
    pub fn sleep(&self, mut deadline: i64, nap: impl Fn(&AtomicU32, i64) -> Option<Outcome>) -> Outcome {
        let asleep = self.lie_down(UP, ASLEEP);
        while asleep && !self.is_told() {
            if let Some(outcome) = nap(&self.word, deadline) {
                if self.waiter.try_claim(outcome) {
                    break;
                }
                deadline = i64::MAX; // somebody was faster and is about to tell us
            }
        }
        self.word.store(UP, Ordering::Relaxed); // for the next wait, which is not published yet
        self.waiter.outcome()
    }

    /// The thread a waiter is embedded in.
    ///
    /// # Safety
    /// `wt` must be the `waiter` field of a `ThreadWaiter`.
    #[inline(always)]
    pub unsafe fn of(wt: *const Waiter) -> *const ThreadWaiter {
        // SAFETY: by the caller.
        unsafe { wt.cast::<u8>().sub(core::mem::offset_of!(ThreadWaiter, waiter)).cast() }
    }
}

#[cfg(all(test, loom))]
mod tests;
