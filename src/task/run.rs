//! A deployment in one process: its tasks on a few threads, from the state that is there to the end of the bus.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use crate::bus::{Bus, Cursor, Mark, Outputs, Position, Topic, TopicPartition};
use crate::core::decision::Decision;
use crate::core::name::Partitions;
use crate::store::Store;
use crate::store::rocks::Expired;

use super::accrue::AccrueTask;
use super::coordinate::{self, CoordinateTask, Open};
pub use super::harness::STEP_BYTES;
use super::harness::{CHANGES_BYTES, Harness, Limits};
use super::ingest::IngestTask;
use super::pool::{Pool, Stopped};
use super::remembered::Horizon;
use super::sequence::SequenceTask;
use super::stats::Stats;
use super::stores::{Owner, Stores};
use super::{Task, TaskError};

/// The number of ledger partitions of a new deployment for which none is given.
pub const DEFAULT_PARTITIONS: u32 = 8;

/// What to run.
pub struct Deployment {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// The tasks' stores.
    pub stores: Box<dyn Stores>,
    /// How many ledger partitions; `None` for what the deployment was begun with.
    pub partitions: Option<u32>,
    /// For how many epochs duplicates are recognised.
    pub dedup_epochs: u64,
    /// How many threads work; at least 1.
    pub threads: usize,
    /// How many bytes of input one step of a task takes, about; [`STEP_BYTES`] unless a test wants otherwise. No part of any result.
    pub step_bytes: usize,
}

/// How a run ended, when it did not end with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All is processed, every accepted close is sealed.
    Idle,
    /// It was asked to stop.
    Stopped,
    /// All is processed, but a failed check stopped these epochs: the alarms.
    Alarmed(Vec<String>),
}

/// Runs until `stop` is set, or, with `until_idle`, until everything on the bus is processed and every accepted close is sealed.
///
/// # Errors
/// Whatever stopped a task. Everything committed is safe; a later run goes on from there.
pub fn run(deployment: &Deployment, until_idle: bool, stop: &AtomicBool, stats: &Arc<Stats>) -> Result<End, TaskError> {
    let opened = Opened::new(deployment, Arc::clone(stats))?;
    let mut pool = Pool::default();
    let control: Box<dyn Task> = Box::new(SequenceTask::new(Arc::clone(&deployment.bus))?);
    pool.add(control);
    pool.add(opened.coordinate()?);
    for partition in 0..opened.partitions.count() {
        pool.add(opened.accrue(partition)?);
    }
    // One whose file is gone from the bus is started all the same, and says so.
    let mut known = announced(deployment.bus.as_ref())?;
    known.extend(deployment.stores.sources()?);
    let started = Mutex::new(known);
    for source in started.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
        pool.add(opened.ingest(*source)?);
    }
    let found = |sources: Vec<TopicPartition>| {
        let mut started = started.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut tasks = Vec::new();
        for source in sources {
            if started.insert(source) {
                tasks.push(opened.ingest(source)?);
            }
        }
        Ok(tasks)
    };
    let stopped = pool.run(
        deployment.bus.as_ref(),
        deployment.threads.max(1),
        until_idle,
        stop,
        &found,
    )?;
    let open = opened
        .open
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone();
    match stopped {
        Stopped::Asked => Ok(End::Stopped),
        Stopped::Idle if !open.alarms.is_empty() => Ok(End::Alarmed(open.alarms)),
        Stopped::Idle if open.undecided => Err(TaskError::Unfinished {
            what: "a control event waits for an answer of a source partition that is not on the bus any more; bring its file back".into(),
        }),
        Stopped::Idle if !open.unsealed.is_empty() => {
            Err(TaskError::Unfinished { what: format!("these closed epochs have no seal: {}", open.unsealed.join(", ")) })
        }
        Stopped::Idle => Ok(End::Idle),
    }
}

/// The source partitions on record: even with all stores lost, one that was read has to be there.
fn announced(bus: &dyn Bus) -> Result<BTreeSet<TopicPartition>, TaskError> {
    let mut known = BTreeSet::new();
    let mut reader = bus.open(Topic::Decisions.partition(0), &Mark::default())?;
    loop {
        let batch = reader.read(STEP_BYTES, u64::MAX)?;
        if batch.is_empty() {
            return Ok(known);
        }
        for record in batch.iter().filter(|record| !record.value.is_empty()) {
            if let Decision::SourcesAdded { sources } = Decision::read(record.value).map_err(fault)? {
                known.extend(sources);
            }
        }
    }
}

/// A deployment with its fixed settings agreed.
struct Opened<'a> {
    deployment: &'a Deployment,
    partitions: Partitions,
    open: Arc<Mutex<Open>>,
    stats: Arc<Stats>,
    limits: Limits,
}

impl<'a> Opened<'a> {
    fn new(deployment: &'a Deployment, stats: Arc<Stats>) -> Result<Self, TaskError> {
        let partitions = fixed(deployment)?;
        let mut tasks = usize::from(partitions.count()) + 1;
        for topic in Topic::SOURCES {
            tasks += deployment.bus.partitions(topic)?.len();
        }
        // Large batches are cheaper, but so many tasks may each have one; far more tasks than usual make do with little.
        let changes_bytes = (CHANGES_BYTES / tasks).max(1 << 20);
        let limits = Limits {
            step_bytes: deployment.step_bytes,
            changes_bytes,
        };
        Ok(Self {
            deployment,
            partitions,
            open: Arc::default(),
            stats,
            limits,
        })
    }

    fn store(&self, owner: Owner, expired: Option<Expired>) -> Result<Box<dyn Store>, TaskError> {
        self.deployment
            .stores
            .open(owner, self.deployment.bus.identity(), expired)
    }

    fn coordinate(&self) -> Result<Box<dyn Task>, TaskError> {
        let store = self.store(Owner::Coordinate, None)?;
        let fold = CoordinateTask::new(
            u32::from(self.partitions.count()),
            store.as_ref(),
            Arc::clone(&self.open),
            Arc::clone(&self.stats),
        )?;
        let bus = Arc::clone(&self.deployment.bus);
        Ok(Box::new(Harness::new(
            coordinate::NAME.into(),
            fold,
            bus,
            store,
            self.limits,
        )?))
    }

    fn accrue(&self, partition: u16) -> Result<Box<dyn Task>, TaskError> {
        let name = AccrueTask::name(partition);
        let store = self.store(Owner::Accrue(partition), None)?;
        let fold = AccrueTask::new(partition, self.partitions, store.as_ref(), Arc::clone(&self.stats))?;
        let bus = Arc::clone(&self.deployment.bus);
        Ok(Box::new(Harness::new(name, fold, bus, store, self.limits)?))
    }

    fn ingest(&self, source: TopicPartition) -> Result<Box<dyn Task>, TaskError> {
        let name = IngestTask::name(source);
        let dedup_epochs = self.deployment.dedup_epochs;
        let horizon = Arc::new(Horizon::new(dedup_epochs));
        let hidden = Arc::clone(&horizon);
        let expired: Expired = Arc::new(move |key, value| hidden.hides(key, value));
        let store = self.store(Owner::Ingest(source), Some(expired))?;
        let fold = IngestTask::new(
            source,
            dedup_epochs,
            self.partitions,
            store.as_ref(),
            horizon,
            Arc::clone(&self.stats),
        )?;
        let bus = Arc::clone(&self.deployment.bus);
        Ok(Box::new(Harness::new(name, fold, bus, store, self.limits)?))
    }
}

/// Under this name the bus keeps what a deployment was begun with.
const FIXED: &str = "deployment";

/// Agrees on the settings that results or the ledger's layout rest on: what the bus has on record, or what is asked for if it has nothing.
fn fixed(deployment: &Deployment) -> Result<Partitions, TaskError> {
    let recorded = deployment.bus.committed(FIXED)?.map(|position| position.cursor.place);
    let recorded: Option<(u32, u64)> = recorded
        .as_deref()
        .map(|record| crate::core::messages::decode(record, "the deployment's record on the bus"))
        .transpose()
        .map_err(fault)?;
    let (count, dedup_epochs) = recorded.unwrap_or((
        deployment.partitions.unwrap_or(DEFAULT_PARTITIONS),
        deployment.dedup_epochs,
    ));
    if let Some(given) = deployment.partitions.filter(|given| *given != count) {
        return Err(TaskError::Fixed {
            name: "partitions",
            given: given.to_string(),
            recorded: count.to_string(),
            hint: "leave it out to go on with what is in force",
        });
    }
    if deployment.dedup_epochs != dedup_epochs {
        return Err(TaskError::Fixed {
            name: "dedup_epochs",
            given: deployment.dedup_epochs.to_string(),
            recorded: dedup_epochs.to_string(),
            hint: "payouts depend on it: set it back",
        });
    }
    let partitions = Partitions::new(count).map_err(|error| TaskError::Fixed {
        name: "partitions",
        given: count.to_string(),
        recorded: error.to_string(),
        hint: "name a power of two from 1 to 4096",
    })?;
    if recorded.is_none() {
        let place = crate::core::messages::encode(&(count, dedup_epochs)).map_err(fault)?;
        let position = Position {
            cursor: Cursor { job: 0, place },
            ..Position::default()
        };
        deployment.bus.commit(FIXED, &Outputs::default(), &position)?;
    }
    Ok(partitions)
}

fn fault(fault: crate::core::fault::Fault) -> TaskError {
    TaskError::Fault {
        at: FIXED.into(),
        fault,
    }
}
