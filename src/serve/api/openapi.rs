//! The description of the API, in OpenAPI 3.1.

use std::sync::LazyLock;

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;
use utoipa::OpenApi;

use crate::serve::answer::Problem;
use crate::serve::api::openapi_common::with_common;
use crate::serve::api::request::ApiRequest;
use crate::serve::api::shared::Api;
use crate::serve::api::{
    accounts, accrued, assets, explain, figures, processor, reconciliations, reply, reports, session, summary,
};
use crate::serve::auth::{Caller, Right};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Softstake",
        description = "What Softstake published: distributions, seals, epochs, dead letters and late postings. Amounts are strings, times RFC 3339 \
            in UTC. Errors are problems of RFC 9457."
    ),
    paths(
        session::session,
        session::sync,
        accounts::distributions,
        summary::summary,
        accrued::accrued,
        accounts::distribution,
        explain::explanation,
        accounts::proof,
        reports::account_late_postings,
        assets::assets,
        assets::asset,
        assets::epochs,
        assets::epoch,
        assets::epoch_distributions,
        assets::held,
        assets::positions,
        figures::treasury,
        figures::finance,
        figures::finance_accrued,
        reconciliations::reconciliations,
        reports::dead_letters,
        reports::dead_letter_counts,
        reports::late_postings,
        reports::late_posting_counts,
        processor::processor,
        show
    ),
    security(("token" = []))
)]
struct Description;

/// It does not change while the process runs.
static DESCRIPTION: LazyLock<Result<Value, String>> = LazyLock::new(|| {
    let described = serde_json::to_value(Description::openapi());
    let described = described.and_then(with_common);
    described.map_err(|error| error.to_string())
});

/// The description of the whole API.
///
/// # Errors
/// If its parts do not fit. A test makes it.
pub fn description() -> Result<&'static Value, String> {
    DESCRIPTION.as_ref().map_err(Clone::clone)
}

/// This description
#[utoipa::path(get, path = "/v1/openapi.json", tag = "session", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(super) async fn show(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    caller.may(Right::Shared).await?;
    request.allow(&[])?;
    let described = description().map_err(|error| Problem::internal(&error))?;
    reply::json(&api, &request, described)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_described_once() {
        let text = description().unwrap();
        assert!(
            text["openapi"].as_str().unwrap().starts_with("3.1"),
            "{}",
            text["openapi"]
        );
        let described: Vec<&String> = text["paths"].as_object().unwrap().keys().collect();
        let source = include_str!("mod.rs");
        let routed = source
            .split('"')
            .filter(|part| part.starts_with("/v1/"))
            .collect::<Vec<_>>();
        assert_eq!(described.len(), routed.len());
        for path in routed {
            assert!(described.iter().any(|known| *known == path), "{path} is not described");
        }
    }
}
