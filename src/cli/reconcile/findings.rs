//! The result of a reconciliation.

use std::collections::BTreeMap;

use crate::audit::reconcile::report::{GroupCounts, ReconcileReport};
use crate::audit::replay::Deviation;
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
    pub(super) report: ReconcileReport,
}

impl Findings {
    pub(super) fn is_clean(&self) -> bool {
        self.deviation.is_none() && self.report.is_clean()
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

    /// The verdict on one epoch, over all its records.
    pub(super) fn of_epoch(&self, asset: &str, epoch: Epoch) -> &'static str {
        let groups = self.report.groups.iter();
        let counts = groups
            .filter(|(group, _)| group.epoch() == Some((asset, epoch)))
            .fold(GroupCounts::default(), |sum, (_, one)| sum.plus(one));
        match (counts.is_clean(), counts.under_way) {
            (false, _) => "NOT EQUAL",
            (true, 0) => "equal",
            (true, _) => "under way",
        }
    }
}
