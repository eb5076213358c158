//! The deployment record: the settings that a deployment was begun with, and its layout changes.
//!
//! The bus keeps it beside the decisions, as the position of [`TaskId::DEPLOYMENT`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bus::{Cursor, DeploymentId, DeploymentIdentity, Log, Outputs, Position, Reaction, TaskId, Topic};
use crate::core::fault::Fault;
use crate::core::protocol::codec;
use crate::core::values::bucket::Partitions;
use crate::core::values::offset::Offset;
use crate::deployment::error::DeploymentError;
use crate::deployment::layout::{LayoutChange, LedgerLayout, StoppedAt};
use crate::deployment::settings::{DEFAULT_PARTITIONS, Deployment, RunMode};
use crate::task::TaskError;

/// The settings on which results or stores depend, and every layout change. Its postcard form is on the bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRecord {
    /// Made when the deployment began.
    pub id: DeploymentId,
    /// The number of ledger partitions in force.
    pub partitions: u32,
    /// The number of days for which duplicates are recognised.
    pub dedup_days: u64,
    /// Every layout change, oldest first.
    pub layout_changes: Vec<LayoutChange>,
}

impl DeploymentRecord {
    /// Reads the record from the bus; `None` before a deployment has begun.
    ///
    /// # Errors
    /// If the bus cannot be read, or the record cannot be decoded.
    pub fn read(log: &dyn Log) -> Result<Option<Self>, TaskError> {
        let Some(position) = log.committed(TaskId::DEPLOYMENT)? else {
            return Ok(None);
        };
        let what = "the deployment's record on the bus";
        let record = codec::decode::<Self>(&position.cursor.reached, what).and_then(|record| match record.check() {
            Ok(()) => Ok(record),
            Err(why) => Err(Fault::Undecodable { what, why }),
        });
        record.map(Some).map_err(|fault| TaskError::Fault {
            at: FAULTS_AT.into(),
            fault,
        })
    }

    /// Checks the numbers of a record that another program may have written.
    fn check(&self) -> Result<(), String> {
        let changes = &self.layout_changes;
        for partitions in changes.iter().map(|change| change.from).chain([self.partitions]) {
            Partitions::new(partitions).map_err(|error| format!("its number of partitions {error}"))?;
        }
        let stopped = |change: &LayoutChange| u32::try_from(change.ledger.len());
        if changes.iter().any(|change| stopped(change) != Ok(change.from)) {
            return Err("a layout change does not name each ledger partition once".into());
        }
        let in_order = |pair: &[LayoutChange]| match pair {
            [earlier, later] => earlier.inbox.offset <= later.inbox.offset,
            _ => true,
        };
        if !changes.windows(2).all(in_order) {
            return Err("its layout changes are not in order".into());
        }
        Ok(())
    }

    /// The identity of this deployment on the bus that keeps the record.
    #[must_use]
    pub fn identity(&self, log: &dyn Log) -> DeploymentIdentity {
        DeploymentIdentity {
            bus: log.identity().to_owned(),
            id: self.id,
        }
    }

    /// The position under which the bus keeps the record.
    ///
    /// # Errors
    /// A fault, if the record cannot be encoded.
    pub fn position(&self) -> Result<Position, DeploymentError> {
        let reached = codec::encode(self).map_err(|fault| DeploymentError::fault(FAULTS_AT, fault))?;
        Ok(Position {
            // Each layout change raises the job, so that a later record has a higher position.
            cursor: Cursor {
                job: u32::try_from(self.layout_changes.len()).unwrap_or(u32::MAX),
                reached,
            },
            ..Position::default()
        })
    }

    /// The layout in force.
    ///
    /// # Errors
    /// `SettingChanged` if the number of partitions is not a power of two from 1 to 4096.
    pub fn layout(&self) -> Result<LedgerLayout, DeploymentError> {
        let partitions = Partitions::new(self.partitions).map_err(|error| DeploymentError::SettingChanged {
            name: "partitions",
            given: self.partitions.to_string(),
            recorded: error.to_string(),
            hint: "name a power of two from 1 to 4096",
        })?;
        Ok(LedgerLayout {
            generation: u32::try_from(self.layout_changes.len()).unwrap_or(u32::MAX),
            partitions,
        })
    }

    /// The record as it was before the layout change of this number.
    #[must_use]
    pub fn before(&self, layout_change: usize) -> Self {
        Self {
            id: self.id,
            partitions: self
                .layout_changes
                .get(layout_change)
                .map_or(self.partitions, |layout_change| layout_change.from),
            dedup_days: self.dedup_days,
            layout_changes: self.layout_changes.iter().take(layout_change).cloned().collect(),
        }
    }

    /// The number of ledger partitions when the coordinator applied the record of the inbox at `offset`.
    #[must_use]
    pub fn partitions_at(&self, offset: Offset) -> u32 {
        let next = self
            .layout_changes
            .iter()
            .find(|layout_change| offset < layout_change.inbox.offset);
        next.map_or(self.partitions, |layout_change| layout_change.from)
    }

    /// Where an accrue task or the coordinator begins in the layout in force: where the task of the same name stopped last. Its digest is that of the
    /// last layout change.
    #[must_use]
    pub fn begins_at(&self, task: TaskId) -> Position {
        match self.layout_changes.last() {
            Some(last) => self.stopped_at(task).position(task, Some(last.digest)),
            None => Position::default(),
        }
    }

    /// Where an accrue task or the coordinator stopped for the last layout change that it was part of. The digest of what it had read is not kept.
    #[must_use]
    pub fn stopped_at(&self, task: TaskId) -> StoppedAt {
        let stopped_at = |layout_change: &LayoutChange| match task {
            TaskId::COORDINATE => Some(layout_change.inbox),
            _ => layout_change
                .ledger
                .get(usize::try_from(task.home().partition).ok()?)
                .copied(),
        };
        let stopped_at = self.layout_changes.iter().rev().find_map(stopped_at);
        stopped_at.unwrap_or_default()
    }

    /// The position of an accrue task or the coordinator in the layout in force, if the bus has `committed` for it. A task that has committed nothing since
    /// the last layout change is where it begins in this layout.
    #[must_use]
    pub fn position_in_layout(&self, task: TaskId, committed: Option<Position>) -> Option<Position> {
        let begins_at = self.begins_at(task);
        let same = committed.clone().unwrap_or_default();
        let has_begun = !same.has_same_offsets(&begins_at) || same.cursor != begins_at.cursor;
        if self.layout_changes.is_empty() || has_begun {
            return committed;
        }
        Some(begins_at)
    }
}

/// Faults of the record name this place.
const FAULTS_AT: &str = "deployment";

/// The pause before another look whether another process has created the record.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Loads the deployment record, or creates it. `None` if `stop` was set first.
///
/// If several processes run the deployment, one of them creates the record and the others wait for it.
pub(super) fn load_or_create_record(
    deployment: &Deployment,
    stop: &AtomicBool,
) -> Result<Option<DeploymentRecord>, DeploymentError> {
    let membership = deployment.bus.membership();
    loop {
        if let Some(record) = none_while_unavailable(DeploymentRecord::read(deployment.bus.log()))? {
            return checked_settings(deployment, Some(record)).map(Some);
        }
        if deployment.mode != RunMode::Work {
            return Err(DeploymentError::Unfinished {
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
        std::thread::sleep(RETRY_AFTER);
    }
    let created = create_record(deployment);
    if let Some(membership) = membership {
        membership.release(TaskId::DEPLOYMENT);
    }
    match created {
        // Another process has the task now, or the outcome of the commit is unknown: read the record again.
        Err(DeploymentError::Task(error)) if matches!(error.reaction(), Reaction::LeaveOff | Reaction::TryAgain) => {
            tracing::warn!("{error}");
            std::thread::sleep(RETRY_AFTER);
            load_or_create_record(deployment, stop)
        }
        created => created.map(Some),
    }
}

fn none_while_unavailable<T>(answer: Result<Option<T>, TaskError>) -> Result<Option<T>, TaskError> {
    match answer {
        Err(TaskError::Read(error)) if error.is_unavailable() => {
            tracing::warn!("{error}");
            Ok(None)
        }
        answer => answer,
    }
}

/// Begins the deployment with the settings of this process.
fn create_record(deployment: &Deployment) -> Result<DeploymentRecord, DeploymentError> {
    let bus = deployment.writable_bus()?;
    if bus.readable_end(Topic::Decisions.partition(0))? > Offset::START {
        return Err(DeploymentError::PositionLost {
            task: TaskId::DEPLOYMENT,
            group: bus.identity().to_owned(),
            why: format!(
                "{} has decisions, but the record of the deployment's settings is missing",
                Topic::Decisions
            ),
        });
    }
    let record = checked_settings(deployment, None)?;
    bus.commit(TaskId::DEPLOYMENT, &Outputs::default(), &record.position()?)?;
    Ok(record)
}

/// As [`check_settings`]. Also checks that this process can open the stores of all tasks, before the record may be written.
fn checked_settings(
    deployment: &Deployment,
    recorded: Option<DeploymentRecord>,
) -> Result<DeploymentRecord, DeploymentError> {
    let record = check_settings(deployment, recorded)?;
    match deployment
        .stores
        .expect(stores(deployment.bus.log(), record.partitions)?)
    {
        // It has all tasks only if no other instance runs.
        Err(error @ DeploymentError::OpenFiles { .. }) if deployment.bus.membership().is_some() => {
            tracing::warn!("if this instance has to run all tasks: {error}");
        }
        expected => expected?,
    }
    Ok(record)
}

/// The number of stores of a deployment with this many ledger partitions.
pub(super) fn stores(log: &dyn Log, partitions: u32) -> Result<u64, DeploymentError> {
    let mut stores = u64::from(partitions) + 1;
    for topic in Topic::SOURCES {
        stores = stores.saturating_add(log.partitions(topic)?.len() as u64);
    }
    Ok(stores)
}

/// Returns the record in force, which is a new one if none is `recorded`. Fails if the settings of this process contradict it.
fn check_settings(
    deployment: &Deployment,
    recorded: Option<DeploymentRecord>,
) -> Result<DeploymentRecord, DeploymentError> {
    // If the ledger topic exists already, its number of partitions counts.
    let ledger = match deployment.bus.membership() {
        Some(_) => u32::try_from(deployment.bus.log().partitions(Topic::Ledger)?.len()).ok(),
        None => None,
    };
    let record = recorded.unwrap_or_else(|| DeploymentRecord {
        id: DeploymentId::random(),
        partitions: ledger.or(deployment.partitions).unwrap_or(DEFAULT_PARTITIONS),
        dedup_days: deployment.dedup_days,
        layout_changes: Vec::new(),
    });
    let count = record.partitions;
    if let Some(given) = deployment.partitions.filter(|given| *given != count) {
        return Err(DeploymentError::SettingChanged {
            name: "partitions",
            given: given.to_string(),
            recorded: count.to_string(),
            hint: "leave it out to use the number in force; `softstake repartition` changes that number",
        });
    }
    // The topic keeps its partitions when the number in force becomes smaller.
    if let Some(found) = ledger.filter(|found| *found < count) {
        return Err(DeploymentError::SettingChanged {
            name: "partitions",
            given: format!("{found}, the number of partitions of topic {}", Topic::Ledger),
            recorded: count.to_string(),
            hint: "restore the topic as it was, or begin a new deployment on new topics",
        });
    }
    if deployment.dedup_days != record.dedup_days {
        return Err(DeploymentError::SettingChanged {
            name: "dedup_days",
            given: deployment.dedup_days.to_string(),
            recorded: record.dedup_days.to_string(),
            hint: "payouts depend on it: set it back",
        });
    }
    record.layout()?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Mark, RunningDigest};

    fn digest(byte: u8) -> RunningDigest {
        RunningDigest::from_bytes([byte; RunningDigest::LEN])
    }

    fn stopped_at(offset: u64) -> StoppedAt {
        let offset = Offset::new(offset);
        StoppedAt { offset, job: 1 }
    }

    /// 2, then 4, then 2 again.
    fn there_and_back() -> DeploymentRecord {
        DeploymentRecord {
            id: DeploymentId::random(),
            partitions: 2,
            dedup_days: 7,
            layout_changes: vec![
                LayoutChange {
                    from: 2,
                    ledger: vec![stopped_at(10), stopped_at(11)],
                    inbox: stopped_at(5),
                    digest: digest(1),
                },
                LayoutChange {
                    from: 4,
                    ledger: vec![stopped_at(20), stopped_at(21), stopped_at(22), stopped_at(23)],
                    inbox: stopped_at(9),
                    digest: digest(2),
                },
            ],
        }
    }

    #[test]
    fn tasks_begin_where_the_last_task_of_their_name_stopped() {
        let record = there_and_back();
        let begins = |record: &DeploymentRecord, partition| {
            record
                .begins_at(TaskId::accrue(partition))
                .offset(TaskId::accrue(partition).home())
                .get()
        };
        assert_eq!([0, 1].map(|partition| begins(&record, partition)), [20, 21]);
        assert_eq!(
            record.begins_at(TaskId::COORDINATE).offset(TaskId::COORDINATE.home()),
            Offset::new(9)
        );
        // Two tasks of the layout of four had not existed before.
        assert_eq!(
            [0, 1, 2, 3].map(|partition| begins(&record.before(1), partition)),
            [10, 11, 0, 0]
        );
        // With four partitions again, the third task continues where it stopped before.
        let mut again = record;
        again.layout_changes.push(LayoutChange {
            from: 2,
            ledger: vec![stopped_at(30), stopped_at(31)],
            inbox: stopped_at(12),
            digest: digest(3),
        });
        again.partitions = 4;
        assert_eq!(
            [0, 1, 2, 3].map(|partition| begins(&again, partition)),
            [30, 31, 22, 23]
        );
    }

    #[test]
    fn what_a_task_reads_in_a_layout_continues_from_the_digest_of_the_change() {
        let record = there_and_back();
        let read = |record: &DeploymentRecord, task: TaskId| record.begins_at(task).inputs[&task.home()].digest;
        for task in [TaskId::COORDINATE, TaskId::accrue(0), TaskId::accrue(1)] {
            assert_eq!(read(&record, task), Some(digest(2)));
        }
        assert_eq!(read(&record.before(1), TaskId::accrue(3)), Some(digest(1)));
        assert_eq!(record.before(0).begins_at(TaskId::accrue(0)), Position::default());
        // The digest of a change covers each task that stopped for it.
        let at = |byte| {
            let mark = Mark {
                digest: Some(digest(byte)),
                ..Mark::at(Offset::new(7))
            };
            let mut position = Position::default();
            position.inputs.insert(TaskId::accrue(0).home(), mark.clone());
            position.inputs.insert(TaskId::COORDINATE.home(), mark);
            position
        };
        let of = |accrue, inbox| {
            let positions = [(TaskId::accrue(0), at(accrue)), (TaskId::COORDINATE, at(inbox))];
            LayoutChange::digest_of(positions.iter().map(|(task, position)| (*task, position)))
        };
        let digests = [of(1, 1), of(1, 2), of(2, 1), of(2, 2)];
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{index}");
        }
    }

    #[test]
    fn a_position_from_before_a_layout_change_is_replaced_by_its_equal_alone() {
        let record = there_and_back();
        let task = TaskId::accrue(0);
        let begins_at = record.begins_at(task);
        // The position in the earlier layout, with the digest of what was read there.
        let committed = |offset: u64, job| {
            let mut position = begins_at.clone();
            let mark = Mark {
                digest: Some(digest(9)),
                ..Mark::at(Offset::new(offset))
            };
            position.inputs.insert(task.home(), mark);
            position.cursor.job = job;
            Some(position)
        };
        assert_eq!(
            record.position_in_layout(task, committed(20, 1)),
            Some(begins_at.clone())
        );
        for later_or_lost in [
            committed(21, 0),
            committed(20, 2),
            committed(19, 1),
            committed(20, 0),
            None,
        ] {
            assert_eq!(record.position_in_layout(task, later_or_lost.clone()), later_or_lost);
        }
        // A task that the layout added.
        let added = TaskId::accrue(3);
        let before = record.before(1);
        assert_eq!(before.position_in_layout(added, None), Some(before.begins_at(added)));
        assert_eq!(record.before(0).position_in_layout(task, None), None);
    }

    #[test]
    fn layouts_with_the_same_number_of_partitions_differ() {
        let record = there_and_back();
        let layouts = [record.before(0), record.before(1), record.clone()].map(|record| record.layout().unwrap());
        assert_eq!(layouts.map(|layout| layout.to_string()), ["2", "4-1", "2-2"]);
        assert_ne!(layouts[0], layouts[2]);
        assert_eq!(
            [0, 4, 5, 8, 9, 100].map(|offset| record.partitions_at(Offset::new(offset))),
            [2, 2, 4, 4, 2, 2]
        );
    }

    #[test]
    fn a_record_with_numbers_that_no_deployment_has_is_refused() {
        assert_eq!(there_and_back().check(), Ok(()));
        type Change<'a> = &'a dyn Fn(&mut DeploymentRecord);
        let changes: [(Change<'_>, &str); 7] = [
            (&|record| record.partitions = 0, "is no power of two"),
            (&|record| record.partitions = 3, "is no power of two"),
            (&|record| record.partitions = u32::MAX, "is no power of two"),
            (&|record| record.layout_changes[0].from = 1 << 31, "is no power of two"),
            (
                &|record| record.layout_changes[1].ledger.truncate(1),
                "does not name each ledger partition once",
            ),
            (
                &|record| record.layout_changes[0].inbox.offset = Offset::NO_LIMIT,
                "are not in order",
            ),
            (&|record| record.layout_changes.swap(0, 1), "are not in order"),
        ];
        for (change, expected) in changes {
            let mut record = there_and_back();
            change(&mut record);
            let why = record.check().unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
        // Offsets are only compared.
        let mut last = there_and_back();
        last.layout_changes[1].inbox.offset = Offset::NO_LIMIT;
        last.layout_changes[1].ledger[0] = stopped_at(u64::MAX);
        last.dedup_days = u64::MAX;
        assert_eq!(last.check(), Ok(()));
        assert_eq!(last.partitions_at(Offset::NO_LIMIT), 2);
    }

    #[test]
    fn a_record_is_read_as_written_and_its_position_grows_with_layout_changes() {
        let record = there_and_back();
        let position = record.position().unwrap();
        let read: DeploymentRecord = codec::decode(&position.cursor.reached, "a record").unwrap();
        assert_eq!(read, record);
        assert!(position.cursor > record.before(1).position().unwrap().cursor);
    }
}
