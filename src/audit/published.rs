//! Reads the records of an output topic.

use std::fmt;

use memchr::memmem::Finder;

use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, ReadError, TopicPartition};
use crate::core::contract::records::{PublishedRecord, read_data};
use crate::core::values::offset::Offset;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace {
    pub partition: TopicPartition,
    pub offset: Offset,
}

impl fmt::Display for RecordPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, offset {}", self.partition, self.offset)
    }
}

/// Calls `take` with every record of an output topic: its place, and its data or the reason why Softstake writes no such record. Blank lines
/// are skipped. With `text`, all records are skipped that do not hold this JSON string somewhere.
///
/// # Errors
/// A failure of the bus, or the error that `take` returns.
pub fn read_all<R: PublishedRecord, E: From<ReadError>>(
    bus: &dyn Log,
    text: Option<&str>,
    mut take: impl FnMut(RecordPlace, Result<R::Borrowed<'_>, serde_json::Error>) -> Result<(), E>,
) -> Result<(), E> {
    // Softstake alone writes these records, so a string has only one spelling. To search for it is much faster than to parse all records.
    let text = text.and_then(|text| serde_json::to_string(text).ok());
    let finder = text.as_deref().map(Finder::new);
    for number in bus.partitions(R::TOPIC)? {
        let partition = R::TOPIC.partition(number);
        let end = bus.readable_end(partition)?;
        scan_range(bus, partition, &Mark::default(), end, |record| {
            if record.value.is_empty()
                || finder
                    .as_ref()
                    .is_some_and(|finder| finder.find(record.value).is_none())
            {
                return Ok(());
            }
            let place = RecordPlace {
                partition,
                offset: record.offset,
            };
            take(place, read_data(record.value))
        })?;
    }
    Ok(())
}
