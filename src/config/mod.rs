//! The configuration: built-in values, below `softstake.toml`, below `SOFTSTAKE_*` variables, below flags. Each value remembers where it came
//! from, and whatever is not known is refused: a misspelt setting must never run a reward engine on a default.
//!
//! A setting `log.level` is the key `level` of the table `[log]` in the file, the variable `SOFTSTAKE_LOG__LEVEL` (a dot becomes two
//! underscores) and the flag `--log-level`.

mod address;
mod key;
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

use crate::bus::kafka::{KafkaSettings as KafkaConfig, settings};
use crate::config::value::Value;
use crate::core::dedup::DEFAULT_DEDUP_EPOCHS;

pub use address::BusAddress;
pub use key::Key;

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
            dedup_epochs: DEFAULT_DEDUP_EPOCHS,
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
    pub fn snapshots(&self, at_close: bool) -> Option<crate::snapshot::SnapshotSettings> {
        let place = self.snapshots.place.clone()?;
        Some(crate::snapshot::SnapshotSettings {
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
