//! What of a channel can be seen without its lock: enough to say for sure that an operation was not possible.
//!
//! *Where it sits*: layer 1, part of a channel's header (`chan/core.rs`), which keeps it up to date. Read by operations that
//! do not wait: on one channel alone, and by a select with default over several; and by every select, as a hint before it takes the locks and,
//! exact then, under them.
//!
//! # State
//!
//! Copies of what the channel's lock guards: how many values are buffered, how many senders wait, whether it is closed; and
//! `moves`, which counts the changes that can make an operation possible.
//!
//! # Protocol
//!
//! One channel: a look at `len`, then at the mark of the end, which never goes back. By the channel's invariant C1 one count is enough for what
//! the operation needs: in a channel with a buffer senders wait only while it is full, in one without nothing is ever buffered. So
//! there was an instant at which the count was as seen and the channel not closed (C-23). The senders are counted beside the marks, so that two words
//! say all there is to a receive.
//!
//! Several channels, for there must be one instant for all of them (S-05):
//!
//! ```text
//! A1  look at each in turn; one may be ready: leave it to the locks      → the instant lies at the look at the last one
//! A2  look at all but the last again; `moves` is the same for each       → nothing became possible there since A1
//! ```
//!
//! # Invariants
//!
//! * **N1** All words are written under the channel's lock, or by whoever made the channel.
//! * **N2** `moves` grows with each value that enters or leaves the buffer and with each sender that queues, after the
//!   word itself has changed. Equal sums of two rounds mean that no count has changed, as none goes back.
//! * **N3** Between two states that are told apart by the lock no third one can be seen in which an operation looks impossible that
//!   was possible in both: when a sender's value moves into a freed slot, `len` does not change.
//!
//! # Orderings
//!
//! Stores are Release and loads Acquire. Whoever sees one channel as it was left by a section sees on all others what had
//! happened before: if a channel became ready before the one that is looked at last ceased to be, A2 sees that. And the
//! loads stay in the order in which the protocol needs them. On x86-64 both are plain moves.

use crate::cell::{const_new, AtomicU64, AtomicUsize, Ordering};

/// The channel is closed.
const CLOSED: usize = 1;
/// Somebody who only looks was told that a value comes. It may try to receive before the value is in the mirror,
/// so it must not go by it; the next receive that finds nothing under the lock takes the mark away.
const TOLD: usize = 2;
/// The values are a timer's, which nobody sends: whether there is one now only the lock can tell.
const TIMED: usize = 4;
/// One sender that waits.
const SENDER: usize = 8;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Mirror {
    len: AtomicUsize,
    /// How many senders wait, in units of `SENDER`, and the marks below it.
    waiting: AtomicUsize,
    moves: AtomicU64,
}

impl Mirror {
    const_new! {
        /// Of a channel that is empty and open; `timed`: a timer's.
        pub(crate) const fn new(timed: bool) -> Mirror {
            Mirror {
                len: AtomicUsize::new(0),
                waiting: AtomicUsize::new(if timed { TIMED } else { 0 }),
                moves: AtomicU64::new(0),
            }
        }
    }

    // ---- under the channel's lock -----------------------------------------------------------

    #[inline(always)]
    fn moved(&self) {
        // Release: pairs with the Acquire in `look`, which then sees the change that is counted (N2).
        self.moves.store(self.moves.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// So many values are buffered now.
    #[inline(always)]
    pub(crate) fn set_len(&self, n: usize) {
        // Release: pairs with the Acquire in `is_empty` and `is_full`: who sees it sees what came before it.
        self.len.store(n, Ordering::Release);
        self.moved();
    }

    /// A sender has queued.
    #[inline(always)]
    pub(crate) fn sender_came(&self) {
        // Release: as in `set_len`.
        self.waiting.store(self.waiting.load(Ordering::Relaxed) + SENDER, Ordering::Release);
        self.moved();
    }

    /// A sender has left the queue.
    #[inline(always)]
    pub(crate) fn sender_left(&self) {
        // Release: as in `set_len`.
        self.waiting.store(self.waiting.load(Ordering::Relaxed) - SENDER, Ordering::Release);
    }

    /// Somebody who only looks is about to be told that a value comes.
    pub(crate) fn tell(&self) {
        // Release: as in `set_len`.
        self.waiting.store(self.waiting.load(Ordering::Relaxed) | TOLD, Ordering::Release);
    }

    /// A receive has found nothing, so whatever somebody was told of is gone.
    #[inline(always)]
    pub(crate) fn untell(&self) {
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting & TOLD != 0 {
            // Release: as in `set_len`.
            self.waiting.store(waiting & !TOLD, Ordering::Release);
        }
    }

    /// The channel is closed.
    pub(crate) fn close(&self) {
        // Release: pairs with the Acquire in `is_closed`: what was done before the close is visible.
        self.waiting.store(self.waiting.load(Ordering::Relaxed) | CLOSED, Ordering::Release);
    }

    /// All senders were told that the channel is closed.
    pub(crate) fn no_senders(&self) {
        // Release: as in `set_len`.
        self.waiting.store(self.waiting.load(Ordering::Relaxed) & (CLOSED | TIMED), Ordering::Release);
    }

    // ---- from anywhere ----------------------------------------------------------------------

    /// Values in the buffer. A snapshot.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether it is closed. A snapshot.
    #[inline(always)]
    pub(crate) fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.waiting.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Whether there was an instant, just now, at which nothing could be received and the channel was open. Never so for a timer's.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        // Acquire: the look at `len` comes before the one at the end; in the other order a value taken in between would make
        // "not closed, later empty" out of two instants at which the channel was ready or closed.
        self.len.load(Ordering::Acquire) == 0 && self.waiting.load(Ordering::Acquire) == 0
    }

    /// Whether there was an instant, just now, at which the channel was open and its buffer of `cap` slots full, so that nobody waited to
    /// receive.
    #[inline(always)]
    pub(crate) fn is_full(&self, cap: usize) -> bool {
        // Acquire: before the look at the end, as above.
        self.len.load(Ordering::Acquire) == cap && !self.is_closed()
    }

    /// A look of A1 or A2 at one of several channels: `moves`, if `impossible` holds.
    #[inline(always)]
    pub(crate) fn look(&self, impossible: impl FnOnce(&Mirror) -> bool) -> Option<u64> {
        // Acquire: before the words it counts the changes of. A change that is missing here is missing in A2 as well, or A2
        // finds another count (N2); and in A2 it comes after all looks of A1.
        let moves = self.moves.load(Ordering::Acquire);
        impossible(self).then_some(moves)
    }
}

/// Whether there was one instant, just now, at which none of `n` operations was possible. `look(i)` looks at the channel of one of
/// them; see [`Mirror::look`]. False says nothing.
#[inline(always)]
pub(crate) fn none_possible(n: usize, look: impl Fn(usize) -> Option<u64>) -> bool {
    let round = |m: usize| (0..m).try_fold(0u64, |sum, i| Some(sum.wrapping_add(look(i)?)));
    let Some(last) = n.checked_sub(1) else { return true };
    let (Some(before), Some(_)) = (round(last), look(last)) else { return false };
    last == 0 || round(last) == Some(before)
}

#[cfg(all(test, loom))]
mod tests;
