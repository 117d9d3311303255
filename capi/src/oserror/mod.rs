//! Names and texts of the operating system's errors, as static strings.
//!
//! Where it sits: below `result`. The C library's `strerror` may write errno, may answer in another language and is not
//! safe from two threads; a table is. Numbers come from `libc`, so each platform gets its own; errors that only some
//! platforms know are in a file of their own.

use std::ffi::{c_int, CStr};

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod platform;

/// Name and text of a (positive) errno value, if it has one.
pub(crate) fn describe(errno: c_int) -> Option<(&'static CStr, &'static CStr)> {
    let known = COMMON.iter().chain(platform::MORE).find(|row| row.0 == errno)?;
    Some((known.1, known.2))
}

/// What every Unix knows.
#[rustfmt::skip]
const COMMON: &[(c_int, &CStr, &CStr)] = &[
    (libc::EPERM,             c"EPERM",            c"Operation not permitted"),
    (libc::ENOENT,            c"ENOENT",           c"No such file or directory"),
    (libc::ESRCH,             c"ESRCH",            c"No such process"),
    (libc::EINTR,             c"EINTR",            c"Interrupted system call"),
    (libc::EIO,               c"EIO",              c"Input/output error"),
    (libc::ENXIO,             c"ENXIO",            c"No such device or address"),
    (libc::E2BIG,             c"E2BIG",            c"Argument list too long"),
    (libc::ENOEXEC,           c"ENOEXEC",          c"Exec format error"),
    (libc::EBADF,             c"EBADF",            c"Bad file descriptor"),
    (libc::ECHILD,            c"ECHILD",           c"No child processes"),
    (libc::EAGAIN,            c"EAGAIN",           c"Resource temporarily unavailable"),
    (libc::ENOMEM,            c"ENOMEM",           c"Cannot allocate memory"),
    (libc::EACCES,            c"EACCES",           c"Permission denied"),
    (libc::EFAULT,            c"EFAULT",           c"Bad address"),
    (libc::ENOTBLK,           c"ENOTBLK",          c"Block device required"),
    (libc::EBUSY,             c"EBUSY",            c"Device or resource busy"),
    (libc::EEXIST,            c"EEXIST",           c"File exists"),
    (libc::EXDEV,             c"EXDEV",            c"Invalid cross-device link"),
    (libc::ENODEV,            c"ENODEV",           c"No such device"),
    (libc::ENOTDIR,           c"ENOTDIR",          c"Not a directory"),
    (libc::EISDIR,            c"EISDIR",           c"Is a directory"),
    (libc::EINVAL,            c"EINVAL",           c"Invalid argument"),
    (libc::ENFILE,            c"ENFILE",           c"Too many open files in system"),
    (libc::EMFILE,            c"EMFILE",           c"Too many open files"),
    (libc::ENOTTY,            c"ENOTTY",           c"Inappropriate ioctl for device"),
    (libc::ETXTBSY,           c"ETXTBSY",          c"Text file busy"),
    (libc::EFBIG,             c"EFBIG",            c"File too large"),
    (libc::ENOSPC,            c"ENOSPC",           c"No space left on device"),
    (libc::ESPIPE,            c"ESPIPE",           c"Illegal seek"),
    (libc::EROFS,             c"EROFS",            c"Read-only file system"),
    (libc::EMLINK,            c"EMLINK",           c"Too many links"),
    (libc::EPIPE,             c"EPIPE",            c"Broken pipe"),
    (libc::EDOM,              c"EDOM",             c"Numerical argument out of domain"),
    (libc::ERANGE,            c"ERANGE",           c"Numerical result out of range"),
    (libc::EDEADLK,           c"EDEADLK",          c"Resource deadlock avoided"),
    (libc::ENAMETOOLONG,      c"ENAMETOOLONG",     c"File name too long"),
    (libc::ENOLCK,            c"ENOLCK",           c"No locks available"),
    (libc::ENOSYS,            c"ENOSYS",           c"Function not implemented"),
    (libc::ENOTEMPTY,         c"ENOTEMPTY",        c"Directory not empty"),
    (libc::ELOOP,             c"ELOOP",            c"Too many levels of symbolic links"),
    (libc::ENOMSG,            c"ENOMSG",           c"No message of desired type"),
    (libc::EIDRM,             c"EIDRM",            c"Identifier removed"),
    (libc::EREMOTE,           c"EREMOTE",          c"Object is remote"),
    (libc::ENOLINK,           c"ENOLINK",          c"Link has been severed"),
    (libc::EPROTO,            c"EPROTO",           c"Protocol error"),
    (libc::EMULTIHOP,         c"EMULTIHOP",        c"Multihop attempted"),
    (libc::EBADMSG,           c"EBADMSG",          c"Bad message"),
    (libc::EOVERFLOW,         c"EOVERFLOW",        c"Value too large for defined data type"),
    (libc::EILSEQ,            c"EILSEQ",           c"Invalid or incomplete multibyte or wide character"),
    (libc::EUSERS,            c"EUSERS",           c"Too many users"),
    (libc::ENOTSOCK,          c"ENOTSOCK",         c"Socket operation on non-socket"),
    (libc::EDESTADDRREQ,      c"EDESTADDRREQ",     c"Destination address required"),
    (libc::EMSGSIZE,          c"EMSGSIZE",         c"Message too long"),
    (libc::EPROTOTYPE,        c"EPROTOTYPE",       c"Protocol wrong type for socket"),
    (libc::ENOPROTOOPT,       c"ENOPROTOOPT",      c"Protocol not available"),
    (libc::EPROTONOSUPPORT,   c"EPROTONOSUPPORT",  c"Protocol not supported"),
    (libc::ESOCKTNOSUPPORT,   c"ESOCKTNOSUPPORT",  c"Socket type not supported"),
    (libc::EOPNOTSUPP,        c"EOPNOTSUPP",       c"Operation not supported"),
    (libc::EPFNOSUPPORT,      c"EPFNOSUPPORT",     c"Protocol family not supported"),
    (libc::EAFNOSUPPORT,      c"EAFNOSUPPORT",     c"Address family not supported by protocol"),
    (libc::EADDRINUSE,        c"EADDRINUSE",       c"Address already in use"),
    (libc::EADDRNOTAVAIL,     c"EADDRNOTAVAIL",    c"Cannot assign requested address"),
    (libc::ENETDOWN,          c"ENETDOWN",         c"Network is down"),
    (libc::ENETUNREACH,       c"ENETUNREACH",      c"Network is unreachable"),
    (libc::ENETRESET,         c"ENETRESET",        c"Network dropped connection on reset"),
    (libc::ECONNABORTED,      c"ECONNABORTED",     c"Software caused connection abort"),
    (libc::ECONNRESET,        c"ECONNRESET",       c"Connection reset by peer"),
    (libc::ENOBUFS,           c"ENOBUFS",          c"No buffer space available"),
    (libc::EISCONN,           c"EISCONN",          c"Transport endpoint is already connected"),
    (libc::ENOTCONN,          c"ENOTCONN",         c"Transport endpoint is not connected"),
    (libc::ESHUTDOWN,         c"ESHUTDOWN",        c"Cannot send after transport endpoint shutdown"),
    (libc::ETOOMANYREFS,      c"ETOOMANYREFS",     c"Too many references: cannot splice"),
    (libc::ETIMEDOUT,         c"ETIMEDOUT",        c"Connection timed out"),
    (libc::ECONNREFUSED,      c"ECONNREFUSED",     c"Connection refused"),
    (libc::EHOSTDOWN,         c"EHOSTDOWN",        c"Host is down"),
    (libc::EHOSTUNREACH,      c"EHOSTUNREACH",     c"No route to host"),
    (libc::EALREADY,          c"EALREADY",         c"Operation already in progress"),
    (libc::EINPROGRESS,       c"EINPROGRESS",      c"Operation now in progress"),
    (libc::ESTALE,            c"ESTALE",           c"Stale file handle"),
    (libc::EDQUOT,            c"EDQUOT",           c"Disk quota exceeded"),
    (libc::ECANCELED,         c"ECANCELED",        c"Operation canceled"),
    (libc::EOWNERDEAD,        c"EOWNERDEAD",       c"Owner died"),
    (libc::ENOTRECOVERABLE,   c"ENOTRECOVERABLE",  c"State not recoverable"),
];
