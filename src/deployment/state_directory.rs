//! Where the tasks' stores are: in a state directory, or, for tests, in memory.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::bus::{Topic, TopicPartition};
use crate::deployment::record::Layout;
use crate::snapshot::{Series, Snapshots, Snapshotted};
use crate::store::memory::{Contents, MemoryStore};
use crate::store::rocks::{Expired, MemoryLimits, RocksStore, Shared, StoreKind, StoreSettings};
use crate::store::{Store, StoreError};
use crate::task::TaskError;

/// Whose store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The coordinator, in the layout of the ledger of this generation.
    Coordinate(u32),
    /// The ingest task of a source partition.
    Ingest(TopicPartition),
    /// The accrue task of a ledger partition.
    Accrue(u16, Layout),
}

impl Owner {
    /// Where it is kept below a folder of stores, and its name among snapshots.
    fn path(self) -> String {
        match self {
            Self::Coordinate(0) => COORDINATE.into(),
            Self::Coordinate(generation) => format!("{COORDINATE}-{generation}"),
            Self::Ingest(source) => format!("{INGEST}/{}/{}", source.topic.name(), source.partition),
            Self::Accrue(partition, layout) => format!("{ACCRUE}/{layout}/{partition}"),
        }
    }

    /// Whose store it is, in words for whoever opens one of another.
    fn words(self, bus: &str) -> String {
        match self {
            Self::Coordinate(0) => format!("the coordinator, bus {bus}"),
            Self::Coordinate(generation) => format!("the coordinator, layout {generation}, bus {bus}"),
            Self::Ingest(source) => format!("ingest of {source}, bus {bus}"),
            Self::Accrue(partition, layout) => format!("ledger partition {partition} of {layout}, bus {bus}"),
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
    /// Opens the store of a task of the bus `bus`, or makes a new one.
    /// Keys of which `expired` says so may vanish at any time.
    fn open(&self, owner: Owner, bus: &str, expired: Option<Expired>) -> Result<Box<dyn Store>, TaskError>;

    /// The source partitions there are stores of.
    fn sources(&self) -> Result<Vec<TopicPartition>, TaskError>;

    /// Removes the store of a task, if there is one.
    fn remove(&self, owner: Owner) -> Result<(), TaskError>;

    /// Waits until what the stores left to be done beside them is done.
    fn finish(&self) {}
}

/// Stores in a state directory, which this process holds alone.
pub struct StateDirectory {
    path: PathBuf,
    shared: Shared,
    snapshots: Option<Arc<Snapshots>>,
    /// Held as long as the stores are in use.
    _lock: File,
}

impl StateDirectory {
    /// Takes the state directory at `path` for this process; it is made if it is not there. `cache_bytes` is what all its stores together
    /// may use to cache what is on disk. With `snapshots`, stores that are not there come from the newest snapshot, and new ones are taken.
    ///
    /// # Errors
    /// `Locked` if another process has it; nothing is written then.
    pub fn open(
        path: &Path,
        cache_bytes: usize,
        snapshots: Option<crate::snapshot::SnapshotSettings>,
    ) -> Result<Self, TaskError> {
        let lock = lock(path)?;
        let snapshots = snapshots
            .map(|settings| Snapshots::open(settings, &path.join(CAUGHT)))
            .transpose()?;
        let limits = MemoryLimits {
            cache_bytes,
            buffer_bytes: cache_bytes / 3,
            ..MemoryLimits::default()
        };
        Ok(Self {
            path: path.to_owned(),
            shared: Shared::new(limits)?,
            snapshots,
            _lock: lock,
        })
    }

    /// Puts the stores of `new`, which lie in a folder of this one, in the place of those that are here; where those are then, if there were any.
    ///
    /// # Errors
    /// If the system refuses. Done again, it goes on.
    pub fn replace_by(&self, new: Self) -> Result<Option<PathBuf>, TaskError> {
        let from = new.path.clone();
        drop(new);
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let replaced = self.path.join(format!("replaced-{}", now.as_millis()));
        let mut any = false;
        // The coordinator's may be of several layouts.
        let mut parts = vec![INGEST.to_owned(), ACCRUE.to_owned()];
        for folder in [&self.path, &from] {
            for entry in fs::read_dir(folder).map_err(io("read", folder))? {
                let name = entry.map_err(io("read", folder))?.file_name();
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
                fs::create_dir_all(&replaced).map_err(io("create", &replaced))?;
                fs::rename(&here, replaced.join(part)).map_err(io("move", &here))?;
                any = true;
            }
            if there.exists() {
                fs::rename(&there, &here).map_err(io("move", &there))?;
            }
        }
        fs::remove_dir_all(&from).map_err(io("remove", &from))?;
        Ok(any.then_some(replaced))
    }

    fn settings(&self, owner: Owner, bus: &str, expired: Option<Expired>) -> StoreSettings {
        StoreSettings {
            expired,
            ..StoreSettings::new(self.shared.clone(), owner.words(bus))
        }
    }

    /// Opens a store, or one from the newest snapshot if there is none yet, or else a new one.
    fn open_or_restore(&self, owner: Owner, bus: &str, expired: Option<&Expired>) -> Result<RocksStore, TaskError> {
        let folder = folder(&self.path, owner);
        if let Some(snapshots) = &self.snapshots
            && !RocksStore::is_at(&folder)
        {
            // Every block is read once: what is damaged is found before anything rests on it.
            snapshots.restore(&series(owner, bus), &folder, |arrived| {
                let store = RocksStore::open(arrived, owner.kind(), self.settings(owner, bus, None))?;
                store.verify().map(drop)
            })?;
        }
        Ok(RocksStore::open(
            &folder,
            owner.kind(),
            self.settings(owner, bus, expired.cloned()),
        )?)
    }

    /// Moves a damaged store out of the way, and says so.
    fn set_aside(&self, owner: Owner, why: &StoreError) -> Result<(), TaskError> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let aside = self.path.join(DAMAGED);
        fs::create_dir_all(&aside).map_err(io("create", &aside))?;
        let aside = aside.join(format!("{}-{}", owner.path().replace('/', "-"), now.as_millis()));
        let folder = folder(&self.path, owner);
        fs::rename(&folder, &aside).map_err(io("move", &folder))?;
        tracing::error!(
            "{why}; it is in {} now, and made anew from {}the bus",
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

fn series(owner: Owner, bus: &str) -> Series {
    Series::new(bus, &owner.path(), &owner.words(bus))
}

/// Where a task's store is, in the state directory `state`.
pub(super) fn folder(state: &Path, owner: Owner) -> PathBuf {
    state.join(owner.path())
}

const COORDINATE: &str = "coordinate";
const INGEST: &str = "ingest";
const ACCRUE: &str = "accrue";
/// Where stores are caught for snapshots.
const CAUGHT: &str = "caught";
/// Where damaged stores are moved to.
const DAMAGED: &str = "damaged";

impl Stores for StateDirectory {
    fn open(&self, owner: Owner, bus: &str, expired: Option<Expired>) -> Result<Box<dyn Store>, TaskError> {
        let store = match self.open_or_restore(owner, bus, expired.as_ref()) {
            Err(TaskError::Store(error)) if error.is_damage() => {
                self.set_aside(owner, &error)?;
                self.open_or_restore(owner, bus, expired.as_ref())?
            }
            store => store?,
        };
        Ok(match &self.snapshots {
            Some(snapshots) => Box::new(Snapshotted::new(store, series(owner, bus), Arc::clone(snapshots))),
            None => Box::new(store),
        })
    }

    fn remove(&self, owner: Owner) -> Result<(), TaskError> {
        let folder = folder(&self.path, owner);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", &folder)(error)),
            _ => {
                // With the last store of a layout its folder goes, and not before.
                if let (Owner::Accrue(..), Some(layout)) = (owner, folder.parent()) {
                    let _ = fs::remove_dir(layout);
                }
                Ok(())
            }
        }
    }

    fn finish(&self) {
        if let Some(snapshots) = &self.snapshots {
            snapshots.finish();
        }
    }

    fn sources(&self) -> Result<Vec<TopicPartition>, TaskError> {
        let mut known = Vec::new();
        for topic in Topic::SOURCES {
            let folder = self.path.join(INGEST).join(topic.name());
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io("read", &folder)(error)),
            };
            for entry in entries {
                let name = entry.map_err(io("read", &folder))?.file_name();
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

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TaskError {
    let path = path.display().to_string();
    move |source| TaskError::Io { action, path, source }
}

/// Takes the state directory for this process.
fn lock(state: &Path) -> Result<File, TaskError> {
    fs::create_dir_all(state).map_err(io("create", state))?;
    let path = state.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TaskError::Locked {
            path: state.display().to_string(),
        }),
        Err(TryLockError::Error(error)) => Err(io("lock", &path)(error)),
    }
}

/// Stores in memory, for tests: what a task committed is there when it is opened again.
#[derive(Default)]
pub struct InMemory(Mutex<BTreeMap<Owner, Contents>>);

impl Stores for InMemory {
    fn open(&self, owner: Owner, _bus: &str, _expired: Option<Expired>) -> Result<Box<dyn Store>, TaskError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(MemoryStore::open(all.entry(owner).or_default())))
    }

    fn remove(&self, owner: Owner) -> Result<(), TaskError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&owner);
        Ok(())
    }

    fn sources(&self) -> Result<Vec<TopicPartition>, TaskError> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(all
            .keys()
            .filter_map(|owner| match owner {
                Owner::Ingest(source) => Some(*source),
                Owner::Coordinate(_) | Owner::Accrue(..) => None,
            })
            .collect())
    }
}

/// The newest generation of layouts of which the state directory `state` has a coordinator's store.
pub(super) fn newest_generation(state: &Path) -> u32 {
    let names = fs::read_dir(state).into_iter().flatten().flatten();
    let generation =
        |name: std::ffi::OsString| name.to_str()?.strip_prefix(COORDINATE)?.strip_prefix('-')?.parse().ok();
    names
        .filter_map(|entry| generation(entry.file_name()))
        .max()
        .unwrap_or(0)
}
