//! The flags that set what the configuration sets, too.

use std::path::PathBuf;

use clap::Args;

use crate::config::{ConfigError, Key, Loaded};

/// Where a deployment is.
#[derive(Debug, Args)]
pub(super) struct Places {
    /// Configuration to read instead of ./softstake.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The event bus: dir:PATH, or kafka, whose brokers stand under [kafka]
    #[arg(long, value_name = "dir:PATH|kafka")]
    bus: Option<String>,
    /// Where the stores are
    #[arg(long, value_name = "DIR")]
    state: Option<String>,
}

/// A bus that is only read, and how to go about it.
#[derive(Debug, Args)]
pub(super) struct Reading {
    /// Configuration to read instead of ./softstake.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The bus to read: dir:PATH, or kafka, whose brokers stand under [kafka]
    #[arg(long, value_name = "dir:PATH|kafka")]
    bus: Option<String>,
    #[command(flatten)]
    kafka: Kafka,
}

impl Reading {
    /// The configuration of this process with these flags on top.
    pub(super) fn load(&self) -> Result<Loaded, ConfigError> {
        let mut flags = given([(Key::Bus, &self.bus)]);
        flags.extend(self.kafka.given());
        Loaded::of_process(self.config.as_deref(), &flags)
    }
}

/// Everything that can be configured.
#[derive(Debug, Args)]
pub(super) struct Settings {
    #[command(flatten)]
    places: Places,
    /// Ledger partitions, a power of two up to 4096; set once, when a deployment is begun
    #[arg(long, value_name = "N")]
    partitions: Option<String>,
    /// Threads that work; two for each core if not given
    #[arg(long, value_name = "N")]
    threads: Option<String>,
    /// Epochs for which duplicates are recognised; older events are refused [default: 7]
    #[arg(long, value_name = "N")]
    dedup_epochs: Option<String>,
    /// Mebibytes for caching what is on disk [default: 256]
    #[arg(long, value_name = "MB")]
    cache_mb: Option<String>,
    /// Whether each commit on a directory bus is made durable [default: true]
    #[arg(long, value_name = "BOOL")]
    dir_sync: Option<String>,
    #[command(flatten)]
    kafka: Kafka,
    /// Where snapshots of the stores go: a folder, or a URL such as s3://bucket/folder; none are taken without it
    #[arg(long, value_name = "DIR|URL")]
    snapshots_place: Option<String>,
    /// Seconds between two snapshots of a task [default: 600]
    #[arg(long, value_name = "N")]
    snapshots_every_seconds: Option<String>,
    /// Snapshots kept of each task [default: 3]
    #[arg(long, value_name = "N")]
    snapshots_keep: Option<String>,
    /// human or json [default: human]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// off, error, warn, info, debug or trace; also by target, as info,softstake::bus=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// Where the brokers are, and who this process is to them.
#[derive(Debug, Args)]
pub(super) struct Kafka {
    /// The brokers, as host:port by commas [default: localhost:9092]
    #[arg(long, value_name = "HOST:PORT")]
    kafka_brokers: Option<String>,
    /// The deployment: the consumer group, and the start of transactional ids [default: softstake]
    #[arg(long, value_name = "NAME")]
    kafka_deployment: Option<String>,
    /// This instance's name, kept over restarts
    #[arg(long, value_name = "NAME")]
    kafka_instance: Option<String>,
}

impl Kafka {
    /// What these flags set.
    pub(super) fn given(&self) -> Vec<(Key, String)> {
        given([
            (Key::KafkaBrokers, &self.kafka_brokers),
            (Key::KafkaDeployment, &self.kafka_deployment),
            (Key::KafkaInstance, &self.kafka_instance),
        ])
    }
}

impl Places {
    fn given(&self) -> Vec<(Key, String)> {
        given([(Key::Bus, &self.bus), (Key::State, &self.state)])
    }

    /// The configuration of this process with these flags on top.
    pub(super) fn load(&self) -> Result<Loaded, ConfigError> {
        Loaded::of_process(self.config.as_deref(), &self.given())
    }
}

impl Settings {
    /// The configuration of this process with these flags on top.
    pub(super) fn load(&self) -> Result<Loaded, ConfigError> {
        let mut flags = self.places.given();
        flags.extend(given([
            (Key::Partitions, &self.partitions),
            (Key::Threads, &self.threads),
            (Key::DedupEpochs, &self.dedup_epochs),
            (Key::CacheMb, &self.cache_mb),
            (Key::DirSync, &self.dir_sync),
            (Key::SnapshotsPlace, &self.snapshots_place),
            (Key::SnapshotsEverySeconds, &self.snapshots_every_seconds),
            (Key::SnapshotsKeep, &self.snapshots_keep),
            (Key::LogFormat, &self.log_format),
            (Key::LogLevel, &self.log_level),
        ]));
        flags.extend(self.kafka.given());
        Loaded::of_process(self.places.config.as_deref(), &flags)
    }
}

fn given<const N: usize>(flags: [(Key, &Option<String>); N]) -> Vec<(Key, String)> {
    flags
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.clone()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::*;

    #[test]
    fn every_setting_has_its_flag() {
        let command = Settings::augment_args(Command::new("run"));
        for key in Key::ALL {
            let flag = key.flag();
            let known = command
                .get_arguments()
                .any(|arg| arg.get_long() == flag.strip_prefix("--"));
            assert!(known, "{flag}");
        }
    }
}
