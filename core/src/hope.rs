//! Whether it pays to look again for a while before going to sleep: remembered from the times before.
//!
//! *Where it sits*: layer 0, calls nothing. Owned by who waits: a thread that is no worker (`wait.rs`), a worker that has run dry
//! (`sched/find.rs`).
//!
//! Looking pays if what one waits for comes sooner than a sleep and a wake-up would take, which needs a CPU for each side. Whether
//! that is so changes with the program and with what else the machine does, so it is tried: a success makes up for a failure, up
//! to [`MOST`] in advance. Who has lost all hope leaves it out [`REST`] times, then tries once more.

use std::cell::Cell;

/// Failures in a row that end the looking.
const MOST: u32 = 4;
/// Times it is left out then, after the first.
const REST: u32 = 32;

/// See the module's text. Used by its owner alone.
#[derive(Debug)]
pub(crate) struct Hope(Cell<u32>);

impl Hope {
    /// Full of it.
    pub(crate) const fn new() -> Hope {
        Hope(Cell::new(MOST))
    }

    /// Whether to look this time; then one of the other two is to be told.
    pub(crate) fn is_there(&self) -> bool {
        let state = self.0.get();
        if (1..=MOST).contains(&state) {
            return true;
        }
        // Beyond `MOST` it counts the times that were left out.
        self.0.set(if state >= MOST + REST { 1 } else { state.max(MOST) + 1 });
        false
    }

    /// It came while we looked.
    pub(crate) fn came_true(&self) {
        self.0.set(MOST.min(self.0.get() + 1));
    }

    /// It did not.
    pub(crate) fn was_in_vain(&self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn hope_ends_after_some_failures_and_is_tried_again() {
        let h = Hope::new();
        for _ in 0..MOST {
            assert!(h.is_there());
            h.was_in_vain();
        }
        for round in 0..3 {
            let rest = std::iter::from_fn(|| (!h.is_there()).then_some(())).count();
            assert_eq!(rest as u32, REST + 1, "round {round}");
            h.was_in_vain();
        }
    }

    #[test]
    fn hope_lives_on_every_second_success() {
        let h = Hope::new();
        for i in 0..1000 {
            assert!(h.is_there(), "time {i}");
            if i % 2 == 0 {
                h.came_true();
            } else {
                h.was_in_vain();
            }
        }
    }
}
