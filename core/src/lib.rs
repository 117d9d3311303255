//! Goroutines, channels and select.

#[cfg(not(loom))]
#[allow(dead_code, unused_imports)]
pub(crate) mod arch;
#[allow(dead_code, unused_imports)]
pub(crate) mod cell;
#[allow(dead_code, unused_imports)]
pub(crate) mod heap;
#[allow(dead_code, unused_imports)]
pub(crate) mod inbox;
#[allow(dead_code, unused_imports)]
pub(crate) mod inject;
#[allow(dead_code, unused_imports)]
pub(crate) mod list;
#[allow(dead_code, unused_imports)]
pub(crate) mod queue;
#[allow(dead_code, unused_imports)]
pub(crate) mod rank;
#[allow(dead_code, unused_imports)]
pub(crate) mod rng;
#[cfg(not(loom))]
#[allow(dead_code, unused_imports)]
pub(crate) mod stack;
#[allow(dead_code, unused_imports)]
pub(crate) mod sys;
