//! Fields of a header that others read while their owner writes them: dumps, and whoever ends the waits of a class.
//!
//! *Where it sits*: layer 2, inside `goroutine.rs`.

use crate::cell::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use crate::stack::Stack;
use core::panic::Location;
use core::ptr::null_mut;

/// The goroutine's stack. Written by the header's owner, read by dumps at any time: hence an atomic, though a relaxed one.
pub struct StackCell(AtomicUsize);

impl StackCell {
    /// No stack.
    pub const fn none() -> StackCell {
        StackCell(AtomicUsize::new(Stack::none().to_bits()))
    }

    /// The stack now.
    #[inline(always)]
    pub fn get(&self) -> Stack {
        Stack::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Replaces it.
    #[inline(always)]
    pub fn set(&self, s: Stack) {
        self.0.store(s.to_bits(), Ordering::Relaxed);
    }

    /// Replaces it and returns the former one.
    #[inline(always)]
    pub fn replace(&self, s: Stack) -> Stack {
        let old = self.get();
        self.set(s);
        old
    }
}

/// Where a goroutine was created; the same rule.
pub struct SiteCell(AtomicPtr<Location<'static>>);

impl SiteCell {
    /// Unknown.
    pub const fn none() -> SiteCell {
        SiteCell(AtomicPtr::new(null_mut()))
    }

    /// The place, if it is known.
    pub fn get(&self) -> Option<&'static Location<'static>> {
        // SAFETY: only static references are stored.
        unsafe { self.0.load(Ordering::Relaxed).as_ref() }
    }

    /// Notes it.
    #[inline(always)]
    pub fn set(&self, site: Option<&'static Location<'static>>) {
        self.0.store(site.map_or(null_mut(), |s| (&raw const *s).cast_mut()), Ordering::Relaxed);
    }
}

/// The goroutine's host class, 0 for none and in a free header; the same rule. A reader that acts on it holds the lock of `sched/host.rs`.
pub struct ClassCell(AtomicU8);

impl ClassCell {
    /// No host.
    pub const fn native() -> ClassCell {
        ClassCell(AtomicU8::new(0))
    }

    /// The class now.
    #[inline(always)]
    pub fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces it.
    #[inline(always)]
    pub fn set(&self, class: u8) {
        self.0.store(class, Ordering::Relaxed);
    }
}
