//! Dead letters and late postings.

use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::bus::Topic;
use crate::core::contract::rejection::Code;
use crate::serve::answer::{Problem, ProblemBody};
use crate::serve::api::answers::{
    DeadLetterAnswer, DeadLetterCountAnswer, ItemsAnswer, LateCountAnswer, LatePostingAnswer, ListAnswer,
};
use crate::serve::api::reply;
use crate::serve::api::request::{ApiRequest, PageRequest};
use crate::serve::api::shared::Api;
use crate::serve::auth::{Caller, Right};
use crate::serve::view::{KeptLatePosting, KeptLetter, KeptLetterFilter, LateOf, View};

/// Rejected records
///
/// The newest first.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "operations",
    params(
        ("code" = Option<String>, Query, description = "Only this code (contract, section 6)"),
        ("topic" = Option<String>, Query, description = "Only records of this topic"),
        PageRequest
    ),
    responses(
        (status = 200, description = "A page", body = ListAnswer<DeadLetterAnswer>),
        (status = 400, description = "A parameter is wrong", body = ProblemBody),
        (status = 403, description = "No role of the token may see this", body = ProblemBody)
    ))]
pub(super) async fn dead_letters(
    State(api): State<Api>,
    caller: Caller,
    request: ApiRequest,
) -> Result<Response, Problem> {
    caller.may(Right::DeadLetters).await?;
    request.allow(&["code", "topic", "limit", "cursor"])?;
    let codes = Code::ALL.map(|code| (code.name(), code));
    let topics: Vec<(&str, Topic)> = Topic::SOURCES
        .into_iter()
        .chain([Topic::Control])
        .map(|topic| (topic.name(), topic))
        .collect();
    let filter = KeptLetterFilter {
        code: request.choice("code", &codes)?,
        topic: request.choice("topic", &topics)?,
    };
    let read =
        move |view: &View, page: &PageRequest| Ok(view.dead_letters(&filter, page.after.as_deref(), page.limit)?);
    reply::list::<DeadLetterAnswer, _>(&api, &request, read).await
}

impl From<KeptLetter> for DeadLetterAnswer {
    fn from(kept: KeptLetter) -> Self {
        Self {
            topic: kept.topic.name().to_owned(),
            partition: kept.partition,
            offset: kept.offset.get(),
            code: kept.code.name(),
            reason: kept.reason,
            time: kept.time,
            payload: kept.payload,
            payload_base64: kept.payload_bytes.map(|bytes| STANDARD.encode(bytes)),
            payload_cut: kept.payload_cut,
        }
    }
}

/// How many records were rejected
#[utoipa::path(get, path = "/v1/dead-letters/counts", tag = "operations",
    responses(
        (status = 200, description = "By topic and code", body = ItemsAnswer<DeadLetterCountAnswer>),
        (status = 403, description = "No role of the token may see this", body = ProblemBody)
    ))]
pub(super) async fn dead_letter_counts(
    State(api): State<Api>,
    caller: Caller,
    request: ApiRequest,
) -> Result<Response, Problem> {
    caller.may(Right::DeadLetterCounts).await?;
    request.allow(&[])?;
    let counts = api.view.dead_letter_counts().into_iter();
    let items = counts.map(|(topic, code, count)| DeadLetterCountAnswer {
        topic: topic.name().to_owned(),
        code: code.name(),
        count,
    });
    reply::json(&api, &request, &ItemsAnswer { items: items.collect() })
}

/// Late postings of all accounts
///
/// Those that count in the newest epochs come first.
#[utoipa::path(get, path = "/v1/late-postings", tag = "operations",
    params(
        ("asset" = Option<String>, Query, description = "Only this asset"),
        PageRequest
    ),
    responses(
        (status = 200, description = "A page", body = ListAnswer<LatePostingAnswer>),
        (status = 403, description = "No role of the token may see this", body = ProblemBody)
    ))]
pub(super) async fn late_postings(
    State(api): State<Api>,
    caller: Caller,
    request: ApiRequest,
) -> Result<Response, Problem> {
    caller.may(Right::LatePostings).await?;
    request.allow(&["asset", "limit", "cursor"])?;
    let of = request.asset_filter()?;
    let read = move |view: &View, page: &PageRequest| {
        let of = of.map_or(LateOf::All, LateOf::Asset);
        Ok(view.late_postings(of, page.after.as_deref(), page.limit)?)
    };
    reply::list::<LatePostingAnswer, _>(&api, &request, read).await
}

/// Late postings of an account
///
/// Those that count in the newest epochs come first.
#[utoipa::path(get, path = "/v1/accounts/{account}/late-postings", tag = "accounts",
    params(
        ("account" = String, Path, description = "The account; a `/` in it is written as %2F"),
        PageRequest
    ),
    responses(
        (status = 200, description = "A page", body = ListAnswer<LatePostingAnswer>),
        (status = 403, description = "The token does not show this account", body = ProblemBody)
    ))]
pub(super) async fn account_late_postings(
    State(api): State<Api>,
    caller: Caller,
    request: ApiRequest,
) -> Result<Response, Problem> {
    let account = request.account()?;
    caller.may(Right::Account(&account)).await?;
    request.allow(&["limit", "cursor"])?;
    let read = move |view: &View, page: &PageRequest| {
        let of = LateOf::Account(account.as_str());
        Ok(view.late_postings(of, page.after.as_deref(), page.limit)?)
    };
    reply::list::<LatePostingAnswer, _>(&api, &request, read).await
}

impl From<KeptLatePosting> for LatePostingAnswer {
    fn from(kept: KeptLatePosting) -> Self {
        Self {
            event_id: kept.event_id,
            event_source: kept.event_source,
            account: kept.account,
            asset: kept.asset.to_string(),
            delta: kept.delta,
            event_time: kept.event_time,
            missed_epoch: kept.missed_epoch.get(),
            applied_epoch: kept.applied_epoch.get(),
            policy: kept.policy,
            partition: kept.partition,
            offset: kept.offset.get(),
        }
    }
}

/// How many postings were late
#[utoipa::path(get, path = "/v1/late-postings/counts", tag = "operations",
    responses(
        (status = 200, description = "By asset and missed epoch", body = ItemsAnswer<LateCountAnswer>),
        (status = 403, description = "No role of the token may see this", body = ProblemBody)
    ))]
pub(super) async fn late_posting_counts(
    State(api): State<Api>,
    caller: Caller,
    request: ApiRequest,
) -> Result<Response, Problem> {
    caller.may(Right::LatePostings).await?;
    request.allow(&[])?;
    let counts = api.view.late_counts().into_iter();
    let items = counts.map(|(asset, missed, count)| LateCountAnswer {
        asset: asset.to_string(),
        missed_epoch: missed.get(),
        count,
    });
    reply::json(&api, &request, &ItemsAnswer { items: items.collect() })
}
