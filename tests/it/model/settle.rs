//! Settlement of one asset, epoch by epoch (contract, section 5), and what it puts out (section 6).

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_traits::{Signed, Zero};
use serde_json::json;

use super::Outputs;
use super::amount::{Rational, cut_toward_zero, floor, floor_of_product, plain, power_of_ten};
use super::bus;
use super::control::{Asset, Cut};
use super::event::Status;
use super::ledger::{Applied, StatusEvent};
use super::merkle;
use super::programme::{Mode, Programme, Tier};
use super::time;

/// What an epoch leaves to the next, in the asset's units.
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
    let decimals = asset.fixed.decimals;

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

    let grain = power_of_ten(decimals - programme.payout_decimals);
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
    let rewarded: BigInt = split.rewards.values().sum();

    let withheld_before: BigInt = carried.withheld.values().sum();
    let amounts = pay_out(&split.rewards, &mut carried.withheld, &programme.min_payout);
    let withheld_after: BigInt = carried.withheld.values().sum();
    let distributed: BigInt = amounts.values().sum();
    if programme.mode == Mode::Pool
        && &pool + &carried_in + &withheld_before
            != &split.commission + &distributed + &withheld_after + &split.carried_out
    {
        return Err(format!("the model itself does not conserve money in {name}:{epoch}"));
    }

    let money = |units: &BigInt| plain(units, decimals);
    // S counts milliseconds, so in asset * seconds it has three decimals more than the asset.
    let balance_seconds = |sum: &BigInt| plain(sum, decimals + 3);
    let (start, end) = (time::format(start), time::format(end));
    let mut leaves = BTreeMap::new();
    for (account, amount) in &amounts {
        let id = format!("{name}:{epoch}:{account}");
        let sum = sums.get(account).cloned().unwrap_or_default();
        let data = json!({
            "account": account,
            "asset": name,
            "epoch": epoch,
            "epoch_start": start,
            "epoch_end": end,
            "amount": money(amount),
            "balance_seconds": balance_seconds(&sum),
            "average_balance": money(&cut_toward_zero(&sum, &len)),
            "programme_from_epoch": programme.from_epoch,
        });
        leaves.insert(account.clone(), format!("{id}|{}", money(amount)));
        let distribution = bus::output("softstake.distribution.v1", &id, &end, data);
        outputs.distributions.insert(id, distribution);
    }
    let id = format!("{name}:{epoch}");
    let data = json!({
        "asset": name,
        "epoch": epoch,
        "epoch_start": start,
        "epoch_end": end,
        "mode": programme.mode.name(),
        "reward_pool": money(&pool),
        "commission": money(&split.commission),
        "carried_in": money(&carried_in),
        "carried_out": money(&split.carried_out),
        "rewarded": money(&rewarded),
        "distributed": money(&distributed),
        "withheld_before": money(&withheld_before),
        "withheld_after": money(&withheld_after),
        "distributions": amounts.len(),
        "ineligible": {
            "status": eligibility.not_allowed,
            "negative": eligibility.negative,
            "below_minimum": eligibility.below_minimum,
        },
        "eligible_balance_seconds": balance_seconds(&eligibility.capped.values().sum()),
        "closing_balance": money(&closing_balance),
        "programme_from_epoch": programme.from_epoch,
        "cut": close.published_cut,
        "root": merkle::root(&leaves),
    });
    let seal = bus::output("softstake.epoch_settled.v1", &id, &end, data);
    outputs.seals.insert(id, seal);
    Ok(())
}

/// Each account's S in unit-milliseconds; the balances become those at the epoch's end.
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

/// Who takes part, with which capped sum C and weight W, and how many with a sum other than zero do not.
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

/// Each account's R, and what becomes of the rest.
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
    // The dust of an earlier pool programme waits.
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

/// The amounts to distribute; what stays below the minimum is withheld.
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
