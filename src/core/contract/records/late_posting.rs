use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::core::contract::records::envelope::{owned, write};
use crate::core::fault::Fault;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// The data of a `softstake.late_posting.v1`: a posting that came after the cut of its epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatePosting<'a> {
    #[serde(borrow)]
    pub event_id: Cow<'a, str>,
    #[serde(borrow)]
    pub event_source: Cow<'a, str>,
    #[serde(borrow)]
    pub account: Cow<'a, str>,
    pub asset: Asset,
    /// The signed amount.
    #[serde(borrow)]
    pub delta: Cow<'a, str>,
    #[serde(borrow)]
    pub event_time: Cow<'a, str>,
    /// The closed epoch that its time lies in.
    pub missed_epoch: Epoch,
    /// The open epoch that it is applied to.
    pub applied_epoch: Epoch,
    /// `carry` or `forfeit`.
    #[serde(borrow)]
    pub policy: Cow<'a, str>,
}

impl LatePosting<'_> {
    /// Appends the record to `out`; `time` is the end of the epoch that the posting is applied to.
    ///
    /// # Errors
    /// None in practice.
    pub fn write(&self, out: &mut Vec<u8>, id: &str, time: &str) -> Result<(), Fault> {
        write(out, "softstake.late_posting.v1", id, Some(time), self)
    }

    #[must_use]
    pub fn into_owned(self) -> LatePosting<'static> {
        LatePosting {
            event_id: owned(self.event_id),
            event_source: owned(self.event_source),
            account: owned(self.account),
            asset: self.asset,
            delta: owned(self.delta),
            event_time: owned(self.event_time),
            missed_epoch: self.missed_epoch,
            applied_epoch: self.applied_epoch,
            policy: owned(self.policy),
        }
    }
}
