//! The configuration: defaults, overridden by a file, then by `SOFTSTAKE_*` variables, then by flags.
//!
//! A file is read only if a flag or a variable names it: one that lies in the working directory may be of somebody else.
//!
//! Each value has its origin. An unknown setting is an error: a misspelt name must never leave a setting at its default.
//!
//! The setting `log.level` is the key `level` of the table `[log]` in the file. Its variable is `SOFTSTAKE_LOG__LEVEL`: a
//! dot becomes two underscores. Its flag is `--log-level`.

mod address;
mod error;
mod key;
pub mod level;
mod loaded;
mod settings;
#[cfg(test)]
mod tests;
mod value;

pub use address::BusAddress;
pub use error::{ConfigError, Origin};
pub use key::Key;
pub use loaded::Loaded;
pub use settings::{Config, DirConfig, LogConfig, LogFormat, MonitorConfig, ServeConfig, SnapshotConfig};
