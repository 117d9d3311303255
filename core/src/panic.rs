//! The edge of a goroutine: where panics and `goexit` end.
//!
//! *Where it sits*: layer 4, called by the entry functions of `go.rs` and of the faces. No unwinding leaves a goroutine:
//! what arrives here goes to whoever joins it, or to the panic policy.

use crate::cell::{AtomicPtr, AtomicU8, Ordering};
use crate::goroutine::{EXITING, G};
use crate::{dump, sched};
use core::ffi::c_void;
use core::ptr::null_mut;
use std::any::Any;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

/// What a panic carries.
pub type Payload = Box<dyn Any + Send + 'static>;

/// What `goexit` unwinds with. A joiner finds it in the `Err` of `join`.
#[derive(Debug)]
pub struct Goexit;

/// What happens to a panic that nobody joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum PanicPolicy {
    /// Report the goroutine and where it was created, then abort the process.
    #[default]
    Abort,
    /// Report, end the goroutine, and go on.
    Report,
}

/// Told about a panic that nobody joins, instead of the policy: goroutine number, text, user word.
#[derive(Clone, Copy)]
pub struct PanicHook {
    /// The function; after it returns the goroutine ends and the rest goes on.
    pub call: unsafe extern "C-unwind" fn(u64, *const core::ffi::c_char, *mut c_void),
    /// Passed to it.
    pub user: *mut c_void,
}
// SAFETY: whoever sets the hook promises that it may be called from any thread with this word.
unsafe impl Send for PanicHook {}
// SAFETY: as above.
unsafe impl Sync for PanicHook {}

static POLICY: AtomicU8 = AtomicU8::new(0);
static HOOK: AtomicPtr<PanicHook> = AtomicPtr::new(null_mut());

/// Sets the policy.
pub fn set_policy(p: PanicPolicy) {
    POLICY.store(p as u8, Ordering::Relaxed);
}

/// Sets the hook. Once, when the runtime is configured.
pub fn set_hook(h: PanicHook) {
    // Release: pairs with the Acquire in `unhandled`. The box lives as long as the process.
    HOOK.store(Box::into_raw(Box::new(h)), Ordering::Release);
}

/// Runs `f`; a panic or goexit comes back as the error.
pub fn contain<T>(f: impl FnOnce() -> T) -> Result<T, Payload> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Drops what `next` gives, until it gives nothing. A panic of a destructor keeps none of the others from running: the first one goes on
/// when all have run, the others have been reported by the panic hook.
pub fn drop_each<T>(mut next: impl FnMut() -> Option<T>) {
    let mut first = None;
    while let Err(p) = contain(|| while next().is_some() {}) {
        match &first {
            None => first = Some(p),
            // It might panic as well; what it says then is not asked for.
            Some(_) => {
                let _ = contain(|| drop(p)).map_err(std::mem::forget);
            }
        }
    }
    if let Some(p) = first {
        resume_unwind(p);
    }
}

/// The text of a panic's payload.
pub fn text(p: &Payload) -> &str {
    if let Some(s) = p.downcast_ref::<&str>() {
        s
    } else if let Some(s) = p.downcast_ref::<String>() {
        s
    } else {
        "Box<dyn Any>"
    }
}

/// A goroutine that nobody joins has ended with `payload`.
pub fn unhandled(g: &G, payload: Payload) {
    if payload.is::<Goexit>() {
        return;
    }
    report(g, text(&payload));
    // Dropping what was thrown may run code that panics again: then the process ends in any case.
    if let Err(p) = contain(move || drop(payload)) {
        dump::panic_again(g, text(&p));
    }
}

/// Code of users has panicked on a worker's own stack, such as the drop of a context's value at its deadline. There is no goroutine to end.
pub fn unhandled_outside(payload: &Payload) {
    // Acquire: pairs with the Release in `set_hook`.
    let hooked = !HOOK.load(Ordering::Acquire).is_null();
    if !hooked && POLICY.load(Ordering::Relaxed) == PanicPolicy::Abort as u8 {
        dump::panic_outside(text(payload));
    }
    dump::notice(&format!("panic outside a goroutine: {}", text(payload)));
}

/// Runs `f` as the body of the running goroutine. Once that has called `goexit` it ends by it, whatever it has caught and returned
/// or panicked with since (P-10, P-11).
#[inline]
pub fn body<T>(f: impl FnOnce() -> T) -> Result<T, Payload> {
    let r = contain(f);
    if sched::running_has(EXITING) {
        return exited(r);
    }
    r
}

/// The same for who knows the running goroutine.
#[inline]
pub fn body_of<T>(g: &G, f: impl FnOnce() -> T) -> Result<T, Payload> {
    let r = contain(f);
    if g.has(EXITING) {
        return exited(r);
    }
    r
}

#[cold]
fn exited<T>(r: Result<T, Payload>) -> Result<T, Payload> {
    match contain(move || drop(r)) {
        Ok(()) => Err(Box::new(Goexit)),
        Err(p) => Err(p), // a panic of its own, that nobody was there to catch
    }
}

/// The same for a goroutine that has an end of its own to take care of: a panic is reported, and the policy followed, before this
/// returns.
pub fn body_reported(f: impl FnOnce()) {
    let g = sched::running();
    match body(f) {
        Ok(()) => {}
        // SAFETY: the running goroutine's header is valid.
        Err(p) if !g.is_null() => unhandled(unsafe { &*g }, p),
        Err(p) => resume_unwind(p),
    }
}

/// Reports a panic that nobody joins and follows the policy. A panic in the hook ends the process (P-08). Called by the goroutine
/// itself.
pub fn report(g: &G, msg: &str) {
    // SAFETY: the goroutine is the running one, and owns its attributes.
    if std::mem::replace(unsafe { &mut g.ext_mut().reporting }, true) {
        dump::panic_again(g, msg);
    }
    report_once(g, msg);
    // SAFETY: as above.
    unsafe { g.ext_mut().reporting = false };
}

fn report_once(g: &G, msg: &str) {
    // Acquire: pairs with the Release in `set_hook`.
    let hook = HOOK.load(Ordering::Acquire);
    if !hook.is_null() {
        let msg = std::ffi::CString::new(msg.replace('\0', "\u{fffd}")).unwrap_or_default();
        let id = g.id.load(Ordering::Relaxed);
        // SAFETY: set once and never freed; the setter vouches for the function.
        let called = contain(|| unsafe { ((*hook).call)(id, msg.as_ptr(), (*hook).user) });
        if let Err(p) = called {
            dump::panic_again(g, text(&p));
        }
        return;
    }
    dump::panic(g, msg);
    if POLICY.load(Ordering::Relaxed) == PanicPolicy::Abort as u8 {
        std::process::abort();
    }
}

/// Ends the running goroutine. A Rust goroutine unwinds, so its destructors run; a goroutine of a language that
/// cannot unwind leaves its frames behind.
///
/// There is no way back: `catch_unwind` stops the unwinding, as it stops every other, but whatever the goroutine does then, it has
/// ended by `goexit` for those who join it, and what it returns or panics with is dropped.
///
/// # Panics
/// Outside a goroutine.
pub fn goexit() -> ! {
    let g = sched::running();
    assert!(!g.is_null(), "goexit outside a goroutine");
    // SAFETY: g is the running goroutine.
    unsafe {
        (*g).set_flags(EXITING);
        if (*g).has(crate::goroutine::NO_UNWIND) {
            crate::defer::goexit();
            crate::start::end_c(g);
        }
    }
    resume_unwind(Box::new(Goexit))
}
