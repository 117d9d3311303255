//! The gdb script, on a program stopped with goroutines parked, and on its core file.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What gdb is pointed at: one goroutine deep in a sleep, and one that stops.
#[test]
#[ignore = "stops itself for a debugger; run by the others"]
fn child_stops() {
    zokor::run(|| {
        zokor::Builder::new().name("dreamer").go(|| fall_asleep(3)).unwrap();
        while !asleep() {
            zokor::yield_now();
        }
        // SAFETY: stops the process, which is the purpose.
        zokor::go(|| unsafe { libc::raise(libc::SIGTRAP) }).join().unwrap();
    });
}

fn asleep() -> bool {
    let mut found = false;
    zokor::raw::each(&mut |g| {
        found |= g.name == "dreamer" && g.state == "waiting";
        true
    });
    found
}

#[inline(never)]
fn fall_asleep(depth: u32) {
    if depth == 0 {
        zokor::sleep(Duration::from_secs(3600));
    } else {
        fall_asleep(depth - 1);
    }
    // Not the last call, so that each depth has a frame.
    std::hint::black_box(depth);
}

/// What gdb says to these commands, about this program or about a core file of it; nothing without gdb.
fn gdb(core: Option<&Path>, commands: &[&str]) -> Option<String> {
    let program = std::env::current_exe().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/gdb/zokor.py");
    let mut gdb = Command::new("gdb");
    gdb.args(["-batch", "-nx", "-q", "-iex", "set debuginfod enabled off", "-x", script]);
    commands.iter().for_each(|c| {
        gdb.args(["-ex", c]);
    });
    // gdb's own core files miss mappings with guard markers in them; the kernel's do not.
    gdb.env("ZK_GUARD", "mprotect");
    match core {
        Some(core) => gdb.arg(program).arg(core),
        None => gdb.arg("--args").arg(program).args(["--exact", "child_stops", "--ignored", "--nocapture"]),
    };
    match gdb.output() {
        Ok(out) => Some(String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            println!("gdb is not installed, nothing was tested");
            None
        }
        Err(e) => panic!("gdb does not start: {e}"),
    }
}

fn check(said: &str) {
    const DREAMER: &str = "\"dreamer\" [waiting: sleep]";
    assert!(said.contains("goroutine 1 \"main\" [waiting: "), "{said}");
    assert!(said.contains(DREAMER), "{said}");
    assert!(!said.contains("corrupt stack") && !said.contains("Backtrace stopped"), "{said}");
    if cfg!(feature = "boost-context") {
        return assert!(said.contains("cannot be unwound"), "{said}");
    }
    // Four frames of the recursion, then the goroutine's start, and nothing beyond.
    let bt = said.split(&format!("{DREAMER}\n")).nth(1).unwrap_or_else(|| panic!("{said}"));
    let bt: Vec<&str> = bt.lines().take_while(|l| l.starts_with('#')).collect();
    assert_eq!(bt.iter().filter(|l| l.contains("fall_asleep")).count(), 4, "{said}");
    assert!(bt.last().is_some_and(|l| l.contains("zokor_context_entry")), "{said}");
}

#[test]
fn gdb_shows_where_goroutines_are_parked() {
    let core = std::env::temp_dir().join(format!("zokor-debugger-{}.core", std::process::id()));
    let dump = format!("generate-core-file {}", core.display());
    let Some(said) = gdb(None, &["run", "zokor goroutines", "zokor bt", "backtrace", &dump, "kill"]) else { return };
    check(&said);
    // The goroutine that stopped, seen as what its thread does: it ends at the same place.
    let last = said.lines().rfind(|l| l.starts_with('#'));
    assert!(last.is_some_and(|l| l.contains("zokor_context_entry")) || cfg!(feature = "boost-context"), "{said}");
    let said = gdb(Some(&core), &["zokor goroutines", "zokor bt"]);
    std::fs::remove_file(&core).unwrap();
    check(&said.unwrap());
}
