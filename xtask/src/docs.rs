//! Keeps the documents true: what they name exists, and what is derived from the sources is up to date.
//!
//! - Every `path.rs::item` in ARCHITECTURE.md is an item of that file; every relative link in a Markdown file leads to a file.
//! - The lock order and the invariant index in ARCHITECTURE.md stand between markers and are made from `core/src/rank.rs`
//!   and from the `# Invariants` sections of the file headers; programs in README.md stand between `begin file` markers and
//!   are the files of examples/. `cargo xtask docs --write` writes all of them anew.

use crate::source::{self, File};
use crate::Outcome;
use std::path::{Path, PathBuf};

const MAP: &str = "ARCHITECTURE.md";
const README: &str = "README.md";

/// Checks the documents; with `--write`, renews the generated parts first.
pub fn run(root: &Path, args: &[String]) -> Outcome {
    let write = args.iter().any(|a| a == "--write");
    let findings = examine(root, write).map_err(|e| vec![e.to_string()])?;
    if findings.is_empty() {
        Ok(())
    } else {
        Err(findings)
    }
}

fn examine(root: &Path, write: bool) -> std::io::Result<Vec<String>> {
    let files = source::read(root, &["core/src"])?;
    let locks = files.iter().find(|f| f.path == "core/src/rank.rs").map(lock_order).unwrap_or_default();
    let mut findings = Vec::new();
    let map = renew(root, MAP, write, &mut findings, |old| {
        Ok(fill(&fill(old, "lock order", &locks), "invariants", &invariants(&files)))
    })?;
    renew(root, README, write, &mut findings, |old| include_files(root, old))?;
    findings.extend(missing_items(&map, |path| std::fs::read_to_string(root.join("core/src").join(path)).ok()));
    for path in documents(root)? {
        let text = std::fs::read_to_string(&path)?;
        let shown = path.strip_prefix(root).unwrap_or(&path).display();
        let dir = path.parent().unwrap_or(root);
        findings.extend(dead_links(&text, dir).into_iter().map(|l| format!("{shown}: no such file: {l}")));
    }
    Ok(findings)
}

/// Makes a document's generated parts anew; a difference is written, or is a finding.
fn renew(
    root: &Path,
    name: &str,
    write: bool,
    findings: &mut Vec<String>,
    make: impl Fn(&str) -> std::io::Result<String>,
) -> std::io::Result<String> {
    let old = std::fs::read_to_string(root.join(name))?;
    let new = make(&old)?;
    if new != old && write {
        std::fs::write(root.join(name), &new)?;
    } else if new != old {
        findings.push(format!("{name}: the generated parts are out of date: cargo xtask docs --write"));
    }
    Ok(new)
}

/// Fills every `begin file PATH` part with that file as a block of code.
fn include_files(root: &Path, text: &str) -> std::io::Result<String> {
    let mut out = text.to_string();
    for path in text.split("<!-- begin file ").skip(1).filter_map(|rest| rest.split_once(" -->")).map(|(path, _)| path)
    {
        let language = path.rsplit('.').next().unwrap_or_default().replace("rs", "rust").replace("py", "python");
        let program = std::fs::read_to_string(root.join(path))?;
        out = fill(&out, &format!("file {path}"), &format!("```{language}\n{program}```\n"));
    }
    Ok(out)
}

/// Replaces what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.
fn fill(text: &str, name: &str, content: &str) -> String {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let parts = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    match parts {
        Some((before, after)) => format!("{before}{begin}\n{content}\n{end}{after}"),
        None => text.to_string(),
    }
}

/// The variants of `Rank` with the first sentence of their docs, outermost lock first.
fn lock_order(rank: &File) -> String {
    let from = rank.lines.iter().position(|l| l.code.contains("enum Rank")).map_or(rank.lines.len(), |i| i + 1);
    let (mut out, mut doc) = (String::from("| rank | what it guards |\n|---|---|\n"), String::new());
    for line in rank.lines[from..].iter().take_while(|l| !l.code.starts_with('}')) {
        let code = line.code.trim();
        if let Some(text) = line.comment.strip_prefix('/') {
            doc = format!("{doc} {}", text.trim());
        } else if let Some(name) = code.strip_suffix(',') {
            let name = name.split(' ').next().unwrap_or(name);
            out.push_str(&format!("| `{name}` | {} |\n", doc.trim()));
            doc.clear();
        }
    }
    out
}

/// One row per numbered invariant of a file header: `- **R1** text`.
fn invariants(files: &[File]) -> String {
    let mut out = String::from("| id | file | invariant |\n|---|---|---|\n");
    for file in files {
        for (id, text) in invariants_of(file) {
            let link = format!("[{0}]({1})", file.path.trim_start_matches("core/src/"), file.path);
            out.push_str(&format!(
                "| {id} | {link} | {} |\n",
                without_links(first_sentence(&text)).replace('|', "\\|")
            ));
        }
    }
    out
}

fn invariants_of(file: &File) -> Vec<(String, String)> {
    let header =
        file.lines.iter().filter_map(|l| l.comment.strip_prefix('!')).map(|l| l.strip_prefix(' ').unwrap_or(l));
    let section = header.skip_while(|l| l.trim() != "# Invariants").skip(1).take_while(|l| !l.starts_with("# "));
    let mut found: Vec<(String, String)> = Vec::new();
    for line in section {
        match numbered(line) {
            Some((id, text)) => found.push((id.to_string(), text.to_string())),
            None if line.starts_with("  ") => {
                if let Some((_, text)) = found.last_mut() {
                    text.push(' ');
                    text.push_str(line.trim());
                }
            }
            None => {}
        }
    }
    found
}

/// `- **R1** text`, `* **R1.** text` and `* R1. text` give the id and the text.
fn numbered(line: &str) -> Option<(&str, &str)> {
    let item = line.trim_start().strip_prefix(['-', '*'])?.trim_start();
    let (id, text) = match item.strip_prefix("**") {
        Some(rest) => rest.split_once("**")?,
        None => item.split_once(". ")?,
    };
    let id = id.trim_end_matches(['.', ':']);
    let letters = id.trim_end_matches(|c: char| c.is_ascii_digit());
    let shaped = !letters.is_empty() && letters.len() < id.len() && letters.chars().all(|c| c.is_ascii_uppercase());
    shaped.then(|| (id, text.trim_start_matches([':', '.', ' '])))
}

/// Rust's links between items mean nothing outside rustdoc: ``[`x`](a::b)`` and ``[`x`]`` become `x` in code.
fn without_links(text: &str) -> String {
    let mut parts = text.split("[`");
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        out.push('`');
        match part.split_once("`]") {
            Some((name, rest)) => {
                let target = rest.strip_prefix('(').and_then(|r| r.split_once(')'));
                out.push_str(name);
                out.push('`');
                out.push_str(target.map_or(rest, |(_, after)| after));
            }
            None => out.push_str(part),
        }
    }
    out
}

fn first_sentence(text: &str) -> &str {
    let ends = text.match_indices(". ").map(|(at, _)| at);
    ends.into_iter()
        .find(|&at| !text[..at].ends_with("e.g") && !text[..at].ends_with("i.e"))
        .map_or(text, |at| &text[..=at])
}

/// Code spans like `chan/core.rs::send` whose file or item is missing.
fn missing_items(text: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut missing = Vec::new();
    for span in text.split('`').skip(1).step_by(2) {
        let Some((path, item)) = span.split_once(".rs::") else { continue };
        let path = format!("{path}.rs");
        let name = item.rsplit("::").next().unwrap_or(item).trim_end_matches("()");
        let found = read(&path).is_some_and(|text| defines(&File::parse(&path, &text), name));
        if !found {
            missing.push(format!("{MAP}: `{span}` names nothing in core/src"));
        }
    }
    missing
}

fn defines(file: &File, name: &str) -> bool {
    let kinds = ["fn", "struct", "enum", "trait", "const", "static", "type", "mod", "union", "macro_rules!"];
    file.lines.iter().any(|l| {
        let words: Vec<&str> = l.code.split(|c: char| c.is_whitespace() || "(<{:;,=".contains(c)).collect();
        words.windows(2).any(|w| kinds.contains(&w[0]) && w[1] == name)
            || words.iter().find(|w| !w.is_empty()) == Some(&name)
    })
}

/// The Markdown files of the tree, without build results and other people's.
fn documents(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![root.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let foreign = name.starts_with('.') || ["target", "node_modules", "dist"].contains(&&*name);
            if path.is_dir() && !foreign {
                dirs.push(path);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Targets of `[text](target)` that are neither addresses nor files.
fn dead_links(text: &str, dir: &Path) -> Vec<String> {
    let prose = without_code(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split([')', '\n']).next());
    targets
        .map(|t| t.split('#').next().unwrap_or(t))
        .filter(|t| !t.is_empty() && !t.contains("://") && !t.contains(' ') && !t.starts_with("mailto:"))
        .filter(|t| !dir.join(t).exists())
        .map(str::to_string)
        .collect()
}

/// The text without fenced blocks and code spans.
fn without_code(text: &str) -> String {
    let blocks = text.split("\n```").step_by(2);
    blocks.flat_map(|prose| prose.split('`').step_by(2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_parts_are_replaced_between_their_markers() {
        let text = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n";
        assert_eq!(fill(text, "x", "new\n"), "a\n<!-- begin x -->\n\nnew\n\n<!-- end x -->\nb\n");
        let once = fill(text, "x", "new\n");
        assert_eq!(fill(&once, "x", "new\n"), once);
        assert_eq!(fill(text, "y", "new"), text);
    }

    #[test]
    fn programs_in_documents_are_files() {
        let text = "<!-- begin file Cargo.toml -->\n<!-- end file Cargo.toml -->\n";
        let got = include_files(Path::new(env!("CARGO_MANIFEST_DIR")), text).unwrap();
        assert!(got.starts_with("<!-- begin file Cargo.toml -->\n\n```toml\n[package]\n"), "{got}");
        assert!(got.ends_with("```\n\n<!-- end file Cargo.toml -->\n"), "{got}");
    }

    #[test]
    fn invariants_come_from_the_header() {
        let text = "//! A.\n//!\n//! # Invariants\n//!\n//! - **Q1** One\n//!   line. More.\n//! - **Q2.** Two.\n//!\n//! # Orderings\n//! - **Q3** no.\n";
        let file = File::parse("core/src/q.rs", text);
        assert_eq!(invariants_of(&file), [("Q1".into(), "One line. More.".into()), ("Q2".into(), "Two.".into())]);
        assert!(invariants(&[file])
            .ends_with("| Q1 | [q.rs](core/src/q.rs) | One line. |\n| Q2 | [q.rs](core/src/q.rs) | Two. |\n"));
    }

    #[test]
    fn links_between_items_become_plain() {
        assert_eq!(without_links("a [`b`](C::b) c [`d`], [0]."), "a `b` c `d`, [0].");
    }

    #[test]
    fn ids_stand_at_the_start_of_an_item() {
        assert_eq!(numbered("* S1. One. Two."), Some(("S1", "One. Two.")));
        assert_eq!(numbered("- **WG12:** One."), Some(("WG12", "One.")));
        assert_eq!(numbered("- The rest. Two."), None);
        assert_eq!(numbered("S1. One."), None);
    }

    #[test]
    fn the_lock_order_comes_from_the_ranks() {
        let text =
            "//! R.\npub enum Rank {\n    /// Start.\n    Runtime,\n    /// Two\n    /// lines.\n    Arena,\n}\n";
        assert!(lock_order(&File::parse("r.rs", text)).ends_with("| `Runtime` | Start. |\n| `Arena` | Two lines. |\n"));
    }

    #[test]
    fn named_items_must_exist() {
        let read = |p: &str| (p == "a/b.rs").then(|| "pub fn send<T>(x: T) {}\nstruct Q;\n".to_string());
        assert_eq!(missing_items("`a/b.rs::send` `a/b.rs::Q`", read), [""; 0]);
        assert_eq!(missing_items("`a/b.rs::gone` and `a/c.rs::send`", read).len(), 2);
    }

    #[test]
    fn links_must_lead_somewhere() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(dead_links("[a](src/docs.rs#x) [b](https://example.org) [c](#c)", here), [""; 0]);
        assert_eq!(dead_links("`[a](b)`\n```\n[x](y)\n```\n[a](src/none.rs)", here), ["src/none.rs"]);
    }
}
