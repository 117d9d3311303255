//! The backtrace with names, by std.
//!
//! *Where it sits.* Layer 1, behind `report`, in a signal handler whose stack has room for it. Allocates;
//! `report` says what happens when that cannot end well.
//!
//! std walks from here through the frame of the signal into the goroutine, and gives text only. So the text is taken
//! apart: an *entry* is a line that starts with a number, with the lines that follow it (a place in a file, functions
//! inlined there).

use std::backtrace::Backtrace;
use std::fmt::Write;

/// The handler's own function; what called it is the kernel, and then comes the goroutine.
const HANDLER: &str = "on_fault";

/// Shows the backtrace of the code that the running handler interrupted, `shown` entries of either end. False if it
/// has no names.
pub fn show(shown: usize) -> bool {
    let text = Backtrace::force_capture().to_string();
    match condense(&text, shown) {
        Some(said) => crate::sys::write_fd(2, said.as_bytes()).is_ok(),
        None => false,
    }
}

/// The entries beyond the handler's, equal ones in a row once, the middle left out. None if the handler is not to be
/// found, or nothing has a name.
fn condense(text: &str, shown: usize) -> Option<String> {
    let entries = entries(text);
    let handler = entries.iter().rposition(|e| e.contains(HANDLER))?;
    // The one after the handler is the kernel's call.
    let own = entries.get(handler + 2..)?;
    if own.iter().all(|e| e.starts_with("<unknown>")) {
        return None;
    }
    let mut rows: Vec<(usize, &str, usize)> = Vec::new();
    for (i, entry) in own.iter().enumerate() {
        match rows.last_mut() {
            Some((_, last, times)) if last == entry => *times += 1,
            _ => rows.push((i, entry, 1)),
        }
    }
    let mut said = String::new();
    for (i, (number, entry, times)) in rows.iter().enumerate() {
        if i >= shown && i + shown < rows.len() {
            if i == shown {
                let _ = writeln!(said, "       ... {} entries", rows.len() - 2 * shown);
            }
            continue;
        }
        let times = if *times > 1 { format!(", {times} times") } else { String::new() };
        let (first, rest) = entry.split_once('\n').unwrap_or((entry, ""));
        let _ = writeln!(said, "  {number:>3}: {first}{times}");
        if !rest.is_empty() {
            let _ = writeln!(said, "{}", rest.trim_end());
        }
    }
    Some(said)
}

/// Cuts the text into entries, without their numbers.
fn entries(text: &str) -> Vec<&str> {
    let start = |line: &str| {
        let (number, _) = line.split_once(": ")?;
        number.trim_start().parse::<usize>().ok()?;
        Some(number.len() + 2)
    };
    let mut starts: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(skip) = start(line) {
            starts.push((at, at + skip));
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|s| s.0).chain([text.len()]);
    starts.iter().zip(ends).map(|(s, end)| text[s.1..end].trim_end()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "   0: force_capture\n   1: zokor::stack::overflow::on_fault\n             at ./o.rs:1:2\n\
        \x20  2: <unknown>\n   3: leaf\n             at ./a.rs:7:1\n      inlined_into\n   4: deep\n   5: deep\n   6: deep\n\
        \x20  7: a\n   8: b\n   9: c\n";

    #[test]
    fn repeats_are_counted_and_the_handler_left_out() {
        let said = condense(TEXT, 10).unwrap();
        assert_eq!(
            said,
            "    0: leaf\n             at ./a.rs:7:1\n      inlined_into\n    1: deep, 3 times\n    4: a\n    5: b\n    6: c\n"
        );
    }

    #[test]
    fn the_middle_is_left_out() {
        let said = condense(TEXT, 1).unwrap();
        assert!(said.contains("leaf") && said.contains("... 3 entries\n    6: c\n"), "{said}");
        assert!(!said.contains("deep"), "{said}");
    }

    #[test]
    fn without_names_there_is_nothing() {
        assert_eq!(condense("   0: <unknown>\n   1: <unknown>\n", 5), None);
        assert_eq!(condense("   0: on_fault\n   1: <unknown>\n   2: <unknown>\n", 5), None);
        assert_eq!(condense("", 5), None);
    }
}
