//! Uploads checkpoints to the object store, and removes objects that are no longer needed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};

use crate::bus::Position;
use crate::core::values::time::timestamp;
use crate::snapshot::claim::claim;
use crate::snapshot::error::SnapshotError;
use crate::snapshot::figures::{SnapshotEntry, SnapshotFigures};
use crate::snapshot::manifest::{self, EXCLUDED, SnapshotFile, SnapshotManifest};
use crate::snapshot::refusal::Refusal;
use crate::snapshot::remote::Remote;
use crate::snapshot::series::SnapshotSeries;
use crate::spans::{SPANS, attribute};

/// A checkpoint to upload.
pub(super) struct UploadJob {
    pub series: SnapshotSeries,
    /// The folder of the checkpoint. It is removed after the upload.
    pub folder: PathBuf,
    pub position: Position,
    /// Whether no other process works on the deployment.
    pub alone: bool,
    pub entry: SnapshotEntry,
    /// When the checkpoint was made.
    pub taken: Instant,
    pub outcome: Arc<UploadOutcome>,
}

/// What became of the uploads of a store.
#[derive(Debug, Default)]
pub(super) struct UploadOutcome {
    last: AtomicU8,
    /// The names of the task's snapshots after the last upload. A name that is new at the next one is that of another process.
    known: Mutex<Option<BTreeSet<String>>>,
}

const UPLOADED: u8 = 0;
const UNDER_WAY: u8 = 1;
const FAILED: u8 = 2;

impl UploadOutcome {
    pub fn set_under_way(&self) {
        self.last.store(UNDER_WAY, Ordering::Release);
    }

    fn set(&self, uploaded: bool) {
        self.last
            .store(if uploaded { UPLOADED } else { FAILED }, Ordering::Release);
    }

    pub fn is_under_way(&self) -> bool {
        self.last.load(Ordering::Acquire) == UNDER_WAY
    }

    pub fn has_failed(&self) -> bool {
        self.last.load(Ordering::Acquire) == FAILED
    }

    fn set_known(&self, names: BTreeSet<String>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
    }

    /// A name that was not known after the last upload.
    fn unknown<'a>(&self, names: &'a BTreeSet<String>) -> Option<&'a String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref()?;
        names.iter().rev().find(|name| !known.contains(*name))
    }
}

/// How long no upload is tried after the place did not answer.
const REST_FOR: Duration = Duration::from_secs(30);

/// A file that no manifest names is removed at this age. A younger one may belong to an upload of another process that is under way.
const UNNAMED_FOR: Duration = Duration::from_secs(3600);

/// Identifies the contents of a local file without reading it: device, inode, length, time of change.
type FileKey = (u64, u64, u64, i64, i64);

/// Uploads checkpoints, on a thread of its own.
pub(super) struct Uploader {
    remote: Arc<Remote>,
    /// The number of snapshots to keep of each task.
    keep: usize,
    refusal: Arc<Refusal>,
    figures: Arc<SnapshotFigures>,
    /// When the place last did not answer.
    unreachable: Option<Instant>,
    /// The SHA-256 of the files in the last snapshot of each task, by the folder of its series.
    hashes: BTreeMap<String, HashMap<FileKey, String>>,
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
    pub fn new(remote: Arc<Remote>, keep: usize, refusal: Arc<Refusal>, figures: Arc<SnapshotFigures>) -> Self {
        Self {
            remote,
            keep: keep.max(1),
            refusal,
            figures,
            unreachable: None,
            hashes: BTreeMap::new(),
        }
    }

    /// Uploads until the queue is closed.
    pub fn work(mut self, jobs: &Receiver<UploadJob>) {
        while let Ok(job) = jobs.recv() {
            let is_uploaded = !self.refusal.is_set() && self.try_upload(&job);
            if let Err(error) = fs::remove_dir_all(&job.folder) {
                tracing::warn!("cannot remove {}: {error}", job.folder.display());
            }
            if is_uploaded {
                job.entry.note(job.taken);
            }
            self.figures.count(is_uploaded);
            self.figures.note_refused(self.refusal.is_set());
            job.outcome.set(is_uploaded);
        }
    }

    /// Uploads, and reports a failure.
    fn try_upload(&mut self, job: &UploadJob) -> bool {
        if self.unreachable.is_some_and(|since| since.elapsed() < REST_FOR) {
            // Many tasks may wait here, and each would try for a while. The first one was logged.
            return false;
        }
        let uploaded = self
            .upload(job)
            .and_then(|()| prune(&self.remote, &job.series, self.keep, UNNAMED_FOR));
        match uploaded {
            Ok(()) => return true,
            Err(error) if error.is_refusal() => self.refusal.set(&error),
            Err(error @ SnapshotError::Remote { .. }) => {
                self.unreachable = Some(Instant::now());
                tracing::warn!(
                    owner = job.series.owner,
                    "{error}; no snapshot of any task is uploaded for {} s, and each task tries again when its next one is due",
                    REST_FOR.as_secs()
                );
            }
            Err(error) => tracing::warn!(
                owner = job.series.owner,
                "{error}; the next snapshot is tried when it is due"
            ),
        }
        false
    }

    fn upload(&mut self, job: &UploadJob) -> Result<(), SnapshotError> {
        let began = Instant::now();
        claim(&self.remote, &job.series.deployment)?;
        let folder = job.series.snapshots();
        let mut names: BTreeSet<String> = self
            .remote
            .list(&folder)?
            .into_iter()
            .map(|object| object.name)
            .collect();
        if !self.is_needed(job, &names)? {
            job.outcome.set_known(names);
            return Ok(());
        }
        let known = self.hashes.remove(&job.series.folder).unwrap_or_default();
        let CheckpointFiles {
            files,
            hashes,
            missing,
            missing_bytes,
        } = self.list_files(job, &known)?;
        let _span = tracing::info_span!(
            target: SPANS, parent: None, "snapshot", owner = job.series.owner.as_str(), new_bytes = attribute(missing_bytes)
        )
        .entered();
        self.remote.put_files(missing.into_iter().collect())?;
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let taken = timestamp(now.as_millis().try_into().unwrap_or_default());
        let manifest = SnapshotManifest::new(&job.series, taken, job.position.clone(), files);
        let (name, text) = manifest.write(now.as_millis())?;
        // The manifest comes last, so that all files that it names exist.
        self.remote.put(&format!("{folder}/{name}"), text)?;
        self.hashes.insert(job.series.folder.clone(), hashes);
        tracing::debug!(
            owner = job.series.owner,
            "snapshot {name} taken: {} MB, of which {} MB were new, in {} ms",
            manifest.bytes() >> 20,
            missing_bytes >> 20,
            began.elapsed().as_millis()
        );
        names.insert(name);
        job.outcome.set_known(names);
        Ok(())
    }

    /// Whether the newest snapshots, whose `names` are given, lack the state of this job. Fails if one of them is of another log.
    fn is_needed(&self, job: &UploadJob, names: &BTreeSet<String>) -> Result<bool, SnapshotError> {
        let other_log = |name: &str, what: String| SnapshotError::OtherLog {
            name: name.to_owned(),
            place: self.remote.place().to_owned(),
            what,
        };
        for name in names.iter().rev().take(self.keep) {
            let object = format!("{}/{name}", job.series.snapshots());
            let text = self.remote.get(&object, manifest::MAX_BYTES);
            let manifest = match text.and_then(|text| SnapshotManifest::read(name, &text)) {
                Err(SnapshotError::Damaged { .. }) => continue,
                manifest => manifest?,
            };
            if let Some(what) = manifest.is_foreign(&job.series, &job.position) {
                return Err(other_log(name, what));
            }
            if manifest.position.is_same_state(&job.position) {
                return Ok(false);
            }
            if manifest.position.is_past(&job.position) {
                let what = "it has read further than this process, which works on the task";
                if job.alone {
                    return Err(other_log(name, what.into()));
                }
                // The task may have moved to another instance while this snapshot waited.
                tracing::warn!(
                    owner = job.series.owner,
                    "no snapshot was uploaded, because there is one that has read further: {name}; if the task has not moved to another instance, \
                     another copy of this bus takes its snapshots there: give each deployment a place of its own"
                );
                return Ok(false);
            }
        }
        if let Some(name) = job.outcome.unknown(names) {
            let what = "another process took it while this one worked on the task";
            if job.alone {
                return Err(other_log(name, what.into()));
            }
            // The upload of the instance that had the task before may have ended late.
            tracing::warn!(
                owner = job.series.owner,
                "another process took the snapshot {name} while this one worked on the task; if the task has not just moved here, another copy of \
                 this bus takes its snapshots there: give each deployment a place of its own"
            );
        }
        Ok(true)
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
        let text = remote.get(&format!("{folder}/{}", kept.name), manifest::MAX_BYTES);
        match text.and_then(|text| SnapshotManifest::read(&kept.name, &text)) {
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
mod tests;
