//! Gives the shared library the name by which programs ask for it.
//!
//! `libzokor.so.0.MINOR` before 1.0 and `libzokor.so.MAJOR` after: what may change between two releases is then seen by the
//! loader. `xtask install` has the same rule.

use std::env;

fn main() {
    let var = |name: &str| env::var(name).unwrap_or_default();
    let (major, minor) = (var("CARGO_PKG_VERSION_MAJOR"), var("CARGO_PKG_VERSION_MINOR"));
    let abi = if major == "0" { format!("0.{minor}") } else { major };
    let name = match var("CARGO_CFG_TARGET_VENDOR").as_str() {
        "apple" => format!("-Wl,-install_name,@rpath/libzokor.{abi}.dylib"),
        _ => format!("-Wl,-soname,libzokor.so.{abi}"),
    };
    println!("cargo::rustc-cdylib-link-arg={name}");
    println!("cargo::rerun-if-changed=build.rs");
}
