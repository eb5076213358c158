//! What ends a step: its outputs are published, then its changes are persisted.

use std::time::Instant;

use crate::bus::{LogName, ReadError};
use crate::core::fault::impossible;
use crate::task::durations::StepPart;
use crate::task::error::TaskError;
use crate::task::fold::Fold;
use crate::task::harness::publication::ENOUGH_GATHERED;
use crate::task::harness::{Harness, PERSIST_BUSY_AFTER};
use crate::task::inputs::{describe, other_log};

impl<F: Fold> Harness<F> {
    /// Ends a step that brought the task to `self.position`.
    pub(super) fn finish_step(&mut self) -> Result<(), TaskError> {
        (self.dirty, self.moved) = (true, Instant::now());
        if self.recover_to.is_some() {
            self.fold.complete_outputs(&mut self.publication.outputs);
            self.publication.outputs.clear();
            self.end_recovery_if_done()?;
        } else {
            self.publish()?;
        }
        self.entry.note(&self.position, self.recover_to.as_ref());
        let is_much = self.changes.bytes() + self.fold.unwritten_bytes() > self.limits.changes_bytes;
        if is_much || self.persisted.elapsed() > PERSIST_BUSY_AFTER {
            self.persist_if_committed()?;
        }
        Ok(())
    }

    /// Persists if the bus has the position of the task. Otherwise commits it, and does not wait: the task persists when it has arrived, and applies
    /// nothing before. So the thread serves other tasks meanwhile. Returns whether it has persisted.
    pub(super) fn persist_if_committed(&mut self) -> Result<bool, TaskError> {
        if self.recover_to.is_none() && !self.is_rebuild() {
            self.must_persist = true;
            self.note_arrived(false)?;
            if !self.publication.is_on_its_way() && !self.publication.is_committed(&self.position) {
                self.send()?;
                self.note_arrived(false)?;
            }
            if self.publication.is_on_its_way() || !self.publication.is_committed(&self.position) {
                return Ok(false);
            }
        }
        self.persist()?;
        Ok(true)
    }

    /// Publishes the outputs, unless an earlier commit is on its way: then they are gathered for the next one. In a backlog they are gathered until they
    /// are worth a commit.
    pub(super) fn publish(&mut self) -> Result<(), TaskError> {
        self.note_arrived(false)?;
        let bytes = self.publication.outputs.bytes() + self.fold.held_back_bytes();
        let has_outputs = bytes > 0 || !self.publication.outputs.is_empty();
        let is_enough = !self.in_backlog || bytes >= ENOUGH_GATHERED;
        if has_outputs && is_enough && !self.publication.is_on_its_way() {
            self.send()?;
            self.note_arrived(false)?;
        }
        Ok(())
    }

    /// Publishes all up to the position of the task, and waits until it is on the bus.
    fn commit(&mut self) -> Result<(), TaskError> {
        self.note_arrived(true)?;
        if !self.publication.is_committed(&self.position) {
            self.send()?;
            self.note_arrived(true)?;
        }
        Ok(())
    }

    /// Hands the outputs and the position to the bus.
    fn send(&mut self) -> Result<(), TaskError> {
        let Some(bus) = self.access.bus() else {
            return Err(self.error(impossible("a commit while the store is rebuilt").into()));
        };
        tracing::trace!(task = %self.task, "at {}: committing", describe(&self.position));
        self.fold.complete_outputs(&mut self.publication.outputs);
        let span = self.spans.transaction();
        Ok(self.publication.send(bus.as_ref(), &self.position, span)?)
    }

    /// Notes the commit that was on its way, if it is done; with `wait`, as soon as it is.
    fn note_arrived(&mut self, wait: bool) -> Result<(), TaskError> {
        if let Some(arrived) = self.publication.arrived(wait)? {
            self.stats
                .durations
                .note(self.task, StepPart::Transaction, arrived.done - arrived.began);
            self.fold.published(&arrived.outputs);
            self.publication.recycle(arrived);
        }
        Ok(())
    }

    /// Ends recovery at the committed position, if the records read up to there are those that were read for it.
    fn end_recovery_if_done(&mut self) -> Result<(), TaskError> {
        let Some(recover_to) = &self.recover_to else {
            return Ok(());
        };
        if let Some(partition) = self.position.contradicts(recover_to) {
            let offset = self.position.offset(partition);
            if !self.from_start {
                return Err(other_log(self.task, partition, offset).into());
            }
            return Err(TaskError::Read(ReadError::SourceChanged {
                partition,
                log: LogName::Topic(partition.topic),
                offset,
                what: "has other records".into(),
            }));
        }
        if !self.position.is_before(recover_to) {
            self.store.confirm()?;
            tracing::info!(task = %self.task, "recovery is finished");
            self.recover_to = None;
            self.spans.end_recovery();
            self.fold.begin_work();
        }
        Ok(())
    }

    pub(super) fn persist(&mut self) -> Result<(), TaskError> {
        if self.dirty {
            let recovering = self.recover_to.is_some();
            tracing::trace!(task = %self.task, recovering, "at {}: persisting", describe(&self.position));
            // In recovery the bus is ahead already. Otherwise it must get the position first, even without outputs.
            if !recovering && !self.is_rebuild() {
                self.commit()?;
            }
            let _span = self.spans.persist(recovering);
            let began = Instant::now();
            self.fold
                .write_state(&mut self.changes)
                .map_err(|error| self.error(error))?;
            self.store.commit(&mut self.changes, &self.position)?;
            self.stats.durations.note(self.task, StepPart::Persist, began.elapsed());
            self.dirty = false;
        }
        self.persisted = Instant::now();
        self.must_persist = false;
        Ok(())
    }
}
