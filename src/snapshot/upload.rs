//! Uploads checkpoints to the object store, and removes objects that are no longer needed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};

use crate::bus::Position;
use crate::core::values::time::timestamp;
use crate::snapshot::error::SnapshotError;
use crate::snapshot::manifest::{SnapshotFile, SnapshotManifest, state_hash};
use crate::snapshot::remote::Remote;
use crate::snapshot::series::SnapshotSeries;

/// A checkpoint to upload.
pub(super) struct UploadJob {
    pub series: SnapshotSeries,
    /// The folder of the checkpoint. It is removed after the upload.
    pub folder: PathBuf,
    pub position: Position,
    pub outcome: Arc<UploadOutcome>,
}

/// What became of the last upload of a store.
#[derive(Debug, Default)]
pub(super) struct UploadOutcome(AtomicU8);

const UPLOADED: u8 = 0;
const UNDER_WAY: u8 = 1;
const FAILED: u8 = 2;

impl UploadOutcome {
    pub fn set_under_way(&self) {
        self.0.store(UNDER_WAY, Ordering::Release);
    }

    fn set(&self, uploaded: bool) {
        self.0
            .store(if uploaded { UPLOADED } else { FAILED }, Ordering::Release);
    }

    pub fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Acquire) == UNDER_WAY
    }

    pub fn has_failed(&self) -> bool {
        self.0.load(Ordering::Acquire) == FAILED
    }
}

/// A file that no manifest names is removed at this age. A younger one may belong to an upload of another process that is under way.
const UNNAMED_FOR: Duration = Duration::from_secs(3600);

/// Files in the folder of a store that are not part of a snapshot.
const EXCLUDED: [&str; 3] = ["LOG", "LOCK", "DAMAGED"];

/// Identifies the contents of a local file without reading it: device, inode, length, time of change.
type FileKey = (u64, u64, u64, i64, i64);

/// Uploads checkpoints, on a thread of its own.
pub(super) struct Uploader {
    remote: Arc<Remote>,
    /// The number of snapshots to keep of each task.
    keep: usize,
    /// The SHA-256 of the files in the last snapshot of each task.
    hashes: BTreeMap<SnapshotSeries, HashMap<FileKey, String>>,
}

/// The files of a checkpoint.
#[derive(Default)]
struct CheckpointFiles {
    files: Vec<SnapshotFile>,
    hashes: HashMap<FileKey, String>,
    /// By name of the object: the local files that the object store does not have yet.
    missing: BTreeMap<String, PathBuf>,
    missing_bytes: u64,
}

impl Uploader {
    pub fn new(remote: Arc<Remote>, keep: usize) -> Self {
        Self {
            remote,
            keep,
            hashes: BTreeMap::new(),
        }
    }

    /// Uploads until the queue is closed.
    pub fn work(mut self, jobs: &Receiver<UploadJob>) {
        while let Ok(job) = jobs.recv() {
            let uploaded = self
                .upload(&job)
                .and_then(|()| prune(&self.remote, &job.series, self.keep, UNNAMED_FOR));
            if let Err(error) = &uploaded {
                tracing::warn!(
                    owner = job.series.owner,
                    "{error}; the next snapshot is tried when it is due"
                );
            }
            if let Err(error) = fs::remove_dir_all(&job.folder) {
                tracing::warn!("cannot remove {}: {error}", job.folder.display());
            }
            job.outcome.set(uploaded.is_ok());
        }
    }

    fn upload(&mut self, job: &UploadJob) -> Result<(), SnapshotError> {
        let began = Instant::now();
        if self
            .newest_state(&job.series)?
            .is_some_and(|newest| newest == state_hash(&job.position))
        {
            return Ok(());
        }
        let known = self.hashes.remove(&job.series).unwrap_or_default();
        let CheckpointFiles {
            files,
            hashes,
            missing,
            missing_bytes,
        } = self.list_files(job, &known)?;
        self.remote.put_files(missing.into_iter().collect())?;
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let taken = timestamp(now.as_millis().try_into().unwrap_or_default());
        let manifest = SnapshotManifest::new(job.series.owner.clone(), taken, &job.position, files);
        let (name, text) = manifest.write(now.as_millis())?;
        // The manifest comes last, so that all files that it names exist.
        self.remote.put(&format!("{}/{name}", job.series.snapshots()), text)?;
        self.hashes.insert(job.series.clone(), hashes);
        tracing::debug!(
            owner = job.series.owner,
            "snapshot {name} taken: {} MB, of which {} MB were new, in {} ms",
            manifest.bytes() >> 20,
            missing_bytes >> 20,
            began.elapsed().as_millis()
        );
        Ok(())
    }

    /// Lists and hashes the files of a checkpoint. `known` are the hashes of the files in the last snapshot.
    fn list_files(&self, job: &UploadJob, known: &HashMap<FileKey, String>) -> Result<CheckpointFiles, SnapshotError> {
        let folder = job.series.files();
        let existing: BTreeMap<String, u64> = self
            .remote
            .list(&folder)?
            .into_iter()
            .map(|object| (object.name, object.bytes))
            .collect();
        let mut found = CheckpointFiles::default();
        for entry in fs::read_dir(&job.folder).map_err(SnapshotError::io("list", &job.folder))? {
            let entry = entry.map_err(SnapshotError::io("list", &job.folder))?;
            let (path, Ok(name)) = (entry.path(), entry.file_name().into_string()) else {
                continue;
            };
            if EXCLUDED.contains(&name.as_str()) || name.starts_with("LOG.") {
                continue;
            }
            let meta = entry.metadata().map_err(SnapshotError::io("inspect", &path))?;
            if !meta.is_file() {
                continue;
            }
            let bytes = meta.len();
            let key = (meta.dev(), meta.ino(), bytes, meta.mtime(), meta.mtime_nsec());
            let sha256 = match known.get(&key) {
                Some(sha256) => sha256.clone(),
                None => hash_file(&path)?,
            };
            if existing.get(&sha256) != Some(&bytes)
                && found.missing.insert(format!("{folder}/{sha256}"), path).is_none()
            {
                found.missing_bytes += bytes;
            }
            found.hashes.insert(key, sha256.clone());
            found.files.push(SnapshotFile { name, bytes, sha256 });
        }
        found.files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The hash of the state in the newest snapshot.
    fn newest_state(&self, series: &SnapshotSeries) -> Result<Option<String>, SnapshotError> {
        let folder = series.snapshots();
        let Some(newest) = self.remote.list(&folder)?.pop() else {
            return Ok(None);
        };
        let text = self.remote.get(&format!("{folder}/{}", newest.name))?;
        Ok(SnapshotManifest::read(&newest.name, &text)
            .ok()
            .map(|manifest| manifest.state))
    }
}

/// Removes all but the newest `keep` snapshots, and the old files that none of those names.
pub(super) fn prune(
    remote: &Remote,
    series: &SnapshotSeries,
    keep: usize,
    unnamed_for: Duration,
) -> Result<(), SnapshotError> {
    let folder = series.snapshots();
    let mut snapshots = remote.list(&folder)?;
    let kept = snapshots.split_off(snapshots.len().saturating_sub(keep.max(1)));
    for old in &snapshots {
        remote.remove(&format!("{folder}/{}", old.name))?;
    }
    let mut needed = BTreeSet::new();
    for kept in &kept {
        match SnapshotManifest::read(&kept.name, &remote.get(&format!("{folder}/{}", kept.name))?) {
            Ok(manifest) => needed.extend(manifest.files.into_iter().map(|file| file.sha256)),
            // Which files it needs is unknown. Remove none until a restore has moved it away.
            Err(SnapshotError::Damaged { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    for file in remote.list(&series.files())? {
        let old = file.modified.elapsed().is_ok_and(|age| age >= unnamed_for);
        if old && !needed.contains(&file.name) {
            remote.remove(&format!("{}/{}", series.files(), file.name))?;
        }
    }
    Ok(())
}

fn hash_file(path: &Path) -> Result<String, SnapshotError> {
    let mut file = fs::File::open(path).map_err(SnapshotError::io("open", path))?;
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut chunk).map_err(SnapshotError::io("read", path))?;
        if read == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(&chunk[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Snapshots at these times, each of one file of its own and one file that all share.
    fn snapshots_at(folder: &Path, times: &[u128]) -> (Remote, SnapshotSeries) {
        let remote = Remote::open(&folder.display().to_string()).unwrap();
        let series = SnapshotSeries::new("a bus", "task", "somebody");
        for time in times {
            let own = hex::encode(Sha256::digest(time.to_be_bytes()));
            let files = [("shared", "5".repeat(64)), ("own", own)].map(|(name, sha256)| {
                remote.put(&format!("{}/{sha256}", series.files()), vec![1]).unwrap();
                SnapshotFile {
                    name: name.into(),
                    bytes: 1,
                    sha256,
                }
            });
            let manifest =
                SnapshotManifest::new("somebody".into(), "then".into(), &Position::default(), files.to_vec());
            let (name, text) = manifest.write(*time).unwrap();
            remote.put(&format!("{}/{name}", series.snapshots()), text).unwrap();
        }
        (remote, series)
    }

    fn count(remote: &Remote, folder: &str) -> usize {
        remote.list(folder).unwrap().len()
    }

    #[test]
    fn old_files_that_no_kept_snapshot_names_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (remote, series) = snapshots_at(folder.path(), &[1, 2, 3, 4]);
        // A young file may belong to an upload that is under way.
        prune(&remote, &series, 2, UNNAMED_FOR).unwrap();
        assert_eq!(
            (count(&remote, &series.snapshots()), count(&remote, &series.files())),
            (2, 5)
        );
        prune(&remote, &series, 2, Duration::ZERO).unwrap();
        assert_eq!(
            (count(&remote, &series.snapshots()), count(&remote, &series.files())),
            (2, 3)
        );
        // At least one snapshot is kept.
        prune(&remote, &series, 0, Duration::ZERO).unwrap();
        assert_eq!(
            (count(&remote, &series.snapshots()), count(&remote, &series.files())),
            (1, 2)
        );
    }

    #[test]
    fn no_file_is_removed_while_a_manifest_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let (remote, series) = snapshots_at(folder.path(), &[1, 2]);
        let damaged = format!("{}/000000000000003-0123456789abcdef.json", series.snapshots());
        remote.put(&damaged, b"{}".to_vec()).unwrap();
        prune(&remote, &series, 2, Duration::ZERO).unwrap();
        assert_eq!(
            (count(&remote, &series.snapshots()), count(&remote, &series.files())),
            (2, 3)
        );
    }
}
