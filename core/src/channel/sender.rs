//! The sending side of a channel.
//!
//! Where it sits: called by programs, and by `operand` and `builder` for the channel behind it; calls `shared`.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use super::__select;
use super::error::{CloseError, SendError, SendTimeoutError, TrySendError};
use super::shared::{Handle, Shared, SENDING};
use super::timer::{at_latest, within, Time};
use crate::chan::{Error, FOREVER, NOWAIT};

/// The sending side of a channel.
///
/// Cloning makes another handle to the same channel; any number of goroutines and threads may send at once. When the last
/// `Sender` is dropped, receivers get what is still buffered and then [`RecvError`](super::RecvError).
///
/// # Examples
///
/// ```
/// use std::thread;
/// use zokor::channel::unbounded;
///
/// let (s1, r) = unbounded();
/// let s2 = s1.clone();
/// let one = thread::spawn(move || s1.send(1).unwrap());
/// let two = thread::spawn(move || s2.send(2).unwrap());
/// assert_eq!(r.iter().sum::<i32>(), 3);
/// # one.join().unwrap();
/// # two.join().unwrap();
/// ```
///
/// A handle goes where its messages may go:
///
/// ```compile_fail,E0277
/// use std::rc::Rc;
/// use zokor::channel::unbounded;
///
/// let (s, _r) = unbounded::<Rc<u8>>();
/// std::thread::spawn(move || drop(s));
/// ```
pub struct Sender<T> {
    handle: Handle<T, SENDING>,
}

// SAFETY: a handle reaches the channel only through `Shared`, whose counts are atomic and whose channel may be used from every
// thread when its values may be sent there. It gives out no reference to a value.
unsafe impl<T: Send> Send for Sender<T> {}
// SAFETY: as above; all methods take `&self`.
unsafe impl<T: Send> Sync for Sender<T> {}

// A panic inside a channel operation leaves the channel as it was before: nothing is poisoned.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    pub(super) fn new(handle: Handle<T, SENDING>) -> Self {
        Self { handle }
    }

    #[inline]
    pub(super) fn shared(&self) -> &Shared<T> {
        &self.handle
    }

    /// Tells channels apart; equal for the two sides of one channel.
    #[inline]
    pub(super) fn address(&self) -> *const () {
        self.handle.address()
    }

    /// Sends a message; waits while there is no room.
    ///
    /// With a buffer the call returns as soon as the message is in it, without one (`bounded(0)`) when a receiver has taken
    /// it. Waiting senders are served first come, first served. A goroutine parks, any other thread sleeps. Channels made with
    /// another [`Policy`](super::Policy) than to block never wait here.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message when no receiver is left or the channel is closed, also when that happens while the
    /// call waits; and when the channel is at its high-water mark.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{bounded, SendError};
    ///
    /// let (s, r) = bounded(1);
    /// assert_eq!(s.send(1), Ok(()));
    /// drop(r);
    /// assert_eq!(s.send(2), Err(SendError(2)));
    /// ```
    #[inline]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.handle.send(message, FOREVER).map_err(|(message, _)| SendError(message))
    }

    /// Sends a message if that takes no waiting.
    ///
    /// Without a buffer it succeeds only if a receiver is waiting at this moment. It never overtakes a sender that waits.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] (also at the high-water mark) or [`TrySendError::Disconnected`], with the message.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{bounded, TrySendError};
    ///
    /// let (s, _r) = bounded(1);
    /// assert_eq!(s.try_send(1), Ok(()));
    /// assert_eq!(s.try_send(2), Err(TrySendError::Full(2)));
    /// ```
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.handle.send(message, NOWAIT).map_err(|(message, error)| match error {
            Error::WouldBlock | Error::Limit => TrySendError::Full(message),
            _ => TrySendError::Disconnected(message),
        })
    }

    /// Sends a message; waits at most `timeout` for room. A zero timeout tries once.
    ///
    /// # Errors
    ///
    /// [`SendTimeoutError::Timeout`] (at once if the channel is at its high-water mark) or
    /// [`SendTimeoutError::Disconnected`], with the message.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use zokor::channel::{bounded, SendTimeoutError};
    ///
    /// let (s, r) = bounded(1);
    /// let limit = Duration::from_millis(5);
    /// assert_eq!(s.send_timeout(1, limit), Ok(()));
    /// assert_eq!(s.send_timeout(2, limit), Err(SendTimeoutError::Timeout(2)));
    /// drop(r);
    /// assert_eq!(s.send_timeout(3, limit), Err(SendTimeoutError::Disconnected(3)));
    /// ```
    #[inline]
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_until(message, within(timeout))
    }

    /// Sends a message; waits until `deadline` for room. A deadline in the past tries once.
    ///
    /// # Errors
    ///
    /// [`SendTimeoutError::Timeout`] (at once if the channel is at its high-water mark) or
    /// [`SendTimeoutError::Disconnected`], with the message.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use zokor::channel::{bounded, SendTimeoutError};
    ///
    /// let (s, _r) = bounded(0);
    /// let deadline = Instant::now() + Duration::from_millis(5);
    /// assert_eq!(s.send_deadline('a', deadline), Err(SendTimeoutError::Timeout('a')));
    /// assert!(Instant::now() >= deadline);
    /// ```
    #[inline]
    pub fn send_deadline(&self, message: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_until(message, at_latest(deadline))
    }

    #[inline]
    fn send_until(&self, message: T, deadline: Time) -> Result<(), SendTimeoutError<T>> {
        self.handle.send(message, deadline).map_err(|(message, error)| match error {
            Error::TimedOut | Error::WouldBlock | Error::Limit => SendTimeoutError::Timeout(message),
            _ => SendTimeoutError::Disconnected(message),
        })
    }

    /// Closes the channel for all its handles.
    ///
    /// Sends fail from now on, waiting ones included; they get their messages back. Receivers still get what is buffered, in
    /// order, and then [`RecvError`](super::RecvError). Dropping the last sender does the same.
    ///
    /// # Errors
    ///
    /// [`CloseError::Closed`] if the channel is closed already; nothing changes.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{unbounded, RecvError};
    ///
    /// let (s, r) = unbounded();
    /// s.send(1).unwrap();
    /// s.close().unwrap();
    /// assert!(s.send(2).is_err());
    /// assert_eq!(r.recv(), Ok(1));
    /// assert_eq!(r.recv(), Err(RecvError));
    /// assert!(s.close().is_err());
    /// ```
    pub fn close(&self) -> Result<(), CloseError> {
        self.handle.close()
    }

    /// Whether no message can be sent any more: the channel was closed, or its last receiver is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::unbounded;
    ///
    /// let (s, r) = unbounded::<u8>();
    /// assert!(!s.is_closed());
    /// drop(r);
    /// assert!(s.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.handle.chan.is_closed()
    }

    /// The number of buffered messages. Messages of waiting senders do not count.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::unbounded;
    ///
    /// let (s, _r) = unbounded();
    /// assert_eq!(s.len(), 0);
    /// s.send(()).unwrap();
    /// assert_eq!(s.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.handle.chan.len()
    }

    /// Whether nothing is buffered. A channel without a buffer is always empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::unbounded;
    ///
    /// let (s, _r) = unbounded();
    /// assert!(s.is_empty());
    /// s.send(()).unwrap();
    /// assert!(!s.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the buffer has no room. A channel without a buffer is always full.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::bounded;
    ///
    /// let (s, _r) = bounded(1);
    /// assert!(!s.is_full());
    /// s.send(()).unwrap();
    /// assert!(s.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        self.handle.is_full()
    }

    /// The size of the buffer in messages; `None` if it has no limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{bounded, unbounded};
    ///
    /// assert_eq!(bounded::<u8>(5).0.capacity(), Some(5));
    /// assert_eq!(unbounded::<u8>().0.capacity(), None);
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        self.handle.chan.cap()
    }

    /// Whether both handles belong to the same channel.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::unbounded;
    ///
    /// let (s, _r) = unbounded::<u8>();
    /// assert!(s.same_channel(&s.clone()));
    /// let (other, _r) = unbounded::<u8>();
    /// assert!(!s.same_channel(&other));
    /// ```
    pub fn same_channel(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

/// For the expansion of `select!`.
#[doc(hidden)]
#[allow(missing_docs)]
impl<T> Sender<T> {
    #[inline]
    pub fn __send(&self, message: T) -> __select::Send<'_, T> {
        __select::Send::new(self, message)
    }

    #[inline]
    pub fn __lend<'a>(&'a self, variable: &'a T) -> __select::Lend<'a, T> {
        __select::Lend::new(self, variable)
    }

    #[inline]
    pub fn __defer(&self) -> __select::Defer<'_, T> {
        __select::Defer::new(self)
    }
}

impl<T> Clone for Sender<T> {
    #[inline]
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}
