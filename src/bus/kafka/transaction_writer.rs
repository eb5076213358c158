//! Writes several records in one transaction, for commands: readers see all of them or none.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};

use crate::bus::error::{BrokerError, OpenError};
use crate::bus::kafka::client::ClientLog;
use crate::bus::kafka::cloud_events::published_headers;
use crate::bus::kafka::consumer::kafka_partition;
use crate::bus::kafka::contact::{Patience, reach};
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::settings::KafkaSettings;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// Time-out of one request; it is repeated until the time of the whole is over.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// What the transactional id of a command ends with. No instance has a colon in its name by accident.
const ID: &str = "redrive:command";

/// A writer of transactions. There is one at a time: a new one fences the one before it, and ends its transaction.
pub struct TransactionWriter {
    producer: ThreadedProducer<WriterContext>,
    brokers: String,
    id: String,
    timeout: Duration,
}

impl TransactionWriter {
    /// Registers with the brokers. What an earlier writer of the deployment had begun is committed or aborted when this returns.
    ///
    /// # Errors
    /// If the brokers cannot be reached or refuse, within `timeout`.
    pub fn begin(settings: &KafkaSettings, timeout: Duration) -> Result<Self, OpenError> {
        let patience = Patience {
            stop: &AtomicBool::new(false),
            timeout: Some(timeout),
        };
        reach(settings, &patience)?;
        let id = format!("{}.{ID}", settings.deployment);
        let context = WriterContext::default();
        let attempt = Attempt::new("start a producer", &settings.brokers, needs_of_producer(&id));
        let producer: ThreadedProducer<WriterContext> = settings
            .producer(&id)?
            .create_with_context(context)
            .map_err(|error| attempt.failed(&error))?;
        repeated(timeout, || producer.init_transactions(REQUEST_TIMEOUT)).map_err(|error| attempt.failed(&error))?;
        Ok(Self {
            producer,
            brokers: settings.brokers.clone(),
            id,
            timeout,
        })
    }

    /// Writes these records: all or none. Returns their offsets.
    ///
    /// # Errors
    /// If nothing was written, or if it is not known whether the transaction was committed. The message says which.
    pub fn write(&self, records: &[(TopicPartition, &[u8])]) -> Result<Vec<Offset>, BrokerError> {
        let topics: Vec<String> = records.iter().map(|(to, _)| format!("--topic {}", to.topic)).collect();
        let needs = format!(
            "--operation Write {}, {}",
            topics.join(" "),
            needs_of_producer(&self.id)
        );
        let attempt = Attempt::new("write a transaction", &self.brokers, needs);
        let failed = |error: &KafkaError| attempt.failed(error);
        self.deliveries().clear();
        self.producer.begin_transaction().map_err(|error| failed(&error))?;
        for (index, (to, record)) in records.iter().enumerate() {
            let (topic, number) = kafka_partition(*to);
            let out = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, index)
                .partition(number)
                .headers(published_headers())
                .payload(*record);
            if let Err((error, _)) = self.producer.send(out) {
                return Err(self.aborted(failed(&error)));
            }
        }
        if let Err(error) = repeated(self.timeout, || self.producer.commit_transaction(REQUEST_TIMEOUT)) {
            let undelivered = self.deliveries().iter().find_map(|(_, offset)| offset.clone().err());
            // Only a transaction that must be aborted was certainly not committed.
            return Err(match (&error, undelivered) {
                (_, Some(undelivered)) => self.aborted(failed(&undelivered)),
                (KafkaError::Transaction(inner), None) if inner.txn_requires_abort() => self.aborted(failed(&error)),
                _ => attempt.rejected(format!(
                    "{error}; it is not known whether it was written: run the command again, which finds out and writes nothing twice"
                )),
            });
        }
        let mut offsets: Vec<(usize, Offset)> = Vec::new();
        for (index, offset) in self.deliveries().iter() {
            offsets.push((*index, offset.clone().map_err(|error| failed(&error))?));
        }
        offsets.sort_unstable();
        Ok(offsets.into_iter().map(|(_, offset)| offset).collect())
    }

    /// Aborts the transaction. The next writer makes sure of it; this is only sooner.
    fn aborted(&self, error: BrokerError) -> BrokerError {
        if let Err(error) = self.producer.abort_transaction(REQUEST_TIMEOUT) {
            tracing::debug!("cannot abort a transaction, so the next producer does it: {error}");
        }
        error
    }

    fn deliveries(&self) -> std::sync::MutexGuard<'_, Deliveries> {
        let delivered = &self.producer.context().delivered;
        delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Repeats a request while it may still succeed.
fn repeated(timeout: Duration, request: impl Fn() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let began = Instant::now();
    loop {
        match request() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && began.elapsed() < timeout => {}
            outcome => return outcome,
        }
    }
}

fn needs_of_producer(id: &str) -> String {
    format!("--operation Write --operation Describe --transactional-id {id}")
}

/// What became of each record of a transaction.
type Deliveries = Vec<(usize, Result<Offset, KafkaError>)>;

/// The producer's context.
#[derive(Default)]
struct WriterContext {
    log: ClientLog,
    delivered: Arc<Mutex<Deliveries>>,
}

impl ClientContext for WriterContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(Code::Fatal) {
            self.log.error(&error, reason);
        }
    }
}

impl ProducerContext<NoCustomPartitioner> for WriterContext {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let outcome = match result {
            Ok(message) => Ok(Offset::new(u64::try_from(message.offset()).unwrap_or_default())),
            // An abort purges records. That is no failure of its own.
            Err((error, _)) if matches!(error.rdkafka_error_code(), Some(Code::PurgeQueue | Code::PurgeInflight)) => {
                return;
            }
            Err((error, _)) => Err(error.clone()),
        };
        let mut delivered = self.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        delivered.push((index, outcome));
    }
}
