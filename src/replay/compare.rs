//! Holds what was published against what a replay comes to.
//!
//! Both sides are read once and each group of records is added up: how many there are, and the sum of their SHA-256 hashes. Groups that agree in both
//! are equal, whatever order their records stand in. Only for those that do not, both sides are read again, and their records compared one by
//! one ([`super::detail`]). So memory does not grow with the number of records.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::bus::{Bus, Mark, Topic, TopicPartition};

use crate::core::decision::Offsets;
use crate::core::messages::AssetEpoch;

use super::detail;
use super::freeze::OUTPUTS;
use super::read::stretch;
use super::report::{Difference, Group, Kind, Report, Sealed};
use super::script::CONTROL;
use super::{Frozen, ReplayBus, ReplayError, Script, Wanted};

/// The two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Published,
    Replayed,
}

/// What a record is about.
enum Class {
    /// It is compared; its group is written to the buffer given.
    Of,
    /// It is about what lies behind the end of the replay.
    Later,
    /// Nobody asked for it.
    Unwanted,
    /// It cannot be: why.
    Strange(String),
}

/// Which records are compared.
pub(super) struct Judge<'a> {
    frozen: &'a Frozen,
    script: &'a Script,
    wanted: Wanted,
    /// Epochs that the replay sealed.
    settled: BTreeSet<String>,
    /// Epochs with a cut on record.
    cut: BTreeSet<String>,
    /// Epochs whose records must all be there.
    due: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Identified<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Late<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    data: LateData<'a>,
}

#[derive(Deserialize)]
struct LateData<'a> {
    #[serde(borrow)]
    asset: Cow<'a, str>,
    applied_epoch: u64,
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

/// How many records a group has, and the sum of their hashes: the same for the same records in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    records: u64,
    hashes: [u128; 2],
}

impl Tally {
    fn add(&mut self, record: &[u8]) {
        let hash: [u8; 32] = Sha256::digest(record).into();
        let (low, high) = hash.split_at(16);
        self.records += 1;
        for (sum, half) in self.hashes.iter_mut().zip([low, high]) {
            let half = half.iter().fold(0_u128, |half, byte| half << 8 | u128::from(*byte));
            *sum = sum.wrapping_add(half);
        }
    }
}

type Tallies = BTreeMap<Group, Tally>;

/// What was published, added up.
pub struct Published(Added);

/// Adds up what was published on `origin`. It needs nothing of the replay, and can be done beside it.
///
/// # Errors
/// What the bus says.
pub fn published(origin: &dyn Bus, frozen: &Frozen, script: &Script, wanted: Wanted) -> Result<Published, ReplayError> {
    let judge = Judge::new(frozen, script, wanted);
    judge
        .tallies(Side::Published, origin, &frozen.output_ends)
        .map(Published)
}

/// Compares what was published on `origin` with what a replay came to; `work` is a folder for what does not fit into memory.
///
/// # Errors
/// What one of the buses or the store says.
pub fn compare(
    (origin, Published(mut published)): (&dyn Bus, Published),
    replayed: &ReplayBus,
    frozen: &Frozen,
    script: &Script,
    wanted: Wanted,
    work: &Path,
) -> Result<Report, ReplayError> {
    let mut report = Report::default();
    let replayed = replayed.scratch();
    let replayed_ends = ends(replayed)?;
    let mut judge = Judge::new(frozen, script, wanted);
    seals(
        &mut report,
        &mut judge,
        (origin, &frozen.output_ends),
        (replayed, &replayed_ends),
    )?;
    published.tallies.retain(|group, tally| {
        let later = judge.is_later(group);
        published.later += if later { tally.records } else { 0 };
        !later
    });
    let expected = judge.tallies(Side::Replayed, replayed, &replayed_ends)?;
    report.later = published.later;
    for (group, difference) in published.strange {
        report.differ(group, difference);
    }
    let mut unequal = BTreeSet::new();
    let groups: BTreeSet<&Group> = published.tallies.keys().chain(expected.tallies.keys()).collect();
    for group in groups {
        let of = |tallies: &Tallies| tallies.get(group).copied().unwrap_or_default();
        let (ours, theirs) = (of(&published.tallies), of(&expected.tallies));
        let counts = report.groups.entry(group.clone()).or_default();
        (counts.published, counts.replayed) = (ours.records, theirs.records);
        if ours == theirs {
            counts.equal = ours.records;
        } else {
            unequal.insert(group.clone());
        }
    }
    if !unequal.is_empty() {
        let sides = [
            (Side::Published, origin, &frozen.output_ends),
            (Side::Replayed, replayed, &replayed_ends),
        ];
        detail::compare(&judge, &sides, &unequal, work, &mut report)?;
    }
    Ok(report)
}

/// Where all output partitions of a bus end.
fn ends(bus: &dyn Bus) -> Result<BTreeMap<TopicPartition, u64>, ReplayError> {
    let mut ends = BTreeMap::new();
    for topic in OUTPUTS {
        for partition in bus.partitions(topic)? {
            let partition = topic.partition(partition);
            ends.insert(partition, bus.end(partition)?);
        }
    }
    Ok(ends)
}

type Place<'a> = (&'a dyn Bus, &'a BTreeMap<TopicPartition, u64>);

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
            stretch(bus, *partition, &Mark::default(), *end, |record| {
                // What is no seal is found when records are compared.
                let Ok(SealRecord { data }) = serde_json::from_slice(record.value) else {
                    return Ok::<_, ReplayError>(());
                };
                let of = format!("{}:{}", data.asset, data.epoch);
                match side {
                    Side::Published => judge.due.insert(of),
                    Side::Replayed => judge.settled.insert(of),
                };
                if judge.wanted.has(&data.asset, data.epoch) {
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

/// What one side adds up to.
#[derive(Default)]
struct Added {
    tallies: Tallies,
    strange: Vec<(Group, Difference)>,
    later: u64,
}

impl<'a> Judge<'a> {
    /// Who judges before anything is known of the replay.
    fn new(frozen: &'a Frozen, script: &'a Script, wanted: Wanted) -> Self {
        let sealed = |at: &AssetEpoch| frozen.sealed.as_ref().is_none_or(|sealed| sealed.contains(at));
        let name = |(at, asset, _): (AssetEpoch, &str, &Offsets)| format!("{asset}:{}", at.epoch);
        Self {
            frozen,
            script,
            wanted,
            settled: BTreeSet::new(),
            cut: frozen.cuts().map(name).collect(),
            due: frozen.cuts().filter(|(at, ..)| sealed(at)).map(name).collect(),
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
        let sealed = self.frozen.sealed.as_ref();
        sealed.is_none_or(|sealed| {
            let mut cuts = self.frozen.cuts();
            cuts.any(|(at, asset, _)| sealed.contains(&at) && format!("{asset}:{}", at.epoch) == of)
        })
    }

    fn tallies(&self, side: Side, bus: &dyn Bus, ends: &BTreeMap<TopicPartition, u64>) -> Result<Added, ReplayError> {
        let mut added = Added::default();
        let mut of = String::new();
        for topic in OUTPUTS {
            let mut tallies: HashMap<String, Tally> = HashMap::new();
            for (partition, end) in ends.iter().filter(|(partition, _)| partition.topic == topic) {
                stretch(bus, *partition, &Mark::default(), *end, |record| {
                    if record.value.is_empty() {
                        return Ok::<_, ReplayError>(());
                    }
                    match self.class(side, topic, record.value, &mut of) {
                        Class::Of => match tallies.get_mut(&of) {
                            Some(tally) => tally.add(record.value),
                            None => tallies.entry(of.clone()).or_default().add(record.value),
                        },
                        Class::Later => added.later += 1,
                        Class::Unwanted => {}
                        Class::Strange(why) => {
                            let id = format!("{partition}, offset {}: {why}", record.offset);
                            added.strange.push(strange(topic, id, record.value));
                        }
                    }
                    Ok(())
                })?;
            }
            added
                .tallies
                .extend(tallies.into_iter().map(|(of, tally)| (Group { topic, of }, tally)));
        }
        Ok(added)
    }

    /// The id of a record and the group it is compared in, if it is.
    pub(super) fn identify<'r>(
        &self,
        side: Side,
        topic: Topic,
        record: &'r [u8],
        of: &mut String,
    ) -> Option<Cow<'r, str>> {
        match self.class(side, topic, record, of) {
            Class::Of => serde_json::from_slice::<Identified<'_>>(record)
                .ok()
                .map(|record| record.id),
            Class::Later | Class::Unwanted | Class::Strange(_) => None,
        }
    }

    /// Whether a record that the replay comes to must have been published by the time the deployment was looked at.
    pub(super) fn is_due(&self, group: &Group) -> bool {
        match group.topic {
            Topic::Distributions | Topic::Epochs => self.due.contains(&group.of),
            // Whoever publishes it had come further.
            _ => true,
        }
    }

    fn class(&self, side: Side, topic: Topic, record: &[u8], of: &mut String) -> Class {
        of.clear();
        match topic {
            Topic::LatePostings => match serde_json::from_slice::<Late<'_>>(record) {
                Ok(late) => {
                    if !self.wanted.has(&late.data.asset, late.data.applied_epoch) {
                        return Class::Unwanted;
                    }
                    of.push_str(&late.data.asset);
                    of.push(':');
                    of.push_str(&late.data.applied_epoch.to_string());
                    let record = late.id.rsplit_once(':').map_or("", |(record, _)| record);
                    self.follows(side, record)
                }
                Err(error) => Class::Strange(error.to_string()),
            },
            _ => match id_of(record) {
                Ok(id) if topic == Topic::DeadLetters => {
                    if self.wanted != Wanted::default() {
                        return Class::Unwanted;
                    }
                    let Some((from, _)) = origin_of(&id) else {
                        return Class::Strange("its `id` names no record".into());
                    };
                    of.push_str(from.topic.name());
                    self.follows(side, &id)
                }
                Ok(id) => self.of_epoch(&id, of),
                Err(error) => Class::Strange(error.to_string()),
            },
        }
    }

    /// A distribution or a seal.
    fn of_epoch(&self, id: &str, of: &mut String) -> Class {
        let mut parts = id.splitn(3, ':');
        let (Some(asset), Some(epoch)) = (parts.next(), parts.next()) else {
            return Class::Strange("its `id` names no epoch".into());
        };
        let Ok(number) = epoch.parse() else {
            return Class::Strange("its `id` names no epoch".into());
        };
        if !self.wanted.has(asset, number) {
            return Class::Unwanted;
        }
        of.push_str(asset);
        of.push(':');
        of.push_str(epoch);
        Class::Of
    }

    /// A record that came of the record with this id, `topic:partition:offset`.
    fn follows(&self, side: Side, id: &str) -> Class {
        let Some((from, offset)) = origin_of(id) else {
            return Class::Strange("its `id` names no record".into());
        };
        let covered = if from == CONTROL {
            self.script.control_end
        } else {
            self.script.bound(from, usize::MAX)
        };
        let end = self.frozen.input_ends.get(&from).copied().unwrap_or(0);
        if side == Side::Published && offset >= covered && offset < end {
            return Class::Later;
        }
        Class::Of
    }
}

/// A record's id.
fn id_of(record: &[u8]) -> Result<Cow<'_, str>, serde_json::Error> {
    // As our own records begin. What comes after the id is compared as it is, so nothing is overlooked by not reading it.
    if let Some(rest) = record.strip_prefix(br#"{"specversion":"1.0","id":""#)
        && let Some(end) = memchr::memchr2(b'"', b'\\', rest)
        && rest.get(end) == Some(&b'"')
        && let Some(Ok(id)) = rest.get(..end).map(std::str::from_utf8)
    {
        return Ok(Cow::Borrowed(id));
    }
    serde_json::from_slice(record).map(|Identified { id }| id)
}

/// The record that an id `topic:partition:offset` names.
fn origin_of(id: &str) -> Option<(TopicPartition, u64)> {
    let (partition, offset) = id.rsplit_once(':')?;
    Some((TopicPartition::parse(partition)?, offset.parse().ok()?))
}

/// A published record that none of ours is like.
fn strange(topic: Topic, id: String, record: &[u8]) -> (Group, Difference) {
    let group = Group {
        topic,
        of: "not one of softstake's".into(),
    };
    let difference = Difference {
        kind: Kind::Extra,
        topic: topic.name(),
        id,
        fields: vec![super::report::Field {
            field: "record".into(),
            published: Some(String::from_utf8_lossy(record).into_owned()),
            replayed: None,
        }],
    };
    (group, difference)
}
