//! Tasks of this repository, run as `cargo xtask <task> [--check] [arguments]`.
//!
//! Each task lives in a module of its own and is listed once in [`TASKS`]. A task gets the root of the
//! tree and the arguments after its name, and returns what is wrong as a line of text for each finding.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod conformance;
mod dist;
mod docs;
mod header;
mod install;
mod layers;
mod lint;
mod source;

/// What a task gives back: nothing to say, or one line per finding.
type Outcome = Result<(), Vec<String>>;

struct Task {
    name: &'static str,
    help: &'static str,
    run: fn(&Path, &[String]) -> Outcome,
}

const TASKS: &[Task] = &[
    Task { name: "lint", help: "house rules a compiler does not check", run: lint::run },
    Task { name: "conformance", help: "which test checks which rule; --write renews the table", run: conformance::run },
    Task { name: "docs", help: "documents name what exists; --write renews their generated parts", run: docs::run },
    Task {
        name: "capi",
        help: "the C library in target/release (--debug: target/debug), ready to link with",
        run: install::capi,
    },
    Task { name: "dist", help: "source archive of the committed tree", run: dist::run },
    Task {
        name: "header",
        help: "include/zokor.h from capi; --check compares it with the tree and the library",
        run: header::run,
    },
    Task {
        name: "install",
        help: "--prefix DIR [--destdir DIR] [--libdir NAME]: what C and C++ programs need",
        run: install::run,
    },
    Task { name: "layers", help: "no module of core uses a higher layer", run: layers::run },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(task) = args.first().and_then(|name| TASKS.iter().find(|t| t.name == name)) else {
        usage();
        return ExitCode::from(2);
    };
    match (task.run)(&root(), &args[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(findings) => {
            for line in &findings {
                eprintln!("{line}");
            }
            eprintln!("xtask {}: {} found", task.name, findings.len());
            ExitCode::FAILURE
        }
    }
}

/// The root of the tree: the directory above this crate.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

fn usage() {
    eprintln!("usage: cargo xtask <task> [arguments]");
    for task in TASKS {
        eprintln!("  {:<10} {}", task.name, task.help);
    }
}
