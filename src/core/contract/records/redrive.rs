use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::core::contract::records::envelope::{owned, write};
use crate::core::contract::rejection::Code;
use crate::core::contract::topic::Topic;
use crate::core::fault::Fault;
use crate::core::values::offset::Offset;

/// The `source` of every event that was a dead letter and is published again.
pub const REDRIVE_SOURCE: &str = "/softstake/redrive";

/// The extension attribute of such an event that names the dead letter. Names of attributes have only lower-case letters and digits.
pub const REDRIVE_ATTRIBUTE: &str = "redriveof";

/// The data of a `softstake.redrive.v1`: a dead letter was corrected, and its event published again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrive<'a> {
    /// The topic of the rejected record.
    pub topic: Topic,
    pub partition: u32,
    pub offset: Offset,
    /// Why it was rejected.
    pub code: Code,
    /// The `id` and `source` of the event that was published, in the same partition.
    #[serde(borrow)]
    pub event_id: Cow<'a, str>,
    #[serde(borrow)]
    pub event_source: Cow<'a, str>,
    /// The SHA-256 of the record that was published, in hexadecimal digits.
    #[serde(borrow)]
    pub record_sha256: Cow<'a, str>,
    /// When, by the clock of the command.
    #[serde(borrow)]
    pub redriven_at: Cow<'a, str>,
    /// Who did it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Cow<'a, str>>,
    /// Why.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
}

impl Redrive<'_> {
    /// Appends the record to `out`. Its id is that of the dead letter.
    ///
    /// # Errors
    /// None in practice.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let id = format!("{}:{}", self.topic.partition(self.partition), self.offset);
        write(out, "softstake.redrive.v1", &id, Some(&self.redriven_at), self)
    }

    #[must_use]
    pub fn into_owned(self) -> Redrive<'static> {
        Redrive {
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            code: self.code,
            event_id: owned(self.event_id),
            event_source: owned(self.event_source),
            record_sha256: owned(self.record_sha256),
            redriven_at: owned(self.redriven_at),
            by: self.by.map(owned),
            reason: self.reason.map(owned),
        }
    }
}
