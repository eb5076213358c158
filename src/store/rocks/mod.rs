//! The store on disk.
//!
//! A commit goes one of two ways. A small one is a `WriteBatch`: RocksDB's log and memtable. A large one is written, sorted, to a
//! file of its own that RocksDB takes over as it is. Both hold the position. Their costs, of a commit of additions to random
//! rows, beside each other (processor time of all threads, compaction included; `cargo bench --bench store`):
//!
//! | operations a commit | log | file | read, add, put |
//! |---|---|---|---|
//! | 1,000 | 1 | 2 to 4 | 7 to 9 |
//! | 10,000 | 1 | 1.4 to 1.5 | 6 to 7 |
//! | 30,000 | 1 | 1.2 to 1.3 | 7 to 8 |
//! | 100,000 | 1 | 0.7 to 0.95 | 4 to 6 |
//! | 500,000 | 1 | 0.5 to 0.8 | 5 to 8 |
//!
//! Order holds after a loss of power too, though the log is never synced. Every commit writes the position's key, so what the
//! memtable holds always overlaps the next file, and RocksDB then writes the memtable to a synced file before it takes over
//! ours (synced as well). Hence a file never rests on a part of the log that can be lost; and the log itself is replayed only
//! up to its first gap. A lost end of the log is made up for from the bus.

mod options;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    ColumnFamilyDescriptor, DB, DBRawIterator, IngestExternalFileOptions, Options, ReadOptions, SstFileWriter,
    WriteBatch, WriteOptions,
};

pub use options::{Expired, MemoryLimits, Shared, StoreKind};

use crate::bus::Position;
use crate::store::changes::Change;
use crate::store::{Changes, Scan, Store, StoreError};

/// The version of what is on disk, keys and values of all tables included. One that differs is refused.
pub const FORMAT_VERSION: u32 = 1;

/// The store's own keys. Those of its callers begin with a byte other than zero.
const FORMAT: &[u8] = b"\0format";
const OWNER: &[u8] = b"\0owner";
const POSITION: &[u8] = b"\0position";
const AFTER_OWN_KEYS: &[u8] = &[1];

/// How often opening a store for reading is tried while it changes.
const ATTEMPTS: usize = 50;

/// The file that says why a store is not to be used any more.
const QUARANTINED: &str = "DAMAGED";

/// Where files are written before they become part of the store.
const INCOMING: &str = "incoming";

/// How a store is opened.
#[derive(Clone)]
pub struct StoreSettings {
    /// What it shares with the other stores of the process.
    pub shared: Shared,
    /// Whose store it is: task, bus, layout; in words for the operator. A store opened by another owner is refused.
    pub owner: String,
    /// Which keys are no longer needed.
    pub expired: Option<Expired>,
    /// Commits of this many operations or more become a file of their own.
    pub file_from: usize,
}

/// Where a file of its own begins to be faster than the log and the memtable (see the table above).
pub const FILE_FROM: usize = 100_000;

impl StoreSettings {
    /// Settings for `owner`, the rest as it should be.
    #[must_use]
    pub fn new(shared: Shared, owner: impl Into<String>) -> Self {
        Self {
            shared,
            owner: owner.into(),
            expired: None,
            file_from: FILE_FROM,
        }
    }
}

/// A store on disk.
pub struct RocksStore {
    db: DB,
    path: PathBuf,
    owner: String,
    position: Position,
    /// `None` if it was opened for reading.
    writing: Option<Writing>,
}

/// How much has to be free for a task to go on: what may wait in memory, and what RocksDB needs to compact.
const ROOM_BYTES: u64 = 256 << 20;

struct Writing {
    shared: Shared,
    file_options: Options,
    file_from: usize,
}

impl RocksStore {
    /// Opens the store at `path`, or makes a new one.
    ///
    /// # Errors
    /// When the store is of another format or owner, in use, or damaged.
    pub fn open(path: &Path, kind: StoreKind, settings: StoreSettings) -> Result<Self, StoreError> {
        if let Ok(why) = fs::read_to_string(path.join(QUARANTINED)) {
            return Err(StoreError::damaged(path, why));
        }
        let incoming = path.join(INCOMING);
        fs::create_dir_all(&incoming).map_err(StoreError::io("create", &incoming))?;
        if !path.join("CURRENT").exists() && has_tables(path)? {
            return Err(StoreError::damaged(
                path,
                "it has tables, but CURRENT, which leads to them, is missing",
            ));
        }
        check_room(&settings.shared, path)?;
        let mut options = options::options(kind, &settings.shared, settings.expired);
        options.create_if_missing(true);
        let db = DB::open_cf_descriptors(&options, path, [default_family(&options)])
            .map_err(|error| open_error(path, error))?;

        let known = read_format(&db, path)?;
        if !known {
            let mut first = db.raw_iterator();
            first.seek_to_first();
            if first.valid() {
                return Err(StoreError::damaged(path, "it has keys but no format version"));
            }
            first.status().map_err(StoreError::rocks("read from", path))?;
            drop(first);
            let mut batch = WriteBatch::default();
            batch.put(FORMAT, FORMAT_VERSION.to_be_bytes());
            batch.put(OWNER, &settings.owner);
            let mut durable = WriteOptions::default();
            durable.set_sync(true);
            db.write_opt(batch, &durable)
                .map_err(StoreError::rocks("set up", path))?;
            // In a file from the start, so that whoever reads beside a writer finds them.
            db.flush().map_err(StoreError::rocks("set up", path))?;
        }
        let owner = read_owner(&db, path)?;
        if owner != settings.owner {
            return Err(StoreError::Owner {
                path: path.to_owned(),
                found: owner,
                wanted: settings.owner,
            });
        }
        // RocksDB holds its lock by now, so what lies there is a dead process's.
        remove_files(&incoming)?;
        let position = read_position(&db, path)?;
        Ok(Self {
            db,
            path: path.to_owned(),
            owner,
            position,
            writing: Some(Writing {
                shared: settings.shared.clone(),
                file_options: options::file_options(&options),
                file_from: settings.file_from,
            }),
        })
    }

    /// Opens the store at `path` as it is now, beside the process that writes it, if there is one. What is committed later is not seen.
    ///
    /// Writes nothing to the store; `scratch` is a directory for RocksDB's own log, for this reader alone.
    ///
    /// # Errors
    /// When there is no store, it is of another format or damaged, or it changes faster than it can be opened.
    pub fn open_for_reading(path: &Path, kind: StoreKind, shared: &Shared, scratch: &Path) -> Result<Self, StoreError> {
        if !path.join("CURRENT").exists() {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        for _ in 0..ATTEMPTS {
            let before = manifest(path)?;
            let mut options = options::options(kind, shared, None);
            // All files are opened at once: those that the writer removes later stay readable.
            options.set_max_open_files(-1);
            let opened = DB::open_cf_descriptors_as_secondary(&options, path, scratch, [default_family(&options)]);
            let unchanged = before.is_some() && before == manifest(path)?;
            let db = match opened {
                Ok(db) => db,
                Err(error) if unchanged => return Err(open_error(path, error)),
                // A file may have been removed before it could be opened.
                Err(_) => continue,
            };
            // RocksDB reads the manifest first and the logs after it. The files of one manifest are a state of the store, and
            // so are they with the logs that belong to them; but not with logs of which an earlier part went to a file, or
            // which follow a file, that is not in the manifest as it was read.
            if !unchanged && has_read_logs(&db, path)? {
                continue;
            }
            if !read_format(&db, path)? {
                if unchanged {
                    return Err(StoreError::damaged(path, "it has no format version"));
                }
                continue;
            }
            return Ok(Self {
                owner: read_owner(&db, path)?,
                position: read_position(&db, path)?,
                db,
                path: path.to_owned(),
                writing: None,
            });
        }
        Err(StoreError::Busy { path: path.to_owned() })
    }

    /// Whether there is a store at `path`, whole or not.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        path.join("CURRENT").exists() || has_tables(path).unwrap_or(false)
    }

    /// Catches the store as of its last commit in a new folder on the same disk, by links to its files.
    ///
    /// # Errors
    /// If RocksDB cannot.
    pub fn checkpoint(&self, folder: &Path) -> Result<(), StoreError> {
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(folder))
            .map_err(StoreError::rocks("take a snapshot of", &self.path))
    }

    /// Reads all there is once, so that every block is held against its checksum; how many keys there are.
    ///
    /// # Errors
    /// For what is damaged.
    pub fn verify(&self) -> Result<u64, StoreError> {
        let mut reading = ReadOptions::default();
        reading.fill_cache(false);
        reading.set_readahead_size(2 << 20);
        let mut cursor = self.db.raw_iterator_opt(reading);
        cursor.seek_to_first();
        let mut keys = 0u64;
        while cursor.valid() {
            keys += 1;
            cursor.next();
        }
        cursor.status().map_err(StoreError::rocks("read from", &self.path))?;
        Ok(keys)
    }

    /// Whose store it is.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings all keys into as few files as can be, and drops those that expired. Takes long; nothing needs it but tests and measurements.
    pub fn compact(&self) {
        self.db.compact_range(None::<&[u8]>, None::<&[u8]>);
    }

    /// Whether compaction is so far behind that commits should wait for it.
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
                Change::Put(value) => batch.put(key, value),
                Change::Delete => batch.delete(key),
                Change::Add(sum) => batch.merge(key, sum),
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
        // The whole file gets one sequence number, and a deletion of a range does not touch what has its own number. So it
        // covers what is in the store, and no key of this file.
        for (from, to) in changes.deletions() {
            writer.delete_range(from, to).map_err(failed())?;
        }
        writer.put(POSITION, position).map_err(failed())?;
        changes.combined(&self.path, |key, change| {
            match change {
                Change::Put(value) => writer.put(key, value),
                Change::Delete => writer.delete(key),
                Change::Add(sum) => writer.merge(key, sum),
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
        match &self.writing {
            Some(writing) => check_room(&writing.shared, &self.path),
            None => Ok(()),
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get(key).map_err(StoreError::rocks("read from", &self.path))
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let family = self
            .db
            .cf_handle(rocksdb::DEFAULT_COLUMN_FAMILY_NAME)
            .ok_or_else(|| StoreError::damaged(&self.path, "its column family is missing"))?;
        // RocksDB would sort them too, but by a slower comparison.
        let mut sorted: Vec<_> = keys.iter().enumerate().collect();
        sorted.sort_unstable_by(|a, b| a.1.cmp(b.1));
        let found = self
            .db
            .batched_multi_get_cf(family, sorted.iter().map(|(_, key)| *key), true);
        let mut values = vec![None; keys.len()];
        for ((place, _), value) in sorted.into_iter().zip(found) {
            values[place] = value
                .map_err(StoreError::rocks("read from", &self.path))?
                .map(|value| value.to_vec());
        }
        Ok(values)
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Box<dyn Scan + '_>, StoreError> {
        let mut reading = ReadOptions::default();
        reading.set_iterate_upper_bound(to);
        // A scan reads each block once: it must not push out of the cache what lookups need.
        reading.fill_cache(false);
        let mut cursor = self.db.raw_iterator_opt(reading);
        cursor.seek(from.max(AFTER_OWN_KEYS));
        Ok(Box::new(RocksScan {
            cursor,
            started: false,
            path: &self.path,
        }))
    }

    fn quarantine(&self, why: &StoreError) {
        // If that cannot be written, whoever opens the store next finds out for itself.
        if let Err(error) = fs::write(self.path.join(QUARANTINED), why.to_string()) {
            tracing::error!(
                "cannot note that the store at {} is damaged: {error}",
                self.path.display()
            );
        }
    }

    fn commit(&mut self, changes: &mut Changes, position: &Position) -> Result<(), StoreError> {
        let Some(writing) = &self.writing else {
            return Err(StoreError::ReadOnly {
                path: self.path.clone(),
            });
        };
        let encoded = postcard::to_stdvec(position)
            .map_err(|error| StoreError::damaged(&self.path, format!("its position cannot be encoded: {error}")))?;
        // RocksDB makes writers wait when compaction falls behind, but not those who hand in files.
        if changes.len() >= writing.file_from && !self.is_crowded()? {
            self.commit_file(&writing.file_options, changes, &encoded)?;
        } else {
            self.commit_batch(changes, &encoded)?;
        }
        self.position.clone_from(position);
        changes.clear();
        Ok(())
    }
}

fn check_room(shared: &Shared, path: &Path) -> Result<(), StoreError> {
    let free = shared.free_bytes(path)?;
    if free >= ROOM_BYTES {
        return Ok(());
    }
    Err(StoreError::Full {
        path: path.to_owned(),
        free_mb: free >> 20,
        needed_mb: ROOM_BYTES >> 20,
    })
}

struct RocksScan<'a> {
    cursor: DBRawIterator<'a>,
    started: bool,
    path: &'a Path,
}

impl Scan for RocksScan<'_> {
    fn next(&mut self) -> Result<Option<(&[u8], &[u8])>, StoreError> {
        if self.started && self.cursor.valid() {
            self.cursor.next();
        }
        self.started = true;
        if !self.cursor.valid() {
            return match self.cursor.status() {
                Ok(()) => Ok(None),
                Err(error) => Err(StoreError::rocks("read from", self.path)(error)),
            };
        }
        Ok(self.cursor.item())
    }
}

fn default_family(options: &Options) -> ColumnFamilyDescriptor {
    ColumnFamilyDescriptor::new(rocksdb::DEFAULT_COLUMN_FAMILY_NAME, options.clone())
}

/// Whether the store has a format version; an error if it is not ours.
fn read_format(db: &DB, path: &Path) -> Result<bool, StoreError> {
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
    match db.get(POSITION).map_err(StoreError::rocks("read from", path))? {
        None => Ok(Position::default()),
        Some(bytes) => postcard::from_bytes(&bytes)
            .map_err(|error| StoreError::damaged(path, format!("its position is unreadable: {error}"))),
    }
}

fn open_error(path: &Path, error: rocksdb::Error) -> StoreError {
    let message = error.to_string();
    if message.contains("While lock file") || message.contains("lock hold by current process") {
        return StoreError::InUse { path: path.to_owned() };
    }
    StoreError::rocks(crate::store::error::OPEN, path)(error)
}

/// Name and length of the list of the store's files: it grows or is replaced whenever they change. `None` while it is replaced.
fn manifest(path: &Path) -> Result<Option<(String, u64)>, StoreError> {
    let current = path.join("CURRENT");
    let name = match fs::read_to_string(&current) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        name => name.map_err(StoreError::io("read", &current))?,
    };
    let file = path.join(name.trim_end());
    match fs::metadata(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        metadata => {
            let len = metadata.map_err(StoreError::io("read", &file))?.len();
            Ok(Some((name, len)))
        }
    }
}

/// Whether a store that was opened for reading holds anything from the logs.
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

/// Whether there are tables of RocksDB in a folder.
fn has_tables(path: &Path) -> Result<bool, StoreError> {
    for entry in fs::read_dir(path).map_err(StoreError::io("list", path))? {
        let name = entry.map_err(StoreError::io("list", path))?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "sst") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove_files(directory: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(directory).map_err(StoreError::io("list", directory))? {
        let file = entry.map_err(StoreError::io("list", directory))?.path();
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::io("remove", &file)(error));
            }
            _ => (),
        }
    }
    Ok(())
}
