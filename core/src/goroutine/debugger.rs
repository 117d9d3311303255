//! What a debugger needs in order to find goroutines, whatever the compiler did to the types.
//!
//! *Where it sits*: layer 2, behind `goroutine`. Read from outside, by `tools/gdb/zokor.py`, in a live process or
//! in a core file; never by this program.
//!
//! The script looks the symbol `zokor::goroutine::debugger::LAYOUT` up, which is there in any program that is
//! not stripped, and reads words at fixed places from it. So it works in release builds, which
//! describe no types.

use super::{arena, Ext, Reason, G};
use crate::arch;
use core::mem::{offset_of, size_of};

/// Increased whenever the meaning of a word in [`Layout`] changes; the script compares it.
const VERSION: usize = 1;

/// A text: where it is and how long, in bytes.
#[repr(C)]
#[derive(Clone, Copy)]
struct Text(*const u8, usize);

impl Text {
    const fn new(s: &'static str) -> Text {
        Text(s.as_ptr(), s.len())
    }
}

const STATES: usize = 6;
const REASONS: usize = Reason::ALL.len();

/// Words, in this order. Offsets are in bytes.
#[repr(C)]
struct Layout {
    version: usize,
    /// The table of chunks, and the number of headers handed out.
    table: *const (),
    used: *const (),
    /// Headers per chunk and the size of one.
    chunk: usize,
    size: usize,
    /// Whether a stack can be unwound from the words of a context.
    plain: usize,
    /// Offsets in a header: four words of context, number, state (a byte), reason (a byte), on a CPU (a byte),
    /// time of the last change, rare attributes.
    ctx: usize,
    id: usize,
    state: usize,
    reason: usize,
    on_cpu: usize,
    since: usize,
    ext: usize,
    /// Offset of the name in the rare attributes: a text, null if there is none.
    name: usize,
    states: usize,
    reasons: usize,
    state_texts: [Text; STATES],
    reason_texts: [Text; REASONS],
}

// SAFETY: nothing in it changes.
unsafe impl Sync for Layout {}

static LAYOUT: Layout = Layout {
    version: VERSION,
    table: (&raw const arena::TABLE).cast(),
    used: (&raw const arena::USED).cast(),
    chunk: arena::CHUNK,
    size: size_of::<G>(),
    plain: arch::PLAIN as usize,
    ctx: offset_of!(G, ctx),
    id: offset_of!(G, id),
    state: offset_of!(G, state),
    reason: offset_of!(G, reason),
    on_cpu: offset_of!(G, on_cpu),
    since: offset_of!(G, since),
    ext: offset_of!(G, ext),
    name: offset_of!(Ext, name),
    states: STATES,
    reasons: REASONS,
    state_texts: [
        Text::new("free"),
        Text::new("runnable"),
        Text::new("running"),
        Text::new("waiting"),
        Text::new("blocked in call"),
        Text::new("finished"),
    ],
    reason_texts: reason_texts(),
};

const fn reason_texts() -> [Text; REASONS] {
    let mut texts = [Text::new(""); REASONS];
    let mut i = 0;
    while i < REASONS {
        texts[i] = Text::new(Reason::ALL[i].1);
        i += 1;
    }
    texts
}

/// Keeps the table in the program, which does not use it otherwise.
pub(super) fn keep() {
    std::hint::black_box(&LAYOUT);
}
