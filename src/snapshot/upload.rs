//! Copying what was caught to the object store, and removing there what nobody needs any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};

use crate::bus::Position;
use crate::core::contract::records::timestamp;
use crate::snapshot::manifest::{File, Manifest, state};
use crate::snapshot::remote::Remote;
use crate::snapshot::store::Fate;
use crate::snapshot::{Series, SnapshotError};

/// A store that was caught in a folder.
pub(super) struct Job {
    pub series: Series,
    pub folder: PathBuf,
    pub position: Position,
    pub fate: Arc<Fate>,
}

/// How old a file must be that no snapshot names, before it is removed: it may belong to one that is just being written elsewhere.
const UNNAMED_FOR: Duration = Duration::from_secs(3600);

/// Files of a store that are no part of it.
const NO_PART: [&str; 3] = ["LOG", "LOCK", "DAMAGED"];

/// The same file as before, going by what the system says of it.
type Inode = (u64, u64, u64, i64, i64);

pub(super) struct Uploads {
    remote: Arc<Remote>,
    keep: usize,
    /// Sums of files that were copied, of the last snapshot of each task.
    sums: BTreeMap<Series, HashMap<Inode, String>>,
}

impl Uploads {
    pub fn new(remote: Arc<Remote>, keep: usize) -> Self {
        Self {
            remote,
            keep,
            sums: BTreeMap::new(),
        }
    }

    /// Does what comes until nothing more can come.
    pub fn work(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let outcome = self
                .upload(&job)
                .and_then(|()| prune(&self.remote, &job.series, self.keep, UNNAMED_FOR));
            if let Err(error) = &outcome {
                tracing::warn!(
                    owner = job.series.owner,
                    "{error}; the next snapshot is tried when it is due"
                );
            }
            if let Err(error) = fs::remove_dir_all(&job.folder) {
                tracing::warn!("cannot remove {}: {error}", job.folder.display());
            }
            job.fate.settle(outcome.is_ok());
        }
    }

    fn upload(&mut self, job: &Job) -> Result<(), SnapshotError> {
        let began = Instant::now();
        if self
            .newest_state(&job.series)?
            .is_some_and(|newest| newest == state(&job.position))
        {
            return Ok(());
        }
        let folder = job.series.files();
        let there: BTreeMap<String, u64> = self
            .remote
            .list(&folder)?
            .into_iter()
            .map(|listed| (listed.name, listed.bytes))
            .collect();
        let known = self.sums.remove(&job.series).unwrap_or_default();
        let (mut sums, mut files, mut missing) = (HashMap::new(), Vec::new(), BTreeMap::new());
        let mut new_bytes = 0;
        for entry in fs::read_dir(&job.folder).map_err(SnapshotError::io("list", &job.folder))? {
            let entry = entry.map_err(SnapshotError::io("list", &job.folder))?;
            let (path, Ok(name)) = (entry.path(), entry.file_name().into_string()) else {
                continue;
            };
            if NO_PART.contains(&name.as_str()) || name.starts_with("LOG.") {
                continue;
            }
            let about = entry.metadata().map_err(SnapshotError::io("inspect", &path))?;
            if !about.is_file() {
                continue;
            }
            let inode = (about.dev(), about.ino(), about.len(), about.mtime(), about.mtime_nsec());
            let sha256 = match known.get(&inode) {
                Some(sum) => sum.clone(),
                None => sum_of(&path)?,
            };
            if there.get(&sha256) != Some(&about.len()) && missing.insert(format!("{folder}/{sha256}"), path).is_none()
            {
                new_bytes += about.len();
            }
            sums.insert(inode, sha256.clone());
            files.push(File {
                name,
                bytes: about.len(),
                sha256,
            });
        }
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.remote.put_files(missing.into_iter().collect())?;
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let taken = timestamp(now.as_millis().try_into().unwrap_or_default());
        let manifest = Manifest::new(job.series.owner.clone(), taken, &job.position, files);
        let (name, text) = manifest.write(now.as_millis())?;
        // Last: whoever finds it finds all it names.
        self.remote.put(&format!("{}/{name}", job.series.snapshots()), text)?;
        self.sums.insert(job.series.clone(), sums);
        tracing::debug!(
            owner = job.series.owner,
            "snapshot {name} taken: {} MB, of which {} MB were new, in {} ms",
            manifest.bytes() >> 20,
            new_bytes >> 20,
            began.elapsed().as_millis()
        );
        Ok(())
    }
}

impl Uploads {
    /// Of which state the newest snapshot is.
    fn newest_state(&self, series: &Series) -> Result<Option<String>, SnapshotError> {
        let folder = series.snapshots();
        let Some(newest) = self.remote.list(&folder)?.pop() else {
            return Ok(None);
        };
        let text = self.remote.get(&format!("{folder}/{}", newest.name))?;
        Ok(Manifest::read(&newest.name, &text).ok().map(|manifest| manifest.state))
    }
}

/// Removes all but the newest `keep` snapshots, and what none of those needs.
pub(super) fn prune(remote: &Remote, series: &Series, keep: usize, unnamed_for: Duration) -> Result<(), SnapshotError> {
    let folder = series.snapshots();
    let mut snapshots = remote.list(&folder)?;
    let kept = snapshots.split_off(snapshots.len().saturating_sub(keep.max(1)));
    for old in &snapshots {
        remote.remove(&format!("{folder}/{}", old.name))?;
    }
    let mut needed = BTreeSet::new();
    for kept in &kept {
        match Manifest::read(&kept.name, &remote.get(&format!("{folder}/{}", kept.name))?) {
            Ok(manifest) => needed.extend(manifest.files.into_iter().map(|file| file.sha256)),
            // What it needs is not known: nothing is removed until it is set aside.
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

fn sum_of(path: &Path) -> Result<String, SnapshotError> {
    let mut file = fs::File::open(path).map_err(SnapshotError::io("open", path))?;
    let (mut sum, mut chunk) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut chunk).map_err(SnapshotError::io("read", path))?;
        if read == 0 {
            return Ok(hex::encode(sum.finalize()));
        }
        sum.update(&chunk[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place with snapshots, each of one file of its own and one that all share.
    fn place(folder: &Path, times: &[u128]) -> (Remote, Series) {
        let remote = Remote::open(&folder.display().to_string()).unwrap();
        let series = Series::new("a bus", "task", "somebody");
        for time in times {
            let own = hex::encode(Sha256::digest(time.to_be_bytes()));
            let files = [("shared", "5".repeat(64)), ("own", own)].map(|(name, sha256)| {
                remote.put(&format!("{}/{sha256}", series.files()), vec![1]).unwrap();
                File {
                    name: name.into(),
                    bytes: 1,
                    sha256,
                }
            });
            let manifest = Manifest::new("somebody".into(), "then".into(), &Position::default(), files.to_vec());
            let (name, text) = manifest.write(*time).unwrap();
            remote.put(&format!("{}/{name}", series.snapshots()), text).unwrap();
        }
        (remote, series)
    }

    fn count(remote: &Remote, folder: &str) -> usize {
        remote.list(folder).unwrap().len()
    }

    #[test]
    fn what_no_kept_snapshot_names_goes_when_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let (remote, series) = place(folder.path(), &[1, 2, 3, 4]);
        // A file of a snapshot that somebody is just writing.
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
        // One is kept whatever is asked for.
        prune(&remote, &series, 0, Duration::ZERO).unwrap();
        assert_eq!(
            (count(&remote, &series.snapshots()), count(&remote, &series.files())),
            (1, 2)
        );
    }

    #[test]
    fn nothing_goes_while_it_is_not_known_what_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let (remote, series) = place(folder.path(), &[1, 2]);
        let damaged = format!("{}/000000000000003-0123456789abcdef.json", series.snapshots());
        remote.put(&damaged, b"{}".to_vec()).unwrap();
        prune(&remote, &series, 2, Duration::ZERO).unwrap();
        assert_eq!(
            (count(&remote, &series.snapshots()), count(&remote, &series.files())),
            (2, 3)
        );
    }
}
