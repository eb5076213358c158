//! Decides which epochs are compared, and which of their records the deployment must have published already.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::audit::point_in_time::PointInTime;
use crate::audit::reconcile::classify::{ComparedSide, RecordClass, RecordClassifier};
use crate::audit::reconcile::report::RecordGroup;
use crate::bus::Topic;
use crate::core::contract::decision::Offsets;
use crate::core::contract::records::parse_id;
use crate::core::values::ids::{AssetEpoch, Epoch};

/// The epochs of a comparison, each written as `asset:epoch`.
pub(crate) struct ComparisonScope<'a> {
    point: &'a PointInTime,
    classifier: &'a RecordClassifier,
    /// Sealed by the replay.
    sealed_by_replay: BTreeSet<String>,
    /// With a recorded cut.
    cut: BTreeSet<String>,
    /// All their records must be published.
    due: BTreeSet<String>,
}

impl<'a> ComparisonScope<'a> {
    /// The scope before the seals are read.
    pub(crate) fn new(point: &'a PointInTime, classifier: &'a RecordClassifier) -> Self {
        let sealed = |at: AssetEpoch| point.sealed.as_ref().is_none_or(|sealed| sealed.contains(at));
        let name = |(at, asset, _): (AssetEpoch, &str, &Offsets)| format!("{asset}:{}", at.epoch());
        Self {
            point,
            classifier,
            sealed_by_replay: BTreeSet::new(),
            cut: point.cuts().map(name).collect(),
            due: point.cuts().filter(|(at, ..)| sealed(*at)).map(name).collect(),
        }
    }

    /// Takes note of a seal. A published seal makes its epoch due.
    pub(crate) fn add_seal(&mut self, side: ComparedSide, asset: &str, epoch: Epoch) {
        let epochs = match side {
            ComparedSide::Published => &mut self.due,
            ComparedSide::Replayed => &mut self.sealed_by_replay,
        };
        epochs.insert(format!("{asset}:{epoch}"));
    }

    /// Whether the replay cannot seal this group's epoch, because the deployment took its cut after the point in time.
    pub(crate) fn is_later(&self, group: &RecordGroup) -> bool {
        matches!(group.topic, Topic::Distributions | Topic::Epochs)
            && self.cut.contains(&group.of)
            && !self.sealed_by_replay.contains(&group.of)
            && !self.was_sealed(&group.of)
    }

    /// Whether the deployment had sealed this epoch at the point in time.
    fn was_sealed(&self, epoch: &str) -> bool {
        let sealed = self.point.sealed.as_ref();
        sealed.is_none_or(|sealed| {
            let mut cuts = self.point.cuts();
            cuts.any(|(at, asset, _)| sealed.contains(at) && format!("{asset}:{}", at.epoch()) == epoch)
        })
    }

    /// The id of a record, and in `group` the name of its group; `None` if the record is not compared.
    pub(crate) fn identify<'r>(
        &self,
        side: ComparedSide,
        topic: Topic,
        record: &'r [u8],
        group: &mut String,
    ) -> Option<Cow<'r, str>> {
        match self.classifier.classify(side, topic, record, group) {
            RecordClass::Compared => parse_id(record).ok(),
            RecordClass::Later | RecordClass::FilteredOut | RecordClass::Foreign(_) => None,
        }
    }

    /// Whether the replay's records of a group must have been published at the point in time.
    pub(crate) fn is_due(&self, group: &RecordGroup) -> bool {
        match group.topic {
            Topic::Distributions | Topic::Epochs => self.due.contains(&group.of),
            // The replay ends at the positions of the tasks that publish these, and a task publishes before its position moves.
            _ => true,
        }
    }
}
