//! The sequencer: puts control records and newly found source partitions into the inbox, in one order, for the coordinator.
//!
//! It keeps nothing but its position on the bus. After a restart it names all source partitions again, which changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::bus::{Bus, Outputs, Position, Reader, Topic, TopicPartition};
use crate::core::messages::{self, Inbox};

use super::harness::Stop;
use super::{Progress, Task, TaskError};

/// The sequencer's name.
const NAME: &str = "sequence";
const CONTROL: TopicPartition = Topic::Control.partition(0);
const INBOX: TopicPartition = Topic::Inbox.partition(0);
/// How many bytes of control records go into one record of the inbox, about.
const STEP_BYTES: usize = 256 << 10;

/// The sequencer's task.
pub struct SequenceTask {
    bus: Arc<dyn Bus>,
    reader: Box<dyn Reader>,
    named: BTreeSet<TopicPartition>,
}

impl SequenceTask {
    /// Takes the task up where the bus left it.
    pub fn new(bus: Arc<dyn Bus>) -> Result<Self, TaskError> {
        let position = bus.committed(NAME)?.unwrap_or_default();
        let reader = bus.open(CONTROL, &position.inputs.get(&CONTROL).cloned().unwrap_or_default())?;
        Ok(Self {
            bus,
            reader,
            named: BTreeSet::new(),
        })
    }

    fn commit(&self, message: &Inbox) -> Result<(), TaskError> {
        let mut outputs = Outputs::default();
        let record = messages::encode(message).map_err(|fault| Stop::Fault(fault).of(NAME))?;
        outputs.push(INBOX, &[], &record);
        let mut position = Position::default();
        position.inputs.insert(CONTROL, self.reader.mark().clone());
        Ok(self.bus.commit(NAME, &outputs, &position)?)
    }

    fn found(&self) -> Result<Vec<TopicPartition>, TaskError> {
        let mut found = Vec::new();
        for topic in Topic::SOURCES {
            let partitions = self.bus.partitions(topic)?;
            found.extend(partitions.into_iter().map(|partition| topic.partition(partition)));
        }
        found.retain(|source| !self.named.contains(source));
        Ok(found)
    }
}

impl Task for SequenceTask {
    fn name(&self) -> &str {
        NAME
    }

    fn step(&mut self) -> Result<Progress, TaskError> {
        // Partitions before the records: what exists when a close is read is known before the close is.
        let found = self.found()?;
        if !found.is_empty() {
            self.commit(&Inbox::Sources(found.clone()))?;
            self.named.extend(&found);
            return Ok(Progress::Found(found));
        }
        let before = self.reader.mark().offset;
        let batch = self.reader.read(STEP_BYTES, u64::MAX)?;
        if batch.is_empty() && batch.next.offset == before {
            return Ok(Progress::Idle);
        }
        let records = batch
            .iter()
            .filter(|record| !record.value.is_empty())
            .map(|record| (record.offset, record.value.to_vec()));
        self.commit(&Inbox::Control {
            records: records.collect(),
            read_to: batch.next.offset,
        })?;
        Ok(Progress::Worked)
    }

    fn close(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
}
