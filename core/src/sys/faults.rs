//! Faults on demand: test builds can make the n-th call into the system fail.
//!
//! **Where it sits.** Every wrapper in `sys` that can fail asks [`hit`] first. Without the cargo
//! feature `faults` the question is a constant and compiles to nothing.
//!
//! A test in this crate calls `fail_nth`; a test that runs a program sets `ZK_FAULT` in its
//! environment, a comma-separated list of `kind:n` or `kind:n+`, for instance `mmap:3,guard:1+`.
//! `n` counts calls from one; with `+` every later call of that kind fails, too.

#[cfg(feature = "faults")]
#[path = "faults/on.rs"]
mod imp;
#[cfg(not(feature = "faults"))]
#[path = "faults/off.rs"]
mod imp;

pub(crate) use imp::*;

/// What can fail, and how it then looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Kind {
    /// Reserving address space: `ENOMEM`.
    Mmap,
    /// Changing the protection of pages: `ENOMEM`.
    Protect,
    /// Installing a guard without splitting the mapping: `EINVAL`, as on kernels before 6.13.
    Guard,
    /// Starting a thread: `EAGAIN`.
    Thread,
    /// Making or changing a readiness queue: `ENOMEM`.
    #[allow(dead_code)] // the poller comes with the sockets
    Epoll,
    /// Sleeping on a futex: returns at once as after a signal, which does not hide that the deadline has passed.
    Futex,
    /// Registering for the process-wide barrier: the kernel has none.
    Membarrier,
}
