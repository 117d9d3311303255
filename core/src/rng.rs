//! A small, fast source of random numbers for scheduling choices.
//!
//! **Where it sits.** One per worker, used for the order of steals and of select's cases; calls
//! only `std`. Not for secrets.
//!
//! The generator is *wyrand* (Wang Yi, wyhash, public domain): a Weyl sequence whose term is mixed
//! by one 64 × 64 → 128 bit multiplication. It passes BigCrush and PractRand, has a period of
//! 2^64 from any seed, and a step costs about one nanosecond. `below` is Lemire's multiplication
//! without the rejection step ("Fast Random Integer Generation in an Interval", 2019).

use std::hash::{BuildHasher, RandomState};

/// A seedable generator: equal seeds give equal sequences on every platform.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    /// A generator with the given seed; any value is a good one.
    pub(crate) const fn new(seed: u64) -> Rng {
        Rng { state: seed }
    }

    /// A generator whose seed differs from run to run and from call to call.
    pub(crate) fn from_entropy() -> Rng {
        // `RandomState` is seeded by the system once per thread and counts up with each instance.
        Rng::new(RandomState::new().hash_one(0_u64))
    }

    /// The next 64 random bits.
    #[inline]
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0xa076_1d64_78bd_642f);
        let wide = u128::from(self.state) * u128::from(self.state ^ 0xe703_7ed1_a0b4_28db);
        (wide >> 64) as u64 ^ wide as u64
    }

    /// The next 32 random bits.
    #[inline]
    pub(crate) fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A number in `0..n`, or 0 if `n` is 0. No value is more likely than another by more than
    /// `n` in 2^32.
    #[inline]
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.next_u32()) * u64::from(n)) >> 32) as u32
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Rng;

    #[test]
    fn equal_seeds_give_equal_sequences() {
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
        assert_ne!(Rng::new(7).next_u64(), Rng::new(8).next_u64());
    }

    #[test]
    fn entropy_differs_between_generators() {
        let mut seen: Vec<u64> = (0..16).map(|_| Rng::from_entropy().next_u64()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 16);
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut r = Rng::new(1);
        assert_eq!(r.below(0), 0);
        assert_eq!(r.below(1), 0);
        for n in [2_u32, 3, 7, 61] {
            let mut hits = vec![0_u32; n as usize];
            for _ in 0..n * 1000 {
                hits[r.below(n) as usize] += 1;
            }
            // 1000 expected each; five standard deviations are about 160.
            assert!(hits.iter().all(|&h| (800..1200).contains(&h)), "{n}: {hits:?}");
        }
    }

    #[test]
    fn bits_are_balanced() {
        let mut r = Rng::new(0);
        let mut ones = [0_u32; 64];
        for _ in 0..10_000 {
            let x = r.next_u64();
            for (i, n) in ones.iter_mut().enumerate() {
                *n += (x >> i & 1) as u32;
            }
        }
        assert!(ones.iter().all(|&n| (4700..5300).contains(&n)), "{ones:?}");
    }
}
