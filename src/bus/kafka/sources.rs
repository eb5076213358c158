//! Consumers that read single partitions, each from a place of its own.
//!
//! Many readers share a consumer, each with the queue of its partition. A partition is given to one consumer once at most: so nothing that was
//! fetched for an earlier reader, and no end that was found for one, can ever be taken for a later one's.
//!
//! **Ends.** A partition can end in transaction markers and in records that were compacted away, so the offset after the last record that came need
//! not be its end. How far a partition has been read is told by librdkafka's statistics: the offset at which its fetcher last stood at the end,
//! everything before which it has put into the queue by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientContext, TopicPartitionList};

use crate::bus::{BusError, TopicPartition};

use super::client::{Signal, Told};
use super::failure::Attempt;
use super::settings::Settings;

/// How often librdkafka says where the ends are.
const STATISTICS_EVERY_MS: &str = "250";
/// How often the consumers' own events are served.
const SERVE: Duration = Duration::from_millis(50);

/// What a consumer tells: above all, where its fetchers last stood at an end.
#[derive(Default)]
pub(super) struct SourceContext {
    told: Told,
    ends: Mutex<BTreeMap<TopicPartition, Arc<AtomicU64>>>,
    signal: Arc<Signal>,
}

impl SourceContext {
    fn ends(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Arc<AtomicU64>>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for SourceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.told.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.told.error(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let mut moved = false;
        for (partition, end) in self.ends().iter() {
            let known = statistics
                .topics
                .get(partition.topic.name())
                .and_then(|topic| topic.partitions.get(&i32::try_from(partition.partition).unwrap_or(-1)));
            // Negative numbers are librdkafka's words for "none yet".
            let Some(found) = known.and_then(|known| u64::try_from(known.eof_offset).ok()) else {
                continue;
            };
            moved |= end.fetch_max(found, Ordering::AcqRel) < found;
        }
        if moved {
            self.signal.raise();
        }
    }
}

impl ConsumerContext for SourceContext {}

/// A consumer, and all partitions it was ever given.
struct Source {
    consumer: Arc<BaseConsumer<SourceContext>>,
    given: BTreeSet<TopicPartition>,
    /// Alive as long as a partition of it is read.
    in_use: Weak<()>,
}

/// The consumers of this process.
pub(super) struct Sources {
    settings: Arc<Settings>,
    signal: Arc<Signal>,
    all: Mutex<Vec<Source>>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A partition being read.
pub(super) struct Reading {
    pub(super) queue: PartitionQueue<SourceContext>,
    /// Where the fetcher last stood at the partition's end.
    pub(super) end: Arc<AtomicU64>,
    consumer: Arc<BaseConsumer<SourceContext>>,
    partition: TopicPartition,
    _in_use: Arc<()>,
}

impl Sources {
    pub(super) fn new(settings: Arc<Settings>, signal: Arc<Signal>) -> Result<Arc<Self>, BusError> {
        let sources = Arc::new(Self {
            settings,
            signal,
            all: Mutex::default(),
            stop: Arc::default(),
            thread: Mutex::default(),
        });
        let served = Arc::downgrade(&sources);
        let stop = Arc::clone(&sources.stop);
        let thread = std::thread::Builder::new().name("kafka events".into()).spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let Some(sources) = served.upgrade() else { return };
                sources.serve();
                drop(sources);
                std::thread::sleep(SERVE);
            }
        });
        let thread = thread.map_err(BusError::io("start a thread for", "kafka consumers"))?;
        *sources.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(sources)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Source>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the consumers' events, and drops those that nobody reads from any more.
    fn serve(&self) {
        let consumers: Vec<_> = self.lock().iter().map(|source| Arc::clone(&source.consumer)).collect();
        for consumer in consumers {
            // Records come by the partitions' queues; what comes here are errors of the whole client, which its context has told already.
            while let Some(event) = consumer.poll(Duration::ZERO) {
                drop(event);
            }
        }
        let mut unused = Vec::new();
        let mut all = self.lock();
        let (keep, drop): (Vec<_>, Vec<_>) = all.drain(..).partition(|source| source.in_use.strong_count() > 0);
        *all = keep;
        unused.extend(drop);
        std::mem::drop(all);
        // Closing one takes a while; nobody waits for the lock meanwhile.
        std::mem::drop(unused);
    }

    fn attempt(&self, partition: TopicPartition) -> Attempt<'_> {
        let topic = partition.topic;
        Attempt::new(
            format!("read {partition}"),
            &self.settings.brokers,
            format!("--operation Read --operation Describe --topic {topic}"),
        )
    }

    /// Starts to read `partition` at `from`.
    pub(super) fn read(&self, partition: TopicPartition, from: u64) -> Result<Reading, BusError> {
        let failed = |error: KafkaError| self.attempt(partition).failed(&error);
        let mut all = self.lock();
        let free = all
            .iter_mut()
            .find_map(|source| source.in_use.upgrade().filter(|_| !source.given.contains(&partition)).map(|in_use| (source, in_use)));
        let (consumer, in_use) = if let Some((source, in_use)) = free {
            source.given.insert(partition);
            (Arc::clone(&source.consumer), in_use)
        } else {
            let context = SourceContext {
                signal: Arc::clone(&self.signal),
                ..SourceContext::default()
            };
            let mut config = self.settings.consumer()?;
            config.set("statistics.interval.ms", STATISTICS_EVERY_MS);
            let consumer: Arc<BaseConsumer<SourceContext>> = Arc::new(config.create_with_context(context).map_err(failed)?);
            let in_use = Arc::new(());
            all.push(Source {
                consumer: Arc::clone(&consumer),
                given: BTreeSet::from([partition]),
                in_use: Arc::downgrade(&in_use),
            });
            (consumer, in_use)
        };
        drop(all);
        let (topic, number) = place(partition);
        let end = Arc::new(AtomicU64::new(0));
        consumer.context().ends().insert(partition, Arc::clone(&end));
        // The queue first: what is fetched before would go elsewhere.
        let mut queue = consumer
            .split_partition_queue(topic, number)
            .ok_or_else(|| self.attempt(partition).refused("librdkafka has no queue for it"))?;
        let signal = Arc::clone(&self.signal);
        queue.set_nonempty_callback(move || signal.raise());
        let mut assignment = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        assignment.add_partition_offset(topic, number, offset).map_err(failed)?;
        consumer.incremental_assign(&assignment).map_err(failed)?;
        Ok(Reading {
            queue,
            end,
            consumer,
            partition,
            _in_use: in_use,
        })
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let (topic, number) = place(self.partition);
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition(topic, number);
        self.consumer.context().ends().remove(&self.partition);
        if let Err(error) = self.consumer.incremental_unassign(&assignment) {
            tracing::debug!("{} is read no more, but was not given up: {error}", self.partition);
        }
    }
}

/// The partition as librdkafka names it.
pub(super) fn place(partition: TopicPartition) -> (&'static str, i32) {
    // Kafka numbers partitions with 31 bits, and ours come from there.
    (partition.topic.name(), i32::try_from(partition.partition).unwrap_or(i32::MAX))
}
