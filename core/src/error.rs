//! Why a blocking operation did not happen, and the two deadlines that are none.
//!
//! *Where it sits*: layer 2, over `wait`; shared by channels, select, timers and the sync types.

use crate::errno::Errno;
use crate::wait::Outcome;

/// Waits for ever.
pub const FOREVER: i64 = i64::MAX;
/// Does not wait.
pub const NOWAIT: i64 = 0;

/// Why an operation did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The channel is closed (for a receive: and drained).
    Closed,
    /// The deadline passed first.
    TimedOut,
    /// It would have had to wait.
    WouldBlock,
    /// The goroutine was cancelled.
    Cancelled,
    /// A signal interrupted the host's main goroutine.
    Interrupted,
    /// Nothing could ever run again.
    Deadlock,
    /// An argument makes no sense.
    Invalid,
    /// There is no memory for it.
    NoMemory,
    /// The element size does not match the channel.
    MsgSize,
    /// The resource is in use.
    Busy,
    /// Not allowed from here.
    Perm,
    /// The goroutine panicked.
    Panic,
    /// The runtime is shut down, or this is a forked child.
    Shutdown,
    /// Not supported on this platform.
    NotSup,
    /// A configured limit is reached.
    Limit,
    /// What the operating system said.
    Os(Errno),
}

impl From<Outcome> for Error {
    fn from(o: Outcome) -> Error {
        match o {
            Outcome::Peer => Error::Closed,
            Outcome::TimedOut => Error::TimedOut,
            Outcome::Cancelled => Error::Cancelled,
            Outcome::Interrupted => Error::Interrupted,
            Outcome::Deadlock => Error::Deadlock,
        }
    }
}

/// The number of an error in `zokor.h`.
#[inline]
pub fn code_of(e: Error) -> i32 {
    match e {
        Error::Os(e) => -e.0,
        Error::Closed => -5001,
        Error::TimedOut => -5002,
        Error::WouldBlock => -5003,
        Error::Cancelled => -5004,
        Error::Invalid => -5005,
        Error::NoMemory => -5006,
        Error::MsgSize => -5007,
        Error::Busy => -5008,
        Error::Perm => -5009,
        Error::Deadlock => -5010,
        Error::Panic => -5011,
        Error::Shutdown => -5012,
        Error::NotSup => -5013,
        Error::Limit => -5016,
        Error::Interrupted => -libc::EINTR,
    }
}
