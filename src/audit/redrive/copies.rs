//! Looks behind a dead letter for records of the same event.

use std::collections::{BTreeMap, HashMap};

use crate::audit::error::AuditError;
use crate::audit::redrive::letters::{DeadLetters, KnownLetter, LetterId};
use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, TopicPartition};
use crate::core::contract::decoded::Decoded;
use crate::core::contract::fingerprint;
use crate::core::contract::records::REDRIVE_SOURCE;
use crate::core::values::offset::Offset;

/// The events of one partition that are looked for.
#[derive(Debug, Default)]
pub struct CopySearch {
    /// The dead letter for each identity, whether it is the identity of a redriven event, and from where on it counts.
    wanted: HashMap<[u8; 16], (LetterId, bool, Offset)>,
    from: Option<Offset>,
}

/// A record of the same event that is not rejected, or not yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundCopy {
    /// The event was published again, as this record.
    Redriven { offset: Offset, record: Vec<u8> },
    /// Its producer has sent it again under its own `id`.
    SentAgain(Offset),
}

impl CopySearch {
    /// Looks for the event of a dead letter behind the newest of its dead letters.
    pub fn add(&mut self, letters: &DeadLetters, letter: &KnownLetter) {
        let newest = letters.of_event(letter).map(|letter| letter.id.offset).max();
        let from = newest.unwrap_or(letter.id.offset).saturating_add(1);
        for identity in letters.of_event(letter).filter_map(|letter| letter.event.identity()) {
            self.wanted.insert(identity, (letter.id, false, from));
        }
        self.add_redriven(letter.id, letter.first, from);
    }

    /// Looks only for the event that was published for a dead letter, from an offset on. `first`: the first dead letter of the event.
    pub fn add_redriven(&mut self, letter: LetterId, first: LetterId, from: Offset) {
        let redriven = fingerprint::identity(&first.to_string(), REDRIVE_SOURCE);
        self.wanted.insert(redriven, (letter, true, from));
        self.from = Some(self.from.map_or(from, |known| known.min(from)));
    }
}

/// Finds the copies of events that are on their topics already. A redriven event comes before one that was sent again.
///
/// # Errors
/// A failure of the bus.
pub fn find_copies(
    bus: &dyn Log,
    searches: &BTreeMap<TopicPartition, CopySearch>,
) -> Result<HashMap<LetterId, FoundCopy>, AuditError> {
    let mut found: HashMap<LetterId, FoundCopy> = HashMap::new();
    for (partition, search) in searches {
        let end = bus.readable_end(*partition)?;
        let from = search.from.unwrap_or(end).max(bus.start(*partition)?);
        scan_range(bus, *partition, &Mark::at(from), end, |record| {
            let decoded = Decoded::read(record.value);
            let wanted = decoded.identity().and_then(|identity| search.wanted.get(identity));
            if let Some((letter, is_redriven, from)) = wanted
                && record.offset >= *from
            {
                let is_known = matches!(found.get(letter), Some(FoundCopy::Redriven { .. }));
                if *is_redriven && !is_known {
                    let (offset, record) = (record.offset, record.value.to_vec());
                    found.insert(*letter, FoundCopy::Redriven { offset, record });
                } else if !is_known {
                    found.entry(*letter).or_insert(FoundCopy::SentAgain(record.offset));
                }
            }
            Ok::<_, AuditError>(())
        })?;
    }
    Ok(found)
}
