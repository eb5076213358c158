//! What a preview tells.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::bus::{Position, TopicPartition};
use crate::core::contract::gate::GateLimit;
use crate::core::contract::records::Ineligible;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;

/// What an open epoch would pay. Amounts are in the reward asset.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    pub asset: Asset,
    pub reward_asset: Asset,
    pub epoch: Epoch,
    pub epoch_start: String,
    pub epoch_end: String,
    pub mode: &'static str,
    /// P of the contract: what the close orders, and what was added before.
    pub reward_pool: String,
    /// The validators' rewards and adjustments in it.
    pub added: String,
    pub commission: String,
    pub carried_in: String,
    pub carried_out: String,
    pub returned: String,
    pub rewarded: String,
    pub made_good: String,
    pub adjusted: String,
    pub withheld_before: String,
    pub withheld_after: String,
    /// The sum of the distributions.
    pub total: String,
    pub distributions: u64,
    pub ineligible: Ineligible,
    pub largest: Option<LargestPayout>,
    pub deciles: Vec<Decile>,
    pub gate: GatePreview,
    /// The sum of R of the newest sealed epoch.
    pub rewarded_before: Option<String>,
    pub read_to: ReadTo,
}

/// The largest distribution.
#[derive(Debug, Clone, Serialize)]
pub struct LargestPayout {
    pub account: String,
    pub amount: String,
}

/// A tenth of the accounts that are paid, from the smallest payouts up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decile {
    /// From 1.
    pub decile: u8,
    pub accounts: u64,
    pub smallest: String,
    pub largest: String,
    pub total: String,
}

/// What the gate would say.
#[derive(Debug, Clone, Serialize)]
pub struct GatePreview {
    /// As the programme has it; null without a gate.
    pub gate: Value,
    /// The limit that would hold the epoch.
    pub held_by: Option<GateLimit>,
    pub largest: String,
    pub total: String,
    /// Against the newest sealed epoch; null if there is nothing to compare with.
    pub change: Option<String>,
}

/// How far the stores are. What came later is not in the preview.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReadTo {
    /// By partition: the offset below which records of the inner topics are in the stores.
    pub inner: BTreeMap<String, Offset>,
    /// By source partition: the offset below which its records are on the ledger, as far as this state directory knows.
    pub sources: BTreeMap<String, Offset>,
    /// When the stores of the ledger were last written.
    pub persisted_at: Option<String>,
}

/// One account of a preview. Amounts are in the reward asset.
#[derive(Debug, Clone, Serialize)]
pub struct PreviewedAccount {
    pub account: String,
    pub average_balance: String,
    pub balance_seconds: String,
    /// `eligible`, or why it does not earn.
    pub eligibility: &'static str,
    pub rewarded: String,
    pub made_good: String,
    pub adjusted: String,
    pub withheld_before: String,
    pub amount: String,
    pub withheld_after: String,
}

/// Takes the accounts of a preview one by one.
pub type TakeAccount<'a> = &'a mut dyn FnMut(&PreviewedAccount);

impl ReadTo {
    /// Adds the position of a store.
    pub(super) fn add(&mut self, position: &Position) {
        for (partition, mark) in &position.inputs {
            let partition: &TopicPartition = partition;
            self.inner.insert(partition.to_string(), mark.offset);
        }
    }
}
