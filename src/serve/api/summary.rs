//! What an account was paid in a while, added up.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use ethnum::I256;
use ruint::aliases::U512;
use utoipa::ToSchema;

use crate::core::contract::records::Distribution;
use crate::core::values::amount::{ExactAmount, format_units_wide, parse_signed_units};
use crate::core::values::asset::Asset;
use crate::core::values::period::{day_of_epoch_ending, month_of_epoch_ending};
use crate::core::values::time::TimeMs;
use crate::serve::answer::{Problem, ProblemBody};
use crate::serve::api::answers::{PeriodAnswer, SummaryAnswer, TotalAnswer};
use crate::serve::api::reply;
use crate::serve::api::request::ApiRequest;
use crate::serve::api::shared::Api;
use crate::serve::auth::{Caller, Right};
use crate::serve::view::{PayoutFilter, View, ViewError};

/// Distributions read at a time.
const PART: usize = 1_000;
/// Decimals of an average: the most that an asset has.
const DECIMALS: u8 = 18;

/// What the payouts are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
enum By {
    Day,
    Month,
}

impl By {
    /// The period that an epoch is in: the day or the month of its last moment.
    fn period(self, end: TimeMs) -> String {
        match self {
            Self::Day => day_of_epoch_ending(end),
            Self::Month => month_of_epoch_ending(end),
        }
    }
}

/// Payouts that are added up.
#[derive(Debug, Clone, Copy, Default)]
struct PayoutSum {
    payouts: u64,
    amount: ExactAmount,
    /// In parts of 10^-21 of an asset times seconds.
    held: I256,
    length_ms: u64,
}

impl PayoutSum {
    fn add(&mut self, paid: &Distribution<'_>) -> Option<()> {
        let time = |text: &str| TimeMs::parse(text).ok().map(TimeMs::get);
        let length = time(&paid.epoch_end)?.checked_sub(time(&paid.epoch_start)?)?;
        self.payouts = self.payouts.checked_add(1)?;
        self.amount = self.amount.plus(ExactAmount::parse(&paid.amount)?)?;
        self.held = self
            .held
            .checked_add(parse_signed_units(&paid.balance_seconds, DECIMALS + 3)?)?;
        self.length_ms = self.length_ms.checked_add(u64::try_from(length).ok()?)?;
        Some(())
    }

    /// Balance-seconds in parts of 10^-21, divided by milliseconds, are parts of 10^-18. They are cut toward zero.
    fn average(&self) -> Option<String> {
        let average = self.held.checked_div(I256::from(self.length_ms))?;
        let magnitude = U512::from_le_slice(&average.unsigned_abs().to_le_bytes());
        Some(format_units_wide(average < I256::ZERO, magnitude, u32::from(DECIMALS)))
    }
}

type SumsOfAssets = BTreeMap<(Asset, Asset), PayoutSum>;

/// What an account was paid in a while
///
/// Only sealed epochs count.
#[utoipa::path(get, path = "/v1/accounts/{account}/summary", tag = "accounts",
    params(
        ("account" = String, Path, description = "The account; a `/` in it is written as %2F"),
        ("asset" = Option<String>, Query, description = "Only this asset"),
        ("from" = Option<String>, Query, description = "Epochs whose last moment is at this date or time, or later"),
        ("to" = Option<String>, Query, description = "Epochs whose last moment is before this date or time"),
        ("by" = inline(Option<By>), Query, description = "Without it there are totals alone")
    ),
    responses(
        (status = 200, description = "Totals and periods", body = SummaryAnswer),
        (status = 400, description = "A parameter is wrong", body = ProblemBody),
        (status = 403, description = "The token does not show this account", body = ProblemBody)
    ))]
pub(super) async fn summary(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    let account = request.account()?;
    caller.may(Right::Account(&account)).await?;
    request.allow(&["asset", "from", "to", "by"])?;
    let filter = PayoutFilter {
        asset: request.asset_filter()?,
        period: request.period()?,
        sealed_only: true,
    };
    let by = request.choice("by", &[("day", By::Day), ("month", By::Month)])?;
    let answer = api
        .read(move |view| Ok(summarize(view, account.as_str(), &filter, by)?))
        .await?;
    reply::json(&api, &request, &answer)
}

fn summarize(view: &View, account: &str, filter: &PayoutFilter, by: Option<By>) -> Result<SummaryAnswer, ViewError> {
    let mut totals = SumsOfAssets::new();
    let mut periods: BTreeMap<String, SumsOfAssets> = BTreeMap::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = view.distributions(account, filter, after.as_deref(), PART)?;
        for paid in &page.items {
            let paid = &paid.distribution;
            let wrong = || ViewError::Figure(format!("the distribution {} has a figure that is no number", paid.id()));
            let of = (paid.asset, paid.reward_asset);
            totals.entry(of).or_default().add(paid).ok_or_else(wrong)?;
            if let Some(by) = by {
                let end = TimeMs::parse(&paid.epoch_end).map_err(|_| wrong())?;
                let sums = periods.entry(by.period(end)).or_default();
                sums.entry(of).or_default().add(paid).ok_or_else(wrong)?;
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let totals = totals.into_iter().map(|((asset, reward_asset), sum)| TotalAnswer {
        asset: asset.to_string(),
        reward_asset: reward_asset.to_string(),
        payouts: sum.payouts,
        amount: sum.amount.to_string(),
    });
    let periods = periods.into_iter().rev().flat_map(|(period, sums)| {
        sums.into_iter().map(move |((asset, reward_asset), sum)| PeriodAnswer {
            period: period.clone(),
            asset: asset.to_string(),
            reward_asset: reward_asset.to_string(),
            payouts: sum.payouts,
            amount: sum.amount.to_string(),
            // No epoch is empty, so there is an average.
            average_balance: sum.average().unwrap_or_default(),
        })
    });
    Ok(SummaryAnswer {
        totals: totals.collect(),
        periods: periods.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::values::ids::Epoch;

    fn paid(start: &str, end: &str, amount: &str, balance_seconds: &str) -> Distribution<'static> {
        let asset = Asset::parse("ATOM").unwrap();
        Distribution {
            account: "alice".into(),
            asset,
            reward_asset: asset,
            epoch: Epoch::FIRST,
            epoch_start: start.to_owned().into(),
            epoch_end: end.to_owned().into(),
            amount: amount.to_owned().into(),
            rewarded: "0".into(),
            made_good: "0".into(),
            adjusted: "0".into(),
            withheld_before: "0".into(),
            balance_seconds: balance_seconds.to_owned().into(),
            average_balance: "0".into(),
            programme_from_epoch: Epoch::FIRST,
        }
    }

    #[test]
    fn an_average_is_weighted_by_length_and_cut() {
        let mut sum = PayoutSum::default();
        // An hour with 1, and two hours with 2: on average 5/3.
        sum.add(&paid("2026-11-01T00:00:00Z", "2026-11-01T01:00:00Z", "0.1", "3600"))
            .unwrap();
        sum.add(&paid("2026-11-01T01:00:00Z", "2026-11-01T03:00:00Z", "0.25", "14400"))
            .unwrap();
        assert_eq!(sum.average().unwrap(), "1.666666666666666666");
        assert_eq!((sum.payouts, sum.amount.to_string()), (2, "0.35".into()));
        let mut debt = PayoutSum::default();
        debt.add(&paid("2026-11-01T00:00:00Z", "2026-11-01T00:00:03Z", "1", "-1"))
            .unwrap();
        assert_eq!(debt.average().unwrap(), "-0.333333333333333333");
        assert!(debt.add(&paid("x", "2026-11-01T00:00:03Z", "1", "1")).is_none());
    }
}
