//! The result of a reconciliation.

use std::collections::BTreeMap;

use crate::audit::asked::{AskedError, MissingEpochs};
use crate::audit::reconcile::report::{GroupCounts, ReconcileReport};
use crate::audit::replay::Deviation;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::table::{count, counted};
use crate::core::values::ids::Epoch;

pub(super) struct Findings {
    /// The address of the bus.
    pub(super) bus: String,
    /// How many source records were replayed.
    pub(super) records: u64,
    /// How many source records the deployment has not processed yet.
    pub(super) not_taken_in: u64,
    /// How many decisions were replayed.
    pub(super) decisions: usize,
    pub(super) deviation: Option<Deviation>,
    pub(super) alarms: Vec<String>,
    /// The epochs that were asked for and are not closed.
    pub(super) missing: Vec<MissingEpochs>,
    pub(super) report: ReconcileReport,
}

impl Findings {
    pub(super) fn is_clean(&self) -> bool {
        self.deviation.is_none() && self.report.is_clean()
    }

    /// Whether nothing of what follows from the log had to be published yet.
    fn is_under_way(&self) -> bool {
        let total = self.report.total();
        self.is_clean() && total.equal == 0 && total.under_way > 0
    }

    /// Whether records were compared, and all are equal; or whether there is nothing to compare.
    pub(super) fn is_equal(&self) -> bool {
        self.is_clean() && !self.is_under_way()
    }

    /// The end of the command.
    pub(super) fn outcome(&self) -> Outcome {
        if !self.is_clean() {
            Err(Failure::Found)
        } else if self.is_under_way() {
            Err(Failure::Absent(
                "nothing could be compared: the epochs that are closed are being settled".into(),
            ))
        } else if !self.missing.is_empty() {
            Err(AskedError::Incomplete(self.missing.clone()).into())
        } else {
            Ok(())
        }
    }

    /// How many records differ; a decision that differs counts as one.
    pub(super) fn disagreements(&self) -> u64 {
        let differences = self.report.differences.len() as u64 + self.report.more_differences;
        differences + u64::from(self.deviation.is_some())
    }

    /// The counts of each topic.
    pub(super) fn topics(&self) -> BTreeMap<&'static str, GroupCounts> {
        let mut topics: BTreeMap<&'static str, GroupCounts> = BTreeMap::new();
        for (group, counts) in &self.report.groups {
            let sum = topics.entry(group.topic.name()).or_default();
            *sum = sum.plus(counts);
        }
        topics
    }

    /// The verdict in a sentence.
    pub(super) fn verdict(&self) -> String {
        let total = self.report.total();
        if let Some(deviation) = &self.deviation {
            return format!(
                "NOT EQUAL: the log leads to another decision {} than the one on record; nothing after it could be compared.",
                deviation.number
            );
        }
        if self.is_under_way() {
            return format!(
                "NOTHING COMPARED: {} from the log, and none of them has to be published yet.",
                counted(total.under_way, "record follows", "records follow")
            );
        }
        if self.is_clean() && total.equal == 0 {
            return "EQUAL: no record follows from the log, and none is published.".into();
        }
        if self.is_clean() {
            return format!(
                "EQUAL: all {} follow from the log.",
                counted(total.equal, "record", "records")
            );
        }
        format!(
            "NOT EQUAL: {} missing, {} extra, {} different, {} doubled; {} equal.",
            count(total.missing),
            count(total.extra),
            count(total.different),
            count(total.doubled),
            count(total.equal)
        )
    }

    /// The verdicts on all epochs.
    pub(super) fn epoch_verdicts(&self) -> EpochVerdicts<'_> {
        let mut epochs: BTreeMap<_, GroupCounts> = BTreeMap::new();
        for (group, counts) in &self.report.groups {
            if let Some(epoch) = group.epoch() {
                let sum = epochs.entry(epoch).or_default();
                *sum = sum.plus(counts);
            }
        }
        EpochVerdicts(epochs)
    }
}

/// The verdict on each epoch, over all its records.
pub(super) struct EpochVerdicts<'a>(BTreeMap<(&'a str, Epoch), GroupCounts>);

impl EpochVerdicts<'_> {
    pub(super) fn of(&self, asset: &str, epoch: Epoch) -> &'static str {
        match self.0.get(&(asset, epoch)) {
            Some(counts) if !counts.is_clean() => "NOT EQUAL",
            Some(counts) if counts.under_way > 0 => "under way",
            _ => "equal",
        }
    }
}
