//! Reads a file that others made. A link, a device or a pipe in its place is an error, and a file that is too large is not read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::bus::error::FileError;

/// Reads the regular file at `path`.
///
/// # Errors
/// `Damaged` if it is no regular file or has more than `most` bytes; else an error of the operating system.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    let damaged = |what: String| FileError::Damaged {
        file: path.to_owned(),
        at: 0,
        what,
    };
    let kind = std::fs::symlink_metadata(path)
        .map_err(FileError::io("read", path))?
        .file_type();
    if !kind.is_file() {
        return Err(damaged("it is no regular file".into()));
    }
    // Between the two calls it may have become a link or a pipe: neither is followed or waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(FileError::io("read", path))?;
    let size = file.metadata().map_err(FileError::io("read", path))?.len();
    if size > most {
        return Err(damaged(format!("it has {size} bytes, and may have {most}")));
    }
    let mut bytes = Vec::new();
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(FileError::io("read", path))?;
    Ok(bytes)
}
