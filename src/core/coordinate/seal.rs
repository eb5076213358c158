//! From subtotals to the seal.

use crate::core::accrue::settle;
use crate::core::accrue::settle::{Rules, Split};
use crate::core::contract::appends::Outputs;
use crate::core::contract::listing;
use crate::core::contract::listing::Mode;
use crate::core::contract::merkle::join_partition_roots;
use crate::core::contract::records::{Ineligible, Seal, timestamp};
use crate::core::contract::topic::Topic;
use crate::core::coordinate::{Coordinator, ListedAsset};
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::Notice;
use crate::core::protocol::totals::{Emitted, Subtotal};
use crate::core::values::ids::{AssetEpoch, Epoch};

impl Coordinator {
    /// Takes the asset's oldest unsealed epochs as far as they can be taken.
    pub(super) fn advance(&mut self, number: u16, out: &mut Outputs) -> Result<(), Fault> {
        loop {
            let partitions = self.partitions;
            let listed = self
                .assets
                .get_mut(usize::from(number))
                .ok_or_else(|| impossible("sums of an asset that is not listed"))?;
            let epoch = listed.next_seal;
            let Some(closing) = listed.closing.get(&epoch) else {
                return Ok(());
            };
            if closing.halted.is_some() {
                return Ok(());
            }
            let at = AssetEpoch::new(number, epoch)?;
            let complete = |count: usize| count == usize::try_from(partitions).unwrap_or(usize::MAX);
            let step = if closing.total.is_none() && complete(closing.subtotals.len()) {
                listed.total(epoch)?.map(|notice| Step::Share(notice(at)))
            } else if closing.total.is_some() && complete(closing.receipts.len()) {
                listed.seal(at)?.map(Step::Sealed)
            } else {
                return Ok(());
            };
            match step {
                Ok(Step::Share(notice)) => self.broadcast(&notice, out)?,
                Ok(Step::Sealed(record)) => {
                    let key = listed.terms.asset;
                    out.push(Topic::Epochs.partition(0), key.as_str().as_bytes(), &record);
                }
                Err(alarm) => {
                    let alarm = format!(
                        "{} epoch {epoch} is stopped, nothing is paid: {alarm}",
                        listed.terms.asset
                    );
                    if let Some(closing) = listed.closing.get_mut(&epoch) {
                        closing.halted = Some(alarm.clone());
                    }
                    self.alarms.push(alarm);
                    return Ok(());
                }
            }
        }
    }
}

enum Step {
    Share(Notice),
    Sealed(Vec<u8>),
}

impl ListedAsset {
    fn programme(&self, epoch: Epoch) -> Result<&listing::Programme, Fault> {
        listing::in_force(&self.programmes, epoch).ok_or_else(|| impossible("an epoch without a programme"))
    }

    /// All subtotals are in: splits the pot. The inner error is an alarm.
    fn total(&mut self, epoch: Epoch) -> Result<Result<impl FnOnce(AssetEpoch) -> Notice + use<>, String>, Fault> {
        let programme = self.programme(epoch)?;
        let (mode, commission_rate) = (programme.mode, programme.commission_rate);
        let (carried, withheld) = (self.carried, self.withheld);
        let closing = self
            .closing
            .get_mut(&epoch)
            .ok_or_else(|| impossible("a total of an epoch that is not closing"))?;
        let sums = closing
            .subtotals
            .values()
            .try_fold(Subtotal::default(), |sum, one| sum.plus(one))?;
        if sums.withheld_before != withheld {
            return Ok(Err(format!(
                "the accounts have {} units withheld, but {withheld} were left withheld by the epoch before",
                sums.withheld_before
            )));
        }
        let split = match mode {
            Mode::Pool => settle::split(closing.pool, commission_rate, carried)?,
            Mode::Apr { .. } => Split::default(),
        };
        // Where the split is made: what comes in is what is split.
        if mode == Mode::Pool && closing.pool.checked_add(carried) != split.commission.checked_add(split.to_share) {
            return Ok(Err(format!(
                "{} and {carried} units were split into {split:?}",
                closing.pool
            )));
        }
        closing.total = Some((sums, split));
        Ok(Ok(move |at| Notice::Total {
            at,
            to_share: split.to_share,
            weight: sums.weight,
        }))
    }

    /// All receipts are in: checks what went out, and seals the epoch. The inner error is an alarm.
    fn seal(&mut self, at: AssetEpoch) -> Result<Result<Vec<u8>, String>, Fault> {
        let epoch = at.epoch();
        let programme = self.programme(epoch)?.clone();
        let closing = self
            .closing
            .get(&epoch)
            .ok_or_else(|| impossible("a seal of an epoch that is not closing"))?;
        let (Some((sums, split)), Some(cut)) = (&closing.total, &closing.cut) else {
            return Err(impossible("a seal without a total or a cut"));
        };
        let emitted = closing
            .receipts
            .values()
            .try_fold(Emitted::default(), |sum, (one, _)| sum.plus(one))?;
        let carried_out =
            match settle::check_conservation(programme.mode, closing.pool, split, self.carried, sums, &emitted) {
                Ok(carried_out) => carried_out,
                Err(alarm) => return Ok(Err(alarm)),
            };
        let rules = Rules::new(&self.terms, &programme)?;
        let calendar = &self.terms.calendar;
        let seal = Seal {
            asset: self.terms.asset,
            epoch,
            epoch_start: &timestamp(calendar.start_ms(epoch)),
            epoch_end: &timestamp(calendar.end_ms(epoch)),
            mode: programme.mode.name(),
            reward_pool: rules.amount(closing.pool),
            commission: rules.amount(split.commission),
            carried_in: rules.amount(self.carried),
            carried_out: rules.amount(carried_out),
            rewarded: rules.amount(emitted.rewarded),
            distributed: rules.amount(emitted.distributed),
            withheld_before: rules.amount(sums.withheld_before),
            withheld_after: rules.amount(emitted.withheld_after),
            distributions: emitted.distributions,
            ineligible: Ineligible {
                status: sums.excluded,
                negative: sums.negative,
                below_minimum: sums.below_minimum,
            },
            eligible_balance_seconds: rules.counted_seconds(sums.counted),
            closing_balance: rules.signed_amount(sums.closing_balance),
            programme_from_epoch: programme.from_epoch,
            cut,
            root: hex::encode(join_partition_roots(closing.receipts.values().map(|(_, root)| *root))),
        };
        let mut record = Vec::new();
        seal.write(&mut record)?;
        self.carried = carried_out;
        self.withheld = emitted.withheld_after;
        self.closing.remove(&epoch);
        self.next_seal = epoch.next()?;
        Ok(Ok(record))
    }
}
