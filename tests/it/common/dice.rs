//! A small random number generator: its numbers depend on the seed alone.

use std::time::Duration;

/// A linear congruential generator.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// An index into `count` items.
    pub fn one_of(&mut self, count: usize) -> usize {
        usize::try_from(self.throw(count as u64)).expect("small")
    }

    /// Sleeps for less than `ms` milliseconds.
    pub fn pause(&mut self, ms: u64) {
        std::thread::sleep(Duration::from_millis(self.throw(ms)));
    }

    /// A number below `sides`.
    pub fn throw(&mut self, sides: u64) -> u64 {
        // Knuth's MMIX constants.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
