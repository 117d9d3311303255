//! The goroutines that are bound to a context, and how its end ends their waits.
//!
//! *Where it sits*: layer 4, a part of `context/tree.rs`, whose invariants (X4) and orderings hold here; called by the scheduler
//! through [`Binding`].

use super::{Ctx, End, State};
use crate::cell::Ordering;
use crate::goroutine::{Binding, G};
use crate::list::Fifo;
use crate::sched;
use crate::wait::{Kind, Outcome, Waiter};
use std::sync::Arc;

/// Whose waits the end of a context has ended, and who is still to be readied.
pub(super) struct Woken {
    goroutines: Fifo<G>,
    threads: Vec<*const Waiter>,
}

impl Woken {
    pub(super) fn nobody() -> Woken {
        Woken { goroutines: Fifo::new(), threads: Vec::new() }
    }

    /// They go on. After the node's lock.
    pub(super) fn ready(mut self) {
        while !self.goroutines.is_empty() {
            // SAFETY: claimed under the lock.
            unsafe { sched::ready_goroutine(self.goroutines.pop_front()) };
        }
        for wt in self.threads {
            // SAFETY: as above.
            unsafe { sched::ready(wt) };
        }
    }
}

impl Ctx {
    /// X4: ends the waits of the goroutines bound here.
    pub(super) fn claim_bound(&self, s: &State, end: End) -> Woken {
        let mut woken = Woken::nobody();
        for (&g, &wt) in &s.bound {
            // SAFETY: a bound goroutine takes itself off the list under this lock before it ends, and its thread's waiter before it
            // leaves that wait; a won claim makes it ours.
            unsafe {
                match (*wt).try_claim(end.outcome()).then(|| (*wt).kind()) {
                    Some(Kind::Goroutine) => woken.goroutines.push_back(g as *mut G),
                    Some(Kind::Thread) => woken.threads.push(wt),
                    None => {}
                }
            }
        }
        woken
    }
}

impl Binding for Ctx {
    fn ended(&self) -> Option<Outcome> {
        // Acquire: as in `err`, but without waiting: this is asked under the locks of channels. An end that is under way
        // claims the goroutine that asks, once it has stored itself (see Orderings).
        self.seen(End::from_u8(self.err.load(Ordering::Acquire))).map(End::outcome)
    }

    fn bind(&self, g: *mut G) {
        // SAFETY: a goroutine that is bound is there; only the address is formed.
        self.wait_as(g, unsafe { &raw const (*g).waiter });
    }

    fn wait_as(&self, g: *mut G, wt: *const Waiter) {
        self.state.lock().bound.insert(g as usize, wt);
    }

    fn unbind(&self, g: *mut G) {
        self.state.lock().bound.remove(&(g as usize));
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn std::any::Any + Send + Sync> {
        self
    }
}
