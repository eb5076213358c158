//! Where the tasks' stores are: in a state directory, or, for tests, in memory.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::bus::{Topic, TopicPartition};
use crate::store::Store;
use crate::store::memory::{Contents, MemoryStore};
use crate::store::rocks::{Expired, Kind, Limits, RocksStore, Settings, Shared};

use super::TaskError;

/// Whose store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The coordinator.
    Coordinate,
    /// The ingest task of a source partition.
    Ingest(TopicPartition),
    /// The accrue task of a ledger partition.
    Accrue(u16),
}

/// The stores of a deployment.
pub trait Stores: Send + Sync {
    /// Opens the store of a task of the bus `bus`, or makes a new one.
    /// Keys of which `expired` says so may vanish at any time.
    fn open(&self, owner: Owner, bus: &str, expired: Option<Expired>) -> Result<Box<dyn Store>, TaskError>;

    /// The source partitions there are stores of.
    fn sources(&self) -> Result<Vec<TopicPartition>, TaskError>;
}

/// Stores in a state directory, which this process holds alone.
pub struct StateDirectory {
    path: PathBuf,
    shared: Shared,
    /// Held as long as the stores are in use.
    _lock: File,
}

impl StateDirectory {
    /// Takes the state directory at `path` for this process; it is made if it is not there. `cache_bytes` is what all its stores together
    /// may use to cache what is on disk.
    ///
    /// # Errors
    /// `Locked` if another process has it; nothing is written then.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Self, TaskError> {
        let lock = lock(path)?;
        let limits = Limits {
            cache_bytes,
            buffer_bytes: cache_bytes / 3,
            ..Limits::default()
        };
        Ok(Self {
            path: path.to_owned(),
            shared: Shared::new(limits)?,
            _lock: lock,
        })
    }
}

/// Where a task's store is, in the state directory `state`.
pub(super) fn folder(state: &Path, owner: Owner) -> PathBuf {
    match owner {
        Owner::Coordinate => state.join("coordinate"),
        Owner::Ingest(source) => state
            .join(INGEST)
            .join(source.topic.name())
            .join(source.partition.to_string()),
        Owner::Accrue(partition) => state.join("accrue").join(partition.to_string()),
    }
}

const INGEST: &str = "ingest";

impl Stores for StateDirectory {
    fn open(&self, owner: Owner, bus: &str, expired: Option<Expired>) -> Result<Box<dyn Store>, TaskError> {
        let (kind, name) = match owner {
            Owner::Coordinate => (Kind::Coordinate, "the coordinator".to_owned()),
            Owner::Ingest(source) => (Kind::Ingest, format!("ingest of {source}")),
            Owner::Accrue(partition) => (Kind::Accrue, format!("ledger partition {partition}")),
        };
        let settings = Settings {
            expired,
            ..Settings::new(self.shared.clone(), format!("{name}, bus {bus}"))
        };
        Ok(Box::new(RocksStore::open(&folder(&self.path, owner), kind, settings)?))
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

    fn sources(&self) -> Result<Vec<TopicPartition>, TaskError> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(all
            .keys()
            .filter_map(|owner| match owner {
                Owner::Ingest(source) => Some(*source),
                Owner::Coordinate | Owner::Accrue(_) => None,
            })
            .collect())
    }
}
