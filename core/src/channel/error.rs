//! What a channel operation that did not happen says about itself.
//!
//! Where it sits: called by every other file of `channel`; calls nothing. A send error always carries the message, so that
//! nothing is lost; its `Debug` does not show the message, so that it asks nothing of `T`.

use std::error::Error;
use std::fmt;

/// The channel is disconnected; the message comes back. Returned by [`Sender::send`](super::Sender::send).
///
/// # Examples
///
/// ```
/// use zokor::channel::{unbounded, SendError};
///
/// let (s, r) = unbounded();
/// drop(r);
/// assert_eq!(s.send("kept"), Err(SendError("kept")));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(
    /// The message that was not sent.
    pub T,
);

/// Why [`Sender::try_send`](super::Sender::try_send) did not send; the message comes back.
///
/// # Examples
///
/// ```
/// use zokor::channel::{bounded, TrySendError};
///
/// let (s, r) = bounded(1);
/// assert_eq!(s.try_send(1), Ok(()));
/// assert_eq!(s.try_send(2), Err(TrySendError::Full(2)));
/// drop(r);
/// assert_eq!(s.try_send(3), Err(TrySendError::Disconnected(3)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// No room in the buffer, or, without a buffer, no receiver waiting at this moment.
    Full(T),
    /// No receiver is left, or the channel was closed.
    Disconnected(T),
}

/// Why a send with a time limit did not send; the message comes back. Returned by
/// [`Sender::send_timeout`](super::Sender::send_timeout) and [`Sender::send_deadline`](super::Sender::send_deadline).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use zokor::channel::{bounded, SendTimeoutError};
///
/// let (s, _r) = bounded(0);
/// let late = s.send_timeout('x', Duration::from_millis(1));
/// assert_eq!(late, Err(SendTimeoutError::Timeout('x')));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// The time ran out first.
    Timeout(T),
    /// No receiver is left, or the channel was closed.
    Disconnected(T),
}

/// The channel is empty and disconnected: no message will ever come. Returned by [`Receiver::recv`](super::Receiver::recv).
///
/// # Examples
///
/// ```
/// use zokor::channel::{unbounded, RecvError};
///
/// let (s, r) = unbounded::<u8>();
/// drop(s);
/// assert_eq!(r.recv(), Err(RecvError));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecvError;

/// Why [`Receiver::try_recv`](super::Receiver::try_recv) received nothing.
///
/// # Examples
///
/// ```
/// use zokor::channel::{unbounded, TryRecvError};
///
/// let (s, r) = unbounded::<u8>();
/// assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
/// drop(s);
/// assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryRecvError {
    /// No message at this moment.
    Empty,
    /// No message, and no sender is left or the channel was closed.
    Disconnected,
}

/// Why a receive with a time limit received nothing. Returned by
/// [`Receiver::recv_timeout`](super::Receiver::recv_timeout) and [`Receiver::recv_deadline`](super::Receiver::recv_deadline).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use zokor::channel::{bounded, RecvTimeoutError};
///
/// let (_s, r) = bounded::<u8>(1);
/// assert_eq!(r.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecvTimeoutError {
    /// The time ran out first.
    Timeout,
    /// No message, and no sender is left or the channel was closed.
    Disconnected,
}

/// No operation was ready. Returned by [`Select::try_select`](super::Select::try_select).
///
/// # Examples
///
/// ```
/// use zokor::channel::{Select, TrySelectError};
///
/// assert_eq!(Select::new().try_select().unwrap_err(), TrySelectError);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrySelectError;

/// No operation became ready in time. Returned by [`Select::select_timeout`](super::Select::select_timeout) and
/// [`Select::select_deadline`](super::Select::select_deadline).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use zokor::channel::{Select, SelectTimeoutError};
///
/// let late = Select::new().select_timeout(Duration::from_millis(1));
/// assert_eq!(late.unwrap_err(), SelectTimeoutError);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SelectTimeoutError;

/// No operation was ready. Returned by [`Select::try_ready`](super::Select::try_ready).
///
/// # Examples
///
/// ```
/// use zokor::channel::{Select, TryReadyError};
///
/// assert_eq!(Select::new().try_ready(), Err(TryReadyError));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TryReadyError;

/// No operation became ready in time. Returned by [`Select::ready_timeout`](super::Select::ready_timeout) and
/// [`Select::ready_deadline`](super::Select::ready_deadline).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use zokor::channel::{ReadyTimeoutError, Select};
///
/// let late = Select::new().ready_timeout(Duration::from_millis(1));
/// assert_eq!(late, Err(ReadyTimeoutError));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadyTimeoutError;

/// Why `close` changed nothing. Returned by [`Sender::close`](super::Sender::close) and
/// [`Receiver::close`](super::Receiver::close).
///
/// # Examples
///
/// ```
/// use zokor::channel::{never, unbounded, CloseError};
///
/// let (s, r) = unbounded::<u8>();
/// assert_eq!(s.close(), Ok(()));
/// assert_eq!(r.close(), Err(CloseError::Closed));
/// assert_eq!(never::<u8>().close(), Err(CloseError::NoSender));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseError {
    /// The channel is closed already.
    Closed,
    /// The receiver belongs to a timer, or to no channel at all: nobody sends there, so nobody can close it.
    NoSender,
}

impl<T> SendError<T> {
    /// Returns the message that was not sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # use zokor::channel::SendError;
    /// assert_eq!(SendError(5).into_inner(), 5);
    /// ```
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> TrySendError<T> {
    /// Returns the message that was not sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # use zokor::channel::TrySendError;
    /// assert_eq!(TrySendError::Full(5).into_inner(), 5);
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(message) | Self::Disconnected(message) => message,
        }
    }

    /// Whether there was only no room, so that a later attempt may succeed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use zokor::channel::TrySendError;
    /// assert!(TrySendError::Full(5).is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the channel is disconnected, so that no later attempt can succeed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use zokor::channel::TrySendError;
    /// assert!(TrySendError::Disconnected(5).is_disconnected());
    /// ```
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected(_))
    }
}

impl<T> SendTimeoutError<T> {
    /// Returns the message that was not sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # use zokor::channel::SendTimeoutError;
    /// assert_eq!(SendTimeoutError::Timeout(5).into_inner(), 5);
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            Self::Timeout(message) | Self::Disconnected(message) => message,
        }
    }

    /// Whether the time ran out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use zokor::channel::SendTimeoutError;
    /// assert!(SendTimeoutError::Timeout(5).is_timeout());
    /// ```
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// Whether the channel is disconnected.
    ///
    /// # Examples
    ///
    /// ```
    /// # use zokor::channel::SendTimeoutError;
    /// assert!(SendTimeoutError::Disconnected(5).is_disconnected());
    /// ```
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected(_))
    }
}

impl TryRecvError {
    /// Whether there was only no message, so that a later attempt may succeed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use zokor::channel::TryRecvError;
    /// assert!(TryRecvError::Empty.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether the channel is disconnected.
    ///
    /// # Examples
    ///
    /// ```
    /// # use zokor::channel::TryRecvError;
    /// assert!(TryRecvError::Disconnected.is_disconnected());
    /// ```
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected)
    }
}

impl RecvTimeoutError {
    /// Whether the time ran out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use zokor::channel::RecvTimeoutError;
    /// assert!(RecvTimeoutError::Timeout.is_timeout());
    /// ```
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout)
    }

    /// Whether the channel is disconnected.
    ///
    /// # Examples
    ///
    /// ```
    /// # use zokor::channel::RecvTimeoutError;
    /// assert!(RecvTimeoutError::Disconnected.is_disconnected());
    /// ```
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected)
    }
}

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(SendError(message): SendError<T>) -> Self {
        Self::Disconnected(message)
    }
}

impl<T> From<SendError<T>> for SendTimeoutError<T> {
    fn from(SendError(message): SendError<T>) -> Self {
        Self::Disconnected(message)
    }
}

impl From<RecvError> for TryRecvError {
    fn from(RecvError: RecvError) -> Self {
        Self::Disconnected
    }
}

impl From<RecvError> for RecvTimeoutError {
    fn from(RecvError: RecvError) -> Self {
        Self::Disconnected
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SendError(..)")
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full(_) => "Full(..)",
            Self::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SendTimeoutError(..)")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(SENDING_DISCONNECTED)
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full(_) => "sending on a full channel",
            Self::Disconnected(_) => SENDING_DISCONNECTED,
        })
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Timeout(_) => "timed out waiting on send operation",
            Self::Disconnected(_) => SENDING_DISCONNECTED,
        })
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(RECEIVING_DISCONNECTED)
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Empty => "receiving on an empty channel",
            Self::Disconnected => RECEIVING_DISCONNECTED,
        })
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Timeout => "timed out waiting on receive operation",
            Self::Disconnected => "channel is empty and disconnected",
        })
    }
}

impl fmt::Display for TrySelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(ALL_WOULD_BLOCK)
    }
}

impl fmt::Display for SelectTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(SELECT_TIMED_OUT)
    }
}

impl fmt::Display for TryReadyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(ALL_WOULD_BLOCK)
    }
}

impl fmt::Display for ReadyTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(SELECT_TIMED_OUT)
    }
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Closed => "closing a closed channel",
            Self::NoSender => "closing a channel that has no senders",
        })
    }
}

impl<T: Send> Error for SendError<T> {}
impl<T: Send> Error for TrySendError<T> {}
impl<T: Send> Error for SendTimeoutError<T> {}
impl Error for RecvError {}
impl Error for TryRecvError {}
impl Error for RecvTimeoutError {}
impl Error for TrySelectError {}
impl Error for SelectTimeoutError {}
impl Error for TryReadyError {}
impl Error for ReadyTimeoutError {}
impl Error for CloseError {}

// Programs that print these move between the two crates unchanged, so the wording is crossbeam-channel's, byte for byte.
const SENDING_DISCONNECTED: &str = "sending on a disconnected channel";
const RECEIVING_DISCONNECTED: &str = "receiving on an empty and disconnected channel";
const ALL_WOULD_BLOCK: &str = "all operations in select would block";
const SELECT_TIMED_OUT: &str = "timed out waiting on select";
