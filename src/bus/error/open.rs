use std::io;
use std::path::PathBuf;

use crate::bus::error::broker::BrokerError;
use crate::bus::error::file::FileError;
use crate::bus::error::reaction::Reaction;
use crate::core::contract::topic::Topic;

/// Why a bus cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("there is no bus directory at {path}: create it, or correct --bus")]
    Missing { path: PathBuf },
    /// Records under these names would not be read.
    #[error("the bus at {path} has names that are not read, so nothing was started: {}", names.join("; "))]
    WrongNames {
        path: PathBuf,
        /// A sentence for each.
        names: Vec<String>,
    },
    #[error("the bus at {path} is in use by another softstake process: stop that process first, or wait for it")]
    Locked { path: PathBuf },
    /// A command that commits was given an archive.
    #[error("{path} is an archive, and nothing can be committed to it: name the bus that the deployment works on")]
    Archive { path: PathBuf },
    /// A topic is missing that only softstake writes.
    #[error("topic {topic} is missing: run `softstake topics --create` once, before the first start")]
    NoTopic { topic: Topic },
    #[error("cannot start the thread \"{name}\": {source}")]
    Thread { name: &'static str, source: io::Error },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl OpenError {
    #[must_use]
    pub const fn reaction(&self) -> Reaction {
        match self {
            Self::Missing { .. }
            | Self::WrongNames { .. }
            | Self::Locked { .. }
            | Self::Archive { .. }
            | Self::Thread { .. } => Reaction::StopTask,
            Self::NoTopic { .. } => Reaction::TryAgain,
            Self::File(error) => error.reaction(),
            Self::Broker(error) => error.reaction(),
        }
    }
}
