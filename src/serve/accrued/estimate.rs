//! What an account has accrued, from its holdings and the rules on record. The arithmetic is that of settlement.

use std::collections::BTreeMap;

use ethnum::I256;
use ruint::aliases::U512;
use serde_json::Value;

use crate::core::accrue::eligibility::{Eligibility, KeptStatus, StatusScope, StatusVerdict};
use crate::core::accrue::row::{Row, unit_ms};
use crate::core::accrue::settle::{Measure, Rules};
use crate::core::accrue::wide::magnitude;
use crate::core::contract::decision::Offsets;
use crate::core::contract::programme::{Mode, Programme, Scope};
use crate::core::contract::records::Seal;
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::{Pot, Settlement};
use crate::core::values::amount::parse_signed_units;
use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::time::TimeMs;
use crate::deployment::holdings::{LedgerHolding, LedgerHoldings};
use crate::serve::view::{ListingOnRecord, PublishedState, ViewCatalogue};

/// The most epochs of an asset that are estimated: more wait only if an asset is not closed for long.
const MOST_EPOCHS: usize = 64;

/// What an account holds of an asset, and what it has accrued.
#[derive(Debug, Clone, PartialEq)]
pub struct AccruedEstimate {
    pub asset: Asset,
    pub reward_asset: Asset,
    /// The balance after all postings so far, in the asset.
    pub balance: String,
    /// The part of the due that was not paid, in the reward asset; negative for a debt.
    pub withheld: String,
    /// Epochs that are not settled and have begun, oldest first.
    pub epochs: Vec<AccruedEpoch>,
}

/// An account in an epoch that is not settled.
#[derive(Debug, Clone, PartialEq)]
pub struct AccruedEpoch {
    pub epoch: Epoch,
    /// In milliseconds since 1970.
    pub start_ms: i128,
    pub end_ms: i128,
    pub state: PublishedState,
    /// Balance times time from the start until now, in asset times seconds.
    pub balance_seconds_so_far: String,
    /// The average balance at the end, if the balance stays as it is.
    pub average_balance: String,
    /// Whether it earns, by what is known now: `earns`, `empty`, `excluded`, `negative`, `below_minimum`; `by_owner` if minimum and cap apply to all
    /// accounts of the owner together.
    pub eligibility: &'static str,
    /// What of the average balance counts, if that is known.
    pub counted_balance: Option<String>,
    /// What the epoch adds to the due, if the balance stays as it is.
    pub reward: Option<String>,
    /// The part of it that the balance has earned up to now.
    pub reward_so_far: Option<String>,
    /// What the reward is estimated by: the rate of the programme or the close, or what this sealed epoch paid for the same balance.
    pub like_epoch: Option<Epoch>,
    /// The programme in force, as JSON, with every default.
    pub programme: Value,
}

/// What an account has accrued of each asset. `newest_seal` finds the newest seal of an asset; `now` is the time now.
///
/// # Errors
/// If the holdings are not of this deployment.
pub fn estimates(
    holdings: &LedgerHoldings,
    catalogue: &ViewCatalogue,
    newest_seal: impl Fn(Asset) -> Option<Seal<'static>>,
    now: TimeMs,
) -> Result<Vec<AccruedEstimate>, Fault> {
    let mut found = Vec::new();
    for holding in &holdings.assets {
        // A listing that the view has not read yet is left out until it has.
        let Some((_, listed)) = catalogue.listings().nth(usize::from(holding.number)) else {
            continue;
        };
        let account = AccountOf {
            catalogue,
            listed,
            holding,
            own: &holdings.statuses,
            of_owner: &holdings.owner_statuses,
            seal: newest_seal(listed.terms.asset),
            now: i128::from(now.get()),
        };
        found.push(account.estimate()?);
    }
    Ok(found)
}

/// An account and one listing.
struct AccountOf<'a> {
    catalogue: &'a ViewCatalogue,
    listed: &'a ListingOnRecord,
    holding: &'a LedgerHolding,
    own: &'a [KeptStatus],
    of_owner: &'a [KeptStatus],
    /// The newest seal of the asset.
    seal: Option<Seal<'static>>,
    now: i128,
}

impl AccountOf<'_> {
    fn estimate(&self) -> Result<AccruedEstimate, Fault> {
        let terms = &self.listed.terms;
        let mut balance = whole(&self.holding.opening)?;
        let mut rows = BTreeMap::new();
        for epoch in &self.holding.epochs {
            let row = Row {
                delta: whole(&epoch.delta)?,
                weighted: whole(&epoch.weighted)?,
            };
            rows.insert(epoch.epoch, row);
        }
        let mut epochs = Vec::new();
        let mut epoch = self.holding.unsettled_from.max(terms.calendar.first());
        while epochs.len() < MOST_EPOCHS && self.has_begun(epoch) {
            let row = rows.remove(&epoch).unwrap_or_default();
            epochs.extend(self.in_epoch(epoch, balance, row)?);
            balance = added(balance, row.delta)?;
            epoch = epoch.next()?;
        }
        for row in rows.values() {
            balance = added(balance, row.delta)?;
        }
        let last = self
            .listed
            .programmes
            .last()
            .ok_or_else(|| impossible("a listing without a programme"))?;
        let rules = Rules::of_programme(terms, last)?;
        Ok(AccruedEstimate {
            asset: terms.asset,
            reward_asset: terms.reward_asset(),
            balance: rules.balance(balance).into(),
            withheld: rules.signed_reward(whole(&self.holding.withheld)?).into(),
            epochs,
        })
    }

    fn has_begun(&self, epoch: Epoch) -> bool {
        let has_begun = self.listed.terms.calendar.start_ms(epoch) <= self.now || epoch < self.listed.oldest_open;
        has_begun && self.listed.withdrawn.is_none_or(|end| epoch < end)
    }

    fn in_epoch(&self, epoch: Epoch, opening: I256, row: Row) -> Result<Option<AccruedEpoch>, Fault> {
        let terms = &self.listed.terms;
        let state = self.catalogue.state(terms.asset, epoch).unwrap_or(PublishedState::Open);
        let Some(programme) = self.listed.programme(epoch).filter(|_| state != PublishedState::Sealed) else {
            return Ok(None);
        };
        let (rates, is_last) = self.listed.closed_as(epoch);
        let settlement = Settlement {
            at: AssetEpoch::new(self.holding.number, epoch)?,
            rules: self.catalogue.rules(),
            terms: terms.clone(),
            programme: programme.clone(),
            // Every status that the ledger has counts.
            cut: Offsets(BTreeMap::new()),
            rates,
            is_last,
        };
        let rules = Rules::new(&settlement)?;
        let (start_ms, end_ms) = (terms.calendar.start_ms(epoch), terms.calendar.end_ms(epoch));
        let verdict = self.verdict(start_ms, end_ms, programme)?;
        let mut measure = rules.hold(opening, row, verdict)?;
        let is_by_owner = programme.scope == Scope::Owner;
        if measure.eligibility == Eligibility::BelowMinimum && !is_by_owner {
            measure.eligibility = rules.weigh(magnitude(measure.held))?;
        }
        let (counted, reward, like_epoch) = match measure.eligibility {
            Eligibility::Eligible { counted, weight } => {
                let (reward, like_epoch) = self.reward(programme, &rules, counted, weight)?;
                (Some(average(&rules, counted)?), reward, like_epoch)
            }
            _ => (None, None, None),
        };
        let so_far = self.so_far(&measure, start_ms, end_ms)?;
        let reward_so_far = reward.and_then(|reward| part(reward, so_far, measure.held));
        Ok(Some(AccruedEpoch {
            epoch,
            start_ms,
            end_ms,
            state,
            balance_seconds_so_far: rules.balance_seconds(so_far).into(),
            average_balance: rules.average(measure.held).into(),
            eligibility: name(measure.eligibility, is_by_owner),
            counted_balance: counted,
            reward: reward.map(|reward| rules.reward(reward).into()),
            reward_so_far: reward_so_far.map(|reward| rules.reward(reward).into()),
            like_epoch,
            programme: programme.to_value(terms.programme_decimals()),
        }))
    }

    fn verdict(&self, start_ms: i128, end_ms: i128, programme: &Programme) -> Result<StatusVerdict, Fault> {
        let mut cut = Offsets::default();
        for status in self.own.iter().chain(self.of_owner) {
            let past = cut.0.entry(status.source).or_default();
            *past = (*past).max(status.offset.next()?);
        }
        let scope = StatusScope {
            asset: self.listed.terms.asset,
            cut: &cut,
            start_ms,
            end_ms,
        };
        Ok(scope.verdict(self.own, self.of_owner, programme.enrolment))
    }

    /// S up to now: S at the end, less what the balance adds from now to then.
    fn so_far(&self, measure: &Measure, start_ms: i128, end_ms: i128) -> Result<I256, Fault> {
        let rest = u64::try_from(end_ms - self.now.clamp(start_ms, end_ms)).unwrap_or(0);
        let added = unit_ms(measure.closing, rest);
        added
            .and_then(|added| measure.held.checked_sub(added))
            .ok_or(Fault::Overflow("an account's balance-milliseconds"))
    }

    /// By a rate, or by what the newest sealed epoch paid for the same balance.
    fn reward(
        &self,
        programme: &Programme,
        rules: &Rules,
        counted: U512,
        weight: U512,
    ) -> Result<(Option<U512>, Option<Epoch>), Fault> {
        if programme.mode != Mode::Pool {
            let no_pot = Pot {
                to_share: U512::ZERO,
                weight: U512::ZERO,
            };
            return Ok((Some(rules.share(weight, no_pot)?), None));
        }
        let terms = &self.listed.terms;
        let like = self
            .seal
            .as_ref()
            .filter(|seal| seal.reward_asset == terms.reward_asset());
        let like = like.and_then(|seal| {
            let rewarded = magnitude(parse_signed_units(&seal.rewarded, terms.reward_decimals())?);
            let eligible = magnitude(parse_signed_units(&seal.eligible_balance_seconds, terms.decimals + 3)?);
            let reward = rewarded.checked_mul(counted)?.checked_div(eligible)?;
            Some((reward, seal.epoch))
        });
        Ok(like.unzip())
    }
}

/// The part of a reward for `held` that was earned with `so_far` of it.
fn part(reward: U512, so_far: I256, held: I256) -> Option<U512> {
    if so_far.is_negative() {
        return Some(U512::ZERO);
    }
    // A balance below zero takes away from `held` what was earned.
    let earned = magnitude(so_far.min(held));
    reward.checked_mul(earned)?.checked_div(magnitude(held))
}

fn name(eligibility: Eligibility, is_by_owner: bool) -> &'static str {
    match eligibility {
        Eligibility::Eligible { .. } => "earns",
        Eligibility::Empty => "empty",
        Eligibility::Excluded => "excluded",
        Eligibility::Negative => "negative",
        Eligibility::BelowMinimum if is_by_owner => "by_owner",
        Eligibility::BelowMinimum => "below_minimum",
    }
}

/// Unit-milliseconds as an average balance.
fn average(rules: &Rules, unit_ms: U512) -> Result<String, Fault> {
    let unit_ms = whole(&unit_ms.to_string())?;
    Ok(rules.average(unit_ms).into())
}

fn whole(text: &str) -> Result<I256, Fault> {
    I256::from_str_radix(text, 10).map_err(|error| Fault::Undecodable {
        what: "a number of the processor",
        why: error.to_string(),
    })
}

fn added(balance: I256, delta: I256) -> Result<I256, Fault> {
    balance
        .checked_add(delta)
        .ok_or(Fault::Overflow("an account's balance"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_so_far_is_never_more_than_the_whole() {
        let cases = [
            (100_u64, 1, 4, 25_u64),
            (100, 4, 4, 100),
            (100, 1, 3, 33),
            (100, 0, 4, 0),
            (100, -5, 4, 0),
            (100, 9, 4, 100),
        ];
        for (reward, so_far, held, expected) in cases {
            let part = part(U512::from(reward), I256::from(so_far), I256::from(held));
            assert_eq!(part, Some(U512::from(expected)), "{so_far} of {held}");
        }
    }
}
