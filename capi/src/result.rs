//! Error numbers and their texts.
//!
//! Where it sits: below every other module here. The list of numbers stands in `header/prologue.h`, once, as an X-macro;
//! the layout test compares it with [`OWN`] and with what `zokor::raw::code` gives.

use std::ffi::{c_char, c_int, CStr};

use zokor::raw::{self, Error};

use crate::oserror;
use crate::time::zk_time;

/// The library's own errors: number, name, text.
#[rustfmt::skip]
const OWN: &[(c_int, &CStr, &CStr)] = &[
    (0,     c"ZK_OK",        c"ok"),
    (-5001, c"ZK_ECLOSED",   c"channel is closed"),
    (-5002, c"ZK_ETIMEDOUT", c"deadline has passed"),
    (-5003, c"ZK_EAGAIN",    c"operation would block"),
    (-5004, c"ZK_ECANCELED", c"context was canceled"),
    (-5005, c"ZK_EINVAL",    c"invalid argument"),
    (-5006, c"ZK_ENOMEM",    c"out of memory"),
    (-5007, c"ZK_EMSGSIZE",  c"element size does not match the channel"),
    (-5008, c"ZK_EBUSY",     c"resource is busy"),
    (-5009, c"ZK_EPERM",     c"not allowed from here"),
    (-5010, c"ZK_EDEADLOCK", c"all goroutines are blocked"),
    (-5011, c"ZK_EPANIC",    c"goroutine panicked"),
    (-5012, c"ZK_ESHUTDOWN", c"runtime is shut down"),
    (-5013, c"ZK_ENOTSUP",   c"not supported on this platform"),
    (-5014, c"ZK_EOF",       c"end of stream"),
    (-5015, c"ZK_ENOHOST",   c"unknown host or service"),
    (-5016, c"ZK_ELIMIT",    c"configured limit reached"),
];

/// The lowest number that stands for an error of the operating system.
const OS_LAST: c_int = -4095;

/// The number C gets for `e`.
pub(crate) fn code(e: Error) -> c_int {
    raw::code(e)
}

/// `ZK_OK` or the number of the error.
pub(crate) fn status(r: Result<(), Error>) -> c_int {
    r.map_or_else(code, |()| 0)
}

/// Does what may wait for an object in the caller's memory, with the answers that channels give: on a helper thread of
/// `zk_blocking` it is not allowed, and where no runtime is left it must not wait.
pub(crate) fn waiting(deadline: zk_time, wait: impl FnOnce(zk_time) -> Result<(), Error>) -> Result<(), Error> {
    if deadline != raw::NOWAIT && raw::in_helper() {
        return Err(Error::Perm);
    }
    if !raw::is_down() {
        return wait(deadline);
    }
    match wait(raw::NOWAIT) {
        Err(Error::WouldBlock) => Err(Error::Shutdown),
        done => done,
    }
}

/// Ends the process: the program did what has no result to say so in.
#[cold]
pub(crate) fn misuse(what: &'static str) -> ! {
    raw::fatal(what)
}

/// Name and text of a result.
fn describe(rc: c_int) -> (&'static CStr, &'static CStr) {
    let rc = rc.min(0);
    if let Some(&(_, name, text)) = OWN.iter().find(|own| own.0 == rc) {
        return (name, text);
    }
    if (OS_LAST..0).contains(&rc) {
        if let Some(found) = oserror::describe(-rc) {
            return found;
        }
        return (c"unknown", c"unknown error of the operating system");
    }
    (c"unknown", c"unknown error")
}

/// The text for a result: "channel is closed", "Connection reset by peer". `[any]`
///
/// Never NULL; static storage. Results >= 0 are "ok".
#[no_mangle]
pub extern "C" fn zk_strerror(rc: c_int) -> *const c_char {
    describe(rc).1.as_ptr()
}

/// The name of a result: "ZK_ECLOSED", "ECONNRESET". `[any]`
///
/// Never NULL; static storage. "unknown" for a number that means nothing.
#[no_mangle]
pub extern "C" fn zk_errname(rc: c_int) -> *const c_char {
    describe(rc).0.as_ptr()
}

/// The version of the library that runs; compare with ZK_VERSION. `[any]`
#[no_mangle]
pub extern "C" fn zk_version() -> u32 {
    VERSION
}

/// The same as text, "0.1.0". `[any]`
#[no_mangle]
pub extern "C" fn zk_version_string() -> *const c_char {
    VERSION_STRING.as_ptr()
}

/// One number of the version, from its decimal digits.
const fn part(digits: &str) -> u32 {
    let digits = digits.as_bytes();
    let mut value = 0;
    let mut i = 0;
    while i < digits.len() {
        value = value * 10 + (digits[i] - b'0') as u32;
        i += 1;
    }
    value
}

const VERSION: u32 = part(env!("CARGO_PKG_VERSION_MAJOR")) << 16
    | part(env!("CARGO_PKG_VERSION_MINOR")) << 8
    | part(env!("CARGO_PKG_VERSION_PATCH"));

const VERSION_STRING: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(text) => text,
    Err(_) => panic!("the version has no NUL inside"),
};
