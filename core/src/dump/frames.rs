//! The frames of goroutines: of parked ones and of the one that asks.
//!
//! *Where it sits*: layer 5, behind `dump`. Calls `unwind` for parked goroutines and the system's unwinder for the running one.
//!
//! Nobody is stopped and nobody is asked: the kernel copies the four words of the context and the used part of the stack, and the
//! copy is walked. A goroutine may be resumed at any moment, and its header and stack may go to another one. So the stack is copied
//! twice, and the copies count only if they are equal, and if the goroutine was parked before and after, with the same number, stack and
//! context; else they are taken again, and after a few attempts given up. It may have run between the two looks all the same
//! and have put back every word; then the frames are those that it has now. Headers and stacks stay mapped while we hold a
//! `Look` (W1, ST3).

use super::unwind::{self, Copied, MOST};
use crate::cell::{fence, Ordering};
use crate::goroutine::{State, G};
use crate::stack::Stack;
use crate::{arch, sys};

/// Where a function stands: the address it goes on at, one instruction after its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The address.
    pub pc: usize,
    /// Bytes from the function's beginning, if a table says where that is.
    pub offset: Option<usize>,
}

/// How a walk has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At the goroutine's first frame.
    Entry,
    /// In code without an unwind table, or where the copy ends.
    Lost,
}

/// The frames of a goroutine, innermost first.
#[derive(Debug)]
pub struct Frames {
    /// Each of them.
    pub frames: Vec<Frame>,
    /// What comes after the last one.
    pub end: End,
}

/// What there is to show of a stack.
#[derive(Debug)]
pub enum Trace {
    /// Frames.
    Walked(Frames),
    /// It has not run yet, or this platform does not read stacks of others.
    Nothing,
    /// Whether it runs or not changes too fast, or it runs now.
    Running,
}

/// Bytes of a stack that are copied at most, the innermost.
const MOST_BYTES: usize = 1 << 20;
/// How often copies are taken until two agree.
const ATTEMPTS: usize = 3;

/// The frames of the calling goroutine, those of this function and its caller's included.
#[inline(never)]
pub fn of_caller() -> Vec<usize> {
    let mut all = Vec::new();
    sys::frames::of_caller(&mut |address| {
        all.push(address + 1);
        all.len() < MOST
    });
    all
}

/// What `of_caller` has found.
pub fn caller(addresses: &[usize]) -> Trace {
    Trace::Walked(Frames { frames: unwind::known(addresses), end: End::Entry })
}

/// Takes the frames of goroutines, one after the other.
#[derive(Default)]
pub struct Taker {
    first: Vec<u8>,
    again: Vec<u8>,
}

impl Taker {
    /// Those of `g`, if it is still the goroutine `id`.
    pub fn parked(&mut self, g: &G, id: u64) -> Trace {
        if !arch::PLAIN {
            return Trace::Nothing;
        }
        for _ in 0..ATTEMPTS {
            let Some(stack) = parked_on(g, id) else { return Trace::Running };
            let Some(words) = context(g) else { return Trace::Nothing };
            if stack.is_none() {
                return Trace::Nothing;
            }
            let whole = self.copy(words[0], stack) && context(g) == Some(words);
            // Acquire: with the one in `is_saved`, the looks before the copies come first and those below last; pairs with nothing
            // else, for who resumes the goroutine is noticed by what has changed.
            fence(Ordering::Acquire);
            if whole && parked_on(g, id) == Some(stack) {
                return Trace::Walked(unwind::walk(words, &Copied { base: words[0], bytes: &self.first }));
            }
        }
        Trace::Running
    }

    /// Copies the used part of a stack twice; whether the copies are equal.
    fn copy(&mut self, sp: usize, stack: Stack) -> bool {
        if !stack.contains(sp) {
            return false;
        }
        let len = (stack.top() as usize - sp).min(MOST_BYTES);
        for copy in [&mut self.first, &mut self.again] {
            copy.clear();
            copy.resize(len, 0);
            if len > 0 && !sys::image::peek(sp, copy) {
                return false;
            }
        }
        self.first == self.again
    }
}

/// The stack of `g` if it is the goroutine `id`, not running, and completely saved.
fn parked_on(g: &G, id: u64) -> Option<Stack> {
    let parked = matches!(g.state(), State::Waiting | State::Runnable) && g.on_cpu.is_saved();
    let stack = g.stack.get();
    (parked && g.id.load(Ordering::Relaxed) == id).then_some(stack)
}

/// The four words of a context, which may be changing.
fn context(g: &G) -> Option<[usize; 4]> {
    let mut bytes = [0; 4 * size_of::<usize>()];
    if !sys::image::peek(g.ctx.get() as usize, &mut bytes) {
        return None;
    }
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(size_of::<usize>())) {
        *word = usize::from_ne_bytes(bytes.try_into().ok()?);
    }
    Some(words)
}
