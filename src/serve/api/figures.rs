//! The figures of treasury and finance, from the seals.

use axum::extract::State;
use axum::response::Response;

use crate::core::values::ids::Epoch;
use crate::core::values::period::TimePeriod;
use crate::serve::answer::{Problem, ProblemBody};
use crate::serve::api::reply;
use crate::serve::api::request::ApiRequest;
use crate::serve::api::shared::Api;
use crate::serve::auth::{Caller, Right};
use crate::serve::figures::FigureError;
use crate::serve::figures::finance::{FinanceLine, finance as finance_lines};
use crate::serve::figures::treasury::{TreasuryFigures, treasury as treasury_figures};
use crate::serve::view::ViewError;

/// Days until staked coins are free again, if the question has none: those of Cosmos.
const UNBONDING_DAYS: u32 = 21;
/// The longest unbonding time that can be asked for, in days.
const MOST_UNBONDING_DAYS: u32 = 365;

/// A list of finance's lines.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct FinanceAnswer {
    /// The newest month first.
    pub items: Vec<FinanceLine>,
}

/// What can be staked of an asset
///
/// Eligible balances and flows by epoch, and how much of a balance stayed over the unbonding time in the last 90 days.
#[utoipa::path(get, path = "/v1/treasury/{asset}", tag = "treasury",
    params(
        ("asset" = String, Path, description = "The asset"),
        ("from" = Option<String>, Query, description = "Epochs that end at this date or time, or later"),
        ("to" = Option<String>, Query, description = "Epochs that end before this date or time"),
        ("unbonding_days" = Option<u32>, Query, minimum = 1, maximum = 365, description = "Days until staked coins are free again; default: 21")
    ),
    responses(
        (status = 200, description = "The figures", body = TreasuryFigures),
        (status = 400, description = "A parameter is wrong", body = ProblemBody),
        (status = 403, description = "No role of the token may see this", body = ProblemBody),
        (status = 404, description = "The asset is not listed", body = ProblemBody)
    ))]
pub(super) async fn treasury(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    caller.may(Right::Treasury).await?;
    request.allow(&["from", "to", "unbonding_days"])?;
    let asset = request.asset()?;
    if !api.view.catalogue().assets().contains(&asset) {
        return Err(Problem::not_found(format!(
            "{asset} is not listed. /v1/assets has the listed assets."
        )));
    }
    let (from, to) = request.period()?;
    let period = TimePeriod { from, to };
    let days = request.whole("unbonding_days", 1, MOST_UNBONDING_DAYS)?;
    let figures = api
        .read(move |view| {
            let mut seals = Vec::new();
            view.each_seal(Some(asset), Epoch::FIRST, |seal| {
                seals.push(seal);
                Ok(true)
            })?;
            Ok(treasury_figures(asset, &seals, period, days.unwrap_or(UNBONDING_DAYS)).map_err(wrong)?)
        })
        .await?;
    reply::json(&api, &request, &figures)
}

/// What finance books, by month
///
/// The sums of the seals of each asset, with the line that shows that no money appeared or vanished.
#[utoipa::path(get, path = "/v1/finance", tag = "finance",
    params(
        ("from" = Option<String>, Query, description = "Epochs that end at this date or time, or later"),
        ("to" = Option<String>, Query, description = "Epochs that end before this date or time"),
        ("by" = Option<String>, Query, pattern = "^month$", description = "`month`; default: month")
    ),
    responses(
        (status = 200, description = "A line for each month and asset", body = FinanceAnswer),
        (status = 400, description = "A parameter is wrong", body = ProblemBody),
        (status = 403, description = "No role of the token may see this", body = ProblemBody)
    ))]
pub(super) async fn finance(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    caller.may(Right::Finance).await?;
    request.allow(&["from", "to", "by"])?;
    request.choice("by", &[("month", ())])?;
    let (from, to) = request.period()?;
    let period = TimePeriod { from, to };
    let mut items = api
        .read(move |view| {
            let mut seals = Vec::new();
            view.each_seal(None, Epoch::FIRST, |seal| {
                seals.push(seal);
                Ok(true)
            })?;
            let catalogue = view.catalogue();
            let begins_listing = |asset, epoch| {
                let mut listings = catalogue.listings_of(asset);
                listings.any(|(_, listed)| listed.terms.calendar.first() == epoch)
            };
            Ok(finance_lines(&seals, begins_listing, period, None).map_err(wrong)?)
        })
        .await?;
    items.sort_by(|a, b| b.month.cmp(&a.month));
    reply::json(&api, &request, &FinanceAnswer { items })
}

fn wrong(error: FigureError) -> ViewError {
    ViewError::Figure(error.to_string())
}
