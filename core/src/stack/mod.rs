//! Stacks: where goroutines run.
//!
//! *Where it sits.* Layer 1. Calls `sys`. Called by the scheduler, which owns a [`Pool`] per
//! worker; by the monitor ([`scavenge`], [`overflow::reinstall_if_replaced`]); by dumps.
//!
//! A stack is a *slot* in a *slab*. A slab is one mapping without reserve, so a slot
//! costs address space until it is touched, then the pages that were touched. The low end of each slot
//! is its *guard*: touching it faults, and the handler in `overflow` says whose stack it was.
//!
//! ```text
//!   slab: one mapping, one VMA
//!   ┌───────┬──────────────────┬───────┬──────────────────┬───────┬───────
//!   │ guard │ slot 0           │ guard │ slot 1           │ guard │ slot 2 …
//!   └───────┴──────────────────┴───────┴──────────────────┴───────┴───────
//!           ▲ bottom()     top() ▲ colour
//!   └── size(), a power of two ──┘
//! ```
//!
//! Tops are *coloured*: slot `i` starts `(i * 192) % 2048` bytes below its end. Without this the
//! hot words of all stacks share the same few sets of the first-level cache, and switching among
//! 64 goroutines costs three times as much.
//!
//! The path of a stack: fresh in a slab → a worker's [`Pool`] (last in, first out, no lock) → a goroutine →
//! the pool → the class's global list when the pool is full → a pool again. What lies unused in the
//! global list gives its pages back ([`scavenge`]) and keeps its guard.
//!
//! Sizes are powers of two and include the guard. Each size is a class with lists and slabs of its
//! own; the default class is the one that pools serve.
//!
//! # State
//!
//! * The default size: set once before first use, then read only.
//! * `slab.rs`: an append-only table of all slabs, readable in a signal handler.
//! * `class.rs`: per size, lists of free slots under one lock.
//! * `guard.rs`: how guards are made on this system, found out once.
//!
//! # Invariants
//!
//! * ST1. A slot is in exactly one place: fresh, in one list, in one pool, or held by one owner.
//! * ST2. A slot that has left "fresh" has its guard, or [`sp_check_needed`] is true.
//! * ST3. Slabs are unmapped by [`release_all`] only.

mod class;
mod guard;
pub mod overflow;
mod pool;
mod slab;

#[cfg(test)]
mod tests;

use crate::sys::pages;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

pub use class::{get_sized, held, put_sized, release_all, reserve, scavenge, stats};
pub use guard::{set_notice, sp_check_needed};
pub use pool::Pool;
pub use slab::GuardHit;

/// The size of a goroutine's stack when nobody chose one.
pub const DEFAULT_SIZE: usize = 256 * 1024;

/// The smallest size that may be asked for. The slot is larger where the guard would not leave as much usable.
pub const MIN_SIZE: usize = 16 * 1024;

/// The largest size that may be asked for.
pub const MAX_SIZE: usize = 1 << 30;

/// The size asked for is below [`MIN_SIZE`] or above [`MAX_SIZE`], or comes after the first stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// The system gives no stack; the error number says why ([`Error::MEMORY`], or [`Error::SIZE`] for a size out of range).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(pub i32);

impl Error {
    /// `ENOMEM`.
    pub const MEMORY: Error = Error(pages::NO_MEMORY);
    /// `EINVAL`.
    pub const SIZE: Error = Error(pages::INVALID);
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Error {
        e.raw_os_error().map_or(Error::MEMORY, Error)
    }
}

/// A stack, or none. A plain handle: copying it copies no ownership (ST1 is up to who holds it).
///
/// One word: the slot's address, whose low bits are free, and in these the logarithm of its size.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stack(usize);

const LOG2_MASK: usize = 0x3f;

impl Stack {
    /// No stack.
    #[inline(always)]
    pub const fn none() -> Stack {
        Stack(0)
    }

    /// The slot at `base`, which is page-aligned, of size `1 << log2`.
    fn new(base: usize, log2: u32) -> Stack {
        debug_assert!(base & LOG2_MASK == 0 && (log2 as usize) <= LOG2_MASK);
        Stack(base | log2 as usize)
    }

    /// The handle as one word, for keeping it in an atomic.
    #[inline(always)]
    pub const fn to_bits(self) -> usize {
        self.0
    }

    /// The handle that [`to_bits`](Stack::to_bits) was asked for.
    #[inline(always)]
    pub const fn from_bits(bits: usize) -> Stack {
        Stack(bits)
    }

    /// Whether this is no stack.
    #[inline(always)]
    pub const fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// The slot's lowest address, which is its guard's.
    #[inline(always)]
    pub const fn base(&self) -> usize {
        self.0 & !LOG2_MASK
    }

    #[inline(always)]
    const fn log2(&self) -> u32 {
        (self.0 & LOG2_MASK) as u32
    }

    /// The slot's size in bytes, guard included; zero for none.
    #[inline(always)]
    pub const fn size(&self) -> usize {
        (self.0 != 0) as usize * (1 << self.log2())
    }

    /// Where the stack starts: 16-aligned, exclusive, coloured.
    #[inline(always)]
    pub const fn top(&self) -> *mut u8 {
        let colour = ((self.base() >> self.log2()) * 192) % 2048;
        (self.base() + (1 << self.log2()) - colour) as *mut u8
    }

    /// The bytes above it, left over by the colours, and how many there are: 16-aligned, for whoever has the stack.
    pub fn above(&self) -> (*mut u8, usize) {
        let top = self.top();
        (top, self.base() + self.size() - top as usize)
    }

    /// The lowest usable address, right above the guard.
    pub fn bottom(&self) -> *mut u8 {
        (self.base() + guard::size()) as *mut u8
    }

    /// Whether a stack pointer lies on this stack. Who finds it false after [`sp_check_needed`] has found an overflow.
    #[inline(always)]
    pub fn contains(&self, sp: usize) -> bool {
        sp >= self.bottom() as usize && sp <= self.top() as usize
    }

    /// Bytes of this stack that occupy memory: whole pages, including those that earlier owners touched. For dumps;
    /// it asks the system.
    pub fn used(&self) -> usize {
        if self.is_none() {
            return 0;
        }
        pages::resident(self.bottom() as usize, self.base() + self.size())
    }
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stack({:#x}, {} KiB)", self.base(), self.size() / 1024)
    }
}

/// The logarithm of the default size; zero until it is chosen or used.
static DEFAULT_LOG2: AtomicU8 = AtomicU8::new(0);

/// The logarithm of the slot that serves a request for `size` bytes.
fn class_of(size: usize) -> Option<u32> {
    if !(MIN_SIZE..=MAX_SIZE).contains(&size) {
        return None;
    }
    // The guard is part of the slot; at least MIN_SIZE stays usable.
    let slot = size.max(guard::size() + MIN_SIZE);
    Some(slot.next_power_of_two().trailing_zeros())
}

/// Chooses the default size: `size` rounded up to a power of two, the guard of 16 KiB included.
///
/// To be called before the first stack is taken; from then on the size is fixed. 16 KiB asked for gives 32 KiB of
/// which 16 KiB are usable.
///
/// # Errors
/// [`Invalid`] below 16 KiB, above 1 GiB, or when another default is in use already.
pub fn configure(size: usize) -> Result<(), Invalid> {
    let log2 = class_of(size).ok_or(Invalid)? as u8;
    match DEFAULT_LOG2.compare_exchange(0, log2, Relaxed, Relaxed) {
        Err(other) if other != log2 => Err(Invalid),
        _ => Ok(()),
    }
}

/// The default size in bytes, guard included. Asking fixes it.
pub fn default_size() -> usize {
    1 << default_class()
}

fn default_class() -> u32 {
    match DEFAULT_LOG2.load(Relaxed) {
        0 => {
            let log2 = DEFAULT_SIZE.trailing_zeros() as u8;
            // Relaxed: the value is all there is, nothing is published with it.
            match DEFAULT_LOG2.compare_exchange(0, log2, Relaxed, Relaxed) {
                Ok(_) => log2 as u32,
                Err(chosen) => chosen as u32,
            }
        }
        log2 => log2 as u32,
    }
}
