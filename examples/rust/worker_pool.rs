//! Three workers, five jobs.

use std::time::Duration;
use zokor::channel::bounded;

fn main() {
    let mut results: Vec<i32> = zokor::run(|| {
        let (jobs, todo) = bounded(100);
        let (done, results) = bounded(100);
        for _ in 0..3 {
            let (todo, done) = (todo.clone(), done.clone());
            zokor::go(move || {
                for job in todo {
                    zokor::sleep(Duration::from_millis(10));
                    done.send(job * 2).expect("main still receives");
                }
            });
        }
        drop(done);
        for job in 1..=5 {
            jobs.send(job).expect("the workers are there");
        }
        drop(jobs); // no more: each worker ends, and with the last one the results
        results.iter().collect()
    });
    results.sort_unstable();
    for r in results {
        println!("result {r}");
    }
}
