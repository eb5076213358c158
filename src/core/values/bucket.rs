//! Buckets decide which ledger partition holds an account's rows (contract, section 8).

use std::ops::Range;

use crate::core::values::account::{NameError, owner};
use crate::core::values::sha256::sha256;

/// The number of buckets.
pub const BUCKETS: u16 = 4096;

/// The bucket of an account, below [`BUCKETS`]: the first 12 bits of the SHA-256 of its owner's bytes. So all accounts of an owner are
/// in one bucket.
#[inline]
pub fn bucket(account: &str) -> u16 {
    let [first, second, ..] = sha256([owner(account).as_bytes()]);
    u16::from(first) << 4 | u16::from(second) >> 4
}

/// The number of ledger partitions: a power of two from 1 to 4096, so that each partition is a range of buckets of the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partitions {
    /// log2 of the number, 0 to 12.
    bits: u8,
}

impl Partitions {
    /// # Errors
    /// [`NameError::Partitions`].
    pub const fn new(count: u32) -> Result<Partitions, NameError> {
        if count.is_power_of_two() && count <= BUCKETS as u32 {
            // At most 12.
            Ok(Partitions {
                bits: count.trailing_zeros() as u8,
            })
        } else {
            Err(NameError::Partitions)
        }
    }

    #[inline]
    pub const fn count(self) -> u16 {
        1 << self.bits
    }

    /// The partition of a bucket: `bucket * count / 4096`. For 4,096 and more, which is no bucket, it is `count` or more,
    /// which is no partition.
    #[inline]
    pub const fn of(self, bucket: u16) -> u16 {
        bucket >> (12 - self.bits)
    }

    /// The buckets of a partition; none if there is no such partition.
    pub const fn buckets(self, partition: u16) -> Range<u16> {
        if partition >= self.count() {
            return 0..0;
        }
        let width = BUCKETS >> self.bits;
        let start = partition * width;
        start..start + width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_of_accounts() {
        // SHA-256 of "abc" starts with ba 78 (FIPS 180-2), of nothing with e3 b0.
        assert_eq!(bucket("abc"), 0xba7);
        assert_eq!(bucket(""), 0xe3b);
        assert_eq!(bucket("abc/grid/2"), 0xba7);
        assert_ne!(bucket("/abc"), 0xe3b);
        assert!((0..10_000).all(|i| bucket(&format!("u-{i}")) < BUCKETS));
    }

    #[test]
    fn partitions_hold_every_bucket_once() {
        for count in [0, 3, 6, 4095, 8192, u32::MAX] {
            assert_eq!(Partitions::new(count), Err(NameError::Partitions));
        }
        for count in (0..=12).map(|bits| 1u32 << bits) {
            let partitions = Partitions::new(count).unwrap();
            assert_eq!(u32::from(partitions.count()), count);
            for bucket in 0..BUCKETS {
                let partition = partitions.of(bucket);
                assert_eq!(u32::from(partition), u32::from(bucket) * count / 4096);
                assert!(partitions.buckets(partition).contains(&bucket));
            }
            let held: usize = (0..partitions.count())
                .map(|partition| partitions.buckets(partition).len())
                .sum();
            assert_eq!(held, 4096);
            assert!(partitions.buckets(partitions.count()).is_empty() && partitions.buckets(u16::MAX).is_empty());
            assert!(partitions.of(u16::MAX) >= partitions.count() || count == 4096);
        }
    }
}
