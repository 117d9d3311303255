//! Why a goroutine is parked.
//!
//! *Where it sits*: layer 0: names, known to whoever parks and shown by dumps.

/// Why a goroutine is parked. Reasons are never re-used for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Not parked.
    None,
    /// Sending on a channel.
    ChanSend,
    /// Receiving from a channel.
    ChanRecv,
    /// In a select.
    Select,
    /// In a select that can never proceed.
    SelectNone,
    /// Sleeping.
    Sleep,
    /// For a mutex.
    Mutex,
    /// For a read lock.
    RwRead,
    /// For a write lock.
    RwWrite,
    /// For a condition variable.
    Cond,
    /// For a wait group.
    WaitGroup,
    /// For a once function.
    Once,
    /// For a semaphore.
    Semaphore,
    /// For a group.
    Group,
    /// For a file descriptor.
    Io,
    /// For a helper thread.
    Blocking,
    /// For the end of another goroutine.
    Join,
    /// For others to come to a barrier.
    Barrier,
    /// For the goroutines of a scope.
    Scope,
    /// For another's run of the same call.
    Singleflight,
}

impl Reason {
    pub(crate) const ALL: [(Reason, &'static str); 20] = [
        (Reason::None, ""),
        (Reason::ChanSend, "chan send"),
        (Reason::ChanRecv, "chan receive"),
        (Reason::Select, "select"),
        (Reason::SelectNone, "select (no cases)"),
        (Reason::Sleep, "sleep"),
        (Reason::Mutex, "mutex"),
        (Reason::RwRead, "rwmutex read"),
        (Reason::RwWrite, "rwmutex write"),
        (Reason::Cond, "cond"),
        (Reason::WaitGroup, "wait group"),
        (Reason::Once, "once"),
        (Reason::Semaphore, "semaphore"),
        (Reason::Group, "group"),
        (Reason::Io, "io"),
        (Reason::Blocking, "blocking"),
        (Reason::Join, "join"),
        (Reason::Barrier, "barrier"),
        (Reason::Scope, "scope"),
        (Reason::Singleflight, "singleflight"),
    ];

    /// The text shown in dumps.
    pub fn text(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The reason with a number; `None` if there is none.
    pub(crate) fn from_u8(v: u8) -> Reason {
        Self::ALL.get(v as usize).map_or(Reason::None, |r| r.0)
    }
}
