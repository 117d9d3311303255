//! Channels: typed queues between goroutines, with the interface of `crossbeam-channel` and the manners of Go.
//!
//! A program written for [`crossbeam-channel`](https://docs.rs/crossbeam-channel/0.5) moves over by changing the `use` line.
//! Goroutines park where threads would block; threads may use the same channels and block.
//!
//! Where it sits: called by programs; calls `crate::chan`, which knows one channel and one selection, but no handles.
//!
//! # A channel has two sides
//!
//! [`bounded`] and [`unbounded`] make a channel and return its [`Sender`] and [`Receiver`]. Both can be cloned and sent to other
//! goroutines and threads.
//!
//! ```
//! use zokor::channel::unbounded;
//!
//! let (s, r) = unbounded();
//! s.send("hello").unwrap();
//! assert_eq!(r.recv(), Ok("hello"));
//! ```
//!
//! # When an operation waits
//!
//! A receive waits while the channel is empty, a send while it is full. `bounded(0)` has no buffer: a send waits until a receiver
//! takes the message. There are `try_` forms that never wait, and `_timeout` and `_deadline` forms that give up.
//!
//! Those who wait are served first come, first served. A message for a waiting receiver goes straight to it; nobody else can
//! take it in between. A freed place in the buffer goes to the sender that waits longest.
//!
//! # Disconnecting and closing
//!
//! When the last sender is dropped, receivers still get what is buffered, and then an error. When the last receiver is dropped,
//! buffered messages are dropped, and senders get theirs back with the error. [`Sender::close`] and [`Receiver::close`] end a
//! channel while its handles live on.
//!
//! ```
//! use zokor::channel::{unbounded, RecvError};
//!
//! let (s, r) = unbounded();
//! s.send(1).unwrap();
//! drop(s);
//! assert_eq!(r.recv(), Ok(1));
//! assert_eq!(r.recv(), Err(RecvError));
//! ```
//!
//! # When there is no room
//!
//! Waiting is one of several [policies](Policy): [`with_policy`] also makes channels that drop their oldest or newest message, keep
//! the latest only, or grow up to a mark.
//!
//! # Several channels at once
//!
//! [`select!`] waits for whichever operation can proceed first; [`Select`] does the same for a list built at run time.
//!
//! ```
//! use std::time::Duration;
//! use zokor::channel::{after, select, unbounded};
//!
//! let (s, r) = unbounded();
//! s.send(7).unwrap();
//! select! {
//!     recv(r) -> message => assert_eq!(message, Ok(7)),
//!     recv(after(Duration::from_secs(1))) -> _ => unreachable!(),
//! }
//! ```
//!
//! # Time
//!
//! [`after`], [`at`] and [`tick`] return receivers on which time arrives; [`never()`] is the one where nothing ever does.
//!
//! # What differs from `crossbeam-channel`
//!
//! * Waiting is in line, and messages are handed over; there, a third party can take what was meant for one that waits.
//! * [`tick`] keeps its rhythm: a late receive does not shift the ticks after it.
//! * [`select!`] evaluates the messages to send on entry (see there), and takes an `Instant` in `default(…)`.
//! * Dropping a [`SelectedOperation`] undoes it before it panics.
//! * There is [`Sender::close`], [`Receiver::close`], `is_closed` and [`CloseError`].
//! * There are channels with a [`Policy`], and counts of what they dropped or refused.
//!
//! When a goroutine's wait is ended from outside (its [context](crate::context) has ended, or the runtime shuts down), a send or
//! receive reports the channel as disconnected, and nothing has happened to the message. A select does so for one of its cases.

#[doc(hidden)]
#[path = "operand.rs"]
#[allow(missing_docs)] // for the expansion of `select!` only
pub mod __select;
mod builder;
mod erased;
mod error;
mod iter;
mod policy;
mod receiver;
mod select_macro;
mod selected;
mod sender;
mod shared;
mod timer;

use std::time::{Duration, Instant};

use self::shared::Message;
use crate::chan::Chan;

pub use self::builder::Select;
pub use self::error::{
    CloseError, ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError, SendTimeoutError,
    TryReadyError, TryRecvError, TrySelectError, TrySendError,
};
pub use self::iter::{IntoIter, Iter, TryIter};
pub use self::policy::{with_policy, Policy};
pub use self::receiver::Receiver;
pub use self::selected::SelectedOperation;
pub use self::sender::Sender;
#[doc(hidden)]
pub use crate::crossbeam_channel_internal;
#[doc(inline)]
pub use crate::{select, select_biased};

/// Makes a channel whose buffer has no limit: a send never waits.
///
/// # Examples
///
/// ```
/// use zokor::channel::unbounded;
///
/// let (s, r) = unbounded();
/// for i in 0..1000 {
///     s.send(i).unwrap();
/// }
/// assert_eq!(r.len(), 1000);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    with_capacity(None)
}

/// Makes a channel that holds at most `cap` messages.
///
/// With a capacity of zero it holds none: each message passes from a sender to a receiver that are both there.
///
/// # Panics
///
/// If there is no memory for such a buffer.
///
/// # Examples
///
/// ```
/// use std::thread;
/// use zokor::channel::bounded;
///
/// let (s, r) = bounded(1);
/// s.send(1).unwrap();
/// assert!(s.try_send(2).is_err());
/// assert_eq!(r.recv(), Ok(1));
///
/// let (s, r) = bounded(0);
/// let sending = thread::spawn(move || s.send("in person").unwrap());
/// assert_eq!(r.recv(), Ok("in person"));
/// # sending.join().unwrap();
/// ```
pub fn bounded<T>(cap: usize) -> (Sender<T>, Receiver<T>) {
    with_capacity(Some(cap))
}

fn with_capacity<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    pair(Chan::unboxed(capacity))
}

fn pair<T>(chan: Chan<Message<T>>) -> (Sender<T>, Receiver<T>) {
    let (sending, receiving) = shared::channel(chan);
    (Sender::new(sending), Receiver::new(receiving))
}

/// Makes a receiver that gets one message after `duration`: the instant for which it was due.
///
/// The channel is never disconnected. A duration so long that no `Instant` can express its end never passes.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// use zokor::channel::after;
///
/// let start = Instant::now();
/// let due = after(Duration::from_millis(5)).recv().unwrap();
/// assert!(due - start >= Duration::from_millis(5));
/// assert!(Instant::now() >= due);
/// ```
pub fn after(duration: Duration) -> Receiver<Instant> {
    Instant::now().checked_add(duration).map_or(never(), at)
}

/// Makes a receiver that gets one message at the instant `when`: that instant. One in the past is due at once.
///
/// The channel is never disconnected.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// use zokor::channel::at;
///
/// let when = Instant::now() + Duration::from_millis(5);
/// assert_eq!(at(when).recv(), Ok(when));
/// assert!(Instant::now() >= when);
/// ```
pub fn at(when: Instant) -> Receiver<Instant> {
    Receiver::timer(when, None)
}

/// Makes a receiver that gets a message every `duration`: the instant for which the tick was due.
///
/// At most one tick waits to be received; a slow receiver misses ticks, and the next one is again a whole number of durations
/// from the start. A zero duration is always due. The channel is never disconnected. A duration so long that no `Instant`
/// can express its end never passes.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// use zokor::channel::tick;
///
/// let start = Instant::now();
/// let ticks = tick(Duration::from_millis(5));
/// ticks.recv().unwrap();
/// ticks.recv().unwrap();
/// assert!(start.elapsed() >= Duration::from_millis(10));
/// ```
pub fn tick(duration: Duration) -> Receiver<Instant> {
    // The core's timers want a period above zero; no clock is finer than a nanosecond.
    let period = duration.max(Duration::from_nanos(1));
    Instant::now().checked_add(duration).map_or(never(), |first| Receiver::timer(first, Some(period)))
}

/// Makes a receiver that never gets a message and is never disconnected.
///
/// In a `select!` its case is never ready, which serves to leave a case out.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use zokor::channel::{after, never, select, unbounded};
///
/// let (s, r) = unbounded();
/// s.send(1).unwrap();
/// let limit: Option<Duration> = None;
/// let timeout = limit.map(after).unwrap_or(never());
/// select! {
///     recv(r) -> message => assert_eq!(message, Ok(1)),
///     recv(timeout) -> _ => unreachable!(),
/// }
/// ```
pub const fn never<T>() -> Receiver<T> {
    Receiver::never()
}
