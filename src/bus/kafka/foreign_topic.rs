//! A topic that is not one of ours: its committed records, up to its end when it was opened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset as BrokerOffset;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Message, TopicPartitionList};

use crate::bus::error::{BrokerError, OpenError};
use crate::bus::kafka::cloud_events::append_structured;
use crate::bus::kafka::consumer::{ConsumerLog, from_kafka, to_kafka};
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::settings::KafkaSettings;
use crate::core::values::offset::Offset;

/// Time-out of one look-up.
const LOOK_UP: Duration = Duration::from_secs(10);
/// Time-out for records that are known to exist.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one poll waits.
const POLL: Duration = Duration::from_millis(200);

/// A topic, with the readable end of each partition when it was opened.
pub struct ForeignTopic {
    settings: Arc<KafkaSettings>,
    name: String,
    consumer: BaseConsumer<ConsumerLog>,
    /// The offsets to read, by partition: the first one, and the end.
    ranges: BTreeMap<i32, (Offset, Offset)>,
}

impl ForeignTopic {
    /// Opens the topic `name`; `None` if it does not exist.
    ///
    /// # Errors
    /// If a property is not valid, or the brokers do not answer or reject this client.
    pub fn open(settings: KafkaSettings, name: &str) -> Result<Option<Self>, OpenError> {
        let settings = Arc::new(settings);
        let mut config = settings.consumer()?;
        config.set("enable.partition.eof", "true");
        let attempt = attempt(&settings, name);
        let consumer: BaseConsumer<ConsumerLog> = config
            .create_with_context(ConsumerLog::default())
            .map_err(|error| attempt.failed(&error))?;
        let metadata = consumer.fetch_metadata(Some(name), LOOK_UP);
        let metadata = metadata.map_err(|error| attempt.failed(&error))?;
        let mut ranges = BTreeMap::new();
        for found in metadata.topics().iter().filter(|found| found.name() == name) {
            match found.error().map(Code::from) {
                None => {}
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
                Some(code) => return Err(attempt.failed(&KafkaError::MetadataFetch(code)).into()),
            }
            for partition in found.partitions() {
                let ends = consumer.fetch_watermarks(name, partition.id(), LOOK_UP);
                let (start, end) = ends.map_err(|error| attempt.failed(&error))?;
                ranges.insert(partition.id(), (from_kafka(start), from_kafka(end)));
            }
        }
        let name = name.to_owned();
        Ok((!ranges.is_empty()).then_some(Self {
            settings,
            name,
            consumer,
            ranges,
        }))
    }

    /// Calls `take` with the partition, the offset and the event of each record, in structured mode. The order between partitions is any.
    ///
    /// # Errors
    /// If a record does not arrive, or the error that `take` returns.
    pub fn read<E: From<BrokerError>>(
        self,
        mut take: impl FnMut(i32, Offset, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let attempt = attempt(&self.settings, &self.name);
        let failed = |error: KafkaError| attempt.failed(&error);
        let mut pending = self.ranges;
        pending.retain(|_, (start, end)| start < end);
        let mut assignment = TopicPartitionList::new();
        for (partition, (start, _)) in &pending {
            let offset = BrokerOffset::Offset(to_kafka(*start));
            assignment
                .add_partition_offset(&self.name, *partition, offset)
                .map_err(failed)?;
        }
        self.consumer.assign(&assignment).map_err(failed)?;
        let mut event = Vec::new();
        let mut arrived = Instant::now();
        while !pending.is_empty() {
            match self.consumer.poll(POLL) {
                None if arrived.elapsed() > ARRIVAL_TIMEOUT => {
                    let seconds = ARRIVAL_TIMEOUT.as_secs();
                    return Err(attempt
                        .rejected(format!("no record arrived for {seconds} seconds"))
                        .into());
                }
                None => continue,
                // The records before this end were delivered before.
                Some(Err(KafkaError::PartitionEOF(partition))) => _ = pending.remove(&partition),
                Some(Err(error)) => match attempt.failed(&error) {
                    // The client connects again by itself.
                    BrokerError::Unavailable { .. } => continue,
                    error => return Err(error.into()),
                },
                Some(Ok(message)) => {
                    let offset = from_kafka(message.offset());
                    let Some((_, end)) = pending.get(&message.partition()) else {
                        continue;
                    };
                    let is_last = offset.saturating_add(1) >= *end;
                    if offset < *end {
                        event.clear();
                        append_structured(message.headers(), message.payload().unwrap_or_default(), &mut event);
                        take(message.partition(), offset, &event)?;
                    }
                    if is_last {
                        pending.remove(&message.partition());
                    }
                }
            }
            arrived = Instant::now();
        }
        Ok(())
    }
}

fn attempt<'a>(settings: &'a KafkaSettings, topic: &str) -> Attempt<'a> {
    Attempt::new(
        format!("read topic {topic}"),
        &settings.brokers,
        format!("--operation Read --operation Describe --topic {topic}"),
    )
}
