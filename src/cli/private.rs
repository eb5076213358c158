//! Who may read the files that a command creates.
//!
//! Stores and replays hold the balances of all customers, so their folders are 0700 and their files 0600. RocksDB gives its files another mode,
//! and has no setting for it. So the mask of the process withholds all rights of others, from the start. Results that the user has named get
//! the mode that the user's own mask gives.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::Mode;
use rustix::process::umask;

/// The mask that the process was started with, once it has another.
static USERS_MASK: OnceLock<Mode> = OnceLock::new();

/// From now on, new folders and files of this process are for its user alone.
pub(super) fn keep_files_private() {
    let before = umask(Mode::RWXG | Mode::RWXO);
    // A second call finds our own mask.
    let _ = USERS_MASK.set(before);
}

/// Creates or replaces a file that the user has named, with the mode that the user expects.
pub(super) fn create_result(path: &Path) -> io::Result<File> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => {
            if let Some(mask) = USERS_MASK.get() {
                file.set_permissions(Permissions::from_mode(0o666 & !mask.bits()))?;
            }
            Ok(file)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => File::create(path),
        Err(error) => Err(error),
    }
}
