//! The two clocks: `Instant`, which Rust programs know, and nanoseconds of the monotonic clock, which the engine counts in.
//!
//! *Where it sits*: layer 3, over the clock of `timers.rs`; called by whatever takes a deadline from a user.

use crate::sched::timers;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The same moment on both clocks: `Instant` and nanoseconds advance together. Of several looks the one counts in which the least
/// time passed, with its later reading: a deadline is never early, and late by some dozen nanoseconds.
fn origin() -> (Instant, i64) {
    static ORIGIN: OnceLock<(Instant, i64)> = OnceLock::new();
    *ORIGIN.get_or_init(|| {
        let look = |_| {
            let before = timers::now();
            let instant = Instant::now();
            let after = timers::now();
            (after - before, instant, after)
        };
        let (_, instant, ns) = (1..64).map(look).fold(look(0), |best, next| if next.0 < best.0 { next } else { best });
        (instant, ns)
    })
}

/// Nanoseconds of a duration, saturating.
pub(crate) fn nanos(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}

/// The deadline for an instant: never one of the special values, saturating.
pub(crate) fn deadline(t: Instant) -> i64 {
    let (i, ns) = origin();
    match t.checked_duration_since(i) {
        Some(d) => ns.saturating_add(nanos(d)).clamp(1, i64::MAX - 1),
        None => ns.saturating_sub(nanos(i.duration_since(t))).max(1),
    }
}

/// The instant of a deadline.
pub(crate) fn instant(when: i64) -> Instant {
    let (i, ns) = origin();
    let d = Duration::from_nanos(when.abs_diff(ns));
    if when >= ns {
        i.checked_add(d).unwrap_or(i)
    } else {
        i.checked_sub(d).unwrap_or(i)
    }
}
