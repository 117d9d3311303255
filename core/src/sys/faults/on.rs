//! Faults on demand: the counters behind `faults.rs`.
//!
//! **Where it sits.** Used by `faults.rs` with the feature `faults`.
//!
//! # State
//!
//! Per kind one word: 0, nothing fails; otherwise the number of calls until the one that fails, in
//! the upper bits, and in the lowest bit whether those after it fail as well.
//!
//! # Orderings
//!
//! All Relaxed: a counter guards no data.

use super::Kind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Once;

static LEFT: [AtomicUsize; 7] = [const { AtomicUsize::new(0) }; 7];
static ENVIRONMENT: Once = Once::new();

/// Makes the `n`-th call from now fail, and only that one; 0 takes the order back.
pub(crate) fn fail_nth(kind: Kind, n: usize) {
    LEFT[kind as usize].store(n << 1, Ordering::Relaxed);
}

/// Makes the `n`-th call from now and all after it fail; 0 takes the order back.
pub(crate) fn fail_from(kind: Kind, n: usize) {
    let word = if n == 0 { 0 } else { n << 1 | 1 };
    LEFT[kind as usize].store(word, Ordering::Relaxed);
}

/// Counts a call and says whether it shall fail.
pub(crate) fn hit(kind: Kind) -> bool {
    let step = |word: usize| match (word >> 1, word & 1) {
        (0, _) => None,
        (1, 1) => Some(word),
        (1, _) => Some(0),
        _ => Some(word - 2),
    };
    let before = LEFT[kind as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    matches!(before, Ok(word) if word >> 1 == 1)
}

/// Reads `ZK_FAULT`, once. A text that cannot be understood ends the process: a test that believes
/// it injects a fault and does not would be worse.
pub(crate) fn init() {
    ENVIRONMENT.call_once(|| {
        let Ok(text) = std::env::var("ZK_FAULT") else { return };
        if !parse(&text) {
            crate::sys::fatal(&format!("ZK_FAULT={text}: expected kind:n or kind:n+, comma-separated"));
        }
    });
}

/// Does what `text` orders, and says whether all of it was understood.
fn parse(text: &str) -> bool {
    text.split(',').filter(|part| !part.is_empty()).all(|part| {
        let Some((name, count)) = part.split_once(':') else { return false };
        let Some(kind) = kind(name) else { return false };
        let (count, order): (_, fn(Kind, usize)) = match count.strip_suffix('+') {
            Some(count) => (count, fail_from),
            None => (count, fail_nth),
        };
        count.parse().map(|n| order(kind, n)).is_ok()
    })
}

/// The kind of that name.
fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "mmap" => Kind::Mmap,
        "protect" => Kind::Protect,
        "guard" => Kind::Guard,
        "thread" => Kind::Thread,
        "epoll" => Kind::Epoll,
        "futex" => Kind::Futex,
        "membarrier" => Kind::Membarrier,
        _ => return None,
    })
}

#[cfg(all(test, not(loom)))]
#[path = "tests.rs"]
mod tests;
