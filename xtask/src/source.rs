//! Rust source as lines of code and lines of comment, without a parser.
//!
//! A small scanner walks the text once and splits every line into what the compiler sees (`code`, with the insides of
//! strings blanked) and what only people see (`comment`). The checks in `lint` and `layers` work on these
//! lines, so that a word in a string or a comment never counts as code.

use std::path::{Path, PathBuf};

/// One line of a source file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Line {
    /// Code, string contents and comments replaced by blanks.
    pub code: String,
    /// The text of comments on this line, doc comments included.
    pub comment: String,
}

/// A source file, its path relative to the root of the tree.
#[derive(Debug)]
pub struct File {
    /// Path relative to the root, with `/` between the parts.
    pub path: String,
    /// All lines, in order.
    pub lines: Vec<Line>,
    /// Index of the first line of the unit tests at the end of the file; `lines.len()` without tests.
    pub tests_at: usize,
}

impl File {
    /// Splits `text` into lines of code and comment.
    pub fn parse(path: &str, text: &str) -> File {
        let lines = split(text);
        let tests_at = lines
            .iter()
            .position(|l| l.code.trim_start().starts_with("#[cfg(test)]") || l.code.contains("#[cfg(all(test"))
            .filter(|&at| {
                lines[at..].iter().take(4).any(|l| l.code.trim_start().starts_with("mod ") && l.code.contains('{'))
            })
            .unwrap_or(lines.len());
        File { path: path.to_string(), lines, tests_at }
    }

    /// Whether the whole file is unit tests, compiled into no release.
    pub fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name == "tests.rs" || name.ends_with("_tests.rs") || self.path.contains("/tests/")
    }

    /// The lines before the unit tests.
    pub fn body(&self) -> &[Line] {
        &self.lines[..self.tests_at]
    }
}

/// Reads every `.rs` file below the given directories of the tree, sorted by path.
pub fn read(root: &Path, dirs: &[&str]) -> std::io::Result<Vec<File>> {
    let mut paths = Vec::new();
    for dir in dirs {
        collect(&root.join(dir), &mut paths)?;
    }
    paths.sort();
    paths.iter().map(|p| Ok(File::parse(&relative(root, p), &std::fs::read_to_string(p)?))).collect()
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

fn collect(dir: &Path, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    Ok(())
}

/// Where the scanner stands.
enum State {
    Code,
    LineComment,
    BlockComment { depth: u32 },
    Str,
    RawStr { hashes: usize },
}

fn split(text: &str) -> Vec<Line> {
    let chars: Vec<char> = text.chars().collect();
    let (mut lines, mut line, mut state) = (Vec::new(), Line::default(), State::Code);
    let mut i = 0;
    while i < chars.len() {
        if chars[i] == '\n' {
            lines.push(std::mem::take(&mut line));
            if matches!(state, State::LineComment) {
                state = State::Code;
            }
            i += 1;
            continue;
        }
        i += step(&chars[i..], &mut state, &mut line);
    }
    if !line.code.is_empty() || !line.comment.is_empty() {
        lines.push(line);
    }
    lines
}

/// Consumes at least one character of `rest`, appends it to the right half of `line`, and says how many it took.
fn step(rest: &[char], state: &mut State, line: &mut Line) -> usize {
    let pair = |a, b| rest[0] == a && rest.get(1) == Some(&b);
    match state {
        State::Code => step_code(rest, state, line),
        State::LineComment => {
            line.comment.push(rest[0]);
            1
        }
        State::BlockComment { depth } => {
            let opens = pair('/', '*');
            if !opens && !pair('*', '/') {
                line.comment.push(rest[0]);
                return 1;
            }
            *depth = if opens { *depth + 1 } else { *depth - 1 };
            if *depth == 0 {
                *state = State::Code;
            }
            2
        }
        State::Str => match rest[0] {
            '\\' if rest.get(1) == Some(&'\n') => 1,
            '\\' => 2.min(rest.len()),
            c => {
                if c == '"' {
                    line.code.push('"');
                    *state = State::Code;
                }
                1
            }
        },
        State::RawStr { hashes } => {
            let n = *hashes;
            if rest[0] == '"' && rest.len() > n && rest[1..=n].iter().all(|&c| c == '#') {
                line.code.push('"');
                *state = State::Code;
                return 1 + n;
            }
            1
        }
    }
}

fn step_code(rest: &[char], state: &mut State, line: &mut Line) -> usize {
    let c = rest[0];
    match c {
        '/' if rest.get(1) == Some(&'/') => {
            *state = State::LineComment;
            2
        }
        '/' if rest.get(1) == Some(&'*') => {
            *state = State::BlockComment { depth: 1 };
            2
        }
        '"' => {
            line.code.push('"');
            *state = State::Str;
            1
        }
        'r' if !ends_in_word(&line.code) || line.code.ends_with('b') || line.code.ends_with('c') => {
            let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
            line.code.push('r');
            if rest.get(1 + hashes) == Some(&'"') {
                line.code.push('"');
                *state = State::RawStr { hashes };
                return 2 + hashes;
            }
            1
        }
        '\'' => char_literal(rest, line),
        _ => {
            line.code.push(c);
            1
        }
    }
}

/// A quote opens a character literal or a lifetime; only the literal may hide a brace or a quote.
fn char_literal(rest: &[char], line: &mut Line) -> usize {
    line.code.push('\'');
    if rest.get(1) == Some(&'\\') {
        let end = rest.iter().skip(3).position(|&c| c == '\'').map_or(rest.len(), |p| p + 4);
        return end;
    }
    if rest.get(2) == Some(&'\'') {
        return 3;
    }
    1
}

fn ends_in_word(code: &str) -> bool {
    code.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        split(text).into_iter().map(|l| l.code.trim_end().to_string()).collect()
    }

    #[test]
    fn comments_are_taken_out_of_code() {
        let lines = split("let a = 1; // unsafe {\n/* x { /* y */ z */ b();\n");
        assert_eq!(lines[0].code.trim_end(), "let a = 1;");
        assert_eq!(lines[0].comment, " unsafe {");
        assert_eq!(lines[1].code.trim(), "b();");
        assert!(lines[1].comment.contains("y"));
    }

    #[test]
    fn strings_are_blanked() {
        assert_eq!(code("p(\"{ // \\\" }\");"), ["p(\"\");"]);
        assert_eq!(code("p(r#\"a \" { b\"#, c);"), ["p(r\"\", c);"]);
        assert_eq!(code("p(\"a {\n } b\"); q"), ["p(\"", "\"); q"]);
    }

    #[test]
    fn a_string_may_go_on_after_an_escaped_newline() {
        assert_eq!(code("p(\"a \\\n  b\"); q"), ["p(\"", "\"); q"]);
    }

    #[test]
    fn quotes_are_literals_or_lifetimes() {
        assert_eq!(code("m('{', '\\'', '\\u{7d}', x);"), ["m(', ', ', x);"]);
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), ["fn f<'a>(x: &'a str) {}"]);
    }

    #[test]
    fn identifiers_that_end_in_r_open_no_raw_string() {
        assert_eq!(code("for x in var\"\" {}"), ["for x in var\"\" {}"]);
    }

    #[test]
    fn unit_tests_are_not_body() {
        let f = File::parse("a.rs", "//! A.\nfn a() {}\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(f.body().len(), 2);
        let f = File::parse("a.rs", "//! A.\n#[cfg(test)]\nmod tests;\nfn a() {}\n");
        assert_eq!(f.body().len(), 4);
        assert!(File::parse("core/src/a/tests.rs", "").is_test());
        assert!(File::parse("core/src/a_tests.rs", "").is_test());
        assert!(!f.is_test());
    }
}
