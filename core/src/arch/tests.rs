use super::*;
use core::ptr;
use std::alloc::{alloc, dealloc, Layout};

/// A stack from the allocator: these tests are about the switch, not about guards.
struct Memory(*mut u8);
const SIZE: usize = 256 * 1024;

impl Memory {
    fn new() -> Memory {
        // SAFETY: the layout has a size.
        let p = unsafe { alloc(Layout::from_size_align(SIZE, 16).unwrap()) };
        assert!(!p.is_null());
        Memory(p)
    }
    fn top(&self) -> *mut u8 {
        self.0.wrapping_add(SIZE)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `new`.
        unsafe { dealloc(self.0, Layout::from_size_align(SIZE, 16).unwrap()) }
    }
}

/// Two contexts that hand control to each other, and what they say.
struct Pair {
    main: Context,
    other: Context,
    said: Vec<u64>,
    work: fn(&mut Pair),
}

impl Pair {
    fn new(work: fn(&mut Pair)) -> Box<Pair> {
        Box::new(Pair { main: Context::empty(), other: Context::empty(), said: Vec::new(), work })
    }
    /// Main runs the other context until that calls `back` or ends.
    fn resume(p: *mut Pair) {
        // SAFETY: both contexts live in the box behind `p`; `other` was stored by init or `back`.
        unsafe { switch(&raw mut (*p).main, &raw const (*p).other) }
    }
    /// The other context gives control back to main.
    fn back(p: *mut Pair) {
        // SAFETY: main is suspended in `resume`.
        unsafe { switch(&raw mut (*p).other, &raw const (*p).main) }
    }
}

extern "C-unwind" fn enter(p: *mut u8) -> ! {
    let p = p.cast::<Pair>();
    // SAFETY: `start` passes its pair, which outlives the context.
    unsafe {
        ((*p).work)(&mut *p);
        jump(&raw const (*p).main)
    }
}

fn start(p: *mut Pair, m: &Memory) {
    // SAFETY: `m` outlives the context, its top is 16-aligned.
    unsafe { (*p).other.init(m.top(), enter, p.cast()) };
    Pair::resume(p);
}

#[test]
fn context_is_four_words() {
    assert_eq!(size_of::<Context>(), 4 * size_of::<usize>());
}

#[test]
fn switches_there_and_back_and_ends_with_a_jump() {
    let m = Memory::new();
    let mut p = Pair::new(|p| {
        for i in 0..3 {
            p.said.push(i);
            Pair::back(p);
        }
    });
    let p: *mut Pair = &mut *p;
    start(p, &m);
    for i in 1..4 {
        // SAFETY: the other context is suspended or over.
        assert_eq!(unsafe { (*p).said.len() }, i.min(3));
        Pair::resume(p);
    }
    // SAFETY: the other context has ended by `jump`.
    assert_eq!(unsafe { &(*p).said }, &[0, 1, 2]);
}

/// More values alive across a switch than there are registers of either kind.
#[inline(always)]
fn keeps_registers(p: *mut Pair, seed: u64) -> bool {
    let ints: [u64; 20] = core::array::from_fn(|i| std::hint::black_box(seed.wrapping_mul(i as u64 + 3)));
    let floats: [f64; 20] = core::array::from_fn(|i| std::hint::black_box(seed as f64 * (i as f64 + 0.5)));
    if seed % 2 == 0 {
        Pair::resume(p)
    } else {
        Pair::back(p)
    }
    (0..20).all(|i| ints[i] == seed.wrapping_mul(i as u64 + 3) && floats[i] == seed as f64 * (i as f64 + 0.5))
}

#[test]
fn every_register_survives() {
    let m = Memory::new();
    let mut p = Pair::new(|p| {
        Pair::back(p);
        for i in 0..1000 {
            if !keeps_registers(p, 2 * i + 1) {
                p.said.push(i);
            }
        }
    });
    let p: *mut Pair = &mut *p;
    start(p, &m);
    for i in 0..1000 {
        assert!(keeps_registers(p, 2 * i));
    }
    Pair::resume(p);
    // SAFETY: the other context has ended.
    assert!(unsafe { (*p).said.is_empty() });
}

#[test]
fn stack_is_aligned_at_the_entry() {
    #[repr(align(16))]
    struct Aligned([u8; 16]);
    let m = Memory::new();
    let mut p = Pair::new(|p| {
        let a = Aligned([7; 16]);
        p.said.push(std::hint::black_box(&a).0.as_ptr() as u64 % 16);
        p.said.push(format!("{:?}", 1.5_f64).len() as u64);
    });
    start(&mut *p, &m);
    assert_eq!(p.said, [0, 3]);
}

#[test]
fn a_panic_is_caught_inside_a_context() {
    let m = Memory::new();
    let mut p = Pair::new(|p| {
        let said = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(42_u64)));
        p.said.push(*said.unwrap_err().downcast::<u64>().unwrap());
    });
    start(&mut *p, &m);
    assert_eq!(p.said, [42]);
}

#[test]
fn a_context_moves_to_another_thread() {
    let m = Memory::new();
    let mut p = Pair::new(|p| {
        p.said.push(tls_get() as u64);
        Pair::back(p);
        p.said.push(tls_get() as u64);
    });
    let p: *mut Pair = &mut *p;
    tls_set(16 as *mut u8);
    start(p, &m);
    struct Send(*mut Pair);
    // SAFETY: the test hands the pair over and waits.
    unsafe impl core::marker::Send for Send {}
    let carried = Send(p);
    std::thread::spawn(move || {
        let carried = carried;
        assert!(tls_get().is_null());
        tls_set(32 as *mut u8);
        Pair::resume(carried.0);
    })
    .join()
    .unwrap();
    // SAFETY: the other context has ended.
    assert_eq!(unsafe { &(*p).said }, &[16, 32]);
    assert_eq!(tls_get() as usize, 16);
    tls_set(ptr::null_mut());
}

#[cfg(not(feature = "boost-context"))]
#[inline(never)]
fn named_in_the_backtrace(p: &mut Pair) {
    let text = std::backtrace::Backtrace::force_capture().to_string();
    let has = |name: &str| u64::from(text.contains(name));
    p.said.push(has("named_in_the_backtrace"));
    p.said.push(has("enter"));
    // Nothing from beyond the entry: neither the test that switched here nor a thread's start.
    p.said.push(has("backtraces_end_at_the_entry") + has("start_thread") + has("clone"));
    // And no frame repeated without end.
    p.said.push(u64::from(text.lines().count() < 60));
}

/// Boost.Context has no unwind tables, so what a backtrace shows beyond the entry is not promised there.
#[cfg(not(feature = "boost-context"))]
#[test]
fn backtraces_end_at_the_entry() {
    let m = Memory::new();
    let mut p = Pair::new(named_in_the_backtrace);
    start(&mut *p, &m);
    assert_eq!(p.said, [1, 1, 0, 1]);
}

/// The time of a switch. Prints, asserts nothing about time.
#[test]
#[ignore = "a measurement: run it alone, in release mode, with --nocapture"]
fn measure_switches() {
    const N: u32 = 20_000_000;
    let m = Memory::new();
    let mut p = Pair::new(|p| {
        for _ in 0..N {
            Pair::back(p);
        }
        p.said.push(u64::from(N));
    });
    let p: *mut Pair = &mut *p;
    let begin = std::time::Instant::now();
    start(p, &m);
    for _ in 0..N {
        Pair::resume(p);
    }
    let ns = begin.elapsed().as_nanos() as f64 / f64::from(2 * N);
    // SAFETY: the other context has ended.
    assert_eq!(unsafe { &(*p).said }, &[u64::from(N)]);
    println!("{ns:.2} ns for one switch");
    let begin = std::time::Instant::now();
    for _ in 0..N {
        std::hint::black_box(tls_get());
    }
    println!("{:.2} ns to read the word per thread", begin.elapsed().as_nanos() as f64 / f64::from(N));
}
