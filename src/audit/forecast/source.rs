//! What a run would do with each record of a source partition.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bumpalo::Bump;

use crate::audit::error::AuditError;
use crate::bus::{Outputs, Topic, TopicPartition};
use crate::core::contract::decision::Decision;
use crate::core::contract::decoded::Decoded;
use crate::core::contract::listing::Listing;
use crate::core::contract::records::{DeadLetter, read_data};
use crate::core::contract::rejection::Rejection;
use crate::core::coordinate::listings::ListingAnswer;
use crate::core::dedup::SeenEvent;
use crate::core::ingest::judge::read_event;
use crate::core::ingest::legs::visit_legs;
use crate::core::ingest::{Ingest, IngestState};
use crate::core::protocol::codec;
use crate::core::protocol::messages::Inbox;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::Partitions;
use crate::core::values::offset::Offset;

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForecastOutcome {
    Applied,
    Duplicate,
    /// None of its postings counts.
    Ignored,
    Blank,
    Rejected(Rejection),
}

/// The applied events of one source partition: some 100 bytes for each.
type ForecastSeenEvents = BTreeMap<[u8; 16], SeenEvent>;

/// The ingest state machine of one source partition, with all decisions.
pub(super) struct ForecastIngest {
    ingest: Ingest,
    seen: ForecastSeenEvents,
    outputs: Outputs,
}

impl ForecastIngest {
    pub(super) fn new(source: TopicPartition, dedup_days: u64, decisions: &[Decision]) -> Result<Self, AuditError> {
        let one = Partitions::new(1).map_err(|error| AuditError::Decisions(error.to_string()))?;
        let mut ingest = Ingest::new(source, dedup_days, one, IngestState::default(), []);
        let mut outputs = Outputs::default();
        for decision in decisions {
            // All decisions can be applied first, because each takes effect at an offset that it names.
            ingest.apply_decision(decision, Offset::START, None, &mut outputs)?;
        }
        outputs.clear();
        Ok(Self {
            ingest,
            seen: ForecastSeenEvents::default(),
            outputs,
        })
    }

    pub(super) fn apply(
        &mut self,
        offset: Offset,
        value: &[u8],
        unlisted: &mut BTreeMap<Asset, u64>,
    ) -> Result<ForecastOutcome, AuditError> {
        self.outputs.clear();
        // It may be there again. A run passes over it all the same.
        if self.ingest.skips(offset, &mut self.outputs)? {
            return Ok(ForecastOutcome::Ignored);
        }
        let memory = Bump::new();
        let decoded = Decoded::read_with_event(value, &memory);
        let before = self.ingest.state().counts;
        self.outputs.clear();
        self.ingest.begin_batch(offset);
        self.ingest
            .apply_record(offset, value, &decoded, &mut self.seen, &mut self.outputs)?;
        self.ingest.end_batch(offset.next()?, &mut self.outputs)?;
        self.ingest.finish_blocks(&mut self.outputs);
        let after = self.ingest.state().counts;
        if after.unlisted > before.unlisted {
            self.count_unlisted(offset, &decoded, unlisted);
        }
        Ok(if after.dead_letters != before.dead_letters {
            ForecastOutcome::Rejected(self.rejection()?)
        } else if after.duplicates > before.duplicates {
            ForecastOutcome::Duplicate
        } else if after.applied > before.applied {
            ForecastOutcome::Applied
        } else if after.ignored > before.ignored {
            ForecastOutcome::Ignored
        } else {
            ForecastOutcome::Blank
        })
    }

    fn count_unlisted(&mut self, offset: Offset, decoded: &Decoded<'_>, unlisted: &mut BTreeMap<Asset, u64>) {
        let Decoded::Event(envelope, _) = decoded else { return };
        let Ok((time, event)) = read_event(envelope, self.ingest.rules_at(offset)) else {
            return;
        };
        let Ok(()) = visit_legs(&event, |leg| {
            if !self.ingest.lists(&leg, time, offset) {
                *unlisted.entry(*leg.asset).or_default() += 1;
            }
            Ok::<_, Infallible>(())
        });
    }

    /// What the last record wrote.
    pub(super) const fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The rejection in the dead letter that was just written.
    fn rejection(&self) -> Result<Rejection, AuditError> {
        let mut written = self.outputs.iter();
        let dead_letter = written.find(|(to, ..)| to.topic == Topic::DeadLetters);
        let record = dead_letter.map_or(&[][..], |(_, _, record)| record);
        let dead_letter: DeadLetter<'_> =
            read_data(record).map_err(|error| AuditError::Decisions(format!("a dead letter: {error}")))?;
        Ok(dead_letter.code.because(dead_letter.reason))
    }

    /// The answer to a listing at `position`, where this partition is.
    pub(super) fn answer(
        &mut self,
        control_offset: Offset,
        listing: &Listing,
        position: Offset,
    ) -> Result<Option<ListingAnswer>, AuditError> {
        let proposed = Decision::ListingProposed {
            control_offset,
            listing: Box::new(listing.clone()),
        };
        self.outputs.clear();
        self.ingest
            .apply_decision(&proposed, position, None, &mut self.outputs)?;
        let written = self.outputs.iter().next();
        let Some((_, _, record)) = written else { return Ok(None) };
        match codec::decode(record, "an answer")? {
            Inbox::ListingAnswer {
                source, from, unlisted, ..
            } => Ok(Some(ListingAnswer { source, from, unlisted })),
            _ => Ok(None),
        }
    }
}
