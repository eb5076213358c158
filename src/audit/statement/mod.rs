//! The arithmetic of statements, without reading: whether seals add up, and the sums over a period.
//!
//! `softstake statement` and the finance figures of the read side both use it.

pub mod checks;
pub mod totals;

use std::collections::BTreeMap;

use crate::core::contract::records::Seal;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// Seals by asset and epoch.
pub type Seals = BTreeMap<(Asset, Epoch), Seal<'static>>;

/// A sum that no deployment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sums do not fit into 255 bits: an amount on the bus was not written by softstake")]
pub struct SumTooLarge;
