//! The store on disk.
//!
//! A small commit is a `WriteBatch`, which goes to RocksDB's log and memtable. A large commit is a sorted file of its own, which RocksDB ingests
//! as it is. Both include the position. Relative costs of a commit of additions to random rows (processor time of all threads, with
//! compaction; `cargo bench --bench store`):
//!
//! | operations per commit | log | file | read, add, put |
//! |---|---|---|---|
//! | 1,000 | 1 | 2 to 4 | 7 to 9 |
//! | 10,000 | 1 | 1.4 to 1.5 | 6 to 7 |
//! | 30,000 | 1 | 1.2 to 1.3 | 7 to 8 |
//! | 100,000 | 1 | 0.7 to 0.95 | 4 to 6 |
//! | 500,000 | 1 | 0.5 to 0.8 | 5 to 8 |
//!
//! The log is never synced, and yet commits keep their order after a loss of power. Every commit writes the key of the position, so the memtable
//! always overlaps the next file. RocksDB therefore writes the memtable to a synced file before it ingests ours, which is synced as well. So a
//! file never depends on a part of the log that can be lost. The log itself is replayed only up to its first gap. If the end of the log is lost,
//! the task recovers from the bus.

mod figures;
mod folder;
mod kind;
mod live;
mod options;
mod own_keys;
mod runs;
mod scan;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, IngestExternalFileOptions, Options, ReadOptions, SstFileWriter,
    WriteBatch, WriteOptions,
};

pub use figures::{Figures, StoreFigures, StoreProperty};
pub use kind::StoreKind;
pub use live::LiveStores;
pub use options::{MIN_TABLES, MemoryLimits, OTHER_FILES, StoreResources};

use crate::bus::Position;
use crate::store::changes::{Changes, KeyChange};
use crate::store::error::StoreError;
use crate::store::rocks::figures::OpenStore;
use crate::store::rocks::folder::{has_tables, manifest, remove_files};
use crate::store::rocks::live::LiveEntry;
use crate::store::rocks::own_keys::{AFTER_OWN_KEYS, FORMAT, OWNER, POSITION, decode_position};
use crate::store::rocks::runs::{RUNS, RocksRuns};
use crate::store::rocks::scan::RocksScan;
use crate::store::{Scan, SortedRuns, Store};

/// The version of the format on disk, with the keys and values of all tables. Another version is rejected.
pub const FORMAT_VERSION: u32 = 6;

/// The number of attempts to open a store for reading while it changes.
const ATTEMPTS: usize = 50;

/// A store with this file is damaged. The file says why.
const QUARANTINED: &str = "DAMAGED";

/// A store with this file is not of the log that its task reads. The file says why.
const OTHER_LOG: &str = "OTHER_LOG";

/// A store with this file comes from a snapshot, and nothing has shown yet that it is of the log that its task reads. The file names the snapshot.
const UNCONFIRMED: &str = "UNCONFIRMED";

/// The folder of files that are not yet part of the store.
const INCOMING: &str = "incoming";

/// How a store is opened.
#[derive(Clone)]
pub struct StoreSettings {
    pub resources: StoreResources,
    /// Task, bus and layout, in words. An existing store of another owner is rejected.
    pub owner: String,
    /// A commit of at least this many operations becomes a file of its own.
    pub file_from: usize,
}

/// From this number of operations on, a file of its own is faster than the log (see the table above).
pub const FILE_FROM: usize = 100_000;

impl StoreSettings {
    /// The defaults, for `owner`.
    #[must_use]
    pub fn new(resources: StoreResources, owner: impl Into<String>) -> Self {
        Self {
            resources,
            owner: owner.into(),
            file_from: FILE_FROM,
        }
    }
}

/// A store on disk.
pub struct RocksStore {
    db: Arc<DB>,
    path: PathBuf,
    owner: String,
    position: Position,
    confirmed: bool,
    /// `None` if the store was opened for reading.
    write_access: Option<WriteAccess>,
}

/// The bytes that must be free on the disk for a task to continue: for changes that are still in memory, and for compaction.
const ROOM_BYTES: u64 = 256 << 20;

struct WriteAccess {
    resources: StoreResources,
    /// Dropped last of all that has the store, so that it closes then.
    _live: LiveEntry,
    figures: OpenStore,
    file_options: Options,
    file_from: usize,
}

impl RocksStore {
    /// Opens the store at `path`, or creates it.
    ///
    /// # Errors
    /// If the store has another format or owner, is in use, or is damaged.
    pub fn open(path: &Path, kind: StoreKind, settings: StoreSettings) -> Result<Self, StoreError> {
        if let Ok(why) = fs::read_to_string(path.join(QUARANTINED)) {
            return Err(StoreError::damaged(path, why));
        }
        if let Ok(what) = fs::read_to_string(path.join(OTHER_LOG)) {
            let store = format!("the store at {}", path.display());
            return Err(StoreError::OtherLog { store, what });
        }
        let incoming = path.join(INCOMING);
        fs::create_dir_all(&incoming).map_err(StoreError::io("create", &incoming))?;
        if !path.join("CURRENT").exists() && has_tables(path)? {
            return Err(StoreError::damaged(
                path,
                "it has tables, but the file CURRENT, which leads to them, is missing",
            ));
        }
        check_room(&settings.resources, path)?;
        let mut options = options::options(kind, &settings.resources);
        refuse_without_runs(&options, path)?;
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let families = families(&options, &settings.resources);
        let db = DB::open_cf_descriptors(&options, path, families)
            .map(Arc::new)
            .map_err(|error| open_error(path, error))?;

        if !has_format(&db, path)? {
            initialise(&db, path, &settings.owner)?;
        }
        let owner = read_owner(&db, path)?;
        if owner != settings.owner {
            return Err(StoreError::Owner {
                path: path.to_owned(),
                found: owner,
                wanted: settings.owner,
            });
        }
        // RocksDB has locked the store, so these files are left over from a process that ended.
        remove_files(&incoming)?;
        let position = read_position(&db, path)?;
        let figures = settings.resources.figures().enter(kind, &db);
        let live = settings.resources.live().enter(path, &db);
        Ok(Self {
            db,
            path: path.to_owned(),
            owner,
            position,
            confirmed: !path.join(UNCONFIRMED).exists(),
            write_access: Some(WriteAccess {
                _live: live,
                figures,
                resources: settings.resources.clone(),
                file_options: options::file_options(&options),
                file_from: settings.file_from,
            }),
        })
    }

    /// Opens the store at `path` as it is now, while another process may write it. It does not see later commits.
    ///
    /// It writes nothing to the store. RocksDB writes its own log to the folder `scratch`, which no other reader may use.
    ///
    /// # Errors
    /// If the store is missing, has another format, is damaged, or changes during every attempt.
    pub fn open_for_reading(
        path: &Path,
        kind: StoreKind,
        resources: &StoreResources,
        scratch: &Path,
    ) -> Result<Self, StoreError> {
        if !path.join("CURRENT").exists() {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        for attempt in 0..ATTEMPTS {
            let before = manifest(path)?;
            let mut options = options::options(kind, resources);
            // Open all files at once. They stay readable when the writer removes them.
            options.set_max_open_files(-1);
            let opened = DB::open_cf_descriptors_as_secondary(&options, path, scratch, families(&options, resources));
            let unchanged = before.is_some() && before == manifest(path)?;
            let db = match opened {
                Ok(db) => db,
                Err(error) if unchanged => return Err(open_error(path, error)),
                // The writer may have removed a file before it was opened.
                Err(_) => continue,
            };
            // RocksDB reads the manifest first, then the logs. The files of one manifest are a state of the store, alone or with the logs
            // that belong to them. They are not a state of the store together with newer logs: an earlier part of those, or a commit
            // before them, may be in a file that this manifest does not name. Alone, they may be an old state: its logs may have been removed. So that
            // is shown only of a store that changes all the time.
            let is_persistent = attempt >= ATTEMPTS / 2;
            if !unchanged && (!is_persistent || has_read_logs(&db, path)?) {
                continue;
            }
            if !has_format(&db, path)? {
                if unchanged {
                    return Err(StoreError::damaged(path, "it has no format version"));
                }
                continue;
            }
            return Ok(Self {
                owner: read_owner(&db, path)?,
                position: read_position(&db, path)?,
                db: Arc::new(db),
                path: path.to_owned(),
                confirmed: true,
                write_access: None,
            });
        }
        Err(StoreError::Busy { path: path.to_owned() })
    }

    /// Whether there is a store at `path`, complete or not.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        path.join("CURRENT").exists() || has_tables(path).unwrap_or(false)
    }

    /// Notes in the folder of a store that it comes from `snapshot`, and is not confirmed.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn note_snapshot(path: &Path, snapshot: &str) -> Result<(), StoreError> {
        let note = path.join(UNCONFIRMED);
        fs::write(&note, snapshot).map_err(StoreError::io("write", &note))
    }

    /// The snapshot that the store in a folder comes from, if the store turned out not to be of the log that its task reads.
    #[must_use]
    pub fn refuted_snapshot(path: &Path) -> Option<String> {
        if !path.join(OTHER_LOG).exists() {
            return None;
        }
        fs::read_to_string(path.join(UNCONFIRMED)).ok()
    }

    /// Makes a checkpoint of the last commit in a new folder on the same disk, by hard links to the files.
    ///
    /// # Errors
    /// If RocksDB fails.
    pub fn checkpoint(&self, folder: &Path) -> Result<(), StoreError> {
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(folder))
            .map_err(StoreError::rocks("take a snapshot of", &self.path))
    }

    /// Reads everything once, so that the checksum of every block is checked. Returns the number of keys.
    ///
    /// # Errors
    /// If a block is damaged.
    pub fn verify(&self) -> Result<u64, StoreError> {
        let mut keys = 0u64;
        for name in [rocksdb::DEFAULT_COLUMN_FAMILY_NAME, RUNS] {
            let mut reading = ReadOptions::default();
            reading.fill_cache(false);
            reading.set_readahead_size(2 << 20);
            let mut cursor = self.db.raw_iterator_cf_opt(self.family(name)?, reading);
            cursor.seek_to_first();
            while cursor.valid() {
                keys += 1;
                cursor.next();
            }
            cursor.status().map_err(StoreError::rocks("read from", &self.path))?;
        }
        Ok(keys)
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily, StoreError> {
        self.db
            .cf_handle(name)
            .ok_or_else(|| StoreError::damaged(&self.path, format!("its column family `{name}` is missing")))
    }

    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Compacts all files, and drops expired keys. It takes long; only tests and benchmarks use it.
    pub fn compact(&self) {
        self.db.compact_range(None::<&[u8]>, None::<&[u8]>);
    }

    /// Whether compaction is so far behind that commits have to wait for it.
    fn is_crowded(&self) -> Result<bool, StoreError> {
        let files = self
            .db
            .property_value("rocksdb.num-files-at-level0")
            .map_err(StoreError::rocks("inspect", &self.path))?;
        Ok(files.and_then(|files| files.parse().ok()).unwrap_or(0) >= u64::from(options::CROWDED))
    }

    fn commit_batch(&self, changes: &mut Changes, position: &[u8]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::with_capacity_bytes(changes.bytes() + position.len() + 64);
        for (from, to) in changes.deletions() {
            batch.delete_range(from, to);
        }
        changes.combined(&self.path, |key, change| {
            match change {
                KeyChange::Put(value) => batch.put(key, value),
                KeyChange::Delete => batch.delete(key),
                KeyChange::Add(sum) => batch.merge(key, sum),
            }
            Ok(())
        })?;
        batch.put(POSITION, position);
        self.db.write(batch).map_err(StoreError::rocks("commit to", &self.path))
    }

    fn commit_file(&self, options: &Options, changes: &mut Changes, position: &[u8]) -> Result<(), StoreError> {
        let failed = || StoreError::rocks("write a file for", &self.path);
        let file = self.path.join(INCOMING).join("next.sst");
        let mut writer = SstFileWriter::create(options);
        writer.open(&file).map_err(failed())?;
        // The whole file gets one sequence number. A deleted range does not affect keys with the same number. So it deletes keys of the
        // store, and no key of this file.
        for (from, to) in changes.deletions() {
            writer.delete_range(from, to).map_err(failed())?;
        }
        writer.put(POSITION, position).map_err(failed())?;
        changes.combined(&self.path, |key, change| {
            match change {
                KeyChange::Put(value) => writer.put(key, value),
                KeyChange::Delete => writer.delete(key),
                KeyChange::Add(sum) => writer.merge(key, sum),
            }
            .map_err(failed())
        })?;
        writer.finish().map_err(failed())?;
        let mut ingestion = IngestExternalFileOptions::default();
        ingestion.set_move_files(true);
        self.db
            .ingest_external_file_opts(&ingestion, vec![&file])
            .map_err(StoreError::rocks("commit a file to", &self.path))
    }
}

impl Store for RocksStore {
    fn position(&self) -> &Position {
        &self.position
    }

    fn has_room(&self) -> Result<(), StoreError> {
        match &self.write_access {
            Some(access) => check_room(&access.resources, &self.path),
            None => Ok(()),
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get(key).map_err(StoreError::rocks("read from", &self.path))
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let family = self.family(rocksdb::DEFAULT_COLUMN_FAMILY_NAME)?;
        // RocksDB would sort the keys, too, but with a slower comparison.
        let mut sorted: Vec<_> = keys.iter().enumerate().collect();
        sorted.sort_unstable_by(|a, b| a.1.cmp(b.1));
        let found = self
            .db
            .batched_multi_get_cf(family, sorted.iter().map(|(_, key)| *key), true);
        let mut values = vec![None; keys.len()];
        for ((index, _), value) in sorted.into_iter().zip(found) {
            values[index] = value
                .map_err(StoreError::rocks("read from", &self.path))?
                .map(|value| value.to_vec());
        }
        Ok(values)
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Box<dyn Scan + '_>, StoreError> {
        let mut reading = ReadOptions::default();
        reading.set_iterate_upper_bound(to);
        // A scan reads each block once. It must not displace blocks in the cache that lookups need.
        reading.fill_cache(false);
        let mut cursor = self.db.raw_iterator_opt(reading);
        cursor.seek(from.max(AFTER_OWN_KEYS));
        Ok(Box::new(RocksScan::new(cursor, &self.path)))
    }

    fn runs(&self) -> Result<Arc<dyn SortedRuns>, StoreError> {
        match &self.write_access {
            Some(access) => Ok(Arc::new(RocksRuns {
                db: Arc::clone(&self.db),
                path: self.path.clone(),
                incoming: self.path.join(INCOMING),
                options: options::run_options(&access.resources),
            })),
            None => Err(StoreError::ReadOnly {
                path: self.path.clone(),
            }),
        }
    }

    fn maintain(&mut self) {
        if let Some(access) = &mut self.write_access {
            access.figures.look(&self.db);
        }
    }

    fn quarantine(&self, why: &StoreError) {
        let (note, text) = match why {
            StoreError::OtherLog { what, .. } => (OTHER_LOG, what.clone()),
            _ => (QUARANTINED, why.to_string()),
        };
        // If this fails, the next start has to find out again.
        if let Err(error) = fs::write(self.path.join(note), text) {
            tracing::error!("cannot mark the store at {} as unusable: {error}", self.path.display());
        }
    }

    fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    fn confirm(&mut self) -> Result<(), StoreError> {
        if !self.confirmed {
            let note = self.path.join(UNCONFIRMED);
            fs::remove_file(&note).map_err(StoreError::io("remove", &note))?;
            self.confirmed = true;
        }
        Ok(())
    }

    fn commit(&mut self, changes: &mut Changes, position: &Position) -> Result<(), StoreError> {
        let Some(access) = &self.write_access else {
            return Err(StoreError::ReadOnly {
                path: self.path.clone(),
            });
        };
        let encoded = postcard::to_stdvec(position)
            .map_err(|error| StoreError::damaged(&self.path, format!("its position cannot be encoded: {error}")))?;
        // When compaction is behind, RocksDB slows down writes to the log, but not the ingestion of files.
        if changes.len() >= access.file_from && !self.is_crowded()? {
            self.commit_file(&access.file_options, changes, &encoded)?;
        } else {
            self.commit_batch(changes, &encoded)?;
        }
        self.position.clone_from(position);
        changes.clear();
        Ok(())
    }
}

fn check_room(resources: &StoreResources, path: &Path) -> Result<(), StoreError> {
    let free = resources.free_bytes(path)?;
    if free >= ROOM_BYTES {
        return Ok(());
    }
    Err(StoreError::Full {
        path: path.to_owned(),
        free_mb: free >> 20,
        needed_mb: ROOM_BYTES >> 20,
    })
}

/// The column families of a store: its keys, and its sorted runs.
fn families(options: &Options, resources: &StoreResources) -> [ColumnFamilyDescriptor; 2] {
    [
        ColumnFamilyDescriptor::new(rocksdb::DEFAULT_COLUMN_FAMILY_NAME, options.clone()),
        ColumnFamilyDescriptor::new(RUNS, options::run_options(resources)),
    ]
}

/// Rejects a store of a version that had no sorted runs, before it gets a column family that its own softstake would not open.
fn refuse_without_runs(options: &Options, path: &Path) -> Result<(), StoreError> {
    match DB::list_cf(options, path) {
        Ok(names) if !names.iter().any(|name| name == RUNS) => {
            let db = DB::open_for_read_only(options, path, false).map_err(|error| open_error(path, error))?;
            if has_format(&db, path)? {
                return Err(StoreError::damaged(
                    path,
                    format!("its column family `{RUNS}` is missing"),
                ));
            }
            // A process ended while it created the store.
            Ok(())
        }
        // There is no store, or one whose open tells what is wrong.
        _ => Ok(()),
    }
}

/// Writes format version and owner to a new store.
fn initialise(db: &DB, path: &Path, owner: &str) -> Result<(), StoreError> {
    let mut first = db.raw_iterator();
    first.seek_to_first();
    if first.valid() {
        return Err(StoreError::damaged(path, "it has keys but no format version"));
    }
    first.status().map_err(StoreError::rocks("read from", path))?;
    drop(first);
    let mut batch = WriteBatch::default();
    batch.put(FORMAT, FORMAT_VERSION.to_be_bytes());
    batch.put(OWNER, owner);
    let mut durable = WriteOptions::default();
    durable.set_sync(true);
    db.write_opt(batch, &durable)
        .map_err(StoreError::rocks("set up", path))?;
    // A reader beside the writer must find both keys in a file.
    db.flush().map_err(StoreError::rocks("set up", path))
}

/// Whether the store has a format version; an error if it is another version.
fn has_format(db: &DB, path: &Path) -> Result<bool, StoreError> {
    let Some(bytes) = db.get(FORMAT).map_err(StoreError::rocks("read from", path))? else {
        return Ok(false);
    };
    let found = bytes
        .try_into()
        .map(u32::from_be_bytes)
        .map_err(|_| StoreError::damaged(path, "its format version is unreadable"))?;
    if found == FORMAT_VERSION {
        return Ok(true);
    }
    Err(StoreError::Version {
        path: path.to_owned(),
        found,
        known: FORMAT_VERSION,
    })
}

fn read_owner(db: &DB, path: &Path) -> Result<String, StoreError> {
    let bytes = db.get(OWNER).map_err(StoreError::rocks("read from", path))?;
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| StoreError::damaged(path, "its owner is missing or unreadable"))
}

fn read_position(db: &DB, path: &Path) -> Result<Position, StoreError> {
    decode_position(db.get(POSITION).map_err(StoreError::rocks("read from", path))?, path)
}

fn open_error(path: &Path, error: rocksdb::Error) -> StoreError {
    let message = error.to_string();
    if message.contains("While lock file") || message.contains("lock hold by current process") {
        return StoreError::InUse { path: path.to_owned() };
    }
    StoreError::rocks(crate::store::error::OPEN, path)(error)
}

/// Whether a store that was opened for reading has keys from the logs.
fn has_read_logs(db: &DB, path: &Path) -> Result<bool, StoreError> {
    for property in [
        "rocksdb.num-entries-active-mem-table",
        "rocksdb.num-entries-imm-mem-tables",
    ] {
        let entries = db
            .property_int_value(property)
            .map_err(StoreError::rocks("inspect", path))?;
        if entries != Some(0) {
            return Ok(true);
        }
    }
    Ok(false)
}
