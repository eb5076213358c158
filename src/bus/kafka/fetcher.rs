//! Two consumers for all partitions that this process reads: one for the sources, and one for the rest. They have no threads of their own: readers
//! poll them. So the records of a backlog never hold up a decision, or the ledger.
//!
//! A reader takes the records that have arrived for its partition. If there are none, it polls the consumer, and puts each record into the feed of
//! the record's partition, also if that is another reader's. All its records come through the consumer's one queue, in order, so none can go astray.
//! (Queues split by partition would not do: while a partition is unknown for a moment, librdkafka may deliver its records to the consumer's own queue.)
//!
//! Partitions come and go under the lock that polls. librdkafka drops what it had queued for an assignment that has ended, so a feed never gets a
//! record of an earlier one.
//!
//! **Partitions that nobody reads.** The task of a partition may not read for a while, for example between its answer to a close and the cut. If
//! too many of its bytes wait, it is paused, so that neither memory nor the other partitions suffer. Its reader resumes it.
//!
//! **Errors and ends** name no topic here ([`KafkaError`]), so each is a hint for all feeds that it may concern. [`probes`] finds out.
//!
//! [`probes`]: crate::bus::kafka::probes

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;

use crate::bus::error::ReadError;
use crate::bus::kafka::chunk::Chunk;
use crate::bus::kafka::client::Signal;
use crate::bus::kafka::consumer::{ConsumerLog, KnownTopics, from_kafka, kafka_partition, list_of, partition_of, poll};
use crate::bus::kafka::evidence::append;
use crate::bus::kafka::failure::{Attempt, is_connection};
use crate::bus::kafka::probes::Probes;
use crate::bus::kafka::reconnect::LongLivedClients;
use crate::bus::kafka::settings::KafkaSettings;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

/// A reader that polls stops after this many bytes. The others may wait for the consumer meanwhile.
const POLLED_BYTES: usize = 4 << 20;
/// A feed with this many bytes is full.
const FULL_BYTES: usize = 8 << 20;
/// All feeds together hold about this many bytes at most.
const ALL_BYTES: usize = 256 << 20;
/// A full feed is paused if nothing was taken from it for this long. Until then its reader is at work, and will poll soon: librdkafka drops what it
/// has queued for a partition that is paused, and has to fetch it again.
const PAUSE_AFTER: Duration = Duration::from_millis(200);
/// How long no record may arrive at the end of a partition before that end is confirmed. Records on their way arrive sooner.
pub(super) const CONFIRM_AFTER: Duration = Duration::from_millis(150);
/// If the consumer may have more records, waiting tasks look again after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The consumers of a process: two, unless a partition is read twice at the same time, as audits may do.
pub(super) struct Fetcher {
    settings: Arc<KafkaSettings>,
    signal: Arc<Signal>,
    probes: Arc<Probes>,
    clients: Arc<LongLivedClients>,
    /// Topics that will be read.
    known_topics: &'static [Topic],
    shares: Mutex<Vec<Arc<Shared>>>,
}

/// A consumer, and the feeds of its partitions.
struct Shared {
    /// Whether it fetches the sources, or all else.
    is_of_sources: bool,
    signal: Arc<Signal>,
    probes: Arc<Probes>,
    /// The bytes in all feeds.
    waiting: AtomicUsize,
    topics: KnownTopics,
    inner: Mutex<Inner>,
}

struct Inner {
    consumer: Arc<BaseConsumer<ConsumerLog>>,
    feeds: HashMap<TopicPartition, Arc<FeedState>>,
    /// A feed that was full when it was last looked at.
    full: Option<Arc<FeedState>>,
}

/// What has arrived for one partition.
pub(super) struct FeedState {
    partition: TopicPartition,
    /// Whether its reader has to know the end of the partition.
    finds_end: bool,
    arrived: Mutex<Arrived>,
}

struct Arrived {
    chunk: Chunk,
    /// One past the last record that arrived.
    next: Offset,
    /// When the consumer was at the end of a partition with this number. It may be that of another topic.
    at_end: Option<Instant>,
    /// An error of the consumer since the last record. It may concern another partition.
    trouble: Option<Code>,
    /// The offset of a record that arrived after a later one. Nothing is taken from then on.
    disorder: Option<Offset>,
    paused: bool,
    taken_at: Instant,
}

/// What a reader takes from its feed.
pub(super) enum Taken {
    Records(Chunk),
    /// A record arrived after the one before `passed`.
    Disorder {
        offset: Offset,
        passed: Offset,
    },
    Nothing {
        at_end: Option<Instant>,
        trouble: Option<Code>,
    },
}

/// A reader's part in the consumer. Dropped, it ends the fetching of its partition.
pub(super) struct Feed {
    shared: Arc<Shared>,
    state: Arc<FeedState>,
}

impl Fetcher {
    pub(super) fn new(
        settings: Arc<KafkaSettings>,
        signal: Arc<Signal>,
        probes: Arc<Probes>,
        clients: Arc<LongLivedClients>,
        known_topics: &'static [Topic],
    ) -> Self {
        Self {
            settings,
            signal,
            probes,
            clients,
            known_topics,
            shares: Mutex::default(),
        }
    }

    /// Starts to fetch `partition` from offset `from`. With `finds_end`, tells its reader when the consumer may be at its end.
    pub(super) fn start(&self, partition: TopicPartition, from: Offset, finds_end: bool) -> Result<Feed, ReadError> {
        let attempt = read_attempt(&self.settings, partition);
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        // The first consumer of each kind stays. A further one goes with its last reader.
        let mut kinds = BTreeSet::new();
        shares.retain(|shared| kinds.insert(shared.is_of_sources) || Arc::strong_count(shared) > 1);
        let is_of_sources = Topic::SOURCES.contains(&partition.topic);
        let free = shares
            .iter()
            .filter(|shared| shared.is_of_sources == is_of_sources)
            .find(|shared| !shared.lock().feeds.contains_key(&partition));
        let shared = match free {
            Some(shared) => Arc::clone(shared),
            None => {
                let config = self.settings.fetcher()?;
                let mut consumer: BaseConsumer<ConsumerLog> = config
                    .create_with_context(ConsumerLog::default())
                    .map_err(|error| attempt.failed(&error))?;
                let signal = Arc::clone(&self.signal);
                consumer.set_nonempty_callback(move || signal.raise());
                let consumer = Arc::new(consumer);
                self.clients.add("read records", &consumer);
                let shared = Arc::new(Shared {
                    is_of_sources,
                    signal: Arc::clone(&self.signal),
                    probes: Arc::clone(&self.probes),
                    waiting: AtomicUsize::new(0),
                    topics: KnownTopics::default(),
                    inner: Mutex::new(Inner {
                        consumer: Arc::clone(&consumer),
                        feeds: HashMap::new(),
                        full: None,
                    }),
                });
                // Before anything is fetched: a broker answers no question while a fetch of the same client waits for records.
                let ours = self.known_topics.iter().copied();
                shared.topics.learn(
                    &consumer,
                    ours.filter(|topic| Topic::SOURCES.contains(topic) == is_of_sources),
                );
                shares.push(Arc::clone(&shared));
                shared
            }
        };
        let state = Arc::new(FeedState {
            partition,
            finds_end,
            arrived: Mutex::new(Arrived {
                chunk: Chunk::default(),
                next: from,
                at_end: None,
                trouble: None,
                disorder: None,
                paused: false,
                taken_at: Instant::now(),
            }),
        });
        let consumer = Arc::clone(&shared.lock().consumer);
        shared.topics.learn(&consumer, [partition.topic]);
        let mut inner = shared.lock();
        inner.assign(partition, from).map_err(|error| attempt.failed(&error))?;
        inner.feeds.insert(partition, Arc::clone(&state));
        drop(inner);
        Ok(Feed { shared, state })
    }
}

/// The attempt to read a partition, for error messages.
pub(super) fn read_attempt(settings: &KafkaSettings, partition: TopicPartition) -> Attempt<'_> {
    let topic = partition.topic;
    Attempt::new(
        format!("read {partition}"),
        &settings.brokers,
        format!("--operation Read --operation Describe --topic {topic}"),
    )
}

impl Feed {
    /// Takes what has arrived. If that is nothing, polls the consumer. `spare` is memory to use again.
    pub(super) fn take(&self, mut spare: Chunk) -> Taken {
        spare.clear();
        if let Some(chunk) = self.take_arrived(&mut spare) {
            return Taken::Records(chunk);
        }
        let mut inner = self.shared.lock();
        let mut arrived = self.state.lock();
        arrived.taken_at = Instant::now();
        // Another reader may have polled meanwhile.
        let is_empty = !arrived.has_records();
        drop(arrived);
        if is_empty {
            inner.poll_for(&self.state, &self.shared);
        }
        drop(inner);
        if let Some(chunk) = self.take_arrived(&mut spare) {
            return Taken::Records(chunk);
        }
        let mut arrived = self.state.lock();
        if let Some(offset) = arrived.disorder {
            let passed = arrived.next;
            return Taken::Disorder { offset, passed };
        }
        Taken::Nothing {
            at_end: arrived.at_end.take(),
            trouble: arrived.trouble.take(),
        }
    }

    fn take_arrived(&self, spare: &mut Chunk) -> Option<Chunk> {
        let mut arrived = self.state.lock();
        if !arrived.has_records() {
            return None;
        }
        let chunk = std::mem::replace(&mut arrived.chunk, std::mem::take(spare));
        arrived.taken_at = Instant::now();
        let paused = std::mem::take(&mut arrived.paused);
        drop(arrived);
        self.shared.waiting.fetch_sub(chunk.bytes(), Ordering::Relaxed);
        if paused {
            self.shared.lock().resume(self.state.partition);
        }
        Some(chunk)
    }

    /// One past the last record that arrived.
    pub(super) fn next(&self) -> Offset {
        self.state.lock().next
    }

    /// Starts the fetching of this partition afresh, after the last record that arrived.
    pub(super) fn restart(&self) -> Result<(), KafkaError> {
        let inner = self.shared.lock();
        inner.unassign(&self.state);
        inner.assign(self.state.partition, self.next())
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.feeds.remove(&self.state.partition);
        inner.unassign(&self.state);
        let waiting = self.state.lock().chunk.bytes();
        self.shared.waiting.fetch_sub(waiting, Ordering::Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FeedState {
    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record. `waiting` counts the bytes in all feeds. Returns whether the record is the first that waits, and its bytes.
    fn add(&self, message: &BorrowedMessage<'_>, waiting: &AtomicUsize) -> (bool, usize) {
        let mut arrived = self.lock();
        let offset = from_kafka(message.offset());
        let (was_empty, before) = (!arrived.has_records(), arrived.chunk.bytes());
        if offset < arrived.next {
            arrived.disorder.get_or_insert(offset);
            return (true, 0);
        }
        arrived
            .chunk
            .push(offset, |bytes| append(self.partition, message, bytes));
        arrived.next = offset.saturating_add(1);
        (arrived.at_end, arrived.trouble) = (None, None);
        let bytes = arrived.chunk.bytes() - before;
        // Within the lock: a reader that takes the record subtracts its bytes.
        waiting.fetch_add(bytes, Ordering::Relaxed);
        (was_empty, bytes)
    }
}

impl Arrived {
    fn has_records(&self) -> bool {
        !self.chunk.is_empty()
    }
}

impl Inner {
    fn assign(&self, partition: TopicPartition, from: Offset) -> Result<(), KafkaError> {
        self.consumer.incremental_assign(&list_of(partition, Some(from))?)
    }

    fn resume(&self, partition: TopicPartition) {
        if let Err(error) = list_of(partition, None).and_then(|list| self.consumer.resume(&list)) {
            tracing::warn!("cannot resume {partition}: {error}");
        }
    }

    fn unassign(&self, feed: &FeedState) {
        let partition = feed.partition;
        // A pause would outlast the assignment.
        if std::mem::take(&mut feed.lock().paused) {
            self.resume(partition);
        }
        let ended = list_of(partition, None).and_then(|list| self.consumer.incremental_unassign(&list));
        if let Err(error) = ended {
            tracing::debug!("cannot end the fetching of {partition}: {error}");
        }
    }

    /// Polls until there is nothing more now, or enough. Every record goes to its feed. Wakes the tasks of the other feeds.
    fn poll_for(&mut self, mine: &Arc<FeedState>, shared: &Shared) {
        let mut polled = 0;
        let mut wakes = false;
        let mut last: Option<Arc<FeedState>> = None;
        let more = loop {
            if self.is_blocked(shared) || polled >= POLLED_BYTES {
                break true;
            }
            let message = match poll(&self.consumer) {
                None => break false,
                Some(Err(error)) => {
                    wakes |= self.hint(&error, shared);
                    continue;
                }
                Some(Ok(message)) => message,
            };
            let Some(feed) = find(&self.feeds, last.take(), &message) else {
                // Its reader is gone.
                continue;
            };
            let (was_empty, bytes) = feed.add(&message, &shared.waiting);
            drop(message);
            polled += bytes.max(1);
            wakes |= was_empty && !Arc::ptr_eq(&feed, mine);
            if feed.is_full(shared.waiting.load(Ordering::Relaxed), self.feeds.len()) {
                self.full = Some(Arc::clone(&feed));
            }
            last = Some(feed);
        };
        if wakes {
            shared.signal.raise();
        }
        if more {
            shared.probes.ring_after(LOOK_AGAIN);
        }
    }

    /// Whether a feed is full whose reader is at work: it polls soon. If its reader is not, its partition is paused.
    fn is_blocked(&mut self, shared: &Shared) -> bool {
        let Some(full) = self.full.take() else {
            return false;
        };
        if !full.is_full(shared.waiting.load(Ordering::Relaxed), self.feeds.len()) {
            return false;
        }
        let mut arrived = full.lock();
        if arrived.paused {
            return false;
        }
        if arrived.taken_at.elapsed() < PAUSE_AFTER {
            drop(arrived);
            self.full = Some(full);
            return true;
        }
        let is_read = self
            .feeds
            .get(&full.partition)
            .is_some_and(|feed| Arc::ptr_eq(feed, &full));
        if is_read {
            match list_of(full.partition, None).and_then(|list| self.consumer.pause(&list)) {
                Ok(()) => arrived.paused = true,
                Err(error) => tracing::warn!("cannot pause {}: {error}", full.partition),
            }
        }
        false
    }

    /// Tells the feeds that an end or an error of the consumer may concern. Returns whether to wake their tasks.
    fn hint(&self, error: &KafkaError, shared: &Shared) -> bool {
        if let KafkaError::PartitionEOF(number) = error {
            let number = u32::try_from(*number).unwrap_or(u32::MAX);
            let is_meant = |feed: &&Arc<FeedState>| feed.finds_end && feed.partition.partition == number;
            for feed in self.feeds.values().filter(is_meant) {
                feed.lock().at_end = Some(Instant::now());
                shared.probes.ring_after(CONFIRM_AFTER);
            }
            return false;
        }
        match error.rdkafka_error_code() {
            // librdkafka connects again by itself.
            Some(code) if is_connection(code) => {
                shared.probes.compare_soon();
                return false;
            }
            code => {
                shared.probes.compare_soon();
                for feed in self.feeds.values() {
                    feed.lock().trouble = Some(code.unwrap_or(Code::Fail));
                }
            }
        }
        true
    }
}

impl FeedState {
    fn is_full(&self, waiting: usize, feeds: usize) -> bool {
        let bytes = self.lock().chunk.bytes();
        bytes >= FULL_BYTES || waiting >= ALL_BYTES && bytes >= ALL_BYTES / feeds.max(1)
    }
}

/// The feed of a record. Records mostly come in runs of one partition, so the last feed is tried first.
fn find(
    feeds: &HashMap<TopicPartition, Arc<FeedState>>,
    last: Option<Arc<FeedState>>,
    message: &BorrowedMessage<'_>,
) -> Option<Arc<FeedState>> {
    let is_same = |feed: &Arc<FeedState>| kafka_partition(feed.partition) == (message.topic(), message.partition());
    last.filter(is_same)
        .or_else(|| feeds.get(&partition_of(message)?).cloned())
}
