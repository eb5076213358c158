//! The options of RocksDB.

use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, Env, LogLevel, MergeOperands, Options, WriteBufferManager};

use crate::store::error::StoreError;
use crate::store::rocks::figures::StoreFigures;
use crate::store::rocks::kind::StoreKind;
use crate::store::rocks::live::LiveStores;
use crate::store::row;

/// Limits for all stores of a process together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes of blocks, indexes and filters in memory. They include `buffer_bytes`.
    pub cache_bytes: usize,
    /// Bytes of commits that are not yet in a file.
    pub buffer_bytes: usize,
    /// Threads that compact and flush.
    pub threads: u8,
    /// Tables that each store keeps open, until [`StoreResources::share_tables`] knows better.
    pub tables: u16,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            cache_bytes: 384 << 20,
            buffer_bytes: 128 << 20,
            threads: 2,
            tables: 86,
        }
    }
}

/// The memory and threads that all stores of a process share. Clones are handles to the same resources.
#[derive(Clone)]
pub struct StoreResources {
    cache: Cache,
    buffers: WriteBufferManager,
    env: Env,
    limits: MemoryLimits,
    /// Tables that a store keeps open.
    tables: Arc<AtomicU16>,
    /// The free bytes of the disk, and the time of the measurement.
    free: Arc<Mutex<Option<(Instant, u64)>>>,
    figures: Arc<StoreFigures>,
    live: Arc<LiveStores>,
}

/// The smallest number of tables that RocksDB can keep open.
pub const MIN_TABLES: u16 = 10;
/// More do not make a store faster.
const MAX_TABLES: u16 = 512;

/// The files of an open store that are not tables: two folders, the lock, the manifest, two logs of changes and the log of messages.
pub const OTHER_FILES: u16 = 7;

/// A measurement of the free bytes is used for this time.
const FREE_FOR: Duration = Duration::from_millis(500);

impl StoreResources {
    /// # Errors
    /// If RocksDB cannot start its threads.
    pub fn new(limits: MemoryLimits) -> Result<Self, StoreError> {
        // This cache has no locks: thousands of lookups ask it for filters. The 0 lets it estimate the size of entries itself.
        let cache = Cache::new_hyper_clock_cache(limits.cache_bytes, 0);
        let mut env = Env::new().map_err(StoreError::rocks("set up threads for", Path::new("(any)")))?;
        env.set_low_priority_background_threads(limits.threads.max(1).into());
        env.set_high_priority_background_threads(1);
        Ok(Self {
            buffers: WriteBufferManager::new_write_buffer_manager_with_cache(limits.buffer_bytes, false, cache.clone()),
            cache,
            env,
            tables: Arc::new(AtomicU16::new(limits.tables)),
            limits,
            free: Arc::default(),
            figures: Arc::default(),
            live: Arc::default(),
        })
    }

    /// The figures of the stores that are open with these resources.
    #[must_use]
    pub const fn figures(&self) -> &Arc<StoreFigures> {
        &self.figures
    }

    /// The stores that are open with these resources, to read them beside their tasks.
    #[must_use]
    pub const fn live(&self) -> &Arc<LiveStores> {
        &self.live
    }

    /// The free bytes of the disk with the stores.
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
        self.figures.note_free(free);
        Ok(free)
    }

    /// The number of tables that each store opened from now on keeps open; at least [`MIN_TABLES`].
    pub fn share_tables(&self, tables: u16) {
        self.tables
            .store(tables.clamp(MIN_TABLES, MAX_TABLES), Ordering::Relaxed);
    }

    /// The limit of open files as RocksDB counts it: it keeps ten for files other than tables.
    fn max_open_files(&self) -> i32 {
        i32::from(self.tables.load(Ordering::Relaxed)) + 10
    }
}

/// With this many files at level 0, compaction is behind, and commits have to wait for it.
pub(super) const CROWDED: u16 = 20;

pub(super) fn options(kind: StoreKind, resources: &StoreResources) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&resources.cache);
    table.set_block_size(16 << 10);
    table.set_format_version(6);
    // Indexes and filters count toward the limit of the cache, and are evicted last.
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);

    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_env(&resources.env);
    options.set_write_buffer_manager(&resources.buffers);
    options.set_write_buffer_size(match kind {
        StoreKind::Ingest | StoreKind::Accrue => 8 << 20,
        StoreKind::Coordinate => 1 << 20,
    });
    options.set_max_background_jobs(i32::from(resources.limits.threads) + 1);
    options.set_max_open_files(resources.max_open_files());
    // RocksDB also reserves this much disk space for the log of each store when it opens. There may be thousands of stores.
    options.set_max_total_wal_size(4 << 20);
    options.set_manifest_preallocation_size(64 << 10);

    options.set_level_zero_file_num_compaction_trigger(match kind {
        StoreKind::Ingest | StoreKind::Coordinate => 4,
        // Fewer and larger compactions. A few files more per scan do not matter.
        StoreKind::Accrue => 8,
    });
    options.set_level_zero_slowdown_writes_trigger(i32::from(CROWDED));
    options.set_level_zero_stop_writes_trigger(2 * i32::from(CROWDED));
    // Files of level 0 live for seconds. Compressing them costs more than it saves.
    options.set_compression_per_level(&[DBCompressionType::None, DBCompressionType::Lz4]);

    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_log_level(LogLevel::Warn);

    // RocksDB may group additions in any way: the sum is the same. If a group overflows, the read or compaction fails.
    options.set_merge_operator_associative("softstake.row.1", add);
    options
}

/// Options for the sorted runs of a store. Their blocks are as random as hashes, so nothing compresses them, and each run is written once.
pub(super) fn run_options(resources: &StoreResources) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&resources.cache);
    table.set_format_version(6);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_env(&resources.env);
    options.set_compression_type(DBCompressionType::None);
    options.set_disable_auto_compactions(true);
    options
}

/// Options for files that a store with these `options` ingests at level 0.
pub(super) fn file_options(options: &Options) -> Options {
    let mut options = options.clone();
    options.set_compression_per_level(&[DBCompressionType::None]);
    options
}

fn add(_key: &[u8], old: Option<&[u8]>, more: &MergeOperands) -> Option<Vec<u8>> {
    row::sum_encoded(old.into_iter().chain(more))
}
