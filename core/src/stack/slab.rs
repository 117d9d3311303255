//! Slabs: the mappings that slots are cut from, and the table that a signal handler looks them up in.
//!
//! *Where it sits.* Layer 1, behind `stack`. Calls `sys` and `guard`. Called by `class`, which maps
//! under the lock of its class, and by `overflow` from a signal handler.
//!
//! # State
//! `TABLE` holds each slab ever mapped, `COUNT` how many. Counting up claims an
//! entry, which is valid once its base is not zero.
//!
//! # Invariants
//! * SL1. An entry whose `base` is not zero has a valid `meta`, and both stay until `release`.
//!
//! # Orderings
//! `base` is stored with Release after `meta` and loaded with Acquire before it (SL1).

use super::{guard, Error};
use crate::sys;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// How many slabs there can be. They grow with use, so this is no limit in practice.
const MAX_SLABS: usize = 4096;

/// The smallest and the largest mapping, unless a single slot is larger. Where so little is not to be had the rest is left
/// to other parts of the program.
const MIN_BYTES: usize = 16 << 20;
const MAX_BYTES: usize = 16 << 30;

struct Entry {
    base: AtomicUsize,
    /// Slots, shifted left by eight, and the logarithm of their size.
    meta: AtomicUsize,
}

static TABLE: [Entry; MAX_SLABS] =
    [const { Entry { base: AtomicUsize::new(0), meta: AtomicUsize::new(0) } }; MAX_SLABS];
static COUNT: AtomicUsize = AtomicUsize::new(0);
static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// Slots `next..end` of a mapping, never used so far.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    pub next: usize,
    pub end: usize,
}

/// Maps a slab with about `wanted` slots of `1 << log2` bytes: more when that would be tiny, fewer when the
/// system does not give as much in one piece.
pub fn map(log2: u32, wanted: usize) -> Result<Fresh, Error> {
    let at_least = MIN_BYTES.max(1 << log2);
    let mut bytes = (wanted << log2).clamp(at_least, MAX_BYTES.max(at_least));
    loop {
        match map_aligned(bytes, log2) {
            Ok(base) => return publish(base, bytes, log2),
            Err(e) if bytes == at_least => return Err(e.into()),
            Err(_) => bytes = (((bytes / 2) >> log2) << log2).max(at_least),
        }
    }
}

/// Maps `bytes` bytes for slots of `1 << log2`.
///
/// A page of page tables describes a range of address space with that alignment (2 MiB, with pages of 4 KiB). Of a slot that is as
/// large or larger two pages are in use: the first of its stack, at the high end, and its guard, at the low end. Each would cost a page of
/// page tables. So the slots begin in the middle of such ranges, where the guard of one and the stack of the one below share that page.
fn map_aligned(bytes: usize, log2: u32) -> std::io::Result<*mut u8> {
    let reach = sys::page_size() / size_of::<usize>() * sys::page_size();
    if 1 << log2 < reach {
        return sys::map_reserve(bytes);
    }
    let start = sys::map_reserve(bytes + reach)?;
    let before = (reach / 2).wrapping_sub(start as usize) & (reach - 1);
    // SAFETY: two parts of what has just been mapped, in front of and behind what is kept. A refusal costs address space.
    unsafe {
        let base = start.add(before);
        if before != 0 {
            let _ = sys::unmap(start, before);
        }
        let _ = sys::unmap(base.add(bytes), reach - before);
        Ok(base)
    }
}

fn publish(start: *mut u8, bytes: usize, log2: u32) -> Result<Fresh, Error> {
    // A huge page would commit 2 MiB at the first touch. A kernel that has none refuses the advice, and rightly.
    // SAFETY: the range has just been mapped.
    let _ = unsafe { sys::advise_nohugepage(start, bytes) };
    // Relaxed: the claim only makes the index ours; the entry is published by its base.
    let i = COUNT.fetch_add(1, Relaxed);
    let Some(entry) = TABLE.get(i) else {
        COUNT.store(MAX_SLABS, Relaxed);
        // SAFETY: just mapped, nobody knows it.
        let _ = unsafe { sys::unmap(start, bytes) };
        return Err(Error::MEMORY);
    };
    let base = start as usize;
    entry.meta.store(bytes >> log2 << 8 | log2 as usize, Relaxed);
    // Release: pairs with the Acquire in `entries`; who sees the base sees the meta (SL1).
    entry.base.store(base, Release);
    MAPPED.fetch_add(bytes, Relaxed);
    Ok(Fresh { next: base, end: base + bytes })
}

/// All slabs: base, slots, logarithm of the slot size. Async-signal-safe.
fn entries() -> impl Iterator<Item = (usize, usize, u32)> {
    let n = COUNT.load(Relaxed).min(MAX_SLABS);
    TABLE[..n].iter().filter_map(|e| {
        // Acquire: pairs with the Release in `publish` (SL1).
        let base = e.base.load(Acquire);
        let meta = e.meta.load(Relaxed);
        (base != 0).then_some((base, meta >> 8, (meta & 0xff) as u32))
    })
}

/// An address that lies in the guard of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardHit {
    /// The slot's lowest address: [`Stack::base`](super::Stack::base).
    pub base: usize,
    /// The slot's size in bytes, guard included.
    pub size: usize,
}

/// Whose guard is at `addr`, if any. Async-signal-safe: reads two words per slab.
pub fn find(addr: usize) -> Option<GuardHit> {
    for (base, slots, log2) in entries() {
        if addr >= base && addr - base < slots << log2 {
            let offset = (addr - base) & ((1 << log2) - 1);
            let hit = GuardHit { base: addr - offset, size: 1 << log2 };
            return (offset < guard::size()).then_some(hit);
        }
    }
    None
}

/// Bytes of address space mapped.
pub fn mapped() -> usize {
    MAPPED.load(Relaxed)
}

/// Unmaps everything.
///
/// # Safety
/// No slot is in use or in any list, and nobody maps at the same time.
pub unsafe fn release() {
    for e in TABLE[..COUNT.load(Relaxed).min(MAX_SLABS)].iter() {
        let (base, meta) = (e.base.swap(0, Relaxed), e.meta.load(Relaxed));
        if base != 0 {
            // SAFETY: the caller vouches that nothing in the slab is in use.
            let _ = unsafe { sys::unmap(base as *mut u8, meta >> 8 << (meta & 0xff)) };
        }
    }
    COUNT.store(0, Relaxed);
    MAPPED.store(0, Relaxed);
}
