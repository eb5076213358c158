//! Looks up the ends of partitions for tasks that go on meanwhile.
//!
//! A thread of its own does it, so no task waits for a broker. A look-up begins after it was asked for, and answers all that ask for the same
//! partition by then. Without questions nothing is sent.

use std::collections::BTreeSet;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::topic_partition_list::Offset as BrokerOffset;

use crate::bus::error::OpenError;
use crate::bus::kafka::client::Signal;
use crate::bus::kafka::consumer::{from_kafka, kafka_partition};
use crate::bus::kafka::failure::text;
use crate::bus::pending::PendingEnd;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// Time-out of one look-up.
const LOOK_UP: Duration = Duration::from_secs(2);
/// The least time from one look-up to the next. So a busy process sends a few hundred small requests a second at most.
const PAUSE: Duration = Duration::from_millis(4);
/// The name of the thread.
const NAME: &str = "kafka ends";

/// Looks up ends; `None` for all if that fails.
type LookUp = Box<dyn Fn(&BTreeSet<TopicPartition>) -> Vec<(TopicPartition, Offset)> + Send>;

#[derive(Default)]
struct Queue {
    questions: Vec<(TopicPartition, Sender<Offset>)>,
    stop: bool,
}

#[derive(Default)]
struct Asked {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Asked {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for questions, and until `not_before`. `None` at the end.
    fn next(&self, not_before: Instant) -> Option<Vec<(TopicPartition, Sender<Offset>)>> {
        let mut queue = self.lock();
        loop {
            if queue.stop {
                return None;
            }
            let early = not_before.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                let waited = self.changed.wait_timeout(queue, early);
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            } else if queue.questions.is_empty() {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else {
                return Some(std::mem::take(&mut queue.questions));
            }
        }
    }
}

/// The thread that looks ends up, ended with this.
pub(super) struct Ends {
    asked: Arc<Asked>,
    thread: Option<JoinHandle<()>>,
}

impl Ends {
    /// Looks up with `client`, which reads committed records only: so it finds readable ends.
    pub(super) fn start<C: ConsumerContext + 'static>(
        client: Arc<BaseConsumer<C>>,
        signal: Arc<Signal>,
    ) -> Result<Self, OpenError> {
        Self::with(
            Box::new(move |partitions| readable_ends(&client, partitions, LOOK_UP)),
            signal,
        )
    }

    fn with(look_up: LookUp, signal: Arc<Signal>) -> Result<Self, OpenError> {
        let asked = Arc::<Asked>::default();
        let shared = Arc::clone(&asked);
        let thread = std::thread::Builder::new().name(NAME.into()).spawn(move || {
            let mut not_before = Instant::now();
            while let Some(questions) = shared.next(not_before) {
                not_before = Instant::now() + PAUSE;
                let found = look_up(&questions.iter().map(|(partition, _)| *partition).collect());
                for (partition, answer) in questions {
                    if let Some((_, end)) = found.iter().find(|(of, _)| *of == partition) {
                        // The asker may be gone.
                        let _ = answer.send(*end);
                    }
                }
                signal.raise();
            }
        });
        Ok(Self {
            asked,
            thread: Some(thread.map_err(|source| OpenError::Thread { name: NAME, source })?),
        })
    }

    /// Begins to look up the end of a partition. The waiting tasks are woken when it is known.
    pub(super) fn ask(&self, partition: TopicPartition) -> PendingEnd {
        let (pending, answer) = PendingEnd::asked();
        self.asked.lock().questions.push((partition, answer));
        self.asked.changed.notify_all();
        pending
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.asked.lock().stop = true;
        self.asked.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It ends within a look-up. A panic in it is already logged.
            let _ = thread.join();
        }
    }
}

/// The readable ends of these partitions, in one request to each of their leaders. One that cannot be looked up now is missing.
pub(super) fn readable_ends<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    partitions: &BTreeSet<TopicPartition>,
    at_most: Duration,
) -> Vec<(TopicPartition, Offset)> {
    if partitions.is_empty() {
        return Vec::new();
    }
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        let (topic, number) = kafka_partition(*partition);
        // In place of a time, this asks for the end. It is a valid offset.
        let _ = list.add_partition_offset(topic, number, BrokerOffset::End);
    }
    let found = match client.offsets_for_times(list, at_most) {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!("cannot look up ends of partitions: {}", text(&error));
            return Vec::new();
        }
    };
    let end = |partition: &TopicPartition| {
        let (topic, number) = kafka_partition(*partition);
        let element = found.find_partition(topic, number)?;
        match (element.error(), element.offset()) {
            (Ok(()), BrokerOffset::Offset(end)) => Some((*partition, from_kafka(end))),
            _ => None,
        }
    };
    partitions.iter().filter_map(end).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::core::contract::topic::Topic;

    type FoundEnds = Vec<(TopicPartition, Offset)>;

    /// Look-ups that end when the test says so. It learns what each was asked for.
    fn slow() -> (LookUp, Receiver<usize>, Sender<FoundEnds>) {
        let (began, looks) = channel();
        let (answers, answer) = channel();
        let look_up = move |partitions: &BTreeSet<TopicPartition>| {
            // The test may have ended.
            let _ = began.send(partitions.len());
            answer.recv().unwrap_or_default()
        };
        (Box::new(look_up), looks, answers)
    }

    #[test]
    fn a_look_up_answers_only_what_was_asked_before_it_began() {
        let (look_up, looks, answers) = slow();
        let signal = Arc::<Signal>::default();
        let ends = Ends::with(look_up, Arc::clone(&signal)).unwrap();
        let [control, trades] = [Topic::Control.partition(0), Topic::Trades.partition(3)];
        let mut first = ends.ask(control);
        assert_eq!(looks.recv().unwrap(), 1);
        // The first look-up is under way. Its end may be older than these questions.
        let mut later: Vec<PendingEnd> = [control, control, trades].map(|partition| ends.ask(partition)).into();
        assert!(first.poll().is_none());
        let seen = signal.version();
        answers.send(vec![(control, Offset::new(7))]).unwrap();
        assert_eq!(looks.recv().unwrap(), 2, "one look-up for three questions");
        assert!(signal.version() > seen, "the tasks are woken");
        assert_eq!(first.poll(), Some(Some(Offset::new(7))));
        assert!(later.iter_mut().all(|pending| pending.poll().is_none()));
        // The end of trades is not known now.
        answers.send(vec![(control, Offset::new(9))]).unwrap();
        signal.wait(seen + 1, LOOK_UP);
        let found: Vec<_> = later.iter_mut().map(|pending| pending.poll()).collect();
        let nine = Some(Some(Offset::new(9)));
        assert_eq!(found, [nine, nine, Some(None)]);
    }
}
