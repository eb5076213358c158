//! A digest of a log that grows with each record.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// A chained digest over records in their order: `next = H(previous, length of the record, H(record))`, where `H` is XXH3 with 128 bits.
///
/// Its 16 bytes are its whole state. So it can be stored after any record, and continued from there. Two logs with equal digests hold the same
/// records: the chance of an accident is some 2^-88, even after 2^40 records.
///
/// It guards against damage, and against copies of a log that went different ways. It does not guard against an attacker who may choose records:
/// XXH3 is no cryptographic hash, and collisions can be constructed.
///
/// These bytes are stored, so the definition is a promise. A record of 300 bytes takes some 30 ns.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RunningDigest([u8; Self::LEN]);

impl RunningDigest {
    pub const LEN: usize = 16;
    /// Of no record at all.
    pub const EMPTY: Self = Self([0; Self::LEN]);

    /// The digest with these bytes, which [`RunningDigest::bytes`] gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn bytes(self) -> [u8; Self::LEN] {
        self.0
    }

    /// Adds the next record. An empty record counts too.
    pub fn add(&mut self, record: &[u8]) {
        self.link(RecordDigest::of(record));
    }

    /// Adds the next record by its digest, which another thread may have computed.
    pub fn link(&mut self, record: RecordDigest) {
        let mut link = [0; 40];
        let (previous, rest) = link.split_at_mut(Self::LEN);
        let (len, hash) = rest.split_at_mut(8);
        previous.copy_from_slice(&self.0);
        len.copy_from_slice(&record.len.to_le_bytes());
        hash.copy_from_slice(&record.hash.to_le_bytes());
        self.0 = xxh3_128(&link).to_le_bytes();
    }
}

/// The length and the hash of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordDigest {
    len: u64,
    hash: u128,
}

impl RecordDigest {
    #[must_use]
    pub fn of(record: &[u8]) -> Self {
        Self {
            // Lengths in memory always fit into 64 bits.
            len: u64::try_from(record.len()).unwrap_or(u64::MAX),
            // In one piece: a streaming hasher would set up 576 bytes for each record.
            hash: xxh3_128(record),
        }
    }

    /// The digest of a record of `len` bytes that `hasher` has seen in pieces.
    #[must_use]
    pub fn of_pieces(len: u64, hasher: &Xxh3) -> Self {
        Self {
            len,
            hash: hasher.digest128(),
        }
    }

    /// The length of the record in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.len
    }
}

impl fmt::Display for RunningDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for RunningDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunningDigest({self})")
    }
}

/// As its 16 bytes; in a format for people, in hexadecimal.
impl Serialize for RunningDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RunningDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; Self::LEN]>::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; Self::LEN];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|_| serde::de::Error::custom("a digest has 32 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn digest_of<R: AsRef<[u8]>>(records: &[R]) -> RunningDigest {
        let mut digest = RunningDigest::EMPTY;
        for record in records {
            digest.add(record.as_ref());
        }
        digest
    }

    #[test]
    fn its_bytes_are_a_promise() {
        assert_eq!(RunningDigest::EMPTY.to_string(), "00000000000000000000000000000000");
        assert_eq!(digest_of(&["{}"]).to_string(), "f2eaa5778978a545268346e91571e2a0");
        let long = vec![b'x'; 300];
        assert_eq!(
            digest_of(&[b"{}", long.as_slice(), b""]).to_string(),
            "bb65dc732deee4363de7fbbc43988d19"
        );
    }

    #[test]
    fn its_stored_form_is_its_16_bytes() {
        let digest = digest_of(&["a", "b"]);
        let stored = postcard::to_stdvec(&digest).unwrap();
        assert_eq!(stored, digest.bytes());
        assert_eq!(postcard::from_bytes::<RunningDigest>(&stored).unwrap(), digest);
        assert_eq!(RunningDigest::from_bytes(digest.bytes()), digest);
    }

    #[test]
    fn in_json_it_is_hexadecimal() {
        let digest = digest_of(&["{}"]);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, r#""f2eaa5778978a545268346e91571e2a0""#);
        assert_eq!(serde_json::from_str::<RunningDigest>(&json).unwrap(), digest);
        for wrong in ["\"\"", "\"f2\"", "\"g2eaa5778978a545268346e91571e2a0\"", "7"] {
            assert!(serde_json::from_str::<RunningDigest>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_records_have_another_digest() {
        let empty: [&str; 0] = [];
        let different = [
            digest_of(&empty),
            digest_of(&[""]),
            digest_of(&["", ""]),
            digest_of(&["a"]),
            digest_of(&["a", ""]),
            digest_of(&["", "a"]),
            digest_of(&["a", "b"]),
            digest_of(&["b", "a"]),
            digest_of(&["ab"]),
            digest_of(&["\0"]),
            digest_of(&["\0\0"]),
            digest_of(&["\0", "\0"]),
        ];
        let distinct: HashSet<_> = different.into_iter().collect();
        assert_eq!(distinct.len(), different.len());
    }

    proptest! {
        #[test]
        fn it_continues_from_its_bytes(records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..20), split in 0..20_usize) {
            let split = split.min(records.len());
            let mut digest = RunningDigest::from_bytes(digest_of(&records[..split]).bytes());
            for record in &records[split..] {
                digest.add(record);
            }
            prop_assert_eq!(digest, digest_of(&records));
        }

        #[test]
        fn a_record_in_pieces_is_the_same_record(record in prop::collection::vec(any::<u8>(), 0..3000), piece in 1..500_usize) {
            let mut hasher = Xxh3::new();
            record.chunks(piece).for_each(|piece| hasher.update(piece));
            let len = u64::try_from(record.len()).unwrap();
            prop_assert_eq!(RecordDigest::of_pieces(len, &hasher), RecordDigest::of(&record));
        }

        #[test]
        fn each_bit_counts(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..400), 1..20),
            which in any::<prop::sample::Index>(),
            byte in any::<prop::sample::Index>(),
            bit in 0..8,
        ) {
            let mut other = records.clone();
            let which = which.index(other.len());
            *byte.get_mut(&mut other[which]) ^= 1_u8 << bit;
            prop_assert_ne!(digest_of(&other), digest_of(&records));
        }
    }
}
