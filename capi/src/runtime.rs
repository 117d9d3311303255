//! Configuration, start, main goroutines and the end of the runtime.
//!
//! Where it sits: above `alloc` and `sized`; the modules that start goroutines call [`ready`] first.

use std::ffi::{c_char, c_int, c_void};
use std::mem::size_of;
use std::ptr;
use std::sync::Once;

use zokor::raw::{self, Error};

use crate::alloc::{self, zk_allocator};
use crate::result::{code, misuse, status};
use crate::sized::{self, sized};
use crate::time::zk_time;

/// What a goroutine or callback runs.
pub type zk_fn = Option<unsafe extern "C-unwind" fn(arg: *mut c_void)>;
/// The same with a result.
pub type zk_int_fn = Option<unsafe extern "C-unwind" fn(arg: *mut c_void) -> c_int>;

/// The stack of a goroutine when neither it nor `zk_config` says anything: C programs know how deep they go.
const STACK_SIZE: usize = 64 * 1024;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct zk_config {
    /// = sizeof(zk_config)
    pub size: usize,
    /// 0: one per available CPU
    pub workers: u32,
    /// 0: 512 threads for zk_blocking()
    pub max_blocking: u32,
    /// 0: 64 KiB virtual, committed on touch
    pub stack_size: usize,
    /// 0: no limit
    pub max_goroutines: u64,
    /// NULL: dump + abort; after it returns the goroutine ends, the rest goes on
    pub on_panic: Option<unsafe extern "C-unwind" fn(goid: u64, msg: *const c_char, user: *mut c_void)>,
    pub user: *mut c_void,
    /// NULL: malloc; must outlive the process
    pub allocator: *const zk_allocator,
}

sized!(zk_config: workers, stack_size, max_goroutines, on_panic, user, allocator);

const DEFAULTS: zk_config = zk_config {
    size: size_of::<zk_config>(),
    workers: 0,
    max_blocking: 0,
    stack_size: 0,
    max_goroutines: 0,
    on_panic: None,
    user: ptr::null_mut(),
    allocator: ptr::null(),
};

/// Done once the engine has been given a configuration from this side.
static CONFIGURED: Once = Once::new();

fn configure(cfg: &zk_config) -> Result<(), Error> {
    raw::init(raw::Config {
        workers: cfg.workers,
        max_blocking: cfg.max_blocking,
        stack_size: if cfg.stack_size == 0 { STACK_SIZE } else { cfg.stack_size },
        max_goroutines: cfg.max_goroutines,
        on_panic: cfg.on_panic.map(|call| raw::PanicHook { call, user: cfg.user }),
        ..raw::Config::default()
    })
    .map_err(Error::from)
}

/// Gives the engine C's defaults if nobody has configured it. Called before whatever may start the runtime.
pub(crate) fn ready() {
    CONFIGURED.call_once(|| {
        // Busy: Rust or Python started the runtime in this process, and their choice stands.
        let _ = configure(&DEFAULTS);
    });
}

/// Optional: the runtime starts by itself with defaults on first use. `[any]`
///
/// ZK_EBUSY: it runs, or memory was allocated and another allocator is asked for.
/// ZK_EINVAL: a size or number that makes no sense. ZK_ENOTSUP: fields this library does not know are set.
///
/// # Safety
/// H2.
#[no_mangle]
pub unsafe extern "C" fn zk_init(cfg: *const zk_config) -> c_int {
    // SAFETY: H2.
    let cfg = match unsafe { sized::read(cfg, DEFAULTS) } {
        Ok(cfg) => cfg,
        Err(e) => return code(e),
    };
    if !cfg.allocator.is_null() {
        // SAFETY: the header asks that the table outlive the process.
        if let Err(e) = unsafe { alloc::choose(cfg.allocator) } {
            return code(e);
        }
    }
    let mut first = None;
    CONFIGURED.call_once(|| first = Some(configure(&cfg)));
    status(first.unwrap_or_else(|| configure(&cfg)))
}

/// Runs fn(arg) as a main goroutine and lends the calling thread to the runtime until it returns. `[any]`
///
/// *exit_code (may be NULL) receives its result. Other goroutines go on. Several threads may be in zk_run at once.
/// fn begins on the calling thread and may go on on another one after any call that waits, as every goroutine;
/// zk_lock_thread at its beginning keeps it here.
/// After zk_goexit in fn it waits for the others, then returns ZK_EDEADLOCK.
/// ZK_EDEADLOCK: nothing could ever run again; a dump went to stderr. Never reported while a foreign OS thread that
/// has called in is alive, or while a hold is out. ZK_EPANIC: fn panicked, and zk_config.on_panic let the rest go on.
/// ZK_ELIMIT: there are zk_config.max_goroutines already. ZK_EPERM: called from a goroutine, or inside zk_blocking.
///
/// # Safety
/// H2; `fn` may be called with `arg`.
#[no_mangle]
pub unsafe extern "C-unwind" fn zk_run(r#fn: zk_int_fn, arg: *mut c_void, exit_code: *mut c_int) -> c_int {
    let (Some(f), true) = (r#fn, exit_code.is_aligned()) else { return code(Error::Invalid) };
    if raw::in_helper() {
        return code(Error::Perm);
    }
    ready();
    // SAFETY: the caller's word.
    match unsafe { raw::run_c(f, arg) } {
        Ok(result) => {
            if !exit_code.is_null() {
                // SAFETY: H2, and aligned.
                unsafe { exit_code.write(result) };
            }
            0
        }
        Err(e) => code(e),
    }
}

/// Something the runtime cannot see (a signal handler, a thread that will call in later) may still wake goroutines: no
/// deadlock report until the matching zk_release. `[any]`
#[no_mangle]
pub extern "C" fn zk_hold() {
    raw::hold();
}

/// Takes one zk_hold back; without one the process ends. `[any]`
#[no_mangle]
pub extern "C" fn zk_release() {
    if !raw::release() {
        misuse("zk_release without zk_hold");
    }
}

/// Sets how many goroutines may run at once; 0 only asks. Returns the former value. `[any]`
///
/// ZK_EINVAL above 4096.
#[no_mangle]
pub extern "C" fn zk_workers(n: u32) -> c_int {
    ready();
    raw::workers(n).map_or_else(code, |former| c_int::try_from(former).unwrap_or(c_int::MAX))
}

/// Waits for all goroutines until `deadline`, then stops the workers. `[any]`
///
/// ZK_ETIMEDOUT or ZK_EAGAIN: some were still alive and will not run again. ZK_EPERM: called from a goroutine, or inside
/// zk_blocking. Afterwards, and in a forked child, calls that need the runtime give ZK_ESHUTDOWN, this one included.
#[no_mangle]
pub extern "C" fn zk_shutdown(deadline: zk_time) -> c_int {
    if raw::in_helper() {
        return code(Error::Perm); // it would wait for the goroutine that waits for it
    }
    status(raw::shutdown(deadline))
}
