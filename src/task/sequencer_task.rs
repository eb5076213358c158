//! The sequencer: it puts control records and new source partitions into the inbox, in one order, for the coordinator.
//!
//! It keeps nothing but its position on the bus. After a restart it names all source partitions again, which changes nothing.
//!
//! It names each partition with its first offset: records before it were deleted before the deployment saw them. So what is missing is recorded, and
//! no record that is deleted later is skipped.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::bus::{Batch, Bus, Mark, Outputs, Position, ReadError, Reader, TaskId, Topic, TopicPartition};
use crate::core::contract::rules::NEWEST_RULES;
use crate::core::protocol::codec;
use crate::core::protocol::messages::{Inbox, SequencedRecord};
use crate::core::values::offset::Offset;
use crate::task::error::TaskError;
use crate::task::pool::{Progress, Task};
use crate::task::task_board::{TaskBoard, TaskEntry};

const CONTROL: TopicPartition = Topic::Control.partition(0);
const INBOX: TopicPartition = Topic::Inbox.partition(0);
/// Bytes of control records per record of the inbox, about.
const STEP_BYTES: usize = 256 << 10;

pub struct SequencerTask {
    bus: Arc<dyn Bus>,
    reader: Box<dyn Reader>,
    /// Source partitions that were named since the start.
    named: BTreeSet<TopicPartition>,
    /// Whether the inbox has a record. The first one names the version of the contract's rules.
    has_begun: bool,
    /// The first offset of the control topic, while it has to be announced.
    control_start: Option<Offset>,
    /// How often sources were named at the present offset of control. It makes the position of every commit unique.
    job: u32,
    entry: TaskEntry,
}

impl SequencerTask {
    /// Continues at the committed position.
    ///
    /// # Errors
    /// If control records that were not read are gone, and a failure of the bus.
    pub fn new(bus: Arc<dyn Bus>, board: &Arc<TaskBoard>) -> Result<Self, TaskError> {
        let committed = bus.committed(TaskId::SEQUENCE)?;
        let (mark, job) = match &committed {
            Some(position) => (
                position.inputs.get(&CONTROL).cloned().unwrap_or_default(),
                position.cursor.job,
            ),
            None => (Mark::beginning(bus.start(CONTROL)?), 0),
        };
        let entry = board.enter(TaskId::SEQUENCE, &[CONTROL]);
        entry.note(&position_at(&mark, job), None);
        Ok(Self {
            has_begun: committed.is_some(),
            entry,
            control_start: (committed.is_none() && mark.offset > Offset::START).then_some(mark.offset),
            reader: bus.open(CONTROL, &mark).map_err(ReadError::of_unread_records)?,
            bus,
            named: BTreeSet::new(),
            job,
        })
    }

    fn commit(&mut self, message: &Inbox, mark: &Mark, job: u32) -> Result<(), TaskError> {
        let mut outputs = Outputs::default();
        let begin = Inbox::Begin { rules: NEWEST_RULES };
        let begin = Some(&begin).filter(|_| !self.has_begun);
        for message in begin.into_iter().chain([message]) {
            let record = codec::encode(message).map_err(|fault| TaskError::Fault {
                at: "sequence".into(),
                fault,
            })?;
            outputs.push(INBOX, &[], &record);
        }
        let position = position_at(mark, job);
        self.bus.commit(TaskId::SEQUENCE, &outputs, &position)?;
        self.entry.note(&position, None);
        self.has_begun = true;
        Ok(())
    }

    /// Puts the new source partitions into the inbox. Returns whether there were any.
    fn name_sources(&mut self, mark: &Mark) -> Result<bool, TaskError> {
        let mut found = Vec::new();
        for topic in Topic::SOURCES {
            let partitions = self.bus.partitions(topic)?;
            found.extend(partitions.into_iter().map(|partition| topic.partition(partition)));
        }
        found.retain(|source| !self.named.contains(source));
        let mut starts = Vec::with_capacity(found.len() + 1);
        starts.extend(self.control_start.map(|start| (CONTROL, start)));
        for source in &found {
            starts.push((*source, self.bus.start(*source)?));
        }
        if starts.is_empty() {
            return Ok(false);
        }
        self.job = self.job.saturating_add(1);
        self.commit(&Inbox::sources(starts), mark, self.job)?;
        self.control_start = None;
        let is_any = !found.is_empty();
        self.named.extend(found);
        Ok(is_any)
    }

    /// Puts control records into the inbox. Returns whether there were new source partitions, too.
    fn put_control(&mut self, batch: &Batch, before: &Mark) -> Result<bool, TaskError> {
        // Partitions first: a close then comes after every partition that existed when the close was read.
        self.bus.refresh();
        let found = self.name_sources(before)?;
        let records = batch
            .iter()
            .filter(|record| !record.value.is_empty())
            .map(|record| SequencedRecord {
                offset: record.offset,
                bytes: record.value.to_vec(),
                known_rules: NEWEST_RULES,
            });
        let message = Inbox::Control {
            records: records.collect(),
            read_to: batch.next.offset,
        };
        self.job = 0;
        self.commit(&message, &batch.next, self.job)?;
        self.entry.count(batch.len());
        Ok(found)
    }
}

/// The position in the control topic, with the number of sources' namings there.
fn position_at(mark: &Mark, job: u32) -> Position {
    let mut position = Position::default();
    position.inputs.insert(CONTROL, mark.clone());
    position.cursor.job = job;
    position
}

impl Task for SequencerTask {
    fn id(&self) -> TaskId {
        TaskId::SEQUENCE
    }

    fn step(&mut self) -> Result<Progress, TaskError> {
        let before = self.reader.mark().clone();
        let batch = self.reader.read(STEP_BYTES, Offset::NO_LIMIT);
        let batch = batch.map_err(ReadError::of_unread_records)?;
        let read = !batch.is_empty() || batch.next.offset != before.offset;
        let found = if read {
            self.put_control(&batch, &before)?
        } else {
            self.name_sources(&before)?
        };
        Ok(match (found, read) {
            (true, _) => Progress::FoundSources,
            (false, true) => Progress::Worked,
            (false, false) => Progress::Idle,
        })
    }

    fn close(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
}
