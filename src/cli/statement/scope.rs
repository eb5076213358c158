//! Which epochs are in a statement.

use crate::audit::asked::{Asked, AskedError, AskedPeriod, EpochProgress, Inventory, MissingEpochs};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::period::TimePeriod;
use crate::core::values::time::TimeMs;

/// The epochs of a statement, by their numbers or by time.
pub(super) enum StatementScope {
    Numbered(Asked),
    Dated(AskedPeriod),
}

/// Whether the epochs of a statement are sealed.
pub(super) struct StatementCoverage {
    /// The epochs that are not.
    pub(super) missing: Vec<MissingEpochs>,
    /// The error if the statement is not about all that was asked for.
    pub(super) complete: Result<(), AskedError>,
}

impl StatementScope {
    /// # Errors
    /// If the period is inverted.
    pub(super) fn new(
        asset: Option<Asset>,
        period: TimePeriod,
        (from, to): (Option<Epoch>, Option<Epoch>),
    ) -> Result<Self, AskedError> {
        Ok(match period.is_everything() {
            true => Self::Numbered(Asked::new(asset, from, to)?),
            false => Self::Dated(AskedPeriod::new(asset, period)?),
        })
    }

    /// Whether an epoch is in the statement. One whose end nobody knows is in every period: it must not go unseen.
    pub(super) fn includes(&self, asset: Asset, epoch: Epoch, end: Option<TimeMs>) -> bool {
        match self {
            Self::Numbered(asked) => asked.includes(asset, epoch),
            Self::Dated(asked) => {
                asked.has_asset(asset) && end.is_none_or(|end| asked.period.includes_epoch_ending(end))
            }
        }
    }

    /// # Errors
    /// If the asset is not listed, or no asset is.
    pub(super) fn resolve(&self, inventory: &Inventory) -> Result<StatementCoverage, AskedError> {
        let (missing, complete) = match self {
            Self::Numbered(asked) => {
                let resolved = inventory.resolve(*asked, EpochProgress::Sealed)?;
                (resolved.missing().to_vec(), resolved.check())
            }
            Self::Dated(asked) => {
                let resolved = inventory.resolve_period(asked.clone(), EpochProgress::Sealed)?;
                (resolved.missing().to_vec(), resolved.check())
            }
        };
        Ok(StatementCoverage { missing, complete })
    }
}
