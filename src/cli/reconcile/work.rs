//! The folder of a replay: kept under a name, or temporary.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use serde::{Deserialize, Serialize};

use crate::cli::outcome::Failure;
use crate::cli::private::keep_files_private;
use crate::cli::scratch::Scratch;

pub(super) enum WorkFolder {
    Kept(PathBuf),
    Temporary(Scratch),
}

/// The content of `replay.json` in a kept folder.
#[derive(Serialize, Deserialize)]
struct WorkOwner {
    format: u32,
    bus: String,
}

const FORMAT: u32 = 1;

impl WorkFolder {
    /// Opens the named folder, if it belongs to this bus, or creates a temporary one.
    pub(super) fn open(named: Option<&Path>, bus: &str) -> Result<Self, Failure> {
        let failed = |what: &str, path: &Path, error: io::Error| {
            Failure::Failed(format!("cannot {what} {}: {error}", path.display()))
        };
        let Some(path) = named else {
            return Scratch::new("replay").map(Self::Temporary);
        };
        keep_files_private();
        fs::create_dir_all(path).map_err(|error| failed("create", path, error))?;
        let file = path.join("replay.json");
        let owner = WorkOwner {
            format: FORMAT,
            bus: bus.to_owned(),
        };
        match fs::read(&file) {
            Ok(bytes) => {
                let known = serde_json::from_slice::<WorkOwner>(&bytes).ok();
                if known.is_none_or(|known| known.format != owner.format || known.bus != owner.bus) {
                    return Err(Failure::Usage(format!(
                        "{} holds a replay of another bus, or of another version of softstake: name another folder, or remove it",
                        path.display()
                    )));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let owner = serde_json::to_vec(&owner)?;
                // Whole or not at all: a command that is killed here must not leave a folder that nobody can use.
                let new = file.with_extension("new");
                let written = fs::write(&new, owner).and_then(|()| fs::rename(&new, &file));
                written.map_err(|error| failed("write", &file, error))?;
            }
            Err(error) => return Err(failed("read", &file, error)),
        }
        Ok(Self::Kept(path.to_owned()))
    }

    /// Removes the stores of a temporary folder, on a thread of its own.
    pub(super) fn remove_stores(&self) -> JoinHandle<()> {
        let stores = match self {
            Self::Kept(_) => None,
            Self::Temporary(folder) => Some(folder.path().join("state")),
        };
        thread::spawn(move || {
            if let Some(stores) = stores {
                // Files that stay are removed with the folder.
                let _ = fs::remove_dir_all(stores);
            }
        })
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_folder_belongs_to_its_bus_even_after_a_torn_beginning() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("work");
        let open = |bus: &str| WorkFolder::open(Some(&path), bus).map(|folder| folder.path().to_owned());
        fs::create_dir(&path).unwrap();
        fs::write(path.join("replay.new"), "{").unwrap();
        assert_eq!(open("dir:a").ok(), Some(path.clone()));
        assert_eq!(open("dir:a").ok(), Some(path.clone()));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "nothing but replay.json");
        let Err(Failure::Usage(said)) = open("dir:b") else {
            panic!("it is of another bus");
        };
        assert!(said.contains("holds a replay of another bus"), "{said}");
    }
}
