use std::borrow::Cow;

use crate::core::contract::envelope::Envelope;
use crate::core::contract::fields;
use crate::core::contract::fields::{RawField, fields};
use crate::core::contract::fingerprint;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::amount::ExactAmount;
use crate::core::values::time::TimeMs;

/// A `payout.executed.v1`: the payout service says that it credited a distribution. Softstake only reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutExecuted {
    /// Of `id` and `source`.
    pub identity: [u8; 16],
    /// Of type, time and data. Two events with one identity must have the same.
    pub fingerprint: u64,
    /// The id of the distribution.
    pub distribution: String,
    pub amount: ExactAmount,
    /// The amount as the record has it.
    pub written_amount: String,
    pub credited_at: TimeMs,
}

fields!(ExecutedFields {
    distribution,
    amount,
    credited_at
});

impl PayoutExecuted {
    pub const TYPE: &'static str = "payout.executed.v1";

    /// Reads a record. Its envelope is that of every event, so a field that is given twice is refused.
    ///
    /// # Errors
    /// A sentence that names the wrong field, and the reason.
    pub fn read(record: &[u8]) -> Result<Self, Rejection> {
        let envelope = Envelope::read(record)?;
        if envelope.event_type != Self::TYPE {
            return Err(Code::UnsupportedType.because(format!(
                "`type` is {}, and not {}",
                envelope.event_type,
                Self::TYPE
            )));
        }
        fields::time(envelope.time, "time")?;
        let data: ExecutedFields<'_> = fields::object(envelope.data, "data")?;
        let distribution = filled(data.distribution, "data.distribution")?.into_owned();
        let written_amount = filled(data.amount, "data.amount")?.into_owned();
        let amount = ExactAmount::parse(&written_amount).ok_or_else(|| {
            Code::InvalidAmount.because(format!(
                "`data.amount` is {written_amount}, which is no plain decimal number of at most 18 decimals"
            ))
        })?;
        let credited_at = filled(data.credited_at, "data.credited_at")?;
        let credited_at = TimeMs::parse(&credited_at)
            .map_err(|error| Code::InvalidTime.because(format!("`data.credited_at` is {credited_at}: {error}")))?;
        Ok(Self {
            identity: fingerprint::identity(&envelope.id, &envelope.source),
            fingerprint: envelope.fingerprint,
            distribution,
            amount,
            written_amount,
            credited_at,
        })
    }
}

/// A required string that is not empty.
fn filled<'a>(field: RawField<'a>, name: &str) -> Result<Cow<'a, str>, Rejection> {
    let text = fields::text(field, name)?;
    if text.is_empty() {
        return Err(Code::InvalidEvent.because(format!("`{name}` is empty")));
    }
    Ok(text)
}
