//! Settlement of one asset, epoch by epoch (contract, section 5), and its output records (section 6).

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_traits::{Signed, Zero};
use serde_json::{Value, json};

use super::control::{Asset, Cut};
use super::event::Status;
use super::ledger::{Applied, StatusEvent};
use super::programme::{Mode, Programme, Tier};
use crate::model_parts::amount::{Rational, cut_toward_zero, floor, floor_of_product, plain, power_of_ten};
use crate::model_parts::{Outputs, bus, merkle, time};

/// What an epoch passes on to the next, in the asset's units.
#[derive(Default)]
struct Carried {
    balances: BTreeMap<String, BigInt>,
    withheld: BTreeMap<String, BigInt>,
    /// The pool's dust.
    dust: BigInt,
}

pub fn settle(
    name: &str,
    asset: &Asset,
    postings: &BTreeMap<u64, Vec<Applied>>,
    statuses: &BTreeMap<String, Vec<StatusEvent>>,
    outputs: &mut Outputs,
) -> Result<(), String> {
    let mut carried = Carried::default();
    for epoch in 0..asset.closes.len() as u64 {
        let none = Vec::new();
        let postings = postings.get(&epoch).unwrap_or(&none);
        settle_epoch(name, asset, epoch, postings, statuses, &mut carried, outputs)?;
    }
    Ok(())
}

fn settle_epoch(
    name: &str,
    asset: &Asset,
    epoch: u64,
    postings: &[Applied],
    statuses: &BTreeMap<String, Vec<StatusEvent>>,
    carried: &mut Carried,
    outputs: &mut Outputs,
) -> Result<(), String> {
    let programme = asset.programme(epoch);
    let close = usize::try_from(epoch)
        .ok()
        .and_then(|epoch| asset.closes.get(epoch))
        .ok_or_else(|| format!("{name}:{epoch} is not closed"))?;
    let (start, end) = (asset.start_of(epoch)?, asset.start_of(epoch + 1)?);
    let len = BigInt::from(end - start);

    let sums = sums(&mut carried.balances, postings, end, &len);
    let is_allowed = |account: &str| {
        let of_account = statuses.get(account).map_or(&[][..], Vec::as_slice);
        status_allows(programme, of_account, &close.cut, start, end)
    };
    let eligibility = eligibility(programme, &len, &sums, is_allowed);
    let closing_balance: BigInt = eligibility
        .capped
        .keys()
        .filter_map(|account| carried.balances.get(account))
        .sum();

    let grain = power_of_ten(asset.fixed.decimals - programme.payout_decimals);
    let pool = &close.reward_pool + asset.validator_rewards(epoch);
    let carried_in = carried.dust.clone();
    let split = match &programme.mode {
        Mode::Pool => split_pool(
            &pool,
            &programme.commission_rate,
            &carried_in,
            &eligibility.weights,
            &grain,
        ),
        Mode::Apr(apr) => pay_rate(apr, &carried_in, &eligibility.weights, &grain),
    };
    carried.dust.clone_from(&split.carried_out);
    let withheld_before: BigInt = carried.withheld.values().sum();
    let amounts = pay_out(&split.rewards, &mut carried.withheld, &programme.min_payout);
    let money = Money {
        pool,
        carried_in,
        rewarded: split.rewards.values().sum(),
        withheld_before,
        withheld_after: carried.withheld.values().sum(),
        distributed: amounts.values().sum(),
        commission: split.commission,
        carried_out: split.carried_out,
        closing_balance,
    };
    if programme.mode == Mode::Pool && !money.is_conserved() {
        return Err(format!("the model itself does not conserve money in {name}:{epoch}"));
    }
    let about = About {
        asset: name,
        epoch,
        start: time::format(start),
        end: time::format(end),
        len,
        decimals: asset.fixed.decimals,
        programme,
    };
    about.put_out(&amounts, &sums, &money, &eligibility, &close.published_cut, outputs);
    Ok(())
}

/// Sums of an epoch, in the asset's units.
struct Money {
    pool: BigInt,
    commission: BigInt,
    carried_in: BigInt,
    carried_out: BigInt,
    rewarded: BigInt,
    distributed: BigInt,
    withheld_before: BigInt,
    withheld_after: BigInt,
    closing_balance: BigInt,
}

impl Money {
    /// Of a pool.
    fn is_conserved(&self) -> bool {
        &self.pool + &self.carried_in + &self.withheld_before
            == &self.commission + &self.distributed + &self.withheld_after + &self.carried_out
    }
}

/// The epoch that records are about.
struct About<'a> {
    asset: &'a str,
    epoch: u64,
    start: String,
    end: String,
    /// In milliseconds.
    len: BigInt,
    decimals: u32,
    programme: &'a Programme,
}

impl About<'_> {
    fn money(&self, units: &BigInt) -> String {
        plain(units, self.decimals)
    }

    /// S is in milliseconds, so in asset * seconds it has three decimals more than the asset.
    fn balance_seconds(&self, sum: &BigInt) -> String {
        plain(sum, self.decimals + 3)
    }

    /// Puts out the distributions. Returns the leaves of the seal's tree.
    fn put_distributions(
        &self,
        amounts: &BTreeMap<String, BigInt>,
        sums: &BTreeMap<String, BigInt>,
        outputs: &mut Outputs,
    ) -> BTreeMap<String, String> {
        let mut leaves = BTreeMap::new();
        for (account, amount) in amounts {
            let id = format!("{}:{}:{account}", self.asset, self.epoch);
            let sum = sums.get(account).cloned().unwrap_or_default();
            let data = json!({
                "account": account,
                "asset": self.asset,
                "epoch": self.epoch,
                "epoch_start": self.start,
                "epoch_end": self.end,
                "amount": self.money(amount),
                "balance_seconds": self.balance_seconds(&sum),
                "average_balance": self.money(&cut_toward_zero(&sum, &self.len)),
                "programme_from_epoch": self.programme.from_epoch,
            });
            leaves.insert(account.clone(), format!("{id}|{}", self.money(amount)));
            let distribution = bus::output("softstake.distribution.v1", &id, &self.end, data);
            outputs.distributions.insert(id, distribution);
        }
        leaves
    }

    fn put_out(
        &self,
        amounts: &BTreeMap<String, BigInt>,
        sums: &BTreeMap<String, BigInt>,
        money: &Money,
        eligibility: &Eligibility,
        published_cut: &Value,
        outputs: &mut Outputs,
    ) {
        let leaves = self.put_distributions(amounts, sums, outputs);
        let id = format!("{}:{}", self.asset, self.epoch);
        let data = json!({
            "asset": self.asset,
            "epoch": self.epoch,
            "epoch_start": self.start,
            "epoch_end": self.end,
            "mode": self.programme.mode.name(),
            "reward_pool": self.money(&money.pool),
            "commission": self.money(&money.commission),
            "carried_in": self.money(&money.carried_in),
            "carried_out": self.money(&money.carried_out),
            "rewarded": self.money(&money.rewarded),
            "distributed": self.money(&money.distributed),
            "withheld_before": self.money(&money.withheld_before),
            "withheld_after": self.money(&money.withheld_after),
            "distributions": amounts.len(),
            "ineligible": {
                "status": eligibility.not_allowed,
                "negative": eligibility.negative,
                "below_minimum": eligibility.below_minimum,
            },
            "eligible_balance_seconds": self.balance_seconds(&eligibility.capped.values().sum()),
            "closing_balance": self.money(&money.closing_balance),
            "programme_from_epoch": self.programme.from_epoch,
            "cut": published_cut,
            "root": merkle::root(&leaves, owner),
        });
        let seal = bus::output("softstake.epoch_settled.v1", &id, &self.end, data);
        outputs.seals.insert(id, seal);
    }
}

/// Each account's S in unit-milliseconds. The balances are changed to those at the end of the epoch.
fn sums(
    balances: &mut BTreeMap<String, BigInt>,
    postings: &[Applied],
    end: i64,
    len: &BigInt,
) -> BTreeMap<String, BigInt> {
    let mut sums: BTreeMap<String, BigInt> = balances
        .iter()
        .map(|(account, opening_balance)| (account.clone(), opening_balance * len))
        .collect();
    for posting in postings {
        *sums.entry(posting.account.clone()).or_default() += &posting.delta * (end - posting.from_ms);
        *balances.entry(posting.account.clone()).or_default() += &posting.delta;
    }
    sums
}

/// The accounts that share, with their capped sums C and weights W. Also the number of accounts with a sum other than
/// zero that do not share.
#[derive(Default)]
struct Eligibility {
    capped: BTreeMap<String, BigInt>,
    weights: BTreeMap<String, Rational>,
    not_allowed: u64,
    negative: u64,
    below_minimum: u64,
}

fn eligibility(
    programme: &Programme,
    len: &BigInt,
    sums: &BTreeMap<String, BigInt>,
    is_allowed: impl Fn(&str) -> bool,
) -> Eligibility {
    let mut found = Eligibility::default();
    for (account, sum) in sums.iter().filter(|(_, sum)| !sum.is_zero()) {
        if !is_allowed(account) {
            found.not_allowed += 1;
        } else if sum.is_negative() {
            found.negative += 1;
        } else if *sum < &programme.min_balance * len {
            found.below_minimum += 1;
        } else {
            let capped = match &programme.max_balance {
                Some(max_balance) => (max_balance * len).min(sum.clone()),
                None => sum.clone(),
            };
            found
                .weights
                .insert(account.clone(), weight(&capped, &programme.tiers, len));
            found.capped.insert(account.clone(), capped);
        }
    }
    found
}

/// Each account's R, and the rest.
struct Split {
    commission: BigInt,
    rewards: BTreeMap<String, BigInt>,
    carried_out: BigInt,
}

fn split_pool(
    pool: &BigInt,
    commission_rate: &Rational,
    carried_in: &BigInt,
    weights: &BTreeMap<String, Rational>,
    grain: &BigInt,
) -> Split {
    let commission = floor(&(commission_rate * pool));
    let to_share = pool - &commission + carried_in;
    let total_weight: Rational = weights.values().sum();
    let mut rewards = BTreeMap::new();
    if !total_weight.is_zero() {
        let grains_per_weight = Rational::from_integer(to_share.clone()) / (total_weight * grain);
        rewards = whole_grains(&grains_per_weight, weights, grain);
    }
    let carried_out = to_share - rewards.values().sum::<BigInt>();
    Split {
        commission,
        rewards,
        carried_out,
    }
}

fn pay_rate(apr: &Rational, carried_in: &BigInt, weights: &BTreeMap<String, Rational>, grain: &BigInt) -> Split {
    let year_ms = BigInt::from(365) * 86_400_000;
    let grains_per_weight = apr / (year_ms * grain);
    let rewards = whole_grains(&grains_per_weight, weights, grain);
    // The dust of an earlier pool programme is kept.
    Split {
        commission: BigInt::zero(),
        rewards,
        carried_out: carried_in.clone(),
    }
}

fn whole_grains(
    grains_per_weight: &Rational,
    weights: &BTreeMap<String, Rational>,
    grain: &BigInt,
) -> BTreeMap<String, BigInt> {
    weights
        .iter()
        .map(|(account, weight)| (account.clone(), floor_of_product(grains_per_weight, weight) * grain))
        .collect()
}

/// The amounts to distribute. An amount below the minimum is withheld.
fn pay_out(
    rewards: &BTreeMap<String, BigInt>,
    withheld: &mut BTreeMap<String, BigInt>,
    min_payout: &BigInt,
) -> BTreeMap<String, BigInt> {
    let mut due = std::mem::take(withheld);
    for (account, reward) in rewards {
        *due.entry(account.clone()).or_default() += reward;
    }
    let mut amounts = BTreeMap::new();
    for (account, due) in due {
        if due >= *min_payout && due.is_positive() {
            amounts.insert(account, due);
        } else {
            withheld.insert(account, due);
        }
    }
    amounts
}

/// Contract, end of section 4: the newest status at the epoch's start, and no exclusion inside the epoch.
fn status_allows(programme: &Programme, statuses: &[StatusEvent], cut: &Cut, start: i64, end: i64) -> bool {
    let counted = || statuses.iter().filter(|event| event.is_below(cut));
    let excluded_inside =
        counted().any(|event| event.status == Status::Excluded && start < event.time && event.time < end);
    let at_start = counted()
        .filter(|event| event.time <= start)
        .max_by_key(|event| (event.time, event.id.as_bytes(), event.status));
    let allowed_at_start = at_start.map_or(!programme.enrolment_is_opt_in, |event| event.status == Status::Enrolled);
    allowed_at_start && !excluded_inside
}

/// The sum over the tiers of multiplier times the part of `c` between the tier's bounds, each times `len`.
fn weight(c: &BigInt, tiers: &[Tier], len: &BigInt) -> Rational {
    let mut weight = Rational::zero();
    let mut lower = BigInt::zero();
    for tier in tiers {
        let upper = tier
            .up_to
            .as_ref()
            .map_or_else(|| c.clone(), |bound| (bound * len).min(c.clone()));
        if upper > lower {
            weight += &tier.multiplier * (&upper - &lower);
            lower = upper;
        }
    }
    weight
}

/// The part of an account's name before the first slash. An account that begins with a slash is its own owner.
fn owner(account: &str) -> &str {
    match account.split_once('/') {
        Some((owner, _)) if !owner.is_empty() => owner,
        _ => account,
    }
}
