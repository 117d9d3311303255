//! An error number of the operating system.
//!
//! *Where it sits*: layer 0, beside `sys`. What mapping memory or starting a thread can fail with, small enough to
//! pass through the scheduler by value.

use std::io;

/// The number, as in `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl From<&io::Error> for Errno {
    fn from(e: &io::Error) -> Errno {
        Errno(e.raw_os_error().unwrap_or(libc::EINVAL))
    }
}

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}
