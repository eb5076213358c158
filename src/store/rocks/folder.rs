//! The files in the folder of a store.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::store::error::StoreError;

/// Name and length of RocksDB's manifest. Whenever the files of the store change, it grows or is replaced. `None` while it is replaced.
pub(super) fn manifest(path: &Path) -> Result<Option<(String, u64)>, StoreError> {
    let current = path.join("CURRENT");
    let name = match fs::read_to_string(&current) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        name => name.map_err(StoreError::io("read", &current))?,
    };
    let file = path.join(name.trim_end());
    match fs::metadata(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        metadata => {
            let len = metadata.map_err(StoreError::io("read", &file))?.len();
            Ok(Some((name, len)))
        }
    }
}

/// Whether a folder has table files of RocksDB.
pub(super) fn has_tables(path: &Path) -> Result<bool, StoreError> {
    for entry in fs::read_dir(path).map_err(StoreError::io("list", path))? {
        let name = entry.map_err(StoreError::io("list", path))?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "sst") {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn remove_files(directory: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(directory).map_err(StoreError::io("list", directory))? {
        let file = entry.map_err(StoreError::io("list", directory))?.path();
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::io("remove", &file)(error));
            }
            _ => (),
        }
    }
    Ok(())
}
