//! The settings: the names of each, its valid values, and its value as shown.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::level;
use crate::config::settings::{Config, LogFormat};
use crate::config::value::SettingValue;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Bus,
    State,
    Partitions,
    Threads,
    DedupDays,
    CacheMb,
    DirSync,
    KafkaBrokers,
    KafkaDeployment,
    KafkaInstance,
    SnapshotsPlace,
    SnapshotsEverySeconds,
    SnapshotsKeep,
    MonitorListen,
    MonitorTokenFile,
    ServeListen,
    ServeView,
    ServeTlsCertificate,
    ServeTlsKey,
    ServeBehindProxy,
    ServeTokenKeys,
    ServeTokenJwksUrl,
    ServeTokenIssuer,
    ServeTokenAudience,
    ServeAuditLog,
    ServeRequestsPerMinute,
    ServeRefusalsPerMinute,
    ServeConnections,
    ServeExecutions,
    ServeProcessors,
    ServeProcessorsTokenFile,
    ServeReconcileResults,
    LogFormat,
    LogLevel,
}

/// What the settings of `softstake serve` begin with.
const OF_SERVE: &str = "serve.";

impl Key {
    /// All settings, in the order in which they are shown.
    pub const ALL: [Self; 34] = [
        Self::Bus,
        Self::State,
        Self::Partitions,
        Self::Threads,
        Self::DedupDays,
        Self::CacheMb,
        Self::DirSync,
        Self::KafkaBrokers,
        Self::KafkaDeployment,
        Self::KafkaInstance,
        Self::SnapshotsPlace,
        Self::SnapshotsEverySeconds,
        Self::SnapshotsKeep,
        Self::MonitorListen,
        Self::MonitorTokenFile,
        Self::ServeListen,
        Self::ServeView,
        Self::ServeTlsCertificate,
        Self::ServeTlsKey,
        Self::ServeBehindProxy,
        Self::ServeTokenKeys,
        Self::ServeTokenJwksUrl,
        Self::ServeTokenIssuer,
        Self::ServeTokenAudience,
        Self::ServeAuditLog,
        Self::ServeRequestsPerMinute,
        Self::ServeRefusalsPerMinute,
        Self::ServeConnections,
        Self::ServeExecutions,
        Self::ServeProcessors,
        Self::ServeProcessorsTokenFile,
        Self::ServeReconcileResults,
        Self::LogFormat,
        Self::LogLevel,
    ];

    /// The name with its table, as in `log.level`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::State => "state",
            Self::Partitions => "partitions",
            Self::Threads => "threads",
            Self::DedupDays => "dedup_days",
            Self::CacheMb => "cache_mb",
            Self::DirSync => "dir.sync",
            Self::KafkaBrokers => "kafka.brokers",
            Self::KafkaDeployment => "kafka.deployment",
            Self::KafkaInstance => "kafka.instance",
            Self::SnapshotsPlace => "snapshots.place",
            Self::SnapshotsEverySeconds => "snapshots.every_seconds",
            Self::SnapshotsKeep => "snapshots.keep",
            Self::MonitorListen => "monitor.listen",
            Self::MonitorTokenFile => "monitor.token_file",
            Self::ServeListen => "serve.listen",
            Self::ServeView => "serve.view",
            Self::ServeTlsCertificate => "serve.tls_certificate",
            Self::ServeTlsKey => "serve.tls_key",
            Self::ServeBehindProxy => "serve.behind_proxy",
            Self::ServeTokenKeys => "serve.token_keys",
            Self::ServeTokenJwksUrl => "serve.token_jwks_url",
            Self::ServeTokenIssuer => "serve.token_issuer",
            Self::ServeTokenAudience => "serve.token_audience",
            Self::ServeAuditLog => "serve.audit_log",
            Self::ServeRequestsPerMinute => "serve.requests_per_minute",
            Self::ServeRefusalsPerMinute => "serve.refusals_per_minute",
            Self::ServeConnections => "serve.connections",
            Self::ServeExecutions => "serve.executions",
            Self::ServeProcessors => "serve.processors",
            Self::ServeProcessorsTokenFile => "serve.processors_token_file",
            Self::ServeReconcileResults => "serve.reconcile_results",
            Self::LogFormat => "log.format",
            Self::LogLevel => "log.level",
        }
    }

    /// The environment variable.
    #[must_use]
    pub fn variable(self) -> String {
        format!("SOFTSTAKE_{}", self.name().replace('.', "__").to_ascii_uppercase())
    }

    /// The flag, with its two hyphens. A setting of one command alone has a flag without the name of that command.
    #[must_use]
    pub fn flag(self) -> String {
        let name = self.name();
        let name = name.strip_prefix(OF_SERVE).unwrap_or(name);
        format!("--{}", name.replace(['.', '_'], "-"))
    }

    /// Whether it is a setting of `softstake serve` alone.
    #[must_use]
    pub fn is_of_serve(self) -> bool {
        self.name().starts_with(OF_SERVE)
    }

    /// The value in force; `None` if it is not set and has no default.
    #[must_use]
    pub fn shown(self, config: &Config) -> Option<String> {
        match self {
            Self::Bus => config.bus.as_ref().map(ToString::to_string),
            Self::State => config.state.as_ref().map(|path| path.display().to_string()),
            Self::Partitions => config.partitions.map(|count| count.to_string()),
            Self::Threads => Some(config.threads.to_string()),
            Self::DedupDays => Some(config.dedup_days.to_string()),
            Self::CacheMb => Some(config.cache_mb.to_string()),
            Self::DirSync => Some(config.dir.sync.to_string()),
            Self::KafkaBrokers => Some(config.kafka.brokers.clone()),
            Self::KafkaDeployment => Some(config.kafka.deployment.clone()),
            Self::KafkaInstance => config.kafka.instance.clone(),
            Self::SnapshotsPlace => config.snapshots.place.as_ref().map(ToString::to_string),
            Self::SnapshotsEverySeconds => Some(config.snapshots.every_seconds.to_string()),
            Self::SnapshotsKeep => Some(config.snapshots.keep.to_string()),
            Self::MonitorListen => config.monitor.listen.map(|listen| listen.to_string()),
            Self::MonitorTokenFile => config
                .monitor
                .token_file
                .as_ref()
                .map(|path| path.display().to_string()),
            Self::ServeListen => Some(config.serve.listen.to_string()),
            Self::ServeView => config.serve.view.as_ref().map(|path| path.display().to_string()),
            Self::ServeTlsCertificate => config
                .serve
                .tls_certificate
                .as_ref()
                .map(|path| path.display().to_string()),
            Self::ServeTlsKey => config.serve.tls_key.as_ref().map(|path| path.display().to_string()),
            Self::ServeBehindProxy => config.serve.behind_proxy.clone(),
            Self::ServeTokenKeys => config.serve.token_keys.as_ref().map(|path| path.display().to_string()),
            Self::ServeTokenJwksUrl => config.serve.token_jwks_url.clone(),
            Self::ServeTokenIssuer => config.serve.token_issuer.clone(),
            Self::ServeTokenAudience => config.serve.token_audience.clone(),
            Self::ServeAuditLog => config.serve.audit_log.as_ref().map(|path| path.display().to_string()),
            Self::ServeRequestsPerMinute => Some(config.serve.requests_per_minute.to_string()),
            Self::ServeRefusalsPerMinute => Some(config.serve.refusals_per_minute.to_string()),
            Self::ServeConnections => Some(config.serve.connections.to_string()),
            Self::ServeExecutions => config.serve.executions.clone(),
            Self::ServeProcessors => config.serve.processors.clone(),
            Self::ServeProcessorsTokenFile => config
                .serve
                .processors_token_file
                .as_ref()
                .map(|path| path.display().to_string()),
            Self::ServeReconcileResults => config
                .serve
                .reconcile_results
                .as_ref()
                .map(|path| path.display().to_string()),
            Self::LogFormat => Some(config.log.format.name().into()),
            Self::LogLevel => Some(config.log.level.clone()),
        }
    }

    /// Sets a value. The error is a predicate: it makes a sentence after the name of the setting.
    pub(super) fn set(self, config: &mut Config, value: &SettingValue<'_>) -> Result<(), String> {
        match self {
            Self::Bus => config.bus = Some(value.text()?.parse()?),
            Self::State => match value.text()? {
                "" => return Err("must not be empty".into()),
                path => config.state = Some(path.into()),
            },
            Self::Partitions => {
                let count = value.whole(1, 4096)?;
                if !count.is_power_of_two() {
                    return Err(format!("must be a power of two from 1 to 4096, not {count}"));
                }
                config.partitions = u32::try_from(count).ok();
            }
            Self::Threads => config.threads = usize::try_from(value.whole(1, 1024)?).unwrap_or(1),
            Self::DedupDays => config.dedup_days = value.whole(1, 1_000_000)?,
            Self::CacheMb => config.cache_mb = value.whole(1, 1 << 20)?,
            Self::DirSync => config.dir.sync = value.truth()?,
            Self::KafkaBrokers => match value.text()? {
                "" => return Err("must name a broker as host:port, or several separated by commas".into()),
                brokers => brokers.clone_into(&mut config.kafka.brokers),
            },
            Self::KafkaDeployment => config.kafka.deployment = name(value.text()?)?,
            Self::KafkaInstance => config.kafka.instance = Some(name(value.text()?)?),
            Self::SnapshotsPlace => config.snapshots.place = Some(value.text()?.parse()?),
            Self::SnapshotsEverySeconds => config.snapshots.every_seconds = value.whole(1, 31_536_000)?,
            Self::SnapshotsKeep => config.snapshots.keep = value.whole(1, 1000)?,
            Self::MonitorListen => config.monitor.listen = Some(socket_address(value.text()?)?),
            Self::MonitorTokenFile => config.monitor.token_file = Some(file(value.text()?)?),
            Self::ServeListen => config.serve.listen = socket_address(value.text()?)?,
            Self::ServeView => config.serve.view = Some(file(value.text()?)?),
            Self::ServeTlsCertificate => config.serve.tls_certificate = Some(file(value.text()?)?),
            Self::ServeTlsKey => config.serve.tls_key = Some(file(value.text()?)?),
            Self::ServeBehindProxy => config.serve.behind_proxy = Some(named(value.text()?)?),
            Self::ServeTokenKeys => config.serve.token_keys = Some(file(value.text()?)?),
            Self::ServeTokenJwksUrl => config.serve.token_jwks_url = Some(named(value.text()?)?),
            Self::ServeTokenIssuer => config.serve.token_issuer = Some(named(value.text()?)?),
            Self::ServeTokenAudience => config.serve.token_audience = Some(named(value.text()?)?),
            Self::ServeAuditLog => config.serve.audit_log = Some(file(value.text()?)?),
            Self::ServeRequestsPerMinute => config.serve.requests_per_minute = value.whole(1, 1_000_000)?,
            Self::ServeRefusalsPerMinute => config.serve.refusals_per_minute = value.whole(1, 1_000_000)?,
            Self::ServeConnections => config.serve.connections = value.whole(1, 65_536)?,
            Self::ServeExecutions => config.serve.executions = Some(topic(value.text()?)?),
            Self::ServeProcessors => config.serve.processors = Some(named(value.text()?)?),
            Self::ServeProcessorsTokenFile => config.serve.processors_token_file = Some(file(value.text()?)?),
            Self::ServeReconcileResults => config.serve.reconcile_results = Some(file(value.text()?)?),
            Self::LogFormat => {
                config.log.format = match value.text()? {
                    "human" => LogFormat::Human,
                    "json" => LogFormat::Json,
                    other => return Err(format!("must be \"human\" or \"json\", not \"{other}\"")),
                }
            }
            Self::LogLevel => {
                let text = value.text()?;
                level::targets(text)?;
                text.clone_into(&mut config.log.level);
            }
        }
        Ok(())
    }
}

/// An address of this machine. It is not a host name, which may have many addresses, or another one tomorrow.
fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("must be IP:PORT, such as 127.0.0.1:9464, [::1]:9464, or 0.0.0.0:9464 for all addresses of this machine, not \"{text}\"")
    })
}

/// A file or a folder. `-` is none: what is written there must be found again.
fn file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("must not be empty".into()),
        "-" => Err("must name a file, not `-`".into()),
        path => Ok(path.into()),
    }
}

/// A name that is only shown or compared.
fn named(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("must not be empty".into()),
        name => Ok(name.to_owned()),
    }
}

/// The name of a topic, as Kafka allows it.
fn topic(text: &str) -> Result<String, String> {
    match name(text) {
        Ok(name) if name != "." && name != ".." => Ok(name),
        _ => Err(format!(
            "must be the name of a topic, such as payout.executions, not \"{text}\""
        )),
    }
}

/// A name that Kafka uses: of a group, a member, a transactional id.
fn name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > 200 || !text.bytes().all(allowed) {
        return Err(format!(
            "must be 1 to 200 letters, digits, dots, underscores and hyphens, not \"{text}\""
        ));
    }
    Ok(text.to_owned())
}
