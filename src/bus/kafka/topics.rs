//! `softstake topics`: creates the missing topics of a deployment, and checks the settings of the existing ones.
//!
//! It never changes an existing topic. The operator chose its retention and replication; the report says what is wrong with them.

use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::{IsError, KafkaError};
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode as Code;
use serde::Serialize;

use crate::bus::error::{AdminError, BrokerError};
use crate::bus::kafka::client::LoggingContext;
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::settings::{KafkaSettings, MAX_RECORD_BYTES};
use crate::core::contract::topic::Topic;

/// Time-out of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
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
                Topic::Control | Topic::Decisions | Topic::Inbox | Topic::Epochs => 1,
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
/// If the brokers cannot be reached, or reject a request.
pub fn check_topics(settings: &KafkaSettings, sizes: Sizes, create: bool) -> Result<Vec<TopicFinding>, AdminError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|source| AdminError::Client { source })?;
    let attempt = Attempt::new(
        "check the topics",
        &settings.brokers,
        "--operation Describe --operation DescribeConfigs --topic '*'",
    );
    let admin: AdminClient<LoggingContext> = settings
        .client(&[])?
        .create_with_context(LoggingContext::default())
        .map_err(|error| attempt.failed(&error))?;
    let checker = TopicChecker {
        admin,
        settings,
        attempt,
    };
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
    let attempt = Attempt::new(
        format!("add partitions to topic {topic}"),
        &settings.brokers,
        format!("--operation Alter --topic {topic}"),
    );
    let admin: AdminClient<LoggingContext> = settings
        .client(&[])?
        .create_with_context(LoggingContext::default())
        .map_err(|error| attempt.failed(&error))?;
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let found = || {
        let metadata = admin.inner().fetch_metadata(Some(topic), REQUEST_TIMEOUT);
        let metadata = metadata.map_err(|error| attempt.failed(&error))?;
        Ok::<_, BrokerError>(partitions(&metadata, Topic::Ledger).map_or(0, |(count, _)| count))
    };
    if found()? >= wanted {
        return Ok(());
    }
    let options = AdminOptions::new()
        .operation_timeout(Some(REQUEST_TIMEOUT))
        .request_timeout(Some(REQUEST_TIMEOUT));
    let grown = [NewPartitions::new(topic, wanted)];
    let outcomes = runtime.block_on(admin.create_partitions(&grown, &options));
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

struct TopicChecker<'a> {
    admin: AdminClient<LoggingContext>,
    settings: &'a KafkaSettings,
    attempt: Attempt<'a>,
}

impl TopicChecker<'_> {
    fn metadata(&self) -> Result<Metadata, BrokerError> {
        self.admin
            .inner()
            .fetch_metadata(None, REQUEST_TIMEOUT)
            .map_err(|error| self.attempt.failed(&error))
    }

    async fn check(&self, sizes: Sizes, create: bool) -> Result<Vec<TopicFinding>, BrokerError> {
        let before = self.metadata()?;
        let brokers = u32::try_from(before.brokers().len()).unwrap_or(1).max(1);
        let replication = sizes.replication.unwrap_or_else(|| brokers.min(3));
        let has = |metadata: &Metadata, topic: Topic| partitions(metadata, topic).map(|(count, _)| count);
        let ledger = sizes
            .ledger
            .or(has(&before, Topic::Ledger).and_then(|count| u32::try_from(count).ok()))
            .unwrap_or(8);
        let wanted = wanted(sizes, ledger);
        let missing: Vec<&WantedTopic> = wanted
            .iter()
            .filter(|wanted| has(&before, wanted.topic).is_none())
            .collect();
        if create && !missing.is_empty() {
            self.create(&missing, replication).await?;
        }
        // New topics do not appear on all brokers at once.
        let mut after = self.metadata()?;
        let mut tries = 0;
        while create && tries < 100 && wanted.iter().any(|wanted| has(&after, wanted.topic).is_none()) {
            std::thread::sleep(Duration::from_millis(100));
            after = self.metadata()?;
            tries += 1;
        }
        let mut findings = Vec::new();
        for wanted in &wanted {
            let created = create && missing.iter().any(|missing| missing.topic == wanted.topic);
            findings.push(self.check_topic(wanted, &after, brokers, created, sizes.ledger).await?);
        }
        if let Some(broker) = after.brokers().first() {
            findings.push(self.check_brokers(broker.id()).await?);
        }
        Ok(findings)
    }

    async fn create(&self, missing: &[&WantedTopic], replication: u32) -> Result<(), BrokerError> {
        let attempt = |topic: &str| {
            Attempt::new(
                format!("create topic {topic}"),
                &self.settings.brokers,
                format!("--operation Create --topic {topic}"),
            )
        };
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
        let made = self.admin.create_topics(&topics, &options).await;
        for outcome in made.map_err(|error| attempt("softstake.*").failed(&error))? {
            match outcome {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(attempt(&topic).failed(&KafkaError::AdminOp(code))),
            }
        }
        Ok(())
    }

    async fn config(&self, what: &ResourceSpecifier<'_>) -> Result<ConfigResource, BrokerError> {
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let described = self.admin.describe_configs([what], &options).await;
        let first = described
            .map_err(|error| self.attempt.failed(&error))?
            .into_iter()
            .next();
        match first {
            Some(Ok(config)) => Ok(config),
            Some(Err(code)) => Err(self.attempt.failed(&KafkaError::AdminOp(code))),
            None => Err(self.attempt.rejected("the brokers returned no answer")),
        }
    }

    async fn check_topic(
        &self,
        wanted: &WantedTopic,
        metadata: &Metadata,
        brokers: u32,
        created: bool,
        ledger: Option<u32>,
    ) -> Result<TopicFinding, BrokerError> {
        let topic = wanted.topic;
        let mut finding = TopicFinding {
            topic: Some(topic.name()),
            partitions: 0,
            replication: 0,
            created,
            wrong: Vec::new(),
            doubtful: Vec::new(),
        };
        let Some((partitions, replication)) = partitions(metadata, topic) else {
            if Topic::SOURCES.contains(&topic) {
                finding
                    .doubtful
                    .push("it is missing, and counts as empty until it is created".into());
            } else {
                finding
                    .wrong
                    .push("it is missing: `softstake topics --create` creates it".into());
            }
            return Ok(finding);
        };
        (finding.partitions, finding.replication) = (partitions, replication);
        finding.wrong.extend(wrong_partitions(topic, partitions, ledger));
        let config = self.config(&ResourceSpecifier::Topic(topic.name())).await?;
        check_retention(wanted, &config, &mut finding);
        check_replication(wanted, &config, brokers, &mut finding);
        let largest: usize = value(&config, "max.message.bytes").parse().unwrap_or(0);
        if !wanted.is_input() && largest < MAX_RECORD_BYTES {
            finding.wrong.push(format!(
                "max.message.bytes is {largest}: a dead letter can be larger; {}",
                alter(topic, &format!("max.message.bytes={MAX_RECORD_BYTES}"))
            ));
        }
        Ok(finding)
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
        match self.config(&ResourceSpecifier::Broker(id)).await {
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

/// A topic's number of partitions, and the smallest number of replicas of one; `None` if the topic is missing.
fn partitions(metadata: &Metadata, topic: Topic) -> Option<(usize, usize)> {
    let found = metadata.topics().iter().find(|found| found.name() == topic.name())?;
    if found.error().is_some_and(|error| error.is_error()) || found.partitions().is_empty() {
        return None;
    }
    let least = found
        .partitions()
        .iter()
        .map(|partition| partition.replicas().len())
        .min();
    Some((found.partitions().len(), least.unwrap_or(0)))
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
