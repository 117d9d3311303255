//! The operations of one `select!`: what the macro expands to, and the step that chooses among them.
//!
//! Where it sits: called by the expansion of `select!` and by `builder`; calls the core's `select_raw`.
//!
//! An operation lives on the stack of the goroutine that selects. [`run`] hands the core a pointer into each; when it returns,
//! at most one operation is selected, whose place it tells and whose `finish` gives the result. The value of a send that was
//! not selected is dropped with the operation, or still in the caller's variable.
//!
//! # Invariants
//!
//! - **O1** While an operation is `Waiting`, its slot holds the message to send, or nothing yet to receive.
//! - **O2** `Done` means: the message was moved out of the slot, or the value moved in. Where a channel drops a message instead
//!   of waiting, that one lies in the slot then, and is dropped with the operation at the latest.
//! - **O3** `Disconnected` means: nothing moved.

use std::marker::PhantomData;
use std::mem::{offset_of, ManuallyDrop, MaybeUninit};
use std::ptr;
use std::time::{Duration, Instant};

use super::error::{RecvError, SendError};
use super::receiver::Source;
use super::shared::Message;
pub use super::timer::Time;
use super::timer::{at_latest, within};
use super::{Receiver, Sender};
use crate::chan::{Error, Header};
pub use crate::chan::{FOREVER, NOWAIT};
use crate::mirror::none_possible;
use crate::select::first::{first_try, First, Listed};
pub use crate::select::Order;
use crate::select::{not_now, select_locked, select_raw, How, Op, SelCase, Selected};

/// How far an operation has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Done,
    Disconnected,
    Finished,
}

/// How long `default(limit)` waits.
pub trait Limit {
    fn deadline(self) -> Time;
}

impl Limit for Duration {
    fn deadline(self) -> Time {
        within(self)
    }
}

impl Limit for Instant {
    fn deadline(self) -> Time {
        at_latest(self)
    }
}

/// An operation as [`run`] takes it; borrows the operation until the choice is made.
pub struct Case<'a> {
    chan: *const Header,
    operation: *mut (),
    kind: &'static Kind,
    _operation: PhantomData<&'a mut ()>,
}

/// What all operations of one kind, for one type of messages, have in common.
struct Kind {
    op: Op,
    /// How many bytes into the operation its slot lies; `None` if it has none.
    slot: Option<usize>,
    /// What the operation does about the outcome: [`Recv::settle`] and the like.
    settle: unsafe fn(*mut (), Selected) -> bool,
}

impl Case<'_> {
    /// Lets the operation know what it came to. False: it counts as never done.
    ///
    /// # Safety
    /// The core has selected it with this outcome.
    #[inline(always)]
    unsafe fn settle(&self, selected: Selected) -> bool {
        // SAFETY: both come from one `case` method, and the operation is borrowed.
        unsafe { (self.kind.settle)(self.operation, selected) }
    }
}

// SAFETY: the operation is borrowed, and with it the channel; by O1 the slot is as the operation wants it.
unsafe impl Listed for Case<'_> {
    #[inline(always)]
    fn case(&self) -> SelCase {
        let elem = match self.kind.slot {
            // SAFETY: within the operation, which is borrowed.
            Some(at) => unsafe { self.operation.cast::<u8>().add(at) },
            None => ptr::null_mut(),
        };
        SelCase { chan: self.chan, elem, op: self.kind.op }
    }
}

/// Waits until one operation can proceed, or `deadline` has passed, and carries it out. The answer is its place in the list; `N` if there is none.
///
/// That the place is told, and not looked for in the operations, lets a CPU that has guessed wrongly whose body comes next find out as soon as the choice is
/// made, while the operation is still being carried out. Always inlined: a return on the way from the switch is one that the CPU predicts wrongly.
#[inline(always)]
pub fn run<const N: usize>(operations: [Case<'_>; N], order: Order, deadline: Time) -> usize {
    // SAFETY: as `Listed` says.
    if deadline == NOWAIT && none_possible(N, |i| unsafe { operations[i].case().look() }) {
        return not_now().map_or(N, |s| s.index);
    }
    let singly = match order {
        Order::Fair => match run_first(&operations, deadline) {
            Ran::Done(index) => return index,
            Ran::Nothing => false,
            Ran::InVain => true,
        },
        Order::Listed => false,
    };
    let cases: [SelCase; N] = std::array::from_fn(|i| operations[i].case());
    // SAFETY: `choose` has got it from the core.
    let settle = |selected: &Selected| unsafe { operations[selected.index].settle(*selected) };
    // SAFETY: as above.
    unsafe { choose_by(&cases, order, deadline, singly, settle) }.map_or(N, |s| s.index)
}

/// Whether it is this one's turn, of those that are asked one after the other: that of the one at the place `left` from here.
#[inline(always)]
pub fn is_next(left: &mut usize) -> bool {
    let here = *left == 0;
    *left = left.wrapping_sub(1);
    here
}

/// What the first try came to.
enum Ran {
    /// The operation at this place was carried out.
    Done(usize),
    /// None looked ready.
    Nothing,
    /// One did, and was not, or it counts as never done.
    InVain,
}

/// The first try. Out of line, for it is the same for all types.
#[inline(never)]
fn run_first(operations: &[Case<'_>], deadline: Time) -> Ran {
    // SAFETY: as `Listed` says.
    match unsafe { first_try(operations, deadline) } {
        // SAFETY: the core has selected it.
        First::Ran(s) if unsafe { operations[s.index].settle(s) } => Ran::Done(s.index),
        First::Nothing => Ran::Nothing,
        First::Ran(_) | First::InVain => Ran::InVain,
    }
}

/// The same without a first try, or after it.
#[inline(always)]
unsafe fn choose_by(
    cases: &[SelCase],
    order: Order,
    deadline: Time,
    singly: bool,
    mut settle: impl FnMut(&Selected) -> bool,
) -> Option<Selected> {
    // SAFETY: by the caller.
    match unsafe { select_locked(cases, deadline, order, singly) } {
        Ok(s) if settle(&s) => Some(s),
        // SAFETY: by the caller.
        Ok(_) => unsafe { choose(cases, order, deadline, settle) },
        Err(e) => give_up(cases, deadline, e, settle),
    }
}

/// Selects until `settle` accepts the outcome. It declines a message whose promise was broken, which counts as never sent.
/// `None`: nothing could proceed before `deadline`.
///
/// # Safety
///
/// The channels are alive, and the elements are as [`select_raw`] wants them, again after each time `settle` declined.
#[inline]
pub(super) unsafe fn choose(
    cases: &[SelCase],
    order: Order,
    deadline: Time,
    mut settle: impl FnMut(&Selected) -> bool,
) -> Option<Selected> {
    loop {
        // SAFETY: passed on to the caller.
        match unsafe { select_raw(cases, deadline, order) } {
            Ok(selected) => {
                if settle(&selected) {
                    return Some(selected);
                }
            }
            Err(e) => return give_up(cases, deadline, e, settle),
        }
    }
}

/// No case ran. Where that was ended from outside (cancelled, shut down), one of the cases reports its channel as disconnected, as a plain operation
/// does.
#[cold]
fn give_up(
    cases: &[SelCase],
    deadline: Time,
    error: Error,
    mut settle: impl FnMut(&Selected) -> bool,
) -> Option<Selected> {
    match error {
        Error::WouldBlock => return None,
        Error::TimedOut if deadline != FOREVER => return None,
        _ => {}
    }
    let index = cases.iter().position(|case| !case.chan.is_null()).unwrap_or(0);
    let selected = Selected { index, how: How::Closed };
    (!cases.is_empty() && settle(&selected)).then_some(selected)
}

/// What the core fills when a receive is selected, and what that becomes.
pub(super) union Slot<T> {
    message: ManuallyDrop<Message<T>>,
    instant: Instant,
    value: ManuallyDrop<T>,
}

impl<T> Slot<T> {
    /// Turns what the core wrote into the value. `false`: the message was never sent after all, and the slot is empty.
    ///
    /// # Safety
    ///
    /// The core has filled `slot` from the channel of `receiver`.
    #[inline]
    pub(super) unsafe fn settle(slot: *mut Slot<T>, receiver: &Receiver<T>) -> bool {
        let value = match receiver.source() {
            // SAFETY: a timer's channel carries instants.
            Source::Timer(timer) => Some(timer.cast(unsafe { (*slot).instant })),
            // SAFETY: every other channel carries messages; this one is taken out here.
            _ => unsafe { ManuallyDrop::take(&mut (*slot).message) }.settle(),
        };
        let Some(value) = value else { return false };
        // SAFETY: the caller owns the slot, and its old content was taken out above.
        unsafe { (*slot).value = ManuallyDrop::new(value) };
        true
    }

    /// # Safety
    ///
    /// `slot` was settled, and is not used again.
    #[inline]
    pub(super) unsafe fn take(slot: *mut Slot<T>) -> T {
        // SAFETY: passed on to the caller.
        unsafe { ManuallyDrop::take(&mut (*slot).value) }
    }
}

/// `recv(receiver) -> …`
pub struct Recv<'a, T> {
    receiver: &'a Receiver<T>,
    slot: MaybeUninit<Slot<T>>,
    state: State,
}

impl<'a, T> Recv<'a, T> {
    #[inline]
    pub(super) fn new(receiver: &'a Receiver<T>) -> Self {
        Self { receiver, slot: MaybeUninit::uninit(), state: State::Waiting }
    }

    #[inline]
    pub fn case(&mut self) -> Case<'_> {
        let chan = self.receiver.header();
        let operation: *mut Self = self;
        Case { chan, operation: operation.cast(), kind: const { &Self::KIND }, _operation: PhantomData }
    }

    const KIND: Kind = Kind { op: Op::Recv, slot: Some(offset_of!(Self, slot)), settle: Self::settle };

    /// # Safety
    ///
    /// `this` is the operation that the core has selected with the outcome `selected`.
    unsafe fn settle(this: *mut (), selected: Selected) -> bool {
        // SAFETY: `case` made this pointer, and `run` borrows the operation.
        let this = unsafe { &mut *this.cast::<Self>() };
        if !selected.ok() {
            this.state = State::Disconnected;
            return true;
        }
        // SAFETY: the core has filled the slot from this receiver's channel.
        let settled = unsafe { Slot::settle(this.slot.as_mut_ptr(), this.receiver) };
        if settled {
            this.state = State::Done;
        }
        settled
    }

    /// The result of the selected operation, once.
    #[inline]
    pub fn finish(&mut self) -> Result<T, RecvError> {
        match std::mem::replace(&mut self.state, State::Finished) {
            // SAFETY: by O2 the slot holds the value, and `Finished` keeps it from being taken again.
            State::Done => Ok(unsafe { Slot::take(self.slot.as_mut_ptr()) }),
            State::Disconnected => Err(RecvError),
            State::Waiting | State::Finished => unreachable!("the receive was not selected"),
        }
    }
}

/// A message to send; dropped with its value unless it was moved out. So is what the channel's policy left in its place.
pub(super) struct Held<T> {
    message: ManuallyDrop<Message<T>>,
    content: Content,
}

/// What a [`Held`] holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Own,
    Left,
    Nothing,
}

impl<T> Held<T> {
    #[inline]
    pub(super) fn new(message: Message<T>) -> Self {
        Self { message: ManuallyDrop::new(message), content: Content::Own }
    }

    /// Where the core finds the message.
    #[inline]
    pub(super) fn elem(&mut self) -> *mut u8 {
        (&raw mut self.message).cast()
    }

    /// The core has moved the message out, and may have left one that is dropped.
    #[inline]
    pub(super) fn sent(&mut self, how: How) {
        self.content = if how == How::Left { Content::Left } else { Content::Nothing };
    }

    fn take(&mut self) -> Message<T> {
        assert!(self.content == Content::Own, "the message was moved out before");
        self.content = Content::Nothing;
        // SAFETY: it was still in, and `content` keeps it from being taken again.
        unsafe { ManuallyDrop::take(&mut self.message) }
    }

    /// Drops what was left, if anything was.
    pub(super) fn dismiss_left(&mut self) {
        if self.content == Content::Left {
            self.content = Content::Nothing;
            // SAFETY: a message lies here, and `content` keeps it from being taken again.
            unsafe { ManuallyDrop::take(&mut self.message) }.dismiss();
        }
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        match self.content {
            // SAFETY: nobody has moved the message out.
            Content::Own => unsafe { ManuallyDrop::drop(&mut self.message) },
            Content::Left => self.dismiss_left(),
            Content::Nothing => {}
        }
    }
}

/// `send(sender, expression) -> …`: owns the value. It has no `Drop` of its own, only `Held` has: the borrow of the sender
/// ends with the last use, and the body of a case may move the sender away.
pub struct Send<'a, T> {
    sender: &'a Sender<T>,
    held: Held<T>,
    state: State,
}

impl<'a, T> Send<'a, T> {
    #[inline]
    pub(super) fn new(sender: &'a Sender<T>, value: T) -> Self {
        Self { sender, held: Held::new(Message::Now(value)), state: State::Waiting }
    }

    #[inline]
    pub fn case(&mut self) -> Case<'_> {
        let chan = self.sender.shared().chan.header();
        let operation: *mut Self = self;
        Case { chan, operation: operation.cast(), kind: const { &Self::KIND }, _operation: PhantomData }
    }

    const KIND: Kind = Kind { op: Op::Send, slot: Some(offset_of!(Self, held.message)), settle: Self::settle };

    /// # Safety
    ///
    /// `this` is the operation that the core has selected with the outcome `selected`.
    unsafe fn settle(this: *mut (), selected: Selected) -> bool {
        // SAFETY: `case` made this pointer, and `run` borrows the operation.
        let this = unsafe { &mut *this.cast::<Self>() };
        if selected.ok() {
            this.held.sent(selected.how);
            this.state = State::Done;
        } else {
            this.state = State::Disconnected;
        }
        true
    }

    /// The result of the selected operation, once.
    #[inline]
    pub fn finish(&mut self) -> Result<(), SendError<T>> {
        match std::mem::replace(&mut self.state, State::Finished) {
            State::Done => Ok(()),
            State::Disconnected => Err(SendError(self.held.take().into_value())),
            State::Waiting | State::Finished => unreachable!("the send was not selected"),
        }
    }
}

/// `send(sender, variable) -> …`: the value stays in the caller's variable unless the operation is selected, so that it is
/// still there in the other cases, or in the next round of a loop.
///
/// The slot gets a copy of the variable's bits just before the choice, with no foreign code in between, so the copy is never
/// older than the original, whatever cells are in it. If the operation is selected, the copy is the value and the variable must be [given up](given_up);
/// otherwise the copy is forgotten.
pub struct Lend<'a, T> {
    sender: &'a Sender<T>,
    value: &'a T,
    slot: MaybeUninit<ManuallyDrop<Message<T>>>,
    state: State,
    left: bool,
}

impl<'a, T> Lend<'a, T> {
    #[inline]
    pub(super) fn new(sender: &'a Sender<T>, value: &'a T) -> Self {
        Self { sender, value, slot: MaybeUninit::uninit(), state: State::Waiting, left: false }
    }

    /// # Safety
    ///
    /// No foreign code comes between this and [`run`]. If `run` selects the operation, the variable is
    /// [given up](given_up) before anything can unwind.
    #[inline]
    pub unsafe fn case(&mut self) -> Case<'_> {
        // SAFETY: a reference may be read; by the contract either the copy is forgotten or the original.
        let copy = unsafe { ptr::read(self.value) };
        self.slot.write(ManuallyDrop::new(Message::Now(copy)));
        let chan = self.sender.shared().chan.header();
        let operation: *mut Self = self;
        Case { chan, operation: operation.cast(), kind: const { &Self::KIND }, _operation: PhantomData }
    }

    const KIND: Kind = Kind { op: Op::Send, slot: Some(offset_of!(Self, slot)), settle: Self::settle };

    /// # Safety
    ///
    /// `this` is the operation that the core has selected with the outcome `selected`.
    unsafe fn settle(this: *mut (), selected: Selected) -> bool {
        // SAFETY: `case` made this pointer, and `run` borrows the operation.
        let this = unsafe { &mut *this.cast::<Self>() };
        this.state = if selected.ok() { State::Done } else { State::Disconnected };
        this.left = selected.how == How::Left;
        true
    }

    /// The result of the selected operation, once.
    #[inline]
    pub fn finish(&mut self) -> Result<(), SendError<T>> {
        match std::mem::replace(&mut self.state, State::Finished) {
            State::Done => Ok(()),
            State::Disconnected => {
                // SAFETY: by O3 the copy is still in the slot; by the contract of `case` the original is given up.
                let value = unsafe { ManuallyDrop::take(self.slot.assume_init_mut()) };
                Err(SendError(value.into_value()))
            }
            State::Waiting | State::Finished => unreachable!("the send was not selected"),
        }
    }

    /// What the channel's policy left in the place of the message.
    #[inline]
    pub fn take_left(&mut self) -> Left<T> {
        // SAFETY: the core has left a message in the slot, and `left` keeps it from being taken again.
        Left(std::mem::take(&mut self.left).then(|| unsafe { ManuallyDrop::take(self.slot.assume_init_mut()) }))
    }
}

/// A message that a channel dropped.
#[must_use]
pub struct Left<T>(Option<Message<T>>);

impl<T> Left<T> {
    /// Drops it. Comes after [`given_up`], because a destructor may panic.
    #[inline]
    pub fn dismiss(self) {
        if let Some(message) = self.0 {
            message.dismiss();
        }
    }
}

/// `send(sender, panic!(…)) -> …`: the message has no value, so it is evaluated only once the send could proceed.
pub struct Defer<'a, T> {
    sender: &'a Sender<T>,
}

impl<'a, T> Defer<'a, T> {
    #[inline]
    pub(super) fn new(sender: &'a Sender<T>) -> Self {
        Self { sender }
    }

    #[inline]
    pub fn case(&mut self) -> Case<'_> {
        let chan = self.sender.shared().chan.header();
        let operation: *mut Self = self;
        Case { chan, operation: operation.cast(), kind: const { &Self::KIND }, _operation: PhantomData }
    }

    const KIND: Kind = Kind { op: Op::ReadySend, slot: None, settle: Self::settle };

    /// # Safety
    ///
    /// None: there is nothing to note.
    unsafe fn settle(_: *mut (), _: Selected) -> bool {
        true
    }

    /// Sends after all, in case the message had a value.
    pub fn finish(&mut self, value: T) -> Result<(), SendError<T>> {
        self.sender.send(value)
    }
}

/// Ends the life of a variable whose value has gone elsewhere. The result says of what type it is.
#[inline]
pub fn given_up<T>(_: &Result<(), SendError<T>>, variable: T) {
    std::mem::forget(variable);
}

/// Drops the values of the sends that were not selected, before the body of the selected case runs.
#[inline]
pub fn lost<T>(values: T) {
    drop(values);
}
