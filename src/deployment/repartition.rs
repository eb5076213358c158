//! Laying the ledger out anew, over more or fewer partitions, by moving ranges of buckets from store to store.
//!
//! What is on the ledger and in the inbox is worked off first, so that all accrue tasks stand at the ends of their partitions and no settlement is
//! past waiting for barriers: then their states are the same, and their stores differ in nothing but which buckets' rows they hold. New stores are
//! made beside the old ones; one record on the bus then puts them in force; the old ones go. Killed before that record, nothing has happened; killed
//! after it, nothing is missing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::bus::scan::scan_range;
use crate::bus::{Log, Membership, Outputs, Position, TaskId, Topic};
use crate::core::accrue::Accrue;
use crate::core::coordinate::Coordinator;
use crate::core::protocol::codec;
use crate::core::values::bucket::{BUCKETS, Partitions};
use crate::deployment::record::{DeploymentRecord, Layout, LayoutChange, StoppedAt};
use crate::deployment::state_directory::{Owner, Stores};
use crate::deployment::{Deployment, RunEnd, RunMode, run};
use crate::store::{Changes, Store, tables};
use crate::task::stats::Stats;
use crate::task::{TaskError, seen_events};

/// Bytes of changes that wait in memory.
const BATCH_BYTES: usize = 64 << 20;
/// How long other instances may take to give their tasks up.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked again.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The layout before.
    pub from: Layout,
    /// The layout in force now.
    pub to: Layout,
    /// Rows of accounts that were moved.
    pub rows: u64,
}

/// Lays the ledger of `deployment`, whose mode is [`RunMode::Drain`], out over `to` partitions. `None` if it was asked to stop before. `look` is the same
/// bus, for somebody who reads every partition to its very end.
///
/// # Errors
/// `NotNow` if it cannot be done as things are; what stops a task.
pub fn repartition(
    deployment: &Deployment,
    look: &dyn Log,
    to: Partitions,
    stop: &AtomicBool,
    stats: &Arc<Stats>,
) -> Result<Option<Done>, TaskError> {
    let bus = deployment.writable()?;
    let not_now = |why: String| TaskError::NotNow { why };
    let record =
        DeploymentRecord::of(bus.as_ref())?.ok_or_else(|| not_now("nothing is on record of a deployment".into()))?;
    let from = record.layout()?;
    if from.partitions == to {
        return Err(not_now(format!("it has {} partitions already", to.count())));
    }
    let to = Layout {
        generation: from.generation.saturating_add(1),
        partitions: to,
    };
    let tasks = all_tasks(bus.as_ref(), from)?;
    if !drain(deployment, look, from, &tasks, stop, stats)? {
        return Ok(None);
    }
    // Nobody else is given any of them until this is done.
    let held = Held::take(bus.membership(), &tasks)?;
    for (task, end) in homes(look, from)? {
        if !is_worked_off(bus.as_ref(), look, task, end)? {
            return Err(not_now(format!(
                "{task} was worked on by another instance: stop all of them, and try again"
            )));
        }
    }
    let stood = |task: TaskId| -> Result<StoppedAt, TaskError> {
        let position = bus.committed(task)?.unwrap_or_default();
        StoppedAt::at(task, &position).ok_or_else(|| not_now(format!("{task} is in the middle of a settlement")))
    };
    let mut new = record;
    new.layout_changes.push(LayoutChange {
        from: new.partitions,
        ledger: (0..from.partitions.count())
            .map(|partition| stood(TaskId::accrue(partition)))
            .collect::<Result<_, _>>()?,
        inbox: stood(TaskId::COORDINATE)?,
    });
    new.partitions = to.partitions.count().into();
    let rows = convert(deployment, &new, from, to)?;
    bus.commit(TaskId::DEPLOYMENT, &Outputs::default(), &new.position()?)?;
    drop(held);
    remove(deployment.stores.as_ref(), from)?;
    Ok(Some(Done { from, to, rows }))
}

/// Makes all stores anew from the log alone, through all layouts it has had, for a `deployment` that only reads the bus.
///
/// # Errors
/// What stops a task.
pub fn rebuild(deployment: &mut Deployment, stop: &AtomicBool, stats: &Arc<Stats>) -> Result<RunEnd, TaskError> {
    let record = DeploymentRecord::of(deployment.bus.log())?.unwrap_or(DeploymentRecord {
        partitions: 1,
        dedup_epochs: deployment.dedup_epochs,
        layout_changes: Vec::new(),
    });
    for layout_change in 0..record.layout_changes.len() {
        deployment.mode = RunMode::Rebuild {
            before: Some(layout_change),
        };
        let end = run(deployment, true, stop, stats)?;
        if end == RunEnd::Stopped {
            return Ok(end);
        }
        let (before, after) = (record.before(layout_change), record.before(layout_change + 1));
        convert(deployment, &after, before.layout()?, after.layout()?)?;
    }
    deployment.mode = RunMode::Rebuild { before: None };
    let end = run(deployment, true, stop, stats)?;
    if end != RunEnd::Stopped {
        for layout_change in 0..record.layout_changes.len() {
            remove(deployment.stores.as_ref(), record.before(layout_change).layout()?)?;
        }
    }
    Ok(end)
}

/// Everything that another instance could work on.
fn all_tasks(log: &dyn Log, layout: Layout) -> Result<BTreeSet<TaskId>, TaskError> {
    let mut tasks = BTreeSet::from([TaskId::DEPLOYMENT, TaskId::SEQUENCE, TaskId::COORDINATE]);
    tasks.extend((0..layout.partitions.count()).map(TaskId::accrue));
    for topic in Topic::SOURCES {
        let numbers = log.partitions(topic)?.into_iter();
        tasks.extend(numbers.map(|number| TaskId::ingest(topic.partition(number))));
    }
    Ok(tasks)
}

/// The coordinator and the accrue tasks, and where their partitions end.
fn homes(log: &dyn Log, layout: Layout) -> Result<Vec<(TaskId, u64)>, TaskError> {
    let tasks = (0..layout.partitions.count())
        .map(TaskId::accrue)
        .chain([TaskId::COORDINATE]);
    tasks.map(|task| Ok((task, log.readable_end(task.home())?))).collect()
}

/// Works off what is on the ledger and in the inbox; `false` if it was asked to stop.
fn drain(
    deployment: &Deployment,
    look: &dyn Log,
    layout: Layout,
    tasks: &BTreeSet<TaskId>,
    stop: &AtomicBool,
    stats: &Arc<Stats>,
) -> Result<bool, TaskError> {
    let log = deployment.bus.log();
    let membership = deployment.bus.membership();
    let began = Instant::now();
    let mut told = false;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let assigned = membership.map(|membership| membership.assigned()).transpose()?;
        if assigned.is_none_or(|assigned| tasks.is_subset(&assigned)) {
            if run(deployment, true, stop, stats)? == RunEnd::Stopped {
                return Ok(false);
            }
            let homes = homes(look, layout)?;
            let mut worked_off = true;
            for (task, end) in homes {
                worked_off &= is_worked_off(log, look, task, end)?;
            }
            // What a store still has to go through again may be slow to come.
            if worked_off && are_caught_up(deployment, layout)? {
                return Ok(true);
            }
        } else if began.elapsed() > PATIENCE {
            let why = "other instances work on the deployment: stop all of them first".into();
            return Err(TaskError::NotNow { why });
        } else if !told {
            tracing::info!("waiting for the tasks that other instances have");
            told = true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Whether the stores are where the bus says that their tasks stand.
fn are_caught_up(deployment: &Deployment, layout: Layout) -> Result<bool, TaskError> {
    let coordinate = (TaskId::COORDINATE, Owner::Coordinate(layout.generation));
    let accrue =
        (0..layout.partitions.count()).map(|partition| (TaskId::accrue(partition), Owner::Accrue(partition, layout)));
    for (task, owner) in accrue.chain([coordinate]) {
        let committed = deployment.bus.log().committed(task)?.unwrap_or_default();
        let store = deployment.stores.open(owner, deployment.bus.log().identity(), None)?;
        if StoppedAt::at(task, store.position()) != StoppedAt::at(task, &committed) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a task has nothing more to read. Offsets are not dense, so the end is not where it has to stand.
fn is_worked_off(log: &dyn Log, look: &dyn Log, task: TaskId, end: u64) -> Result<bool, TaskError> {
    let position = log.committed(task)?.unwrap_or_default();
    let mark = position.inputs.get(&task.home()).cloned().unwrap_or_default();
    let mut nothing = position.cursor.place.is_empty();
    scan_range(look, task.home(), &mark, end, |record| {
        nothing &= record.value.is_empty();
        Ok::<_, TaskError>(())
    })?;
    Ok(nothing)
}

/// Tasks that are kept from everybody else.
struct Held<'a> {
    membership: Option<&'a dyn Membership>,
    tasks: Vec<TaskId>,
}

impl<'a> Held<'a> {
    fn take(membership: Option<&'a dyn Membership>, tasks: &BTreeSet<TaskId>) -> Result<Self, TaskError> {
        let mut held = Self {
            membership,
            tasks: Vec::new(),
        };
        for task in tasks {
            if membership.is_some_and(|membership| !membership.acquire(*task)) {
                let why = format!("{task} has gone to another instance: stop all of them, and try again");
                return Err(TaskError::NotNow { why });
            }
            held.tasks.push(*task);
        }
        Ok(held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(membership) = self.membership else { return };
        for task in &self.tasks {
            membership.release(*task);
        }
    }
}

/// Makes the stores of layout `to` from those of `from`, which stay; `record` is the one that puts `to` in force. How many rows were moved.
fn convert(deployment: &Deployment, record: &DeploymentRecord, from: Layout, to: Layout) -> Result<u64, TaskError> {
    let (stores, identity) = (deployment.stores.as_ref(), deployment.bus.log().identity());
    let layout_change = record.layout_changes.last().cloned().unwrap_or(LayoutChange {
        from: 0,
        ledger: Vec::new(),
        inbox: StoppedAt::default(),
    });
    let mut old = Vec::new();
    let mut state: Option<Accrue> = None;
    for partition in 0..from.partitions.count() {
        let task = TaskId::accrue(partition);
        let store = stores.open(Owner::Accrue(partition, from), identity, None)?;
        let stood = layout_change
            .ledger
            .get(usize::from(partition))
            .copied()
            .unwrap_or_default();
        stands(store.as_ref(), task, stood)?;
        let accrue: Accrue = seen_events::state(store.as_ref(), "the state of an accrue task")?.unwrap_or_default();
        if !accrue.is_between_settlements() {
            let why = "an epoch is being settled: go on until it is sealed".into();
            return Err(TaskError::NotNow { why });
        }
        // Barriers and settlements reach all partitions alike.
        if state.as_ref().is_some_and(|state| *state != accrue) {
            return Err(impossible(format!("{task} is not in the state of the others")));
        }
        state = Some(accrue);
        old.push(store);
    }
    let state = codec::encode(&state.unwrap_or_default()).map_err(fault)?;
    let coordinate = stores.open(Owner::Coordinate(from.generation), identity, None)?;
    stands(coordinate.as_ref(), TaskId::COORDINATE, layout_change.inbox)?;
    let coordinator: Coordinator = seen_events::state(coordinate.as_ref(), "the state of the coordinator")?
        .unwrap_or_else(|| Coordinator::new(from.partitions.count().into()));
    let coordinator = coordinator
        .repartitioned(to.partitions.count().into())
        .map_err(|epochs| TaskError::NotNow {
            why: format!("these epochs are being settled: {}", epochs.join(", ")),
        })?;
    let mut rows = 0;
    for partition in 0..to.partitions.count() {
        let owner = Owner::Accrue(partition, to);
        stores.remove(owner)?;
        let mut new = stores.open(owner, identity, None)?;
        let buckets = to.partitions.buckets(partition);
        let first = from.partitions.of(buckets.start);
        let last = from.partitions.of(buckets.end.saturating_sub(1).min(BUCKETS - 1));
        let mut changes = Changes::default();
        for old in old.get(usize::from(first)..=usize::from(last)).unwrap_or_default() {
            let mut scan = old.scan(&[1], &[0xff])?;
            while let Some((key, value)) = scan.next()? {
                if !tables::bucket(key).is_some_and(|bucket| buckets.contains(&bucket)) {
                    continue;
                }
                rows += 1;
                changes.put(key, value);
                if changes.bytes() > BATCH_BYTES {
                    // Nobody takes it for whole before its state is in it.
                    new.commit(&mut changes, &Position::default())?;
                }
            }
        }
        changes.put(&tables::STATE, &state);
        new.commit(&mut changes, &record.begins_at(TaskId::accrue(partition)))?;
    }
    let owner = Owner::Coordinate(to.generation);
    stores.remove(owner)?;
    let mut new = stores.open(owner, identity, None)?;
    let mut changes = Changes::default();
    let mut scan = coordinate.scan(&[1], &[0xff])?;
    while let Some((key, value)) = scan.next()? {
        changes.put(key, value);
    }
    drop(scan);
    changes.put(&tables::STATE, &codec::encode(&coordinator).map_err(fault)?);
    new.commit(&mut changes, &record.begins_at(TaskId::COORDINATE))?;
    Ok(rows)
}

/// Refuses a store that is not where its task stood.
fn stands(store: &dyn Store, task: TaskId, stood: StoppedAt) -> Result<(), TaskError> {
    if StoppedAt::at(task, store.position()) == Some(stood) {
        return Ok(());
    }
    Err(impossible(format!(
        "the store of {task} is at {:?}, and the task stood at {stood:?}",
        store.position()
    )))
}

fn remove(stores: &dyn Stores, layout: Layout) -> Result<(), TaskError> {
    stores.remove(Owner::Coordinate(layout.generation))?;
    (0..layout.partitions.count()).try_for_each(|partition| stores.remove(Owner::Accrue(partition, layout)))
}

fn impossible(what: String) -> TaskError {
    fault(crate::core::fault::impossible(what))
}

fn fault(fault: crate::core::fault::Fault) -> TaskError {
    TaskError::Fault {
        at: "repartitioning".into(),
        fault,
    }
}
