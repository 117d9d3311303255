//! The buffer of a channel: values in order, nothing else.
//!
//! *Where it sits*: layer 4, inside `chan/core.rs`, always under the channel's lock. One trait, two buffers: typed for Rust,
//! where the compiler knows size and move, and bytes for C and Python, where the size is known at run time.
//!
//! # Invariants
//!
//! * **R1** The slots from `head` on, `len` of them, wrapping at the end, hold values that the ring owns; all others
//!   hold nothing.

use crate::panic;
use std::alloc::{alloc, dealloc, Layout};
use std::mem::{align_of, size_of, MaybeUninit};
use std::ptr::{copy_nonoverlapping, swap, swap_nonoverlapping, NonNull};

/// Whether a full ring could get more slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grown {
    /// There is room for another value now.
    Room,
    /// It holds as many as it may.
    AtLimit,
    /// The system has no memory for it.
    NoMemory,
}

/// What a channel needs of its buffer.
///
/// # Safety
/// Implementations keep R1, and move exactly one value per call.
pub unsafe trait Ring {
    /// Values in it.
    fn len(&self) -> usize;
    /// Values it takes before it is full; `None`: no limit.
    fn cap(&self) -> Option<usize>;
    /// Whether another value can be pushed now.
    fn has_room(&self) -> bool;
    /// Makes room where there is none, if the limit allows it.
    fn grow_within_limit(&mut self) -> Grown;
    /// Moves a value in.
    ///
    /// # Safety
    /// `has_room()`; `src` points to a value which is moved out of.
    unsafe fn push(&mut self, src: *const u8);
    /// Moves the oldest value out.
    ///
    /// # Safety
    /// `len() > 0`; `dst` has room for one value.
    unsafe fn pop(&mut self, dst: *mut u8);
    /// Moves a value in and the oldest one out to where that came from.
    ///
    /// # Safety
    /// The ring was made with all its slots, not 0 of them, and all are in use; `at` points to a value, which is moved out of.
    unsafe fn rotate(&mut self, at: *mut u8);
    /// Moves a value from one place to another, past the buffer.
    ///
    /// # Safety
    /// `src` points to a value, `dst` to room for one; they do not overlap. A null `dst` takes nothing: only for
    /// values that need no drop.
    unsafe fn transfer(&self, src: *const u8, dst: *mut u8);
}

/// Values of one Rust type.
pub struct TypedRing<T> {
    slots: Box<[MaybeUninit<T>]>,
    head: usize,
    len: usize,
    limit: usize,
    /// With fewer values an unbounded ring gives half of its slots back.
    shrink_below: usize,
}

/// First size of a ring that grows.
const FIRST: usize = 16;
/// Up to this size a ring that grows keeps its slots.
const KEPT: usize = 1024;
/// The limit of an unbounded ring.
const NO_LIMIT: usize = usize::MAX;

impl<T> TypedRing<T> {
    /// A ring for `limit` values; `None` grows without limit.
    ///
    /// # Panics
    /// If there is no memory for that many.
    pub fn new(limit: Option<usize>) -> TypedRing<T> {
        match limit {
            Some(limit) => TypedRing { slots: room(limit), head: 0, len: 0, limit, shrink_below: 0 },
            None => Self::growing(None),
        }
    }

    /// A ring for `limit` values whose slots are made as they are needed.
    pub fn growing(limit: Option<usize>) -> TypedRing<T> {
        TypedRing { slots: slots(0), head: 0, len: 0, limit: limit.unwrap_or(NO_LIMIT), shrink_below: 0 }
    }

    /// Takes all values out, with the slots. The ring that is left takes no more values until it is asked to grow: for
    /// a closed channel.
    pub fn take_all(&mut self) -> TypedRing<T> {
        let empty = TypedRing { slots: Box::new([]), head: 0, len: 0, limit: self.limit, shrink_below: 0 };
        std::mem::replace(self, empty)
    }

    #[cold]
    fn grow(&mut self) {
        self.resize((self.slots.len() * 2).max(FIRST));
    }

    /// A queue that was long once does not keep the memory. Half at a time, an eighth in use: each resize is paid for by as
    /// many sends or receives.
    #[cold]
    fn shrink(&mut self) {
        self.resize(self.slots.len() / 2);
    }

    fn resize(&mut self, n: usize) {
        let mut new = slots(n);
        let first = self.len.min(self.slots.len() - self.head);
        // SAFETY: R1: the values are in two runs; they move to the front of the new slots, which have room for them.
        unsafe {
            copy_nonoverlapping(self.slots.as_ptr().add(self.head), new.as_mut_ptr(), first);
            copy_nonoverlapping(self.slots.as_ptr(), new.as_mut_ptr().add(first), self.len - first);
        }
        self.slots = new;
        self.head = 0;
        self.shrink_below = if n > KEPT { n / 8 } else { 0 };
    }
}

/// Slots for a limit that came from a program, whose error it is if they cannot be had.
fn room<T>(n: usize) -> Box<[MaybeUninit<T>]> {
    let mut v = Vec::new();
    if v.try_reserve_exact(n).is_err() {
        panic!("makechan: size out of range");
    }
    // SAFETY: uninitialised slots are valid values of MaybeUninit.
    unsafe { v.set_len(n) };
    v.into_boxed_slice()
}

fn slots<T>(n: usize) -> Box<[MaybeUninit<T>]> {
    let mut v = Vec::with_capacity(n);
    // SAFETY: uninitialised slots are valid values of MaybeUninit.
    unsafe { v.set_len(n) };
    v.into_boxed_slice()
}

// SAFETY: each method keeps R1 as its comment says.
unsafe impl<T> Ring for TypedRing<T> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    fn cap(&self) -> Option<usize> {
        (self.limit != NO_LIMIT).then_some(self.limit)
    }

    #[inline(always)]
    fn has_room(&self) -> bool {
        self.len < self.limit
    }

    /// `push` makes the slots it needs.
    fn grow_within_limit(&mut self) -> Grown {
        if self.has_room() {
            Grown::Room
        } else {
            Grown::AtLimit
        }
    }

    #[inline(always)]
    unsafe fn push(&mut self, src: *const u8) {
        if self.len == self.slots.len() {
            self.grow();
        }
        let mut i = self.head + self.len;
        if i >= self.slots.len() {
            i -= self.slots.len();
        }
        // SAFETY: slot i is empty (R1) and inside; src is a T by the caller.
        unsafe { self.slots.get_unchecked_mut(i).write(src.cast::<T>().read()) };
        self.len += 1;
    }

    #[inline(always)]
    unsafe fn pop(&mut self, dst: *mut u8) {
        // SAFETY: slot head is filled (R1); dst takes a T by the caller.
        unsafe { dst.cast::<T>().write(self.slots.get_unchecked(self.head).assume_init_read()) };
        self.head += 1;
        if self.head == self.slots.len() {
            self.head = 0;
        }
        self.len -= 1;
        if self.len < self.shrink_below {
            self.shrink();
        }
    }

    /// All slots are in use, so the place behind the newest value is that of the oldest.
    unsafe fn rotate(&mut self, at: *mut u8) {
        debug_assert!(self.len > 0 && self.len == self.slots.len());
        // SAFETY: slot head is filled (R1); `at` is a T by the caller.
        unsafe { swap(self.slots.get_unchecked_mut(self.head).as_mut_ptr(), at.cast::<T>()) };
        self.head += 1;
        if self.head == self.slots.len() {
            self.head = 0;
        }
    }

    #[inline(always)]
    unsafe fn transfer(&self, src: *const u8, dst: *mut u8) {
        // SAFETY: by the caller.
        unsafe { dst.cast::<T>().write(src.cast::<T>().read()) };
    }
}

impl<T> Drop for TypedRing<T> {
    /// When destructors panic, all values go nevertheless; the first panic goes on then.
    fn drop(&mut self) {
        self.shrink_below = 0;
        panic::drop_each(|| {
            // SAFETY: len > 0; the value moves out and is dropped once.
            (self.len > 0).then(|| unsafe {
                let mut v = MaybeUninit::<T>::uninit();
                self.pop(v.as_mut_ptr().cast());
                v.assume_init()
            })
        });
    }
}

const _: () = assert!(size_of::<TypedRing<u8>>() <= 48);

/// Values of a size that is known at run time, aligned to 16 bytes.
pub struct ByteRing {
    slots: NonNull<u8>,
    size: usize,
    /// Slots there are.
    cap: usize,
    head: usize,
    len: usize,
    /// Slots there may be.
    limit: usize,
    /// With fewer values a ring that has grown gives half of its slots back.
    shrink_below: usize,
}

// SAFETY: the bytes are owned by the ring; what they mean is the face's business.
unsafe impl Send for ByteRing {}

/// Why there is no ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRing {
    /// The size in bytes is beyond what memory can hold.
    Absurd,
    /// The system has not got that much.
    OutOfMemory,
}

impl ByteRing {
    /// A ring for `cap` values of `size` bytes.
    pub fn new(size: usize, cap: usize) -> Result<ByteRing, NoRing> {
        let mut slots = NonNull::<u128>::dangling().cast::<u8>();
        if let Some(layout) = Self::layout(size, cap)? {
            // SAFETY: the layout's size is not zero.
            slots = NonNull::new(unsafe { alloc(layout) }).ok_or(NoRing::OutOfMemory)?;
        }
        Ok(ByteRing { slots, size, cap, head: 0, len: 0, limit: cap, shrink_below: 0 })
    }

    /// A ring for `limit` values whose slots are made as they are needed; `None` grows without limit.
    pub fn growing(size: usize, limit: Option<usize>) -> Result<ByteRing, NoRing> {
        let mut ring = ByteRing::new(size, 0)?;
        ring.limit = limit.unwrap_or(NO_LIMIT);
        Ok(ring)
    }

    /// Moves the values into `cap` slots. False: there is no memory for these, and nothing has changed.
    #[cold]
    fn resize(&mut self, cap: usize) -> bool {
        let Ok(mut new) = ByteRing::new(self.size, cap) else { return false };
        let first = self.len.min(self.cap - self.head);
        // SAFETY: R1: the values are in two runs; they move to the front of the new slots, which have room for them.
        unsafe {
            let (from, to) = (self.slots.as_ptr(), new.slots.as_ptr());
            copy_nonoverlapping(from.add(self.head * self.size), to, first * self.size);
            copy_nonoverlapping(from, to.add(first * self.size), (self.len - first) * self.size);
        }
        (new.len, new.limit) = (self.len, self.limit);
        new.shrink_below = if cap > KEPT { cap / 8 } else { 0 };
        *self = new;
        true
    }

    /// The head starts another round. Here, so that a pop need not ask, a queue that was long once gives half of its slots
    /// back if less than an eighth is in use; if there is no memory for the smaller half it keeps them.
    #[inline(always)]
    fn wrap(&mut self) {
        self.head = 0;
        if self.len < self.shrink_below {
            self.resize(self.cap / 2);
        }
    }

    fn layout(size: usize, cap: usize) -> Result<Option<Layout>, NoRing> {
        let bytes = size.checked_mul(cap).filter(|b| *b <= isize::MAX as usize / 2).ok_or(NoRing::Absurd)?;
        if size.max(cap) > isize::MAX as usize / 2 {
            return Err(NoRing::Absurd);
        }
        if bytes == 0 {
            return Ok(None);
        }
        Layout::from_size_align(bytes, align_of::<u128>()).map(Some).map_err(|_| NoRing::Absurd)
    }

    /// Whether values are of a size for [`push_small`](ByteRing::push_small) and its like.
    pub fn is_small(size: usize) -> bool {
        matches!(size, 1 | 2 | 4 | 8 | 16)
    }

    /// Whether there is a value in it.
    #[inline(always)]
    pub fn has_some(&self) -> bool {
        self.len > 0
    }

    /// `push` without a call.
    ///
    /// # Safety
    /// As for [`push`](Ring::push), of small values.
    #[inline(always)]
    pub unsafe fn push_small(&mut self, src: *const u8) {
        // SAFETY: there is room, so slot `len` is empty and inside (R1).
        unsafe { copy_small(src, self.peek(self.len), self.size) };
        self.len += 1;
    }

    /// `pop` without a call.
    ///
    /// # Safety
    /// As for [`pop`](Ring::pop), of small values from a ring that does not grow; `dst` is not null.
    #[inline(always)]
    pub unsafe fn pop_small(&mut self, dst: *mut u8) {
        debug_assert!(self.shrink_below == 0);
        // SAFETY: len > 0, so slot 0 is filled.
        unsafe { copy_small(self.peek(0), dst, self.size) };
        self.head += 1;
        self.len -= 1;
        if self.head == self.cap {
            self.head = 0;
        }
    }

    /// `transfer` without a call.
    ///
    /// # Safety
    /// As for [`transfer`](Ring::transfer), of small values.
    #[inline(always)]
    pub unsafe fn transfer_small(&self, src: *const u8, dst: *mut u8) {
        if !dst.is_null() {
            // SAFETY: by the caller.
            unsafe { copy_small(src, dst, self.size) };
        }
    }

    /// The address of the i-th oldest value.
    #[inline(always)]
    pub fn peek(&self, i: usize) -> *mut u8 {
        let mut at = self.head + i;
        if at >= self.cap {
            at -= self.cap;
        }
        // SAFETY: at < cap, so the address is inside the allocation.
        unsafe { self.slots.as_ptr().add(at * self.size) }
    }
}

/// Copies a value; the common sizes without a call.
#[inline(always)]
unsafe fn copy(src: *const u8, dst: *mut u8, size: usize) {
    // SAFETY: by the caller: src and dst are valid for `size` bytes, of any alignment.
    unsafe {
        match size {
            8 => dst.cast::<u64>().write_unaligned(src.cast::<u64>().read_unaligned()),
            4 => dst.cast::<u32>().write_unaligned(src.cast::<u32>().read_unaligned()),
            16 => dst.cast::<u128>().write_unaligned(src.cast::<u128>().read_unaligned()),
            _ => copy_nonoverlapping(src, dst, size),
        }
    }
}

/// Copies a value of 1, 2, 4, 8 or 16 bytes. Three cases are compared with; from four on a compiler makes a table of jumps.
#[inline(always)]
unsafe fn copy_small(src: *const u8, dst: *mut u8, size: usize) {
    // SAFETY: by the caller: src and dst are valid for `size` bytes, of any alignment.
    unsafe {
        match size {
            8 => dst.cast::<u64>().write_unaligned(src.cast::<u64>().read_unaligned()),
            4 => dst.cast::<u32>().write_unaligned(src.cast::<u32>().read_unaligned()),
            16 => dst.cast::<u128>().write_unaligned(src.cast::<u128>().read_unaligned()),
            _ => {
                dst.write(src.read());
                if size > 1 {
                    dst.add(1).write(src.add(1).read());
                }
            }
        }
    }
}

// SAFETY: each method keeps R1 as its comment says.
unsafe impl Ring for ByteRing {
    #[inline(always)]
    fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    fn cap(&self) -> Option<usize> {
        (self.limit != NO_LIMIT).then_some(self.limit)
    }

    #[inline(always)]
    fn has_room(&self) -> bool {
        self.len < self.cap
    }

    fn grow_within_limit(&mut self) -> Grown {
        match self.cap.saturating_mul(2).max(FIRST).min(self.limit) {
            more if more <= self.cap => Grown::AtLimit,
            more if self.resize(more) => Grown::Room,
            _ => Grown::NoMemory,
        }
    }

    #[inline(always)]
    unsafe fn push(&mut self, src: *const u8) {
        // SAFETY: there is room, so slot `len` is empty and inside (R1).
        unsafe { copy(src, self.peek(self.len), self.size) };
        self.len += 1;
    }

    #[inline(always)]
    unsafe fn pop(&mut self, dst: *mut u8) {
        if !dst.is_null() {
            // SAFETY: len > 0, so slot 0 is filled.
            unsafe { copy(self.peek(0), dst, self.size) };
        }
        self.head += 1;
        self.len -= 1;
        if self.head == self.cap {
            self.wrap();
        }
    }

    /// All slots are in use, so the place behind the newest value is that of the oldest.
    unsafe fn rotate(&mut self, at: *mut u8) {
        debug_assert!(self.len > 0 && self.len == self.cap);
        // SAFETY: slot 0 is filled (R1); `at` has the size of a value by the caller, and is not in the ring.
        unsafe { swap_nonoverlapping(self.peek(0), at, self.size) };
        self.head += 1;
        if self.head == self.cap {
            self.wrap();
        }
    }

    #[inline(always)]
    unsafe fn transfer(&self, src: *const u8, dst: *mut u8) {
        if !dst.is_null() {
            // SAFETY: by the caller.
            unsafe { copy(src, dst, self.size) };
        }
    }
}

impl Drop for ByteRing {
    fn drop(&mut self) {
        if let Ok(Some(layout)) = Self::layout(self.size, self.cap) {
            // SAFETY: allocated with this layout in `new`. The values were dropped by the channel.
            unsafe { dealloc(self.slots.as_ptr(), layout) };
        }
    }
}
