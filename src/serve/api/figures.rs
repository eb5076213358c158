//! The figures of treasury and finance, from the seals.

use axum::extract::State;
use axum::response::Response;

use crate::core::values::ids::Epoch;
use crate::serve::answer::{Problem, ProblemBody};
use crate::serve::api::accrued::now;
use crate::serve::api::reply;
use crate::serve::api::request::ApiRequest;
use crate::serve::api::shared::Api;
use crate::serve::auth::{Caller, Right};
use crate::serve::figures::FigureError;
use crate::serve::figures::finance::{FinanceLine, finance as finance_lines};
use crate::serve::figures::liabilities::{Liabilities, liabilities};
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
        ("from" = Option<String>, Query, description = "Epochs whose last moment is at this date or time, or later"),
        ("to" = Option<String>, Query, description = "Epochs whose last moment is before this date or time"),
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
    let period = request.period()?;
    let days = request.whole("unbonding_days", 1, MOST_UNBONDING_DAYS)?;
    let figures = api
        .read(move |view| {
            let mut seals = Vec::new();
            view.each_seal(Some(asset), Epoch::FIRST, |seal| {
                seals.push(seal);
                Ok(true)
            })?;
            let days = days.unwrap_or(UNBONDING_DAYS);
            Ok(treasury_figures(asset, &seals, period, days).map_err(ViewError::from)?)
        })
        .await?;
    reply::json(&api, &request, &figures)
}

/// What finance books, by month
///
/// The sums of the seals of each asset, with the line that shows that no money appeared or vanished.
#[utoipa::path(get, path = "/v1/finance", tag = "finance",
    params(
        ("from" = Option<String>, Query, description = "Epochs whose last moment is at this date or time, or later"),
        ("to" = Option<String>, Query, description = "Epochs whose last moment is before this date or time"),
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
    let period = request.period()?;
    let follows_credits = api.follows_credits;
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
            let credited = follows_credits.then(|| view.credited()).transpose()?;
            Ok(finance_lines(&seals, begins_listing, period, credited.as_ref()).map_err(ViewError::from)?)
        })
        .await?;
    items.sort_by(|a, b| b.month.cmp(&a.month));
    reply::json(&api, &request, &FinanceAnswer { items })
}

/// What is accrued and in no statement yet
///
/// By asset and epoch: what accounts have accrued in epochs that are open, closed or held, in the reward asset. At an earlier time, also the part of an epoch
/// that had begun then and is sealed now. So it and the statement of what had ended by then have everything once. Void epochs are left out.
#[utoipa::path(get, path = "/v1/finance/accrued", tag = "finance",
    params(("at" = Option<String>, Query, description = "A date or time that is not in the future; default: now")),
    responses(
        (status = 200, description = "The totals, and the lines that they are of", body = Liabilities),
        (status = 400, description = "A parameter is wrong", body = ProblemBody),
        (status = 401, description = "No valid token", body = ProblemBody),
        (status = 403, description = "No role of the token may see this", body = ProblemBody),
        (status = 429, description = "Too many requests", body = ProblemBody),
        (status = 500, description = "What was published contradicts itself", body = ProblemBody),
        (status = 503, description = "Busy", body = ProblemBody)
    ))]
pub(super) async fn finance_accrued(
    State(api): State<Api>,
    caller: Caller,
    request: ApiRequest,
) -> Result<Response, Problem> {
    caller.may(Right::Finance).await?;
    request.allow(&["at"])?;
    let now = now();
    let at = request.past("at", now)?.unwrap_or(now);
    let answer = api
        .read(move |view| {
            let seal_of = |asset, epoch| view.seal(asset, epoch);
            Ok(liabilities(&view.catalogue(), seal_of, at)?)
        })
        .await?;
    reply::json(&api, &request, &answer)
}

impl From<FigureError> for ViewError {
    fn from(error: FigureError) -> Self {
        Self::Figure(error.to_string())
    }
}
