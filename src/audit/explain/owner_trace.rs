//! What the trace of an owner's accounts tells about the epochs of an asset.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ethnum::I256;

use crate::audit::explain::explanation::{ExplainedAdjustment, ExplainedChange, OtherRecord};
use crate::audit::explain::parts::{amount, shown};
use crate::audit::trace::{TracedAdjustment, TracedEvent, TracedOutcome, TracedPosting};
use crate::core::accrue::eligibility::KeptStatus;
use crate::core::accrue::row::Row;
use crate::core::fault::Fault;
use crate::core::values::account::AccountName;
use crate::core::values::ids::{AssetEpoch, Epoch};

/// Why a record was skipped.
const ACCEPTED_LOSS: &str = "it was gone when it was to be read, and a control event accepted its loss";

/// The trace of the accounts of one owner.
pub(crate) struct OwnerTrace {
    events: Vec<TracedEvent>,
    /// By account and epoch.
    rows: BTreeMap<(Box<str>, AssetEpoch), Row>,
    adjusted: BTreeMap<(Box<str>, AssetEpoch), I256>,
    /// The indices of the events with late postings for which closed epochs are settled again, by the epoch that the postings are applied to.
    late: BTreeMap<AssetEpoch, Vec<usize>>,
}

/// A late posting for which closed epochs are settled again.
#[derive(Clone, Copy)]
pub(crate) struct LateArrival<'a> {
    pub event: &'a TracedEvent,
    pub posting: &'a TracedPosting,
    /// The closed epoch that its time lies in.
    pub missed: Epoch,
    /// How long it counts there, in milliseconds before the end of that epoch.
    pub before_missed_end_ms: u64,
}

impl LateArrival<'_> {
    /// How long it counts in a closed epoch, from the one that its time lies in: from its time, or all of the epoch.
    pub(crate) fn counts_for_ms(&self, closed: Epoch, length_ms: u64) -> u64 {
        if closed == self.missed {
            self.before_missed_end_ms
        } else {
            length_ms
        }
    }
}

impl OwnerTrace {
    pub(crate) fn new(events: Vec<TracedEvent>) -> Result<Self, Fault> {
        let mut trace = Self {
            events: Vec::new(),
            rows: BTreeMap::new(),
            adjusted: BTreeMap::new(),
            late: BTreeMap::new(),
        };
        for (index, event) in events.iter().enumerate() {
            let TracedOutcome::Applied {
                postings, adjustment, ..
            } = &event.outcome
            else {
                continue;
            };
            for posting in postings {
                let row = trace.rows.entry((posting.account.clone(), posting.at)).or_default();
                *row = row.checked_add(row_of(posting)?).ok_or(Fault::Overflow("a posting"))?;
                if posting.before_missed_end_ms.is_some() {
                    let late = trace.late.entry(posting.at).or_default();
                    if late.last() != Some(&index) {
                        late.push(index);
                    }
                }
            }
            if let Some(adjustment) = adjustment {
                let key = (adjustment.account.clone(), adjustment.at);
                let sum = trace.adjusted.entry(key).or_default();
                let delta = I256::new(adjustment.delta);
                *sum = sum.checked_add(delta).ok_or(Fault::Overflow("an adjustment"))?;
            }
        }
        trace.events = events;
        Ok(trace)
    }

    /// Whether a record names the account.
    pub(crate) fn names(&self, account: &str) -> bool {
        self.events
            .iter()
            .any(|event| event.accounts.iter().any(|named| **named == *account))
    }

    /// The accounts that anything was applied to, in the order of their names.
    pub(crate) fn accounts(&self) -> Result<BTreeSet<AccountName<'static>>, Fault> {
        let with_money = self.rows.keys().chain(self.adjusted.keys()).map(|(account, _)| account);
        with_money
            .map(|account| {
                let name = AccountName::new(account.to_string());
                name.map_err(|error| Fault::Undecodable {
                    what: "the name of an account",
                    why: error.to_string(),
                })
            })
            .collect()
    }

    /// The sums of an account's postings into an epoch.
    pub(crate) fn row(&self, at: AssetEpoch, account: &str) -> Row {
        self.rows.get(&(account.into(), at)).copied().unwrap_or_default()
    }

    /// The sum of an account's reward adjustments in an epoch.
    pub(crate) fn adjusted(&self, at: AssetEpoch, account: &str) -> I256 {
        self.adjusted.get(&(account.into(), at)).copied().unwrap_or_default()
    }

    /// The late postings into an epoch for which closed epochs are settled again.
    pub(crate) fn late(&self, at: AssetEpoch) -> impl Iterator<Item = LateArrival<'_>> {
        let indices = self.late.get(&at).into_iter().flatten();
        let events = indices.filter_map(|index| self.events.get(*index));
        events.flat_map(move |event| {
            let of_epoch = postings(event).iter().filter(move |posting| posting.at == at);
            of_epoch.filter_map(move |posting| {
                Some(LateArrival {
                    event,
                    posting,
                    missed: posting.missed_epoch?,
                    before_missed_end_ms: posting.before_missed_end_ms?,
                })
            })
        })
    }

    /// The changes of an account's balance in an epoch, in the order of their times.
    pub(crate) fn changes(&self, at: AssetEpoch, account: &str, decimals: u8) -> Result<Vec<ExplainedChange>, Fault> {
        let mut changes = Vec::new();
        for event in &self.events {
            let own = |posting: &&TracedPosting| posting.at == at && *posting.account == *account;
            for posting in postings(event).iter().filter(own) {
                changes.push(ExplainedChange {
                    event: shown(event),
                    delta: amount(posting.delta, decimals),
                    counts_for_ms: posting.before_end_ms,
                    unit_milliseconds: row_of(posting)?.weighted.to_string(),
                    missed_epoch: posting.missed_epoch,
                    is_made_good: posting.before_missed_end_ms.is_some(),
                });
            }
        }
        changes.sort_by_key(|change| Reverse(change.counts_for_ms));
        Ok(changes)
    }

    /// An account's reward adjustments in an epoch.
    pub(crate) fn adjustments(&self, at: AssetEpoch, account: &str, decimals: u8) -> Vec<ExplainedAdjustment> {
        let adjustments = self.events.iter().filter_map(|event| {
            let TracedOutcome::Applied {
                adjustment: Some(adjustment),
                ..
            } = &event.outcome
            else {
                return None;
            };
            (adjustment.at == at && *adjustment.account == *account).then(|| ExplainedAdjustment {
                event: shown(event),
                delta: amount(adjustment.delta, decimals),
                missed_epoch: adjustment.missed_epoch,
            })
        });
        adjustments.collect()
    }

    /// All statuses of an account.
    pub(crate) fn statuses(&self, account: &str) -> Vec<KeptStatus> {
        let statuses = self.events.iter().filter_map(|event| match &event.outcome {
            TracedOutcome::Applied {
                status: Some(status), ..
            } if *status.account == *account => Some(KeptStatus {
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
    pub(crate) fn others(&self, at: AssetEpoch, account: &str) -> Vec<OtherRecord> {
        let own = |event: &&TracedEvent| event.accounts.iter().any(|named| **named == *account);
        let others = self.events.iter().filter(own).filter_map(|event| {
            let (outcome, code, reason) = match &event.outcome {
                TracedOutcome::Duplicate => ("duplicate", None, None),
                TracedOutcome::Ignored => ("ignored", None, None),
                TracedOutcome::Skipped => ("skipped", None, Some(ACCEPTED_LOSS.to_owned())),
                TracedOutcome::Rejected { code, reason } => ("refused", Some(code.clone()), Some(reason.clone())),
                TracedOutcome::Applied {
                    postings, adjustment, ..
                } => (
                    "late",
                    None,
                    Some(late_elsewhere(at, account, postings, adjustment.as_ref())?),
                ),
            };
            Some(OtherRecord {
                event: shown(event),
                outcome,
                code,
                reason,
            })
        });
        others.collect()
    }
}

/// Why an event with a time in the epoch `at` changed nothing there: it came late. `None` if that is not so.
fn late_elsewhere(
    at: AssetEpoch,
    account: &str,
    postings: &[TracedPosting],
    adjustment: Option<&TracedAdjustment>,
) -> Option<String> {
    let missed = |of: AssetEpoch, missed: Option<Epoch>| of.number() == at.number() && missed == Some(at.epoch());
    let own = postings.iter().filter(|posting| *posting.account == *account);
    if let Some(late) = { own }.find(|posting| missed(posting.at, posting.missed_epoch)) {
        let made_good = match late.before_missed_end_ms {
            Some(_) => "; what it would have changed here is made good there",
            None => "",
        };
        return Some(format!(
            "it came after the cut, and counts in epoch {}{made_good}",
            late.at.epoch()
        ));
    }
    let late = adjustment.filter(|one| *one.account == *account && missed(one.at, one.missed_epoch))?;
    Some(format!(
        "it came after the cut, and counts in epoch {}",
        late.at.epoch()
    ))
}

fn postings(event: &TracedEvent) -> &[TracedPosting] {
    match &event.outcome {
        TracedOutcome::Applied { postings, .. } => postings,
        _ => &[],
    }
}

fn row_of(posting: &TracedPosting) -> Result<Row, Fault> {
    Row::of_posting(posting.delta, posting.before_end_ms).ok_or(Fault::Overflow("a posting"))
}
