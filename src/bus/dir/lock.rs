//! The lock of a bus: one process at a time works on it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;

use crate::bus::dir::disk::is_regular;
use crate::bus::dir::layout::DirLayout;
use crate::bus::error::{FileError, OpenError};

/// Locks the bus for this process, until the returned file is dropped or the process ends in any way.
///
/// Before the lock is acquired, only the lock file and its folder are created.
pub(super) fn acquire(layout: &DirLayout) -> Result<File, OpenError> {
    let own = layout.own();
    if let Err(error) = fs::create_dir(&own)
        && error.kind() != ErrorKind::AlreadyExists
    {
        return Err(FileError::io("create", own)(error).into());
    }
    let path = layout.lock();
    is_regular(&path)?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(FileError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
            path: layout.root().to_path_buf(),
        }),
        Err(TryLockError::Error(error)) => Err(FileError::io("lock", path)(error).into()),
    }
}
