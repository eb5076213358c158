//! Why a partition keeps others waiting: how far its task has committed, how far its records can be read, and who has the task.

use std::collections::BTreeMap;

use crate::bus::{Access, Position, ReadError, TaskId, Topic, TopicPartition};
use crate::core::contract::decision::Offsets;
use crate::core::coordinate::waiting::{Missing, NAMED};
use crate::task::task_states::TaskStates;

const CONTROL: TopicPartition = Topic::Control.partition(0);
const DECISIONS: TopicPartition = Topic::Decisions.partition(0);

/// How an operator finds the producer of an open transaction.
const OPEN_TRANSACTION: &str = "a producer's transaction is open there; it must commit or abort, or time out (`kafka-transactions.sh describe-producers` shows it)";

/// Looks up why partitions keep others waiting.
pub(super) struct Diagnosis<'a> {
    pub access: &'a Access,
    pub task_states: &'a TaskStates,
}

/// What one look found out about the tasks of other processes, so that it is asked for once.
type Owners = Option<BTreeMap<TaskId, String>>;

impl Diagnosis<'_> {
    /// A sentence for each of the first partitions that `missing` names. If the bus does not answer, a sentence that says so.
    pub(super) fn explain(&self, missing: &Missing) -> Vec<String> {
        let owners = self.owners();
        let mut sentences = Vec::new();
        let outcome = match missing {
            Missing::Seal(_) => Ok(()),
            Missing::Answers(sources) => self.each(sources, &mut sentences, |source| self.answer(source, &owners)),
            Missing::Subtotals { partitions, cut } => self.subtotals(partitions, cut, &owners, &mut sentences),
            Missing::Previews(partitions) | Missing::Receipts(partitions) => {
                self.each(partitions, &mut sentences, |partition| {
                    self.ledger(partition, "is emitting distributions", &owners)
                })
            }
        };
        if let Err(error) = outcome {
            sentences.push(format!("why cannot be looked up: {error}"));
        }
        sentences
    }

    /// A sentence if control events are written that cannot be read.
    pub(super) fn unread_control(&self) -> Option<String> {
        let log = self.access.log();
        let (readable, written) = (log.readable_end(CONTROL).ok()?, log.written_end(CONTROL).ok()?);
        (readable < written).then(|| {
            format!("{CONTROL} can be read to offset {readable} of {written}: {OPEN_TRANSACTION}; control events behind it wait")
        })
    }

    fn each<T: Copy>(
        &self,
        partitions: &[T],
        sentences: &mut Vec<String>,
        explain: impl Fn(T) -> Result<String, ReadError>,
    ) -> Result<(), ReadError> {
        for partition in partitions.iter().take(NAMED.saturating_sub(sentences.len())) {
            sentences.push(explain(*partition)?);
        }
        Ok(())
    }

    /// Why a source partition does not answer.
    fn answer(&self, source: TopicPartition, owners: &Owners) -> Result<String, ReadError> {
        let task = TaskId::ingest(source);
        let at = self.position(task)?;
        let decisions = self.access.log().readable_end(DECISIONS)?;
        let why = match self.runner(task, owners) {
            Runner::None(why) => why,
            Runner::Some(owner) => {
                let read = at.offset(DECISIONS);
                format!("it has read the decisions to offset {read} of {decisions}{owner}")
            }
        };
        Ok(format!("{source}: its task is at offset {}; {why}", at.offset(source)))
    }

    /// Why subtotals are missing: a source partition that has not reached the cut, or a ledger partition that is behind.
    fn subtotals(
        &self,
        partitions: &[u32],
        cut: &Offsets,
        owners: &Owners,
        sentences: &mut Vec<String>,
    ) -> Result<(), ReadError> {
        let mut behind = Vec::new();
        for (source, cut) in &cut.0 {
            let at = self.position(TaskId::ingest(*source))?.offset(*source);
            if at < *cut {
                behind.push((*source, at, *cut));
            }
        }
        self.each(&behind, sentences, |(source, at, cut)| {
            let readable = self.access.log().readable_end(source)?;
            let why = match self.runner(TaskId::ingest(source), owners) {
                Runner::Some(_) if readable < cut => format!("it can be read to offset {readable}: {OPEN_TRANSACTION}"),
                Runner::Some(owner) => format!("it reads on{owner}"),
                Runner::None(why) => why,
            };
            Ok(format!("{source}: its task is at offset {at} of the cut {cut}; {why}"))
        })?;
        if behind.is_empty() {
            self.each(partitions, sentences, |partition| {
                self.ledger(partition, "reads on", owners)
            })?;
        }
        Ok(())
    }

    /// Where the task of a ledger partition is.
    fn ledger(&self, partition: u32, working: &str, owners: &Owners) -> Result<String, ReadError> {
        let partition = Topic::Ledger.partition(partition);
        let task = TaskId::following(partition);
        let log = self.access.log();
        let at = self.position(task)?.offset(partition);
        let (readable, written) = (log.readable_end(partition)?, log.written_end(partition)?);
        let why = match self.runner(task, owners) {
            Runner::Some(_) if at >= readable && readable < written => OPEN_TRANSACTION.to_owned(),
            Runner::Some(owner) => format!("it {working}{owner}"),
            Runner::None(why) => why,
        };
        let end = if readable < written {
            format!("{readable} that can be read, and {written} that are written")
        } else {
            readable.to_string()
        };
        Ok(format!("{partition}: its task is at offset {at} of {end}; {why}"))
    }

    fn position(&self, task: TaskId) -> Result<Position, ReadError> {
        Ok(self.access.log().committed(task)?.unwrap_or_default())
    }

    fn owners(&self) -> Owners {
        self.access.membership().and_then(|membership| membership.owners().ok())
    }

    /// Who runs `task`, and what is known against it.
    fn runner(&self, task: TaskId, owners: &Owners) -> Runner {
        if let Some(trouble) = self.task_states.trouble_of(task) {
            return Runner::None(format!("it {trouble}"));
        }
        match owners {
            None => Runner::Some(String::new()),
            Some(owners) => match owners.get(&task) {
                Some(owner) => Runner::Some(format!("; {owner} has it: look into its log")),
                None => Runner::None("no instance has it: the group rebalances, or the partition is new".to_owned()),
            },
        }
    }
}

/// Whether a process runs a task.
enum Runner {
    /// None does, for this reason.
    None(String),
    /// One does. A clause names it, unless it is the only one.
    Some(String),
}
