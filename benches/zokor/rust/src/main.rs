//! The workloads on Zokor's Rust interface.
//!
//! Usage: `P=<workers> zokor-bench <pinned|migrating> <workload> [name=value ...]`, prints one line of JSON. The workloads are
//! listed in `benches/common/workloads.inc`; they do the same work as the Go program in `benches/peers/go`.

mod chan;
mod cpu;
mod foreign;
mod go;
mod parked;
mod select;
mod spawn;
mod time;

use bench_common::{na, Opts};
use go::{Go, Migrating, Pinned};

fn workload<M: Go>(o: &Opts) {
    match o.w.as_str() {
        "w1a" => spawn::all_in_flight::<M>(o),
        "w1b" => spawn::thousand_in_flight::<M>(o),
        "w2" => spawn::yielding::<M>(o),
        "w2g" => spawn::many_yielding::<M>(o),
        "w3" => chan::ping_pong::<M>(o),
        "w4s" => chan::buffered::<M>(o, 1),
        "w4m" => chan::buffered::<M>(o, 4),
        "w5u" => select::blocked::<M>(o, 0, 2_000_000),
        "w5b" => select::blocked::<M>(o, 128, 4_000_000),
        "w5d" => select::miss::<M>(o),
        "w6c" => chan::uncontended::<M>(o),
        "w6m" => chan::mutex::<M>(o),
        "w6t" => chan::try_recv_empty::<M>(o),
        "w7" => parked::parked::<M>(o),
        "w8" => parked::skynet_row::<M>(o),
        "w9" => parked::sieve::<M>(o),
        "w10" => time::sleepers::<M>(o),
        "w10t" => time::pending::<M>(o),
        "w12p" => foreign::ping_pong::<M>(o),
        "w12s" => foreign::stream::<M>(o),
        "w13" => cpu::fan_out::<M>(o),
        _ => na(M::NAME, o, "not in this program"),
    }
}

fn main() {
    let variant = std::env::args().nth(1).unwrap_or_default();
    let o = Opts::parse(2);
    let stack_size = o.get("stack", 0);
    zokor::init(zokor::Config { workers: o.p as u32, stack_size, ..Default::default() }).expect("the runtime starts");
    match variant.as_str() {
        "pinned" => zokor::run(move || workload::<Pinned>(&o)),
        "migrating" => zokor::run(move || workload::<Migrating>(&o)),
        v => panic!("variant {v:?}: pinned or migrating"),
    }
}
