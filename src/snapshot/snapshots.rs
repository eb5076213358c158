use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::bus::DeploymentIdentity;
use crate::snapshot::claim::claim;
use crate::snapshot::error::SnapshotError;
use crate::snapshot::figures::SnapshotFigures;
use crate::snapshot::place::SnapshotPlace;
use crate::snapshot::refusal::Refusal;
use crate::snapshot::remote::{Remote, remove_folder};
use crate::snapshot::upload::{UploadJob, Uploader};

/// How long a process waits for the place at its start.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How snapshots are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSettings {
    pub place: SnapshotPlace,
    /// The time between two snapshots of a task whose store has changed.
    pub every: Duration,
    /// The number of snapshots to keep of each task; at least 1.
    pub keep: usize,
    /// Whether a task takes a snapshot when it closes.
    pub at_close: bool,
}

/// The snapshots of a process, and the thread that uploads them.
pub struct Snapshots {
    pub(super) remote: Arc<Remote>,
    pub(super) settings: SnapshotSettings,
    /// The folder for checkpoints and restored stores. It is on the disk of the stores, because hard links and renames need that.
    pub(super) folder: PathBuf,
    pub(super) refusal: Arc<Refusal>,
    pub(super) figures: Arc<SnapshotFigures>,
    /// Whether no other process works on the deployment.
    alone: AtomicBool,
    jobs: Mutex<Option<Sender<UploadJob>>>,
    uploader: Mutex<Option<JoinHandle<()>>>,
}

impl Snapshots {
    /// Opens the place of the snapshots. `folder` is on the disk of the stores; everything in it is removed.
    ///
    /// # Errors
    /// If the place cannot hold snapshots, or the folder cannot be created.
    pub fn open(settings: SnapshotSettings, folder: &Path) -> Result<Arc<Self>, SnapshotError> {
        // An earlier process may have left checkpoints that it did not upload.
        remove_folder(folder)?;
        std::fs::create_dir_all(folder).map_err(SnapshotError::io("create", folder))?;
        let remote = Arc::new(Remote::open(&settings.place)?);
        let (jobs, queue) = channel();
        let refusal = Arc::new(Refusal::default());
        let figures = Arc::new(SnapshotFigures::new(settings.every));
        let uploader = Uploader::new(
            Arc::clone(&remote),
            settings.keep,
            Arc::clone(&refusal),
            Arc::clone(&figures),
        );
        let uploader = std::thread::Builder::new()
            .name("uploads".into())
            .spawn(move || uploader.work(&queue))
            .map_err(SnapshotError::io("start a thread for", folder))?;
        Ok(Arc::new(Self {
            remote,
            settings,
            folder: folder.to_owned(),
            refusal,
            figures,
            alone: AtomicBool::new(false),
            jobs: Mutex::new(Some(jobs)),
            uploader: Mutex::new(Some(uploader)),
        }))
    }

    /// Claims the place for `deployment`. `alone`: no other process works on it. A place that cannot be reached now is claimed later.
    ///
    /// # Errors
    /// If the place belongs to another deployment.
    pub fn begin(&self, deployment: &DeploymentIdentity, alone: bool) -> Result<(), SnapshotError> {
        self.alone.store(alone, Ordering::Relaxed);
        match claim(&self.remote.with_patience(ANSWER_WITHIN), deployment) {
            Err(error) if !error.is_refusal() => {
                tracing::warn!("{error}; tasks that have a store start all the same");
                Ok(())
            }
            claimed => claimed,
        }
    }

    /// Figures about the snapshots of this process.
    #[must_use]
    pub const fn figures(&self) -> &Arc<SnapshotFigures> {
        &self.figures
    }

    pub(super) fn is_alone(&self) -> bool {
        self.alone.load(Ordering::Relaxed)
    }

    pub(super) fn upload(&self, job: UploadJob) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        // After `finish` the checkpoint stays, and the next process removes it.
        if let Some(jobs) = jobs.as_ref() {
            let _ = jobs.send(job);
        }
    }

    /// Waits until all checkpoints are uploaded. Later ones are not.
    pub fn finish(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let uploader = self.uploader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(uploader) = uploader
            && uploader.join().is_err()
        {
            tracing::error!("the thread that uploads snapshots has panicked");
        }
    }
}
