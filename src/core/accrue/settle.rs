//! The arithmetic of settlement (contract, section 5). All of it is in integers; it rounds only by the floors named there.

use ethnum::I256;
use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::accrue::eligibility::Eligibility;
use crate::core::accrue::row::{Row, unit_ms};
use crate::core::contract::listing::{AssetTerms, Mode, Programme};
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::totals::{Emitted, Subtotal};
use crate::core::values::amount::format_units_wide;
use crate::core::values::rate::{Multiplier, Rate};

/// The 365 days over which an `apr` is spread, in milliseconds.
const YEAR_MS: u64 = 365 * 86_400_000;

/// The part of an account that its measure depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Balance at the start of the epoch, in units.
    pub opening: I256,
    /// The sums of its postings into the epoch.
    pub row: Row,
    /// Whether its status excludes it from this epoch.
    pub excluded: bool,
}

/// How much an account held for how long in an epoch, and the part of it that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// S of the contract: the balance times the time it was held, in unit-milliseconds.
    pub held: I256,
    /// Balance at the end of the epoch, in units.
    pub closing: I256,
    pub eligibility: Eligibility,
}

/// The rules of one settlement, with the numbers that are the same for all accounts calculated once.
#[derive(Debug, Clone)]
pub struct Rules {
    length_ms: u64,
    /// The least S that earns, in unit-milliseconds.
    min_held: U512,
    /// The S above which nothing more is earned, in unit-milliseconds.
    max_held: Option<U512>,
    /// Upper bound in unit-milliseconds and multiplier of each tier.
    tiers: Vec<(Option<U512>, U512)>,
    mode: Mode,
    grain: U512,
    min_payout: U512,
    decimals: u8,
}

fn wide(value: u128) -> U512 {
    U512::from(value)
}

fn times(a: U512, b: U512, what: &'static str) -> Result<U512, Fault> {
    a.checked_mul(b).ok_or(Fault::Overflow(what))
}

fn sum(a: U512, b: U512, what: &'static str) -> Result<U512, Fault> {
    a.checked_add(b).ok_or(Fault::Overflow(what))
}

/// The magnitude of a signed number.
fn magnitude(value: I256) -> U512 {
    U512::from_le_slice(&value.unsigned_abs().to_le_bytes())
}

/// `floor(a / b)`.
fn divide(a: U512, b: U512) -> Result<U512, Fault> {
    a.checked_div(b)
        .ok_or_else(|| impossible("a division by zero in a settlement"))
}

impl Rules {
    /// # Errors
    /// None for a programme that was accepted.
    pub fn new(terms: &AssetTerms, programme: &Programme) -> Result<Self, Fault> {
        let length_ms = terms.calendar.length_ms();
        let over_epoch = |units: u128| times(wide(units), U512::from(length_ms), "a bound of the programme");
        let tiers = programme
            .tiers
            .iter()
            .map(|tier| Ok((tier.up_to.map(over_epoch).transpose()?, wide(tier.multiplier.parts()))))
            .collect::<Result<_, Fault>>()?;
        Ok(Self {
            length_ms,
            min_held: over_epoch(programme.min_balance)?,
            max_held: programme.max_balance.map(over_epoch).transpose()?,
            tiers,
            mode: programme.mode,
            grain: wide(programme.grain(terms.decimals)),
            min_payout: wide(programme.min_payout),
            decimals: terms.decimals,
        })
    }

    /// Measures an account: S, its closing balance, and the part that counts.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn measure(&self, holding: &Holding) -> Result<Measure, Fault> {
        let held = unit_ms(holding.opening, self.length_ms)
            .and_then(|whole| whole.checked_add(holding.row.weighted))
            .ok_or(Fault::Overflow("an account's balance-milliseconds"))?;
        let closing = holding
            .opening
            .checked_add(holding.row.delta)
            .ok_or(Fault::Overflow("an account's balance"))?;
        let eligibility = if held == I256::ZERO {
            Eligibility::Empty
        } else if holding.excluded {
            Eligibility::Excluded
        } else if held < I256::ZERO {
            Eligibility::Negative
        } else if magnitude(held) < self.min_held {
            Eligibility::BelowMinimum
        } else {
            let held = magnitude(held);
            let counted = self.max_held.map_or(held, |max| held.min(max));
            Eligibility::Eligible {
                counted,
                weight: self.weigh(counted)?,
            }
        };
        Ok(Measure {
            held,
            closing,
            eligibility,
        })
    }

    /// W of the part that counts.
    fn weigh(&self, counted: U512) -> Result<U512, Fault> {
        self.parts(counted).try_fold(U512::ZERO, |weight, (part, multiplier)| {
            sum(weight, times(part, multiplier, "a weight")?, "a weight")
        })
    }

    /// Splits `counted` unit-milliseconds by the tiers. Each item is the part in a tier, and the tier's multiplier scaled by
    /// [`Multiplier::PARTS`].
    pub fn parts(&self, counted: U512) -> impl Iterator<Item = (U512, U512)> {
        let mut below = U512::ZERO;
        self.tiers.iter().map_while(move |(bound, multiplier)| {
            let upper = bound.map_or(counted, |bound| bound.min(counted));
            if upper <= below {
                return None;
            }
            // Greater than `below`, by the line above.
            let part = upper.saturating_sub(below);
            below = upper;
            Some((part, *multiplier))
        })
    }

    /// R of the contract, in units. In `pool` mode it is an account's share of `to_share` units, by its part of the `total`
    /// weight of all accounts. In `apr` mode it follows from the rate alone.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn share(&self, weight: U512, to_share: U512, total: U512) -> Result<U512, Fault> {
        if weight.is_zero() {
            return Ok(U512::ZERO);
        }
        let grains = match self.mode {
            Mode::Pool => divide(
                times(to_share, weight, "a share")?,
                times(total, self.grain, "the total weight")?,
            )?,
            Mode::Apr { rate } => {
                let year = times(wide(Multiplier::PARTS * Rate::PARTS), U512::from(YEAR_MS), "a year")?;
                divide(
                    times(weight, wide(rate.parts()), "a share")?,
                    times(year, self.grain, "a year")?,
                )?
            }
        };
        times(grains, self.grain, "a share")
    }

    /// Adds a share to the amount withheld before. Returns the amount to emit and the amount withheld after, in units.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn emit_or_withhold(&self, share: U512, withheld: U512) -> Result<(U512, U512), Fault> {
        let due = sum(share, withheld, "a payout")?;
        Ok(if due >= self.min_payout && !due.is_zero() {
            (due, U512::ZERO)
        } else {
            (U512::ZERO, due)
        })
    }

    /// Units as a decimal number of the asset.
    #[must_use]
    pub fn amount(&self, units: U512) -> String {
        format_units_wide(false, units, u32::from(self.decimals))
    }

    /// Signed units as a decimal number of the asset.
    #[must_use]
    pub fn signed_amount(&self, units: I256) -> String {
        format_units_wide(units < I256::ZERO, magnitude(units), u32::from(self.decimals))
    }

    /// Unit-milliseconds as a decimal number of asset times seconds.
    #[must_use]
    pub fn balance_seconds(&self, held: I256) -> String {
        format_units_wide(held < I256::ZERO, magnitude(held), u32::from(self.decimals) + 3)
    }

    /// Unsigned unit-milliseconds as a decimal number of asset times seconds.
    #[must_use]
    pub fn counted_seconds(&self, counted: U512) -> String {
        format_units_wide(false, counted, u32::from(self.decimals) + 3)
    }

    /// The average balance: S divided by the epoch's length, cut toward zero to the asset's decimals.
    #[must_use]
    pub fn average(&self, held: I256) -> String {
        // An epoch is never empty, so this never divides by zero.
        let average = magnitude(held)
            .checked_div(U512::from(self.length_ms))
            .unwrap_or_default();
        format_units_wide(
            held < I256::ZERO && !average.is_zero(),
            average,
            u32::from(self.decimals),
        )
    }
}

impl Subtotal {
    /// Adds an account that had `withheld` units withheld before.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn add_account(&mut self, withheld: U512, measure: &Measure) -> Result<(), Fault> {
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
        *self = self.plus(&one)?;
        Ok(())
    }
}

/// How the pool is split: `P = commission + (N - carried_in)`, in units. Part of the coordinator's state: the order of the
/// fields is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The exchange's share.
    pub commission: U512,
    /// N of the contract, the pot: the amount to share among the accounts.
    pub to_share: U512,
}

/// Splits the pool of an epoch in `pool` mode into the commission and the pot, N.
///
/// # Errors
/// An overflow, which no accepted input comes near.
pub fn split(pool: U512, commission_rate: Rate, carried_in: U512) -> Result<Split, Fault> {
    let commission = divide(
        times(pool, wide(commission_rate.parts()), "a commission")?,
        wide(Rate::PARTS),
    )?;
    let rest = pool
        .checked_sub(commission)
        .ok_or_else(|| impossible("a commission above its pool"))?;
    Ok(Split {
        commission,
        to_share: sum(rest, carried_in, "a pool")?,
    })
}

/// Checks that money is conserved over the distributions that were published (contract, section 5). Returns `carried_out`.
///
/// # Errors
/// The sentence for the alarm, which says what does not add up.
pub fn check_conservation(
    mode: Mode,
    pool: U512,
    split: &Split,
    carried_in: U512,
    sums: &Subtotal,
    emitted: &Emitted,
) -> Result<U512, String> {
    if emitted.weight != sums.weight {
        return Err(format!(
            "the weights that were emitted, {}, differ from the weights summed before, {}",
            emitted.weight, sums.weight
        ));
    }
    let carried_out = match mode {
        Mode::Pool => split.to_share.checked_sub(emitted.rewarded).ok_or_else(|| {
            format!(
                "the shares add up to {} units, more than the {} units to share",
                emitted.rewarded, split.to_share
            )
        })?,
        Mode::Apr { .. } => carried_in,
    };
    let (sources, sinks) = match mode {
        Mode::Pool => (
            [pool, carried_in, sums.withheld_before],
            [
                split.commission,
                emitted.distributed,
                emitted.withheld_after,
                carried_out,
            ],
        ),
        Mode::Apr { .. } => (
            [emitted.rewarded, U512::ZERO, sums.withheld_before],
            [U512::ZERO, emitted.distributed, emitted.withheld_after, U512::ZERO],
        ),
    };
    let total = |parts: &[U512]| parts.iter().try_fold(U512::ZERO, |sum, part| sum.checked_add(*part));
    match (total(&sources), total(&sinks)) {
        (Some(given), Some(used)) if given == used => Ok(carried_out),
        _ => Err(format!(
            "money is not conserved: {sources:?} units came in (pool or rewards, carried in, withheld before), {sinks:?} units went out \
             (commission, distributed, withheld after, carried out)"
        )),
    }
}
