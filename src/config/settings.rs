//! The settings of a process, with their defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::bus::kafka::KafkaSettings as KafkaConfig;
use crate::config::address::BusAddress;
use crate::core::dedup::DEFAULT_DEDUP_DAYS;
use crate::snapshot::{SnapshotPlace, SnapshotSettings};

/// The settings of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub bus: Option<BusAddress>,
    /// The folder of the stores.
    pub state: Option<PathBuf>,
    /// Number of ledger partitions; `None` for that of the deployment.
    pub partitions: Option<u32>,
    /// Number of worker threads.
    pub threads: usize,
    /// Number of days for which duplicates are detected.
    pub dedup_days: u64,
    /// Cache of all stores together, in mebibytes.
    pub cache_mb: u64,
    pub dir: DirConfig,
    pub kafka: KafkaConfig,
    pub snapshots: SnapshotConfig,
    pub monitor: MonitorConfig,
    pub log: LogConfig,
}

/// The endpoint for monitoring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MonitorConfig {
    /// The address to listen on. Without it, there is no endpoint.
    pub listen: Option<SocketAddr>,
    /// A file with the token that those show who ask for an account's holdings. Without it, nobody is told.
    pub token_file: Option<PathBuf>,
}

/// Snapshots of the stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// Without it, no snapshots are taken.
    pub place: Option<SnapshotPlace>,
    /// Seconds between two snapshots of a task.
    pub every_seconds: u64,
    /// Number of snapshots kept of each task.
    pub keep: u64,
}

/// The directory bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirConfig {
    /// Whether each commit is synced to the disk.
    pub sync: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    /// A level, or levels by target: `info,softstake::bus=debug`.
    pub level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// A JSON object per line.
    Json,
}

impl LogFormat {
    /// The format as it is configured.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bus: None,
            state: None,
            partitions: None,
            // Two for each core: while one waits for the disk, the other works.
            threads: std::thread::available_parallelism().map_or(2, |cores| cores.get().saturating_mul(2)),
            dedup_days: DEFAULT_DEDUP_DAYS,
            cache_mb: 256,
            dir: DirConfig { sync: true },
            kafka: KafkaConfig::default(),
            snapshots: SnapshotConfig {
                place: None,
                every_seconds: 600,
                keep: 3,
            },
            monitor: MonitorConfig::default(),
            log: LogConfig {
                format: LogFormat::Human,
                level: "info".into(),
            },
        }
    }
}

impl Config {
    /// The settings of snapshots; `None` if none are taken. `at_close`: whether each task leaves one of its last state.
    #[must_use]
    pub fn snapshots(&self, at_close: bool) -> Option<SnapshotSettings> {
        let place = self.snapshots.place.clone()?;
        Some(SnapshotSettings {
            place,
            every: Duration::from_secs(self.snapshots.every_seconds),
            keep: usize::try_from(self.snapshots.keep).unwrap_or(1),
            at_close,
        })
    }

    /// Cache of all stores together, in bytes.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        // `cache_mb` is at most 2^20, and 2^40 bytes fit into a usize on every machine that has so much memory.
        usize::try_from(self.cache_mb.saturating_mul(1 << 20)).unwrap_or(usize::MAX)
    }
}
