//! Seeded draws, built on the raw words of ChaCha8. A library may change its ranges and shuffles from one release to the
//! next, but a seed has to give the same bytes for ever.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// The use of a family of streams. No two uses share their draws.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Records = 1,
    Control = 2,
    Tape = 3,
}

/// The key of a family of independent streams, one per record.
#[derive(Debug, Clone)]
pub(crate) struct Streams([u8; 32]);

impl Streams {
    pub(crate) fn new(seed: u64, stage: u64, purpose: Purpose) -> Self {
        let words = [seed, stage, purpose as u64, u64::from_le_bytes(*b"softstak")];
        let mut key = [0_u8; 32];
        for (part, word) in key.chunks_exact_mut(8).zip(words) {
            part.copy_from_slice(&word.to_le_bytes());
        }
        Self(key)
    }

    /// The draws of record `index`. Each call returns the same draws.
    pub(crate) fn at(&self, index: u64) -> Draws {
        let mut rng = ChaCha8Rng::from_seed(self.0);
        rng.set_stream(index);
        Draws(rng)
    }
}

/// One stream of draws.
#[derive(Debug)]
pub(crate) struct Draws(ChaCha8Rng);

impl Draws {
    /// A number in `0..limit`; 0 if `limit` is 0. The bias, below `limit / 2^64`, does not matter here.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(limit);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// A number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "an f64 holds 53 bits exactly")]
        let word = (self.0.next_u64() >> 11) as f64;
        word / 9_007_199_254_740_992.0
    }

    /// A rank in `0..count`. Rank r has a probability of about 1 / (r + 1). An octave is drawn first, then a rank within
    /// it, which needs no logarithm. A quarter of the draws are even, so that every account occurs.
    pub(crate) fn skewed(&mut self, count: u64) -> u64 {
        if count == 0 || self.one_in(4) {
            return self.below(count);
        }
        let octave = 1_u64 << self.below(u64::from(u64::BITS - count.leading_zeros()));
        let rank = octave - 1 + self.below(octave);
        if rank < count { rank } else { self.below(count) }
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.index(end + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_these_words_for_ever() {
        let mut draws = Streams::new(1, 0, Purpose::Records).at(7);
        let first: Vec<u64> = (0..4).map(|_| draws.below(1_000_000)).collect();
        assert_eq!(first, [6_021, 795_394, 471_520, 386_311]);
    }

    #[test]
    fn skewed_ranks_cover_the_range_and_favour_the_first() {
        let mut draws = Streams::new(1, 0, Purpose::Records).at(0);
        let mut hits = [0_u32; 100];
        for _ in 0..20_000 {
            hits[usize::try_from(draws.skewed(100)).unwrap()] += 1;
        }
        assert!(hits.iter().all(|&count| count > 0));
        assert!(hits[0] > 10 * hits[99]);
    }
}
