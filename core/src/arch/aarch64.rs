//! The switch on aarch64, AAPCS64. The contract and the drawings are in `arch/mod.rs`.
//!
//! *Where it sits.* Layer 1, behind `arch/mod.rs`. Calls nothing.

use super::object::function;
use super::Entry;
use core::arch::asm;

/// Whether the four words are the stack pointer, the frame pointer, one more register and the address to go on
/// at, from which a debugger can unwind.
pub const PLAIN: bool = true;

/// What the first three words are called in unwind tables: sp, x29, x19.
pub const REGISTERS: [u16; 3] = [31, 29, 19];

/// Where a suspended context stands: four words.
///
/// The debugger script reads these by offset; their order is part of the contract.
#[repr(C)]
#[derive(Debug)]
pub struct Context {
    /// sp.
    sp: usize,
    /// x29, the frame pointer. Before the first run: the entry function.
    bp: usize,
    /// x19, LLVM's base pointer. Before the first run: the argument of the entry function.
    bx: usize,
    /// Where to go on.
    ip: usize,
}

// The first frame. It finds `entry` in x29 and `arg` in x19.
//
// `.cfi_undefined x30` is "there is no caller" for every unwinder; x29 likewise. x29 is zero
// during the call, which ends chains of frame pointers. sp is the stack's top, 16-aligned, as the CPU asks.
// `hint #38` is `bti jc`: with branch target identification on, only marked places may be jumped
// to; elsewhere it does nothing. The call never returns; udf gives the return address a place.
function!(
    "zokor_context_entry":
    ".cfi_undefined x30",
    ".cfi_undefined x29",
    "hint #38",
    "mov x0, x19",
    "mov x16, x29",
    "mov x29, xzr",
    "blr x16",
    "udf #0",
);

extern "C" {
    fn zokor_context_entry();
}

impl Context {
    /// A context that stands nowhere. Continuing it jumps to address 0.
    pub const fn empty() -> Context {
        Context { sp: 0, bp: 0, bx: 0, ip: 0 }
    }

    /// Makes this a context that calls `entry(arg)` on the stack that ends at `stack_top`.
    ///
    /// The stack itself is not written to.
    ///
    /// # Safety
    /// `stack_top` is 16-aligned and the exclusive upper end of memory that stays valid for as long as the
    /// context runs, large enough for whatever `entry` does.
    pub unsafe fn init(&mut self, stack_top: *mut u8, entry: Entry, arg: *mut u8) {
        debug_assert_eq!(stack_top as usize % 16, 0);
        self.sp = stack_top as usize;
        self.bp = entry as usize;
        self.bx = arg as usize;
        self.ip = zokor_context_entry as *const () as usize;
    }
}

/// Where the first frame's code begins, for whoever walks a stack and wants to know that it ends there.
pub fn first_code() -> usize {
    zokor_context_entry as *const () as usize
}

/// The address in a word that a call has saved: the upper bits may hold its signature (pointer authentication).
pub fn code_address(saved: usize) -> usize {
    saved & ((1 << 48) - 1)
}

/// Saves the running context in `from` and continues `to`. Returns when somebody continues `from`.
///
/// # Safety
/// `to` was stored by `init` or by a switch, has not been continued since, and its stack is intact. `from`
/// is writable and not being read by anyone until `to` runs. Both stay where they are meanwhile. A caller
/// that may return on another OS thread keeps no address of a thread-local across the call.
#[inline(always)]
pub unsafe fn switch(from: *mut Context, to: *const Context) {
    // SAFETY: the caller vouches for both pointers. sp is loaded once and has its old value again
    // at label 2, so the compiler's view of the frame holds. x19 and x29, which cannot be declared
    // as clobbered, travel in the context; everything else is declared, v8 to v15 whole, though
    // the ABI keeps only their lower halves. x18 belongs to the platform and is not touched.
    unsafe {
        asm!(
            // Save.
            "adr x9, 2f",
            "mov x10, sp",
            "stp x10, x29, [x0]",
            "stp x19, x9, [x0, #16]",
            // Load. sp goes over in one move, so a signal sees either stack whole.
            "ldp x10, x29, [x1]",
            "ldp x19, x16, [x1, #16]",
            "mov sp, x10",
            "br x16",
            "2:",
            "hint #38", // bti jc: the place may be jumped to
            inout("x0") from => _,
            inout("x1") to => _,
            out("x20") _, out("x21") _, out("x22") _, out("x23") _, out("x24") _,
            out("x25") _, out("x26") _, out("x27") _, out("x28") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            clobber_abi("C"),
        );
    }
}

/// Continues `to` without saving the running context, which is over.
///
/// # Safety
/// As for [`switch`]; moreover nothing on the running stack is needed any more, and that stack stays
/// mapped until `to` runs.
#[inline(always)]
pub unsafe fn jump(to: *const Context) -> ! {
    // SAFETY: the caller vouches for `to`; nothing of this frame is used afterwards.
    unsafe {
        asm!(
            "ldp x10, x29, [x0]",
            "ldp x19, x16, [x0, #16]",
            "mov sp, x10",
            "br x16",
            in("x0") to,
            options(noreturn),
        );
    }
}

/// Lines of a suspended stack that [`Context::prefetch`] asks for: what a few returns read.
const AHEAD: usize = 8;

impl Context {
    /// Asks for the upper end of the suspended stack, which will be needed soon. Never faults.
    #[inline(always)]
    pub fn prefetch(&self) {
        for line in 0..AHEAD {
            prefetch((self.sp + 64 * line) as *const u8);
        }
    }
}

/// Asks for the cache line at `p`, which will be needed soon. Never faults, whatever `p` is.
#[inline(always)]
pub fn prefetch(p: *const u8) {
    // SAFETY: a prefetch is a hint: it neither faults nor changes anything.
    unsafe { asm!("prfm pldl1keep, [{0}]", in(reg) p, options(nostack, preserves_flags, readonly)) };
}
