//! A segment: a compressed file of records. Before compression, each record is its offset (8 bytes, little-endian), its length (4 bytes), and its
//! bytes.

use std::fs;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::Path;

use crate::bus::archive::manifest::{MAX_RECORD_BYTES, Segment, file_name, sha256};
use crate::bus::archive::regular_file;
use crate::bus::error::FileError;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// A segment is full at this many bytes, before compression.
pub const FULL: usize = 16 << 20;
/// The compression level. At this level, compression is about as fast as a disk writes.
const LEVEL: i32 = 3;
const HEAD: usize = 12;

/// Collects the records of a segment.
#[derive(Debug, Default)]
pub struct SegmentBuilder {
    bytes: Vec<u8>,
    records: u64,
}

impl SegmentBuilder {
    /// # Errors
    /// If the record is longer than [`MAX_RECORD_BYTES`].
    pub fn push(&mut self, offset: Offset, value: &[u8]) -> Result<(), FileError> {
        let length = u32::try_from(value.len())
            .ok()
            .filter(|_| value.len() <= MAX_RECORD_BYTES);
        let length = length.ok_or_else(|| FileError::Io {
            action: "archive",
            path: format!("the record at offset {offset}").into(),
            source: std::io::Error::other(format!("it is longer than {MAX_RECORD_BYTES} bytes")),
        })?;
        self.bytes.extend_from_slice(&offset.get().to_le_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(value);
        self.records += 1;
        Ok(())
    }

    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Writes the records to a new file of the archive, and empties itself. The segment is the offset range from `first` to `next`.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn finish(
        &mut self,
        archive: &Path,
        partition: TopicPartition,
        first: Offset,
        next: Offset,
    ) -> Result<Segment, FileError> {
        let file = file_name(partition, first);
        let path = archive.join(&file);
        let compressed = zstd::encode_all(self.bytes.as_slice(), LEVEL).map_err(FileError::io("compress", &path))?;
        let folder = path.parent().unwrap_or(archive);
        fs::create_dir_all(folder).map_err(FileError::io("make", folder))?;
        let written = fs::File::create(&path).and_then(|mut file| {
            file.write_all(&compressed)?;
            file.sync_all()
        });
        written.map_err(FileError::io("write", &path))?;
        let segment = Segment {
            file,
            first,
            next,
            records: self.records,
            bytes: compressed.len() as u64,
            decoded_bytes: self.bytes.len() as u64,
            sha256: sha256(&compressed),
        };
        self.bytes.clear();
        self.records = 0;
        Ok(segment)
    }
}

/// Checks a segment's checksum and reads its records: their bytes, and each record's offset and range of bytes.
///
/// # Errors
/// `Damaged` if the file has changed.
#[allow(clippy::type_complexity, reason = "the arguments of `Batch::new`")]
pub fn read(archive: &Path, segment: &Segment) -> Result<(Vec<u8>, Vec<(Offset, Range<usize>)>), FileError> {
    let path = archive.join(&segment.file);
    let compressed = regular_file::read(&path, segment.bytes)?;
    let damaged = |at: usize, what: String| FileError::Damaged {
        file: path.clone(),
        at: at as u64,
        what,
    };
    let sum = sha256(&compressed);
    if sum != segment.sha256 {
        return Err(damaged(
            0,
            format!("its SHA-256 is {sum}, the manifest has {}", segment.sha256),
        ));
    }
    let bytes = decode(&compressed, segment.decoded_bytes).map_err(|error| damaged(0, error.to_string()))?;
    let mut records: Vec<(Offset, Range<usize>)> = Vec::new();
    let mut at = 0;
    let mut lowest = segment.first;
    while at < bytes.len() {
        let head = bytes.get(at..at + HEAD).and_then(|head| head.split_first_chunk::<8>());
        let Some((offset, length)) = head.and_then(|(offset, length)| Some((offset, length.first_chunk::<4>()?)))
        else {
            return Err(damaged(at, "a record is cut off".into()));
        };
        let start = at + HEAD;
        let end = start.saturating_add(u32::from_le_bytes(*length) as usize);
        if end > bytes.len() {
            return Err(damaged(at, "a record is cut off".into()));
        }
        let offset = Offset::new(u64::from_le_bytes(*offset));
        if offset < lowest || offset >= segment.next || records.len() as u64 == segment.records {
            return Err(damaged(
                at,
                format!("the record of offset {offset} does not belong there"),
            ));
        }
        records.push((offset, start..end));
        lowest = offset.saturating_add(1);
        at = end;
    }
    if records.len() as u64 != segment.records {
        let found = records.len();
        return Err(damaged(
            0,
            format!("it has {found} records, the manifest has {}", segment.records),
        ));
    }
    Ok((bytes, records))
}

/// Decompresses at most the `expected` bytes: a small file can hold petabytes.
fn decode(compressed: &[u8], expected: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let decoder = zstd::Decoder::with_buffer(compressed)?;
    decoder.take(expected.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != expected {
        return Err(std::io::Error::other(format!(
            "its records do not have the {expected} bytes that the manifest has"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::contract::topic::Topic;

    const PARTITION: TopicPartition = Topic::Trades.partition(0);

    #[test]
    fn records_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let mut building = SegmentBuilder::default();
        assert!(building.is_empty());
        let large = vec![b'x'; FULL + 1];
        let values: [(u64, &[u8]); 4] = [(3, b"one"), (4, b""), (90, b"\n\0\xff"), (91, &large)];
        for (offset, value) in values {
            assert!(!building.is_full());
            building.push(Offset::new(offset), value).unwrap();
        }
        assert!(building.is_full());
        let segment = building
            .finish(folder.path(), PARTITION, Offset::new(2), Offset::new(95))
            .unwrap();
        assert_eq!(segment.file, "exchange.trades/0/00000000000000000002.zst");
        assert!(building.is_empty());
        assert_eq!(segment.records, 4);
        let (bytes, records) = read(folder.path(), &segment).unwrap();
        let found: Vec<_> = records
            .iter()
            .map(|(offset, range)| (offset.get(), &bytes[range.clone()]))
            .collect();
        assert_eq!(found, values);
    }

    #[test]
    fn a_flipped_bit_is_refused_by_the_sum() {
        let folder = tempfile::tempdir().unwrap();
        let mut building = SegmentBuilder::default();
        building.push(Offset::START, b"a record").unwrap();
        let segment = building
            .finish(folder.path(), PARTITION, Offset::START, Offset::new(1))
            .unwrap();
        let path = folder.path().join(&segment.file);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            let error = read(folder.path(), &segment).unwrap_err().to_string();
            assert!(error.contains("its SHA-256 is"), "{error}");
        }
        fs::remove_file(&path).unwrap();
        assert!(read(folder.path(), &segment).unwrap_err().to_string().contains("read"));
    }

    #[test]
    fn records_outside_the_range_or_out_of_order_or_too_many_are_refused() {
        for (offsets, first, next, records) in [
            (&[5, 6][..], 6, 9, 2),
            (&[5, 6], 5, 6, 2),
            (&[6, 5], 5, 9, 2),
            (&[5, 5], 5, 9, 2),
            (&[5, 6], 5, 9, 1),
            (&[5, 6], 5, 9, 3),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut building = SegmentBuilder::default();
            for offset in offsets {
                building.push(Offset::new(*offset), b"a record").unwrap();
            }
            let segment = building.finish(folder.path(), PARTITION, Offset::new(first), Offset::new(next));
            let mut segment = segment.unwrap();
            segment.records = records;
            assert!(read(folder.path(), &segment).is_err(), "{offsets:?} in {first}..{next}");
        }
    }

    #[test]
    fn no_more_is_decompressed_than_the_manifest_says() {
        let folder = tempfile::tempdir().unwrap();
        let mut building = SegmentBuilder::default();
        building.push(Offset::START, &vec![0; 64 << 20]).unwrap();
        let mut segment = building
            .finish(folder.path(), PARTITION, Offset::START, Offset::new(1))
            .unwrap();
        assert!(segment.bytes < 10_000, "{}", segment.bytes);
        segment.decoded_bytes = 1_000;
        let error = read(folder.path(), &segment).unwrap_err().to_string();
        assert!(error.contains("the 1000 bytes that the manifest has"), "{error}");
    }
}
