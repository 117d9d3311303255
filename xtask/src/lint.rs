//! House rules that neither the compiler nor clippy checks (CONTRIBUTING.md lists them all).
//!
//! Every rule looks at lines of code and comment as `source` splits them, and reports `path:line: what`.
//! After the findings the ten largest files and functions are printed, so that growth is seen before it is forbidden.

use crate::source::{self, File, Line};
use crate::Outcome;
use std::path::Path;

/// Lines of a file without its unit tests.
const FILE_LINES: usize = 600;
/// Lines of a function, from its signature to its closing brace.
const FUNCTION_LINES: usize = 80;
/// How far above a line its comment may stand.
const REACH: usize = 5;

/// Sources that ship: the rules on comments and sizes hold here.
const SHIPPED: &[&str] = &["core/src", "capi/src", "python/src", "xtask/src"];
/// The only files of `core` that may write to stderr: the report writer.
const MAY_PRINT: &[&str] = &["core/src/dump.rs"];
/// Assembly files may be longer than the limit: the prose stands between the instructions.
const MAY_BE_LONG: &[&str] = &["core/src/arch/"];
/// Functions that may pass the limit, with the limit that holds instead.
const LONGER_FUNCTIONS: &[(&str, usize)] = &[("core/src/select.rs", 120)];

/// Checks every rule on every file, then prints the ten largest files and functions.
pub fn run(root: &Path, args: &[String]) -> Outcome {
    let files = source::read(root, SHIPPED).map_err(|e| vec![e.to_string()])?;
    let findings: Vec<String> = files.iter().flat_map(check).collect();
    if !args.iter().any(|a| a == "--quiet") {
        print_largest(&files);
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(findings)
    }
}

fn check(file: &File) -> Vec<String> {
    let mut found = leftovers(file);
    if file.is_test() {
        return found;
    }
    found.extend(header(file));
    found.extend(size(file));
    found.extend(long_functions(file));
    found.extend(orderings(file));
    found.extend(unsafe_blocks(file));
    found.extend(printing(file));
    found
}

fn header(file: &File) -> Option<String> {
    let first = file.lines.iter().find(|l| !l.code.trim().is_empty() || !l.comment.trim().is_empty());
    let ok = first.is_some_and(|l| l.code.trim().is_empty() && l.comment.starts_with('!'));
    (!ok).then(|| format!("{}:1: no `//!` header that says what the file is for", file.path))
}

fn size(file: &File) -> Option<String> {
    let lines = file.body().len();
    let exempt = MAY_BE_LONG.iter().any(|p| file.path.starts_with(p));
    (lines > FILE_LINES && !exempt).then(|| format!("{}: {lines} lines without tests, at most {FILE_LINES}", file.path))
}

/// A function's name, first line (counted from 0) and length in lines.
#[derive(Debug, PartialEq, Eq)]
struct Function {
    name: String,
    at: usize,
    lines: usize,
}

fn long_functions(file: &File) -> Vec<String> {
    let limit = LONGER_FUNCTIONS.iter().find(|(p, _)| file.path == *p).map_or(FUNCTION_LINES, |(_, n)| *n);
    let too_long = functions(file.body()).into_iter().filter(|f| f.lines > limit);
    too_long
        .map(|f| format!("{}:{}: `{}` has {} lines, at most {limit}", file.path, f.at + 1, f.name, f.lines))
        .collect()
}

/// Finds functions by counting braces; nested ones are found as well.
fn functions(lines: &[Line]) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(&line.code) else { continue };
        if let Some(lines) = extent(&lines[at..]) {
            found.push(Function { name, at, lines });
        }
    }
    found
}

fn function_name(code: &str) -> Option<String> {
    let at = code.find("fn ").filter(|&at| at == 0 || code[..at].ends_with([' ', '(']))?;
    let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// Lines from the first one to the brace that closes the first one opened; `None` for a declaration.
fn extent(lines: &[Line]) -> Option<usize> {
    let (mut depth, mut parens, mut opened) = (0i32, 0i32, false);
    for (i, line) in lines.iter().enumerate() {
        for c in line.code.chars() {
            match c {
                '(' | '[' => parens += 1,
                ')' | ']' => parens -= 1,
                '{' => {
                    depth += 1;
                    opened = true;
                }
                '}' => depth -= 1,
                ';' if !opened && parens == 0 => return None,
                _ => {}
            }
            if opened && depth == 0 {
                return Some(i + 1);
            }
        }
    }
    None
}

/// A non-Relaxed ordering carries a comment on its line or in the lines above: what it pairs with, why not weaker.
fn orderings(file: &File) -> Vec<String> {
    if !file.path.starts_with("core/src") {
        return Vec::new();
    }
    let body = file.body();
    let named = |l: &Line| ["Acquire", "Release", "AcqRel", "SeqCst"].iter().any(|o| has_word(&l.code, o));
    let silent = |at: &usize| !near(body, *at, |c| !c.trim().is_empty() && !c.starts_with(['/', '!']));
    let imports = import_lines(body);
    let lines = (0..body.len()).filter(|&at| named(&body[at]) && !imports[at]);
    lines
        .filter(silent)
        .map(|at| format!("{}:{}: ordering without a comment on its pair and why not weaker", file.path, at + 1))
        .collect()
}

/// For each line, whether it is part of a `use` item.
fn import_lines(lines: &[Line]) -> Vec<bool> {
    let mut inside = false;
    let flags = lines.iter().map(|l| {
        let code = l.code.trim();
        let starts = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "].iter().any(|u| code.starts_with(u));
        let part = inside || starts;
        inside = part && !code.ends_with(';');
        part
    });
    flags.collect()
}

/// `unsafe { … }` and `unsafe impl` say in a SAFETY comment which invariant makes them sound; `unsafe fn` has a Safety section.
fn unsafe_blocks(file: &File) -> Vec<String> {
    let body = file.body();
    let opens = |c: &str| c.contains("unsafe {") || c.contains("unsafe impl") || c.trim_end().ends_with("unsafe");
    let lines = (0..body.len()).filter(|&at| opens(&body[at].code));
    lines
        .filter(|&at| !near(body, at, |c| c.contains("SAFETY")))
        .map(|at| format!("{}:{}: unsafe without a SAFETY comment", file.path, at + 1))
        .collect()
}

fn printing(file: &File) -> Vec<String> {
    if !file.path.starts_with("core/src") || MAY_PRINT.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let prints = |c: &str| ["eprintln!", "eprint!", "println!", "print!", "dbg!"].iter().any(|m| has_word(c, m));
    numbered(file.body(), |l| prints(&l.code))
        .map(|at| format!("{}:{at}: prints; only core/src/dump.rs writes to stderr", file.path))
        .collect()
}

fn leftovers(file: &File) -> Vec<String> {
    let marks = ["TODO", "FIXME", "XXX"].map(|m| (m, true));
    let macros = ["todo!", "unimplemented!"].map(|m| (m, false));
    let mut found = Vec::new();
    for (word, in_comment) in marks.into_iter().chain(macros) {
        let hit = |l: &Line| has_word(if in_comment { &l.comment } else { &l.code }, word);
        found.extend(numbered(&file.lines, hit).map(|at| format!("{}:{at}: left undone: {word}", file.path)));
    }
    // The rule's own words stand in this file.
    found.retain(|_| file.path != "xtask/src/lint.rs");
    found
}

fn numbered<'a>(lines: &'a [Line], hit: impl Fn(&Line) -> bool + 'a) -> impl Iterator<Item = usize> + 'a {
    lines.iter().enumerate().filter(move |(_, l)| hit(l)).map(|(i, _)| i + 1)
}

/// Whether a comment on this line, or within reach above it, satisfies `wanted`. A comment block that begins within
/// reach counts as a whole.
fn near(lines: &[Line], at: usize, wanted: impl Fn(&str) -> bool) -> bool {
    let mut from = at.saturating_sub(REACH);
    while from > 0 && is_comment(&lines[from]) && is_comment(&lines[from - 1]) {
        from -= 1;
    }
    lines[from..=at].iter().any(|l| wanted(&l.comment))
}

fn is_comment(line: &Line) -> bool {
    line.code.trim().is_empty() && !line.comment.is_empty()
}

fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let after = &text[at + word.len()..];
        !text[..at].ends_with(part) && (word.ends_with('!') || !after.starts_with(part))
    })
}

fn print_largest(files: &[File]) {
    let mut sizes: Vec<(usize, String)> =
        files.iter().filter(|f| !f.is_test()).map(|f| (f.body().len(), f.path.clone())).collect();
    let mut lengths: Vec<(usize, String)> = files
        .iter()
        .filter(|f| !f.is_test())
        .flat_map(|f| functions(f.body()).into_iter().map(|g| (g.lines, format!("{}::{}", f.path, g.name))))
        .collect();
    for (title, list) in [("largest files", &mut sizes), ("longest functions", &mut lengths)] {
        list.sort_by(|a, b| b.cmp(a));
        println!("{title}:");
        for (n, name) in list.iter().take(10) {
            println!("  {n:>5}  {name}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File::parse("core/src/a.rs", text)
    }

    fn only(text: &str) -> String {
        let found = check(&file(text));
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    #[test]
    fn a_clean_file_gives_nothing() {
        let text = "//! A.\nfn f() {\n    // Acquire: pairs with the Release in g.\n    X.load(Acquire);\n}\n";
        assert_eq!(check(&file(text)), [""; 0]);
    }

    #[test]
    fn a_file_begins_with_its_purpose() {
        assert!(only("fn f() {}\n").contains("no `//!` header"));
        assert!(only("// About.\nfn f() {}\n").contains("no `//!` header"));
    }

    #[test]
    fn sizes_count_without_tests() {
        let long = format!("//! A.\n{}", "const A: u8 = 0;\n".repeat(FILE_LINES));
        assert!(only(&long).contains("601 lines"));
        let tested = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "const A: u8 = 0;\n".repeat(FILE_LINES));
        assert_eq!(check(&file(&tested)), [""; 0]);
    }

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let text = "fn a() {\n    {\n    }\n}\nfn b();\npub(crate) fn c(x: [u8; 2])\nwhere X: Y,\n{ }\n";
        let got = functions(&file(text).lines);
        let short: Vec<_> = got.iter().map(|f| (f.name.as_str(), f.at, f.lines)).collect();
        assert_eq!(short, [("a", 0, 4), ("c", 5, 3)]);
        let long = format!("//! A.\nfn f() {{\n{}}}\n", "    g();\n".repeat(FUNCTION_LINES));
        assert!(only(&long).contains("`f` has 82 lines"));
    }

    #[test]
    fn an_ordering_needs_a_comment_within_reach() {
        assert!(only("//! A.\nfn f() {\n    X.load(Ordering::SeqCst);\n}\n").contains(":3: ordering"));
        let far = format!("//! A.\nfn f() {{\n    // Pairs.\n{}    X.load(Acquire);\n}}\n", "    g();\n".repeat(REACH));
        assert!(only(&far).contains("ordering"));
        assert_eq!(check(&file("//! A.\nuse X::Ordering::{Acquire, Release};\n")), [""; 0]);
        assert_eq!(check(&file("//! A.\npub use X::{\n    Ordering::{Acquire, Release},\n};\n")), [""; 0]);
        assert!(only("//! A.\n/// Doc.\nfn f() { X.load(Acquire); }\n").contains("ordering"));
    }

    #[test]
    fn unsafe_needs_a_reason() {
        assert!(only("//! A.\nfn f() {\n    unsafe { g() }\n}\n").contains(":3: unsafe"));
        assert_eq!(check(&file("//! A.\nfn f() {\n    // SAFETY: by A1.\n    unsafe { g() }\n}\n")), [""; 0]);
        assert!(only("//! A.\nunsafe impl Send for T {}\n").contains(":2: unsafe"));
    }

    #[test]
    fn core_does_not_print() {
        assert!(only("//! A.\nfn f() {\n    eprintln!(\"x\");\n}\n").contains(":3: prints"));
        assert_eq!(check(&File::parse("core/src/dump.rs", "//! A.\nfn f() { eprintln!(\"x\"); }\n")), [""; 0]);
    }

    #[test]
    fn nothing_is_left_undone() {
        assert!(only("//! A.\n// TODO: more\n").contains("left undone: TODO"));
        assert!(only("//! A.\nfn f() { todo!() }\n").contains("left undone: todo!"));
    }
}
