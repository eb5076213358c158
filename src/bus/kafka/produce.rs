//! Writes one record to a topic, for commands: acknowledged by all replicas in sync, and not twice.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, NoCustomPartitioner, ProducerContext};

use crate::bus::error::OpenError;
use crate::bus::kafka::client::ClientLog;
use crate::bus::kafka::consumer::kafka_partition;
use crate::bus::kafka::contact::{Patience, reach};
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::settings::KafkaSettings;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// Pause between two looks for the acknowledgement.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// Writes `record` to `to`, and waits for the acknowledgement. Returns its offset.
///
/// The producer is idempotent, so a request that it repeats is written once. After a time-out it is not known whether the record was written.
///
/// # Errors
/// If the brokers cannot be reached, refuse, or do not acknowledge within `timeout`.
pub fn produce(
    settings: &KafkaSettings,
    to: TopicPartition,
    record: &[u8],
    timeout: Duration,
) -> Result<Offset, OpenError> {
    let patience = Patience {
        stop: &AtomicBool::new(false),
        timeout: Some(timeout),
    };
    reach(settings, &patience)?;
    let attempt = Attempt::new(
        format!("write to {to}"),
        &settings.brokers,
        format!("--operation Write --topic {}", to.topic),
    );
    let delivery_ms = timeout.as_millis().max(1_000).to_string();
    let config = settings.client(&[
        ("enable.idempotence", "true"),
        ("linger.ms", "0"),
        ("message.timeout.ms", &delivery_ms),
    ])?;
    let context = Delivery::default();
    let delivered = Arc::clone(&context.delivered);
    let producer: BaseProducer<Delivery> = config
        .create_with_context(context)
        .map_err(|error| attempt.failed(&error))?;
    let (topic, number) = kafka_partition(to);
    let out = BaseRecord::<[u8], [u8]>::to(topic).partition(number).payload(record);
    producer.send(out).map_err(|(error, _)| attempt.failed(&error))?;
    let began = Instant::now();
    loop {
        producer.poll(POLL_EVERY);
        let outcome = delivered.lock().unwrap_or_else(PoisonError::into_inner).take();
        match outcome {
            Some(Ok(offset)) => return Ok(offset),
            Some(Err(error)) => return Err(attempt.failed(&error).into()),
            // librdkafka gives up first.
            None if began.elapsed() > timeout.saturating_mul(2) => {
                return Err(attempt.unavailable("no acknowledgement").into());
            }
            None => {}
        }
    }
}

/// What became of the record.
type Delivered = Arc<Mutex<Option<Result<Offset, KafkaError>>>>;

/// The producer's context.
#[derive(Default)]
struct Delivery {
    log: ClientLog,
    delivered: Delivered,
}

impl ClientContext for Delivery {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Delivery {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let outcome = match result {
            Ok(message) => Ok(Offset::new(u64::try_from(message.offset()).unwrap_or_default())),
            Err((error, _)) => Err(error.clone()),
        };
        *self.delivered.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}
