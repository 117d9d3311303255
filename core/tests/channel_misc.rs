//! Iterators, identity, errors, marker traits, and thread-locals.

mod ground;

use std::error::Error;
use std::panic::{RefUnwindSafe, UnwindSafe};

use ground::*;
use zokor::channel::*;

#[test]
fn iterators_wait_and_end() {
    everywhere(|ground| {
        let (s, r) = bounded(1);
        let sender = {
            let s = s.clone();
            ground.go(move || (0..100).for_each(|n| s.send(n).unwrap()))
        };
        drop(s);
        assert_eq!(r.iter().take(10).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        for (n, next) in r.iter().zip(10..) {
            assert_eq!(n, next);
            if n == 49 {
                break;
            }
        }
        let mut rest = r.into_iter();
        assert!(rest.by_ref().eq(50..100));
        assert_eq!((rest.next(), rest.next()), (None, None));
        sender.join();
    });
}

#[test]
fn a_trying_iterator_ends_when_nothing_is_there() {
    everywhere(|_| {
        let (s, r) = unbounded();
        assert_eq!(r.try_iter().next(), None);
        s.send(1).unwrap();
        s.send(2).unwrap();
        let mut iter = r.try_iter();
        assert_eq!((iter.next(), iter.next(), iter.next()), (Some(1), Some(2), None));
        s.send(3).unwrap();
        assert_eq!(iter.next(), Some(3));
        drop(s);
        assert_eq!(iter.next(), None);
    });
}

#[test]
fn an_owned_iterator_owns_its_receiver() {
    everywhere(|_| {
        let (s, r) = unbounded();
        s.send(1).unwrap();
        let iter = r.into_iter();
        s.send(2).unwrap();
        drop(iter);
        assert!(s.send(3).is_err());
    });
}

#[test]
fn the_same_channel_is_the_same() {
    let (s1, r1) = bounded::<u8>(0);
    let (s2, r2) = bounded::<u8>(0);
    assert!(s1.same_channel(&s1.clone()) && r1.same_channel(&r1.clone()));
    assert!(!s1.same_channel(&s2) && !r1.same_channel(&r2));
    let timer = after(PLENTY);
    assert!(timer.same_channel(&timer.clone()));
    assert!(!timer.same_channel(&after(PLENTY)) && !timer.same_channel(&never()));
    assert!(!tick(PLENTY).same_channel(&tick(PLENTY)));
    assert!(never::<u8>().same_channel(&never()) && !never().same_channel(&r1));
}

#[test]
fn errors_speak_as_expected() {
    fn texts<E: Error>(error: E) -> (String, String) {
        (error.to_string(), format!("{error:?}"))
    }
    fn pair(display: &str, debug: &str) -> (String, String) {
        (display.to_owned(), debug.to_owned())
    }
    let (sending, receiving) = ("sending on a disconnected channel", "receiving on an empty and disconnected channel");
    assert_eq!(texts(SendError(1)), pair(sending, "SendError(..)"));
    assert_eq!(texts(TrySendError::Full(1)), pair("sending on a full channel", "Full(..)"));
    assert_eq!(texts(TrySendError::Disconnected(1)), pair(sending, "Disconnected(..)"));
    let timeout = "timed out waiting on send operation";
    assert_eq!(texts(SendTimeoutError::Timeout(1)), pair(timeout, "SendTimeoutError(..)"));
    assert_eq!(texts(SendTimeoutError::Disconnected(1)), pair(sending, "SendTimeoutError(..)"));
    assert_eq!(texts(RecvError), pair(receiving, "RecvError"));
    assert_eq!(texts(TryRecvError::Empty), pair("receiving on an empty channel", "Empty"));
    assert_eq!(texts(TryRecvError::Disconnected), pair(receiving, "Disconnected"));
    assert_eq!(texts(RecvTimeoutError::Timeout), pair("timed out waiting on receive operation", "Timeout"));
    assert_eq!(texts(RecvTimeoutError::Disconnected), pair("channel is empty and disconnected", "Disconnected"));
    let block = "all operations in select would block";
    assert_eq!(texts(TrySelectError), pair(block, "TrySelectError"));
    assert_eq!(texts(SelectTimeoutError), pair("timed out waiting on select", "SelectTimeoutError"));
    assert_eq!(texts(TryReadyError), pair(block, "TryReadyError"));
    assert_eq!(texts(ReadyTimeoutError), pair("timed out waiting on select", "ReadyTimeoutError"));
    assert_eq!(texts(CloseError::Closed), pair("closing a closed channel", "Closed"));
    assert_eq!(texts(CloseError::NoSender), pair("closing a channel that has no senders", "NoSender"));
}

#[test]
fn errors_convert_and_give_messages_back() {
    assert_eq!(TrySendError::from(SendError(1)), TrySendError::Disconnected(1));
    assert_eq!(SendTimeoutError::from(SendError(1)), SendTimeoutError::Disconnected(1));
    assert_eq!(TryRecvError::from(RecvError), TryRecvError::Disconnected);
    assert_eq!(RecvTimeoutError::from(RecvError), RecvTimeoutError::Disconnected);
    assert_eq!(SendError(1).into_inner(), 1);
    assert_eq!(TrySendError::Full(2).into_inner(), 2);
    assert_eq!(TrySendError::Disconnected(3).into_inner(), 3);
    assert_eq!(SendTimeoutError::Timeout(4).into_inner(), 4);
    assert_eq!(SendTimeoutError::Disconnected(5).into_inner(), 5);
    assert!(TrySendError::Full(()).is_full() && !TrySendError::Full(()).is_disconnected());
    assert!(SendTimeoutError::Timeout(()).is_timeout() && SendTimeoutError::Disconnected(()).is_disconnected());
    assert!(TryRecvError::Empty.is_empty() && TryRecvError::Disconnected.is_disconnected());
    assert!(RecvTimeoutError::Timeout.is_timeout() && RecvTimeoutError::Disconnected.is_disconnected());
}

#[test]
fn debug_shows_the_type() {
    let (s, r) = unbounded::<u8>();
    assert_eq!(format!("{s:?} {r:?}"), "Sender { .. } Receiver { .. }");
    assert_eq!(format!("{:?} {:?}", r.iter(), r.try_iter()), "Iter { .. } TryIter { .. }");
    s.send(1).unwrap();
    let mut select = Select::new();
    select.recv(&r);
    let operation = select.select();
    assert_eq!(format!("{operation:?}"), "SelectedOperation { .. }");
    operation.recv(&r).unwrap();
    assert_eq!(format!("{:?}", r.into_iter()), "IntoIter { .. }");
}

#[test]
fn handles_have_the_marker_traits() {
    fn handle<H: Send + Sync + Clone + UnwindSafe + RefUnwindSafe + Unpin>() {}
    handle::<Sender<std::cell::Cell<u8>>>();
    handle::<Receiver<std::cell::Cell<u8>>>();
    fn shared<S: Send + Sync + Clone + Default>() {}
    shared::<Select<'_>>();
    fn error<E: Error + Copy + PartialEq + Send + Sync + 'static>() {}
    error::<RecvError>();
    error::<SendError<u8>>();
    error::<TrySendError<u8>>();
    error::<SendTimeoutError<u8>>();
    error::<TrySelectError>();
    // Handles themselves ask nothing of the message.
    struct Plain;
    let (s, r) = unbounded::<Plain>();
    drop((s.clone(), r.clone(), format!("{s:?}"), s.send(Plain).is_ok()));
}

#[test]
fn borrowed_messages() {
    let text = String::from("borrowed");
    let (s, r) = unbounded::<&str>();
    std::thread::scope(|scope| {
        scope.spawn(|| s.send(&text).unwrap());
        assert_eq!(r.recv(), Ok("borrowed"));
    });
}

/// A channel operation in the destructor of a thread-local, when the thread's other locals may be gone already.
#[test]
fn operations_while_the_thread_ends() {
    struct Last(Sender<&'static str>);

    impl Drop for Last {
        fn drop(&mut self) {
            let (s, r) = bounded::<()>(0);
            assert_eq!(r.recv_timeout(ms(2)), Err(RecvTimeoutError::Timeout));
            select! {
                recv(r) -> _ => unreachable!(),
                send(s, ()) -> _ => unreachable!(),
                default(ms(2)) => {}
            }
            self.0.send("done").unwrap();
        }
    }

    thread_local! {
        static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) };
    }

    let (s, r) = unbounded();
    let (start, started) = unbounded();
    let thread = std::thread::spawn(move || {
        LAST.with(|last| *last.borrow_mut() = Some(Last(s)));
        started.recv().unwrap();
        select! {
            recv(started) -> end => assert_eq!(end, Err(RecvError)),
            recv(never::<u8>()) -> _ => unreachable!(),
        }
    });
    start.send(()).unwrap();
    drop(start);
    assert_eq!(r.recv(), Ok("done"));
    assert_eq!(r.recv(), Err(RecvError));
    thread.join().unwrap();
}
