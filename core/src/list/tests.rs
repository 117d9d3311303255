//! Tests of the intrusive lists against `VecDeque`.

use super::*;
use crate::rng::Rng;
use std::collections::VecDeque;

struct Node {
    id: usize,
    links: Links<Node>,
    link: *mut Node,
}

// SAFETY: always the address of the same field.
unsafe impl Link for Node {
    unsafe fn links(node: *mut Node) -> *mut Links<Node> {
        // SAFETY: the caller gives a valid node.
        unsafe { &raw mut (*node).links }
    }
}

// SAFETY: always the address of the same field.
unsafe impl Linked for Node {
    unsafe fn link(node: *mut Node) -> *mut *mut Node {
        // SAFETY: the caller gives a valid node.
        unsafe { &raw mut (*node).link }
    }
}

/// Boxes leaked for the length of a test and freed at its end.
struct Nodes(Vec<*mut Node>);

impl Nodes {
    fn new(n: usize) -> Nodes {
        let node = |id| Box::into_raw(Box::new(Node { id, links: Links::new(), link: ptr::null_mut() }));
        Nodes((0..n).map(node).collect())
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for &p in &self.0 {
            // SAFETY: made by `Box::into_raw` above and freed once.
            drop(unsafe { Box::from_raw(p) });
        }
    }
}

fn id(p: *mut Node) -> usize {
    // SAFETY: the tests keep their nodes alive.
    unsafe { (*p).id }
}

fn ids(list: &List<Node>) -> Vec<usize> {
    list.iter().map(id).collect()
}

fn chain(f: &Fifo<Node>) -> Vec<usize> {
    let (mut at, mut out) = (f.head, Vec::new());
    while !at.is_null() {
        out.push(id(at));
        // SAFETY: the tests keep their nodes alive.
        at = unsafe { (*at).link };
    }
    assert_eq!(out.len(), f.len());
    assert_eq!(f.tail.is_null(), out.is_empty());
    assert!(out.is_empty() || id(f.tail) == out[out.len() - 1]);
    out
}

#[test]
fn list_is_first_in_first_out() {
    let nodes = Nodes::new(3);
    let mut list = List::<Node>::new();
    assert!(list.is_empty() && list.first().is_null() && list.pop_front().is_null());
    for &p in &nodes.0 {
        // SAFETY: fresh nodes, alive until the end of the test.
        unsafe { list.push_back(p) };
    }
    assert_eq!(ids(&list), [0, 1, 2]);
    assert_eq!(list.first(), nodes.0[0]);
    for &p in &nodes.0 {
        assert_eq!(list.pop_front(), p);
    }
    assert!(list.is_empty() && list.pop_front().is_null());
}

#[test]
fn list_removes_first_middle_last_and_only() {
    for gone in 0..3 {
        let nodes = Nodes::new(3);
        let mut list = List::new();
        // SAFETY: fresh nodes, alive until the end of the test.
        unsafe {
            nodes.0.iter().for_each(|&p| list.push_back(p));
            list.remove(nodes.0[gone]);
            assert!(!(*Node::links(nodes.0[gone])).is_linked());
            assert!(!list.remove_if_linked(nodes.0[gone]));
        }
        let rest: Vec<usize> = (0..3).filter(|&i| i != gone).collect();
        assert_eq!(ids(&list), rest);
        // SAFETY: the others are still in the list.
        unsafe { rest.iter().for_each(|&i| assert!(list.remove_if_linked(nodes.0[i]))) };
        assert!(list.is_empty());
    }
}

#[test]
fn list_retains_what_is_wanted_in_order() {
    for wanted in 0..16 {
        let nodes = Nodes::new(4);
        let mut list = List::new();
        // SAFETY: fresh nodes, alive until the end of the test.
        unsafe {
            nodes.0.iter().for_each(|&p| list.push_back(p));
            list.retain(|p| wanted >> id(p) & 1 == 1);
            for &p in &nodes.0 {
                assert_eq!((*Node::links(p)).is_linked(), wanted >> id(p) & 1 == 1);
            }
        }
        assert_eq!(ids(&list), (0..4).filter(|i| wanted >> i & 1 == 1).collect::<Vec<_>>());
    }
}

#[test]
fn zeroed_links_are_in_no_list() {
    // SAFETY: two null pointers are valid links.
    let links: Links<Node> = unsafe { std::mem::zeroed() };
    assert!(!links.is_linked());
}

#[test]
fn list_agrees_with_a_deque() {
    let nodes = Nodes::new(32);
    let (mut list, mut model, mut r) = (List::new(), VecDeque::new(), Rng::new(42));
    for _ in 0..if cfg!(miri) { 500 } else { 20_000 } {
        let i = r.below(32) as usize;
        let p = nodes.0[i];
        // SAFETY: the node is in this list or in none, and the branch taken fits.
        unsafe {
            match (r.below(4), (*Node::links(p)).is_linked()) {
                (0, false) => (list.push_front(p), model.push_front(i)).0,
                (_, false) => (list.push_back(p), model.push_back(i)).0,
                (0, true) => {
                    assert_eq!(id(list.pop_front()), model.pop_front().unwrap());
                }
                (_, true) => {
                    list.remove(p);
                    model.retain(|&x| x != i);
                }
            }
        }
        assert_eq!(ids(&list), Vec::from(model.clone()));
    }
}

#[test]
fn fifo_agrees_with_a_deque() {
    let nodes = Nodes::new(64);
    let mut free: Vec<usize> = (0..64).collect();
    let (mut f, mut model, mut r) = (Fifo::new(), VecDeque::new(), Rng::new(3));
    for _ in 0..if cfg!(miri) { 500 } else { 20_000 } {
        match r.below(7) {
            0..=2 => {
                let Some(i) = free.pop() else { continue };
                // SAFETY: a free node is in no chain.
                unsafe {
                    if r.below(3) == 0 {
                        f.push_front(nodes.0[i]);
                        model.push_front(i);
                    } else {
                        f.push_back(nodes.0[i]);
                        model.push_back(i);
                    }
                }
            }
            3 => {
                let p = f.pop_front();
                assert_eq!((!p.is_null()).then(|| id(p)), model.front().copied());
                free.extend(model.pop_front());
            }
            4 => {
                let Some(i) = free.pop() else { continue };
                // SAFETY: a free node is in no chain.
                let first = id(unsafe { f.exchange(nodes.0[i]) });
                model.push_back(i);
                assert_eq!(Some(first), model.pop_front());
                free.push(first);
            }
            5 => {
                // A half goes round and comes back at the end.
                let max = r.below(20) as usize;
                let half = model.len().div_ceil(2).min(max);
                let part = f.split_front(half);
                assert_eq!(part.len(), half);
                f.append_all(part);
                model.rotate_left(half);
            }
            _ => {
                let n = r.below(8) as usize;
                let part = f.split_front(n);
                let want: Vec<usize> = model.drain(..n.min(model.len())).collect();
                assert_eq!(chain(&part), want);
                free.extend(want);
            }
        }
        assert_eq!(chain(&f), Vec::from(model.clone()));
        assert_eq!(f.is_empty(), model.is_empty());
    }
}

#[test]
fn fifo_split_cuts_the_tail() {
    let nodes = Nodes::new(3);
    let mut all = Fifo::new();
    // SAFETY: valid nodes that are in no chain.
    nodes.0.iter().for_each(|&n| unsafe { all.push_back(n) });
    let f = all.split_front(2);
    assert_eq!((chain(&f), chain(&all)), (vec![0, 1], vec![2]));
    let none = all.split_front(0);
    assert!(none.is_empty());
    let mut g = Fifo::new();
    g.append_all(f);
    g.append_all(none);
    assert_eq!(chain(&g), [0, 1]);
}
