//! The records of the output topics (contract, section 6).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::core::contract::appends::Outputs;
use crate::core::contract::decision::Offsets;
use crate::core::contract::rejection::Rejection;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::fault::Fault;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::time::TimeMs;

/// The `source` of all our events.
const SOURCE: &str = "/softstake";

#[derive(Serialize)]
struct Record<'a, D> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<&'a str>,
    data: &'a D,
}

fn write<D: Serialize>(
    out: &mut Vec<u8>,
    kind: &'static str,
    id: &str,
    time: Option<&str>,
    data: &D,
) -> Result<(), Fault> {
    let record = Record {
        specversion: "1.0",
        id,
        source: SOURCE,
        kind,
        time,
        data,
    };
    serde_json::to_writer(out, &record).map_err(|error| Fault::Undecodable {
        what: "an output record",
        why: error.to_string(),
    })
}

/// A moment given in milliseconds, as our outputs write it.
#[must_use]
pub fn timestamp(ms: i128) -> String {
    // Epoch ends of accepted postings lie within a few centuries of year 9999, which an i64 holds many times over.
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    let mut text = Vec::with_capacity(24);
    TimeMs::from(ms).write(&mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// The data of a `softstake.distribution.v1`.
#[derive(Debug, Serialize)]
pub struct Distribution<'a> {
    /// Who is paid.
    pub account: &'a str,
    /// In what.
    pub asset: Asset,
    /// For which epoch.
    pub epoch: Epoch,
    /// When it started.
    pub epoch_start: &'a str,
    /// When it ended.
    pub epoch_end: &'a str,
    /// How much.
    pub amount: &'a str,
    /// S, in asset times seconds.
    pub balance_seconds: &'a str,
    /// S by the epoch's length, cut.
    pub average_balance: &'a str,
    /// The programme in force, by its first epoch.
    pub programme_from_epoch: Epoch,
}

impl Distribution<'_> {
    /// Appends the record whose id is `id` to `out`.
    ///
    /// # Errors
    /// None in practice.
    pub fn write(&self, out: &mut Vec<u8>, id: &str) -> Result<(), Fault> {
        write(out, "softstake.distribution.v1", id, Some(self.epoch_end), self)
    }
}

/// Why accounts with a balance did not earn: how many for each first reason.
#[derive(Debug, Serialize)]
pub struct Ineligible {
    /// Barred by their status.
    pub status: u64,
    /// S is negative.
    pub negative: u64,
    /// S is below the minimum.
    pub below_minimum: u64,
}

/// The data of a `softstake.epoch_settled.v1`: the seal.
#[derive(Debug, Serialize)]
pub struct Seal<'a> {
    /// Which asset.
    pub asset: Asset,
    /// Which epoch.
    pub epoch: Epoch,
    /// When it started.
    pub epoch_start: &'a str,
    /// When it ended.
    pub epoch_end: &'a str,
    /// `pool` or `apr`.
    pub mode: &'static str,
    /// P: the pool given and the validators' rewards.
    pub reward_pool: String,
    /// The exchange's share.
    pub commission: String,
    /// Dust from the epoch before.
    pub carried_in: String,
    /// Dust for the next.
    pub carried_out: String,
    /// Sum of the shares.
    pub rewarded: String,
    /// Sum of the distributions.
    pub distributed: String,
    /// Withheld below `min_payout`, before.
    pub withheld_before: String,
    /// The same, after.
    pub withheld_after: String,
    /// How many distributions.
    pub distributions: u64,
    /// Who did not earn.
    pub ineligible: Ineligible,
    /// Sum of what counted, in asset times seconds.
    pub eligible_balance_seconds: String,
    /// Sum of the eligible accounts' balances at the end.
    pub closing_balance: String,
    /// The programme in force, by its first epoch.
    pub programme_from_epoch: Epoch,
    /// The cut.
    pub cut: &'a Offsets,
    /// The Merkle root of the distributions, in hexadecimal.
    pub root: String,
}

impl Seal<'_> {
    /// Appends the record to `out`.
    ///
    /// # Errors
    /// None in practice.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        write(
            out,
            "softstake.epoch_settled.v1",
            &format!("{}:{}", self.asset, self.epoch),
            Some(self.epoch_end),
            self,
        )
    }
}

/// A dead letter.
#[derive(Debug)]
pub struct DeadLetter<'a> {
    /// Where the refused record stands.
    pub from: TopicPartition,
    /// At which offset.
    pub offset: u64,
    /// The record.
    pub payload: &'a [u8],
    /// Why it was refused.
    pub rejection: &'a Rejection,
    /// The refused event's own time, if it has one that can be read.
    pub time: Option<TimeMs>,
}

#[derive(Serialize)]
struct DeadLetterData<'a> {
    code: &'static str,
    reason: &'a str,
    topic: &'static str,
    partition: u32,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl DeadLetter<'_> {
    /// Its id, which is its key too: `topic:partition:offset`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}:{}", self.from, self.offset)
    }

    /// Puts the record on the dead letters, under its id.
    ///
    /// # Errors
    /// None in practice.
    pub fn bury(&self, out: &mut Outputs) -> Result<(), Fault> {
        let id = self.id();
        let mut written = Ok(());
        out.push_with(Topic::DeadLetters.partition(0), id.as_bytes(), |record| {
            written = self.write(record, &id)
        });
        written
    }

    fn write(&self, out: &mut Vec<u8>, id: &str) -> Result<(), Fault> {
        let payload = std::str::from_utf8(self.payload).ok();
        let data = DeadLetterData {
            code: self.rejection.code.name(),
            reason: &self.rejection.reason,
            topic: self.from.topic.name(),
            partition: self.from.partition,
            offset: self.offset,
            payload,
            payload_base64: payload.is_none().then(|| STANDARD.encode(self.payload)),
        };
        let time = self.time.map(|time| timestamp(i128::from(time.get())));
        write(out, "softstake.dead_letter.v1", id, time.as_deref(), &data)
    }
}

/// The data of a `softstake.late_posting.v1`.
#[derive(Debug, Serialize)]
pub struct LatePosting<'a> {
    /// The event's id.
    pub event_id: &'a str,
    /// The event's source.
    pub event_source: &'a str,
    /// Whose posting.
    pub account: &'a str,
    /// Of what.
    pub asset: Asset,
    /// How much, signed.
    pub delta: &'a str,
    /// When it happened.
    pub event_time: &'a str,
    /// The epoch it belongs to, which is closed.
    pub missed_epoch: Epoch,
    /// The epoch it goes into.
    pub applied_epoch: Epoch,
    /// What becomes of its past.
    pub policy: &'static str,
}

impl LatePosting<'_> {
    /// Appends the record to `out`; `time` is the end of the epoch it goes into.
    ///
    /// # Errors
    /// None in practice.
    pub fn write(&self, out: &mut Vec<u8>, id: &str, time: &str) -> Result<(), Fault> {
        write(out, "softstake.late_posting.v1", id, Some(time), self)
    }
}
