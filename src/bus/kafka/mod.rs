//! The bus on Apache Kafka: topics are Kafka's, a transaction is Kafka's, and which process runs which task is a consumer group's assignment.
//!
//! - [`member`]: this process in the group; what it may commit, and until when.
//! - [`publish`]: one transaction for the outputs and positions of many tasks.
//! - [`sources`], [`reader`], [`decisions`]: consumers that read single partitions from a place of their own.
//! - [`position`], [`cloud_events`]: how a position and an event look in Kafka.
//! - [`topics`]: which topics a deployment needs, made and checked.

mod assignment;
mod client;
mod cloud_events;
mod consumer;
mod decisions;
mod failure;
mod member;
mod position;
pub mod publish;
mod read_only;
mod reader;
pub mod settings;
pub mod topics;
mod transaction;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::bus::error::BusError;
use crate::bus::interface::{Bus, Log, Membership, Reader};
use crate::bus::kafka::client::Signal;
use crate::bus::kafka::consumer::place;
use crate::bus::kafka::decisions::{Decisions, DecisionsReader};
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::member::Member;
use crate::bus::kafka::reader::KafkaReader;
use crate::bus::kafka::transaction::Publisher;
use crate::bus::outputs;
use crate::bus::position::{Mark, Position, TaskId};
use crate::core::contract::appends::Outputs;
use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};

pub use read_only::ReadOnlyKafka;
pub use settings::KafkaSettings;

/// How long a look-up is waited for.
const LOOK_UP: Duration = Duration::from_secs(10);
/// How long is believed which partitions there are.
const PARTITIONS_FOR: Duration = Duration::from_secs(2);
/// How often a broker is tried at the start.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// What is asked of the brokers, by whoever needs to know.
struct Brokers {
    settings: Arc<KafkaSettings>,
    /// Sees what is committed, and asks for positions that are settled.
    asker: BaseConsumer<rdkafka::consumer::DefaultConsumerContext>,
    signal: Arc<Signal>,
    transactional_id: String,
    partitions: Mutex<BTreeMap<Topic, (Instant, Vec<u32>)>>,
    find_ends: bool,
}

impl Brokers {
    /// Connects; what asks, and the cluster's id. Brokers that cannot be reached are waited for, until `stop` is set: `None` then.
    /// With `find_ends`, readers of all topics find out where these end.
    fn connect(
        settings: KafkaSettings,
        find_ends: bool,
        stop: &AtomicBool,
    ) -> Result<Option<(Arc<Self>, String)>, BusError> {
        let settings = Arc::new(settings);
        let attempt = Attempt::new(
            "connect to the brokers",
            &settings.brokers,
            "--operation Describe --cluster",
        );
        let asker: BaseConsumer = settings.consumer()?.create().map_err(|error| attempt.failed(&error))?;
        let Some(cluster) = cluster(&asker, &settings, stop)? else {
            return Ok(None);
        };
        // Without a name of its own, an instance is a new one each time.
        let instance = settings
            .instance
            .clone()
            .unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let brokers = Arc::new(Self {
            signal: Arc::default(),
            asker,
            transactional_id: format!("{}.{instance}", settings.deployment),
            partitions: Mutex::default(),
            find_ends,
            settings,
        });
        Ok(Some((brokers, cluster)))
    }

    /// Whether readers of `topic` find out where its partitions end. Of our own topics nobody who works on them needs to know: a record is
    /// all that is waited for there.
    fn finds_ends(&self, topic: Topic) -> bool {
        self.find_ends || topic.kind() == TopicKind::Input
    }

    fn attempt(&self, partition: TopicPartition) -> Attempt<'_> {
        let topic = partition.topic;
        Attempt::new(
            format!("read {partition}"),
            &self.settings.brokers,
            format!("--operation Read --operation Describe --topic {topic}"),
        )
    }

    /// The first offset that is there, and one past the last that can be read.
    fn range(&self, partition: TopicPartition) -> Result<(u64, u64), BusError> {
        range(&self.asker, partition).map_err(|error| self.attempt(partition).failed(&error))
    }

    /// Holds a place to go on from against what is there; the first offset that is.
    fn check_place(&self, partition: TopicPartition, offset: u64) -> Result<u64, BusError> {
        let (start, end) = match self.range(partition) {
            // A topic that is not there yet is empty.
            Err(_) if offset == 0 && self.partitions(partition.topic)?.is_empty() => (0, 0),
            range => range?,
        };
        if offset > end {
            return Err(BusError::SourceChanged {
                partition,
                file: format!("topic {}", partition.topic).into(),
                offset,
                what: format!("ends at offset {end} now: it was deleted and made anew, or lost records"),
            });
        }
        // Who begins, begins with what is there.
        if offset < start && offset > 0 {
            return Err(BusError::Retained {
                partition,
                start,
                wanted: offset,
            });
        }
        Ok(start)
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, BusError> {
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
            .asker
            .fetch_metadata(Some(topic.name()), LOOK_UP)
            .map_err(|error| attempt.failed(&error))?;
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

    fn committed(&self, task: TaskId) -> Result<Option<Position>, BusError> {
        let group = &self.settings.deployment;
        let attempt = Attempt::new(
            format!("read the committed position of {task}"),
            &self.settings.brokers,
            format!("--operation Read --group {group}"),
        );
        let (topic, number) = place(task.home());
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(topic, number);
        let found = self
            .asker
            .committed_offsets(wanted, LOOK_UP)
            .map_err(|error| attempt.failed(&error))?;
        let Some(element) = found.find_partition(topic, number) else {
            return Err(attempt.refused("the brokers did not answer for it"));
        };
        element.error().map_err(|error| attempt.failed(&error))?;
        match element.offset() {
            Offset::Offset(_) => position::read(task, element.metadata()).map(Some),
            _ => Ok(None),
        }
    }
}

fn range<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partition: TopicPartition,
) -> Result<(u64, u64), KafkaError> {
    let (topic, number) = place(partition);
    let (start, end) = consumer.fetch_watermarks(topic, number, LOOK_UP)?;
    Ok((u64::try_from(start).unwrap_or(0), u64::try_from(end).unwrap_or(0)))
}

/// A deployment's bus on Kafka.
pub struct KafkaBus {
    identity: String,
    signal: Arc<Signal>,
    brokers: Arc<Brokers>,
    decisions: Arc<Decisions>,
    member: Arc<Member>,
    publisher: Publisher,
}

impl KafkaBus {
    /// Connects, and joins the deployment's consumer group. Brokers that cannot be reached are waited for, until `stop` is set.
    ///
    /// # Errors
    /// A property that is none, a secret that cannot be read, brokers that refuse us, a topic of ours that is missing; `None` if it was told to stop.
    pub fn open(settings: KafkaSettings, stop: &Arc<AtomicBool>) -> Result<Option<Self>, BusError> {
        let Some((brokers, cluster)) = Brokers::connect(settings, false, stop)? else {
            return Ok(None);
        };
        for topic in OURS {
            if brokers.partitions(topic)?.is_empty() {
                return Err(BusError::NoTopic {
                    topic,
                    hint: "run `softstake topics --create` once, before the first start",
                });
            }
        }
        let (settings, signal) = (Arc::clone(&brokers.settings), Arc::clone(&brokers.signal));
        let mut member = Member::new(Arc::clone(&settings), Arc::clone(&signal))?;
        member.join()?;
        let member = Arc::new(member);
        let publisher = Publisher::new(Arc::clone(&brokers), Arc::clone(&member), Arc::clone(stop))?;
        Ok(Some(Self {
            identity: format!("kafka {cluster}, deployment {}", settings.deployment),
            signal,
            decisions: Arc::new(Decisions::new(Arc::clone(&brokers))),
            brokers,
            member,
            publisher,
        }))
    }

    /// Ends the work on the bus in good order.
    pub fn close(&self) {
        self.publisher.close();
    }
}

/// The topics of ours without which nothing can be done.
const OURS: [Topic; 8] = [
    Topic::Control,
    Topic::Decisions,
    Topic::Ledger,
    Topic::Inbox,
    Topic::Distributions,
    Topic::Epochs,
    Topic::DeadLetters,
    Topic::LatePostings,
];

/// The cluster's id, once a broker answers.
fn cluster(asker: &BaseConsumer, settings: &KafkaSettings, stop: &AtomicBool) -> Result<Option<String>, BusError> {
    let attempt = Attempt::new(
        "connect to the brokers",
        &settings.brokers,
        "--operation Describe --cluster",
    );
    loop {
        let found = asker.fetch_metadata(Some(Topic::Control.name()), LOOK_UP);
        match found.map_err(|error| attempt.failed(&error)) {
            Ok(_) => match asker.client().fetch_cluster_id(LOOK_UP) {
                Some(id) => return Ok(Some(id)),
                None => tracing::warn!(
                    "the brokers at {} do not say which cluster they are; asking again",
                    settings.brokers
                ),
            },
            Err(error @ BusError::Unavailable { .. }) => tracing::warn!("{error} ({})", settings.brokers),
            Err(error) => return Err(error),
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        std::thread::sleep(TRY_EVERY);
    }
}

impl Log for KafkaBus {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, BusError> {
        self.brokers.partitions(topic)
    }

    fn refresh(&self) {
        self.brokers
            .partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn start(&self, partition: TopicPartition) -> Result<u64, BusError> {
        self.brokers.range(partition).map(|(start, _)| start)
    }

    fn readable_end(&self, partition: TopicPartition) -> Result<u64, BusError> {
        self.brokers.range(partition).map(|(_, end)| end)
    }

    fn written_end(&self, partition: TopicPartition) -> Result<u64, BusError> {
        let asked = range(self.member.consumer(), partition);
        asked
            .map(|(_, end)| end)
            .map_err(|error| self.brokers.attempt(partition).failed(&error))
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, BusError> {
        if partition.topic == Topic::Decisions {
            return Ok(Box::new(DecisionsReader::open(Arc::clone(&self.decisions), from)?));
        }
        Ok(Box::new(KafkaReader::open(Arc::clone(&self.brokers), partition, from)?))
    }

    fn check(&self, partition: TopicPartition, mark: &Mark) -> Result<(), BusError> {
        self.brokers.check_place(partition, mark.offset).map(drop)
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, BusError> {
        self.brokers.committed(task)
    }

    fn version(&self) -> u64 {
        self.signal.version()
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, BusError> {
        Ok(self.signal.wait(seen, at_most))
    }
}

impl Bus for KafkaBus {
    fn commit(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), BusError> {
        outputs::check(outputs)?;
        self.publisher.commit(task, outputs, position)
    }

    fn membership(&self) -> Option<&dyn Membership> {
        Some(self.member.as_ref())
    }
}
