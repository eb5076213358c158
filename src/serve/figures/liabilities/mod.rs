//! What accounts have accrued in epochs that no statement has yet: a liability of the exchange at a time. All arithmetic is exact, and rounded down to the
//! unit.

use ethnum::I256;
use ruint::aliases::U512;
use serde::Serialize;
use utoipa::ToSchema;

use crate::audit::statement::SumTooLarge;
use crate::core::accrue::settle::Split;
use crate::core::accrue::wide::magnitude;
use crate::core::contract::programme::{Mode, Programme};
use crate::core::contract::records::Seal;
use crate::core::values::amount::{ExactAmount, format_units_wide, parse_signed_units};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::rate::Rate;
use crate::core::values::time::{TimeMs, timestamp};
use crate::serve::figures::{FigureError, times};
use crate::serve::view::{ListingOnRecord, PublishedState, ViewCatalogue};

/// What an amount rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LiabilityBasis {
    /// The figures of the gate: the sum of the distributions that it holds.
    Held,
    /// The pool of the close, with what is carried in, less the commission.
    Pool,
    /// What the sealed epoch `like_epoch` rewarded, by the time that has passed. A rate that differs is taken into account.
    LikeEpoch,
    /// The epoch is sealed by now: what it rewarded, by the time that had passed.
    Sealed,
    /// The programme rewards nothing: its rate or its multipliers are zero, or all is commission.
    Nothing,
    /// No epoch with the same mode and reward asset is sealed to estimate by.
    Unknown,
}

/// Consecutive epochs of an asset that are in one state and have one basis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LiabilityLine {
    #[schema(value_type = String)]
    pub asset: Asset,
    #[schema(value_type = String)]
    pub reward_asset: Asset,
    /// `open`, `closing`, `held` or `sealed`.
    pub state: &'static str,
    #[schema(value_type = u64)]
    pub first_epoch: Epoch,
    #[schema(value_type = u64)]
    pub last_epoch: Epoch,
    /// When the first epoch starts.
    pub start: String,
    /// Up to when they count: the end of the last epoch, or the time that was asked for, whichever is earlier.
    pub until: String,
    /// In the reward asset. Null if the basis is `unknown`.
    pub amount: Option<String>,
    /// Whether the amount may still change for the same epochs and time.
    pub is_estimate: bool,
    pub basis: LiabilityBasis,
    /// With the basis `like_epoch`, the sealed epoch that the estimate is made like.
    #[schema(value_type = Option<u64>)]
    pub like_epoch: Option<Epoch>,
}

/// The sum of a reward asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LiabilityTotal {
    #[schema(value_type = String)]
    pub reward_asset: Asset,
    pub amount: String,
    /// Whether each line has an amount.
    pub is_complete: bool,
}

/// What is accrued at a time, and is in no statement of epochs that ended by then and are sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Liabilities {
    pub as_of: String,
    /// By reward asset.
    pub totals: Vec<LiabilityTotal>,
    /// By asset and epoch.
    pub items: Vec<LiabilityLine>,
}

/// The liabilities of all assets at a time. `seal_of` finds a seal.
///
/// # Errors
/// Those of `seal_of`, or if a published figure is none that softstake writes.
pub fn liabilities<'a, E: From<FigureError>>(
    catalogue: &ViewCatalogue,
    seal_of: impl Fn(Asset, Epoch) -> Result<Option<Seal<'a>>, E>,
    at: TimeMs,
) -> Result<Liabilities, E> {
    let mut items = Vec::new();
    for asset in catalogue.assets() {
        let newest = catalogue.newest_sealed(asset);
        let newest = newest.map(|epoch| seal_of(asset, epoch)).transpose()?.flatten();
        for (_, listed) in catalogue.listings_of(asset) {
            let of = LiabilityOf {
                catalogue,
                listed,
                newest: newest.as_ref(),
                at_ms: i128::from(at.get()),
            };
            let astride = of.sealed_astride().map(|epoch| seal_of(asset, epoch)).transpose()?;
            if let Some(seal) = astride.flatten() {
                add(&mut items, of.sealed(&seal)?)?;
            }
            for line in of.closed()?.into_iter().chain(of.open()?) {
                add(&mut items, line)?;
            }
        }
    }
    Ok(Liabilities {
        as_of: at.to_string(),
        totals: totals(&items)?,
        items,
    })
}

/// Adds a line, to the one before it if that continues it.
fn add(lines: &mut Vec<LiabilityLine>, line: LiabilityLine) -> Result<(), FigureError> {
    let before = lines.last_mut().filter(|before| {
        (before.asset, before.state, before.basis, before.like_epoch)
            == (line.asset, line.state, line.basis, line.like_epoch)
            && before.last_epoch.saturating_add(1) == line.first_epoch
            && before.until == line.start
    });
    match before {
        None => lines.push(line),
        Some(before) => {
            before.amount = match (&before.amount, &line.amount) {
                (Some(sum), Some(amount)) => Some(plus(sum, amount)?),
                _ => None,
            };
            before.last_epoch = line.last_epoch;
            before.until = line.until;
        }
    }
    Ok(())
}

fn totals(lines: &[LiabilityLine]) -> Result<Vec<LiabilityTotal>, FigureError> {
    let mut totals = Vec::<LiabilityTotal>::new();
    for line in lines {
        let at = totals.binary_search_by_key(&line.reward_asset, |total| total.reward_asset);
        let at = at.unwrap_or_else(|at| {
            totals.insert(
                at,
                LiabilityTotal {
                    reward_asset: line.reward_asset,
                    amount: "0".into(),
                    is_complete: true,
                },
            );
            at
        });
        if let Some(total) = totals.get_mut(at) {
            total.is_complete &= line.amount.is_some();
            total.amount = plus(&total.amount, line.amount.as_deref().unwrap_or("0"))?;
        }
    }
    Ok(totals)
}

fn plus(one: &str, other: &str) -> Result<String, FigureError> {
    let sum = ExactAmount::parse(one).zip(ExactAmount::parse(other));
    let sum = sum.and_then(|(one, other)| one.plus(other)).ok_or(SumTooLarge)?;
    Ok(sum.to_string())
}

/// A listing at a time.
struct LiabilityOf<'a> {
    catalogue: &'a ViewCatalogue,
    listed: &'a ListingOnRecord,
    /// The newest seal of the asset.
    newest: Option<&'a Seal<'a>>,
    at_ms: i128,
}

/// What an amount is, in units of the reward asset, and what it rests on.
type Found = (Option<U512>, LiabilityBasis);

impl LiabilityOf<'_> {
    const fn asset(&self) -> Asset {
        self.listed.terms.asset
    }

    /// The last epoch that has begun before the time, if the listing has it.
    fn newest_begun(&self) -> Option<Epoch> {
        let calendar = &self.listed.terms.calendar;
        let before = i64::try_from(self.at_ms.checked_sub(1)?).ok()?;
        let begun = calendar.epoch_of(TimeMs::from(before))?;
        let last = self.listed.withdrawn.map_or(Some(begun), |end| {
            Some(begun.min(Epoch::new(end.get().checked_sub(1)?)))
        })?;
        (last >= calendar.first()).then_some(last)
    }

    /// The sealed epoch that had begun and was not over.
    fn sealed_astride(&self) -> Option<Epoch> {
        let epoch = self.newest_begun()?;
        let is_over = self.listed.terms.calendar.end_ms(epoch) <= self.at_ms;
        (!is_over && self.catalogue.is_sealed(self.asset(), epoch)).then_some(epoch)
    }

    fn sealed(&self, seal: &Seal<'_>) -> Result<LiabilityLine, FigureError> {
        let amount = self.like(seal, self.passed(seal.epoch, seal.epoch), (1, 1))?;
        Ok(self.line(
            PublishedState::Sealed,
            (seal.epoch, seal.epoch),
            (Some(amount), LiabilityBasis::Sealed),
        ))
    }

    /// Epochs that are closed, and not sealed or void.
    fn closed(&self) -> Result<Vec<LiabilityLine>, FigureError> {
        let Some(newest) = self.newest_begun() else {
            return Ok(Vec::new());
        };
        let mut lines = Vec::new();
        for epoch in self
            .listed
            .closed_from(self.first_unsealed())
            .filter(|epoch| *epoch <= newest)
        {
            let state = self.catalogue.state(self.asset(), epoch);
            let found = match state {
                Some(PublishedState::Held) => self.held(epoch)?,
                Some(PublishedState::Closing) => self.closing(epoch)?,
                _ => continue,
            };
            lines.push(self.line(state.unwrap_or(PublishedState::Closing), (epoch, epoch), found));
        }
        Ok(lines)
    }

    /// Epochs that have begun and are not closed, by the programme in force.
    fn open(&self) -> Result<Vec<LiabilityLine>, FigureError> {
        let mut lines = Vec::new();
        let mut first = self.listed.oldest_open;
        while let Some(newest) = self.newest_begun().filter(|newest| first <= *newest) {
            let next = self.listed.programmes.iter().map(|programme| programme.from_epoch);
            let next = next.filter(|from| *from > first).min();
            let last = next.map_or(newest, |next| newest.min(Epoch::new(next.get().saturating_sub(1))));
            let found = self.estimate(first, last)?;
            lines.push(self.line(PublishedState::Open, (first, last), found));
            first = last.saturating_add(1);
        }
        Ok(lines)
    }

    fn first_unsealed(&self) -> Epoch {
        let first = self.listed.terms.calendar.first();
        let newest = self.newest.map_or(first, |seal| seal.epoch.saturating_add(1));
        first.max(newest)
    }

    fn held(&self, epoch: Epoch) -> Result<Found, FigureError> {
        let held = self.listed.held(epoch);
        let total = held.and_then(|held| parse_signed_units(&held.total, self.decimals()));
        let total = total.ok_or_else(|| self.wrong(epoch, "total"))?;
        Ok((Some(self.part_of(magnitude(total), epoch)?), LiabilityBasis::Held))
    }

    fn closing(&self, epoch: Epoch) -> Result<Found, FigureError> {
        let programme = self.programme(epoch)?;
        if programme.mode != Mode::Pool || rewards_nothing(programme) {
            return self.estimate(epoch, epoch);
        }
        let units = |text: &str| parse_signed_units(text, self.decimals());
        let before = self
            .newest
            .filter(|seal| seal.epoch.saturating_add(1) == epoch && epoch > self.listed.terms.calendar.first());
        let carried = before.map_or(Some(I256::ZERO), |seal| units(&seal.carried_out));
        let pool = self.listed.pool(epoch).map_or(Some(I256::ZERO), |pool| units(&pool));
        let split = pool
            .zip(carried)
            .and_then(|(pool, carried)| Split::of_pool(pool, programme.commission_rate, carried).ok());
        let split = split.ok_or_else(|| self.wrong(epoch, "reward_pool"))?;
        Ok((Some(self.part_of(split.to_share(), epoch)?), LiabilityBasis::Pool))
    }

    /// By what the newest sealed epoch rewarded.
    fn estimate(&self, first: Epoch, last: Epoch) -> Result<Found, FigureError> {
        let programme = self.programme(first)?;
        let (rates, _) = self.listed.closed_as(first);
        let apr = match programme.mode {
            Mode::Apr { rate } if first < self.listed.oldest_open => Some(rates.apr.unwrap_or(rate)),
            Mode::Apr { rate } => Some(self.expected(programme, rate)?),
            Mode::Pool | Mode::AprPerTier => None,
        };
        if rewards_nothing(programme) || apr.is_some_and(Rate::is_zero) {
            return Ok((Some(U512::ZERO), LiabilityBasis::Nothing));
        }
        let unknown = Ok((None, LiabilityBasis::Unknown));
        let is_alike = |seal: &&Seal<'_>| {
            seal.reward_asset == self.listed.terms.reward_asset()
                && seal.mode == programme.mode.name()
                && seal.apr.is_some() == apr.is_some()
        };
        let Some(seal) = self.newest.filter(is_alike) else {
            return unknown;
        };
        let rates = match apr.zip(paid_rate(seal)?) {
            None => (1, 1),
            Some((_, paid)) if paid.is_zero() => return unknown,
            Some((apr, paid)) => (apr.parts(), paid.parts()),
        };
        let amount = self.like(seal, self.passed(first, last), rates)?;
        Ok((Some(amount), LiabilityBasis::LikeEpoch))
    }

    /// The rate that an open epoch is likely to have: a close may give another one than the programme, and then the next one will, too.
    fn expected(&self, programme: &Programme, own: Rate) -> Result<Rate, FigureError> {
        let same = self
            .newest
            .filter(|seal| seal.programme_from_epoch == programme.from_epoch);
        Ok(same.map(paid_rate).transpose()?.flatten().unwrap_or(own))
    }

    /// What a sealed epoch rewarded in so much time, at one rate in place of another. It is rounded once.
    fn like(&self, seal: &Seal<'_>, passed_ms: u128, (now, then): (u128, u128)) -> Result<U512, FigureError> {
        let (start, end) = times(seal)?;
        let rewarded = parse_signed_units(&seal.rewarded, self.decimals());
        let rewarded = rewarded.ok_or_else(|| FigureError::field(seal, "rewarded"))?;
        let length_ms = U512::from(end.get().abs_diff(start.get()));
        let numerator = magnitude(rewarded)
            .checked_mul(U512::from(passed_ms))
            .and_then(|product| product.checked_mul(U512::from(now)));
        let denominator = length_ms.checked_mul(U512::from(then)).ok_or(SumTooLarge)?;
        let amount = numerator.ok_or(SumTooLarge)?.checked_div(denominator);
        amount.ok_or_else(|| FigureError::field(seal, "epoch_end"))
    }

    /// The part of an epoch's amount for the time that had passed.
    fn part_of(&self, units: U512, epoch: Epoch) -> Result<U512, FigureError> {
        let length = U512::from(self.listed.terms.calendar.length_ms());
        let product = units.checked_mul(U512::from(self.passed(epoch, epoch)));
        let part = product.and_then(|product| product.checked_div(length));
        Ok(part.ok_or(SumTooLarge)?)
    }

    /// The time from the start of an epoch to the end of another one, as far as it had passed.
    fn passed(&self, first: Epoch, last: Epoch) -> u128 {
        let calendar = &self.listed.terms.calendar;
        let until = calendar.end_ms(last).min(self.at_ms);
        u128::try_from(until - calendar.start_ms(first)).unwrap_or(0)
    }

    fn decimals(&self) -> u8 {
        self.listed.terms.reward_decimals()
    }

    fn programme(&self, epoch: Epoch) -> Result<&Programme, FigureError> {
        let programme = self.listed.programme(epoch);
        programme.ok_or_else(|| self.wrong(epoch, "programme"))
    }

    const fn wrong(&self, epoch: Epoch, field: &'static str) -> FigureError {
        FigureError::Decision {
            asset: self.asset(),
            epoch,
            field,
        }
    }

    fn line(&self, state: PublishedState, (first, last): (Epoch, Epoch), (units, basis): Found) -> LiabilityLine {
        let calendar = &self.listed.terms.calendar;
        let decimals = u32::from(self.decimals());
        LiabilityLine {
            asset: self.asset(),
            reward_asset: self.listed.terms.reward_asset(),
            state: state.name(),
            first_epoch: first,
            last_epoch: last,
            start: timestamp(calendar.start_ms(first)),
            until: timestamp(calendar.end_ms(last).min(self.at_ms)),
            amount: units.map(|units| format_units_wide(false, units, decimals)),
            is_estimate: !matches!(basis, LiabilityBasis::Held | LiabilityBasis::Sealed),
            basis,
            like_epoch: match basis {
                LiabilityBasis::LikeEpoch => self.newest.map(|seal| seal.epoch),
                _ => None,
            },
        }
    }
}

/// The yearly rate that a sealed epoch paid.
fn paid_rate(seal: &Seal<'_>) -> Result<Option<Rate>, FigureError> {
    let rate = seal.apr.as_deref().map(|text| Rate::parse(text, u32::MAX));
    rate.transpose().map_err(|_| FigureError::field(seal, "apr"))
}

/// Whether nobody can earn anything, whatever the balances are. The rate of a whole programme may still be another one by the close.
fn rewards_nothing(programme: &Programme) -> bool {
    let is_all_commission = programme.mode == Mode::Pool && programme.commission_rate == Rate::ONE;
    is_all_commission || programme.tiers.iter().all(|tier| tier.factor.parts() == 0)
}

#[cfg(test)]
mod tests;
