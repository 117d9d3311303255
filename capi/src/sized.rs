//! Structs that begin with their own size, so that programs and libraries of different ages understand each other.
//!
//! Where it sits: below the modules that take option structs or fill report structs.
//!
//! A struct only ever grows at its end. A program built against an older header passes a smaller `size`: the fields it
//! does not know keep their defaults. One built against a newer header passes a larger `size`: what this library does
//! not know must be zero, because an option nobody looks at would be silently ignored.

use std::mem::size_of;
use std::ptr;

use zokor::raw::Error;

/// Larger than any version of any of these structs will ever be.
const ABSURD: usize = 4096;

/// A C struct whose first field is `size: size_t`.
///
/// # Safety
/// The type is `repr(C)`, begins with a `usize`, and is valid for every bit pattern that C can put there.
pub(crate) unsafe trait Sized_: Copy {
    /// The sizes that some version of the struct can have had: where a field of the present one begins, or its end.
    const ENDS: &'static [usize];
}

/// Declares the sizes a struct may come with: after `size` alone, and after each further field.
macro_rules! sized {
    ($type:ty: $($field:ident),*) => {
        // SAFETY: the struct is repr(C) with `size: usize` first; all others are integers and nullable pointers.
        unsafe impl $crate::sized::Sized_ for $type {
            const ENDS: &'static [usize] = &[$(core::mem::offset_of!($type, $field),)* core::mem::size_of::<$type>()];
        }
    };
}
pub(crate) use sized;

/// How many bytes of `T` the caller's struct and ours share.
fn common<T: Sized_>(size: usize) -> Result<usize, Error> {
    let ours = size_of::<T>();
    if size > ABSURD || (size < ours && !T::ENDS.contains(&size)) {
        return Err(Error::Invalid);
    }
    Ok(size.min(ours))
}

/// Reads the caller's options over `defaults`.
///
/// `Invalid`: null, misaligned, or a size no version has. `NotSup`: fields this library does not know are in use.
///
/// # Safety
/// `from` is null or points to as many readable bytes as its first word says.
pub(crate) unsafe fn read<T: Sized_>(from: *const T, defaults: T) -> Result<T, Error> {
    if from.is_null() || !from.is_aligned() {
        return Err(Error::Invalid);
    }
    // SAFETY: by the contract of `Sized_` and of the caller the first word is the size.
    let size = unsafe { from.cast::<usize>().read() };
    let shared = common::<T>(size)?;
    for at in shared..size {
        // SAFETY: `at` is below the size the caller vouches for.
        if unsafe { from.cast::<u8>().add(at).read() } != 0 {
            return Err(Error::NotSup);
        }
    }
    let mut options = defaults;
    // SAFETY: `shared` bytes are readable at `from` and inside `options`; any bits make a valid T (`Sized_`).
    unsafe { ptr::copy_nonoverlapping(from.cast::<u8>(), ptr::addr_of_mut!(options).cast::<u8>(), shared) };
    Ok(options)
}

/// Writes a report into the caller's struct: the fields both sides know. Its `size` stays as it was.
///
/// # Safety
/// `to` is null or points to as many writable bytes as its first word says.
pub(crate) unsafe fn write<T: Sized_>(to: *mut T, report: &T) -> Result<(), Error> {
    if to.is_null() || !to.is_aligned() {
        return Err(Error::Invalid);
    }
    // SAFETY: by the contract of `Sized_` and of the caller the first word is the size.
    let size = unsafe { to.cast::<usize>().read() };
    let shared = common::<T>(size)?;
    let head = size_of::<usize>();
    if shared > head {
        // SAFETY: `shared` bytes are writable at `to` and readable at `report`; the first word is left alone.
        unsafe {
            let from = ptr::from_ref(report).cast::<u8>().add(head);
            ptr::copy_nonoverlapping(from, to.cast::<u8>().add(head), shared - head);
        }
    }
    Ok(())
}
