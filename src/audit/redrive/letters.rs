//! The dead letters of a bus, and their states.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::audit::error::AuditError;
use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, Topic, TopicPartition};
use crate::core::contract::fields;
use crate::core::contract::fields::{RawField, fields};
use crate::core::contract::fingerprint;
use crate::core::contract::records::{DeadLetter, REDRIVE_SOURCE, Redrive, read_data};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::offset::Offset;
use crate::core::values::time::TimeMs;

/// Which dead letter: the place of the rejected record. Its text is `exchange.deposits:3:18000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    pub partition: TopicPartition,
    pub offset: Offset,
}

impl LetterId {
    fn of(letter: &DeadLetter<'_>) -> Self {
        Self {
            partition: letter.topic.partition(letter.partition),
            offset: letter.offset,
        }
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

impl FromStr for LetterId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (partition, offset) = text.rsplit_once(':').ok_or(())?;
        let id = Self {
            partition: TopicPartition::parse(partition).ok_or(())?,
            offset: offset.parse().map_err(|_| ())?,
        };
        // One place has one text.
        if id.to_string() == text { Ok(id) } else { Err(()) }
    }
}

/// What can be read of a rejected event; its other fields may be wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RejectedEvent {
    pub id: Option<String>,
    pub source: Option<String>,
    pub event_type: Option<String>,
}

fields!(RejectedFields {
    id,
    source,
    event_type = "type"
});

impl RejectedEvent {
    fn of(record: &[u8]) -> Self {
        let text = std::str::from_utf8(record).unwrap_or_default();
        let fields: RejectedFields<'_> = fields::record(text).unwrap_or_default();
        let text = |field: RawField<'_>, name| fields::text(field, name).ok().map(Cow::into_owned);
        Self {
            id: text(fields.id, "id"),
            source: text(fields.source, "source"),
            event_type: text(fields.event_type, "type"),
        }
    }

    /// The identity of the event, if both of its parts can be read.
    #[must_use]
    pub fn identity(&self) -> Option<[u8; 16]> {
        Some(fingerprint::identity(self.id.as_ref()?, self.source.as_ref()?))
    }
}

/// What became of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterState {
    Open,
    /// Its event was published again.
    Redriven(Box<Redrive<'static>>),
    /// The same event was rejected again later. That dead letter is to be corrected.
    RejectedAgain(LetterId),
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownLetter {
    pub id: LetterId,
    pub code: Code,
    pub reason: String,
    /// The time of the event, if it can be read.
    pub time: Option<TimeMs>,
    pub event: RejectedEvent,
    /// The first dead letter of the same event. It is the `id` under which the event is published again.
    pub first: LetterId,
    pub state: LetterState,
}

impl KnownLetter {
    /// The field that the reason names first.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        let (_, rest) = self.reason.split_once('`')?;
        rest.split_once('`').map(|(field, _)| field)
    }
}

/// All dead letters of a bus, by their ids.
#[derive(Debug, Default)]
pub struct DeadLetters {
    letters: BTreeMap<LetterId, KnownLetter>,
    /// The dead letters of each event that was rejected more than once, by the first one.
    events: HashMap<LetterId, BTreeSet<LetterId>>,
    /// Sentences about records that cannot be read.
    pub unreadable: Vec<String>,
}

#[derive(Deserialize)]
struct LetterRecord<'a> {
    #[serde(borrow, default)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: DeadLetter<'a>,
}

impl DeadLetters {
    /// Reads the dead letters, and the notes about those that were published again.
    ///
    /// # Errors
    /// A failure of the bus.
    pub fn read(bus: &dyn Log) -> Result<Self, AuditError> {
        let mut found = Self::default();
        // The notes come first: a dead letter that comes meanwhile is open.
        let notes = found.read_notes(bus)?;
        let mut keys = BTreeMap::new();
        for number in bus.partitions(Topic::DeadLetters)? {
            let partition = Topic::DeadLetters.partition(number);
            let start = Mark::at(bus.start(partition)?);
            scan_range(bus, partition, &start, bus.readable_end(partition)?, |record| {
                if !record.value.is_empty() {
                    match serde_json::from_slice(record.value) {
                        Ok(letter) => found.add(&letter, &mut keys),
                        Err(error) => found.unreadable.push(format!(
                            "the record at offset {} of {partition} is no dead letter: {error}",
                            record.offset
                        )),
                    }
                }
                Ok::<_, AuditError>(())
            })?;
        }
        found.join_events(&keys);
        found.set_states(notes);
        Ok(found)
    }

    fn read_notes(&mut self, bus: &dyn Log) -> Result<HashMap<LetterId, Redrive<'static>>, AuditError> {
        let mut notes = HashMap::new();
        for number in bus.partitions(Topic::Redrives)? {
            let partition = Topic::Redrives.partition(number);
            let start = Mark::at(bus.start(partition)?);
            scan_range(bus, partition, &start, bus.readable_end(partition)?, |record| {
                if record.value.is_empty() {
                    return Ok(());
                }
                match read_data::<Redrive<'_>>(record.value) {
                    Ok(note) => {
                        let id = LetterId {
                            partition: note.topic.partition(note.partition),
                            offset: note.offset,
                        };
                        notes.entry(id).or_insert_with(|| note.into_owned());
                    }
                    Err(error) => self.unreadable.push(format!(
                        "the record at offset {} of {partition} is no note of `softstake redrive`: {error}",
                        record.offset
                    )),
                }
                Ok::<_, AuditError>(())
            })?;
        }
        Ok(notes)
    }

    /// Adds a dead letter, and notes in `keys` which event it is of.
    fn add(&mut self, record: &LetterRecord<'_>, keys: &mut BTreeMap<LetterId, [u8; 16]>) {
        let (letter, id) = (&record.data, LetterId::of(&record.data));
        let rejected = letter.record().unwrap_or_default();
        let event = RejectedEvent::of(&rejected);
        // Without an identity, only the same bytes are the same event.
        let key = event.identity().unwrap_or_else(|| bytes_key(letter, &rejected));
        keys.insert(id, key);
        let time = record.time.as_deref().and_then(|time| TimeMs::parse(time).ok());
        let letter = KnownLetter {
            id,
            code: letter.code,
            reason: letter.reason.clone().into_owned(),
            time,
            event,
            first: id,
            state: LetterState::Open,
        };
        self.letters.insert(id, letter);
    }

    /// Finds the dead letters of each event.
    fn join_events(&mut self, keys: &BTreeMap<LetterId, [u8; 16]>) {
        let mut first_of: HashMap<(TopicPartition, [u8; 16]), LetterId> = HashMap::new();
        let mut firsts: BTreeMap<LetterId, LetterId> = BTreeMap::new();
        for (id, key) in keys {
            let same = *first_of.entry((id.partition, *key)).or_insert(*id);
            // An event that was published again, and rejected again, has the first one's id.
            let letter = self.letters.get(id);
            let before = letter.and_then(|letter| redriven_from(*id, &letter.event));
            let first = before.map_or(same, |before| firsts.get(&before).copied().unwrap_or(before));
            firsts.insert(*id, first);
        }
        for (id, first) in firsts {
            if let Some(letter) = self.letters.get_mut(&id) {
                letter.first = first;
            }
            self.events.entry(first).or_default().insert(id);
        }
        self.events.retain(|first, all| all.len() > 1 || !all.contains(first));
    }

    fn set_states(&mut self, mut notes: HashMap<LetterId, Redrive<'static>>) {
        for letter in self.letters.values_mut() {
            let newest = self.events.get(&letter.first).and_then(BTreeSet::last);
            letter.state = match (notes.remove(&letter.id), newest) {
                (Some(note), _) => LetterState::Redriven(Box::new(note)),
                (None, Some(newest)) if *newest > letter.id => LetterState::RejectedAgain(*newest),
                (None, _) => LetterState::Open,
            };
        }
    }

    /// The dead letter of a rejected record.
    #[must_use]
    pub fn get(&self, id: LetterId) -> Option<&KnownLetter> {
        self.letters.get(&id)
    }

    /// All dead letters, in the order of partitions and offsets.
    pub fn iter(&self) -> impl Iterator<Item = &KnownLetter> {
        self.letters.values()
    }

    /// All dead letters of the event that a dead letter is of.
    pub fn of_event<'s>(&'s self, letter: &'s KnownLetter) -> impl Iterator<Item = &'s KnownLetter> {
        let several = self.events.get(&letter.first);
        let several = several.into_iter().flatten().filter_map(|id| self.letters.get(id));
        several.chain((!self.events.contains_key(&letter.first)).then_some(letter))
    }

    /// Calls `take` with those dead letters whose payload is wanted.
    ///
    /// # Errors
    /// A failure of the bus, or the error that `take` returns.
    pub fn payloads<E: From<AuditError>>(
        bus: &dyn Log,
        wanted: &BTreeSet<LetterId>,
        mut take: impl FnMut(LetterId, &DeadLetter<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let read = |error| E::from(AuditError::Read(error));
        for number in bus.partitions(Topic::DeadLetters).map_err(read)? {
            let partition = Topic::DeadLetters.partition(number);
            let start = Mark::at(bus.start(partition).map_err(read)?);
            let end = bus.readable_end(partition).map_err(read)?;
            let mut taken = Ok(());
            scan_range(bus, partition, &start, end, |record| {
                if taken.is_ok()
                    && let Ok(letter) = read_data::<DeadLetter<'_>>(record.value)
                    && wanted.contains(&LetterId::of(&letter))
                {
                    taken = take(LetterId::of(&letter), &letter);
                }
                Ok::<_, AuditError>(())
            })?;
            taken?;
        }
        Ok(())
    }
}

/// Why the records at these places were rejected, as far as they were. Reads the dead letters from `marks` on, or from their start.
///
/// # Errors
/// A failure of the bus.
pub fn outcome_of(
    bus: &dyn Log,
    marks: &BTreeMap<u32, Offset>,
    wanted: &BTreeSet<LetterId>,
) -> Result<BTreeMap<LetterId, Rejection>, AuditError> {
    let mut rejected = BTreeMap::new();
    for number in bus.partitions(Topic::DeadLetters)? {
        let partition = Topic::DeadLetters.partition(number);
        let start = match marks.get(&number) {
            Some(mark) => *mark,
            None => bus.start(partition)?,
        };
        scan_range(
            bus,
            partition,
            &Mark::at(start),
            bus.readable_end(partition)?,
            |record| {
                if let Ok(letter) = read_data::<DeadLetter<'_>>(record.value)
                    && wanted.contains(&LetterId::of(&letter))
                {
                    rejected.insert(LetterId::of(&letter), letter.code.because(letter.reason));
                }
                Ok::<_, AuditError>(())
            },
        )?;
    }
    Ok(rejected)
}

/// The first dead letter of an event that was published again and rejected again.
fn redriven_from(id: LetterId, event: &RejectedEvent) -> Option<LetterId> {
    if event.source.as_deref() != Some(REDRIVE_SOURCE) {
        return None;
    }
    let before: LetterId = event.id.as_deref()?.parse().ok()?;
    (before.partition == id.partition && before.offset < id.offset).then_some(before)
}

fn bytes_key(letter: &DeadLetter<'_>, rejected: &[u8]) -> [u8; 16] {
    let whole = letter
        .payload_sha256
        .as_deref()
        .and_then(|digest| hex::decode(digest).ok());
    let digest = whole.unwrap_or_else(|| Sha256::digest(rejected).to_vec());
    digest.first_chunk().copied().unwrap_or_default()
}
