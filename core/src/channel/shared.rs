//! The one allocation behind a pair of [`Sender`](super::Sender) and [`Receiver`](super::Receiver), and what travels through it.
//!
//! Where it sits: called by `sender`, `receiver`, `operand` and `builder`; calls `crate::chan`.
//!
//! # State
//!
//! [`Shared`] is the core's channel with a count of handles for each side. The channel closes when one count reaches zero;
//! the allocation goes when both have.
//!
//! # Invariants
//!
//! - **F1** `senders` and `receivers` are the numbers of live handles. A handle is made only from a live handle of its side,
//!   so a count that reached zero stays there.
//! - **F2** `sides` is the number of sides that have not been given up; a side is given up once, after its count reached
//!   zero. Whoever brings it to zero frees the allocation, and nobody can reach it any more.
//! - **F3** A plain send puts in [`Message::Now`] and gets the same back on error.
//!
//! # Orderings
//!
//! The counts follow the rules of `std::sync::Arc`: relaxed up, release-acquire down.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::process::abort;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use super::error::CloseError;
use super::timer::Time;
use crate::chan::{Chan, Error, FOREVER};

/// What travels through the core's channel.
///
/// Nearly always the value itself. Only the [`Select`](super::Select) builder chooses a send before it has the value; it sends
/// a promise, and whoever receives that waits for the value. So the choice is one atomic step like any other, without a
/// second kind of send in the core.
pub(super) enum Message<T> {
    Now(T),
    Later(Promised<T>),
}

impl<T> Message<T> {
    /// The value; waits for it if it was promised. `None`: the promise was broken, the message counts as never sent.
    #[inline]
    pub(super) fn settle(self) -> Option<T> {
        match self {
            Message::Now(value) => Some(value),
            Message::Later(promised) => promised.wait(),
        }
    }

    /// Ends a message that the channel dropped by its policy. A promise counts as taken: whoever keeps it loses the value there.
    pub(super) fn dismiss(self) {
        if let Message::Later(promised) = self {
            promised.let_go();
        }
    }

    /// The value of a message that a plain send gave back (F3).
    #[inline]
    pub(super) fn into_value(self) -> T {
        match self {
            Message::Now(value) => value,
            Message::Later(_) => unreachable!("a plain send promises nothing"),
        }
    }
}

/// The receiving end of a promise: a channel of one slot, used once.
pub(super) struct Promised<T>(pub(super) Arc<Chan<T>>);

impl<T> Promised<T> {
    #[cold]
    fn wait(self) -> Option<T> {
        self.0.recv(FOREVER).ok()
    }

    /// Leaves the slot to the side that promised, and does not close it.
    #[cold]
    fn let_go(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used or dropped any more.
        drop(unsafe { ptr::read(&this.0) });
    }
}

impl<T> Drop for Promised<T> {
    /// From here on the side that promised keeps its value.
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A channel with its counts of handles.
pub(super) struct Shared<T> {
    pub(super) chan: Chan<Message<T>>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    sides: AtomicUsize,
}

impl<T> Shared<T> {
    /// Sends `value`; it comes back with every error.
    #[inline]
    pub(super) fn send(&self, value: T, deadline: Time) -> Result<(), (T, Error)> {
        self.chan
            .send_or(Message::Now(value), deadline, Message::dismiss)
            .map_err(|(message, error)| (message.into_value(), error))
    }

    /// Receives a value; a broken promise counts as never sent.
    #[inline]
    pub(super) fn recv(&self, deadline: Time) -> Result<T, Error> {
        loop {
            if let Some(value) = self.chan.recv(deadline)?.settle() {
                return Ok(value);
            }
        }
    }

    pub(super) fn close(&self) -> Result<(), CloseError> {
        if self.chan.close() {
            Ok(())
        } else {
            Err(CloseError::Closed)
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.chan.cap().is_some_and(|capacity| self.chan.len() >= capacity)
    }
}

/// A counted handle to a channel; the last one of a side disconnects it.
pub(super) struct Handle<T, const SIDE: bool>(NonNull<Shared<T>>);

pub(super) const SENDING: bool = false;
pub(super) const RECEIVING: bool = true;

/// A new channel with one handle for each side, over the core's.
pub(super) fn channel<T>(chan: Chan<Message<T>>) -> (Handle<T, SENDING>, Handle<T, RECEIVING>) {
    let shared = NonNull::from(Box::leak(Box::new(Shared {
        chan,
        senders: AtomicUsize::new(1),
        receivers: AtomicUsize::new(1),
        sides: AtomicUsize::new(2),
    })));
    (Handle(shared), Handle(shared))
}

impl<T, const SIDE: bool> Handle<T, SIDE> {
    #[inline]
    fn count(&self) -> &AtomicUsize {
        if SIDE == RECEIVING {
            &self.receivers
        } else {
            &self.senders
        }
    }

    /// Tells channels apart; the same for both sides of a channel.
    #[inline]
    pub(super) fn address(&self) -> *const () {
        self.0.as_ptr().cast_const().cast()
    }

    #[cold]
    fn disconnect(&self) {
        // A buffered value whose drop panics must not keep the allocation, so the side is given up on every path.
        let _side = GiveUp(self.0);
        self.chan.close();
        if SIDE == RECEIVING {
            self.chan.discard();
        }
    }
}

impl<T, const SIDE: bool> Deref for Handle<T, SIDE> {
    type Target = Shared<T>;

    #[inline]
    fn deref(&self) -> &Shared<T> {
        // SAFETY: by F1 this handle counts, so its side has not been given up and by F2 the allocation is alive.
        unsafe { self.0.as_ref() }
    }
}

impl<T, const SIDE: bool> Clone for Handle<T, SIDE> {
    #[inline]
    fn clone(&self) -> Self {
        // Relaxed: `self` keeps the count above zero, and nothing is read on the strength of the new value.
        if self.count().fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
            // Handles were leaked until the count is about to wrap; going on would free a channel in use.
            abort();
        }
        Self(self.0)
    }
}

impl<T, const SIDE: bool> Drop for Handle<T, SIDE> {
    #[inline]
    fn drop(&mut self) {
        // AcqRel pairs with the same operation of the other handles: what they did through theirs happens before the
        // disconnect by the last one. Relaxed would let it drop a buffered value whose send it does not see.
        if self.count().fetch_sub(1, Ordering::AcqRel) == 1 {
            self.disconnect();
        }
    }
}

/// Gives up one side of a [`Shared`] on drop.
struct GiveUp<T>(NonNull<Shared<T>>);

impl<T> Drop for GiveUp<T> {
    fn drop(&mut self) {
        // SAFETY: the side that this guard stands for is given up only here, so by F2 the allocation is alive.
        let sides = unsafe { &self.0.as_ref().sides };
        // AcqRel pairs with the same operation of the other side: all it did with the channel happens before the free.
        if sides.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: by F2 nobody can reach the allocation any more; it came from a box in `channel`.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}
