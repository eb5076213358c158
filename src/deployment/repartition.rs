//! Changes the number of ledger partitions, by copying the rows of buckets from store to store.
//!
//! 1. The accrue tasks and the coordinator process the ledger and the inbox to their ends, and stop there. No settlement is then past waiting
//!    for barriers, so all accrue tasks have the same state. Their stores differ only in the buckets whose rows they hold.
//! 2. New stores are made beside the old ones.
//! 3. One record on the bus puts the new layout in force.
//! 4. The old stores are removed.
//!
//! A process killed before step 3 has changed nothing; killed after it, it has lost nothing.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::bus::scan::scan_range;
use crate::bus::{Log, Membership, Outputs, Position, TaskId, Topic};
use crate::core::accrue::Accrue;
use crate::core::coordinate::Coordinator;
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::codec;
use crate::core::values::bucket::{BUCKETS, Partitions};
use crate::core::values::offset::Offset;
use crate::deployment::error::DeploymentError;
use crate::deployment::layout::{LayoutChange, LedgerLayout, StoppedAt};
use crate::deployment::record::{DeploymentRecord, stores};
use crate::deployment::run::{RunEnd, run};
use crate::deployment::settings::{Deployment, RunMode};
use crate::deployment::state_directory::{StoreOwner, Stores};
use crate::store::{Changes, Store, tables};
use crate::task::accrue_store::{load_accrue, write_accrue};
use crate::task::fold::load_state;
use crate::task::stats::Stats;

/// Bytes of changes that are kept in memory before a commit.
const BATCH_BYTES: usize = 64 << 20;
/// How long other instances may take to release their tasks.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(120);
/// A shorter wait for other instances is not told.
const TELL_AFTER: Duration = Duration::from_secs(2);
const POLL_EVERY: Duration = Duration::from_millis(200);
/// How many ends of partitions are looked for at a time.
const ENDS_AT_A_TIME: usize = 16;

/// A finished layout change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repartitioned {
    pub from: LedgerLayout,
    pub to: LedgerLayout,
    /// The number of keys copied: rows, opening rows and statuses of accounts.
    pub rows: u64,
}

/// Changes the ledger of `deployment`, whose mode is [`RunMode::Drain`], to `to` partitions. `None` if `stop` was set first.
///
/// `read_only` is the same bus, opened for reading only: there every partition can be read to its very end.
///
/// # Errors
/// `CannotRepartition` if another instance works, or a settlement is under way; otherwise what stopped a task.
pub fn repartition(
    deployment: &Deployment,
    read_only: &dyn Log,
    to: Partitions,
    stop: &AtomicBool,
    stats: &Arc<Stats>,
) -> Result<Option<Repartitioned>, DeploymentError> {
    let bus = deployment.writable_bus()?;
    let log = deployment.bus.log();
    let Some(record) = DeploymentRecord::read(log)? else {
        return Err(cannot("nothing is on record of a deployment"));
    };
    let from = record.layout()?;
    if from.partitions == to {
        return Err(cannot(format!("it has {} partitions already", to.count())));
    }
    let to = LedgerLayout {
        generation: from.generation.saturating_add(1),
        partitions: to,
    };
    // The layout may be that of an attempt that was stopped, with another number of partitions.
    let later = |generation| generation > from.generation;
    deployment.stores.remove_layouts(&later)?;
    deployment
        .stores
        .expect(stores(log, from.partitions.count().max(to.partitions.count()).into())?)?;
    let tasks = all_tasks(log, from)?;
    if !drain(deployment, read_only, &record, &tasks, stop, stats)? {
        return Ok(None);
    }
    // No other instance gets one of these tasks until the new layout is in force.
    let acquired = AcquiredTasks::acquire(deployment.bus.membership(), &tasks)?;
    if let Some(task) = task_behind(log, read_only, from)? {
        return Err(cannot(format!(
            "another instance worked on {task}: stop all of them, and try again"
        )));
    }
    let mut new = record;
    let change = layout_change(log, from, &new)?;
    new.layout_changes.push(change);
    new.partitions = to.partitions.count().into();
    let rows = make_stores(deployment, &new, from, to)?;
    bus.commit(TaskId::DEPLOYMENT, &Outputs::default(), &new.position()?)?;
    drop(acquired);
    remove_stores(deployment.stores.as_ref(), from)?;
    Ok(Some(Repartitioned { from, to, rows }))
}

/// Rebuilds all stores from the log alone, through every layout it has had. `deployment` only reads the bus.
///
/// # Errors
/// What stopped a task.
pub fn rebuild(deployment: &mut Deployment, stop: &AtomicBool, stats: &Arc<Stats>) -> Result<RunEnd, DeploymentError> {
    let Some(record) = DeploymentRecord::read(deployment.bus.log())? else {
        // It says so.
        return run(deployment, true, stop, stats);
    };
    for layout_change in 0..record.layout_changes.len() {
        deployment.mode = RunMode::Rebuild {
            before: Some(layout_change),
        };
        let end = run(deployment, true, stop, stats)?;
        if end == RunEnd::Stopped {
            return Ok(end);
        }
        let (before, after) = (record.before(layout_change), record.before(layout_change + 1));
        make_stores(deployment, &after, before.layout()?, after.layout()?)?;
    }
    deployment.mode = RunMode::Rebuild { before: None };
    let end = run(deployment, true, stop, stats)?;
    if end != RunEnd::Stopped {
        for layout_change in 0..record.layout_changes.len() {
            remove_stores(deployment.stores.as_ref(), record.before(layout_change).layout()?)?;
        }
    }
    Ok(end)
}

/// All tasks that another instance could work on.
fn all_tasks(log: &dyn Log, layout: LedgerLayout) -> Result<BTreeSet<TaskId>, DeploymentError> {
    let mut tasks = BTreeSet::from([TaskId::DEPLOYMENT, TaskId::SEQUENCE, TaskId::COORDINATE]);
    tasks.extend((0..layout.partitions.count()).map(TaskId::accrue));
    for topic in Topic::SOURCES {
        let numbers = log.partitions(topic)?.into_iter();
        tasks.extend(numbers.map(|number| TaskId::ingest(topic.partition(number))));
    }
    Ok(tasks)
}

/// The accrue tasks and the coordinator, each with the readable end of its partition.
fn readable_ends(log: &dyn Log, layout: LedgerLayout) -> Result<Vec<(TaskId, Offset)>, DeploymentError> {
    let tasks = (0..layout.partitions.count())
        .map(TaskId::accrue)
        .chain([TaskId::COORDINATE]);
    tasks.map(|task| Ok((task, log.readable_end(task.home())?))).collect()
}

/// Processes the ledger and the inbox to their ends; `false` if `stop` was set first.
fn drain(
    deployment: &Deployment,
    read_only: &dyn Log,
    record: &DeploymentRecord,
    tasks: &BTreeSet<TaskId>,
    stop: &AtomicBool,
    stats: &Arc<Stats>,
) -> Result<bool, DeploymentError> {
    let log = deployment.bus.log();
    let layout = record.layout()?;
    let membership = deployment.bus.membership();
    let began = Instant::now();
    let mut logged = false;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let assigned = membership.map(|membership| membership.assigned()).transpose()?;
        if assigned.is_none_or(|assigned| tasks.is_subset(&assigned)) {
            if run(deployment, true, stop, stats)? == RunEnd::Stopped {
                return Ok(false);
            }
            // A slow bus may not have brought yet what a store must replay in recovery.
            if task_behind(log, read_only, layout)?.is_none() && have_recovered(deployment, record)? {
                return Ok(true);
            }
        } else if began.elapsed() > RELEASE_TIMEOUT {
            return Err(cannot("other instances work on the deployment: stop all of them first"));
        } else if !logged && began.elapsed() > TELL_AFTER {
            tracing::info!(
                "waiting until other instances release their tasks{}",
                holders(membership, tasks)
            );
            logged = true;
        }
        std::thread::sleep(POLL_EVERY);
    }
}

/// Who has some of the tasks, as a clause; empty if that is not known.
fn holders(membership: Option<&dyn Membership>, tasks: &BTreeSet<TaskId>) -> String {
    let owners = membership
        .and_then(|membership| membership.owners().ok())
        .unwrap_or_default();
    let held = owners.into_iter().filter(|(task, _)| tasks.contains(task));
    let names: BTreeSet<String> = held.map(|(_, owner)| owner).collect();
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<String> = names.into_iter().collect();
    format!(
        ": the group has {}; an instance that was stopped keeps its tasks until its session ends (`session.timeout.ms`)",
        names.join(", ")
    )
}

/// Whether every store is at the position that the bus has committed for its task.
fn have_recovered(deployment: &Deployment, record: &DeploymentRecord) -> Result<bool, DeploymentError> {
    let layout = record.layout()?;
    let coordinate = (TaskId::COORDINATE, StoreOwner::Coordinate(layout.generation));
    let accrue = (0..layout.partitions.count())
        .map(|partition| (TaskId::accrue(partition), StoreOwner::Accrue(partition, layout)));
    for (task, owner) in accrue.chain([coordinate]) {
        let committed = deployment.bus.log().committed(task)?.unwrap_or_default();
        let store = open_store(deployment, record, owner, Some(&committed))?;
        if StoppedAt::at(task, store.position()) != StoppedAt::at(task, &committed) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An accrue task, or the coordinator, that has a record left to read; `None` if all are at the ends of their partitions.
///
/// A confirmed end takes Kafka a moment, for each partition. So many are looked at at a time.
fn task_behind(log: &dyn Log, read_only: &dyn Log, layout: LedgerLayout) -> Result<Option<TaskId>, DeploymentError> {
    let ends = readable_ends(read_only, layout)?;
    let look = |part: &[(TaskId, Offset)]| -> Result<Option<TaskId>, DeploymentError> {
        for (task, end) in part {
            if !is_at_end(log, read_only, *task, *end)? {
                return Ok(Some(*task));
            }
        }
        Ok(None)
    };
    let parts = ends.chunks(ends.len().div_ceil(ENDS_AT_A_TIME).max(1));
    let found: Vec<_> = std::thread::scope(|scope| {
        let looks: Vec<_> = parts.map(|part| scope.spawn(move || look(part))).collect();
        looks.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    for found in found {
        let found = found.map_err(|_| fault(impossible("a thread that looks for the end of a partition panicked")))?;
        if let Some(task) = found? {
            return Ok(Some(task));
        }
    }
    Ok(None)
}

/// Whether a task has no record left to read before `end`. Offsets have gaps, so the task's own offset may be lower than `end`.
fn is_at_end(log: &dyn Log, read_only: &dyn Log, task: TaskId, end: Offset) -> Result<bool, DeploymentError> {
    let position = log.committed(task)?.unwrap_or_default();
    let mark = position.inputs.get(&task.home()).cloned().unwrap_or_default();
    let mut at_end = position.cursor.reached.is_empty();
    scan_range(read_only, task.home(), &mark, end, |record| {
        at_end &= record.value.is_empty();
        Ok::<_, DeploymentError>(())
    })?;
    Ok(at_end)
}

/// The change away from layout `from`, with the places where its tasks have stopped.
fn layout_change(
    log: &dyn Log,
    from: LedgerLayout,
    record: &DeploymentRecord,
) -> Result<LayoutChange, DeploymentError> {
    let mut positions = Vec::new();
    let mut stopped_at = |task: TaskId| -> Result<StoppedAt, DeploymentError> {
        let position = record
            .position_in_layout(task, log.committed(task)?)
            .unwrap_or_default();
        let stopped_at = StoppedAt::at(task, &position);
        positions.push((task, position));
        stopped_at.ok_or_else(|| cannot(format!("{task} is in the middle of a settlement")))
    };
    let ledger = (0..from.partitions.count())
        .map(|partition| stopped_at(TaskId::accrue(partition)))
        .collect::<Result<_, _>>()?;
    let inbox = stopped_at(TaskId::COORDINATE)?;
    Ok(LayoutChange {
        from: record.partitions,
        ledger,
        inbox,
        digest: LayoutChange::digest_of(positions.iter().map(|(task, position)| (*task, position))),
    })
}

/// Tasks that no other instance gets; released when this is dropped.
struct AcquiredTasks<'a> {
    membership: Option<&'a dyn Membership>,
    tasks: Vec<TaskId>,
}

impl<'a> AcquiredTasks<'a> {
    fn acquire(membership: Option<&'a dyn Membership>, tasks: &BTreeSet<TaskId>) -> Result<Self, DeploymentError> {
        let mut acquired = Self {
            membership,
            tasks: Vec::new(),
        };
        for task in tasks {
            if membership.is_some_and(|membership| !membership.acquire(*task)) {
                return Err(cannot(format!(
                    "another instance has {task} now: stop all of them, and try again"
                )));
            }
            acquired.tasks.push(*task);
        }
        Ok(acquired)
    }
}

impl Drop for AcquiredTasks<'_> {
    fn drop(&mut self) {
        let Some(membership) = self.membership else { return };
        for task in &self.tasks {
            membership.release(*task);
        }
    }
}

/// Makes the stores of layout `to` from those of `from`, which stay. `record` puts `to` in force. Returns the number of keys copied.
fn make_stores(
    deployment: &Deployment,
    record: &DeploymentRecord,
    from: LedgerLayout,
    to: LedgerLayout,
) -> Result<u64, DeploymentError> {
    let Some(change) = record.layout_changes.last() else {
        return Err(fault(impossible("no layout change to make stores for")));
    };
    let (old, accrue) = open_accrue_stores(deployment, record, from)?;
    let coordinate = open_store(deployment, record, StoreOwner::Coordinate(from.generation), None)?;
    check_position(coordinate.as_ref(), TaskId::COORDINATE, change.inbox)?;
    check_digest(&old, coordinate.as_ref(), change)?;
    let coordinator: Coordinator = load_state(coordinate.as_ref(), "the state of the coordinator")?
        .unwrap_or_else(|| Coordinator::new(from.partitions.count().into()));
    let coordinator = coordinator
        .repartitioned(to.partitions.count().into())
        .map_err(|epochs| cannot(format!("these epochs are being settled: {}", epochs.join(", "))))?;
    let mut rows = 0;
    for partition in 0..to.partitions.count() {
        let first = from.partitions.of(to.partitions.buckets(partition).start);
        let end = to.partitions.buckets(partition).end;
        let last = from.partitions.of(end.saturating_sub(1).min(BUCKETS - 1));
        let old = old.get(usize::from(first)..=usize::from(last)).unwrap_or_default();
        let begins_at = record.begins_at(TaskId::accrue(partition));
        let new = deployment.stores.create(
            StoreOwner::Accrue(partition, to),
            &record.identity(deployment.bus.log()),
        )?;
        rows += fill_accrue_store(new, old, &to.partitions.buckets(partition), &accrue, &begins_at)?;
    }
    make_coordinator_store(deployment, record, coordinate.as_ref(), &coordinator)?;
    Ok(rows)
}

/// Opens the accrue stores of layout `from`; also returns the state, which is the same in all of them.
fn open_accrue_stores(
    deployment: &Deployment,
    record: &DeploymentRecord,
    from: LedgerLayout,
) -> Result<(Vec<Box<dyn Store>>, Accrue), DeploymentError> {
    let stopped_at = |partition: u16| {
        let change = record.layout_changes.last()?;
        change.ledger.get(usize::from(partition)).copied()
    };
    let mut stores = Vec::new();
    let mut state: Option<Accrue> = None;
    for partition in 0..from.partitions.count() {
        let task = TaskId::accrue(partition);
        let store = open_store(deployment, record, StoreOwner::Accrue(partition, from), None)?;
        check_position(store.as_ref(), task, stopped_at(partition).unwrap_or_default())?;
        let accrue = load_accrue(store.as_ref())?;
        if !accrue.is_between_settlements() {
            return Err(cannot(
                "an epoch is being settled, or held by the gate: run until it is sealed; release a held one, or void it and close it again",
            ));
        }
        // Barriers and settlements go to every partition, so the states are equal.
        if state.as_ref().is_some_and(|state| *state != accrue) {
            return Err(fault(impossible(format!(
                "the state of {task} differs from that of the other accrue tasks"
            ))));
        }
        state = Some(accrue);
        stores.push(store);
    }
    Ok((stores, state.unwrap_or_default()))
}

/// Fills the store of a new accrue task: the rows of its buckets from `old`, and the state. Returns the number of keys copied.
fn fill_accrue_store(
    mut new: Box<dyn Store>,
    old: &[Box<dyn Store>],
    buckets: &Range<u16>,
    state: &Accrue,
    begins_at: &Position,
) -> Result<u64, DeploymentError> {
    let mut changes = Changes::default();
    let mut rows = 0;
    for old in old {
        let mut scan = old.scan(&[1], &[0xff])?;
        while let Some((key, value)) = scan.next()? {
            // Sealed epochs are the same in all stores.
            let is_ours = tables::bucket(key).is_some_and(|bucket| buckets.contains(&bucket));
            if !is_ours && !tables::is_sealed(key) {
                continue;
            }
            rows += u64::from(is_ours);
            changes.put(key, value);
            if changes.bytes() > BATCH_BYTES {
                // Until its state is in it, the store does not count as complete.
                new.commit(&mut changes, &Position::default())?;
            }
        }
    }
    write_accrue(&mut changes, state).map_err(fault)?;
    new.commit(&mut changes, begins_at)?;
    Ok(rows)
}

/// Makes the coordinator's store of the layout that `record` puts in force: all keys of `old`, with the state `coordinator`.
fn make_coordinator_store(
    deployment: &Deployment,
    record: &DeploymentRecord,
    old: &dyn Store,
    coordinator: &Coordinator,
) -> Result<(), DeploymentError> {
    let owner = StoreOwner::Coordinate(record.layout()?.generation);
    let mut new = deployment
        .stores
        .create(owner, &record.identity(deployment.bus.log()))?;
    let mut changes = Changes::default();
    let mut scan = old.scan(&[1], &[0xff])?;
    while let Some((key, value)) = scan.next()? {
        changes.put(key, value);
    }
    drop(scan);
    changes.put(&tables::STATE, &codec::encode(coordinator).map_err(fault)?);
    new.commit(&mut changes, &record.begins_at(TaskId::COORDINATE))?;
    Ok(())
}

fn open_store(
    deployment: &Deployment,
    record: &DeploymentRecord,
    owner: StoreOwner,
    committed: Option<&Position>,
) -> Result<Box<dyn Store>, DeploymentError> {
    let identity = record.identity(deployment.bus.log());
    Ok(deployment.stores.open(owner, &identity, committed)?)
}

/// Rejects a store that is not where its task stopped.
fn check_position(store: &dyn Store, task: TaskId, stopped_at: StoppedAt) -> Result<(), DeploymentError> {
    if StoppedAt::at(task, store.position()) == Some(stopped_at) {
        return Ok(());
    }
    Err(fault(impossible(format!(
        "the store of {task} is at {:?}, but the task stopped at {stopped_at:?}",
        store.position()
    ))))
}

/// Rejects stores that have read other records than the tasks had when they stopped for `change`.
fn check_digest(
    accrue: &[Box<dyn Store>],
    coordinate: &dyn Store,
    change: &LayoutChange,
) -> Result<(), DeploymentError> {
    let tasks = (0..).map(TaskId::accrue).zip(accrue.iter().map(AsRef::as_ref));
    let stores = tasks.chain([(TaskId::COORDINATE, coordinate)]);
    let found = LayoutChange::digest_of(stores.map(|(task, store)| (task, store.position())));
    if found == change.digest {
        return Ok(());
    }
    Err(DeploymentError::OtherLog {
        partitions: change.from,
    })
}

fn remove_stores(stores: &dyn Stores, layout: LedgerLayout) -> Result<(), DeploymentError> {
    stores.remove(StoreOwner::Coordinate(layout.generation))?;
    for partition in 0..layout.partitions.count() {
        stores.remove(StoreOwner::Accrue(partition, layout))?;
    }
    Ok(())
}

fn cannot(why: impl Into<String>) -> DeploymentError {
    DeploymentError::CannotRepartition { why: why.into() }
}

fn fault(fault: Fault) -> DeploymentError {
    DeploymentError::fault("repartitioning", fault)
}
