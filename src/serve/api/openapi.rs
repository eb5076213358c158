//! The description of the API, in OpenAPI 3.1.

use axum::extract::State;
use axum::response::Response;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use crate::serve::answer::Problem;
use crate::serve::api::request::ApiRequest;
use crate::serve::api::shared::Api;
use crate::serve::api::{accounts, accrued, assets, explain, figures, processor, reply, reports, session, summary};
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

/// The description of the whole API.
#[must_use]
pub fn description() -> utoipa::openapi::OpenApi {
    let mut description = Description::openapi();
    let components = description.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    description
}

/// This description
#[utoipa::path(get, path = "/v1/openapi.json", tag = "session",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(super) async fn show(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    caller.may(Right::Shared).await?;
    request.allow(&[])?;
    reply::json(&api, &request, &description())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_described_once() {
        let text = serde_json::to_value(description()).unwrap();
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
