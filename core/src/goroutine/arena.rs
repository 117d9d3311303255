//! Where headers come from: chunks of them that stay mapped until shutdown, and a list of those that are free.
//!
//! *Where it sits*: layer 2, a part of `goroutine`. Calls `sys` and `stack`. Workers take and give headers in chains; dumps visit them.
//!
//! # State
//! A table of chunks that only grows, how many headers were ever handed out, and the free list under its lock.
//!
//! # Invariants
//! * A header below `USED` is initialised and stays mapped until [`release_all`]: whoever has a pointer to one may look at it.
//! * A free header belongs to the list (G1).

use super::*;
use crate::errno::Errno;
use crate::rank::Rank;
use crate::stack;

/// Headers per chunk: 2 MiB, which is a huge page where the system has them.
pub(super) const CHUNK: usize = 8192;
/// Headers that workers take and give at once, and keep at most twice.
pub const BATCH: usize = 128;
/// Up to 64 million goroutines.
const CHUNKS: usize = 8192;

pub(super) static TABLE: [AtomicPtr<G>; CHUNKS] = [const { AtomicPtr::new(null_mut()) }; CHUNKS];
/// Headers handed out at least once; all below it are initialised.
pub(super) static USED: AtomicUsize = AtomicUsize::new(0);
static GLOBAL: sys::Mutex<FreeList> =
    sys::Mutex::new(Rank::Arena, FreeList { head: null_mut(), full: null_mut(), len: 0 });
static NAMES: sys::Mutex<()> = sys::Mutex::new(Rank::Leaf, ());

struct FreeList {
    /// Any number of free headers, linked by `link`.
    head: *mut G,
    /// Batches of `BATCH` free headers; the first header of each has the next batch in `local`.
    full: *mut G,
    /// How many free headers there are in all.
    len: usize,
}
// SAFETY: the headers in the list are free (G1), whoever holds the lock owns them.
unsafe impl Send for FreeList {}

pub(super) fn names_lock() -> sys::MutexGuard<'static, ()> {
    NAMES.lock()
}

/// Takes one free header; an error if memory is short.
pub fn take_one() -> Result<*mut G, Errno> {
    let mut list = GLOBAL.lock();
    if list.head.is_null() && !list.full.is_null() {
        list.head = list.pop_full();
    }
    Ok(list.take(1)?.0)
}

/// Takes up to `BATCH` free headers, linked by `link`, and says how many; an error if memory is short.
pub fn take_batch() -> Result<(*mut G, usize), Errno> {
    let mut list = GLOBAL.lock();
    if list.full.is_null() {
        return list.take(BATCH);
    }
    list.len -= BATCH;
    Ok((list.pop_full(), BATCH))
}

impl FreeList {
    /// The first full batch, of which there is one.
    fn pop_full(&mut self) -> *mut G {
        let batch = self.full;
        // SAFETY: headers in the free list are ours under the lock (G1).
        self.full = unsafe { (*batch).local.replace(null_mut()) }.cast();
        batch
    }

    fn take(&mut self, want: usize) -> Result<(*mut G, usize), Errno> {
        if self.head.is_null() {
            grow(self, want)?;
        }
        let head = self.head;
        let mut last = head;
        let mut n = 1;
        // SAFETY: as above.
        unsafe {
            while n < want && !(*(*last).link.get()).is_null() {
                last = *(*last).link.get();
                n += 1;
            }
            self.head = *(*last).link.get();
            *(*last).link.get() = null_mut();
        }
        self.len -= n;
        Ok((head, n))
    }
}

/// Gives a chain of `n` free headers back.
///
/// # Safety
/// They are the caller's (G1), linked by `link`.
pub unsafe fn give(head: *mut G, n: usize) {
    let mut tail = head;
    // SAFETY: by the caller; now the list owns them.
    unsafe {
        for _ in 1..n {
            tail = *(*tail).link.get();
        }
        let mut list = GLOBAL.lock();
        *(*tail).link.get() = list.head;
        list.head = head;
        list.len += n;
    }
}

/// Gives a chain of `BATCH` free headers back.
///
/// # Safety
/// As for [`give`]; the last one's link is null.
pub unsafe fn give_batch(head: *mut G) {
    let mut list = GLOBAL.lock();
    // SAFETY: by the caller; now the list owns them.
    unsafe { (*head).local.set(list.full.cast()) };
    list.full = head;
    list.len += BATCH;
}

/// Initialises some more headers of the newest chunk, or maps a new one.
fn grow(list: &mut FreeList, want: usize) -> Result<(), Errno> {
    let used = USED.load(Ordering::Relaxed);
    let chunk = used / CHUNK;
    if chunk >= CHUNKS {
        return Err(Errno(libc::ENOMEM));
    }
    if TABLE[chunk].load(Ordering::Relaxed).is_null() {
        debugger::keep();
        let p = sys::map_reserve(CHUNK * size_of::<G>()).map_err(|e| Errno::from(&e))?;
        if chunk > 0 {
            // Not the first: a program with a few goroutines is to stay small.
            // SAFETY: the chunk has just been mapped, whole.
            unsafe { sys::advise_hugepage(p, CHUNK * size_of::<G>()) };
        }
        // Release: pairs with the Acquire in `for_each`; a mapping of zeroes is what it publishes.
        TABLE[chunk].store(p.cast(), Ordering::Release);
    }
    let base = TABLE[chunk].load(Ordering::Relaxed);
    let n = want.min(CHUNK - used % CHUNK);
    // In step with the headers, not with their chunks: a process with little address space starts, too.
    stack::reserve(used + n).map_err(|e| Errno(e.0))?;
    for i in (0..n).rev() {
        // SAFETY: used + i is inside the chunk, mapped, and not handed out before: exclusive.
        unsafe {
            let g = base.add(used % CHUNK + i);
            init(g);
            *(*g).link.get() = list.head;
            list.head = g;
        }
    }
    list.len += n;
    // Release: pairs with the Acquire in `for_each`: headers below USED are initialised.
    USED.store(used + n, Ordering::Release);
    Ok(())
}

unsafe fn init(g: *mut G) {
    unsafe fn none(_: *mut G) {}
    // SAFETY: the caller gives exclusive, zeroed, aligned memory of G's size.
    unsafe {
        g.write(G {
            ctx: UnsafeCell::new(Context::empty()),
            link: UnsafeCell::new(null_mut()),
            home: AtomicPtr::new(null_mut()),
            on_cpu: OnCpu::new(),
            flags: AtomicU8::new(0),
            state: AtomicU8::new(0),
            reason: AtomicU8::new(0),
            class: ClassCell::native(),
            run: Cell::new(0),
            since: AtomicI64::new(0),
            waiter: Waiter::goroutine(),
            node: UnsafeCell::new(Node::new()),
            join: AtomicUsize::new(0),
            stack: StackCell::none(),
            fiber: Cell::new(null_mut()),
            entry: Cell::new(none),
            inline: UnsafeCell::new([0; INLINE_WORDS]),
            local: Cell::new(null_mut()),
            timer: TimerNode::new(),
            ext: AtomicPtr::new(null_mut()),
            id: AtomicU64::new(0),
            parent: AtomicU64::new(0),
            site: SiteCell::none(),
        });
    }
}

/// Visits every header that was ever used; stops when `f` returns false.
pub fn for_each(mut f: impl FnMut(&G) -> bool) {
    // Acquire: pairs with the Release in `grow`.
    let used = USED.load(Ordering::Acquire);
    for i in 0..used {
        // Acquire: pairs with the Release in `grow`; chunks are never unmapped while in use.
        let base = TABLE[i / CHUNK].load(Ordering::Acquire);
        if base.is_null() {
            return;
        }
        // SAFETY: header i is initialised and stays mapped; its fields are atomics or cells that
        // dumps do not read.
        if !f(unsafe { &*base.add(i % CHUNK) }) {
            return;
        }
    }
}

/// Visits the memory that headers lie in: where each chunk is and how many bytes of it are used.
pub fn for_each_chunk(mut f: impl FnMut(*const u8, usize)) {
    // Acquire: pairs with the Release in `grow`.
    let used = USED.load(Ordering::Acquire);
    for (slot, first) in TABLE.iter().zip((0..used).step_by(CHUNK)) {
        // Acquire: as in `for_each`.
        let base = slot.load(Ordering::Acquire);
        f(base.cast_const().cast(), (used - first).min(CHUNK) * size_of::<G>());
    }
}

/// Whether all headers are free. One that is not belongs to the handle of a goroutine that has ended: the result lies in it.
pub fn all_free() -> bool {
    let list = GLOBAL.lock();
    list.len == USED.load(Ordering::Relaxed)
}

/// Unmaps everything. Only at shutdown, when no goroutine is left to look at.
///
/// # Safety
/// No header may be used afterwards.
pub unsafe fn release_all() {
    let mut list = GLOBAL.lock();
    list.head = null_mut();
    list.full = null_mut();
    list.len = 0;
    USED.store(0, Ordering::Relaxed);
    for slot in TABLE.iter() {
        let p = slot.swap(null_mut(), Ordering::Relaxed);
        if p.is_null() {
            break;
        }
        // SAFETY: p was mapped with this length in `grow`; by the caller nobody uses it.
        let _ = unsafe { sys::unmap(p.cast(), CHUNK * size_of::<G>()) };
    }
}
