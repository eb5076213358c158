//! Looks at single places of partitions: whether a record is there, which one, or whether the partition ends. A consumer and a thread of their own do
//! it, so no task waits meanwhile. The thread also looks every few seconds whether the records that were read are still there ([`Watched`]).
//!
//! **Ends.** The end of a partition is looked up first. Then the fetching starts afresh, so what it finds is no older than that end.
//!
//! **Whose end, whose error.** The client reports an end with the number of its partition, and an error with neither topic nor number. So partitions
//! are searched together only if their numbers differ, and one by one after an error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset as BrokerOffset;
use rdkafka::{ClientContext, Message, TopicPartitionList};

use crate::bus::error::OpenError;
use crate::bus::kafka::client::{ClientLog, Signal};
use crate::bus::kafka::consumer::{
    KnownTopics, PolledContext, from_kafka, kafka_partition, list_of, partition_of, poll, to_kafka,
};
use crate::bus::kafka::ends::readable_ends;
use crate::bus::kafka::evidence::{Evidence, Finding, append};
use crate::bus::kafka::failure::{Attempt, is_connection, text};
use crate::bus::kafka::reconnect::LongLivedClients;
use crate::bus::kafka::settings::KafkaSettings;
use crate::bus::kafka::watch::{Verdict, WatchList, Watched};
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// Time-out of a search that somebody waits for. Without an answer by then, nothing is known.
const SEARCH: Duration = Duration::from_secs(2);
/// Time-out of a search that nobody waits for: it must not delay the others for long.
const QUICK_SEARCH: Duration = Duration::from_millis(500);
/// Watched records are compared this often.
const COMPARE_EVERY: Duration = Duration::from_secs(5);
/// And this long after a connection was lost, or while a record is missing.
const COMPARE_SOON: Duration = Duration::from_millis(500);
/// Time-out of one poll.
const POLL: Duration = Duration::from_millis(50);
/// This many partitions are searched together at most.
const TOGETHER: usize = 64;
/// This many watched partitions are compared before waiting questions are answered.
const COMPARED: usize = 16;
/// The name of the thread.
const NAME: &str = "kafka probes";

enum Question {
    /// What is at a place.
    Place {
        partition: TopicPartition,
        from: Offset,
        /// Whether the end of the partition has to be looked up first.
        finds_end: bool,
        answer: Sender<Finding>,
    },
    /// Whether the records that a reader has read are still there.
    Watched {
        watched: Arc<Watched>,
        answer: Sender<Verdict>,
    },
}

#[derive(Default)]
struct Queue {
    questions: Vec<Question>,
    /// When to wake the waiting tasks.
    ring_at: Option<Instant>,
    /// When to compare all watched records again.
    compare_at: Option<Instant>,
    stop: bool,
}

/// The questions that wait for the thread.
#[derive(Default)]
pub(super) struct Probes {
    pub(super) watch: WatchList,
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Probes {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks what is at offset `from`. The waiting tasks are woken when the answer is there.
    pub(super) fn ask(&self, partition: TopicPartition, from: Offset, finds_end: bool) -> Receiver<Finding> {
        let (answer, receiver) = channel();
        self.push(Question::Place {
            partition,
            from,
            finds_end,
            answer,
        });
        receiver
    }

    /// Asks whether the records that were read are still there. The waiting tasks are woken when the answer is there.
    pub(super) fn compare(&self, watched: &Arc<Watched>) -> Receiver<Verdict> {
        let (answer, receiver) = channel();
        let watched = Arc::clone(watched);
        self.push(Question::Watched { watched, answer });
        receiver
    }

    fn push(&self, question: Question) {
        self.lock().questions.push(question);
        self.changed.notify_all();
    }

    /// Compares all watched records soon, because a connection was lost, or a record is missing.
    pub(super) fn compare_soon(&self) {
        self.compare_all_at(Instant::now() + COMPARE_SOON);
        self.changed.notify_all();
    }

    fn compare_all_at(&self, at: Instant) {
        let mut queue = self.lock();
        queue.compare_at = Some(queue.compare_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Wakes the waiting tasks after a pause at the latest.
    pub(super) fn ring_after(&self, pause: Duration) {
        let at = Instant::now() + pause;
        let mut queue = self.lock();
        if queue.ring_at.is_none_or(|earlier| at < earlier) {
            queue.ring_at = Some(at);
            drop(queue);
            self.changed.notify_all();
        }
    }

    fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    /// Waits for questions, or until all watched records have to be compared; then there are no questions. `None` at the end.
    fn next(&self, signal: &Signal) -> Option<Vec<Question>> {
        let mut queue = self.lock();
        loop {
            if queue.stop {
                return None;
            }
            let now = Instant::now();
            if queue.ring_at.is_some_and(|at| at <= now) {
                queue.ring_at = None;
                signal.raise();
            }
            let is_due = queue.compare_at.is_some_and(|at| at <= now);
            if is_due {
                queue.compare_at = None;
            }
            if is_due || !queue.questions.is_empty() {
                return Some(std::mem::take(&mut queue.questions));
            }
            let next = queue.ring_at.into_iter().chain(queue.compare_at).min();
            let pause = next.map_or(COMPARE_EVERY, |at| at.saturating_duration_since(now));
            let waited = self.changed.wait_timeout(queue, pause);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn take_questions(&self) -> Vec<Question> {
        std::mem::take(&mut self.lock().questions)
    }
}

/// Only logs what the library logs: what a search meets is in its finding.
#[derive(Default)]
struct SearchContext(ClientLog);

impl ClientContext for SearchContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("kafka: {}: {reason}", text(&error));
    }
}

impl ConsumerContext for SearchContext {}

impl PolledContext for SearchContext {
    fn client_log(&self) -> &ClientLog {
        &self.0
    }
}

/// The thread that answers the questions, ended with this.
pub(super) struct Prober {
    probes: Arc<Probes>,
    thread: Option<JoinHandle<()>>,
}

impl Prober {
    pub(super) fn start(
        settings: &Arc<KafkaSettings>,
        probes: Arc<Probes>,
        signal: Arc<Signal>,
        clients: &LongLivedClients,
    ) -> Result<Self, OpenError> {
        let attempt = Attempt::new("look at records", &settings.brokers, "--operation Read --topic …");
        let consumer = settings.prober()?.create_with_context(SearchContext::default());
        let consumer = Arc::new(consumer.map_err(|error| attempt.failed(&error))?);
        clients.add("check records", &consumer);
        let search = Search {
            consumer,
            probes: Arc::clone(&probes),
            topics: KnownTopics::default(),
        };
        let thread = std::thread::Builder::new().name(NAME.into()).spawn(move || {
            search.probes.compare_all_at(Instant::now() + COMPARE_EVERY);
            while let Some(questions) = search.probes.next(&signal) {
                let is_time_to_compare = questions.is_empty();
                search.answer(questions, &signal);
                if is_time_to_compare {
                    search.compare_all(&signal);
                }
            }
        });
        Ok(Self {
            probes,
            thread: Some(thread.map_err(|source| OpenError::Thread { name: NAME, source })?),
        })
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.probes.lock().stop = true;
        self.probes.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It ends within a poll or a look-up. A panic in it is already logged.
            let _ = thread.join();
        }
    }
}

/// The consumer of the thread.
struct Search {
    consumer: Arc<BaseConsumer<SearchContext>>,
    probes: Arc<Probes>,
    topics: KnownTopics,
}

/// A place to search from.
type Place = (TopicPartition, Offset);

impl Search {
    /// Answers questions, and wakes the tasks that wait for the answers.
    fn answer(&self, questions: Vec<Question>, signal: &Signal) {
        if questions.is_empty() {
            return;
        }
        let (mut asked, mut compared, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for question in questions {
            match question {
                Question::Place {
                    partition,
                    from,
                    finds_end,
                    answer,
                } => asked.push(((partition, from), finds_end, answer)),
                Question::Watched { watched, answer } => {
                    compared.push(watched);
                    answers.push(answer);
                }
            }
        }
        self.look(asked);
        for (verdict, answer) in self.compare(&compared, SEARCH).into_iter().zip(answers) {
            // The asker may be gone.
            let _ = answer.send(verdict);
        }
        signal.raise();
    }

    /// Looks at places, of which some are to be searched up to the end of their partition.
    fn look(&self, asked: Vec<(Place, bool, Sender<Finding>)>) {
        let with_end = asked.iter().filter(|(_, finds_end, _)| *finds_end);
        let partitions = with_end.map(|((partition, _), ..)| *partition).collect();
        let ends: BTreeMap<_, _> = readable_ends(&self.consumer, &partitions, SEARCH).into_iter().collect();
        let (mut places, mut searched) = (Vec::new(), Vec::new());
        for ((partition, from), finds_end, answer) in asked {
            let end = ends.get(&partition).copied();
            let known = match end {
                None => Some(Finding::Unknown),
                Some(end) => (end <= from).then_some(Finding::End(end)),
            };
            match known.filter(|_| finds_end) {
                // The asker may be gone.
                Some(finding) => drop(answer.send(finding)),
                None => {
                    places.push((partition, from));
                    searched.push((end.filter(|_| finds_end), answer));
                }
            }
        }
        for ((end, answer), finding) in searched.into_iter().zip(self.find(&places, SEARCH)) {
            let finding = match (finding, end) {
                (Finding::End(_), Some(end)) => Finding::End(end),
                (Finding::Record(record), Some(end)) if record.offset >= end => Finding::End(end),
                (finding, _) => finding,
            };
            drop(answer.send(finding));
        }
    }

    /// Compares all watched records. Answers questions in between.
    fn compare_all(&self, signal: &Signal) {
        self.probes.compare_all_at(Instant::now() + COMPARE_EVERY);
        let mut all = self.probes.watch.all();
        // Neighbours then have different numbers, and are searched together.
        all.sort_by_key(|watched| watched.partition);
        for watched in all.chunks(COMPARED) {
            if self.probes.is_stopped() {
                return;
            }
            if self.compare(watched, QUICK_SEARCH).contains(&Verdict::Replaced) {
                signal.raise();
            }
            self.answer(self.probes.take_questions(), signal);
        }
    }

    /// Looks whether the records that were read are still there.
    fn compare(&self, watched: &[Arc<Watched>], patience: Duration) -> Vec<Verdict> {
        let records: Vec<Vec<Evidence>> = watched.iter().map(|watched| watched.to_compare()).collect();
        let places: Vec<Place> = watched
            .iter()
            .zip(&records)
            .flat_map(|(watched, records)| records.iter().map(|record| (watched.partition, record.offset)))
            .collect();
        let mut findings = self.find(&places, patience).into_iter();
        let verdicts = watched.iter().zip(records).map(|(watched, records)| {
            let findings = findings.by_ref().take(records.len()).collect::<Vec<_>>();
            watched.judge(records.into_iter().zip(findings), || self.start(watched.partition))
        });
        let verdicts: Vec<Verdict> = verdicts.collect();
        if verdicts.contains(&Verdict::Missing) {
            self.probes.compare_soon();
        }
        verdicts
    }

    /// The first offset of a partition that still exists; `None` if it cannot be looked up now.
    fn start(&self, partition: TopicPartition) -> Option<Offset> {
        let (topic, number) = kafka_partition(partition);
        let (start, _) = self.consumer.fetch_watermarks(topic, number, SEARCH).ok()?;
        Some(from_kafka(start))
    }

    /// The first record at or after each of these places.
    fn find(&self, places: &[Place], patience: Duration) -> Vec<Finding> {
        let mut findings: Vec<Finding> = places.iter().map(|_| Finding::Unknown).collect();
        let mut left: Vec<usize> = (0..places.len()).collect();
        while !left.is_empty() {
            let mut numbers = BTreeSet::new();
            let (group, rest): (Vec<usize>, Vec<usize>) = left.into_iter().partition(|index| {
                let number = places.get(*index).map(|(partition, _)| partition.partition);
                numbers.len() < TOGETHER && numbers.insert(number)
            });
            left = rest;
            for index in self.find_together(places, &group, patience, &mut findings) {
                self.find_together(places, &[index], patience, &mut findings);
            }
        }
        findings
    }

    /// Searches from places whose partitions have different numbers. Returns those that have to be searched alone, because of an error.
    fn find_together(
        &self,
        places: &[Place],
        group: &[usize],
        patience: Duration,
        findings: &mut [Finding],
    ) -> Vec<usize> {
        let began = Instant::now();
        // An error of an earlier search may have come late.
        while poll(&self.consumer).is_some() {}
        let mut left: BTreeMap<usize, Place> = group
            .iter()
            .filter_map(|index| Some((*index, *places.get(*index)?)))
            .collect();
        let mut list = TopicPartitionList::new();
        for (partition, from) in left.values() {
            self.topics.learn(&self.consumer, [partition.topic]);
            let (topic, number) = kafka_partition(*partition);
            // An offset from a record is valid.
            let _ = list.add_partition_offset(topic, number, BrokerOffset::Offset(to_kafka(*from)));
        }
        if let Err(error) = self.consumer.incremental_assign(&list) {
            tracing::debug!("cannot look at records: {}", text(&error));
            return Vec::new();
        }
        let deadline = Instant::now() + patience;
        let mut alone = Vec::new();
        while !left.is_empty() && Instant::now() < deadline && !self.probes.is_stopped() {
            let Some(event) = self.consumer.poll(POLL) else {
                continue;
            };
            let found = match event {
                Ok(message) => partition_of(&message).and_then(|partition| {
                    let index = index_of(&left, |(place, _)| *place == partition)?;
                    let mut bytes = Vec::new();
                    append(partition, &message, &mut bytes);
                    let record = Evidence::of(from_kafka(message.offset()), &bytes);
                    Some((index, Finding::Record(record)))
                }),
                Err(KafkaError::PartitionEOF(number)) => {
                    let is_meant = |place: &Place| kafka_partition(place.0).1 == number;
                    index_of(&left, is_meant).map(|index| {
                        let end = left.get(&index).map_or(Offset::START, |(_, from)| *from);
                        (index, Finding::End(end))
                    })
                }
                Err(error) if error.rdkafka_error_code().is_some_and(is_connection) => None,
                Err(error) if group.len() == 1 => {
                    index_of(&left, |_| true).map(|index| (index, Finding::Failed(error)))
                }
                Err(_) => {
                    alone = left.keys().copied().collect();
                    break;
                }
            };
            let Some((index, finding)) = found else { continue };
            if let (Some((partition, _)), Some(place)) = (left.remove(&index), findings.get_mut(index)) {
                *place = finding;
                self.unassign(partition);
            }
        }
        tracing::trace!(
            "looked at {} places in {:.1?}: {} left, {} alone; {list:?}",
            group.len(),
            began.elapsed(),
            left.len(),
            alone.len()
        );
        for (partition, _) in left.into_values() {
            self.unassign(partition);
        }
        alone
    }

    fn unassign(&self, partition: TopicPartition) {
        let ended = list_of(partition, None).and_then(|list| self.consumer.incremental_unassign(&list));
        if let Err(error) = ended {
            tracing::debug!("cannot end the search in {partition}: {}", text(&error));
        }
    }
}

fn index_of(left: &BTreeMap<usize, Place>, is_meant: impl Fn(&Place) -> bool) -> Option<usize> {
    left.iter().find(|(_, place)| is_meant(place)).map(|(index, _)| *index)
}
