//! The harness of the tasks: it reads, folds, publishes, persists and recovers.
//!
//! **Publish, then persist.** One transaction of the bus commits the outputs of a step together with the position that they came from. Only
//! then may the store move to that position. It moves when enough changes have accumulated, so it is usually behind the bus.
//!
//! **Recovery.** A task starts at the position of its store. If the bus has committed a later position, the task replays its input up to that
//! position with its outputs suppressed: the fold is deterministic, so these outputs are on the bus already. This is called recovery, here and
//! in all code that asks whether a task is `recovering`. At the committed position recovery ends, and outputs are published again.
//!
//! **A store is never ahead of the bus.** In recovery a store is persisted at positions before the committed one. Otherwise the harness
//! commits the position, with or without outputs, and then persists the store at exactly that position. So two stores of one task, on two
//! disks, never know of different futures: each of them can recover to the committed position.
//!
//! **A store must be of this log.** A position carries a digest of all records before it. Where the store, or the end of recovery, is at the offset of
//! the committed position, the digests must be equal too. Otherwise the store was derived from other records: it is moved away, and rebuilt.

mod publication;
mod publishing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bus::{Access, Batch, Cursor, FileError, Mark, Position, ReadError, Reader, TaskId, Topic, TopicPartition};
use crate::core::values::offset::Offset;
use crate::store::{Changes, Store, StoreError};
use crate::task::durations::StepPart;
use crate::task::error::TaskError;
use crate::task::fold::{Fold, FoldError, JobProgress, StepContext};
use crate::task::harness::publication::Publication;
use crate::task::inputs::{LostRecords, blame_deletion, describe, open_inputs, other_log, quarantine_if_unusable};
use crate::task::pool::{Progress, Task};
use crate::task::stats::Stats;
use crate::task::task_board::TaskEntry;
use crate::task::task_spans::TaskSpans;

/// Bytes of input per step, about; the default.
pub const STEP_BYTES: usize = 1 << 20;
/// Bytes of changes in memory, for all tasks of a process together.
pub const CHANGES_BYTES: usize = 448 << 20;
/// A task that has had nothing to do for this time persists its changes. With them, others see how far it is.
const PERSIST_AFTER: Duration = Duration::from_millis(200);
/// A busy task persists its changes after this time: a task that recovers has so much to do again.
const PERSIST_BUSY_AFTER: Duration = Duration::from_secs(2);
/// A task that waits for a decision about deleted records looks this often whether they are back.
const LOOK_AGAIN_EVERY: Duration = Duration::from_secs(1);
/// A rebuild waits this long for records that the bus has not brought yet.
const REBUILD_POLL_EVERY: Duration = Duration::from_millis(20);

/// How much a task processes at a time. It does not affect results.
#[derive(Debug, Clone, Copy)]
pub struct StepLimits {
    /// Bytes of input per step, about.
    pub step_bytes: usize,
    /// Bytes of changes in memory.
    pub changes_bytes: usize,
}

/// A task: a fold with its store and its position on the bus.
pub struct Harness<F> {
    task: TaskId,
    fold: F,
    /// Without the right to commit, the task rebuilds its store: it runs only the recovery phase.
    access: Access,
    store: Box<dyn Store>,
    /// By input. A source partition of which nothing was read has none until its first offset is known.
    readers: Vec<Option<Box<dyn Reader>>>,
    /// By input: a batch that is read but not fully applied, and the number of its records that are applied.
    unapplied: Vec<Option<(Batch, usize)>>,
    position: Position,
    publication: Publication,
    /// In recovery: the committed position, at which recovery ends.
    recover_to: Option<Position>,
    /// The position of the store when the task started.
    begins_at: Position,
    /// Whether the store was new then, so that everything in it comes from the log.
    from_start: bool,
    changes: Changes,
    persisted: Instant,
    /// When the position last moved.
    moved: Instant,
    /// Whether the last batch was a large one. Then more is there, and its outputs are published with those of the next.
    in_backlog: bool,
    /// Whether the changes are to be persisted as soon as the position is committed. Until then nothing is applied.
    must_persist: bool,
    /// Whether the position has moved since the last persist.
    dirty: bool,
    limits: StepLimits,
    stats: Arc<Stats>,
    entry: TaskEntry,
    /// Records of a source partition that were deleted before the task read them.
    lost: Option<LostRecords>,
    spans: TaskSpans,
}

impl<F: Fold> Harness<F> {
    /// Starts a task at the position of its store. Its position on the bus is `committed`. With read-only `access` it only rebuilds its store.
    ///
    /// # Errors
    /// If the store is ahead of the bus, if it is of another log, or if an input is not what it was when the task read it.
    pub fn new(
        task: TaskId,
        mut fold: F,
        access: Access,
        mut store: Box<dyn Store>,
        limits: StepLimits,
        committed: Option<Position>,
        stats: Arc<Stats>,
    ) -> Result<Self, TaskError> {
        let position = store.position().clone();
        let recover_to = committed.clone().filter(|committed| position.is_before(committed));
        let opened = match committed.as_ref().and_then(|committed| position.contradicts(committed)) {
            Some(input) => Err(other_log(task, input, position.offset(input)).into()),
            None => open_inputs(task, fold.inputs(), access.log(), store.as_ref(), recover_to.as_ref()),
        };
        quarantine_if_unusable(task, store.as_ref(), &opened);
        let readers = opened?;
        // The store was persisted after its position was committed. A bus that has less has lost commits, and may have lost outputs.
        if position.is_past(&committed.clone().unwrap_or_default()) {
            return Err(TaskError::CommitsLost {
                task,
                stored: describe(&position),
                committed: committed.as_ref().map_or_else(|| "nothing".into(), describe),
            });
        }
        tracing::debug!(
            %task,
            "the store is at {}, the committed position is {}",
            describe(&position),
            committed.as_ref().map_or_else(|| "none".into(), describe),
        );
        if let Some(recover_to) = &recover_to {
            tracing::info!(
                %task,
                "recovering, with outputs suppressed: from {} to {}",
                describe(&position),
                describe(recover_to)
            );
        } else {
            store.confirm()?;
            fold.begin_work();
        }
        let entry = stats.board.enter(task, fold.inputs());
        entry.note(&position, recover_to.as_ref());
        Ok(Self {
            spans: TaskSpans::begin(task, recover_to.is_some()),
            entry,
            stats,
            from_start: position == Position::default(),
            begins_at: position.clone(),
            unapplied: readers.iter().map(|_| None).collect(),
            task,
            fold,
            access,
            store,
            readers,
            position,
            publication: Publication::new(task, committed),
            recover_to,
            changes: Changes::default(),
            persisted: Instant::now(),
            moved: Instant::now(),
            in_backlog: false,
            must_persist: false,
            dirty: false,
            limits,
            lost: None,
        })
    }

    fn is_rebuild(&self) -> bool {
        self.access.bus().is_none()
    }

    fn error(&self, error: FoldError) -> TaskError {
        error.at(&format!("{} at {}", self.task, describe(&self.position)))
    }

    /// The fold, and the context for its next step.
    fn fold_and_context(&mut self) -> (&mut F, StepContext<'_>) {
        let context = StepContext {
            log: self.access.log(),
            store: self.store.as_ref(),
            position: &self.position,
            recovering: self.recover_to.is_some(),
            changes: &mut self.changes,
            outputs: &mut self.publication.outputs,
        };
        (&mut self.fold, context)
    }

    /// Checks that the inputs are still the logs that were read: what a job publishes depends on all of them.
    fn verify_inputs(&self) -> Result<(), TaskError> {
        for input in self.fold.inputs() {
            self.access.log().verify(*input)?;
        }
        Ok(())
    }

    fn continue_job(&mut self) -> Result<(), TaskError> {
        // A job scans the store, so the store must be where the task was when the job began. What the job itself changes is
        // before the key it has reached. At that point everything is published already.
        if self.position.cursor.reached.is_empty() {
            if self.recover_to.is_none() {
                self.verify_inputs()?;
            }
            self.persist()?;
        }
        let until = self
            .recover_to
            .as_ref()
            .filter(|to| self.position.has_same_offsets(to) && to.cursor.job == self.position.cursor.job)
            .map(|to| to.cursor.reached.clone());
        let reached = self.position.cursor.reached.clone();
        self.in_backlog = false;
        let (fold, mut context) = self.fold_and_context();
        let progress = fold.continue_job(&reached, until.as_deref(), &mut context);
        match progress.map_err(|error| self.error(error))? {
            JobProgress::Reached(key) => self.position.cursor.reached = key,
            JobProgress::Finished => {
                self.position.cursor = Cursor {
                    job: self.position.cursor.job.saturating_add(1),
                    reached: Vec::new(),
                }
            }
        }
        self.finish_step()
    }

    /// In recovery: whether input `input` is still behind its committed offset. Later inputs then wait, because the effect of their records
    /// depends on what this input brings.
    fn is_behind(&self, input: usize) -> bool {
        let partition = self.fold.inputs()[input];
        self.recover_to
            .as_ref()
            .is_some_and(|to| self.position.offset(partition) < to.offset(partition))
    }

    /// Reads the next batch of an input, and applies it. Returns whether there was anything to apply.
    fn step_input(&mut self, input: usize) -> Result<bool, TaskError> {
        if self.unapplied[input].is_none() {
            if self.skip(input)? {
                return Ok(true);
            }
            self.unapplied[input] = self.read_existing(input)?.map(|batch| (batch, 0));
        }
        let Some((batch, first)) = self.unapplied[input].take() else {
            return Ok(false);
        };
        self.apply(input, batch, first)?;
        Ok(true)
    }

    /// Skips the records at the position of an input that a decision names as lost. Returns whether there were any. As with records, the position
    /// moves in the same transaction as the outputs.
    fn skip(&mut self, input: usize) -> Result<bool, TaskError> {
        let partition = self.fold.inputs()[input];
        let offset = self.position.offset(partition);
        let Some((_, to)) = self.fold.next_skip(input).filter(|(from, _)| *from <= offset) else {
            return Ok(false);
        };
        // In recovery, what lies behind the committed position is not published yet.
        if self.limit(input)?.is_none_or(|limit| limit < to) {
            return Ok(false);
        }
        let (fold, mut context) = self.fold_and_context();
        let skipped = fold.skip(input, &mut context);
        skipped.map_err(|error| self.error(error))?;
        let before = self.position.inputs.get(&partition).cloned().unwrap_or_default();
        let mark = Mark {
            offset: to,
            evidence: Vec::new(),
            ..before
        };
        self.position.inputs.insert(partition, mark);
        self.position.cursor = Cursor::default();
        self.readers[input] = None;
        self.lost = None;
        self.finish_step()?;
        Ok(true)
    }

    /// The offset up to which an input may be read now; `None` if that cannot be found out now.
    fn limit(&mut self, input: usize) -> Result<Option<Offset>, TaskError> {
        let partition = self.fold.inputs()[input];
        if let Some(to) = &self.recover_to {
            return Ok(Some(to.offset(partition)));
        }
        let offset = self.position.offset(partition);
        let arrived = self.readers[input].as_ref().and_then(|reader| reader.arrived());
        match self.fold.read_limit(input, offset, arrived, self.access.log()) {
            Ok(limit) => Ok(Some(limit)),
            // Nothing has changed yet, so the next step can try again.
            Err(FoldError::Task(TaskError::Read(error))) if error.is_unavailable() => Ok(None),
            Err(error) => Err(self.error(error)),
        }
    }

    /// As [`Self::read`]. If retention has deleted source records before the task read them, it keeps the task waiting for a decision about them.
    fn read_existing(&mut self, input: usize) -> Result<Option<Batch>, TaskError> {
        let partition = self.fold.inputs()[input];
        let may_wait = self.recover_to.is_none() && !self.is_rebuild() && Topic::SOURCES.contains(&partition.topic);
        if may_wait
            && self
                .lost
                .as_ref()
                .is_some_and(|lost| lost.looked.elapsed() < LOOK_AGAIN_EVERY)
        {
            return Ok(None);
        }
        match self.read(input) {
            Err(TaskError::Read(ReadError::Retained {
                partition,
                start,
                wanted,
            })) if may_wait => {
                self.readers[input] = None;
                self.lost = Some(LostRecords {
                    partition,
                    start,
                    wanted,
                    looked: Instant::now(),
                });
                // Retention deletes from the start of a partition, so the records before are gone as well: the store must not need them again.
                self.persist()?;
                Ok(None)
            }
            read => {
                if may_wait && read.is_ok() {
                    self.lost = None;
                }
                read
            }
        }
    }

    /// The next batch of an input; `None` if there is none that may be read now.
    fn read(&mut self, input: usize) -> Result<Option<Batch>, TaskError> {
        let partition = self.fold.inputs()[input];
        let offset = self.position.offset(partition);
        if !self.fold.knows_start(input) || !self.reader(input)?.has_news()? {
            return Ok(None);
        }
        let Some(mut limit) = self.limit(input)? else {
            return Ok(None);
        };
        if let Some((from, _)) = self.fold.next_skip(input) {
            limit = limit.min(from);
        }
        if limit <= offset {
            return Ok(None);
        }
        let step_bytes = self.limits.step_bytes;
        let batch = self.reader(input)?.read(step_bytes, limit)?;
        let is_nothing = batch.is_empty() && batch.next.offset == offset;
        Ok((!is_nothing).then_some(batch))
    }

    /// The reader of an input. If there is none yet, opens it at the position of the task.
    fn reader(&mut self, input: usize) -> Result<&mut dyn Reader, TaskError> {
        let partition = self.fold.inputs()[input];
        let reader = match self.readers[input].take() {
            Some(reader) => reader,
            None => {
                let mark = self.position.inputs.get(&partition).cloned().unwrap_or_default();
                self.access.log().open(partition, &mark)?
            }
        };
        Ok(self.readers[input].insert(reader).as_mut())
    }

    /// Begins an input at its first offset, if nothing of it was read yet.
    fn begin_input(&mut self, input: usize, first: Offset) {
        let partition = self.fold.inputs()[input];
        if self.position.offset(partition) < first {
            self.position.inputs.insert(partition, Mark::beginning(first));
            self.readers[input] = None;
        }
    }

    /// Applies a batch from the record at index `first` on, and ends the step.
    fn apply(&mut self, input: usize, batch: Batch, first: usize) -> Result<(), TaskError> {
        let partition = self.fold.inputs()[input];
        tracing::trace!(
            task = %self.task,
            recovering = self.recover_to.is_some(),
            "at {}: applying {partition} up to {}, {} records",
            describe(&self.position),
            batch.next.offset,
            batch.len() - first,
        );
        let recovering = self.recover_to.is_some();
        let _span = self.spans.batch(partition, batch.len() - first, recovering);
        let began = Instant::now();
        self.in_backlog = !recovering && batch.bytes() >= self.limits.step_bytes / 2;
        let (fold, mut context) = self.fold_and_context();
        let applied = fold.apply(input, &batch, first, &mut context);
        let applied = applied.map_err(|error| self.error(error))?;
        self.stats.durations.note(self.task, StepPart::Batch, began.elapsed());
        self.entry.count(applied - first);
        let mark = match batch.offset(applied) {
            // Only a fold with jobs stops within a batch. It reads the ledger, whose marks need no evidence of the bus.
            Some(offset) => self.mark_within(partition, &batch, first, applied, offset),
            None => batch.next.clone(),
        };
        self.position.inputs.insert(partition, mark);
        self.position.cursor = Cursor::default();
        if applied < batch.len() {
            self.unapplied[input] = Some((batch, applied));
        } else if let Some(reader) = &mut self.readers[input] {
            reader.recycle(batch);
        }
        if let Some((input, first)) = self.fold.take_beginning() {
            self.begin_input(input, first);
        }
        self.finish_step()
    }

    /// The mark at `offset`, before the record at index `applied` of a batch of which the records from index `first` on have just been applied.
    fn mark_within(
        &self,
        partition: TopicPartition,
        batch: &Batch,
        first: usize,
        applied: usize,
        offset: Offset,
    ) -> Mark {
        let before = self.position.inputs.get(&partition).cloned().unwrap_or_default();
        let mut mark = Mark {
            offset,
            evidence: Vec::new(),
            ..before
        };
        for record in batch.iter().take(applied).skip(first) {
            mark.add(record.value);
        }
        mark
    }

    fn try_step(&mut self) -> Result<Progress, TaskError> {
        self.store.maintain();
        self.store.has_room()?;
        if self.is_rebuild() && self.recover_to.is_none() {
            self.persist()?;
            return Ok(Progress::Idle);
        }
        if self.recover_to.is_none() {
            self.publish()?;
            // The bus wakes the task when the commit is done.
            if self.must_persist && !self.persist_if_committed()? {
                return Ok(Progress::Idle);
            }
            if self.publication.is_full(self.fold.held_back_bytes()) {
                return Ok(Progress::Idle);
            }
        }
        if self.fold.has_job() {
            self.continue_job()?;
            return Ok(Progress::Worked);
        }
        for input in 0..self.readers.len() {
            if self.step_input(input)? {
                return Ok(Progress::Worked);
            }
            if self.is_behind(input) {
                break;
            }
        }
        if self.in_backlog {
            self.in_backlog = false;
            self.publish()?;
        }
        if self.dirty && self.moved.elapsed() > PERSIST_AFTER && !self.publication.is_on_its_way() {
            self.persist_if_committed()?;
        }
        if self.is_rebuild() {
            // The records up to the committed position exist, but the bus has not brought them yet. The task must not count as idle.
            std::thread::sleep(REBUILD_POLL_EVERY);
            return Ok(Progress::Worked);
        }
        Ok(match &self.lost {
            Some(lost) => Progress::Blocked(lost.error()),
            None => Progress::Idle,
        })
    }

    /// The error of a step. In recovery, the store may be what is wrong, and not the log: if it comes from a snapshot and is not confirmed, or if there is
    /// no record at the position where it begins. If the log is wrong after all, the rebuild of the store finds out.
    fn blame(&self, error: TaskError) -> TaskError {
        let error = match error {
            TaskError::Read(error) => TaskError::Read(blame_deletion(error, self.recover_to.as_ref())),
            error => error,
        };
        if self.recover_to.is_none() || self.from_start {
            return error;
        }
        let is_unconfirmed = !self.store.is_confirmed();
        match error {
            TaskError::Read(
                ReadError::SourceChanged { partition, offset, .. } | ReadError::Replaced { partition, offset, .. },
            ) if is_unconfirmed => other_log(self.task, partition, offset).into(),
            TaskError::Read(ReadError::File(FileError::Damaged { .. }))
                if is_unconfirmed || self.position == self.begins_at =>
            {
                StoreError::OtherLog {
                    store: format!("the store of {}", self.task),
                    what: format!(
                        "no record of the log begins at its position, {}",
                        describe(&self.position)
                    ),
                }
                .into()
            }
            error => error,
        }
    }
}

impl<F: Fold> Task for Harness<F> {
    fn id(&self) -> TaskId {
        self.task
    }

    fn step(&mut self) -> Result<Progress, TaskError> {
        let stepped = self.try_step().map_err(|error| self.blame(error));
        quarantine_if_unusable(self.task, self.store.as_ref(), &stepped);
        stepped
    }

    fn close(&mut self) -> Result<(), TaskError> {
        let closed = self.persist();
        quarantine_if_unusable(self.task, self.store.as_ref(), &closed);
        if closed.is_ok() {
            self.store.close();
        }
        closed
    }
}
