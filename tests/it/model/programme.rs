//! Listings and their programmes (contract, section 3, control topic).

use num_bigint::BigInt;
use num_traits::Zero;

use super::event::AssetName;
use crate::model_parts::amount::{Decimal, Rational};
use crate::model_parts::fields::{Fields, Rejection, as_decimal, as_object};
use crate::model_parts::json::Json;

/// The terms of an asset that never change, and the programme of the same listing.
#[derive(Debug, Clone)]
pub struct Listing {
    pub asset: String,
    pub fixed: Fixed,
    pub programme: Programme,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    pub decimals: u32,
    pub anchor_ms: i64,
    pub epoch_ms: i64,
}

/// Balances and amounts are in the asset's units.
#[derive(Debug, Clone)]
pub struct Programme {
    pub from_epoch: u64,
    pub mode: Mode,
    pub min_balance: BigInt,
    pub max_balance: Option<BigInt>,
    pub commission_rate: Rational,
    pub tiers: Vec<Tier>,
    pub min_payout: BigInt,
    pub payout_decimals: u32,
    pub enrolment_is_opt_in: bool,
    pub late_policy: LatePolicy,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    Pool,
    Apr(Rational),
}

impl Mode {
    pub fn name(&self) -> &'static str {
        match self {
            Mode::Pool => "pool",
            Mode::Apr(_) => "apr",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Tier {
    pub up_to: Option<BigInt>,
    pub multiplier: Rational,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatePolicy {
    Carry,
    Forfeit,
}

impl LatePolicy {
    pub fn name(self) -> &'static str {
        match self {
            LatePolicy::Carry => "carry",
            LatePolicy::Forfeit => "forfeit",
        }
    }
}

const PROGRAMME_FIELDS: [&str; 11] = [
    "from_epoch",
    "mode",
    "apr",
    "min_balance",
    "max_balance",
    "commission_rate",
    "tiers",
    "min_payout",
    "payout_decimals",
    "enrolment",
    "late_policy",
];

pub fn listing(data: Fields) -> Result<Listing, Rejection> {
    let known = ["asset", "decimals", "anchor", "epoch_seconds", "programme"];
    data.only("invalid_event", &known)?;
    let asset = data.asset("asset")?;
    let decimals = up_to(data.integer("decimals")?, 18, "decimals")?;
    let anchor_ms = data.instant("anchor")?;
    let epoch_seconds = data.integer("epoch_seconds")?;
    if epoch_seconds < 60 {
        return Err(Rejection::programme("epoch_seconds", "is less than a minute"));
    }
    let epoch_ms = i64::from(up_to(epoch_seconds, 2_678_400, "epoch_seconds")?) * 1000;
    // Any fault inside the programme has one code.
    let programme = programme(data.object("programme")?, decimals)
        .map_err(|fault| Rejection::new("invalid_programme", fault.reason))?;
    Ok(Listing {
        asset,
        fixed: Fixed {
            decimals,
            anchor_ms,
            epoch_ms,
        },
        programme,
    })
}

fn programme(data: Fields, decimals: u32) -> Result<Programme, Rejection> {
    data.only("invalid_programme", &PROGRAMME_FIELDS)?;
    let zero = Rational::zero;
    let units = |name: &str, amount: Decimal| amount.units(name, decimals);

    let from_epoch = data.integer("from_epoch")?;
    let mode = data.text("mode")?;
    let apr = rate(data, "apr", 18, 1000)?;
    let min_balance = match data.optional_decimal("min_balance")? {
        Some(amount) => units("min_balance", amount)?,
        None => BigInt::zero(),
    };
    let max_balance = match data.optional("max_balance")? {
        None | Some(Json::Null) => None,
        Some(value) => Some(greater_than_zero(
            units("max_balance", as_decimal(value, "max_balance")?)?,
            "max_balance",
        )?),
    };
    let commission_rate = rate(data, "commission_rate", 18, 1)?.unwrap_or_else(zero);
    let tiers = match data.array("tiers")? {
        Some(tiers) => tiers
            .iter()
            .map(|value| tier(value, decimals))
            .collect::<Result<Vec<_>, _>>()?,
        None => vec![Tier {
            up_to: None,
            multiplier: Rational::from_integer(1.into()),
        }],
    };
    let min_payout = match data.optional_decimal("min_payout")? {
        Some(amount) => units("min_payout", amount)?,
        None => BigInt::zero(),
    };
    let payout_decimals = match data.optional_integer("payout_decimals")? {
        Some(number) => up_to(number, decimals, "payout_decimals")?,
        None => decimals,
    };
    let enrolment_is_opt_in = match data.optional_text("enrolment")?.as_deref() {
        None | Some("automatic") => false,
        Some("opt_in") => true,
        Some(_) => return Err(Rejection::programme("enrolment", "is neither automatic nor opt_in")),
    };
    let late_policy = match data.optional_text("late_policy")?.as_deref() {
        None | Some("carry") => LatePolicy::Carry,
        Some("forfeit") => LatePolicy::Forfeit,
        Some(_) => return Err(Rejection::programme("late_policy", "is neither carry nor forfeit")),
    };

    let mode = match (mode.as_str(), apr) {
        ("pool", None) => Mode::Pool,
        ("apr", Some(_)) if commission_rate != zero() => {
            return Err(Rejection::programme("commission_rate", "must be 0 in mode apr"));
        }
        ("apr", Some(apr)) => Mode::Apr(apr),
        ("pool", Some(_)) => return Err(Rejection::programme("apr", "does not belong to mode pool")),
        ("apr", None) => return Err(Rejection::programme("apr", "is required in mode apr")),
        _ => return Err(Rejection::programme("mode", "is neither pool nor apr")),
    };
    if max_balance
        .as_ref()
        .is_some_and(|max_balance| *max_balance < min_balance)
    {
        return Err(Rejection::programme("max_balance", "is below min_balance"));
    }
    check_order(&tiers)?;
    Ok(Programme {
        from_epoch,
        mode,
        min_balance,
        max_balance,
        commission_rate,
        tiers,
        min_payout,
        payout_decimals,
        enrolment_is_opt_in,
        late_policy,
    })
}

fn up_to(number: u64, most: u32, name: &str) -> Result<u32, Rejection> {
    u32::try_from(number)
        .ok()
        .filter(|number| *number <= most)
        .ok_or_else(|| Rejection::programme(name, &format!("is more than {most}")))
}

fn greater_than_zero(units: BigInt, name: &str) -> Result<BigInt, Rejection> {
    if units.is_zero() {
        Err(Rejection::programme(name, "is zero"))
    } else {
        Ok(units)
    }
}

/// A decimal string from 0 to `most`.
fn rate(data: Fields, name: &str, most_decimals: u64, most: u32) -> Result<Option<Rational>, Rejection> {
    let Some(text) = data.optional_text(name)? else {
        return Ok(None);
    };
    let rate = Decimal::parse(&text).ok_or_else(|| Rejection::programme(name, "is no decimal"))?;
    if rate.decimals() > most_decimals {
        return Err(Rejection::programme(name, "has too many decimals"));
    }
    let rate = rate.to_rational();
    if rate > Rational::from_integer(most.into()) {
        return Err(Rejection::programme(name, &format!("is more than {most}")));
    }
    Ok(Some(rate))
}

fn tier(value: &Json, decimals: u32) -> Result<Tier, Rejection> {
    let data = as_object(value, "tiers")?;
    data.only("invalid_programme", &["up_to", "multiplier"])?;
    let up_to = match data.required("up_to")? {
        Json::Null => None,
        value => Some(greater_than_zero(
            as_decimal(value, "up_to")?.units("up_to", decimals)?,
            "up_to",
        )?),
    };
    let multiplier = rate(data, "multiplier", 6, 100)?.ok_or_else(|| Rejection::event("multiplier", "is missing"))?;
    Ok(Tier { up_to, multiplier })
}

/// Bounds ascend strictly. Only the last bound is null.
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
