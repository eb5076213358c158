use std::io;
use std::path::PathBuf;

use crate::bus::error::broker::BrokerError;
use crate::bus::error::file::FileError;
use crate::bus::error::open::OpenError;
use crate::bus::error::read::ReadError;
use crate::core::contract::topic::TopicPartition;

/// Why topics cannot be checked, created or filled.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("cannot start the admin client: {source}")]
    Client { source: io::Error },
    /// Kafka has more records than the file that is published.
    #[error("{partition} has {on_kafka} records on Kafka and {in_file} in its file: they are not the same log")]
    OtherLog {
        partition: TopicPartition,
        on_kafka: u64,
        in_file: u64,
    },
    #[error("{partition} is missing: `softstake topics --create --source-partitions N` creates the topics")]
    NoPartition { partition: TopicPartition },
    /// The directory has no input record.
    #[error("there is no source or control record at {path}: correct --from")]
    NoRecords { path: PathBuf },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}
