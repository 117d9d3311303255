//! The inbox: order, the empty edge, many producers.

use super::*;
use crate::cell::UnsafeCell;

struct Node {
    /// In a cell, so that the model sees a read that does not happen after the write.
    id: UnsafeCell<usize>,
    link: *mut Node,
}

// SAFETY: always the address of the same field.
unsafe impl Linked for Node {
    unsafe fn link(node: *mut Node) -> *mut *mut Node {
        // SAFETY: the caller gives a valid node.
        unsafe { &raw mut (*node).link }
    }
}

fn push(b: &Inbox<Node>, id: usize) -> bool {
    let node = Node { id: UnsafeCell::new(0), link: ptr::null_mut() };
    // SAFETY: nobody else knows the node yet.
    node.id.with_mut(|p| unsafe { *p = id });
    // SAFETY: a fresh node.
    unsafe { b.push(Box::into_raw(Box::new(node))) }
}

fn take(b: &Inbox<Node>) -> Vec<usize> {
    let mut chain = b.take_all();
    let mut ids = Vec::new();
    while !chain.is_empty() {
        // SAFETY: made by `push`, taken once.
        let node = unsafe { Box::from_raw(chain.pop_front()) };
        // SAFETY: the node is ours alone.
        ids.push(node.id.with(|p| unsafe { *p }));
    }
    ids
}

#[cfg(not(loom))]
mod threads {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn in_order_and_says_when_it_was_empty() {
        let b = Inbox::new();
        assert!(b.is_empty() && take(&b).is_empty());
        assert!(push(&b, 0));
        assert!(!push(&b, 1) && !push(&b, 2) && !b.is_empty());
        assert_eq!(take(&b), [0, 1, 2]);
        assert!(b.is_empty() && push(&b, 3));
        assert_eq!(take(&b), [3]);
    }

    #[test]
    fn producers_keep_their_own_order() {
        let each = if cfg!(miri) { 50 } else { 20_000 };
        let b = Arc::new(Inbox::<Node>::new());
        let threads: Vec<_> = (0..3)
            .map(|t| {
                let b = Arc::clone(&b);
                std::thread::spawn(move || (0..each).filter(|i| push(&b, t * each + i)).count())
            })
            .collect();
        let (mut next, mut total, mut batches) = ([0; 3], 0, 0);
        while total < 3 * each {
            let ids = take(&b);
            batches += usize::from(!ids.is_empty());
            total += ids.len();
            for id in ids {
                assert_eq!(id % each, next[id / each]);
                next[id / each] += 1;
            }
        }
        // Each batch began with a push that found the inbox empty.
        let first: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(first, batches);
    }
}

#[cfg(loom)]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    #[test]
    fn loom_inbox_two_producers_one_consumer() {
        crate::cell::check(2, || {
            let b = Arc::new(Inbox::<Node>::new());
            let threads: Vec<_> = [0, 10]
                .map(|base| {
                    let b = b.clone();
                    thread::spawn(move || usize::from(push(&b, base)) + usize::from(push(&b, base + 1)))
                })
                .into_iter()
                .collect();
            // Waits for something, so that there is a batch which no join orders after its pushes.
            let first = loop {
                let ids = take(&b);
                if !ids.is_empty() {
                    break ids;
                }
                thread::yield_now();
            };
            let mut batches = 1;
            let edges: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
            let rest = take(&b);
            batches += usize::from(!rest.is_empty());
            let all = [first, rest].concat();
            let of = |range: std::ops::Range<usize>| {
                all.iter().copied().filter(|id| range.contains(id)).collect::<Vec<usize>>()
            };
            assert_eq!((of(0..10), of(10..20)), (vec![0, 1], vec![10, 11]));
            assert_eq!(edges, batches);
        });
    }
}
