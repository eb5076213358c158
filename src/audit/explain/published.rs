//! The published record of a payout beside the one that follows from the log.

use ruint::aliases::U512;

use crate::audit::explain::figures::EpochFigures;
use crate::audit::record_fields::{FieldDifference, different_fields};
use crate::core::accrue::emit::{EmissionProgress, Emitting};
use crate::core::contract::appends::Outputs;
use crate::core::contract::records::{Distribution, read_data};
use crate::core::fault::Fault;

/// What was published of a payout.
pub(crate) struct Published {
    /// The amount of the first published record.
    pub amount: Option<String>,
    pub differences: Vec<FieldDifference>,
}

impl Published {
    /// Compares the published records with the one that follows from the log, byte by byte.
    pub(crate) fn compare(published: &[Vec<u8>], expected: Option<&[u8]>) -> Self {
        let first = published.first().map(Vec::as_slice);
        let mut differences = different_fields(first, expected);
        if first != expected && differences.is_empty() {
            differences.push(whole_record("record (its spelling)", first, expected));
        }
        for copy in published.iter().skip(1) {
            differences.push(whole_record("record (one too many)", Some(copy), None));
        }
        let data = first.and_then(|record| read_data::<Distribution<'_>>(record).ok());
        Self {
            amount: data.map(|data| data.amount.into_owned()),
            differences,
        }
    }
}

fn whole_record(field: &str, published: Option<&[u8]>, replayed: Option<&[u8]>) -> FieldDifference {
    let text = |record: &[u8]| String::from_utf8_lossy(record).into_owned();
    FieldDifference {
        field: field.into(),
        published: published.map(text),
        replayed: replayed.map(text),
    }
}

/// The record that settlement writes for the account with this index; `None` if it pays nothing, or the epoch is not sealed.
pub(crate) fn expected_record(figures: &EpochFigures, index: usize) -> Result<Option<Vec<u8>>, Fault> {
    let (Some(payouts), Some(account)) = (&figures.payouts, figures.accounts.get(index)) else {
        return Ok(None);
    };
    let progress = EmissionProgress::new(payouts.pot, U512::ZERO);
    let mut outputs = Outputs::default();
    // All accounts of the owner: with the scope `owner`, they are settled together.
    Emitting::new(&figures.settlement, progress)?.emit_accounts(&figures.accounts, &mut outputs, |_, _| ())?;
    let own = outputs
        .iter()
        .find(|(_, key, _)| *key == account.name.as_str().as_bytes());
    Ok(own.map(|(_, _, record)| record.to_vec()))
}
