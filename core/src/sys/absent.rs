//! Threads that use no channel for a while, because they look for work or sleep: their locks are free to be taken from them without a barrier.
//!
//! **Where it sits.** Workers say when they go and when they are back; `BiasedLock` asks. Calls nothing.
//!
//! # State
//!
//! `AT`: the words of those who are away, by a hash of the word; 0 for nobody. Who finds its place taken goes unnoticed: others
//! treat it as one that is there, which is always right. Threads that have ended are not in it.
//!
//! # Protocol
//!
//! ```text
//! owner of a lock                          who takes the lock away
//!   N1  AT[me] = me      (Release)           N4  owner = NOBODY
//!   N2  AT[me] = 0                           N5  full fence
//!   N3  full fence                           N6  AT[owner] = owner?   (Acquire)
//! ```
//!
//! N2, N3 and the owner's next look at `owner` are one side of a Dekker pair, N4 to N6 the other. If N6 says yes, either the owner has not
//! come back, or its next look sees N4: it does not enter by its grant any more. And what it did by it before N1 is seen at N6. (In a model each light
//! fence is a full one, and that of the owner's next look does what N3 does.)

use crate::cell::{fence, Ordering};

#[cfg(not(loom))]
use std::sync::atomic::AtomicUsize;

#[cfg(loom)]
use crate::cell::AtomicUsize;

/// Places by word; a power of two. One for the model checker: no run depends on addresses.
const PLACES: usize = if cfg!(loom) { 1 } else { 256 };

#[cfg(not(loom))]
static AT: [AtomicUsize; PLACES] = [const { AtomicUsize::new(0) }; PLACES];

#[cfg(loom)]
loom::lazy_static! {
    static ref AT: [AtomicUsize; PLACES] = std::array::from_fn(|_| AtomicUsize::new(0));
}

/// The place of a word. Words are addresses of workers, which are some hundreds of bytes long.
#[inline(always)]
fn at(word: usize) -> &'static AtomicUsize {
    &AT[((word >> 7) ^ (word >> 12) ^ (word >> 18)) & (PLACES - 1)]
}

/// The calling thread, whose word is `me`, takes and gives back no channel's lock until this is dropped.
pub(crate) struct Absence(usize);

impl Absence {
    /// From now on.
    pub(crate) fn of(me: usize) -> Absence {
        // Release pairs with the Acquire in `is_away`: who sees us gone sees what we did.
        match at(me).compare_exchange(0, me, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Absence(me),
            Err(_) => Absence(0),
        }
    }
}

impl Drop for Absence {
    fn drop(&mut self) {
        if self.0 != 0 {
            at(self.0).store(0, Ordering::Relaxed);
            // SeqCst: N3 of the protocol; pairs with the fence in `is_away`.
            fence(Ordering::SeqCst);
        }
    }
}

/// Whether the thread with this word is away, by the look of it. Of the calling thread itself it is certain, if it is not away.
#[inline(always)]
pub(super) fn seems_away(word: usize) -> bool {
    word != 0 && at(word).load(Ordering::Relaxed) == word
}

/// Whether the thread with this word is away, and will see on its return what the caller wrote before. That costs a full fence.
pub(super) fn is_away(word: usize) -> bool {
    debug_assert!(word != 0);
    // SeqCst: N5 of the protocol; pairs with the fence on the way back.
    fence(Ordering::SeqCst);
    // Acquire pairs with the Release of who went: we see what it did.
    at(word).load(Ordering::Acquire) == word
}
