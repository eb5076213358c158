//! One process at a time works on a bus.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;

use crate::bus::dir::layout::Layout;
use crate::bus::error::{FileError, OpenError};

/// Takes the bus for this process until the file returned is dropped, or the process ends in whatever way.
///
/// The lock file and its folder are all that is made before the lock is held.
pub(super) fn take(layout: &Layout) -> Result<File, OpenError> {
    let own = layout.own();
    if let Err(error) = fs::create_dir(&own)
        && error.kind() != ErrorKind::AlreadyExists
    {
        return Err(FileError::io("create", own)(error).into());
    }
    let path = layout.lock();
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
