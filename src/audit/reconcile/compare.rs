//! Holds what was published against what a replay comes to.
//!
//! Both sides are read once and each group of records is added up: how many there are, and the sum of their SHA-256 hashes. Groups that agree in both
//! are equal, whatever order their records stand in. Only for those that do not, both sides are read again, and their records compared one by
//! one ([`crate::audit::reconcile::detail`]). So memory does not grow with the number of records.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use crate::audit::point_in_time::OUTPUTS;
use crate::audit::published::scan_range;
use crate::audit::reconcile::detail;
use crate::audit::reconcile::digest::{Added, Class, Classifier, Digests, Identified, Observer, Side};
use crate::audit::reconcile::report::{Group, Report, Sealed};
use crate::audit::replay::{PointInTime, ReplayBus, ReplayError};
use crate::bus::{BusError, Log, Mark, Topic, TopicPartition};
use crate::core::contract::decision::Offsets;
use crate::core::values::ids::AssetEpoch;

/// Which records are compared.
pub(crate) struct Judge<'a> {
    point: &'a PointInTime,
    classifier: &'a Classifier,
    /// Epochs that the replay sealed.
    settled: BTreeSet<String>,
    /// Epochs with a cut on record.
    cut: BTreeSet<String>,
    /// Epochs whose records must all be there.
    due: BTreeSet<String>,
}

#[derive(Deserialize)]
struct SealRecord {
    data: SealData,
}

#[derive(Deserialize)]
struct SealData {
    asset: String,
    epoch: u64,
    epoch_end: String,
    distributed: String,
    distributions: u64,
}

/// What was published, added up.
#[derive(Clone)]
pub struct Published(Added);

/// Adds up what was published on `origin`. It needs nothing of the replay, and can be done beside it.
///
/// # Errors
/// What the bus says.
pub fn published(origin: &dyn Log, point: &PointInTime, classifier: &Classifier) -> Result<Published, ReplayError> {
    classifier
        .digests(Side::Published, origin, &point.output_ends, 1)
        .map(Published)
}

/// Compares what was published on `origin` with what a replay came to, with so many threads; `work` is a folder for what does not fit into memory.
///
/// `None` if something is different, and the replay did not keep the records that tell what.
///
/// # Errors
/// What one of the buses or the store says.
pub fn compare(
    (origin, Published(mut published)): (&dyn Log, Published),
    replayed: &ReplayBus,
    point: &PointInTime,
    (classifier, observed): (&Classifier, &Observer),
    threads: usize,
    work: &Path,
) -> Result<Option<Report>, ReplayError> {
    let mut report = Report::default();
    let (earlier, keeps) = (replayed.earlier(), replayed.keeps());
    let replayed = replayed.scratch();
    let replayed_ends = ends(replayed)?;
    let mut judge = Judge::new(point, classifier);
    seals(
        &mut report,
        &mut judge,
        (origin, &point.output_ends),
        (replayed, &replayed_ends),
    )?;
    published.digests.retain(|group, digest| {
        let later = judge.is_later(group);
        published.later += if later { digest.records } else { 0 };
        !later
    });
    // What an earlier replay said in this folder, and what this one did.
    let mut expected = classifier.digests(Side::Replayed, replayed, earlier, threads.max(1))?;
    expected.extend(observed.take());
    report.later = published.later;
    for (group, difference) in published.strange {
        report.differ(group, difference);
    }
    let mut unequal = BTreeSet::new();
    let groups: BTreeSet<&Group> = published.digests.keys().chain(expected.digests.keys()).collect();
    for group in groups {
        let of = |digests: &Digests| digests.get(group).copied().unwrap_or_default();
        let (ours, theirs) = (of(&published.digests), of(&expected.digests));
        let counts = report.groups.entry(group.clone()).or_default();
        (counts.published, counts.replayed) = (ours.records, theirs.records);
        if ours == theirs {
            counts.equal = ours.records;
        } else {
            unequal.insert(group.clone());
        }
    }
    if !unequal.is_empty() {
        if !keeps {
            return Ok(None);
        }
        let sides = [
            (Side::Published, origin, &point.output_ends),
            (Side::Replayed, replayed, &replayed_ends),
        ];
        detail::compare(&judge, &sides, &unequal, work, &mut report)?;
    }
    Ok(Some(report))
}

/// Where all output partitions of a bus end.
pub(crate) fn ends(bus: &dyn Log) -> Result<BTreeMap<TopicPartition, u64>, BusError> {
    let mut ends = BTreeMap::new();
    for topic in OUTPUTS {
        for partition in bus.partitions(topic)? {
            let partition = topic.partition(partition);
            ends.insert(partition, bus.readable_end(partition)?);
        }
    }
    Ok(ends)
}

type Place<'a> = (&'a dyn Log, &'a BTreeMap<TopicPartition, u64>);

/// Reads the seals of both sides: they tell which epochs are settled, and the sums.
fn seals(
    report: &mut Report,
    judge: &mut Judge<'_>,
    published: Place<'_>,
    replayed: Place<'_>,
) -> Result<(), ReplayError> {
    let mut all: BTreeMap<(String, u64), Sealed> = BTreeMap::new();
    for (side, (bus, ends)) in [(Side::Published, published), (Side::Replayed, replayed)] {
        for (partition, end) in ends.iter().filter(|(partition, _)| partition.topic == Topic::Epochs) {
            scan_range(bus, *partition, &Mark::default(), *end, |record| {
                // What is no seal is found when records are compared.
                let Ok(SealRecord { data }) = serde_json::from_slice(record.value) else {
                    return Ok::<_, ReplayError>(());
                };
                let of = format!("{}:{}", data.asset, data.epoch);
                match side {
                    Side::Published => judge.due.insert(of),
                    Side::Replayed => judge.settled.insert(of),
                };
                if judge.classifier.wanted().has(&data.asset, data.epoch) {
                    let sealed = all.entry((data.asset.clone(), data.epoch)).or_insert_with(|| Sealed {
                        asset: data.asset,
                        epoch: data.epoch,
                        epoch_end: data.epoch_end,
                        published: None,
                        replayed: None,
                        distributions: 0,
                    });
                    match side {
                        Side::Published => sealed.published = Some(data.distributed),
                        Side::Replayed => {
                            sealed.distributions = data.distributions;
                            sealed.replayed = Some(data.distributed);
                        }
                    }
                }
                Ok(())
            })?;
        }
    }
    report.seals = all.into_values().collect();
    Ok(())
}

impl<'a> Judge<'a> {
    /// Who judges before anything is known of the replay.
    fn new(point: &'a PointInTime, classifier: &'a Classifier) -> Self {
        let sealed = |at: &AssetEpoch| point.sealed.as_ref().is_none_or(|sealed| sealed.contains(at));
        let name = |(at, asset, _): (AssetEpoch, &str, &Offsets)| format!("{asset}:{}", at.epoch);
        Self {
            point,
            classifier,
            settled: BTreeSet::new(),
            cut: point.cuts().map(name).collect(),
            due: point.cuts().filter(|(at, ..)| sealed(at)).map(name).collect(),
        }
    }

    /// Whether an epoch's cut is on record and the replay does not come to it: it was taken while the deployment was looked at.
    fn is_later(&self, group: &Group) -> bool {
        matches!(group.topic, Topic::Distributions | Topic::Epochs)
            && self.cut.contains(&group.of)
            && !self.settled.contains(&group.of)
            && !self.sealed_before(&group.of)
    }

    /// Whether the deployment had sealed an epoch when it was looked at.
    fn sealed_before(&self, of: &str) -> bool {
        let sealed = self.point.sealed.as_ref();
        sealed.is_none_or(|sealed| {
            let mut cuts = self.point.cuts();
            cuts.any(|(at, asset, _)| sealed.contains(&at) && format!("{asset}:{}", at.epoch) == of)
        })
    }

    /// The id of a record and the group it is compared in, if it is.
    pub(crate) fn identify<'r>(
        &self,
        side: Side,
        topic: Topic,
        record: &'r [u8],
        of: &mut String,
    ) -> Option<Cow<'r, str>> {
        match self.classifier.class(side, topic, record, of) {
            Class::Of => serde_json::from_slice::<Identified<'_>>(record)
                .ok()
                .map(|record| record.id),
            Class::Later | Class::Unwanted | Class::Strange(_) => None,
        }
    }

    /// Whether a record that the replay comes to must have been published by the time the deployment was looked at.
    pub(crate) fn is_due(&self, group: &Group) -> bool {
        match group.topic {
            Topic::Distributions | Topic::Epochs => self.due.contains(&group.of),
            // Whoever publishes it had come further.
            _ => true,
        }
    }
}
