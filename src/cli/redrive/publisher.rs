//! Publishes a corrected event together with the note about it.
//!
//! On Kafka both are one transaction. In a directory the event comes first: without its note it is found on its topic by its identity, and a note
//! without an event would hide a dead letter that is still open.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use crate::bus::dir::{append_line, lock_appends};
use crate::bus::kafka::transaction_writer::TransactionWriter;
use crate::bus::{Topic, TopicPartition};
use crate::cli::bus;
use crate::cli::outcome::{Failure, Outcome};
use crate::config::{BusAddress, Loaded};
use crate::core::values::offset::Offset;

const NOTES: TopicPartition = Topic::Redrives.partition(0);

/// How long a publication is waited for where no limit is set.
const DELIVERY: Duration = Duration::from_secs(300);

/// Who publishes. There is one at a time for a bus.
pub(super) enum Publisher<'a> {
    Dir { root: &'a Path, _lock: File },
    Kafka(Box<TransactionWriter>),
}

impl<'a> Publisher<'a> {
    pub(super) fn begin(loaded: &'a Loaded, timeout: Option<Duration>) -> Result<Self, Failure> {
        match loaded.bus()? {
            address @ BusAddress::Dir(_) => {
                let root = bus::directory(address)?;
                let lock = lock_appends(root, Topic::Redrives)?;
                Ok(Self::Dir { root, _lock: lock })
            }
            BusAddress::Kafka => {
                let writer = TransactionWriter::begin(&loaded.config.kafka, timeout.unwrap_or(DELIVERY))?;
                Ok(Self::Kafka(Box::new(writer)))
            }
        }
    }

    /// Publishes an event and its note. Returns the event's offset, if the bus tells it.
    pub(super) fn publish(&self, to: TopicPartition, record: &[u8], note: &[u8]) -> Result<Option<Offset>, Failure> {
        match self {
            Self::Dir { root, .. } => {
                append_line(root, to, record)?;
                append_line(root, NOTES, note)?;
                Ok(None)
            }
            Self::Kafka(writer) => {
                let offsets = writer.write(&[(to, record), (NOTES, note)])?;
                Ok(offsets.first().copied())
            }
        }
    }

    /// Writes the note about an event that is on its topic already.
    pub(super) fn note(&self, note: &[u8]) -> Outcome {
        match self {
            Self::Dir { root, .. } => Ok(append_line(root, NOTES, note)?),
            Self::Kafka(writer) => {
                writer.write(&[(NOTES, note)])?;
                Ok(())
            }
        }
    }
}
