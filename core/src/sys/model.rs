//! The platform under the model checker: a futex made of loom's own mutex and condition variable.
//!
//! **Where it sits.** Takes the place of `linux.rs` under `cfg(loom)`. Only what the lock-free pieces
//! need is here; what talks to the system is not modelled.
//!
//! One condition variable serves all words, so a model should sleep on one word at a time: with a
//! second, a wake could go to the wrong thread and a lost wake-up hide behind a deadlock report.

use super::Wait;
use crate::cell::{AtomicU32, Ordering};
use loom::sync::{Condvar, Mutex};

loom::lazy_static! {
    static ref SLEEPERS: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

/// Sleeps while `word` is `expected`. A model has no time: `deadline` is never reached.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, _deadline: i64) -> Wait {
    let guard = SLEEPERS.0.lock().unwrap();
    // SeqCst: the kernel compares after a full barrier of its own.
    if word.load(Ordering::SeqCst) == expected {
        drop(SLEEPERS.1.wait(guard).unwrap());
    }
    Wait::Woken
}

/// Wakes one sleeper, or all if `n` is more than one.
pub(crate) fn futex_wake(_word: &AtomicU32, n: u32) -> u32 {
    let _guard = SLEEPERS.0.lock().unwrap();
    if n == 1 {
        SLEEPERS.1.notify_one();
    } else {
        SLEEPERS.1.notify_all();
    }
    0
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
