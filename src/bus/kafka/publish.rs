//! `softstake publish`: copies the source and control records of a directory bus to Kafka, for demonstrations, tests and moves.
//!
//! Line `n` of a file becomes offset `n` of the partition with the same number. Records that Kafka already has are not written again. So the copy
//! may be stopped and repeated at any time, and lines may be added in between.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};

use crate::bus::dir::ReadOnlyDir;
use crate::bus::error::{AdminError, BrokerError, OpenError, ReadError};
use crate::bus::interface::Log;
use crate::bus::kafka::brokers::LOOK_UP;
use crate::bus::kafka::client::ClientLog;
use crate::bus::kafka::consumer::kafka_partition;
use crate::bus::kafka::contact::{Patience, reach};
use crate::bus::kafka::failure;
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::settings::KafkaSettings;
use crate::bus::position::Mark;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

/// Bytes read from a file at a time.
const CHUNK: usize = 1 << 20;
/// Time-out for the delivery of all records, and for brokers that cannot be reached.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(300);

/// Pause before the brokers are asked again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// A partition that is unknown for this long counts as missing.
const UNKNOWN_FOR: Duration = Duration::from_secs(15);

/// The number of records written to each partition.
pub type PublishedCounts = BTreeMap<TopicPartition, u64>;

/// Writes those records of the directory bus at `root` that Kafka does not have yet. First come the control records before the first close, then all
/// sources, then the other control records. So listings come before the records they cover, and closes after them.
///
/// # Errors
/// If a file cannot be read, a topic or partition is missing, or the brokers cannot be reached.
pub fn publish(settings: &KafkaSettings, root: &Path) -> Result<PublishedCounts, AdminError> {
    let files = ReadOnlyDir::open(root)?;
    check_inputs(&files, root)?;
    let patience = Patience {
        stop: &AtomicBool::new(false),
        timeout: Some(DELIVERY_TIMEOUT),
    };
    reach(settings, &patience)?;
    let attempt = Attempt::new(
        "write to the source topics",
        &settings.brokers,
        "--operation Write --topic 'exchange.…'",
    );
    let consumer: BaseConsumer = settings.consumer()?.create().map_err(|error| attempt.failed(&error))?;
    let config = settings.client(&[
        ("enable.idempotence", "true"),
        ("linger.ms", "20"),
        ("compression.type", "lz4"),
    ])?;
    let context = FirstFailure::default();
    let failed = Arc::clone(&context.failed);
    let producer: ThreadedProducer<FirstFailure> = config
        .create_with_context(context)
        .map_err(|error| attempt.failed(&error))?;
    let mut publisher = Publisher {
        files,
        consumer,
        producer,
        failed,
        attempt,
        written: PublishedCounts::new(),
    };
    let control = Topic::Control.partition(0);
    let closes = publisher.first_close(control)?;
    publisher.partition(control, closes)?;
    publisher.flush()?;
    for topic in Topic::SOURCES {
        for number in publisher.files.partitions(topic)? {
            publisher.partition(topic.partition(number), Offset::NO_LIMIT)?;
        }
    }
    publisher.flush()?;
    publisher.partition(control, Offset::NO_LIMIT)?;
    publisher.flush()?;
    Ok(publisher.written)
}

/// Checks that the directory has records to publish, and none under a name that is not read.
fn check_inputs(files: &ReadOnlyDir, root: &Path) -> Result<(), AdminError> {
    let path = root.to_path_buf();
    let names = files.unread_names()?.wrong;
    if !names.is_empty() {
        return Err(OpenError::WrongNames { path, names }.into());
    }
    for topic in Topic::SOURCES.into_iter().chain([Topic::Control]) {
        for number in files.partitions(topic)? {
            if files.readable_end(topic.partition(number))? > Offset::START {
                return Ok(());
            }
        }
    }
    Err(AdminError::NoRecords { path })
}

/// The producer's context. It keeps the partition and the error of the first record that was not delivered.
#[derive(Default)]
struct FirstFailure {
    log: ClientLog,
    failed: Arc<Mutex<Option<(String, KafkaError)>>>,
}

impl ClientContext for FirstFailure {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for FirstFailure {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            use rdkafka::Message;
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| (format!("{}:{}", message.topic(), message.partition()), error.clone()));
        }
    }
}

struct Publisher<'a> {
    files: ReadOnlyDir,
    consumer: BaseConsumer,
    producer: ThreadedProducer<FirstFailure>,
    failed: Arc<Mutex<Option<(String, KafkaError)>>>,
    attempt: Attempt<'a>,
    written: PublishedCounts,
}

impl Publisher<'_> {
    /// The offset of the first close on the control topic; [`Offset::NO_LIMIT`] if there is none.
    fn first_close(&self, control: TopicPartition) -> Result<Offset, ReadError> {
        let mut reader = self.files.open(control, &Mark::default())?;
        loop {
            let batch = reader.read(CHUNK, Offset::NO_LIMIT)?;
            if batch.is_empty() {
                return Ok(Offset::NO_LIMIT);
            }
            let close = batch
                .iter()
                .find(|record| memchr::memmem::find(record.value, b"softstake.epoch_close.").is_some());
            if let Some(close) = close {
                return Ok(close.offset);
            }
        }
    }

    /// Writes those lines of one file, below offset `until`, that Kafka does not have yet.
    fn partition(&mut self, to: TopicPartition, until: Offset) -> Result<(), AdminError> {
        let (topic, number) = kafka_partition(to);
        let end = self.readable_end(to)?;
        let lines = self.files.readable_end(to)?;
        if end > lines {
            return Err(AdminError::OtherLog {
                partition: to,
                on_kafka: end.get(),
                in_file: lines.get(),
            });
        }
        let mut reader = self.files.open(to, &Mark::default())?;
        let mut count = 0;
        loop {
            let batch = reader.read(CHUNK, until)?;
            if batch.is_empty() {
                break;
            }
            for record in batch.iter().filter(|record| record.offset >= end) {
                let mut out = BaseRecord::<[u8], [u8]>::to(topic)
                    .partition(number)
                    .payload(record.value);
                loop {
                    match self.producer.send(out) {
                        Ok(()) => break,
                        Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                            out = back;
                            std::thread::sleep(Duration::from_millis(1));
                        }
                        Err((error, _)) => return Err(self.attempt.failed(&error).into()),
                    }
                }
                count += 1;
            }
        }
        *self.written.entry(to).or_default() += count;
        Ok(())
    }

    /// The number of records of a partition on Kafka. Waits for brokers that start, and for topics that are just being created.
    fn readable_end(&self, to: TopicPartition) -> Result<Offset, AdminError> {
        let began = Instant::now();
        loop {
            let error = match crate::bus::kafka::brokers::range(&self.consumer, to, LOOK_UP) {
                Ok((_, end)) => return Ok(end),
                Err(error) => error,
            };
            let unknown = matches!(
                error.rdkafka_error_code(),
                Some(Code::UnknownPartition | Code::UnknownTopicOrPartition | Code::UnknownTopic)
            );
            // A broker that has just started does not know all topics yet.
            if unknown && began.elapsed() > UNKNOWN_FOR {
                return Err(AdminError::NoPartition { partition: to });
            }
            let failed = self.attempt.failed(&error);
            if !matches!(failed, BrokerError::Unavailable { .. }) || began.elapsed() > DELIVERY_TIMEOUT {
                return Err(failed.into());
            }
            std::thread::sleep(RETRY_AFTER);
        }
    }

    fn flush(&self) -> Result<(), BrokerError> {
        self.producer
            .flush(DELIVERY_TIMEOUT)
            .map_err(|error| self.attempt.failed(&error))?;
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Ok(()),
            Some((to, error)) => Err(self.attempt.rejected(format!("{to}: {}", failure::text(&error)))),
        }
    }
}
