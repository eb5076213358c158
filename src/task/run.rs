//! A deployment in one process: its tasks on a few threads, from the state that is there to the end of the bus.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::bus::{Bus, BusError, Cursor, Mark, Outputs, Position, Reaction, TaskId, Topic, TopicPartition};
use crate::core::decision::Decision;
use crate::core::name::Partitions;
use crate::store::Store;
use crate::store::rocks::Expired;

use super::accrue::AccrueTask;
use super::coordinate::{CoordinateTask, Open};
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
    /// Whether only the stores are made anew, up to what the bus has committed: nothing is published, and the bus is only read.
    pub rebuild: bool,
    /// What puts control records and source partitions into the inbox, if it is not the usual sequencer: a replay brings them as they came then.
    pub sequence: Option<Box<StartSequence>>,
}

/// Starts a sequencer.
pub type StartSequence = dyn Fn() -> Result<Box<dyn Task>, TaskError> + Send + Sync;

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
    let Some(opened) = Opened::new(deployment, Arc::clone(stats), stop)? else {
        return Ok(End::Stopped);
    };
    let pool = Pool {
        bus: deployment.bus.as_ref(),
        threads: deployment.threads.max(1),
        until_idle,
        stop,
        wanted: &|| opened.wanted(),
        start: &|task| opened.start(task),
    };
    let stopped = pool.run()?;
    let open = opened
        .open
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone();
    match stopped {
        Stopped::Asked => Ok(End::Stopped),
        Stopped::Idle if deployment.rebuild => Ok(End::Idle),
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
    /// Source partitions that were on the bus before: one whose file is gone is started all the same, and says so.
    known: BTreeSet<TopicPartition>,
}

impl<'a> Opened<'a> {
    /// `None` if it was asked to stop meanwhile.
    fn new(deployment: &'a Deployment, stats: Arc<Stats>, stop: &AtomicBool) -> Result<Option<Self>, TaskError> {
        let Some(partitions) = fixed(deployment, stop)? else {
            return Ok(None);
        };
        let mut known = BTreeSet::new();
        if deployment.bus.assigned()?.is_none() {
            known = announced(deployment.bus.as_ref())?;
            known.extend(deployment.stores.sources()?);
        }
        let mut tasks = usize::from(partitions.count()) + 1;
        for topic in Topic::SOURCES {
            tasks += deployment.bus.partitions(topic)?.len();
        }
        // Large batches are cheaper, but so many tasks may each have one; far more tasks than usual make do with little.
        let changes_bytes = (CHANGES_BYTES / tasks).max(1 << 20);
        let limits = Limits {
            step_bytes: deployment.step_bytes,
            changes_bytes,
            rebuild: deployment.rebuild,
        };
        Ok(Some(Self {
            deployment,
            partitions,
            open: Arc::default(),
            stats,
            limits,
            known,
        }))
    }

    /// The tasks that this process is to run now.
    fn wanted(&self) -> Result<BTreeSet<TaskId>, TaskError> {
        if let Some(mut assigned) = self.deployment.bus.assigned()? {
            // What a deployment was begun with has no task.
            assigned.remove(&TaskId::DEPLOYMENT);
            return Ok(assigned);
        }
        let mut all = BTreeSet::from([TaskId::COORDINATE]);
        if !self.deployment.rebuild {
            // It has no store.
            all.insert(TaskId::SEQUENCE);
        }
        all.extend((0..self.partitions.count()).map(TaskId::accrue));
        all.extend(self.known.iter().copied().map(TaskId::ingest));
        for topic in Topic::SOURCES {
            let numbers = self.deployment.bus.partitions(topic)?;
            all.extend(
                numbers
                    .into_iter()
                    .map(|number| TaskId::ingest(topic.partition(number))),
            );
        }
        Ok(all)
    }

    /// Takes a task up from its store.
    fn start(&self, task: TaskId) -> Result<Box<dyn Task>, TaskError> {
        let home = task.home();
        match home.topic {
            Topic::Control => match &self.deployment.sequence {
                Some(start) => start(),
                None => Ok(Box::new(SequenceTask::new(Arc::clone(&self.deployment.bus))?)),
            },
            Topic::Inbox => self.coordinate(),
            Topic::Ledger => match u16::try_from(home.partition) {
                Ok(partition) if partition < self.partitions.count() => self.accrue(partition),
                _ => Err(TaskError::Fixed {
                    name: "partitions",
                    given: format!("{} or more, going by topic {}", home.partition + 1, home.topic),
                    recorded: self.partitions.count().to_string(),
                    hint: "a ledger never grows: remove the deployment's topics and begin anew, or restore the topic as it was",
                }),
            },
            _ => self.ingest(home),
        }
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
            TaskId::COORDINATE,
            fold,
            bus,
            store,
            self.limits,
        )?))
    }

    fn accrue(&self, partition: u16) -> Result<Box<dyn Task>, TaskError> {
        let store = self.store(Owner::Accrue(partition, self.partitions), None)?;
        let fold = AccrueTask::new(partition, self.partitions, store.as_ref(), Arc::clone(&self.stats))?;
        let bus = Arc::clone(&self.deployment.bus);
        Ok(Box::new(Harness::new(
            TaskId::accrue(partition),
            fold,
            bus,
            store,
            self.limits,
        )?))
    }

    fn ingest(&self, source: TopicPartition) -> Result<Box<dyn Task>, TaskError> {
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
        Ok(Box::new(Harness::new(
            TaskId::ingest(source),
            fold,
            bus,
            store,
            self.limits,
        )?))
    }
}

/// Whose name errors about what a deployment was begun with go under.
const FIXED: &str = "deployment";

/// How long to wait before looking again whether another process has begun the deployment.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Agrees on the settings that results or the ledger's layout rest on: what the bus has on record, or what is asked for if it has nothing.
/// Where several processes run a deployment, one of them begins it and the others wait for that. `None` if it was asked to stop meanwhile.
fn fixed(deployment: &Deployment, stop: &AtomicBool) -> Result<Option<Partitions>, TaskError> {
    let bus = deployment.bus.as_ref();
    loop {
        if let Some(position) = settled(bus.committed(TaskId::DEPLOYMENT))? {
            return agreed(deployment, Some(&position.cursor.place)).map(Some);
        }
        if deployment.rebuild {
            return Err(TaskError::Unfinished {
                what: "this bus has nothing on record of a deployment, so there are no stores to make anew".into(),
            });
        }
        let ours = bus
            .assigned()?
            .is_none_or(|assigned| assigned.contains(&TaskId::DEPLOYMENT));
        if ours && bus.take_up(TaskId::DEPLOYMENT) {
            break;
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    let begun = begin(deployment);
    bus.let_go(TaskId::DEPLOYMENT);
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
fn settled<T>(answer: Result<Option<T>, BusError>) -> Result<Option<T>, BusError> {
    match answer {
        Err(error @ BusError::Unavailable { .. }) => {
            tracing::warn!("{error}");
            Ok(None)
        }
        answer => answer,
    }
}

/// Begins the deployment, with what this process was told.
fn begin(deployment: &Deployment) -> Result<Partitions, TaskError> {
    let bus = deployment.bus.as_ref();
    if bus.end(Topic::Decisions.partition(0))? > 0 {
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
    let partitions = agreed(deployment, None)?;
    let record = (u32::from(partitions.count()), deployment.dedup_epochs);
    let place = crate::core::messages::encode(&record).map_err(fault)?;
    let position = Position {
        cursor: Cursor { job: 0, place },
        ..Position::default()
    };
    bus.commit(TaskId::DEPLOYMENT, &Outputs::default(), &position)?;
    Ok(partitions)
}

/// What is in force, if what this process was told does not contradict it.
fn agreed(deployment: &Deployment, recorded: Option<&[u8]>) -> Result<Partitions, TaskError> {
    let recorded: Option<(u32, u64)> = recorded
        .map(|record| crate::core::messages::decode(record, "the deployment's record on the bus"))
        .transpose()
        .map_err(fault)?;
    // Where the ledger is there already, it has as many partitions as it has.
    let ledger = if deployment.bus.assigned()?.is_some() {
        u32::try_from(deployment.bus.partitions(Topic::Ledger)?.len()).ok()
    } else {
        None
    };
    let (count, dedup_epochs) = recorded.unwrap_or((
        ledger.or(deployment.partitions).unwrap_or(DEFAULT_PARTITIONS),
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
    if let Some(found) = ledger.filter(|found| *found != count) {
        return Err(TaskError::Fixed {
            name: "partitions",
            given: format!("{found}, going by topic {}", Topic::Ledger),
            recorded: count.to_string(),
            hint: "a ledger never grows: restore the topic as it was, or begin a new deployment on new topics",
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
    Ok(partitions)
}

fn fault(fault: crate::core::fault::Fault) -> TaskError {
    TaskError::Fault {
        at: FIXED.into(),
        fault,
    }
}
