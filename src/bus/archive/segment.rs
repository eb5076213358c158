//! A segment: a compressed file of records. Before compression, each record is its offset (8 bytes, little-endian), its length (4 bytes), and its
//! bytes.

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use crate::bus::archive::manifest::{Segment, sha256};
use crate::bus::error::FileError;
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
    first: Option<Offset>,
    records: u64,
}

impl SegmentBuilder {
    /// # Errors
    /// If the record is longer than 4 GB.
    pub fn push(&mut self, offset: Offset, value: &[u8]) -> Result<(), FileError> {
        let length = u32::try_from(value.len()).map_err(|_| FileError::Io {
            action: "archive",
            path: format!("the record at offset {offset}").into(),
            source: std::io::Error::other("it is longer than 4 GB"),
        })?;
        self.first.get_or_insert(offset);
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

    /// Writes the records to a new file in the folder `below` of the archive, and empties itself. The offset range of the segment ends at `next`.
    /// `None` if there is no record.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn finish(&mut self, archive: &Path, below: &str, next: Offset) -> Result<Option<Segment>, FileError> {
        let Some(first) = self.first.take() else {
            return Ok(None);
        };
        let file = format!("{below}/{first:020}.zst");
        let path = archive.join(&file);
        let compressed = zstd::encode_all(self.bytes.as_slice(), LEVEL).map_err(FileError::io("compress", &path))?;
        let folder = archive.join(below);
        fs::create_dir_all(&folder).map_err(FileError::io("make", &folder))?;
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
            sha256: sha256(&compressed),
        };
        self.bytes.clear();
        self.records = 0;
        Ok(Some(segment))
    }
}

/// Checks a segment's checksum and reads its records: their bytes, and each record's offset and range of bytes.
///
/// # Errors
/// `Damaged` if the file has changed.
#[allow(clippy::type_complexity, reason = "the arguments of `Batch::new`")]
pub fn read(archive: &Path, segment: &Segment) -> Result<(Vec<u8>, Vec<(Offset, Range<usize>)>), FileError> {
    let path = archive.join(&segment.file);
    let compressed = fs::read(&path).map_err(FileError::io("read", &path))?;
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
    let bytes = zstd::decode_all(compressed.as_slice()).map_err(|error| damaged(0, error.to_string()))?;
    let mut records = Vec::new();
    let mut at = 0;
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
        records.push((Offset::new(u64::from_le_bytes(*offset)), start..end));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let mut building = SegmentBuilder::default();
        assert_eq!(building.finish(folder.path(), "t/0", Offset::new(9)).unwrap(), None);
        let large = vec![b'x'; FULL + 1];
        let values: [(u64, &[u8]); 4] = [(3, b"one"), (4, b""), (90, b"\n\0\xff"), (91, &large)];
        for (offset, value) in values {
            assert!(!building.is_full());
            building.push(Offset::new(offset), value).unwrap();
        }
        assert!(building.is_full());
        let segment = building.finish(folder.path(), "t/0", Offset::new(95)).unwrap().unwrap();
        assert_eq!((segment.first, segment.next), (Offset::new(3), Offset::new(95)));
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
        let segment = building.finish(folder.path(), "t/0", Offset::new(1)).unwrap().unwrap();
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
}
