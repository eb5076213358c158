//! The result of a what-if: the two seals of each epoch, and the effect on the accounts.

use std::collections::BTreeMap;

use crate::audit::what_if::Effect;
use crate::core::contract::records::Seal;
use crate::core::values::amount::ExactAmount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// The two seals of an epoch.
pub(super) struct SealPair {
    pub(super) was: Seal<'static>,
    pub(super) would_be: Seal<'static>,
}

pub(super) struct WhatIfFindings {
    pub(super) asset: Asset,
    pub(super) from_epoch: Epoch,
    pub(super) epochs: BTreeMap<Epoch, SealPair>,
    pub(super) effect: Effect,
}

/// The difference between two amounts, with its sign.
pub(super) fn signed(was: ExactAmount, would_be: ExactAmount) -> String {
    match (would_be.minus(was), was.minus(would_be)) {
        (Some(more), _) if more != ExactAmount::default() => format!("+{more}"),
        (None, Some(less)) => format!("-{less}"),
        _ => "0".into(),
    }
}
