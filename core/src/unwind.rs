//! The objects in `catch_unwind`: like those of `std`, all of them may be used there without `AssertUnwindSafe`.
//!
//! A panic poisons none of them and leaves each in a state that others can go on with. What a mutex guards may have been left
//! half changed: guard such a change as for `parking_lot`'s.
//!
//! *Where it sits*: layer 4, above the types.

use crate::context::{self, Cancel, Context};
use crate::go::JoinHandle;
use crate::group::Group;
use crate::scope::{ScopedJoinHandle, TryHandle};
use crate::sync::{singleflight, Barrier, Condvar, Map, Mutex, Once, Pool, RwLock, Semaphore, WaitGroup};
use crate::timer::{AfterFunc, Ticker, Timer};
use std::panic::{RefUnwindSafe, UnwindSafe};

macro_rules! unwind_safe {
    ($([$($p:tt)*] $name:ty),+ $(,)?) => {$(
        impl<$($p)*> UnwindSafe for $name {}
        impl<$($p)*> RefUnwindSafe for $name {}
    )+};
}

unwind_safe!(
    [T: ?Sized] Mutex<T>,
    [T: ?Sized] RwLock<T>,
    [] Condvar,
    [] Once,
    [] Barrier,
    [] WaitGroup,
    [] Semaphore,
    [T] Pool<T>,
    [K, V, S] Map<K, V, S>,
    [K, T] singleflight::Group<K, T>,
    [] Context,
    [] Cancel,
    [E, T] Group<E, T>,
    [] Timer,
    [] Ticker,
    [] AfterFunc,
    [] context::AfterFunc,
    [T] JoinHandle<T>,
    ['scope, T] ScopedJoinHandle<'scope, T>,
    ['scope, T] TryHandle<'scope, T>,
);

const _: () = {
    const fn both<T: UnwindSafe + RefUnwindSafe + ?Sized>() {}
    both::<Mutex<dyn std::any::Any>>();
    both::<RwLock<std::cell::Cell<u8>>>();
};
