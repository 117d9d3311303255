//! Makes `include/zokor.h` from the modules of `capi` and checks it.
//!
//! cbindgen turns one Rust module at a time into C declarations, so that the header can be put together by topic: a title,
//! the types of the section, a hand-written fragment (constants, initialisers), the functions, and a second fragment (macro
//! sugar). Before all of them stands `capi/header/prologue.h`, after them `epilogue.h`. The fragments are plain headers that
//! a compiler can read. `--check` changes nothing: it compares the result with the file in the tree, and the names in it with
//! the symbols the library exports.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::Outcome;

const HEADER: &str = "include/zokor.h";
const FRAGMENTS: &str = "capi/header";

/// Comments and prototypes are wrapped at this column.
const WIDTH: usize = 100;

/// One topic of the header: its title, the start of its fragments' names, and the modules of `capi/src` it shows.
struct Section {
    title: &'static str,
    name: &'static str,
    modules: &'static [&'static str],
}

const SECTIONS: &[Section] = &[
    Section { title: "results", name: "result", modules: &["result"] },
    Section { title: "time", name: "time", modules: &["time"] },
    Section { title: "runtime", name: "runtime", modules: &["handle", "alloc", "runtime"] },
    Section { title: "goroutines", name: "go", modules: &["go"] },
    Section { title: "channels", name: "chan", modules: &["chan", "producer"] },
    Section { title: "select", name: "select", modules: &["select"] },
    Section { title: "timers", name: "timer", modules: &["timer"] },
    Section { title: "sync: zeroed storage is ready to use", name: "sync", modules: &["lock", "sync", "pool"] },
    Section { title: "context and groups", name: "ctx", modules: &["ctx", "group"] },
    Section { title: "blocking code", name: "blocking", modules: &["blocking"] },
    Section { title: "defer, panic, recover", name: "defer", modules: &["defer"] },
    Section { title: "looking inside", name: "stats", modules: &["stats"] },
];

/// Writes the header, or with `--check` says how the one in the tree differs.
pub fn run(root: &Path, args: &[String]) -> Outcome {
    let header = assemble(root).map_err(|e| vec![e])?;
    let path = root.join(HEADER);
    if !args.iter().any(|a| a == "--check") {
        return std::fs::write(&path, header).map_err(|e| vec![format!("{HEADER}: {e}")]);
    }
    let mut findings = Vec::new();
    if std::fs::read_to_string(&path).unwrap_or_default() != header {
        findings.push(format!("{HEADER} is not what capi/src gives: run `cargo xtask header`"));
    }
    findings.extend(compare_symbols(root, &header).unwrap_or_else(|e| vec![e]));
    if findings.is_empty() {
        Ok(())
    } else {
        Err(findings)
    }
}

fn assemble(root: &Path) -> Result<String, String> {
    let fragment = |name: String| std::fs::read_to_string(root.join(FRAGMENTS).join(name)).unwrap_or_default();
    let mut out = String::new();
    for section in SECTIONS {
        let (mut types, mut functions) = (String::new(), String::new());
        for module in section.modules {
            let text = declarations(&root.join("capi/src").join(module).with_extension("rs"))?;
            let (t, f) = format(&text);
            for (all, one) in [(&mut types, t), (&mut functions, f)] {
                if !all.is_empty() && !one.is_empty() {
                    all.push('\n');
                }
                all.push_str(&one);
            }
        }
        let rule = "-".repeat(WIDTH.saturating_sub(section.title.len() + 12));
        let parts =
            [types, fragment(format!("{}.h", section.name)), functions, fragment(format!("{}_sugar.h", section.name))];
        out.push_str(&format!("/* ---- {} {rule} */\n\n", section.title));
        for part in parts.iter().map(|p| p.trim_matches('\n')).filter(|p| !p.is_empty()) {
            out.push_str(part);
            out.push_str("\n\n");
        }
    }
    let (prologue, epilogue) = (fragment("prologue.h".into()), fragment("epilogue.h".into()));
    // The guard encloses the fragments, so it cannot stand in one of them.
    let (comment, rest) = prologue.split_once("*/\n").ok_or("capi/header/prologue.h begins with the conventions")?;
    Ok(format!("{comment}*/\n#ifndef ZK_H\n#define ZK_H\n{rest}\n{out}{epilogue}#endif /* ZK_H */\n"))
}

/// What cbindgen makes of one module.
fn declarations(module: &Path) -> Result<String, String> {
    let source = std::fs::read_to_string(module).map_err(|e| format!("{}: {e}", module.display()))?;
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        no_includes: true,
        usize_is_size_t: true,
        style: cbindgen::Style::Both,
        documentation_style: cbindgen::DocumentationStyle::C,
        line_length: 1000,
        ..cbindgen::Config::default()
    };
    config.function.prefix = Some("ZK_API".into());
    config.function.args = cbindgen::Layout::Horizontal;
    config.function.sort_by = Some(cbindgen::SortKey::None);
    // Without this, cbindgen leaves out what no function of the same module mentions.
    config.export.include = public_types(&source);
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(module)
        .generate()
        .map_err(|e| format!("{}: {e}", module.display()))?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).map_err(|e| e.to_string())
}

/// Names of the public types of a module.
fn public_types(source: &str) -> Vec<String> {
    let declared = source.lines().filter_map(|l| l.strip_prefix("pub struct ").or_else(|| l.strip_prefix("pub type ")));
    declared.map(|l| l.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

/// Sets cbindgen's text for C readers and splits it: types, functions.
fn format(text: &str) -> (String, String) {
    let (mut types, mut functions) = (String::new(), String::new());
    let mut doc: Vec<String> = Vec::new();
    let mut in_comment = false;
    let mut in_struct = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if in_comment {
            match trimmed {
                "*/" => in_comment = false,
                _ => doc.push(trimmed.strip_prefix('*').unwrap_or(trimmed).trim().to_string()),
            }
        } else if trimmed == "/*" || trimmed == "/**" {
            in_comment = true;
            doc.clear();
        } else if !trimmed.is_empty() {
            let is_function = trimmed.starts_with("ZK_API");
            let indent = if in_struct && !trimmed.starts_with('}') { "  " } else { "" };
            in_struct = trimmed.ends_with('{') || (in_struct && !trimmed.starts_with('}'));
            let declared = declare(&paragraphs(&doc), &trimmed.replace("struct zk", "zk"), line, indent);
            doc.clear();
            let out = if is_function { &mut functions } else { &mut types };
            if !in_struct || trimmed.ends_with('{') {
                separate(out, &declared);
            }
            out.push_str(&declared);
        }
    }
    (align(&types), functions)
}

/// Puts the comments behind neighbouring lines under each other.
fn align(text: &str) -> String {
    let split = |l: &str| l.split_once("  /* ").map(|(code, rest)| (code.to_string(), format!("/* {rest}")));
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for block in lines.chunk_by(|a, b| a.starts_with("  ") == b.starts_with("  ")) {
        let parts: Vec<_> = block.iter().map(|l| split(l)).collect();
        let short = parts.iter().flatten().map(|p| p.0.len()).filter(|&len| len <= WIDTH / 2);
        let column = short.max().unwrap_or(0);
        for (line, part) in block.iter().zip(&parts) {
            match part {
                Some((code, rest)) if !code.is_empty() && code.len() <= column && column + rest.len() + 2 <= WIDTH => {
                    out.push_str(&format!("{code:column$}  {rest}\n"));
                }
                _ => out.push_str(&format!("{line}\n")),
            }
        }
    }
    out
}

/// A blank line before what has a comment of its own above it, and after one-liners follow such a block.
fn separate(out: &mut String, next: &str) {
    let block = |s: &str| s.starts_with("/*") || s.starts_with("typedef struct") && s.contains('{');
    let closes = out.lines().last().is_some_and(|l| l.starts_with('}'));
    if !out.is_empty() && !next.starts_with('}') && (block(next) || closes) {
        out.push('\n');
    }
}

/// One declaration with its comment: behind it where that fits on the line, else above it.
fn declare(doc: &[String], code: &str, raw: &str, indent: &str) -> String {
    // `typedef struct x {` names the tag; elsewhere the typedef is the name.
    let code = if raw.trim().starts_with("typedef struct") { raw.trim().to_string() } else { code.to_string() };
    let lines = wrap_code(&code, indent);
    let last = lines.lines().last().map_or(0, str::len);
    match doc {
        [] => format!("{lines}\n"),
        [one] if last + one.len() + 8 <= WIDTH && !code.ends_with('{') => format!("{lines}  /* {one} */\n"),
        _ => format!("{}{lines}\n", comment(doc, indent)),
    }
}

/// Breaks a long prototype between its parameters.
fn wrap_code(code: &str, indent: &str) -> String {
    let open = code.find('(').map_or(4, |at| at + 1);
    let mut lines = vec![indent.to_string()];
    for word in code.split_inclusive(", ") {
        let line = lines.last_mut().expect("starts with one line");
        if line.len() + word.trim_end().len() > WIDTH && word.len() < WIDTH {
            *line = line.trim_end().to_string();
            lines.push(format!("{indent}{}", " ".repeat(open)));
        }
        lines.last_mut().expect("as above").push_str(word);
    }
    lines.join("\n")
}

/// The comment of Rust's docs as paragraphs of C prose: without the section for Rust callers, code marks and directives.
fn paragraphs(doc: &[String]) -> Vec<String> {
    let mut out = vec![String::new()];
    for line in doc.iter().take_while(|l| !l.starts_with("# Safety")) {
        let line = line.replace('`', "");
        match out.last_mut() {
            _ if line.is_empty() => out.push(String::new()),
            Some(last) if last.is_empty() => *last = line,
            Some(last) => *last = format!("{last} {line}"),
            None => {}
        }
    }
    out.retain(|p| !p.is_empty());
    out
}

/// A comment above a declaration: one line if it fits, else a block with each paragraph on a line of its own.
fn comment(doc: &[String], indent: &str) -> String {
    if let [one] = doc {
        if indent.len() + one.len() + 6 <= WIDTH {
            return format!("{indent}/* {one} */\n");
        }
    }
    let mut lines: Vec<String> = Vec::new();
    for paragraph in doc {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if indent.len() + 4 + line.len() + word.len() > WIDTH - 3 {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    format!("{indent}/* {} */\n", lines.join(&format!("\n{indent} * ")))
}

/// Names the header declares with `ZK_API`.
fn declared(header: &str) -> BTreeSet<String> {
    let names = header.lines().filter(|l| l.starts_with("ZK_API ")).filter_map(|l| {
        let before = l.split_once('(')?.0;
        Some(before.rsplit([' ', '*']).next()?.to_string())
    });
    names.collect()
}

/// Builds the library and compares what it exports with what the header declares.
fn compare_symbols(root: &Path, header: &str) -> Result<Vec<String>, String> {
    let library = crate::install::build(root, false)?.join(crate::install::SHARED);
    let nm = Command::new("nm").args(["-D", "--defined-only", "--format=posix"]).arg(&library).output();
    let nm = nm.map_err(|e| format!("nm: {e}"))?;
    if !nm.status.success() {
        return Err(format!("nm {}: {}", library.display(), String::from_utf8_lossy(&nm.stderr)));
    }
    let listing = String::from_utf8_lossy(&nm.stdout);
    let exported: BTreeSet<String> = listing.lines().filter_map(|l| l.split(' ').next()).map(str::to_string).collect();
    let declared = declared(header);
    let undefined = declared.difference(&exported).map(|n| format!("{HEADER}: {n} is declared but not exported"));
    let hidden = exported.difference(&declared).map(|n| format!("{HEADER}: {n} is exported but not declared"));
    Ok(undefined.chain(hidden).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "\
/*
 * Sends. `[any]`
 *
 * # Safety
 * H1.
 */
ZK_API int zk_send(struct zk_chan *c, const void *elem);
";

    #[test]
    fn short_docs_stand_behind_and_safety_is_for_rust() {
        let (types, functions) = format(MODULE);
        assert_eq!(types, "");
        assert_eq!(functions, "ZK_API int zk_send(zk_chan *c, const void *elem);  /* Sends. [any] */\n");
    }

    #[test]
    fn long_docs_stand_above_and_are_wrapped() {
        let doc = ["word ".repeat(30).trim().to_string(), "Second paragraph.".to_string()];
        let text = comment(&doc, "");
        assert!(text.lines().all(|l| l.len() <= WIDTH), "{text}");
        assert!(text.starts_with("/* word") && text.ends_with("\n * Second paragraph. */\n"), "{text}");
    }

    #[test]
    fn fields_keep_their_indent_and_typedefs_their_tag() {
        let (types, _) = format("typedef struct zk_x {\n  /*\n   * = sizeof(zk_x)\n   */\n  size_t size;\n} zk_x;\n");
        assert_eq!(types, "typedef struct zk_x {\n  size_t size;  /* = sizeof(zk_x) */\n} zk_x;\n");
    }

    #[test]
    fn long_prototypes_break_between_parameters() {
        let code = format!("ZK_API int zk_f({}int last);", "const void *parameter, ".repeat(6));
        let text = wrap_code(&code, "");
        assert!(text.lines().count() > 1 && text.lines().all(|l| l.len() <= WIDTH), "{text}");
        assert!(text.lines().nth(1).is_some_and(|l| l.starts_with("                const")), "{text}");
    }

    #[test]
    fn declared_names_are_found_behind_stars() {
        let header = "ZK_API const char *zk_a(int x);\nZK_API int zk_b(void);\n#define zk_c(x) x\n";
        assert_eq!(declared(header).into_iter().collect::<Vec<_>>(), ["zk_a", "zk_b"]);
    }
}
