//! Compares the published records with those of a replay.
//!
//! Both sides are read once, and each group of records gets a digest: the number of its records and the sum of their SHA-256 hashes. Two groups with
//! the same digest are equal, in whatever order their records are. Only groups that differ are read again and compared record by record
//! ([`crate::audit::reconcile::detail`]). So memory does not grow with the number of records.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::audit::error::AuditError;
use crate::audit::point_in_time::{OUTPUT_TOPICS, PointInTime, output_ends};
use crate::audit::reconcile::classify::ComparedSide;
use crate::audit::reconcile::detail;
use crate::audit::reconcile::digest::{DigestObserver, Digester, GroupDigests, SideDigest, SideRecords};
use crate::audit::reconcile::report::{ReconcileReport, RecordGroup, SealComparison};
use crate::audit::reconcile::scope::ComparisonScope;
use crate::audit::replay::bus::ReplayBus;
use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, Topic};
use crate::core::contract::records::{Seal, read_data};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// The digest of the published records.
#[derive(Clone)]
pub struct PublishedDigest(SideDigest);

/// What is compared with a replay.
#[derive(Clone, Copy)]
pub struct Comparison<'a> {
    /// The deployment's bus.
    pub origin: &'a dyn Log,
    pub point: &'a PointInTime,
    pub digester: &'a Digester,
    pub threads: usize,
}

impl Comparison<'_> {
    /// Digests the published records. Needs nothing of the replay, so both can run at the same time.
    ///
    /// # Errors
    /// A failure of the bus.
    pub fn digest_published(&self) -> Result<PublishedDigest, AuditError> {
        self.digester.digest_side(self.published(), 1).map(PublishedDigest)
    }

    /// Compares the published records with a replay. `work` is a folder for data that does not fit into memory.
    ///
    /// Returns `None` if there are differences, but the replay did not keep the records that tell which.
    ///
    /// # Errors
    /// A failure of a bus or of the store.
    pub fn compare(
        &self,
        published: PublishedDigest,
        replayed: &ReplayBus,
        observer: &DigestObserver,
        work: &Path,
    ) -> Result<Option<ReconcileReport>, AuditError> {
        let mut report = ReconcileReport::default();
        let PublishedDigest(mut published) = published;
        let replayed_ends = output_ends(replayed.scratch(), &OUTPUT_TOPICS)?;
        let of_replay = |ends| SideRecords {
            side: ComparedSide::Replayed,
            bus: replayed.scratch(),
            ends,
        };
        let sides = [self.published(), of_replay(&replayed_ends)];
        let mut scope = ComparisonScope::new(self.point, self.digester.classifier());
        report.seals = self.compare_seals(&mut scope, &sides)?;
        published.groups.retain(|group, digest| {
            let later = scope.is_later(group);
            published.later += if later { digest.records } else { 0 };
            !later
        });
        report.later = published.later;
        // The observer missed what an interrupted replay wrote before this one resumed.
        let before = of_replay(replayed.ends_at_open());
        let mut expected = self.digester.digest_side(before, self.threads.max(1))?;
        expected.merge(observer.take());
        for (group, difference) in published.foreign {
            report.add_difference(group, difference);
        }
        let unequal = count_groups(&mut report, &published.groups, &expected.groups);
        if !unequal.is_empty() {
            if !replayed.keeps_outputs() {
                return Ok(None);
            }
            detail::compare(&scope, &sides, &unequal, work, &mut report)?;
        }
        Ok(Some(report))
    }

    fn published(&self) -> SideRecords<'_> {
        SideRecords {
            side: ComparedSide::Published,
            bus: self.origin,
            ends: &self.point.output_ends,
        }
    }

    /// Reads the seals of both sides. They tell `scope` which epochs are sealed, and the report the sums.
    fn compare_seals(
        &self,
        scope: &mut ComparisonScope<'_>,
        sides: &[SideRecords<'_>; 2],
    ) -> Result<Vec<SealComparison>, AuditError> {
        let filter = self.digester.classifier().filter();
        let mut all: BTreeMap<(Asset, Epoch), SealComparison> = BTreeMap::new();
        for SideRecords { side, bus, ends } in sides {
            for (partition, end) in ends.iter().filter(|(partition, _)| partition.topic == Topic::Epochs) {
                scan_range(*bus, *partition, &Mark::default(), *end, |record| {
                    // The digest reports records that are no seals.
                    let Ok(data) = read_data::<Seal<'_>>(record.value) else {
                        return Ok::<_, AuditError>(());
                    };
                    scope.add_seal(*side, data.asset.as_str(), data.epoch);
                    if filter.includes(data.asset.as_str(), data.epoch) {
                        let seal = all.entry((data.asset, data.epoch)).or_insert_with(|| SealComparison {
                            asset: data.asset.to_string(),
                            reward_asset: data.reward_asset.to_string(),
                            epoch: data.epoch,
                            epoch_end: data.epoch_end.into_owned(),
                            published: None,
                            replayed: None,
                            distributions: 0,
                            root: None,
                        });
                        // The published side is read first.
                        seal.root.get_or_insert_with(|| data.root.into_owned());
                        match side {
                            ComparedSide::Published => seal.published = Some(data.distributed.into_owned()),
                            ComparedSide::Replayed => {
                                seal.distributions = data.distributions;
                                seal.replayed = Some(data.distributed.into_owned());
                            }
                        }
                    }
                    Ok(())
                })?;
            }
        }
        Ok(all.into_values().collect())
    }
}

/// Counts the records of each group of both sides. Returns the groups that differ.
fn count_groups(
    report: &mut ReconcileReport,
    published: &GroupDigests,
    replayed: &GroupDigests,
) -> BTreeSet<RecordGroup> {
    let mut unequal = BTreeSet::new();
    let groups: BTreeSet<&RecordGroup> = published.keys().chain(replayed.keys()).collect();
    for group in groups {
        let digest = |digests: &GroupDigests| digests.get(group).copied().unwrap_or_default();
        let (published, replayed) = (digest(published), digest(replayed));
        let counts = report.groups.entry(group.clone()).or_default();
        (counts.published, counts.replayed) = (published.records, replayed.records);
        if published == replayed {
            counts.equal = published.records;
        } else {
            unequal.insert(group.clone());
        }
    }
    unequal
}
