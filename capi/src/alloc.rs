//! The library's memory: malloc, or what `zk_config.allocator` says.
//!
//! Where it sits: below everything, as Rust's global allocator.
//!
//! # State
//! [`CHOSEN`] goes once from null to an allocator's table and stays. Whoever comes first decides: `zk_init` for the
//! caller's table, or the first allocation for malloc. Hence every block is freed by the allocator it came from.
//!
//! # Orderings
//! The store that decides is Release and each load Acquire, so that a thread which sees the table sees its contents.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use zokor::raw::Error;

/// Where the library takes its memory from. Both functions are called from any thread and from goroutines, must not
/// call the library, and must not wait.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct zk_allocator {
    /// NULL: no memory.
    pub alloc: Option<unsafe extern "C" fn(size: usize, align: usize, user: *mut c_void) -> *mut c_void>,
    /// Same size and align as at alloc.
    pub free: Option<unsafe extern "C" fn(p: *mut c_void, size: usize, align: usize, user: *mut c_void)>,
    pub user: *mut c_void,
}

// SAFETY: the table is only read; what `user` points to is the caller's business, as the docs say.
unsafe impl Sync for zk_allocator {}

/// Stands for malloc in [`CHOSEN`].
static MALLOC: zk_allocator = zk_allocator { alloc: None, free: None, user: ptr::null_mut() };

static CHOSEN: AtomicPtr<zk_allocator> = AtomicPtr::new(ptr::null_mut());

struct Chosen;

#[global_allocator]
static GLOBAL: Chosen = Chosen;

/// Makes `table` the allocator. `Busy` once another one is in use, `Invalid` when it is incomplete.
///
/// # Safety
/// `table` is valid for the rest of the process.
pub(crate) unsafe fn choose(table: *const zk_allocator) -> Result<(), Error> {
    if !table.is_aligned() {
        return Err(Error::Invalid);
    }
    // SAFETY: valid by the caller's word, and aligned.
    let given = unsafe { &*table };
    if given.alloc.is_none() || given.free.is_none() {
        return Err(Error::Invalid);
    }
    // Release: pairs with the Acquire in `table()`, which then sees the contents. Not Relaxed for that reason.
    match CHOSEN.compare_exchange(ptr::null_mut(), table.cast_mut(), Ordering::Release, Ordering::Relaxed) {
        Ok(_) => Ok(()),
        Err(now) if ptr::eq(now, table) => Ok(()),
        Err(_) => Err(Error::Busy),
    }
}

/// The allocator in use; the first call decides for malloc if nobody has chosen.
fn table() -> &'static zk_allocator {
    // Acquire: pairs with the Release in `choose`; Relaxed could show a table without its contents.
    let mut chosen = CHOSEN.load(Ordering::Acquire);
    if chosen.is_null() {
        let malloc = ptr::from_ref(&MALLOC).cast_mut();
        // Acquire on failure: pairs with the Release in `choose`, as above. On success there is nothing to publish.
        chosen = match CHOSEN.compare_exchange(chosen, malloc, Ordering::Relaxed, Ordering::Acquire) {
            Ok(_) => malloc,
            Err(now) => now,
        };
    }
    // SAFETY: only `MALLOC` and tables that live as long as the process are ever stored.
    unsafe { &*chosen }
}

// SAFETY: blocks come from malloc or from functions that promise what malloc promises; every block goes back to where
// it came from because the choice never changes (see State above). Nothing here unwinds.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let t = table();
        match t.alloc {
            // SAFETY: passed on under the caller's contract.
            None => unsafe { System.alloc(layout) },
            // SAFETY: the table's contract (`zk_allocator`).
            Some(alloc) => unsafe { alloc(layout.size(), layout.align(), t.user).cast() },
        }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        let t = table();
        match t.free {
            // SAFETY: passed on under the caller's contract.
            None => unsafe { System.dealloc(p, layout) },
            // SAFETY: the table's contract; `p` came from its `alloc`.
            Some(free) => unsafe { free(p.cast(), layout.size(), layout.align(), t.user) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if table().alloc.is_none() {
            // SAFETY: passed on under the caller's contract. calloc need not touch fresh pages.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: passed on under the caller's contract.
        let p = unsafe { self.alloc(layout) };
        if !p.is_null() {
            // SAFETY: `p` has at least that many bytes.
            unsafe { ptr::write_bytes(p, 0, layout.size()) };
        }
        p
    }

    unsafe fn realloc(&self, p: *mut u8, old: Layout, size: usize) -> *mut u8 {
        if table().alloc.is_none() {
            // SAFETY: passed on under the caller's contract.
            return unsafe { System.realloc(p, old, size) };
        }
        // SAFETY: `realloc`'s contract says that the new size is not 0 and does not overflow with this alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, old.align()) };
        // SAFETY: as above.
        let q = unsafe { self.alloc(new) };
        if !q.is_null() {
            // SAFETY: both blocks have that many bytes and are different; `p` is the caller's to free.
            unsafe {
                ptr::copy_nonoverlapping(p, q, old.size().min(size));
                self.dealloc(p, old);
            }
        }
        q
    }
}
