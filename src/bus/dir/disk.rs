//! The operations that change the disk, behind a trait: the crash tests stop at each of them.

use std::fs::{self, File, FileType, Metadata, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::OFlags;
use rustix::io::{Errno, pread};

use crate::bus::error::FileError;

/// Everything that changes the disk after the lock is acquired.
pub(super) trait Disk: Send + Sync {
    /// Creates a folder, unless it exists.
    fn create_folder(&self, path: &Path) -> Result<(), FileError>;
    /// Creates a file, or empties the existing one.
    fn create(&self, path: &Path) -> Result<File, FileError>;
    /// Opens a file, and creates it if it is missing.
    fn open(&self, path: &Path) -> Result<File, FileError>;
    /// Writes all of `bytes` at byte `at`.
    fn write(&self, file: &File, path: &Path, bytes: &[u8], at: u64) -> Result<(), FileError>;
    /// Makes the content of a file durable.
    fn sync(&self, file: &File, path: &Path) -> Result<(), FileError>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> Result<(), FileError>;
    /// Renames a file. Replaces a file with the new name.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError>;
}

/// The real disk.
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn create_folder(&self, path: &Path) -> Result<(), FileError> {
        match fs::create_dir(path) {
            Ok(()) => {
                let mode = 0o700 | mode_of_parent(path)? & 0o055;
                let set = fs::set_permissions(path, Permissions::from_mode(mode));
                set.map_err(FileError::io("set the mode of", path))
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(FileError::io("create", path)(error)),
        }
    }

    fn create(&self, path: &Path) -> Result<File, FileError> {
        is_regular(path)?;
        let file = File::create(path).map_err(FileError::io("create", path))?;
        share(&file, path)?;
        Ok(file)
    }

    fn open(&self, path: &Path) -> Result<File, FileError> {
        is_regular(path)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(FileError::io("open", path))?;
        // An empty file is new, or its process was stopped before it could set the mode.
        if file.metadata().map_err(FileError::io("look at", path))?.len() == 0 {
            share(&file, path)?;
        }
        Ok(file)
    }

    fn write(&self, file: &File, path: &Path, bytes: &[u8], at: u64) -> Result<(), FileError> {
        file.write_all_at(bytes, at).map_err(FileError::io("write to", path))
    }

    fn sync(&self, file: &File, path: &Path) -> Result<(), FileError> {
        file.sync_data().map_err(FileError::io("make durable", path))
    }

    fn sync_folder(&self, path: &Path) -> Result<(), FileError> {
        File::open(path)
            .and_then(|folder| folder.sync_all())
            .map_err(FileError::io("make durable", path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        fs::rename(from, to).map_err(FileError::io("rename", from))
    }
}

/// Lets those read a new file who may read its folder. Others read what a bus holds, but this process may withhold its new files from them.
fn share(file: &File, path: &Path) -> Result<(), FileError> {
    let mode = 0o600 | mode_of_parent(path)? & 0o044;
    match file.set_permissions(Permissions::from_mode(mode)) {
        // An existing file may belong to another user.
        Err(error) if error.kind() != ErrorKind::PermissionDenied => Err(FileError::io("set the mode of", path)(error)),
        _ => Ok(()),
    }
}

fn mode_of_parent(path: &Path) -> Result<u32, FileError> {
    let parent = path.parent().unwrap_or(path);
    let metadata = fs::metadata(parent).map_err(FileError::io("look at", parent))?;
    Ok(metadata.permissions().mode())
}

/// Opens a file to read it; `None` if there is none.
///
/// # Errors
/// `NotAFile` if something else has this name. It is not opened: that would wait for the other end of a FIFO, or could start a device.
pub(super) fn open_regular(path: &Path) -> Result<Option<File>, FileError> {
    if !is_regular(path)? {
        return Ok(None);
    }
    // Something else may have taken the name since. This flag changes nothing about a file.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    match opened {
        Ok(file) => {
            let metadata = file.metadata().map_err(FileError::io("look at", path))?;
            expect_regular(path, &metadata)?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::io("open", path)(error)),
    }
}

/// Whether there is a file with this name; `false` if nothing has it.
///
/// # Errors
/// `NotAFile` if something else has this name.
pub(super) fn is_regular(path: &Path) -> Result<bool, FileError> {
    match fs::metadata(path) {
        Ok(metadata) => expect_regular(path, &metadata).map(|()| true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::io("look at", path)(error)),
    }
}

fn expect_regular(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    let kind = other_kind(metadata.file_type());
    kind.map_or(Ok(()), |kind| Err(not_a_file(path, kind)))
}

fn not_a_file(path: &Path, kind: &'static str) -> FileError {
    FileError::NotAFile {
        path: path.to_path_buf(),
        kind,
    }
}

/// # Errors
/// `NotAFile` if this name, which exists, is not that of a file.
pub(super) fn expect_file(path: &Path) -> Result<(), FileError> {
    kind_of(path)?.map_or(Ok(()), |kind| Err(not_a_file(path, kind)))
}

/// What has this name, with its article, if it is no regular file. The name exists.
pub(super) fn kind_of(path: &Path) -> Result<Option<&'static str>, FileError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(other_kind(metadata.file_type())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some("a link to nothing")),
        Err(error) => Err(FileError::io("look at", path)(error)),
    }
}

fn other_kind(kind: FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() {
        Some("a FIFO")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

/// Appends up to `len` bytes at byte `at` of a file to `buffer`; fewer only at the end of the file. Returns how many.
pub(super) fn read_at(file: &File, path: &Path, buffer: &mut Vec<u8>, at: u64, len: usize) -> Result<usize, FileError> {
    let start = buffer.len();
    buffer.reserve(len);
    while buffer.len() < start + len {
        let at = at + to_u64(buffer.len() - start);
        // Without zeros to overwrite. It may read more than is asked for, up to the capacity.
        match pread(file, spare_capacity(buffer), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(FileError::io("read", path)(error.into())),
        }
    }
    buffer.truncate(start + len);
    Ok(buffer.len() - start)
}

/// A length in memory as a length on disk.
pub(super) fn to_u64(len: usize) -> u64 {
    // Lengths in memory always fit into 64 bits.
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A length on disk as a length in memory, at most `most`.
pub(super) fn at_most(len: u64, most: usize) -> usize {
    usize::try_from(len).map_or(most, |len| len.min(most))
}
