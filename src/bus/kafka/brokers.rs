//! The connection that a bus looks things up with: partitions, offset ranges, committed positions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::Offset as BrokerOffset;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::bus::error::{BrokerError, LogName, OpenError, ReadError};
use crate::bus::kafka::assignment::FOLLOWED;
use crate::bus::kafka::client::{AskingContext, ClientLog, Signal, take_events};
use crate::bus::kafka::consumer::{from_kafka, kafka_partition};
use crate::bus::kafka::contact::{Patience, reach};
use crate::bus::kafka::ends::Ends;
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::fetcher::{Fetcher, read_attempt};
use crate::bus::kafka::position;
use crate::bus::kafka::probes::{Prober, Probes};
use crate::bus::kafka::reasons::Reasons;
use crate::bus::kafka::reconnect::{LongLivedClients, Reconnector};
use crate::bus::kafka::settings::KafkaSettings;
use crate::bus::kafka::watch::Verdict;
use crate::bus::position::{Position, TaskId};
use crate::bus::topic_names::{has_prefix, meant_topic};
use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};
use crate::core::values::offset::Offset;

/// The longest time-out of one look-up.
pub(super) const LOOK_UP: Duration = Duration::from_secs(10);
/// How long the partitions of a topic are cached.
const PARTITIONS_FOR: Duration = Duration::from_secs(2);
/// Time-out of the check that records are unchanged.
const VERIFY: Duration = Duration::from_secs(6);
/// Pause between two looks at a record that is missing.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The clients and caches that the buses on Kafka share.
pub(super) struct Brokers {
    pub(super) settings: Arc<KafkaSettings>,
    /// Reads committed records only. So it returns readable ends, and it waits for open transactions before it returns a position.
    client: Arc<BaseConsumer<AskingContext>>,
    /// Why brokers could not be used lately, as the clients were told.
    pub(super) reasons: Arc<Reasons>,
    pub(super) signal: Arc<Signal>,
    pub(super) fetcher: Fetcher,
    pub(super) probes: Arc<Probes>,
    _prober: Prober,
    pub(super) ends: Ends,
    pub(super) transactional_id: String,
    /// A cache, each entry with its time.
    partitions: Mutex<BTreeMap<Topic, (Instant, Vec<u32>)>>,
    find_ends: bool,
    /// Time-out of one look-up.
    look_up: Duration,
    pub(super) clients: Arc<LongLivedClients>,
    _reconnector: Reconnector,
}

impl Brokers {
    /// Connects. Returns the id of the cluster, too. Retries while the brokers cannot be reached; `None` if it is told to stop meanwhile.
    /// With `find_ends`, the readers of all topics find the ends of their partitions.
    pub(super) fn connect(
        settings: KafkaSettings,
        find_ends: bool,
        patience: &Patience<'_>,
    ) -> Result<Option<(Arc<Self>, String)>, OpenError> {
        let settings = Arc::new(settings);
        if !reach(&settings, patience)? {
            return Ok(None);
        }
        let reasons = Arc::default();
        let attempt = Attempt::new(
            "connect to the brokers",
            &settings.brokers,
            "--operation Describe --cluster",
        );
        let client: BaseConsumer<AskingContext> = settings
            .consumer()?
            .create_with_context(AskingContext {
                log: ClientLog::new(&reasons),
                is_quiet: false,
            })
            .map_err(|error| attempt.failed(&error))?;
        let Some(cluster) = cluster_id(&client, &attempt, patience)? else {
            return Ok(None);
        };
        // An instance without a name gets a new transactional id at each start.
        let instance = settings
            .instance
            .clone()
            .unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let (signal, probes) = (Arc::<Signal>::default(), Arc::<Probes>::default());
        let (client, clients) = (Arc::new(client), Arc::<LongLivedClients>::default());
        clients.add("look things up", &client);
        let brokers = Arc::new(Self {
            fetcher: Fetcher::new(
                Arc::clone(&settings),
                Arc::clone(&signal),
                Arc::clone(&probes),
                Arc::clone(&clients),
                // An audit reads some of them only, and may not know the rest.
                if find_ends { &[] } else { &FOLLOWED },
            ),
            _prober: Prober::start(&settings, Arc::clone(&probes), Arc::clone(&signal), &clients)?,
            ends: Ends::start(Arc::clone(&client), Arc::clone(&signal))?,
            _reconnector: Reconnector::start(Arc::clone(&clients), &settings.brokers)?,
            clients,
            probes,
            signal,
            client,
            reasons,
            transactional_id: format!("{}.{instance}", settings.deployment),
            partitions: Mutex::default(),
            find_ends,
            look_up: patience.slice(LOOK_UP),
            settings,
        });
        Ok(Some((brokers, cluster)))
    }

    /// Whether readers of `topic` find the ends of its partitions. A deployment's tasks do not need that on our own topics: there they only wait
    /// for records.
    pub(super) fn finds_ends(&self, topic: Topic) -> bool {
        self.find_ends || topic.kind() == TopicKind::Input
    }

    pub(super) fn attempt(&self, partition: TopicPartition) -> Attempt<'_> {
        read_attempt(&self.settings, partition)
    }

    /// The first offset that still exists, and the readable end.
    pub(super) fn range(&self, partition: TopicPartition) -> Result<(Offset, Offset), BrokerError> {
        range(&self.client, partition, self.look_up).map_err(|error| self.failed(&self.attempt(partition), &error))
    }

    /// The error of a request, with the reasons of the brokers.
    pub(super) fn failed(&self, attempt: &Attempt<'_>, error: &KafkaError) -> BrokerError {
        take_events(&self.client);
        attempt.failed_after(error, &self.reasons)
    }

    /// Checks that a partition can be read from `offset`: no record from there on was deleted. Returns the first offset that still exists.
    pub(super) fn check_offset(&self, partition: TopicPartition, offset: Offset) -> Result<Offset, ReadError> {
        let (start, end) = match self.range(partition) {
            // A topic that does not exist yet is empty.
            Err(_) if offset == Offset::START && self.partitions(partition.topic)?.is_empty() => {
                (Offset::START, Offset::START)
            }
            range => range?,
        };
        if offset > end {
            return Err(ReadError::SourceChanged {
                partition,
                log: LogName::Topic(partition.topic),
                offset,
                what: format!("ends at offset {end} now: it was deleted and created again, or lost records"),
            });
        }
        if offset < start {
            return Err(ReadError::Retained {
                partition,
                start,
                wanted: offset,
            });
        }
        Ok(start)
    }

    /// As [`Log::verify`](crate::bus::interface::Log::verify).
    pub(super) fn verify(&self, partition: TopicPartition) -> Result<(), ReadError> {
        for watched in self.probes.watch.of(partition) {
            let deadline = Instant::now() + VERIFY;
            loop {
                let verdict = self.probes.compare(&watched).recv_timeout(VERIFY);
                watched.check()?;
                match verdict {
                    Ok(Verdict::Same | Verdict::Replaced) => break,
                    Ok(Verdict::Missing) if Instant::now() < deadline => std::thread::sleep(LOOK_AGAIN),
                    Ok(Verdict::Missing | Verdict::Unknown) | Err(_) => {
                        let why = "the brokers did not show the last records that were read";
                        return Err(self.attempt(partition).unavailable(why).into());
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn partitions(&self, topic: Topic) -> Result<Vec<u32>, BrokerError> {
        let mut known = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, numbers)) = known.get(&topic)
            && at.elapsed() < PARTITIONS_FOR
        {
            return Ok(numbers.clone());
        }
        let attempt = Attempt::new(
            format!("look up the partitions of {topic}"),
            &self.settings.brokers,
            format!("--operation Describe --topic {topic}"),
        );
        let metadata = self
            .client
            .fetch_metadata(Some(topic.name()), self.look_up)
            .map_err(|error| self.failed(&attempt, &error))?;
        let mut numbers = Vec::new();
        for found in metadata.topics().iter().filter(|found| found.name() == topic.name()) {
            match found.error().map(Code::from) {
                None => numbers.extend(
                    found
                        .partitions()
                        .iter()
                        .filter_map(|partition| u32::try_from(partition.id()).ok()),
                ),
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {}
                Some(code) => return Err(attempt.failed(&KafkaError::MetadataFetch(code))),
            }
        }
        numbers.sort_unstable();
        known.insert(topic, (Instant::now(), numbers.clone()));
        Ok(numbers)
    }

    /// Warns of topics that look as if they should be read, but are not. Topics that this client may not see are not found.
    pub(super) fn warn_of_unread_topics(&self) {
        let metadata = match self.client.fetch_metadata(None, self.look_up) {
            Ok(metadata) => metadata,
            Err(error) => {
                tracing::warn!("cannot look for topics with misspelt names: {error}");
                return;
            }
        };
        for warning in unread_topics(metadata.topics().iter().map(MetadataTopic::name)) {
            tracing::warn!("{warning}");
        }
    }

    pub(super) fn forget_partitions(&self) {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The committed position of a task. The brokers wait for a pending transaction (`read_committed`), so the answer is final.
    pub(super) fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError> {
        let group = &self.settings.deployment;
        let attempt = Attempt::new(
            format!("read the committed position of {task}"),
            &self.settings.brokers,
            format!("--operation Read --group {group}"),
        );
        let (topic, number) = kafka_partition(task.home());
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(topic, number);
        let found = self
            .client
            .committed_offsets(wanted, self.look_up)
            .map_err(|error| self.failed(&attempt, &error))?;
        let Some(element) = found.find_partition(topic, number) else {
            return Err(attempt.rejected("the brokers returned no answer for it").into());
        };
        element.error().map_err(|error| self.failed(&attempt, &error))?;
        match element.offset() {
            BrokerOffset::Offset(_) => position::decode(task, element.metadata()).map(Some),
            _ => Ok(None),
        }
    }
}

/// This many topics with one of our prefixes are named, if none of ours is like them.
const NAMED: usize = 5;

/// A warning for each topic that was probably meant to be one of ours, and one for all others with one of our prefixes.
fn unread_topics<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut others = Vec::new();
    for name in names.filter(|name| has_prefix(name) && Topic::from_name(name).is_none()) {
        match meant_topic(name) {
            Some(topic) => warnings.push(format!("topic {} is not read: did you mean {topic}?", name)),
            None => others.push(name),
        }
    }
    if !others.is_empty() {
        others.sort_unstable();
        let more = others.len().saturating_sub(NAMED);
        others.truncate(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        warnings.push(format!(
            "topics are not read, though they begin like ours: {}{more}; the source topics are {}",
            others.join(", "),
            Topic::SOURCES.map(Topic::name).join(", ")
        ));
    }
    warnings
}

pub(super) fn range<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partition: TopicPartition,
    at_most: Duration,
) -> Result<(Offset, Offset), KafkaError> {
    let (topic, number) = kafka_partition(partition);
    let (start, end) = consumer.fetch_watermarks(topic, number, at_most)?;
    Ok((from_kafka(start), from_kafka(end)))
}

/// The cluster's id, as soon as a broker tells it.
fn cluster_id(
    client: &BaseConsumer<AskingContext>,
    attempt: &Attempt<'_>,
    patience: &Patience<'_>,
) -> Result<Option<String>, BrokerError> {
    let mut waiting = patience.waiting(attempt.clone());
    loop {
        let found = client.fetch_metadata(Some(Topic::Control.name()), patience.slice(LOOK_UP));
        take_events(client);
        let why = match found {
            Ok(_) => match client.client().fetch_cluster_id(patience.slice(LOOK_UP)) {
                Some(id) => return Ok(Some(id)),
                None => "they did not return their cluster id".to_owned(),
            },
            Err(error) => match attempt.failed_after(&error, &client.context().log.reasons) {
                BrokerError::Unavailable { why, .. } | BrokerError::Unauthenticated { why, .. } => why,
                error => return Err(error),
            },
        };
        if !waiting.goes_on(&why)? {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_look_like_ours_are_told() {
        let names = [
            "exchange.deposits",
            "exchange.deposit",
            "softstake.controls",
            "exchange.orders",
            "exchange.quotes",
            "__consumer_offsets",
            "deposits",
            "payments",
        ];
        assert_eq!(
            unread_topics(names.into_iter()),
            [
                "topic exchange.deposit is not read: did you mean exchange.deposits?",
                "topic softstake.controls is not read: did you mean softstake.control?",
                "topics are not read, though they begin like ours: exchange.orders, exchange.quotes; the source topics are \
                 exchange.deposits, exchange.withdrawals, exchange.trades, exchange.transfers, exchange.accounts",
            ]
        );
        let many: Vec<String> = (0..9).map(|n| format!("exchange.orders-number-{n}")).collect();
        let found = unread_topics(many.iter().map(String::as_str));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("exchange.orders-number-4 and 4 more; "), "{found:?}");
    }
}
