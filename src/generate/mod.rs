//! Input for Softstake: a synthetic bus that holds everything an exchange gets right and wrong, and a bus made from a
//! tape of public trades.
//!
//! Nothing here is shared with the decoder: the records are written as text from the published contract, so that the
//! two can be wrong only independently of each other.

use std::io;
use std::path::{Path, PathBuf};

mod accounts;
mod bad;
mod bus;
mod catalogue;
mod control;
mod draws;
mod events;
mod json;
mod stage;
mod synthetic;
mod tape;
mod text;

#[cfg(test)]
mod tests;

pub use crate::generate::bad::control::bad_control_kinds;
pub use crate::generate::tape::csv::open;
pub use bad::bad_kinds;
pub use synthetic::{Summary, Synthetic, write};
pub use tape::{Tape, TapeSummary, write_tape};

/// Why nothing, or not everything, was generated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// A file or folder could not be created, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The input could not be read on.
    #[error("cannot read the tape: {0}")]
    Read(#[source] io::Error),
    /// A setting is out of its range.
    #[error("{setting} is {value}; it has to be {expected}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// The value refused.
        value: String,
        /// The range that is accepted.
        expected: &'static str,
    },
    /// A bus is to be begun where records are already.
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
        /// What was wrong with the value.
        reason: String,
    },
    /// The tape has no rows.
    #[error("the tape holds no rows")]
    EmptyTape,
}

impl GenerateError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    fn setting(setting: &'static str, value: impl ToString, expected: &'static str) -> Self {
        Self::Setting {
            setting,
            value: value.to_string(),
            expected,
        }
    }
}
