//! The table of workers.
//!
//! *Where it sits*: layer 3. Thieves, the monitor and statistics walk it; starting a worker thread adds to it.
//!
//! # Invariants
//!
//! * **B1** Slots fill from the front and are never emptied while the runtime runs; a worker whose thread
//!   has ended stays in its slot, idle, and is taken again by the next thread that starts.

use super::idle;
use super::worker::Worker;
use crate::cell::{AtomicPtr, AtomicUsize, Ordering};
use crate::errno::Errno;
use crate::rank::Rank;
use crate::{stack, sys};
use core::ptr::null_mut;

/// Worker threads, and threads that called `run` (each keeps its worker), at most.
const SLOTS: usize = idle::MAX_THREADS + 6384;

static TABLE: [AtomicPtr<Worker>; SLOTS] = [const { AtomicPtr::new(null_mut()) }; SLOTS];
static LEN: AtomicUsize = AtomicUsize::new(0);
static SPARE: sys::Mutex<Vec<&'static Worker>> = sys::Mutex::new(Rank::Leaf, Vec::new());
/// Workers of threads that called `run` and have ended.
static RUNNERS: sys::Mutex<Vec<&'static Worker>> = sys::Mutex::new(Rank::Leaf, Vec::new());

/// Slots in use.
pub fn len() -> usize {
    // Acquire: pairs with the Release in `add`; slots below LEN are filled.
    LEN.load(Ordering::Acquire)
}

/// The worker in a slot.
#[inline]
pub fn get(i: usize) -> Option<&'static Worker> {
    // Acquire: pairs with the Release in `add`.
    // SAFETY: a published worker lives until `clear`.
    unsafe { TABLE[i].load(Ordering::Acquire).as_ref() }
}

/// Whether `f` holds for any worker, asked in order until one says yes.
pub fn any(mut f: impl FnMut(&'static Worker) -> bool) -> bool {
    (0..len()).any(|i| get(i).is_some_and(&mut f))
}

/// A worker for a new thread: a spare one or a new one.
pub fn add(is_runner: bool) -> Option<&'static Worker> {
    let mut spare = if is_runner { RUNNERS.lock() } else { SPARE.lock() };
    let used = spare.pop();
    drop(spare);
    if let Some(w) = used {
        super::exclusive::clear(w);
        return Some(w);
    }
    let _adding = SPARE.lock();
    let i = LEN.load(Ordering::Relaxed);
    if i == SLOTS {
        return None;
    }
    let w: &'static Worker = Box::leak(Box::new(Worker::new(i, is_runner)));
    // Release: pairs with the Acquire in `get` and `len`.
    TABLE[i].store((&raw const *w).cast_mut(), Ordering::Release);
    LEN.store(i + 1, Ordering::Release);
    Some(w)
}

/// Starts the thread of a worker, whose `permit` is accounted for already or which waits for one.
pub fn start_thread(permit: bool) -> Result<(), Errno> {
    let w = add(false).ok_or(Errno(libc::EAGAIN))?;
    let handle = sys::spawn_thread(&format!("zokor-{}", w.index), 0, Box::new(move || thread_main(w, permit)));
    match handle {
        Ok(h) => {
            crate::runtime::keep_thread(h);
            Ok(())
        }
        Err(e) => {
            SPARE.lock().push(w);
            Err(Errno::from(&e))
        }
    }
}

fn thread_main(w: &'static Worker, permit: bool) {
    sys::block_signals();
    let _alt = stack::overflow::install_thread();
    w.bind();
    idle::arrive(w, permit);
    let retired = w.run_loop();
    w.unbind();
    if !retired {
        idle::leave_set(w);
    }
    SPARE.lock().push(w);
}

/// Switches into a goroutine so far, by all workers.
pub fn switches() -> u64 {
    let mut n = 0;
    any(|w| {
        n += w.stats.switches.load(Ordering::Relaxed);
        false
    });
    n
}

/// The thread of a runner has ended. Unless goroutines are pinned to it, which nobody runs any more, the worker serves the
/// next thread that calls `run`.
pub fn give_runner(w: &'static Worker) {
    let mut runners = RUNNERS.lock();
    // Under the lock that `clear` takes after the runtime has gone down: until then the worker is there.
    if !crate::runtime::is_down() && w.homed.get() == 0 && w.inbox.is_empty() {
        runners.push(w);
    }
}

/// Forgets all workers. Only at shutdown, when their threads have ended.
///
/// # Safety
/// No thread uses a worker any more.
pub unsafe fn clear() {
    SPARE.lock().clear();
    RUNNERS.lock().clear();
    let n = LEN.swap(0, Ordering::Relaxed);
    for slot in &TABLE[..n] {
        let p = slot.swap(null_mut(), Ordering::Relaxed);
        // SAFETY: leaked by `add`; by the caller nobody refers to it.
        drop(unsafe { Box::from_raw(p) });
    }
}
