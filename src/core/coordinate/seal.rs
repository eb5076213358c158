//! Leads an epoch from its subtotals to its seal.

use std::borrow::Cow;

use crate::core::accrue::settle;
use crate::core::accrue::settle::{Rules, Split};
use crate::core::contract::appends::Outputs;
use crate::core::contract::listing::{Mode, Programme, in_force};
use crate::core::contract::merkle::{Hash, join_partition_roots};
use crate::core::contract::records::{Ineligible, Seal};
use crate::core::contract::topic::Topic;
use crate::core::coordinate::{ClosingEpoch, Coordinator, ListedAsset};
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::Notice;
use crate::core::protocol::totals::{Emitted, Subtotal};
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::time::timestamp;

/// A step of an epoch towards its seal.
enum SealStep {
    /// The pool is split: the total goes to every ledger partition.
    Total(Notice),
    /// The record of the seal.
    Seal(Vec<u8>),
}

/// Why an epoch takes no further step.
enum NotSealed {
    /// Answers are missing.
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

    fn closing_mut(&mut self, at: AssetEpoch) -> Result<&mut ClosingEpoch, Fault> {
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
    fn advance(&mut self, number: u16, out: &mut Outputs) -> Result<(), Fault> {
        loop {
            let listed = self
                .assets
                .get_mut(usize::from(number))
                .ok_or_else(|| impossible("sums of an asset that is not listed"))?;
            let (asset, epoch) = (listed.terms.asset, listed.next_seal);
            match listed.take_step(AssetEpoch::new(number, epoch)?, self.partitions) {
                Ok(SealStep::Total(notice)) => self.broadcast(&notice, out)?,
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
    fn take_step(&mut self, at: AssetEpoch, partitions: u32) -> Result<SealStep, NotSealed> {
        let closing = self.closing.get(&at.epoch()).filter(|closing| closing.halted.is_none());
        let closing = closing.ok_or(NotSealed::Incomplete)?;
        let is_complete = |count: usize| count == usize::try_from(partitions).unwrap_or(usize::MAX);
        if closing.total.is_none() && is_complete(closing.subtotals.len()) {
            self.split_pool(at).map(SealStep::Total)
        } else if closing.total.is_some() && is_complete(closing.receipts.len()) {
            self.seal(at.epoch()).map(SealStep::Seal)
        } else {
            Err(NotSealed::Incomplete)
        }
    }

    fn programme(&self, epoch: Epoch) -> Result<&Programme, Fault> {
        in_force(&self.programmes, epoch).ok_or_else(|| impossible("an epoch without a programme"))
    }

    /// Splits the pool, with all subtotals in.
    fn split_pool(&mut self, at: AssetEpoch) -> Result<Notice, NotSealed> {
        let programme = self.programme(at.epoch())?;
        let (mode, commission_rate) = (programme.mode, programme.commission_rate);
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
            Mode::Pool => settle::split(closing.pool, commission_rate, carried)?,
            Mode::Apr { .. } => Split::default(),
        };
        // Conservation, where the pool is split: its parts are the amounts that came in.
        if mode == Mode::Pool && closing.pool.checked_add(carried) != split.commission.checked_add(split.to_share) {
            return Err(NotSealed::Alarm(format!(
                "{} and {carried} units were split into {split:?}",
                closing.pool
            )));
        }
        closing.total = Some((sums, split));
        Ok(Notice::Total {
            at,
            to_share: split.to_share,
            weight: sums.weight,
        })
    }

    /// Checks what was emitted, with all receipts in, and seals the epoch. Returns the record of the seal.
    fn seal(&mut self, epoch: Epoch) -> Result<Vec<u8>, NotSealed> {
        let programme = self.programme(epoch)?;
        let closing = self
            .closing
            .get(&epoch)
            .ok_or_else(|| impossible("a seal of an epoch that is not closing"))?;
        let (Some((sums, split)), Some(cut)) = (&closing.total, &closing.cut) else {
            return Err(impossible("a seal without a total or a cut").into());
        };
        let emitted = closing
            .receipts
            .values()
            .try_fold(Emitted::default(), |sum, (one, _)| sum.plus(one))?;
        let carried_out = settle::check_conservation(programme.mode, closing.pool, split, self.carried, sums, &emitted)
            .map_err(NotSealed::Alarm)?;
        let rules = Rules::new(&self.terms, programme)?;
        let calendar = &self.terms.calendar;
        let seal = Seal {
            asset: self.terms.asset,
            epoch,
            epoch_start: timestamp(calendar.start_ms(epoch)).into(),
            epoch_end: timestamp(calendar.end_ms(epoch)).into(),
            mode: programme.mode.name().into(),
            reward_pool: rules.amount(closing.pool).into(),
            commission: rules.amount(split.commission).into(),
            carried_in: rules.amount(self.carried).into(),
            carried_out: rules.amount(carried_out).into(),
            rewarded: rules.amount(emitted.rewarded).into(),
            distributed: rules.amount(emitted.distributed).into(),
            withheld_before: rules.amount(sums.withheld_before).into(),
            withheld_after: rules.amount(emitted.withheld_after).into(),
            distributions: emitted.distributions,
            ineligible: Ineligible {
                status: sums.excluded,
                negative: sums.negative,
                below_minimum: sums.below_minimum,
            },
            eligible_balance_seconds: rules.counted_seconds(sums.counted).into(),
            closing_balance: rules.signed_amount(sums.closing_balance).into(),
            programme_from_epoch: programme.from_epoch,
            cut: Cow::Borrowed(cut),
            root: hex::encode(join_partition_roots(closing.receipts.values().map(|(_, root)| *root))).into(),
        };
        let mut record = Vec::new();
        seal.write(&mut record)?;
        self.carried = carried_out;
        self.withheld = emitted.withheld_after;
        self.closing.remove(&epoch);
        self.next_seal = epoch.next()?;
        Ok(record)
    }
}
