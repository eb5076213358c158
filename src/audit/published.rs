//! Reading what was published.

use crate::core::values::ids::Epoch;
use serde::Deserialize;

/// A record of ours, for those who look at its data alone.
#[derive(Deserialize)]
pub(crate) struct Record<D> {
    pub data: D,
}

/// Of a distribution: who was paid what.
#[derive(Deserialize)]
pub(crate) struct Paid {
    pub account: String,
    pub asset: String,
    pub epoch: Epoch,
    pub amount: String,
}
