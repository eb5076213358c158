//! The address of a bus.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::core::values::similar::meant;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusAddress {
    /// `dir:PATH`: a directory of files.
    Dir(PathBuf),
    /// `kafka`: the brokers under `[kafka]`.
    Kafka,
}

impl fmt::Display for BusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
            Self::Kafka => f.write_str("kafka"),
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
            ("kafka", "") => Ok(Self::Kafka),
            ("kafka", _) => Err("must be `kafka` alone: the brokers are named by `kafka.brokers`".into()),
            _ => Err(format!("must be `dir:PATH` or `kafka`, not \"{text}\"{}", hint(text))),
        }
    }
}

/// What was probably meant by an address that is none, as the end of a sentence.
fn hint(text: &str) -> String {
    let is_path = text.contains('/') || text.starts_with('.') || Path::new(text).is_dir();
    match meant(text, ["kafka"]) {
        Some(meant) => format!("; did you mean {meant}?"),
        None if is_path && !text.contains("://") => format!("; did you mean dir:{text}?"),
        None => String::new(),
    }
}
