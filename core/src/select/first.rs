//! The first try of a select: one round of looks, one choice, one lock.
//!
//! *Where it sits*: layer 4, before the three passes of `select`. Called by them, and by `select!` over the cases as it has them; what the C face does in its
//! stead is `direct.rs`.
//!
//! With something to choose from, most selects end here. So the cases are read where they lie and nothing is made of them, neither a list for the locks nor an
//! order: the only random number is the choice, and no branch depends on it.
//!
//! # Invariants
//!
//! * **LF1** A case that may be ready, as far as can be seen without its lock, is chosen with the same chance as each other one (S-02). If it is ready under
//!   its lock it is run, whatever it takes; if not, the passes begin from the beginning, and choose anew among all.
//! * **LF2** That nothing may be ready decides nothing (L2).

use super::{finish, try_case, Found, SelCase, Selected, SMALL};
use crate::sched::worker;
use std::mem::MaybeUninit;

/// A case as a face has it.
///
/// # Safety
/// The answer is the same each time, and as `select_raw` wants it.
pub(crate) unsafe trait Listed {
    /// The case.
    fn case(&self) -> SelCase;
}

// SAFETY: the case itself.
unsafe impl Listed for SelCase {
    #[inline(always)]
    fn case(&self) -> SelCase {
        *self
    }
}

/// What it came to.
pub(crate) enum First {
    /// A case ran.
    Ran(Selected),
    /// No case looked ready.
    Nothing,
    /// One did, and was not; or there was no try.
    InVain,
}

/// Tries one of the cases that look ready.
///
/// # Safety
/// As for [`select_raw`](super::select_raw).
#[inline(always)]
pub(crate) unsafe fn first_try<C: Listed>(cases: &[C], deadline: i64) -> First {
    let Some(w) = worker::current() else { return First::InVain };
    if cases.len() > SMALL {
        return First::InVain;
    }
    let mut ready = [const { MaybeUninit::<u8>::uninit() }; SMALL];
    let mut found = 0;
    for (i, c) in cases.iter().enumerate() {
        // SAFETY: the channels are alive, by the caller.
        if unsafe { c.case().look() }.is_none() {
            ready[found].write(i as u8);
            found += 1;
        }
    }
    if found == 0 {
        return First::Nothing;
    }
    let k = if found == 1 { 0 } else { w.random_below(found) };
    // SAFETY: the first `found` have been written. The channel is alive; its lock is held for the try.
    unsafe {
        let index = usize::from(ready[k].assume_init());
        let c = cases[index].case();
        (*c.chan).lock_of(Some(w));
        let tried = try_case(&c);
        (*c.chan).unlock();
        match tried {
            Found::Ready(woken, how) => {
                finish(woken, deadline);
                First::Ran(Selected { index, how })
            }
            Found::NotReady | Found::NoMemory => First::InVain,
        }
    }
}
