//! The global queue: order, batches, many threads.

use super::*;
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
    let p = q.pop();
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
    assert!(q.is_empty() && q.pop().is_null());
}
