//! Select.
//!
//! Where it sits: above `chan`, whose checks it applies to each case.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;

use zokor::raw::{self, Case, Error, Listed, Op, Order, Plain, Selected};

use crate::chan;
use crate::handle::{self, zk_chan};
use crate::result::code;
use crate::time::zk_time;

#[repr(C)]
pub struct zk_case {
    /// NULL: this case is never ready (switches it off)
    pub chan: *mut zk_chan,
    /// sent from / received into; NULL on receive: discard
    pub elem: *mut c_void,
    /// element size
    pub size: usize,
    /// may be NULL; set for the case that ran: false when closed
    pub ok: *mut bool,
    /// ZK_OP_SEND or ZK_OP_RECV
    pub op: u32,
    /// 0
    pub reserved: u32,
}

const SEND: u32 = 1;
const RECV: u32 = 2;

/// The most cases a select may have, as in Go.
const MAX_CASES: usize = 65536;

/// So many cases need no allocation.
const INLINE: usize = 8;

// SAFETY: by H1 and H2, what is told is a living channel and a place that fits its values.
unsafe impl Listed for zk_case {
    #[inline(always)]
    unsafe fn plain(&self) -> Option<Plain<'_>> {
        // SAFETY: H1.
        let chan = unsafe { handle::borrow(self.chan) }?;
        let is_plain = matches!(self.op, SEND | RECV)
            && self.reserved == 0
            && self.size == chan.elem_size()
            && !self.elem.is_null()
            && chan.is_small();
        is_plain.then_some(Plain { chan, elem: self.elem.cast(), sends: self.op == SEND })
    }

    #[inline(always)]
    unsafe fn plain_again(&self) -> Plain<'_> {
        // SAFETY: the case was plain, so its handle is one (H1).
        let chan = unsafe { handle::borrow_again(self.chan) };
        Plain { chan, elem: self.elem.cast(), sends: self.op == SEND }
    }

    #[inline(always)]
    unsafe fn note(&self, ok: bool) {
        if !self.ok.is_null() {
            // SAFETY: H2; a bool is aligned anywhere.
            unsafe { self.ok.write(ok) };
        }
    }
}

/// The engine's form of a case.
///
/// # Safety
/// H1, H2.
#[inline(always)]
unsafe fn convert(case: &zk_case) -> Result<Case, Error> {
    let op = match case.op {
        SEND => Op::Send,
        RECV => Op::Recv,
        _ => return Err(Error::Invalid),
    };
    if case.reserved != 0 || !case.ok.is_aligned() {
        return Err(Error::Invalid);
    }
    if case.chan.is_null() {
        return Ok(Case { chan: ptr::null(), elem: ptr::null_mut(), op });
    }
    // SAFETY: H1.
    let chan = unsafe { handle::borrow(case.chan) }.ok_or(Error::Invalid)?;
    let elem = match op {
        Op::Send => chan::to_send(chan, case.elem, case.size)?.cast_mut(),
        Op::Recv => chan::to_fill(chan, case.elem, case.size)?,
    };
    Ok(Case { chan: Arc::as_ptr(chan), elem, op })
}

/// The engine's choice among at most `INLINE` cases.
///
/// # Safety
/// H1, H2.
#[inline(always)]
unsafe fn of_few(cases: &[zk_case], deadline: zk_time, order: Order) -> Result<Selected, Error> {
    let mut few = [const { MaybeUninit::<Case>::uninit() }; INLINE];
    for (to, from) in few.iter_mut().zip(cases) {
        // SAFETY: H1, H2.
        to.write(unsafe { convert(from) }?);
    }
    // SAFETY: as many as there are cases have been written; H1, H2; the sizes have been compared.
    unsafe { raw::select(std::slice::from_raw_parts(few.as_ptr().cast(), cases.len()), deadline, order) }
}

/// The engine's choice among any number of cases.
///
/// # Safety
/// H1, H2.
#[cold]
#[inline(never)]
unsafe fn of_many(cases: &[zk_case], deadline: zk_time, order: Order) -> Result<Selected, Error> {
    let mut many = Vec::new();
    many.try_reserve_exact(cases.len()).map_err(|_| Error::NoMemory)?;
    for case in cases {
        // SAFETY: H1, H2.
        many.push(unsafe { convert(case) }?);
    }
    // SAFETY: H1, H2; the sizes have been compared.
    unsafe { raw::select(&many, deadline, order) }
}

/// Converts all cases, lets the engine choose and hands its answer back.
///
/// # Safety
/// H1, H2.
#[inline(always)]
unsafe fn select(cases: *const zk_case, n: usize, deadline: zk_time, order: Order) -> Result<c_int, Error> {
    if n > MAX_CASES || !cases.is_aligned() || (cases.is_null() && n > 0) {
        return Err(Error::Invalid);
    }
    let cases = match n {
        0 => &[],
        // SAFETY: H2; not null, aligned, and few enough not to overflow.
        _ => unsafe { std::slice::from_raw_parts(cases, n) },
    };
    // SAFETY: H1, H2.
    let chosen = unsafe {
        if n <= INLINE {
            of_few(cases, deadline, order)
        } else {
            of_many(cases, deadline, order)
        }
    }?;
    // SAFETY: nothing here owns anything; the word of whoever panicked in the hook of a channel.
    unsafe { raw::raise_kept() };
    let case = &cases[chosen.index];
    if !case.ok.is_null() {
        // SAFETY: H2, and aligned.
        unsafe { case.ok.write(chosen.ok()) };
    }
    if !chosen.ok() && case.op == SEND {
        return Err(Error::Closed);
    }
    Ok(chosen.index as c_int) // below MAX_CASES
}

/// Waits until one case can proceed, performs it and returns its index. `[any]`
///
/// Among several ready ones the choice is uniformly random, per case. ZK_EAGAIN (ZK_NOWAIT) and ZK_ETIMEDOUT mean no
/// case ran: they are the `default:` of a switch. ZK_ECLOSED: the chosen send case met a closed channel (its *ok is
/// false); nothing was sent. At most 65536 cases. A select never meets itself. Without a case that has a channel it
/// waits for the deadline.
///
/// cbindgen:postfix=ZK_DIRECT
///
/// # Safety
/// H1, H2.
#[no_mangle]
pub unsafe extern "C" fn zk_select(cases: *const zk_case, n: usize, deadline: zk_time) -> c_int {
    // SAFETY: H1, H2.
    unsafe { raw::select_plainly(cases, n, deadline, select_any) }
}

/// The same for cases of all kinds, right or wrong.
///
/// # Safety
/// H1, H2.
#[inline(never)]
unsafe extern "C" fn select_any(cases: *const zk_case, n: usize, deadline: zk_time) -> c_int {
    // SAFETY: H1, H2.
    unsafe { select(cases, n, deadline, Order::Fair) }.unwrap_or_else(code)
}

/// The same, but among several ready cases the first listed one is chosen. `[any]`
///
/// cbindgen:postfix=ZK_DIRECT
///
/// # Safety
/// H1, H2.
#[no_mangle]
pub unsafe extern "C" fn zk_select_ordered(cases: *const zk_case, n: usize, deadline: zk_time) -> c_int {
    // SAFETY: H1, H2.
    unsafe { select(cases, n, deadline, Order::Listed) }.unwrap_or_else(code)
}
