//! The layers of `core`: a module uses only what stands before it in [`LAYERS`].
//!
//! The unit is the top-level module of `core/src` (`sched/idle.rs` belongs to `sched`). An edge is any path that
//! starts with `crate::` in code outside unit tests, grouped imports included. Inside one module everything may use everything.

use crate::source::{self, File};
use crate::Outcome;
use std::collections::BTreeMap;
use std::path::Path;

/// From the machine up to the faces. A module may use those of lower layers, and those before it in its own.
const LAYERS: &[(&str, &[&str])] = &[
    ("0 the machine", &["cell", "pad", "rank", "rng", "errno", "reason", "hope", "hooks", "sys", "list"]),
    (
        "1 engines that know no goroutine",
        &["arch", "stack", "queue", "inject", "inbox", "heap", "mirror", "poll", "cxx"],
    ),
    ("2 goroutines", &["wait", "error", "oncpu", "goroutine", "sanitize"]),
    (ENGINE, &["sched", "timers", "clock", "panic", "defer", "start", "runtime"]),
    (
        "4 what programs use",
        &[
            "chan", "select", "rawtime", "channel", "timer", "context", "go", "sync", "scope", "group", "unwind", "fd",
            "net",
        ],
    ),
    ("5 looking in", &["stats", "dump", "trace", "sim", "raw"]),
];

/// The one layer whose modules may use each other: they are one engine in several files.
const ENGINE: &str = "3 scheduler";

/// `lib.rs` names every module and contains no logic; the layers do not bind it.
const FREE: &[&str] = &["lib"];

/// Macros stand at the root of the crate wherever they are written.
const MACROS: &[&str] = &["select", "select_biased", "crossbeam_channel_internal"];

/// Edges that go up and may, each with its reason.
const ALLOWED: &[(&str, &str)] = &[
    ("rank", "sys"),         // a broken lock order ends the process through `sys::fatal`
    ("goroutine", "timers"), // a header has its timer's node inside
    ("goroutine", "defer"),  // and, among its rare attributes, the deferred functions
    ("defer", "dump"),       // as for panic
    ("sched", "dump"),       // what ends the process says so through the one module that prints
    ("panic", "dump"),       // the same
    ("runtime", "dump"),     // the same
    ("start", "dump"),       // the same
    ("context", "go"),       // a context's callback runs in a goroutine, and a goroutine is started with a context
    ("timers", "dump"),      // so does a callback that cannot be started
];

/// Prints nothing when every edge goes down; otherwise one line per upward edge.
pub fn run(root: &Path, _args: &[String]) -> Outcome {
    let files = source::read(root, &["core/src"]).map_err(|e| vec![format!("core/src: {e}")])?;
    let findings: Vec<String> = files.iter().filter(|f| !f.is_test()).flat_map(|f| check(f, LAYERS)).collect();
    if findings.is_empty() {
        Ok(())
    } else {
        Err(findings)
    }
}

type Table<'a> = &'a [(&'a str, &'a [&'a str])];

/// Position of each module in the order, and the name of its layer.
fn ranks<'a>(table: Table<'a>) -> BTreeMap<&'a str, (usize, &'a str)> {
    let all = table.iter().flat_map(|(layer, names)| names.iter().map(move |n| (*n, *layer)));
    all.enumerate().map(|(at, (name, layer))| (name, (at, layer))).collect()
}

fn check(file: &File, table: Table) -> Vec<String> {
    let from = module_of(&file.path);
    if FREE.contains(&from) {
        return Vec::new();
    }
    let ranks = ranks(table);
    let Some(&(rank, layer)) = ranks.get(from) else {
        return vec![format!(
            "{}: module `{from}` has no layer: add it to the table in xtask/src/layers.rs",
            file.path
        )];
    };
    let mut findings = Vec::new();
    for (line, to) in edges(file) {
        // A name that is no module is an item re-exported at the root of the crate.
        match ranks.get(to.as_str()) {
            Some(&(other, above)) if other > rank && !may(from, layer, &to, above) => {
                findings.push(format!("{}:{line}: `{from}` (layer {layer}) uses `{to}` (layer {above})", file.path))
            }
            Some(_) => {}
            None if MACROS.contains(&to.as_str()) => {}
            None => findings.push(format!("{}:{line}: `crate::{to}` is no module in the table of layers", file.path)),
        }
    }
    findings
}

/// Whether an edge to a later module is fine all the same.
fn may(from: &str, layer: &str, to: &str, above: &str) -> bool {
    ALLOWED.contains(&(from, to)) || (layer == ENGINE && above == ENGINE)
}

fn module_of(path: &str) -> &str {
    let inside = path.strip_prefix("core/src/").unwrap_or(path);
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

/// Every `crate::name` outside unit tests, with its line number counted from 1.
fn edges(file: &File) -> Vec<(usize, String)> {
    let mut text = String::new();
    let mut starts = Vec::new();
    for line in file.body() {
        starts.push(text.len());
        text.push_str(&line.code);
        text.push('\n');
    }
    let line_at = |offset: usize| starts.partition_point(|&s| s <= offset);
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        // A macro's path is used where the macro is, not here.
        if text[..at].ends_with('$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        for name in heads(rest) {
            found.push((line_at(at), name));
        }
    }
    found
}

/// The first names of a path or of each path in a brace group: `{a::b, c::{d, e}}` gives `a` and `c`.
fn heads(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![ident(rest)].into_iter().filter(|s| !s.is_empty()).collect();
    };
    let (mut depth, mut names, mut start) = (1, Vec::new(), true);
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => start = true,
            c if start && !c.is_whitespace() => {
                names.push(ident(&group[i..]));
                start = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names.into_iter().filter(|n| !n.is_empty() && n != "self").collect()
}

fn ident(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = &[("0", &["sys"]), ("1", &["queue"]), ("2", &["chan"])];

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&File::parse(path, text), TABLE)
    }

    #[test]
    fn downward_edges_pass() {
        assert_eq!(findings("core/src/chan/core.rs", "use crate::queue::Q;\nuse crate::chan::ring;\n"), [""; 0]);
        assert_eq!(findings("core/src/lib.rs", "pub use crate::chan::Chan;\n"), [""; 0]);
    }

    #[test]
    fn an_upward_edge_names_both_ends_and_the_line() {
        let got = findings("core/src/queue.rs", "//! Q.\n\nuse crate::chan::Chan;\n");
        assert_eq!(got, ["core/src/queue.rs:3: `queue` (layer 1) uses `chan` (layer 2)"]);
    }

    #[test]
    fn groups_and_paths_in_bodies_count() {
        assert_eq!(findings("core/src/sys/mod.rs", "use crate::{\n  sys::x,\n  queue::{a, b},\n};\n").len(), 1);
        assert_eq!(findings("core/src/sys/mod.rs", "fn f() { crate::chan::g() }\n").len(), 1);
    }

    #[test]
    fn comments_tests_and_macro_paths_do_not_count() {
        assert_eq!(findings("core/src/sys/mod.rs", "//! See [`crate::chan`].\n"), [""; 0]);
        assert_eq!(findings("core/src/sys/mod.rs", "#[cfg(test)]\nmod tests { use crate::chan::C; }\n"), [""; 0]);
        assert_eq!(findings("core/src/queue.rs", "macro_rules! m { () => { $crate::chan::f() } }\n"), [""; 0]);
    }

    #[test]
    fn a_module_without_a_layer_is_a_finding() {
        assert!(findings("core/src/new.rs", "//! N.\n")[0].contains("has no layer"));
    }

    #[test]
    fn no_module_stands_in_two_layers() {
        let all: usize = LAYERS.iter().map(|(_, names)| names.len()).sum();
        assert_eq!(ranks(LAYERS).len(), all);
    }
}
