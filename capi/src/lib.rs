//! The C interface of Zokor: `include/zokor.h` is generated from these modules.
//!
//! Where it sits: above `zokor::raw`, below nothing in Rust; C, C++ and whoever speaks their ABI call it.
//! A function here converts its arguments, calls the engine once and converts the answer back. No algorithm
//! lives here.
//!
//! # Invariants
//! - **H1** A pointer that C holds as a handle came from [`handle::into_c`] and is the address of a
//!   [`handle::Block`]; as long as C holds a reference, the block lives.
//! - **H2** Pointers to elements, options and reports are valid for the call, as the header asks of its readers.
//! - **H3** No Rust panic leaves through an `extern "C"` function: the language turns it into an abort. Functions
//!   that wait or end a goroutine are `extern "C-unwind"`, because a goroutine that ends early unwinds through them.
//!
//! The doc comments of public items are written for the reader of the header and become its comments.
#![allow(non_camel_case_types)] // the names are those of the C header

mod alloc;
mod blocking;
mod chan;
mod ctx;
mod defer;
mod go;
mod group;
mod handle;
mod lock;
mod oserror;
mod pool;
#[cfg(feature = "probe")]
#[path = "../tests/probe.rs"]
mod probe;
mod producer;
mod result;
mod runtime;
mod select;
mod sized;
mod stats;
mod sync;
mod time;
mod timer;
