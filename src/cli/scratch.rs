//! Temporary folders of commands.
//!
//! A command that ends removes its folder. One that is killed cannot, so the next start of the same command does. It must not remove the folder
//! of a command that still runs: each folder holds a file `lock`, which its process has locked for as long as it runs.

use std::fs::{self, DirEntry, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use crate::cli::outcome::Failure;
use crate::cli::private::keep_files_private;

/// The name of the file in each folder.
const LOCK: &str = "lock";

/// A temporary folder, which is removed when this is dropped.
pub(super) struct Scratch {
    path: PathBuf,
    kept: bool,
    _lock: File,
}

impl Scratch {
    /// Creates a folder for `command`, and removes those that stopped processes of this user have left behind.
    pub(super) fn new(command: &str) -> Result<Self, Failure> {
        Self::new_in(&std::env::temp_dir(), command)
    }

    fn new_in(parent: &Path, command: &str) -> Result<Self, Failure> {
        keep_files_private();
        let prefix = format!("softstake-{command}-");
        remove_abandoned(parent, &prefix);
        let failed =
            |error: io::Error| Failure::Failed(format!("cannot create a folder in {}: {error}", parent.display()));
        loop {
            let folder = tempfile::Builder::new()
                .prefix(&prefix)
                .tempdir_in(parent)
                .map_err(failed)?;
            // From here on, another process may find it abandoned, until it is locked.
            if let Some(lock) = lock_new(folder.path()).map_err(failed)? {
                return Ok(Self {
                    path: folder.keep(),
                    kept: false,
                    _lock: lock,
                });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder to the user.
    pub(super) fn keep(mut self) -> PathBuf {
        self.kept = true;
        // Without this file, no later start takes it for abandoned.
        let _ = fs::remove_file(self.path.join(LOCK));
        self.path.clone()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            // What stays is removed by the next start.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Locks a new folder for this process; `None` if another process has just taken it for abandoned and removed it.
fn lock_new(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let ours = file.metadata()?;
    let is_ours = fs::metadata(&path).is_ok_and(|found| (found.dev(), found.ino()) == (ours.dev(), ours.ino()));
    Ok(is_ours.then_some(file))
}

/// Removes the folders with this prefix that belong to no running process. What cannot be removed stays.
fn remove_abandoned(parent: &Path, prefix: &str) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        match remove_if_abandoned(&entry) {
            Ok(true) => tracing::info!(
                "removed {}, which a stopped command had left behind",
                entry.path().display()
            ),
            Ok(false) => {}
            Err(error) => tracing::debug!("cannot remove {}: {error}", entry.path().display()),
        }
    }
}

fn remove_if_abandoned(entry: &DirEntry) -> io::Result<bool> {
    let path = entry.path();
    // Others may write to the folder for temporary files, so nothing but a real folder of this user is touched.
    let metadata = fs::symlink_metadata(&path)?;
    if !metadata.is_dir() || metadata.uid() != geteuid().as_raw() {
        return Ok(false);
    }
    let lock = OpenOptions::new()
        .write(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path.join(LOCK));
    let lock = match lock {
        Ok(lock) => lock,
        // Its process has just created it, was stopped before it could lock it, or left it to the user. Only an empty one can be removed so.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(fs::remove_dir(&path).is_ok()),
        Err(error) => return Err(error),
    };
    match lock.try_lock() {
        Ok(()) => fs::remove_dir_all(&path).map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(parent: &Path) -> usize {
        fs::read_dir(parent).unwrap().count()
    }

    #[test]
    fn a_folder_is_removed_at_the_end_unless_it_is_kept() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::new_in(parent.path(), "test").unwrap();
        fs::write(scratch.path().join("file"), "x").unwrap();
        drop(scratch);
        assert_eq!(folders(parent.path()), 0);
        let kept = Scratch::new_in(parent.path(), "test").unwrap().keep();
        fs::write(kept.join("file"), "x").unwrap();
        drop(Scratch::new_in(parent.path(), "test").unwrap());
        assert!(kept.join("file").exists());
        assert_eq!(folders(parent.path()), 1);
    }

    #[test]
    fn only_abandoned_folders_of_the_same_command_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let running = Scratch::new_in(parent.path(), "test").unwrap();
        let make = |name: &str, files: &[&str]| {
            let folder = parent.path().join(name);
            fs::create_dir(&folder).unwrap();
            for file in files {
                fs::write(folder.join(file), "x").unwrap();
            }
            folder
        };
        let abandoned = make("softstake-test-abandoned", &["lock", "file"]);
        let empty = make("softstake-test-empty", &[]);
        let left_to_user = make("softstake-test-kept", &["file"]);
        let other_command = make("softstake-other-abandoned", &["lock"]);
        let elsewhere = make("elsewhere", &["lock", "file"]);
        std::os::unix::fs::symlink(&elsewhere, parent.path().join("softstake-test-link")).unwrap();
        let next = Scratch::new_in(parent.path(), "test").unwrap();
        for (path, stays) in [
            (running.path(), true),
            (next.path(), true),
            (&abandoned, false),
            (&empty, false),
            (&left_to_user, true),
            (&other_command, true),
            (&elsewhere.join("file"), true),
        ] {
            assert_eq!(path.exists(), stays, "{}", path.display());
        }
    }

    /// A process that looks for abandoned folders may do so while another has created its own, but not locked it yet.
    #[test]
    fn many_start_at_once() {
        let parent = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let scratch = Scratch::new_in(parent.path(), "test").unwrap();
                        fs::write(scratch.path().join("file"), "x").unwrap();
                        std::thread::yield_now();
                        assert!(scratch.path().join("file").exists());
                        assert!(scratch.path().join(LOCK).exists());
                    }
                });
            }
        });
        assert_eq!(folders(parent.path()), 0);
    }
}
