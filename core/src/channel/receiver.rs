//! The receiving side of a channel.
//!
//! Where it sits: called by programs, and by `operand` and `builder` for the channel behind it; calls `shared` and `timer`.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::time::{Duration, Instant};

use super::__select;
use super::error::{CloseError, RecvError, RecvTimeoutError, TryRecvError};
use super::iter::{IntoIter, Iter, TryIter};
use super::shared::{Handle, RECEIVING};
use super::timer::{at_latest, within, Time, Timer};
use crate::chan::{Error, Header, FOREVER, NOWAIT};
use crate::select::{select_raw, Order};

/// The receiving side of a channel.
///
/// Cloning makes another handle to the same channel: each message goes to exactly one receiver. When the last `Receiver` is
/// dropped, buffered messages are dropped at once and senders get theirs back.
///
/// # Examples
///
/// ```
/// use std::thread;
/// use zokor::channel::unbounded;
///
/// let (s, r) = unbounded();
/// let sending = thread::spawn(move || {
///     for i in 1..=3 {
///         s.send(i).unwrap();
///     }
/// });
/// assert_eq!(r.recv(), Ok(1));
/// assert_eq!(r.iter().collect::<Vec<_>>(), [2, 3]);
/// # sending.join().unwrap();
/// ```
pub struct Receiver<T> {
    source: Source<T>,
}

/// Where messages come from.
pub(super) enum Source<T> {
    Channel(Handle<T, RECEIVING>),
    Timer(Box<Timer<T>>),
    Never,
}

// SAFETY: a handle reaches the channel only through `Shared` or `Timer`, whose counts are atomic and whose channels may be
// used from every thread when their values may be sent there. It gives out no reference to a value.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: as above; all methods take `&self`.
unsafe impl<T: Send> Sync for Receiver<T> {}

// A panic inside a channel operation leaves the channel as it was before: nothing is poisoned.
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl Receiver<Instant> {
    /// The receiver of a timer's channel.
    pub(crate) fn of_timer(chan: std::sync::Arc<crate::chan::Chan<Instant>>) -> Self {
        Self { source: Source::Timer(Box::new(Timer::of(chan))) }
    }
}

impl<T> Receiver<T> {
    pub(super) fn new(handle: Handle<T, RECEIVING>) -> Self {
        Self { source: Source::Channel(handle) }
    }

    pub(super) const fn never() -> Self {
        Self { source: Source::Never }
    }

    pub(super) fn source(&self) -> &Source<T> {
        &self.source
    }

    /// What the core selects on; null means never ready.
    #[inline]
    pub(super) fn header(&self) -> *const Header {
        match &self.source {
            Source::Channel(handle) => handle.chan.header(),
            Source::Timer(timer) => timer.header(),
            Source::Never => ptr::null(),
        }
    }

    /// Tells channels apart; equal for the two sides of one channel.
    #[inline]
    pub(super) fn address(&self) -> *const () {
        match &self.source {
            Source::Channel(handle) => handle.address(),
            Source::Timer(timer) => ptr::from_ref(timer.chan()).cast(),
            Source::Never => ptr::null(),
        }
    }

    #[inline]
    fn recv_until(&self, deadline: Time) -> Result<T, Error> {
        match &self.source {
            Source::Channel(handle) => handle.recv(deadline),
            Source::Timer(timer) => recv_tick(timer, deadline),
            Source::Never => wait_in_vain(deadline),
        }
    }

    /// Receives a message; waits while there is none.
    ///
    /// Waiting receivers are served first come, first served, and no later one takes a message that was meant for an earlier
    /// one. A goroutine parks, any other thread sleeps.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when the channel is empty and disconnected: no sender is left, or it was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{unbounded, RecvError};
    ///
    /// let (s, r) = unbounded();
    /// s.send(5).unwrap();
    /// drop(s);
    /// assert_eq!(r.recv(), Ok(5));
    /// assert_eq!(r.recv(), Err(RecvError));
    /// ```
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(FOREVER).map_err(|_| RecvError)
    }

    /// Receives a message if that takes no waiting.
    ///
    /// Without a buffer it succeeds only if a sender is waiting at this moment.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] or [`TryRecvError::Disconnected`].
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{unbounded, TryRecvError};
    ///
    /// let (s, r) = unbounded();
    /// assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    /// s.send(5).unwrap();
    /// drop(s);
    /// assert_eq!(r.try_recv(), Ok(5));
    /// assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        if matches!(&self.source, Source::Channel(handle) if handle.chan.finds_nothing()) {
            return Err(TryRecvError::Empty);
        }
        self.recv_until(NOWAIT).map_err(|error| match error {
            Error::WouldBlock => TryRecvError::Empty,
            _ => TryRecvError::Disconnected,
        })
    }

    /// Receives a message; waits at most `timeout`. A zero timeout tries once.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] or [`RecvTimeoutError::Disconnected`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use zokor::channel::{unbounded, RecvTimeoutError};
    ///
    /// let (s, r) = unbounded();
    /// let limit = Duration::from_millis(5);
    /// assert_eq!(r.recv_timeout(limit), Err(RecvTimeoutError::Timeout));
    /// s.send(5).unwrap();
    /// assert_eq!(r.recv_timeout(limit), Ok(5));
    /// drop(s);
    /// assert_eq!(r.recv_timeout(limit), Err(RecvTimeoutError::Disconnected));
    /// ```
    #[inline]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_in_time(within(timeout))
    }

    /// Receives a message; waits until `deadline`. A deadline in the past tries once.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] or [`RecvTimeoutError::Disconnected`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use zokor::channel::{unbounded, RecvTimeoutError};
    ///
    /// let (_s, r) = unbounded::<u8>();
    /// let deadline = Instant::now() + Duration::from_millis(5);
    /// assert_eq!(r.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
    /// assert!(Instant::now() >= deadline);
    /// ```
    #[inline]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_in_time(at_latest(deadline))
    }

    #[inline]
    fn recv_in_time(&self, deadline: Time) -> Result<T, RecvTimeoutError> {
        self.recv_until(deadline).map_err(|error| match error {
            Error::TimedOut | Error::WouldBlock => RecvTimeoutError::Timeout,
            _ => RecvTimeoutError::Disconnected,
        })
    }

    /// Closes the channel for all its handles; see [`Sender::close`](super::Sender::close). What is buffered can still be
    /// received.
    ///
    /// # Errors
    ///
    /// [`CloseError::Closed`] if the channel is closed already, [`CloseError::NoSender`] for a receiver from
    /// [`after`](super::after), [`at`](super::at), [`tick`](super::tick) or [`never`](super::never). Nothing changes then.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::unbounded;
    ///
    /// let (s, r) = unbounded();
    /// s.send(1).unwrap();
    /// r.close().unwrap();
    /// assert!(s.send(2).is_err());
    /// assert_eq!(r.recv(), Ok(1));
    /// assert!(r.recv().is_err());
    /// ```
    pub fn close(&self) -> Result<(), CloseError> {
        match &self.source {
            Source::Channel(handle) => handle.close(),
            Source::Timer(_) | Source::Never => Err(CloseError::NoSender),
        }
    }

    /// Whether no message can be sent any more: the channel was closed, or its last sender is gone. There may still be
    /// buffered messages to receive.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::unbounded;
    ///
    /// let (s, r) = unbounded::<u8>();
    /// assert!(!r.is_closed());
    /// drop(s);
    /// assert!(r.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        match &self.source {
            Source::Channel(handle) => handle.chan.is_closed(),
            Source::Timer(_) | Source::Never => false,
        }
    }

    /// The number of buffered messages. Messages of waiting senders do not count. A tick of `after`, `at` or
    /// `tick` that is due counts as one, that of a [`Timer`](crate::time::Timer) or [`Ticker`](crate::time::Ticker) does not.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::unbounded;
    ///
    /// let (s, r) = unbounded();
    /// assert_eq!(r.len(), 0);
    /// s.send(()).unwrap();
    /// assert_eq!(r.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Channel(handle) => handle.chan.len(),
            Source::Timer(timer) => timer.len(),
            Source::Never => 0,
        }
    }

    /// Whether nothing is buffered. A channel without a buffer is always empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::unbounded;
    ///
    /// let (s, r) = unbounded();
    /// assert!(r.is_empty());
    /// s.send(()).unwrap();
    /// assert!(!r.is_empty());
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
    /// let (s, r) = bounded(1);
    /// assert!(!r.is_full());
    /// s.send(()).unwrap();
    /// assert!(r.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        match &self.source {
            Source::Channel(handle) => handle.is_full(),
            Source::Timer(timer) => timer.len() == timer.cap(),
            Source::Never => true,
        }
    }

    /// The size of the buffer in messages; `None` if it has no limit. That of `after`, `at` and `tick` has room for one tick, that
    /// of a [`Timer`](crate::time::Timer) or [`Ticker`](crate::time::Ticker) for none.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{bounded, unbounded};
    ///
    /// assert_eq!(bounded::<u8>(5).1.capacity(), Some(5));
    /// assert_eq!(unbounded::<u8>().1.capacity(), None);
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        match &self.source {
            Source::Channel(handle) => handle.chan.cap(),
            Source::Timer(timer) => Some(timer.cap()),
            Source::Never => Some(0),
        }
    }

    /// An iterator over messages that waits for each and ends when the channel is empty and disconnected.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::unbounded;
    ///
    /// let (s, r) = unbounded();
    /// s.send(1).unwrap();
    /// s.send(2).unwrap();
    /// drop(s);
    /// assert_eq!(r.iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self)
    }

    /// An iterator over the messages that can be received without waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::unbounded;
    ///
    /// let (s, r) = unbounded();
    /// s.send(1).unwrap();
    /// s.send(2).unwrap();
    /// assert_eq!(r.try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter::new(self)
    }

    /// Whether both handles belong to the same channel. All receivers from [`never`](super::never) do.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::unbounded;
    ///
    /// let (_s, r) = unbounded::<u8>();
    /// assert!(r.same_channel(&r.clone()));
    /// let (_s, other) = unbounded::<u8>();
    /// assert!(!r.same_channel(&other));
    /// ```
    pub fn same_channel(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

/// For the expansion of `select!`.
#[doc(hidden)]
#[allow(missing_docs)]
impl<T> Receiver<T> {
    #[inline]
    pub fn __recv(&self) -> __select::Recv<'_, T> {
        __select::Recv::new(self)
    }
}

impl Receiver<Instant> {
    pub(super) fn timer(first: Instant, period: Option<Duration>) -> Self {
        Self { source: Source::Timer(Box::new(Timer::new(first, period))) }
    }
}

/// Out of line, so that the way of a message has the registers for itself.
#[inline(never)]
fn recv_tick<T>(timer: &Timer<T>, deadline: Time) -> Result<T, Error> {
    timer.chan().recv(deadline).map(|instant| timer.cast(instant))
}

/// Waits until `deadline` for a message that cannot come.
#[cold]
fn wait_in_vain<T>(deadline: Time) -> Result<T, Error> {
    // SAFETY: no case, so nothing is read or written.
    match unsafe { select_raw(&[], deadline, Order::Listed) } {
        Err(error) => Err(error),
        Ok(_) => unreachable!("no case can be chosen from none"),
    }
}

impl<T> Clone for Receiver<T> {
    #[inline]
    fn clone(&self) -> Self {
        let source = match &self.source {
            Source::Channel(handle) => Source::Channel(handle.clone()),
            Source::Timer(timer) => Source::Timer(timer.clone()),
            Source::Never => Source::Never,
        };
        Self { source }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter::new(self)
    }
}
