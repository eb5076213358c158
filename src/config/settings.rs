//! The settings of a process, with their defaults.

use std::net::{Ipv4Addr, SocketAddr};
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
    pub serve: ServeConfig,
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

/// The read side, `softstake serve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The folder of the view.
    pub view: Option<PathBuf>,
    /// The certificate with its chain, and its private key: PEM.
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// The name of the proxy that ends TLS.
    pub behind_proxy: Option<String>,
    /// The file of the public keys of tokens.
    pub token_keys: Option<PathBuf>,
    /// The address at which the issuer of tokens publishes its keys.
    pub token_jwks_url: Option<String>,
    /// What tokens must have in `iss` and `aud`.
    pub token_issuer: Option<String>,
    pub token_audience: Option<String>,
    /// The file that tells who has read which account.
    pub audit_log: Option<PathBuf>,
    /// Requests of one subject.
    pub requests_per_minute: u64,
    /// Requests without a valid token, of one address.
    pub refusals_per_minute: u64,
    /// The number of connections at a time.
    pub connections: u64,
    /// The topic of executions; its records tell when a payout was credited.
    pub executions: Option<String>,
    /// Where instances of `softstake run` are asked for holdings: addresses, separated by commas.
    pub processors: Option<String>,
    /// The file of the token that those instances ask for.
    pub processors_token_file: Option<PathBuf>,
    /// The folder in which a scheduled job puts results of `softstake reconcile`.
    pub reconcile_results: Option<PathBuf>,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8420)),
            view: None,
            tls_certificate: None,
            tls_key: None,
            behind_proxy: None,
            token_keys: None,
            token_jwks_url: None,
            token_issuer: None,
            token_audience: None,
            audit_log: None,
            requests_per_minute: 600,
            refusals_per_minute: 60,
            connections: 512,
            executions: None,
            processors: None,
            processors_token_file: None,
            reconcile_results: None,
        }
    }
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
            serve: ServeConfig::default(),
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
