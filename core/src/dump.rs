//! What goes to standard error, and the list of goroutines.
//!
//! *Where it sits*: layer 5, the only file that writes for people. Called when something fatal is found, and by
//! `zk_dump` and its kin.

use crate::cell::Ordering;
use crate::errno::Errno;
use crate::goroutine::{arena, State, G};
use crate::sched::{self, timers, worker};
use crate::{runtime, sys};
use frames::{Taker, Trace};
use names::Names;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};

mod frames;
mod names;
mod unwind;

/// One goroutine, as it looked for a moment.
#[derive(Clone, Debug)]
pub struct GoInfo {
    /// Its number.
    pub id: u64,
    /// Its name; empty if it has none.
    pub name: String,
    /// "running", "runnable", "waiting" or "blocked in call".
    pub state: &'static str,
    /// What it waits for, see `Reason`; empty unless it waits.
    pub wait_on: &'static str,
    /// Name of the object it waits for; empty if unknown.
    pub wait_obj_name: String,
    /// Since when, in monotonic nanoseconds, to about 10 ms.
    pub since: i64,
    /// Size of its stack in bytes, the guard included; 0 before its first run.
    pub stack_size: usize,
    /// Bytes of it that occupy memory.
    pub stack_used: usize,
    /// Number of the goroutine that started it; 0: a plain thread.
    pub parent: u64,
    /// Where it was created, if that is known.
    pub site: Option<String>,
    /// Its labels, as dumps show them: `{key: value}`; empty if it has none.
    pub labels: String,
}

fn state_text(s: State) -> &'static str {
    match s {
        State::Running => "running",
        State::Runnable => "runnable",
        State::Blocked => "blocked in call",
        _ => "waiting",
    }
}

fn info(g: &G, with_stack: bool) -> Option<GoInfo> {
    let id = g.id.load(Ordering::Relaxed);
    let state = g.state();
    if id == 0 || matches!(state, State::Free | State::Dead) {
        return None;
    }
    let waits = state == State::Waiting;
    let stack = g.stack.get();
    Some(GoInfo {
        id,
        name: g.name(),
        state: state_text(state),
        wait_on: if waits { g.reason().text() } else { "" },
        wait_obj_name: if waits { g.wait_name() } else { String::new() },
        since: g.since.load(Ordering::Relaxed),
        stack_size: stack.size(),
        stack_used: if with_stack { stack.used() } else { 0 },
        parent: g.parent.load(Ordering::Relaxed),
        site: g.site.get().map(|l| format!("{}:{}", l.file(), l.line())),
        labels: g.labels().map_or_else(String::new, |l| l.to_string()),
    })
}

/// Shows every goroutine; `visit` returns false to stop. What it sees is a snapshot of each, not of all at once.
pub fn each(visit: &mut dyn FnMut(&GoInfo) -> bool) {
    let Some(_look) = runtime::look() else { return };
    arena::for_each(|g| info(g, true).is_none_or(|i| visit(&i)));
    crate::sanitize::looks_at_all();
}

/// The same without asking the system how much of each stack is in use: `stack_used` is 0.
pub fn each_brief(visit: &mut dyn FnMut(&GoInfo) -> bool) {
    let Some(_look) = runtime::look() else { return };
    arena::for_each(|g| info(g, false).is_none_or(|i| visit(&i)));
    crate::sanitize::looks_at_all();
}

/// What the running goroutine waited for last; empty for a plain thread.
pub fn last_wait() -> &'static str {
    // SAFETY: the running goroutine's header is valid.
    unsafe { sched::running().as_ref() }.map_or("", |g| g.reason().text())
}

/// Writes every goroutine to a descriptor.
pub fn dump(fd: i32) -> std::io::Result<()> {
    let text = list();
    sys::write_fd(fd, if text.is_empty() { b"no goroutines\n" } else { text.as_bytes() })
}

/// Goroutines whose frames are shown, the first by number; of all others there is the header only.
const TRACED: usize = 1000;
/// Frames that are taken in all; when there are so many the rest of the goroutines are left without.
const FRAMES: usize = 1 << 18;

/// The goroutine that asks, and its frames.
type Caller = Option<(u64, Vec<usize>)>;

/// The list of all goroutines, main first, with their frames.
///
/// A thread of its own writes it: finding names takes more stack than a goroutine may have. If there is no such thread to be had, the
/// list comes without frames.
pub fn list() -> String {
    if runtime::look().is_none() {
        return String::new();
    }
    // SAFETY: the running goroutine's header is valid.
    let me = unsafe { sched::running().as_ref() }.map(|g| g.id.load(Ordering::Relaxed));
    let caller: Caller = me.map(|id| (id, frames::of_caller()));
    let text = Arc::new(OnceLock::new());
    let written = text.clone();
    let body = Box::new(move || drop(written.set(write_list(Some(caller)))));
    let joined = sys::spawn_thread("zokor-dump", 0, body).map(|t| t.join());
    match (joined, text.get()) {
        (Ok(Ok(())), Some(text)) => text.clone(),
        _ => write_list(None),
    }
}

/// A goroutine to be shown.
struct Shown {
    info: GoInfo,
    header: *const G,
    trace: Option<Trace>,
}

/// Writes the list; with frames if there is somebody who asks for them, which may be nobody's goroutine.
fn write_list(caller: Option<Caller>) -> String {
    let Some(look) = runtime::look() else { return String::new() };
    let mut all = Vec::new();
    arena::for_each(|g| {
        all.extend(info(g, false).map(|info| Shown { info, header: g, trace: None }));
        true
    });
    all.sort_by_key(|s| s.info.id);
    let without = caller.map_or(0, |c| take_frames(&mut all, &c));
    // Names are looked up when nobody has to wait for us any more: that may take long.
    drop(look);
    let now = timers::now();
    let mut names = Names::new();
    let mut s = String::new();
    for i in &all {
        header(&mut s, &i.info, now);
        if let Some(trace) = &i.trace {
            names.write(&mut s, trace);
        }
        origin(&mut s, &i.info);
    }
    if without > 0 {
        let _ = writeln!(s, "...frames of {without} more goroutines left out...\n");
    }
    s
}

/// Takes the frames of the first goroutines, and of the one that asks; says how many are left without.
fn take_frames(all: &mut [Shown], caller: &Caller) -> usize {
    let mut taker = Taker::default();
    let (mut taken, mut without) = (0, 0);
    for (i, shown) in all.iter_mut().enumerate() {
        // SAFETY: headers stay mapped while the caller looks (W1).
        let (g, id) = (unsafe { &*shown.header }, shown.info.id);
        let trace = match caller {
            Some((me, addresses)) if *me == id => frames::caller(addresses),
            _ if i >= TRACED || taken >= FRAMES => {
                without += 1;
                continue;
            }
            _ => taker.parked(g, id),
        };
        if let Trace::Walked(f) = &trace {
            taken += f.frames.len();
        }
        shown.trace = Some(trace);
    }
    without
}

fn entry(s: &mut String, i: &GoInfo, now: i64) {
    header(s, i, now);
    origin(s, i);
}

fn header(s: &mut String, i: &GoInfo, now: i64) {
    let what = if i.wait_on.is_empty() { i.state } else { i.wait_on };
    let _ = write!(s, "goroutine {} [{what}", i.id);
    let minutes = now.saturating_sub(i.since) / 60_000_000_000;
    if !i.wait_on.is_empty() && minutes > 0 {
        let _ = write!(s, ", {minutes} minutes");
    }
    if !i.wait_obj_name.is_empty() {
        let _ = write!(s, " on \"{}\"", i.wait_obj_name);
    }
    let _ = writeln!(s, "]{}{}:", if i.labels.is_empty() { "" } else { " " }, i.labels);
    if !i.name.is_empty() {
        let _ = writeln!(s, "\tname \"{}\"", i.name);
    }
    if !i.wait_on.is_empty() {
        let _ = writeln!(s, "\tfor {:.3} s", now.saturating_sub(i.since) as f64 / 1e9);
    }
}

/// Where a goroutine comes from, which ends its entry.
fn origin(s: &mut String, i: &GoInfo) {
    match (&i.site, i.parent) {
        (Some(at), 0) => writeln!(s, "\tcreated at {at}"),
        (Some(at), p) => writeln!(s, "\tcreated at {at} in goroutine {p}"),
        (None, 0) => Ok(()),
        (None, p) => writeln!(s, "\tcreated in goroutine {p}"),
    }
    .unwrap_or(());
    s.push('\n');
}

fn say(text: &str) {
    // Nobody is left to tell if standard error is gone.
    let _ = sys::write_fd(2, text.as_bytes());
}

/// A remark for the operator.
pub fn notice(text: &str) {
    say(&format!("zokor: {text}\n"));
}

/// Rule D-01: what everybody waits for. Rule P-12: nobody is left, since main has gone by `goexit`.
pub fn deadlock() {
    let all = list();
    let what = if all.is_empty() { "no goroutines (main called goexit)" } else { "all goroutines are asleep" };
    say(&format!("fatal error: {what} - deadlock!\n\n{all}"));
}

/// Rule P-01: an uncaught panic, the goroutine and where it was created.
pub fn panic(g: &G, msg: &str) {
    let mut s = format!("panic: {msg}\n\n");
    if let Some(i) = info(g, false) {
        entry(&mut s, &i, timers::now());
    }
    say(&s);
}

/// Rule P-08: a panic while another one is reported. There is nothing to go on with.
pub fn panic_again(g: &G, msg: &str) -> ! {
    say(&format!("panic while printing panic value: {msg}\n\ngoroutine {}\n", g.id.load(Ordering::Relaxed)));
    std::process::abort()
}

/// A panic on a plain thread, where there is nothing to end but the process.
pub fn panic_outside(msg: &str) -> ! {
    say(&format!("panic: {msg}\n\noutside a goroutine\n"));
    std::process::abort()
}

/// Nothing sensible can be done any more.
pub fn fatal_errno(what: &str, e: Errno) -> ! {
    say(&format!("fatal error: {what}: {e}\n"));
    std::process::abort()
}

/// A goroutine that is found beyond the end of its stack, where no guard stopped it.
pub fn overflow(s: crate::stack::Stack) -> ! {
    say("fatal error: ");
    describe_stack(s.base(), &mut |part| {
        let _ = sys::write_fd(2, part);
    });
    say(&format!(" overflowed its stack ({} KiB)\n", s.size() / 1024));
    std::process::abort()
}

/// Names the goroutine whose stack overflowed. In a signal handler: the goroutine is the one that runs on this
/// thread, and nobody changes its name meanwhile.
pub fn describe_stack(base: usize, out: &mut dyn FnMut(&[u8])) {
    let Some(w) = worker::current() else { return out(b"a goroutine") };
    let g = w.current.get();
    // SAFETY: the running goroutine's header is valid, and its attributes are its own.
    unsafe {
        if g.is_null() || (*g).stack.get().base() != base {
            return out(b"a goroutine");
        }
        let mut digits = [0u8; 20];
        out(b"goroutine ");
        out(decimal((*g).id.load(Ordering::Relaxed), &mut digits));
        let ext = (*g).ext.load(Ordering::Relaxed);
        if let Some(name) = ext.as_ref().and_then(|e| e.name.as_deref()) {
            out(b" (\"");
            out(name.as_bytes());
            out(b"\")");
        }
    }
}

fn decimal(mut n: u64, buf: &mut [u8; 20]) -> &[u8] {
    let mut i = buf.len();
    loop {
        i -= 1;
        buf[i] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return &buf[i..];
        }
    }
}

/// Counters of the runtime. See `zk_stats` in `zokor.h`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Goroutines alive.
    pub goroutines: u64,
    /// Of them ready to run or running.
    pub runnable: u64,
    /// Of them parked, or in a blocking section.
    pub blocked: u64,
    /// Started so far.
    pub created: u64,
    /// Permitted to run at once.
    pub workers: u64,
    /// Helper threads.
    pub blocking_threads: u64,
    /// Switches into a goroutine.
    pub switches: u64,
    /// Thefts from another worker's queue.
    pub steals: u64,
    /// Goroutines parked, in all.
    pub parks: u64,
    /// Armed timers.
    pub timers: u64,
    /// File descriptors waited for.
    pub fds: u64,
    /// Address space of stacks in use, in bytes.
    pub stack_bytes: u64,
}

/// The counters now; they need not agree with each other to the last goroutine.
pub fn stats() -> Stats {
    let Some(_look) = runtime::look() else { return Stats::default() };
    let mut s = Stats {
        created: sched::FOREIGN_CREATED.load(Ordering::Relaxed),
        workers: sched::idle::limit() as u64,
        blocking_threads: sched::blocking::threads() as u64,
        timers: timers::armed() as u64,
        stack_bytes: crate::stack::stats().in_use as u64,
        goroutines: sched::live(),
        switches: sched::table::switches(),
        ..Stats::default()
    };
    sched::table::any(|w| {
        s.created += w.stats.created.load(Ordering::Relaxed);
        s.steals += w.stats.steals.load(Ordering::Relaxed);
        s.parks += w.stats.parks.load(Ordering::Relaxed);
        false
    });
    arena::for_each(|g| {
        if g.id.load(Ordering::Relaxed) != 0 {
            match g.state() {
                State::Running | State::Runnable => s.runnable += 1,
                State::Waiting | State::Blocked => s.blocked += 1,
                State::Free | State::Dead => {}
            }
        }
        true
    });
    s
}

/// What goroutines and their users hold, for tests that want to see everything given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Stacks that are with goroutines.
    pub stacks: usize,
    /// Channels, those of timers included.
    pub channels: usize,
}

/// The numbers, exact when all is quiet; `None` in builds without debug assertions, which do not keep them.
pub fn held() -> Option<Held> {
    Some(Held { stacks: crate::stack::held()?, channels: crate::chan::count::live()? })
}
