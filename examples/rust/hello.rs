//! One goroutine, one channel.

use zokor::channel::bounded;

fn main() {
    zokor::run(|| {
        let (greetings, inbox) = bounded(0);
        zokor::go(move || greetings.send("hello, world"));
        println!("{}", inbox.recv().expect("the goroutine sends once"));
    });
}
