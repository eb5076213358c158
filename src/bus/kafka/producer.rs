//! The transactional producer: one transaction with the outputs and positions of a group of commits.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;
use rdkafka::util::Timeout;
use rdkafka::{ClientContext, Message, TopicPartitionList};

use crate::bus::error::{BrokerError, CommitError};
use crate::bus::kafka::brokers::Brokers;
use crate::bus::kafka::client::{ClientLog, RateLimit};
use crate::bus::kafka::cloud_events::published_headers;
use crate::bus::kafka::consumer::{kafka_partition, to_kafka};
use crate::bus::kafka::failure;
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::member::Member;
use crate::bus::kafka::reasons::join;
use crate::bus::pending::CommitOutcome;
use crate::bus::position::{Position, TaskId};
use crate::core::contract::appends::Outputs;
use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};

/// Time-out of one request of a transaction. After it, the request is repeated, or the process stops if it has to.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Why the outcome of a commit is unknown when the process stops.
pub(super) const TOLD_TO_STOP: &str = "the process was told to stop";

/// A commit, with the channel for its outcome.
pub(super) struct CommitRequest {
    pub(super) task: TaskId,
    pub(super) outputs: Arc<Outputs>,
    pub(super) position: Position,
    /// `position` as Kafka keeps it.
    pub(super) metadata: String,
    pub(super) reply: SyncSender<CommitOutcome>,
}

/// A record that was not delivered.
pub(super) struct Undelivered {
    /// `None` if the topic is not one of ours.
    topic: Option<Topic>,
    bytes: usize,
    error: KafkaError,
}

/// The producer's context. It keeps the first record that was not delivered.
pub(super) struct Deliveries {
    log: ClientLog,
    pub(super) undelivered: Mutex<Option<Undelivered>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(Code::Fatal) {
            self.log.error(&error, reason);
        }
    }
}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            // An abort purges records. That is no failure of its own.
            if matches!(error.rdkafka_error_code(), Some(Code::PurgeQueue | Code::PurgeInflight)) {
                return;
            }
            let mut undelivered = self.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
            undelivered.get_or_insert_with(|| Undelivered {
                topic: Topic::from_name(message.topic()),
                bytes: message.payload_len(),
                error: error.clone(),
            });
        }
    }
}

pub(super) type TransactionalProducer = ThreadedProducer<Deliveries>;

/// How a transaction failed.
pub(super) enum TransactionError {
    /// Nothing was committed, and a new attempt may succeed.
    Again(String),
    /// Nothing was committed: this process no longer runs the task of this partition.
    NotOurs(TopicPartition),
    /// Nothing was committed, and a new attempt fails, too.
    Rejected(CommitError),
    /// Only the brokers know whether it was committed.
    Unconfirmed(String),
}

use TransactionError::{Again, NotOurs, Rejected, Unconfirmed};

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Again(why) | Unconfirmed(why) => f.write_str(why),
            NotOurs(home) => write!(f, "this process no longer runs the task of {home}"),
            Rejected(error) => error.fmt(f),
        }
    }
}

/// Everything that a transaction needs, but the producer.
#[derive(Clone)]
pub(super) struct Transactor {
    pub(super) transactional_id: String,
    pub(super) brokers: Arc<Brokers>,
    pub(super) member: Arc<Member>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) rate_limit: Arc<RateLimit>,
}

impl Transactor {
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn is_transactional(&self) -> bool {
        self.brokers.settings.is_transactional
    }

    /// A new producer, registered with the brokers: they fence its predecessor, and end that one's transaction if it is open. If its commit
    /// was requested, they complete the commit; otherwise they abort.
    pub(super) fn producer(&self) -> Result<TransactionalProducer, TransactionError> {
        let attempt = self.attempt("start a producer", self.needs_of_producer());
        let config = self.brokers.settings.producer(&self.transactional_id);
        let config = config.map_err(|error| Rejected(error.into()))?;
        let context = Deliveries {
            log: ClientLog::new(&self.brokers.reasons),
            undelivered: Mutex::default(),
        };
        let producer: TransactionalProducer = config
            .create_with_context(context)
            .map_err(|error| Rejected(attempt.failed(&error).into()))?;
        if !self.is_transactional() {
            return Ok(producer);
        }
        let began = Instant::now();
        // Without a connection yet, librdkafka looks for the coordinator again only after 500 ms. With the id of the cluster there is one.
        // Whatever goes wrong here goes wrong below as well, and is told there.
        let _ = producer.client().fetch_cluster_id(REQUEST_TIMEOUT);
        match producer.init_transactions(REQUEST_TIMEOUT.saturating_sub(began.elapsed())) {
            Ok(()) => Ok(producer),
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {
                let mut why = format!("the producer is not ready yet: {error}");
                let lately = self.brokers.reasons.lately();
                if !lately.is_empty() {
                    why = format!("{why}: {}", join(&lately));
                }
                Err(Again(why))
            }
            Err(error) => Err(match self.brokers.failed(&attempt, &error) {
                BrokerError::Rejected { why, .. } | BrokerError::Unavailable { why, .. } => Again(why),
                error @ BrokerError::Unauthenticated { .. } => Again(error.to_string()),
                other => Rejected(other.into()),
            }),
        }
    }

    fn attempt(&self, action: &str, needs: String) -> Attempt<'static> {
        Attempt {
            action: action.to_owned(),
            brokers: "[kafka] brokers",
            needs,
        }
    }

    fn needs_of_producer(&self) -> String {
        format!(
            "--operation Write --operation Describe --transactional-id {}",
            self.transactional_id
        )
    }

    /// The access that is missing when a transaction of `group` fails with `error`.
    fn needs_of(&self, group: &[Arc<CommitRequest>], error: &KafkaError) -> String {
        match error.rdkafka_error_code() {
            // librdkafka does not say which of the topics.
            Some(Code::TopicAuthorizationFailed) => {
                let written = group.iter().flat_map(|request| request.outputs.iter());
                let topics: BTreeSet<_> = written.map(|(to, _, _)| to.topic.name()).collect();
                let needs = topics.iter().map(|topic| needs_to_write(topic));
                needs.collect::<Vec<_>>().join(", ")
            }
            Some(Code::GroupAuthorizationFailed) => {
                format!("--operation Read --group {}", self.brokers.settings.deployment)
            }
            _ => self.needs_of_producer(),
        }
    }

    /// Commits all of `group` in one transaction. Returns the producer for the next one.
    pub(super) fn transaction(
        &self,
        producer: TransactionalProducer,
        group: &[Arc<CommitRequest>],
    ) -> Result<TransactionalProducer, TransactionError> {
        if !self.is_transactional() {
            return self.publish_then_commit(producer, group);
        }
        // A transaction that cannot begin has sent nothing.
        producer.begin_transaction().map_err(|error| Again(error.to_string()))?;
        match self.send_and_commit(&producer, group) {
            Ok(()) => Ok(producer),
            Err(failed) => {
                // The next producer makes sure of the abort. This is only sooner.
                if !matches!(failed, Unconfirmed(_))
                    && let Err(error) = producer.abort_transaction(REQUEST_TIMEOUT)
                {
                    tracing::debug!("cannot abort a transaction, so the next producer does it: {error}");
                }
                Err(failed)
            }
        }
    }

    /// Every error but `Unconfirmed` leaves a transaction to abort.
    fn send_and_commit(
        &self,
        producer: &TransactionalProducer,
        group: &[Arc<CommitRequest>],
    ) -> Result<(), TransactionError> {
        let homes: Vec<TopicPartition> = group.iter().map(|request| request.task.home()).collect();
        let offsets = offsets(group)?;
        // Positions first. While the brokers finish the last transaction, they reject what begins the next one. librdkafka repeats the request for
        // positions after `retry.backoff.ms`, but the one for the partitions of records only after 20 ms, whatever is set.
        loop {
            // Asked again for each attempt: the tasks must be ours in the newest generation.
            let generation = self.member.generation(&homes).map_err(NotOurs)?;
            match producer.send_offsets_to_transaction(&offsets, &generation, REQUEST_TIMEOUT) {
                Ok(()) => break,
                Err(error) => self.classify(producer, group, &error, "commit positions", false)?,
            }
        }
        for request in group {
            for (to, key, value) in request.outputs.iter() {
                send(producer, to, key, value, &self.stop)?;
            }
        }
        wait_until_delivered(producer);
        loop {
            // `with_timeout` bounds it.
            match producer.commit_transaction(Timeout::Never) {
                Ok(()) => return Ok(()),
                Err(error) => self.classify(producer, group, &error, "commit a transaction", true)?,
            }
        }
    }

    /// What an error of a transaction means; `Ok` if the same producer repeats the request.
    fn classify(
        &self,
        producer: &TransactionalProducer,
        group: &[Arc<CommitRequest>],
        error: &KafkaError,
        action: &str,
        committing: bool,
    ) -> Result<(), TransactionError> {
        let KafkaError::Transaction(inner) = error else {
            return Err(Unconfirmed(error.to_string()));
        };
        if inner.is_retriable() {
            tracing::debug!("{action}: {error}; trying again");
            return if self.is_stopped() {
                Err(Unconfirmed(TOLD_TO_STOP.into()))
            } else {
                Ok(())
            };
        }
        let why = format!("{action}: {}", inner.string());
        if inner.txn_requires_abort() && !inner.is_fatal() {
            let undelivered = &producer.context().undelivered;
            let first = undelivered.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(first) = first {
                return Err(self.not_delivered(&first));
            }
            let attempt = self.attempt(action, self.needs_of(group, error));
            return Err(match attempt.failed(error) {
                error @ BrokerError::Unauthorised { .. } => Rejected(error.into()),
                // The request to commit may have been sent, so librdkafka's word alone does not prove that nothing was committed.
                _ if committing => Unconfirmed(why),
                _ => Again(why),
            });
        }
        if inner.is_fatal() && !committing {
            // No commit was requested yet, so the next producer of this id aborts the transaction.
            return Err(Again(why));
        }
        Err(Unconfirmed(why))
    }

    pub(super) fn not_delivered(&self, record: &Undelivered) -> TransactionError {
        match (record.topic, record.error.rdkafka_error_code()) {
            (Some(topic), Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge)) => {
                let bytes = record.bytes;
                Rejected(CommitError::TooLarge { topic, bytes })
            }
            (Some(topic), Some(code)) if failure::is_authorisation(code) => {
                let attempt = self.attempt(&format!("write to {topic}"), needs_to_write(topic.name()));
                Rejected(attempt.failed(&record.error).into())
            }
            (Some(topic), Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)) => {
                Rejected(CommitError::NoTopic { topic })
            }
            _ => Again(failure::text(&record.error)),
        }
    }
}

/// The positions of a group of commits, as Kafka keeps them.
pub(super) fn offsets(group: &[Arc<CommitRequest>]) -> Result<TopicPartitionList, TransactionError> {
    let mut offsets = TopicPartitionList::new();
    for request in group {
        let home = request.task.home();
        let offset = to_kafka(request.position.offset(home));
        let (topic, number) = kafka_partition(home);
        let mut element = offsets.add_partition(topic, number);
        element
            .set_offset(Offset::Offset(offset))
            .map_err(|error| Again(error.to_string()))?;
        element.set_metadata(&request.metadata);
    }
    Ok(offsets)
}

/// Waits until each record is delivered or has failed. `commit_transaction` would wait as well, but checks only every 100 ms.
pub(super) fn wait_until_delivered(producer: &TransactionalProducer) {
    let began = Instant::now();
    while producer.in_flight_count() > 0 && began.elapsed() < REQUEST_TIMEOUT {
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn needs_to_write(topic: &str) -> String {
    format!("--operation Write --topic {topic}")
}

/// Hands a record to the producer.
pub(super) fn send(
    producer: &TransactionalProducer,
    to: TopicPartition,
    key: &[u8],
    value: &[u8],
    stop: &AtomicBool,
) -> Result<(), TransactionError> {
    let (topic, number) = kafka_partition(to);
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(value);
    if !key.is_empty() {
        record = record.key(key);
    }
    // On topics that others read by key, the key chooses the partition. On inner topics, and for the one order of decisions, we do.
    let is_output = to.topic.kind() == TopicKind::Output;
    if is_output {
        record = record.headers(published_headers());
    }
    let by_key = is_output && to.topic != Topic::Decisions && !key.is_empty();
    if !by_key {
        record = record.partition(number);
    }
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(Code::QueueFull), back)) if !stop.load(Ordering::Relaxed) => {
                record = back;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err((KafkaError::MessageProduction(Code::MessageSizeTooLarge), _)) => {
                return Err(Rejected(CommitError::TooLarge {
                    topic: to.topic,
                    bytes: value.len() + key.len(),
                }));
            }
            Err((error, _)) => return Err(Again(failure::text(&error))),
        }
    }
}
