//! wordcount - counts the words in all files below some directories.
//!
//!     wordcount [--deadline SECONDS] [--readers N] [--top N] [PATH...]
//!
//! One goroutine walks the trees and sends file names. A bounded pool of readers counts
//! one file at a time and sends a tally for it. Main adds the tallies up:
//!
//!     walker --paths--> reader x N --tallies--> main
//!
//! A word is a maximal run of ASCII letters, in lower case. Every file that is found ends
//! up in exactly one line of the summary: read, unreadable, or unfinished when the deadline
//! came first. Symbolic links below a root and special files are skipped and counted.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::time::{Duration, Instant};

use zokor::channel::{bounded, Receiver, Sender};

const CHUNK: usize = 256 * 1024;
const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);
const ROOTS: [&str; 2] = ["/usr/share/common-licenses", "/usr/share/doc"];
const USAGE: &str = "usage: wordcount [--deadline SECONDS] [--readers N] [--top N] [PATH...]\n";

struct Options {
    deadline: Option<f64>,
    readers: usize,
    top: usize,
    roots: Vec<PathBuf>,
}

// ---- what travels through the channels -------------------------------------------

type Words = HashMap<Box<[u8]>, u64>;

#[derive(Default)]
struct Tally {
    words: Words,
    files: u64,
    bytes: u64,
    unreadable: u64,
    unfinished: u64,
    skipped: u64,
    /// The walk ended before its end.
    stopped: bool,
}

impl Tally {
    fn add(&mut self, t: Tally) {
        for (word, count) in t.words {
            *self.words.entry(word).or_default() += count;
        }
        self.files += t.files;
        self.bytes += t.bytes;
        self.unreadable += t.unreadable;
        self.unfinished += t.unfinished;
        self.skipped += t.skipped;
        self.stopped |= t.stopped || t.unfinished > 0;
    }

    fn unreadable(path: &Path, e: &io::Error) -> Tally {
        report(path, e);
        Tally { unreadable: 1, ..Tally::default() }
    }

    fn unfinished() -> Tally {
        Tally { unfinished: 1, ..Tally::default() }
    }

    fn skipped() -> Tally {
        Tally { skipped: 1, ..Tally::default() }
    }
}

fn report(path: &Path, e: &io::Error) {
    let mut line = b"wordcount: ".to_vec();
    for &b in path.as_os_str().as_bytes() {
        match b {
            0..=31 | 127 | b'\\' => line.extend_from_slice(format!("\\x{b:02x}").as_bytes()),
            _ => line.push(b),
        }
    }
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    line.extend_from_slice(format!(": {text}\n").as_bytes());
    let _ = io::stderr().write_all(&line); // nobody is left to tell
}

// ---- counting one file --------------------------------------------------------------

/// Counts words that arrive in pieces: a word may go on in the next chunk.
#[derive(Default)]
struct Counter {
    words: Words,
    held: Vec<u8>,
}

impl Counter {
    fn add(words: &mut Words, word: &[u8]) {
        match words.get_mut(word) {
            Some(count) => *count += 1,
            None => drop(words.insert(word.into(), 1)),
        }
    }

    fn feed(&mut self, chunk: &mut [u8]) {
        chunk.make_ascii_lowercase();
        let mut pieces = chunk.split(|b| !b.is_ascii_lowercase());
        let mut piece = pieces.next().unwrap_or_default();
        for next in pieces {
            self.held.extend_from_slice(piece);
            self.end_word();
            piece = next;
        }
        self.held.extend_from_slice(piece);
    }

    fn end_word(&mut self) {
        if !self.held.is_empty() {
            Counter::add(&mut self.words, &self.held);
            self.held.clear();
        }
    }
}

/// A FIFO that took the place of a file must not block us, hence the flag.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::from_raw_os_error(libc::EINVAL)),
    }
}

/// `None` when the deadline came first. A local read is short; should one not be, the
/// worker's place goes to another thread meanwhile.
fn count(path: &Path, deadline: Instant) -> io::Result<Option<Tally>> {
    let mut file = open(path)?;
    let mut chunk = vec![0; CHUNK];
    let mut counter = Counter::default();
    let mut bytes = 0;
    while Instant::now() < deadline {
        match file.read(&mut chunk) {
            Ok(0) => {
                counter.end_word();
                let words = counter.words;
                return Ok(Some(Tally { words, files: 1, bytes, ..Tally::default() }));
            }
            Ok(n) => {
                counter.feed(&mut chunk[..n]);
                bytes += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

fn read_files(paths: &Receiver<PathBuf>, tallies: &Sender<Tally>, deadline: Instant) {
    for path in paths {
        let tally = match count(&path, deadline) {
            Ok(Some(tally)) => tally,
            Ok(None) => Tally::unfinished(),
            Err(e) => Tally::unreadable(&path, &e),
        };
        deliver(tallies, tally);
    }
}

/// Main drains the channel until its end, so no tally is lost and this cannot fail.
fn deliver(tallies: &Sender<Tally>, tally: Tally) {
    tallies.send(tally).expect("main receives until every sender is gone");
}

// ---- walking ---------------------------------------------------------------------------

struct Walker {
    paths: Sender<PathBuf>,
    tallies: Sender<Tally>,
    deadline: Instant,
    dirs: Vec<PathBuf>,
}

/// The deadline has passed.
struct Late;

impl Walker {
    fn in_time(&self) -> Result<(), Late> {
        if Instant::now() < self.deadline {
            Ok(())
        } else {
            Err(Late)
        }
    }

    fn visit(&mut self, path: PathBuf, kind: io::Result<FileType>) -> Result<(), Late> {
        match kind {
            Ok(kind) if kind.is_dir() => self.dirs.push(path),
            Ok(kind) if kind.is_file() => {
                if self.paths.send_deadline(path, self.deadline).is_err() {
                    deliver(&self.tallies, Tally::unfinished());
                    return Err(Late);
                }
            }
            Ok(_) => deliver(&self.tallies, Tally::skipped()),
            Err(e) => deliver(&self.tallies, Tally::unreadable(&path, &e)),
        }
        Ok(())
    }

    fn walk_dir(&mut self, path: &Path) -> Result<(), Late> {
        self.in_time()?;
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(e) => {
                deliver(&self.tallies, Tally::unreadable(path, &e));
                return Ok(());
            }
        };
        for entry in entries {
            match entry {
                Ok(entry) => self.visit(entry.path(), entry.file_type())?,
                Err(e) => deliver(&self.tallies, Tally::unreadable(path, &e)),
            }
        }
        Ok(())
    }

    fn walk(&mut self, roots: Vec<PathBuf>) -> Result<(), Late> {
        for root in roots {
            self.in_time()?;
            let kind = fs::metadata(&root).map(|m| m.file_type());
            self.visit(root, kind)?;
            while let Some(dir) = self.dirs.pop() {
                self.walk_dir(&dir)?;
            }
        }
        Ok(())
    }
}

// ---- main ---------------------------------------------------------------------------------

fn print_summary(total: &Tally, top: usize, seconds: f64) -> io::Result<()> {
    let mut words: Vec<(&[u8], u64)> = total.words.iter().map(|(w, &n)| (&**w, n)).collect();
    words.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let mut out = io::BufWriter::new(io::stdout().lock());
    let shown = if top == 0 { words.len() } else { top };
    for (word, count) in words.iter().take(shown) {
        writeln!(out, "{count:7} {}", String::from_utf8_lossy(word))?;
    }
    writeln!(out, "files      {}", total.files)?;
    writeln!(out, "bytes      {}", total.bytes)?;
    writeln!(out, "words      {}", words.iter().map(|w| w.1).sum::<u64>())?;
    writeln!(out, "distinct   {}", words.len())?;
    writeln!(out, "unreadable {}", total.unreadable)?;
    writeln!(out, "unfinished {}", total.unfinished)?;
    writeln!(out, "skipped    {}", total.skipped)?;
    writeln!(out, "seconds    {seconds:.3}")?;
    out.flush()
}

fn count_words(options: Options) -> i32 {
    let start = Instant::now();
    let limit = options.deadline.map_or(FOR_EVER, Duration::from_secs_f64);
    let deadline = start + limit;
    let (paths, to_read) = bounded(256);
    let (tallies, results) = bounded(64);

    let mut walker = Walker { paths, tallies: tallies.clone(), deadline, dirs: Vec::new() };
    zokor::go(move || {
        if walker.walk(options.roots).is_err() {
            deliver(&walker.tallies, Tally { stopped: true, ..Tally::default() });
        }
    });
    for _ in 0..options.readers {
        let (to_read, tallies) = (to_read.clone(), tallies.clone());
        zokor::go(move || read_files(&to_read, &tallies, deadline));
    }
    drop(tallies); // the results end when the last goroutine drops its sender
    let mut total = Tally::default();
    for tally in results {
        total.add(tally);
    }

    if let Err(e) = print_summary(&total, options.top, start.elapsed().as_secs_f64()) {
        report(Path::new("stdout"), &e);
        return 2;
    }
    if total.stopped {
        let _ = io::stderr().write_all(b"wordcount: stopped by the deadline, the counts are partial\n");
        return 3;
    }
    i32::from(total.unreadable > 0)
}

fn usage(problem: &str) -> ! {
    let _ = write!(io::stderr(), "{problem}{USAGE}");
    exit(2)
}

fn number(text: Option<OsString>, least: f64, most: f64) -> f64 {
    let text = text.unwrap_or_default().into_string().unwrap_or_default();
    match text.parse::<f64>() {
        Ok(v) if v >= least && v <= most => v,
        _ => usage(&format!("wordcount: not a valid number: {text}\n")),
    }
}

fn parse() -> Options {
    let mut options = Options { deadline: None, readers: 16, top: 20, roots: Vec::new() };
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--deadline") => options.deadline = Some(number(args.next(), 0.0, 1e9)),
            Some("--readers") => options.readers = number(args.next(), 1.0, 1e6) as usize,
            Some("--top") => options.top = number(args.next(), 0.0, 1e15) as usize,
            Some("--help") => {
                print!("{USAGE}");
                exit(0)
            }
            Some("--") => options.roots.extend(args.by_ref().map(PathBuf::from)),
            Some(name) if name.starts_with("--") => usage(&format!("wordcount: unrecognized option '{name}'\n")),
            _ => options.roots.push(PathBuf::from(arg)),
        }
    }
    if options.roots.is_empty() {
        options.roots = ROOTS.iter().map(PathBuf::from).collect();
    }
    options
}

fn main() {
    let options = parse();
    exit(zokor::run(move || count_words(options)));
}
