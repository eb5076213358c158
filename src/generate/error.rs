//! Why a bus was not generated.

use std::io;
use std::path::{Path, PathBuf};

/// Why a bus was not generated, or only in part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// A file or folder cannot be created, read or written.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Reading the tape failed part of the way.
    #[error("cannot read the tape: {0}")]
    Read(#[source] io::Error),
    /// A setting is out of its range.
    #[error("{setting} is {value}; it has to be {expected}")]
    Setting {
        setting: &'static str,
        value: String,
        /// The accepted range, in words.
        expected: &'static str,
    },
    /// A new bus was asked for, but the folder already holds records.
    #[error("{} already holds records; choose an empty folder for a new bus", path.display())]
    NotEmpty {
        /// The first file found that is not empty.
        path: PathBuf,
    },
    /// A row of the tape is malformed.
    #[error("line {line}, column {column}: {reason}")]
    Row {
        /// Line of the file, from 1.
        line: u64,
        /// Number and name of the column, such as `2 (price)`.
        column: String,
        reason: String,
    },
    #[error("the tape holds no rows")]
    EmptyTape,
}

impl GenerateError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn setting(setting: &'static str, value: impl ToString, expected: &'static str) -> Self {
        Self::Setting {
            setting,
            value: value.to_string(),
            expected,
        }
    }

    /// Fails unless each value lies in its range: name, value, least, most, the range in words.
    pub(super) fn check_ranges<const N: usize>(
        settings: [(&'static str, u64, u64, u64, &'static str); N],
    ) -> Result<(), Self> {
        for (setting, value, least, most, expected) in settings {
            if !(least..=most).contains(&value) {
                return Err(Self::setting(setting, value, expected));
            }
        }
        Ok(())
    }
}
