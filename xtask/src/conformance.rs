//! Keeps the table in docs/conformance.md: which tests check which rule.
//!
//! A test checks rule C-08 when its name holds the mark `c08_`, as in `c08_handoff_bypasses_the_buffer`; a name may carry several
//! marks. The columns with test names are written by `--write`; without it a table that is out of date is a finding.
//! The status is *tested* where a test exists; other words are left as a person wrote them.

use crate::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const TABLE: &str = "docs/conformance.md";
const RUST: &[&str] = &["core/tests", "core/src"];
const C: &[&str] = &["capi/tests"];
const TESTED: &str = "tested";
const UNTESTED: &str = "no test yet";

/// Test names by rule id.
type Tests = BTreeMap<String, BTreeSet<String>>;

/// Checks the table, or renews it with `--write`.
pub fn run(root: &Path, args: &[String]) -> Outcome {
    let say = |e: std::io::Error| vec![format!("{TABLE}: {e}")];
    let old = std::fs::read_to_string(root.join(TABLE)).map_err(say)?;
    let (rust, c) = (tests(root, RUST).map_err(say)?, tests(root, C).map_err(say)?);
    let new = renew(&old, &rust, &c);
    let mut findings = unknown(&old, &[&rust, &c]);
    if args.iter().any(|a| a == "--write") {
        std::fs::write(root.join(TABLE), &new).map_err(say)?;
    } else if new != old {
        findings.push(format!("{TABLE}: out of date: cargo xtask conformance --write"));
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(findings)
    }
}

/// Every name in the sources below `dirs` that carries a mark.
fn tests(root: &Path, dirs: &[&str]) -> std::io::Result<Tests> {
    let mut found = Tests::new();
    let mut todo: Vec<_> = dirs.iter().map(|d| root.join(d)).filter(|d| d.is_dir()).collect();
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let source = path.extension().is_some_and(|e| ["rs", "c", "cpp", "h"].iter().any(|s| e == *s));
            if path.is_dir() {
                todo.push(path);
            } else if source {
                collect(&std::fs::read_to_string(path)?, &mut found);
            }
        }
    }
    Ok(found)
}

/// Names of functions that carry marks: after `fn`, `void` or `static void`, or as a macro's first argument (`TEST(c08_x)`).
fn collect(text: &str, found: &mut Tests) {
    for line in text.lines().map(str::trim_start).filter(|l| !l.starts_with("//") && !l.starts_with('*')) {
        for name in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
            for id in marks(name) {
                found.entry(id).or_default().insert(name.to_string());
            }
        }
    }
}

/// The rules a name is marked with: `c08_c09_x` gives C-08 and C-09.
fn marks(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('_').collect();
    let marked: Vec<String> = parts.iter().map_while(|p| mark(p)).collect();
    // What follows the marks is a word: `x86_64` names a machine, not a rule.
    let word = parts.get(marked.len()).is_some_and(|p| p.starts_with(|c: char| c.is_alphabetic()));
    if word {
        marked
    } else {
        Vec::new()
    }
}

fn mark(part: &str) -> Option<String> {
    let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &part[letters.len()..];
    let shaped =
        (1..=3).contains(&letters.len()) && digits.len() == 2 && letters.chars().all(|c| c.is_ascii_lowercase());
    shaped.then(|| format!("{}-{digits}", letters.to_uppercase()))
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
    let id = cells.first()?.split_once('-')?;
    (cells.len() == 5 && !id.0.is_empty() && id.1.chars().all(|c| c.is_ascii_digit()) && !id.1.is_empty())
        .then_some(cells)
}

fn renew(table: &str, rust: &Tests, c: &Tests) -> String {
    let mut out = String::new();
    for line in table.lines() {
        let Some(row) = cells(line) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let names = |tests: &Tests| match tests.get(row[0]) {
            Some(set) => set.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join("<br>"),
            None => String::new(),
        };
        let (in_rust, in_c) = (names(rust), names(c));
        let tested = !in_rust.is_empty() || !in_c.is_empty();
        let status = match row[4] {
            TESTED | UNTESTED | "" if tested => TESTED,
            TESTED | UNTESTED | "" => UNTESTED,
            words => words,
        };
        out.push_str(&format!("| {} | {} | {in_rust} | {in_c} | {status} |\n", row[0], row[1]));
    }
    out
}

/// Marks in test names that no row of the table knows, for rule families the table has.
fn unknown(table: &str, tests: &[&Tests]) -> Vec<String> {
    let ids: BTreeSet<&str> = table.lines().filter_map(cells).map(|row| row[0]).collect();
    let families: BTreeSet<&str> = ids.iter().filter_map(|id| id.split('-').next()).collect();
    let mut found = Vec::new();
    for (id, names) in tests.iter().flat_map(|t| t.iter()) {
        let known_family = families.contains(id.split('-').next().unwrap_or(id));
        if known_family && !ids.contains(id.as_str()) {
            found.extend(names.iter().map(|n| format!("{TABLE}: test `{n}` names {id}, which has no row")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "| C-08 | Hand-off |  |  |  |\n| C-09 | Theft |  |  | not here |\n";

    fn found(text: &str) -> Tests {
        let mut tests = Tests::new();
        collect(text, &mut tests);
        tests
    }

    #[test]
    fn names_carry_one_or_more_marks() {
        assert_eq!(marks("c08_handoff"), ["C-08"]);
        assert_eq!(marks("c08_rw10_x"), ["C-08", "RW-10"]);
        assert_eq!(marks("c08"), [""; 0]);
        assert_eq!(marks("x86_64"), [""; 0].map(str::to_string));
        assert_eq!(marks("handoff_c08_x"), [""; 0]);
    }

    #[test]
    fn rows_get_their_tests_and_status() {
        let rust = found("fn c08_a() {}\nfn c08_b() {}\n// c09_in_a_comment\n");
        let got = renew(ROW, &rust, &Tests::new());
        assert_eq!(got, "| C-08 | Hand-off | `c08_a`<br>`c08_b` |  | tested |\n| C-09 | Theft |  |  | not here |\n");
        assert_eq!(
            renew(&got, &Tests::new(), &Tests::new()).lines().next(),
            Some("| C-08 | Hand-off |  |  | no test yet |")
        );
        assert_eq!(renew(&got, &rust, &Tests::new()), got);
    }

    #[test]
    fn a_mark_without_a_row_is_a_finding() {
        assert_eq!(unknown(ROW, &[&found("fn c31_a() {}")]).len(), 1);
        assert_eq!(unknown(ROW, &[&found("fn x86_a() {} fn c08_a() {}")]), [""; 0]);
    }
}
