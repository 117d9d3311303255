//! The context switch: four words, two operations, and the first frame of a goroutine.
//!
//! *Where it sits.* Layer 1. Calls nothing. Called by the scheduler, which owns every
//! [`Context`], and by the signal handler's tests. Nothing above this folder knows a CPU.
//!
//! # The contract every CPU fulfils
//!
//! * [`Context::init`] makes a context that will call `entry(arg)` on an empty stack.
//! * [`switch`]`(from, to)` stores where it stands into `*from` and continues `*to`. It returns
//!   when somebody continues `from`. `*from` is complete the moment `to` runs, never before: who
//!   may resume it from another thread has to wait for a sign given *by the code `to` runs*.
//! * [`jump`]`(to)` continues `*to` and stores nothing: the running context is over.
//!   Its stack must stay mapped and unused until `to` runs.
//! * A context is continued at most once per time it was stored.
//!
//! # What is saved, and what is not
//!
//! Four words: the stack pointer, the two registers that the compiler does not let an `asm!`
//! block declare as clobbered (the frame pointer and LLVM's base pointer), and the address to go
//! on at. Every other register is declared clobbered, so the compiler spills exactly those that
//! are live across the switch, and no others. A leaf loop that keeps two values alive pays for
//! two, where a switch written as a function would save the whole callee-saved set.
//!
//! The floating-point *environment* (rounding mode, exception masks: mxcsr and the x87 control
//! word, fpcr) is not saved. It belongs to the worker: a goroutine that changes it restores it
//! before its next blocking call. Neither is the signal mask nor the shadow stack of CET.
//!
//! # The stack, drawn
//!
//! A context that has not run yet. `init` writes nothing to the stack, so a stack that is never
//! run on never commits a page:
//!
//! ```text
//!   top ────► ┌──────────────────────┐ ◄─ ctx.sp         ctx.ip ──► zokor_context_entry
//!             │      untouched       │                   ctx.bx  =  arg
//!             │          ⋮           │                   ctx.bp  =  entry
//!             ├──────────────────────┤
//!             │        guard         │
//!  bottom ──► └──────────────────────┘
//! ```
//!
//! Running for the first time: the trampoline has cleared the frame pointer (a walker by frame
//! pointers stops there) and has called `entry(arg)`. Its own unwind entry says that the caller
//! of the trampoline is *undefined*, which every unwinder takes for the outermost frame:
//!
//! ```text
//!   top ────► ┌──────────────────────┐
//!             │ return into          │ ──► the trampoline, which never gets control again
//!             │ zokor_context_entry  │
//!             ├──────────────────────┤
//!             │ frame of entry(arg)  │
//!             │          ⋮           │ ◄─ stack pointer
//! ```
//!
//! (On aarch64 the return address is in the link register, and `entry` saves it.)
//!
//! Suspended in [`switch`], which is inlined and has no frame of its own. The stack pointer does not move
//! within the `asm!` block, so the caller's unwind table is right at the label the switch
//! resumes at, and a debugger unwinds a parked goroutine from the four words alone:
//!
//! ```text
//!             │ frame of the caller  │
//!             │ live registers,      │
//!             │ spilled by compiler  │
//!             ├──────────────────────┤ ◄─ ctx.sp         ctx.ip ──► label 2 in the caller
//!             │  (red zone, x86-64)  │                   ctx.bp, ctx.bx: the two registers
//! ```
//!
//! Running on a stack while another is suspended needs no link between the two: there is no
//! parent. Backtraces end at the trampoline.
//!
//! # Why a jump and not a return
//!
//! A CPU predicts returns with a private stack of return addresses. Ending the switch with `ret`
//! makes that prediction wrong every time, and the ones after it too: 12–16 ns. An indirect jump
//! has a target buffer of its own, and each inlined copy of the switch has its own entry in it.
//!
//! # The word per thread
//!
//! [`tls_get`] and [`tls_set`] read and write one pointer per OS thread. A goroutine may go on on
//! another thread after a switch, so the *address* of a thread-local must not be kept across one.
//! Compilers do keep it; see `tls.rs` for how this one word escapes that.

#[cfg(all(not(feature = "boost-context"), target_arch = "x86_64"))]
#[path = "x86_64.rs"]
mod imp;

#[cfg(all(not(feature = "boost-context"), target_arch = "aarch64"))]
#[path = "aarch64.rs"]
mod imp;

#[cfg(any(feature = "boost-context", not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "boost.rs"]
mod imp;

#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(target_vendor = "apple")))]
#[path = "object/elf.rs"]
mod object;
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_vendor = "apple"))]
#[path = "object/macho.rs"]
mod object;

pub mod escape;
mod tls;

#[cfg(test)]
mod tests;

/// What a context starts with: a function that never returns and takes one pointer.
///
/// It may unwind only as far as its own frame: the trampoline below it ends every unwinding, which
/// aborts the process.
pub type Entry = extern "C-unwind" fn(*mut u8) -> !;

pub use imp::{code_address, first_code, jump, prefetch, switch, Context, PLAIN, REGISTERS};
pub use tls::{tls_get, tls_set};
