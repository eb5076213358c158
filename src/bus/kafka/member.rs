//! This process as a member of the deployment's consumer group: which partitions it follows, and until when.
//!
//! The group's consumer fetches nothing; readers are consumers of their own. What it is for is the assignment, and its generation: a transaction
//! that commits a position carries it, and the brokers refuse one of a generation that has passed (KIP-447). So whatever a process tries that was
//! away too long, it cannot land.
//!
//! What the assignment allows is told by [`Assignment`](crate::bus::kafka::assignment).

use std::collections::BTreeSet;
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

use crate::bus::error::BusError;
use crate::bus::interface::Membership;
use crate::bus::kafka::assignment::{Assignment, Ended, FOLLOWED};
use crate::bus::kafka::client::{RateLimit, Signal, Told};
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::settings::KafkaSettings;
use crate::bus::position::TaskId;
use crate::core::contract::topic::{Topic, TopicPartition};

/// How long one poll of the group's consumer takes at most.
const POLL: Duration = Duration::from_millis(100);

/// What the group's consumer tells.
pub(super) struct MemberContext {
    told: Told,
    assignment: Arc<Assignment>,
    signal: Arc<Signal>,
    /// How long the callback may wait for tasks: half of what the group waits for a member.
    patience: Duration,
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.told.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // A fatal error comes with the next poll as well.
        if error.rdkafka_error_code() != Some(Code::Fatal) {
            self.told.error(&error, reason);
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
                tracing::info!("assigned: {}", names());
                // It fetches nothing, so where it would start does not matter; a place spares it the look-up.
                let mut paused = TopicPartitionList::new();
                for element in partitions.elements() {
                    // A partition with an offset of 0 can be added to any list.
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
                    tracing::warn!("lost, as this process was away too long: {}", names());
                    self.assignment.take_away(&self.signal);
                } else {
                    tracing::info!("asked back: {}", names());
                    self.assignment.ask_back(&homes, self.patience, &self.signal);
                }
                consumer.incremental_unassign(partitions)
            }
        };
        if let Err(error) = outcome {
            tracing::error!("the group's consumer did not take its assignment: {error}");
        }
    }
}

/// The id under which the group knows this process; empty while it does not.
fn membership(consumer: &BaseConsumer<MemberContext>) -> String {
    let client = consumer.client().native_ptr();
    // The client lives as long as `consumer`; the text is ours to free, by librdkafka's means, and ends in a zero (rd_kafka_memberid(3)).
    #[allow(unsafe_code, reason = "rdkafka has no call for it")]
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

fn home(topic: &str, partition: i32) -> Option<TopicPartition> {
    Some(Topic::from_name(topic)?.partition(u32::try_from(partition).ok()?))
}

/// This process in its group.
pub(super) struct Member {
    consumer: Arc<BaseConsumer<MemberContext>>,
    assignment: Arc<Assignment>,
    signal: Arc<Signal>,
    settings: Arc<KafkaSettings>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    /// Makes the group's consumer; it joins with [`Member::join`].
    pub(super) fn new(settings: Arc<KafkaSettings>, signal: Arc<Signal>) -> Result<Self, BusError> {
        let assignment = Arc::new(Assignment::default());
        let context = MemberContext {
            told: Told::default(),
            assignment: Arc::clone(&assignment),
            signal: Arc::clone(&signal),
            patience: settings.rebalance_timeout() / 2,
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

    /// Joins the group. From here on there are assignments.
    pub(super) fn join(&mut self) -> Result<(), BusError> {
        self.consumer
            .subscribe(&names(&FOLLOWED))
            .map_err(|error| attempt(&self.settings).failed(&error))?;
        let (consumer, assignment) = (Arc::clone(&self.consumer), Arc::clone(&self.assignment));
        let (signal, stop) = (Arc::clone(&self.signal), Arc::clone(&self.stop));
        let settings = Arc::clone(&self.settings);
        let thread = std::thread::Builder::new().name("kafka member".into()).spawn(move || {
            let seldom = RateLimit::default();
            let mut topics = names(&FOLLOWED);
            let mut settled = settings.instance.is_none();
            while !stop.load(Ordering::Relaxed) {
                if !settled && assignment.is_assigned() {
                    settled = true;
                    // See `RETURNED`. A subscription that cannot be changed now was not changed for a reason that is told elsewhere.
                    topics = names(&[&FOLLOWED[..], &RETURNED].concat());
                    if let Err(error) = consumer.subscribe(&topics) {
                        tracing::warn!("the group was not asked to share its partitions out anew: {error}");
                    }
                }
                if let Some(Err(error)) = consumer.poll(POLL) {
                    trouble(&error, &consumer, &assignment, &signal, &settings, &seldom);
                }
                if assignment.is_adrift(&membership(&consumer), &signal) {
                    tracing::warn!("this process may have been put out of the group; it joins anew");
                    consumer.unsubscribe();
                    while assignment.is_at_work() && !stop.load(Ordering::Relaxed) {
                        if let Some(Err(error)) = consumer.poll(POLL) {
                            trouble(&error, &consumer, &assignment, &signal, &settings, &seldom);
                        }
                    }
                    if let Err(error) = consumer.subscribe(&topics) {
                        assignment.end(Ended::Refused(format!("it cannot join anew: {error}")), &signal);
                    }
                }
            }
        });
        self.thread = Some(thread.map_err(BusError::io("start a thread for", "the consumer group"))?);
        Ok(())
    }

    /// Whether all of these tasks may commit, and the group's generation under which they may; or the first that may not.
    pub(super) fn generation(&self, homes: &[TopicPartition]) -> Result<ConsumerGroupMetadata, TopicPartition> {
        let first = homes.first().copied().unwrap_or(TaskId::DEPLOYMENT.home());
        let before = membership(&self.consumer);
        let generation = self.consumer.group_metadata().ok_or(first)?;
        // An id is never given out twice: the generation is of this membership if it is the same before and after.
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

    /// A consumer that sees ends as they are written.
    pub(super) fn consumer(&self) -> &BaseConsumer<MemberContext> {
        &self.consumer
    }

    fn error(&self, ended: &Ended) -> BusError {
        match ended {
            Ended::Replaced => BusError::Replaced {
                instance: self.settings.instance.clone().unwrap_or_else(|| "(unnamed)".into()),
                deployment: self.settings.deployment.clone(),
            },
            Ended::Refused(why) => attempt(&self.settings).refused(why.clone()),
        }
    }

    /// Leaves off following partitions; whoever is a static member keeps its place until the session ends.
    pub(super) fn leave(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends within a poll; a panic in it has been told by then.
            let _ = thread.join();
        }
    }
}

impl Membership for Member {
    fn assigned(&self) -> Result<BTreeSet<TaskId>, BusError> {
        let grants = self.assignment.lock();
        match &grants.ended {
            None => Ok(Assignment::wanted(&grants)),
            Some(ended) => Err(self.error(ended)),
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
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Followed besides by whoever has come back under its name, to no other end than that its subscription changes, and the group shares its partitions
/// out anew.
///
/// A member that dies between giving partitions up and saying so, and comes back under its name, is given what it had without a new round, and
/// the round in which the others would have got what it gave up never comes: nobody would have those partitions until something else happens.
const RETURNED: [Topic; 1] = [Topic::Epochs];

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

/// What the group's consumer cannot do.
fn trouble(
    error: &KafkaError,
    consumer: &BaseConsumer<MemberContext>,
    assignment: &Assignment,
    signal: &Signal,
    settings: &KafkaSettings,
    seldom: &RateLimit,
) {
    let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
    let code = match error.rdkafka_error_code() {
        Some(Code::Fatal) => consumer.client().fatal_error().map(|(code, _)| code),
        code => code,
    };
    match code {
        Some(Code::FencedInstanceId | Code::UnreleasedInstanceId) => assignment.end(Ended::Replaced, signal),
        // A source topic may come later; of ours, whoever needs it says so.
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {}
        // It reads nothing: where its paused partitions would start is no matter.
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {}
        Some(Code::InconsistentGroupProtocol) => {
            let why = format!(
                "{error}: members of group {} that are no softstake, or one with other settings; give this deployment a name of its own",
                settings.deployment
            );
            assignment.end(Ended::Refused(why), signal);
        }
        _ if fatal => {
            let why = consumer
                .client()
                .fatal_error()
                .map_or_else(|| error.to_string(), |(_, why)| why);
            assignment.end(Ended::Refused(why), signal);
        }
        _ => {
            let said = match error.rdkafka_error_code() {
                Some(code @ Code::TopicAuthorizationFailed) => Attempt::new(
                    "follow the topics",
                    &settings.brokers,
                    "--operation Read --operation Describe --topic …",
                )
                .failed(&KafkaError::Global(code)),
                _ => attempt(settings).failed(error),
            };
            if seldom.now(&said.to_string()) {
                tracing::warn!("{said}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "member-1";

    fn homes() -> [TopicPartition; 2] {
        [Topic::Trades.partition(3), Topic::Ledger.partition(1)]
    }

    fn may_commit(assignment: &Assignment, home: TopicPartition) -> bool {
        Assignment::may_commit(&assignment.lock(), home, ID)
    }

    fn wanted(assignment: &Assignment) -> Vec<TopicPartition> {
        Assignment::wanted(&assignment.lock())
            .into_iter()
            .map(TaskId::home)
            .collect()
    }

    #[test]
    fn a_task_commits_under_its_own_grant_only() {
        let (assignment, signal) = (Assignment::default(), Signal::default());
        let [trades, ledger] = homes();
        let task = TaskId::following(trades);
        assert!(!assignment.acquire(task), "nothing is granted");
        assignment.grant(&[trades, ledger], ID, &signal);
        assert_eq!(wanted(&assignment), [trades, ledger]);
        assert!(!may_commit(&assignment, trades), "it is not taken up");
        assert!(assignment.acquire(task) && !assignment.acquire(task));
        assert!(may_commit(&assignment, trades));
        // Taken away and granted anew while the task still runs: it is the old grant's.
        assignment.take_away(&signal);
        assert!(!may_commit(&assignment, trades));
        assignment.grant(&[trades], ID, &signal);
        assert!(!may_commit(&assignment, trades));
        assert_eq!(wanted(&assignment), [], "the old task has to be closed first");
        assignment.release(task, &signal);
        assert_eq!(wanted(&assignment), [trades]);
        assert!(assignment.acquire(task) && may_commit(&assignment, trades));
    }

    #[test]
    fn asking_back_waits_for_the_task_which_may_commit_until_then() {
        let assignment = Arc::new(Assignment::default());
        let signal = Arc::new(Signal::default());
        let [trades, ledger] = homes();
        let task = TaskId::following(trades);
        assignment.grant(&[trades, ledger], ID, &signal);
        assert!(assignment.acquire(task));
        let seen = assignment.version();
        let asking = std::thread::spawn({
            let (assignment, signal) = (Arc::clone(&assignment), Arc::clone(&signal));
            move || assignment.ask_back(&homes(), Duration::from_secs(60), &signal)
        });
        while assignment.version() == seen {
            std::thread::yield_now();
        }
        assert_eq!(wanted(&assignment), []);
        assert!(!assignment.acquire(TaskId::following(ledger)), "it is asked back");
        assert!(may_commit(&assignment, trades) && !asking.is_finished());
        assignment.release(task, &signal);
        asking.join().unwrap();
        assert!(!may_commit(&assignment, trades));
    }
    #[test]
    fn nothing_is_committed_under_another_membership() {
        let (assignment, signal) = (Assignment::default(), Signal::default());
        let [trades, ledger] = homes();
        assignment.grant(&[trades], ID, &signal);
        assert!(assignment.acquire(TaskId::following(trades)));
        let may = |id| Assignment::may_commit(&assignment.lock(), trades, id);
        assert!(may(ID) && !may("") && !may("member-2"));
        // While it has no id, what it had may still be its own; under another it is not.
        assert!(!assignment.is_adrift(ID, &signal) && !assignment.is_adrift("", &signal) && may(ID));
        assert!(assignment.is_adrift("member-2", &signal) && !may(ID));
        assert!(!assignment.is_adrift("member-2", &signal), "once is enough");
        assignment.release(TaskId::following(trades), &signal);
        // An assignment under a new id, while something of the old one is still granted.
        assignment.grant(&[trades], "member-2", &signal);
        assignment.grant(&[ledger], "member-3", &signal);
        assert_eq!(wanted(&assignment), [ledger]);
        assert!(assignment.is_adrift("member-3", &signal));
    }

    #[test]
    fn whoever_waited_too_long_for_its_tasks_holds_nothing() {
        let (assignment, signal) = (Assignment::default(), Signal::default());
        let [trades, ledger] = homes();
        assignment.grant(&homes(), ID, &signal);
        assert!(assignment.acquire(TaskId::following(trades)) && assignment.acquire(TaskId::following(ledger)));
        assignment.ask_back(&[ledger], Duration::from_millis(1), &signal);
        assert!(!may_commit(&assignment, trades) && !may_commit(&assignment, ledger));
        assert!(assignment.is_adrift(ID, &signal) && assignment.is_at_work());
    }
}
