//! The few operations by which the bus changes the disk, behind a trait: the crash tests stop at each of them.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::bus::error::BusError;

/// Everything that changes the disk after the lock is taken.
pub(super) trait Disk: Send + Sync {
    /// Makes a folder, unless it is there.
    fn create_folder(&self, path: &Path) -> Result<(), BusError>;
    /// Makes a file, or empties the one that is there.
    fn create(&self, path: &Path) -> Result<File, BusError>;
    /// Opens a file as it is, and makes it if it is missing.
    fn open(&self, path: &Path) -> Result<File, BusError>;
    /// Writes all of `bytes` at byte `at`.
    fn write(&self, file: &File, path: &Path, bytes: &[u8], at: u64) -> Result<(), BusError>;
    /// Makes the content of a file durable.
    fn sync(&self, file: &File, path: &Path) -> Result<(), BusError>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> Result<(), BusError>;
    /// Renames a file, replacing what has the name.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), BusError>;
}

/// The disk itself.
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn create_folder(&self, path: &Path) -> Result<(), BusError> {
        match fs::create_dir(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(BusError::io("create", path)(error)),
            _ => Ok(()),
        }
    }

    fn create(&self, path: &Path) -> Result<File, BusError> {
        File::create(path).map_err(BusError::io("create", path))
    }

    fn open(&self, path: &Path) -> Result<File, BusError> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(BusError::io("open", path))
    }

    fn write(&self, file: &File, path: &Path, bytes: &[u8], at: u64) -> Result<(), BusError> {
        file.write_all_at(bytes, at).map_err(BusError::io("write to", path))
    }

    fn sync(&self, file: &File, path: &Path) -> Result<(), BusError> {
        file.sync_data().map_err(BusError::io("make durable", path))
    }

    fn sync_folder(&self, path: &Path) -> Result<(), BusError> {
        File::open(path)
            .and_then(|folder| folder.sync_all())
            .map_err(BusError::io("make durable", path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), BusError> {
        fs::rename(from, to).map_err(BusError::io("rename", from))
    }
}

/// Reads up to `len` bytes at `at` onto the end of `buffer`; fewer only where the file ends. Returns how many.
pub(super) fn read_at(file: &File, path: &Path, buffer: &mut Vec<u8>, at: u64, len: usize) -> Result<usize, BusError> {
    let start = buffer.len();
    buffer.resize(start + len, 0);
    let mut done = 0;
    while done < len {
        match file.read_at(&mut buffer[start + done..], at + to_u64(done)) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(BusError::io("read", path)(error)),
        }
    }
    buffer.truncate(start + done);
    Ok(done)
}

/// A length in memory as a length on disk.
pub(super) fn to_u64(len: usize) -> u64 {
    // No machine has memory that 64 bits cannot count.
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A length on disk as one in memory, cut to `most`.
pub(super) fn at_most(len: u64, most: usize) -> usize {
    usize::try_from(len).map_or(most, |len| len.min(most))
}
