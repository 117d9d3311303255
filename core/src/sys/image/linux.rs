//! Linux: process_vm_readv and dl_iterate_phdr.
//!
//! **Where it sits.** The platform half of `image.rs`; `other.rs` offers the same names.

use super::Module;
use std::ffi::{c_int, c_void};
use std::slice;

/// Copies `into.len()` bytes from `address`, if they are all there. The kernel reads: memory that is gone or belongs to somebody
/// who writes it is no fault and no race, though what is copied meanwhile may be torn.
pub(crate) fn peek(address: usize, into: &mut [u8]) -> bool {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut c_void, iov_len: into.len() };
    // SAFETY: `local` is a slice we may write to; the kernel checks `remote` itself.
    let n = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
    usize::try_from(n) == Ok(into.len())
}

type Use<'a> = &'a mut dyn FnMut(&[Module<'_>]);

/// Calls `f` with the modules. While it runs none is loaded or unloaded: the loader's lock is held, by this thread, which may
/// take it again.
pub(crate) fn with_modules(f: Use<'_>) {
    let mut f = f;
    // SAFETY: `hold` takes the pointer for what it is, a `Use`, and stops the walk at the first module.
    unsafe { libc::dl_iterate_phdr(Some(hold), (&raw mut f).cast()) };
}

/// Within one walk over the modules, which keeps them all, makes another one that lists them.
unsafe extern "C" fn hold(_: *mut libc::dl_phdr_info, _: usize, f: *mut c_void) -> c_int {
    let mut all: Vec<Module<'_>> = Vec::new();
    // SAFETY: `add` takes the pointer for what it is; `f` is what `with_modules` passed.
    unsafe {
        libc::dl_iterate_phdr(Some(add), (&raw mut all).cast());
        (*f.cast::<Use<'_>>())(&all);
    }
    1
}

unsafe extern "C" fn add(info: *mut libc::dl_phdr_info, _: usize, all: *mut c_void) -> c_int {
    let (mut code, mut index, mut segments) = (Vec::new(), None, Vec::new());
    // SAFETY: the loader passes a valid entry, and `hold` its list. The segments of a loaded module that can be read are memory
    // of the given size, which nobody unmaps while the walk in `hold` goes on. What is read of them, the unwind tables, nobody writes.
    let all = unsafe {
        let info = &*info;
        if info.dlpi_phdr.is_null() {
            return 0;
        }
        for part in slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) {
            let start = info.dlpi_addr as usize + part.p_vaddr as usize;
            let len = part.p_memsz as usize;
            let bytes = || slice::from_raw_parts(start as *const u8, len);
            match part.p_type {
                libc::PT_LOAD if part.p_flags & (libc::PF_R | libc::PF_W) == libc::PF_R => segments.push(bytes()),
                libc::PT_GNU_EH_FRAME => index = Some(bytes()),
                _ => {}
            }
            if part.p_type == libc::PT_LOAD && part.p_flags & libc::PF_X != 0 {
                code.push((start, start + len));
            }
        }
        &mut *all.cast::<Vec<Module<'_>>>()
    };
    if let Some(index) = index {
        all.push(Module { code, index, segments });
    }
    0
}
