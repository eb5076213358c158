//! Leads an epoch from its subtotals to its seal.

use std::borrow::Cow;

use ethnum::I256;

use crate::core::accrue::settle;
use crate::core::accrue::settle::{Incoming, Rules, Split};
use crate::core::contract::appends::Outputs;
use crate::core::contract::merkle::{Hash, join_partition_roots};
use crate::core::contract::programme::{Mode, Programme, in_force};
use crate::core::contract::records::{Ineligible, Seal};
use crate::core::contract::topic::Topic;
use crate::core::coordinate::gate::GateVerdict;
use crate::core::coordinate::gate_state::GateState;
use crate::core::coordinate::{ClosingEpoch, Coordinator, ListedAsset};
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::{Notice, Pot};
use crate::core::protocol::totals::{Emitted, Subtotal, signed_sum};
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::time::timestamp;

/// A step of an epoch towards its seal.
enum SealStep {
    /// The pool is split: the total goes to every ledger partition.
    Total(Notice),
    /// All previews are in.
    Gate(GateVerdict),
    /// The record of the seal.
    Seal(Vec<u8>),
}

/// Why an epoch takes no further step.
enum NotSealed {
    /// Answers are missing, or the gate holds it.
    Incomplete,
    /// A check failed: this asset stops, and all others go on.
    Alarm(String),
    /// The task stops.
    Fault(Fault),
}

impl From<Fault> for NotSealed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Coordinator {
    /// Keeps the subtotal of a ledger partition.
    pub(super) fn add_subtotal(
        &mut self,
        partition: u32,
        at: AssetEpoch,
        sums: Subtotal,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let closing = self.closing_mut(at)?;
        if closing.subtotals.insert(partition, sums).is_some() {
            return Err(impossible(format!("a second subtotal of ledger partition {partition}")));
        }
        self.advance(at.number(), out)
    }

    /// Keeps the receipt of a ledger partition.
    pub(super) fn add_receipt(
        &mut self,
        partition: u32,
        at: AssetEpoch,
        emitted: Emitted,
        root: Hash,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let closing = self.closing_mut(at)?;
        if closing.receipts.insert(partition, (emitted, root)).is_some() {
            return Err(impossible(format!("a second receipt of ledger partition {partition}")));
        }
        self.advance(at.number(), out)
    }

    pub(super) fn closing_mut(&mut self, at: AssetEpoch) -> Result<&mut ClosingEpoch, Fault> {
        self.assets
            .get_mut(usize::from(at.number()))
            .and_then(|listed| listed.closing.get_mut(&at.epoch()))
            .ok_or_else(|| {
                impossible(format!(
                    "sums of epoch {} of asset number {}, which is not closing",
                    at.epoch(),
                    at.number()
                ))
            })
    }

    /// Advances the oldest unsealed epochs of an asset as far as possible.
    pub(super) fn advance(&mut self, number: u16, out: &mut Outputs) -> Result<(), Fault> {
        loop {
            let (partitions, is_asking) = (self.partitions, self.pending.is_some());
            let listed = self.listed_mut(number)?;
            let (asset, epoch) = (listed.terms.asset, listed.next_seal);
            match listed.take_step(AssetEpoch::new(number, epoch)?, partitions, is_asking) {
                Ok(SealStep::Total(notice) | SealStep::Gate(GateVerdict::Pass(notice))) => {
                    self.broadcast(&notice, out)?;
                }
                Ok(SealStep::Gate(GateVerdict::Hold(decision))) => self.record_decision(&decision, out)?,
                Ok(SealStep::Seal(record)) => {
                    out.push(Topic::Epochs.partition(0), asset.as_str().as_bytes(), &record);
                }
                Err(NotSealed::Incomplete) => return Ok(()),
                Err(NotSealed::Alarm(alarm)) => {
                    let alarm = format!("{asset} epoch {epoch} is stopped, nothing is paid: {alarm}");
                    if let Some(closing) = listed.closing.get_mut(&epoch) {
                        closing.halted = Some(alarm.clone());
                    }
                    self.alarms.push(alarm);
                    return Ok(());
                }
                Err(NotSealed::Fault(fault)) => return Err(fault),
            }
        }
    }
}

impl ListedAsset {
    /// Takes the next step of the epoch `at`, the oldest unsealed one, and returns what to publish.
    fn take_step(&mut self, at: AssetEpoch, partitions: u32, is_asking: bool) -> Result<SealStep, NotSealed> {
        let closing = self.closing.get(&at.epoch()).filter(|closing| closing.halted.is_none());
        let closing = closing.ok_or(NotSealed::Incomplete)?;
        let is_complete = |count: usize| count == usize::try_from(partitions).unwrap_or(usize::MAX);
        let is_before = closing.gate == GateState::Before;
        if closing.total.is_none() && is_complete(closing.subtotals.len()) {
            self.split_pool(at).map(SealStep::Total)
        } else if closing.total.is_some() && is_before && is_complete(closing.previews.len()) {
            self.gate_waits = is_asking;
            if is_asking {
                return Err(NotSealed::Incomplete);
            }
            Ok(SealStep::Gate(self.pass_gate(at)?))
        } else if closing.total.is_some() && is_complete(closing.receipts.len()) {
            self.seal(at).map(SealStep::Seal)
        } else {
            Err(NotSealed::Incomplete)
        }
    }

    pub(super) fn programme(&self, epoch: Epoch) -> Result<&Programme, Fault> {
        in_force(&self.programmes, epoch).ok_or_else(|| impossible("an epoch without a programme"))
    }

    /// Splits the pool, with all subtotals in.
    fn split_pool(&mut self, at: AssetEpoch) -> Result<Notice, NotSealed> {
        let programme = self.programme(at.epoch())?;
        let (mode, commission_rate, is_preview) = (programme.mode, programme.commission_rate, programme.gate.is_some());
        let (carried, withheld) = (self.carried, self.withheld);
        let closing = self
            .closing
            .get_mut(&at.epoch())
            .ok_or_else(|| impossible("a total of an epoch that is not closing"))?;
        let sums = closing
            .subtotals
            .values()
            .try_fold(Subtotal::default(), |sum, one| sum.plus(one))?;
        if sums.withheld_before != withheld {
            return Err(NotSealed::Alarm(format!(
                "the accounts have {} units withheld, but the epoch before left {withheld} units withheld",
                sums.withheld_before
            )));
        }
        let split = match mode {
            Mode::Pool => Split::of_pool(closing.pool()?, commission_rate, carried)?,
            Mode::Apr { .. } | Mode::AprPerTier => Split::default(),
        };
        closing.total = Some((sums, split));
        Ok(Notice::Total {
            at,
            pot: Pot {
                to_share: split.to_share(),
                weight: sums.weight,
            },
            is_preview,
        })
    }

    /// Checks what was emitted, with all receipts in, and seals the epoch. Returns the record of the seal.
    fn seal(&mut self, at: AssetEpoch) -> Result<Vec<u8>, NotSealed> {
        let epoch = at.epoch();
        let settlement = self.settlement(at)?;
        let programme = &settlement.programme;
        let closing = self
            .closing
            .get(&epoch)
            .ok_or_else(|| impossible("a seal of an epoch that is not closing"))?;
        let Some((sums, split)) = &closing.total else {
            return Err(impossible("a seal without a total").into());
        };
        let emitted = closing
            .receipts
            .values()
            .try_fold(Emitted::default(), |sum, (one, _)| sum.plus(one))?;
        let pool = closing.pool()?;
        let incoming = Incoming {
            mode: programme.mode,
            pool,
            carried_in: self.carried,
            split,
            sums,
        };
        let rest = settle::check_conservation(&incoming, &emitted).map_err(NotSealed::Alarm)?;
        let rules = Rules::new(&settlement)?;
        let calendar = &self.terms.calendar;
        let apr = match programme.mode {
            Mode::Apr { rate } => Some(closing.order.rates.apr.unwrap_or(rate)),
            Mode::Pool | Mode::AprPerTier => None,
        };
        let amount = |units: I256| Cow::from(rules.signed_reward(units));
        let seal = Seal {
            asset: self.terms.asset,
            reward_asset: self.terms.reward_asset(),
            epoch,
            epoch_start: timestamp(calendar.start_ms(epoch)).into(),
            epoch_end: timestamp(calendar.end_ms(epoch)).into(),
            mode: programme.mode.name().into(),
            programme_from_epoch: programme.from_epoch,
            apr: apr.map(|rate| rate.to_string().into()),
            reward_rate: closing.order.rates.reward_rate.map(|rate| rate.to_string().into()),
            reward_pool: amount(pool),
            commission: rules.reward(split.commission).into(),
            carried_in: amount(self.carried),
            carried_out: amount(rest.carried_out),
            returned: amount(rest.returned),
            rewarded: rules.reward(emitted.rewarded).into(),
            made_good: amount(emitted.made_good),
            adjusted: amount(emitted.adjusted),
            distributed: amount(emitted.distributed),
            withheld_before: amount(sums.withheld_before),
            withheld_after: amount(emitted.withheld_after),
            distributions: emitted.distributions,
            ineligible: Ineligible {
                status: sums.excluded,
                negative: sums.negative,
                below_minimum: sums.below_minimum,
            },
            eligible_balance_seconds: rules.counted_seconds(sums.counted).into(),
            closing_balance: rules.balance(sums.closing_balance).into(),
            cut: Cow::Borrowed(&settlement.cut),
            root: hex::encode(join_partition_roots(closing.receipts.values().map(|(_, root)| *root))).into(),
        };
        let mut record = Vec::new();
        seal.write(&mut record)?;
        self.carried = rest.carried_out;
        self.withheld = emitted.withheld_after;
        self.rewarded_before = Some(emitted.rewarded);
        self.closing.remove(&epoch);
        self.next_seal = epoch.next()?;
        Ok(record)
    }
}

impl ClosingEpoch {
    /// P of the contract, in units of the reward asset.
    fn pool(&self) -> Result<I256, Fault> {
        signed_sum(I256::from(self.order.reward_pool), self.added.0)
    }
}
