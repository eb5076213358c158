use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

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
    /// The rejected record, if it is UTF-8.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Cow<'a, str>>,
    /// The rejected record, if it is not UTF-8.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<Cow<'a, str>>,
}

impl<'a> DeadLetter<'a> {
    /// The dead letter of the record at `offset` of `input`.
    #[must_use]
    pub fn new(input: TopicPartition, offset: Offset, record: &'a [u8], rejection: &'a Rejection) -> Self {
        let payload = std::str::from_utf8(record).ok();
        Self {
            code: rejection.code,
            reason: Cow::Borrowed(&rejection.reason),
            topic: input.topic,
            partition: input.partition,
            offset,
            payload: payload.map(Cow::Borrowed),
            payload_base64: payload.is_none().then(|| Cow::Owned(STANDARD.encode(record))),
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
        }
    }
}
