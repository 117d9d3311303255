//! Goroutines, channels and select for Rust: stackful green threads scheduled M:N over OS threads, with Go's semantics.
//!
//! ```
//! use zokor::channel::bounded;
//!
//! let squares = zokor::run(|| {
//!     let (tx, rx) = bounded(0);
//!     for i in 1..=3 {
//!         let tx = tx.clone();
//!         zokor::go(move || tx.send(i * i).unwrap());
//!     }
//!     drop(tx);
//!     let mut all: Vec<i32> = rx.iter().collect();
//!     all.sort();
//!     all
//! });
//! assert_eq!(squares, [1, 4, 9]);
//! ```

// Under the model checker only the lock-free pieces are built.
#[cfg_attr(loom, allow(dead_code))]
mod cell;
#[cfg_attr(loom, allow(dead_code))]
mod heap;
#[cfg(not(loom))]
mod hooks;
#[cfg_attr(loom, allow(dead_code))]
mod hope;
#[cfg_attr(loom, allow(dead_code))]
mod inbox;
#[cfg_attr(loom, allow(dead_code))]
mod inject;
#[cfg_attr(loom, allow(dead_code))]
mod list;
#[cfg_attr(loom, allow(dead_code))]
mod mirror;
#[cfg_attr(loom, allow(dead_code))]
mod oncpu;
#[cfg_attr(loom, allow(dead_code))]
mod queue;
#[cfg_attr(loom, allow(dead_code))]
mod rank;
#[cfg_attr(loom, allow(dead_code))]
mod reason;
#[cfg_attr(loom, allow(dead_code))]
mod rng;
#[cfg_attr(loom, allow(dead_code))]
mod sys;

#[cfg(not(loom))]
mod arch;
#[cfg(not(loom))]
mod chan;
#[cfg_attr(loom, allow(dead_code))]
mod clock;
#[cfg(not(loom))]
pub mod context;
#[cfg(not(loom))]
mod cxx;
#[cfg(not(loom))]
mod defer;
#[cfg(not(loom))]
mod dump;
#[cfg_attr(loom, allow(dead_code))]
mod errno;
#[cfg_attr(loom, allow(dead_code))]
mod error;
#[cfg(not(loom))]
mod go;
#[cfg(not(loom))]
mod goroutine;
#[cfg(not(loom))]
pub mod group;
#[cfg(not(loom))]
mod panic;
#[cfg(not(loom))]
mod rawtime;
#[cfg(not(loom))]
mod runtime;
#[cfg(not(loom))]
mod sanitize;
#[cfg(not(loom))]
mod sched;
#[cfg(loom)]
#[allow(dead_code)]
#[path = "sched/model.rs"]
mod sched;
#[cfg(not(loom))]
mod scope;
#[cfg(not(loom))]
mod select;
#[cfg(not(loom))]
mod stack;
#[cfg(not(loom))]
mod start;
#[cfg_attr(loom, allow(dead_code, unused_imports))]
pub mod sync;
#[cfg(not(loom))]
mod timer;
#[cfg(not(loom))]
mod timers;
#[cfg(not(loom))]
mod unwind;
#[cfg_attr(loom, allow(dead_code))]
mod wait;

#[cfg(not(loom))]
#[doc(hidden)]
pub mod raw;

#[cfg(not(loom))]
mod face {
    pub use crate::go::{
        current, go, go_migrating, set_label, Builder, Goroutine, JoinHandle, JoinUntilError, Mobility,
    };
    pub use crate::panic::{goexit, Goexit, PanicPolicy};
    pub use crate::rawtime::{sleep, sleep_until};
    pub use crate::runtime::{hold, init, release, run, shutdown, try_run, workers, Config, RuntimeError};
    pub use crate::sched::blocking::blocking;
    pub use crate::sched::{goid, yield_now};
    pub use crate::scope::{scope, Scope, ScopedJoinHandle};
    pub use crate::scope::{try_scope, try_scope_until, Failure, ScopeError, TryHandle, TryScope};
    pub use crate::sync::WaitGroup;
}
#[cfg(not(loom))]
pub use face::*;

#[cfg(not(loom))]
pub mod channel;

/// Sleeping and timers.
#[cfg(not(loom))]
pub mod time {
    pub use crate::rawtime::{sleep, sleep_until};
    pub use crate::timer::{after_func, AfterFunc, Ticker, Timer};
}
