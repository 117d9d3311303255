//! The order of ranks: what is allowed, and what ends the process.

use super::*;

#[test]
fn ranks_grow_and_fall() {
    acquire(Rank::Runtime, 1);
    acquire(Rank::Timer, 2);
    release(Rank::Runtime, 1);
    // Out of order, but without blocking.
    acquire_try(Rank::Runtime, 1);
    acquire(Rank::Leaf, 3);
    release(Rank::Leaf, 3);
    release(Rank::Timer, 2);
    release(Rank::Runtime, 1);
    assert_none_held();
}

#[test]
fn equal_ranks_in_address_order_where_that_is_allowed() {
    assert!(Rank::Chan.ordered() && !Rank::Timer.ordered());
    (1..5).for_each(|at| acquire(Rank::Chan, at));
    (1..5).for_each(|at| release(Rank::Chan, at));
    assert_none_held();
}

/// Runs the test named `child` of this module in a process of its own and returns what it said before
/// it aborted.
fn dies(case: &str) -> String {
    use std::os::unix::process::ExitStatusExt;
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "rank::tests::child", "--ignored", "--nocapture"])
        .env("ZK_TEST_CASE", case)
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(6), "{case}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
#[ignore = "the child process of the tests below"]
fn child() {
    acquire(Rank::Timer, 1);
    match std::env::var("ZK_TEST_CASE").as_deref() {
        Ok("down") => acquire(Rank::Chan, 2),
        Ok("same") => acquire(Rank::Timer, 2),
        Ok("again") => acquire(Rank::Timer, 1),
        Ok("unheld") => release(Rank::Timer, 2),
        Ok("switch") => assert_none_held(),
        Ok("address") => {
            release(Rank::Timer, 1);
            acquire(Rank::Chan, 2);
            acquire(Rank::Chan, 1);
        }
        _ => panic!("no such case"),
    }
}

#[test]
fn an_outer_rank_under_an_inner_one_aborts() {
    let said = dies("down");
    assert!(said.contains("lock order violated: Chan at 0x2 while holding [(Timer, 1)]"), "{said}");
}

#[test]
fn equal_ranks_abort() {
    assert!(dies("same").contains("lock order violated: Timer at 0x2"));
    assert!(dies("again").contains("lock order violated: Timer at 0x1"));
    assert!(dies("address").contains("lock order violated: Chan at 0x1"));
}

#[test]
fn unlocking_what_is_not_held_aborts() {
    assert!(dies("unheld").contains("unlock of a lock this thread does not hold"));
}

#[test]
fn switching_under_a_lock_aborts() {
    assert!(dies("switch").contains("context switch under a lock: Timer at 0x1"));
}
