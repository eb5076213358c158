//! Transactions: the outputs of many tasks, and their positions, in one.
//!
//! One thread has the producer. Whoever commits hands its outputs over and waits; what came together meanwhile goes into one transaction, up to a
//! size, so that commits share what a transaction costs and no reader is held back long.
//!
//! What became of a transaction is never guessed. An error that asks for an abort is answered by one, and the transaction is made again if the tasks are
//! still ours. Where only the brokers know, the producer is dropped; a new one under the same transactional id makes them finish what was begun, and the
//! committed positions then tell.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientContext, Message, TopicPartitionList};

use crate::bus::error::BusError;
use crate::bus::kafka::client::{RateLimit, Told};
use crate::bus::kafka::consumer::place;
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::member::Member;
use crate::bus::kafka::{Brokers, failure, position};
use crate::bus::position::{Position, TaskId};
use crate::core::contract::appends::Outputs;
use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};

/// A transaction takes on more commits until it has this many bytes.
const TRANSACTION_BYTES: usize = 8 << 20;
/// How long one request of a transaction is waited for before it is asked again; a stop is noticed that soon.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a call of librdkafka about a transaction is waited for at all. Past the brokers' own time-out for transactions, it comes to nothing.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(15);
/// Why nothing is known of a commit at the end.
const TOLD_TO_STOP: &str = "the process was told to stop";
/// How long the brokers are left alone after a transaction that failed.
const PAUSE: Duration = Duration::from_millis(50);

/// What is to be committed, and who waits for it.
struct Request {
    task: TaskId,
    outputs: Outputs,
    position: Position,
    metadata: String,
    answer: SyncSender<Result<(), BusError>>,
}

/// Commits, from many threads.
pub(super) struct Publisher {
    /// `None` once it is closed.
    requests: Mutex<Option<Sender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Publisher {
    /// Starts the thread that has the producer.
    pub(super) fn new(brokers: Arc<Brokers>, member: Arc<Member>, stop: Arc<AtomicBool>) -> Result<Self, BusError> {
        let (requests, queue) = channel();
        let worker = Worker {
            means: Means {
                transactional_id: brokers.transactional_id.clone(),
                brokers,
                member,
                stop,
                seldom: Arc::default(),
            },
            producer: None,
        };
        let thread = std::thread::Builder::new()
            .name("kafka publisher".into())
            .spawn(move || worker.work(&queue))
            .map_err(BusError::io("start a thread for", "kafka transactions"))?;
        Ok(Self {
            requests: Mutex::new(Some(requests)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Appends `outputs` and moves `task` to `position`; returns when both are done, or nothing is.
    pub(super) fn commit(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), BusError> {
        let closed = || BusError::NotOurs { task };
        let (answer, outcome) = sync_channel(1);
        let request = Request {
            task,
            metadata: position::write(task, position)?,
            outputs: outputs.clone(),
            position: position.clone(),
            answer,
        };
        {
            let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests
                .as_ref()
                .ok_or_else(closed)?
                .send(request)
                .map_err(|_| closed())?;
        }
        outcome.recv().map_err(|_| closed())?
    }

    /// Finishes what is under way.
    pub(super) fn close(&self) {
        drop(self.requests.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic in it has been told by then.
            let _ = thread.join();
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the producer tells: which record could not be delivered, above all.
#[derive(Default)]
struct Delivery {
    told: Told,
    failed: Mutex<Option<(Option<Topic>, usize, KafkaError)>>,
}

impl ClientContext for Delivery {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.told.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(Code::Fatal) {
            self.told.error(&error, reason);
        }
    }
}

impl ProducerContext<NoCustomPartitioner> for Delivery {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            // What an abort swept away is no failure of its own.
            if matches!(error.rdkafka_error_code(), Some(Code::PurgeQueue | Code::PurgeInflight)) {
                return;
            }
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| (Topic::from_name(message.topic()), message.payload_len(), error.clone()));
        }
    }
}

type Transactional = ThreadedProducer<Delivery>;

/// How an attempt at a transaction ended without success.
enum Failed {
    /// Nothing was done, and it can be tried again.
    Again(String),
    /// Nothing was done; the task of this partition is not ours any more.
    NotOurs(TopicPartition),
    /// Nothing was done, and trying again does not help.
    Refused(BusError),
    /// Nobody here knows.
    Unsettled(String),
}

/// What a transaction needs but its producer.
#[derive(Clone)]
struct Means {
    transactional_id: String,
    brokers: Arc<Brokers>,
    member: Arc<Member>,
    stop: Arc<AtomicBool>,
    seldom: Arc<RateLimit>,
}

struct Worker {
    means: Means,
    producer: Option<Transactional>,
}

impl Worker {
    fn work(mut self, queue: &Receiver<Request>) {
        while let Ok(first) = queue.recv() {
            let mut bytes = first.outputs.bytes();
            let mut group = vec![Arc::new(first)];
            while bytes < TRANSACTION_BYTES
                && let Ok(next) = queue.try_recv()
            {
                bytes += next.outputs.bytes();
                group.push(Arc::new(next));
            }
            let began = Instant::now();
            let commits = group.len();
            self.settle(group);
            tracing::trace!(
                "a transaction of {commits} commits, {bytes} bytes, took {} ms",
                began.elapsed().as_millis()
            );
        }
    }

    /// Brings a group of commits to an end, each with its answer.
    fn settle(&mut self, mut group: Vec<Arc<Request>>) {
        let began = Instant::now();
        while !group.is_empty() {
            if self.means.stopped() && began.elapsed() > PATIENCE {
                // Whether it took place is looked up by whoever has the tasks next.
                self.producer = None;
                answer(group, |task| BusError::Unsettled {
                    task,
                    why: TOLD_TO_STOP.into(),
                });
                return;
            }
            match self.attempt(&group) {
                Ok(()) => {
                    for request in group {
                        // Whoever asked may have gone.
                        let _ = request.answer.send(Ok(()));
                    }
                    return;
                }
                Err(Failed::Again(why)) => {
                    if self.means.seldom.now(&why) {
                        tracing::warn!("a transaction was not committed and is made again: {why}");
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(Failed::NotOurs(home)) => {
                    let (gone, rest) = group.into_iter().partition(|request| request.task.home() == home);
                    group = rest;
                    answer(gone, |task| BusError::NotOurs { task });
                }
                Err(Failed::Refused(error)) => {
                    if group.len() > 1 {
                        // One of them is the cause; the others need not suffer for it.
                        for request in group {
                            self.settle(vec![request]);
                        }
                        return;
                    }
                    let mut error = Some(error);
                    for request in group {
                        let refused = error.take().unwrap_or(BusError::NotOurs { task: request.task });
                        let _ = request.answer.send(Err(refused));
                    }
                    return;
                }
                Err(Failed::Unsettled(why)) => {
                    tracing::warn!("whether a transaction was committed is looked up: {why}");
                    self.look_up(group, &why);
                    return;
                }
            }
        }
    }

    /// Makes the brokers finish what was begun, and reads from the committed positions what came of it.
    fn look_up(&mut self, group: Vec<Arc<Request>>, why: &str) {
        loop {
            let failed = match self.guarded(Means::producer) {
                Ok(producer) => break self.producer = Some(producer),
                Err(failed) => failed,
            };
            if self.means.stopped() {
                return answer(group, |task| BusError::Unsettled {
                    task,
                    why: why.to_owned(),
                });
            }
            let (Failed::Again(said) | Failed::Unsettled(said)) = failed else {
                // Not ours, or refused for good: whoever takes the tasks up next finds out.
                break;
            };
            if self.means.seldom.now(&said) {
                tracing::warn!("{said}");
            }
            std::thread::sleep(PAUSE);
        }
        for request in group {
            let task = request.task;
            let outcome = match self.means.brokers.committed(task) {
                Ok(Some(position)) if position == request.position => {
                    tracing::info!(%task, "the transaction had been committed");
                    Ok(())
                }
                _ => Err(BusError::Unsettled {
                    task,
                    why: why.to_owned(),
                }),
            };
            let _ = request.answer.send(outcome);
        }
    }

    /// One transaction with all of the group. The producer is kept if it was committed, and not used again otherwise: a new one under the same id
    /// makes the brokers finish whatever the old one had begun.
    fn attempt(&mut self, group: &[Arc<Request>]) -> Result<(), Failed> {
        let producer = self.producer.take();
        let group = group.to_vec();
        let producer = self.guarded(move |means| means.transaction(producer, &group))?;
        self.producer = Some(producer);
        Ok(())
    }

    /// Does `work` on a thread of its own and waits for it, but not for ever: librdkafka's calls about transactions have been seen not to return
    /// after a coordinator went away, whatever time-out they were given. One that is given up can do nothing more, as the next producer
    /// under the same id fences it.
    fn guarded(
        &self,
        work: impl FnOnce(&Means) -> Result<Transactional, Failed> + Send + 'static,
    ) -> Result<Transactional, Failed> {
        let (sender, outcome) = sync_channel(1);
        let means = self.means.clone();
        std::thread::Builder::new()
            .name("kafka transaction".into())
            .spawn(move || {
                // Whoever waited may have given up; the producer goes then.
                let _ = sender.send(work(&means));
            })
            .map_err(|error| Failed::Again(format!("no thread for a transaction: {error}")))?;
        outcome.recv_timeout(GIVEN_UP_AFTER).unwrap_or_else(|_| {
            Err(Failed::Unsettled(format!(
                "nothing was heard of it for {} s",
                GIVEN_UP_AFTER.as_secs()
            )))
        })
    }
}

impl Means {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A new producer, known to the brokers.
    fn producer(&self) -> Result<Transactional, Failed> {
        let attempt = self.attempt_of("start a producer", self.needs_of_producer());
        let config = self
            .brokers
            .settings
            .producer(&self.transactional_id)
            .map_err(Failed::Refused)?;
        let producer: Transactional = config
            .create_with_context(Delivery::default())
            .map_err(|error| Failed::Refused(attempt.failed(&error)))?;
        match producer.init_transactions(PATIENCE) {
            Ok(()) => Ok(producer),
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {
                Err(Failed::Again(format!("the producer is not ready yet: {error}")))
            }
            Err(error) => Err(match attempt.failed(&error) {
                BusError::Kafka { why, .. } | BusError::Unavailable { why, .. } => Failed::Again(why),
                other => Failed::Refused(other),
            }),
        }
    }

    fn attempt_of(&self, action: &str, needs: String) -> Attempt<'static> {
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

    /// The access whose lack makes a transaction with all of the group end like this.
    fn needs_of(&self, group: &[Arc<Request>], error: &KafkaError) -> String {
        match error.rdkafka_error_code() {
            // Which one of them, librdkafka does not say.
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

    /// One transaction with all of the group; the producer, to use again.
    fn transaction(&self, producer: Option<Transactional>, group: &[Arc<Request>]) -> Result<Transactional, Failed> {
        let producer = match producer {
            Some(producer) => producer,
            None => self.producer()?,
        };
        // Nothing of this transaction has gone out if it cannot be begun.
        producer
            .begin_transaction()
            .map_err(|error| Failed::Again(error.to_string()))?;
        match self.fill(&producer, group) {
            Ok(()) => Ok(producer),
            Err(failed) => {
                // Sooner than the next producer does it; that one makes sure.
                if !matches!(failed, Failed::Unsettled(_))
                    && let Err(error) = producer.abort_transaction(PATIENCE)
                {
                    tracing::debug!("a transaction could not be aborted, a new producer does it: {error}");
                }
                Err(failed)
            }
        }
    }

    /// Everything after the begin. Whatever comes back but `Unsettled` leaves a transaction to abort.
    fn fill(&self, producer: &Transactional, group: &[Arc<Request>]) -> Result<(), Failed> {
        for request in group {
            for (to, key, value) in request.outputs.iter() {
                send(producer, to, key, value, &self.stop)?;
            }
        }
        let homes: Vec<TopicPartition> = group.iter().map(|request| request.task.home()).collect();
        let mut offsets = TopicPartitionList::new();
        for request in group {
            let home = request.task.home();
            let offset = i64::try_from(request.position.offset(home)).unwrap_or(i64::MAX);
            let (topic, number) = place(home);
            let mut element = offsets.add_partition(topic, number);
            element
                .set_offset(Offset::Offset(offset))
                .map_err(|error| Failed::Again(error.to_string()))?;
            element.set_metadata(&request.metadata);
        }
        loop {
            // What is asked under the newest generation must be ours under it.
            let generation = self.member.generation(&homes).map_err(Failed::NotOurs)?;
            match producer.send_offsets_to_transaction(&offsets, &generation, PATIENCE) {
                Ok(()) => break,
                Err(error) => self.failed(producer, group, &error, "commit positions", false)?,
            }
        }
        until_delivered(producer);
        loop {
            match producer.commit_transaction(rdkafka::util::Timeout::Never) {
                Ok(()) => return Ok(()),
                Err(error) => self.failed(producer, group, &error, "commit a transaction", true)?,
            }
        }
    }

    /// Judges an error of a transaction: `Ok` to ask again.
    fn failed(
        &self,
        producer: &Transactional,
        group: &[Arc<Request>],
        error: &KafkaError,
        action: &str,
        committing: bool,
    ) -> Result<(), Failed> {
        let KafkaError::Transaction(inner) = error else {
            return Err(Failed::Unsettled(error.to_string()));
        };
        if inner.is_retriable() {
            tracing::debug!("{action}: {error}; asked again");
            return if self.stopped() {
                Err(Failed::Unsettled(TOLD_TO_STOP.into()))
            } else {
                Ok(())
            };
        }
        let why = format!("{action}: {}", inner.string());
        if inner.txn_requires_abort() && !inner.is_fatal() {
            let first = producer
                .context()
                .failed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some((topic, bytes, error)) = first {
                return Err(self.undelivered(topic, bytes, &error));
            }
            let attempt = self.attempt_of(action, self.needs_of(group, error));
            return Err(match attempt.failed(error) {
                error @ BusError::Unauthorised { .. } => Failed::Refused(error),
                _ => Failed::Again(why),
            });
        }
        if inner.is_fatal() && !committing {
            // The commit was not asked for: what was begun is aborted by whoever uses the id next.
            return Err(Failed::Again(why));
        }
        Err(Failed::Unsettled(why))
    }

    fn undelivered(&self, topic: Option<Topic>, bytes: usize, error: &KafkaError) -> Failed {
        match (topic, error.rdkafka_error_code()) {
            (Some(topic), Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge)) => {
                Failed::Refused(BusError::TooLarge { topic, bytes })
            }
            (Some(topic), Some(code)) if failure::is_authorisation(code) => {
                let attempt = self.attempt_of(&format!("write to {topic}"), needs_to_write(topic.name()));
                Failed::Refused(attempt.failed(error))
            }
            (Some(topic), Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)) => {
                Failed::Refused(BusError::NoTopic {
                    topic,
                    hint: "run `softstake topics --create`",
                })
            }
            _ => Failed::Again(failure::text(error)),
        }
    }
}

/// Waits until all records are delivered or have failed. `commit_transaction` would do it, too, but looks only every 100 ms.
fn until_delivered(producer: &Transactional) {
    let began = Instant::now();
    while producer.in_flight_count() > 0 && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn needs_to_write(topic: &str) -> String {
    format!("--operation Write --topic {topic}")
}

fn answer(group: Vec<Arc<Request>>, error: impl Fn(TaskId) -> BusError) {
    for request in group {
        let _ = request.answer.send(Err(error(request.task)));
    }
}

/// Hands a record to the producer.
fn send(
    producer: &Transactional,
    to: TopicPartition,
    key: &[u8],
    value: &[u8],
    stop: &AtomicBool,
) -> Result<(), Failed> {
    let (topic, number) = place(to);
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(value);
    if !key.is_empty() {
        record = record.key(key);
    }
    // What others read by key goes where the key says; what only we read, and the decisions' one order, where we say.
    let by_key = to.topic.kind() == TopicKind::Output && to.topic != Topic::Decisions && !key.is_empty();
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
                return Err(Failed::Refused(BusError::TooLarge {
                    topic: to.topic,
                    bytes: value.len() + key.len(),
                }));
            }
            Err((error, _)) => return Err(Failed::Again(failure::text(&error))),
        }
    }
}
