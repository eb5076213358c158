//! Consumers that read single partitions, each from a place of its own: one for each reader.
//!
//! Sharing a consumer among readers would spare threads, but librdkafka may deliver a record to another queue than the one a reader took for
//! its partition (when the partition was unknown for a moment, as while brokers come back), and then it is lost to the reader without a word.
//!
//! **Ends.** A partition can end in transaction markers and in records that were compacted away, so the offset after the last record that came need
//! not be its end. How far a partition has been read is told by librdkafka's statistics: the offset at which its fetcher last stood at the end,
//! everything before which it has put into the queue by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientContext, TopicPartitionList};

use crate::bus::{BusError, Kind, TopicPartition};

use super::client::{Signal, Told};
use super::failure::Attempt;
use super::settings::Settings;

/// How often librdkafka says where the end is.
const STATISTICS_EVERY_MS: &str = "250";
/// How often nothing has to come for the queue to count as empty: an event that is no record may come in a record's place, and there are few of those.
const SILENCES: u32 = 4;

/// What a consumer tells: above all, where its fetcher last stood at the end.
pub(super) struct SourceContext {
    told: Told,
    partition: TopicPartition,
    end: AtomicU64,
}

impl ClientContext for SourceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.told.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.told.error(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let (topic, number) = place(self.partition);
        let known = statistics
            .topics
            .get(topic)
            .and_then(|topic| topic.partitions.get(&number));
        // Negative numbers are librdkafka's words for "none yet".
        if let Some(found) = known.and_then(|known| u64::try_from(known.eof_offset).ok()) {
            self.end.fetch_max(found, Ordering::AcqRel);
        }
    }
}

impl ConsumerContext for SourceContext {}

/// A partition being read.
pub(super) struct Reading {
    consumer: BaseConsumer<SourceContext>,
}

impl Reading {
    /// Starts to read `partition` at `from`.
    pub(super) fn start(
        settings: &Settings,
        signal: &Arc<Signal>,
        partition: TopicPartition,
        from: u64,
    ) -> Result<Self, BusError> {
        let topic = partition.topic;
        let attempt = Attempt::new(
            format!("read {partition}"),
            &settings.brokers,
            format!("--operation Read --operation Describe --topic {topic}"),
        );
        let failed = |error: KafkaError| attempt.failed(&error);
        let context = SourceContext {
            told: Told::default(),
            partition,
            end: AtomicU64::new(0),
        };
        let mut config = settings.consumer()?;
        // Of our own topics nobody needs to know how they end: a record is all that is waited for there.
        if topic.kind() == Kind::Input {
            config.set("statistics.interval.ms", STATISTICS_EVERY_MS);
        }
        let mut consumer: BaseConsumer<SourceContext> = config.create_with_context(context).map_err(failed)?;
        let raised = Arc::clone(signal);
        consumer.set_nonempty_callback(move || raised.raise());
        let (topic, number) = place(partition);
        let mut assignment = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        assignment.add_partition_offset(topic, number, offset).map_err(failed)?;
        consumer.assign(&assignment).map_err(failed)?;
        Ok(Self { consumer })
    }

    /// Where the fetcher last stood at the partition's end, as far as is known.
    pub(super) fn end(&self) -> u64 {
        self.consumer.context().end.load(Ordering::Acquire)
    }

    /// What comes next; `None` if nothing is there.
    pub(super) fn poll(&self) -> Option<Result<BorrowedMessage<'_>, KafkaError>> {
        (0..SILENCES).find_map(|_| self.consumer.poll(Duration::ZERO))
    }
}

/// The partition as librdkafka names it.
pub(super) fn place(partition: TopicPartition) -> (&'static str, i32) {
    // Kafka numbers partitions with 31 bits, and ours come from there.
    (
        partition.topic.name(),
        i32::try_from(partition.partition).unwrap_or(i32::MAX),
    )
}
