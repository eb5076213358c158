//! The inputs of a task when it starts, and the errors about records that are not there.

use std::time::Instant;

use crate::bus::{Log, Position, ReadError, Reader, TaskId, Topic, TopicKind, TopicPartition};
use crate::core::values::offset::Offset;
use crate::store::{Store, StoreError};
use crate::task::error::TaskError;

/// Records that are to be read next, and are gone. Only a decision can skip them.
pub(super) struct LostRecords {
    pub(super) partition: TopicPartition,
    /// The first record that exists.
    pub(super) start: Offset,
    /// The first record that is gone.
    pub(super) wanted: Offset,
    /// When it was last looked up.
    pub(super) looked: Instant,
}

impl LostRecords {
    /// What the task says while it waits.
    pub(super) const fn error(&self) -> TaskError {
        TaskError::Read(ReadError::Lost {
            partition: self.partition,
            start: self.start,
            wanted: self.wanted,
        })
    }
}

/// The error of a read. If records are gone that only this task still has to read, no other state directory has read them.
pub(super) fn blame_deletion(error: ReadError, recover_to: Option<&Position>) -> ReadError {
    match &error {
        ReadError::Retained { partition, wanted, .. }
            if recover_to.is_none_or(|reached| reached.offset(*partition) <= *wanted) =>
        {
            error.of_unread_records()
        }
        _ => error,
    }
}

/// The error of a store that has read other records before `offset` than the log has there.
pub(super) fn other_log(task: TaskId, partition: TopicPartition, offset: Offset) -> StoreError {
    StoreError::OtherLog {
        store: format!("the store of {task}"),
        what: format!("it has read other records of {partition} before offset {offset} than this deployment has"),
    }
}

/// Opens a reader of each input at the store's position.
pub(super) fn open_inputs(
    task: TaskId,
    inputs: &[TopicPartition],
    log: &dyn Log,
    store: &dyn Store,
    recover_to: Option<&Position>,
) -> Result<Vec<Option<Box<dyn Reader>>>, TaskError> {
    let opened = inputs
        .iter()
        .map(|input| open_input(task, *input, log, store, recover_to));
    opened.collect()
}

/// Opens a reader of an input at the store's position, and checks the input up to the end of recovery. A source partition of which nothing was read is
/// not opened yet.
fn open_input(
    task: TaskId,
    input: TopicPartition,
    log: &dyn Log,
    store: &dyn Store,
    recover_to: Option<&Position>,
) -> Result<Option<Box<dyn Reader>>, TaskError> {
    let mark = store.position().inputs.get(&input).cloned().unwrap_or_default();
    if mark.offset > Offset::START && input.topic.kind() != TopicKind::Input {
        let end = log.readable_end(input)?;
        if mark.offset > end {
            return Err(TaskError::StoreAhead {
                task,
                partition: input,
                stored: mark.offset,
                end,
            });
        }
    }
    let is_source = Topic::SOURCES.contains(&input.topic);
    // Recovery reads these records again, so they must still be there, unchanged.
    let reached = recover_to.and_then(|to| to.inputs.get(&input));
    if let Some(reached) = reached {
        match log.check(input, reached) {
            Err(ReadError::Retained { .. }) if is_source => {}
            checked => checked?,
        }
    }
    if mark.offset == Offset::START && is_source {
        return Ok(None);
    }
    if let Some(reached) = reached
        && !is_source
    {
        let start = log.start(input)?;
        if mark.offset < start && reached.offset > mark.offset {
            return Err(TaskError::Read(ReadError::Retained {
                partition: input,
                start,
                wanted: mark.offset,
            }));
        }
    }
    match log.open(input, &mark) {
        // The log is right: it matches the committed position, which is after the store's.
        Err(ReadError::SourceChanged { offset, .. })
            if reached.is_some_and(|reached| reached.offset > mark.offset) || !store.is_confirmed() =>
        {
            Err(other_log(task, input, offset).into())
        }
        // Decisions are read first. They may skip what is gone.
        Err(ReadError::Retained { .. }) if is_source => Ok(None),
        Err(error) => Err(blame_deletion(error, recover_to).into()),
        Ok(reader) => Ok(Some(reader)),
    }
}

pub(super) fn describe(position: &Position) -> String {
    let offsets: Vec<String> = position
        .inputs
        .iter()
        .map(|(partition, mark)| format!("{partition}:{}", mark.offset))
        .collect();
    if offsets.is_empty() {
        "the start".into()
    } else {
        offsets.join(", ")
    }
}

/// If the store cannot be used, marks it, so that the next start does not use it.
pub(super) fn quarantine_if_unusable<T>(task: TaskId, store: &dyn Store, outcome: &Result<T, TaskError>) {
    if let Err(TaskError::Store(error)) = outcome
        && error.needs_rebuild()
    {
        tracing::error!(%task, "the store cannot be used: the next start of the task moves it away and rebuilds it");
        store.quarantine(error);
    }
}
