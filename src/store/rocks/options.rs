//! How RocksDB is set up.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rocksdb::compaction_filter::Decision;
use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, Env, LogLevel, MergeOperands, Options, WriteBufferManager};

use crate::store::{StoreError, row};

/// What a store is for; decides how RocksDB is tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// Many lookups of keys that are not there: filters.
    Ingest,
    /// Additions and scans, hardly a lookup: no filters.
    Accrue,
    /// Small.
    Coordinate,
}

/// Tells by key and value what nobody will ask for again. Such keys may vanish at any time, and may stay for long.
pub type Expired = Arc<dyn Fn(&[u8], &[u8]) -> bool + Send + Sync>;

/// What all stores of a process may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes of blocks, indexes and filters kept in memory; `buffer_bytes` are part of it.
    pub cache_bytes: usize,
    /// Bytes of what is committed and not yet in a file.
    pub buffer_bytes: usize,
    /// Threads that compact and flush.
    pub threads: u8,
    /// Files kept open.
    pub open_files: u16,
    /// How many stores there will be at most; the open files are shared out evenly.
    pub stores: u16,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            cache_bytes: 384 << 20,
            buffer_bytes: 128 << 20,
            threads: 2,
            open_files: 768,
            stores: 8,
        }
    }
}

/// The memory and threads that all stores of a process share. Made once; clones are handles to the same.
#[derive(Clone)]
pub struct Shared {
    cache: Cache,
    buffers: WriteBufferManager,
    env: Env,
    limits: MemoryLimits,
    /// What was free on the disk, and when that was looked at.
    free: Arc<Mutex<Option<(Instant, u64)>>>,
}

/// How long is believed what was free on the disk.
const FREE_FOR: Duration = Duration::from_millis(500);

impl Shared {
    /// Sets up what the stores share.
    ///
    /// # Errors
    /// When RocksDB cannot set up its threads.
    pub fn new(limits: MemoryLimits) -> Result<Self, StoreError> {
        // Without locks: lookups by the thousand ask it for filters all the time. Zero: it finds out the size of entries itself.
        let cache = Cache::new_hyper_clock_cache(limits.cache_bytes, 0);
        let mut env = Env::new().map_err(StoreError::rocks("set up threads for", Path::new("(any)")))?;
        env.set_low_priority_background_threads(limits.threads.max(1).into());
        env.set_high_priority_background_threads(1);
        Ok(Self {
            buffers: WriteBufferManager::new_write_buffer_manager_with_cache(limits.buffer_bytes, false, cache.clone()),
            cache,
            env,
            limits,
            free: Arc::default(),
        })
    }

    /// Bytes that are free on the disk of the stores.
    pub(super) fn free_bytes(&self, path: &Path) -> Result<u64, StoreError> {
        let mut known = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, free)) = *known
            && at.elapsed() < FREE_FOR
        {
            return Ok(free);
        }
        let found =
            rustix::fs::statvfs(path).map_err(|error| StoreError::io("look at the disk of", path)(error.into()))?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        *known = Some((Instant::now(), free));
        Ok(free)
    }

    fn open_files_per_store(&self) -> u16 {
        (self.limits.open_files / self.limits.stores.max(1)).clamp(24, 512)
    }
}

/// From how many files at level 0 on compaction has fallen behind, and commits have to wait for it.
pub(super) const CROWDED: u16 = 20;

pub(super) fn options(kind: StoreKind, shared: &Shared, expired: Option<Expired>) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&shared.cache);
    table.set_block_size(16 << 10);
    table.set_format_version(6);
    // Indexes and filters count against the cache's limit, and leave it last.
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    if kind == StoreKind::Ingest {
        // One wrong yes in 700, not in 100: it costs a block read, and a lookup asks every file of level 0.
        table.set_bloom_filter(14.0, false);
        table.set_optimize_filters_for_memory(true);
    }

    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_env(&shared.env);
    options.set_write_buffer_manager(&shared.buffers);
    options.set_write_buffer_size(match kind {
        StoreKind::Ingest | StoreKind::Accrue => 8 << 20,
        StoreKind::Coordinate => 1 << 20,
    });
    options.set_max_background_jobs(i32::from(shared.limits.threads) + 1);
    options.set_max_open_files(shared.open_files_per_store().into());
    // Also what RocksDB lays aside on the disk for each store's log at its opening, of which there may be thousands.
    options.set_max_total_wal_size(4 << 20);
    options.set_manifest_preallocation_size(64 << 10);

    options.set_level_zero_file_num_compaction_trigger(match kind {
        StoreKind::Ingest | StoreKind::Coordinate => 4,
        // Fewer and larger compactions; nobody minds a few files more to look into.
        StoreKind::Accrue => 8,
    });
    options.set_level_zero_slowdown_writes_trigger(i32::from(CROWDED));
    options.set_level_zero_stop_writes_trigger(2 * i32::from(CROWDED));
    // Files of level 0 live for seconds: packing them costs more than it saves.
    options.set_compression_per_level(&[DBCompressionType::None, DBCompressionType::Lz4]);

    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_log_level(LogLevel::Warn);

    // Additions are grouped as RocksDB sees fit: a sum does not mind. A group that is refused fails the read or compaction.
    options.set_merge_operator_associative("softstake.row.1", add);
    if let Some(expired) = expired {
        options.set_compaction_filter(c"softstake.expired", move |_level, key: &[u8], value: &[u8]| {
            if key.first() != Some(&0) && expired(key, value) {
                Decision::Remove
            } else {
                Decision::Keep
            }
        });
    }
    options
}

/// For files that are written to become part of a store of these `options`, at level 0.
pub(super) fn file_options(options: &Options) -> Options {
    let mut options = options.clone();
    options.set_compression_per_level(&[DBCompressionType::None]);
    options
}

fn add(_key: &[u8], old: Option<&[u8]>, more: &MergeOperands) -> Option<Vec<u8>> {
    row::sum_encoded(old.into_iter().chain(more))
}
