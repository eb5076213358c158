//! The stores of the tasks: in a state directory, or, for tests, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::bus::{DeploymentIdentity, Position, Topic, TopicPartition};
use crate::deployment::error::DeploymentError;
use crate::deployment::layout::LedgerLayout;
use crate::deployment::open_files;
use crate::snapshot::{SnapshotFigures, SnapshotSeries, SnapshotSettings, Snapshots, SnapshottedStore, Usable};
use crate::store::memory::{MemoryContents, MemoryStore};
use crate::store::rocks::{
    LiveStores, MemoryLimits, RocksStore, StoreFigures, StoreKind, StoreResources, StoreSettings,
};
use crate::store::{Store, StoreError};
use crate::task::TaskError;

/// The task that a store belongs to, and the layout of the ledger where that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreOwner {
    /// The coordinator, in the layout of this generation.
    Coordinate(u32),
    /// The ingest task of a source partition.
    Ingest(TopicPartition),
    /// The accrue task of a ledger partition.
    Accrue(u16, LedgerLayout),
}

impl StoreOwner {
    /// The path of the store in a state directory, and of its snapshots in the object store.
    fn path(self) -> String {
        match self {
            Self::Coordinate(0) => COORDINATE.into(),
            Self::Coordinate(generation) => format!("{COORDINATE}-{generation}"),
            Self::Ingest(source) => format!("{INGEST}/{}/{}", source.topic.name(), source.partition),
            Self::Accrue(partition, layout) => format!("{ACCRUE}/{layout}/{partition}"),
        }
    }

    /// The owner in words. The store keeps them, and rejects another owner.
    fn description(self, deployment: &DeploymentIdentity) -> String {
        match self {
            Self::Coordinate(0) => format!("the coordinator, {deployment}"),
            Self::Coordinate(generation) => format!("the coordinator, layout {generation}, {deployment}"),
            Self::Ingest(source) => format!("ingest of {source}, {deployment}"),
            Self::Accrue(partition, layout) => format!("ledger partition {partition} of {layout}, {deployment}"),
        }
    }

    const fn kind(self) -> StoreKind {
        match self {
            Self::Coordinate(_) => StoreKind::Coordinate,
            Self::Ingest(_) => StoreKind::Ingest,
            Self::Accrue(..) => StoreKind::Accrue,
        }
    }
}

/// The stores of a deployment.
pub trait Stores: Send + Sync {
    /// Called before stores are opened for the tasks of `deployment`. `alone`: no other process works on it.
    ///
    /// # Errors
    /// If the place of the snapshots belongs to another deployment.
    fn begin(&self, _deployment: &DeploymentIdentity, _alone: bool) -> Result<(), DeploymentError> {
        Ok(())
    }

    /// Opens the store of a task, or creates it. `committed` is the committed position of the task: no snapshot past it is used.
    fn open(
        &self,
        owner: StoreOwner,
        deployment: &DeploymentIdentity,
        committed: Option<&Position>,
    ) -> Result<Box<dyn Store>, TaskError>;

    /// Creates an empty store of a task, in place of any other, and not from a snapshot.
    fn create(&self, owner: StoreOwner, deployment: &DeploymentIdentity) -> Result<Box<dyn Store>, TaskError>;

    /// The source partitions that have a store.
    fn sources(&self) -> Result<Vec<TopicPartition>, TaskError>;

    /// Removes the store of a task, if it exists.
    fn remove(&self, owner: StoreOwner) -> Result<(), TaskError>;

    /// Prepares for this many stores, open at a time.
    ///
    /// # Errors
    /// `OpenFiles` if this process may not open enough files.
    fn expect(&self, _stores: u64) -> Result<(), DeploymentError> {
        Ok(())
    }

    /// Removes the stores of the layouts whose generation is `unwanted`.
    fn remove_layouts(&self, unwanted: &dyn Fn(u32) -> bool) -> Result<(), TaskError>;

    /// Waits until all snapshots taken so far are uploaded. Later ones are not uploaded.
    fn finish(&self) {}

    /// The figures of the open stores, if they are on disk.
    fn figures(&self) -> Option<Arc<StoreFigures>> {
        None
    }

    /// Reads stores that are open, beside their tasks, if they are on disk.
    fn live(&self) -> Option<LiveReader> {
        None
    }

    /// The figures of the snapshots, if some are taken.
    fn snapshot_figures(&self) -> Option<Arc<SnapshotFigures>> {
        None
    }
}

/// Reads the stores of a state directory that tasks of this process have open. It does not keep the directory locked.
#[derive(Clone)]
pub struct LiveReader {
    state: PathBuf,
    stores: Arc<LiveStores>,
}

impl LiveReader {
    /// As [`LiveStores::read`].
    ///
    /// # Errors
    /// As [`LiveStores::read`].
    pub fn read<T>(&self, owner: StoreOwner, read: impl FnOnce(&dyn Store) -> T) -> Result<Option<T>, StoreError> {
        self.stores.read(&folder(&self.state, owner), read)
    }
}

/// Stores in a state directory, which this process has locked.
pub struct StateDirectory {
    path: PathBuf,
    resources: StoreResources,
    snapshots: Option<Arc<Snapshots>>,
    /// The lock lasts as long as this file is open.
    _lock: File,
}

impl StateDirectory {
    /// Locks the state directory at `path` for this process, and creates it if it is missing. `cache_bytes` limits the caches of all its
    /// stores together. With `snapshots`, a missing store is restored from its newest snapshot, and new snapshots are taken.
    ///
    /// # Errors
    /// `StateInUse` if another process has locked it; nothing is written then.
    pub fn open(path: &Path, cache_bytes: usize, snapshots: Option<SnapshotSettings>) -> Result<Self, DeploymentError> {
        let lock = lock(path)?;
        // An earlier process may have left checkpoints that it did not upload. This one may take no snapshots.
        let checkpoints = path.join(CHECKPOINTS);
        match fs::remove_dir_all(&checkpoints) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(DeploymentError::io("remove", &checkpoints)(error));
            }
            _ => {}
        }
        let snapshots = snapshots
            .map(|settings| Snapshots::open(settings, &checkpoints))
            .transpose()?;
        let limits = MemoryLimits {
            cache_bytes,
            buffer_bytes: cache_bytes / 3,
            ..MemoryLimits::default()
        };
        Ok(Self {
            path: path.to_owned(),
            resources: StoreResources::new(limits)?,
            snapshots,
            _lock: lock,
        })
    }

    /// Replaces the stores by those of `new`, which is a folder inside this one. Returns the folder of the replaced stores, if any.
    ///
    /// # Errors
    /// If a file operation fails. A second call continues where the first one stopped.
    pub fn replace_by(&self, new: Self) -> Result<Option<PathBuf>, DeploymentError> {
        let from = new.path.clone();
        drop(new);
        let replaced = self.path.join(format!("replaced-{}", unix_ms()));
        let mut any = false;
        // There may be a coordinator's store for each of several layouts.
        let mut parts = vec![INGEST.to_owned(), ACCRUE.to_owned()];
        for folder in [&self.path, &from] {
            for entry in fs::read_dir(folder).map_err(DeploymentError::io("read", folder))? {
                let name = entry.map_err(DeploymentError::io("read", folder))?.file_name();
                parts.extend(
                    name.to_str()
                        .filter(|name| name.starts_with(COORDINATE))
                        .map(str::to_owned),
                );
            }
        }
        parts.sort();
        parts.dedup();
        for part in &parts {
            let (here, there) = (self.path.join(part), from.join(part));
            if here.exists() {
                fs::create_dir_all(&replaced).map_err(DeploymentError::io("create", &replaced))?;
                fs::rename(&here, replaced.join(part)).map_err(DeploymentError::io("move", &here))?;
                any = true;
            }
            if there.exists() {
                fs::rename(&there, &here).map_err(DeploymentError::io("move", &there))?;
            }
        }
        fs::remove_dir_all(&from).map_err(DeploymentError::io("remove", &from))?;
        Ok(any.then_some(replaced))
    }

    fn settings(&self, owner: StoreOwner, deployment: &DeploymentIdentity) -> StoreSettings {
        StoreSettings::new(self.resources.clone(), owner.description(deployment))
    }

    /// Opens a store. A missing store is restored from its newest usable snapshot; without one, a new store is created.
    fn open_or_restore(
        &self,
        owner: StoreOwner,
        deployment: &DeploymentIdentity,
        committed: Option<&Position>,
    ) -> Result<RocksStore, TaskError> {
        let folder = folder(&self.path, owner);
        if let Some(snapshots) = &self.snapshots
            && !RocksStore::is_at(&folder)
        {
            let refuted = self.refuted_snapshots();
            let usable = Usable {
                committed,
                refuted: &refuted,
            };
            // Read every block once, so that damage is found before the task uses the store.
            let restored = snapshots.restore(&series(owner, deployment), &folder, usable, |arrived| {
                let store = RocksStore::open(arrived, owner.kind(), self.settings(owner, deployment))?;
                store.verify().map(|_| store)
            });
            restored.map_err(|error| {
                let why = error.to_string();
                match error.is_refusal() {
                    true => TaskError::SnapshotRefused { why },
                    false => TaskError::Restore { why },
                }
            })?;
        }
        Ok(RocksStore::open(
            &folder,
            owner.kind(),
            self.settings(owner, deployment),
        )?)
    }

    /// The snapshots from which a store was restored that turned out to be of another log. Such a store is kept among the damaged ones.
    fn refuted_snapshots(&self) -> BTreeSet<String> {
        let moved_away = fs::read_dir(self.path.join(DAMAGED)).into_iter().flatten().flatten();
        moved_away
            .filter_map(|entry| RocksStore::refuted_snapshot(&entry.path()))
            .collect()
    }

    /// Moves a store away that is damaged or of another log, so that a new one can be built.
    fn set_aside(&self, owner: StoreOwner, why: &StoreError) -> Result<(), TaskError> {
        let aside = self.path.join(DAMAGED);
        fs::create_dir_all(&aside).map_err(TaskError::io("create", &aside))?;
        let aside = aside.join(format!("{}-{}", owner.path().replace('/', "-"), unix_ms()));
        let folder = folder(&self.path, owner);
        fs::rename(&folder, &aside).map_err(TaskError::io("move", &folder))?;
        tracing::error!(
            "{why}; moved to {}, and rebuilt from {}the bus",
            aside.display(),
            if self.snapshots.is_some() {
                "a snapshot and "
            } else {
                ""
            }
        );
        Ok(())
    }
}

fn series(owner: StoreOwner, deployment: &DeploymentIdentity) -> SnapshotSeries {
    SnapshotSeries::new(deployment, &owner.path(), &owner.description(deployment))
}

/// The folder of a task's store in the state directory `state`.
pub(super) fn folder(state: &Path, owner: StoreOwner) -> PathBuf {
    state.join(owner.path())
}

const COORDINATE: &str = "coordinate";
const INGEST: &str = "ingest";
const ACCRUE: &str = "accrue";
/// The folder of checkpoints that become snapshots.
const CHECKPOINTS: &str = "caught";
/// The folder of stores that are damaged or of another log.
const DAMAGED: &str = "damaged";

impl Stores for StateDirectory {
    fn begin(&self, deployment: &DeploymentIdentity, alone: bool) -> Result<(), DeploymentError> {
        match &self.snapshots {
            Some(snapshots) => Ok(snapshots.begin(deployment, alone)?),
            None => Ok(()),
        }
    }

    fn open(
        &self,
        owner: StoreOwner,
        deployment: &DeploymentIdentity,
        committed: Option<&Position>,
    ) -> Result<Box<dyn Store>, TaskError> {
        let open = || self.open_or_restore(owner, deployment, committed);
        let store = match open() {
            Err(TaskError::Store(error)) if error.needs_rebuild() => {
                self.set_aside(owner, &error)?;
                open()?
            }
            store => store?,
        };
        Ok(match &self.snapshots {
            Some(snapshots) => Box::new(SnapshottedStore::new(
                store,
                series(owner, deployment),
                Arc::clone(snapshots),
            )),
            None => Box::new(store),
        })
    }

    fn create(&self, owner: StoreOwner, deployment: &DeploymentIdentity) -> Result<Box<dyn Store>, TaskError> {
        self.remove(owner)?;
        let settings = self.settings(owner, deployment);
        Ok(Box::new(RocksStore::open(
            &folder(&self.path, owner),
            owner.kind(),
            settings,
        )?))
    }

    fn remove(&self, owner: StoreOwner) -> Result<(), TaskError> {
        let folder = folder(&self.path, owner);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TaskError::io("remove", &folder)(error)),
            _ => {
                // This removes the folder of the layout once it is empty.
                if let (StoreOwner::Accrue(..), Some(layout)) = (owner, folder.parent()) {
                    let _ = fs::remove_dir(layout);
                }
                Ok(())
            }
        }
    }

    fn expect(&self, stores: u64) -> Result<(), DeploymentError> {
        let limit = open_files::limit();
        let tables = open_files::tables(stores, limit);
        self.resources.share_tables(tables.unwrap_or_default());
        match tables {
            Some(_) => Ok(()),
            None => Err(DeploymentError::OpenFiles {
                stores,
                needed: open_files::needed(stores),
                limit,
            }),
        }
    }

    fn remove_layouts(&self, unwanted: &dyn Fn(u32) -> bool) -> Result<(), TaskError> {
        let accrue = self.path.join(ACCRUE);
        let layouts = names_in(&accrue)?.into_iter().filter_map(|name| {
            let generation = name.split_once('-').map_or(Some(0), |(_, number)| number.parse().ok());
            generation.map(|generation| (generation, accrue.join(name)))
        });
        let coordinators = names_in(&self.path)?.into_iter().filter_map(|name| {
            let rest = name.strip_prefix(COORDINATE)?;
            let generation = match rest.strip_prefix('-') {
                Some(number) => number.parse().ok()?,
                None if rest.is_empty() => 0,
                None => return None,
            };
            Some((generation, self.path.join(name)))
        });
        for (_, folder) in layouts
            .chain(coordinators)
            .filter(|(generation, _)| unwanted(*generation))
        {
            fs::remove_dir_all(&folder).map_err(TaskError::io("remove", &folder))?;
            tracing::info!(
                "removed {}: a repartition left it behind, and it is not needed",
                folder.display()
            );
        }
        Ok(())
    }

    fn finish(&self) {
        if let Some(snapshots) = &self.snapshots {
            snapshots.finish();
        }
    }

    fn figures(&self) -> Option<Arc<StoreFigures>> {
        Some(Arc::clone(self.resources.figures()))
    }

    fn live(&self) -> Option<LiveReader> {
        Some(LiveReader {
            state: self.path.clone(),
            stores: Arc::clone(self.resources.live()),
        })
    }

    fn snapshot_figures(&self) -> Option<Arc<SnapshotFigures>> {
        let snapshots = self.snapshots.as_ref()?;
        Some(Arc::clone(snapshots.figures()))
    }

    fn sources(&self) -> Result<Vec<TopicPartition>, TaskError> {
        let mut known = Vec::new();
        for topic in Topic::SOURCES {
            let folder = self.path.join(INGEST).join(topic.name());
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(TaskError::io("read", &folder)(error)),
            };
            for entry in entries {
                let name = entry.map_err(TaskError::io("read", &folder))?.file_name();
                known.extend(
                    name.to_str()
                        .and_then(|name| name.parse().ok())
                        .map(|number| topic.partition(number)),
                );
            }
        }
        Ok(known)
    }
}

/// The names in a folder, which may be missing.
fn names_in(folder: &Path) -> Result<Vec<String>, TaskError> {
    let listed = fs::read_dir(folder).and_then(|entries| {
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    });
    match listed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(TaskError::io("read", folder)),
    }
}

/// Locks the state directory for this process.
fn lock(state: &Path) -> Result<File, DeploymentError> {
    fs::create_dir_all(state).map_err(DeploymentError::io("create", state))?;
    let path = state.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(DeploymentError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DeploymentError::StateInUse { path: state.to_owned() }),
        Err(TryLockError::Error(error)) => Err(DeploymentError::io("lock", &path)(error)),
    }
}

fn unix_ms() -> u128 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis()
}

/// Stores in memory, for tests. A store that is opened again holds what was committed to it.
#[derive(Default)]
pub struct MemoryStores(Mutex<BTreeMap<StoreOwner, MemoryContents>>);

impl Stores for MemoryStores {
    fn open(
        &self,
        owner: StoreOwner,
        _deployment: &DeploymentIdentity,
        _committed: Option<&Position>,
    ) -> Result<Box<dyn Store>, TaskError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(MemoryStore::open(all.entry(owner).or_default())))
    }

    fn create(&self, owner: StoreOwner, deployment: &DeploymentIdentity) -> Result<Box<dyn Store>, TaskError> {
        self.remove(owner)?;
        self.open(owner, deployment, None)
    }

    fn remove(&self, owner: StoreOwner) -> Result<(), TaskError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&owner);
        Ok(())
    }

    fn remove_layouts(&self, unwanted: &dyn Fn(u32) -> bool) -> Result<(), TaskError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|owner, _| match owner {
            StoreOwner::Coordinate(generation) => !unwanted(*generation),
            StoreOwner::Accrue(_, layout) => !unwanted(layout.generation),
            StoreOwner::Ingest(_) => true,
        });
        Ok(())
    }

    fn sources(&self) -> Result<Vec<TopicPartition>, TaskError> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(all
            .keys()
            .filter_map(|owner| match owner {
                StoreOwner::Ingest(source) => Some(*source),
                StoreOwner::Coordinate(_) | StoreOwner::Accrue(..) => None,
            })
            .collect())
    }
}

/// The newest generation for which the state directory `state` has a coordinator's store.
pub(super) fn newest_generation(state: &Path) -> u32 {
    let names = fs::read_dir(state).into_iter().flatten().flatten();
    let generation =
        |name: std::ffi::OsString| name.to_str()?.strip_prefix(COORDINATE)?.strip_prefix('-')?.parse().ok();
    names
        .filter_map(|entry| generation(entry.file_name()))
        .max()
        .unwrap_or(0)
}
