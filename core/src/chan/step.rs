//! One try on one channel, of whatever type: what a plain operation and a select have in common.
//!
//! *Where it sits*: layer 4, between `chan/core.rs`, which makes the table for each type, and `select`, which goes by it.

use super::core::Header;
use super::policy::Ruling;
use crate::wait::Waiter;

/// What select needs of a channel whose type it does not know.
pub struct VTable {
    /// Tries to send under the lock.
    pub send: unsafe fn(&Header, *const u8) -> Step,
    /// Goes on by the policy where that came to `Wait`.
    pub overflow: unsafe fn(&Header, *mut u8) -> Ruling,
    /// Tries to receive under the lock.
    pub recv: unsafe fn(&Header, *mut u8) -> Step,
    /// Whether a send could proceed now, under the lock.
    pub can_send: unsafe fn(&Header) -> bool,
    /// Whether a receive could proceed now, under the lock.
    pub can_recv: unsafe fn(&Header) -> bool,
}

/// What a try under the lock came to.
#[derive(Clone, Copy)]
pub enum Step {
    /// Done; somebody may have to be readied after the lock is released.
    Done(*const Waiter),
    /// The channel is closed.
    Closed,
    /// Not possible now; a send on a channel with a policy goes on there.
    Wait,
}
