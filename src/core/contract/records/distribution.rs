use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::core::contract::records::envelope::{owned, write};
use crate::core::fault::{Fault, impossible};
use crate::core::values::amount::WideNumber;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// The data of a `softstake.distribution.v1`: what an account is paid for an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution<'a> {
    #[serde(borrow)]
    pub account: Cow<'a, str>,
    pub asset: Asset,
    /// The asset that it is paid in.
    pub reward_asset: Asset,
    pub epoch: Epoch,
    #[serde(borrow)]
    pub epoch_start: Cow<'a, str>,
    #[serde(borrow)]
    pub epoch_end: Cow<'a, str>,
    /// What is paid. This and the next four are decimal numbers of the reward asset.
    #[serde(borrow)]
    pub amount: Cow<'a, str>,
    /// R of the contract: what this epoch adds to the account's due.
    #[serde(borrow)]
    pub rewarded: Cow<'a, str>,
    /// What closed epochs pay more, or less, because of late postings.
    #[serde(borrow)]
    pub made_good: Cow<'a, str>,
    /// The sum of the account's reward adjustments.
    #[serde(borrow)]
    pub adjusted: Cow<'a, str>,
    /// The part of the due that was not paid before; negative for a debt.
    #[serde(borrow)]
    pub withheld_before: Cow<'a, str>,
    /// S, in asset times seconds.
    #[serde(borrow)]
    pub balance_seconds: Cow<'a, str>,
    /// S divided by the epoch's length, truncated to the asset's decimals.
    #[serde(borrow)]
    pub average_balance: Cow<'a, str>,
    /// The first epoch of the programme in force.
    pub programme_from_epoch: Epoch,
}

/// Longer than the name of any asset, so that none has it inside.
const GAP: &str = "................................................................";

/// Writes the records of one epoch's distributions, as [`Distribution::write`] does, but what they share is formatted once.
#[derive(Debug)]
pub struct DistributionWriter {
    /// The text of a record around its two accounts and seven numbers.
    pieces: [Vec<u8>; 10],
    /// The account as JSON, without quotes.
    account: Vec<u8>,
    /// The leaf of the last record.
    leaf: Vec<u8>,
    /// How much of a leaf is the same for all accounts, in bytes.
    shared: usize,
}

impl DistributionWriter {
    /// All but the account and the numbers is taken from `sample`.
    ///
    /// # Errors
    /// None in practice.
    pub fn new(sample: Distribution<'_>) -> Result<Self, Fault> {
        let sample = Distribution {
            account: GAP.into(),
            amount: GAP.into(),
            rewarded: GAP.into(),
            made_good: GAP.into(),
            adjusted: GAP.into(),
            withheld_before: GAP.into(),
            balance_seconds: GAP.into(),
            average_balance: GAP.into(),
            ..sample
        };
        let mut id = sample.id();
        let mut record = Vec::new();
        sample.write(&mut record, &id)?;
        let not_cut = || impossible("a distribution with other gaps than its account and numbers");
        let record = String::from_utf8(record).map_err(|_| not_cut())?;
        let pieces: Vec<Vec<u8>> = record.split(GAP).map(|piece| piece.as_bytes().to_vec()).collect();
        let shared = id.len().saturating_sub(GAP.len());
        id.truncate(shared);
        Ok(Self {
            pieces: pieces.try_into().map_err(|_| not_cut())?,
            account: Vec::new(),
            leaf: id.into_bytes(),
            shared,
        })
    }

    /// Appends a record to `out`. The numbers are those of [`Distribution`], from `amount` to `average_balance`. Returns its leaf in the Merkle tree:
    /// `id|amount`.
    ///
    /// # Errors
    /// None in practice.
    pub fn write(&mut self, out: &mut Vec<u8>, account: &str, numbers: &[WideNumber; 7]) -> Result<&[u8], Fault> {
        self.account.clear();
        serde_json::to_writer(&mut self.account, account).map_err(|error| Fault::Undecodable {
            what: "an account",
            why: error.to_string(),
        })?;
        let [_, escaped @ .., _] = &self.account[..] else {
            return Err(impossible("a JSON string without quotes"));
        };
        let [before_id, after_id, before_amount, rest @ ..] = &self.pieces;
        for piece in [before_id, escaped, after_id, escaped, before_amount] {
            out.extend_from_slice(piece);
        }
        let [amount, others @ ..] = numbers;
        let at = out.len();
        amount.write(out);
        self.leaf.truncate(self.shared);
        for piece in [account.as_bytes(), b"|", out.get(at..).unwrap_or_default()] {
            self.leaf.extend_from_slice(piece);
        }
        let [before_others @ .., last] = rest;
        for (piece, number) in before_others.iter().zip(others) {
            out.extend_from_slice(piece);
            number.write(out);
        }
        out.extend_from_slice(last);
        Ok(&self.leaf)
    }
}

impl Distribution<'_> {
    /// The id of its record: `asset:epoch:account`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}:{}:{}", self.asset, self.epoch, self.account)
    }

    /// Appends the record to `out`; `id` is [`Distribution::id`].
    ///
    /// # Errors
    /// None in practice.
    pub fn write(&self, out: &mut Vec<u8>, id: &str) -> Result<(), Fault> {
        write(out, "softstake.distribution.v1", id, Some(&self.epoch_end), self)
    }

    #[must_use]
    pub fn into_owned(self) -> Distribution<'static> {
        Distribution {
            account: owned(self.account),
            asset: self.asset,
            reward_asset: self.reward_asset,
            epoch: self.epoch,
            epoch_start: owned(self.epoch_start),
            epoch_end: owned(self.epoch_end),
            amount: owned(self.amount),
            rewarded: owned(self.rewarded),
            made_good: owned(self.made_good),
            adjusted: owned(self.adjusted),
            withheld_before: owned(self.withheld_before),
            balance_seconds: owned(self.balance_seconds),
            average_balance: owned(self.average_balance),
            programme_from_epoch: self.programme_from_epoch,
        }
    }
}
