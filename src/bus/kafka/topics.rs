//! `softstake topics`: creates the missing topics of a deployment, and checks the settings of the existing ones.
//!
//! It never changes an existing topic. The operator chose its retention and replication; the report says what is wrong with them.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewPartitions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use serde::Serialize;

use crate::bus::error::{AdminError, BrokerError};
use crate::bus::kafka::client::LoggingContext;
use crate::bus::kafka::contact::{Patience, reach};
use crate::bus::kafka::failure::{Attempt, is_authorisation};
use crate::bus::kafka::settings::{KafkaSettings, MAX_RECORD_BYTES};
use crate::core::contract::topic::Topic;

/// Time-out of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long new topics may take until all brokers have them.
const APPEAR_WITHIN: Duration = Duration::from_secs(10);
/// How long a topic may be unknown to one of the brokers.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
/// How long the brokers should keep the positions of a group that is not running, so that no usual outage loses them.
const OFFSETS_RETENTION_MINUTES: i64 = 30 * 24 * 60;

/// Numbers of partitions and replicas for new topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Ledger partitions; `None` for as many as the ledger has, or 8.
    pub ledger: Option<u32>,
    /// Partitions of each source topic.
    pub sources: u32,
    /// Partitions of each output topic that is read by key.
    pub outputs: u32,
    /// Replicas; `None` for three, or for as many as there are brokers if that is less.
    pub replication: Option<u32>,
}

/// The result of checking one topic, or the brokers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicFinding {
    /// `None` for the brokers.
    pub topic: Option<&'static str>,
    pub partitions: usize,
    /// The smallest number of replicas of a partition.
    pub replication: usize,
    /// Whether this call created it.
    pub created: bool,
    /// Errors: the operator has to correct them.
    pub wrong: Vec<String>,
    /// Warnings.
    pub doubtful: Vec<String>,
}

/// A topic as it should be.
struct WantedTopic {
    topic: Topic,
    partitions: u32,
}

impl WantedTopic {
    /// The settings of a new topic. Existing topics are checked for them, but for those that only the exchange may choose.
    fn configs(&self, replication: u32) -> Vec<(&'static str, String)> {
        let mut configs = vec![
            ("cleanup.policy", "delete".to_owned()),
            // The log is the truth: everything derived from it is rebuilt from its start.
            ("retention.ms", "-1".to_owned()),
            ("retention.bytes", "-1".to_owned()),
            (
                "min.insync.replicas",
                if replication > 2 { "2" } else { "1" }.to_owned(),
            ),
            ("unclean.leader.election.enable", "false".to_owned()),
        ];
        if !self.is_input() {
            configs.push(("max.message.bytes", MAX_RECORD_BYTES.to_string()));
        }
        configs
    }

    fn is_input(&self) -> bool {
        self.topic.kind() == crate::core::contract::topic::TopicKind::Input
    }
}

fn wanted(sizes: Sizes, ledger: u32) -> Vec<WantedTopic> {
    Topic::ALL
        .into_iter()
        .map(|topic| WantedTopic {
            topic,
            partitions: match topic {
                Topic::Ledger => ledger,
                Topic::Control | Topic::Decisions | Topic::Inbox | Topic::Epochs | Topic::Redrives => 1,
                Topic::Distributions | Topic::DeadLetters | Topic::LatePostings => sizes.outputs,
                Topic::Deposits | Topic::Withdrawals | Topic::Trades | Topic::Transfers | Topic::Accounts => {
                    sizes.sources
                }
            },
        })
        .collect()
}

/// Checks every topic. With `create`, first creates the missing ones.
///
/// # Errors
/// If the brokers cannot be reached, do not accept this client, or reject a request.
pub fn check_topics(settings: &KafkaSettings, sizes: Sizes, create: bool) -> Result<Vec<TopicFinding>, AdminError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|source| AdminError::Client { source })?;
    let attempt = attempt(settings, "check the topics", "Describe", &["*"]);
    let admin = admin(settings, &attempt)?;
    let checker = TopicChecker { admin, settings };
    Ok(runtime.block_on(checker.check(sizes, create))?)
}

/// Adds partitions to the ledger topic, if it has fewer than `count`.
///
/// # Errors
/// If the brokers cannot be reached, or reject a request.
pub fn grow_ledger(settings: &KafkaSettings, count: u32) -> Result<(), AdminError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|source| AdminError::Client { source })?;
    let topic = Topic::Ledger.name();
    let attempt = attempt(settings, &format!("add partitions to topic {topic}"), "Alter", &[topic]);
    let admin = admin(settings, &attempt)?;
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let checker = TopicChecker { admin, settings };
    let found = || {
        let known = checker.known(&[Topic::Ledger])?;
        Ok::<_, BrokerError>(known.size(Topic::Ledger).map_or(0, |(count, _)| count))
    };
    if found()? >= wanted {
        return Ok(());
    }
    let options = AdminOptions::new()
        .operation_timeout(Some(REQUEST_TIMEOUT))
        .request_timeout(Some(REQUEST_TIMEOUT));
    let grown = [NewPartitions::new(topic, wanted)];
    let outcomes = runtime.block_on(checker.admin.create_partitions(&grown, &options));
    for outcome in outcomes.map_err(|error| attempt.failed(&error))? {
        if let Err((_, code)) = outcome {
            return Err(attempt.failed(&KafkaError::AdminOp(code)).into());
        }
    }
    // New partitions do not appear on all brokers at once.
    for _ in 0..100 {
        if found()? >= wanted {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(attempt.rejected("the brokers do not show the new partitions").into())
}

/// An admin client of brokers that accept it.
fn admin(settings: &KafkaSettings, attempt: &Attempt<'_>) -> Result<AdminClient<LoggingContext>, AdminError> {
    let patience = Patience {
        stop: &AtomicBool::new(false),
        timeout: Some(REQUEST_TIMEOUT),
    };
    reach(settings, &patience)?;
    let admin = settings.client(&[])?.create_with_context(LoggingContext::default());
    Ok(admin.map_err(|error| attempt.failed(&error))?)
}

/// A request about topics, which needs one operation on each of them.
fn attempt<'a>(settings: &'a KafkaSettings, action: &str, operation: &str, topics: &[&str]) -> Attempt<'a> {
    let topics: String = topics.iter().map(|topic| format!(" --topic {topic}")).collect();
    Attempt::new(action, &settings.brokers, format!("--operation {operation}{topics}"))
}

/// The number of brokers, the id of one, and the topics that exist.
struct Known {
    brokers: u32,
    broker: Option<i32>,
    sizes: BTreeMap<Topic, (usize, usize)>,
}

impl Known {
    /// A topic's number of partitions, and the smallest number of replicas of one; `None` if the topic is missing.
    fn size(&self, topic: Topic) -> Option<(usize, usize)> {
        self.sizes.get(&topic).copied()
    }
}

struct TopicChecker<'a> {
    admin: AdminClient<LoggingContext>,
    settings: &'a KafkaSettings,
}

impl TopicChecker<'_> {
    /// Asks for each topic by its name: a list of all topics leaves out those that this client may not see.
    fn known(&self, topics: &[Topic]) -> Result<Known, BrokerError> {
        let mut known = Known {
            brokers: 1,
            broker: None,
            sizes: BTreeMap::new(),
        };
        let mut refused = Refused::default();
        for topic in topics {
            let one = attempt(
                self.settings,
                &format!("look up topic {topic}"),
                "Describe",
                &[topic.name()],
            );
            let metadata = self.admin.inner().fetch_metadata(Some(topic.name()), REQUEST_TIMEOUT);
            let metadata = metadata.map_err(|error| one.failed(&error))?;
            known.brokers = u32::try_from(metadata.brokers().len()).unwrap_or(1).max(1);
            known.broker = metadata.brokers().first().map(|broker| broker.id());
            let Some(found) = metadata.topics().iter().find(|found| found.name() == topic.name()) else {
                continue;
            };
            match found.error().map(Code::from) {
                Some(code) if is_authorisation(code) => refused.add(*topic, code),
                Some(_) => {}
                None => {
                    let replicas = found.partitions().iter().map(|partition| partition.replicas().len());
                    if let Some(least) = replicas.min() {
                        known.sizes.insert(*topic, (found.partitions().len(), least));
                    }
                }
            }
        }
        refused.check(self.settings, "look up", "Describe")?;
        Ok(known)
    }

    async fn check(&self, sizes: Sizes, create: bool) -> Result<Vec<TopicFinding>, BrokerError> {
        let before = self.known(&Topic::ALL)?;
        let replication = sizes.replication.unwrap_or_else(|| before.brokers.min(3));
        let ledger = sizes
            .ledger
            .or(before
                .size(Topic::Ledger)
                .and_then(|(count, _)| u32::try_from(count).ok()))
            .unwrap_or(8);
        let wanted = wanted(sizes, ledger);
        let missing: Vec<&WantedTopic> = wanted
            .iter()
            .filter(|wanted| before.size(wanted.topic).is_none())
            .collect();
        let mut after = before;
        if create && !missing.is_empty() {
            self.create(&missing, replication).await?;
            // New topics do not appear on all brokers at once.
            let began = Instant::now();
            loop {
                after = self.known(&Topic::ALL)?;
                let all_there = wanted.iter().all(|wanted| after.size(wanted.topic).is_some());
                if all_there || began.elapsed() > APPEAR_WITHIN {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        let mut configs = self.configs(&after).await?;
        let mut findings = Vec::new();
        for wanted in &wanted {
            let created = create && missing.iter().any(|missing| missing.topic == wanted.topic);
            let config = configs.remove(&wanted.topic);
            findings.push(check_topic(wanted, &after, created, sizes.ledger, config.as_ref()));
        }
        if let Some(broker) = after.broker {
            findings.push(self.check_brokers(broker).await?);
        }
        Ok(findings)
    }

    async fn create(&self, missing: &[&WantedTopic], replication: u32) -> Result<(), BrokerError> {
        let configs: Vec<Vec<(&str, String)>> = missing.iter().map(|wanted| wanted.configs(replication)).collect();
        let topics: Vec<NewTopic<'_>> = missing
            .iter()
            .zip(&configs)
            .map(|(wanted, configs)| {
                let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
                let replication = TopicReplication::Fixed(number(replication));
                let topic = NewTopic::new(wanted.topic.name(), number(wanted.partitions), replication);
                configs
                    .iter()
                    .fold(topic, |topic, (name, value)| topic.set(name, value))
            })
            .collect();
        let options = AdminOptions::new()
            .operation_timeout(Some(REQUEST_TIMEOUT))
            .request_timeout(Some(REQUEST_TIMEOUT));
        let attempt = |topic: &str| attempt(self.settings, &format!("create topic {topic}"), "Create", &[topic]);
        let made = self.admin.create_topics(&topics, &options).await;
        let mut refused = Refused::default();
        for outcome in made.map_err(|error| attempt("softstake.*").failed(&error))? {
            match outcome {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((topic, code)) => match Topic::from_name(&topic).filter(|_| is_authorisation(code)) {
                    Some(topic) => refused.add(topic, code),
                    None => return Err(attempt(&topic).failed(&KafkaError::AdminOp(code))),
                },
            }
        }
        refused.check(self.settings, "create", "Create")
    }

    /// The settings of the topics that exist.
    async fn configs(&self, known: &Known) -> Result<BTreeMap<Topic, ConfigResource>, BrokerError> {
        let topics: Vec<Topic> = known.sizes.keys().copied().collect();
        let names: Vec<&str> = topics.iter().map(|topic| topic.name()).collect();
        let attempt = attempt(self.settings, "read the settings of topics", "DescribeConfigs", &names);
        let began = Instant::now();
        loop {
            let mut configs = BTreeMap::new();
            for config in self
                .describe(names.iter().map(|name| ResourceSpecifier::Topic(name)), &attempt)
                .await?
            {
                if let OwnedResourceSpecifier::Topic(name) = &config.specifier
                    && let Some(topic) = Topic::from_name(name)
                {
                    configs.insert(topic, config);
                }
            }
            let mut refused = Refused::default();
            for topic in topics.iter().filter(|topic| !configs.contains_key(topic)) {
                refused.add(*topic, Code::TopicAuthorizationFailed);
            }
            // A new topic may be unknown to this broker for a moment.
            match refused.check(self.settings, "read the settings of", "DescribeConfigs") {
                Err(_) if began.elapsed() < KNOWN_WITHIN => std::thread::sleep(Duration::from_millis(100)),
                outcome => return outcome.map(|()| configs),
            }
        }
    }

    /// The settings of some resources. Those without settings are left out: rdkafka returns them in place of an error, which is mostly a missing
    /// access control entry.
    async fn describe<'b>(
        &self,
        what: impl Iterator<Item = ResourceSpecifier<'b>>,
        attempt: &Attempt<'_>,
    ) -> Result<Vec<ConfigResource>, BrokerError> {
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let what: Vec<ResourceSpecifier<'_>> = what.collect();
        if what.is_empty() {
            return Ok(Vec::new());
        }
        let described = self.admin.describe_configs(&what, &options).await;
        let described = described.map_err(|error| attempt.failed(&error))?;
        let mut configs = Vec::new();
        for config in described {
            let config = config.map_err(|code| attempt.failed(&KafkaError::AdminOp(code)))?;
            if !config.entries.is_empty() {
                configs.push(config);
            }
        }
        Ok(configs)
    }

    async fn check_brokers(&self, id: i32) -> Result<TopicFinding, BrokerError> {
        let mut finding = TopicFinding {
            topic: None,
            partitions: 0,
            replication: 0,
            created: false,
            wrong: Vec::new(),
            doubtful: Vec::new(),
        };
        let attempt = Attempt::new(
            format!("read the settings of broker {id}"),
            &self.settings.brokers,
            "--operation DescribeConfigs --cluster",
        );
        let refused = || attempt.failed(&KafkaError::AdminOp(Code::ClusterAuthorizationFailed));
        let configs = self
            .describe([ResourceSpecifier::Broker(id)].into_iter(), &attempt)
            .await;
        match configs.and_then(|configs| configs.into_iter().next().ok_or_else(refused)) {
            Ok(config) => {
                let minutes = config
                    .get("offsets.retention.minutes")
                    .and_then(|entry| entry.value.as_ref()?.parse::<i64>().ok());
                if let Some(minutes) = minutes.filter(|minutes| *minutes < OFFSETS_RETENTION_MINUTES) {
                    finding.doubtful.push(format!(
                        "offsets.retention.minutes is {minutes}: a deployment that does not run for {} days loses its positions and cannot continue; \
                         set it to {OFFSETS_RETENTION_MINUTES} or more",
                        minutes / (24 * 60)
                    ));
                }
            }
            // The operator may not have the right to see this, and it is only a warning.
            Err(error) => finding
                .doubtful
                .push(format!("offsets.retention.minutes cannot be checked: {error}")),
        }
        Ok(finding)
    }
}

/// Topics for which an access control entry is missing. All are named at once.
#[derive(Default)]
struct Refused {
    topics: Vec<&'static str>,
    code: Option<Code>,
}

impl Refused {
    fn add(&mut self, topic: Topic, code: Code) {
        self.topics.push(topic.name());
        self.code = Some(code);
    }

    /// `verb`: what is done with the topics.
    fn check(&self, settings: &KafkaSettings, verb: &str, operation: &str) -> Result<(), BrokerError> {
        let Some(code) = self.code else { return Ok(()) };
        let noun = if self.topics.len() == 1 { "topic" } else { "topics" };
        let action = format!("{verb} {noun} {}", self.topics.join(", "));
        Err(attempt(settings, &action, operation, &self.topics).failed(&KafkaError::AdminOp(code)))
    }
}

/// Checks one topic.
fn check_topic(
    wanted: &WantedTopic,
    known: &Known,
    created: bool,
    ledger: Option<u32>,
    config: Option<&ConfigResource>,
) -> TopicFinding {
    let topic = wanted.topic;
    let mut finding = TopicFinding {
        topic: Some(topic.name()),
        partitions: 0,
        replication: 0,
        created,
        wrong: Vec::new(),
        doubtful: Vec::new(),
    };
    let Some((partitions, replication)) = known.size(topic) else {
        if Topic::SOURCES.contains(&topic) {
            finding
                .doubtful
                .push("it is missing, and counts as empty until it is created".into());
        } else if topic == Topic::Redrives {
            finding.doubtful.push(
                "it is missing: `softstake redrive apply` needs it, and `softstake topics --create` creates it".into(),
            );
        } else {
            finding
                .wrong
                .push("it is missing: `softstake topics --create` creates it".into());
        }
        return finding;
    };
    (finding.partitions, finding.replication) = (partitions, replication);
    finding.wrong.extend(wrong_partitions(topic, partitions, ledger));
    let Some(config) = config else { return finding };
    check_retention(wanted, config, &mut finding);
    check_replication(wanted, config, known.brokers, &mut finding);
    let largest: usize = value(config, "max.message.bytes").parse().unwrap_or(0);
    if !wanted.is_input() && largest < MAX_RECORD_BYTES {
        finding.wrong.push(format!(
            "max.message.bytes is {largest}: a dead letter can be larger; {}",
            alter(topic, &format!("max.message.bytes={MAX_RECORD_BYTES}"))
        ));
    }
    finding
}

/// The value of a topic setting; empty if it is not set.
fn value(config: &ConfigResource, name: &str) -> String {
    let entry = config.get(name);
    entry.and_then(|entry| entry.value.clone()).unwrap_or_default()
}

fn alter(topic: Topic, setting: &str) -> String {
    format!("`kafka-configs.sh --alter --topic {topic} --add-config {setting}`")
}

/// Checks the settings that may delete records.
fn check_retention(wanted: &WantedTopic, config: &ConfigResource, finding: &mut TopicFinding) {
    let topic = wanted.topic;
    if value(config, "cleanup.policy") != "delete" {
        finding.wrong.push(format!(
            "cleanup.policy is {}: compaction deletes records that payouts depend on; {}",
            value(config, "cleanup.policy"),
            alter(topic, "cleanup.policy=delete")
        ));
    }
    for setting in ["retention.ms", "retention.bytes"] {
        if value(config, setting) != "-1" {
            let text = format!(
                "{setting} is {}: records that it deletes cannot be read again when a state directory is lost, and cannot be audited; {}",
                value(config, setting),
                alter(topic, &format!("{setting}=-1"))
            );
            // The exchange may keep its own topics in an archive.
            if Topic::SOURCES.contains(&topic) {
                finding.doubtful.push(text);
            } else {
                finding.wrong.push(text);
            }
        }
    }
    if value(config, "unclean.leader.election.enable") == "true" {
        finding.wrong.push(format!(
            "unclean.leader.election.enable is true: committed records may be lost; {}",
            alter(topic, "unclean.leader.election.enable=false")
        ));
    }
}

fn check_replication(wanted: &WantedTopic, config: &ConfigResource, brokers: u32, finding: &mut TopicFinding) {
    let (topic, replication) = (wanted.topic, finding.replication);
    let insync: usize = value(config, "min.insync.replicas").parse().unwrap_or(1);
    if replication > 2 && insync < 2 {
        finding.wrong.push(format!(
            "min.insync.replicas is {insync} of {replication}: a record counts as written when only one disk has it; {}",
            alter(topic, "min.insync.replicas=2")
        ));
    }
    if replication > 1 && insync >= replication {
        finding.wrong.push(format!(
            "min.insync.replicas is {insync} of {replication}: while one broker is away, nothing can be written; {}",
            alter(topic, &format!("min.insync.replicas={}", replication - 1))
        ));
    }
    if replication < 3 {
        let text = format!("it has {replication} of 3 replicas: a lost disk may lose records");
        if brokers >= 3 && !wanted.is_input() {
            finding
                .wrong
                .push(format!("{text}; `kafka-reassign-partitions.sh` adds some"));
        } else {
            finding.doubtful.push(text);
        }
    }
}

fn wrong_partitions(topic: Topic, found: usize, ledger: Option<u32>) -> Option<String> {
    match topic {
        Topic::Control | Topic::Decisions | Topic::Inbox if found != 1 => Some(format!(
            "it has {found} partitions and must have 1, because its records need one order; delete and create it again before anything is written to it"
        )),
        Topic::Ledger if !found.is_power_of_two() || found > 4096 => Some(format!(
            "it has {found} partitions, but must have a power of two up to 4096; delete and create it again before the deployment begins"
        )),
        Topic::Ledger if ledger.is_some_and(|wanted| usize::try_from(wanted).is_ok_and(|wanted| wanted > found)) => {
            Some(format!(
                "it has {found} partitions, not {}: leave --partitions out; `softstake repartition` changes the number",
                ledger.unwrap_or(0)
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_has_a_valid_number_of_partitions() {
        assert!(wrong_partitions(Topic::Control, 2, None).is_some());
        assert!(wrong_partitions(Topic::Ledger, 12, None).is_some());
        assert!(wrong_partitions(Topic::Ledger, 8, Some(16)).is_some());
        assert!(wrong_partitions(Topic::Ledger, 16, Some(8)).is_none());
        assert!(wrong_partitions(Topic::Ledger, 16, None).is_none());
        assert!(wrong_partitions(Topic::Trades, 7, None).is_none());
    }

    #[test]
    fn every_topic_is_wanted_once() {
        let sizes = Sizes {
            ledger: None,
            sources: 4,
            outputs: 2,
            replication: None,
        };
        let topics: Vec<(Topic, u32)> = wanted(sizes, 16)
            .iter()
            .map(|wanted| (wanted.topic, wanted.partitions))
            .collect();
        assert_eq!(topics.len(), Topic::ALL.len());
        assert!(topics.contains(&(Topic::Ledger, 16)) && topics.contains(&(Topic::Inbox, 1)));
        assert!(topics.contains(&(Topic::Trades, 4)) && topics.contains(&(Topic::Distributions, 2)));
    }
}
