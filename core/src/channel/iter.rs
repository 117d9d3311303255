//! Iterators over the messages of a channel.
//!
//! Where it sits: made by `receiver`, whose methods they call.

use std::fmt;
use std::iter::FusedIterator;

use super::Receiver;

/// Waits for each message; ends when the channel is empty and disconnected. Made by [`Receiver::iter`].
///
/// # Examples
///
/// ```
/// use zokor::channel::unbounded;
///
/// let (s, r) = unbounded();
/// s.send('a').unwrap();
/// drop(s);
/// let mut iter = r.iter();
/// assert_eq!(iter.next(), Some('a'));
/// assert_eq!(iter.next(), None);
/// ```
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// Never waits; ends when no message is there, and may go on when one has come. Made by [`Receiver::try_iter`].
///
/// # Examples
///
/// ```
/// use zokor::channel::unbounded;
///
/// let (s, r) = unbounded();
/// let mut iter = r.try_iter();
/// assert_eq!(iter.next(), None);
/// s.send('a').unwrap();
/// assert_eq!(iter.next(), Some('a'));
/// ```
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// Owns its receiver, waits for each message, ends when the channel is empty and disconnected.
///
/// # Examples
///
/// ```
/// use zokor::channel::unbounded;
///
/// let (s, r) = unbounded();
/// s.send('a').unwrap();
/// drop(s);
/// assert_eq!(r.into_iter().collect::<String>(), "a");
/// ```
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<'a, T> Iter<'a, T> {
    pub(super) fn new(receiver: &'a Receiver<T>) -> Self {
        Self { receiver }
    }
}

impl<'a, T> TryIter<'a, T> {
    pub(super) fn new(receiver: &'a Receiver<T>) -> Self {
        Self { receiver }
    }
}

impl<T> IntoIter<T> {
    pub(super) fn new(receiver: Receiver<T>) -> Self {
        Self { receiver }
    }
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}
impl<T> FusedIterator for IntoIter<T> {}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Iter { .. }")
    }
}

impl<T> fmt::Debug for TryIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("TryIter { .. }")
    }
}

impl<T> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("IntoIter { .. }")
    }
}
