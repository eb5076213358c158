//! Restores a store from its newest snapshot that is complete and of this log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::bus::Position;
use crate::snapshot::claim::claim;
use crate::snapshot::error::SnapshotError;
use crate::snapshot::manifest::{self, SnapshotManifest};
use crate::snapshot::remote::remove_folder;
use crate::snapshot::series::SnapshotSeries;
use crate::snapshot::snapshots::Snapshots;
use crate::store::rocks::RocksStore;
use crate::store::{Store, StoreError};

/// Which snapshots of a series a task may use.
#[derive(Debug, Clone, Copy)]
pub struct Usable<'a> {
    /// The committed position of the task.
    pub committed: Option<&'a Position>,
    /// The names of snapshots that turned out to be of another log, when a task had recovered from them.
    pub refuted: &'a BTreeSet<String>,
}

impl Snapshots {
    /// Restores the newest usable snapshot of `series` to `folder`, where no store is yet. Returns whether there was one.
    ///
    /// `open` must open the store in a folder, and reject one that is not a whole, undamaged store of this series. A damaged snapshot is moved away, and
    /// the one before it is tried. One of another log is left where it is, and the one before it is tried.
    ///
    /// # Errors
    /// If the object store cannot be reached, a local file cannot be written, the place is of another deployment, or a snapshot is past the committed
    /// position.
    pub fn restore(
        &self,
        series: &SnapshotSeries,
        folder: &Path,
        usable: Usable<'_>,
        open: impl Fn(&Path) -> Result<RocksStore, StoreError>,
    ) -> Result<bool, SnapshotError> {
        claim(&self.remote, &series.deployment)?;
        let names = self.remote.list(&series.snapshots())?;
        for name in names.into_iter().rev().map(|object| object.name) {
            let began = Instant::now();
            let arriving = self.folder.join(format!("{}-restored", series.local_name()));
            let arrived = self
                .usable_manifest(series, &name, usable)
                .and_then(|manifest| self.fetch(series, &name, manifest, &arriving, &open));
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
                Err(error @ SnapshotError::OtherLog { .. }) => {
                    tracing::error!(
                        owner = series.owner,
                        "{error}; it is not used, and the one before it is tried"
                    );
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

    /// The manifest of a snapshot, if the snapshot may be used.
    fn usable_manifest(
        &self,
        series: &SnapshotSeries,
        name: &str,
        usable: Usable<'_>,
    ) -> Result<SnapshotManifest, SnapshotError> {
        let other_log = |what: String| SnapshotError::OtherLog {
            name: name.to_owned(),
            place: self.remote.place().to_owned(),
            what,
        };
        if usable.refuted.contains(name) {
            return Err(other_log(
                "a task that had recovered from it found that it has read other records".into(),
            ));
        }
        let text = self
            .remote
            .get(&format!("{}/{name}", series.snapshots()), manifest::MAX_BYTES)?;
        let manifest = SnapshotManifest::read(name, &text)?;
        let start = Position::default();
        let committed = usable.committed.unwrap_or(&start);
        if let Some(what) = manifest.is_foreign(series, committed) {
            return Err(other_log(what));
        }
        if let Some(what) = manifest.position.difference_past(committed) {
            return Err(SnapshotError::Ahead {
                name: name.to_owned(),
                place: self.remote.place().to_owned(),
                what,
            });
        }
        Ok(manifest)
    }

    /// Fetches the files of a snapshot into the folder `into`, and checks the store that they make.
    fn fetch(
        &self,
        series: &SnapshotSeries,
        name: &str,
        manifest: SnapshotManifest,
        into: &Path,
        open: impl Fn(&Path) -> Result<RocksStore, StoreError>,
    ) -> Result<SnapshotManifest, SnapshotError> {
        remove_folder(into)?;
        fs::create_dir_all(into).map_err(SnapshotError::io("create", into))?;
        let objects = self.remote.list(&series.files())?.into_iter();
        let sizes: BTreeMap<String, u64> = objects.map(|object| (object.name, object.bytes)).collect();
        let mut files = Vec::new();
        for file in &manifest.files {
            let object = format!("{}/{}", series.files(), file.sha256);
            match sizes.get(&file.sha256) {
                Some(bytes) if *bytes == file.bytes => files.push((object, file)),
                Some(bytes) => return Err(file.has_other_size(&object, *bytes)),
                None => return Err(SnapshotError::damaged(object, "it is missing")),
            }
        }
        self.remote.get_files(&files, into)?;
        let damaged = |error: StoreError| SnapshotError::damaged(name, error.to_string());
        let store = open(into).map_err(damaged)?;
        if !store.position().is_same_state(&manifest.position) {
            return Err(SnapshotError::damaged(
                name,
                "its store is at another position than its manifest",
            ));
        }
        drop(store);
        RocksStore::note_snapshot(into, name).map_err(damaged)?;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::bus::{DeploymentId, DeploymentIdentity};
    use crate::snapshot::manifest::SnapshotFile;
    use crate::snapshot::snapshots::SnapshotSettings;

    const CONTENTS: &[u8] = b"0123456789";

    /// Restores from a place with one file, of which the manifest has this size and this hash. Returns the error that moved the snapshot away.
    fn restored(bytes: u64, sha256: &str, make: impl FnOnce(&Path)) -> String {
        let (place, local) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let settings = SnapshotSettings {
            place: place.path().display().to_string().parse().unwrap(),
            every: Duration::from_secs(600),
            keep: 3,
            at_close: false,
        };
        let snapshots = Snapshots::open(settings, &local.path().join("work")).unwrap();
        let deployment = DeploymentIdentity {
            bus: "a bus".into(),
            id: DeploymentId::random(),
        };
        let series = SnapshotSeries::new(&deployment, "task", "somebody");
        let file = SnapshotFile {
            name: "CURRENT".into(),
            bytes,
            sha256: sha256.into(),
        };
        let manifest = SnapshotManifest::new(&series, "then".into(), Position::default(), vec![file]);
        let (name, text) = manifest.write(1).unwrap();
        let files = place.path().join(series.files());
        fs::create_dir_all(&files).unwrap();
        make(&files.join(sha256));
        let manifest = format!("{}/{name}", series.snapshots());
        snapshots.remote.put(&manifest, text).unwrap();
        let usable = Usable {
            committed: None,
            refuted: &BTreeSet::new(),
        };
        let open = |_: &Path| -> Result<RocksStore, StoreError> { unreachable!("nothing of the snapshot may be used") };
        let why = snapshots
            .usable_manifest(&series, &name, usable)
            .and_then(|manifest| snapshots.fetch(&series, &name, manifest, &local.path().join("arriving"), open))
            .unwrap_err()
            .to_string();
        let into = local.path().join("store");
        assert!(!snapshots.restore(&series, &into, usable, open).unwrap());
        assert!(!into.exists() && !place.path().join(&manifest).exists());
        assert!(place.path().join(series.damaged()).join(&name).exists());
        snapshots.finish();
        why
    }

    #[test]
    fn no_file_is_fetched_whose_size_the_manifest_does_not_say() {
        let sum = hex::encode(Sha256::digest(CONTENTS));
        for bytes in [0, 1, 9, 11, 1 << 40] {
            let why = restored(bytes, &sum, |path| fs::write(path, CONTENTS).unwrap());
            let wanted = format!("it should be CURRENT, but has 10 bytes instead of {bytes}");
            assert!(why.contains(&wanted), "{why}");
        }
        let why = restored(10, &"0".repeat(64), |path| fs::write(path, CONTENTS).unwrap());
        assert!(why.contains("has SHA-256"), "{why}");
        // A gigabyte of zeros that takes no room on the disk.
        let why = restored(10, &sum, |path| {
            fs::File::create(path).unwrap().set_len(1 << 30).unwrap();
        });
        assert!(why.contains("has 1073741824 bytes instead of 10"), "{why}");
    }

    #[test]
    fn nothing_but_a_regular_file_is_fetched() {
        let sum = hex::encode(Sha256::digest(CONTENTS));
        let fifo = |path: &Path| {
            let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
            assert!(made.success());
        };
        assert!(restored(10, &sum, fifo).contains("it is missing"));
        let device = |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        assert!(restored(10, &sum, device).contains("it is missing"));
        assert!(restored(10, &sum, |path| fs::create_dir(path).unwrap()).contains("it is missing"));
    }
}
