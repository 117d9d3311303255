//! Walks the copy of a stack by the unwind tables of the loaded modules (DWARF call frame information, `.eh_frame`).
//!
//! *Where it sits*: layer 5, behind `dump`. Calls `gimli` for the tables' format. It reads the tables and the copy and nothing
//! else, so whatever is in the copy, a walk ends: at the first frame, or where it is lost.

use super::frames::{End, Frame, Frames};
use crate::sys::image::Module;
use crate::{arch, sys};
use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EndianSlice, Evaluation, EvaluationResult, Expression, NativeEndian,
    ParsedEhFrameHdr, Register, RegisterRule, UnwindContext, UnwindExpression, UnwindSection, Value, Vendor,
};

type Bytes<'a> = EndianSlice<'a, NativeEndian>;
type Fde<'a> = gimli::FrameDescriptionEntry<Bytes<'a>>;
type Row = gimli::UnwindTableRow<usize>;

/// Frames that a walk takes at most.
pub const MOST: usize = 1 << 16;
/// Registers that unwind tables number from 0 and that frames save: 17 on x86-64, 32 on aarch64.
const REGISTERS: usize = 33;
const WORD: usize = size_of::<usize>();
/// What evaluates an expression gives up after so many operations.
const OPERATIONS: u32 = 1000;

/// The used part of a stack, copied: the lowest address first.
pub struct Copied<'a> {
    /// Where the copy's first byte comes from.
    pub base: usize,
    /// What was there.
    pub bytes: &'a [u8],
}

impl Copied<'_> {
    fn word(&self, address: usize) -> Option<usize> {
        let at = address.checked_sub(self.base)?;
        let bytes = self.bytes.get(at..at.checked_add(WORD)?)?;
        Some(usize::from_ne_bytes(bytes.try_into().ok()?))
    }
}

/// What is known of a frame's registers.
#[derive(Clone)]
struct Registers {
    pc: usize,
    words: [Option<usize>; REGISTERS],
}

impl Registers {
    fn get(&self, r: Register) -> Option<usize> {
        self.words.get(usize::from(r.0)).copied().flatten()
    }
    fn sp(&self) -> Option<usize> {
        self.words[usize::from(arch::REGISTERS[0])]
    }
}

/// The tables of one module.
struct Table<'a> {
    module: &'a Module<'a>,
    index: ParsedEhFrameHdr<Bytes<'a>>,
    entries: EhFrame<Bytes<'a>>,
    bases: BaseAddresses,
}

impl<'a> Table<'a> {
    fn new(module: &'a Module<'a>) -> Option<Table<'a>> {
        let at = module.index.as_ptr() as usize;
        let bases = BaseAddresses::default().set_eh_frame_hdr(at as u64);
        let index = EhFrameHdr::new(module.index, NativeEndian).parse(&bases, WORD as u8).ok()?;
        let start = index.eh_frame_ptr().direct().ok()? as usize;
        // Where the section ends is not written down, but its last entry is a zero, and its segment ends as well.
        let section = module.segments.iter().find_map(|s| s.get(start.checked_sub(s.as_ptr() as usize)?..))?;
        let mut entries = EhFrame::new(section, NativeEndian);
        entries.set_address_size(WORD as u8);
        // Signed return addresses; no other CPU that is walked uses that instruction for anything.
        entries.set_vendor(Vendor::AArch64);
        Some(Table { module, index, entries, bases: bases.set_eh_frame(start as u64) })
    }

    fn entry(&self, pc: usize) -> Option<Fde<'a>> {
        let sorted = self.index.table()?;
        sorted.fde_for_address(&self.entries, &self.bases, pc as u64, EhFrame::cie_from_offset).ok()
    }
}

/// The tables of all modules.
pub struct Tables<'a> {
    tables: Vec<Table<'a>>,
    context: Box<UnwindContext<usize>>,
}

/// Walks outwards from where a context stands: its stack pointer, two registers, and the address to go on at. No module is loaded or
/// unloaded meanwhile.
pub fn walk(context: [usize; 4], stack: &Copied<'_>) -> Frames {
    let mut found = Frames { frames: Vec::new(), end: End::Lost };
    sys::image::with_modules(&mut |modules| found = Tables::new(modules).walk(context, stack));
    found
}

/// The frames with these addresses, those of the runtime's first frame and beyond left out.
pub fn known(addresses: &[usize]) -> Vec<Frame> {
    let mut found = Vec::new();
    let first = |f: &Frame| f.offset.is_some_and(|o| f.pc - o == arch::first_code());
    sys::image::with_modules(&mut |modules| {
        let tables = Tables::new(modules);
        found = addresses.iter().map(|&pc| tables.frame(pc)).take_while(|f| !first(f)).collect();
    });
    found
}

impl<'a> Tables<'a> {
    fn new(modules: &'a [Module<'a>]) -> Tables<'a> {
        Tables { tables: modules.iter().filter_map(Table::new).collect(), context: Box::default() }
    }

    /// The frame of a function that has called another one and would go on at `pc`.
    fn frame(&self, pc: usize) -> Frame {
        let begin = self.find(pc).map(|(_, entry)| entry.initial_address() as usize);
        Frame { pc, offset: begin.map(|b| pc - b) }
    }

    /// The entry for the call that returns to `pc`, which may be the first instruction of the next function already.
    fn find(&self, pc: usize) -> Option<(&Table<'a>, Fde<'a>)> {
        let call = pc.checked_sub(1)?;
        let table = self.tables.iter().find(|t| t.module.contains(call))?;
        Some((table, table.entry(call)?))
    }

    fn walk(&mut self, [sp, bp, bx, pc]: [usize; 4], stack: &Copied<'_>) -> Frames {
        let mut words = [None; REGISTERS];
        for (number, word) in arch::REGISTERS.into_iter().zip([sp, bp, bx]) {
            words[usize::from(number)] = Some(word);
        }
        let mut at = Registers { pc, words };
        let mut frames = Vec::new();
        while frames.len() < MOST {
            match self.step(&at, stack) {
                Ok(next) => {
                    frames.push(self.frame(at.pc));
                    at = next;
                }
                Err(End::Entry) => return Frames { frames, end: End::Entry },
                Err(End::Lost) => {
                    frames.push(self.frame(at.pc));
                    break;
                }
            }
        }
        Frames { frames, end: End::Lost }
    }

    /// The registers of the caller of the frame that stands at `at`, or what comes instead of a caller.
    fn step(&mut self, at: &Registers, stack: &Copied<'_>) -> Result<Registers, End> {
        if at.pc == arch::first_code() {
            return Err(End::Entry); // it has not run yet
        }
        let call = at.pc.checked_sub(1).ok_or(End::Lost)?;
        let table = self.tables.iter().find(|t| t.module.contains(call)).ok_or(End::Lost)?;
        let entry = table.entry(call).ok_or(End::Lost)?;
        if entry.initial_address() as usize == arch::first_code() {
            return Err(End::Entry);
        }
        let row = entry.unwind_info_for_address(&table.entries, &table.bases, &mut self.context, call as u64);
        let frame = Unwound { at, table, stack, encoding: entry.cie().encoding() };
        frame.caller(row.map_err(|_| End::Lost)?, entry.cie().return_address_register()).ok_or(End::Lost)
    }
}

/// One frame that is being left.
struct Unwound<'a, 'b> {
    at: &'b Registers,
    table: &'b Table<'a>,
    stack: &'b Copied<'b>,
    encoding: gimli::Encoding,
}

impl<'a> Unwound<'a, '_> {
    /// The registers as the caller has them; `None` if the tables do not say where it goes on.
    fn caller(&self, row: &Row, return_address: Register) -> Option<Registers> {
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                self.at.get(*register)?.wrapping_add_signed(*offset as isize)
            }
            CfaRule::Expression(e) => self.compute(e, None)?,
        };
        // Stacks grow down: a caller's frame lies higher, or at the same place if this one saves nothing.
        if cfa < self.at.sp()? {
            return None;
        }
        let mut words = self.at.words;
        for (register, rule) in row.registers() {
            if let Some(word) = words.get_mut(usize::from(register.0)) {
                *word = self.value(rule, cfa, *register);
            }
        }
        let saved = match row.register(return_address) {
            // Not saved: it is still in its register, in the innermost frame. On x86-64 it is always saved, and no rule
            // says that there is no caller.
            RegisterRule::Undefined => self.at.get(return_address)?,
            rule => self.value(&rule, cfa, return_address)?,
        };
        let pc = arch::code_address(saved);
        words[usize::from(arch::REGISTERS[0])] = Some(cfa);
        if let Some(word) = words.get_mut(usize::from(return_address.0)) {
            *word = None;
        }
        (pc > 1 && (cfa, pc) != (self.at.sp()?, self.at.pc)).then_some(Registers { pc, words })
    }

    fn value(&self, rule: &RegisterRule<usize>, cfa: usize, register: Register) -> Option<usize> {
        match rule {
            RegisterRule::SameValue => self.at.get(register),
            RegisterRule::Offset(n) => self.stack.word(cfa.wrapping_add_signed(*n as isize)),
            RegisterRule::ValOffset(n) => Some(cfa.wrapping_add_signed(*n as isize)),
            RegisterRule::Register(other) => self.at.get(*other),
            RegisterRule::Expression(e) => self.stack.word(self.compute(e, Some(cfa))?),
            RegisterRule::ValExpression(e) => self.compute(e, Some(cfa)),
            _ => None,
        }
    }

    /// The value of an expression, which may ask for registers and words of the stack.
    fn compute(&self, e: &UnwindExpression<usize>, cfa: Option<usize>) -> Option<usize> {
        let e: Expression<Bytes<'a>> = e.get(&self.table.entries).ok()?;
        let mut run: Evaluation<Bytes<'a>> = e.evaluation(self.encoding);
        run.set_max_iterations(OPERATIONS);
        if let Some(cfa) = cfa {
            run.set_initial_value(cfa as u64);
        }
        let mut state = run.evaluate().ok()?;
        loop {
            state = match state {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    run.resume_with_register(Value::Generic(self.at.get(register)? as u64)).ok()?
                }
                EvaluationResult::RequiresMemory { address, size, .. } if usize::from(size) == WORD => {
                    let word = self.stack.word(address as usize)?;
                    run.resume_with_memory(Value::Generic(word as u64)).ok()?
                }
                _ => return None,
            };
        }
        match run.as_result() {
            [piece] => match piece.location {
                gimli::Location::Address { address } => Some(address as usize),
                gimli::Location::Value { value: Value::Generic(v) } => Some(v as usize),
                _ => None,
            },
            _ => None,
        }
    }
}
