//! Looking at goroutines and workers while the runtime may go down.
//!
//! *Where it sits*: layer 3, a part of `runtime`. Dumps, counters and whoever walks over all goroutines from a thread of its own call
//! [`look`]; the shutdown calls [`nobody_looks`] before it takes headers, stacks and workers away.
//!
//! # State
//!
//! `LOOKING`: how many look, or are about to. `TAKEN`: the shutdown takes all away, once and for all; in a forked child nothing is
//! there to begin with.
//!
//! # Invariants
//!
//! * **W1** While a [`Look`] is there nothing is taken away: either it was counted when the shutdown looked, or it was refused.
//!
//! # Orderings
//!
//! Each side stores and then looks at what the other stores, with a full fence in between: one of them sees the other.

use crate::cell::{fence, AtomicBool, AtomicUsize, Ordering};
use crate::{sys, timers};

/// Somebody looks at goroutines and workers from outside of them. While it does so nothing is taken away.
pub(crate) struct Look(());

static LOOKING: AtomicUsize = AtomicUsize::new(0);
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The right to look; `None` once all has been taken away, and there is nothing to see.
pub(crate) fn look() -> Option<Look> {
    LOOKING.fetch_add(1, Ordering::Relaxed);
    let look = Look(());
    // SeqCst: "I look" before "is it there?"; pairs with the fence in `nobody_looks`.
    fence(Ordering::SeqCst);
    (!TAKEN.load(Ordering::Relaxed)).then_some(look)
}

impl Drop for Look {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `nobody_looks`; all our looks come before.
        LOOKING.fetch_sub(1, Ordering::Release);
    }
}

/// In a forked child: there is nothing to see. Whoever looked when it was forked is not in it, and may have held any lock.
pub(super) fn nothing_to_see() {
    TAKEN.store(true, Ordering::Relaxed);
}

/// From now on nobody begins to look. Waits for those who do; false if one of them takes long.
pub(super) fn nobody_looks() -> bool {
    TAKEN.store(true, Ordering::Relaxed);
    // SeqCst: "it is gone" before "does somebody look?"; pairs with the fence in `look`.
    fence(Ordering::SeqCst);
    let until = timers::now() + 1_000_000_000;
    // Acquire: pairs with the Release in the drop of `Look`.
    while LOOKING.load(Ordering::Acquire) > 0 {
        if timers::now() > until {
            return false;
        }
        sys::yield_thread();
    }
    true
}
