//! `select!` and `select_biased!`.
//!
//! Where it sits: expands to the operations of `operand`, one for each case, and one call that chooses.
//!
//! The cases are read one by one into a list: `@cases` reads the head of a case, `@body` finds the end of its body, `@add`
//! puts the case on the list with a name of its own (hygiene keeps the `op`s of different rounds apart), `@run` writes it all
//! out:
//!
//! ```text
//! match (r.__recv(), s.__send(v)) {                      operands, in source order
//!     (mut op, mut op) => {
//!         let until = FOREVER;                           or the limit of `default`
//!         let mut left = run([op.case(), op.case()], Fair, until);   the choice; what fired is carried out
//!         if is_next(&mut left) { let msg = op.finish(); lost((op,)); … body … }
//!         else if is_next(&mut left) { … }
//!         else { lost((op,)); … default … }
//!     }
//! }
//! ```
//!
//! No closure: `break`, `continue`, `return` and `?` in a body mean the surrounding code. Method calls: they find the handle
//! behind references, boxes and whatever else dereferences to it.

/// Waits on several channel operations and carries out one of them.
///
/// The cases are `recv(receiver) -> pattern => body`, `send(sender, message) -> pattern => body`, and at most one `default`.
/// A body is an expression; a comma follows it unless it is a block. All bodies have the type of the whole expression.
///
/// * A case is ready when it need not wait, also when it can only report that its channel is disconnected. If several are
///   ready, each is chosen with the same chance, independent of its place; [`select_biased!`](crate::channel::select_biased)
///   takes the first.
/// * `default => body` runs if no case is ready. `default(limit) => body` runs if none became ready in time; the limit is a
///   `Duration` from now, or an `Instant`.
/// * Without `default` the goroutine, or the thread, waits. It waits in line with plain senders and receivers, and the first
///   partner to come decides.
/// * The pattern gets `Result<T, RecvError>` or `Result<(), SendError<T>>`.
/// * Channels and messages are evaluated once, in the order written, on entry. A message that is a plain variable of exactly
///   the channel's type is moved only if its case is chosen; any other message is dropped if its case is not. A message
///   that has no value, `panic!(…)` or `unreachable!(…)`, is evaluated only if its case is chosen.
///
/// # Panics
///
/// When an operand or a body panics. A panicking operand leaves all channels as they were.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use zokor::channel::{bounded, select, unbounded};
///
/// let (s1, r1) = unbounded();
/// let (s2, _r2) = bounded(0);
/// s1.send(10).unwrap();
///
/// let got = select! {
///     recv(r1) -> message => message.unwrap(),
///     send(s2, "nobody receives") -> _ => unreachable!(),
///     default(Duration::from_secs(1)) => 0,
/// };
/// assert_eq!(got, 10);
/// ```
///
/// A message that could not be sent yet is still there:
///
/// ```
/// use zokor::channel::{bounded, select};
///
/// let (s, r) = bounded(1);
/// s.send(String::from("first")).unwrap();
/// let message = String::from("second");
/// loop {
///     select! {
///         send(s, message) -> res => break res.unwrap(),
///         default => assert_eq!(r.recv().unwrap(), "first"),
///     }
/// }
/// assert_eq!(r.recv().unwrap(), "second");
/// ```
///
/// But not once its case was chosen:
///
/// ```compile_fail,E0382
/// use zokor::channel::{select, unbounded};
///
/// let (s, _r) = unbounded();
/// let message = String::from("gone");
/// select! {
///     send(s, message) -> _ => println!("{message}"),
/// }
/// ```
#[macro_export]
macro_rules! select {
    ($($cases:tt)*) => { $crate::__select!(@cases Fair [] () [] $($cases)*) };
}

/// Like [`select!`](macro@crate::channel::select), but of several ready cases the first in the list is chosen.
///
/// # Panics
///
/// When an operand or a body panics.
///
/// # Examples
///
/// ```
/// use zokor::channel::{select_biased, unbounded};
///
/// let (s1, urgent) = unbounded();
/// let (s2, other) = unbounded();
/// s2.send("other").unwrap();
/// s1.send("urgent").unwrap();
///
/// select_biased! {
///     recv(urgent) -> message => assert_eq!(message, Ok("urgent")),
///     recv(other) -> _ => unreachable!(),
/// }
/// ```
#[macro_export]
macro_rules! select_biased {
    ($($cases:tt)*) => { $crate::__select!(@cases Listed [] () [] $($cases)*) };
}

/// What `crossbeam-channel` calls the inside of its `select!`; programs name it that have a `select!` of their own around it.
#[doc(hidden)]
#[macro_export]
macro_rules! crossbeam_channel_internal {
    ($($cases:tt)*) => { $crate::select!($($cases)*) };
}

/// `order [cases] (values to drop) [default]`, then what is still to be read.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // The head of a case.
    (@cases $o:tt $c:tt $l:tt $d:tt recv($r:expr $(,)?) -> $p:pat => $($rest:tt)+) => {
        $crate::__select!(@body $o $c $l $d (recv ($r) $p) $($rest)+)
    };
    (@cases $o:tt $c:tt $l:tt $d:tt send($s:expr, $m:ident $(,)?) -> $p:pat => $($rest:tt)+) => {
        $crate::__select!(@body $o $c $l $d (lend ($s) $m $p) $($rest)+)
    };
    (@cases $o:tt $c:tt $l:tt $d:tt send($s:expr, panic!($($m:tt)*) $(,)?) -> $p:pat => $($rest:tt)+) => {
        $crate::__select!(@body $o $c $l $d (defer ($s) (panic!($($m)*)) $p) $($rest)+)
    };
    (@cases $o:tt $c:tt $l:tt $d:tt send($s:expr, unreachable!($($m:tt)*) $(,)?) -> $p:pat => $($rest:tt)+) => {
        $crate::__select!(@body $o $c $l $d (defer ($s) (unreachable!($($m)*)) $p) $($rest)+)
    };
    (@cases $o:tt $c:tt $l:tt $d:tt send($s:expr, $m:expr $(,)?) -> $p:pat => $($rest:tt)+) => {
        $crate::__select!(@body $o $c $l $d (send ($s) ($m) $p) $($rest)+)
    };
    (@cases $o:tt $c:tt $l:tt [] default $(())? => $($rest:tt)+) => {
        $crate::__select!(@body $o $c $l [] (default $crate::channel::__select::NOWAIT) $($rest)+)
    };
    (@cases $o:tt $c:tt $l:tt [] default($limit:expr $(,)?) => $($rest:tt)+) => {
        $crate::__select!(@body $o $c $l [] (default $crate::channel::__select::Limit::deadline($limit)) $($rest)+)
    };
    (@cases $o:tt $c:tt $l:tt [$($d:tt)+] default $($rest:tt)+) => {
        compile_error!("there can be only one `default` case in a `select!` block")
    };

    // The body: up to a comma, or the end, or the end of a block.
    (@body $o:tt $c:tt $l:tt $d:tt $head:tt $body:expr, $($rest:tt)*) => {
        $crate::__select!(@add $o $c $l $d $head $body, $($rest)*)
    };
    (@body $o:tt $c:tt $l:tt $d:tt $head:tt $body:expr) => {
        $crate::__select!(@add $o $c $l $d $head $body,)
    };
    (@body $o:tt $c:tt $l:tt $d:tt $head:tt $body:block $($rest:tt)*) => {
        $crate::__select!(@add $o $c $l $d $head $body, $($rest)*)
    };
    (@body $o:tt $c:tt $l:tt $d:tt $head:tt $($rest:tt)*) => {
        compile_error!("expected a comma after the body of a `select!` case")
    };

    (@add $o:tt [$($c:tt)*] $l:tt $d:tt (recv ($r:expr) $p:pat) $body:expr, $($rest:tt)*) => {
        $crate::__select!(@cases $o [$($c)* (op $r.__recv(), op.case(), op.finish(), $p, $body)]
            $l $d $($rest)*)
    };
    (@add $o:tt [$($c:tt)*] $l:tt $d:tt (lend ($s:expr) $m:ident $p:pat) $body:expr, $($rest:tt)*) => {
        $crate::__select!(@cases $o [$($c)* (op $s.__lend(&$m), {
            // SAFETY: `run` comes next, and after it, if this case is chosen, `given_up`.
            unsafe { op.case() }
        }, {
            let result = op.finish();
            let left = op.take_left();
            $crate::channel::__select::given_up(&result, $m);
            left.dismiss();
            result
        }, $p, $body)] $l $d $($rest)*)
    };
    (@add $o:tt [$($c:tt)*] $l:tt $d:tt (defer ($s:expr) ($m:expr) $p:pat) $body:expr, $($rest:tt)*) => {
        $crate::__select!(@cases $o [$($c)* (op $s.__defer(), op.case(), op.finish($m), $p, $body)]
            $l $d $($rest)*)
    };
    (@add $o:tt [$($c:tt)*] ($($l:tt)*) $d:tt (send ($s:expr) ($m:expr) $p:pat) $body:expr, $($rest:tt)*) => {
        $crate::__select!(@cases $o [$($c)* (op $s.__send($m), op.case(), op.finish(), $p, $body)]
            ($($l)* op,) $d $($rest)*)
    };
    (@add $o:tt $c:tt $l:tt [] (default $until:expr) $body:expr, $($rest:tt)*) => {
        $crate::__select!(@cases $o $c $l [$until, $body] $($rest)*)
    };

    // All is read.
    (@cases $o:tt [] () []) => { compile_error!("empty `select!` block") };
    (@cases $o:tt $c:tt $l:tt []) => {
        $crate::__select!(@run $o $c $l [$crate::channel::__select::FOREVER, unreachable!()])
    };
    (@cases $o:tt $c:tt $l:tt [$until:expr, $default:expr]) => {
        $crate::__select!(@run $o $c $l [$until, $default])
    };
    (@run $o:ident [$(($op:ident $new:expr, $case:expr, $finish:expr, $p:pat, $body:expr))*] $l:tt
        [$until:expr, $default:expr]) => {
        match ($($new,)*) {
            ($(mut $op,)*) => {
                let until = $until;
                #[allow(unused_mut, unused_variables)] // without cases
                let mut left = $crate::channel::__select::run([$($case),*], $crate::channel::__select::Order::$o, until);
                $(if $crate::channel::__select::is_next(&mut left) {
                    let result = $finish;
                    $crate::channel::__select::lost($l);
                    let $p = result;
                    $body
                } else)* {
                    $crate::channel::__select::lost($l);
                    $default
                }
            }
        }
    };

    (@cases $o:tt $c:tt $l:tt $d:tt $($rest:tt)+) => {
        compile_error!(concat!(
            "expected `recv(receiver) -> pattern => body`, `send(sender, message) -> pattern => body`, ",
            "`default => body` or `default(limit) => body`, found `", stringify!($($rest)+), "`"
        ))
    };
}
