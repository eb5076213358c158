//! Listings and their programmes (contract, section 3.2).

use num_bigint::BigInt;
use num_traits::Zero;

use super::calendar::Terms;
use crate::model::parts::amount::{Decimal, Rational, power_of_ten};
use crate::model::parts::fields::{Fields, Rejection, as_decimal, as_object, as_text};
use crate::model::parts::json::Json;

#[derive(Debug, Clone)]
pub struct Listing {
    pub asset: String,
    pub terms: Terms,
    pub misdated_from_ms: Option<i64>,
    pub programme: Programme,
}

/// Balances are in the asset's units, payouts in those of the reward asset.
#[derive(Debug, Clone)]
pub struct Programme {
    pub from_epoch: u64,
    pub mode: Mode,
    pub min_balance: BigInt,
    pub max_balance: Option<BigInt>,
    pub commission_rate: Rational,
    pub tiers: Vec<Tier>,
    pub scope_is_owner: bool,
    pub min_payout: BigInt,
    pub payout_decimals: u32,
    pub enrolment_is_opt_in: bool,
    pub late_policy: LatePolicy,
    pub gate: Option<Gate>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    Pool,
    /// With a rate for all.
    Apr(Rational),
    /// The rates are those of the tiers.
    AprPerTier,
}

impl Mode {
    pub fn name(&self) -> &'static str {
        match self {
            Mode::Pool => "pool",
            Mode::Apr(_) | Mode::AprPerTier => "apr",
        }
    }
}

/// The weight of the part of a balance up to a bound.
#[derive(Debug, Clone)]
pub struct Tier {
    pub up_to: Option<BigInt>,
    /// The multiplier times 10^6, or the tier's rate times 10^18.
    pub factor: BigInt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatePolicy {
    Resettle,
    Carry,
    Forfeit,
}

impl LatePolicy {
    pub fn name(self) -> &'static str {
        match self {
            LatePolicy::Resettle => "resettle",
            LatePolicy::Carry => "carry",
            LatePolicy::Forfeit => "forfeit",
        }
    }
}

#[derive(Debug, Clone)]
pub enum Gate {
    Always,
    Limits {
        max_payout: Option<BigInt>,
        max_total: Option<BigInt>,
        max_change: Option<Rational>,
    },
}

const MOST_FIRST_EPOCH: u64 = 1_000_000_000;

const LISTING_FIELDS: [&str; 9] = [
    "asset",
    "decimals",
    "anchor",
    "epoch_seconds",
    "first_epoch",
    "reward_asset",
    "reward_decimals",
    "misdated_from",
    "programme",
];

const PROGRAMME_FIELDS: [&str; 13] = [
    "from_epoch",
    "mode",
    "apr",
    "min_balance",
    "max_balance",
    "commission_rate",
    "tiers",
    "scope",
    "min_payout",
    "payout_decimals",
    "enrolment",
    "late_policy",
    "gate",
];

/// Checks that all fields of an object are known. The reason names the known field with the nearest name.
pub fn check_known(data: Fields, known: &[&str]) -> Result<(), Rejection> {
    match data.unknown(known) {
        None => Ok(()),
        Some(name) => {
            let nearest = known.iter().min_by_key(|one| edits(one, &name)).unwrap_or(&"");
            Err(Rejection::event(
                &name,
                &format!("is not known; the nearest is {nearest}"),
            ))
        }
    }
}

/// The least number of characters to insert, delete or replace.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (deleted, a) in from.chars().enumerate() {
        let mut next = vec![deleted + 1];
        for (at, b) in to.iter().enumerate() {
            let replaced = row[at] + usize::from(a != *b);
            next.push(replaced.min(row[at + 1] + 1).min(next[at] + 1));
        }
        row = next;
    }
    row[to.len()]
}

pub fn listing(data: Fields) -> Result<Listing, Rejection> {
    check_known(data, &LISTING_FIELDS)?;
    let asset = data.asset("asset")?;
    let decimals = up_to(data.integer("decimals")?, 18, "decimals")?;
    let anchor_ms = data.instant("anchor")?;
    let epoch_seconds = data.integer("epoch_seconds")?;
    if epoch_seconds < 60 {
        return Err(Rejection::programme("epoch_seconds", "is less than a minute"));
    }
    let epoch_ms = i64::from(up_to(epoch_seconds, 2_678_400, "epoch_seconds")?) * 1000;
    let first_epoch = data.optional_integer("first_epoch")?.unwrap_or(0);
    if first_epoch > MOST_FIRST_EPOCH {
        return Err(Rejection::programme("first_epoch", "is more than 10^9"));
    }
    let reward = reward_asset(data, &asset, decimals)?;
    let misdated_from_ms = match data.optional("misdated_from")? {
        Some(_) => Some(data.instant("misdated_from")?),
        None => None,
    };
    let terms = Terms {
        decimals,
        anchor_ms,
        epoch_ms,
        first_epoch,
        reward,
    };
    let programme = data.object("programme")?;
    // Any fault inside the programme has one code.
    let programme = read_programme(programme, &terms).map_err(|rejection| Rejection {
        code: "invalid_programme",
        ..rejection
    })?;
    Ok(Listing {
        asset,
        terms,
        misdated_from_ms,
        programme,
    })
}

/// The reward asset, if it is another one.
fn reward_asset(data: Fields, asset: &str, decimals: u32) -> Result<Option<(String, u32)>, Rejection> {
    if data.optional("reward_asset")?.is_none() && data.optional("reward_decimals")?.is_none() {
        return Ok(None);
    }
    let name = data.asset("reward_asset")?;
    let reward_decimals = up_to(data.integer("reward_decimals")?, 18, "reward_decimals")?;
    if name != asset {
        Ok(Some((name, reward_decimals)))
    } else if reward_decimals == decimals {
        Ok(None)
    } else {
        Err(Rejection::programme(
            "reward_decimals",
            "differs from decimals for the same asset",
        ))
    }
}

fn read_programme(data: Fields, terms: &Terms) -> Result<Programme, Rejection> {
    check_known(data, &PROGRAMME_FIELDS)?;
    let balance = |name: &str| optional_units(data, name, terms.decimals);
    let from_epoch = data.integer("from_epoch")?;
    let mode = data.text("mode")?;
    let apr = optional_rate(data, "apr", 18, 1000)?;
    let min_balance = balance("min_balance")?.unwrap_or_default();
    let max_balance = match data.optional("max_balance")? {
        None | Some(Json::Null) => None,
        Some(_) => balance("max_balance")?,
    };
    if max_balance
        .as_ref()
        .is_some_and(|most| most.is_zero() || *most < min_balance)
    {
        return Err(Rejection::programme("max_balance", "is zero or below min_balance"));
    }
    let commission_rate = optional_rate(data, "commission_rate", 18, 1)?.unwrap_or_else(Rational::zero);
    let (tiers, has_rates) = read_tiers(data, terms.decimals)?;
    let scope_is_owner = one_of(data, "scope", ["account", "owner"])? == 1;
    let min_payout = optional_units(data, "min_payout", terms.reward_decimals())?.unwrap_or_default();
    let payout_decimals = match data.optional_integer("payout_decimals")? {
        Some(number) => up_to(number, terms.reward_decimals(), "payout_decimals")?,
        None => terms.reward_decimals(),
    };
    let enrolment_is_opt_in = one_of(data, "enrolment", ["automatic", "opt_in"])? == 1;
    let policies = [LatePolicy::Resettle, LatePolicy::Carry, LatePolicy::Forfeit];
    let late_policy = policies[one_of(data, "late_policy", policies.map(LatePolicy::name))?];
    let gate = read_gate(data, terms.reward_decimals())?;
    let mode = match (mode.as_str(), apr, has_rates) {
        ("pool", None, false) => Mode::Pool,
        ("pool", _, _) => return Err(Rejection::programme("apr", "does not belong to mode pool")),
        ("apr", _, _) if !commission_rate.is_zero() => {
            return Err(Rejection::programme("commission_rate", "must be 0 in mode apr"));
        }
        ("apr", Some(apr), false) => Mode::Apr(apr),
        ("apr", None, true) => Mode::AprPerTier,
        ("apr", Some(_), true) => return Err(Rejection::programme("apr", "is given here and per tier")),
        ("apr", None, false) => return Err(Rejection::programme("apr", "is required in mode apr")),
        _ => return Err(Rejection::programme("mode", "is neither pool nor apr")),
    };
    Ok(Programme {
        from_epoch,
        mode,
        min_balance,
        max_balance,
        commission_rate,
        tiers,
        scope_is_owner,
        min_payout,
        payout_decimals,
        enrolment_is_opt_in,
        late_policy,
        gate,
    })
}

/// The number of the word that a field holds. A field that is absent means the first.
fn one_of<const N: usize>(data: Fields, name: &str, words: [&str; N]) -> Result<usize, Rejection> {
    let Some(text) = data.optional_text(name)? else {
        return Ok(0);
    };
    let found = words.iter().position(|word| *word == text);
    found.ok_or_else(|| Rejection::programme(name, &format!("is none of {}", words.join(", "))))
}

fn up_to(number: u64, most: u32, name: &str) -> Result<u32, Rejection> {
    u32::try_from(number)
        .ok()
        .filter(|number| *number <= most)
        .ok_or_else(|| Rejection::programme(name, &format!("is more than {most}")))
}

/// An amount that may be zero.
fn optional_units(data: Fields, name: &str, decimals: u32) -> Result<Option<BigInt>, Rejection> {
    match data.optional_decimal(name)? {
        Some(amount) => Ok(Some(amount.units(name, decimals)?)),
        None => Ok(None),
    }
}

/// A decimal string from 0 to `most`. A wrong one is no invalid amount.
pub fn optional_rate(data: Fields, name: &str, most_decimals: u64, most: u64) -> Result<Option<Rational>, Rejection> {
    match data.optional(name)? {
        Some(value) => read_rate(value, name, most_decimals, most).map(Some),
        None => Ok(None),
    }
}

fn read_rate(value: &Json, name: &str, most_decimals: u64, most: u64) -> Result<Rational, Rejection> {
    let rate = Decimal::parse(&as_text(value, name)?).ok_or_else(|| Rejection::event(name, "is no decimal"))?;
    if rate.decimals() > most_decimals {
        return Err(Rejection::event(name, "has too many decimals"));
    }
    let rate = rate.to_rational();
    if rate > Rational::from_integer(most.into()) {
        return Err(Rejection::event(name, &format!("is more than {most}")));
    }
    Ok(rate)
}

/// The tiers, and whether they carry rates.
fn read_tiers(data: Fields, decimals: u32) -> Result<(Vec<Tier>, bool), Rejection> {
    let Some(values) = data.array("tiers")? else {
        let whole = Tier {
            up_to: None,
            factor: power_of_ten(6),
        };
        return Ok((vec![whole], false));
    };
    let mut tiers = Vec::new();
    let mut with_rates = 0;
    for value in values {
        let tier = as_object(value, "tiers")?;
        check_known(tier, &["up_to", "multiplier", "apr"])?;
        let up_to = match tier.required("up_to")? {
            Json::Null => None,
            value => Some(as_decimal(value, "up_to")?.units("up_to", decimals)?),
        };
        let multiplier = optional_rate(tier, "multiplier", 6, 100)?;
        let apr = optional_rate(tier, "apr", 18, 1000)?;
        let factor = match (multiplier, apr) {
            (Some(multiplier), None) => multiplier * power_of_ten(6),
            (None, Some(apr)) => {
                with_rates += 1;
                apr * power_of_ten(18)
            }
            _ => return Err(Rejection::programme("tiers", "need a multiplier or a rate each")),
        };
        let factor = factor.to_integer();
        tiers.push(Tier { up_to, factor });
    }
    if with_rates != 0 && with_rates != tiers.len() {
        return Err(Rejection::programme("tiers", "have rates and multipliers"));
    }
    check_order(&tiers)?;
    Ok((tiers, with_rates != 0))
}

/// Bounds are greater than zero and ascend strictly. Only the last one is null.
fn check_order(tiers: &[Tier]) -> Result<(), Rejection> {
    let Some((last, others)) = tiers.split_last() else {
        return Err(Rejection::programme("tiers", "is empty"));
    };
    if last.up_to.is_some() {
        return Err(Rejection::programme("up_to", "of the last tier is not null"));
    }
    let mut below = BigInt::zero();
    for tier in others {
        match &tier.up_to {
            Some(bound) if *bound > below => below.clone_from(bound),
            _ => return Err(Rejection::programme("up_to", "does not ascend")),
        }
    }
    Ok(())
}

fn read_gate(data: Fields, decimals: u32) -> Result<Option<Gate>, Rejection> {
    let Some(value) = data.optional("gate")? else {
        return Ok(None);
    };
    if let Json::Text(text) = value {
        return if text.is("always") {
            Ok(Some(Gate::Always))
        } else {
            Err(Rejection::programme("gate", "is neither always nor limits"))
        };
    }
    let limits = as_object(value, "gate")?;
    check_known(limits, &["max_payout", "max_total", "max_change"])?;
    let max_payout = optional_units(limits, "max_payout", decimals)?;
    let max_total = optional_units(limits, "max_total", decimals)?;
    let max_change = optional_rate(limits, "max_change", 18, u64::MAX)?;
    if max_payout.is_none() && max_total.is_none() && max_change.is_none() {
        return Err(Rejection::programme("gate", "has no limit"));
    }
    Ok(Some(Gate::Limits {
        max_payout,
        max_total,
        max_change,
    }))
}
