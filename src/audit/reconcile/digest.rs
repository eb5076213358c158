//! Adding up what was published and what a replay says, by group.
//!
//! A group's sum is that of its records' hashes, so it is the same in any order, and memory does not grow with the number of records. Every hash begins
//! with a key that nobody knows beforehand: sums of hashes could be aimed at otherwise, by whoever may choose many records.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::audit::point_in_time::OUTPUTS;
use crate::audit::reconcile::report::{Difference, DifferenceKind, Group};
use crate::audit::replay::schedule::CONTROL;
use crate::audit::replay::{PointInTime, ReplayError, Schedule, Wanted};
use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, Outputs, Topic, TopicKind, TopicPartition};

/// The two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Published,
    Replayed,
}

/// What a record is about.
pub(crate) enum Class {
    /// It is compared; its group is written to the buffer given.
    Of,
    /// It is about what lies behind the end of the replay.
    Later,
    /// Nobody asked for it.
    Unwanted,
    /// It cannot be: why.
    Strange(String),
}

#[derive(Deserialize)]
pub(crate) struct Identified<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
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

/// How many records a group has, and the sum of their hashes: the same for the same records in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    pub records: u64,
    hashes: [u128; 2],
}

impl Digest {
    fn add(&mut self, key: &Sha256, record: &[u8]) {
        let hash: [u8; 32] = key.clone().chain_update(record).finalize().into();
        let (low, high) = hash.split_at(16);
        self.records += 1;
        for (sum, half) in self.hashes.iter_mut().zip([low, high]) {
            let half = half.iter().fold(0_u128, |half, byte| half << 8 | u128::from(*byte));
            *sum = sum.wrapping_add(half);
        }
    }
}

impl Digest {
    fn plus(&mut self, other: Self) {
        self.records += other.records;
        for (sum, more) in self.hashes.iter_mut().zip(other.hashes) {
            *sum = sum.wrapping_add(more);
        }
    }
}

pub(crate) type Digests = BTreeMap<Group, Digest>;

/// What one side adds up to.
#[derive(Clone, Default)]
pub(crate) struct Added {
    pub digests: Digests,
    pub strange: Vec<(Group, Difference)>,
    pub later: u64,
}

impl Added {
    pub fn extend(&mut self, other: Self) {
        for (group, digest) in other.digests {
            self.digests.entry(group).or_default().plus(digest);
        }
        self.strange.extend(other.strange);
        self.later += other.later;
    }
}

/// Which records are compared, and in which groups.
pub struct Classifier {
    wanted: Wanted,
    schedule: Arc<Schedule>,
    /// Where the topics of those end that the records are about.
    input_ends: BTreeMap<TopicPartition, u64>,
    /// SHA-256 after one block that nobody knows.
    key: Sha256,
}

impl Classifier {
    /// Who tells groups apart for the replay of `schedule`.
    #[must_use]
    pub fn new(point: &PointInTime, schedule: &Arc<Schedule>, wanted: Wanted) -> Arc<Self> {
        let mut key = Sha256::new();
        for _ in 0..4 {
            key.update(uuid::Uuid::new_v4().as_bytes());
        }
        Arc::new(Self {
            wanted,
            schedule: Arc::clone(schedule),
            input_ends: point.input_ends.clone(),
            key,
        })
    }

    /// Which epochs are compared.
    pub(crate) const fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// Adds up all partitions of one side, so many at a time.
    pub(crate) fn digests(
        &self,
        side: Side,
        bus: &dyn Log,
        ends: &BTreeMap<TopicPartition, u64>,
        threads: usize,
    ) -> Result<Added, ReplayError> {
        let (partitions, next) = (ends.iter().collect::<Vec<_>>(), AtomicUsize::new(0));
        let work = || {
            let mut added = Added::default();
            while let Some((partition, end)) = partitions.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.digest(side, bus, **partition, **end, &mut added)?;
            }
            Ok::<_, ReplayError>(added)
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut all = work()?;
            for other in others {
                all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            // In the order of places, whoever came upon them.
            all.strange.sort_by(|a, b| a.1.id.cmp(&b.1.id));
            Ok(all)
        })
    }

    /// Adds up one partition.
    fn digest(
        &self,
        side: Side,
        bus: &dyn Log,
        partition: TopicPartition,
        end: u64,
        added: &mut Added,
    ) -> Result<(), ReplayError> {
        let mut adding = Adding::new(self, side, partition.topic);
        scan_range(bus, partition, &Mark::default(), end, |record| {
            if let Some(why) = adding.add(record.value) {
                let id = format!("{partition}, offset {}: {why}", record.offset);
                adding.added.strange.push(strange(partition.topic, id, record.value));
            }
            Ok::<_, ReplayError>(())
        })?;
        added.extend(adding.finish());
        Ok(())
    }

    /// What a record is about; its group goes to `of`.
    pub(crate) fn class(&self, side: Side, topic: Topic, record: &[u8], of: &mut String) -> Class {
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
            self.schedule.control_end
        } else {
            self.schedule.bound(from, usize::MAX)
        };
        let end = self.input_ends.get(&from).copied().unwrap_or(0);
        if side == Side::Published && offset >= covered && offset < end {
            return Class::Later;
        }
        Class::Of
    }
}

/// Records of one topic, being added up.
struct Adding<'a> {
    classifier: &'a Classifier,
    side: Side,
    topic: Topic,
    digests: HashMap<String, Digest>,
    of: String,
    added: Added,
}

impl<'a> Adding<'a> {
    fn new(classifier: &'a Classifier, side: Side, topic: Topic) -> Self {
        Self {
            classifier,
            side,
            topic,
            digests: HashMap::new(),
            of: String::new(),
            added: Added::default(),
        }
    }

    /// Adds a record; what is strange about it, if anything is.
    fn add(&mut self, record: &[u8]) -> Option<String> {
        if record.is_empty() {
            return None;
        }
        match self.classifier.class(self.side, self.topic, record, &mut self.of) {
            Class::Of => match self.digests.get_mut(&self.of) {
                Some(digest) => digest.add(&self.classifier.key, record),
                None => self
                    .digests
                    .entry(self.of.clone())
                    .or_default()
                    .add(&self.classifier.key, record),
            },
            Class::Later => self.added.later += 1,
            Class::Unwanted => {}
            Class::Strange(why) => return Some(why),
        }
        None
    }

    fn finish(self) -> Added {
        let Self {
            topic,
            digests,
            mut added,
            ..
        } = self;
        added.digests = digests
            .into_iter()
            .map(|(of, digest)| (Group { topic, of }, digest))
            .collect();
        added
    }
}

/// What a replay says, added up while it says it.
pub struct Observer {
    classifier: Arc<Classifier>,
    added: Mutex<Added>,
}

impl Observer {
    /// Nothing was said yet.
    #[must_use]
    pub fn new(classifier: &Arc<Classifier>) -> Arc<Self> {
        Arc::new(Self {
            classifier: Arc::clone(classifier),
            added: Mutex::default(),
        })
    }

    /// Adds what was committed.
    pub(crate) fn hear(&self, outputs: &Outputs) {
        let mut all = Added::default();
        let mut adding: Option<Adding<'_>> = None;
        for (to, _, record) in outputs.iter().filter(|(to, ..)| to.topic.kind() == TopicKind::Output) {
            if !OUTPUTS.contains(&to.topic) {
                continue;
            }
            let current = match adding.take_if(|adding| adding.topic != to.topic) {
                Some(before) => {
                    all.extend(before.finish());
                    adding.insert(Adding::new(&self.classifier, Side::Replayed, to.topic))
                }
                None => adding.get_or_insert_with(|| Adding::new(&self.classifier, Side::Replayed, to.topic)),
            };
            if let Some(why) = current.add(record) {
                current
                    .added
                    .strange
                    .push(strange(to.topic, format!("{to}: {why}"), record));
            }
        }
        if let Some(last) = adding {
            all.extend(last.finish());
        }
        self.added.lock().unwrap_or_else(PoisonError::into_inner).extend(all);
    }

    /// All that was said.
    pub(crate) fn take(&self) -> Added {
        std::mem::take(&mut self.added.lock().unwrap_or_else(PoisonError::into_inner))
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
        kind: DifferenceKind::Extra,
        topic: topic.name(),
        id,
        fields: vec![crate::audit::reconcile::report::FieldDifference {
            field: "record".into(),
            published: Some(String::from_utf8_lossy(record).into_owned()),
            replayed: None,
        }],
    };
    (group, difference)
}
