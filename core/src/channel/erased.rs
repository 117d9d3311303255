//! The messages of a `Select`, whose types its list does not know.
//!
//! Where it sits: called by `builder` and `selected`; calls `operand` and `shared`.
//!
//! A table of functions stands for the type of an operation's messages. A [`Buffer`] has room for the message of any of the
//! receives, of which only the chosen one is filled. An [`Offer`] is a send that may be chosen before its message is known.

use std::alloc::{alloc, dealloc, handle_alloc_error, Layout};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;

use super::__select::{Held, Slot};
use super::shared::{Message, Promised};
use super::Receiver;
use crate::chan::{Chan, NOWAIT};
use crate::select::How;

/// What the selection knows about the `T` of a receive.
pub(super) struct RecvTable {
    pub(super) slot: Layout,
    /// See [`Slot::settle`]; the second argument is the `Receiver<T>`.
    pub(super) settle: unsafe fn(*mut u8, *const ()) -> bool,
    /// Drops the value in a settled slot.
    pub(super) drop: unsafe fn(*mut u8),
}

/// What the selection knows about the `T` of a send.
pub(super) struct SendTable {
    make: fn() -> *mut (),
    elem: unsafe fn(*mut ()) -> *mut u8,
    sent: unsafe fn(*mut (), How),
    /// Drops what was left in the place of the promise.
    pub(super) dismiss_left: unsafe fn(*mut ()),
    pub(super) free: unsafe fn(*mut ()),
}

/// The tables for messages of type `T`.
pub(super) struct Table<T>(PhantomData<T>);

impl<T> Table<T> {
    pub(super) const RECV: &'static RecvTable = &RecvTable {
        slot: Layout::new::<Slot<T>>(),
        // SAFETY: the handle that the table was made for gives the type of both, the rest is the contract of the field.
        settle: |slot, receiver| unsafe { Slot::<T>::settle(slot.cast(), &*receiver.cast::<Receiver<T>>()) },
        // SAFETY: the slot is settled, and the table is the one for its type.
        drop: |slot| drop(unsafe { Slot::<T>::take(slot.cast()) }),
    };

    pub(super) const SEND: &'static SendTable = &SendTable {
        make: || Box::into_raw(Box::new(Offer::<T>::new())).cast(),
        // SAFETY: `make` of the same table made it, and it was not freed.
        elem: |offer| unsafe { (*offer.cast::<Offer<T>>()).held.elem() },
        // SAFETY: as above.
        sent: |offer, how| unsafe { (*offer.cast::<Offer<T>>()).held.sent(how) },
        // SAFETY: as above.
        dismiss_left: |offer| unsafe { (*offer.cast::<Offer<T>>()).held.dismiss_left() },
        // SAFETY: as above, and it is not used again.
        free: |offer| drop(unsafe { Box::from_raw(offer.cast::<Offer<T>>()) }),
    };
}

/// A send that may be chosen: the promise to put into the channel, and the way to keep it. Dropped before it is kept, it is
/// broken, and the promise counts as never sent.
pub(super) struct Offer<T> {
    held: Held<T>,
    promise: Arc<Chan<T>>,
}

impl<T> Offer<T> {
    fn new() -> Self {
        let promise = Chan::new(Some(1));
        Self { held: Held::new(Message::Later(Promised(promise.clone()))), promise }
    }

    /// Keeps the promise; the message comes back if nobody is left to receive it.
    pub(super) fn keep(&self, message: T) -> Result<(), T> {
        self.promise.send(message, NOWAIT).map_err(|(message, _)| message)
    }
}

impl<T> Drop for Offer<T> {
    fn drop(&mut self) {
        // A value that was promised and given stays in the buffer for its receiver.
        self.promise.close();
    }
}

/// The offers of one selection, by the index of their operation; those that were not chosen are freed on drop.
#[derive(Default)]
pub(super) struct Offers(Vec<(usize, *mut (), &'static SendTable)>);

impl Offers {
    pub(super) fn add(&mut self, index: usize, table: &'static SendTable) -> *mut u8 {
        let offer = (table.make)();
        self.0.push((index, offer, table));
        // SAFETY: made by this table just now.
        unsafe { (table.elem)(offer) }
    }

    /// Hands over the offer whose promise was sent.
    pub(super) fn take_sent(&mut self, index: usize, how: How) -> *mut () {
        let Some(position) = self.0.iter().position(|offer| offer.0 == index) else {
            unreachable!("each send has an offer");
        };
        let (_, offer, table) = self.0.swap_remove(position);
        // SAFETY: made by this table, and not freed.
        unsafe { (table.sent)(offer, how) };
        offer
    }
}

impl Drop for Offers {
    fn drop(&mut self) {
        for &(_, offer, table) in &self.0 {
            // SAFETY: made by this table, and handed to nobody.
            unsafe { (table.free)(offer) };
        }
    }
}

/// Room for the slot of any of the receives; on the heap only if the largest is large.
pub(super) struct Buffer {
    near: MaybeUninit<[u128; 4]>,
    far: *mut u8,
    layout: Layout,
}

impl Buffer {
    pub(super) fn new(slots: impl Iterator<Item = Layout>) -> Self {
        let (size, align) = slots.fold((0, 1), |(size, align), slot| (size.max(slot.size()), align.max(slot.align())));
        let layout = match Layout::from_size_align(size, align) {
            Ok(layout) => layout,
            Err(_) => unreachable!("both come from layouts of types"),
        };
        let near = Layout::new::<[u128; 4]>();
        if size <= near.size() && align <= near.align() {
            return Self { near: MaybeUninit::uninit(), far: ptr::null_mut(), layout };
        }
        // SAFETY: a slot has room for an `Instant`, so the size is not zero.
        let far = unsafe { alloc(layout) };
        if far.is_null() {
            handle_alloc_error(layout);
        }
        Self { near: MaybeUninit::uninit(), far, layout }
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        if self.far.is_null() {
            self.near.as_mut_ptr().cast()
        } else {
            self.far
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !self.far.is_null() {
            // SAFETY: allocated with this layout in `new`.
            unsafe { dealloc(self.far, self.layout) };
        }
    }
}
