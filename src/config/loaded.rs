//! Reads the layers of the configuration.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::bus::kafka::settings;
use crate::config::address::BusAddress;
use crate::config::error::{ConfigError, FILE_VARIABLE, Origin, USUAL_FILE};
use crate::config::key::Key;
use crate::config::settings::Config;
use crate::config::value::SettingValue;
use crate::core::values::similar::meant;

/// A configuration, and the origin of each value.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The settings in force.
    pub config: Config,
    origins: BTreeMap<Key, Origin>,
    properties: BTreeMap<String, Origin>,
    /// Whether no file was named, although one has the usual name in the working directory.
    leaves_out_usual_file: bool,
}

impl Loaded {
    /// Puts the layers together. The file is `named`, or the one that `SOFTSTAKE_CONFIG` names, or none. `flags` have the
    /// values as they were given.
    ///
    /// # Errors
    /// The first error, with its origin.
    pub fn from(
        named: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &[(Key, String)],
    ) -> Result<Self, ConfigError> {
        let variables = ours(variables)?;
        let by_variable = variables.get(FILE_VARIABLE).map(PathBuf::from);
        let named = named.map(Path::to_path_buf).or(by_variable);
        let mut loaded = Self::default();
        match named {
            Some(path) => loaded.add_file(&path, &read(&path)?)?,
            None => loaded.leaves_out_usual_file = Path::new(USUAL_FILE).exists(),
        }
        for (name, value) in &variables {
            loaded.add_variable(name, value)?;
        }
        for (key, value) in flags {
            loaded.put(*key, &SettingValue::Text(value), Origin::Flag(key.flag()))?;
        }
        Ok(loaded)
    }

    /// The configuration of this process: the file, the environment, and these flags.
    ///
    /// # Errors
    /// As [`Loaded::from`].
    pub fn of_process(named: Option<&Path>, flags: &[(Key, String)]) -> Result<Self, ConfigError> {
        Self::from(named, std::env::vars_os(), flags)
    }

    /// A sentence about a file that users may take for the configuration, although it was not read.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        self.leaves_out_usual_file.then(|| {
            format!(
                "{USUAL_FILE} in the working directory is not read, because it is not named: give --config {USUAL_FILE}, or set {FILE_VARIABLE}"
            )
        })
    }

    /// The origin of a setting's value.
    #[must_use]
    pub fn origin(&self, key: Key) -> &Origin {
        self.origins.get(&key).unwrap_or(&Origin::Default)
    }

    /// The properties of librdkafka that are set: name, value and origin. The value of a secret is hidden.
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
        table: PropertyTable,
        name: &str,
        value: &SettingValue<'_>,
        origin: Origin,
    ) -> Result<(), ConfigError> {
        let kafka = &mut self.config.kafka;
        let put = settings::check_property(name).and_then(|()| {
            let value = value.plain()?;
            match table {
                PropertyTable::Values => {
                    settings::check_value(name, &value)?;
                    kafka.files.remove(name);
                    kafka.properties.insert(name.to_owned(), value);
                }
                PropertyTable::Files => {
                    settings::check_file(name)?;
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

    /// Adds the properties in a table of the file. `"sasl.password"` and `sasl.password` are the same name.
    fn add_properties(
        &mut self,
        table: PropertyTable,
        values: &DeTable<'_>,
        at: &dyn Fn(usize) -> Origin,
    ) -> Result<(), ConfigError> {
        let mut tables = vec![(String::new(), values)];
        while let Some((prefix, values)) = tables.pop() {
            for (name, value) in values {
                let full = format!("{prefix}{}", name.get_ref());
                match value.get_ref() {
                    DeValue::Table(inner) => tables.push((format!("{full}."), inner)),
                    value => self.put_property(table, &full, &SettingValue::Toml(value), at(name.span().start))?,
                }
            }
        }
        Ok(())
    }

    /// The bus.
    ///
    /// # Errors
    /// If it is not set.
    pub fn bus(&self) -> Result<&BusAddress, ConfigError> {
        self.config.bus.as_ref().ok_or(ConfigError::Missing(Key::Bus))
    }

    /// The state directory.
    ///
    /// # Errors
    /// If it is not set, is no directory, or if it and a directory bus are not apart.
    pub fn state(&self) -> Result<&Path, ConfigError> {
        let state = self.config.state.as_deref().ok_or(ConfigError::Missing(Key::State))?;
        if state.exists() && !state.is_dir() {
            return Err(ConfigError::NoDirectory { path: state.into() });
        }
        if let Some(BusAddress::Dir(bus)) = &self.config.bus {
            let (inner, outer) = (real(state), real(bus));
            if inner.starts_with(&outer) || outer.starts_with(&inner) {
                return Err(ConfigError::Together {
                    state: state.into(),
                    bus: bus.clone(),
                });
            }
        }
        Ok(state)
    }

    fn put(&mut self, key: Key, value: &SettingValue<'_>, origin: Origin) -> Result<(), ConfigError> {
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
            return self.put(key, &SettingValue::Text(value), origin);
        }
        for table in [PropertyTable::Values, PropertyTable::Files] {
            let prefix = format!("SOFTSTAKE_{}__", table.name().replace('.', "__").to_ascii_uppercase());
            if let Some(property) = name.strip_prefix(&prefix).filter(|property| !property.is_empty()) {
                // Names of librdkafka have dots where a variable has underscores.
                let property = property.to_ascii_lowercase().replace('_', ".");
                return self.put_property(table, &property, &SettingValue::Text(value), origin);
            }
        }
        // Kubernetes sets such variables in every pod if there is a service of the name softstake.
        let linked = ["SOFTSTAKE_SERVICE_", "SOFTSTAKE_PORT"]
            .iter()
            .any(|start| name.starts_with(start));
        let hint = if linked {
            "if Kubernetes set it for a service of that name, set `enableServiceLinks: false` on the pod".into()
        } else {
            let known: Vec<_> = Key::ALL.into_iter().map(Key::variable).collect();
            match meant(name, known.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean {meant}? Otherwise unset it"),
                None => format!(
                    "unset it; the known variables are {FILE_VARIABLE}, {}",
                    known.join(", ")
                ),
            }
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
                    self.put(key, &SettingValue::Toml(value.get_ref()), origin)?;
                    continue;
                }
                let inner = format!("{full}.");
                match value.get_ref() {
                    DeValue::Table(values) if full == PropertyTable::Values.name() => {
                        self.add_properties(PropertyTable::Values, values, &at)?;
                    }
                    DeValue::Table(values) if full == PropertyTable::Files.name() => {
                        self.add_properties(PropertyTable::Files, values, &at)?;
                    }
                    DeValue::Table(table) if Key::ALL.iter().any(|key| key.name().starts_with(&inner)) => {
                        tables.push((inner, table));
                    }
                    _ => {
                        let known: Vec<_> = Key::ALL.into_iter().map(Key::name).collect();
                        let hint = match meant(&full, known.iter().copied()) {
                            Some(meant) => format!("did you mean `{meant}`?"),
                            None => format!("remove it; the known settings are {}", known.join(", ")),
                        };
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

/// A table of librdkafka's properties in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PropertyTable {
    /// Their values.
    Values,
    /// The files that hold their values.
    Files,
}

impl PropertyTable {
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

/// The variables whose names begin with `SOFTSTAKE_`.
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

/// A path without links and relative parts, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for parent in path.ancestors() {
        if let Ok(found) = parent.canonicalize() {
            return match path.strip_prefix(parent) {
                Ok(rest) if rest.as_os_str().is_empty() => found,
                Ok(rest) => found.join(rest),
                Err(_) => found,
            };
        }
    }
    path
}
