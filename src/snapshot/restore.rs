//! Restores a store from its newest complete snapshot.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::snapshot::error::SnapshotError;
use crate::snapshot::manifest::SnapshotManifest;
use crate::snapshot::remote::remove_folder;
use crate::snapshot::series::SnapshotSeries;
use crate::snapshot::snapshots::Snapshots;
use crate::store::StoreError;

impl Snapshots {
    /// Restores the newest complete snapshot of `series` to `folder`, where no store is yet. Returns whether there was one.
    ///
    /// `check` must reject a folder that is not a whole, undamaged store of this series. A damaged snapshot is moved away, and the one before it is
    /// tried.
    ///
    /// # Errors
    /// If the object store cannot be reached, or a local file cannot be written.
    pub fn restore(
        &self,
        series: &SnapshotSeries,
        folder: &Path,
        check: impl Fn(&Path) -> Result<(), StoreError>,
    ) -> Result<bool, SnapshotError> {
        let names = self.remote.list(&series.snapshots())?;
        for name in names.into_iter().rev().map(|object| object.name) {
            let began = Instant::now();
            let arriving = self.folder.join(format!("{}-restored", series.local_name()));
            let arrived = self.fetch(series, &name, &arriving).and_then(|manifest| {
                let checked = check(&arriving);
                checked
                    .map(|()| manifest)
                    .map_err(|error| SnapshotError::damaged(&name, error.to_string()))
            });
            match arrived {
                Ok(manifest) => {
                    move_into_place(&arriving, folder)?;
                    tracing::info!(
                        owner = series.owner,
                        "restored from the snapshot of {}: {} MB in {} ms",
                        manifest.taken,
                        manifest.bytes() >> 20,
                        began.elapsed().as_millis()
                    );
                    return Ok(true);
                }
                Err(error @ SnapshotError::Damaged { .. }) => {
                    tracing::error!(
                        owner = series.owner,
                        "a snapshot at {} is damaged and moved to {}: {error}; trying the snapshot before it",
                        self.remote.place(),
                        series.damaged(),
                    );
                    self.move_away(series, &name, &error)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn fetch(&self, series: &SnapshotSeries, name: &str, into: &Path) -> Result<SnapshotManifest, SnapshotError> {
        remove_folder(into)?;
        fs::create_dir_all(into).map_err(SnapshotError::io("create", into))?;
        let text = self.remote.get(&format!("{}/{name}", series.snapshots()))?;
        let manifest = SnapshotManifest::read(name, &text)?;
        if manifest.owner != series.owner {
            return Err(SnapshotError::damaged(
                name,
                format!("it belongs to {:?}, not to {:?}", manifest.owner, series.owner),
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

    /// Moves a damaged snapshot away, so that no restore tries it again. Also moves its damaged file, so that the next upload writes that file anew.
    fn move_away(&self, series: &SnapshotSeries, name: &str, why: &SnapshotError) -> Result<(), SnapshotError> {
        let damaged = series.damaged();
        if let SnapshotError::Damaged { name: file, .. } = why
            && let Some(sum) = file.strip_prefix(&format!("{}/", series.files()))
        {
            match self.remote.rename(file, &format!("{damaged}/{sum}")) {
                // `Damaged` here: the file is missing.
                Ok(()) | Err(SnapshotError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        match self
            .remote
            .rename(&format!("{}/{name}", series.snapshots()), &format!("{damaged}/{name}"))
        {
            // Another process has moved or removed it.
            Err(SnapshotError::Damaged { .. }) => Ok(()),
            renamed => renamed,
        }
    }
}

fn move_into_place(arrived: &Path, folder: &Path) -> Result<(), SnapshotError> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(SnapshotError::io("create", parent))?;
    }
    // An earlier process may have ended before it had created a whole store.
    remove_folder(folder)?;
    fs::rename(arrived, folder).map_err(SnapshotError::io("move into place", folder))
}
