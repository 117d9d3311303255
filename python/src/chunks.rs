//! Memory for Python's own frames: CPython keeps those of a thread state in chunks, the first of which it maps at the first
//! call and unmaps with the state.
//!
//! Where it sits: above `ffi`; `state` installs it, `spare` takes the first chunks from here.
//!
//! CPython maps 16 KiB at a time, of which a goroutine that waits uses some hundred bytes: a page that it has for itself. So a new
//! thread state gets a small first chunk, where its layout is known (`spare`), and goes on with CPython's when that is
//! full. Those are kept for the next one, because mapping and unmapping one costs ten times what the rest of a goroutine does.

use crate::ffi::{extra, ArenaAllocator};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use std::alloc::{alloc, dealloc, Layout};
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};
use std::sync::OnceLock;

/// CPython's DATA_STACK_CHUNK_SIZE.
const CHUNK: usize = 16 << 10;
/// 8 MiB at most stay in the cache.
const KEPT: usize = 512;

/// A first chunk: room for four calls of functions of common size, and a parked goroutine stays below 10,000 bytes with all it has.
const FIRST: Layout = match Layout::from_size_align(848, 16) {
    Ok(layout) => layout,
    Err(_) => panic!(),
};

/// CPython's `_PyStackChunk`, without the frames that follow.
#[repr(C)]
struct Head {
    previous: *mut Head,
    size: usize,
    top: usize,
}

/// Where a thread state has its chunk, the first free word in it, and its end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Place {
    chunk: *mut Head,
    top: *mut u8,
    limit: *mut u8,
}

impl Place {
    /// A first chunk, empty; none if there is no memory.
    pub fn first() -> Option<Place> {
        // SAFETY: the layout is not of size zero, and the head fits in.
        unsafe {
            let chunk = alloc(FIRST).cast::<Head>();
            if chunk.is_null() {
                return None;
            }
            chunk.write(Head { previous: ptr::null_mut(), size: FIRST.size(), top: 0 });
            Some(Place { chunk, top: bottom(chunk), limit: chunk.cast::<u8>().add(FIRST.size()) })
        }
    }

    /// Whether it is a chunk below which there is none, and no frame lies in it.
    ///
    /// # Safety
    /// A thread state has it, or it is null.
    pub unsafe fn is_empty_first(self) -> bool {
        // SAFETY: by the caller.
        !self.chunk.is_null() && unsafe { (*self.chunk).previous.is_null() && self.top == bottom(self.chunk) }
    }

    /// Whether it can be one: the end is where head and size put it, and the free word lies in between.
    ///
    /// # Safety
    /// What is taken for its chunk is null, or an aligned address in memory that may be read.
    pub unsafe fn makes_sense(self) -> bool {
        // SAFETY: by the caller.
        unsafe {
            !self.chunk.is_null()
                && (*self.chunk).size % CHUNK == 0
                && self.limit == self.chunk.cast::<u8>().wrapping_add((*self.chunk).size)
                && (self.chunk.cast::<u8>()..self.limit).contains(&self.top)
        }
    }
}

/// The free word of an empty first chunk. CPython leaves one out, by which it tells that the chunk stays when its last frame goes.
fn bottom(chunk: *mut Head) -> *mut u8 {
    chunk.cast::<u8>().wrapping_add(size_of::<Head>() + size_of::<usize>())
}

struct Cache {
    busy: AtomicBool,
    chunks: UnsafeCell<([*mut c_void; KEPT], usize)>,
}

// SAFETY: `chunks` is touched by who has set `busy`.
unsafe impl Sync for Cache {}

static CACHE: Cache = Cache { busy: AtomicBool::new(false), chunks: UnsafeCell::new(([ptr::null_mut(); KEPT], 0)) };
static BELOW: OnceLock<ArenaAllocator> = OnceLock::new();

/// Runs `f` on the cache unless another thread is there (the GIL makes that rare).
fn with<R>(f: impl FnOnce(&mut [*mut c_void; KEPT], &mut usize) -> Option<R>) -> Option<R> {
    // Acquire: pairs with the Release below, so that the array is seen as the last user left it.
    if CACHE.busy.swap(true, Acquire) {
        return None;
    }
    // SAFETY: `busy` is ours.
    let (chunks, n) = unsafe { &mut *CACHE.chunks.get() };
    let r = f(chunks, n);
    // Release: hands the array to the next Acquire.
    CACHE.busy.store(false, Release);
    r
}

unsafe extern "C" fn allocate(_: *mut c_void, size: usize) -> *mut c_void {
    let kept = (size == CHUNK).then(|| {
        with(|chunks, n| {
            *n = n.checked_sub(1)?;
            Some(chunks[*n])
        })
    });
    match (kept.flatten(), BELOW.get()) {
        (Some(chunk), _) => chunk,
        // SAFETY: the allocator that was there before, with its own context.
        (None, Some(ArenaAllocator { ctx, alloc: Some(alloc), .. })) => unsafe { alloc(*ctx, size) },
        _ => ptr::null_mut(),
    }
}

unsafe extern "C" fn free(_: *mut c_void, chunk: *mut c_void, size: usize) {
    if size == FIRST.size() {
        // SAFETY: CPython asks for whole pages; what is of this size is a first chunk.
        return unsafe { dealloc(chunk.cast(), FIRST) };
    }
    let kept = (size == CHUNK).then(|| {
        with(|chunks, n| {
            *chunks.get_mut(*n)? = chunk;
            *n += 1;
            Some(())
        })
    });
    if kept.flatten().is_some() {
        return;
    }
    if let Some(ArenaAllocator { ctx, free: Some(free), .. }) = BELOW.get() {
        // SAFETY: every other chunk comes from the allocator below.
        unsafe { free(*ctx, chunk, size) };
    }
}

/// Puts the cache in front of the allocator that is there.
pub fn install() {
    let mut below = ArenaAllocator { ctx: ptr::null_mut(), alloc: None, free: None };
    // SAFETY: the structure is CPython's; it copies it.
    unsafe { (extra().arena_get)(&mut below) };
    if BELOW.set(below).is_ok() {
        let mut ours = ArenaAllocator { ctx: ptr::null_mut(), alloc: Some(allocate), free: Some(free) };
        // SAFETY: as above; both functions live as long as the process.
        unsafe { (extra().arena_set)(&mut ours) };
    }
}
