//! The configuration: built-in values, below `softstake.toml`, below `SOFTSTAKE_*` variables, below flags. Each value remembers where it came
//! from, and whatever is not known is refused: a misspelt setting must never run a reward engine on a default.
//!
//! A setting `log.level` is the key `level` of the table `[log]` in the file, the variable `SOFTSTAKE_LOG__LEVEL` (a dot becomes two
//! underscores) and the flag `--log-level`.

mod address;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::bus::kafka::{Settings as KafkaConfig, settings};

pub use address::BusAddress;
use value::Value;

/// The file that is read if no other is named and it is there.
pub const DEFAULT_FILE: &str = "softstake.toml";

/// The variable that names another file.
const FILE_VARIABLE: &str = "SOFTSTAKE_CONFIG";

/// What a process works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The event bus.
    pub bus: Option<BusAddress>,
    /// Where the stores are.
    pub state: Option<PathBuf>,
    /// How many ledger partitions; `None` for what the deployment was begun with.
    pub partitions: Option<u32>,
    /// How many threads work.
    pub threads: usize,
    /// For how many epochs duplicates are recognised.
    pub dedup_epochs: u64,
    /// Mebibytes that all stores together may use to cache what is on disk.
    pub cache_mb: u64,
    /// The directory bus.
    pub dir: DirConfig,
    /// The Kafka bus.
    pub kafka: KafkaConfig,
    /// Snapshots of the stores.
    pub snapshots: SnapshotConfig,
    /// Logs.
    pub log: LogConfig,
}

/// How snapshots of the stores are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// Where they go: a folder or a URL; none are taken without it.
    pub place: Option<String>,
    /// Seconds between two of a task.
    pub every_seconds: u64,
    /// How many of each task are kept.
    pub keep: u64,
}

/// How the directory bus is worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirConfig {
    /// Whether a commit is made durable before it counts.
    pub sync: bool,
}

/// How logs are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// What is logged: a level, or levels by target, as `info,softstake::bus=debug`.
    pub level: String,
}

/// For whom logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// A JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bus: None,
            state: None,
            partitions: None,
            // Two for each core: while one waits for the disk, another works.
            threads: std::thread::available_parallelism().map_or(2, |cores| cores.get().saturating_mul(2)),
            dedup_epochs: 7,
            cache_mb: 256,
            dir: DirConfig { sync: true },
            kafka: KafkaConfig::default(),
            snapshots: SnapshotConfig {
                place: None,
                every_seconds: 600,
                keep: 3,
            },
            log: LogConfig {
                format: LogFormat::Human,
                level: "info".into(),
            },
        }
    }
}

impl Config {
    /// How snapshots are taken; `None` if none are. `at_close`: whether one is left of each task as it is in the end.
    #[must_use]
    pub fn snapshots(&self, at_close: bool) -> Option<crate::snapshot::Settings> {
        let place = self.snapshots.place.clone()?;
        Some(crate::snapshot::Settings {
            place,
            every: std::time::Duration::from_secs(self.snapshots.every_seconds),
            keep: usize::try_from(self.snapshots.keep).unwrap_or(1),
            at_close,
        })
    }

    /// Bytes that all stores together may use to cache what is on disk.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        // The largest `cache_mb` accepted is 2^20, and 2^40 bytes fit wherever so much memory can be had.
        usize::try_from(self.cache_mb.saturating_mul(1 << 20)).unwrap_or(usize::MAX)
    }
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `bus`
    Bus,
    /// `state`
    State,
    /// `partitions`
    Partitions,
    /// `threads`
    Threads,
    /// `dedup_epochs`
    DedupEpochs,
    /// `cache_mb`
    CacheMb,
    /// `dir.sync`
    DirSync,
    /// `kafka.brokers`
    KafkaBrokers,
    /// `kafka.deployment`
    KafkaDeployment,
    /// `kafka.instance`
    KafkaInstance,
    /// `snapshots.place`
    SnapshotsPlace,
    /// `snapshots.every_seconds`
    SnapshotsEverySeconds,
    /// `snapshots.keep`
    SnapshotsKeep,
    /// `log.format`
    LogFormat,
    /// `log.level`
    LogLevel,
}

impl Key {
    /// All settings, in the order in which they are shown.
    pub const ALL: [Self; 15] = [
        Self::Bus,
        Self::State,
        Self::Partitions,
        Self::Threads,
        Self::DedupEpochs,
        Self::CacheMb,
        Self::DirSync,
        Self::KafkaBrokers,
        Self::KafkaDeployment,
        Self::KafkaInstance,
        Self::SnapshotsPlace,
        Self::SnapshotsEverySeconds,
        Self::SnapshotsKeep,
        Self::LogFormat,
        Self::LogLevel,
    ];

    /// Its name, with the table it stands in.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::State => "state",
            Self::Partitions => "partitions",
            Self::Threads => "threads",
            Self::DedupEpochs => "dedup_epochs",
            Self::CacheMb => "cache_mb",
            Self::DirSync => "dir.sync",
            Self::KafkaBrokers => "kafka.brokers",
            Self::KafkaDeployment => "kafka.deployment",
            Self::KafkaInstance => "kafka.instance",
            Self::SnapshotsPlace => "snapshots.place",
            Self::SnapshotsEverySeconds => "snapshots.every_seconds",
            Self::SnapshotsKeep => "snapshots.keep",
            Self::LogFormat => "log.format",
            Self::LogLevel => "log.level",
        }
    }

    /// The variable that sets it.
    #[must_use]
    pub fn variable(self) -> String {
        format!("SOFTSTAKE_{}", self.name().replace('.', "__").to_ascii_uppercase())
    }

    /// The flag that sets it.
    #[must_use]
    pub fn flag(self) -> String {
        format!("--{}", self.name().replace(['.', '_'], "-"))
    }

    /// What is in force; `None` if it is not set and has no default.
    #[must_use]
    pub fn shown(self, config: &Config) -> Option<String> {
        match self {
            Self::Bus => config.bus.as_ref().map(ToString::to_string),
            Self::State => config.state.as_ref().map(|path| path.display().to_string()),
            Self::Partitions => config.partitions.map(|count| count.to_string()),
            Self::Threads => Some(config.threads.to_string()),
            Self::DedupEpochs => Some(config.dedup_epochs.to_string()),
            Self::CacheMb => Some(config.cache_mb.to_string()),
            Self::DirSync => Some(config.dir.sync.to_string()),
            Self::KafkaBrokers => Some(config.kafka.brokers.clone()),
            Self::KafkaDeployment => Some(config.kafka.deployment.clone()),
            Self::KafkaInstance => config.kafka.instance.clone(),
            Self::SnapshotsPlace => config.snapshots.place.clone(),
            Self::SnapshotsEverySeconds => Some(config.snapshots.every_seconds.to_string()),
            Self::SnapshotsKeep => Some(config.snapshots.keep.to_string()),
            Self::LogFormat => Some(config.log.format.name().into()),
            Self::LogLevel => Some(config.log.level.clone()),
        }
    }

    /// Puts a value in force, or says what it must be.
    fn set(self, config: &mut Config, value: &Value<'_>) -> Result<(), String> {
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
            Self::DedupEpochs => config.dedup_epochs = value.whole(0, 1_000_000)?,
            Self::CacheMb => config.cache_mb = value.whole(1, 1 << 20)?,
            Self::DirSync => config.dir.sync = value.truth()?,
            Self::KafkaBrokers => match value.text()? {
                "" => return Err("must name a broker, as host:port, or several by commas".into()),
                brokers => brokers.clone_into(&mut config.kafka.brokers),
            },
            Self::KafkaDeployment => config.kafka.deployment = name(value.text()?)?,
            Self::KafkaInstance => config.kafka.instance = Some(name(value.text()?)?),
            Self::SnapshotsPlace => match value.text()? {
                "" => return Err("must be a folder, or a URL such as s3://bucket/folder".into()),
                place => config.snapshots.place = Some(place.to_owned()),
            },
            Self::SnapshotsEverySeconds => config.snapshots.every_seconds = value.whole(1, 31_536_000)?,
            Self::SnapshotsKeep => config.snapshots.keep = value.whole(1, 1000)?,
            Self::LogFormat => {
                config.log.format = match value.text()? {
                    "human" => LogFormat::Human,
                    "json" => LogFormat::Json,
                    other => return Err(format!("must be \"human\" or \"json\", not \"{other}\"")),
                }
            }
            Self::LogLevel => {
                let level = value.text()?;
                crate::logging::filter(level)?;
                level.clone_into(&mut config.log.level);
            }
        }
        Ok(())
    }
}

impl LogFormat {
    /// The format as it is given.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
        }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A line of a file, from 1.
    File(PathBuf, usize),
    /// A variable of the environment.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named, or the one found, cannot be read.
    #[error("cannot read the configuration {path}: {source}; correct --config or {FILE_VARIABLE}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is no TOML.
    #[error("{origin}: this is no TOML: {what}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What is wrong.
        what: String,
    },
    /// A setting that does not exist.
    #[error("{origin}: there is no setting `{name}`; {hint}")]
    Unknown {
        /// Where it was given.
        origin: Origin,
        /// What was given.
        name: String,
        /// What to do.
        hint: String,
    },
    /// A value that cannot be.
    #[error("{origin}: `{}` {what}", key.name())]
    Value {
        /// Where it was given.
        origin: Origin,
        /// Of which setting.
        key: Key,
        /// What it must be.
        what: String,
    },
    /// A property of librdkafka that cannot be.
    #[error("{origin}: kafka property `{name}` {what}")]
    Property {
        /// Where it was given.
        origin: Origin,
        /// Which.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A setting without which there is nothing to do.
    #[error("`{}` is not set: give {}, set {}, or put it into {DEFAULT_FILE}", .0.name(), .0.flag(), .0.variable())]
    Missing(Key),
}

/// A configuration, and where each value came from.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    origins: BTreeMap<Key, Origin>,
    properties: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Puts the layers together. `named` is the file that a flag names; without it the one that `SOFTSTAKE_CONFIG` names, or `default_file` if it
    /// is there. `flags` are values as they were given.
    ///
    /// # Errors
    /// The first thing that is not right, with where it was given.
    pub fn from(
        named: Option<&Path>,
        default_file: &Path,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &[(Key, String)],
    ) -> Result<Self, ConfigError> {
        let variables = ours(variables)?;
        let by_variable = variables.get(FILE_VARIABLE).map(PathBuf::from);
        let named = named.map(Path::to_path_buf).or(by_variable);
        let mut loaded = Self::default();
        match named {
            Some(path) => loaded.add_file(&path, &read(&path)?)?,
            None if default_file.exists() => loaded.add_file(default_file, &read(default_file)?)?,
            None => {}
        }
        for (name, value) in &variables {
            loaded.add_variable(name, value)?;
        }
        for (key, value) in flags {
            loaded.put(*key, &Value::Text(value), Origin::Flag(key.flag()))?;
        }
        Ok(loaded)
    }

    /// The configuration of this process: `softstake.toml` of the working directory, its environment, and these flags.
    ///
    /// # Errors
    /// As [`Loaded::from`].
    pub fn of_process(named: Option<&Path>, flags: &[(Key, String)]) -> Result<Self, ConfigError> {
        Self::from(named, Path::new(DEFAULT_FILE), std::env::vars_os(), flags)
    }

    /// Where the value of a setting came from.
    #[must_use]
    pub fn origin(&self, key: Key) -> &Origin {
        self.origins.get(&key).unwrap_or(&Origin::Default)
    }

    /// The properties of librdkafka that are set: name, value, and where it came from. The value of a secret is not among what is shown.
    pub fn properties(&self) -> impl Iterator<Item = (&str, String, &Origin)> {
        let kafka = &self.config.kafka;
        let shown = |name: &str| match (kafka.properties.get(name), kafka.files.get(name)) {
            (_, Some(path)) => format!("(in {})", path.display()),
            (Some(_), None) if settings::is_secret(name) => "(set, not shown)".into(),
            (value, None) => value.cloned().unwrap_or_default(),
        };
        self.properties
            .iter()
            .map(move |(name, origin)| (name.as_str(), shown(name), origin))
    }

    fn put_property(
        &mut self,
        table: Properties,
        name: &str,
        value: &Value<'_>,
        origin: Origin,
    ) -> Result<(), ConfigError> {
        let kafka = &mut self.config.kafka;
        let put = settings::check_property(name).and_then(|()| {
            let value = value.plain()?;
            match table {
                Properties::Values => {
                    kafka.files.remove(name);
                    kafka.properties.insert(name.to_owned(), value);
                }
                Properties::Files => {
                    kafka.properties.remove(name);
                    kafka.files.insert(name.to_owned(), value.into());
                }
            }
            Ok(())
        });
        match put {
            Ok(()) => {
                self.properties.insert(name.to_owned(), origin);
                Ok(())
            }
            Err(what) => Err(ConfigError::Property {
                origin,
                name: name.to_owned(),
                what,
            }),
        }
    }

    /// The properties in a table of the file. `"sasl.password"` and `sasl.password` are the same name.
    fn add_properties(
        &mut self,
        table: Properties,
        values: &DeTable<'_>,
        at: &dyn Fn(usize) -> Origin,
    ) -> Result<(), ConfigError> {
        let mut tables = vec![(String::new(), values)];
        while let Some((prefix, values)) = tables.pop() {
            for (name, value) in values {
                let full = format!("{prefix}{}", name.get_ref());
                match value.get_ref() {
                    DeValue::Table(inner) => tables.push((format!("{full}."), inner)),
                    value => self.put_property(table, &full, &Value::Toml(value), at(name.span().start))?,
                }
            }
        }
        Ok(())
    }

    /// The bus, which must be set.
    ///
    /// # Errors
    /// If it is not.
    pub fn bus(&self) -> Result<&BusAddress, ConfigError> {
        self.config.bus.as_ref().ok_or(ConfigError::Missing(Key::Bus))
    }

    /// The state directory, which must be set.
    ///
    /// # Errors
    /// If it is not.
    pub fn state(&self) -> Result<&Path, ConfigError> {
        self.config.state.as_deref().ok_or(ConfigError::Missing(Key::State))
    }

    fn put(&mut self, key: Key, value: &Value<'_>, origin: Origin) -> Result<(), ConfigError> {
        match key.set(&mut self.config, value) {
            Ok(()) => {
                self.origins.insert(key, origin);
                Ok(())
            }
            Err(what) => Err(ConfigError::Value { origin, key, what }),
        }
    }

    fn add_variable(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        if name == FILE_VARIABLE {
            return Ok(());
        }
        let origin = Origin::Variable(name.to_owned());
        if let Some(key) = Key::ALL.into_iter().find(|key| key.variable() == name) {
            return self.put(key, &Value::Text(value), origin);
        }
        for table in [Properties::Values, Properties::Files] {
            let prefix = format!("SOFTSTAKE_{}__", table.name().replace('.', "__").to_ascii_uppercase());
            if let Some(property) = name.strip_prefix(&prefix).filter(|property| !property.is_empty()) {
                // Names of librdkafka have points where a variable has underscores.
                let property = property.to_ascii_lowercase().replace('_', ".");
                return self.put_property(table, &property, &Value::Text(value), origin);
            }
        }
        // Kubernetes puts such variables into every pod beside a service that is called softstake.
        let linked = ["SOFTSTAKE_SERVICE_", "SOFTSTAKE_PORT"]
            .iter()
            .any(|start| name.starts_with(start));
        let hint = if linked {
            "if Kubernetes made it for a service of that name, set `enableServiceLinks: false` on the pod".into()
        } else {
            let known: Vec<_> = Key::ALL.into_iter().map(Key::variable).collect();
            format!("unset it; the known ones are {FILE_VARIABLE}, {}", known.join(", "))
        };
        let name = name.to_owned();
        Err(ConfigError::Unknown { origin, name, hint })
    }

    fn add_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let at = |offset: usize| {
            let before = text.as_bytes().get(..offset).unwrap_or_default();
            Origin::File(path.to_path_buf(), memchr::memchr_iter(b'\n', before).count() + 1)
        };
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            origin: at(error.span().map_or(0, |span| span.start)),
            what: error.message().to_owned(),
        })?;
        let mut tables = vec![(String::new(), table.get_ref())];
        while let Some((prefix, table)) = tables.pop() {
            for (name, value) in table {
                let full = format!("{prefix}{}", name.get_ref());
                let origin = at(name.span().start);
                if let Some(key) = Key::ALL.into_iter().find(|key| key.name() == full) {
                    self.put(key, &Value::Toml(value.get_ref()), origin)?;
                    continue;
                }
                let inner = format!("{full}.");
                match value.get_ref() {
                    DeValue::Table(values) if full == Properties::Values.name() => {
                        self.add_properties(Properties::Values, values, &at)?;
                    }
                    DeValue::Table(values) if full == Properties::Files.name() => {
                        self.add_properties(Properties::Files, values, &at)?;
                    }
                    DeValue::Table(table) if Key::ALL.iter().any(|key| key.name().starts_with(&inner)) => {
                        tables.push((inner, table));
                    }
                    _ => {
                        let known: Vec<_> = Key::ALL.into_iter().map(Key::name).collect();
                        let hint = format!("take it out; the known ones are {}", known.join(", "));
                        return Err(ConfigError::Unknown {
                            origin,
                            name: full,
                            hint,
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

/// A table of librdkafka's properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Properties {
    /// With their values.
    Values,
    /// With the files that hold their values.
    Files,
}

impl Properties {
    const fn name(self) -> &'static str {
        match self {
            Self::Values => "kafka.properties",
            Self::Files => "kafka.files",
        }
    }
}

/// A name that is part of Kafka's: of a group, a member, a transactional id.
fn name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > 200 || !text.bytes().all(allowed) {
        return Err(format!(
            "must be 1 to 200 letters, digits, points, underscores and hyphens, not \"{text}\""
        ));
    }
    Ok(text.to_owned())
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_path_buf(),
        source,
    })
}

/// The variables that are ours, by name.
fn ours(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut ours = BTreeMap::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("SOFTSTAKE_")) else {
            continue;
        };
        match value.into_string() {
            Ok(value) => ours.insert(name.to_owned(), value),
            Err(_) => {
                return Err(ConfigError::Unknown {
                    origin: Origin::Variable(name.to_owned()),
                    name: name.to_owned(),
                    hint: "its value is not UTF-8".into(),
                });
            }
        };
    }
    Ok(ours)
}
