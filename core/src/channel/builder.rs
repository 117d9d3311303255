//! `Select`: a selection over a list of operations that is built at run time.
//!
//! Where it sits: called by programs; calls `operand` for the choice, `erased` for the messages, and makes what is in `selected`.
//!
//! A receive is carried out by the choice itself: its message waits in the [`SelectedOperation`]. A send is chosen before the
//! program says what it sends, so the choice sends a promise in its place (see `shared::Message`).
//!
//! # Invariants
//!
//! - **B1** An entry's `handle` points to the `Sender<T>` or `Receiver<T>` it was added with, borrowed for `'a`, and its table of
//!   functions is the one for that `T`.
//! - **B2** Two handles with the same address belong to the same channel, and so have the same `T`.

use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::time::{Duration, Instant};

use super::__select::choose;
use super::erased::{Buffer, Offers, RecvTable, SendTable, Table};
use super::error::{ReadyTimeoutError, SelectTimeoutError, TryReadyError, TrySelectError};
use super::selected::{Begun, SelectedOperation};
use super::timer::{at_latest, within, Time};
use super::{Receiver, Sender};
use crate::chan::{Header, FOREVER, NOWAIT};
use crate::select::{How, Op, Order, SelCase, Selected};

/// One operation on the list.
#[derive(Clone, Copy)]
struct Entry {
    index: usize,
    address: *const (),
    header: *const Header,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Recv { handle: *const (), table: &'static RecvTable },
    Send { table: &'static SendTable },
}

/// A list of channel operations, of which one is carried out.
///
/// [`select!`](macro@crate::channel::select) is shorter where the number of operations is known.
///
/// There are two ways to go on once the list is built. [`select`](Select::select) and its relatives choose an operation and
/// begin it; it **must** be completed with [`SelectedOperation::send`] or [`SelectedOperation::recv`].
/// [`ready`](Select::ready) and its relatives only say which operation could proceed; another goroutine may be faster.
///
/// An operation is ready when it need not wait, also when it can only report that its channel is disconnected.
///
/// # Examples
///
/// ```
/// use zokor::channel::{unbounded, Receiver, Select};
///
/// fn recv_any<T>(receivers: &[Receiver<T>]) -> Option<T> {
///     let mut select = Select::new();
///     for receiver in receivers {
///         select.recv(receiver);
///     }
///     let operation = select.select();
///     let index = operation.index();
///     operation.recv(&receivers[index]).ok()
/// }
///
/// let (s1, r1) = unbounded();
/// let (_s2, r2) = unbounded();
/// s1.send(5).unwrap();
/// assert_eq!(recv_any(&[r1, r2]), Some(5));
/// ```
pub struct Select<'a> {
    entries: Vec<Entry>,
    next_index: usize,
    order: Order,
    _handles: PhantomData<&'a ()>,
}

// SAFETY: an entry is an address and a borrowed channel handle, which by B1 outlives `'a`. The list is used only through
// `&mut self`, and the channel operations on it are what any thread may do with a borrowed handle.
unsafe impl Send for Select<'_> {}
// SAFETY: `&Select` can only be cloned and printed.
unsafe impl Sync for Select<'_> {}

impl<'a> Select<'a> {
    /// An empty list. Of several ready operations, each has the same chance.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::Select;
    ///
    /// assert!(Select::new().try_select().is_err());
    /// ```
    pub fn new() -> Self {
        Self::with_order(Order::Fair)
    }

    /// An empty list. Of several ready operations, the one that was added first is chosen.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{unbounded, Select};
    ///
    /// let (s1, r1) = unbounded();
    /// let (s2, r2) = unbounded();
    /// s2.send(2).unwrap();
    /// s1.send(1).unwrap();
    ///
    /// let mut select = Select::new_biased();
    /// let first = select.recv(&r1);
    /// select.recv(&r2);
    /// assert_eq!(select.ready(), first);
    /// ```
    pub fn new_biased() -> Self {
        Self::with_order(Order::Listed)
    }

    fn with_order(order: Order) -> Self {
        Self { entries: Vec::new(), next_index: 0, order, _handles: PhantomData }
    }

    /// Adds a send operation and returns its index.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{unbounded, Select};
    ///
    /// let (s, _r) = unbounded::<i32>();
    /// let mut select = Select::new();
    /// assert_eq!(select.send(&s), 0);
    /// assert_eq!(select.send(&s), 1);
    /// ```
    pub fn send<T>(&mut self, s: &'a Sender<T>) -> usize {
        self.add(s.address(), s.shared().chan.header(), Kind::Send { table: Table::<T>::SEND })
    }

    /// Adds a receive operation and returns its index.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{unbounded, Select};
    ///
    /// let (_s, r) = unbounded::<i32>();
    /// let mut select = Select::new();
    /// assert_eq!(select.recv(&r), 0);
    /// ```
    pub fn recv<T>(&mut self, r: &'a Receiver<T>) -> usize {
        let kind = Kind::Recv { handle: ptr::from_ref(r).cast(), table: Table::<T>::RECV };
        self.add(r.address(), r.header(), kind)
    }

    fn add(&mut self, address: *const (), header: *const Header, kind: Kind) -> usize {
        let index = self.next_index;
        self.entries.push(Entry { index, address, header, kind });
        self.next_index += 1;
        index
    }

    /// Removes an operation, for example one whose channel is disconnected. Its index is not used again.
    ///
    /// # Panics
    ///
    /// If no operation has this index, or it was removed before.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{unbounded, Select};
    ///
    /// let (s1, r1) = unbounded::<i32>();
    /// let (s2, r2) = unbounded::<i32>();
    /// drop(s1);
    /// s2.send(20).unwrap();
    ///
    /// let mut select = Select::new_biased();
    /// let gone = select.recv(&r1);
    /// let open = select.recv(&r2);
    /// let operation = select.select();
    /// assert_eq!(operation.index(), gone);
    /// assert!(operation.recv(&r1).is_err());
    ///
    /// select.remove(gone);
    /// let operation = select.select();
    /// assert_eq!(operation.index(), open);
    /// assert_eq!(operation.recv(&r2), Ok(20));
    /// ```
    pub fn remove(&mut self, index: usize) {
        assert!(index < self.next_index, "index out of bounds; {index} >= {}", self.next_index);
        let Some(position) = self.entries.iter().position(|entry| entry.index == index) else {
            panic!("no operation with this index");
        };
        self.entries.remove(position);
    }

    /// Chooses and begins an operation if one is ready. It must be completed.
    ///
    /// # Errors
    ///
    /// [`TrySelectError`] if none is ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{unbounded, Select};
    ///
    /// let (s, r) = unbounded();
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// assert!(select.try_select().is_err());
    /// s.send(1).unwrap();
    /// assert_eq!(select.try_select().unwrap().recv(&r), Ok(1));
    /// ```
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.begin(NOWAIT).ok_or(TrySelectError)
    }

    /// Waits until an operation is ready, chooses it and begins it. It must be completed.
    ///
    /// # Panics
    ///
    /// If the list is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use zokor::channel::{bounded, Select};
    ///
    /// let (s, r) = bounded(0);
    /// let sending = thread::spawn(move || s.send(1).unwrap());
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// assert_eq!(select.select().recv(&r), Ok(1));
    /// # sending.join().unwrap();
    /// ```
    pub fn select(&mut self) -> SelectedOperation<'a> {
        match self.begin(FOREVER) {
            Some(operation) => operation,
            None => unreachable!("nothing ends a selection that waits for ever"),
        }
    }

    /// Waits at most `timeout` until an operation is ready, chooses it and begins it. It must be completed.
    ///
    /// # Errors
    ///
    /// [`SelectTimeoutError`] if none became ready in time.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use zokor::channel::{unbounded, Select};
    ///
    /// let (_s, r) = unbounded::<i32>();
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// assert!(select.select_timeout(Duration::from_millis(5)).is_err());
    /// ```
    pub fn select_timeout(&mut self, timeout: Duration) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.begin(within(timeout)).ok_or(SelectTimeoutError)
    }

    /// Waits until `deadline` for an operation to be ready, chooses it and begins it. It must be completed.
    ///
    /// # Errors
    ///
    /// [`SelectTimeoutError`] if none became ready in time.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use zokor::channel::{unbounded, Select};
    ///
    /// let (s, r) = unbounded();
    /// s.send(1).unwrap();
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// let operation = select.select_deadline(Instant::now() + Duration::from_secs(1)).unwrap();
    /// assert_eq!(operation.recv(&r), Ok(1));
    /// ```
    pub fn select_deadline(&mut self, deadline: Instant) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.begin(at_latest(deadline)).ok_or(SelectTimeoutError)
    }

    /// Finds an operation that is ready now, and returns its index.
    ///
    /// # Errors
    ///
    /// [`TryReadyError`] if none is ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{unbounded, Select};
    ///
    /// let (s, r) = unbounded();
    /// let mut select = Select::new();
    /// let index = select.recv(&r);
    /// assert!(select.try_ready().is_err());
    /// s.send(1).unwrap();
    /// assert_eq!(select.try_ready(), Ok(index));
    /// ```
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.wait_ready(NOWAIT).ok_or(TryReadyError)
    }

    /// Waits until an operation is ready, and returns its index. By the time the operation is tried it may not be ready any
    /// more.
    ///
    /// # Panics
    ///
    /// If the list is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{unbounded, Select};
    ///
    /// let (s, r) = unbounded();
    /// s.send(1).unwrap();
    /// let mut select = Select::new();
    /// let index = select.recv(&r);
    /// assert_eq!(select.ready(), index);
    /// assert_eq!(r.try_recv(), Ok(1));
    /// ```
    pub fn ready(&mut self) -> usize {
        match self.wait_ready(FOREVER) {
            Some(index) => index,
            None => unreachable!("nothing ends a selection that waits for ever"),
        }
    }

    /// Waits at most `timeout` until an operation is ready, and returns its index.
    ///
    /// # Errors
    ///
    /// [`ReadyTimeoutError`] if none became ready in time.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use zokor::channel::{bounded, Select};
    ///
    /// let (s, _r) = bounded::<i32>(0);
    /// let mut select = Select::new();
    /// select.send(&s);
    /// assert!(select.ready_timeout(Duration::from_millis(5)).is_err());
    /// ```
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.wait_ready(within(timeout)).ok_or(ReadyTimeoutError)
    }

    /// Waits until `deadline` for an operation to be ready, and returns its index.
    ///
    /// # Errors
    ///
    /// [`ReadyTimeoutError`] if none became ready in time.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use zokor::channel::{unbounded, Select};
    ///
    /// let (s, _r) = unbounded::<i32>();
    /// let mut select = Select::new();
    /// let index = select.send(&s);
    /// assert_eq!(select.ready_deadline(Instant::now() + Duration::from_secs(1)), Ok(index));
    /// ```
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.wait_ready(at_latest(deadline)).ok_or(ReadyTimeoutError)
    }

    /// Empties the list for use with other handles; its memory stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use zokor::channel::{unbounded, Select};
    ///
    /// let (s, r) = unbounded::<i32>();
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// let mut select = select.recycle();
    /// drop(r);
    /// assert_eq!(select.send(&s), 0);
    /// ```
    pub fn recycle<'b>(mut self) -> Select<'b> {
        self.entries.clear();
        Select { entries: self.entries, next_index: 0, order: self.order, _handles: PhantomData }
    }

    /// Chooses an operation and begins it; `None` if the deadline came first.
    fn begin(&mut self, deadline: Time) -> Option<SelectedOperation<'a>> {
        self.check_not_empty(deadline);
        let mut buffer = Buffer::new(self.entries.iter().filter_map(|entry| match entry.kind {
            Kind::Recv { table, .. } => Some(table.slot),
            Kind::Send { .. } => None,
        }));
        let slot = buffer.as_mut_ptr();
        let mut offers = Offers::default();
        let cases: Vec<SelCase> = self
            .entries
            .iter()
            .map(|entry| match entry.kind {
                Kind::Recv { .. } => SelCase { chan: entry.header, elem: slot, op: Op::Recv },
                Kind::Send { table } => {
                    SelCase { chan: entry.header, elem: offers.add(entry.index, table), op: Op::Send }
                }
            })
            .collect();
        let settle = |selected: &Selected| match self.entries[selected.index].kind {
            // SAFETY: the core has filled the slot from the channel of this receiver, which by B1 is alive.
            Kind::Recv { handle, table } if selected.ok() => unsafe { (table.settle)(slot, handle) },
            _ => true,
        };
        // SAFETY: by B1 the channels are alive. Only the chosen receive is written to `slot`, which is large enough for each;
        // each send has a message of its own.
        let selected = unsafe { choose(&cases, self.order, deadline, settle) }?;
        let entry = self.entries[selected.index];
        let begun = match entry.kind {
            Kind::Recv { table, .. } if selected.ok() => Begun::Received { table, buffer },
            Kind::Recv { .. } => Begun::RecvDisconnected,
            Kind::Send { table } if selected.ok() => {
                Begun::Promised { table, offer: offers.take_sent(entry.index, selected.how) }
            }
            Kind::Send { .. } => Begun::SendDisconnected,
        };
        let operation = SelectedOperation { index: entry.index, address: entry.address, begun, _handles: PhantomData };
        if let (true, Begun::Promised { table, offer }) = (selected.how == How::Left, &operation.begun) {
            // SAFETY: the table is the one that made the offer, which the operation owns.
            unsafe { (table.dismiss_left)(*offer) };
        }
        Some(operation)
    }

    /// The index of an operation that is ready; `None` if the deadline came first.
    fn wait_ready(&mut self, deadline: Time) -> Option<usize> {
        self.check_not_empty(deadline);
        let cases: Vec<SelCase> = self
            .entries
            .iter()
            .map(|entry| {
                let op = match entry.kind {
                    Kind::Recv { .. } => Op::ReadyRecv,
                    Kind::Send { .. } => Op::ReadySend,
                };
                SelCase { chan: entry.header, elem: ptr::null_mut(), op }
            })
            .collect();
        // SAFETY: by B1 the channels are alive, and a case that only waits to be ready has no element.
        let selected = unsafe { choose(&cases, self.order, deadline, |_| true) }?;
        Some(self.entries[selected.index].index)
    }

    fn check_not_empty(&self, deadline: Time) {
        assert!(deadline != FOREVER || !self.entries.is_empty(), "no operations have been added to `Select`");
    }
}

impl Clone for Select<'_> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), ..*self }
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}
