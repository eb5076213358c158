//! The figures of treasury and finance, worked out of seals. Nothing here reads or writes.
//!
//! - [`treasury`]: how much was staked, and how much of it stays long enough to be staked again.
//! - [`finance`]: the sums of each month, checked as `softstake statement` checks them.
//! - [`liabilities`]: what is accrued and not in a statement yet.

pub mod finance;
pub mod liabilities;
pub mod treasury;

use crate::audit::statement::SumTooLarge;
use crate::core::contract::records::Seal;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::time::TimeMs;

/// Why there are no figures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FigureError {
    #[error("the seal of {asset} epoch {epoch} has no valid `{field}`: softstake did not write it")]
    Field {
        asset: Asset,
        epoch: Epoch,
        field: &'static str,
    },
    #[error("the decisions on {asset} epoch {epoch} have no valid `{field}`: softstake did not write them")]
    Decision {
        asset: Asset,
        epoch: Epoch,
        field: &'static str,
    },
    #[error(transparent)]
    Sum(#[from] SumTooLarge),
}

impl FigureError {
    const fn field(seal: &Seal<'_>, field: &'static str) -> Self {
        Self::Field {
            asset: seal.asset,
            epoch: seal.epoch,
            field,
        }
    }
}

/// When the epoch of a seal starts and ends.
fn times(seal: &Seal<'_>) -> Result<(TimeMs, TimeMs), FigureError> {
    let time = |text: &str, field| TimeMs::parse(text).map_err(|_| FigureError::field(seal, field));
    Ok((
        time(&seal.epoch_start, "epoch_start")?,
        time(&seal.epoch_end, "epoch_end")?,
    ))
}

#[cfg(test)]
mod samples;
