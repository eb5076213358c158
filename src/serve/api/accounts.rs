//! What an account was paid, and the proof of it.

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;
use utoipa::ToSchema;

use crate::core::contract::records::Seal;
use crate::core::values::csv_cell::harmless;
use crate::serve::answer::{Problem, ProblemBody, ProblemKind};
use crate::serve::api::answers::{DistributionAnswer, ListAnswer, SealedDistributionAnswer};
use crate::serve::api::reply;
use crate::serve::api::request::{ApiRequest, PageRequest};
use crate::serve::api::shared::Api;
use crate::serve::auth::{Caller, Right};
use crate::serve::view::{PaidDistribution, PayoutFilter, View, ViewProofError};

/// The most rows of a CSV file.
const MOST_ROWS: usize = 100_000;

/// The columns of a CSV file, in the order of [`cells`].
const COLUMNS: [&str; 18] = [
    "id",
    "account",
    "asset",
    "reward_asset",
    "epoch",
    "epoch_start",
    "epoch_end",
    "amount",
    "rewarded",
    "made_good",
    "adjusted",
    "withheld_before",
    "balance_seconds",
    "average_balance",
    "programme_from_epoch",
    "sealed",
    "credited_at",
    "credited_amount",
];

/// The form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
enum FileFormat {
    Json,
    Csv,
}

/// Distributions to an account
///
/// The newest first. With `format=csv`, the whole period in one file, at most 100,000 rows, whatever `limit` and `cursor` are.
#[utoipa::path(get, path = "/v1/accounts/{account}/distributions", tag = "accounts",
    params(
        ("account" = String, Path, description = "The account; a `/` in it is written as %2F"),
        ("asset" = Option<String>, Query, description = "Only this asset"),
        ("from" = Option<String>, Query, description = "Epochs whose last moment is at this date or time, or later"),
        ("to" = Option<String>, Query, description = "Epochs whose last moment is before this date or time"),
        ("format" = inline(Option<FileFormat>), Query, description = "Default: json"),
        PageRequest
    ),
    responses(
        (status = 200, description = "A page, or a CSV file",
            content((ListAnswer<DistributionAnswer> = "application/json"), (String = "text/csv")),
            headers(("Content-Disposition" = String, description = "The name of a CSV file"))),
        (status = 403, description = "The token does not show this account", body = ProblemBody)
    ))]
pub(super) async fn distributions(
    State(api): State<Api>,
    caller: Caller,
    request: ApiRequest,
) -> Result<Response, Problem> {
    let account = request.account()?;
    caller.may(Right::Account(&account)).await?;
    request.allow(&["asset", "from", "to", "format", "limit", "cursor"])?;
    let filter = PayoutFilter {
        asset: request.asset_filter()?,
        period: request.period()?,
        sealed_only: !caller.sees_unsealed(),
    };
    // A file has no pages, but a wrong parameter is wrong for it as well.
    request.page()?;
    let format = request.choice("format", &[("json", FileFormat::Json), ("csv", FileFormat::Csv)])?;
    if format == Some(FileFormat::Csv) {
        let text = api
            .read(move |view| distributions_csv(view, account.as_str(), &filter))
            .await?;
        return Ok(reply::csv(&api, &request, "distributions", text));
    }
    let read = move |view: &View, page: &PageRequest| {
        Ok(view.distributions(account.as_str(), &filter, page.after.as_deref(), page.limit)?)
    };
    reply::list::<DistributionAnswer, _>(&api, &request, read).await
}

fn distributions_csv(view: &View, account: &str, filter: &PayoutFilter) -> Result<Vec<u8>, Problem> {
    let page = view.distributions(account, filter, None, MOST_ROWS)?;
    if page.next.is_some() {
        return Err(Problem::parameter(
            "from",
            format!("There are more than {MOST_ROWS} rows; narrow `from` and `to`, or name an `asset`."),
        ));
    }
    let failed = |error: csv::Error| Problem::internal(&format!("a CSV file: {error}"));
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(failed)?;
    for paid in page.items {
        let cells = cells(paid.into());
        let cells = cells.iter().map(|cell| harmless(cell).into_owned());
        writer.write_record(cells).map_err(failed)?;
    }
    writer
        .into_inner()
        .map_err(|error| Problem::internal(&format!("a CSV file: {error}")))
}

fn cells(paid: DistributionAnswer) -> [String; 18] {
    [
        paid.id,
        paid.account,
        paid.asset,
        paid.reward_asset,
        paid.epoch.to_string(),
        paid.epoch_start,
        paid.epoch_end,
        paid.amount,
        paid.rewarded,
        paid.made_good,
        paid.adjusted,
        paid.withheld_before,
        paid.balance_seconds,
        paid.average_balance,
        paid.programme_from_epoch.to_string(),
        paid.sealed.to_string(),
        paid.credited_at.unwrap_or_default(),
        paid.credited_amount.unwrap_or_default(),
    ]
}

/// The distribution that a request names, as far as the caller sees it. Its path has account, asset and epoch.
pub(super) async fn asked_distribution(
    api: &Api,
    caller: &Caller,
    request: &ApiRequest,
) -> Result<(PaidDistribution, Option<Seal<'static>>), Problem> {
    let account = request.account()?;
    caller.may(Right::Account(&account)).await?;
    request.allow(&[])?;
    let (asset, epoch) = (request.asset()?, request.epoch()?);
    let sealed_only = !caller.sees_unsealed();
    api.read(move |view| {
        let found = view.distribution(account.as_str(), asset, epoch)?;
        let found = found.filter(|paid| paid.sealed || !sealed_only).ok_or_else(|| {
            Problem::not_found(format!(
                "The account was paid nothing of {asset} for epoch {epoch}, or not yet. /v1/assets/{asset}/epochs/{epoch} tells the state of \
                 the epoch."
            ))
        })?;
        Ok((found, view.seal(asset, epoch)?))
    })
    .await
}

/// One distribution, with the seal of its epoch
#[utoipa::path(get, path = "/v1/accounts/{account}/distributions/{asset}/{epoch}", tag = "accounts",
    params(
        ("account" = String, Path, description = "The account; a `/` in it is written as %2F"),
        ("asset" = String, Path, description = "The asset"),
        ("epoch" = u64, Path, description = "The number of the epoch")
    ),
    responses(
        (status = 200, description = "The distribution", body = SealedDistributionAnswer),
        (status = 403, description = "The token does not show this account", body = ProblemBody),
        (status = 404, description = "The account was paid nothing for this epoch, or not yet", body = ProblemBody)
    ))]
pub(super) async fn distribution(
    State(api): State<Api>,
    caller: Caller,
    request: ApiRequest,
) -> Result<Response, Problem> {
    let (paid, seal) = asked_distribution(&api, &caller, &request).await?;
    let answer = SealedDistributionAnswer {
        distribution: paid.into(),
        seal: seal.as_ref().map(seal_value).transpose()?,
    };
    reply::json(&api, &request, &answer)
}

/// The data of a seal as it was published.
pub(super) fn seal_value(seal: &Seal<'_>) -> Result<Value, Problem> {
    serde_json::to_value(seal).map_err(|error| Problem::internal(&format!("a seal: {error}")))
}

/// The proof of a payout
///
/// The file that `softstake verify` accepts: it proves the amount against the root in the seal.
#[utoipa::path(get, path = "/v1/accounts/{account}/distributions/{asset}/{epoch}/proof", tag = "accounts",
    params(
        ("account" = String, Path, description = "The account; a `/` in it is written as %2F"),
        ("asset" = String, Path, description = "The asset"),
        ("epoch" = u64, Path, description = "The number of the epoch")
    ),
    responses(
        (status = 200, description = "The proof", body = Object),
        (status = 403, description = "The token does not show this account", body = ProblemBody),
        (status = 404, description = "The account was paid nothing for this epoch, or it is not sealed", body = ProblemBody),
        (status = 500, description = "The distributions are not what was sealed", body = ProblemBody)
    ))]
pub(super) async fn proof(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    let account = request.account()?;
    caller.may(Right::Account(&account)).await?;
    request.allow(&[])?;
    let (asset, epoch) = (request.asset()?, request.epoch()?);
    let proof = api
        .read(move |view| {
            view.proof(asset, epoch, account.as_str()).map_err(|error| match error {
                ViewProofError::View(error) => error.into(),
                ViewProofError::NotSealed { .. } | ViewProofError::NotPaid { .. } => {
                    Problem::not_found(format!("There is no proof: {error}."))
                }
                ViewProofError::OtherRoot { .. } => {
                    tracing::error!("{error}");
                    Problem::new(ProblemKind::Inconsistent, format!("There is no proof: {error}."))
                }
            })
        })
        .await?;
    reply::json(&api, &request, &proof)
}
