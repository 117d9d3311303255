//! Fibonacci numbers over a channel, until a second channel says quit.

use zokor::channel::{bounded, select, Receiver, Sender};

fn fibonacci(c: Sender<u64>, quit: Receiver<()>) {
    let (mut x, mut y) = (0, 1);
    loop {
        select! {
            send(c, x) -> sent => if sent.is_ok() { (x, y) = (y, x + y) },
            recv(quit) -> _ => break println!("quit"),
        }
    }
}

fn main() {
    zokor::run(|| {
        let (send, numbers) = bounded(0);
        let (stop, quit) = bounded(0);
        zokor::go(move || {
            numbers.iter().take(10).for_each(|n| println!("{n}"));
            drop(stop); // the last sender is gone: quit is closed
        });
        fibonacci(send, quit);
    });
}
