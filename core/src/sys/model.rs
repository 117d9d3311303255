//! The platform under the model checker: a futex made of loom's own mutex and condition variable.
//!
//! **Where it sits.** Takes the place of `linux.rs` under `cfg(loom)`. Only what the lock-free pieces
//! need is here; what talks to the system is not modelled.
//!
//! Each word has a condition variable of its own, made when the first thread sleeps on it: a wake that goes to the wrong
//! word wakes nobody, and the model reports the deadlock.

use super::Wait;
use crate::cell::{AtomicU32, Ordering};
use loom::sync::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;

loom::lazy_static! {
    /// By the word's address.
    static ref SLEEPERS: Mutex<BTreeMap<usize, Arc<Condvar>>> = Mutex::new(BTreeMap::new());
}

/// Sleeps while `word` is `expected`. A model has no time: `deadline` is never reached.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, _deadline: i64) -> Wait {
    let mut words = SLEEPERS.lock().unwrap();
    // SeqCst: the kernel compares after a full barrier of its own.
    if word.load(Ordering::SeqCst) == expected {
        let sleepers = Arc::clone(words.entry(&raw const *word as usize).or_insert_with(|| Arc::new(Condvar::new())));
        drop(sleepers.wait(words).unwrap());
    }
    Wait::Woken
}

/// Wakes one sleeper, or all if `n` is more than one.
pub(crate) fn futex_wake(word: &AtomicU32, n: u32) -> u32 {
    futex_wake_addr(word, i32::try_from(n).unwrap_or(i32::MAX));
    0
}

/// The same for a word that may be gone: only its address is used.
pub(crate) fn futex_wake_addr(word: *const AtomicU32, n: i32) {
    let words = SLEEPERS.lock().unwrap();
    if let Some(sleepers) = words.get(&(word as usize)) {
        if n == 1 {
            sleepers.notify_one();
        } else {
            sleepers.notify_all();
        }
    }
}

/// No kernel, no help with barriers.
pub(super) fn barrier_register() -> bool {
    false
}

/// Never called: `barrier_register` said no.
pub(super) fn barrier() {
    unreachable!("the model has symmetric fences")
}

/// Writes to a descriptor; a model has none.
pub(crate) fn write_fd(_fd: i32, bytes: &[u8]) -> std::io::Result<()> {
    std::io::Write::write_all(&mut std::io::stderr(), bytes)
}
