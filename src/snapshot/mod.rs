//! Snapshots of the tasks' stores in an object store, so that a new disk need not wait for the whole log.
//!
//! A running task's store is caught by hard links to its files ([`Snapshotted`]), a thread copies those that are not there yet, and what no kept
//! snapshot needs is removed. Whoever takes a task up without a store of its own gets the newest snapshot that is whole, and follows the log from
//! there. A store is a fold of the log up to its position, so each task's snapshots stand for themselves; no two need to fit together.
//!
//! Below the place that is configured:
//!
//! ```text
//! BUS/TASK/snapshots/TIME-SUM.json    what a snapshot consists of
//! BUS/TASK/files/SHA256               files of the store, under their sums
//! BUS/TASK/damaged/...                what was found damaged and set aside
//! ```

mod manifest;
mod remote;
mod restore;
mod store;
mod upload;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::snapshot::remote::Remote;
use crate::snapshot::upload::{Job, Uploads};
pub use store::Snapshotted;

/// How snapshots are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSettings {
    /// Where they go: a folder, or a URL (`file:`, `s3:`, `gs:`, `az:`).
    pub place: String,
    /// How long after a task's last snapshot the next one is taken, if anything has changed.
    pub every: Duration,
    /// How many of each task are kept; at least 1.
    pub keep: usize,
    /// Whether a task that is closed leaves one of how it is then.
    pub at_close: bool,
}

/// Why a snapshot could not be taken or used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The place that is configured cannot be one.
    #[error("cannot use {place} for snapshots: {why}; correct `snapshots.place`")]
    Place {
        /// What was given.
        place: String,
        /// Why not.
        why: String,
    },
    /// The object store.
    #[error("cannot {action} {name} of the snapshots at {place}: {source}")]
    Remote {
        /// What was tried.
        action: &'static str,
        /// On which object.
        name: String,
        /// Where.
        place: String,
        /// What it said.
        source: Box<object_store::Error>,
    },
    /// What is there is not what was put there.
    #[error("{name} is damaged: {what}")]
    Damaged {
        /// Which object.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file of this machine.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl SnapshotError {
    fn damaged(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged {
            name: name.into(),
            what: what.into(),
        }
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Of which task and bus snapshots are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// The folder of all of its objects.
    folder: String,
    /// Whose store it is, in words: as the store itself has it.
    owner: String,
}

impl Series {
    /// The snapshots of the store of `owner`; `task` is a name of letters, digits, points, hyphens and slashes.
    #[must_use]
    pub fn new(bus: &str, task: &str, owner: &str) -> Self {
        let bus = hex::encode(&Sha256::digest(bus.as_bytes())[..8]);
        Self {
            folder: format!("{bus}/{task}"),
            owner: owner.to_owned(),
        }
    }

    fn files(&self) -> String {
        format!("{}/files", self.folder)
    }

    fn snapshots(&self) -> String {
        format!("{}/snapshots", self.folder)
    }

    fn damaged(&self) -> String {
        format!("{}/damaged", self.folder)
    }
}

/// The snapshots of a process.
pub struct Snapshots {
    remote: Arc<Remote>,
    settings: SnapshotSettings,
    /// Where stores are caught before they are copied: on their own disk.
    folder: PathBuf,
    jobs: Mutex<Option<Sender<Job>>>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Snapshots {
    /// Opens the place for snapshots of stores on the disk of `folder`, in which nothing else is.
    ///
    /// # Errors
    /// If the place cannot be one, or the folder cannot be made.
    pub fn open(settings: SnapshotSettings, folder: &Path) -> Result<Arc<Self>, SnapshotError> {
        // What lies there was on its way when an earlier process ended.
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(SnapshotError::io("remove", folder)(error));
            }
            _ => {}
        }
        std::fs::create_dir_all(folder).map_err(SnapshotError::io("create", folder))?;
        let remote = Arc::new(Remote::open(&settings.place)?);
        let (jobs, queue) = channel();
        let uploads = Uploads::new(Arc::clone(&remote), settings.keep);
        let worker = std::thread::Builder::new()
            .name("uploads".into())
            .spawn(move || uploads.work(&queue))
            .map_err(SnapshotError::io("start a thread for", folder))?;
        Ok(Arc::new(Self {
            remote,
            settings,
            folder: folder.to_owned(),
            jobs: Mutex::new(Some(jobs)),
            worker: Mutex::new(Some(worker)),
        }))
    }

    fn send(&self, job: Job) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        // After the end nobody waits for it; the next process removes it.
        if let Some(jobs) = jobs.as_ref() {
            let _ = jobs.send(job);
        }
    }

    /// Waits until all that was caught is copied, and takes no more.
    pub fn finish(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker
            && worker.join().is_err()
        {
            tracing::error!("the thread that copies snapshots broke off");
        }
    }
}
