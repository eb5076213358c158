//! What an account has accrued in epochs that are not settled yet.

use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::core::values::time::{TimeMs, timestamp};
use crate::serve::accrued::{AccruedEpoch, AccruedEstimate, estimates};
use crate::serve::answer::{Problem, ProblemBody};
use crate::serve::api::answers::ListAnswer;
use crate::serve::api::reply;
use crate::serve::api::request::ApiRequest;
use crate::serve::api::shared::Api;
use crate::serve::auth::{Caller, Right};
use crate::serve::processors::ProcessorsError;
use crate::serve::view::ViewError;

/// Some instances may fail while others answer, so the end of an outage is told only this long after its begin.
const OUTAGE: Duration = Duration::from_secs(60);

/// What an account holds of an asset, and has accrued.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccruedAnswer {
    pub asset: String,
    pub reward_asset: String,
    /// The balance now, in the asset.
    pub balance: String,
    /// What is kept back of earlier rewards, in the reward asset; negative for a debt.
    pub withheld: String,
    /// Epochs that are not settled and have begun, oldest first.
    pub epochs: Vec<AccruedEpochAnswer>,
}

/// An account in an epoch that is not settled.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccruedEpochAnswer {
    pub epoch: u64,
    pub start: String,
    pub end: String,
    /// `open`, `closing`, `held` or `void`.
    pub state: &'static str,
    /// Balance times seconds from the start until now.
    pub balance_seconds_so_far: String,
    /// The average balance at the end, if the balance stays as it is.
    pub average_balance: String,
    /// `earns`, `empty`, `excluded`, `negative`, `below_minimum`, or `by_owner` if minimum and cap apply to all accounts of the owner together.
    pub eligibility: &'static str,
    /// What of the average balance counts; null if it does not earn, or that is not known.
    pub counted_balance: Option<String>,
    /// An estimate of the reward, if the balance stays as it is; null if there is nothing to estimate it by.
    pub reward: Option<String>,
    /// The part of `reward` that the balance has earned up to now.
    pub reward_so_far: Option<String>,
    /// Of a pool, which is not known before the close: the sealed epoch whose reward for the same balance this is. Null if a rate decides.
    pub like_epoch: Option<u64>,
    /// The programme in force in the epoch (contract, section 3.2), with every default.
    #[schema(value_type = Object)]
    pub programme: Value,
}

/// What an account has accrued
///
/// An estimate from the newest balances of the processor: what each epoch that is not settled would add, if the balance stays as it is.
#[utoipa::path(get, path = "/v1/accounts/{account}/accrued", tag = "accounts",
    params(("account" = String, Path, description = "The account; a `/` in it is written as %2F")),
    responses(
        (status = 200, description = "By asset", body = ListAnswer<AccruedAnswer>),
        (status = 401, description = "No valid token", body = ProblemBody),
        (status = 403, description = "The token does not show this account", body = ProblemBody),
        (status = 404, description = "This server is told no address of a processor", body = ProblemBody),
        (status = 503, description = "No processor has the account now", body = ProblemBody)
    ))]
pub(super) async fn accrued(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    let account = request.account()?;
    caller.may(Right::Account(&account)).await?;
    request.allow(&[])?;
    let Some(processors) = api.processors.clone() else {
        return Err(Problem::not_found(
            "There are no estimates here: `serve.processors` is not set. What was paid is under /v1/accounts/{account}/distributions.",
        ));
    };
    let assets = u16::try_from(api.view.catalogue().listings().count()).unwrap_or(u16::MAX);
    let holdings = match processors.holdings(&account, assets.max(1)).await {
        Ok(holdings) => {
            if let Some(lasted) = api.no_estimates.ends_after(OUTAGE) {
                tracing::info!("estimates are given again after {} s", lasted.as_secs());
            }
            holdings
        }
        Err(error) => {
            if let ProcessorsError::Failed(why) = &error
                && api.no_estimates.begins()
            {
                tracing::warn!("no estimate: {why}");
            }
            return Err(Problem::unavailable(
                "No instance of the processor tells the balances of this account now: it starts, moves or is away. Try again in a moment.",
                10,
            ));
        }
    };
    let found = api
        .read(move |view| {
            let catalogue = view.catalogue();
            let newest = |asset| {
                let epoch = catalogue.newest_sealed(asset)?;
                view.seal(asset, epoch).ok().flatten()
            };
            Ok(estimates(&holdings, &catalogue, newest, now()).map_err(ViewError::from)?)
        })
        .await?;
    let answer = ListAnswer {
        next: None,
        items: found.into_iter().map(AccruedAnswer::from).collect(),
    };
    reply::json(&api, &request, &answer)
}

pub(super) fn now() -> TimeMs {
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    TimeMs::from(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}

impl From<AccruedEstimate> for AccruedAnswer {
    fn from(estimate: AccruedEstimate) -> Self {
        Self {
            asset: estimate.asset.to_string(),
            reward_asset: estimate.reward_asset.to_string(),
            balance: estimate.balance,
            withheld: estimate.withheld,
            epochs: estimate.epochs.into_iter().map(AccruedEpochAnswer::from).collect(),
        }
    }
}

impl From<AccruedEpoch> for AccruedEpochAnswer {
    fn from(epoch: AccruedEpoch) -> Self {
        Self {
            epoch: epoch.epoch.get(),
            start: timestamp(epoch.start_ms),
            end: timestamp(epoch.end_ms),
            state: epoch.state.name(),
            balance_seconds_so_far: epoch.balance_seconds_so_far,
            average_balance: epoch.average_balance,
            eligibility: epoch.eligibility,
            counted_balance: epoch.counted_balance,
            reward: epoch.reward,
            reward_so_far: epoch.reward_so_far,
            like_epoch: epoch.like_epoch.map(|epoch| epoch.get()),
            programme: epoch.programme,
        }
    }
}
