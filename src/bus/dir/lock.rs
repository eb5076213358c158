//! One process at a time works on a bus.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;

use crate::bus::dir::layout::Layout;
use crate::bus::error::BusError;

/// Takes the bus for this process until the file returned is dropped, or the process ends in whatever way.
///
/// The lock file and its folder are all that is made before the lock is held.
pub(super) fn take(layout: &Layout) -> Result<File, BusError> {
    let own = layout.own();
    if let Err(error) = fs::create_dir(&own)
        && error.kind() != ErrorKind::AlreadyExists
    {
        return Err(BusError::io("create", own)(error));
    }
    let path = layout.lock();
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(BusError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BusError::Locked {
            path: layout.root().to_path_buf(),
        }),
        Err(TryLockError::Error(error)) => Err(BusError::io("lock", path)(error)),
    }
}
