//! The context switch alone, without a scheduler: `cargo bench -p zokor --bench switch`.
//!
//! `arch` is private and calls nothing else of the crate, so its source is compiled into this program.

#![allow(missing_docs)] // what criterion's macros define has none

#[path = "../src/arch/mod.rs"]
#[allow(dead_code, unused_imports, missing_docs)]
mod arch;

use arch::{switch, Context};
use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use std::hint::black_box;
use std::time::Instant;

/// What two contexts share: each one's own words.
struct Pair {
    main: Context,
    other: Context,
}

extern "C-unwind" fn bounce(pair: *mut u8) -> ! {
    let pair = pair.cast::<Pair>();
    loop {
        // SAFETY: `pair` outlives the benchmark, and only one of its two contexts runs at a time.
        unsafe { switch(&raw mut (*pair).other, &raw const (*pair).main) };
    }
}

fn pair(stack: &mut [u8]) -> Box<Pair> {
    let mut pair = Box::new(Pair { main: Context::empty(), other: Context::empty() });
    let arg = (&raw mut *pair).cast();
    let top = (stack.as_mut_ptr_range().end as usize & !63) as *mut u8;
    // SAFETY: `top` is the aligned end of a stack that outlives the context.
    unsafe { pair.other.init(top, bounce, arg) };
    pair
}

fn one_way(c: &mut Criterion) {
    let mut stack = vec![0_u8; 64 << 10];
    let mut pair = pair(&mut stack);
    let p = &raw mut *pair;
    let mut group = c.benchmark_group("switch");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one way, tight loop", |b| {
        b.iter_custom(|n| {
            let t = Instant::now();
            for _ in 0..n.div_ceil(2) {
                // SAFETY: `other` is suspended whenever this side runs, and returns here.
                unsafe { switch(&raw mut (*p).main, &raw const (*p).other) };
            }
            t.elapsed()
        });
    });
    group.bench_function("one way, with live registers", |b| {
        b.iter_custom(|n| {
            let (mut a, mut b, mut x, mut y) = black_box((1_u64, 2_u64, 3_u64, 4_u64));
            let t = Instant::now();
            for _ in 0..n.div_ceil(2) {
                // SAFETY: as above.
                unsafe { switch(&raw mut (*p).main, &raw const (*p).other) };
                a = a.wrapping_add(b);
                b ^= x;
                x = x.rotate_left(7).wrapping_add(y);
                y = y.wrapping_mul(3);
            }
            let d = t.elapsed();
            black_box((a, b, x, y));
            d
        });
    });
    group.finish();
}

criterion_group!(benches, one_way);
criterion_main!(benches);
