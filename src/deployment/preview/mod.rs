//! Works out what the open epoch of an asset would pay if it closed now, from the stores in a state directory. It publishes and changes nothing.
//!
//! It does what a settlement does, on all that the ledger tasks have added up and persisted so far: it sums, splits the pool, and works out the
//! payouts. All statuses that were read count.

mod error;
mod report;
mod stores;

use std::path::Path;

use ethnum::I256;
use serde_json::Value;

use crate::core::accrue::assess::{Account, Summing};
use crate::core::accrue::eligibility::Eligibility;
use crate::core::accrue::emit::Payments;
use crate::core::accrue::settle;
use crate::core::accrue::settle::{Incoming, Measure, Payout, Rest, Rules, Split};
use crate::core::contract::control::CloseRates;
use crate::core::contract::decision::Offsets;
use crate::core::contract::fields;
use crate::core::contract::gate::{GateFigures, RewardChange};
use crate::core::contract::programme::{Mode, in_force};
use crate::core::contract::records::Ineligible;
use crate::core::coordinate::gate_state::GateState;
use crate::core::coordinate::listings::check_rates;
use crate::core::coordinate::{Coordinator, ListedAsset};
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::{Pot, Settlement};
use crate::core::protocol::totals::{Emitted, Subtotal, signed_sum};
use crate::core::values::amount::Amount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;
use crate::core::values::time::timestamp;
pub use crate::deployment::preview::error::PreviewError;
use crate::deployment::preview::report::ReadTo;
pub use crate::deployment::preview::report::{
    Decile, GatePreview, LargestPayout, Preview, PreviewedAccount, TakeAccount,
};
use crate::deployment::preview::stores::{LedgerStore, Opener};
use crate::task::account_walk::AccountWalk;
use crate::task::fold::FoldError;

/// What the close would order.
#[derive(Debug, Clone, Copy, Default)]
pub struct AssumedClose {
    pub reward_pool: Option<Amount>,
    pub rates: CloseRates,
}

/// What the open epoch of `asset` would pay, by the stores in `state`. RocksDB writes its own log to the folder `scratch`.
///
/// # Errors
/// [`PreviewError`].
pub fn read_preview(
    state: &Path,
    asset: Asset,
    close: &AssumedClose,
    scratch: &Path,
    take: Option<TakeAccount<'_>>,
) -> Result<Preview, PreviewError> {
    let opener = Opener::new(state, scratch)?;
    let (coordinator, at_inbox) = opener.coordinator()?;
    let numbered = (0u16..).zip(coordinator.assets());
    let Some((number, listed)) = numbered.filter(|(_, listed)| listed.terms.asset == asset).last() else {
        let listed = coordinator.assets().iter().map(|listed| listed.terms.asset);
        return Err(PreviewError::NotListed {
            listed: listed.collect(),
        });
    };
    let at = AssetEpoch::new(number, open_epoch(listed)?)?;
    let settlement = assumed_settlement(&coordinator, listed, at, close)?;
    let stores = opener.ledger_stores(coordinator.partitions(), &settlement)?;
    let sums = sum(&stores, &settlement)?;
    let pool = assumed_pool(listed, at.epoch(), close)?;
    let is_pooled = settlement.programme.mode == Mode::Pool;
    let split = if is_pooled {
        Split::of_pool(pool, settlement.programme.commission_rate, listed.carried)?
    } else {
        Split::default()
    };
    let pot = Pot {
        to_share: split.to_share(),
        weight: sums.weight,
    };
    let mut payouts = PreviewedPayouts::new(take);
    let emitted = payouts.work_out(&stores, &settlement, pot)?;
    let incoming = Incoming {
        mode: settlement.programme.mode,
        pool,
        carried_in: listed.carried,
        split: &split,
        sums: &sums,
    };
    let rest = settle::check_conservation(&incoming, &emitted).map_err(impossible)?;
    let mut read_to = opener.read_to(&coordinator, &stores)?;
    read_to.add(&at_inbox);
    describe(listed, &settlement, (&incoming, &emitted, rest), payouts, read_to)
}

/// The oldest open epoch, if all epochs before it are settled.
fn open_epoch(listed: &ListedAsset) -> Result<Epoch, PreviewError> {
    let (asset, open, epoch) = (listed.terms.asset, listed.oldest_open, listed.next_seal);
    if epoch < open {
        let state = match listed.stopped() {
            Some((_, GateState::Held)) => "held by the gate",
            Some(_) => "void",
            None => "not sealed yet",
        };
        return Err(PreviewError::Unsettled {
            asset,
            epoch,
            open,
            state,
        });
    }
    match listed.withdrawn {
        Some(end) if open >= end => Err(PreviewError::NoOpenEpoch { asset, end }),
        _ => Ok(open),
    }
}

fn assumed_settlement(
    coordinator: &Coordinator,
    listed: &ListedAsset,
    at: AssetEpoch,
    close: &AssumedClose,
) -> Result<Settlement, PreviewError> {
    let programme =
        in_force(&listed.programmes, at.epoch()).ok_or_else(|| impossible("an epoch without a programme"))?;
    check_rates(programme.mode, &listed.terms, &close.rates).map_err(PreviewError::Rejected)?;
    let sources = coordinator.sources().iter();
    Ok(Settlement {
        at,
        rules: coordinator.rules(),
        terms: listed.terms.clone(),
        programme: programme.clone(),
        // All statuses that were read count.
        cut: Offsets(sources.map(|source| (*source, Offset::NO_LIMIT)).collect()),
        rates: close.rates,
        is_last: listed.withdrawn == Some(at.epoch().saturating_add(1)),
    })
}

/// P of the contract.
fn assumed_pool(listed: &ListedAsset, epoch: Epoch, close: &AssumedClose) -> Result<I256, PreviewError> {
    let ordered = match &close.reward_pool {
        Some(pool) => pool
            .units(listed.terms.reward_decimals())
            .map_err(|error| PreviewError::Rejected(fields::bad_amount("reward_pool", &error)))?,
        None => 0,
    };
    Ok(signed_sum(I256::from(ordered), listed.added(epoch))?)
}

/// The accounts of one store in the epoch.
fn walk<'a>(ledger: &'a LedgerStore, settlement: &Settlement, by_owner: bool) -> Result<AccountWalk<'a>, FoldError> {
    let needs_set_aside = ledger.accrue.needs_set_aside_for(settlement);
    Ok(AccountWalk::new(&ledger.store, settlement.at, 0, needs_set_aside)?.by_bucket(by_owner))
}

fn sum(stores: &[LedgerStore], settlement: &Settlement) -> Result<Subtotal, PreviewError> {
    let mut summing = Summing::new(settlement)?;
    for ledger in stores {
        let mut walk = walk(ledger, settlement, summing.is_by_owner())?;
        loop {
            let accounts = walk.next_accounts()?;
            if accounts.is_empty() {
                break;
            }
            summing.add_accounts(accounts)?;
        }
    }
    Ok(summing.sums())
}

/// The payouts, as far as a preview shows them.
struct PreviewedPayouts<'a> {
    take: Option<TakeAccount<'a>>,
    /// All amounts that are paid.
    amounts: Vec<u128>,
    /// Account and amount of the largest. Of equal ones it is the first by name.
    largest: Option<(String, I256)>,
}

impl<'a> PreviewedPayouts<'a> {
    fn new(take: Option<TakeAccount<'a>>) -> Self {
        Self {
            take,
            amounts: Vec::new(),
            largest: None,
        }
    }

    fn work_out(&mut self, stores: &[LedgerStore], settlement: &Settlement, pot: Pot) -> Result<Emitted, PreviewError> {
        let mut payments = Payments::new(settlement, pot)?;
        for ledger in stores {
            let walk = walk(ledger, settlement, payments.is_by_owner())?;
            let mut walk = walk.resettling(settlement.at, 0)?;
            loop {
                let accounts = walk.next_accounts()?;
                if accounts.is_empty() {
                    break;
                }
                payments.add_accounts(accounts)?;
                for (account, (measure, payout)) in accounts.iter().zip(payments.last()) {
                    self.add(payments.rules(), account, measure, payout)?;
                }
            }
        }
        Ok(payments.sums())
    }

    fn add(&mut self, rules: &Rules, account: &Account, measure: &Measure, payout: &Payout) -> Result<(), Fault> {
        let name = account.name.as_str();
        if payout.paid > I256::ZERO {
            let amount = u128::try_from(payout.paid).map_err(|_| Fault::Overflow("a payout"))?;
            self.amounts.push(amount);
            let is_larger = self.largest.as_ref().is_none_or(|(largest, amount)| {
                payout.paid > *amount || (payout.paid == *amount && name < largest.as_str())
            });
            if is_larger {
                self.largest = Some((name.to_owned(), payout.paid));
            }
        }
        if let Some(take) = &mut self.take {
            take(&previewed_account(rules, account, measure, payout));
        }
        Ok(())
    }

    /// The amounts in tenths, from the smallest up. With fewer than ten, some tenths are empty and left out.
    fn deciles(&mut self, rules: &Rules) -> Result<Vec<Decile>, Fault> {
        self.amounts.sort_unstable();
        let count = self.amounts.len();
        let mut deciles = Vec::new();
        for number in 1..=10_u8 {
            let bound = |tenths: u8| (count * usize::from(tenths)).div_ceil(10);
            let tenth = self.amounts.get(bound(number - 1)..bound(number)).unwrap_or_default();
            let (Some(smallest), Some(largest)) = (tenth.first(), tenth.last()) else {
                continue;
            };
            let total = tenth
                .iter()
                .try_fold(I256::ZERO, |sum, amount| sum.checked_add(I256::from(*amount)))
                .ok_or(Fault::Overflow("a sum of payouts"))?;
            deciles.push(Decile {
                decile: number,
                accounts: tenth.len() as u64,
                smallest: rules.signed_reward(I256::from(*smallest)).into(),
                largest: rules.signed_reward(I256::from(*largest)).into(),
                total: rules.signed_reward(total).into(),
            });
        }
        Ok(deciles)
    }
}

fn previewed_account(rules: &Rules, account: &Account, measure: &Measure, payout: &Payout) -> PreviewedAccount {
    let eligibility = match measure.eligibility {
        Eligibility::Eligible { .. } => "eligible",
        Eligibility::Empty => "empty",
        Eligibility::Excluded => "status",
        Eligibility::Negative => "negative",
        Eligibility::BelowMinimum => "below_minimum",
    };
    PreviewedAccount {
        account: account.name.as_str().to_owned(),
        average_balance: rules.average(measure.held).into(),
        balance_seconds: rules.balance_seconds(measure.held).into(),
        eligibility,
        rewarded: rules.reward(payout.rewarded).into(),
        made_good: rules.signed_reward(account.made_good).into(),
        adjusted: rules.signed_reward(account.adjusted).into(),
        withheld_before: rules.signed_reward(account.withheld).into(),
        amount: rules.signed_reward(payout.paid).into(),
        withheld_after: rules.signed_reward(payout.withheld).into(),
    }
}

fn describe(
    listed: &ListedAsset,
    settlement: &Settlement,
    (incoming, emitted, rest): (&Incoming<'_>, &Emitted, Rest),
    mut payouts: PreviewedPayouts<'_>,
    read_to: ReadTo,
) -> Result<Preview, PreviewError> {
    let rules = Rules::new(settlement)?;
    let (terms, epoch) = (&settlement.terms, settlement.at.epoch());
    let amount = |units: I256| String::from(rules.signed_reward(units));
    let sums = incoming.sums;
    Ok(Preview {
        asset: terms.asset,
        reward_asset: terms.reward_asset(),
        epoch,
        epoch_start: timestamp(terms.calendar.start_ms(epoch)),
        epoch_end: timestamp(terms.calendar.end_ms(epoch)),
        mode: settlement.programme.mode.name(),
        reward_pool: amount(incoming.pool),
        added: amount(listed.added(epoch)),
        commission: rules.reward(incoming.split.commission).into(),
        carried_in: amount(incoming.carried_in),
        carried_out: amount(rest.carried_out),
        returned: amount(rest.returned),
        rewarded: rules.reward(emitted.rewarded).into(),
        made_good: amount(emitted.made_good),
        adjusted: amount(emitted.adjusted),
        withheld_before: amount(sums.withheld_before),
        withheld_after: amount(emitted.withheld_after),
        total: amount(emitted.distributed),
        distributions: emitted.distributions,
        ineligible: Ineligible {
            status: sums.excluded,
            negative: sums.negative,
            below_minimum: sums.below_minimum,
        },
        deciles: payouts.deciles(&rules)?,
        largest: payouts.largest.take().map(|(account, units)| LargestPayout {
            account,
            amount: amount(units),
        }),
        gate: gate(listed, settlement, emitted, &rules)?,
        rewarded_before: listed.rewarded_before().map(|before| rules.reward(before).into()),
        read_to,
    })
}

fn gate(
    listed: &ListedAsset,
    settlement: &Settlement,
    emitted: &Emitted,
    rules: &Rules,
) -> Result<GatePreview, PreviewError> {
    let figures = GateFigures {
        largest: emitted.largest,
        total: emitted.distributed,
        change: listed.change(emitted)?,
    };
    let gate = settlement.programme.gate.as_ref();
    Ok(GatePreview {
        gate: gate.map_or(Value::Null, |gate| gate.to_value(settlement.terms.reward_decimals())),
        held_by: gate.and_then(|gate| gate.broken(&figures)),
        largest: rules.signed_reward(figures.largest).into(),
        total: rules.signed_reward(figures.total).into(),
        change: figures.change.map(RewardChange::to_decimal),
    })
}
