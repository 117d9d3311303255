//! Memory for Python's own frames: CPython keeps those of a thread state in chunks, the first of which it maps at the first
//! call and unmaps with the state.
//!
//! Where it sits: above `ffi`; `state` installs it and has room for the first chunks, `spare` puts them in.
//!
//! CPython maps 16 KiB at a time, of which a goroutine that waits uses some hundred bytes: a page that it has for itself. So a
//! thread state gets a small first chunk, where its layout is known (`spare`), and goes on with CPython's when that is
//! full. The small one lies on the page of the goroutine's stack that is in use anyway, and of which a goroutine that waits leaves half. CPython's
//! are kept for the next one, because mapping and unmapping one costs ten times what the rest of a goroutine does.

use crate::ffi::{extra, ArenaAllocator};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};
use std::sync::OnceLock;

/// CPython's DATA_STACK_CHUNK_SIZE.
const CHUNK: usize = 16 << 10;
/// 8 MiB at most stay in the cache.
const KEPT: usize = 512;

/// Memory for a first chunk: four calls of functions of common size.
#[repr(C, align(16))]
pub struct Room([u8; FIRST]);

/// No size of CPython's, which asks for whole pages.
const FIRST: usize = 848;

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
    /// Puts an empty first chunk into that room, if there is no chunk.
    ///
    /// # Safety
    /// The room is nobody else's as long as a thread state has the chunk.
    #[inline]
    pub unsafe fn lend(&mut self, room: *mut Room) {
        if self.chunk.is_null() {
            let chunk = room.cast::<Head>();
            // SAFETY: by the caller; the head fits in.
            unsafe { chunk.write(Head { previous: ptr::null_mut(), size: FIRST, top: 0 }) };
            *self = Place { chunk, top: bottom(chunk), limit: chunk.cast::<u8>().wrapping_add(FIRST) };
        }
    }

    /// Whether it is the chunk in that room, and no frame lies in it.
    #[inline]
    pub fn is_empty_first(&self, room: *mut Room) -> bool {
        self.chunk == room.cast() && self.top == bottom(self.chunk)
    }

    /// Takes the chunk in that room away, which is the lowest one.
    ///
    /// # Safety
    /// A thread state has it, and no frame lies in the room any more.
    #[inline]
    pub unsafe fn take_back(&mut self, room: *mut Room) {
        if self.chunk == room.cast() {
            *self = Place { chunk: ptr::null_mut(), top: ptr::null_mut(), limit: ptr::null_mut() };
        } else {
            // SAFETY: by the caller.
            unsafe { self.take_from_below(room.cast()) };
        }
    }

    /// The same if there are chunks above it.
    ///
    /// # Safety
    /// As for [`take_back`](Place::take_back).
    #[cold]
    unsafe fn take_from_below(&self, lowest: *mut Head) {
        let mut at = self.chunk;
        // SAFETY: by the caller the chunks down to the lowest are there.
        unsafe {
            while !at.is_null() {
                if (*at).previous == lowest {
                    (*at).previous = ptr::null_mut();
                }
                at = (*at).previous;
            }
        }
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
    if size == FIRST {
        return; // on the stack of a goroutine that will not go on: in a forked child, or at the end of the interpreter
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
