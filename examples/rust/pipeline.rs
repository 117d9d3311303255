//! Stages that are joined by channels: numbers, their squares, the squares of those, the sum.

use zokor::channel::{bounded, Receiver};

fn source(numbers: std::ops::Range<u64>) -> Receiver<u64> {
    let (out, next) = bounded(0);
    zokor::go(move || numbers.into_iter().try_for_each(|n| out.send(n)));
    next
}

fn square(input: Receiver<u64>) -> Receiver<u64> {
    let (out, next) = bounded(0);
    zokor::go(move || input.into_iter().try_for_each(|n| out.send(n * n)));
    next
}

fn main() {
    let sum: u64 = zokor::run(|| square(square(source(0..10))).iter().sum());
    println!("{sum}");
}
