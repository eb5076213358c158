//! The bus on Kafka of a process that works on its deployment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::bus::error::{CommitError, OpenError, ReadError};
use crate::bus::interface::{Bus, Log, Membership, Reader};
use crate::bus::kafka::brokers::{Brokers, LOOK_UP, range};
use crate::bus::kafka::client::Signal;
use crate::bus::kafka::contact::Patience;
use crate::bus::kafka::decisions::{Decisions, DecisionsReader};
use crate::bus::kafka::evidence::Finding;
use crate::bus::kafka::member::Member;
use crate::bus::kafka::reader::KafkaReader;
use crate::bus::kafka::settings::KafkaSettings;
use crate::bus::kafka::transaction::Transactions;
use crate::bus::outputs;
use crate::bus::pending::{PendingCommit, PendingEnd};
use crate::bus::position::{Mark, Position, TaskId};
use crate::core::contract::appends::Outputs;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

pub struct KafkaBus {
    identity: String,
    signal: Arc<Signal>,
    brokers: Arc<Brokers>,
    decisions: Arc<Decisions>,
    member: Arc<Member>,
    transactions: Transactions,
}

impl KafkaBus {
    /// Connects, and joins the deployment's consumer group. Retries while the brokers cannot be reached; `None` if `stop` is set meanwhile.
    ///
    /// # Errors
    /// If a property is not valid, a secret cannot be read, the brokers reject this client, or one of our topics is missing.
    pub fn open(settings: KafkaSettings, stop: &Arc<AtomicBool>) -> Result<Option<Self>, OpenError> {
        let patience = Patience { stop, timeout: None };
        let Some((brokers, cluster)) = Brokers::connect(settings, false, &patience)? else {
            return Ok(None);
        };
        for topic in OURS {
            if brokers.partitions(topic)?.is_empty() {
                return Err(OpenError::NoTopic { topic });
            }
        }
        brokers.warn_of_unread_topics();
        let (settings, signal) = (Arc::clone(&brokers.settings), Arc::clone(&brokers.signal));
        let mut member = Member::new(Arc::clone(&settings), Arc::clone(&signal), &brokers.reasons)?;
        brokers.clients.add("work in its group", member.shared_consumer());
        member.join()?;
        let member = Arc::new(member);
        let transactions = Transactions::new(Arc::clone(&brokers), Arc::clone(&member), Arc::clone(stop))?;
        Ok(Some(Self {
            identity: format!("kafka {cluster}, deployment {}", settings.deployment),
            signal,
            decisions: Arc::new(Decisions::new(Arc::clone(&brokers))),
            brokers,
            member,
            transactions,
        }))
    }

    /// Finishes the transactions in progress, and accepts no more.
    pub fn close(&self) {
        self.transactions.close();
    }
}

/// The topics that must exist before a process starts.
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

impl Log for KafkaBus {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError> {
        Ok(self.brokers.partitions(topic)?)
    }

    fn refresh(&self) {
        self.brokers.forget_partitions();
    }

    fn start(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        Ok(self.brokers.range(partition)?.0)
    }

    fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        Ok(self.brokers.range(partition)?.1)
    }

    fn look_up_end(&self, partition: TopicPartition) -> Result<PendingEnd, ReadError> {
        Ok(self.brokers.ends.ask(partition))
    }

    fn written_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        let range = range(self.member.consumer(), partition, LOOK_UP);
        let (_, end) = range.map_err(|error| self.brokers.failed(&self.brokers.attempt(partition), &error))?;
        Ok(end)
    }

    /// The last offsets of a partition may be transaction markers, so each is searched for a record.
    fn drained(&self, places: &BTreeMap<TopicPartition, Offset>) -> Result<BTreeSet<TopicPartition>, ReadError> {
        let ask = |(partition, from): (&TopicPartition, &Offset)| {
            (*partition, self.brokers.probes.ask(*partition, *from, true))
        };
        let asked: Vec<_> = places.iter().map(ask).collect();
        let deadline = Instant::now() + LOOK_UP;
        let mut drained = BTreeSet::new();
        for (partition, answer) in asked {
            let wait = deadline.saturating_duration_since(Instant::now());
            if let Ok(Finding::End(_)) = answer.recv_timeout(wait) {
                drained.insert(partition);
            }
        }
        Ok(drained)
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, ReadError> {
        if partition.topic == Topic::Decisions {
            return Ok(Box::new(DecisionsReader::open(Arc::clone(&self.decisions), from)?));
        }
        Ok(Box::new(KafkaReader::open(Arc::clone(&self.brokers), partition, from)?))
    }

    fn check(&self, partition: TopicPartition, mark: &Mark) -> Result<(), ReadError> {
        self.brokers.check_offset(partition, mark.offset).map(drop)
    }

    fn verify(&self, partition: TopicPartition) -> Result<(), ReadError> {
        self.brokers.verify(partition)
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError> {
        self.brokers.committed(task)
    }

    fn version(&self) -> u64 {
        self.signal.version()
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, ReadError> {
        Ok(self.signal.wait(seen, at_most))
    }
}

impl Bus for KafkaBus {
    fn commit(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), CommitError> {
        let begun = self.begin_commit(task, Arc::new(outputs.clone()), position)?;
        begun.wait().map(drop)
    }

    fn begin_commit(
        &self,
        task: TaskId,
        outputs: Arc<Outputs>,
        position: &Position,
    ) -> Result<PendingCommit, CommitError> {
        outputs::check(&outputs)?;
        self.transactions.begin(task, outputs, position)
    }

    fn membership(&self) -> Option<&dyn Membership> {
        Some(self.member.as_ref())
    }
}
