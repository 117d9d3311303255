//! Three kinds of "not for ever": one operation, a select, a try.

use std::time::Duration;
use zokor::channel::{bounded, select, RecvTimeoutError, TryRecvError};

fn main() {
    zokor::run(|| {
        let (slow, answers) = bounded(0);
        let (_kept, never) = bounded::<i32>(0);
        zokor::go(move || {
            zokor::sleep(Duration::from_millis(200));
            slow.send(42)
        });
        if answers.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
            println!("recv: timed out");
        }
        select! {
            recv(never) -> _ => println!("select: a value from nowhere"),
            recv(answers) -> answer => println!("select: {}", answer.expect("one is sent")),
            default(Duration::from_secs(10)) => println!("select: timed out"),
        }
        if never.try_recv() == Err(TryRecvError::Empty) {
            println!("try: would block");
        }
    });
}
