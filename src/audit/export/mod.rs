//! Exports: what was published, as rows for other programs. Records are read once, and none is kept.
//!
//! - [`row`]: columns and cells, whatever file they are written to.
//! - [`scope`]: which records are asked for, and whether they are there.
//! - [`distributions`], [`seals`], [`late_postings`]: the rows of these records.
//! - [`tax`]: the payouts of a customer in a year.

pub mod distributions;
pub mod late_postings;
pub mod row;
pub mod scope;
pub mod seals;
pub mod tax;

use crate::audit::asked::AskedError;
use crate::audit::error::AuditError;
use crate::audit::payouts::PayoutsError;
use crate::audit::published::RecordPlace;
use crate::bus::ReadError;

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Asked(#[from] AskedError),
    #[error(transparent)]
    Payouts(#[from] PayoutsError),
    /// A record that no Softstake wrote.
    #[error("{place}: not a record that softstake writes there ({why}); `softstake reconcile` tells more")]
    Record { place: RecordPlace, why: String },
    #[error("the sums do not fit into 512 bits: an amount on the bus was not written by softstake")]
    TooMuch,
    #[error("cannot write {file}: {why}")]
    Write { file: String, why: String },
}

impl ExportError {
    fn record(place: RecordPlace, why: impl ToString) -> Self {
        let why = why.to_string();
        Self::Record { place, why }
    }
}

/// The time in a field of a record.
fn time(place: RecordPlace, name: &str, text: &str) -> Result<crate::core::values::time::TimeMs, ExportError> {
    crate::core::values::time::TimeMs::parse(text)
        .map_err(|error| ExportError::record(place, format_args!("`{name}` {error}")))
}
