//! The rank check of debug builds: a list of held locks per thread.
//!
//! **Where it sits.** Used by `rank.rs` when debug assertions are on.
//!
//! The functions are never inlined: code above may be switched to another thread between two
//! calls, and a thread-local's address must not be kept from one to the next.

use super::Rank;
use std::cell::RefCell;
use std::io::Write;

thread_local! {
    /// What the thread holds, oldest first: rank and address.
    static HELD: RefCell<Vec<(Rank, usize)>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` on the thread's list; does nothing while the thread is being torn down, when the list is
/// gone.
fn with_held(f: impl FnOnce(&mut Vec<(Rank, usize)>)) {
    // The list is gone when other thread-local destructors lock something: nothing to check then.
    let _ = HELD.try_with(|held| f(&mut held.borrow_mut()));
}

/// Notes that the calling thread is about to block on the lock at `addr`, and checks R1 and R2.
#[inline(never)]
pub(crate) fn acquire(rank: Rank, addr: usize) {
    with_held(|held| {
        for &(other, at) in held.iter() {
            let in_order = other < rank || (other == rank && rank.ordered() && at < addr);
            if !in_order {
                violated("lock order violated", rank, addr, held);
            }
        }
        held.push((rank, addr));
    });
}

/// Notes that the calling thread has taken the lock at `addr` without blocking (R3).
#[inline(never)]
pub(crate) fn acquire_try(rank: Rank, addr: usize) {
    with_held(|held| held.push((rank, addr)));
}

/// Notes that the calling thread gives the lock at `addr` back.
#[inline(never)]
pub(crate) fn release(rank: Rank, addr: usize) {
    with_held(|held| match held.iter().rposition(|&(_, at)| at == addr) {
        Some(i) => {
            held.remove(i);
        }
        None => violated("unlock of a lock this thread does not hold", rank, addr, held),
    });
}

/// Checks R4 before a context switch.
#[inline(never)]
pub(crate) fn assert_none_held() {
    with_held(|held| {
        if let Some(&(rank, addr)) = held.last() {
            violated("context switch under a lock", rank, addr, held);
        }
    });
}

/// Says what is wrong and aborts: with the order broken, no clean-up that locks can be trusted.
#[cold]
fn violated(what: &str, rank: Rank, addr: usize, held: &[(Rank, usize)]) -> ! {
    let text = format!("fatal error: {what}: {rank:?} at {addr:#x} while holding {held:x?}\n");
    // The process ends whether or not anybody reads it.
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::abort()
}
