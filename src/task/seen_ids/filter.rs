//! A filter over ids: it tells at once of nearly every id that a run does not have it.

use crate::task::seen_ids::entry::Id;

/// Bits for each id. Of the ids that a run does not have, one in some 400 passes the filter, and costs the read of a block.
const BITS_PER_ID: u64 = 14;
const BLOCK_BITS: u64 = 256;
const BLOCK_BYTES: usize = BLOCK_BITS as usize / 8;

/// The split block Bloom filter of the Parquet format, with its constants: each id sets one bit in each of the eight words of one block. An id is a
/// hash already, so its last eight bytes are the hash.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IdFilter(Vec<[u32; 8]>);

const SALT: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

impl IdFilter {
    /// An empty filter for so many ids.
    pub fn with_room_for(ids: u64) -> Self {
        let blocks = (ids * BITS_PER_ID).div_ceil(BLOCK_BITS).max(1);
        Self(vec![[0; 8]; usize::try_from(blocks).unwrap_or(usize::MAX)])
    }

    /// The block of an id, and its bit in each word of the block.
    #[inline]
    fn place(&self, id: &Id) -> (usize, [u32; 8]) {
        let [.., a, b, c, d, e, f, g, h] = *id;
        let (high, low) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        // The number of blocks is below 2^32, so the product fits.
        let block = (u64::from(high) * self.0.len() as u64) >> 32;
        (block as usize, SALT.map(|salt| 1 << (low.wrapping_mul(salt) >> 27)))
    }

    #[inline]
    pub fn add(&mut self, id: &Id) {
        let (block, bits) = self.place(id);
        if let Some(words) = self.0.get_mut(block) {
            words.iter_mut().zip(bits).for_each(|(word, bit)| *word |= bit);
        }
    }

    /// Whether the id may have been added. It is surely so if it was.
    #[inline]
    pub fn may_have(&self, id: &Id) -> bool {
        let (block, bits) = self.place(id);
        // No early exit, so that the eight words are compared at once.
        let missing = |words: &[u32; 8]| {
            words
                .iter()
                .zip(bits)
                .fold(0, |missing, (word, bit)| missing | (!word & bit))
        };
        self.0.get(block).is_none_or(|words| missing(words) == 0)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let words = self.0.iter().flatten();
        words.flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Reads [`IdFilter::to_bytes`]; `None` if the length is wrong.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        if blocks.is_empty() || !rest.is_empty() {
            return None;
        }
        let words = |block: &[u8; BLOCK_BYTES]| {
            let (words, _) = block.as_chunks::<4>();
            std::array::from_fn(|at| words.get(at).copied().map_or(0, u32::from_le_bytes))
        };
        Some(Self(blocks.iter().map(words).collect()))
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn id(number: u32) -> Id {
        let hash = <[u8; 32]>::from(Sha256::digest(number.to_le_bytes()));
        *hash.first_chunk().unwrap()
    }

    #[test]
    fn it_has_what_was_added_and_little_else() {
        let mut filter = IdFilter::with_room_for(20_000);
        (0..20_000).for_each(|number| filter.add(&id(number)));
        assert!((0..20_000).all(|number| filter.may_have(&id(number))));
        let others = (20_000..220_000).filter(|number| filter.may_have(&id(*number))).count();
        assert!(others < 1_000, "{others} of 200,000");
        assert!(others > 0, "a filter that is never wrong was not asked");
        assert_eq!(IdFilter::of_bytes(&filter.to_bytes()).unwrap(), filter);
    }

    #[test]
    fn an_empty_one_has_nothing_and_bytes_of_another_length_are_none() {
        let filter = IdFilter::with_room_for(0);
        assert!((0..1_000).all(|number| !filter.may_have(&id(number))));
        assert!(IdFilter::of_bytes(&[]).is_none() && IdFilter::of_bytes(&[0; 33]).is_none());
    }
}
