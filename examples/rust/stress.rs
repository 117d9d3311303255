//! stress - senders, receivers, selects, deadlines, closes and short-lived goroutines over random channels, for a while.
//!
//!     stress [SECONDS [SEED]]
//!
//! Every value has a number and knows its fate: it must be dropped exactly once, and what a receiver got plus what came
//! back from failed sends plus what was left in closed channels must be what was made. A consumer must see each producer's
//! values in order. Rounds differ by seed; the seed of a failed round is in its message. A round that does not end within
//! half a minute is dumped and ends the program.

use std::process::exit;
use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use zokor::channel::{bounded, select, unbounded, Receiver, Select, Sender, TryRecvError, TrySendError};
use zokor::raw;

/// SplitMix64, a generator in the public domain.
#[derive(Clone)]
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

// ---- values ---------------------------------------------------------------------------

const MADE: u8 = 1;
const DROPPED: u8 = 2;

/// What became of the values of a round.
struct Book {
    seed: u64,
    fate: Vec<AtomicU8>,
    made: AtomicU64,
    received: AtomicU64,
    refused: AtomicU64,
}

struct Value {
    number: u64,
    producer: usize,
    book: Arc<Book>,
}

impl Book {
    fn new(seed: u64, room: usize) -> Arc<Book> {
        let fate = (0..room).map(|_| AtomicU8::new(0)).collect();
        Arc::new(Book { seed, fate, made: 0.into(), received: 0.into(), refused: 0.into() })
    }

    fn value(self: &Arc<Book>, producer: usize) -> Value {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let before = self.fate[number as usize].swap(MADE, Ordering::Relaxed);
        assert_eq!(before, 0, "seed {}: number {number} was given out twice", self.seed);
        Value { number, producer, book: self.clone() }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        let before = self.book.fate[self.number as usize].swap(DROPPED, Ordering::Relaxed);
        assert_eq!(before, MADE, "seed {}: value {} dropped twice", self.book.seed, self.number);
    }
}

// ---- parties ----------------------------------------------------------------------------

/// Sends until its share is used up or the channels are closed; in many ways.
fn produce(me: usize, share: u64, mut rng: Rng, txs: &[Sender<Value>], book: &Arc<Book>) {
    for _ in 0..share {
        let value = book.value(me);
        let tx = &txs[rng.below(txs.len() as u64) as usize];
        let other = &txs[rng.below(txs.len() as u64) as usize];
        let back = match rng.below(6) {
            0 => tx.send(value).err().map(|e| e.into_inner()),
            1 => match tx.try_send(value) {
                Ok(()) => None,
                Err(TrySendError::Full(v)) => tx.send(v).err().map(|e| e.into_inner()),
                Err(TrySendError::Disconnected(v)) => Some(v),
            },
            2 => tx.send_timeout(value, Duration::from_micros(rng.below(300))).err().map(|e| e.into_inner()),
            3 => select! {
                send(tx, value) -> r => r.err().map(|e| e.into_inner()),
                default(Duration::from_micros(rng.below(300))) => {
                    book.refused.fetch_add(1, Ordering::Relaxed); // the select has dropped or kept it: not sent
                    None
                }
            },
            4 => {
                let mut either = Select::new();
                either.send(tx);
                either.send(other);
                let chosen = either.select();
                let tx = if chosen.index() == 0 { tx } else { other };
                chosen.send(tx, value).err().map(|e| e.into_inner())
            }
            _ => {
                // A goroutine of its own for one value.
                let tx = tx.clone();
                zokor::go(move || tx.send(value).err().map(|e| e.into_inner())).join().expect("it does not panic")
            }
        };
        if let Some(v) = back {
            assert_eq!(v.producer, me, "seed {}: somebody else's value came back", book.seed);
            book.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Receives until all channels are closed and drained.
fn consume(mut rng: Rng, rxs: &[Receiver<Value>], book: &Arc<Book>, producers: usize) {
    let mut last = vec![vec![None; producers]; rxs.len()];
    let mut open: Vec<usize> = (0..rxs.len()).collect();
    while !open.is_empty() {
        let at = rng.below(open.len() as u64) as usize;
        let (i, got) = match rng.below(4) {
            0 if open.len() == 1 => (open[at], rxs[open[at]].recv().map_err(|_| true)),
            1 => (open[at], rxs[open[at]].try_recv().map_err(|e| e == TryRecvError::Disconnected)),
            2 => {
                let wait = Duration::from_micros(rng.below(300));
                (open[at], rxs[open[at]].recv_timeout(wait).map_err(|e| e.is_disconnected()))
            }
            _ => {
                let mut any = Select::new();
                open.iter().for_each(|&i| {
                    any.recv(&rxs[i]);
                });
                let chosen = any.select();
                let i = open[chosen.index()];
                (i, chosen.recv(&rxs[i]).map_err(|_| true))
            }
        };
        match got {
            Ok(v) => {
                let before = last[i][v.producer].replace(v.number);
                assert!(before < Some(v.number), "seed {}: {} after {before:?}", book.seed, v.number);
                book.received.fetch_add(1, Ordering::Relaxed);
            }
            Err(true) => open.retain(|&o| o != i),
            Err(false) => {
                if rng.below(2) == 0 {
                    zokor::yield_now();
                }
            }
        }
    }
}

// ---- rounds --------------------------------------------------------------------------------

fn round(seed: u64) -> u64 {
    let mut rng = Rng(seed);
    let channels = 1 + rng.below(4) as usize;
    let (producers, consumers) = (1 + rng.below(8) as usize, 1 + rng.below(6) as usize);
    let share = 1 + rng.below(400);
    let book = Book::new(seed, producers * share as usize);
    let caps: Vec<u64> = (0..channels).map(|_| rng.below(5)).collect();
    let (txs, rxs): (Vec<_>, Vec<_>) =
        caps.iter().map(|&cap| if cap == 4 { unbounded() } else { bounded(cap as usize * cap as usize) }).unzip();
    zokor::workers(1 + rng.below(8) as u32).expect("in range");

    let mut parties = Vec::new();
    let mut threads = Vec::new();
    for p in 0..producers {
        let (txs, book, rng) = (txs.clone(), book.clone(), Rng(rng.next()));
        if p == 7 {
            // A plain thread takes part as well. Until its first call nobody knows that it will come.
            zokor::hold();
            threads.push(std::thread::spawn(move || {
                produce(p, share, rng, &txs, &book);
                zokor::release();
            }));
        } else {
            parties.push(zokor::go(move || produce(p, share, rng, &txs, &book)));
        }
    }
    for _ in 0..consumers {
        let (rxs, book, rng) = (rxs.clone(), book.clone(), Rng(rng.next()));
        parties.push(zokor::go(move || consume(rng, &rxs, &book, producers)));
    }
    if rng.below(3) == 0 {
        // Somebody closes a channel in the middle of it all.
        let tx = txs[rng.below(channels as u64) as usize].clone();
        let wait = Duration::from_micros(rng.below(3000));
        parties.push(zokor::go(move || {
            zokor::sleep(wait);
            tx.close().expect("it is closed once");
        }));
    }
    drop((txs, rxs));
    parties.into_iter().for_each(|h| h.join().expect("a party failed"));
    threads.into_iter().for_each(|t| zokor::blocking(|| t.join().expect("a thread failed")));

    let (made, received) = (book.made.load(Ordering::Relaxed), book.received.load(Ordering::Relaxed));
    let refused = book.refused.load(Ordering::Relaxed);
    assert_eq!(made, received + refused, "seed {seed}: {received} received, {refused} came back");
    let lost = (0..made).filter(|&n| book.fate[n as usize].load(Ordering::Relaxed) != DROPPED).count();
    assert_eq!(lost, 0, "seed {seed}: values are alive with nobody to hold them");
    assert_eq!(Arc::strong_count(&book), 1, "seed {seed}: somebody holds the book");
    made
}

/// Ends the program with a dump if `done` does not change for half a minute.
fn watch(done: Arc<AtomicU64>, first: u64) {
    let mut before = u64::MAX;
    loop {
        let now = done.load(Ordering::Relaxed);
        if now == before {
            println!("stress: seed {} does not end", first.wrapping_add(now));
            let _ = raw::dump(2);
            std::process::abort();
        }
        before = now;
        std::thread::sleep(Duration::from_secs(30));
    }
}

fn main() {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let (seconds, seed) = match (args.next(), args.next(), args.next()) {
        (None, ..) => (10, None),
        (Some(Ok(s)), None, _) => (s, None),
        (Some(Ok(s)), Some(Ok(seed)), None) => (s, Some(seed)),
        _ => {
            println!("usage: stress [SECONDS [SEED]]");
            exit(2)
        }
    };
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let first = seed.unwrap_or_else(|| clock.map_or(1, |d| d.as_nanos() as u64));
    println!("stress: {seconds} s, first seed {first}");
    let start = Instant::now();
    let rounds = Arc::new(AtomicU64::new(0));
    std::thread::spawn({
        let rounds = rounds.clone();
        move || watch(rounds, first)
    });
    let values = zokor::run(|| {
        let mut values = 0;
        loop {
            values += round(first.wrapping_add(rounds.load(Ordering::Relaxed)));
            rounds.fetch_add(1, Ordering::Relaxed);
            if start.elapsed() >= Duration::from_secs(seconds) {
                return values;
            }
        }
    });
    println!(
        "stress: {} rounds, {values} values, each of them received or given back once",
        rounds.load(Ordering::Relaxed)
    );
}
