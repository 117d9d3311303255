//! Contexts: cancellation, deadlines and values that travel down a tree of goroutines, after Go's package of that name.

pub(crate) mod tree;
