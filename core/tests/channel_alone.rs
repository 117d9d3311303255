//! Timers of a plain thread in a process that runs no goroutine. One test per process: the next might start the runtime.

use std::time::{Duration, Instant};

use zokor::channel::{after, select, tick, unbounded, RecvTimeoutError};

#[test]
fn timers_fire_without_workers() {
    let start = Instant::now();
    assert!(after(Duration::from_millis(5)).recv().unwrap() <= Instant::now());
    let ticks = tick(Duration::from_millis(2));
    for _ in 0..3 {
        ticks.recv().unwrap();
    }
    assert!(start.elapsed() >= Duration::from_millis(11));

    let (s, r) = unbounded::<u8>();
    assert_eq!(r.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    assert!(after(Duration::from_secs(60)).recv_timeout(Duration::from_millis(1)).is_err());
    select! {
        recv(r) -> _ => unreachable!(),
        recv(after(Duration::from_millis(5))) -> due => assert!(due.is_ok()),
    }

    // One thread serves the timer of another that waits for something else.
    let waiting = std::thread::spawn(move || r.recv());
    let due = after(Duration::from_millis(5));
    let timed = std::thread::spawn(move || due.recv().is_ok());
    assert!(timed.join().unwrap());
    s.send(1).unwrap();
    assert_eq!(waiting.join().unwrap(), Ok(1));
}
