//! Making a store from the newest snapshot that is whole.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::snapshot::manifest::Manifest;
use crate::snapshot::{Series, SnapshotError, Snapshots};
use crate::store::StoreError;

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// When the snapshot was taken, in UTC.
    pub taken: String,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Snapshots {
    /// Puts the newest whole snapshot of `series` into `folder`, where nothing is yet; `None` if there is none. `check` looks whether what is in a
    /// folder is a store, every block of it, and such a one. A snapshot that is damaged is set aside, and the one before it is tried.
    ///
    /// # Errors
    /// If the object store cannot be reached, or a file of this machine cannot be written.
    pub fn restore(
        &self,
        series: &Series,
        folder: &Path,
        check: impl Fn(&Path) -> Result<(), StoreError>,
    ) -> Result<Option<Restored>, SnapshotError> {
        let names = self.remote.list(&series.snapshots())?;
        for name in names.into_iter().rev().map(|listed| listed.name) {
            let began = Instant::now();
            let arriving = self
                .folder
                .join(format!("{}-restored", series.folder.replace('/', "-")));
            let arrived = self.fetch(series, &name, &arriving).and_then(|manifest| {
                let checked = check(&arriving);
                checked
                    .map(|()| manifest)
                    .map_err(|error| SnapshotError::damaged(&name, error.to_string()))
            });
            match arrived {
                Ok(manifest) => {
                    if let Some(parent) = folder.parent() {
                        fs::create_dir_all(parent).map_err(SnapshotError::io("create", parent))?;
                    }
                    // What a process that ended left before the store was one.
                    match fs::remove_dir_all(folder) {
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                            return Err(SnapshotError::io("remove", folder)(error));
                        }
                        _ => {}
                    }
                    fs::rename(&arriving, folder).map_err(SnapshotError::io("move into place", folder))?;
                    let restored = Restored {
                        bytes: manifest.bytes(),
                        taken: manifest.taken,
                    };
                    tracing::info!(
                        owner = series.owner,
                        "restored from the snapshot of {}: {} MB in {} ms",
                        restored.taken,
                        restored.bytes >> 20,
                        began.elapsed().as_millis()
                    );
                    return Ok(Some(restored));
                }
                Err(error @ SnapshotError::Damaged { .. }) => {
                    tracing::error!(
                        owner = series.owner,
                        "a snapshot at {} is damaged and set aside in {}: {error}; the one before it is tried",
                        self.remote.shown(),
                        series.damaged(),
                    );
                    self.set_aside(series, &name, &error)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn fetch(&self, series: &Series, name: &str, into: &Path) -> Result<Manifest, SnapshotError> {
        match fs::remove_dir_all(into) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(SnapshotError::io("remove", into)(error));
            }
            _ => {}
        }
        fs::create_dir_all(into).map_err(SnapshotError::io("create", into))?;
        let text = self.remote.get(&format!("{}/{name}", series.snapshots()))?;
        let manifest = Manifest::read(name, &text)?;
        if manifest.owner != series.owner {
            return Err(SnapshotError::damaged(
                name,
                format!("it is of {:?}, not of {:?}", manifest.owner, series.owner),
            ));
        }
        let files: Vec<_> = manifest
            .files
            .iter()
            .map(|file| (format!("{}/{}", series.files(), file.sha256), file))
            .collect();
        self.remote.get_files(&files, into)?;
        Ok(manifest)
    }

    /// Puts a snapshot where nobody restores from, and its damaged file with it, so that the next upload writes that anew.
    fn set_aside(&self, series: &Series, name: &str, why: &SnapshotError) -> Result<(), SnapshotError> {
        let damaged = series.damaged();
        if let SnapshotError::Damaged { name: file, .. } = why
            && let Some(sum) = file.strip_prefix(&format!("{}/", series.files()))
        {
            match self.remote.rename(file, &format!("{damaged}/{sum}")) {
                // It is what is missing.
                Ok(()) | Err(SnapshotError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        match self
            .remote
            .rename(&format!("{}/{name}", series.snapshots()), &format!("{damaged}/{name}"))
        {
            // Somebody else did, or it was pruned.
            Err(SnapshotError::Damaged { .. }) => Ok(()),
            renamed => renamed,
        }
    }
}
