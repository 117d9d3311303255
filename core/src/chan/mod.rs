//! Channels: one algorithm (`core`), two buffers (`ring`), timers as a source of values (`source`), what happens to values
//! without room (`policy`).
//!
//! *Where it sits*: layer 4. [`Chan`] is the typed channel under `zokor::channel`; [`ByteChan`] is what C and Python use.

pub mod bytes;
pub mod core;
pub mod count;
pub(crate) mod direct;
mod park;
pub mod policy;
pub mod ring;
pub mod source;
pub mod step;

pub use self::core::{Error, Header, FOREVER, NOWAIT};
pub use bytes::ByteChan;

use self::core::Core;
use crate::sched;
use policy::{Overflow, Policy, Stayed};
use ring::TypedRing;
use source::Source;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// All of a receive that does not wait where there was an instant, just now, at which the channel was empty and open: its answer is `WouldBlock`.
/// False says nothing, and nothing has happened; so it is at the end of a time slice (G-11), and where calls are to be refused: a worker that is to
/// stop is disturbed, and a forked child has none.
#[inline(always)]
fn finds_nothing(h: &Header) -> bool {
    h.surely_empty() && sched::undisturbed()
}

/// A channel of values of one Rust type.
pub struct Chan<T> {
    core: Core<TypedRing<T>>,
}

impl<T> Chan<T> {
    /// A channel with a buffer of `cap` values: 0 makes sender and receiver meet, `None` is unbounded.
    pub fn new(cap: Option<usize>) -> Arc<Chan<T>> {
        Arc::new(Self::unboxed(cap))
    }

    /// The same in place. It must not move once it is used.
    pub fn unboxed(cap: Option<usize>) -> Chan<T> {
        Chan { core: Core::new(TypedRing::new(cap), None, None) }
    }

    /// A channel whose senders do not wait for room, in place.
    pub fn with_policy(cap: Option<usize>, overflow: Overflow) -> Chan<T> {
        let ring = match overflow {
            Overflow::Refuse => TypedRing::growing(cap),
            Overflow::DropNewest | Overflow::DropOldest => TypedRing::new(cap),
        };
        Chan { core: Core::new(ring, None, Some(Policy::new(overflow, true))) }
    }

    /// Sends `v`; on error it comes back.
    #[inline]
    pub fn send(&self, v: T, deadline: i64) -> Result<(), (T, Error)> {
        self.send_or(v, deadline, drop)
    }

    /// Sends `v`; on error it comes back. A value that the channel's policy drops goes to `end`.
    #[inline]
    pub fn send_or(&self, v: T, deadline: i64, end: impl FnOnce(T)) -> Result<(), (T, Error)> {
        let mut v = ManuallyDrop::new(v);
        // SAFETY: v stays in this frame until the call returns; on success it was moved out, else it is still ours (C4), or
        // what was left in its place is.
        unsafe {
            match self.core.send((&raw mut v).cast(), deadline) {
                Ok(()) => Ok(()),
                Err(Stayed::Unsent(e)) => Err((ManuallyDrop::take(&mut v), e)),
                Err(Stayed::Left) => {
                    end(ManuallyDrop::take(&mut v));
                    Ok(())
                }
            }
        }
    }

    /// What it does with values for which there is no room, unless their senders wait.
    pub fn policy(&self) -> Option<&Policy> {
        self.core.policy()
    }

    /// Receives a value.
    #[inline]
    pub fn recv(&self, deadline: i64) -> Result<T, Error> {
        let mut slot = MaybeUninit::<T>::uninit();
        // SAFETY: slot has room for a T; on success it was filled (C4).
        unsafe {
            self.core.recv(slot.as_mut_ptr().cast(), deadline)?;
            Ok(slot.assume_init())
        }
    }

    /// See [`finds_nothing`].
    #[inline(always)]
    pub fn finds_nothing(&self) -> bool {
        finds_nothing(self.core.header())
    }

    /// Closes the channel; false if it was closed before.
    pub fn close(&self) -> bool {
        self.core.header().close()
    }

    /// Whether it is closed. A snapshot.
    pub fn is_closed(&self) -> bool {
        self.core.header().is_closed()
    }

    /// Drops all buffered values, outside the lock.
    pub fn discard(&self) {
        let h = self.core.header();
        h.lock();
        // SAFETY: the lock is held; the values taken out are ours.
        let rest = unsafe {
            let rest = self.core.ring().take_all();
            self.core.emptied();
            h.unlock();
            rest
        };
        drop(rest);
    }

    /// Values in the buffer. A snapshot.
    pub fn len(&self) -> usize {
        self.core.header().len()
    }

    /// Size of the buffer; `None` if unbounded.
    pub fn cap(&self) -> Option<usize> {
        self.core.cap()
    }

    /// What select works on.
    #[inline(always)]
    pub fn header(&self) -> &Header {
        self.core.header()
    }
}

impl Chan<Instant> {
    /// Lets `f` at the timer behind the channel, under its lock. False if there is none.
    pub fn with_source(&self, f: impl FnOnce(&Source, &Header) -> bool) -> bool {
        self.header().with_source(f)
    }

    /// The channel of a synchronous timer, due at `first` and then every `period`.
    pub fn timer(first: Instant, period: Option<Duration>) -> Arc<Chan<Instant>> {
        unsafe fn emit(when: i64, dst: *mut u8) {
            // SAFETY: dst has room for an Instant.
            unsafe { dst.cast::<Instant>().write(crate::clock::instant(when)) };
        }
        let period = period.map_or(0, |p| crate::clock::nanos(p).max(1));
        let source = Source::new(crate::clock::deadline(first), period, emit);
        Arc::new(Chan { core: Core::new(TypedRing::new(Some(0)), Some(Box::new(source)), None) })
    }
}
