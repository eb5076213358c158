//! Who asks, and how far the view is.

use axum::extract::State;
use axum::response::Response;

use crate::core::values::time::timestamp;
use crate::serve::answer::{Problem, ProblemBody};
use crate::serve::api::answers::{PartitionAnswer, SessionAnswer, SyncAnswer};
use crate::serve::api::reply;
use crate::serve::api::request::ApiRequest;
use crate::serve::api::shared::Api;
use crate::serve::auth::{Caller, Right};

/// Who asks
#[utoipa::path(get, path = "/v1/session", tag = "session", responses(
    (status = 200, description = "The token's holder, account and roles", body = SessionAnswer),
    (status = 401, description = "No valid token", body = ProblemBody)
))]
pub(super) async fn session(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    request.allow(&[])?;
    caller.may(Right::Shared).await?;
    let answer = SessionAnswer {
        subject: caller.subject.clone(),
        account: caller.account.as_ref().map(|account| account.as_str().to_owned()),
        roles: caller.roles.iter().map(|role| role.name()).collect(),
        expires_at: caller.expires.map(|time| timestamp(i128::from(time.get()))),
        has_processor: api.processors.is_some(),
    };
    reply::json(&api, &request, &answer)
}

/// How far the bus is read
#[utoipa::path(get, path = "/v1/sync", tag = "session", responses(
    (status = 200, description = "The offsets that are read, and the ends", body = SyncAnswer),
    (status = 401, description = "No valid token", body = ProblemBody)
))]
pub(super) async fn sync(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    request.allow(&[])?;
    caller.may(Right::Shared).await?;
    let progress = api.view.progress();
    let answer = SyncAnswer {
        caught_up: progress.is_caught_up(),
        behind_records: progress.behind(),
        unreadable_records: api.view.unreadable(),
        partitions: progress
            .partitions
            .iter()
            .map(|one| PartitionAnswer {
                topic: one.partition.topic.name().to_owned(),
                partition: one.partition.partition,
                offset: one.offset.get(),
                end: one.end.get(),
            })
            .collect(),
    };
    reply::json(&api, &request, &answer)
}
