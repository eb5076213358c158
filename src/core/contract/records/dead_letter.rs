use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::contract::appends::Outputs;
use crate::core::contract::records::envelope::{owned, write};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::fault::Fault;
use crate::core::values::offset::Offset;
use crate::core::values::time::{TimeMs, timestamp};

/// The data of a `softstake.dead_letter.v1`: a rejected record, and why it was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter<'a> {
    pub code: Code,
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// The topic of the rejected record.
    pub topic: Topic,
    pub partition: u32,
    pub offset: Offset,
    /// The rejected record, if it is UTF-8 and this is not longer than base64.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Cow<'a, str>>,
    /// Otherwise the rejected record, or its first [`CUT_BYTES`] if it is too large for a dead letter.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<Cow<'a, str>>,
    /// The length of a record that was cut, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_bytes: Option<u64>,
    /// The SHA-256 of a record that was cut, in hexadecimal digits.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload_sha256: Option<Cow<'a, str>>,
}

/// A record whose shorter form is longer than this is cut. So a dead letter always fits its topic, which accepts 16 MiB.
const LONGEST_PAYLOAD: usize = 12 << 20;
/// How much of a record is kept that is cut.
const CUT_BYTES: usize = 1 << 20;

/// The length of a text as a JSON string, without its quotation marks. As `serde_json` writes it.
fn escaped_len(text: &str) -> usize {
    let len = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(len).sum()
}

impl<'a> DeadLetter<'a> {
    /// The dead letter of the record at `offset` of `input`.
    #[must_use]
    pub fn new(input: TopicPartition, offset: Offset, record: &'a [u8], rejection: &'a Rejection) -> Self {
        let in_base64 = record.len().div_ceil(3) * 4;
        let text = std::str::from_utf8(record).ok();
        let text = text.filter(|text| escaped_len(text) <= in_base64);
        let len = text.map_or(in_base64, escaped_len);
        let cut = record.get(..CUT_BYTES).filter(|_| len > LONGEST_PAYLOAD);
        let text = text.filter(|_| cut.is_none());
        let encoded = || Cow::Owned(STANDARD.encode(cut.unwrap_or(record)));
        Self {
            code: rejection.code,
            reason: Cow::Borrowed(&rejection.reason),
            topic: input.topic,
            partition: input.partition,
            offset,
            payload: text.map(Cow::Borrowed),
            payload_base64: text.is_none().then(encoded),
            payload_bytes: cut.map(|_| record.len() as u64),
            payload_sha256: cut.map(|_| hex::encode(Sha256::digest(record)).into()),
        }
    }

    /// The bytes of the rejected record, or of its start if it was cut; `None` if there are none that can be read.
    #[must_use]
    pub fn record(&self) -> Option<Cow<'_, [u8]>> {
        match (&self.payload, &self.payload_base64) {
            (Some(text), _) => Some(Cow::Borrowed(text.as_bytes())),
            (None, Some(encoded)) => STANDARD.decode(encoded.as_bytes()).ok().map(Cow::Owned),
            (None, None) => None,
        }
    }

    /// Appends the record to the dead letters. Its id and its key are `topic:partition:offset`.
    ///
    /// `time` is the rejected event's own time, if it can be read.
    ///
    /// # Errors
    /// None in practice.
    pub fn append(&self, time: Option<TimeMs>, out: &mut Outputs) -> Result<(), Fault> {
        let id = format!("{}:{}", self.topic.partition(self.partition), self.offset);
        let time = time.map(|time| timestamp(i128::from(time.get())));
        let mut written = Ok(());
        out.push_with(Topic::DeadLetters.partition(0), id.as_bytes(), |record| {
            written = write(record, "softstake.dead_letter.v1", &id, time.as_deref(), self);
        });
        written
    }

    #[must_use]
    pub fn into_owned(self) -> DeadLetter<'static> {
        DeadLetter {
            code: self.code,
            reason: owned(self.reason),
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            payload: self.payload.map(owned),
            payload_base64: self.payload_base64.map(owned),
            payload_bytes: self.payload_bytes,
            payload_sha256: self.payload_sha256.map(owned),
        }
    }
}
