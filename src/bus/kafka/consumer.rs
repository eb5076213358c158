//! A consumer that reads one partition. Each reader has its own.
//!
//! Sharing a consumer would save threads, but could lose records. When a partition is unknown for a moment, for example while brokers restart,
//! librdkafka may deliver a record to another queue than the reader's. The reader would miss that record without any error.
//!
//! Where the end of a partition matters, the consumer reports it in order with the records (`PARTITION_EOF`).

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::Offset as BrokerOffset;
use rdkafka::{ClientContext, TopicPartitionList};

use crate::bus::error::ReadError;
use crate::bus::kafka::client::{ClientLog, Signal};
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::settings::KafkaSettings;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// The queue counts as empty after this many empty polls: a poll may return a client event, of which there are few, in place of a record.
const EMPTY_POLLS: u32 = 4;

#[derive(Default)]
pub(super) struct ConsumerLog(ClientLog);

impl ClientContext for ConsumerLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is no error: it arrives in order with the records.
        if error.rdkafka_error_code() != Some(Code::PartitionEOF) && !matches!(error, KafkaError::PartitionEOF(_)) {
            self.0.error(&error, reason);
        }
    }
}

impl ConsumerContext for ConsumerLog {}

/// Reads one partition.
pub(super) struct PartitionConsumer {
    consumer: BaseConsumer<ConsumerLog>,
}

impl PartitionConsumer {
    /// Starts to read `partition` at offset `from`. With `find_end`, it reports when it reaches the end of the partition.
    pub(super) fn start(
        settings: &KafkaSettings,
        signal: &Arc<Signal>,
        partition: TopicPartition,
        from: Offset,
        find_end: bool,
    ) -> Result<Self, ReadError> {
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
        let mut consumer: BaseConsumer<ConsumerLog> =
            config.create_with_context(ConsumerLog::default()).map_err(failed)?;
        let signal = Arc::clone(signal);
        consumer.set_nonempty_callback(move || signal.raise());
        let (topic, number) = kafka_partition(partition);
        let mut assignment = TopicPartitionList::new();
        let offset = BrokerOffset::Offset(to_kafka(from));
        assignment.add_partition_offset(topic, number, offset).map_err(failed)?;
        consumer.assign(&assignment).map_err(failed)?;
        Ok(Self { consumer })
    }

    /// The next record, end or error; `None` if there is none now.
    pub(super) fn poll(&self) -> Option<Result<BorrowedMessage<'_>, KafkaError>> {
        (0..EMPTY_POLLS).find_map(|_| self.consumer.poll(Duration::ZERO))
    }
}

/// A partition as librdkafka names it.
pub(super) fn kafka_partition(partition: TopicPartition) -> (&'static str, i32) {
    // Kafka's partition numbers have 31 bits, and ours come from Kafka.
    (
        partition.topic.name(),
        i32::try_from(partition.partition).unwrap_or(i32::MAX),
    )
}

/// An offset that librdkafka gives. It is negative only where Kafka has no offset: never for a record or an end.
pub(super) fn from_kafka(offset: i64) -> Offset {
    Offset::new(u64::try_from(offset).unwrap_or(0))
}

/// An offset as librdkafka takes it.
pub(super) fn to_kafka(offset: Offset) -> i64 {
    i64::try_from(offset.get()).unwrap_or(i64::MAX)
}
