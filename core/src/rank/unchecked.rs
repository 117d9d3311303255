//! The rank check of release builds and models: nothing.
//!
//! **Where it sits.** Used by `rank.rs` when debug assertions are off.

use super::Rank;

/// Notes that the calling thread is about to block on a lock.
#[inline(always)]
pub(crate) fn acquire(_rank: Rank, _addr: usize) {}

/// Notes that the calling thread has taken a lock without blocking.
#[inline(always)]
pub(crate) fn acquire_try(_rank: Rank, _addr: usize) {}

/// Notes that the calling thread gives a lock back.
#[inline(always)]
pub(crate) fn release(_rank: Rank, _addr: usize) {}

/// Checks R4 before a context switch.
#[inline(always)]
pub(crate) fn assert_none_held() {}
