//! SHA-256 of a short text, as of account names, ids and nodes of a Merkle tree: one or two blocks, which are filled here. That takes half the time of the
//! buffer of [`Sha256`], which is ready for any length.

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

/// The bytes of a block.
const BLOCK: usize = 64;

/// The state that SHA-256 begins with (FIPS 180-4, section 5.3.3).
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The SHA-256 of these parts, one behind the other.
#[inline]
pub fn sha256<const PARTS: usize>(parts: [&[u8]; PARTS]) -> [u8; 32] {
    let Some((blocks, count)) = filled_blocks(parts) else {
        let mut hash = Sha256::new();
        parts.into_iter().for_each(|part| hash.update(part));
        return hash.finalize().into();
    };
    let mut state = START;
    compress256(
        &mut state,
        blocks.as_chunks::<BLOCK>().0.get(..count).unwrap_or_default(),
    );
    let mut hash = [0; 32];
    for (slot, word) in hash.chunks_exact_mut(4).zip(state) {
        slot.copy_from_slice(&word.to_be_bytes());
    }
    hash
}

/// The parts, padded to blocks, and the number of blocks, if it is at most two: a bit of one, zeros, and the number of bits in eight bytes.
#[inline]
fn filled_blocks<const PARTS: usize>(parts: [&[u8]; PARTS]) -> Option<([u8; 2 * BLOCK], usize)> {
    let mut blocks = [0; 2 * BLOCK];
    let mut length = 0;
    for part in parts {
        let end = part.len().checked_add(length).filter(|end| *end < 2 * BLOCK - 8)?;
        blocks.get_mut(length..end)?.copy_from_slice(part);
        length = end;
    }
    *blocks.get_mut(length)? = 0x80;
    let count = if length < BLOCK - 8 { 1 } else { 2 };
    // At most 119 bytes, so 952 bits.
    let bits = (length as u16 * 8).to_be_bytes();
    let end = count * BLOCK;
    blocks.get_mut(end - 2..end)?.copy_from_slice(&bits);
    Some((blocks, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_as_in_the_crate() {
        let text: Vec<u8> = (0..200).map(|n| (n * 7) as u8).collect();
        for length in 0..=text.len() {
            let whole = &text[..length];
            let expected = <[u8; 32]>::from(Sha256::digest(whole));
            assert_eq!(sha256([whole]), expected, "{length}");
            let (first, rest) = whole.split_at(length / 3);
            let (second, third) = rest.split_at(rest.len() / 2);
            assert_eq!(sha256([first, second, third]), expected, "{length}");
        }
    }
}
