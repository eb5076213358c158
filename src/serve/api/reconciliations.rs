//! Results of `softstake reconcile`.

use axum::extract::State;
use axum::response::Response;

use crate::serve::answer::{Problem, ProblemBody};
use crate::serve::api::reply;
use crate::serve::api::request::ApiRequest;
use crate::serve::api::shared::Api;
use crate::serve::auth::{Caller, Right};
use crate::serve::reconciliations::ReconciliationResults;

/// Results of reconciliations
///
/// What a scheduled job has put into the folder of `serve.reconcile_results`: the newest 100, each with its first disagreements. A file that is no result is
/// named with the reason.
#[utoipa::path(get, path = "/v1/reconciliations", tag = "audit",
    responses(
        (status = 200, description = "The results, the newest first", body = ReconciliationResults),
        (status = 400, description = "A parameter is wrong", body = ProblemBody),
        (status = 401, description = "No valid token", body = ProblemBody),
        (status = 403, description = "No role of the token may see this", body = ProblemBody),
        (status = 429, description = "Too many requests", body = ProblemBody),
        (status = 503, description = "Busy, or the audit log cannot be written", body = ProblemBody)
    ))]
pub(super) async fn reconciliations(
    State(api): State<Api>,
    caller: Caller,
    request: ApiRequest,
) -> Result<Response, Problem> {
    caller.may(Right::Reconciliations).await?;
    request.allow(&[])?;
    let folder = api.reconciliations.clone();
    let results = api
        .read(move |_| Ok(folder.map_or_else(ReconciliationResults::default, |folder| folder.results())))
        .await?;
    reply::json(&api, &request, &results)
}
