//! The lock of a bus: one process at a time works on it.

use std::fs::{File, TryLockError};

use crate::bus::dir::disk::{Disk, RealDisk};
use crate::bus::dir::layout::DirLayout;
use crate::bus::error::{FileError, OpenError};

/// Locks the bus for this process, until the returned file is dropped or the process ends in any way.
///
/// Before the lock is acquired, only the lock file and its folder are created.
pub(super) fn acquire(layout: &DirLayout) -> Result<File, OpenError> {
    RealDisk.create_folder(&layout.own())?;
    let path = layout.lock();
    let file = RealDisk.open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
            path: layout.root().to_path_buf(),
        }),
        Err(TryLockError::Error(error)) => Err(FileError::io("lock", path)(error).into()),
    }
}
