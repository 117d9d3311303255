//! Linux: process_vm_readv and dl_iterate_phdr.
//!
//! **Where it sits.** The platform half of `image.rs`; `other.rs` offers the same names.

use super::Module;
use std::ffi::{c_int, c_void};
use std::{io, slice};

/// Copies `into.len()` bytes from `address`, if they are all there. The kernel reads: memory that is gone or belongs to somebody
/// who writes it is no fault and no race, though what is copied meanwhile may be torn.
pub(crate) fn peek(address: usize, into: &mut [u8]) -> bool {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut c_void, iov_len: into.len() };
    // SAFETY: `local` is a slice we may write to; the kernel checks `remote` itself.
    let n = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
    if n < 0 && matches!(io::Error::last_os_error().raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) {
        return peek_by_pipe(address, into);
    }
    usize::try_from(n) == Ok(into.len())
}

/// The same where a sandbox or an emulator refuses that call: what cannot be read cannot be written to a pipe.
#[cold]
fn peek_by_pipe(address: usize, into: &mut [u8]) -> bool {
    const AT_ONCE: usize = 4096; // an empty pipe takes that much
    let mut ends = [0; 2];
    // SAFETY: there is room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } != 0 {
        return false;
    }
    let mut from = address;
    let copied = into.chunks_mut(AT_ONCE).all(|part| {
        // SAFETY: the kernel checks the address it reads from; `part` is a slice we may write to.
        let n = unsafe {
            match libc::write(ends[1], from as *const c_void, part.len()) {
                n if n > 0 => libc::read(ends[0], part.as_mut_ptr().cast(), part.len()),
                n => n,
            }
        };
        from += part.len();
        usize::try_from(n) == Ok(part.len())
    });
    for end in ends {
        // SAFETY: the descriptors are ours. There is nothing left to lose if closing fails.
        unsafe { libc::close(end) };
    }
    copied
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

#[cfg(test)]
mod tests {
    use super::*;

    fn both_ways(look: fn(usize, &mut [u8]) -> bool) {
        let from: Vec<u8> = (0..20_000).map(|i| (i % 251) as u8).collect();
        let mut into = vec![0; from.len()];
        assert!(look(from.as_ptr() as usize, &mut into));
        assert_eq!(from, into);
        assert!(!look(8, &mut into), "nothing is mapped there");
    }

    #[test]
    fn memory_is_copied_or_it_is_not_there() {
        both_ways(peek);
        both_ways(peek_by_pipe);
    }

    #[test]
    fn this_code_is_in_one_module() {
        let here = this_code_is_in_one_module as *const () as usize;
        let mut n = 0;
        with_modules(&mut |all| n += all.iter().filter(|m| m.contains(here) && !m.index.is_empty()).count());
        assert_eq!(n, 1);
    }
}
