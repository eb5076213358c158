//! The flags that set what the configuration sets, and the parsers of common arguments.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;

use crate::audit::read_counter::CountedLog;
use crate::bus::Log;
use crate::bus::patient::Limit;
use crate::cli::message::message;
use crate::cli::outcome::Failure;
use crate::cli::{bus, logging, progress};
use crate::config::{BusAddress, ConfigError, Key, Loaded};
use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::period::{TimePeriod, parse_bound};
use crate::core::values::time::TimeMs;
use crate::task::stats::Stats;

/// The parts of a deployment.
#[derive(Debug, Args)]
pub(super) struct DeploymentFlags {
    /// The configuration to read: a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The event bus: dir:PATH, or kafka with the brokers under [kafka]
    #[arg(long, value_name = "dir:PATH|kafka")]
    bus: Option<String>,
    /// The folder of the stores
    #[arg(long, value_name = "DIR")]
    state: Option<String>,
}

/// A bus that is only read.
#[derive(Debug, Args)]
pub(super) struct ReadFlags {
    /// The configuration to read: a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The bus to read: dir:PATH, or kafka with the brokers under [kafka]
    #[arg(long, value_name = "dir:PATH|kafka")]
    bus: Option<String>,
    #[command(flatten)]
    kafka: KafkaFlags,
    /// Give up after this many seconds without an answer or a record of the brokers; 0 to wait for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
}

impl ReadFlags {
    /// How long this command waits for brokers and records.
    pub(super) fn limit(&self, stop: Arc<AtomicBool>) -> Limit {
        let timeout = (self.timeout > 0).then(|| Duration::from_secs(self.timeout));
        Limit {
            stop,
            timeout,
            tells: true,
        }
    }

    /// The configuration of this process, overridden by these flags.
    pub(super) fn load(&self) -> Result<Loaded, ConfigError> {
        let mut flags = given([(Key::Bus, &self.bus)]);
        flags.extend(self.kafka.given());
        Loaded::of_process(self.config.as_deref(), &flags)
    }

    /// Opens the bus for reading.
    pub(super) fn open(&self) -> Result<Arc<dyn Log>, Failure> {
        let loaded = self.load()?;
        match loaded.bus()? {
            // A wait for brokers is told in the log.
            BusAddress::Kafka => drop(logging::begin(&loaded)?),
            BusAddress::Dir(_) => tell_notice(&loaded),
        }
        self.open_loaded(&loaded)
    }

    fn open_loaded(&self, loaded: &Loaded) -> Result<Arc<dyn Log>, Failure> {
        let limit = self.limit(Arc::default());
        bus::read_patiently(loaded.bus()?, &loaded.config, limit)?
            .ok_or_else(|| Failure::Failed("stopped before the bus was reached".into()))
    }

    /// Opens the bus, and shows how much `work` has read of it. Results may be written afterwards.
    pub(super) fn read<T>(&self, work: impl FnOnce(&dyn Log) -> Result<T, Failure>) -> Result<T, Failure> {
        self.read_with(&self.load()?, work)
    }

    /// As [`Self::read`], with a configuration that is loaded already.
    pub(super) fn read_with<T>(
        &self,
        loaded: &Loaded,
        work: impl FnOnce(&dyn Log) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let bars = logging::begin(loaded)?;
        let stats = Arc::new(Stats::default());
        let bus = CountedLog::new(self.open_loaded(loaded)?, Arc::clone(&stats));
        progress::watched(&stats, &bars, loaded.config.log.format, || work(&bus))
    }
}

/// How an operator's event is published.
#[derive(Debug, Args)]
pub(super) struct ControlFlags {
    /// The configuration to read: a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The bus to write to: dir:PATH, or kafka with the brokers under [kafka]
    #[arg(long, value_name = "dir:PATH|kafka")]
    bus: Option<String>,
    /// The folder of the stores, for an estimate of what a close pays
    #[arg(long, value_name = "DIR")]
    state: Option<String>,
    #[command(flatten)]
    kafka: KafkaFlags,
    /// Wait this many seconds for the decision, and for the brokers; 0 to wait for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
    /// The id of the event; the same id is never published twice [default: a name made of the command]
    #[arg(long, value_name = "ID")]
    pub(super) id: Option<String>,
    /// Publish without asking
    #[arg(long)]
    pub(super) yes: bool,
    /// JSON instead of words
    #[arg(long)]
    pub(super) json: bool,
}

impl ControlFlags {
    /// The configuration of this process, overridden by these flags.
    pub(super) fn load(&self) -> Result<Loaded, ConfigError> {
        let mut flags = given([(Key::Bus, &self.bus), (Key::State, &self.state)]);
        flags.extend(self.kafka.given());
        Loaded::of_process(self.config.as_deref(), &flags)
    }

    /// How long this command waits for brokers and for the decision.
    pub(super) fn limit(&self) -> Limit {
        let timeout = (self.timeout > 0).then(|| Duration::from_secs(self.timeout));
        Limit {
            stop: Arc::default(),
            timeout,
            tells: true,
        }
    }
}

/// One payout: an account's of an asset and epoch.
#[derive(Debug, Args)]
pub(super) struct PayoutFlags {
    /// The asset
    pub(super) asset: Asset,
    /// The epoch
    pub(super) epoch: Epoch,
    /// The account
    #[arg(value_parser = account)]
    pub(super) account: AccountName<'static>,
    #[command(flatten)]
    pub(super) bus: ReadFlags,
}

/// A period of time, which has the epochs whose last moment is in it.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct PeriodFlags {
    /// Only epochs whose last moment is at this time or later: a date such as 2026-11-01, or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = bound)]
    from: Option<TimeMs>,
    /// Only epochs whose last moment is before this time
    #[arg(long, value_name = "TIME", value_parser = bound)]
    to: Option<TimeMs>,
}

impl PeriodFlags {
    pub(super) const fn period(self) -> TimePeriod {
        TimePeriod {
            from: self.from,
            to: self.to,
        }
    }
}

/// Every setting.
#[derive(Debug, Args)]
pub(super) struct SettingFlags {
    #[command(flatten)]
    deployment: DeploymentFlags,
    /// Ledger partitions, a power of two up to 4096; fixed at the first run, `softstake repartition` changes them
    #[arg(long, value_name = "N")]
    partitions: Option<String>,
    /// Worker threads [default: two for each core]
    #[arg(long, value_name = "N")]
    threads: Option<String>,
    /// Days for which duplicates are detected; older events are rejected [default: 7]
    #[arg(long, value_name = "N")]
    dedup_days: Option<String>,
    /// Cache for the stores, in mebibytes [default: 256]
    #[arg(long, value_name = "MB")]
    cache_mb: Option<String>,
    /// Whether each commit on a directory bus is synced to the disk [default: true]
    #[arg(long, value_name = "BOOL")]
    dir_sync: Option<String>,
    #[command(flatten)]
    kafka: KafkaFlags,
    /// Place for snapshots of the stores: a folder, or a URL such as s3://bucket/folder; without it none are taken
    #[arg(long, value_name = "DIR|URL")]
    snapshots_place: Option<String>,
    /// Seconds between two snapshots of a task [default: 600]
    #[arg(long, value_name = "N")]
    snapshots_every_seconds: Option<String>,
    /// Snapshots kept of each task [default: 3]
    #[arg(long, value_name = "N")]
    snapshots_keep: Option<String>,
    /// Address for monitoring, IP:PORT: /metrics, /livez, /readyz and /status over HTTP; without it there is none
    #[arg(long, value_name = "IP:PORT")]
    monitor_listen: Option<String>,
    /// File with the token for /holdings, which `softstake serve` asks for estimates; without it there is none
    #[arg(long, value_name = "FILE")]
    monitor_token_file: Option<String>,
    /// human or json [default: human]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// off, error, warn, info, debug or trace, also by target: info,softstake::bus=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// The brokers, and the name of this process in the consumer group.
#[derive(Debug, Args)]
pub(super) struct KafkaFlags {
    /// The brokers, as host:port separated by commas [default: localhost:9092]
    #[arg(long, value_name = "HOST:PORT")]
    kafka_brokers: Option<String>,
    /// Name of the deployment: the consumer group, and the prefix of transactional ids [default: softstake]
    #[arg(long, value_name = "NAME")]
    kafka_deployment: Option<String>,
    /// Name of this instance, the same after each restart
    #[arg(long, value_name = "NAME")]
    kafka_instance: Option<String>,
}

impl KafkaFlags {
    pub(super) fn given(&self) -> Vec<(Key, String)> {
        given([
            (Key::KafkaBrokers, &self.kafka_brokers),
            (Key::KafkaDeployment, &self.kafka_deployment),
            (Key::KafkaInstance, &self.kafka_instance),
        ])
    }
}

impl DeploymentFlags {
    fn given(&self) -> Vec<(Key, String)> {
        given([(Key::Bus, &self.bus), (Key::State, &self.state)])
    }

    /// The configuration of this process, overridden by these flags.
    pub(super) fn load(&self) -> Result<Loaded, ConfigError> {
        let loaded = Loaded::of_process(self.config.as_deref(), &self.given())?;
        tell_notice(&loaded);
        Ok(loaded)
    }
}

impl SettingFlags {
    /// The configuration of this process, overridden by these flags.
    pub(super) fn load(&self) -> Result<Loaded, ConfigError> {
        let mut flags = self.deployment.given();
        flags.extend(given([
            (Key::Partitions, &self.partitions),
            (Key::Threads, &self.threads),
            (Key::DedupDays, &self.dedup_days),
            (Key::CacheMb, &self.cache_mb),
            (Key::DirSync, &self.dir_sync),
            (Key::SnapshotsPlace, &self.snapshots_place),
            (Key::SnapshotsEverySeconds, &self.snapshots_every_seconds),
            (Key::SnapshotsKeep, &self.snapshots_keep),
            (Key::MonitorListen, &self.monitor_listen),
            (Key::MonitorTokenFile, &self.monitor_token_file),
            (Key::LogFormat, &self.log_format),
            (Key::LogLevel, &self.log_level),
        ]));
        flags.extend(self.kafka.given());
        Loaded::of_process(self.deployment.config.as_deref(), &flags)
    }
}

/// Tells of a file that was not read, for commands without a log.
pub(super) fn tell_notice(loaded: &Loaded) {
    if let Some(notice) = loaded.notice() {
        message!("note: {notice}");
    }
}

/// Parses the name of an account.
pub(super) fn account(name: &str) -> Result<AccountName<'static>, String> {
    name.parse()
        .map_err(|error| format!("not an account's name: it {error}"))
}

/// Parses the bound of a period.
fn bound(text: &str) -> Result<TimeMs, String> {
    parse_bound(text).map_err(|error| format!("it {error}, nor a date such as 2026-11-22"))
}

/// The settings whose flags were given.
pub(super) fn given<const N: usize>(flags: [(Key, &Option<String>); N]) -> Vec<(Key, String)> {
    flags
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.clone()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::*;
    use crate::cli::serve::ServeFlags;

    #[test]
    fn every_setting_has_its_flag() {
        let run = SettingFlags::augment_args(Command::new("run"));
        let serve = ServeFlags::augment_args(Command::new("serve"));
        for key in Key::ALL {
            let flag = key.flag();
            let command = if key.is_of_serve() { &serve } else { &run };
            let known = command
                .get_arguments()
                .any(|arg| arg.get_long() == flag.strip_prefix("--"));
            assert!(known, "{flag}");
        }
    }

    #[test]
    fn an_invalid_account_name_is_rejected() {
        assert_eq!(
            account("a\u{202e}b").unwrap_err(),
            "not an account's name: it has the unprintable character U+202E at byte 1"
        );
        assert_eq!(account("Ünal"), Ok(AccountName::new("Ünal").unwrap()));
    }
}
