//! The switch on x86-64, System V ABI. The contract and the drawings are in `arch/mod.rs`.
//!
//! *Where it sits.* Layer 1, behind `arch/mod.rs`. Calls nothing.

use super::object::function;
use super::Entry;
use core::arch::asm;

/// Whether the four words are the stack pointer, the frame pointer, one more register and the address to go on
/// at, from which a debugger can unwind.
pub const PLAIN: bool = true;

/// What the first three words are called in unwind tables: rsp, rbp, rbx.
pub const REGISTERS: [u16; 3] = [7, 6, 3];

/// Where a suspended context stands: four words.
///
/// The debugger script reads these by offset; their order is part of the contract.
#[repr(C)]
#[derive(Debug)]
pub struct Context {
    /// rsp.
    sp: usize,
    /// rbp. Before the first run: the entry function.
    bp: usize,
    /// rbx. Before the first run: the argument of the entry function.
    bx: usize,
    /// Where to go on.
    ip: usize,
}

// The first frame. It finds `entry` in rbp and `arg` in rbx.
//
// `.cfi_undefined rip` is what unwinders take for "there is no caller": std::backtrace, the
// backtrace crate, gdb, libgcc's forced unwinding (pthread_exit) all stop here without a guess.
// `.cfi_undefined rbp` keeps gdb from showing a stale frame pointer for this frame.
//
// rsp is the stack's top and 16-aligned; the call pushes eight bytes, as the ABI asks of every
// call. rbp is zero during the call, so that walkers by frame pointer stop as well. The call
// never returns; ud2 says so to the CPU and gives the return address a place within this symbol.
function!(
    "zokor_context_entry":
    ".cfi_undefined rip",
    ".cfi_undefined rbp",
    "mov rdi, rbx",
    "mov rax, rbp",
    "xor ebp, ebp",
    "call rax",
    "ud2",
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

/// The address in a word that a call has saved.
pub fn code_address(saved: usize) -> usize {
    saved
}

/// Saves the running context in `from` and continues `to`. Returns when somebody continues `from`.
///
/// # Safety
/// `to` was stored by `init` or by a switch, has not been continued since, and its stack is intact. `from`
/// is writable and not being read by anyone until `to` runs. Both stay where they are meanwhile. A caller
/// that may return on another OS thread keeps no address of a thread-local across the call.
#[inline(always)]
pub unsafe fn switch(from: *mut Context, to: *const Context) {
    // SAFETY: the caller vouches for both pointers. rsp is loaded once and has its old value again
    // at label 2, so the compiler's view of the frame holds. rbx and rbp, which cannot be declared
    // as clobbered, travel in the context; everything else is declared. The direction flag and an
    // empty x87 stack are common to all code between calls.
    unsafe {
        asm!(
            // Save: the resume address, then the three registers.
            "lea rax, [rip + 2f]",
            "mov [rdi], rsp",
            "mov [rdi + 8], rbp",
            "mov [rdi + 16], rbx",
            "mov [rdi + 24], rax",
            // Load. rbp and rbx are plain values here, so their order does not matter; rsp goes
            // over in one move, so a signal sees either stack whole.
            "mov rax, [rsi + 24]",
            "mov rbp, [rsi + 8]",
            "mov rbx, [rsi + 16]",
            "mov rsp, [rsi]",
            "jmp rax",
            "2:",
            inout("rdi") from => _,
            inout("rsi") to => _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("sysv64"),
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
            "mov rax, [rdi + 24]",
            "mov rbp, [rdi + 8]",
            "mov rbx, [rdi + 16]",
            "mov rsp, [rdi]",
            "jmp rax",
            in("rdi") to,
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
    unsafe { asm!("prefetcht0 [{0}]", in(reg) p, options(nostack, preserves_flags, readonly)) };
}
