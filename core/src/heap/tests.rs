//! The timer heap against a `BTreeMap`.

use super::*;
use crate::rng::Rng;
use std::collections::BTreeMap;

fn nodes(n: usize) -> Vec<*mut HeapNode> {
    (0..n).map(|_| Box::into_raw(Box::new(HeapNode::new()))).collect()
}

fn free(nodes: Vec<*mut HeapNode>) {
    for p in nodes {
        // SAFETY: made by `nodes`, freed once.
        drop(unsafe { Box::from_raw(p) });
    }
}

/// Checks H1 and H2 for every entry.
fn check(h: &Heap) {
    for (i, e) in h.entries.iter().enumerate() {
        // SAFETY: the tests keep their nodes alive.
        unsafe {
            assert_eq!(((*e.node).pos as usize, (*e.node).when()), (i, e.when));
            assert!(i == 0 || h.entries[(i - 1) / ARITY].before(*e));
        }
    }
}

#[test]
fn equal_deadlines_come_out_in_order() {
    let n = nodes(50);
    let mut h = Heap::new();
    assert!(h.is_empty() && h.peek().is_none() && h.pop_due(i64::MAX).is_null());
    // SAFETY: fresh nodes, freed at the end.
    n.iter().for_each(|&p| unsafe { h.push(p, 7).unwrap() });
    assert_eq!((h.peek(), h.len()), (Some(7), 50));
    assert!(h.pop_due(6).is_null());
    // SAFETY: the node is in the heap; re-armed to the same time it becomes the last.
    assert!(unsafe { h.update(n[0], 7) });
    let order: Vec<_> = std::iter::from_fn(|| Some(h.pop_due(7)).filter(|p| !p.is_null())).collect();
    let want: Vec<_> = n[1..].iter().chain(&n[..1]).copied().collect();
    assert_eq!(order, want);
    free(n);
}

#[test]
fn out_of_the_heap_nothing_happens() {
    let n = nodes(1);
    let mut h = Heap::new();
    // SAFETY: a fresh node, freed at the end.
    unsafe {
        assert!(!h.remove(n[0]) && !h.update(n[0], 1) && !(*n[0]).is_in());
        h.push(n[0], 1).unwrap();
        assert!((*n[0]).is_in() && h.remove(n[0]) && !h.remove(n[0]));
        h.push(n[0], i64::MIN).unwrap();
        assert_eq!(h.pop_due(i64::MIN), n[0]);
        assert!(!(*n[0]).is_in() && !h.update(n[0], 1));
    }
    assert!(h.is_empty());
    free(n);
}

#[test]
fn agrees_with_a_btree() {
    let n = nodes(300);
    let (mut h, mut r) = (Heap::new(), Rng::new(11));
    // Deadline and order of arrival → index; and where each index is.
    let mut model = BTreeMap::<(i64, u64), usize>::new();
    let mut key = vec![None; n.len()];
    for seq in 0..if cfg!(miri) { 500_u64 } else { 60_000 } {
        let i = r.below(n.len() as u32) as usize;
        let when = i64::from(r.below(1000)) - 500;
        // SAFETY: the nodes live to the end; the model says whether one is in the heap.
        unsafe {
            match (r.below(8), key[i]) {
                (0, _) => {
                    let due = model.first_key_value().map(|(&k, &i)| (k, i)).filter(|(k, _)| k.0 <= when);
                    let p = h.pop_due(when);
                    assert_eq!(p, due.map_or(ptr::null_mut(), |(_, i)| n[i]));
                    if let Some((k, i)) = due {
                        model.remove(&k);
                        key[i] = None;
                    }
                }
                (1..=2, old) => {
                    assert_eq!(h.remove(n[i]), old.is_some());
                    key[i].take().map(|k| model.remove(&k));
                }
                (_, old) => {
                    match old {
                        Some(k) => assert!(h.update(n[i], when) && model.remove(&k).is_some()),
                        None => h.push(n[i], when).unwrap(),
                    }
                    key[i] = Some((when, seq));
                    model.insert((when, seq), i);
                }
            }
        }
        assert_eq!(h.len(), model.len());
        assert_eq!(h.peek(), model.first_key_value().map(|(k, _)| k.0));
        if seq % 64 == 0 {
            check(&h);
        }
    }
    free(n);
}

#[test]
fn a_large_heap_gives_memory_back() {
    let count = if cfg!(miri) { 2_000 } else { 100_000 };
    let n = nodes(count);
    let (mut h, mut r) = (Heap::new(), Rng::new(5));
    // SAFETY: fresh nodes, freed at the end.
    n.iter().for_each(|&p| unsafe { h.push(p, i64::from(r.next_u32())).unwrap() });
    check(&h);
    let mut last = i64::MIN;
    while let Some(when) = h.peek() {
        assert!(when >= last);
        last = when;
        assert!(!h.pop_due(when).is_null());
    }
    assert!(h.entries.capacity() <= 1024, "{}", h.entries.capacity());
    free(n);
}
