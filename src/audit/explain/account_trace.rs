//! What the trace of one account tells about one epoch of an asset.

use std::cmp::Reverse;

use crate::audit::explain::explanation::{ExplainedAmount, ExplainedChange, OtherRecord};
use crate::audit::trace::{TracedEvent, TracedOutcome, TracedPosting};
use crate::core::accrue::eligibility::KeptStatus;
use crate::core::accrue::row::Row;
use crate::core::fault::Fault;
use crate::core::values::amount::format_signed_units;
use crate::core::values::ids::AssetEpoch;

/// Why a record was skipped.
const ACCEPTED_LOSS: &str = "it was gone when it was to be read, and a control event accepted its loss";

/// The trace of one account.
pub(crate) struct AccountTrace(pub Vec<TracedEvent>);

impl AccountTrace {
    /// The sums of the account's postings into an epoch.
    pub(crate) fn row(&self, at: AssetEpoch) -> Result<Row, Fault> {
        let mut sum = Row::ZERO;
        for (_, posting) in self.postings(at) {
            sum = sum.checked_add(row_of(posting)?).ok_or(Fault::Overflow("a posting"))?;
        }
        Ok(sum)
    }

    fn postings(&self, at: AssetEpoch) -> impl Iterator<Item = (&TracedEvent, &TracedPosting)> {
        self.0.iter().flat_map(move |event| {
            let postings = match &event.outcome {
                TracedOutcome::Applied { postings, .. } => postings.as_slice(),
                _ => &[],
            };
            let of_epoch = postings.iter().filter(move |posting| posting.at == at);
            of_epoch.map(move |posting| (event, posting))
        })
    }

    /// The changes of the balance in an epoch, in the order of their times.
    pub(crate) fn changes(&self, at: AssetEpoch, decimals: u8) -> Result<Vec<ExplainedChange>, Fault> {
        let mut changes = Vec::new();
        for (event, posting) in self.postings(at) {
            changes.push(ExplainedChange {
                event_id: event.id.clone(),
                event_source: event.event_source.clone(),
                event_type: event.event_type.clone(),
                partition: event.source.to_string(),
                offset: event.offset,
                time: event.time.clone(),
                delta: ExplainedAmount {
                    amount: format_signed_units(posting.delta, decimals),
                    units: posting.delta.to_string(),
                },
                counts_for_ms: posting.before_end_ms,
                unit_milliseconds: row_of(posting)?.weighted.to_string(),
                missed_epoch: posting.missed_epoch,
            });
        }
        changes.sort_by_key(|change| Reverse(change.counts_for_ms));
        Ok(changes)
    }

    /// All statuses of the account.
    pub(crate) fn statuses(&self) -> Vec<KeptStatus> {
        let statuses = self.0.iter().filter_map(|event| match &event.outcome {
            TracedOutcome::Applied {
                status: Some(status), ..
            } => Some(KeptStatus {
                time_ms: status.time_ms,
                id: event.id.clone(),
                status: status.status,
                asset: status.asset,
                source: event.source,
                offset: event.offset,
            }),
            _ => None,
        });
        statuses.collect()
    }

    /// The records that name the account, but changed nothing in this epoch: those not applied, and those applied late to a later epoch.
    pub(crate) fn others(&self, at: AssetEpoch) -> Vec<OtherRecord> {
        let others = self.0.iter().filter_map(|event| {
            let (outcome, code, reason) = match &event.outcome {
                TracedOutcome::Duplicate => ("duplicate", None, None),
                TracedOutcome::Ignored => ("ignored", None, None),
                TracedOutcome::Skipped => ("skipped", None, Some(ACCEPTED_LOSS.to_owned())),
                TracedOutcome::Rejected { code, reason } => ("refused", Some(code.clone()), Some(reason.clone())),
                TracedOutcome::Applied { postings, .. } => {
                    let late = postings.iter().find(|posting| {
                        posting.at.number() == at.number() && posting.missed_epoch == Some(at.epoch())
                    })?;
                    let reason = format!("it came after the cut, and counts in epoch {}", late.at.epoch());
                    ("late", None, Some(reason))
                }
            };
            Some(OtherRecord {
                event_id: event.id.clone(),
                event_type: event.event_type.clone(),
                partition: event.source.to_string(),
                offset: event.offset,
                time: event.time.clone(),
                outcome,
                code,
                reason,
            })
        });
        others.collect()
    }
}

fn row_of(posting: &TracedPosting) -> Result<Row, Fault> {
    Row::of_posting(posting.delta, posting.before_end_ms).ok_or(Fault::Overflow("a posting"))
}
