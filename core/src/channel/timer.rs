//! The channel behind `after`, `at` and `tick`, and the conversion of deadlines.
//!
//! Where it sits: called by `receiver` and `operand`; calls the core's timer channels.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::chan::{Chan, Header, NOWAIT};
use crate::select::{select_raw, Op, Order, SelCase};
use crate::{clock, timers};

/// A moment on the core's clock, in nanoseconds; or `FOREVER`, or `NOWAIT`.
pub type Time = i64;

/// The moment after `duration`, never one of the special values unless it is too far to express.
pub(super) fn within(duration: Duration) -> Time {
    timers::after(clock::nanos(duration))
}

/// The moment of `instant`.
pub(super) fn at_latest(instant: Instant) -> Time {
    clock::deadline(instant)
}

/// A timer's channel as a `Receiver<T>` holds it. Only receivers of `Instant` are made with one; `cast` is the proof, so that
/// generic code needs no transmutation.
pub(super) struct Timer<T> {
    chan: Arc<Chan<Instant>>,
    cast: fn(Instant) -> T,
    /// Of `zokor::time`: it looks like a channel without a buffer, also with a tick to take (T-03). The others look as
    /// `crossbeam_channel`'s do, with room for one.
    synchronous: bool,
}

impl Timer<Instant> {
    /// Fires at `first`, and then every `period` if there is one.
    pub(super) fn new(first: Instant, period: Option<Duration>) -> Self {
        Self { synchronous: false, ..Self::of(Chan::timer(first, period)) }
    }

    /// Over a channel that somebody else stops and resets.
    pub(super) fn of(chan: Arc<Chan<Instant>>) -> Self {
        Self { chan, cast: |instant| instant, synchronous: true }
    }
}

impl<T> Timer<T> {
    pub(super) fn chan(&self) -> &Chan<Instant> {
        &self.chan
    }

    pub(super) fn header(&self) -> *const Header {
        self.chan.header()
    }

    pub(super) fn cast(&self, instant: Instant) -> T {
        (self.cast)(instant)
    }

    /// The size of the buffer to look at.
    pub(super) fn cap(&self) -> usize {
        usize::from(!self.synchronous)
    }

    /// How many ticks lie in it.
    pub(super) fn len(&self) -> usize {
        usize::from(!self.synchronous && self.is_due())
    }

    /// Whether a tick is due and not yet received.
    fn is_due(&self) -> bool {
        let case = SelCase { chan: self.header(), elem: std::ptr::null_mut(), op: Op::ReadyRecv };
        // SAFETY: the channel lives as long as `self`, and a `Ready` case has no element.
        unsafe { select_raw(&[case], NOWAIT, Order::Listed) }.is_ok()
    }
}

impl<T> Clone for Timer<T> {
    fn clone(&self) -> Self {
        Self { chan: self.chan.clone(), cast: self.cast, synchronous: self.synchronous }
    }
}
