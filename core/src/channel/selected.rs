//! An operation that `Select` has chosen, on its way to completion.
//!
//! Where it sits: made by `builder`, completed by programs; calls `erased`.

use std::marker::PhantomData;
use std::{fmt, mem, thread};

use super::__select::Slot;
use super::erased::{Buffer, Offer, RecvTable, SendTable};
use super::error::{RecvError, SendError};
use super::{Receiver, Sender};

/// An operation that was chosen by [`Select`](super::Select) and has begun; it must be completed with [`send`](SelectedOperation::send) or
/// [`recv`](SelectedOperation::recv).
///
/// Between the choice and the completion of a send its partner waits for the message.
///
/// # Panics
///
/// Dropping it without completing it panics. A message that was received is dropped, a send counts as never made.
///
/// # Examples
///
/// ```
/// use zokor::channel::{bounded, Select};
///
/// let (s, r) = bounded(1);
/// let mut select = Select::new();
/// select.send(&s);
/// select.select().send(&s, "hello").unwrap();
/// assert_eq!(r.recv(), Ok("hello"));
/// ```
#[must_use]
pub struct SelectedOperation<'a> {
    pub(super) index: usize,
    pub(super) address: *const (),
    pub(super) begun: Begun,
    pub(super) _handles: PhantomData<&'a ()>,
}

/// How far the operation has come.
pub(super) enum Begun {
    /// The value is in the buffer.
    Received {
        table: &'static RecvTable,
        buffer: Buffer,
    },
    RecvDisconnected,
    /// The promise was sent and is to be kept.
    Promised {
        table: &'static SendTable,
        offer: *mut (),
    },
    SendDisconnected,
    Completed,
}

impl SelectedOperation<'_> {
    /// The index that [`Select::send`](super::Select::send) or [`Select::recv`](super::Select::recv) returned for the operation.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{bounded, Select};
    ///
    /// let (s, _r) = bounded(1);
    /// let mut select = Select::new();
    /// let index = select.send(&s);
    /// let operation = select.select();
    /// assert_eq!(operation.index(), index);
    /// operation.send(&s, ()).unwrap();
    /// ```
    pub fn index(&self) -> usize {
        self.index
    }

    /// Completes a send. Does not wait.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message if the channel is disconnected.
    ///
    /// # Panics
    ///
    /// If the chosen operation is not a send on the channel of `s`.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{bounded, Select, SendError};
    ///
    /// let (s, r) = bounded(0);
    /// drop(r);
    /// let mut select = Select::new();
    /// select.send(&s);
    /// assert_eq!(select.select().send(&s, 5), Err(SendError(5)));
    /// ```
    pub fn send<T>(mut self, s: &Sender<T>, msg: T) -> Result<(), SendError<T>> {
        assert!(self.address == s.address() && self.begun.is_send(), "passed a sender that wasn't selected");
        match mem::replace(&mut self.begun, Begun::Completed) {
            Begun::Promised { offer, .. } => {
                // SAFETY: by B2 of `builder` the offer was made for this `T`; it is owned here.
                let offer = unsafe { Box::from_raw(offer.cast::<Offer<T>>()) };
                offer.keep(msg).map_err(SendError)
            }
            _ => Err(SendError(msg)),
        }
    }

    /// Completes a receive. Does not wait.
    ///
    /// # Errors
    ///
    /// [`RecvError`] if the channel is empty and disconnected.
    ///
    /// # Panics
    ///
    /// If the chosen operation is not a receive on the channel of `r`.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{bounded, RecvError, Select};
    ///
    /// let (s, r) = bounded::<i32>(0);
    /// drop(s);
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// assert_eq!(select.select().recv(&r), Err(RecvError));
    /// ```
    pub fn recv<T>(mut self, r: &Receiver<T>) -> Result<T, RecvError> {
        assert!(self.address == r.address() && self.begun.is_recv(), "passed a receiver that wasn't selected");
        match mem::replace(&mut self.begun, Begun::Completed) {
            // SAFETY: by B2 of `builder` the slot was made for this `T`; it is settled, and owned here.
            Begun::Received { mut buffer, .. } => Ok(unsafe { Slot::<T>::take(buffer.as_mut_ptr().cast()) }),
            _ => Err(RecvError),
        }
    }
}

impl Begun {
    fn is_send(&self) -> bool {
        matches!(self, Begun::Promised { .. } | Begun::SendDisconnected)
    }

    fn is_recv(&self) -> bool {
        matches!(self, Begun::Received { .. } | Begun::RecvDisconnected)
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        match mem::replace(&mut self.begun, Begun::Completed) {
            Begun::Completed => return,
            // SAFETY: the slot is settled, and owned here.
            Begun::Received { table, mut buffer } => unsafe { (table.drop)(buffer.as_mut_ptr()) },
            // SAFETY: the offer is owned here; freeing it breaks the promise.
            Begun::Promised { table, offer } => unsafe { (table.free)(offer) },
            Begun::RecvDisconnected | Begun::SendDisconnected => {}
        }
        if !thread::panicking() {
            panic!("dropped `SelectedOperation` without completing the operation");
        }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}
