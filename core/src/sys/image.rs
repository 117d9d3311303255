//! The image of the process: memory read without a fault, and the unwind tables of the modules that are loaded.
//!
//! **Where it sits.** Called by dumps; calls `libc` and the loader.

#[cfg(target_os = "linux")]
#[path = "image/linux.rs"]
mod imp;
#[cfg(not(target_os = "linux"))]
#[path = "image/other.rs"]
mod imp;

pub(crate) use imp::{peek, with_modules};

/// A program or shared library in memory. The slices live as long as it stays loaded, so they do not leave [`with_modules`].
pub(crate) struct Module<'a> {
    /// Where its code is: first address, end.
    pub(crate) code: Vec<(usize, usize)>,
    /// `.eh_frame_hdr`, the index of the unwind table, at the address where it is loaded.
    pub(crate) index: &'a [u8],
    /// All that is loaded from the module, to find the unwind table itself in.
    pub(crate) segments: Vec<&'a [u8]>,
}

impl Module<'_> {
    /// Whether it has code at `address`.
    pub(crate) fn contains(&self, address: usize) -> bool {
        self.code.iter().any(|&(from, to)| (from..to).contains(&address))
    }
}
