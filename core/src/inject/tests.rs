//! The global queue: order, batches, many threads.

use super::*;
use std::ptr;
use std::sync::atomic::AtomicUsize as Count;
use std::sync::Arc;

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

fn push(q: &Injector<Node>, id: usize) {
    // SAFETY: a fresh node.
    unsafe { q.push(Box::into_raw(Box::new(Node { id, link: ptr::null_mut() }))) };
}

fn pop(q: &Injector<Node>) -> Option<usize> {
    let p = q.pop_many(1).head;
    // SAFETY: made by `push`, popped once.
    (!p.is_null()).then(|| unsafe { Box::from_raw(p) }.id)
}

#[test]
fn first_in_first_out_alone_and_in_batches() {
    let q = Injector::new();
    assert!(q.is_empty() && pop(&q).is_none() && q.pop_many(3).is_empty());
    (0..6).for_each(|id| push(&q, id));
    assert_eq!(q.len(), 6);
    assert_eq!(pop(&q), Some(0));
    let part = q.pop_many(2);
    assert_eq!((part.len(), q.len()), (2, 3));
    q.push_all(part);
    let order: Vec<usize> = std::iter::from_fn(|| pop(&q)).collect();
    assert_eq!(order, [3, 4, 5, 1, 2]);
    assert!(q.is_empty());
    push(&q, 7);
    let all = q.pop_many(usize::MAX);
    // SAFETY: just popped, once.
    assert_eq!(unsafe { Box::from_raw(all.head) }.id, 7);
    assert!(all.len() == 1 && q.is_empty());
}

fn chain_of(ids: std::ops::Range<usize>) -> Fifo<Node> {
    let mut chain = Fifo::new();
    // SAFETY: fresh nodes.
    ids.for_each(|id| unsafe { chain.push_back(Box::into_raw(Box::new(Node { id, link: ptr::null_mut() }))) });
    chain
}

#[test]
fn what_came_together_leaves_together() {
    let q = Injector::new();
    push(&q, 0);
    q.push_all(chain_of(1..1 + TOGETHER));
    q.push_all(chain_of(1 + TOGETHER..1 + 3 * TOGETHER));
    push(&q, 1 + 3 * TOGETHER);
    let end = 2 + 3 * TOGETHER;
    assert_eq!(q.len(), end);
    // The single one, alone: the chain behind it is more than the rest of what is wanted. Then that chain.
    let mut parts = vec![q.pop_many(TOGETHER), q.pop_many(TOGETHER)];
    assert_eq!(q.len(), end - 1 - TOGETHER);
    // Part of the long one, the rest of it, and what is left together with the single one.
    parts.extend([q.pop_many(TOGETHER / 2), q.pop_many(TOGETHER), q.pop_many(TOGETHER)]);
    let lengths: Vec<usize> = parts.iter().map(Fifo::len).collect();
    assert_eq!(lengths, [1, TOGETHER, TOGETHER / 2, TOGETHER, TOGETHER / 2 + 1]);
    assert!(q.is_empty() && q.pop_many(1).is_empty());
    let mut order = Vec::new();
    for mut part in parts {
        while !part.is_empty() {
            // SAFETY: made by `chain_of` or `push`, popped once.
            order.push(unsafe { Box::from_raw(part.pop_front()) }.id);
        }
    }
    assert!(order.into_iter().eq(0..end));
}

#[test]
fn many_threads_see_each_node_once() {
    let each = if cfg!(miri) { 50 } else { 20_000 };
    let q = Arc::new(Injector::<Node>::new());
    let (popped, sum) = (Arc::new(Count::new(0)), Arc::new(Count::new(0)));
    let threads: Vec<_> = (0..4)
        .map(|t| {
            let (q, popped, sum) = (Arc::clone(&q), Arc::clone(&popped), Arc::clone(&sum));
            std::thread::spawn(move || {
                (0..each).for_each(|i| push(&q, t * each + i));
                while popped.load(Ordering::Relaxed) < 4 * each {
                    if let Some(id) = pop(&q) {
                        sum.fetch_add(id, Ordering::Relaxed);
                        popped.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(sum.load(Ordering::Relaxed), (0..4 * each).sum());
    assert!(q.is_empty() && q.pop_many(1).is_empty());
}
