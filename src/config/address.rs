//! Where a bus is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of an event bus, as it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusAddress {
    /// `dir:PATH`: a directory of files.
    Dir(PathBuf),
}

impl fmt::Display for BusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
        }
    }
}

impl FromStr for BusAddress {
    type Err = String;

    /// The error is a predicate: it makes a sentence after the name of the setting.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("dir", "") => Err("must name a directory after `dir:`".into()),
            ("dir", path) => Ok(Self::Dir(path.into())),
            ("kafka", _) => Err("names a Kafka bus, which is not in this version yet: use `dir:PATH`".into()),
            _ => Err(format!("must be `dir:PATH`, not \"{text}\"")),
        }
    }
}
