//! Everything on the source topics that concerns some accounts, and what became of it.
//!
//! The fold that judges records is the deployment's own. It is not given all records but those that can matter: the ones that name one of the accounts, and all
//! others with the same id and source as one of these, as those decide which of them is a copy. So a story takes two readings of the topics and next
//! to no memory.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;

use crate::audit::error::AuditError;
use crate::audit::history::History;
use crate::audit::point_in_time::PointInTime;
use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, Topic, TopicPartition};
use crate::core::contract::appends::Outputs;
use crate::core::contract::event::Status;
use crate::core::dedup::{DedupIndex, SeenEvent};
use crate::core::ingest::decode::Decoded;
use crate::core::ingest::{Ingest, IngestState};
use crate::core::protocol::ledger::{Entry, LedgerRecord};
use crate::core::values::bucket::Partitions;
use crate::core::values::ids::AssetEpoch;

/// A record that names one of the accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedEvent {
    /// Where it stands.
    pub source: TopicPartition,
    /// At which offset.
    pub offset: u64,
    /// Its `id`; empty if it has none that can be read.
    pub id: String,
    /// Its `source`.
    pub event_source: String,
    /// Its `type`.
    pub kind: String,
    /// Its `time`, as it stands there.
    pub time: String,
    /// What became of it.
    pub outcome: TracedOutcome,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TracedOutcome {
    /// It was applied: what it did to the accounts, which may be nothing that counts.
    Applied {
        /// Its postings to the accounts.
        postings: Vec<TracedPosting>,
        /// The status it gave one of the accounts, and from when on, in milliseconds since 1970.
        status: Option<(Status, i64)>,
    },
    /// It was an identical copy of an event applied before.
    Duplicate,
    /// It was refused.
    Refused {
        /// The code.
        code: String,
        /// The sentence.
        reason: String,
    },
    /// None of its postings counts: their assets are not listed, or they lie before the anchor.
    Ignored,
}

/// A posting to one of the accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedPosting {
    /// The account.
    pub account: Box<str>,
    /// The epoch it went into.
    pub at: AssetEpoch,
    /// How much, in units.
    pub delta: i128,
    /// How long before the epoch's end it counts from, in milliseconds.
    pub before_end_ms: u64,
    /// The closed epoch it belongs to by its time, if it was late.
    pub missed_epoch: Option<u64>,
}

/// Reads the story of `accounts`: their events in the order of their partitions and offsets.
///
/// # Errors
/// What the bus says; decisions that cannot be followed.
pub fn read(
    bus: &dyn Log,
    point: &PointInTime,
    history: &History,
    accounts: &HashSet<String>,
) -> Result<Vec<TracedEvent>, AuditError> {
    let mut trace = Vec::new();
    for (source, end) in &point.taken_in {
        let naming = Naming(accounts);
        let mut identities = HashSet::new();
        let mut unreadable = false;
        scan_range(bus, *source, &Mark::default(), *end, |record| {
            if naming.may_name(record.value) {
                match Decoded::read(record.value).identity() {
                    Some(identity) => _ = identities.insert(*identity),
                    None => unreadable = true,
                }
            }
            Ok::<_, AuditError>(())
        })?;
        if identities.is_empty() && !unreadable {
            continue;
        }
        let mut reader = Reader::new(*source, point, history, accounts)?;
        scan_range(bus, *source, &Mark::default(), *end, |record| {
            let decoded = Decoded::read(record.value);
            let matters = match decoded.identity() {
                Some(identity) => identities.contains(identity),
                None => naming.may_name(record.value),
            };
            if matters {
                let event = reader.record(record.offset, record.value, &decoded)?;
                trace.extend(event.filter(|_| naming.may_name(record.value)));
            }
            Ok::<_, AuditError>(())
        })?;
    }
    Ok(trace)
}

/// Tells quickly whether a record may name one of the accounts.
struct Naming<'a>(&'a HashSet<String>);

impl Naming<'_> {
    fn may_name(&self, record: &[u8]) -> bool {
        // A name may be spelt with escapes.
        if memchr::memchr(b'\\', record).is_some() {
            return true;
        }
        // Whatever stands between quotation marks, and between what stands there.
        let mut start = 0;
        let mut quoted = memchr::memchr_iter(b'"', record).map(|end| {
            let text = record.get(start..end).unwrap_or_default();
            start = end + 1;
            text
        });
        quoted.any(|text| std::str::from_utf8(text).is_ok_and(|text| self.0.contains(text)))
    }
}

#[derive(Default)]
struct SeenEvents(HashMap<[u8; 16], SeenEvent>);

impl DedupIndex for SeenEvents {
    fn get(&self, identity: &[u8; 16]) -> Option<&SeenEvent> {
        self.0.get(identity)
    }

    fn insert(&mut self, identity: [u8; 16], seen: SeenEvent) {
        self.0.insert(identity, seen);
    }
}

/// The fold over one source partition.
struct Reader<'a> {
    accounts: &'a HashSet<String>,
    history: &'a History,
    source: TopicPartition,
    ingest: Ingest,
    memory: SeenEvents,
    outputs: Outputs,
}

#[derive(Deserialize)]
struct Letter {
    data: LetterData,
}

#[derive(Deserialize)]
struct LetterData {
    code: String,
    reason: String,
}

#[derive(Deserialize)]
struct Late {
    data: LateData,
}

#[derive(Deserialize)]
struct LateData {
    account: String,
    asset: String,
    missed_epoch: u64,
    applied_epoch: u32,
}

impl<'a> Reader<'a> {
    fn new(
        source: TopicPartition,
        point: &PointInTime,
        history: &'a History,
        accounts: &'a HashSet<String>,
    ) -> Result<Self, AuditError> {
        let one = Partitions::new(1).map_err(|error| AuditError::Decisions(error.to_string()))?;
        let mut ingest = Ingest::new(source, point.dedup_epochs, one, IngestState::default(), []);
        let mut outputs = Outputs::default();
        for decision in &point.decisions {
            // Whatever a decision changes takes effect at an offset that it names.
            ingest.apply_decision(decision, 0, None, &mut outputs)?;
        }
        outputs.clear();
        Ok(Self {
            accounts,
            history,
            source,
            ingest,
            memory: SeenEvents::default(),
            outputs,
        })
    }

    /// What becomes of a record; `None` of a blank line.
    fn record(&mut self, offset: u64, value: &[u8], decoded: &Decoded<'_>) -> Result<Option<TracedEvent>, AuditError> {
        let before = self.ingest.state().counts;
        self.outputs.clear();
        self.ingest.begin_batch(offset);
        self.ingest
            .apply_record(offset, value, decoded, &mut self.memory, &mut self.outputs)?;
        self.ingest.end_batch(offset + 1, &mut self.outputs)?;
        let after = self.ingest.state().counts;
        let outcome = if after.dead_letters > before.dead_letters {
            self.refused()
        } else if after.duplicates > before.duplicates {
            TracedOutcome::Duplicate
        } else if after.applied > before.applied {
            self.applied()?
        } else if after.ignored > before.ignored {
            TracedOutcome::Ignored
        } else {
            return Ok(None);
        };
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let envelope = match decoded {
            Decoded::Event(envelope, _) => Some(envelope),
            Decoded::Blank | Decoded::Rejected(_) => None,
        };
        let time = envelope.and_then(|envelope| serde_json::from_str::<String>(envelope.time).ok());
        Ok(Some(TracedEvent {
            source: self.source,
            offset,
            id: text(envelope.map(|envelope| envelope.id.as_ref())),
            event_source: text(envelope.map(|envelope| envelope.source.as_ref())),
            kind: text(envelope.map(|envelope| envelope.kind.as_ref())),
            time: time.unwrap_or_default(),
            outcome,
        }))
    }

    fn refused(&self) -> TracedOutcome {
        let letter = self.outputs.iter().find(|(to, ..)| to.topic == Topic::DeadLetters);
        let letter = letter.and_then(|(_, _, value)| serde_json::from_slice::<Letter>(value).ok());
        let (code, reason) = letter
            .map(|letter| (letter.data.code, letter.data.reason))
            .unwrap_or_default();
        TracedOutcome::Refused { code, reason }
    }

    fn applied(&self) -> Result<TracedOutcome, AuditError> {
        let (mut postings, mut status) = (Vec::new(), None);
        let mut late = BTreeMap::new();
        for (to, _, value) in self.outputs.iter() {
            match to.topic {
                Topic::LatePostings => {
                    if let Ok(Late { data }) = serde_json::from_slice(value)
                        && self.accounts.contains(&data.account)
                    {
                        late.insert((data.account, data.asset, data.applied_epoch), data.missed_epoch);
                    }
                }
                Topic::Ledger => {
                    let LedgerRecord::Block(mut block) = LedgerRecord::read(value)? else {
                        continue;
                    };
                    while let Some(entry) = block.next_entry()? {
                        match entry {
                            Entry::Posting(posting) if self.accounts.contains(posting.account) => {
                                postings.push(TracedPosting {
                                    account: posting.account.into(),
                                    at: posting.at,
                                    delta: posting.delta,
                                    before_end_ms: posting.before_end_ms,
                                    missed_epoch: None,
                                })
                            }
                            Entry::Status(entry) if self.accounts.contains(entry.account) => {
                                status = Some((entry.status, entry.time_ms));
                            }
                            Entry::Posting(_) | Entry::Status(_) => {}
                        }
                    }
                }
                _ => {}
            }
        }
        for posting in &mut postings {
            let asset = self.history.name(posting.at.number).unwrap_or_default();
            let key = (posting.account.to_string(), asset.to_owned(), posting.at.epoch);
            posting.missed_epoch = late.get(&key).copied();
        }
        Ok(TracedOutcome::Applied { postings, status })
    }
}
