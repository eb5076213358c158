//! What a deployment was begun with, kept on the bus beside its decisions, and how its ledger has been laid out since.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bus::{BusError, Cursor, Log, Mark, Outputs, Position, Reaction, TaskId, Topic};
use crate::core::protocol::codec;
use crate::core::values::bucket::Partitions;
use crate::deployment::{DEFAULT_PARTITIONS, Deployment, RunMode};
use crate::task::TaskError;

/// How the ledger is laid out: over how many partitions, and how often that was changed before.
///
/// A store of one layout is none of another, even if both have as many partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Layout {
    /// How many changes came before it.
    pub generation: u32,
    /// Its partitions.
    pub partitions: Partitions,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            0 => write!(f, "{}", self.partitions.count()),
            generation => write!(f, "{}-{generation}", self.partitions.count()),
        }
    }
}

/// What the bus has on record of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRecord {
    /// How many ledger partitions are in force.
    pub partitions: u32,
    /// For how many epochs duplicates are recognised.
    pub dedup_epochs: u64,
    /// Every change of the number of ledger partitions, oldest first.
    pub layout_changes: Vec<LayoutChange>,
}

/// A change of the number of ledger partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutChange {
    /// How many there were.
    pub from: u32,
    /// Where the accrue tasks stood, by partition: at the ends of their partitions.
    pub ledger: Vec<StoppedAt>,
    /// Where the coordinator stood.
    pub inbox: StoppedAt,
}

/// Where a task stood between two records of its only input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedAt {
    /// The next offset.
    pub offset: u64,
    /// Jobs finished since the last record.
    pub job: u32,
}

impl StoppedAt {
    /// Where a task stands, if it is not in the middle of a job.
    #[must_use]
    pub fn at(task: TaskId, position: &Position) -> Option<Self> {
        position.cursor.place.is_empty().then(|| Self {
            offset: position.offset(task.home()),
            job: position.cursor.job,
        })
    }

    /// The position of a task that stood there. Marks of our own topics need no evidence.
    #[must_use]
    pub fn position(self, task: TaskId) -> Position {
        if self == Self::default() {
            return Position::default();
        }
        let mark = Mark {
            offset: self.offset,
            evidence: Vec::new(),
        };
        Position {
            inputs: BTreeMap::from([(task.home(), mark)]),
            cursor: Cursor {
                job: self.job,
                place: Vec::new(),
            },
        }
    }
}

impl DeploymentRecord {
    /// What is on record; nothing before a deployment is begun.
    ///
    /// # Errors
    /// What the bus says, or if the record cannot be read.
    pub fn of(log: &dyn Log) -> Result<Option<Self>, TaskError> {
        let Some(position) = log.committed(TaskId::DEPLOYMENT)? else {
            return Ok(None);
        };
        codec::decode(&position.cursor.place, "the deployment's record on the bus")
            .map(Some)
            .map_err(fault)
    }

    /// It as the bus keeps it.
    ///
    /// # Errors
    /// None but a fault.
    pub fn position(&self) -> Result<Position, TaskError> {
        let place = codec::encode(self).map_err(fault)?;
        Ok(Position {
            // Later records are behind earlier ones.
            cursor: Cursor {
                job: u32::try_from(self.layout_changes.len()).unwrap_or(u32::MAX),
                place,
            },
            ..Position::default()
        })
    }

    /// The layout in force.
    ///
    /// # Errors
    /// If the number of partitions cannot be.
    pub fn layout(&self) -> Result<Layout, TaskError> {
        let partitions = Partitions::new(self.partitions).map_err(|error| TaskError::Fixed {
            name: "partitions",
            given: self.partitions.to_string(),
            recorded: error.to_string(),
            hint: "name a power of two from 1 to 4096",
        })?;
        Ok(Layout {
            generation: u32::try_from(self.layout_changes.len()).unwrap_or(u32::MAX),
            partitions,
        })
    }

    /// It as it was before the switch of this number, and those after it.
    #[must_use]
    pub fn before(&self, layout_change: usize) -> Self {
        Self {
            partitions: self
                .layout_changes
                .get(layout_change)
                .map_or(self.partitions, |layout_change| layout_change.from),
            dedup_epochs: self.dedup_epochs,
            layout_changes: self.layout_changes.iter().take(layout_change).cloned().collect(),
        }
    }

    /// How many ledger partitions there were when the record of the inbox at `offset` was heard.
    #[must_use]
    pub fn partitions_at(&self, offset: u64) -> u32 {
        let next = self
            .layout_changes
            .iter()
            .find(|layout_change| offset < layout_change.inbox.offset);
        next.map_or(self.partitions, |layout_change| layout_change.from)
    }

    /// Where an accrue task or the coordinator of the layout in force begins: where the last one of its name stood in an earlier layout.
    #[must_use]
    pub fn begins_at(&self, task: TaskId) -> Position {
        let stood = |layout_change: &LayoutChange| match task {
            TaskId::COORDINATE => Some(layout_change.inbox),
            _ => layout_change
                .ledger
                .get(usize::try_from(task.home().partition).ok()?)
                .copied(),
        };
        let stood = self.layout_changes.iter().rev().find_map(stood);
        stood.unwrap_or_default().position(task)
    }
}

/// Whose name errors about what a deployment was begun with go under.
const FIXED: &str = "deployment";

/// How long to wait before looking again whether another process has begun the deployment.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Agrees on the settings that results or the ledger's layout rest on: what the bus has on record, or what is asked for if it has nothing.
/// Where several processes run a deployment, one of them begins it and the others wait for that. `None` if it was asked to stop meanwhile.
pub(super) fn fixed(deployment: &Deployment, stop: &AtomicBool) -> Result<Option<DeploymentRecord>, TaskError> {
    let membership = deployment.bus.membership();
    loop {
        if let Some(record) = settled(DeploymentRecord::of(deployment.bus.log()))? {
            return agreed(deployment, Some(record)).map(Some);
        }
        if deployment.mode != RunMode::Work {
            return Err(TaskError::Unfinished {
                what: "this bus has nothing on record of a deployment: run softstake there first".into(),
            });
        }
        let Some(membership) = membership else { break };
        if membership.assigned()?.contains(&TaskId::DEPLOYMENT) && membership.acquire(TaskId::DEPLOYMENT) {
            break;
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    let begun = begin(deployment);
    if let Some(membership) = membership {
        membership.release(TaskId::DEPLOYMENT);
    }
    match begun {
        // It was taken from us, or whether it was done has to be looked up.
        Err(TaskError::Bus(error)) if matches!(error.reaction(), Reaction::LeaveOff | Reaction::TryAgain) => {
            tracing::warn!("{error}");
            std::thread::sleep(LOOK_AGAIN);
            fixed(deployment, stop)
        }
        begun => begun.map(Some),
    }
}

/// What the bus answered; nothing while it cannot be reached.
fn settled<T>(answer: Result<Option<T>, TaskError>) -> Result<Option<T>, TaskError> {
    match answer {
        Err(TaskError::Bus(error @ BusError::Unavailable { .. })) => {
            tracing::warn!("{error}");
            Ok(None)
        }
        answer => answer,
    }
}

/// Begins the deployment, with what this process was told.
fn begin(deployment: &Deployment) -> Result<DeploymentRecord, TaskError> {
    let bus = deployment.writable()?;
    if bus.readable_end(Topic::Decisions.partition(0))? > 0 {
        return Err(BusError::PositionLost {
            task: TaskId::DEPLOYMENT,
            group: bus.identity().to_owned(),
            why: format!(
                "{} has decisions, but nothing says what the deployment was begun with",
                Topic::Decisions
            ),
        }
        .into());
    }
    let record = agreed(deployment, None)?;
    bus.commit(TaskId::DEPLOYMENT, &Outputs::default(), &record.position()?)?;
    Ok(record)
}

/// What is in force, if what this process was told does not contradict it.
fn agreed(deployment: &Deployment, recorded: Option<DeploymentRecord>) -> Result<DeploymentRecord, TaskError> {
    // Where the ledger is there already, it has as many partitions as it has.
    let ledger = match deployment.bus.membership() {
        Some(_) => u32::try_from(deployment.bus.log().partitions(Topic::Ledger)?.len()).ok(),
        None => None,
    };
    let record = recorded.unwrap_or_else(|| DeploymentRecord {
        partitions: ledger.or(deployment.partitions).unwrap_or(DEFAULT_PARTITIONS),
        dedup_epochs: deployment.dedup_epochs,
        layout_changes: Vec::new(),
    });
    let count = record.partitions;
    if let Some(given) = deployment.partitions.filter(|given| *given != count) {
        return Err(TaskError::Fixed {
            name: "partitions",
            given: given.to_string(),
            recorded: count.to_string(),
            hint: "leave it out to go on with what is in force; `softstake repartition` changes it",
        });
    }
    // More are there after a way back from more.
    if let Some(found) = ledger.filter(|found| *found < count) {
        return Err(TaskError::Fixed {
            name: "partitions",
            given: format!("{found}, going by topic {}", Topic::Ledger),
            recorded: count.to_string(),
            hint: "restore the topic as it was, or begin a new deployment on new topics",
        });
    }
    if deployment.dedup_epochs != record.dedup_epochs {
        return Err(TaskError::Fixed {
            name: "dedup_epochs",
            given: deployment.dedup_epochs.to_string(),
            recorded: record.dedup_epochs.to_string(),
            hint: "payouts depend on it: set it back",
        });
    }
    record.layout()?;
    Ok(record)
}

fn fault(fault: crate::core::fault::Fault) -> TaskError {
    TaskError::Fault {
        at: FIXED.into(),
        fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stood(offset: u64) -> StoppedAt {
        StoppedAt { offset, job: 1 }
    }

    /// 2, then 4, then 2 again.
    fn there_and_back() -> DeploymentRecord {
        DeploymentRecord {
            partitions: 2,
            dedup_epochs: 7,
            layout_changes: vec![
                LayoutChange {
                    from: 2,
                    ledger: vec![stood(10), stood(11)],
                    inbox: stood(5),
                },
                LayoutChange {
                    from: 4,
                    ledger: vec![stood(20), stood(21), stood(22), stood(23)],
                    inbox: stood(9),
                },
            ],
        }
    }

    #[test]
    fn tasks_begin_where_the_last_of_their_name_stood() {
        let record = there_and_back();
        let begins = |record: &DeploymentRecord, partition| {
            record
                .begins_at(TaskId::accrue(partition))
                .offset(TaskId::accrue(partition).home())
        };
        assert_eq!([0, 1].map(|partition| begins(&record, partition)), [20, 21]);
        assert_eq!(
            record.begins_at(TaskId::COORDINATE).offset(TaskId::COORDINATE.home()),
            9
        );
        // In the layout of four, two had never been.
        assert_eq!(
            [0, 1, 2, 3].map(|partition| begins(&record.before(1), partition)),
            [10, 11, 0, 0]
        );
        assert_eq!(record.before(1).begins_at(TaskId::accrue(3)), Position::default());
        // Were there four once more, the third would go on where it stood.
        let mut again = record;
        again.layout_changes.push(LayoutChange {
            from: 2,
            ledger: vec![stood(30), stood(31)],
            inbox: stood(12),
        });
        again.partitions = 4;
        assert_eq!(
            [0, 1, 2, 3].map(|partition| begins(&again, partition)),
            [30, 31, 22, 23]
        );
    }

    #[test]
    fn layouts_of_as_many_partitions_are_not_the_same() {
        let record = there_and_back();
        let layouts = [record.before(0), record.before(1), record.clone()].map(|record| record.layout().unwrap());
        assert_eq!(layouts.map(|layout| layout.to_string()), ["2", "4-1", "2-2"]);
        assert_ne!(layouts[0], layouts[2]);
        assert_eq!(
            [0, 4, 5, 8, 9, 100].map(|offset| record.partitions_at(offset)),
            [2, 2, 4, 4, 2, 2]
        );
    }

    #[test]
    fn comes_back_and_grows_with_its_switches() {
        let record = there_and_back();
        let position = record.position().unwrap();
        let read: DeploymentRecord = codec::decode(&position.cursor.place, "a record").unwrap();
        assert_eq!(read, record);
        assert!(position.cursor > record.before(1).position().unwrap().cursor);
    }
}
