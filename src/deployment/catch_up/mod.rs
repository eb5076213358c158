//! Whether a deployment that several processes share has caught up with what was on the bus when this process began (`--until-idle`).
//!
//! It looks from outside, at committed positions, decisions and seals. So it does not matter which process does the work, and nothing counts before its
//! commit is confirmed. The ends to reach are fixed, so that it ends while new records arrive. In this order:
//!
//! 1. **Inputs.** The written ends of the control topic and of all source partitions are looked up once. All control records below their end are
//!    decided, and each ingest task has committed a position at its end or after it, with those decisions read. So all blocks, barriers, answers and
//!    settlements that these records cause are written.
//! 2. **Inner topics.** Only now their ends are looked up, once. The coordinator and each accrue task have committed a position there, or no record is
//!    left: the last offsets of these topics are transaction markers, which nobody reads.
//! 3. **Seals.** Each close below the end of the control topic is sealed, or held, or void, or behind such a one. What a job of an accrue task still
//!    has to publish is a part of some settlement, so there is none left.
//!
//! What never comes is told by the process that can know it: [`CatchUp::stuck`].

mod closes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::bus::{Log, Mark, ReadError, Reader, TaskId, Topic, TopicPartition};
use crate::core::contract::decision::Decision;
use crate::core::contract::records::read_data;
use crate::core::coordinate::waiting::Missing;
use crate::core::fault::Fault;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;
use crate::deployment::catch_up::closes::Closes;
use crate::task::TaskError;
use crate::task::coordinator_task::UnfinishedWork;
use crate::task::task_states::{TaskStates, TroubleKind};

const CONTROL: TopicPartition = Topic::Control.partition(0);
const DECISIONS: TopicPartition = Topic::Decisions.partition(0);
const EPOCHS: TopicPartition = Topic::Epochs.partition(0);
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What is waited for is told after this time, and again each time it is over.
const TELL_EVERY: Duration = Duration::from_secs(30);
/// A source partition counts as gone after this time: brokers may not know a new topic at once.
const GONE_FOR: Duration = Duration::from_secs(10);
/// Inner partitions are looked at together, up to this many.
const TOGETHER: usize = 64;
/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// How the wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CaughtUp {
    /// Everything is processed, and every close that counts is sealed or stopped by the gate.
    Done,
    /// The rest waits for something that does not come by itself.
    Stuck(String),
}

/// What is looked at.
pub(super) struct CatchUp<'a> {
    pub log: &'a dyn Log,
    pub ledger_partitions: u16,
    /// What the coordinator has not finished, if it works in this process.
    pub unfinished: &'a Mutex<UnfinishedWork>,
    pub task_states: &'a TaskStates,
}

/// Why a look found no end.
enum Pending {
    /// This is missing.
    Waits(String),
    /// The process ends.
    Ended,
    /// The bus could not be read now.
    Error(TaskError),
}

impl From<TaskError> for Pending {
    fn from(error: TaskError) -> Self {
        Self::Error(error)
    }
}

impl From<ReadError> for Pending {
    fn from(error: ReadError) -> Self {
        Self::Error(error.into())
    }
}

/// A task has to reach an offset of its input.
#[derive(Debug, Clone, Copy)]
struct Goal {
    task: TaskId,
    input: TopicPartition,
    to: Offset,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} has committed no position at offset {} of {}",
            self.task, self.to, self.input
        )
    }
}

enum Stage {
    Inputs,
    Inner,
    Seals,
}

/// How far the wait is.
struct Search {
    stage: Stage,
    /// What is left of this stage.
    goals: Vec<Goal>,
    /// All control records below it count.
    control: Offset,
    closes: Closes,
    /// The offset after the decision that says that all of them are decided.
    decided_at: Option<Offset>,
    decisions: Followed,
    seals: Followed,
    /// Since when a source partition is missing that the coordinator waits for.
    gone_since: Option<Instant>,
}

/// A partition that is read on and on.
struct Followed {
    partition: TopicPartition,
    mark: Mark,
    reader: Option<Box<dyn Reader>>,
}

/// The part of a seal that counts here.
#[derive(Deserialize)]
struct SealedEpoch {
    asset: Asset,
    epoch: Epoch,
}

impl CatchUp<'_> {
    /// Looks until the deployment has caught up or is stuck; `None` once the other end of `ended` is dropped.
    pub(super) fn wait(&self, ended: &Receiver<()>) -> Option<CaughtUp> {
        let mut search = None;
        let mut told = Instant::now();
        while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            let looked = self.look(&mut search, ended);
            let missing = match looked {
                Ok(end) => return Some(end),
                Err(Pending::Ended) => return None,
                Err(Pending::Waits(what)) => what,
                Err(Pending::Error(error)) => error.to_string(),
            };
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                tracing::info!("not idle yet: {missing}");
            }
        }
        None
    }

    fn look(&self, search: &mut Option<Search>, ended: &Receiver<()>) -> Result<CaughtUp, Pending> {
        let search = match search {
            Some(search) => search,
            None => search.insert(Search::begin(self.log)?),
        };
        search.follow(self.log)?;
        match self.look_at(search, ended) {
            Err(Pending::Waits(what)) => match self.stuck(search)? {
                Some(why) => Ok(CaughtUp::Stuck(why)),
                None => Err(Pending::Waits(what)),
            },
            looked => looked.map(|()| CaughtUp::Done),
        }
    }

    /// Takes one stage after the other, as far as possible.
    fn look_at(&self, search: &mut Search, ended: &Receiver<()>) -> Result<(), Pending> {
        if let Stage::Inputs = search.stage {
            self.look_at_inputs(search, ended)?;
            search.goals = self.inner_goals(ended)?;
            search.stage = Stage::Inner;
        }
        if let Stage::Inner = search.stage {
            self.look_at_inner(search, ended)?;
            search.stage = Stage::Seals;
        }
        match search.closes.under_way().next() {
            Some((asset, epoch)) => Err(Pending::Waits(format!(
                "{asset} epoch {epoch} is closed and has no seal"
            ))),
            None => Ok(()),
        }
    }

    fn look_at_inputs(&self, search: &mut Search, ended: &Receiver<()>) -> Result<(), Pending> {
        let Some(decided_at) = search.decided_at else {
            let (decided, to) = (search.closes.decided(), search.control);
            return Err(Pending::Waits(format!(
                "{CONTROL} is decided up to offset {decided} of {to}"
            )));
        };
        while let Some(goal) = search.goals.last() {
            if !self.has_read(goal, decided_at, ended)? {
                return Err(Pending::Waits(goal.to_string()));
            }
            search.goals.pop();
        }
        Ok(())
    }

    /// Whether an ingest task has read its partition up to the goal, and all decisions that count.
    fn has_read(&self, goal: &Goal, decided_at: Offset, ended: &Receiver<()>) -> Result<bool, Pending> {
        let position = self.committed(goal.task, ended)?;
        Ok(position(goal.input) >= goal.to && position(DECISIONS) >= decided_at)
    }

    /// The offsets that a task has committed.
    fn committed(
        &self,
        task: TaskId,
        ended: &Receiver<()>,
    ) -> Result<impl Fn(TopicPartition) -> Offset + use<>, Pending> {
        go_on(ended)?;
        let position = self.log.committed(task)?.unwrap_or_default();
        Ok(move |input| position.offset(input))
    }

    /// The ends of the inbox and the ledger, now.
    fn inner_goals(&self, ended: &Receiver<()>) -> Result<Vec<Goal>, Pending> {
        let accrue = (0..self.ledger_partitions).map(TaskId::accrue);
        let mut goals = Vec::with_capacity(usize::from(self.ledger_partitions) + 1);
        for task in accrue.chain([TaskId::COORDINATE]) {
            go_on(ended)?;
            let input = task.home();
            let to = self.log.written_end(input)?;
            goals.push(Goal { task, input, to });
        }
        Ok(goals)
    }

    fn look_at_inner(&self, search: &mut Search, ended: &Receiver<()>) -> Result<(), Pending> {
        while !search.goals.is_empty() {
            let together = search.goals.split_off(search.goals.len().saturating_sub(TOGETHER));
            let mut left = BTreeMap::new();
            for goal in &together {
                match self.committed(goal.task, ended) {
                    Ok(position) if position(goal.input) >= goal.to => {}
                    Ok(position) => _ = left.insert(goal.input, position(goal.input)),
                    Err(pending) => {
                        search.goals.extend(together);
                        return Err(pending);
                    }
                }
            }
            let drained = match self.log.drained(&left) {
                Ok(drained) => drained,
                Err(error) => {
                    search.goals.extend(together);
                    return Err(error.into());
                }
            };
            let unread = |goal: &Goal| left.contains_key(&goal.input) && !drained.contains(&goal.input);
            search.goals.extend(together.into_iter().filter(unread));
            if let Some(goal) = search.goals.last().filter(|goal| unread(goal)) {
                return Err(Pending::Waits(goal.to_string()));
            }
        }
        Ok(())
    }

    /// What the rest waits for, if it does not come by itself, and this process can know that: it has the coordinator, or the task that waits. Any other
    /// process goes on until it gets that task. Every process sees that unread records are gone with their topic.
    fn stuck(&self, search: &mut Search) -> Result<Option<String>, Pending> {
        if let Some(decided_at) = search.decided_at
            && let Some(why) = self.blocked(search, decided_at)?
        {
            return Ok(Some(why));
        }
        let unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Stage::Seals = search.stage
            && unfinished.is_current
        {
            // An alarm stops its epoch and all later ones of the asset.
            let halted = |(asset, epoch): (Asset, Epoch)| {
                let mut halted = unfinished.halted.iter();
                halted.any(|(of, first)| *of == asset && *first <= epoch)
            };
            if search.closes.under_way().all(halted) {
                return Ok(Some(unfinished.alarms.join("; ")));
            }
        }
        let mut gone = self.gone_unread(search)?;
        if unfinished.is_current {
            gone.extend(self.gone(&unfinished)?);
        }
        let Some(source) = gone.first() else {
            search.gone_since = None;
            return Ok(None);
        };
        let since = search.gone_since.get_or_insert_with(Instant::now);
        Ok((since.elapsed() > GONE_FOR).then(|| format!("{source} is not on the bus any more")))
    }

    /// A task of this process that waits for a decision, though all control records that count are decided, and it knows them.
    fn blocked(&self, search: &Search, decided_at: Offset) -> Result<Option<String>, Pending> {
        let Stage::Inputs = search.stage else {
            return Ok(None);
        };
        for goal in &search.goals {
            let trouble = self.task_states.trouble_of(goal.task);
            let Some(trouble) = trouble.filter(|trouble| trouble.kind == TroubleKind::Waits) else {
                continue;
            };
            let position = self.log.committed(goal.task)?.unwrap_or_default();
            if position.offset(DECISIONS) >= decided_at && position.offset(goal.input) < goal.to {
                return Ok(Some(format!("{} {trouble}", goal.task)));
            }
        }
        Ok(None)
    }

    /// The source partitions that are not on the bus any more, and were not read up to the end that they had.
    fn gone_unread(&self, search: &Search) -> Result<BTreeSet<TopicPartition>, Pending> {
        let mut gone = BTreeSet::new();
        if let Stage::Inputs = search.stage {
            for goal in &search.goals {
                if self.is_gone(goal.input)? {
                    let position = self.log.committed(goal.task)?.unwrap_or_default();
                    if position.offset(goal.input) < goal.to {
                        gone.insert(goal.input);
                    }
                }
            }
        }
        Ok(gone)
    }

    /// The source partitions that are not on the bus any more, and whose answer or barrier the coordinator waits for.
    fn gone(&self, unfinished: &UnfinishedWork) -> Result<BTreeSet<TopicPartition>, Pending> {
        let mut gone = BTreeSet::new();
        for waiting in &unfinished.waiting {
            match &waiting.missing {
                Missing::Answers(sources) => {
                    for source in sources {
                        if self.is_gone(*source)? {
                            gone.insert(*source);
                        }
                    }
                }
                Missing::Subtotals { cut, .. } => {
                    for (source, offset) in &cut.0 {
                        if self.is_gone(*source)? {
                            let position = self.log.committed(TaskId::ingest(*source))?.unwrap_or_default();
                            if position.offset(*source) < *offset {
                                gone.insert(*source);
                            }
                        }
                    }
                }
                Missing::Seal(_) | Missing::Previews(_) | Missing::Receipts(_) => {}
            }
        }
        Ok(gone)
    }

    fn is_gone(&self, source: TopicPartition) -> Result<bool, ReadError> {
        Ok(!self.log.partitions(source.topic)?.contains(&source.partition))
    }
}

fn go_on(ended: &Receiver<()>) -> Result<(), Pending> {
    match ended.try_recv() {
        Err(TryRecvError::Empty) => Ok(()),
        _ => Err(Pending::Ended),
    }
}

impl Search {
    /// Looks up the ends of the inputs.
    fn begin(log: &dyn Log) -> Result<Self, ReadError> {
        let mut goals = Vec::new();
        for topic in Topic::SOURCES {
            for number in log.partitions(topic)? {
                let input = topic.partition(number);
                goals.push(Goal {
                    task: TaskId::ingest(input),
                    input,
                    to: log.written_end(input)?,
                });
            }
        }
        // After the sources: a close among the records below their ends counts.
        let control = log.written_end(CONTROL)?;
        // No decision is about records that were deleted before the deployment began.
        let has_control = log.start(CONTROL)? < control;
        Ok(Self {
            stage: Stage::Inputs,
            goals,
            control,
            closes: Closes::new(control),
            decided_at: (!has_control).then_some(Offset::START),
            decisions: Followed::new(log, DECISIONS)?,
            seals: Followed::new(log, EPOCHS)?,
            gone_since: None,
        })
    }

    /// Reads the new decisions and seals.
    fn follow(&mut self, log: &dyn Log) -> Result<(), TaskError> {
        let Self {
            closes,
            decisions,
            seals,
            decided_at,
            control,
            ..
        } = self;
        decisions.read(log, |offset, record| {
            let decision = Decision::read(record)?;
            closes.take_decision(&decision);
            if decided_at.is_none() && closes.decided() >= *control {
                *decided_at = Some(offset.saturating_add(1));
            }
            Ok(())
        })?;
        seals.read(log, |_, record| {
            let sealed: SealedEpoch = read_data(record).map_err(|error| Fault::Undecodable {
                what: "a record of softstake.epochs",
                why: error.to_string(),
            })?;
            closes.take_seal(sealed.asset, sealed.epoch);
            Ok(())
        })
    }
}

impl Followed {
    fn new(log: &dyn Log, partition: TopicPartition) -> Result<Self, ReadError> {
        let first = log.start(partition)?;
        let mark = if first > Offset::START {
            Mark::beginning(first)
        } else {
            Mark::default()
        };
        Ok(Self {
            partition,
            mark,
            reader: None,
        })
    }

    /// Reads all new records. After an error it goes on behind the last record that was read.
    fn read(
        &mut self,
        log: &dyn Log,
        mut take: impl FnMut(Offset, &[u8]) -> Result<(), Fault>,
    ) -> Result<(), TaskError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => log.open(self.partition, &self.mark)?,
        };
        loop {
            let batch = reader.read(CHUNK, Offset::NO_LIMIT)?;
            if batch.is_empty() {
                break;
            }
            for record in batch.iter().filter(|record| !record.value.is_empty()) {
                take(record.offset, record.value).map_err(|fault| TaskError::Fault {
                    at: format!("{} at offset {}", self.partition, record.offset),
                    fault,
                })?;
            }
            self.mark = batch.next.clone();
            reader.recycle(batch);
        }
        self.reader = Some(reader);
        Ok(())
    }
}
