//! This process as a member of the deployment's consumer group.
//!
//! The group's consumer fetches no records: another consumer does, for all readers. The group's consumer is there for the assignment and its
//! generation. Every transaction carries the generation, and the brokers reject an old one (KIP-447). So a process that was away too long cannot
//! commit. [`Assignment`](crate::bus::kafka::assignment) tells what the process may do.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaRespErr;

use crate::bus::error::{MembershipError, OpenError};
use crate::bus::interface::Membership;
use crate::bus::kafka::assignment::{Assignment, Expelled, FOLLOWED};
use crate::bus::kafka::client::{ClientLog, RateLimit, Signal};
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::owners::owners;
use crate::bus::kafka::reasons::Reasons;
use crate::bus::kafka::settings::KafkaSettings;
use crate::bus::position::TaskId;
use crate::core::contract::topic::{Topic, TopicPartition};

/// Time-out of one poll of the group's consumer.
const POLL: Duration = Duration::from_millis(100);

pub(super) struct MemberContext {
    log: ClientLog,
    assignment: Arc<Assignment>,
    signal: Arc<Signal>,
    /// How long the callback may wait for tasks to close: half of the group's rebalance time-out.
    close_timeout: Duration,
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The next poll returns a fatal error as well.
        if error.rdkafka_error_code() != Some(Code::Fatal) {
            self.log.error(&error, reason);
        }
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let homes: Vec<TopicPartition> = partitions
            .elements()
            .iter()
            .filter_map(|element| home(element.topic(), element.partition()))
            .collect();
        let names = || homes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let outcome = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                tracing::info!("partitions assigned: {}", names());
                // This consumer fetches nothing, so any offset will do. With one, librdkafka does not look it up.
                let mut paused = TopicPartitionList::new();
                for element in partitions.elements() {
                    // Adding a partition at offset 0 cannot fail.
                    let _ = paused.add_partition_offset(element.topic(), element.partition(), Offset::Offset(0));
                }
                let assigned = consumer
                    .incremental_assign(&paused)
                    .and_then(|()| consumer.pause(&paused));
                self.assignment.grant(&homes, &membership(consumer), &self.signal);
                assigned
            }
            _ => {
                if consumer.assignment_lost() {
                    tracing::warn!(
                        "partitions lost, because this process was away too long, or their topics are gone: {}",
                        names()
                    );
                    self.assignment.lose(&homes, &self.signal);
                } else {
                    tracing::info!("partitions revoked: {}", names());
                    self.assignment.revoke(&homes, self.close_timeout, &self.signal);
                }
                consumer.incremental_unassign(partitions)
            }
        };
        if let Err(error) = outcome {
            tracing::error!("the group's consumer did not accept its assignment: {error}");
        }
    }
}

/// The id of this process in the group; empty while it has none.
fn membership(consumer: &BaseConsumer<MemberContext>) -> String {
    let client = consumer.client().native_ptr();
    // The client lives as long as `consumer`. The text ends in a zero, and we have to free it with librdkafka (rd_kafka_memberid(3)).
    #[allow(unsafe_code, reason = "rdkafka does not wrap this call")]
    unsafe {
        let text = rdkafka::bindings::rd_kafka_memberid(client);
        if text.is_null() {
            return String::new();
        }
        let id = CStr::from_ptr(text).to_string_lossy().into_owned();
        rdkafka::bindings::rd_kafka_mem_free(client, text.cast());
        id
    }
}

/// Whether the group's consumer has any partitions. During a rebalance librdkafka puts an `unsubscribe` off, and forgets it if a `subscribe` comes
/// first. The consumer would then keep partitions for which there is no grant any more, so that nobody runs their tasks.
fn has_partitions(consumer: &BaseConsumer<MemberContext>) -> bool {
    consumer.assignment().is_ok_and(|partitions| partitions.count() > 0)
}

fn home(topic: &str, partition: i32) -> Option<TopicPartition> {
    Some(Topic::from_name(topic)?.partition(u32::try_from(partition).ok()?))
}

pub(super) struct Member {
    consumer: Arc<BaseConsumer<MemberContext>>,
    assignment: Arc<Assignment>,
    signal: Arc<Signal>,
    settings: Arc<KafkaSettings>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    /// Creates the group's consumer, which does not join yet.
    pub(super) fn new(
        settings: Arc<KafkaSettings>,
        signal: Arc<Signal>,
        reasons: &Arc<Reasons>,
    ) -> Result<Self, OpenError> {
        let assignment = Arc::new(Assignment::default());
        let context = MemberContext {
            log: ClientLog::new(reasons),
            assignment: Arc::clone(&assignment),
            signal: Arc::clone(&signal),
            close_timeout: settings.rebalance_timeout() / 2,
        };
        let consumer: BaseConsumer<MemberContext> = settings
            .member()?
            .create_with_context(context)
            .map_err(|error| attempt(&settings).failed(&error))?;
        Ok(Self {
            consumer: Arc::new(consumer),
            assignment,
            signal,
            settings,
            stop: Arc::new(AtomicBool::new(false)),
            thread: None,
        })
    }

    /// Joins the group: assignments begin.
    pub(super) fn join(&mut self) -> Result<(), OpenError> {
        self.consumer
            .subscribe(&names(&FOLLOWED))
            .map_err(|error| attempt(&self.settings).failed(&error))?;
        let (consumer, assignment) = (Arc::clone(&self.consumer), Arc::clone(&self.assignment));
        let (signal, stop) = (Arc::clone(&self.signal), Arc::clone(&self.stop));
        let settings = Arc::clone(&self.settings);
        let thread = std::thread::Builder::new().name("kafka member".into()).spawn(move || {
            let rate_limit = RateLimit::default();
            let mut topics = names(&FOLLOWED);
            let mut resubscribed = settings.instance.is_none();
            while !stop.load(Ordering::Relaxed) {
                if !resubscribed && assignment.is_assigned() {
                    resubscribed = true;
                    // See `REBALANCE_TOPIC`. The cause of a failure is logged elsewhere.
                    topics = names(&[&FOLLOWED[..], &REBALANCE_TOPIC].concat());
                    if let Err(error) = consumer.subscribe(&topics) {
                        tracing::warn!("cannot ask the group for a rebalance: {error}");
                    }
                }
                if let Some(Err(error)) = consumer.poll(POLL) {
                    handle_error(&error, &consumer, &assignment, &signal, &settings, &rate_limit);
                }
                if assignment.take_must_rejoin(&membership(&consumer), &signal) {
                    tracing::warn!("the group may have evicted this process; it rejoins");
                    consumer.unsubscribe();
                    while (assignment.has_running_tasks() || has_partitions(&consumer)) && !stop.load(Ordering::Relaxed)
                    {
                        if let Some(Err(error)) = consumer.poll(POLL) {
                            handle_error(&error, &consumer, &assignment, &signal, &settings, &rate_limit);
                        }
                    }
                    if let Err(error) = consumer.subscribe(&topics) {
                        assignment.expel(Expelled::Rejected(format!("it cannot rejoin: {error}")), &signal);
                    }
                }
            }
        });
        self.thread = Some(thread.map_err(|source| OpenError::Thread {
            name: "kafka member",
            source,
        })?);
        Ok(())
    }

    /// The group's generation under which all of these tasks may commit; or else the first that may not.
    pub(super) fn generation(&self, homes: &[TopicPartition]) -> Result<ConsumerGroupMetadata, TopicPartition> {
        let first = homes.first().copied().unwrap_or(TaskId::DEPLOYMENT.home());
        let before = membership(&self.consumer);
        let generation = self.consumer.group_metadata().ok_or(first)?;
        // Ids are unique. So if the id is the same before and after, the generation belongs to this membership.
        let after = membership(&self.consumer);
        if before != after {
            return Err(first);
        }
        let grants = self.assignment.lock();
        match homes
            .iter()
            .find(|home| !Assignment::may_commit(&grants, **home, &after))
        {
            Some(home) => Err(*home),
            None => Ok(generation),
        }
    }

    /// A consumer that sees written ends (high watermarks).
    pub(super) fn consumer(&self) -> &BaseConsumer<MemberContext> {
        &self.consumer
    }

    /// The group's consumer, to be looked after.
    pub(super) fn shared_consumer(&self) -> &Arc<BaseConsumer<MemberContext>> {
        &self.consumer
    }

    fn error(&self, expelled: &Expelled) -> MembershipError {
        match expelled {
            Expelled::Replaced => MembershipError::Replaced {
                instance: self.settings.instance.clone().unwrap_or_else(|| "(unnamed)".into()),
                deployment: self.settings.deployment.clone(),
            },
            Expelled::Rejected(why) => attempt(&self.settings).rejected(why.clone()).into(),
        }
    }

    /// Stops polling. A static member keeps its place until its session expires.
    pub(super) fn leave(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread ends within a poll. A panic in it is already logged.
            let _ = thread.join();
        }
    }
}

impl Membership for Member {
    fn assigned(&self) -> Result<BTreeSet<TaskId>, MembershipError> {
        let grants = self.assignment.lock();
        match &grants.expelled {
            None => Ok(Assignment::to_run(&grants)),
            Some(expelled) => Err(self.error(expelled)),
        }
    }

    fn assignment(&self) -> u64 {
        self.assignment.version()
    }

    fn acquire(&self, task: TaskId) -> bool {
        self.assignment.acquire(task)
    }

    fn release(&self, task: TaskId) {
        self.assignment.release(task, &self.signal);
    }

    fn owners(&self) -> Result<BTreeMap<TaskId, String>, MembershipError> {
        let group = &self.settings.deployment;
        let attempt = Attempt::new(
            format!("look up the members of group {group}"),
            &self.settings.brokers,
            format!("--operation Describe --group {group}"),
        );
        owners(self.consumer.as_ref(), group).map_err(|error| attempt.failed(&error).into())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A returning static member subscribes to this extra topic only to force a rebalance.
///
/// Otherwise partitions could stay without an owner. A static member gives up partitions, and dies before it tells the group so. When it
/// returns under its name, the group gives it its old assignment without a rebalance. So no rebalance gives the partitions to another member.
const REBALANCE_TOPIC: [Topic; 1] = [Topic::Epochs];

fn names(topics: &[Topic]) -> Vec<&'static str> {
    topics.iter().map(|topic| topic.name()).collect()
}

fn attempt(settings: &KafkaSettings) -> Attempt<'_> {
    let group = &settings.deployment;
    Attempt::new(
        format!("work in consumer group {group}"),
        &settings.brokers,
        format!("--operation Read --group {group}"),
    )
}

/// Reacts to an error of the group's consumer.
fn handle_error(
    error: &KafkaError,
    consumer: &BaseConsumer<MemberContext>,
    assignment: &Assignment,
    signal: &Signal,
    settings: &KafkaSettings,
    rate_limit: &RateLimit,
) {
    let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
    let code = match error.rdkafka_error_code() {
        Some(Code::Fatal) => consumer.client().fatal_error().map(|(code, _)| code),
        code => code,
    };
    match code {
        Some(Code::FencedInstanceId | Code::UnreleasedInstanceId) => assignment.expel(Expelled::Replaced, signal),
        // A source topic may be created later. If one of ours is missing, its readers report it.
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {}
        // This consumer reads nothing, so its offsets do not matter.
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {}
        Some(Code::InconsistentGroupProtocol) => {
            let why = format!(
                "{error}: group {} has members of another program, or with other settings; give this deployment a name of its own",
                settings.deployment
            );
            assignment.expel(Expelled::Rejected(why), signal);
        }
        _ if fatal => {
            let why = consumer
                .client()
                .fatal_error()
                .map_or_else(|| error.to_string(), |(_, why)| why);
            assignment.expel(Expelled::Rejected(why), signal);
        }
        _ => {
            let error = match error.rdkafka_error_code() {
                Some(code @ Code::TopicAuthorizationFailed) => Attempt::new(
                    "follow the topics",
                    &settings.brokers,
                    "--operation Read --operation Describe --topic …",
                )
                .failed(&KafkaError::Global(code)),
                _ => attempt(settings).failed_after(error, &consumer.context().log.reasons),
            };
            if rate_limit.allows(&error.to_string()) {
                tracing::warn!("{error}");
            }
        }
    }
}
