use std::io;
use std::path::PathBuf;

use crate::bus::error::reaction::Reaction;

/// An error of a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system reported an error.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// A verb: `read`, `append to`, `make durable`.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Something else has the name of a file.
    #[error("{path} is {kind}, but only a regular file can be read here: move it away")]
    NotAFile {
        path: PathBuf,
        /// With its article: `a FIFO`.
        kind: &'static str,
    },
    /// A file of softstake has other bytes than softstake wrote.
    #[error("{file} is damaged at byte {at}: {what}; restore it from a copy of the bus")]
    Damaged {
        file: PathBuf,
        /// The byte in the file, from 0.
        at: u64,
        what: String,
    },
    /// The file has a format that this program does not know.
    #[error(
        "{file} has format version {found}, but this softstake reads version {known}: use the softstake that wrote it, or a newer one"
    )]
    Version { file: PathBuf, found: u32, known: u32 },
}

impl FileError {
    /// For `map_err`: an input/output error on `path`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    #[must_use]
    pub const fn reaction(&self) -> Reaction {
        match self {
            Self::Io { .. } | Self::NotAFile { .. } | Self::Damaged { .. } | Self::Version { .. } => Reaction::StopTask,
        }
    }
}
