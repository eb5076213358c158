//! The arithmetic of settlement (contract, section 5). All of it is in integers; it rounds only by the floors named there.

use ethnum::I256;
use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::accrue::eligibility::{Eligibility, StatusVerdict};
use crate::core::accrue::row::{Row, unit_ms};
use crate::core::accrue::wide::{divide, magnitude, signed, sum, times, wide};
use crate::core::contract::control::CloseRates;
use crate::core::contract::listing::AssetTerms;
use crate::core::contract::programme::{Mode, Programme};
use crate::core::contract::rules::MADE_UP_RULES;
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::{Pot, Settlement};
use crate::core::protocol::totals::{Emitted, Subtotal, i256_bytes, signed_sum};
use crate::core::values::amount::WideNumber;
use crate::core::values::rate::{Multiplier, Rate};

/// The 365 days over which an `apr` is spread, in milliseconds.
const YEAR_MS: u64 = 365 * 86_400_000;

/// How much an account held for how long in an epoch, and the part of it that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// S of the contract: the balance times the time it was held, in unit-milliseconds.
    pub held: I256,
    /// Balance at the end of the epoch, in units.
    pub closing: I256,
    pub eligibility: Eligibility,
    /// Whether an `excluded` bars it, so that it is paid nothing.
    pub is_excluded: bool,
}

impl Measure {
    /// W of the contract; 0 if it is not eligible.
    #[must_use]
    pub const fn weight(&self) -> U512 {
        match self.eligibility {
            Eligibility::Eligible { weight, .. } => weight,
            _ => U512::ZERO,
        }
    }
}

/// The rules of one settlement, with the numbers that are the same for all accounts calculated once.
#[derive(Debug, Clone)]
pub struct Rules {
    length_ms: u64,
    /// The least S that earns, in unit-milliseconds.
    min_held: U512,
    /// The S above which nothing more is earned, in unit-milliseconds.
    max_held: Option<U512>,
    /// Upper bound in unit-milliseconds and factor of each tier.
    tiers: Vec<(Option<U512>, U512)>,
    /// In `apr` mode.
    rate: Option<RewardPerWeight>,
    grain: I256,
    min_payout: I256,
    decimals: u8,
    reward_decimals: u8,
}

/// Units of the reward asset for one unit of weight, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewardPerWeight {
    pub numerator: U512,
    pub denominator: U512,
}

/// What an account is due, and what becomes of it. In units of the reward asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payout {
    /// R of the contract.
    pub rewarded: U512,
    /// R, what is made good, adjustments, and what was withheld before.
    pub due: I256,
    /// The amount that is paid.
    pub paid: I256,
    /// The part of the due that is not paid. A debt is negative.
    pub withheld: I256,
}

fn power_of_ten(exponent: u8) -> U512 {
    // At most 10^18.
    wide(10u128.pow(u32::from(exponent)))
}

impl RewardPerWeight {
    /// The rate of an `apr` epoch; `None` in `pool` mode.
    fn new(terms: &AssetTerms, mode: Mode, rates: &CloseRates) -> Result<Option<Self>, Fault> {
        let year = times(wide(Rate::PARTS), U512::from(YEAR_MS), "a year")?;
        let (mut numerator, mut denominator) = match (mode, rates.apr) {
            (Mode::Pool, _) => return Ok(None),
            (Mode::AprPerTier, _) => (U512::ONE, year),
            (Mode::Apr { rate: apr }, None) | (Mode::Apr { .. }, Some(apr)) => {
                (wide(apr.parts()), times(year, wide(Multiplier::PARTS), "a year")?)
            }
        };
        if let Some(reward_rate) = rates.reward_rate {
            let per_unit = times(
                wide(reward_rate.parts()),
                power_of_ten(terms.reward_decimals()),
                "a reward rate",
            )?;
            numerator = times(numerator, per_unit, "a reward rate")?;
            let parts = times(wide(Rate::PARTS), power_of_ten(terms.decimals), "a reward rate")?;
            denominator = times(denominator, parts, "a reward rate")?;
        }
        Ok(Some(Self { numerator, denominator }))
    }
}

impl Rules {
    /// # Errors
    /// None for a programme that was accepted.
    pub fn new(settlement: &Settlement) -> Result<Self, Fault> {
        let Settlement {
            rules: version,
            terms,
            programme,
            rates,
            is_last,
            ..
        } = settlement;
        let mut rules = Self::of_programme(terms, programme)?;
        rules.rate = RewardPerWeight::new(terms, programme.mode, rates)?;
        if *is_last {
            rules.min_payout = I256::ZERO;
        }
        if cfg!(feature = "made-up-rules") && *version == MADE_UP_RULES {
            rules.max_held = None;
        }
        Ok(rules)
    }

    /// The rules of a programme without the rates of a close.
    ///
    /// # Errors
    /// None for a programme that was accepted.
    pub fn of_programme(terms: &AssetTerms, programme: &Programme) -> Result<Self, Fault> {
        let length_ms = terms.calendar.length_ms();
        let over_epoch = |units: u128| times(wide(units), U512::from(length_ms), "a bound of the programme");
        let tiers = programme
            .tiers
            .iter()
            .map(|tier| Ok((tier.up_to.map(over_epoch).transpose()?, wide(tier.factor.parts()))))
            .collect::<Result<_, Fault>>()?;
        let unpaid_decimals = terms.reward_decimals().saturating_sub(programme.payout_decimals);
        Ok(Self {
            length_ms,
            min_held: over_epoch(programme.min_balance)?,
            max_held: programme.max_balance.map(over_epoch).transpose()?,
            tiers,
            rate: RewardPerWeight::new(terms, programme.mode, &CloseRates::default())?,
            grain: signed(power_of_ten(unpaid_decimals))?,
            min_payout: signed(wide(programme.min_payout))?,
            decimals: terms.decimals,
            reward_decimals: terms.reward_decimals(),
        })
    }

    /// Reward per weight in `apr` mode.
    #[must_use]
    pub const fn rate(&self) -> Option<RewardPerWeight> {
        self.rate
    }

    /// S of an account and its closing balance. Whether it reaches the minimum, and what it weighs, is not decided yet.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn hold(&self, opening: I256, row: Row, verdict: StatusVerdict) -> Result<Measure, Fault> {
        let held = unit_ms(opening, self.length_ms)
            .and_then(|whole| whole.checked_add(row.weighted))
            .ok_or(Fault::Overflow("an account's balance-milliseconds"))?;
        let closing = opening
            .checked_add(row.delta)
            .ok_or(Fault::Overflow("an account's balance"))?;
        let eligibility = if held == I256::ZERO {
            Eligibility::Empty
        } else if !verdict.earns {
            Eligibility::Excluded
        } else if held < I256::ZERO {
            Eligibility::Negative
        } else {
            Eligibility::BelowMinimum
        };
        Ok(Measure {
            held,
            closing,
            eligibility,
            is_excluded: verdict.is_excluded,
        })
    }

    /// What `held` unit-milliseconds count and weigh: those of an account, or of all accounts of an owner.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn weigh(&self, held: U512) -> Result<Eligibility, Fault> {
        if held < self.min_held {
            return Ok(Eligibility::BelowMinimum);
        }
        let counted = self.max_held.map_or(held, |max| held.min(max));
        let weight = self.parts(counted).try_fold(U512::ZERO, |weight, (part, factor)| {
            sum(weight, times(part, factor, "a weight")?, "a weight")
        })?;
        Ok(Eligibility::Eligible { counted, weight })
    }

    /// Splits `counted` unit-milliseconds by the tiers. Each item is the part in a tier, and the tier's factor
    /// ([`TierFactor::parts`](crate::core::contract::programme::TierFactor::parts)).
    pub fn parts(&self, counted: U512) -> impl Iterator<Item = (U512, U512)> {
        let mut below = U512::ZERO;
        self.tiers.iter().map_while(move |(bound, factor)| {
            let upper = bound.map_or(counted, |bound| bound.min(counted));
            if upper <= below {
                return None;
            }
            // Greater than `below`, by the line above.
            let part = upper.saturating_sub(below);
            below = upper;
            Some((part, *factor))
        })
    }

    /// R of the contract, in units of the reward asset. In `pool` mode it is the part of `pot` by weight. In `apr` mode it follows from
    /// the rate alone.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn share(&self, weight: U512, pot: Pot) -> Result<U512, Fault> {
        match self.rate {
            _ if weight.is_zero() => Ok(U512::ZERO),
            Some(rate) => divide(times(weight, rate.numerator, "a share")?, rate.denominator),
            None if pot.to_share.is_zero() => Ok(U512::ZERO),
            None => divide(times(pot.to_share, weight, "a share")?, pot.weight),
        }
    }

    /// What is paid of an account's due. `parts` are what is made good, the adjustments, and what was withheld before.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn pay(&self, rewarded: U512, parts: [I256; 3], is_excluded: bool) -> Result<Payout, Fault> {
        let due = parts.into_iter().try_fold(signed(rewarded)?, signed_sum)?;
        let payable = whole_grains(due, self.grain).ok_or_else(|| impossible("a grain of zero"))?;
        let is_paid = payable > I256::ZERO && payable >= self.min_payout && !is_excluded;
        let paid = if is_paid { payable } else { I256::ZERO };
        Ok(Payout {
            rewarded,
            due,
            paid,
            withheld: due.checked_sub(paid).ok_or(Fault::Overflow("an amount withheld"))?,
        })
    }

    /// The smallest amount paid is a multiple of this, in units of the reward asset.
    #[must_use]
    pub const fn grain(&self) -> I256 {
        self.grain
    }

    /// Units of the asset as a decimal number.
    #[must_use]
    pub fn balance(&self, units: I256) -> WideNumber {
        number(units, u32::from(self.decimals))
    }

    /// Units of the reward asset as a decimal number.
    #[must_use]
    pub fn reward(&self, units: U512) -> WideNumber {
        positive(units, u32::from(self.reward_decimals))
    }

    /// Signed units of the reward asset as a decimal number.
    #[must_use]
    pub fn signed_reward(&self, units: I256) -> WideNumber {
        number(units, u32::from(self.reward_decimals))
    }

    /// Unit-milliseconds as a decimal number of asset times seconds.
    #[must_use]
    pub fn balance_seconds(&self, held: I256) -> WideNumber {
        number(held, u32::from(self.decimals) + 3)
    }

    /// Unsigned unit-milliseconds as a decimal number of asset times seconds.
    #[must_use]
    pub fn counted_seconds(&self, counted: U512) -> WideNumber {
        positive(counted, u32::from(self.decimals) + 3)
    }

    /// The average balance: S divided by the epoch's length, cut toward zero to the asset's decimals.
    #[must_use]
    pub fn average(&self, held: I256) -> WideNumber {
        let length = U512::from(self.length_ms);
        let WideNumber {
            is_negative, magnitude, ..
        } = self.balance(held);
        // An epoch is never empty, so this never divides by zero.
        let magnitude = divide(magnitude, length).unwrap_or_default();
        WideNumber {
            is_negative,
            magnitude,
            decimals: u32::from(self.decimals),
        }
    }
}

/// The due without what is no whole grain; `None` for a grain of zero. The rest has the sign of the due, so this rounds toward zero.
fn whole_grains(due: I256, grain: I256) -> Option<I256> {
    if grain == I256::ONE {
        return Some(due);
    }
    // Nearly all amounts are below 2^63, where a division takes a fraction of the time.
    if let (Ok(due), Ok(grain)) = (i64::try_from(due), i64::try_from(grain))
        && let Some(rest) = due.checked_rem(grain)
    {
        return due.checked_sub(rest).map(I256::from);
    }
    due.checked_rem(grain).and_then(|rest| due.checked_sub(rest))
}

/// A signed number of units as a decimal number.
fn number(units: I256, decimals: u32) -> WideNumber {
    WideNumber {
        is_negative: units < I256::ZERO,
        magnitude: magnitude(units),
        decimals,
    }
}

const fn positive(magnitude: U512, decimals: u32) -> WideNumber {
    WideNumber {
        is_negative: false,
        magnitude,
        decimals,
    }
}

impl Subtotal {
    /// Adds an account that had `withheld` units withheld before.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn add_account(&mut self, withheld: I256, measure: &Measure) -> Result<(), Fault> {
        let mut one = Self {
            withheld_before: withheld,
            ..Self::default()
        };
        match measure.eligibility {
            Eligibility::Eligible { counted, weight } => {
                one.counted = counted;
                one.weight = weight;
                // Of eligible accounts only: the amount to stake.
                one.closing_balance = measure.closing;
            }
            Eligibility::Empty => {}
            Eligibility::Excluded => one.excluded = 1,
            Eligibility::Negative => one.negative = 1,
            Eligibility::BelowMinimum => one.below_minimum = 1,
        }
        self.add(&one)
    }
}

/// How the pool of an epoch is split. In units of the reward asset. Part of the coordinator's state: the order of the fields is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The exchange's share.
    pub commission: U512,
    /// N of the contract: `P - commission + carried_in`. It is negative for a deficit; 0 in `apr` mode.
    #[serde(with = "i256_bytes")]
    pub net: I256,
}

impl Split {
    /// Splits a pool, P of the contract, in `pool` mode.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn of_pool(pool: I256, commission_rate: Rate, carried_in: I256) -> Result<Self, Fault> {
        let commission = divide(
            times(
                magnitude(pool.max(I256::ZERO)),
                wide(commission_rate.parts()),
                "a commission",
            )?,
            wide(Rate::PARTS),
        )?;
        let rest = pool.checked_sub(signed(commission)?).ok_or(Fault::Overflow("a pool"))?;
        Ok(Self {
            commission,
            net: signed_sum(rest, carried_in)?,
        })
    }

    /// The amount that the accounts share, in units.
    #[must_use]
    pub fn to_share(&self) -> U512 {
        magnitude(self.net.max(I256::ZERO))
    }
}

/// What is left of an epoch's pot. In units of the reward asset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rest {
    /// Goes into the next epoch. A deficit is negative.
    pub carried_out: I256,
    /// Goes back to the treasury.
    pub returned: I256,
}

/// What came into an epoch.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    pub mode: Mode,
    /// P of the contract.
    pub pool: I256,
    pub carried_in: I256,
    pub split: &'a Split,
    pub sums: &'a Subtotal,
}

/// Checks that money is conserved over the distributions that were published (contract, section 5). Returns what is left of the pot.
///
/// # Errors
/// The sentence for the alarm, which says what does not add up.
pub fn check_conservation(incoming: &Incoming<'_>, emitted: &Emitted) -> Result<Rest, String> {
    let Incoming {
        mode,
        pool,
        carried_in,
        split,
        sums,
    } = incoming;
    if emitted.weight != sums.weight {
        return Err(format!(
            "the weights that were emitted, {}, differ from the weights summed before, {}",
            emitted.weight, sums.weight
        ));
    }
    let too_large = |_| "an amount is beyond what can be counted".to_owned();
    let rewarded = signed(emitted.rewarded).map_err(too_large)?;
    let rest = match mode {
        Mode::Pool if split.net > I256::ZERO && sums.weight.is_zero() => Rest {
            returned: split.net,
            carried_out: I256::ZERO,
        },
        Mode::Pool => Rest {
            returned: I256::ZERO,
            carried_out: split.net.checked_sub(rewarded).ok_or("a remainder cannot be counted")?,
        },
        Mode::Apr { .. } | Mode::AprPerTier => Rest {
            returned: I256::ZERO,
            carried_out: *carried_in,
        },
    };
    if split.net > I256::ZERO && rest.carried_out < I256::ZERO {
        return Err(format!(
            "the shares add up to {rewarded} units, more than the {} units to share",
            split.net
        ));
    }
    let parts = [emitted.made_good, emitted.adjusted, sums.withheld_before];
    let (mut given, mut used) = (vec![rewarded], vec![]);
    if *mode == Mode::Pool {
        let commission = signed(split.commission).map_err(too_large)?;
        given = vec![*pool, *carried_in];
        used = vec![commission, rest.carried_out, rest.returned];
    }
    given.extend(parts);
    used.extend([emitted.distributed, emitted.withheld_after]);
    let total = |parts: &[I256]| parts.iter().try_fold(I256::ZERO, |sum, part| sum.checked_add(*part));
    match (total(&given), total(&used)) {
        (Some(given), Some(used)) if given == used => Ok(rest),
        _ => Err(format!(
            "money is not conserved: {given:?} units came in (pool and carried in, or rewards; made good, adjusted, withheld before), {used:?} \
             units went out (commission, carried out and returned of a pool; distributed, withheld after)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = I256> {
        let edges = [
            I256::MIN,
            I256::MAX,
            I256::from(i64::MIN),
            I256::from(i64::MAX),
            I256::from(i64::MAX) + 1,
            I256::from(i64::MIN) - 1,
            I256::ZERO,
            I256::ONE,
            I256::MINUS_ONE,
        ];
        prop_oneof![
            (any::<i128>(), any::<i128>(), 0_u32..256)
                .prop_map(|(high, low, shift)| I256::from_words(high, low) >> shift),
            prop::sample::select(edges.to_vec()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn the_short_cut_for_grains_changes_nothing(due in number(), grain in number()) {
            let expected = due.checked_rem(grain).and_then(|rest| due.checked_sub(rest));
            // A grain is a power of ten.
            if grain >= I256::ZERO {
                prop_assert_eq!(whole_grains(due, grain), expected);
            }
        }
    }
}
