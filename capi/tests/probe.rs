//! What the tests of the C interface need from the Rust side: sizes and constants to compare, and Rust goroutines to share
//! channels with. Compiled only with the feature `probe`, never into a release.

use std::ffi::{c_char, c_int, c_void};
use std::mem::{offset_of, size_of};
use std::sync::Arc;

use zokor::raw::{self, ByteChan, Case, Error, Op, Order, FOREVER};

use crate::alloc::zk_allocator;
use crate::chan::zk_chan_opts;
use crate::defer::zk_scope;
use crate::go::zk_go_opts;
use crate::handle::{self, zk_chan};
use crate::lock::{zk_cond, zk_mutex, zk_once, zk_rwmutex, zk_sem};
use crate::result::code;
use crate::runtime::{self, zk_config};
use crate::select::zk_case;
use crate::stats::{zk_goinfo, zk_stats};
use crate::sync::zk_wg;

type Emit = unsafe extern "C" fn(name: *const c_char, value: i64);

macro_rules! layout {
    ($emit:ident: $($type:ident { $($field:ident),* })*) => {
        $(
            $emit(concat!("sizeof ", stringify!($type), "\0"), size_of::<$type>() as i64);
            $($emit(concat!(stringify!($type), ".", stringify!($field), "\0"), offset_of!($type, $field) as i64);)*
        )*
    };
}

/// Tells every size, offset and number that both sides have.
#[no_mangle]
pub extern "C" fn zk_probe_layout(emit: Emit) {
    // SAFETY: the names end with NUL, as below.
    let say = |name: &str, value: i64| unsafe { emit(name.as_ptr().cast(), value) };
    layout! { say:
        zk_allocator { alloc, free, user }
        zk_config { size, workers, max_blocking, stack_size, max_goroutines, on_panic, user, allocator }
        zk_go_opts { size, name, stack_size, flags, ctx, on_exit }
        zk_chan_opts { size, elem_size, capacity, drop, user, name, policy, reserved }
        zk_case { chan, elem, size, ok, op, reserved }
        zk_mutex { zk_priv }
        zk_rwmutex { zk_priv }
        zk_cond { zk_priv }
        zk_once { zk_priv }
        zk_sem { zk_priv }
        zk_wg { zk_priv }
        zk_scope { zk_priv }
        zk_stats { size, goroutines, runnable, blocked, created, workers, blocking_threads, switches, steals, parks, timers, fds, stack_bytes }
        zk_goinfo { size, id, name, state, wait_on, since, stack_size, stack_used }
    }
    say("ZK_FOREVER\0", raw::FOREVER);
    say("ZK_NOWAIT\0", raw::NOWAIT);
    for (name, error) in [
        ("ZK_ECLOSED\0", Error::Closed),
        ("ZK_ETIMEDOUT\0", Error::TimedOut),
        ("ZK_EAGAIN\0", Error::WouldBlock),
        ("ZK_ECANCELED\0", Error::Cancelled),
        ("ZK_EINVAL\0", Error::Invalid),
        ("ZK_ENOMEM\0", Error::NoMemory),
        ("ZK_EMSGSIZE\0", Error::MsgSize),
        ("ZK_EBUSY\0", Error::Busy),
        ("ZK_EPERM\0", Error::Perm),
        ("ZK_EDEADLOCK\0", Error::Deadlock),
        ("ZK_EPANIC\0", Error::Panic),
        ("ZK_ESHUTDOWN\0", Error::Shutdown),
        ("ZK_ENOTSUP\0", Error::NotSup),
        ("ZK_ELIMIT\0", Error::Limit),
    ] {
        say(name, code(error).into());
    }
}

fn channel(c: *const zk_chan) -> Arc<ByteChan> {
    // SAFETY: the tests pass channels.
    Arc::clone(unsafe { handle::borrow(c) }.expect("a channel"))
}

/// Starts a Rust goroutine that adds 1 to each `int64_t` from `from`, sends it to `to`, and closes `to` in the end.
#[no_mangle]
pub extern "C" fn zk_probe_relay(from: *const zk_chan, to: *const zk_chan) -> c_int {
    runtime::ready();
    let (from, to) = (channel(from), channel(to));
    zokor::go(move || {
        let mut value = 0_i64;
        // SAFETY: elements of both channels are of this size.
        while unsafe { from.recv((&raw mut value).cast(), FOREVER) }.is_ok() {
            value += 1;
            // SAFETY: as above.
            unsafe { to.send((&raw const value).cast(), FOREVER) }.expect("nobody closes it");
        }
        to.close().expect("nobody else closes it");
    });
    0
}

/// Starts a Rust goroutine that selects `n` times between receiving from `from` and sending to `to`, then says so on `done`.
#[no_mangle]
pub extern "C" fn zk_probe_select(from: *const zk_chan, to: *const zk_chan, done: *const zk_chan, n: i64) -> c_int {
    runtime::ready();
    let (from, to, done) = (channel(from), channel(to), channel(done));
    zokor::go(move || {
        let (mut sum, mut sent) = (0_i64, 0_i64);
        for _ in 0..n {
            let mut value = 0_i64;
            let cases = [
                Case { chan: Arc::as_ptr(&from), elem: (&raw mut value).cast(), op: Op::Recv },
                Case { chan: Arc::as_ptr(&to), elem: (&raw mut sent).cast(), op: Op::Send },
            ];
            // SAFETY: elements of both channels are of this size.
            match unsafe { raw::select(&cases, FOREVER, Order::Fair) }.expect("no error").index {
                0 => sum += value,
                _ => sent += 1,
            }
        }
        for value in [sum, sent] {
            // SAFETY: as above.
            unsafe { done.send((&raw const value).cast(), FOREVER) }.expect("nobody closes it");
        }
    });
    0
}

/// A C function that is to be called on a Rust thread which knows nothing of goroutines.
#[no_mangle]
pub unsafe extern "C" fn zk_probe_thread(f: unsafe extern "C" fn(*mut c_void), arg: *mut c_void) {
    let arg = arg as usize;
    // SAFETY: the tests pass a function and its argument.
    std::thread::spawn(move || unsafe { f(arg as *mut c_void) }).join().expect("no panic");
}
