//! Digests of groups of records: additive multiset hashes.
//!
//! The digest of a group is the sum of the hashes of its records. So it does not depend on their order, and memory does not grow with their number.
//! Each hash starts with a random key. Without the key, somebody who chooses many records could aim at a sum.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::audit::error::AuditError;
use crate::audit::point_in_time::OUTPUT_TOPICS;
use crate::audit::reconcile::classify::{ComparedSide, RecordClass, RecordClassifier};
use crate::audit::reconcile::report::{DifferenceKind, RecordDifference, RecordGroup};
use crate::audit::record_fields::FieldDifference;
use crate::audit::replay::bus::OutputObserver;
use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, Outputs, Topic, TopicPartition};
use crate::core::values::offset::Offset;

/// The records of one side: those below `ends` on the output partitions of `bus`.
#[derive(Clone, Copy)]
pub(crate) struct SideRecords<'a> {
    pub side: ComparedSide,
    pub bus: &'a dyn Log,
    pub ends: &'a BTreeMap<TopicPartition, Offset>,
}

/// The number of records of a group, and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MultisetDigest {
    pub records: u64,
    /// The sums of the first and the second 16 bytes of each hash, modulo 2^128.
    hashes: [u128; 2],
}

impl MultisetDigest {
    fn add(&mut self, key: &Sha256, record: &[u8]) {
        let hash: [u8; 32] = key.clone().chain_update(record).finalize().into();
        let (low, high) = hash.split_at(16);
        self.records += 1;
        for (sum, half) in self.hashes.iter_mut().zip([low, high]) {
            let half = half.iter().fold(0_u128, |half, byte| half << 8 | u128::from(*byte));
            *sum = sum.wrapping_add(half);
        }
    }

    fn merge(&mut self, other: Self) {
        self.records += other.records;
        for (sum, more) in self.hashes.iter_mut().zip(other.hashes) {
            *sum = sum.wrapping_add(more);
        }
    }
}

pub(crate) type GroupDigests = BTreeMap<RecordGroup, MultisetDigest>;

/// The digests of one side.
#[derive(Clone, Default)]
pub(crate) struct SideDigest {
    pub groups: GroupDigests,
    /// Records that no Softstake wrote.
    pub foreign: Vec<(RecordGroup, RecordDifference)>,
    /// How many records follow from input after the end of the replay.
    pub later: u64,
}

impl SideDigest {
    pub fn merge(&mut self, other: Self) {
        for (group, digest) in other.groups {
            self.groups.entry(group).or_default().merge(digest);
        }
        self.foreign.extend(other.foreign);
        self.later += other.later;
    }
}

/// Makes digests. Only digests of the same digester can be compared, because each has its own key.
pub struct Digester {
    classifier: RecordClassifier,
    /// The state of SHA-256 after one block, which is the key.
    key: Sha256,
}

impl Digester {
    #[must_use]
    pub fn new(classifier: RecordClassifier) -> Arc<Self> {
        let mut key = Sha256::new();
        for _ in 0..4 {
            key.update(uuid::Uuid::new_v4().as_bytes());
        }
        Arc::new(Self { classifier, key })
    }

    pub(crate) const fn classifier(&self) -> &RecordClassifier {
        &self.classifier
    }

    /// Digests the records of one side on `threads` threads.
    pub(crate) fn digest_side(&self, records: SideRecords<'_>, threads: usize) -> Result<SideDigest, AuditError> {
        let SideRecords { side, bus, ends } = records;
        let (partitions, next) = (ends.iter().collect::<Vec<_>>(), AtomicUsize::new(0));
        let work = || {
            let mut digest = SideDigest::default();
            while let Some((partition, end)) = partitions.get(next.fetch_add(1, Ordering::Relaxed)) {
                digest.merge(self.digest_partition(side, bus, **partition, **end)?);
            }
            Ok::<_, AuditError>(digest)
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut all = work()?;
            for other in others {
                all.merge(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            // The order must not depend on which thread read a partition.
            all.foreign.sort_by(|a, b| a.1.id.cmp(&b.1.id));
            Ok(all)
        })
    }

    fn digest_partition(
        &self,
        side: ComparedSide,
        bus: &dyn Log,
        partition: TopicPartition,
        end: Offset,
    ) -> Result<SideDigest, AuditError> {
        let mut topic = TopicDigest::new(self, side, partition.topic);
        scan_range(bus, partition, &Mark::default(), end, |record| {
            topic.add(record.value, |why| {
                format!("{partition}, offset {}: {why}", record.offset)
            });
            Ok::<_, AuditError>(())
        })?;
        Ok(topic.finish())
    }
}

/// Digests records of one topic.
struct TopicDigest<'a> {
    digester: &'a Digester,
    side: ComparedSide,
    topic: Topic,
    /// By the name of the group.
    digests: HashMap<String, MultisetDigest>,
    /// The name of the group of the current record; here only to reuse its memory.
    group: String,
    foreign: Vec<(RecordGroup, RecordDifference)>,
    later: u64,
}

impl<'a> TopicDigest<'a> {
    fn new(digester: &'a Digester, side: ComparedSide, topic: Topic) -> Self {
        Self {
            digester,
            side,
            topic,
            digests: HashMap::new(),
            group: String::new(),
            foreign: Vec::new(),
            later: 0,
        }
    }

    /// Adds a record. `place` names a record that no Softstake wrote; its argument is the reason.
    fn add(&mut self, record: &[u8], place: impl FnOnce(String) -> String) {
        if record.is_empty() {
            return;
        }
        let key = &self.digester.key;
        let class = self
            .digester
            .classifier
            .classify(self.side, self.topic, record, &mut self.group);
        match class {
            RecordClass::Compared => match self.digests.get_mut(&self.group) {
                Some(digest) => digest.add(key, record),
                None => self.digests.entry(self.group.clone()).or_default().add(key, record),
            },
            RecordClass::Later => self.later += 1,
            RecordClass::FilteredOut => {}
            RecordClass::Foreign(why) => self.foreign.push(foreign(self.topic, place(why), record)),
        }
    }

    fn finish(self) -> SideDigest {
        let topic = self.topic;
        let groups = self.digests.into_iter();
        SideDigest {
            groups: groups.map(|(of, digest)| (RecordGroup { topic, of }, digest)).collect(),
            foreign: self.foreign,
            later: self.later,
        }
    }
}

/// Digests the outputs of a replay while it runs.
pub struct DigestObserver {
    digester: Arc<Digester>,
    digest: Mutex<SideDigest>,
}

impl DigestObserver {
    #[must_use]
    pub fn new(digester: &Arc<Digester>) -> Arc<Self> {
        Arc::new(Self {
            digester: Arc::clone(digester),
            digest: Mutex::default(),
        })
    }

    /// The digest of all outputs since the last call.
    pub(crate) fn take(&self) -> SideDigest {
        std::mem::take(&mut self.digest.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl OutputObserver for DigestObserver {
    fn observe(&self, outputs: &Outputs) {
        let mut all = SideDigest::default();
        let mut current: Option<TopicDigest<'_>> = None;
        for (to, _, record) in outputs.iter().filter(|(to, ..)| OUTPUT_TOPICS.contains(&to.topic)) {
            if let Some(before) = current.take_if(|current| current.topic != to.topic) {
                all.merge(before.finish());
            }
            current
                .get_or_insert_with(|| TopicDigest::new(&self.digester, ComparedSide::Replayed, to.topic))
                .add(record, |why| format!("{to}: {why}"));
        }
        if let Some(last) = current {
            all.merge(last.finish());
        }
        self.digest.lock().unwrap_or_else(PoisonError::into_inner).merge(all);
    }
}

/// Reports a published record that no Softstake wrote.
fn foreign(topic: Topic, id: String, record: &[u8]) -> (RecordGroup, RecordDifference) {
    let group = RecordGroup {
        topic,
        of: "not one of softstake's".into(),
    };
    let difference = RecordDifference {
        kind: DifferenceKind::Extra,
        topic: topic.name(),
        id,
        fields: vec![FieldDifference {
            field: "record".into(),
            published: Some(String::from_utf8_lossy(record).into_owned()),
            replayed: None,
        }],
    };
    (group, difference)
}
