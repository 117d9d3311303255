//! Channel operations of goroutines that are bound to a context: they end with it, and nothing has happened.

mod ground;

use std::time::{Duration, Instant};

use ground::*;
use zokor::channel::{bounded, never, select, RecvError, Select, SendError};
use zokor::context::{self, Context};
use zokor::{Builder, JoinHandle};

fn on_workers(body: impl Fn()) {
    everywhere(|ground| {
        if ground == Ground::Goroutines {
            body();
        }
    });
}

fn go_bound<T: Send + 'static>(ctx: &Context, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().context(ctx).go(f).unwrap()
}

#[test]
fn plain_operations_end() {
    on_workers(|| {
        let (ctx, cancel) = context::with_cancel(&Context::background());
        let (s, r) = bounded(0);
        let sending = go_bound(&ctx, {
            let s = s.clone();
            move || s.send(1)
        });
        until_sender_waits(&r);
        cancel.cancel();
        assert_eq!(sending.join().unwrap(), Err(SendError(1)));
        // Nobody is left in line.
        assert!(r.try_recv().is_err());
        assert!(!s.is_closed());
    });
}

#[test]
fn a_select_ends_with_one_of_its_cases() {
    on_workers(|| {
        let mint = Mint::default();
        let (ctx, cancel) = context::with_cancel(&Context::background());
        let (s, r) = bounded::<Token>(0);
        let selecting = go_bound(&ctx, {
            let (s, r, mint) = (s.clone(), r.clone(), mint.clone());
            move || {
                select! {
                    recv(never::<u8>()) -> _ => unreachable!(),
                    send(s, mint.token(1)) -> res => *res.unwrap_err().0.n,
                    recv(r) -> _ => unreachable!(),
                }
            }
        });
        until_sender_waits(&r);
        cancel.cancel();
        assert_eq!(selecting.join().unwrap(), 1);
        assert_eq!(mint.live(), 0);

        // Bound to a context that has ended: nothing waits any more, but what is ready can be done.
        let building = go_bound(&ctx, {
            let r = r.clone();
            move || {
                let mut select = Select::new();
                select.recv(&r);
                select.select().recv(&r).map(|_| ())
            }
        });
        assert_eq!(building.join().unwrap(), Err(RecvError));
        drop(s);
    });
}

#[test]
fn a_deadline_of_the_context_ends_a_select_without_default() {
    on_workers(|| {
        let until = Instant::now() + Duration::from_millis(10);
        let (ctx, _cancel) = context::with_deadline(&Context::background(), until);
        let (_s, r) = bounded::<u8>(0);
        let selecting = go_bound(&ctx, move || {
            select! {
                recv(r) -> message => message,
                recv(never::<u8>()) -> _ => unreachable!(),
            }
        });
        assert_eq!(selecting.join().unwrap(), Err(RecvError));
        assert!(Instant::now() >= until);
    });
}
