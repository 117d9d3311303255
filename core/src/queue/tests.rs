//! The run queue: one owner, some thieves, nothing lost and nothing twice.

use super::*;

struct Node {
    id: usize,
    link: *mut Node,
}

// SAFETY: always the address of the same field.
unsafe impl Linked for Node {
    unsafe fn link(node: *mut Node) -> *mut *mut Node {
        // SAFETY: the caller gives a valid node.
        unsafe { &raw mut (*node).link }
    }
}

fn node(id: usize) -> *mut Node {
    Box::into_raw(Box::new(Node { id, link: ptr::null_mut() }))
}

/// Frees a node and returns its number.
fn consume(p: *mut Node) -> usize {
    // SAFETY: made by `node`; whoever popped it has it alone.
    unsafe { Box::from_raw(p) }.id
}

fn drain(chain: &mut Fifo<Node>) -> Vec<usize> {
    let mut ids = Vec::new();
    loop {
        let p = chain.pop_front();
        if p.is_null() {
            return ids;
        }
        ids.push(consume(p));
    }
}

/// Steals half of what `q` has.
fn steal(q: &LocalQueue<Node>) -> Option<Vec<usize>> {
    let part = q.try_steal(|inner| inner.take_half(usize::MAX));
    part.map(|mut chain| drain(&mut chain))
}

#[cfg(not(loom))]
mod threads {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    #[test]
    fn sides_do_not_share_a_cache_line() {
        assert_eq!(std::mem::size_of::<OwnerSide<Node>>(), 128);
        assert_eq!(std::mem::size_of::<LocalQueue<Node>>(), 192);
    }

    #[test]
    fn owner_alone() {
        let q = LocalQueue::new();
        // SAFETY: the only thread that knows the queue.
        unsafe {
            q.owner(|i| (0..5).for_each(|id| i.push_back(node(id))));
            assert_eq!(q.len_hint(), 5);
            assert_eq!(consume(q.owner(|i| i.pop_front())), 0);
            assert!(q.owner(|i| i.set_next(node(9))).is_null());
            assert_eq!(q.len_hint(), 4);
            assert_eq!(q.owner_looks(|i| (*i.next).id), 9);
            assert_eq!(consume(q.owner(Inner::take_next)), 9);
            assert!(q.owner(Inner::take_next).is_null());
            let mut part = q.owner(|i| i.take_half(100));
            assert_eq!((part.len(), q.len_hint()), (2, 2));
            assert_eq!(drain(&mut part), [1, 2]);
        }
        assert_eq!(steal(&q), Some(vec![3]));
        assert_eq!(q.len_hint(), 1);
        assert_eq!(steal(&q), Some(vec![4]));
        assert_eq!(steal(&q), Some(vec![]));
        assert_eq!(q.len_hint(), 0);
    }

    /// What is done to one part alone publishes what the general way would.
    #[test]
    fn the_slot_and_the_ends_by_themselves() {
        let q = LocalQueue::<Node>::new();
        // SAFETY: the only thread that knows the queue.
        unsafe {
            assert!(q.take_next().is_null() && !q.may_have_next());
            q.put_next(node(0));
            assert!(q.may_have_next() && q.len_hint() == 0);
            assert!(q.put_next_now(node(1)));
            assert!(q.may_have_next() && q.len_hint() == 1, "who was there went behind");
            assert_eq!(consume(q.owner_exchanges(|i| i.exchange(node(2)))), 0);
            assert!(q.may_have_next() && q.len_hint() == 1);
            assert_eq!(consume(q.take_next()), 1);
            assert!(!q.may_have_next() && q.len_hint() == 1 && q.has_work_hint());
            assert_eq!(consume(q.owner(|i| i.pop_front())), 2);
            assert!(!q.has_work_hint());
            assert_eq!(consume(q.owner_exchanges(|i| i.exchange(node(3)))), 3, "nobody else");
        }
        let q = LocalQueue::<Node>::new();
        let refused = q.try_steal(|_| {
            let one = node(0);
            // SAFETY: this thread is the owner, and the thief does nothing.
            assert!(unsafe { !q.put_next_now(one) });
            consume(one)
        });
        assert_eq!(refused, Some(0));
        // SAFETY: as above.
        unsafe { assert!(q.take_next().is_null()) };
    }

    #[test]
    fn both_chains_are_served() {
        let q = LocalQueue::new();
        // SAFETY: the only thread that knows the queue.
        unsafe {
            q.owner(|i| (0..4).for_each(|id| i.push_back(node(id))));
            q.owner(|i| (10..13).for_each(|id| i.woken.push_back(node(id))));
            assert_eq!(q.len_hint(), 7);
            let turn = |woken| consume(q.owner(|i| i.turn(if woken { 0 } else { 3 }).pop_front()));
            assert_eq!([turn(true), turn(false)], [10, 0], "by turns");
            // Half of each.
            assert_eq!(steal(&q), Some(vec![11, 1, 2]));
            assert_eq!(q.len_hint(), 2);
            assert_eq!([turn(false), turn(false)], [3, 12], "the other one when one is empty");
            q.owner(|i| i.push_back(node(4)));
            assert_eq!(turn(true), 4);
            q.owner(|i| (0..3).for_each(|id| i.woken.push_back(node(id))));
            assert_eq!(drain(&mut q.owner(|i| i.take_half(1))), [0], "no more than asked for");
            q.owner(|i| i.push_back(node(3)));
            assert_eq!(drain(&mut q.owner(Inner::take_all)), [1, 2, 3]);
        }
        assert!(!q.has_work_hint());
    }

    /// Fills the slot and the chain with `MANY + 1` new nodes, from 0 on, and puts one more into the slot: all in the chain are set aside.
    fn with_many_aside() -> LocalQueue<Node> {
        let q = LocalQueue::new();
        for id in 0..=MANY {
            // SAFETY: the only thread that knows the queue.
            assert!(unsafe { !q.owner(|i| i.put_new(node(id))) }, "so many stay in order");
        }
        // SAFETY: as above.
        assert!(unsafe { q.owner(|i| i.put_new(node(MANY + 1))) }, "one too many");
        assert_eq!(q.len_hint(), MANY + 1);
        q
    }

    #[test]
    fn of_many_the_last_come_first_and_the_others_have_their_turns() {
        let q = with_many_aside();
        // SAFETY: as in `with_many_aside`.
        let turn = |n| consume(unsafe { q.owner(|i| i.turn(n).pop_front()) });
        // SAFETY: the only thread that knows the queue.
        unsafe {
            assert!(q.owner(|i| i.takes_turns()));
            assert_eq!(consume(q.owner(Inner::take_next)), MANY + 1);
            q.owner(|i| i.push_back(node(MANY + 2)));
            q.owner(|i| i.push_behind(node(MANY + 3)));
            q.owner(|i| i.woken.push_back(node(MANY + 4)));
        }
        assert_eq!([turn(2), turn(3)], [MANY + 4, MANY], "those set aside wait for their turn");
        assert_eq!([turn(ASIDE + 1), turn(2 * ASIDE + 1)], [0, 1], "which comes");
        assert_eq!([turn(3), turn(3), turn(3)], [MANY + 2, 2, 3], "or for the others to have run");
        // SAFETY: as above.
        unsafe {
            assert!(!q.owner(|i| i.takes_turns()));
            let mut rest = q.owner(Inner::take_all);
            assert!(drain(&mut rest).ends_with(&[MANY - 1, MANY + 3]), "who goes behind all others is the last");
        }
        assert!(!q.has_work_hint());
    }

    #[test]
    fn a_thief_takes_the_oldest() {
        let q = with_many_aside();
        let half = (MANY + 1).div_ceil(2);
        assert_eq!(steal(&q), Some((0..half).collect()));
        // SAFETY: the only thread that knows the queue.
        unsafe {
            consume(q.owner(Inner::take_next));
            assert_eq!(drain(&mut q.owner(Inner::take_all)), Vec::from_iter(half..=MANY));
        }
    }

    #[test]
    fn no_steal_from_an_owner_that_stays() {
        let q = LocalQueue::<Node>::new();
        // SAFETY: the only owner; the thief inside is refused.
        unsafe { q.owner(|_| assert!(steal(&q).is_none())) };
        assert_eq!(steal(&q), Some(vec![]));
        assert!(q.try_steal(|_| assert!(steal(&q).is_none())).is_some());
    }

    /// The owner pushes and pops while thieves take halves; together they see each number once.
    fn nothing_lost(thieves: usize, total: usize) {
        crate::sys::init();
        let q = Arc::new(LocalQueue::<Node>::new());
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = (0..thieves)
            .map(|_| {
                let (q, done, seen) = (Arc::clone(&q), Arc::clone(&done), Arc::clone(&seen));
                std::thread::spawn(move || {
                    let mut mine = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        match q.len_hint() {
                            0 => std::thread::yield_now(),
                            _ => mine.extend(steal(&q).unwrap_or_default()),
                        }
                    }
                    seen.lock().unwrap().extend(mine);
                })
            })
            .collect();
        let (mut mine, mut pushed) = (Vec::with_capacity(total), 0);
        let mut r = crate::rng::Rng::new(thieves as u64);
        loop {
            for _ in 0..r.below(8).min((total - pushed) as u32) {
                // SAFETY: this thread is the owner.
                unsafe {
                    q.owner(|i| match pushed % 4 {
                        0 => i.woken.push_back(node(pushed)),
                        1 => i.push_behind(node(pushed)),
                        _ => drop(i.put_new(node(pushed))),
                    })
                };
                pushed += 1;
            }
            // SAFETY: this thread is the owner.
            let p = unsafe {
                q.owner(|i| match i.turn(mine.len() as u32).pop_front() {
                    p if p.is_null() => i.take_next(),
                    p => p,
                })
            };
            match (p.is_null(), pushed == total) {
                (false, _) => mine.push(consume(p)),
                (true, true) => break,
                (true, false) => {}
            }
        }
        done.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|t| t.join().unwrap());
        let mut all = std::mem::take(&mut *seen.lock().unwrap());
        all.extend(mine);
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..total), "{} of {total}", all.len());
    }

    #[test]
    fn nothing_lost_with_one_thief() {
        nothing_lost(1, if cfg!(miri) { 200 } else { 100_000 });
    }

    #[test]
    fn nothing_lost_with_three_thieves() {
        nothing_lost(3, if cfg!(miri) { 200 } else { 100_000 });
    }
}

#[cfg(loom)]
mod model {
    use super::*;
    use crate::cell::check;
    use loom::sync::Arc;
    use loom::thread;

    fn pop(q: &LocalQueue<Node>) -> Option<usize> {
        // SAFETY: called by the owner alone.
        let p = unsafe { q.owner(|i| i.turn(0).pop_front()) };
        (!p.is_null()).then(|| consume(p))
    }

    fn taken(p: *mut Node) -> Option<usize> {
        (!p.is_null()).then(|| consume(p))
    }

    fn push(q: &LocalQueue<Node>, id: usize) {
        // SAFETY: called by the owner alone.
        unsafe { q.owner(|i| i.push_back(node(id))) };
    }

    fn complete(mut all: Vec<usize>, n: usize) {
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..n), "{all:?}");
    }

    #[test]
    fn loom_queue_owner_and_thief() {
        check(3, || {
            let q = Arc::new(LocalQueue::new());
            push(&q, 0);
            let theirs = q.clone();
            let thief = thread::spawn(move || steal(&theirs).unwrap_or_default());
            // SAFETY: this thread is the owner.
            unsafe { q.owner(|i| i.woken.push_back(node(1))) };
            let mut all: Vec<usize> = pop(&q).into_iter().collect();
            all.extend(thief.join().unwrap());
            all.extend(std::iter::from_fn(|| pop(&q)));
            complete(all, 2);
        });
    }

    /// The owner puts one behind the others and takes the first while a thief comes.
    #[test]
    fn loom_queue_exchange_and_thief() {
        check(3, || {
            let q = Arc::new(LocalQueue::new());
            push(&q, 0);
            let theirs = q.clone();
            let thief = thread::spawn(move || steal(&theirs).unwrap_or_default());
            // SAFETY: this thread is the owner.
            let mine = unsafe { q.owner_exchanges(|i| i.exchange(node(1))) };
            let mut all = vec![consume(mine)];
            all.extend(thief.join().unwrap());
            all.extend(std::iter::from_fn(|| pop(&q)));
            complete(all, 2);
        });
    }

    /// The owner sets aside what it has while a thief comes.
    #[test]
    fn loom_queue_set_aside_and_thief() {
        check(3, || {
            let q = Arc::new(LocalQueue::new());
            push(&q, 0);
            let theirs = q.clone();
            let thief = thread::spawn(move || steal(&theirs).unwrap_or_default());
            // SAFETY: this thread is the owner.
            unsafe { q.owner(|i| (1..3).for_each(|id| drop(i.put_new(node(id))))) };
            let mut all: Vec<usize> = pop(&q).into_iter().collect();
            all.extend(thief.join().unwrap());
            all.extend(std::iter::from_fn(|| pop(&q)));
            // SAFETY: as above.
            all.extend(taken(unsafe { q.owner(Inner::take_next) }));
            complete(all, 3);
        });
    }

    #[test]
    fn loom_queue_owner_and_two_thieves() {
        check(2, || {
            let q = Arc::new(LocalQueue::new());
            push(&q, 0);
            let thieves: Vec<_> = (0..2)
                .map(|_| {
                    let q = q.clone();
                    thread::spawn(move || steal(&q).unwrap_or_default())
                })
                .collect();
            push(&q, 1);
            let mut all: Vec<usize> = pop(&q).into_iter().collect();
            thieves.into_iter().for_each(|t| all.extend(t.join().unwrap()));
            all.extend(std::iter::from_fn(|| pop(&q)));
            complete(all, 2);
        });
    }

    /// What the owner finds in the slot is nobody else's while it looks: it and the thief never touch the mark at once.
    #[test]
    fn loom_queue_owner_looks_at_the_slot() {
        check(3, || {
            let q = Arc::new(LocalQueue::new());
            let mark = Arc::new(crate::cell::UnsafeCell::new(0));
            let one = node(0);
            // SAFETY: this thread is the owner.
            unsafe { q.owner(|i| i.set_next(one)) };
            let (theirs, seen) = (q.clone(), mark.clone());
            let thief = thread::spawn(move || {
                let got = theirs.try_steal(Inner::take_next).filter(|p| !p.is_null())?;
                // SAFETY: the node is ours, and the mark is its.
                seen.with_mut(|m| unsafe { *m += 2 });
                Some(consume(got))
            });
            // SAFETY: this thread is the owner; the mark belongs to the node that is in the slot.
            let was_there = unsafe {
                q.owner_looks(|i| {
                    let here = i.next == one;
                    if here {
                        mark.with_mut(|m| *m += 1);
                    }
                    here
                })
            };
            let stolen = thief.join().unwrap().is_some();
            // SAFETY: the thief has ended.
            assert_eq!(mark.with_mut(|m| unsafe { *m }), 2 * i32::from(stolen) + i32::from(was_there));
            assert!(was_there || stolen);
            if !stolen {
                // SAFETY: this thread is the owner.
                assert_eq!(consume(unsafe { q.owner(Inner::take_next) }), 0);
            }
        });
    }

    /// What the owner puts into the slot it finds there, unless the thief has got it: the hint never says too early that nothing is there.
    #[test]
    fn loom_queue_slot_and_hint() {
        check(3, || {
            let q = Arc::new(LocalQueue::new());
            let theirs = q.clone();
            let thief = thread::spawn(move || theirs.try_steal(|i| taken(i.take_next())).flatten());
            // SAFETY: this thread is the owner.
            let mine = unsafe {
                let one = node(0);
                if !q.put_next_now(one) {
                    q.put_next(one);
                }
                match q.may_have_next() {
                    true => q.take_next(),
                    false => std::ptr::null_mut(),
                }
            };
            complete(taken(mine).into_iter().chain(thief.join().unwrap()).collect(), 1);
        });
    }
}
