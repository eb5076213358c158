//! The trace of some accounts: every event that is about one of them, and its outcome.
//!
//! The fields of a record decide whom it is about. Nothing of another customer is in a trace: of a trade, only the own side.
//!
//! The trace runs the deployment's own ingest state machine, but only over the records that matter: those about one of the accounts, and
//! all others with the same id and source, because they decide which record is the duplicate. So a trace reads the topics twice, but needs
//! little memory.

use std::collections::{BTreeMap, HashSet};

use crate::audit::error::AuditError;
use crate::audit::history::History;
use crate::audit::named_accounts::NamedAccounts;
use crate::audit::point_in_time::{PointInTime, first_mark};
use crate::audit::traced_accounts::TracedAccounts;
use crate::bus::scan::scan_range;
use crate::bus::{Log, Topic, TopicPartition};
use crate::core::contract::appends::Outputs;
use crate::core::contract::decoded::Decoded;
use crate::core::contract::event::Status;
use crate::core::contract::records::{DeadLetter, LatePosting, read_data};
use crate::core::dedup::SeenEvent;
use crate::core::ingest::{Ingest, IngestState};
use crate::core::protocol::ledger::{Entry, LedgerRecord, Posting};
use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::Partitions;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;

/// A record that is about one of the accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedEvent {
    /// Those of the accounts that it names.
    pub accounts: Vec<Box<str>>,
    pub source: TopicPartition,
    pub offset: Offset,
    /// The field `id`; empty if it cannot be read. So are the next three.
    pub id: String,
    /// The field `source`.
    pub event_source: String,
    /// The field `type`.
    pub event_type: String,
    /// The field `time`, as written.
    pub time: String,
    pub outcome: TracedOutcome,
}

/// What ingest did with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TracedOutcome {
    /// It was applied.
    Applied {
        /// Only the postings to the traced accounts.
        postings: Vec<TracedPosting>,
        /// A reward adjustment of one of the accounts.
        adjustment: Option<TracedAdjustment>,
        /// A new status of one of the accounts.
        status: Option<TracedStatus>,
    },
    /// It is identical to an event that was applied before.
    Duplicate,
    Rejected {
        code: String,
        reason: String,
    },
    /// None of its postings counts: their assets are not listed, or they are before the anchor.
    Ignored,
    /// It was gone when it was to be read, and a control event accepted its loss.
    Skipped,
}

/// A posting to one of the accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedPosting {
    pub account: Box<str>,
    pub at: AssetEpoch,
    /// In units, signed.
    pub delta: i128,
    /// How long it counts: the milliseconds before the end of the epoch.
    pub before_end_ms: u64,
    /// If the event was late: the closed epoch that its time belongs to.
    pub missed_epoch: Option<Epoch>,
    /// If the closed epochs that it missed are settled again: its time, in milliseconds before the end of the first of them.
    pub before_missed_end_ms: Option<u64>,
}

/// A reward adjustment of one of the accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedAdjustment {
    pub account: Box<str>,
    /// The epoch in whose settlement it counts.
    pub at: AssetEpoch,
    /// In units of the reward asset, signed.
    pub delta: i128,
    /// If the event was late: the closed epoch that its time belongs to.
    pub missed_epoch: Option<Epoch>,
}

/// A new status of one of the accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedStatus {
    pub account: Box<str>,
    pub status: Status,
    /// From when on, in milliseconds since 1970.
    pub time_ms: i64,
    /// The asset that it is for; `None` for all.
    pub asset: Option<Asset>,
}

/// The parts of an application that concern the accounts.
#[derive(Default)]
struct AppliedParts {
    postings: Vec<TracedPosting>,
    adjustment: Option<TracedAdjustment>,
    status: Option<TracedStatus>,
}

/// Traces `accounts`: their events in the order of partitions and offsets.
///
/// # Errors
/// A failure of the bus, or decisions that contradict one another.
pub fn read(
    bus: &dyn Log,
    point: &PointInTime,
    history: &History,
    accounts: &TracedAccounts,
) -> Result<Vec<TracedEvent>, AuditError> {
    let mut trace = Vec::new();
    for (source, end) in &point.ingested {
        let concerned = ConcernedAccounts(accounts);
        let mut identities = HashSet::new();
        let mut unreadable = false;
        let start = first_mark(bus, &point.decisions, *source)?;
        scan_range(bus, *source, &start, *end, |record| {
            if concerned.by(record.value).is_some() {
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
        let mut ingest = TracedIngest::new(*source, point, history, accounts)?;
        scan_range(bus, *source, &start, *end, |record| {
            let decoded = Decoded::read(record.value);
            let named = concerned.by(record.value);
            let matters = match decoded.identity() {
                Some(identity) => identities.contains(identity),
                None => named.is_some(),
            };
            if matters {
                let event = ingest.apply(record.offset, record.value, &decoded)?;
                if let (Some(event), Some(named)) = (event, named) {
                    trace.push(own_part(event, &named, accounts));
                }
            }
            Ok::<_, AuditError>(())
        })?;
    }
    Ok(trace)
}

/// An event without what its rejection says about another account.
fn own_part(mut event: TracedEvent, named: &NamedAccounts<'_>, accounts: &TracedAccounts) -> TracedEvent {
    event.accounts = named.among(accounts);
    if let TracedOutcome::Rejected { reason, .. } = &mut event.outcome
        && named.is_about_others(reason, accounts)
    {
        *reason = "a field of the other side of this event is wrong".into();
    }
    event
}

/// Finds the records that are about one of the accounts.
struct ConcernedAccounts<'a>(&'a TracedAccounts);

impl ConcernedAccounts<'_> {
    /// The accounts that a record names, if one of these is among them.
    fn by<'r>(&self, record: &'r [u8]) -> Option<NamedAccounts<'r>> {
        // The fields decide. They are read only if a name may be there at all, because most records are about others.
        if !self.may_be_in(record) {
            return None;
        }
        let named = NamedAccounts::of(record);
        named.any_of(self.0).then_some(named)
    }

    /// Whether the record may hold one of the names in any field. False only if it cannot.
    fn may_be_in(&self, record: &[u8]) -> bool {
        // A name may be written with escapes.
        if memchr::memchr(b'\\', record).is_some() {
            return true;
        }
        // All texts between two quotation marks, be they inside a string or between two strings.
        let mut start = 0;
        let mut quoted = memchr::memchr_iter(b'"', record).map(|end| {
            let text = record.get(start..end).unwrap_or_default();
            start = end + 1;
            text
        });
        quoted.any(|text| std::str::from_utf8(text).is_ok_and(|text| self.0.contains(text)))
    }
}

/// The seen events of one source partition that matter for the accounts.
type TracedSeenEvents = BTreeMap<[u8; 16], SeenEvent>;

/// The ingest state machine of one source partition.
struct TracedIngest<'a> {
    accounts: &'a TracedAccounts,
    history: &'a History,
    source: TopicPartition,
    ingest: Ingest,
    seen: TracedSeenEvents,
    outputs: Outputs,
}

impl<'a> TracedIngest<'a> {
    fn new(
        source: TopicPartition,
        point: &PointInTime,
        history: &'a History,
        accounts: &'a TracedAccounts,
    ) -> Result<Self, AuditError> {
        let one = Partitions::new(1).map_err(|error| AuditError::Decisions(error.to_string()))?;
        let mut ingest = Ingest::new(source, point.dedup_days, one, IngestState::default(), []);
        let mut outputs = Outputs::default();
        for decision in &point.decisions {
            // All decisions can be applied first, because each takes effect at an offset that it names.
            ingest.apply_decision(decision, Offset::START, None, &mut outputs)?;
        }
        outputs.clear();
        Ok(Self {
            accounts,
            history,
            source,
            ingest,
            seen: TracedSeenEvents::default(),
            outputs,
        })
    }

    /// Applies a record; `None` for a blank line.
    fn apply(
        &mut self,
        offset: Offset,
        value: &[u8],
        decoded: &Decoded<'_>,
    ) -> Result<Option<TracedEvent>, AuditError> {
        self.outputs.clear();
        let outcome = if self.ingest.skips(offset, &mut self.outputs)? {
            Some(TracedOutcome::Skipped)
        } else {
            self.outcome(offset, value, decoded)?
        };
        let Some(outcome) = outcome else { return Ok(None) };
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let envelope = match decoded {
            Decoded::Event(envelope, _) => Some(envelope),
            Decoded::Blank | Decoded::Rejected(_) => None,
        };
        let time = envelope.and_then(|envelope| serde_json::from_str::<String>(envelope.time).ok());
        Ok(Some(TracedEvent {
            accounts: Vec::new(),
            source: self.source,
            offset,
            id: text(envelope.map(|envelope| envelope.id.as_ref())),
            event_source: text(envelope.map(|envelope| envelope.source.as_ref())),
            event_type: text(envelope.map(|envelope| envelope.event_type.as_ref())),
            time: time.unwrap_or_default(),
            outcome,
        }))
    }

    /// What becomes of a record that is not skipped; `None` for a blank line.
    fn outcome(
        &mut self,
        offset: Offset,
        value: &[u8],
        decoded: &Decoded<'_>,
    ) -> Result<Option<TracedOutcome>, AuditError> {
        let before = self.ingest.state().counts;
        self.outputs.clear();
        self.ingest.begin_batch(offset);
        self.ingest
            .apply_record(offset, value, decoded, &mut self.seen, &mut self.outputs)?;
        self.ingest.end_batch(offset.next()?, &mut self.outputs)?;
        self.ingest.finish_blocks(&mut self.outputs);
        let after = self.ingest.state().counts;
        Ok(if after.dead_letters != before.dead_letters {
            Some(self.rejection())
        } else if after.duplicates > before.duplicates {
            Some(TracedOutcome::Duplicate)
        } else if after.applied > before.applied {
            Some(self.application()?)
        } else if after.ignored > before.ignored {
            Some(TracedOutcome::Ignored)
        } else {
            None
        })
    }

    /// The outcome of a record that is now a dead letter.
    fn rejection(&self) -> TracedOutcome {
        let letter = self.outputs.iter().find(|(to, ..)| to.topic == Topic::DeadLetters);
        let letter = letter.and_then(|(_, _, value)| read_data::<DeadLetter<'_>>(value).ok());
        let (code, reason) = letter
            .map(|letter| (letter.code.name().to_owned(), letter.reason.into_owned()))
            .unwrap_or_default();
        TracedOutcome::Rejected { code, reason }
    }

    /// The outcome of a record that was applied.
    fn application(&self) -> Result<TracedOutcome, AuditError> {
        let mut parts = AppliedParts::default();
        let mut late = BTreeMap::new();
        for (to, _, value) in self.outputs.iter() {
            match to.topic {
                Topic::LatePostings => {
                    if let Ok(posting) = read_data::<LatePosting<'_>>(value)
                        && self.accounts.contains(&posting.account)
                    {
                        let key = (posting.account.into_owned(), posting.asset, posting.applied_epoch);
                        late.insert(key, posting.missed_epoch);
                    }
                }
                Topic::Ledger => self.read_ledger(value, &mut parts)?,
                _ => {}
            }
        }
        let missed = |account: &str, at: AssetEpoch| {
            let asset = self.history.name(at.number())?;
            late.get(&(account.to_owned(), asset, at.epoch())).copied()
        };
        for posting in &mut parts.postings {
            posting.missed_epoch = missed(&posting.account, posting.at);
        }
        if let Some(adjustment) = &mut parts.adjustment {
            adjustment.missed_epoch = missed(&adjustment.account, adjustment.at);
        }
        let AppliedParts {
            postings,
            adjustment,
            status,
        } = parts;
        Ok(TracedOutcome::Applied {
            postings,
            adjustment,
            status,
        })
    }

    /// Adds what a ledger record holds of the traced accounts.
    fn read_ledger(&self, record: &[u8], parts: &mut AppliedParts) -> Result<(), AuditError> {
        let LedgerRecord::Block(mut block) = LedgerRecord::read(record)? else {
            return Ok(());
        };
        let is_traced = |account: &AccountName<'_>| self.accounts.contains(account.as_str());
        while let Some(entry) = block.next_entry()? {
            match entry {
                Entry::Posting(posting) if is_traced(&posting.account) => {
                    parts.postings.push(traced_posting(&posting, None));
                }
                Entry::Late(late) if is_traced(&late.posting.account) => {
                    let posting = traced_posting(&late.posting, Some(late.before_missed_end_ms));
                    parts.postings.push(posting);
                }
                Entry::Adjustment(adjustment) if is_traced(&adjustment.account) => {
                    parts.adjustment = Some(TracedAdjustment {
                        account: adjustment.account.as_str().into(),
                        at: adjustment.at,
                        delta: adjustment.delta,
                        missed_epoch: None,
                    });
                }
                Entry::Status(entry) if is_traced(&entry.account) => {
                    parts.status = Some(TracedStatus {
                        account: entry.account.as_str().into(),
                        status: entry.status,
                        time_ms: entry.time_ms,
                        asset: entry.asset,
                    });
                }
                Entry::Posting(_) | Entry::Late(_) | Entry::Adjustment(_) | Entry::Status(_) => {}
            }
        }
        Ok(())
    }
}

fn traced_posting(posting: &Posting<'_>, before_missed_end_ms: Option<u64>) -> TracedPosting {
    TracedPosting {
        account: posting.account.as_str().into(),
        at: posting.at,
        delta: posting.delta,
        before_end_ms: posting.before_end_ms,
        missed_epoch: None,
        before_missed_end_ms,
    }
}
