//! The one harness: read, fold, publish, persist, recover.
//!
//! A step's outputs are committed to the bus together with the position they came from, and only then may the store move there; it does so
//! whenever enough has come together. So the store is never ahead of what was published. After a crash the task starts from the store's
//! position and goes through what follows once more, *muted*, up to the position the bus has: the fold is the same, and its outputs, which are
//! there already, are dropped.
//!
//! The position that a store persists is always one that the bus has committed, so that whichever process takes the task up next goes on behind
//! it: two stores of one task never know of different futures.

use std::time::{Duration, Instant};

use crate::bus::{Access, Batch, BusError, Cursor, Log, Mark, Outputs, Position, Reader, TaskId, TopicPartition};
use crate::core::fault::Fault;
use crate::store::{Changes, Store, StoreError};
use crate::task::{Progress, Task, TaskError};

/// How many bytes of input one step takes, about, unless it is told otherwise.
pub const STEP_BYTES: usize = 1 << 20;
/// How many bytes of changes may wait in memory, for all tasks of a process together.
pub const CHANGES_BYTES: usize = 448 << 20;
/// How long changes may wait in memory while there is nothing else to do.
const PERSIST_AFTER: Duration = Duration::from_secs(1);

/// How long a task that is made anew waits for what has not come yet.
const SLOW: Duration = Duration::from_millis(20);

/// What a fold is given in a step.
pub struct Context<'a> {
    /// The bus, to read.
    pub log: &'a dyn Log,
    /// The store as of the last persist.
    pub store: &'a dyn Store,
    /// Where the task stands before the step.
    pub at: &'a Position,
    /// Whether what is said now was said before and is dropped.
    pub recovering: bool,
    /// What changes in the store.
    pub changes: &'a mut Changes,
    /// What is said.
    pub outputs: &'a mut Outputs,
}

/// Why a fold stopped.
#[derive(Debug)]
pub enum Stop {
    /// A fault of the core.
    Fault(Fault),
    /// Anything else.
    Other(TaskError),
}

impl Stop {
    /// The error of a task that stopped at `at`.
    pub fn of(self, at: &str) -> TaskError {
        match self {
            Self::Other(error) => error,
            Self::Fault(fault) => TaskError::Fault {
                at: at.to_owned(),
                fault,
            },
        }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Other(error.into())
    }
}

impl From<crate::bus::BusError> for Stop {
    fn from(error: crate::bus::BusError) -> Self {
        Self::Other(error.into())
    }
}

/// How far a job came.
pub enum JobStep {
    /// Up to this place; there is more.
    Place(Vec<u8>),
    /// To its end.
    Done,
}

/// A fold of the core, as the harness drives it.
pub trait Fold: Send {
    /// The partitions it reads; what the first has is read before the second.
    fn inputs(&self) -> &[TopicPartition];

    /// The offset of input `input` that may not be reached yet by a task that stands at `offset`.
    fn limit(&mut self, input: usize, offset: u64, log: &dyn Log) -> Result<u64, Stop>;

    /// Applies records of `batch` from the `first`-th on; returns how many of the batch are applied then. It stops after a record that
    /// sets off a job, and otherwise goes to the end.
    fn apply(&mut self, input: usize, batch: &Batch, first: usize, context: &mut Context<'_>) -> Result<usize, Stop>;

    /// Whether there is a job to do before the next record.
    fn has_job(&self) -> bool {
        false
    }

    /// Goes on with the job that has come to `place`, for one transaction's worth, but not past the place `until`.
    fn job(&mut self, _place: &[u8], _until: Option<&[u8]>, _context: &mut Context<'_>) -> Result<JobStep, Stop> {
        Ok(JobStep::Done)
    }

    /// Bytes of memory that [`Fold::write_state`] would turn into changes.
    fn unwritten(&self) -> usize {
        0
    }

    /// Writes what is only in memory to `changes`; the position it belongs to is persisted with it.
    fn write_state(&mut self, changes: &mut Changes) -> Result<(), Stop>;
}

/// A task: a fold with its store and its place on the bus.
pub struct Harness<F> {
    task: TaskId,
    fold: F,
    /// Without the right to commit, the task stops where everything was said before: it rebuilds its store and publishes nothing.
    access: Access,
    store: Box<dyn Store>,
    readers: Vec<Box<dyn Reader>>,
    /// What was read and not applied yet, by input: the batch, and how much of it is applied.
    held: Vec<Option<(Batch, usize)>>,
    at: Position,
    /// What the bus has as the position of this task.
    committed: Option<Position>,
    /// Up to here everything was said before.
    said: Option<Position>,
    changes: Changes,
    outputs: Outputs,
    persisted: Instant,
    dirty: bool,
    limits: StepLimits,
}

/// How much a task takes on at a time. No part of any result.
#[derive(Debug, Clone, Copy)]
pub struct StepLimits {
    /// Bytes of input one step takes, about.
    pub step_bytes: usize,
    /// Bytes of changes that may wait in memory.
    pub changes_bytes: usize,
}

impl<F: Fold> Harness<F> {
    /// Takes a task up where its store and the bus left it: the bus at `committed`. With read-only `access`, it only rebuilds the store.
    ///
    /// # Errors
    /// If the store or an input is not what it was.
    pub fn new(
        task: TaskId,
        fold: F,
        access: Access,
        store: Box<dyn Store>,
        limits: StepLimits,
        committed: Option<Position>,
    ) -> Result<Self, TaskError> {
        let at = store.position().clone();
        let said = committed.clone().filter(|said| is_before(&at, said));
        let log = access.log();
        let mut readers = Vec::new();
        for input in fold.inputs() {
            let mark = at.inputs.get(input).cloned().unwrap_or_default();
            let end = log.readable_end(*input)?;
            if mark.offset > end && input.topic.kind() != crate::core::contract::topic::TopicKind::Input {
                return Err(TaskError::Ahead {
                    task: task.to_string(),
                    partition: *input,
                    stored: mark.offset,
                    end,
                });
            }
            // What was read further than the store goes has to be there still, as it was: it is read once more.
            if let Some(reached) = said.as_ref().and_then(|said| said.inputs.get(input)) {
                log.check(*input, reached)?;
                let start = log.start(*input)?;
                if mark.offset < start && reached.offset > mark.offset {
                    return Err(TaskError::Bus(BusError::Retained {
                        partition: *input,
                        start,
                        wanted: mark.offset,
                    }));
                }
            }
            readers.push(log.open(*input, &mark)?);
        }
        // What the store holds was committed before: a bus that has less has lost it, and nobody knows what else was published.
        if said.is_none() && committed.as_ref().is_none_or(|known| is_before(known, &at)) && at != Position::default() {
            return Err(TaskError::Lost {
                task,
                stored: describe(&at),
                committed: committed.as_ref().map_or_else(|| "nothing".into(), describe),
            });
        }
        tracing::debug!(
            %task,
            "the store is at {}, the bus has {}",
            describe(&at),
            committed.as_ref().map_or_else(|| "nothing".into(), describe),
        );
        if let Some(said) = &said {
            tracing::info!(%task, "going through what was published before: {}", distance(&at, said));
        }
        Ok(Self {
            held: readers.iter().map(|_| None).collect(),
            task,
            fold,
            access,
            store,
            readers,
            at,
            committed,
            said,
            changes: Changes::default(),
            outputs: Outputs::default(),
            persisted: Instant::now(),
            dirty: false,
            limits,
        })
    }

    fn is_rebuild(&self) -> bool {
        self.access.bus().is_none()
    }

    fn stopped(&self, stop: Stop) -> TaskError {
        stop.of(&format!("{} at {}", self.task, describe(&self.at)))
    }

    /// Ends a step in which the task came to `self.at`.
    fn publish(&mut self) -> Result<(), TaskError> {
        self.dirty = true;
        if self.said.is_some() {
            self.outputs.clear();
            self.end_recovery();
        } else if !self.outputs.is_empty() {
            self.commit()?;
        }
        if self.changes.bytes() + self.fold.unwritten() > self.limits.changes_bytes {
            self.persist()?;
        }
        Ok(())
    }

    /// Publishes what there is to say, and the position.
    fn commit(&mut self) -> Result<(), TaskError> {
        let Some(bus) = self.access.bus() else {
            let fault = crate::core::fault::impossible("a commit while the store is rebuilt");
            return Err(self.stopped(fault.into()));
        };
        tracing::trace!(task = %self.task, "at {}: committing", describe(&self.at));
        bus.commit(self.task, &self.outputs, &self.at)?;
        self.outputs.clear();
        self.committed = Some(self.at.clone());
        Ok(())
    }

    /// Ends the going through once everything that was said is behind.
    fn end_recovery(&mut self) {
        if self.said.as_ref().is_some_and(|said| !is_before(&self.at, said)) {
            tracing::info!(task = %self.task, "caught up with what was published before");
            self.said = None;
        }
    }

    fn persist(&mut self) -> Result<(), TaskError> {
        if self.dirty {
            tracing::trace!(task = %self.task, recovering = self.said.is_some(), "at {}: persisting", describe(&self.at));
            // What was said before was committed before; the rest is now, even if there was nothing to say.
            if self.said.is_none() && self.committed.as_ref() != Some(&self.at) && !self.is_rebuild() {
                self.commit()?;
            }
            self.fold
                .write_state(&mut self.changes)
                .map_err(|stop| self.stopped(stop))?;
            self.store.commit(&mut self.changes, &self.at)?;
            self.dirty = false;
        }
        self.persisted = Instant::now();
        Ok(())
    }

    fn context<'a>(
        log: &'a dyn Log,
        store: &'a dyn Store,
        at: &'a Position,
        recovering: bool,
        changes: &'a mut Changes,
        outputs: &'a mut Outputs,
    ) -> Context<'a> {
        Context {
            log,
            store,
            at,
            recovering,
            changes,
            outputs,
        }
    }

    fn job(&mut self) -> Result<(), TaskError> {
        // A job walks over the store, so the store has to be where the task was when the job began: what the job itself changes lies behind
        // its place. All of it was published, or needed no publishing.
        if self.at.cursor.place.is_empty() {
            self.persist()?;
        }
        let until = self
            .said
            .as_ref()
            .filter(|said| same_inputs(&self.at, said) && said.cursor.job == self.at.cursor.job)
            .map(|said| said.cursor.place.clone());
        let mut context = Self::context(
            self.access.log(),
            self.store.as_ref(),
            &self.at,
            self.said.is_some(),
            &mut self.changes,
            &mut self.outputs,
        );
        let step = self.fold.job(&self.at.cursor.place, until.as_deref(), &mut context);
        match step.map_err(|stop| self.stopped(stop))? {
            JobStep::Place(place) => self.at.cursor.place = place,
            JobStep::Done => {
                self.at.cursor = Cursor {
                    job: self.at.cursor.job.saturating_add(1),
                    place: Vec::new(),
                }
            }
        }
        self.publish()
    }

    /// Whether an input has not come to where it was when what is gone through again was said: what the next input then had to be applied
    /// under is not known yet, be it that the bus is slow to bring it.
    fn is_behind(&self, input: usize) -> bool {
        let partition = self.fold.inputs()[input];
        self.said
            .as_ref()
            .is_some_and(|said| self.at.offset(partition) < said.offset(partition))
    }

    /// Reads and applies what there is of one input; whether there was anything.
    fn read(&mut self, input: usize) -> Result<bool, TaskError> {
        let partition = self.fold.inputs()[input];
        let offset = self.at.offset(partition);
        if self.held[input].is_none() {
            if !self.readers[input].has_news()? {
                return Ok(false);
            }
            let limit = match &self.said {
                Some(said) => said.offset(partition),
                None => match self.fold.limit(input, offset, self.access.log()) {
                    Ok(limit) => limit,
                    // Nothing has been changed yet: it is asked again in a while.
                    Err(Stop::Other(TaskError::Bus(BusError::Unavailable { .. }))) => return Ok(false),
                    Err(stop) => return Err(self.stopped(stop)),
                },
            };
            if limit <= offset {
                return Ok(false);
            }
            let batch = self.readers[input].read(self.limits.step_bytes, limit)?;
            if batch.is_empty() && batch.next.offset == offset {
                return Ok(false);
            }
            self.held[input] = Some((batch, 0));
        }
        let Some((batch, first)) = self.held[input].take() else {
            return Ok(false);
        };
        tracing::trace!(
            task = %self.task,
            recovering = self.said.is_some(),
            "at {}: applying {partition} up to {}, {} records",
            describe(&self.at),
            batch.next.offset,
            batch.len() - first,
        );
        let mut context = Self::context(
            self.access.log(),
            self.store.as_ref(),
            &self.at,
            self.said.is_some(),
            &mut self.changes,
            &mut self.outputs,
        );
        let applied = self
            .fold
            .apply(input, &batch, first, &mut context)
            .map_err(|stop| self.stopped(stop))?;
        let mark = match batch.offset(applied) {
            // Only a fold with jobs stops within a batch, and those read topics whose marks need no evidence.
            Some(offset) => Mark {
                offset,
                evidence: Vec::new(),
            },
            None => batch.next.clone(),
        };
        self.at.inputs.insert(partition, mark);
        self.at.cursor = Cursor::default();
        if applied < batch.len() {
            self.held[input] = Some((batch, applied));
        } else {
            self.readers[input].recycle(batch);
        }
        self.publish()?;
        Ok(true)
    }
}

impl<F: Fold> Task for Harness<F> {
    fn id(&self) -> TaskId {
        self.task
    }

    fn step(&mut self) -> Result<Progress, TaskError> {
        let stepped = self.do_step();
        self.look_at(&stepped);
        stepped
    }

    fn close(&mut self) -> Result<(), TaskError> {
        let closed = self.persist();
        self.look_at(&closed);
        if closed.is_ok() {
            self.store.close();
        }
        closed
    }
}

impl<F: Fold> Harness<F> {
    /// Sees to it that a store that was found damaged is not used again.
    fn look_at<T>(&self, outcome: &Result<T, TaskError>) {
        if let Err(TaskError::Store(error)) = outcome
            && error.is_damage()
        {
            tracing::error!(task = %self.task, "the store is damaged: it is set aside when it is opened again");
            self.store.quarantine(error);
        }
    }

    fn do_step(&mut self) -> Result<Progress, TaskError> {
        self.store.maintain();
        self.store.has_room()?;
        if self.is_rebuild() && self.said.is_none() {
            self.persist()?;
            return Ok(Progress::Idle);
        }
        if self.fold.has_job() {
            self.job()?;
            return Ok(Progress::Worked);
        }
        for input in 0..self.readers.len() {
            if self.read(input)? {
                return Ok(Progress::Worked);
            }
            if self.is_behind(input) {
                break;
            }
        }
        if self.dirty && self.persisted.elapsed() > PERSIST_AFTER {
            self.persist()?;
        }
        if self.is_rebuild() {
            // What was said is there: it is only slow to come, and nothing is done before it has.
            std::thread::sleep(SLOW);
            return Ok(Progress::Worked);
        }
        Ok(Progress::Idle)
    }
}

/// Whether a task comes through `a` before it comes to `b`. Positions of one task follow one another, so one of the two is not behind the
/// other in anything.
fn is_before(a: &Position, b: &Position) -> bool {
    if same_inputs(a, b) {
        return a.cursor < b.cursor;
    }
    b.inputs
        .iter()
        .any(|(partition, mark)| a.offset(*partition) < mark.offset)
}

fn same_inputs(a: &Position, b: &Position) -> bool {
    let offsets = |position: &Position| -> Vec<(TopicPartition, u64)> {
        position
            .inputs
            .iter()
            .map(|(partition, mark)| (*partition, mark.offset))
            .filter(|(_, offset)| *offset > 0)
            .collect()
    };
    offsets(a) == offsets(b)
}

fn describe(at: &Position) -> String {
    let places: Vec<String> = at
        .inputs
        .iter()
        .map(|(partition, mark)| format!("{partition}:{}", mark.offset))
        .collect();
    if places.is_empty() {
        "the start".into()
    } else {
        places.join(", ")
    }
}

fn distance(from: &Position, to: &Position) -> String {
    format!("from {} to {}", describe(from), describe(to))
}
