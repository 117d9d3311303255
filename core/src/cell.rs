//! Atomics, cells and spin hints: the standard ones, or those of the model checker.
//!
//! **Where it sits.** The lowest file of the runtime: calls nothing, used by every module that
//! shares memory between threads. Under `cfg(loom)` the same names come from `loom`, so that the
//! model tests run the code that ships and not a copy of it.
//!
//! Code that keeps a lock-free structure in a `static` uses `std` directly: loom's atomics
//! belong to one execution of a model and have no `const` constructor.

#[cfg(not(loom))]
mod real;
#[cfg(not(loom))]
pub(crate) use real::*;

#[cfg(loom)]
mod model;
#[cfg(loom)]
pub(crate) use model::*;

/// Declares a constructor that is `const` except under the model checker, whose atomics and cells
/// can only be made at run time.
macro_rules! const_new {
    ($(#[$attr:meta])* $vis:vis const fn $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty $body:block) => {
        $(#[$attr])*
        #[cfg(not(loom))]
        $vis const fn $name($($arg: $ty),*) -> $ret $body

        $(#[$attr])*
        #[cfg(loom)]
        $vis fn $name($($arg: $ty),*) -> $ret $body
    };
}
pub(crate) use const_new;
