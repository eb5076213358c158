//! This process as a member of the deployment's consumer group: which partitions it follows, and until when.
//!
//! The group's consumer fetches nothing; readers are consumers of their own. What it is for is the assignment, and its generation: a transaction
//! that commits a position carries it, and the brokers refuse one of a generation that has passed (KIP-447). So whatever a process tries that was
//! away too long, it cannot land.
//!
//! Each time a partition is assigned it is a *grant* with a number of its own. A task holds the grant it was started under; once that one is gone,
//! nothing of the task is committed any more, even if the same partition has come back meanwhile under another grant.
//!
//! **The generation is not enough.** A member that is put out of the group while its rebalance callback waits for tasks to close joins anew before
//! its callback can tell it what it lost, and then has a generation that is valid and partitions that are others'. So grants belong to a
//! *membership*, which has an id that the brokers give out once: nothing is committed but under the id that the grants were made under. A static
//! member that misses a rebalance keeps its id; it can miss one only by waiting too long in its callback, and whoever waited too long holds
//! nothing any more, and joins anew.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaRespErr;

use crate::bus::{BusError, TaskId, Topic, TopicPartition};

use super::client::{Seldom, Signal, Told};
use super::failure::Attempt;
use super::settings::Settings;

/// How long one poll of the group's consumer takes at most.
const POLL: Duration = Duration::from_millis(100);

/// What is known about the assignment. Everything about it is asked and changed under one lock.
#[derive(Debug, Default)]
struct Grants {
    granted: BTreeMap<TopicPartition, Grant>,
    /// The tasks that run here, and the grant each was started under.
    held: BTreeMap<TopicPartition, u64>,
    next: u64,
    /// The id of the membership that all grants belong to.
    membership: String,
    /// Set when what is held here and what the group thinks may differ: the process is to join anew.
    adrift: bool,
    /// Whether the group has assigned anything, be it nothing.
    assigned: bool,
    /// Why this process has no part in the deployment any more.
    ended: Option<Ended>,
}

#[derive(Debug, Clone, Copy)]
struct Grant {
    number: u64,
    /// Asked back: the task is to close, and may still commit what it has done.
    leaving: bool,
}

#[derive(Debug, Clone)]
enum Ended {
    Replaced,
    Refused(String),
}

/// The assignment, shared by the group's consumer and everybody else.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    grants: Mutex<Grants>,
    changed: Condvar,
    version: AtomicU64,
}

impl Assignment {
    fn lock(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, signal: &Signal) {
        self.version.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_all();
        signal.raise();
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The tasks to run now: what is granted and not asked back. A task of an earlier grant has to be closed first, so it is not among them.
    fn wanted(grants: &Grants) -> BTreeSet<TaskId> {
        grants
            .granted
            .iter()
            .filter(|(home, grant)| {
                !grant.leaving && grants.held.get(home).is_none_or(|number| *number == grant.number)
            })
            .map(|(home, _)| TaskId::following(*home))
            .collect()
    }

    pub(super) fn take_up(&self, task: TaskId) -> bool {
        let mut grants = self.lock();
        let home = task.home();
        match grants.granted.get(&home) {
            Some(grant) if !grant.leaving && !grants.held.contains_key(&home) => {
                let number = grant.number;
                grants.held.insert(home, number);
                true
            }
            _ => false,
        }
    }

    pub(super) fn let_go(&self, task: TaskId, signal: &Signal) {
        if self.lock().held.remove(&task.home()).is_some() {
            self.change(signal);
        }
    }

    fn may_commit(grants: &Grants, home: TopicPartition, membership: &str) -> bool {
        match (grants.granted.get(&home), grants.held.get(&home)) {
            (Some(grant), Some(number)) => {
                grant.number == *number && grants.membership == membership && !membership.is_empty()
            }
            _ => false,
        }
    }

    /// Whether anything was ever assigned.
    fn is_assigned(&self) -> bool {
        self.lock().assigned
    }

    fn grant(&self, homes: &[TopicPartition], membership: &str, signal: &Signal) {
        let mut grants = self.lock();
        grants.assigned = true;
        if grants.membership != membership {
            // What an earlier membership had is somebody else's.
            grants.adrift |= !grants.granted.is_empty();
            grants.granted.clear();
            membership.clone_into(&mut grants.membership);
        }
        // What is followed for no task's sake has none.
        for home in homes.iter().filter(|home| FOLLOWED.contains(&home.topic)) {
            grants.next += 1;
            let number = grants.next;
            grants.granted.insert(*home, Grant { number, leaving: false });
        }
        drop(grants);
        self.change(signal);
    }

    /// Asks partitions back and waits until their tasks are closed; past `at_most`, nothing at all is held here any more, as the group may have
    /// gone on without this process.
    fn ask_back(&self, homes: &[TopicPartition], at_most: Duration, signal: &Signal) {
        let began = Instant::now();
        let mut grants = self.lock();
        for home in homes {
            if let Some(grant) = grants.granted.get_mut(home) {
                grant.leaving = true;
            }
        }
        drop(grants);
        self.change(signal);
        let running = |grants: &mut Grants| homes.iter().any(|home| grants.held.contains_key(home));
        let (mut grants, _) = self
            .changed
            .wait_timeout_while(self.lock(), at_most, running)
            .unwrap_or_else(PoisonError::into_inner);
        for home in homes {
            grants.granted.remove(home);
        }
        // By the clock, not by what is still held: the whole process may have stood still.
        if began.elapsed() >= at_most {
            tracing::warn!(
                "tasks did not close within {} ms; nothing is committed any more until this process has joined the group anew",
                at_most.as_millis()
            );
            grants.granted.clear();
            grants.adrift = true;
        }
        drop(grants);
        self.change(signal);
    }

    /// Takes partitions away that are somebody else's already.
    fn take_away(&self, signal: &Signal) {
        self.lock().granted.clear();
        self.change(signal);
    }

    /// Whether this process has to join anew: it waited too long, or is a member under another id than the grants were made under. Nothing is
    /// held any more then.
    fn is_adrift(&self, membership: &str, signal: &Signal) -> bool {
        let mut grants = self.lock();
        // Between two memberships there is no id; the next one will tell.
        let other = !membership.is_empty() && !grants.granted.is_empty() && grants.membership != membership;
        if !other && !grants.adrift {
            return false;
        }
        grants.granted.clear();
        grants.adrift = false;
        drop(grants);
        self.change(signal);
        true
    }

    /// Whether a task runs.
    fn is_at_work(&self) -> bool {
        !self.lock().held.is_empty()
    }

    fn end(&self, why: Ended, signal: &Signal) {
        let mut grants = self.lock();
        grants.granted.clear();
        grants.ended.get_or_insert(why);
        drop(grants);
        self.change(signal);
    }
}

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
    settings: Arc<Settings>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    /// Makes the group's consumer; it joins with [`Member::join`].
    pub(super) fn new(settings: Arc<Settings>, signal: Arc<Signal>) -> Result<Self, BusError> {
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
            let seldom = Seldom::default();
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

    pub(super) fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// The tasks to run now.
    pub(super) fn wanted(&self) -> Result<BTreeSet<TaskId>, BusError> {
        let grants = self.assignment.lock();
        match &grants.ended {
            None => Ok(Assignment::wanted(&grants)),
            Some(ended) => Err(self.error(ended)),
        }
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

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The topics whose partitions tasks follow, and decisions: the group keeps the position of each.
const FOLLOWED: [Topic; 9] = [
    Topic::Deposits,
    Topic::Withdrawals,
    Topic::Trades,
    Topic::Transfers,
    Topic::Accounts,
    Topic::Control,
    Topic::Decisions,
    Topic::Ledger,
    Topic::Inbox,
];

/// Followed besides by whoever has come back under its name, to no other end than that its subscription changes, and the group shares its partitions
/// out anew.
///
/// A member that dies between giving partitions up and saying so, and comes back under its name, is given what it had without a new round, and
/// the round in which the others would have got what it gave up never comes: nobody would have those partitions until something else happens.
const RETURNED: [Topic; 1] = [Topic::Epochs];

fn names(topics: &[Topic]) -> Vec<&'static str> {
    topics.iter().map(|topic| topic.name()).collect()
}

fn attempt(settings: &Settings) -> Attempt<'_> {
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
    settings: &Settings,
    seldom: &Seldom,
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
        assert!(!assignment.take_up(task), "nothing is granted");
        assignment.grant(&[trades, ledger], ID, &signal);
        assert_eq!(wanted(&assignment), [trades, ledger]);
        assert!(!may_commit(&assignment, trades), "it is not taken up");
        assert!(assignment.take_up(task) && !assignment.take_up(task));
        assert!(may_commit(&assignment, trades));
        // Taken away and granted anew while the task still runs: it is the old grant's.
        assignment.take_away(&signal);
        assert!(!may_commit(&assignment, trades));
        assignment.grant(&[trades], ID, &signal);
        assert!(!may_commit(&assignment, trades));
        assert_eq!(wanted(&assignment), [], "the old task has to be closed first");
        assignment.let_go(task, &signal);
        assert_eq!(wanted(&assignment), [trades]);
        assert!(assignment.take_up(task) && may_commit(&assignment, trades));
    }

    #[test]
    fn asking_back_waits_for_the_task_which_may_commit_until_then() {
        let assignment = Arc::new(Assignment::default());
        let signal = Arc::new(Signal::default());
        let [trades, ledger] = homes();
        let task = TaskId::following(trades);
        assignment.grant(&[trades, ledger], ID, &signal);
        assert!(assignment.take_up(task));
        let seen = assignment.version();
        let asking = std::thread::spawn({
            let (assignment, signal) = (Arc::clone(&assignment), Arc::clone(&signal));
            move || assignment.ask_back(&homes(), Duration::from_secs(60), &signal)
        });
        while assignment.version() == seen {
            std::thread::yield_now();
        }
        assert_eq!(wanted(&assignment), []);
        assert!(!assignment.take_up(TaskId::following(ledger)), "it is asked back");
        assert!(may_commit(&assignment, trades) && !asking.is_finished());
        assignment.let_go(task, &signal);
        asking.join().unwrap();
        assert!(!may_commit(&assignment, trades));
    }
    #[test]
    fn nothing_is_committed_under_another_membership() {
        let (assignment, signal) = (Assignment::default(), Signal::default());
        let [trades, ledger] = homes();
        assignment.grant(&[trades], ID, &signal);
        assert!(assignment.take_up(TaskId::following(trades)));
        let may = |id| Assignment::may_commit(&assignment.lock(), trades, id);
        assert!(may(ID) && !may("") && !may("member-2"));
        // While it has no id, what it had may still be its own; under another it is not.
        assert!(!assignment.is_adrift(ID, &signal) && !assignment.is_adrift("", &signal) && may(ID));
        assert!(assignment.is_adrift("member-2", &signal) && !may(ID));
        assert!(!assignment.is_adrift("member-2", &signal), "once is enough");
        assignment.let_go(TaskId::following(trades), &signal);
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
        assert!(assignment.take_up(TaskId::following(trades)) && assignment.take_up(TaskId::following(ledger)));
        assignment.ask_back(&[ledger], Duration::from_millis(1), &signal);
        assert!(!may_commit(&assignment, trades) && !may_commit(&assignment, ledger));
        assert!(assignment.is_adrift(ID, &signal) && assignment.is_at_work());
    }
}
