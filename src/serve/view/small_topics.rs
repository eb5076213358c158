//! Seals, decisions, dead letters and late postings on their way into the view: one batch for each part of a partition that was read.

use std::collections::BTreeMap;

use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};

use crate::bus::{Batch, Record, Topic, TopicPartition};
use crate::core::contract::decision::Decision;
use crate::core::contract::records::{DeadLetter, LatePosting, Seal, read_data};
use crate::core::contract::rejection::Code;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;
use crate::core::values::time::TimeMs;
use crate::serve::view::catalogue::ViewCatalogue;
use crate::serve::view::keys;

/// The most bytes of a rejected record that are kept.
const PAYLOAD_BYTES: usize = 4 << 10;

/// A dead letter as the view keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLetter {
    pub topic: Topic,
    pub partition: u32,
    pub offset: Offset,
    pub code: Code,
    pub reason: String,
    /// The rejected event's own time, if it could be read.
    pub time: Option<String>,
    /// The rejected record as text, or its start. `None` if it is no text.
    pub payload: Option<String>,
    /// The rejected record, or its start, if it is no text.
    pub payload_bytes: Option<Vec<u8>>,
    /// Whether the record is longer than what is kept.
    pub payload_cut: bool,
}

/// A late posting as the view keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLatePosting {
    pub event_id: String,
    pub event_source: String,
    pub account: String,
    pub asset: Asset,
    pub delta: String,
    pub event_time: String,
    pub missed_epoch: Epoch,
    pub applied_epoch: Epoch,
    pub policy: String,
    /// Of the report.
    pub partition: u32,
    pub offset: Offset,
}

/// How many dead letters there are, by topic and code.
pub(super) type LetterCounts = BTreeMap<(u8, u8), u64>;
/// How many late postings there are, by asset and missed epoch.
pub(super) type LateCounts = BTreeMap<(Asset, Epoch), u64>;

/// What the small topics add up to. A copy is changed, and takes the place of the other when the batch is committed.
#[derive(Debug, Clone, Default)]
pub(super) struct SmallTotals {
    pub(super) catalogue: ViewCatalogue,
    pub(super) letters: LetterCounts,
    pub(super) late: LateCounts,
}

/// A batch that is being made of records of one partition.
pub(super) struct SmallBatch<'a> {
    pub(super) totals: &'a mut SmallTotals,
    pub(super) batch: WriteBatch,
    /// Records that no Softstake wrote: their offsets, and why.
    pub(super) unreadable: Vec<(Offset, String)>,
}

impl<'a> SmallBatch<'a> {
    pub(super) fn new(totals: &'a mut SmallTotals) -> Self {
        Self {
            totals,
            batch: WriteBatch::default(),
            unreadable: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, partition: TopicPartition, records: &Batch) {
        for record in records.iter().filter(|record| !record.value.is_empty()) {
            let added = match partition.topic {
                Topic::Decisions => self.decision(&record),
                Topic::Epochs => self.seal(&record),
                Topic::DeadLetters => self.letter(partition, &record),
                _ => self.late(partition, &record),
            };
            if let Err(why) = added {
                self.unreadable.push((record.offset, why));
            }
        }
    }

    fn decision(&mut self, record: &Record<'_>) -> Result<(), String> {
        let decision = Decision::read(record.value).map_err(|fault| fault.to_string())?;
        self.batch.put(keys::decision(record.offset), record.value);
        self.totals.catalogue.add(&decision);
        Ok(())
    }

    fn seal(&mut self, record: &Record<'_>) -> Result<(), String> {
        let seal: Seal<'_> = read_data(record.value).map_err(|error| error.to_string())?;
        self.batch.put(keys::seal(seal.asset, seal.epoch), record.value);
        self.totals.catalogue.seal(seal.asset, seal.epoch);
        Ok(())
    }

    fn letter(&mut self, partition: TopicPartition, record: &Record<'_>) -> Result<(), String> {
        #[derive(Deserialize)]
        struct TimedLetter<'a> {
            time: Option<String>,
            #[serde(borrow)]
            data: DeadLetter<'a>,
        }
        let TimedLetter { time, data } = serde_json::from_slice(record.value).map_err(|error| error.to_string())?;
        let payload = data.record().unwrap_or_default();
        let cut = start_of(&payload);
        let text = match (&data.payload, std::str::from_utf8(cut)) {
            (Some(_), Ok(text)) => Some(text.to_owned()),
            _ => None,
        };
        let kept = KeptLetter {
            topic: data.topic,
            partition: data.partition,
            offset: data.offset,
            code: data.code,
            reason: data.reason.clone().into_owned(),
            time,
            payload_bytes: text.is_none().then(|| cut.to_vec()),
            payload: text,
            payload_cut: data.payload_bytes.is_some() || cut.len() < payload.len(),
        };
        let value = postcard::to_stdvec(&kept).map_err(|error| error.to_string())?;
        let (topic, code) = (kept.topic as u8, code_number(kept.code));
        let key = keys::letter(partition, record.offset);
        let place = key.get(1..).unwrap_or_default();
        self.batch
            .put([&keys::letters_by_code(topic, code).0[..], place].concat(), b"");
        self.batch.put(&key, value);
        let count = self.totals.letters.entry((topic, code)).or_default();
        *count = count.saturating_add(1);
        self.batch.put(keys::letter_count(topic, code), count.to_be_bytes());
        Ok(())
    }

    fn late(&mut self, partition: TopicPartition, record: &Record<'_>) -> Result<(), String> {
        #[derive(Deserialize)]
        struct TimedPosting<'a> {
            time: &'a str,
            #[serde(borrow)]
            data: LatePosting<'a>,
        }
        let TimedPosting { time, data } = serde_json::from_slice(record.value).map_err(|error| error.to_string())?;
        let time_ms = TimeMs::parse(time).map_err(|error| format!("`time` {error}"))?.get();
        if data.account.contains('\0') {
            return Err("`account` has a zero byte".into());
        }
        let kept = KeptLatePosting {
            event_id: data.event_id.into_owned(),
            event_source: data.event_source.into_owned(),
            account: data.account.into_owned(),
            asset: data.asset,
            delta: data.delta.into_owned(),
            event_time: data.event_time.into_owned(),
            missed_epoch: data.missed_epoch,
            applied_epoch: data.applied_epoch,
            policy: data.policy.into_owned(),
            partition: partition.partition,
            offset: record.offset,
        };
        let value = postcard::to_stdvec(&kept).map_err(|error| error.to_string())?;
        for table in [
            keys::late_postings(),
            keys::late_by_account(&kept.account),
            keys::late_by_asset(kept.asset),
        ] {
            self.batch
                .put(keys::late_place(table, time_ms, partition, record.offset), &value);
        }
        let count = self.totals.late.entry((kept.asset, kept.missed_epoch)).or_default();
        *count = count.saturating_add(1);
        self.batch
            .put(keys::late_count(kept.asset, kept.missed_epoch), count.to_be_bytes());
        Ok(())
    }
}

/// The first bytes of a record; of a text, whole characters.
fn start_of(payload: &[u8]) -> &[u8] {
    let cut = payload.get(..PAYLOAD_BYTES).unwrap_or(payload);
    if cut.len() == payload.len() || std::str::from_utf8(payload).is_err() {
        return cut;
    }
    // The text is UTF-8, so only a character at the end may be torn.
    match std::str::from_utf8(cut) {
        Ok(_) => cut,
        Err(error) => cut.get(..error.valid_up_to()).unwrap_or(cut),
    }
}

/// The number of a code in keys: its index among all codes.
pub(super) fn code_number(code: Code) -> u8 {
    let index = Code::ALL.iter().position(|known| *known == code);
    index.and_then(|index| u8::try_from(index).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_text_has_whole_characters() {
        assert_eq!(start_of(b"abc"), b"abc");
        let long = "ü".repeat(PAYLOAD_BYTES);
        assert_eq!(start_of(long.as_bytes()).len(), PAYLOAD_BYTES);
        let odd = format!("a{long}");
        assert_eq!(start_of(odd.as_bytes()).len(), PAYLOAD_BYTES - 1);
        assert_eq!(start_of(&[0xff; 5000]).len(), PAYLOAD_BYTES);
    }

    #[test]
    fn every_code_has_a_number() {
        let numbers: Vec<u8> = Code::ALL.into_iter().map(code_number).collect();
        assert_eq!(numbers, (0..16).collect::<Vec<u8>>());
    }
}
