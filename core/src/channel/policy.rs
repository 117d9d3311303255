//! Channels whose senders do not wait for room.
//!
//! Where it sits: called by programs; calls `shared`. What happens is decided in `crate::chan::policy`, for one send at a time and
//! under the channel's lock; the two handles, select and everything else are those of all channels.

use super::receiver::Source;
use super::shared::{Message, Shared};
use super::{pair, Receiver, Sender};
use crate::chan::policy::{Overflow, Policy as CorePolicy};
use crate::chan::Chan;

/// What a channel does with a message for which it has no room.
///
/// A message finds no room when the buffer is full and no receiver waits: a waiting receiver gets every message directly, whatever
/// the policy. The policy is chosen when the channel is made, with [`with_policy`], and changes nothing else: order, closing,
/// [`len`](Sender::len), deadlines and select are the same for all.
///
/// | | a send without room | as a case of a select |
/// |---|---|---|
/// | [`Block`](Policy::Block) | waits | is ready when there is room |
/// | [`Unbounded`](Policy::Unbounded) | fails, and gives the message back | is ready when there is room |
/// | [`DropOldest`](Policy::DropOldest), [`Latest`](Policy::Latest) | succeeds, the oldest message is dropped | is always ready |
/// | [`DropNewest`](Policy::DropNewest) | succeeds, the message is dropped | is always ready |
///
/// A message that is dropped is dropped by the sender, before its send returns and outside the channel's lock: its destructor may
/// use the channel. If the destructor panics, the panic comes out of the send; the sent message is in the channel then.
///
/// A channel with a capacity of 0 that drops has no message but the one just sent: that goes to a receiver that waits, or is dropped.
///
/// # Examples
///
/// The three newest measurements, and how many were not looked at:
///
/// ```
/// use zokor::channel::{with_policy, Policy};
///
/// let (s, r) = with_policy(Policy::DropOldest(3));
/// for n in 0..10 {
///     s.send(n).unwrap();
/// }
/// assert_eq!(r.try_iter().collect::<Vec<_>>(), [7, 8, 9]);
/// assert_eq!(r.dropped(), 7);
/// ```
///
/// A queue that grows, up to where something must be wrong:
///
/// ```
/// use zokor::channel::{with_policy, Policy, TrySendError};
///
/// let (s, r) = with_policy(Policy::Unbounded { high_water: Some(1000) });
/// for n in 0..1000 {
///     s.send(n).unwrap();
/// }
/// assert_eq!(s.try_send(1000), Err(TrySendError::Full(1000)));
/// assert_eq!(s.refused(), 1);
/// # drop(r);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// The sender waits. The buffer holds so many messages; [`bounded`](super::bounded) makes the same.
    Block(usize),
    /// The buffer grows as it is needed, and gives memory back; no send ever waits.
    ///
    /// With a high-water mark it takes so many messages and no more. A send that finds it there fails at once, whatever its time
    /// limit, and gives the message back: [`try_send`](Sender::try_send) with `Full`, [`send_timeout`](Sender::send_timeout) and
    /// [`send_deadline`](Sender::send_deadline) with `Timeout`, and [`send`](Sender::send) with its only error, `SendError`,
    /// although the channel is not disconnected ([`is_closed`](Sender::is_closed) tells). Such sends are counted
    /// ([`refused`](Sender::refused)). A select, whose business is waiting, waits until the queue is below the mark.
    Unbounded {
        /// The most messages it takes; `None`: no limit, as [`unbounded`](super::unbounded).
        high_water: Option<usize>,
    },
    /// The oldest message is dropped for the new one. The buffer holds so many messages.
    DropOldest(usize),
    /// The new message is dropped. The buffer holds so many messages.
    DropNewest(usize),
    /// The channel holds one message, and each send replaces it: receivers see the newest. The same as `DropOldest(1)`.
    Latest,
}

/// Makes a channel that treats messages for which it has no room as `policy` says.
///
/// # Panics
///
/// If there is no memory for a buffer of that capacity. The buffer of [`Policy::Unbounded`] is not made beforehand.
///
/// # Examples
///
/// A display that shows the state of things, not their history:
///
/// ```
/// use zokor::channel::{with_policy, Policy};
///
/// let (s, r) = with_policy(Policy::Latest);
/// s.send("10 %").unwrap();
/// s.send("70 %").unwrap();
/// assert_eq!(r.recv(), Ok("70 %"));
/// assert!(r.is_empty());
/// ```
pub fn with_policy<T>(policy: Policy) -> (Sender<T>, Receiver<T>) {
    let chan: Chan<Message<T>> = match policy {
        Policy::Block(capacity) => Chan::unboxed(Some(capacity)),
        Policy::Unbounded { high_water: None } => Chan::unboxed(None),
        Policy::Unbounded { high_water } => Chan::with_policy(high_water, Overflow::Refuse),
        Policy::DropOldest(capacity) => Chan::with_policy(Some(capacity), Overflow::DropOldest),
        Policy::DropNewest(capacity) => Chan::with_policy(Some(capacity), Overflow::DropNewest),
        Policy::Latest => Chan::with_policy(Some(1), Overflow::DropOldest),
    };
    pair(chan)
}

impl<T> Shared<T> {
    fn count(&self, of: fn(&CorePolicy) -> u64) -> u64 {
        self.chan.policy().map_or(0, of)
    }
}

impl<T> Sender<T> {
    /// How many messages the channel has dropped by its [`Policy`] because it had no room; 0 for channels that drop none. A snapshot.
    ///
    /// Messages sent = received + dropped + those still in the channel.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{with_policy, Policy};
    ///
    /// let (s, r) = with_policy(Policy::DropNewest(1));
    /// s.send(1).unwrap();
    /// s.send(2).unwrap();
    /// assert_eq!(s.dropped(), 1);
    /// assert_eq!(r.recv(), Ok(1));
    /// ```
    pub fn dropped(&self) -> u64 {
        self.shared().count(CorePolicy::dropped)
    }

    /// How many sends have failed because the channel was at its high-water mark ([`Policy::Unbounded`]); 0 for other channels.
    /// A snapshot. Cases of a select are not counted: they wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{with_policy, Policy};
    ///
    /// let (s, _r) = with_policy(Policy::Unbounded { high_water: Some(1) });
    /// s.send(1).unwrap();
    /// assert!(s.send(2).is_err());
    /// assert_eq!(s.refused(), 1);
    /// ```
    pub fn refused(&self) -> u64 {
        self.shared().count(CorePolicy::refused)
    }
}

impl<T> Receiver<T> {
    /// How many messages the channel has dropped by its [`Policy`] because it had no room; 0 for channels that drop none. A snapshot.
    ///
    /// Whoever reads the number before and after a message can tell how many are missing in between, if nobody else receives.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{with_policy, Policy};
    ///
    /// let (s, r) = with_policy(Policy::Latest);
    /// s.send(1).unwrap();
    /// s.send(2).unwrap();
    /// assert_eq!((r.recv(), r.dropped()), (Ok(2), 1));
    /// ```
    pub fn dropped(&self) -> u64 {
        self.count(CorePolicy::dropped)
    }

    /// How many sends have failed because the channel was at its high-water mark ([`Policy::Unbounded`]); 0 for other channels.
    /// A snapshot.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{with_policy, Policy};
    ///
    /// let (s, r) = with_policy(Policy::Unbounded { high_water: Some(1) });
    /// s.send(1).unwrap();
    /// assert!(s.send(2).is_err());
    /// assert_eq!(r.refused(), 1);
    /// ```
    pub fn refused(&self) -> u64 {
        self.count(CorePolicy::refused)
    }

    fn count(&self, of: fn(&CorePolicy) -> u64) -> u64 {
        match self.source() {
            Source::Channel(handle) => handle.count(of),
            Source::Timer(_) | Source::Never => 0,
        }
    }
}
