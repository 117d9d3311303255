//! A call that can be left from anywhere below it: what `setjmp` and `longjmp` are to C, without the library's
//! signal masks and pointer mangling.
//!
//! *Where it sits.* Layer 1, beside the context switch and in its style. Called by `defer.rs` for `zk_try`.
//!
//! [`call`] saves what its caller may rely on in its own frame, stores two words and calls a function on the same stack. [`leave`] continues after
//! that call, as if it had returned; every frame in between is gone without being looked at. So no frame of Rust or C++ that has
//! something to clean up may lie between the two. An exception passes through like through any function: it is one in assembly with
//! an unwind table, because the compiler takes an `asm!` block for something that does not unwind.

#[cfg(target_arch = "x86_64")]
#[path = "escape/x86_64.rs"]
mod imp;

#[cfg(target_arch = "aarch64")]
#[path = "escape/aarch64.rs"]
mod imp;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[path = "escape/unknown.rs"]
mod imp;

pub use imp::{call, leave, SUPPORTED};

/// Where a call can be left to. Valid while the call is in progress.
#[repr(C)]
#[derive(Debug)]
pub struct Escape {
    sp: usize,
    ip: usize,
}

impl Escape {
    /// To nowhere.
    pub const fn new() -> Escape {
        Escape { sp: 0, ip: 0 }
    }
}

/// What is called.
pub type Called = unsafe extern "C-unwind" fn(*mut core::ffi::c_void);

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::c_void;

    struct Probe {
        escape: Escape,
        depth: u32,
        reached: u32,
    }

    unsafe extern "C-unwind" fn dive(p: *mut c_void) {
        // SAFETY: the test passes a Probe; the frames of this function hold nothing.
        unsafe {
            let probe: *mut Probe = p.cast();
            (*probe).reached += 1;
            if (*probe).reached == (*probe).depth {
                leave(&raw const (*probe).escape);
            }
            if (*probe).depth != 0 {
                dive(p);
            }
        }
    }

    #[test]
    fn a_call_returns_or_is_left() {
        if !SUPPORTED {
            return;
        }
        for depth in [0, 1, 2, 100] {
            let mut probe = Probe { escape: Escape::new(), depth, reached: 0 };
            let p = &raw mut probe;
            let kept: Vec<u32> = (0..32).collect();
            // SAFETY: `dive` leaves, if at all, while this call is in progress.
            let left = unsafe { call(&raw mut (*p).escape, dive, p.cast()) };
            assert_eq!(left, depth != 0);
            assert_eq!(probe.reached, depth.max(1));
            assert_eq!(kept.iter().sum::<u32>(), 496);
        }
    }

    #[test]
    fn calls_nest() {
        unsafe extern "C-unwind" fn outer(p: *mut c_void) {
            // SAFETY: the test passes a Probe that is used by the inner call only while this one runs.
            unsafe {
                let probe: *mut Probe = p.cast();
                let mut inner = Probe { escape: Escape::new(), depth: 3, reached: 0 };
                let q = &raw mut inner;
                assert!(call(&raw mut (*q).escape, dive, q.cast()));
                (*probe).reached = 7;
                leave(&raw const (*probe).escape);
            }
        }
        if !SUPPORTED {
            return;
        }
        let mut probe = Probe { escape: Escape::new(), depth: 0, reached: 0 };
        let p = &raw mut probe;
        // SAFETY: `outer` leaves while this call is in progress.
        assert!(unsafe { call(&raw mut (*p).escape, outer, p.cast()) });
        assert_eq!(probe.reached, 7);
    }
}
