//! Consumers that read single partitions, each from a place of its own: one for each reader.
//!
//! Sharing a consumer among readers would spare threads, but librdkafka may deliver a record to another queue than the one a reader took for
//! its partition (when the partition was unknown for a moment, as while brokers come back), and then it is lost to the reader without a word.
//!
//! Of partitions whose end counts, it is told when the fetcher stands at the end, in order with the records (`PARTITION_EOF`).

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientContext, TopicPartitionList};

use crate::bus::error::BusError;
use crate::bus::kafka::client::{Signal, Told};
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::settings::KafkaSettings;
use crate::core::contract::topic::TopicPartition;

/// How often nothing has to come for the queue to count as empty: an event of the client may come in a record's place, and there are few of those.
const SILENCES: u32 = 4;

/// What a consumer tells.
#[derive(Default)]
pub(super) struct SourceContext(Told);

impl ClientContext for SourceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // An end is an event like any other, and comes in order with the records.
        if error.rdkafka_error_code() != Some(Code::PartitionEOF) && !matches!(error, KafkaError::PartitionEOF(_)) {
            self.0.error(&error, reason);
        }
    }
}

impl ConsumerContext for SourceContext {}

/// A partition being read.
pub(super) struct Reading {
    consumer: BaseConsumer<SourceContext>,
}

impl Reading {
    /// Starts to read `partition` at `from`; with `find_end` it is told, in order with the records, when it stands at the end.
    pub(super) fn start(
        settings: &KafkaSettings,
        signal: &Arc<Signal>,
        partition: TopicPartition,
        from: u64,
        find_end: bool,
    ) -> Result<Self, BusError> {
        let topic = partition.topic;
        let attempt = Attempt::new(
            format!("read {partition}"),
            &settings.brokers,
            format!("--operation Read --operation Describe --topic {topic}"),
        );
        let failed = |error: KafkaError| attempt.failed(&error);
        let mut config = settings.consumer()?;
        if find_end {
            config.set("enable.partition.eof", "true");
        }
        let mut consumer: BaseConsumer<SourceContext> =
            config.create_with_context(SourceContext::default()).map_err(failed)?;
        let raised = Arc::clone(signal);
        consumer.set_nonempty_callback(move || raised.raise());
        let (topic, number) = place(partition);
        let mut assignment = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        assignment.add_partition_offset(topic, number, offset).map_err(failed)?;
        consumer.assign(&assignment).map_err(failed)?;
        Ok(Self { consumer })
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
