//! RocksDB as the view uses it: no log of changes, and large commits as sorted files.
//!
//! Without a log, a crash loses what was still in memory. Each commit holds the marks of the records that it was made of, and RocksDB writes
//! memory to disk in the order of the commits. So what is left is a state from before, and the follower goes on from its marks.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRawIterator, IngestExternalFileOptions, LogLevel, Options,
    ReadOptions, SstFileWriter, WriteBatch, WriteOptions,
};

use crate::serve::view::error::ViewError;
use crate::serve::view::keys;
use crate::serve::view::progress::ViewDisk;

/// The version of all keys and values. Another version is refused.
const VERSION: u32 = 2;
/// The folder of files that are not yet part of the view.
const INCOMING: &str = "incoming";
/// Bytes of blocks, indexes and filters in memory.
const CACHE_BYTES: usize = 96 << 20;
const BUFFER_BYTES: usize = 16 << 20;
/// Nothing is written while the disk has less: compaction needs room, and an audit log is often on the same disk.
const ROOM_BYTES: u64 = 256 << 20;

pub(super) struct ViewDatabase {
    db: DB,
    path: PathBuf,
    file_options: Options,
    files: AtomicU64,
}

impl ViewDatabase {
    /// Opens the view of the bus `log`, or creates it.
    ///
    /// # Errors
    /// If it is of another bus or version, in use or damaged.
    pub(super) fn open(path: &Path, log: &str) -> Result<Self, ViewError> {
        let incoming = path.join(INCOMING);
        fs::create_dir_all(&incoming).map_err(ViewError::io("create", &incoming))?;
        let options = options();
        let db = DB::open(&options, path).map_err(|error| open_error(path, error))?;
        let database = Self {
            db,
            path: path.to_owned(),
            file_options: options,
            files: AtomicU64::new(0),
        };
        database.check(log)?;
        // RocksDB has locked the view, so these are left over from a process that ended.
        for entry in fs::read_dir(&incoming).map_err(ViewError::io("list", &incoming))? {
            let file = entry.map_err(ViewError::io("list", &incoming))?.path();
            fs::remove_file(&file).map_err(ViewError::io("remove", &file))?;
        }
        Ok(database)
    }

    fn check(&self, log: &str) -> Result<(), ViewError> {
        let known = VERSION.to_string();
        match self.get(keys::FORMAT)? {
            None => {
                let mut batch = WriteBatch::default();
                batch.put(keys::FORMAT, known.as_bytes());
                batch.put(keys::LOG, log.as_bytes());
                self.write(batch)?;
                return self.flush();
            }
            Some(found) if found != known.as_bytes() => {
                return Err(ViewError::Version {
                    path: self.path.clone(),
                    found: String::from_utf8_lossy(&found).into_owned(),
                    known: VERSION,
                });
            }
            Some(_) => {}
        }
        let found = self.get(keys::LOG)?.unwrap_or_default();
        if found != log.as_bytes() {
            return Err(ViewError::OtherLog {
                path: self.path.clone(),
                found: String::from_utf8_lossy(&found).into_owned(),
                wanted: log.to_owned(),
            });
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        self.db.get(key).map_err(ViewError::rocks("read from", &self.path))
    }

    /// Scans the keys from `from` (included) to `to` (excluded). It does not see later commits.
    pub(super) fn scan(&self, from: &[u8], to: &[u8]) -> ViewScan<'_> {
        let mut reading = ReadOptions::default();
        reading.set_iterate_upper_bound(to);
        let mut cursor = self.db.raw_iterator_opt(reading);
        cursor.seek(from);
        ViewScan {
            cursor,
            path: &self.path,
            is_first: true,
        }
    }

    /// Scans all keys that begin with `prefix`.
    pub(super) fn scan_prefix(&self, prefix: &[u8]) -> ViewScan<'_> {
        self.scan(prefix, &keys::end_of(prefix))
    }

    /// Commits a batch in one step.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), ViewError> {
        self.check_room()?;
        let mut writing = WriteOptions::default();
        writing.disable_wal(true);
        self.db
            .write_opt(batch, &writing)
            .map_err(ViewError::rocks("write to", &self.path))
    }

    /// Writes what is in memory to the disk.
    pub(super) fn flush(&self) -> Result<(), ViewError> {
        self.db.flush().map_err(ViewError::rocks("write to", &self.path))
    }

    /// Writes a file of ascending keys, to be added with [`Self::add_files`].
    pub(super) fn write_file<'a>(
        &self,
        rows: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<PathBuf, ViewError> {
        self.check_room()?;
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let file = self.path.join(INCOMING).join(format!("{number}.sst"));
        let written = write_sorted(&self.file_options, &file, rows);
        if written.is_err() {
            // On a full disk, a part of a file is in the way.
            let _ = fs::remove_file(&file);
        }
        written.map_err(ViewError::rocks("write a file for", &self.path))?;
        Ok(file)
    }

    /// The free bytes of the disk with the view.
    fn free_bytes(&self) -> Result<u64, ViewError> {
        let found = rustix::fs::statvfs(&self.path);
        let found = found.map_err(|error| ViewError::io("look at the disk of", &self.path)(error.into()))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// The disk, and what the files of the view take of it.
    pub(super) fn disk(&self) -> Result<ViewDisk, ViewError> {
        let failed = || ViewError::io("look at", &self.path);
        let mut used = 0_u64;
        for folder in [self.path.clone(), self.path.join(INCOMING)] {
            for entry in fs::read_dir(folder).map_err(failed())? {
                // A file may be gone meanwhile, because it was compacted.
                if let Ok(about) = entry.map_err(failed())?.metadata()
                    && about.is_file()
                {
                    used = used.saturating_add(about.len());
                }
            }
        }
        Ok(ViewDisk {
            free_bytes: self.free_bytes()?,
            used_bytes: used,
        })
    }

    /// # Errors
    /// If there is not enough room for more.
    pub(super) fn check_room(&self) -> Result<(), ViewError> {
        let free = self.free_bytes()?;
        if free >= ROOM_BYTES {
            return Ok(());
        }
        Err(ViewError::NoRoom {
            path: self.path.clone(),
            free_mb: free >> 20,
            needed_mb: ROOM_BYTES >> 20,
        })
    }

    /// Commits files in one step. No two of them overlap.
    pub(super) fn add_files(&self, files: Vec<PathBuf>) -> Result<(), ViewError> {
        let mut adding = IngestExternalFileOptions::default();
        adding.set_move_files(true);
        self.db
            .ingest_external_file_opts(&adding, files)
            .map_err(ViewError::rocks("add files to", &self.path))
    }

    /// The error of bytes that no view writes.
    pub(super) fn damaged(&self, what: impl Into<String>) -> ViewError {
        ViewError::Damaged {
            path: self.path.clone(),
            what: what.into(),
        }
    }
}

/// Writes a file of ascending keys.
fn write_sorted<'a>(
    options: &Options,
    file: &Path,
    rows: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(), rocksdb::Error> {
    let mut writer = SstFileWriter::create(options);
    writer.open(file)?;
    for (key, value) in rows {
        writer.put(key, value)?;
    }
    writer.finish()
}

fn open_error(path: &Path, error: rocksdb::Error) -> ViewError {
    let text: &str = error.as_ref();
    if text.contains("lock") {
        return ViewError::InUse { path: path.to_owned() };
    }
    if error.kind() == rocksdb::ErrorKind::Corruption || text.contains("No such file or directory") {
        return ViewError::Damaged {
            path: path.to_owned(),
            what: error.into_string(),
        };
    }
    ViewError::rocks("open", path)(error)
}

fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_hyper_clock_cache(CACHE_BYTES, 0));
    table.set_block_size(16 << 10);
    table.set_format_version(6);
    table.set_cache_index_and_filter_blocks(true);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(BUFFER_BYTES);
    options.set_max_write_buffer_number(3);
    options.set_max_background_jobs(2);
    options.set_max_open_files(256);
    options.set_compression_type(DBCompressionType::Lz4);
    // Fewer and larger compactions: a read looks into a few files more.
    options.set_level_zero_file_num_compaction_trigger(16);
    options.set_level_zero_slowdown_writes_trigger(48);
    options.set_level_zero_stop_writes_trigger(96);
    options.set_max_bytes_for_level_base(512 << 20);
    options.set_target_file_size_base(64 << 20);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_log_level(LogLevel::Warn);
    options
}

/// A scan of a range of keys.
pub(super) struct ViewScan<'a> {
    cursor: DBRawIterator<'a>,
    path: &'a Path,
    is_first: bool,
}

impl ViewScan<'_> {
    /// The next key and its value, until the next call; `None` at the end.
    #[allow(
        clippy::type_complexity,
        reason = "a pair of borrowed slices reads better than a named struct here"
    )]
    pub(super) fn next(&mut self) -> Result<Option<(&[u8], &[u8])>, ViewError> {
        if !std::mem::replace(&mut self.is_first, false) {
            self.cursor.next();
        }
        if !self.cursor.valid() {
            self.cursor.status().map_err(ViewError::rocks("read from", self.path))?;
            self.is_first = true;
            return Ok(None);
        }
        Ok(self.cursor.item())
    }
}
