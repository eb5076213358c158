//! Why a configuration is rejected, and the origin of the value that is wrong.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::config::key::Key;

/// The usual name of a configuration. It is read only if it is named.
pub(super) const USUAL_FILE: &str = "softstake.toml";

/// The variable that names another file.
pub(super) const FILE_VARIABLE: &str = "SOFTSTAKE_CONFIG";

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// A file, and the line from 1.
    File(PathBuf, usize),
    /// A variable of the environment.
    Variable(String),
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

/// Why a configuration is rejected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {path}: {source}; correct --config or {FILE_VARIABLE}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{origin}: not valid TOML: {what}")]
    Syntax { origin: Origin, what: String },
    #[error("{origin}: there is no setting `{name}`; {hint}")]
    Unknown {
        origin: Origin,
        name: String,
        /// What to do.
        hint: String,
    },
    /// `what` is a predicate: it makes a sentence after the name of the setting.
    #[error("{origin}: `{}` {what}", key.name())]
    Value { origin: Origin, key: Key, what: String },
    /// A property of librdkafka. `what` is a predicate.
    #[error("{origin}: kafka property `{name}` {what}")]
    Property { origin: Origin, name: String, what: String },
    /// A setting that the command needs.
    #[error("`{}` is not set: give {}, set {}, or name a configuration with --config", .0.name(), .0.flag(), .0.variable())]
    Missing(Key),
    /// One of the two is inside the other.
    #[error(
        "`state` is {state} and `bus` is dir:{bus}: keep the two apart, because a state directory may be deleted at any time, and a bus may not"
    )]
    Together { state: PathBuf, bus: PathBuf },
    #[error("`state` is {path}, which is no directory: name a directory, which is made if it is missing")]
    NoDirectory { path: PathBuf },
}
