//! Guards: the low end of a slot that faults when touched.
//!
//! *Where it sits.* Layer 1, behind `stack`. Calls `sys`. Called by `class` for fresh slots.
//!
//! Three ways, the best one first:
//!
//! 1. *Markers* (`MADV_GUARD_INSTALL`, Linux 6.13). The mapping stays one VMA however many guards
//!    it has, so a million stacks work with the stock limit of 65,530 mappings. Installed in batches.
//! 2. *Protected pages* (`mprotect`). Each guard splits the mapping, two VMAs per stack, so only
//!    3/8 of `vm.max_map_count` stacks get one.
//! 3. *Groups.* Beyond that, one slot in [`GROUP`] gets a protected guard, until 1/16 of the limit
//!    is used for these. The others have none, so [`sp_check_needed`] turns true and
//!    the scheduler compares stack pointers at each switch. This is announced once.
//!
//! The way is found out once, by trying on a page of our own: the kernel refuses markers when
//! it is old or when memory is locked (`mlockall`). `ZK_GUARD=mprotect` in the environment skips the first way.
//!
//! A guard is 16 KiB, or a page where pages are larger: C frames are not probed page by page and
//! may step over a single one.

use crate::hooks;
use crate::sys::{self, pages};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::OnceLock;

/// One slot in so many has a guard when the budget for guards is used up.
pub const GROUP: usize = 256;

const WANTED: usize = 16 * 1024;

/// The size of a guard in bytes.
#[inline]
pub fn size() -> usize {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: the value is all there is; computing it twice gives the same.
    match SIZE.load(Relaxed) {
        0 => {
            let size = WANTED.max(sys::page_size());
            SIZE.store(size, Relaxed);
            size
        }
        size => size,
    }
}

/// How guards are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Markers in the page table; whether one call takes many.
    Markers { batch: bool },
    /// `mprotect`.
    Protect,
}

/// The guards of this process, or of a test.
pub struct Guards {
    way: Way,
    /// How many more protected guards there may be, one per slot.
    budget: AtomicUsize,
    /// How many more protected guards there may be after that, one per group.
    groups: AtomicUsize,
    /// Whether some slot went without.
    missing: AtomicBool,
}

impl Guards {
    pub fn new(way: Way, max_maps: usize) -> Guards {
        Guards {
            way,
            budget: AtomicUsize::new(max_maps / 8 * 3),
            groups: AtomicUsize::new(max_maps / 16),
            missing: AtomicBool::new(false),
        }
    }

    fn detect() -> Guards {
        let forced = std::env::var_os("ZK_GUARD").is_some_and(|v| v == "mprotect");
        let way = if forced { Way::Protect } else { probe() };
        Guards::new(way, pages::max_map_count())
    }

    /// Whether some slot went without a guard of its own.
    pub fn missing(&self) -> bool {
        self.missing.load(Relaxed)
    }

    /// Guards `count` fresh slots of `1 << log2` bytes from `base` on.
    ///
    /// # Safety
    /// Nothing lives in these slots.
    pub unsafe fn install(&self, base: usize, log2: u32, count: usize) {
        let mut from = 0;
        while from < count {
            let mut ranges = [(0, 0); pages::BATCH];
            let n = (count - from).min(pages::BATCH);
            for (i, r) in ranges[..n].iter_mut().enumerate() {
                *r = (base + ((from + i) << log2), size());
            }
            // SAFETY: the caller vouches for the slots, and the ranges are their low ends.
            unsafe { self.install_ranges(&ranges[..n], log2) };
            from += n;
        }
    }

    unsafe fn install_ranges(&self, ranges: &[(usize, usize)], log2: u32) {
        let batch = self.way == Way::Markers { batch: true };
        // SAFETY: the caller vouches for the ranges.
        if batch && ranges.len() > 1 && unsafe { pages::guard_install_batch(ranges) } {
            return;
        }
        for &r in ranges {
            // A marker can fail where the probe did not: memory locked since then.
            // SAFETY: the caller vouches for the ranges.
            let marked = self.way != Way::Protect && unsafe { sys::guard_install(r.0 as *mut u8, r.1) }.is_ok();
            if !marked {
                // SAFETY: as above.
                unsafe { self.protect(r, log2) };
            }
        }
    }

    unsafe fn protect(&self, range: (usize, usize), log2: u32) {
        if take_one(&self.budget) {
            // SAFETY: the caller vouches for the range.
            if unsafe { sys::protect_none(range.0 as *mut u8, range.1) }.is_ok() {
                return;
            }
            // The rest of the process has used up the mappings.
            self.budget.store(0, Relaxed);
        }
        self.missing.store(true, Relaxed);
        hooks::needed();
        if (range.0 >> log2) % GROUP == 0 && take_one(&self.groups) {
            // SAFETY: the caller vouches for the range. Without the guard the check remains.
            let _ = unsafe { sys::protect_none(range.0 as *mut u8, range.1) };
        }
    }
}

/// Counts down; false at zero. Relaxed: a count, nothing is published with it.
fn take_one(n: &AtomicUsize) -> bool {
    n.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok()
}

/// Tries markers on two pages of our own.
fn probe() -> Way {
    let page = sys::page_size();
    let Ok(at) = sys::map_reserve(2 * page) else { return Way::Protect };
    let (first, second) = ((at as usize, page), (at as usize + page, page));
    // SAFETY: the pages have just been mapped and nothing lives in them.
    unsafe {
        let way = match sys::guard_install(at, page) {
            // An emulator may take advice that it does not know and do nothing.
            Ok(()) if pages::readable(at as usize) => Way::Protect,
            Ok(()) => Way::Markers { batch: pages::guard_install_batch(&[first, second]) },
            Err(_) => Way::Protect,
        };
        let _ = sys::unmap(at, 2 * page);
        way
    }
}

static GUARDS: OnceLock<Guards> = OnceLock::new();
static ANNOUNCED: AtomicBool = AtomicBool::new(false);
static NOTICE: OnceLock<fn(&str)> = OnceLock::new();

/// Says who is told, once, when stacks have to go without guards of their own. The first call counts.
pub fn set_notice(f: fn(&str)) {
    let _ = NOTICE.set(f);
}

/// Whether some stacks have no guard, so that switches have to compare the stack pointer with
/// [`Stack::contains`](super::Stack::contains).
#[inline]
pub fn sp_check_needed() -> bool {
    GUARDS.get().is_some_and(Guards::missing)
}

/// Guards fresh slots; see [`Guards::install`].
///
/// # Safety
/// Nothing lives in these slots.
pub unsafe fn install(base: usize, log2: u32, count: usize) {
    let guards = GUARDS.get_or_init(Guards::detect);
    // SAFETY: the caller vouches.
    unsafe { guards.install(base, log2, count) };
    if guards.missing() && !ANNOUNCED.swap(true, Relaxed) {
        if let Some(f) = NOTICE.get() {
            f("stacks: no room for more guard pages (vm.max_map_count); from here on one stack \
               in 256 is guarded and stack pointers are checked when goroutines park");
        }
    }
}
