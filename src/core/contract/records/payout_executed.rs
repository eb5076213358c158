use serde_json::Value;

use crate::core::values::amount::ExactAmount;
use crate::core::values::time::TimeMs;

/// A `payout.executed.v1`: the payout service says that it credited a distribution. Softstake only reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutExecuted {
    pub id: String,
    pub source: String,
    /// The id of the distribution.
    pub distribution: String,
    pub amount: ExactAmount,
    /// The amount as the record has it.
    pub written_amount: String,
    pub credited_at: TimeMs,
}

impl PayoutExecuted {
    pub const TYPE: &'static str = "payout.executed.v1";

    /// Reads a record.
    ///
    /// # Errors
    /// A sentence that names the wrong field, and the reason.
    pub fn read(record: &[u8]) -> Result<Self, String> {
        let event: Value = serde_json::from_slice(record).map_err(|error| format!("no JSON: {error}"))?;
        let text = |pointer: &str| {
            let value = event.pointer(pointer).and_then(Value::as_str);
            let name = pointer.trim_start_matches('/').replace('/', ".");
            value
                .filter(|text| !text.is_empty())
                .ok_or_else(|| format!("`{name}` is missing, or no text"))
        };
        let event_type = text("/type")?;
        if event_type != Self::TYPE {
            return Err(format!("`type` is {event_type}, and not {}", Self::TYPE));
        }
        let (id, source) = (text("/id")?, text("/source")?);
        let credited_at = text("/data/credited_at")?;
        let credited_at =
            TimeMs::parse(credited_at).map_err(|error| format!("`data.credited_at` is {credited_at}: {error}"))?;
        let written_amount = text("/data/amount")?;
        let amount = ExactAmount::parse(written_amount).ok_or_else(|| {
            format!("`data.amount` is {written_amount}, which is no plain decimal number of at most 18 decimals")
        })?;
        Ok(Self {
            id: id.to_owned(),
            source: source.to_owned(),
            distribution: text("/data/distribution")?.to_owned(),
            amount,
            written_amount: written_amount.to_owned(),
            credited_at,
        })
    }
}
