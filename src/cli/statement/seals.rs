//! The seals of a statement, and the error of sums that no deployment has.

use std::collections::BTreeMap;

use crate::cli::outcome::Failure;
use crate::core::contract::records::Seal;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// Seals by asset and epoch.
pub(super) type Seals = BTreeMap<(Asset, Epoch), Seal<'static>>;

pub(super) fn too_much() -> Failure {
    Failure::Failed("the sums do not fit into 512 bits: an amount on the bus was not written by softstake".into())
}
