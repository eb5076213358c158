//! A topic that is not one of ours: its committed records, up to its end when it was opened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::Offset as BrokerOffset;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Message, TopicPartitionList};

use crate::bus::error::{BrokerError, OpenError};
use crate::bus::kafka::brokers::LOOK_UP;
use crate::bus::kafka::cloud_events::append_structured;
use crate::bus::kafka::consumer::{ConsumerLog, from_kafka, to_kafka};
use crate::bus::kafka::contact::Patience;
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::settings::KafkaSettings;
use crate::bus::patient::{Limit, MayPass, ReadProgress, ReadWait};
use crate::core::values::offset::Offset;

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(200);

/// The offsets to read, by partition: the first one, and the end.
type Ranges = BTreeMap<i32, (Offset, Offset)>;

/// A topic, with the readable end of each partition when it was opened.
///
/// It waits for brokers and records like every log that is only read ([`crate::bus::patient`]).
pub struct ForeignTopic {
    settings: Arc<KafkaSettings>,
    name: String,
    consumer: BaseConsumer<ConsumerLog>,
    ranges: Ranges,
    progress: ReadProgress,
}

impl ForeignTopic {
    /// Opens the topic `name`; `None` if it does not exist.
    ///
    /// # Errors
    /// If a property is not valid, the brokers reject this client, or they are silent for as long as `limit` says.
    pub fn open(settings: KafkaSettings, name: &str, limit: Limit) -> Result<Option<Self>, OpenError> {
        let settings = Arc::new(settings);
        let mut config = settings.consumer()?;
        config.set("enable.partition.eof", "true");
        let attempt = attempt(&settings, name);
        let consumer: BaseConsumer<ConsumerLog> = config
            .create_with_context(ConsumerLog::default())
            .map_err(|error| attempt.failed(&error))?;
        let patience = Patience {
            stop: &limit.stop,
            timeout: limit.timeout,
        };
        let look_up = patience.slice(LOOK_UP);
        let progress = ReadProgress::new(limit);
        let found = progress.ask(|| {
            let found = ranges(&consumer, name, look_up);
            found.map_err(|error| attempt.failed(&error))
        })?;
        let name = name.to_owned();
        Ok((!found.is_empty()).then_some(Self {
            settings,
            name,
            consumer,
            ranges: found,
            progress,
        }))
    }

    /// A partition that ends below one of these offsets, with that offset and its end: records that were read are not there any more.
    #[must_use]
    pub fn lost(&self, read_to: &BTreeMap<u32, Offset>) -> Option<(u32, Offset, Offset)> {
        read_to.iter().find_map(|(number, read)| {
            let range = i32::try_from(*number).ok().and_then(|number| self.ranges.get(&number));
            let end = range.map_or(Offset::START, |(_, end)| *end);
            (end < *read).then_some((*number, *read, end))
        })
    }

    /// The same topic without the records before these offsets.
    #[must_use]
    pub fn after(mut self, from: &BTreeMap<u32, Offset>) -> Self {
        for (partition, (start, _)) in &mut self.ranges {
            let from = u32::try_from(*partition).ok().and_then(|number| from.get(&number));
            *start = from.copied().unwrap_or(*start).max(*start);
        }
        self
    }

    /// Calls `take` with the partition, the offset and the event of each record, in structured mode. The order between partitions is any.
    ///
    /// # Errors
    /// If no record has come for as long as the limit says, or the error that `take` returns.
    pub fn read<E: From<BrokerError>>(
        self,
        mut take: impl FnMut(i32, Offset, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self {
            settings,
            name,
            consumer,
            ranges: mut pending,
            progress,
        } = self;
        let attempt = attempt(&settings, &name);
        pending.retain(|_, (start, end)| start < end);
        assign(&consumer, &name, &pending).map_err(|error| attempt.failed(&error))?;
        let mut event = Vec::new();
        let (mut wait, mut failed) = (ReadWait::new(), None);
        while let Some((partition, (from, end))) = pending.iter().next().map(|(partition, range)| (*partition, *range))
        {
            match consumer.poll(POLL) {
                Some(Ok(message)) => deliver(&message, &mut pending, &mut event, &mut take)?,
                // The records before this end were delivered before.
                Some(Err(KafkaError::PartitionEOF(ended))) => drop(pending.remove(&ended)),
                missing => {
                    if let Some(Err(error)) = missing {
                        let error = attempt.failed(&error);
                        // The client connects again by itself.
                        let Some((_, why)) = error.passing() else {
                            return Err(error.into());
                        };
                        failed = Some(why.to_owned());
                    }
                    let why = failed.as_deref().unwrap_or("no record arrives");
                    let action = format!("read {name}:{partition} from offset {from} to {end}");
                    wait.go_on(&progress, &action, why)?;
                    continue;
                }
            }
            progress.made();
            (wait, failed) = (ReadWait::new(), None);
        }
        Ok(())
    }
}

/// The offsets of each partition of the topic `name`; none if it does not exist.
fn ranges(consumer: &BaseConsumer<ConsumerLog>, name: &str, at_most: Duration) -> Result<Ranges, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(name), at_most)?;
    let mut ranges = Ranges::new();
    for found in metadata.topics().iter().filter(|found| found.name() == name) {
        match found.error().map(Code::from) {
            None => {}
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(Ranges::new()),
            Some(code) => return Err(KafkaError::MetadataFetch(code)),
        }
        for partition in found.partitions() {
            let (start, end) = consumer.fetch_watermarks(name, partition.id(), at_most)?;
            ranges.insert(partition.id(), (from_kafka(start), from_kafka(end)));
        }
    }
    Ok(ranges)
}

fn assign(consumer: &BaseConsumer<ConsumerLog>, name: &str, ranges: &Ranges) -> Result<(), KafkaError> {
    let mut assignment = TopicPartitionList::new();
    for (partition, (start, _)) in ranges {
        assignment.add_partition_offset(name, *partition, BrokerOffset::Offset(to_kafka(*start)))?;
    }
    consumer.assign(&assignment)
}

/// Gives a record to `take`, and notes how far its partition is read.
fn deliver<E>(
    message: &BorrowedMessage<'_>,
    pending: &mut Ranges,
    event: &mut Vec<u8>,
    take: &mut impl FnMut(i32, Offset, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let (partition, offset) = (message.partition(), from_kafka(message.offset()));
    let Some((next, end)) = pending.get_mut(&partition) else {
        return Ok(());
    };
    if offset < *end {
        event.clear();
        append_structured(message.headers(), message.payload().unwrap_or_default(), event);
        take(partition, offset, event)?;
    }
    *next = offset.saturating_add(1);
    if next >= end {
        pending.remove(&partition);
    }
    Ok(())
}

fn attempt<'a>(settings: &'a KafkaSettings, topic: &str) -> Attempt<'a> {
    Attempt::new(
        format!("read topic {topic}"),
        &settings.brokers,
        format!("--operation Read --operation Describe --topic {topic}"),
    )
}
